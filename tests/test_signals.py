"""Signals in a scenario: which handlers are called, what ends a program without one, and that none is real."""

from __future__ import annotations

import _thread
import asyncio
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from mockselector import Scenario, ScenarioError
from scenario_servers import PORT, echo, headline, hello, one, until_stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    Ask = Callable[[Scenario], None]


@pytest.fixture(autouse=True)
def nothing_is_real() -> Generator[None]:
    """The process has the handlers afterwards that it had before."""
    numbers = [number for number in signal.valid_signals() if number not in (9, 19)]
    before = [signal.getsignal(number) for number in numbers], signal.set_wakeup_fd(-1)
    yield
    assert before == ([signal.getsignal(number) for number in numbers], signal.set_wakeup_fd(-1))


def stops_at(*numbers: int) -> list[int]:
    """Serve until one of these signals comes; returns which."""
    came: list[int] = []
    for number in numbers:
        signal.signal(number, lambda number, _: came.append(number))
    until_stopped(lambda: [*map(str, came)])
    return came


# -- handlers -------------------------------------------------------------------------------------


def is_not_asked(_: Scenario) -> None: ...


ASKS: list[tuple[Ask, str]] = [
    (Scenario.interrupts, "SIGINT"), (Scenario.terminates, "SIGTERM"), (is_not_asked, "SIGTERM")
]  # fmt: skip


@pytest.mark.parametrize(("ask", "name"), ASKS)
def test_the_handler_of_the_server_is_called(ask: Ask, name: str) -> None:
    with Scenario(pedantic=True) as net:
        hello(net)
        ask(net)
        assert net.run(stops_at, signal.SIGINT, signal.SIGTERM) == [signal.Signals[name]]


def test_a_signal_comes_at_its_time() -> None:
    def main() -> float:
        signal.signal(signal.SIGTERM, lambda _number, _frame: came.append(time.monotonic() - start))
        start = time.monotonic()
        time.sleep(10)  # goes on, as it does since Python 3.5
        return time.monotonic() - start

    came: list[float] = []
    with Scenario() as net:
        net.terminates(at=2.5)
        assert net.run(main) == 10.0
    assert came == [2.5]


def test_a_handler_is_given_the_number_and_the_frame() -> None:
    def main() -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: came.append((number, name(frame))))
        time.sleep(10)

    def name(frame: FrameType | None) -> str:
        assert frame is not None
        return frame.f_code.co_name

    came: list[tuple[int, str]] = []
    with Scenario() as net:
        net.terminates(at=1)
        net.run(main)
    assert came == [(signal.SIGTERM, "main")]


def test_what_a_handler_raises_comes_out_of_the_call_that_waits() -> None:
    def main() -> str:
        signal.signal(signal.SIGTERM, stop)
        try:
            time.sleep(10)
        except InterruptedError:
            return "stopped"
        return "slept"

    def stop(*_: object) -> NoReturn:
        raise InterruptedError

    with Scenario() as net:
        net.terminates(at=1)
        assert net.run(main) == "stopped"


@pytest.mark.parametrize("code", [None, 0, 1, 143])
def test_a_handler_may_exit(code: int | None) -> None:
    def main() -> None:
        signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(code))
        echo()

    with Scenario() as net:
        hello(net)
        net.terminates()
        assert net.run(main) is None


def test_an_interrupt_of_the_user_after_a_signal_comes_out() -> None:
    def main() -> None:
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        time.sleep(10)
        raise KeyboardInterrupt("of the user")

    with pytest.raises(KeyboardInterrupt, match=r"\Aof the user"), Scenario() as net:
        net.terminates(at=1)
        net.run(main)


def test_what_a_handler_makes_of_an_interrupt_does_not() -> None:
    def main() -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            echo()
        finally:
            cleaned.append(net.now)

    cleaned: list[float] = []
    with Scenario() as net:
        hello(net)
        net.terminates(at=5)
        assert net.run(main) is None
    assert cleaned == [5.0]


def test_who_is_told_to_stop_when_all_peers_are_done_has_time_to_clean_up() -> None:
    def main() -> str:
        came: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
        with socket.create_server(("localhost", PORT)) as listener:
            listener.settimeout(1)
            while not came:
                try:
                    listener.accept()[0].close()
                except TimeoutError:
                    continue
            time.sleep(20)
        return "cleaned up"

    with Scenario() as net:
        net.client("alice").expects_eof()
        net.terminates(at=100)
        assert net.run(main) == "cleaned up"
    assert net.now == 120


def test_who_is_interrupted_when_all_peers_are_done_has_time_to_clean_up() -> None:
    def main() -> None:
        with socket.create_server(("localhost", PORT)) as listener:
            try:
                while True:
                    listener.accept()[0].close()
            finally:
                time.sleep(20)
                cleaned.append(net.now)

    cleaned: list[float] = []
    with Scenario() as net:
        net.client("alice").expects_eof()
        net.interrupts(at=100)
        net.run(main)
    assert cleaned == [120]


def test_who_is_told_to_stop_and_goes_on_has_no_more_than_grace() -> None:
    def main() -> None:
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        with socket.create_server(("localhost", PORT)) as listener:
            while True:
                listener.accept()[0].close()

    with Scenario(grace=30) as net:
        net.client("alice").expects_eof()
        net.terminates(at=100)
        assert net.run(main) is None
    assert net.now == 130


def test_who_goes_on_and_is_to_return_is_told_of_the_signal() -> None:
    async def main() -> None:
        async with await asyncio.start_server(print, "localhost", PORT):
            while True:
                try:
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    continue

    with pytest.raises(ScenarioError, match=r"^\[stuck\] the program has not returned") as caught, Scenario() as net:
        net.interrupts(at=7)
        net.run_until_complete(main)
    if sys.version_info >= (3, 11):  # before, it is no cancellation
        assert "told to stop by a signal, at 7 s, and goes on" in str(caught.value)


def test_an_exit_with_a_text_comes_out() -> None:
    def main() -> None:
        signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit("the disk is full"))
        echo()

    with pytest.raises(SystemExit, match=r"\Athe disk is full"), Scenario() as net:
        hello(net)
        net.terminates()
        net.run(main)


def test_an_exit_without_a_signal_comes_out() -> None:
    with pytest.raises(SystemExit), Scenario() as net:
        net.run(sys.exit, 0)


def test_what_is_ignored_is_ignored() -> None:
    def main() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(10)

    with Scenario() as net:
        net.terminates(at=1)
        net.run(main)
    assert net.now == 10.0


def test_a_server_without_being_asked_is_stopped_by_its_own_handler() -> None:
    with Scenario(pedantic=True) as net:
        hello(net)
        assert net.run(stops_at, signal.SIGTERM) == [signal.SIGTERM]
    assert net.now == 1.0  # its select() waits on, as any does


def test_one_that_does_not_stop_is_ended_after_the_grace() -> None:
    def main() -> None:
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        echo()

    with Scenario(grace=7) as net:
        hello(net)
        assert net.run(main) is None
    assert net.now == 7.0


def test_the_trace_tells_of_a_signal() -> None:
    with Scenario() as net:
        hello(net)
        net.terminates()
        net.run(stops_at, signal.SIGTERM)
    assert ["SIGTERM comes"] == [str(event) for event in net.trace.whole if event.actor == "signal"]


# -- without one ----------------------------------------------------------------------------------


def test_without_a_handler_the_process_ends() -> None:
    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"hi").expects(b"hi").expects_eof()
        net.terminates(at=3)
        assert net.run(echo) is None
    assert net.now == 3.0


def test_what_it_says_then_nobody_hears() -> None:
    def farewell(conn: socket.socket) -> None:
        try:
            conn.recv(10)
            conn.recv(10)
        finally:
            with pytest.raises(OSError, match="belongs to a scenario that is over"):
                conn.sendall(b"bye")

    with Scenario() as net:
        net.client("alice").sends(b"hi").expects_eof()
        net.terminates(at=3)
        assert net.run(one, farewell) is None


def test_nor_does_it_wait_any_more() -> None:
    def main() -> None:
        try:
            time.sleep(10)
        finally:
            time.sleep(10)

    with Scenario() as net:
        net.terminates(at=3)
        net.run(main)
    assert net.now == 3.0


def test_who_waits_for_it_is_told_so() -> None:
    text = "alice expects b'more', but SIGTERM has ended the server, which has no handler for it"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")), Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").expects(b"more")
        net.terminates(at=3)
        net.run(echo)


def test_what_ends_no_process_ends_none() -> None:
    with Scenario() as net:
        net.run(lambda: os.kill(os.getpid(), signal.SIGCHLD))


# -- what a program does about them itself ---------------------------------------------------------

SENDS: list[Callable[[], object]] = [
    lambda: signal.raise_signal(signal.SIGTERM),
    lambda: os.kill(os.getpid(), signal.SIGTERM),
    lambda: _thread.interrupt_main(signal.SIGTERM),
]
if hasattr(signal, "pthread_kill"):
    SENDS.append(lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM))


@pytest.mark.parametrize("sends", SENDS)
def test_a_program_may_send_one_to_itself(sends: Callable[[], object]) -> None:
    def main() -> list[int]:
        came: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
        sends()
        return came

    with Scenario() as net:
        assert net.run(main) == [signal.SIGTERM]


def test_so_may_a_step() -> None:
    with Scenario() as net:
        hello(net)
        net.client("bob").waits(1).does(lambda: signal.raise_signal(signal.SIGUSR1)).waits(2).closes()
        got = net.run(stops_at, signal.SIGUSR1)
    assert [(type(number), number) for number in got or ()] == [(int, signal.SIGUSR1)]


def test_it_is_told_what_it_has_installed() -> None:
    def main() -> list[Any]:
        told = [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)]
        told += [signal.signal(signal.SIGTERM, stop), signal.getsignal(signal.SIGTERM)]
        return [*told, signal.signal(signal.SIGTERM, 0), signal.getsignal(signal.SIGTERM)]

    def stop(*_: object) -> None: ...

    default = signal.SIG_DFL
    with Scenario() as net:
        assert net.run(main) == [signal.default_int_handler, default, default, stop, stop, default]


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: signal.signal(0, signal.SIG_IGN), ValueError, "signal number out of range"),
    (lambda: signal.signal(signal.SIGTERM, 7), TypeError, "signal handler must be signal.SIG_IGN, "),
    (lambda: signal.signal(signal.SIGKILL, signal.SIG_IGN), OSError, "Invalid argument"),
    (lambda: signal.getsignal(1.5), TypeError, "'float' object cannot be interpreted as an integer"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    (lambda: signal.set_wakeup_fd(10**6), OSError, "Bad file descriptor"),
    (lambda: signal.raise_signal("15"), TypeError, "."),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    (lambda: signal.pthread_sigmask(7, []), OSError, "Invalid argument"),
    (lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [0]), ValueError, "signal number"),
    (lambda: os.kill(os.getpid()), TypeError, "."),  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
]


@pytest.mark.parametrize(("act", "error", "text"), REFUSED)
def test_wrong_arguments_are_refused_as_they_are_in_production(
    act: Callable[[], object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        act()
    with pytest.raises(error, match=text), Scenario() as net:
        net.run(act)


@pytest.mark.parametrize("install", [lambda: signal.signal(signal.SIGHUP, print), lambda: signal.set_wakeup_fd(-1)])
def test_another_thread_installs_none(install: Callable[[], object]) -> None:
    def refused() -> list[str]:
        def installs() -> None:
            with pytest.raises(ValueError, match="only works in main thread") as caught:
                install()
            told.append(str(caught.value))

        told: list[str] = []
        thread = threading.Thread(target=installs)
        thread.start()
        thread.join()
        return told

    with Scenario() as net:
        assert refused() == net.run(refused) != []


def test_what_is_blocked_comes_when_it_is_not_any_more() -> None:
    def main() -> list[object]:
        came: list[object] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: came.append(number))
        came.append(signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT]))
        time.sleep(10)
        came.append(signal.sigpending())
        came.append(signal.pthread_sigmask(signal.SIG_SETMASK, []))
        return came

    with Scenario() as net:
        net.terminates(at=1)
        both = {signal.SIGTERM, signal.SIGINT}
        assert net.run(main) == [set(), {signal.SIGTERM}, signal.SIGTERM, both]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_a_descriptor_that_blocks_is_refused_to_be_woken_by() -> None:
    def main() -> None:
        near, far = socket.socketpair()
        with near, far, pytest.raises(ValueError, match="must be in non-blocking mode"):
            signal.set_wakeup_fd(far.fileno())

    with Scenario() as net:
        net.run(main)
    main()


def test_a_descriptor_that_is_closed_meanwhile_harms_nobody() -> None:
    def main() -> list[int]:
        came: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: came.append(number))
        near, far = socket.socketpair()
        far.setblocking(False)
        signal.set_wakeup_fd(far.fileno())
        near.close()
        far.close()
        signal.raise_signal(signal.SIGTERM)
        return came

    with Scenario() as net:
        assert net.run(main) == [signal.SIGTERM]


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    def main() -> None:
        signal.signal(40, lambda _number, _frame: None)
        signal.raise_signal(40)

    with Scenario() as net:
        net.run(main)
    assert ["signal 40 comes"] == [str(event) for event in net.trace.whole if event.actor == "signal"]


def test_a_program_may_ask_whether_it_is_there() -> None:
    with Scenario() as net:
        net.run(os.kill, os.getpid(), 0)


# -- asyncio --------------------------------------------------------------------------------------


async def until_asked() -> str:
    """A program that handles both signals by its loop."""
    asked: list[str] = []
    stop = asyncio.Event()

    def asks(number: int) -> None:
        asked.append(signal.Signals(number).name)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asks, number)
    async with await asyncio.start_server(answer, "localhost", PORT):
        await stop.wait()
    await asyncio.sleep(5)
    return asked[0]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(100))
    writer.close()


@pytest.mark.parametrize(("ask", "name"), ASKS)
def test_a_handler_of_the_loop_is_called(ask: Ask, name: str) -> None:
    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"hi").expects(b"hi").expects_eof()
        ask(net)
        assert net.run(until_asked) == name
    assert net.now == 5.0


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.run() installs no handler")
def test_an_interrupt_cancels_main_first() -> None:
    async def main() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    def program() -> None:
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            seen.append("interrupted")
            raise

    seen: list[str] = []
    with Scenario() as net:
        net.interrupts(at=1)
        assert net.run(program) is None
    assert seen == ["cancelled", "interrupted"]


def test_a_signal_wakes_the_loop_in_the_middle_of_a_sleep() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        return loop.time() - start

    start = 1000.0
    with Scenario() as net:
        net.terminates(at=2.5)
        assert net.run(main) == 2.5

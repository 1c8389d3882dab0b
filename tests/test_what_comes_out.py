"""What the test's own functions raise, and what an interrupted server breaks, comes out of the run as itself."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import ctypes
import gc
import selectors
import socket
import sys
import threading
import time
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario, ScenarioError, Sends
from scenario_servers import echo as serve_echo

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mockselector import Peer


def echo(sock: socket.socket) -> bool:
    data = sock.recv(100)
    sock.sendall(data)
    return bool(data)


def lets_out() -> None:
    with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
        selector.register(listener, EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], EVENT_READ)
                elif isinstance(key.fileobj, socket.socket) and not echo(key.fileobj):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()


def swallows_everything() -> None:
    with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
        selector.register(listener, EVENT_READ)
        while True:
            try:
                for key, _ in selector.select():
                    if key.fileobj is listener:
                        selector.register(listener.accept()[0], EVENT_READ)
                    elif isinstance(key.fileobj, socket.socket) and not echo(key.fileobj):
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
            except:  # noqa: E722  (that is what it is about)
                pass


def in_tasks() -> None:
    try:
        _in_tasks()
    finally:
        gc.collect()  # here, and not in the middle of another test


def _in_tasks() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()

    async def main() -> None:
        await asyncio.start_server(handle, "localhost", 8888)
        await asyncio.Event().wait()

    asyncio.run(main())


pytestmark = [  # loops whose own clean-up was cut off are asyncio's matter
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SERVERS = pytest.mark.parametrize("server", [lets_out, swallows_everything, in_tasks])


class Outcome(BaseException):
    """As a test runner's: no Exception."""


def group() -> BaseException:
    kind: Any = getattr(builtins, "BaseExceptionGroup", None)  # Any: of Python 3.11
    error: BaseException = Outcome() if kind is None else kind("of the test", [ValueError("one"), KeyboardInterrupt()])
    return error


ERRORS: list[Callable[[], BaseException]] = [
    ValueError, StopIteration, StopAsyncIteration, GeneratorExit, SystemExit, KeyboardInterrupt, Outcome,
    asyncio.CancelledError, BlockingIOError, TimeoutError, MemoryError, RecursionError, group,
    lambda: pytest.fail.Exception("of the test"), lambda: pytest.skip.Exception("of the test"),
]  # fmt: skip


def does(peer: Peer, fail: Callable[[], None]) -> None:
    peer.does(fail)


def does_later(peer: Peer, fail: Callable[[], None]) -> None:
    peer.sends(b"hi").expects(b"hi").waits(1).does(fail)


def expects(peer: Peer, fail: Callable[[], None]) -> None:
    def judge(_: bytes) -> bool:
        fail()
        return True

    peer.sends(b"hi").expects(judge, until=2)


def plays(peer: Peer, fail: Callable[[], None]) -> None:
    def play() -> Generator[Any]:
        yield Sends(b"hi")
        try:
            fail()
        except StopIteration as error:  # which Python itself does not let out of a generator
            raise Outcome from error

    peer.plays(play)  # type: ignore[arg-type]  # of steps


def plays_at_once(peer: Peer, fail: Callable[[], None]) -> None:
    def play() -> Any:
        fail()

    peer.plays(play)


STEPS = pytest.mark.parametrize("step", [does, does_later, expects, plays, plays_at_once])


@pytest.mark.shared
@pytest.mark.slow
@SERVERS
@STEPS
@pytest.mark.parametrize("make", ERRORS)
def test_what_a_step_raises_comes_out_as_itself(
    server: Callable[[], None], step: Callable[[Peer, Callable[[], None]], None], make: Callable[[], BaseException]
) -> None:
    def fail() -> None:
        raise error

    error = make()
    wanted = Outcome if step is plays and isinstance(error, StopIteration) else type(error)
    net = Scenario()
    with pytest.raises(wanted) as caught, net:
        step(net.client("alice"), fail)
        net.run(server)
    assert wanted is Outcome or caught.value is error


@pytest.mark.slow
@SERVERS
@pytest.mark.parametrize("make", ERRORS)
def test_what_a_function_at_the_end_raises_comes_out_as_itself(
    server: Callable[[], None], make: Callable[[], BaseException]
) -> None:
    def fail() -> None:
        raise error

    error = make()
    with pytest.raises(type(error)) as caught, Scenario(grace=1) as net:
        net.client("alice").sends(b"hi").expects(b"hi")
        net.on_end(fail)
        net.run(server)
    assert caught.value is error


def test_what_a_step_raises_is_told_once() -> None:
    def fail() -> None:
        raise Outcome

    with Scenario() as net:
        net.client("alice").does(fail)
        with pytest.raises(Outcome):
            net.run(swallows_everything)


def returns() -> None:
    with socket.create_server(("", 8888)) as listener:
        listener.accept()


@pytest.mark.parametrize("error", [Outcome(), KeyboardInterrupt(), StopIteration()])
def test_what_a_step_raises_after_the_server_has_returned_comes_out_too(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught, Scenario() as net:
        net.client("alice").waits(1).does(fail)
        net.run(returns)
    assert caught.value is error


# -- while an interrupted server unwinds ---------------------------------------------------------------


def breaks(selector: selectors.BaseSelector) -> None:
    """Send something else than is expected, wherever it is called."""
    for key in list(selector.get_map().values()):
        if isinstance(key.fileobj, socket.socket) and key.data == "client":
            key.fileobj.send(b"wrong")


@contextlib.contextmanager
def breaking(selector: selectors.BaseSelector) -> Generator[None]:
    try:
        yield
    finally:
        breaks(selector)


def serves(selector: selectors.BaseSelector) -> None:
    with socket.create_server(("", 8888)) as listener:
        selector.register(listener, EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], EVENT_READ, "client")


def in_finally() -> None:
    with selectors.DefaultSelector() as selector:
        try:
            serves(selector)
        finally:
            breaks(selector)


def in_a_block() -> None:
    with selectors.DefaultSelector() as selector, breaking(selector):
        serves(selector)


def in_a_handler() -> None:
    with selectors.DefaultSelector() as selector:
        try:
            serves(selector)
        except KeyboardInterrupt:
            breaks(selector)


def in_a_handler_that_passes_on() -> None:
    with selectors.DefaultSelector() as selector:
        try:
            serves(selector)
        except KeyboardInterrupt:
            breaks(selector)
            raise


def swallowed_on_the_way() -> None:
    with selectors.DefaultSelector() as selector:
        try:
            serves(selector)
        finally:
            with contextlib.suppress(Exception):
                breaks(selector)


def raised_anew() -> None:
    with selectors.DefaultSelector() as selector:
        try:
            serves(selector)
        except KeyboardInterrupt:
            with contextlib.suppress(Exception):
                breaks(selector)
            raise KeyboardInterrupt("stopped") from None


def as_tasks_are_cancelled() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(100)
        finally:
            writer.write(b"wrong")

    async def main() -> None:
        await asyncio.start_server(handle, "localhost", 8888)
        await asyncio.Event().wait()

    asyncio.run(main())


@pytest.mark.parametrize(
    "server",
    [
        in_finally, in_a_block, in_a_handler, in_a_handler_that_passes_on, swallowed_on_the_way, raised_anew,
        as_tasks_are_cancelled,
    ],
)  # fmt: skip
def test_a_finding_while_an_interrupted_server_unwinds_comes_out(server: Callable[[], None]) -> None:
    with pytest.raises(ScenarioError) as caught, Scenario(patience=10) as net:
        net.client("alice").expects(b"right")
        net.interrupts(at=1)
        net.run(server)
    assert caught.value.rule in ("unexpected-send", "unmet-expectation")


@pytest.mark.parametrize("anew", [False, True])
def test_an_interrupt_that_leaves_the_server_does_not_leave_the_run(anew: bool) -> None:
    def server() -> None:
        try:
            time.sleep(10)
        except KeyboardInterrupt:
            if anew:
                raise KeyboardInterrupt("stopped") from None
            raise

    with Scenario() as net:
        net.interrupts(at=1)
        assert net.run(server) is None


def test_nor_does_it_leave_a_block_in_which_the_server_is_called_directly() -> None:
    with pytest.raises(RuntimeError, match="the server was called directly"), Scenario() as net:
        net.interrupts(at=1)
        with net.installed():
            time.sleep(10)


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals are the main thread's")
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("ours", [False, True])
def test_an_interrupt_of_the_user_always_comes_out(ours: bool) -> None:
    def server() -> None:
        try:
            time.sleep(10)
        finally:
            ctypes.pythonapi.PyErr_SetInterrupt()  # as the handler of the process does it

    with pytest.raises(KeyboardInterrupt), Scenario() as net:
        if ours:
            net.interrupts(at=1)
        net.run(server)


@pytest.mark.usefixtures("interruptible")
def test_it_comes_out_though_a_finding_is_there_which_is_a_note_to_it() -> None:
    def server() -> None:
        try:
            serves(selectors.DefaultSelector())
        except ScenarioError:
            ctypes.pythonapi.PyErr_SetInterrupt()  # as the handler of the process does it

    def run() -> None:
        with Scenario(patience=10) as net:
            net.client("alice").expects(b"right")
            net.run(server)

    with contextlib.ExitStack() as stack:
        caught = stack.enter_context(pytest.raises(KeyboardInterrupt))
        if sys.version_info < (3, 11):
            stack.enter_context(pytest.warns(UserWarning, match="stuck"))
        run()
    assert "[stuck]" in "".join(getattr(caught.value, "__notes__", ()))


def test_an_exception_that_was_handled_before_does_not_come_out_in_the_place_of_a_finding() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            int(await reader.readline())
        except ValueError:
            writer.write(b"error\n")  # asyncio keeps what this raises, and raises it from `wait_closed()`
        finally:
            writer.close()
            await writer.wait_closed()

    async def main() -> None:
        async with await asyncio.start_server(handle, "localhost", 8888) as server:
            await server.serve_forever()

    with pytest.raises(ScenarioError, match=r"^\[unexpected-send\] alice was sent b'error\\n'"), Scenario() as net:
        net.client("alice").sends(b"x\n").expects(b"?\n").closes()
        net.run(main)


@pytest.mark.parametrize("turns", range(5))
def test_what_a_coroutine_has_died_of_comes_out_whenever_something_is_found(turns: int) -> None:
    async def main() -> None:
        _, writer = await asyncio.open_connection("db", 5432)
        writer.close()
        for _ in range(turns):
            await asyncio.sleep(0)
        raise ValueError("its own")

    def run() -> None:
        with Scenario() as net:
            net.backend(("db", 5432)).expects(b"x")
            net.run(main)

    if turns > 1:
        with pytest.raises(ScenarioError, match=r"^\[unmet-expectation\] db expects b'x'"):
            run()  # found before
        return
    with contextlib.ExitStack() as stack:
        caught = stack.enter_context(pytest.raises(ValueError, match="its own"))
        if sys.version_info < (3, 11):
            stack.enter_context(pytest.warns(UserWarning, match="unmet-expectation"))
        run()
    notes = "".join(getattr(caught.value, "__notes__", ()))
    assert "[unmet-expectation] db expects b'x'" in notes
    assert "Only a log tells" not in notes


@pytest.mark.parametrize("grace", [5, 60])
@pytest.mark.parametrize("leaves", [True, False])
def test_an_interrupt_comes_though_all_peers_are_done_before(grace: float, leaves: bool) -> None:
    with Scenario(grace=grace, allow={"leaked-connection"}) as net:
        client = net.client("alice").sends(b"hi")
        if leaves:
            client.closes()
        net.interrupts(at=100)
        net.run(serve_echo)
    assert [event.time for event in net.trace if event.detail is KeyboardInterrupt] == [100]

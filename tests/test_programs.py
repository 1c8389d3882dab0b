"""What may be run, until when, and what the test gets of it: functions, coroutines, programs without a listener."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import selectors
import socket
import subprocess
import sys
import time
import types
import warnings
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario, ScenarioError
from scenario_servers import PORT, echo, headline, one, step

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
    from pathlib import Path

DB = ("db", 5432)


async def main(number: int = 3) -> int:
    await asyncio.sleep(100)
    return number


class Async:
    async def method(self, number: int) -> int:
        return await main(number)

    async def __call__(self, number: int) -> int:
        return await main(number)

    def generates(self) -> Generator[int, None, None]:
        yield 1


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@types.coroutine
def of_old(number: int) -> Generator[Any, Any, int]:
    yield from main(number).__await__()
    return number


def generates() -> Generator[int, None, None]:
    yield 1


async def generates_async() -> AsyncGenerator[int, None]:
    yield 1


# -- coroutines -----------------------------------------------------------------------------------

COROUTINES: list[Callable[[Any], Any]] = [
    main, Async().method, Async(), decorated(main), functools.partial(main), lambda number: main(number), of_old,
]  # fmt: skip


@pytest.mark.parametrize("function", COROUTINES)
@pytest.mark.parametrize("how", ["run", "run_until_complete"])
def test_whatever_makes_a_coroutine_is_run(function: Callable[[Any], Any], how: str) -> None:
    with Scenario() as net:
        assert getattr(net, how)(function, 5) == 5
    assert net.now == 100.0


def test_a_coroutine_is_run() -> None:
    with Scenario() as net:
        assert net.run(main(7)) == 7


def test_what_a_coroutine_raises_comes_out() -> None:
    async def fails() -> None:
        await asyncio.sleep(100)
        raise ZeroDivisionError("of the program")

    with pytest.raises(ZeroDivisionError, match=r"\Aof the program"), Scenario() as net:
        net.run(fails)


def test_a_server_that_is_a_coroutine_is_ended_by_the_scripts() -> None:
    async def serve() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        async with await asyncio.start_server(answer, "localhost", PORT) as server:
            await server.serve_forever()

    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"hi\n").expects_eof()
        assert net.run(serve) is None
    assert net.now == 0.0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_policy_of_the_process_is_left_alone() -> None:
    policies: Any = asyncio  # Any: checkers say that they are deprecated
    before = policies.get_event_loop_policy()
    with Scenario() as net:
        net.run(main)
    assert policies.get_event_loop_policy() is before


@pytest.mark.slow
def test_asyncio_is_imported_only_for_a_coroutine() -> None:
    program = (
        "import sys; from mockselector import Scenario\n"
        "with Scenario() as net: net.run(print, 'ran')\n"
        "print('asyncio' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "ran\nFalse\n"


def makes_a_future() -> asyncio.Future[None]:
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        return loop.create_future()


NOTHING_RUNS: list[tuple[Any, str]] = [
    (generates, r"was given generates\(\), which makes a generator: .*: net\.run\(lambda: list\(generates\(\)\)\)"),
    (functools.partial(generates), r"was given generates\(\), which makes a generator"),
    (decorated(generates), r"was given generates\(\), which makes a generator"),
    (lambda: generates(), r"was given generates\(\), which makes a generator"),
    (contextlib.contextmanager(generates), r"was given generates\(\), which makes a context manager"),
    (
        contextlib.asynccontextmanager(generates_async),
        r"was given generates_async\(\), which makes a context .*async with generates_async",
    ),
    (makes_a_future, r"was given a function that returned <Future pending.*Await it"),
    (Async().generates, r"was given Async\.generates\(\), which makes a generator"),
    (generates_async, r"was given generates_async\(\), which makes an async generator: .*async for item in"),
    (lambda: generates_async(), r"was given generates_async\(\), which makes an async generator"),
    (5, r"takes a function and its arguments, or a coroutine; got 5\Z"),
    (None, r"takes a function and its arguments, or a coroutine; got None\Z"),
]


@pytest.mark.parametrize(("function", "text"), NOTHING_RUNS)
def test_what_would_not_run_is_refused(function: Any, text: str) -> None:
    with Scenario() as net, pytest.raises(TypeError, match=rf"\Arun\(\) {text}"):
        net.run(function)


def test_what_can_be_awaited_and_is_no_coroutine_is_awaited() -> None:
    class Connects:
        def __await__(self) -> Generator[Any, None, str]:
            yield from asyncio.sleep(100).__await__()
            return "done"

    with Scenario() as net:
        assert net.run(Connects) == "done"  # type: ignore[comparison-overlap]  # pyright: ignore[reportUnnecessaryComparison]


def test_a_coroutine_takes_no_arguments() -> None:
    with Scenario() as net, pytest.raises(TypeError, match="was given a coroutine and arguments"):
        net.run(main(), 5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_a_function_may_return_a_generator_that_it_has_begun() -> None:
    def begins() -> Generator[int, None, None]:
        numbers = generates()
        next(numbers)
        return numbers

    with Scenario() as net:
        assert [*(net.run(begins) or ())] == []
        assert [*(net.run(lambda: (number for number in (1, 2))) or ())] == [1, 2]


IN_A_LOOP: list[Callable[[Scenario], Any]] = [
    lambda net: net.run(main),
    lambda net: net.run(main()),
    lambda net: net.run(lambda: main()),
    lambda net: net.run(decorated(main), 1),
    lambda net: net.run(asyncio.run, main()),
    lambda net: net.run(asyncio.start_server, print, "localhost", PORT),
    lambda net: net.run_until_complete(Async().method, 1),
]


@pytest.mark.parametrize("act", IN_A_LOOP)
def test_a_coroutine_is_refused_where_an_event_loop_runs(act: Callable[[Scenario], Any]) -> None:
    async def test() -> None:
        with Scenario() as net:
            net.client("alice").sends(b"hi")
            await act(net)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError, match=r"make the test a plain function .*, and write net\.run"):
            asyncio.run(test())  # and no coroutine is left that nobody has awaited


def test_a_plain_server_may_be_run_where_an_event_loop_runs() -> None:
    async def test() -> None:
        with Scenario() as net:
            net.client("alice").sends(b"hi").expects(b"hi").closes()
            net.run(echo)

    asyncio.run(test())


def sleeps(seconds: float) -> str:
    time.sleep(seconds)
    return "done"


# -- until when -----------------------------------------------------------------------------------


def test_a_program_without_peers_runs_until_it_returns() -> None:
    with Scenario(grace=1) as net:
        assert net.run(sleeps, 3000) == "done"


def test_a_client_goes_on_after_its_last_connection() -> None:
    def program() -> str:
        socket.create_connection(DB).close()
        time.sleep(1000)
        return "done"

    with Scenario() as net:
        net.backend(DB).expects_eof()
        assert net.run(program) == "done"


def test_a_client_may_sleep_before_it_connects() -> None:
    def program() -> str:
        for _ in range(3):
            time.sleep(500)
            with socket.create_connection(DB) as sock:
                assert sock.recv(1) == b""
        return "done"

    with Scenario() as net:
        for _ in range(3):
            net.backend(DB).closes()
        assert net.run(program) == "done"


def serves_one() -> None:
    with socket.create_server(("", PORT)) as listener, listener.accept()[0] as conn:
        conn.sendall(conn.recv(9))


def sleeps_after_serving() -> str:
    serves_one()
    time.sleep(1000)
    return "done"


def reports_after_serving() -> str:
    serves_one()
    time.sleep(200)
    with socket.create_connection(DB) as sock:
        sock.sendall(b"report")
    return "done"


async def sleeps_after_serving_with_asyncio() -> str:
    served = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(9))
        writer.close()
        served.set()

    async with await asyncio.start_server(handle, "127.0.0.1", PORT):
        await served.wait()
    await asyncio.sleep(1000)
    return "done"


@pytest.mark.parametrize(
    "program",
    [sleeps_after_serving, reports_after_serving, sleeps_after_serving_with_asyncio],
    ids=lambda one: one.__name__,
)
def test_who_listens_no_more_runs_until_it_returns(program: Callable[[], Any]) -> None:
    with Scenario() as net:
        net.client("alice").sends(b"x").expects(b"x").expects_eof()
        if program is reports_after_serving:
            net.backend(DB).expects(b"report").expects_eof()
        assert net.run(program) == "done"


def test_who_listens_no_more_and_never_returns_is_told() -> None:
    def program() -> None:
        serves_one()
        waits_for_ever()

    net = Scenario()
    with pytest.raises(ScenarioError, match="has not returned") as raised, net:
        net.client("alice").sends(b"x").expects(b"x").expects_eof()
        net.run(program)
    assert raised.value.rule == "stuck"


def test_a_server_may_sleep_before_it_connects_to_its_backend() -> None:
    def server() -> None:
        with socket.create_server(("", PORT)) as listener:
            listener.accept()[0].close()
            time.sleep(500)
            socket.create_connection(DB).close()
            listener.accept()

    with Scenario() as net:
        net.client("alice").expects_eof()
        net.backend(DB).expects_eof()
        net.run(server)


def test_a_client_that_listens_beside_is_not_ended_before_it_has_connected() -> None:
    def program() -> str:
        with socket.create_server(("", PORT)):
            time.sleep(500)
            socket.create_connection(DB).close()
            time.sleep(5)
            return "done"

    with Scenario() as net:
        net.backend(DB).expects_eof()
        assert net.run_until_complete(program) == "done"


def test_a_backend_that_is_never_connected_to_is_told_when_the_program_has_returned() -> None:
    net = Scenario()
    with pytest.raises(ScenarioError, match=headline("db was never connected to", "unmet-expectation")), net:
        net.backend(DB).expects(b"q")
        assert net.run(sleeps, 1000) == "done"
    assert net.now == 1000.0


def sleeps_for_ever() -> None:
    while True:
        time.sleep(10)


def waits_for_ever() -> None:
    selectors.DefaultSelector().select()


def is_a_client_for_ever() -> None:
    socket.create_connection(DB).close()
    while True:
        time.sleep(10)


@pytest.mark.parametrize("program", [sleeps_for_ever, waits_for_ever, is_a_client_for_ever])
@pytest.mark.parametrize(("options", "end"), [({}, 3600), ({"patience": 50}, 60), ({"grace": 5000}, 5000)])
def test_a_program_that_does_not_return_is_told(
    program: Callable[[], None], options: dict[str, float], end: float
) -> None:
    net = Scenario(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with net:
        net.backend(DB, allow={"unmet-expectation"}).expects_eof()
        with pytest.raises(ScenarioError, match="the program has not returned") as caught:
            net.run(program)
    assert (caught.value.rule, caught.value.socket, net.now) == ("stuck", None, end)


@pytest.mark.parametrize("program", [sleeps_for_ever, waits_for_ever, is_a_client_for_ever])
def test_where_that_is_allowed_it_is_ended(program: Callable[[], None]) -> None:
    with Scenario(allow={"stuck", "unmet-expectation"}) as net:
        net.backend(DB).expects_eof()
        assert net.run(program) is None


def test_a_program_that_does_not_return_is_asked_to_stop_after_the_grace() -> None:
    asked: list[float] = []

    def program() -> list[float]:
        while not asked:
            time.sleep(1)
        return asked

    with Scenario(grace=20) as net:
        net.on_end(lambda: asked.append(net.now))
        assert net.run(program) == [20.0]


def test_a_program_that_does_not_return_is_interrupted_after_the_grace() -> None:
    def program() -> float:
        try:
            sleeps_for_ever()
        except KeyboardInterrupt:
            time.sleep(500)
        return net.now

    with Scenario(grace=20) as net:
        net.interrupts()
        assert net.run(program) == 520.0


# -- run_until_complete ---------------------------------------------------------------------------


def serves_for_a_while() -> str:
    with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
        selector.register(listener, EVENT_READ)
        end = time.monotonic() + 500
        while time.monotonic() < end:
            step(selector, listener, selector.select(10))
        return "done"


def test_a_server_may_be_run_until_it_returns() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").closes()
        assert net.run_until_complete(serves_for_a_while) == "done"
    assert net.now == 500.0


def test_a_server_that_is_run_until_it_returns_and_does_not_is_told() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").closes()
        with pytest.raises(
            ScenarioError, match="the program has not returned 3600 s after a script last did something"
        ):
            net.run_until_complete(echo)


def test_a_server_that_is_run_until_it_returns_may_be_asked_to() -> None:
    flag: list[str] = []

    def serve() -> list[str]:
        with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
            selector.register(listener, EVENT_READ)
            while not flag:
                step(selector, listener, selector.select(1))
        return flag

    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").closes()
        net.on_end(lambda: flag.append("asked"))
        assert net.run_until_complete(serve) == ["asked"]
    assert net.now == 1.0


@pytest.mark.parametrize("interrupted", [True, False])
def test_what_is_stopped_before_it_returns_has_no_result(interrupted: bool) -> None:
    with Scenario(allow={"stuck"}) as net:
        net.client("alice").closes()
        if interrupted:
            net.interrupts()
        with pytest.raises(RuntimeError, match="before the program had returned: there is no result"):
            net.run_until_complete(echo)


def test_a_server_that_is_run_again_is_ended_as_before() -> None:
    with Scenario() as net:
        net.client("alice").expects(b"hi").closes()
        net.run_until_complete(one, lambda conn: conn.sendall(b"hi"))
        net.client("bob").sends(b"hi").expects(b"hi").closes()
        assert net.run(echo) is None


def awaits(coroutine: Coroutine[Any, Any, int]) -> int:
    return asyncio.run(coroutine)


def test_a_function_may_be_given_a_coroutine() -> None:
    with Scenario() as net:
        assert net.run(awaits, main(4)) == 4


# -- what is seldom run ------------------------------------------------------------------


def test_a_future_that_is_done_is_a_result_like_any_other() -> None:
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        done = loop.create_future()
        done.set_result(3)
        with Scenario() as net:
            assert net.run(lambda: done) is done


def test_a_program_may_derive_a_class_from_one_that_is_looked_after(tmp_path: Path) -> None:
    def program() -> type[io.FileIO]:
        class Log(io.FileIO):
            def says(self, text: str) -> None:
                self.write(text.encode())

        assert io.FileIO.readinto.__name__ == "readinto"  # an attribute of the real class
        with Log(str(tmp_path / "log"), "w") as log:
            log.says("hello")
        return Log

    with Scenario() as net:
        kind = net.run(program)
    assert (tmp_path / "log").read_bytes() == b"hello"
    assert kind is not None
    assert issubclass(kind, io.FileIO)


def test_a_program_that_was_to_let_clients_in_and_never_listened_is_told_so() -> None:
    with pytest.raises(ScenarioError, match="never listened"), Scenario() as net:
        net.client("alice").closes()
        net.run(asyncio.run, asyncio.sleep(1e9))


def test_a_program_may_test_another_one() -> None:
    def inner() -> None:
        with Scenario() as net:
            net.client("bob").sends(b"x").expects(b"x").closes()
            net.run(one, lambda conn: conn.sendall(conn.recv(9)))
        done.append(net.now)

    done: list[float] = []
    with Scenario() as outer:
        outer.run(inner)
    assert done == [0.0]


def test_what_makes_no_call_at_all_is_asked_whether_it_starts_anything() -> None:
    with pytest.raises(ScenarioError, match="What was run has made no call in this scenario"), Scenario() as net:
        net.client("alice").sends(b"hi")
        net.run(lambda: None)

"""A loop on which a scenario can be entered: `async with Scenario()`, and loop factories of others."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mockselector
from asyncio_servers import answer, serve
from mockselector import EventLoop, Scenario, ScenarioError
from scenario_servers import DB, PORT, headline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    Test = Callable[[], Coroutine[Any, Any, Any]]


def run(test: Test) -> Any:
    """As a plugin of pytest does it: on a loop of its choice, which it closes."""
    loop = EventLoop()
    try:
        return loop.run_until_complete(test())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def hello(net: Scenario) -> None:
    net.client("alice").sends(b"hi\n").expects(b"HI\n").waits(100).closes()


# -- a test that is a coroutine -------------------------------------------------------------------


def test_a_server_that_is_awaited_is_ended_by_the_scripts() -> None:
    async def test() -> str:
        async with Scenario(pedantic=True) as net:
            hello(net)
            await serve()
        return f"after {net.now} s"

    assert run(test) == "after 100.0 s"


def test_a_server_that_was_started_goes_on_until_they_are_done() -> None:
    async def test() -> None:
        async with Scenario() as net:
            hello(net)
            await asyncio.start_server(answer, "localhost", PORT)
        assert net.now == 100.0

    run(test)


def test_a_server_in_a_task_is_cancelled_and_cleans_up() -> None:
    async def cleans_up() -> None:
        try:
            await serve()
        finally:
            await asyncio.sleep(5)
            cleaned.append(asyncio.get_running_loop().time())

    async def test() -> None:
        async with Scenario() as net:
            hello(net)
            task = asyncio.create_task(cleans_up())
            await asyncio.sleep(50)
        assert net.now == 105.0
        assert task.cancelled()

    cleaned: list[float] = []
    run(test)
    assert cleaned == [1105.0]


def test_the_time_of_the_block_is_virtual_and_that_around_it_is_real() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        before, real = loop.time(), time.monotonic()
        async with Scenario():
            assert loop.time() == time.monotonic() == 1000.0
            await asyncio.sleep(3600)
            assert loop.time() == time.monotonic() == 4600.0
        assert 0 <= loop.time() - before <= time.monotonic() - real + 1 < 60

    run(test)


def test_a_program_that_connects_out_is_awaited_to_its_end() -> None:
    async def test() -> bytes:
        async with Scenario() as net:
            net.backend(DB, delay=30).sends(b"hello").closes()
            reader, writer = await asyncio.open_connection(*DB)
            data = await reader.read()
            writer.close()
        assert net.now == 30.0
        return data

    assert run(test) == b"hello"


def test_what_waited_before_waits_until_the_block_is_left() -> None:
    async def heartbeat() -> None:
        while True:
            beats.append("beat")
            await asyncio.sleep(3000)

    async def test() -> None:
        task = asyncio.create_task(heartbeat())
        await asyncio.sleep(0)
        async with Scenario(patience=1_000_000):
            await asyncio.sleep(100_000)
        assert not task.done()
        task.cancel()

    beats: list[str] = []
    run(test)
    assert beats == ["beat"]


def test_real_descriptors_are_watched_before_meanwhile_and_afterwards() -> None:
    async def test() -> list[bytes]:
        near, far = socket.socketpair()
        with near, far:
            reader, writer = await asyncio.open_connection(sock=near)
            far.send(b"before ")
            got = [await reader.read(9)]
            async with Scenario():
                far.send(b"meanwhile ")
                got.append(await reader.read(99))
                other, end = socket.socketpair()
                asyncio.get_running_loop().add_reader(other, got.append, b"added")
            far.send(b"afterwards ")
            got.append(await reader.read(99))
            end.send(b"x")
            while len(got) < 4:
                await asyncio.sleep(0)
            asyncio.get_running_loop().remove_reader(other)
            other.close()
            end.close()
            writer.close()
        return got

    assert run(test)[:4] == [b"before ", b"meanwhile ", b"afterwards ", b"added"]


def test_one_scenario_after_the_other() -> None:
    async def test() -> None:
        for _ in range(3):
            async with Scenario() as net:
                hello(net)
                await serve()
            await asyncio.sleep(0.001)

    run(test)


def test_an_exception_of_the_block_comes_out() -> None:
    async def test() -> None:
        async with Scenario() as net:
            hello(net)
            raise ZeroDivisionError("of the test")

    with pytest.raises(ZeroDivisionError, match=r"\Aof the test"):
        run(test)


def test_a_cancellation_from_outside_comes_out() -> None:
    async def block() -> None:
        async with Scenario():
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_later(5, task.cancel)
            await asyncio.sleep(100)

    async def test() -> None:
        task = asyncio.create_task(block())
        await asyncio.wait([task])
        assert task.cancelled()

    run(test)


def test_so_does_one_while_the_end_of_the_block_waits() -> None:
    async def block() -> None:
        async with Scenario() as net:
            net.client("alice").sends(b"hi\n").expects(b"HI\n").waits(1000).closes()
            await asyncio.start_server(answer, "localhost", PORT)
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_later(5, task.cancel)

    async def test() -> None:
        task = asyncio.create_task(block())
        await asyncio.wait([task])
        assert task.cancelled()

    run(test)


def test_an_exception_of_a_step_comes_out_of_the_block() -> None:
    def fails() -> None:
        raise ZeroDivisionError("of a step")

    async def test() -> None:
        async with Scenario() as net:
            net.client("alice").does(fails)
            await serve()

    with pytest.raises(ZeroDivisionError, match=r"\Aof a step"):
        run(test)


def test_an_interrupt_of_the_user_while_a_step_is_played_comes_out() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt("Ctrl-C")

    async def test() -> None:
        async with Scenario() as net:
            net.client("alice").does(interrupted)
            await serve()

    real = time.monotonic()
    with pytest.raises(KeyboardInterrupt, match=r"\ACtrl-C"):
        run(test)
    assert real <= time.monotonic() < real + 100


def test_what_is_told_from_another_thread_is_heard() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        told: asyncio.Future[None] = loop.create_future()
        async with Scenario():
            tell.append(lambda: loop.call_soon_threadsafe(told.set_result, None))
            begin.set()
            while not done.is_set():
                await asyncio.sleep(0.001)
            await told

    tell: list[Callable[[], object]] = []
    begin, done = threading.Event(), threading.Event()

    def helps() -> None:
        begin.wait(60)
        tell[0]()
        done.set()

    helper = threading.Thread(target=helps)
    helper.start()
    run(test)
    helper.join()


def test_a_descriptor_is_watched_for_more_outside_of_scenarios() -> None:
    async def test() -> list[str]:
        loop, came = asyncio.get_running_loop(), list[str]()
        near, far = socket.socketpair()
        with near, far:
            loop.add_reader(near, came.append, "read")
            loop.add_writer(near, came.append, "written")
            await asyncio.sleep(0.001)
            loop.remove_writer(near)
            far.send(b"x")
            while "read" not in came:
                await asyncio.sleep(0)
            loop.remove_reader(near)
        return came

    assert {*run(test)} == {"written", "read"}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there is no such count")
def test_a_task_whose_block_was_ended_is_not_being_cancelled() -> None:
    async def test() -> None:
        async with Scenario() as net:
            hello(net)
            await serve()
        task: Any = asyncio.current_task()
        assert task.cancelling() == 0

    run(test)


FINDINGS: list[tuple[Callable[[Scenario], object], str, Any]] = [
    (
        lambda net: net.client("alice").sends(b"hi\n").expects(b"HO\n"),
        "alice was sent b'HI\\n' where it expects b'HO\\n'", "unexpected-send",
    ),
    (
        lambda net: net.client("alice").sends(b"hi").expects(b"HI"),
        "alice waits in vain for b'HI', and the server sleeps", "stuck",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("script", "text", "rule"), FINDINGS)
@pytest.mark.parametrize("awaited", [True, False])
def test_a_finding_comes_out_of_the_block(
    script: Callable[[Scenario], object], text: str, rule: Any, awaited: bool
) -> None:
    async def test() -> None:
        async with Scenario() as net:
            script(net)
            if awaited:
                await serve()
            else:
                await asyncio.start_server(answer, "localhost", PORT)

    with pytest.raises(ScenarioError, match=headline(text, rule)):
        run(test)


def test_a_client_whose_server_has_gone_is_told_of() -> None:
    async def test() -> None:
        async with Scenario() as net:
            net.client("alice").sends(b"hi\n").expects(b"HI\n")

    text = "alice was never connected: the server returned before it could connect"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")):
        run(test)


def test_a_program_that_does_not_return_is_told_of() -> None:
    async def test() -> None:
        async with Scenario(patience=100):
            await asyncio.Event().wait()

    with pytest.raises(ScenarioError, match=r"\A\[stuck\] the program has not returned 100 s after it was run"):
        run(test)


def test_a_block_that_has_stopped_its_server_is_at_its_end() -> None:
    async def test() -> float:
        async with Scenario() as net:
            net.client("alice").sends(b"hi\n").expects(b"HI\n").expects_eof()
            writers: list[asyncio.StreamWriter] = []

            async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writers.append(writer)
                writer.write((await reader.readline()).upper())

            server = await asyncio.start_server(greet, "localhost", PORT)
            await asyncio.sleep(10)
            server.close()
            writers[0].close()  # which the loop does when the block is out
        return net.now

    assert run(test) == 10


def test_an_interrupt_cancels_the_block() -> None:
    async def test() -> str:
        async with Scenario() as net:
            net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
            net.interrupts(at=5)
            try:
                await serve()
            except asyncio.CancelledError:
                return f"cancelled at {net.now} s"
        return "not cancelled"

    assert run(test) == "cancelled at 5.0 s"


def test_a_blocking_call_may_be_where_it_ends() -> None:
    async def test() -> None:
        async with Scenario() as net:
            hello(net)
            await asyncio.start_server(answer, "localhost", PORT)
            await asyncio.sleep(200)
            time.sleep(10_000)

    run(test)


def test_a_block_that_swallows_its_end_fails_aloud() -> None:
    async def test() -> None:
        async with Scenario(grace=3) as net:
            hello(net)
            await asyncio.start_server(answer, "localhost", PORT)
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(1000)

    loop = EventLoop()
    with pytest.raises(RuntimeError, match="was cancelled, as the run is over, and goes on waiting"):
        loop.run_until_complete(test())
    loop.set_exception_handler(lambda _loop, _context: None)
    loop.close()


# -- where it is refused --------------------------------------------------------------------------


def test_a_real_loop_is_refused_and_the_text_says_how() -> None:
    async def test() -> None:
        async with Scenario():
            raise AssertionError("it is entered")

    with pytest.raises(RuntimeError, match=r"the loop must be a mockselector.EventLoop. With pytest-asyncio: .*anyio"):
        asyncio.run(test())


def test_a_second_scenario_in_the_first_is_refused() -> None:
    async def test() -> None:
        async with Scenario():
            async with Scenario():
                raise AssertionError("it is entered")

    with pytest.raises(RuntimeError, match="a scenario is under this event loop already"):
        run(test)


def test_one_that_is_over_is_not_entered_again() -> None:
    async def test() -> None:
        net = Scenario()
        async with net:
            pass
        async with net:
            raise AssertionError("it is entered")

    with pytest.raises(RuntimeError, match="this scenario is at its end"):
        run(test)


def test_run_is_refused_in_it() -> None:
    async def test() -> None:
        async with Scenario() as net:
            net.run(serve)

    with pytest.raises(RuntimeError, match="enter the scenario by `async with Scenario"):
        run(test)


# -- as a loop factory ----------------------------------------------------------------------------


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there is no Runner")
def test_a_runner_takes_it() -> None:
    def program() -> float:
        runner: Any = vars(asyncio)["Runner"](loop_factory=EventLoop)
        with runner:
            runner.run(asyncio.sleep(100))
            return float(runner.get_loop().time())

    with Scenario() as net:
        assert net.run(program) == 1100.0


MADE: list[Callable[[], asyncio.AbstractEventLoop]] = [EventLoop, asyncio.new_event_loop, asyncio.SelectorEventLoop]


@pytest.mark.parametrize("make", MADE)
def test_whatever_loop_a_program_makes_is_in_its_time(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    def program() -> float:
        with contextlib.closing(make()) as loop:
            loop.run_until_complete(asyncio.sleep(100))
            return loop.time()

    with Scenario() as net:
        assert net.run(program) == 1100.0


def test_it_is_one_of_asyncios() -> None:
    with contextlib.closing(EventLoop()) as loop:
        assert isinstance(loop, asyncio.SelectorEventLoop)
        assert repr(loop) == "<EventLoop running=False closed=False debug=False>"


def test_outside_of_scenarios_it_is_an_ordinary_one() -> None:
    async def main() -> bytes:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hi\n")
            data = await reader.readline()
            writer.close()
            await writer.wait_closed()
        return data

    assert run(main) == b"HI\n"


def test_a_loop_that_only_asks_for_the_time_sees_it_pass() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + 1
        while loop.time() < end:
            pass

    with Scenario() as net:
        net.run(main)
    assert 1 <= net.now < 30


def test_everything_is_put_back() -> None:
    before = asyncio.new_event_loop, selectors.DefaultSelector, time.monotonic, asyncio.BaseEventLoop.run_forever

    async def test() -> None:
        async with Scenario():
            assert selectors.DefaultSelector is not before[1]

    run(test)
    assert before == (
        asyncio.new_event_loop, selectors.DefaultSelector, time.monotonic, asyncio.BaseEventLoop.run_forever
    )  # fmt: skip


# -- plugins of pytest ----------------------------------------------------------------------------

TESTS = """
import asyncio
import pytest
from mockselector import Scenario, ScenarioError
{mark}

async def answer(reader, writer):
    try:
        while line := await reader.readline():
            writer.write(line.upper())
    finally:
        writer.close()

async def serve():
    async with await asyncio.start_server(answer, "localhost", 8888) as server:
        await server.serve_forever()

async def test_awaits():
    async with Scenario() as net:
        net.client("alice").sends(b"hi\\n").expects(b"HI\\n").waits(3600).closes()
        await serve()
    assert net.now == 3600

async def test_after_another():
    async with Scenario() as net:
        net.client("alice").sends(b"hi\\n").expects(b"HI\\n").closes()
        server = await asyncio.start_server(answer, "localhost", 8888)

async def test_finds():
    with pytest.raises(ScenarioError, match="stuck"):
        async with Scenario() as net:
            net.client("alice").expects(b"HI")
            await serve()

async def test_fails():
    async with Scenario() as net:
        net.client("alice").expects(b"HI")
        await serve()
"""

PLUGINS = {
    "pytest_asyncio": (
        "import mockselector\ndef pytest_asyncio_loop_factories(config, item):\n"
        "    return {'scenario': mockselector.EventLoop}\n",
        "pytestmark = pytest.mark.asyncio",
    ),
    "anyio": (
        "import mockselector, pytest\n@pytest.fixture\ndef anyio_backend():\n"
        "    return 'asyncio', {'loop_factory': mockselector.EventLoop}\n",
        "pytestmark = pytest.mark.anyio",
    ),
}


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("plugin", PLUGINS)
def test_tests_that_are_coroutines_run_under_a_plugin(plugin: str, tmp_path: Path) -> None:
    pytest.importorskip(plugin)
    conftest, mark = PLUGINS[plugin]
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_it.py").write_text(TESTS.format(mark=mark))
    without = [
        word
        for one in ("cacheprovider", "randomly", "hypothesispytest", "time_machine")
        for word in ("-p", f"no:{one}")
    ]
    command = [sys.executable, "-m", "pytest", "-q", *without, "-W", "error", str(tmp_path)]
    if importlib.util.find_spec("pytest_asyncio") is not None:  # it is there in any case, and wants to be told
        command += ["-o", "asyncio_default_fixture_loop_scope=function"]
    environment = {**os.environ, "PYTHONPATH": str(Path(mockselector.__file__).parents[1])}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=100, cwd=tmp_path, env=environment
    )
    assert "1 failed, 3 passed" in done.stdout, done.stdout + done.stderr
    assert "[stuck] alice waits in vain for b'HI', and the server sleeps" in done.stdout


def says_nothing(_: object, context: object) -> None: ...


def test_a_loop_that_is_closed_takes_the_scenario_with_it() -> None:
    before = time.sleep

    async def test() -> None:
        async with Scenario():
            await asyncio.Event().wait()

    async def begin() -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(test())
        await asyncio.sleep(0)
        return task

    loop = EventLoop()
    task = loop.run_until_complete(begin())
    assert time.sleep is not before
    loop.close()
    assert time.sleep is before
    loop.set_exception_handler(says_nothing)  # that it is pending is so
    task.get_coro().close()


def test_in_debug_mode_nobody_is_told_that_a_scenario_took_as_long_as_the_two_clocks_are_apart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        for _ in range(2):
            async with Scenario():
                await asyncio.sleep(5)
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        assert loop.slow_callback_duration == 1e6

    loop = EventLoop()
    loop.set_debug(True)
    loop.slow_callback_duration = 1e6
    with contextlib.closing(loop), caplog.at_level(logging.WARNING):
        loop.run_until_complete(main())
    assert [] == caplog.messages


# -- a fixture that holds the block, in a task of its own, as pytest-asyncio runs them ---------------


async def fixture() -> AsyncIterator[Scenario]:
    async with Scenario() as net:
        yield net


def in_a_fixture(test: Callable[[Scenario], Coroutine[Any, Any, object]]) -> tuple[object, BaseException | None]:
    """What the test raises, or else returns; and what its fixture then raises."""
    loop, made = EventLoop(), fixture()
    outcome: object = None
    left: BaseException | None = None
    with contextlib.closing(loop):
        net = loop.run_until_complete(anext(made))
        try:
            outcome = loop.run_until_complete(test(net))
        except (Exception, asyncio.CancelledError) as error:
            outcome = error
        try:
            loop.run_until_complete(anext(made, None))
        except Exception as error:
            left = error
        loop.run_until_complete(loop.shutdown_asyncgens())
    return outcome, left


def test_a_test_that_still_waits_when_the_scenario_of_its_fixture_is_over_is_told_so() -> None:
    async def sleeps(net: Scenario) -> None:
        hello(net)
        await asyncio.start_server(answer, "localhost", PORT)
        await asyncio.sleep(1000)
        pytest.fail("it is not reached")

    async def serves(net: Scenario) -> None:
        hello(net)
        await serve()

    for test in (sleeps, serves):
        outcome, left = in_a_fixture(test)
        assert isinstance(outcome, RuntimeError)
        assert "what it had still to do is not done. Enter the scenario in the test" in str(outcome)
        assert left is None


def test_one_that_ends_by_itself_is_not() -> None:
    async def test(net: Scenario) -> None:
        client = net.client().sends(b"hi\n").expects(b"HI\n").waits(100).closes()
        server = await asyncio.start_server(answer, "localhost", PORT)
        await asyncio.sleep(5)
        assert client.received == b"HI\n"
        server.close()

    assert in_a_fixture(test) == (None, None)


def test_what_is_found_is_told_by_the_test_and_not_again_by_its_fixture() -> None:
    async def test(net: Scenario) -> None:
        net.client().sends(b"hi\n").expects(b"HO\n")
        await serve()

    outcome, left = in_a_fixture(test)
    assert isinstance(outcome, ScenarioError)
    assert (outcome.rule, left) == ("unexpected-send", None)


def test_what_is_left_in_the_end_its_fixture_tells() -> None:
    async def test(net: Scenario) -> None:
        net.client().sends(b"hi\n").expects(b"HI\n").expects(b"ho")

    outcome, left = in_a_fixture(test)
    assert outcome is None
    assert isinstance(left, ScenarioError)
    assert left.rule == "unmet-expectation"


def test_its_own_failure_and_its_own_cancellation_come_out_of_the_test() -> None:
    async def cancels(_: Scenario) -> None:
        raise asyncio.CancelledError

    async def fails(_: Scenario) -> None:
        raise KeyError("own")

    for test, kind in ((cancels, asyncio.CancelledError), (fails, KeyError)):
        outcome, left = in_a_fixture(test)
        assert (type(outcome), left) == (kind, None)

"""How the run of an asyncio program ends: main is cancelled, cleans up in virtual time, and nothing is left over."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mockselector
from asyncio_servers import answer, serve
from mockselector import Scenario, ScenarioError
from scenario_servers import PORT, headline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    Serve = Callable[[], Awaitable[Any]]

SAID: list[str] = []

OF_PYTHON = (
    "Exception in callback StreamReaderProtocol.connection_made"
    if ".exception()" in (made := inspect.getsource(asyncio.StreamReaderProtocol.connection_made))
    and ".cancelled()" not in made
    else "\0"
)
"""What 3.11.7 and 3.12.1 say by themselves of a handler that is cancelled: with real sockets, too."""


@pytest.fixture(autouse=True)
def nothing_is_said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Neither asyncio's log nor the collector has anything to say of a run that was ended."""
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    SAID.clear()
    with caplog.at_level(logging.WARNING):
        yield
        gc.collect()
    assert not said
    told = [record.getMessage() for record in caplog.get_records("call")]
    assert [one for one in told if not one.startswith(OF_PYTHON)] == SAID


def in_a_loop(main: Serve) -> Any:
    """As before `asyncio.run()`."""
    return asyncio.new_event_loop().run_until_complete(main())


def closed_at_once(main: Serve) -> Any:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


WAYS: list[Callable[[Scenario, Any], Any]] = [
    lambda net, main: net.run(main),
    lambda net, main: net.run(main()),
    lambda net, main: net.run(asyncio.run, main()),
    lambda net, main: net.run(in_a_loop, main),
    lambda net, main: net.run(closed_at_once, main),
]


@pytest.mark.parametrize("run", WAYS)
def test_main_cleans_up_in_virtual_time(run: Callable[[Scenario, Any], Any]) -> None:
    async def main() -> None:
        try:
            await serve()
        finally:
            await asyncio.sleep(5)
            cleaned.append(net.now)

    cleaned: list[float] = []
    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").waits(1).closes()
        assert run(net, main) is None
    assert cleaned == [6.0]


@pytest.mark.parametrize("run", WAYS[:-1])
def test_a_client_that_stays_is_let_go(run: Callable[[Scenario, Any], Any]) -> None:
    with Scenario(allow={"leaked-connection"}) as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n")
        assert run(net, serve) is None


def test_other_tasks_are_cancelled_too_and_clean_up() -> None:
    async def main() -> None:
        loop.extend([asyncio.get_running_loop()])
        tasks.append(asyncio.create_task(worker()))
        await serve()

    async def worker() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)
            cleaned.append(net.now)

    loop: list[asyncio.AbstractEventLoop] = []
    tasks: list[asyncio.Task[None]] = []
    cleaned: list[float] = []
    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        net.run(main)
    assert cleaned == [5.0]
    assert loop[0].is_closed()
    assert tasks[0].cancelled()


def test_so_are_those_of_a_loop_that_runs_for_ever_and_is_left() -> None:
    async def worker() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)
            cleaned.append(net.now)

    def program() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(asyncio.start_server(answer, "localhost", PORT))
        tasks.append(loop.create_task(worker()))
        loop.run_forever()

    tasks: list[asyncio.Task[None]] = []
    cleaned: list[float] = []
    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        net.run(program)
    assert cleaned == [5.0]
    assert tasks[0].get_loop().is_closed()


def test_one_that_hangs_while_it_cleans_up_is_ended_there_too() -> None:
    async def worker() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()

    def program() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(asyncio.start_server(answer, "localhost", PORT))
        tasks.append(loop.create_task(worker()))
        loop.run_forever()

    tasks: list[asyncio.Task[None]] = []
    with Scenario(grace=5) as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        assert net.run(program) is None
    assert tasks[0].get_loop().is_closed()


def test_main_that_returns_when_it_is_cancelled_has_a_result() -> None:
    async def main() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await serve()
        return "stopped"

    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        assert net.run(main) == "stopped"


def test_what_it_raises_then_comes_out() -> None:
    async def main() -> None:
        try:
            await serve()
        finally:
            raise ZeroDivisionError("while it cleans up")

    with pytest.raises(ZeroDivisionError, match=r"\Awhile it cleans up"), Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        net.run(main)


def test_a_cancellation_of_its_own_comes_out() -> None:
    async def main() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError), Scenario() as net:
        net.run(main)


def test_main_that_would_return_by_itself_is_run_until_it_does() -> None:
    async def main() -> str:
        await asyncio.sleep(1000)
        return "done"

    with Scenario(grace=1) as net:
        assert net.run(main) == "done"


# Where nothing but force helps, it may strike between the call of sleep() and its await; Python says so.
@pytest.mark.filterwarnings("ignore:coroutine 'sleep' was never awaited:RuntimeWarning")
@pytest.mark.parametrize("swallows", [asyncio.CancelledError, BaseException])
def test_main_that_swallows_it_is_ended(swallows: type[BaseException]) -> None:
    async def main() -> None:
        async with await asyncio.start_server(answer, "localhost", PORT):
            while True:
                with contextlib.suppress(swallows):
                    await asyncio.sleep(1000)

    with Scenario(grace=5, watchdog=1) as net:  # which up to Python 3.11 alone gets it out
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        assert net.run(main) is None
    assert net.now < 20


def test_one_that_hangs_while_it_cleans_up_is_ended() -> None:
    async def main() -> None:
        try:
            await serve()
        finally:
            await asyncio.Event().wait()

    with Scenario(grace=5) as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        assert net.run(main) is None
    assert net.now == 5.0


def test_what_was_found_before_is_not_lost() -> None:
    async def main() -> None:
        try:
            await serve()
        finally:
            await asyncio.sleep(0)

    text = "alice waits in vain for b'right\\n', and the server sleeps"
    with pytest.raises(ScenarioError, match=headline(text, "stuck")), Scenario() as net:
        net.client("alice").expects(b"right\n")
        net.run(main)


def test_a_connection_that_was_left_open_until_then_has_leaked() -> None:
    async def keeps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writers.append(writer)
        try:
            await asyncio.Event().wait()
        finally:
            writer.close()

    writers: list[asyncio.StreamWriter] = []

    async def main() -> None:
        async with await asyncio.start_server(keeps, "localhost", PORT) as server:
            await server.serve_forever()

    with pytest.raises(ScenarioError, match=r"\A\[leaked-connection\] alice"), Scenario() as net:
        net.client("alice").resets()
        net.run(main)


def test_a_finding_leaves_no_task_behind(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        await asyncio.gather(serve(), asyncio.Event().wait())

    with pytest.raises(ScenarioError, match=r"\A\[unexpected-send\]"), Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"HO\n")
        net.run(in_a_loop, main)
    SAID.extend(record.getMessage() for record in caplog.records)
    assert "Fatal write error" in "".join(SAID)  # asyncio catches it, and says so


def test_a_task_that_a_loop_has_never_come_to_is_not_complained_of(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())

    async def main() -> None:
        await asyncio.start_server(answer, "localhost", 8888)  # and is not served

    with pytest.raises(ScenarioError, match=r"\A\[unmet-expectation\] alice"), Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"hi\n")
        net.run(main)
    assert not caplog.records


@pytest.mark.filterwarnings("ignore:coroutine 'Event.wait' was never awaited:RuntimeWarning")  # likewise
def test_a_task_that_awaits_whatever_is_raised_in_it_leaves_nothing_behind() -> None:
    async def stays() -> None:
        while True:
            with contextlib.suppress(BaseException):
                await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(stays())
        await serve()
        await task

    with Scenario(grace=1, watchdog=1) as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        net.run(asyncio.run, main())


@pytest.mark.parametrize("times", [3, 10_000])
def test_one_that_a_closed_loop_has_left_there_is_not_complained_of(
    times: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def stays() -> None:
        with contextlib.suppress(BaseException):
            await asyncio.Event().wait()
        for _ in range(times):
            with contextlib.suppress(BaseException):
                await asyncio.sleep(0)
            if over:
                break

    def main() -> None:
        loop = asyncio.new_event_loop()
        kept.append(loop.create_task(stays()))
        try:
            loop.run_until_complete(serve())
        finally:
            loop.close()

    kept, over = list[object](), list[bool]()
    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        assert net.run(main) is None
    kept.clear()
    gc.collect()
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    over.append(True)  # the interpreter closes it, too


def test_a_log_of_asyncios_shows_no_frame_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        try:
            await reader.read(100)
        finally:
            writer.close()

    async def main() -> None:
        asyncio.get_running_loop().set_debug(True)
        async with await asyncio.start_server(fails, "localhost", PORT) as server:
            await server.serve_forever()

    with Scenario() as net:
        net.client("alice").sends(b"hi").waits(1).resets()
        net.run(main)
    assert "ConnectionResetError" in caplog.text
    assert str(Path(mockselector.__file__).parent) not in caplog.text
    SAID.extend(record.getMessage() for record in caplog.records)

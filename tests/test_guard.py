"""A turn of the server that never ends, ends: by a guard in real time, with the line where it stood."""

from __future__ import annotations

import asyncio
import bdb
import contextlib
import functools
import gc
import heapq
import os
import selectors
import socket
import sys
import threading
import time
import weakref
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario, ScenarioError
from mockselector._ending import watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

pytestmark = pytest.mark.slow

SOON = 0.05
"""Real seconds that a turn may take here: nothing depends on how long it really takes."""

FLAG: list[int] = []


def serve(handle: Callable[[socket.socket], object]) -> None:
    with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
        selector.register(listener, EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], EVENT_READ)
                else:
                    sock = key.fileobj
                    assert isinstance(sock, socket.socket)
                    if sock.recv(9):
                        handle(sock)
                    else:
                        selector.unregister(sock)
                        sock.close()


def waits_for_a_flag(_: object) -> None:
    while not FLAG:
        pass


def waits_on_one_line(_: object) -> None:
    while not FLAG: pass  # noqa: E701  # fmt: skip


def swallows(_: object) -> None:
    while True:
        try:
            waits_for_a_flag(_)
        except BaseException:
            pass


def swallows_in_the_same_function(_: object) -> None:
    while True:
        try:
            while not FLAG:
                _ = 1
        except BaseException:
            pass


def goes_on_in_the_handler(_: object) -> None:
    try:
        waits_for_a_flag(_)
    except BaseException:
        while not FLAG:
            pass


def in_the_library(_: object) -> None:
    for _ in heapq.merge(iter(int, 1)):
        pass


def in_an_expression(_: object) -> None:
    sum(1 for _ in iter(int, 1))


ENDLESS = pytest.mark.parametrize(
    "endless",
    [
        waits_for_a_flag, waits_on_one_line, swallows, swallows_in_the_same_function, goes_on_in_the_handler,
        in_the_library, in_an_expression,
    ],
)  # fmt: skip


@ENDLESS
def test_an_endless_turn_of_the_server_is_ended_and_told(endless: Callable[[object], None]) -> None:
    with pytest.raises(ScenarioError, match=r"\[busy-loop\] the server has called nothing of its scenario") as caught:
        with Scenario(watchdog=SOON) as net:
            net.client("alice").sends(b"hi").closes()
            net.run(serve, endless)
    assert "test_guard.py" in str(caught.value).partition("\n")[0]  # its own line, not the library's
    assert f"in {serve.__name__} " in str(caught.value)  # and who called it
    assert "pluggy" not in str(caught.value)
    assert "In production whoever else is connected waits as long" in str(caught.value)


@ENDLESS
def test_likewise_in_another_thread(endless: Callable[[object], None]) -> None:
    def run() -> None:
        with pytest.raises(ScenarioError, match="busy-loop"), Scenario(watchdog=SOON) as net:
            net.client("alice").sends(b"hi").closes()
            net.run(serve, endless)
        ended.append(1)

    ended: list[int] = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended == [1]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no sys.monitoring")
@pytest.mark.usefixtures("monitored")
@ENDLESS
def test_where_others_monitor_it_is_ended_as_well(endless: Callable[[object], None]) -> None:
    test_likewise_in_another_thread(endless)  # so traced, Python 3.12 may leave a thread with an exception in hand


def test_a_step_that_never_ends_is_told_as_such() -> None:
    with pytest.raises(ScenarioError, match=r"\[busy-loop\] a step of alice has called nothing"):
        with Scenario(watchdog=SOON) as net:
            net.client("alice").does(lambda: waits_for_a_flag(None))
            net.run(serve, id)


def test_a_task_that_never_waits_is_ended() -> None:
    async def spin() -> None:
        await asyncio.sleep(1)
        waits_for_a_flag(None)

    async def main() -> None:
        await asyncio.gather(spin(), asyncio.sleep(1e6))

    with pytest.raises(ScenarioError, match="busy-loop"), Scenario(watchdog=SOON) as net:
        net.run(asyncio.run, main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no signal to a thread")
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("what", ["a pipe", "a lock", "a real selector"])
def test_a_call_that_waits_for_something_real_is_ended(what: str, capfd: pytest.CaptureFixture[str]) -> None:
    def block(_: object) -> None:
        if what == "a pipe":
            os.read(ends[0], 1)
        elif what == "a lock":
            lock.acquire()
        else:
            real.select()

    lock = threading.Lock()
    lock.acquire()
    ends = os.pipe()
    with selectors.DefaultSelector() as real:
        real.register(ends[0], EVENT_READ)
        with pytest.raises(ScenarioError, match="busy-loop"), Scenario(watchdog=SOON) as net:
            net.client("alice").sends(b"hi").closes()
            net.run(serve, block)
    for end in ends:
        os.close(end)
    assert "the server waits in a call that is none of the scenario's" in capfd.readouterr().err


def _says_nothing(*_: object) -> None: ...


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no signal to a thread")
@pytest.mark.usefixtures("interruptible")
def test_a_thread_that_never_comes_back_from_there_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def sleeps_beside_another() -> float:
        thread = threading.Thread(target=time.sleep, args=(3,))
        thread.start()
        thread.join()
        return time.monotonic()

    monkeypatch.setattr("mockselector._threads.threads.LINGERS", 0.05)
    comes_back = os.pipe()
    blocked = threading.Thread(target=lambda: os.read(comes_back[0], 1), daemon=True)
    with pytest.raises(ScenarioError, match=r"\[busy-loop\] Thread-.* has called nothing"):
        with Scenario(watchdog=SOON) as net:
            net.run(blocked.start)
    assert "and does not end" in capfd.readouterr().err
    assert blocked.ident in sys._current_frames()
    before = sys.gettrace()
    try:
        sys.settrace(_says_nothing)
        assert "Thread" in str(blocked)  # who debugs, or measures, goes on
    finally:
        sys.settrace(before)
    with Scenario() as net:
        assert net.run(sleeps_beside_another) == 1003
    os.write(comes_back[1], b"x")
    for _ in range(1000):
        if blocked.ident not in sys._current_frames():
            break
        threading.Event().wait(0.01)
    assert blocked.ident not in sys._current_frames()
    for end in comes_back:
        os.close(end)


def test_a_server_that_works_long_but_waits_in_between_is_let_alone() -> None:
    """As many turns as you like: it is each of them that is measured."""

    def work(sock: socket.socket) -> None:
        until = real_time() + 3 * SOON
        while real_time() < until:
            time.sleep(0.001)
        sock.send(b"done")

    real_time = time.thread_time
    with Scenario(watchdog=SOON) as net:
        net.client("alice").sends(b"hi").expects(b"done").closes()
        net.run(serve, work)


def test_nobody_looks_if_the_test_says_so() -> None:
    def work(sock: socket.socket) -> None:
        until = time.thread_time() + 5 * SOON
        while time.thread_time() < until:
            pass
        sock.send(b"done")

    for net in (Scenario(watchdog=None), Scenario(watchdog=SOON, allow=["busy-loop"])):
        with net:
            net.client("alice").sends(b"hi").expects(b"done").closes()
            net.run(serve, work)


def test_nobody_looks_while_somebody_debugs() -> None:
    def work(sock: socket.socket) -> None:
        until = time.thread_time() + 5 * SOON
        while time.thread_time() < until:
            pass
        sock.send(b"done")

    before = sys.gettrace()
    debugger = bdb.Bdb()
    debugger.reset()
    try:
        with Scenario(watchdog=SOON) as net:
            net.client("alice").sends(b"hi").expects(b"done").closes()
            sys.settrace(debugger.trace_dispatch)
            net.run(serve, work)
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("wrong", [-1, float("inf"), "30", True])
def test_it_takes_seconds(wrong: object) -> None:
    with pytest.raises(ValueError, match="^watchdog= takes a number of seconds"):
        Scenario(watchdog=wrong)  # type: ignore[arg-type]  # that is the point


def test_a_run_that_is_over_is_not_looked_after() -> None:
    for _ in range(50):
        with Scenario(watchdog=SOON) as net:
            net.client("alice").sends(b"hi").closes()
            with contextlib.suppress(ScenarioError):
                net.run(serve, id)
    assert not watchdog._watched


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_it_looks_in_the_child_of_a_fork_as_well() -> None:
    with Scenario() as net:
        net.run(print)  # from now on there is a thread that looks
    child = os.fork()
    if not child:
        try:
            with Scenario(watchdog=SOON) as net:
                net.client("alice").sends(b"hi").closes()
                net.run(serve, waits_for_a_flag)
        except ScenarioError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def one() -> int:
    return 1


def sums(_: object) -> object:
    return sum(iter(one, 0))


def drops(_: object) -> None:
    NeverGone()


class NeverGone:
    def __del__(self) -> None:
        while True:
            pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "work",
    [sums, drops],
    ids=["a function on one line that C calls", "a __del__"],
)
def test_what_has_no_line_of_its_own_to_be_ended_at_is_ended(work: Callable[[object], object]) -> None:
    with pytest.raises(ScenarioError) as caught, Scenario(watchdog=SOON) as net:
        net.client("alice").sends(b"hi").closes()
        net.run(serve, work)
    assert caught.value.rule == "busy-loop"
    assert __file__.rpartition(os.sep)[2] in str(caught.value)


def echoes_once() -> None:
    with socket.create_server(("", 8888)) as listener, listener.accept()[0] as client:
        client.sendall(client.recv(9))


def for_ever(*_: object) -> None:
    while True:
        pass


def test_a_step_that_never_ends_is_ended_when_the_server_has_returned_as_well() -> None:
    def calls(net: Scenario) -> None:
        net.client("alice").sends(b"hi").expects(b"hi").waits(3).does(for_ever)

    def compares(net: Scenario) -> None:
        net.client("alice").sends(b"hi").expects(for_ever, until="eof")

    for script in (calls, compares):
        with pytest.raises(ScenarioError, match="a step of alice has called nothing"), Scenario(watchdog=SOON) as net:
            script(net)
            net.run(echoes_once)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_the_server_leaves_suspended_may_not_go_on_for_ever_when_it_is_dropped() -> None:
    def suspended() -> Generator[None]:
        try:
            yield
        finally:
            for_ever()

    def server() -> None:
        kept = suspended()
        next(kept)
        serve(lambda sock: sock.send(b"hi"))

    with Scenario(watchdog=SOON) as net:
        net.client("alice").sends(b"hi").expects(b"hi").closes()
        net.run(server)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_asyncio_forced_out_leaves_no_loop_running_and_no_task_that_goes_on_when_it_is_dropped() -> None:
    force_asyncio_out()
    gc.collect()  # what it has left tells of itself in this test, and not in the next one


def force_asyncio_out() -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 8888)
        while True:
            try:
                await server.serve_forever()  # once it is closed, this raises and does not wait
            except BaseException:
                pass

    def supervisor() -> None:
        while True:
            try:
                asyncio.run(main())
            except BaseException:
                pass

    hooks = sys.get_asyncgen_hooks()
    policies: Any = asyncio  # Any: checkers say that they are deprecated, which they are not here
    for text in ("once", "and again"):
        with pytest.raises(pytest.fail.Exception, match=text), Scenario(watchdog=SOON) as net:
            net.client("alice").waits(1).does(functools.partial(pytest.fail, text))
            net.run(supervisor)
        assert asyncio.events._get_running_loop() is None
        with pytest.raises(RuntimeError, match="no current event loop"):
            policies.get_event_loop_policy().get_event_loop()
        assert sys.get_asyncgen_hooks() == hooks


def test_a_world_is_not_kept_alive_by_the_thread_that_looks() -> None:
    with Scenario(watchdog=1) as net:
        net.run(lambda: time.sleep(1))
        world = weakref.ref(net._world)
    del net
    gc.collect()
    assert world() is None


@pytest.mark.parametrize("debugger", ["pydevd", "one that monitors"])
def test_nobody_looks_where_a_debugger_is_there(debugger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(sock: socket.socket) -> None:
        until = time.thread_time() + 5 * SOON
        while time.thread_time() < until:
            pass
        sock.send(b"done")

    monitoring: Any = getattr(sys, "monitoring", None)
    if debugger == "pydevd":
        monkeypatch.setitem(sys.modules, "pydevd", time)
    elif monitoring is None:
        pytest.skip("there is no sys.monitoring")
    else:
        monitoring.use_tool_id(monitoring.DEBUGGER_ID, debugger)
    try:
        with Scenario(watchdog=SOON) as net:
            net.client("alice").sends(b"hi").expects(b"done").closes()
            net.run(serve, work)
    finally:
        if debugger != "pydevd":
            monitoring.free_tool_id(monitoring.DEBUGGER_ID)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_task_that_swallows_its_end_leaves_no_loop_running_and_the_other_tasks_closed() -> None:
    async def waits() -> None:
        try:
            await asyncio.sleep(1e6)
        except BaseException as error:
            closed.append(type(error))
            raise ValueError from error

    async def main() -> None:
        kept.append(asyncio.create_task(waits()))
        await asyncio.sleep(1)
        swallows(None)

    closed: list[type[BaseException]] = []
    kept: list[object] = []
    with pytest.raises(ScenarioError, match="busy-loop"), Scenario(watchdog=SOON) as net:
        net.run(asyncio.run, main())
    assert asyncio.events._get_running_loop() is None
    assert len(closed) == 1

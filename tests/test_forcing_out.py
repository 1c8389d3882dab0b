"""No server stays in a run that is over, whatever it swallows; and what cleans up honestly is let do so."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import selectors
import socket
import sys
import threading
import time
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import ListenSocket, MockSelector, MockSocket, Scenario, ScenarioError
from mockselector._ending.ending import PATIENCE
from mockselector._play import spinning

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

pytestmark = pytest.mark.slow

Loop = Any  # a function that goes on for ever by calling the one that it is given, which waits

KEPT: list[BaseException] = []


@pytest.fixture(autouse=True)
def nothing_kept() -> Generator[None]:
    yield
    KEPT.clear()
    STARTED.clear()


def once(wait: Callable[[], object]) -> None:
    while True:
        try:
            wait()
        except:  # noqa: E722  (that is what it is about)
            pass


def twice(wait: Callable[[], object]) -> None:
    while True:
        try:
            once(wait)
        except BaseException:
            pass


def ten_times(wait: Callable[[], object], depth: int = 9) -> None:
    while True:
        try:
            ten_times(wait, depth - 1) if depth else once(wait)
        except BaseException:
            pass


def three_in_one_function(wait: Callable[[], object]) -> None:
    while True:
        try:
            while True:
                try:
                    while True:
                        try:
                            wait()
                        except BaseException:
                            pass
                except BaseException as error:
                    KEPT.append(error)
        except BaseException:
            pass


def on_one_line(wait: Callable[[], object]) -> None:
    source = "while True:\n try: wait()\n except: pass"
    while True:
        try: exec(source, {"wait": wait})  # noqa: E701  # fmt: skip
        except: pass  # noqa: E701, E722  # fmt: skip


def keeps_them(wait: Callable[[], object]) -> None:
    while True:
        try:
            wait()
        except BaseException as error:
            KEPT.append(error)


def suppresses(wait: Callable[[], object]) -> None:
    while True:
        with contextlib.suppress(BaseException):
            twice(wait)


def leaves_by_finally(wait: Callable[[], object]) -> None:
    while True:
        try:
            twice(wait)
        finally:
            continue  # noqa: B012  (that is what it is about)


def in_a_generator(wait: Callable[[], object]) -> None:
    def lines() -> Generator[int]:
        while True:
            try:
                once(wait)
                yield 1
            except BaseException:
                pass
            try:
                yield 2
            except BaseException:
                pass

    while True:
        try:
            for _ in lines():
                pass
        except BaseException:
            pass


def by_callbacks(wait: Callable[[], object]) -> None:
    callbacks: list[Callable[[], object]] = [wait, lambda: once(wait), lambda: twice(wait)]
    while True:
        for callback in callbacks:
            try:
                callback()
            except BaseException as error:
                KEPT.append(error)


def from_c(wait: Callable[[], object]) -> None:
    def swallow(_: object) -> None:
        try: once(wait)  # noqa: E701  # fmt: skip
        except: pass  # noqa: E701, E722  # fmt: skip

    while True:
        try:
            list(map(swallow, itertools.repeat(None)))
        except BaseException:
            pass


def in_its_handler(wait: Callable[[], object]) -> None:
    try:
        once(wait)
    except BaseException:
        twice(wait)


def in_handlers_of_handlers(wait: Callable[[], object]) -> None:
    try:
        once(wait)
    except BaseException:
        in_handlers_of_handlers(wait)


LOOPS: list[Loop] = [
    once, twice, ten_times, three_in_one_function, on_one_line, keeps_them, suppresses, leaves_by_finally,
    in_a_generator, by_callbacks, from_c, in_its_handler, in_handlers_of_handlers,
]  # fmt: skip
FOR_EVER = pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)


def serves(loop: Loop) -> Callable[[], None]:
    def server() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
            selector.register(listener, EVENT_READ)

            def wait() -> None:
                for _ in selector.select():
                    listener.accept()[0].close()

            loop(wait)

    return server


@FOR_EVER
def test_no_number_of_loops_that_swallow_outlives_its_run(loop: Loop) -> None:
    with Scenario() as net:
        net.client("alice").closes()
        assert net.run(serves(loop)) is None


@FOR_EVER
def test_a_finding_comes_out_of_all_of_them(loop: Loop) -> None:
    with pytest.raises(ScenarioError, match="unexpected|unmet"), Scenario() as net:
        net.client("alice").expects(b"hi")
        net.run(serves(loop))


@FOR_EVER
def test_likewise_in_another_thread(loop: Loop) -> None:
    def run() -> None:
        with Scenario() as net:
            net.client("alice").closes()
            ended.append(net.run(serves(loop)))

    ended: list[None] = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended == [None]


@FOR_EVER
def test_likewise_in_a_strict_event_list(loop: Loop) -> None:
    listener = ListenSocket([MockSocket([b"hi"], name="alice")])
    listener.bind(("", 8888))
    listener.listen()
    sel = MockSelector([listener] * 2, strict=True)
    with pytest.raises(ScenarioError, match="accepted-not-registered"), sel:
        sel.register(listener, EVENT_READ)

        def wait() -> None:
            sel.select()
            listener.accept()

        loop(wait)


@FOR_EVER
def test_what_traced_before_traces_on(loop: Loop) -> None:
    def tracer(*_: object) -> None: ...

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with Scenario() as net:
            net.client("alice").closes()
            net.run(serves(loop))
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no sys.monitoring")
def test_nothing_is_monitored_afterwards() -> None:
    monitoring: Any = vars(sys)["monitoring"]
    tools = [monitoring.get_tool(number) for number in range(6)]
    with Scenario() as net:
        net.client("alice").closes()
        net.run(serves(ten_times))
    assert tools == [monitoring.get_tool(number) for number in range(6)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no sys.monitoring")
@pytest.mark.usefixtures("monitored")
@FOR_EVER
def test_where_others_monitor_it_is_ended_as_well(loop: Loop) -> None:
    def run() -> None:
        before = sys.gettrace()
        with Scenario() as net:
            net.client("alice").closes()
            net.run(serves(loop))
        ended.append(sys.gettrace() is before)

    ended: list[bool] = []
    thread = threading.Thread(target=run)  # so traced, Python 3.12 may leave a thread with an exception in hand
    thread.start()
    thread.join()
    assert ended == [True]


def test_who_cleans_up_on_the_way_out_does_so_whole() -> None:
    done: list[str] = []

    @contextlib.contextmanager
    def cleaning(name: str) -> Generator[None]:
        try:
            yield
        finally:
            done.append(name + "a")
            done.append(name + "b")

    def supervise(wait: Callable[[], object]) -> None:
        with cleaning("outer "), cleaning("inner "):
            try:
                twice(wait)
            finally:
                done.append("finally")
                done.append("at last")

    with Scenario() as net:
        net.client("alice").closes()
        net.run(serves(supervise))
    assert done == ["finally", "at last", "inner a", "inner b", "outer a", "outer b"]


def test_the_test_goes_on_as_if_nothing_had_been() -> None:
    swallowed = 0
    with Scenario() as net:
        net.client("alice").closes()
        net.run(serves(ten_times))
        for _ in range(3):
            try:
                raise ValueError
            except ValueError:
                swallowed += 1
    assert swallowed == 3


# -- cleaning up ------------------------------------------------------------------------------------


def test_a_loop_that_nobody_has_left_is_left() -> None:
    def goes_on(wait: Callable[[], object]) -> None:
        asyncio._set_running_loop(loop)  # as loops of other packages do it
        asyncio.set_event_loop(loop)
        ten_times(wait)

    loop: Any = asyncio.new_event_loop()
    with contextlib.closing(loop), Scenario() as net:
        net.client("alice").closes()
        net.run(serves(goes_on))
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()
    assert asyncio.run(asyncio.sleep(0, "goes on")) == "goes on"


def test_a_large_clean_up_may_poll_as_often_as_it_must() -> None:
    def server() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
            selector.register(listener, EVENT_READ)
            try:
                while True:
                    for _ in selector.select():
                        listener.accept()[0].close()
            finally:
                for _ in range(50_000):
                    selector.select(0)
                    done.append(1)

    done: list[int] = []
    with Scenario() as net:
        net.client("alice").closes()
        net.run(server)
    assert len(done) == 50_000


def test_tasks_may_take_many_turns_and_some_time_to_clean_up() -> None:
    async def clean_up() -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            for _ in range(50_000):
                await asyncio.sleep(0)
            for _ in range(100):
                await asyncio.sleep(0.01)
            done.append("clean")

    async def main() -> None:
        with socket.create_server(("", 8888)) as listener:
            listener.setblocking(False)
            task = asyncio.create_task(clean_up())
            client, _ = await asyncio.get_running_loop().sock_accept(listener)
            client.close()
            await task

    done: list[str] = []
    with Scenario() as net:
        net.client("alice").expects_eof()
        net.run(asyncio.run, main())
    assert done == ["clean"]


def test_the_time_to_clean_up_has_an_end() -> None:
    def server() -> None:
        try:
            time.sleep(1e6)
        finally:
            while True:
                time.sleep(1)
                slept.append(1)

    slept: list[int] = []
    with Scenario(grace=10) as net:
        net.client("alice").waits(1)
        net.on_end(lambda: None)
        with contextlib.suppress(ScenarioError):
            net.run(server)
    assert len(slept) <= 10


# -- refusals ---------------------------------------------------------------------------------------


def forks_a_terminal(_: object) -> None:
    os.forkpty()


def forks(_: object) -> None:
    os.fork()


def waits_for_real_sockets(real: selectors.BaseSelector) -> None:
    real.select()


@pytest.mark.parametrize("refused", [forks_a_terminal, forks, waits_for_real_sockets])
@FOR_EVER
def test_who_swallows_a_refusal_for_ever_is_ended(refused: Callable[[object], None], loop: Loop) -> None:
    with socket.socket() as sock, selectors.DefaultSelector() as real:
        real.register(sock, EVENT_READ)
        with pytest.raises(NotImplementedError), Scenario() as net:
            net.client("alice")
            net.run(loop, lambda: refused(real))


def fails_to_start_again() -> None:
    """A server that a supervisor starts again, and whose address is still in use."""
    listener = socket.socket()
    listener.bind(("", 8888))
    STARTED.append(listener)
    listener.listen()
    with selectors.DefaultSelector() as selector:
        selector.register(listener, EVENT_READ)
        selector.select()


STARTED: list[socket.socket] = []


@pytest.mark.parametrize(
    "call",
    [
        fails_to_start_again,
        lambda: socket.create_connection(("db", 1)),
        lambda: socket.getaddrinfo("nobody.example", 1),
    ],
    ids=["bind", "connect", "getaddrinfo"],
)
def test_who_makes_a_new_socket_each_time_and_swallows_what_it_gets_is_ended(
    call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def supervisor() -> None:
        while True:
            try:
                call()
            except Exception:
                pass

    monkeypatch.setattr(spinning, "IDLE_CALLS", 5_000)  # the same sooner
    with pytest.raises(ScenarioError), Scenario(patience=100) as net:
        net.run(supervisor)


# -- servers that never wait, and are refused whatever they call -----------------------------------------


def binds_again(listener: socket.socket) -> None:
    socket.socket().bind(("", listener.getsockname()[1]))


def listens_again(listener: socket.socket) -> None:
    selector = selectors.DefaultSelector()
    another = socket.create_server(("", listener.getsockname()[1]))
    selector.register(another, EVENT_READ)
    selector.register(another, EVENT_READ)


def looks_up_again(_: object) -> None:
    socket.create_connection(("nobody", 5432))


def connects_again(_: object) -> None:
    socket.create_connection(("localhost", 5432))


def opens_and_closes(_: object) -> None:
    socket.socket().close()


def lets_go_of_a_selector_and_binds(listener: socket.socket) -> None:
    selector = selectors.DefaultSelector()
    selector.register(socket.socket(), EVENT_READ, selector)  # a cycle: it is closed when it is collected
    binds_again(listener)


AGAIN = pytest.mark.parametrize(
    "act",
    [binds_again, listens_again, looks_up_again, connects_again, opens_and_closes, lets_go_of_a_selector_and_binds],
)


@AGAIN
@pytest.mark.parametrize("swallows", [OSError, Exception, BaseException], ids=lambda kind: kind.__name__)
def test_who_swallows_that_nothing_comes_of_its_calls_is_ended(
    act: Callable[[socket.socket], None], swallows: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spinning, "IDLE_CALLS", 5_000)  # the same sooner; tests/fuzz.py has it as it is

    def serve() -> None:
        listener = socket.create_server(("", 8888))
        while True:
            try:
                act(listener)
            except swallows:
                if act is connects_again and swallows is OSError:
                    raise

    with pytest.raises((ScenarioError, OSError)), Scenario() as net:
        net.client().sends(b"a").expects(b"b").closes()
        net.run(serve)


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


@pytest.mark.shared
@pytest.mark.skipif(sys.platform == "win32", reason="there is no loopback")
@pytest.mark.parametrize("act", [binds_again, listens_again, opens_and_closes, lets_go_of_a_selector_and_binds])
@pytest.mark.parametrize("swallows", [OSError, BaseException], ids=lambda kind: kind.__name__)
def test_likewise_over_the_loopback(
    act: Callable[[socket.socket], None], swallows: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spinning, "IDLE_CALLS", 5_000)

    def serve() -> None:
        with socket.create_server(("", 0)) as listener:
            while True:
                try:
                    act(listener)
                except swallows:
                    pass

    before = descriptors()
    with pytest.raises(ScenarioError, match=r"\A\[busy-loop\]"), Scenario(network="loopback") as net:
        net.client().sends(b"a").expects(b"b").closes()
        net.run(serve)
    del net
    gc.collect()
    assert descriptors() == before  # also that which was being closed when it was found


@pytest.mark.skipif(sys.platform == "win32", reason="there is no loopback")
def test_a_system_that_has_no_descriptors_left_keeps_nobody_for_ever() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def serve() -> None:
        kept: list[object] = []
        with socket.create_server(("", 0)):
            while True:
                try:
                    kept.append(selectors.DefaultSelector())
                except OSError:
                    pass

    # What the peers do needs descriptors, too.
    with pytest.raises(OSError, match="Too many open files"), Scenario(network="loopback", watchdog=None) as net:
        net.client().sends(b"a").expects(b"b").closes()
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, before[1]))
            net.run(serve)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_finding_that_is_swallowed_again_costs_no_text() -> None:
    """Each has one all the same, if it is looked at."""
    found: list[ScenarioError] = []

    def serve() -> None:
        for _ in range(500):
            try:
                socket.create_connection(("nobody", 5432))
            except ScenarioError as error:
                found.append(error)

    with pytest.raises(ScenarioError), Scenario() as net:
        net.run(serve)
    assert len(found) == 500
    assert len(found[400].args[0]) < 200 < len(str(found[0])) < 4000
    assert str(found[400]).startswith("[unscripted-connection] ")
    assert "times in all" in str(found[400])
    assert len(found[400].trace) == 401
    assert found[400].args[0] == str(found[400])


def test_who_cleans_up_much_after_a_finding_is_let_do_so() -> None:
    closed: list[int] = []

    def serve() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", 8888), backlog=3000) as listener:
            selector.register(listener, EVENT_READ)
            held: list[socket.socket] = []
            try:
                while True:
                    for _ in selector.select():
                        held.append(listener.accept()[0])
                        selector.register(held[-1], EVENT_READ)
                        if len(held) == 2000:
                            socket.create_connection(("nobody", 5432))
            finally:
                for conn in held:
                    selector.unregister(conn)
                for conn in held:
                    with contextlib.suppress(OSError):
                        conn.shutdown(socket.SHUT_RDWR)
                    conn.close()
                    closed.append(1)

    with pytest.raises(ScenarioError, match="unscripted-connection"), Scenario() as net:
        for _ in range(2000):
            net.client().expects_eof()
        net.run(serve)
    assert len(closed) == 2000


@pytest.mark.parametrize("act", [binds_again, opens_and_closes])
def test_who_measures_the_collector_is_not_the_server(
    act: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[object] = []
    times: list[float] = []

    def measure(*_: object) -> None:
        times.append(time.perf_counter())

    monkeypatch.setattr(spinning, "IDLE_CALLS", 5_000)
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    gc.callbacks.append(measure)
    try:
        test_who_swallows_that_nothing_comes_of_its_calls_is_ended(act, Exception, monkeypatch)
    finally:
        gc.callbacks.remove(measure)
    assert times
    assert not heard


def test_what_is_called_when_all_is_over_ends_by_an_exception_and_forces_nobody_out() -> None:
    kept: list[selectors.BaseSelector] = []

    def serve() -> None:
        listener, selector = socket.create_server(("", 8888)), selectors.DefaultSelector()
        kept.append(selector)
        selector.register(listener, selectors.EVENT_READ)
        while True:
            with contextlib.suppress(BaseException):
                selector.select(1)

    with pytest.raises(ScenarioError), Scenario() as net:
        net.client().waits(1)
        net.run(serve)
    assert net._world.ending.times > PATIENCE
    with pytest.raises(MockSelector.EndException):
        kept[0].select(5)
    assert not net._world.ending.escape.begun

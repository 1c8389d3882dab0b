"""Threads of a program in a scenario: one at a time, in virtual time, the same in every run."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import contextlib
import contextvars
import copy
import errno
import faulthandler
import functools
import http.client
import http.server
import importlib
import math
import multiprocessing
import multiprocessing.dummy
import multiprocessing.pool
import os
import pickle
import queue
import re
import select
import selectors
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from mockselector import EventLoop, Scenario, ScenarioError
from mockselector._threads.who_waits import WhoWaits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from mockselector._threads.strands import Strand

FIRST = 1000.0
"""What time.monotonic() says when a scenario begins."""


@pytest.fixture(autouse=True)
def never_for_ever() -> Iterator[None]:
    """Whatever goes wrong here may hang."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def run(function: Callable[[], Any]) -> Any:
    """Run a program in a scenario without peers; afterwards all is as it was."""
    before = left()
    with Scenario() as net:
        result = net.run(function)
    assert before == left()
    return result


def left() -> tuple[object, ...]:
    """What there is of threads: what `threading` knows, and those of the system that are a scenario's."""
    of_scenarios = [frame for frame in sys._current_frames().values() if "strands.py" in stack(frame)]
    return threading.enumerate(), [*vars(threading)["_limbo"]], of_scenarios


def stack(frame: FrameType | None) -> list[str]:
    files: list[str] = []
    while frame is not None:
        files.append(Path(frame.f_code.co_filename).name)
        frame = frame.f_back
    return files


def start(*functions: Callable[..., object], daemon: bool = False) -> list[threading.Thread]:
    threads = [threading.Thread(target=function, daemon=daemon) for function in functions]
    for thread in threads:
        thread.start()
    return threads


def together(*functions: Callable[..., object]) -> None:
    """Let them run in a thread each, and wait for them."""
    for thread in start(*functions):
        thread.join()


def later(seconds: float, function: Callable[[], object]) -> None:
    time.sleep(seconds)
    function()


# -- time ---------------------------------------------------------------------------------------


def test_sleeping_threads_wake_when_their_time_has_come() -> None:
    def sleeps(seconds: float) -> None:
        time.sleep(seconds)
        woken.append((seconds, time.monotonic() - FIRST))

    def main() -> float:
        together(*[functools.partial(sleeps, seconds) for seconds in (3, 1, 2, 1.5)])
        return time.monotonic() - FIRST

    woken: list[tuple[float, float]] = []
    assert run(main) == 3
    assert woken == [(1, 1), (1.5, 1.5), (2, 2), (3, 3)]


def test_a_join_gives_up_when_its_time_has_come() -> None:
    def main() -> list[float | bool]:
        (thread,) = start(lambda: time.sleep(5))
        thread.join(2)
        found: list[float | bool] = [time.monotonic() - FIRST, thread.is_alive()]
        thread.join()
        return [*found, time.monotonic() - FIRST, thread.is_alive()]

    assert run(main) == [2, True, 5, False]


def test_a_thousand_threads() -> None:
    def main() -> float:
        together(*[functools.partial(time.sleep, number) for number in range(1000)])
        return time.monotonic() - FIRST

    assert run(main) == 999


def test_one_that_starts_threads_without_end_is_refused_as_by_a_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> int:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            while True:
                start(lambda: time.sleep(1))
        return threading.active_count()

    monkeypatch.setattr("mockselector._threads.threads.MOST", 20)
    assert run(main) == 21


def test_a_timer_comes_when_it_is_due_unless_it_is_cancelled() -> None:
    def main() -> None:
        called.append(time.monotonic() - FIRST)
        timers = [threading.Timer(seconds, lambda: called.append(time.monotonic() - FIRST)) for seconds in (2, 3, 4)]
        for timer in timers:
            timer.start()
        time.sleep(2.5)
        timers[1].cancel()

    called: list[float] = []
    run(main)
    assert called == [0, 2, 4]


# -- what threads wait for each other with --------------------------------------------------------


def test_a_lock_is_given_to_whoever_has_waited_longest() -> None:
    def main() -> None:
        lock = threading.Lock()

        def holds(name: str) -> None:
            with lock:
                order.append((name, time.monotonic() - FIRST))
                time.sleep(1)

        together(*[functools.partial(holds, name) for name in "abc"])
        inner = threading.Lock()
        with inner:
            assert not inner.acquire(timeout=2)
            assert not inner.acquire(blocking=False)
        order.append(("main", time.monotonic() - FIRST))

    order: list[tuple[str, float]] = []
    run(main)
    assert order == [("a", 0), ("b", 1), ("c", 2), ("main", 5)]


LOCK, AGAIN, THINGS = threading.Lock(), threading.RLock(), queue.SimpleQueue[str]()


def test_locks_that_are_globals_of_modules_are_the_scenarios_meanwhile() -> None:
    def holds() -> None:
        with LOCK, AGAIN:
            time.sleep(1)
        THINGS.put("done")

    def main() -> float:
        start(holds, holds)
        assert [THINGS.get(), THINGS.get()] == ["done", "done"]
        return time.monotonic() - FIRST

    before = LOCK, AGAIN, THINGS
    assert run(main) == 2
    assert before == (LOCK, AGAIN, THINGS)
    assert not LOCK.locked()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it takes as long as the guard does")
@pytest.mark.parametrize("main_holds", [False, True])
def test_a_lock_from_before_that_is_held_by_a_thread_that_waits_is_told_of(main_holds: bool) -> None:
    lock = threading.Lock()

    def holds() -> None:
        with lock:
            time.sleep(1)

    def main() -> None:
        threads = start(holds)
        if main_holds:
            holds()
        else:
            start(holds)
            threads[0].join()

    text = r"waits in real time, at .*test_threads.py:\d+ in holds\(\), for a lock .* held by .*: .*Thread-1"
    with pytest.raises(NotImplementedError, match=text):
        run(main)
    assert not lock.locked()
    assert threading.active_count() == 1


def test_a_lock_that_its_own_thread_has_is_taken_again() -> None:
    def main() -> float:
        lock = threading.RLock()

        def nests() -> None:
            with lock, lock:
                time.sleep(1)

        together(nests, nests)
        return time.monotonic() - FIRST

    assert run(main) == 2


ACQUIRES = [
    *("False", "False, -1", "True, 0", "True, 0.01", "0", "blocking=False", "timeout=0"),  # as it should be
    *("False, 1", "True, -2", "timeout=1e30", "timeout=float('nan')", "timeout='1'", "timeout=None"),
]
QUESTIONS = [
    *[f"lock.acquire({arguments})" for arguments in ACQUIRES],
    *("repr(lock)", "lock.release()", "lock.release() or lock.acquire(False)", "lock.release() or lock.release()"),
    *("copy.copy(lock)", "copy.deepcopy([lock])", "pickle.dumps(lock)"),
    *("hasattr(lock, 'locked') and lock.locked()", "hasattr(lock, 'acquire_lock')"),
    "lock._at_fork_reinit() or lock.acquire(False)",  # what `logging` and `threading` do in the child of a fork
]
OF_AN_RLOCK = ["lock._is_owned()", "lock._release_save()[0]"]  # what `threading.Condition` asks of one


@pytest.mark.parametrize("held", ["", "by itself", "by another"])
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_lock_answers_as_a_real_one(kind: str, held: str) -> None:
    def answer(question: str) -> object:
        lock = getattr(threading, kind)()
        if held == "by itself":
            lock.acquire()
        elif held:
            together(lock.acquire)
        try:
            answer: object = eval(question, {"lock": lock, "copy": copy, "pickle": pickle})
        except Exception as error:
            return type(error), str(error)
        return re.sub(r"0x\w+|(?<=owner=)[1-9]\d*", "...", answer) if isinstance(answer, str) else answer

    def answers() -> dict[str, object]:
        return {question: answer(question) for question in [*QUESTIONS, *(OF_AN_RLOCK if kind == "RLock" else [])]}

    assert run(answers) == answers()


def test_a_lock_from_before_that_is_held_is_held_in_a_run() -> None:
    def tries() -> None:
        got.append(AGAIN.acquire(blocking=False))
        if got[-1]:
            AGAIN.release()

    def main() -> None:
        tries()
        together(tries)

    got: list[bool] = []
    with AGAIN:
        run(main)
    together(tries)
    assert got == [True, False, True]


def test_a_condition_wakes_one_or_all() -> None:
    def main() -> None:
        condition = threading.Condition()

        def waits(name: str) -> None:
            with condition:
                came.append((name, condition.wait(10), time.monotonic() - FIRST))

        threads = start(*[functools.partial(waits, name) for name in "abcd"])
        for many in (1, 2):
            time.sleep(1)
            with condition:
                condition.notify(many)
        for thread in threads:
            thread.join()

    came: list[tuple[str, bool, float]] = []
    run(main)
    assert came == [("a", True, 1), ("b", True, 2), ("c", True, 2), ("d", False, 10)]


def test_events_semaphores_and_barriers() -> None:
    def main() -> None:
        event, semaphore, barrier = threading.Event(), threading.BoundedSemaphore(2), threading.Barrier(3)

        def works(seconds: float) -> None:
            assert event.wait()
            with semaphore:
                time.sleep(seconds)
            barrier.wait()
            met.append((seconds, time.monotonic() - FIRST))

        threads = start(*[functools.partial(works, seconds) for seconds in (1, 2, 3)])
        time.sleep(1)
        event.set()
        for thread in threads:
            thread.join()

    met: list[tuple[float, float]] = []
    run(main)
    assert sorted(met) == [(1, 5), (2, 5), (3, 5)]


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue"])
def test_a_queue(kind: str) -> None:
    def main() -> None:
        things: Any = getattr(queue, kind)()

        def produces() -> None:
            for number in range(3):
                time.sleep(1)
                things.put(number)
            things.put(None)

        def consumes() -> None:
            while (thing := things.get()) is not None:
                got.append((thing, time.monotonic() - FIRST))

        together(produces, consumes)
        with pytest.raises(queue.Empty):
            things.get(timeout=2)
        got.append(("empty", time.monotonic() - FIRST))

    got: list[tuple[object, float]] = []
    run(main)
    assert got == [(0, 1), (1, 2), (2, 3), ("empty", 5)]


def test_a_simple_queue_answers_as_a_real_one() -> None:
    def answer(question: str) -> object:
        things: queue.SimpleQueue[int] = queue.SimpleQueue()
        things.put(1)
        try:
            return eval(question, {"things": things, "copy": copy, "pickle": pickle})
        except Exception as error:
            return type(error), str(error)

    def answers() -> list[object]:
        refused = "copy.copy(things)", "copy.deepcopy(things)", "pickle.dumps(things)", "things.get(True, -1)"
        taken = "things.get(False, -1)", "[things.get(), things.get(False)]", "[things.get(), things.get_nowait()]"
        left = "things.qsize()", "things.empty()", "things.put_nowait(2) or [things.get(), things.get()]"
        return [answer(question) for question in (*refused, *taken, *left)]

    assert run(answers) == answers()


def test_a_full_queue_lets_its_producer_wait() -> None:
    def main() -> float:
        things: queue.Queue[int] = queue.Queue(1)

        def consumes() -> None:
            for _ in range(3):
                time.sleep(1)
                things.get()
                things.task_done()

        start(consumes)
        for number in range(3):
            things.put(number)
        things.join()
        return time.monotonic() - FIRST

    assert run(main) == 3


def test_what_was_made_before_the_run_serves_in_it() -> None:
    event, things = threading.Event(), queue.Queue[str]()

    def main() -> float:
        start(lambda: later(2, event.set), lambda: later(3, lambda: things.put("thing")))
        assert event.wait()
        assert things.get() == "thing"
        return time.monotonic() - FIRST

    assert run(main) == 3


def test_locks_of_a_run_serve_after_it() -> None:
    made: list[Any] = []
    run(lambda: made.extend([threading.Lock(), threading.RLock(), threading.Event(), queue.Queue[int]()]))
    run(lambda: made.append(queue.SimpleQueue[int]()))
    lock, again, event, things, simple = made
    with lock, again, again:
        assert not lock.acquire(timeout=0.01)
    for empty in (things, simple):
        with pytest.raises(queue.Empty):
            empty.get_nowait()
    threads = start(lambda: event.wait() and (things.put(1), simple.put(2)))
    event.set()
    assert (things.get(), simple.get()) == (1, 2)
    threads[0].join()


class Whole:
    """What Python takes for a number of seconds, and is none."""

    def __index__(self) -> int:
        return 0


@pytest.mark.parametrize("timeout", [0, 0.0, Whole(), -1, -2, Fraction(0), Decimal(0), "1", 1e18, math.nan])
def test_as_a_timeout_they_take_and_refuse_what_the_real_ones_do(timeout: Any) -> None:
    def outcome(call: Callable[[], object]) -> object:
        try:
            return call()
        except (queue.Empty, TypeError, ValueError, OverflowError) as error:
            return type(error), str(error)

    def main() -> list[object]:
        held = threading.Lock()
        held.acquire()
        waits = () if timeout == -1 else (lambda: held.acquire(timeout=timeout),)
        asks = (lambda: threading.Lock().acquire(True, timeout), lambda: queue.SimpleQueue[int]().get(timeout=timeout))
        return [outcome(call) for call in (*waits, *asks)]

    assert run(main) == main()


# -- pools, and event loops -----------------------------------------------------------------------


def test_a_pool_works_on_as_much_as_it_has_threads() -> None:
    def main() -> list[Any]:
        def works(seconds: float) -> tuple[str, float]:
            time.sleep(seconds)
            return threading.current_thread().name, time.monotonic() - FIRST

        with concurrent.futures.ThreadPoolExecutor(2, "worker") as pool:
            return list(pool.map(works, (2, 1, 3)))

    assert run(main) == [("worker_0", 2), ("worker_1", 1), ("worker_1", 4)]


def test_a_pool_that_nobody_shuts_down_ends_with_the_program() -> None:
    def main() -> concurrent.futures.ThreadPoolExecutor:
        pool = concurrent.futures.ThreadPoolExecutor(1)
        for _ in range(2):
            pool.submit(lambda: later(1, lambda: done.append(time.monotonic() - FIRST)))
        return pool

    done: list[float] = []
    pool = run(main)
    assert done == [1, 2]
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(int)


def test_a_pool_from_before_without_a_thread_serves_in_a_run_and_after_it() -> None:
    pool = concurrent.futures.ThreadPoolExecutor(2)
    for _ in range(2):
        assert run(lambda: pool.submit(time.monotonic).result()) == FIRST
    assert pool.submit(int).result() == 0
    with pytest.raises(NotImplementedError, match="its threads were started before the scenario began"):
        run(lambda: pool.submit(int))
    pool.shutdown()


def test_a_pool_of_multiprocessing_is_one_of_threads_too() -> None:
    def main() -> Any:
        def works(seconds: float) -> float:
            time.sleep(seconds)
            return time.monotonic() - FIRST

        with multiprocessing.pool.ThreadPool(2) as pool:
            answers = [pool.map(works, (2, 1, 3)), [*pool.imap_unordered(works, (2, 1))], pool.apply(works, (1,))]
            late = pool.apply_async(works, (60,))
            with pytest.raises(multiprocessing.TimeoutError):
                late.get(5)
            pool.close()
            pool.join()
        return answers, late.get()

    assert run(main) == ([[2, 1, 4], [5, 6], 7], 67)


def test_such_a_pool_that_nobody_closes_is_ended_with_the_program() -> None:
    def main() -> Any:
        pool = multiprocessing.dummy.Pool(1)
        for _ in range(2):
            pool.apply_async(lambda: later(1, lambda: done.append(time.monotonic() - FIRST)))
        time.sleep(1.5)
        return pool

    done: list[float] = []
    pool: multiprocessing.pool.ThreadPool = run(main)
    assert done == [1]
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(int)


def test_what_else_multiprocessing_has_for_threads_waits_in_virtual_time() -> None:
    def main() -> float:
        lock = multiprocessing.dummy.Lock()
        with lock:
            process = multiprocessing.dummy.Process(target=lambda: lock.acquire())
            process.start()
            time.sleep(5)
        process.join()
        return time.monotonic() - FIRST

    assert run(main) == 5


def test_such_a_pool_from_before_is_refused() -> None:
    with multiprocessing.pool.ThreadPool(1) as pool:
        with pytest.raises(NotImplementedError, match=r"^ThreadPool\(\) .*: its threads were started before the scen"):
            run(lambda: pool.apply(int))
        assert pool.apply(int) == 0
        pool.close()
        pool.join()  # else its thread may still be about to end in the next test


def test_futures_are_waited_for() -> None:
    def main() -> tuple[int, float]:
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(time.sleep, seconds) for seconds in (1, 2, 3)]
            done, _ = concurrent.futures.wait(futures, 2.5)
            with pytest.raises(concurrent.futures.TimeoutError):
                futures[2].result(0.25)
            return len(done), time.monotonic() - FIRST

    assert run(main) == (2, 2.75)


def test_a_loop_hands_work_to_threads_and_is_called_from_them() -> None:
    async def main() -> float:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        context.set("of the task")
        await asyncio.gather(*[asyncio.to_thread(time.sleep, seconds) for seconds in (1, 2)])
        assert await asyncio.to_thread(context.get) == "of the task"

        def calls() -> None:
            time.sleep(1)
            assert asyncio.run_coroutine_threadsafe(asyncio.sleep(2, "slept"), loop).result() == "slept"
            loop.call_soon_threadsafe(event.set)

        (thread,) = start(calls)
        await event.wait()
        thread.join()
        return loop.time() - FIRST

    context = contextvars.ContextVar[str]("context")
    assert run(lambda: asyncio.run(main())) == 5


def test_a_loop_in_a_thread() -> None:
    def main() -> float:
        loop = asyncio.new_event_loop()
        (thread,) = start(loop.run_forever)
        future = asyncio.run_coroutine_threadsafe(asyncio.sleep(3), loop)
        future.result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        return time.monotonic() - FIRST

    assert run(main) == 3


def test_a_loop_that_runs_on_after_a_block_has_a_pool_again() -> None:
    async def main() -> list[object]:
        async with Scenario() as net:
            await asyncio.gather(asyncio.to_thread(time.sleep, 5), asyncio.to_thread(time.sleep, 3))
            found: list[object] = [net.now]
        return [*found, threading.active_count(), await asyncio.to_thread(lambda: "again")]

    loop = EventLoop()
    assert loop.run_until_complete(main()) == [5, 1, "again"]
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


# -- sockets --------------------------------------------------------------------------------------


class Upper(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            time.sleep(1)
            self.wfile.write(line.upper())


@pytest.mark.parametrize("daemons", [False, True])
def test_a_threading_server_serves_clients_beside_each_other(daemons: bool) -> None:
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = daemons

    def serve() -> None:
        with Server(("localhost", 8888), Upper) as server:
            server.serve_forever()

    with Scenario() as net:
        for name in ("alice", "bob", "carol"):
            net.client(name).sends(b"a\n").expects(b"A\n").waits(2).sends(b"b\n").expects(b"B\n").closes()
        net.run(serve)
        assert net.now == 4
    assert threading.active_count() == 1


def test_both_ends_may_be_the_programs() -> None:
    def main() -> list[Any]:
        handler = type("Handler", (http.server.BaseHTTPRequestHandler,), {"do_GET": answer, "log_message": quiet})
        server = http.server.ThreadingHTTPServer(("localhost", 0), handler)
        (thread,) = start(server.serve_forever)

        def asks() -> None:
            connection = http.client.HTTPConnection("localhost", server.server_port)
            connection.request("GET", "/")
            response = connection.getresponse()
            answers.append((response.status, response.read(), time.monotonic() - FIRST))
            connection.close()

        together(asks, asks, asks)
        server.shutdown()
        server.server_close()
        thread.join()
        return answers

    answers: list[Any] = []
    assert run(main) == [(200, b"hello", 2)] * 3


def answer(self: http.server.BaseHTTPRequestHandler) -> None:
    time.sleep(2)
    self.send_response(200)
    self.send_header("Content-Length", "5")
    self.end_headers()
    self.wfile.write(b"hello")


def quiet(self: object, *_: object) -> None: ...


def test_two_threads_wait_for_one_connection() -> None:
    def main() -> list[tuple[str, float]]:
        listener = socket.create_server(("localhost", 0))

        def accepts(name: str) -> None:
            conn, _ = listener.accept()
            accepted.append((name, time.monotonic() - FIRST))
            conn.close()

        threads = start(functools.partial(accepts, "a"), functools.partial(accepts, "b"))
        for _ in threads:
            time.sleep(1)
            socket.create_connection(listener.getsockname()).close()
        for thread in threads:
            thread.join()
        listener.close()
        return accepted

    accepted: list[tuple[str, float]] = []
    assert run(main) == [("a", 1), ("b", 2)]


def test_who_never_has_to_wait_lets_others_go_on_nevertheless() -> None:
    def reads(conn: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(conn, selectors.EVENT_READ)
            while selector.select() and conn.recv(1):
                read.append(threading.active_count())

    def main() -> None:
        with socket.create_server(("", 8888)) as listener, listener.accept()[0] as conn:
            start(gate.wait)
            gate.set()
            reads(conn)

    gate = threading.Event()
    read: list[int] = []
    with Scenario() as net:
        net.client().sends(bytes(5000)).closes()
        net.run(main)
    assert len(read) == 5000
    assert (read[0], read[-1]) == (2, 1)


def test_who_waits_for_a_socket_goes_on_beside_others_in_the_order_in_which_they_began() -> None:
    def selects(sock: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)
            selector.select()

    def waits(which: int, sock: socket.socket) -> None:
        if which % 2:
            selects(sock)
        sock.recv(10)
        gone_on.append(which)
        sock.close()

    def serve() -> None:
        with socket.create_server(("127.0.0.1", 80)) as listener:
            socks = [listener.accept()[0] for _ in range(6)]
        together(*[functools.partial(waits, which, sock) for which, sock in enumerate(reversed(socks))])

    gone_on: list[int] = []
    with Scenario(allow={"blocking-read"}) as net:
        for _ in range(6):
            net.client().waits(1).sends(b"x").expects_eof()
        net.run(serve)
    assert gone_on == [*range(6)]


def test_who_waits_for_a_socket_is_asked_only_when_something_happens_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def reads(sock: socket.socket) -> None:
        with sock:
            while sock.recv(10):
                sock.send(b"pong")

    def serve(clients: int) -> None:
        with socket.create_server(("127.0.0.1", 80)) as listener:
            together(*[functools.partial(reads, listener.accept()[0]) for _ in range(clients)])

    def asked(idle: int) -> int:
        many = 0

        def counts(strand: Strand) -> bool:
            nonlocal many
            many += 1
            return asks(strand)

        monkeypatch.setattr(WhoWaits, "_asks", staticmethod(counts))
        with Scenario() as net:
            for _ in range(idle):
                net.client().waits(100).closes()
            busy = net.client().waits(1)
            for _ in range(50):
                busy.sends(b"ping").expects(b"pong")
            busy.closes()
            net.run(serve, idle + 1)
        return many

    asks = WhoWaits._asks
    assert asked(40) - asked(20) == 20  # each when its client closes


# -- what is a thread's own -----------------------------------------------------------------------


def test_a_thread_has_what_is_its_own() -> None:
    def main() -> None:
        local = threading.local()

        def looks(name: str) -> None:
            local.name = name
            time.sleep(1)
            found.append((local.name, threading.current_thread().name, threading.active_count()))

        threads = [threading.Thread(target=looks, args=(name,), name=f"called {name}") for name in "ab"]
        for thread in threads:
            thread.start()
        assert threading.enumerate() == [threading.main_thread(), *threads]
        for thread in threads:
            thread.join()
        assert threading.current_thread() is threading.main_thread()

    found: list[tuple[str, str, int]] = []
    run(main)
    assert found == [("a", "called a", 3), ("b", "called b", 2)]


def test_a_bare_thread() -> None:
    def main() -> None:
        done = _thread.allocate_lock()
        done.acquire()

        def works(first: int, *, second: int) -> None:
            time.sleep(1)
            got.append((first, second, _thread.get_ident() == ident[0]))
            done.release()

        ident = [_thread.start_new_thread(works, (1,), {"second": 2})]
        assert done.acquire()
        with pytest.raises(TypeError, match="first arg must be callable"):
            _thread.start_new_thread(1, ())  # type: ignore[call-overload]  # on purpose

    got: list[tuple[int, int, bool]] = []
    run(main)
    assert got == [(1, 2, True)]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python 3.13 starts its threads so")
def test_a_bare_thread_that_can_be_joined() -> None:
    def main() -> None:
        def works() -> None:
            time.sleep(1)
            with pytest.raises(RuntimeError, match="Cannot join current thread"):
                handle.join()
            got.append(handle.is_done())

        begin: Any = vars(_thread)["start_joinable_thread"]
        handle = begin(works)
        handle.join(0.5)
        got.append(handle.is_done())
        handle.join()
        got.append((handle.is_done(), time.monotonic() - FIRST))
        with pytest.raises(TypeError, match="must be callable"):
            begin(1)

    got: list[object] = []
    run(main)
    assert got == [False, False, (True, 1)]


def test_a_thread_that_was_made_before_is_started_in_a_run_and_the_other_way_round() -> None:
    before, made = threading.Thread(target=lambda: time.sleep(2)), list[threading.Thread]()

    def main() -> float:
        before.start()
        made.append(threading.Thread(target=int))
        before.join()
        return time.monotonic() - FIRST

    assert run(main) == 2
    assert not before.is_alive()
    made[0].start()
    made[0].join()
    assert not made[0].is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # since Python 3.12: of what this is about
def test_in_a_process_that_is_about_to_be_another_program_the_other_threads_have_ended() -> None:
    def main() -> None:
        def looks() -> None:
            sleeper.join()
            own.append(threading.current_thread().is_alive())
            os.write(near, repr((sleeper.is_alive(), threading.active_count(), own)).encode())

        def forks() -> None:
            own.append(threading.current_thread().is_alive())
            subprocess.run([sys.executable, "-S", "-c", ""], preexec_fn=looks, check=True)

        own: list[bool] = []
        (sleeper,) = start(lambda: time.sleep(5))
        together(forks)
        assert sleeper.is_alive()

    far, near = os.pipe()
    with open(far, "rb") as reader, open(near, "wb"):
        run(main)
        assert os.read(reader.fileno(), 100) == b"(False, 1, [True, True])"


# -- the same in every run ------------------------------------------------------------------------


def busy() -> list[Any]:
    """A program with everything in it."""
    things, noted, lock = queue.Queue[Any](2), list[Any](), threading.Lock()

    def note(*what: object) -> None:
        with lock:
            noted.append((*what, threading.current_thread().name, time.monotonic()))

    def produces() -> None:
        for number in range(5):
            things.put(number)
            note("put", number)
            time.sleep(0.1 * number)
        things.put(None)

    def consumes() -> None:
        while (thing := things.get()) is not None:
            note("got", thing)
        things.put(None)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(consumes), pool.submit(consumes), pool.submit(produces), pool.submit(note, "pool")]
        together(lambda: note("thread"), lambda: later(0.2, lambda: note("slept")))
        for future in concurrent.futures.as_completed(futures):
            note("done", futures.index(future))
    return noted


@pytest.mark.slow
def test_a_program_runs_the_same_every_time() -> None:
    runs = [run(busy) for _ in range(100)]
    assert all(one == runs[0] for one in runs)


@pytest.mark.slow
def test_so_does_a_server() -> None:
    def serve() -> None:
        with socketserver.ThreadingTCPServer(("localhost", 8888), Upper) as server:
            server.serve_forever()

    traces: list[Any] = []
    for _ in range(50):
        with Scenario() as net:
            for number in range(4):
                net.client(f"client {number}").sends(b"a\n").waits(0.3).sends(b"b\n").expects(b"A\nB\n").closes()
            net.run(serve)
        traces.append(list(map(str, net.trace)))
    assert all(one == traces[0] for one in traces)


def test_the_threads_of_the_interpreter_are_not_pinned_or_slowed() -> None:
    before = sys.getswitchinterval()
    run(lambda: together(int, int))
    assert before == sys.getswitchinterval()


# -- the end --------------------------------------------------------------------------------------


def test_threads_that_are_no_daemons_are_waited_for() -> None:
    def main() -> str:
        start(lambda: later(5, lambda: done.append(time.monotonic() - FIRST)))
        start(lambda: later(6, lambda: done.append("daemon")), daemon=True)
        return "returned"

    done: list[object] = []
    assert run(main) == "returned"
    assert done == [5]


def test_daemons_are_ended_where_they_wait() -> None:
    def waits(name: str, wait: Callable[[], object]) -> None:
        try:
            wait()
        finally:
            ended.append(name)

    def main() -> None:
        listener, event, lock = socket.create_server(("localhost", 0)), threading.Event(), threading.Lock()
        lock.acquire()
        near, _ = socket.create_connection(listener.getsockname()), listener.accept()
        waiting: dict[str, Callable[[], object]] = {
            "sleep": lambda: time.sleep(100), "accept": listener.accept, "event": event.wait, "lock": lock.acquire,
            "recv": lambda: near.recv(1), "queue": queue.Queue[int]().get, "simple": queue.SimpleQueue[int]().get,
            "join": lambda: start(lambda: time.sleep(1000), daemon=True)[0].join(),
            "barrier": threading.Barrier(2).wait, "future": concurrent.futures.Future[int]().result,
        }  # fmt: skip
        start(*[functools.partial(waits, name, wait) for name, wait in waiting.items()], daemon=True)
        time.sleep(1)
        kept.extend(waiting)

    ended: list[str] = []
    kept: list[str] = []
    run(main)
    assert ended == kept


@pytest.mark.parametrize("closes", [True, False])
def test_a_peer_whose_daemon_was_ended_with_the_program_is_told_so(closes: bool) -> None:
    """What it does when it is ended here, it does not do in production: the program has not closed anything."""

    def main() -> None:
        def serves() -> None:
            conn, _ = listener.accept()
            try:
                conn.recv(10)
            finally:
                if closes:
                    conn.close()

        with socket.create_server(("localhost", 0)) as listener:
            start(serves, daemon=True)
            time.sleep(1)

    with pytest.raises(ScenarioError, match=r"^\[unmet-expectation\] alice") as caught, Scenario() as net:
        net.client("alice").waits(2).sends(b"hi").expects(b"hi")
        net.run(main)
    text = " ".join(str(caught.value).split())
    assert "has closed" not in text
    daemon = ", which has ended Thread-1 (serves), a daemon, where it waited" if closes else ""
    assert f"but the server has returned{daemon} " in text, text


def test_what_a_thread_cleans_up_takes_its_time() -> None:
    def works() -> None:
        try:
            time.sleep(100)
        finally:
            time.sleep(2)
            cleaned.append(time.monotonic() - FIRST)

    def main() -> None:
        start(works, works, daemon=True)
        time.sleep(1)

    cleaned: list[float] = []
    run(main)
    assert cleaned == [3, 3]


@pytest.mark.slow
@pytest.mark.parametrize("wait", ["time.sleep(1)", "lock.acquire()", "conn.recv(1)", "things.get()", "sum(())"])
def test_a_thread_that_swallows_its_end_is_got_rid_of(wait: str) -> None:
    def main() -> None:
        listener = socket.create_server(("localhost", 0))
        conn, lock = socket.create_connection(listener.getsockname()), threading.Lock()
        lock.acquire()
        space = {"time": time, "conn": conn, "lock": lock, "things": queue.Queue[int]()}
        start(lambda: exec(f"while True:\n  try: {wait}\n  except BaseException: pass", space), daemon=True)
        time.sleep(1)

    before = left()
    with contextlib.suppress(ScenarioError), Scenario(watchdog=1) as net:
        net.run(main)
    assert before == left()


def test_an_exception_of_the_program_ends_its_threads() -> None:
    def main() -> None:
        start(lambda: later(5, lambda: done.append("thread")))
        raise LookupError("of the program")

    done: list[str] = []
    with pytest.raises(LookupError, match="of the program"):
        run(main)
    assert done == []


def test_the_end_of_the_scripts_ends_a_server_in_a_thread() -> None:
    def main() -> None:
        server = socketserver.TCPServer(("localhost", 8888), Upper)
        try:
            (thread,) = start(server.serve_forever)
            thread.join()
        finally:
            ended.append("main")
            server.server_close()

    ended: list[str] = []
    before = left()
    with Scenario() as net:
        net.client("alice").sends(b"a\n").expects(b"A\n").closes()
        net.run(main)
    assert ended == ["main"]
    assert before == left()


def test_a_server_is_stopped_by_the_function_that_the_test_gives() -> None:
    def main() -> str:
        with socketserver.ThreadingTCPServer(("localhost", 8888), Upper) as server:
            net.on_end(server.shutdown)
            (thread,) = start(server.serve_forever)
            thread.join()
            return "returned"

    with Scenario() as net:
        net.client("alice").sends(b"a\n").expects(b"A\n").closes()
        assert net.run(main) == "returned"


def test_a_finding_in_a_thread_comes_out_of_the_run() -> None:
    def main() -> None:
        with socketserver.ThreadingTCPServer(("localhost", 8888), Upper) as server:
            server.serve_forever()

    before = left()
    with pytest.raises(ScenarioError, match=r"alice was sent b'A\\n' where it expects b'B\\n'") as caught:
        with Scenario() as net:
            net.client("alice").sends(b"a\n").expects(b"B\n").closes()
            net.run(main)
    assert caught.value.rule == "unexpected-send"
    assert before == left()


def test_nothing_is_told_of_how_threads_are_ended(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def main() -> None:
        pool = concurrent.futures.ThreadPoolExecutor(2)
        pool.submit(lambda: time.sleep(100))
        start(lambda: time.sleep(100), daemon=True)
        _thread.start_new_thread(time.sleep, (100,))
        time.sleep(1)
        raise LookupError

    with pytest.raises(LookupError):
        run(main)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


# -- deadlocks ------------------------------------------------------------------------------------


def order_of_locks() -> None:
    one, other = threading.Lock(), threading.Lock()

    def takes(first: Any, second: Any) -> None:
        with first:
            time.sleep(1)
            with second:
                pass

    together(lambda: takes(one, other), lambda: takes(other, one))


def no_sentinel() -> None:
    things: queue.Queue[int] = queue.Queue()
    things.put(1)
    together(lambda: [things.get() for _ in range(2)])


def nothing_comes() -> None:
    things: queue.SimpleQueue[int] = queue.SimpleQueue()
    together(lambda: things.get())


def lost_wake_up() -> None:
    condition = threading.Condition()

    def waits() -> None:
        with condition:
            condition.wait()

    with condition:
        condition.notify()  # nobody waits yet
    together(waits)


def join_of_each_other() -> None:
    threads: list[threading.Thread] = []
    waits = (lambda: later(1, threads[1].join), lambda: threads[0].join())
    threads += [threading.Thread(target=wait) for wait in waits]
    for thread in threads:
        thread.start()


def pool_too_small() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: pool.submit(int).result()).result()


def not_released() -> None:
    lock = threading.Lock()
    together(lambda: lock.acquire())
    with lock:
        pass


def not_released_long_ago() -> None:
    """What has ended is not taken for another thread, to which the system has given its number again."""
    lock = threading.Lock()

    def leaks() -> None:
        lock.acquire()

    def waits() -> None:
        threading.Event().wait()

    together(leaks)
    start(waits)
    time.sleep(1)
    lock.acquire()


def missing_party() -> None:
    barrier = threading.Barrier(3)
    together(lambda: barrier.wait(), lambda: barrier.wait())


def event_that_nobody_sets() -> None:
    threading.Event().wait()


@pytest.mark.parametrize(
    ("main", "lines"),
    [
        (order_of_locks, ["Thread.join() of Thread-1", "a lock that Thread-2 ", "a lock that Thread-1 "]),
        (no_sentinel, ["Thread.join() of Thread-1", "Queue.get()"]),
        (nothing_comes, ["Thread.join() of Thread-1", "SimpleQueue.get(), for"]),
        (lost_wake_up, ["Thread.join() of Thread-1", "Condition.wait()"]),
        (join_of_each_other, ["Thread.join() of Thread-2", "Thread.join() of Thread-1"]),
        (pool_too_small, ["Future.result()", "Future.result()"]),
        (not_released, ["a lock that Thread-1 (<lambda>) still has, which has ended"]),
        (not_released_long_ago, ["a lock that Thread-1 (leaks) still has, which has ended", "Event.wait()"]),
        (missing_party, ["Thread.join() of Thread-1", "Barrier.wait()", "Barrier.wait()"]),
        (event_that_nobody_sets, ["Event.wait()"]),
    ],
)
def test_a_deadlock_shows_what_each_thread_waits_for(main: Callable[[], None], lines: list[str]) -> None:
    before = left()
    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.run(main)
    assert caught.value.rule == "deadlock"
    shown = [line for line in str(caught.value).splitlines() if " waits in " in line]
    for line in lines:
        assert any(f" waits in {line}" in one and "test_threads.py:" in one for one in shown), (line, shown)
    assert before == left()


class Waits(socketserver.ThreadingTCPServer):
    """Calls its own shutdown() in the handler of a signal: in the thread that serves."""

    def serve(self) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: self.shutdown())
        self.serve_forever()


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("others", [0, 2])
def test_a_handler_of_a_signal_that_waits_for_the_thread_in_which_it_runs(asked: bool, others: int) -> None:
    def main() -> None:
        stops = threading.Event()
        with Waits(("localhost", 0), socketserver.StreamRequestHandler) as server:
            start(*[stops.wait] * others)
            server.serve()
            stops.set()

    with pytest.raises(ScenarioError, match=r"^\[deadlock\]") as caught, Scenario() as net:
        net.client("alice").expects_eof()
        if asked:
            net.terminates()
        net.run(main)
    text = " ".join(str(caught.value).split())
    assert "MainThread waits in Event.wait(), for" in text
    assert "in <lambda> signal.signal(signal.SIGTERM, lambda number, frame: self.shutdown())" in text
    assert "The handler of SIGTERM runs in the first thread, in the middle of what that does" in text


@pytest.mark.parametrize("others", [0, 2])
def test_one_that_lets_another_thread_wait_is_right(others: int) -> None:
    def main() -> None:
        stops = threading.Event()
        with socketserver.ThreadingTCPServer(("localhost", 0), socketserver.StreamRequestHandler) as server:
            start(*[stops.wait] * others)
            signal.signal(signal.SIGTERM, lambda number, frame: threading.Thread(target=server.shutdown).start())
            server.serve_forever()
            stops.set()

    with Scenario() as net:
        net.client("alice").expects_eof()
        net.terminates()
        net.run(main)


def test_what_a_step_or_time_lets_go_on_is_no_deadlock() -> None:
    def main() -> None:
        event, later_event = threading.Event(), threading.Event()
        net.client("alice").waits(3).does(event.set)
        listener = socket.create_server(("localhost", 8888))
        timer = threading.Timer(5, later_event.set)
        timer.start()
        start(event.wait, later_event.wait)
        assert event.wait()
        assert later_event.wait()
        listener.close()

    with Scenario(allow={"unaccepted-connection"}) as net:
        net.run(main)
        assert net.now == 5


# -- one socket in two threads --------------------------------------------------------------------


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("localhost", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, listener.accept()[0]


def test_a_socket_that_is_closed_under_a_reader_is_found() -> None:
    def main() -> None:
        near, _far = connected()
        start(lambda: near.recv(1))
        near.close()

    with pytest.raises(ScenarioError, match=r"Thread-1 \(<lambda>\) waits in recv\(\) on it") as caught:
        run(main)
    assert caught.value.rule == "closed-under-a-wait"


def test_a_reader_is_woken_by_a_shutdown() -> None:
    def main() -> None:
        near, far = connected()
        (thread,) = start(lambda: got.append(near.recv(1)))
        near.shutdown(socket.SHUT_RDWR)
        near.close()
        thread.join()
        far.close()

    got: list[bytes] = []
    run(main)
    assert got == [b""]


@pytest.mark.parametrize("timeout", [None, 600])
def test_so_is_one_under_which_the_test_itself_shuts_down_and_closes(timeout: float | None) -> None:
    def main() -> int | None:
        def closes() -> None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

        start(lambda: later(100, lambda: None))
        with socket.create_server(("", 8888)) as listener:
            net.on_end(closes)
            listener.settimeout(timeout)
            listener.accept()[0].close()
            with pytest.raises(OSError, match="Invalid argument") as caught:
                listener.accept()
        return caught.value.errno

    with Scenario() as net:
        net.client("alice").expects_eof()
        assert net.run(main) == errno.EINVAL


def test_one_that_sleeps_on_is_not_woken() -> None:
    def waits(conn: socket.socket) -> None:
        conn.settimeout(5)
        try:
            conn.recv(1)
        except OSError as error:
            got.append((type(error), time.monotonic() - FIRST))

    def main() -> None:
        near, far = connected()
        (thread,) = start(lambda: waits(near))
        near.close()
        thread.join()
        far.close()

    got: list[object] = []
    with Scenario(allow={"closed-under-a-wait"}) as net:
        net.run(main)
    assert got == [(TimeoutError, 5)]


def test_a_call_has_open_what_is_closed_meanwhile() -> None:
    def main() -> None:
        near, far = connected()
        (thread,) = start(lambda: got.append(near.recv(10)))
        near.close()
        time.sleep(1)
        far.setblocking(False)
        with pytest.raises(BlockingIOError):
            far.recv(1)
        far.send(b"late")
        thread.join()
        got.append(far.recv(1))
        far.close()

    got: list[bytes] = []
    with Scenario(allow={"closed-under-a-wait"}) as net:
        net.run(main)
    assert got == [b"late", b""]


def test_a_selector_waits_for_what_was_closed_meanwhile() -> None:
    def main() -> None:
        def selects(selector: selectors.BaseSelector) -> None:
            got.append([mask for _, mask in selector.select()])

        for kind in (selectors.PollSelector, selectors.SelectSelector):
            near, far = connected()
            with kind() as selector:
                selector.register(near, selectors.EVENT_READ)
                (thread,) = start(functools.partial(selects, selector))
                near.close()
                time.sleep(1)
                assert thread.is_alive()
                far.send(b"late")
                thread.join()
            far.close()

    got: list[list[int]] = []
    with Scenario(allow={"closed-still-registered"}) as net:
        net.run(main)
    assert got == [[selectors.EVENT_READ]] * 2


def test_each_thread_waits_for_its_own_at_one_line() -> None:
    def waits(name: str, sock: socket.socket) -> None:
        assert select.select([sock], [], [], 50)[0] == [sock]
        got.append((name, time.monotonic() - FIRST))

    def main() -> None:
        pairs = [socket.socketpair() for _ in range(2)]
        threads = start(*[functools.partial(waits, f"{number}", pair[0]) for number, pair in enumerate(pairs)])
        for _, far in pairs:
            time.sleep(1)
            far.send(b"x")
        for thread in threads:
            thread.join()
        for sock in [one for pair in pairs for one in pair]:
            sock.close()

    got: list[tuple[str, float]] = []
    run(main)
    assert got == [("0", 1), ("1", 2)]


def test_one_that_sends_has_a_time_out_of_its_own() -> None:
    def times_out(call: Callable[[], object]) -> None:
        with contextlib.suppress(TimeoutError):
            call()
        got.append(time.monotonic() - FIRST)

    def main() -> None:
        near, far = connected()
        near.settimeout(5)
        (thread,) = start(lambda: times_out(lambda: near.sendall(b"x" * 10_000_000)))
        time.sleep(3)
        times_out(lambda: near.recv(1))
        thread.join()
        near.close()
        far.close()

    got: list[float] = []
    with Scenario(allow={"short-send-lost"}) as net:
        net.run(main)
    assert got == [5, 8]


def test_threads_read_and_write_one_connection() -> None:
    def main() -> None:
        near, far = connected()

        def reads() -> None:
            while data := far.recv(4096):
                got.append(data)

        (thread,) = start(reads)
        together(*[lambda: near.sendall(b"x" * 100_000)] * 3)
        near.close()
        thread.join()
        far.close()

    got: list[bytes] = []
    run(main)
    assert b"".join(got) == b"x" * 300_000


def test_the_trace_says_which_thread_did_it() -> None:
    def main() -> None:
        near, far = connected()
        named = threading.Thread(target=lambda: far.sendall(b"hi"), name="sender")
        named.start()
        near.recv(2)
        named.join()
        near.close()
        far.close()

    with Scenario() as net:
        net.run(main)
    assert {(row.operation, row.thread) for row in net.trace if row.operation in ("send", "recv")} == {
        ("send", "sender"), ("recv", "MainThread"),
    }  # fmt: skip


# -- exceptions -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_a_thread_has_died_of_is_found() -> None:
    def main() -> None:
        thread = threading.Thread(target=int, args=("x",), name="worker")
        thread.start()
        thread.join()

    with pytest.raises(ScenarioError, match="thread worker has died of ValueError: invalid literal") as caught:
        run(main)
    assert caught.value.rule == "unhandled-exception"


def dies() -> None:
    raise ValueError("at once")


def test_so_is_what_a_bare_one_has_died_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def main(function: Callable[..., object], *args: object) -> None:
        _thread.start_new_thread(function, args)
        time.sleep(1)

    def hook(told: Any) -> None:
        heard.append(told.exc_type)

    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    for text, function, *args in (("at once", dies), ("invalid literal", int, "x")):
        with pytest.raises(ScenarioError, match=rf"a thread has died of ValueError: {text}.*unraisablehook") as caught:
            run(functools.partial(main, function, *args))
        assert caught.value.rule == "unhandled-exception"
    run(functools.partial(main, sys.exit))
    heard: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", hook)
    run(functools.partial(main, dies))
    assert heard == [ValueError]


class Hears:
    """Something that can be called, and is no function."""

    def __init__(self) -> None:
        self.died: list[str] = []

    def __call__(self, args: Any) -> None:
        self.died.append(args.thread.name)


@pytest.mark.parametrize("kind", ["object", "partial", "function"])
def test_what_a_hook_of_the_programs_own_hears_is_no_finding(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def main() -> None:
        thread = threading.Thread(target=int, args=("x",), name="worker")
        thread.start()
        thread.join()

    def hook(args: Any) -> None:
        hears(args)

    hears = Hears()
    monkeypatch.setattr(
        threading, "excepthook", {"object": hears, "partial": functools.partial(hears), "function": hook}[kind]
    )
    run(main)
    assert hears.died == ["worker"]


def test_nor_is_a_thread_that_exits(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    run(lambda: together(sys.exit))
    assert capfd.readouterr() == ("", "")


# -- signals --------------------------------------------------------------------------------------


def test_a_signal_is_handled_in_the_first_thread_wherever_it_waits() -> None:
    def main() -> None:
        def comes(_: int, __: object) -> None:
            handled.append((threading.current_thread().name, time.monotonic()))

        signal.signal(signal.SIGUSR1, comes)
        event = threading.Event()
        start(lambda: later(1, lambda: os.kill(os.getpid(), signal.SIGUSR1)), lambda: later(2, event.set))
        event.wait()
        handled.append(("main", time.monotonic()))

    handled: list[tuple[str, float]] = []
    run(main)
    assert handled == [("MainThread", 1001), ("main", 1002)]


def test_an_interrupt_comes_to_the_first_thread() -> None:
    def main() -> None:
        (thread,) = start(lambda: later(5, lambda: done.append(time.monotonic() - FIRST)))
        try:
            thread.join()
        except KeyboardInterrupt:
            done.append(("interrupted", time.monotonic() - FIRST))
        thread.join()

    done: list[object] = []
    with Scenario() as net:
        net.interrupts(at=2)
        net.run(main)
    assert done == [("interrupted", 2), 5]


@pytest.mark.parametrize("blocks", ["listener.accept()", "threading.wait()"])
def test_and_is_shown_in_the_call_in_which_that_one_waits(blocks: str) -> None:
    def main() -> None:
        start(lambda: later(1, lambda: time.sleep(1)))
        with socket.create_server(("", 8888)) as listener:
            wait: Callable[[], object] = listener.accept if blocks == "listener.accept()" else threading.Event().wait
            with contextlib.suppress(KeyboardInterrupt):
                wait()

    with Scenario() as net:
        net.interrupts(at=5)
        net.run(main)
    told = [str(event) for event in net.trace if "KeyboardInterrupt" in str(event)]
    assert told == [f"{blocks} raises KeyboardInterrupt"]


REALLY: Final = functools.partial(os.kill, os.getpid(), signal.SIGUSR1)
"""Sends the process a real signal, as somebody outside would: kept here, it is not replaced."""


@pytest.fixture(name="handled")
def handled_by_the_process() -> Iterator[list[tuple[str, float]]]:
    """In which thread a handler of whoever runs the test was called, and when."""

    def comes(_: int, __: object) -> None:
        found.append((threading.current_thread().name, time.monotonic()))

    found: list[tuple[str, float]] = []
    before = signal.signal(signal.SIGUSR1, comes)
    yield found
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_of_the_process_is_handled_in_its_first_thread_while_another_one_runs(
    handled: list[tuple[str, float]],
) -> None:
    def another() -> None:
        time.sleep(1)
        REALLY()
        time.sleep(1)

    run(lambda: together(another))
    assert handled == [("MainThread", 1001)]


def test_so_is_one_that_comes_while_a_peer_acts(handled: list[tuple[str, float]]) -> None:
    def serves(listener: socket.socket) -> None:
        with listener.accept()[0]:
            time.sleep(3)

    def main() -> None:
        with socket.create_server(("", 8888)) as listener:
            together(functools.partial(serves, listener))

    with Scenario() as net:
        net.client().waits(2).does(REALLY).expects_eof()
        net.run(main)
    assert handled == [("MainThread", 1003)]  # before anybody goes on, at whatever time that is


@pytest.mark.parametrize("wait", [0, 1])
def test_so_is_one_that_comes_while_a_thread_cleans_up_at_the_end(handled: list[tuple[str, float]], wait: int) -> None:
    def another() -> None:
        try:
            time.sleep(100)
        finally:
            REALLY()
            time.sleep(wait)

    def main() -> None:
        start(another, daemon=True)
        time.sleep(1)

    run(main)
    assert [name for name, _ in handled] == ["MainThread"]


def test_who_is_interrupted_again_is_not_kept_by_a_thread_that_spins() -> None:
    def interrupts(_: int, __: object) -> None:
        raise KeyboardInterrupt

    def spins() -> None:
        while True:
            REALLY()

    before = signal.signal(signal.SIGUSR1, interrupts)
    try:
        with pytest.raises(KeyboardInterrupt), Scenario(watchdog=None) as net:
            net.run(lambda: together(spins))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert threading.active_count() == 1


def test_a_handler_of_the_process_that_others_put_in_place_meanwhile_stays() -> None:
    def main() -> None:
        (thread,) = start(lambda: time.sleep(1))
        really(signal.SIGUSR1, others)
        thread.join()

    def ours(_: int, __: object) -> None: ...

    def others(_: int, __: object) -> None: ...

    in_c: Any = importlib.import_module("_signal")  # Any: the stubs do not tell of it
    really = functools.partial(in_c.signal)
    before = signal.signal(signal.SIGUSR1, ours)
    try:
        run(main)
        assert signal.getsignal(signal.SIGUSR1) is others
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_pair_of_sockets_waits_in_virtual_time() -> None:
    def main() -> list[object]:
        near, far = socket.socketpair()
        start(lambda: later(2, lambda: far.sendall(b"hi")))
        got: list[object] = [near.recv(10), time.monotonic() - FIRST]
        near.settimeout(3)
        with pytest.raises(TimeoutError):
            near.recv(10)
        near.close()
        far.close()
        return [*got, time.monotonic() - FIRST]

    assert run(main) == [b"hi", 2, 5]


@pytest.mark.parametrize(("call", "timeout"), [("send", None), ("sendall", None), ("sendall", 5)])
def test_who_sends_more_through_a_pair_than_it_holds_waits_for_the_thread_that_reads(
    call: str, timeout: float | None
) -> None:
    def main() -> list[object]:
        near, far = socket.socketpair()
        near.settimeout(timeout)
        got: list[object] = []

        def reads() -> None:
            size = 0
            while data := far.recv(65536):
                size += len(data)
            got.append(size)

        (reader,) = start(reads)
        got.append(getattr(near, call)(b"x" * 1_000_000))
        near.close()
        reader.join()
        far.close()
        return got

    assert run(main) == [1_000_000 if call == "send" else None, 1_000_000]


@pytest.mark.parametrize("call", ["sendall", "recv"])
def test_with_one_thread_a_pair_waits_in_virtual_time_too(call: str) -> None:
    def main() -> float:
        near, far = socket.socketpair()
        with near, far:
            near.settimeout(2.5)
            with pytest.raises(TimeoutError, match="timed out"):
                getattr(near, call)(10 if call == "recv" else b"x" * 10_000_000)
        return time.monotonic() - FIRST

    assert run(main) == 2.5


def test_what_does_not_wait_in_a_pair_does_not_in_a_run() -> None:
    def main() -> list[object]:
        near, far = socket.socketpair()
        got: list[object] = []
        with near, far:
            for given in ((10, socket.MSG_DONTWAIT), (0,), (-1,)):
                try:
                    got.append(near.recv(*given))
                except (BlockingIOError, ValueError) as error:
                    got.append(type(error))
        return [*got, time.monotonic() - FIRST]

    def beside_another() -> list[object]:
        start(functools.partial(time.sleep, 100))
        return main()

    assert run(main) == [BlockingIOError, b"", ValueError, 0]
    assert run(beside_another) == [BlockingIOError, b"", ValueError, 0]


def test_beside_a_child_a_pair_waits_in_real_time() -> None:
    def main() -> tuple[bytes, float]:
        near, far = socket.socketpair()
        with near, far:
            text = f"import os, time; time.sleep(0.05); os.write({far.fileno()}, b'hi')"
            with subprocess.Popen([sys.executable, "-c", text], pass_fds=[far.fileno()]):
                near.settimeout(60)
                return near.recv(10), time.monotonic() - FIRST

    assert run(main) == (b"hi", 0)


def test_a_step_may_write_to_a_pair_that_has_room_whatever_threads_there_are() -> None:
    def serve(listener: socket.socket, pair: socket.socket) -> bytes:
        start(functools.partial(time.sleep, 1))
        with listener, listener.accept()[0]:
            return pair.recv(10)

    near, far = socket.socketpair()
    with near, far, Scenario() as net:
        net.client(delay=5).does(lambda: far.send(b"stop")).expects_eof()
        assert net.run(serve, net.listener(), near) == b"stop"
    assert net.now == 5


def test_who_reads_from_a_pair_goes_on_when_another_thread_shuts_it_down_and_closes_it() -> None:
    def main() -> list[bytes]:
        near, far = socket.socketpair()
        got: list[bytes] = []
        (reader,) = start(lambda: got.append(near.recv(10)))
        time.sleep(1)
        near.shutdown(socket.SHUT_RDWR)
        near.close()
        reader.join()
        far.close()
        return got

    assert run(main) == [b""]


def test_and_reads_on_from_one_that_was_closed_only_as_in_the_kernel() -> None:
    def main() -> list[bytes]:
        near, far = socket.socketpair()
        got: list[bytes] = []
        (reader,) = start(lambda: got.append(near.recv(10)))
        time.sleep(1)
        near.close()
        far.sendall(b"hi")
        reader.join()
        far.close()
        return got

    assert run(main) == [b"hi"]


def test_and_waits_so_while_a_server_cleans_up() -> None:
    def serve() -> None:
        near, far = socket.socketpair()
        with near, far, socket.create_server(("127.0.0.1", 80)) as listener:
            together(listener.accept)
            try:
                listener.accept()
            finally:
                near.settimeout(20)
                ended = time.monotonic()
                with pytest.raises(TimeoutError):
                    near.recv(10)
                far.sendall(b"bye")
                got.append((near.recv(10), time.monotonic() - ended))

    got: list[tuple[bytes, float]] = []
    with Scenario(allow={"leaked-connection", "blocking-call"}) as net:
        net.client().closes()
        net.run(serve)
    assert got == [(b"bye", 20)]


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_so_is_one_of_the_first_thread() -> None:
    def main() -> None:
        reader, writer = os.pipe()
        start(lambda: time.sleep(100))
        try:
            os.read(reader, 1)
        finally:
            os.close(reader)
            os.close(writer)

    before = left()
    with pytest.raises((NotImplementedError, ScenarioError)), Scenario(watchdog=1) as net:
        net.run(main)
    assert before == left()


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_a_call_that_waits_for_real_and_for_ever_is_told_of() -> None:
    def main() -> None:
        reader, writer = os.pipe()
        try:
            (thread,) = start(lambda: os.read(reader, 1))
            time.sleep(1)
            thread.join()
        finally:
            os.write(writer, b"x")
            os.close(writer)

    before = left()
    with pytest.raises((NotImplementedError, ScenarioError)), Scenario(watchdog=1) as net:
        net.run(main)
    for _ in range(1000):
        if before == left():
            break
        threading.Event().wait(0.01)
    assert before == left()


def test_many_may_wait_for_the_end_of_one() -> None:
    def main() -> list[float]:
        def waits(timeout: float | None) -> None:
            one.join(timeout)
            one.join()
            assert not one.is_alive()
            ended.append(time.monotonic() - begun)

        ended: list[float] = []
        begun = time.monotonic()
        one = threading.Thread(target=time.sleep, args=(3,))
        others = [threading.Thread(target=waits, args=(timeout,)) for timeout in (None, 1, 5, None)]
        for thread in (one, *others):
            thread.start()
        for thread in others:
            thread.join()
        return ended

    with Scenario() as net:
        assert net.run(main) == [3, 3, 3, 3]


@pytest.mark.shared
@pytest.mark.slow
def test_time_goes_on_for_others_while_a_thread_spins_and_is_let() -> None:
    def spins(conn: socket.socket) -> None:
        while not done:
            conn.recv(100)
            conn.sendall(b"")

    def main() -> float:
        with socket.create_server(("", 8888)) as listener:
            listener.settimeout(7)
            conn, _ = listener.accept()
            (thread,) = start(functools.partial(spins, conn))
            with pytest.raises(TimeoutError):
                listener.accept()
            done.append(time.monotonic() - FIRST)
            thread.join()
            conn.close()
        return done[0]

    done: list[float] = []
    with Scenario(allow={"busy-loop", "read-past-eof"}) as net:
        net.client().shuts_down().expects_eof()
        assert net.run(main) == 7

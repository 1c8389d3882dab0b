"""The threads of a scenario as a table: what each does and has, and, when the run is over, what each did last."""

from __future__ import annotations

import concurrent.futures
import queue
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario, ScenarioError, ThreadRow

if TYPE_CHECKING:
    from collections.abc import Callable

LOCK = threading.Lock()


def start(*functions: Callable[[], object], daemon: bool = False) -> list[threading.Thread]:
    threads = [threading.Thread(target=one, name=one.__name__, daemon=daemon) for one in functions]
    for thread in threads:
        thread.start()
    return threads


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("localhost", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, listener.accept()[0]


def states(rows: Any) -> dict[str, str]:
    return {row.name: row.state for row in rows}


def test_the_table_shows_what_each_thread_does_and_has() -> None:
    def main() -> str:
        lock, condition = threading.RLock(), threading.Condition()
        near, far = connected()

        def reads() -> None:
            with condition:
                near.recv(10)

        def wants() -> None:
            time.sleep(1)
            with lock:
                pass

        def idle() -> None:
            queue.Queue[int]().get()

        def done() -> None: ...

        start(reads, wants, idle, done, daemon=True)
        with lock:
            time.sleep(3)
            text = str(net.threads())
        near.shutdown(socket.SHUT_RDWR)
        far.close()
        return text

    with Scenario() as net:
        lines = str(net.run(main)).splitlines()
    assert [line.rpartition("  ")[0].rstrip() if "test_thread" in line else line for line in lines] == [
        "name        daemon  state                                         holds      where",
        "MainThread  False   runs                                          lock",
        "reads       True    waits in recv() on connection, for 3 s        condition",
        "wants       True    waits in a lock that MainThread has, for 2 s",
        "idle        True    waits in Queue.get(), for 3 s",
        "done        True    ended at 0 s",
    ]
    assert [line.rpartition(" in ")[2] for line in lines[1:-1]] == ["main", "reads", "wants", "idle"]


def test_who_waits_in_a_function_of_the_standard_library_is_shown_in_that() -> None:
    def main() -> str:
        def waits() -> None:
            concurrent.futures.wait([future], timeout=9)

        future = concurrent.futures.Future[int]()
        (thread,) = start(waits)
        time.sleep(3)
        state = states(net.threads())["waits"]
        future.set_result(1)
        thread.join()
        return state

    with Scenario() as net:
        assert net.run(main) == "waits in wait(), for 3 s"


def test_a_step_may_look_while_all_wait() -> None:
    def main() -> None:
        with socket.create_server(("localhost", 8888)) as listener:
            conn = listener.accept()[0]
            start(lambda: time.sleep(9))
            conn.recv(1)
            conn.close()

    found: list[ThreadRow] = []
    with Scenario() as net:
        net.client("alice").waits(2).does(lambda: found.extend(net.threads())).sends(b"x").closes()
        net.run(main)
    assert [(row.name, row.state) for row in found] == [
        ("MainThread", "waits in recv() on alice, for 2 s"),
        ("<lambda>", "sleeps until 9 s"),
    ]
    assert [row.where.rpartition(" in ")[2] for row in found] == ["main", "<lambda>"]


def test_so_it_may_where_there_is_but_one_thread() -> None:
    def main() -> None:
        with socket.create_server(("localhost", 8888)) as listener:
            listener.accept()[0].close()

    found: list[ThreadRow] = []
    with Scenario() as net:
        net.client("alice", delay=1).does(lambda: found.extend(net.threads())).expects_eof()
        net.run(main)
        assert [(row.name, row.state) for row in net.threads()] == [("MainThread", "ended")]
    assert [(row.name, row.state) for row in found] == [("MainThread", "waits in accept() on listener")]
    assert found[0].where.endswith(" in main")


def test_before_the_run_there_is_one() -> None:
    with Scenario() as net:
        assert [row[:4] for row in net.threads()] == [("MainThread", False, "runs", "")]
        assert repr(net.threads()) == "<ThreadTable of 1 threads>"


def test_after_the_run_it_tells_what_each_did_last() -> None:
    def main() -> None:
        near, far = connected()
        kept.append(far)

        def reads() -> None:
            near.recv(10)

        def works() -> None:
            time.sleep(2)

        start(reads, daemon=True)
        start(works)
        time.sleep(1)

    kept: list[socket.socket] = []
    with Scenario() as net:
        net.run(main)
        rows = net.threads()
    assert states(rows) == {
        "MainThread": "ended",
        "reads": "waits in recv() on connection, for 2 s; ended at 2 s",
        "works": "ended at 2 s",
    }
    assert [bool(row.where) for row in rows] == [False, True, False]


def test_a_lock_is_called_what_the_code_calls_it() -> None:
    class Server:
        def __init__(self) -> None:
            self.lock = threading.Lock()

        def serves(self) -> None:
            with self.lock, LOCK:
                found.extend(net.threads())

    def nameless() -> None:
        [threading.Lock()][0].acquire()
        kept: dict[int, Any] = {1: threading.Lock(), 2: threading.Lock()}
        for one in kept.values():
            one.acquire()
        one = None
        found.extend(net.threads())

    def main() -> None:
        for function in (Server().serves, nameless):
            function()

    found: list[ThreadRow] = []
    with Scenario() as net:
        net.run(main)
    assert [row.holds for row in found] == ["LOCK, self.lock", "2 locks"]


def test_what_ends_with_a_thread_or_is_waited_for_is_no_lock_that_it_has() -> None:
    def main() -> list[str]:
        event = threading.Event()
        start(*[one.join for one in start(lambda: time.sleep(5), lambda: event.wait(9))])
        time.sleep(1)
        holds = [row.holds for row in net.threads()]
        event.set()
        return holds

    with Scenario() as net:
        assert net.run(main) == ["", "", "", "", ""]


def test_nor_is_what_it_has_waited_with() -> None:
    def main() -> list[str]:
        threading.Event().wait(1)
        event = threading.Event()
        (thread,) = start(lambda: threading.Timer(1, event.set).run())
        event.wait()
        thread.join()
        return [row.holds for row in net.threads()]

    with Scenario() as net:
        assert net.run(main) == ["", ""]


def test_an_error_about_a_peer_in_vain_shows_the_threads() -> None:
    def main() -> None:
        with socket.create_server(("localhost", 8888)) as listener:
            conn = listener.accept()[0]

            def works() -> None:
                conn.recv(1)
                queue.Queue[int]().get()

            start(works, lambda: None)
            listener.accept()

    with pytest.raises(ScenarioError, match=r"\[stuck\]") as caught, Scenario() as net:
        net.client("alice").sends(b"x").expects(b"y")
        net.run(main)
    shown = [line.split("  ")[1] for line in str(caught.value).splitlines() if " waits in " in line and "    " in line]
    assert shown == ["MainThread", "works"]
    assert " threading.wait()" not in str(caught.value)

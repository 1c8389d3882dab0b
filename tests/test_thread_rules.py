"""What is judged of programs with threads: of each rule, what breaks it and, above all, what does not."""

from __future__ import annotations

import queue
import selectors
import socket
import threading
import time
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from mockselector import RuleId

PORT = 8888


def start(*functions: Callable[[], object], daemon: bool = False) -> list[threading.Thread]:
    threads = [threading.Thread(target=one, name=one.__name__, daemon=daemon) for one in functions]
    for thread in threads:
        thread.start()
    return threads


def together(*functions: Callable[[], object]) -> None:
    for thread in start(*functions):
        thread.join()


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("localhost", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, listener.accept()[0]


def right(program: Callable[[], object], *, pedantic: bool = True, allow: Collection[RuleId] = ()) -> None:
    """Nothing is found."""
    with Scenario(pedantic=pedantic, allow=allow) as net:
        net.run(program)


def found(rule: str, program: Callable[[], object], *, pedantic: bool = True) -> str:
    """What is found, as a text."""
    with pytest.raises(ScenarioError) as caught, Scenario(pedantic=pedantic, buffer=10) as net:
        net.run(program)
    assert caught.value.rule == rule, caught.value
    return str(caught.value)


def at(program: str, text: str) -> str:
    """The line of source that stands first in an error behind a word."""
    return next(line for line in text.splitlines() if line.strip().startswith(program))


# -- used-by-two ----------------------------------------------------------------------------------


def two(first: Callable[[socket.socket], object], second: Callable[[socket.socket], object]) -> Callable[[], None]:
    """A program whose threads have one socket, the second from a second later on; its peer sends twice."""

    def main() -> None:
        near, far = connected()

        def one() -> None:
            first(near)

        def other() -> None:
            time.sleep(1)
            second(near)

        threads = start(one, other)
        for _ in range(2):
            time.sleep(2)
            far.sendall(b"hi")
        for thread in threads:
            thread.join()
        near.close()
        far.close()

    return main


def reads(conn: socket.socket) -> None:
    conn.recv(100)


def test_two_threads_wait_to_read_one_socket() -> None:
    text = found("used-by-two", two(reads, reads))
    assert "is read by two threads at the same time: one has waited in recv() on it since 0 s" in text
    assert at("one reads", text).endswith("conn.recv(100)")
    assert at("meanwhile", text).endswith("conn.recv(100)")


def test_with_a_timeout_as_well() -> None:
    def patiently(conn: socket.socket) -> None:
        conn.settimeout(9)
        conn.recv(100)

    found("used-by-two", two(patiently, reads))


def test_one_takes_what_another_waits_for() -> None:
    def main() -> None:
        near, far = connected()

        def watches() -> None:
            with selectors.DefaultSelector() as selector:
                selector.register(near, EVENT_READ)
                selector.select()
                near.recv(100)

        def waits() -> None:
            near.recv(100)

        threads = start(watches, waits)
        time.sleep(1)
        far.sendall(b"hi")
        for thread in threads:
            thread.join()

    assert "since 0 s" in found("used-by-two", main)


def test_two_threads_wait_to_send_to_one_socket() -> None:
    def main() -> None:
        near, far = connected()

        def reader() -> None:
            time.sleep(1)
            far.recv(1)

        together(reader, lambda: near.sendall(b"x" * 1_000_000), lambda: near.sendall(b"y" * 1_000_000))

    assert "is written to by two threads at the same time: <lambda> has waited in send() on it" in found(
        "used-by-two", main
    )


def test_one_sends_while_another_is_in_the_middle_of_its_bytes() -> None:
    def main() -> None:
        near, far = connected()

        def reader() -> None:
            time.sleep(1)
            far.recv(1000)

        def late() -> None:
            time.sleep(1)  # by the time there is room, which is not sendall()'s yet
            near.send(b"and this")

        together(lambda: near.sendall(b"x" * 1_000_000), reader, late)

    found("used-by-two", main)


def half_sent(conn: socket.socket) -> int:
    conn.setblocking(False)
    sent = conn.send(b"x" * 1_000_000)
    assert sent < 1_000_000
    return sent


def mixes() -> None:
    near, far = connected()

    def first() -> None:
        half_sent(near)
        with selectors.DefaultSelector() as selector:
            selector.register(near, EVENT_WRITE)
            selector.select()

    def second() -> None:
        time.sleep(1)
        far.recv(1_000_000)
        near.send(b"y")

    together(first, second)


def test_one_sends_while_another_has_the_rest_still_to_send() -> None:
    text = found("used-by-two", mixes)
    assert "first has yet to send what send() did not take" in text
    assert 'conn.send(b"x" * 1_000_000)' in at("first sends", text)


def test_where_that_is_not_judged_the_rest_is_lost_and_both_are_named() -> None:
    text = found("short-send-lost", mixes, pedantic=False)
    assert "first has the rest still to send, and another thread has sent meanwhile." in text


def test_a_rule_is_allowed_for_one_run() -> None:
    right(two(reads, reads), allow={"used-by-two"})


def peeks(conn: socket.socket) -> None:
    conn.recv(100, socket.MSG_PEEK)


def takes_a_token(conn: socket.socket) -> None:
    conn.recv(1)
    conn.recv(1)


LOCK = threading.Lock()


def reads_alone(conn: socket.socket) -> None:
    with LOCK:
        conn.recv(100)


def looks(conn: socket.socket) -> None:
    conn.setblocking(False)
    with pytest.raises(BlockingIOError):
        conn.recv(100)
    time.sleep(9)


def writes(conn: socket.socket) -> None:
    conn.sendall(b"x" * 10)


def later(conn: socket.socket) -> None:
    time.sleep(2)
    conn.recv(100)


@pytest.mark.parametrize(
    ("first", "second"),
    [(reads, peeks), (takes_a_token, takes_a_token), (reads, looks), (reads, writes), (reads, later)],
)
def test_what_two_threads_may_do_to_one_socket(first: Any, second: Any) -> None:
    right(two(first, second), allow={"unread-data"})


def test_a_lock_in_common_makes_it_right() -> None:
    right(two(reads_alone, reads_alone))


def test_two_may_accept_from_one_listener() -> None:
    def main() -> None:
        with socket.create_server(("localhost", PORT)) as listener:

            def accepts() -> None:
                with listener.accept()[0] as conn:
                    conn.sendall(b"hi")

            together(accepts, accepts)

    with Scenario(pedantic=True) as net:
        for name in ("alice", "bob"):
            net.client(name, to=PORT, delay=1).expects(b"hi").expects_eof()
        net.run(main)


def test_whole_messages_may_come_from_several_threads() -> None:
    def main() -> None:
        near, far = connected()

        def sends() -> None:
            near.sendall(b"hi")
            time.sleep(1)
            near.sendall(b"you")

        together(sends, sends, sends)
        assert far.recv(100) == b"hihihiyouyouyou"
        near.close()
        far.close()

    right(main)


# -- lock-held-while-waiting ----------------------------------------------------------------------


class Store:
    """A thing that is kept by a lock, and fetched from a server; `how` is what is broken, or right."""

    def __init__(self, conn: socket.socket) -> None:
        self.lock = threading.Lock()
        self.condition = threading.Condition()
        self.conn = conn
        self.kept = b""

    def fetches(self) -> None:
        with self.lock:
            self.kept = self.conn.recv(10)

    def fetches_first(self) -> None:
        got = self.conn.recv(10)
        with self.lock:
            self.kept = got

    def fetches_under_a_condition(self) -> None:
        with self.condition:
            self.kept = self.conn.recv(10)

    def looks(self) -> bytes:
        time.sleep(1)
        with self.lock:
            return self.kept

    def looks_under_a_condition(self) -> bytes:
        time.sleep(1)
        with self.condition:
            return self.kept

    def looks_once(self) -> None:
        time.sleep(1)
        if self.lock.acquire(timeout=1):
            self.lock.release()

    def asks(self) -> None:
        with self.lock:
            self.conn.sendall(b"?")
            self.conn.recv(10)

    def asks_later(self) -> None:
        time.sleep(1)
        self.asks()

    def lets_it_go(self) -> None:
        time.sleep(4)
        self.lock.release()

    def waits_for_a_sign(self) -> None:
        self.lock.acquire()
        self.conn.recv(10)


def store(*what: Callable[[Store], object]) -> Callable[[], None]:
    """A program of threads that do this, all with one store; its server sends at 3 s and at 4 s."""

    def main() -> None:
        near, far = connected()
        its = Store(near)
        threads = [threading.Thread(target=one, args=(its,), name=one.__name__) for one in what]
        for thread in threads:
            thread.start()
        for seconds in (3, 1):
            time.sleep(seconds)
            far.sendall(b"hi")
        for thread in threads:
            thread.join()
        near.close()
        far.close()

    return main


def test_a_lock_is_held_during_a_wait_for_the_network_while_another_thread_wants_it() -> None:
    text = found("lock-held-while-waiting", store(Store.fetches, Store.looks))
    assert (
        "[lock-held-while-waiting] looks waited 2 s for self.lock, which fetches held while it waited in recv() on"
        " connection"
    ) in text
    assert at("fetches waits", text).endswith("self.kept = self.conn.recv(10)")
    assert at("looks waited", text).endswith("with self.lock:")


def test_so_is_that_of_a_condition() -> None:
    text = found("lock-held-while-waiting", store(Store.fetches_under_a_condition, Store.looks_under_a_condition))
    assert "looks_under_a_condition waited 2 s for self.condition, which" in text


def test_a_selector_that_waits_with_a_lock_keeps_others_from_registering() -> None:
    def main() -> None:
        lock = threading.RLock()
        near, far = connected()
        with selectors.DefaultSelector() as selector:

            def loop() -> None:
                with lock:
                    selector.select(5)

            def registers() -> None:
                time.sleep(1)
                with lock:
                    selector.register(near, EVENT_READ)
                    selector.unregister(near)

            together(loop, registers)
        near.close()
        far.close()

    text = found("lock-held-while-waiting", main)
    assert "registers waited 4 s for lock, which loop held while it waited in select() on selector" in text


@pytest.mark.parametrize(
    "what",
    [
        (Store.fetches_first, Store.looks),
        (Store.asks, Store.asks_later),  # the lock is there for the connection
        (Store.fetches, Store.looks_once),  # nobody knows what it wants to do
        (Store.fetches,),
        (Store.waits_for_a_sign, Store.lets_it_go, Store.looks),
    ],
)
def test_locks_that_are_right_during_a_wait(what: Any) -> None:
    right(store(*what), allow={"unread-data", "used-by-two"})


def test_the_end_of_a_thread_is_no_lock() -> None:
    def main() -> None:
        near, far = connected()

        def works() -> None:
            near.recv(10)

        (worker,) = start(works)
        (joins,) = start(worker.join)
        time.sleep(2)
        far.sendall(b"hi")
        joins.join()
        near.close()
        far.close()

    right(main)


def test_what_waits_for_an_event_or_a_queue_waits_for_no_lock() -> None:
    def main() -> None:
        near, far = connected()
        event, things = threading.Event(), queue.Queue[bytes]()

        def works() -> None:
            things.put(near.recv(10))
            event.set()

        threads = start(works, event.wait, things.get)
        time.sleep(2)
        far.sendall(b"hi")
        for thread in threads:
            thread.join()
        near.close()
        far.close()

    right(main)

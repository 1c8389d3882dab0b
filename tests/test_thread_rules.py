"""What is judged of programs with threads: of each rule, what breaks it and, above all, what does not."""

from __future__ import annotations

import asyncio
import queue
import selectors
import socket
import socketserver
import threading
import time
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any

import pytest

from contexts import for_client, for_server
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


def at(label: str, text: str) -> str:
    """The line of source behind a label; of another thread than the first, its name stands before that."""
    return next(line for line in text.splitlines() if line.strip().startswith(f"{label} "))


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
    assert at("one: reads", text).endswith("conn.recv(100)")
    assert at("other: meanwhile", text).endswith("conn.recv(100)")


def test_with_a_timeout_as_well() -> None:
    def patiently(conn: socket.socket) -> None:
        conn.settimeout(9)
        conn.recv(100)

    found("used-by-two", two(patiently, reads))


def over_tls(first: Callable[[Any], object], second: Callable[[Any], object]) -> None:
    """The same over TLS."""

    def main() -> None:
        with socket.create_server(("localhost", PORT)) as listener:
            conn = for_server().wrap_socket(listener.accept()[0], server_side=True)

        def one() -> None:
            first(conn)

        def other() -> None:
            time.sleep(1)
            second(conn)

        together(one, other)
        conn.close()

    with Scenario(pedantic=True, allow={"unread-data", "unmet-expectation"}) as net:
        alice = net.client("alice", to=PORT, tls=for_client())
        alice.waits(3).sends(b"hi").waits(3).sends(b"you").waits(3).closes()
        net.run(main)


def test_two_threads_wait_to_read_one_socket_over_tls() -> None:
    with pytest.raises(ScenarioError, match=r"^\[used-by-two\] alice is read by two threads"):
        over_tls(reads, reads)


def test_over_tls_one_may_read_and_one_write() -> None:
    over_tls(reads, lambda conn: conn.sendall(b"ok"))
    over_tls(reads_alone, reads_alone)


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
    assert 'conn.send(b"x" * 1_000_000)' in at("first: sends", text)


def serves_each_in_a_thread() -> None:
    def answers(conn: socket.socket) -> None:
        data = bytes(100_000)
        try:
            while data:
                data = data[conn.send(data) :]
        except ConnectionResetError:
            pass
        conn.close()

    with socket.create_server(("", PORT)) as listener, selectors.DefaultSelector() as selector:
        selector.register(listener, EVENT_READ)
        while selector.select():
            threading.Thread(target=answers, args=(listener.accept()[0],)).start()


def test_a_thread_whose_peer_is_gone_has_lost_nothing_though_another_one_slept_meanwhile() -> None:
    with Scenario() as net:
        net.client().waits(1).resets()
        net.run(serves_each_in_a_thread)


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

    def sleeps_under_a_condition(self) -> None:
        with self.condition:
            time.sleep(5)

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
    assert at("fetches: waits", text).endswith("self.kept = self.conn.recv(10)")
    assert at("looks: wanted it", text).endswith("with self.lock:")


def test_who_wants_a_lock_of_somebody_else_meanwhile_is_not_named() -> None:
    others = Store.sleeps_under_a_condition, Store.looks_under_a_condition
    text = found("lock-held-while-waiting", store(*others, Store.fetches, Store.looks))
    assert "looks waited 2 s for self.lock, which fetches held while it waited in recv() on connection" in text.replace(
        "\n  ", " "
    )


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


# -- accepted-not-registered ----------------------------------------------------------------------


class Acceptor:
    """A server whose first thread accepts in a selector, and hands each connection on; `how` is up to a subclass."""

    def __init__(self) -> None:
        self.kept: list[socket.socket] = []
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("localhost", PORT))
        self.selector.register(self.listener, EVENT_READ)
        self.begins()

    def begins(self) -> None: ...

    def takes(self, conn: socket.socket) -> None: ...

    def serve_forever(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    self.takes(self.listener.accept()[0])
                else:
                    self.other(key)

    def other(self, key: selectors.SelectorKey) -> None: ...


def echo(conn: socket.socket) -> None:
    with conn:
        while data := conn.recv(100):
            conn.sendall(data)


class ThreadForEach(Acceptor):
    def takes(self, conn: socket.socket) -> None:
        threading.Thread(target=echo, args=(conn,), daemon=True).start()


class ForgetsTheSecond(ThreadForEach):
    seen = 0

    def takes(self, conn: socket.socket) -> None:
        self.seen += 1
        self.kept.append(conn)
        if self.seen != 2:
            super().takes(conn)


class Pool(Acceptor):
    """Of one worker, which takes what it is to do from a queue."""

    def begins(self) -> None:
        self.things: queue.Queue[socket.socket] = queue.Queue()
        threading.Thread(target=self.works, name="worker", daemon=True).start()

    def takes(self, conn: socket.socket) -> None:
        conn.setblocking(True)
        self.things.put(conn)

    def works(self) -> None:
        while True:
            echo(self.things.get())


class SlowPool(Pool):
    def works(self) -> None:
        while True:
            conn = self.things.get()
            time.sleep(100)
            echo(conn)


class PollingPool(Pool):
    """Its worker looks into the queue now and then."""

    def works(self) -> None:
        while True:
            time.sleep(20)
            while not self.things.empty():
                echo(self.things.get())


class ForgettingPool(Pool):
    seen = 0

    def takes(self, conn: socket.socket) -> None:
        self.seen += 1
        self.kept.append(conn)
        if self.seen != 2:
            super().takes(conn)


class Loops(Acceptor):
    """A loop that accepts, and another, in a thread of its own, that serves; woken by a byte."""

    wakes = True

    def begins(self) -> None:
        self.things: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        with socket.create_server(("localhost", 0)) as listener:
            self.wake = socket.create_connection(listener.getsockname())
            self.woken = listener.accept()[0]
        threading.Thread(target=self.serves, name="loop", daemon=True).start()

    def takes(self, conn: socket.socket) -> None:
        conn.setblocking(False)
        self.things.put(conn)
        if self.wakes:
            self.wake.send(b"!")

    def serves(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.woken, EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self.woken:
                        self.woken.recv(100)
                        while not self.things.empty():
                            selector.register(self.things.get(), EVENT_READ)
                        continue
                    conn: Any = key.fileobj
                    data = conn.recv(100)
                    if data:
                        conn.send(data)
                    else:
                        selector.unregister(conn)
                        conn.close()


class LoopsThatAreNotWoken(Loops):
    wakes = False


class WaitsForALock(Acceptor):
    """Another thread has the lock for a while; a second loop sleeps meanwhile."""

    registers = True

    def begins(self) -> None:
        self.lock = threading.Lock()

        def holds() -> None:
            with self.lock:
                time.sleep(5)

        def loops() -> None:
            with selectors.DefaultSelector() as selector:
                while True:
                    selector.select(1)

        start(holds, loops, daemon=True)

    def takes(self, conn: socket.socket) -> None:
        with self.lock:
            self.kept.append(conn)
            if self.registers:
                self.selector.register(conn, EVENT_READ)

    def other(self, key: selectors.SelectorKey) -> None:
        conn: Any = key.fileobj
        data = conn.recv(100)
        if data:
            conn.send(data)
        else:
            self.selector.unregister(conn)
            conn.close()


class WaitsForALockAndForgets(WaitsForALock):
    registers = False


class WaitsForTwo(Acceptor):
    """Each connection has a thread, and none is served before there are two."""

    def begins(self) -> None:
        self.two = threading.Barrier(2)

    def takes(self, conn: socket.socket) -> None:
        threading.Thread(target=self.serves, args=(conn,), daemon=True).start()

    def serves(self, conn: socket.socket) -> None:
        self.two.wait()
        echo(conn)


class AcceptsInAThread(Acceptor):
    """The first thread has a selector, and another accepts, with none."""

    def begins(self) -> None:
        self.selector.unregister(self.listener)
        threading.Thread(target=self.accepts, name="accepts", daemon=True).start()

    def accepts(self) -> None:
        while True:
            conn = self.listener.accept()[0]
            time.sleep(3)
            echo(conn)


class SecondAcceptor(Acceptor):
    """Another thread accepts in a selector of its own, and forgets."""

    def begins(self) -> None:
        self.selector.unregister(self.listener)
        self.others: list[socket.socket] = []
        threading.Thread(target=self.accepts, name="accepts", daemon=True).start()

    def accepts(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, EVENT_READ)
            while True:
                selector.select()
                self.others.append(self.listener.accept()[0])


SERVERS = [ThreadForEach, Pool, PollingPool, Loops, WaitsForALock, AcceptsInAThread]


def serves(net: Scenario, server: type[Acceptor]) -> None:
    net.run(lambda: server().serve_forever())


@pytest.mark.parametrize("server", SERVERS)
def test_a_connection_may_be_handed_to_another_thread(server: type[Acceptor]) -> None:
    with Scenario() as net:
        for number, name in enumerate(("alice", "bob", "carol")):
            net.client(name, to=PORT, delay=number).sends(b"hi").expects(b"hi").waits(2).closes()
        serves(net, server)


@pytest.mark.parametrize("server", [*SERVERS[:-1], SlowPool, WaitsForTwo])
def test_it_may_still_lie_there_when_the_scripts_are_at_their_end(server: type[Acceptor]) -> None:
    with Scenario() as net:
        net.client("alice", to=PORT).waits(1)
        if server is not WaitsForTwo:
            net.client("bob", to=PORT).waits(1)
        serves(net, server)


def lost(server: type[Acceptor], *, waits: bool) -> ScenarioError:
    with pytest.raises(ScenarioError) as caught, Scenario(allow={"leaked-connection"}) as net:
        for number, name in enumerate(("alice", "bob")):
            client = net.client(name, to=PORT, delay=number)
            if waits:
                client.sends(b"hi").expects(b"hi").closes()
            else:
                client.waits(2).closes()
        serves(net, server)
    return caught.value


@pytest.mark.parametrize(
    ("server", "name"),
    [
        (ForgetsTheSecond, "bob"),
        (ForgettingPool, "bob"),
        (LoopsThatAreNotWoken, "alice"),
        (WaitsForALockAndForgets, "alice"),
        (SecondAcceptor, "alice"),
    ],
)
def test_one_that_no_thread_will_come_to_is_found(server: type[Acceptor], name: str) -> None:
    error = lost(server, waits=True)
    assert (error.rule, error.socket) == ("accepted-not-registered", name), error
    text = str(error)
    who, by = ("accepts", "accepts: ") if server is SecondAcceptor else ("MainThread", "")
    assert ".accept()[0]" in at(f"{by}accepted", text)
    assert "select" in at(f"{by}went to sleep", text)
    assert f"{who} has accepted it, and gone to sleep; no thread has done anything with it since" in text.replace(
        "\n  ", " "
    )


@pytest.mark.parametrize("server", [ForgettingPool, LoopsThatAreNotWoken, SecondAcceptor])
def test_so_it_is_at_the_end(server: type[Acceptor]) -> None:
    assert lost(server, waits=False).rule == "accepted-not-registered"


def test_one_that_waits_in_a_queue_for_ever_waits_in_vain() -> None:
    with pytest.raises(ScenarioError, match=r"\[stuck\] bob") as caught, Scenario() as net:
        net.client("alice", to=PORT).sends(b"hi").expects(b"hi").waits(10_000)
        net.client("bob", to=PORT, delay=1).sends(b"hi").expects(b"hi")
        serves(net, Pool)
    assert "worker      True    waits in recv() on alice, for 3601 s" in str(caught.value)


# -- blocking-read --------------------------------------------------------------------------------


class BlocksInItsLoop(Loops):
    """The second loop reads whole messages of four bytes, and waits for each to be whole."""

    def serves(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.woken, EVENT_READ)
            while True:
                for key, _ in selector.select():
                    conn: Any = key.fileobj
                    if conn is self.woken:
                        self.woken.recv(100)
                        while not self.things.empty():
                            new = self.things.get()
                            new.setblocking(True)
                            selector.register(new, EVENT_READ)
                        continue
                    data = conn.recv(2)
                    if data:
                        conn.sendall(data + conn.recv(2))
                    else:
                        selector.unregister(conn)
                        conn.close()


class BlocksBesideALoop(ThreadForEach):
    """The first thread has a loop; each connection a thread, which waits for it."""


def two_halves(net: Scenario, server: type[Acceptor]) -> None:
    net.client("alice", to=PORT).sends(b"al").waits(5).sends(b"ce").expects(b"alce").closes()
    net.client("bob", to=PORT).sends(b"bo").waits(1).sends(b"bb").expects(b"bobb").closes()
    serves(net, server)


def test_a_loop_in_a_thread_keeps_others_waiting() -> None:
    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        two_halves(net, BlocksInItsLoop)
    assert (caught.value.rule, caught.value.socket) == ("blocking-read", "alice"), caught.value
    assert "conn.sendall(data + conn.recv(2))" in at("loop: read", str(caught.value).replace("read before", "before"))


def test_so_it_does_where_pedantic_rules_are_judged_with_nobody_else_there() -> None:
    with pytest.raises(ScenarioError) as caught, Scenario(pedantic=True) as net:
        net.client("alice", to=PORT, delay=1).sends(b"al").waits(5).sends(b"ce").expects(b"alce").closes()
        net.client("bob", to=PORT).waits(9).closes()
        serves(net, BlocksInItsLoop)
    assert caught.value.rule == "blocking-read"


@pytest.mark.parametrize("pedantic", [False, True])
def test_a_thread_that_serves_one_may_wait_for_it(pedantic: bool) -> None:
    with Scenario(pedantic=pedantic) as net:
        net.client("alice", to=PORT).sends(b"al").waits(5).expects(b"al").sends(b"ce").expects(b"ce").closes()
        net.client("bob", to=PORT).sends(b"bo").waits(1).expects(b"bo").closes()
        serves(net, ThreadForEach)


class AsksInItsLoop(Loops):
    """The second loop asks a backend for each request, in calls that block."""

    def serves(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.woken, EVENT_READ)
            while True:
                for key, _ in selector.select():
                    conn: Any = key.fileobj
                    if conn is self.woken:
                        self.woken.recv(100)
                        while not self.things.empty():
                            selector.register(self.things.get(), EVENT_READ)
                        continue
                    data = conn.recv(100)
                    if data:
                        with socket.create_connection(("db", 1)) as backend:
                            backend.sendall(data)
                            conn.send(backend.recv(100))
                    else:
                        selector.unregister(conn)
                        conn.close()


def test_who_has_asked_waits_for_the_backend_of_a_loop_in_a_thread_anyway() -> None:
    with Scenario() as net:
        net.client("alice", to=PORT).sends(b"q").waits(1).shuts_down().expects(b"a").expects_eof()
        net.backend(("db", 1)).expects(b"q").waits(20).sends(b"a").expects_eof()
        serves(net, AsksInItsLoop)


def test_whoever_else_comes_to_that_loop_should_not() -> None:
    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client("alice", to=PORT).sends(b"q").expects(b"a").closes()
        net.client("bob", to=PORT).waits(5).sends(b"q").expects(b"a").closes()
        for _ in range(2):
            net.backend(("db", 1), "db").expects(b"q").waits(20).sends(b"a").expects_eof()
        serves(net, AsksInItsLoop)
    assert (caught.value.rule, caught.value.socket) == ("blocking-read", "db"), caught.value
    assert "while bob was kept waiting for 15 s" in str(caught.value)


class LoopsTogether(Acceptor):
    """Two threads wait in one selector, and whoever is woken serves; it waits until a message is whole."""

    def begins(self) -> None:
        start(self.serve_forever, daemon=True)

    def serve_forever(self) -> None:
        while True:
            for key, _ in self.selector.select():
                conn: Any = key.fileobj
                if conn is self.listener:
                    self.selector.register(conn.accept()[0], EVENT_READ)
                    continue
                self.selector.unregister(conn)
                data = conn.recv(2)
                if data:
                    conn.sendall(data + conn.recv(2))
                    self.selector.register(conn, EVENT_READ)
                else:
                    conn.close()


def test_where_two_wait_in_one_selector_the_other_one_serves_meanwhile() -> None:
    served: list[float] = []
    with Scenario() as net:
        net.client("alice", to=PORT).sends(b"al").waits(5).sends(b"ce").expects(b"alce").closes()
        bob = net.client("bob", to=PORT).waits(1).sends(b"bobb").expects(b"bobb")
        bob.does(lambda: served.append(net.now)).closes()
        serves(net, LoopsTogether)
    assert served == [1]


# -- a loop that is not woken ---------------------------------------------------------------------


def in_a_thread(calls: Callable[[asyncio.AbstractEventLoop, Callable[[], None]], object], *, ticks: bool) -> None:
    """The first thread gives a loop that runs in another one what ends it. ticks: the loop wakes by itself."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def waits() -> None:
        loops.append(asyncio.get_running_loop())
        over = loops[0].create_future()
        ends.append(lambda: over.set_result(None))
        while ticks and not over.done():
            await asyncio.sleep(1)
        await over

    def serves() -> None:
        asyncio.run(waits())

    def main() -> None:
        (thread,) = start(serves)
        time.sleep(2.5)
        calls(loops[0], ends[0])
        thread.join()

    ends: list[Callable[[], None]] = []
    try:
        with Scenario() as net:
            net.run(main)
    finally:
        assert "call_soon" not in vars(loops[0])  # all is put back


def test_what_another_thread_gives_to_a_loop_that_sleeps_is_told_where_that_hangs() -> None:
    with pytest.raises(ScenarioError, match=r"^\[stuck\] the program has not returned") as caught:
        in_a_thread(lambda loop, ends: loop.call_soon(ends), ticks=False)
    assert at("MainThread: calls", str(caught.value)).endswith("loop.call_soon(ends), ticks=False)")
    assert "MainThread has given the event loop something to do by call_soon()" in str(caught.value)


def test_so_is_what_sets_a_future() -> None:
    with pytest.raises(ScenarioError, match="does not wake it") as caught:
        in_a_thread(lambda _, ends: ends(), ticks=False)
    assert at("MainThread: calls", str(caught.value)).endswith("over.set_result(None))")


def test_it_is_not_where_the_loop_wakes_by_itself_or_is_woken() -> None:
    in_a_thread(lambda loop, ends: loop.call_soon(ends), ticks=True)
    in_a_thread(lambda loop, ends: loop.call_soon_threadsafe(ends), ticks=False)


def test_it_is_not_said_of_what_the_loop_has_done_since() -> None:
    def main() -> None:
        (thread,) = start(lambda: asyncio.run(ticks_twice()))
        time.sleep(0.5)
        loops[0].call_soon(lambda: done.append(1))
        thread.join()

    async def ticks_twice() -> None:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(1)
        await loops[0].create_future()

    loops: list[asyncio.AbstractEventLoop] = []
    done: list[int] = []
    with pytest.raises(ScenarioError, match=r"^\[stuck\] the program has not returned") as caught, Scenario() as net:
        net.run(main)
    assert done == [1]
    assert "has given the event loop something to do" not in str(caught.value)


# -- closed-still-registered ----------------------------------------------------------------------


def test_a_server_that_is_closed_before_its_loop_has_ended_is_told_with_the_line_that_did_it() -> None:
    def main() -> None:
        server = socketserver.TCPServer(("localhost", PORT), socketserver.BaseRequestHandler)
        (loop,) = start(server.serve_forever, daemon=True)
        socket.create_connection(("localhost", PORT)).close()
        server.server_close()
        loop.join(5)

    text = found("closed-still-registered", main, pedantic=False)
    assert at("closed", text).endswith("server.server_close()")


# -- who did it -----------------------------------------------------------------------------------


def test_an_error_says_of_each_line_which_thread_it_was() -> None:
    error = lost(SecondAcceptor, waits=True)
    assert {event.thread for event in error.trace if event.operation == "accept"} == {"accepts"}
    assert {event.thread for event in error.trace if event.operation == "listen"} == {"MainThread"}


def test_what_comes_in_the_middle_of_a_message_is_told_with_both_threads() -> None:
    """Of two that send a message in pieces, with no lock, nobody knows but the peer who expects it whole."""

    def main() -> None:
        with socket.create_server(("localhost", PORT)) as listener:
            conn = listener.accept()[0]

        def sends(what: bytes) -> Callable[[], None]:
            def both() -> None:
                conn.sendall(what)
                time.sleep(1)
                conn.sendall(what)

            both.__name__ = what.decode()
            return both

        together(sends(b"a"), sends(b"b"))
        conn.close()

    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client("alice", to=PORT).expects(b"aabb")
        net.run(main)
    assert caught.value.rule == "unexpected-send"
    assert at("a: sent last", str(caught.value)).endswith("conn.sendall(what)")
    assert at("b: sent", str(caught.value)).endswith("conn.sendall(what)")


def test_who_does_not_come_back_is_told_with_all_threads() -> None:
    def main() -> None:
        def waits() -> None:
            with socket.create_server(("localhost", PORT)) as listener:
                listener.accept()

        together(waits)

    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.run(main)
    text = str(caught.value)
    assert "it waits in Thread.join() of waits, for 3600 s" in text
    assert "waits       False   waits in accept() on listener, for 3600 s" in text


def test_a_thread_that_never_waits_is_named() -> None:
    def main() -> None:
        def computes() -> None:
            while True:
                pass

        together(computes)

    with pytest.raises(ScenarioError, match=r"computes has called nothing of its scenario for") as caught:
        with Scenario(watchdog=0.2) as net:
            net.run(main)
    assert caught.value.rule == "busy-loop"


def test_an_object_that_starts_threads_as_it_is_made_is_told_where_to_make_it() -> None:
    class Jobs:
        def __init__(self) -> None:
            self.jobs: queue.SimpleQueue[object] = queue.SimpleQueue()
            threading.Thread(target=self.jobs.get).start()

        def serves(self) -> None:
            self.jobs.put("the last one")

    with (
        pytest.raises(ScenarioError, match=r"(?s)^\[deadlock\].*inside of\s+`with net.installed\(\):`"),
        Scenario() as net,
    ):
        net.run_until_complete(Jobs)
    with Scenario() as net:
        with net.installed():
            jobs = Jobs()
        net.run(jobs.serves)

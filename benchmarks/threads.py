"""Scenarios of threads: what it costs that one goes on and another waits, against real threads that do the same."""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from time import process_time
from typing import Any, Protocol

from contestants import MESSAGE
from mockselector import Scenario
from table import Bar, Row, compared, in_turn, measured, time_text

PAUSE = 0.01

# -- what they do ---------------------------------------------------------------------------


class Box(Protocol):
    """What one thread leaves something in, and another takes it out of."""

    def put(self, item: int, /) -> object: ...
    def get(self) -> int: ...


class ByCondition:
    """A box for one thing, as people write them."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.items: list[int] = []

    def put(self, item: int, /) -> None:
        with self.condition:
            self.items.append(item)
            self.condition.notify()

    def get(self) -> int:
        with self.condition:
            while not self.items:
                self.condition.wait()
            return self.items.pop()


def by_queue() -> Box:
    return queue.Queue[int]()


def by_simple_queue() -> Box:
    return queue.SimpleQueue[int]()


def ping_pong(make: Callable[[], Box], trips: int) -> None:
    """Two threads, of which each waits for the other, all the time: two switches a trip."""
    there, back = make(), make()

    def other() -> None:
        for _ in range(trips):
            back.put(there.get())

    thread = threading.Thread(target=other)
    thread.start()
    for number in range(trips):
        there.put(number)
        assert back.get() == number
    thread.join()


def answer(sock: socket.socket) -> None:
    """One connection, until it ends."""
    with sock:
        while data := sock.recv(1024):
            sock.sendall(data)


def ask(address: Any, trips: int, before: Callable[[], object] = int) -> float:
    """A client that waits for each answer; returns how long they took. before: called once it is connected."""
    with socket.create_connection(address) as sock:
        before()
        start = process_time()
        for _ in range(trips):
            sock.sendall(MESSAGE)
            assert sock.recv(1024) == MESSAGE
        return process_time() - start


def echo(trips: int, idle: int = 0) -> float:
    """Server and client are threads: two switches a trip. idle: so many more wait for what does not come meanwhile."""
    with socket.create_server(("127.0.0.1", 0), backlog=idle + 1) as listener:
        silent = [socket.create_connection(listener.getsockname()) for _ in range(idle)]
        answering = [threading.Thread(target=answer, args=(listener.accept()[0],)) for _ in silent]
        accepting = threading.Thread(target=lambda: answer(listener.accept()[0]))
        for thread in (*answering, accepting):
            thread.start()
        seconds = ask(listener.getsockname(), trips)
        for sock in silent:
            sock.close()
        for thread in (*answering, accepting):
            thread.join()
        return seconds


def serve_many(clients: int, trips: int) -> None:
    """A thread for each connection, all open at once, and each client is a thread, too."""
    all_there = threading.Barrier(clients)
    with socket.create_server(("127.0.0.1", 0), backlog=clients) as listener:
        asking = [
            threading.Thread(target=ask, args=(listener.getsockname(), trips, all_there.wait)) for _ in range(clients)
        ]
        for thread in asking:
            thread.start()
        answering = [threading.Thread(target=answer, args=(listener.accept()[0],)) for _ in range(clients)]
        for thread in answering:
            thread.start()
        for thread in (*asking, *answering):
            thread.join()


def serve_scripted(clients: int) -> None:
    """A thread for each connection; the clients are peers."""
    with socket.create_server(("127.0.0.1", 8888)) as listener:
        threads = [threading.Thread(target=answer, args=(listener.accept()[0],)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def start_and_join(many: int) -> None:
    """Threads that do nothing but sleep, all at once."""
    threads = [threading.Thread(target=time.sleep, args=(PAUSE,)) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def real(work: Callable[[int], object], times: int) -> float:
    """Seconds for each of them."""
    start = process_time()
    work(times)
    return (process_time() - start) / times


def simulated(work: Callable[[int], object], times: int) -> float:
    """The same in a scenario."""
    start = process_time()
    with Scenario() as net:
        net.run(work, times)
    return (process_time() - start) / times


def scripted(clients: int, trips: int) -> float:
    """Seconds for each request of peers, of which each waits for its answer; making the script counts."""
    start = process_time()
    with Scenario() as net:
        for _ in range(clients):
            client = net.client().waits(1)  # until all are there
            for _ in range(trips):
                client.sends(MESSAGE).expects(MESSAGE)
            client.closes()
        net.run(serve_scripted, clients)
    return (process_time() - start) / (clients * trips)


def beside_idle(idle: int, trips: int) -> float:
    """Seconds for each round trip beside threads that wait for sockets."""
    with Scenario() as net:
        seconds = net.run_until_complete(echo, trips, idle)
    return seconds / trips


def between_threads(clients: int, trips: int) -> float:
    """Seconds for each request of threads."""
    return simulated(lambda _: serve_many(clients, trips), clients * trips)


# -- the rows -------------------------------------------------------------------------------


def against_real(
    what: str, work: Callable[[int], object], times: int, rounds: int, each: int, most: float | None = None
) -> Iterator[Row]:
    """each: what is counted for one of the times. most: microseconds for one of these."""
    seen = in_turn({"ours": partial(simulated, work, times), "real": partial(real, work, times)}, rounds)
    ours, others = ([one / each for one in seen[name]] for name in ("ours", "real"))
    if most is None:
        yield Row(what, time_text(ours))
    else:
        middle = sorted(ours)[len(ours) // 2] * 1e6
        yield measured(what, time_text(ours), middle, Bar("at most", most, " us"))
    yield compared("  against real threads", time_text(others), ours, others)


@contextmanager
def on_one_processor() -> Generator[None]:
    """As `taskset` does: what one thread does for another is then not told to a processor that has to be woken."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def thread_rows(quick: bool) -> Iterator[Row]:
    """Switches, threads, and connections with a thread each."""
    rounds, trips, many = (2, 500, 100) if quick else (11, 3000, 1000)
    by_name = {"queue.Queue": by_queue, "SimpleQueue": by_simple_queue, "Condition": ByCondition}
    for name, make in by_name.items():
        yield from against_real(f"a switch of threads by {name}", partial(ping_pong, make), trips, rounds, 2)
    yield from against_real("a switch by an echo between two threads", echo, trips, rounds, 2)
    if sys.platform == "linux":
        with on_one_processor():
            for name, make in by_name.items():
                what, most = f"by {name}, on one processor", 15 if "Queue" in name else None
                yield from against_real(what, partial(ping_pong, make), trips, rounds, 2, most)
    yield from against_real(f"one of {many:,} threads, that sleeps", start_and_join, many, min(rounds, 5), 1)
    sizes = (10, 50) if quick else (20, 200)
    yield from growth("a request of threads", sizes, lambda size: between_threads(size, 10), quick)
    yield from growth("a request of peers, answered by threads", sizes, lambda size: scripted(size, 10), quick)
    yield from growth("an echo beside threads that wait", sizes, lambda size: beside_idle(size, trips), quick)


def growth(what: str, sizes: tuple[int, int], work: Callable[[int], float], quick: bool) -> Iterator[Row]:
    """A thread for each connection, more and more of them."""
    seen = in_turn({str(size): partial(work, size) for size in sizes}, 2 if quick else 5)
    few, most = (seen[str(size)] for size in sizes)
    yield Row(f"{what}: {sizes[0]} of them", time_text(few))
    yield compared(f"  {sizes[1]} of them", time_text(most), most, few, Bar("at most", 1.2))

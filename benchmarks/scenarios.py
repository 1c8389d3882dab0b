"""Scenarios of a raw selector server, which is run as it is, against the same over real loopback."""

from __future__ import annotations

import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from selectors import EVENT_READ, DefaultSelector
from time import process_time
from types import FrameType
from typing import Any

from contestants import MESSAGE
from mockselector import Scenario
from table import Bar, Row, Turn, compared, in_turn, measured, time_text

# -- what they do ---------------------------------------------------------------------------


def echo(listener: socket.socket, stop: socket.socket | None = None) -> None:
    """A server as people write them; it ends when `stop` is readable."""
    with DefaultSelector() as selector:
        selector.register(listener, EVENT_READ)
        if stop is not None:
            selector.register(stop, EVENT_READ)
        while True:
            for key, _ in selector.select():
                sock: Any = key.fileobj  # Any: `selectors` cannot know
                if sock is stop:
                    return
                if sock is listener:
                    client, _ = listener.accept()
                    client.setblocking(False)
                    selector.register(client, EVENT_READ)
                elif data := sock.recv(1024):
                    sock.send(data)
                else:
                    selector.unregister(sock)
                    sock.close()


def serve_echo() -> None:
    with socket.create_server(("127.0.0.1", 8888)) as listener:
        echo(listener)


def simulated(clients: int, trips: int, *, together: bool = False) -> float:
    """Seconds per round trip, with so many of them for each client; making the script counts.

    together: each stays connected until all are served.
    """
    start = process_time()
    with Scenario() as net:
        for _ in range(clients):
            client = net.client()
            for _ in range(trips):
                client.sends(MESSAGE).expects(MESSAGE)
            if together:
                client.waits(1)  # time goes on when nothing else can happen
            client.closes()
        net.run(serve_echo)
    return (process_time() - start) / (clients * trips)


def real(clients: int, trips: int) -> float:
    """The same over loopback, with the server in a thread."""
    mine, its = socket.socketpair()
    start = process_time()
    with socket.create_server(("127.0.0.1", 0)) as listener, mine, its:
        thread = threading.Thread(target=echo, args=(listener, its))
        thread.start()
        for _ in range(clients):
            with socket.create_connection(listener.getsockname()) as client:
                for _ in range(trips):
                    client.sendall(MESSAGE)
                    assert client.recv(1024) == MESSAGE
        mine.sendall(b"x")
        thread.join()
    return (process_time() - start) / (clients * trips)


def calls(work: Callable[[], object]) -> Counter[str]:
    """How often some work calls functions: `call` of Python (a generator that goes on is one), `c_call` of C."""
    counted: Counter[str] = Counter()

    def count(frame: FrameType, event: str, argument: object) -> None:
        counted[event] += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted


# -- the rows -------------------------------------------------------------------------------


def against_real(what: str, clients: int, trips: int, rounds: int, bar: Bar) -> Iterator[Row]:
    turns: dict[str, Turn] = {"ours": partial(simulated, clients, trips), "real": partial(real, clients, trips)}
    seen = in_turn(turns, rounds)
    yield Row(what, time_text(seen["ours"]))
    yield compared("  against loopback, server in a thread", time_text(seen["real"]), seen["ours"], seen["real"], bar)


def echo_rows(quick: bool) -> Iterator[Row]:
    """A round trip of one long connection."""
    rounds, trips = (2, 500) if quick else (11, 2000)
    yield from against_real("a round trip in a scenario", 1, trips, rounds, Bar("at most", 0.6))
    once, twice = (calls(partial(simulated, 1, times * trips)) for times in (1, 2))  # what comes once goes away
    python, c = ((twice[event] - once[event]) / trips for event in ("call", "c_call"))
    bar = Bar("at most", 60, " calls")
    yield measured("  calls of it", f"{python + c:.1f}", python + c, bar)
    yield Row("    of functions in Python, in C", f"{python:.1f}, {c:.1f}")


def connection_rows(quick: bool) -> Iterator[Row]:
    """A whole connection: connect, one message, its echo, close."""
    rounds, clients = (2, 100) if quick else (11, 500)
    yield from against_real("a connection in a scenario", clients, 1, rounds, Bar("at most", 0.7))


def client_rows(quick: bool) -> Iterator[Row]:
    """The same connections, more and more of them open at once."""
    rounds, sizes = (2, (200, 2000)) if quick else (3, (1000, 10_000, 50_000))
    turns: dict[str, Turn] = {str(size): partial(simulated, size, 1, together=True) for size in sizes}
    seen = in_turn(turns, rounds)
    few, most = sizes[0], sizes[-1]
    yield Row(f"a client of {few:,} in a scenario", time_text(seen[str(few)]))
    for size in sizes[1:]:
        times = seen[str(size)]
        bar = Bar("at most", 1.2) if size == most else None
        yield compared(f"  one of {size:,}", time_text(times), times, seen[str(few)], bar)

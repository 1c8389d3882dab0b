"""What is held in memory: by an event list, by a scenario, by its trace."""

from __future__ import annotations

import gc
import socket
import tracemalloc
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from selectors import EVENT_READ, DefaultSelector
from typing import Final

from contestants import MESSAGE, accept_all, serve
from mockselector import ListenSocket, MockSelector, MockSocket, Scenario
from scenarios import serve_echo
from table import Bar, Row, measured

CLIENTS: Final = 100
LONG_MESSAGE: Final = MESSAGE * 32
LEFT_OVER: Final = ("undelivered-event", "unread-data")
"""A measurement ends in the middle of its script."""

# -- what is measured -----------------------------------------------------------------------


@contextmanager
def held_bytes() -> Generator[Callable[[], int], None, None]:
    """Count what Python's objects take from here on."""

    def held() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    gc.collect()
    tracemalloc.start()
    try:
        yield held
    finally:
        tracemalloc.stop()


def idle_client(clients: int, *, blocking: bool) -> float:
    """Bytes per client that a strict run has accepted and registered."""
    with held_bytes() as held:
        listener = ListenSocket(MockSocket((MESSAGE,)) for _ in range(clients))
        selector = MockSelector(repeat(listener), strict=True, allow=LEFT_OVER)
        accept_all(selector, listener, clients, blocking=blocking)
        each = held() / clients
    selector.verify()
    return each


def traced_event(events: int, message: bytes) -> float:
    """Bytes per event that a strict run keeps: three rows of the trace, and the call of `send()`."""
    clients = [MockSocket(repeat(message)) for _ in range(CLIENTS)]
    listener = ListenSocket(clients)
    script = chain(repeat(listener, CLIENTS), chain.from_iterable(repeat(clients)))
    selector = MockSelector(script, strict=True, allow=LEFT_OVER)
    accept_all(selector, listener, CLIENTS)
    serve(selector, CLIENTS)
    with held_bytes() as held:
        serve(selector, events)
        each = held() / events
    selector.verify()
    return each


def served_client(clients: int) -> float:
    """Bytes per client that a scenario has connected, served and still holds, with its script and its rows."""
    sizes: list[int] = []
    with held_bytes() as held, Scenario() as net:
        for _ in range(clients):
            net.client().sends(MESSAGE).expects(MESSAGE)
        net.on_end(lambda: sizes.append(held()))  # all are at the end of their steps, and stay connected
        net.run(serve_echo)
    return sizes[0] / clients


def traced_row(trips: int) -> tuple[float, float]:
    """Bytes per step of a scenario's script, and bytes per row that its trace then grows by."""
    marks: list[tuple[int, int]] = []
    with held_bytes() as held, Scenario() as net:

        def mark() -> None:
            marks.append((held(), len(net.trace)))

        client = net.client()
        for number in range(trips):
            if number == CLIENTS:
                client.does(mark)
            client.sends(MESSAGE).expects(MESSAGE)
        client.does(mark).closes()
        step = held() / (2 * trips)
        net.run(serve_echo)
    (before, first), (after, last) = marks
    return step, (after - before) / (last - first)


def idle_polls(times: int) -> int:
    """Bytes that a server leaves behind which polls so many times, and finds nothing."""
    sizes: list[int] = []

    def poll() -> None:
        with socket.create_server(("127.0.0.1", 8888)) as listener, DefaultSelector() as selector:
            selector.register(listener, EVENT_READ)
            selector.select()
            connection, _ = listener.accept()
            sizes.append(held())
            with connection:
                for _ in range(times):
                    selector.select(0)
                sizes.append(held())

    with held_bytes() as held, Scenario() as net:
        net.client().waits(1e6)
        net.run(poll)
    return sizes[1] - sizes[0]


# -- the rows -------------------------------------------------------------------------------


def list_rows(quick: bool) -> Iterator[Row]:
    clients, events = (1000, 2000) if quick else (10_000, 100_000)
    for what, blocking in (("an idle strict client", True), ("  the same, set to non-blocking", False)):
        held = idle_client(clients, blocking=blocking)
        yield measured(what, f"{held:,.0f} bytes", held, Bar("at most", 2048, " bytes"))
    for message in MESSAGE, LONG_MESSAGE:
        held = traced_event(events, message)
        yield Row(f"what a strict run keeps of an event ({len(message):,} bytes)", f"{held:,.0f} bytes")


def scenario_rows(quick: bool) -> Iterator[Row]:
    clients, trips, polls = (1000, 1000, 50_000) if quick else (10_000, 20_000, 1_000_000)
    held = served_client(clients)
    yield measured("a client of a scenario", f"{held:,.0f} bytes", held, Bar("at most", 4000, " bytes"))
    step, held = traced_row(trips)
    yield measured("a row of its trace", f"{held:,.0f} bytes", held, Bar("at most", 120, " bytes"))
    yield Row("  a step of its script", f"{step:,.0f} bytes")
    held = idle_polls(polls) / 1e6
    yield measured(f"{polls:,} idle polls of it", f"{held:.2f} MB", held, Bar("at most", polls / 1e5, " MB"))

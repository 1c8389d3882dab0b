"""What mockselector costs: `python benchmarks` prints one table of ratios.

Times differ from machine to machine, ratios far less. So every time is set against what a user
would otherwise pick, in the same process: mockselector 0.2.3, real loopback sockets, a bare fake
without any checks. The contestants take turns, the garbage is collected before each turn, and a
line states the median of the rounds' ratios with the smallest and the largest.

What is timed never waits, so the processor's time is what counts (the process's own and the
kernel's for it): on a machine that others use too it is far steadier than the clock on the wall.

--quick: a run of a few seconds, to see that all this works; its figures mean little.
--check: exit status 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import platform
import socket
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from statistics import median
from time import process_time
from typing import Any, Final, NamedTuple, Protocol

import mockselector
from mockselector import ListenSocket, MockSelector, MockSocket, Scenario

CLIENTS: Final = 100
MESSAGES: Final = 100
MESSAGE: Final = b"a message of thirty-two bytes...\n"[:32]
LONG_MESSAGE: Final = MESSAGE * 32

Turn = Callable[[], float]
"""One turn of a contestant; returns what was measured: seconds per event, per socket, per import."""


# -- the contestants ------------------------------------------------------------------------


class Connection(Protocol):
    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytes, /) -> int: ...


class Listener(Protocol):
    def bind(self, address: tuple[str, int], /) -> object: ...
    def listen(self) -> object: ...
    def accept(self) -> tuple[Any, object]: ...  # Any: what the contestant takes for a connection


class Key(Protocol):
    @property
    def data(self) -> Any: ...  # Any: as `selectors` has it; a `Connection` here


class Selector(Protocol):
    def register(self, fileobj: Any, events: int, data: Any = None) -> object: ...  # Any: the contestant's own socket
    def select(self) -> Sequence[tuple[Key, int]]: ...


@dataclass(frozen=True)
class Fake:
    """How to make the three parts of a fake network."""

    socket: Callable[[Iterable[bytes]], Connection]
    listener: Callable[[Iterable[Any]], Listener]  # Any: the contestant's own sockets
    selector: Callable[[Iterable[Any]], Selector]  # Any: the contestant's own events


class BareSocket:
    """What a test's author writes by hand in a minute: no check, no number, no record but what was sent."""

    def __init__(self, recvs: Iterable[bytes]) -> None:
        self.recvs = iter(recvs)
        self.sent: list[bytes] = []

    def recv(self, size: int, /) -> bytes:
        return next(self.recvs, b"")

    def send(self, data: bytes, /) -> int:
        self.sent.append(data)
        return len(data)


class BareListener:
    def __init__(self, clients: Iterable[BareSocket]) -> None:
        self.clients = iter(clients)

    def bind(self, address: tuple[str, int], /) -> None:
        pass

    def listen(self) -> None:
        pass

    def accept(self) -> tuple[BareSocket, None]:
        return next(self.clients), None


class BareKey(NamedTuple):
    fileobj: object
    data: object


BareFile = BareSocket | BareListener


class BareSelector:
    def __init__(self, events: Iterable[BareFile | tuple[BareFile, ...]]) -> None:
        self.events = iter(events)
        self.keys: dict[object, BareKey] = {}

    def register(self, fileobj: object, events: int, data: object = None) -> None:
        self.keys[fileobj] = BareKey(fileobj, data)

    def select(self) -> list[tuple[BareKey, int]]:
        event = next(self.events)
        if isinstance(event, tuple):
            return [(self.keys[fileobj], EVENT_READ) for fileobj in event]
        return [(self.keys[event], EVENT_READ)]


LENIENT: Final = Fake(MockSocket, ListenSocket, lambda events: MockSelector(events, strict=False))
STRICT: Final = Fake(MockSocket, ListenSocket, lambda events: MockSelector(events, strict=True))
BARE: Final = Fake(BareSocket, BareListener, BareSelector)


def old() -> Fake | None:
    """The release 0.2.3, where it is there and works."""
    if sys.version_info[:2] != (3, 10):
        return None
    try:
        module: Any = importlib.import_module("mockselector_023.selector")  # Any: it has no types
    except ImportError:
        return None
    return Fake(module.MockSocket, module.ListenSocket, module.MockSelector)


# -- what they do ---------------------------------------------------------------------------


def serve(selector: Selector, selects: int) -> float:
    """An echo server, for so many `select()`s; returns the seconds that they took."""
    start = process_time()
    for _ in range(selects):
        for key, _mask in selector.select():
            connection: Connection = key.data
            connection.send(connection.recv(4096))
    return process_time() - start


def accept_all(selector: Selector, listener: Listener, clients: int, *, blocking: bool = True) -> None:
    """The server's start: accept and register every client."""
    listener.bind(("localhost", 8080))
    listener.listen()
    selector.register(listener, EVENT_READ)
    for _ in range(clients):
        selector.select()
        connection, _address = listener.accept()
        if not blocking:
            connection.setblocking(False)
        selector.register(connection, EVENT_READ, connection)


def fake_events(fake: Fake, clients: int, messages: int, *, together: bool = False, warm: int = 0) -> float:
    """Seconds per event. All clients in turn, `messages` times; or all of them in each `select()`.

    Making, accepting and registering the clients is not timed, nor are the first `warm` rounds.
    """
    sockets = tuple(fake.socket(repeat(MESSAGE, warm + messages)) for _ in range(clients))
    listener = fake.listener(sockets)
    rounds = repeat(sockets, warm + messages)
    events = rounds if together else chain.from_iterable(rounds)
    selects = 1 if together else clients
    selector = fake.selector(chain(repeat(listener, clients), events))
    accept_all(selector, listener, clients)
    serve(selector, warm * selects)
    gc.collect()
    return serve(selector, messages * selects) / (messages * clients)


class Loopback:
    """Real connections within this process; only the server's calls are timed.

    The message is in the server's buffer before `select()` is called, and the client reads the
    answer after the clock has stopped, so that no call ever waits.
    """

    def __init__(self, clients: int) -> None:
        self.selector = DefaultSelector()
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for _ in range(clients):
                client = socket.create_connection(listener.getsockname(), timeout=10)
                server, _address = listener.accept()
                for end in client, server:
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.selector.register(server, EVENT_READ, server)
                self.pairs.append((client, server))

    def close(self) -> None:
        self.selector.close()
        for pair in self.pairs:
            for end in pair:
                end.close()

    def events(self, messages: int, *, together: bool = False) -> float:
        """Seconds per event, as `fake_events()`."""
        groups = [self.pairs] if together else [[pair] for pair in self.pairs]
        seconds = 0.0
        for _ in range(messages):
            for group in groups:
                for client, server in group:
                    client.sendall(MESSAGE)
                    server.recv(1, socket.MSG_PEEK)  # waits until it is there
                seconds += serve(self.selector, 1)
                for client, _server in group:
                    client.recv(4096)
        return seconds / (messages * len(self.pairs))


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
                    selector.register(client, EVENT_READ)
                elif data := sock.recv(1024):
                    sock.sendall(data)
                else:
                    selector.unregister(sock)
                    sock.close()


def serve_echo() -> None:
    with socket.create_server(("localhost", 8888)) as listener:
        echo(listener)


def scenario_clients(clients: int) -> float:
    """Seconds per client of a scenario."""
    start = process_time()
    with Scenario() as net:
        for _ in range(clients):
            net.client().sends(MESSAGE).expects(MESSAGE).closes()
        net.run(serve_echo)
    return (process_time() - start) / clients


def loopback_clients(clients: int) -> float:
    """The same over loopback, with the server in a thread."""
    mine, its = socket.socketpair()
    start = process_time()
    with socket.create_server(("localhost", 0)) as listener, mine, its:
        thread = threading.Thread(target=echo, args=(listener, its))
        thread.start()
        for _ in range(clients):
            with socket.create_connection(listener.getsockname()) as client:
                client.sendall(MESSAGE)
                assert client.recv(1024) == MESSAGE
        mine.sendall(b"x")
        thread.join()
    return (process_time() - start) / clients


def empty_scenario() -> float:
    """Seconds that a scenario takes in which nothing happens."""
    start = process_time()
    for _ in range(10):
        with Scenario() as net:
            net.run(int)
    return (process_time() - start) / 10


def making(fake: Fake, count: int) -> float:
    """Seconds to make a socket; taking it away again is not timed."""
    start = process_time()
    made = [fake.socket((MESSAGE,)) for _ in range(count)]
    return (process_time() - start) / len(made)


LEFT_OVER: Final = ("undelivered-event", "unread-data")
"""A measurement ends in the middle of its script."""


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


IMPORT: Final = """
import sys, time
sys.path.append(sys.argv[1])
start = time.perf_counter()
import {modules}
seconds = time.perf_counter() - start
print(seconds, *sys.modules)
"""

UNWANTED: Final = ("asyncio", "pytest", "typing", "unittest.mock")


def importing(modules: str) -> tuple[float, set[str]]:
    """Seconds that an import takes in a fresh interpreter, and the modules that are then there."""
    home = str(Path(mockselector.__file__).parents[1])
    command = [sys.executable, "-I", "-S", "-c", IMPORT.format(modules=modules), home]
    seconds, *there = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), set(there)


# -- the table ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line. `holds` is None where there is no bar."""

    what: str
    figure: str
    ratio: str = ""
    bar: str = ""
    holds: bool | None = None

    def cells(self) -> tuple[str, ...]:
        verdict = {None: "", True: "holds", False: "FALLS SHORT"}[self.holds]
        return self.what, self.figure, self.ratio, self.bar, verdict


class Bar(NamedTuple):
    """At least, or at most, so much."""

    word: str
    limit: float

    def __str__(self) -> str:
        return f"{self.word} {self.limit:g}x"

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.word == "at least" else value <= self.limit


def in_turn(contestants: Mapping[str, Turn], rounds: int) -> dict[str, list[float]]:
    """Let all take turns, each round starting with another one."""
    names = list(contestants)
    results: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            results[name].append(contestants[name]())
    return results


def time_text(values: Iterable[float]) -> str:
    seconds = median(values)
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def compared(what: str, figure: str, over: Sequence[float], under: Sequence[float], bar: Bar | None = None) -> Row:
    """A line that states how many times `under` goes into `over`, round by round."""
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    digits = 1 if median(ratios) >= 10 else 2
    ratio = f"{median(ratios):.{digits}f}x ({min(ratios):.{digits}f} - {max(ratios):.{digits}f})"
    return Row(what, figure, ratio, "" if bar is None else str(bar), None if bar is None else bar.holds(median(ratios)))


def against_old(old_times: Sequence[float] | None, ours: Sequence[float], bar: Bar | None) -> Row:
    what = "  0.2.3 takes longer by"
    if old_times is None:
        return Row(what, "n/a", "(0.2.3 works on 3.10 only)", "" if bar is None else str(bar))
    return compared(what, time_text(old_times), old_times, ours, bar)


def event_rows(rounds: int, messages: int) -> Iterator[Row]:
    """An event, against everything that a user would otherwise pick."""
    fakes = {"lenient": LENIENT, "strict": STRICT, "bare": BARE}
    peer = old()
    if peer is not None:
        fakes["0.2.3"] = peer
    with closing(Loopback(CLIENTS)) as real:
        for what, together in (("an event", False), (f"an event, {CLIENTS} per select()", True)):
            turns: dict[str, Turn] = {
                name: partial(fake_events, fake, CLIENTS, messages, together=together) for name, fake in fakes.items()
            }
            turns["real"] = partial(real.events, messages, together=together)
            seen = in_turn(turns, rounds)
            figures = {name: time_text(times) for name, times in seen.items()}
            for name, least in (("lenient", 20), ("strict", 10)):
                yield Row(f"{what}: {name}", figures[name])
                yield against_old(seen.get("0.2.3"), seen[name], None if together else Bar("at least", least))
                what_real = "  real loopback takes longer by"
                yield compared(what_real, figures["real"], seen["real"], seen[name], Bar("at least", 1))
                yield compared("  a bare fake takes less by", figures["bare"], seen[name], seen["bare"])


def conversation_rows(rounds: int, sizes: Sequence[int]) -> Iterator[Row]:
    """A whole conversation (connect, message, echo, close) with a server that is run as it is."""
    few = sizes[0]
    turns: dict[str, Turn] = {str(size): partial(scenario_clients, size) for size in sizes}
    turns["real"] = partial(loopback_clients, few)
    seen = in_turn(turns, rounds)
    yield Row(f"a conversation, {few} clients in a scenario", time_text(seen[str(few)]))
    what = "  real loopback, server in a thread, takes longer by"
    yield compared(what, time_text(seen["real"]), seen["real"], seen[str(few)])
    for size in sizes[1:]:
        yield compared(f"  with {size:,} clients", time_text(seen[str(size)]), seen[str(size)], seen[str(few)])
    yield Row("making, running and judging a scenario", time_text(in_turn({"": empty_scenario}, rounds)[""]))


def making_rows(rounds: int, count: int) -> Iterator[Row]:
    turns: dict[str, Turn] = {"ours": partial(making, LENIENT, count)}
    peer = old()
    if peer is not None:
        turns["0.2.3"] = partial(making, peer, count // 50)
    seen = in_turn(turns, rounds)
    yield Row("making a socket", time_text(seen["ours"]))
    yield against_old(seen.get("0.2.3"), seen["ours"], Bar("at least", 50))


def growth_rows(rounds: int, sizes: Sequence[int], events: int) -> Iterator[Row]:
    """The same number of events over more and more clients, always the one that has waited longest.

    Each client has had one message before, so that the first use of a socket is not counted. What
    grows then is the memory walked through between two messages of one client: a bare fake, which
    does nothing that could depend on the number of clients, shows how much the machine adds.
    """
    for name, fake in (("lenient", LENIENT), ("strict", STRICT), ("bare fake", BARE)):
        turns: dict[str, Turn] = {
            str(size): partial(fake_events, fake, size, max(1, events // size), warm=1) for size in sizes
        }
        seen = in_turn(turns, rounds)
        yield Row(f"an event, against {CLIENTS} clients: {name}", time_text(seen[str(CLIENTS)]))
        for size in sizes:
            times = seen[str(size)]
            bar = Bar("at most", 1.5) if size == 100_000 and fake is not BARE else None
            if size != CLIENTS:
                yield compared(f"  at {size:,} clients", time_text(times), times, seen[str(CLIENTS)], bar)


def memory_rows(clients: int, events: int) -> Iterator[Row]:
    for what, blocking in (("an idle strict client", True), ("  the same, set to non-blocking", False)):
        held = idle_client(clients, blocking=blocking)
        yield Row(what, f"{held:,.0f} bytes", bar="at most 2,048 bytes", holds=held <= 2048)
    for message in MESSAGE, LONG_MESSAGE:
        held = traced_event(events, message)
        yield Row(f"what a strict run keeps of an event ({len(message):,} bytes)", f"{held:,.0f} bytes")


def import_rows(rounds: int) -> Iterator[Row]:
    baseline = "dataclasses, selectors, socket"
    importing("mockselector")  # leaves compiled files behind, if need be
    turns: dict[str, Turn] = {
        "ours": lambda: importing("mockselector")[0],
        "baseline": lambda: importing(baseline)[0],
    }
    seen = in_turn(turns, rounds)
    yield Row(f"import {baseline}", time_text(seen["baseline"]))
    bar = Bar("at most", 1.3)
    yield compared("  import mockselector takes", time_text(seen["ours"]), seen["ours"], seen["baseline"], bar)
    there = sorted(importing("mockselector")[1].intersection(UNWANTED))
    yield Row(f"  of {', '.join(UNWANTED)}", ", ".join(there) or "none", bar="none", holds=not there)


def rows(*, quick: bool) -> Iterator[Row]:
    yield from event_rows(2 if quick else 11, 10 if quick else MESSAGES)
    yield from conversation_rows(2 if quick else 11, (100, 1000) if quick else (100, 1000, 10_000))
    yield from making_rows(2 if quick else 15, 500 if quick else 5000)
    yield from growth_rows(
        2 if quick else 7, (10, 100, 1000) if quick else (10, 100, 1000, 10_000, 100_000), 2000 if quick else 100_000
    )
    yield from memory_rows(1000 if quick else 10_000, 2000 if quick else 100_000)
    yield from import_rows(2 if quick else 21)


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a run of a few seconds; its figures mean little")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a bar is missed")
    options = parser.parse_args()

    print(f"{platform.platform()}, {processor()}, {os.cpu_count()} CPUs")
    print(f"{platform.python_implementation()} {platform.python_version()}\n")
    widths = (46, 12, 26, 20)
    fallen = 0
    for row in chain([Row("what", "figure", "ratio (min - max)", "bar")], rows(quick=options.quick)):
        *cells, verdict = row.cells()
        print(*(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)), verdict, flush=True)
        fallen += row.holds is False
    if fallen:
        print(f"\n{fallen} of the bars {'is' if fallen == 1 else 'are'} missed.")
    return 1 if fallen and options.check else 0


def processor() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())

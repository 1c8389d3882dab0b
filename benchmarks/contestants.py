"""Who takes part in the rows about event lists: ours, 0.2.3, a bare fake, real loopback.

Owns what they have in common: how each is made, and a server that any of them can be put under.
"""

from __future__ import annotations

import importlib
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from selectors import EVENT_READ, DefaultSelector
from time import process_time
from typing import Any, Final, NamedTuple, Protocol

from mockselector import ListenSocket, MockSelector, MockSocket

MESSAGE: Final = b"a message of thirty-two bytes...\n"[:32]


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

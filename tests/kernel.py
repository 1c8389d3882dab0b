"""The same code on the real kernel and in a scenario: the ground of the tests that compare the two.

A function gets a `Ground`, makes its sockets with that (or by `socket.socket`, as a program does) and
returns what it has seen. `both()` runs it on real loopback sockets and on the simulated network of
a `Scenario`, in which both ends of a connection are sockets of the program itself. What cannot be
equal (ports, paths, numbers of descriptors) is given names by `Ground.normal()`.
"""

from __future__ import annotations

import os
import select
import selectors
import shutil
import socket
import tempfile
import time
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from mockselector import Scenario
from mockselector._judge.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket as Socket  # noqa: N812  (a ground's `socket()` hides it otherwise)

    from typing_extensions import Self

R = TypeVar("R")

BOTH: Final = EVENT_READ | EVENT_WRITE
GONE: Final = -1
"""What `Ground.ready()` says of a socket that is closed or detached."""

LATEST: Final = 10.0
"""Seconds after which something that the kernel was to do counts as never done."""

GRACE: Final = LATEST
"""Seconds in which the kernel comes to what it will come to, where nothing says when."""

SHORT: Final = 0.01
"""Seconds that a call waits which is to time out."""

READABLE, WRITABLE, ENDED, RESET = "readable", "writable", "ended", "reset"
"""What `Ground.settle()` waits for; ENDED: the peer's end has arrived, whatever is still to be read before it."""

_POLLED: Final = {READABLE: select.POLLIN, WRITABLE: select.POLLOUT, ENDED: select.POLLRDHUP, RESET: 0}
_BITS: Final = {READABLE: EVENT_READ, WRITABLE: EVENT_WRITE, ENDED: EVENT_READ, RESET: BOTH}


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


FAMILIES: Final = [socket.AF_INET, *[socket.AF_INET6] * _has_ipv6(), socket.AF_UNIX]
"""What this machine has."""


class Pair(NamedTuple):
    """A connection, and the listener that it was made to."""

    listener: socket.socket
    client: socket.socket
    accepted: socket.socket


class Ground:
    """Where code runs: on the kernel, or in a scenario. Makes sockets, and closes them all at the end."""

    def __init__(self, family: int, *, real: bool) -> None:
        self.family: Final = family
        self.real: Final = real
        self._closing: list[Callable[[], object]] = []
        self._labels: dict[object, str] = {}
        self._selector: selectors.BaseSelector | None = None
        self._trip: tuple[Socket, Socket] | None = None
        self._folder = ""
        self._files = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        for sock in self._trip or ():
            sock.close()
        if self._selector is not None:
            self._selector.close()
        if self._folder:
            shutil.rmtree(self._folder)

    def clear(self) -> None:
        """Close all sockets, and forget their names: for the next case."""
        while self._closing:
            self._closing.pop()()
        self._labels.clear()

    # -- making sockets -------------------------------------------------------------------------

    def keep(self, sock: Socket) -> Socket:
        """Close it at the end, at the latest."""
        self.after(sock.close)
        return sock

    def after(self, function: Callable[[], object]) -> None:
        """Call this at the end."""
        self._closing.append(function)

    def socket(self) -> Socket:
        """A new socket."""
        return self.keep(socket.socket(self.family))

    def address(self) -> Any:  # Any: a pair, four things, or a path
        """An address to bind to, which nobody has."""
        if self.family != socket.AF_UNIX:
            return ("127.0.0.1" if self.family == socket.AF_INET else "::1", 0)
        self._folder = self._folder or tempfile.mkdtemp()
        self._files += 1
        return f"{self._folder}/{self._files}.sock"

    def listener(self, backlog: int = 8, label: str = "listener's") -> Socket:
        """A socket that listens."""
        sock = self.socket()
        sock.bind(self.address())
        sock.listen(backlog)
        self.name(sock.getsockname(), label)
        return sock

    def pair(self, listener: Socket | None = None, client: Socket | None = None) -> Pair:
        """A client, connected to a new listener, or to one that is there, and accepted."""
        listener = listener or self.listener()
        client = client or self.socket()
        client.connect(listener.getsockname())
        self.settle(listener, READABLE)
        accepted = self.keep(listener.accept()[0])
        self.name(client.getsockname(), "client's")
        return Pair(listener, client, accepted)

    # -- waiting for the kernel -----------------------------------------------------------------

    def settle(self, sock: Socket, condition: str) -> None:
        """Wait until it holds; the kernel may be a moment late. In a scenario it must hold at once."""
        if self.real:
            poll = select.poll()
            poll.register(sock, _POLLED[condition])
            done = bool(poll.poll(LATEST * 1000))
        else:
            done = self.ready(sock) & _BITS[condition] == _BITS[condition]
        assert done, f"{sock!r} was to be {condition}"

    def arrived(self, sock: Socket, size: int) -> None:
        """Wait until so many bytes can be read."""
        self.comes_to(size, lambda: len(sock.recv(size, socket.MSG_PEEK | socket.MSG_DONTWAIT)))

    def comes_to(self, wanted: object, look: Callable[[], object]) -> None:
        """Wait until `look()` returns what is wanted. In a scenario it must at once."""
        last = time.monotonic() + LATEST if self.real else 0.0
        while (seen := look()) != wanted:
            assert self.real, f"{seen!r}, not {wanted!r}"
            assert time.monotonic() < last, f"{seen!r}, not {wanted!r}"

    def ready(self, sock: Socket) -> int:
        """What `select(0)` says of it, registered for both."""
        if sock.fileno() < 0:
            return GONE
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
        self._selector.register(sock, BOTH)
        found = sum(mask for _, mask in self._selector.select(0))
        self._selector.unregister(sock)
        return found

    def ready_like(self, sock: Socket, wanted: int | None) -> int:
        """What `select(0)` says; if that is not what is wanted, once the kernel has had the time to come to it."""
        seen = self.ready(sock)
        last = time.monotonic() + GRACE
        while self.real and wanted is not None and seen != wanted and time.monotonic() < last:
            seen = self.ready(sock)
        return seen

    def round_trip(self) -> None:
        """Let the kernel bring from one end of a connection to the other what is under way: it does so in order.

        What it needs, and what `ready()` needs, is open from the first time on: later, it would take a number that
        somebody waits for.
        """
        if self._trip is None:
            self._selector = self._selector or selectors.DefaultSelector()
            listener = socket.create_server(("127.0.0.1", 0))
            client = socket.create_connection(listener.getsockname())
            self._trip = client, listener.accept()[0]
            listener.close()
        client, accepted = self._trip
        for _ in range(3):
            client.sendall(b"there")
            accepted.recv(5, socket.MSG_WAITALL)
            accepted.sendall(b"and back")
            client.recv(8, socket.MSG_WAITALL)

    # -- comparing ------------------------------------------------------------------------------

    def name(self, address: Any, label: str) -> None:  # Any: as `socket` has it
        """Call an address by this name in what is compared."""
        self._labels[address if isinstance(address, str) else address[1]] = label

    def normal(self, value: object) -> object:
        """`value` without what differs from run to run: ports, paths, sockets by their kind only."""
        if isinstance(value, socket.socket):
            self.keep(value)
            return ("a socket", self.normal(value.getsockname()), value.gettimeout())
        if isinstance(value, (bytearray, memoryview)):
            return bytes(value)  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(value, str):
            return self._labels.get(value, "a path" if self._folder and value.startswith(self._folder) else value)
        if not isinstance(value, (list, tuple)):
            return value
        parts: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        port = parts[1] if len(parts) in (2, 4) and isinstance(parts[0], str) else None
        normal = [self.normal(one) for one in parts]
        if isinstance(value, tuple) and type(port) is int:
            normal[1] = self._labels.get(port, "a port" if port > 1023 else port)
        return normal if isinstance(value, list) else tuple(normal)

    def outcome(self, call: Callable[[], object], but: type[Exception] = AssertionError) -> object:
        """What a call returns, normalised; or the type of its exception, and the error number. `but`: is raised."""
        try:
            return self.normal(call())
        except (AssertionError, but):
            raise
        except Exception as error:
            return (type(error).__name__, error.errno if isinstance(error, OSError) else None)


def run_on_kernel(function: Callable[[Ground], R], family: int = socket.AF_INET) -> R:
    """What it returns on real loopback sockets."""
    with Ground(family, real=True) as ground:
        return function(ground)


def run_in_scenario(function: Callable[[Ground], R], family: int = socket.AF_INET) -> R:
    """What it returns in a scenario that judges nothing."""
    results: list[R] = []

    def server() -> None:
        with Ground(family, real=False) as ground:
            results.append(function(ground))

    with Scenario(allow=set(RULES), grace=1e9) as net:
        net.run(server)
    assert results, "the scenario came to its end before the function did"
    return results[0]


def both(function: Callable[[Ground], R], family: int = socket.AF_INET) -> tuple[R, R]:
    """What it returns on the kernel, and in a scenario."""
    return run_on_kernel(function, family), run_in_scenario(function, family)


def temporary_file(data: bytes) -> Any:  # Any: a file object of the standard library
    """A real file with these bytes, which is gone when it is closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    file.write(data)
    file.seek(0, os.SEEK_SET)
    return file

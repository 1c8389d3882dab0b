"""A peer's end of a connection over the system's own loopback, and what the kernel says of both ends.

Owns `Wire`, a real socket with the interface of a `Stream`, and `Far`, what is known of the server's end:
together they tell what the kernel has still to deliver. Knows nothing of peers, time or worlds.
"""

from __future__ import annotations

import _socket
import select as _select
import socket as _socket_module
import sys
from socket import IPPROTO_TCP, SOL_SOCKET, TCP_NODELAY
from typing import TYPE_CHECKING, Final, TypeAlias

from .._kernel.addresses import ANY
from .._kernel.streams import NOBODY
from .._methods import PEEK

if sys.platform != "win32":  # there it is refused
    from fcntl import ioctl
    from termios import FIONREAD, TIOCOUTQ

    _poll = _select.poll  # `_install` puts another one there

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._kernel.streams import FarEnd, Watcher
    from .._system import Address

ERROR: Final[int] = sum(getattr(_select, name, 0) for name in ("POLLERR", "POLLHUP", "POLLNVAL"))
IN: Final[int] = getattr(_select, "POLLIN", 0)
OUT: Final[int] = getattr(_select, "POLLOUT", 0)
ENDED: Final[int] = getattr(_select, "POLLRDHUP", 0)
"""Linux: the other end sends no more. Elsewhere nobody says so before all was read."""

TCP: Final = tuple(ANY)

TELLS_ACKNOWLEDGED: Final = sys.platform == "linux"
"""Whether the system tells how many of the bytes that were sent are not acknowledged (SIOCOUTQ in man 7 tcp)."""

LITTLE: Final = 4096
"""How many bytes are looked at first."""

Raw: TypeAlias = _socket.socket
"""The class below `socket.socket`, whose methods nobody replaces."""


class Far:
    """What is known of the server's end of a connection."""

    __slots__ = ("closed", "mute", "number", "counted", "peer", "read", "sent", "size")

    def __init__(self, number: int = -1, *, counted: bool = False) -> None:
        self.number: int = number  # of its descriptor; -1: it is not accepted yet, or closed
        self.counted: Final = counted  # whether the scenario goes on while it is open
        self.closed: bool = False
        self.mute: bool = False
        self.peer: FarEnd | None = None  # who plays the other end
        self.sent: int = 0
        self.read: int = 0
        self.size: Final = 0  # what the server has not read, when it has closed, only the kernel knows


class Wire:
    """A peer's end of a connection: a real socket, which never waits."""

    def __init__(self, sock: Raw, far: Far) -> None:
        self.sock: Final = sock
        self.local: Final[Address] = sock.getsockname()
        self.other: Final = far
        self.peer: FarEnd | None = None
        self.watcher: Watcher = NOBODY
        self.mute: bool = False
        self.closed: bool = False
        self.sent: int = 0
        self.read: int = 0
        self.taken_at_close: int = 0  # how much the server had sent by then
        self._ended: bool = False
        self._dead: bool = False
        self._seen: object = None
        sock.setblocking(False)
        if sock.family in TCP:  # else small pieces wait for the answer to those before them (RFC 896)
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)

    def attach(self, peer: FarEnd, watcher: Watcher) -> None:
        """A peer plays this end, and somebody is to be told when something happens here."""
        self.peer = self.other.peer = peer
        self.watcher = watcher

    @property
    def size(self) -> int:
        """How many bytes have come and were not read."""
        return 0 if self.sock.fileno() < 0 else unread(self.sock.fileno())

    @property
    def pending(self) -> bytes:
        """All that has come and was not read."""
        return self.peek(self.size)

    @property
    def ended(self) -> bool:
        """Whether the end has come, and all before it was read."""
        self._look()
        return self._ended

    @property
    def dead(self) -> bool:
        """Whether the connection was reset."""
        self._look()
        return self._dead

    def _look(self) -> None:
        if self.sock.fileno() < 0 or self._ended or self._dead:
            return
        try:
            self._ended = not self.sock.recv(1, PEEK)
        except BlockingIOError:
            pass
        except OSError:
            self._dead = True

    def pieces(self) -> Iterator[tuple[bytes, int]]:
        """The same, piece by piece; 0 of it was read. First a little: often that is enough, and it costs a copy."""
        size = self.size
        first = self.peek(min(size, LITTLE))
        yield first, 0
        if size > LITTLE:
            yield self.peek(size), LITTLE

    def peek(self, size: int) -> bytes:
        """At most `size` bytes of what has come."""
        size = min(size, self.size)
        return self.sock.recv(size, PEEK) if size else b""

    def take(self, size: int) -> bytes:
        """What `peek()` shows, which is then read."""
        data = self.peek(size)
        self.drop(len(data))
        return data

    def drop(self, size: int) -> None:
        """So many bytes were looked at, and are read."""
        self._seen = None
        while size > 0:
            got = len(self.sock.recv(size))
            self.read += got
            size -= got

    def offer(self, data: bytes, start: int, size: int) -> int:
        """Send what there is room for, of the `size` bytes from `start` on that are left; returns how many that is."""
        self._seen = None
        try:
            sent = self.sock.send(memoryview(data)[start : start + size])
        except BlockingIOError:
            self._seen = self._now_seen()  # when that changes, there is room
            return 0
        self.sent += sent
        return sent

    @property
    def failure(self) -> str:
        """Nothing but a reset can go wrong here."""
        return ""

    def adds_record(self, length: int, plain: int) -> None:
        """To the kernel that is as any other byte."""

    def finish(self) -> None:
        """Send no more."""
        self.mute = True
        try:
            self.sock.shutdown(_socket_module.SHUT_WR)
        except OSError:  # it was reset
            self._dead = True

    def close(self, *, reset: bool = False) -> None:
        """Close this end; `reset`: by a reset (man 7 socket, SO_LINGER)."""
        if reset and self.sock.family in TCP:
            self.sock.setsockopt(SOL_SOCKET, _socket_module.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.closed = True
        self.taken_at_close = self.other.sent
        self.sock.close()

    def take_notice(self) -> None:
        """Tell the peer if something has changed here."""
        if self.sock.fileno() < 0:
            return
        self._look()
        seen = self._now_seen()
        if seen != self._seen:
            self._seen = seen
            self.watcher.nudge()

    def _now_seen(self) -> object:
        return polled(self.sock.fileno()), self.size, self._ended, self._dead

    def owes(self) -> bool:
        """Whether the kernel has still to deliver what one end has sent or done, with nothing in the way of that."""
        number = self.other.number
        if not self.closed and not self.size and not polled(self.sock.fileno()) & ERROR and self._under_way_here():
            return True
        if self._end_missing_here() and not self.size:
            return True
        if number < 0 or unread(number):
            return False
        return self._end_missing_there() or (not polled(number) & ERROR and self._not_acknowledged())

    def _end_missing_here(self) -> bool:
        """Whether the server has ended, and the peer has not been told. (Not where nobody says so.)"""
        far = self.other
        if not ENDED or self.closed or not (far.closed or far.mute) or self._under_way_here():
            return False
        return not polled(self.sock.fileno()) & (ENDED | ERROR)

    def _end_missing_there(self) -> bool:
        far = self.other
        if not ENDED or far.number < 0 or not (self.closed or self.mute) or self._under_way_there():
            return False
        answered = self.closed and far.sent > self.taken_at_close
        return not polled(far.number) & (ERROR if answered else ENDED | ERROR)

    def in_flight(self) -> bool:
        """Whether something may come at once, or only when what is there has been read, or never.

        An end behind unread data: when the buffer is full, even that waits. Where the kernel does not tell
        what was acknowledged, bytes to the server: it may have read them by means of its own.
        """
        if self._end_missing_here() or self._end_missing_there():
            return True
        number = self.other.number
        if TELLS_ACKNOWLEDGED or self.closed or number < 0 or polled(self.sock.fileno()) & ERROR:
            return False
        return not polled(number) & ERROR and not unread(number) and self._under_way_there()

    def _not_acknowledged(self) -> bool:
        """Whether the kernel knows of bytes that have not arrived at the server's end."""
        if not TELLS_ACKNOWLEDGED or self.closed or self.sock.family not in TCP or not self._under_way_there():
            return False
        left = ioctl(self.sock.fileno(), TIOCOUTQ, b"\0\0\0\0")
        return any(left)

    @property
    def all_here(self) -> bool:
        """Whether all that the server has sent has arrived."""
        return not self._under_way_here()

    def _under_way_here(self) -> bool:
        return self.other.sent > self.read + self.size

    def _under_way_there(self) -> bool:
        return self.sent > self.other.read + unread(self.other.number)

    def state(self) -> object:
        """What there is to be seen at both ends, for whoever waits for it to change no more."""
        number = self.other.number
        here = None if self.closed else (polled(self.sock.fileno()), self.size)
        return here, None if number < 0 else (polled(number), unread(number))


def polled(number: int) -> int:
    """What poll() says."""
    watch = _poll()
    watch.register(number, IN | OUT | ENDED)
    return sum(flags for _, flags in watch.poll(0))


def unread(number: int) -> int:
    """How many bytes can be read; 0 of a number that the program has closed by itself."""
    try:
        left = ioctl(number, FIONREAD, b"\0\0\0\0")
    except OSError:
        return 0
    return int.from_bytes(left, "little")

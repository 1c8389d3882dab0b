"""Connections: two streams of bytes, one for each end.

Owns what has arrived at an end and how that end stands: open, shut down, ended, reset; and what `poll()` says of it.
Follows TCP as Linux shows it to a program (man 2 recv, send, shutdown, poll; man 7 tcp, unix).
"""

from __future__ import annotations

from collections import deque
from errno import ECONNRESET, EPIPE
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Final

from .._system import BOTH
from .bits import IN, OUT, POLLERR, POLLHUP, POLLRDHUP, POLLWRBAND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from .._judge.trace import Place
    from .._system import Address
    from .tls import Veil

    class Judge(Protocol):
        """What it expects to be sent."""

        def judge(self, data: bytes, /) -> object:
            """What is wrong with what it is about to be sent; None: nothing."""
            ...

    class Watcher(Protocol):
        """Who is told of what happens at an end."""

        def comes(self) -> None:
            """Bytes have come."""
            ...

        def frees(self) -> None:
            """Bytes were taken at the other end: there is room."""
            ...

        def nudge(self) -> None:
            """Its state has changed: an end, a reset."""
            ...

    class FarEnd(Protocol):
        """Who is at the other end of a connection, for the texts."""

        @property
        def name(self) -> str: ...
        @property
        def expecting(self) -> Judge: ...
        @property
        def is_backend(self) -> bool:
            """Whether the program has connected to it, and not it to the program."""
            ...

        @property
        def speaks_tls(self) -> bool:
            """Whether what it sends, and is sent, is ciphertext."""
            ...

        def place(self) -> Place:
            """Where its script was written."""
            ...

        def doing(self) -> str:
            """What it waits for, as half a sentence."""
            ...


_NOTHING: Final[deque[bytes]] = deque()
"""Where nothing has arrived: one for all, as each takes 760 bytes."""


class Stream:
    """One end of a connection: what has arrived there, and how it stands; as many facts as TCP has of it."""

    __slots__ = (
        "_offset", "capacity", "chunks", "closed", "dead", "deaf", "ended", "error", "local", "lost", "mute", "other",
        "peer", "remote", "size", "unix", "veil", "watcher",
    )  # fmt: skip

    other: Stream

    def __init__(self, capacity: int, local: Address, remote: Address, *, unix: bool = False) -> None:
        self.chunks: deque[bytes] = _NOTHING
        self._offset: int = 0  # how much of the first chunk was taken
        self.size: int = 0
        self.capacity: int = capacity
        self.local: Address = local
        self.remote: Address = remote
        self.unix: Final = unix
        self.ended: bool = False  # the other end has finished sending
        self.mute: bool = False  # this end has finished sending ...
        self.deaf: bool = False  # ... and receiving
        self.closed: bool = False
        self.dead: bool = False  # reset: there is no connection any more
        self.error: int = 0  # what the next call reports, once
        self.lost: bytes = b""  # what was unread when this end closed
        self.peer: FarEnd | None = None  # who plays this end; None: the program under test
        self.veil: Veil | None = None  # over what arrives here, if it is read as TLS
        self.watcher: Watcher = NOBODY

    @staticmethod
    def pair(capacities: tuple[int, int], local: Address, remote: Address, *, unix: bool = False) -> Stream:
        """Two connected ends; returns the local one."""
        here = Stream(capacities[0], local, remote, unix=unix)
        here.other = Stream(capacities[1], remote, local, unix=unix)
        here.other.other = here
        return here

    def attach(self, peer: FarEnd, watcher: Watcher) -> None:
        """A peer plays this end, and somebody is to be told when something happens here."""
        self.peer = peer
        self.watcher = watcher

    @property
    def readable(self) -> bool:
        """Whether a read would not have to wait."""
        return bool(self.chunks) or self.hears_nothing

    @property
    def room(self) -> int:
        """How many bytes can be sent now."""
        other = self.other
        return other.capacity if other.closed or other.dead else other.capacity - other.size

    @property
    def roomy(self) -> bool:
        """Whether there is so much room that select() reports it: on Linux, when a third of the buffer is free."""
        return 3 * self.room >= self.other.capacity

    @property
    def hears_nothing(self) -> bool:
        """Whether nothing more comes in: what is read after all data is the end."""
        return self.ended or self.deaf or self.dead

    @property
    def says_nothing(self) -> bool:
        """Whether sending is over. By AF_UNIX, also if the other end does not read any more."""
        return self.mute or self.dead or (self.unix and (self.other.deaf or self.other.closed))

    @property
    def over(self) -> bool:
        """Whether there is no connection any more: it was reset, or both ends have finished sending."""
        return self.dead or (self.mute and self.ended and not self.unix)

    @property
    def hung_up(self) -> bool:
        """Whether poll() reports it, whatever it was asked for: POLLHUP or POLLERR."""
        return bool(self.error) or (self.hears_nothing and self.says_nothing)

    def ready(self) -> int:
        """What `polled()` says, as `selectors` reports it: a hang-up and an error are both bits."""
        # All of the above in one: every select() asks this of every socket.
        other, dead = self.other, self.dead
        hears_nothing = self.ended or self.deaf or dead
        says_nothing = self.mute or dead or (self.unix and (other.deaf or other.closed))
        if self.error or (hears_nothing and says_nothing):
            return BOTH
        reading = EVENT_READ if hears_nothing or self.chunks else 0
        most = other.capacity
        room = most if other.closed or other.dead else most - other.size
        return reading | (EVENT_WRITE if 3 * room >= most or (says_nothing and not self.unix) else 0)

    def polled(self) -> int:
        """What poll() says of it, whoever asks (tcp_poll and unix_poll of Linux)."""
        bits = POLLERR if self.error else 0
        if self.hears_nothing:
            bits |= IN | POLLRDHUP | (POLLHUP if self.says_nothing else 0)
        elif self.chunks:
            bits |= IN
        if self.unix:
            return bits | (OUT | POLLWRBAND if self.roomy else 0)
        return bits | (OUT if self.roomy or self.says_nothing else 0)

    def refuses_to_read(self) -> int:
        """The error of a read when no data is there (any more), which is then reported; 0: the end is read."""
        return 0 if self.ended and not self.unix else self.take_error()

    def refuses_to_send(self) -> int:
        """The error of a send, which is then reported; 0: it goes through."""
        error = 0 if self.unix else self.take_error()
        return error or (EPIPE if self.says_nothing else 0)

    @property
    def pending(self) -> bytes:
        """All that has arrived and was not read."""
        return b"".join(self.chunks)[self._offset :]

    @property
    def failure(self) -> str:
        """Why nothing can be said or heard here any more, though it is no reset: nothing ever is."""
        return ""

    @property
    def is_sealed(self) -> bool:
        """Whether what arrives here is ciphertext, of which nothing can be told."""
        peer = self.other.peer
        return self.veil is not None or (peer is not None and peer.speaks_tls)

    @property
    def unread(self) -> int:
        """How many bytes have arrived and were not read by the program; of plain text, if it reads TLS."""
        return self.size if self.veil is None else self.veil.size

    def left(self) -> bytes:
        """All that came and was never read by the program; of TLS, the plain text, if that can be known."""
        if self.veil is not None:
            return self.veil.left()
        return b"" if self.is_sealed else self.lost or self.pending

    def pieces(self) -> Iterator[tuple[bytes, int]]:
        """All that has arrived and was not read, as it came: bytes, and how many of them were read."""
        start = self._offset
        for chunk in self.chunks:
            yield chunk, start
            start = 0

    @property
    def all_here(self) -> bool:
        """Whether all that the other end has sent has arrived: always."""
        return True

    def peek(self, size: int) -> bytes:
        """At most `size` bytes: of one send of a script's peer, or of several of a program."""
        chunk, start = self.chunks[0], self._offset
        if len(chunk) - start < size and len(self.chunks) > 1 and self.other.peer is None:
            return self.joined(size)
        return chunk[start : start + size]

    def shown(self, size: int) -> bytes:
        """What MSG_PEEK shows, by however many sends it came; a read may then have all of that at once."""
        left = self._offset + size
        parts: list[bytes] = []
        while left > 0 and self.chunks:
            parts.append(self.chunks.popleft())
            left -= len(parts[-1])
        self.chunks.appendleft(b"".join(parts))
        return self.peek(size)

    def joined(self, size: int) -> bytes:
        """At most `size` bytes, by however many sends they came."""
        parts: list[bytes] = []
        for chunk, start in self.pieces():
            part = chunk[start : start + size]
            parts.append(part)
            size -= len(part)
            if not size:
                break
        return b"".join(parts)

    def drop(self, size: int) -> None:
        """So many bytes were read."""
        chunks = self.chunks
        was_roomy = self.other.roomy
        self.size -= size
        size += self._offset
        while chunks and size >= len(chunks[0]):
            size -= len(chunks.popleft())
        self._offset = size
        if not chunks:
            self.chunks = _NOTHING
        if self.other.peer is not None or self.unix or not was_roomy:  # poll() has said so all the time
            self.other.watcher.frees()

    def take(self, size: int) -> bytes:
        """What `peek()` shows, which is then read."""
        data = self.chunks[0]
        length = len(data)
        there = self.size
        if length > size or self._offset or (length != there and self.other.peer is None):
            data = self.peek(size)
            self.drop(len(data))
            return data
        if length == there:  # it is all that there is
            self.chunks = _NOTHING
        else:
            self.chunks.popleft()
        self.size = there - length
        if self.other.peer is not None or self.unix or 3 * (self.capacity - there) < self.capacity:  # there was none
            self.other.watcher.frees()
        return data

    def is_plain_for(self, size: int) -> bool:
        """Whether sending so many bytes is nothing but to hand them over, also for who has asked poll() before."""
        other = self.other
        room = other.capacity - other.size
        return (
            size <= room
            and 3 * room >= other.capacity
            and not (self.error or self.mute or self.dead or other.deaf or other.closed or other.dead)
        )

    def hand_over(self, data: bytes, size: int) -> None:
        """`put()` of so many bytes where `is_plain_for()` has said so."""
        other = self.other
        if other.chunks is _NOTHING:
            other.chunks = deque((data,))
        else:
            other.chunks.append(data)
        other.size += size
        other.watcher.comes()

    def put(self, data: bytes) -> None:
        """Send what there is room for. To an end that is closed: it answers with a reset."""
        other = self.other
        if not data:
            return
        if other.closed:
            self._reset()
        elif other.deaf and other.mute and not self.unix:  # as if it were closed, and it is told (tcp_reset)
            other._reset()
            self._reset()
        else:
            self.hand_over(data, len(data))

    def offer(self, data: bytes, start: int, size: int) -> int:
        """Send what there is room for, of the `size` bytes from `start` on that are left; returns how many that is."""
        if size and not start and self.is_plain_for(size):
            self.hand_over(data, size)
            return size
        size = min(self.room, size)
        self.put(data[start : start + size])
        return size

    def adds_record(self, length: int, plain: int) -> None:
        """A record of TLS is about to be put: what of it is no plain text takes no room at the other end."""
        other = self.other
        if other.veil is not None:
            other.veil.adds(length, plain)
        elif not plain:
            other.capacity += length

    def finish(self) -> None:
        """Send no more."""
        self.mute = True
        if not self.dead:
            self.other.ended = True
            self.other.watcher.nudge()

    def close(self, *, reset: bool = False) -> None:
        """Close this end; with data unread, or on request, that resets the connection (RFC 2525, 2.17)."""
        if self.closed:
            return
        self.closed = True
        if self.size and not (self.dead or self.deaf):
            self.lost = self.pending
        if self.over:
            return
        if self.unix:
            if self.size:
                self.other.error = ECONNRESET
            self.finish()
        elif reset or self.size:
            self.other._reset()
        else:
            self.finish()

    def take_error(self) -> int:
        """The error that is to be reported, which is then reported."""
        error, self.error = self.error, 0
        return error

    def _reset(self) -> None:
        if not self.over and not self.closed:
            self.dead = True
            self.error = EPIPE if self.ended else ECONNRESET
            self.watcher.nudge()


class Nobody:
    """Who is told where nobody is to be told."""

    def comes(self) -> None: ...
    def frees(self) -> None: ...
    def nudge(self) -> None: ...


NOBODY: Final[Watcher] = Nobody()

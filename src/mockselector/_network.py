"""The simulated network: what a kernel knows of sockets, and nothing else.

Owns connections (two `Stream`s, one for each end), listeners, descriptor numbers, addresses and
host names, and readiness: what `poll()` would say of a socket. Follows TCP as Linux shows it to a
program (man 2 accept, bind, connect, listen, poll, recv, send, shutdown; man 7 tcp, unix). Knows no
socket class, no rule, no script, and no time but the one it is given.
"""

from __future__ import annotations

import os
import socket as _socket
import stat
import sys
from collections import deque
from errno import EADDRINUSE, ECONNREFUSED, ECONNRESET, EINVAL, ENOENT, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP, EPIPE
from heapq import heappop, heappush
from selectors import EVENT_READ, EVENT_WRITE
from socket import AF_INET, AF_INET6, SHUT_RD, SHUT_RDWR, SHUT_WR
from typing import TYPE_CHECKING, Any, Final

from ._sockets import FIRST_NUMBER
from ._trace import bytes_text, excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Protocol, TypeAlias

    from ._rules import RuleId
    from ._shell import Address
    from ._trace import Place

    Watcher: TypeAlias = tuple[dict[int, None], dict[int, int]]
    """Of a selector: what may be ready, in the order in which it became so; and for what each number is watched."""

    class FarEnd(Protocol):
        """Who is at the other end of a connection, for the texts."""

        @property
        def name(self) -> str: ...
        @property
        def is_backend(self) -> bool:
            """Whether the program has connected to it, and not it to the program."""
            ...

        def place(self) -> Place:
            """Where its script was written."""
            ...

        def doing(self) -> str:
            """What it waits for, as half a sentence."""
            ...


AF_UNIX: Final = getattr(_socket, "AF_UNIX", None)  # not on Windows
BOTH: Final = EVENT_READ | EVENT_WRITE
ANY: Final = {AF_INET: "0.0.0.0", AF_INET6: "::"}  # noqa: S104  (nothing is bound)
LOOPBACK: Final = {AF_INET: "127.0.0.1", AF_INET6: "::1"}
_OPTIONS: Final[dict[int, dict[str, tuple[str, ...]]]] = {
    _socket.SOL_SOCKET: {
        "flag": ("SO_REUSEADDR", "SO_REUSEPORT", "SO_KEEPALIVE", "SO_BROADCAST", "SO_OOBINLINE", "SO_DONTROUTE"),
        "read": ("SO_TYPE", "SO_ERROR", "SO_DOMAIN", "SO_PROTOCOL", "SO_ACCEPTCONN"),
        "linger": ("SO_LINGER",),
    },
    _socket.IPPROTO_TCP: {
        "flag": ("TCP_NODELAY", "TCP_CORK", "TCP_QUICKACK"),
        "positive": ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"),
    },
    _socket.IPPROTO_IPV6: {"flag": ("IPV6_V6ONLY",)},
}
"""Options of which not just any number can be had: by level and kind, their names in `socket`."""

_KINDS: Final = {
    (level, int(getattr(_socket, name))): kind
    for level, kinds in _OPTIONS.items()
    for kind, names in kinds.items()
    for name in names
    if hasattr(_socket, name)
}
_LEVELS: Final = (_socket.IPPROTO_TCP, _socket.IPPROTO_IP)
_LAST_OPTION: Final = 256
"""No option has a higher number."""

_DEFAULTS: Final = {
    (_socket.IPPROTO_TCP, int(getattr(_socket, name))): value
    for name, value in {"TCP_KEEPIDLE": 7200, "TCP_KEEPINTVL": 75, "TCP_KEEPCNT": 9, "TCP_QUICKACK": 1}.items()
    if hasattr(_socket, name)
}
"""What an option is at first, if it is not 0."""

_SHUT: Final = {SHUT_RD: 1, SHUT_WR: 2, SHUT_RDWR: 3}
TIME_WAIT: Final = 60
"""Seconds for which a port stays in use after its owner has closed a connection first (man 7 tcp)."""


class Stream:
    """One end of a connection: what has arrived there, and how it stands."""

    __slots__ = (
        "_offset", "capacity", "changed", "chunks", "closed", "dead", "deaf", "ended", "error", "local", "lost",
        "mute", "other", "peer", "remote", "size", "state_changed", "unix",
    )  # fmt: skip

    other: Stream

    def __init__(self, capacity: int, local: Address, remote: Address, *, unix: bool = False) -> None:
        self.chunks: deque[bytes] = deque()
        self._offset: int = 0  # how much of the first chunk was taken
        self.size: int = 0
        self.capacity: Final = capacity
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
        self.changed: Callable[[], None] = _nobody  # bytes have come, or were taken at the other end
        self.state_changed: Callable[[], None] = _nobody  # an end, a reset

    @staticmethod
    def pair(capacities: tuple[int, int], local: Address, remote: Address, *, unix: bool = False) -> Stream:
        """Two connected ends; returns the local one."""
        here = Stream(capacities[0], local, remote, unix=unix)
        here.other = Stream(capacities[1], remote, local, unix=unix)
        here.other.other = here
        return here

    def attach(self, peer: FarEnd, changed: Callable[[], None]) -> None:
        """A peer plays this end, and is to be told when something happens here."""
        self.peer = peer
        self.changed = self.state_changed = changed

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
        """What poll() says, as `selectors` reports it: a hang-up and an error are both bits."""
        if self.hung_up:
            return BOTH
        reading = EVENT_READ if self.chunks or self.hears_nothing else 0
        return reading | (EVENT_WRITE if self.roomy or (self.says_nothing and not self.unix) else 0)

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
        self.size -= size
        size += self._offset
        while chunks and size >= len(chunks[0]):
            size -= len(chunks.popleft())
        self._offset = size
        self.other.changed()

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
            other.chunks.append(data)
            other.size += len(data)
            other.changed()

    def offer(self, data: bytes, start: int) -> int:
        """Send what there is room for, from `start` on; returns how many bytes that is."""
        size = min(self.room, len(data) - start)
        self.put(data[start : start + size])
        return size

    def finish(self) -> None:
        """Send no more."""
        self.mute = True
        if not self.dead:
            self.other.ended = True
            self.other.state_changed()

    def close(self, *, reset: bool = False) -> None:
        """Close this end; with data unread, or on request, that resets the connection (RFC 2525, 2.17)."""
        if self.closed:
            return
        self.closed = True
        self.lost = b"" if self.dead or self.deaf else self.pending
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
            self.state_changed()


def _nobody() -> None: ...


class Descriptor:
    """What a descriptor number stands for: a socket that is unconnected, listens, or is connected."""

    __slots__ = (
        "_options", "backlog", "bound", "closed", "connecting", "error", "failing", "family", "fresh", "inheritable",
        "limit", "lingers", "local", "locked", "made", "never_came", "number", "only_ipv6", "reuse", "shut", "stream",
        "watchers",
    )  # fmt: skip

    def __init__(self, number: int, family: int, made: Place) -> None:
        self.number: Final = number
        self.family: Final = family
        self.made: Place = made
        self.local: Address = _unbound(family)
        self.bound: bool = False
        self.locked: bool = False  # to the very port (or path) that was asked for
        self.only_ipv6: bool = False  # IPV6_V6ONLY
        self.reuse: int = 0  # SO_REUSEADDR: 1, SO_REUSEPORT: 2
        self.backlog: deque[Stream] | None = None
        self.limit: int = 0
        self.never_came: list[Stream] = []  # who was in the backlog when it was closed
        self.stream: Stream | None = None
        self.connecting: bool = False
        self.fresh: bool = False  # connected in the meantime, and nobody has asked yet
        self.error: int = 0  # of a connection that did not come to be ...
        self.failing: bool = False  # ... which connect() has not reported yet
        self.shut: int = 0  # without a connection: 1, reading was shut down; 2, writing
        self.closed: bool = False
        self.inheritable: bool = False
        self.lingers: bool = False  # closing it is a reset (SO_LINGER, with a time of 0)
        self._options: dict[tuple[int, int], bytes] | None = None
        self.watchers: list[Watcher] = []  # of selectors

    def touch(self) -> None:
        """Something happened here: if that makes it ready, selectors that do not know of it yet are told."""
        number = self.number
        for candidates, asked in self.watchers:
            if number not in candidates:
                wanted = asked[number]
                if self.ready() & wanted or (not wanted and self.is_hung_up()):  # is_ready_for(), without the call
                    candidates[number] = None

    def nudge(self) -> None:
        """Its state has changed: of that, Linux tells all that watch it, whatever they have asked for."""
        for candidates, _ in self.watchers:
            candidates.setdefault(self.number)

    def is_ready_for(self, asked: int) -> bool:
        """Whether poll() has something to say to who has asked for that; of a hang-up, it tells everybody."""
        return bool(self.ready() & asked) or (not asked and self.is_hung_up())

    def is_hung_up(self) -> bool:
        """Whether poll() says so (POLLHUP, POLLERR) to those, too, who have asked for nothing."""
        stream = self.stream
        if stream is None:
            return self.ready() == BOTH  # without a connection there is nothing else that is both
        return stream.hung_up and not self.closed

    def ready(self) -> int:
        """What poll() says, as `selectors` reports it: a hang-up and an error are both bits."""
        stream = self.stream
        if self.closed:
            return 0
        if stream is not None:
            return stream.ready()
        if self.backlog is not None:
            if self.shut == _SHUT[SHUT_RDWR]:
                return BOTH
            return EVENT_READ if self.backlog or self.shut & _SHUT[SHUT_RD] else 0
        return 0 if self.connecting else BOTH

    def connected(self, stream: Stream) -> None:
        """From now on it is an end of a connection."""
        self.stream = stream
        self.local = stream.local
        self.connecting = False
        stream.changed = self.touch
        stream.state_changed = self.nudge
        self.nudge()

    def failed(self, error: int) -> None:
        """Its connection did not come to be."""
        self.connecting = False
        self.failing = True
        self.error = error
        self.shut = _SHUT[SHUT_RDWR]
        self.nudge()

    def start_again(self) -> None:
        """It is as if nobody had tried to connect it."""
        self.connecting = self.failing = self.fresh = False
        self.error = self.shut = 0
        if not self.bound and self.family in ANY:
            self.local = (_unbound(self.family)[0], *self.local[1:])
        self.touch()

    def refuses_to_read(self) -> int:
        """The error of a read, which is then reported; 0: what is read is the end. (Not while data is there.)"""
        if self.stream is not None:
            return self.stream.refuses_to_read()
        if self.family not in ANY:
            return EINVAL
        if self.backlog is not None:
            return ENOTCONN
        return self.take_error() or (0 if self.shut & _SHUT[SHUT_RD] else ENOTCONN)

    def refuses_to_send(self) -> int:
        """The error of a send, which is then reported; 0: it goes through."""
        if self.stream is not None:
            return self.stream.refuses_to_send()
        return ENOTCONN if self.family not in ANY else self.take_error() or EPIPE

    # -- options (man 7 socket, tcp, ipv6) ------------------------------------------------------

    def set_option(self, level: int, name: int, value: bytes) -> int:
        """Set an option; returns the error number, or 0."""
        kind = _option_kind(self.family, level, name)
        if not isinstance(kind, str):
            return ENOPROTOOPT if self.family in ANY else kind
        if kind == "read":
            return ENOPROTOOPT
        if len(value) < (8 if kind == "linger" else 4):
            return EINVAL
        if level == _socket.SOL_SOCKET and name == getattr(_socket, "SO_REUSEPORT", -1) and self.family not in ANY:
            return EOPNOTSUPP
        number = int.from_bytes(value[:4], sys.byteorder, signed=True)
        if kind == "linger":
            self.lingers = bool(number) and not any(value[4:8])
            value = _as_bytes(bool(number)) + value[4:8]
        elif kind == "flag":
            number = bool(number)
            value = _as_bytes(number)
        elif kind == "positive" and not 0 < number < 1 << 15:
            return EINVAL
        bit = {_socket.SO_REUSEADDR: 1, getattr(_socket, "SO_REUSEPORT", -1): 2}.get(name, 0)
        if level == _socket.SOL_SOCKET and bit:
            self.reuse = self.reuse | bit if number else self.reuse & ~bit
        elif level == _socket.IPPROTO_IPV6 and name == _socket.IPV6_V6ONLY:
            if self.bound:
                return EINVAL
            self.only_ipv6 = bool(number)
            return 0
        self._options = self._options or {}
        self._options[level, name] = value[: 8 if kind == "linger" else 4]
        return 0

    def option(self, level: int, name: int, proto: int, buffer: int) -> bytes | int:
        """What an option is; or the error number."""
        kind = _option_kind(self.family, level, name)
        if not isinstance(kind, str):
            return kind
        known = (self._options or {}).get((level, name))
        if known is not None:
            return known
        if level == _socket.SOL_SOCKET:
            if kind == "linger":
                return bytes(8)
            answers: dict[int, Callable[[], int]] = {
                _socket.SO_TYPE: lambda: int(_socket.SOCK_STREAM),
                _socket.SO_ERROR: (self.stream or self).take_error,
                _socket.SO_SNDBUF: lambda: buffer,
                _socket.SO_RCVBUF: lambda: buffer,
                getattr(_socket, "SO_DOMAIN", -1): lambda: int(self.family),
                getattr(_socket, "SO_PROTOCOL", -1): lambda: proto if self.family not in ANY else _socket.IPPROTO_TCP,
                getattr(_socket, "SO_ACCEPTCONN", -1): lambda: self.backlog is not None,
            }
            if name in answers:
                return _as_bytes(answers[name]())
        if (level, name) == (_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY):
            return _as_bytes(self.only_ipv6)
        return _as_bytes(_DEFAULTS.get((level, name), 0))

    def inherit(self, listener: Descriptor) -> None:
        """It was accepted: what was set for the listener is set for it."""
        if self.family in ANY:
            self.only_ipv6, self.reuse, self.lingers = listener.only_ipv6, listener.reuse, listener.lingers
            self._options = dict(listener._options) if listener._options else None

    def refuses_to_shut(self, how: int) -> int:
        """Shut down (man 2 shutdown); the error of that, which need not mean that nothing is done."""
        stream = self.stream
        if stream is None:
            listens = self.backlog is not None
            if self.family in ANY and not listens and not self.connecting:
                self.shut |= _SHUT[how]
                return ENOTCONN
            if listens and self.family not in ANY:
                self.shut |= _SHUT[how]
                self.touch()
            if self.connecting:
                self.start_again()
                self.error = ECONNRESET
            return 0
        self.fresh = False
        error = ENOTCONN if stream.over else 0
        if how != SHUT_WR:
            stream.deaf = True
            (stream.other.state_changed if stream.unix else stream.other.changed)()
        if how != SHUT_RD and not stream.mute:
            stream.finish()
        self.nudge()
        return error

    def take_error(self) -> int:
        """As a connection's: the error that is to be reported, which is then reported."""
        error, self.error = self.error, 0
        return error

    def stop_listening(self) -> None:
        """Nobody will accept who waits: they are reset."""
        self.never_came = list(self.backlog or ())
        self.backlog = None
        self.bound = self.locked
        for stream in self.never_came:
            if stream.unix:
                stream.other.error = ECONNRESET
            stream.close(reset=True)
        self.touch()

    # -- for the texts of errors: what stands behind a socket -----------------------------------

    def _leftover(self) -> tuple[RuleId, str] | None:
        stream = self.stream
        waiting = [one for one in self.backlog or self.never_came if one.other.peer is not None]
        if waiting:
            return "unaccepted-connection", ", ".join(
                one.other.peer.name for one in waiting if one.other.peer is not None
            )
        if stream is None or stream.dead or not (left := stream.lost or stream.pending):
            return None
        return "unread-data", bytes_text(excerpt(left))

    def _about_left(self, name: str) -> tuple[Mapping[str, str], str]:
        closed = self.stream is not None and self.stream.closed
        note = "The server closed without reading it." if closed else ""
        return {"announce": "", "accept": "find why it does not"}, note

    def _why_nothing(self, name: str) -> str:
        if self.stream is None:
            return "No client is still to come."
        peer = self.stream.other.peer
        return f"{name} sends nothing more: {peer.doing()}." if peer is not None else ""

    def _made_at(self) -> Place:
        peer = self.stream.other.peer if self.stream is not None else None
        return peer.place() if peer is not None else self.made

    def _announce(self) -> None: ...

    def _replaced(self) -> bool:
        return False


class Network:
    """Descriptor numbers, addresses and names of one scenario."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now: Final = now
        self.descriptors: Final[dict[int, Descriptor]] = {}
        self.listeners: Final[list[Descriptor]] = []
        self.hosts: Final[dict[str, str]] = {}
        self._bound: Final[list[Descriptor]] = []
        self._free: Final[list[int]] = []
        self._lingering: Final[dict[int, float]] = {}  # ports in TIME_WAIT, until when
        self._files: Final[list[str]] = []
        self._port = 40000
        self._clients_port = 50000

    # -- descriptors ----------------------------------------------------------------------------

    def open(self, family: int, made: Place) -> Descriptor:
        """The lowest free number, as POSIX has it."""
        number = heappop(self._free) if self._free else FIRST_NUMBER + len(self.descriptors)
        descriptor = self.descriptors[number] = Descriptor(number, family, made)
        return descriptor

    def close(self, descriptor: Descriptor, *, reset: bool = False) -> None:
        """Close what a number stands for, and free the number."""
        if descriptor.closed:
            return
        if descriptor.backlog is not None:
            descriptor.stop_listening()
            if descriptor in self.listeners:  # not if an interrupt came out of `listen()`
                self.listeners.remove(descriptor)
        stream = descriptor.stream
        if stream is not None:
            port = stream.local[1] if descriptor.family in ANY else None
            if port is not None and not (stream.ended or stream.dead or reset):
                self._lingering[port] = self._now() + TIME_WAIT
            stream.close(reset=reset)
        descriptor.closed = True
        if descriptor in self._bound:
            self._bound.remove(descriptor)
        del self.descriptors[descriptor.number]
        heappush(self._free, descriptor.number)

    # -- addresses ------------------------------------------------------------------------------

    def bind(self, descriptor: Descriptor, address: Address) -> None:
        """Give it a local address, as `resolved()` has it. OSError (EADDRINUSE ...) as man 2 bind has it."""
        stream = descriptor.stream
        asked = descriptor.family in ANY and bool(address[1])
        over = descriptor.failing or (stream is not None and stream.over)
        taken = descriptor.locked or (
            not over and (descriptor.bound or (stream is not None and bool(stream.local)) or descriptor.connecting)
        )
        if descriptor.family == AF_UNIX:
            if not address:
                if taken:
                    return
                self._port += 1
                address = f"\0{self._port:05x}"
            self._bind_path(address, taken=taken)
        elif taken:
            raise _os_error(EINVAL)
        elif not address[1]:
            self._port += 1
            address = (address[0], self._port, *address[2:])
        else:
            self._check_free(descriptor, address)
        descriptor.locked = descriptor.family not in ANY or asked
        descriptor.local = address
        descriptor.bound = True
        if descriptor.family == AF_INET6 and address[0] != ANY[AF_INET6]:
            descriptor.only_ipv6 = True
        if descriptor not in self._bound:
            self._bound.append(descriptor)

    def _check_free(self, descriptor: Descriptor, address: Address) -> None:
        if not descriptor.reuse and self._lingering.get(address[1], 0) > self._now():
            raise _os_error(EADDRINUSE)
        for other in self._bound:
            if other is descriptor or not other.bound:
                continue
            shared = descriptor.reuse & other.reuse
            if shared & 2 or (shared and other.backlog is None):
                continue
            if other.family in ANY and other.local[1] == address[1] and _meet(descriptor, address[0], other):
                raise _os_error(EADDRINUSE)

    def _bind_path(self, path: str, *, taken: bool) -> None:
        """A socket's file is really made: servers look at it, change its mode and remove it."""
        if path.startswith("\0"):
            if any(other.local == path for other in self._bound):
                raise _os_error(EADDRINUSE)
            if taken:
                raise _os_error(EINVAL)
            return
        if os.path.lexists(path):
            raise _os_error(EADDRINUSE)
        self._files.append(path)  # before it is made: an interrupt may come in between
        try:
            _make_socket_file(path)
        except OSError as error:
            self._files.remove(path)
            if isinstance(error, FileExistsError):
                raise _os_error(EADDRINUSE) from None
            raise
        if taken:
            os.unlink(path)
            raise _os_error(EINVAL)

    def remove_files(self) -> None:
        """What servers left of their sockets' files."""
        for path in self._files:
            try:
                made = os.stat(path)
                if stat.S_ISSOCK(made.st_mode) or not made.st_size:
                    os.unlink(path)
            except OSError:
                pass  # the server has removed it itself

    def listen(self, descriptor: Descriptor, backlog: int) -> None:
        """Let it accept; `backlog` and one may wait, as Linux has it."""
        begun = descriptor.connecting or descriptor.failing or descriptor.stream is not None
        if begun or (descriptor.family not in ANY and not descriptor.bound):
            raise _os_error(EINVAL)
        if not descriptor.bound:
            host, _, *more = descriptor.local
            self.bind(descriptor, (host, 0, *more))
        for other in self.listeners:
            if other.local == descriptor.local and other is not descriptor and not descriptor.reuse & other.reuse & 2:
                raise _os_error(EADDRINUSE)
        descriptor.limit = max(0, backlog) + 1
        if descriptor.backlog is None:
            descriptor.backlog = deque()
            if descriptor.family in ANY:
                descriptor.shut = 0
            self.listeners.append(descriptor)

    def listener(self, to: Address | None) -> Descriptor | None:
        """Who listens there: a port, an address, a path; None: whoever began first."""
        for one in self.listeners:
            if one.shut & _SHUT[SHUT_RD]:
                continue
            if to is None or to == one.local or (one.family in ANY and self._is_at(one.local, to)):
                return one
        return None

    def _is_at(self, local: Address, to: Address) -> bool:
        if isinstance(to, int):
            return bool(local[1] == to)
        if isinstance(to, str):
            return False
        name, port = to[:2]
        host = self.hosts.get(name, name)
        if host == "localhost":
            return bool(local[1] == port) and local[0] in (*ANY.values(), *LOOPBACK.values())
        return bool(local[1] == port) and local[0] in (host, *ANY.values())

    def meet(self, listener: Descriptor, source: Address | None, buffer: int, *, mapped: bool = False) -> Stream:
        """A connection to a listener; returns its end, which now waits to be accepted.

        mapped: it comes by IPv4; to a listener for both, that is an address of its own kind (RFC 4291, 2.5.5.2).
        """
        assert listener.backlog is not None
        if listener.family == AF_UNIX:
            local, remote = listener.local, source or ""
        else:
            host = listener.local[0]
            local = (
                LOOPBACK[_socket.AddressFamily(listener.family)] if host in ANY.values() else host,
                *listener.local[1:],
            )
            remote = source or self.near(listener.family)
        there = local, remote
        if listener.family == AF_INET6 and (mapped or len(remote) == 2):
            there = (LOOPBACK[AF_INET], local[1]), (remote[0] if source else LOOPBACK[AF_INET], remote[1])
            local, remote = ((f"::ffff:{host}", port, 0, 0) for host, port in there)
        stream = Stream.pair((buffer, buffer), local, remote, unix=listener.family == AF_UNIX)
        stream.other.remote, stream.other.local = there
        listener.backlog.append(stream)
        listener.touch()
        return stream

    def source_of(self, descriptor: Descriptor) -> Address:
        """The address from which it connects."""
        if not descriptor.bound:
            return self.near(descriptor.family)
        host, *more = descriptor.local
        return (LOOPBACK[_socket.AddressFamily(descriptor.family)] if host in ANY.values() else host, *more)

    def nobody_at(self, address: Address) -> int:
        """The error of a connection to where nobody listens."""
        path = isinstance(address, str) and not address.startswith("\0")
        return ENOENT if path and not os.path.exists(address) else ECONNREFUSED

    def near(self, family: int) -> Address:
        """An address of this machine that nobody has had."""
        self._clients_port += 1
        if family not in ANY:
            return ""
        host = LOOPBACK[_socket.AddressFamily(family)]
        return (host, self._clients_port) if family == AF_INET else (host, self._clients_port, 0, 0)

    # -- names ----------------------------------------------------------------------------------

    def know(self, host: str) -> None:
        """A host that the scenario speaks of: it gets an address (of a network kept for tests, RFC 2544)."""
        host = host.lower()
        if host not in ("", "localhost") and not is_literal(host):
            number = len(self.hosts) + 1
            self.hosts.setdefault(host, f"198.18.{number // 256}.{number % 256}")

    def knows(self, host: str) -> bool:
        """Whether it has an address, in whichever family."""
        try:
            return bool(self.host(host, AF_INET))
        except OSError:
            return False

    def name_of(self, host: str) -> str:
        """The name of a host, where the scenario has given it one."""
        return next((name for name, number in self.hosts.items() if number == host), host)

    def resolved(self, family: int, address: Address) -> Address:
        """An address with a number for its host. Raises gaierror as the socket's own methods do."""
        if family not in ANY:
            if not isinstance(address, str):
                return os.fsdecode(bytes(address))
            return address
        parts: tuple[Any, ...] = address  # Any: whatever the program gave
        host = parts[0] if isinstance(parts[0], str) else bytes(parts[0]).decode("ascii")
        number = self.host(host, family)
        if (":" in number) != (family == AF_INET6):
            raise _socket.gaierror(_socket.EAI_ADDRFAMILY, "Address family for hostname not supported")
        port = int(parts[1])
        return (number, port) if family == AF_INET else (number, port, *(*parts[2:], 0, 0)[:2])

    def host(self, host: str, family: int) -> str:
        """The number of a host: ours, a backend's, or a literal. gaierror for any other."""
        if host in ("", "<broadcast>"):
            return ANY[_socket.AddressFamily(family)]
        if host in ("localhost", "localhost.localdomain", "ip6-localhost"):
            return LOOPBACK[_socket.AddressFamily(family)]
        if is_literal(host):
            return host
        if host.lower() in self.hosts:
            return self.hosts[host.lower()]
        raise _socket.gaierror(_socket.EAI_NONAME, "Name or service not known")


def _meet(one: Descriptor, host: str, other: Descriptor) -> bool:
    """Whether two sockets that are bound to the same port get in each other's way."""
    if one.family != other.family:
        six, its = (one, host) if one.family == AF_INET6 else (other, other.local[0])
        return its == "::" and not six.only_ipv6
    return host == other.local[0] or ANY[_socket.AddressFamily(one.family)] in (host, other.local[0])


def _make_socket_file(path: str) -> None:
    try:
        os.mknod(path, stat.S_IFSOCK | 0o755)
    except (AttributeError, PermissionError):  # not everywhere, and not for everyone
        with open(path, "xb"):
            pass


def _is_tuple(thing: object) -> bool:  # no narrowing: what it then is a tuple of, nobody knows
    return isinstance(thing, tuple)


def _option_kind(family: int, level: int, name: int) -> str | int:
    """Of which kind an option is; or the error number that there is none."""
    levels = {AF_INET: _LEVELS, AF_INET6: (*_LEVELS, _socket.IPPROTO_IPV6)}
    if level != _socket.SOL_SOCKET and level not in levels.get(_socket.AddressFamily(family), ()):
        return ENOPROTOOPT if family == AF_INET6 else EOPNOTSUPP
    kind = _KINDS.get((level, name))
    if kind is None and name > _LAST_OPTION:
        return ENOPROTOOPT
    return kind or "number"


def _as_bytes(number: int) -> bytes:
    return int(number).to_bytes(4, sys.byteorder, signed=True)


def without_name(address: Address, family: int) -> Address:
    """The same address with a number for its host, for who would look up a name: if it is one at all."""
    if family not in ANY or not _is_tuple(address) or not address:
        return address
    host = address[0]
    plain = "\0" not in host if isinstance(host, str) else isinstance(host, (bytes, bytearray)) and 0 not in host
    if not plain:
        return address
    return (LOOPBACK[_socket.AddressFamily(family)], *address[1:])


def _unbound(family: int) -> Address:
    if family not in ANY:
        return ""
    return (ANY[_socket.AddressFamily(family)], 0) if family == AF_INET else ("::", 0, 0, 0)


def is_literal(host: str) -> bool:
    """Whether it is a number already."""
    for family in (AF_INET, AF_INET6):
        try:
            _socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return True
    return False


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))

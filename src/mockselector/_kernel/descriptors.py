"""Descriptors: what a number stands for, a socket that is unconnected, listens, connects or is connected.

Owns the state of one socket as a kernel keeps it, its options, which selectors watch it, and what a call on it
comes to. Knows its connection, and of the network nothing.
"""

from __future__ import annotations

import socket as _socket
import sys
from collections import deque
from errno import ECONNRESET, EINVAL, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP, EPIPE
from selectors import EVENT_READ, EVENT_WRITE
from socket import SHUT_RD, SHUT_RDWR, SHUT_WR
from typing import TYPE_CHECKING, Final

from .._system import BOTH
from .._text import bytes_text, excerpt
from .addresses import ANY, unbound
from .bits import IN, OUT, POLLERR, POLLHUP, POLLRDHUP, POLLWRBAND
from .options import DEFAULTS, NO_CREDENTIALS, as_bytes, option_kind, own_credentials
from .streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from .._judge.rules import RuleId
    from .._judge.trace import Place
    from .._system import Address
    from .streams import FarEnd

    Watcher: TypeAlias = tuple[dict[int, None], dict[int, int]]
    """Of a selector: what may be ready, in the order in which it became so; and for what each number is watched."""


SHUT: Final = {SHUT_RD: 1, SHUT_WR: 2, SHUT_RDWR: 3}

NO_OPTIONS: Final[Mapping[tuple[int, int], bytes]] = {}


class Descriptor:
    """What a descriptor number stands for: a socket that is unconnected, listens, or is connected.

    It has as many attributes as a kernel keeps of one (struct sock).
    """

    __slots__ = (
        "_options", "backlog", "bound", "closed", "connecting", "error", "failing", "family", "fresh", "held",
        "inheritable", "limit", "lingers", "local", "locked", "made", "never_came", "number", "only_ipv6", "played_by",
        "reuse", "shut", "stream", "waits", "watchers",
    )  # fmt: skip

    def __init__(self, number: int, family: int, made: Place | None) -> None:
        self.number: Final = number
        self.family: Final = family
        self.made: Place | None = made  # by a line of the program; None: by a connection that came in
        self.local: Address = unbound(family)
        self.bound: bool = False
        self.locked: bool = False  # to the very port (or path) that was asked for
        self.only_ipv6: bool = False  # IPV6_V6ONLY
        self.reuse: int = 0  # SO_REUSEADDR: 1, SO_REUSEPORT: 2
        self.backlog: deque[Stream] | None = None
        self.limit: int = 0
        self.never_came: tuple[Stream, ...] = ()  # who was in the backlog when it was closed
        self.stream: Stream | None = None
        self.played_by: FarEnd | None = None  # who is at the other end, if its connection is not one of ours
        self.connecting: bool = False
        self.fresh: bool = False  # connected in the meantime, and nobody has asked yet
        self.error: int = 0  # of a connection that did not come to be ...
        self.failing: bool = False  # ... which connect() has not reported yet
        self.shut: int = 0  # without a connection: 1, reading was shut down; 2, writing
        self.closed: bool = False
        self.held: tuple[int, ...] = ()  # by threads in a call on it: what is closed lives on until they are out
        self.inheritable: bool = False
        self.waits: bool = True  # what has only its number waits (without O_NONBLOCK); a time-out is its socket's own
        self.lingers: bool = False  # closing it is a reset (SO_LINGER, with a time of 0)
        self._options: Mapping[tuple[int, int], bytes] = NO_OPTIONS
        self.watchers: tuple[Watcher, ...] = ()  # of selectors

    def touch(self) -> None:
        """Something happened here: if that makes it ready, selectors that do not know of it yet are told."""
        number = self.number
        for candidates, asked in self.watchers:
            if number not in candidates and self.is_ready_for(asked[number]):
                candidates[number] = None

    def comes(self) -> None:
        """Bytes have come, so that it is readable: of that, only who waits for such is told."""
        number = self.number
        for candidates, asked in self.watchers:
            if asked[number] & EVENT_READ and number not in candidates:
                candidates[number] = None

    def frees(self) -> None:
        """There is room: likewise."""
        number = self.number
        for candidates, asked in self.watchers:
            if number not in candidates and asked[number] & EVENT_WRITE and self.is_ready_for(EVENT_WRITE):
                candidates[number] = None

    def nudge(self) -> None:
        """Its state has changed: of that, Linux tells all that watch it, whatever they have asked for."""
        for candidates, _ in self.watchers:
            candidates.setdefault(self.number)

    def is_ready_for(self, asked: int) -> bool:
        """Whether poll() has something to say to who has asked for that; of a hang-up, it tells everybody."""
        stream = self.stream
        ready = self.ready() if stream is None or self.closed else stream.ready()
        return bool(ready & asked) or (not asked and self.is_hung_up())

    def is_hung_up(self) -> bool:
        """Whether poll() says so (POLLHUP, POLLERR) to those, too, who have asked for nothing."""
        stream = self.stream
        if stream is None:
            return self.ready() == BOTH  # without a connection there is nothing else that is both
        return stream.hung_up and not self.closed

    def polled(self) -> int:
        """What poll() says of it, whoever asks."""
        stream = self.stream
        if self.closed:
            return 0
        if stream is not None:
            return stream.polled()
        shut = POLLERR if self.error else 0
        if self.shut & SHUT[SHUT_RD]:
            shut |= IN | POLLRDHUP
        if self.backlog is not None:
            return shut | (POLLHUP if self.shut == SHUT[SHUT_RDWR] else 0) | (IN if self.backlog else 0)
        if self.is_under_way:
            return shut
        return shut | POLLHUP | OUT | (0 if self.family in ANY else POLLWRBAND)

    def ready(self) -> int:
        """What `polled()` says, as `selectors` reports it: a hang-up and an error are both bits."""
        stream = self.stream
        if self.closed:
            return 0
        if stream is not None:
            return stream.ready()
        if self.backlog is not None:
            if self.shut == SHUT[SHUT_RDWR]:
                return BOTH
            return EVENT_READ if self.backlog or self.shut & SHUT[SHUT_RD] else 0
        return 0 if self.is_under_way else BOTH

    @property
    def is_under_way(self) -> bool:
        """Whether its connection is, as poll() and calls see it: by AF_UNIX it is none until it is there."""
        return self.connecting and self.family in ANY

    def connected(self, stream: Stream) -> None:
        """From now on it is an end of a connection."""
        self.stream = stream
        self.local = stream.local
        self.connecting = False
        if self.shut and self.family not in ANY:  # shut down while it waited for that
            stream.deaf, stream.mute = bool(self.shut & SHUT[SHUT_RD]), bool(self.shut & SHUT[SHUT_WR])
        stream.watcher = self
        self.nudge()

    def failed(self, error: int) -> None:
        """Its connection did not come to be."""
        self.connecting = False
        self.failing = True
        self.error = error
        self.shut = SHUT[SHUT_RDWR]
        self.nudge()

    def start_again(self) -> None:
        """It is as if nobody had tried to connect it."""
        self.connecting = self.failing = self.fresh = False
        self.error = self.shut = 0
        if not self.bound and self.family in ANY:
            self.local = (unbound(self.family)[0], *self.local[1:])
        self.touch()

    def refuses_to_read(self) -> int:
        """The error of a read, which is then reported; 0: what is read is the end. (Not while data is there.)"""
        if self.stream is not None:
            return self.stream.refuses_to_read()
        if self.family not in ANY:
            return EINVAL
        if self.backlog is not None:
            return ENOTCONN
        return self.take_error() or (0 if self.shut & SHUT[SHUT_RD] else ENOTCONN)

    def refuses_to_send(self) -> int:
        """The error of a send, which is then reported; 0: it goes through."""
        if self.stream is not None:
            return self.stream.refuses_to_send()
        return ENOTCONN if self.family not in ANY else self.take_error() or EPIPE

    # -- options (man 7 socket, tcp, ipv6) ------------------------------------------------------

    def set_option(self, level: int, name: int, value: bytes) -> int:
        """Set an option; returns the error number, or 0."""
        kind = option_kind(self.family, level, name)
        if not isinstance(kind, str):
            return ENOPROTOOPT if self.family in ANY else kind
        if kind in ("read", "credentials"):
            return ENOPROTOOPT
        if len(value) < (8 if kind == "linger" else 4):
            return EINVAL
        if level == _socket.SOL_SOCKET and name == getattr(_socket, "SO_REUSEPORT", -1) and self.family not in ANY:
            return EOPNOTSUPP
        number = int.from_bytes(value[:4], sys.byteorder, signed=True)
        if kind == "linger":
            self.lingers = bool(number) and not any(value[4:8])
            value = as_bytes(bool(number)) + value[4:8]
        elif kind == "flag":
            number = bool(number)
            value = as_bytes(number)
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
        self._options = {**self._options, (level, name): value[: 8 if kind == "linger" else 4]}
        return 0

    def option(self, level: int, name: int, proto: int, buffer: int) -> bytes | int:
        """What an option is; or the error number."""
        kind = option_kind(self.family, level, name)
        if not isinstance(kind, str):
            return kind
        known = self._options.get((level, name))
        if known is not None:
            return known
        if level == _socket.SOL_SOCKET:
            if kind == "linger":
                return bytes(8)
            if kind == "credentials":
                has_peer = self.family not in ANY and (self.stream is not None or self.backlog is not None)
                return b"".join(map(as_bytes, own_credentials() if has_peer else NO_CREDENTIALS))
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
                return as_bytes(answers[name]())
        if (level, name) == (_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY):
            return as_bytes(self.only_ipv6)
        return as_bytes(DEFAULTS.get((level, name), 0))

    def inherit(self, listener: Descriptor) -> None:
        """It was accepted: what was set for the listener is set for it."""
        if self.family in ANY:
            self.only_ipv6, self.reuse, self.lingers = listener.only_ipv6, listener.reuse, listener.lingers
            self._options = listener._options

    def refuses_to_shut(self, how: int) -> int:
        """Shut down (man 2 shutdown); the error of that, which need not mean that nothing is done."""
        stream = self.stream
        if stream is None:
            listens = self.backlog is not None
            if self.family in ANY and not listens and not self.connecting:
                self.shut |= SHUT[how]
                return ENOTCONN
            if self.family not in ANY:
                self.shut |= SHUT[how]
                self.touch()
            elif self.connecting:
                self.start_again()
                self.error = ECONNRESET
            return 0
        self.fresh = False
        error = ENOTCONN if stream.over else 0
        if how != SHUT_WR:
            stream.deaf = True
            watcher = stream.other.watcher
            (watcher.nudge if stream.unix else watcher.frees)()
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
        self.never_came = tuple(self.backlog or ())
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
        if stream is None or stream.dead or stream.other.peer is None or not (left := stream.left()):
            return None  # what the program has sent to itself is no script's
        return "unread-data", bytes_text(excerpt(left))

    def _about_left(self, name: str) -> tuple[Mapping[str, str], str]:
        closed = self.stream is not None and self.stream.closed
        note = "The server closed without reading it." if closed else ""
        return {"announce": "", "accept": "find why it does not"}, note

    def _why_nothing(self, name: str, *, reads: bool) -> str:
        if self.stream is None:
            return "No client is still to come."
        peer = self.stream.other.peer
        does = "sends" if reads else "reads"
        return f"{name} {does} nothing more: {peer.doing()}." if peer is not None else ""

    def _made_at(self) -> Place | None:
        peer = self.stream.other.peer if self.stream is not None else self.played_by
        return peer.place() if peer is not None else self.made

    def _announce(self) -> None: ...

    def _replaced(self) -> bool:
        return False

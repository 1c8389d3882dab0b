"""The sockets of a scenario, and which scenario is under the code that runs.

Owns `SimSocket`, a thin shell: its data comes from the simulated network, its waiting is the
world's, and its every step passes the `Monitor`. Owns, too, which world is current, and `Socket`,
which `_install` puts in the place of `socket.socket`: code that has got hold of it keeps it, and
outside of a scenario, and in other threads, it makes real sockets.
"""

# A socket of ours has plain attributes where the real one has properties.
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

import os
import socket as _socket
from _thread import get_ident
from abc import ABCMeta
from collections.abc import Callable
from errno import EAGAIN, EBADF, EINPROGRESS, EINVAL, ENOTCONN, EPIPE, ETIMEDOUT
from typing import TYPE_CHECKING, Any, Final

from ._clock import nanoseconds
from ._errors import Finding
from ._monitor import os_error
from ._network import AF_UNIX, Stream
from ._rules import shut_operation
from ._shell import DONTWAIT, PEEK, WAITALL, Shell, checked_flags, real_socket
from ._trace import BYTES_SHOWN, caller, excerpt, place, seconds_text

if TYPE_CHECKING:
    from typing import NoReturn

    from typing_extensions import Buffer

    from ._monitor import Record
    from ._network import Descriptor
    from ._rules import Operation
    from ._shell import Address
    from ._world import World

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_NONBLOCK: Final = int(getattr(_socket, "SOCK_NONBLOCK", 0))
_CLOEXEC: Final = int(getattr(_socket, "SOCK_CLOEXEC", 0))
_REUSE: Final = {_socket.SO_REUSEADDR: 1, getattr(_socket, "SO_REUSEPORT", -1): 2}
_READ_NOTHING: Final[tuple[Operation, ...]] = ("recv:again", "recv:timeout", "recv:blocks")
_SEND_NOTHING: Final[tuple[Operation, ...]] = ("send:again", "send:timeout", "send:blocks")
_ACCEPT_NOTHING: Final[tuple[Operation, ...]] = ("accept:again", "accept:timeout", "accept:blocks")
_FAMILIES: Final = (_socket.AF_INET, _socket.AF_INET6, AF_UNIX)

BEFORE: Final = (
    "It was made before the scenario began: make it in the function that is run, or inside of"
    " `with net.installed():` (a module that makes it at its import: import it there, or use net.run_path() or"
    " net.run_module()). Or its class is derived from a real one, which is not simulated"
)
"""What is said of a real socket or selector that a scenario's server uses."""

_current: dict[int, list[World]] = {}  # by thread, the innermost last

when_selector_is_made: Final[list[Callable[[], None]]] = []
"""Called when code that runs in a scenario makes a selector."""


def current() -> World | None:
    """The world that is put under this thread's code; None: the real one."""
    worlds = _current.get(get_ident())
    return worlds[-1] if worlds else None


def check_world(world: World, thing: object) -> None:
    """Refuse what a module has kept from an earlier scenario."""
    now = current()
    if now is not None and now is not world:
        now.refuse(
            f"{thing!r} belongs to an earlier scenario, in which its module was imported. Let the server make it in the"
            " function that is run, or import the module anew (net.run_path() does)"
        )


def enter(world: World) -> None:
    """From now on sockets are made in this world."""
    _current.setdefault(get_ident(), []).append(world)


def leave() -> None:
    """The world before is current again."""
    worlds = _current[get_ident()]
    worlds.pop()
    if not worlds:
        del _current[get_ident()]


class StandIn(ABCMeta):
    """The type of a class that stands in for a real one: what is one of those is one of these."""

    real: type
    ours: type

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any], **options: Any) -> Any:
        """Code that derives a class from a stand-in gets one that is derived from the real class."""
        if any("real" in vars(base) for base in bases):
            real = tuple(vars(base).get("real", base) for base in bases)
            return type(real[0])(name, real, space, **options)
        return super().__new__(cls, name, bases, space)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, (cls.real, cls.ours))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.real)


class SimSocket(Shell):
    """A socket in a scenario."""

    __slots__ = ("_descriptor", "_linger", "_record", "_serial", "_world", "family", "proto", "type")

    def __init__(self, world: World, descriptor: Descriptor, record: Record, proto: int = 0) -> None:
        # No super().__init__(): it would open a descriptor.
        self._io_refs = 0
        self._closed = False
        self._world = world
        self._descriptor = descriptor
        self._record = record
        self._options = None
        self._linger = False
        self._timeout = _socket.getdefaulttimeout()
        self._serial = len(world.monitor.records)
        self.family = _socket.AddressFamily(descriptor.family)
        self.type = _socket.SOCK_STREAM
        self.proto = proto

    def __hash__(self) -> int:
        return self._serial  # a server that broadcasts over a set does so in the same order every time

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        closed = " [closed]" if self._closed else ""
        return f"<socket.socket {self._record.name!r}{closed} fd={self.fileno()}>"

    def __del__(self) -> None:
        record: Record | None = getattr(self, "_record", None)
        if record is None or record.monitor.finished or self._closed or record.phase == "detached":
            return
        try:
            record.monitor.perform(record, "close", "dropped: nothing refers to it any more")
        except Exception:  # noqa: S110  (nobody is there to get it; a violation is remembered)
            pass
        self._release()

    # -- as a whole -----------------------------------------------------------------------------

    def _do(self, operation: Operation, detail: object = None) -> None:
        if self._record.monitor.finished:
            self._too_late(operation)
        self._record.monitor.perform(self._record, operation, detail)

    def _too_late(self, operation: Operation) -> None:
        """The scenario is over: nothing is judged any more, and nothing but closing goes on."""
        if operation not in ("close", "detach"):
            raise OSError(EBADF, f"{self!r} belongs to a scenario that is over")

    def _refuse(self, what: str) -> NoReturn:
        self._world.refuse(what)

    def fileno(self) -> int:
        """A number from 2**30 up, the lowest that is free; -1 once closed."""
        return -1 if self._gone() else self._descriptor.number

    def _waits(self, flags: int = 0) -> int:
        """How a call waits: 0 not at all, 1 for a while, 2 until something comes."""
        if self._timeout is None:
            return 0 if flags & DONTWAIT else 2
        return 1 if self._timeout else 0

    def _wait(self, done: Callable[[], bool], nothing: tuple[Operation, ...], flags: int, *, ends: bool = False) -> int:
        """Wait for something to come, as this socket waits; returns how long it took, in nanoseconds.

        nothing: the operations that it is if nothing comes. ends: it is where a server waits when all is done.
        """
        world = self._world
        how = self._waits(flags)
        if how == 0:
            self._do(nothing[0])
            raise os_error(EAGAIN)
        world.check_running(None)
        start = world.clock.now
        deadline = None if self._timeout is None else start + nanoseconds(self._timeout)
        call = (nothing[0].partition(":")[0], self._record.name)
        never = None if ends or how == 1 else (lambda: self._do(nothing[2]))
        if not world.until(done, deadline, call, never):
            self._do(nothing[1])
            raise os_error(ETIMEDOUT)
        return world.clock.now - start

    # -- reading --------------------------------------------------------------------------------

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """At most `bufsize` bytes of what the peer has sent by one `sends`."""
        return self._read(bufsize, flags)

    def _read(self, size: int, flags: int) -> bytes:
        if size < 0:
            raise ValueError("negative buffersize in recv")
        if not size:
            return b""  # no call of the kernel comes of that
        if flags:
            flags = checked_flags(flags, self._refuse)
            if flags & WAITALL and not flags & PEEK:
                return self._read_all(size, flags & ~WAITALL)
        stream = self._descriptor.stream
        if stream is None or self._gone():
            return self._read_unconnected(size, flags)
        if not stream.readable:
            took = self._wait(lambda: stream.readable, _READ_NOTHING, flags)
            if took and self._timeout is None and self._record.monitor.in_force("blocking-read", self._record):
                self._do("recv:waits", seconds_text(took))
        if stream.chunks:
            data = stream.peek(size)
            self._do("peek" if flags & PEEK else "recv", excerpt(data))
            if not flags & PEEK:
                self._world.progress += 1
                stream.drop(len(data))
            return data
        if stream.error and not stream.ended:
            self._fails("recv:reset", stream.take_error())
        if not flags & PEEK:
            ours = stream.deaf and not (stream.ended or stream.dead)  # the server's own doing: the peer has not ended
            self._do("recv" if ours else "recv:eof", b"")
        return b""

    def _read_all(self, size: int, flags: int) -> bytes:
        """MSG_WAITALL: until `size` bytes are there, or the end is (man 2 recv)."""
        data = b""
        while len(data) < size:
            try:
                more = self._read(size - len(data), flags)
            except OSError:
                if data:
                    break
                raise
            if not more:
                break
            data += more
        return data

    def _read_unconnected(self, size: int, flags: int) -> bytes:
        descriptor = self._descriptor
        if descriptor.error:
            self._fails("recv:reset", descriptor.take_error())
        if descriptor.connecting and self._waits():
            self._await_connection()
            return self._read(size, flags)
        self._do("recv")
        return b""  # after a connection that was refused

    def _fails(self, operation: Operation, number: int) -> NoReturn:
        """A call that reports how the connection has failed."""
        error = os_error(number)
        self._do(operation, type(error))
        raise error

    # -- writing --------------------------------------------------------------------------------

    def _push(self, data: Buffer, taken: int | None = None, flags: int = 0) -> int:
        """As the base class has it: what there is room for; a socket that blocks sends all."""
        if isinstance(data, str):
            raise TypeError("a bytes-like object is required, not 'str'")
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))
        stream = self._sending_stream()
        if data and stream.room == 0:
            self._wait_for_room(stream, flags)
            if stream.error or stream.dead:
                self._fails("send:reset", stream.take_error() or EPIPE)
        size = min(stream.room, len(data))
        self._judge(stream, data[:size])
        blocks = self._waits(flags) == 2
        whole = size == len(data) or blocks
        start = data[:BYTES_SHOWN]
        self._do("send", excerpt(data) if whole else (start, len(data), size))
        self._put(stream, data[:size])
        while blocks and size < len(data) and not stream.dead:
            self._wait_for_room(stream, flags)
            more = data[size : size + stream.room]
            self._judge(stream, more)
            if not stream.dead:
                self._put(stream, more)
                size += len(more)
        record = self._record
        if size < len(data) or record.unsent:
            record.monitor.sent(record, data, len(data) if stream.dead else size)  # dead: nobody is there to miss it
        return size

    def _sending_stream(self) -> Stream:
        """The connection, if there is one that can be written to."""
        descriptor = self._descriptor
        if descriptor.connecting and self._waits():
            self._await_connection()
        stream = descriptor.stream
        if stream is None and descriptor.error:
            self._fails("send:reset", descriptor.take_error())
        if stream is not None and not self._gone() and (stream.error or stream.dead):
            self._fails("send:reset", stream.take_error() or EPIPE)
        if stream is None or stream.mute or self._gone():
            self._do("send")
            raise os_error(EPIPE)
        if stream.unix and stream.other.closed:
            self._fails("send:reset", EPIPE)
        return stream

    def _put(self, stream: Stream, data: bytes) -> None:
        self._world.progress += bool(data)
        stream.put(data)

    def _wait_for_room(self, stream: Stream, flags: int) -> None:
        took = self._wait(lambda: stream.room > 0 or stream.dead, _SEND_NOTHING, flags)
        if took and self._timeout is None and self._record.monitor.in_force("blocking-send", self._record):
            self._do("send:waits", seconds_text(took))

    def _judge(self, stream: Stream, data: bytes) -> None:
        """Hold what is to be sent against what the peer expects."""
        peer = self._world.peer_of(stream)
        if peer is None or stream.other.closed:
            return
        wrong = peer.judge(data)
        if wrong is None:
            return
        monitor = self._record.monitor
        if not (monitor.in_force("unexpected-send", self._record) and self._world.in_force("unexpected-send", peer)):
            peer.stop_judging()
            return
        said, lines, step = wrong
        block = f"{lines}\n\n{peer.conversation(step)}".strip("\n")
        fields = {"what": said, "moment": "sent"}
        finding = Finding("unexpected-send", self._record.name, fields, block=block, made=peer.place_of(step))
        monitor.breach(finding, "send", self._record.name, excerpt(data))

    def _push_all(self, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        deadline = None if not self._timeout else self._world.clock.now + nanoseconds(self._timeout)
        sent = 0
        try:
            while True:
                sent += self._push(bytes(view[sent:]))
                if sent >= len(view):
                    return
                if deadline is not None and self._world.clock.now >= deadline:
                    raise os_error(ETIMEDOUT)
        except OSError:
            self._record.tried_on = True  # by this exception
            raise

    # -- coming and going -----------------------------------------------------------------------

    def _bind(self, address: Address) -> None:
        record = self._record
        check_world(self._world, self)
        if record.moves["bind"] != "bound":
            self._do("bind")
            return
        try:
            self._world.network.bind(self._descriptor, address)
        except Exception as error:
            record.monitor.refused("bind", record.name, error)
            raise
        record.monitor.rename(record, None, "listener")
        self._do("bind", str(self._descriptor.local))

    def _listen(self, backlog: int) -> None:
        self._world.monitor.rename(self._record, None, "listener")
        self._do("listen")
        self._world.network.listen(self._descriptor, backlog)
        self._world.listens()

    def listen(self, backlog: int = 128, /) -> None:
        """Become a listener; `backlog` and one may wait to be accepted."""
        self._listen(backlog)

    def _accept(self) -> tuple[_socket.socket, Address]:
        record, world = self._record, self._world
        check_world(world, self)
        backlog = self._descriptor.backlog
        if backlog is None or record.moves["accept"] is not None:
            self._do("accept")
            raise os_error(EINVAL)
        if not backlog:
            self._wait(lambda: bool(backlog), _ACCEPT_NOTHING, 0, ends=not record.ever_registered)
        stream = backlog[0]
        peer = world.peer_of(stream)
        descriptor = world.network.open(self._descriptor.family, world.script)
        descriptor.connected(stream)
        newcomer = world.admit(descriptor, peer.name if peer else None, "client", peer._allow if peer else frozenset())
        newcomer.monitor.becomes(newcomer, "connected")
        self._do("accept", newcomer.name)
        backlog.popleft()
        world.progress += 1
        world.accepts(self._descriptor)
        world.monitor.accepted(newcomer)
        sock = SimSocket(world, descriptor, newcomer)
        return sock, stream.remote

    def _connect(self, address: Address) -> None:
        record, descriptor = self._record, self._descriptor
        if record.moves["connect:later"] != "connecting":
            self._connect_again(record, descriptor)
            return
        error = descriptor.take_error()
        if error:
            self._fails("connect:refused", error)
        where = self._world.network.resolved(self.family, address, "connect")
        self._world.dial(descriptor, record, where, address)
        if descriptor.stream is not None and (self._waits() or self.family == AF_UNIX):
            self._do("connect:done", str(address))
            return
        if self._waits() or self.family == AF_UNIX:
            record.monitor.becomes(record, "connecting")
            self._await_connection()
            record.monitor.decided("connect", record.name, str(address))
            return
        self._do("connect:later", str(address))
        if descriptor.stream is not None:  # a listener of the program's own: nobody has to wait
            descriptor.fresh = True
            record.monitor.becomes(record, "connected")
        raise OSError(EINPROGRESS, os.strerror(EINPROGRESS))

    def _connect_again(self, record: Record, descriptor: Descriptor) -> None:
        if descriptor.connecting and self._waits():
            self._await_connection()
        elif descriptor.fresh:  # the first call after that says that all is well
            descriptor.fresh = False
        else:
            self._do("connect")

    def _await_connection(self) -> None:
        """A connection is under way, and the socket waits for it."""
        descriptor, world = self._descriptor, self._world
        if not world.check_running(None):
            return
        deadline = None if self._timeout is None else world.clock.now + nanoseconds(self._timeout)
        error: OSError | None = None
        if not world.until(lambda: not descriptor.connecting, deadline, ("connect", self._record.name)):
            error = os_error(ETIMEDOUT)
        elif descriptor.error:
            number = descriptor.take_error()
            error = OSError(number, os.strerror(number))
        descriptor.fresh = False
        if error is not None:
            self._record.monitor.refused("connect", self._record.name, error)
            raise error

    def connect_ex(self, address: Address, /) -> int:
        """As `connect()`, but returns the error number; EAGAIN if a timeout was reached."""
        try:
            return super().connect_ex(address)
        except TimeoutError:
            return EAGAIN

    def _shut(self, how: int) -> None:
        record, descriptor = self._record, self._descriptor
        operation = shut_operation(how, record.phase)
        stream = descriptor.stream
        if stream is not None and (stream.dead or (stream.mute and stream.ended)) and record.phase != "closed":
            error = os_error(ENOTCONN)
            record.monitor.refused("shutdown", record.name, error)
            raise error
        self._do(operation)
        if descriptor.backlog is not None and record.phase != "listening":
            descriptor.stop_listening()
            self._world.network.listeners.remove(descriptor)
        if stream is None:
            return
        if how != _socket.SHUT_WR:
            stream.deaf = True
        if how != _socket.SHUT_RD and not stream.mute:
            stream.finish()
        descriptor.touch()

    def _close(self) -> None:
        if self._io_refs <= 0 and not self._gone():
            stream = self._descriptor.stream
            if stream is not None and stream.other.closed and not self._record.asleep:
                self._record.unsent = None  # nobody is there to miss it
            if not self._record.monitor.finished:
                self._do("close")
                self._release()
        self._closed = True

    def _gone(self) -> bool:
        return self._record.phase in ("closed", "detached")

    def _ended_in_file(self) -> None:
        self._record.through_file = True

    def _release(self) -> None:
        """The kernel's part of a close."""
        world, descriptor = self._world, self._descriptor
        if descriptor.stream is not None and not descriptor.closed:
            world.closed()
        world.progress += 1
        world.network.close(descriptor, reset=self._linger)

    def detach(self) -> int:
        """Give the number away; `socket.socket(fileno=...)` takes it up again."""
        number = self.fileno()
        if number >= 0:
            self._do("detach")
            self._world.detached[number] = (self._descriptor, self._record.name)
        self._closed = True
        return number

    def getsockname(self) -> Address:
        """The address that it is bound to."""
        self._do("option", "getsockname()")
        local = self._descriptor.local
        return local.encode() if isinstance(local, str) and local.startswith("\0") else local

    def getpeername(self) -> Address:
        """The address of the other end. OSError (ENOTCONN) once it was reset."""
        stream = self._descriptor.stream
        gone = stream is None or stream.dead or (stream.mute and stream.ended)
        if gone and self._record.moves["getpeername"] is None:
            error = os_error(ENOTCONN)
            self._record.monitor.refused("getpeername", self._record.name, error)
            raise error
        self._do("getpeername")
        assert stream is not None
        return stream.remote

    def setsockopt(self, level: int, optname: int, value: int | Buffer | None, optlen: int = 0, /) -> None:
        """Remembered for `getsockopt()`; SO_REUSEADDR, SO_REUSEPORT and SO_LINGER have their effect."""
        super().setsockopt(level, optname, value, optlen)
        if (level, optname) == (_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY):
            self._descriptor.only_ipv6 = bool(value)
        if level != _socket.SOL_SOCKET:
            return
        if optname in _REUSE and isinstance(value, int):
            bit = _REUSE[optname]
            self._descriptor.reuse = self._descriptor.reuse | bit if value else self._descriptor.reuse & ~bit
        elif optname == _socket.SO_LINGER and not isinstance(value, (int, type(None))):
            raw = bytes(memoryview(value))
            half = len(raw) // 2
            self._linger = any(raw[:half]) and not any(raw[half:])

    def getsockopt(self, level: int, optname: int, buflen: int = 0, /) -> Any:  # Any: as the base class has it
        """As the base class has it; SO_ERROR and SO_ACCEPTCONN are the network's."""
        value = super().getsockopt(level, optname, buflen)
        if level != _socket.SOL_SOCKET or buflen:
            return value
        descriptor = self._descriptor
        if optname == _socket.SO_ERROR:
            return (descriptor.stream or descriptor).take_error()
        if optname == getattr(_socket, "SO_ACCEPTCONN", None):
            return int(descriptor.backlog is not None)
        if optname in (_socket.SO_SNDBUF, _socket.SO_RCVBUF) and not value:
            return self._world.buffer
        return value


class Socket(SimSocket, metaclass=StandIn):
    """What stands in for `socket.socket` while a scenario is installed."""

    __slots__ = ()

    real = real_socket
    ours = SimSocket

    def __new__(  # pyright: ignore[reportInconsistentConstructor]  # it never makes one of its own
        cls,
        family: int = -1,
        type: int = -1,  # noqa: A002  (its name)
        proto: int = -1,
        fileno: int | None = None,
    ) -> Any:  # Any: of either kind
        """A socket of the current world; a real one outside of any, and for a real descriptor."""
        world = current()
        if world is None or (fileno is not None and fileno not in world.detached):
            return real_socket(family, type, proto, fileno)
        if fileno is not None:
            descriptor, name = world.detached.pop(fileno)
            record = world.admit(descriptor, name, "socket")
            connected = descriptor.stream is not None
            world.monitor.becomes(
                record, "connected" if connected else "listening" if descriptor.backlog is not None else "new"
            )
            return SimSocket(world, descriptor, record)
        family = _socket.AF_INET if family == -1 else family
        kind = _socket.SOCK_STREAM if type == -1 else int(type) & ~(_NONBLOCK | _CLOEXEC)
        if kind == _socket.SOCK_DGRAM:
            return real_socket(family, type, max(proto, 0))  # to be made; what it may do, `_install` decides
        if family not in _FAMILIES or kind != _socket.SOCK_STREAM:
            world.refuse(
                f"a scenario has TCP and AF_UNIX stream sockets only; socket({family!r}, {type!r}) is not simulated."
                " Replace what uses it in the test"
            )
        return make(world, family, max(proto, 0), blocking=not (type != -1 and int(type) & _NONBLOCK))


def make(world: World, family: int, proto: int = 0, *, blocking: bool = True) -> SimSocket:
    """A new socket, not yet bound or connected."""
    frame = caller(1)
    descriptor = world.network.open(family, place(frame.f_code, frame.f_lasti))
    sock = SimSocket(world, descriptor, world.admit(descriptor, None, "socket"), proto)
    if not blocking:
        sock._timeout = 0.0
    return sock

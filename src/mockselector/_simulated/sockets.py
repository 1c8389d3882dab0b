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
import sys
from _socket import socket as _Raw  # noqa: N812  (the class below `socket.socket`, whose methods nobody replaces)
from collections.abc import Callable, Iterable
from errno import EAGAIN, EBADF, ECONNABORTED, EFAULT, EINPROGRESS, EINVAL, EISCONN, ENOTCONN, EOPNOTSUPP, ETIMEDOUT
from functools import cache
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any, Final

from .._buffers import Given, Rest, excerpt_of, flat, let_go
from .._current import StandIn, check_world, current
from .._judge.reasons import is_dropping
from .._judge.rules import GONE, shut_operation
from .._judge.trace import caller, place
from .._kernel.addresses import AF_UNIX, ANY, without_name
from .._kernel.streams import Stream
from .._methods import DONTWAIT, PEEK, WAITALL, Shell, checked_flags
from .._play.clock import nanoseconds
from .._system import os_error, real_socket
from .._text import BYTES_SHOWN, excerpt, value_text
from .._whose import INSIDE

if TYPE_CHECKING:
    from typing import NoReturn

    from typing_extensions import Buffer

    from .._buffers import Outgoing
    from .._judge.records import Record
    from .._judge.rules import Operation
    from .._kernel.descriptors import Descriptor
    from .._play.kept_waiting import LookingAround
    from .._play.world import World
    from .._system import Address

_getframe: Final = sys._getframe  # the only way to a frame that costs nothing

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_NONBLOCK: Final = int(getattr(_socket, "SOCK_NONBLOCK", 0))
_CLOEXEC: Final = int(getattr(_socket, "SOCK_CLOEXEC", 0))
_READ_NOTHING: Final[tuple[Operation, ...]] = ("recv:again", "recv:timeout", "recv:blocks")
_SEND_NOTHING: Final[tuple[Operation, ...]] = ("send:again", "send:timeout", "send:blocks")
_ACCEPT_NOTHING: Final[tuple[Operation, ...]] = ("accept:again", "accept:timeout", "accept:blocks")
_MUCH: Final = 1 << 31
"""What no program reads or writes at once: only the real method knows what it thinks of that."""

_WITHOUT_MEANING: Final = sum(int(getattr(_socket, name, 0)) for name in ("MSG_NOSIGNAL", "MSG_MORE"))
_BACKLOG: Final = 128
_FAMILY: Final[dict[int, _socket.AddressFamily]] = {
    family: _socket.AddressFamily(family)
    for family in (_socket.AF_INET, _socket.AF_INET6, AF_UNIX)
    if family is not None
}


@cache
def _closed(family: int) -> _Raw:
    """A real socket of this family that is closed: it knows which arguments are right, and can do nothing."""
    try:
        sock = _Raw(family, _socket.SOCK_STREAM)
    except OSError:  # pragma: no cover  (a family that this machine does not have)
        return _closed(_socket.AF_INET)
    sock.close()
    return sock


def _kept(things: Any) -> Any:  # Any: whatever the program gave
    """What can be gone through more than once; what is no iterable stays what it is, to be refused."""
    return things if not isinstance(things, Iterable) else [*things]  # pyright: ignore[reportUnknownVariableType]


def _looking(around: LookingAround, world: World, done: Callable[[], bool]) -> Callable[[], bool]:
    """As `done`, but look who else waits whenever it is asked."""

    def look() -> bool:
        around.look(world.clock.now)
        return done()

    return look


class SimSocket(Shell):
    """A socket in a scenario."""

    __slots__ = ("_around", "_deadline", "_descriptor", "_record", "_serial", "_world", "family", "proto", "type")

    def __init__(self, world: World, descriptor: Descriptor, record: Record, proto: int = 0) -> None:
        # No super().__init__(): it would open a descriptor.
        self._io_refs = 0
        self._closed = False
        self._world = world
        self._descriptor = descriptor
        self._record = record
        self._options = None
        self._timeout = _socket.getdefaulttimeout()
        self._deadline: int | None = None  # of a sendall()
        self._around: LookingAround | None = None  # who else waited while it last did
        self._serial = len(world.monitor.records)
        self.family = _FAMILY[descriptor.family]
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
        if record is None or record.monitor.finished or self._closed or record.phase in GONE:
            return
        if not self._world.dropped.drops(record, self._descriptor, self._serial):
            record.monitor.drops(record)
            self._release()

    @property
    def timeout(self) -> float | None:
        """As `gettimeout()`."""
        return self._timeout

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        raise AttributeError("attribute 'timeout' of '_socket.socket' objects is not writable")

    def settimeout(self, value: float | None, /) -> None:
        """Let calls wait `value` seconds."""
        self._set_timeout("settimeout", value)

    def setblocking(self, flag: bool, /) -> None:
        """Let calls wait for ever, or not at all."""
        self._set_timeout("setblocking", flag)

    def _set_timeout(self, method: str, value: float | bool | None) -> None:
        try:  # it has no descriptor for that, but keeps what it was given, as the real one does
            getattr(_Raw, method)(self, value)
        except OSError as error:
            if error.errno != EBADF:
                raise
        self._timeout = _Raw.gettimeout(self)
        self._do("option", f"{method}({value_text(value)})")

    # -- as a whole -----------------------------------------------------------------------------

    def _do(self, operation: Operation, detail: object = None) -> None:
        monitor = self._record.monitor
        if monitor.finished:
            self._too_late(operation)
        monitor.perform(self._record, operation, detail)

    def _does(self, operation: Operation, detail: object = None) -> None:
        """Take a step that the network lets pass, whatever the table would say (which is TCP's)."""
        record = self._record
        monitor = record.monitor
        if monitor.finished:
            self._too_late(operation)
        if isinstance(record.moves[operation], int):
            monitor.decided(operation.partition(":")[0], record.name, detail)
        else:
            monitor.perform(record, operation, detail)

    def _fails(self, operation: Operation, number: int, error: OSError | None = None) -> NoReturn:
        """A call that the network refuses, or in which it reports how the connection has failed."""
        error = error or OSError(number, os.strerror(number))
        record = self._record
        if isinstance(record.moves[operation], int) and not record.monitor.finished:
            record.tried_on = record.tried_on or operation.startswith("send")
            record.monitor.refused(operation.partition(":")[0], record, error)
        else:
            self._do(operation, type(error))
        try:
            raise error
        finally:
            del error  # it refers to this frame

    def _check_open(self, operation: Operation) -> None:
        """Refuse a call on what is closed."""
        record = self._record
        if record.phase in GONE or record.monitor.finished:
            self._do(operation)

    def _check(self, method: str, *args: object) -> None:
        """Refuse arguments as the real method does: it is called, on a closed socket."""
        closed = _closed(self.family)
        try:
            getattr(_Raw, method)(closed, *args)
        except OSError as error:
            if error.errno != EBADF:
                raise

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

    def _wait_until(self, events: int, nothing: tuple[Operation, ...], *, ends: bool = False) -> None:
        """With a timeout, wait as the real socket does before each call: by a poll(), whatever the call then does."""
        if self._timeout and not self._descriptor.ready() & events:
            self._wait(lambda: bool(self._descriptor.ready() & events), nothing, 0, ends=ends)

    def _wait(self, done: Callable[[], bool], nothing: tuple[Operation, ...], flags: int, *, ends: bool = False) -> int:
        """Wait for something to come, as this socket waits; returns how long it took, in nanoseconds.

        nothing: the operations that it is if nothing comes. ends: it is where a server waits when all is done.
        """
        world = self._world
        how = self._waits(flags)
        if how == 0:
            world.spinning.looks()
            self._fails(nothing[0], EAGAIN)
        world.check_running(None)
        start = world.clock.now
        deadline = self._deadline
        if deadline is None and self._timeout is not None:
            deadline = start + nanoseconds(self._timeout)
        call = (nothing[0].partition(":")[0], self._record.name)
        self._around = around = world.outcome.look_around(self._descriptor) if how == 2 and not ends else None
        if around is not None:
            done = _looking(around, world, done)
        never = None if ends or how == 1 else (lambda: self._do(nothing[2]))
        if not world.until(done, deadline, call, never):
            self._fails(nothing[1], ETIMEDOUT, os_error(ETIMEDOUT))
        return world.clock.now - start

    # -- reading --------------------------------------------------------------------------------

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """At most `bufsize` bytes of what the peer has sent by one `sends`."""
        record, stream = self._record, self._descriptor.stream
        monitor = record.monitor
        if (
            stream is not None
            and stream.chunks
            and not flags
            and record.moves["recv"] is None
            and type(bufsize) is int
            and 0 < bufsize < _MUCH
            and not monitor.finished
            and len(monitor.rows) <= monitor.limit
            and self._world.choices.decide is None
        ):
            # The plainest read, in as few steps as can be: what comes of it is what the rest of this class would do.
            data = stream.take(bufsize)
            frame = _getframe(1)
            if frame.f_code.co_filename in INSIDE:
                frame = caller(1)
            kept = data if len(data) <= BYTES_SHOWN else excerpt(data)
            record.note(("recv", record.name, kept, monitor.now, frame.f_code, frame.f_lasti))
            self._world.spinning.progress += 1
            return data
        if type(bufsize) is not int or not 0 <= bufsize < _MUCH or (flags and type(flags) is not int):
            self._check("recv", bufsize, flags)
        return self._read(bufsize, flags) if bufsize else b""  # of nothing, no call of the kernel comes

    def _read(self, size: int, flags: int) -> bytes:
        self._check_open("recv")
        if flags:
            flags = checked_flags(flags, self._refuse)
        descriptor = self._descriptor
        if self._timeout and not descriptor.ready() & EVENT_READ:
            self._wait_to_read(flags)
        if flags & WAITALL:
            return self._read_all(size, flags & ~WAITALL)
        stream = descriptor.stream
        if not (stream.readable if stream is not None else not descriptor.connecting):
            self._wait_to_read(flags)
            stream = descriptor.stream
        if stream is not None and stream.chunks:
            data = stream.peek(size)
            if not flags & PEEK:
                data = data[: len(data) - self._world.choices.choose(len(data), "how many bytes are read")]
            self._does("peek" if flags & PEEK else "recv", excerpt(data))
            if data and not flags & PEEK:
                self._world.spinning.progress += 1
                stream.drop(len(data))
            return data
        error = descriptor.refuses_to_read()
        if error:
            self._fails("recv:reset" if stream is not None or descriptor.failing else "recv", error)
        if stream is None:
            self._does("recv", b"")
        elif not flags & PEEK:
            ours = stream.deaf and not (stream.ended or stream.dead)  # the server's own doing: the peer has not ended
            self._does("recv" if ours else "recv:eof", b"")
        return b""

    def _wait_to_read(self, flags: int) -> None:
        descriptor = self._descriptor
        took = self._wait(lambda: bool(descriptor.ready() & EVENT_READ), _READ_NOTHING, 0 if self._timeout else flags)
        if took and self._timeout is None:
            self._world.outcome.waited(self._record, "recv:waits", "blocking-read", took, self._around)

    def _read_all(self, size: int, flags: int) -> bytes:
        """MSG_WAITALL: until `size` bytes are there, or the end is (man 2 recv)."""
        before = self._descriptor.stream
        blocks = self._waits(flags) == 2
        if flags & PEEK and before is not None:
            if blocks:
                self._wait(lambda: before.size >= size or before.hears_nothing, _READ_NOTHING, flags)
            if not before.chunks:
                return self._read(size, flags)
            data = before.joined(size)
            self._does("peek", excerpt(data))
            return data
        there = before is not None and before.chunks
        data = self._gathered(before, size) if before is not None and there else self._read(size, flags)
        stream = self._descriptor.stream  # which may be a new one
        if not data or stream is None:
            return data
        parts = [data]
        left = size - len(data)
        while left:
            if not stream.chunks:
                if blocks and not stream.hears_nothing:
                    self._wait_to_read(flags)
                if not stream.chunks:  # an end, or an error, which is for the next call to tell
                    if stream.unix and not blocks:
                        stream.take_error()  # it is looked at, and lost
                    break
            parts.append(self._gathered(stream, left))
            left -= len(parts[-1])
        return b"".join(parts)

    def _gathered(self, stream: Stream, size: int) -> bytes:
        """At most `size` bytes of what is there, by however many sends it came."""
        data = stream.joined(size)
        self._does("recv", excerpt(data))
        self._world.spinning.progress += 1
        stream.drop(len(data))
        return data

    def _recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        if type(buffer) is not bytearray or nbytes or flags:
            self._check("recv_into", buffer, nbytes, flags)
        return super()._recv_into(buffer, nbytes, flags)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Address]:
        """As `recv()`; the address is None, as TCP has it, or that of an AF_UNIX peer."""
        self._check("recvfrom", bufsize, flags)
        return self._read(bufsize, flags), self._source()

    def recvfrom_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Address]:
        """As `recv_into()`; the address is that of `recvfrom()`."""
        try:
            self._check("recvfrom_into", buffer, nbytes, flags)
            with flat(buffer) as view:
                return self._fill(view, nbytes, flags), self._source()
        except BaseException as error:
            let_go(error)
            del buffer
            raise

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Address]:
        """As `recv()`; ancillary data never comes."""
        self._check("recvmsg", bufsize, ancbufsize, flags)
        return self._read(bufsize, flags), [], 0, self._source()

    def recvmsg_into(
        self, buffers: Iterable[Buffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Address]:
        """As `recv()`, spread over several buffers."""
        try:
            buffers = _kept(buffers)
            self._check("recvmsg_into", buffers, ancbufsize, flags)
            return (*super().recvmsg_into(buffers, ancbufsize, flags)[:3], self._source())
        except BaseException as error:
            let_go(error)
            del buffers
            raise

    def _source(self) -> Address:
        """Where what was read comes from, for who asks with each read."""
        stream = self._descriptor.stream
        return (stream.remote or None) if stream is not None and stream.unix else None

    # -- writing --------------------------------------------------------------------------------

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send what there is room for; returns how many bytes were taken."""
        if type(data) is bytes and not flags:
            return self._sends_plainly(data) or self._push(data)
        try:
            self._check("send", data, flags)
            return self._push(data, flags=flags)
        except BaseException as error:
            let_go(error)
            del data
            raise

    def _sends_plainly(self, data: bytes) -> int:
        """The plainest send, in as few steps as can be, as the rest of this class would do it; 0: it is not."""
        record, stream = self._record, self._descriptor.stream
        monitor, size = record.monitor, len(data)
        if (
            stream is None
            or not size
            or record.moves["send"] is not None
            or not stream.is_plain_for(size)
            or record.unsent is not None
            or monitor.finished
            or len(monitor.rows) > monitor.limit
            or self._world.choices.decide is not None
        ):
            return 0
        if stream.other.peer is not None:
            self._judge(stream, data)
        frame = _getframe(2)
        if frame.f_code.co_filename in INSIDE:
            frame = caller(2)
        kept = data if size <= BYTES_SHOWN else excerpt(data)
        record.note(("send", record.name, kept, monitor.now, frame.f_code, frame.f_lasti))
        self._world.spinning.progress += 1
        stream.hand_over(data, size)
        return size

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send all of `data`."""
        if type(data) is bytes and not flags:
            if not self._sends_plainly(data):
                self._push_all(data)
            return
        try:
            self._check("sendall", data, flags)
            self._push_all(data)
        except BaseException as error:
            let_go(error)
            del data
            raise

    def sendto(self, data: Buffer, *flags_and_address: Any) -> int:  # Any: as the base class has it
        """As `send()`: a connected TCP socket ignores the address (man 2 sendto)."""
        try:
            *flags, address = flags_and_address or (None,)
            if len(flags_and_address) in (1, 2):
                self._check("sendto", data, *flags, without_name(address, self.family))
            else:
                self._check("sendto", data, *flags_and_address)
            self._check_unaddressed(address)
            return self._push(data, flags=flags[0] if flags else 0)
        except BaseException as error:
            let_go(error)
            del data
            raise

    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[tuple[int, int, Buffer]] = (),
        flags: int = 0,
        address: Address | None = None,
        /,
    ) -> int:
        """Send all buffers, one after the other. NotImplementedError for ancillary data."""
        try:
            buffers = _kept(buffers)
            ancdata = _kept(ancdata)
            self._check("sendmsg", buffers, ancdata, flags, without_name(address, self.family))
            self._check_unaddressed(address)
            return super().sendmsg(buffers, ancdata, flags)
        except BaseException as error:
            let_go(error)
            del buffers, ancdata
            raise

    def _wait_for_file(self) -> None:
        if self._gone():
            raise ValueError("Invalid file descriptor: -1")
        descriptor = self._descriptor
        if not descriptor.ready() & EVENT_WRITE:
            self._wait(lambda: bool(descriptor.ready() & EVENT_WRITE), _SEND_NOTHING, 0)

    def _refuses_file(self) -> bool:
        return bool(self._descriptor.refuses_to_send())

    def _check_unaddressed(self, address: Address) -> None:
        """Refuse an address on an AF_UNIX socket (man 2 sendto)."""
        if address is not None and self.family == AF_UNIX:
            self._check_open("send")
            self._wait_until(EVENT_WRITE, _SEND_NOTHING)
            self._fails("send", EOPNOTSUPP if self._descriptor.stream is None else EISCONN)

    def _push(self, data: Buffer | Given | Rest, taken: int | None = None, flags: int = 0) -> int:
        """As the base class has it: what there is room for; a socket that blocks sends all."""
        if not isinstance(data, (bytes, Given, Rest)):
            with Given(data) as given:
                return self._push(given, taken, flags)
        if flags:
            flags = self._checked_flags(flags)
        self._check_open("send")
        self._wait_until(EVENT_WRITE, _SEND_NOTHING)
        stream = self._sending_stream(flags)
        whole = len(data)
        if whole and stream.room == 0:
            self._wait_for_room(stream, flags)
            self._check_sending()
        size = min(stream.room, whole)
        size -= self._world.choices.choose(size, "how many bytes are sent")
        part = data[:size]
        self._judge(stream, part)
        blocks = self._waits(flags) == 2
        self._does("send", excerpt(part) if size == whole else excerpt_of(data, whole if blocks else size))
        self._put(stream, part)
        while blocks and size < whole and not stream.says_nothing:
            self._wait_for_room(stream, flags)
            part = data[size : size + stream.room]
            self._judge(stream, part)
            if not stream.says_nothing:
                self._put(stream, part)
                size += len(part)
        record = self._record
        if size < whole or record.unsent:
            record.monitor.sent(record, data, whole if stream.dead else size)  # dead: nobody is there to miss it
        return size

    def _checked_flags(self, flags: int) -> int:
        """Flags of a send, as a plain number, but for those that mean nothing here."""
        if flags & ~(DONTWAIT | _WITHOUT_MEANING):
            self._refuse(f"send() with flags={int(flags):#x} is not simulated; MSG_DONTWAIT and MSG_NOSIGNAL are")
        return int(flags)

    def _sending_stream(self, flags: int) -> Stream:
        """The connection, if there is one that can be written to."""
        descriptor = self._descriptor
        if descriptor.connecting:
            self._wait(lambda: not descriptor.connecting, _SEND_NOTHING, flags)
        self._check_sending()
        assert descriptor.stream is not None
        return descriptor.stream

    def _check_sending(self) -> None:
        """Refuse what the network refuses."""
        error = self._descriptor.refuses_to_send()
        if error:
            stream = self._descriptor.stream
            lost = self._descriptor.failing if stream is None else not stream.mute
            self._fails("send:reset" if lost else "send", error)

    def _put(self, stream: Stream, data: bytes) -> None:
        self._world.spinning.progress += bool(data)
        stream.put(data)

    def _wait_for_room(self, stream: Stream, flags: int) -> None:
        took = self._wait(lambda: stream.room > 0 or stream.says_nothing, _SEND_NOTHING, flags)
        if took and self._timeout is None:
            self._world.outcome.waited(self._record, "send:waits", "blocking-send", took, self._around)

    def _judge(self, stream: Stream, data: bytes) -> None:
        """Hold what is to be sent against what the peer expects."""
        peer = self._world.peer_of(stream)
        if peer is None or stream.other.closed:
            return
        wrong = peer.judge(data)
        if wrong is not None:
            self._world.sent_wrongly(self._record, peer, wrong, data)

    def _push_all(self, data: Buffer | Given) -> None:
        if not isinstance(data, (bytes, Given)):
            with Given(data) as given:
                self._push_all(given)
            return
        if self._timeout:
            self._deadline = self._world.clock.now + nanoseconds(self._timeout)
        rest: Outgoing = data
        try:
            while (sent := self._push(rest)) < len(rest):
                if not isinstance(rest, Rest):
                    rest = Rest(data)
                rest.start += sent
        except OSError:
            self._record.tried_on = True  # by this exception
            raise
        finally:
            self._deadline = None

    # -- coming and going -----------------------------------------------------------------------

    def _bind(self, address: Address) -> None:
        record = self._record
        check_world(self._world, self)
        self._check("bind", without_name(address, self.family))
        network = self._world.network
        where = network.resolved(self.family, address)
        self._check_open("bind")
        try:
            network.bind(self._descriptor, where)
        except Exception as error:
            record.monitor.refused("bind", record, error)
            raise
        record.monitor.rename(record, None, "listener")
        self._does("bind", str(self._descriptor.local))

    def _listen(self, backlog: int) -> None:
        record, descriptor = self._record, self._descriptor
        self._check("listen", backlog)
        self._check_open("listen")
        try:
            self._world.network.listen(descriptor, backlog)
        except OSError as error:
            record.monitor.refused("listen", record, error)
            raise
        self._world.monitor.rename(record, None, "listener")
        self._does("listen")
        if record.phase != "listening":
            record.monitor.becomes(record, "listening")
        self._world.listens()

    def listen(self, backlog: int = _BACKLOG, /) -> None:
        """Become a listener; `backlog` and one may wait to be accepted."""
        self._listen(backlog)

    def _accept(self) -> tuple[_socket.socket, Address]:
        record, world = self._record, self._world
        check_world(world, self)
        self._check_open("accept")
        ends = not record.ever_registered
        self._wait_until(EVENT_READ, _ACCEPT_NOTHING, ends=ends)
        backlog = self._descriptor.backlog
        if backlog is None:
            self._fails("accept", EINVAL)
        if not backlog:
            took = self._wait(lambda: bool(backlog), _ACCEPT_NOTHING, 0, ends=ends)
            if took and self._timeout is None and self._around is not None and self._around.found is not None:
                world.outcome.waited(record, "accept:blocks", "accept-without-connection", took, self._around)
        stream = backlog[0]
        peer = world.peer_of(stream)
        descriptor = world.network.open(self._descriptor.family, world.script)
        descriptor.connected(stream)
        descriptor.inherit(self._descriptor)
        newcomer = world.admit(
            descriptor, peer.name if peer else None, "client", peer.endpoint.allow if peer else frozenset()
        )
        newcomer.monitor.becomes(newcomer, "connected")
        self._does("accept", newcomer.name)
        backlog.popleft()
        world.spinning.progress += 1
        world.dialling.accepts(self._descriptor)
        world.monitor.accepted(newcomer, own=peer is None)
        sock = SimSocket(world, descriptor, newcomer)
        return sock, stream.remote

    def _connect(self, address: Address) -> None:
        record, descriptor, world = self._record, self._descriptor, self._world
        self._check("connect", without_name(address, self.family))
        where = world.network.resolved(self.family, address)
        self._check_open("connect")
        if self.family == AF_UNIX:
            self._check_path(where)
        if descriptor.failing or descriptor.fresh or record.moves["connect:later"] != "connecting":
            self._connect_again()
            return
        if self.family != AF_UNIX:
            descriptor.local = world.network.source_of(descriptor)
        world.dialling.dial(descriptor, record, where, address)
        if descriptor.stream is not None and (self._waits() or self.family == AF_UNIX):
            self._do("connect:done", str(address))
            descriptor.fresh = bool(self._timeout) and self.family != AF_UNIX  # Python has waited, not the kernel
            return
        if self.family == AF_UNIX and self._waits() != 2 and world.dialling.hangs_up(descriptor):
            descriptor.connecting = False
            self._refuses_to_connect(EAGAIN)
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

    def _check_path(self, path: str) -> None:
        """Refuse what an AF_UNIX socket refuses, in the order in which it does."""
        network, descriptor = self._world.network, self._descriptor
        if not path:
            self._refuses_to_connect(EINVAL)
        listens = descriptor.backlog is not None
        if descriptor.stream is not None or listens:
            nobody = network.nobody_at(path) if network.listener(path) is None else 0
            self._refuses_to_connect(nobody or (EINVAL if listens else EISCONN))

    def _refuses_to_connect(self, number: int) -> NoReturn:
        error = OSError(number, os.strerror(number))
        self._record.monitor.refused("connect", self._record, error)
        try:
            raise error
        finally:
            del error  # it refers to this frame

    def _connect_again(self) -> None:
        """A connection was begun before."""
        descriptor = self._descriptor
        if descriptor.failing or (descriptor.connecting and self._waits() == 2):
            self._await_connection(again=True)
        elif descriptor.fresh:  # the first call after that says that all is well
            descriptor.fresh = False
        else:
            self._do("connect")
            self._refuses_to_connect(EISCONN)  # what the table knows nothing of: it was reset meanwhile

    def _await_connection(self, *, again: bool = False) -> None:
        """A connection is under way, and the socket waits for it; `again`: it was begun by an earlier call."""
        descriptor, world = self._descriptor, self._world
        if not world.check_running(None):
            return
        deadline = None if self._timeout is None else world.clock.now + nanoseconds(self._timeout)
        error: OSError | None = None
        if not world.until(lambda: not descriptor.connecting, deadline, ("connect", self._record.name)):
            error = os_error(ETIMEDOUT)
        elif descriptor.failing:
            number = descriptor.take_error() or ECONNABORTED
            error = OSError(number, os.strerror(number))
            if (
                again or self._timeout is None or self.family == AF_UNIX
            ):  # else it is Python that waits, and the kernel has not been asked yet
                descriptor.start_again()
        descriptor.fresh = bool(self._timeout) and not again and self.family != AF_UNIX
        if error is not None:
            self._record.monitor.refused("connect", self._record, error)
            try:
                raise error
            finally:
                del error  # it refers to this frame

    def connect_ex(self, address: Address, /) -> int:
        """As `connect()`, but returns the error number; EAGAIN if a timeout was reached."""
        try:
            return super().connect_ex(address)
        except TimeoutError:
            return EAGAIN

    def _shut(self, how: int) -> None:
        record, descriptor = self._record, self._descriptor
        self._check("shutdown", how)
        self._check_open("shutdown:read")
        operation = shut_operation(how, record.phase)
        listened, connecting = descriptor.backlog is not None, descriptor.connecting
        error = descriptor.refuses_to_shut(how)
        if error:
            self._fails(operation, error)
        if listened and self.family == AF_UNIX:  # it listens on, and nobody comes any more
            record.monitor.decided(operation, record.name)
            return
        self._does(operation)
        if connecting:
            self._world.dialling.hangs_up(descriptor)
        if listened and record.phase != "listening":
            descriptor.stop_listening()
            self._world.network.listeners.remove(descriptor)

    def _close(self) -> None:
        if self._io_refs <= 0 and not self._gone():
            stream = self._descriptor.stream
            if stream is not None and stream.other.closed and not self._record.asleep:
                self._record.unsent = None  # nobody is there to miss it
            if self._world.dropped.is_out and is_dropping():
                self._world.dropped.drops(self._record, self._descriptor, self._serial)
            elif not self._record.monitor.finished:
                self._do("close")
                self._release()
        elif not self._closed and self._descriptor in self._world.shared and not self._record.monitor.finished:
            self._closed = True
            self._fails("close", EBADF)  # its number was closed by other means
        self._closed = True

    def _gone(self) -> bool:
        return self._record.phase in GONE

    def _ended_in_file(self) -> None:
        self._record.through_file = True

    def _release(self) -> None:
        """The kernel's part of a close."""
        self._world.gives_back(self._descriptor)

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
        self._check_open("getpeername")
        stream = self._descriptor.stream
        if stream is None or stream.over:
            self._fails("getpeername", ENOTCONN)
        self._does("getpeername")
        return stream.remote

    def setsockopt(self, level: int, optname: int, value: int | Buffer | None, *optlen: int) -> None:
        """Remembered for `getsockopt()`; SO_REUSEADDR, SO_REUSEPORT, SO_LINGER and IPV6_V6ONLY have their effect."""
        try:
            self._check("setsockopt", level, optname, value, *optlen)
            self._do("option", f"setsockopt({level}, {optname}, {value_text(value)})")
            if value is None:
                self._fails("option", EFAULT)
            if isinstance(value, int):
                raw = int(value).to_bytes(4, sys.byteorder, signed=True)
            else:
                raw = bytes(memoryview(value))
            error = self._descriptor.set_option(level, optname, raw)
            if error:
                self._fails("option", error)
        except BaseException as raised:
            let_go(raised)
            del value
            raise

    def getsockopt(self, level: int, optname: int, buflen: int = 0, /) -> Any:  # Any: int, or bytes with buflen
        """What was set, or what a new socket has; SO_ERROR and SO_ACCEPTCONN are the network's."""
        self._check("getsockopt", level, optname, buflen)
        self._do("option", f"getsockopt({level}, {optname})")
        raw = self._descriptor.option(level, optname, self.proto, self._world.buffer)
        if isinstance(raw, int):
            self._fails("option", raw)
        return raw[:buflen] if buflen else int.from_bytes(raw[:4], sys.byteorder, signed=True)

    def get_inheritable(self) -> bool:
        """What `set_inheritable()` has set; at first, False."""
        self._do("option", "get_inheritable()")
        return self._descriptor.inheritable

    def set_inheritable(self, inheritable: bool) -> None:
        """Has no other effect: there is no descriptor to inherit."""
        self._do("option", f"set_inheritable({value_text(inheritable)})")
        self._descriptor.inheritable = bool(inheritable)


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
        if world is None or any(not isinstance(one, int) for one in (family, type, proto)):  # pyright: ignore[reportUnnecessaryIsInstance]
            return real_socket(family, type, proto, fileno)
        if fileno is not None and fileno not in world.detached:
            own = world.own_socket_of(fileno)
            if own is None and fileno in world.network.descriptors:
                return _second(world, fileno)
            return own or real_socket(family, type, proto, fileno)
        if fileno is not None:
            descriptor, name = world.detached.pop(fileno)
            record = world.admit(descriptor, name, "socket")
            connected = descriptor.stream is not None
            world.monitor.becomes(
                record, "connected" if connected else "listening" if descriptor.backlog is not None else "new"
            )
            return SimSocket(world, descriptor, record, _socket.IPPROTO_TCP if descriptor.family in ANY else 0)
        family = _socket.AF_INET if family == -1 else family
        kind = _socket.SOCK_STREAM if type == -1 else int(type) & ~(_NONBLOCK | _CLOEXEC)
        if kind == _socket.SOCK_DGRAM:
            return real_socket(family, type, max(proto, 0))  # to be made; what it may do, `_install` decides
        if family not in _FAMILY or kind != _socket.SOCK_STREAM:
            world.refuse(
                f"a scenario has TCP and AF_UNIX stream sockets only; socket({family!r}, {type!r}) is not simulated."
                " Replace what uses it in the test"
            )
        return make(world, family, max(proto, 0), blocking=not (type != -1 and int(type) & _NONBLOCK))


def _second(world: World, number: int) -> SimSocket:
    """Another socket object over a number that one has already: whoever closes first has closed it."""
    descriptor = world.network.descriptors[number]
    record = world.records[descriptor]
    world.shared.add(descriptor)
    return SimSocket(world, descriptor, record, _socket.IPPROTO_TCP if descriptor.family in ANY else 0)


def make(world: World, family: int, proto: int = 0, *, blocking: bool = True) -> real_socket:
    """A new socket, not yet bound or connected."""
    frame = caller(1)
    made = place(frame.f_code, frame.f_lasti)
    sock = world.own_socket(family, proto, made)
    if sock is None:
        descriptor = world.network.open(family, made)
        sock = SimSocket(world, descriptor, world.admit(descriptor, None, "socket"), proto)
    if not blocking:
        sock.setblocking(False)
    return sock

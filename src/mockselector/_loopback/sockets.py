"""The real sockets of a server over the loopback.

Owns `LoopbackSocket`: a real socket of the system that never waits by itself. Its waiting is the world's, and what
becomes of bytes and connections is the kernel's doing.
"""

from __future__ import annotations

import socket as _socket_module
from errno import EAGAIN, EINPROGRESS, ETIMEDOUT
from selectors import EVENT_READ, EVENT_WRITE
from socket import SOCK_STREAM
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from .._buffers import Given, flat, let_go
from .._judge.records import note_sender
from .._judge.trace import CIPHERTEXT, caller
from .._kernel.descriptors import Descriptor
from .._methods import DONTWAIT, PEEK, WAITALL
from .._play.clock import nanoseconds
from .._play.player import Player
from .._system import os_error, real_socket
from .._text import BYTES_SHOWN
from .wire import ERROR, IN, OUT, Far, Raw, polled, unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping
    from typing import NoReturn, Protocol

    from typing_extensions import Buffer

    from .._judge.records import Record
    from .._judge.trace import Nanoseconds
    from .._methods import BinaryFile
    from .._play.clock import Clock
    from .._play.expecting import Difference
    from .._play.spinning import Spinning
    from .._system import Address

    class Ground(Protocol):
        """What a socket has of the world around it."""

        @property
        def clock(self) -> Clock: ...
        @property
        def spinning(self) -> Spinning: ...
        def check_running(self, timeout: float | None) -> bool: ...
        def until(
            self, done: Callable[[], bool], deadline: Nanoseconds | None, call: tuple[str, str]
        ) -> bool | None: ...
        def refuse(self, what: str) -> NoReturn: ...
        def sent_wrongly(self, record: Record, peer: Player, wrong: Difference, data: bytes) -> None: ...

    class Carrier(Protocol):
        """What a socket has of the network stack below that."""

        @property
        def world(self) -> Ground: ...
        @property
        def sockets(self) -> MutableMapping[int, LoopbackSocket]:
            """By their numbers."""
            ...

        @property
        def given(self) -> dict[int, LoopbackSocket]:
            """Detached, until somebody takes the number up."""
            ...

        def listens_at(self, sock: LoopbackSocket, limit: int) -> None: ...
        def accepted(self, listener: LoopbackSocket, number: int, address: Address) -> LoopbackSocket: ...
        def connects(self, sock: LoopbackSocket, address: Address) -> int: ...
        def let_go(self, sock: LoopbackSocket) -> None: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

T = TypeVar("T")

Taken: TypeAlias = tuple[int, bytes]
"""How many bytes a call has read, and the first of them."""

_FAST_OPEN: Final = int(getattr(_socket_module, "MSG_FASTOPEN", 0))
READY: Final = {EVENT_READ: IN | ERROR, EVENT_WRITE: OUT | ERROR}


class LoopbackSocket(real_socket):
    """A real socket of the server, whose waiting is the world's. As long as the list of calls that may wait."""

    __slots__ = ("_deadline", "_descriptor", "_patience", "_record", "_stack", "_world", "far", "target")

    def __init__(self, stack: Carrier, descriptor: Descriptor, record: Record, proto: int, far: Far) -> None:
        super().__init__(descriptor.family, SOCK_STREAM, proto, descriptor.number)
        self._stack = stack
        self._world = stack.world
        self._descriptor = descriptor
        self._record = record
        self._patience: float | None = _socket_module.getdefaulttimeout()
        self._deadline: Nanoseconds | None = None  # of a sendall()
        self.target: Address = None  # to where it is being connected, and the kernel has not told how that went
        self.far: Far = far
        far.number = descriptor.number
        Raw.settimeout(self, 0)
        stack.sockets[descriptor.number] = self

    def __del__(self) -> None:
        if getattr(self, "_record", None) is not None and self.fileno() >= 0:
            self._let_go()

    def _let_go(self) -> None:
        """Close it, whatever is found, or ended, by that."""
        try:
            self._stack.let_go(self)
        finally:
            Raw.close(self)

    # -- waiting ----------------------------------------------------------------------------------

    @property
    def timeout(self) -> float | None:
        """As `gettimeout()`."""
        return self._patience

    def gettimeout(self) -> float | None:
        """Seconds of virtual time that a call waits."""
        return self._patience

    def getblocking(self) -> bool:
        """Whether calls wait."""
        return self._patience != 0

    def settimeout(self, value: float | None, /) -> None:
        """Let calls wait `value` seconds of virtual time."""
        Raw.settimeout(self, value)  # it knows what may be given
        Raw.settimeout(self, 0)
        self._patience = None if value is None else float(value)

    def setblocking(self, flag: bool, /) -> None:
        """Let calls wait for ever, or not at all."""
        self.settimeout(None if flag else 0.0)

    def _call(self, operation: str, act: Callable[[], T], event: int, flags: int = 0) -> T:
        """A call that may have to wait; what goes wrong is in the trace."""
        monitor = self._record.monitor
        try:
            while True:
                try:
                    return act()
                except BlockingIOError:
                    if self._patience == 0 or (self._patience is None and flags & DONTWAIT):
                        self._world.spinning.looks()
                        raise
                self._wait(operation, event)
        except OSError as error:
            monitor.refused(operation, self._record, error)
            raise

    def _wait(self, operation: str, event: int) -> None:
        world, number = self._world, self.fileno()
        world.check_running(None)
        deadline = self._deadline
        if deadline is None and self._patience is not None:
            deadline = world.clock.now + nanoseconds(self._patience)
        ready = READY[event]
        if not world.until(lambda: bool(polled(number) & ready), deadline, (operation, self._record.name)):
            raise os_error(ETIMEDOUT)

    def _hears_ciphertext(self) -> bool:
        """Whether its peer speaks TLS, and the program deals with that by itself."""
        peer = self.far.peer
        return peer is not None and peer.speaks_tls

    # -- reading ----------------------------------------------------------------------------------

    def _reads(self, act: Callable[[], T], flags: int, taken: Callable[[T], Taken]) -> T:
        """A call that reads; `taken` finds in what it returns how much it is, and the beginning of that."""
        if flags & WAITALL and self._patience is None and not flags & DONTWAIT:
            self._world.refuse("MSG_WAITALL by any other call than recv(), or with MSG_PEEK, needs network='simulated'")
        result = self._call("recv", act, EVENT_READ, flags)
        size, start = taken(result)
        kept: object = start if size <= len(start) else (start, size, size)
        if self._hears_ciphertext():
            kept = CIPHERTEXT
        self._record.monitor.decided("peek" if flags & PEEK else "recv", self._record.name, kept)
        if not flags & PEEK:
            self.far.read += size
            self._world.spinning.progress += bool(size)
        return result

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As a real socket's, as are the others."""
        if not flags & WAITALL or flags & (PEEK | DONTWAIT) or self._patience is not None:
            return self._reads(lambda: Raw.recv(self, bufsize, flags), flags, _start)
        parts: list[bytes] = []  # the kernel, whose socket never waits, does not do it
        left = bufsize
        while left > 0 or bufsize < 0:
            if parts and not unread(self.fileno()):
                self._wait("recv", EVENT_READ)
                if not unread(self.fileno()):
                    break  # an end, or an error, which is for the next call to tell
            more = self.recv(left, flags & ~WAITALL)
            if not more:
                break
            parts.append(more)
            left -= len(more)
        return b"".join(parts)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Address]:
        return self._reads(lambda: Raw.recvfrom(self, bufsize, flags), flags, lambda result: _start(result[0]))

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Address]:
        return self._reads(
            lambda: Raw.recvmsg(self, bufsize, ancbufsize, flags), flags, lambda result: _start(result[0])
        )

    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        try:
            with Given(buffer) as given:
                return self._reads(
                    lambda: Raw.recv_into(self, buffer, nbytes, flags), flags, lambda size: _filled(given, size)
                )
        except BaseException as error:
            let_go(error)
            del buffer
            raise

    def recvfrom_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Address]:
        try:
            with Given(buffer) as given:
                return self._reads(
                    lambda: Raw.recvfrom_into(self, buffer, nbytes, flags),
                    flags,
                    lambda result: _filled(given, result[0]),
                )
        except BaseException as error:
            let_go(error)
            del buffer
            raise

    def recvmsg_into(
        self, buffers: Iterable[Buffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Address]:
        try:
            kept = list(buffers)
            with Given(*kept) as given:
                return self._reads(
                    lambda: Raw.recvmsg_into(self, kept, ancbufsize, flags),
                    flags,
                    lambda result: _filled(given, result[0]),
                )
        except BaseException as error:
            let_go(error)
            del buffers
            kept = []
            raise

    # -- writing ----------------------------------------------------------------------------------

    def _sends(self, act: Callable[[], int], given: Given, flags: int = 0) -> int:
        sent = self._call("send", act, EVENT_WRITE, flags)
        peer = self.far.peer
        if isinstance(peer, Player):
            data = given[:sent]
            wrong = peer.expecting.judge(data)
            if wrong is not None:
                self.far.sent += sent
                self._world.sent_wrongly(self._record, peer, wrong, data)
                self.far.sent -= sent
        note_sender(self._record, caller(1))
        kept = CIPHERTEXT if self._hears_ciphertext() else (given[:BYTES_SHOWN], len(given), sent)
        self._record.monitor.decided("send", self._record.name, kept)
        self.far.sent += sent
        self._world.spinning.progress += bool(sent)
        return sent

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        try:
            with Given(data) as given:
                return self._sends(lambda: Raw.send(self, data, flags), given, flags)
        except BaseException as error:
            let_go(error)
            del data
            raise

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        if self._patience:
            self._deadline = self._world.clock.now + nanoseconds(self._patience)
        try:
            with flat(data) as view:
                sent = self.send(view, flags)
                while sent < len(view):
                    with view[sent:] as rest:
                        sent += self.send(rest, flags)
        except BaseException as error:
            let_go(error)
            del data
            raise
        finally:
            self._deadline = None

    def sendto(self, data: Buffer, *flags_and_address: Any) -> int:  # Any: (address) or (flags, address)
        try:
            if len(flags_and_address) > 1:
                self._check_flags(flags_and_address[0])
            with Given(data) as given:
                return self._sends(lambda: Raw.sendto(self, data, *flags_and_address), given)
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
        try:
            self._check_flags(flags)
            kept, more = list(buffers), list(ancdata)
            with Given(*kept) as given:
                return self._sends(lambda: Raw.sendmsg(self, kept, more, flags, address), given, flags)
        except BaseException as error:
            let_go(error)
            del buffers, ancdata
            kept, more = [], []
            raise

    def _check_flags(self, flags: object) -> None:
        """Refuse what would connect, to an address that no scenario has seen."""
        if isinstance(flags, int) and flags & _FAST_OPEN:
            self._world.refuse("MSG_FASTOPEN is not simulated; connect() before you send")

    def sendfile(self, file: BinaryFile, offset: int = 0, count: int | None = None) -> int:
        """As a real socket's, by `send()`: the system's own way would wait by itself."""
        inside: Any = self  # Any: the stubs do not tell of the method that does it so
        sent: int = inside._sendfile_use_send(file, offset, count)
        return sent

    # -- coming and going -------------------------------------------------------------------------

    def _note(self, operation: str, act: Callable[[], T], detail: object = None) -> T:
        """A call that does not wait."""
        try:
            result = act()
        except Exception as error:
            self._record.monitor.refused(operation, self._record, error)
            raise
        self._record.monitor.decided(operation, self._record.name, detail)
        return result

    def bind(self, address: Address, /) -> None:
        self._record.monitor.rename(self._record, None, "listener")
        self._note("bind", lambda: Raw.bind(self, address), str(address))

    def listen(self, backlog: int = 128, /) -> None:
        self._record.monitor.rename(self._record, None, "listener")
        self._note("listen", lambda: Raw.listen(self, backlog))
        self._stack.listens_at(self, max(0, backlog) + 1)

    def accept(self) -> tuple[real_socket, Address]:
        number, address = self._call("accept", lambda: accepted_by(self), EVENT_READ)
        sock = self._stack.accepted(self, number, address)
        self._record.monitor.decided("accept", self._record.name, sock._record.name)
        return sock, address

    def connect(self, address: Address, /) -> None:
        error = self._connects(address)
        if error:
            raised = os_error(error)
            self._record.monitor.refused("connect", self._record, raised)
            raise raised
        self._record.monitor.decided("connect", self._record.name, str(address))

    def connect_ex(self, address: Address, /) -> int:
        error = self._connects(address)
        self._record.monitor.decided("connect", self._record.name, str(address))
        return EAGAIN if error == ETIMEDOUT else error

    def _connects(self, address: Address) -> int:
        error = self._stack.connects(self, address)
        if error != EINPROGRESS or self._patience == 0:
            return error
        try:
            self._wait("connect", EVENT_WRITE)
        except TimeoutError:
            return ETIMEDOUT
        return self._stack.connects(self, address)  # asked again, it tells what has come of it

    def shutdown(self, how: int, /) -> None:
        what = "shutdown:read" if how == _socket_module.SHUT_RD else "shutdown:write"
        self._note(what, lambda: Raw.shutdown(self, how))
        self.far.mute = self.far.mute or how != _socket_module.SHUT_RD

    def detach(self) -> int:
        """As a real socket's; `socket.socket(fileno=...)` takes it up again."""
        if self.fileno() >= 0:
            self._record.monitor.decided("detach", self._record.name)
            self._stack.given[self.fileno()] = self
            self._stack.sockets.pop(self.fileno(), None)
        return super().detach()

    def _hands_over(self) -> None:
        """Another socket object has its number now: one of TLS."""
        super().detach()

    def dup(self) -> Any:
        """Refused, as in any scenario."""
        self._world.refuse("dup() is not simulated; pass the socket itself on")

    def _real_close(self) -> None:  # called when the last `makefile()` is closed, too
        if self.fileno() < 0:
            return
        try:
            self._record.monitor.decided("close", self._record.name)
        finally:
            self._let_go()


def accepted_by(sock: Raw) -> tuple[int, Address]:
    inside: Any = sock  # Any: the stubs do not tell of the method that `socket.accept()` is made of
    number, address = inside._accept()
    return number, address


def _start(data: bytes) -> Taken:
    return len(data), data[:BYTES_SHOWN]


def _filled(given: Given, size: int) -> Taken:
    return size, given[: min(size, BYTES_SHOWN)]

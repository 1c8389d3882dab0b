"""The same scenario over real sockets: the peers are at the other end of the system's own loopback.

Owns `LoopbackWorld`, in which what the server calls are real sockets and real selectors. Who acts
when, and what time it is, is the world's as ever: the server's sockets never wait by themselves,
and before anything is decided the kernel has come to rest. So what happens to bytes and connections
is the kernel's doing, and nothing else differs. The rules about the server's calls are not judged
here; what the peers see is.
"""

from __future__ import annotations

import os
import socket as _socket_module
import sys
from collections import deque
from errno import EAGAIN, EALREADY, EINPROGRESS, EISCONN, ETIMEDOUT
from functools import cache
from selectors import EVENT_READ, EVENT_WRITE
from socket import IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from weakref import WeakValueDictionary

from .._buffers import Given, flat, let_go
from .._kernel.addresses import ANY, LOOPBACK
from .._kernel.descriptors import Descriptor
from .._methods import DONTWAIT, PEEK, WAITALL
from .._play.clock import nanoseconds
from .._play.netstat import SocketRow, interest_text
from .._play.player import Player
from .._play.world import World, progress
from .._system import number_of, os_error, real_socket
from .._text import BYTES_SHOWN
from .wire import ENDED, ERROR, IN, OUT, TCP, Far, Raw, Wire, polled, unread

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable, Iterable

    from typing_extensions import Buffer

    from .._judge.records import Record
    from .._judge.trace import Place
    from .._methods import BinaryFile
    from .._system import Address

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

T = TypeVar("T")

Taken: TypeAlias = tuple[int, bytes]
"""How many bytes a call has read, and the first of them."""

IN_TIME: Final = 10.0
"""So many seconds of real time the kernel has to deliver what must come."""

QUIET: Final = 0.02
"""After so many seconds of real time with no change at all, what is still to be delivered waits to be read."""

_FAST_OPEN: Final = int(getattr(_socket_module, "MSG_FASTOPEN", 0))
_READY: Final = {EVENT_READ: IN | ERROR, EVENT_WRITE: OUT | ERROR}


class LoopbackSocket(real_socket):
    """A real socket of the server, whose waiting is the world's."""

    __slots__ = ("_deadline", "_descriptor", "_patience", "_record", "_world", "far", "target")

    def __init__(self, world: LoopbackWorld, descriptor: Descriptor, record: Record, proto: int, far: Far) -> None:
        super().__init__(descriptor.family, SOCK_STREAM, proto, descriptor.number)
        self._world = world
        self._descriptor = descriptor
        self._record = record
        self._patience: float | None = _socket_module.getdefaulttimeout()
        self._deadline: int | None = None  # of a sendall()
        self.target: Address = None  # to where it is being connected, and the kernel has not told how that went
        self.far: Far = far
        far.number = descriptor.number
        Raw.settimeout(self, 0)
        world.sockets[descriptor.number] = self

    def __del__(self) -> None:
        if getattr(self, "_record", None) is not None and self.fileno() >= 0:
            self._let_go()

    def _let_go(self) -> None:
        """Close it, whatever is found, or ended, by that."""
        try:
            self._world.let_go(self)
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
        ready = _READY[event]
        if not world.until(lambda: bool(polled(number) & ready), deadline, (operation, self._record.name)):
            raise os_error(ETIMEDOUT)

    # -- reading ----------------------------------------------------------------------------------

    def _reads(self, act: Callable[[], T], flags: int, taken: Callable[[T], Taken]) -> T:
        """A call that reads; `taken` finds in what it returns how much it is, and the beginning of that."""
        if flags & WAITALL and self._patience is None and not flags & DONTWAIT:
            self._world.refuse("MSG_WAITALL by any other call than recv(), or with MSG_PEEK, needs network='simulated'")
        result = self._call("recv", act, EVENT_READ, flags)
        size, start = taken(result)
        kept = start if size <= len(start) else (start, size, size)
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
            wrong = peer.judge(data)
            if wrong is not None:
                self.far.sent += sent
                self._world.sent_wrongly(self._record, peer, wrong, data)
                self.far.sent -= sent
        self._record.monitor.decided("send", self._record.name, (given[:BYTES_SHOWN], len(given), sent))
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
        self._world.listens_at(self, max(0, backlog) + 1)

    def accept(self) -> tuple[real_socket, Address]:
        number, address = self._call("accept", lambda: _accept(self), EVENT_READ)
        sock = self._world.accepted(self, number, address)
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
        error = self._world.connects(self, address)
        if error != EINPROGRESS or self._patience == 0:
            return error
        try:
            self._wait("connect", EVENT_WRITE)
        except TimeoutError:
            return ETIMEDOUT
        return self._world.connects(self, address)  # asked again, it tells what has come of it

    def shutdown(self, how: int, /) -> None:
        what = "shutdown:read" if how == _socket_module.SHUT_RD else "shutdown:write"
        self._note(what, lambda: Raw.shutdown(self, how))
        self.far.mute = self.far.mute or how != _socket_module.SHUT_RD

    def detach(self) -> int:
        """As a real socket's; `socket.socket(fileno=...)` takes it up again."""
        if self.fileno() >= 0:
            self._record.monitor.decided("detach", self._record.name)
            self._world.given[self.fileno()] = self
            self._world.sockets.pop(self.fileno(), None)
        return super().detach()

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


class LoopbackWorld(World):
    """One scenario's peers and time, over the system's own loopback."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: what the base class takes
        super().__init__(*args, **kwargs)
        self.sockets: Final[WeakValueDictionary[int, LoopbackSocket]] = WeakValueDictionary()  # by their numbers
        self.given: Final[dict[int, LoopbackSocket]] = {}  # detached, until somebody takes the number up
        self._wires: Final[list[Wire]] = []
        self._waiting: Final[dict[Descriptor, deque[Wire | None]]] = {}  # to be accepted; None: the program itself
        self._listening: Final[dict[Descriptor, int]] = {}
        self._answers: Final[dict[Descriptor, Wire]] = {}
        self._to_answer: Final[dict[Descriptor, Raw]] = {}  # who listens for a backend
        self._kept: Final[list[Raw]] = []
        self._maps: Final[list[dict[int, selectors.SelectorKey]]] = []  # of the selectors
        self._given_up = False  # whether the kernel was waited for in vain

    # -- what is made in it -----------------------------------------------------------------------

    def own_socket(self, family: int, proto: int, made: Place) -> LoopbackSocket:
        """A new real socket."""
        number = self._made(lambda: Raw(family, SOCK_STREAM, proto)).detach()
        descriptor = Descriptor(number, family, made)
        return LoopbackSocket(self, descriptor, self.admit(descriptor, None, "socket"), proto, Far())

    def _made(self, make: Callable[[], T]) -> T:
        """Something of the system's; a program that tries that in vain for ever sees time pass."""
        try:
            return make()
        except OSError:
            self.spinning.looks()
            raise

    def own_socket_of(self, number: int) -> LoopbackSocket | None:
        """A socket for a number that another one was detached from."""
        before = self.given.pop(number, None)
        if before is None:
            if self.owns(number):
                self.refuse("a second socket for one number needs network='simulated'; pass the socket itself on")
            return None
        return LoopbackSocket(self, before._descriptor, before._record, -1, before.far)

    def own_selector(self, kind: type[selectors.BaseSelector]) -> selectors.BaseSelector:
        """A real selector, whose waiting is the world's."""
        selector = self._made(kind)
        real_select = selector.select
        name = self.name_selector()
        keys: dict[int, selectors.SelectorKey] = vars(selector)["_fd_to_key"]
        self._maps.append(keys)

        def select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if not self.check_running(timeout):
                return []
            if timeout is not None and timeout <= 0:
                self.poll(("select", name))
                ready = real_select(0)
            else:
                deadline = None if timeout is None else self.clock.now + nanoseconds(timeout)
                ready = self.until(lambda: real_select(0), deadline, ("select", name)) or []
            records = [self._record_of(key.fileobj) for key, _ in ready]
            masks = (mask for _, mask in ready)
            reported = tuple((record.name, mask) for record, mask in zip(records, masks, strict=True))
            self.monitor.selected(name, reported)
            if ready and self.spinning.wakes_in_vain():
                self.spinning.judge_wakes(reported, records)
            return ready

        vars(selector).update(select=select, _world=self)
        return selector

    def _record_of(self, fileobj: object) -> Record:
        if isinstance(fileobj, LoopbackSocket):
            return fileobj._record
        number = number_of(fileobj)
        sock = self._socket_of(number)
        return sock._record if sock is not None else self.foreign(number, fileobj)

    def _socket_of(self, number: int) -> LoopbackSocket | None:
        return self.sockets.get(number)

    # -- connections ------------------------------------------------------------------------------

    def listens_at(self, sock: LoopbackSocket, limit: int) -> None:
        """A socket of the server listens."""
        descriptor = sock._descriptor
        local = sock.getsockname()
        descriptor.local = os.fsdecode(local) if isinstance(local, bytes) else local
        descriptor.limit = min(limit, _most_waiting() + 1)
        if descriptor not in self._waiting:
            self._waiting[descriptor] = deque()
            self._listening[descriptor] = sock.fileno()
            self.network.listeners.append(descriptor)
        self.monitor.becomes(sock._record, "listening")
        self.listens()

    def meet(self, peer: Player) -> Wire | None:
        """Connect to whoever listens where the peer wants to go."""
        self.dialling.knocking[peer.serial] = peer
        listener = self.network.listener(peer.endpoint.to)
        if listener is None or len(self._waiting[listener]) >= listener.limit:
            return None
        sock = Raw(listener.family, SOCK_STREAM)
        if sock.connect_ex(_reachable(listener)):  # it does not listen any more, or its path is gone
            sock.close()
            return None
        del self.dialling.knocking[peer.serial]
        self.dialling.alive += 1
        wire = Wire(sock, Far(counted=True))
        self._wires.append(wire)
        self._waiting[listener].append(wire)
        return wire

    def accepted(self, listener: LoopbackSocket, number: int, address: Address) -> LoopbackSocket:
        """The kernel has given the server a connection: whose is it?"""
        waiting = self._waiting[listener._descriptor]
        wire = next((one for one in waiting if one is not None and one.local == address), None)
        if waiting and (wire is not None or None in waiting):
            waiting.remove(wire)
        peer = wire.peer if wire is not None else None
        descriptor = Descriptor(number, listener._descriptor.family, listener._descriptor.made)
        record = self.admit(descriptor, peer.name if peer is not None else None, "client")
        self.monitor.becomes(record, "connected")
        sock = LoopbackSocket(self, descriptor, record, 0, Far(counted=True) if wire is None else wire.other)
        if wire is not None and descriptor.family in TCP:
            Raw.setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, 1)
        self.spinning.progress += 1
        self.dialling.accepts(listener._descriptor)
        return sock

    def connects(self, sock: LoopbackSocket, address: Address) -> int:
        """The program connects: to itself, or to a backend. Returns the error number."""
        if sock.target is None:
            sock.target = self._dials(sock, address)
        error = Raw.connect_ex(sock, sock.target)
        if error not in (0, EINPROGRESS, EALREADY, EISCONN):
            sock.target = None  # it may try again, somewhere else
        descriptor = sock._descriptor
        there = self._to_answer.pop(descriptor, None)
        if there is not None and error in (0, EINPROGRESS):
            sock.far = Far(sock.fileno(), counted=True)
            wire = Wire(Raw(fileno=_accept(there)[0]), sock.far)
            Raw.setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, 1)
            self.monitor.becomes(sock._record, "connected")
            self._wires.append(wire)
            self._answers[descriptor] = wire
            self.dialling.alive += 1
        return error

    def _dials(self, sock: LoopbackSocket, address: Address) -> Address:
        """Where the program really connects to."""
        descriptor, record = sock._descriptor, sock._record
        where = self.network.resolved(descriptor.family, address)
        near = where if isinstance(where, str) else where[:2]
        listener = self.network.listener(near)
        if listener is not None:
            record.monitor.rename(record, None, "connection")
            self._waiting[listener].append(None)
            sock.far = Far(sock.fileno(), counted=True)
            self.dialling.alive += 2
            return _reachable(listener)
        found = next((one for one in self.dialling.backends if one[0] == near), None)
        if found is None:
            self.dialling.dialled_nobody(record, address)
            return self._open(descriptor.family).getsockname()
        there, peer = self._open(descriptor.family), found[1]
        self.dialling.backends.remove(found)
        record.monitor.rename(record, peer.name, "connection")
        self.dialling.dialled += 1
        peer.dialled = descriptor
        self.wake(peer)
        if not peer.endpoint.refuses:
            there.listen(1)
            self._to_answer[descriptor] = there
        return there.getsockname()

    def _open(self, family: int) -> Raw:
        """A socket at an address of its own, where so far nobody listens."""
        if family not in TCP:
            self.refuse("a backend at a path needs network='simulated'")
        sock = Raw(family, SOCK_STREAM)
        sock.bind((LOOPBACK[family], 0))
        sock.settimeout(IN_TIME)
        self._kept.append(sock)
        return sock

    def answer(self, peer: Player, descriptor: Descriptor, error: int) -> None:
        """A backend takes the connection, or does not: the kernel has done so before."""
        wire = self._answers.pop(descriptor, None)
        if wire is not None:
            peer.attach(wire)

    def let_go(self, sock: LoopbackSocket) -> None:
        """The server closes one of its sockets."""
        descriptor = sock._descriptor
        descriptor.closed = True
        self.sockets.pop(descriptor.number, None)
        if descriptor in self._waiting:
            for wire in self._waiting.pop(descriptor):
                if wire is not None:
                    wire.other.closed = True
            del self._listening[descriptor]
            self.network.listeners.remove(descriptor)
        sock.far.closed, sock.far.number = True, -1
        if sock.far.counted:
            self.closed()
            self.spinning.progress += 1  # to close what was never connected is no doing

    def owns(self, number: int) -> bool:
        """Whether it is the number of one of the server's sockets."""
        return self._socket_of(number) is not None

    def close_number(self, number: int) -> None:
        """The program closes a number past its socket."""
        sock = self._socket_of(number)
        assert sock is not None, "it owns the number"
        sock._real_close()

    # -- the kernel, and the end ------------------------------------------------------------------

    def play(self) -> None:
        while True:
            self._settle_kernel()
            for wire in self._wires:
                wire.take_notice()
            if not self.turns.runnable:
                return
            super().play()

    def _settle_kernel(self) -> None:
        """Wait, in real time, until the kernel has delivered all that was sent."""
        if self._given_up:
            return
        begun = since = monotonic()
        state: object = None
        while (owes := self._owes()) or self._in_flight():
            before, state = state, [wire.state() for wire in self._wires]
            now = monotonic()
            if state != before:
                since = now
            elif not owes and now - since > QUIET:
                return
            if now - begun > IN_TIME:
                self._given_up = True
                raise TimeoutError(
                    f"for {IN_TIME:g} seconds the system has not delivered on its loopback what was sent, or that a"
                    " socket was closed: has a duplicate of it been made (socket.fromfd()), which is still open?"
                )
            sleep(0.0002)
        if not ENDED and self._wires:
            sleep(QUIET)  # nobody says here that an end has come, before all was read

    def _owes(self) -> bool:
        """Whether something must come."""
        return any(wire.owes() for wire in self._wires) or any(
            not polled(number) & (IN | ERROR)
            for descriptor, number in self._listening.items()
            if any(wire is not None for wire in self._waiting[descriptor])
        )

    def _in_flight(self) -> bool:
        """Whether something may come: a connection of the program to itself, too, which it may have broken off."""
        return any(wire.in_flight() for wire in self._wires) or any(
            not polled(number) & (IN | ERROR)
            for descriptor, number in self._listening.items()
            if self._waiting[descriptor]
        )

    def _close_all(self) -> None:
        for sock in tuple(self.sockets.values()):
            self.let_go(sock)
            Raw.close(sock)
        while self.given:
            number, sock = self.given.popitem()
            self.let_go(sock)
            try:
                Raw(fileno=number).close()
            except OSError:
                pass  # the program has closed it by itself

    def release(self) -> None:
        """Give back to the system what is still open; peers see that end as well."""
        try:
            self._close_all()
            self._settle_kernel()
            for wire in self._wires:
                wire.take_notice()
        except TimeoutError:
            pass  # that was to be for who looks at the peers now; what is judged has been
        finally:
            for wire in self._wires:
                wire.sock.close()
            self._wires.clear()
            for sock in self._kept:
                sock.close()

    def _interest(self, record: Record) -> int:
        mask = 0
        for keys in self._maps:
            key = keys.get(record.number)
            mask |= 0 if key is None else key.events
        return mask

    def _row(self, descriptor: Descriptor, record: Record) -> SocketRow:
        waiting = self._waiting.get(descriptor)
        left = unread(descriptor.number) if waiting is None else len(waiting)
        script = next((progress(peer) for peer in self.peers if peer.name == record.name), "")
        return SocketRow(record.name, record.phase, interest_text(self._interest(record)), left, 0, script)


def require_loopback(**given: tuple[object, object]) -> None:
    """Raise NotImplementedError for what cannot be had on real sockets: what is given, and what it must be."""
    if sys.platform == "win32":
        raise NotImplementedError("network='loopback' needs a POSIX system; use network='simulated'")
    for argument, (value, usual) in given.items():
        if value != usual:
            raise NotImplementedError(
                f"{argument}={value!r} cannot be had on real sockets: leave it out, or use network='simulated'"
            )


@cache
def _most_waiting() -> int:
    """How many the system lets wait at most, whatever was said to `listen()` (man 2 listen)."""
    try:
        with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
            return int(file.read())
    except OSError:  # not Linux: as the others have it
        return int(_socket_module.SOMAXCONN)


def _reachable(listener: Descriptor) -> Address:
    """The address at which a listener is found."""
    local = listener.local
    if listener.family in ANY and local[0] in ANY.values():
        return (LOOPBACK[listener.family], *local[1:])
    return local


def _accept(sock: Raw) -> tuple[int, Address]:
    inside: Any = sock  # Any: the stubs do not tell of the method that `socket.accept()` is made of
    number, address = inside._accept()
    return number, address


def _start(data: bytes) -> Taken:
    return len(data), data[:BYTES_SHOWN]


def _filled(given: Given, size: int) -> Taken:
    return size, given[: min(size, BYTES_SHOWN)]

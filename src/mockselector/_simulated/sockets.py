"""The sockets of a scenario.

Owns `SimSocket`, a thin shell: its data comes from the simulated network, its waiting is the world's, and its every
step passes the `Monitor`. Owns, too, `Socket`, which `_install` puts in the place of `socket.socket`: outside of a
scenario, and in threads that are none of its program's, it makes real sockets.
"""

# A socket of ours has plain attributes where the real one has properties.
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

import socket as _socket
import sys
from _thread import get_ident
from errno import EBADF, EFAULT, EINVAL, ENOTCONN
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any, Final

from .._buffers import let_go
from .._current import StandIn, check_world, current
from .._judge.reasons import is_dropping
from .._judge.records import Record
from .._judge.rules import GONE, NO_RULES, shut_operation
from .._judge.trace import caller, place
from .._kernel.addresses import AF_UNIX, ANY, without_name
from .._kernel.descriptors import SHUT
from .._system import real_socket
from .._text import value_text
from .._threads.under_a_wait import judge_close, let_go_first
from .connecting import Connecting
from .waiting import FAMILY

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._judge.rules import Operation, Phase
    from .._system import Address
    from .._world.world import World

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_NONBLOCK: Final = int(getattr(_socket, "SOCK_NONBLOCK", 0))
_CLOEXEC: Final = int(getattr(_socket, "SOCK_CLOEXEC", 0))
_LOW_WATER: Final = _socket.SOL_SOCKET, getattr(_socket, "SO_RCVLOWAT", None)
_TIMES: Final = {(_socket.SOL_SOCKET, getattr(_socket, name, -1)): name for name in ("SO_RCVTIMEO", "SO_SNDTIMEO")}
_ACCEPT_NOTHING: Final[tuple[Operation, ...]] = ("accept:again", "accept:timeout", "accept:blocks")
_BACKLOG: Final = 128


class SimSocket(Connecting):
    """A socket in a scenario."""

    __slots__ = ()

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
        self._do("bind", str(self._descriptor.local))

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
        self._do("listen")
        if record.phase != "listening":
            record.monitor.becomes(record, "listening")
        self._world.listens()

    def listen(self, backlog: int = _BACKLOG, /) -> None:
        """Become a listener; `backlog` and one may wait to be accepted."""
        self._listen(backlog)

    def _accept(self) -> tuple[_socket.socket, Address]:
        record, world = self._record, self._world
        if world.under != get_ident():
            check_world(world, self)
        self._check_open("accept")
        ends = not record.ever_registered
        try:
            self._wait_until(EVENT_READ, _ACCEPT_NOTHING, ends=ends)
            backlog = self._descriptor.backlog
            if backlog is None:
                self._fails("accept", EINVAL)
            if not backlog:
                took = self._wait(lambda: bool(backlog) or self._hears_nobody(), _ACCEPT_NOTHING, 0, ends=ends)
                if not backlog:  # another thread has shut it down
                    self._fails("accept", EINVAL)
                if took and self._timeout is None and self._around is not None and self._around.found is not None:
                    world.outcome.waited(record, "accept:blocks", "accept-without-connection", took, self._around)
            stream = backlog[0]
            peer = world.peer_of(stream)
            descriptor = world.network.open(self._descriptor.family, None)
            descriptor.connected(stream)
            descriptor.inherit(self._descriptor)
            name, allow = (None, NO_RULES) if peer is None else (peer.name, peer.endpoint.allow)
            newcomer = world.holdings.admit(descriptor, name, "client", allow, phase="connected")
            self._do("accept", newcomer.name)
            backlog.popleft()
            world.spinning.progress += 1
            world.dialling.accepts(self._descriptor)
            world.monitor.accepted(newcomer, own=peer is None)
            if peer is not None and peer.speaks_tls:
                newcomer.seal()
            sock = SimSocket(world, descriptor, newcomer)
            return sock, stream.remote
        finally:
            self._is_out()

    def _hears_nobody(self) -> bool:
        """Whether it was shut down: who waits for a connection is woken."""
        descriptor = self._descriptor
        return descriptor.backlog is None or (self._timeout is None and bool(descriptor.shut & SHUT[_socket.SHUT_RD]))

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
        else:
            self._do(operation)
        if connecting and self.family != AF_UNIX:
            self._world.dialling.hangs_up(descriptor)
        if listened and self.family != AF_UNIX and record.phase != "listening":
            self._world.network.stop_listening(descriptor)
        if self._world.threads is not None:
            let_go_first(self._world.threads, record)

    def _close(self) -> None:
        if self._io_refs <= 0 and not self._gone():
            stream = self._descriptor.stream
            if stream is not None and stream.other.closed and not self._record.asleep:
                self._record.unsent = None  # nobody is there to miss it
            if self._world.dropped.is_out and is_dropping():
                self._world.dropped.drops(self._record, self._descriptor, self._serial)
            elif not self._record.monitor.finished:
                if self._world.threads is not None:
                    judge_close(self._world.threads, self._record)
                self._do("close")
                self._release()
        elif not self._closed and self._descriptor in self._world.holdings.shared and not self._record.monitor.finished:
            self._closed = True
            self._fails("close", EBADF)  # its number was closed by other means
        self._closed = True

    def _ended_in_file(self) -> None:
        self._record.through_file = True

    def _release(self) -> None:
        """The kernel's part of a close."""
        self._world.gives_back(self._descriptor)

    def detach(self) -> int:
        """Give the number away; `socket.socket(fileno=...)` takes it up again."""
        number = self.fileno()
        if number >= 0 and not self._gone():
            self._do("detach")
            self._world.holdings.detached[number] = (self._descriptor, self._record.name)
        self._closed = True
        return number

    def _hands_over(self) -> None:
        """Another socket object has what this one had: one of TLS, over the same number."""
        record = self._record
        self._record = Record(record.monitor, record.name, "detached", -1, record.allow, None)
        self._closed = True

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
        self._do("getpeername")
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
            if (level, optname) == _LOW_WATER and int.from_bytes(raw[:4], sys.byteorder, signed=True) > 1:
                self._refuse("SO_RCVLOWAT is not simulated: a socket is readable as soon as one byte is there")
            if (level, optname) in _TIMES and any(raw):
                self._refuse(f"{_TIMES[level, optname]} is not simulated: settimeout() lets calls wait for a time")
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


_INHERITED: Final = object()
_patched: Final[dict[str, Any]] = {}  # by name, what `SimSocket` itself had there
_REAL: Final = {name: getattr(real_socket, name) for name in dir(real_socket)}


class PatchedForAll(StandIn):
    """The type of `Socket`: what is put in the place of a method of it is so for all sockets of scenarios.

    As by `patch("socket.socket.connect")`. It is put back by whoever deletes it, or puts the real one there.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _REAL or name.startswith("__"):
            super().__setattr__(name, value)
        elif getattr(value, "real", value) is not _REAL[name]:  # a guard says what it guards
            _patched.setdefault(name, vars(SimSocket).get(name, _INHERITED))
            setattr(SimSocket, name, value)
        elif name in _patched:
            delattr(self, name)

    def __delattr__(self, name: str) -> None:
        if name not in _patched:
            super().__delattr__(name)
            return
        before = _patched.pop(name)
        if before is _INHERITED:
            delattr(SimSocket, name)
        else:
            setattr(SimSocket, name, before)


def own_method(name: str) -> Any:
    """What a socket of a scenario does by itself, whatever was put in its place: who patches may call that."""
    before = _patched.get(name, _INHERITED)
    return (
        before
        if before is not _INHERITED
        else getattr(super(SimSocket, SimSocket) if name in _patched else SimSocket, name)
    )


class Socket(SimSocket, metaclass=PatchedForAll):
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
        if fileno is not None and fileno not in world.holdings.detached:
            own = world.stack.socket_of(fileno)
            if own is None and fileno in world.network.descriptors:
                return _second(world, fileno)
            return own or real_socket(family, type, proto, fileno)
        if fileno is not None:
            descriptor, name = world.holdings.detached.pop(fileno)
            connected, listens = descriptor.stream is not None, descriptor.backlog is not None
            phase: Phase = "connected" if connected else "listening" if listens else "new"
            record = world.holdings.admit(descriptor, name, "socket")
            world.monitor.becomes(record, phase)
            return SimSocket(world, descriptor, record, _socket.IPPROTO_TCP if descriptor.family in ANY else 0)
        family = _socket.AF_INET if family == -1 else family
        kind = _socket.SOCK_STREAM if type == -1 else int(type) & ~(_NONBLOCK | _CLOEXEC)
        if kind == _socket.SOCK_DGRAM:
            return real_socket(family, type, max(proto, 0))  # to be made; what it may do, `_install` decides
        if family not in FAMILY or kind != _socket.SOCK_STREAM:
            world.refuse(
                f"a scenario has TCP and AF_UNIX stream sockets only; socket({family!r}, {type!r}) is not simulated."
                " Replace what uses it in the test"
            )
        return make(world, family, max(proto, 0), blocking=not (type != -1 and int(type) & _NONBLOCK))


def _second(world: World, number: int) -> SimSocket:
    """Another socket object over a number that one has already: whoever closes first has closed it."""
    descriptor = world.network.descriptors[number]
    record = world.holdings.records[descriptor]
    world.holdings.shared.add(descriptor)
    return SimSocket(world, descriptor, record, _socket.IPPROTO_TCP if descriptor.family in ANY else 0)


def make(world: World, family: int, proto: int = 0, *, blocking: bool = True) -> real_socket:
    """A new socket, not yet bound or connected."""
    frame = caller(1)
    made = place(frame.f_code, frame.f_lasti)
    sock = world.stack.socket(family, proto, made)
    if sock is None:
        descriptor = world.network.open(family, made)
        sock = SimSocket(world, descriptor, world.holdings.admit(descriptor, None, "socket"), proto)
    if not blocking:
        sock.setblocking(False)
    return sock

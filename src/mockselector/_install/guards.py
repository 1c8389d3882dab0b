"""What takes the place of sockets, and what a real one may do meanwhile: a pair may talk, all else is refused aloud.

Owns that `socket.socket` and `ssl.SSLSocket` are those of the scenario, and the guards around the methods of real
sockets, of whatever class, and of TLS.
"""

from __future__ import annotations

import _socket
import os
import select
import sys
from contextlib import closing, suppress
from errno import ENETUNREACH
from socket import SOCK_DGRAM, SOCK_STREAM
from typing import TYPE_CHECKING, Any, Final

from .._buffers import flat
from .._current import BEFORE, StandIn, current
from .._kernel.addresses import AF_UNIX, LOOPBACK
from .._loopback.sockets import LoopbackSocket
from .._loopback.tls import OverLoopback
from .._methods import DONTWAIT, Shell
from .._play.clock import nanoseconds
from .._simulated.sockets import SimSocket, Socket, own_method
from .._simulated.tls import OverSimulated
from .._system import real_socket
from .._tls import made
from .doors import class_door, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

    from .._judge.trace import Nanoseconds
    from .._world.world import World
    from .doors import Late, Method, Pair

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_ON_ITS_WAY: Final = ("bind", "connect", "connect_ex", "sendto", "sendmsg_afalg", "accept", "_accept", "share")
_THROUGH: Final = (
    "recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "send", "sendall", "sendfile",
    "sendmsg",
)  # fmt: skip
"""What a socket that is connected may do if its other end is in this process, too: one of a pair."""


def _is_pair(sock: Any) -> bool:
    """Whether it is an end of a `socketpair()`: connected, and neither end has a name."""
    if sock.fileno() < 0:
        return True  # closed: it refuses everything by itself
    try:
        near, far = _Raw.getsockname(sock), _Raw.getpeername(sock)
    except OSError:
        return False
    if sock.family == AF_UNIX:
        return not near and not far
    local = LOOPBACK.values()  # where the system has no pairs, `socket` makes them of these
    return sys.platform == "win32" and near[0] in local and far[0] in local


_Raw: Final = _socket.socket
_real_select: Final = select.select
_real_poll: Final[Any] = getattr(select, "poll", None)  # Any: not everywhere
_real_dup: Final = os.dup


def _guard(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    through = name in _THROUGH

    def guard(self: Any, *args: Any, **kwargs: Any) -> Any:
        world = current()
        if isinstance(self, SimSocket):  # by who keeps the real method and calls it in what is put in its place
            return own_method(name)(self, *args, **kwargs)
        if world is not None and not isinstance(self, LoopbackSocket):
            if not through or not _is_pair(self):
                refuse_real(world, name, self)
            if world.crew is None and _may_time_out(self, name, args, kwargs):
                return _in_virtual_time(world, self, real, name, *args)
            if world.crew is not None and self.fileno() >= 0 and not _only_looks(self, name, args):
                with closing(_kept(self)) as pair:
                    if _sends_on(pair, name) and len(args) == 1 and not kwargs:
                        sent = _sends_all(world, pair, name, *args)
                        return sent if name == "send" else None
                    _wait_for(world, pair, name)
                    if self.fileno() < 0:  # closed by another thread: who waits in the kernel goes on with what it has
                        return getattr(_Raw, name, real)(pair, *args, **kwargs)
        return real(self, *args, **kwargs)

    guard.__name__ = guard.__qualname__ = name
    guard.__doc__ = real.__doc__
    vars(guard)["real"] = real
    return guard


def _only_looks(pair: Any, call: str, args: tuple[Any, ...]) -> bool:
    """Whether a call does not wait, whatever there is."""
    timeout = _Raw.gettimeout(pair)
    if timeout is None and len(args) > 1 and isinstance(args[-1], int) and args[-1] & DONTWAIT:
        return True
    return timeout == 0 or (call == "recv" and bool(args) and isinstance(args[0], int) and args[0] <= 0)


def _kept(pair: Any) -> _socket.socket:
    """An end of a pair once more: what waits in it has it still when another thread closes it, as in the kernel."""
    kept = _Raw(pair.family, pair.type, pair.proto, _real_dup(pair.fileno()))
    _Raw.settimeout(kept, _Raw.gettimeout(pair))
    return kept


def _may_time_out(pair: Any, call: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether it is a plain read or send of bytes, which waits no longer than a time-out says."""
    if pair.fileno() < 0 or not _Raw.gettimeout(pair) or kwargs or len(args) != 1:
        return False
    given = args[0]
    if call == "recv":
        return type(given) is int and given > 0
    return call in ("send", "sendall") and type(given) in (bytes, bytearray, memoryview) and len(given) > 0


def _in_virtual_time(world: World, pair: Any, real: Callable[..., Any], call: str, given: Any) -> Any:
    """Such a call, where there is one thread. Beside a child it waits in real time, which has then passed here too."""
    if _has_children():
        try:
            return real(pair, given)
        except TimeoutError:
            world.pass_to(world.clock.now + nanoseconds(_Raw.gettimeout(pair) or 0))
            raise
    if _sends_on(pair, call):
        _sends_all(world, pair, call, given)
        return None
    _wait_for(world, pair, call)
    return real(pair, given)


def _has_children() -> bool:
    """Whether this process has any: one may be at the other end, in real time."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (AttributeError, OSError):  # there is none, or the system does not say
        return False
    return True


def _sends_on(pair: Any, call: str) -> bool:
    """Whether a call waits again until all bytes are sent: with a time-out, `send()` does not."""
    return pair.type == SOCK_STREAM and (call == "sendall" or (call == "send" and _Raw.gettimeout(pair) is None))


def _sends_all(world: World, pair: Any, call: str, data: Any) -> int:
    """Send as who waits in the kernel until all is taken; others have their turn meanwhile."""
    sent, begun = 0, world.clock.now
    with flat(data) as view:
        while sent < len(view):
            _wait_for(world, pair, call, begun)
            with suppress(BlockingIOError):
                sent += _Raw.send(pair, view[sent:], DONTWAIT)
    return sent


def _wait_for(world: World, pair: Any, call: str, begun: Nanoseconds | None = None) -> None:
    """Others are to have their turn until an end of a pair is ready for a call that may wait, since it has begun."""
    timeout: float | None = _Raw.gettimeout(pair)
    deadline = None if timeout is None else (world.clock.now if begun is None else begun) + nanoseconds(timeout)
    reads, which = call.startswith("recv"), [pair.fileno()]
    poller: Any = None if _real_poll is None else _real_poll()  # which takes any number
    if poller is not None:
        poller.register(which[0], select.POLLIN if reads else select.POLLOUT)

    def is_ready() -> bool:
        if poller is not None:
            return bool(poller.poll(0))
        return any(_real_select(which if reads else [], [] if reads else which, [], 0))

    at_once = world.turns.acting is not None or world.monitor.violation is not None or bool(world.ending.times)
    if at_once and is_ready():
        return  # a step may not wait; who cleans up has not to
    if not (world.check_running(timeout) and world.until(is_ready, deadline, (call, "pair"))):
        raise TimeoutError("timed out")


def refuse_real(world: World, name: str, sock: Any) -> NoReturn:
    """Say aloud that a real socket is used in a scenario."""
    if sock.type == SOCK_DGRAM:
        if name == "connect":  # how programs ask for this machine's address; they can do without
            raise OSError(ENETUNREACH, os.strerror(ENETUNREACH))
        world.refuse(f"{name}() is called on a UDP socket: UDP is not simulated. Replace what uses it in the test")
    world.refuse(f"{name}() is called on a real socket. {BEFORE}")


_GUARDS: Final = {
    name: _guard(name, getattr(real_socket, name)) for name in (*_ON_ITS_WAY, *_THROUGH) if hasattr(real_socket, name)
}


_GUARDED: Final[list[type]] = []  # what a program derives from in the place of the class below `socket.socket`


def _refuses_raw(world: World, *_: object, **__: object) -> NoReturn:
    world.refuse("a bare socket.SocketType is not simulated; make a socket.socket")


def _raw_sockets() -> Iterable[Pair]:
    """The class below `socket.socket`, and its methods, which a module may have kept."""
    guards = {name: _guard(name, getattr(_Raw, name)) for name in (*_GUARDS, "listen") if name in vars(_Raw)}
    guarded = type(_Raw.__name__, (_Raw,), guards)
    _GUARDED.append(guarded)
    yield _Raw, class_door(_Raw, _refuses_raw, guarded=guarded, **guards)
    yield from ((vars(_Raw)[name], guard) for name, guard in guards.items())


def _guards_of(kind: Any) -> list[Method]:  # Any: a class of sockets
    names = (*_GUARDS, "listen")
    return [(kind, name, _guard(name, getattr(kind, name))) for name in names if hasattr(kind, name)]


def _of_ssl(ssl: Any) -> list[Method]:
    """What `wrap_socket()` makes: of a scenario's socket, one of the same kind that is a scenario's, too."""
    real: Callable[..., Any] = ssl.SSLSocket._create.__func__

    def create(cls: Any, sock: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(sock, (SimSocket, LoopbackSocket)):
            below = OverSimulated if isinstance(sock, SimSocket) else OverLoopback
            return made(real, cls, below, sock, args, kwargs)
        return real(cls, sock, *args, **kwargs)

    return [(ssl.SSLSocket, "_create", classmethod(named(create, real)))]


def _of_pyopenssl(module: Any) -> list[Method]:
    """Its OpenSSL reads and writes the descriptor of the socket it is given, past Python."""
    real = module.Connection.__init__

    def init(self: Any, context: Any, socket: Any = None) -> None:
        world = current()
        if world is not None and isinstance(socket, (SimSocket, LoopbackSocket)):
            world.refuse(
                "pyOpenSSL reads and writes a socket's descriptor by itself, and a scenario's socket has none. Use the"
                " module ssl, or OpenSSL.SSL.Connection(context) without a socket, whose bytes the program moves"
            )
        real(self, context, socket)

    return [(module.Connection, "__init__", named(init, real))]


def _of_sockets(module: Any) -> list[Method]:
    return [] if module.socket is real_socket or isinstance(module.socket, StandIn) else _guards_of(module.socket)


def pairs() -> list[Pair]:
    """What is replaced wherever a module has it."""
    return [(real_socket, Socket), *_raw_sockets()]


def in_classes() -> list[Method]:
    """Methods that are replaced in their class."""
    wanted: list[Method] = [(real_socket, name, guard) for name, guard in _GUARDS.items()]
    for kind in _Raw.__subclasses__():  # a class that a program has derived from it, or from another `socket`
        if kind is not real_socket and kind not in _GUARDED and not issubclass(kind, Shell):
            wanted += _guards_of(kind)
    return wanted


LATE: Final[Late] = {"OpenSSL.SSL": _of_pyopenssl, "socket": _of_sockets, "ssl": _of_ssl}

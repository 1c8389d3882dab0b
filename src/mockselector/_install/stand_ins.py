"""What takes the place of time, host names, threads and the rest while a scenario is under a server.

Owns the stand-ins, but for sockets and selectors. Each asks which world is current in its thread,
and without one does what it stands in for, so that code which has kept one is none the worse for
it. Which names are replaced where, and that they are put back, is `_install`'s business.
"""

from __future__ import annotations

import _socket
import _thread
import os
import socket as _socket_module
import sys
import threading
import time as _time
from errno import EBADF
from selectors import _BaseSelectorImpl
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any, Final

from .._current import BEFORE, current
from .._judge.standing import ages
from .._kernel.addresses import LOOPBACK, is_literal
from .._loopback.world import LoopbackSocket
from .._play.clock import SECOND
from .._simulated.selectors import STAND_INS, is_simulated
from .._simulated.sockets import SimSocket, Socket
from .._system import FIRST_NUMBER, REAL_SELECTORS, number_of, real_socket
from .doors import in_classes as in_classes_of_doors
from .doors import in_late
from .doors import pairs as doors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from .._play.world import World

try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows)
    fcntl = None  # type: ignore[assignment]  # there, nobody asks for it

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

# -- time ------------------------------------------------------------------------------------------


def _time_stand_in(name: str, ask: Callable[[World], float]) -> Callable[[], float]:
    real: Callable[[], float] = getattr(_time, name)

    def stand_in() -> float:
        world = current()
        return real() if world is None else ask(world)

    stand_in.__name__ = stand_in.__qualname__ = name
    stand_in.__doc__ = real.__doc__
    return stand_in


_CLOCKS: Final = ("clock_gettime", "clock_gettime_ns")
_REAL_CLOCKS: Final = tuple(
    getattr(_time, f"CLOCK_{name}", None) for name in ("PROCESS_CPUTIME_ID", "THREAD_CPUTIME_ID")
)
_DATES: Final = tuple(getattr(_time, f"CLOCK_{name}", None) for name in ("REALTIME", "TAI"))


def _clock_stand_in(name: str) -> Callable[[int], float]:
    real: Callable[[int], float] = getattr(_time, name)

    def stand_in(clock: int, /) -> float:
        world = current()
        if world is None or clock in _REAL_CLOCKS or not isinstance(clock, int):  # pyright: ignore[reportUnnecessaryIsInstance]  # to be refused
            return real(clock)
        now = world.clock.time_ns() if clock in _DATES else world.clock.monotonic_ns()
        return now if name.endswith("_ns") else now / SECOND

    stand_in.__name__ = stand_in.__qualname__ = name
    return stand_in


_real_sleep: Final = _time.sleep


def sleep(seconds: float, /) -> None:
    """As `time.sleep`; in a scenario, of virtual time."""
    world = current()
    if world is None or sys._getframe(1).f_globals.get("__name__") == "subprocess":  # that waits for a real process
        _real_sleep(seconds)
    else:
        world.sleep(seconds)


# -- descriptors -----------------------------------------------------------------------------------


def _fcntl_stand_in(real: Callable[..., Any], get_fd: int, set_fd: int, get_fl: int, set_fl: int) -> Callable[..., Any]:
    def fcntl(fd: Any, cmd: int, arg: Any = 0, /) -> Any:
        world = current()
        number = fd if isinstance(fd, int) else fd.fileno()
        if world is None or not (number >= FIRST_NUMBER or world.owns(number)):
            return real(fd, cmd, arg)
        if not world.owns(number):
            raise OSError(EBADF, os.strerror(EBADF))
        if cmd in (get_fd, set_fd):
            return int(cmd == get_fd)  # FD_CLOEXEC, as Python sets it; there is no exec to see it
        if cmd in (get_fl, set_fl):
            world.refuse("fcntl(F_GETFL or F_SETFL) is not simulated; use setblocking()")
        world.refuse(f"fcntl({cmd}) on a scenario's socket is not simulated")

    return fcntl


# -- names -----------------------------------------------------------------------------------------

_real_getaddrinfo: Final = _socket_module.getaddrinfo
_real_getnameinfo: Final = _socket_module.getnameinfo
_SERVICES: Final[dict[str, int]] = {"http": 80, "https": 443}
_BY_MACHINE: Final = int(getattr(_socket_module, "AI_ADDRCONFIG", 0))
"""A flag that lets an answer depend on which addresses this machine has."""


class Found(tuple[Any, ...]):  # Any: family, type, protocol, name, address
    """An answer of `getaddrinfo()`. asyncio puts them into a set, which is to have the same order every time."""

    __slots__ = ()

    def __hash__(self) -> int:
        return int(self[0])  # that of a text depends on PYTHONHASHSEED


def getaddrinfo(
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002  (its name)
    proto: int = 0,
    flags: int = 0,
) -> list[tuple[Any, ...]]:
    """As `socket.getaddrinfo`; in a scenario for its own names, and without asking anybody."""
    world = current()
    if world is None:
        return _real_getaddrinfo(host, port, family, type, proto, flags)
    port = _SERVICES.get(port, port) if isinstance(port, str) else port
    flags &= ~_BY_MACHINE
    name = host.decode() if isinstance(host, bytes) else host
    if name and (not isinstance(name, str) or _socket_module.AI_NUMERICHOST & flags or is_literal(name)):
        flags |= _socket_module.AI_NUMERICHOST
        return [Found(one) for one in _real_getaddrinfo(host, port, family, type, proto, flags)]  # it asks nobody
    found: list[tuple[Any, ...]] = []
    for one in (AF_INET, AF_INET6):
        number = _number_of(world, name, one) if name else None
        if family in (0, one) and (not name or number is not None):
            found += _real_getaddrinfo(number, port, one, type, proto, flags)
    if not found:
        world.dialling.unknown_host(name)
        raise _socket_module.gaierror(_socket_module.EAI_NONAME, "Name or service not known")
    if flags & _socket_module.AI_CANONNAME and name:
        found = [(*one[:3], "" if at else name, one[4]) for at, one in enumerate(found)]
    return [Found(one) for one in found]


_c_getaddrinfo: Final = _socket.getaddrinfo


def _getaddrinfo_of_c(
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002  (its name)
    proto: int = 0,
    flags: int = 0,
) -> list[tuple[Any, ...]]:
    """The same below it: `socket.getaddrinfo` is made of this one."""
    if current() is None or not host or flags & _socket_module.AI_NUMERICHOST:
        return _c_getaddrinfo(host, port, family, type, proto, flags)
    return getaddrinfo(host, port, family, type, proto, flags)


def _number_of(world: World, host: str, family: int) -> str | None:
    """The number of a host in one family, if it has one."""
    try:
        address = world.network.host(host, family)
    except OSError:
        return None
    return address if (":" in address) == (family == AF_INET6) else None


def _name_stand_in(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
    real: Callable[..., Any] = getattr(_socket_module, name)

    def stand_in(*args: Any) -> Any:
        world = current()
        return real(*args) if world is None else answer(world, *args)

    stand_in.__name__ = stand_in.__qualname__ = name
    return stand_in


def _host_name(_: World) -> str:
    return "localhost"


def _by_name(world: World, host: str) -> str:
    try:
        return world.network.host(host, AF_INET)
    except OSError:
        world.dialling.unknown_host(host)
        raise


def _by_name_ex(world: World, host: str) -> tuple[str, list[str], list[str]]:
    return host, [], [_by_name(world, host)]


def _by_address(world: World, address: str) -> tuple[str, list[str], list[str]]:
    number = world.network.host(address, AF_INET6 if ":" in address else AF_INET)
    for name, known in world.network.hosts.items():
        if known == number:
            return name, [], [number]
    if number in LOOPBACK.values():
        return "localhost", [], [number]
    raise _socket_module.herror(1, "Unknown host")


def _name_info(world: World, address: Any, flags: int) -> tuple[str, str]:
    numeric = _socket_module.NI_NUMERICHOST | _socket_module.NI_NUMERICSERV
    name, service = _real_getnameinfo(address, flags | numeric)  # it asks nobody
    if not flags & _socket_module.NI_NUMERICHOST:
        try:
            name = _by_address(world, name)[0]
        except OSError:
            pass
    if not flags & _socket_module.NI_NUMERICSERV:
        service = next((one for one, port in _SERVICES.items() if str(port) == service), service)
    return name, service


# -- threads ---------------------------------------------------------------------------------------


_real_wait: Final = threading.Condition.wait


def wait(self: threading.Condition, timeout: float | None = None) -> bool:
    """As `threading.Condition.wait` (and so `Event.wait`); in a scenario, of virtual time."""
    world = current()
    if world is None:
        return _real_wait(self, timeout)
    inside: Any = self  # Any: what the class has of its own
    waiter = _thread.allocate_lock()
    waiter.acquire()
    inside._waiters.append(waiter)
    saved = inside._release_save()
    try:
        return world.wait_for(lambda: not waiter.locked(), timeout)
    finally:
        inside._acquire_restore(saved)
        if waiter.locked():
            inside._waiters.remove(waiter)


_real_of_loop: Final[dict[str, Callable[..., Any]]] = {}


async def _loop_getaddrinfo(
    self: Any,
    host: Any,
    port: Any,
    *,
    family: int = 0,
    type: int = 0,  # noqa: A002  (its name)
    proto: int = 0,
    flags: int = 0,
) -> Any:
    """As an event loop's `getaddrinfo`; in a scenario without the thread that it takes."""
    if current() is None:
        return await _real_of_loop["getaddrinfo"](self, host, port, family=family, type=type, proto=proto, flags=flags)
    return getaddrinfo(host, port, family, type, proto, flags)


async def _loop_getnameinfo(self: Any, sockaddr: Any, flags: int = 0) -> Any:
    """As an event loop's `getnameinfo`, likewise."""
    world = current()
    if world is None:
        return await _real_of_loop["getnameinfo"](self, sockaddr, flags)
    return _name_info(world, sockaddr, flags)


def _loop_call_exception_handler(self: Any, context: dict[str, Any]) -> None:
    """As an event loop's `call_exception_handler`; a scenario keeps what a handler has raised, for its texts."""
    world = current()
    error = context.get("exception")
    ours = getattr(getattr(self, "_selector", None), "_world", None) is world  # not what an earlier test has left
    if world is not None and ours and isinstance(error, BaseException):
        world.monitor.witness.heard(error)
    _real_of_loop["call_exception_handler"](self, context)


# -- tasks -----------------------------------------------------------------------------------------


def _create_task(self: Any, *args: Any, **kwargs: Any) -> Any:
    """As an event loop's `create_task`; in a scenario it is known in which order tasks were made."""
    task = _real_of_loop["create_task"](self, *args, **kwargs)
    world = current()
    if world is not None:
        ages[task] = world.number_task()
    return task


class InOrder(set[Any]):
    """A set that asyncio makes, gone through in an order that hash and `id()` do not decide.

    Tasks come in the order in which they were made, all else in that in which it was given.
    """

    _given: Mapping[Any, int] = {}

    def __init__(self, things: Iterable[Any] = ()) -> None:
        kept = dict.fromkeys(things)
        super().__init__(kept)
        self._given = {thing: number for number, thing in enumerate(kept)}

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(super().__iter__(), key=self._place))

    def _place(self, thing: Any) -> tuple[int, int]:
        try:
            age = ages.get(thing, 0)
        except TypeError:  # it is nothing to which there are weak references, and so no task
            age = 0
        return age, self._given.get(thing, 0)


def _all_tasks(loop: Any = None) -> set[Any]:
    """As `asyncio.all_tasks`; in a scenario they are, for example, cancelled in the order in which they were made."""
    tasks: set[Any] = _real_of_loop["all_tasks"](loop)
    return tasks if current() is None else InOrder(tasks)


# -- logs ------------------------------------------------------------------------------------------


def _handle_stand_in(real: Callable[..., Any]) -> Callable[..., Any]:
    """Of a logger: a scenario keeps the exceptions that a framework logs and then swallows, for its texts."""

    def handle(self: Any, record: Any) -> Any:
        world = current()
        info: Any = record.exc_info
        apart = self.name != "asyncio"  # what that tells, its loop has told before
        if world is not None and apart and isinstance(info, tuple) and isinstance(info[1], BaseException):
            world.monitor.witness.heard(info[1])
        return real(self, record)

    return handle


def _listens(thing: Any) -> bool:
    """Whether it is a listener that is not of a scenario."""
    if not isinstance(thing, real_socket) or isinstance(thing, (SimSocket, LoopbackSocket)):
        return False
    return bool(thing.getsockopt(_socket_module.SOL_SOCKET, _socket_module.SO_ACCEPTCONN))


_real_register: Final = _BaseSelectorImpl.register


def _register(self: Any, fileobj: Any, events: int, data: Any = None) -> Any:
    """As a real selector's `register`, which a class derived from one has kept."""
    world = current()
    if world is not None and isinstance(self, tuple(REAL_SELECTORS.values())) and "_world" not in vars(self):
        number = number_of(fileobj)
        if is_simulated(number) or world.owns(number):
            world.refuse(f"a real selector is given a scenario's socket. {BEFORE}")
    if world is not None and _listens(fileobj):
        world.refuse(f"a listener that is a real socket is registered. {BEFORE}")
    return _real_register(self, fileobj, events, data)


def _guarded_select(real: Callable[..., Any]) -> Callable[..., Any]:
    def select(self: Any, timeout: float | None = None) -> Any:
        world = current()
        waits = timeout is None or timeout > 0
        if world is not None and waits and any(isinstance(key.fileobj, real_socket) for key in _keys(self)):
            world.refuse(f"select() is called on a real selector with real sockets. {BEFORE}")
        return real(self, timeout)

    return select


def _keys(selector: Any) -> list[Any]:
    names: dict[Any, Any] | None = selector.get_map()
    return [] if names is None else list(names.values())


# -- all of it ---------------------------------------------------------------------------------------


def _replacements() -> dict[int, tuple[object, object]]:
    """What is replaced wherever a module has it: by the identity of the real thing, that and its stand-in."""
    pairs: list[tuple[object, object]] = [(real_socket, Socket)]
    pairs += [(real, STAND_INS[name]) for name, real in REAL_SELECTORS.items() if name != "DefaultSelector"]
    for name in ("monotonic", "perf_counter"):
        pairs.append((getattr(_time, name), _time_stand_in(name, lambda world: world.clock.monotonic_ns() / SECOND)))
        name_ns = f"{name}_ns"
        pairs.append((getattr(_time, name_ns), _time_stand_in(name_ns, lambda world: world.clock.monotonic_ns())))
    pairs.append((_time.time, _time_stand_in("time", lambda world: world.clock.time_ns() / SECOND)))
    pairs.append((_time.time_ns, _time_stand_in("time_ns", lambda world: world.clock.time_ns())))
    pairs += [(_time.sleep, sleep), (_socket_module.getaddrinfo, getaddrinfo), (_c_getaddrinfo, _getaddrinfo_of_c)]
    pairs += [(getattr(_time, name), _clock_stand_in(name)) for name in _CLOCKS if hasattr(_time, name)]
    answers: dict[str, Callable[..., Any]] = {
        "gethostname": _host_name,
        "gethostbyname": _by_name,
        "gethostbyname_ex": _by_name_ex,
        "gethostbyaddr": _by_address,
        "getnameinfo": _name_info,
    }
    pairs += [(getattr(_socket_module, name), _name_stand_in(name, answer)) for name, answer in answers.items()]
    if fcntl is not None:
        commands = (fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL)
        pairs.append((fcntl.fcntl, _fcntl_stand_in(fcntl.fcntl, *commands)))
    pairs += doors()
    return {id(real): (real, ours) for real, ours in pairs}


REPLACEMENTS: Final = _replacements()


def stand_in(thing: Any) -> Any:  # Any: whatever was given, and that or its like
    """What is in the place of a thing while a scenario runs: for one that was looked up before."""
    real, ours = REPLACEMENTS.get(id(thing), (thing, thing))
    return ours if real is thing else thing


def in_classes() -> list[tuple[Any, str, object]]:  # Any: classes of the standard library
    """Methods that are replaced in their class: its owner, its name, its stand-in."""
    wanted: list[tuple[Any, str, object]] = [
        (threading.Condition, "wait", wait),
        (_BaseSelectorImpl, "register", _register),
        *in_classes_of_doors(),
    ]
    real_selectors = {kind for kind in REAL_SELECTORS.values() if "select" in vars(kind)}
    wanted += [(kind, "select", _guarded_select(kind.select)) for kind in real_selectors]
    logging = sys.modules.get("logging")
    if logging is not None:
        wanted.append((logging.Logger, "handle", _handle_stand_in(logging.Logger.handle)))
    return wanted


def in_late_classes(name: str) -> list[tuple[Any, str, object]]:  # Any: as above
    """The same for a module that may be imported when the server already runs, if it has been."""
    wanted = in_late(name)
    module: Any = sys.modules.get(name)
    if name == "asyncio.base_events" and module is not None:
        loop, tasks = module.BaseEventLoop, module.tasks
        ours: dict[str, Callable[..., Any]] = {
            "getaddrinfo": _loop_getaddrinfo,
            "getnameinfo": _loop_getnameinfo,
            "call_exception_handler": _loop_call_exception_handler,
            "create_task": _create_task,
        }
        for one, stand_in in ours.items():
            _real_of_loop[one] = getattr(loop, one)
            wanted.append((loop, one, stand_in))
        _real_of_loop["all_tasks"] = tasks.all_tasks
        package = sys.modules["asyncio"]
        wanted += [(one, "all_tasks", _all_tasks) for one in (tasks, package) if hasattr(one, "all_tasks")]
        wanted.append((tasks, "set", InOrder))  # of which wait() makes those that it returns
        wanted.append((module, "set", InOrder))  # in which create_server() keeps where it is to listen
    return wanted

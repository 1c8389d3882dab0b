"""The doors that lead from a server to the real system: sockets, descriptors, processes, signals.

Owns what of that code can reach while a scenario is under it: each door lets through what stays
inside of the process, as real files and pipes do, and refuses aloud what would happen for real, wait
in real time, or find nothing behind a simulated number. Which names are replaced where, and that
they are put back, is `_install`'s business.
"""

from __future__ import annotations

import _io
import _queue
import _socket
import _thread
import os
import queue
import select as _select
import signal
import stat
import sys
import threading
from errno import ENETUNREACH
from importlib import import_module
from socket import SOCK_DGRAM
from types import new_class
from typing import TYPE_CHECKING, Any, Final

from .._current import BEFORE, StandIn, current
from .._kernel.addresses import AF_UNIX, LOOPBACK
from .._loopback.world import LoopbackSocket
from .._methods import Shell
from .._play.clock import nanoseconds
from .._simulated.selectors import is_simulated
from .._simulated.sockets import SimSocket
from .._system import number_of, real_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

    from .._play.world import World

    Pair = tuple[object, object]  # the real thing, and its stand-in

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

LEFT_ALONE: Final = (
    "mockselector", "subprocess", "multiprocessing", "_pytest", "pytest", "pytest_timeout", "coverage", "pluggy",
    "debugpy", "pydevd", "_pydevd_bundle", "_pydev_bundle",
)  # fmt: skip
"""Packages that work with the real system even while a server runs: ours, and those around the test."""

THREADS: Final = (
    "threads and processes are not simulated: a scenario runs in one thread. Use the class without ThreadingMixIn"
    " or ForkingMixIn (socketserver.TCPServer, http.server.HTTPServer), or tell the framework to do without"
    " (Flask: app.run(threaded=False); asyncio: no to_thread(), run_in_executor() or loop.sendfile()). A Thread,"
    " a Timer or an executor of the program's own: leave it out of this test, by a switch or a patch, and test what it"
    " does by itself; or, where the server only hands work to it, patch it with what does the work at once: a class"
    " whose start() calls run(), an executor whose submit() calls the function and returns a Future that is done"
)


def for_a_tool(frame: Any) -> bool:  # Any: a frame
    """Whether it is one of the packages around the test that calls, and not the program."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] in LEFT_ALONE


def _named(stand_in: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    stand_in.__name__ = stand_in.__qualname__ = real.__name__
    stand_in.__doc__ = real.__doc__
    return stand_in


def refusing(real: Callable[..., Any], text: str, harmless: Callable[..., bool] | None = None) -> Callable[..., Any]:
    """What is refused in a scenario, but to the tools around the test, and where the arguments make it harmless."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        world = current()
        if world is None or for_a_tool(sys._getframe(1)) or (harmless is not None and harmless(*args, **kwargs)):
            return real(*args, **kwargs)
        world.refuse(text)

    return _named(stand_in, real)


# -- classes ---------------------------------------------------------------------------------------


class _DoorType(StandIn):
    """The type of a class that stands in for one in C: what it has not, the real one has."""

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any], **options: Any) -> Any:
        """A class that is derived from one that must stay guarded is derived from the guarded one."""
        guarded = tuple(vars(base).get("guarded", base) for base in bases)
        if guarded != bases:
            return new_class(name, guarded, options, lambda names: names.update(space))
        return super().__new__(cls, name, bases, space, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def _class(real: Any, check: Callable[..., None], **more: Any) -> Any:  # Any: of any class
    """A class in the place of a real one, whose instances it makes once `check(world, ...)` has let that pass."""

    class Door(metaclass=_DoorType):
        __init__ = real.__init__  # called by name, from classes that are derived from the real one

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:  # Any: one of the real ones
            if cls is not Door:
                return real.__new__(cls)  # likewise
            world = current()
            if world is not None:
                check(world, *args, **kwargs)
            return real(*args, **kwargs)

    Door.__name__ = Door.__qualname__ = real.__name__
    Door.__doc__ = real.__doc__
    Door.real = Door.ours = real
    for name, thing in more.items():
        setattr(Door, name, thing)
    return Door


# -- descriptors -----------------------------------------------------------------------------------

_FIRST: Final = ("fd",)
_OF_FILES: Final = (
    "chdir", "chmod", "chown", "listdir", "scandir", "stat", "statvfs", "truncate", "utime", "pathconf",
)  # fmt: skip
_OF_DESCRIPTORS: Final = (
    "dup", "eventfd_read", "eventfd_write", "fchdir", "fchmod", "fchown", "fdatasync", "fpathconf", "fstat",
    "fstatvfs", "fsync", "ftruncate", "get_blocking", "get_inheritable", "get_terminal_size", "grantpt", "isatty",
    "lockf", "login_tty", "lseek", "posix_fadvise", "posix_fallocate", "pread", "preadv", "ptsname", "pwrite",
    "pwritev", "read", "readinto", "readv", "set_blocking", "set_inheritable", "tcgetpgrp", "tcsetpgrp", "ttyname",
    "unlockpt", "write", "writev", "device_encoding", "close",
)  # fmt: skip
_TAKE_NUMBERS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "os": {
        **dict.fromkeys(_OF_FILES, ("path",)),
        **dict.fromkeys(_OF_DESCRIPTORS, _FIRST),
        "copy_file_range": ("src", "dst"),
        "dup2": ("fd", "fd2"),
        "sendfile": ("out_fd", "in_fd"),
        "splice": ("src", "dst"),
    },
    "_io": {"open": ("file",)},
    "_socket": {"close": _FIRST, "dup": _FIRST},
    "_signal": {"set_wakeup_fd": _FIRST},
    "fcntl": dict.fromkeys(("ioctl", "flock", "lockf"), _FIRST),
    "termios": dict.fromkeys(
        ("tcdrain", "tcflow", "tcflush", "tcgetattr", "tcgetwinsize", "tcsendbreak", "tcsetattr", "tcsetwinsize"),
        _FIRST,
    ),
}
"""Functions that take descriptors, by module: the parameters that are one, which come first."""


def _stat_of(world: World, number: int, *_: object) -> os.stat_result:
    """What the kernel says of a socket, which is no file (man 2 fstat)."""
    ids = (os.getuid(), os.getgid()) if os.name == "posix" else (0, 0)
    return os.stat_result((stat.S_IFSOCK | 0o777, number, 8, 1, *ids, 0, 0, 0, 0))


def _is_no_terminal(world: World, number: int) -> bool:
    return False


def _inheritable(world: World, number: int) -> bool:
    return world.network.descriptors[number].inheritable


def _set_inheritable(world: World, number: int, flag: object) -> None:
    world.network.descriptors[number].inheritable = bool(flag)


_ANSWERS: Final[dict[str, Callable[..., Any]]] = {
    "fstat": _stat_of,
    "stat": _stat_of,
    "isatty": _is_no_terminal,
    "get_inheritable": _inheritable,
    "set_inheritable": _set_inheritable,
}
"""What is simulated of a simulated number; of a real one, the kernel answers."""


def _number_stand_in(
    module: str, name: str, real: Callable[..., Any], parameters: tuple[str, ...]
) -> Callable[..., Any]:
    answer = _ANSWERS.get(name)
    closes = name == "close"
    by_kernel = answer is not None or (module, name) == ("_socket", "dup")  # where the number is a real one
    text = f"{module.lstrip('_')}.{name}() on a scenario's socket is not simulated; use the socket's own methods"

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        world = current()
        if world is None:
            return real(*args, **kwargs)
        for position, parameter in enumerate(parameters):
            given = args[position] if position < len(args) else kwargs.get(parameter)
            if type(given) is str:
                continue
            number = number_of(given)
            ours, owned = is_simulated(number), number >= 0 and world.owns(number)
            if not (ours or owned) or (by_kernel and not ours):
                continue
            if closes and owned:
                return world.close_number(number)
            if answer is None and not closes:
                world.refuse(text)
            if answer is not None and owned:
                return answer(world, number, *args[1:])
        return real(*args, **kwargs)

    return _named(stand_in, real)


def _numbers() -> Iterable[Pair]:
    for module, functions in _TAKE_NUMBERS.items():
        try:
            space = vars(import_module(module))
        except ImportError:  # pragma: no cover  (of another system)
            continue
        for name, parameters in functions.items():
            if name in space:
                yield space[name], _number_stand_in(module, name, space[name], parameters)


def _no_simulated_number(what: str) -> Callable[..., None]:
    """A check for a class whose first argument may be a descriptor."""

    def check(world: World, thing: Any = None, *_: object, **__: object) -> None:
        if isinstance(thing, int) and world.owns(thing):
            world.refuse(f"{what}() on a scenario's socket is not simulated; use the socket's own methods")

    return check


def _of_files() -> Iterable[Pair]:
    yield _io.FileIO, _class(_io.FileIO, _no_simulated_number("io.FileIO"))
    try:
        from mmap import mmap
    except ImportError:  # pragma: no cover  (of another system)
        return
    yield mmap, _class(mmap, _no_simulated_number("mmap.mmap"))


# -- processes, signals, threads -------------------------------------------------------------------

_PROCESS: Final = "{}() is not simulated: {}. Replace what calls it in the test"
_REAL_TIME: Final = "it waits in real time, for what no script does"
_ENDS: Final = "it would end, or replace, the process in which the test runs"
_STARTS: Final = "it starts a real process (the module subprocess may be used, in real time)"
_ANOTHER: Final = "it acts on another process"
_ANOTHER_OR_ENDS: Final = "it acts on another process, or, without a handler, ends the one in which the test runs"
_REAL_ALARM: Final = "its signal would come in real time; net.interrupts() raises KeyboardInterrupt in virtual time"

_REFUSED: Final[dict[str, dict[str, str]]] = {
    "os": {
        **dict.fromkeys(("_exit", "abort", "execv", "execve"), _ENDS),
        **dict.fromkeys(("posix_spawn", "posix_spawnp", "startfile", "system"), _STARTS),
        "kill": _ANOTHER_OR_ENDS,
        "killpg": _ANOTHER,
        **dict.fromkeys(("wait", "wait3", "wait4", "waitid", "waitpid"), _REAL_TIME),
        "closerange": "it would close descriptors of the test",
        "timerfd_create": "its timer would run in real time",
    },
    "_signal": {
        **dict.fromkeys(("pause", "sigwait", "sigwaitinfo", "sigtimedwait"), _REAL_TIME),
        **dict.fromkeys(("alarm", "setitimer"), _REAL_ALARM),
        "pidfd_send_signal": _ANOTHER,
        **dict.fromkeys(("raise_signal", "pthread_kill"), _ANOTHER_OR_ENDS),
    },
    "_socket": {"sethostname": "it renames the machine"},
    "time": dict.fromkeys(("clock_settime", "clock_settime_ns"), "it sets the machine's clock"),
}
"""What is refused, by module, and why."""

_NOHANG: Final = int(getattr(os, "WNOHANG", 0))


_IGNORED: Final = {getattr(signal, name, None) for name in ("SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH")}


def _to_itself(number: int, sent: int) -> bool:
    return sent == 0 or (number == os.getpid() and _is_handled(sent))


def _is_handled(sent: int) -> bool:
    """Whether a signal ends no process, because somebody handles it or nobody minds."""
    return sent in _IGNORED or signal.getsignal(sent) not in (signal.SIG_DFL, None)


def _in_a_thread(_: int, sent: int) -> bool:
    return sent == 0 or _is_handled(sent)


def _does_not_wait(*args: int) -> bool:
    return bool(args and args[-1] & _NOHANG)


_HARMLESS: Final[dict[str, Callable[..., bool]]] = {
    "kill": _to_itself,
    "raise_signal": _is_handled,
    "pthread_kill": _in_a_thread,
    "wait3": _does_not_wait,
    "wait4": _does_not_wait,
    "waitid": _does_not_wait,
    "waitpid": _does_not_wait,
}


def _alarm_stand_in(real: Callable[..., Any], text: str, nothing: object) -> Callable[..., Any]:
    """Setting no alarm is what a program does to be sure: it leaves those alone that the tools around it have set."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        world = current()
        if world is None or for_a_tool(sys._getframe(1)):
            return real(*args, **kwargs)
        if any((*args[real.__name__ == "setitimer" :], *kwargs.values())):
            world.refuse(text)
        return nothing

    return _named(stand_in, real)


def _refused() -> Iterable[Pair]:
    for module, functions in _REFUSED.items():
        space = vars(import_module(module))
        for name, why in functions.items():
            text = _PROCESS.format(f"{module.lstrip('_')}.{name}", why)
            for real in {id(one): one for one in (space.get(name), getattr(signal, name, None)) if one}.values():
                if name in ("alarm", "setitimer"):
                    yield real, _alarm_stand_in(real, text, 0 if name == "alarm" else (0.0, 0.0))
                else:
                    yield real, refusing(real, text, _HARMLESS.get(name))


def _threads() -> Iterable[Pair]:
    starts = [(_thread, "start_new_thread"), (_thread, "start_new"), (_thread, "start_joinable_thread")]
    starts += [(os, "fork"), (os, "forkpty")]
    for owner, name in starts:
        if hasattr(owner, name):
            yield getattr(owner, name), thread_stand_in(getattr(owner, name))


def thread_stand_in(real: Callable[..., Any]) -> Callable[..., Any]:
    """What starts a thread or a process: refused in a scenario, to whoever calls it."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        world = current()
        if world is not None:
            world.refuse(THREADS)
        return real(*args, **kwargs)

    return _named(stand_in, real)


_real_join: Final = threading.Thread.join


def _join(self: threading.Thread, timeout: float | None = None) -> None:
    world = current()
    waits = timeout is None or timeout > 0
    others = waits and self is not threading.current_thread() and self.is_alive()
    if world is not None and others and not for_a_tool(sys._getframe(1)):
        world.refuse(_PROCESS.format("Thread.join", "it waits in real time for a thread that was started before"))
    _real_join(self, timeout)


_RealQueue: Final[Any] = _queue.SimpleQueue  # Any: of whatever
_OurQueue: Final[Any] = vars(queue)["_PySimpleQueue"]  # Any: the stubs do not tell of it


class SimpleQueue(metaclass=_DoorType):
    """What stands in for `queue.SimpleQueue`: in a scenario, Python's own one, which waits in virtual time."""

    real, ours = _RealQueue, _OurQueue

    def __new__(cls) -> Any:  # Any: one of both kinds
        """A queue."""
        if current() is None:
            return _RealQueue()
        return _OurQueue()


# -- select ----------------------------------------------------------------------------------------

_real_select: Final = _select.select
_SELECTORS: Final = "use selectors.DefaultSelector"


def select(rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None, /) -> Any:
    """As `select.select`; in a scenario for real descriptors, in virtual time, and as a way to sleep."""
    world = current()
    lists = (list(rlist), list(wlist), list(xlist))
    if world is None or for_a_tool(sys._getframe(1)):
        return _real_select(*lists, timeout)
    numbers = [number_of(one) for some in lists for one in some]
    if any(is_simulated(number) or world.owns(number) for number in numbers):
        world.refuse(f"select.select() on a scenario's sockets is not simulated; {_SELECTORS}")
    found: tuple[list[Any], list[Any], list[Any]] = _real_select(*lists, 0)  # it knows what may be given
    if any(found) or (timeout is not None and timeout <= 0):
        return found
    if not numbers:
        if timeout is None:
            world.refuse("select.select() without descriptors and without a timeout waits for ever")
        world.sleep(timeout)
        return found

    def done() -> bool:
        nonlocal found
        found = _real_select(*lists, 0)
        return any(found)

    if world.check_running(timeout):
        deadline = None if timeout is None else world.clock.now + nanoseconds(timeout)
        world.until(done, deadline, ("select", "select.select"))
    return found


def _polls() -> Iterable[Pair]:
    for name in ("poll", "epoll", "kqueue", "devpoll"):
        real: Any = getattr(_select, name, None)
        if isinstance(real, type):
            more = {"fromfd": _from_number(real)} if hasattr(real, "fromfd") else {}
            yield real, _class(real, _refuses_to_poll(name), **more)
        elif real is not None:
            yield real, refusing(real, f"select.{name}() is not simulated; {_SELECTORS}")


def _refuses_to_poll(name: str) -> Callable[..., NoReturn]:
    def check(world: World, *_: object, **__: object) -> NoReturn:
        world.refuse(f"select.{name}() is not simulated; {_SELECTORS}")

    return check


def _from_number(real: Any) -> Callable[[int], Any]:
    text = f"select.{real.__name__}.fromfd() is not simulated; {_SELECTORS}"
    return staticmethod(refusing(real.fromfd, text))


# -- real sockets ----------------------------------------------------------------------------------

_ON_ITS_WAY: Final = ("bind", "connect", "connect_ex", "sendto", "sendmsg_afalg", "accept", "_accept", "share")
_THROUGH: Final = (
    "recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "send", "sendall", "sendfile",
    "sendmsg",
)  # fmt: skip
"""What a socket that is connected may do if its other end is in this process, too: one of a pair."""


def _is_pair(sock: Any) -> bool:
    """Whether it is an end of a `socketpair()`: connected, and neither end has a name."""
    try:
        near, far = _Raw.getsockname(sock), _Raw.getpeername(sock)
    except OSError:
        return False
    if sock.family == AF_UNIX:
        return not near and not far
    local = LOOPBACK.values()  # where the system has no pairs, `socket` makes them of these
    return sys.platform == "win32" and near[0] in local and far[0] in local


_Raw: Final = _socket.socket


def _guard(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    through = name in _THROUGH

    def guard(self: Any, *args: Any, **kwargs: Any) -> Any:
        world = current()
        if world is not None and not (through and _is_pair(self)) and not isinstance(self, LoopbackSocket):
            refuse_real(world, name, self)
        return real(self, *args, **kwargs)

    guard.__name__ = guard.__qualname__ = name
    guard.__doc__ = real.__doc__
    return guard


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
    yield _Raw, _class(_Raw, _refuses_raw, guarded=guarded, **guards)
    yield from ((vars(_Raw)[name], guard) for name, guard in guards.items())


def guards() -> list[tuple[Any, str, object]]:  # Any: classes of sockets
    """The methods of real sockets that are guarded: the class, the name, the guard."""
    wanted: list[tuple[Any, str, object]] = [(real_socket, name, guard) for name, guard in _GUARDS.items()]
    for kind in _Raw.__subclasses__():  # a class that a program has derived from it, or from another `socket`
        if kind is not real_socket and kind not in _GUARDED and not issubclass(kind, Shell):
            wanted += guards_of(kind)
    return wanted


def guards_of(kind: Any) -> list[tuple[Any, str, object]]:  # Any: as above
    """The same for another class of sockets."""
    names = (*_GUARDS, "listen")
    return [(kind, name, _guard(name, getattr(kind, name))) for name in names if hasattr(kind, name)]


# -- modules that may come later -------------------------------------------------------------------

_TLS: Final = (
    "TLS over a scenario's socket is not simulated: leave wrap_socket() out, and test the plain protocol;"
    " or let both sides use ssl.MemoryBIO"
)
_OTHER_LOOPS: Final = (
    "{} is not simulated: it goes past Python's sockets and selectors. Let the test run the program on asyncio's own"
    " loop, or without it"
)


def _wraps_ours(self: object, sock: object, *_: object, **__: object) -> bool:
    return not isinstance(sock, (SimSocket, LoopbackSocket))


def _method(owner: Any, name: str, text: str, harmless: Callable[..., bool] | None = None) -> tuple[Any, str, object]:
    return owner, name, refusing(getattr(owner, name), text, harmless)


def _of_ssl(ssl: Any) -> list[tuple[Any, str, object]]:
    return [_method(ssl.SSLContext, "wrap_socket", _TLS, _wraps_ours)]


def _of_asyncio(events: Any) -> list[tuple[Any, str, object]]:
    text = (
        "processes are not simulated, and asyncio would wait for this one in virtual time: replace in the test what"
        " starts it (the module subprocess may be used, in real time)"
    )
    return [_method(events.BaseEventLoop, name, text) for name in ("subprocess_exec", "subprocess_shell")]


def _of_pools(name: str, *methods: str) -> Callable[[Any], list[tuple[Any, str, object]]]:
    def wanted(module: Any) -> list[tuple[Any, str, object]]:
        kind = getattr(module, name)
        return [(kind, method, thread_stand_in(getattr(kind, method))) for method in methods if hasattr(kind, method)]

    return wanted


def _of_connections(module: Any) -> list[tuple[Any, str, object]]:
    real = module._ConnectionBase.__init__

    def init(self: Any, handle: Any, *args: Any, **kwargs: Any) -> None:
        world = current()
        if world is not None and isinstance(handle, int) and (is_simulated(handle) or world.owns(handle)):
            world.refuse("multiprocessing's connections over a scenario's socket are not simulated; use sockets")
        real(self, handle, *args, **kwargs)

    return [(module._ConnectionBase, "__init__", _named(init, real))]


def _of_sched(module: Any) -> list[tuple[Any, str, object]]:
    """Its defaults are the real clock and the real sleep, from when it was imported."""
    real, time = module.scheduler.__init__, import_module("time")

    def init(self: Any, timefunc: Any = None, delayfunc: Any = None) -> None:
        monotonic = time.monotonic  # by now, what stands in for it
        real(self, monotonic if timefunc is None else timefunc, time.sleep if delayfunc is None else delayfunc)

    return [(module.scheduler, "__init__", _named(init, real))]


def _of_sockets(module: Any) -> list[tuple[Any, str, object]]:
    return [] if module.socket is real_socket or isinstance(module.socket, StandIn) else guards_of(module.socket)


def _of_uvloop(module: Any) -> list[tuple[Any, str, object]]:
    text = _OTHER_LOOPS.format("uvloop")
    return [_method(module.Loop, name, text) for name in ("run_forever", "run_until_complete")]


def _of_gevent(name: str, *methods: str) -> Callable[[Any], list[tuple[Any, str, object]]]:
    def wanted(module: Any) -> list[tuple[Any, str, object]]:
        owner = getattr(module, name) if name else module
        return [_method(owner, method, _OTHER_LOOPS.format("gevent")) for method in methods]

    return wanted


LATE: Final[dict[str, Callable[[Any], list[tuple[Any, str, object]]]]] = {
    "asyncio.base_events": _of_asyncio,
    "concurrent.futures.process": _of_pools("ProcessPoolExecutor", "submit"),
    "concurrent.futures.thread": _of_pools("ThreadPoolExecutor", "submit"),
    "gevent._socket3": _of_gevent("socket", "__init__"),
    "gevent.hub": _of_gevent("Hub", "__init__", "switch", "wait"),
    "gevent.monkey": _of_gevent("", "patch_all"),
    "multiprocessing.connection": _of_connections,
    "multiprocessing.pool": _of_pools("Pool", "_check_running"),
    "multiprocessing.process": _of_pools("BaseProcess", "start"),
    "sched": _of_sched,
    "socket": _of_sockets,
    "ssl": _of_ssl,
    "uvloop": _of_uvloop,
}
"""Modules with classes in which methods are replaced: their owners, names and stand-ins."""


def pairs() -> list[Pair]:
    """What is replaced wherever a module has it."""
    fixed: list[Pair] = [(_real_select, select), (_RealQueue, SimpleQueue)]
    return [*fixed, *_numbers(), *_of_files(), *_refused(), *_threads(), *_polls(), *_raw_sockets()]


def in_classes() -> list[tuple[Any, str, object]]:  # Any: classes of the standard library
    """Methods that are replaced in their class, of what is there from the start."""
    start = thread_stand_in(threading.Thread.start)
    return [(threading.Thread, "start", start), (threading.Thread, "join", _join), *guards()]


def in_late(name: str) -> list[tuple[Any, str, object]]:
    """The same for one of `LATE`, if it has been imported."""
    module = sys.modules.get(name)
    try:
        return [] if module is None else LATE[name](module)
    except AttributeError:  # it is just being imported, or of a version that has nothing of the kind
        return []

"""What takes a descriptor by its number: files, `os`, `fcntl`, `termios`, connections of `multiprocessing`.

Owns what they do with a number of the scenario's: refuse it aloud, or answer as the kernel would. Real numbers
are none of its business.
"""

from __future__ import annotations

import _io
import os
import stat
from errno import EBADF
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .._current import current
from .._simulated.files import send_file
from .._simulated.selectors import is_simulated
from .._system import FIRST_NUMBER, number_of
from .doors import class_door, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._world.world import World
    from .doors import Late, Method, Pair

try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows)
    fcntl = None  # type: ignore[assignment]  # there, nobody asks for it

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

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
    "fcntl": dict.fromkeys(("ioctl", "flock", "lockf"), _FIRST),
    "termios": dict.fromkeys(
        ("tcdrain", "tcflow", "tcflush", "tcgetattr", "tcgetwinsize", "tcsendbreak", "tcsetattr", "tcsetwinsize"),
        _FIRST,
    ),
}
"""Functions that take descriptors, by module: the parameters that are one, which come first."""


def _stat_of(world: World, number: int, *_: object, **__: object) -> os.stat_result:
    """What the kernel says of a socket, which is no file (man 2 fstat)."""
    ids = (os.getuid(), os.getgid()) if os.name == "posix" else (0, 0)
    return os.stat_result((stat.S_IFSOCK | 0o777, number, 8, 1, *ids, 0, 0, 0, 0))


def _is_no_terminal(world: World, number: int) -> bool:
    return False


def _inheritable(world: World, number: int) -> bool:
    return world.network.descriptors[number].inheritable


def _set_inheritable(world: World, number: int, flag: object) -> None:
    world.network.descriptors[number].inheritable = bool(flag)


def _changes_mode(world: World, number: int, mode: object) -> None:
    """Of a socket: kept by the kernel, and of no effect."""


_ANSWERS: Final[dict[str, Callable[..., Any]]] = {
    "fstat": _stat_of,
    "stat": _stat_of,
    "fchmod": _changes_mode,
    "isatty": _is_no_terminal,
    "get_inheritable": _inheritable,
    "set_inheritable": _set_inheritable,
    "sendfile": send_file,
}
"""What is simulated of a simulated number; of a real one, the kernel answers, but where that may wait."""


def _number_stand_in(
    module: str, name: str, real: Callable[..., Any], parameters: tuple[str, ...]
) -> Callable[..., Any]:
    answer = _ANSWERS.get(name)
    closes = name == "close"
    # Where the number is a real one.
    by_kernel = (answer is not None and name != "sendfile") or (module, name) == ("_socket", "dup")
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
            ours, owned = is_simulated(number), number >= 0 and world.stack.owns(number)
            if not (ours or owned) or (by_kernel and not ours):
                continue
            if closes and owned:
                return world.stack.close_number(number)
            if position or (answer is None and not closes):
                world.refuse(text)
            if answer is not None and owned:
                return answer(world, number, *args[1:], **{key: kwargs[key] for key in kwargs if key != parameter})
        return real(*args, **kwargs)

    return named(stand_in, real)


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
        if isinstance(thing, int) and world.stack.owns(thing):
            world.refuse(f"{what}() on a scenario's socket is not simulated; use the socket's own methods")

    return check


def _of_files() -> Iterable[Pair]:
    yield _io.FileIO, class_door(_io.FileIO, _no_simulated_number("io.FileIO"))
    try:
        from mmap import mmap
    except ImportError:  # pragma: no cover  (of another system)
        return
    yield mmap, class_door(mmap, _no_simulated_number("mmap.mmap"))


def _fcntl_stand_in(real: Callable[..., Any], get_fd: int, set_fd: int, get_fl: int, set_fl: int) -> Callable[..., Any]:
    def fcntl(fd: Any, cmd: int, arg: Any = 0, /) -> Any:
        world = current()
        number = fd if isinstance(fd, int) else fd.fileno()
        if world is None or not (number >= FIRST_NUMBER or world.stack.owns(number)):
            return real(fd, cmd, arg)
        if not world.stack.owns(number):
            raise OSError(EBADF, os.strerror(EBADF))
        if cmd in (get_fd, set_fd):
            return int(cmd == get_fd)  # FD_CLOEXEC, as Python sets it; there is no exec to see it
        if cmd in (get_fl, set_fl):
            world.refuse("fcntl(F_GETFL or F_SETFL) is not simulated; use setblocking()")
        world.refuse(f"fcntl({cmd}) on a scenario's socket is not simulated")

    return fcntl


def _of_connections(module: Any) -> list[Method]:
    real = module._ConnectionBase.__init__

    def init(self: Any, handle: Any, *args: Any, **kwargs: Any) -> None:
        world = current()
        if world is not None and isinstance(handle, int) and (is_simulated(handle) or world.stack.owns(handle)):
            world.refuse("multiprocessing's connections over a scenario's socket are not simulated; use sockets")
        real(self, handle, *args, **kwargs)

    return [(module._ConnectionBase, "__init__", named(init, real))]


def pairs() -> list[Pair]:
    """What is replaced wherever a module has it."""
    found: list[Pair] = [*_numbers(), *_of_files()]
    if fcntl is not None:
        commands = (fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL)
        found.append((fcntl.fcntl, _fcntl_stand_in(fcntl.fcntl, *commands)))
    return found


LATE: Final[Late] = {"multiprocessing.connection": _of_connections}

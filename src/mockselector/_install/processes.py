"""What acts on processes and on the machine: their start and end, signals, alarms, the machine's clock and name.

Owns which of these calls are refused in a scenario, why, and with which arguments they are harmless; and that handlers
of signals are the scenario's, and a signal that a program sends itself comes to it alone.
"""

from __future__ import annotations

import os
import signal
import sys
from _thread import get_ident, interrupt_main
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .._current import current
from .doors import for_a_tool, named, refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._world.world import World
    from .doors import Pair

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

NOT_SIMULATED: Final = "{}() is not simulated: {}. Replace what calls it in the test"
_REAL_TIME: Final = "it waits in real time, for what no script does"
_ENDS: Final = "it would end, or replace, the process in which the test runs"
_STARTS: Final = "it starts a real process (the module subprocess may be used, in real time)"
_ANOTHER: Final = "it acts on another process"
_REAL_ALARM: Final = "its signal would come in real time; net.interrupts() raises KeyboardInterrupt in virtual time"

PROCESSES: Final = (
    "processes are not simulated: a scenario runs in one. Use the class without ForkingMixIn (with ThreadingMixIn, if"
    " need be), or tell the framework to do with threads. A process or a pool of the program's own: leave it out of"
    " this test, by a switch or a patch, and test what it does by itself; or, where the server only hands work to it,"
    " patch it with what does the work at once: an executor whose submit() calls the function and returns a Future"
    " that is done"
)
"""What is said of a fork, or of a worker."""

_REFUSED: Final[dict[str, dict[str, str]]] = {
    "os": {
        **dict.fromkeys(("_exit", "abort", "execv", "execve"), _ENDS),
        **dict.fromkeys(("posix_spawn", "posix_spawnp", "startfile", "system"), _STARTS),
        "kill": _ANOTHER,
        "killpg": _ANOTHER,
        **dict.fromkeys(("wait", "wait3", "wait4", "waitid", "waitpid"), _REAL_TIME),
        "closerange": "it would close descriptors of the test",
        "timerfd_create": "its timer would run in real time",
    },
    "_signal": {
        **dict.fromkeys(("pause", "sigwait", "sigwaitinfo", "sigtimedwait"), _REAL_TIME),
        **dict.fromkeys(("alarm", "setitimer"), _REAL_ALARM),
        "pidfd_send_signal": _ANOTHER,
        "pthread_kill": "it acts on another thread",
    },
    "_socket": {"sethostname": "it renames the machine"},
    "time": dict.fromkeys(("clock_settime", "clock_settime_ns"), "it sets the machine's clock"),
}
"""What is refused, by module, and why."""

_NOHANG: Final = int(getattr(os, "WNOHANG", 0))


def _does_not_wait(*args: int) -> bool:
    return bool(args and args[-1] & _NOHANG)


_HARMLESS: Final[dict[str, Callable[..., bool]]] = {
    "wait3": _does_not_wait,
    "wait4": _does_not_wait,
    "waitid": _does_not_wait,
    "waitpid": _does_not_wait,
}


_here: Final = {"kill": os.getpid, "pthread_kill": get_ident}
"""To whom a program sends a signal that is for itself."""


def _sends(real: Callable[..., Any], text: str) -> Callable[..., Any]:
    """What sends a signal: to the program itself, it comes in the scenario."""
    here = _here.get(real.__name__)

    def stand_in(*args: Any) -> Any:
        world = current()
        if world is None or for_a_tool(sys._getframe(1)) or not all(isinstance(one, int) for one in args):
            return real(*args)
        *to, number = args or (0,)
        if len(args) != (1 if here is None else 2) or not number:
            return real(*args)  # to be refused; or it only asks whether there is somebody
        if here is not None and to != [here()] and not _is_main(world, to, here):
            world.refuse(text)
        world.signal(number)
        return None

    return named(stand_in, real)


def _is_main(world: World, to: list[int], here: Callable[[], int]) -> bool:
    """Whether it is the first thread, in which handlers are called, that another one sends a signal."""
    return here is get_ident and world.crew is not None and to == [world.crew.main.ident]


def _check_main(world: World, function: str) -> None:
    if world.crew is not None and get_ident() != world.crew.main.ident:
        raise ValueError(f"{function} only works in main thread of the main interpreter")


def _interrupts_main(signum: signal.Signals = signal.SIGINT, /) -> None:
    """As `_thread.interrupt_main`."""
    world = current()
    if world is None or for_a_tool(sys._getframe(1)):
        interrupt_main(signum)
    else:
        world.signal(signum)


def _installs(world: World, signalnum: Any, handler: Any) -> Any:
    _check_main(world, "signal")
    return world.stopping.signals.install(signalnum, handler)


def _handler(world: World, signalnum: Any) -> Any:
    return world.stopping.signals.handler(signalnum)


def _restarts(world: World, signalnum: Any, flag: object) -> None:
    """Of `siginterrupt()`: since Python 3.5, a call that was interrupted goes on in any case."""
    world.stopping.signals.handler(signalnum)


def _masks(world: World, how: Any, mask: Any, /) -> set[int]:
    return world.stopping.signals.mask(how, mask, sys._getframe(2))


def _pending(world: World) -> set[int]:
    return world.stopping.signals.pending()


def _wakes(world: World, number: int, *, warn_on_full_buffer: bool = True) -> int:
    _check_main(world, "set_wakeup_fd")
    if world.stack.owns(number):
        world.refuse("signal.set_wakeup_fd() is not simulated on a scenario's socket; give it one of a socketpair()")
    return world.stopping.signals.wakes(number)


def _of_signals() -> Iterable[Pair]:
    """The handlers that a program installs: they are called for what is sent in the scenario, and are gone with it."""

    def handled(ask: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            world = current()
            if world is None or for_a_tool(sys._getframe(1)):
                return real(*args, **kwargs)
            return ask(world, *args, **kwargs)

        return named(stand_in, real)

    table: dict[str, Callable[..., Any]] = {
        "signal": _installs, "getsignal": _handler, "set_wakeup_fd": _wakes, "siginterrupt": _restarts,
        "pthread_sigmask": _masks, "sigpending": _pending,
    }  # fmt: skip
    for name, ask in table.items():
        for real in {getattr(space, name) for space in (signal, import_module("_signal")) if hasattr(space, name)}:
            yield real, handled(ask, real)


def _alarm_stand_in(real: Callable[..., Any], text: str, nothing: object) -> Callable[..., Any]:
    """Setting no alarm is what a program does to be sure: it leaves those alone that the tools around it have set."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        world = current()
        if world is None or for_a_tool(sys._getframe(1)):
            return real(*args, **kwargs)
        if any((*args[real.__name__ == "setitimer" :], *kwargs.values())):
            world.refuse(text)
        return nothing

    return named(stand_in, real)


def process_stand_in(real: Callable[..., Any]) -> Callable[..., Any]:
    """What starts a process, or a worker: refused in a scenario, to whoever calls it."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        world = current()
        if world is not None:
            world.refuse(PROCESSES)
        return real(*args, **kwargs)

    return named(stand_in, real)


def pairs() -> Iterable[Pair]:
    """What is replaced wherever a module has it."""
    for module, functions in _REFUSED.items():
        space = vars(import_module(module))
        for name, why in functions.items():
            text = NOT_SIMULATED.format(f"{module.lstrip('_')}.{name}", why)
            for real in {id(one): one for one in (space.get(name), getattr(signal, name, None)) if one}.values():
                if name in ("alarm", "setitimer"):
                    yield real, _alarm_stand_in(real, text, 0 if name == "alarm" else (0.0, 0.0))
                elif name in _here:
                    yield real, _sends(real, text)
                else:
                    yield real, refusing(real, text, _HARMLESS.get(name))
    yield signal.raise_signal, _sends(signal.raise_signal, "")
    yield interrupt_main, _interrupts_main
    yield from _of_signals()

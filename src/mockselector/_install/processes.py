"""What acts on processes and on the machine: their start and end, signals, alarms, the machine's clock and name.

Owns which of these calls are refused in a scenario, why, and with which arguments they are harmless.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .._current import current
from .doors import for_a_tool, named, refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .doors import Pair

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

NOT_SIMULATED: Final = "{}() is not simulated: {}. Replace what calls it in the test"
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
                else:
                    yield real, refusing(real, text, _HARMLESS.get(name))

"""What tells the time, and what sleeps.

Owns that both are the scenario's: what a clock says in it, and what `sleep()` and `sched` wait for. And that who
travels by time-machine is at the date to which he has travelled.
"""

from __future__ import annotations

import sys
import time as _time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, SupportsIndex

from .._current import current
from .._judge.holding_up import judge_held_up
from .._play.clock import SECOND, Clock, number_of_seconds
from .doors import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._world.world import World
    from .doors import Late, Method, Pair

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


_travels: list[object] = []  # those of time-machine that are under way: it changes what the real functions say


def date_world() -> World | None:
    """The world that says which date it is; None: the real functions do, or who has travelled."""
    return None if _travels else current()


def _of_time_machine(module: Any) -> list[Method]:
    global _travels
    _travels = module.traveller_stack
    return []


def _time_stand_in(
    name: str, ask: Callable[[Clock], float], under: Callable[[], World | None] = current
) -> Callable[[], float]:
    real: Callable[[], float] = getattr(_time, name)

    def stand_in() -> float:
        world = under()
        return real() if world is None else ask(world.clock)

    return named(stand_in, real)


_CLOCKS: Final = ("clock_gettime", "clock_gettime_ns")
_REAL_CLOCKS: Final = tuple(
    getattr(_time, f"CLOCK_{name}", None) for name in ("PROCESS_CPUTIME_ID", "THREAD_CPUTIME_ID")
)
_DATES: Final = tuple(getattr(_time, f"CLOCK_{name}", None) for name in ("REALTIME", "TAI"))


def _clock_stand_in(name: str) -> Callable[[int], float]:
    real: Callable[[int], float] = getattr(_time, name)

    def stand_in(clock: int, /) -> float:
        world = date_world() if clock in _DATES else current()
        if world is None or clock in _REAL_CLOCKS or not isinstance(clock, int):  # pyright: ignore[reportUnnecessaryIsInstance]  # to be refused
            return real(clock)
        now = world.clock.time_ns() if clock in _DATES else world.clock.monotonic_ns()
        return now if name.endswith("_ns") else now / SECOND

    return named(stand_in, real)


_real_sleep: Final = _time.sleep
_LONGEST: Final = 2**63 / SECOND
"""More seconds are refused."""


def sleep(seconds: float | SupportsIndex, /) -> None:
    """As `time.sleep`; in a scenario, of virtual time."""
    world = current()
    if world is None or sys._getframe(1).f_globals.get("__name__") == "subprocess":  # that waits for a real process
        _real_sleep(seconds)
    else:  # what is neither is refused by the real one, too, and in the same words
        seconds = number_of_seconds(seconds)
        if not -_LONGEST <= seconds <= _LONGEST:
            _real_sleep(seconds)  # which says what is wrong with that
        sleep_in(world, seconds)


def sleep_in(world: World, seconds: float) -> None:
    """Sleep in a scenario."""
    since = world.clock.now
    world.sleep(seconds)
    if world.monitor.pedantic:
        judge_held_up(world.monitor, since, "sleep", "time")


def _of_sched(module: Any) -> list[Method]:
    """Its defaults are the real clock and the real sleep, from when it was imported."""
    real, time = module.scheduler.__init__, import_module("time")

    def init(self: Any, timefunc: Any = None, delayfunc: Any = None) -> None:
        monotonic = time.monotonic  # by now, what stands in for it
        real(self, monotonic if timefunc is None else timefunc, time.sleep if delayfunc is None else delayfunc)

    return [(module.scheduler, "__init__", named(init, real))]


def pairs() -> list[Pair]:
    """What is replaced wherever a module has it."""
    found: list[Pair] = []
    for name in ("monotonic", "perf_counter"):
        found.append((getattr(_time, name), _time_stand_in(name, Clock.monotonic)))
        name_ns = f"{name}_ns"
        found.append((getattr(_time, name_ns), _time_stand_in(name_ns, Clock.monotonic_ns)))
    found.append((_time.time, _time_stand_in("time", Clock.time, date_world)))
    found.append((_time.time_ns, _time_stand_in("time_ns", Clock.time_ns, date_world)))
    found.append((_time.sleep, named(sleep, _time.sleep)))
    return found + [(getattr(_time, name), _clock_stand_in(name)) for name in _CLOCKS if hasattr(_time, name)]


LATE: Final[Late] = {"sched": _of_sched, "time_machine": _of_time_machine}

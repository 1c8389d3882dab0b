"""All that takes the place of something real while a scenario is under a server, put together.

Owns which rooms there are: each says what it replaces wherever a module has it (`pairs`), in the classes
that are there from the start (`in_classes`), and in those of modules that may come later (`LATE`). Each
stand-in asks which world is current in its thread, and without one does what it stands in for, so that
code which has kept one is none the worse for it. In which modules, and that all is put back, is
`installing`'s business.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from . import clocks, dates, descriptors, guards, locks, loops, names, polling, pools, processes, threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from .doors import Late, Method

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_PAIRS: Final = [
    *guards.pairs(), *polling.pairs(), *clocks.pairs(), *dates.pairs(), *names.pairs(), *threads.pairs(),
    *locks.pairs(), *descriptors.pairs(), *processes.pairs(),
]  # fmt: skip

REPLACEMENTS: Final = {id(real): (real, ours) for real, ours in _PAIRS}
"""What is replaced wherever a module has it: by the identity of the real thing, that and its stand-in."""

_ROOMS: Final[Late] = {
    **clocks.LATE, **dates.LATE, **descriptors.LATE, **guards.LATE, **loops.LATE, **pools.LATE, **threads.LATE,
}  # fmt: skip
REALS: Final = {id(ours): real for real, ours in REPLACEMENTS.values()}
"""What a stand-in takes the place of, by its identity."""


def _make_real(space: dict[str, object]) -> None:
    space.update({key: REALS[id(value)] for key, value in space.items() if id(value) in REALS})


def _of_one_left_alone(name: str) -> Callable[[Any], list[Method]]:  # Any: a module
    """Of a module that works with the real system: what it has by name, if it came in a run, is real again."""
    more = _ROOMS.get(name)

    def methods(module: Any) -> list[Method]:
        _make_real(module.__dict__)
        return [] if more is None else more(module)

    return methods


LATE: Final[Late] = {
    **_ROOMS, **{name: _of_one_left_alone(name) for name in ("subprocess", "multiprocessing.connection")},
}  # fmt: skip
"""Modules with classes in which methods are replaced, once they are there."""


def stand_in(thing: Any) -> Any:  # Any: whatever was given, and that or its like
    """What is in the place of a thing while a scenario runs: for one that was looked up before."""
    real, ours = REPLACEMENTS.get(id(thing), (thing, thing))
    return ours if real is thing else thing


def in_classes() -> list[Method]:
    """Methods that are replaced in their class, of what is there from the start."""
    return [*threads.in_classes(), *polling.in_classes(), *guards.in_classes()]


def in_late_classes(name: str) -> list[Method]:
    """The same for one of `LATE`, if it has been imported."""
    module = sys.modules.get(name)
    try:
        return [] if module is None else LATE[name](module)
    except AttributeError:  # it is just being imported, or of a version that has nothing of the kind
        return []

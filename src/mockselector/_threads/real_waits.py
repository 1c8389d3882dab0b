"""A thread that waits for something real while others wait for it: a lock from before the scenario.

Owns how that is seen and told. Locks that were made before a run and lie in no global of a module are real; where one
is held by a thread that waits in the scenario, whoever wants it would never come back. Called by the thread that looks
after runs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from .._ending.watchdog import own_place, stack_of
from .._judge.trace import shown_path
from .._text import several
from .strands import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType
    from typing import Protocol

    from .._judge.monitor import Monitor
    from .strands import Strand

    class Baton(Protocol):
        """What it takes of those threads."""

        @property
        def running(self) -> Strand: ...
        @property
        def alive(self) -> Mapping[int, Strand]: ...
        def take_away(self, me: Strand) -> None: ...

    class Run(Protocol):
        """What it takes of the world."""

        @property
        def monitor(self) -> Monitor: ...
        @property
        def threads(self) -> Baton | None: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_ASLEEP: Final = "S"
_FUTEX: Final = frozenset(("202", "98", "240", "221", "422"))
"""What a thread calls that waits for a lock, on the machines there are (man 2 futex)."""


def judge(course: Run, frame: FrameType, thread: int, *, blocks: bool) -> None:
    """The thread that has the baton has not moved for a while; `frame`: where it stands.

    blocks: it does not come back to Python either to be ended. All others are ended then, which may let it.
    """
    threads = course.threads
    if threads is None or threads.running.ident != thread:
        return
    me = threads.running
    others = [_standing(one) for one in threads.alive.values() if one is not me and one.wait]
    if not others or not (blocks or _waits_for_a_lock(me.native)):
        return
    what = (
        f"in a call that is none of the scenario's, while others wait in it: {several(others)}. Replace what calls it"
        " in the test"
        if blocks
        else "for a lock that was made before the scenario began, and is held by a thread that waits in it:"
        f" {several(others)}. Make that lock in the function that is run, or in a global of its module"
    )
    course.monitor.fails(NotImplementedError(f"{name_of(me)} waits in real time, {_at(frame)}, {what}"))
    threads.take_away(me)


def left_behind(course: Run, strand: Strand) -> None:
    """The program is out, and one of its threads does not end, whatever was tried: nobody waits for it any more."""
    text = f"{_standing(strand)} waits in a call that is none of the scenario's, and is left behind"
    course.monitor.fails(NotImplementedError(f"{text}. Replace what calls it in the test"))


def _standing(strand: Strand) -> str:
    frame = sys._current_frames().get(strand.ident)
    return name_of(strand) if frame is None else f"{name_of(strand)} {_at(frame)}"


def _at(frame: FrameType) -> str:
    where = own_place(stack_of(frame, None))
    return "" if where is None else f"at {shown_path(where.file)}:{where.line} in {where.function}()"


def _waits_for_a_lock(native: int) -> bool:
    """Whether a thread sleeps in the kernel until somebody lets go of something; as far as that is told."""
    try:
        with open(f"/proc/self/task/{native}/stat", encoding="ascii", errors="replace") as file:
            state = file.read().rpartition(")")[2].split()[0]
        with open(f"/proc/self/task/{native}/syscall", encoding="ascii", errors="replace") as file:
            return state == _ASLEEP and file.read().split()[0] in _FUTEX
    except (OSError, IndexError):
        return False

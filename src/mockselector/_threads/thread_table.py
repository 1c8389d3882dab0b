"""The threads of a scenario as a table: what each does, what it has, and where it stands.

Owns the rows and their words, for whoever asks and for findings. What a thread has, it knows by asking the collector
for all locks there are: a lock that is taken pays nothing for that.
"""

from __future__ import annotations

import concurrent
import os
import queue
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from .._ending.garbage import alive
from .._ending.watchdog import own_place, stack_of
from .._judge.trace import outwards, seconds_text, shown_path
from .._play.tables import Table
from .._play.turns import Turns
from .._text import several, shown
from .._whose import INSIDE
from .strands import Holder, Standing, Takeable, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import FrameType
    from typing import Protocol

    from .._judge.trace import Nanoseconds, Place
    from .strands import Strand
    from .switches import Switches

    class Crew(Protocol):
        """What it takes of those threads."""

        @property
        def main(self) -> Strand: ...
        @property
        def alive(self) -> Mapping[int, Strand]: ...
        @property
        def switches(self) -> Switches: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

WAIT: Final = (threading.__file__, queue.__file__, *[os.path.join(path, "futures") for path in concurrent.__path__])
"""Where what waits for other threads is written in Python."""

_RUN: Final = ("run", "_bootstrap", "_bootstrap_inner", "_worker")
"""What is there that runs a thread."""

SLEEP: Final = ("sleep", "time")
"""The call of who lets time pass."""

JOINS: Final = ("join", "threading")
"""The call of the first thread when the program has returned: it waits for the others."""

_PLAYS: Final = Turns.play.__code__

NAMELESS: Final = "a lock"
ENDED: Final = "ended"


class ThreadRow(NamedTuple):
    """One thread of the program."""

    name: str
    daemon: bool
    state: str
    """Whether it runs, or what it waits in, who has that, and for how long; when it has ended, and in what, if it was
    the end of the run that ended it."""
    holds: str
    """The locks that it has, by the names that its own code has for them; "a lock", where it has none."""
    where: str
    """The line of the program at which it stands, or was ended."""


class ThreadTable(Table[ThreadRow]):
    """All threads that the program has had; `print()` shows them as a table."""

    __slots__ = ()

    _heads = ThreadRow._fields
    _what = "threads"

    @property
    def alive(self) -> str:
        """What an error shows of those that have not ended."""
        return ThreadTable([row for row in self if f"{ENDED} at " not in row.state]).about("")


def standing(
    strands: Mapping[int, Strand], now: Nanoseconds, acting: tuple[str, str] | None = None, *, all_wait: bool = False
) -> dict[int, Standing]:
    """What is said of each, by their numbers in the system.

    acting: in what the first one waits while a step acts. all_wait: that is known of the only one as well.
    """
    names = {strand.holder: name_of(strand) for strand in strands.values()}
    frames = sys._current_frames()
    found: dict[int, Standing] = {}
    for ident, strand in strands.items():
        frame = _below_steps(frames.get(ident)) if acting is not None else frames.get(ident)
        state = _state(strand, frame, names, now) if strand.wait or all_wait else _idle(strand)
        if acting is not None and not strand.serial and not strand.wait:
            state = f"waits in {call_text(acting)}"
        found[ident] = Standing(names[strand.holder], state, own_place(stack_of(frame, None)))
    return found


def thread_table(
    crew: Crew, now: Nanoseconds, acting: tuple[str, str] | None = None, *, is_out: bool = False
) -> ThreadTable:
    """All threads. acting: as above. is_out: the first one has come back from the program."""
    held = _held()
    rows: dict[int, ThreadRow] = {}
    for ident, one in standing(crew.alive, now, acting).items():
        strand = crew.alive[ident]
        state, where = (one.state, _at(one.where)) if strand.serial or not is_out else (ENDED, "")
        rows[strand.serial] = ThreadRow(
            shown(one.name), strand.daemon, state, _names_of(held.get(strand.holder, ()), strand), where
        )
    for serial, gone in crew.switches.gone.items():
        state = (f"{gone.last.state}; " if gone.last else "") + f"{ENDED} at {seconds_text(gone.when)}"
        rows[serial] = ThreadRow(shown(gone.name), gone.daemon, state, "", _at(gone.last and gone.last.where))
    return ThreadTable([rows[serial] for serial in sorted(rows)])


def note_last(strands: Mapping[int, Strand], me: Strand | None, now: Nanoseconds) -> None:
    """The run is over for all of them but `me`: keep where each waits."""
    wait = [ident for ident, one in strands.items() if one is not me and one.wait and one.last is None]
    told = standing(strands, now) if wait else {}
    for ident in wait:
        strands[ident].last = told[ident]


def call_text(call: tuple[str, str]) -> str:
    """A call that waits, as sentences name it."""
    operation, name = call
    return "sleep()" if call == SLEEP else f"{operation}() on {name}"


def _idle(strand: Strand) -> str:
    return "runs" if strand.begun else "is about to begin"


def of_the_program(frame: FrameType | None) -> list[FrameType]:
    """A frame and those that have called it, but for those in which threads wait for each other."""
    files = ((one, one.f_code.co_filename) for one in outwards(frame))
    return [one for one, file in files if file not in INSIDE and not file.startswith(WAIT)]


def waiting_line() -> FrameType:
    """The frame that has called what this thread waits in."""
    frame = sys._getframe(1)
    return next(iter(of_the_program(frame)), frame)


def _state(strand: Strand, frame: FrameType | None, names: Mapping[Holder, str], now: Nanoseconds) -> str:
    if not strand.begun:
        return _idle(strand)
    since = f", for {seconds_text(now - strand.since)}"
    waiter = strand.waiter
    if waiter is None and strand.done is None:
        slept = strand.call == SLEEP and strand.deadline is not None
        return f"sleeps until {seconds_text(strand.deadline or 0)}" if slept else "is about to go on"
    within = _within(frame)
    if within:
        takes = within.endswith(("__enter__()", "acquire()"))
        holder = waiter.lock.holder() if takes and waiter is not None else None
        taken = "" if holder is None or holder is strand.holder else f", a lock{_who_has_it(holder, names)}"
        return f"waits in {within}{taken}{since}"
    if waiter is None:
        ends = strand.call == JOINS
        return f"waits in {'the interpreter for the end of all threads' if ends else call_text(strand.call)}{since}"
    holder = waiter.lock.holder()
    has = "" if holder is None else " that it has itself" if holder is strand.holder else _who_has_it(holder, names)
    return f"waits in {waiter.lock.what}{has}{since}"


def _who_has_it(holder: Holder, names: Mapping[Holder, str]) -> str:
    if holder in names:
        return f" that {names[holder]} has"
    return (
        f" that {holder.name} still has, which has ended"
        if holder.name
        else " that a thread has which is none of the program's"
    )


def _within(frame: FrameType | None) -> str:
    """The call of `threading`, `queue` or `concurrent.futures` in which a thread waits; "": it takes a lock itself."""
    found = ""
    for one in outwards(frame):
        file = one.f_code.co_filename
        if file.startswith(WAIT) and one.f_code.co_name not in _RUN:
            found = _call(one)
        elif file not in INSIDE:
            break
    return found


def _call(frame: FrameType) -> str:
    owner: Any = frame.f_locals.get("self")  # Any: of whatever class
    name = frame.f_code.co_name
    if owner is None:
        return f"{name}()"
    of = f" of {owner.name}" if name == "join" and isinstance(owner, threading.Thread) else ""
    return f"{type(owner).__name__}.{name}(){of}"


def _below_steps(frame: FrameType | None) -> FrameType | None:
    """The frame in which a thread waits, if it is one that lets peers act meanwhile."""
    playing = [one for one in outwards(frame) if one.f_code is _PLAYS]
    return playing[-1] if playing else frame


def _at(where: Place | None) -> str:
    return "" if where is None else f"{shown_path(where.file)}:{where.line} in {shown(where.function)}"


# -- what a thread has ----------------------------------------------------------------------------


def _held() -> dict[Holder | None, list[Takeable]]:
    """The locks that are taken, by who has them; but for those that stand for something else."""
    held: dict[Holder | None, list[Takeable]] = {}
    for one in alive():
        if isinstance(one, Takeable) and one.guards:
            held.setdefault(one.holder(), []).append(one)
    return held


def _names_of(locks: Iterable[Takeable], strand: Strand) -> str:
    """What a thread calls the locks that it has; one that it waits for itself stands for something else."""
    waits_for = None if strand.waiter is None or not strand.wait else strand.waiter.lock
    frames = of_the_program(sys._current_frames().get(strand.ident))
    names = [name_of_lock(lock, frames) for lock in locks if lock is not waits_for]
    known = sorted({*names} - {NAMELESS})
    more = len(names) - len(known)
    return several(known + [NAMELESS if more == 1 else f"{more} locks"] * bool(more)) if names else ""


def name_of_lock(lock: Takeable, frames: Iterable[FrameType]) -> str:
    """What the code of some frames calls a lock; "a lock": it has no name there."""
    for frame in frames:
        mine = frame.f_locals
        owner = mine.get("self")
        places = (("", mine), ("self.", getattr(owner, "__dict__", {})), ("", frame.f_globals))
        for prefix, names in places:
            for name, thing in [*names.items()]:
                if _is_made_of(thing, lock):
                    return f"{prefix}{shown(name)}"
        for names in (mine, frame.f_globals):
            for name, thing in [*names.items()]:
                for inner, its in [*_inside(thing).items()]:
                    if _is_made_of(its, lock):
                        return f"{shown(name)}.{shown(inner)}"
    return NAMELESS


def _inside(thing: object) -> dict[str, object]:
    """The attributes of an object of the program's own, whatever that says of itself."""
    if isinstance(thing, (ModuleType, type)):
        return {}
    try:
        inside: object = object.__getattribute__(thing, "__dict__")
    except Exception:  # it has none
        return {}
    return cast("dict[str, object]", inside) if type(inside) is dict else {}


def _is_made_of(thing: object, lock: Takeable) -> bool:
    """Whether it is that lock, or an `RLock` or a condition over it."""
    for _ in range(3):
        if thing is lock:
            return True
        if not type(thing).__name__.endswith(("RLock", "Condition")):
            return False
        thing = getattr(thing, "_lock", None)
    return False

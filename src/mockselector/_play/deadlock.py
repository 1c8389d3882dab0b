"""Threads of which none will ever go on, as each waits for another, or for what nobody will do.

Owns `[deadlock]`: what is shown of each thread: what it waits in, who has what it wants, since when, and its own line.
When that is known is for whoever lets time pass to say.
"""

from __future__ import annotations

import concurrent
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from .._ending.watchdog import own_place, stack_of
from .._judge.errors import Finding, told_threads
from .._judge.trace import outwards, seconds_text
from .._whose import INSIDE
from .real_waits import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from .._judge.trace import Nanoseconds, Place
    from .strands import Strand

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_WAIT: Final = (threading.__file__, queue.__file__, *[os.path.join(path, "futures") for path in concurrent.__path__])
"""Where what waits for other threads is written in Python."""

_RUN: Final = ("run", "_bootstrap", "_bootstrap_inner", "_worker")
"""What is there that runs a thread."""

ALONE: Final = (
    "Let something that still runs end this wait: another thread, a timeout, or a step of the script (does()). A thread"
    " that was started before the scenario is none of it."
)
TOGETHER: Final = (
    "Take locks in one order everywhere; see that whatever is waited for is done in some thread on every way out of it;"
    " or give the wait a timeout."
)


def deadlock(strands: Mapping[int, Strand], now: Nanoseconds, program: str) -> Finding:
    """The finding about these threads, by their number in the system, of which none goes on."""
    names = {ident: name_of(strand) for ident, strand in strands.items()}
    frames = sys._current_frames()
    told = [_standing(strand, frames.get(ident), names, now) for ident, strand in strands.items()]
    alone = len(strands) == 1
    many = f"all {len(strands)} threads wait" if len(strands) > 2 else "both threads wait"
    what = (
        f"the {program} waits for what another thread would do, and there is none"
        if alone
        else f"{many}, and none is left that would let another go on"
    )
    fields = {"what": what, "advice": ALONE if alone else TOGETHER}
    return Finding("deadlock", None, fields, block=told_threads(told))


def waiting_line() -> FrameType:
    """The frame that has called what this thread waits in."""
    frame = found = sys._getframe(1)
    for one in outwards(frame):
        found = one
        if one.f_code.co_filename not in INSIDE and not one.f_code.co_filename.startswith(_WAIT):
            break
    return found


def _standing(
    strand: Strand, frame: FrameType | None, names: Mapping[int, str], now: Nanoseconds
) -> tuple[str, Place | None]:
    """What is said of one, and where it stands."""
    within = _within(frame)
    held = ""
    if not within and strand.waiter is None:
        within = "the interpreter for the end of all threads"
    elif not within and strand.waiter is not None:
        within, holder = strand.waiter.what, strand.waiter.holder()
        if holder:
            mine = holder == strand.ident
            held = " that it has itself" if mine else f" that {names.get(holder, 'a thread that has ended')} has"
    where = own_place(stack_of(frame, None))
    return f"{names[strand.ident]} waits in {within}{held}, for {seconds_text(now - strand.since)}", where


def _within(frame: FrameType | None) -> str:
    """The call of `threading`, `queue` or `concurrent.futures` in which a thread waits; "": it takes a lock itself."""
    found = ""
    for one in outwards(frame):
        file = one.f_code.co_filename
        if file.startswith(_WAIT) and one.f_code.co_name not in _RUN:
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

"""Threads of which none will ever go on, as each waits for another, or for what nobody will do.

Owns what `[deadlock]` says. What each thread waits in, who has what it wants, since when, and its own line, the table
of threads says; that there is one, `threads.py` sees, which lets time pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._judge.errors import Finding, told_threads
from .thread_table import JOINS, standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._judge.trace import Nanoseconds
    from .strands import Strand

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

ALONE: Final = (
    "Let something that still runs end this wait: another thread, a timeout, or a step of the script (does()). A thread"
    " that was started before the scenario is none of it."
)
TOGETHER: Final = (
    "Take locks in one order everywhere; see that whatever is waited for is done in some thread on every way out of it;"
    " or give the wait a timeout."
)
RETURNED: Final = (
    "What was run has returned, and its threads go on waiting: at the end of a run they are waited for, as the"
    " interpreter does it. Where an object that starts threads as it is made is to serve in a later net.run(), make it"
    " inside of `with net.installed():`."
)
IN_A_HANDLER: Final = (
    "The handler of {} runs in the first thread, in the middle of what that does, and what it waits for cannot go on"
    " meanwhile. Let another thread wait (threading.Thread(target=server.shutdown).start()), or only note that it is"
    " to stop."
)


def deadlock(strands: Mapping[int, Strand], now: Nanoseconds, program: str, handling: str) -> Finding:
    """The finding about these threads, by their number in the system, of which none goes on.

    handling: the signal whose handler waits in the first of them.
    """
    told = [(f"{one.name} {one.state}", one.where) for one in standing(strands, now, all_wait=True).values()]
    alone = len(strands) == 1
    many = f"all {len(strands)} threads wait" if len(strands) > 2 else "both threads wait"
    what = (
        f"the {program} waits for what another thread would do, and there is none"
        if alone
        else f"{many}, and none is left that would let another go on"
    )
    returned = any(one.call == JOINS for one in strands.values())
    usual = RETURNED if returned else ALONE if alone else TOGETHER
    advice = IN_A_HANDLER.format(handling) if handling else usual
    fields = {"what": what, "advice": advice}
    where = next((one for _, one in told if one is not None), None)
    return Finding("deadlock", None, fields, block=told_threads(told), at=where)

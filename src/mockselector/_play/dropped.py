"""Sockets that nothing refers to any more, and when the garbage is collected in which they may be.

Owns when a run collects garbage: at counted places and before a verdict, never in between, so that two equal runs have
equal traces; and the order in which sockets are closed that are found in it. What was dropped by then is no
connection that leaks.
"""

from __future__ import annotations

from _thread import get_ident
from typing import TYPE_CHECKING, Final

from .._ending.garbage import collect
from .._judge.trace import WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

    from .._judge.monitor import Monitor
    from .._judge.records import Record
    from .._kernel.descriptors import Descriptor

ROWS_TO_TIDY: Final = 50_000
"""After so many calls, garbage is collected (or eight for each peer and each open socket, if that is more)."""

SELECTORS_TO_TIDY: Final = 500
"""Likewise, after so many new selectors: each may be that of an event loop, which only the collector finds."""


class Dropped:
    """What is closed because nobody holds it, and when that is found."""

    __slots__ = ("collecting", "_found", "_give_back", "_monitor", "_things", "_tidied", "due", "is_out", "thread")

    def __init__(self, monitor: Monitor, things: tuple[Sized, ...], give_back: Callable[[Descriptor], None]) -> None:
        self._monitor: Final = monitor
        self._things: Final = things  # the more there are of these, the more rarely garbage is collected
        self._give_back: Final = give_back
        self.is_out = False
        """Whether the program, that was run, is not under way."""
        self.thread = 0
        """In which it runs."""
        self.due = ROWS_TO_TIDY * WIDTH
        """How long the trace must be to collect again."""
        self._tidied = 0  # how long it was when that was last done
        self.collecting = False
        """Whether garbage is being collected: what others have the collector call is not the program."""
        self._found: list[tuple[int, Record, Descriptor]] = []

    def begins(self) -> None:
        """A program is run, from now on and in this thread."""
        self.thread = get_ident()
        self.is_out = False
        self._tidied = 0

    def drops(self, record: Record, descriptor: Descriptor, serial: int) -> bool:
        """Nothing refers to a socket any more. False: it is closed now; else with all others that are found so.

        What the collector finds, it finds in an order of its own; and another thread's finds what is ours. What is
        dropped when the program is out is closed when it runs again, or with its process.
        """
        if not self.collecting and not self.is_out and get_ident() == self.thread:
            return False
        self._found.append((serial, record, descriptor))
        return True

    def tidy(self) -> None:
        """Collect garbage, and close the sockets that are found in it, in the order in which they were made."""
        self._tidied = len(self._monitor.rows)
        self.due = self._tidied + self._many()
        self.collect(whole=False)

    def tidy_if_due(self) -> None:
        """The same, unless so many have come to take part meanwhile that it is not time yet."""
        due = self._tidied + self._many()
        if len(self._monitor.rows) > due:
            self.tidy()
        else:
            self.due = due

    def _many(self) -> int:
        """How many entries of rows are to come before garbage is collected again."""
        return max(ROWS_TO_TIDY, 8 * sum(map(len, self._things))) * WIDTH

    def before_a_verdict(self, *, whole: bool = False, anew: bool = False) -> None:
        """The same; only if the server has done something since. anew: also if it has not."""
        rows = len(self._monitor.rows)
        if rows != self._tidied or anew:
            self._tidied = rows
            self.collect(whole=whole)

    def collect(self, *, whole: bool) -> None:
        """Collect now."""
        self.collecting = True
        try:
            collect(whole=whole)
        finally:
            self.collecting = False
        found, self._found = sorted(self._found, key=_first), []
        for _, record, descriptor in found:
            self._monitor.drops(record)
            self._give_back(descriptor)


def _first(one: tuple[int, Record, Descriptor]) -> int:
    return one[0]

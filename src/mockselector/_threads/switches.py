"""Which thread of a program has written which rows of the trace.

Owns that record: when the baton went to whom, and what each was called.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from .strands import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._judge.trace import Nanoseconds
    from .strands import Standing, Strand

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class Gone(NamedTuple):
    """What is known of a thread that has ended."""

    name: str
    daemon: bool
    when: Nanoseconds
    last: Standing | None
    """Where it waited, if the end of the run has ended it there."""


class Switches:
    """Who wrote, from which row on."""

    __slots__ = ("_alive", "_rows", "_serials", "gone")

    def __init__(self, alive: Mapping[int, Strand]) -> None:
        self._alive: Final = alive
        self.gone: Final[dict[int, Gone]] = {}
        """Threads that have ended, by their serial number."""
        self._rows: Final[list[int]] = []  # how many rows there were when the baton was given ...
        self._serials: Final[list[int]] = []  # ... and to whom

    def gets(self, rows: int, serial: int) -> None:
        """A thread gets the baton."""
        if self._rows and self._rows[-1] == rows:
            self._serials[-1] = serial
        else:
            self._rows.append(rows)
            self._serials.append(serial)

    def ends(self, strand: Strand, now: Nanoseconds) -> None:
        """It has ended."""
        strand.holder.name = strand.name or f"thread {strand.serial}"
        self.gone[strand.serial] = Gone(strand.holder.name, strand.daemon, now, strand.last)

    def serial(self, row: int) -> int:
        """The serial number of the thread that has written a row."""
        at = bisect_right(self._rows, row)
        return self._serials[at - 1] if at else 0

    def at(self, row: int) -> str:
        """What the thread is called that has written a row."""
        serial = self.serial(row)
        if serial not in self.gone:
            return next((name_of(strand) for strand in self._alive.values() if strand.serial == serial), "")
        return self.gone[serial].name

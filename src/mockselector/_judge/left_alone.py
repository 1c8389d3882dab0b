"""Connections that were accepted, and left by who went to sleep.

Owns which these are, and whether anybody has touched one since. To leave one is right where another thread is to have
it (it may lie in a queue, and wait for one that is at work), or the same one comes to it some turns later. So this
judges nothing by itself: that is done when its peer has waited in vain, or at the end, and only where no other thread
will come to it.
"""

from __future__ import annotations

import sys

from .errors import Finding
from .rules import QUIET
from .tail import in_thread
from .trace import WIDTH, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from types import CodeType, FrameType
    from typing import Final

    from .records import Door, Record

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

NOBODY: Final = "{} has accepted it, and gone to sleep; no thread has done anything with it since, and none will."
NOTHING: Final = "The server has accepted it, gone to sleep, and done nothing with it since."


class LeftAlone:
    """What was accepted and left."""

    __slots__ = ("_door", "_left")

    def __init__(self, door: Door) -> None:
        self._door: Final = door
        self._left: Final[dict[Record, tuple[int, int, CodeType, int, str]]] = {}
        """Since which entries: accepted, and left; by which line; and what was done instead."""

    def sleeps(self, records: Mapping[Record, int], frame: FrameType, instead: str = "") -> None:
        """Who has them goes to sleep, in that line, and leaves these, that have come since so many entries.

        instead: what was registered in between, in a sentence.
        """
        several = self._door.whose is not None  # then it may have been handed to another thread
        touched = self._touched(records.keys(), min(records.values())) if several else ()
        rows = len(self._door.rows)
        for record, since in records.items():
            if record.name not in touched:
                self._left[record] = (since, rows, frame.f_code, frame.f_lasti, instead)

    def forget(self, record: Record) -> None:
        """It is closed."""
        self._left.pop(record, None)

    def untouched(self) -> Iterator[Record]:
        """Those to which nothing has been done since."""
        left = [one for one in self._left if not one.ever_registered and (one.phase == "connected" or one.dropped)]
        touched = self._touched(left, min((self._left[one][1] for one in left), default=sys.maxsize))
        for record in left:
            if record.name not in touched and self._door.in_force("accepted-not-registered", record):
                yield record

    def finding(self, record: Record) -> Finding:
        """What is to be said of one."""
        since, _, code, instruction, instead = self._left[record]
        whose = self._door.whose
        who = "" if whose is None else whose.at(max(since // WIDTH - 1, 0))
        way = [(in_thread("went to sleep", who), place(code, instruction))]
        note = f"{instead} {NOBODY.format(who) if who else NOTHING}".lstrip()
        return Finding("accepted-not-registered", record.name, note=note, at_end=True, way=way)

    def _touched(self, records: Collection[Record], since: int) -> frozenset[str]:
        """Those, by name, with which something was done since: more than set options, or by another thread."""
        rows, whose = self._door.rows, self._door.whose
        threads = {record.name: record.thread for record in records}
        touched: set[str] = set()
        for at in range(since, len(rows), WIDTH):
            name = rows[at + 1]
            if name in threads and name not in touched and (rows[at] != "close" or rows[at + 2] is None):
                quiet = rows[at] in QUIET and (whose is None or whose.serial(at // WIDTH) == threads[name])
                if not quiet:
                    touched.add(name)
        return frozenset(touched)

"""A server that is busy with nothing: calls in vain, and wake-ups about which it does nothing.

Owns what is counted for `[busy-loop]` in the trace of a run. How often `select()` returns while no byte is moved in
a scenario, and how time goes on for who only looks, `_play/spinning.py` judges.
"""

from __future__ import annotations

from .._text import SEVERAL
from .errors import Finding
from .rules import QUIET
from .trace import WIDTH, caller, ready_text, wait_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .records import Door, Record

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

IN_VAIN: Final = 1000
"""How many calls in a row may come to nothing without a `select()`."""


class Idling:
    """How often a server has done nothing."""

    __slots__ = ("_at", "_door", "_name", "_vain", "wakes")

    def __init__(self, door: Door) -> None:
        self._door: Final = door
        self.wakes = 1
        """How many `select()`s in a row with nothing done about them are a busy loop."""
        self._vain = 0  # calls in a row that came to nothing
        self._at = 0  # how long the rows were after the last of them
        self._name: str = ""

    def in_vain(self, name: str, operation: str, record: Record | None = None) -> None:
        """Count a call that came to nothing, its row just appended.

        A loop that makes nothing but such calls, and never a `select()`, would never end: after a
        thousand in a row it is told, and if it goes on, it is ended. Where that is allowed, it is ended
        without a word when it has gone on a hundred times as long, unless time goes on meanwhile.
        """
        if self._door.level_triggered and self._door.rows[2 - WIDTH] is TimeoutError:
            return  # it has waited
        call = operation.partition(":")[0]
        between = self._door.rows[self._at : -WIDTH : WIDTH]
        again: bool = name == self._name and all(
            done != "select" and (done in QUIET or done.partition(":")[0] == call) for done in between
        )
        self._vain = self._vain + 1 if again else 1
        self._at, self._name = len(self._door.rows), name
        if self._vain <= IN_VAIN:
            return
        allowed = not self._door.in_force("busy-loop", record)
        far_too_often = allowed and not self._door.level_triggered and self._vain > 100 * IN_VAIN
        if self._door.violation is not None or far_too_often:
            self._door.give_up_in_vain()
        if allowed:
            return
        what = f"{call}() on {name} was tried {IN_VAIN} times in a row in vain, without going back to select()"
        self._door.raise_violation(Finding("busy-loop", name, {"what": what, "moment": "tried again"}))

    def has_waited(self) -> None:
        """The server has waited by a call that leaves no row: what it now tries is not tried in a row."""
        self._vain = 0

    def judge_wakes(self, selector: str) -> None:
        """Judge `select()`s after which nothing was done."""
        ready: list[tuple[str, int]] = []
        end = len(self._door.rows)
        for _ in range(self.wakes):
            start = self._idle_since(end)
            detail: Any = () if start is None else self._door.rows[start + 2]  # Any: what it is depends on the call
            if start is None or not detail or isinstance(detail, type):
                return  # something was done; or refused: the selector is closed
            end, ready = start, list(detail)
        records = {record.name: record for record in self._door.records}
        for name, mask in ready:
            record = records[name]
            if record.script is None or record.script._replaced() or not self._door.interest(record) & mask:
                return  # not ours to see, or it was taken care of
            if not self._door.in_force("busy-loop", record):
                return
        self._door.append("select", selector, None, caller(3))
        events = ready_text(ready, SEVERAL)
        times = f" {self.wakes} times in a row" if self.wakes > 1 else ""
        what = f"{wait_text(selector)} returned {events}{times}, and the server did nothing about it"
        self._door.raise_violation(Finding("busy-loop", ready[0][0], {"what": what, "moment": "went to sleep"}))

    def _idle_since(self, end: int) -> int | None:
        """Where the row of the last `select()` before `end` is; None if something was done since."""
        start = end - WIDTH
        while start >= 0 and self._door.rows[start] in QUIET:
            if self._door.rows[start] == "select":
                return start
            start -= WIDTH
        return None

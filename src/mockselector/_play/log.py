"""What others than the server have done: steps that peers have taken, decisions, and signals.

Owns that record, which lies beside the rows of the trace: the server's calls alone are judged. Knows of a peer its
script, and of a decision its words.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from .._judge.trace import WIDTH, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._choices import Choice
    from .._judge.monitor import Monitor
    from .._judge.trace import Row
    from .player import Player

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

COLUMNS: Final = 4
"""How long the rows were, the time, which peer, and how many steps it had then taken; of a decision, -1 and itself;
of a signal, -2 and its name."""


class Log:
    """Who has done what in one run, beside the server."""

    __slots__ = ("_monitor", "_peers", "entries")

    def __init__(self, monitor: Monitor, peers: Sequence[Player]) -> None:
        self._monitor: Final = monitor
        self._peers: Final = peers
        self.entries: Final[list[Any]] = []  # Any: `COLUMNS` in turn; flat, as the rows are, and for the same reason

    def decided(self, choice: Choice) -> None:
        """A decision was made."""
        self.entries.extend((len(self._monitor.rows), self._monitor.now, -1, choice))

    def signalled(self, name: str) -> None:
        """A signal has come that the program handles."""
        self.entries.extend((len(self._monitor.rows), self._monitor.now, -2, name))

    def trace(self) -> Trace:
        """All that has happened: what the server did, and this."""
        whose = self._monitor.whose
        return Trace(self._monitor.rows, others=self.others, threads=None if whose is None else whose.at)

    def others(self) -> Iterator[tuple[int, str, Row]]:
        """What was done, in order: before which row of the server's, by whom, and a row of its own."""
        number: int
        taken: dict[int, int] = {}  # steps, by peer
        here = sys._getframe()  # the only way to a frame that costs nothing
        for at in range(0, len(self.entries), COLUMNS):
            length, now, number, end = self.entries[at : at + COLUMNS]
            if number == -2:
                yield length // WIDTH, "signal", ("signal", "signal", end, now, here.f_code, here.f_lasti)
                continue
            if number < 0:
                said = f"{end.label}: {end.taken + 1} of {end.many}"
                yield length // WIDTH, "choice", ("choice", "choice", said, now, here.f_code, here.f_lasti)
                continue
            script = self._peers[number].script
            first, taken[number] = taken.get(number, 0), end
            for step in range(first, end):
                code, instruction = script.made_at(step)
                row = "step", script.name, str(script.steps[step]), now, code, instruction
                yield length // WIDTH, script.name, row

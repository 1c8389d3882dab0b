"""Every decision of a scenario that could as well be another one: who goes first, how much comes at once.

Owns `Choices`: who decides, and the record of what was decided. 0 is what happens where nobody decides; any other
number below `many` is as legal, which the battery against the kernel holds. Knows nothing of what the decisions are
about: that is where `choose()` is called (in which order peers act: `_play/turns.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ._text import value_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Choice(NamedTuple):
    """One decision: which it was, of how many, and what it was about."""

    taken: int
    many: int
    label: str


class Choices:
    """What is decided in one run, and by whom."""

    __slots__ = ("_noted", "decide", "made")

    def __init__(self, noted: Callable[[Choice], None] | None = None) -> None:
        self._noted = noted  # told of each
        self.decide: Callable[[int, str], int] | None = None
        """Called with the number of possibilities and what the decision is about; None: all is as it always was.

        Where calls must cost nothing, this is looked at first.
        """
        self.made: Final[list[Choice]] = []
        """What was decided, in order; nothing is noted where nobody decides."""

    def choose(self, many: int, label: str) -> int:
        """One of `many` possibilities, by its number. ValueError if what decides says anything else."""
        if self.decide is None or many < 2:
            return 0
        taken = self.decide(many, label)
        if taken not in range(many):
            raise ValueError(f"of {many} possibilities ({label}), {value_text(taken)} was chosen; 0 is the first")
        choice = Choice(taken, many, label)
        self.made.append(choice)
        if self._noted is not None:
            self._noted(choice)
        return taken

    def replay(self, record: Iterable[Choice]) -> None:
        """Decide as before; after the last of the record, the first possibility. ValueError where the run is another.

        The program, the script and whatever else decides must be those of the recorded run.
        """
        steps = iter(record)

        def decide(many: int, label: str) -> int:
            before = next(steps, None)
            if before is None:
                return 0
            if (before.many, before.label) != (many, label):
                raise ValueError(
                    f"this run is not the one that was recorded: there, one of {before.many} was chosen"
                    f" ({before.label}), and here it is one of {many} ({label})"
                )
            return before.taken

        self.decide = decide

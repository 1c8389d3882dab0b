"""A peer's script: its steps, in order, and where each was written.

Owns that list, which the test appends to while its peer may be at play, and how it is shown.
Knows nothing of how a step is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._judge.trace import place, shown_path
from .._text import bytes_text, excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, FrameType

    from .._judge.trace import Place
    from .steps import Step

SHOWN: Final = 8
"""How many steps around the one in question an error shows."""

NEVER: Final = 1 << 62
"""A number that no step has."""


class Script:
    """The steps of one peer."""

    __slots__ = ("_made", "made_from", "name", "places", "steps")

    def __init__(self, name: str, steps: Sequence[Step], frame: FrameType) -> None:
        made = frame.f_code, frame.f_lasti  # a tuple: the collector soon leaves it alone, as it does the code
        self.name: Final = name
        self.steps: Final[list[Step]] = [*steps]
        self.places: Final[list[Any]] = [*made] * len(steps)  # of each in turn; Any: as in a trace
        self.made_from: int = NEVER  # the first step that was made by another one
        self._made = made

    def place(self, number: int | None = None) -> Place:
        """Where a step was written; None: the script itself."""
        return place(*self.made_at(number))

    def made_at(self, number: int | None = None) -> tuple[CodeType, int]:
        """The same, as the code and the instruction in it."""
        at = 0 if number is None else 2 * number
        code, instruction = self._made if number is None else self.places[at : at + 2] or self._made
        return code, instruction

    def progress(self, position: int) -> str:
        """How far a peer is that is at this step."""
        return f"step {min(position + 1, len(self.steps))} of {len(self.steps)}"

    def told(self, here: int, inner: Step | None, so_far: bytes) -> str:
        """The steps around `here`; inner: what a generator makes of that one; so_far: what it has taken in."""
        first = max(0, here - SHOWN)
        lines = [f"the script of {self.name}, met until >>:"]
        lines += [f"    ... {first} more"] * bool(first)
        shown = self.steps[first : here + SHOWN]
        width = max((len(str(step)) for step in shown), default=0)
        for number, step in enumerate(shown, first):
            mark = ">>" if number == here else "ok" if number < here else "  "
            where = self.place(number)
            line = f"{mark}  {step!s:<{width}}  {shown_path(where.file)}:{where.line}"
            lines.append(line)
            if number == here and inner is not None:
                lines.append(f"      ... which {inner}")
            if number == here and so_far:
                lines.append(f"      so far  {bytes_text(excerpt(so_far))}")
        more = len(self.steps) - here - SHOWN
        lines += [f"    ... {more} more"] * (more > 0)
        if here >= len(self.steps):
            lines.append(">>  (the end)")
        return "\n".join(lines)


def shorten(program: str) -> str:
    """What is to be done where a script goes on and the program (or the server) does not."""
    return f"If the {program} should go on, find why it stopped; if it is right, shorten the script."

"""Batches of lines: what a server did about one wake-up, with what others did before it; and batches that repeat.

Owns where a batch begins and ends, which of them say nothing new, and which lines of a very long run a page has.
Linear in the lines.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .story import Line

OFTEN: Final = 3
"""So often batches must come in a row to be shown only once."""

PERIOD: Final = 4
"""How many batches at most are seen to repeat as a group."""

BUSY: Final = frozenset(("in", "out", "close", "step", "choice", "signal"))
"""Kinds of lines of a batch in which something happens."""


FIRST, LAST = 5_000, 15_000
"""How many lines a page has of a run that has more, from its beginning and its end; besides those that are marked."""


class Again(NamedTuple):
    """The last batches come again, the same but for the time."""

    size: int
    times: int
    lines: int
    """How many that leaves out."""
    until: float
    """Seconds: when the last of them was over."""


class Hidden(NamedTuple):
    """Lines that a page does not have."""

    lines: int


def batches(lines: Sequence[Line]) -> list[Sequence[Line]]:
    """Each begins where a line says so."""
    starts = [at for at, line in enumerate(lines) if line.begins]
    return [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=False)]


def folded(lines: Sequence[Line], *, idle_only: bool) -> Iterator[Sequence[Line] | Again]:
    """Batches, each group of them that repeats once. idle_only: only those in which nothing happens."""
    found = batches(lines)
    alike = _alike(found, idle_only=idle_only)
    at = 0
    while at < len(found):
        size, times = _repeats(alike, at)
        yield from found[at : at + size]
        if times > 1:
            hidden = found[at + size : at + size * times]
            yield Again(size, times - 1, sum(map(len, hidden)), hidden[-1][-1].event.time)
        at += size * times


def on_page(lines: Sequence[Line]) -> Iterator[Sequence[Line] | Again | Hidden]:
    """What a page shows: batches, or those parts of them that it has, and what is not there."""
    hidden, total = 0, len(lines)
    for part in folded(lines, idle_only=True):
        parts = [(True, part)] if isinstance(part, Again) else groupby(part, lambda line: _is_there(line, total))
        for is_there, some in parts:
            if not is_there:
                hidden += len([*some])
                continue
            if hidden:
                yield Hidden(hidden)
                hidden = 0
            yield some if isinstance(some, Again) else [*some]


def _is_there(line: Line, total: int) -> bool:
    return total <= FIRST + LAST or line.number <= FIRST or line.number > total - LAST or bool(line.marks)


def _alike(found: Sequence[Sequence[Line]], *, idle_only: bool) -> list[int]:
    """A number for each batch, the same for those that say the same; what is marked, or may not be folded, is alone."""
    known: dict[object, int] = {}
    numbers: list[int] = []
    for at, batch in enumerate(found):
        alone = any(line.marks or (idle_only and line.kind in BUSY) for line in batch)
        key = at if alone else tuple((line.event.thread, line.text, line.place, line.event.times) for line in batch)
        numbers.append(known.setdefault(key, len(known)))
    return numbers


def _repeats(alike: Sequence[int], at: int) -> tuple[int, int]:
    """The size of the group that repeats from there on, and how often it comes; (1, 1): none does."""
    for size in range(1, PERIOD + 1):
        end = at + size
        while end < len(alike) and alike[end] == alike[end - size]:
            end += 1
        times = (end - at) // size
        if times >= OFTEN:
            return size, times
    return 1, 1

"""One line of the table, its bar, and how contestants take turns.

Knows no contestant, and nothing of what is measured.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

Turn = Callable[[], float]
"""One turn of a contestant; returns what was measured: seconds per event, per socket, per import."""


@dataclass(frozen=True)
class Row:
    """One line. `holds` is None where there is no bar."""

    what: str
    figure: str
    ratio: str = ""
    bar: str = ""
    holds: bool | None = None

    def cells(self) -> tuple[str, ...]:
        verdict = {None: "", True: "holds", False: "FALLS SHORT"}[self.holds]
        return self.what, self.figure, self.ratio, self.bar, verdict


class Bar(NamedTuple):
    """At least, or at most, so much."""

    word: str
    limit: float
    unit: str = "x"

    def __str__(self) -> str:
        return f"{self.word} {self.limit:,g}{self.unit}"

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.word == "at least" else value <= self.limit


def measured(what: str, figure: str, value: float, bar: Bar) -> Row:
    """A line that states a value by itself."""
    return Row(what, figure, bar=str(bar), holds=bar.holds(value))


def in_turn(contestants: Mapping[str, Turn], rounds: int) -> dict[str, list[float]]:
    """Let all take turns, each round starting with another one."""
    names = list(contestants)
    results: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            results[name].append(contestants[name]())
    return results


def time_text(values: Iterable[float]) -> str:
    seconds = median(values)
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def compared(what: str, figure: str, over: Sequence[float], under: Sequence[float], bar: Bar | None = None) -> Row:
    """A line that states how many times `under` goes into `over`, round by round."""
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    digits = 1 if median(ratios) >= 10 else 2
    ratio = f"{median(ratios):.{digits}f}x ({min(ratios):.{digits}f} - {max(ratios):.{digits}f})"
    return Row(what, figure, ratio, "" if bar is None else str(bar), None if bar is None else bar.holds(median(ratios)))

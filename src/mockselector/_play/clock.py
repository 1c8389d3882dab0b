"""Virtual time.

Owns the one integer clock of a scenario, in nanoseconds from 0, and what `time.monotonic()`,
`time.time()` and their like say for it. A server may ask for the time in a loop and do nothing
else, so whoever counts that is told of each question. Knows nothing of who waits for what.
"""

from __future__ import annotations

from operator import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, SupportsIndex

    from .._judge.trace import Nanoseconds

SECOND: Final = 1_000_000_000

MONOTONIC: Final = 1_000 * SECOND
"""What `time.monotonic()` says at 0: a server may take 0 for "never"."""

DATE: Final = 1_767_225_600.0
"""What `time.time()` says at 0 unless the test says otherwise: 2026-01-01 00:00 UTC."""

AT_ONE_INSTANT: Final = 1000
"""After so many polls or questions for the time, with nothing else done, time moves all the same."""


class Clock:
    """A scenario's time. `now` is set by whoever lets time pass."""

    __slots__ = ("_asked", "date", "now")

    def __init__(self, date: float, asked: Callable[[], None]) -> None:
        self.now: Nanoseconds = 0
        self.date: Final = round(date * 1_000_000) * 1_000  # a float of today has no more than microseconds
        self._asked: Final = asked  # called whenever somebody asks for the time

    def monotonic_ns(self) -> int:
        """As `time.monotonic_ns()`."""
        self._asked()
        return MONOTONIC + self.now

    def monotonic(self) -> float:
        """As `time.monotonic()`."""
        self._asked()
        return (MONOTONIC + self.now) / SECOND

    def time(self) -> float:
        """As `time.time()`."""
        self._asked()
        return (self.date + self.now) / SECOND

    def time_ns(self) -> int:
        """As `time.time_ns()`."""
        self._asked()
        return self.date + self.now


def number_of_seconds(given: float | SupportsIndex) -> float:
    """What Python's own calls take for one; TypeError in their words for what is none."""
    return given if isinstance(given, (int, float)) else index(given)


def nanoseconds(seconds: float) -> Nanoseconds:
    """Seconds as the clock counts them."""
    return round(seconds * SECOND)

"""Who waits: threads of a program that were let go on, that have a question to be asked, or whose time comes.

Owns these queues, and in which order those in them go on.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .._choices import Choices
    from .._judge.trace import Nanoseconds
    from .clock import Clock
    from .strands import Ready, Strand

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

GOES_ON: Final = "which thread goes on"


class WhoWaits:
    """Threads that wait, by what for."""

    __slots__ = ("_choices", "_clock", "_timers", "asking", "ready", "yielded")

    def __init__(self, clock: Clock, choices: Choices) -> None:
        self._clock: Final = clock
        self._choices: Final = choices
        self.ready: Final[Ready] = deque()
        """Who was let go on, and in which of its waits."""
        self.asking: Final[dict[Strand, None]] = {}
        """Who has a question to be asked, in the order in which they began to wait."""
        self.yielded: Final[Ready] = deque()
        """Who goes on once all others wait."""
        self._timers: Final[list[tuple[Nanoseconds, int, Strand]]] = []  # a heap

    def until(self, deadline: Nanoseconds, strand: Strand) -> None:
        """One waits no longer than until then."""
        heappush(self._timers, (deadline, strand.wait, strand))

    def asks(self, strand: Strand) -> None:
        """One has a question to be asked, from now on."""
        self.asking.pop(strand, None)  # to the end
        self.asking[strand] = None

    def wakes(self, strand: Strand, found: object) -> None:
        """One has found what it waits for, whatever becomes of that until it goes on."""
        self.asking.pop(strand, None)
        strand.found = found
        self.ready.append((strand, strand.wait))

    def clear(self) -> None:
        """Nobody waits any more."""
        for queue in (self.ready, self.yielded, self.asking, self._timers):
            queue.clear()

    def first_of(self, queue: Ready) -> Strand | None:
        """The first of a queue that waits for that still."""
        if self._choices.decide is not None and len(queue) > 1:
            still = [one for one in queue if one[0].wait == one[1]]
            queue.clear()
            if still:
                queue.append(still.pop(self._choices.choose(len(still), GOES_ON)))
                queue.extend(still)
        while queue:
            strand, wait = queue.popleft()
            if strand.wait == wait:
                strand.goes_on = True
                return strand
        return None

    def found(self) -> Strand | None:
        """The first one that finds what it waits for."""
        if self._choices.decide is not None:
            return self._any_found()
        for strand in self.asking:
            if self._asks(strand):
                strand.goes_on = True
                return strand
        return None

    def _any_found(self) -> Strand | None:
        found = [strand for strand in self.asking if self._asks(strand)]
        if not found:
            return None
        strand = found[self._choices.choose(len(found), GOES_ON)]
        strand.goes_on = True
        return strand

    @staticmethod
    def _asks(strand: Strand) -> bool:
        done = strand.done
        try:
            strand.found = None if done is None else done()
        except OSError:  # what it waits for was closed meanwhile, and it sleeps on, as Linux has it
            return False
        except Exception as error:
            strand.error = error
            return True
        return bool(strand.found)

    def last(self) -> Strand | None:
        """The first of those that go on once all others wait."""
        return self.first_of(self.yielded)

    def earliest(self) -> Nanoseconds | None:
        """When the next one's time is up."""
        timers = self._timers
        while timers and timers[0][2].wait != timers[0][1]:
            heappop(timers)
        return timers[0][0] if timers else None

    def due(self) -> Strand | None:
        """The next one whose time is up."""
        earliest = self.earliest()
        if earliest is None or earliest > self._clock.now:
            return None
        strand = heappop(self._timers)[2] if self._choices.decide is None else self._any_due()
        strand.goes_on = True
        strand.found = None
        return strand

    def _any_due(self) -> Strand:
        due: list[tuple[Nanoseconds, int, Strand]] = []
        while (earliest := self.earliest()) is not None and earliest <= self._clock.now:
            due.append(heappop(self._timers))
        _, _, strand = due.pop(self._choices.choose(len(due), GOES_ON))
        for one in due:
            heappush(self._timers, one)
        return strand

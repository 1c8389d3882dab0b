"""Who waits: threads of a program that were let go on, that have a question to be asked, or whose time comes.

Owns these queues, and in which order those in them go on.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._choices import Choices
    from .._judge.trace import Nanoseconds
    from .._kernel.descriptors import Watcher
    from .._play.clock import Clock
    from .strands import Ready, Strand

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

GOES_ON: Final = "which thread goes on"


class WhoWaits:
    """Threads that wait, by what for.

    Who waits for a socket is asked when something has happened to it, so that it does not matter how many do; all
    others that have a question, whenever somebody is to go on.
    """

    __slots__ = (
        "_asleep", "_choices", "_clock", "_curious", "_on", "_questions", "_stirred", "_timers", "_to_ask", "_watches",
        "ready", "yielded",
    )  # fmt: skip

    def __init__(self, clock: Clock, choices: Choices) -> None:
        self._clock: Final = clock
        self._choices: Final = choices
        self.ready: Final[Ready] = deque()
        """Who was let go on, and in which of its waits."""
        self._questions = 0  # so many were there ever
        self._curious: Final[dict[int, Strand]] = {}  # who is to be asked each time, by the number of the question
        self._asleep: Final[dict[int, Strand]] = {}  # who is not before something has happened to a socket
        self._on: Final[dict[int, list[Strand]]] = {}  # these by the number of that
        self._stirred: Final[dict[int, None]] = {}  # to which something has happened
        self._watches: Final[tuple[Watcher, ...]] = ((self._stirred, {}),)  # as selectors do
        self._to_ask: Final[list[int]] = []  # questions of those asleep that may have an answer now: a heap
        self.yielded: Final[Ready] = deque()
        """Who goes on once all others wait."""
        self._timers: Final[list[tuple[Nanoseconds, int, Strand]]] = []  # a heap

    def waits(self, strand: Strand) -> None:
        """One waits, from now on: for somebody else, or until a time, or with a question that was asked just now."""
        if strand.waiter is not None:
            strand.waiter.waits(self.ready, strand)
        if strand.deadline is not None:
            heappush(self._timers, (strand.deadline, strand.wait, strand))
        if strand.done is not None:
            self.asks(strand)

    def puts_off(self, strand: Strand) -> tuple[Any, ...]:  # Any: as `Strand.state()`
        """One that waits is to wait for something else meanwhile; returns what it waits for."""
        before = strand.state()
        self.leaves(strand)
        return before

    def asks(self, strand: Strand, *, again: bool = False) -> None:
        """One has a question to be asked, from now on. again: it had it before, and was not asked meanwhile."""
        self._questions += 1
        strand.asks, on = self._questions, strand.on
        if on is None:
            self._curious[strand.asks] = strand
            return
        self._asleep[strand.asks] = strand
        there, watches = self._on.get(on.number), self._watches
        if there is None:
            self._on[on.number] = [strand]
        else:
            there.append(strand)
        if on.watchers is not watches and all(one[0] is not self._stirred for one in on.watchers):
            watches[0][1][on.number] = EVENT_READ
            on.watchers = (*on.watchers, *watches) if on.watchers else watches
        if again:
            self.wonders(strand)

    def wonders(self, strand: Strand) -> None:
        """Something may have come while it waited for something else."""
        if strand.asks:
            heappush(self._to_ask, strand.asks)

    def leaves(self, strand: Strand) -> None:
        """It has no question any more."""
        question, strand.asks = strand.asks, 0
        if strand.on is None:
            self._curious.pop(question, None)
        elif self._asleep.pop(question, None) is not None:
            self._on[strand.on.number].remove(strand)

    def somebody_asks(self, but: Callable[[], object]) -> bool:
        """Whether there is a question, other than that one."""
        return bool(self._asleep) or any(strand.done != but for strand in self._curious.values())

    def wakes(self, strand: Strand, found: object) -> None:
        """One has found what it waits for, whatever becomes of that until it goes on."""
        self.leaves(strand)
        strand.found = found
        self.ready.append((strand, strand.wait))

    def clear(self) -> None:
        """Nobody waits any more."""
        for queue in (self.ready, self.yielded, self._curious, self._asleep, self._on, self._to_ask, self._timers):
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
        to_ask, stirred = self._to_ask, self._stirred
        while stirred:
            for strand in self._on.get(stirred.popitem()[0], ()):
                heappush(to_ask, strand.asks)
        if self._choices.decide is not None:
            return self._any_found()
        for question, strand in self._curious.items():
            if to_ask and to_ask[0] < question:
                earlier = self._first_stirred(question)
                if earlier is not None:
                    return earlier
            if self._asks(strand):
                strand.goes_on = True
                return strand
        return self._first_stirred(self._questions + 1) if to_ask else None

    def _first_stirred(self, before: int) -> Strand | None:
        """The first one that finds something, of those that are asked only now, and began to wait before that."""
        to_ask = self._to_ask
        while to_ask and to_ask[0] < before:
            strand = self._asleep.get(to_ask[0])
            if strand is not None and self._asks(strand):  # it is asked again, should it not go on now
                strand.goes_on = True
                return strand
            heappop(to_ask)
        return None

    def _any_found(self) -> Strand | None:
        stirred = {question: self._asleep[question] for question in self._to_ask if question in self._asleep}
        asked = sorted((self._curious | stirred).items())
        found = {question: strand for question, strand in asked if self._asks(strand)}
        self._to_ask[:] = found.keys() & stirred.keys()
        self._to_ask.sort()
        if not found:
            return None
        strand = [*found.values()][self._choices.choose(len(found), GOES_ON)]
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

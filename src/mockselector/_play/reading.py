"""What a peer reads of its connection: when it is its turn, how much, and how fast.

Owns what a peer has received, its pace, and when it acts next. Knows its own end of a connection,
and nothing of what is expected there.
"""

from __future__ import annotations

from heapq import heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from .._judge.trace import Nanoseconds
    from .._kernel.streams import FarEnd, Watcher
    from .clock import Clock
    from .steps import Step

    class Course(Protocol):
        """Where its turns are kept."""

        @property
        def clock(self) -> Clock: ...
        @property
        def runnable(self) -> list[int]:
            """Who can act now, by number: a heap."""
            ...

    class Beyond(Protocol):
        """What a peer sees of the other end."""

        @property
        def closed(self) -> bool: ...
        @property
        def size(self) -> int: ...

    class End(Protocol):
        """A peer's end of a connection: a `Stream`, or a real one."""

        def attach(self, peer: FarEnd, watcher: Watcher) -> None: ...
        @property
        def other(self) -> Beyond: ...
        @property
        def closed(self) -> bool: ...
        @property
        def mute(self) -> bool: ...
        @property
        def ended(self) -> bool: ...
        @property
        def dead(self) -> bool: ...
        @property
        def size(self) -> int: ...
        @property
        def pending(self) -> bytes: ...
        def pieces(self) -> Iterator[tuple[bytes, int]]:
            """The same, piece by piece: bytes, and how many of them were read."""
            ...

        @property
        def all_here(self) -> bool:
            """Whether all that the other end has sent has arrived."""
            ...

        @property
        def failure(self) -> str:
            """Why nothing can be said or heard here any more, though it is no reset; "": it can."""
            ...

        def peek(self, size: int) -> bytes: ...
        def take(self, size: int) -> bytes: ...
        def offer(self, data: bytes, start: int, size: int) -> int: ...
        def adds_record(self, length: int, plain: int) -> None:
            """A record of TLS is about to be offered, in which so much is plain text."""
            ...

        def finish(self) -> None: ...
        def close(self, *, reset: bool = False) -> None: ...


ALL: Final = 1 << 62
"""More bytes than ever come."""


def how_it_ended(end: End, program: str, handling: str) -> str:
    """How a connection came to its end, as half a sentence; handling: what the program was handling then."""
    if end.failure:
        return f"TLS has failed: {end.failure}"
    if not end.dead and not end.other.closed:
        return f"the {program} has shut down writing"
    how = (" with unread data, which resets it" if end.other.size else " by a reset") if end.dead else ""
    return f"the {program} has closed the connection{how}{handling}"


class Turn:
    """When a peer acts next: it is queued, or waits for something to happen, or until a moment."""

    __slots__ = ("_runnable", "_serial", "clock", "queued", "since", "token", "until", "waits")

    def __init__(self, turns: Course, serial: int, waits: str) -> None:
        self._runnable: Final = turns.runnable
        self._serial: Final = serial
        self.clock: Final = turns.clock
        self.queued: bool = False
        self.since: Nanoseconds = 0  # when it began to wait
        self.until: Nanoseconds | None = None  # until when it waits; None: for something to happen
        self.token: int = 0  # tells the timers of one wait from those of the next
        self.waits: str | Step = waits  # for what; the text of a step is made when somebody asks

    def wake(self) -> None:
        """Something has happened at its end."""
        if not self.queued:
            self.queued = True
            heappush(self._runnable, self._serial)

    if TYPE_CHECKING:

        def comes(self) -> None: ...
        def frees(self) -> None: ...
        def nudge(self) -> None: ...

    else:
        comes = frees = nudge = wake  # whatever has happened there

    @property
    def waits_for(self) -> str:
        """What it waits for, as half a sentence."""
        waits = self.waits
        return waits if isinstance(waits, str) else f"for {str(waits).removeprefix('expects ')}"


class Reading:
    """All that a peer has read, and how it goes on."""

    __slots__ = ("_next", "_turn", "begun", "end", "pace", "received", "total")

    end: End
    """Of its connection, when it has one."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._next = 0  # when it reads again
        self.received: bytearray = bytearray()
        self.total: int = 0  # how much that is
        self.begun: int = 0  # where in it those bytes begin that the step that is being taken has taken in
        self.pace: tuple[int, Nanoseconds] | None = None  # so many bytes, every so often

    def pull(self, size: int) -> int:
        """Read at most `size` bytes of what has come, as fast as this peer reads; returns how many that is."""
        end, pace, taken = self.end, self.pace, 0
        if pace is not None and end.size:
            now = self._turn.clock.now
            if now < self._next:
                self._turn.until = self._next
                return 0
            size = min(size, pace[0])
            self._next = now + pace[1]
        while taken < size and end.size:
            data = end.take(size - taken)
            taken += len(data)
            self.received += data
        self.total += taken
        if pace is not None and end.size:
            self._turn.until = self._next
        return taken

    def discard(self) -> None:
        """Read all that has come; no step takes it in."""
        end = self.end
        while end.size:
            self.received += end.take(ALL)
        self.begun = self.total = len(self.received)

    @property
    def taken_in(self) -> bytes:
        """What the step that is being taken has taken in."""
        return bytes(self.received[self.begun :])

    @property
    def at_end(self) -> bool:
        """Whether nothing more comes."""
        end = self.end
        return end.ended or end.dead or end.closed

    @property
    def was_reset(self) -> bool:
        """Whether that is what it sees: after the server's end, it sees only that (man 2 recv)."""
        return self.end.dead and not self.end.ended

    def up_to(self, delimiter: bytes) -> int:
        """How many of the bytes that have come may be taken, so that what follows the delimiter is left.

        Only what is taken next is looked at, so that each byte is once.
        """
        end_of_it = self.end
        most = end_of_it.size if self.pace is None else min(end_of_it.size, self.pace[0])
        overlap = len(delimiter) - 1
        before = bytes(self.received[max(len(self.received) - overlap, self.begun) :])  # it may have begun there
        seen = 0
        for piece, start in end_of_it.pieces():
            end = min(len(piece), start + most - seen)
            if before:
                found = (before + piece[start : min(end, start + overlap)]).find(delimiter)
                if found >= 0:
                    return seen + found + len(delimiter) - len(before)
            found = piece.find(delimiter, start, end)
            if found >= 0:
                return seen + found + len(delimiter) - start
            seen += end - start
            if seen >= most:
                break
            before = (before + piece[max(start, end - overlap) : end])[-overlap:] if overlap else b""
        return seen or 1

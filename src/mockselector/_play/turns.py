"""Whose turn it is: which peers can act now, and when others will.

Owns the moments to come of a scenario: who can act, in order of creation or as `_choices` decides; who waits until
when; and who waits for something to happen, so that it may be in vain. Knows peers only by how they wait, and nothing
of who lets time pass.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

from .generators import Raised

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from .._choices import Choices
    from .._judge.trace import Nanoseconds
    from .clock import Clock
    from .player import Player, Progress

    Wait: TypeAlias = tuple[Nanoseconds, int, int]
    """When it ends, which peer waits, and in which of its waits."""

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class Turns:
    """Peers, and when each acts."""

    __slots__ = (
        "_choices", "_entries", "_fails", "_patience", "_peers", "_progress", "_timers", "_vain", "acting", "clock",
        "runnable",
    )  # fmt: skip

    def __init__(
        self,
        clock: Clock,
        peers: Sequence[Player],
        patience: Nanoseconds,
        choices: Choices,
        progress: Progress,
        entries: list[Any],
        fails: Callable[[BaseException], None],
    ) -> None:
        self.clock: Final = clock
        self._peers: Final = peers
        self._patience: Final = patience
        self._choices: Final = choices
        self._progress: Final = progress
        self._entries: Final = entries  # of the log
        self._fails: Final = fails  # told of whatever ends the run
        self.runnable: Final[list[int]] = []
        """Who can act now, by number: a heap."""
        self._timers: Final[list[Wait]] = []  # a heap
        self._vain: Final[deque[Wait]] = deque()  # of those who wait for something to happen
        self.acting: Player | None = None
        """Whose step is being taken."""

    def play(self) -> None:
        """Let all peers act that can, but for those that the program is chosen to go before."""
        while self.runnable:
            peer = self._go_on()
            turn = peer.turn
            if turn.until is not None:
                heappush(self._timers, (turn.until, peer.serial, turn.token))
            elif not peer.finished and (peer.stream is not None or not peer.is_backend):
                wait = (turn.since + self._patience, peer.serial, turn.token)
                if self._vain and self._vain[-1][1] == peer.serial:
                    self._vain[-1] = wait  # in the place of its last one
                else:
                    self._vain.append(wait)
            if (
                self._choices.decide is not None
                and self.runnable
                and self._choices.choose(2, "more peers act, or the program")
            ):
                return

    def _go_on(self) -> Player:
        """Let the next peer act that can. What it raises, or whatever comes meanwhile, ends the run."""
        failed: BaseException
        progress = self._progress
        try:
            number = heappop(self.runnable) if self._choices.decide is None else self._chosen()
            peer = self.acting = self._peers[number]
            turn = peer.turn
            turn.queued = False
            turn.token += 1
            turn.until = None
            turn.since = self.clock.now
            before, position = progress.progress, peer.position
            next(peer.life)
            if progress.progress != before:
                rows = progress.goes_on()
                if peer.position != position:  # it has taken steps
                    entries = self._entries
                    entries += rows, self.clock.now, number, peer.position
            return peer
        except Raised as one:
            failed = one.error
        except BaseException as one:
            failed = one
        finally:
            self.acting = None
        self._fails(failed)
        try:
            raise failed
        finally:
            del failed  # it refers to this frame

    def _chosen(self) -> int:
        self.runnable.sort()  # which a heap may be
        return self.runnable.pop(self._choices.choose(len(self.runnable), "which peer acts"))

    def _holds(self, wait: Wait) -> bool:
        peer = self._peers[wait[1]]
        return peer.turn.token == wait[2] and not peer.turn.queued

    def due(self) -> Nanoseconds | None:
        """When the next peer will act."""
        timers = self._timers
        while timers:
            if self._holds(timers[0]):
                return timers[0][0]
            heappop(timers)
        return None

    def due_in_vain(self) -> tuple[Nanoseconds, Player] | None:
        """When a peer will have waited as long as anybody would, and which."""
        vain = self._vain
        while vain:
            if self._holds(vain[0]):
                return vain[0][0], self._peers[vain[0][1]]
            vain.popleft()
        return None

    def given_up(self) -> None:
        """The one that is due in vain is dealt with."""
        self._vain.popleft()

    def wake_due(self) -> None:
        """Those whose time has come can act."""
        due = self.due()
        while due is not None and due <= self.clock.now:
            self._peers[heappop(self._timers)[1]].turn.wake()
            due = self.due()

    def forget_what_was(self) -> None:
        """Drop what nobody waits for any more: peers that never waited in vain leave that behind."""
        still = [wait for wait in self._vain if self._holds(wait)]
        self._vain.clear()
        self._vain.extend(still)

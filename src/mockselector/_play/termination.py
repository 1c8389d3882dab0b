"""When a run is over, and who is to be asked to stop before.

Owns how many scripts are still at play, since when the last one is not, what the test wants to be called or interrupted
then, and how much time a program has after that. Knows peers and connections only by how many there are, and nothing
of how a run is ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._judge.rules import RuleId
    from .._judge.trace import Nanoseconds
    from .._kernel.network import Network
    from .clock import Clock
    from .dialling import Dialling
    from .player import Player

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class Termination:
    """How far a run is from its end. Half of its attributes are what it looks at for that."""

    def __init__(
        self, clock: Clock, network: Network, dialling: Dialling, peers: Sequence[Player], patience: Nanoseconds,
        grace: Nanoseconds, in_force: Callable[[RuleId, Player], bool],
    ) -> None:  # fmt: skip
        self._clock: Final = clock
        self._network: Final = network
        self._dialling: Final = dialling
        self._peers: Final = peers
        self._patience: Final = patience
        self._grace: Final = grace
        self._in_force: Final = in_force
        self.on_end: Final[list[Callable[[], object]]] = []
        """What the test wants to be called when all peers are done."""
        self.signals: Final[list[tuple[Nanoseconds, int]]] = []
        """When the program is to be sent a signal, and which: a heap."""
        self.signal_at_end: int | None = None
        self.completes = False
        """The end of the scripts is no end: the program is run until it returns."""
        self.listened = False
        """Whether the program ever has."""
        self.asked = False
        """Whether it was asked to stop."""
        self.calling_back = False
        """Whether a function of `on_end` is running."""
        self.handling = ""
        """The signal whose handler is running."""
        self.is_left = False
        """Whether the block of the test is out, which is all of the program that is waited for."""
        self.signalled_at: Nanoseconds | None = None
        """When it was last told to stop by a signal."""
        self.stopped = False
        """Whether it is being stopped, as all else is done."""
        self._playing = 0  # clients whose script is not at its end; less one for each backend whose script is
        self._begun_at = 0  # when the program was run
        self._over_at: Nanoseconds | None = (
            None  # when the last script came to its end, or the program was asked to stop
        )

    def begins(self) -> None:
        """The program is run."""
        self._begun_at = self._clock.now

    def joins(self) -> None:
        """A client's script has begun, or has got more steps."""
        self._playing += 1

    def ended(self) -> None:
        """A peer has taken the last step of its script."""
        self._playing -= 1
        self._over_at = self._clock.now

    @property
    def playing(self) -> int:
        """How many peers are not at the end of their scripts; of backends, of those that were connected to."""
        return self._playing + self._dialling.dialled

    @property
    def since(self) -> Nanoseconds:
        """When a script, or the program, last did something, if no script is at play."""
        return max(self._over_at or 0, self._begun_at)

    @property
    def played(self) -> bool:
        """Whether that was a script."""
        return self._over_at is not None and self._over_at >= self._begun_at

    @property
    def is_server(self) -> bool:
        """Whether the program serves those of the script. Any other is run until it returns.

        One that has stopped to listen, and has no connection any more, is no server any more, if it is still to return.
        """
        if self.is_left:
            return True
        return self.listened and bool(self._peers) and bool(self._network.listeners or self._dialling.alive)

    def next_signal(self) -> Nanoseconds | None:
        """When the program is sent a signal next."""
        return self.signals[0][0] if self.signals else None

    @property
    def asks(self) -> bool:
        """Whether the test has said how the program is to be asked to stop."""
        return bool(self.on_end) or self.signal_at_end is not None

    def due(self, *, rests: bool = False) -> Nanoseconds | None:
        """When the run is over; None: as far as can be seen, it is not. rests: the program waits without an end."""
        if self.playing or self.signals:
            return None
        over = self.since
        if self.stopped:
            return over + self._grace
        asks = bool(self.on_end and not self.asked) or self.signal_at_end is not None
        serves = self.is_server and (asks or not self.completes)
        if serves and ((rests and self._has_clients()) or not self._connects_again()):
            none_yet = self._over_at is None  # only backends, or none
            due = over + self._grace if self._dialling.alive or self.asked or none_yet else over
            return due if self.signalled_at is None else max(due, self.signalled_at + self._grace)
        return over + (self._grace if asks else max(self._patience, self._grace))

    def _has_clients(self) -> bool:
        return any(not peer.is_backend for peer in self._peers)

    def _connects_again(self) -> bool:
        """Whether the program has connections to make."""
        backends = self._dialling.backends
        return bool(backends) and any(self._in_force("unmet-expectation", peer) for _, peer in backends)

    def ask(self) -> bool:
        """Call the functions of `on_end`; False: that has been done, or there are none."""
        if self.asked or not self.on_end:
            return False
        self._asks()
        self.calling_back = True
        try:
            for function in self.on_end:
                function()
        finally:
            self.calling_back = False
        return True

    def takes_signal(self) -> int | None:
        """The signal that the program is to be sent now that all peers are done; once."""
        number, self.signal_at_end = self.signal_at_end, None
        if number is not None:
            self._asks()
        return number

    def signalled(self) -> None:
        """A signal tells the program to stop: it has `grace` for that, also where all scripts are at their end."""
        self.signalled_at = self._clock.now

    def stops(self) -> None:
        """The program is being stopped: it has `grace` to come to its end."""
        self.stopped = True
        self._asks()

    def _asks(self) -> None:
        self.asked = True
        self._over_at = self._clock.now

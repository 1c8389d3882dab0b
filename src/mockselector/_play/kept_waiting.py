"""Who else is kept waiting while a server, in a call that blocks, waits for one peer.

Owns that question. It is asked of programs that listen, at each step of such a wait: is there
another peer for whom a selector of the server would return now? A server that takes one client
after the other, by `accept()` or with nothing but its listener in a selector, keeps the rest waiting
by design, and that is no finding; one whose selector watches several peers freezes for all of them.
Knows the network and the trace; what is said of it is the monitor's business.
"""

from __future__ import annotations

from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Final

from .._text import bytes_text, excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .._judge.trace import Nanoseconds
    from .._judge.watching import Watch
    from .._kernel.descriptors import Descriptor
    from .._kernel.network import Network
    from .._kernel.streams import FarEnd, Stream

    Find = Callable[[], list[tuple[int, int]]]
    """What a selector would return now: numbers and masks."""


class KeptWaiting:
    """A peer that is kept waiting."""

    __slots__ = ("name", "since", "watch", "what")

    def __init__(self, name: str, what: str, since: Nanoseconds, watch: Watch) -> None:
        self.name: Final = name
        self.what: Final = what
        self.since: Final = since
        self.watch: Final = watch


class LookingAround:
    """One wait of the server's, for one socket."""

    def __init__(
        self,
        network: Network,
        watches: Mapping[Watch, Callable[[], Find | None]],
        waiting: Descriptor,
        handled: Callable[[], str],
    ) -> None:
        self._network = network
        self._watches = watches
        self._waiting = waiting
        self._peer = waiting.stream.other.peer if waiting.stream is not None else None
        # A client whose request makes the server ask a backend waits for the answer anyway.
        self._handled = handled if self._peer is not None and self._peer.is_backend else str
        self._writable = {number for _, number, mask in self._ready() if mask & EVENT_WRITE}
        self.found: KeptWaiting | None = None

    def look(self, now: Nanoseconds) -> None:
        """See whether anybody else waits now."""
        if self.found is not None and self.found.watch.serves:
            return
        for watch, number, mask in self._ready():
            descriptor = self._network.descriptors.get(number)
            if descriptor is None or descriptor is self._waiting:
                continue
            waits = self._waits(descriptor, mask)
            if waits is not None and (self.found is None or watch.serves):
                self.found = KeptWaiting(*waits, now, watch)
                if watch.serves:
                    return

    def _ready(self) -> Iterator[tuple[Watch, int, int]]:
        for watch, finder in tuple(self._watches.items()):
            find = finder() if watch.masks else None
            if find is None:
                continue
            try:
                found = find()
            except (OSError, ValueError):  # select() would fail, and not wait for anybody
                continue
            for number, mask in found:
                yield watch, number, mask

    def _waits(self, descriptor: Descriptor, mask: int) -> tuple[str, str] | None:
        """Who waits at the other end, and for what; None: nobody."""
        if descriptor.backlog is not None:
            there = (one.other.peer for one in descriptor.backlog if one.size or not one.other.closed)
            peer = next((peer for peer in there if peer is not None), None)
            return None if peer is None else (peer.name, f"{peer.name} has connected, and waits to be accepted.")
        stream = descriptor.stream
        peer = None if stream is None else stream.other.peer
        if stream is None or peer is None or peer is self._peer:
            return None
        waits = self._waits_at(peer, stream, mask, writable=descriptor.number in self._writable)
        return None if waits is None or peer.name == self._handled() else waits

    @staticmethod
    def _waits_at(peer: FarEnd, stream: Stream, mask: int, *, writable: bool) -> tuple[str, str] | None:
        if mask & EVENT_READ and stream.size:
            sent = "TLS records" if stream.is_sealed else bytes_text(excerpt(stream.pending))
            return peer.name, f"{peer.name} has sent {sent}, which nobody reads."
        if stream.other.closed or stream.hung_up:
            return None  # it is gone
        if mask & EVENT_READ and stream.ended:
            return peer.name, f"{peer.name} has shut down its sending, and waits for what the server says to that."
        if mask & EVENT_WRITE and not writable:
            return peer.name, f"{peer.name} has read, and waits for the rest."
        return None

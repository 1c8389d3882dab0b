"""Each kind of selector as its kernel has it: epoll, poll, select; and what stands in for those of `selectors`.

Owns what differs between them: which numbers are looked at, in which order what is ready comes, what is refused.
"""

# What `selectors` defines in terms of itself has parameters of its own names.
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

import selectors as _selectors
from errno import EBADF, ENOENT
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any, Final

from .._current import StandIn, current
from .._kernel.bits import WRITABLE
from .._play.clock import nanoseconds
from .._system import BOTH, FIRST_NUMBER, REAL_SELECTORS, os_error
from .selectors import SimSelector, as_it_was

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import SelectorKey

    from .._judge.trace import Nanoseconds
    from .._kernel.descriptors import Descriptor
    from .._system import FileObject
    from .._world.world import World
    from .selectors import Found

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_SETSIZE: Final = 1024
"""How many descriptors select() can look at: FD_SETSIZE (man 2 select)."""


class EpollSelector(SimSelector):
    """What watches descriptions: closed, one is gone from it, whoever gets its number (man 7 epoll).

    It keeps a list of what is ready, as Linux does (fs/eventpoll.c): what becomes ready, or is when it
    begins to be watched or is watched for something else, goes to the end; what `select()` then finds
    ready stays in its place, and what is not leaves the list only now.
    """

    _waiting = 0  # how many threads do

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._candidates: dict[int, None] = {}
        self._asked: dict[int, int] = {}
        self._watchers: Final = ((self._candidates, self._asked),)  # one for all that nobody else watches

    def fileno(self) -> int:
        """Refused: there is no descriptor behind it."""
        self._world.refuse("fileno() of a selector is not simulated: a selector cannot be watched by another one")

    def close(self) -> None:
        """As `selectors.BaseSelector.close`."""
        super().close()
        self._closed = True

    def _among_others(
        self, look: Callable[[], Found], deadline: Nanoseconds | None, call: tuple[str, str]
    ) -> Found | None:
        """Closed meanwhile, it lives on until nobody waits for it any more."""
        self._waiting += 1
        try:
            return super()._among_others(look, deadline, call)
        finally:
            self._waiting -= 1
            if self._over:
                self._let_go()

    def _let_go(self) -> None:
        if self._waiting:
            return
        for number in self._watched:
            self._forget(number)
        super()._let_go()

    def _begin(self, number: int, events: int) -> None:
        descriptor = self._world.network.descriptors.get(number)
        if descriptor is None:
            raise os_error(EBADF)
        self._asked[number] = events & BOTH
        descriptor.watchers = (*descriptor.watchers, *self._watchers) if descriptor.watchers else self._watchers
        if descriptor.is_ready_for(events & BOTH):
            self._candidates[number] = None

    def _alter(self, number: int, events: int) -> None:
        if self._watched[number].closed:
            raise os_error(ENOENT if number in self._world.network.descriptors else EBADF)
        self._asked[number] = events & BOTH
        if self._watched[number].is_ready_for(events & BOTH):
            self._candidates.setdefault(number)

    def _forget(self, number: int) -> None:
        self._candidates.pop(number, None)
        self._asked.pop(number, None)
        descriptor = self._watched.get(number)
        if descriptor is not None:
            alone = descriptor.watchers is self._watchers
            descriptor.watchers = () if alone else tuple(w for w in descriptor.watchers if w[0] is not self._candidates)

    def _find(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for number in [*self._candidates]:
            descriptor, asked = self._watched[number], self._asked[number]
            stream = descriptor.stream
            mask = asked & (descriptor.ready() if stream is None or descriptor.closed else stream.ready())
            if mask or (not asked and descriptor.is_hung_up()):
                found.append((number, mask))
            else:
                del self._candidates[number]
        return found


class KqueueSelector(EpollSelector):
    """Taken to be as epoll (man 2 kqueue)."""


class DevpollSelector(EpollSelector):
    """Likewise."""


class _ByNumber(SimSelector):
    """What looks at numbers when it is asked, whatever they then stand for. It cannot be closed."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._asked: dict[int, int] = {}

    def _begin(self, number: int, events: int) -> None:
        self._asked[number] = events

    _alter = _begin

    def _forget(self, number: int) -> None:
        self._asked.pop(number, None)

    def _has_open(self) -> list[Descriptor]:
        return [*self._watched.values()]

    def _looking(self, look: Callable[[], Found]) -> Callable[[], Found]:
        return as_it_was(self, "_asked", dict(self._asked), look)

    def _waits_alone(self, world: World, timeout: float) -> bool:
        return not self._asked and super()._waits_alone(world, timeout)  # a number may stand for nothing


class PollSelector(_ByNumber):
    """As poll(): a number that stands for nothing is as ready as can be (POLLNVAL in man 2 poll)."""

    def _find(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        descriptors = self._world.network.descriptors
        for number, asked in self._asked.items():
            descriptor = descriptors.get(number)
            mask = asked if descriptor is None else asked & descriptor.ready()
            if mask or (not asked and (descriptor is None or descriptor.is_hung_up())):
                found.append((number, mask))
        return found


class SelectSelector(_ByNumber):
    """As select(): a number that stands for nothing is an error (man 2 select); not if it was closed meanwhile."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._readers: set[int] = set()
        self._writers: set[int] = set()

    def _begin(self, number: int, events: int) -> None:
        super()._begin(number, events)
        if events & EVENT_READ:
            self._readers.add(number)
        if events & EVENT_WRITE:
            self._writers.add(number)

    def _forget(self, number: int) -> None:
        super()._forget(number)
        self._readers.discard(number)
        self._writers.discard(number)

    def _modify(self, fileobj: FileObject, events: int, data: Any) -> SelectorKey:  # Any: as `selectors`
        """As `selectors` has it where nothing is changed in place: what is refused is then registered no more."""
        if events == self._key_of(fileobj).events:
            return super()._modify(fileobj, events, data)
        self._remove(fileobj)
        return self._add(fileobj, events, data)

    def _duration(self, timeout: float) -> Nanoseconds:
        if not _is_plain(timeout):
            raise TypeError("timeout must be a number or None")
        duration = nanoseconds(timeout)
        if duration >= 2**63:
            raise OverflowError("timestamp too large to convert to C PyTime_t")
        return duration

    def _find(self) -> list[tuple[int, int]]:
        descriptors = self._world.network.descriptors
        if max(self._asked, default=0) >= FIRST_NUMBER + _SETSIZE:
            raise ValueError("filedescriptor out of range in select()")
        if not self._asleep and not descriptors.keys() >= self._asked.keys():
            raise os_error(EBADF)
        masks: dict[int, int] = {}
        for number, asked in self._asked.items():
            descriptor = descriptors.get(number)
            mask = asked if descriptor is None else asked & descriptor.ready()
            if descriptor is not None and mask & EVENT_WRITE and not descriptor.polled() & WRITABLE:
                mask &= ~EVENT_WRITE
            if mask:
                masks[number] = mask
        if len(masks) < 2:
            return [*masks.items()]
        # In the order of a set, which is that of the numbers as long as they are few: so has it `selectors`.
        readable = {number for number in self._readers if masks.get(number, 0) & EVENT_READ}
        writable = {number for number in self._writers if masks.get(number, 0) & EVENT_WRITE}
        return [(number, masks[number]) for number in readable | writable]


def _is_plain(number: object) -> bool:
    return isinstance(number, (int, float))


KINDS: Final[dict[str, type[SimSelector]]] = {
    kind.__name__: kind for kind in (EpollSelector, KqueueSelector, DevpollSelector, PollSelector, SelectSelector)
}


def of_kind(real: type, world: World) -> _selectors.BaseSelector:
    """A selector of a world, of the same kind as a real one."""
    return world.stack.selector(real) or KINDS[real.__name__](world)


def default_selector(world: World) -> _selectors.BaseSelector:
    """What `selectors.DefaultSelector` is on this system."""
    return of_kind(REAL_SELECTORS["DefaultSelector"], world)


def stand_in(name: str) -> type:
    """A class that stands in for one of `selectors`."""
    real: type = REAL_SELECTORS[name]

    class Selector(SimSelector, metaclass=StandIn):
        __doc__ = f"What stands in for `selectors.{name}` while a scenario is installed."

        def __new__(cls) -> Any:  # pyright: ignore[reportInconsistentConstructor]  # Any: of either kind
            """A selector of the current world; a real one outside of any."""
            world = current()
            if world is None:
                return real()
            return of_kind(real, world)

    Selector.__name__ = Selector.__qualname__ = name
    Selector.real, Selector.ours = real, KINDS.get(real.__name__, SimSelector)  # of another one, gevent's: refused
    return Selector


STAND_INS: Final = {name: stand_in(name) for name in REAL_SELECTORS}

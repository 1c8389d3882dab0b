"""What is below a poll object, an epoll object and `select.select()`: a selector, which waits, and is judged.

Owns what each of them has of its kernel, bit by bit (man 2 poll, epoll_ctl, select), and which numbers it watches.
Knows nothing of how a program says that.
"""

from __future__ import annotations

import select as _select
from _thread import get_ident
from errno import EBADF
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from .._judge.holding_up import judge_held_up
from .._judge.trace import caller, place
from .._kernel.bits import ALWAYS, POLLIN, POLLNVAL, POLLOUT, POLLPRI, READABLE, WRITABLE, as_interest, as_readiness
from .._play.clock import nanoseconds
from .._system import BOTH, FIRST_NUMBER, os_error
from .selectors import SimSelector, as_it_was, check_real, is_simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .._judge.records import Record
    from .._judge.trace import Nanoseconds
    from .._kernel.descriptors import Descriptor
    from .._kernel.epolls import Epoll
    from .._world.world import World
    from .selectors import Found

    Pairs = list[tuple[int, int]]
    """Numbers, and what is said of each, bit by bit."""

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_real_select: Final[Any] = _select.select  # Any: it is given lists that are unpacked
_real_poll: Final[Any] = getattr(_select, "poll", None)  # Any: not every system has it
_real_epoll: Final[Any] = getattr(_select, "epoll", None)  # Any: likewise

MOST: Final = 1024
"""How many descriptors select() can look at, and epoll tells at once if nobody says how many: FD_SETSIZE."""


class _NoReal:
    """What looks at no real descriptor, as there is none."""

    def close(self) -> None: ...


_NO_REAL: Final[Any] = _NoReal()


class Below(SimSelector):
    """The selector below such an object: what is registered are numbers, and for what is kept bit by bit."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._real: Any = _NO_REAL  # so that `_look()` is always asked
        self._bits: dict[int, int] = {}  # what was last found

    def _key_of_late(self, number: int) -> SelectorKey | None:
        return SelectorKey(number, number, BOTH, None)

    @property
    def numbers(self) -> Collection[int]:
        """What it watches."""
        return self._fd_to_key.keys()

    def select_bits(self, timeout: float | None) -> Pairs:
        """What is ready, bit by bit, or will be within `timeout` seconds; less than 0: it waits for ever."""
        since = self._world.clock.now
        ready = self.select(timeout)
        if self._world.monitor.pedantic:
            judge_held_up(self._world.monitor, since, "select", self._name)
        return [(key.fd, self._bits[key.fd]) for key, _ in ready]

    def put(self, number: int, mask: int, thing: object) -> None:
        """Watch a number, which `thing` stands for."""
        if not is_simulated(number):
            check_real(self._world, thing)
        self._outlives(number)
        self._registered("modify" if self._holds(number) else "register", self._put, number, as_interest(mask), mask)

    def change(self, number: int, mask: int) -> None:
        """Watch it for something else."""
        self._outlives(number)
        self._registered("modify", self._change, number, as_interest(mask), mask)

    def take(self, number: int) -> None:
        """Watch it no more."""
        self._registered("unregister", self._take, number)

    def _holds(self, number: int) -> bool:
        """Whether it may be put there again, as if it were changed."""
        return number in self._fd_to_key

    def _outlives(self, number: int) -> None:
        """What the number stood for may be closed: what has it now was never registered."""
        old, now = self._watched.get(number), self._world.network.descriptors.get(number)
        if old is None or now is None or now is old:
            return
        record = self._holdings.records[old]
        self._watch.drop(record)
        record.number = -1
        self._drop(number)
        del self._fd_to_key[number]

    def _put(self, number: int, events: int, mask: int) -> SelectorKey:
        self._begin(number, mask)
        return self._kept(number, events, mask)

    def _change(self, number: int, events: int, mask: int) -> SelectorKey:
        self._alter(number, mask)
        return self._kept(number, events, mask)

    def _kept(self, number: int, events: int, mask: int) -> SelectorKey:
        key = self._fd_to_key[number] = SelectorKey(number, number, events, mask)
        descriptor = self._world.network.descriptors.get(number)
        if descriptor is not None:
            self._watched.setdefault(number, descriptor)
        return key

    def _take(self, number: int) -> SelectorKey:
        self._forget(number)
        self._watched.pop(number, None)
        return self._fd_to_key.pop(number)


class BelowPoll(Below):
    """As poll(): it looks at numbers, whatever they then stand for."""

    _kind, _opens = "poll", False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._asked: dict[int, int] = {}
        self._of_real: Any = None  # Any: a real one, for real descriptors

    def _begin(self, number: int, events: int) -> None:
        if not is_simulated(number):
            if self._of_real is None:
                self._of_real = _real_poll()
            self._of_real.register(number, events)
        self._asked[number] = events

    _alter = _begin

    def _forget(self, number: int) -> None:
        if not is_simulated(number):
            self._of_real.unregister(number)
        self._asked.pop(number, None)

    def _has_open(self) -> list[Descriptor]:
        return [*self._watched.values()]

    def _looking(self, look: Callable[[], Found]) -> Callable[[], Found]:
        masks = {number: as_interest(mask) for number, mask in self._asked.items()}
        looks = as_it_was(self, "_asked", masks, look)
        real = [one for one in self._asked.items() if not is_simulated(one[0])]
        if not real:
            return looks
        mine = _real_poll()  # another thread may change what is registered
        for one in real:
            mine.register(*one)

        def asks() -> Found:
            now, self._of_real = self._of_real, mine
            try:
                return looks()
            finally:
                self._of_real = now

        return asks

    def _find(self) -> Pairs:
        bits: dict[int, int] = {}
        self._bits = bits
        descriptors = self._world.network.descriptors
        for number, asked in self._asked.items():
            if number >= FIRST_NUMBER:
                descriptor = descriptors.get(number)
                said = POLLNVAL if descriptor is None else descriptor.polled() & (asked | ALWAYS)
                if said:
                    bits[number] = said
        return [(number, as_readiness(said)) for number, said in bits.items()]

    def _look(self) -> Pairs:
        found = self._find()
        more: Pairs = [] if self._of_real is None else self._of_real.poll(0)
        if more:
            bits = self._bits
            bits.update(more)
            found = [(number, as_readiness(bits[number])) for number in self._asked if number in bits]
        return found


class BelowEpoll(Below):
    """As epoll: the kernel keeps what is watched, and what is ready."""

    _kind, _forgets = "epoll", True

    def __init__(self, world: World) -> None:
        frame = caller(1)
        self.epoll: Final[Epoll] = world.network.open_epoll(place(frame.f_code, frame.f_lasti))
        super().__init__(world)
        self.epoll.shell = ref(self)
        self._watched = self.epoll.watched
        self.most: int = MOST - 1

    def _let_go(self) -> None:
        if not self._world.monitor.finished:
            record = self._holdings.records.get(self.epoll)
            if record is not None and not self.epoll.closed:
                self._world.monitor.becomes(record, "closed")
            self._world.network.close(self.epoll)
        self._holdings.open_selectors.pop(self._given, None)
        if not self.epoll.held:  # else it lives on, until nobody waits for it
            super()._let_go()

    @property
    def _closed(self) -> bool:  # type: ignore[override]  # its number may be closed by other means
        return self.epoll.closed

    def take(self, number: int) -> None:
        """Watch it no more."""
        self._outlives(number)
        super().take(number)

    def number(self) -> int:
        """By which it can be watched itself, as a socket can."""
        records = self._holdings.records
        if self.epoll not in records and not self._world.monitor.finished:
            records[self.epoll] = self._world.monitor.admit(
                self._name, "connected", self.epoll.number, role="epoll", known=True
            )
        return self.epoll.number

    def is_late(self) -> bool:
        """Whether the run is over, and all that is still done is to tidy up."""
        return self._world.monitor.finished

    def _holds(self, number: int) -> bool:
        return False

    def _outlives(self, number: int) -> None:
        if not self.is_late() and is_simulated(number) and number in self._fd_to_key and not self.epoll.holds(number):
            del self._fd_to_key[number]

    def _has_open(self) -> list[Descriptor]:
        return [self.epoll]

    def _of_real(self) -> Any:  # Any: a real epoll object, for real descriptors
        if self._real is _NO_REAL:
            self._real = _real_epoll()
        return self._real

    def _target(self, number: int) -> Descriptor | None:
        return self._world.network.descriptors.get(number)

    def _comes_to(self, error: int) -> None:
        if error and not self.is_late():
            raise os_error(error)

    def _begin(self, number: int, events: int) -> None:
        if is_simulated(number):
            self._comes_to(self.epoll.add(number, events, self._target(number)))
        else:
            self._of_real().register(number, events)

    def _alter(self, number: int, events: int) -> None:
        if is_simulated(number):
            self._comes_to(self.epoll.alter(number, events, self._target(number)))
        else:
            self._of_real().modify(number, events)

    def _forget(self, number: int) -> None:
        if is_simulated(number):
            self._comes_to(self.epoll.remove(number, self._target(number)))
        else:
            self._of_real().unregister(number)

    def _kept(self, number: int, events: int, mask: int) -> SelectorKey:
        key = self._fd_to_key[number] = SelectorKey(number, number, events, mask)
        return key

    def _find(self) -> Pairs:
        return [(number, as_readiness(said)) for number, said in self.epoll.peek(self.most)]

    def _look(self) -> Pairs:
        found = self.epoll.tell(self.most)
        left = self.most - len(found)
        if self._real is not _NO_REAL and left > 0:
            found += self._real.poll(0, left)
        self._bits = dict(found)
        return [(number, as_readiness(said)) for number, said in found]


class BelowSelect(Below):
    """As select(): what it is given, it watches as long as it is called."""

    _kind, _opens = "select", False

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._lists: tuple[list[int], ...] = ()
        self._stood_for: list[Descriptor | None] = []
        self._masks: dict[Record, int] = {}
        self.waits: bool = False
        """Whether a call is under way: another thread's at the same line has one of its own."""

    def _begin(self, number: int, events: int) -> None:
        """Nothing is registered but what a call is given."""

    _alter = _begin

    def _forget(self, number: int) -> None:
        """Likewise."""

    def _duration(self, timeout: float) -> Nanoseconds:
        return nanoseconds(timeout)

    def among(self, lists: tuple[list[int], ...], timeout: float | None) -> dict[int, int]:
        """What is said of those of three lists of numbers that are ready."""
        descriptors = self._world.network.descriptors
        if lists != self._lists or list(map(descriptors.get, self._fd_to_key)) != self._stood_for:
            self._takes(lists)
        self._watch.takes(self._masks)
        self._world.monitor.thread = get_ident()
        self.waits = True
        try:
            return dict(self.select_bits(timeout))
        finally:
            self.waits = False
            self._watch.rests()

    def _takes(self, lists: tuple[list[int], ...]) -> None:
        """These are the numbers from now on."""
        asked: dict[int, int] = {}
        for numbers, mask in zip(lists, (EVENT_READ, EVENT_WRITE, 0), strict=True):
            for number in numbers:
                asked[number] = asked.get(number, 0) | mask
        descriptors, holdings = self._world.network.descriptors, self._holdings
        assert self._name, "from now on it has one"
        self._lists = lists
        self._stood_for = list(map(descriptors.get, asked))
        self._fd_to_key = {number: SelectorKey(number, number, mask, None) for number, mask in asked.items()}
        self._watched = {one.number: one for one in self._stood_for if one is not None}
        self._masks = masks = {}
        for number, mask in asked.items():
            descriptor = self._watched.get(number)
            record = holdings.foreign(number, number) if descriptor is None else holdings.records[descriptor]
            record.ever_registered = True
            masks[record] = mask

    def _has_open(self) -> list[Descriptor]:
        return [*self._watched.values()]

    def _looking(self, look: Callable[[], Found]) -> Callable[[], Found]:
        masks = {number: key.events for number, key in self._fd_to_key.items()}
        return as_it_was(self, "_fd_to_key", masks, look)

    def _find(self) -> Pairs:
        bits: dict[int, int] = {}
        self._bits = bits
        descriptors = self._world.network.descriptors
        for number, key in self._fd_to_key.items():
            if number < FIRST_NUMBER:
                continue
            descriptor = descriptors.get(number)
            asked = key.events
            if descriptor is None:
                if not self._asleep:
                    raise os_error(EBADF)
                bits[number] = (POLLIN if asked & EVENT_READ else 0) | (POLLOUT if asked & EVENT_WRITE else 0) | POLLPRI
                continue
            if descriptor.ready() & asked:  # what select() says is no more than that
                said = descriptor.polled()
                said &= (READABLE if asked & EVENT_READ else 0) | (WRITABLE if asked & EVENT_WRITE else 0)
                if said:
                    bits[number] = said
        return [(number, _selected(said)) for number, said in bits.items()]

    def _look(self) -> Pairs:
        found = self._find()
        real = [[number for number in numbers if number < FIRST_NUMBER] for numbers in self._lists]
        if not any(real):
            return found
        for numbers, bit in zip(_real_select(*real, 0), (POLLIN, POLLOUT, POLLPRI), strict=True):
            for number in numbers:
                self._bits[number] = self._bits.get(number, 0) | bit
        return [(number, _selected(said)) for number, said in self._bits.items()]


def _selected(said: int) -> int:
    return (EVENT_READ if said & READABLE else 0) | (EVENT_WRITE if said & WRITABLE else 0)

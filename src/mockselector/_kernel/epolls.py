"""What an epoll object is to the kernel: a descriptor that watches others, and can be watched itself.

Owns its interest list and its ready list as Linux keeps them (fs/eventpoll.c): what is told again, what only once, and
what is refused. Knows the descriptors that it watches, and of those not whose they are.
"""

from __future__ import annotations

from errno import EBADF, EEXIST, EINVAL, ELOOP, ENOENT
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any, Final

from .bits import ALWAYS, EDGE, EXCLUSIVE, IN, OF_EPOLL, ONE_SHOT, POLLIN, POLLOUT, WAKEUP, as_interest
from .descriptors import Descriptor

if TYPE_CHECKING:
    from .._judge.trace import Place

NESTED: Final = 4
"""So deep may one epoll object watch another (EP_MAX_NESTS)."""

_WITH_EXCLUSIVE: Final = POLLIN | POLLOUT | ALWAYS | WAKEUP | EDGE | EXCLUSIVE
_NO_FAMILY: Final = -1


class _Candidates(dict[int, None]):
    """What may be ready. That something becomes so is told to whoever watches the epoll object itself."""

    __slots__ = ("owner",)

    owner: Epoll | None

    def __setitem__(self, number: int, nothing: None) -> None:
        super().__setitem__(number, nothing)
        if self.owner is not None:
            self.owner.nudge()

    def setdefault(self, number: int, nothing: Any = None) -> None:  # Any: nothing else is ever given
        """As of a dict."""
        if number not in self:
            self[number] = nothing

    def again(self, number: int) -> None:
        """It stays ready, and goes to the end."""
        super().__setitem__(number, None)


class Epoll(Descriptor):
    """What watches descriptions: closed, one is gone from it, whoever gets its number (man 7 epoll)."""

    __slots__ = ("_asked", "_candidates", "_masks", "_watchers", "shell", "watched")

    def __init__(self, number: int, made: Place) -> None:
        super().__init__(number, _NO_FAMILY, made)
        self.watched: Final[dict[int, Descriptor]] = {}
        """What each number stood for when it was added."""
        self.shell: Any = None  # Any: whatever is on top of it, by a weak reference
        self._masks: Final[dict[int, int]] = {}
        self._asked: Final[dict[int, int]] = {}
        self._candidates: Final = _Candidates()
        self._candidates.owner = self
        self._watchers: Final = ((self._candidates, self._asked),)

    def ready(self) -> int:
        """It can be read as long as there is something to tell."""
        return EVENT_READ if not self.closed and self.peek(1) else 0

    def polled(self) -> int:
        """Likewise."""
        return IN if self.ready() else 0

    # -- the interest list (man 2 epoll_ctl) ----------------------------------------------------

    def add(self, number: int, mask: int, target: Descriptor | None) -> int:
        """Watch what a number stands for. Returns the error number, or 0."""
        if self.closed or target is None:
            return EBADF
        if target is self:
            return EINVAL
        nested = isinstance(target, Epoll)
        if mask & EXCLUSIVE and (nested or mask & ~_WITH_EXCLUSIVE):
            return EINVAL
        if isinstance(target, Epoll) and (target.reaches(self) or target.depth() > NESTED):
            return ELOOP
        if self.holds(number):
            return EEXIST
        self.watched[number] = target
        self._set(number, mask)
        target.watchers = (*target.watchers, *self._watchers) if target.watchers else self._watchers
        if self._says(number):
            self._candidates[number] = None
        return 0

    def alter(self, number: int, mask: int, target: Descriptor | None) -> int:
        """Watch it for something else; the same."""
        if self.closed or target is None:
            return EBADF
        if target is self or mask & EXCLUSIVE:
            return EINVAL
        if not self.holds(number):
            return ENOENT
        if self._masks[number] & EXCLUSIVE:
            return EINVAL
        self._set(number, mask)
        if self._says(number):
            self._candidates.setdefault(number)
        return 0

    def remove(self, number: int, target: Descriptor | None) -> int:
        """Watch it no more; the same."""
        if self.closed or target is None:
            return EBADF
        if target is self:
            return EINVAL
        if not self.holds(number):
            return ENOENT
        self.drop(number)
        return 0

    def holds(self, number: int) -> bool:
        """Whether it watches what the number stands for: what was closed meanwhile it does not."""
        target = self.watched.get(number)
        if target is not None and target.closed:
            self.drop(number)
            return False
        return target is not None

    def drop(self, number: int) -> None:
        """Forget a number."""
        target = self.watched.pop(number)
        del self._masks[number], self._asked[number]
        self._candidates.pop(number, None)
        alone = target.watchers is self._watchers
        target.watchers = () if alone else tuple(one for one in target.watchers if one[0] is not self._candidates)

    def release(self) -> None:
        """It is closed: forget them all."""
        for number in (*self.watched,):
            self.drop(number)

    def _set(self, number: int, mask: int) -> None:
        self._masks[number] = mask | ALWAYS
        self._asked[number] = as_interest(mask)

    def depth(self) -> int:
        """How deep it is with what it watches."""
        return 1 + max((one.depth() for one in self.watched.values() if isinstance(one, Epoll)), default=0)

    def reaches(self, other: Epoll) -> bool:
        """Whether it watches another, at whatever depth."""
        return any(one is other or one.reaches(other) for one in self.watched.values() if isinstance(one, Epoll))

    def keeps_back(self, target: Descriptor) -> int:
        """Why it says no more of something that can be read: EDGE or ONE_SHOT, as it has told of it; 0: it does."""
        for number, one in self.watched.items():
            if one is target and number not in self._candidates and target.polled() & POLLIN:
                mask = self._masks[number]
                return mask & EDGE if mask & ~OF_EPOLL else ONE_SHOT
        return 0

    # -- the ready list -------------------------------------------------------------------------

    def _says(self, number: int) -> int:
        return self.watched[number].polled() & self._masks[number]

    def peek(self, most: int) -> list[tuple[int, int]]:
        """What would be told, without telling it. What is not ready leaves the list only now."""
        found: list[tuple[int, int]] = []
        for number in (*self._candidates,):
            bits = self._says(number)
            if not bits:
                del self._candidates[number]
            else:
                found.append((number, bits))
                if len(found) == most:
                    break
        return found

    def tell(self, most: int) -> list[tuple[int, int]]:
        """What is ready, by number, and bit by bit. What is told again goes to the end of the list."""
        found = self.peek(most)
        for number, _ in found:
            mask = self._masks[number]
            del self._candidates[number]
            if mask & ONE_SHOT:
                self._masks[number] = mask & OF_EPOLL
                self._asked[number] = 0
            elif not mask & EDGE:
                self._candidates.again(number)
        return found


def kept_back(target: Descriptor) -> int:
    """The same of whatever watches it."""
    owners = (getattr(candidates, "owner", None) for candidates, _ in target.watchers)
    return next((why for one in owners if one is not None and (why := one.keeps_back(target))), 0)

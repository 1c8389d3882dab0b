"""`select.poll`, `select.epoll` and `select.select` in a scenario, as a program has them.

Owns these objects and that call: what they take, and refuse. What they do, the selectors below them do.
"""

# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

import operator
import select as _select
from errno import EBADF
from typing import TYPE_CHECKING, Any, Final

from .._judge.trace import caller
from .._kernel.bits import POLLIN, POLLOUT, POLLPRI, READABLE, WRITABLE
from .._system import CLOSED, FIRST_NUMBER, LARGEST, os_error, poll_seconds
from .below import MOST, BelowEpoll, BelowPoll, BelowSelect
from .sockets import SimSocket

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typing_extensions import Self

    from .._world.world import World
    from .below import Pairs

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_real_select: Final = _select.select
_real_poll: Final[Any] = getattr(_select, "poll", None)  # Any: not every system has it
_real_epoll: Final[Any] = getattr(_select, "epoll", None)  # Any: likewise

USUAL: Final = POLLIN | POLLPRI | POLLOUT
"""What is asked for if nobody says what."""


def _closed_epoll() -> Any:  # Any: not every system has it
    """A real one that is closed: it knows which arguments are right, and can do nothing."""
    epoll = _real_epoll()
    epoll.close()
    return epoll


_poll_checks: Final[Any] = None if _real_poll is None else _real_poll()
_epoll_checks: Final[Any] = None if _real_epoll is None else _closed_epoll()


class SimPoll:
    """A poll object in a scenario; by `isinstance()`, a real one."""

    __slots__ = ("__weakref__", "_below", "_polls")

    def __init__(self, below: BelowPoll) -> None:
        self._below = below
        self._polls = False

    if not TYPE_CHECKING:

        @property
        def __class__(self):
            return type(_poll_checks)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _poll_checks.__reduce_ex__(protocol)  # which refuses to be copied

    def register(self, fd: Any, eventmask: int = USUAL, /) -> None:  # Any: a number, or what has a fileno()
        """As of a real one: what was registered before is registered anew."""
        number = _checked(fd, eventmask)
        self._below.put(number, operator.index(eventmask), fd)

    def modify(self, fd: Any, eventmask: int, /) -> None:  # Any: likewise
        """As of a real one. FileNotFoundError (ENOENT) for what is not registered."""
        number = _checked(fd, eventmask)
        if number not in self._below.numbers:
            _poll_checks.modify(number, eventmask)
        self._below.change(number, operator.index(eventmask))

    def unregister(self, fd: Any, /) -> None:  # Any: likewise
        """As of a real one. KeyError for what is not registered."""
        number = _checked(fd, 0)
        if number not in self._below.numbers:
            _poll_checks.unregister(number)
        self._below.take(number)

    def poll(self, timeout: float | None = None, /) -> Pairs:
        """What is ready, or will be within so many milliseconds; None or less than 0: for ever."""
        if self._polls:  # in another thread
            raise RuntimeError("concurrent poll() invocation")
        self._polls = True
        try:
            return self._below.select_bits(poll_seconds(timeout))
        finally:
            self._polls = False


def _number_or(thing: Any) -> Any:  # Any: whatever was given
    """Its number; else what the real ones know to be none."""
    if isinstance(thing, int):
        return int(thing)
    method = getattr(thing, "fileno", None)
    number = thing if method is None else method()
    return int(number) if isinstance(number, int) else object()


def _checked(thing: Any, mask: Any) -> int:  # Any: whatever was given
    """The number of what is registered with a poll object. Raises what a real one raises of what is none."""
    number: int = _number_or(thing)
    _poll_checks.register(number, mask)
    _poll_checks.unregister(number)
    return number


class SimEpoll:
    """An epoll object in a scenario; by `isinstance()`, a real one."""

    __slots__ = ("__weakref__", "_below", "_over")

    def __init__(self, below: BelowEpoll) -> None:
        self._below = below
        self._over = False

    if not TYPE_CHECKING:

        @property
        def __class__(self):
            return _real_epoll

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _epoll_checks.__reduce_ex__(protocol)  # likewise

    def __del__(self) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._over

    def fileno(self) -> int:
        """By this number it can be watched itself."""
        if self._over:
            raise ValueError(CLOSED)
        return self._below.number()

    def register(self, fd: Any, eventmask: int = USUAL) -> None:  # Any: a number, or what has a fileno()
        """As of a real one. FileExistsError (EEXIST) for what is registered."""
        number, mask = self._checked("register", fd, eventmask)
        self._below.put(number, mask, fd)

    def modify(self, fd: Any, eventmask: int) -> None:  # Any: likewise
        """As of a real one. FileNotFoundError (ENOENT) for what is not registered."""
        self._below.change(*self._checked("modify", fd, eventmask))

    def unregister(self, fd: Any) -> None:  # Any: likewise
        """As of a real one. FileNotFoundError (ENOENT) for what is not registered."""
        number, _ = self._checked("unregister", fd)
        self._below.take(number)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> Pairs:
        """What is ready, or will be within so many seconds; None or less than 0: for ever."""
        maxevents = operator.index(maxevents)
        if abs(maxevents) > LARGEST:
            raise OverflowError("Python int too large to convert to C int")
        if self._over:
            raise ValueError(CLOSED)
        seconds = poll_seconds(timeout, epoll=True)
        if maxevents != -1 and maxevents < 1:
            raise ValueError(f"maxevents must be greater than 0, got {maxevents}")
        self._check_number()
        self._below.most = MOST - 1 if maxevents == -1 else maxevents
        return self._below.select_bits(seconds)

    def close(self) -> None:
        """As of a real one."""
        if not self._over:
            self._over = True
            self._below.close()

    def __enter__(self) -> Self:
        if self._over:
            raise ValueError(CLOSED)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_number(self) -> None:
        """Another object for the same number, or os.close(), may have closed it."""
        if self._below._closed and not self._below.is_late():
            raise os_error(EBADF)

    def _checked(self, method: str, thing: Any, *mask: Any) -> tuple[int, int]:  # Any: whatever was given
        """A number and a mask. Raises what a real one raises of what is none."""
        number = _number_or(thing)
        try:
            getattr(_epoll_checks, method)(number, *mask)
        except ValueError as error:
            if self._over or str(error) != CLOSED:
                raise
        self._check_number()
        return number, operator.index(mask[0]) & 0xFFFFFFFF if mask else 0


def make_poll(world: World) -> SimPoll:
    """What `select.poll()` makes."""
    return SimPoll(BelowPoll(world))


def make_epoll(world: World) -> SimEpoll:
    """What `select.epoll()` makes."""
    return SimEpoll(BelowEpoll(world))


def epoll_of(world: World, number: int) -> SimEpoll | None:
    """What `select.epoll.fromfd()` makes: another object for the same; None: it is no number of one."""
    descriptor: Any = world.network.descriptors.get(number)  # Any: only those of epoll objects have a shell
    below = getattr(descriptor, "shell", None)
    found = None if below is None else below()
    return None if found is None else SimEpoll(found)


def select_among(world: World, lists: tuple[Sequence[Any], ...], timeout: float | None) -> tuple[list[Any], ...]:
    """`select.select()` of what has numbers. Of each line that calls it, what it waits for is a registration."""
    # A list is gone through as it is, whatever a fileno() does to it.
    pairs = [[(one, _checked_number(one)) for one in some] for some in lists]
    frame = caller(1)
    at_this_line: list[BelowSelect] = world.holdings.calls.setdefault((frame.f_code, frame.f_lasti), [])
    below = next((one for one in at_this_line if not one.waits), None)
    if below is None:
        below = BelowSelect(world)
        at_this_line.append(below)
    said = below.among(tuple([number for _, number in some] for some in pairs), timeout)
    if not said:
        return ([], [], [])
    return tuple(
        [one for one, number in some if number in said and said[number] & bits]
        for some, bits in zip(pairs, (READABLE, WRITABLE, POLLPRI), strict=True)
    )


def _checked_number(thing: Any) -> int:  # Any: whatever was given
    number: int = thing.fileno() if type(thing) is SimSocket else _number_or(thing)
    if type(number) is not int or not 0 <= number <= LARGEST:
        _real_select([number], [], [], 0)  # which knows what is wrong with it
    if number >= FIRST_NUMBER + MOST or MOST <= number < FIRST_NUMBER:
        raise ValueError("filedescriptor out of range in select()")
    return number


def listed(things: Iterable[Any]) -> Sequence[Any]:  # Any: whatever was given
    """What is given to `select.select()`, as a sequence."""
    if isinstance(things, (list, tuple)):
        return things  # pyright: ignore[reportUnknownVariableType]
    try:
        return list(things)
    except TypeError:
        raise TypeError("arguments 1-3 must be sequences") from None

"""Locks, and queues without one: what threads wait for each other with.

Owns the stand-ins for what `_thread` and `_queue` have in C. All else of `threading`, `queue` and `concurrent.futures`
is made of these. A lock that is free, or that nobody else waits for, is the real one below it, so that it is a lock
for whoever knows nothing of a scenario as well, and when one is over; where somebody has to wait for it in a scenario,
that is the scenario's wait, and whoever has waited longest is given it.
"""

from __future__ import annotations

import _queue
import _thread
import queue
import sys
from _thread import allocate_lock, get_ident
from collections import deque
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final

from .._current import current
from .._judge.holding_up import judge_held_up
from .._play.clock import number_of_seconds
from .._threads.kept_locks import keeps
from .._threads.locked import parks
from .._threads.strands import Takeable, Waiter, here
from .doors import DoorType, named

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._threads.strands import Holder
    from .._world.world import World
    from .doors import Pair

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_RealLock: Final[Any] = type(allocate_lock())  # Any: in Python 3.13 it is called otherwise
_RealRLock: Final[Any] = _thread.RLock  # Any: the stubs know a class of their own
RealQueue: Final[Any] = _queue.SimpleQueue  # Any: of whatever
_WAIT: Final = ("wait", "threading")


def _is_foreign(holder: Holder | None, world: World) -> bool:
    """Whether it is a thread that is none of the program's: of another scenario, or of what runs the test."""
    if holder is None or holder.name:
        return False
    strand = None if world.crew is None else world.crew.alive.get(holder.ident)
    return (strand is None or strand.holder is not holder) and holder.ident in sys._current_frames()


def _checked(blocking: bool, timeout: float) -> float:
    """The time-out, if both arguments are right."""
    allocate_lock().acquire(blocking, timeout)  # it knows which are
    return number_of_seconds(timeout)


class Lock(Takeable):
    """As `_thread.lock`."""

    __slots__ = ("__weakref__", "_holder", "_real", "_waiters")

    def __init__(self) -> None:
        self._real: Any = allocate_lock()  # Any: the stubs have two names for its class
        self._holder: Holder | None = None  # who has taken it last
        self._waiters: deque[Waiter] | None = None  # made when somebody waits

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As `threading.Lock.acquire`."""
        if timeout != -1 or (blocking is not True and blocking is not False):
            timeout = _checked(blocking, timeout)
        if self._real.acquire(False):
            self._holder = here.holder
            return True
        return self._waits(bool(blocking) and timeout != 0, None if timeout < 0 else timeout)

    def __enter__(self) -> bool:
        if self._real.acquire(False):
            self._holder = here.holder
            return True
        return self._waits(True, None)

    def _waits(self, blocking: bool, timeout: float | None) -> bool:
        """It is not free."""
        own = self._holder is here.holder
        if own and not blocking:
            return False  # it asks whether it has it, as conditions do
        world = current()
        if world is None or (blocking and not own and _is_foreign(self._holder, world)):
            got: bool = self._real.acquire(blocking, -1 if timeout is None or not blocking else timeout)
        elif blocking:
            got = self._is_given(world, timeout)
        else:
            world.spinning.looks()
            got = self._real.acquire(False)
        if got:
            self._holder = here.holder
        return got

    def _is_given(self, world: World, timeout: float | None) -> bool:
        waiter, since = Waiter(self), world.clock.now
        if self._waiters is None:
            self._waiters = deque()
        self._waiters.append(waiter)
        try:
            parks(world, waiter, timeout, _WAIT)
        except BaseException:
            if waiter.released:
                self._goes_to_the_next()
            raise
        finally:
            if not waiter.released:
                self._waiters.remove(waiter)
        if world.monitor.pedantic:
            judged = keeps(world, waiter) if waiter.released else None
            if judged is not None:
                self._waiters.appendleft(judged)
            judge_held_up(world.monitor, since, *_WAIT)
        return waiter.released

    def holder(self) -> Holder | None:
        """Which thread has it; None: nobody does."""
        return self._holder if self._real.locked() else None

    def _is_owned(self) -> bool:
        """Whether anybody has it, as conditions ask of a lock that has no owner."""
        locked: bool = self._real.locked()
        return locked

    def release(self) -> None:
        """As `threading.Lock.release`."""
        if self._waiters:
            waiter = self._waiters.popleft()  # who has it now
            if waiter.kept is not None and self._holder is not here.holder:
                waiter.kept = None  # who has it does not let go of it: somebody gives a sign
            waiter.release()
        else:
            self._real.release()

    def _goes_to_the_next(self) -> None:
        """Who was given it does not want it any more."""
        self.release()

    def __exit__(self, *_: object) -> None:
        if self._waiters:
            self.release()
        else:
            self._real.release()

    def locked(self) -> bool:
        """As `threading.Lock.locked`."""
        locked: bool = self._real.locked()
        return locked

    acquire_lock, release_lock, locked_lock = acquire, release, locked

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]  # as the one in C does

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._real.__reduce_ex__(protocol)  # which refuses to be copied

    def __repr__(self) -> str:
        return repr(self._real)


class Lasting(Lock):
    """A lock that is held as long as something lasts."""

    __slots__ = ()

    guards = False


class Sentinel(Lasting):  # pragma: no cover  (up to Python 3.12)
    """The lock that a thread holds as long as it lives: whoever waits for its end takes it, and lets go of it at once.

    It is free in between, as `Thread.join()` asks it to be: nobody is given it.
    """

    __slots__ = ()

    def release(self) -> None:
        """As `threading.Lock.release`."""
        self._real.release()
        self._goes_to_the_next()

    def _goes_to_the_next(self) -> None:
        if self._waiters:
            self._waiters.popleft().release()

    def _is_given(self, world: World, timeout: float | None) -> bool:
        while super()._is_given(world, timeout):
            if self._real.acquire(False):
                return True
        return False


class RLock:
    """As `_thread.RLock`."""

    __slots__ = ("__weakref__", "_count", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = Lock()
        self._owner = 0
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As `threading.RLock.acquire`."""
        me, lock = get_ident(), self._lock
        if self._owner == me:
            if timeout != -1 or blocking is not True:
                _checked(blocking, timeout)
            self._count += 1
            return True
        if blocking is True and timeout == -1 and lock._real.acquire(False):
            lock._holder = here.holder
        elif not lock.acquire(blocking, timeout):
            return False
        self._owner, self._count = me, 1
        return True

    __enter__ = acquire

    def release(self) -> None:
        """As `threading.RLock.release`."""
        if self._owner != get_ident():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = 0
            self._lock.release()

    def __exit__(self, *_: object) -> None:
        self.release()

    if hasattr(_RealRLock, "locked"):  # since Python 3.14

        def locked(self) -> bool:
            """As `threading.RLock.locked`."""
            return self._lock.locked()

    # What `threading.Condition` asks of it.

    def _is_owned(self) -> bool:
        return self._owner == get_ident()

    def _recursion_count(self) -> int:
        return self._count if self._is_owned() else 0

    def _release_save(self) -> tuple[int, int]:
        if not self._count:
            raise RuntimeError("cannot release un-acquired lock")
        state = self._count, self._owner
        self._count = self._owner = 0
        self._lock.release()
        return state

    def _acquire_restore(self, state: tuple[int, int]) -> None:
        self._lock.acquire()
        self._count, self._owner = state

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]  # as the one in C does

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _RealRLock().__reduce_ex__(protocol)

    def __repr__(self) -> str:
        state = "locked" if self._count else "unlocked"
        return f"<{state} _thread.RLock object owner={self._owner} count={self._count} at {hex(id(self))}>"


class _Getter(Lock):
    """What a queue keeps of somebody who waits for the next thing in it: let go of when that comes."""

    __slots__ = ()

    guards = False
    what = "SimpleQueue.get()"

    def holder(self) -> Holder | None:
        return None  # whoever puts something there


class Queue:
    """As `queue.SimpleQueue`, that may be put into from wherever the interpreter comes to call a function."""

    __slots__ = ("__weakref__", "_getters", "_things")

    def __init__(self) -> None:
        self._things: deque[Any] = deque()
        self._getters: deque[_Getter] = deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """As `queue.SimpleQueue.put`."""
        self._things.append(item)
        try:
            getter = self._getters.popleft()
        except IndexError:
            return
        getter.release()

    def put_nowait(self, item: Any) -> None:
        """As `queue.SimpleQueue.put_nowait`."""
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """As `queue.SimpleQueue.get`."""
        if block and timeout is not None:
            timeout = number_of_seconds(timeout)
            if timeout < 0:
                raise ValueError("'timeout' must be a non-negative number")
        world = current()
        end = None if timeout is None or world is None else world.clock.now / 1e9 + timeout
        while True:
            try:
                return self._things.popleft()
            except IndexError:
                pass
            if not block:
                if world is not None:
                    world.spinning.looks()
                raise queue.Empty
            left = timeout if end is None or world is None else max(end - world.clock.now / 1e9, 0)
            if not self._waits(left) and not self._things:
                raise queue.Empty

    def _waits(self, timeout: float | None) -> bool:
        getter = _Getter()
        getter.acquire()
        self._getters.append(getter)
        got = False
        try:
            got = getter.acquire(True, -1 if timeout is None else timeout)
        finally:
            if not got and getter in self._getters:
                self._getters.remove(getter)
        return got

    def gives_to(self, other: Any) -> None:  # Any: a queue
        """What is left in it goes into another one."""
        while self._things:
            other.put(self._things.popleft())

    def get_nowait(self) -> Any:
        """As `queue.SimpleQueue.get_nowait`."""
        return self.get(False)

    def empty(self) -> bool:
        """As `queue.SimpleQueue.empty`."""
        return not self._things

    def qsize(self) -> int:
        """As `queue.SimpleQueue.qsize`."""
        return len(self._things)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return RealQueue().__reduce_ex__(protocol)


def _class_door(real: Any, ours: Any) -> Any:  # Any: classes
    """What stands in for a class of locks or queues: in a scenario it makes ours, else a real one."""

    class Door(metaclass=DoorType):
        __doc__ = real.__doc__

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:  # Any: one of both kinds
            return (real if current() is None else ours)(*args, **kwargs)

        def __class_getitem__(cls, item: Any) -> GenericAlias:
            return GenericAlias(cls, item)

    Door.__name__ = Door.__qualname__ = real.__name__
    Door.__module__ = real.__module__
    Door.real, Door.ours = real, ours
    return Door


def instead_of(thing: object) -> object:
    """What takes the place of a lock that a module has made before; None: nothing does."""
    if isinstance(thing, _RealLock):
        ours = Lock()
        ours._real = thing
        return ours
    if isinstance(thing, _RealRLock):
        real: Any = thing  # Any: the stubs do not tell whether it is held
        free = not real._is_owned() and real.acquire(False)
        if free:
            real.release()
        return RLock() if free else None
    if isinstance(thing, RealQueue):
        things: Any = thing  # Any: of whatever
        return Queue() if things.empty() else None
    return None


MANY: Final = (_RealLock, _RealRLock, RealQueue)
"""Classes of which there are instances everywhere, that come and go."""

OURS: Final = (Lock, RLock, Queue)
"""What takes their place."""


def pairs() -> Iterable[Pair]:
    """What is replaced wherever a module has it."""
    yield from ((_RealLock, _class_door(_RealLock, Lock)), (_RealRLock, _class_door(_RealRLock, RLock)))
    yield RealQueue, _class_door(RealQueue, Queue)
    for real in {allocate_lock, getattr(_thread, "allocate", allocate_lock)}:
        yield real, named(_named_alike(real), real)


def _named_alike(real: Any) -> Any:  # Any: functions
    def allocate_lock() -> Any:
        return real() if current() is None else Lock()

    return allocate_lock

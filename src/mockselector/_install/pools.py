"""Pools of threads: those of `concurrent.futures`, and the one of `multiprocessing.pool`.

Owns that a pool's threads are gone through in the order in which they came, that one from before a scenario is used in
it if it has no thread yet, that pools end with the program as they do with an interpreter, and that one which is kept
beyond that says so. Knows of pools what the standard library's own modules have of them.
"""

from __future__ import annotations

import itertools
import sys
from _thread import allocate_lock
from threading import Semaphore
from typing import TYPE_CHECKING, Any, Final

from .._current import current
from .._judge.standing import ages
from .doors import named
from .locks import Lock, Queue, RealQueue, instead_of
from .processes import NOT_SIMULATED, PROCESSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from .._threads.threads import Threads
    from .._world.world import World
    from .doors import Late, Method

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_MODULE: Final = "concurrent.futures.thread"
_BEFORE: Final = "its threads were started before the scenario began, and work in real time: make the pool in the run"


class InOrder(set[Any]):
    """A set that the standard library makes, gone through in an order that hash and `id()` do not decide.

    Tasks of asyncio come in the order in which they were made, all else in that in which it was given.
    """

    _given: dict[Any, int] = {}  # noqa: RUF012  (empty, and left so)

    def __init__(self, things: Iterable[Any] = ()) -> None:
        kept = dict.fromkeys(things)
        super().__init__(kept)
        self._given = {thing: number for number, thing in enumerate(kept)}

    def add(self, thing: Any, /) -> None:
        """As a set's."""
        super().add(thing)
        if not self._given:
            self._given = {}  # of its own: one that copy() has made shares that of the class
        self._given.setdefault(thing, len(self._given))

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(super().__iter__(), key=self._place))

    def _place(self, thing: Any) -> tuple[int, int]:
        try:
            age = ages.get(thing, 0)
        except TypeError:  # it is nothing to which there are weak references, and so no task
            age = 0
        return age, self._given.get(thing, 0)


def _of_pools(module: Any) -> list[Method]:
    kind = module.ThreadPoolExecutor
    real = kind.submit

    def submit(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        world = current()
        if world is not None and self not in _used(world):
            _begin_to_use(world, self)
        return real(self, *args, **kwargs)

    before = module._global_shutdown_lock  # which is held while a thread is started
    kept_in = (module, "set", InOrder)  # a pool its threads
    locks = (module, "_global_shutdown_lock", instead_of(before) or before)
    names = (kind, "_counter", itertools.count().__next__)  # the same in every run
    return [locks, kept_in, names, (kind, "submit", named(submit, real))]


def _used(world: World) -> dict[Any, bool]:
    """Pools that a scenario's program has used, and whether each is done with: it has made, or ended, it."""
    pools: dict[Any, bool] = world.holdings.pools
    return pools


def _begin_to_use(world: World, pool: Any) -> None:
    made_here = isinstance(pool._work_queue, Queue)
    if not made_here and any(thread.is_alive() for thread in pool._threads):
        world.refuse(NOT_SIMULATED.format("ThreadPoolExecutor.submit", _BEFORE))
    if not made_here:
        pool._work_queue, pool._shutdown_lock, pool._threads = Queue(), Lock(), InOrder()
        pool._idle_semaphore = Semaphore(0)
    _used(world)[pool] = made_here


def shut_down(world: World, threads: Threads) -> None:
    """The program has returned: let what its pools have been given be done, and their threads then end."""
    for pool in _used(world):
        _used(world)[pool] |= pool._shutdown
    module: ModuleType | None = sys.modules.get(_MODULE)
    if module is not None:
        for thread, queue in [*vars(module)["_threads_queues"].items()]:
            if thread.ident in threads.alive:
                queue.put(None)


def shutting_down(value: bool | None) -> bool | None:
    """Say to all pools whether the interpreter shuts down; returns what was said before. None: nobody asks."""
    module: Any = sys.modules.get(_MODULE)
    if module is None or value is None:
        return None
    before: bool = module._shutdown
    module._shutdown = value
    return before


def put_away(world: World) -> None:
    """The program is out: what it leaves of pools is of no use any more, but for those from before."""
    pools = _used(world)
    while pools:
        pool, made_here = pools.popitem()
        if made_here and not _is_of_the_loop(pool):
            pool._shutdown = pool._shutdown or bool(pool._threads)
        else:
            pool._shutdown = False
            pool._work_queue, pool._shutdown_lock, pool._threads = RealQueue(), allocate_lock(), set()
            pool._idle_semaphore = Semaphore(0)
    for pool in [*world.holdings.thread_pools]:
        pool._state = _TERMINATE
        if hasattr(pool, "_terminate"):  # else it was never made
            pool._terminate.cancel()  # its threads have ended


def _is_of_the_loop(pool: Any) -> bool:
    """Whether it is the one of an event loop that runs on, and is then to make another one."""
    events: Any = sys.modules.get("asyncio.events")  # Any: imported by whoever uses it
    loop: Any = None if events is None else events._get_running_loop()
    if getattr(loop, "_default_executor", None) is not pool:
        return False
    loop._default_executor = None
    return True


# -- the one of multiprocessing ---------------------------------------------------------------------

_TERMINATE: Final = "TERMINATE"
"""What such a pool says of itself when it is of no use any more."""


class _News(Queue):
    """What tells the one of its threads that looks after the others that something has changed: a pipe, else."""

    __slots__ = ()

    @property
    def _reader(self) -> _News:
        return self


class _Context:
    """What it takes of `multiprocessing` for itself."""

    SimpleQueue: Final = _News


def _of_thread_pools(module: Any) -> list[Method]:
    kind = module.Pool
    begins, waits, asks = kind.__init__, kind._wait_for_updates, kind._check_running

    def makes(self: Any, *args: Any, **kwargs: Any) -> None:
        world = current()
        if world is None:
            begins(self, *args, **kwargs)
        elif not isinstance(self, module.ThreadPool):
            world.refuse(PROCESSES)
        else:
            world.holdings.thread_pools[self] = None
            begins(self, *args, **{**kwargs, "context": _Context})

    def wait_for(sentinels: Any, change_notifier: Any, timeout: float | None = None) -> None:
        if not isinstance(change_notifier, _News):
            waits(sentinels, change_notifier, timeout)
            return
        change_notifier.get()
        while not change_notifier.empty():
            change_notifier.get()

    def check(self: Any) -> None:
        world = current()
        if world is not None and self._state == module.RUN and self not in world.holdings.thread_pools:
            threads = isinstance(self, module.ThreadPool)
            world.refuse(NOT_SIMULATED.format("ThreadPool", _BEFORE) if threads else PROCESSES)
        asks(self)

    return [
        (kind, "__init__", named(makes, begins)),
        (kind, "_wait_for_updates", staticmethod(named(wait_for, waits))),
        (kind, "_check_running", named(check, asks)),
    ]


LATE: Final[Late] = {_MODULE: _of_pools, "multiprocessing.pool": _of_thread_pools}

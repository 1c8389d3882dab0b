"""The event loop of asyncio on which a scenario can be entered, and on which scenarios run coroutines.

Owns that its time and its selector are those of the scenario as long as there is one, and real otherwise, by what
asyncio lets a loop say of itself: it is given a selector, and overrides `time()`. Owns, too, what becomes of the block
of an `async with Scenario()` when the run is over, or has failed. Imported only where asyncio is.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .._current import current
from .._ending.ending import PATIENCE
from .._play.clock import AT_ONE_INSTANT, MONOTONIC, SECOND
from .._simulated.kinds import default_selector
from .._system import FIRST_NUMBER, REAL_SELECTORS
from .._threads.not_woken import let_go

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping
    from contextvars import Context
    from selectors import SelectorKey
    from typing import TypeVar

    from .._world.world import World

    T = TypeVar("T")

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_monotonic: Final = time.monotonic

BEFORE: Final = 1e9
"""What the time of a loop begins at outside of scenarios: what waits there then waits until the scenario is over."""

GOES_ON: Final = (
    "the block of `async with Scenario()` was cancelled, as the run is over, and goes on waiting: does it catch"
    " CancelledError, and not let it out?"
)


CUT_OFF: Final = (
    "the scenario that a fixture has entered was over, as all its peers are done, while this test still waited: it was"
    " cancelled, and what it had still to do is not done. Enter the scenario in the test, by"
    " `async with Scenario() as net:`, whose block is left then; or let the test end by itself before its peers do"
)


class EventLoop(asyncio.SelectorEventLoop):
    """asyncio's own event loop, in the time and on the network of the scenario in which it is used.

    A loop factory: for `asyncio.Runner(loop_factory=EventLoop)`, and whatever else takes one. Made in a run, it is
    that run's. Made elsewhere, it is an ordinary loop in real time, until `async with Scenario()` is entered on it.
    """

    __module__ = "mockselector"

    def __init__(self) -> None:
        self._world = world = current()
        self._switch = Switch() if world is None else None
        self._asked = 0  # how often for the time, at ...
        self._asked_at = -1  # ... that of the scenario, ...
        self._answer = 0.0  # ... and what it was told
        selector = default_selector(world) if world is not None else self._switch
        super().__init__(selector)
        _hears_of_real(selector)

    def time(self) -> float:
        """As `asyncio.BaseEventLoop.time`: what `time.monotonic()` says in the scenario."""
        world = self._world
        if world is None:
            return BEFORE + _monotonic()
        now = world.clock.now
        if now != self._asked_at:
            self._asked_at, self._asked, self._answer = now, 1, (MONOTONIC + now) / SECOND
        elif self._asked < AT_ONE_INSTANT:
            self._asked += 1
        else:
            return world.clock.monotonic()
        return self._answer

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:  # Any: as `asyncio`
        """As `asyncio.BaseEventLoop.run_until_complete`.

        Where a scenario that another task has entered, as that of a fixture, is over and has cancelled this one, what
        was found is raised, or RuntimeError, which says so.
        """
        try:
            return super().run_until_complete(future)
        except asyncio.CancelledError as error:
            block = None if self._switch is None else self._switch.block
            if block is None or not block.is_cut_off:
                raise
            block.tells()
            raise RuntimeError(CUT_OFF) from error

    def call_soon_threadsafe(  # type: ignore[override]  # Python 3.10 has no words for its type parameters
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:  # Any: of whatever callback
        """As `asyncio.BaseEventLoop.call_soon_threadsafe`: through the loop's pipe, which is then to be looked at."""
        if self._world is not None:
            self._world.stirs += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def _enters(loop: EventLoop, world: World, block: Block) -> None:
    """A scenario is put under what runs on this loop."""
    assert loop._switch is not None
    loop._switch.turns_to(default_selector(world), block)
    loop._world, loop._asked_at = world, -1
    world.holdings.loops[loop] = None


def _leaves(loop: EventLoop) -> None:
    """It is taken away; does nothing when that is done."""
    if loop._world is not None and loop._switch is not None:
        loop._world = None
        let_go(loop)
        loop._switch.turns_back()
        if loop.get_debug():
            loop._switch.excuses(loop)


class Switch(selectors.BaseSelector):
    """A real selector, in the place of which there is a scenario's for a while."""

    def __init__(self) -> None:
        self._real: selectors.BaseSelector = REAL_SELECTORS["DefaultSelector"]()
        self._now: selectors.BaseSelector = self._real
        self.block: Block | None = None
        self._excused: Callable[[], object] | None = None

    def excuses(self, loop: EventLoop) -> None:
        """What runs now on a loop in debug mode has begun in another time: it is not told that it took so long."""
        if self._excused is None:
            self._excused = partial(setattr, loop, "slow_callback_duration", loop.slow_callback_duration)
            loop.slow_callback_duration = math.inf

    def turns_to(self, other: selectors.BaseSelector, block: Block) -> None:
        """From now on it is another one; real descriptors go on being watched."""
        keys = [*self._real.get_map().values()]
        for key in keys:
            other.register(key.fileobj, key.events, key.data)
        if len(keys) == 1:
            _hears_of_real(other)
        self._now, self.block = other, block

    def turns_back(self) -> None:
        """It is the real one again, with the real descriptors that are watched by now. Does nothing if it is."""
        if self._now is self._real:
            return
        other, self._now, self.block = self._now, self._real, None
        left = {key.fd: key for key in other.get_map().values() if key.fd < FIRST_NUMBER}
        for key in [*self._real.get_map().values()]:
            if key.fd not in left:
                self._real.unregister(key.fd)
        watched = {key.fd for key in self._real.get_map().values()}
        for number, key in left.items():
            (self._real.modify if number in watched else self._real.register)(number, key.events, key.data)
        other.close()

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """As `selectors.BaseSelector.select`."""
        if self._excused is not None:
            self._excused()
            self._excused = None
        if self.block is None:
            return self._now.select(timeout)
        return self.block.select(self._now, timeout)

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:  # Any: as `selectors`
        """As `selectors.BaseSelector.register`."""
        return self._now.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> SelectorKey:  # Any: likewise
        """As `selectors.BaseSelector.unregister`."""
        return self._now.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:  # Any: likewise
        """As `selectors.BaseSelector.modify`."""
        return self._now.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, SelectorKey]:  # Any: likewise
        """As `selectors.BaseSelector.get_map`."""
        return self._now.get_map()

    def close(self) -> None:
        """As `selectors.BaseSelector.close`."""
        if self.block is not None:  # of a task that was lost: an interrupt came before its loop had it on the list
            self.block.gives_up()
        self.turns_back()
        self._real.close()


class Block:
    """The block of one `async with Scenario()`: the test's own coroutine is what is run."""

    def __init__(
        self,
        world: World,
        is_own: Callable[[BaseException], bool],
        gives_up: Callable[[], object],
        tells: Callable[[], object],
    ) -> None:
        loop = running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._world: Final = world
        self._is_own: Final = is_own
        self.gives_up: Final = gives_up
        self.tells: Final = tells
        self._loop: Final = loop
        self._task: Final = task
        self._before: Final[set[object]] = {*asyncio.all_tasks(loop)}
        self._over: Final[asyncio.Future[None]] = loop.create_future()
        self._inside = True
        self._cancelled = 0
        """How often the task was cancelled because the run is over."""
        world.stopping.mains.append((task, self._ends))
        _enters(loop, world, self)

    def select(self, selector: selectors.BaseSelector, timeout: float | None) -> list[tuple[SelectorKey, int]]:
        """Wait; what is raised there ends the block, and not the loop, which is that of the test."""
        waits = timeout is None or timeout > 0
        if waits and self._world.ending.times >= PATIENCE:
            self.gives_up()
            raise self._world.monitor.violation or RuntimeError(GOES_ON)
        try:
            return selector.select(timeout)
        except BaseException as error:
            if not self._is_own(error) and error is not self._world.monitor.violation:
                raise
            self._is_over()
            return []

    def _ends(self) -> None:
        self._loop.call_soon_threadsafe(self._is_over)

    def _is_over(self) -> None:
        if not self._over.done():
            self._over.set_result(None)
        if self._inside or self._cancelled:
            self._cancelled += 1
            mains = [main for main, _ in self._world.stopping.mains if not main.done()]
            (mains[-1] if self._task.done() and mains else self._task).cancel()

    @property
    def is_over(self) -> bool:
        """Whether the run has come to its end, or has failed."""
        return self._over.done()

    @property
    def is_cut_off(self) -> bool:
        """Whether it is over for a task that has not entered it: who has is done, and another one will leave it."""
        return self._task.done() and (self.is_over or self._world.stopping.cancelled)

    async def leaves(self, error: BaseException | None) -> BaseException | None:
        """Its code is out: let the scripts come to their end, then cancel what was begun in it.

        Returns what came out of it: not the cancellation by which it was ended.
        """
        self._inside = False
        if isinstance(error, GeneratorExit):  # it is thrown away, and no loop runs any more
            return error
        world, error = self._world, self._not_ours(error)
        if error is None and not self.is_over and world.termination.is_server:
            world.termination.is_left = True
            error = await self._unless_cancelled(self._over)
        others = self._before.union(main for main, _ in world.stopping.mains)
        others.add(asyncio.current_task())  # another one than has entered it, where it is a fixture's
        tasks = [one for one in asyncio.all_tasks(self._loop) if one not in others]
        for task in tasks:
            task.cancel()
        if tasks:
            again = await self._unless_cancelled(asyncio.wait(tasks, timeout=world.grace / SECOND))
            error = error or again
        return error

    async def _unless_cancelled(self, awaits: Awaitable[object]) -> BaseException | None:
        """Wait; returns by what that was cancelled, if not by the end of the run."""
        try:
            await awaits
        except asyncio.CancelledError as error:
            return self._not_ours(error)
        return None

    def _not_ours(self, error: BaseException | None) -> BaseException | None:
        many, self._cancelled = self._cancelled, 0
        for _ in range(many):
            getattr(self._task, "uncancel", int)()  # since Python 3.11
        return None if many and isinstance(error, asyncio.CancelledError) else error

    def close(self) -> None:
        """Put the loop back as it was. Does nothing when that is done."""
        _leaves(self._loop)


def _hears_of_real(selector: object) -> None:
    """The one real descriptor of a simulated selector is the pipe of its loop to itself."""
    hears: Any = getattr(selector, "hears_of_real", None)  # Any: it may be one over the loopback, which has not
    if hears is not None:
        hears()


def running_loop() -> EventLoop:
    """The loop on which a scenario is to be entered; RuntimeError, which says how, if it is a real one."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, EventLoop):
        raise RuntimeError(
            f"`async with Scenario()` was entered on {type(loop).__module__}.{type(loop).__qualname__}, which waits in"
            " real time: the loop must be a mockselector.EventLoop. With pytest-asyncio: in conftest.py, def"
            " pytest_asyncio_loop_factories(config, item): return {'scenario': mockselector.EventLoop}. With anyio's"
            " plugin: a fixture anyio_backend that returns ('asyncio', {'loop_factory': mockselector.EventLoop})."
            " Else: asyncio.Runner(loop_factory=mockselector.EventLoop). Or make the test a plain function, and write"
            " net.run(main)"
        )
    if loop._world is not None:
        if loop._world.dialling.outside is not None:
            loop._world.refuse(
                "the test enters a scenario of its own by `async with`, and runs in one already:"
                " @pytest.mark.mockselector(simulate=False) leaves it alone"
            )
        raise RuntimeError("a scenario is under this event loop already: leave its block before another one is entered")
    return loop

"""What starts a thread, a fork or a worker, and what waits for one.

Owns that a scenario runs in one thread: a start is refused, a wait is one of virtual time.
"""

from __future__ import annotations

import _queue
import _thread
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from .._current import current
from .._judge.holding_up import judge_held_up
from .doors import DoorType, for_a_tool, named
from .processes import NOT_SIMULATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .doors import Late, Method, Pair

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

THREADS: Final = (
    "threads and processes are not simulated: a scenario runs in one thread. Use the class without ThreadingMixIn"
    " or ForkingMixIn (socketserver.TCPServer, http.server.HTTPServer), or tell the framework to do without"
    " (Flask: app.run(threaded=False); asyncio: no to_thread() or run_in_executor()). A Thread,"
    " a Timer or an executor of the program's own: leave it out of this test, by a switch or a patch, and test what it"
    " does by itself; or, where the server only hands work to it, patch it with what does the work at once: a class"
    " whose start() calls run(), an executor whose submit() calls the function and returns a Future that is done"
)


def _starts() -> Iterable[Pair]:
    starts = [(_thread, "start_new_thread"), (_thread, "start_new"), (_thread, "start_joinable_thread")]
    starts += [(os, "fork"), (os, "forkpty")]
    for owner, name in starts:
        if hasattr(owner, name):
            yield getattr(owner, name), thread_stand_in(getattr(owner, name))


def thread_stand_in(real: Callable[..., Any]) -> Callable[..., Any]:
    """What starts a thread or a process: refused in a scenario, to whoever calls it."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        world = current()
        if world is not None:
            world.refuse(THREADS)
        return real(*args, **kwargs)

    return named(stand_in, real)


_real_join: Final = threading.Thread.join


def _join(self: threading.Thread, timeout: float | None = None) -> None:
    world = current()
    waits = timeout is None or timeout > 0
    others = waits and self is not threading.current_thread() and self.is_alive()
    if world is not None and others and not for_a_tool(sys._getframe(1)):
        world.refuse(NOT_SIMULATED.format("Thread.join", "it waits in real time for a thread that was started before"))
    _real_join(self, timeout)


_RealQueue: Final[Any] = _queue.SimpleQueue  # Any: of whatever
_OurQueue: Final[Any] = vars(queue)["_PySimpleQueue"]  # Any: the stubs do not tell of it


class SimpleQueue(metaclass=DoorType):
    """What stands in for `queue.SimpleQueue`: in a scenario, Python's own one, which waits in virtual time."""

    real, ours = _RealQueue, _OurQueue

    def __new__(cls) -> Any:  # Any: one of both kinds
        """A queue."""
        if current() is None:
            return _RealQueue()
        return _OurQueue()


_real_wait: Final = threading.Condition.wait


def wait(self: threading.Condition, timeout: float | None = None) -> bool:
    """As `threading.Condition.wait` (and so `Event.wait`); in a scenario, of virtual time."""
    world = current()
    if world is None:
        return _real_wait(self, timeout)
    inside: Any = self  # Any: what the class has of its own
    waiter = _thread.allocate_lock()
    waiter.acquire()
    inside._waiters.append(waiter)
    saved = inside._release_save()
    since = world.clock.now
    try:
        notified = world.wait_for(lambda: not waiter.locked(), timeout)
        if world.monitor.pedantic:
            judge_held_up(world.monitor, since, "wait", "threading")
        return notified
    finally:
        inside._acquire_restore(saved)
        if waiter.locked():
            inside._waiters.remove(waiter)


def _of_pools(name: str, *methods: str) -> Callable[[Any], list[Method]]:
    def wanted(module: Any) -> list[Method]:
        kind = getattr(module, name)
        return [(kind, method, thread_stand_in(getattr(kind, method))) for method in methods if hasattr(kind, method)]

    return wanted


def pairs() -> list[Pair]:
    """What is replaced wherever a module has it."""
    return [(_RealQueue, SimpleQueue), *_starts()]


def in_classes() -> list[Method]:
    """Methods that are replaced in their class."""
    start = thread_stand_in(threading.Thread.start)
    return [(threading.Thread, "start", start), (threading.Thread, "join", _join), (threading.Condition, "wait", wait)]


LATE: Final[Late] = {
    "concurrent.futures.process": _of_pools("ProcessPoolExecutor", "submit"),
    "concurrent.futures.thread": _of_pools("ThreadPoolExecutor", "submit"),
    "multiprocessing.pool": _of_pools("Pool", "_check_running"),
    "multiprocessing.process": _of_pools("BaseProcess", "start"),
}

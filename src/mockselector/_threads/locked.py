"""A thread that waits for a lock.

Owns how such a wait begins and ends, where there are other threads and where there are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._play.clock import nanoseconds
from .threads import Threads

if TYPE_CHECKING:
    from .strands import Waiter
    from .threads import Course

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


def parks(course: Course, waiter: Waiter, timeout: float | None, call: tuple[str, str]) -> None:
    """A program waits until somebody else lets it go on, or for so many seconds."""
    threads = course.threads
    if threads is None:
        alone = Threads.of(course).main
        alone.waiter, alone.since = waiter, course.clock.now
        try:
            course.wait_for(waiter.is_released, timeout)
        finally:
            alone.waiter = None
    elif (course.monitor.violation is None and not course.ending.times) or course.check_running(timeout):
        course.monitor.idling.has_waited()
        deadline = None if timeout is None else course.clock.now + nanoseconds(max(timeout, 0))
        guards = course.monitor.pedantic and waiter.lock.guards
        if not guards or waiter.lock.holder() is threads.own().holder:
            threads.parks(waiter, deadline, call)  # what a thread has itself stands for an event, or for a queue
            return
        threads.wanted[waiter] = threads.own()
        try:
            threads.parks(waiter, deadline, call)
        finally:
            del threads.wanted[waiter]

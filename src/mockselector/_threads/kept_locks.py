"""A lock that is held while its holder waits for the network, and another thread waits for that lock.

Owns `[lock-held-while-waiting]`. A lock that is there for one connection is held right so: whoever waited for it goes
on with that connection. So it is judged when that one lets go of the lock. Knows of locks that there is somebody who
has them; who waits for them, others keep.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .._judge.errors import Finding
from .._judge.tail import in_thread
from .._judge.trace import WIDTH, caller, place, seconds_text
from .strands import Kept, Waiter, name_of
from .thread_table import call_text, name_of_lock, of_the_program, waiting_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from .._judge.monitor import Monitor
    from .._judge.trace import Nanoseconds
    from .strands import Strand, Takeable

    class Baton(Protocol):
        """What it takes of those threads."""

        @property
        def running(self) -> Strand: ...

    class Run(Protocol):
        """What it takes of the world."""

        @property
        def monitor(self) -> Monitor: ...
        @property
        def threads(self) -> Baton | None: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


def note_kept(wanted: Mapping[Waiter, Strand], me: Strand, now: Nanoseconds) -> None:
    """A thread has waited for the network: has it kept others waiting that want a lock which it has?"""
    frame = None
    for waiter, strand in wanted.items():
        long = now - max(me.since, strand.since)
        if long > (0 if waiter.kept is None else waiter.kept.long) and waiter.lock.holder() is me.holder:
            frame = frame or caller(1)
            waiter.kept = Kept(long, name_of(me), me.call, (frame.f_code, frame.f_lasti))


def keeps(course: Run, waiter: Waiter) -> Waiter | None:
    """Who has waited for a lock has it: what judges when it lets go of it again; None: nothing does."""
    kept, monitor = waiter.kept, course.monitor
    if kept is None or course.threads is None or monitor.violation is not None:
        return None
    record = next((one for one in monitor.records if one.name == kept.call[1]), None)
    if not monitor.in_force("lock-held-while-waiting", record):
        return None
    me, lock = name_of(course.threads.running), name_of_lock(waiter.lock, of_the_program(sys._getframe()))
    long, call = seconds_text(kept.long), call_text(kept.call)
    what = f"{me} waited {long} for {lock}, which {kept.holder} held while it waited in {call}"
    way = [(in_thread("waits", kept.holder), place(*kept.where))]
    socket = None if record is None else record.name
    finding = Finding("lock-held-while-waiting", socket, {"what": what}, way=way)
    return _WhenLetGo(waiter.lock, monitor, kept.call[1], finding)


class _WhenLetGo(Waiter):
    """Stands first among those that wait for a lock: judges, when it is let go of, what was done with it."""

    __slots__ = ("_finding", "_from", "_its", "_monitor")

    def __init__(self, lock: Takeable, monitor: Monitor, its: str, finding: Finding) -> None:
        super().__init__(lock)
        self._monitor = monitor
        self._its = its
        self._finding = finding
        self._from = len(monitor.rows)

    def release(self) -> None:
        """Let the next one have it, and judge."""
        self.lock.release()
        monitor = self._monitor
        if self._its not in monitor.rows[self._from + 1 :: WIDTH] and monitor.violation is None:
            monitor.append("wait", "threading", None, waiting_line())
            monitor.found(self._finding)

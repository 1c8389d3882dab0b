"""A socket that two threads read, or two write, at the same time.

Owns `[used-by-two]`: while a thread waits in such a call, the same call by another one breaks the rule. That stands in
the table of the socket's life for as long as the wait lasts, so that whoever does not wait asks for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

from .._judge.rules import InUse
from .._judge.tail import in_thread
from .._judge.trace import caller, place, seconds_text
from .strands import name_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from .._judge.records import Record
    from .._judge.rules import Cell, Operation
    from .strands import Strand

    class Baton(Protocol):
        """What it takes of those threads."""

        @property
        def running(self) -> Strand: ...


T = TypeVar("T")

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


def alone_in(threads: Baton, record: Record, operation: Literal["recv", "send"], wait: Callable[[], T]) -> T:
    """Wait, in a call that no other thread is to make meanwhile."""
    monitor, me = record.monitor, threads.running
    before = record.moves[operation]
    if isinstance(before, InUse) and before.by != me.serial:
        monitor.perform(record, operation)
    if not monitor.in_force("used-by-two", record):
        return wait()
    frame = caller(2)
    since, name = seconds_text(monitor.now), name_of(me)
    doing = "reads" if operation == "recv" else "sends"
    fields = {
        "used": "read" if operation == "recv" else "written to",
        "what": f"{name} has waited in {operation}() on it since {since}",
    }
    in_use = InUse("used-by-two", me.serial, fields, ((in_thread(doing, name), place(frame.f_code, frame.f_lasti)),))
    record.moves = _with(record, operation, in_use)
    try:
        return wait()
    finally:
        plain = monitor.life[record.phase]
        moves = _with(record, operation, plain[operation])
        record.moves = plain if moves == plain else moves


def _with(record: Record, operation: Operation, cell: Cell) -> dict[Operation, Cell]:
    moves = dict(record.moves)
    moves[operation] = cell
    return moves

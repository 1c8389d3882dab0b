"""A connection that the thread which has accepted it has left: will another thread come to it?

Owns that question, for `[accepted-not-registered]` where there are several threads. One that is at work may take it
from a queue when it is done; one that has it in a variable may only wait for its turn. Where neither is so, all others
wait for what a connection that was handed to them would have brought them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from .._judge.trace import outwards
from .._system import number_of, real_socket
from .._whose import INSIDE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from types import FrameType
    from typing import Protocol

    from .._judge.errors import Finding
    from .._judge.monitor import Monitor
    from .._judge.records import Record
    from .strands import Strand

    class Crew(Protocol):
        """What it takes of those threads."""

        @property
        def alive(self) -> Mapping[int, Strand]: ...

    class Run(Protocol):
        """What it takes of the world."""

        @property
        def monitor(self) -> Monitor: ...
        @property
        def crew(self) -> Crew | None: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


def left_to_nobody(course: Run, *, at_end: bool, among: Collection[Record] | None = None) -> list[Finding]:
    """The findings about connections, `among` these, to which no thread will come, or the only one has not come.

    at_end: it is the end of the run that comes first to who waits for a time only.
    """
    left = course.monitor.sleeping.left
    if course.monitor.whose is None or course.crew is None:
        return [left.finding(record) for record in left.untouched() if among is None or record in among]
    strands = course.crew.alive
    found: list[Finding] = []
    for record in left.untouched():
        others = [one for one in strands.values() if one.serial != record.thread]
        if among is not None and record not in among:
            continue
        if not any(_is_at_work(one, at_end=at_end) for one in others) and not _have(strands.values(), record):
            found.append(left.finding(record))
    return found


def _is_at_work(strand: Strand, *, at_end: bool) -> bool:
    """Whether it may go on by itself, and take up something else."""
    if not strand.begun or not strand.wait:
        return True
    if strand.done is not None and strand.call[0] not in ("select", "accept", "join"):
        return True  # it waits for one peer
    return at_end and strand.deadline is not None


def _have(strands: Iterable[Strand], record: Record) -> bool:
    """Whether a thread but that which has accepted it has it in a variable, or an object of its own that has it."""
    frames = sys._current_frames()
    mine: dict[int, object] = {}
    others: list[object] = []
    for strand in strands:
        for value in _variables(frames.get(strand.ident)):
            if strand.serial == record.thread:
                mine[id(value)] = value
            else:
                others.append(value)
    number = record.number
    return any(_is_of(one, number) or (id(one) not in mine and _has(one, number)) for one in others)


def _variables(frame: FrameType | None) -> Iterator[object]:
    for one in outwards(frame):
        if one.f_code.co_filename not in INSIDE:
            yield from [*one.f_locals.values()]


def _has(thing: object, number: int) -> bool:
    """Whether an object has that socket: as a request handler has its own, and a thread what it is called with."""
    inside: Any = getattr(thing, "__dict__", None)  # Any: of whatever it has
    if not issubclass(type(inside), dict):
        return False
    called_with: Any = inside.get("_kwargs")
    more: list[Any] = [*called_with.values()] if issubclass(type(called_with), dict) else []
    return any(_is_of(one, number) for one in [*inside.values(), *more])


def _is_of(thing: object, number: int) -> bool:
    """Whether it is that socket, its number, or a tuple with it."""
    kind, things = type(thing), cast("Any", thing)  # by its class, and not what it says that it is
    if issubclass(kind, tuple):
        return any(_is_of(one, number) for one in things)
    if issubclass(kind, real_socket):
        return number_of(thing) == number
    return kind is int and bool(thing == number)

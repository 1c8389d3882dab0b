"""An event loop that sleeps and has something to do: another thread gave it that, and did not wake it.

Owns what is called of a loop in another thread than its own, and what `[stuck]` says of that. Nothing is looked at, and
nothing costs, as long as there is but one thread. Knows asyncio by the names of a loop's attributes only.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import ref

from .._judge.reasons import own_line
from .._judge.trace import place
from .strands import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping
    from types import CodeType
    from typing import Protocol

    from .._judge.trace import Place
    from .strands import Strand

    class Baton(Protocol):
        """What it takes of those threads."""

        @property
        def running(self) -> Strand: ...
        @property
        def alive(self) -> Mapping[int, Strand]: ...

    class Loops(Protocol):
        """What it takes of what the program has."""

        @property
        def loops(self) -> Iterable[Any]: ...  # Any: of whatever class
        @property
        def from_outside(self) -> MutableMapping[Any, Any]: ...  # Any: likewise; each an `Outside`

    class Run(Protocol):
        """What it takes of the world."""

        @property
        def call(self) -> tuple[str, str]: ...
        @property
        def threads(self) -> Baton | None: ...
        @property
        def holdings(self) -> Loops: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_CALL: Final = "call_soon"

ADVICE: Final = (
    "{} has given the event loop something to do by call_soon(), or by what calls that (a future's set_result(),"
    " asyncio.Queue, asyncio.Event, create_task()). In another thread than the loop's, that does not wake it:"
    " loop.call_soon_threadsafe() does, and asyncio.run_coroutine_threadsafe()."
)


class Outside(NamedTuple):
    """Something that another thread has given to a loop."""

    handle: ref[Any]
    thread: str
    where: tuple[CodeType, int] | None


class NotWoken(NamedTuple):
    """What is to be said of a loop that sleeps nevertheless."""

    way: tuple[tuple[str, Place], ...] = ()
    advice: str = ""


def watch(course: Run) -> None:
    """There are several threads: what loops that run are given by others than their own is known from now on."""
    for loop in [*course.holdings.loops]:
        if loop.is_running():
            listen(course, loop)


def listen(course: Run, loop: Any) -> None:  # Any: as above
    """The same of a loop that is about to run."""
    if course.threads is not None and _CALL not in vars(loop):
        vars(loop)[_CALL] = partial(_call_soon, course, ref(loop))


def let_go(loop: Any) -> None:  # Any: likewise
    """It does not run any more, or is no loop of a scenario's."""
    if _CALL in vars(loop):
        del loop.call_soon


def _call_soon(course: Run, of: ref[Any], /, *args: Any, **kwargs: Any) -> Any:  # Any: of whatever callback
    """As an event loop's `call_soon`."""
    loop: Any = of()  # which is there: it is called
    handle = loop.__class__.call_soon(loop, *args, **kwargs)
    threads = course.threads
    if get_ident() != loop._thread_id and threads is not None:
        course.holdings.from_outside[loop] = Outside(ref(handle), name_of(threads.running), own_line(sys._getframe(1)))
    return handle


def not_woken(course: Run) -> NotWoken:
    """What is to be said if a loop sleeps with something to do that another thread gave it."""
    for loop, outside in course.holdings.from_outside.items():
        if not any(one is outside.handle() for one in loop._ready):
            continue
        strand = None if course.threads is None else course.threads.alive.get(loop._thread_id)
        if (course.call if strand is None else strand.call)[0] == "select":
            way = () if outside.where is None else ((f"{outside.thread}: calls", place(*outside.where)),)
            return NotWoken(way, ADVICE.format(outside.thread))
    return NotWoken()

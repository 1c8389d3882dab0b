"""A thread of a program as its scenario knows it, and how the system begins one and is rid of it.

Owns what is known of a thread: what it waits for, and how its run is ended. Knows nothing of who goes on when.
"""

from __future__ import annotations

import _thread
import sys
from _thread import allocate_lock, get_ident
from threading import gettrace
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from types import CodeType
    from typing import TypeAlias

    from .._ending.ending import Ending
    from .._judge.trace import Nanoseconds, Place
    from .._kernel.descriptors import Descriptor

    Ready: TypeAlias = "deque[tuple[Strand, int]]"
    """Threads, and which of its waits each is in: one that does not wait for that any more is none of it."""

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

MOST: Final = 10_000
"""So many threads there may be besides the first one: one that starts them without end does not take the system."""

LINGERS: Final = 5.0
"""Seconds of real time in which a thread that has ended is gone."""


class Holder:
    """A thread as somebody that has something; its number in the system is soon another one's."""

    __slots__ = ("ident", "name")

    def __init__(self) -> None:
        self.ident = 0
        self.name = ""
        """What it was called, if it was a program's and has ended."""


class _Here(_thread._local):
    """Each thread has its own."""

    def __init__(self) -> None:
        self.holder = Holder()
        self.holder.ident = get_ident()


here: Final = _Here()
"""`here.holder`: the thread that runs, whatever it is."""


class Takeable:
    """What a thread can have, and others wait for: a lock."""

    __slots__ = ()

    what: ClassVar[str] = "a lock"
    """What whoever wants it waits in, in words."""
    guards: ClassVar[bool] = True
    """Whether it is taken so that others do not come in; else it is held for as long as something lasts."""

    def holder(self) -> Holder | None:
        """Which thread has it; None: nobody does."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of it."""
        raise NotImplementedError


class Kept(NamedTuple):
    """A wait for the network, by a thread that has a lock which others want."""

    long: Nanoseconds
    holder: str
    call: tuple[str, str]
    where: tuple[CodeType, int]


class Standing(NamedTuple):
    """What is said of a thread that is there, and where it stands."""

    name: str
    state: str
    where: Place | None


class Waiter:
    """Somebody that waits until somebody else lets it go on."""

    __slots__ = ("_ready", "_strand", "_wait", "kept", "lock", "released")

    def __init__(self, lock: Takeable) -> None:
        self.lock: Final = lock
        """What is waited for."""
        self.released = False
        """Whether somebody has."""
        self.kept: Kept | None = None
        """In what whoever has it has waited meanwhile, if that was for the network."""
        self._ready: Ready | None = None
        self._strand: Strand | None = None
        self._wait = 0

    def waits(self, ready: Ready, strand: Strand) -> None:
        """It is a thread that waits, from now on; `ready`: where it goes on."""
        self._ready, self._strand, self._wait = ready, strand, strand.wait

    def release(self) -> None:
        """Let it go on."""
        self.released = True
        if self._ready is not None and self._strand is not None:
            self._ready.append((self._strand, self._wait))

    def is_released(self) -> bool:
        """The same as a question to be asked."""
        return self.released


NO_WAIT: Final = 0, None, None, None, ("", ""), 0
"""What a thread waits for that does not wait."""


class Strand:
    """One thread of a program, as its scenario knows it; its attributes are many: most say what it waits for."""

    __slots__ = (
        "asks", "begun", "call", "daemon", "deadline", "done", "ended", "ending", "error", "found", "goes_on", "holder",
        "ident", "join", "last", "lost", "name", "native", "on", "returned", "selects", "serial", "since", "turn",
        "wait", "waiter", "work",
    )  # fmt: skip

    def __init__(self, serial: int, ending: Ending) -> None:
        self.serial: Final = serial
        self.ending: Final = ending
        self.turn: Final = allocate_lock()
        """Held but for the moment in which it gets the baton."""
        self.turn.acquire()
        self.ident = 0
        self.holder = Holder()  # as what locks know it
        self.native = 0  # its number for the kernel
        self.lost = False
        """Whether the baton was taken away from it, while it waited for something real."""
        self.daemon = True
        """Whether the program does not wait for its end."""
        self.begun = False
        self.name = ""
        """What it was called when it ended."""
        self.last: Standing | None = None
        """Where it waited when the run was over, if it did."""
        self.work: Callable[[bool], object] | None = None
        """What it does, if it has not begun to."""
        self.join: Callable[[], object] = _nothing
        """Waits, in real time, until the system is rid of it."""
        self.wait = 0
        """The number of its wait; 0: it does not wait."""
        self.done: Callable[[], object] | None = None
        self.on: Descriptor | None = None
        """The socket without which the answer to that does not change; None: it may at any time."""
        self.asks = 0
        """Which it is of all that have begun to have such a question; 0: it has none now."""
        self.deadline: Nanoseconds | None = None
        self.call: tuple[str, str] = ("", "")
        self.since: Nanoseconds = 0
        self.waiter: Waiter | None = None
        """If it waits, or has last waited, for somebody to let it go on."""
        self.found: object = None
        self.error: BaseException | None = None
        """What its question has raised."""
        self.goes_on = False
        """Whether it was chosen: what it waits for is there, or its time is up."""
        self.ended = False
        """Whether it is to be ended where it waits."""
        self.selects: Final[list[str]] = []
        """In which selectors it was the first to wait."""
        self.returned = False  # of the `Monitor`: whether its last select() returned anything

    def state(self) -> tuple[Any, ...]:
        """What it waits for, to be waited for again."""
        return self.wait, self.done, self.on, self.deadline, self.call, self.since

    def restore(self, state: tuple[Any, ...]) -> None:
        """Wait for that again."""
        self.wait, self.done, self.on, self.deadline, self.call, self.since = state


def name_of(strand: Strand) -> str:
    """What a thread is called."""
    threading: Any = sys.modules.get("threading")  # Any: of whoever uses it
    thread: Any = None if threading is None else threading._active.get(strand.ident)
    return f"thread {strand.serial}" if thread is None else str(thread.name)


class _Bootstrap:
    """The function of a thread of the system; called what the program's own is, where that is told."""

    __slots__ = ("_runs", "_strand")

    def __init__(self, runs: Callable[[Strand], object], strand: Strand) -> None:
        self._runs: Callable[[Strand], object] = runs
        self._strand: Strand | None = strand

    def __call__(self) -> None:
        runs, strand = self._runs, self._strand
        self._runs, self._strand = _nothing, None  # what it has had goes before the thread does
        if strand is not None:
            follows = gettrace()
            if follows is not None:  # who follows all threads follows this one from here on
                sys.settrace(follows)
            runs(strand)


def _nothing(*_: object) -> None: ...


def _joins(strand: Strand, handle: Any) -> Callable[[], object]:  # Any: of Python 3.13
    return lambda: handle.join(LINGERS)


_start_new: Final = _thread.start_new_thread
_start_joinable: Final[Any] = getattr(_thread, "start_joinable_thread", None)  # Any: of Python 3.13
_sentinel: Final[Any] = getattr(_thread, "_set_sentinel", None)  # Any: up to Python 3.12

if _start_joinable is not None:

    def begin(runs: Callable[[Strand], object], strand: Strand) -> None:
        """A thread of the system."""
        handle = _start_joinable(_Bootstrap(runs, strand), daemon=True)
        strand.ident = handle.ident
        strand.join = _joins(strand, handle)

else:  # pragma: no cover  (up to Python 3.12)

    class _WithSentinel(_Bootstrap):
        """Likewise, with a lock that the system lets go of when the thread is gone."""

        __slots__ = ()

        def __call__(self) -> None:
            if self._strand is not None:
                gone = _sentinel()
                gone.acquire()
                self._strand.join = lambda: gone.acquire(True, LINGERS)
            super().__call__()

    def begin(runs: Callable[[Strand], object], strand: Strand) -> None:
        """A thread of the system."""
        strand.ident = _start_new(_WithSentinel(runs, strand), ())

"""What starts a thread, and what waits for one; what forks, or starts a worker, is refused.

Owns that the threads of a program are its scenario's: how one begins and ends for the program that has started it,
what is seen of it afterwards, and what is waited for at the end of a run. Which of them runs is `_threads/threads.py`'s
business, what they wait for each other with is in `locks`.
"""

from __future__ import annotations

import _thread
import itertools
import os
import sys
import threading
from _thread import get_ident
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .._current import current, enter, is_alone, leave
from .._ending.ending import EndException
from .._judge.errors import ScenarioError
from .._text import shown
from .._threads.not_woken import watch
from .._threads.threads import Threads
from .._whose import whose
from . import pools
from .doors import for_a_tool, named
from .locks import Lasting, Lock, Sentinel
from .processes import NOT_SIMULATED, process_stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._threads.strands import Strand
    from .._world.world import World
    from .doors import Late, Method, Pair

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


# -- a thread begins ---------------------------------------------------------------------------------


def _starts() -> Iterable[Pair]:
    for name in ("start_new_thread", "start_new"):
        yield getattr(_thread, name), named(_start_new_thread(getattr(_thread, name)), getattr(_thread, name))
    for owner, name in ((os, "fork"), (os, "forkpty")):
        if hasattr(owner, name):
            yield getattr(owner, name), process_stand_in(getattr(owner, name))
    real: Any = getattr(_thread, "start_joinable_thread", None)  # Any: of Python 3.13
    if real is not None:
        yield real, named(_start_joinable_thread, real)
    real = getattr(_thread, "_set_sentinel", None)
    if real is not None:  # pragma: no cover  (up to Python 3.12)
        yield real, named(_set_sentinel, real)


def _start_new_thread(real: Callable[..., Any]) -> Callable[..., Any]:
    def start(*given: Any) -> int:
        world = current()
        right = [callable, _is_tuple, _is_dict]
        if world is None or len(given) < 2 or not all(asks(one) for asks, one in zip(right, given, strict=False)):
            ident: int = real(*given)  # it refuses what is not right
            return ident
        return _begin(world, given[0], given[1], given[2] if len(given) > 2 else {}, int).ident

    return start


def _is_tuple(thing: object) -> bool:
    return isinstance(thing, tuple)


def _is_dict(thing: object) -> bool:
    return isinstance(thing, dict)


def starter(real: Callable[..., Any]) -> Callable[..., Any]:
    """What starts a thread in a scenario, in the place of one of those that `_thread` has."""
    return _start_joinable_thread if real is _real_joinable else _start_new


_start_new: Final = _start_new_thread(_thread.start_new_thread)
_real_joinable: Final[Any] = getattr(_thread, "start_joinable_thread", None)  # Any: of Python 3.13


def _start_joinable_thread(function: Any, handle: Any = None, daemon: bool = True) -> Any:
    """As `_thread.start_joinable_thread`, of Python 3.13."""
    world = current()
    if world is None:
        return _real_joinable(function, handle, daemon)
    if not callable(function):
        return _real_joinable(function, handle, daemon)  # it refuses it
    ours = Handle()
    thread: Any = getattr(function, "__self__", None)  # Any: mostly a `threading.Thread`
    if handle is not None and getattr(thread, "_handle", None) is handle:
        thread._handle = ours  # its own one knows nothing of a scenario, and is not kept: a thread is started once
    ours.strand = _begin(world, function, (), {}, ours.ends, daemon=daemon)
    ours.ident = ours.strand.ident
    return ours


class Handle:
    """As `_thread._ThreadHandle`, of Python 3.13: what is known of a thread that was started."""

    __slots__ = ("_done", "_ended", "_process", "ident", "strand")

    def __init__(self) -> None:
        self._process: Final = os.getpid()
        self.ident = 0
        self.strand: Strand | None = None
        self._done = False
        self._ended: Final = Lasting()
        self._ended.acquire()

    def ends(self) -> None:
        """It has ended: whoever waits for that goes on."""
        if not self._done:
            self._done = True
            self._ended.release()

    def is_done(self) -> bool:
        """Whether it has ended."""
        world = current()
        done = self._done or self._is_left_behind()
        if world is not None and not done:
            world.spinning.looks()
        return done

    def _is_left_behind(self) -> bool:
        """Whether this is the child of a fork, in which only the thread that has forked goes on."""
        return self._process != os.getpid() and self.ident != get_ident()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended."""
        if self.ident == get_ident() and not self._done:
            raise RuntimeError("Cannot join current thread")
        if self._done or self._is_left_behind():
            return
        if self._ended.acquire(True, -1 if timeout is None else timeout):
            self._ended.release()

    def _set_done(self) -> None:
        self.ends()


def _begin(
    world: World, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any],
    ended: Callable[[], object], *,
    daemon: bool = True,
) -> Strand:  # fmt: skip
    """A thread of the program; `ended` is called when it ends."""
    world.check_not_acting("start a thread")
    key = object()
    box: list[Any] = [function, args, kwargs]
    sentinels: list[Sentinel] = []

    def work(begins: bool) -> None:
        enter(world, key)
        _sentinels[get_ident()] = sentinels
        function, args, kwargs = box
        box.clear()
        try:
            if begins:
                function(*args, **kwargs)
            else:  # the run is over, and nobody is to take it for one that will
                vars(threading)["_limbo"].pop(getattr(function, "__self__", None), None)
        except EndException as error:
            if error.args[0] is not world:
                raise
        except SystemExit:
            pass  # as the interpreter does
        except Exception as error:  # only of a bare thread: `threading` has its hook
            if not isinstance(error, ScenarioError) or error is not world.monitor.violation:
                _has_died(world, error)
                raise
        finally:
            name = str(getattr(getattr(function, "__self__", None), "name", ""))
            del function, args, kwargs
            _sentinels.pop(get_ident(), None)
            if world.crew is not None:
                world.crew.running.name = name
            for lock in sentinels:
                if lock.locked():
                    lock.release()
            ended()
            leave(get_ident(), key)

    strand = Threads.of(world).start(work, daemon=daemon)
    watch(world)
    return strand


def _has_died(world: World, error: Exception) -> None:
    """A bare thread has, of what nobody has dealt with in it, and whoever hears of that."""
    step = error.__traceback__
    error.__traceback__ = None if step is None else step.tb_next  # the first frame is ours
    if not _is_own(sys.unraisablehook, sys.__unraisablehook__):
        world.monitor.unhandled.heard(error, "a thread", BARE)


_sentinels: Final[dict[int, list[Sentinel]]] = {}  # of the threads of scenarios


def _set_sentinel() -> Any:  # Any: one of both kinds  # pragma: no cover  (up to Python 3.12)
    """As `_thread._set_sentinel`, up to Python 3.12: a lock that is let go of when the thread ends."""
    mine = _sentinels.get(get_ident())
    if mine is None:
        return _real_sentinel()
    mine.append(Sentinel())
    begun: dict[Any, threading.Thread] = vars(threading)["_limbo"]
    thread = next((one for one in begun.values() if one.ident == get_ident()), None)
    world = current()
    if world is not None and world.crew is not None and thread is not None:
        world.crew.alive[get_ident()].daemon = thread.daemon
    return mine[-1]


_real_sentinel: Final[Any] = getattr(_thread, "_set_sentinel", None)  # Any: up to Python 3.12


# -- somebody waits for one ---------------------------------------------------------------------------

_real_join: Final = threading.Thread.join


def _join(self: threading.Thread, timeout: float | None = None) -> None:
    world = current()
    waits = timeout is None or timeout > 0
    others = waits and self is not threading.current_thread() and self.is_alive()
    if world is not None and others and not for_a_tool(sys._getframe(1)):
        inside = vars(self)
        if not isinstance(inside.get("_handle"), Handle) and not isinstance(inside.get("_tstate_lock"), Lock):
            world.refuse(
                NOT_SIMULATED.format("Thread.join", "it waits in real time for a thread that was started before")
            )
    _real_join(self, timeout)


# -- the end ------------------------------------------------------------------------------------------


def wait_for_threads(world: World) -> None:
    """The program has returned: as the interpreter does, wait for its threads."""
    if world.threads is None:
        return
    before = pools.shutting_down(True)
    try:
        pools.shut_down(world, world.threads)
        world.threads.finish()
    finally:
        pools.shutting_down(before)


def end_threads(world: World) -> None:
    """The program is out: what of its threads is left is ended."""
    if world.crew is not None:
        world.crew.close()
        pools.put_away(world)
    if vars(threading)["_limbo"] and is_alone():
        _forget_unbegun()


def _forget_unbegun() -> None:
    """What an interrupt has kept from starting is in no list of those that are about to."""
    about_to: dict[Any, Any] = vars(threading)["_limbo"]  # Any: threads, of whose own things two are asked for
    for thread in [*about_to]:
        if isinstance(thread._started._cond._lock, Lock) and not thread._started.is_set():
            about_to.pop(thread, None)


THREADING: Final = ("threading.excepthook()", "a threading.excepthook of the program's own.")
BARE: Final = ("sys.unraisablehook()", "a try in the function of the thread.")
"""What tells of it, and how a program may deal with it."""


def _is_own(hook: Any, real: object) -> bool:  # Any: whatever can be called
    """Whether it is the program's own, and not the interpreter's or a tool's."""
    while isinstance(hook, partial):
        hook = hook.func
    code = getattr(hook, "__code__", None) or getattr(type(hook).__call__, "__code__", None)
    return hook is not real if code is None else whose(code.co_filename) == "own"


def _excepthook(before: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """As `threading.excepthook`; that a scenario has ended a thread is nothing to be told."""
    deals = _is_own(before, threading.__excepthook__)  # whoever has put one there deals with what it is told

    def excepthook(args: Any, /) -> Any:  # Any: what it is given has no public name
        world = current()
        error = args.exc_value
        if world is not None:
            if isinstance(error, EndException) or error is world.monitor.violation:
                return
            if not deals and error is not None and not isinstance(error, SystemExit):
                who = "a thread" if args.thread is None else f"thread {shown(args.thread.name)}"
                world.monitor.unhandled.heard(error, who, THREADING)
        before(args)

    return excepthook


# -- all of it ----------------------------------------------------------------------------------------


def _of_workers(name: str, *methods: str) -> Callable[[Any], list[Method]]:
    def wanted(module: Any) -> list[Method]:
        kind = getattr(module, name)
        return [(kind, method, process_stand_in(getattr(kind, method))) for method in methods if hasattr(kind, method)]

    return wanted


def pairs() -> list[Pair]:
    """What is replaced wherever a module has it."""
    return [*_starts()]


def in_classes() -> list[Method]:
    """Methods that are replaced in their class, and a hook in its module."""
    names = (threading, "_counter", itertools.count(1).__next__)  # the same in every run
    hook = (threading, "excepthook", _excepthook(threading.excepthook))
    return [(threading.Thread, "join", _join), hook, names]


LATE: Final[Late] = {
    "concurrent.futures.process": _of_workers("ProcessPoolExecutor", "submit"),
    "multiprocessing.process": _of_workers("BaseProcess", "start"),
}

"""Where the tasks of an asyncio program stand: for each that is not done, the `await` at which it waits.

Owns how a task is followed to the innermost line of the user's own code, and the text of all of them. asyncio is only
looked at where the program has imported it, and only for the loop that runs in this thread: the scenario's. Runs only
when a run has failed, or has come to an end with something open.
"""

from __future__ import annotations

import gc
import sys
from weakref import WeakKeyDictionary, WeakSet

from .._system import number_of, real_socket
from .._text import shown
from .._whose import INSIDE, whose
from .reasons import Reason, reason
from .trace import Place, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from types import FrameType
    from typing import Any, Final

MOST: Final = 10
"""How many places are shown at which tasks stand."""

_FRAME: Final = type(sys._getframe())

DEEP: Final = 200
"""How many awaits in each other are followed."""

ages: Final[WeakKeyDictionary[Any, int]] = WeakKeyDictionary()
"""The tasks that scenarios' programs have made: in which order."""

mains: Final[WeakSet[Any]] = WeakSet()
"""What event loops were run for: whoever runs one is told what that has died of."""

_NUMBERED: Final = "Task-"
"""How a name begins that asyncio has given, by a counter of the whole process."""


def running_loop() -> object:
    """The loop of asyncio that runs in this thread; None: none does."""
    asyncio: Any = sys.modules.get("asyncio")  # Any: it is not imported for that
    try:
        return None if asyncio is None else asyncio.get_running_loop()
    except (AttributeError, RuntimeError):  # it is being imported; no loop is running
        return None


def standing(outer: int, number: int = -1, name: str = "") -> list[tuple[str, Place]]:
    """For each place at which tasks of the running loop stand: who stands there, and the place.

    Those that stand in code of the user's own first, of these the latest first: the oldest is the main one.
    outer: the `id()` of a loop that is the test's. number, name: of the connection in question, whose tasks come first.
    """
    loop = running_loop()
    if loop is None or id(loop) == outer:
        return []
    asyncio: Any = sys.modules["asyncio"]
    found: dict[tuple[str, Place], int] = {}
    for task in sorted(asyncio.all_tasks() - {asyncio.current_task()}, key=_age, reverse=True):
        where = _place(task.get_coro())
        if where is not None:
            of = f" of {name}" if number >= 0 and _has(task.get_coro(), number) else ""
            who = f"{name_of(task)}{of}"
            found[who, where] = found.get((who, where), 0) + 1
    shared = [(f"{count:,} x {who}" if count > 1 else who, where) for (who, where), count in found.items()]
    return sorted(shared, key=lambda one: (whose(one[1].file) != "own", not one[0].endswith(f" of {name}")))


def _has(coroutine: object, number: int) -> bool:
    """Whether a coroutine, or what it awaits, has a stream or a socket with that number in one of its variables."""
    return any(_number_of(value) == number for frame in _frames(coroutine) for value in frame.f_locals.values())


def _number_of(value: object) -> int:
    """The number of a socket, or of that of asyncio's streams and transports; -1: it is nothing of the kind."""
    kind = type(value)  # not what it says that it is: proxies of frameworks raise what they like
    if issubclass(kind, real_socket):
        return number_of(value)
    if not str(kind.__module__).startswith("asyncio."):
        return -1
    ask: Any = getattr(value, "get_extra_info", None)
    return -1 if ask is None else number_of(ask("socket"))


def failed_tasks(outer: int) -> list[Reason]:
    """What tasks of this thread's loop have died of, that nobody has asked for so far; outer: as above."""
    loop = running_loop()
    if loop is None or id(loop) == outer:
        return []
    errors = [exception_of(one) for one in dead_tasks((loop,)) if one not in mains]
    own = __package__  # what a run is ended with, or has found, is told otherwise
    return [reason(error) for error in errors if isinstance(error, BaseException) and type(error).__module__ != own]


def dead_tasks(loops: Container[object]) -> list[Any]:  # Any: tasks
    """The tasks of these loops that have died of an exception for which nobody has asked, in the order of their age."""
    return [one for one in sorted(ages, key=ages.__getitem__) if one.get_loop() in loops and _is_unasked(one)]


def _is_unasked(task: Any) -> bool:
    # Asking with exception() would count as having asked: the program's own log would then say nothing.
    return bool(task.done() and getattr(task, "_log_traceback", False))


def exception_of(task: Any) -> BaseException | None:
    """What a task has died of, without asking for it."""
    error: BaseException | None = getattr(task, "_exception", None)
    return error


def name_of(task: Any) -> str:
    """What a task is called: by the name that the program has given it, if it has, and by its coroutine."""
    called = str(getattr(task.get_coro(), "__qualname__", "task")).rpartition("<locals>.")[2]
    return f"{_given_name(task)}{shown(called)}()"


def suspended_tasks() -> list[Any]:
    """Tasks that no loop runs any more. That they are pending, nobody need say: they were ended."""
    left = [one for one in ages if not (one.done() or one.get_loop().is_running())]
    for task in left:
        task.get_loop().set_exception_handler(_says_nothing)
    return left


def close_tasks(forces: Callable[[], object], left: Callable[[], object]) -> None:
    """Close what tasks that no loop runs any more have left suspended; what that raises is nobody's.

    forces: raises in every line, until left() is called: for tasks that were cancelled before, and went on.
    """
    for task in suspended_tasks():
        coroutine = task.get_coro()
        is_stubborn = getattr(task, "cancelling", int)() > 0
        try:
            for _ in range(DEEP):
                if is_stubborn:
                    forces()
                try:
                    coroutine.close()
                    break
                except KeyboardInterrupt:
                    raise
                except BaseException:  # it ends by that, or awaits again
                    if getattr(coroutine, "cr_frame", None) is None:
                        break
            else:
                _never_ending.append(coroutine)
        finally:
            left()


def _says_nothing(*_: object) -> None: ...


_never_ending: Final[list[object]] = []
"""Coroutines that await whatever is raised in them: to be kept, as the collector would complain of them."""


def _age(task: Any) -> tuple[int, str]:
    name: str = task.get_name()
    return (int(name[len(_NUMBERED) :]) if _is_numbered(name) else 0), name


def _is_numbered(name: str) -> bool:
    return name.startswith(_NUMBERED) and name[len(_NUMBERED) :].isdecimal()


def _given_name(task: Any) -> str:
    """The name that the program has given it, if it has."""
    name: str = task.get_name()
    return "" if _is_numbered(name) else f"{shown(name)}: "


def _place(coroutine: object) -> Place | None:
    """The innermost line of the user's own code in a chain of awaits; else of a package, else the innermost."""
    places = [place(frame.f_code, frame.f_lasti) for frame in _frames(coroutine)]
    for wanted in ("own", "installed"):
        for where in reversed(places):
            if whose(where.file) == wanted:
                return where
    return places[-1] if places else None


def _frames(coroutine: object) -> Iterator[FrameType]:
    """The frames of a coroutine and of all that it awaits, outermost first."""
    inner: Any = coroutine
    for _ in range(DEEP):
        if inner is None:
            return
        for kind, awaits in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            frame: FrameType | None = getattr(inner, f"{kind}_frame", None)
            if isinstance(frame, _FRAME):
                if frame.f_code.co_filename not in INSIDE:
                    yield frame
                inner = getattr(inner, awaits)
                break
        else:
            inner = _behind(inner)


def _behind(waiting: object) -> object:
    """What stands behind an object that only passes an await on, as the `__anext__()` of an async generator does."""
    if type(waiting).__name__ not in ("async_generator_asend", "async_generator_athrow", "coroutine_wrapper"):
        return None
    for one in gc.get_referents(waiting):
        if any(hasattr(one, f"{kind}_frame") for kind in ("cr", "gi", "ag")):
            return one
    return None

"""What tells the date without being given one.

Owns that `datetime.now()` and `utcnow()`, `time.localtime()`, `gmtime()`, `ctime()`, `asctime()` and `strftime()` are
at the scenario's date. (`date.today()` and `datetime.today()` ask `time.time()`, by its name.)

`datetime` is a type in C, which asks the system's clock itself, and of which no name can be set. A class in its place
would not be that type to whoever asks (`type(moment) is datetime`); a C function in the place of its own would have to
be a callback of `ctypes`, out of which no exception comes. So two of its names are set all the same, in the dict in
which the type has them, and what is found there is, in a scenario, a function of ours.
"""

from __future__ import annotations

import sys
import time as _time
from types import ClassMethodDescriptorType, MethodType
from typing import TYPE_CHECKING, Any, Final

from .._current import current
from .._play.clock import SECOND
from .clocks import date_world
from .doors import is_left_alone, named

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._play.clock import Clock
    from .doors import Late, Method, Pair

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

# -- time.localtime() and its like ------------------------------------------------------------------

_real_gmtime: Final = _time.gmtime
_real_localtime: Final = _time.localtime
_real_time: Final = _time.time


def _seconds() -> float | None:
    """Since the epoch, by the scenario's clock; None: it is real."""
    world = date_world()
    if world is not None:
        return world.clock.time_ns() // SECOND
    return None if current() is None else _real_time()  # of who has travelled, who may not have changed all of them


def _of_seconds(real: Callable[..., Any]) -> Callable[..., Any]:
    """In the place of a function that takes seconds, and without them, or with None, the time that it is."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        seconds = None if kwargs or args not in ((), (None,)) else _seconds()
        return real(*args, **kwargs) if seconds is None else real(seconds)

    return named(stand_in, real)


def _of_fields(real: Callable[..., Any], given: int) -> Callable[..., Any]:
    """In the place of a function that takes, behind so many arguments, the fields of a date, or else those of now."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        seconds = None if kwargs or len(args) != given else _seconds()
        return real(*args, **kwargs) if seconds is None else real(*args, _real_localtime(seconds))

    return named(stand_in, real)


def pairs() -> list[Pair]:
    """What is replaced wherever a module has it."""
    seconds = [(real, _of_seconds(real)) for real in (_time.localtime, _time.gmtime, _time.ctime)]
    return [*seconds, (_time.asctime, _of_fields(_time.asctime, 0)), (_time.strftime, _of_fields(_time.strftime, 1))]


# -- datetime.now() ---------------------------------------------------------------------------------

_DEPRECATED: Final = (
    "datetime.datetime.utcnow() is deprecated and scheduled for removal in a future version. Use timezone-aware objects"
    " to represent datetimes in UTC: datetime.datetime.now(datetime.UTC)."
)
"""As Python itself has it, from 3.12 on."""

_TAKES_C_FUNCTIONS: Final = ("time_machine", "importlib._bootstrap", "_frozen_importlib")
"""Who puts another C function into what is found by these names, or imports what does: nothing else may be found."""


class _Now:
    """Under a name of `datetime`: in a scenario a function of ours, else what was there."""

    __slots__ = ("_now", "_real")

    def __init__(self, real: Any, now: Callable[..., Any]) -> None:
        self._real: Final = real
        self._now: Final = now

    def __get__(self, instance: object, kind: Any = None) -> Any:  # Any: the type, or one that is derived from it
        real = self._real.__get__(instance, kind)
        if date_world() is None:
            return real
        frame = sys._getframe().f_back
        asks = "" if frame is None else str(frame.f_globals.get("__name__"))
        return real if asks in _TAKES_C_FUNCTIONS or is_left_alone(asks) else MethodType(self._now, real.__self__)


def _now(real: Any, from_timestamp: Any) -> _Now:
    def now(kind: Any, /, *args: Any, **kwargs: Any) -> Any:
        world = date_world()
        if world is None or len(args) + len(kwargs) > 1 or kwargs.keys() - {"tz"}:
            return real.__get__(None, kind)(*args, **kwargs)
        zone = args[0] if args else kwargs.get("tz")
        return from_timestamp.__get__(None, kind)(_microseconds(world.clock) / 1_000_000, zone)

    return _Now(real, named(now, real))


def _utcnow(real: Any) -> _Now:
    def utcnow(kind: Any, /, *args: Any, **kwargs: Any) -> Any:
        world = date_world()
        if world is None or args or kwargs:
            return real.__get__(None, kind)(*args, **kwargs)
        if sys.version_info >= (3, 12):
            from warnings import warn

            warn(_DEPRECATED, DeprecationWarning, stacklevel=2)
        seconds, rest = divmod(_microseconds(world.clock), 1_000_000)
        return kind(*_real_gmtime(seconds)[:6], rest, None)

    return _Now(real, named(utcnow, real))


def _microseconds(clock: Clock) -> int:
    return clock.time_ns() // 1000


class _Opened:
    """A type in C, the names of which can be set.

    Of a type that has changed a thousand times, CPython remembers no more what it has found: a look-up of a name of
    `datetime` then takes 30 ns longer, for the rest of the process.
    """

    __slots__ = ("_changed", "_kind", "_names")

    _changed: Callable[[type], object]
    _kind: type
    _names: dict[str, Any]

    def __init__(self, kind: type, names: dict[str, Any], changed: Callable[[type], object]) -> None:
        for name, thing in (("_kind", kind), ("_names", names), ("_changed", changed)):
            object.__setattr__(self, name, thing)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]  # of the type
        return self._names

    def __setattr__(self, name: str, thing: object) -> None:
        try:
            self._names[name] = thing
        finally:
            self._changed(self._kind)  # which remembers what it has found under a name


def _opened(kind: type) -> _Opened | None:
    """None: this Python has it otherwise, or lets nobody in."""
    import gc  # here, as ctypes: only a program that has dates needs them

    names: Any = vars(kind)  # Any: a view of a dict
    if sys.implementation.name != "cpython" or any(
        not isinstance(names.get(name), ClassMethodDescriptorType) for name in ("now", "utcnow", "fromtimestamp")
    ):
        return None
    found: list[dict[str, Any]] = [one for one in gc.get_referents(names) if type(one) is dict and one == names]
    try:
        import ctypes

        changed = ctypes.pythonapi.PyType_Modified
    except (ImportError, AttributeError):  # pragma: no cover  (a Python that was built without it)
        return None
    changed.argtypes, changed.restype = [ctypes.py_object], None
    return _Opened(kind, found[0], changed) if len(found) == 1 else None


_of_kind: Final[dict[type, list[Method]]] = {}  # what is to be set, by the type


def _of_datetime(module: Any) -> list[Method]:
    kind: type = module.datetime  # or whatever a test has put there
    if kind not in _of_kind:
        opened = _opened(kind)
        if opened is None:
            return []
        names = vars(kind)
        _of_kind[kind] = [
            (opened, "now", _now(names["now"], names["fromtimestamp"])),
            (opened, "utcnow", _utcnow(names["utcnow"])),
        ]
    return _of_kind[kind]


LATE: Final[Late] = {"datetime": _of_datetime}

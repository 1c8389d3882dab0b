"""When garbage is collected while a scenario is under a program.

Owns that one question. Python's collector runs when so many objects have been made, whoever made
them: a socket in a cycle would be closed at a moment that depends on what else the process does. So
it is off while a scenario runs, in whatever thread, and whoever runs one calls `collect()` where it
makes a difference. What was alive before is frozen meanwhile (`gc.freeze`): it costs a collection
nothing. As Python forgets by that how much there was to look through, it would never again look by
itself through what is old, and so what each run leaves is collected between runs. Owns as well that
what a server leaves behind goes while the run is still looked after. Knows nothing of scenarios.
"""

from __future__ import annotations

import gc
from _thread import RLock
from time import perf_counter

from .._judge.standing import close_tasks
from .ending import EndException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from .ending import Ending

OF_PYTHON: Final = 2000
"""More objects than a Python itself freezes as it starts, some hundred in 3.12; a program that freezes has more."""

SELDOM: Final = 20
"""Between runs all is looked through when runs have taken so many times as long as that took the last time."""

_lock: Final = RLock()
_open: Final[dict[Held, None]] = {}  # in all threads
_freezes = False
"""Whether the program has been seen to freeze objects of its own: they are its business from then on."""
_before: bool | None = None
"""Whether it was on; None: all is put back."""
_began = 0.0  # when the first of these was opened, in seconds
_since = 0.0  # how long runs have taken since all was last looked through
_took = 0.02  # how long that took


class Held:
    """As long as one of these is open, the collector runs only when it is called."""

    def begin(self) -> None:
        """From now on."""
        global _before, _began, _freezes
        with _lock:
            _open[self] = None
            if _before is None:
                _freezes = _freezes or gc.get_freeze_count() > OF_PYTHON  # to count them takes a while if they are many
                if _freezes:
                    gc.collect()  # else what an earlier run has left as garbage would be collected in this one
                _before, _began = gc.isenabled(), perf_counter()
                gc.disable()
                if not _freezes:
                    gc.freeze()

    def close(self) -> None:
        """Put back, with the last one, what was before. Does nothing when that is done."""
        global _before
        with _lock:
            if not _open.keys() - {self} and _before is not None:
                if not _freezes:
                    gc.unfreeze()
                if _before:
                    gc.enable()
                    if not _freezes:
                        _look_through_if_due()
                _before = None
            _open.pop(self, None)


def _look_through_if_due() -> None:
    """Between two runs: collect what earlier ones have left."""
    global _since, _took
    ends = perf_counter()
    _since += ends - _began
    if _since > SELDOM * _took:
        gc.collect()
        _since, _took = 0.0, perf_counter() - ends


def collect(*, whole: bool) -> None:
    """Collect what has become garbage since; whole: also with what was alive before."""
    if whole:
        _with_what_is_frozen(gc.collect)
    else:
        gc.collect()


def alive() -> list[object]:
    """All objects that the collector knows, what is frozen among them."""
    found: list[object] = _with_what_is_frozen(gc.get_objects)
    return found


def _with_what_is_frozen(act: Callable[[], Any]) -> Any:  # Any: whatever it returns
    with _lock:
        frozen = _before is not None and not _freezes
        if frozen:
            gc.unfreeze()
        try:
            return act()
        finally:
            if frozen:
                gc.freeze()


def clear(error: BaseException | None, forced: bool, ending: Ending) -> None:
    """Have done with what a server leaves behind, while somebody looks whether that ends.

    error: the end of its run, if nobody will see that. forced: it did not go by itself, and what it has left
    in a cycle may as little. ending: what that is ended with.
    """
    steps: list[Callable[[], object]] = [
        lambda: close_tasks(ending.force_out, ending.left),
        lambda: _clear_frames(error),
    ]
    if forced:
        steps.append(lambda: collect(whole=False))
    for step in steps:
        try:
            step()
        except EndException:  # it did not end
            pass
        finally:
            ending.left()


def _clear_frames(error: BaseException | None) -> None:
    from traceback import clear_frames  # here: only where a run was ended

    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__context__ if isinstance(error.__context__, EndException) else None

"""When garbage is collected while a scenario is under a program.

Owns that one question. Python's collector runs when so many objects have been made, whoever made
them: a socket in a cycle would be closed at a moment that depends on what else the process does. So
it is off while a scenario runs, in whatever thread, and whoever runs one calls `collect()` where it
makes a difference. What was alive before is frozen meanwhile (`gc.freeze`): it costs a collection
nothing. Knows nothing of scenarios.
"""

from __future__ import annotations

import gc
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_lock: Final = RLock()
_open: Final[dict[Held, None]] = {}  # in all threads
_before: tuple[bool, bool] | None = None
"""Whether it was on, and whether what was alive is frozen; None: all is put back."""


class Held:
    """As long as one of these is open, the collector runs only when it is called."""

    def begin(self) -> None:
        """From now on."""
        global _before
        with _lock:
            _open[self] = None
            if _before is None:
                _before = gc.isenabled(), not gc.get_freeze_count()  # what a program has frozen is its own business
                gc.disable()
                if _before[1]:
                    gc.freeze()

    def close(self) -> None:
        """Put back, with the last one, what was before. Does nothing when that is done."""
        global _before
        with _lock:
            if not _open.keys() - {self} and _before is not None:
                if _before[1]:
                    gc.unfreeze()
                if _before[0]:
                    gc.enable()
                _before = None
            _open.pop(self, None)


def collect(*, whole: bool) -> None:
    """Collect what has become garbage since; whole: also with what was alive before."""
    with _lock:
        frozen = whole and _before is not None and _before[1]
        if frozen:
            gc.unfreeze()
        gc.collect()
        if frozen:
            gc.freeze()

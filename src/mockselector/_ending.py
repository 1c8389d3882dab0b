"""How a strict run comes to its end: which exception the server gets, and which one the test.

Owns `EndException` and what becomes of a violation: raised in place by whoever found it, once more
from the next `select()`, then the run is ended; and when the test's block is left, the violation
comes out of it, but never in the place of an earlier exception. Knows the monitor, and no selector.
"""

from __future__ import annotations

import sys
import warnings

from ._errors import TOLD, ScenarioError, told
from ._escape import escape
from ._frames import leave_out_ours
from ._inflight import displaced

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType
    from typing import Final, NoReturn

    from ._monitor import Monitor

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

PATIENCE: Final = 3
"""How often a run is ended by an exception before the server is forced out."""

AT_ITS_END: Final = (
    "The script is at its end, and the server swallows every exception that select() ends it with."
    " Let EndException, a BaseException, out of its loop."
)

POLLS: Final = 1000
"""How many polls, select(0), an ended run still answers, so that an event loop can clean up."""


class EndException(BaseException):
    """The script is at its end. Raised by `select()`; `with selector:` swallows it."""

    __module__ = "mockselector"
    __qualname__ = "MockSelector.EndException"

    def __str__(self) -> str:
        return "the script is at its end"


class Ending:
    """How far a run has come in being ended."""

    __slots__ = ("_polls", "_repeated", "_undo", "monitor", "outside", "times")

    def __init__(self, monitor: Monitor, outside: CodeType) -> None:
        self.monitor: Final = monitor
        self.outside = outside
        """Whose frames are the test's, and are left alone."""
        self.times = 0
        """How often the run was ended by an exception."""
        self._repeated = False  # whether the violation was raised once more
        self._polls = 0  # answered since the end
        self._undo: Callable[[], None] | None = None  # what escape() returned

    def again(self, run: object, timeout: float | None) -> None:
        """A `select()` or another call that may wait, after a violation or the end.

        Returns if it is a poll, which finds nothing: an event loop that cleans up does that.
        """
        violation = self.monitor.violation
        if timeout is not None and timeout <= 0 and self._polls < POLLS:
            self._polls += 1
            return
        if violation is not None and not self._repeated:
            self._repeated = True
            raise violation
        self.end(run)

    def end(self, run: object) -> NoReturn:
        """End the run by an exception; if that was in vain often enough, from outside."""
        violation = self.monitor.violation
        self.monitor.ended = True
        self.times += 1
        end = EndException(run)
        if self.times > PATIENCE:
            why = AT_ITS_END if violation is None else str(violation)
            undo = escape(end, self.times - PATIENCE, self.outside, why)
            if self._undo is None:
                self._undo = undo
        raise end from violation

    def left(self) -> None:
        """The server is out: take back what forced it."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    def settle(self, error: BaseException | None, *, own: bool, before: Exception | None) -> bool:
        """What the test sees of a block left by `error`: that, else the violation. Whether `error` is swallowed.

        own: `error` is the `EndException` of this run. before: the violation before the end was judged.
        """
        violation = self.monitor.violation
        if error is not None and (own or error is violation):
            earlier = displaced(error)
            if earlier is not None and earlier is not violation and not isinstance(earlier, EndException):
                if violation is not None:
                    _add_note(earlier, str(violation))
                raise earlier from earlier.__cause__
        if violation is None or error is violation:
            return own
        if error is None or own:
            raise violation from violation.__cause__  # not from the end that it displaces
        if before is not None and (isinstance(error, Exception) or _came_of(error, violation)):
            raise violation from error
        _add_note(error, str(violation))
        return False


def _came_of(error: BaseException, violation: BaseException) -> bool:
    """Whether `error` was raised while the violation was dealt with."""
    before = error.__context__
    while before is not None and before is not violation:
        before = before.__context__
    return before is violation


def trim(error: BaseException | None) -> None:
    """Take our frames out of what the test gets to see of an exception."""
    if error is not None:
        leave_out_ours(error, (ScenarioError, NotImplementedError, OSError, EndException, KeyboardInterrupt))


def add_story(error: BaseException, monitor: Monitor, scripts: Sequence[str]) -> None:
    """Tell with an exception that comes out of a run what the server did last, and how far its peers came; once."""
    notes: list[str] = getattr(error, "__notes__", [])
    if error is monitor.violation or isinstance(error, (EndException, ScenarioError)):
        return
    if any(note.startswith(TOLD) or note == str(monitor.violation) for note in notes):
        return
    story = told(error, monitor.rows, monitor.circumstances(), scripts)
    if story:
        _add_note(error, story, warns="pytest" not in sys.modules)


if sys.version_info >= (3, 11):

    def _add_note(error: BaseException, note: str, *, warns: bool = True) -> None:
        error.add_note(note)

else:

    def _add_note(error: BaseException, note: str, *, warns: bool = True) -> None:
        # No traceback shows notes on 3.10. pytest reads them all the same; a warning reaches the rest.
        error.__notes__ = [*getattr(error, "__notes__", ()), note]  # type: ignore[attr-defined]  # as PEP 678
        if not warns:
            return
        try:
            warnings.warn(f"besides {type(error).__name__}: {note}", UserWarning, stacklevel=5)
        except UserWarning:
            pass  # turned into an error, it would replace the one it is a note to

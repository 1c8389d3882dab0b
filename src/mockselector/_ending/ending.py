"""How a strict run comes to its end: which exception the server gets, and which one the test.

Owns `EndException` and what becomes of a violation: raised in place by whoever found it, once more
from the next `select()`, then the run is ended; and when the test's block is left, the violation
comes out of it, but never in the place of an earlier exception. Knows the monitor, and no selector.
"""

from __future__ import annotations

import sys
import warnings

from .._judge.errors import TOLD, ScenarioError, told
from .._judge.reasons import is_dropping
from .displaced import displaced
from .forcing_out import Escape
from .frames import leave_out_ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import CodeType, FrameType
    from typing import Final, NoReturn

    from .._judge.monitor import Monitor

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

PATIENCE: Final = 3
"""How often a run is ended by an exception before the server is forced out."""

MANY: Final = 200
"""After so many more, made in handlers of the very exceptions that end it, it is not let handle them."""

POLLS: Final = 1_000_000
"""How many polls, select(0), an ended run still answers, so that an event loop can clean up, however large."""


class EndException(BaseException):
    """The script is at its end. Raised by `select()`; `with selector:` swallows it."""

    __module__ = "mockselector"
    __qualname__ = "MockSelector.EndException"

    def __str__(self) -> str:
        return "the script is at its end"


def interruption(run: object, error: KeyboardInterrupt | None = None) -> KeyboardInterrupt:
    """The KeyboardInterrupt that a scenario raises in its server, exactly as the real one but for a mark."""
    error = error or KeyboardInterrupt()
    vars(error)[_MARK] = run
    return error


def interruptions(run: object, error: BaseException) -> None:
    """Every KeyboardInterrupt that an exception has come from is the scenario's."""
    for one in _chain(error):
        if isinstance(one, KeyboardInterrupt):
            interruption(run, one)


def is_interruption(error: BaseException | None, run: object = None) -> bool:
    """Whether it is that one (of whatever run), or one that the server has raised in its place; not one of the user."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    ours = [error, *(_chain(error) if _is_raised_by_code(error) else ())]
    return any(run in (None, vars(one)[_MARK]) for one in ours if _MARK in vars(one))


_MARK: Final = "_mockselector_run"


def _is_raised_by_code(error: BaseException) -> bool:
    """Whether a `raise` has raised it, and not a signal, which does that between two instructions."""
    import dis  # here: only where an interrupt comes out of a server

    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and last.tb_frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and all that were being handled when it was raised, the latest first."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        yield one
        seen.add(id(one))
        one = one.__context__


class Ending:
    """How far a run has come in being ended."""

    __slots__ = (
        "_overtaken", "_run", "at_work", "escape", "is_answer", "monitor", "outside", "polls", "repeated", "times",
    )  # fmt: skip

    def __init__(self, monitor: Monitor, outside: CodeType) -> None:
        self.monitor = monitor
        self.outside = outside
        """Whose frames are the test's, and are left alone."""
        self.at_work = 1
        """In how many blocks the program runs: out of them there is nothing that could be got out of."""
        self.times = 0
        """How often the run was ended by an exception."""
        self.repeated = False
        """Whether the violation was raised once more."""
        self._overtaken: BaseException | None = None  # what was on its way out, and not out yet, when it was found
        self.polls = 0
        """How many were answered since the end, or since something was last done."""
        self.is_answer: Callable[[BaseException], bool] = lambda _: False
        """Whether an exception is what the server makes of being asked to stop."""
        self._run: object = None  # what is ended, while that takes force: not for longer, as it refers to this
        self.escape: Final = Escape(EndException, self._end_exception)

    def again(self, run: object, timeout: float | None) -> None:
        """A `select()` or another call that may wait, after a violation or the end.

        Returns if it is a poll, which finds nothing: an event loop that cleans up does that.
        """
        violation = self.monitor.violation
        if timeout is not None and timeout <= 0 and self.polls < POLLS:
            self.polls += 1
            return
        if violation is not None and not self.repeated:
            self.repeated, self.monitor.unraised = True, False
            raise violation
        self.end(run)

    def end(self, run: object) -> NoReturn:
        """End the run by an exception; if that was in vain often enough, from outside."""
        self.monitor.ended = True
        self.times += 1
        if self.times > PATIENCE and self.at_work:
            self.escape.harsh = self.escape.harsh or self.times > PATIENCE + MANY
            self._run = run
            self.escape.begin(sys._getframe(1), self.outside)  # the server's frames are what is wanted
        raise EndException(run) from self.monitor.violation

    def force(self, run: object, thread: int, frame: FrameType) -> None:
        """End a run from another thread, as its server calls nothing that could end it; `frame` is where it stands."""
        self.monitor.ended = True
        self._run = run
        self.times += 1
        self.repeated = True
        self.escape.harsh = self.escape.begun
        self.escape.unheard = is_dropping(frame, self.outside)
        self.escape.begin_in(thread, frame, self.outside)

    def overtakes(self, earlier: BaseException | None) -> None:
        """The program was out by an exception, of which its event loop has not heard before something was found."""
        if not self.repeated:  # else it may have come of that
            self._overtaken = earlier

    def _is_ours(self, error: BaseException) -> bool:
        return isinstance(error, EndException) or is_interruption(error) or self.is_answer(error)

    def force_out(self) -> None:
        """Raise in every line of the server that is executed from now on, until `left()`."""
        self.escape.begin(sys._getframe(1), self.outside)

    def _end_exception(self) -> EndException:
        end = EndException(self._run)
        end.__cause__ = self.monitor.violation
        return end

    def left(self) -> None:
        """The server is out: take back what forced it."""
        self.escape.left()
        self._run = None

    def settle(self, error: BaseException | None, *, own: bool, before: BaseException | None) -> bool:
        """What the test sees of a block left by `error`: that, else the violation. Whether `error` is swallowed.

        own: `error` is the `EndException` of this run, or its interrupt. before: the violation before the
        end was judged.
        """
        violation = self.monitor.violation
        if error is not None and (own or error is violation):
            earlier = displaced(error, dict(self.monitor.raised_at[::-1]) if error is violation else {})
            earlier = self._overtaken if earlier is None and error is violation else earlier
            if earlier is not None and earlier is not violation and not self._is_ours(earlier):
                if violation is not None:
                    _add_note(earlier, str(violation))
                raise earlier from earlier.__cause__
        if violation is None or error is violation:
            return own
        if error is None or own:
            raise violation from violation.__cause__  # not from the end that it displaces
        if self.monitor.unraised:
            before = None  # it has not come of that
        by_user = isinstance(error, KeyboardInterrupt)  # which nothing takes the place of
        if before is not None and not by_user and (isinstance(error, Exception) or violation in _chain(error)):
            met_again = isinstance(error, ScenarioError) and violation in _chain(error)
            raise violation from (violation.__cause__ if met_again else error)
        _add_note(error, str(violation))
        return False


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
    story = told(error, monitor.rows, monitor.witness.circumstances(), scripts)
    if story:
        _add_note(error, story, warns="pytest" not in sys.modules)


if sys.version_info >= (3, 11):

    def _add_note(error: BaseException, note: str, *, warns: bool = True) -> None:
        error.add_note(note)

else:  # pragma: no cover  (up to Python 3.10)

    def _add_note(error: BaseException, note: str, *, warns: bool = True) -> None:
        # No traceback shows notes on 3.10. pytest reads them all the same; a warning reaches the rest.
        error.__notes__ = [*getattr(error, "__notes__", ()), note]  # type: ignore[attr-defined]  # as PEP 678
        if not warns:
            return
        try:
            warnings.warn(f"besides {type(error).__name__}: {note}", UserWarning, stacklevel=5)
        except UserWarning:
            pass  # turned into an error, it would replace the one it is a note to

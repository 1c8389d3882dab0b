"""Strict selectors whose result nobody has asked for.

Owns when they are judged, and how that is told. A test that neither enters the selector's block nor
calls `verify()` does not see what was left over. It is told by a warning: when the selector is
dropped; else when a later test makes one; else when the interpreter exits. Not a word about what the
test has seen already, about one that is still in use, or about one of a test that has failed: its own
error is what counts. Knows test runners, and of a selector only what is asked here.
"""

from __future__ import annotations

import os
import sys
import warnings
from functools import cache
from itertools import count
from weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType, FrameType, TracebackType
    from typing import Any, Final, Protocol

    from .._judge.trace import Place

    class Strict(Protocol):
        """A strict selector."""

        def _in_use(self) -> bool:
            """Whether a block of it is open, or the server's thread, another one, still runs."""
            ...

        def _untold(self, how: str) -> Untold | None:
            """Judge it for good: what nobody has seen of that; None: nothing."""
            ...


class Untold:
    """What a selector has found, and nobody has seen."""

    __slots__ = ("text", "violation", "where")

    def __init__(self, text: str, where: Place | None, violation: BaseException) -> None:
        self.text: Final = text
        self.where: Final = where
        """Where its script is."""
        self.violation: Final = violation


_LIB: Final = os.path.dirname(os.__file__)
_RUNNERS: Final = tuple(
    os.path.join(_LIB, "unittest", name)
    for name in ("case.py", "async_case.py", "suite.py", "runner.py", "main.py", "loader.py")
)
_PASS_ON: Final = (os.path.join(_LIB, "unittest", "mock.py"), os.path.join(_LIB, "contextlib.py"))
_PYTEST: Final = (f"{os.sep}_pytest{os.sep}", f"{os.sep}pluggy{os.sep}")
LEFT: Final = "was left"

_CURRENT: Final = "PYTEST_CURRENT_TEST"

_serial: Final = count().__next__
_of_tests: dict[int, Unseen] = {}  # to be judged when another test makes a selector ...
_of_others: dict[int, Unseen] = {}  # ... or only when dropped, or at exit
_last_test: object = None
_process = 0  # in which the exit is waited for


def _is_runners(code: CodeType) -> bool:
    return _is_a_runners(code.co_filename)


@cache
def _is_a_runners(file: str) -> bool:
    return file in _RUNNERS or any(part in file for part in _PYTEST)


class Unseen:
    """One strict selector, from when it is made to when its result has reached somebody."""

    __slots__ = ("_failures", "_outcome", "_selector", "_serial", "_session", "codes", "maker", "test")

    def __init__(self, selector: Strict, frame: FrameType) -> None:
        self.maker: Final = frame.f_code
        self.codes: set[CodeType] = set()
        """Of the test's side: whoever made it, and whoever called that."""
        self.test: object
        self._outcome: Any = None  # Any: unittest's own notes on the test that runs
        self._session: object = None  # pytest's, which knows no more than how many tests have failed ...
        self._failures = 0  # ... when this one began
        self._look_at_stack(frame)
        self._selector = ref(selector)
        self._serial = _serial()
        _watch_exit()
        _sweep(self.test, frame)
        (_of_others if self.test is None else _of_tests)[self._serial] = self

    def _look_at_stack(self, frame: FrameType) -> None:
        test: object = os.environ.get(_CURRENT, "").rpartition(" (")[0] or None
        step: FrameType | None = frame
        while step is not None:
            code = step.f_code
            if not _is_runners(code):
                self.codes.add(code)
            elif code.co_name == "run" and code.co_filename in _RUNNERS and "outcome" in step.f_locals:
                self._outcome = test = step.f_locals["outcome"]
                break
            elif code.co_name == "pytest_fixture_setup":
                if getattr(step.f_locals.get("fixturedef"), "scope", "") != "function":
                    test = None  # it is there for several tests
            elif code.co_name == "runtestprotocol":
                self._session = getattr(step.f_locals.get("item"), "session", None)
                self._failures = getattr(self._session, "testsfailed", 0)
                break
            step = step.f_back
        self.test = test

    def settle(self) -> None:
        """Its result has reached somebody, or need not."""
        _of_tests.pop(self._serial, None)
        _of_others.pop(self._serial, None)

    def wait_for_exit(self) -> None:
        """It may still be in use, in a later test."""
        _of_tests.pop(self._serial, None)
        _of_others[self._serial] = self

    @property
    def selector(self) -> Strict | None:
        """None: there is none any more."""
        return self._selector()

    def has_failed(self) -> bool:
        """Whether its test has, for all that is known."""
        if self._outcome is not None:
            return not self._outcome.success
        return bool(getattr(self._session, "testsfailed", 0) != self._failures)

    def has_seen(self, error: BaseException, stack: Iterable[CodeType]) -> bool:
        """Whether an exception has reached the test. stack: what ran when it was raised, outermost last."""
        if error.__traceback__ is None:
            return True  # unittest's assertRaises() takes it away
        outside = set(self.codes)
        below = None
        for code in stack:
            if _is_runners(code):
                break
            if code.co_filename not in _PASS_ON:
                below = code
        else:
            below = None
        if below is not None:
            outside.add(below)  # the test's function: a runner has called it
        passed = [step.tb_frame.f_code for step in _steps(error.__traceback__)]
        return any(code in outside or _is_runners(code) for code in passed)


def _steps(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _sweep(test: object, frame: FrameType) -> None:
    """Another test has begun: those of earlier ones are at their end."""
    global _last_test
    if test is None or test == _last_test:
        return
    _last_test = test
    for unseen in tuple(_of_tests.values()):
        if unseen.test == test:
            continue
        selector = unseen.selector
        if selector is None or unseen.has_failed():
            unseen.settle()
        elif selector._in_use() or _is_running(unseen.maker, frame.f_back):
            unseen.wait_for_exit()
        else:
            unseen.settle()
            _Aside(selector)
        del selector  # it is not to live on for this


def _is_running(code: CodeType, frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False


class _Aside:
    """Judges a selector when it is dropped, which is at once: what that raises must not leave by a constructor.

    A warning may be an error (-W error), and the script of another test may be a generator that fails.
    """

    __slots__ = ("_selector",)

    def __init__(self, selector: Strict) -> None:
        self._selector = selector

    def __del__(self) -> None:
        untold = self._selector._untold(LEFT)
        if untold is not None:
            tell(untold)


def tell(untold: Untold) -> None:
    """Warn at the script, unless what a test leaves is asked for when it ends."""
    if _kept is not None:
        _kept.append(untold.violation)
        return
    where = untold.where
    warnings.warn_explicit(untold.text, UserWarning, where.file if where else "", where.line if where else 0)


_kept: list[BaseException] | None = None  # what was dropped, and nobody has seen, since that was last asked for


def keep_for_tests(*, keeps: bool) -> None:
    """From now on, `left_by_test()` is asked when a test ends."""
    global _kept
    _kept = [] if keeps else None


def left_by_test() -> list[BaseException]:
    """A test is over: what its selectors have found, and nobody has seen."""
    for unseen in tuple(_of_tests.values()):
        selector = unseen.selector
        if selector is not None and selector._in_use():
            unseen.wait_for_exit()
            continue
        unseen.settle()
        untold = None if selector is None else selector._untold(LEFT)
        if untold is not None:
            tell(untold)
    left = [*(_kept or ())]
    if _kept is not None:
        _kept.clear()
    return left


def _watch_exit() -> None:
    global _process
    if not _process:
        import atexit  # here: whoever makes no strict selector does not pay for it

        atexit.register(_at_exit)
        _process = os.getpid()


def _at_exit() -> None:
    if os.getpid() != _process:
        return  # a fork: they are the parent's
    for unseen in (*_of_tests.values(), *_of_others.values()):
        unseen.settle()
        selector = unseen.selector
        if selector is None or unseen.has_failed():
            continue
        try:
            untold = selector._untold(LEFT)
            if untold is not None:
                tell(untold)
        except Exception as error:  # a warning that is to be an error; whatever the script of a test raises
            sys.stderr.write(f"{type(error).__name__}: {error}\n")

"""Tests in a scenario without pytest: `ScenarioTestCase`, a `unittest.TestCase` that has one; `simulated` for the rest.

Owns when the scenario of a case is made and judged, and that what comes of a simulated case is told as its own.
"""

from __future__ import annotations

import functools
import sys
import unittest
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, ClassVar, Final, overload

from .._ending.ending import trim
from .._scenario import Scenario
from .simulating import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping
    from typing import TypeVar

    from typing_extensions import ParamSpec, Protocol

    from .._judge.rules import RuleId

    P = ParamSpec("P")
    R = TypeVar("R")
    C = TypeVar("C", bound="type[unittest.TestCase]")

    class Simulates(Protocol):
        """`simulated`, with options."""

        @overload
        def __call__(self, test: C, /) -> C: ...
        @overload
        def __call__(self, test: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, R]: ...
        @overload
        def __call__(self, test: Callable[P, R], /) -> Callable[P, R]: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class ScenarioTestCase(unittest.TestCase):
    """A test case whose tests have a scenario each: `self.net`, from `setUp()` on.

    It is left, and so judged, after `tearDown()` and all clean-ups, unless the test has failed already.
    """

    scenario_options: ClassVar[Mapping[str, Any]] = {}
    """Options of `Scenario`, for all tests of the class."""

    net: Scenario
    """A strict `Scenario`."""

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """As `unittest.TestCase.run`."""
        try:
            self._check_is_awaited()
            self.net = Scenario(**self.scenario_options)
        except (TypeError, ValueError):
            result = self.defaultTestResult() if result is None else result
            result.startTest(self)
            result.addError(self, sys.exc_info())
            result.stopTest(self)
            return result
        self.net._world.monitor.script = None  # a method of this class: whoever reads an error knows
        self.net.__enter__()
        try:
            return super().run(result)
        finally:
            self.net._run.let_go()
            self.net._run.settled = True  # of a test that was skipped, or has failed, nobody asks it

    def _check_is_awaited(self) -> None:
        name = self._testMethodName
        if iscoroutinefunction(getattr(self, name)) and not isinstance(self, unittest.IsolatedAsyncioTestCase):
            raise TypeError(
                f"{name} is a coroutine function, which unittest.TestCase calls and does not await: nothing of it would"
                f" be run. Write `def {name}(self)`, and let the scenario run a coroutine function: self.net.run(main)"
            )

    def doCleanups(self) -> Any:  # noqa: N802  (its name; Any: the stubs have None for a bool)
        """As `unittest.TestCase.doCleanups`; the scenario is left at last."""
        done = super().doCleanups()
        outcome: Any = getattr(self, "_outcome", None)  # Any: unittest's own notes on the test that runs
        if outcome is None or (outcome.success and not outcome.expectedFailure):
            self.addCleanup(self.net.__exit__, None, None, None)
        last = super().doCleanups()
        return bool(done) and bool(last)


@overload
def simulated(test: C, /) -> C: ...
@overload
def simulated(test: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, R]: ...
@overload
def simulated(test: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def simulated(
    *,
    allow: Collection[RuleId] = (),
    pedantic: bool = False,
    patience: float = 3600.0,
    grace: float = 60.0,
    buffer: int = 65536,
    date: float = ...,
    watchdog: float | None = 30.0,
) -> Simulates: ...
def simulated(test: Any = None, /, **options: Any) -> Any:  # Any: said by the overloads
    """Run a test inside of a scenario without scripted peers: both ends are the program's.

    A function, or a coroutine function, is called in one; so is each test of a `unittest.TestCase`, with its `setUp()`,
    `tearDown()` and clean-ups. Options are those of `Scenario`. Raises what was found (`ScenarioError`), and
    `unittest.SkipTest`, with the reason, where the test needs what is not simulated.
    """
    Scenario(**options)  # it refuses what is not right here, and not when the test is run
    if test is None:
        return functools.partial(_simulated, options=options)
    return _simulated(test, options)


def _simulated(test: Any, options: Mapping[str, Any]) -> Any:
    if isinstance(test, type) and issubclass(test, unittest.TestCase):
        test.run = _in_scenario(test.run, options)  # type: ignore[method-assign]
        return test
    if isinstance(test, type) or not callable(test):
        raise TypeError(f"@simulated is for a function or a unittest.TestCase; got {test!r}")

    @functools.wraps(test)
    def runs(*args: Any, **kwargs: Any) -> Any:
        simulation = Simulation(options)
        try:
            result = simulation.run(test, *args, **kwargs)
        except BaseException as error:
            trim(error)
            raise
        _tell(simulation)
        return result

    return runs


def _tell(simulation: Simulation) -> None:
    """Raise what has ended a run: a refusal or a finding."""
    if simulation.refusal:
        raise unittest.SkipTest(f"not simulated: {simulation.refusal}")
    if simulation.ended_by is not None:
        raise simulation.ended_by


_WRONG: Final = ("addError", "addFailure", "addUnexpectedSuccess")


class _Recorder:
    """A result of unittest's that notes what comes of a test, to tell it when its scenario is over."""

    def __init__(self, result: unittest.TestResult, simulation: Simulation) -> None:
        self._result: Final = result
        self._simulation: Final = simulation
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("add") or name == "addDuration":
            return getattr(self._result, name)

        def note(*given: Any) -> None:
            comes_of_the_end = name in _WRONG and self._simulation.is_over
            if not comes_of_the_end:
                self.calls.append((name, given))

        return note


def _in_scenario(run: Callable[..., Any], options: Mapping[str, Any]) -> Callable[..., Any]:
    """`TestCase.run`, inside of a scenario."""

    @functools.wraps(run)
    def runs(self: unittest.TestCase, result: unittest.TestResult | None = None) -> Any:
        if result is None:
            result = self.defaultTestResult()
        simulation = Simulation(options)
        recorder = _Recorder(result, simulation)
        simulation.run(run, self, recorder)
        for name, given in _told(self, recorder.calls, simulation):
            getattr(result, name)(*given)
        return result

    return runs


def _told(
    case: unittest.TestCase, calls: list[tuple[str, tuple[Any, ...]]], simulation: Simulation
) -> list[tuple[str, tuple[Any, ...]]]:
    """What came of a test: its own, but where a refusal or a finding is what is to be said."""
    if simulation.refusal:
        return [("addSkip", (case, f"not simulated: {simulation.refusal}"))]
    finding = simulation.ended_by
    if finding is None or any(name in _WRONG for name, _ in calls):
        return calls
    own = [one for one in calls if one[0] != "addSuccess"]
    try:
        raise finding
    except type(finding):
        return [*own, ("addFailure", (case, sys.exc_info()))]

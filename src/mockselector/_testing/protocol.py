"""Tests of pytest, each in a scenario, with its set-up, its fixtures and its tear-down.

Owns which tests share one: those that share a fixture of a wider scope that has made something in it. What came of a
run is told as what came of the tests.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import pytest
from _pytest.runner import runtestprotocol

from . import pages, telling
from .options import OBSERVE, is_simulated, mode_of, scenario_options
from .simulating import Simulation

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .._judge.errors import ScenarioError

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

HAS_ITS_OWN: Final = "net"
"""The fixture by which a test has a scenario of its own."""


class Played:
    """A test that was called, what pytest has to say of it, and what was found meanwhile."""

    def __init__(self, item: pytest.Item) -> None:
        self.item: Final = item
        self.reports: list[pytest.TestReport] = []
        self.errors: dict[str, BaseException] = {}
        """By which a phase of it has failed."""
        self.ended: set[str] = set()
        """Those phases that have failed when the scenario was at its end already, and so by that."""
        self.findings: list[ScenarioError] = []
        self.rows = slice(0, None)
        """Of the trace, those that are its own."""
        self.refusal = ""
        self.saved = 0.0


class Protocol:
    """All simulated tests of a session."""

    def __init__(self, session: pytest.Session) -> None:
        self._session: Final = session
        self._done: Final[dict[pytest.Item, list[pytest.TestReport]]] = {}
        self._simulation: Simulation | None = None  # that runs
        self._wide: dict[Any, set[object]] = {}  # fixtures, and what each has made in it
        self._dead: Final[dict[Any, str]] = {}  # fixtures whose scenario is over, and the test with which that was
        self._runs: Played | None = None  # the test that runs

    def plays(self, item: pytest.Item, following: pytest.Item | None) -> bool:
        """Run a test, and tell what came of it. False: it is none of those that are simulated."""
        mode = self._mode(item)
        if not mode and item not in self._done and not self._lost(item):
            return False
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        if item not in self._done:
            self._run(item, following, mode)
        for report in self._done.pop(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @staticmethod
    def _mode(item: pytest.Item) -> str:
        own = HAS_ITS_OWN in getattr(item, "fixturenames", ())
        return "" if own or not is_simulated(scenario_options(item)) else mode_of(item)

    def _run(self, item: pytest.Item, following: pytest.Item | None, mode: str) -> None:
        simulation = self._simulation = Simulation(scenario_options(item), observes=mode == OBSERVE)
        played: list[Played] = []
        self._wide = {}

        def plays() -> None:
            one, after = item, following
            while True:
                self._play(simulation, one, after, played)
                if after is None or not self._is_shared(simulation):
                    return
                if not self._goes_on(simulation, one, after):
                    simulation.cut()
                one, after = after, self._after(after)

        try:
            simulation.run(plays)
        finally:
            self._simulation = self._runs = None
            self._dead.update(dict.fromkeys(self._wide, _ended(simulation, played[-1].item if played else item)))
        known = sum(len(one.findings) for one in played)
        last = played[-1]
        if not last.reports:
            last.reports = [self._tear_down(last.item, following if last.item is item else self._after(last.item))]
        last.findings += simulation.findings[known:]
        last.rows = slice(last.rows.start, None)  # with the end of the run
        last.refusal, last.saved = last.refusal or simulation.refusal, simulation.saved
        for one in played:
            if item.config.pluginmanager.has_plugin(pages.NAME):
                one.item.stash[pages.PART] = (simulation.net._world, one.rows)
            self._done[one.item] = told(one, simulation)

    def _play(
        self, simulation: Simulation, item: pytest.Item, following: pytest.Item | None, playing: list[Played]
    ) -> None:
        """Call a test, inside of the scenario."""
        played, before = Played(item), len(simulation.findings)
        played.refusal = self._lost(item)
        self._runs = played
        begins = len(simulation.net.trace)
        played.rows = slice(begins, None)
        playing.append(played)  # at once: it may be ended by an interrupt, which pytest passes on
        played.reports = runtestprotocol(item, log=False, nextitem=following)
        played.rows = slice(begins, len(simulation.net.trace))
        played.findings = simulation.findings[before:]
        played.refusal = played.refusal or simulation.refusal

    def _tear_down(self, item: pytest.Item, following: pytest.Item | None) -> pytest.TestReport:
        """A test was cut short: what pytest then has not done. In a scenario, as it may wait for what is no more."""
        with suppress(Exception):
            Simulation(scenario_options(item)).run(lambda: self._session._setupstate.teardown_exact(following))
        call = pytest.CallInfo[None].from_call(lambda: None, when="call")
        report: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
        return report

    def _is_shared(self, simulation: Simulation) -> bool:
        """Whether a fixture of a wider scope has something in a scenario still."""
        if not self._wide:
            return False
        alive = things(simulation)
        return any(made & alive for made in self._wide.values())

    def _goes_on(self, simulation: Simulation, item: pytest.Item, following: pytest.Item) -> bool:
        """Whether the next test can be called in the same scenario. A worker does not know what comes after it."""
        same = self._mode(following) == self._mode(item) and scenario_options(following) == scenario_options(item)
        return same and not simulation.is_over and not hasattr(self._session.config, "workerinput")

    def _after(self, item: pytest.Item) -> pytest.Item | None:
        items = self._session.items
        number = items.index(item) + 1
        return items[number] if number < len(items) else None

    # -- fixtures of a wider scope --------------------------------------------------------------------

    @contextmanager
    def sets_up(self, fixture: pytest.FixtureDef[Any]) -> Generator[None]:
        """A fixture is set up: what it makes in the scenario is its own, if it is for more than one test."""
        simulation = self._simulation
        if simulation is None or fixture.scope == "function":
            yield
            return
        before = things(simulation)
        try:
            yield
        finally:
            made = things(simulation) - before
            if made:
                self._wide[fixture] = made

    def _lost(self, item: pytest.Item) -> str:
        """Which fixture of a test is of a scenario that is over, and how that came."""
        for fixture in fixtures_of(item):
            if fixture in self._dead:
                if fixture.cached_result is None:
                    del self._dead[fixture]  # it will be set up anew
                else:
                    return (
                        f"its fixture {fixture.argname!r} ({fixture.scope}) was made in the scenario of earlier tests,"
                        f" which has come to its end {self._dead[fixture]}"
                    )
        return ""

    def begins(self, item: pytest.Item) -> None:
        """A test is about to be set up."""
        if self._runs is not None and self._runs.item is item and self._runs.refusal:
            pytest.skip(self._runs.refusal)  # which is told by another report

    def fails(self, call: pytest.CallInfo[None]) -> None:
        """A phase of the test that runs is over."""
        runs, simulation = self._runs, self._simulation
        if call.excinfo is not None and runs is not None and simulation is not None:
            runs.errors[str(call.when)] = call.excinfo.value
            if simulation.is_over:
                runs.ended.add(str(call.when))


def told(played: Played, simulation: Simulation) -> list[pytest.TestReport]:
    """The reports of a test: its own, but where a refusal or a finding is what is to be said."""
    item, reports = played.item, played.reports
    if played.refusal:
        return [telling.skipped(item, reports[0], played.refusal)]
    ended_by = simulation.ended_by if simulation.ended_by in played.findings else None
    others = any(report.failed and report.when not in played.ended for report in reports)
    if ended_by is not None:
        reports = [_instead(played, report, ended_by, others=others) for report in reports]
    for report in reports:
        if report.failed:
            telling.add_sections(report, simulation.net, played.rows)
            if ended_by is not None and others:
                report.sections.append(("mockselector: found", str(ended_by)))
    telling.carry(reports[-1], [one for one in played.findings if one is not ended_by], played.saved)
    return reports


def _instead(played: Played, report: pytest.TestReport, finding: ScenarioError, *, others: bool) -> pytest.TestReport:
    """The report of a phase of a test that was ended by a finding, which is told once."""
    when = str(report.when)
    raised = [phase for phase, error in played.errors.items() if error is finding]
    called = any(one.when == "call" for one in played.reports)
    tells = raised[0] if raised else "call" if called else "setup"
    if when == tells and not others:
        return report if raised else telling.failed(played.item, report, finding, played.errors.get(when))
    return telling.passed(played.item, report) if when in played.ended else report


def _ended(simulation: Simulation, last: pytest.Item) -> str:
    """How a scenario came to its end, as the rest of a sentence."""
    if simulation.ended_by is not None:
        return f"by what was found in {last.nodeid}"
    if simulation.refusal:
        return f"as {last.nodeid} cannot be simulated"
    return f"after {last.nodeid}, as the test that came next could not be run in it (has it a marker, or `net`?)"


def things(simulation: Simulation) -> set[object]:
    """What there is in a scenario: sockets, selectors, threads."""
    world = simulation.net._world
    threads = () if world.crew is None else world.crew.alive
    selectors = (("selector", name) for name in world.holdings.open_selectors)
    return {*world.network.descriptors.values(), *selectors, *(("thread", one) for one in threads)}


def fixtures_of(item: pytest.Item) -> Iterator[pytest.FixtureDef[Any]]:
    """The fixtures that a test uses."""
    info: Any = getattr(item, "_fixtureinfo", None)
    for definitions in () if info is None else info.name2fixturedefs.values():
        yield definitions[-1]

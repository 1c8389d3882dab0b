"""What pytest tells of a test that ran in a scenario: its reports, and what the scenario adds to them.

Owns the sections of a failed test, the report of a finding and of a refusal, and the summary at the end of a session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from _pytest._code.code import ReprFileLocation

from .._ending.ending import EndException
from .._judge.errors import ScenarioError
from .._judge.trace import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from .._scenario import Scenario

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

ROWS: Final = 60
"""So many of the last rows of a trace are shown."""

TOLD: Final = "mockselector"
"""Under which name a report carries what was found, from a worker as well."""

SAVED: Final = "mockselector_saved_s"
"""Likewise, how many seconds of waiting a test was saved."""

PAGE: Final = "mockselector_timeline"
"""Likewise, where a timeline of it is."""


def sections(net: Scenario, rows: slice | None = None) -> list[tuple[str, str]]:
    """What a scenario has to show of a test that has failed; rows: those of the trace that are this test's."""
    events = net.trace.whole if rows is None or rows == slice(0, None) else net.trace[rows]
    lines = [f"... {len(events) - ROWS:,} earlier"] * (len(events) > ROWS)
    for event in events[-ROWS:]:
        who = event.thread or ("" if event.actor in ("server", event.socket) else event.actor)
        file, line, _ = event.place
        lines.append(f"{event.time:>9.3f} s  {f'{who}: ' if who else ''}{event}  ({shown_path(file)}:{line})")
    found = [("trace", "\n".join(lines)), ("conversations", "\n".join(net._world.outcome.scripts()))]
    if rows is None or rows.stop is None:
        tables = (("sockets", net.sockets()), ("threads", net.threads()))
        found += [(name, str(table)) for name, table in tables if len(table) > (name == "threads")]
    return [(f"mockselector: {name}", text) for name, text in found if text]


def add_sections(report: pytest.TestReport, net: Scenario, rows: slice | None = None) -> None:
    """Show that with a report; once."""
    for name, text in sections(net, rows):
        if all(name != other for other, _ in report.sections):
            report.sections.append((name, text))


def failed(
    item: pytest.Item, report: pytest.TestReport, finding: ScenarioError, error: BaseException | None
) -> pytest.TestReport:
    """The report of a phase of a test in which something was found, in the place of what it was.

    error: by which the phase has failed then; shown, if it is the test's own.
    """

    def finds() -> None:
        raise finding

    made = _made(item, report, finds)
    if made.failed:  # and was not expected to
        raised = type(finding), finding, _traceback(finding)
        info = pytest.ExceptionInfo[ScenarioError].from_exc_info(raised)
        told = info.getrepr(style="value", tbfilter=False)
        path, line, _ = item.location
        told.reprcrash = ReprFileLocation(path, (line or 0) + 1, info.exconly())
        made.longrepr = told
    if error is not None and not isinstance(error, EndException):
        made.sections.append(("mockselector: what came of that", str(report.longrepr)))
    return made


def skipped(item: pytest.Item, report: pytest.TestReport, reason: str) -> pytest.TestReport:
    """Likewise, where a test could not be simulated."""

    def skips() -> None:
        raise pytest.skip.Exception(f"not simulated: {reason}", _use_item_location=True)

    return _made(item, report, skips)


def passed(item: pytest.Item, report: pytest.TestReport) -> pytest.TestReport:
    """Likewise, where what was wrong in a phase came of something else, which is told."""
    return _made(item, report, lambda: None)


def _made(item: pytest.Item, report: pytest.TestReport, phase: Callable[[], None]) -> pytest.TestReport:
    """A report as pytest and its plugins make it, of a phase that ends in another way than it did."""
    vars(item).pop("_excinfo", None)  # of a case of unittest: what it has told of is not to be told
    call = pytest.CallInfo[None].from_call(phase, when=report.when)
    made: pytest.TestReport = item.ihook.pytest_runtest_makereport(item=item, call=call)
    made.sections = [*report.sections]
    made.duration, made.start, made.stop = report.duration, report.start, report.stop
    return made


def _traceback(error: BaseException) -> TracebackType:
    """Of an exception that was raised; of another one, from here."""
    try:
        raise error
    except type(error):
        assert error.__traceback__ is not None
        return error.__traceback__


def carry(report: pytest.TestReport, findings: Iterable[ScenarioError], saved: float) -> None:
    """Let a report carry what was found, and only told, and what was saved."""
    for finding in findings:
        report.user_properties.append((TOLD, [finding.rule, _place_of(finding), str(finding)]))
    if saved > 0:
        report.user_properties.append((SAVED, round(saved, 3)))


def _place_of(finding: ScenarioError) -> str:
    place = finding.place
    return "" if place is None else f"{shown_path(place.file)}:{place.line}"


class Summary:
    """What was found in a session, and only told; and what was saved."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str, str, str]] = []  # rule, test, place, headline
        self._saved = 0.0
        self._tests = 0
        self._pages: list[str] = []

    def add(self, report: pytest.TestReport) -> None:
        """What a report carries."""
        for name, value in report.user_properties:
            told: Any = value
            if name == TOLD:
                rule, place, text = told
                self._found.append((rule, report.nodeid, place, text.partition("\n")[0].partition("] ")[2]))
            elif name == SAVED:
                self._saved += told
                self._tests += 1
            elif name == PAGE:
                self._pages.append(str(told))

    def write(self, terminal: pytest.TerminalReporter) -> None:
        """Tell it, one line each."""
        if not self._found and self._saved < 1 and not self._pages:
            return
        terminal.section("mockselector")
        for line in aligned(self._found):
            terminal.write_line(line)
        if self._saved >= 1:
            terminal.write_line(f"{self._saved:,.0f} s of waiting were virtual, in {self._tests:,} tests")
        if self._pages:
            more = f", and {len(self._pages) - 1:,} more there" * (len(self._pages) > 1)
            terminal.write_line(f"timelines: {self._pages[0]}{more}")


def aligned(found: Sequence[tuple[str, str, str, str]]) -> list[str]:
    """Lines with columns."""
    widths = [max((len(row[column]) for row in found), default=0) for column in range(3)]
    return [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]) for row in found
    ]

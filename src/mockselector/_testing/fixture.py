"""The fixture `net`: a strict scenario for one test, judged when the test is at its end.

Owns that a test that has failed is not told twice, and what of its scenario is shown then.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

from .._judge.trace import place
from .._scenario import Scenario
from .options import scenario_options
from .telling import add_sections, sections

if TYPE_CHECKING:
    from collections.abc import Iterator

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

BEGINS: Final = -1
"""No instruction: a place is then where the function is written. (The first one is in its body, on Python 3.10.)"""

NET: Final = pytest.StashKey[Scenario]()
"""Of a test: its scenario."""

FAILED: Final = pytest.StashKey[bool]()
"""Of a test: whether a phase of it has failed."""

ERROR: Final = pytest.StashKey[BaseException]()
"""Of a test that did not come to its end: what has kept it from that."""


def scenario(request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """A `Scenario`, with the options of the marker; left when the test is at its end."""
    item: pytest.Item = request.node
    net = Scenario(**scenario_options(item))
    function: Any = getattr(item, "function", None)  # Any: a test's
    net._world.monitor.script = None if function is None else place(inspect.unwrap(function).__code__, BEGINS)
    item.stash[NET] = net
    net.__enter__()
    yield net
    error: BaseException | None = item.stash.get(ERROR, None)
    if error is None:
        net.__exit__(None, None, None)
        return
    with suppress(Exception):  # it has failed: that is told, and nothing else
        net.__exit__(type(error), error, error.__traceback__)
    del item.stash[ERROR], error


def notes(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """A phase of a test is over: keep what has ended it early, and show its scenario if it has failed."""
    net = item.stash.get(NET, None)
    item.stash[FAILED] = report.failed or item.stash.get(FAILED, False)
    if net is None:
        return
    if call.excinfo is not None and call.when != "teardown":
        item.stash[ERROR] = call.excinfo.value  # also what skips it, or was expected
    if report.failed:
        add_sections(report, net)


def interrupted(item: pytest.Item, error: BaseException) -> list[tuple[str, str]]:
    """What the scenario of a test shows that was interrupted."""
    net = item.stash.get(NET, None)
    if net is None:
        return []
    item.stash[ERROR] = error
    return sections(net)

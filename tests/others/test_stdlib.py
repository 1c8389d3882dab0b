"""Some of Python's own tests of servers, as they are, by `--mockselector-simulate`: a sample of what `run.py` runs."""

from __future__ import annotations

import importlib.util

import pytest

from others.run import differ, run
from others.suites import SUITES

pytestmark = pytest.mark.slow

SAMPLE = SUITES["stdlib"]._replace(
    tests=("test.test_socketserver", "test.test_wsgiref", "test.test_urllib2_localnet"),
)


@pytest.mark.skipif(
    importlib.util.find_spec("test.test_socketserver") is None, reason="this Python has been installed without them"
)
def test_all_pass_in_a_scenario_but_those_that_are_listed() -> None:
    ran = run(SAMPLE, None, "strict")
    # On real sockets, all pass that are there.
    there = [name for name, says in ran.says.items() if not says.startswith("skipped: ") or "not simulated" in says]
    not_as_listed = {known: names for known, names in differ(SAMPLE, there, ran, "strict").items() if "NOT AS" in known}
    assert not_as_listed == {}
    assert len(ran.passed) > 50

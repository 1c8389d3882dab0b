"""A plugin of pytest that writes down which test runs and which have failed, for `dev.py` to tell.

The file is the one that the environment variable PYTEST_PROGRESS names. It is written at once, so
that a test that hangs, or ends the process, can be named, too.
"""

from __future__ import annotations

import os
from typing import Final

import pytest


class Progress:
    def __init__(self, path: str) -> None:
        self._file: Final = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._write: Final = os.write  # whatever a test puts in its place

    def _say(self, what: str, name: object) -> None:
        self._write(self._file, f"{what} {name}\n".encode(errors="backslashreplace"))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._say("tests", len(session.items))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._say("failed", report.nodeid)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._say("runs", nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._say("failed", report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self._say("ended", "")


def pytest_configure(config: pytest.Config) -> None:
    path = os.environ.get("PYTEST_PROGRESS")
    if path and not hasattr(config, "workerinput"):  # what a worker of pytest-xdist does is told by its master
        config.pluginmanager.register(Progress(path), "progress")

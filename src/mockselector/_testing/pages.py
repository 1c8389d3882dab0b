"""A page for each test that has failed, or for each: the timelines of its scenarios.

Owns which scenarios are a test's, what its pages are called, and that its report says where they are.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from .._scenario import keep_made
from .._show.scenarios import timeline_of
from .telling import PAGE

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .._world.world import World

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

PART: Final = pytest.StashKey["tuple[World, slice]"]()
"""Of a test that was called in a scenario: that, and the rows of its trace that are the test's."""

NAME: Final = "mockselector-pages"
"""Of the plugin."""

LONGEST: Final = 120
"""How many characters of a test's name its page has in its own."""


class Pages:
    """All pages of a session."""

    def __init__(self, folder: str, start: Path, *, for_all: bool) -> None:
        self._folder: Final = start / folder
        self._shown: Final = folder
        self._for_all: Final = for_all
        self._item: pytest.Item | None = None  # that runs
        self._made: list[World] = []  # in it
        self._told: dict[str, str] = {}  # by test, what it has failed by: one may run within the protocol of another
        self._written: list[str] = []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise pytest.UsageError(f"--mockselector-timeline={folder} takes a folder, to be made: {error}") from None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """All scenarios that a test makes are its own."""
        self._item, self._made, self._written = item, [], []
        before = keep_made(self._made)
        try:
            return (yield)
        finally:
            keep_made(before)
            self._item, self._made = None, []
            self._told.pop(item.nodeid, None)
            if PART in item.stash:
                del item.stash[PART]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """What it has failed by is told beside its timeline."""
        report = yield
        if report.failed and call.excinfo is not None:
            self._told[item.nodeid] = call.excinfo.exconly()
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Before anybody else gets a report: write the pages, if it is to have some. In the process of the test."""
        item = self._item
        if item is None or item.nodeid != report.nodeid:
            return
        if self._is_due(report):
            self._written = [*self._write(item)]
            if report.failed and self._written:
                report.sections.append(("mockselector: timeline", "\n".join(self._written)))
        if report.when == "teardown":  # the last, of which JUnit's file has what it carries
            report.user_properties += [(PAGE, where) for where in self._written]

    def _is_due(self, report: pytest.TestReport) -> bool:
        if self._written:
            return False
        return report.failed or (self._for_all and report.when == "teardown")

    def _write(self, item: pytest.Item) -> Generator[str, None, None]:
        """The pages of a test; yields where each is, or why there is none."""
        own, rows = item.stash.get(PART, (None, slice(0, None)))
        worlds = [world for world in self._made if world is not own and (world.monitor.rows or world.peers)]
        parts = [*([] if own is None else [(own, rows)]), *((world, slice(0, None)) for world in worlds)]
        for number, (world, part) in enumerate(parts, 1):
            name = f"{page_name(item.nodeid)}{f'-{number}' if number > 1 else ''}.html"
            timeline = timeline_of(world, part, self._also(world, item))
            try:
                timeline.save(self._folder / name)
                yield os.path.join(self._shown, name)
            except OSError as error:
                yield f"{os.path.join(self._shown, name)} could not be written: {error}"

    def _also(self, world: World, item: pytest.Item) -> Sequence[str]:
        """What the test has failed by, unless its scenario tells it."""
        told, violation = self._told.get(item.nodeid, ""), world.monitor.violation
        return [told] * bool(told and not (violation is not None and str(violation) in told))


def page_name(nodeid: str) -> str:
    """What the page of a test is called: its name, with nothing in it that means something to a system or a shell.

    Where that says less than its name, there is something that tells two such names apart.
    """
    plain = nodeid.replace(".py::", ".").replace("::", ".").replace("/", ".")
    kept = re.sub(r"[^\w.-]+", "-", plain, flags=re.ASCII).strip("-.")
    if kept == plain and len(kept) <= LONGEST:
        return kept
    told_apart = hashlib.sha256(nodeid.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"{kept[:LONGEST].rstrip('-.')}-{told_apart}"

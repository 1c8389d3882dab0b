"""The tests of the interpreter that runs, from its package `test`: method by method, none copied.

Owns how they are found, what is listed of those that cannot run in a scenario, and what came of one.
"""

from __future__ import annotations

import importlib
import unittest
import warnings
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType


class Listed(NamedTuple):
    """Tests that do not pass: what the failure of each says, and patterns of their names."""

    says: str
    names: str


PROCESSES: Final = "processes are not simulated"
UDP: Final = r"\w+\(\) is called on a UDP socket: UDP is not simulated"


def load(name: str) -> ModuleType | None:
    """A module of the package `test`; None: this Python has been installed without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of asyncio's policies
        try:
            return importlib.import_module(f"test.{name}")
        except ModuleNotFoundError:
            return None


def cases(*names: str) -> dict[str, unittest.TestCase]:
    """All tests of these modules, by names that begin with the module's; none where Python has no package `test`."""
    modules = [module for module in map(load, names) if module is not None]
    suites = [unittest.defaultTestLoader.loadTestsFromModule(module) for module in modules]
    return {case.id().partition(".")[2]: case for case in flat(suites)}


def flat(suite: Iterable[Any]) -> Iterator[unittest.TestCase]:
    """The tests of a suite of suites."""
    for one in suite:
        if isinstance(one, unittest.TestCase):
            yield one
        else:
            yield from flat(one)


def for_this_system(found: dict[str, unittest.TestCase]) -> dict[str, unittest.TestCase]:
    """Those whose class does not skip itself."""
    return {name: case for name, case in found.items() if not getattr(type(case), "__unittest_skip__", False)}


def says_of(name: str, listed: Iterable[Listed]) -> str | None:
    """What is listed for a test; None: it has to pass."""
    found = [row.says for row in listed if any(fnmatchcase(name, pattern) for pattern in row.names.split())]
    assert len(found) <= 1, found
    return found[0] if found else None


def is_there(row: Listed, names: Iterable[str]) -> bool:
    """Whether there is a test for each of its patterns."""
    return all(any(fnmatchcase(name, pattern) for name in names) for pattern in row.names.split())


def outcome_of(result: unittest.TestResult) -> str:
    """What has come of a test: "" if it has passed, or the end of its traceback, or why it has skipped itself."""
    texts = [text.strip().rpartition("\n")[2] for _, text in (*result.errors, *result.failures)]
    texts += [f"skipped: {reason}" for _, reason in result.skipped]
    return "\n".join(texts)

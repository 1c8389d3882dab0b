"""Strict lists of events in whole suites: what a test has left over is judged at its end.

Owns that selectors which say nothing of it are strict, and that what one finds reaches the test that has made it,
whether that asks for it or not.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .._lists import unseen
from .._lists.selector import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Callable

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


def begin_strict() -> Callable[[], None]:
    """From now on, selectors that say nothing are strict; returns what puts that back."""
    before = os.environ.get(ENVIRONMENT)
    os.environ[ENVIRONMENT] = "1"
    unseen.keep_for_tests(keeps=True)

    def put_back() -> None:
        unseen.keep_for_tests(keeps=False)
        if before is None:
            os.environ.pop(ENVIRONMENT, None)
        else:
            os.environ[ENVIRONMENT] = before

    return put_back


def judge_test(*, has_failed: bool) -> None:
    """A test is over: raise what nobody has seen of its selectors."""
    for violation in unseen.left_by_test():
        if not has_failed:
            raise violation

"""A plugin of pytest: each test of somebody else's runs inside a scenario of its own, without scripted peers.

Owns how such a test is run. Which ones are, and what is known of them, is in `run.py`; `INSIDE=` in the environment
says whether a scenario is under them at all.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from mockselector import RuleId

MEANT: Final[set[RuleId]] = {"unscripted-connection"}
"""What is refused is meant to be: without a script, nobody says so."""

BUFFER: Final = 1 << 22
"""What Linux lets a connection hold if its reader is slow (tcp_wmem in man 7 tcp): some tests write so much at once."""


def pytest_configure(config: pytest.Config) -> None:
    """As the runners of these tests have it."""
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Put a scenario under the test, with its own `setUp()` and `tearDown()`."""
    if not os.environ.get("INSIDE"):
        return
    from mockselector import Scenario

    real = item.runtest

    def inside() -> None:
        with Scenario(allow=MEANT, buffer=BUFFER) as net:
            net.run(real)

    item.runtest = inside  # type: ignore[method-assign]

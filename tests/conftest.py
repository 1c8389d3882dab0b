"""What the tests have in common: how the process is in which they run."""

from __future__ import annotations

import gc
import os
import signal
import sys
import zlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to this Python its share of what is marked `shared`: of MOCKSELECTOR_SHARE=2/4, the second of four.

    Without that it is all. Which one it is comes of the name, so that each part has some of everything.
    """
    mine, shares = map(int, os.environ.get("MOCKSELECTOR_SHARE", "1/1").split("/"))
    others = [
        item for item in items
        if item.get_closest_marker("shared") and zlib.crc32(item.nodeid.encode()) % shares != mine - 1
    ]  # fmt: skip
    config.hook.pytest_deselected(items=others)
    gone = set(others)
    items[:] = [item for item in items if item not in gone]


@pytest.fixture(autouse=True)
def _what_pytest_holds_is_frozen(  # pyright: ignore[reportUnusedFunction]
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Freeze what was alive before a test: pytest's 250,000 objects make each finding cost a tenth of a second.

    A test that is marked with `collects` sees the collector as a user's test does.
    """
    if request.node.get_closest_marker("collects") is None:
        gc.collect()  # what an earlier test has left as garbage is not to be frozen with it
        gc.freeze()
    else:
        gc.unfreeze()
        monkeypatch.setattr("mockselector._ending.garbage._freezes", False)


@pytest.fixture
def interruptible() -> Generator[None]:
    """An interrupt raises, as in a terminal; started in the background of a shell, a process ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def monitored() -> Generator[None]:
    """Others monitor, and have left no number free; none of them is a debugger."""
    monitoring: Any = vars(sys)["monitoring"]
    free = [number for number in range(1, 6) if monitoring.get_tool(number) is None]
    for number in free:
        monitoring.use_tool_id(number, "another")
    yield
    for number in free:
        monitoring.free_tool_id(number)

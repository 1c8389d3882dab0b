"""What the tests have in common: what pytest holds is not looked through whenever a scenario collects garbage."""

from __future__ import annotations

import gc

import pytest


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
        monkeypatch.setattr("mockselector._garbage._freezes", False)

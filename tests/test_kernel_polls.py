"""`select.poll`, `select.epoll`, `select.select` on the kernel and in a scenario: the same comes of the same code."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("what is compared with is Linux", allow_module_level=True)

from kernel import FAMILIES, GRACE, both, run_in_scenario, run_on_kernel
from kernel_calls import STATES
from kernel_polls import (
    CASES,
    CROWD_MASKS,
    MAKERS,
    NAMES,
    OF_EPOLL,
    OF_SELECT,
    polled,
    selected,
    told_in_order,
)
from kernel_selectors import CROWD_STEPS, MORE_STATES, Crowd, CrowdStep

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Ground
    from kernel_calls import State
    from kernel_polls import Case, Maker

pytestmark = [pytest.mark.slow, pytest.mark.shared]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("look", [polled, selected])
@pytest.mark.parametrize("state", [*STATES, *MORE_STATES])
def test_what_is_said_of_a_socket(
    state: Callable[[Ground], State], look: Callable[..., Callable[[], list[object]]], family: int
) -> None:
    simulated = run_in_scenario(lambda ground: look(ground, state)(), family)
    assert run_on_kernel(lambda ground: told(look(ground, state), simulated), family) == simulated


def told(look: Callable[[], list[object]], wanted: list[object]) -> list[object]:
    """What the kernel says, once it has had the time to come to it."""
    last = time.monotonic() + GRACE
    while (seen := look()) != wanted and time.monotonic() < last:
        pass
    return seen


@pytest.mark.parametrize("make", MAKERS, ids=NAMES)
@pytest.mark.parametrize("case", CASES)
def test_what_comes_of_it(case: Case, make: Maker) -> None:
    real, simulated = both(lambda ground: case(ground, make), socket.AF_INET)
    assert real == simulated


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", OF_EPOLL)
def test_what_epoll_does(case: Callable[[Ground], object], family: int) -> None:
    real, simulated = both(case, family)
    assert real == simulated


@pytest.mark.parametrize("case", OF_SELECT)
def test_what_select_does(case: Callable[[Ground], object]) -> None:
    real, simulated = both(case, socket.AF_INET)
    assert real == simulated


ORDERS: Final = int(os.environ.get("MOCKSELECTOR_ORDERS", "300"))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=ORDERS // 6, derandomize=True, deadline=None, database=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(CROWD_STEPS), st.integers(0, Crowd.SIZE), st.sampled_from(CROWD_MASKS)), max_size=25
    )
)
def test_what_is_ready_is_told_as_the_kernel_tells_it(name: str, family: int, steps: list[CrowdStep]) -> None:
    make = MAKERS[NAMES.index(name)]
    real, simulated = both(lambda ground: told_in_order(ground, make, steps, plain=name == "poll"), family)
    assert real == simulated

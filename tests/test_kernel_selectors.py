"""Selectors on the kernel and in a scenario: the same code, and the same comes of it.

But for what `docs/fidelity.md` lists of them: each of its rows has a test here that it still differs.
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import sys
import time
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("what is compared with is Linux", allow_module_level=True)

from kernel import BOTH, FAMILIES, GRACE, both, run_in_scenario, run_on_kernel
from kernel_calls import STATES
from kernel_selectors import CASES, CROWD_STEPS, KINDS, MORE_STATES, Crowd, readiness, told_in_order
from mockselector import Scenario, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Ground
    from kernel_calls import State
    from kernel_selectors import Case, CrowdStep

pytestmark = [pytest.mark.slow, pytest.mark.shared]

TABLE: Final = Path(__file__).parent.parent / "docs" / "fidelity.md"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("state", [*STATES, *MORE_STATES])
def test_what_is_ready(state: Callable[[Ground], State], family: int) -> None:
    simulated = run_in_scenario(lambda ground: readiness(ground, state)(), family)
    assert run_on_kernel(lambda ground: told(ground, state, simulated), family) == simulated


def told(ground: Ground, state: Callable[[Ground], State], wanted: list[object]) -> list[object]:
    """What the kernel says, once it has had the time to come to it."""
    look = readiness(ground, state)
    last = time.monotonic() + GRACE
    while (seen := look()) != wanted and time.monotonic() < last:
        pass
    return seen


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_what_comes_of_it(case: Case, name: str) -> None:
    real, simulated = both(lambda ground: case(ground, getattr(selectors, name)), socket.AF_INET)
    assert real == simulated


# -- in which order ------------------------------------------------------------------------------------

ORDERS: Final = int(os.environ.get("MOCKSELECTOR_ORDERS", "300"))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=ORDERS // 6, derandomize=True, deadline=None, database=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(CROWD_STEPS), st.integers(0, Crowd.SIZE), st.sampled_from([EVENT_READ, EVENT_WRITE, BOTH])
        ),
        max_size=25,
    )
)
def test_what_is_ready_is_told_in_the_order_in_which_the_kernel_tells_it(
    name: str, family: int, steps: list[CrowdStep]
) -> None:
    real, simulated = both(lambda ground: told_in_order(ground, getattr(selectors, name), steps), family)
    assert real == simulated


# -- and judged as ever --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_closed_socket_in_any_selector_is_found(name: str) -> None:
    def server() -> None:
        sock = socket.socket()
        with getattr(selectors, name)() as selector:
            selector.register(sock, EVENT_READ)
            sock.close()
            selector.select(1)

    with pytest.raises(ScenarioError) as caught:
        with Scenario() as net:
            net.run(server)
    assert caught.value.rule == "closed-still-registered"


@pytest.mark.parametrize("name", ["EpollSelector", "SelectSelector"])  # poll() modifies what is closed, too
def test_one_that_is_dropped_when_it_is_modified_is_registered_no_more(name: str) -> None:
    def server() -> object:
        sock = socket.socket()
        with getattr(selectors, name)() as selector:
            selector.register(sock, EVENT_READ)
            sock.close()
            with pytest.raises((OSError, ValueError)):
                selector.modify(sock, EVENT_WRITE)
            with socket.create_server(("", 8888)) as other:  # has its number
                selector.register(other, EVENT_READ)
                return selector.select(1)

    with Scenario() as net:
        assert [] == net.run(server)


def looks_at_a_closed_one(name: str) -> None:
    sock = socket.socket()
    with getattr(selectors, name)() as selector:
        selector.register(sock, EVENT_WRITE)
        sock.close()
        selector.select(0)


def test_what_poll_says_of_a_closed_one_is_in_the_trace() -> None:
    with Scenario(allow={"closed-still-registered"}) as net:
        net.run(looks_at_a_closed_one, "PollSelector")
    assert "select() -> socket WRITE" == str(net.trace[-1])


def test_what_select_says_of_a_closed_one_is_in_the_trace() -> None:
    with Scenario() as net, pytest.raises(OSError, match="Bad file descriptor"):
        net.run(looks_at_a_closed_one, "SelectSelector")
    assert "select() raises OSError" == str(net.trace[-1])


@pytest.mark.parametrize("name", KINDS)
def test_when_all_is_over_it_can_still_be_tidied_up(name: str) -> None:
    def server() -> tuple[selectors.BaseSelector, socket.socket]:
        selector, sock = getattr(selectors, name)(), socket.socket()
        selector.register(sock, EVENT_READ)
        return selector, sock

    with Scenario() as net:
        made = net.run(server)
    assert made is not None
    selector, sock = made
    assert sock is selector.unregister(sock).fileobj
    assert sock is selector.register(sock, EVENT_READ).fileobj
    selector.close()


# -- what differs, by its id in the table ------------------------------------------------------------


def differs_in_fileno() -> None:
    with selectors.EpollSelector() as real:
        assert real.fileno() >= 0
    with Scenario() as net, pytest.raises(NotImplementedError, match=r"^fileno\(\) of a selector is not simulated"):
        net.run(lambda: selectors.EpollSelector().fileno())


def differs_in_time() -> None:
    def waits(_: Ground) -> float:
        with selectors.EpollSelector() as selector:
            begun = time.monotonic()
            selector.select(0.0001)
            return time.monotonic() - begun

    real, simulated = both(waits)
    assert real >= 0.001 > simulated


DIFFERENCES: Final[dict[str, Callable[[], None]]] = {
    "selector-fileno": differs_in_fileno,
    "selector-time": differs_in_time,
}


@pytest.mark.parametrize("differs", DIFFERENCES.values(), ids=DIFFERENCES)
def test_what_is_left_on_purpose_still_differs(differs: Callable[[], None]) -> None:
    differs()


def test_the_table_lists_what_has_a_test_and_nothing_else() -> None:
    from test_kernel_calls import ROWS
    from test_kernel_tls import DIFFERENCES as OF_TLS

    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", TABLE.read_text("utf-8"), re.MULTILINE)
    assert {*ROWS, *DIFFERENCES, *OF_TLS} == set(listed)

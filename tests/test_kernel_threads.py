"""A thread that waits in a call, and another one that acts meanwhile: in a scenario as on the kernel."""

from __future__ import annotations

import functools
import os
import platform
import socket
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("what is compared with is Linux", allow_module_level=True)

from kernel import run_in_scenario, run_on_kernel
from kernel_threads import CALLS, WAITS, cell

if TYPE_CHECKING:
    from kernel_threads import Act, Wait

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CALLS, reason=f"the numbers of calls on {platform.machine()} are not known"),
    pytest.mark.skipif(
        not os.path.exists("/proc/self/syscall"), reason="the kernel does not tell where a thread waits"
    ),
]

WANTED = 1500
"""So many cells there must be."""

CELLS = [(wait, family, act) for wait in WAITS for family in wait.families for act in wait.acts]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("wait", "family", "act"),
    CELLS,
    ids=[f"{wait.name}, {socket.AddressFamily(family).name}, {act[0]}" for wait, family, act in CELLS],
)
def test_a_thread_that_waits_is_woken_as_by_the_kernel(wait: Wait, family: int, act: Act) -> None:
    ours = run_in_scenario(functools.partial(cell, wait=wait, act=act), family)
    assert ours == run_on_kernel(functools.partial(cell, wait=wait, act=act, like=ours), family)


def test_there_are_enough_cells() -> None:
    assert WANTED <= len(CELLS)

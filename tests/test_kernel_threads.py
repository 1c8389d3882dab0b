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
    from kernel_threads import Wait

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CALLS, reason=f"the numbers of calls on {platform.machine()} are not known"),
    pytest.mark.skipif(
        not os.path.exists("/proc/self/syscall"), reason="the kernel does not tell where a thread waits"
    ),
]

WANTED = 1500
"""So many cells there must be."""

SHARE = slice(None) if os.environ.get("MOCKSELECTOR_CELLS") == "all" else slice(sys.version_info.minor % 4, None, 4)
"""Those that this Python plays: each fourth one, and the next versions the others, as the kernel waits in real time."""


def each() -> list[tuple[Wait, int]]:
    return [(wait, family) for wait in WAITS for family in wait.families]


@pytest.mark.parametrize(
    ("wait", "family"), each(), ids=[f"{wait.name}, {socket.AddressFamily(family).name}" for wait, family in each()]
)
def test_a_thread_that_waits_is_woken_as_by_the_kernel(wait: Wait, family: int) -> None:
    different: dict[str, object] = {}
    for act in wait.acts[SHARE]:
        ours = run_in_scenario(functools.partial(cell, wait=wait, act=act), family)
        real = run_on_kernel(functools.partial(cell, wait=wait, act=act, like=ours), family)
        if real != ours:
            different[act[0]] = real, ours
    assert {} == different


def test_there_are_enough_cells() -> None:
    assert WANTED <= sum(len(wait.acts) for wait, _ in each())

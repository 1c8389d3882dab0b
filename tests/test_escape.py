"""Nothing real: what a server can reach inside of a scenario is simulated, harmless, or refused aloud.

The doors are a table, in `escape_doors.py`, which tries them in a process of its own: some would end it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the table speaks of Linux", allow_module_level=True)

from escape_doors import DOORS, PASSES, REFUSED, Door

PROGRAM = Path(__file__).parent / "escape_doors.py"

BY_KERNEL = {
    "os.close(number); sock.close()": PASSES,
    "other = socket.socket(fileno=number); assert other.getpeername() == sock.getpeername(); other.close()": REFUSED,
    "other = socket.socket(fileno=number); other.close(); sock.send(b'x')": REFUSED,
    "other = socket.socket(fileno=number); other.close(); sock.close()": REFUSED,
    "sock.sendmsg_afalg([b'x'], op=1)": "OSError",
    "socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM)": PASSES,
    "multiprocessing.connection.Client(('db', 1))": PASSES,
}
"""What differs with network="loopback", where numbers are real."""


def tried(network: str) -> dict[str, list[tuple[str, list[str], bool]]]:
    """What has come of each door: of itself, then where the server swallows it; who has heard of it; was it slow?"""
    environment = {**os.environ, "NETWORK": network, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, PROGRAM], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    found: dict[str, list[tuple[str, list[str], bool]]] = {}
    for line in done.stdout.splitlines():
        name, came, heard, slow = json.loads(line)
        found.setdefault(name, []).append((came, heard, slow))
    return found


@pytest.fixture(scope="module")
def simulated() -> dict[str, list[tuple[str, list[str], bool]]]:
    return tried("simulated")


@pytest.fixture(scope="module")
def loopback() -> dict[str, list[tuple[str, list[str], bool]]]:
    return tried("loopback")


def expected(comes: str) -> list[tuple[str, list[str], bool]]:
    """A refusal comes out of the run although the server swallows it; nobody hears of it, and nobody waits."""
    return [(comes, [], False)] * (2 if comes in (REFUSED, "ScenarioError") else 1)


@pytest.mark.parametrize("door", DOORS, ids=[door.name for door in DOORS])
def test_a_door_leads_nowhere(door: Door, simulated: dict[str, list[tuple[str, list[str], bool]]]) -> None:
    assert expected(door.comes) == simulated.get(door.name, ["it ended the process, or hung"])


@pytest.mark.parametrize(
    "door", [door for door in DOORS if "dup(number)" not in door.name], ids=lambda door: str(door.name)
)
def test_nor_does_it_over_the_loopback(door: Door, loopback: dict[str, list[tuple[str, list[str], bool]]]) -> None:
    came = loopback.get(door.name, ["it ended the process, or hung"])
    if door.name in BY_KERNEL:
        assert came[0] == (BY_KERNEL[door.name], [], False)
    else:
        assert expected(door.comes) == came

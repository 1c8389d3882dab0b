"""Some hundred programs that are made up, none of which breaks a promise. More: `python tests/fuzz.py 20000`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from fuzz import PLANTED, SERVERS, Failure, Seeds, failures_of, found_in, made
from fuzz_programs import Choices

if TYPE_CHECKING:
    from fuzz import Mode, Which
    from fuzz_programs import Network

pytestmark = pytest.mark.slow


AT_ONCE: Final = 15
"""So many programs at a time."""


def parts(number: int, mode: Mode, network: Network = "simulated", which: Which = "all") -> list[Seeds]:
    """So many programs, some at a time."""
    firsts = range(0, number, AT_ONCE)
    return [Seeds(first, min(AT_ONCE, number - first), mode, network, which=which) for first in firsts]


PARTS: Final = [
    *parts(90, "wild"), *parts(20, "wild", "loopback"), *parts(60, "right"),
    *parts(sum(map(len, PLANTED.values())), "planted"), *parts(40, "wild", which="threads"),
    *parts(30, "right", which="threads"),
]  # fmt: skip


@pytest.mark.shared
@pytest.mark.parametrize(
    "seeds", PARTS, ids=[f"{one.mode}, {one.network}, {one.which}, from {one.first}" for one in PARTS]
)
def test_no_program_breaks_a_promise(seeds: Seeds) -> None:
    assert [] == list(found_in(seeds))


@pytest.mark.parametrize(
    ("seeds", "given"), [(Seeds(3, 1, "wild", "simulated"), None), (Seeds(3, 1, "planted", "simulated"), [1, 1])]
)
def test_a_program_is_made_of_its_choices(seeds: Seeds, given: list[int] | None) -> None:
    program, choices, planted = made(seeds.first, seeds.mode, seeds.network, given)
    assert (program, choices, planted) == made(seeds.first, seeds.mode, seeds.network, choices)
    compile(program, "program", "exec")


def test_past_their_end_choices_are_plain() -> None:
    choices = Choices(0, [2])
    assert ["c", "a"] == [choices.of("a", "b", "c") for _ in range(2)]
    assert [2, 0] == choices.made


def test_every_kind_of_server_is_planted_with_defects() -> None:
    assert set(SERVERS["all"]) == set(PLANTED)


def test_a_process_that_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.COMMAND", ["-c", "import os, sys; sys.stderr.write('why'); os._exit(70)"])
    assert [Failure("the process ended, status 70", "", "why")] == failures_of(Seeds(0, 1, "wild", "simulated"), [])


def test_a_program_that_works_for_ever_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import fuzz
fuzz.made = lambda *_: ("while True: pass", [], "")
fuzz.child()
"""
    monkeypatch.setattr("fuzz.COMMAND", ["-c", program])
    (failure,) = failures_of(Seeds(0, 1, "wild", "simulated", limit=0.5), [])
    assert "hangs" == failure.kind
    assert "fuzzed.py" in failure.detail

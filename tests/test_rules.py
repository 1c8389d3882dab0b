"""Each rule fires on a broken server, at the right line and with the right text, and not on its correct twin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import pytest

from mockselector import RuleId, ScenarioError
from mockselector._rules import RULES
from rule_cases import CASES, Case, play

GOLDEN = Path(__file__).parent / "golden"
by_rule = pytest.mark.parametrize("case", CASES, ids=[case.rule for case in CASES])


def error_of(case: Case) -> ScenarioError:
    with pytest.raises(ScenarioError, match=rf"\[{case.rule}\]") as caught:
        play(case.server, case.script)
    return caught.value


@by_rule
def test_a_broken_server_is_told_which_rule_it_breaks(case: Case) -> None:
    assert error_of(case).rule == case.rule


@by_rule
def test_its_correct_twin_passes(case: Case) -> None:
    play(case.twin, case.twin_script or case.script)


@by_rule
def test_the_text_is_the_golden_one(case: Case) -> None:
    text = str(error_of(case)) + "\n"
    path = GOLDEN / f"{case.rule}.txt"
    if os.environ.get("MOCKSELECTOR_WRITE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


@by_rule
def test_the_offending_line_is_shown(case: Case) -> None:
    last_proof = str(error_of(case)).split("\n\n")[1].splitlines()[-1]
    assert case.at_fault in last_proof


@by_rule
def test_a_rule_can_be_allowed_on_the_selector(case: Case) -> None:
    allowing = case.script.replace("strict=True", f"allow={{'{case.rule}'}}, strict=True")
    try:
        play(case.server, allowing)
    except ScenarioError as error:
        assert error.rule != case.rule  # noqa: PT017  (another rule may be broken as well)


@by_rule
def test_a_pedantic_rule_is_judged_only_on_request(case: Case) -> None:
    assert (RULES[case.rule].level == "pedantic") == case.pedantic
    if case.pedantic:
        play(case.server, case.script.replace(", pedantic=True", ""))


def test_every_rule_has_a_case() -> None:
    assert sorted(case.rule for case in CASES) == sorted(RULES)


def test_the_type_names_every_rule() -> None:
    assert get_args(RuleId) == tuple(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_ids_are_kebab_case(rule: str) -> None:
    assert rule == rule.lower().replace("_", "-").replace(" ", "-")

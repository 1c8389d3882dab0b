"""Each rule fires on a broken server, at the right line and with the right text, and not on its correct twin."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import get_args

import pytest

from mockselector import RuleId, ScenarioError
from mockselector._judge.rules import RULES
from rule_cases import CASES, Case, play
from scenario_cases import SCENARIO_CASES

GOLDEN = Path(__file__).parent / "golden"
by_rule = pytest.mark.parametrize(
    "case",
    [*CASES, *SCENARIO_CASES],
    ids=[*(case.rule for case in CASES), *(f"scenario-{case.rule}" for case in SCENARIO_CASES)],
)


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
    text = re.sub(r"((?:socketserver|threading)\.py):\d+", r"\1:N", text)  # its lines move from Python to Python ...
    text = "\n\n".join(part for part in text.split("\n\n") if "asyncio/" not in part)  # ... and there even the calls
    path = GOLDEN / f"{'scenario-' * (case in SCENARIO_CASES)}{case.rule}.txt"
    if os.environ.get("MOCKSELECTOR_WRITE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


@by_rule
def test_the_offending_line_is_shown(case: Case) -> None:
    last_proof = str(error_of(case)).split("\n\n")[1].splitlines()[-1]
    assert case.at_fault in last_proof


@by_rule
def test_a_rule_can_be_allowed_for_the_run(case: Case) -> None:
    allowing = case.script.replace("strict=True", f"allow={{'{case.rule}'}}, strict=True")
    allowing = allowing.replace("Scenario(", f"Scenario(allow={{'{case.rule}'}}, ").replace(", )", ")")
    try:
        play(case.server, allowing)
    except ScenarioError as error:
        assert error.rule != case.rule  # noqa: PT017  (another rule may be broken as well)


@by_rule
def test_a_pedantic_rule_is_judged_only_on_request(case: Case) -> None:
    assert (RULES[case.rule].level == "pedantic") == case.pedantic
    if case.pedantic:
        play(case.server, case.script.replace(", pedantic=True", "").replace("Scenario(pedantic=True)", "Scenario()"))


def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} == {rule for rule in RULES if not RULES[rule].only_in_scenarios}


def test_every_rule_has_a_scenario() -> None:
    of_event_lists = {"event-not-registered", "event-without-interest", "undelivered-event"}
    assert {case.rule for case in SCENARIO_CASES} == set(RULES) - of_event_lists


def test_the_type_names_every_rule() -> None:
    assert get_args(RuleId) == tuple(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_ids_are_kebab_case(rule: str) -> None:
    assert rule == rule.lower().replace("_", "-").replace(" ", "-")

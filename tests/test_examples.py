"""The example servers: the correct ones pass, and each broken twin is caught at its marked line."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from unittest.mock import call, patch

import pytest
from examples.scenarios import CORRECT, TWINS, Correct, Example, Twin, received, run
from examples.servers import callbacks

from mockselector import ListenSocket, MockSelector, MockSocket, ScenarioError
from mockselector._judge.rules import RULES

ROOT = Path(__file__).parents[1]
KEEPING = tuple(example for example in CORRECT if example.breaks is None)
BREAKING = tuple(example for example in CORRECT if example.breaks is not None)


def name(example: Example) -> str:
    return example.name


@pytest.mark.parametrize("example", CORRECT, ids=name)
def test_clients_of_a_correct_server_receive_their_replies(example: Correct) -> None:
    assert dict(example.replies) == received(run(example))


@pytest.mark.parametrize("example", KEEPING, ids=name)
def test_a_correct_server_passes_the_pedantic_rules(example: Correct) -> None:
    assert dict(example.replies) == received(run(example, pedantic=True))


@pytest.mark.parametrize("example", BREAKING, ids=name)
def test_a_style_that_the_documentation_advises_against_breaks_a_pedantic_rule(example: Correct) -> None:
    with pytest.raises(ScenarioError, match=rf"\[{example.breaks}\]") as caught:
        run(example, pedantic=True)
    assert example.breaks == caught.value.rule


@pytest.mark.parametrize("example", BREAKING, ids=name)
def test_such_a_style_breaks_no_other_pedantic_rule(example: Correct) -> None:
    assert example.breaks is not None
    assert dict(example.replies) == received(run(example, allow={example.breaks}, pedantic=True))


@pytest.mark.parametrize("twin", TWINS, ids=name)
def test_a_twin_breaks_its_rule(twin: Twin) -> None:
    with pytest.raises(ScenarioError, match=rf"\A\[{twin.rule}\] .*\n") as caught:
        run(twin, pedantic=twin.pedantic)
    assert twin.rule == caught.value.rule


@pytest.mark.parametrize("twin", TWINS, ids=name)
def test_the_error_points_at_the_marked_line(twin: Twin) -> None:
    with pytest.raises(ScenarioError, match=rf"{twin.file.name}:{twin.marked_line}\b") as caught:
        run(twin, pedantic=twin.pedantic)
    assert twin.is_told_by(caught.value), (
        f"{twin.shown_as!r} does not point at line {twin.marked_line}:\n{caught.value}"
    )


@pytest.mark.parametrize("twin", TWINS, ids=name)
def test_the_error_points_at_the_script(twin: Twin) -> None:
    with pytest.raises(ScenarioError, match=r"script: .*scenarios\.py:\d+  selector = MockSelector\(\["):
        run(twin, pedantic=twin.pedantic)


@pytest.mark.parametrize("twin", [twin for twin in TWINS if twin.passes_allowed], ids=name)
def test_a_twin_passes_where_its_rule_is_allowed(twin: Twin) -> None:
    run(twin, allow={twin.rule}, pedantic=twin.pedantic)


@pytest.mark.parametrize("twin", [twin for twin in TWINS if twin.pedantic], ids=name)
def test_a_twin_that_breaks_a_pedantic_rule_passes_without_pedantic(twin: Twin) -> None:
    run(twin)


def test_every_rule_has_a_twin() -> None:
    assert {twin.rule for twin in TWINS} == {rule for rule in RULES if not RULES[rule].only_in_scenarios}


def test_every_file_has_a_scenario() -> None:
    files = {file for folder in ("servers", "broken") for file in (ROOT / "examples" / folder).glob("[!_]*.py")}
    assert files == {example.file for example in (*CORRECT, *TWINS)}


def test_the_patched_server_can_be_asserted_on_by_its_calls() -> None:
    alice = MockSocket([b"hello\n", b"bye\n"], name="alice")
    listener = ListenSocket([alice])
    selector = MockSelector([listener, alice, alice, alice], strict=True)
    with (
        patch("socket.socket", return_value=listener),
        patch("selectors.DefaultSelector", return_value=selector),
        selector,
    ):
        callbacks.serve("localhost", 8888)
    assert [call(b"hello\n"), call(b"bye\n")] == alice.sendall.call_args_list
    alice.close.assert_called_once_with()
    listener.bind.assert_called_once_with(("localhost", 8888))


def exit_status(monkeypatch: pytest.MonkeyPatch, *names: str) -> object:
    """What `python examples` with these names exits with."""
    monkeypatch.setattr(sys, "argv", ["examples", *names])
    monkeypatch.setattr(sys, "path", sys.path.copy())
    with pytest.raises(SystemExit, match=r"^\d$") as caught:
        runpy.run_path(str(ROOT / "examples"), run_name="__main__")
    return caught.value.code


@pytest.mark.slow
def test_the_command_shows_errors_in_full_and_succeeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status = exit_status(monkeypatch)
    shown = capsys.readouterr().out
    assert status == 0, shown
    assert "[accepted-not-registered]" in shown
    assert f"{len(TWINS)} of {len(TWINS)} broken twins are caught" in shown


def test_the_command_runs_the_named_examples_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(monkeypatch, "drain", "ignored_eof") == 0
    shown = capsys.readouterr().out
    assert "1 of 1 correct servers pass\n1 of 1 broken twins are caught" in shown


def test_the_command_refuses_unknown_names(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(monkeypatch, "no_such") == 2
    assert "there is no example 'no_such'; the names are: callbacks," in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_fails_where_a_twin_is_not_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tame = Twin(callbacks.serve, CORRECT[0].script, "busy-loop", "registered")
    monkeypatch.setattr("examples.scenarios.TWINS", (tame,))
    assert exit_status(monkeypatch) == 1
    assert "not caught; expected busy-loop" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_fails_where_a_correct_server_does_not_pass(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Correct(TWINS[0].serve, TWINS[0].script, {})
    monkeypatch.setattr("examples.scenarios.CORRECT", (broken,))
    assert exit_status(monkeypatch) == 1
    assert "alice was accepted but never registered" in capsys.readouterr().out

"""The command by which all this is run: what it says of the tests that it runs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

PLACE = Path(__file__).parent.parent / ".ci" / "dev.py"


@pytest.fixture
def dev(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:  # Any: it is no module that could be imported by name
    spec = importlib.util.spec_from_file_location("dev", PLACE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "LOGS", tmp_path / "logs")
    return module


def suite(dev: Any, folder: Path, python: str, tests: str) -> Any:
    """A step that has run these tests."""
    (folder / "test_some.py").write_text(tests)
    command = ("-m", "pytest", "-q", "-p", "pytest_progress", "-p", "no:cacheprovider", "--rootdir", folder, folder)
    step = dev.Step(f"{python} tests", sys.executable, *command, python=python)
    step.run()
    return step


PASSING = "def test_good(): pass\n"
FAILING = PASSING + "def test_bad(): assert 0\ndef test_wrong(gone): pass\n"
ENDING = PASSING + "import os\ndef test_bad(): os._exit(70)\n"


def test_what_has_failed_stands_last_each_test_once_with_its_pythons(
    dev: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [suite(dev, tmp_path, "3.10", FAILING), suite(dev, tmp_path, "3.13", ENDING)]
    with pytest.raises(SystemExit, match="^== 2 of 2 steps failed$"):
        dev.finish(steps, [], "all passed")
    assert [
        "== failed, exit status 1: 3.10 tests",
        "== failed, exit status 70: 3.13 tests",
        "== failed on Python 3.10: test_some.py::test_bad",
        "== failed on Python 3.13: test_some.py::test_bad (the process ended in it)",
        "== failed on Python 3.10: test_some.py::test_wrong",
    ] == capsys.readouterr().out.splitlines()[-5:]


def test_a_test_that_fails_on_two_pythons_is_named_once(
    dev: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [suite(dev, tmp_path, python, FAILING) for python in ("3.10", "3.13")]
    with pytest.raises(SystemExit):
        dev.finish(steps, [], "all passed")
    assert capsys.readouterr().out.count("== failed on Python 3.10, 3.13: ") == 2


def test_a_run_that_passes_ends_with_how_many_tests_passed(
    dev: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dev.finish([suite(dev, tmp_path, "3.13", PASSING)], [], "all passed")
    counts, verdict = capsys.readouterr().out.splitlines()[-2:]
    assert counts.startswith("== 3.13 tests: 1 passed in ")
    assert "== all passed" == verdict


def test_a_step_that_could_not_be_done_is_a_failure(dev: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="^== 1 of 1 steps failed$"):
        dev.finish([], ["exit status 1: python -m build"], "all passed")
    assert "python -m build" in capsys.readouterr().out


def test_when_nothing_else_is_said_it_says_which_test_runs(
    dev: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = dev.Step("3.13 tests", "python", python="3.13")
    step.log.parent.mkdir()
    step.progress.write_text("tests 3\nruns test_some.py::test_good\nruns test_some.py::test_slow\n")
    monkeypatch.setattr(dev, "_at_work", [step])
    monkeypatch.setattr(dev, "_said", float("-inf"))
    dev.tell_if_quiet()
    dev.tell_if_quiet()
    assert "== at work: 3.13 tests, test 2 of 3: test_some.py::test_slow (0 s)\n" == capsys.readouterr().out

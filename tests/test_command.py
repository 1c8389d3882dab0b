"""The command by which all this is run: what it says of the tests that it runs, and what else it does."""

from __future__ import annotations

import importlib.util
import re
import runpy
import sys
import types
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
    without = [
        word
        for one in ("randomly", "cacheprovider", "hypothesispytest", "time_machine")
        for word in ("-p", f"no:{one}")
    ]
    command = ("-m", "pytest", "-q", *without, "-p", "pytest_progress", "--rootdir", folder, folder)
    step = dev.Step(f"{python} tests", sys.executable, *command, python=python)
    step.run()
    return step


PASSING = "def test_good(): pass\n"
FAILING = PASSING + "def test_bad(): assert 0\ndef test_wrong(gone): pass\n"
ENDING = PASSING + "import os\ndef test_bad(): os._exit(70)\n"


@pytest.mark.shared
@pytest.mark.slow
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


@pytest.mark.shared
@pytest.mark.slow
def test_a_test_that_fails_on_two_pythons_is_named_once(
    dev: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [suite(dev, tmp_path, python, FAILING) for python in ("3.10", "3.13")]
    with pytest.raises(SystemExit):
        dev.finish(steps, [], "all passed")
    assert capsys.readouterr().out.count("== failed on Python 3.10, 3.13: ") == 2


@pytest.mark.shared
@pytest.mark.slow
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


# -- what each command does -----------------------------------------------------------------------------


@pytest.fixture
def steps(dev: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Which steps a command takes, each of which passes, on the one Python that is found."""
    taken: list[Any] = []

    def passes(step: Any, *, shown: bool = False) -> None:
        taken.append(step)
        step.status = 0

    monkeypatch.setattr(dev.Step, "run", passes)

    def environment(*_: str) -> Path:
        return Path("python")

    monkeypatch.setattr(dev, "pythons", lambda: {13: "python3.13"})
    monkeypatch.setattr(dev, "environment", environment)
    return taken


def call(dev: Any, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["dev.py", *words])
    dev.main()


def test_quick_lints_and_leaves_out_what_is_slow(dev: Any, steps: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    call(dev, monkeypatch, "quick")
    assert [
        "python -m ruff check",
        "python -m ruff format --check",
        "python -m mypy",
        "python -m pytest -m not slow and not collects -q -n auto -p pytest_progress",
    ] == [step.shown for step in steps]


@pytest.mark.parametrize(
    ("command", "marks"), [("quick", ["-m", "not slow and not collects"]), ("test", [])], ids=["quick", "test"]
)
def test_further_words_are_for_pytest_which_is_then_all_that_runs(
    command: str, marks: list[str], dev: Any, steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(dev, monkeypatch, command, "-k", "rules or door", "-x")
    assert [["python", "-m", "pytest", *marks, "-k", "rules or door", "-x", "-p", "pytest_progress"]] == [
        step.command for step in steps
    ]
    assert steps[0].variables["PYTHONPATH"].endswith(str(PLACE.parent.parent / "src"))


def test_further_words_of_bench_are_for_the_benchmarks(
    dev: Any, steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(dev, monkeypatch, "bench", "--quick")
    assert ["python benchmarks --quick"] == [step.shown for step in steps]


def test_further_words_of_gallery_are_names_of_what_is_shown(
    dev: Any, steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(dev, monkeypatch, "gallery", "uvicorn_2243")
    assert [[sys.executable, ".ci/gallery.py", "uvicorn_2243"]] == [step.command for step in steps]


def test_fix_leaves_the_golden_texts_alone(dev: Any, steps: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOCKSELECTOR_WRITE_GOLDEN", raising=False)
    call(dev, monkeypatch, "fix")
    assert [
        "python docs/make_rules.py",
        "python docs/make_gallery.py",
        "python docs/make_links.py",
        "python -m ruff check --fix",
        "python -m ruff format",
    ] == [step.shown for step in steps]
    assert not any("MOCKSELECTOR_WRITE_GOLDEN" in step.variables for step in steps)


def test_fix_writes_the_golden_texts_on_request(dev: Any, steps: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    call(dev, monkeypatch, "fix", "--golden")
    assert steps[0].shown == (  # the pages show them
        "python -m pytest -q tests/test_rules.py tests/test_scenario_traces.py tests/test_timeline.py"
    )
    assert "1" == steps[0].variables["MOCKSELECTOR_WRITE_GOLDEN"]


def test_fix_takes_no_other_words(dev: Any, steps: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="^== failed: fix takes --golden or nothing, not tests -x$"):
        call(dev, monkeypatch, "fix", "tests", "-x")
    assert steps == []


def test_docs_takes_a_warning_for_an_error_and_forgets_what_it_has_built_before(
    dev: Any, steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(dev, monkeypatch, "docs")
    assert ["python", "-m", "sphinx"] == steps[0].command[:3]
    assert {"-W", "-n", "-E"} <= {*steps[0].command}


def test_each_command_is_in_the_usage(dev: Any) -> None:
    assert all(f"python3 .ci/dev.py {command} " in dev.__doc__ for command in dev.COMMANDS)


def test_nox_offers_the_same_commands(dev: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    offered: dict[str, Any] = {}

    def session(function: object, *, name: str, python: bool) -> None:
        assert not python  # dev.py makes the environments
        offered[name] = function

    def run(*words: str) -> None:
        ran.append(words)

    nox: Any = types.ModuleType("nox")
    nox.options = types.SimpleNamespace()
    nox.session = session
    monkeypatch.setitem(sys.modules, "nox", nox)
    runpy.run_path(str(PLACE.parent.parent / "noxfile.py"))
    assert list(dev.COMMANDS) == list(offered)
    ran: list[tuple[str, ...]] = []
    offered["quick"](types.SimpleNamespace(posargs=["-k", "rules"], run=run))
    assert [(sys.executable, str(PLACE), "quick", "-k", "rules")] == ran


BATTERIES = [
    "test_kernel_calls",
    "test_kernel_conversations",
    "test_kernel_selectors",
    "test_cpython",
    "test_differential",
    "test_fuzz",
    "test_loopback",
]


@pytest.mark.parametrize("name", BATTERIES)
def test_a_battery_is_marked_as_slow(name: str) -> None:
    assert re.search(
        r"^pytestmark = \[?pytest\.mark\.slow", (Path(__file__).parent / f"{name}.py").read_text(), re.MULTILINE
    )

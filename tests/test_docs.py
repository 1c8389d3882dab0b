"""What the documentation shows is so: its examples run, its error is the one that comes, its tables are the code's."""

from __future__ import annotations

import inspect
import linecache
import re
import sys
import types
import unittest
from pathlib import Path
from typing import Any

import pytest
from docs import make_rules

import mockselector
from mockselector import Scenario, ScenarioError

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", CONTRIBUTING, *(ROOT / "docs").glob("*.md")])


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


EXAMPLES = [
    (page.name, number, block)
    for page in PAGES
    for number, block in enumerate(blocks(page.read_text(), "python"))
    if not block.startswith("# ")
]


@pytest.mark.parametrize(("page", "number", "block"), EXAMPLES, ids=[f"{page}-{n}" for page, n, _ in EXAMPLES])
def test_examples_run(page: str, number: int, block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(compile(block, f"{page}[{number}]", "exec"), names)
    for name, thing in names.items():
        if name.startswith("Test"):
            result = unittest.TestResult()
            unittest.defaultTestLoader.loadTestsFromTestCase(thing).run(result)
            assert result.testsRun, "it has no tests"
            assert result.wasSuccessful(), [*result.errors, *result.failures]
        elif name.startswith("test_") and "net" in inspect.signature(thing).parameters:
            with Scenario() as net:
                thing(net)


def run_as_file(source: str, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    name = source.split()[1]
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    module = types.ModuleType(name.removesuffix(".py"))
    exec(compile(source, name, "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_the_error_in_the_readme_is_the_one_that_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    server, test = (block for block in blocks(README, "python") if block.startswith("# "))
    run_as_file(server, monkeypatch)
    module = run_as_file(test, monkeypatch)
    with pytest.raises(ScenarioError) as caught:
        module.test_a_client_hears_what_it_says_and_leaves()
    shown = f"{mockselector.__name__}.ScenarioError: {caught.value}\n"
    assert blocks(README, "text") == [shown]


def test_the_rule_catalogue_is_made_from_the_table() -> None:
    assert (ROOT / "docs" / "rules.md").read_text() == make_rules.rules(), "run: python docs/make_rules.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_commands_of_the_readme_are_those_of_the_script() -> None:
    commands = re.findall(r"python3 \.ci/dev\.py (\w+)", README)
    script = (ROOT / ".ci" / "dev.py").read_text()
    assert commands == ["examples", "test", "bench"]
    for command in commands:
        assert f"def {command}() -> None:" in script


def test_what_the_guide_for_contributors_names_is_there() -> None:
    places = [ROOT, ROOT / "tests", ROOT / "src" / "mockselector"]
    named = re.findall(r"`((?:[\w*.]+/)*(?:[\w*]+\.py|test_[\w*]+|\w+/))`", CONTRIBUTING.read_text())
    assert len(named) > 50
    for name in named:
        path = name + ".py" * ("." not in name and not name.endswith("/"))
        assert any(next(place.glob(path), None) for place in places), name


def test_the_guide_for_contributors_names_each_room() -> None:
    text = CONTRIBUTING.read_text()
    for path in (ROOT / "src" / "mockselector").glob("_*/__init__.py"):
        assert f"`{path.parent.name}/`" in text


def test_the_guide_for_contributors_has_each_command_of_the_script() -> None:
    commands = re.findall(r"^    python3 \.ci/dev\.py (\w+)", (ROOT / ".ci" / "dev.py").read_text(), re.MULTILINE)
    assert {*commands} == {*re.findall(r"`python3 \.ci/dev\.py (\w+)", CONTRIBUTING.read_text())}

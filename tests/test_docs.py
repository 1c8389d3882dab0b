"""What the documentation shows is so: its examples run, its error is the one that comes, its tables are the code's."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import types
import unittest
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
from docs import check_site, drawings, make_links, make_rules

import mockselector
from mockselector import EventLoop, Scenario
from mockselector._judge.rules import LIFE, RULES

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = sorted([README, ROOT / "CHANGELOG.md", CONTRIBUTING, *(ROOT / "docs").rglob("*.md")])
WRITTEN = [page for page in PAGES if page.parent.name != "rules"]
"""The pages whose blocks are run here; those of the rules are the cases of test_rules."""

# -- blocks -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    python: a program, which is run; if it begins with `# name.py`, a file in the folder in which the page's commands
    are given. ini: pytest.ini in that folder. console: commands behind `$`, which are given, and what they print.
    text: something shown; if it begins as an error does, that is what the last command prints. json and the like: data.
    """

    page: Path
    number: int
    language: str
    reason: str  # why it is not run; "": it is
    text: str

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(ROOT)}-{self.number}"

    @property
    def file(self) -> str:
        name = re.match(r"# (\w+\.py)\n", self.text) if self.language == "python" else None
        return name[1] if name else "pytest.ini" if self.language == "ini" else ""

    @property
    def makes_its_page_be_followed(self) -> bool:
        return not self.reason and (self.language == "console" or self.file.startswith("test_"))

    @property
    def is_error(self) -> bool:
        begins = re.match(r"(mockselector\.ScenarioError: )?\[[a-z-]+\] ", self.text)
        return self.language == "text" and begins is not None


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```([^\n]+)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [
        Block(page, number, told.partition(" ")[0], told.partition(" not run: ")[2], text)
        for number, (told, text) in enumerate(found)
    ]


BLOCKS = [block for page in WRITTEN for block in blocks(page)]
PROGRAMS = [block for block in BLOCKS if block.language == "python" and not block.file and not block.reason]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_block_says_what_it_is(page: Path) -> None:
    text = page.read_text()
    assert text.count("```") == 2 * len(blocks(page)), "each begins and ends at the beginning of a line"
    for told in re.findall(r"^```([^\n]+)$", text, re.MULTILINE):
        shown = r"text|ini|json|mermaid|toml|\{toctree\}|\{eval-rst\}|\{include\} \.\./\w+\.md"
        assert re.fullmatch(rf"(python|console)( not run: \w.+)?|{shown}", told)
    assert page in FOLLOWED or not any(block.file.endswith(".py") for block in blocks(page)), "a file that nobody runs"


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.id)
def test_programs_run(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    module = types.ModuleType("page")
    module.__file__ = str(block.page)
    monkeypatch.setitem(sys.modules, "page", module)
    exec(compile(block.text, block.id, "exec"), vars(module))
    for name, thing in [*vars(module).items()]:
        if name.startswith("Test"):
            result = unittest.TestResult()
            unittest.defaultTestLoader.loadTestsFromTestCase(thing).run(result)
            assert result.testsRun, "it has no tests"
            assert result.wasSuccessful(), [*result.errors, *result.failures]
        elif inspect.iscoroutinefunction(thing) and name.startswith("test_"):
            loop = EventLoop()
            loop.run_until_complete(thing())
            loop.close()
        elif name.startswith("test_") and "net" in inspect.signature(thing).parameters:
            with Scenario() as net:
                thing(net)
        elif name.startswith("test_"):
            thing()


# -- pages that are followed ------------------------------------------------------------------------------


FOLLOWED = [page for page in WRITTEN if any(block.makes_its_page_be_followed for block in blocks(page))]

WITHOUT = ("cacheprovider", "randomly", "hypothesispytest", "xdist", "timeout", "anyio", "cov")
"""Plugins of pytest that a reader may have, and of which no page speaks."""


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: str(page.relative_to(ROOT)))
def test_who_does_what_a_page_says_sees_what_it_shows(page: Path, tmp_path: Path) -> None:
    said = ""  # by the last command that was given since a file was written
    for block in blocks(page):
        if block.reason:
            continue
        if block.file:
            (tmp_path / block.file).write_text(block.text)
            said = ""
        elif block.language == "console":
            for command, shown in commands(block.text):
                said = given(command, tmp_path)
                for line in filter("...".__ne__, shown):
                    assert re.search(re.sub(r"in\\ [\d.\\]+s$", r"in [\\d.]+s", re.escape(line)), said), said
        elif block.is_error:
            said = said or given("pytest", tmp_path)
            assert block.text in said + "\n"
    assert said, "a page does not end with a file that nobody runs"


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block, with the lines that it is to print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        yield command, shown


def given(command: str, folder: Path) -> str:
    """Give a command of the page in a folder; what it prints, without what pytest puts before the lines of an error."""
    program, *words = shlex.split(command)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "MOCKSELECTOR"))},
        "PYTHONPATH": str(Path(mockselector.__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": " ".join(f"-p no:{plugin}" for plugin in WITHOUT),
    }  # fmt: skip
    words = [sys.executable, *([] if program == "python" else ["-m", program]), *words]
    done = subprocess.run(
        words, cwd=folder, env=environment, check=False, text=True, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return re.sub(r"(?:^E .*\n)+", without_margin, done.stdout, flags=re.MULTILINE)


def without_margin(error: re.Match[str]) -> str:
    return dedent(error[0].replace("\nE ", "\n")[2:])


# -- what is made from something else ---------------------------------------------------------------------


def test_the_rule_catalogue_is_made_from_the_table() -> None:
    made = make_rules.pages()
    assert {path: path.read_text() for path in made} == made, "run: python docs/make_rules.py"
    assert {path.stem for path in (ROOT / "docs" / "rules").iterdir()} == {*RULES}


def test_the_reference_has_each_public_name() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    assert {*re.findall(r":: mockselector\.(\w+)", text)} == {*mockselector.__all__}


def test_each_phase_of_the_table_has_a_place_in_the_picture() -> None:
    assert {*drawings.PLACES} == {*LIFE}
    assert all(f">{phase}</text>" in drawings.life() for phase in LIFE)


@pytest.mark.shared
@pytest.mark.slow
def test_each_room_is_in_the_drawing_above_those_from_which_it_imports() -> None:
    ways = drawings.imports()
    floors = drawings.floors(ways)
    assert ways["_testing/"] >= {"_scenario.py", "_judge/"}
    assert all(floors[room] > floors[other] for room, others in ways.items() for other in others)
    drawn = drawings.architecture()
    assert all(f">{room}</text>" in drawn for room in drawings.rooms())


def test_a_link_of_the_site_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<a href="other.html#here">a</a> <a href="other.html#gone">b</a> <a href="gone.html">c</a>'
        ' <a href="https://example.org/">d</a> <script src="https://example.org/x.js"></script>'
    )
    (tmp_path / "other.html").write_text('<p id="here">')
    (tmp_path / "site.css").write_text("@import 'https://example.org/font.css';")
    assert check_site.faults(tmp_path) == [
        "index.html: other.html#gone leads to no place of that page",
        "index.html: gone.html leads nowhere",
        "index.html loads https://example.org/x.js",
        "site.css loads https://example.org/font.css",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for link in [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r"^\[.+\]: (\S+)$", text, re.MULTILINE)]:
        target, _, place = link.partition("#")
        if target.startswith(make_links.home()):
            there = ROOT / target.removeprefix(make_links.home())
        elif "://" in target:
            continue
        else:
            there = page.parent / target if target else page
        assert there.exists(), target
        headings = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE) if place else []
        assert not place or place in [anchor(heading) for heading in headings], (target, place)


def test_the_links_of_the_readme_lead_there_from_anywhere() -> None:
    assert make_links.absolute(README.read_text()) == README.read_text(), "run: python docs/make_links.py"


def test_every_address_of_the_project_begins_with_its_home() -> None:
    urls = (ROOT / "pyproject.toml").read_text().partition("[project.urls]")[2].partition("\n[")[0]
    addresses = re.findall(r'^\w+ = "(.+)"$', urls, re.MULTILINE)
    addresses += re.findall(
        r"https://github\.com/[\w/-]+/HEAD/", (ROOT / ".github" / "pull_request_template.md").read_text()
    )
    assert len(addresses) > 5
    assert all(address.startswith(make_links.home().partition("/blob/")[0]) for address in addresses)


def anchor(heading: str) -> str:
    """What a heading is called in a link."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_commands_of_the_readme_are_those_of_the_script() -> None:
    commands = re.findall(r"python3 \.ci/dev\.py (\w+)", README.read_text())
    script = (ROOT / ".ci" / "dev.py").read_text()
    assert commands == ["examples", "test", "docs"]
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

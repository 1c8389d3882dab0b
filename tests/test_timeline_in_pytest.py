"""What pytest has of timelines: a page for each test that has failed, or for each. The claims are about one suite."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from mockselector._testing.pages import page_name
from test_pytest_plugin import Ran, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.shared]

SUITE: Final = """
from mockselector import Scenario, ScenarioTestCase

def test_right(net):
    net.client("alice").sends(b"x").expects(b"x").closes()
    net.run(echo, 80)

@pytest.mark.parametrize("what", ["y", "a/b <c>"])
def test_wrong(net, what):
    net.client("alice").sends(b"x").expects(what.encode()).closes()
    net.run(echo, 80)

def test_its_own_reason(net):
    net.client("alice").sends(b"x").expects(b"x").closes()
    net.run(echo, 80)
    assert 1 == 2, "</script>"

def test_its_own_scenarios():
    for data in (b"x", b"y"):
        with Scenario() as one:
            one.client("alice").sends(b"x").expects(data).closes()
            one.run(echo, 80)

def test_left(net):
    net.client("alice").sends(b"x")

def test_without_any():
    assert 1 == 2

class TestCase(ScenarioTestCase):
    def test_of_unittest(self):
        self.net.client("alice").sends(b"x").expects(b"y").closes()
        self.net.run(echo, 80)

@pytest.mark.mockselector(simulate=True)
def test_simulated(shared):
    ask(shared)
    assert 1 == 2

@pytest.mark.mockselector(simulate=True)
def test_simulated_as_well(shared):
    ask(shared)
    assert 2 == 3
"""

FAILED: Final = {
    "test_it.test_wrong-y-{}.html", "test_it.test_wrong-a.b-c-{}.html", "test_it.test_its_own_reason.html",
    "test_it.test_its_own_scenarios.html", "test_it.test_its_own_scenarios-2.html", "test_it.test_left.html",
    "test_it.TestCase.test_of_unittest.html", "test_it.test_simulated.html", "test_it.test_simulated_as_well.html",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("suites")


@pytest.fixture(scope="module")
def ran(folder: Path) -> Ran:
    return run(folder, SUITE, "--mockselector-timeline=seen/pages")


def pages(folder: Path) -> dict[str, str]:
    """By name; what tells two names apart is left open."""
    return {
        re.sub(r"-[0-9a-f]{8}(?=\.html)", "-{}", path.name): path.read_text()
        for path in (folder / "seen" / "pages").iterdir()
    }


def test_each_test_that_has_failed_has_its_pages(folder: Path, ran: Ran) -> None:
    assert ran.by_name["test_right"] == "passed"
    assert {*pages(folder)} == FAILED


def test_its_report_says_where(ran: Ran) -> None:
    assert ran.says("- mockselector: timeline -", "seen/pages/test_it.test_its_own_reason.html\n")
    assert ran.says(
        "seen/pages/test_it.test_its_own_scenarios.html\nseen/pages/test_it.test_its_own_scenarios-2.html\n"
    )
    assert re.search(r"\ntimelines: seen/pages/test_it\.test_wrong-\S+\.html, and 8 more there\n", ran.text)


def test_junits_file_has_it_as_a_property(folder: Path, ran: Ran) -> None:
    text = (folder / "junit.xml").read_text()
    found = re.findall(r'<property name="mockselector_timeline" value="seen/pages/([^"]*)"', text)
    assert {re.sub(r"-[0-9a-f]{8}(?=\.html)", "-{}", name) for name in found} == FAILED
    assert len(found) == len(FAILED)


def test_what_it_has_failed_by_stands_in_it(folder: Path, ran: Ran) -> None:
    text = pages(folder)["test_it.test_its_own_reason.html"]
    assert "<h2>AssertionError: &lt;/script&gt;</h2>" in text
    assert pages(folder)["test_it.test_wrong-y-{}.html"].count("<h2>[unexpected-send] ") == 1


def test_of_a_scenario_that_tests_share_each_page_has_its_own_part(folder: Path, ran: Ran) -> None:
    first, second = (pages(folder)[f"test_it.test_simulated{name}.html"] for name in ("", "_as_well"))
    assert ("listener.listen()" in first, "listener.listen()" in second) == (True, False)
    assert ("1 == 2" in first, "1 == 2" in second, "2 == 3" in second) == (True, False, True)


def test_each_test_has_a_page_if_that_is_asked_for_and_workers_write_the_same(
    tmp_path: Path, folder: Path, ran: Ran
) -> None:
    given = ["--mockselector-timeline=seen/pages", "--mockselector-timeline-of=all", "-n2", "-k", "not simulated"]
    workers = run(tmp_path, SUITE, *given, beside=("xdist",))
    right, before = "test_it.test_right.html", pages(folder)
    assert {*pages(tmp_path)} == {name for name in FAILED if "simulated" not in name} | {right}
    assert all(before[name] == text for name, text in pages(tmp_path).items() if name != right)
    assert workers.says(
        "- mockselector: timeline -", "seen/pages/test_it.test_its_own_reason.html\n", ", and 7 more there"
    )


def test_where_nobody_asks_there_is_none(tmp_path: Path) -> None:
    ran = run(tmp_path, SUITE, "-k", "its_own_reason")
    assert not ran.says("timeline")
    assert not list(tmp_path.rglob("*.html"))


def test_options_that_cannot_be_are_told(tmp_path: Path) -> None:
    ran = run(tmp_path, "", "--mockselector-timeline-of=all")
    assert ran.says("--mockselector-timeline-of=all needs --mockselector-timeline=DIR: where to write them")
    (tmp_path / "taken").write_text("")
    ran = run(tmp_path, "", "--mockselector-timeline=taken")
    assert ran.says("--mockselector-timeline=taken takes a folder, to be made: ")


def test_the_name_of_a_page_is_that_of_its_test() -> None:
    assert page_name("tests/net/test_chat.py::TestAll::test_hi") == "tests.net.test_chat.TestAll.test_hi"


@pytest.mark.parametrize("odd", ["a b", "a/../b", "<>", "\n", "ü", "x" * 999, "\ud800", ":", "a" * 200 + "/" * 200])
def test_the_name_of_a_page_is_one_for_a_file(odd: str) -> None:
    name = page_name(f"test_it.py::test[{odd}]")
    assert re.fullmatch(r"[A-Za-z0-9_.-]+-[0-9a-f]{8}", name)
    assert len(name) <= 130
    assert page_name(f"test_it.py::test[{odd}!]") != name


def test_of_a_page_that_cannot_be_written_it_is_told_why(tmp_path: Path) -> None:
    suite = """
def test_wrong(net):
    net.client("alice").sends(b"x").expects(b"y").closes()
    net.run(echo, 80)
"""
    (tmp_path / "suite" / "pages" / "test_it.test_wrong.html").mkdir(parents=True)
    ran = run(tmp_path / "suite", suite, "--mockselector-timeline=pages")
    assert ran.by_name == {"test_wrong": "failure"}
    assert ran.says("[unexpected-send]", "pages/test_it.test_wrong.html could not be written: ", "Is a directory")

"""The gallery: what its files say of themselves, and how a finding is compared with it. `dev.py gallery` runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs import make_gallery
from examples.entries import Entry, entries, read, unsaid

from mockselector._judge.rules import RULES

ROOT = Path(__file__).parent.parent
ENTRIES = entries()

HEAD = '''"""some 1.0: it is wrong.

package: some==1.0
python:  3.12 3.13
address: https://example.org/1

What is wrong.

    [stuck] alice waits ... for 'hi'
      closed  some/server.py:1
"""

import some
'''


def name(entry: Entry) -> str:
    return entry.name


def entry_of(folder: Path, head: str) -> Entry:
    path = folder / "some_1.py"
    path.write_text(head)
    return read(path)


def test_the_page_is_made_from_the_files() -> None:
    assert (ROOT / "docs" / "gallery.md").read_text() == make_gallery.gallery(), "run: python docs/make_gallery.py"


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_a_program_is_shorter_than_25_lines(entry: Entry) -> None:
    assert 25 > len([line for line in entry.code.splitlines() if line.strip()])


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_a_finding_begins_with_a_rule(entry: Entry) -> None:
    assert entry.rule in RULES


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_what_is_installed_is_a_version(entry: Entry) -> None:
    assert all(package.count("==") == 1 for package in (*entry.package, *entry.mended))


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_a_line_of_its_own_that_a_finding_names_says_what_stands_there(entry: Entry) -> None:
    lines = (ROOT / "examples" / "gallery" / f"{entry.name}.py").read_text().splitlines()
    for number, code in re.findall(rf"{entry.name}\.py:(\d+)  in \S+ +(.+)", "\n".join(entry.finding)):
        assert lines[int(number) - 1].strip() == code


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    command = [sys.executable, ".ci/gallery.py", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "== there is no nonsense in the gallery, but aiohttp_3659, aiosmtpd_146, " in done.stderr


def test_a_file_is_read(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, HEAD)
    assert Entry(
        name="some_1",
        title="some 1.0: it is wrong.",
        package=("some==1.0",),
        mended=(),
        python=(12, 13),
        silent=(),
        address="https://example.org/1",
        text="What is wrong.",
        finding=("[stuck] alice waits ... for 'hi'", "  closed  some/server.py:1"),
        code="import some",
    ) == entry  # fmt: skip
    assert "stuck" == entry.rule


@pytest.mark.parametrize("gone", ["python", "address"])
def test_a_head_that_lacks_something_is_told_so(gone: str, tmp_path: Path) -> None:
    head = "".join(line for line in HEAD.splitlines(keepends=True) if not line.startswith(gone))
    with pytest.raises(ValueError, match=rf"^some_1\.py: its head has no {gone}$"):
        entry_of(tmp_path, head)


def test_a_head_with_something_else_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^some_1\.py: 'pakage' is none of package, mended, python, silent, address$"):
        entry_of(tmp_path, HEAD.replace("package", "pakage"))


SAID = "Traceback\nmockselector.ScenarioError: [stuck] alice waits in vain for 'hi'\n\n  {}\n"


def test_a_finding_that_says_it_all_lacks_nothing(tmp_path: Path) -> None:
    assert "" == unsaid(entry_of(tmp_path, HEAD), SAID.format("read  x.py:3\n  closed     some/server.py:1"))


def test_a_line_that_a_finding_does_not_say_is_told(tmp_path: Path) -> None:
    assert "  closed  some/server.py:1" == unsaid(entry_of(tmp_path, HEAD), SAID.format("closed  some/server.py:12"))


def test_another_rule_is_told(tmp_path: Path) -> None:
    said = SAID.format("closed  some/server.py:1").replace("[stuck]", "[busy-loop]")
    assert "[stuck] alice waits ... for 'hi'" == unsaid(entry_of(tmp_path, HEAD), said)


def test_a_program_that_finds_nothing_is_told(tmp_path: Path) -> None:
    assert "[stuck] alice waits ... for 'hi'" == unsaid(entry_of(tmp_path, HEAD), "")

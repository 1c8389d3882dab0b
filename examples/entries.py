"""The gallery: true defects of released packages, each shown by a scenario of a few lines.

Each file of `gallery/` is a program: `python3 .ci/dev.py gallery` runs it beside the package that it is about, in an
environment of its own, and sees whether the finding comes; where a release has mended it, that must be silent. With its
name, `gallery NAME`, its whole error is shown. The head of a file is read by that command, by `docs/make_gallery.py`
and by the tests:

    package:  what is installed; mended: the same, where it is right
    python:   on which Pythons that version runs and has the defect; silent: those on which the same program is right
    address:  where the public talks of it

Then a text, and last, indented, what the finding says: lines of it in their order, with "..." for what is left out.

Owns the reading of that. Must not know mockselector, nor import a file of the gallery: each needs packages of its own.
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path
from typing import NamedTuple

FIELDS = ("package", "mended", "python", "silent", "address")


class Entry(NamedTuple):
    """A defect: what its file says of it."""

    name: str
    title: str
    package: tuple[str, ...]
    mended: tuple[str, ...]
    python: tuple[int, ...]
    silent: tuple[int, ...]
    address: str
    text: str
    finding: tuple[str, ...]
    code: str

    @property
    def rule(self) -> str:
        """The id of the rule that is broken."""
        return self.finding[0].partition("]")[0].removeprefix("[")


def read(path: Path) -> Entry:
    """The entry in a file. Raises ValueError, which names the field, where its head has not what it needs."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    title, _, rest = (ast.get_docstring(tree) or "").partition("\n\n")
    head, _, rest = rest.partition("\n\n")
    text, _, finding = rest.rpartition("\n\n    [")
    fields = dict.fromkeys(FIELDS, "")
    for line in head.splitlines():
        key, _, value = line.partition(":")
        if key not in fields:
            raise ValueError(f"{path.name}: {key!r} is none of {', '.join(FIELDS)}")
        fields[key] = value.strip()
    for key, value in {**fields, "text": text, "finding": finding}.items():
        if not value and key not in ("package", "mended", "silent"):
            raise ValueError(f"{path.name}: its head has no {key}")
    minors = {key: tuple(int(word.removeprefix("3.")) for word in fields[key].split()) for key in ("python", "silent")}
    return Entry(
        name=path.stem,
        title=title.replace("\n", " "),
        package=tuple(fields["package"].split()),
        mended=tuple(fields["mended"].split()),
        address=fields["address"],
        text=text,
        finding=tuple(textwrap.dedent(f"    [{finding}").splitlines()),
        code=source.split("\n", tree.body[0].end_lineno or 0)[-1].strip("\n"),
        **minors,
    )


def entries() -> list[Entry]:
    """All of them, by name."""
    return [read(path) for path in sorted((Path(__file__).parent / "gallery").glob("*.py"))]


def unsaid(entry: Entry, output: str) -> str:
    """The first line of the finding that the output of its program does not have, in its place; "": none is missing."""
    lines = [*map(_plain, output.rpartition("ScenarioError: ")[2].splitlines())]
    at = 0
    for line in entry.finding:
        pattern = ".*".join(map(re.escape, _plain(line).split("...")))
        while at < len(lines) and not re.fullmatch(pattern, lines[at]):
            at += 1
        if at == len(lines):
            return line
        at += 1
    return ""


def _plain(line: str) -> str:
    """A line without what sets it into columns."""
    return " ".join(line.split())

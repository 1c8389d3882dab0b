"""The shape of the package: who imports whom, and what importing it costs."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

import mockselector
from mockselector._judge.rules import JUDGED, RULES

if TYPE_CHECKING:
    from mockselector import RuleId

PACKAGE = Path(mockselector.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = ["", *sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))]
CODE = [path for path in FILES if path.name != "__init__.py"]
WINGS = {"_lists"}, {"_kernel", "_play", "_threads", "_world", "_current", "_loopback", "_simulated", "_install"}
"""Event lists, and scenarios."""

Importing: TypeAlias = tuple[str, ...]
"""A module by the names on its way, below the package."""


def rooms(folder: str) -> list[str]:
    """What the map of a folder names, in its order."""
    text = (PACKAGE / folder / "__init__.py").read_text()
    drawn = ast.get_docstring(ast.parse(text)) or ""
    if not folder:  # its docstring is for users
        drawn = "\n".join(line[2:] for line in text.splitlines() if line.startswith("# "))
    first = [line.split()[0] for line in drawn.splitlines() if line.startswith("    ")]
    return [name.removesuffix(".py").removesuffix("/") for name in first if name.endswith((".py", "/"))]


def name_of(path: Path) -> Importing:
    return path.relative_to(PACKAGE).with_suffix("").parts


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    """All nodes of a file, itself first."""
    return [*ast.walk(ast.parse(path.read_text()))]


@functools.cache
def imports(path: Path) -> set[Importing]:
    """What a file imports of the package."""
    inside = name_of(path)[:-1]
    return {
        (*inside[: len(inside) + 1 - node.level], *name.split("."))
        for node in nodes(path)
        if isinstance(node, ast.ImportFrom) and node.level
        for name in ([node.module] if node.module else [alias.name for alias in node.names])
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_map_names_every_room(folder: str) -> None:
    there = [path.parent.name for path in (PACKAGE / folder).glob("*/__init__.py")]
    there += [path.stem for path in (PACKAGE / folder).glob("*.py") if path.stem != "__init__"]
    assert sorted(rooms(folder)) == sorted(there)


@pytest.mark.parametrize("rule", RULES)
def test_the_map_says_where_each_rule_is_judged(rule: RuleId) -> None:
    for folder, _, file in (place.partition("/") for place in JUDGED[rule] if "/" in place):
        lines = (PACKAGE / folder / "__init__.py").read_text().partition(f"    {file}.py ")[2]
        assert f"[{rule}]" in re.split(r"\n    \w+\.py |\n\n", lines)[0]


@pytest.mark.shared
@pytest.mark.parametrize("path", CODE, ids=lambda path: "/".join(name_of(path)))
def test_a_file_imports_only_from_those_above_it(path: Path) -> None:
    room, *more = name_of(path)
    above = rooms("")[: rooms("").index(room)]
    beside = rooms(room)[: rooms(room).index(more[0])] if more else []
    for other, *inside in imports(path):
        assert (inside[0] in beside) if other == room else other in above, (other, inside)


@pytest.mark.shared
@pytest.mark.parametrize("path", CODE, ids=lambda path: "/".join(name_of(path)))
def test_the_two_wings_know_nothing_of_each_other(path: Path) -> None:
    room = name_of(path)[0]
    for one, other in (WINGS, WINGS[::-1]):
        assert room not in one or not {name[0] for name in imports(path)} & other


@pytest.mark.shared
@pytest.mark.parametrize("path", CODE, ids=lambda path: "/".join(name_of(path)))
def test_every_file_says_what_it_owns(path: Path) -> None:
    module = nodes(path)[0]
    assert isinstance(module, ast.Module)
    docstring = ast.get_docstring(module) or ""
    assert "Owns" in docstring or path.name == "rules.py"


@pytest.mark.shared
@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(name_of(path)))
def test_no_function_is_longer_than_a_page(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


@pytest.mark.shared
@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(name_of(path)))
def test_a_file_is_no_longer_than_can_be_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500 or path.name == "rules.py"  # which is a table


@pytest.mark.shared
@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(name_of(path)))
def test_a_class_that_is_long_or_has_many_attributes_says_why(path: Path) -> None:
    lines = path.read_text().splitlines()
    for node in nodes(path):
        if not isinstance(node, ast.ClassDef):
            continue
        stored = {
            one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store)
            if isinstance(one.value, ast.Name) and one.value.id == "self"
        }  # fmt: skip
        if (node.end_lineno or 0) - node.lineno > 300 or len(stored) > 15:
            told = f"{lines[node.lineno - 2]} {ast.get_docstring(node)}".lower()
            assert any(word in told for word in ("long", "many", "attributes")), node.name


def test_importing_it_imports_nothing_dear() -> None:
    dear = (
        "{'unittest.mock', 'asyncio', 'pytest', 'typing', 'typing_extensions', 'linecache', 'inspect', 'dataclasses'}"
    )
    program = f"import sys; before = set(sys.modules); import mockselector; print({dear} & set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_its_help_begins_with_scenario() -> None:
    first, second = (mockselector.__doc__ or "").split("\n\n")[:2]
    assert first == "Test servers built on `selectors` without ports, threads or sleeping."
    assert second.startswith("`Scenario` ")


def test_its_names() -> None:
    for name in mockselector.__all__:
        assert getattr(mockselector, name) is not None
    assert mockselector.__version__
    with pytest.raises(AttributeError, match="^module 'mockselector' has no attribute 'nonsense'$"):
        _ = mockselector.__getattr__("nonsense")

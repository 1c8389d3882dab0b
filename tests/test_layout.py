"""The shape of the package: who imports whom, and what importing it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mockselector

PACKAGE = Path(mockselector.__file__).parent
FILES = sorted(PACKAGE.glob("*.py"))
READING_ORDER = [
    line.split()[0].removesuffix(".py")
    for line in (mockselector.__doc__ or "").splitlines()
    if line.startswith("    ") and line.split()[0].endswith(".py")
]


def test_the_map_names_every_file() -> None:
    assert sorted(READING_ORDER) == sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("module", READING_ORDER)
def test_a_file_imports_only_from_those_above_it(module: str) -> None:
    above = READING_ORDER[: READING_ORDER.index(module)]
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert set(imported) <= set(above)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_says_what_it_owns(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert "Owns" in docstring or path.name in ("__init__.py", "_rules.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_function_is_longer_than_a_page(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_importing_it_imports_nothing_dear() -> None:
    dear = (
        "{'unittest.mock', 'asyncio', 'pytest', 'typing', 'typing_extensions', 'linecache', 'inspect', 'dataclasses'}"
    )
    program = f"import sys; before = set(sys.modules); import mockselector; print({dear} & set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_its_names() -> None:
    for name in mockselector.__all__:
        assert getattr(mockselector, name) is not None
    assert mockselector.__version__
    with pytest.raises(AttributeError, match="^module 'mockselector' has no attribute 'nonsense'$"):
        _ = mockselector.__getattr__("nonsense")

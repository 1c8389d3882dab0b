"""What needs an interpreter of its own: an import, and a scenario in a process of a known size."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

import typing_extensions

import mockselector
from table import Bar, Row, Turn, compared, in_turn, measured, time_text

UNWANTED: Final = ("asyncio", "pytest", "typing", "unittest.mock")

IMPORT: Final = """
import sys, time
sys.path += sys.argv[1:]
start = time.perf_counter()
import {modules}
seconds = time.perf_counter() - start
print(seconds, *sys.modules)
"""

EMPTY: Final = """
import sys
sys.path += sys.argv[1:]
import {modules}
from time import process_time
from mockselector import Scenario
def empty():
    with Scenario() as net:
        net.run(int)
empty()
start = process_time()
for _ in range(20):
    empty()
print((process_time() - start) / 20, *sys.modules)
"""

LARGE: Final = (
    "asyncio, concurrent.futures, ctypes, difflib, doctest, email.mime.text, http.server, importlib.metadata, inspect,"
    " logging.config, multiprocessing.pool, pdb, pydoc, sqlite3, unittest.mock, wsgiref.simple_server, xml.dom.minidom,"
    " xml.etree.ElementTree, xml.sax, xmlrpc.server, zipfile"
)
"""Modules that bring hundreds of others along, and are there on every machine."""

# -- what is measured -----------------------------------------------------------------------


def fresh(program: str, modules: str) -> tuple[float, set[str]]:
    """The seconds that such a program prints in an interpreter of its own, and the modules that are then there."""
    homes = [str(Path(mockselector.__file__).parents[1]), str(Path(typing_extensions.__file__).parent)]
    command = [sys.executable, "-I", "-S", "-c", program.format(modules=modules), *homes]
    seconds, *there = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), set(there)


# -- the rows -------------------------------------------------------------------------------


def import_rows(quick: bool) -> Iterator[Row]:
    baseline = "dataclasses, selectors, socket"
    fresh(IMPORT, "mockselector")  # leaves compiled files behind, if need be
    turns: dict[str, Turn] = {
        "ours": lambda: fresh(IMPORT, "mockselector")[0],
        "baseline": lambda: fresh(IMPORT, baseline)[0],
    }
    seen = in_turn(turns, 2 if quick else 21)
    yield Row(f"import {baseline}", time_text(seen["baseline"]))
    bar = Bar("at most", 1.3)
    yield compared("  import mockselector takes", time_text(seen["ours"]), seen["ours"], seen["baseline"], bar)
    there = sorted(fresh(IMPORT, "mockselector")[1].intersection(UNWANTED))
    yield Row(f"  of {', '.join(UNWANTED)}", ", ".join(there) or "none", bar="none", holds=not there)


def empty_rows(quick: bool) -> Iterator[Row]:
    """A scenario in which nothing happens, from the second one on."""
    turns: dict[str, Turn] = {
        "small": lambda: fresh(EMPTY, "mockselector")[0],
        "large": lambda: fresh(EMPTY, LARGE)[0],
    }
    seen = in_turn(turns, 2 if quick else 11)
    small, large = (f"beside {len(fresh(EMPTY, modules)[1])} modules" for modules in ("mockselector", LARGE))
    bar = Bar("at most", 0.1, " ms")
    yield measured(f"an empty scenario, {small}", time_text(seen["small"]), median(seen["small"]) * 1e3, bar)
    yield Row(f"  {large}", time_text(seen["large"]))

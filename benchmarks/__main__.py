"""What mockselector costs: `python benchmarks` prints one table of ratios.

Times differ from machine to machine, ratios far less. So every time is set against what a user
would otherwise pick, in the same process: mockselector 0.2.3, real loopback sockets, a bare fake
without any checks, async-solipsism; n/a stands for one that is not installed. The contestants take
turns, the garbage is collected before each turn, and a line states the median of the rounds' ratios
with the smallest and the largest.

What is timed never waits, so the processor's time is what counts (the process's own and the
kernel's for it): on a machine that others use too it is far steadier than the clock on the wall.

WORD ...: only the rows that one of these words names (scenario, echo, asyncio: see --help).
--quick: a run of some seconds, to see that all this works; its figures mean little.
--check: exit status 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import asyncio_rows
import fresh
import lists
import memory
import scenarios
import threads
from table import Row

ROWS: Final[dict[str, Callable[[bool], Iterator[Row]]]] = {
    "list event": lists.event_rows,
    "list making": lists.making_rows,
    "list growth": lists.growth_rows,
    "scenario echo": scenarios.echo_rows,
    "scenario connection": scenarios.connection_rows,
    "scenario growth": scenarios.client_rows,
    "scenario empty": fresh.empty_rows,
    "scenario threads": threads.thread_rows,
    "asyncio streams": asyncio_rows.stream_rows,
    "asyncio sleep": asyncio_rows.sleep_rows,
    "memory list": memory.list_rows,
    "memory scenario": memory.scenario_rows,
    "import": fresh.import_rows,
}
"""The rows by their names, in the order of the table. Each function is told whether the run is a quick one."""


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help=f"only these rows: {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="a run of some seconds; its figures mean little")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a bar is missed")
    options = parser.parse_args()
    words = set[str](options.words)
    if unknown := words.difference(*map(str.split, ROWS)):
        parser.error(f"no rows are named {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    chosen = [rows for name, rows in ROWS.items() if not words or words.intersection(name.split())]

    print(f"{platform.platform()}, {processor()}, {os.cpu_count()} CPUs")
    print(f"{platform.python_implementation()} {platform.python_version()}\n")
    widths = (46, 12, 26, 20)
    fallen = 0
    heads = Row("what", "figure", "ratio (min - max)", "bar")
    for row in chain([heads], *(rows(options.quick) for rows in chosen)):
        *cells, verdict = row.cells()
        print(*(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)), verdict, flush=True)
        fallen += row.holds is False
    if fallen:
        print(f"\n{fallen} of the bars {'is' if fallen == 1 else 'are'} missed.")
    return 1 if fallen and options.check else 0


def processor() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    sys.exit(main())

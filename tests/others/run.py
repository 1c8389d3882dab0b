"""Other people's tests, as they are, inside of scenarios: `python tests/others/run.py stdlib asyncio tornado`.

Runs each suite three times, by this Python, which must have mockselector, pytest, pytest-timeout and what the suite
needs: on real sockets, with `--mockselector-simulate=observe`, and with `--mockselector-simulate`. Prints which tests
pass on real sockets and not simulated, with the reason, and a table. A suite that no installed package has is run from
a checkout: `websockets=PATH`. `-k WORDS` chooses tests, as for pytest.

Exit status 1: a test does not pass simulated, and is not listed in `suites.py`, or for another reason; one that is
listed passes; or of those that pass on real sockets, and need neither processes, UDP nor pyOpenSSL, less than `LEAST`
pass observed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

if not __package__:  # as a script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from others.suites import REFUSED, SUITES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from others.suites import Suite

LEAST: Final = 0.95
"""Of those that pass on real sockets, and need none of what is `REFUSED`, so many have to pass observed."""

WATCHDOG: Final = 10
"""Seconds after which a test that spins is told of."""

SOURCES: Final = Path(__file__).resolve().parent.parent.parent / "src"
PYTEST: Final = "import pytest, sys; raise SystemExit(pytest.main(sys.argv[1:]))"
MODES: Final[dict[str, tuple[str, ...]]] = {
    "real": (),
    "observe": ("--mockselector-simulate=observe",),
    "strict": ("--mockselector-simulate",),
}


class Ran(NamedTuple):
    """What came of a suite: of each test why it did not pass, or "" if it did; and how long all took."""

    says: Mapping[str, str]
    seconds: float

    @property
    def passed(self) -> set[str]:
        """The names of those that did."""
        return {name for name, says in self.says.items() if not says}


def run(suite: Suite, checkout: Path | None, mode: str, words: str = "") -> Ran:
    """Run it once."""
    given = any(one.name == "mockselector" for one in entry_points(group="pytest11"))
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "junit.xml")
        where = ["-oaddopts="] if checkout else ["-c", os.devnull, "--rootdir", root_of(suite.tests[0]), "--pyargs"]
        options = [f"--junitxml={written}", "--timeout=120", f"-omockselector_watchdog={WATCHDOG}"]
        options += [f"-omockselector_buffer={suite.buffer}", *MODES[mode], *(["-k", words] if words else [])]
        command = [
            sys.executable, "-c", f"{suite.first}\n{PYTEST}", *where, "-q", "--tb=short",
            "-p", "no:cacheprovider", "-p", "no:randomly", *(() if given else ("-p", "mockselector._testing.plugin")),
            *options, *suite.tests,
        ]  # fmt: skip
        began = perf_counter()
        done = subprocess.run(
            command, cwd=checkout or folder, env=environment(checkout), capture_output=True, text=True, timeout=1800,
            check=False,
        )  # fmt: skip
        seconds = perf_counter() - began
        says = outcomes(written) if written.exists() else {}
        if not any(not text for text in says.values()):
            raise SystemExit(f"nothing has passed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return Ran(says, seconds)


def root_of(module: str) -> str:
    """The directory from which a module is imported: the names of its tests begin with that of its package."""
    found = find_spec(module.partition(".")[0])
    if found is None or found.origin is None:
        raise SystemExit(f"this Python has no {module}")
    return str(Path(found.origin).parent.parent)


def environment(checkout: Path | None) -> dict[str, str]:
    """The environment in which it is run: what is tested is that of the checkout."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    own = [] if checkout is None else [str(checkout / "src"), str(checkout)]
    return {**found, "PYTHONPATH": os.pathsep.join([*own, str(SOURCES), os.environ.get("PYTHONPATH", "")])}


def outcomes(written: Path) -> dict[str, str]:
    """What is told of each test; of one that is told several times, whatever was wrong."""
    found: dict[str, str] = {}
    for case in ElementTree.parse(written).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        wrong = [one for one in case if one.tag in ("failure", "error", "skipped")]
        said = [f"{one.tag}: {one.get('message', '')}" for one in wrong]
        found[name] = "\n".join(filter(None, [found.get(name, ""), *said]))
    return found


def differ(suite: Suite, passed: Iterable[str], simulated: Ran, mode: str) -> dict[str, list[str]]:
    """Which of these tests do not pass in this mode, or are listed and do, by what is to be said of that."""
    by_reason: dict[str, list[str]] = {}
    for name in sorted(passed):
        says, known = simulated.says.get(name, "not run"), suite.known_of(name, mode)
        if not says and (known is None or known.maybe):
            continue
        if not says:
            reason = f"{WRONG}, as it passes: {known and known.why}"
        elif known is None or not re.search(known.says, says):
            reason = f"{WRONG}: {says[:600]}"
        else:
            reason = known.why
        by_reason.setdefault(reason, []).append(name)
    return by_reason


WRONG: Final = "NOT AS LISTED"


def main(arguments: Sequence[str]) -> int:
    """Run suites; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="+", metavar="SUITE[=CHECKOUT]", help=f"of {', '.join(SUITES)}")
    parser.add_argument("-k", dest="words", default="", help="choose tests, as for pytest")
    given = parser.parse_args(arguments)
    rows, right = [f"{'':<12}{'real':>15}{'observe':>15}{'strict':>15}   refused"], True
    for one in given.suites:
        name, _, path = one.partition("=")
        if name not in SUITES:
            parser.error(f"there is no suite {name}; there are {', '.join(SUITES)}")
        suite = SUITES[name]
        if bool(path) != suite.from_checkout:
            parser.error(
                f"{name} is run from {'a checkout: ' + name + '=PATH' if suite.from_checkout else 'no checkout'}"
            )
        ran: dict[str, Ran] = {}
        for mode in MODES:
            ran[mode] = run(suite, Path(path).resolve() if path else None, mode, given.words)
            print(f"{name} {mode}: {len(ran[mode].passed):,} pass, {ran[mode].seconds:.1f} s", file=sys.stderr)
        real, observed = ran["real"].passed, ran["real"].passed & ran["observe"].passed
        found = {"observe": differ(suite, real, ran["observe"], "observe")}
        found["strict"] = differ(suite, observed, ran["strict"], "strict")
        for mode, by_reason in found.items():
            for reason, names in by_reason.items():
                print("\n".join([f"{name} {mode}, {len(names)}: {reason}", *(f"    {test}" for test in names)]))
                right &= not reason.startswith(WRONG)
        apart = [test for test in real - observed if REFUSED.search(ran["observe"].says.get(test, ""))]
        share = len(observed) / max(len(real) - len(apart), 1)
        right &= share >= LEAST
        both = [f"{len(real & one.passed):>6,} {one.seconds:>6.1f} s" for one in ran.values()]
        rows.append(f"{name:<12}{''.join(both)}   {len(apart):>3}; of all others {share:.1%} observed")
    print("\n".join(rows))
    return not right


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

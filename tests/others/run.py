"""Other people's tests, each inside a scenario of its own: `python tests/others/run.py tornado`.

Runs them as they are on real sockets, and then inside of scenarios (`inside.py`), in this Python, which must have
pytest and what is tested. Says which pass on real sockets alone; fails if one of those is not known to, or if they are
more than `MOST` of all. Words after the name choose tests, as with `pytest -k`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent

MOST: Final = 0.03
"""Of those that pass on real sockets, so many may fail inside."""

OUTCOME: Final = re.compile(r"^(\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b", re.MULTILINE)
"""A line of pytest's about one test."""

SUITES: Final[dict[str, tuple[str, ...]]] = {
    "tornado": tuple(
        f"tornado.test.{name}_test"
        for name in ("tcpserver", "iostream", "httpserver", "tcpclient", "websocket", "simple_httpclient")
    ),
}
"""By name, modules of tests."""

KNOWN: Final[dict[str, str]] = {
    "test_gaierror": "patches socket.socket.connect, which inside of a scenario is that of the stand-in",
}
"""By the name of a test, why it does not pass inside."""


def outcomes(modules: tuple[str, ...], words: list[str], *, inside: bool) -> dict[str, str]:
    """What has come of each test: PASSED, FAILED and so on, by its name."""
    path = os.pathsep.join([str(HERE), str(HERE.parent.parent / "src"), os.environ.get("PYTHONPATH", "")])
    command = [
        sys.executable, "-m", "pytest", "-p", "inside", "-p", "no:cacheprovider", "-c", os.devnull,
        "--rootdir", sys.prefix, "-vv", "--tb=no",
        *["-k", " and ".join(words)] * bool(words), "--pyargs", *modules,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": path, "INSIDE": "1" * inside}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800, check=False, cwd=HERE)
    found = OUTCOME.findall(done.stdout)
    if not found:
        raise SystemExit(f"nothing was run:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return {name.rpartition("/")[2]: what for name, what in found}


def main(suite: str, *words: str) -> int:
    """Compare the two; the exit code."""
    modules = SUITES[suite]
    real = outcomes(modules, [*words], inside=False)
    simulated = outcomes(modules, [*words], inside=True)
    pass_for_real = [name for name, what in real.items() if what == "PASSED"]
    fail = [name for name in pass_for_real if simulated.get(name) != "PASSED"]
    unknown = 0
    for name in fail:
        reason = KNOWN.get(re.sub(r"\[.*", "", name.rpartition("::")[2]))
        unknown += reason is None
        print(f"{simulated.get(name, 'NOT RUN'):<8} {name}\n         {reason or 'why is not known'}")
    share = 1 - len(fail) / max(len(pass_for_real), 1)
    print(f"{suite}: {len(pass_for_real)} pass on real sockets, {share:.1%} of them inside of a scenario")
    return bool(unknown) or share < 1 - MOST


if __name__ == "__main__":
    if sys.argv[1:2] not in [[name] for name in SUITES]:
        raise SystemExit(f"{__doc__}\nSuites: {', '.join(SUITES)}")
    raise SystemExit(main(*sys.argv[1:]))

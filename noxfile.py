"""The commands of `.ci/dev.py` as sessions: `nox -l` lists them, `nox -s quick -- -k rules` hands words on.

Nothing but their names is here: that file makes the environments, and says what each command does.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import nox

DEV = Path(__file__).parent / ".ci" / "dev.py"

nox.options.sessions = ["quick"]


def offer(name: str, does: str | None) -> None:
    def session(session: nox.Session) -> None:
        session.run(sys.executable, str(DEV), name, *session.posargs)

    session.__doc__ = does
    nox.session(session, name=name, python=False)


for name, command in runpy.run_path(str(DEV))["COMMANDS"].items():
    offer(name, command.__doc__)

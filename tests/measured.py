"""How a test starts another Python: if coverage measures the test, it measures that one as well."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_DATA = os.environ.get("COVERAGE_FILE", _ROOT / ".coverage")
_COVERAGE = ["-m", "coverage", "run", "--parallel-mode", f"--rcfile={_ROOT / 'pyproject.toml'}", f"--data-file={_DATA}"]

PYTHON = [sys.executable, *(_COVERAGE if "COVERAGE_RUN" in os.environ else ())]
"""The command, to which a file or `-m` and a module are added."""

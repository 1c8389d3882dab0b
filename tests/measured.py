"""How a test starts another Python: measured by coverage if the test is, or if it is said where the data goes.

In a whole run only one Python measures its tests, but what they start is measured on each, as each plays its share.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_DATA = os.environ.get("COVERAGE_FILE", _ROOT / ".coverage")
_MEASURES = not {"COVERAGE_RUN", "COVERAGE_FILE"}.isdisjoint(os.environ)
_COVERAGE = ["-m", "coverage", "run", "--parallel-mode", f"--rcfile={_ROOT / 'pyproject.toml'}", f"--data-file={_DATA}"]

PYTHON = [sys.executable, *(_COVERAGE if _MEASURES else ())]
"""The command, to which a file or `-m` and a module are added."""

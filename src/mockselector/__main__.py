"""`python -m mockselector`: the command.

Owns nothing.
"""

from __future__ import annotations

import sys

from ._command.main import main

if __name__ == "__main__":
    sys.exit(main())

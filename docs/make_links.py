"""Makes the links of README.md absolute, as it is also read where no file is beside it: `python docs/make_links.py`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def home() -> str:
    """Where the files of the newest revision are, for everybody; `[project.urls]` has the address."""
    found = re.search(r'^Homepage = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError("pyproject.toml has no Homepage")
    return f"{found[1]}/blob/HEAD/"


def absolute(text: str) -> str:
    """The same text, in which no link to a file is relative."""
    return re.sub(r"\]\((?![a-z]+:|#)([^)\s]+)\)", rf"]({home()}\1)", text)


if __name__ == "__main__":
    README.write_text(absolute(README.read_text(encoding="utf-8")), encoding="utf-8")

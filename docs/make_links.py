"""Makes the links of README.md absolute, as it is also read where no file is beside it: `python docs/make_links.py`.

What is written as `[text](docs/rules.md)` becomes `[text][docs/rules.md]`, and the address stands once, at the end.
"""

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
    text = re.sub(r"\]\(([^)\s]+)\)", lambda link: f"][{link[1]}]" if is_file(link[1]) else link[0], text)
    text = re.sub(r"^\[[^]\n]+\]: .*\n", "", text, flags=re.MULTILINE).rstrip("\n")
    files = sorted({*filter(is_file, re.findall(r"\]\[([^]\s]+)\]", text))})
    return f"{text}\n\n" + "".join(f"[{file}]: {home()}{file}\n" for file in files)


def is_file(target: str) -> bool:
    """Whether a link, or what looks like one in code, leads to a file."""
    return (ROOT / target.partition("#")[0]).is_file()


if __name__ == "__main__":
    README.write_text(absolute(README.read_text(encoding="utf-8")), encoding="utf-8")

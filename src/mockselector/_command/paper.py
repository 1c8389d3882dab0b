"""Text to a terminal, coloured where there is one, or to a file.

Owns when there are colours: on a terminal, with the extra `mockselector[cli]` installed, unless NO_COLOR is set. What
is written is the same without them. Knows nothing of what the texts are about, but how an error marks its parts.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typing import TextIO

COLOURS: Final = (
    (r"(?m)^  In production (?:.|\n)*?(?=\n\n|\Z)", "yellow"),
    (r"(?m)(?:^|(?<=^    )|(?<=Error: ))\[[a-z]+(?:-[a-z]+)*\](?= )", "bold red"),
    (r"(?m)^>.*$", "bold"),
    (r"(?m)^  (?:On purpose|on purpose|why)\?.*$", "dim"),
    (r"[\w./\\-]+\.py:\d+", "cyan"),
    (r"(?m)^  (?:In production|To mend it:|Read on:)", "bold"),
)
"""What is coloured in a text, and how; what comes later lies above."""


def is_usable(file: TextIO | None) -> bool:
    """Whether there is a file, and a program has neither closed it nor taken its buffer from it."""
    try:
        return file is not None and not file.closed
    except ValueError:
        return False


def _console(file: TextIO | None) -> Any:  # Any: of an extra, which need not be installed
    """What writes in colours; None: they are not wanted, or cannot be had."""
    if file is None or os.environ.get("NO_COLOR") or not file.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=file, highlight=False, soft_wrap=True)


class Paper:
    """Where the command writes."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file: Final[TextIO | None] = sys.stdout if file is None else file  # None: there was none from the start
        self._console: Final = _console(self._file)

    def say(self, text: str = "", style: str = "") -> None:
        """Write a text, and end its line. style: that of all of it, as rich names it."""
        file = self._file if is_usable(self._file) else sys.stdout  # which the program may have put there
        if not is_usable(file):
            return  # nobody can be told
        if self._console is None or file is not self._file:
            encoding = getattr(file, "encoding", None) or "utf-8"
            print(text.encode(encoding, "backslashreplace").decode(encoding), file=file)
            return
        from rich.text import Text

        line = Text(text, style=style)
        for pattern, colour in COLOURS:
            line.highlight_regex(pattern, colour)
        self._console.print(line)

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


def _console(file: TextIO) -> Any:  # Any: of an extra, which need not be installed
    """What writes in colours; None: they are not wanted, or cannot be had."""
    if os.environ.get("NO_COLOR") or not file.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=file, highlight=False, soft_wrap=True)


class Paper:
    """Where the command writes."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file: Final[TextIO] = sys.stdout if file is None else file
        self._console: Final = _console(self._file)

    def say(self, text: str = "", style: str = "") -> None:
        """Write a text, and end its line. style: that of all of it, as rich names it."""
        if self._file.closed:  # by the program: nobody can be told
            return
        if self._console is None:
            encoding = getattr(self._file, "encoding", None) or "utf-8"
            print(text.encode(encoding, "backslashreplace").decode(encoding), file=self._file)
            return
        from rich.text import Text

        line = Text(text, style=style)
        for pattern, colour in COLOURS:
            line.highlight_regex(pattern, colour)
        self._console.print(line)

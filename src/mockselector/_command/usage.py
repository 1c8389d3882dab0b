"""What a command line may have wrong, and how that is told.

Owns one exception, and how a place in a text is shown.
"""

from __future__ import annotations

from typing import Final

from .._text import escaped

AROUND: Final = 60
"""How many characters of a text are shown on either side of a place."""


class UsageError(Exception):
    """What was given cannot be: who gave it has to change it. The message says what is accepted."""


def at(text: str, position: int) -> str:
    """A text with a mark below one of its characters; of a long one, what stands around that."""
    begin = max(0, position - AROUND)
    before, rest = escaped(text[begin:position]), escaped(text[position : position + AROUND])
    dots = "..." * (begin > 0)
    return f"  {dots}{before}{rest}{'...' * (position + AROUND < len(text))}\n  {' ' * len(dots + before)}^"

"""What a command line may have wrong, and how that is told.

Owns one exception, and how a place in a text is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def meant(name: str, known: Iterable[str]) -> str:
    """What may have been meant, as the rest of a sentence."""
    from difflib import get_close_matches  # here: only a mistake needs it

    close = get_close_matches(name, [*known], n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""

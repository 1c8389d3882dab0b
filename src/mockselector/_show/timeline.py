"""`Timeline`: a run to be looked at.

Owns what a test may ask of it, and nothing of how it then looks.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from .._text import value_text
from .lanes import text
from .mermaid import mermaid
from .page import page
from .story import Story

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._judge.trace import Event, Trace
    from .conversations import Conversation


class Timeline:
    """What has happened in a run up to now, to be looked at.

    `print()` shows it in lanes, from top to bottom: the server (or each of its threads), then each peer; 80 columns
    wide.
    trace: of a scenario or a strict list. errors: what was found, or raised, or is to be said beside it. conversations:
    what each peer was to say, and has heard. rows: those of the trace that it is about. (`net.timeline()` knows these.)
    """

    def __init__(
        self, trace: Trace, errors: Sequence[BaseException | str] = (), *, conversations: Sequence[Conversation] = (),
        rows: slice | None = None,
    ) -> None:  # fmt: skip
        self._story: Final = Story(trace, errors, conversations, rows)

    @property
    def events(self) -> list[Event]:
        """All that it shows, in order."""
        return [line.event for line in self._story.lines]

    def save(self, path: str | os.PathLike[str], *, beside: Timeline | None = None) -> None:
        """Write it as a page of HTML, which needs nothing else, to a file; one that is there is replaced.

        beside: another run, shown next to this one, with the first difference marked.
        """
        if beside is not None and not isinstance(beside, Timeline):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"beside= takes a Timeline, as net.timeline() returns it; got {value_text(beside)}")
        text = "".join(page(self._story, None if beside is None else beside._story))
        with open(os.fspath(path), "w", encoding="utf-8", newline="\n") as file:
            file.write(text)

    def mermaid(self) -> str:
        """The text of a sequence diagram in Mermaid's language; of a long run, the end."""
        return mermaid(self._story)

    def __len__(self) -> int:
        return len(self._story.lines)

    def __str__(self) -> str:
        return text(self._story)

    def __repr__(self) -> str:
        return f"<Timeline of {len(self):,} events>"

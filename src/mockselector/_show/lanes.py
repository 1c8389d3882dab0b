"""A run as text for a terminal: lanes from top to bottom, in lines of 80 columns.

Owns that text. It is made of ASCII but for names and strings that are not, which are shown as every text shows them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .._text import escaped, short
from .folding import Again, folded
from .story import when_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .story import Line, Story

COLUMNS: Final = 80
"""How wide it is."""

MOST: Final = 12
"""How many lanes there are at most; the last stands for all others."""

PLACE: Final = 22
"""How many columns the place of a line has at most."""


class _Lanes:
    """How the lanes are drawn."""

    def __init__(self, story: Story) -> None:
        self.names = [short(name, 40) for name in story.heads]
        if len(self.names) > MOST:
            rest = len(self.names) - MOST + 1
            self.names[MOST - 1 :] = [f"{rest:,} others"]
        self._pitch = 4 if len(self.names) <= 4 else 3 if len(self.names) <= 7 else 2
        self.width = self._pitch * (len(self.names) - 1) + 1
        times = [line.event.time for line in story.lines if line.kind != "time"]
        self.times: Final = max(map(len, map(when_text, {*times})), default=0) + 2
        """How many columns the time has."""

    def column(self, lane: int) -> int:
        return min(lane, len(self.names) - 1) * self._pitch

    def idle(self, sign: str = "|") -> list[str]:
        return list((sign.ljust(self._pitch) * len(self.names))[: self.width])

    def head(self) -> Iterator[str]:
        """Names over their lanes."""
        for lane, name in enumerate(self.names):
            before = "".join(self.idle()[: self.column(lane)])
            yield before + name

    def drawn(self, line: Line) -> str:
        """The lanes in one line."""
        if line.kind == "time":
            return "".join(self.idle(":"))
        cells = self.idle()
        start, end = self.column(line.source), self.column(line.target)
        cells[start] = {"wait": "#", "choice": "?", "signal": "!"}.get(line.kind, "o")
        if start < end:
            cells[start + 1 : end] = "-" * (end - start - 1)
            cells[end - 1] = ">"
        elif end < start:
            cells[end + 1 : start] = "-" * (start - end - 1)
            cells[end + 1] = "<"
        if line.kind == "close" and start != end:
            cells[end] = "x"
        return "".join(cells)

    def row(self, when: str, drawn: str, said: str, place: str = "", *, mark: str = " ") -> str:
        """A line, in which the text has the room that the place leaves."""
        head = f"{mark} {when:<{self.times}}{drawn}  "
        place = short(re.sub(r".*[/\\\\]", "", place), PLACE)
        room = COLUMNS - len(head) - (len(place) + 2) * bool(place)
        said = short(said, room)
        return f"{head}{said:<{room}}  {place}" if place else f"{head}{said}"


def text(story: Story) -> str:
    """All of it, with what repeats once."""
    if not story.lines:
        return "nothing has happened"
    lanes = _Lanes(story)
    lines = [f"  {' ' * lanes.times}{head}" for head in lanes.head()]
    time = -1.0
    for part in folded(story.lines, idle_only=False):
        if isinstance(part, Again):
            again = (
                f"the same {part.times:,} times more"
                if part.size == 1
                else f"these {part.size} {part.times:,} times more"
            )
            lines.append(lanes.row("", "".join(lanes.idle(":")), f"... {again}, until {when_text(part.until)}"))
            time = part.until
            continue
        lines.append(f"  {' ' * lanes.times}{''.join(lanes.idle())}")
        for line in part:
            now = line.event.time
            when = "" if now == time or line.kind == "time" else when_text(now)
            time = time if line.kind == "time" else now
            lines += _shown(line, when, lanes)
    for finding in story.findings:
        if finding.at is None:
            lines += ["", short(f"> {'the end: ' * finding.at_end}{escaped(finding.headline)}", COLUMNS)]
    return "\n".join(line.rstrip() for line in lines)


def _shown(line: Line, when: str, lanes: _Lanes) -> Iterator[str]:
    mark = ">" if line.violates else "*" if line.marks else " "
    said = f"step {line.step}  {line.text}" if line.kind == "wait" else f"  {line.text}"
    yield lanes.row(when, lanes.drawn(line), said, line.place, mark=mark)
    for one in line.marks:
        yield lanes.row("", "".join(lanes.idle()), f"  ^ {one.label}  [{one.rule}]")

"""A run as the text of a sequence diagram in Mermaid's language, to paste into a report.

Owns that text. A diagram of more than some hundred arrows says nothing to anybody, and Mermaid draws none of more than
500: of a long run there is the end, and what proves a finding.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .._text import short, shown
from .folding import Again, folded
from .story import when_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .story import Line, Story

MOST: Final = 120
"""How many lines of a run it shows, the last, and those that are marked."""

LANES: Final = 20
"""How many lanes it has at most; those of which it shows a line come first."""

WIDTH: Final = 60
"""How many characters of a line it shows."""


def mermaid(story: Story) -> str:
    """The text; each of its lines is one of the language."""
    parts = [*folded(story.lines, idle_only=False)]
    shown_lines = [line for part in parts if not isinstance(part, Again) for line in part]
    late = {line.number for line in shown_lines[-MOST:]}
    kept = {line.number for line in shown_lines if line.number in late or line.marks}
    lanes = _lanes(story, [line for line in shown_lines if line.number in kept])
    said = [
        "sequenceDiagram",
        *(f"    participant L{lane} as {_plain(short(story.heads[lane], 30))}" for lane in lanes),
    ]
    hidden = 0
    for part in parts:
        if isinstance(part, Again):
            if not hidden:
                said.append(_over(lanes, f"the same {part.times:,} times more, until {when_text(part.until)}"))
            continue
        for line in part:
            if line.number not in kept:
                hidden += 1
                continue
            if hidden:
                said.append(_over(lanes, f"... {hidden:,} events"))
                hidden = 0
            said += _said(line, lanes)
    said += [
        _over(lanes, f"{'the end: ' * finding.at_end}{finding.headline}")
        for finding in story.findings
        if finding.at is None
    ]
    return "\n".join(said) + "\n"


def _lanes(story: Story, lines: Sequence[Line]) -> list[int]:
    used = dict.fromkeys([0, *(lane for line in lines for lane in (line.source, line.target))])
    return sorted([*used][:LANES])


def _said(line: Line, lanes: Sequence[int]) -> list[str]:
    source, target = (lane if lane in lanes else 0 for lane in (line.source, line.target))
    text = _plain(shown(line.text, WIDTH))
    if line.kind == "time":
        return [_over(lanes, line.text)]
    if line.kind == "step":
        said = [f"    Note over L{source}: {text}"]
    elif line.kind == "wait":
        said = [f"    Note over L{source}: step {line.step} at {when_text(line.event.time)}: {text}"]
    elif line.kind == "close" and source != target:
        said = [f"    L{source}-xL{target}: {text}"]
    else:
        said = [f"    L{source}->>L{target}: {text}"]
    labels = "; ".join(f"{mark.label} [{mark.rule}]" for mark in line.marks)
    return said + [f"    Note over L{source}: {'>> ' * line.violates}{_plain(labels)}"] * bool(labels)


def _over(lanes: Sequence[int], text: str) -> str:
    ends = f"L{lanes[0]},L{lanes[-1]}" if len(lanes) > 1 else f"L{lanes[0]}"
    return f"    Note over {ends}: {_plain(shown(text, 2 * WIDTH))}"


def _plain(text: str) -> str:
    """With nothing in it that means something to Mermaid, or to HTML."""
    return re.sub(r"[#;<%{}&]", lambda found: f"#{ord(found[0])};", text)

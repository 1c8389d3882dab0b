"""A run in one picture: its lanes from left to right, along the time, linear or folded. SVG, in a figure of HTML.

Owns where on the two axes a line is, and the paths. All lines of one kind are one path: a run of any length is a
few elements.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from .._text import short
from .folding import Again, Hidden, on_page
from .story import when_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .story import Line, Story

WIDTH: Final = 1000
"""How wide its system of coordinates is."""

TALL, LOW, NAMED = 18, 5, 24
"""How high a lane is, of up to NAMED lanes, which then have their names beside them; and of more."""

IDLE: Final = 4
"""How many events a time in which nothing happens is as wide as, folded."""

TICKS: Final = 6
"""How many times are named at most."""


def figure(story: Story, label: str) -> str:
    """The figure. label: of what, for those who do not see it."""
    if not story.lines:
        return ""
    height = TALL if len(story.lanes) <= NAMED else LOW
    names = "".join(f"<li>{escape(short(name, 30))}</li>" for name in story.heads) if height == TALL else ""
    axes = [_axis(story, "folded", height)]
    if story.seconds:
        axes.append(_axis(story, "linear", height))
    said = (
        f"{label}: {len(story.lines):,} events on {len(story.lanes):,} lanes over {when_text(story.seconds)}."
        " The table below has each of them."
    )
    return (
        f'<figure class="overview" role="img" aria-label="{escape(said)}" style="--tall:{height}px">'
        f'<ul class="names" aria-hidden="true">{names}</ul><div class="axes">{"".join(axes)}</div></figure>'
    )


def _axis(story: Story, kind: str, height: int) -> str:
    """One of the two: a picture, and under it times."""
    at = _folded(story) if kind == "folded" else _linear(story)
    drawn = [line for line in story.lines if line.number in at]
    paths = _paths(story, at, drawn, height)
    svg = "".join(f'<path class="{name}" d="{"".join(parts)}"/>' for name, parts in paths.items() if parts)
    size = height * len(story.lanes)
    ticks = "".join(
        f'<span style="left:{x / 10:.1f}%">{escape(when_text(time))}</span>'
        for x, time in _ticks(story, at, drawn, kind)
    )
    places = " ".join(f"{x:.1f}" for x in at.values())
    return (
        f'<div class="{kind}" data-of="{_ranges(at)}" data-at="{places}">'
        f'<svg viewBox="0 0 {WIDTH} {size}" height="{size}" preserveAspectRatio="none"'
        f' aria-hidden="true" focusable="false">{svg}</svg><div class="ticks" aria-hidden="true">{ticks}</div></div>'
    )


def _folded(story: Story) -> dict[int, float]:
    """Where each line is, by its number, if each is as wide as the next, and idle time somewhat wider.

    So is what the page does not have, or has only once.
    """
    middle: dict[int, float] = {}
    total = 0
    for part in on_page(story.lines):
        if isinstance(part, (Again, Hidden)):
            total += IDLE
            continue
        for line in part:
            width = IDLE if line.kind == "time" else 1
            middle[line.number] = total + width / 2
            total += width
    return {number: x * WIDTH / total for number, x in middle.items()}


def _linear(story: Story) -> dict[int, float]:
    """Where it is, if it is where its time is."""
    parts = (part for part in on_page(story.lines) if not isinstance(part, (Again, Hidden)))
    return {line.number: 6 + line.event.time * (WIDTH - 12) / story.seconds for part in parts for line in part}


def _ranges(numbers: Iterable[int]) -> str:
    """Numbers in ascending order, as in "1-9 20-30"."""
    ends: list[list[int]] = []
    for number in numbers:
        if ends and ends[-1][1] == number - 1:
            ends[-1][1] = number
        else:
            ends.append([number, number])
    return " ".join(f"{first}-{last}" for first, last in ends)


def _ticks(story: Story, at: Mapping[int, float], drawn: Sequence[Line], kind: str) -> list[tuple[float, float]]:
    """Which times are named, and where: round ones, or those at which something begins to happen."""
    if kind == "linear":
        return [(6 + (WIDTH - 12) * n / 4, story.seconds * n / 4) for n in range(5)]
    found: list[tuple[float, float]] = []
    before = -1.0
    for line in drawn:
        x, time = at[line.number], line.event.time
        if time != before and line.kind != "time" and (not found or x - found[-1][0] > WIDTH / TICKS):
            found.append((x, time))
        before = before if line.kind == "time" else time
    return found


def _paths(story: Story, at: Mapping[int, float], drawn: Sequence[Line], height: int) -> dict[str, list[str]]:
    """By class, what is drawn: in this order, one over the other."""
    bottom = height * len(story.lanes)
    names = ("batch", "idle", "lane", "live", "way", "call", "wait", "step", "in", "out", "proof", "bad")
    paths: dict[str, list[str]] = {name: [] for name in names}
    paths["lane"] = [f"M0 {_middle(lane, height):g}h{WIDTH}" for lane in range(len(story.lanes))]
    paths["batch"] = [f"M{a:.1f} 0h{b - a:.1f}v{bottom}h{a - b:.1f}z" for a, b in _bands(drawn, at)]
    paths["live"] = [f"M{a:.1f} {_middle(lane, height):g}H{b:.1f}" for lane, a, b in _lives(drawn, at)]
    tick = height * 0.3
    for line in drawn:
        x = at[line.number]
        start, end = (_middle(lane, height) for lane in (line.source, line.target))
        if line.kind == "time":
            paths["idle"].append(f"M{x:.1f} 0v{bottom}")
            continue
        if line.marks:
            paths["bad" if line.violates else "proof"].append(f"M{x:.1f} 0v{bottom}")
        if start != end:
            paths["way"].append(f"M{x:.1f} {start:g}V{end:g}")
        own = max(line.source, line.target) if line.kind != "in" else line.source
        y = _middle(own, height)
        paths[_CLASS.get(line.kind, "call")].append(f"M{x:.1f} {y - tick:g}v{2 * tick:g}")
    return paths


_CLASS: Final = {"wait": "wait", "step": "step", "in": "in", "out": "out", "close": "out"}


def _middle(lane: int, height: int) -> float:
    return (lane + 0.5) * height


def _bands(drawn: Sequence[Line], at: Mapping[int, float]) -> list[tuple[float, float]]:
    """Every second batch, from its first line to that of the next."""
    starts = [at[line.number] for line in drawn if line.begins]
    ends = [*starts[1:], float(WIDTH)]
    return [pair for number, pair in enumerate(zip(starts, ends, strict=True)) if number % 2]


def _lives(drawn: Sequence[Line], at: Mapping[int, float]) -> list[tuple[int, float, float]]:
    """Each lane, from its first line to its last."""
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    for line in drawn:
        x = at[line.number]
        for lane in () if line.kind == "time" else {line.source, line.target}:
            first.setdefault(lane, x)
            last[lane] = x
    return [(lane, start, last[lane]) for lane, start in sorted(first.items())]

"""A page of HTML that shows a run, or two beside each other, and needs nothing else: no network, no file beside it.

Owns the page around the rows. Its base is a table, to be read without scripts, by keyboard and by a screen reader;
page.css makes the lanes of it, page.js the keys. The same run gives the same page, byte by byte. A policy in the page
lets run that one script alone, whatever might stand anywhere else.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache
from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from .._text import escaped, short, shown
from .folding import FIRST, LAST
from .overview import figure
from .rows import CHUNK, Rows, note
from .story import when_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .story import Finding, Line, Story

ERROR: Final = 50_000
"""How many characters of an error are shown."""

AROUND: Final = 1_000
"""How many rows before and after the first difference of two very long runs are shown."""

KEYS: Final = (
    ("↓ ↑ or j k", "next, previous event"), ("n p", "next, previous marked event"), ("Enter", "its bytes"),
    ("Home End", "first, last event"),
)  # fmt: skip


@cache
def asset(name: str) -> str:
    """A file of the package that goes into each page."""
    from importlib.resources import files

    return (files(__package__ or "") / name).read_text(encoding="utf-8")


def page(story: Story, beside: Story | None = None) -> Iterator[str]:
    """The page, in parts."""
    body = _one(story) if beside is None else _two(story, beside)
    headlines = [finding.headline for finding in story.findings]
    title = shown(headlines[0] if headlines else "No finding", 120)
    script = asset("page.js")
    trusted = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{trusted}'"
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="generator" content="mockselector">'
        f"<title>{escape(title)} - timeline</title><style>{asset('page.css')}</style>"
        "<noscript><style>.what button { display: none; }</style></noscript></head>\n<body>"
        '<a class="skip" href="#events">To the events</a>\n'
    )
    yield from body
    yield f"<script>{script}</script>\n</body></html>\n"


# -- one run ---------------------------------------------------------------------------------------


def _one(story: Story) -> Iterator[str]:
    yield f"<header><h1>Timeline</h1><p>{_summary(story)}</p></header>\n<main>\n"
    yield from (_finding(finding) for finding in story.findings)
    yield _picture(figure(story, "The run"), story)
    rows = Rows(story)
    yield _above_table()
    yield (
        f'<table style="{rows.style()}"><caption>What happened, in order; a group of rows for each'
        " <code>select()</code> that returned</caption>"
        f'<thead><tr>{_heads(rows)}<th scope="col">Where</th></tr></thead>\n'
    )
    for body in rows.bodies():
        yield body + "\n"
    yield f"</table>{_end(story)}</section></main>\n"


def _heads(rows: Rows) -> str:
    return (
        f'<th scope="col">#</th><th scope="col">Time</th><th scope="col" class="way">{rows.heads}<span>From, to</span>'
        '</th><th scope="col">What</th>'
    )


def _summary(story: Story) -> str:
    counted = [
        _counted(len(story.lines), "event"),
        *[_counted(story.steps, "step")] * (story.steps > 0),
        *[_counted(len(story.threads), "thread")] * (len(story.threads) > 1),
        _counted(len(story.lanes) - len(story.threads), "connection"),
        f"{when_text(story.seconds)} of virtual time",
    ]
    return " · ".join(counted)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _finding(finding: Finding) -> str:
    links = [f'<a href="#e{number}">{escape(label)} (event {number})</a>' for number, label in finding.proof]
    if finding.at is not None:
        links.append(f'<a class="bad" href="#e{finding.at}">the offending call (event {finding.at})</a>')
    proof = f"<p>In the table: {', '.join(links)}</p>" if links else ""
    text = "\n".join(map(escaped, short(finding.text, ERROR).split("\n")))
    return (
        f'<section class="finding"><h2>{escape(shown(finding.headline, 200))}</h2>{proof}'
        '<details open><summary>The error</summary><pre tabindex="0" role="group" aria-label="The error">'
        f"{escape(text)}</pre></details></section>\n"
    )


def _picture(figures: str, story: Story) -> str:
    switch = (
        '<input type="radio" name="time" id="folded" checked autocomplete="off"><label for="folded">Time folded where'
        ' nothing happens</label> <input type="radio" name="time" id="linear" autocomplete="off"><label for="linear">'
        "Time as it passes</label>"
    )
    keys = "".join(
        f'<li class="{name}">{text}</li>'
        for name, text in (("step", "a peer's step"), ("in", "received"), ("out", "sent, closed"), ("wait", "select()"))
    )
    return (
        f'<section aria-labelledby="h-overview"><h2 id="h-overview">Overview</h2>{switch * bool(story.seconds)}'
        f'{figures}<ul class="legend" aria-hidden="true">{keys}</ul></section>\n'
    )


def _above_table() -> str:
    keys = "".join(f"<span><kbd>{keys}</kbd> {what}</span> " for keys, what in KEYS)
    return (
        '<section id="events" aria-labelledby="h-events"><h2 id="h-events">Events</h2>'
        '<form class="tools" role="search" hidden><label>Show only rows with <input type="search" autocomplete="off"'
        f' spellcheck="false"></label> <output></output><p class="keys">{keys}</p></form>\n'
    )


def _end(story: Story) -> str:
    ends = [finding.headline for finding in story.findings if finding.at_end]
    return "".join(f'<p class="end"><strong>At the end:</strong> {escape(shown(one, 300))}</p>' for one in ends)


# -- two runs --------------------------------------------------------------------------------------


def _two(story: Story, other: Story) -> Iterator[str]:
    first = difference(story, other)
    said = (
        f"No difference in {_counted(len(story.lines), 'event')}."
        if first is None
        else f'The first difference is <a href="#difference">at event {first + 1}</a>.'
    )
    yield f"<header><h1>Two runs</h1><p>{said}</p></header>\n<main>\n"
    for one, name in ((story, "This run"), (other, "The other run")):
        yield f'<section class="run"><h2>{name}</h2><p>{_summary(one)}</p></section>\n'
        yield from (_finding(finding) for finding in one.findings)
    figures = figure(story, "This run") + figure(other, "The other run")
    yield _picture(figures, story if story.seconds else other)
    yield _above_table()
    left, right = Rows(story), Rows(other)
    yield (
        f'<table class="two" style="{left.style()};{right.style("2")}"><caption>Event by event: this run, and the other'
        " run beside it</caption><thead><tr>"
        '<th scope="colgroup" colspan="4">This run</th><th scope="colgroup" colspan="4">The other run</th></tr>'
        f"<tr>{_heads(left)}{_heads(right)}</tr></thead>\n"
    )
    yield from _pairs(left, right, story.lines, other.lines, first)
    yield f"</table>{_end(story)}{_end(other)}</section></main>\n"


def _pairs(left: Rows, right: Rows, ours: Sequence[Line], theirs: Sequence[Line], first: int | None) -> Iterator[str]:
    """The rows of both, side by side."""
    nothing = '<td colspan="4">(it is at its end)</td>'
    total, rows, hidden = max(len(ours), len(theirs)), 0, 0
    for number, (one, other) in enumerate(zip_longest(ours, theirs)):
        if not _is_paired(number, total, first):
            hidden += 1
            continue
        if not rows % CHUNK:
            yield f'{"</tbody>" * (rows > 0)}<tbody style="--r:{CHUNK}">\n'
        rows += 1
        if hidden:
            yield note(f"{hidden:,} events that are not on this page: the traces have them", 8) + "\n"
            hidden = 0
        kind = ""
        if number == first:
            yield (
                '<tr id="difference" class="note differs"><th scope="rowgroup" colspan="8">The first difference</th>'
                "</tr>\n"
            )
            kind = ' class="bad"'
        cells = nothing if one is None else left.cells(one)
        others = nothing if other is None else right.cells(other)
        yield f'<tr id="e{number + 1}"{kind}>{cells}{others}</tr>\n'
    yield "</tbody>" * (rows > 0)


def _is_paired(number: int, total: int, first: int | None) -> bool:
    """Whether a row of two very long runs is on their page: its ends, and what is about the difference."""
    near = first is not None and abs(number - first) <= AROUND
    return total <= FIRST + LAST or number < FIRST // 2 or number >= total - LAST // 2 or near


def difference(story: Story, other: Story) -> int | None:
    """The first line in which two runs differ, from 0 on; None: they are the same. Where the code is makes none."""
    for number, (one, two) in enumerate(zip_longest(story.lines, other.lines)):
        if one is None or two is None or _said(one) != _said(two):
            return number
    return None


def _said(line: Line) -> tuple[object, ...]:
    event = line.event
    data = None if line.message is None else line.message[:3]
    return event.actor, event.thread, event.operation, line.text, event.time, event.times, data

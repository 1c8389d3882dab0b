"""The rows of a page's table: one for each event, with its bytes on demand.

Owns their HTML, in which all that a program has named or said is escaped, and how much of the bytes a page holds.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from .._text import escaped, several, short, shown
from .folding import Again, Hidden, on_page
from .story import when_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .conversations import Message
    from .story import Line, Story

TEXT: Final = 2048
"""How many bytes of a message are shown as text ..."""

HEX: Final = 256
"""... and in hexadecimal."""

BYTES: Final = 1 << 20
"""How many bytes a page shows in all; of messages after that, there is what their lines say."""

MATCHES: Final = 20
"""How many steps are named that expected a message."""

NAMED: Final = 14
"""How many lanes have their names over them; more than that are drawn closer to each other."""

PLACE: Final = 40
"""How many characters of a place have room in one line."""

CHUNK: Final = 40
"""How many rows are in one group at most."""


class Rows:
    """The rows of one run."""

    def __init__(self, story: Story) -> None:
        self._story: Final = story
        self._left = BYTES
        self._parity = 0

    def style(self, number: str = "") -> str:
        """What its rows need to know of the lanes; number: of two runs in one table, of the second."""
        count = len(self._story.lanes)
        pitch = 18 if count <= NAMED else max(3, NAMED * 18 // count)
        places = max((len(line.place) for line in self._story.lines), default=0)
        return f"--n{number}:{count};--w{number}:{pitch}px;--p{number}:{min(places, PLACE)}"

    @property
    def heads(self) -> str:
        """The names of the lanes, over them."""
        if len(self._story.lanes) > NAMED:
            return ""
        names = "".join(f"<span>{escape(short(name, 24))}</span>" for name in self._story.heads)
        return f'<span class="heads" aria-hidden="true">{names}</span>'

    def bodies(self) -> Iterator[str]:
        """One group of rows for each batch."""
        for part in on_page(self._story.lines):
            if isinstance(part, Again):
                what = "The same" if part.size == 1 else f"These {part.size} steps"
                yield _note(f"{what} {part.times:,} times more, until {when_text(part.until)}")
            elif isinstance(part, Hidden):
                yield _note(f"{part.lines:,} events that are not on this page: the trace has them")
            else:
                yield from self._bodies(part)
                self._parity = 1 - self._parity

    def _bodies(self, batch: Sequence[Line]) -> Iterator[str]:
        """One for a batch, or several where it is long: a browser leaves out those that nobody looks at."""
        for at in range(0, len(batch), CHUNK):
            part = batch[at : at + CHUNK]
            kind = f"b{self._parity}{' on' * (at > 0)}"
            yield f'<tbody class="{kind}" style="--r:{len(part)}">{"".join(map(self.row, part))}</tbody>'

    def row(self, line: Line) -> str:
        """One event."""
        marked = ' class="bad"' if line.violates else ' class="proof"' if line.marks else ""
        place = f"<td><code>{escape(line.place)}</code></td>"
        return f'<tr id="e{line.number}"{marked}>{self.cells(line)}{place}</tr>'

    def cells(self, line: Line) -> str:
        """What of its row is there in every table."""
        lanes = self._story.lanes
        source, target = lanes[line.source], lanes[line.target]
        way = source if source == target else f"{source} to {target}"
        if line.kind in ("time", "choice", "signal"):
            way = line.kind
        head = f"<b>step {line.step}</b> " if line.kind == "wait" else ""
        marks = "".join(
            f'<strong class="mark">{escape(mark.label)} [{escape(mark.rule)}]</strong>' for mark in line.marks
        )
        again = f" <i>{line.event.times:,} times</i>" if line.event.times > 1 else ""
        return (
            f'<th scope="row">{line.number}</th><td class="when">{escape(when_text(line.event.time))}</td>'
            f'<td class="way {line.kind}" style="--a:{line.source};--b:{line.target}">'
            f'<span>{escape(shown(way, 80))}</span></td><td class="what {line.kind}">{head}'
            f"<code>{escape(line.text)}</code>{again}{marks}{self._bytes(line.message)}</td>"
        )

    def _bytes(self, message: Message | None) -> str:
        """A message, to be opened."""
        if message is None or not message.size:
            return ""
        size = f"{message.size:,} byte{'s' * (message.size != 1)}"
        if message.taken < message.size:
            size += f", {message.taken:,} taken"
        matches = message.matches
        if matches:
            numbers = [str(match.step) for match in matches]
            size += f", expected by step{'s' * (len(numbers) > 1)} {several(numbers)}"
        data = message.data[: min(TEXT, self._left)]
        self._left -= len(data)
        if not data:
            return ""
        # With scripts, what is in <noscript> is text, which costs nothing until page.js makes elements of it.
        return (
            f'<button type="button" aria-expanded="false">{size}</button>'
            f"<noscript><details><summary>{size}</summary>{_matched(message)}"
            f"<pre>{escape(_as_text(data))}</pre><pre>{escape(hexdump(data[:HEX]))}</pre>{_rest(data, message)}"
            "</details></noscript>"
        )


def _note(text: str) -> str:
    return f"<tbody>{note(text, 5)}</tbody>"


def note(text: str, columns: int) -> str:
    """A row that is no event."""
    return f'<tr class="note"><td colspan="{columns}">{escape(text)}</td></tr>'


def _matched(message: Message) -> str:
    items = [
        f"<li>bytes {match.start:,} to {match.end - 1:,}: step {match.step}, <code>{escape(match.text)}</code></li>"
        for match in message.matches[:MATCHES]
    ]
    more = len(message.matches) - len(items)
    items += [f"<li>and {more:,} more steps</li>"] * (more > 0)
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _rest(data: bytes, message: Message) -> str:
    notes = [f"{HEX} bytes in hexadecimal"] * (HEX < len(data) == message.size)
    if len(data) < message.size:
        notes = [f"the first {len(data):,} of {message.size:,} bytes"]
    return f"<p>{notes[0]}</p>" if notes else ""


def _as_text(data: bytes) -> str:
    """As text, line by line; what is none is escaped."""
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return "\n".join(escaped(line.replace("\t", "    ")) for line in text.split("\n"))


def hexdump(data: bytes) -> str:
    """Sixteen bytes a line: where, in hexadecimal, and those that are ASCII as such."""
    lines: list[str] = []
    width = min(len(data), 16) * 3
    for at in range(0, len(data), 16):
        part = data[at : at + 16]
        known = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{at:04x}  {part.hex(' '):<{width}} {known}")
    return "\n".join(lines)

"""What a peer and the server say to each other, in full, and which step of the peer expected it.

Owns how the rows of a trace, which keep the first bytes of a message, are found again in the streams of a peer: what
its steps send, and what it has read. Where that cannot be told (what a generator sends, what nobody has read), there is
what the row has kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .._play.steps import Expects, Plays, Receives, Sends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._play.steps import Step
    from .._text import Kept


class Conversation(NamedTuple):
    """One peer: its name, its script, and what it has read."""

    name: str
    steps: Sequence[Step]
    received: bytes


class Match(NamedTuple):
    """Which bytes of a message were for which step."""

    start: int
    end: int
    step: int
    """Its number in the script, from 1 on."""
    text: str


class Message(NamedTuple):
    """The bytes of one row."""

    data: bytes
    """All of them, or the first."""
    size: int
    taken: int
    """How many of them were taken."""
    matches: tuple[Match, ...] = ()


class Streams:
    """The two streams of a peer, and how far the rows are."""

    __slots__ = ("_at", "_read", "_received", "_sent", "_spans", "_steps", "_taken", "_written")

    def __init__(self, talk: Conversation) -> None:
        self._steps: Final = talk.steps
        self._sent: Final = _sent(talk.steps)
        self._received: Final = talk.received
        self._spans: Final = _spans(talk)
        self._at = 0  # in spans
        self._read = 0  # by the server
        self._written = 0
        self._taken = 0  # steps

    def step(self) -> Message | None:
        """The peer has taken its next step."""
        if self._taken >= len(self._steps):
            return None
        step = self._steps[self._taken]
        self._taken += 1
        data = step.data if isinstance(step, Sends) else step.what if isinstance(step, Expects) else None
        return Message(data, len(data), len(data)) if isinstance(data, bytes) else None

    def reads(self, kept: Kept, *, peeks: bool) -> Message:
        """The server reads."""
        found = _found(self._sent, self._read, kept)
        if not peeks:
            self._read += found.taken
        return found

    def writes(self, kept: Kept) -> Message:
        """The server sends."""
        found = _found(self._received, self._written, kept)
        start, self._written = self._written, self._written + found.taken
        matches: list[Match] = []
        while self._at < len(self._spans):
            first, last, number = self._spans[self._at]
            if first >= self._written:
                break
            if last > start:
                step = self._steps[number]
                matches.append(
                    Match(max(first, start) - start, min(last, self._written) - start, number + 1, str(step))
                )
            if last > self._written:
                break
            self._at += 1
        return found._replace(matches=tuple(matches))


def plain(kept: Kept) -> Message:
    """What a row has kept, where there is no more."""
    if isinstance(kept, bytes):
        return Message(kept, len(kept), len(kept))
    return Message(*kept)


def _found(stream: bytes, at: int, kept: Kept) -> Message:
    """A message in the stream, if it is that which is there."""
    message = plain(kept)
    data = stream[at : at + message.taken]
    known = message.data[: message.taken]
    if len(data) == message.taken > len(known) and data.startswith(known):
        return message._replace(data=data if message.taken == message.size else max(data, message.data, key=len))
    return message


def _sent(steps: Sequence[Step]) -> bytes:
    """What the steps send, as far as that is known."""
    parts: list[bytes] = []
    for step in steps:
        if isinstance(step, Plays):
            break
        if isinstance(step, Sends):
            parts.append(step.data)
    return b"".join(parts)


def _spans(talk: Conversation) -> list[tuple[int, int, int]]:
    """Where what each step expects begins and ends in what the peer has read, as far as it has come."""
    spans: list[tuple[int, int, int]] = []
    at, received = 0, talk.received
    for number, step in enumerate(talk.steps):
        if isinstance(step, (Plays, Receives)):
            break
        if not isinstance(step, Expects):
            continue
        what, until = step.what, step.until
        if until is None and isinstance(what, bytes):
            end = at + len(what)
        elif isinstance(until, bytes):
            found = received.find(until, at)
            end = -1 if found < 0 else found + len(until)
        else:
            end = at + until if isinstance(until, int) else len(received)
        if not at < end <= len(received):
            break
        spans.append((at, end, number))
        at = end
    return spans

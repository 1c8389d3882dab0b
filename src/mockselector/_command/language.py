r"""The little language in which peers are written on a command line: `send:hi\n, expect:HI\n, close`.

Owns its grammar, and how each mistake is told: where it stands, what was given, what is accepted. Parts are separated
by commas; each is a word, and for some of them a colon and a value, up to the next comma. First come settings
(`name:alice`), each at most once, then steps, by the names that peers have for them. Knows the steps as data, and no
scenario.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from .._play.steps import (
    Closes,
    Expects,
    ExpectsEof,
    ExpectsNothing,
    ReadsSlowly,
    Receives,
    Resets,
    Sends,
    ShutsDown,
    Waits,
)
from .._text import meant
from .usage import UsageError, at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .._play.steps import Step

Place: TypeAlias = "int | tuple[str, int] | str"
"""A port, an address, or a path."""

ESCAPES: Final = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", "\\": b"\\", ",": b",", "@": b"@"}
"""What stands for a byte behind a backslash; and `x` with two digits."""

ESCAPED: Final = r"\n \r \t \0 \xHH \\ \, and \@"


@dataclass
class Written:
    """A peer, as it was written."""

    name: str | None = None
    to: Place | None = None
    delay: float | None = 0.0
    refuses: bool = False
    steps: list[Step] = field(default_factory=list["Step"])


@dataclass(frozen=True)
class Part:
    """A word, and its value if it has one; with the places at which they stand in the text."""

    word: str
    value: str | None
    at: int
    value_at: int
    text: str

    def wrong(self, what: str, position: int | None = None) -> UsageError:
        """The mistake that it is: at its value, or wherever that is said."""
        place = self.value_at if position is None else position
        return UsageError(f"at character {place + 1}, {what}\n{at(self.text, place)}")


# -- values -----------------------------------------------------------------------------------------


def data_of(part: Part) -> bytes:
    """Bytes, with escapes; `@file`: what that file holds."""
    value = part.value or ""
    if value.startswith("@"):
        return _held_by(value[1:], part)
    made, position = bytearray(), 0
    while position < len(value):
        one = value[position]
        if one != "\\":
            made += one.encode("utf-8", "surrogateescape")
            position += 1
            continue
        byte, size = _escape(value[position + 1 : position + 4])
        if byte is None:
            given = value[position : position + 2]
            raise part.wrong(f"{given} is no escape: {ESCAPED} are", part.value_at + position)
        made += byte
        position += size
    if not made:
        raise part.wrong(f"{part.word}: has no bytes. Write some behind the colon, or @FILE")
    return bytes(made)


def _escape(behind: str) -> tuple[bytes | None, int]:
    """The byte that stands for what is behind a backslash, and how many characters that is with it."""
    if behind[:1] == "x":
        digits = re.fullmatch("[0-9a-fA-F]{2}", behind[1:3])
        return (bytes([int(behind[1:3], 16)]), 4) if digits else (None, 0)
    return ESCAPES.get(behind[:1]), 2


def _held_by(path: str, part: Part) -> bytes:
    plain = path.replace("\\,", ",")
    try:
        with open(plain, "rb") as file:
            held = file.read()
    except OSError as error:
        reason = f"{plain!r} cannot be read: {error.strerror or error}"
        raise part.wrong(rf"{reason}. (Bytes that begin with an @ are written \@.)") from None
    if not held:
        raise part.wrong(f"{plain!r} is empty, and {part.word}: takes one byte or more")
    return held


def seconds_of(part: Part) -> float:
    """A length of time."""
    try:
        seconds = float(part.value or "")
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise part.wrong(f"{part.word}: takes a number of seconds, 0 or more; got {part.value!r}")
    return seconds


def place_of(text: str) -> Place | None:
    """A port, HOST:PORT, or a path (with a slash in it); None: it is none of these."""
    if "/" in text:
        return text
    host, _, port = text.rpartition(":")
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        return None
    return (host.removeprefix("[").removesuffix("]"), int(port)) if host else int(port)


def _pattern(part: Part) -> re.Pattern[bytes]:
    """A regular expression, which has escapes of its own; commas are escaped for the list alone."""
    text = (part.value or "").replace("\\,", ",")
    if not text:
        raise part.wrong(f"{part.word}: has no pattern. Write a regular expression behind the colon")
    try:
        return re.compile(text.encode("utf-8", "surrogateescape"), re.DOTALL)
    except re.error as error:
        raise part.wrong(f"{part.word}: takes a regular expression; {text!r} is none: {error}") from None


def _slowly(part: Part) -> ReadsSlowly:
    size, _, every = (part.value or "").partition("/")
    try:
        return ReadsSlowly(int(size), float(every or 1))
    except ValueError:
        raise part.wrong(
            f"{part.word}: takes a number of bytes, 1 or more, and behind a slash every how many seconds, as in"
            f" {part.word}:10/0.5; got {part.value!r}"
        ) from None


# -- words ------------------------------------------------------------------------------------------

STEPS: Final[Mapping[str, tuple[str, Callable[[Part], Step]]]] = {
    "send": ("BYTES", lambda part: Sends(data_of(part))),
    "expect": ("BYTES", lambda part: Expects(data_of(part))),
    "expect-until": ("BYTES", lambda part: Expects(re.compile(b".*", re.DOTALL), until=data_of(part))),
    "expect-match": ("PATTERN", lambda part: Expects(_pattern(part), until="eof")),
    "expect-nothing": ("SECONDS", lambda part: ExpectsNothing(seconds_of(part))),
    "expect-eof": ("", lambda _: ExpectsEof()),
    "receive": ("", lambda _: Receives()),
    "wait": ("SECONDS", lambda part: Waits(seconds_of(part))),
    "read-slowly": ("BYTES/SECONDS", _slowly),
    "shutdown": ("", lambda _: ShutsDown()),
    "close": ("", lambda _: Closes()),
    "reset": ("", lambda _: Resets()),
}
"""By its word: what a step takes, and how it is made."""

SETTINGS: Final = {
    True: {"name": "NAME", "to": "ADDRESS", "delay": "SECONDS"},  # of a client
    False: {"name": "NAME", "delay": "SECONDS", "refuse": ""},  # of a backend
}
"""What may be said of a peer before its steps."""


def written(text: str, *, client: bool) -> Written:
    """A client, or a backend, of its text. Raises UsageError."""
    peer, seen, settings = Written(), set[str](), SETTINGS[client]
    for part in _parts(text):
        if part.word in settings:
            if part.word in seen or peer.steps:
                again = "is said twice" if part.word in seen else "stands behind a step; settings come first"
                raise part.wrong(f"{part.word!r} {again}", part.at)
            seen.add(part.word)
            _check_value(part, settings[part.word])
            _set(peer, part, client=client)
        elif part.word in STEPS:
            takes, make = STEPS[part.word]
            _check_value(part, takes)
            step = make(part)
            _check_possible(peer.steps, step, part)
            peer.steps.append(step)
        else:
            known = [*settings, *STEPS]
            raise part.wrong(f"{part.word!r} is none of the words{meant(part.word, known)}: {words(client)}", part.at)
    return peer


def _check_possible(before: Sequence[Step], step: Step, part: Part) -> None:
    """Raise UsageError for what cannot be done after those steps."""
    for word, kind in (("close", Closes), ("reset", Resets)):
        if not isinstance(step, Waits) and any(isinstance(one, kind) for one in before):
            raise part.wrong(f"{part.word!r} stands behind {word!r}, with which the connection has gone", part.at)
    if isinstance(step, Sends) and any(isinstance(one, ShutsDown) for one in before):
        raise part.wrong(f"{part.word!r} stands behind 'shutdown', after which nothing can be sent", part.at)


def words(client: bool) -> str:
    """What is accepted, in one line."""
    forms = [*SETTINGS[client].items(), *((word, takes) for word, (takes, _) in STEPS.items())]
    return ", ".join(word + f":{takes}" * bool(takes) for word, takes in forms)


def _parts(text: str) -> list[Part]:
    """What stands between commas that no backslash stands before."""
    found: list[Part] = []
    for match in re.finditer(r"((?:\\.|[^,\\])*\\?)(,|\Z)", text, re.DOTALL):
        whole, comma = match.groups()
        if not whole.strip() and not comma and not text.rstrip().endswith(","):
            break  # the empty end behind the last part, or an empty text
        begin = match.start() + len(whole) - len(whole.lstrip())
        word, colon, value = whole.lstrip().partition(":")
        part = Part(word.strip(), value if colon else None, begin, begin + len(word) + 1, text)
        if not part.word:
            raise part.wrong("a word is missing between the commas", min(begin, max(len(text) - 1, 0)))
        found.append(part)
        if not comma:
            break
    return found


def _check_value(part: Part, takes: str) -> None:
    """Raise UsageError unless it has a value where its word takes one, and none where not."""
    if takes and part.value is None:
        raise part.wrong(f"{part.word!r} takes a value: write {part.word}:{takes}", part.at)
    if not takes and part.value is not None:
        raise part.wrong(rf"{part.word!r} takes no value; got {part.value!r}. (A comma in bytes is written \,.)")


def _set(peer: Written, part: Part, *, client: bool) -> None:
    value = (part.value or "").strip()
    if part.word == "name":
        if not value:
            raise part.wrong("name: has no name behind the colon")
        peer.name = value
    elif part.word == "to":
        peer.to = place_of(value)
        if peer.to is None:
            raise part.wrong(f"to: takes a port, HOST:PORT, or a path with a slash in it; got {value!r}")
    elif part.word == "delay":
        peer.delay = None if value == "never" and not client else seconds_of(part)
    else:
        peer.refuses = True

"""What somebody else has named, as a text of ours may show it: short, and with nothing in it but what can be printed.

Owns how names, values, messages and lists of them are shortened and escaped. A name may be a megabyte long, end
lines, steer a terminal or be in no encoding at all; an error is read on one. Knows nothing of what the texts are about.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final, TypeAlias

    Kept: TypeAlias = bytes | tuple[bytes, int, int]
    """A message, or its start, its length, and how much of it was taken."""

NAME: Final = 80
"""How many characters of a name are shown."""

VALUE: Final = 120
"""How many characters of a value are shown."""

SEVERAL: Final = 5
"""How many of a list are named in a sentence."""

BYTES_SHOWN: Final = 32
"""How many bytes of a message are kept, and shown."""


def escaped(text: str) -> str:
    """With all that is not to be printed as it is (line ends, terminal escapes, surrogates, marks) as in a repr."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def short(text: str, most: int = VALUE) -> str:
    """At most `most` characters: the beginning and the end, of which names in a row often differ in the one only."""
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end - 3]}...{text[-end:]}"


def shown(name: str, most: int = NAME) -> str:
    """A name, as texts show it."""
    if len(name) <= most and name.isprintable():
        return name
    return short(escaped(name if len(name) <= most else short(name, 2 * most)), most)


def value_text(thing: object, most: int = VALUE) -> str:
    """`repr()` of whatever the test or the server gave, as texts show it; it may be huge, or raise."""
    if isinstance(thing, (str, bytes, bytearray)) and len(thing) > most:
        size = f"{len(thing):,} {'characters' if isinstance(thing, str) else 'bytes'}"
        return f"{short(escaped(repr(thing[: most // 2])), most)}... ({size})"
    try:
        text = repr(thing)
    except Exception as error:
        text = f"<{type(thing).__name__}, whose repr() raises {type(error).__name__}>"
    return shown(text, most)


def number_text(amount: float) -> str:
    """A number of seconds; one that no float holds is shown as what it is."""
    try:
        return f"{amount:g}"
    except OverflowError:
        return "more than 1e308"


def name_of(function: object, otherwise: str) -> str:
    """What a function is called."""
    name: object = getattr(function, "__name__", None)
    return shown(name) if isinstance(name, str) else otherwise


def meant(name: object, known: Iterable[str]) -> str:
    """What may have been meant by a name that is none of these, as the rest of a sentence."""
    from difflib import get_close_matches  # here: only a mistake needs it

    close = get_close_matches(name, [*known], n=1, cutoff=0.6) if isinstance(name, str) else ()
    return f" (did you mean {close[0]!r}?)" if close else ""


def several(names: Sequence[str], most: int = SEVERAL) -> str:
    """A list in a sentence: the first of them, and how many more."""
    more = len(names) - most
    if more <= 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {more:,} more"


def excerpt(data: bytes) -> Kept:
    """What a row keeps of a message: all of a short one, else its start and its length."""
    return data if len(data) <= BYTES_SHOWN else (data[:BYTES_SHOWN], len(data), len(data))


def bytes_text(kept: Kept) -> str:
    """An `excerpt` as text."""
    if isinstance(kept, bytes):
        return repr(kept)
    start, length, _ = kept
    return f"{start!r}... ({length} bytes)" if length > len(start) else repr(start)

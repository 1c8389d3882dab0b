"""What a peer expects of the server, and what is said where that is not what comes.

Owns the comparison. Bytes are compared once, as the server sends them, so that the first that
differs is an error at its own call; a place in the script says what must come next. Where that
cannot be told before a step is taken (a pattern, a generator), there is no such place, and what
comes is compared when the peer takes it in. Knows the script, and nothing of connections.
"""

# Whether a step is known may depend on who sends: to who looks, that is the same.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from .._text import bytes_text, excerpt, name_of, value_text
from .steps import Expects, ExpectsNothing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .reading import End
    from .script import Script
    from .steps import Step


UNKNOWN: Final = -1
"""No step."""


class Hears(Enum):
    """What is said of bytes that the server sends when a step is the next one."""

    PASSES = "they are for a later step"
    COMPARES = "they must be those"
    FORBIDS = "there must not be any"
    WAITS = "it takes them, whatever they are, and they are judged then or not at all"


class Difference(NamedTuple):
    """What is wrong with what is sent."""

    said: str
    lines: str
    """What shows it."""
    step: int


class Expecting:
    """What the server must send next: a step of the script, and how many of its bytes have been sent."""

    __slots__ = ("_hears", "_steps", "index", "offset")

    def __init__(self, script: Script, hears: Mapping[type[Step], Hears]) -> None:
        self._steps = script.steps
        self._hears = hears
        self.index: int = 0  # or UNKNOWN
        self.offset: int = 0

    def moves_to(self, index: int) -> None:
        """What is sent next is for this step, or those after it."""
        self.index, self.offset = index, 0

    def stop(self) -> None:
        """What is sent next is compared when it is taken in, if at all."""
        self.index = UNKNOWN

    def resume(self, index: int, end: End) -> Difference | None:
        """What follows is for this step: compare what has come and was not read; None: that is it, so far."""
        self.moves_to(index)
        for piece, start in end.pieces():
            found = self.judge_plain(piece, start)
            if found is not None or self.index < 0:  # the rest is for a later step
                return found
        if not end.all_here:
            self.stop()  # between this and what is sent next there is more: it is compared when it comes
        return None

    @property
    def is_judging(self) -> bool:
        """Whether what is sent is compared as it is sent."""
        return self.index >= 0

    def judge(self, data: bytes, at: int = 0) -> Difference | None:
        """Compare what the server is about to send, from byte `at` on, with what must come next; None: it is that."""
        steps, index, offset = self._steps, self.index, self.offset
        if index < 0 or not data or (at and at >= len(data)):
            return None
        while True:
            try:
                step = steps[index]
            except IndexError:
                self.index = UNKNOWN
                return None
            hears = self._hears[type(step)]
            if hears is Hears.PASSES:
                index += 1
            elif type(step) is Expects and step.until is None:
                what = step.what
                if data == what and not (offset or at):
                    index += 1
                    break
                assert isinstance(what, bytes), "with anything else there is until="
                size = len(data)
                end = min(size, at + len(what) - offset)
                if data[at:end] != what[offset : offset + end - at]:
                    return difference(data[at:], what, offset, index)
                at, offset = end, offset + end - at
                if offset == len(what):
                    index, offset = index + 1, 0
                if at >= size:
                    break
            elif hears is Hears.FORBIDS:
                wanted = "nothing" if isinstance(step, ExpectsNothing) else "the end"
                return Difference(f"{bytes_text(excerpt(data[at:]))} where it expects {wanted}", "", index)
            else:
                self.index = UNKNOWN
                return None
        self.index, self.offset = index, offset
        return None

    judge_plain = judge
    """Of what is sent through TLS, before it is encrypted."""


class Sealed(Expecting):
    """What the server must send next by a connection that speaks TLS: of what is sent there, nothing can be told.

    If the server encrypts it where a scenario sees that, it is compared then; else when the peer has decrypted it.
    """

    __slots__ = ("_index", "_seen")

    def __init__(self, script: Script, hears: Mapping[type[Step], Hears]) -> None:
        self._seen = False  # whether it is seen before it is encrypted
        super().__init__(script, hears)

    @property
    def index(self) -> int:
        """The step; UNKNOWN also of who encrypts by itself."""
        return self._index if self._seen else UNKNOWN

    @index.setter
    def index(self, index: int) -> None:
        self._index = index

    def judge(self, data: bytes, at: int = 0) -> Difference | None:
        """Nothing is said of ciphertext."""
        return None

    def judge_plain(self, data: bytes, at: int = 0) -> Difference | None:
        """As `judge()` of the plain text."""
        self._seen = True
        return super().judge(data, at)


def difference(data: bytes, what: bytes, offset: int, index: int) -> Difference:
    """Bytes are not those that are expected from `offset` on by the step `index`: how that is told."""
    wanted = what[offset : offset + len(data)]  # which may be less: the rest is for a later step
    same = next(number for number, byte in enumerate(wanted) if data[number] != byte)
    begin = max(0, same - 20)
    lines = [
        f"expected   {'... ' * bool(begin)}{what[offset + begin : offset + same + 30]!r}",
        f"sent       {'... ' * bool(begin)}{data[begin : same + 30]!r}",
    ]
    mark = len(repr(data[begin:same])) - 1 + 4 * bool(begin)
    lines.append(" " * (11 + mark) + f"^ byte {offset + same} of what it expects here")
    said = f"{bytes_text(excerpt(data))} where it expects {bytes_text(excerpt(what[offset:]))}"
    return Difference(said, "\n".join(lines), index)


def wrong(step: Expects, got: bytes) -> str:
    """What is wrong with all that a step judges, as half a sentence; "" if nothing is."""
    what = step.what
    if isinstance(what, bytes):
        holds: object = what == got
    elif isinstance(what, re.Pattern):
        holds = what.fullmatch(got)
    else:
        holds = what(got)
        if not holds:
            return f"for which {name_of(what, 'the function')}() returned {value_text(holds)}, and not something true"
    return "" if holds else f"which is not {str(step).removeprefix('expects ')}"

"""What a peer does: a closed union of frozen steps, and the fluent builder of a list of them.

Owns the steps, what each may be given, and how each is told in one line. A step is plain data:
`Sends(b"hi")` is what `.sends(b"hi")` appends. Knows nothing of networks, time or servers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, overload

from .._judge.trace import place
from .._text import bytes_text, excerpt, name_of, number_text, value_text

if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import TypeGuard

    from typing_extensions import Buffer, Self

    from .._judge.trace import Place

__tracebackhide__ = True  # pytest: end tracebacks at the test's own line


@dataclass(frozen=True, slots=True)
class Sends:
    """Sends bytes; a `recv()` of the server returns the bytes of one such step at most."""

    data: bytes

    def __post_init__(self) -> None:
        _require_kind("data", self.data, bytes, "bytes")

    def __str__(self) -> str:
        return f"sends {bytes_text(excerpt(self.data))}"


@dataclass(frozen=True, slots=True)
class Expects:
    """Waits for what the server sends. The three forms are those of `Peer.expects`."""

    what: bytes | re.Pattern[bytes] | Callable[[bytes], object]
    until: bytes | int | Literal["eof"] | None = None

    def __post_init__(self) -> None:
        what: object = self.what
        until: object = self.until
        wanted = "bytes, a compiled pattern of bytes, or a function of the bytes"
        _require_kind("what", what, (bytes, re.Pattern, Callable), wanted)
        if isinstance(getattr(what, "pattern", b""), str):
            raise TypeError(f"what= takes a pattern of bytes, re.compile(rb'...'); got {value_text(what)}, one of str")
        if until is None:
            if not isinstance(what, bytes):
                raise TypeError(
                    "until= is needed with a pattern or a function: it says how much is judged. It takes a"
                    ' delimiter (bytes), a number of bytes, or "eof"'
                )
            if not what:
                raise ValueError("what= is empty: to say that nothing comes, use expects_nothing() or expects_eof()")
        elif isinstance(until, bytes):
            if not until:
                raise ValueError("until= takes a delimiter of one byte or more; got b''")
        elif isinstance(until, int) and not isinstance(until, bool):
            if until < 1:
                raise ValueError(f"until= takes a number of bytes, 1 or more; got {value_text(until)}")
        elif until != "eof":
            _require_kind("until", until, bytes, 'a delimiter (bytes), a number of bytes, or "eof"')

    def __str__(self) -> str:
        what = self.what
        if isinstance(what, bytes):
            text = bytes_text(excerpt(what))
        elif isinstance(what, re.Pattern):
            text = f"what matches {value_text(what.pattern)}"
        else:
            text = f"what {name_of(what, 'a function')}() accepts"
        until = self.until
        if until is None:
            return f"expects {text}"
        return f"expects {text} until {bytes_text(excerpt(until)) if isinstance(until, bytes) else until}"


@dataclass(frozen=True, slots=True)
class ExpectsNothing:
    """For so many seconds, nothing comes."""

    seconds: float = 1.0

    def __post_init__(self) -> None:
        require_seconds("seconds", self.seconds)

    def __str__(self) -> str:
        return f"expects nothing for {number_text(self.seconds)} s"


@dataclass(frozen=True, slots=True)
class ExpectsEof:
    """Waits for the server to close, or to shut down writing; nothing comes before."""

    def __str__(self) -> str:
        return "expects the end"


@dataclass(frozen=True, slots=True)
class Receives:
    """Waits until something has come, and takes it, whatever it is; at the end, b"". For `plays`."""

    size: int = 65536

    def __post_init__(self) -> None:
        require_size("size", self.size)

    def __str__(self) -> str:
        return "receives"


@dataclass(frozen=True, slots=True)
class ShutsDown:
    """Ends its sending (a half-close), and goes on reading."""

    def __str__(self) -> str:
        return "shuts down"


@dataclass(frozen=True, slots=True)
class Closes:
    """Reads what has come, and closes."""

    def __str__(self) -> str:
        return "closes"


@dataclass(frozen=True, slots=True)
class Resets:
    """Resets the connection (RST)."""

    def __str__(self) -> str:
        return "resets"


@dataclass(frozen=True, slots=True)
class Waits:
    """Does nothing for so many seconds of virtual time; it does not read, either."""

    seconds: float

    def __post_init__(self) -> None:
        require_seconds("seconds", self.seconds)

    def __str__(self) -> str:
        return f"waits {number_text(self.seconds)} s"


@dataclass(frozen=True, slots=True)
class ReadsSlowly:
    """From now on reads at most `size` bytes every so many seconds."""

    size: int
    every: float = 1.0

    def __post_init__(self) -> None:
        require_size("size", self.size)
        require_seconds("every", self.every)

    def __str__(self) -> str:
        return f"reads {self.size} bytes every {number_text(self.every)} s"


@dataclass(frozen=True, slots=True)
class Does:
    """Calls a function of the test."""

    function: Callable[[], object]

    def __post_init__(self) -> None:
        require_function("function", self.function)

    def __str__(self) -> str:
        return f"does {name_of(self.function, 'something')}()"


@dataclass(frozen=True, slots=True)
class Plays:
    """Takes the steps that a generator yields; each `yield` returns the bytes that its step took in."""

    play: Callable[[], Generator[Step, bytes, object]] | Generator[Step, bytes, object]

    def __post_init__(self) -> None:
        wanted = "a generator of steps, or a function without arguments that returns one"
        _require_kind("play", self.play, (Generator, Callable), wanted)

    def __str__(self) -> str:
        return f"plays {name_of(self.play, 'a generator')}()"


Step: TypeAlias = (
    Sends
    | Expects
    | ExpectsNothing
    | ExpectsEof
    | Receives
    | ShutsDown
    | Closes
    | Resets
    | Waits
    | ReadsSlowly
    | Does
    | Plays
)
"""One thing that a peer does."""

Play: TypeAlias = "Generator[Step, bytes, None]"
"""A peer that reacts: it yields steps, and gets the bytes that each took in (b"" for most)."""

STEPS: Final = (
    Sends, Expects, ExpectsNothing, ExpectsEof, Receives, ShutsDown, Closes, Resets, Waits, ReadsSlowly, Does, Plays,
)  # fmt: skip


def is_step(thing: object) -> TypeGuard[Step]:
    """Whether it is a step, whatever its type says."""
    return isinstance(thing, STEPS)


def is_play(thing: object) -> bool:
    """Whether it is a generator, whatever its type says."""
    return isinstance(thing, Generator)


class Conversation:
    """What one peer does, in order: each method appends a step, and returns the conversation."""

    def __init__(self, name: str, steps: Sequence[Step], frame: FrameType) -> None:
        self.name: Final = name
        """What errors and the trace call it."""
        self._steps: list[Step] = []
        self._places: list[tuple[CodeType, int]] = []
        self._made: tuple[CodeType, int] = (frame.f_code, frame.f_lasti)
        _require_kind("steps", steps, Sequence, "a sequence of steps, as [Sends(b'hi'), Closes()]")
        for step in steps:
            _require_kind("steps", step, STEPS, "steps, as Sends(b'hi') or Closes()")
            self._steps.append(step)
            self._places.append(self._made)

    def sends(self, data: Buffer) -> Self:
        """Send bytes. A `recv()` returns the bytes of one `sends` at most; a long one may come in parts."""
        given: Any = data  # Any: whatever the test gave
        _require_kind("data", given, (bytes, bytearray, memoryview), "bytes")
        return self._append(Sends(bytes(data)))

    @overload
    def expects(self, what: bytes) -> Self: ...
    @overload
    def expects(
        self,
        what: bytes | re.Pattern[bytes] | Callable[[bytes], object],
        *,
        until: bytes | int | Literal["eof"],
    ) -> Self: ...
    def expects(
        self,
        what: bytes | re.Pattern[bytes] | Callable[[bytes], object],
        *,
        until: bytes | int | Literal["eof"] | None = None,
    ) -> Self:
        """Wait for what the server sends.

        Bytes alone are compared with the stream as the server sends it: the first byte that differs
        is an error at the server's own `send()`. With `until=` (a delimiter, which is part of it, a
        number of bytes, or "eof") so much is read first, and then judged: it is equal to the bytes,
        the pattern matches all of it, or the function returns something true for it.
        """
        return self._append(Expects(what, until))

    def expects_nothing(self, seconds: float = 1.0) -> Self:
        """For so many seconds of virtual time, nothing comes."""
        return self._append(ExpectsNothing(seconds))

    def expects_eof(self) -> Self:
        """Wait for the server to close or to shut down writing; nothing comes before."""
        return self._append(ExpectsEof())

    def shuts_down(self) -> Self:
        """End the sending (half-close): the server reads b"", and can still answer."""
        return self._append(ShutsDown())

    def closes(self) -> Self:
        """Close. What the server has sent and nobody expected is discarded."""
        return self._append(Closes())

    def resets(self) -> Self:
        """Reset the connection: the server gets ECONNRESET."""
        return self._append(Resets())

    def waits(self, seconds: float) -> Self:
        """Do nothing for so many seconds of virtual time: read nothing, either."""
        return self._append(Waits(seconds))

    def reads_slowly(self, size: int, *, every: float = 1.0) -> Self:
        """From now on read at most `size` bytes every so many seconds, so that the server's sends back up."""
        return self._append(ReadsSlowly(size, every))

    def does(self, function: Callable[[], object]) -> Self:
        """Call a function of the test; it may add clients. What it raises ends the run and comes out of it."""
        return self._append(Does(function))

    def plays(self, play: Callable[[], Generator[Step, bytes, object]] | Generator[Step, bytes, object]) -> Self:
        """Take the steps that a generator yields, for a peer that reacts to what it gets.

        Each `yield` returns the bytes that its step took in: `data = yield Receives()`.
        """
        return self._append(Plays(play))

    def _append(self, step: Step) -> Self:
        frame = sys._getframe(2)  # the only way to a frame that costs nothing
        self._steps.append(step)
        self._places.append((frame.f_code, frame.f_lasti))
        self._grown()
        return self

    def _grown(self) -> None:
        """A step was appended."""

    def _place(self, number: int | None = None) -> Place:
        """Where a step was written; None: the conversation."""
        where = self._made if number is None or not number < len(self._places) else self._places[number]
        return place(*where)


def _require_kind(argument: str, given: object, kinds: Any, wanted: str) -> None:  # Any: one class or several
    if not isinstance(given, kinds):
        the_str = "the str " if isinstance(given, str) and argument in ("data", "what", "until") else ""
        raise TypeError(f"{argument}= takes {wanted}; got {the_str}{value_text(given)}{_hint(given, kinds)}")


def _hint(given: object, kinds: Any) -> str:  # Any: one class or several
    """What to write instead, where that is plain."""
    wanted: list[object] = [*kinds] if isinstance(kinds, tuple) else [kinds]
    if isinstance(given, str) and bytes in wanted:
        return f": write b{given!r}, or use .encode()" if given.isascii() and len(given) <= 40 else ": use .encode()"
    if isinstance(given, (bytes, bytearray)) and str in wanted:
        return f": write {bytes(given).decode()!r}" if given.isascii() and len(given) <= 40 else ": use .decode()"
    if given is None and Callable in wanted:
        return ": give it the function itself, f and not f()"
    if isinstance(given, Conversation) and Sequence in wanted:
        return ": a peer's steps are added by its methods; steps= takes a list of plain ones"
    return ": put it into a list" if isinstance(given, STEPS) and Sequence in wanted else ""


def require_name(name: object) -> None:
    """Raise TypeError unless it is a name, or None."""
    _require_kind("name", name, (str, type(None)), "a str")


def require_function(argument: str, function: object) -> None:
    """Raise TypeError unless it can be called."""
    _require_kind(argument, function, Callable, "a function without arguments")


def require_size(argument: str, size: object) -> None:
    """Raise ValueError unless it is a number of bytes."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"{argument}= takes a number of bytes, 1 or more; got {value_text(size)}")


def require_seconds(argument: str, seconds: object) -> None:
    """Raise ValueError unless it is a length of time."""
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 <= seconds < float("inf"):
        raise ValueError(f"{argument}= takes a number of seconds, 0 or more and finite; got {value_text(seconds)}")

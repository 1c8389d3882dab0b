"""What a peer does: a closed union of frozen steps.

Owns the steps, what each may be given, and how each is told in one line. A step is plain data:
`Sends(b"hi")` is what `.sends(b"hi")` appends. Knows nothing of networks, time or servers.

A new step is a class here (in `Step` and `STEPS`), a row in `taking.py`, a word in `peer.py`, a name of the package,
a word of the command (`_command/language.py`), a row in docs/scenarios.md, docs/command.md and docs/api.md; one that
needs no open connection is named in `Player._next`, too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from .._text import bytes_text, excerpt, name_of, number_text, value_text

if TYPE_CHECKING:
    from ssl import SSLContext
    from typing import TypeGuard

__tracebackhide__ = True  # pytest: end tracebacks at the test's own line

_ENDS: Final = {
    None: "the end", True: "the end without close_notify", False: "the end by close_notify",
}  # fmt: skip

_put: Final = object.__setattr__  # what a frozen dataclass does; two kinds of steps are made by the thousand


@dataclass(frozen=True, slots=True, init=False)
class Sends:
    """Sends bytes; a `recv()` of the server returns the bytes of one such step at most."""

    data: bytes

    def __init__(self, data: bytes) -> None:
        _put(self, "data", data)
        if type(data) is not bytes:
            require_kind("data", data, bytes, "bytes")

    def __str__(self) -> str:
        return f"sends {bytes_text(excerpt(self.data))}"


@dataclass(frozen=True, slots=True, init=False)
class Expects:
    """Waits for what the server sends. The three forms are those of `Peer.expects`."""

    what: bytes | re.Pattern[bytes] | Callable[[bytes], object]
    until: bytes | int | Literal["eof"] | None = None

    def __init__(
        self,
        what: bytes | re.Pattern[bytes] | Callable[[bytes], object],
        until: bytes | int | Literal["eof"] | None = None,
    ) -> None:
        _put(self, "what", what)
        _put(self, "until", until)
        if until is not None or type(what) is not bytes or not what:
            _check_expected(what, until)

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
    """Waits for the server to close, or to shut down writing; nothing comes before.

    ragged: of TLS, whether that must come without (True) or with (False) a word of it; None: either will do.
    """

    ragged: bool | None = None

    def __post_init__(self) -> None:
        require_kind("ragged", self.ragged, (bool, type(None)), "True, False or None")

    def __str__(self) -> str:
        return f"expects {_ENDS[self.ragged]}"


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
    """Reads what has come, and closes. ragged: of TLS, without saying so (no close_notify)."""

    ragged: bool = False

    def __post_init__(self) -> None:
        require_kind("ragged", self.ragged, bool, "True or False")

    def __str__(self) -> str:
        return "closes without close_notify" if self.ragged else "closes"


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
        require_kind("play", self.play, (Generator, Callable), wanted)

    def __str__(self) -> str:
        return f"plays {name_of(self.play, 'a generator')}()"


@dataclass(frozen=True, slots=True)
class StartsTls:
    """Makes a TLS handshake; what it sends, and is sent, is plain text to the steps that follow."""

    context: SSLContext
    server_hostname: str | None = None

    def __post_init__(self) -> None:
        _check_context(self.context)
        require_kind("server_hostname", self.server_hostname, (str, type(None)), "a str")

    def __str__(self) -> str:
        name = self.server_hostname
        return "starts TLS" if name is None else f"starts TLS with {value_text(name)}"


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
    | StartsTls
)
"""One thing that a peer does."""

Play: TypeAlias = "Generator[Step, bytes, None]"
"""A peer that reacts: it yields steps, and gets the bytes that each took in (b"" for most)."""

STEPS: Final = (
    Sends, Expects, ExpectsNothing, ExpectsEof, Receives, ShutsDown, Closes, Resets, Waits, ReadsSlowly, Does, Plays,
    StartsTls,
)  # fmt: skip


def is_step(thing: object) -> TypeGuard[Step]:
    """Whether it is a step, whatever its type says."""
    return isinstance(thing, STEPS)


def _kind_of(step: object) -> type[Step]:
    return next(kind for kind in STEPS if isinstance(step, kind))


def own(step: Step) -> Step:
    """The step itself; if its class is one that the test has derived, the same of the class of ours."""
    if type(step) in STEPS:
        return step
    kind = _kind_of(step)
    made: object = object.__new__(kind)
    for name in kind.__slots__:
        _put(made, name, getattr(step, name))
    assert is_step(made)
    return made


def is_play(thing: object) -> TypeGuard[Generator[Step, bytes, object]]:
    """Whether it is a generator, whatever its type says."""
    return isinstance(thing, Generator)


def _check_expected(what: object, until: object) -> None:
    """Raise TypeError or ValueError unless `Expects` takes them."""
    wanted = "bytes, a compiled pattern of bytes, or a function of the bytes"
    require_kind("what", what, (bytes, re.Pattern, Callable), wanted)
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
        require_kind("until", until, bytes, 'a delimiter (bytes), a number of bytes, or "eof"')


def _check_context(context: object) -> None:
    """Raise TypeError unless it is a context of `ssl`, which who has one has imported."""
    ssl: Any = sys.modules.get("ssl")  # Any: a module
    kinds = (type(None),) if ssl is None else ssl.SSLContext
    if context is None or not isinstance(context, kinds):
        raise TypeError(
            f"tls= takes an ssl.SSLContext; got {value_text(context)}: a client's may be"
            " ssl.create_default_context(cafile=...), a backend's one with load_cert_chain()"
        )


def require_kind(
    argument: str, given: object, kinds: Any, wanted: str, hint: str = ""
) -> None:  # Any: one class or several
    """Raise TypeError unless it is of these kinds; the text says what to write instead, where that is plain."""
    if type(given) is not kinds and not isinstance(given, kinds):
        the_str = "the str " if isinstance(given, str) and argument in ("data", "what", "until") else ""
        raise TypeError(f"{argument}= takes {wanted}; got {the_str}{value_text(given)}{hint or _hint(given, kinds)}")


def _hint(given: object, kinds: Any) -> str:  # Any: one class or several
    wanted: list[object] = [*kinds] if isinstance(kinds, tuple) else [kinds]
    if isinstance(given, str) and bytes in wanted:
        return f": write b{given!r}, or use .encode()" if given.isascii() and len(given) <= 40 else ": use .encode()"
    if isinstance(given, (bytes, bytearray)) and str in wanted:
        return f": write {bytes(given).decode()!r}" if given.isascii() and len(given) <= 40 else ": use .decode()"
    if given is None and Callable in wanted:
        return ": give it the function itself, f and not f()"
    return ": put it into a list" if isinstance(given, STEPS) and Sequence in wanted else ""


def require_name(name: object) -> None:
    """Raise TypeError unless it is a name, or None."""
    require_kind("name", name, (str, type(None)), "a str")


def require_function(argument: str, function: object) -> None:
    """Raise TypeError unless it can be called."""
    require_kind(argument, function, Callable, "a function without arguments")


def require_size(argument: str, size: object) -> None:
    """Raise ValueError unless it is a number of bytes."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f"{argument}= takes a number of bytes, 1 or more; got {value_text(size)}")


def require_seconds(argument: str, seconds: object) -> None:
    """Raise ValueError unless it is a length of time."""
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 <= seconds < float("inf"):
        hint = ", whose timestamp() is one" if callable(getattr(seconds, "timestamp", None)) else ""
        raise ValueError(
            f"{argument}= takes a number of seconds, 0 or more and finite; got {value_text(seconds)}{hint}"
        )

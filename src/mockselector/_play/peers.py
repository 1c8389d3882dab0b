"""A peer at play: it takes the steps of its conversation, each when its time has come.

Owns what each step does to a connection, and what a peer has to say of what the server sends:
bytes are compared as they are sent, patterns and functions when all that they judge has come. A
peer runs as a generator that is resumed when something has happened at its end, or at the time
that it has named. Knows its own end of a connection, and of the server only that.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from errno import ECONNREFUSED, ETIMEDOUT
from typing import TYPE_CHECKING, Final, TypeVar

from typing_extensions import assert_never

from .._judge.errors import Finding
from .._judge.trace import shown_path
from .._text import bytes_text, excerpt, name_of, value_text
from .clock import nanoseconds
from .steps import (
    Closes,
    Conversation,
    Does,
    Expects,
    ExpectsEof,
    ExpectsNothing,
    Plays,
    ReadsSlowly,
    Receives,
    Resets,
    Sends,
    ShutsDown,
    Waits,
    is_play,
    is_step,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType
    from typing import NoReturn, Protocol, TypeAlias

    from .._judge.rules import RuleId
    from .._judge.trace import Place
    from .._kernel.descriptors import Descriptor
    from .._kernel.streams import FarEnd
    from .._system import Address
    from .steps import Step

    class Beyond(Protocol):
        """What a peer sees of the other end."""

        @property
        def closed(self) -> bool: ...
        @property
        def size(self) -> int: ...

    class End(Protocol):
        """A peer's end of a connection: a `Stream`, or a real one."""

        def attach(self, peer: FarEnd, changed: Callable[[], None]) -> None: ...
        @property
        def other(self) -> Beyond: ...
        @property
        def closed(self) -> bool: ...
        @property
        def mute(self) -> bool: ...
        @property
        def ended(self) -> bool: ...
        @property
        def dead(self) -> bool: ...
        @property
        def size(self) -> int: ...
        @property
        def pending(self) -> bytes: ...
        def pieces(self) -> Iterator[tuple[bytes, int]]:
            """The same, piece by piece: bytes, and how many of them were read."""
            ...

        @property
        def all_here(self) -> bool:
            """Whether all that the other end has sent has arrived."""
            ...

        def peek(self, size: int) -> bytes: ...
        def drop(self, size: int) -> None: ...
        def offer(self, data: bytes, start: int) -> int: ...
        def finish(self) -> None: ...
        def close(self, *, reset: bool = False) -> None: ...

    class Around(Protocol):
        """What a peer sees of the world."""

        def now(self) -> int: ...
        def wake(self, peer: Peer) -> None: ...
        def meet(self, peer: Peer) -> End | None:
            """Its end of a connection to whoever listens; None if nobody does, or the backlog is full."""
            ...

        def answer(self, peer: Peer, descriptor: Descriptor, error: int) -> None:
            """A backend takes the connection, or, with an error number, does not."""
            ...

        def in_force(self, rule: RuleId, peer: Peer) -> bool: ...
        def fail(self, finding: Finding) -> NoReturn: ...
        def ended(self, peer: Peer) -> None:
            """The peer's last step is taken."""
            ...

        def resumed(self, peer: Peer) -> None:
            """It has got more steps after that."""
            ...

        def stepped(self) -> None:
            """A step is taken."""
            ...

        def idles(self) -> int:
            """One that was made during the run, and moved nothing: how many such the server has not been asked for."""
            ...

        def moves(self) -> None:
            """One that was made during the run, and moved something."""
            ...

        def makes_steps(self) -> bool:
            """Whether it is a step that is being taken that now makes another one."""
            ...

        @property
        def program(self) -> str:
            """What to call what is tested: "server", or "program" if it only connects."""
            ...

        def left_without(self, peer: Peer) -> str:
            """How the program has left a peer without closing, as half a sentence; "": it has closed."""
            ...

        def while_handling(self, peer: Peer) -> str:
            """Which exception it was handling when it closed, as the rest of a sentence; "": none."""
            ...

        def check_open(self) -> None:
            """RuntimeError if nothing more can be played."""
            ...

    Taken: TypeAlias = "Generator[None, None, bytes]"

R = TypeVar("R")

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

SYN_TIMEOUT: Final = 127.0
"""Seconds until a connection is given up that nobody answers (man 7 tcp, tcp_syn_retries)."""

MOST_STEPS: Final = 100_000
"""So many steps that are made during the run, move nothing, and leave the server no turn, have no end."""

MOST_YIELDED: Final = MOST_STEPS
"""Likewise where a generator yields them."""


ALL: Final = 1 << 62
"""More bytes than ever come."""

ROOM: Final = "for room to send"

SHOWN: Final = 8
"""How many steps around the one in question an error shows."""


def shorten(program: str) -> str:
    """What is to be done where a script goes on and the program (or the server) does not."""
    return f"If the {program} should go on, find why it stopped; if it is right, shorten the script."


class GivenUp(Exception):  # noqa: N818  (a signal)
    """A peer goes no further in its script: what it needs is not to be had."""


class Raised(BaseException):
    """A function of the test has raised: that passes through a peer in this, as a generator would change some."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error: Final = error


def _called(function: Callable[[], R]) -> R:
    """What a function of the test returns."""
    try:
        return function()
    except BaseException as error:
        raise Raised(error) from None


def _resumed(play: Generator[Step, bytes, object], came: bytes | None) -> object:
    """What a generator of the test yields next, or `_DONE`."""
    try:
        return next(play) if came is None else play.send(came)
    except StopIteration:
        return _DONE
    except BaseException as error:
        raise Raised(error) from None


_DONE: Final = object()


class Peer(Conversation):
    """What one client or backend does, in order; each method appends a step, and returns the peer."""

    def __init__(
        self, around: Around, serial: int, name: str, steps: Sequence[Step], frame: FrameType, *,
        to: Address | None, source: Address | None, buffer: int, allow: frozenset[RuleId],
        backend: bool = False, refuses: bool = False, delay: float | None = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(name, steps, frame)
        self._around = around
        self._serial: Final = serial
        self._to: Final = to
        self._source: Final = source
        self._buffer: Final = buffer
        self._allow: Final = allow
        self._backend: Final = backend
        self._refuses: Final = refuses
        self._delay: Final = delay
        self._stream: End | None = None
        self._dialled: Descriptor | None = None  # who wants to connect to this backend
        self._position = 0
        self._given = len(self._steps)  # how many steps no step has made
        self._step: Step | None = None  # being taken, if a generator has yielded it
        self._received = bytearray()
        self._got = bytearray()  # of what is expected now
        self._pace: tuple[int, int] | None = None  # bytes, nanoseconds
        self._next_read = 0
        self._cursor: tuple[int, int] | None = (0, 0)  # the step, and the byte of it, that the server must send next
        # -- of its scheduling
        self._queued = False
        self._finished = False
        self._given_up = False  # an unmet expectation was allowed
        self._since = 0  # when it began to wait
        self._until: int | None = None  # until when it waits; None: for something to happen
        self._token = 0  # tells the timers of one wait from those of the next
        self._waits_for = "to be connected to" if backend else "for somebody to listen"
        self._life: Generator[None, None, None] = self._live()

    @property
    def is_backend(self) -> bool:
        """Whether the program connects to it, and not it to the program."""
        return self._backend

    @property
    def received(self) -> bytes:
        """All that it has read so far of what the server sent it."""
        return bytes(self._received)

    def __repr__(self) -> str:
        return f"<peer {self.name!r}, at step {min(self._position + 1, len(self._steps))} of {len(self._steps)}>"

    # -- scheduling -----------------------------------------------------------------------------

    def _grown(self) -> None:
        self._around.check_open()
        if self._given == len(self._steps) - 1 and not self._around.makes_steps():
            self._given += 1
        if self._refuses or self._delay is None:
            how = "refuses=True" if self._refuses else "delay=None"
            raise RuntimeError(f"{self.name} has {how}: it is never connected, and has no steps to take")
        if self._finished:
            self._finished = False
            self._cursor = (len(self._steps) - 1, 0) if self._stream is None or self._stream.all_here else None
            self._around.resumed(self)
        self._around.wake(self)

    def _go(self) -> None:
        """Go on until it must wait."""
        self._token += 1
        self._until = None
        self._since = self._around.now()
        next(self._life)

    def _changed(self) -> None:
        self._around.wake(self)

    def _attach(self, stream: End) -> None:
        """It has its end of a connection."""
        self._stream = stream
        stream.attach(self, self._changed)
        self._around.wake(self)

    def _live(self) -> Generator[None, None, None]:
        try:
            yield from self._answer() if self._backend else self._connect()
            while True:
                while self._position < len(self._steps):
                    step = self._steps[self._position]
                    came = yield from self._take(step)
                    if self._position >= self._given and self._idles(step, came) > MOST_STEPS:
                        raise RuntimeError(
                            f"the script has taken {MOST_STEPS:,} steps at one instant: does a generator yield steps"
                            " for ever, or a does() step append to its own script?"
                        )
                    self._position += 1
                yield from self._rest()
        except GivenUp:
            self._given_up = True
        while True:
            yield from self._rest()

    def _idles(self, step: Step, came: bytes) -> int:
        """A step is taken that was made during the run: how many such have moved nothing, and left no turn?"""
        if came or (isinstance(step, Sends) and step.data):
            self._around.moves()
            return 0
        return self._around.idles()

    def _rest(self) -> Generator[None, None, None]:
        """No step is left: read what nobody expects any more."""
        if not self._finished:
            self._finished = True
            self._around.ended(self)
        if self._stream is not None and not self._stream.closed:
            self._pull(ALL)
        yield

    def _pause(self, what: str) -> Generator[None, None, None]:
        """Wait for something to happen."""
        self._waits_for = what
        yield
        if self._given_up:  # by the world, as nothing ever will
            raise GivenUp

    def _connect(self) -> Generator[None, None, None]:
        yield from self._wait(self._delay or 0)
        while (stream := self._around.meet(self)) is None:
            yield from self._pause("for somebody to listen")
        self._attach(stream)

    def _answer(self) -> Generator[None, None, None]:
        """Be connected to."""
        while self._dialled is None:
            yield from self._pause("to be connected to")
        delay = SYN_TIMEOUT if self._delay is None else min(self._delay, SYN_TIMEOUT)
        yield from self._wait(delay)
        error = ETIMEDOUT if delay == SYN_TIMEOUT else ECONNREFUSED if self._refuses else 0
        self._around.answer(self, self._dialled, error)
        if self._stream is None:
            raise GivenUp

    @property
    def _end(self) -> End:
        assert self._stream is not None
        return self._stream

    # -- steps ----------------------------------------------------------------------------------

    def _take(self, step: Step) -> Taken:
        """Take a step; returns the bytes that it took in."""
        self._around.stepped()
        self._got = bytearray()
        self._waits_for = ""
        if self._stream is not None and self._stream.closed and not isinstance(step, (Waits, Does, Plays)):
            raise RuntimeError(f"{self.name} {step}, but its script has closed its connection before")
        match step:
            case Sends():
                yield from self._send(step.data)
            case Expects(bytes(), None):
                return (yield from self._expect_bytes(step))
            case Expects():
                return (yield from self._expect_until(step))
            case ExpectsNothing():
                yield from self._expect_nothing(step)
            case ExpectsEof():
                yield from self._expect_eof()
            case Receives():
                return (yield from self._receive(step))
            case ShutsDown():
                self._end.finish()
            case Closes():
                self._discard()
                self._end.close()
            case Resets():
                self._end.close(reset=True)
            case Waits():
                yield from self._wait(step.seconds)
            case ReadsSlowly():
                self._pace = (step.size, nanoseconds(step.every))
            case Does():
                _called(step.function)
            case Plays():
                yield from self._play(step)
            case _ as unreachable:
                assert_never(unreachable)
        return b""

    def _send(self, data: bytes) -> Generator[None, None, None]:
        sent = 0
        while sent < len(data):
            end = self._end
            if end.mute:
                raise RuntimeError(f"{self.name} {Sends(data)}, but its script has shut down its sending before")
            if end.other.closed or end.dead:
                self._unmet(f"has {bytes_text(excerpt(data[sent:]))} to send, but {self._gone()}")
            taken = end.offer(data, sent)
            sent += taken
            if not taken and not end.dead:
                yield from self._pause(ROOM)

    def _expect_bytes(self, step: Expects) -> Taken:
        assert isinstance(step.what, bytes)
        self._got = got = bytearray()
        wrong = False  # and allowed
        while (had := len(got)) < len(step.what):
            yield from self._more(step, got, len(step.what) - had)
            if self._cursor is None and not wrong:  # it was not compared when it was sent
                wrong = self._is_wrong(bytes(got[had:]), step.what, had)
        data = bytes(got)
        if not wrong and data != step.what:
            self._is_wrong(data, step.what, 0)
        return data

    def _is_wrong(self, came: bytes, what: bytes, offset: int) -> bool:
        """Whether what has come differs from what should, which is then told, and may be allowed."""
        if came == what[offset : offset + len(came)]:
            return False
        said, lines, _ = self._difference(came, what, offset, self._position)
        self._unexpected(said, lines)
        return True

    def _expect_until(self, step: Expects) -> Taken:
        until = step.until
        self._got = got = bytearray()
        while True:
            if isinstance(until, bytes):
                if got.endswith(until):
                    break
                size = self._up_to(until, got)
            elif isinstance(until, int):
                if len(got) == until:
                    break
                size = until - len(got)
            else:
                size = ALL
                if self._at_end() and not self._end.size and not self._was_reset():
                    break
            yield from self._more(step, got, size)
        wrong = _called(lambda: _wrong(step, bytes(got)))
        if wrong:
            self._unexpected(f"{bytes_text(excerpt(bytes(got)))}, {wrong}")
        self._resume_judging()
        return bytes(got)

    def _up_to(self, delimiter: bytes, got: bytearray) -> int:
        """How many of the bytes that have come may be taken, so that what follows the delimiter is left.

        Only what is taken next is looked at, so that each byte is once.
        """
        most = self._end.size if self._pace is None else min(self._end.size, self._pace[0])
        overlap = len(delimiter) - 1
        before = bytes(got[max(len(got) - overlap, 0) :])  # a delimiter may have begun there
        seen = 0
        for piece, start in self._end.pieces():
            end = min(len(piece), start + most - seen)
            if before:
                found = (before + piece[start : min(end, start + overlap)]).find(delimiter)
                if found >= 0:
                    return seen + found + len(delimiter) - len(before)
            found = piece.find(delimiter, start, end)
            if found >= 0:
                return seen + found + len(delimiter) - start
            seen += end - start
            if seen >= most:
                break
            before = (before + piece[max(start, end - overlap) : end])[-overlap:] if overlap else b""
        return seen or 1

    def _more(self, step: Step, got: bytearray, size: int) -> Generator[None, None, None]:
        """Take in some more bytes, or wait for them."""
        data = self._pull(size)
        got += data
        if data:
            return
        if self._at_end() and not self._end.size:
            self._unmet(f"{step}, but {self._gone()}")
        yield from self._pause(f"for {str(step).removeprefix('expects ')}")

    def _expect_nothing(self, step: ExpectsNothing) -> Generator[None, None, None]:
        until = self._around.now() + nanoseconds(step.seconds)
        while self._around.now() < until and not self._end.size:
            self._until = until
            yield
        if self._end.size:
            self._unexpected(f"{bytes_text(excerpt(self._end.pending))} where it expects nothing")
        self._discard()

    def _expect_eof(self) -> Generator[None, None, None]:
        while not self._end.size and not self._at_end():
            yield from self._pause("for the end of the connection")
        if self._end.size:
            self._unexpected(f"{bytes_text(excerpt(self._end.pending))} where it expects the end")
        self._discard()
        if self._was_reset():
            self._unmet(f"expects the end, but {self._gone()}")

    def _receive(self, step: Receives) -> Taken:
        while True:
            data = self._pull(step.size)
            if data or (self._at_end() and not self._end.size):
                self._resume_judging()
                return data
            yield from self._pause("for anything")

    def _wait(self, seconds: float) -> Generator[None, None, None]:
        until = self._around.now() + nanoseconds(seconds)
        while self._around.now() < until:
            self._until = until
            yield

    def _play(self, step: Plays) -> Generator[None, None, None]:
        play = _called(step.play) if callable(step.play) else step.play
        if not is_play(play):
            raise TypeError(
                f"play= of {self.name} takes a generator of steps; its function returned {value_text(play)}"
            )
        try:
            inner = _resumed(play, None)
            while inner is not _DONE:
                if not is_step(inner):
                    raise self._bad_play(inner)
                self._step = inner
                came = yield from self._take(inner)
                if self._idles(inner, came) > MOST_YIELDED:
                    raise self._bad_play(inner)
                inner = _resumed(play, came)
        finally:
            self._step = None
        self._resume_judging()

    def _bad_play(self, yielded: object) -> Exception:
        if is_step(yielded):
            return RuntimeError(
                f"the generator that {self.name} plays has yielded {MOST_YIELDED:,} steps: has it no end?"
            )
        return TypeError(
            f"the generator that {self.name} plays yielded {value_text(yielded)}; it takes steps, as Sends(b'hi')"
        )

    # -- reading --------------------------------------------------------------------------------

    def _pull(self, size: int) -> bytes:
        """Read at most `size` bytes of what has come, as fast as this peer reads."""
        end = self._end
        if self._pace is not None and end.size:
            if self._around.now() < self._next_read:
                self._until = self._next_read
                return b""
            size = min(size, self._pace[0])
            self._next_read = self._around.now() + self._pace[1]
        parts: list[bytes] = []
        while size > 0 and end.size:
            data = end.peek(size)
            end.drop(len(data))
            size -= len(data)
            parts.append(data)
        data = b"".join(parts)
        self._received += data
        if self._pace is not None and end.size:
            self._until = self._next_read
        return data

    def _discard(self) -> None:
        while self._end.size:
            data = self._end.peek(ALL)
            self._end.drop(len(data))
            self._received += data

    def _at_end(self) -> bool:
        end = self._end
        return end.ended or end.dead or end.closed

    def _was_reset(self) -> bool:
        """Whether that is what it sees: after the server's end, it sees only that (man 2 recv)."""
        return self._end.dead and not self._end.ended

    # -- judging what the server sends ----------------------------------------------------------

    def judge(self, data: bytes, at: int = 0) -> tuple[str, str, int] | None:
        """Compare what the server is about to send, from byte `at` on, with what must come next.

        Returns None, or what is wrong with it: what is said of it, the lines that show it, the step.
        """
        if self._cursor is None or self._given_up:
            return None
        index, offset = self._cursor
        while at < len(data):
            step = self._steps[index] if index < len(self._steps) else None
            match step:
                case Expects(bytes(what), None):
                    size = min(len(data) - at, len(what) - offset)
                    if data[at : at + size] != what[offset : offset + size]:
                        return self._difference(data[at : at + size], what, offset, index)
                    at, offset = at + size, offset + size
                    if offset == len(what):
                        index, offset = index + 1, 0
                case ExpectsNothing() if index < self._position:
                    index += 1
                case ExpectsNothing() | ExpectsEof():
                    wanted = "nothing" if isinstance(step, ExpectsNothing) else "the end"
                    return f"{bytes_text(excerpt(data[at:]))} where it expects {wanted}", "", index
                case Sends() | Waits() | Does() | ShutsDown() | ReadsSlowly():
                    index += 1
                case _:  # judged later, or not at all
                    self._cursor = None
                    return None
        self._cursor = (index, offset)
        return None

    def _difference(self, data: bytes, what: bytes, offset: int, index: int) -> tuple[str, str, int]:
        wanted = what[offset : offset + len(data)]
        same = next(number for number in range(len(data)) if data[number] != wanted[number])
        begin = max(0, same - 20)
        lines = [
            f"expected   {'... ' * bool(begin)}{what[offset + begin : offset + same + 30]!r}",
            f"sent       {'... ' * bool(begin)}{data[begin : same + 30]!r}",
        ]
        mark = len(repr(data[begin:same])) - 1 + 4 * bool(begin)
        lines.append(" " * (11 + mark) + f"^ byte {offset + same} of what it expects here")
        said = f"{bytes_text(excerpt(data))} where it expects {bytes_text(excerpt(what[offset:]))}"
        return said, "\n".join(lines), index

    def _is_judging(self) -> bool:
        return self._cursor is not None

    def stop_judging(self) -> None:
        """What the server sends is wrong, and allowed."""
        self._cursor = None

    def _resume_judging(self) -> None:
        """A step that judges by itself is taken; what follows is compared again."""
        if self._step is not None:
            return  # in the middle of a generator
        self._cursor = (self._position + 1, 0)
        for piece, start in self._end.pieces():
            wrong = self.judge(piece, start)
            if wrong is not None:
                self._unexpected(wrong[0], wrong[1], wrong[2])
            if not self._is_judging():  # the rest is for a later step
                return
        if not self._end.all_here:
            self._cursor = None  # between this and what is sent next there is more: it is compared when it comes

    # -- telling --------------------------------------------------------------------------------

    def place_of(self, step: int) -> Place:
        """Where a step was written."""
        return self._place(step)

    def place(self) -> Place:
        """Where the step at which it is was written."""
        return self._place(min(self._position, len(self._steps) - 1) if self._steps else None)

    def doing(self) -> str:
        """What it waits for, as half a sentence."""
        if self._stream is not None and (self._finished or self._stream.closed):
            return "its script is at its end"
        if self._stream is not None and (self._until is not None or not self._waits_for):
            return f"it {self._step or self._steps[self._position]}"
        return f"it waits {self._waits_for}"

    def conversation(self, at: int | None = None) -> str:
        """Its steps, with how far it has come."""
        here = self._position if at is None else at
        first = max(0, here - SHOWN)
        lines = [f"the script of {self.name}, met until >>:"]
        lines += [f"    ... {first} more"] * bool(first)
        shown = self._steps[first : here + SHOWN]
        width = max((len(str(step)) for step in shown), default=0)
        for number, step in enumerate(shown, first):
            mark = ">>" if number == here else "ok" if number < here else "  "
            where = self._place(number)
            line = f"{mark}  {step!s:<{width}}  {shown_path(where.file)}:{where.line}"
            lines.append(line)
            if number == here and self._step is not None:
                lines.append(f"      ... which {self._step}")
            if number == here and self._got and at is None:
                lines.append(f"      so far  {bytes_text(excerpt(bytes(self._got)))}")
        more = len(self._steps) - here - SHOWN
        lines += [f"    ... {more} more"] * (more > 0)
        if here >= len(self._steps):
            lines.append(">>  (the end)")
        return "\n".join(lines)

    def _gone(self) -> str:
        """How the connection came to its end, as half a sentence."""
        end, around = self._end, self._around
        over = around.left_without(self)
        if over:
            return over
        if not end.dead and not end.other.closed:
            return f"the {around.program} has shut down writing"
        how = (" with unread data, which resets it" if end.other.size else " by a reset") if end.dead else ""
        return f"the {around.program} has closed the connection{how}{around.while_handling(self)}"

    def _unmet(self, what: str) -> NoReturn:
        if self._around.in_force("unmet-expectation", self):
            self._around.fail(
                Finding(
                    "unmet-expectation",
                    self.name,
                    {"what": what, "advice": shorten(self._around.program)},
                    block=self.conversation(),
                    made=self.place(),
                )
            )
        raise GivenUp

    def _unexpected(self, what: str, lines: str = "", at: int | None = None) -> None:
        if not self._around.in_force("unexpected-send", self):
            self.stop_judging()
            return
        block = f"{lines}\n\n{self.conversation(at)}".strip("\n")
        fields = {"what": what, "moment": "went to sleep"}
        made = self._place(self._position if at is None else at)
        self._around.fail(Finding("unexpected-send", self.name, fields, block=block, made=made))


def _wrong(step: Expects, got: bytes) -> str:
    """What is wrong with what has come, as half a sentence; "" if nothing is."""
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

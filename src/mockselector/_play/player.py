"""A peer at play: it takes the steps of its script, each when its time has come.

Owns the life of a peer: how it comes to be connected, where a step begins and ends, what is found
and what is told. It runs as a generator that is resumed when something has happened at its end, or
at the time that it has named. Knows its own end of a connection, and of the server only that; the
world sees players, and a test sees a `Peer`.
"""

from __future__ import annotations

from errno import ECONNREFUSED, ETIMEDOUT
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .._judge.errors import Finding
from .._judge.trace import seconds_text
from .._text import bytes_text, excerpt
from .clock import nanoseconds
from .expecting import UNKNOWN, Difference, Expecting, Sealed, difference
from .generators import NONE, Generators
from .reading import ALL, Reading, Turn, how_it_ended
from .script import shorten
from .steps import Does, Expects, Plays, Sends, Waits
from .taking import HEARS, MEANINGS
from .tls import TlsEnd

if TYPE_CHECKING:
    from typing import NoReturn, Protocol

    from .._judge.rules import RuleId
    from .._judge.trace import Place
    from .._kernel.descriptors import Descriptor
    from .._system import Address
    from .reading import Course, End
    from .script import Script
    from .steps import StartsTls, Step
    from .taking import Waiting

    class Progress(Protocol):
        """How a run goes on."""

        progress: int
        """How often anything has happened; a step that begins is something."""

        def goes_on(self) -> int:
            """A script has taken a step, or time has passed; returns how long the trace is."""
            ...

        def idles(self) -> int:
            """So has one that was made during the run, and has moved nothing; how many such since the server's turn?"""
            ...

        def moves(self) -> None:
            """One that was made during the run has moved something."""
            ...

    class Begun(Protocol):
        """What a peer sees of the program."""

        @property
        def under_way(self) -> bool:
            """Whether anything of it has been made, or run."""
            ...

    class Dials(Protocol):
        """How a player comes to be connected."""

        def meet(self, peer: Player) -> End | None:
            """Its end of a connection to whoever listens; None if nobody does, or the backlog is full."""
            ...

        def answer(self, peer: Player, descriptor: Descriptor, error: int) -> None:
            """A backend takes the connection, or, with an error number, does not."""
            ...

    class Around(Protocol):
        """What a player sees of the world."""

        @property
        def spinning(self) -> Progress: ...
        @property
        def turns(self) -> Course: ...
        @property
        def holdings(self) -> Begun: ...
        @property
        def stack(self) -> Dials: ...
        def in_force(self, rule: RuleId, peer: Player) -> bool: ...
        def fail(self, finding: Finding) -> NoReturn: ...
        def ended(self, peer: Player) -> None:
            """The last step of its script is taken."""
            ...

        def resumed(self, peer: Player) -> None:
            """It has got more steps after that."""
            ...

        def makes_steps(self) -> bool:
            """Whether it is a step that is being taken that now makes another one."""
            ...

        @property
        def program(self) -> str:
            """What to call what is tested: "server", or "program" if it only connects."""
            ...

        def left_without(self, peer: Player) -> str:
            """How the program has left a peer without closing, as half a sentence; "": it has closed."""
            ...

        def while_handling(self, peer: Player) -> str:
            """Which exception it was handling when it closed, as the rest of a sentence; "": none."""
            ...

        def speaks_tls(self, peer: Player) -> None:
            """From now on a peer does."""
            ...

        def check_open(self) -> None:
            """RuntimeError if nothing more can be played."""
            ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

SYN_TIMEOUT: Final = 127.0
"""Seconds until a connection is given up that nobody answers (man 7 tcp, tcp_syn_retries)."""

MOST_STEPS: Final = 100_000
"""So many steps that are made during the run, move nothing, and leave the server no turn, have no end."""

ROOM: Final = "for room to send"


class GivenUp(Exception):  # noqa: N818  (a signal)
    """A peer goes no further in its script: what it needs is not to be had."""


class Endpoint(NamedTuple):
    """Where a peer is, and how it comes to be connected."""

    to: Address
    source: Address
    buffer: int
    allow: frozenset[RuleId]
    is_backend: bool = False
    refuses: bool = False
    delay: float | None = 0.0
    """In seconds; None: nobody answers."""

    @property
    def unreachable(self) -> str:
        """Why it is never connected; "": it may be."""
        return "refuses=True" if self.refuses else "delay=None" if self.delay is None else ""


def tls_host(step: StartsTls, endpoint: Endpoint) -> str | None:
    """The host that a client asks for in its handshake: as it is called in its `to=`, if the test does not say."""
    if endpoint.is_backend:
        return None
    to = endpoint.to
    return step.server_hostname or ("localhost" if to is None or isinstance(to, (int, str)) else str(to[0]))


def check_side(step: StartsTls, endpoint: Endpoint) -> None:
    """Raise ValueError if this context is not for the side on which a peer is."""
    from ssl import MemoryBIO, SSLError

    side = "the server's" if endpoint.is_backend else "the client's"
    try:
        host = tls_host(step, endpoint)
        step.context.wrap_bio(MemoryBIO(), MemoryBIO(), endpoint.is_backend, host)
    except (SSLError, ValueError) as error:
        raise ValueError(f"tls= takes a context for {side} side, as this peer is that: {error.args[-1]}") from None


class Player:
    """What plays the script of one peer.

    Two attributes more than a class should have: the world and a step both look at them in each turn.
    """

    __slots__ = (
        "around", "dialled", "endpoint", "expecting", "finished", "generators", "given_up", "life", "name",
        "position", "reading", "script", "serial", "step", "stream", "turn",
    )  # fmt: skip

    def __init__(self, around: Around, serial: int, script: Script, endpoint: Endpoint) -> None:
        self.around: Final = around
        self.serial: Final = serial
        self.name: Final = script.name
        self.script: Final = script
        self.endpoint: Final = endpoint
        waits = "to be connected to" if endpoint.is_backend else "for somebody to listen"
        self.turn: Final = Turn(around.turns, serial, waits)
        self.reading: Final = Reading(self.turn)
        self.expecting: Expecting = Expecting(script, HEARS)
        self.generators: Generators = NONE
        self.stream: End | None = None
        self.dialled: Descriptor | None = None  # who wants to connect to this backend
        self.position: int = 0
        self.step: Step | None = None  # that is being taken, of the script or of a generator
        self.finished: bool = False
        self.given_up: bool = False  # an unmet expectation was allowed
        self.life: Final = self._live()
        """Goes on until it must wait."""

    @property
    def received(self) -> bytes:
        """All that it has read so far."""
        return bytes(self.reading.received)

    # -- its turns ------------------------------------------------------------------------------

    def attach(self, stream: End) -> None:
        """It has its end of a connection."""
        self.stream = self.reading.end = stream
        stream.attach(self, self.turn)

    def grown(self) -> None:
        """A step was appended to its script."""
        around, script, last = self.around, self.script, len(self.script.steps) - 1
        around.check_open()
        if last < script.made_from and around.makes_steps():
            script.made_from = last
        if why := self.endpoint.unreachable:
            raise RuntimeError(f"{self.name} has {why}: it is never connected, and has no steps to take")
        if self.finished:
            self.finished = False
            end = None if self.stream is None else self.reading.end
            all_read = end is None or (end.all_here and not end.size)
            self.expecting.moves_to(last if all_read and not self.given_up else UNKNOWN)
            around.resumed(self)
        self.turn.wake()

    def _live(self) -> Waiting:
        """Be connected, take one step after the other, and read on when none is left."""
        came, turn, reading, expecting = b"", self.turn, self.reading, self.expecting
        try:
            yield from self._answer() if self.endpoint.is_backend else self._connect()
            end = reading.end
            while True:
                step = self._next(came)
                came = b""
                if step is None:
                    self._rest()
                    yield
                elif type(step) is Sends:
                    data, size, sent = step.data, len(step.data), 0
                    while sent < size:
                        if end.mute or end.other.closed or end.dead:
                            self._cannot_send(step, sent)
                        taken = end.offer(data, sent, size - sent)
                        sent += taken
                        if not taken and not end.dead:
                            turn.waits = ROOM
                            yield
                            if self.given_up:
                                raise GivenUp
                elif type(step) is Expects and step.until is None:
                    what: Any = step.what  # Any: bytes, as with anything else there is until=
                    came, left = what, len(what)
                    while left:
                        size = reading.pull(left) if end.size else 0
                        if size:
                            left -= size
                            if expecting.index < 0 and came and self._differs(what, size):
                                came = b""  # not those, and that is allowed
                        elif (end.ended or end.dead or end.closed) and not end.size:
                            self.unmet(f"{step}, but {self.gone()}")
                        else:
                            turn.waits = step
                            yield
                            if self.given_up:
                                raise GivenUp
                    came = came or reading.taken_in
                else:
                    take = MEANINGS[type(step)].take
                    taking = take and take(self, step)
                    if taking is not None:
                        came = yield from taking
                        end, expecting = reading.end, self.expecting  # from here on it may speak TLS
        except GivenUp:
            self.given_up = True
            self.expecting.stop()
        finally:
            self.generators.stack.clear()
            self.step = None
        while True:
            self._rest()
            yield

    def _next(self, came: bytes) -> Step | None:
        """The step that was taken ends, which has taken in so many bytes, and the next one begins; None: no more."""
        step: Step | None = None
        if self.generators.stack:
            step = self._yielded(came)
            came = b""
        if step is None:
            steps = self.script.steps
            if self.step is not None:
                if self.position >= self.script.made_from and self._idles(came) > MOST_STEPS:
                    raise RuntimeError(
                        f"the script has taken {MOST_STEPS:,} steps at one instant: does a generator yield steps"
                        " for ever, or a does() step append to its own script?"
                    )
                self.position += 1
            try:
                step = steps[self.position]
            except IndexError:
                step = None
        self.step = step
        if step is None:
            return None
        self.around.spinning.progress += 1
        reading = self.reading
        reading.begun = reading.total
        self.turn.waits = ""
        if reading.end.closed and not isinstance(step, (Waits, Does, Plays)):
            raise RuntimeError(f"{self.name} {step}, but its script has closed its connection before")
        return step

    def _yielded(self, came: bytes) -> Step | None:
        """The next step of the generators that are played; None: they are at their end."""
        generators = self.generators
        while generators.stack:
            if not generators.is_fresh:
                generators.check(self._idles(came))
            step = generators.resume(came)
            if step is not None:
                return step
            self.step, came = generators.end(), b""
        self.judge_on()
        return None

    def play(self, step: Plays) -> None:
        """Take the steps of a generator, within those that are played."""
        if self.generators is NONE:
            self.generators = Generators(self.name)
        self.generators.begin(step)

    def _idles(self, came: bytes) -> int:
        """A step is taken that was made during the run: how many such have moved nothing, and left no turn?"""
        if came or (isinstance(self.step, Sends) and self.step.data):
            self.around.spinning.moves()
            return 0
        return self.around.spinning.idles()

    def _rest(self) -> None:
        """No step is left: read what nobody expects any more."""
        if not self.finished:
            self.finished = True
            self.around.ended(self)
        if self.stream is not None and not self.stream.closed:
            self.reading.pull(ALL)

    def speak_tls(self, step: StartsTls) -> TlsEnd:
        """From now on it speaks TLS: what it expects is compared as plain text."""
        endpoint = self.endpoint
        end = TlsEnd(
            self.reading.end, step.context, tls_host(step, endpoint), server_side=endpoint.is_backend
        )  # fmt: skip
        self.reading.end = end
        self.expecting = Sealed(self.script, HEARS)
        self.expecting.moves_to(UNKNOWN if self.generators.stack else self.position + 1)
        self.around.speaks_tls(self)
        return end

    def pause(self, what: str | Step) -> Waiting:
        """Wait for something to happen."""
        self.turn.waits = what
        yield
        if self.given_up:  # by the world, as nothing ever will
            raise GivenUp

    def wait(self, seconds: float) -> Waiting:
        """Wait for so long."""
        clock = self.turn.clock
        until = clock.now + nanoseconds(seconds)
        while clock.now < until:
            self.turn.until = until
            yield

    def _connect(self) -> Waiting:
        if self.endpoint.delay:
            yield from self.wait(self.endpoint.delay)
        while (stream := self.around.stack.meet(self)) is None:
            yield from self.pause("for somebody to listen")
        self.attach(stream)

    def _answer(self) -> Waiting:
        """Be connected to."""
        while self.dialled is None:
            yield from self.pause("to be connected to")
        endpoint = self.endpoint
        delay = SYN_TIMEOUT if endpoint.delay is None else min(endpoint.delay, SYN_TIMEOUT)
        until = self.turn.clock.now + nanoseconds(delay)
        while self.turn.clock.now < until and not self.dialled.closed:
            self.turn.until = until
            yield
        error = ETIMEDOUT if delay == SYN_TIMEOUT else ECONNREFUSED if endpoint.refuses else 0
        self.around.stack.answer(self, self.dialled, error)
        if self.stream is None:
            raise GivenUp

    # -- judging what the server sends ----------------------------------------------------------

    def judge_on(self) -> None:
        """A step that judges by itself is taken; what follows is compared again."""
        if not self.generators.stack:  # else in the middle of a generator
            found = self.expecting.resume(self.position + 1, self.reading.end)
            if found is not None:
                self.unexpected(found)

    def _differs(self, what: bytes, size: int) -> bool:
        """Whether the last bytes that were read, not compared before, are not those; that is told, or allowed."""
        reading = self.reading
        offset = reading.total - reading.begun - size
        came = bytes(reading.received[-size:])
        if came == what[offset : offset + size]:
            return False
        self.unexpected(difference(came, what, offset, self.position), here=True)
        return True

    def unexpected(self, found: Difference, *, here: bool = False) -> None:
        """What has come is wrong: a finding, unless that is allowed. here: the step that is being taken says so."""
        if not self.around.in_force("unexpected-send", self):
            self.expecting.stop()
            return
        self.around.fail(self.found(found, self.name, "went to sleep", here=here))

    def found(self, wrong: Difference, socket: str, moment: str, *, here: bool = False) -> Finding:
        """What the server has sent to this peer is wrong."""
        block = f"{wrong.lines}\n\n{self.conversation(None if here else wrong.step)}".strip("\n")
        fields = {"what": wrong.said, "moment": moment}
        return Finding("unexpected-send", socket, fields, block=block, made=self.script.place(wrong.step))

    def says(self, what: str) -> None:
        """The same, in words of the step that is being taken."""
        self.unexpected(Difference(what, "", self.position), here=True)

    def unmet(self, what: str) -> NoReturn:
        """What is expected cannot come any more: a finding, unless that is allowed."""
        if self.around.in_force("unmet-expectation", self):
            fields = {"what": what, "advice": shorten(self.around.program)}
            self.around.fail(
                Finding("unmet-expectation", self.name, fields, block=self.conversation(), made=self.place())
            )
        raise GivenUp

    def _cannot_send(self, step: Sends, sent: int) -> NoReturn:
        if self.reading.end.mute:
            raise RuntimeError(f"{self.name} {step}, but its script has shut down its sending before")
        self.unmet(f"has {bytes_text(excerpt(step.data[sent:]))} to send, but {self.gone()}")

    # -- telling --------------------------------------------------------------------------------

    @property
    def is_backend(self) -> bool:
        """Whether the program connects to it, and not it to the program."""
        return self.endpoint.is_backend

    @property
    def speaks_tls(self) -> bool:
        """Whether what it sends, and is sent, is ciphertext."""
        return isinstance(self.expecting, Sealed)

    def place(self) -> Place:
        """Where the step at which it is was written."""
        steps = self.script.steps
        return self.script.place(min(self.position, len(steps) - 1) if steps else None)

    @property
    def _inner(self) -> Step | None:
        """The step that is being taken, if a generator has yielded it."""
        return self.step if self.generators.stack else None

    def doing(self) -> str:
        """What it waits for, as half a sentence."""
        stream, turn = self.stream, self.turn
        if stream is not None and (self.finished or stream.closed):
            return "its script is at its end"
        if stream is not None and (turn.until is not None or not turn.waits):
            return f"it {self._inner or self.script.steps[self.position]}"
        if turn.until is not None and not self.endpoint.is_backend:
            return f"it connects at {seconds_text(turn.until)}"
        return f"it waits {turn.waits_for}"

    def conversation(self, at: int | None = None) -> str:
        """Its steps, with how far it has come; or, where another one is meant, around that."""
        if at is not None:
            return self.script.told(at, self._inner, b"")
        return self.script.told(self.position, self._inner, self.reading.taken_in)

    def gone(self) -> str:
        """How the connection came to its end, as half a sentence."""
        around = self.around
        handling = around.while_handling(self)
        return around.left_without(self) or how_it_ended(self.reading.end, around.program, handling)

"""What each step means: how a peer takes it, and what it says of bytes that the server sends meanwhile.

Owns that, one row a step. Knows of the player only what a step needs: its end, what it reads and
expects, and how it waits.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .._text import bytes_text, excerpt
from .clock import nanoseconds
from .expecting import Hears, wrong
from .generators import called
from .reading import ALL
from .steps import (
    Closes,
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
    StartsTls,
    Waits,
)
from .tls import TlsEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn, Protocol, TypeAlias

    from .expecting import Expecting
    from .generators import Generators
    from .reading import Reading, Turn
    from .steps import Step

    Waiting: TypeAlias = "Generator[None, None, None]"
    Taking: TypeAlias = "Generator[None, None, bytes]"
    """It returns the bytes that a step has taken in."""

    class Taker(Protocol):
        """A player, as a step sees it."""

        @property
        def turn(self) -> Turn: ...
        @property
        def reading(self) -> Reading: ...
        @property
        def expecting(self) -> Expecting: ...
        @property
        def generators(self) -> Generators: ...
        @property
        def position(self) -> int: ...
        @property
        def name(self) -> str: ...
        def speak_tls(self, step: StartsTls) -> TlsEnd: ...
        def pause(self, what: str | Step) -> Waiting: ...
        def wait(self, seconds: float) -> Waiting: ...
        def play(self, step: Plays) -> None: ...
        def judge_on(self) -> None: ...
        def says(self, what: str) -> None: ...
        def unmet(self, what: str) -> NoReturn: ...
        def gone(self) -> str: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


def _expects_until(player: Taker, step: Expects) -> Taking:
    until, reading = step.until, player.reading
    received, end = reading.received, reading.end
    while True:
        got = reading.total - reading.begun
        if isinstance(until, bytes):
            if received.endswith(until, reading.begun):
                break
            size = reading.up_to(until)
        elif isinstance(until, int):
            if got == until:
                break
            size = until - got
        else:
            size = ALL
            if reading.at_end and not end.size and not reading.was_reset:
                break
        if not reading.pull(size):
            if reading.at_end and not end.size:
                player.unmet(f"{step}, but {player.gone()}")
            yield from player.pause(step)
    taken = reading.taken_in
    bad = called(lambda: wrong(step, taken))
    if bad:
        player.says(f"{bytes_text(excerpt(taken))}, {bad}")
    player.judge_on()
    return taken


def _expects_nothing(player: Taker, step: ExpectsNothing) -> Taking:
    clock, end = player.turn.clock, player.reading.end
    until = clock.now + nanoseconds(step.seconds)
    while clock.now < until and not end.size:
        player.turn.until = until
        yield
    if end.size:
        player.says(f"{bytes_text(excerpt(end.pending))} where it expects nothing")
    elif player.expecting.is_judging and not player.generators.stack:
        player.expecting.moves_to(player.position + 1)
    player.reading.discard()
    return b""


def _expects_eof(player: Taker, step: ExpectsEof) -> Taking:
    reading = player.reading
    if step.ragged is not None:
        _end_in_tls(player, step)
    while not reading.end.size and not reading.at_end:
        yield from player.pause("for the end of the connection")
    if reading.end.size:
        player.says(f"{bytes_text(excerpt(reading.end.pending))} where it expects the end")
    reading.discard()
    if reading.was_reset:
        player.unmet(f"expects the end, but {player.gone()}")
    if step.ragged is not None and step.ragged is _end_in_tls(player, step).notified:
        how = "by close_notify" if step.ragged else "without close_notify"
        player.unmet(f"{step}, but it has come {how}")
    return b""


def _receives(player: Taker, step: Receives) -> Taking:
    reading = player.reading
    while not reading.pull(step.size):
        if reading.at_end and not reading.end.size:
            break
        yield from player.pause("for anything")
    player.judge_on()
    return reading.taken_in


def _end_in_tls(player: Taker, step: Step) -> TlsEnd:
    """Its end of a connection, where a step is about TLS."""
    end = player.reading.end
    if not isinstance(end, TlsEnd):
        raise RuntimeError(f"{player.name} {step}, but its connection speaks no TLS: leave ragged= out")
    return end


def _shuts_down(player: Taker, step: ShutsDown) -> None:
    end = player.reading.end
    if isinstance(end, TlsEnd):
        end.notifies()
    end.finish()


def _closes(player: Taker, step: Closes) -> None:
    player.reading.discard()
    end = player.reading.end
    if step.ragged:
        _end_in_tls(player, step)
    elif isinstance(end, TlsEnd):
        end.notifies()
    end.close()


def _starts_tls(player: Taker, step: StartsTls) -> Taking:
    end = player.speak_tls(step)
    while not end.shakes_hands():
        if end.failure or end.below_ended:
            player.unmet(f"{step}, but {player.gone()}")
        yield from player.pause("for the TLS handshake")
    return b""


def _resets(player: Taker, step: Resets) -> None:
    player.reading.end.close(reset=True)


def _waits(player: Taker, step: Waits) -> Taking:
    yield from player.wait(step.seconds)
    return b""


def _reads_slowly(player: Taker, step: ReadsSlowly) -> None:
    player.reading.pace = (step.size, nanoseconds(step.every))


def _does(player: Taker, step: Does) -> None:
    called(step.function)


def _plays(player: Taker, step: Plays) -> None:
    player.play(step)


class Meaning(NamedTuple):
    """What a step does, and what it says of what the server sends when it is the next one."""

    hears: Hears
    take: Callable[[Taker, Any], Taking | None] | None  # Any: a step of its class
    """Takes it; what may have to wait does that as a generator. None: the player does itself."""


# Most steps are `Sends`, and `Expects` of bytes alone. Those the player takes without a generator of their own.
MEANINGS: Final[Mapping[type[Step], Meaning]] = {
    Sends: Meaning(Hears.PASSES, None),
    Expects: Meaning(Hears.COMPARES, _expects_until),
    ExpectsNothing: Meaning(Hears.FORBIDS, _expects_nothing),
    ExpectsEof: Meaning(Hears.FORBIDS, _expects_eof),
    Receives: Meaning(Hears.WAITS, _receives),
    ShutsDown: Meaning(Hears.PASSES, _shuts_down),
    Closes: Meaning(Hears.WAITS, _closes),
    Resets: Meaning(Hears.WAITS, _resets),
    Waits: Meaning(Hears.PASSES, _waits),
    ReadsSlowly: Meaning(Hears.PASSES, _reads_slowly),
    Does: Meaning(Hears.PASSES, _does),
    Plays: Meaning(Hears.WAITS, _plays),
    StartsTls: Meaning(Hears.WAITS, _starts_tls),
}

HEARS: Final = {step: meaning.hears for step, meaning in MEANINGS.items()}

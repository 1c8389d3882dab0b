"""`Peer`: what a test says of one client or backend, and sees of it.

Owns the words of a script: each method makes a step, and appends it to the script that a player
plays. Knows the steps and the player, and nothing of how a step is taken.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from .player import check_side
from .steps import (
    STEPS,
    Closes,
    Does,
    Expects,
    ExpectsEof,
    ExpectsNothing,
    Plays,
    ReadsSlowly,
    Resets,
    Sends,
    ShutsDown,
    StartsTls,
    Waits,
    own,
    require_kind,
)

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Generator
    from ssl import SSLContext

    from typing_extensions import Buffer, Self

    from .player import Player
    from .steps import Step

__tracebackhide__ = True  # pytest: end tracebacks at the test's own line

_CLOSES: Final = Closes()  # one for all: nearly every script has it


class Peer:
    """What one client or backend does, in order; each method appends a step, and returns the peer."""

    def __init__(self, player: Player) -> None:
        self.name: Final = player.name
        """What errors and the trace call it."""
        self._player = player
        self._holdings = player.around.holdings
        self._never = bool(player.endpoint.unreachable)  # connected
        self._steps = player.script.steps
        self._places = player.script.places

    @property
    def is_backend(self) -> bool:
        """Whether the program connects to it, and not it to the program."""
        return self._player.is_backend

    @property
    def received(self) -> bytes:
        """All that it has read so far of what the server sent it."""
        return self._player.received

    def __repr__(self) -> str:
        return f"<peer {self.name!r}, at {self._player.script.progress(self._player.position)}>"

    def sends(self, data: Buffer) -> Self:
        """Send bytes. A `recv()` returns the bytes of one `sends` at most; a long one may come in parts."""
        if type(data) is not bytes:
            given: Any = data  # Any: whatever the test gave
            require_kind("data", given, (bytes, bytearray, memoryview), "bytes")
            data = bytes(data)
        frame = sys._getframe(1)  # the only way to a frame that costs nothing
        self._steps.append(Sends(data))
        self._places += frame.f_code, frame.f_lasti
        if self._holdings.under_way or self._never:
            self._player.grown()
        return self

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
        step = Expects(what, until)
        frame = sys._getframe(1)
        self._steps.append(step)
        self._places += frame.f_code, frame.f_lasti
        if self._holdings.under_way or self._never:
            self._player.grown()
        return self

    def expects_nothing(self, seconds: float = 1.0) -> Self:
        """For so many seconds of virtual time, nothing comes."""
        return self._append(ExpectsNothing(seconds))

    def expects_eof(self, *, ragged: bool | None = None) -> Self:
        """Wait for the server to close or to shut down writing; nothing comes before.

        ragged: of TLS, whether that must come without (True) or with (False) close_notify; None: either will do.
        """
        return self._append(ExpectsEof(ragged))

    def shuts_down(self) -> Self:
        """End the sending (half-close): the server reads b"", and can still answer."""
        return self._append(ShutsDown())

    def closes(self, *, ragged: bool = False) -> Self:
        """Close. What the server has sent and nobody expected is discarded. ragged: of TLS, without close_notify."""
        return self._append(Closes(ragged) if ragged else _CLOSES)

    def resets(self) -> Self:
        """Reset the connection: the server gets ECONNRESET."""
        return self._append(Resets())

    def starts_tls(self, context: SSLContext, *, server_hostname: str | None = None) -> Self:
        """Make a TLS handshake, as the client (a backend: as the server). From then on its steps are in plain text.

        server_hostname: the name that a client asks for; None: the host of its `to=`, or "localhost".
        """
        step = StartsTls(context, server_hostname)
        check_side(step, self._player.endpoint)
        return self._append(step)

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
        frame = sys._getframe(2)
        self._steps.append(step)
        self._places += frame.f_code, frame.f_lasti
        if self._holdings.under_way or self._never:
            self._player.grown()
        return self


def checked_steps(steps: Sequence[Step]) -> Sequence[Step]:
    """Steps as a test gives them in a list; TypeError unless they are."""
    adds = isinstance(steps, Peer)
    hint = ": a peer's steps are added by its methods; steps= takes a list of plain ones" if adds else ""
    require_kind("steps", steps, (tuple, list, Sequence), "a sequence of steps, as [Sends(b'hi'), Closes()]", hint)
    for step in steps:
        require_kind("steps", step, STEPS, "steps, as Sends(b'hi') or Closes()")
    return [own(step) for step in steps]

"""A peer's end of a connection that speaks TLS: its script is in plain text, and OpenSSL is in between.

Owns the handshake of a peer, what it encrypts and decrypts, and how the end of a TLS connection is said and heard.
Knows its end of the connection below, whatever network that is of, and nothing of scripts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from .._kernel.streams import Stream
from .._kernel.tls import RECORD, Records, Veil
from .._text import bytes_text, excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ssl import SSLContext

    from .._kernel.streams import FarEnd, Watcher
    from .reading import Beyond, End

_WHERE: Final = re.compile(r" \(_ssl\.c:\d+\)$")
"""What ends a text of OpenSSL's, and differs from one Python to the next."""


class TlsEnd:
    """An end of a connection, of which the other end is spoken to in TLS: as `Stream`, in plain text.

    Its attributes are many: those of an end, and what there is between that and OpenSSL.
    """

    def __init__(self, raw: End, context: SSLContext, server_hostname: str | None, *, server_side: bool) -> None:
        import ssl  # here: who has a context has paid for it

        self.other: Final[Beyond] = raw.other
        self.closed: bool = False
        self.mute: bool = False
        self.notified: bool = False
        """The other end has said that it ends: that is no ragged one."""
        self.failure: str = ""
        self._ssl = ssl
        self._raw: Final = raw
        self._incoming: Final = ssl.MemoryBIO()
        self._outgoing: Final = ssl.MemoryBIO()
        self._tls: Final = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self._records: Final = Records()
        self._plain: bytes = b""
        self._at = 0  # how much of it was taken
        self._out = b""  # what was encrypted, and had no room yet
        self._begun = 0  # how many bytes of plain text are in that
        self._greeted = False  # whether the handshake is done
        self._first = b""  # what has come first
        self._veil: Veil | None = None
        if isinstance(raw, Stream):
            self._veil = raw.veil = Veil(raw, lambda: len(self._plain) - self._at, bytes)

    def attach(self, peer: FarEnd, watcher: Watcher) -> None:
        """The end below has its peer already."""

    # -- the handshake --------------------------------------------------------------------------

    def shakes_hands(self) -> bool:
        """Go on with the handshake; whether it is done."""
        while not (self._greeted or self.failure):
            try:
                self._tls.do_handshake()
                self._greeted = True
            except self._ssl.SSLWantReadError:
                self._flush()
                if not self._feed():
                    break
            except self._ssl.SSLError as error:
                self._fails(error)
        self._flush()
        return self._greeted

    @property
    def below_ended(self) -> bool:
        """Whether nothing more comes by the connection below."""
        raw = self._raw
        return not raw.size and (raw.ended or raw.dead)

    def _fails(self, error: Exception) -> None:
        text = _WHERE.sub("", str(error.args[-1]))
        if getattr(error, "reason", "") == "WRONG_VERSION_NUMBER" and not self._greeted:
            text += f", as what came is {bytes_text(excerpt(self._first + self._raw.pending))}"
        self.failure = text
        self._flush()

    # -- what is below --------------------------------------------------------------------------

    def _feed(self) -> bool:
        """Give OpenSSL what it would read now; False: nothing is there."""
        raw = self._raw
        size = min(self._records.wants(), raw.size)
        if not size:
            return False
        data = raw.take(size)
        if self._veil is not None:
            self._veil.reads(len(data))
        if len(self._first) < size:
            self._first = (self._first + data)[:5]
        self._records.took(data)
        self._incoming.write(data)
        return True

    def _flush(self, plain: int = 0) -> bool:
        """Send what was encrypted, of which so much is plain text; whether there was room for all of it."""
        more = self._outgoing.read()
        if more:
            self._raw.adds_record(len(more), plain)
            self._out += more
        if self._out:
            raw = self._raw
            if raw.dead or raw.mute or raw.closed:
                self._out = b""
            else:
                self._out = self._out[raw.offer(self._out, 0, len(self._out)) :]
        return not self._out

    def _pump(self) -> None:
        """Decrypt the next record that has come, if all before it was taken."""
        self._flush()
        while self._at == len(self._plain) and not (self.notified or self.failure or self.closed):
            try:
                plain: Any = self._tls.read(RECORD)  # Any: not all stubs say that it is bytes
                self._plain, self._at = plain, 0
                self.notified = not self._plain
            except self._ssl.SSLWantReadError:
                if not self._feed():
                    break
            except self._ssl.SSLZeroReturnError:  # it had ended before as well
                self.notified = True
            except self._ssl.SSLError as error:
                self._fails(error)
        self._flush()

    # -- as a `Stream` --------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many bytes of plain text are there; at most those of one record."""
        if self._at == len(self._plain):
            self._pump()
        return len(self._plain) - self._at

    @property
    def ended(self) -> bool:
        """Whether the end has come, in good order or not, and all before it was decrypted."""
        self._pump()
        raw = self._raw
        return self.notified or ((raw.ended or self._was_left_in_good_order()) and not raw.size)

    def _was_left_in_good_order(self) -> bool:
        """Whether it was reset for what its handshake has sent, and nobody reads, alone (RFC 8446, 4.6.1)."""
        other = self.other
        veil = other.veil if isinstance(other, Stream) else None
        return self._raw.dead and veil is not None and other.closed and not veil.left()

    @property
    def dead(self) -> bool:
        """Whether it was reset, or TLS has failed."""
        return self._raw.dead or bool(self.failure)

    @property
    def pending(self) -> bytes:
        """What was decrypted and not taken."""
        return self.peek(self.size)

    def pieces(self) -> Iterator[tuple[bytes, int]]:
        """The same."""
        yield self._plain, self._at

    @property
    def all_here(self) -> bool:
        """Whether nothing but that was sent."""
        veil = self._veil
        return veil is not None and veil.size == len(self._plain) - self._at

    def peek(self, size: int) -> bytes:
        """At most `size` bytes."""
        return self._plain[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """What `peek()` shows, which is then read."""
        data = self.peek(size)
        self._at += len(data)
        return data

    def adds_record(self, length: int, plain: int) -> None:
        """Of TLS in TLS, nothing is known."""

    def offer(self, data: bytes, start: int, size: int) -> int:
        """Send, record by record, what there is room for; how many bytes are in those that were sent."""
        taken = 0
        if self._begun:
            if not self._flush():
                return 0
            taken, self._begun = self._begun, 0
        while taken < size and not self.dead:
            part = data[start + taken : start + min(taken + RECORD, size)]
            try:
                self._tls.write(part)
            except self._ssl.SSLError as error:
                self._fails(error)
                break
            if not self._flush(len(part)):
                self._begun = len(part)
                break
            taken += len(part)
        return taken

    def notifies(self) -> None:
        """Say that it ends (close_notify)."""
        raw = self._raw
        if self._greeted and not (self.failure or self.mute or self.closed or raw.dead or raw.other.closed):
            self._pump()
            try:
                self._tls.unwrap()
            except self._ssl.SSLError:
                pass  # it is said; that the other end says so, too, nobody waits for
            self._flush()

    def finish(self) -> None:
        """Send no more."""
        self.mute = True
        self._raw.finish()

    def close(self, *, reset: bool = False) -> None:
        """Close this end."""
        self.closed = True
        self._raw.close(reset=reset)

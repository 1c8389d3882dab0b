"""TLS on a socket of a scenario: a `ssl.SSLSocket`, in which OpenSSL speaks to memory instead of a descriptor.

Owns how the two are put together, whatever network is below. The standard library's own text of `SSLSocket` is kept, of
whatever version: it stands over a socket of ours, to which its every `super()` leads, and what it takes for OpenSSL's
object is a `Tunnel`. Nobody here imports `ssl` before a program has done so. (A `ssl.SSLObject`, by which asyncio
speaks TLS, has no socket: it is OpenSSL's own, and nothing of it is replaced.)
"""

from __future__ import annotations

import sys
from functools import cache
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from ._buffers import Given, excerpt_of
from ._judge.records import note_sender
from ._judge.trace import caller
from ._kernel.tls import RECORD, Records
from ._text import BYTES_SHOWN, excerpt

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, Protocol, TypeVar

    from typing_extensions import Buffer

    from ._judge.records import Record
    from ._judge.rules import Operation
    from ._play.spinning import Spinning
    from ._text import Kept

    T = TypeVar("T")

    class Ground(Protocol):
        """What a tunnel has of the world around its socket."""

        @property
        def spinning(self) -> Spinning: ...

    class Below(Protocol):
        """What a tunnel has of the socket below it: what it reads and sends there is ciphertext."""

        suppress_ragged_eofs: bool

        @property
        def _record(self) -> Record: ...
        @property
        def _world(self) -> Ground: ...
        @property
        def _session(self) -> Any: ...  # Any: of `ssl`
        def gettimeout(self) -> float | None: ...
        def _do(self, operation: Operation, detail: object = None) -> None:
            """Take a step."""
            ...

        def _fails(self, operation: Operation, number: int, error: OSError | None = None) -> NoReturn:
            """A step fails by this."""
            ...

        def _tls_begins(self, operation: str) -> None:
            """A call of TLS begins, and its time."""
            ...

        def _tls_recv(self, size: int) -> bytes | None:
            """Read; None: nothing is there."""
            ...

        def _tls_adds(self, length: int, plain: int) -> None:
            """A record is about to be sent, in which so much is plain text."""
            ...

        def _tls_has_room(self, size: int) -> bool:
            """Whether so much can be sent at once."""
            ...

        def _tls_send(self, data: bytes) -> int:
            """Send; how much there was room for."""
            ...

        def _tls_judge(self, data: bytes) -> None:
            """Hold plain text that is to be sent against what the peer expects."""
            ...

        def _tls_wait(self, call: str, event: int, error: OSError) -> None:
            """Wait for bytes, or for room; `error` is raised by a socket that does not wait."""
            ...

        def _tls_fails(self, call: str, error: OSError) -> NoReturn:
            """A call of TLS fails by this."""
            ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_TELLS_RESETS: Final = sys.version_info >= (3, 12, 3) or (3, 11, 9) <= sys.version_info < (3, 12)
"""Whether `ssl` tells of a reset as such, and not as an end that is none, when it reads and writes (gh-115627)."""

TIMES_OUT: Final = {
    "do_handshake": "_ssl.c: The handshake operation timed out",
    EVENT_READ: "The read operation timed out",
    EVENT_WRITE: "The write operation timed out",
}


class Tunnel:
    """What a `SSLSocket` takes for OpenSSL's own object: that is in it, and reads and writes by the socket below.

    It reads and writes as OpenSSL does of a descriptor: record by record, never ahead, one deadline for a whole call.
    """

    def __init__(self, sock: Below, made: Any) -> None:  # Any: of `_ssl`, which has no public name
        import ssl

        self._ssl: Final[Any] = ssl  # Any: a module
        self._sock: Final = ref(sock)
        self._incoming: Final = ssl.MemoryBIO()
        self._outgoing: Final = ssl.MemoryBIO()
        make: Any = made.context  # Any: as the public `wrap_bio()`, but callbacks get the socket
        self._openssl: Final[Any] = make._wrap_bio(
            self._incoming, self._outgoing, server_side=made.server_side, server_hostname=made.server_hostname,
            owner=sock, session=sock._session,
        )  # fmt: skip
        self._records: Final = Records()
        self._at_end = False  # whether OpenSSL was told that nothing more comes
        self._out = b""  # ciphertext for which there was no room
        self._written = 0  # how much of what write() was given is out ...
        self._encrypted = 0  # ... and how much in the record that is not yet
        self.is_over = False
        """Both ends have said that nothing more comes."""
        self._left: bytes | None = None  # what nobody has read, once that was asked

    def __getattr__(self, name: str) -> Any:  # Any: whatever OpenSSL's object has
        return getattr(self._openssl, name)

    @property
    def context(self) -> Any:
        """Whose certificates it shows; a callback for server names may change it."""
        return self._openssl.context

    @context.setter
    def context(self, context: Any) -> None:
        self._openssl.context = context

    @property
    def session(self) -> Any:
        """To be resumed by a later connection."""
        return self._openssl.session

    @session.setter
    def session(self, session: Any) -> None:
        self._openssl.session = session

    # -- the calls ------------------------------------------------------------------------------

    def do_handshake(self) -> None:
        """Shake hands."""
        sock = self._used("do_handshake")
        try:
            self._attempt(sock, "do_handshake", self._openssl.do_handshake)
        except OSError as error:
            sock._tls_fails("do_handshake", error)
        sock._record.monitor.decided("do_handshake", sock._record.name)

    def shutdown(self) -> Any:
        """Say that nothing more comes, and wait for the other end to say so."""
        sock = self._used("unwrap")
        try:
            self._attempt(sock, "unwrap", self._openssl.shutdown)
        except OSError as error:
            sock._tls_fails("unwrap", error)
        sock._record.monitor.decided("unwrap", sock._record.name)
        self.is_over = True
        return sock

    def read(self, size: int, buffer: Buffer | None = None) -> Any:
        """Read, into a buffer if there is one."""
        sock = self._used("recv")
        read = self._openssl.read
        try:
            if buffer is None:
                came = self._attempt(sock, "recv", lambda: read(size))
            else:
                came = self._attempt(sock, "recv", lambda: read(size, buffer))
        except OSError as error:
            self._read_fails(sock, error)
        if came:
            sock._do("recv", excerpt(came) if buffer is None else _excerpt_in(buffer, came))
        elif size and (buffer is None or memoryview(buffer).nbytes):
            sock._do("recv:eof", b"")
        return came

    def _read_fails(self, sock: Below, error: OSError) -> NoReturn:
        if isinstance(error, self._ssl.SSLEOFError):
            if not sock.suppress_ragged_eofs:
                sock._fails("recv:eof", 0, error)
            sock._do("recv:eof", b"")
            raise error
        sock._tls_fails("recv", error)

    def write(self, data: Buffer) -> int:
        """Send all of it, or as much as there is room for: then the same must be given again."""
        sock = self._used("send")
        note_sender(sock._record, caller(1))
        with Given(data) as given:
            try:
                return self._write(sock, given)
            except OSError as error:
                if isinstance(error, self._ssl.SSLWantWriteError):
                    monitor = sock._record.monitor
                    monitor.decided("send", sock._record.name, type(error))
                    monitor.sent(sock._record, given, 0)
                    raise
                sock._record.tried_on = True  # by this exception
                if not isinstance(error, TimeoutError):
                    self._written = self._encrypted = 0
                sock._tls_fails("send", error)

    def _write(self, sock: Below, data: Given) -> int:
        whole = len(data)
        if self._out and whole < self._written + self._encrypted:
            if sock.gettimeout():  # who has a timeout waits for room before OpenSSL is asked
                sock._tls_wait("send", EVENT_WRITE, self._wants_write())
            raise self._error("SSLError", 1, "BAD_LENGTH", "[SSL: BAD_LENGTH] bad length")
        told = False
        while True:
            if not self._out:
                self._written, self._encrypted = self._written + self._encrypted, 0
                if self._written >= whole:
                    break
                self._encrypt(sock, data[self._written : self._written + RECORD])
                told = told or self._tell(sock, data)
            if not self._sends(sock):
                sock._tls_wait("send", EVENT_WRITE, self._wants_write())
        self._written = 0
        if not told:
            sock._do("send", excerpt_of(data, whole))
        if sock._record.unsent is not None:
            sock._record.monitor.sent(sock._record, data, whole)
        return whole

    def _encrypt(self, sock: Below, part: bytes) -> None:
        before = self._outgoing.pending
        self._attempt(sock, "send", lambda: self._openssl.write(part), sends=False)
        sock._tls_judge(part)
        sock._tls_adds(self._outgoing.pending - before, len(part))
        self._encrypted = len(part)
        self._out = self._outgoing.read()

    def _tell(self, sock: Below, data: Given) -> bool:
        """A row for it now, if all of it will be sent: who waits for room, or has it."""
        if sock.gettimeout() is None or (len(data) <= RECORD and sock._tls_has_room(len(self._out))):
            sock._do("send", excerpt_of(data, len(data)))
            return True
        return False

    def _wants_write(self) -> OSError:
        return self._error("SSLWantWriteError", 3, "", "The operation did not complete (write)")

    def _error(self, kind: str, number: int, reason: str, text: str) -> OSError:
        """An error of `ssl`, as OpenSSL would come to it with a descriptor."""
        error: OSError = getattr(self._ssl, kind)(number, f"{text} (_ssl.c)")
        if reason:
            vars(error).update(library="SSL", reason=reason)
        return error

    # -- what OpenSSL wants ---------------------------------------------------------------------

    def _used(self, operation: str) -> Below:
        """A call begins; its deadline, too."""
        sock = self._sock()
        assert sock is not None, "a call holds its socket"
        sock._tls_begins(operation)
        return sock

    def _attempt(self, sock: Below, call: str, act: Callable[[], T], *, sends: bool = True) -> T:
        """What OpenSSL makes of a call, with all the reading, sending and waiting that this takes."""
        ssl = self._ssl
        while True:
            try:
                result = act()
            except ssl.SSLWantReadError as error:
                wants = error
            except OSError as error:
                self._flush_alert(sock)
                if isinstance(error, ssl.SSLSyscallError) or (self._at_end and not isinstance(error, ssl.SSLError)):
                    raise self._ragged() from None  # memory has no errors of its own: what libc remembers is another's
                raise
            else:
                if sends:
                    self._flush(sock)
                return result
            try:  # not in its `except:`, so that it is no part of what then comes up
                self._flush(sock)
                if not self._feed(sock, call):
                    sock._tls_wait(call, EVENT_READ, wants)
            finally:
                del wants  # it refers to this frame

    def _ragged(self) -> OSError:
        return self._error("SSLEOFError", 8, "", "EOF occurred in violation of protocol")

    def _feed(self, sock: Below, call: str) -> bool:
        """Give OpenSSL what it would read now; False: nothing is there."""
        try:
            data = sock._tls_recv(self._records.wants())
        except OSError as error:
            raise self._lost(call, error) from None
        if data is None:
            return False
        if data:
            self._records.took(data)
            self._incoming.write(data)
        else:
            self._at_end = True
            self._incoming.write_eof()
        return True

    def _lost(self, call: str, error: OSError) -> OSError:
        """How `ssl` tells that the connection is gone."""
        return error if _TELLS_RESETS or call == "do_handshake" else self._ragged()

    def _flush(self, sock: Below) -> None:
        """Send what OpenSSL has to say beside what it was given to write, but for in the middle of a record."""
        more = self._outgoing.read()
        if more:
            sock._tls_adds(len(more), 0)
            if self._out:
                self._out += more
            else:
                self._out = more
                self._sends(sock, "do_handshake")

    def _flush_alert(self, sock: Below) -> None:
        try:
            self._flush(sock)
        except OSError:
            pass  # it is told why already

    def _sends(self, sock: Below, call: str = "send") -> bool:
        """Send ciphertext; whether there was room for all of it."""
        try:
            self._out = self._out[sock._tls_send(self._out) :]
        except OSError as error:
            self._out = b""
            raise self._lost(call, error) from None
        return not self._out

    # -- what is left ---------------------------------------------------------------------------

    def left(self, below: bytes) -> bytes:
        """All that was not read, as plain text; OpenSSL is not to be asked any more."""
        if self._left is None:
            parts: list[bytes] = []
            try:
                self._incoming.write(below)
                while data := self._openssl.read(RECORD):
                    parts.append(data)
            except OSError:
                pass  # no more, or nothing that anybody could read
            self._left = b"".join(parts)
        return self._left


def _excerpt_in(buffer: Buffer, size: int) -> Kept:
    with Given(buffer) as given:
        start = given[: min(size, BYTES_SHOWN)]
    return start if size <= BYTES_SHOWN else (start, size, size)


class Front:
    """What stands before `SSLSocket`: what it has of OpenSSL is a tunnel, and what it does by itself leaves no rows."""

    _inner: bool
    """Whether it is `ssl` itself that calls."""
    _tunnel: Tunnel | None

    @property
    def _sslobj(self) -> Tunnel | None:
        return self._tunnel

    @_sslobj.setter
    def _sslobj(self, made: Any) -> None:  # Any: of `_ssl`
        below: Any = self  # Any: `Below`, which comes behind
        before, self._tunnel = self._tunnel, None if made is None else Tunnel(below, made)
        if before is None or self._tunnel is not None or before.is_over:
            below._tls_covers(self._tunnel)
        else:
            below._tls_breaks_off()

    def do_handshake(self, block: bool = False) -> None:
        real: Any = super()  # Any: `SSLSocket`
        before, self._inner = self._inner, True
        try:
            real.do_handshake(block)
        finally:
            self._inner = before


class Handing:
    """What stands for a socket while it becomes one of TLS: it hands over what it has."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.family: int = sock.family
        self.type: int = sock.type
        self.proto: int = sock.proto

    def getsockopt(self, level: int, optname: int) -> int:
        """SO_TYPE is asked."""
        if self._sock.fileno() < 0:
            self._sock.getsockopt(level, optname)  # which fails
        return int(self.type)

    def gettimeout(self) -> float | None:
        timeout: float | None = self._sock.gettimeout()
        return timeout

    def fileno(self) -> Any:
        """In the place of its number: the socket itself, for `OverSimulated`."""
        return self._sock

    def detach(self) -> None:
        """The socket has gone, and has left another one in its place."""
        self._sock._hands_over()


def made(create: Callable[..., Any], kind: type, below: type, sock: Any, args: Any, kwargs: Any) -> Any:
    """What `SSLSocket` makes of a socket, by its own `create`, over a class that is below it."""
    over = create(_kind_of(kind, below), Handing(sock), *args, **kwargs)
    over._inner = False
    return over


@cache
def _kind_of(kind: type, below: type) -> Any:  # Any: a class of both kinds
    """The class of a TLS socket of a scenario: of this kind of `SSLSocket`."""
    return type(kind.__name__, (Front, kind, below), {"__module__": kind.__module__})

"""TLS on a simulated socket: what a tunnel reads and sends there, and how it waits.

Owns `OverSimulated`, what is below `ssl.SSLSocket` in a scenario: what `ssl` does by itself leaves no rows, and what is
told, judged and counted is plain text.
"""

# A socket of ours has plain attributes where the real one has properties.
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

import sys
from errno import ECONNRESET, ENOTCONN, EPIPE
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any, Final

from .._judge.errors import Finding
from .._judge.rules import Breach
from .._judge.trace import outwards
from .._kernel.tls import Veil
from .._play.clock import nanoseconds
from .._system import os_error
from .._threads.used_by_two import alone_in
from .._tls import TIMES_OUT
from .sockets import SimSocket

if TYPE_CHECKING:
    from typing import NoReturn

    from typing_extensions import Buffer

    from .._judge.rules import Operation
    from .._judge.trace import Nanoseconds
    from .._system import Address
    from .._tls import Tunnel

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_ACCEPT: Final = ("ssl", "accept")


class OverSimulated(SimSocket):
    """A simulated socket below `SSLSocket`."""

    _inner: bool
    _tunnel: Tunnel | None
    _until: Nanoseconds | None
    """When a call of TLS is to be given up."""
    _session: Any  # Any: these are `SSLSocket`'s own
    _context: Any
    suppress_ragged_eofs: bool

    def __init__(self, family: int, type: int, proto: int, fileno: SimSocket) -> None:  # noqa: A002  (their names)
        self._inner, self._tunnel, self._until = True, None, None
        super().__init__(fileno._world, fileno._descriptor, fileno._record, proto)
        self._timeout = fileno._timeout
        self._serial = fileno._serial

    def __repr__(self) -> str:
        return f"<ssl.{super().__repr__().partition('.')[2]}".replace("socket", type(self).__name__, 1)

    # -- what `ssl` does by itself ---------------------------------------------------------------

    def getpeername(self) -> Address:
        if not self._inner:
            return super().getpeername()
        stream = self._descriptor.stream
        if stream is None or stream.over:
            raise os_error(ENOTCONN)
        return stream.remote

    def _set_timeout(self, method: str, value: float | bool | None) -> None:
        if not self._inner or self._gone():
            super()._set_timeout(method, value)
        elif method == "settimeout":
            self._timeout = value
        else:
            self._timeout = None if value else 0.0

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        if not self._inner:
            return super().recv(bufsize, flags)
        stream = self._descriptor.stream  # whether there is something, of who is not connected
        if stream is not None and stream.chunks:
            return stream.take(bufsize)
        error = self._descriptor.refuses_to_read()
        if error:
            raise os_error(error)
        return b""

    # -- files, and the end ------------------------------------------------------------------------

    def _recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        if self._tunnel is None:
            return super()._recv_into(buffer, nbytes, flags)
        over: Any = self  # Any: a `SSLSocket`, too
        size: int = over.recv_into(buffer)
        return size

    def _push(self, data: Any, taken: int | None = None, flags: int = 0) -> int:
        return super()._push(data, taken, flags) if self._tunnel is None else self._tunnel.write(data)

    def _close(self) -> None:
        if self._io_refs <= 0:
            stream = self._descriptor.stream
            if self._tunnel is not None and stream is not None and not (self._gone() or self._record.monitor.finished):
                self._tunnel.left(stream.pending)
            self._tunnel = None
        super()._close()

    # -- what a tunnel needs of a socket -----------------------------------------------------------

    def _tls_covers(self, tunnel: Tunnel | None) -> None:
        """From now on what comes is read by a tunnel; None: no more."""
        stream = self._descriptor.stream
        if stream is None:
            return
        if stream.veil is not None:
            stream.veil.drop()
            stream.veil = None
        if tunnel is not None:
            self._record.seal(sealed=False)
            stream.veil = Veil(stream, tunnel.pending, lambda: tunnel.left(stream.pending))

    def _tls_breaks_off(self) -> None:
        """Nobody reads TLS any more, though it goes on: what still comes is no plain text."""
        stream = self._descriptor.stream
        if stream is not None and stream.veil is not None:
            stream.veil.drop()
            self._record.seal()

    def _tls_begins(self, operation: str) -> None:
        stream = self._descriptor.stream
        if stream is not None and stream.veil is None:
            self._tls_covers(self._tunnel)  # it has been connected since
        self._check_open("send" if operation == "send" else "recv")
        self._until = self._world.clock.now + nanoseconds(self._timeout) if self._timeout else None

    def _tls_recv(self, size: int) -> bytes | None:
        """Read ciphertext; None: nothing is there."""
        descriptor = self._descriptor
        stream = descriptor.stream
        if stream is None:
            raise os_error(descriptor.refuses_to_read() or ENOTCONN)
        if stream.chunks:
            data = stream.joined(size)
            stream.drop(len(data))
            if stream.veil is not None:
                stream.veil.reads(len(data))
            self._world.spinning.progress += 1
            return data
        if not stream.hears_nothing:
            return None
        error = stream.refuses_to_read()
        if error:
            raise os_error(error)
        return b""

    def _tls_adds(self, length: int, plain: int) -> None:
        stream = self._descriptor.stream
        if stream is not None:
            stream.adds_record(length, plain)

    def _tls_has_room(self, size: int) -> bool:
        stream = self._descriptor.stream
        return stream is not None and stream.room >= size

    def _tls_send(self, data: bytes) -> int:
        """Send ciphertext; how much there was room for."""
        descriptor = self._descriptor
        error = descriptor.refuses_to_send()
        if error:
            raise os_error(error)
        stream = descriptor.stream
        assert stream is not None, "else it is refused"
        part = data[: stream.room]
        self._put(stream, part)
        return len(part)

    def _tls_judge(self, data: bytes) -> None:
        stream = self._descriptor.stream
        peer = self._world.peer_of(stream) if stream is not None else None
        if stream is not None and peer is not None and not stream.other.closed:
            wrong = peer.expecting.judge_plain(data)
            if wrong is not None:
                self._sent_wrongly(stream, wrong, data)

    def _tls_wait(self, call: str, event: int, error: OSError) -> None:
        """Wait for bytes, or for room; `error` is raised if the socket does not."""
        world, descriptor, timeout = self._world, self._descriptor, self._timeout
        if timeout == 0:
            world.spinning.looks()
            raise error
        world.check_running(None)
        begun = world.clock.now

        def done() -> bool:
            stream = descriptor.stream
            if around is not None:
                around.look(world.clock.now)
            if stream is None:
                return True
            return stream.readable if event == EVENT_READ else stream.room > 0 or stream.says_nothing

        own = () if world.crew is None else world.crew.selects()
        around = world.outcome.look_around(descriptor, own) if timeout is None else None
        kind = "recv" if event == EVENT_READ else "send"
        never = (lambda: self._tls_blocks(call, kind)) if timeout is None else None
        wait = (done, self._until, (call, self._record.name), never)
        if world.threads is not None and world.monitor.pedantic and call in ("recv", "send"):
            found = alone_in(
                world.threads, self._record, "recv" if call == "recv" else "send", lambda: world.until(*wait)
            )
        else:
            found = world.until(*wait)
        if not found:
            raise TimeoutError(TIMES_OUT.get(call) or TIMES_OUT[event])
        took = world.clock.now - begun
        if took and timeout is None:
            if kind == "recv":
                world.outcome.waited(self._record, "recv:waits", "blocking-read", took, around, _about(call))
            else:
                world.outcome.waited(self._record, "send:waits", "blocking-send", took, around, _about(call))

    def _tls_blocks(self, call: str, kind: str) -> None:
        """What it waits for will never come."""
        record = self._record
        operation: Operation = "recv:blocks" if kind == "recv" else "send:blocks"
        if call == kind:
            self._do(operation)
            return
        cell = record.moves[operation]
        if isinstance(cell, Breach) and record.monitor.in_force(cell.rule, record):
            record.monitor.breach(Finding(cell.rule, record.name, note=_about(call)), f"{call}:blocks", record.name)

    def _tls_fails(self, call: str, error: OSError) -> NoReturn:
        """A call of TLS fails by this."""
        record = self._record
        if error.errno in (ECONNRESET, EPIPE) and call in ("recv", "send"):
            self._fails("recv:reset" if call == "recv" else "send:reset", error.errno, error)
        record.monitor.refused(call, record, error)
        raise error


def _about(call: str) -> str:
    """What is to be said of a handshake, or its end, that waits."""
    if call != "do_handshake":
        return ""
    if any((frame.f_globals.get("__name__"), frame.f_code.co_name) == _ACCEPT for frame in outwards(sys._getframe())):
        return (
            "That was the handshake in accept(): a wrapped listener makes it there, with whoever comes, and serves"
            " nobody else meanwhile. Wrap the listener with do_handshake_on_connect=False, and call do_handshake()"
            " where the connection is handled, with a timeout; or wrap what accept() of a plain listener returns."
        )
    return "That was the TLS handshake, which wrap_socket() makes unless do_handshake_on_connect=False."

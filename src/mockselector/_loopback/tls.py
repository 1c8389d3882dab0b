"""TLS on a real socket over the loopback: what a tunnel reads and sends there, and how it waits.

Owns `OverLoopback`, what is below `ssl.SSLSocket` there: a socket that never waits by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._play.clock import nanoseconds
from .._play.player import Player
from .._tls import TIMES_OUT
from .sockets import READY, LoopbackSocket
from .wire import Raw, polled

if TYPE_CHECKING:
    from typing import NoReturn

    from .._judge.rules import Operation
    from .._judge.trace import Nanoseconds
    from .._tls import Tunnel

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class OverLoopback(LoopbackSocket):
    """A real socket below `SSLSocket`."""

    _inner: bool
    _tunnel: Tunnel | None
    _until: Nanoseconds | None
    """When a call of TLS is to be given up."""
    _session: Any  # Any: these are `SSLSocket`'s own
    suppress_ragged_eofs: bool

    def __init__(self, family: int, type: int, proto: int, fileno: LoopbackSocket) -> None:  # noqa: A002  (their names)
        self._inner, self._tunnel, self._until = True, None, None
        super().__init__(fileno._stack, fileno._descriptor, fileno._record, proto, fileno.far)
        self._patience = fileno._patience
        self.target = fileno.target

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        return Raw.recv(self, bufsize, flags) if self._inner else super().recv(bufsize, flags)

    def _do(self, operation: Operation, detail: object = None) -> None:
        self._record.monitor.decided(operation, self._record.name, detail)

    def _fails(self, operation: Operation, number: int, error: OSError | None = None) -> NoReturn:
        assert error is not None
        self._tls_fails(operation.partition(":")[0], error)

    # -- what a tunnel needs of a socket -----------------------------------------------------------

    def _tls_covers(self, tunnel: Tunnel | None) -> None:
        """What is in the kernel's buffers, the kernel counts."""

    def _tls_breaks_off(self) -> None:
        """Likewise."""

    def _tls_begins(self, operation: str) -> None:
        self._until = self._world.clock.now + nanoseconds(self._patience) if self._patience else None

    def _tls_recv(self, size: int) -> bytes | None:
        try:
            data = Raw.recv(self, size)
        except BlockingIOError:
            return None
        self.far.read += len(data)
        self._world.spinning.progress += bool(data)
        return data

    def _tls_adds(self, length: int, plain: int) -> None:
        """Likewise."""

    def _tls_has_room(self, size: int) -> bool:
        return False

    def _tls_send(self, data: bytes) -> int:
        try:
            sent = Raw.send(self, data)
        except BlockingIOError:
            return 0
        self.far.sent += sent
        self._world.spinning.progress += bool(sent)
        return sent

    def _tls_judge(self, data: bytes) -> None:
        peer = self.far.peer
        wrong = peer.expecting.judge_plain(data) if isinstance(peer, Player) else None
        if wrong is not None and isinstance(peer, Player):
            self._world.sent_wrongly(self._record, peer, wrong, data)

    def _tls_wait(self, call: str, event: int, error: OSError) -> None:
        world, number, ready = self._world, self.fileno(), READY[event]
        if self._patience == 0:
            world.spinning.looks()
            raise error
        world.check_running(None)
        if not world.until(lambda: bool(polled(number) & ready), self._until, (call, self._record.name)):
            raise TimeoutError(TIMES_OUT.get(call) or TIMES_OUT[event])

    def _tls_fails(self, call: str, error: OSError) -> NoReturn:
        self._record.monitor.refused(call, self._record, error)
        raise error

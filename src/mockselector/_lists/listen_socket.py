"""`ListenSocket`: a listener, whose clients come from a script.

Owns that script: who is accepted next, and who never was.
"""

# A recorded method is an attribute with a `__call__` that takes what the method takes. mypy sees that
# this overrides the method; pyright never takes an attribute for a method, whatever its type.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import os
import socket as _socket  # tests patch `socket.socket`: what is needed of it is bound now
from errno import EBADF, EINVAL, ENOTCONN, EPIPE
from itertools import chain
from socket import socket as real_socket

from .._buffers import Given
from .._text import value_text
from .mock_socket import MockSocket
from .mocks import (
    is_mock,
)
from .scripted import Scripted, resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from typing import Any, Final

    from typing_extensions import Buffer

    from .._judge.records import Record
    from .._judge.rules import Operation, Phase, RuleId
    from .._system import Address
    from .items import ClientItem


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_END: Final = object()
_ACCEPT_NOTHING: Final[tuple[Operation, ...]] = ("accept:again", "accept:timeout", "accept:blocks")
_PHASES: Final[tuple[Phase, ...]] = ("new", "bound", "listening", "closed")
"""The phase for each `ListenSocket.state`."""

LISTENS: Final = 2
"""The first of these states in which it has listened."""


class ListenSocket(Scripted):
    """A listening socket, whose backlog is scripted.

    accepted: what `accept()` returns, in order: sockets; callables that return one, called when
    it is accepted (`Mock`s are taken for sockets); exceptions, raised. After the last, `accept()`
    returns fresh `MockSocket`s; in a strict run, nobody is waiting any more.
    name: how error texts and traces call it; else "listener".
    allow: ids of rules that are not judged for it.

    `bind`, `listen`, `accept`, ..., `close` must come in that order: OSError otherwise. (In a
    strict run as the kernel has it: `listen()` alone is enough.)
    """

    __slots__ = ("_handed_out", "accepted", "address", "current", "remote_port", "state")

    def __init__(
        self, accepted: Iterable[ClientItem] | None = None, *, name: str | None = None, allow: Collection[RuleId] = ()
    ) -> None:
        super().__init__(name, allow)
        self._handed_out: list[object] = []  # what the test let `accept()` return itself
        self.accepted: Iterator[ClientItem] = iter(() if accepted is None else accepted)
        """The clients still to come. May be set."""
        self.current: int = 0
        """How many clients were accepted."""
        self.state: int = 0
        """0 new, 1 bound, 2 listening, 3 closed. May be set."""
        self.address: str = "localhost"
        """The host from which all clients come. May be set."""
        self.remote_port: int = 57000
        """The port from which the last client came; the next one's is higher by one. May be set."""

    _role = "listener"

    def _phase(self) -> Phase:
        return _PHASES[self.state]

    def _order(self, *states: int) -> None:
        if self._record is None and self.state not in states:
            number = EBADF if self.state == 3 else EINVAL
            raise OSError(number, os.strerror(number))

    def _bind(self, address: Address) -> None:
        self._order(0, 1)
        super()._bind(address)
        self.state = 1

    def _listen(self, backlog: int) -> None:
        self._order(1)
        super()._listen(backlog)
        self.state = 2

    def _close(self) -> None:
        super()._close()
        self.state = 3

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Refused: a listener is not connected."""
        return self._read(size, flags)

    def _read(self, size: int, flags: int) -> bytes:
        self._do("recv")
        raise OSError(ENOTCONN, os.strerror(ENOTCONN))

    def _push(self, data: Buffer | Given, taken: int | None = None, flags: int = 0) -> int:
        self._do("send")
        raise BrokenPipeError(EPIPE, os.strerror(EPIPE))

    def _accept(self) -> tuple[_socket.socket, Address]:
        self._order(2)
        record = self._record
        waiting = record is None or self._anyone_waiting(record)
        client = next(self.accepted, _END) if record is None else self._next_client()
        if client is _END:
            if waiting and record is not None:
                record.monitor.perform(record, _ACCEPT_NOTHING[self._waits()])
            client = MockSocket()
        if not isinstance(client, real_socket) and not is_mock(client):
            try:
                client = resolved(client)
            except Exception as error:
                if record is not None:
                    record.monitor.refused("accept", record, error)
                raise
        self.current += 1
        self.remote_port += 1
        peer = (self.address, self.remote_port)
        if isinstance(client, MockSocket):
            client._local, client._remote = self._local, peer
        if record is not None:
            self._welcome(record, client)
        return client, peer  # type: ignore[return-value]  # a Mock where the test gave one

    def _hand_out(self, client: object) -> None:
        self._handed_out.append(client)
        if self._available:
            self._available -= 1

    def _next_client(self) -> object:
        """Who comes next, past those whom the test has handed out itself, by whatever means; takes it off."""
        passed: list[object] = []
        while True:
            client: object = next(self.accepted, _END)
            handed = next((at for at, one in enumerate(self._handed_out) if one is client), None)
            if handed is not None:
                del self._handed_out[handed]
            elif not _is_served(client) or any(one is client for one in passed):
                return client
            else:
                passed.append(client)

    def _anyone_waiting(self, record: Record) -> bool:
        """Whether anyone is waiting, as far as events have said; if not, what that comes to."""
        if record.moves["accept"] is not None:
            record.monitor.perform(record, "accept")
        elif self._available:
            self._available -= 1
        elif record.ever_registered:
            record.monitor.perform(record, _ACCEPT_NOTHING[self._waits()])
            return False
        return True

    def _about_left(self, name: str) -> tuple[Mapping[str, str], str]:
        """As the base class has it, unless it could accept nobody."""
        fields, note = super()._about_left(name)
        if self.state >= LISTENS:
            return fields, note
        missing = "listen()" if self.state else "bind() and listen()"
        return {
            **fields,
            "accept": f"call {missing} on {name} first",
        }, f"Nothing has called {missing} on {name}. {note}"

    def _leftover(self) -> tuple[RuleId, str] | None:
        """As the base class has it. Takes one client at most off the script, and puts it back."""
        if self._replaced():
            return None
        client: Any = self._next_client()  # Any: it goes back to where it came from
        if client is _END:
            return None
        self.accepted = chain((client,), self.accepted)
        return "unaccepted-connection", client._known_as() if isinstance(client, Scripted) else value_text(client)


def _is_served(client: object) -> bool:
    """Whether the server has registered it though no `accept()` that the run has seen returned it."""
    record = client._record if isinstance(client, MockSocket) else None
    return record is not None and record.ever_registered and not record.accepted

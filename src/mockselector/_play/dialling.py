"""Who connects to whom: clients to listeners of the program, the program to its own listeners and to backends.

Owns whoever waits for somebody to listen or for room in a backlog, the backends that nobody has connected to yet,
and `[unscripted-connection]`. What a connection is, the network knows.
"""

from __future__ import annotations

from collections import OrderedDict
from errno import ECONNREFUSED
from socket import EAI_NONAME, SHUT_RD, gaierror
from typing import TYPE_CHECKING, Final

from .._judge.errors import Finding
from .._judge.rules import GONE
from .._kernel.addresses import ANY
from .._kernel.descriptors import SHUT
from .._kernel.streams import Stream
from .._text import shown, value_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from .._choices import Choices
    from .._judge.monitor import Monitor
    from .._judge.records import Record
    from .._judge.rules import Phase
    from .._kernel.descriptors import Descriptor
    from .._kernel.network import Network
    from .._system import Address
    from .player import Player
    from .reading import End

    class Elsewhere(Protocol):
        """What becomes of a connection that nobody answers."""

        def is_here(self, address: Address) -> bool: ...
        def connects(self, address: Address) -> None: ...
        def asks(self, host: str) -> None: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


BUFFER: Final = 65536
"""How many bytes fit between the program and a peer, unless the test says otherwise."""

OWN: Final = {True: 1 << 21, False: 200_000}
"""How many fit between two sockets of the program itself, by TCP and by AF_UNIX: about as many as in Linux."""


class Dialling:
    """Connections that are to come."""

    def __init__(
        self, network: Network, monitor: Monitor, choices: Choices, records: Mapping[Descriptor, Record], buffer: int
    ) -> None:
        self._network: Final = network
        self._monitor: Final = monitor
        self._choices: Final = choices
        self._records: Final = records
        self._buffer: Final = buffer
        self.backends: Final[list[tuple[Address, Player]]] = []
        """Those that nobody has connected to yet."""
        self.ever: Final[list[Player]] = []
        """All that there have been."""
        self.outside: Elsewhere | None = None
        """Who says what is done about connections to who is no part of the program, where no script does."""
        self.alive = 0
        """Connections that the server has not closed."""
        self.dialled = 0
        """How many backends were connected to."""
        self.knocking: Final[OrderedDict[int, Player]] = OrderedDict()
        """Who waits for somebody to listen, or for room in a backlog."""
        self._answering: Final[dict[Descriptor, Player]] = {}  # backends that have not answered yet, by who has asked
        self.begun: Final[list[tuple[Descriptor, Descriptor | int]]] = []
        """Sockets of the program: to a listener of its own, when that has room; or where nobody is: the error."""

    def meet(self, peer: Player) -> End | None:
        """Connect to whoever listens where the peer wants to go; returns the peer's end."""
        listener = self._network.listener(peer.endpoint.to)
        if listener is None or listener.backlog is None or len(listener.backlog) >= listener.limit:
            self.knocking[peer.serial] = peer
            return None
        self.knocking.pop(peer.serial, None)
        self.alive += 1
        _, source, buffer, *_ = peer.endpoint
        return self._network.meet(listener, source, buffer, mapped=_is_ipv4(peer.endpoint.to)).other

    def dial(self, descriptor: Descriptor, record: Record, address: Address, asked: Address) -> None:
        """Begin to connect: to a listener of the program's own, else to a backend."""
        elsewhere = self.outside is not None and not self.outside.is_here(address)
        listener = None if elsewhere else self._network.listener(address if isinstance(address, str) else address[:2])
        if listener is not None and listener.backlog is not None:
            self._monitor.rename(record, None, "connection")
            has_room = len(listener.backlog) < listener.limit
            if has_room and not (descriptor.family in ANY and self._choices.choose(2, "connected at once, or later")):
                self._link(descriptor, listener)
            else:
                descriptor.connecting = True
                self.begun.append((descriptor, listener))
            return
        near = address if isinstance(address, str) else address[:2]
        peer = next((peer for where, peer in self.backends if where == near), None)
        if peer is None:
            self.dialled_nobody(record, asked)
            descriptor.connecting = True
            self.begun.append((descriptor, self._network.nobody_at(address)))
            return
        self.backends.remove((near, peer))
        self._monitor.rename(record, peer.name, "connection")
        record.allow |= peer.endpoint.allow
        descriptor.connecting = True
        self.dialled += 1
        peer.dialled = descriptor
        self._answering[descriptor] = peer
        peer.turn.wake()

    def ends(self) -> None:
        """The program is out: who was dialled and has not answered has nobody to answer to."""
        for peer in self.ever:
            if peer.dialled is not None and peer.stream is None:
                peer.turn.wake()

    def hangs_up(self, descriptor: Descriptor) -> bool:
        """The program does not wait any more for room in a backlog; returns whether it has."""
        waited = [one for one in self.begun if one[0] is descriptor and not isinstance(one[1], int)]
        for one in waited:
            self.begun.remove(one)
        return bool(waited)

    def gives_up(self, descriptor: Descriptor) -> None:
        """The program has closed a socket that was connecting: whoever was to answer need not wait any more."""
        self.hangs_up(descriptor)
        peer = self._answering.pop(descriptor, None)
        if peer is not None:
            peer.turn.wake()

    def unknown_host(self, host: str) -> None:
        """The program asks for the address of a host that the scenario does not speak of."""
        if self.outside is not None:
            self.outside.asks(host)
        elif not self._network.knows(host) and self._monitor.in_force("unscripted-connection"):
            text = value_text(host)
            fields = {"what": f"{text}, which the scenario does not know", "address": f"({text}, port)"}
            self._monitor.breach(Finding("unscripted-connection", None, fields), "getaddrinfo", shown(host))

    def resolves(self, family: int, address: Address) -> Address:
        """The address that the program connects to, with a number for its host."""
        try:
            return self._network.resolved(family, address)
        except gaierror as error:
            if error.errno == EAI_NONAME:
                host = address[0]
                self.unknown_host(host if isinstance(host, str) else bytes(host).decode())
            raise

    def _link(self, descriptor: Descriptor, listener: Descriptor) -> None:
        """Connect the program to a listener of its own."""
        size = OWN[listener.family in ANY] if self._buffer == BUFFER else self._buffer
        stream = self._network.meet(listener, descriptor.local or None, size)
        self.alive += 2
        descriptor.connected(stream.other)

    def dialled_nobody(self, record: Record, address: Address) -> None:
        self._monitor.rename(record, None, "connection")
        if self.outside is not None:
            self.outside.connects(address)
            return
        local = (
            () if isinstance(address, str) else [one.local[1] for one in self._network.listeners if one.family in ANY]
        )
        if address[1:2] and address[1] in local:
            return  # the program's own port in another family: it is refused, and the other one tried
        if self._monitor.in_force("unscripted-connection", record):
            where = address if isinstance(address, str) else (self._network.name_of(address[0]), *address[1:2])
            more = any(peer.endpoint.to == where for peer in self.ever)
            what = f"{value_text(where)}, where the scenario has no {'more backends' if more else 'backend'}"
            fields = {"what": what, "address": value_text(where)}
            self._monitor.breach(
                Finding("unscripted-connection", record.name, fields), "connect", record.name, str(where)
            )

    def answer(self, peer: Player, descriptor: Descriptor, error: int) -> None:
        """A backend takes the connection, or does not."""
        self._answering.pop(descriptor, None)
        if descriptor.closed or not descriptor.connecting:
            error = error or ECONNREFUSED
        elif error:
            descriptor.failed(error)
            self._comes_to(descriptor, "refused")
        else:
            remote = self._network.resolved(descriptor.family, peer.endpoint.to)
            sizes = (peer.endpoint.buffer, peer.endpoint.buffer)
            stream = Stream.pair(sizes, descriptor.local, remote, unix=descriptor.family not in ANY)
            self.alive += 1
            descriptor.fresh = True
            descriptor.connected(stream)
            self._comes_to(descriptor, "connected")
            peer.attach(stream.other)

    def goes_on(self) -> None:
        """What has become of connections that the program has begun is told now."""
        for descriptor, there in self.begun[::-1]:
            if isinstance(there, int):
                self.refuses(descriptor)
            elif there.backlog is None or len(there.backlog) < there.limit:
                self._link_at_last(descriptor, there)

    def refuses(self, descriptor: Descriptor) -> None:
        """Nobody is where it wants to go, and it is told so; does nothing if somebody is, or may come to be."""
        there = next((there for one, there in self.begun if one is descriptor), None)
        if isinstance(there, int):
            self.begun.remove((descriptor, there))
            self._is_refused(descriptor, there)

    def listens(self) -> None:
        """Somebody begins to listen: who waits for that looks again."""
        for peer in self.knocking.values():
            peer.turn.wake()

    def accepts(self, listener: Descriptor) -> None:
        """A listener has room for one more: the first who waits for that looks again."""
        waiting: list[Player] = []
        for peer in self.knocking.values():
            if self._network.listener(peer.endpoint.to) is listener:
                waiting.append(peer)
                if self._choices.decide is None:
                    break
        if waiting:
            waiting[self._choices.choose(len(waiting), "who gets the place in the backlog")].turn.wake()
            return
        for descriptor, wanted in self.begun:
            if wanted is listener:
                self._link_at_last(descriptor, listener)
                return

    def _link_at_last(self, descriptor: Descriptor, listener: Descriptor) -> None:
        self.begun.remove((descriptor, listener))
        if listener.backlog is None or (descriptor.family not in ANY and listener.shut & SHUT[SHUT_RD]):
            self._is_refused(descriptor, ECONNREFUSED)  # it listens no more
            return
        self._link(descriptor, listener)
        descriptor.fresh = True
        self._comes_to(descriptor, "connected")

    def _is_refused(self, descriptor: Descriptor, error: int) -> None:
        descriptor.failed(error)
        self._comes_to(descriptor, "refused")

    def _comes_to(self, descriptor: Descriptor, phase: Phase) -> None:
        """What became of a connection; closed, the socket is while another thread still waits for that."""
        record = self._records[descriptor]
        if record.phase not in GONE:
            self._monitor.becomes(record, phase)


def _is_ipv4(to: Address) -> bool:
    return not isinstance(to, (int, str)) and to is not None and str(to[0]).replace(".", "").isdecimal()

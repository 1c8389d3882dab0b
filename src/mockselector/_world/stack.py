"""The network stack below a scenario: what carries its connections. Here, the simulated one.

Owns what differs between the networks that a scenario may have: what sockets and selectors are made of, how a peer
comes to its end of a connection, when all that was sent has arrived, and what is closed at the end. A world is given
one. (Its numbers, names and listeners are `_kernel.network`'s, whatever carries the bytes.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._kernel.epolls import Epoll
from .._play.netstat import SocketRow, SocketTable, interest_text
from .._play.player import Player

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Protocol

    from .._judge.monitor import Monitor
    from .._judge.records import Record
    from .._judge.trace import Place
    from .._kernel.descriptors import Descriptor
    from .._kernel.network import Network
    from .._play.dialling import Dialling
    from .._play.reading import End
    from .._play.turns import Turns
    from .._system import real_socket
    from .holdings import Holdings

    class Stack(Protocol):
        """What a world asks of its network."""

        def socket(self, family: int, proto: int, made: Place) -> real_socket | None:
            """A new socket; None: a simulated one."""
            ...

        def socket_of(self, number: int) -> real_socket | None:
            """A socket for a descriptor number of this world; None: it is not such a number, or simulated."""
            ...

        def holder(self, number: int) -> real_socket | None:
            """The socket that has a descriptor number of this world; None: a simulated one."""
            ...

        def selector(self, kind: type[selectors.BaseSelector]) -> selectors.BaseSelector | None:
            """A new selector; None: a simulated one."""
            ...

        def poller(self, make: Callable[[], Any], kind: str) -> Any | None:  # Any: has no public name
            """A new poll or epoll object; None: a simulated one."""
            ...

        def epoll_of(self, make: Callable[[int], Any], number: int) -> Any | None:  # Any: likewise
            """Another object for one that has been made here; None: there is none, or it is simulated."""
            ...

        def select(self, lists: tuple[Sequence[Any], ...], timeout: float | None) -> tuple[list[Any], ...] | None:
            """`select.select()` of these, in seconds; None: a simulated one."""
            ...

        def meet(self, peer: Player) -> End | None:
            """Connect to whoever listens where the peer wants to go; returns the peer's end."""
            ...

        def answer(self, peer: Player, descriptor: Descriptor, error: int) -> None:
            """A backend takes the connection, or does not."""
            ...

        def owns(self, number: int) -> bool:
            """Whether it is the number of a socket of this world."""
            ...

        def close_number(self, number: int) -> None:
            """The program closes a number past its socket, as `os.close()` does."""
            ...

        def play(self) -> None:
            """What was sent arrives; then let all peers act that can, but for those that the program goes before."""
            ...

        def close_all(self) -> None:
            """Close what the program has left open."""
            ...

        def release(self) -> None:
            """The program is at its end: nothing of it is left."""
            ...

        def row(self, descriptor: Descriptor, record: Record) -> SocketRow:
            """A socket of the program, for the table."""
            ...

    class Ground(Protocol):
        """What a simulated network has of the world above it."""

        @property
        def monitor(self) -> Monitor: ...
        @property
        def network(self) -> Network: ...
        @property
        def dialling(self) -> Dialling: ...
        @property
        def turns(self) -> Turns: ...
        @property
        def peers(self) -> Sequence[Player]: ...
        @property
        def holdings(self) -> Holdings: ...
        def gives_back(self, descriptor: Descriptor) -> None: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class SimulatedStack:
    """Connections within the process: what is sent has arrived."""

    def __init__(self, world: Ground) -> None:
        self._world = world
        self._dialling = world.dialling
        self._turns = world.turns
        self.meet = world.dialling.meet
        self.answer = world.dialling.answer

    def socket(self, family: int, proto: int, made: Place) -> None:
        """A simulated one."""

    def socket_of(self, number: int) -> None:
        """Likewise."""

    def holder(self, number: int) -> None:
        """Likewise."""

    def selector(self, kind: type[selectors.BaseSelector]) -> None:
        """Likewise."""

    def poller(self, make: Callable[[], Any], kind: str) -> None:
        """Likewise."""

    def epoll_of(self, make: Callable[[int], Any], number: int) -> None:
        """Likewise."""

    def select(self, lists: tuple[Sequence[Any], ...], timeout: float | None) -> None:
        """Likewise."""

    def owns(self, number: int) -> bool:
        """Whether it is the number of a socket of this world."""
        return number in self._world.network.descriptors

    def close_number(self, number: int) -> None:
        """The program closes a number past its socket."""
        world = self._world
        descriptor = world.network.descriptors[number]
        if isinstance(descriptor, Epoll):
            world.network.close(descriptor)
            return
        record = world.holdings.records[descriptor]
        if world.holdings.detached.pop(number, None) is None:
            world.monitor.perform(record, "close", "by its number")
            world.holdings.shared.add(descriptor)
        else:
            world.monitor.decided("close", record.name, "by its number")
        world.gives_back(descriptor)

    def play(self) -> None:
        """Let all peers act that can, but for those that the program is chosen to go before."""
        if self._dialling.begun:
            self._dialling.goes_on()
        if self._turns.runnable:
            self._turns.play()

    def close_all(self) -> None:
        """Close what the program has left open."""
        network = self._world.network
        for descriptor in tuple(network.descriptors.values()):
            network.close(descriptor)

    def release(self) -> None:
        """The program is at its end: nothing of it is left."""
        self.close_all()
        self._world.network.remove_files()

    def row(self, descriptor: Descriptor, record: Record) -> SocketRow:
        """A socket of the program, for the table."""
        stream, backlog = descriptor.stream, descriptor.backlog
        interest = interest_text(self._world.monitor.interest(record))
        if stream is None:
            return SocketRow(record.name, record.phase, interest, len(backlog or ()), 0, "")
        state = str(record.phase)
        if state == "connected":
            state = "peer reset" if stream.dead else "peer closed" if stream.ended else state
        peer = stream.other.peer
        script = progress(peer) if isinstance(peer, Player) else ""
        return SocketRow(record.name, state, interest, stream.unread, stream.other.unread, script)


def progress(peer: Player) -> str:
    """How far a peer is in its script."""
    return f"{peer.script.progress(peer.position)}: {peer.doing()}"


def table(stack: Stack, records: Mapping[Descriptor, Record], peers: Sequence[Player]) -> SocketTable:
    """All open sockets, in the order in which they came to be, and the peers without one."""
    rows = [stack.row(descriptor, record) for descriptor, record in records.items() if not descriptor.closed]
    accepted = {row.name for row in rows}
    for peer in peers:
        if peer.stream is None or (peer.name not in accepted and not peer.stream.other.closed):
            state = "not connected" if peer.stream is None else "not accepted"
            unread = 0 if peer.stream is None else peer.stream.other.size
            rows.append(SocketRow(peer.name, state, "", unread, 0, progress(peer)))
    return SocketTable(rows)

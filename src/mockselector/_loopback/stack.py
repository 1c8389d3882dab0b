"""The same scenario over real sockets: the peers are at the other end of the system's own loopback.

Owns `LoopbackStack`, by which what the server calls are real sockets and real selectors. Who acts when, and what
time it is, is the world's as ever, and before anything is decided the kernel has come to rest. So what happens to
bytes and connections is the kernel's doing, and nothing else differs. The rules about the server's calls are not
judged here; what the peers see is.
"""

from __future__ import annotations

import os
import select as _select
import socket as _socket_module
import sys
from collections import deque
from errno import EALREADY, EINPROGRESS, EISCONN
from functools import cache
from selectors import EVENT_READ, EVENT_WRITE
from socket import IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, TypeVar
from weakref import WeakSet, WeakValueDictionary

from .._kernel.addresses import ANY, LOOPBACK
from .._kernel.descriptors import Descriptor
from .._play.clock import nanoseconds
from .._play.netstat import SocketRow, interest_text
from .._play.player import Player
from .._system import number_of
from .._world.stack import progress
from .polls import LoopbackEpoll, LoopbackPoll
from .sockets import LoopbackSocket, accepted_by
from .wire import ENDED, ERROR, IN, TCP, Far, Raw, Wire, polled, unread

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from .._judge.records import Record
    from .._judge.trace import Place
    from .._system import Address
    from .._world.world import World

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

T = TypeVar("T")

_real_select: Final[Any] = _select.select  # Any: it is given lists that are unpacked

IN_TIME: Final = 10.0
"""So many seconds of real time the kernel has to deliver what must come."""

QUIET: Final = 0.02
"""After so many seconds of real time with no change at all, what is still to be delivered waits to be read."""


class LoopbackStack:
    """What carries one scenario's connections: the system's own loopback.

    A long class: whatever is asked of the kernel about both ends of a connection is asked here.
    """

    def __init__(self, world: World) -> None:
        self.world: Final = world
        self.sockets: Final[WeakValueDictionary[int, LoopbackSocket]] = WeakValueDictionary()  # by their numbers
        self.given: Final[dict[int, LoopbackSocket]] = {}  # detached, until somebody takes the number up
        self._wires: Final[list[Wire]] = []
        self._waiting: Final[dict[Descriptor, deque[Wire | None]]] = {}  # to be accepted; None: the program itself
        self._listening: Final[dict[Descriptor, int]] = {}
        self._answers: Final[dict[Descriptor, Wire]] = {}
        self._to_answer: Final[dict[Descriptor, Raw]] = {}  # who listens for a backend
        self._kept: Final[list[Raw]] = []
        self._epolls: Final[WeakValueDictionary[int, LoopbackPoll]] = WeakValueDictionary()  # by their numbers
        self._maps: Final[list[dict[int, selectors.SelectorKey]]] = []  # of the selectors
        self._pollers: Final[WeakSet[LoopbackPoll]] = WeakSet()
        self._given_up = False  # whether the kernel was waited for in vain

    # -- what is made in it -----------------------------------------------------------------------

    def socket(self, family: int, proto: int, made: Place) -> LoopbackSocket:
        """A new real socket."""
        number = self._made(lambda: Raw(family, SOCK_STREAM, proto)).detach()
        descriptor = Descriptor(number, family, made)
        return LoopbackSocket(self, descriptor, self.world.holdings.admit(descriptor, None, "socket"), proto, Far())

    def _made(self, make: Callable[[], T]) -> T:
        """Something of the system's; a program that tries that in vain for ever sees time pass."""
        try:
            return make()
        except OSError:
            self.world.spinning.looks()
            raise

    def socket_of(self, number: int) -> LoopbackSocket | None:
        """A socket for a number that another one was detached from."""
        before = self.given.pop(number, None)
        if before is None:
            if self.owns(number):
                self.world.refuse("a second socket for one number needs network='simulated'; pass the socket itself on")
            return None
        return LoopbackSocket(self, before._descriptor, before._record, -1, before.far)

    def selector(self, kind: type[selectors.BaseSelector]) -> selectors.BaseSelector:
        """A real selector, whose waiting is the world's."""
        selector = self._made(kind)
        real_select = selector.select
        name = self.world.holdings.name_selector()
        keys: dict[int, selectors.SelectorKey] = vars(selector)["_fd_to_key"]
        self._maps.append(keys)

        def select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            return self.wait(name, lambda: real_select(0), timeout, _by_object) or []

        vars(selector).update(select=select, _world=self.world)
        return selector

    def poller(self, make: Callable[[], Any], kind: str) -> LoopbackPoll:
        """A real poll or epoll object, whose waiting is the world's."""
        kind_of = LoopbackEpoll if kind == "epoll" else LoopbackPoll
        poller = kind_of(self, self._made(make), self.world.holdings.name_selector(kind, opens=False))
        self._pollers.add(poller)
        if kind == "epoll":
            self._epolls[poller.fileno()] = poller
        return poller

    def epoll_of(self, make: Callable[[int], Any], number: int) -> LoopbackPoll | None:
        """Another object for one that has been made here."""
        known = self._epolls.get(number)
        return None if known is None or known.closed else self.poller(lambda: make(number), "epoll")

    def select(self, lists: tuple[Sequence[Any], ...], timeout: float | None) -> tuple[list[Any], ...]:
        """`select.select()`; whose waiting is the world's."""

        def look() -> tuple[list[Any], ...] | None:
            found = _real_select(*lists, 0)
            return found if any(found) else None

        return self.wait("select", look, timeout, _by_list) or ([], [], [])

    def wait(
        self, name: str, look: Callable[[], T | None], timeout: float | None,
        by_object: Callable[[T], Iterable[tuple[Any, int]]],
    ) -> T | None:  # fmt: skip
        """A call that waits for what is ready, by looking; None: nothing is, or it is so late that nothing waits."""
        world = self.world
        if not world.check_running(timeout):
            return None
        if timeout is not None and timeout <= 0:
            world.poll(("select", name))
            ready = look()
        else:
            deadline = None if timeout is None else world.clock.now + nanoseconds(timeout)
            ready = world.until(look, deadline, ("select", name))
        told = [] if not ready else [(self._record_of(one), mask) for one, mask in by_object(ready)]
        reported = tuple((record.name, mask) for record, mask in told)
        world.monitor.selected(name, reported)
        if told and world.spinning.wakes_in_vain():
            world.spinning.judge_wakes(reported, [record for record, _ in told])
        return ready

    def _record_of(self, fileobj: object) -> Record:
        if isinstance(fileobj, LoopbackSocket):
            return fileobj._record
        number = number_of(fileobj)
        sock = self.holder(number)
        return sock._record if sock is not None else self.world.holdings.foreign(number, fileobj)

    def holder(self, number: int) -> LoopbackSocket | None:
        return self.sockets.get(number)

    # -- connections ------------------------------------------------------------------------------

    def listens_at(self, sock: LoopbackSocket, limit: int) -> None:
        """A socket of the server listens."""
        descriptor = sock._descriptor
        local = sock.getsockname()
        descriptor.local = os.fsdecode(local) if isinstance(local, bytes) else local
        descriptor.limit = min(limit, _most_waiting() + 1)
        if descriptor not in self._waiting:
            self._waiting[descriptor] = deque()
            self._listening[descriptor] = sock.fileno()
            self.world.network.listeners.append(descriptor)
        self.world.monitor.becomes(sock._record, "listening")
        self.world.listens()

    def meet(self, peer: Player) -> Wire | None:
        """Connect to whoever listens where the peer wants to go."""
        self.world.dialling.knocking[peer.serial] = peer
        listener = self.world.network.listener(peer.endpoint.to)
        if listener is None or len(self._waiting[listener]) >= listener.limit:
            return None
        sock = Raw(listener.family, SOCK_STREAM)
        if sock.connect_ex(_reachable(listener)):  # it does not listen any more, or its path is gone
            sock.close()
            return None
        del self.world.dialling.knocking[peer.serial]
        self.world.dialling.alive += 1
        wire = Wire(sock, Far(counted=True))
        self._wires.append(wire)
        self._waiting[listener].append(wire)
        return wire

    def accepted(self, listener: LoopbackSocket, number: int, address: Address) -> LoopbackSocket:
        """The kernel has given the server a connection: whose is it?"""
        waiting = self._waiting[listener._descriptor]
        wire = next((one for one in waiting if one is not None and one.local == address), None)
        if waiting and (wire is not None or None in waiting):
            waiting.remove(wire)
        peer = wire.peer if wire is not None else None
        descriptor = Descriptor(number, listener._descriptor.family, listener._descriptor.made)
        descriptor.played_by = peer
        record = self.world.holdings.admit(descriptor, peer.name if peer is not None else None, "client")
        self.world.monitor.becomes(record, "connected")
        sock = LoopbackSocket(self, descriptor, record, 0, Far(counted=True) if wire is None else wire.other)
        if wire is not None and descriptor.family in TCP:
            Raw.setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, 1)
        self.world.spinning.progress += 1
        self.world.dialling.accepts(listener._descriptor)
        return sock

    def connects(self, sock: LoopbackSocket, address: Address) -> int:
        """The program connects: to itself, or to a backend. Returns the error number."""
        if sock.target is None:
            sock.target = self._dials(sock, address)
        error = Raw.connect_ex(sock, sock.target)
        if error not in (0, EINPROGRESS, EALREADY, EISCONN):
            sock.target = None  # it may try again, somewhere else
        descriptor = sock._descriptor
        there = self._to_answer.pop(descriptor, None)
        if there is not None and error in (0, EINPROGRESS):
            sock.far = Far(sock.fileno(), counted=True)
            wire = Wire(Raw(fileno=accepted_by(there)[0]), sock.far)
            Raw.setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, 1)
            self.world.monitor.becomes(sock._record, "connected")
            self._wires.append(wire)
            self._answers[descriptor] = wire
            self.world.dialling.alive += 1
        return error

    def _dials(self, sock: LoopbackSocket, address: Address) -> Address:
        """Where the program really connects to."""
        descriptor, record = sock._descriptor, sock._record
        where = self.world.dialling.resolves(descriptor.family, address)
        near = where if isinstance(where, str) else where[:2]
        listener = self.world.network.listener(near)
        if listener is not None:
            record.monitor.rename(record, None, "connection")
            self._waiting[listener].append(None)
            sock.far = Far(sock.fileno(), counted=True)
            self.world.dialling.alive += 2
            return _reachable(listener)
        found = next((one for one in self.world.dialling.backends if one[0] == near), None)
        if found is None:
            self.world.dialling.dialled_nobody(record, address)
            return self._open(descriptor.family).getsockname()
        there, peer = self._open(descriptor.family), found[1]
        self.world.dialling.backends.remove(found)
        record.monitor.rename(record, peer.name, "connection")
        self.world.dialling.dialled += 1
        peer.dialled, descriptor.played_by = descriptor, peer
        peer.turn.wake()
        if not peer.endpoint.refuses:
            there.listen(1)
            self._to_answer[descriptor] = there
        return there.getsockname()

    def _open(self, family: int) -> Raw:
        """A socket at an address of its own, where so far nobody listens."""
        if family not in TCP:
            self.world.refuse("a backend at a path needs network='simulated'")
        sock = Raw(family, SOCK_STREAM)
        sock.bind((LOOPBACK[family], 0))
        sock.settimeout(IN_TIME)
        self._kept.append(sock)
        return sock

    def answer(self, peer: Player, descriptor: Descriptor, error: int) -> None:
        """A backend takes the connection, or does not: the kernel has done so before."""
        wire = self._answers.pop(descriptor, None)
        if wire is not None:
            peer.attach(wire)

    def let_go(self, sock: LoopbackSocket) -> None:
        """The server closes one of its sockets."""
        descriptor = sock._descriptor
        descriptor.closed = True
        self.sockets.pop(descriptor.number, None)
        if descriptor in self._waiting:
            for wire in self._waiting.pop(descriptor):
                if wire is not None:
                    wire.other.closed = True
            del self._listening[descriptor]
            self.world.network.listeners.remove(descriptor)
        sock.far.closed, sock.far.number = True, -1
        if sock.far.counted:
            self.world.closed()
            self.world.spinning.progress += 1  # to close what was never connected is no doing

    def owns(self, number: int) -> bool:
        """Whether it is the number of one of the server's sockets."""
        return self.holder(number) is not None

    def close_number(self, number: int) -> None:
        """The program closes a number past its socket."""
        sock = self.holder(number)
        assert sock is not None, "it owns the number"
        sock._real_close()

    # -- the kernel, and the end ------------------------------------------------------------------

    def play(self) -> None:
        """All that was sent arrives; then let all peers act that can, but for those that the program goes before."""
        while True:
            self._settle_kernel()
            for wire in self._wires:
                wire.take_notice()
            if not self.world.turns.runnable:
                return
            self.world.turns.play()

    def _settle_kernel(self) -> None:
        """Wait, in real time, until the kernel has delivered all that was sent."""
        if self._given_up:
            return
        begun = since = monotonic()
        state: object = None
        while (owes := self._owes()) or self._in_flight():
            before, state = state, [wire.state() for wire in self._wires]
            now = monotonic()
            if state != before:
                since = now
            elif not owes and now - since > QUIET:
                return
            if now - begun > IN_TIME:
                self._given_up = True
                raise TimeoutError(
                    f"for {IN_TIME:g} seconds the system has not delivered on its loopback what was sent, or that a"
                    " socket was closed: has a duplicate of it been made (socket.fromfd()), which is still open?"
                )
            sleep(0.0002)
        if not ENDED and self._wires:
            sleep(QUIET)  # nobody says here that an end has come, before all was read

    def _owes(self) -> bool:
        """Whether something must come."""
        return any(wire.owes() for wire in self._wires) or any(
            not polled(number) & (IN | ERROR)
            for descriptor, number in self._listening.items()
            if any(wire is not None for wire in self._waiting[descriptor])
        )

    def _in_flight(self) -> bool:
        """Whether something may come: a connection of the program to itself, too, which it may have broken off."""
        return any(wire.in_flight() for wire in self._wires) or any(
            not polled(number) & (IN | ERROR)
            for descriptor, number in self._listening.items()
            if self._waiting[descriptor]
        )

    def close_all(self) -> None:
        """Close what the program has left open."""
        for sock in tuple(self.sockets.values()):
            self.let_go(sock)
            Raw.close(sock)
        while self.given:
            number, sock = self.given.popitem()
            self.let_go(sock)
            try:
                Raw(fileno=number).close()
            except OSError:
                pass  # the program has closed it by itself

    def release(self) -> None:
        """Give back to the system what is still open; peers see that end as well."""
        try:
            self.close_all()
            self._settle_kernel()
            for wire in self._wires:
                wire.take_notice()
        except TimeoutError:
            pass  # that was to be for who looks at the peers now; what is judged has been
        finally:
            for wire in self._wires:
                wire.sock.close()
            self._wires.clear()
            for sock in self._kept:
                sock.close()

    def _interest(self, record: Record) -> int:
        mask = 0
        for keys in self._maps:
            key = keys.get(record.number)
            mask |= 0 if key is None else key.events
        for poller in self._pollers:
            mask |= poller.interest(record.number)
        return mask

    def row(self, descriptor: Descriptor, record: Record) -> SocketRow:
        """A socket of the program, for the table."""
        waiting = self._waiting.get(descriptor)
        left = unread(descriptor.number) if waiting is None else len(waiting)
        script = next((progress(peer) for peer in self.world.peers if peer.name == record.name), "")
        return SocketRow(record.name, record.phase, interest_text(self._interest(record)), left, 0, script)


def _by_object(ready: Iterable[tuple[selectors.SelectorKey, int]]) -> Iterable[tuple[Any, int]]:
    return [(key.fileobj, mask) for key, mask in ready]


def _by_list(ready: tuple[list[Any], ...]) -> Iterable[tuple[Any, int]]:
    return [(one, mask) for some, mask in zip(ready, (EVENT_READ, EVENT_WRITE, 0), strict=True) for one in some]


def require_loopback(**given: tuple[object, object]) -> None:
    """Raise NotImplementedError for what cannot be had on real sockets: what is given, and what it must be."""
    if sys.platform == "win32":
        raise NotImplementedError("network='loopback' needs a POSIX system; use network='simulated'")
    for argument, (value, usual) in given.items():
        if value != usual:
            raise NotImplementedError(
                f"{argument}={value!r} cannot be had on real sockets: leave it out, or use network='simulated'"
            )


@cache
def _most_waiting() -> int:
    """How many the system lets wait at most, whatever was said to `listen()` (man 2 listen)."""
    try:
        with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
            return int(file.read())
    except OSError:  # not Linux: as the others have it
        return int(_socket_module.SOMAXCONN)


def _reachable(listener: Descriptor) -> Address:
    """The address at which a listener is found."""
    local = listener.local
    if listener.family in ANY and local[0] in ANY.values():
        return (LOOPBACK[listener.family], *local[1:])
    return local

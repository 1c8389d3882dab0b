"""A second thread in a call that waits, and what the first one does meanwhile: the cells of `test_kernel_threads`.

Nothing here is a matter of luck with time. On the kernel, what a thread does is asked of the system: it waits once it
is in the system's call that is to be expected; and it sleeps on if it is still there when all has arrived that the
first one has brought about. In a scenario, the first one lets all others go on.
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import selectors
import socket
import threading
import time
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kernel import BOTH, LATEST, READABLE, SHORT, temporary_file
from kernel_calls import RESETS_ON_CLOSE, State, aftermath, connected, full, listening, short

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Ground

NUMBERS: Final[dict[str, dict[str, int]]] = {
    "x86_64": {
        "recvfrom": 45, "recvmsg": 47, "sendto": 44, "sendfile": 40, "accept4": 288, "connect": 42, "poll": 7,
        "select": 23, "epoll_wait": 232, "pselect6": 270, "epoll_pwait": 281, "ppoll": 271,
    },
    "aarch64": {
        "recvfrom": 207, "recvmsg": 212, "sendto": 206, "sendfile": 71, "accept4": 242, "connect": 203,
        "pselect6": 72, "epoll_pwait": 22, "ppoll": 73,
    },
}  # fmt: skip
"""Numbers of the system's calls that wait, by machine (asm/unistd.h)."""

CALLS: Final = NUMBERS.get(platform.machine(), {})
POLLS: Final = ("poll", "ppoll")
SELECTS: Final = ("select", "pselect6")
EPOLLS: Final = ("epoll_wait", "epoll_pwait")

LONG: Final = 1e6
"""Seconds that a call waits which is not to time out."""


class Second:
    """A second thread, in a call that waits."""

    def __init__(self, ground: Ground, call: Callable[[], object], calls: tuple[str, ...]) -> None:
        self._ground: Final = ground
        self._numbers: Final = {CALLS[one] for one in calls if one in CALLS} if ground.real else set[int]()
        self.outcome: object = None
        """What the call has come to."""
        if ground.real:
            ground.round_trip()
        self._thread: Final = threading.Thread(target=self._runs, args=(call,), daemon=True)
        self._thread.start()
        if ground.real:
            try:
                self._state: Final = os.open(f"/proc/self/task/{self._thread.native_id}/syscall", os.O_RDONLY)
            except FileNotFoundError:
                raise AssertionError(f"it has not waited: {self.outcome!r}") from None
            ground.after(lambda: os.close(self._state))
            self._until(self._is_asleep, "it never waited")
        else:
            time.sleep(SHORT)
        assert not self.is_over, f"it has not waited: {self.outcome!r}"

    def _runs(self, call: Callable[[], object]) -> None:
        self.outcome = short(self._ground.outcome(call))

    @property
    def is_over(self) -> bool:
        """Whether it is out of its call."""
        return not self._thread.is_alive()

    def wakes(self, wanted: bool) -> bool:
        """Whether it comes out of its call, of all that was done. wanted: whether it should."""
        if not self._ground.real:
            time.sleep(SHORT)
        elif wanted:
            self._thread.join(LATEST)
        else:
            for _ in range(2):  # one that is being woken is nearly not asleep any more
                self._ground.round_trip()
                self._until(lambda: self.is_over or self._is_asleep(), "it neither waits nor ends")
        return self.is_over

    def _is_asleep(self) -> bool:
        try:
            number = os.pread(self._state, 100, 0).split()[0]  # "running", or the number of a call, and what it got
        except ProcessLookupError:
            return False
        return number.isdigit() and int(number) in self._numbers

    def _until(self, holds: Callable[[], bool], why: str) -> None:
        last = time.monotonic() + LATEST
        while not holds():
            assert time.monotonic() < last, why


class Case:
    """What a cell is about: the socket that the second thread waits for, and all that is around it."""

    def __init__(self, ground: Ground, wait: Wait) -> None:
        self.ground: Final = ground
        state = wait.state(ground)
        self.is_full: Final = wait.state is full
        """Whether the peer has much to read: how much it has read is a matter of chance, and is not compared."""
        self.sock: Final = state.sock
        self.other: Any = state.other  # Any: only some cells have none
        self.address: Final = state.sock.getsockname()
        self.clients: Final = [self._client() for _ in range(3)]
        """Made in time: later, one would take a number that is free, for which somebody may wait."""
        self.another: Final = ground.pair()
        """Another connection; likewise."""
        self.second: Second | None = None
        self.wanted = False
        """Whether what is done now is to wake it."""
        self.watch: Any = None  # Any: a Selector, or a Poller, in some cells
        self.names: Final[dict[object, str]] = {}

    def _client(self) -> socket.socket:
        client = self.ground.socket()
        client.bind(self.ground.address())
        self.ground.name(client.getsockname(), "client's")
        return client

    def named(self, sock: socket.socket, name: str) -> socket.socket:
        """Called so in what is compared, by itself and by its number."""
        self.names[sock] = self.names[sock.fileno()] = name
        return sock

    def told(self, pairs: Any) -> object:  # Any: numbers, or keys, and what is said of each
        """What was ready, in no order."""
        return sorted((self.names[one if isinstance(one, int) else one.fileobj], mask) for one, mask in pairs)


Act = tuple[str, "Callable[[Case], object]"]


class Wait(NamedTuple):
    """A call that waits: in which state, what it is, and what can be done meanwhile."""

    name: str
    state: Callable[[Ground], State]
    call: Callable[[Case], object]
    calls: tuple[str, ...]
    """In which of the system's it then is."""
    acts: tuple[Act, ...]
    frees: tuple[Act, ...]
    """What lets one go on that sleeps on: the first that does."""
    families: tuple[int, ...] = (socket.AF_INET, socket.AF_UNIX)


# -- what is done meanwhile ------------------------------------------------------------------------


def _resets(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS_ON_CLOSE)
    sock.close()


def _drains(case: Case) -> None:
    """The peer reads until the second thread is out; if it is not to be, what there is."""
    assert case.second is not None
    last = time.monotonic() + (LATEST if case.wanted or not case.ground.real else SHORT)
    while not case.second.is_over and time.monotonic() < last:
        try:
            case.other.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            if not case.ground.real:
                time.sleep(SHORT)
    with contextlib.suppress(BlockingIOError, ConnectionError):  # and what it has left, as it may not have been faster
        while case.second.is_over and case.other.recv(1 << 20, socket.MSG_DONTWAIT):
            pass


def _makes_room(case: Case) -> None:
    """Some that was on its way has come after the peer had last read."""
    last = time.monotonic() + LATEST
    while case.sock.fileno() >= 0 and not case.ground.ready(case.sock) & EVENT_WRITE and time.monotonic() < last:
        _ = case.ground.outcome(lambda: case.other.recv(1 << 20, socket.MSG_DONTWAIT))


def _client_connects(case: Case) -> None:
    case.clients.pop().connect(case.address)


def _closes_by_number(case: Case) -> None:
    os.close(case.sock.fileno())
    case.sock.detach()


def _detaches(case: Case) -> None:
    case.ground.keep(socket.socket(fileno=case.sock.detach()))


def _then(*acts: Callable[[Case], object]) -> Callable[[Case], object]:
    """One after the other."""
    return lambda case: [act(case) for act in acts]


def _closes(case: Case) -> None:
    case.sock.close()


def _shuts(case: Case) -> None:
    case.sock.shutdown(socket.SHUT_RDWR)


def _unregisters(case: Case) -> None:
    case.watch.take(case.sock)


OWN: Final[tuple[Act, ...]] = (
    ("close", lambda case: case.sock.close()),
    ("close by number", _closes_by_number),
    ("reset", lambda case: _resets(case.sock)),
    ("detach", _detaches),
    ("shut reading", lambda case: case.sock.shutdown(socket.SHUT_RD)),
    ("shut writing", lambda case: case.sock.shutdown(socket.SHUT_WR)),
    ("shut both", lambda case: case.sock.shutdown(socket.SHUT_RDWR)),
    ("shut both and close", _then(_shuts, _closes)),
    ("do not block", lambda case: case.sock.setblocking(False)),
    ("set a timeout", lambda case: case.sock.settimeout(LONG)),
)

PEERS: Final[tuple[Act, ...]] = (
    ("peer sends", lambda case: case.other.send(b"hello")),
    ("peer sends and closes", lambda case: (case.other.send(b"hello"), case.other.close())),
    ("peer shuts reading", lambda case: case.other.shutdown(socket.SHUT_RD)),
    ("peer shuts writing", lambda case: case.other.shutdown(socket.SHUT_WR)),
    ("peer closes", lambda case: case.other.close()),
    ("peer resets", lambda case: _resets(case.other)),
)

READERS: Final[tuple[Act, ...]] = (
    *OWN,
    *PEERS,
    ("peer shuts both", lambda case: case.other.shutdown(socket.SHUT_RDWR)),
    ("send", lambda case: case.sock.send(b"mine")),
    ("read without waiting", lambda case: case.sock.recv(1, socket.MSG_DONTWAIT)),
)
WRITERS: Final[tuple[Act, ...]] = (
    *OWN,
    *PEERS,
    ("peer reads", _drains),
    ("send without waiting", lambda case: case.sock.send(b"x", socket.MSG_DONTWAIT)),
    ("read without waiting", lambda case: case.sock.recv(1, socket.MSG_DONTWAIT)),
)
LISTENERS: Final[tuple[Act, ...]] = (
    *OWN,
    ("client connects", _client_connects),
    ("listen again", lambda case: case.sock.listen(3)),
    ("connect and close", _then(_client_connects, _closes)),
)

NOT_SHUT: Final = tuple(act for act in LISTENERS if not act[0].startswith("shut "))
"""By AF_UNIX, accept() with a time-out on a socket that is shut down spins: poll() says that it can be read."""

READ_FREES: Final[tuple[Act, ...]] = (
    ("peer sends", lambda case: case.other.send(b"freed")),
    ("peer closes", lambda case: case.other.close()),
    ("shut both", lambda case: case.sock.shutdown(socket.SHUT_RDWR)),
)
WRITE_FREES: Final[tuple[Act, ...]] = (
    ("peer reads", _drains),
    ("peer resets", lambda case: _resets(case.other)),
    ("shut both", lambda case: case.sock.shutdown(socket.SHUT_RDWR)),
)
LISTEN_FREES: Final[tuple[Act, ...]] = (
    ("client connects", _client_connects),
    ("shut both", lambda case: case.sock.shutdown(socket.SHUT_RDWR)),
)


# -- calls of a socket -----------------------------------------------------------------------------


def _with_timeout(call: Callable[[Case], object]) -> Callable[[Case], object]:
    def calls(case: Case) -> object:
        case.sock.settimeout(LONG)
        return call(case)

    return calls


def _blocking(call: Callable[[Case], object]) -> Callable[[Case], object]:
    def calls(case: Case) -> object:
        case.sock.setblocking(True)
        return call(case)

    return calls


def _reads_file(case: Case) -> object:
    with case.sock.makefile("rb") as file:
        return file.readline()


def _reads_into(case: Case) -> object:
    buffer = bytearray(3)
    return case.sock.recv_into(buffer), buffer


def _sends_file(case: Case) -> object:
    with temporary_file(b"x" * 10) as file:
        return case.sock.sendfile(file)


def _accepts(case: Case) -> object:
    sock, address = case.sock.accept()
    return sock, case.ground.normal(address)


MUCH: Final = b"x" * 1_000_000


TWICE: Final = ("shut both and close", "connect and close", "peer sends and closes")
"""What wakes, and then does more: a wait of several calls of the system's may find the one or the other."""


def _fitting(acts: tuple[Act, ...], calls: tuple[str, ...], *, one: bool = True) -> tuple[Act, ...]:
    """What can be done meanwhile. one: Python makes one call of the system's.

    With a time-out, each call waits, by a poll() of its own.
    """
    left_out = {name for name, _ in acts if calls is POLLS and name.endswith("without waiting")}
    if calls is POLLS or not one:
        left_out.update(TWICE)
    return tuple(act for act in acts if act[0] not in left_out)


def _reading(name: str, call: Callable[[Case], object], calls: tuple[str, ...] = ("recvfrom",)) -> Wait:
    return Wait(name, connected, call, calls, _fitting(READERS, calls), READ_FREES)


def _writing(
    name: str, call: Callable[[Case], object], calls: tuple[str, ...] = ("sendto",), *, one: bool = True
) -> Wait:
    return Wait(name, full, call, calls, _fitting(WRITERS, calls, one=one), WRITE_FREES)


def _backlog_full(ground: Ground) -> State:
    """Whoever connects has to wait."""
    listener = ground.listener(0)
    ground.socket().connect(listener.getsockname())
    ground.settle(listener, READABLE)
    return State(ground.socket(), listener)


def _connects(case: Case) -> object:
    case.sock.connect(case.other.getsockname())
    return "connected"


def _connects_ex(case: Case) -> object:
    return case.sock.connect_ex(case.other.getsockname())


def _accepts_all(case: Case) -> None:
    """All that wait for it. (Over TCP, one that has found the backlog full tries again a second later.)"""
    for _ in range(2):
        case.ground.settle(case.other, READABLE)
        case.ground.keep(case.other.accept()[0])


CONNECTERS: Final[tuple[Act, ...]] = (
    *OWN,
    ("read without waiting", lambda case: case.sock.recv(1, socket.MSG_DONTWAIT)),
    ("send without waiting", lambda case: case.sock.send(b"x", socket.MSG_DONTWAIT)),
    ("listener closes", lambda case: case.other.close()),
    ("listener is shut", lambda case: case.other.shutdown(socket.SHUT_RDWR)),
)
CONNECTERS_OF_TCP: Final = tuple(act for act in CONNECTERS if act[0] != "reset")
"""The reset goes out as soon as the connection is there; where another processor has yet to deliver what
completes it, the listener hears of none: which comes first is a matter of chance."""

CONNECT_FREES: Final[tuple[Act, ...]] = (("accept", _accepts_all),)

OF_SOCKETS: Final = (
    _reading("recv", lambda case: case.sock.recv(100)),
    _reading("recv with a timeout", _with_timeout(lambda case: case.sock.recv(100)), POLLS),
    _reading("recv_into", _reads_into),
    _reading("recvmsg", lambda case: case.sock.recvmsg(100), ("recvmsg",)),
    _reading("peek", lambda case: case.sock.recv(100, socket.MSG_PEEK)),
    _reading("recv all", lambda case: case.sock.recv(5, socket.MSG_WAITALL)),
    _reading("readline", _reads_file, ("recvfrom", *POLLS)),
    _reading("readline with a timeout", _with_timeout(_reads_file), POLLS),
    _writing("send", _blocking(lambda case: case.sock.send(b"x" * 10))),
    _writing("send with a timeout", _with_timeout(lambda case: case.sock.send(b"x" * 10)), POLLS),
    _writing("sendall", _blocking(lambda case: case.sock.sendall(MUCH)), one=False),
    _writing("sendall with a timeout", _with_timeout(lambda case: case.sock.sendall(MUCH)), POLLS),
    _writing("sendfile", _blocking(_sends_file), ("sendfile",), one=False)._replace(
        acts=tuple(act for act in _fitting(WRITERS, ("sendfile",), one=False) if act[0] != "detach")),
    Wait("accept", listening, _accepts, ("accept4",), LISTENERS, LISTEN_FREES),
    *[Wait("accept with a timeout", listening, _with_timeout(_accepts), POLLS, _fitting(some, POLLS), LISTEN_FREES,
           (family,)) for family, some in ((socket.AF_INET, LISTENERS), (socket.AF_UNIX, NOT_SHUT))],
    *[Wait(name, _backlog_full, call, ("connect",), some, CONNECT_FREES, (family,))
      for name, call in (("connect", _connects), ("connect_ex", _connects_ex))
      for family, some in ((socket.AF_INET, CONNECTERS_OF_TCP), (socket.AF_UNIX, CONNECTERS))],
    Wait("connect with a timeout", _backlog_full, _with_timeout(_connects), POLLS,
         _fitting(CONNECTERS_OF_TCP, POLLS), CONNECT_FREES, (socket.AF_INET,)),
)  # fmt: skip


# -- selectors, and what is like one ---------------------------------------------------------------


class Selector:
    """A selector of `selectors`."""

    def __init__(self, case: Case, kind: str, mask: int) -> None:
        self.case: Final = case
        self.one: Final = getattr(selectors, kind)()
        case.ground.after(self.one.close)
        self.put(case.sock, mask)

    def put(self, sock: socket.socket, mask: int) -> None:
        self.one.register(sock, mask)

    def change(self, sock: socket.socket, mask: int) -> None:
        self.one.modify(sock, mask)

    def take(self, sock: socket.socket) -> None:
        self.one.unregister(sock)

    def wait(self) -> object:
        return self.case.told((key, mask) for key, mask in self.one.select())


class Poller:
    """A poll object, or an epoll object."""

    def __init__(self, case: Case, kind: str, mask: int, flags: int = 0) -> None:
        self.case: Final = case
        self.flags: Final = flags
        self.one: Final = getattr(select, kind)()
        if kind == "epoll":
            case.ground.after(self.one.close)
        self.put(case.sock, mask)

    def _bits(self, mask: int) -> int:
        read, write = mask & EVENT_READ, mask & EVENT_WRITE
        return (select.POLLIN if read else 0) | (select.POLLOUT if write else 0) | self.flags

    def put(self, sock: socket.socket, mask: int) -> None:
        self.one.register(sock, self._bits(mask))

    def change(self, sock: socket.socket, mask: int) -> None:
        self.one.modify(sock, self._bits(mask))

    def take(self, sock: socket.socket) -> None:
        self.one.unregister(sock)

    def wait(self) -> object:
        found = self.one.poll()
        if self.case.is_full:  # when a peer hangs up, that there is room comes a moment later
            found = [(one, bits & ~select.POLLOUT if bits & select.POLLHUP else bits) for one, bits in found]
        return self.case.told(found)


def _puts(case: Case) -> None:
    case.watch.put(case.named(case.another.accepted, "another"), EVENT_READ)


def _sends_to_another(case: Case) -> None:
    case.another.client.send(b"more")
    case.ground.settle(case.another.accepted, READABLE)


def _puts_what_is_ready(case: Case) -> None:
    _sends_to_another(case)
    _puts(case)


def _puts_then_sends(case: Case) -> None:
    _puts(case)
    _sends_to_another(case)


def _puts_again(case: Case) -> None:
    case.watch.take(case.sock)
    case.watch.put(case.sock, EVENT_READ)


def _takes_then_peer_sends(case: Case) -> None:
    case.watch.take(case.sock)
    case.other.send(b"hello")
    case.ground.settle(case.sock, READABLE)


def _number_again(case: Case) -> None:
    """Closed, and its number is another one's."""
    number = case.sock.fileno()
    case.sock.close()
    new = case.ground.socket()
    assert new.fileno() == number


WATCHING: Final[tuple[Act, ...]] = (
    ("another is registered", _puts),
    ("another is registered that is ready", _puts_what_is_ready),
    ("another is registered, and becomes ready", _puts_then_sends),
    ("unregister", lambda case: case.watch.take(case.sock)),
    ("unregister and close", _then(_unregisters, _closes)),
    ("close and unregister", _then(_closes, _unregisters)),
    ("unregister and register", _puts_again),
    ("unregister, and the peer sends", _takes_then_peer_sends),
    ("modify to read", lambda case: case.watch.change(case.sock, EVENT_READ)),
    ("modify to write", lambda case: case.watch.change(case.sock, EVENT_WRITE)),
    ("modify to both", lambda case: case.watch.change(case.sock, BOTH)),
)
CLOSING: Final[tuple[Act, ...]] = (("close the selector", lambda case: case.watch.one.close()),)
NUMBERED: Final[tuple[Act, ...]] = (("close, and its number is used again", _number_again),)

LAST: Final[tuple[Act, ...]] = (
    ("another becomes ready", _sends_to_another),
    ("another is registered", _puts),
    ("shut both", lambda case: case.sock.shutdown(socket.SHUT_RDWR)),
)

ASKED: Final = (
    ("to read", connected, EVENT_READ, READERS, READ_FREES),
    ("to write", full, EVENT_WRITE, WRITERS, WRITE_FREES),
    ("to accept", listening, EVENT_READ, LISTENERS, LISTEN_FREES),
)
"""For what one waits: in which state, with which mask."""


def _watching(
    name: str, calls: tuple[str, ...], makes: Callable[[Case, int], object], own: tuple[Act, ...]
) -> list[Wait]:
    def waits(mask: int) -> Callable[[Case], object]:
        def call(case: Case) -> object:
            case.named(case.sock, "it")
            case.watch = makes(case, mask)
            return case.watch.wait()

        return call

    with_peer = {"unregister, and the peer sends"}
    return [
        Wait(
            f"{name} {what}", state, waits(mask), calls,
            (*_fitting(acts, calls, one=False),
             *[one for one in own if state is not listening or one[0] not in with_peer]),
            (*frees, *LAST),
        )
        for what, state, mask, acts, frees in ASKED
    ]  # fmt: skip


def _selects(*lists: int) -> Callable[[Case], object]:
    def call(case: Case) -> object:
        read, write, odd = ([case.sock] * one for one in lists)
        found = select.select(read, write, odd)
        return [[one is case.sock for one in some] for some in found]

    return call


def _with_flags() -> list[Wait]:
    """epoll, told what to tell only once, or to one."""
    found: list[Wait] = []
    for flag, bit in FLAGS.items():

        def makes(case: Case, mask: int, bit: int = bit) -> object:
            return Poller(case, "epoll", mask, bit)

        found += [
            wait._replace(families=(socket.AF_INET,)) for wait in _watching(f"epoll {flag}", EPOLLS, makes, WATCHING)
        ]
    return found


FLAGS: Final = {"EPOLLET": 1 << 31, "EPOLLONESHOT": 1 << 30, "EPOLLEXCLUSIVE": 1 << 28}

OF_SELECTORS: Final = (
    *_watching("EpollSelector", EPOLLS, lambda case, mask: Selector(case, "EpollSelector", mask),
               (*[act for act in WATCHING if "modify" not in act[0]], *CLOSING, *NUMBERED)),
    *_watching("PollSelector", POLLS, lambda case, mask: Selector(case, "PollSelector", mask),
               (*WATCHING, *CLOSING, *NUMBERED)),
    *_watching("SelectSelector", SELECTS, lambda case, mask: Selector(case, "SelectSelector", mask),
               (*WATCHING, *CLOSING, *NUMBERED)),
    *_watching("poll", POLLS, lambda case, mask: Poller(case, "poll", mask), (*WATCHING, *NUMBERED)),
    *_watching("epoll", EPOLLS, lambda case, mask: Poller(case, "epoll", mask), (*WATCHING, *CLOSING, *NUMBERED)),
    *_with_flags(),
    *[Wait(f"select {what}", state, _selects(*lists), SELECTS, (*_fitting(acts, SELECTS, one=False), *NUMBERED), frees)
      for (what, state, _, acts, frees), lists in zip(ASKED, ([1, 0, 0], [0, 1, 0], [1, 0, 1]), strict=True)],
)  # fmt: skip

WAITS: Final = (*OF_SOCKETS, *OF_SELECTORS)


# -- a cell ----------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What is seen in a cell."""

    did: object
    """What the first thread's call has come to."""
    woken: bool
    """Whether the second one has come out of its own by that ..."""
    freed: str
    """... or else, by what."""
    outcome: object
    """What its call has come to."""
    then: tuple[int | None, int | None]
    """Of what readiness both ends are right after what the first one did ..."""
    ready: tuple[int | None, int | None]
    """... and in the end."""
    more: list[object]
    """What the next calls report."""


def cell(ground: Ground, wait: Wait, act: Act, like: Seen | None = None) -> Seen:
    """Let a second thread wait, and do something meanwhile. like: what it should come to."""
    ground.clear()
    case = Case(ground, wait)
    second = case.second = Second(ground, lambda: wait.call(case), wait.calls)
    case.wanted = like is not None and like.woken
    did = short(ground.outcome(lambda: act[1](case)))
    woken = second.wakes(case.wanted)
    then = _readiness(case, None if like is None else like.then)
    freed = ""
    for name, free in wait.frees:
        if second.is_over:
            break
        case.wanted = like is not None and like.freed == name
        ground.outcome(lambda free=free: free(case))  # type: ignore[misc]
        if second.wakes(case.wanted):
            freed = name
    assert second.is_over, "nothing lets it go on"
    if "peer reads" in (act[0], freed):
        _makes_room(case)
    ready = _readiness(case, None if like is None else like.ready)
    other = None if case.is_full else case.other
    return Seen(did, woken, freed, second.outcome, then, ready, aftermath(ground, State(case.sock, other), ends=False))


def _readiness(case: Case, like: tuple[int | None, int | None] | None) -> tuple[int | None, int | None]:
    wanted = (None, None) if like is None else like
    ends = zip((case.sock, None if case.is_full else case.other), wanted, strict=True)
    one, other = (None if sock is None else case.ground.ready_like(sock, bits) for sock, bits in ends)
    return one, other

"""What selectors are asked: what `test_kernel_selectors` runs on the kernel and in a scenario."""

from __future__ import annotations

import math
import os
import resource
import selectors
import socket
from fractions import Fraction
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, SelectorKey
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kernel import BOTH, ENDED, READABLE, RESET, SHORT, temporary_file
from kernel_calls import RESETS_ON_CLOSE, bound, client_waiting, full, peer_half_closed, peer_shut_reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Ground
    from kernel_calls import State

Kind: TypeAlias = "Callable[..., Any]"  # Any: a selector, which is called as its types forbid
Case: TypeAlias = "Callable[[Ground, Kind], object]"

KINDS: Final = ("EpollSelector", "PollSelector", "SelectSelector")
MASKS: Final = (EVENT_READ, EVENT_WRITE, BOTH, 0, 4, -1)


def seen(value: Any) -> object:  # Any: whatever a selector returns
    """Without numbers of descriptors and objects: of a key, its mask and data."""
    if isinstance(value, SelectorKey):
        return ("key", value.events, value.data)
    if isinstance(value, BaseSelector):
        return "a selector"
    return [seen(one) for one in value] if type(value) in (list, tuple) else value


def tried(ground: Ground, *calls: Callable[[], object]) -> list[object]:
    """What comes of each of some calls."""

    def one(call: Callable[[], object]) -> object:
        return ground.outcome(lambda: seen(call()))

    return [one(call) for call in calls]


# -- states of sockets, beside those of `kernel_calls` ----------------------------------------------


def full_and_shut_writing(ground: Ground) -> State:
    state = full(ground)
    state.sock.shutdown(socket.SHUT_WR)
    return state


def full_and_shut_both(ground: Ground) -> State:
    state = full(ground)
    state.sock.shutdown(socket.SHUT_RDWR)
    return state


def client_waiting_when_shut(ground: Ground) -> State:
    state = client_waiting(ground)
    state.sock.shutdown(socket.SHUT_RDWR)
    return state


def bound_and_shut(ground: Ground) -> State:
    state = bound(ground)
    ground.outcome(lambda: state.sock.shutdown(socket.SHUT_RDWR))
    return state


def peer_half_closed_and_we_shut_reading(ground: Ground) -> State:
    state = peer_half_closed(ground)
    state.sock.shutdown(socket.SHUT_RD)
    return state


def both_shut_reading(ground: Ground) -> State:
    state = peer_shut_reading(ground)
    state.sock.shutdown(socket.SHUT_RD)
    return state


MORE_STATES: Final = (
    full_and_shut_writing, full_and_shut_both, client_waiting_when_shut, bound_and_shut,
    peer_half_closed_and_we_shut_reading, both_shut_reading,
)  # fmt: skip

# -- what is ready ---------------------------------------------------------------------------------


def readiness(ground: Ground, state: Callable[[Ground], State]) -> Callable[[], list[object]]:
    """Bring a socket into a state; returns what tells of it what each kind of selector says, for each mask."""
    ground.clear()
    sock = state(ground).sock

    def asked(name: str, mask: int) -> list[object]:
        with getattr(selectors, name)() as selector:
            return tried(
                ground,
                lambda: selector.register(sock, BOTH),
                lambda: selector.modify(sock, mask),
                lambda: selector.select(0),
                lambda: selector.select(0),
            )

    return lambda: [(name, mask, asked(name, mask)) for name in KINDS for mask in MASKS]


# -- registration ----------------------------------------------------------------------------------


class Wrapper:
    """Something with a `fileno()`."""

    def __init__(self, number: Callable[[], object]) -> None:
        self.fileno = number


def raising() -> object:
    raise OSError(5, "nothing is there")


NONSENSE: Final[tuple[Any, ...]] = (None, "text", 1.5, object(), -1, -10, [], Wrapper(lambda: -1), Wrapper(lambda: "3"),
                   Wrapper(lambda: None), Wrapper(raising), True.__class__)  # fmt: skip
BAD_MASKS: Final = (0, 4, 7, 8, -1, True, "r", None, 1.5, 1 << 40)


def closed_number(ground: Ground) -> int:
    """A number that stands for nothing."""
    sock = ground.socket()
    number = sock.fileno()
    sock.close()
    return number


def registers_by_object_number_and_wrapper(ground: Ground, kind: Kind) -> object:
    def attempt(sock: socket.socket, thing: object) -> object:
        with kind() as selector:
            return tried(
                ground,
                lambda: selector.register(thing, EVENT_WRITE, "data"),
                lambda: selector.register(thing, EVENT_WRITE),
                lambda: selector.register(sock, EVENT_READ),
                lambda: selector.register(sock.fileno(), EVENT_READ),
                lambda: selector.get_key(sock).fileobj is thing,
                lambda: selector.get_key(sock.fileno()).fd == sock.fileno(),
                lambda: selector.select(0),
                lambda: selector.unregister(sock.fileno()).fileobj is thing,
                lambda: selector.unregister(thing),
                lambda: selector.select(0),
            )

    one, two, three = (ground.pair().accepted for _ in range(3))
    return [attempt(one, one), attempt(two, two.fileno()), attempt(three, Wrapper(three.fileno))]


def registers_by_keyword(ground: Ground, kind: Kind) -> object:
    sock = ground.pair().accepted
    selector = kind()
    return tried(
        ground,
        lambda: selector.register(fileobj=sock, events=EVENT_WRITE, data=1),
        lambda: selector.modify(fileobj=sock, events=EVENT_WRITE, data=2),
        lambda: selector.get_key(fileobj=sock),
        lambda: selector.select(timeout=0),
        lambda: selector.unregister(fileobj=sock),
        lambda: selector.register(sock),
        lambda: selector.register(sock, 1, 2, 3),
        selector.close,
    )


def registers_with_bad_masks(ground: Ground, kind: Kind) -> object:

    def attempt(mask: Any) -> object:
        sock = ground.pair().accepted
        with kind() as selector:
            return tried(
                ground,
                lambda: selector.register(sock, mask),
                lambda: len(selector.get_map()),
                lambda: selector.select(0),
            )

    return [attempt(mask) for mask in BAD_MASKS]


def registers_nonsense(ground: Ground, kind: Kind) -> object:
    with kind() as selector:
        told = [tried(ground, partial(selector.register, thing, BOTH)) for thing in NONSENSE]
        return [*told, len(selector.get_map())]


def asks_for_nonsense(ground: Ground, kind: Kind) -> object:
    with kind() as selector:
        selector.register(ground.pair().accepted, EVENT_READ)

        def attempt(thing: object) -> object:
            return tried(
                ground,
                lambda: selector.unregister(thing),
                lambda: selector.modify(thing, BOTH),
                lambda: selector.get_key(thing),
                lambda: selector.get_map()[thing],
                lambda: selector.get_map().get(thing, "none"),
                lambda: thing in selector.get_map(),
            )

        things = (*NONSENSE, 999_999, ground.socket(), ground.socket().fileno())
        return [attempt(thing) for thing in things], len(selector.get_map())


def registers_a_number_too_large(ground: Ground, kind: Kind) -> object:

    def attempt(number: int) -> object:
        with kind() as selector:
            return tried(
                ground,
                lambda: selector.register(number, BOTH),
                lambda: len(selector.get_map()),
                lambda: selector.select(0),
            )

    return [attempt(number) for number in (1 << 31, 1 << 40, 1 << 70)]


def registers_closed_ones(ground: Ground, kind: Kind) -> object:
    closed, number = ground.socket(), closed_number(ground)
    closed.close()
    with kind() as selector:
        return tried(
            ground,
            lambda: selector.register(closed, BOTH),
            lambda: selector.register(number, BOTH, "closed"),
            lambda: len(selector.get_map()),
            lambda: selector.select(0),
            lambda: selector.select(SHORT),
            lambda: selector.modify(number, EVENT_READ),
            lambda: selector.select(0),
            lambda: selector.unregister(number),
            lambda: selector.unregister(closed),
            lambda: selector.select(0),
        )


def modifies(ground: Ground, kind: Kind) -> object:
    data = [1]

    def attempt(mask: Any, other: object) -> object:
        sock = ground.pair().accepted
        with kind() as selector:
            key = selector.register(sock, EVENT_READ, data)
            return tried(
                ground,
                lambda: selector.modify(sock, mask, other),
                lambda: selector.get_key(sock),
                lambda: selector.get_key(sock) is key,
                lambda: selector.get_key(sock).data is data,
                lambda: len(selector.get_map()),
                lambda: selector.select(0),
                lambda: selector.modify(sock.fileno(), EVENT_WRITE),
                lambda: selector.select(0),
                lambda: selector.unregister(sock),
            )

    return [
        attempt(mask, other) for mask in (EVENT_READ, *BAD_MASKS, EVENT_WRITE, BOTH) for other in (data, [1], "other")
    ]


# -- closed while it is registered ------------------------------------------------------------------


def closed_while_registered(ground: Ground, kind: Kind) -> object:

    def attempt(mask: int, *, by_number: bool, unregisters: bool) -> object:
        sock, other = ground.pair().accepted, ground.pair().accepted
        number = sock.fileno()
        thing = number if by_number else sock
        with kind() as selector:
            selector.register(sock, mask, "closed")
            selector.register(other, EVENT_WRITE, "other")
            sock.close()
            calls = [
                lambda: selector.select(0),
                lambda: selector.select(0),
                lambda: selector.select(SHORT),
                lambda: selector.register(number, BOTH),
                lambda: selector.register(sock, BOTH),
                lambda: selector.get_key(thing),
                lambda: selector.modify(thing, mask, "again"),
                lambda: selector.unregister(thing) if unregisters else None,
                lambda: selector.modify(thing, mask ^ EVENT_READ or BOTH, "other mask"),
                lambda: len(selector.get_map()),
                lambda: selector.select(0),
                lambda: selector.unregister(thing),
                lambda: selector.unregister(number),
                lambda: selector.select(0),
            ]
            return tried(ground, *calls)

    return [
        attempt(mask, by_number=by_number, unregisters=unregisters)
        for mask in (EVENT_READ, EVENT_WRITE, BOTH)
        for by_number in (False, True)
        for unregisters in (False, True)
    ]


def modified_just_after_it_is_closed(ground: Ground, kind: Kind) -> object:
    sock, other = ground.pair().accepted, ground.pair().accepted
    number = sock.fileno()
    with kind() as selector:
        selector.register(sock, EVENT_READ, "closed")
        selector.register(other, EVENT_WRITE, "other")
        sock.close()
        return tried(
            ground,
            lambda: selector.modify(number, BOTH, "modified"),
            lambda: selector.select(0),
            lambda: selector.unregister(number),
            lambda: selector.select(0),
        )


def reused(ground: Ground, selector: Any, make: Callable[[], socket.socket]) -> tuple[socket.socket, socket.socket]:
    """A socket that was closed while it was registered, and the next, which has its number."""
    sock = ground.pair().accepted
    number = sock.fileno()
    selector.register(sock, EVENT_READ, "closed")
    sock.close()
    other = make()
    assert number == other.fileno()
    return sock, other


def number_given_to_another(ground: Ground, kind: Kind) -> object:

    def attempt(mask: int, unregisters: str) -> object:
        with kind() as selector:
            old, new = reused(ground, selector, ground.socket)
            calls = [
                lambda: selector.select(0),
                lambda: selector.register(new, BOTH),
                lambda: selector.get_key(new).fileobj is old,
                lambda: selector.get_key(old).fileobj is old,
                lambda: new in selector.get_map(),
                lambda: selector.modify(new, EVENT_READ, "same mask"),
                lambda: selector.unregister(old if unregisters == "old" else new) if unregisters else None,
                lambda: selector.modify(new, mask, "modified"),
                lambda: selector.select(0),
                lambda: len(selector.get_map()),
                lambda: selector.register(new, BOTH, "new"),
                lambda: selector.select(0),
                lambda: selector.unregister(new),
                lambda: selector.register(new, EVENT_WRITE, "at last"),
                lambda: selector.select(0),
            ]
            return tried(ground, *calls)

    return [attempt(mask, which) for mask in (EVENT_READ, EVENT_WRITE, BOTH, 0) for which in ("", "old", "new")]


def number_given_to_one_that_is_ready(ground: Ground, kind: Kind) -> object:
    """A listener, for which a client then comes."""
    with kind() as selector:
        _, listener = reused(ground, selector, ground.listener)
        before = tried(ground, lambda: selector.select(0))
        ground.socket().connect(listener.getsockname())
        ground.settle(listener, READABLE)
        return before + tried(ground, lambda: selector.select(0), lambda: selector.select(0))


def closed_with_a_file_open(ground: Ground, kind: Kind) -> object:
    """The connection is open as long as the file is."""
    pair = ground.pair()
    number, file = pair.accepted.fileno(), pair.accepted.makefile("rb")
    ground.after(file.close)
    pair.client.send(b"x")
    ground.settle(pair.accepted, READABLE)
    with kind() as selector:
        selector.register(pair.accepted, BOTH)
        pair.accepted.close()
        return tried(
            ground,
            lambda: selector.select(0),
            lambda: selector.modify(pair.accepted, EVENT_WRITE),
            lambda: selector.select(0),
            lambda: pair.accepted.fileno() == number,
            lambda: selector.unregister(pair.accepted),
            lambda: selector.register(file, EVENT_READ, "file"),
            lambda: selector.select(0),
            lambda: selector.unregister(number),
            file.close,
            lambda: selector.register(number, EVENT_READ),
        )


def detached_while_registered(ground: Ground, kind: Kind) -> object:
    pair = ground.pair()
    with kind() as selector:
        selector.register(pair.accepted, BOTH)
        number = pair.accepted.detach()
        again = ground.keep(socket.socket(fileno=number))
        return tried(
            ground,
            lambda: selector.select(0),
            lambda: selector.get_key(pair.accepted).fd == number,
            lambda: selector.modify(again, EVENT_READ),
            lambda: selector.modify(pair.accepted, EVENT_WRITE),
            lambda: selector.select(0),
            lambda: selector.unregister(again),
            lambda: selector.unregister(pair.accepted),
        )


# -- select ----------------------------------------------------------------------------------------


def tells_again_and_again(ground: Ground, kind: Kind) -> object:
    pair = ground.pair()
    told: list[object] = []
    with kind() as selector:
        selector.register(pair.accepted, EVENT_READ, "reader")
        pair.client.send(b"hello")
        ground.arrived(pair.accepted, 5)
        told += tried(ground, selector.select, lambda: selector.select(0))
        for size in (2, 3):
            pair.accepted.recv(size)
            told += tried(ground, lambda: selector.select(0), lambda: selector.select(0))
        pair.client.close()
        ground.settle(pair.accepted, READABLE)
        told += tried(ground, selector.select, lambda: pair.accepted.recv(1), selector.select)
    return told


def tells_while_clients_wait(ground: Ground, kind: Kind) -> object:
    listener = ground.listener()
    told: list[object] = []
    with kind() as selector:
        selector.register(listener, BOTH, "listener")
        told += tried(ground, lambda: selector.select(0))
        for _ in range(2):
            ground.socket().connect(listener.getsockname())
        ground.settle(listener, READABLE)
        for _ in range(2):
            told += tried(ground, selector.select, selector.select)
            ground.keep(listener.accept()[0])
        return told + tried(ground, lambda: selector.select(0))


def tells_in_order(ground: Ground, kind: Kind) -> object:
    """By epoll in the order of arrival, by poll in that of registration; select() has none."""
    listener = ground.listener()
    pairs = [ground.pair(listener) for _ in range(3)]
    told: list[list[int]] = []
    with kind() as selector:
        for number, pair in enumerate(pairs):
            selector.register(pair.accepted, EVENT_READ, number)
        for number in (2, 0, 1):
            pairs[number].client.send(b"x")
            ground.settle(pairs[number].accepted, READABLE)
            told.append([key.data for key, _ in selector.select(0)])
        selector.modify(pairs[0].accepted, BOTH, 0)
        told.append([key.data for key, _ in selector.select(0)])
    return [sorted(one) for one in told] if kind is selectors.SelectSelector else told


class Crowd:
    """Some connections and a listener, watched by one selector; what is done to them, and in which order that is told.

    Each step is over when the kernel has done what is to be done.
    """

    SIZE: Final = 4
    LISTENER: Final = SIZE
    """The place of the listener, behind those of the connections."""

    def __init__(self, ground: Ground, selector: BaseSelector) -> None:
        ground.clear()
        self.ground = ground
        self.selector = selector
        listener = ground.listener()
        pairs = [ground.pair(listener) for _ in range(self.SIZE)]
        self.near = [*(pair.accepted for pair in pairs), listener]
        self.far = [pair.client for pair in pairs]
        self.waiting = 0
        self.unread = [0] * self.SIZE
        for sock in (*self.near, *self.far):
            sock.setblocking(False)

    def do(self, step: str, which: int, mask: int) -> object:
        """Take a step. What has no meaning for the listener, or for what is closed, is left out."""
        if step in ("register", "modify"):
            return seen(getattr(self.selector, step)(self.near[which], mask, which))
        if step == "unregister":
            return seen(self.selector.unregister(self.near[which]))
        if step == "select":
            return [(key.data, mask) for key, mask in self.selector.select(0)]
        if which == self.LISTENER:
            return self._of_listener(step)
        if self.near[which].fileno() < 0 or (self.far[which].fileno() < 0 and step not in ("read", "read one")):
            return None
        result: object = getattr(self, "_" + step.replace(" ", "_"))(which)
        return result

    def _of_listener(self, step: str) -> object:
        if step == "send":
            self.ground.socket().connect(self.near[self.LISTENER].getsockname())
            self.waiting += 1
            self.ground.settle(self.near[self.LISTENER], READABLE)
        elif step == "read" and self.waiting:
            self.ground.keep(self.near[self.LISTENER].accept()[0])
            self.waiting -= 1
        return None

    def _send(self, which: int) -> object:
        try:
            self.far[which].send(b"ab")
        except OSError as error:
            return type(error).__name__
        self.unread[which] += 2
        self.ground.arrived(self.near[which], self.unread[which])
        return None

    def _read(self, which: int) -> object:
        self.unread[which] = 0
        return self.near[which].recv(1000)

    def _read_one(self, which: int) -> object:
        self.unread[which] = max(self.unread[which] - 1, 0)
        return self.near[which].recv(1)

    def _answer(self, which: int) -> object:
        """And the peer reads it: for the room that makes, nobody waits."""
        sent = self.near[which].send(b"answer")
        self.ground.settle(self.far[which], READABLE)
        return sent, self.far[which].recv(100)

    def _end(self, which: int) -> None:
        self.far[which].shutdown(socket.SHUT_WR)
        self.ground.settle(self.near[which], ENDED)

    def _close(self, which: int) -> None:
        self.far[which].close()
        self.ground.settle(self.near[which], ENDED)

    def _reset(self, which: int) -> None:
        self.far[which].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS_ON_CLOSE)
        self.far[which].close()
        self.ground.settle(self.near[which], RESET if self.ground.family != socket.AF_UNIX else ENDED)
        self.unread[which] = 0

    def _shut_writing(self, which: int) -> None:
        self.near[which].shutdown(socket.SHUT_WR)
        self.ground.settle(self.far[which], ENDED)


CROWD_STEPS: Final = (
    "send", "send", "send", "read", "read", "read one", "answer", "select", "select", "modify", "unregister",
    "register", "end", "close", "reset", "shut writing",
)  # fmt: skip

CrowdStep: TypeAlias = tuple[str, int, int]


def told_in_order(ground: Ground, kind: Kind, steps: list[CrowdStep]) -> list[object]:
    """What comes of each step; what `select()` tells, in its order (by select() itself, that is a set's)."""
    with kind() as selector:
        crowd = Crowd(ground, selector)
        for number in range(Crowd.SIZE + 1):
            selector.register(crowd.near[number], EVENT_READ, number)
        told = [(step, ground.outcome(lambda step=step: crowd.do(*step))) for step in (*steps, ("select", 0, 0))]  # type: ignore[misc]
    return [in_any_order(one) if kind is selectors.SelectSelector else one for _, one in told]


def in_any_order(told: Any) -> object:  # Any: what came of a step
    """What a set has put into its own order."""
    if not isinstance(told, list):
        return told
    parts: list[Any] = told  # pyright: ignore[reportUnknownVariableType]  # what it holds depends on the step
    return sorted(parts)


def watches_more_than_select_can(ground: Ground, kind: Kind) -> object:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    ground.after(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)))
    with kind() as selector:
        for _ in range(1100):
            selector.register(ground.socket(), EVENT_WRITE)
        return tried(ground, lambda: len(selector.select(0)), lambda: len(selector.get_map()))


def keeps_selectors_apart(ground: Ground, kind: Kind) -> object:
    sock = ground.pair().accepted
    with kind() as one, kind() as other:
        return tried(
            ground,
            lambda: one.register(sock, EVENT_READ, "one"),
            lambda: other.register(sock.fileno(), EVENT_WRITE, "other"),
            lambda: one.select(0),
            lambda: other.select(0),
            lambda: one.unregister(sock),
            lambda: other.select(0),
            lambda: one.register(sock, EVENT_WRITE, "one"),
            other.close,
            lambda: one.select(0),
        )


TIMEOUTS: Final[tuple[Any, ...]] = (
    0, -1, 0.0, -0.5, True, 0.001, 5, Fraction(1, 100), "1", [], object(), math.nan, math.inf, -math.inf, 1e10, 2**40,
    2**80, 1e300, -(2**80),
)  # fmt: skip


def waits_with_something_ready(ground: Ground, kind: Kind) -> object:
    with kind() as selector:
        selector.register(ground.pair().accepted, EVENT_WRITE)
        return tried(ground, *(partial(selector.select, one) for one in (None, *TIMEOUTS)))


def waits_with_nothing_ready(ground: Ground, kind: Kind) -> object:
    with kind() as selector:
        selector.register(ground.pair().accepted, EVENT_READ)
        short: tuple[Any, ...] = (0, -1, 0.0, SHORT, 1e-9, Fraction(1, 1000), "1", [], math.nan, -math.inf)
        return tried(ground, *(partial(selector.select, one) for one in short))


def waits_for_nothing(ground: Ground, kind: Kind) -> object:
    with kind() as selector:
        return tried(ground, *(partial(selector.select, one) for one in (0, -1, SHORT, "1", math.nan)))


# -- the selector itself ---------------------------------------------------------------------------


def after_close(ground: Ground, kind: Kind) -> object:

    def attempt(ready: int) -> object:
        sock, other = ground.pair().accepted, ground.pair().accepted
        selector = kind()
        selector.register(sock, ready, "before")
        names = selector.get_map()
        selector.close()
        return tried(
            ground,
            selector.get_map,
            lambda: len(names),
            lambda: names[sock],
            lambda: names.get(sock, "none"),
            lambda: list(names),
            lambda: selector.get_key(sock),
            lambda: selector.unregister(sock),
            lambda: selector.modify(sock, BOTH),
            lambda: selector.select(0),
            lambda: selector.select(SHORT),
            lambda: selector.register(other, EVENT_WRITE, "after"),
            lambda: selector.select(0),
            lambda: len(names),
            lambda: selector.get_key(other),
            lambda: selector.register(sock, BOTH, "after"),
            lambda: selector.modify(other, BOTH, "modified"),
            lambda: sorted(selector.select(0), key=lambda one: one[0].data),
            lambda: selector.unregister(other),
            lambda: selector.select(0),
            lambda: selector.__enter__() is selector,
            lambda: selector.__exit__(None, None, None),
            selector.close,
            lambda: selector.select(0),
            sock.close,
            lambda: selector.select(0),
        )

    return [attempt(ready) for ready in (EVENT_READ, EVENT_WRITE)]


def closed_before_its_sockets(ground: Ground, kind: Kind) -> object:
    """And a socket that it once had is closed later."""
    sock = ground.pair().accepted
    selector = kind()
    selector.register(sock, EVENT_WRITE)
    selector.close()
    sock.close()
    return tried(ground, lambda: selector.select(0), lambda: selector.select(SHORT), selector.close)


def the_map(ground: Ground, kind: Kind) -> object:
    one, other, closed = (ground.pair().accepted for _ in range(3))
    with kind() as selector:
        names = selector.get_map()
        told = tried(ground, lambda: len(names), lambda: list(names), lambda: bool(names), lambda: names.get(one))
        selector.register(one, EVENT_READ, "one")
        selector.register(other.fileno(), EVENT_WRITE, "other")
        selector.register(closed, EVENT_WRITE, "closed")
        number = closed.fileno()
        closed.close()
        return told + tried(
            ground,
            lambda: selector.get_map() is names,
            lambda: len(names),
            lambda: list(names) == [one.fileno(), other.fileno(), number],
            lambda: list(names.keys()) == list(names),
            lambda: list(names.values()),
            lambda: [value for _, value in names.items()],
            lambda: [thing in names for thing in (one, one.fileno(), other, other.fileno(), closed, number, 999_999)],
            lambda: [names[thing] for thing in (one, one.fileno(), other, closed, number)],
            lambda: names[ground.socket()],
            lambda: names.__setitem__(one, 1),
            lambda: names.__delitem__(one),
            lambda: names == dict(names),
            lambda: selector.unregister(closed),
            lambda: len(names),
            lambda: closed in names,
            lambda: names[closed],
        )


def changed_while_it_is_looked_through(ground: Ground, kind: Kind) -> object:
    socks = [ground.pair().accepted for _ in range(3)]
    told: list[object] = []
    for change in ("register", "unregister", "modify"):
        with kind() as selector:
            for sock in socks[:2]:
                selector.register(sock, EVENT_WRITE)

            def looks(selector: Any = selector, change: str = change) -> int:
                count = 0
                for number in selector.get_map():
                    count += 1
                    if change == "unregister":
                        selector.unregister(number)
                    else:
                        getattr(selector, change)(socks[2] if change == "register" else number, EVENT_READ)
                return count

            told += tried(ground, looks)
    return told


def what_it_is(ground: Ground, kind: Kind) -> object:
    with kind() as selector:
        classes = (
            *(getattr(selectors, name) for name in KINDS),
            selectors.DefaultSelector,
            BaseSelector,
            socket.socket,
        )
        return tried(
            ground,
            lambda: type(selector).__name__,
            lambda: [isinstance(selector, one) for one in classes],
            lambda: hasattr(selector, "fileno"),
            lambda: selector.__enter__() is selector,
            lambda: kind(1),
        )


def left_by_an_exception(ground: Ground, kind: Kind) -> object:
    selector = kind()

    def raises() -> None:
        with selector as entered:
            assert selector is entered
            raise ZeroDivisionError

    return tried(ground, raises, selector.get_map)


# -- real descriptors ------------------------------------------------------------------------------


def pipe(ground: Ground) -> tuple[int, int]:
    ends = os.pipe()

    def close() -> None:
        for end in ends:
            try:
                os.close(end)
            except OSError:
                pass  # the case has closed it itself

    ground.after(close)
    return ends


def watches_a_pipe(ground: Ground, kind: Kind) -> object:
    reader, writer = pipe(ground)
    sock = ground.pair().accepted
    with kind() as selector:
        looks = lambda: sorted(selector.select(0), key=lambda one: one[0].data)  # noqa: E731
        return tried(
            ground,
            lambda: selector.register(reader, EVENT_READ, "reader"),
            lambda: selector.register(writer, EVENT_WRITE, "writer"),
            lambda: selector.register(sock, EVENT_WRITE, "socket"),
            lambda: selector.register(reader, EVENT_READ),
            looks,
            lambda: os.write(writer, b"x"),
            looks,
            lambda: selector.modify(writer, EVENT_READ, "writer"),
            looks,
            lambda: selector.modify(reader, 0, "reader"),
            looks,
            lambda: os.close(writer),
            looks,
            lambda: selector.unregister(writer),
            looks,
            lambda: selector.modify(reader, BOTH, "reader"),
            looks,
            lambda: os.close(reader),
            lambda: selector.modify(reader, EVENT_READ, "reader"),
            lambda: selector.unregister(reader),
            looks,
            lambda: selector.unregister(sock),
            looks,
        )


def watches_a_pipe_that_is_closed(ground: Ground, kind: Kind) -> object:
    reader, _ = pipe(ground)
    with kind() as selector:
        selector.register(reader, EVENT_READ, "reader")
        os.close(reader)
        return tried(
            ground,
            lambda: selector.select(0),
            lambda: selector.select(SHORT),
            lambda: selector.unregister(reader),
            lambda: selector.register(reader, EVENT_READ),
            lambda: len(selector.get_map()),
            lambda: selector.select(0),
        )


def watches_a_file(ground: Ground, kind: Kind) -> object:
    """Which epoll refuses."""
    with temporary_file(b"") as file, kind() as selector:
        return tried(
            ground,
            lambda: selector.register(file, EVENT_READ, "file"),
            lambda: selector.select(0),
            lambda: selector.get_key(file),
            lambda: selector.unregister(file),
            lambda: selector.select(0),
        )


def watches_a_real_pair_of_sockets(ground: Ground, kind: Kind) -> object:
    near, far = socket.socketpair()
    with near, far, kind() as selector:
        return tried(
            ground,
            lambda: selector.register(near, BOTH, "near"),
            lambda: selector.select(0),
            lambda: far.send(b"x"),
            lambda: selector.select(),
            far.close,
            lambda: selector.select(0),
            lambda: selector.modify(near, 0, "near"),
            lambda: selector.select(0),
            near.close,
            lambda: selector.select(0),
            lambda: selector.unregister(near),
        )


CASES: Final[tuple[Case, ...]] = (
    registers_by_object_number_and_wrapper, registers_by_keyword, registers_with_bad_masks, registers_nonsense,
    asks_for_nonsense, registers_a_number_too_large, registers_closed_ones, modifies, closed_while_registered,
    modified_just_after_it_is_closed, number_given_to_another, number_given_to_one_that_is_ready,
    closed_with_a_file_open, detached_while_registered, tells_again_and_again, tells_while_clients_wait,
    tells_in_order, watches_more_than_select_can, keeps_selectors_apart,
    waits_with_something_ready, waits_with_nothing_ready, waits_for_nothing, after_close,
    closed_before_its_sockets, the_map, changed_while_it_is_looked_through, what_it_is, left_by_an_exception,
    watches_a_pipe, watches_a_pipe_that_is_closed, watches_a_file, watches_a_real_pair_of_sockets,
)  # fmt: skip

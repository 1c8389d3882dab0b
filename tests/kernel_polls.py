"""What poll and epoll objects and `select.select()` are asked, by `test_kernel_polls`.

An object is told which bits; what it says of sockets is compared bit by bit, by the sockets' places and not by numbers.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kernel import READABLE, SHORT, temporary_file
from kernel_calls import full
from kernel_selectors import NONSENSE, Crowd, Wrapper, closed_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernel import Ground
    from kernel_calls import State

Maker: TypeAlias = "Callable[..., Any]"  # Any: poll and epoll objects are called as their types forbid
Case: TypeAlias = "Callable[[Ground, Maker], object]"

system: Final[Any] = select  # Any: it is called as its types forbid

IN, OUT, PRI, RDHUP = select.POLLIN, select.POLLOUT, select.POLLPRI, select.POLLRDHUP
NORM: Final = select.POLLRDNORM | select.POLLWRNORM | select.POLLRDBAND | select.POLLWRBAND
ALL: Final = IN | OUT | PRI | RDHUP | NORM
MASKS: Final = (IN, OUT, PRI, RDHUP, IN | OUT | RDHUP, NORM, ALL, select.POLLHUP, select.POLLERR, 0)
EDGE, ONCE, EXCLUSIVE = select.EPOLLET, select.EPOLLONESHOT, select.EPOLLEXCLUSIVE

MAKERS: Final[tuple[Maker, ...]] = (lambda: system.poll(), lambda: system.epoll())
NAMES: Final = ("poll", "epoll")


def tried(ground: Ground, *calls: Callable[[], object]) -> list[object]:
    """What comes of each of some calls."""
    return [ground.outcome(call) for call in calls]


def placed(found: Sequence[tuple[int, int]], *socks: Any) -> list[object]:  # Any: whatever has a fileno()
    """What was found, by the places of the sockets."""
    places = {sock if isinstance(sock, int) else sock.fileno(): place for place, sock in enumerate(socks)}
    return [(places.get(number, "another"), bits) for number, bits in found]


def closes(ground: Ground, thing: Any) -> Any:  # Any: a poll object has nothing to close
    """An object that is closed at the end, if it can be."""
    if hasattr(thing, "close"):
        ground.after(thing.close)
    return thing


# -- what is ready ---------------------------------------------------------------------------------


def polled(ground: Ground, state: Callable[[Ground], State]) -> Callable[[], list[object]]:
    """Bring a socket into a state; returns what tells of it what poll and epoll say, for each mask."""
    ground.clear()
    sock = state(ground).sock

    def asked(make: Maker, mask: int) -> list[object]:
        poller = make()
        told = tried(
            ground,
            lambda: poller.register(sock, mask),
            lambda: placed(poller.poll(0), sock),
            lambda: placed(poller.poll(0), sock),
        )
        if isinstance(poller, system.epoll):
            poller.close()
        return told

    return lambda: [
        *[(mask, asked(make, mask)) for make in MAKERS for mask in MASKS],
        *[(mask, kind, asked(MAKERS[1], mask | kind)) for mask in (IN, OUT, ALL) for kind in (EDGE, ONCE, EDGE | ONCE)],
    ]


def selected(ground: Ground, state: Callable[[Ground], State]) -> Callable[[], list[object]]:
    """The same for select()."""
    ground.clear()
    sock = state(ground).sock

    def asked(*lists: list[Any]) -> object:
        return ground.outcome(lambda: [[one is sock for one in found] for found in system.select(*lists, 0)])

    return lambda: [
        asked([sock], [], []), asked([], [sock], []), asked([], [], [sock]), asked([sock], [sock], [sock]),
        asked([sock, sock], [sock, sock], []),
    ]  # fmt: skip


# -- registration ----------------------------------------------------------------------------------

BAD_MASKS: Final[tuple[Any, ...]] = (-1, "r", None, 1.5, 1 << 16, 1 << 40, True)


def registers_by_object_number_and_wrapper(ground: Ground, make: Maker) -> object:
    def attempt(sock: socket.socket, thing: object) -> object:
        poller = closes(ground, make())
        return tried(
            ground,
            lambda: poller.register(thing, OUT),
            lambda: poller.register(thing, OUT | IN),
            lambda: poller.register(sock.fileno(), OUT),
            lambda: placed(poller.poll(0), sock),
            lambda: poller.modify(sock, IN),
            lambda: poller.poll(0),
            lambda: poller.unregister(sock.fileno()),
            lambda: poller.unregister(thing),
            lambda: poller.modify(thing, IN),
            lambda: poller.poll(0),
            lambda: poller.register(thing),
            lambda: placed(poller.poll(0), sock),
        )

    one, two, three = (ground.pair().accepted for _ in range(3))
    return [attempt(one, one), attempt(two, two.fileno()), attempt(three, Wrapper(three.fileno))]


def registers_nonsense(ground: Ground, make: Maker) -> object:
    poller = closes(ground, make())
    things = (*NONSENSE, 1 << 31, 1 << 40, 1 << 70)
    calls = [(poller.register, IN), (poller.modify, IN), (poller.unregister,)]
    return [tried(ground, *[partial(call, thing, *mask) for call, *mask in calls]) for thing in things]


def registers_with_bad_masks(ground: Ground, make: Maker) -> object:
    def attempt(mask: Any) -> object:  # Any: nonsense
        sock, poller = ground.pair().accepted, closes(ground, make())
        return tried(
            ground,
            lambda: poller.register(sock, mask),
            lambda: placed(poller.poll(0), sock),
            lambda: poller.modify(sock, mask),
            lambda: placed(poller.poll(0), sock),
        )

    return [attempt(mask) for mask in BAD_MASKS]


def takes_keywords(ground: Ground, make: Maker) -> object:
    sock, poller = ground.pair().accepted, closes(ground, make())
    return tried(
        ground,
        lambda: poller.register(fd=sock, eventmask=OUT),
        lambda: placed(poller.poll(timeout=0), sock),
        lambda: poller.modify(fd=sock, eventmask=IN),
        lambda: poller.unregister(fd=sock),
        lambda: poller.register(),
        lambda: poller.register(sock, IN, 3),
        lambda: poller.modify(sock),
        lambda: poller.poll(0, 1, 2),
    )


def registers_what_is_closed(ground: Ground, make: Maker) -> object:
    closed, number = ground.socket(), closed_number(ground)
    closed.close()
    poller = closes(ground, make())
    return tried(
        ground,
        lambda: poller.register(closed, IN),
        lambda: poller.register(number, IN),
        lambda: placed(poller.poll(0), number),
        lambda: placed(poller.poll(0), number),
        lambda: poller.modify(number, OUT),
        lambda: placed(poller.poll(0), number),
        lambda: poller.unregister(number),
        lambda: poller.unregister(closed),
        lambda: poller.poll(0),
    )


def closed_while_registered(ground: Ground, make: Maker) -> object:
    def attempt(call: str) -> object:
        sock, other = ground.pair().accepted, ground.pair().accepted
        poller, number = closes(ground, make()), sock.fileno()
        poller.register(sock, OUT)
        poller.register(other, OUT)
        sock.close()
        calls = {"modify": lambda: poller.modify(number, IN), "unregister": lambda: poller.unregister(number),
                 "register": lambda: poller.register(number, IN), "": lambda: None}  # fmt: skip
        return tried(
            ground,
            lambda: placed(poller.poll(0), number, other),
            calls[call],
            lambda: placed(poller.poll(0), number, other),
            lambda: poller.unregister(sock),
            lambda: poller.unregister(number),
            lambda: placed(poller.poll(0), number, other),
        )

    return [attempt(call) for call in ("", "modify", "unregister", "register")]


def number_given_to_another(ground: Ground, make: Maker) -> object:
    def attempt(call: str) -> object:
        sock, poller = ground.pair().accepted, closes(ground, make())
        number = sock.fileno()
        poller.register(sock, OUT)
        sock.close()
        other = ground.socket()
        assert number == other.fileno()
        calls = {"modify": lambda: poller.modify(other, IN), "unregister": lambda: poller.unregister(other),
                 "register": lambda: poller.register(other, IN), "": lambda: None}  # fmt: skip
        return tried(
            ground,
            calls[call],
            lambda: placed(poller.poll(0), other),
            lambda: poller.register(other, OUT),
            lambda: placed(poller.poll(0), other),
            lambda: poller.unregister(other),
            lambda: poller.unregister(other),
            lambda: placed(poller.poll(0), other),
        )

    return [attempt(call) for call in ("", "modify", "unregister", "register")]


def number_given_away_while_registered(ground: Ground, make: Maker) -> object:
    sock, poller = ground.pair().accepted, closes(ground, make())
    poller.register(sock, OUT)
    again = ground.keep(socket.socket(fileno=sock.detach()))
    return tried(
        ground,
        lambda: placed(poller.poll(0), again),
        lambda: poller.unregister(sock),
        lambda: poller.modify(again, IN),
        lambda: placed(poller.poll(0), again),
        lambda: poller.unregister(again),
    )


# -- waiting ---------------------------------------------------------------------------------------

TIMES: Final[tuple[Any, ...]] = (
    0, 0.0, SHORT, True, "1", [], float("nan"), 1 << 31, 1 << 40, 1 << 70, 1e300, -(1 << 40), float("inf"), 2.0**31,
)  # fmt: skip


def waits_with_something_ready(ground: Ground, make: Maker) -> object:
    sock, poller = ground.pair().accepted, closes(ground, make())
    poller.register(sock, OUT)
    times = (*TIMES, None, -1, -0.5)
    return [tried(ground, lambda time=time: placed(poller.poll(time), sock)) for time in times]  # type: ignore[misc]


def waits_with_nothing_ready(ground: Ground, make: Maker) -> object:
    sock, poller = ground.pair().accepted, closes(ground, make())
    poller.register(sock, IN)
    return tried(ground, lambda: poller.poll(SHORT), lambda: poller.poll(0), lambda: poller.poll(0.4))


def waits_for_nothing(ground: Ground, make: Maker) -> object:
    poller = closes(ground, make())
    return tried(ground, lambda: poller.poll(SHORT), lambda: poller.poll(0))


def at_most_so_many(ground: Ground, make: Maker) -> object:
    """Whom it has not told, it tells next."""
    socks, poller = [ground.pair().accepted for _ in range(4)], closes(ground, make())
    for sock in socks:
        poller.register(sock, OUT)
    most: tuple[Any, ...] = (1, 1, 2, 3, 4, -1, 0, -2, 1000, "1", 1.5, None, 1 << 40)
    return [tried(ground, lambda many=many: placed(poller.poll(0, many), *socks)) for many in most]  # type: ignore[misc]


def tells_in_the_order_of_registration(ground: Ground, make: Maker) -> object:
    socks, poller = [ground.pair().accepted for _ in range(5)], closes(ground, make())
    for place in (3, 1, 4, 0, 2):
        poller.register(socks[place], OUT)
    before = placed(poller.poll(0), *socks)
    poller.unregister(socks[1])
    poller.modify(socks[4], OUT | IN)
    poller.register(socks[1], OUT)
    return before, placed(poller.poll(0), *socks)


def keeps_apart(ground: Ground, make: Maker) -> object:
    pair, one, other = ground.pair(), closes(ground, make()), closes(ground, make())
    one.register(pair.accepted, IN)
    other.register(pair.accepted, OUT)
    return tried(
        ground,
        lambda: placed(one.poll(0), pair.accepted),
        lambda: placed(other.poll(0), pair.accepted),
        lambda: one.unregister(pair.accepted),
        lambda: placed(other.poll(0), pair.accepted),
    )


# -- real descriptors beside ours ------------------------------------------------------------------


def watches_a_pipe(ground: Ground, make: Maker) -> object:
    sock, poller = ground.pair().accepted, closes(ground, make())
    reads, writes = os.pipe()
    for number in (reads, writes):
        ground.after(partial(os.close, number))
    poller.register(reads, IN)
    poller.register(sock, OUT)
    poller.register(writes, OUT)
    told = tried(ground, lambda: sorted(placed(poller.poll(0), sock, reads, writes), key=repr))
    os.write(writes, b"x")
    return told + tried(
        ground,
        lambda: sorted(placed(poller.poll(0), sock, reads, writes), key=repr),
        lambda: poller.modify(reads, OUT),
        lambda: sorted(placed(poller.poll(0), sock, reads, writes), key=repr),
        lambda: poller.unregister(reads),
        lambda: poller.unregister(reads),
        lambda: poller.modify(reads, IN),
        lambda: sorted(placed(poller.poll(0), sock, reads, writes), key=repr),
    )


def watches_a_file(ground: Ground, make: Maker) -> object:
    poller, file = closes(ground, make()), temporary_file(b"x")
    ground.after(file.close)
    return tried(ground, lambda: poller.register(file, IN), lambda: placed(poller.poll(0), file))


CASES: Final[tuple[Case, ...]] = (
    registers_by_object_number_and_wrapper, registers_nonsense, registers_with_bad_masks, takes_keywords,
    registers_what_is_closed, closed_while_registered, number_given_to_another, number_given_away_while_registered,
    waits_with_something_ready, waits_with_nothing_ready, waits_for_nothing, at_most_so_many,
    tells_in_the_order_of_registration, keeps_apart, watches_a_pipe, watches_a_file,
)  # fmt: skip

# -- epoll alone -----------------------------------------------------------------------------------


def makes_one(ground: Ground) -> object:
    makes: tuple[Callable[[], Any], ...] = (
        lambda: system.epoll(1), lambda: system.epoll(0), lambda: system.epoll(-2), lambda: system.epoll(-1, 0),
        lambda: system.epoll(-1, select.EPOLL_CLOEXEC), lambda: system.epoll(flags=7), lambda: system.epoll(sizehint=5),
        lambda: system.epoll("x"), lambda: system.epoll(1, 2, 3),
    )  # fmt: skip

    def made(make: Callable[[], Any]) -> object:
        return closes(ground, make()).closed

    return tried(ground, *[partial(made, make) for make in makes])


def after_close(ground: Ground) -> object:
    sock, poller = ground.pair().accepted, system.epoll()
    poller.register(sock, OUT)
    number = poller.fileno()
    calls: tuple[Callable[[], object], ...] = (
        lambda: poller.closed, poller.close, poller.close, lambda: poller.closed, poller.fileno, lambda: poller.poll(0),
        lambda: poller.register(sock, IN), lambda: poller.modify(sock, IN), lambda: poller.unregister(sock),
        lambda: poller.register("x", IN), lambda: poller.poll("x"), poller.__enter__,
        lambda: poller.__exit__(None, None, None),
        lambda: system.epoll.fromfd(number).fileno() == number if ground.real else True,
    )  # fmt: skip
    return tried(ground, *calls)


def as_a_context(ground: Ground) -> object:
    sock = ground.pair().accepted
    with system.epoll() as poller:
        poller.register(sock, OUT)
        told = placed(poller.poll(0), sock)
    return told, poller.closed


def what_it_is(ground: Ground) -> object:
    with system.epoll() as poller:
        poll: Any = system.poll()
        return [
            isinstance(poller, system.epoll), type(poller) is type(system.epoll()),
            isinstance(poll, type(system.poll())), isinstance(poll, type(poller)),
            hasattr(select, "epoll"), hasattr(select, "poll"), poller.__class__.__name__,
            sorted(name for name in dir(poll) if not name.startswith("_")),
            sorted(name for name in dir(poller) if not name.startswith("_")),
            ground.outcome(lambda: len(poll)), ground.outcome(lambda: type("Mine", (system.epoll,), {})),
        ]  # fmt: skip


def told_of_room(ground: Ground) -> object:
    """EPOLLET, and a peer that reads only later."""
    state, poller = full(ground), closes(ground, system.epoll())
    sock, other = state.sock, state.other
    assert other is not None, "it is connected"
    poller.register(sock, OUT | EDGE)
    told = tried(ground, *[lambda: placed(poller.poll(0), sock)] * 2)
    other.setblocking(False)
    ground.settle(other, READABLE)
    while not select_writes(sock):
        with suppress(BlockingIOError):
            other.recv(1 << 20)
    return told + tried(ground, *[lambda: placed(poller.poll(0), sock)] * 2)


def select_writes(sock: socket.socket) -> bool:
    """Whether there is room."""
    return bool(system.select([], [sock], [], 0)[1])


def told_once(ground: Ground) -> object:
    """EPOLLONESHOT: told once, it is silent until it is watched anew."""
    pair, poller = ground.pair(), closes(ground, system.epoll())
    poller.register(pair.accepted, IN | OUT | ONCE)
    told = tried(ground, *[lambda: placed(poller.poll(0), pair.accepted)] * 2)
    pair.client.send(b"x")
    ground.settle(pair.accepted, READABLE)
    told += tried(
        ground,
        lambda: placed(poller.poll(0), pair.accepted),
        lambda: poller.register(pair.accepted, IN),
        lambda: poller.modify(pair.accepted, IN | ONCE),
        *[lambda: placed(poller.poll(0), pair.accepted)] * 2,
    )
    pair.client.close()
    ground.settle(pair.accepted, "ended")
    return told + tried(
        ground,
        lambda: placed(poller.poll(0), pair.accepted),
        lambda: poller.modify(pair.accepted, RDHUP),
        *[lambda: placed(poller.poll(0), pair.accepted)] * 2,
    )


def told_of_each_change(ground: Ground) -> object:
    """EPOLLET: told when something happens, and not that it is so still."""
    pair, poller = ground.pair(), closes(ground, system.epoll())
    poller.register(pair.accepted, IN | OUT | RDHUP | EDGE)

    def told() -> list[object]:
        return [placed(poller.poll(0), pair.accepted) for _ in range(2)]

    seen: list[object] = [told()]
    for _ in range(2):
        pair.client.send(b"xy")
        ground.settle(pair.accepted, READABLE)
        ground.comes_to(True, lambda: True)
        seen.append(told())
    seen.append(pair.accepted.recv(1))
    seen.append(told())
    poller.modify(pair.accepted, IN | EDGE)
    seen.append(told())
    poller.modify(pair.accepted, OUT | EDGE)
    seen.append(told())
    pair.client.send(b"z")
    ground.settle(pair.accepted, READABLE)
    seen.append(told())
    pair.client.shutdown(socket.SHUT_WR)
    ground.settle(pair.accepted, "ended")
    seen.append(told())
    poller.modify(pair.accepted, IN | RDHUP | EDGE)
    seen.append(told())
    pair.client.close()
    return seen


def a_listener_told_of_each_client(ground: Ground) -> object:
    listener, poller = ground.listener(), closes(ground, system.epoll())
    poller.register(listener, IN | EDGE)
    told: list[object] = []
    for _ in range(2):
        ground.socket().connect(listener.getsockname())
        ground.settle(listener, READABLE)
        told += [placed(poller.poll(0), listener) for _ in range(2)]
    ground.keep(listener.accept()[0])
    return told, placed(poller.poll(0), listener)


def with_exclusive(ground: Ground) -> object:
    sock, poller = ground.pair().accepted, closes(ground, system.epoll())
    nested = closes(ground, system.epoll())
    masks = (IN | OUT, IN | ONCE, RDHUP, IN | PRI, OUT | EDGE, IN | select.POLLRDNORM, IN | 1 << 29)
    told = [
        tried(
            ground,
            lambda mask=mask: poller.register(sock, mask | EXCLUSIVE),  # type: ignore[misc]
            lambda: placed(poller.poll(0), sock),
            lambda: poller.modify(sock, IN),
            lambda: poller.modify(sock, IN | EXCLUSIVE),
            lambda: poller.unregister(sock),
        )
        for mask in masks
    ]
    told.append(
        tried(
            ground,
            lambda: poller.register(nested, IN | EXCLUSIVE),
            lambda: poller.register(sock, IN),
            lambda: poller.modify(sock, IN | EXCLUSIVE),
        )
    )
    return told


def one_in_another(ground: Ground) -> object:
    pair = ground.pair()
    inner, outer = closes(ground, system.epoll()), closes(ground, system.epoll())
    poll = system.poll()
    told = tried(
        ground,
        lambda: outer.register(inner, IN | OUT),
        lambda: outer.register(inner.fileno(), IN),
        lambda: inner.register(outer, IN),
        lambda: inner.register(inner, IN),
        lambda: inner.modify(inner, IN),
        lambda: inner.unregister(inner),
        lambda: outer.poll(0),
        lambda: inner.register(pair.accepted, IN),
        lambda: poll.register(inner, IN | OUT),
        lambda: outer.poll(0),
        lambda: poll.poll(0),
    )
    pair.client.send(b"x")
    ground.settle(pair.accepted, READABLE)
    told += tried(
        ground,
        lambda: placed(outer.poll(0), inner),
        lambda: placed(poll.poll(0), inner),
        lambda: system.select([inner], [inner], [inner], 0)[0] == [inner],
        lambda: placed(inner.poll(0), pair.accepted),
        lambda: placed(outer.poll(0), inner),
        lambda: pair.accepted.recv(1),
        lambda: placed(outer.poll(0), inner),
        lambda: placed(outer.poll(0), inner),
    )
    pair.client.send(b"y")
    ground.settle(pair.accepted, READABLE)
    told += tried(ground, lambda: placed(outer.poll(0), inner))
    number = inner.fileno()
    inner.close()
    return told + tried(
        ground,
        lambda: outer.poll(0),
        lambda: placed(poll.poll(0), number),
        lambda: outer.unregister(number),
        lambda: outer.register(number, IN),
    )


def nested_too_deep(ground: Ground) -> object:
    pollers = [closes(ground, system.epoll()) for _ in range(8)]
    return [
        ground.outcome(lambda one=one, other=other: one.register(other, IN))  # type: ignore[misc]
        for one, other in zip(pollers[1:], pollers, strict=False)
    ]


def another_by_its_number(ground: Ground) -> object:
    sock, one = ground.pair().accepted, closes(ground, system.epoll())
    other = system.epoll.fromfd(one.fileno())
    told = tried(
        ground,
        lambda: other.fileno() == one.fileno(),
        lambda: one.register(sock, OUT),
        lambda: other.register(sock, OUT),
        lambda: placed(other.poll(0), sock),
        lambda: other.modify(sock, IN),
        lambda: placed(one.poll(0), sock),
        lambda: isinstance(other, system.epoll),
        other.close,
        lambda: one.closed,
        lambda: one.poll(0),
        lambda: one.register(sock, OUT),
        lambda: one.unregister(sock),
        lambda: one.modify(sock, IN),
        one.fileno,
    )[:-1]
    one.close()
    return told


def closed_by_its_number(ground: Ground) -> object:
    sock, one = ground.pair().accepted, system.epoll()
    one.register(sock, OUT)
    os.close(one.fileno())
    return tried(ground, lambda: one.poll(0), lambda: one.closed, lambda: one.register(sock, OUT), one.close)


OF_EPOLL: Final[tuple[Callable[[Ground], object], ...]] = (
    makes_one, after_close, as_a_context, what_it_is, told_once, told_of_room, told_of_each_change,
    a_listener_told_of_each_client, with_exclusive, one_in_another, nested_too_deep, another_by_its_number,
    closed_by_its_number,
)  # fmt: skip

# -- select() --------------------------------------------------------------------------------------


def selects_nonsense(ground: Ground) -> object:
    things = (*NONSENSE, 1 << 31, 1 << 40, 1 << 70)
    lists: tuple[Any, ...] = (None, 1, "", "ab", {}, {1.5}, (), iter(()), [[]])
    return [
        [ground.outcome(lambda thing=thing: system.select([thing], [], [], 0)) for thing in things],  # type: ignore[misc]
        [ground.outcome(lambda one=one: system.select([], one, [], 0)) for one in lists],  # type: ignore[misc]
        tried(ground, lambda: system.select([], []), lambda: system.select([], [], [], 0, 1)),
        tried(ground, lambda: system.select(rlist=[], wlist=[], xlist=[])),
    ]


def selects_for_some_time(ground: Ground) -> object:
    sock = ground.pair().accepted
    times = (*TIMES, None, -1, -0.5)
    return [
        [ground.outcome(lambda time=time: [one is sock for one in system.select([], [sock], [], time)[1]])]  # type: ignore[misc]
        for time in times
    ] + [ground.outcome(lambda: system.select([sock], [], [], SHORT))]


def selects_by_object_number_and_wrapper(ground: Ground) -> object:
    sock = ground.pair().accepted
    wrapper = Wrapper(sock.fileno)
    given: list[Any] = [sock, sock.fileno(), wrapper, sock]
    found = system.select(given, given, given, 0)
    readers: Any = (one for one in given)
    return [
        [[one is other for one, other in zip(some, given, strict=False)] for some in found],
        [isinstance(some, list) for some in found],
        len(system.select(readers, [], [], 0)[0]),
        len(system.select({sock}, (sock,), {sock: 1}, 0)[1]),
    ]


def selects_what_is_closed(ground: Ground) -> object:
    closed, number, sock = ground.socket(), closed_number(ground), ground.pair().accepted
    closed.close()
    return tried(
        ground,
        lambda: system.select([closed], [], [], 0),
        lambda: system.select([number], [sock], [], 0),
        lambda: system.select([], [], [number], 0),
    )


def selects_too_large_a_number(ground: Ground) -> object:
    first = ground.socket().fileno()
    first = first if not ground.real else 0
    return tried(
        ground, lambda: system.select([first + 1024], [], [], 0), lambda: system.select([], [first + 5000], [], 0)
    )


def selects_beside_a_pipe(ground: Ground) -> object:
    pair = ground.pair()
    reads, writes = os.pipe()
    for number in (reads, writes):
        ground.after(partial(os.close, number))
    given = [pair.accepted, reads, writes]

    def told() -> object:
        return [
            [given.index(one) for one in some]
            for some in system.select([reads, pair.accepted], given[::-1][:2], given, 0)
        ]

    seen = [told()]
    os.write(writes, b"x")
    seen.append(told())
    pair.client.send(b"x")
    ground.settle(pair.accepted, READABLE)
    return [*seen, told()]


OF_SELECT: Final[tuple[Callable[[Ground], object], ...]] = (
    selects_nonsense, selects_for_some_time, selects_by_object_number_and_wrapper, selects_what_is_closed,
    selects_too_large_a_number, selects_beside_a_pipe,
)  # fmt: skip

# -- in which order --------------------------------------------------------------------------------

CROWD_MASKS: Final = (
    IN,
    OUT,
    IN | OUT,
    RDHUP,
    IN | EDGE,
    IN | OUT | EDGE,
    IN | OUT | RDHUP | ONCE,
    OUT | EDGE,
    IN | ONCE,
)


class PolledCrowd(Crowd):
    """The same crowd, watched by a poll or an epoll object."""

    def do(self, step: str, which: int, mask: int) -> object:
        """Take a step."""
        poller: Any = self.selector  # Any: of either kind
        if step in ("register", "modify"):
            return getattr(poller, step)(self.near[which], mask)
        if step == "unregister":
            return poller.unregister(self.near[which])
        if step == "select":
            return placed(poller.poll(0), *self.near)
        return super().do(step, which, mask)


def told_in_order(ground: Ground, make: Maker, steps: list[tuple[str, int, int]], *, plain: bool) -> list[object]:
    """What comes of each step. plain: of poll(), which knows no more than readiness."""
    poller = make()
    crowd = PolledCrowd(ground, poller)
    ground.after(poller.close if not plain else lambda: None)
    bits = 0xFFFF if plain else 0xFFFFFFFF
    for number in range(Crowd.SIZE + 1):
        poller.register(crowd.near[number], IN)
    return [
        ground.outcome(lambda step=step: crowd.do(step[0], step[1], step[2] & bits))  # type: ignore[misc]
        for step in (*steps, ("select", 0, 0))
    ]

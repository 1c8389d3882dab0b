"""Event lists: an event, making a socket, and how both grow with the number of clients."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, repeat
from time import process_time
from typing import Final

from contestants import BARE, LENIENT, MESSAGE, STRICT, Fake, Loopback, accept_all, old, serve
from table import Bar, Row, Turn, compared, in_turn, time_text

CLIENTS: Final = 100

# -- what they do ---------------------------------------------------------------------------


def fake_events(fake: Fake, clients: int, messages: int, *, together: bool = False, warm: int = 0) -> float:
    """Seconds per event. All clients in turn, `messages` times; or all of them in each `select()`.

    Making, accepting and registering the clients is not timed, nor are the first `warm` rounds.
    """
    sockets = tuple(fake.socket(repeat(MESSAGE, warm + messages)) for _ in range(clients))
    listener = fake.listener(sockets)
    rounds = repeat(sockets, warm + messages)
    events = rounds if together else chain.from_iterable(rounds)
    selects = 1 if together else clients
    selector = fake.selector(chain(repeat(listener, clients), events))
    accept_all(selector, listener, clients)
    serve(selector, warm * selects)
    gc.collect()
    return serve(selector, messages * selects) / (messages * clients)


def making(fake: Fake, count: int) -> float:
    """Seconds to make a socket; taking it away again is not timed."""
    start = process_time()
    made = [fake.socket((MESSAGE,)) for _ in range(count)]
    return (process_time() - start) / len(made)


# -- the rows -------------------------------------------------------------------------------


def against_old(old_times: Sequence[float] | None, ours: Sequence[float], bar: Bar | None) -> Row:
    what = "  0.2.3 takes longer by"
    if old_times is None:
        return Row(what, "n/a", "(0.2.3 works on 3.10 only)", "" if bar is None else str(bar))
    return compared(what, time_text(old_times), old_times, ours, bar)


def event_rows(quick: bool) -> Iterator[Row]:
    """An event, against everything that a user would otherwise pick."""
    rounds, messages = (2, 10) if quick else (11, 100)
    fakes = {"lenient": LENIENT, "strict": STRICT, "bare": BARE}
    peer = old()
    if peer is not None:
        fakes["0.2.3"] = peer
    with closing(Loopback(CLIENTS)) as real:
        for what, together in (("an event", False), (f"an event, {CLIENTS} per select()", True)):
            turns: dict[str, Turn] = {
                name: partial(fake_events, fake, CLIENTS, messages, together=together) for name, fake in fakes.items()
            }
            turns["real"] = partial(real.events, messages, together=together)
            seen = in_turn(turns, rounds)
            figures = {name: time_text(times) for name, times in seen.items()}
            for name, least in (("lenient", 30), ("strict", 20)):
                yield Row(f"{what}: {name}", figures[name])
                yield against_old(seen.get("0.2.3"), seen[name], None if together else Bar("at least", least))
                what_real = "  real loopback takes longer by"
                yield compared(what_real, figures["real"], seen["real"], seen[name], Bar("at least", 1))
                yield compared("  a bare fake takes less by", figures["bare"], seen[name], seen["bare"])


def making_rows(quick: bool) -> Iterator[Row]:
    rounds, count = (2, 500) if quick else (15, 5000)
    turns: dict[str, Turn] = {"ours": partial(making, LENIENT, count)}
    peer = old()
    if peer is not None:
        turns["0.2.3"] = partial(making, peer, count // 50)
    seen = in_turn(turns, rounds)
    yield Row("making a socket", time_text(seen["ours"]))
    yield against_old(seen.get("0.2.3"), seen["ours"], Bar("at least", 50))


def growth_rows(quick: bool) -> Iterator[Row]:
    """The same number of events over more and more clients, always the one that has waited longest.

    Each client has had one message before, so that the first use of a socket is not counted. What
    grows then is the memory walked through between two messages of one client: a bare fake, which
    does nothing that could depend on the number of clients, shows how much the machine adds.
    """
    rounds, events = (2, 2000) if quick else (7, 100_000)
    sizes = (10, 100, 1000) if quick else (10, 100, 1000, 10_000, 100_000)
    for name, fake in (("lenient", LENIENT), ("strict", STRICT), ("bare fake", BARE)):
        turns: dict[str, Turn] = {
            str(size): partial(fake_events, fake, size, max(1, events // size), warm=1) for size in sizes
        }
        seen = in_turn(turns, rounds)
        yield Row(f"an event, against {CLIENTS} clients: {name}", time_text(seen[str(CLIENTS)]))
        for size in sizes:
            times = seen[str(size)]
            bar = Bar("at most", 1.5) if size == 100_000 and fake is not BARE else None
            if size != CLIENTS:
                yield compared(f"  at {size:,} clients", time_text(times), times, seen[str(CLIENTS)], bar)

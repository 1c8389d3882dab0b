"""Rules about a socket that a selector still watches: judged where the server sleeps, and is woken again."""

from __future__ import annotations

import contextlib
import gc
import selectors
import socket
import time
import weakref
from collections import deque
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, NoReturn

import pytest

from mockselector import ListenSocket, MockSelector, MockSocket, Scenario, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockselector import RuleId

    Handle = Callable[[selectors.BaseSelector, socket.socket], None]
    Kind = type[selectors.BaseSelector]

KINDS = [name for name in ("EpollSelector", "PollSelector", "SelectSelector") if hasattr(selectors, name)]
TIMEOUTS = [None, 0.5, 5]


def serve(handle: Handle, kind: str = "DefaultSelector", timeout: float | None = None) -> NoReturn:
    """Accept, register without waiting, and call `handle` for each that can be read."""
    with getattr(selectors, kind)() as selector, socket.create_server(("", 8888)) as listener:
        selector.register(listener, EVENT_READ)
        while True:
            for key, _ in selector.select(timeout):
                if key.fileobj is listener:
                    conn, _ = listener.accept()
                    conn.setblocking(False)
                    selector.register(conn, EVENT_READ)
                else:
                    handle(selector, key.fileobj)


def drop(selector: selectors.BaseSelector, conn: socket.socket) -> None:
    selector.unregister(conn)
    conn.close()


def drain(conn: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(BlockingIOError):
        while chunk := conn.recv(4):
            data += chunk
    return data


def closes_when_nothing_came(selector: selectors.BaseSelector, conn: socket.socket) -> None:
    if data := drain(conn):
        conn.sendall(data)
    else:
        drop(selector, conn)


def steps_aside_meanwhile(selector: selectors.BaseSelector, conn: socket.socket) -> None:
    selector.unregister(conn)
    if data := drain(conn):
        conn.sendall(data)
        selector.register(conn, EVENT_READ)
    else:
        conn.close()


def reads_by_a_file(selector: selectors.BaseSelector, conn: socket.socket) -> None:
    with conn.makefile("rb") as file:
        data = file.read1(1000)
    if data:
        conn.sendall(data)
    else:
        drop(selector, conn)


ends: set[socket.socket] = set()


def remembers_the_end(selector: selectors.BaseSelector, conn: socket.socket) -> None:
    if conn in ends:
        ends.remove(conn)
        drop(selector, conn)
    elif data := conn.recv(1000):
        conn.sendall(data)
    else:
        ends.add(conn)


RIGHT = [closes_when_nothing_came, steps_aside_meanwhile, reads_by_a_file, remembers_the_end]


def plain(net: Scenario) -> None:
    net.client("alice").sends(b"hello").closes()


def answered(net: Scenario) -> None:
    net.client("alice").sends(b"hello").expects(b"hello").closes()


def half_closed(net: Scenario) -> None:
    net.client("alice").sends(b"hello").shuts_down().expects(b"hello").expects_eof()


def silent(net: Scenario) -> None:
    net.client("alice").closes()


def several(net: Scenario) -> None:
    for number in range(5):
        net.client().sends(b"x" * number + b"y").shuts_down().expects(b"x" * number + b"y").expects_eof()
        net.client().waits(number % 2).sends(b"hello").closes()


PEERS = [plain, answered, half_closed, silent, several]


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("peers", PEERS)
@pytest.mark.parametrize("handle", RIGHT)
@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_an_end_may_be_dealt_with_at_the_next_event(
    peers: Callable[[Scenario], None], handle: Handle, timeout: float | None
) -> None:
    with Scenario() as net:
        peers(net)
        net.run(serve, handle, timeout=timeout)


@pytest.mark.parametrize("peers", PEERS)
@pytest.mark.parametrize("kind", KINDS)
def test_that_is_so_with_every_kind_of_selector_and_the_pedantic_rules(
    peers: Callable[[Scenario], None], kind: str
) -> None:
    with Scenario(pedantic=True, allow={"close-before-unregister"}) as net:
        peers(net)
        net.run(serve, closes_when_nothing_came, kind)


def test_output_may_be_sent_first_while_there_is_room() -> None:
    waiting: dict[socket.socket, bytes] = {}

    def handle(selector: selectors.BaseSelector, conn: socket.socket) -> None:
        if conn not in waiting:
            waiting[conn] = drain(conn)
        waiting[conn] = waiting[conn][conn.send(waiting[conn][:2]) :]
        if not waiting[conn]:
            drop(selector, conn)

    with Scenario() as net:
        net.client("alice").sends(b"123456789").shuts_down().expects(b"123456789").expects_eof()
        net.run(serve, handle)


def only_reads(_: selectors.BaseSelector, conn: socket.socket) -> None:
    if data := conn.recv(1024):
        conn.sendall(data)


def does_not_even_read(_: selectors.BaseSelector, conn: socket.socket) -> None:
    if conn not in ends and not conn.recv(1024):
        ends.add(conn)


def answers_the_end(_: selectors.BaseSelector, conn: socket.socket) -> None:
    data = conn.recv(1024)
    with contextlib.suppress(OSError):  # it has left, perhaps
        conn.sendall(b"you said " + data)


def registers_anew(selector: selectors.BaseSelector, conn: socket.socket) -> None:
    only_reads(selector, conn)
    selector.unregister(conn)
    selector.register(conn, EVENT_READ)


def modifies(selector: selectors.BaseSelector, conn: socket.socket) -> None:
    only_reads(selector, conn)
    selector.modify(conn, EVENT_READ, object())


WRONG = [only_reads, does_not_even_read, answers_the_end, registers_anew, modifies]


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("peers", [plain, half_closed, several])
@pytest.mark.parametrize("handle", WRONG)
@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_a_server_that_spins_at_an_end_is_found_soon(
    peers: Callable[[Scenario], None], handle: Handle, timeout: float | None
) -> None:
    ends.clear()
    with pytest.raises(ScenarioError) as caught, Scenario(allow={"unexpected-send"}) as net:
        peers(net)
        net.run(serve, handle, timeout=timeout)
    assert caught.value.rule in ("eof-ignored", "read-past-eof", "busy-loop")
    assert len(caught.value.trace) < 100
    assert caught.value.trace[-1].time < 1.1


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("pedantic", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("handle", WRONG)
def test_so_it_is_with_every_kind_of_selector_and_the_pedantic_rules(handle: Handle, kind: str, pedantic: bool) -> None:
    ends.clear()
    allow: set[RuleId] = {"unexpected-send", "close-before-unregister"}
    with pytest.raises(ScenarioError) as caught, Scenario(allow=allow, pedantic=pedantic) as net:
        half_closed(net)
        net.run(serve, handle, kind)
    assert caught.value.rule in ("eof-ignored", "read-past-eof", "busy-loop")
    assert len(caught.value.trace) < 100


@pytest.mark.parametrize("pause", [0.0, 0.25])
def test_one_that_polls_is_found_as_well(pause: float) -> None:
    def polls() -> None:
        selector, listener = selectors.DefaultSelector(), socket.create_server(("", 8888))
        selector.register(listener, EVENT_READ)
        while True:
            for key, _ in selector.select(0):
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], EVENT_READ)
                else:
                    does_not_even_read(selector, key.fileobj)  # type: ignore[arg-type]  # it is one
            time.sleep(pause)

    ends.clear()
    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client("alice").sends(b"hello").closes()
        net.run(polls)
    assert caught.value.rule in ("eof-ignored", "busy-loop")


def manning(*, blocking: bool) -> NoReturn:
    """The first selector server of a well-known book on asyncio."""
    selector = selectors.DefaultSelector()
    server_socket = socket.socket()
    server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server_socket.bind(("127.0.0.1", 8000))
    server_socket.setblocking(blocking)
    server_socket.listen()
    selector.register(server_socket, EVENT_READ)
    while True:
        events = selector.select(timeout=1)
        for event, _ in events:
            event_socket = event.fileobj
            if event_socket == server_socket:
                connection, _ = server_socket.accept()
                connection.setblocking(blocking)
                selector.register(connection, EVENT_READ)
            else:
                assert isinstance(event_socket, socket.socket)
                data = event_socket.recv(1024)
                event_socket.send(data)


@pytest.mark.parametrize("blocking", [False, True])
def test_a_published_server_that_spins_is_found(blocking: bool) -> None:
    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").closes()
        net.run(manning, blocking=blocking)
    assert caught.value.rule in ("eof-ignored", "read-past-eof", "busy-loop")
    assert len(caught.value.trace) < 40


# -- event lists --


def one_client(handle: Handle, *events: int, recvs: tuple[bytes, ...] = (b"hi",), poll: bool = False) -> None:
    """Events for alice: for each, how often one `select()` returns her."""
    alice = MockSocket(recvs, name="alice")
    listener = ListenSocket([alice])
    with MockSelector([listener, *([alice] * many for many in events)], strict=True) as selector:
        listener.bind(("", 8888))
        listener.listen()
        selector.register(listener, EVENT_READ)
        while True:
            for key, _ in selector.select(0 if poll else None):
                if key.fileobj is listener:
                    conn, _ = listener.accept()
                    conn.setblocking(False)
                    selector.register(conn, EVENT_READ)
                else:
                    handle(selector, alice)


def reads_once(selector: selectors.BaseSelector, conn: socket.socket) -> None:
    """What two announcements are for is read at the first, and the end dealt with at the next event."""
    if conn.fileno() < 0:
        return
    if not drain(conn):
        drop(selector, conn)


@pytest.mark.parametrize("poll", [False, True])
def test_a_list_may_bring_the_end_once_more(poll: bool) -> None:
    def handle(selector: selectors.BaseSelector, conn: socket.socket) -> None:
        if not drain(conn):
            drop(selector, conn)

    handled: list[socket.socket] = []

    def once_per_select(selector: selectors.BaseSelector, conn: socket.socket) -> None:
        handled.append(conn)
        if len(handled) != 1:  # the first two events come together: the second of them reads it all
            handle(selector, conn)

    one_client(once_per_select, 2, 1, poll=poll)
    assert len(handled) == 3


@pytest.mark.parametrize("events", [(1, 1), (1, 1, 1), (2,), (1, 1, 0, 0)])
def test_in_a_list_a_server_that_ignores_the_end_is_found_at_the_latest_when_it_sleeps_last(
    events: tuple[int, ...],
) -> None:
    with pytest.raises(ScenarioError, match="alice has come to its end") as caught:
        one_client(only_reads, *events)
    assert caught.value.rule == "eof-ignored"


def test_in_a_list_so_is_one_that_returns_before_it_is_woken_again() -> None:
    alice, bob = MockSocket([b"hi"], name="alice"), MockSocket([b"stop"], name="bob")
    with pytest.raises(ScenarioError) as caught, MockSelector([alice, alice, bob], strict=True) as selector:
        for sock in (alice, bob):
            selector.register(sock, EVENT_READ)
        while bob.remain != b"stop":
            for key, _ in selector.select():
                if key.fileobj is bob:
                    bob.recv(9)
                    selector.unregister(bob)
                    bob.close()
                    return
                alice.recv(9)
    assert caught.value.rule == "eof-ignored"
    assert "add that event" in " ".join(str(caught.value).split())


def test_reading_an_end_again_without_another_event_is_not_tolerated_in_a_list() -> None:
    def twice(_: selectors.BaseSelector, conn: socket.socket) -> None:
        if not conn.recv(9):
            conn.recv(9)

    with pytest.raises(ScenarioError, match=r"^\[read-past-eof\]"):
        one_client(twice, 1, 1)


def test_an_end_can_be_met_by_thousands_before_it_is_dealt_with() -> None:
    many = 3000
    socks = [MockSocket([b"x"]) for _ in range(many)]
    with MockSelector([*socks, *socks, *socks], strict=True) as selector:
        seen: dict[object, int] = {}
        for one in socks:
            selector.register(one, EVENT_READ)
        while True:
            for key, _ in selector.select():
                sock = key.fileobj
                assert isinstance(sock, MockSocket)
                seen[sock] = seen.get(sock, 0) + 1
                if seen[sock] == 3:
                    drop(selector, sock)
                else:
                    sock.recv(9)


# -- which selector it is about --


def asks_by_a_selector_of_its_own(kept: list[selectors.BaseSelector] | None = None, *, closes: bool = False) -> bytes:
    """One request, as clients do it that wait by a selector made for one wait."""
    sock = socket.create_connection(("db", 5432))
    sock.setblocking(False)
    answer = b""
    while True:
        selector = selectors.DefaultSelector()
        selector.register(sock, EVENT_READ)
        if kept is not None:
            kept.append(selector)
        selector.select(5)
        if closes:
            selector.close()
        data = sock.recv(100)
        if not data:
            sock.close()
            return answer
        answer += data


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("keeps", [False, True])
def test_a_selector_made_for_one_wait_harms_nobody(keeps: bool, closes: bool) -> None:
    kept: list[selectors.BaseSelector] | None = [] if keeps else None

    def main() -> list[bytes]:
        return [asks_by_a_selector_of_its_own(kept, closes=closes) for _ in range(20)]

    with Scenario() as net:
        for _ in range(20):
            net.backend(("db", 5432)).sends(b"a").waits(1).sends(b"b").closes()
        assert net.run(main) == [b"ab"] * 20


def test_a_socket_with_the_same_number_in_a_later_selector_is_another() -> None:
    def starts_again() -> None:
        for _ in range(3):
            with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
                selector.register(listener, EVENT_READ)
                served = False
                while not served:
                    selector.select()
                    conn, _ = listener.accept()
                    with conn:
                        conn.sendall(conn.recv(9))
                    served = True

    with Scenario() as net:
        for number in range(3):
            net.client(delay=number * 100).sends(b"x").expects(b"x").closes()
        net.run(starts_again)


def two_selectors(*, sleeps_in: str) -> None:
    """A connection is closed while it is registered in `old`; then the server sleeps in one of two."""
    old, new = selectors.DefaultSelector(), selectors.DefaultSelector()
    with old, new, socket.create_server(("", 8888)) as listener:
        new.register(listener, EVENT_READ)
        new.select()
        conn, _ = listener.accept()
        old.register(conn, EVENT_READ)
        old.select()
        conn.recv(9)
        conn.close()
        for name in sleeps_in.split():
            {"old": old, "new": new}[name].select(1)


@pytest.mark.parametrize("sleeps_in", ["new", "new new new"])
def test_a_closed_socket_is_no_harm_where_nobody_waits_any_more(sleeps_in: str) -> None:
    with Scenario(allow={"unaccepted-connection"}) as net:
        net.client("alice").sends(b"x").closes()
        net.client("bob").waits(100)
        net.run(two_selectors, sleeps_in=sleeps_in)


@pytest.mark.parametrize("sleeps_in", ["old", "new old", "new new old"])
def test_it_is_found_when_somebody_waits_there_again(sleeps_in: str) -> None:
    with pytest.raises(ScenarioError, match=r"^\[closed-still-registered\] alice"), Scenario() as net:
        net.client("alice").sends(b"x").closes()
        net.client("bob").waits(100)
        net.run(two_selectors, sleeps_in=sleeps_in)


def polls_two(*, polls_old: bool) -> None:
    old, new = selectors.DefaultSelector(), selectors.DefaultSelector()
    with old, new, socket.create_server(("", 8888)) as listener:
        new.register(listener, EVENT_READ)
        new.select()
        conn, _ = listener.accept()
        old.register(conn, EVENT_READ)
        old.select()
        conn.recv(9)
        conn.close()
        for _ in range(20):
            new.select(0)
            if polls_old:
                old.select(0)
            time.sleep(0.1)


def test_a_loop_that_polls_is_judged_about_what_it_polls() -> None:
    with Scenario(allow={"unaccepted-connection"}) as net:
        net.client("alice").sends(b"x").closes()
        net.client("bob").waits(100)
        net.run(polls_two, polls_old=False)
    with pytest.raises(ScenarioError, match=r"^\[closed-still-registered\] alice"), Scenario() as net:
        net.client("alice").sends(b"x").closes()
        net.client("bob").waits(100)
        net.run(polls_two, polls_old=True)


def test_an_end_is_ignored_only_where_the_server_waits_again() -> None:
    def hands_over() -> bytes:
        """Reads by one selector, made for that, and goes on by another."""
        with socket.create_server(("", 8888)) as listener, selectors.DefaultSelector() as loop:
            loop.register(listener, EVENT_READ)
            loop.select()
            conn, _ = listener.accept()
            once = selectors.DefaultSelector()
            once.register(conn, EVENT_READ)
            data = b""
            while once.select():
                chunk = conn.recv(9)
                data += chunk
                if not chunk:
                    break
            loop.select(10)
            conn.close()
            return data

    with Scenario() as net:
        net.client("alice").sends(b"x").closes()
        assert net.run(hands_over) == b"x"


def test_two_selectors_in_turn_share_what_is_found() -> None:
    def in_turn() -> NoReturn:
        one, two = selectors.DefaultSelector(), selectors.DefaultSelector()
        with one, two, socket.create_server(("", 8888)) as listener:
            one.register(listener, EVENT_READ)
            one.select()
            conn, _ = listener.accept()
            turns = deque([one, two])
            two.register(conn, EVENT_READ)
            while True:
                for key, _ in turns[0].select(0.1):
                    if key.fileobj is conn:
                        conn.recv(9)
                turns.rotate()

    with pytest.raises(ScenarioError, match=r"^\[(eof-ignored|read-past-eof)\] alice"), Scenario() as net:
        net.client("alice").sends(b"x").closes()
        net.run(in_turn)


def test_what_a_dropped_selector_held_is_dropped_with_it() -> None:
    gone: list[bool] = []

    def main() -> None:
        gc.disable()
        try:
            selector, sock = selectors.DefaultSelector(), socket.create_connection(("db", 1))
            selector.register(sock, EVENT_READ)
            there = weakref.ref(sock), weakref.ref(selector)
            del sock, selector
            gone.extend(one() is None for one in there)
        finally:
            gc.enable()

    with Scenario() as net:
        net.backend(("db", 1)).expects_eof()
        net.run(main)
    assert gone == [True, True]
    assert [event.operation for event in net.trace][-1] == "close"


@pytest.mark.slow
def test_thousands_of_selectors_for_one_socket_cost_no_more_each() -> None:
    def main() -> None:
        with socket.create_connection(("db", 1)) as sock:
            for _ in range(5000):
                selector = selectors.DefaultSelector()
                selector.register(sock, EVENT_WRITE)
                assert selector.select(1)
                sock.send(b"x")

    with Scenario() as net:
        net.backend(("db", 1)).waits(1)
        net.run(main)


def just_closes(_: selectors.BaseSelector, conn: socket.socket) -> None:
    if not conn.recv(9):
        conn.close()


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "handle"), [("closed-still-registered", just_closes), ("eof-ignored", only_reads)])
def test_both_rules_can_be_allowed_for_one_peer(rule: RuleId, handle: Handle) -> None:
    allow: set[RuleId] = {rule, "read-past-eof", "leaked-connection", "busy-loop"}
    with Scenario() as net:
        net.client("alice", allow=allow).sends(b"x").closes()
        net.run(serve, handle)

"""What a test allows is allowed everywhere, what it decides itself is seen, and a file object is one event."""

from __future__ import annotations

import io
import select
import selectors
import socket
from functools import partial
from itertools import repeat
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any, NoReturn
from unittest.mock import MagicMock, Mock, patch

import pytest

from mockselector import ListenSocket, MockSelector, MockSocket, Scenario, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mockselector import RuleId

BUSY: set[RuleId] = {"busy-loop"}

# -- a thousand vain calls --


def tries(call: Callable[[], object], times: int) -> int:
    refused = 0
    for _ in range(times):
        try:
            call()
        except OSError:
            refused += 1
    return refused


@pytest.mark.parametrize("where", ["selector", "socket"])
@pytest.mark.parametrize("call", ["recv", "send"])
def test_vain_calls_can_be_allowed_in_a_list(where: str, call: str) -> None:
    alice = MockSocket([b"hi"], name="alice", allow=BUSY if where == "socket" else ())
    alice.setblocking(False)
    alice.send.side_effect = BlockingIOError
    with MockSelector([alice], strict=True, allow=BUSY if where == "selector" else ()) as selector:
        selector.register(alice, EVENT_READ)
        selector.select()
        alice.recv(9)
        act = {"recv": lambda: alice.recv(9), "send": lambda: alice.send(b"x")}[call]
        assert tries(act, 5000) == 5000


def test_vain_accepts_can_be_allowed_for_a_listener() -> None:
    listener = ListenSocket(allow=BUSY)
    listener.setblocking(False)
    with MockSelector([()], strict=True) as selector:
        listener.bind(("", 8888))
        listener.listen()
        selector.register(listener, EVENT_READ)
        selector.select()
        assert tries(listener.accept, 5000) == 5000


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("swallowed", [OSError, Exception, BaseException])
def test_a_list_whose_vain_calls_are_allowed_comes_to_an_end(swallowed: type[BaseException]) -> None:
    alice = MockSocket([b"hi", b"there"], name="alice")
    alice.setblocking(False)
    with pytest.raises(ScenarioError, match=r"\A\[undelivered-event\]"):
        with MockSelector([alice, alice], strict=True, allow=BUSY) as selector:
            selector.register(alice, EVENT_READ)
            selector.select()
            while True:
                try:
                    alice.recv(9)
                except swallowed:
                    pass


def retries() -> NoReturn:
    """No select() at all, once there is a connection."""
    with socket.create_server(("", 8888)) as listener:
        conn, _ = listener.accept()
        with conn:
            conn.setblocking(False)
            while True:
                try:
                    if not conn.recv(100):
                        break
                except BlockingIOError:
                    pass
    raise SystemExit


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("where", ["run", "peer"])
def test_vain_calls_can_be_allowed_in_a_scenario_and_time_goes_on(where: str) -> None:
    with pytest.raises(SystemExit), Scenario(allow=BUSY if where == "run" else ()) as net:
        net.client("alice", allow=BUSY if where == "peer" else ()).waits(30).sends(b"hi").waits(30).closes()
        net.run(retries)
    assert net.now >= 60


@pytest.mark.slow
def test_such_a_scenario_comes_to_an_end() -> None:
    with Scenario(allow={"busy-loop", "leaked-connection"}) as net:
        net.client("alice").sends(b"hi")
        assert net.run(retries) is None


VAIN: dict[str, Callable[[socket.socket, Any], object]] = {
    "recv": lambda sock, _: sock.recv(1, socket.MSG_DONTWAIT),
    "send": lambda sock, _: sock.send(b"x" * 100_000, socket.MSG_DONTWAIT),
    "connect": lambda sock, _: sock.connect(("127.0.0.1", 9)),
    "bind": lambda sock, _: sock.bind(("127.0.0.1", 1)),
    "select": lambda sock, _: select.select([], [sock], [], 0),
    "a closed number": lambda _, __: select.select([1 << 30 | 500], [], [], 0),
    "poll": lambda sock, poller: poller.poll(),
    "unregister": lambda sock, poller: poller.unregister(1 << 30 | 500),
}


@pytest.mark.parametrize("call", VAIN.values(), ids=VAIN)
def test_whatever_is_tried_in_vain_can_be_allowed(call: Callable[[socket.socket, Any], object]) -> None:
    def tries() -> str:
        with socket.create_server(("", 8888)) as listener:
            sock, _ = listener.accept()
            poller = select.poll()
            poller.register(sock, select.POLLOUT)
            for _ in range(2500):
                try:
                    call(sock, poller)
                except (OSError, KeyError, ValueError):
                    pass
            sock.close()
        return "returned"

    with Scenario(allow={*BUSY, "short-send-lost", "unscripted-connection", "unmet-expectation"}) as net:
        net.client("alice").waits(9)
        assert "returned" == net.run(tries)


def test_they_are_found_without_that() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[busy-loop\] recv\(\) on alice"), Scenario() as net:
        net.client("alice").waits(30).closes()
        net.run(retries)


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_one_of_several_that_are_always_ready_is_enough(name: str) -> None:
    """Whichever of them select() returns first."""
    turns: list[None] = []

    def spins() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
            conns = [listener.accept()[0] for _ in range(2)]
            for conn in conns:
                selector.register(conn, EVENT_READ)
            for _ in range(3000):
                turns.extend(None for _ in selector.select())
                for conn in conns:
                    conn.recv(1, socket.MSG_PEEK)
            for conn in conns:
                selector.unregister(conn)
                conn.close()

    with Scenario(allow={"unread-data"}) as net:
        for one in ("alice", "bob"):
            net.client(one, allow=BUSY if one == name else ()).sends(b"x")
        net.run(spins)
    assert len(turns) > 5900


# -- accept(), as the test decides --


def returns(listener: ListenSocket, alice: object) -> None:
    listener.accept.return_value = (alice, ("192.0.2.1", 5))


def has_an_effect(listener: ListenSocket, alice: object) -> None:
    listener.accept.side_effect = [(alice, ("192.0.2.1", 5))]


def has_a_function(listener: ListenSocket, alice: object) -> None:
    listener.accept.side_effect = lambda: (alice, ("192.0.2.1", 5))


def fails_first(listener: ListenSocket, alice: object) -> None:
    listener.accept.side_effect = [BlockingIOError(11, "not yet"), (alice, ("192.0.2.1", 5))]
    with pytest.raises(BlockingIOError):
        listener.accept()


def is_configured(listener: ListenSocket, alice: object) -> None:
    listener.accept.configure_mock(return_value=(alice, ("192.0.2.1", 5)))


def is_replaced(listener: ListenSocket, alice: object) -> None:
    anything: Any = listener  # Any: a type checker does not let it pass
    anything.accept = Mock(return_value=(alice, ("192.0.2.1", 5)))


WAYS = [returns, has_an_effect, has_a_function, fails_first, is_configured, is_replaced]


def serves(selector: MockSelector, listener: ListenSocket) -> None:
    selector.register(listener, EVENT_READ)
    selector.select()
    conn, _ = listener.accept()
    selector.register(conn, EVENT_READ)
    selector.select()
    conn.recv(9)
    selector.select()
    conn.recv(9)
    selector.unregister(conn)
    conn.close()


@pytest.mark.parametrize("decide", WAYS)
def test_a_client_that_the_test_hands_out_is_accepted(decide: Callable[[ListenSocket, object], None]) -> None:
    alice = MockSocket([b"x"], name="alice")
    listener = ListenSocket([alice])
    with MockSelector([listener, alice, alice], strict=True) as selector:
        listener.listen()
        decide(listener, alice)
        serves(selector, listener)


def test_so_is_one_that_a_patch_hands_out_which_is_gone_at_the_end() -> None:
    alice = MockSocket([b"x"], name="alice")
    listener = ListenSocket([alice])
    with MockSelector([listener, alice, alice], strict=True) as selector:
        listener.listen()
        with patch.object(listener, "accept", return_value=(alice, ("192.0.2.1", 5))):
            serves(selector, listener)


@pytest.mark.parametrize("decide", WAYS[:-1])
def test_a_client_that_nobody_has_handed_out_is_left_all_the_same(
    decide: Callable[[ListenSocket, object], None],
) -> None:
    alice, bob = MockSocket([b"x"], name="alice"), MockSocket([b"y"], name="bob")
    listener = ListenSocket([alice, bob])
    with pytest.raises(ScenarioError, match=r"\A\[unaccepted-connection\] .* bob is left"):
        with MockSelector([listener, alice, alice], strict=True) as selector:
            listener.listen()
            decide(listener, alice)
            serves(selector, listener)


def test_after_what_the_test_has_decided_the_script_goes_on_with_the_next() -> None:
    alice, bob = MockSocket(name="alice"), MockSocket(name="bob")
    listener = ListenSocket([alice, bob])
    has_an_effect(listener, alice)
    with MockSelector([listener, listener], strict=True) as selector:
        listener.listen()
        selector.register(listener, EVENT_READ)
        for client in (alice, bob):
            selector.select()
            assert listener.accept()[0] is client
            client.close()


def test_a_plain_mock_may_be_handed_out() -> None:
    alice = Mock(spec=socket.socket)
    listener = ListenSocket([alice])
    returns(listener, alice)
    with MockSelector([listener], strict=True) as selector:
        listener.listen()
        selector.register(listener, EVENT_READ)
        selector.select()
        assert listener.accept()[0] is alice


def test_an_endless_script_of_one_client_is_not_searched_for_ever() -> None:
    alice = MockSocket(name="alice")
    listener = ListenSocket(repeat(alice))
    with pytest.raises(ScenarioError, match=r"\A\[unaccepted-connection\]"):
        with MockSelector([listener], strict=True) as selector:
            listener.listen()
            selector.register(listener, EVENT_READ)
            selector.select()
            listener.accept()
            alice.close()


# -- what can be iterated over, and is one event --


class Wrapper:
    """Around a descriptor; whoever iterates over it gets messages."""

    def fileno(self) -> int:
        return 77

    def __iter__(self) -> Iterator[bytes]:
        yield b"message"


class Sized(Wrapper):
    def __getitem__(self, at: int) -> int:
        return at


FILES: list[Callable[[], Any]] = [
    partial(open, __file__, "rb"),
    partial(open, __file__),
    partial(open, __file__, "rb", buffering=0),
    Wrapper,
    Sized,
]
FORMS: list[Callable[[Any], Any]] = [
    lambda one: one,
    lambda one: (one, EVENT_READ),
    lambda one: [one],
    lambda one: {one},
    lambda one: iter([one]),
]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("make", FILES)
@pytest.mark.parametrize("form", FORMS)
def test_a_file_object_is_one_event_in_every_form(
    form: Callable[[Any], Any], make: Callable[[], Any], strict: bool
) -> None:
    file = make()
    selector = MockSelector([form(file)], strict=strict)
    selector.register(file, EVENT_READ)
    assert [(key.fileobj, mask) for key, mask in selector.select()] == [(file, EVENT_READ)]
    if isinstance(file, io.IOBase):
        file.close()


def test_so_is_the_raw_file_of_a_socket() -> None:
    sock = MockSocket([b"line\n"], name="alice")
    file = sock.makefile("rb", buffering=0)
    with MockSelector([file, file], strict=True) as selector:
        selector.register(file, EVENT_READ)
        assert [key.fileobj for key, _ in selector.select()] == [file]
        assert file.readline() == b"line\n"
        selector.select()
        assert file.readline() == b""
        selector.unregister(file)
        sock.close()
        file.close()


def test_a_mock_of_everything_is_an_event_to_strict_mode_and_an_empty_group_to_lenient_mode() -> None:
    for strict, ready in ((False, 0), (True, 1)):
        thing = MagicMock()
        thing.fileno.return_value = 77
        selector = MockSelector([thing], strict=strict)
        selector.register(thing, EVENT_READ)
        assert len(selector.select()) == ready


def test_a_file_that_is_not_registered_is_told_as_one_event() -> None:
    with open(__file__, "rb") as file:
        with pytest.raises(ScenarioError, match=r"\A\[event-not-registered\]"):
            with MockSelector([file], strict=True) as selector:
                selector.select()

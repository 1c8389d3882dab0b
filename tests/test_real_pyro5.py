"""Pyro5's multiplex daemon, unmodified, in scenarios; its own classes write and read the client's messages."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from Pyro5 import config
from Pyro5.api import Daemon, expose
from Pyro5.protocol import (
    FLAGS_EXCEPTION,
    FLAGS_ONEWAY,
    MSG_CONNECT,
    MSG_CONNECTFAIL,
    MSG_CONNECTOK,
    MSG_INVOKE,
    MSG_PING,
    MSG_RESULT,
    ReceivingMessage,
    SendingMessage,
)
from Pyro5.serializers import serializers

from mockselector import Expects, Scenario, Sends

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mockselector import Step

HEADER = 40  # bytes
SERPENT = serializers["serpent"]
NOTED: list[str] = []


@expose
class Calculator:
    def add(self, one: int, other: int) -> int:
        return one + other

    def reverse(self, text: str) -> str:
        return text[::-1]

    def note(self, _: int) -> None:
        NOTED.append(threading.current_thread().name)

    def divide(self, one: int, other: int) -> float:
        return one / other


@pytest.fixture(autouse=True)
def multiplex(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "SERVERTYPE", "multiplex")


def serve(loop_condition: Callable[[], bool] = lambda: True) -> str:
    """A program as the documentation writes it."""
    with Daemon("127.0.0.1", 9090) as daemon:
        daemon.register(Calculator(), "calculator")
        daemon.requestLoop(loop_condition)
    return "returned"


# -- a client -----------------------------------------------------------------------------------


def message(kind: int, payload: bytes, seq: int, flags: int = 0) -> bytes:
    return SendingMessage(kind, flags, seq, SERPENT.serializer_id, payload).data


def connect(target: str = "calculator") -> bytes:
    return message(MSG_CONNECT, SERPENT.dumps({"handshake": "hello", "object": target}), 0)


def call(seq: int, method: str, *args: object, flags: int = 0) -> bytes:
    return message(MSG_INVOKE, SERPENT.dumpsCall("calculator", method, args, {}), seq, flags)


def receive() -> Generator[Step, bytes, ReceivingMessage]:
    """Read one message."""
    received = ReceivingMessage((yield Expects(bool, until=HEADER)))
    received.add_payload((yield Expects(bool, until=received.annotations_size + received.data_size)))
    return received


def session(results: list[Any], *calls: tuple[Any, ...]) -> Generator[Step, bytes, None]:
    """Connect, make one call after another, and keep what each returns or raises."""
    yield Sends(connect())
    greeting = yield from receive()
    assert greeting.type == MSG_CONNECTOK
    for seq, (method, *args) in enumerate(calls, 1):
        yield Sends(call(seq, method, *args))
        reply = yield from receive()
        assert (reply.type, reply.seq) == (MSG_RESULT, seq)
        results.append(SERPENT.loads(reply.data))


# -- calls --------------------------------------------------------------------------------------


def test_a_method_is_called() -> None:
    results: list[Any] = []
    with Scenario() as net:
        net.client("alice").plays(session(results, ("add", 2, 3))).closes()
        net.run(serve)
    assert results == [5]


def test_a_connection_is_kept_for_the_next_call() -> None:
    results: list[Any] = []
    with Scenario() as net:
        net.client("alice").plays(session(results, ("add", 2, 3), ("reverse", "abc"), ("divide", 1, 4))).closes()
        net.run(serve)
    assert results == [5, "cba", 0.25]


def test_clients_are_served_in_turn() -> None:
    results: list[Any] = []
    with Scenario() as net:
        net.client("alice").plays(session(results, ("add", 1, 0))).waits(10).plays(finish(results)).closes()
        net.client("bob").plays(session(results, ("add", 2, 0))).closes()
        net.run(serve)
    assert results == [1, 2, 3]


def finish(results: list[Any]) -> Generator[Step, bytes, None]:
    yield Sends(call(9, "add", 3, 0))
    reply = yield from receive()
    results.append(SERPENT.loads(reply.data))


def test_what_a_method_raises_comes_back() -> None:
    def play() -> Generator[Step, bytes, None]:
        yield from session([])
        yield Sends(call(1, "divide", 1, 0))
        replies.append((yield from receive()))

    replies: list[ReceivingMessage] = []
    with Scenario() as net:
        net.client("alice").plays(play).closes()
        net.run(serve)
    assert replies[0].flags & FLAGS_EXCEPTION
    assert isinstance(SERPENT.loads(replies[0].data), ZeroDivisionError)


def test_a_oneway_call_is_done_in_a_thread_of_its_own() -> None:
    with Scenario() as net:
        net.client("alice").plays(session([])).sends(call(1, "note", 1, flags=FLAGS_ONEWAY)).closes()
        net.run(serve)
    (noted,) = NOTED
    assert noted != threading.current_thread().name


def test_a_ping_is_answered() -> None:
    def play() -> Generator[Step, bytes, None]:
        yield from session([])
        yield Sends(message(MSG_PING, b"ping", 7))
        replies.append((yield from receive()))

    replies: list[ReceivingMessage] = []
    with Scenario() as net:
        net.client("alice").plays(play).closes()
        net.run(serve)
    assert (replies[0].type, replies[0].seq, bytes(replies[0].data)) == (MSG_PING, 7, b"pong")


def test_an_unknown_object_is_refused_at_the_handshake() -> None:
    def play() -> Generator[Step, bytes, None]:
        yield Sends(connect("nobody"))
        replies.append((yield from receive()))

    replies: list[ReceivingMessage] = []
    with Scenario() as net:
        net.client("alice").plays(play).expects_eof()
        net.run(serve)
    assert (replies[0].type, SERPENT.loads(replies[0].data)) == (MSG_CONNECTFAIL, "unknown object")


def test_a_large_call_comes_back_through_a_small_buffer() -> None:
    results: list[Any] = []
    text = "0123456789" * 10_000
    with Scenario(buffer=4096) as net:
        net.client("alice").plays(session(results, ("reverse", text))).closes()
        net.run(serve)
    assert results == [text[::-1]]


def test_a_call_in_small_pieces_is_one_call() -> None:
    def play() -> Generator[Step, bytes, None]:
        yield from session([])
        data = call(1, "add", 2, 3)
        for start in range(0, len(data), 10):
            yield Sends(data[start : start + 10])
        results.append(SERPENT.loads((yield from receive()).data))

    results: list[Any] = []
    with Scenario() as net:
        net.client("alice").plays(play).closes()
        net.run(serve)
    assert results == [5]


# -- what goes wrong, and the end ---------------------------------------------------------------


def test_a_client_that_resets_leaves_the_others_their_turn() -> None:
    results: list[Any] = []
    with Scenario() as net:
        net.client("alice").plays(session([], ("add", 2, 3))).sends(b"PYRO").resets()
        net.client("bob").plays(session(results, ("add", 2, 3))).waits(1).plays(finish(results)).closes()
        net.run(serve)
    assert results == [5, 3]


def test_a_client_that_closes_in_the_middle_of_a_call_leaves_the_others_their_turn() -> None:
    results: list[Any] = []
    with Scenario() as net:
        net.client("alice").plays(session([])).sends(call(1, "add", 2, 3)[:-5]).closes()
        net.client("bob").plays(session(results, ("add", 2, 3))).closes()
        net.run(serve)
    assert results == [5]


def test_a_loop_condition_ends_the_request_loop() -> None:
    going = [True]
    with Scenario() as net:
        net.client("alice").plays(session([], ("add", 2, 3))).closes()
        net.on_end(going.clear)
        assert net.run(serve, lambda: bool(going)) == "returned"


def test_ctrl_c_ends_the_request_loop() -> None:
    with Scenario() as net:
        net.client("alice").plays(session([], ("add", 2, 3))).closes()
        net.interrupts()
        assert net.run(serve) == "returned"


def test_shutdown_wakes_the_daemon_by_a_connection_to_itself() -> None:
    def main() -> str:
        with Daemon("127.0.0.1", 9090) as daemon:
            daemon.register(Calculator(), "calculator")
            net.on_end(daemon.shutdown)
            daemon.requestLoop()
        return "returned"

    with Scenario() as net:
        net.client("alice").plays(session([], ("add", 2, 3))).closes()
        assert net.run(main) == "returned"


def test_a_daemon_of_threads_serves_two_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "SERVERTYPE", "thread")
    replies: list[object] = []
    with Scenario() as net:
        for name in ("alice", "bob"):
            net.client(name).plays(session(replies, ("add", 2, 3))).closes()
        net.run(serve)
    assert replies == [5, 5]

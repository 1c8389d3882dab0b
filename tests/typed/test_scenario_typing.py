"""What type checkers make of scenarios: as test_typing.py, for conversations."""

from __future__ import annotations

import asyncio
import re
import selectors
import socket
import ssl
import unittest
from typing import TYPE_CHECKING

import pytest
from typing_extensions import assert_type

from mockselector import (
    Closes,
    Event,
    EventLoop,
    Expects,
    Peer,
    Play,
    Receives,
    Scenario,
    ScenarioTestCase,
    Sends,
    SocketRow,
    SocketTable,
    StartsTls,
    Step,
    ThreadRow,
    ThreadTable,
    Timeline,
    Trace,
    Waits,
    simulated,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


def answer(port: int, *, greeting: bytes = b"hi") -> int:
    """A server's signature: it knows nothing of scenarios."""
    with socket.create_server(("localhost", port)) as listener:
        sock, _ = listener.accept()
        with sock:
            return sock.send(greeting)


def test_a_conversation_keeps_its_type() -> None:
    with Scenario() as net:
        assert_type(net, Scenario)
        alice = net.client("alice").expects(b"hi").expects_eof().closes()
        assert_type(alice, Peer)
        assert_type(net.run(answer, 8888), "int | None")
    assert_type(alice.received, bytes)  # bound: leaving the block swallows nothing
    assert_type(alice.name, str)
    assert_type(net.trace, Trace)
    assert_type(net.trace[0], Event)
    assert_type(net.now, float)
    assert_type(net.sockets(), SocketTable)
    assert_type(net.threads(), ThreadTable)
    assert_type(net.threads()[0], ThreadRow)
    assert_type(net.threads()[0].holds, str)
    assert_type(net.threads()[0].daemon, bool)
    timeline = net.timeline()
    assert_type(timeline, Timeline)
    assert_type(timeline.events, "list[Event]")
    assert_type(timeline.mermaid(), str)
    assert_type(Timeline(net.trace), Timeline)
    with pytest.raises(TypeError):
        timeline.save("never.html", beside="run")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def answer_later(port: int, *, greeting: bytes = b"hi") -> int:
    """The same, as a coroutine."""
    return port + len(greeting)


def test_what_is_run_has_the_type_of_its_result() -> None:
    with Scenario() as net:
        assert_type(net.run(answer_later, 8888, greeting=b""), "int | None")
        assert_type(net.run(answer_later(8888)), "int | None")
        assert_type(net.run_until_complete(answer_later, 8888), int)
        assert_type(net.run_until_complete(answer_later(8888)), int)
        assert_type(net.run_until_complete(str, 8888), str)
        with pytest.raises(TypeError):
            net.run(answer_later, 8888, greting=b"")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        with pytest.raises(TypeError):
            net.run(8888)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_a_coroutine_enters_a_scenario_on_a_loop_of_its_own() -> None:
    async def test() -> int:
        async with Scenario() as net:
            assert_type(net, Scenario)
            number = await answer_later(8888)
        return number + 1  # bound: leaving the block swallows nothing but its own end

    make: Callable[[], asyncio.AbstractEventLoop] = EventLoop
    loop = make()
    assert_type(loop.run_until_complete(test()), int)
    loop.close()


def test_signals_are_told_from_numbers() -> None:
    net = Scenario()
    net._run.settled = True  # it is never run, which is not the subject
    net.interrupts()
    net.terminates(at=1.5)
    with pytest.raises(ValueError, match="at="):
        net.terminates("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_what_the_server_takes_is_checked() -> None:
    with Scenario() as net:
        net.client("alice").expects(b"yo").expects_eof().closes()
        net.run(answer, 8888, greeting=b"yo")
        with pytest.raises(TypeError):
            net.run(answer, "8888", "x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
        with pytest.raises(TypeError):
            net.run(answer, 8888, greting=b"")  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]


def test_wrong_steps_are_errors_in_both_checkers() -> None:
    net = Scenario()
    net._run.settled = True  # it is never run, which is not the subject
    peer = net.client()
    with pytest.raises(TypeError):
        peer.sends("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError):
        peer.expects(re.compile(rb"x"))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError):
        peer.expects(re.compile("x"), until=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError):
        peer.expects(b"x", until="end")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="seconds="):
        peer.waits("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(AttributeError):
        peer.send(b"x")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def play() -> Play:
    yield Sends(b"hi")
    data = yield Receives()
    assert_type(data, bytes)
    yield Closes()


def longer() -> Generator[Step, bytes, None]:
    line = yield Expects(re.compile(rb".*"), until=b"\n")
    assert_type(line, bytes)


def test_steps_are_plain_data() -> None:
    steps: list[Step] = [Sends(b"hi"), Waits(1), Expects(b"hi"), Closes()]
    net = Scenario(allow={"stuck"})
    net._run.settled = True
    net.client("alice", steps, to=("localhost", 8888), allow={"unread-data"})
    net.client("bob", to=8888).plays(play).plays(longer()).does(lambda: net.client())
    net.backend(("db", 5432), delay=None)
    assert Sends(b"hi") == steps[0]
    with pytest.raises(TypeError):
        Sends("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError):
        net.client("carol", [b"hi"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="stuk"):
        Scenario(allow={"stuk"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_peer_speaks_tls() -> None:
    net = Scenario()
    net._run.settled = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    alice = net.client("alice", tls=context).expects_eof(ragged=False).closes(ragged=True)
    assert_type(alice, Peer)
    net.client("bob", [StartsTls(context, "db"), Closes(ragged=True)]).starts_tls(context, server_hostname="db")
    net.backend(("db", 5432), tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    with pytest.raises(TypeError):
        net.client("carol", tls=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_what_is_passed_in_by_hand_is_what_a_server_takes() -> None:
    net = Scenario()
    selector: selectors.BaseSelector = net.selector()
    listener: socket.socket = net.listener(("localhost", 8888))
    selector.register(listener, selectors.EVENT_READ)
    row = net.sockets()[0]
    assert_type(row, SocketRow)
    assert_type(row.unread, int)
    assert row.interest == "READ"


def test_simulated() -> None:
    def function(port: int) -> str:
        return f"{port}"

    async def coroutine(port: int) -> str:
        return f"{port}"

    class Case(unittest.TestCase):
        pass

    assert_type(simulated(function)(80), str)
    assert_type(simulated(coroutine)(80), str)
    assert_type(simulated(allow={"unread-data"})(function)(80), str)
    assert_type(simulated(patience=60)(coroutine)(80), str)
    assert_type(simulated(Case)(), Case)
    with pytest.raises(TypeError):
        simulated(function)()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError):
        simulated(patients=60)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def test_a_case_with_a_scenario() -> None:
    class Case(ScenarioTestCase):
        def test_it(self) -> None:
            assert_type(self.net, Scenario)

    assert Case("test_it").run() is not None

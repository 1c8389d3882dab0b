"""websockets' server on asyncio, unmodified, in scenarios; its own sans-IO protocol is the client."""

from __future__ import annotations

import contextlib
import gc
import importlib
import inspect
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Receives, Resets, Scenario, Sends, Waits
from scenario_servers import PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mockselector import Play

pytest.importorskip("websockets")
SERVER: Any = importlib.import_module("websockets.asyncio.server")
SYNC: Any = importlib.import_module("websockets.sync.server")
CLIENT: Any = importlib.import_module("websockets.client")
CLOSED: Any = importlib.import_module("websockets.exceptions").ConnectionClosed
FRAMES: Any = importlib.import_module("websockets.frames")
URI: Any = importlib.import_module("websockets.uri").parse_uri(f"ws://localhost:{PORT}/")


@pytest.fixture(autouse=True)
def nothing_is_said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """No log tells of an error, and the collector has nothing to complain of."""
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    yield
    gc.collect()
    assert not said
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert {record.getMessage() for record in errors} <= {"opening handshake failed"}  # of one that left in it


async def upper(connection: Any) -> None:
    with contextlib.suppress(CLOSED):
        async for message in connection:
            await connection.send(message.upper())


async def serve(**more: Any) -> None:
    """A program as the documentation writes it."""
    async with SERVER.serve(upper, "localhost", PORT, **more) as server:
        await server.serve_forever()


class Speaks:
    """A client's side of the protocol, as steps."""

    def __init__(self) -> None:
        self.protocol = CLIENT.ClientProtocol(URI)
        self.got: list[Any] = []

    def says(self) -> Play:
        """Send what the protocol wants to be sent."""
        data = b"".join(self.protocol.data_to_send())
        if data:
            yield Sends(data)

    def hears(self, many: int = 1) -> Play:
        """Read until there are so many more frames."""
        wanted = len(self.got) + many
        while len(self.got) < wanted:
            data = yield Receives()
            if data:
                self.protocol.receive_data(data)
            else:
                self.protocol.receive_eof()
            self.got += self.protocol.events_received()
            yield from self.says()
            if not data:
                return

    def opens(self) -> Play:
        self.protocol.send_request(self.protocol.connect())
        yield from self.says()
        yield from self.hears()
        assert self.got.pop().status_code == 101

    def asks(self, *messages: str) -> Play:
        for message in messages:
            self.protocol.send_text(message.encode())
            yield from self.says()
            yield from self.hears()

    def stays(self) -> Play:
        """Ask once, and wait for whatever comes then."""
        yield from self.opens()
        yield from self.asks("hi")
        yield from self.hears()

    def leaves(self) -> Play:
        self.protocol.send_close(1000)
        yield from self.says()
        yield from self.hears()

    @property
    def texts(self) -> list[str]:
        return [frame.data.decode() for frame in self.got if frame.opcode is FRAMES.Opcode.TEXT]


def test_messages_are_answered_and_the_connection_is_closed_in_order() -> None:
    speaks = Speaks()

    def play() -> Play:
        yield from speaks.opens()
        yield from speaks.asks("hi", "ho")
        yield from speaks.leaves()

    with Scenario() as net:
        net.client("alice").plays(play).expects_eof()
        net.run(serve)
    assert speaks.texts == ["HI", "HO"]
    assert speaks.protocol.close_rcvd.code == 1000


def test_a_second_client_is_served_meanwhile() -> None:
    def play(speaks: Speaks, pause: float) -> Play:
        yield from speaks.opens()
        yield Waits(pause)
        yield from speaks.asks("hi")
        seen.append(net.now)
        yield from speaks.leaves()

    seen: list[float] = []
    with Scenario() as net:
        net.client("alice").plays(play(Speaks(), 10)).expects_eof()
        net.client("bob").plays(play(Speaks(), 0)).expects_eof()
        net.run(serve)
    assert seen == [0.0, 10.0]


def test_a_big_message_reaches_a_slow_reader() -> None:
    speaks = Speaks()

    def play() -> Play:
        yield from speaks.opens()
        yield from speaks.asks("x" * 500_000)
        yield from speaks.leaves()

    with Scenario() as net:
        net.client("alice").reads_slowly(50_000).plays(play).expects_eof()
        net.run(serve)
    assert speaks.texts == ["X" * 500_000]


def test_one_that_is_silent_is_asked_and_then_let_go() -> None:
    speaks = Speaks()

    def play() -> Play:
        yield from speaks.opens()
        yield Receives()  # a ping, which it leaves unanswered
        seen.append(net.now)
        yield from speaks.hears()
        seen.append(net.now)

    seen: list[float] = []
    with Scenario() as net:
        net.client("alice").plays(play).expects_eof()
        net.run(lambda: serve(ping_interval=20, ping_timeout=20))
    assert seen[0] == 20.0
    assert seen[1] == 40.0
    assert speaks.got[-1].data[:2] == (1011).to_bytes(2, "big")


@pytest.mark.parametrize("how", ["resets", "closes"])
def test_one_that_leaves_in_the_middle_harms_nobody(how: str) -> None:
    first, other = Speaks(), Speaks()

    def play(speaks: Speaks) -> Play:
        yield from speaks.opens()
        yield from speaks.asks("hi")

    with Scenario() as net:
        getattr(net.client("alice").plays(play(first)).sends(b"\x81\xfe"), how)()
        getattr(net.client("carol").sends(b"GET / HTTP/1.1\r\n").waits(1), how)()
        net.client("bob").waits(2).plays(play(other)).closes()
        net.run(serve)
    assert other.texts == ["HI"]


def ends(net: Scenario) -> None: ...


@pytest.mark.parametrize("ask", [Scenario.interrupts, ends])
def test_it_stops_by_closing_its_connections(ask: Callable[[Scenario], None]) -> None:
    speaks = Speaks()

    def play() -> Play:
        yield from speaks.opens()
        yield from speaks.asks("hi")

    with Scenario() as net:
        net.client("alice").plays(play).closes()
        ask(net)
        assert net.run(serve) is None
    assert speaks.texts == ["HI"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="an interrupt cancels nothing: it comes out of the loop")
def test_a_client_that_stays_is_told_that_it_goes() -> None:
    speaks = Speaks()
    with Scenario() as net:
        net.client("alice").plays(speaks.stays).expects_eof()
        net.interrupts(at=5)
        net.run(serve)
    assert speaks.got[-1].data[:2] == (1001).to_bytes(2, "big")


# -- its sync server ----------------------------------------------------------------------------------


def upper_after_a_second(connection: Any) -> None:
    with contextlib.suppress(CLOSED):
        for message in connection:
            time.sleep(1)
            connection.send(message.upper())


def serve_in_threads(net: Scenario) -> str:
    with SYNC.serve(upper_after_a_second, "localhost", PORT) as server:
        net.on_end(server.shutdown)
        server.serve_forever()
    return "stopped"


def test_in_threads_a_slow_client_and_some_that_reset_harm_nobody() -> None:
    def slow() -> Play:
        yield from speaks[0].opens()
        yield Waits(1)
        speaks[0].protocol.send_text(b"x" * 300_000)
        data = b"".join(speaks[0].protocol.data_to_send())
        for start in range(0, len(data), 50_000):
            yield Sends(data[start : start + 50_000])
            yield Waits(1)
        yield from speaks[0].hears()
        yield from speaks[0].leaves()

    def quick() -> Play:
        yield from speaks[1].opens()
        yield from speaks[1].asks("hi")
        seen.append(net.now)
        yield from speaks[1].leaves()

    def leaves(at: int) -> Play:
        yield from speaks[at].opens()
        yield Sends((b"", b"\x81\xfe", b"\x81\x85\0\0\0\0hello")[at - 2])
        yield Waits(0.5)
        yield Resets()

    seen: list[float] = []
    before = threading.enumerate()
    speaks = [Speaks() for _ in range(5)]
    with Scenario() as net:
        net.client("alice").reads_slowly(50_000).plays(slow).expects_eof()
        net.client("bob").plays(quick).expects_eof()
        for at in (2, 3, 4):
            net.client(f"mallory {at}").plays(leaves(at))
        net.client("eve").sends(b"GET / HTTP/1.1\r\n").waits(1).resets()
        assert net.run(serve_in_threads, net) == "stopped"
    assert before == threading.enumerate()
    assert speaks[0].texts == ["X" * 300_000]
    assert speaks[1].texts == ["HI"]
    assert seen == [1]


@pytest.mark.skipif(
    "close_connections" not in inspect.signature(SYNC.Server.shutdown).parameters,
    reason="up to websockets 16 it closes none",
)
def test_in_threads_a_client_that_stays_is_told_that_it_goes() -> None:
    speaks = Speaks()
    with Scenario() as net:
        net.client("alice").plays(speaks.stays).expects_eof().closes()
        net.interrupts(at=5)
        net.run(serve_in_threads, net)
        assert net.now == 5
    assert speaks.got[-1].data[:2] == (1001).to_bytes(2, "big")

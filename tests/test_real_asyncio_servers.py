"""HTTP servers on asyncio, unmodified, in scenarios: aiohttp, uvicorn, hypercorn, tornado."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import re
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import EventLoop, Receives, Resets, Scenario, Sends
from scenario_servers import PORT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from pathlib import Path

    from mockselector import Peer, Play

    Send = Callable[[dict[str, Any]], Awaitable[None]]
    Receive = Callable[[], Awaitable[dict[str, Any]]]

BIG = 1_000_000
IDLE = 5
"""After so many seconds of silence, each is told to close a connection."""

STOPPED: list[str] = []
"""What the program has said of its end."""


@pytest.fixture(autouse=True)
def nothing_is_said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """No log tells of an error, and the collector has nothing to complain of."""
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    STOPPED.clear()
    yield
    gc.collect()
    assert not said
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in errors] == []


# -- the programs ---------------------------------------------------------------------------------


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """One of ASGI: greets, or sends much, or back what it was sent."""
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.complete"})
        STOPPED.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = b"x" * BIG if scope["path"] == "/big" else body or b"hello"
    headers = [(b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def uvicorn(http: str, **more: Any) -> None:
    server: Any = importlib.import_module("uvicorn")
    server.run(app, port=PORT, timeout_keep_alive=IDLE, log_config=None, http=http, **{"loop": "asyncio", **more})


def hypercorn() -> None:
    asyncio.run(hypercorn_serve())


async def hypercorn_serve() -> None:
    config: Any = importlib.import_module("hypercorn.config").Config()
    config.bind = [f"127.0.0.1:{PORT}"]
    config.keep_alive_timeout = IDLE
    await importlib.import_module("hypercorn.asyncio").serve(app, config)


def application() -> Any:
    """The same for aiohttp."""
    web: Any = importlib.import_module("aiohttp.web")

    async def answer(request: Any) -> Any:
        body = await request.read()
        return web.Response(body=b"x" * BIG if request.path == "/big" else body or b"hello")

    async def stops(_: object) -> None:
        STOPPED.append("lifespan.shutdown")

    made = web.Application()
    made.router.add_route("*", "/{path:.*}", answer)
    made.on_shutdown.append(stops)
    return made


def aiohttp() -> None:
    importlib.import_module("aiohttp.web").run_app(application(), port=PORT, print=None, keepalive_timeout=IDLE)


async def aiohttp_runner() -> None:
    web: Any = importlib.import_module("aiohttp.web")
    runner = web.AppRunner(application(), keepalive_timeout=IDLE)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def tornado() -> None:
    web: Any = importlib.import_module("tornado.web")

    class Answer(web.RequestHandler):  # type: ignore[misc]  # of a package that need not be there
        def get(self, path: str) -> None:
            self.write(b"x" * BIG if path == "big" else b"hello")

        def post(self, _: str) -> None:
            self.write(self.request.body)

    server: Any = importlib.import_module("tornado.httpserver").HTTPServer(
        web.Application([("/(.*)", Answer)]), idle_connection_timeout=IDLE
    )
    server.listen(PORT)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    await stop.wait()
    server.stop()
    await server.close_all_connections()
    STOPPED.append("lifespan.shutdown")


PROGRAMS: dict[str, Callable[[], object]] = {
    "aiohttp": aiohttp,
    "aiohttp, AppRunner": aiohttp_runner,
    "hypercorn": hypercorn,
    "tornado": tornado,
    "uvicorn, h11": lambda: uvicorn("h11"),
    "uvicorn, httptools": lambda: uvicorn("httptools"),
    "uvicorn, EventLoop": lambda: uvicorn("h11", loop="mockselector:EventLoop"),
}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Callable[[], object]:
    for package in re.findall(r"aiohttp|hypercorn|tornado|uvicorn|httptools|h11", request.param):
        pytest.importorskip(package)
    return PROGRAMS[request.param]


def gets(peer: Peer, path: str = "/", body: bytes = b"hello") -> Peer:
    """It asks, and gets just this."""
    return answers(peer.sends(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode()), body)


def answers(peer: Peer, body: bytes) -> Peer:
    head = re.compile(rb"HTTP/1\.1 200.*content-length: %d\r\n.*" % len(body), re.DOTALL | re.IGNORECASE)
    return peer.expects(head, until=b"\r\n\r\n").expects(body)


# -- what their clients do ------------------------------------------------------------------------


def test_a_connection_carries_a_second_request(program: Callable[[], object]) -> None:
    with Scenario() as net:
        gets(gets(net.client("alice"))).closes()
        net.run(program)


def test_a_second_client_is_served_meanwhile(program: Callable[[], object]) -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"GET / HTTP/1.1\r\n").waits(3).sends(b"Host: x\r\n\r\n")
        answers(alice, b"hello").closes()
        gets(net.client("bob").waits(1)).does(lambda: seen.append(net.now)).closes()
        seen: list[float] = []
        net.run(program)
    assert 1 <= seen[0] < 3


def test_a_body_comes_in_parts(program: Callable[[], object]) -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello").waits(1)
        answers(alice.sends(b"world"), b"helloworld").closes()
        net.run(program)


def test_a_slow_reader_gets_all(program: Callable[[], object]) -> None:
    with Scenario() as net:
        gets(net.client("alice").reads_slowly(100_000), "/big", b"x" * BIG).closes()
        gets(net.client("bob").waits(2)).closes()
        net.run(program)


def test_one_that_reads_nothing_and_resets_harms_nobody(program: Callable[[], object]) -> None:
    with Scenario() as net:
        net.client("alice").sends(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n").waits(2).resets()
        gets(net.client("bob").waits(3)).closes()
        net.run(program)


@pytest.mark.parametrize(
    "cut", [b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST / HTTP/1.1\r\nContent-Length: 10\r\n"]
)
@pytest.mark.parametrize("how", ["resets", "closes"])
def test_one_that_leaves_in_the_middle_of_a_request_harms_nobody(
    program: Callable[[], object], cut: bytes, how: str
) -> None:
    with Scenario() as net:
        getattr(net.client("alice").sends(cut).waits(1), how)()
        gets(net.client("bob").waits(2)).closes()
        net.run(program)


def test_a_half_close_after_the_answer_is_an_end(program: Callable[[], object]) -> None:
    with Scenario() as net:
        gets(net.client("alice")).shuts_down().expects_eof()
        net.run(program)


def test_an_idle_connection_is_closed(program: Callable[[], object]) -> None:
    with Scenario() as net:
        gets(net.client("alice")).expects_eof().does(lambda: seen.append(net.now)).closes()
        seen: list[float] = []
        net.run(program)
    assert IDLE <= seen[0] < IDLE + 2


def is_not_asked(_: Scenario) -> None: ...


@pytest.mark.parametrize("ask", [Scenario.interrupts, Scenario.terminates, is_not_asked])
def test_it_stops_in_its_own_way(program: Callable[[], object], ask: Callable[[Scenario], None]) -> None:
    with Scenario() as net:
        gets(net.client("alice")).closes()
        ask(net)
        assert net.run(program) is None
    if ask is not Scenario.terminates or program is not aiohttp_runner:  # which has no handler for that
        assert STOPPED == (["lifespan.shutdown"])


def test_it_stops_though_a_client_stays(program: Callable[[], object]) -> None:
    with Scenario() as net:
        gets(net.client("alice")).waits(2).expects_eof().closes()
        net.terminates(at=1)
        net.run(program)


# -- files, which aiohttp opens in threads of its loop's, and lets the kernel send -------------------


@pytest.mark.parametrize("sendfile", [True, False])
def test_a_file_is_sent_to_a_slow_client_and_some_that_reset(
    tmp_path: Path, sendfile: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp")

    def program() -> None:
        web: Any = importlib.import_module("aiohttp.web")
        made = web.Application()
        made.router.add_static("/", tmp_path)
        web.run_app(made, port=PORT, print=None)

    def leaves() -> Play:
        yield Sends(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        yield Receives(1000)
        yield Resets()

    monkeypatch.setattr(importlib.import_module("aiohttp.web_fileresponse"), "NOSENDFILE", not sendfile)
    (tmp_path / "big").write_bytes(b"x" * BIG)
    (tmp_path / "small").write_bytes(b"hello")
    traces: list[list[str]] = []
    before = threading.enumerate()
    for _ in range(2):
        with Scenario(date=(tmp_path / "big").stat().st_mtime + 60) as net:
            alice = net.client("alice").reads_slowly(100_000).sends(b"GET /big HTTP/1.1\r\n").waits(3)
            answers(alice.sends(b"Host: x\r\n\r\n"), b"x" * BIG).closes()
            gets(gets(net.client("bob"), "/small"), "/big", b"x" * BIG).closes()
            net.client("mallory").plays(leaves)
            net.client("eve").sends(b"GET /big HTTP/1.1\r\n").waits(1).resets()
            missing = net.client("carol").sends(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
            missing.expects(re.compile(rb"HTTP/1\.1 404 .*", re.DOTALL), until=b"\r\n\r\n").waits(1).closes()
            net.interrupts()
            net.run(program)
            assert net.now == 19  # what is in its buffer comes at 64 KiB a second
        assert any("sendfile" in event.place.function for event in net.trace) == sendfile
        traces.append([str(event) for event in net.trace])
    assert traces[0] == traces[1]
    assert before == threading.enumerate()


# -- in a test that is a coroutine ----------------------------------------------------------------


def test_one_is_awaited_in_a_test() -> None:
    pytest.importorskip("aiohttp")

    async def test() -> None:
        async with Scenario() as net:
            gets(gets(net.client("alice"))).closes()
            await aiohttp_runner()

    loop = EventLoop()
    loop.run_until_complete(test())
    loop.close()

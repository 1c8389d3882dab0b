"""Defects of programs on real asyncio servers, unmodified: the first line of code that an error names is the user's."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from mockselector import Scenario, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from mockselector import Peer

    Main = Callable[[], Awaitable[object]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.shared,
    pytest.mark.filterwarnings("ignore"),  # what the servers and their libraries warn of, and what is left behind
]

PORT = 8888
KEPT: list[object] = []
"""What a program keeps for ever."""


@pytest.fixture(autouse=True)
def own_garbage() -> Iterator[None]:
    """What a test leaves behind is its own."""
    yield
    KEPT.clear()
    gc.collect()


def module(name: str) -> Any:  # Any: nothing of these packages need be installed where types are checked
    pytest.importorskip(name.partition(".")[0])
    return importlib.import_module(name)


# -- asyncio's own streams ----------------------------------------------------------------------------


def streams(handler: Any) -> Main:
    async def main() -> None:
        async with await asyncio.start_server(handler, "127.0.0.1", PORT) as server:
            await server.serve_forever()

    return main


async def stream_raises(reader: Any, writer: Any) -> None:
    writer.write(b"%d" % int(await reader.readline()))


async def stream_leaks(reader: Any, writer: Any) -> None:
    writer.write(await reader.readline())
    KEPT.append(writer)


async def stream_is_wrong(reader: Any, writer: Any) -> None:
    await reader.readline()
    writer.write(b"wrong\n")


async def stream_hangs(reader: Any, writer: Any) -> None:
    await reader.readexactly(1000)


# -- aiohttp ------------------------------------------------------------------------------------------


def by_aiohttp(handler: Any) -> Main:
    web = module("aiohttp.web")

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", PORT).start()
        await asyncio.Event().wait()

    return main


async def aiohttp_raises(request: Any) -> Any:
    raise ValueError("no page")


async def aiohttp_never_ends(request: Any) -> Any:
    response = module("aiohttp.web").StreamResponse()
    await response.prepare(request)
    await response.write(b"right")
    await asyncio.Event().wait()


async def aiohttp_is_wrong(request: Any) -> Any:
    response = module("aiohttp.web").StreamResponse()
    await response.prepare(request)
    await response.write(b"wrong")
    return response


async def aiohttp_returns_what_is_wrong(request: Any) -> Any:
    return module("aiohttp.web").Response(text="wrong")


async def aiohttp_hangs(request: Any) -> Any:
    await asyncio.sleep(1e6)


# -- uvicorn, hypercorn ---------------------------------------------------------------------------------


def by_uvicorn(app: Any) -> Main:
    uvicorn = module("uvicorn")

    async def main() -> None:
        await uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=PORT, lifespan="off")).serve()

    return main


def by_hypercorn(app: Any) -> Main:
    serve, config = module("hypercorn.asyncio").serve, module("hypercorn.config").Config()
    config.bind = [f"127.0.0.1:{PORT}"]

    async def main() -> None:
        await serve(app, config, mode="asgi")

    return main


def page(answer: Callable[[Any], Awaitable[None]]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await answer(send)

    return app


async def says(send: Any, text: bytes, **more: bool) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text, **more})


async def asgi_raises(send: Any) -> None:
    raise ValueError("no page")


async def asgi_never_ends(send: Any) -> None:
    await says(send, b"right", more_body=True)
    await asyncio.Event().wait()


async def asgi_is_wrong(send: Any) -> None:
    await says(send, b"wrong")


async def asgi_hangs(send: Any) -> None:
    await asyncio.Event().wait()


# -- tornado --------------------------------------------------------------------------------------------


def by_tornado(method: Any) -> Main:
    web = module("tornado.web")

    async def main() -> None:
        handler = type("Page", (web.RequestHandler,), {"get": method})
        web.Application([("/", handler)]).listen(PORT, "127.0.0.1")
        await asyncio.Event().wait()

    return main


async def tornado_raises(self: Any) -> None:
    raise ValueError("no page")


async def tornado_never_ends(self: Any) -> None:
    self.write("right")
    await self.flush()
    await asyncio.Event().wait()


async def tornado_is_wrong(self: Any) -> None:
    self.write("wrong")
    await self.flush()


async def tornado_returns_what_is_wrong(self: Any) -> None:
    self.write("wrong")


async def tornado_hangs(self: Any) -> None:
    await asyncio.Event().wait()


def by_tornados_tcp(handler: Any) -> Main:
    server = module("tornado.tcpserver").TCPServer

    async def main() -> None:
        kind = type("Lines", (server,), {"handle_stream": handler})
        kind().listen(PORT, "127.0.0.1")
        await asyncio.Event().wait()

    return main


async def tcp_raises(self: Any, stream: Any, address: Any) -> None:
    await stream.write(b"%d" % int(await stream.read_until(b"\n")))


async def tcp_leaks(self: Any, stream: Any, address: Any) -> None:
    await stream.write(await stream.read_until(b"\n"))
    KEPT.append(stream)


async def tcp_is_wrong(self: Any, stream: Any, address: Any) -> None:
    await stream.read_until(b"\n")
    await stream.write(b"wrong\n")


async def tcp_hangs(self: Any, stream: Any, address: Any) -> None:
    await stream.read_until(b"never")


# -- websockets -----------------------------------------------------------------------------------------


def by_websockets(handler: Any) -> Main:
    serve = module("websockets.asyncio.server").serve

    async def main() -> None:
        async with serve(handler, "127.0.0.1", PORT, ping_interval=None):
            await asyncio.Event().wait()

    return main


async def websocket_raises(socket: Any) -> None:
    await socket.send(str(int(await socket.recv())))


async def websocket_never_ends(socket: Any) -> None:
    await socket.send("right")
    await asyncio.Event().wait()


async def websocket_is_wrong(socket: Any) -> None:
    await socket.send("wrong")


async def websocket_hangs(socket: Any) -> None:
    while True:
        await socket.recv()


# -- aiosmtpd -------------------------------------------------------------------------------------------


def by_aiosmtpd(answer: Any) -> Main:
    smtp = module("aiosmtpd.smtp").SMTP

    async def takes(_: Any, server: Any, session: Any, envelope: Any, address: Any, options: Any) -> Any:
        envelope.rcpt_tos.append(address)
        return await answer(server)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        mailbox = type("Mailbox", (), {"handle_RCPT": takes})()
        server = await loop.create_server(lambda: smtp(mailbox, hostname="here", loop=loop), "127.0.0.1", PORT)
        async with server:
            await server.serve_forever()

    return main


async def smtp_raises(server: Any) -> Any:
    raise ValueError("no mailbox")


async def smtp_is_wrong(server: Any) -> Any:
    await server.push("250 wrong")


async def smtp_returns_what_is_wrong(server: Any) -> Any:
    return "250 wrong"


async def smtp_hangs(server: Any) -> Any:
    await asyncio.sleep(1e6)


# -- what clients say -------------------------------------------------------------------------------------


def line(alice: Peer) -> None:
    alice.sends(b"hi\n").expects(b"hi\n").expects_eof()


def leaving(alice: Peer) -> None:
    alice.sends(b"hi\n").expects(b"hi\n").closes()


def request(alice: Peer) -> None:
    alice.sends(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    alice.expects(lambda head: head.startswith(b"HTTP/1.1 200"), until=b"\r\n\r\n")
    alice.expects(lambda body: b"rig" in body, until=b"g")
    alice.closes()


def whole_request(alice: Peer) -> None:
    alice.sends(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    alice.expects(lambda answer: b"right" in answer, until="eof")


def frame(alice: Peer) -> None:
    alice.sends(
        b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    alice.expects(lambda head: b" 101 " in head, until=b"\r\n\r\n")
    alice.sends(b"\x81\x82\0\0\0\0hi").expects(b"\x81\x05right").expects_eof()


def mail(alice: Peer) -> None:
    alice.expects(lambda answer: answer.startswith(b"220"), until=b"\r\n")
    for command in (b"HELO there\r\n", b"MAIL FROM:<a@example.org>\r\n"):
        alice.sends(command).expects(lambda answer: answer.startswith(b"250"), until=b"\r\n")
    alice.sends(b"RCPT TO:<b@example.org>\r\n").expects(b"250 right\r\n")


class Defect(NamedTuple):
    """What is wrong, in which program, and what of it is found by which client."""

    server: Callable[[Any], Main]
    handler: Any
    client: Callable[[Peer], None]
    rule: str
    is_named: bool = True
    """Whether a line of the handler is named first; else, where nothing of it is left, a line of the script."""


def defects() -> Iterator[Defect]:
    yield Defect(streams, stream_raises, line, "unhandled-exception")
    yield Defect(streams, stream_leaks, leaving, "leaked-connection")
    yield Defect(streams, stream_is_wrong, line, "unexpected-send")
    yield Defect(streams, stream_hangs, line, "stuck")
    yield Defect(by_aiohttp, aiohttp_raises, request, "unexpected-send")
    yield Defect(by_aiohttp, aiohttp_never_ends, whole_request, "stuck")
    yield Defect(by_aiohttp, aiohttp_is_wrong, request, "unexpected-send")
    yield Defect(by_aiohttp, aiohttp_returns_what_is_wrong, request, "unexpected-send", is_named=False)
    yield Defect(by_aiohttp, aiohttp_hangs, request, "stuck")
    for server in (by_uvicorn, by_hypercorn):
        yield Defect(server, asgi_raises, request, "unexpected-send")
        yield Defect(server, asgi_never_ends, whole_request, "stuck")
        yield Defect(server, asgi_is_wrong, request, "unexpected-send")
        yield Defect(server, asgi_hangs, request, "stuck")
    yield Defect(by_tornado, tornado_raises, request, "unexpected-send")
    yield Defect(by_tornado, tornado_never_ends, whole_request, "stuck")
    yield Defect(by_tornado, tornado_is_wrong, request, "unexpected-send")
    yield Defect(by_tornado, tornado_returns_what_is_wrong, request, "unexpected-send", is_named=False)
    yield Defect(by_tornado, tornado_hangs, request, "stuck")
    yield Defect(by_tornados_tcp, tcp_raises, line, "stuck")
    yield Defect(by_tornados_tcp, tcp_leaks, leaving, "leaked-connection")
    yield Defect(by_tornados_tcp, tcp_is_wrong, line, "unexpected-send")
    yield Defect(by_tornados_tcp, tcp_hangs, line, "stuck")
    yield Defect(by_websockets, websocket_raises, frame, "unexpected-send")
    yield Defect(by_websockets, websocket_never_ends, frame, "stuck")
    yield Defect(by_websockets, websocket_is_wrong, frame, "unexpected-send")
    yield Defect(by_websockets, websocket_hangs, frame, "stuck")
    yield Defect(by_aiosmtpd, smtp_raises, mail, "unexpected-send")
    yield Defect(by_aiosmtpd, smtp_is_wrong, mail, "unexpected-send")
    yield Defect(by_aiosmtpd, smtp_returns_what_is_wrong, mail, "unexpected-send", is_named=False)
    yield Defect(by_aiosmtpd, smtp_hangs, mail, "unmet-expectation")


def name_of(defect: Defect) -> str:
    return f"{defect.server.__name__}-{defect.handler.__name__}"


@pytest.mark.parametrize("defect", [*defects()], ids=name_of)
def test_the_first_line_of_code_that_is_named_is_the_users(defect: Defect) -> None:
    asgi = defect.server in (by_uvicorn, by_hypercorn)
    main = defect.server(page(defect.handler) if asgi else defect.handler)
    with pytest.raises(ScenarioError) as caught:
        with Scenario() as net:
            defect.client(net.client("alice"))
            net.run(main)
    text = re.sub(r"\n  (?=\S)", " ", str(caught.value))
    assert defect.rule == caught.value.rule, text
    first = re.search(r"(\S+\.py):(\d+)", text)
    assert first is not None, text
    assert first[1].endswith("test_real_defects.py"), text
    said_by = (defect.handler, says) if defect.is_named else (defect.client,)
    assert any(is_in(function, int(first[2])) for function in said_by), text


def is_in(function: Callable[..., object], number: int) -> bool:
    """Whether a function has a line of that number in this file."""
    lines, start = inspect.getsourcelines(function)
    return start <= number < start + len(lines)

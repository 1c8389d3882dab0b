"""Real packages over TLS, unmodified: servers with scripted clients, and clients with scripted backends."""

from __future__ import annotations

import asyncio
import gc
import importlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from contexts import certificate, for_client, for_server
from mockselector import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mockselector import Peer, Play

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # what the packages warn of, and what is left behind
]

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def own_garbage() -> Iterator[None]:
    """What a test leaves behind is its own."""
    yield
    gc.collect()


def module(name: str) -> Any:  # Any: nothing of these packages need be installed where types are checked
    pytest.importorskip(name.partition(".")[0])
    return importlib.import_module(name)


def answers(peer: Peer, *bodies: bytes) -> Peer:
    """It answers so many requests by one connection."""
    for body in bodies:
        peer.expects(lambda request: request.startswith(b"GET /"), until=b"\r\n\r\n").sends(ANSWER + body)
    return peer


# -- clients ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests_asks_three_times_in_one_session(scheme: str) -> None:
    requests = module("requests")

    def ask() -> list[str]:
        with requests.Session() as session:
            session.verify = certificate()
            session.trust_env = False
            return [session.get(f"{scheme}://db:8443/{number}", timeout=5).text for number in range(3)]

    with Scenario() as net:
        db = net.backend(("db", 8443), tls=for_server() if scheme == "https" else None)
        answers(db, b"ha", b"he", b"hi").expects_eof()
        assert net.run(ask) == ["ha", "he", "hi"]


def test_requests_does_not_trust_who_is_not_known() -> None:
    requests = module("requests")

    def ask() -> None:
        with pytest.raises(requests.exceptions.SSLError, match="certificate verify failed"):
            requests.get("https://db:8443/", timeout=5, verify=certificate("other"))

    with Scenario() as net:
        net.backend(("db", 8443), tls=for_server(), allow={"unmet-expectation"})
        net.run(ask)


def test_requests_waits_no_longer_than_it_says() -> None:
    requests = module("requests")

    def ask() -> None:
        with pytest.raises(requests.exceptions.ReadTimeout, match="Read timed out"):
            requests.get("https://db:8443/", timeout=5, verify=certificate())

    with Scenario() as net:
        net.backend(("db", 8443), tls=for_server()).expects(bytes, until=b"\r\n\r\n").expects_eof()
        net.run(ask)
        assert net.now == pytest.approx(5)


def test_urllib3_keeps_its_connection() -> None:
    urllib3 = module("urllib3")

    def ask() -> list[bytes]:
        with urllib3.PoolManager(ca_certs=certificate()) as pool:
            return [pool.request("GET", f"https://db:8443/{number}").data for number in range(2)]

    with Scenario() as net:
        answers(net.backend(("db", 8443), tls=for_server()), b"ha", b"he").expects_eof()
        assert net.run(ask) == [b"ha", b"he"]


def test_httpx_asks_twice() -> None:
    httpx = module("httpx")

    def ask() -> list[str]:
        with httpx.Client(verify=for_client(), trust_env=False) as client:
            return [client.get(f"https://db:8443/{number}").text for number in range(2)]

    with Scenario() as net:
        answers(net.backend(("db", 8443), tls=for_server()), b"ha", b"he").expects_eof()
        assert net.run(ask) == ["ha", "he"]


def test_httpx_asks_twice_at_once_in_an_event_loop() -> None:
    httpx = module("httpx")

    async def ask() -> list[str]:
        async with httpx.AsyncClient(verify=for_client(), trust_env=False) as client:
            got = await asyncio.gather(*(client.get("https://db:8443/") for _ in range(2)))
            return sorted(answer.text for answer in got)

    with Scenario() as net:
        for body in (b"ha", b"he"):
            answers(net.backend(("db", 8443), tls=for_server()), body).expects_eof().closes()
        assert net.run(ask) == ["ha", "he"]


# -- servers ---------------------------------------------------------------------------------------


def hello(peer: Peer) -> None:
    """Two requests by one connection, and then the end."""
    peer.sends(REQUEST).expects(re.compile(rb"HTTP/1.1 200 OK\r\n.*", re.DOTALL), until=b"\r\n\r\n").expects(b"hi")
    peer.sends(LAST).expects(re.compile(rb"HTTP/1.1 200 OK\r\n.*hi", re.DOTALL), until="eof").closes()


def test_tornado_serves_https_on_its_own_sockets() -> None:
    web = module("tornado.web")

    base: Any = web.RequestHandler

    class Handler(base):  # type: ignore[misc]
        def get(self) -> None:
            self.write("hi")

    async def serve() -> None:
        web.Application([("/", Handler)]).listen(8443, ssl_options=for_server())
        await asyncio.Event().wait()

    with Scenario() as net:
        for name in ("alice", "bob"):
            hello(net.client(name, tls=for_client()))
        slow = net.client("slow", tls=for_client(), buffer=64).waits(3).sends(LAST[:20]).waits(3).sends(LAST[20:])
        slow.reads_slowly(40, every=1).expects(lambda answer: answer.endswith(b"hi"), until="eof").closes()
        net.client("mallory", tls=for_client()).sends(REQUEST[:10]).resets()
        net.client("doubtful", tls=for_client("other"), allow={"unmet-expectation"})
        net.run(serve)


def test_a_client_of_tornado_asks_its_own_server() -> None:
    web, client = module("tornado.web"), module("tornado.simple_httpclient")

    base: Any = web.RequestHandler

    class Handler(base):  # type: ignore[misc]
        def get(self) -> None:
            self.write("x" * 300_000)

    async def main() -> int:
        server = web.Application([("/", Handler)]).listen(8443, ssl_options=for_server())
        got = await client.SimpleAsyncHTTPClient().fetch("https://localhost:8443/", ca_certs=certificate())
        server.stop()
        await server.close_all_connections()
        return len(got.body)

    with Scenario() as net:
        assert net.run(main) == 300_000


def test_websockets_serves_wss() -> None:
    server, frames = module("websockets.asyncio.server"), module("websockets.client")
    uri = module("websockets.uri")

    async def serve() -> None:
        async def handle(socket: Any) -> None:
            async for message in socket:
                await socket.send(message.upper())

        async with server.serve(handle, "localhost", 8443, ssl=for_server()):
            await asyncio.Event().wait()

    def talks() -> Play:
        from mockselector import Closes, Receives, Sends

        protocol = frames.ClientProtocol(uri.parse_uri("wss://localhost:8443/"))
        protocol.send_request(protocol.connect())
        heard: list[Any] = []
        while len(heard) < 2:
            for data in protocol.data_to_send():
                yield Sends(data)
            protocol.receive_data((yield Receives()))
            heard += protocol.events_received()
            if len(heard) == 1:
                protocol.send_text(b"hello")
        assert heard[1].data == b"HELLO"
        protocol.send_close(1000)
        for data in protocol.data_to_send():
            yield Sends(data)
        protocol.receive_data((yield Receives()))
        yield Closes()

    with Scenario() as net:
        net.client("alice", tls=for_client()).plays(talks)
        net.run(serve)


def test_aiosmtpd_starts_tls() -> None:
    smtp = module("aiosmtpd.smtp")
    got: list[bytes] = []

    class Handler:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            got.append(envelope.content)
            assert session.ssl is not None
            return "250 OK"

    async def serve() -> None:
        def protocol() -> Any:
            return smtp.SMTP(Handler(), hostname="mail", tls_context=for_server(), require_starttls=True)

        server = await asyncio.get_running_loop().create_server(protocol, "localhost", 25)
        await server.serve_forever()

    def line(*starts: bytes) -> Callable[[bytes], bool]:
        return lambda answer: answer.startswith(starts)

    with Scenario() as net:
        alice = net.client("alice").expects(line(b"220 "), until=b"\r\n").sends(b"EHLO me\r\n")
        alice.expects(lambda answer: b"STARTTLS" in answer, until=b"250 HELP\r\n").sends(b"STARTTLS\r\n")
        alice.expects(line(b"220 "), until=b"\r\n").starts_tls(for_client("localhost"), server_hostname="mail")
        alice.sends(b"EHLO me\r\n").expects(bytes, until=b"250 HELP\r\n")
        for command in (b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", b"DATA\r\n"):
            alice.sends(command).expects(line(b"250 ", b"354 "), until=b"\r\n")
        alice.sends(b"text\r\n.\r\n").expects(line(b"250 "), until=b"\r\n").sends(b"QUIT\r\n")
        alice.expects(line(b"221 "), until=b"\r\n").expects_eof().closes()
        net.run(serve)
    assert got == [b"text\r\n"]

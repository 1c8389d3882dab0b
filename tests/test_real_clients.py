"""Clients that look by poll() or select() whether their connections live, unmodified, against scripted backends."""

from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Receives, Scenario, Sends, Waits

requests: Any = pytest.importorskip("requests")
adapters: Any = pytest.importorskip("requests.adapters")
urllib3: Any = pytest.importorskip("urllib3")
httpx: Any = pytest.importorskip("httpx")
mqtt: Any = pytest.importorskip("paho.mqtt.client")
redis: Any = pytest.importorskip("redis")

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mockselector import RuleId, Step

    Get = Callable[[int, float | None], list[str]]

API = ("api", 80)
URL = "http://api/a"
ASKED = re.compile(rb"GET /a HTTP/1.1\r\n.*", re.DOTALL)
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
GIVEN_UP: set[RuleId] = {"unmet-expectation"}


# -- HTTP, several requests in one session -------------------------------------------------------------


def by_requests(times: int, timeout: float | None) -> list[str]:
    with requests.Session() as session:
        return [session.get(URL, timeout=timeout).text for _ in range(times)]


def by_urllib3(times: int, timeout: float | None) -> list[str]:
    with urllib3.PoolManager() as pool:
        return [pool.request("GET", URL, timeout=timeout, retries=False).data.decode() for _ in range(times)]


def by_httpx(times: int, timeout: float | None) -> list[str]:
    with httpx.Client(timeout=timeout) as client:
        return [client.get(URL).text for _ in range(times)]


def by_http_client(times: int, timeout: float | None) -> list[str]:
    connection, got = http.client.HTTPConnection("api", timeout=timeout), list[str]()
    for _ in range(times):
        connection.request("GET", "/a")
        got.append(connection.getresponse().read().decode())
    connection.close()
    return got


POOLS = (by_requests, by_urllib3, by_httpx)
ALL = (*POOLS, by_http_client)


@pytest.mark.parametrize("network", ["simulated", "loopback"])
@pytest.mark.parametrize("get", ALL)
def test_three_requests_go_over_one_connection(get: Get, network: Any) -> None:
    with Scenario(network=network) as net:
        api = net.backend(API)
        for _ in range(3):
            api.expects(ASKED, until=b"\r\n\r\n").waits(1).sends(HELLO)
        api.expects_eof()
        assert ["hello"] * 3 == net.run(get, 3, None)
    assert 3 == net.now


@pytest.mark.parametrize("get", POOLS)
def test_a_connection_that_was_closed_meanwhile_is_made_anew(get: Get) -> None:
    with Scenario() as net:
        net.backend(API).expects(ASKED, until=b"\r\n\r\n").sends(HELLO).closes()
        net.backend(API).expects(ASKED, until=b"\r\n\r\n").sends(HELLO).expects_eof()
        assert ["hello"] * 2 == net.run(get, 2, None)


@pytest.mark.parametrize("get", ALL)
def test_an_answer_that_comes_slowly_is_read(get: Get) -> None:
    with Scenario() as net:
        api = net.backend(API).expects(ASKED, until=b"\r\n\r\n")
        for byte in HELLO:
            api.sends(bytes([byte])).waits(0.5)
        assert ["hello"] == net.run(get, 1, 2)


TIMEOUTS: list[tuple[Get, type[Exception]]] = [
    (by_requests, requests.ReadTimeout), (by_urllib3, urllib3.exceptions.ReadTimeoutError),
    (by_httpx, httpx.ReadTimeout), (by_http_client, TimeoutError),
]  # fmt: skip


@pytest.mark.parametrize(("get", "error"), TIMEOUTS)
def test_an_answer_that_does_not_come_is_a_time_out(get: Get, error: type[Exception]) -> None:
    def ask() -> float:
        import time

        with pytest.raises(error):
            get(1, 5)
        return time.monotonic()

    with Scenario() as net:
        net.backend(API, allow=GIVEN_UP).expects(ASKED, until=b"\r\n\r\n").waits(30).sends(HELLO)
        assert 1005 == net.run(ask)


ERRORS: list[tuple[Get, type[Exception]]] = [
    (by_requests, requests.ConnectionError), (by_urllib3, urllib3.exceptions.ProtocolError),
    (by_httpx, httpx.ReadError), (by_http_client, ConnectionResetError),
]  # fmt: skip


@pytest.mark.parametrize(("get", "error"), ERRORS)
def test_a_reset_in_mid_answer_is_an_error(get: Get, error: type[Exception]) -> None:
    with Scenario() as net:
        net.backend(API).expects(ASKED, until=b"\r\n\r\n").sends(HELLO[:20]).waits(1).resets()
        with pytest.raises(error):
            net.run(get, 1, None)


def test_a_request_is_tried_again_after_a_while() -> None:
    def ask() -> str:
        with requests.Session() as session:
            retry = urllib3.util.Retry(3, backoff_factor=1, status_forcelist=[503])
            session.mount("http://", adapters.HTTPAdapter(max_retries=retry))
            return str(session.get(URL).text)

    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with Scenario() as net:
        for _ in range(2):
            net.backend(API).expects(ASKED, until=b"\r\n\r\n").sends(busy).closes()
        net.backend(API).expects(ASKED, until=b"\r\n\r\n").sends(HELLO).expects_eof()
        assert "hello" == net.run(ask)
    assert 2 == net.now


@pytest.mark.parametrize("get", POOLS)
def test_a_server_asks_a_backend_while_it_serves(get: Get) -> None:
    import http.server

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = get(1, 5)[0].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    def serve() -> None:
        with http.server.HTTPServer(("", 8000), Proxy) as server:
            server.serve_forever()

    with Scenario() as net:
        for name in ("alice", "bob"):
            net.backend(API).expects(ASKED, until=b"\r\n\r\n").waits(1).sends(HELLO).expects_eof()
            answered = re.compile(rb"HTTP/1.0 200 .*hello", re.DOTALL)
            net.client(name, to=8000).sends(b"GET / HTTP/1.0\r\n\r\n").expects(answered, until="eof").closes()
        net.run(serve)


# -- redis ---------------------------------------------------------------------------------------------

CACHE = ("cache", 6379)
COMMAND = re.compile(rb"\*\d+\r\n\$\d+\r\n(\w+)\r\n")
SERVER = b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n"


def cache() -> Generator[Step, bytes, None]:
    """As much of a server as the client asks for."""
    while data := (yield Receives()):
        for command in COMMAND.findall(data):
            if command == b"SUBSCRIBE":
                yield Sends(b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
                yield Waits(3)
                yield Sends(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n")
            else:
                yield Sends({b"HELLO": SERVER, b"GET": b"$1\r\nv\r\n"}.get(command, b"+OK\r\n"))


def test_redis_asks_over_one_connection() -> None:
    def ask() -> list[object]:
        with redis.Redis(*CACHE) as client:
            return [client.set("k", "v"), client.get("k"), client.get("k")]

    with Scenario() as net:
        net.backend(CACHE).plays(cache)
        assert [True, b"v", b"v"] == net.run(ask)


def test_redis_waits_for_messages_as_long_as_it_says() -> None:
    def ask() -> list[Any]:
        with redis.Redis(*CACHE) as client, client.pubsub() as pubsub:
            pubsub.subscribe("c")
            return [pubsub.get_message(timeout=wait) for wait in (1, 1, 10)]

    with Scenario() as net:
        net.backend(CACHE).plays(cache)
        first, second, third = net.run(ask) or []
    assert ("subscribe", None, b"hi") == (first["type"], second, third["data"])
    assert 3 == net.now


# -- MQTT ----------------------------------------------------------------------------------------------


def broker() -> Generator[Step, bytes, None]:
    """It takes a subscription, answers two pings, and sends a message."""
    assert (yield Receives())[0] == 0x10
    yield Sends(b"\x20\x02\x00\x00")
    subscribed = yield Receives()
    yield Sends(b"\x90\x03" + subscribed[2:4] + b"\x00")
    for _ in range(2):
        assert (yield Receives()) == b"\xc0\x00"
        yield Sends(b"\xd0\x00")
    yield Sends(b"\x30\x05\x00\x01thi")
    assert (yield Receives()) == b"\xe0\x00"


@pytest.mark.parametrize("network", ["simulated", "loopback"])
def test_paho_keeps_its_connection_alive(network: Any) -> None:
    def listen() -> list[bytes]:
        got: list[bytes] = []

        def connected(client: Any, *_: object) -> None:
            client.subscribe("t")

        def heard(client: Any, _: object, message: Any) -> None:
            got.append(message.payload)
            client.disconnect()

        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="x")
        client.on_connect, client.on_message = connected, heard
        client.connect("broker", 1883, keepalive=10)
        client.loop_forever()
        return got

    with Scenario(network=network) as net:
        net.backend(("broker", 1883)).plays(broker)
        assert [b"hi"] == net.run(listen)
    assert 20 <= net.now < 25

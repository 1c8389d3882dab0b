"""Servers that serve in threads, unmodified, and clients of them in others: both ends are the program's."""

from __future__ import annotations

import faulthandler
import http.client
import http.server
import random
import smtplib
import socket
import socketserver
import struct
import threading
import time
import xmlrpc.client
import xmlrpc.server
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario
from mockselector._threads.who_waits import GOES_ON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

FIRST = 1000.0
"""What time.monotonic() says when a scenario begins."""


@pytest.fixture(autouse=True)
def never_for_ever() -> Iterator[None]:
    """Whatever goes wrong here may hang."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def start(function: Callable[..., object], *args: object) -> threading.Thread:
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


def together(function: Callable[..., object], many: int = 3) -> None:
    for thread in [start(function, number) for number in range(many)]:
        thread.join()


def disturb(port: int, request: bytes) -> list[threading.Thread]:
    """Two more clients: one says it little by little, and so it reads the answer; another is gone in the middle."""

    def slow() -> None:
        with socket.create_connection(("127.0.0.1", port)) as conn:
            for start in range(0, len(request), 5):
                conn.sendall(request[start : start + 5])
                time.sleep(0.1)
            conn.shutdown(socket.SHUT_WR)
            while conn.recv(20):
                time.sleep(0.1)

    def gone() -> None:
        with socket.create_connection(("127.0.0.1", port)) as conn:
            conn.sendall(request[:10])
            time.sleep(0.5)
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return [start(slow), start(gone)]


def other_order(seed: int) -> Callable[[int, str], int]:
    other = random.Random(seed)
    return lambda many, label: other.randrange(many) if label == GOES_ON else 0


def run(main: Callable[[], Any]) -> Any:
    """Run it twice: it comes to the same, and leaves nothing; nor does it in other orders of its threads."""

    def once(decide: Callable[[int, str], int] | None = None) -> tuple[Any, float]:
        with Scenario() as net:
            net._world.choices.decide = decide
            return net.run(main), net.now

    before = threading.enumerate()
    first = once()
    assert first == once()
    for seed in range(3):
        assert sorted(first[0]) == sorted(once(other_order(seed))[0])
    assert before == threading.enumerate()
    return first[0]


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """For any WSGI server: answers after a second."""
    time.sleep(1)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


GET = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"


def asks(port: int) -> list[tuple[int, bytes, float]]:
    """Three clients at once, each in a thread of its own, and those that disturb."""

    def ask(_: int) -> None:
        connection = http.client.HTTPConnection("localhost", port)
        connection.request("GET", "/")
        response = connection.getresponse()
        answers.append((response.status, response.read(), time.monotonic() - FIRST))
        connection.close()

    answers: list[tuple[int, bytes, float]] = []
    others = disturb(port, GET)
    together(ask)
    for thread in others:
        thread.join()
    return answers


def test_cheroot() -> None:
    wsgi = pytest.importorskip("cheroot.wsgi")

    def main() -> Any:
        server = wsgi.Server(("127.0.0.1", 8080), app, numthreads=5)
        server.prepare()
        thread = start(server.serve)
        answers = asks(8080)
        server.stop()
        thread.join()
        return answers

    assert run(main) == [(200, b"hello", 1)] * 3


def test_waitress() -> None:
    waitress = pytest.importorskip("waitress.server")

    def main() -> Any:
        server = waitress.create_server(app, host="127.0.0.1", port=8080, threads=5)
        thread = start(server.run)
        answers = asks(8080)
        server.close()
        thread.join()
        return answers

    assert run(main) == [(200, b"hello", 1)] * 3


def test_websockets() -> None:
    server_of, client_of = pytest.importorskip("websockets.sync.server"), pytest.importorskip("websockets.sync.client")

    def echo(websocket: Any) -> None:
        for message in websocket:
            time.sleep(1)
            websocket.send(message.upper())

    def main() -> Any:
        def talk(number: int) -> None:
            with client_of.connect("ws://127.0.0.1:8765") as websocket:
                websocket.send(f"hi {number}")
                answers.append((websocket.recv(), time.monotonic() - FIRST))

        answers: list[tuple[str, float]] = []
        with server_of.serve(echo, "127.0.0.1", 8765) as server:
            thread = start(server.serve_forever)
            others = disturb(8765, GET)
            together(talk)
            for other in others:
                other.join()
            server.shutdown()
            thread.join()
        return answers

    assert run(main) == [("HI 0", 1), ("HI 1", 1), ("HI 2", 1)]


@pytest.mark.filterwarnings("ignore:setName")  # which rpyc calls
@pytest.mark.parametrize("kind", ["ThreadedServer", "ThreadPoolServer"])
def test_rpyc(kind: str) -> None:
    rpyc, servers = pytest.importorskip("rpyc"), pytest.importorskip("rpyc.utils.server")

    def main() -> Any:
        class Service(rpyc.Service):  # type: ignore[misc, name-defined, unused-ignore]  # it may not be installed
            def exposed_add(self, one: int, other: int) -> int:
                time.sleep(1)
                return one + other

        def call(number: int) -> None:
            connection = rpyc.connect("localhost", 18861)
            answers.append(connection.root.add(number, number))
            connection.close()

        answers: list[int] = []
        server = getattr(servers, kind)(Service, hostname="localhost", port=18861)
        thread = start(server.start)
        others = disturb(18861, b"\0\0\0\x20\0" + b"x" * 20)
        together(call)
        for other in others:
            other.join()
        assert 1 <= time.monotonic() - FIRST < 3
        server.close()
        thread.join()
        return answers

    assert run(main) == [0, 2, 4]


def test_aiosmtpd_with_its_controller() -> None:
    controllers = pytest.importorskip("aiosmtpd.controller")

    class Keeps:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  (its name)
            kept.append(envelope.content)
            return "250 OK"

    def main() -> Any:
        def send(number: int) -> None:
            with smtplib.SMTP("127.0.0.1", 8025) as connection:
                connection.sendmail("a@b", ["c@d"], f"hi {number}")

        kept.clear()
        controller = controllers.Controller(Keeps(), hostname="127.0.0.1", port=8025)
        controller.start()
        others = disturb(8025, b"HELO there\r\nQUIT\r\n")
        together(send)
        for other in others:
            other.join()
        controller.stop()
        return sorted(kept)

    kept: list[bytes] = []
    assert run(main) == [b"hi 0\r\n", b"hi 1\r\n", b"hi 2\r\n"]


def test_requests_in_four_threads() -> None:
    requests = pytest.importorskip("requests")

    class Slow(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(1)
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  (its name)

    def main() -> Any:
        def get(_: int) -> None:
            with requests.Session() as session:
                answers.append((session.get(f"http://127.0.0.1:{server.server_port}/").text, time.monotonic() - FIRST))

        answers: list[tuple[str, float]] = []
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
        thread = start(server.serve_forever)
        others = disturb(server.server_port, GET)
        together(get, 4)
        for other in others:
            other.join()
        server.shutdown()
        server.server_close()
        thread.join()
        return answers

    assert run(main) == [("hello", 1)] * 4


def add(one: Any, other: Any, /) -> Any:
    time.sleep(1)
    return one + other


class ThreadingXmlRpc(socketserver.ThreadingMixIn, xmlrpc.server.SimpleXMLRPCServer): ...


def test_xmlrpc() -> None:
    def main() -> Any:
        def call(number: int) -> None:
            with xmlrpc.client.ServerProxy("http://localhost:8001/") as proxy:
                answers.append((proxy.add(number, number), time.monotonic() - FIRST))

        answers: list[tuple[Any, float]] = []
        server = ThreadingXmlRpc(("localhost", 8001), logRequests=False)
        server.register_function(add)
        thread = start(server.serve_forever)
        others = disturb(8001, GET)
        together(call)
        for other in others:
            other.join()
        server.shutdown()
        server.server_close()
        thread.join()
        return answers

    assert run(main) == [(0, 1), (2, 1), (4, 1)]

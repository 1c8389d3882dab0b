"""h11, a client that does no input or output of its own, against the standard library's `http.server`."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import h11
import pytest

from mockselector import Receives, Scenario, ScenarioError, Sends

if TYPE_CHECKING:
    from collections.abc import Generator

    from mockselector import Step


class Echoes(BaseHTTPRequestHandler):
    """Answers a GET in chunks, and a POST with its body."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in self.path.split("/")[1:]:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part.encode()))
        self.wfile.write(b"0\r\n\r\n")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class LiesAboutItsLength(Echoes):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"short")
        self.close_connection = True


def serve(handler: type[BaseHTTPRequestHandler] = Echoes) -> None:
    with HTTPServer(("", 8000), handler) as server:
        server.serve_forever()


Exchange = tuple[h11.Request, bytes]
Answer = tuple[int, bytes]


def get(target: str) -> Exchange:
    return h11.Request(method="GET", target=target, headers=[("Host", "here")]), b""


def post(body: bytes) -> Exchange:
    headers = [("Host", "here"), ("Content-Length", str(len(body)))]
    return h11.Request(method="POST", target="/", headers=headers), body


def browser(answers: list[Answer], *exchanges: Exchange) -> Generator[Step, bytes, None]:
    """One request after another on one connection, as h11 has them."""
    connection = h11.Connection(h11.CLIENT)
    for request, body in exchanges:
        yield Sends(connection.send(request) or b"")
        if body:
            yield Sends(connection.send(h11.Data(data=body)) or b"")
        connection.send(h11.EndOfMessage())
        answers.append((yield from answer(connection)))
        connection.start_next_cycle()


def answer(connection: h11.Connection) -> Generator[Step, bytes, Answer]:
    status, body = 0, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data((yield Receives()))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return status, body


def test_a_chunked_response_is_put_together() -> None:
    answers: list[Answer] = []
    with Scenario() as net:
        net.client("alice").plays(browser(answers, get("/one/two/three"))).closes()
        net.run(serve)
    assert answers == [(200, b"onetwothree")]


def test_a_connection_is_used_again() -> None:
    answers: list[Answer] = []
    with Scenario() as net:
        net.client("alice").plays(browser(answers, get("/1"), post(b"two"), get("/3"))).closes()
        net.run(serve)
    assert answers == [(200, b"1"), (201, b"two"), (200, b"3")]


def test_a_large_body_goes_there_and_back() -> None:
    answers: list[Answer] = []
    body = bytes(range(256)) * 1000
    with Scenario() as net:
        net.client("alice").plays(browser(answers, post(body))).closes()
        net.run(serve)
    assert answers == [(201, body)]


def test_two_browsers_are_served_one_after_the_other() -> None:
    answers: list[Answer] = []
    with Scenario() as net:
        net.client("alice").plays(browser(answers, get("/a"))).closes()
        net.client("bob").plays(browser(answers, get("/b"))).closes()
        net.run(serve)
    assert answers == [(200, b"a"), (200, b"b")]


def test_what_the_client_raises_ends_the_run_and_comes_out_of_it() -> None:
    with pytest.raises(h11.RemoteProtocolError, match=r"peer closed connection without sending complete message body"):
        with Scenario() as net:
            net.client("alice").plays(browser([], get("/"))).closes()
            net.run(serve, LiesAboutItsLength)


def test_a_client_that_waits_for_more_than_is_sent_is_stuck() -> None:
    class Keeps(LiesAboutItsLength):
        timeout = 100_000

        def do_GET(self) -> None:
            super().do_GET()
            self.close_connection = False

    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice waits in vain for anything") as caught:
        with Scenario() as net:
            net.client("alice").plays(browser([], get("/"))).closes()
            net.run(serve, Keeps)
    assert caught.value.rule == "stuck"

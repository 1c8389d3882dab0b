"""Flask on Werkzeug's server, unmodified, in scenarios."""

from __future__ import annotations

import logging
import re
import socket
from typing import TYPE_CHECKING

import flask
import pytest
from werkzeug.serving import WSGIRequestHandler, make_server, run_simple

from mockselector import Scenario, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator

app = flask.Flask(__name__)


@app.get("/")
def index() -> str:
    return "hello"


@app.get("/lines")
def lines() -> flask.Response:
    return flask.Response((f"line {number}\n" for number in range(1000)), mimetype="text/plain")


@app.post("/length")
def length() -> str:
    return f"{len(flask.request.get_data())} bytes"


@app.get("/error")
def error() -> str:
    raise ValueError("not today")


def serve() -> None:
    """A program as the documentation writes it, without the threads."""
    app.run(port=5000, threaded=False, use_reloader=False)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Werkzeug sets a variable of the environment, the level of its logger and, with threads, all servers' protocol."""
    monkeypatch.setenv("WERKZEUG_SERVER_FD", "")
    monkeypatch.setattr(WSGIRequestHandler, "protocol_version", "HTTP/1.0")
    level = logging.getLogger("werkzeug").level
    yield
    logging.getLogger("werkzeug").setLevel(level)


def answer(status: bytes, body: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"HTTP/1\.0 " + status + rb"\r\n(?:[^\r]+\r\n)*\r\n" + body, re.DOTALL)


HELLO = answer(b"200 OK", b"hello")
NOT_FOUND = answer(b"404 NOT FOUND", b"<!doctype html>.*")


def test_a_view_answers() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").expects(HELLO, until="eof")
        net.run(serve)


def test_clients_are_answered_one_after_another() -> None:
    with Scenario() as net:
        for _ in range(10):
            net.client().sends(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").expects(HELLO, until="eof")
        net.run(serve)


def test_a_view_reads_what_is_uploaded_in_pieces() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"POST /length HTTP/1.1\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(100):
            alice.sends(bytes(1000)).waits(0.1)
        alice.expects(answer(b"200 OK", b"100000 bytes"), until="eof")
        net.run(serve)


def test_a_view_streams_to_a_slow_reader() -> None:
    with Scenario(buffer=1024) as net:
        alice = net.client("alice").reads_slowly(512).sends(b"GET /lines HTTP/1.1\r\n\r\n")
        alice.expects(answer(b"200 OK", b"line 0\n.*line 999\n"), until="eof")
        net.run(serve)
        assert net.now > 10


def test_what_a_view_raises_is_a_server_error(caplog: pytest.LogCaptureFixture) -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"GET /error HTTP/1.1\r\n\r\n")
        alice.expects(answer(b"500 INTERNAL SERVER ERROR", b".*"), until="eof")
        net.run(serve)
    assert "ValueError: not today" in caplog.text


def test_a_client_that_resets_leaves_the_others_their_turn() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"GET / HT").waits(1).resets()
        net.client("bob").sends(b"GET / HTTP/1.1\r\n\r\n").expects(HELLO, until="eof")
        net.run(serve)


def test_the_log_says_the_date_of_the_scenario(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "werkzeug"), Scenario() as net:
        net.client("alice").sends(b"GET / HTTP/1.1\r\n\r\n").expects(HELLO, until="eof")
        net.run(serve)
    assert re.search(r'127\.0\.0\.1 - - \[\d\d/\w+/202[56] [\d:]+\] "GET / HTTP/1\.1" 200 -', caplog.text)


def test_a_view_can_be_run_at_all_addresses() -> None:
    with Scenario() as net:
        net.client("alice", to=5000).sends(b"GET / HTTP/1.1\r\n\r\n").expects(HELLO, until="eof")
        net.run(app.run, host="0.0.0.0", port=5000, threaded=False, use_reloader=False)


def test_ctrl_c_ends_the_server() -> None:
    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"GET / HTTP/1.1\r\n\r\n").expects(HELLO, until="eof")
        net.interrupts()
        net.run(run_simple, "127.0.0.1", 5000, app)
    assert (net.trace[-1].operation, net.trace[-1].socket) == ("close", "listener")


def test_shutdown_ends_a_server_of_make_server() -> None:
    def main() -> int:
        server = make_server("127.0.0.1", 0, app)
        net.on_end(server.shutdown)
        server.serve_forever()
        return server.port

    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"GET / HTTP/1.1\r\n\r\n").expects(HELLO, until="eof")
        assert net.run(main) != 0


def test_an_address_in_use_ends_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        with socket.create_server(("127.0.0.1", 5000)):
            serve()

    with Scenario() as net, pytest.raises(SystemExit, match="1"):
        net.run(main)
    assert "Port 5000 is in use by another program." in capsys.readouterr().err


def test_it_serves_in_threads() -> None:
    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # else Werkzeug sets it, in the class that all its servers share

    hello = re.compile(rb"HTTP/1\.1 200 OK\r\n(?:[^\r]+\r\n)*\r\nhello", re.DOTALL)
    with Scenario() as net:
        for name in ("alice", "bob"):
            net.client(name).sends(b"GET / HTTP/1.1\r\n").waits(5).sends(b"\r\n").expects(hello, until="eof")
        net.run(app.run, port=5000, use_reloader=False, request_handler=Handler)
        assert net.now == 5.01  # it looks so long whether more of the request comes


# -- a body that no view reads: werkzeug/serving.py, `execute()`, reads and discards it ----------


def test_a_body_that_came_with_its_head_is_discarded() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"POST /none HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde")
        alice.expects(NOT_FOUND, until="eof")
        net.run(serve)


def test_a_body_that_came_after_its_head_is_discarded() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"POST /none HTTP/1.1\r\nContent-Length: 5\r\n\r\n").sends(b"abcde")
        alice.expects(re.compile(rb".*</p>\n", re.DOTALL), until=b"</p>\n").closes()
        net.run(serve)


def test_a_body_discarded_from_a_client_that_has_shut_down_is_no_eof_ignored() -> None:
    # The end came to the server inside of a buffered read that returned data; it reads it at the next select().
    with Scenario() as net:
        alice = net.client("alice").sends(b"POST /none HTTP/1.1\r\nContent-Length: 5\r\n\r\n").sends(b"abcde")
        alice.shuts_down().expects(NOT_FOUND, until="eof")
        net.run(serve)


def test_a_body_discarded_from_a_client_that_waits_for_the_end_deadlocks_werkzeug() -> None:
    # A defect of Werkzeug 3.1, seen on loopback as well: rfile.read(10_000_000) waits for an end that never comes.
    with pytest.raises(ScenarioError, match=r"serving\.py:\d+ +in execute +data = self\.rfile\.read") as caught:
        with Scenario() as net:
            alice = net.client("alice").sends(b"POST /none HTTP/1.1\r\nContent-Length: 5\r\n\r\n").sends(b"abcde")
            alice.expects(NOT_FOUND, until="eof")
            net.run(serve)
    assert caught.value.rule == "read-without-data"

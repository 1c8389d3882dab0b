"""The standard library's `http.server`, unmodified, in scenarios."""

from __future__ import annotations

import re
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer, SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from mockselector import Expects, Receives, Scenario, ScenarioError, Sends

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from mockselector import Step

HERE = ("127.0.0.1", 8000)
MIB = 1 << 20

HEAD = re.compile(rb"HTTP/1\.[01] (\d+) [^\r]*\r\n(?:[^\r]+\r\n)*\r\n")
LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)\r\n")


class Greets(BaseHTTPRequestHandler):
    """Answers with the path of the request, or with how much was uploaded."""

    protocol_version = "HTTP/1.1"
    server_version = "Greets/1"
    sys_version = ""

    def do_GET(self) -> None:
        self.answer(f"you want {self.path}".encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(b"%d bytes, of which %d are a" % (len(body), body.count(b"a")))

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Greets10(Greets):
    protocol_version = "HTTP/1.0"


def serve(handler: Callable[..., BaseHTTPRequestHandler], server_class: type[HTTPServer] = HTTPServer) -> None:
    """A program as the documentation writes it."""
    with server_class(HERE, handler) as server:
        server.serve_forever()


def response(body: bytes, date: bytes = b"Thu, 01 Jan 2026 00:00:00 GMT") -> bytes:
    """What `Greets` sends, to the byte: time is the scenario's."""
    head = b"HTTP/1.1 200 OK\r\nServer: Greets/1 \r\nDate: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (date, len(body)) + body


# -- one connection, many requests --------------------------------------------------------------


def test_a_response_is_the_same_to_the_byte_every_time() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"GET /a HTTP/1.1\r\n\r\n").expects(response(b"you want /a")).closes()
        net.run(serve, Greets)


def test_a_connection_is_kept_for_the_next_request() -> None:
    with Scenario() as net:
        alice = net.client("alice")
        alice.sends(b"GET /1 HTTP/1.1\r\n\r\n").expects(response(b"you want /1"))
        alice.waits(10)
        alice.sends(b"GET /2 HTTP/1.1\r\n\r\n").expects(response(b"you want /2", b"Thu, 01 Jan 2026 00:00:10 GMT"))
        alice.closes()
        net.run(serve, Greets)


def test_a_connection_is_closed_when_the_client_asks_for_it() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"GET /1 HTTP/1.1\r\nConnection: close\r\n\r\n")
        alice.expects(response(b"you want /1")).expects_eof()
        net.run(serve, Greets)


def test_http_1_0_is_closed_after_the_response() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"GET /1 HTTP/1.0\r\n\r\n").expects(
            re.compile(rb"HTTP/1.0 200 OK\r\n.*\r\n\r\nyou want /1", re.DOTALL), until="eof"
        )
        net.run(serve, Greets10)


def test_pipelined_requests_are_answered_in_order() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(5)))
        for number in range(5):
            alice.expects(response(b"you want /%d" % number))
        alice.closes()
        net.run(serve, Greets)


def test_a_request_may_come_byte_by_byte() -> None:
    with Scenario() as net:
        alice = net.client("alice")
        for byte in b"GET / HTTP/1.1\r\nHost: here\r\n\r\n":
            alice.sends(bytes([byte])).waits(0.1)
        alice.expects(re.compile(rb".*you want /", re.DOTALL), until=b"you want /").closes()
        net.run(serve, Greets)
        assert net.now == pytest.approx(3.0)


def test_an_answer_to_100_continue_comes_before_the_body_is_sent() -> None:
    with Scenario() as net:
        alice = net.client("alice")
        alice.sends(b"POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        alice.expects(b"HTTP/1.1 100 Continue\r\n\r\n").sends(b"aab")
        alice.expects(response(b"3 bytes, of which 2 are a")).closes()
        net.run(serve, Greets)


def test_an_unknown_method_is_an_error_and_the_end() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"BREW / HTTP/1.1\r\n\r\n")
        alice.expects(re.compile(rb"HTTP/1\.1 501 Unsupported method \('BREW'\)\r\n.*", re.DOTALL), until="eof")
        net.run(serve, Greets)


def test_what_is_no_request_is_an_error_and_the_end() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hello\r\n").expects(re.compile(rb".*Error code: 400.*", re.DOTALL), until="eof")
        net.run(serve, Greets)


def test_a_client_that_says_nothing_and_closes_is_no_error() -> None:
    with Scenario() as net:
        net.client("alice").closes()
        net.client("bob").sends(b"GET /b HTTP/1.1\r\n\r\n").expects(response(b"you want /b")).closes()
        net.run(serve, Greets)


def test_an_idle_connection_is_closed_at_the_timeout_of_its_handler() -> None:
    class Impatient(Greets):
        timeout = 600

    with Scenario() as net:
        alice = net.client("alice").sends(b"GET / HTTP/1.1\r\n\r\n").expects(response(b"you want /"))
        alice.expects_nothing(599).expects_eof()
        net.run(serve, Impatient)
        assert net.now == 600.0


def test_the_log_says_the_date_of_the_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    class Utc(Greets):
        def log_date_time_string(self) -> str:
            return self.date_time_string()

    with Scenario(date=0) as net:
        net.client("alice").sends(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").expects(
            response(b"you want /", b"Thu, 01 Jan 1970 00:00:00 GMT")
        ).expects_eof()
        net.run(serve, Utc)
    assert capsys.readouterr().err == '127.0.0.1 - - [Thu, 01 Jan 1970 00:00:00 GMT] "GET / HTTP/1.1" 200 -\n'


# -- large bodies -------------------------------------------------------------------------------


def test_a_mebibyte_is_uploaded_in_small_pieces() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % MIB)
        for _ in range(1024):
            alice.sends(b"a" * 1000 + b"b" * 24)
        alice.expects(response(b"1048576 bytes, of which 1024000 are a")).closes()
        net.run(serve, Greets)


def test_a_mebibyte_is_uploaded_at_once() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % MIB + b"a" * MIB)
        alice.expects(response(b"1048576 bytes, of which 1048576 are a")).closes()
        net.run(serve, Greets)


def test_a_mebibyte_is_uploaded_through_a_buffer_of_a_few_bytes() -> None:
    with Scenario() as net:
        alice = net.client("alice", buffer=4096)
        alice.sends(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % MIB + b"a" * MIB)
        alice.expects(response(b"1048576 bytes, of which 1048576 are a")).closes()
        net.run(serve, Greets)


def test_an_upload_that_stops_short_is_read_as_far_as_it_goes() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\naaa").shuts_down()
        alice.expects(response(b"3 bytes, of which 3 are a")).expects_eof()
        net.run(serve, Greets)


def test_an_upload_that_is_reset_leaves_the_others_their_turn(capsys: pytest.CaptureFixture[str]) -> None:
    with Scenario() as net:
        net.client("alice").sends(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\naaa").waits(1).resets()
        net.client("bob").sends(b"GET / HTTP/1.1\r\n\r\n").waits(2).closes()
        net.run(serve, Greets)
    assert "ConnectionResetError: [Errno 104] Connection reset by peer" in capsys.readouterr().err


def test_a_body_that_nobody_reads_resets_the_connection_of_a_refused_upload() -> None:
    class Refuses(Greets):
        def do_POST(self) -> None:
            self.close_connection = True
            self.answer(b"no")

    with pytest.raises(ScenarioError, match="closed the connection with unread data, which resets it") as caught:
        with Scenario() as net:
            alice = net.client("alice").sends(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % MIB)
            alice.sends(b"a" * MIB).expects(response(b"no")).expects_eof()
            net.run(serve, Refuses)
    assert caught.value.rule == "unmet-expectation"


# -- files --------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., BaseHTTPRequestHandler]:
    (tmp_path / "big.bin").write_bytes(bytes(range(256)) * 800)
    (tmp_path / "index.html").write_text("<p>hello\n")
    return partial(SimpleHTTPRequestHandler, directory=str(tmp_path))


def test_a_file_is_sent(files: Callable[..., BaseHTTPRequestHandler]) -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"GET / HTTP/1.0\r\n\r\n")
        alice.expects(HEAD, until=b"\r\n\r\n").expects(b"<p>hello\n").expects_eof()
        net.run(serve, files)


def test_a_file_larger_than_the_buffer_is_sent_whole_to_a_slow_reader(
    files: Callable[..., BaseHTTPRequestHandler],
) -> None:
    with Scenario() as net:
        alice = net.client("alice").reads_slowly(16384, every=1.0).sends(b"GET /big.bin HTTP/1.0\r\n\r\n")
        alice.expects(HEAD, until=b"\r\n\r\n").expects(bytes(range(256)) * 800).expects_eof()
        net.run(serve, files)
        assert net.now >= 204800 / 16384


def test_a_slow_reader_makes_the_next_client_wait(files: Callable[..., BaseHTTPRequestHandler]) -> None:
    with pytest.raises(
        ScenarioError, match=r"\A\[.+?\] alice was sent more than there was room for, and the send waited 1 s"
    ):
        with Scenario(pedantic=True) as net:
            net.client("alice").reads_slowly(16384, every=1.0).sends(b"GET /big.bin HTTP/1.0\r\n\r\n").expects(
                lambda got: got.endswith(b"\xff"), until="eof"
            )
            net.run(serve, files)


def begins_to_read() -> Generator[Step, bytes, None]:
    """Ask for the big file, and read the beginning of it."""
    yield Sends(b"GET /big.bin HTTP/1.0\r\n\r\n")
    yield Expects(HEAD, until=b"\r\n\r\n")
    yield Receives(1000)


def test_a_download_that_is_reset_leaves_the_others_their_turn(
    files: Callable[..., BaseHTTPRequestHandler], capsys: pytest.CaptureFixture[str]
) -> None:
    with Scenario() as net:
        net.client("alice").plays(begins_to_read).waits(1).resets()
        bob = net.client("bob").sends(b"GET / HTTP/1.0\r\n\r\n").expects(HEAD, until=b"\r\n\r\n")
        bob.expects(b"<p>hello\n").expects_eof()
        net.run(serve, files)
    assert "ConnectionResetError: [Errno 104] Connection reset by peer" in capsys.readouterr().err


def test_a_download_that_is_closed_early_leaves_the_others_their_turn(
    files: Callable[..., BaseHTTPRequestHandler], capsys: pytest.CaptureFixture[str]
) -> None:
    with Scenario() as net:
        net.client("alice").plays(begins_to_read).closes()
        bob = net.client("bob").sends(b"GET / HTTP/1.0\r\n\r\n").expects(HEAD, until=b"\r\n\r\n")
        bob.expects(b"<p>hello\n").expects_eof()
        net.run(serve, files)
    assert "BrokenPipeError: [Errno 32] Broken pipe" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_not_found(files: Callable[..., BaseHTTPRequestHandler]) -> None:
    with Scenario() as net:
        net.client("alice").sends(b"GET /none HTTP/1.0\r\n\r\n").expects(
            re.compile(rb"HTTP/1\.0 404 File not found\r\n.*", re.DOTALL), until="eof"
        )
        net.run(serve, files)


def test_a_file_that_has_not_changed_is_not_sent_again(files: Callable[..., BaseHTTPRequestHandler]) -> None:
    with Scenario() as net:
        net.client("alice").sends(
            b"GET / HTTP/1.0\r\nIf-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT\r\n\r\n"
        ).expects(re.compile(rb"HTTP/1\.0 304 Not Modified\r\n.*", re.DOTALL), until="eof")
        net.run(serve, files)


# -- a client that reacts -----------------------------------------------------------------------


def test_a_generator_reads_a_body_as_long_as_its_head_says() -> None:
    def browser() -> Generator[Step, bytes, None]:
        for path in (b"/short", b"/somewhat/longer"):
            yield Sends(b"GET %b HTTP/1.1\r\n\r\n" % path)
            head = yield Expects(HEAD, until=b"\r\n\r\n")
            length = LENGTH.search(head)
            assert length is not None
            bodies.append((yield Expects(bool, until=int(length[1]))))

    bodies: list[bytes] = []
    with Scenario() as net:
        net.client("alice").plays(browser).closes()
        net.run(serve, Greets)
    assert bodies == [b"you want /short", b"you want /somewhat/longer"]


# -- threads ------------------------------------------------------------------------------------


def test_a_threading_server_serves_one_beside_the_other() -> None:
    with Scenario() as net:
        for name in ("alice", "bob"):
            client = net.client(name).sends(b"GET / HTTP/1.0\r\n").waits(5)
            client.sends(b"\r\n").expects(re.compile(rb"HTTP/1.1 200 .*", re.DOTALL), until="eof")
        net.run(serve, Greets, ThreadingHTTPServer)
        assert net.now == 5

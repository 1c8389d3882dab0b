"""The standard library's `wsgiref.simple_server`, unmodified, in scenarios."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from wsgiref.simple_server import demo_app, make_server
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from mockselector import Expects, Scenario, ScenarioError, Sends

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from mockselector import Step

HEAD = re.compile(rb"HTTP/1\.0 200 OK\r\n(?:[^\r]+\r\n)*\r\n")


def greets(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers with the request."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0))
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} of {environ['REMOTE_ADDR']}: ".encode(), body]


def serve(application: WSGIApplication) -> None:
    """A program as the documentation writes it."""
    with make_server("", 8000, application) as server:
        server.serve_forever()


def test_an_application_answers() -> None:
    with Scenario() as net:
        alice = net.client("alice", address=("192.0.2.1", 7)).sends(b"GET /here HTTP/1.1\r\n\r\n")
        alice.expects(HEAD, until=b"\r\n\r\n").expects(b"GET /here of 192.0.2.1: ").expects_eof()
        net.run(serve, greets)


def test_the_date_of_a_response_is_the_scenario_s() -> None:
    with Scenario() as net:
        alice = net.client("alice").waits(3600).sends(b"GET / HTTP/1.1\r\n\r\n")
        alice.expects(b"HTTP/1.0 200 OK\r\nDate: Thu, 01 Jan 2026 01:00:00 GMT\r\n")
        alice.expects(bool, until="eof")
        net.run(serve, greets)


def test_an_application_reads_a_body_that_comes_later() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\n")
        alice.waits(1).sends(b"abc").waits(1).sends(b"def")
        alice.expects(HEAD, until=b"\r\n\r\n").expects(b"POST / of 127.0.0.1: abcdef").expects_eof()
        net.run(serve, greets)


def test_the_demo_application_passes_the_validator() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        alice.expects(HEAD, until=b"\r\n\r\n").expects(b"Hello world!").expects(bool, until="eof")
        net.run(serve, validator(demo_app))


def test_a_file_wrapper_sends_a_file_to_a_slow_reader() -> None:
    def sends_itself(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        wrap: Callable[..., FileWrapper] = environ["wsgi.file_wrapper"]
        return wrap(open(__file__, "rb"))

    with open(__file__, "rb") as file:
        content = file.read()
    with Scenario(buffer=1024) as net:
        alice = net.client("alice").reads_slowly(1024).sends(b"GET / HTTP/1.1\r\n\r\n")
        alice.expects(HEAD, until=b"\r\n\r\n").expects(content).expects_eof()
        net.run(serve, sends_itself)
        assert net.now >= len(content) // 1024


def test_an_application_that_raises_is_a_server_error(capsys: pytest.CaptureFixture[str]) -> None:
    def breaks(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise ValueError("not today")

    with Scenario() as net:
        net.client("alice").sends(b"GET / HTTP/1.1\r\n\r\n").expects(
            re.compile(rb"HTTP/1\.0 500 Internal Server Error\r\n.*", re.DOTALL), until="eof"
        )
        net.run(serve, breaks)
    assert "ValueError: not today" in capsys.readouterr().err


def test_a_client_that_resets_leaves_the_others_their_turn(capsys: pytest.CaptureFixture[str]) -> None:
    def at_length(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"%04d\n" % number for number in range(100))

    def leaves_early() -> Generator[Step, bytes, None]:
        yield Sends(b"GET / HTTP/1.1\r\n\r\n")
        yield Expects(HEAD, until=b"\r\n\r\n")

    with Scenario(buffer=256) as net:
        net.client("alice").plays(leaves_early).waits(1).resets()
        bob = net.client("bob").sends(b"GET / HTTP/1.1\r\n\r\n").expects(HEAD, until=b"\r\n\r\n")
        bob.expects(b"".join(b"%04d\n" % number for number in range(100))).expects_eof()
        net.run(serve, at_length)
    assert "Traceback" not in capsys.readouterr().err  # `wsgiref` takes it for the client's affair


def test_a_body_that_the_application_does_not_read_is_told() -> None:
    with pytest.raises(
        ScenarioError, match=r"^\[.+?\] alice was not read to the end of its script: b'abcde' is left"
    ) as caught:
        with Scenario() as net:
            alice = net.client("alice").sends(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n").sends(b"abcde")
            alice.expects(bool, until="eof")
            net.run(serve, demo_app)
    assert caught.value.rule == "unread-data"

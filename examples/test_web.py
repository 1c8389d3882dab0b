"""The web server in conversations: requests in any split, pipelining, and what it refuses."""

from __future__ import annotations

import re

from examples import web
from mockselector import Scenario

HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, world!\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_a_request_may_come_byte_by_byte() -> None:
    with Scenario() as net:
        alice = net.client("alice")
        for number in range(len(REQUEST)):
            alice.sends(REQUEST[number : number + 1]).waits(0.1)
        alice.expects(HELLO).closes()
        net.run(web.serve, 8888)


def test_requests_in_one_packet_are_answered_in_order() -> None:
    body = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
    with Scenario() as net:
        alice = net.client("alice").sends(REQUEST + body + REQUEST)
        alice.expects(HELLO).expects(re.compile(rb"HTTP/1.1 200 OK\r\n.*\r\n\r\n", re.DOTALL), until=b"\r\n\r\n")
        alice.expects(b"abc").expects(HELLO).closes()
        net.run(web.serve, 8888)


def test_a_connection_is_closed_when_the_client_asks_for_it() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        alice.expects(lambda answer: answer.endswith(b"Hello, world!\n"), until="eof").closes()
        net.run(web.serve, 8888)


def test_a_body_that_is_too_large_is_refused_before_it_comes() -> None:
    with Scenario() as net:
        alice = net.client("alice")
        alice.sends(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n")
        alice.expects(b"HTTP/1.1 413 Content Too Large\r\n", until=b"\r\n").expects(
            lambda rest: b"Connection: close" in rest, until="eof"
        )
        alice.closes()
        net.run(web.serve, 8888)


def test_a_large_upload_comes_back() -> None:
    body = bytes(range(256)) * 2000
    with Scenario() as net:
        alice = net.client("alice")
        alice.sends(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 7000):
            alice.sends(body[start : start + 7000])
        alice.expects(b"HTTP/1.1 200 OK\r\n", until=b"\r\n")
        alice.expects(lambda head: b"Content-Length: 512000" in head, until=b"\r\n\r\n")
        alice.expects(body).closes()
        net.run(web.serve, 8888)

"""The standard library's `xmlrpc.server`, unmodified, in scenarios; `xmlrpc.client` writes and reads the messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xmlrpc.client import Binary, Fault, dumps, loads
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

import pytest

from mockselector import Expects, Scenario, Sends

if TYPE_CHECKING:
    from collections.abc import Generator

    from mockselector import Peer, Step

HEAD = re.compile(rb"HTTP/1\.[01] 200 OK\r\n(?:[^\r]+\r\n)*\r\n")
LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)\r\n")


class KeepsAlive(SimpleXMLRPCRequestHandler):
    protocol_version = "HTTP/1.1"


def power(base: Any, exponent: Any) -> Any:
    return base**exponent


def reverse(data: Any) -> Any:
    return Binary(data.data[::-1])


def serve(handler: type[SimpleXMLRPCRequestHandler] = SimpleXMLRPCRequestHandler) -> None:
    """A program as the documentation writes it."""
    with SimpleXMLRPCServer(("localhost", 8000), handler, logRequests=False) as server:
        server.register_introspection_functions()
        server.register_multicall_functions()
        server.register_function(power, "pow")
        server.register_function(reverse)
        server.serve_forever()


def request(method: str, *args: Any) -> bytes:
    body = dumps(args, method).encode()
    return b"POST /RPC2 HTTP/1.1\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def calls(peer: Peer, results: list[Any], *methods: tuple[Any, ...]) -> None:
    """Let a peer call one method after another on one connection, and keep what each returns."""

    def play() -> Generator[Step, bytes, None]:
        for method in methods:
            yield Sends(request(*method))
            head = yield Expects(HEAD, until=b"\r\n\r\n")
            length = LENGTH.search(head)
            assert length is not None
            body = yield Expects(bool, until=int(length[1]))
            try:
                results.append(loads(body)[0][0])
            except Fault as fault:
                results.append(fault.faultString)

    peer.plays(play)


def test_a_function_is_called() -> None:
    results: list[Any] = []
    with Scenario() as net:
        calls(net.client("alice"), results, ("pow", 2, 10))
        net.run(serve)
    assert results == [1024]


def test_a_connection_is_kept_for_the_next_call() -> None:
    results: list[Any] = []
    with Scenario() as net:
        alice = net.client("alice")
        calls(alice, results, ("pow", 2, 10), ("pow", 3, 2), ("system.listMethods",))
        alice.closes()
        net.run(serve, KeepsAlive)
    assert results == [
        1024,
        9,
        ["pow", "reverse", "system.listMethods", "system.methodHelp", "system.methodSignature", "system.multicall"],
    ]


def test_a_multicall_is_answered_at_once() -> None:
    batch = [{"methodName": "pow", "params": [2, number]} for number in range(3)]
    results: list[Any] = []
    with Scenario() as net:
        calls(net.client("alice"), results, ("system.multicall", batch))
        net.run(serve)
    assert results == [[[1], [2], [4]]]


def test_what_a_function_raises_is_a_fault() -> None:
    results: list[Any] = []
    with Scenario() as net:
        calls(net.client("alice"), results, ("pow", 0, -1))
        net.run(serve)
    assert len(results) == 1
    assert "ZeroDivisionError" in results[0]


def test_a_large_argument_comes_back_through_a_small_buffer() -> None:
    data = bytes(range(256)) * 400
    results: list[Any] = []
    with Scenario(buffer=4096) as net:
        calls(net.client("alice"), results, ("reverse", Binary(data)))
        net.run(serve)
    assert results == [Binary(data[::-1])]


def test_a_call_in_small_pieces_is_one_call() -> None:
    call = request("pow", 2, 5)
    with Scenario() as net:
        alice = net.client("alice")
        for start in range(0, len(call), 16):
            alice.sends(call[start : start + 16]).waits(0.01)
        alice.expects(re.compile(rb".*<int>32</int>.*", re.DOTALL), until="eof")
        net.run(serve)


def test_a_call_that_stops_short_leaves_the_others_their_turn() -> None:
    results: list[Any] = []
    with Scenario() as net:
        net.client("alice").sends(request("pow", 2, 5)[:-20]).closes()
        calls(net.client("bob"), results, ("pow", 2, 5))
        net.run(serve)
    assert results == [32]


def test_another_path_is_not_found() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"POST /other HTTP/1.1\r\nContent-Length: 0\r\n\r\n").expects(
            re.compile(rb"HTTP/1\.0 404 Not Found\r\n.*No such page", re.DOTALL), until="eof"
        )
        net.run(serve)


@pytest.mark.parametrize("method", ["pow", "system.methodHelp"])
def test_the_same_call_has_the_same_trace(method: str) -> None:
    traces: list[list[Any]] = []
    for _ in range(2):
        with Scenario() as net:
            calls(net.client("alice"), [], (method, *((2, 2) if method == "pow" else ("pow",))))
            net.run(serve)
        traces.append(list(net.trace))
    assert traces[0] == traces[1]

"""Servers of other protocols in threads, unmodified: a client is slow, others reset, and they are stopped."""

from __future__ import annotations

import contextlib
import faulthandler
import re
import socketserver
import sys
import threading
import time
import xmlrpc.client
import xmlrpc.server
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario, Sends, Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mockselector import Play

PORT = 8000
BIG = 300_000


@pytest.fixture(autouse=True)
def never_for_ever() -> Iterator[None]:
    """Whatever goes wrong here may hang."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No thread, and no exception in a destructor."""

    def hook(told: sys.UnraisableHookArgs) -> None:
        said.append(told.exc_value)

    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", hook)
    before = threading.enumerate()
    yield
    assert before == threading.enumerate()
    assert not said


def run(script: Callable[[Scenario], object], serve: Callable[[Scenario], object]) -> None:
    """Run it twice: it is stopped, and comes to the same."""
    traces: list[list[str]] = []
    for _ in range(2):
        with Scenario() as net:
            script(net)
            assert net.run(serve, net) == "stopped"
        traces.append([str(event) for event in net.trace])
    assert traces[0] == traces[1]


def in_pieces(data: bytes, many: int = 7) -> Play:
    """Send it piece by piece, one a second."""
    size = len(data) // many + 1
    for start in range(0, len(data), size):
        yield Sends(data[start : start + size])
        yield Waits(1)


# -- socketserver -----------------------------------------------------------------------------------


class Lines(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            for line in self.rfile:
                time.sleep(1)
                self.wfile.write(b"x" * BIG if line == b"much\n" else line.upper())


@pytest.mark.parametrize("daemons", [False, True])
def test_threading_tcp_server(daemons: bool) -> None:
    def serve(net: Scenario) -> str:
        with socketserver.ThreadingTCPServer(("127.0.0.1", PORT), Lines) as server:
            server.daemon_threads = daemons
            net.on_end(server.shutdown)
            server.serve_forever()
        return "stopped"

    def script(net: Scenario) -> None:
        alice = net.client("alice").reads_slowly(20_000).plays(in_pieces(b"much\n"))
        alice.expects(b"x" * BIG).sends(b"hi\n").expects(b"HI\n").closes()
        net.client("bob").sends(b"hi\n").expects(b"HI\n").does(lambda: seen.append(net.now)).closes()
        net.client("mallory").sends(b"h").waits(1).resets()
        net.client("eve").sends(b"much\n").waits(2).resets()

    seen: list[float] = []
    run(script, serve)
    assert seen == [1, 1]


# -- xmlrpc -----------------------------------------------------------------------------------------


class Threading(socketserver.ThreadingMixIn, xmlrpc.server.SimpleXMLRPCServer): ...


def much(size: Any) -> Any:
    time.sleep(1)
    return "x" * size


def by_xmlrpc(net: Scenario) -> str:
    with Threading(("127.0.0.1", PORT), logRequests=False) as server:
        server.register_function(much)
        net.on_end(server.shutdown)
        server.serve_forever()
    return "stopped"


def call(size: int) -> bytes:
    body = xmlrpc.client.dumps((size,), "much").encode()
    return b"POST /RPC2 HTTP/1.1\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def answer(size: int) -> re.Pattern[bytes]:
    return re.compile(b"HTTP/1.0 200 OK\r\n.*<string>x{%d}</string>.*" % size, re.DOTALL)


def test_xmlrpc(capsys: pytest.CaptureFixture[str]) -> None:
    def script(net: Scenario) -> None:
        net.client("alice").reads_slowly(20_000).plays(in_pieces(call(BIG))).expects(answer(BIG), until="eof")
        bob = net.client("bob").sends(call(5)).expects(answer(5), until="eof")
        bob.does(lambda: seen.append(net.now))
        net.client("mallory").sends(call(5)[:-20]).waits(1).resets()
        net.client("eve").sends(call(BIG)).waits(2).resets()

    seen: list[float] = []
    run(script, by_xmlrpc)
    assert seen == [1, 1]


# -- python -m http.server --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:'http.server' found in sys.modules")
def test_python_m_http_server(capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "big").write_bytes(b"x" * BIG)
    monkeypatch.chdir(tmp_path)
    big = re.compile(rb"HTTP/1\.0 200 OK\r\n.*\r\n\r\nx{300000}", re.DOTALL)
    with Scenario() as net:
        request = b"GET /big HTTP/1.0\r\nHost: here\r\n\r\n"
        net.client("alice").reads_slowly(20_000).plays(in_pieces(request)).expects(big, until="eof")
        bob = net.client("bob").sends(request).expects(big, until="eof").does(lambda: seen.append(net.now))
        net.client("mallory").sends(request[:20]).waits(1).resets()
        net.client("eve").sends(request).waits(2).resets()
        seen: list[float] = []
        net.interrupts()
        net.run_module("http.server", [str(PORT)])
    assert bob.received.endswith(b"x" * BIG)
    assert seen == [0]
    assert "Keyboard interrupt received, exiting." in capsys.readouterr().out

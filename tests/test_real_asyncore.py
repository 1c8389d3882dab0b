"""asyncore and asynchat, from the standard library or as what was made of them: by select() and by poll()."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from mockselector import Scenario

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # where they still are in the standard library
    asyncore: Any = pytest.importorskip("asyncore")
    asynchat: Any = pytest.importorskip("asynchat")


class Lines(asynchat.async_chat):  # type: ignore[misc]  # it need not be installed
    """Gives each line back, by producers; hangs up at a line of its own."""

    def __init__(self, sock: Any, channels: dict[int, Any]) -> None:
        asynchat.async_chat.__init__(self, sock=sock, map=channels)
        self.set_terminator(b"\n")
        self.line = b""

    def collect_incoming_data(self, data: bytes) -> None:
        self.line += data

    def found_terminator(self) -> None:
        line, self.line = self.line, b""
        if line == b"bye":
            self.close_when_done()
        else:
            self.push(b"x" * 300_000 if line == b"big" else line + b"\n")

    def handle_error(self) -> None:
        raise


class Server(asyncore.dispatcher):  # type: ignore[misc]  # likewise
    def __init__(self, channels: dict[int, Any]) -> None:
        asyncore.dispatcher.__init__(self, map=channels)
        self.channels = channels
        self.create_socket()
        self.set_reuse_addr()
        self.bind(("127.0.0.1", 0))
        self.listen(5)

    def handle_accepted(self, sock: Any, address: object) -> None:
        Lines(sock, self.channels)

    def handle_error(self) -> None:
        raise


def serve(use_poll: bool) -> None:
    channels: dict[int, Any] = {}
    Server(channels)
    asyncore.loop(timeout=30, use_poll=use_poll, map=channels)


@pytest.mark.parametrize("network", ["simulated", "loopback"])
@pytest.mark.parametrize("use_poll", [False, True])
def test_two_clients_and_a_slow_reader_are_served(use_poll: bool, network: Any) -> None:
    with Scenario(network=network) as net:
        net.client("alice").sends(b"hi\n").expects(b"hi\n").waits(50).sends(b"again\n").expects(b"again\n").closes()
        net.client("bob").sends(b"one\ntwo\nbye\n").expects(b"one\ntwo\n").expects_eof()
        net.client("carol").reads_slowly(50_000).sends(b"big\n").expects(b"x" * 300_000).closes()
        net.run(serve, use_poll)
    assert 50 == net.now


@pytest.mark.parametrize("use_poll", [False, True])
def test_a_half_close_and_a_silence_end_a_connection(use_poll: bool) -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"hi\n").shuts_down().expects_eof()
        net.client("bob", delay=1).sends(b"hi\n").expects(b"hi\n").closes()
        net.run(serve, use_poll)


@pytest.mark.parametrize("use_poll", [False, True])
def test_a_reset_in_mid_line_is_one_client_less(use_poll: bool) -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hel").resets()
        net.client("bob", delay=1).sends(b"hi\n").expects(b"hi\n").closes()
        net.run(serve, use_poll)

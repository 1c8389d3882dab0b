"""aiosmtpd's server on asyncio, unmodified, in scenarios."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import re
import smtplib
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario
from scenario_servers import PORT

if TYPE_CHECKING:
    from collections.abc import Generator

    from mockselector import Peer

pytest.importorskip("aiosmtpd")
SMTP: Any = importlib.import_module("aiosmtpd.smtp").SMTP

MAIL = b"Subject: hi\r\n\r\nHello.\r\n"
BIG = b"Subject: hi\r\n\r\n" + b"x" * 78 + b"\r\n" + (b"y" * 78 + b"\r\n") * 10_000

GOT: list[bytes] = []


@pytest.fixture(autouse=True)
def nothing_is_said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """No log tells of an error, and the collector has nothing to complain of."""
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    GOT.clear()
    yield
    gc.collect()
    assert not said
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == []


class Keeps:
    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802  (its name)
        GOT.append(envelope.content)
        return "250 kept"


async def serve(timeout: float = 5) -> None:
    """A program that serves without the thread of a Controller."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Keeps(), timeout=timeout, hostname="here"), "localhost", PORT)
    async with server:
        await server.serve_forever()


def says(peer: Peer, line: bytes, code: bytes) -> Peer:
    """It says a line, and is answered with this code."""
    return hears(peer.sends(line + b"\r\n"), code)


def hears(peer: Peer, code: bytes) -> Peer:
    return peer.expects(re.compile(code + rb"[ -].*\r\n"), until=b"\n")


def greets(peer: Peer) -> Peer:
    return says(hears(peer, b"220"), b"HELO there", b"250")


def delivers(peer: Peer, mail: bytes = MAIL) -> Peer:
    peer = says(says(peer, b"MAIL FROM:<a@example.org>", b"250"), b"RCPT TO:<b@example.org>", b"250")
    return says(says(peer, b"DATA", b"354"), mail + b".", b"250")


def leaves(peer: Peer) -> Peer:
    return says(peer, b"QUIT", b"221").expects_eof()


def test_two_mails_are_taken_over_one_connection() -> None:
    with Scenario() as net:
        leaves(delivers(delivers(greets(net.client("alice")))))
        net.run(serve)
    assert [MAIL, MAIL] == GOT


def test_a_second_client_is_served_meanwhile() -> None:
    with Scenario() as net:
        leaves(delivers(greets(net.client("alice")).waits(3)))
        leaves(delivers(greets(net.client("bob"))).does(lambda: seen.append(net.now)))
        seen: list[float] = []
        net.run(serve)
    assert seen == [0.0]


def test_a_big_mail_is_taken_and_a_slow_reader_answered() -> None:
    with Scenario() as net:
        leaves(delivers(greets(net.client("alice").reads_slowly(10)), BIG))
        net.run(serve, 60)  # it is for all of a mail, however steadily that comes
    assert [BIG] == GOT


def test_one_that_is_silent_is_let_go() -> None:
    with Scenario() as net:
        greets(net.client("alice")).expects(re.compile(rb"(421.*)?"), until="eof").does(lambda: seen.append(net.now))
        seen: list[float] = []
        net.run(serve)
    assert seen == [5.0]


@pytest.mark.parametrize("how", ["resets", "closes"])
def test_one_that_leaves_in_the_middle_harms_nobody(how: str) -> None:
    with Scenario() as net:
        getattr(greets(net.client("alice")).sends(b"MAIL FR").waits(1), how)()
        alice = says(greets(net.client("carol")), b"MAIL FROM:<a@example.org>", b"250")
        getattr(says(says(alice, b"RCPT TO:<b@example.org>", b"250"), b"DATA", b"354").sends(b"Sub").waits(1), how)()
        leaves(delivers(greets(net.client("bob").waits(2))))
        net.run(serve)
    assert [MAIL] == GOT


def test_a_half_close_is_an_end() -> None:
    with Scenario() as net:
        delivers(greets(net.client("alice"))).shuts_down().expects_eof()
        net.run(serve)


def test_it_is_stopped_while_a_client_stays() -> None:
    with Scenario() as net:
        delivers(greets(net.client("alice"))).expects(re.compile(rb"(421.*)?"), until="eof")
        net.interrupts(at=2)
        assert net.run(serve) is None
    assert [MAIL] == GOT


def test_smtplib_delivers_to_a_scripted_server() -> None:
    def program() -> None:
        with smtplib.SMTP("mx", 25, local_hostname="there", timeout=5) as client:
            client.sendmail("a@example.org", "b@example.org", "Subject: hi\r\n\r\nHello.\r\n")

    with Scenario() as net:
        mx = net.backend(("mx", 25)).sends(b"220 mx\r\n")
        for line, answer in (
            (rb"ehlo", b"250 mx"),
            (rb"mail", b"250 ok"),
            (rb"rcpt", b"250 ok"),
            (rb"data", b"354 go"),
        ):
            mx.expects(re.compile(line + rb".*\r\n"), until=b"\n").sends(answer + b"\r\n")
        mx.expects(MAIL + b".\r\n").sends(b"250 kept\r\n").expects(b"QUIT\r\n").sends(b"221 bye\r\n").closes()
        net.run(program)


# -- its Controller, which serves in a thread of its own -----------------------------------------------


def control(net: Scenario) -> str:
    controller = importlib.import_module("aiosmtpd.controller").Controller(Keeps(), hostname="localhost", port=PORT)
    controller.start()
    stop = threading.Event()
    net.on_end(stop.set)
    stop.wait()
    controller.stop()
    return "stopped"


def test_a_controller_is_stopped_after_a_slow_client_and_some_that_reset() -> None:
    def run() -> list[str]:
        seen: list[float] = []
        with Scenario() as net:
            alice = greets(net.client("alice").reads_slowly(10))
            alice = says(says(alice, b"MAIL FROM:<a@example.org>", b"250"), b"RCPT TO:<b@example.org>", b"250")
            alice = says(alice, b"DATA", b"354")
            for piece in (b"Subject: slow\r\n", b"\r\n", b"Hel", b"lo.", b"\r\n."):
                alice.sends(piece).waits(1)
            leaves(says(alice, b"", b"250"))
            leaves(delivers(greets(net.client("bob")))).does(lambda: seen.append(net.now))
            greets(net.client("mallory")).sends(b"MAIL FR").waits(1).resets()
            says(greets(net.client("eve")), b"MAIL FROM:<a@example.org>", b"250").sends(b"RCPT").resets()
            assert net.run(control, net) == "stopped"
        assert seen == [0]
        return [str(event) for event in net.trace]

    before = threading.enumerate()
    assert run() == run()
    assert before == threading.enumerate()
    assert [MAIL, MAIL.replace(b"hi", b"slow")] * 2 == GOT


def test_a_controller_is_stopped_while_a_client_stays() -> None:
    with Scenario() as net:
        delivers(greets(net.client("alice")))
        assert net.run(control, net) == "stopped"
    assert [MAIL] == GOT

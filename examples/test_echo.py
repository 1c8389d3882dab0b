"""The echo server in conversations: what a test with mockselector looks like."""

from __future__ import annotations

from examples import echo
from mockselector import Scenario


def test_everyone_hears_what_they_said() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hello\n").expects(b"hello\n").closes()
        net.client("bob").waits(30).sends(b"half a li").sends(b"ne\n").expects(b"half a line\n").closes()
        net.run(echo.serve, 8888)


def test_what_was_said_before_a_half_close_still_comes_back() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"good").sends(b"bye").shuts_down().expects(b"goodbye").expects_eof().closes()
        net.run(echo.serve, 8888)


def test_a_client_that_reads_slowly_gets_every_byte() -> None:
    story = b"once upon a time " * 10_000
    with Scenario() as net:
        slow = net.client("slow", buffer=4096).reads_slowly(1000, every=0.5)
        slow.sends(story[:60_000]).expects(story[:60_000]).closes()
        net.client("quick").waits(5).sends(b"hi").expects(b"hi").closes()
        net.run(echo.serve, 8888)
    assert slow.received == story[:60_000]
    assert net.now == 29.5  # seconds, of virtual time


def test_one_client_that_dies_does_not_hurt_another() -> None:
    with Scenario() as net:
        net.client("bob").sends(b"now I am h").waits(1).resets()
        net.client("alice").waits(2).sends(b"hello\n").expects(b"hello\n").closes()
        net.run(echo.serve, 8888)


def test_ctrl_c_closes_everything() -> None:
    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"hello\n").expects(b"hello\n").expects_eof()
        net.interrupts(at=10)
        net.run(echo.serve, 8888)
    assert net.now == 10.0

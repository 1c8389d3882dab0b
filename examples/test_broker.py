"""The broker in conversations: who gets which message, and ten idle minutes in no time."""

from __future__ import annotations

from examples import broker
from mockselector import Scenario


def test_subscribers_get_what_is_published() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"SUB news\n").expects(b"OK\n").expects(b"MSG news hello world\n").closes()
        net.client("bob").sends(b"SUB sports\n").expects(b"OK\n").expects_nothing(10).closes()
        net.client("carol").waits(1).sends(b"PUB news hello world\n").expects(b"OK\n").closes()
        net.run(broker.serve, 8888)


def test_who_has_unsubscribed_gets_nothing_more() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"SUB news\nUNSUB news\nUNSUB news\n")
        alice.expects(b"OK\nOK\nERR not subscribed\n").expects_nothing(5).closes()
        net.client("bob").waits(1).sends(b"PUB news anyone?\n").expects(b"OK\n").closes()
        net.run(broker.serve, 8888)


def test_an_idle_client_is_sent_away_after_ten_minutes() -> None:
    with Scenario() as net:
        net.client("sleepy").sends(b"SUB news\n").expects(b"OK\n").expects_nothing(599).expects(b"BYE\n").expects_eof()
        net.client("busy").waits(599).sends(b"SUB news\n").expects(b"OK\n").expects_nothing(2).closes()
        net.run(broker.serve, 8888)
    assert net.now == 601.0


def test_a_subscriber_that_dies_does_not_keep_the_others_from_theirs() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"SUB news\n").expects(b"OK\n").waits(1).resets()
        net.client("bob").sends(b"SUB news\n").expects(b"OK\nMSG news hi\n").closes()
        net.client("carol").waits(1).sends(b"PUB news hi\n").expects(b"OK\n").closes()
        net.run(broker.serve, 8888)

"""The chat server in conversations: several clients, and who hears what."""

from __future__ import annotations

from examples import chat
from mockselector import Scenario


def test_the_others_hear_what_one_says() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"alice\n").expects(b"* bob has come\n<bob> hello\n* bob has left\n").closes()
        net.client("bob").waits(1).sends(b"bob\n").sends(b"hello\n").closes()
        net.run(chat.serve, 8888)


def test_a_name_is_taken_once() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"alice\n").expects(b"* al has come\n").waits(5).closes()
        second = net.client("another").waits(1).sends(b"alice\n").expects(b"! choose another name\n")
        second.sends(b"al\n").waits(1).closes()
        net.run(chat.serve, 8888)


def test_one_who_dies_is_missed_by_the_others_only() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"alice\n")
        alice.expects(b"* bob has come\n* carol has come\n* bob has left\n<carol> where is bob?\n").closes()
        net.client("bob").waits(1).sends(b"bob\n").expects(b"* carol has come\n").resets()
        net.client("carol").waits(2).sends(b"carol\n").expects(b"* bob has left\n").sends(b"where is bob?\n").closes()
        net.run(chat.serve, 8888)


def test_a_line_may_come_in_pieces_and_several_at_once() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"alice\n").expects(b"* bob has come\n<bob> one\n<bob> two\n<bob> three\n").closes()
        net.client("bob").waits(1).sends(b"bo").sends(b"b\none\ntw").waits(1).sends(b"o\nthree\n").waits(1).closes()
        net.run(chat.serve, 8888)


def test_who_does_not_read_is_dropped_and_the_others_go_on() -> None:
    line = b"x" * 4000
    with Scenario() as net:
        net.client("sleepy").sends(b"sleepy\n").waits(100)
        alice = net.client("alice").waits(1).sends(b"alice\n")
        for _ in range(100):
            alice.sends(line + b"\n")
        alice.expects(b"* sleepy has left\n").closes()
        net.run(chat.serve, 8888)

"""`Trace.whole`: what the server did, and what others did meanwhile."""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from typing import Literal

import pytest

from mockselector import Event, MockSelector, Receives, Scenario, Sends
from mockselector._choices import Choice
from scenario_servers import echo


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.actor, str(event)) for event in events]


def test_a_step_stands_where_it_was_done_with() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").waits(2).closes()
        net.run(echo, 0)
    whole = told(net.trace.whole)
    assert whole[whole.index(("alice", "alice sends b'hi'")) :][:-1] == [
        ("alice", "alice sends b'hi'"),
        ("server", "select() -> listener READ"),
        ("server", "listener.accept() -> alice"),
        ("server", "register(alice, READ)"),
        ("server", "select() -> alice READ"),
        ("server", "alice.recv() -> b'hi'"),
        ("server", "alice.send(b'hi')"),
        ("alice", "alice expects b'hi'"),
        ("time", "2 s pass"),
        ("alice", "alice waits 2 s"),
        ("alice", "alice closes"),
        ("server", "select() -> alice READ"),
        ("server", "alice.recv() -> b''"),
        ("server", "unregister(alice)"),
        ("server", "alice.close()"),
        ("server", "select() -> the end of the script"),
    ]


@pytest.mark.parametrize("network", ["simulated", "loopback"])
def test_peers_do_the_same_over_any_network(network: Literal["simulated", "loopback"]) -> None:
    with Scenario(network=network) as net:
        net.client("alice").sends(b"hi").expects(b"hi").waits(2).closes()
        net.run(echo, 0)
    assert [text for actor, text in told(net.trace.whole) if actor in ("alice", "time")] == [
        "alice sends b'hi'",
        "alice expects b'hi'",
        "2 s pass",
        "alice waits 2 s",
        "alice closes",
    ]


def test_the_trace_itself_is_of_the_server_alone() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").closes()
        net.run(echo, 0)
    assert {event.actor for event in net.trace} == {"server"}
    assert [event for event in net.trace.whole if event.actor == "server"] == list(net.trace)


def test_a_step_says_where_it_was_written() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").closes()
        net.run(echo, 0)
    steps = [event for event in net.trace.whole if event.actor == "alice"]
    assert [event.operation for event in steps] == ["step"] * 3
    assert {event.place.function for event in steps} == {"test_a_step_says_where_it_was_written"}
    assert {event.socket for event in steps} == {"alice"}


def test_a_step_that_is_not_done_with_is_not_told() -> None:
    with Scenario(allow={"stuck"}, patience=5) as net:
        net.client("alice").sends(b"hi").expects(b"hihi")
        net.run(echo, 0)
    assert [text for actor, text in told(net.trace.whole) if actor == "alice"] == ["alice sends b'hi'"]


def test_what_a_generator_plays_is_one_step() -> None:
    def play() -> Generator[Sends | Receives, bytes, None]:
        yield Sends(b"hi")
        yield Receives()

    with Scenario() as net:
        net.client("alice").plays(play).closes()
        net.run(echo, 0)
    assert [text for actor, text in told(net.trace.whole) if actor == "alice"] == [
        "alice plays play()",
        "alice closes",
    ]


def test_a_backend_takes_steps_as_well() -> None:
    def program() -> bytes:
        with socket.create_connection(("db", 5432)) as sock:
            return sock.recv(10)

    with Scenario() as net:
        net.backend(("db", 5432)).sends(b"hi").closes()
        assert net.run(program) == b"hi"
    assert [text for actor, text in told(net.trace.whole) if actor == "db"] == ["db sends b'hi'", "db closes"]


def test_a_decision_is_told_where_it_was_made() -> None:
    with Scenario() as net:
        for name in ("alice", "bob"):
            net.client(name).sends(b"hi").expects(b"hi").closes()
        net._world.choices.decide = lambda many, label: many - 1
        net.run(echo, 0)
    decisions = [(actor, text) for actor, text in told(net.trace.whole) if actor == "choice"]
    assert decisions[0] == ("choice", "which peer acts: 2 of 2")
    assert [text for _, text in decisions] == [
        f"{choice.label}: {choice.taken + 1} of {choice.many}" for choice in net._world.choices.made
    ]
    assert all(isinstance(choice, Choice) for choice in net._world.choices.made)
    assert told(net.trace.whole).index(decisions[0]) < told(net.trace.whole).index(("bob", "bob sends b'hi'"))


def test_two_runs_are_equal_as_a_whole() -> None:
    def run() -> list[Event]:
        with Scenario() as net:
            for name in ("alice", "bob"):
                net.client(name).sends(b"hi").expects(b"hi").waits(1).closes()
            net.run(echo, 0)
        return net.trace.whole

    assert run() == run()


def test_time_that_passes_while_the_server_sleeps_is_told() -> None:
    def program() -> None:
        time.sleep(1.5)
        time.sleep(2)
        with socket.socket():
            pass

    with Scenario() as net:
        net.run(program)
    assert told(net.trace.whole) == [
        ("server", "time.sleep(1.5)"),
        ("time", "1.5 s pass"),
        ("server", "time.sleep(2)"),
        ("time", "2 s pass"),
        ("server", "socket.close()"),
    ]


def test_while_a_run_goes_on_it_holds_what_there_is() -> None:
    seen: list[list[tuple[str, str]]] = []
    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").does(lambda: seen.append(told(net.trace.whole))).closes()
        net.run(echo, 0)
    assert seen[0] == told(net.trace.whole)[: len(seen[0])]
    assert seen[0][-1] == ("server", "alice.send(b'hi')")


def test_in_an_event_list_nobody_else_does_anything() -> None:
    with MockSelector([()], strict=True) as selector:
        assert selector.select(1) == []
    assert selector.trace.whole == list(selector.trace)

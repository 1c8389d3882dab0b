"""The same script gives the same trace, run after run, and on every Python."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from examples import chat, proxy

from mockselector import Scenario, Trace

GOLDEN = Path(__file__).parent / "golden"


def of_a_chat() -> Trace:
    with Scenario() as net:
        alice = net.client("alice").sends(b"alice\n")
        alice.expects(b"* bob has come\n* carol has come\n* bob has left\n<carol> where is bob?\n").closes()
        net.client("bob").waits(1).sends(b"bob\n").expects(b"* carol has come\n").resets()
        net.client("carol").waits(2).sends(b"carol\n").expects(b"* bob has left\n").sends(b"where is bob?\n").closes()
        net.run(chat.serve, 8888)
    return net.trace


def of_a_proxy() -> Trace:
    data = b"row\n" * 50_000
    with Scenario() as net:
        net.backend(("db", 5432), delay=3).expects(b"select").sends(data).closes()
        net.client("alice").reads_slowly(20_000).sends(b"select").expects(data).expects_eof().closes()
        net.run(proxy.serve, 8888, "db", 5432)
    return net.trace


def text(trace: Trace) -> str:
    return "".join(f"{event.time:g} {event}\n" for event in trace)


def test_a_trace_is_the_golden_one() -> None:
    for name, trace in (("chat", of_a_chat()), ("proxy", of_a_proxy())):
        path = GOLDEN / f"trace-{name}.txt"
        if os.environ.get("MOCKSELECTOR_WRITE_GOLDEN"):
            path.write_text(text(trace))
        assert path.read_text() == text(trace)


@pytest.mark.shared
@pytest.mark.slow
def test_a_hundred_runs_have_equal_traces() -> None:
    first = of_a_chat()
    assert all(first == of_a_chat() for _ in range(100))

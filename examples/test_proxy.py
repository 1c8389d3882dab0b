"""The proxy in conversations: what it connects to is part of the script."""

from __future__ import annotations

from collections.abc import Callable

from examples import proxy
from mockselector import Scenario

UPSTREAM = ("db", 5432)


def through_the_proxy(script: Callable[[Scenario], object]) -> Scenario:
    """Run the proxy in front of the upstream."""
    with Scenario() as net:
        script(net)
        net.run(proxy.serve, 8888, *UPSTREAM)
    return net


def test_both_sides_hear_each_other() -> None:
    def script(net: Scenario) -> None:
        net.client("alice").sends(b"question").expects(b"answer").closes()
        net.backend(UPSTREAM).expects(b"question").sends(b"answer").expects_eof().closes()

    through_the_proxy(script)


def test_a_half_close_is_passed_on_and_the_answer_still_comes() -> None:
    def script(net: Scenario) -> None:
        net.client("alice").sends(b"all of it").shuts_down().expects(b"thanks").expects_eof().closes()
        net.backend(UPSTREAM).expects(b"all of it").expects_eof().sends(b"thanks").closes()

    through_the_proxy(script)


def test_a_slow_upstream_is_waited_for_and_nobody_else_is_kept_waiting() -> None:
    def script(net: Scenario) -> None:
        net.backend(UPSTREAM, "slow", delay=20).expects(b"one").sends(b"ONE").closes()
        net.backend(UPSTREAM, "quick").expects(b"two").sends(b"TWO").closes()
        net.client("alice").sends(b"one").expects(b"ONE").expects_eof().closes()
        net.client("bob").waits(1).sends(b"two").expects(b"TWO").expects_eof().closes()

    assert through_the_proxy(script).now == 20.0


def test_a_client_is_hung_up_on_when_the_upstream_refuses() -> None:
    def script(net: Scenario) -> None:
        net.backend(UPSTREAM, refuses=True)
        net.client("alice").expects_eof().closes()

    through_the_proxy(script)


def test_a_reader_slower_than_the_upstream_holds_the_upstream_back() -> None:
    data = b"row\n" * 50_000

    def script(net: Scenario) -> None:
        net.backend(UPSTREAM).expects(b"select").sends(data).closes()
        net.client("alice").reads_slowly(20_000).sends(b"select").expects(data).expects_eof().closes()

    assert through_the_proxy(script).now >= len(data) / 20_000 - 1

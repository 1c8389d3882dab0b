"""A peer that waits in vain is found, with what it waits for; who gives a slow one up loses nothing in silence."""

from __future__ import annotations

import selectors
import socket
import time
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Peer, Receives, Scenario, ScenarioError
from scenario_servers import DB, PORT, calls, echo, headline, hello, nothing, one, read_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockselector import Play


# -- stuck -----------------------------------------------------------------------------------------


def advice(error: pytest.ExceptionInfo[ScenarioError]) -> str:
    """What the error says is to be done, on one line."""
    text = str(error.value).partition("and the server does not know.\n")[2].partition("\n\n")[0]
    return " ".join(text.split())


def test_a_peer_that_waits_in_vain_is_told_at_once_when_nothing_else_can_happen() -> None:
    text = "alice waits in vain for b'ho', and the server sleeps"
    net = Scenario()
    with pytest.raises(ScenarioError, match=headline(text, "stuck")) as caught:
        with net:
            net.client("alice").expects(b"ho")
            net.run(echo)
    assert net.now == 0.0
    assert advice(caught) == (
        "See whether the server waits for the same as the script: for more input than there is,"
        " for an event for which it is not registered, or for another connection."
    )


@pytest.mark.parametrize(("options", "moment"), [({}, 3600.0), ({"patience": 5}, 5.0)], ids=["default", "chosen"])
def test_a_peer_that_waits_in_vain_is_told_when_its_patience_is_at_its_end(
    options: dict[str, Any], moment: float
) -> None:
    net = Scenario(**options)
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice waits in vain for b'ho', and the server sleeps"):
        with net:
            net.client("alice").expects(b"ho")
            net.client("bob").waits(10_000).closes()
            net.run(echo)
    assert net.now == moment


def test_the_patience_begins_anew_with_everything_that_comes() -> None:
    def handle(conn: socket.socket) -> None:
        for _ in range(4):
            time.sleep(4)
            conn.sendall(b"x")

    with Scenario(patience=5) as net:
        net.client("alice").expects(b"xxxx").closes()
        net.run(one, handle)
    assert net.now == 16.0


def waits_for_anything() -> Play:
    yield Receives()


IN_VAIN: list[tuple[Callable[[Peer], object], str]] = [
    (lambda peer: peer.expects(b"hi"), "for b'hi'"),
    (lambda peer: peer.expects(b"hi", until=b"\n"), r"for b'hi' until b'\n'"),
    (lambda peer: peer.expects_eof(), "for the end of the connection"),
    (lambda peer: peer.plays(waits_for_anything), "for anything"),
]


@pytest.mark.parametrize(("wait", "what"), IN_VAIN, ids=["bytes", "until", "eof", "receives"])
def test_what_is_waited_for_is_told(wait: Callable[[Peer], object], what: str) -> None:
    text = f"alice waits in vain {what}, and the server sleeps"
    with pytest.raises(ScenarioError, match=headline(text, "stuck")):
        with Scenario() as net:
            wait(net.client("alice"))
            net.run(echo)


def test_nothing_listens() -> None:
    text = "alice waits in vain for somebody to listen, and the server sleeps"
    with pytest.raises(ScenarioError, match=headline(text, "stuck")) as caught:
        with Scenario() as net:
            hello(net)
            net.run(lambda: selectors.DefaultSelector().select())
    assert advice(caught) == (
        "Nothing listens at all: does the server come to listen()? If it made its listener or selector before the"
        " scenario began, at import, import it inside of net.installed(), or use net.run_path()."
    )


@pytest.mark.parametrize(("to", "shown"), [(9999, "9999"), (("localhost", 9999), "('localhost', 9999)")], ids=str)
def test_something_else_listens(to: Any, shown: str) -> None:
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice waits in vain for somebody to listen") as caught:
        with Scenario() as net:
            hello(net, to=to)
            net.run(echo)
    assert advice(caught) == f"Nothing listens at {shown}, but at ('0.0.0.0', 8888): which of them is wrong?"


def full() -> None:
    """Listen with room for one, and never accept."""
    with socket.create_server(("", PORT), backlog=0):
        selectors.DefaultSelector().select()


def test_the_backlog_is_full() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] bob waits in vain for somebody to listen") as caught:
        with Scenario() as net:
            net.client("alice")
            hello(net, "bob")
            net.run(full)
    assert advice(caught) == "The backlog is full, and stays so: does the server still accept()?"


def test_the_backlog_is_full_where_the_client_names_the_port() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] bob waits in vain for somebody to listen") as caught:
        with Scenario() as net:
            net.client("alice", to=PORT)
            hello(net, "bob", to=PORT)
            net.run(full)
    assert advice(caught) == "The backlog is full, and stays so: does the server still accept()?"


def test_who_does_not_fit_into_the_backlog_comes_when_there_is_room() -> None:
    def serve() -> list[bytes]:
        with socket.create_server(("", PORT), backlog=0) as listener:
            got: list[bytes] = []
            for _ in range(3):
                conn, _ = listener.accept()
                with conn:
                    got += read_all(conn)
            return got

    with Scenario() as net:
        for name in ("alice", "bob", "carol"):
            net.client(name).sends(name.encode()).closes()
        assert net.run(serve) == [b"alice", b"bob", b"carol"]


def test_who_comes_before_there_is_a_listener_waits_for_it() -> None:
    def serve() -> bytes:
        time.sleep(5)
        return one(lambda conn: conn.recv(9))

    with Scenario() as net:
        net.client("alice", to=PORT).sends(b"hi").closes()
        assert net.run(serve) == b"hi"


def test_both_sides_wait_to_be_read() -> None:
    def handle(conn: socket.socket) -> None:
        conn.settimeout(100)
        conn.sendall(b"x" * 100)

    text = "alice waits in vain for room to send, and the server sleeps"
    with pytest.raises(ScenarioError, match=headline(text, "stuck")) as caught:
        with Scenario(patience=10) as net:
            net.client("alice", buffer=20).sends(b"y" * 100).expects(b"x" * 100)
            net.run(one, handle)
    assert advice(caught) == (
        "Both sides wait to be read: the script sends more than the 20 bytes that fit, and reads nothing meanwhile."
        " If a real client would read in between, let the script do so (expects between the sends), or give the"
        " client a larger buffer=."
    )


def test_a_rest_that_was_never_sent_is_told_where_a_peer_waits_for_it() -> None:
    def handle(conn: socket.socket) -> None:
        conn.setblocking(False)
        conn.send(b"x" * 10)
        selector = selectors.DefaultSelector()
        selector.register(conn, EVENT_READ)
        selector.select()

    with pytest.raises(
        ScenarioError, match=r"\A\[.+?\] alice took 4 of 10 bytes from send\(\), and the rest was never sent"
    ):
        with Scenario() as net:
            net.client("alice", buffer=4).expects(b"x" * 10)
            net.run(one, handle)


def test_a_connect_that_is_never_answered_is_no_reason_to_be_stuck() -> None:
    def main() -> float:
        with pytest.raises(TimeoutError, match="timed out"):
            calls(nothing)
        return net.now

    with Scenario(patience=5) as net:
        net.backend(DB, delay=None)
        assert net.run(main) == 127.0


# -- giving up on a slow peer ----------------------------------------------------------------------


def gives_up_after_a_timeout() -> None:
    """Send a lot, for thirty seconds at most."""
    with socket.create_server(("localhost", 8888)) as listener:
        conn, _ = listener.accept()
        with conn:
            conn.settimeout(30)
            data = memoryview(b"x" * 200_000)
            try:
                while data:
                    data = data[conn.send(data) :]
            except TimeoutError:
                pass


def test_giving_a_slow_peer_up_loses_nothing_in_silence() -> None:
    with Scenario() as net:
        net.client("alice").waits(100)
        net.run(gives_up_after_a_timeout)


def test_closing_after_a_short_send_loses_the_rest() -> None:
    def serve() -> None:
        with socket.create_server(("localhost", 8888)) as listener:
            conn, _ = listener.accept()
            with conn:
                conn.settimeout(30)
                conn.send(b"x" * 200_000)

    with pytest.raises(ScenarioError, match=r"^\[.+?\] alice took 65536 of 200000 bytes from send\(\)"):
        with Scenario() as net:
            net.client("alice").waits(100)
            net.run(serve)


def test_who_never_waits_is_not_said_to_sleep_and_stands_in_its_own_line() -> None:
    def serve() -> None:
        with socket.create_server(("", PORT)) as listener:
            kept.append(listener.accept())
            while True:
                now()

    def now() -> float:
        return time.monotonic()

    kept: list[object] = []
    text = "alice waits in vain for b'HI', and the server never waits: it polls, or asks for the time, again and again"
    with pytest.raises(ScenarioError, match=headline(text, "stuck")) as caught, Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"HI")
        net.run(serve)
    assert caught.value.place is not None
    assert caught.value.place.function == "now"
    assert "select()" not in str(caught.value).partition("Let it end")[2]

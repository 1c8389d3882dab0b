"""What is found comes out of the run, whatever swallows it; where it is allowed, it is not judged."""

from __future__ import annotations

import gc
import itertools
import selectors
import socket
import struct
import sys
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from mockselector import Peer, Scenario, ScenarioError
from scenario_servers import PORT, echo, headline, hello, nothing, one

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockselector import RuleId


# -- what comes out --------------------------------------------------------------------------------


def test_what_the_server_raises_comes_out() -> None:
    with Scenario() as net:
        with pytest.raises(ZeroDivisionError, match="division by zero"):
            net.run(lambda: 1 / 0)


def breaks_a_rule() -> None:
    """Read where nothing ever comes."""
    one(lambda conn: conn.recv(1))


def test_a_finding_is_a_note_to_what_the_server_raises_on_its_own() -> None:
    def serve() -> None:
        try:
            breaks_a_rule()
        except Exception:
            pass
        sys.exit("on its own")

    with pytest.raises(SystemExit, match=r"\Aon its own") as caught:
        with Scenario() as net, noted():
            net.client("alice")
            net.run(serve)
    notes: list[str] = getattr(caught.value, "__notes__", [])
    assert [note.splitlines()[0] for note in notes] == [
        "[read-without-data] alice was read with nothing there, and the read blocks"
    ]


def noted() -> Any:
    """On 3.10 a note is a warning, too."""
    import contextlib

    return contextlib.nullcontext() if sys.version_info >= (3, 11) else pytest.warns(UserWarning, match="besides")


def test_a_finding_takes_the_place_of_what_the_server_makes_of_it() -> None:
    def serve() -> None:
        try:
            breaks_a_rule()
        except Exception as error:
            raise ZeroDivisionError("of the server") from error

    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice was read with nothing there") as caught:
        with Scenario() as net:
            net.client("alice")
            net.run(serve)
    assert str(caught.value.__cause__) == "of the server"


def test_what_was_on_its_way_when_a_finding_displaced_it_comes_out() -> None:
    def serve() -> None:
        try:
            raise ZeroDivisionError("of the server")
        finally:
            breaks_a_rule()

    with pytest.raises(ZeroDivisionError, match=r"\Aof the server") as caught:
        with Scenario() as net, noted():
            net.client("alice")
            net.run(serve)
    assert "read-without-data" in "".join(getattr(caught.value, "__notes__", []))


def test_what_was_on_its_way_when_the_end_displaced_it_comes_out() -> None:
    def serve() -> None:
        try:
            raise ZeroDivisionError("of the server")
        finally:
            echo()

    with pytest.raises(ZeroDivisionError, match=r"\Aof the server\n"):
        with Scenario() as net:
            hello(net)
            net.run(serve)


@pytest.mark.parametrize("swallowed", [Exception, BaseException])
@pytest.mark.parametrize("inside", [True, False], ids=["in-the-handler", "around-select"])
def test_a_violation_comes_out_though_the_server_swallows(swallowed: type[BaseException], inside: bool) -> None:
    def handle(selector: selectors.BaseSelector, listener: socket.socket) -> None:
        for key, _ in selector.select():
            try:
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    key.fileobj.sendall(b"wrong")
            except swallowed:
                if not inside:
                    raise

    def serve() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
            selector.register(listener, EVENT_READ)
            while True:
                try:
                    handle(selector, listener)
                except swallowed:
                    pass

    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice was sent b'wrong' where it expects b'hi'"):
        with Scenario() as net:
            hello(net)
            net.run(serve)


def test_a_busy_loop_comes_out_though_it_swallows_and_goes_on() -> None:
    def handle(conn: socket.socket) -> NoReturn:
        conn.setblocking(False)
        while True:
            try:
                conn.recv(1)
            except Exception:
                pass

    text = "recv() on alice was tried 1000 times in a row in vain, without going back to select()"
    with pytest.raises(ScenarioError, match=headline(text, "busy-loop")):
        with Scenario() as net:
            net.client("alice")
            net.run(one, handle)


def test_a_refusal_comes_out_though_the_server_swallows() -> None:
    def serve() -> None:
        import os

        try:
            os.fork()
        except NotImplementedError:
            pass
        echo()

    with pytest.raises(NotImplementedError, match=r"\Aprocesses are not simulated"):
        with Scenario() as net:
            hello(net)
            net.run(serve)


def test_a_finding_at_the_end_is_a_note_to_nothing_when_the_test_itself_fails() -> None:
    with pytest.raises(AssertionError, match=r"\Aof the test\Z") as caught:
        with Scenario() as net:
            hello(net)
            raise AssertionError("of the test")
    assert not hasattr(caught.value, "__notes__")


# -- verify, dropped -------------------------------------------------------------------------------


def test_verify_judges_the_end() -> None:
    net = Scenario()
    hello(net)
    net.run(lambda: None)
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice was never connected"):
        net.verify()


def gives_up() -> None:
    with socket.create_server(("", PORT)) as listener, listener.accept()[0] as client:
        client.settimeout(30)
        client.send(b"x" * 1000)
        client.recv(100)


@pytest.mark.parametrize("asks", [True, False])
def test_what_was_found_while_an_expected_exception_was_on_its_way_is_told_once_more_and_once_only(asks: bool) -> None:
    found: list[BaseException] = []
    net = Scenario(buffer=100)
    try:
        with net:
            net.client().expects(b"x" * 1000)
            with pytest.raises(TimeoutError):
                net.run(gives_up)
            if asks:
                with pytest.raises(ScenarioError) as caught:
                    net.verify()
                found.append(caught.value)
    except ScenarioError as error:
        found.append(error)
    assert [str(error).partition("]")[0] for error in found] == ["[short-send-lost"]


def test_verify_is_silent_when_all_is_well() -> None:
    net = Scenario()
    hello(net)
    net.run(echo)
    net.verify()
    net.verify()


def test_a_scenario_whose_finding_nobody_has_seen_warns_when_it_is_dropped() -> None:
    def drops() -> None:
        net = Scenario()
        hello(net)
        net.run(lambda: None)

    with pytest.warns(UserWarning) as caught:
        drops()
        gc.collect()
    text = (
        "a Scenario was dropped, and nobody has seen what it found: use `with Scenario() as net:` or net.verify()\n\n"
        "[unmet-expectation] alice was never connected: the server returned before it could connect\n"
    )
    assert [str(warning.message).startswith(text) for warning in caught] == [True]
    assert __file__ == caught[0].filename


def test_so_does_one_of_which_a_step_fails_when_the_server_has_returned_and_says_by_what() -> None:
    def fails() -> None:
        raise LookupError("of a step")

    def drops() -> None:
        net = Scenario()
        net.client().sends(b"hello").expects(b"hello").waits(5).does(fails)
        net.run(accepts_once)

    def accepts_once() -> None:
        with socket.create_server(("", 8888)) as listener, listener.accept()[0] as conn:
            conn.sendall(conn.recv(100))

    with pytest.warns(UserWarning, match=r"(?s)nobody has seen what it found.*\n\nLookupError: of a step\Z"):
        drops()
        gc.collect()


def test_a_scenario_that_is_dropped_with_all_well_does_not_warn() -> None:
    def drops() -> None:
        net = Scenario()
        hello(net)
        net.run(echo)

    drops()
    gc.collect()


def test_a_scenario_that_is_dropped_unused_does_not_warn() -> None:
    Scenario()
    gc.collect()


def test_a_scenario_that_could_not_be_made_does_not_warn() -> None:
    with pytest.raises(ValueError, match="buffer= takes"):
        Scenario(buffer=0)
    gc.collect()


# -- allow -----------------------------------------------------------------------------------------


def sends_wrong(conn: socket.socket) -> None:
    conn.sendall(b"wrong")
    conn.recv(1)


def goes_wrong(conn: socket.socket) -> None:
    conn.sendall(b"wrong!")


def hangs_up(conn: socket.socket) -> None:
    """Hang up by a reset, with all read."""
    conn.recv(9)
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def never_answers(conn: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(conn, EVENT_READ)
        while not selector.select():
            pass


def waits_for_data(conn: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(conn, EVENT_READ)
        assert conn.recv(9) == b"hi"
        selector.unregister(conn)


def waits_for_room(conn: socket.socket) -> None:
    conn.sendall(b"x" * 10)


ALLOWED: list[tuple[RuleId, bool, Callable[[Peer], object], Callable[[socket.socket], object]]] = [
    ("unexpected-send", False, lambda peer: peer.expects(b"right").closes(), sends_wrong),
    ("unexpected-send", False, lambda peer: peer.expects(b"right", until=5).closes(), sends_wrong),
    ("unexpected-send", False, lambda peer: peer.expects_nothing(1).closes(), sends_wrong),
    ("unexpected-send", False, lambda peer: peer.expects_eof(), lambda conn: conn.sendall(b"wrong")),
    ("unexpected-send", False, lambda peer: peer.waits(1).expects(b"w", until=1).expects(b"right"), goes_wrong),
    ("unmet-expectation", False, lambda peer: peer.expects(b"hi").sends(b"you"), nothing),
    ("unmet-expectation", False, lambda peer: peer.expects(b"hi", until=2).sends(b"you"), nothing),
    ("unmet-expectation", False, lambda peer: peer.waits(1).sends(b"hi").sends(b"you"), nothing),
    ("unmet-expectation", False, lambda peer: peer.sends(b"hi").waits(1).expects_eof(), hangs_up),
    ("unmet-expectation", False, lambda peer: peer.sends(b"hi").waits(1).expects(b"", until="eof"), hangs_up),
    ("stuck", False, lambda peer: peer.expects(b"hi").sends(b"you").closes(), never_answers),
    ("blocking-read", True, lambda peer: peer.waits(2).sends(b"hi").waits(1).closes(), waits_for_data),
    ("blocking-send", True, lambda peer: peer.waits(2).expects(b"x" * 10).closes(), waits_for_room),
]  # fmt: skip


@pytest.mark.parametrize("where", ["scenario", "client"])
@pytest.mark.parametrize(("rule", "pedantic", "play", "handle"), ALLOWED, ids=[rule for rule, *_ in ALLOWED])
def test_a_rule_is_not_judged_where_it_is_allowed(
    where: str, rule: RuleId, pedantic: bool, play: Callable[[Peer], object], handle: Callable[[socket.socket], object]
) -> None:
    allowed: tuple[RuleId, ...] = (rule,)
    with Scenario(allow=allowed * (where == "scenario"), pedantic=pedantic) as net:
        play(net.client("alice", allow=allowed * (where == "client"), buffer=6))
        net.run(one, handle)


@pytest.mark.parametrize(("rule", "pedantic", "play", "handle"), ALLOWED, ids=[rule for rule, *_ in ALLOWED])
def test_a_rule_is_judged_where_another_is_allowed(
    rule: RuleId, pedantic: bool, play: Callable[[Peer], object], handle: Callable[[socket.socket], object]
) -> None:
    with pytest.raises(ScenarioError, match=rf"\[{rule}\]"):
        with Scenario(pedantic=pedantic) as net:
            net.client("bob", delay=1e6, allow={rule})
            play(net.client("alice", allow={"busy-loop"}, buffer=6))
            net.run(one, handle)


@pytest.mark.parametrize("where", ["scenario", "client"])
def test_a_send_without_room_is_not_judged_where_it_is_allowed_and_its_peer_is_stuck(where: str) -> None:
    allowed: tuple[RuleId, ...] = ("send-without-room",)
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice waits in vain for room to send, and the server sleeps"):
        with Scenario(allow=allowed * (where == "scenario")) as net:
            net.client("alice", allow=allowed * (where == "client"), buffer=6).sends(b"y" * 10).closes()
            net.run(one, waits_for_room)


@pytest.mark.parametrize("rule", ["blocking-read", "blocking-send"])
def test_a_pedantic_rule_is_not_judged_unless_asked_for(rule: RuleId) -> None:
    play, handle = next((play, handle) for name, _, play, handle in ALLOWED if name == rule)
    with Scenario() as net:
        play(net.client("alice", buffer=6))
        net.run(one, handle)


def test_a_select_that_returns_again_and_again_is_a_busy_loop_though_the_server_does_something() -> None:
    def handle(conn: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(conn, selectors.EVENT_WRITE)
            for number in itertools.count():
                selector.select()
                selector.modify(conn, selectors.EVENT_WRITE, number)

    text = "select() returned 1000 times in a row (alice WRITE), and no byte was moved in between"
    with pytest.raises(ScenarioError, match=headline(text, "busy-loop")):
        with Scenario() as net:
            net.client("alice").waits(5).closes()
            net.run(one, handle)


@pytest.mark.parametrize("where", ["scenario", "client"])
def test_a_busy_loop_that_is_allowed_lets_time_pass(where: str) -> None:
    def handle(conn: socket.socket) -> float:
        with selectors.DefaultSelector() as selector:
            selector.register(conn, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while selector.select()[0][1] == selectors.EVENT_WRITE:
                pass
        return net.now

    allowed: tuple[RuleId, ...] = ("busy-loop",)
    with Scenario(allow=allowed * (where == "scenario")) as net:
        net.client("alice", allow=allowed * (where == "client")).waits(5).closes()
        assert net.run(one, handle) == 5.0


def test_a_server_that_waits_where_stuck_is_allowed_is_ended_in_the_end() -> None:
    with Scenario(allow={"stuck", "unmet-expectation"}) as net:
        net.client("alice").expects(b"ho")
        assert net.run(echo) is None

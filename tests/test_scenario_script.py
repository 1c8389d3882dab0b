"""What a peer can do and say: every step, and what each is told if it is given nonsense."""

from __future__ import annotations

import re
import socket
import struct
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import (
    Closes,
    Does,
    Expects,
    ExpectsEof,
    ExpectsNothing,
    Peer,
    Plays,
    ReadsSlowly,
    Receives,
    Resets,
    Scenario,
    ScenarioError,
    Sends,
    ShutsDown,
    Step,
    Waits,
)
from mockselector._play.steps import STEPS
from mockselector._play.taking import MEANINGS
from scenario_servers import echo, headline, nothing, one, read_all

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mockselector import Play


def sends(*parts: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """A handler that sends, a while apart, and hangs up."""

    def handle(conn: socket.socket) -> None:
        for part in parts:
            conn.sendall(part)
            time.sleep(pause)

    return handle


def closes_after(data: bytes) -> Callable[[socket.socket], None]:
    """A handler that sends, and closes while the server goes on."""

    def handle(conn: socket.socket) -> None:
        conn.sendall(data)
        conn.close()
        time.sleep(1)

    return handle


def stays_after(data: bytes, *, shuts: bool = False) -> Callable[[socket.socket], None]:
    """A handler that sends, may end its sending, and waits for the client to go."""

    def handle(conn: socket.socket) -> None:
        conn.sendall(data)
        if shuts:
            conn.shutdown(socket.SHUT_WR)
        conn.recv(1)

    return handle


def resets(conn: socket.socket) -> None:
    """A handler that hangs up by a reset."""
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def run(handle: Callable[[socket.socket], object], *steps: Step, **options: Any) -> Peer:
    """Let a client take these steps against a server of one client."""
    with Scenario() as net:
        alice = net.client("alice", steps, **options)
        net.run(one, handle)
    return alice


def moments(*steps: Step, handle: Callable[[socket.socket], object] = nothing, **options: Any) -> list[float]:
    """When the server had done its part, and when the client had taken its steps."""
    seen: list[float] = []

    def handled(conn: socket.socket) -> None:
        handle(conn)
        seen.append(net.now)

    with Scenario() as net:
        net.client("alice", [*steps, Does(lambda: seen.append(net.now)), Closes()], **options)
        net.run(one, handled)
    return seen


# -- sends ----------------------------------------------------------------------------------------


def test_a_recv_returns_the_bytes_of_one_sends_at_most() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"ab").sends(b"cd").closes()
        assert net.run(one, read_all) == [b"ab", b"cd"]


def test_a_recv_may_take_less_than_one_sends() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"abc").sends(b"d").closes()
        assert net.run(one, lambda conn: [conn.recv(2), conn.recv(2), conn.recv(2)]) == [b"ab", b"c", b"d"]


def test_a_long_sends_comes_in_parts_of_the_buffer() -> None:
    with Scenario() as net:
        net.client("alice", buffer=4).sends(b"abcdefghij").closes()
        assert net.run(one, read_all) == [b"abcd", b"efgh", b"ij"]


@pytest.mark.parametrize("data", [b"hi", bytearray(b"hi"), memoryview(b"hi")], ids=["bytes", "bytearray", "memoryview"])
def test_anything_like_bytes_can_be_sent(data: bytes) -> None:
    with Scenario() as net:
        net.client("alice").sends(data).closes()
        assert net.run(one, read_all) == [b"hi"]


def test_an_empty_sends_sends_nothing() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"").sends(b"a").closes()
        assert net.run(one, read_all) == [b"a"]


def test_what_a_bytearray_holds_later_is_not_sent() -> None:
    data = bytearray(b"hi")
    with Scenario() as net:
        net.client("alice").sends(data).closes()
        data[:] = b"no"
        assert net.run(one, read_all) == [b"hi"]


def test_sending_to_a_server_that_has_closed_is_an_unmet_expectation() -> None:
    text = "alice has b'hi' to send, but the server has closed the connection"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")):
        run(nothing, Waits(1), Sends(b"hi"))


def test_sending_to_a_server_that_has_reset_is_an_unmet_expectation() -> None:
    def handle(conn: socket.socket) -> None:
        resets(conn)
        conn.close()
        time.sleep(5)

    text = "alice has b'hi' to send, but the server has closed the connection by a reset"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")):
        run(handle, Waits(1), Sends(b"hi"))


def test_sending_after_shutting_down_is_a_mistake_of_the_script() -> None:
    with pytest.raises(RuntimeError, match=r"\Aalice sends b'hi', but its script has shut down its sending before\Z"):
        run(read_all, ShutsDown(), Sends(b"hi"))


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Sends(b"hi"), "sends b'hi'"),
        (Expects(b"hi"), "expects b'hi'"),
        (Expects(b"hi", until="eof"), "expects b'hi' until eof"),
        (ExpectsNothing(2), "expects nothing for 2 s"),
        (ExpectsEof(), "expects the end"),
        (Receives(), "receives"),
        (ShutsDown(), "shuts down"),
        (Closes(), "closes"),
        (Resets(), "resets"),
        (ReadsSlowly(2), "reads 2 bytes every 1 s"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
@pytest.mark.parametrize("end", [Closes(), Resets()], ids=["closes", "resets"])
def test_a_step_after_the_script_has_closed_is_a_mistake_of_the_script(step: Step, text: str, end: Step) -> None:
    with pytest.raises(
        RuntimeError, match=rf"\Aalice {re.escape(text)}, but its script has closed its connection before\Z"
    ):
        run(lambda conn: time.sleep(1), end, step)


def test_after_the_script_has_closed_it_may_wait_and_do_and_play() -> None:
    def play() -> Play:
        yield Waits(2)
        yield Does(lambda: seen.append(net.now))

    seen: list[float] = []
    with Scenario() as net:
        net.client("alice").closes().waits(1).does(lambda: seen.append(net.now)).plays(play)
        net.run(one, read_all)
        net.run(lambda: time.sleep(5))
    assert seen == [1.0, 3.0]


# -- expects, as bytes ------------------------------------------------------------------------------


def test_what_is_expected_may_come_in_several_sends() -> None:
    assert run(sends(b"he", b"l", b"lo", pause=1), Expects(b"hello")).received == b"hello"


def test_one_send_may_bring_what_several_steps_expect() -> None:
    assert run(sends(b"hello"), Expects(b"he"), Expects(b"llo"), ExpectsEof()).received == b"hello"


def test_a_wrong_byte_is_an_error_at_the_very_send() -> None:
    def handle(conn: socket.socket) -> None:
        conn.sendall(b"hi")
        conn.sendall(b"yOu")
        raise AssertionError("not reached")

    text = "alice was sent b'yOu' where it expects b'you'"
    with pytest.raises(ScenarioError, match=headline(text, "unexpected-send")) as caught:
        run(handle, Expects(b"hiyou"))
    assert re.search(r'sent +\S+:\d+ +in handle +conn.sendall\(b"yOu"\)\n', str(caught.value))


def test_a_wrong_byte_is_pointed_at() -> None:
    with pytest.raises(ScenarioError, match="unexpected-send") as caught:
        run(sends(b"hi", b"yOu"), Expects(b"hiyou"))
    shown = (
        "  expected   b'you'\n"
        "  sent       b'yOu'\n"
        "                ^ byte 3 of what it expects here\n"
        "\n"
        "  the script of alice, met until >>:\n"
        "  >>  expects b'hiyou'  "
    )
    assert shown in str(caught.value)


def test_a_wrong_byte_in_a_long_message_is_shown_with_what_is_around_it() -> None:
    good = bytes(range(65, 91)) * 3
    with pytest.raises(ScenarioError, match="unexpected-send") as caught:
        run(sends(good[:40] + b"!" + good[41:]), Expects(good))
    shown = (
        "  expected   ... b'UVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQR'\n"
        "  sent       ... b'UVWXYZABCDEFGHIJKLMN!PQRSTUVWXYZABCDEFGHIJKLMNOPQR'\n"
        "                                       ^ byte 40 of what it expects here\n"
    )
    assert shown in str(caught.value)


def test_a_byte_too_many_is_an_error_where_nothing_is_expected() -> None:
    text = "alice was sent b'!' where it expects the end"
    with pytest.raises(ScenarioError, match=headline(text, "unexpected-send")):
        run(sends(b"hi!"), Expects(b"hi"), ExpectsEof())


def test_what_the_second_of_two_steps_does_not_expect_is_an_error() -> None:
    text = "alice was sent b'yOu' where it expects b'you'"
    with pytest.raises(ScenarioError, match=headline(text, "unexpected-send")) as caught:
        run(sends(b"hiyOu"), Expects(b"hi"), Sends(b"x"), Waits(1), Expects(b"you"))
    assert "byte 1 of what it expects here" in str(caught.value)


def test_a_server_may_send_before_the_peer_comes_to_expect_it() -> None:
    peer = run(
        sends(b"welcome"),
        Waits(1),
        Does(lambda: None),
        ReadsSlowly(100),
        ShutsDown(),
        Expects(b"welcome"),
        ExpectsEof(),
    )
    assert peer.received == b"welcome"


def test_what_a_server_sends_before_it_is_asked_is_compared_too() -> None:
    text = "alice was sent b'hey' where it expects b'welcome'"
    with pytest.raises(ScenarioError, match=headline(text, "unexpected-send")):
        run(sends(b"hey"), Waits(1), Sends(b"hi"), Expects(b"welcome"))


def test_what_comes_after_the_last_step_is_nobodys_business() -> None:
    assert run(sends(b"hi", b"and more"), Expects(b"hi")).received == b"hiand more"


def test_what_comes_after_closes_is_nobodys_business() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"a").expects(b"a").closes()
        net.run(one, lambda conn: conn.sendall(conn.recv(1) + b"bcd"))


def test_too_few_bytes_are_an_unmet_expectation() -> None:
    text = "alice expects b'hello', but the server has closed the connection"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")) as caught:
        run(closes_after(b"he"), Expects(b"hello"))
    assert "\n        so far  b'he'\n" in str(caught.value)


def test_a_shutdown_instead_of_an_answer_is_an_unmet_expectation() -> None:
    text = "alice expects b'hello', but the server has shut down writing"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")):
        run(stays_after(b"", shuts=True), Expects(b"hello"))


def test_closing_on_unread_data_is_told_from_closing() -> None:
    text = "alice expects b'hello', but the server has closed the connection with unread data, which resets it"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")):
        run(closes_after(b""), Sends(b"hi"), Expects(b"hello"))


# -- expects, until -----------------------------------------------------------------------------------


class Nothing:
    """Accepts nothing, and has no name."""

    def __call__(self, data: bytes) -> bool:
        return False


def longer_than_two(data: bytes) -> bool:
    return len(data) > 2


@pytest.mark.parametrize("what", [b"abc\n", re.compile(rb"[a-c]+\n"), longer_than_two], ids=["bytes", "re", "function"])
@pytest.mark.parametrize("until", [b"\n", b"c\n", 4, "eof"], ids=str)
def test_each_form_of_expects_accepts_what_it_should(what: Any, until: Any) -> None:
    assert run(sends(b"a", b"bc", b"\n", pause=1), Expects(what, until=until)).received == b"abc\n"


def nothing_at_all_is_right(_: bytes) -> bool:
    return False


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (b"abd\n", r"b'abd\n'"),
        (re.compile(rb"[a-b]+"), "what matches b'[a-b]+'"),
    ],
    ids=["bytes", "re"],
)
@pytest.mark.parametrize(
    ("until", "limit"), [(b"\n", r" until b'\n'"), (4, " until 4"), ("eof", " until eof")], ids=str
)
def test_each_form_of_expects_says_what_it_does_not_accept(what: Any, text: str, until: Any, limit: str) -> None:
    text = rf"alice was sent b'abc\n', which is not {text}{limit}"
    with pytest.raises(ScenarioError, match=headline(text, "unexpected-send")):
        run(closes_after(b"abc\n"), Expects(what, until=until))


@pytest.mark.parametrize(
    ("what", "name"),
    [(nothing_at_all_is_right, "nothing_at_all_is_right"), (Nothing(), "the function")],
    ids=["function", "object"],
)
@pytest.mark.parametrize("until", [b"\n", 4, "eof"], ids=str)
def test_what_a_function_does_not_accept_is_told_with_what_it_returned(what: Any, name: str, until: Any) -> None:
    text = rf"alice was sent b'abc\n', for which {name}() returned False, and not something true"
    with pytest.raises(ScenarioError, match=headline(text, "unexpected-send")):
        run(closes_after(b"abc\n"), Expects(what, until=until))


def test_the_pattern_must_match_all_of_it() -> None:
    with pytest.raises(ScenarioError, match=r"which is not what matches b'ab'"):
        run(stays_after(b"abc"), Expects(re.compile(rb"ab"), until=3))


@pytest.mark.parametrize("pause", [0, 1])
@pytest.mark.parametrize("parts", [(b"a\r\nrest",), (b"a\r", b"\nrest"), (b"a", b"\r", b"\n", b"rest")], ids=str)
def test_what_follows_the_delimiter_is_left_for_the_next_step(parts: tuple[bytes, ...], pause: float) -> None:
    seen: list[bytes] = []

    def notes(data: bytes) -> bool:
        seen.append(data)
        return True

    run(sends(*parts, pause=pause), Expects(notes, until=b"\r\n"), Expects(b"rest"), ExpectsEof())
    assert seen == [b"a\r\n"]


def test_a_part_of_the_delimiter_is_not_the_delimiter() -> None:
    run(sends(b"a\r\n\r", b"b\r\n\r\nrest"), Expects(b"a\r\n\rb\r\n\r\n", until=b"\r\n\r\n"), Expects(b"rest"))


def test_the_delimiter_is_found_by_one_who_reads_slowly() -> None:
    run(sends(b"abc\r\nrest"), ReadsSlowly(4), Expects(b"abc\r\n", until=b"\r\n"), Expects(b"rest"), ExpectsEof())


def test_several_delimiters_in_one_send_are_taken_one_by_one() -> None:
    run(sends(b"a\nb\nc\n"), *[Expects(re.compile(rb".\n"), until=b"\n")] * 3, ExpectsEof())


def test_what_follows_the_count_is_left_for_the_next_step() -> None:
    run(sends(b"abcdef"), Expects(b"abc", until=3), Expects(b"def", until=3), ExpectsEof())


def test_what_follows_is_compared_though_it_has_come_already() -> None:
    text = "alice was sent b'REST' where it expects b'rest'"
    with pytest.raises(ScenarioError, match=headline(text, "unexpected-send")) as caught:
        run(stays_after(b"a\nREST"), Expects(b"a\n", until=b"\n"), Expects(b"rest"))
    assert "byte 0 of what it expects here" in str(caught.value)


def test_what_follows_is_compared_at_the_servers_own_send_again() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice was sent b'REST' where it expects b'rest'") as caught:
        run(sends(b"a\n", b"REST", pause=1), Expects(b"a\n", until=b"\n"), Expects(b"rest"))
    assert re.search(r"sent +\S+:\d+ +in handle +conn.sendall\(part\)\n", str(caught.value))


@pytest.mark.parametrize(("until", "shown"), [(b"\n", r"b'\n'"), (9, "9")], ids=str)
def test_an_end_before_all_of_it_has_come_is_an_unmet_expectation(until: Any, shown: str) -> None:
    text = rf"alice expects b'abc\n' until {shown}, but the server has closed the connection"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")) as caught:
        run(closes_after(b"ab"), Expects(b"abc\n", until=until))
    assert "\n        so far  b'ab'\n" in str(caught.value)


def test_until_eof_takes_nothing_for_an_answer_where_that_is_accepted() -> None:
    assert run(nothing, Expects(b"", until="eof")).received == b""


def test_until_eof_takes_a_half_close_for_the_end() -> None:
    run(
        stays_after(b"hi", shuts=True),
        Expects(b"hi", until="eof"),
        Closes(),
    )


def test_until_eof_does_not_take_a_reset_for_the_end() -> None:
    def handle(conn: socket.socket) -> None:
        conn.sendall(b"hi")
        resets(conn)
        conn.close()
        time.sleep(1)

    text = "alice expects b'hi' until eof, but the server has closed the connection by a reset"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")):
        run(handle, Expects(b"hi", until="eof"))


def test_a_judge_that_raises_ends_the_run_and_comes_out_of_it() -> None:
    def judge(data: bytes) -> bool:
        raise ZeroDivisionError("of the judge")

    with pytest.raises(ZeroDivisionError, match=r"\Aof the judge\Z"):
        run(sends(b"hi", pause=1), Expects(judge, until=2))


# -- expects_nothing, expects_eof -----------------------------------------------------------------------


def test_expecting_nothing_takes_its_time() -> None:
    assert moments(ExpectsNothing(7), handle=read_all) == [7.0, 7.0]


def test_expecting_nothing_takes_a_second_unless_told_otherwise() -> None:
    with Scenario() as net:
        net.client("alice").expects_nothing().closes()
        net.run(one, read_all)
    assert net.now == 1.0


def test_sending_where_nothing_is_expected_is_an_error_at_the_very_send() -> None:
    text = "alice was sent b'hi' where it expects nothing"
    with pytest.raises(ScenarioError, match=headline(text, "unexpected-send")) as caught:
        run(sends(b"hi"), ExpectsNothing(2))
    assert re.search(r"sent +\S+:\d+ +in handle +conn.sendall\(part\)\n", str(caught.value))


def test_sending_after_that_is_none() -> None:
    def handle(conn: socket.socket) -> None:
        time.sleep(3)
        conn.sendall(b"hi")

    run(handle, ExpectsNothing(2), Expects(b"hi"), ExpectsEof())


def test_the_end_is_not_something() -> None:
    run(nothing, ExpectsNothing(2), ExpectsEof())


def test_the_end_is_met_by_a_close() -> None:
    assert moments(ExpectsEof(), handle=lambda conn: time.sleep(3)) == [3.0, 3.0]


def test_the_end_is_met_by_a_half_close() -> None:
    def handle(conn: socket.socket) -> bytes:
        conn.shutdown(socket.SHUT_WR)
        return conn.recv(9)

    with Scenario() as net:
        net.client("alice").expects_eof().sends(b"bye").closes()
        assert net.run(one, handle) == b"bye"


def test_the_end_is_not_met_by_a_reset() -> None:
    text = "alice expects the end, but the server has closed the connection by a reset"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")):
        run(resets, ExpectsEof())


def test_the_end_is_not_met_by_closing_on_unread_data() -> None:
    text = "alice expects the end, but the server has closed the connection with unread data, which resets it"
    with pytest.raises(ScenarioError, match=re.escape(text)):
        run(closes_after(b""), Sends(b"hi"), ExpectsEof())


def test_the_end_before_the_reset_is_all_that_is_seen() -> None:
    def handle(conn: socket.socket) -> None:
        conn.shutdown(socket.SHUT_WR)
        resets(conn)

    run(handle, ExpectsEof())


# -- shuts_down, closes, resets -------------------------------------------------------------------------


def test_after_a_half_close_the_server_can_still_answer() -> None:
    def handle(conn: socket.socket) -> None:
        conn.sendall(b"%d" % len(read_all(conn)))

    assert run(handle, Sends(b"a"), Sends(b"b"), ShutsDown(), Expects(b"2"), ExpectsEof()).received == b"2"


def test_closes_discards_what_has_come() -> None:
    assert run(sends(b"hi"), Waits(1), Closes()).received == b"hi"


def test_closing_on_what_nobody_expected_resets_nothing() -> None:
    with Scenario() as net:
        net.client("alice").waits(1).closes()
        net.run(one, stays_after(b"hi"))


def test_a_server_that_sends_to_a_closed_peer_is_reset() -> None:
    def handle(conn: socket.socket) -> None:
        conn.recv(1)
        conn.send(b"one")
        conn.send(b"two")

    with Scenario() as net, pytest.raises(BrokenPipeError, match="Broken pipe"):
        net.client("alice").closes()
        net.run(one, handle)


def test_a_reset_is_read_as_one() -> None:
    with Scenario() as net, pytest.raises(ConnectionResetError, match="Connection reset by peer"):
        net.client("alice").waits(1).resets()
        net.run(one, read_all)


# -- waits, reads_slowly --------------------------------------------------------------------------------


def test_a_peer_that_waits_does_not_read() -> None:
    assert moments(Waits(10), Expects(b"x" * 20), handle=sends(b"x" * 20), buffer=4) == [10.0, 10.0]


def test_a_peer_that_expects_reads() -> None:
    assert moments(Expects(b"x" * 20), handle=sends(b"x" * 20), buffer=4) == [0.0, 0.0]


def test_the_rest_of_a_message_is_read_by_a_peer_whose_script_is_at_its_end() -> None:
    assert run(sends(b"x" * 20), Expects(b"x"), buffer=4).received == b"x" * 20


def test_a_slow_reader_takes_so_many_bytes_every_second() -> None:
    assert moments(ReadsSlowly(3), Expects(b"x" * 10), handle=sends(b"x" * 10), buffer=4) == [1.0, 3.0]


def test_a_slow_reader_takes_its_own_time_between_reads() -> None:
    assert moments(ReadsSlowly(5, 2.5), Expects(b"x" * 15), handle=sends(b"x" * 15)) == [0.0, 5.0]


def test_a_slow_reader_may_become_a_quick_one() -> None:
    steps = ReadsSlowly(1), Expects(b"xx"), ReadsSlowly(100, 0), Expects(b"x" * 98)
    assert moments(*steps, handle=sends(b"x" * 100)) == [0.0, 2.0]


def test_a_slow_reader_waits_for_the_end_no_longer_than_it_must() -> None:
    steps = ReadsSlowly(2), Expects(b"xxxx", until="eof")
    assert moments(*steps, handle=sends(b"xxxx")) == [0.0, 1.0]


def test_a_slow_reader_reads_on_slowly_when_its_script_is_at_its_end() -> None:
    def handle(conn: socket.socket) -> float:
        conn.sendall(b"x" * 10)
        return net.now

    with Scenario() as net:
        net.client("alice", buffer=2).reads_slowly(2)
        assert net.run(one, handle) == 3.0


# -- does -----------------------------------------------------------------------------------------------


def test_a_function_of_the_test_is_called_when_its_turn_comes() -> None:
    assert moments(Waits(2), Does(lambda: None), handle=read_all) == [2.0, 2.0]


def test_a_function_of_the_test_may_add_clients() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"a").expects(b"a")
        alice.does(lambda: net.client("bob").sends(b"b").expects(b"b").closes()).closes()
        net.run(echo)
    assert [peer.received for peer in net._world.peers] == [b"a", b"b"]


def test_a_function_of_the_test_may_append_steps_to_another_peer() -> None:
    with Scenario() as net:
        bob = net.client("bob").sends(b"b").expects(b"b")
        net.client("alice").waits(5).does(lambda: bob.sends(b"c").expects(b"c").closes()).closes()
        net.run(echo)
    assert bob.received == b"bc"


def test_a_function_of_the_test_may_append_steps_to_its_own_peer() -> None:
    with Scenario() as net:
        alice = net.client("alice")
        alice.does(lambda: alice.sends(b"c").expects(b"c").closes())
        net.run(echo)
    assert alice.received == b"c"


def test_what_was_read_before_steps_were_appended_is_not_expected_again() -> None:
    def later() -> None:
        alice.sends(b"b").expects(b"b").closes()

    with Scenario() as net:
        alice = net.client("alice").sends(b"a")
        net.client("bob").waits(5).does(later).closes()
        net.run(echo)
    assert alice.received == b"ab"


def test_what_was_not_read_when_steps_were_appended_is_expected_by_them() -> None:
    def serve() -> None:
        with socket.create_server(("localhost", 0)) as listener:
            conn, _ = listener.accept()
            with conn:
                conn.sendall(b"abcd")
                conn.recv(1)
                conn.sendall(b"e")
                conn.recv(1)

    def later() -> None:
        alice.sends(b"?").expects(b"bcde").closes()

    with Scenario(allow={"unaccepted-connection"}) as net:
        alice = net.client("alice").reads_slowly(1, every=10)
        net.client("bob").waits(5).does(later).closes()
        net.run(serve)
    assert alice.received == b"abcde"


def test_a_generator_within_a_generator_leaves_what_comes_to_the_one_around_it() -> None:
    def inner() -> Play:
        yield Receives()

    def outer() -> Play:
        yield Plays(inner)
        yield Sends(b"2")
        assert (yield Receives()) == b"two"

    def serve() -> None:
        with socket.create_server(("localhost", 0)) as listener:
            conn, _ = listener.accept()
            with conn:
                for text in (b"one", b"two", b"three"):
                    conn.sendall(text)
                    conn.recv(1)

    with Scenario() as net:
        net.client("alice").plays(outer).sends(b"3").expects(b"three").closes()
        net.run(serve)


def test_a_step_of_a_class_that_the_test_has_derived_is_that_step() -> None:
    class Greets(Sends):
        def __init__(self) -> None:
            super().__init__(b"hello")

    with Scenario() as net:
        net.client("alice", [Greets(), Expects(b"hello"), Closes()])
        net.run(echo)


def test_every_step_has_its_meaning() -> None:
    assert set(MEANINGS) == set(STEPS)


def test_a_function_of_the_test_that_raises_ends_the_run_and_comes_out_of_it() -> None:
    def fails() -> None:
        raise ZeroDivisionError("of the test")

    with pytest.raises(ZeroDivisionError, match=r"\Aof the test\Z"):
        with Scenario() as net:
            net.client("alice").does(fails)
            net.run(echo)


def test_an_assertion_in_a_function_of_the_test_comes_out_though_the_server_swallows() -> None:
    def fails() -> None:
        raise AssertionError("of the test")

    def swallows() -> None:
        try:
            echo()
        except Exception:
            pass

    with pytest.raises(AssertionError, match=r"\Aof the test\Z"):
        with Scenario() as net:
            net.client("alice").does(fails)
            net.run(swallows)


NOT_THE_SERVER: list[tuple[Callable[[Scenario], object], str]] = [
    (lambda net: time.sleep(1), "wait"),
    (lambda net: net.selector().select(), "wait"),
    (lambda net: net.selector().select(0), "call select()"),
    (lambda net: net.run(nothing, None), "run()"),
    (lambda net: net.verify(), "verify()"),
]


@pytest.mark.parametrize(("act", "what"), NOT_THE_SERVER, ids=["sleep", "select", "poll", "run", "verify"])
def test_a_function_of_the_test_may_not_do_what_only_a_server_may(act: Callable[[Scenario], object], what: str) -> None:
    text = f"a does() step may not {what}, as one of alice does: it is not the server"
    with pytest.raises(RuntimeError, match=rf"\A{re.escape(text)}\Z"):
        with Scenario() as net:
            net.client("alice").does(lambda: act(net))
            net.run(echo)


def test_a_script_that_has_no_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def again() -> None:
        alice.does(again)

    monkeypatch.setattr("mockselector._play.player.MOST_STEPS", 1000)
    text = (
        "the script has taken 1,000 steps at one instant: does a generator yield steps for ever,"
        " or a does() step append to its own script?"
    )
    with pytest.raises(RuntimeError, match=rf"\A{re.escape(text)}\Z"):
        with Scenario() as net:
            alice = net.client("alice").does(again)
            net.run(echo)


# -- plays ----------------------------------------------------------------------------------------------


def test_a_generator_gets_the_bytes_that_each_step_took_in() -> None:
    def play() -> Play:
        got.append((yield Sends(b"hi\nyou")))
        got.append((yield Receives(1)))
        got.append((yield Receives()))
        got.append((yield Sends(b"more")))
        got.append((yield Expects(re.compile(rb"..."), until=3)))
        got.append((yield Expects(b"e")))
        got.append((yield Waits(1)))
        got.append((yield ShutsDown()))
        got.append((yield Receives()))

    got: list[bytes] = []
    with Scenario() as net:
        net.client("alice").plays(play)
        net.run(echo)
    assert got == [b"", b"h", b"i\nyou", b"", b"mor", b"e", b"", b"", b""]


def test_a_generator_that_was_already_made_is_played() -> None:
    def play(word: bytes) -> Play:
        yield Sends(word)
        yield Expects(word)

    with Scenario() as net:
        alice = net.client("alice").plays(play(b"hi")).closes()
        net.run(echo)
    assert alice.received == b"hi"


def test_a_generator_reacts_to_what_it_gets() -> None:
    def play() -> Play:
        while data := (yield Receives()):
            yield Sends(data.upper())

    def handle(conn: socket.socket) -> list[bytes]:
        conn.sendall(b"one")
        first = conn.recv(9)
        conn.sendall(b"two")
        return [first, conn.recv(9)]

    with Scenario() as net:
        net.client("alice").plays(play)
        assert net.run(one, handle) == [b"ONE", b"TWO"]


def test_a_generator_may_play_another() -> None:
    def inner() -> Play:
        yield Sends(b"hi")

    def outer() -> Play:
        yield Plays(inner)
        yield Expects(b"hi")

    with Scenario() as net:
        alice = net.client("alice").plays(outer).closes()
        net.run(echo)
    assert alice.received == b"hi"


def test_the_steps_after_a_generator_are_compared_again() -> None:
    def play() -> Play:
        yield Expects(b"a")

    text = "alice was sent b'c' where it expects b'b'"
    with pytest.raises(ScenarioError, match=headline(text, "unexpected-send")):
        run(sends(b"a", b"c", pause=1), Plays(play), Expects(b"b"))


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Expects(b"hi"), "b'ho' where it expects b'hi'"),
        (ExpectsNothing(1), "b'ho' where it expects nothing"),
        (ExpectsEof(), "b'ho' where it expects the end"),
        (Expects(b"hi", until=2), "b'ho', which is not b'hi' until 2"),
    ],
    ids=["bytes", "nothing", "eof", "until"],
)
def test_what_a_generator_does_not_expect_is_judged_when_it_reads_it(step: Step, text: str) -> None:
    def play() -> Play:
        yield step

    with pytest.raises(ScenarioError, match=headline(f"alice was sent {text}", "unexpected-send")) as caught:
        run(stays_after(b"ho", shuts=True), Plays(play))
    assert f"\n        ... which {step}\n" in str(caught.value)


def test_what_a_generator_raises_ends_the_run_and_comes_out_of_it() -> None:
    def play() -> Play:
        yield Sends(b"hi")
        raise ZeroDivisionError("of the play")

    with pytest.raises(ZeroDivisionError, match=r"\Aof the play\Z"):
        with Scenario() as net:
            net.client("alice").plays(play)
            net.run(echo)


def test_a_generator_that_yields_no_step_is_told() -> None:
    def play() -> Generator[Any, bytes, None]:
        yield b"hi"

    text = "the generator that alice plays yielded b'hi'; it takes steps, as Sends(b'hi')"
    with pytest.raises(TypeError, match=rf"\A{re.escape(text)}\Z"):
        run(read_all, Plays(play))


def test_a_function_that_returns_no_generator_is_told() -> None:
    play: Any = lambda: [Sends(b"hi")]  # noqa: E731  (of a type that no checker lets through)
    text = "play= of alice takes a generator of steps; its function returned [Sends(data=b'hi')]"
    with pytest.raises(TypeError, match=rf"\A{re.escape(text)}\Z"):
        run(read_all, Plays(play))


def test_a_generator_that_has_no_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def play() -> Play:
        while True:
            yield Waits(1)

    monkeypatch.setattr("mockselector._play.generators.MOST_YIELDED", 1000)
    text = "the generator that alice plays has yielded 1,000 steps: has it no end?"
    with pytest.raises(RuntimeError, match=rf"\A{re.escape(text)}\Z"):
        run(read_all, Plays(play))


def test_a_generator_that_yields_nothing_is_done_at_once() -> None:
    def play() -> Play:
        yield from ()

    assert moments(Plays(play)) == [0.0, 0.0]


def test_a_generator_whose_expectation_is_not_met_is_left_alone_where_that_is_allowed() -> None:
    def play() -> Play:
        yield Expects(b"hi")
        raise AssertionError("not reached")

    run(nothing, Plays(play), allow={"unmet-expectation"})


# -- a step that takes whatever comes ---------------------------------------------------------------------


def test_receives_takes_what_has_come_and_what_follows_is_compared() -> None:
    assert run(sends(b"one", b"two", pause=1), Receives(), Expects(b"two"), ExpectsEof()).received == b"onetwo"


def test_receives_takes_so_many_bytes_at_most() -> None:
    run(sends(b"onetwo"), Receives(3), Expects(b"two"), ExpectsEof())


def test_receives_takes_the_end_for_an_answer() -> None:
    run(nothing, Receives(), Closes())


# -- steps are data -------------------------------------------------------------------------------------


def test_a_chain_appends_what_the_list_would_hold() -> None:
    def play() -> Play:
        yield Sends(b"hi")

    pattern = re.compile(rb"x")
    net = Scenario()
    chained = net.client("alice").sends(b"a").expects(b"b").expects(pattern, until=b"c").expects_nothing(2)
    chained.expects_eof().shuts_down().waits(3).reads_slowly(4, every=5).does(nothing_at_all).plays(play)
    chained.resets().closes()
    net._run.settled = True
    assert chained._steps == [
        Sends(b"a"), Expects(b"b"), Expects(pattern, b"c"), ExpectsNothing(2), ExpectsEof(), ShutsDown(), Waits(3),
        ReadsSlowly(4, 5), Does(nothing_at_all), Plays(play), Resets(), Closes(),
    ]  # fmt: skip


def nothing_at_all() -> None:
    """A function of the test."""


def test_a_list_of_steps_is_played_before_what_is_appended() -> None:
    with Scenario() as net:
        alice = net.client("alice", [Sends(b"a"), Expects(b"a")]).sends(b"b").expects(b"b").closes()
        net.run(echo)
    assert alice.received == b"ab"


def test_a_list_of_steps_may_be_given_to_several_peers() -> None:
    steps: list[Step] = [Sends(b"a"), Expects(b"a"), Closes()]
    with Scenario() as net:
        peers = [net.client(steps=steps) for _ in range(3)]
        net.run(echo)
    assert [peer.received for peer in peers] == [b"a"] * 3


def play_by_name() -> Play:
    yield Sends(b"hi")


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Sends(b"hi"), "sends b'hi'"),
        (Sends(b"x" * 100), f"sends {b'x' * 32!r}... (100 bytes)"),
        (Expects(b"hi"), "expects b'hi'"),
        (Expects(re.compile(rb"h."), b"\n"), r"expects what matches b'h.' until b'\n'"),
        (Expects(longer_than_two, 3), "expects what longer_than_two() accepts until 3"),
        (Expects(Nothing(), "eof"), "expects what a function() accepts until eof"),
        (ExpectsNothing(0.5), "expects nothing for 0.5 s"),
        (ExpectsEof(), "expects the end"),
        (Receives(), "receives"),
        (ShutsDown(), "shuts down"),
        (Closes(), "closes"),
        (Resets(), "resets"),
        (Waits(600), "waits 600 s"),
        (ReadsSlowly(10, 0.25), "reads 10 bytes every 0.25 s"),
        (Does(nothing_at_all), "does nothing_at_all()"),
        (Plays(play_by_name), "plays play_by_name()"),
        (Plays(play_by_name()), "plays play_by_name()"),
    ],
    ids=str,
)
def test_each_step_is_told_in_one_line(step: Step, text: str) -> None:
    assert text == str(step)


class Thing:
    """Callable, and without a name."""

    def __call__(self) -> Any:
        return None


def test_a_function_without_a_name_is_told_too() -> None:
    assert ("does something()", "plays a generator()") == (str(Does(Thing())), str(Plays(Thing())))


# -- the peer --------------------------------------------------------------------------------------------


def test_received_is_all_that_was_read() -> None:
    assert run(sends(b"ab", b"cd"), Expects(b"ab"), Expects(b"c", until=1), Closes()).received == b"abcd"


def test_a_peer_says_whether_the_program_connects_to_it() -> None:
    def main() -> None:
        with socket.create_server(("", 8888)) as listener, listener.accept()[0]:
            socket.create_connection(("db", 1)).close()

    with Scenario() as net:
        client, backend = net.client().expects_eof().closes(), net.backend(("db", 1)).expects_eof().closes()
        net.run(main)
    assert (client.is_backend, backend.is_backend) == (False, True)


def test_received_is_there_while_the_script_goes_on() -> None:
    seen: list[bytes] = []
    with Scenario() as net:
        alice = net.client("alice").sends(b"a").expects(b"a").does(lambda: seen.append(alice.received)).sends(b"b")
        alice.expects(b"b").does(lambda: seen.append(alice.received)).closes()
        net.run(echo)
    assert seen == [b"a", b"ab"]


def test_a_peer_says_how_far_it_is() -> None:
    seen: list[str] = []
    with Scenario() as net:
        alice = net.client("alice").sends(b"a").does(lambda: seen.append(repr(alice))).expects(b"a").closes()
        seen.append(repr(alice))
        net.run(echo)
    seen.append(repr(alice))
    assert seen == [
        "<peer 'alice', at step 1 of 4>", "<peer 'alice', at step 2 of 4>", "<peer 'alice', at step 4 of 4>",
    ]  # fmt: skip


def test_a_peer_without_a_name_goes_by_its_number() -> None:
    net = Scenario()
    names = [net.client().name, net.client().name, net.backend(("db", 1)).name, net.backend("/run/x").name]
    net._run.settled = True
    assert names == ["client 1", "client 2", "db", "/run/x"]


def test_of_a_long_script_the_steps_around_are_shown() -> None:
    def play() -> Play:
        yield Expects(b"!")

    steps: list[Step] = [Sends(b"%d" % number) for number in range(20)]
    with pytest.raises(ScenarioError, match="unmet-expectation") as caught:
        with Scenario() as net:
            net.client("alice", [*steps, Plays(play), *steps])
            net.run(one, lambda conn: [conn.recv(1 << 16) for _ in steps])
    block = str(caught.value).partition("  the script of alice, met until >>:\n")[2].partition("\n\n")[0].splitlines()
    shown = [re.sub(r" +\S+:\d+$", "", line) for line in block]
    assert shown == [
        "      ... 12 more",
        *(f"  ok  sends b'{number}'" for number in range(12, 20)),
        "  >>  plays play()",
        "        ... which expects b'!'",
        *(f"      sends b'{number}'" for number in range(7)),
        "      ... 13 more",
    ]


# -- mistakes --------------------------------------------------------------------------------------------

SECONDS = "takes a number of seconds, 0 or more and finite; got"
BYTES = "takes a number of bytes, 1 or more; got"
UNTIL = 'until= takes a delimiter (bytes), a number of bytes, or "eof"; got'

WHAT = "what= takes bytes, a compiled pattern of bytes, or a function of the bytes; got"
NEEDED = (
    "until= is needed with a pattern or a function: it says how much is judged."
    ' It takes a delimiter (bytes), a number of bytes, or "eof"'
)
PLAY = "play= takes a generator of steps, or a function without arguments that returns one; got"
TO = "to= takes a pair (host, port) or a port or a path; got"
ALLOW = 'allow= takes a collection of rule ids, as in allow={"eof-ignored"}; got the string'

MISUSES: list[tuple[Callable[[Scenario], object], type[Exception], str]] = [
    (
        lambda net: Sends(wrong("hi")),
        TypeError,
        "data= takes bytes; got the str 'hi': write b'hi', or use .encode()",
    ),
    (
        lambda net: net.client().sends(wrong("hi")),
        TypeError,
        "data= takes bytes; got the str 'hi': write b'hi', or use .encode()",
    ),
    (lambda net: net.client().sends(wrong(5)), TypeError, "data= takes bytes; got 5"),
    (lambda net: net.client().expects(wrong("hi")), TypeError, f"{WHAT} the str 'hi': write b'hi', or use .encode()"),
    (lambda net: net.client().expects(wrong("é")), TypeError, f"{WHAT} the str 'é': use .encode()"),
    (lambda net: Expects(wrong("hi")), TypeError, f"{WHAT} the str 'hi': write b'hi', or use .encode()"),
    (
        lambda net: net.client().expects(wrong(re.compile("h")), until=1),
        TypeError,
        "what= takes a pattern of bytes, re.compile(rb'...'); got re.compile('h'), one of str",
    ),
    (lambda net: net.client().expects(wrong(re.compile(b"h"))), TypeError, NEEDED),
    (lambda net: net.client().expects(wrong(len)), TypeError, NEEDED),
    (
        lambda net: net.client().expects(b""),
        ValueError,
        "what= is empty: to say that nothing comes, use expects_nothing() or expects_eof()",
    ),
    (
        lambda net: net.client().expects(b"a", until=b""),
        ValueError,
        "until= takes a delimiter of one byte or more; got b''",
    ),
    (lambda net: net.client().expects(b"a", until=0), ValueError, "until= takes a number of bytes, 1 or more; got 0"),
    (lambda net: net.client().expects(b"a", until=True), TypeError, f"{UNTIL} True"),
    (
        lambda net: net.client().expects(b"a", until=wrong("end")),
        TypeError,
        f"{UNTIL} the str 'end': write b'end', or use .encode()",
    ),
    (lambda net: net.client().expects(b"a", until=wrong(1.5)), TypeError, f"{UNTIL} 1.5"),
    (lambda net: net.client().expects_nothing(-1), ValueError, f"seconds= {SECONDS} -1"),
    (lambda net: net.client().waits(-1), ValueError, f"seconds= {SECONDS} -1"),
    (lambda net: net.client().waits(float("inf")), ValueError, f"seconds= {SECONDS} inf"),
    (lambda net: net.client().waits(float("nan")), ValueError, f"seconds= {SECONDS} nan"),
    (lambda net: net.client().waits(True), ValueError, f"seconds= {SECONDS} True"),
    (lambda net: net.client().waits(wrong("1")), ValueError, f"seconds= {SECONDS} '1'"),
    (lambda net: net.client().reads_slowly(0), ValueError, f"size= {BYTES} 0"),
    (lambda net: net.client().reads_slowly(1, every=-1), ValueError, f"every= {SECONDS} -1"),
    (lambda net: Receives(0), ValueError, f"size= {BYTES} 0"),
    (lambda net: Receives(True), ValueError, f"size= {BYTES} True"),
    (lambda net: Receives(wrong(1.0)), ValueError, f"size= {BYTES} 1.0"),
    (lambda net: net.client().does(wrong(5)), TypeError, "function= takes a function without arguments; got 5"),
    (
        lambda net: net.client().does(wrong(print())),
        TypeError,
        "function= takes a function without arguments; got None: give it the function itself, f and not f()",
    ),
    (lambda net: net.client().plays(wrong(5)), TypeError, f"{PLAY} 5"),
    (
        lambda net: net.client(steps=wrong(Closes())),
        TypeError,
        "steps= takes a sequence of steps, as [Sends(b'hi'), Closes()]; got Closes(ragged=False): put it into a list",
    ),
    (
        lambda net: net.client(steps=wrong(net.client())),
        TypeError,
        "steps= takes a sequence of steps, as [Sends(b'hi'), Closes()]; got <peer 'client 1', at step 0 of 0>: a peer's"
        " steps are added by its methods; steps= takes a list of plain ones",
    ),
    (lambda net: net.client(wrong(b"al")), TypeError, "name= takes a str; got b'al': write 'al'"),
    (
        lambda net: net.client(steps=wrong(5)),
        TypeError,
        "steps= takes a sequence of steps, as [Sends(b'hi'), Closes()]; got 5",
    ),
    (
        lambda net: net.client(steps=wrong([b"hi"])),
        TypeError,
        "steps= takes steps, as Sends(b'hi') or Closes(); got b'hi'",
    ),
    (lambda net: net.client(wrong(5)), TypeError, "name= takes a str; got 5"),
    (lambda net: net.client(delay=-1), ValueError, f"delay= {SECONDS} -1"),
    (lambda net: net.client(buffer=0), ValueError, f"buffer= {BYTES} 0"),
    (lambda net: net.client(to=wrong(1.5)), TypeError, f"{TO} 1.5"),
    (lambda net: net.client(to=True), TypeError, f"{TO} True"),
    (lambda net: net.client(to=("h",)), TypeError, f"{TO} ('h',)"),
    (lambda net: net.client(to=(8888, "h")), TypeError, f"{TO} (8888, 'h')"),
    (lambda net: net.client(to=("h", "http")), TypeError, f"{TO} ('h', 'http')"),
    (lambda net: net.client(to=70000), ValueError, "to= takes a port from 0 to 65535; got 70000"),
    (lambda net: net.client(to=("h", -1)), ValueError, "to= takes a port from 0 to 65535; got ('h', -1)"),
    (lambda net: net.client(address=wrong(5)), TypeError, "address= takes a pair (host, port); got 5"),
    (lambda net: net.client(address=wrong("h")), TypeError, "address= takes a pair (host, port); got 'h'"),
    (lambda net: net.client(allow=wrong(["nonsense"])), ValueError, "allow= got 'nonsense'; the rules are: "),
    (lambda net: net.client(allow=wrong("stuck")), ValueError, f"{ALLOW} 'stuck'"),
    (lambda net: net.backend(wrong(None)), TypeError, "address= takes a pair (host, port) or a path; got None"),
    (lambda net: net.backend(wrong(5432)), TypeError, "address= takes a pair (host, port) or a path; got 5432"),
    (lambda net: net.backend(("db", 70000)), ValueError, "address= takes a port from 0 to 65535; got ('db', 70000)"),
    (lambda net: net.backend(("db", 1), wrong(5)), TypeError, "name= takes a str; got 5"),
    (lambda net: net.backend("db", wrong(5432)), TypeError, "address= takes a pair: write net.backend(('db', 5432))"),
    (lambda net: net.backend(("db", 1), delay=-1), ValueError, f"delay= {SECONDS} -1"),
    (lambda net: net.backend(("db", 1), buffer=0), ValueError, f"buffer= {BYTES} 0"),
    (lambda net: net.listener(wrong(8888)), TypeError, "address= takes a pair (host, port) or a path; got 8888"),
    (lambda net: net.on_end(wrong(5)), TypeError, "function= takes a function without arguments; got 5"),
    (lambda net: net.interrupts(-1), ValueError, f"at= {SECONDS} -1"),
    (lambda net: Scenario(buffer=0), ValueError, f"buffer= {BYTES} 0"),
    (lambda net: Scenario(patience=-1), ValueError, f"patience= {SECONDS} -1"),
    (lambda net: Scenario(grace=float("nan")), ValueError, f"grace= {SECONDS} nan"),
    (
        lambda net: Scenario(date=wrong(datetime(2026, 1, 1))),
        ValueError,
        f"date= {SECONDS} datetime.datetime(2026, 1, 1, 0, 0), whose timestamp() is one",
    ),
    (lambda net: Scenario(date=-1), ValueError, f"date= {SECONDS} -1"),
    (
        lambda net: Scenario(allow=wrong(["busyloop"])),
        ValueError,
        "allow= got 'busyloop' (did you mean 'busy-loop'?); the rules are: ",
    ),
    (lambda net: Scenario(allow=wrong(["nonsense"])), ValueError, "allow= got 'nonsense'; the rules are: "),
]


def wrong(value: Any) -> Any:
    """What no type checker would let through."""
    return value


@pytest.mark.parametrize(("misuse", "error", "text"), MISUSES, ids=[text[:60] for _, _, text in MISUSES])
def test_a_mistake_is_told_with_what_was_given_and_what_is_taken(
    misuse: Callable[[Scenario], object], error: type[Exception], text: str
) -> None:
    net = Scenario()
    net._run.settled = True
    end = r"\Z" if not text.endswith(": ") else ""
    with pytest.raises(error, match=rf"\A{re.escape(text)}{end}"):
        misuse(net)

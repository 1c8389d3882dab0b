"""Reading and writing in a scenario as Linux shows it: sizes, flags, time-outs, full buffers, resets, files."""

from __future__ import annotations

import errno
import io
import os
import socket
import time
from socket import MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL, SO_ERROR, SOL_SOCKET
from typing import TYPE_CHECKING, Any, Literal

import pytest

from kernel import temporary_file
from mockselector import Scenario, ScenarioError
from scenario_servers import one
from scenario_sockets import accept, error_of, forget, look, scenario

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mockselector import Peer

Network = Literal["simulated", "loopback"]
needs_sendfile = pytest.mark.skipif(not hasattr(os, "sendfile"), reason="this system has none")

# -- reading ---------------------------------------------------------------------------------------


def test_a_read_returns_the_bytes_of_one_send_at_most() -> None:
    with scenario() as net:
        net.client().sends(b"one").sends(b"two")
        conn = accept()
        assert [b"one", b"tw", b"o"] == [conn.recv(9), conn.recv(2), conn.recv(9)]


def test_peeking_leaves_the_data_and_the_end_where_they_are() -> None:
    with scenario() as net:
        net.client().sends(b"abc").closes()
        conn = accept()
        assert [b"ab", b"abc", b"", b""] == [
            conn.recv(2, MSG_PEEK),
            conn.recv(9),
            conn.recv(9, MSG_PEEK),
            conn.recv(9),
        ]


def test_peeking_shows_what_came_by_however_many_sends_and_it_is_then_read_at_once() -> None:
    with scenario() as net:
        net.client().sends(b"a").sends(b"bc").sends(b"d").waits(1).sends(b"e").closes()
        conn = accept()
        assert [b"ab", b"abc", b"d"] == [conn.recv(2, MSG_PEEK), conn.recv(9), conn.recv(9)]
        time.sleep(2)
        assert [b"e", b"e"] == [conn.recv(9, MSG_PEEK), conn.recv(9)]


def test_peeking_for_all_leaves_all_to_be_read_at_once() -> None:
    with scenario() as net:
        net.client().sends(b"a").waits(1).sends(b"b").waits(1).sends(b"c").closes()
        conn = accept()
        assert [b"ab", b"ab", b"c"] == [conn.recv(2, MSG_PEEK | MSG_WAITALL), conn.recv(2), conn.recv(2)]


def test_peeking_leaves_an_unread_reset_an_error() -> None:
    with scenario() as net:
        net.client().resets()
        conn = accept()
        assert errno.ECONNRESET == error_of(conn.recv, 9, MSG_PEEK)


def test_waiting_for_all_joins_what_comes() -> None:
    with scenario() as net:
        net.client().sends(b"ab").waits(1).sends(b"cd").closes()
        conn = accept()
        assert (b"abc", b"d", 1.0) == (conn.recv(3, MSG_WAITALL), conn.recv(9, MSG_WAITALL), net.now)


def test_waiting_for_all_waits_no_longer_than_the_socket_does() -> None:
    with scenario() as net:
        net.client().sends(b"ab").waits(9).sends(b"cd")
        conn = accept(timeout=2)
        assert b"ab" == conn.recv(9, MSG_WAITALL)
        with pytest.raises(TimeoutError, match="^timed out$"):
            conn.recv(9, MSG_WAITALL)
        conn.settimeout(None)
        assert b"cd" == conn.recv(9)


def test_a_read_that_shall_not_wait_does_not() -> None:
    with scenario() as net:
        net.client().waits(1).sends(b"hi")
        conn = accept()
        assert errno.EAGAIN == error_of(conn.recv, 9, MSG_DONTWAIT)
        assert b"hi" == conn.recv(9)


def test_a_timeout_is_waited_for_even_so() -> None:
    with scenario() as net:
        net.client().waits(9).sends(b"hi")
        conn = accept(timeout=2)
        with pytest.raises(TimeoutError, match="^timed out$"):
            conn.recv(9, MSG_DONTWAIT)
        conn.settimeout(None)
        assert b"hi" == conn.recv(9)


def test_unknown_flags_are_refused_aloud() -> None:
    with scenario() as net:
        net.client()
        conn = accept()
        with pytest.raises(NotImplementedError, match=r"^recv\(\) with flags=0x1 is not simulated; MSG_PEEK, "):
            conn.recv(9, socket.MSG_OOB)
        forget(net)


def test_all_ways_to_read_read() -> None:
    with scenario() as net:
        net.client().sends(b"abcdefghij")
        conn = accept()
        buffer, first, second = bytearray(3), bytearray(2), bytearray(5)
        assert (2, b"ab\0") == (conn.recv_into(buffer, 2), bytes(buffer))
        assert (b"c", None) == conn.recvfrom(1)
        assert (3, None) == conn.recvfrom_into(buffer)
        assert (b"g", [], 0, None) == conn.recvmsg(1)
        assert (3, [], 0, None) == conn.recvmsg_into([first, second])
        assert b"defhij\0\0\0\0" == bytes(buffer + first + second)


def test_reading_nothing_reads_nothing() -> None:
    with scenario() as net:
        net.client().sends(b"hi")
        conn = accept()
        assert (b"", 0, b"hi") == (conn.recv(0), conn.recv_into(bytearray()), conn.recv(9))


def test_reading_nothing_asks_nobody() -> None:
    with scenario():
        assert b"" == socket.socket().recv(0)


SIZES: dict[str, Callable[[socket.socket], object]] = {
    "^negative buffersize in recv$": lambda sock: sock.recv(-1),
    "^negative buffersize in recv_into$": lambda sock: sock.recv_into(bytearray(3), -1),
    "buffer": lambda sock: sock.recv_into(bytearray(3), 4),
    "^Timeout value out of range$": lambda sock: sock.settimeout(-1),
}


@pytest.mark.parametrize(("text", "call"), SIZES.items(), ids=["recv", "recv_into", "too much", "timeout"])
def test_sizes_are_checked_as_production_does(text: str, call: Callable[[socket.socket], object]) -> None:
    with scenario():
        with pytest.raises(ValueError, match=text):
            call(socket.socket())


def test_a_timeout_runs_out() -> None:
    with scenario() as net:
        net.client().waits(9).sends(b"hi")
        conn = accept(timeout=2.5)
        with pytest.raises(TimeoutError, match="^timed out$"):
            conn.recv(9)
        assert 2.5 == net.now
        assert b"hi" == socket_that_blocks(conn).recv(9)


def socket_that_blocks(conn: socket.socket) -> socket.socket:
    conn.setblocking(True)
    return conn


def test_a_blocking_read_waits_for_data() -> None:
    with scenario() as net:
        net.client().waits(9).sends(b"hi")
        conn = accept()
        assert (b"hi", 9.0) == (conn.recv(9), net.now)


def test_a_blocking_read_that_waits_is_pedantic() -> None:
    with pytest.raises(ScenarioError, match=r"\[blocking-read\]"):
        with scenario(pedantic=True) as net:
            net.client().waits(9).sends(b"hi")
            accept().recv(9)


def test_the_data_comes_before_the_end() -> None:
    with scenario() as net:
        net.client().sends(b"hi").closes()
        conn = accept()
        assert (b"hi", b"") == (conn.recv(9), conn.recv(9))


def test_the_data_is_lost_by_a_reset() -> None:
    with scenario() as net:
        net.client().sends(b"hi").resets()
        conn = accept()
        assert [b"hi", errno.ECONNRESET, b""] == [conn.recv(9), error_of(conn.recv, 9), conn.recv(9)]


def test_a_reset_socket_has_no_peer() -> None:
    with scenario() as net:
        net.client().resets()
        conn = accept()
        look(net)
        assert (errno.ENOTCONN, errno.ENOTCONN) == (
            error_of(conn.getpeername),
            error_of(conn.shutdown, socket.SHUT_WR),
        )
        assert errno.ECONNRESET == error_of(conn.recv, 9)


def test_a_reset_is_told_once_by_so_error() -> None:
    with scenario() as net:
        net.client().resets()
        conn = accept()
        look(net)
        assert [errno.ECONNRESET, 0] == [conn.getsockopt(SOL_SOCKET, SO_ERROR) for _ in range(2)]


def test_all_that_is_asked_for_is_waited_for_and_only_looked_at() -> None:
    with scenario("blocking-read") as net:
        net.client().sends(b"ab").waits(1).sends(b"cd")
        conn = accept()
        assert (b"abcd", 1.0) == (conn.recv(4, MSG_PEEK | MSG_WAITALL), net.now)
        assert b"abcd" == conn.recv(4, MSG_WAITALL)


def test_without_waiting_what_is_there_is_looked_at() -> None:
    with scenario() as net:
        net.client().sends(b"ab").waits(1).sends(b"cd")
        conn = accept(5)
        assert b"a" == conn.recv(1, MSG_PEEK)
        conn.setblocking(False)
        assert b"ab" == conn.recv(4, MSG_PEEK | MSG_WAITALL)
        assert b"ab" == conn.recv(2)
        assert errno.EAGAIN == error_of(conn.recv, 4, MSG_PEEK | MSG_WAITALL)


# -- writing ---------------------------------------------------------------------------------------


def test_all_ways_to_write_write() -> None:
    with scenario() as net:
        alice = net.client().expects(b"abcdefghijklm").closes()
        conn = accept()
        assert (2, 3, 1) == (
            conn.send(bytearray(b"ab")),
            conn.sendmsg([b"c", memoryview(b"de")]),
            conn.sendto(b"f", ("", 1)),
        )
        assert 1 == conn.sendto(b"g", MSG_DONTWAIT, ("", 1))
        conn.sendall(memoryview(b"hijk").cast("H"))
        assert 2 == conn.sendfile(io.BytesIO(b"lm"))
        look(net)
        assert b"abcdefghijklm" == alice.received


def test_what_is_sent_must_be_bytes() -> None:
    with scenario() as net:
        net.client()
        conn = accept()
        for call in (conn.send, conn.sendall):
            with pytest.raises(TypeError, match="a bytes-like object is required, not 'str'$"):
                call("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_ancillary_data_is_refused_aloud() -> None:
    with scenario() as net:
        net.client()
        conn = accept()
        with pytest.raises(NotImplementedError, match=r"^sendmsg\(\) with ancillary data is not simulated"):
            conn.sendmsg([b"a"], [(1, 2, b"x")])
        forget(net)


def slow(net: Scenario) -> Peer:
    """A client with room for 10 bytes, that reads after 5 seconds."""
    return net.client("alice", buffer=10).waits(5).expects(b"x" * 25).closes()


def test_a_blocking_send_sends_all_and_waits_for_that() -> None:
    with scenario() as net:
        alice = slow(net)
        conn = accept()
        assert (25, 5.0) == (conn.send(b"x" * 25), net.now)
        look(net)
        assert b"x" * 25 == alice.received


def test_a_non_blocking_send_takes_what_there_is_room_for() -> None:
    with scenario() as net:
        slow(net)
        conn = accept(timeout=0)
        assert (10, errno.EAGAIN) == (conn.send(b"x" * 25), error_of(conn.send, b"x" * 15))
        conn.setblocking(True)
        conn.sendall(b"x" * 15)


def test_a_send_that_shall_not_wait_does_not() -> None:
    with scenario() as net:
        slow(net)
        conn = accept()
        assert 10 == conn.send(b"x" * 25, MSG_DONTWAIT)
        assert errno.EAGAIN == error_of(conn.send, b"x" * 15, MSG_DONTWAIT)
        conn.sendall(b"x" * 15)


def test_a_send_with_a_timeout_gives_up_in_time() -> None:
    with scenario() as net:
        slow(net)
        conn = accept(timeout=2)
        assert 10 == conn.send(b"x" * 25)
        with pytest.raises(TimeoutError, match="^timed out$"):
            conn.send(b"x" * 15)
        assert 2.0 == net.now
        conn.setblocking(True)
        conn.sendall(b"x" * 15)


def test_the_timeout_of_sendall_is_for_all_of_it() -> None:
    with scenario("short-send-lost") as net:
        net.client("alice", buffer=10).reads_slowly(5, every=1).expects(b"x" * 100)
        conn = accept(timeout=3)
        with pytest.raises(TimeoutError, match="^timed out$"):
            conn.sendall(b"x" * 100)
        assert 3.0 == net.now
        conn.close()


def test_a_send_without_room_for_ever_breaks_a_rule() -> None:
    with pytest.raises(ScenarioError, match=r"\[send-without-room\]"):
        with scenario(buffer=10) as net:
            net.client("alice").sends(b"x" * 20).closes()
            accept().sendall(b"x" * 20)


def test_a_blocking_send_that_waits_is_pedantic() -> None:
    with pytest.raises(ScenarioError, match=r"\[blocking-send\]"):
        with scenario(pedantic=True) as net:
            slow(net)
            accept().send(b"x" * 25)


def test_a_file_is_sent_from_an_offset_and_by_count(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with scenario() as net:
        alice = net.client().expects(b"234").closes()
        conn = accept()
        with path.open("rb") as file:
            assert (3, 5) == (conn.sendfile(file, 2, 3), file.tell())
        look(net)
        assert b"234" == alice.received


def test_a_file_is_sent_from_its_beginning_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with scenario("unexpected-send") as net:
        alice = net.client().expects(b"0123456789").closes()
        conn = accept()
        with path.open("rb") as file:
            file.read(7)
            conn.sendfile(file)
        conn.close()
        look(net)
        assert b"0123456789" == alice.received


def test_an_empty_file_sends_nothing() -> None:
    with scenario() as net:
        net.client()
        assert 0 == accept().sendfile(io.BytesIO())


def test_send_file_refuses_what_the_standard_library_refuses() -> None:
    with scenario() as net:
        net.client()
        conn = accept()
        with pytest.raises(ValueError, match=r"^count must be a positive integer \(got 0\)$"):
            conn.sendfile(io.BytesIO(b"x"), 0, 0)
        with open(__file__) as text, pytest.raises(ValueError, match="^file should be opened in binary mode$"):
            conn.sendfile(text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        conn.setblocking(False)
        with pytest.raises(ValueError, match="^non-blocking sockets are not supported$"):
            conn.sendfile(io.BytesIO(b"x"))


def test_a_write_after_the_peer_has_closed_is_taken_and_the_next_refused() -> None:
    with scenario() as net:
        net.client().closes()
        conn = accept()
        look(net)
        assert (1, errno.EPIPE) == (conn.send(b"x"), error_of(conn.send, b"x"))
        assert b"" == conn.recv(9)


def test_an_empty_write_meets_no_reset() -> None:
    with scenario() as net:
        net.client().closes()
        conn = accept()
        look(net)
        assert [0, 0] == [conn.send(b"") for _ in range(2)]


def test_a_write_after_a_reset_tells_it_and_the_next_is_refused() -> None:
    with scenario() as net:
        net.client().resets()
        conn = accept()
        look(net)
        assert [errno.ECONNRESET, errno.EPIPE] == [error_of(conn.send, b"x") for _ in range(2)]


def test_a_send_that_waits_for_room_is_told_of_a_reset() -> None:
    with scenario() as net:
        net.client("alice", buffer=10).waits(1).resets()
        conn = accept()
        assert 10 == conn.send(b"x" * 10)
        assert errno.ECONNRESET == error_of(conn.send, b"x")


def test_a_blocking_send_that_is_under_way_when_the_reset_comes() -> None:
    with scenario() as net:
        net.client("alice", buffer=10).waits(1).resets()
        conn = accept()
        assert 10 == conn.send(b"x" * 25)
        assert errno.ECONNRESET == error_of(conn.send, b"x")


def test_what_the_peer_does_not_expect_may_be_allowed() -> None:
    with scenario("unexpected-send") as net:
        alice = net.client().expects(b"hi").closes()
        conn = accept()
        conn.send(b"no")
        look(net)
        assert b"no" == alice.received


def test_from_behind_the_end_of_a_file_nothing_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with scenario() as net:
        net.client().expects(b"bc")
        conn = accept()
        with path.open("rb") as file:
            assert (0, 0, 2) == (conn.sendfile(file, 3), conn.sendfile(file, 9), conn.sendfile(file, 1))


@pytest.mark.parametrize("network", ["simulated", "loopback"])
def test_a_long_answer_is_compared_to_its_end(network: Literal["simulated", "loopback"]) -> None:
    def serve() -> None:
        with socket.create_server(("", 0)) as listener, listener.accept()[0] as conn:
            conn.sendall(b"x" * 5000)

    with pytest.raises(ScenarioError) as caught, Scenario(network=network) as net:
        net.client("alice").waits(1).expects(b"x" * 4999 + b"y").closes()
        net.run(serve)
    assert caught.value.socket == "alice"
    assert "4,999" in str(caught.value) or "4999" in str(caught.value)


# -- files -----------------------------------------------------------------------------------------


def test_a_binary_file_reads_and_writes() -> None:
    with scenario() as net:
        alice = net.client().sends(b"one\ntwo\n").expects(b"three").closes()
        conn = accept()
        with conn.makefile("rwb") as file:
            assert [b"one\n", b"two\n"] == [file.readline(), file.readline()]
            file.write(b"three")
        look(net)
        assert b"three" == alice.received


def test_a_text_file_reads_to_the_end() -> None:
    with scenario() as net:
        net.client().sends("grüße\r\n".encode()).closes()
        with accept().makefile("r", encoding="utf-8", newline="") as file:
            assert ("grüße\r\n", "") == (file.read(), file.read())


def test_an_unbuffered_file_is_a_raw_one() -> None:
    with scenario() as net:
        net.client().sends(b"hi")
        with accept().makefile("rb", buffering=0) as file:
            assert b"hi" == file.read(9)


def test_closing_waits_for_the_last_file() -> None:
    with scenario() as net:
        net.client()
        conn = accept()
        first, second = conn.makefile("rb"), conn.makefile("rb")
        number = first.fileno()
        conn.close()
        first.close()
        assert number == conn.fileno()
        second.close()
        assert -1 == conn.fileno()


def test_a_bad_mode_is_refused_as_the_standard_library_does() -> None:
    with scenario():
        make: Any = socket.socket().makefile
        with pytest.raises(ValueError, match="invalid mode 'x'"):
            make("x")


# -- files, by number -------------------------------------------------------------------------------


@needs_sendfile
@pytest.mark.parametrize("network", ["simulated", "loopback"])
def test_a_file_is_sent_past_its_socket_whole_where_that_waits(network: Network) -> None:
    def serve(conn: socket.socket) -> tuple[int, int, int]:
        with temporary_file(b"x" * 300_000 + b"end") as file:
            first = os.sendfile(conn.fileno(), file.fileno(), 0, 2)
            return first, os.sendfile(conn.fileno(), file.fileno(), 5, 1 << 30), file.tell()

    with Scenario(network=network) as net:
        net.client("alice").waits(1).expects(b"x" * 299_997 + b"end").expects_eof()
        assert (2, 299_998, 0) == net.run(one, serve)


@needs_sendfile
def test_a_file_that_is_sent_without_an_offset_goes_on_from_where_it_stands() -> None:
    def serve(conn: socket.socket) -> tuple[int, int]:
        with temporary_file(b"0123456789") as file:
            file.seek(2)
            sent = os.sendfile(out_fd=conn.fileno(), in_fd=file.fileno(), offset=None, count=3)
            return sent, os.lseek(file.fileno(), 0, os.SEEK_CUR)

    with Scenario() as net:
        net.client("alice").expects(b"234").expects_eof()
        assert (3, 5) == net.run(one, serve)


@needs_sendfile
@pytest.mark.parametrize("timeout", [0, 5])
@pytest.mark.parametrize("network", ["simulated", "loopback"])
def test_of_a_file_a_socket_that_does_not_wait_takes_what_there_is_room_for(network: Network, timeout: int) -> None:
    def serve(conn: socket.socket) -> int:
        conn.settimeout(timeout)
        with temporary_file(bytes(20_000_000)) as file:
            sent = os.sendfile(conn.fileno(), file.fileno(), 0, 20_000_000)
            with pytest.raises(BlockingIOError):
                for _ in range(100):
                    os.sendfile(conn.fileno(), file.fileno(), 0, 20_000_000)
        assert conn.gettimeout() == timeout
        return sent

    with Scenario(network=network, allow={"short-send-lost"}) as net:
        net.client("alice").waits(1).expects(lambda data: not any(data), until="eof")
        sent = net.run(one, serve)
    assert sent is not None
    assert 0 < sent < 20_000_000


@needs_sendfile
def test_a_short_sendfile_whose_rest_is_never_sent_is_found() -> None:
    def serve(conn: socket.socket) -> None:
        conn.setblocking(False)
        with temporary_file(b"x" * 100_000) as file:
            os.sendfile(conn.fileno(), file.fileno(), 0, 100_000)

    with pytest.raises(ScenarioError, match=r"\[short-send-lost\] alice took 65536 of 100000 bytes"):
        with Scenario() as net:
            net.client("alice").expects(b"x" * 65_536).closes()
            net.run(one, serve)


@needs_sendfile
def test_a_file_is_not_sent_to_whoever_is_gone() -> None:
    def serve(conn: socket.socket) -> None:
        with temporary_file(b"0123456789") as file:
            conn.recv(1)
            with pytest.raises(ConnectionResetError):
                conn.recv(1)
            with pytest.raises(BrokenPipeError):
                os.sendfile(conn.fileno(), file.fileno(), 0, 10)

    with Scenario() as net:
        net.client("alice").sends(b"x").resets()
        net.run(one, serve)

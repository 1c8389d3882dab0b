"""How a socket ends in a scenario: shut down, closed, reset, dropped, or left when the scenario is over."""

from __future__ import annotations

import errno
import gc
import socket
import struct
import time
from socket import SOL_SOCKET
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import ScenarioError
from scenario_sockets import LINGER_NOT, accept, error_of, look, own_pair, scenario

if TYPE_CHECKING:
    from collections.abc import Callable


# -- ending ----------------------------------------------------------------------------------------


def test_shut_down_for_writing_is_the_end_for_the_peer_and_reading_goes_on() -> None:
    with scenario() as net:
        net.client().expects_eof().sends(b"bye").closes()
        conn = accept()
        conn.shutdown(socket.SHUT_WR)
        assert (errno.EPIPE, b"bye", b"") == (error_of(conn.send, b"x"), conn.recv(9), conn.recv(9))


def test_shut_down_for_reading_is_an_end_at_once_and_what_comes_later_is_read_even_so() -> None:
    with scenario("read-past-eof") as net:
        net.client().waits(1).sends(b"hi")
        conn = accept()
        conn.shutdown(socket.SHUT_RD)
        assert b"" == conn.recv(9)
        time.sleep(1)
        assert (b"hi", b"") == (conn.recv(9), conn.recv(9))


def test_shut_down_for_both_keeps_what_has_come() -> None:
    with scenario() as net:
        net.client().sends(b"hi").expects_eof().closes()
        conn = accept()
        look(net)
        conn.shutdown(socket.SHUT_RDWR)
        assert (b"hi", b"") == (conn.recv(9), conn.recv(9))


def test_what_is_sent_to_a_socket_that_is_shut_down_for_both_resets_the_connection() -> None:
    with scenario():
        near, far = own_pair()
        far.shutdown(socket.SHUT_RDWR)
        assert (1, errno.EPIPE) == (near.send(b"x"), error_of(near.send, b"x"))


def test_a_socket_that_is_shut_down_for_both_still_knows_its_peer() -> None:
    with scenario() as net:
        net.client().waits(1).closes()
        conn = accept()
        conn.shutdown(socket.SHUT_RDWR)
        assert b"" == conn.recv(9)
        assert ("127.0.0.1", 50001) == conn.getpeername()


def test_a_second_shutdown_is_nothing_while_the_peer_is_there() -> None:
    with scenario() as net:
        net.client().expects_eof().waits(1).closes()
        conn = accept()
        conn.shutdown(socket.SHUT_WR)
        conn.shutdown(socket.SHUT_WR)
        assert b"" == conn.recv(9)


def test_a_shutdown_after_both_ends_are_through_is_refused() -> None:
    with scenario() as net:
        net.client().closes()
        conn = accept()
        look(net)
        conn.shutdown(socket.SHUT_WR)
        assert errno.ENOTCONN == error_of(conn.shutdown, socket.SHUT_RDWR)


@pytest.mark.parametrize("how", [-1, 3, 9])
def test_shutdown_takes_one_of_three(how: int) -> None:
    with scenario() as net:
        net.client()
        assert errno.EINVAL == error_of(accept().shutdown, how)


def test_closing_with_unread_data_resets_the_connection() -> None:
    with scenario():
        near, far = own_pair()
        near.sendall(b"hi")
        far.close()
        assert errno.ECONNRESET == error_of(near.recv, 9)


def test_lingering_for_no_time_resets_the_connection() -> None:
    with scenario():
        near, far = own_pair()
        far.setsockopt(SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        far.close()
        assert errno.ECONNRESET == error_of(near.recv, 9)


def test_a_peer_that_shuts_down_after_a_reset_does_nothing() -> None:
    with scenario() as net:
        net.client().waits(1).shuts_down()
        conn = accept()
        conn.setsockopt(SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        conn.close()
        time.sleep(1)
        assert net.now == 1.0


@pytest.mark.parametrize("linger", [struct.pack("ii", 1, 5), struct.pack("ii", 0, 0)])
def test_lingering_for_a_while_or_not_at_all_does_not(linger: bytes) -> None:
    with scenario():
        near, far = own_pair()
        far.setsockopt(SOL_SOCKET, socket.SO_LINGER, linger)
        far.close()
        assert b"" == near.recv(9)


def test_a_closed_socket_refuses_everything() -> None:
    with scenario():
        sock = socket.socket()
        sock.close()
        sock.close()
        calls: list[Callable[[], object]] = [
            lambda: sock.recv(1),
            lambda: sock.send(b"x"),
            lambda: sock.accept(),
            lambda: sock.listen(),
            lambda: sock.bind(("", 1)),
            lambda: sock.connect(("", 1)),
            lambda: sock.shutdown(2),
            lambda: sock.getsockname(),
            lambda: sock.getpeername(),
            lambda: sock.setblocking(False),
            lambda: sock.getsockopt(1, 2),
        ]
        assert [errno.EBADF] * len(calls) == [error_of(call) for call in calls]


def test_a_socket_that_is_dropped_is_closed_and_the_trace_says_so() -> None:
    with scenario() as net:
        net.client("alice").expects_eof()
        conn = accept()
        del conn
        gc.collect()
        assert "alice.close() (dropped: nothing refers to it any more)" == str(net.trace[-1])


def test_what_is_wrong_with_a_drop_is_remembered() -> None:
    with pytest.raises(ScenarioError, match=r"^\[close-before-unregister\] alice "):
        with scenario(pedantic=True) as net:
            net.client("alice")
            conn = accept()
            selector = net.selector()
            selector.register(conn.fileno(), 1)
            del conn
            gc.collect()


# -- when the scenario is over ---------------------------------------------------------------------


def test_a_socket_that_outlives_its_scenario_is_dropped_in_silence() -> None:
    with scenario() as net:
        sock = socket.socket()
    rows = len(net.trace)
    del sock
    assert rows == len(net.trace)


def listens(sock: socket.socket) -> None:
    sock.listen()


def shuts_down(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("late", [listens, shuts_down])
def test_when_the_scenario_is_over_a_socket_does_nothing_more(late: Callable[[socket.socket], object]) -> None:
    with scenario() as net:
        net.client()
        sock = accept()
    with pytest.raises(OSError, match="belongs to a scenario that is over") as caught:
        late(sock)
    assert caught.value.errno == errno.EBADF
    sock.close()


def test_a_selector_of_an_earlier_scenario_is_told_as_such() -> None:
    with scenario() as net:
        kept = net.selector()
    with pytest.raises(NotImplementedError, match="belongs to an earlier scenario"), scenario():
        kept.select(0)


def test_what_is_not_simulated_is_refused_when_the_scenario_is_over_as_well() -> None:
    with scenario() as net:
        net.client()
        sock: Any = accept()
    with pytest.raises(NotImplementedError, match="sendmsg_afalg"):
        sock.sendmsg_afalg(op=1)

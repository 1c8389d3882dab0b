"""What a socket says of itself in a scenario: its number, its options, and all that a real one has."""

from __future__ import annotations

import errno
import inspect
import os
import socket
import struct
from socket import AF_INET6, SOL_SOCKET

import pytest

from mockselector._methods import Shell
from mockselector._simulated.sockets import SimSocket
from scenario_sockets import accept, error_of, forget, scenario

FIRST = 2**30


# -- numbers ---------------------------------------------------------------------------------------


def test_the_lowest_number_that_is_free_is_given_first() -> None:
    with scenario():
        socks = [socket.socket() for _ in range(3)]
        numbers = [sock.fileno() for sock in socks]
        socks[1].close()
        socks[0].close()
        again = [socket.socket() for _ in range(3)]
        assert ([FIRST, FIRST + 1, FIRST + 2], [FIRST, FIRST + 1, FIRST + 3]) == (
            numbers,
            [sock.fileno() for sock in again],
        )


def test_a_closed_socket_has_no_number() -> None:
    with scenario():
        with socket.socket() as sock:
            pass
        assert -1 == sock.fileno()


def test_a_number_that_is_given_away_can_be_taken_up_again() -> None:
    with scenario() as net:
        net.client().sends(b"hi")
        conn = accept()
        number = conn.detach()
        assert (-1, b"hi") == (conn.fileno(), socket.socket(fileno=number).recv(9))


@pytest.mark.parametrize("kind", ["new", "listening"])
def test_so_can_any_other_socket(kind: str) -> None:
    with scenario() as net:
        net.client()
        sock = socket.create_server(("localhost", 8888)) if kind == "listening" else socket.socket()
        taken = socket.socket(fileno=sock.detach())
        if kind == "new":
            taken.bind(("localhost", 8888))
            taken.listen()
        assert ("127.0.0.1", 50001) == taken.accept()[1]


def test_a_socket_that_is_given_away_refuses_everything_but_a_close() -> None:
    with scenario():
        sock = socket.socket()
        number = sock.detach()
        sock.close()
        assert (FIRST, -1, errno.EBADF) == (number, sock.detach(), error_of(sock.listen))


def test_a_dropped_socket_that_was_given_away_is_not_closed() -> None:
    with scenario():
        sock = socket.socket()
        number = sock.detach()
        del sock
        assert number == socket.socket(fileno=number).fileno()


def test_a_closed_detached_socket_has_no_number_to_give() -> None:
    with scenario():
        sock = socket.socket()
        sock.close()
        assert -1 == sock.detach()


def test_a_second_descriptor_is_refused_aloud() -> None:
    with scenario() as net:
        with pytest.raises(NotImplementedError, match=r"^dup\(\) is not simulated; pass the socket itself on$"):
            socket.socket().dup()
        forget(net)


def test_the_number_of_a_socket_that_is_connected_to_nothing_can_be_closed() -> None:
    with scenario():
        sock = socket.socket()
        os.close(sock.fileno())
        assert errno.EBADF == error_of(sock.listen)
        sock.detach()


# -- what a socket says of itself ------------------------------------------------------------------


def test_its_name_and_number_are_shown() -> None:
    with scenario() as net:
        net.client("alice")
        conn = accept()
        assert f"<socket.socket 'alice' fd={FIRST + 1}>" == repr(conn)
        conn.close()
        assert "<socket.socket 'alice' [closed] fd=-1>" == repr(conn)


def test_a_socket_equals_itself_alone() -> None:
    with scenario():
        first, second = socket.socket(), socket.socket()
        assert (True, False, 2) == (first == first, first == second, len({first, second, first}))


def test_sockets_hash_in_the_order_of_their_making() -> None:
    with scenario():
        first, second = socket.socket(), socket.socket()
        assert 1 == hash(second) - hash(first)


def test_family_type_and_protocol_are_told() -> None:
    with scenario():
        sock = socket.socket(AF_INET6, socket.SOCK_STREAM, 6)
        assert (AF_INET6, socket.SOCK_STREAM, 6) == (sock.family, sock.type, sock.proto)


@pytest.mark.skipif(not hasattr(socket, "SOCK_NONBLOCK"), reason="there is no SOCK_NONBLOCK")
def test_a_socket_may_be_made_non_blocking() -> None:
    with scenario():
        sock = socket.socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        assert (0.0, socket.SOCK_STREAM) == (sock.gettimeout(), sock.type)


def test_options_are_remembered() -> None:
    with scenario():
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert (1, b"\1\0") == (
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 2),
        )


def test_to_be_readable_by_several_bytes_only_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="^SO_RCVLOWAT is not simulated"), scenario():
        sock = socket.socket()
        sock.setsockopt(SOL_SOCKET, socket.SO_RCVLOWAT, 1)  # as it is from the start
        sock.setsockopt(SOL_SOCKET, socket.SO_RCVLOWAT, 2)


@pytest.mark.parametrize("name", ["SO_RCVTIMEO", "SO_SNDTIMEO"])
def test_time_outs_of_the_kernel_are_refused(name: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"^{name} is not simulated: settimeout\(\) lets"), scenario():
        sock = socket.socket()
        sock.setsockopt(SOL_SOCKET, getattr(socket, name), struct.pack("ll", 0, 0))  # as it is from the start
        sock.setsockopt(SOL_SOCKET, getattr(socket, name), struct.pack("ll", 1, 0))


def test_the_type_and_the_buffers_have_values_from_the_start() -> None:
    with scenario(buffer=1234):
        sock = socket.socket()
        options = (socket.SO_TYPE, socket.SO_SNDBUF, socket.SO_RCVBUF)
        assert [socket.SOCK_STREAM, 1234, 1234] == [sock.getsockopt(SOL_SOCKET, option) for option in options]


def test_a_buffer_that_was_set_is_told() -> None:
    with scenario():
        sock = socket.socket()
        sock.setsockopt(SOL_SOCKET, socket.SO_SNDBUF, 99)
        assert 99 == sock.getsockopt(SOL_SOCKET, socket.SO_SNDBUF)


def test_whether_it_listens_is_told() -> None:
    with scenario():
        listener = socket.create_server(("localhost", 8888))
        assert (1, 0) == tuple(
            sock.getsockopt(SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in (listener, socket.socket())
        )


def test_the_timeout_is_told_in_three_ways() -> None:
    with scenario():
        sock = socket.socket()
        told: list[tuple[float | None, float | None, bool]] = []
        for value in (None, 0, 2.5):
            sock.settimeout(value)
            told.append((sock.timeout, sock.gettimeout(), sock.getblocking()))
        assert [(None, None, True), (0, 0, False), (2.5, 2.5, True)] == told


# -- the whole surface -----------------------------------------------------------------------------


PUBLIC = [name for name in dir(socket.socket) if not name.startswith("_")]


@pytest.mark.parametrize("name", PUBLIC)
def test_no_public_name_falls_through_to_the_real_socket(name: str) -> None:
    kinds = [kind for kind in SimSocket.__mro__ if kind.__module__.startswith("mockselector")]
    assert any(name in vars(kind) for kind in kinds)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_call_that_the_real_socket_takes_is_taken(name: str) -> None:
    real = getattr(socket.socket, name)
    if not inspect.isfunction(real):
        return  # C methods and properties do not tell their signature
    assert list(inspect.signature(real).parameters) == list(inspect.signature(getattr(SimSocket, name)).parameters)


def test_what_is_for_another_kind_of_socket_is_refused_aloud() -> None:
    with scenario() as net:
        with pytest.raises(NotImplementedError, match=r"^sendmsg_afalg\(\) is for AF_ALG sockets"):
            socket.socket().sendmsg_afalg(op=1)
        forget(net)


def test_a_kind_of_socket_that_says_nothing_refuses_aloud() -> None:
    sock = Shell.__new__(Shell)
    with pytest.raises(NotImplementedError, match="^what$"):
        sock._refuse("what")


def test_it_cannot_be_pickled_as_a_real_one_cannot() -> None:
    import pickle

    with scenario():
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(socket.socket())

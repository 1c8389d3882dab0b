"""Connecting in a scenario as Linux shows it: to a backend, to nobody, and of the program to itself."""

from __future__ import annotations

import errno
import socket
from socket import AF_INET6, SO_ERROR, SOL_SOCKET
from typing import TYPE_CHECKING

import pytest

from mockselector import Scenario, ScenarioError
from scenario_sockets import error_of, forget, look, own_pair, scenario

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_blocking_connect_takes_as_long_as_the_backend_says() -> None:
    with scenario() as net:
        net.backend(("db", 5432), delay=2)
        conn = socket.create_connection(("db", 5432))
        assert (2.0, ("198.18.0.1", 5432)) == (net.now, conn.getpeername())


def test_a_connect_with_a_timeout_gives_up_in_time() -> None:
    with scenario() as net:
        net.backend(("db", 5432), delay=20)
        with pytest.raises(TimeoutError, match="^timed out$"):
            socket.create_connection(("db", 5432), timeout=3)
        assert 3.0 == net.now


def test_a_backend_that_nobody_answers_for_times_out_as_the_kernel_does() -> None:
    with scenario() as net:
        net.backend(("db", 5432), delay=None)
        with pytest.raises(TimeoutError, match="timed out") as caught:
            socket.create_connection(("db", 5432))
        assert (errno.ETIMEDOUT, 127.0) == (caught.value.errno, net.now)


def test_a_connection_that_is_refused_is_refused() -> None:
    with scenario() as net:
        net.backend(("db", 5432), refuses=True)
        with pytest.raises(ConnectionRefusedError, match="Connection refused"):
            socket.create_connection(("db", 5432))


def test_what_reads_and_sends_after_a_refusal() -> None:
    with scenario() as net:
        net.backend(("db", 5432), refuses=True)
        sock = socket.socket()
        assert errno.ECONNREFUSED == sock.connect_ex(("db", 5432))
        assert (errno.ENOTCONN, errno.EPIPE) == (error_of(sock.recv, 9), error_of(sock.send, b"x"))


def connecting(net: Scenario, *, refuses: bool = False, delay: float = 1) -> socket.socket:
    """A connection that is under way."""
    net.backend(("db", 5432), refuses=refuses, delay=delay)
    sock = socket.socket()
    sock.setblocking(False)
    assert errno.EINPROGRESS == sock.connect_ex(("db", 5432))
    return sock


def wait_for_room(net: Scenario, sock: socket.socket) -> None:
    """As a program waits for a connection to be made."""
    import selectors

    with net.selector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        assert [selectors.EVENT_WRITE] == [mask for _, mask in selector.select()]
        selector.unregister(sock)


def test_a_connection_under_way_is_told_by_einprogress_then_ealready() -> None:
    with scenario() as net:
        sock = connecting(net)
        assert (errno.EALREADY, errno.EAGAIN, errno.EAGAIN, errno.ENOTCONN) == (
            sock.connect_ex(("db", 5432)),
            error_of(sock.recv, 9),
            error_of(sock.send, b"x"),
            error_of(sock.getpeername),
        )
        wait_for_room(net, sock)


def test_einprogress_is_a_blocking_io_error() -> None:
    with scenario() as net:
        net.backend(("db", 5432))
        sock = socket.socket()
        sock.setblocking(False)
        with pytest.raises(BlockingIOError, match="in progress"):
            sock.connect(("db", 5432))
        wait_for_room(net, sock)


def test_a_connection_that_is_made_is_writable_and_has_no_error() -> None:
    with scenario() as net:
        sock = connecting(net)
        wait_for_room(net, sock)
        assert (0, 1.0) == (sock.getsockopt(SOL_SOCKET, SO_ERROR), net.now)


def test_the_first_connect_after_that_says_so_and_the_second_that_it_is_connected() -> None:
    with scenario() as net:
        sock = connecting(net)
        wait_for_room(net, sock)
        assert [0, errno.EISCONN] == [sock.connect_ex(("db", 5432)) for _ in range(2)]


def test_a_connection_that_is_refused_is_writable_and_tells_its_error_once() -> None:
    with scenario() as net:
        sock = connecting(net, refuses=True)
        wait_for_room(net, sock)
        assert [errno.ECONNREFUSED, 0] == [sock.getsockopt(SOL_SOCKET, SO_ERROR) for _ in range(2)]


CALLS: dict[str, Callable[[socket.socket], object]] = {
    "recv": lambda sock: sock.recv(9),
    "send": lambda sock: sock.send(b"x"),
    "connect": lambda sock: sock.connect(("db", 5432)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_any_call_may_tell_that_error(call: Callable[[socket.socket], object]) -> None:
    with scenario() as net:
        sock = connecting(net, refuses=True)
        wait_for_room(net, sock)
        assert (errno.ECONNREFUSED, 0) == (error_of(call, sock), sock.getsockopt(SOL_SOCKET, SO_ERROR))


BLOCKING_CALLS: dict[str, Callable[[socket.socket], object]] = {
    "recv": lambda sock: len(sock.recv(1)),
    "send": lambda sock: sock.send(b"x"),
    "connect": lambda sock: sock.connect_ex(("db", 5432)) + 1,
}


@pytest.mark.parametrize("call", BLOCKING_CALLS.values(), ids=BLOCKING_CALLS)
def test_a_call_that_blocks_waits_for_the_connection_first(call: Callable[[socket.socket], object]) -> None:
    with scenario() as net:
        net.backend(("db", 5432), delay=1).sends(b"hi")
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("db", 5432))
        sock.setblocking(True)
        assert (call(sock), net.now) == (1, 1.0)


def test_a_read_that_waits_for_the_connection_reads_as_much_as_was_asked_for() -> None:
    with scenario() as net:
        net.backend(("db", 1), delay=1).sends(b"hello")
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("db", 1))
        sock.setblocking(True)
        assert b"hello" == sock.recv(9)


def test_a_socket_that_is_bound_connects_from_there() -> None:
    with scenario() as net:
        net.backend(("db", 5432))
        sock = socket.create_connection(("db", 5432), source_address=("127.0.0.1", 4444))
        assert ("127.0.0.1", 4444) == sock.getsockname()


def test_a_socket_that_is_not_bound_is_given_an_address() -> None:
    with scenario() as net:
        net.backend(("db", 5432))
        assert ("127.0.0.1", 50001) == socket.create_connection(("db", 5432)).getsockname()


def test_a_connected_socket_takes_no_other_address() -> None:
    with scenario() as net:
        net.backend(("db", 5432))
        sock = socket.create_connection(("db", 5432))
        assert (errno.EISCONN, errno.EINVAL) == (sock.connect_ex(("db", 5432)), error_of(sock.bind, ("", 1)))


def test_an_ipv6_backend_is_reached_by_its_number() -> None:
    with scenario() as net:
        net.backend(("2001:db8::1", 5432)).sends(b"hi")
        assert b"hi" == socket.create_connection(("2001:db8::1", 5432)).recv(9)


def test_a_backend_is_there_for_one_connection() -> None:
    with scenario() as net:
        net.backend(("db", 5432))
        keep = socket.create_connection(("db", 5432))
        with pytest.raises(
            ScenarioError, match=r"^\[.+?\] the program connects to \('db', 5432\), where .* no more backends"
        ):
            socket.create_connection(("db", 5432))
        keep.close()
        forget(net)


def test_where_the_scenario_has_no_backend_may_be_refused() -> None:
    with scenario("unscripted-connection"):
        with pytest.raises(ConnectionRefusedError, match="Connection refused"):
            socket.create_connection(("127.0.0.1", 5432))


def test_a_non_blocking_connect_is_refused_later_there_too() -> None:
    with scenario("unscripted-connection"):
        sock = socket.socket()
        sock.setblocking(False)
        assert errno.EINPROGRESS == sock.connect_ex(("127.0.0.1", 5432))


def test_a_refused_connection_without_a_backend_is_in_the_trace() -> None:
    with scenario("unscripted-connection") as net:
        sock = socket.socket()
        sock.connect_ex(("127.0.0.1", 5432))
        assert "connection.connect() raises ConnectionRefusedError" in str(net.trace)


def test_an_attempt_may_be_closed_before_it_comes_to_anything() -> None:
    with scenario() as net:
        sock = connecting(net)
        sock.close()
        look(net)
        assert -1 == sock.fileno()


def test_connect_ex_raises_what_has_no_number() -> None:
    with scenario():
        with pytest.raises(TypeError, match=r"^connect\(\): AF_INET address must be tuple, not int$"):
            socket.socket().connect_ex(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_connect_ex_tells_a_time_out_as_eagain() -> None:
    with scenario() as net:
        net.backend(("db", 5432), delay=20)
        sock = socket.socket()
        sock.settimeout(3)
        assert errno.EAGAIN == sock.connect_ex(("db", 5432))


def test_the_programs_own_connection_to_its_own_listener() -> None:
    with scenario():
        near, far = own_pair()
        near.sendall(b"hi")
        far.sendall(b"yo")
        assert (b"hi", b"yo") == (far.recv(9), near.recv(9))


def test_its_two_ends_have_each_others_addresses() -> None:
    with scenario():
        near, far = own_pair()
        assert (near.getsockname(), near.getpeername()) == (far.getpeername(), far.getsockname())


def test_such_a_connection_that_does_not_block_is_there_at_once() -> None:
    with scenario():
        listener = socket.create_server(("localhost", 8888))
        sock = socket.socket()
        sock.setblocking(False)
        assert [errno.EINPROGRESS, 0, errno.EISCONN] == [sock.connect_ex(("localhost", 8888)) for _ in range(3)]
        listener.accept()


def test_such_a_connection_may_be_bound_before() -> None:
    with scenario():
        listener = socket.create_server(("localhost", 8888))
        keep = socket.create_connection(("localhost", 8888), source_address=("127.0.0.1", 4444))
        assert ("127.0.0.1", 4444) == listener.accept()[1]
        keep.close()


def test_such_a_connection_does_not_fit_into_a_full_backlog() -> None:
    with scenario():
        listener = socket.create_server(("127.0.0.1", 8888), backlog=0)
        keep = socket.create_connection(("127.0.0.1", 8888))
        with pytest.raises(TimeoutError, match="^timed out$"):
            socket.create_connection(("127.0.0.1", 8888), timeout=3)
        listener.accept()
        keep.close()


def test_only_the_first_address_has_the_canonical_name() -> None:
    with scenario():
        found = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
        assert ["localhost", ""] == [one[3] for one in found]


def test_at_the_port_of_the_program_in_the_other_family_nobody_is() -> None:
    with scenario():
        with socket.create_server(("127.0.0.1", 8888)), socket.socket(AF_INET6) as sock:
            assert errno.ECONNREFUSED == error_of(sock.connect, ("::1", 8888))


def test_a_refusal_is_there_at_once_and_the_next_call_connects() -> None:
    with scenario("unscripted-connection"):
        with socket.socket() as listener, socket.socket() as conn:
            listener.bind(("127.0.0.1", 0))  # and does not listen yet
            conn.setblocking(False)
            came = [conn.connect_ex(listener.getsockname())]
            listener.listen()
            came += [conn.connect_ex(listener.getsockname()) for _ in range(4)]
    assert [errno.EINPROGRESS, errno.ECONNREFUSED, errno.EINPROGRESS, 0, errno.EISCONN] == came

"""What a program sees of its sockets in a scenario: as Linux shows them, over a network that is not there."""

from __future__ import annotations

import errno
import gc
import inspect
import io
import os
import socket
import struct
import time
from contextlib import contextmanager
from socket import AF_INET6, MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL, SO_ERROR, SOL_SOCKET
from typing import TYPE_CHECKING, Any, Literal

import pytest

from mockselector import Scenario, ScenarioError
from mockselector._methods import Shell
from mockselector._simulated.sockets import SimSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from mockselector import Peer, RuleId

AF_UNIX = getattr(socket, "AF_UNIX", None)  # not on Windows
on_unix = pytest.mark.skipif(AF_UNIX is None, reason="there is no AF_UNIX")

AT_THE_END: tuple[RuleId, ...] = (
    "leaked-connection",
    "unread-data",
    "unaccepted-connection",
    "unmet-expectation",
)
FIRST = 2**30
LINGER_NOT = struct.pack("ii", 1, 0)


@contextmanager
def scenario(*allow: RuleId, buffer: int = 65536, pedantic: bool = False) -> Generator[Scenario]:
    """A scenario whose sockets the test itself handles, as the server would; what is left over is not its subject."""
    with Scenario(allow=[*AT_THE_END, *allow], buffer=buffer, pedantic=pedantic) as net, net.installed():
        yield net


def accept(timeout: float | None = None) -> socket.socket:
    """The next client, of a listener that then closes."""
    with socket.create_server(("localhost", 8888)) as listener:
        conn = listener.accept()[0]
    conn.settimeout(timeout)
    return conn


def own_pair(timeout: float | None = None) -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection of the program with itself."""
    with socket.create_server(("localhost", 8888)) as listener:
        near = socket.create_connection(("localhost", 8888))
        far = listener.accept()[0]
    near.settimeout(timeout)
    far.settimeout(timeout)
    return near, far


def error_of(call: Callable[..., object], *args: object) -> int | None:
    """The number of the OSError that a call raises."""
    with pytest.raises(OSError) as caught:
        call(*args)
    return caught.value.errno


def forget(net: Scenario) -> None:
    """What was refused aloud is not to be told once more at the end."""
    net._world.monitor.violation = None


def look(net: Scenario) -> None:
    """Let the peers act, as a poll does."""
    net.selector().select(0)


# -- listening ----------------------------------------------------------------------------------


def test_bind_and_listen_let_a_client_in() -> None:
    with scenario() as net:
        net.client(to=8888)
        listener = socket.socket()
        listener.bind(("", 8888))
        listener.listen()
        assert ("127.0.0.1", 50001) == listener.accept()[1]


def test_each_of_several_listeners_gets_the_clients_that_go_to_it() -> None:
    with scenario() as net:
        net.client("alice", to=8889).sends(b"a")
        net.client("bob", to=("localhost", 8888)).sends(b"b")
        first, second = (socket.create_server(("localhost", port)) for port in (8888, 8889))
        assert (b"b", b"a") == (first.accept()[0].recv(9), second.accept()[0].recv(9))


def test_a_client_without_an_address_goes_to_who_began_to_listen_first() -> None:
    with scenario() as net:
        net.client("alice")
        first, second = (socket.create_server(("localhost", port)) for port in (8889, 8888))
        assert errno.EAGAIN == error_of_accept(net, second)
        assert first.accept()[1]


def error_of_accept(net: Scenario, listener: socket.socket) -> int | None:
    look(net)
    listener.setblocking(False)
    return error_of(listener.accept)


def test_a_client_comes_from_the_address_that_the_scenario_gives_it() -> None:
    with scenario() as net:
        net.client(address=("203.0.113.5", 1234))
        conn, address = socket.create_server(("localhost", 8888)).accept()
        assert ("203.0.113.5", 1234) == address == conn.getpeername()


def test_an_accepted_socket_has_the_address_that_its_client_went_to() -> None:
    with scenario() as net:
        net.client()
        listener = socket.create_server(("", 8888))
        assert (("0.0.0.0", 8888), ("127.0.0.1", 8888)) == (
            listener.getsockname(),
            listener.accept()[0].getsockname(),
        )


def test_port_0_is_a_free_port() -> None:
    with scenario():
        ports = {socket.create_server(("localhost", 0)).getsockname()[1] for _ in range(3)}
        assert 3 == len(ports - {0})


def test_listen_without_bind_takes_a_free_port() -> None:
    with scenario():
        listener = socket.socket()
        listener.listen()
        host, port = listener.getsockname()
        assert ("0.0.0.0", True) == (host, port > 0)


def test_an_unbound_socket_has_no_address() -> None:
    with scenario():
        assert (("0.0.0.0", 0), ("::", 0, 0, 0)) == (
            socket.socket().getsockname(),
            socket.socket(AF_INET6).getsockname(),
        )


@pytest.mark.parametrize(
    ("first", "second"),
    [("localhost", "localhost"), ("localhost", ""), ("", "localhost"), ("0.0.0.0", "127.0.0.1")],
)
def test_a_port_is_taken_once(first: str, second: str) -> None:
    with scenario():
        keep = socket.create_server((first, 8888))
        assert errno.EADDRINUSE == error_of(socket.create_server, (second, 8888))
        keep.close()


def test_another_address_of_the_machine_has_ports_of_its_own() -> None:
    with scenario():
        keep = socket.create_server(("127.0.0.1", 8888))
        assert ("127.0.0.2", 8888) == socket.create_server(("127.0.0.2", 8888)).getsockname()
        keep.close()


def test_two_sockets_that_reuse_an_address_may_be_bound_to_it_while_none_listens() -> None:
    with scenario():
        first, second = socket.socket(), socket.socket()
        for sock in (first, second):
            sock.setsockopt(SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("localhost", 8888))
        first.listen()
        assert errno.EADDRINUSE == error_of(second.listen)


def test_reusing_an_address_can_be_taken_back() -> None:
    with scenario():
        keep = socket.create_server(("localhost", 8888))
        sock = socket.socket()
        for value in (1, 0):
            sock.setsockopt(SOL_SOCKET, socket.SO_REUSEADDR, value)
        assert errno.EADDRINUSE == error_of(sock.bind, ("localhost", 8888))
        keep.close()


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="there is no SO_REUSEPORT")
def test_two_listeners_may_share_a_port() -> None:
    with scenario():
        addresses = {
            socket.create_server(("localhost", 8888), reuse_port=True).getsockname() for _ in ("first", "second")
        }
        assert {("127.0.0.1", 8888)} == addresses


def test_a_listener_that_was_closed_leaves_its_port_free() -> None:
    with scenario():
        for _ in range(2):
            with socket.socket() as listener:
                listener.bind(("localhost", 8888))
                listener.listen()
                assert ("127.0.0.1", 8888) == listener.getsockname()


def closed_first(*, reset: bool = False) -> None:
    """A server that closes its connection before its client does."""
    with socket.create_server(("localhost", 8888)) as listener:
        conn = listener.accept()[0]
        if reset:
            conn.setsockopt(SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        conn.close()


def test_a_port_stays_in_use_after_an_active_close() -> None:
    with scenario() as net:
        net.client().expects_eof().closes()
        closed_first()
        with socket.socket() as listener:
            assert errno.EADDRINUSE == error_of(listener.bind, ("localhost", 8888))


def test_it_can_be_reused_with_the_option() -> None:
    with scenario() as net:
        net.client().expects_eof().closes()
        closed_first()
        assert ("127.0.0.1", 8888) == socket.create_server(("localhost", 8888)).getsockname()


def test_it_is_free_a_minute_later() -> None:
    with scenario() as net:
        net.client().expects_eof().waits(100).closes()
        closed_first()
        time.sleep(60)
        with socket.socket() as listener:
            listener.bind(("localhost", 8888))
            assert ("127.0.0.1", 8888) == listener.getsockname()


def test_a_port_is_free_at_once_if_the_client_closes_first_or_the_connection_was_reset() -> None:
    with scenario() as net:
        net.client().closes()
        conn = accept()
        assert conn.recv(9) == b""
        conn.close()
        net.client()
        closed_first(reset=True)
        with socket.socket() as listener:
            listener.bind(("localhost", 8888))
            assert ("127.0.0.1", 8888) == listener.getsockname()


def test_ipv6_has_addresses_of_four_parts() -> None:
    with scenario() as net:
        net.client(to=8888)
        listener = socket.create_server(("::1", 8888), family=AF_INET6)
        conn, address = listener.accept()
        assert (("::1", 50001, 0, 0), ("::1", 8888, 0, 0)) == (address, conn.getsockname())


def test_a_dual_stack_listener_is_reached_by_either_family() -> None:
    with scenario() as net:
        net.client(to=("127.0.0.1", 8888))
        net.client(to=("::1", 8888))
        net.client(to=("localhost", 8888))
        listener = socket.create_server(("", 8888), family=AF_INET6, dualstack_ipv6=True)
        assert 3 == len({listener.accept()[1] for _ in range(3)})


def test_a_client_of_the_other_family_has_a_mapped_address() -> None:
    with scenario() as net:
        net.client(to=("127.0.0.1", 8888))
        listener = socket.create_server(("", 8888), family=AF_INET6, dualstack_ipv6=True)
        assert "::ffff:127.0.0.1" == listener.accept()[1][0]


def test_the_same_port_may_be_served_for_each_family() -> None:
    with scenario():
        keep = socket.create_server(("", 8888))
        assert ("::", 8888, 0, 0) == socket.create_server(("", 8888), family=AF_INET6).getsockname()
        keep.close()


@pytest.mark.parametrize(
    ("address", "error", "text"),
    [
        (5, TypeError, r"^bind\(\): AF_INET address must be tuple, not int$"),
        (("x",), TypeError, r"^AF_INET address must be a pair \(host, port\)$"),
        (
            ("x", "80"),
            TypeError,
            r"^'str' object cannot be interpreted as an integer$",
        ),
        (("", 65536), OverflowError, r"^bind\(\): port must be 0-65535\.$"),
        (("nowhere", 80), socket.gaierror, "Name or service not known"),
        (("::1", 80), socket.gaierror, "Address family for hostname not supported"),
    ],
)
def test_a_bad_address_is_refused_as_production_does(address: Any, error: type[Exception], text: str) -> None:
    with scenario():
        with pytest.raises(error, match=text):
            socket.socket().bind(address)


def test_an_ipv4_address_is_none_of_an_ipv6_socket() -> None:
    with scenario():
        with pytest.raises(socket.gaierror, match="Address family for hostname not supported"):
            socket.socket(AF_INET6).bind(("127.0.0.1", 8888))


def test_an_ipv6_address_may_have_flow_and_scope() -> None:
    with scenario():
        sock = socket.socket(AF_INET6)
        sock.bind(("::1", 8888, 7, 0))
        assert ("::1", 8888, 7, 0) == sock.getsockname()


def test_a_bind_that_is_refused_can_be_tried_again() -> None:
    with scenario():
        keep = socket.create_server(("localhost", 8888))
        sock = socket.socket()
        assert errno.EADDRINUSE == error_of(sock.bind, ("localhost", 8888))
        sock.bind(("localhost", 8889))
        assert (("127.0.0.1", 8889), errno.EINVAL) == (sock.getsockname(), error_of(sock.bind, ("localhost", 8890)))
        keep.close()


# -- AF_UNIX ------------------------------------------------------------------------------------


def unix_socket() -> socket.socket:
    assert AF_UNIX is not None
    return socket.socket(AF_UNIX)


def unix_listener(path: str | bytes) -> socket.socket:
    listener = unix_socket()
    listener.bind(path)
    listener.listen()
    return listener


@on_unix
def test_a_path_is_a_file_as_long_as_the_scenario_lasts(tmp_path: Path) -> None:
    path = str(tmp_path / "server.sock")
    with scenario():
        unix_listener(path)
        assert os.path.exists(path)
    assert not os.path.exists(path)


@on_unix
def test_a_file_that_the_server_removes_is_gone(tmp_path: Path) -> None:
    path = str(tmp_path / "server.sock")
    with scenario():
        unix_listener(path).close()
        os.unlink(path)
        assert path == unix_listener(path).getsockname()
        os.unlink(path)
    assert not os.path.exists(path)


@on_unix
def test_a_file_that_is_no_socket_any_more_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    with scenario():
        unix_listener(str(path))
        path.unlink()
        path.write_text("mine")
    assert "mine" == path.read_text()


@on_unix
def test_a_path_that_exists_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    path.touch()
    with scenario():
        assert errno.EADDRINUSE == error_of(unix_socket().bind, str(path))


@on_unix
def test_a_path_in_no_directory_is_refused(tmp_path: Path) -> None:
    with scenario():
        assert errno.ENOENT == error_of(unix_socket().bind, str(tmp_path / "no" / "server.sock"))


@on_unix
def test_a_path_may_be_given_as_bytes(tmp_path: Path) -> None:
    path = str(tmp_path / "server.sock")
    with scenario() as net:
        net.client(to=path).sends(b"hi")
        assert b"hi" == unix_listener(path.encode()).accept()[0].recv(9)


@on_unix
def test_anything_else_is_no_path() -> None:
    with scenario():
        with pytest.raises(TypeError, match=r"^a bytes-like object is required, not 'tuple'$"):
            unix_socket().bind(("localhost", 8888))


@on_unix
def test_a_client_of_a_path_has_no_address(tmp_path: Path) -> None:
    path = str(tmp_path / "server.sock")
    with scenario() as net:
        net.client(to=path)
        conn, address = unix_listener(path).accept()
        assert ("", path, "") == (address, conn.getsockname(), conn.getpeername())


@on_unix
def test_a_client_that_goes_to_a_port_does_not_come_by_a_path(tmp_path: Path) -> None:
    with scenario() as net:
        net.client(to=8888)
        listener = unix_listener(str(tmp_path / "server.sock"))
        assert errno.EAGAIN == error_of_accept(net, listener)


@on_unix
def test_a_client_that_goes_to_a_path_does_not_come_by_a_port() -> None:
    with scenario() as net:
        net.client(to="/run/server.sock")
        listener = socket.create_server(("localhost", 8888))
        assert errno.EAGAIN == error_of_accept(net, listener)


@on_unix
def test_an_abstract_name_makes_no_file() -> None:
    with scenario() as net:
        net.client(to="\0server").sends(b"hi")
        assert b"hi" == unix_listener("\0server").accept()[0].recv(9)


@on_unix
def test_an_abstract_name_is_taken_once() -> None:
    with scenario():
        keep = unix_listener("\0server")
        assert errno.EADDRINUSE == error_of(unix_socket().bind, "\0server")
        keep.close()


@on_unix
def test_an_abstract_name_is_told_in_bytes() -> None:
    with scenario():
        assert b"\0server" == unix_listener("\0server").getsockname()


@on_unix
def test_two_unnamed_sockets_of_a_program_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    path = str(tmp_path / "server.sock")
    with scenario():
        listener = unix_listener(path)
        near = unix_socket()
        near.connect(path)
        far, address = listener.accept()
        near.sendall(b"hi")
        assert ("", b"hi", path) == (address, far.recv(9), near.getpeername())


@on_unix
def test_what_has_come_by_a_path_is_kept_when_reading_is_shut_down(tmp_path: Path) -> None:
    with scenario("read-past-eof") as net:
        path = str(tmp_path / "server.sock")
        net.client(to=path).sends(b"hi")
        conn = unix_listener(path).accept()[0]
        assert b"h" == conn.recv(1)
        conn.shutdown(socket.SHUT_RD)
        assert (b"i", b"") == (conn.recv(9), conn.recv(9))


@on_unix
def test_a_send_by_a_path_to_a_peer_that_has_closed_is_refused_at_once(tmp_path: Path) -> None:
    with scenario() as net:
        path = str(tmp_path / "server.sock")
        net.client(to=path).closes()
        conn = unix_listener(path).accept()[0]
        look(net)
        assert errno.EPIPE == error_of(conn.send, b"x")


# -- accepting ----------------------------------------------------------------------------------


def test_a_blocking_accept_waits_for_the_next_client() -> None:
    with scenario() as net:
        net.client(delay=5)
        listener = socket.create_server(("localhost", 8888))
        listener.accept()
        assert 5.0 == net.now


def test_accepting_with_a_timeout_gives_up_in_time() -> None:
    with scenario() as net:
        net.client(delay=5)
        listener = socket.create_server(("localhost", 8888))
        listener.settimeout(2)
        with pytest.raises(TimeoutError, match="^timed out$"):
            listener.accept()
        assert 2.0 == net.now
        listener.settimeout(None)
        assert listener.accept()[1]


def test_a_non_blocking_accept_finds_nobody() -> None:
    with scenario() as net:
        net.client(delay=5)
        listener = socket.create_server(("localhost", 8888))
        assert errno.EAGAIN == error_of_accept(net, listener)
        listener.setblocking(True)
        listener.accept()


def test_a_backlog_holds_one_more_than_it_says() -> None:
    with scenario() as net:
        for _ in range(4):
            net.client()
        listener = socket.create_server(("localhost", 8888), backlog=1)
        look(net)
        assert 2 == net.sockets()[0].unread
        for _ in range(4):
            listener.accept()


def test_who_did_not_fit_into_the_backlog_comes_when_there_is_room() -> None:
    with scenario() as net:
        for name in ("alice", "bob"):
            net.client(name).sends(name.encode())
        listener = socket.create_server(("localhost", 8888), backlog=0)
        assert [b"alice", b"bob"] == [listener.accept()[0].recv(9) for _ in range(2)]


def test_a_backlog_below_0_is_one_of_0() -> None:
    with scenario() as net:
        net.client()
        listener = socket.socket()
        listener.bind(("localhost", 8888))
        listener.listen(-5)
        assert listener.accept()[1]


def test_listen_may_be_called_again_for_another_backlog() -> None:
    with scenario() as net:
        for _ in range(3):
            net.client()
        listener = socket.create_server(("localhost", 8888), backlog=0)
        listener.listen(1)
        look(net)
        assert 2 == net.sockets()[0].unread
        for _ in range(3):
            listener.accept()


def test_who_waits_in_the_backlog_is_reset_when_the_listener_closes() -> None:
    with scenario() as net:
        alice = net.client("alice").expects(b"hi")
        listener = socket.create_server(("localhost", 8888))
        look(net)
        listener.close()
        look(net)
        assert b"" == alice.received
        assert not net.sockets()


def test_a_listener_that_is_shut_down_for_reading_listens_no_more() -> None:
    with scenario() as net:
        net.client()
        listener = socket.create_server(("localhost", 8888))
        listener.shutdown(socket.SHUT_RD)
        assert (errno.EINVAL, 0) == (
            error_of(listener.accept),
            listener.getsockopt(SOL_SOCKET, socket.SO_ACCEPTCONN),
        )


def test_a_listener_that_is_shut_down_for_writing_goes_on() -> None:
    with scenario() as net:
        net.client()
        listener = socket.create_server(("localhost", 8888))
        listener.shutdown(socket.SHUT_WR)
        assert listener.accept()[1]


def test_an_accepted_socket_blocks_whatever_its_listener_does() -> None:
    with scenario() as net:
        net.client()
        listener = socket.create_server(("localhost", 8888))
        listener.settimeout(3)
        assert None is listener.accept()[0].gettimeout()


def test_the_default_timeout_is_every_new_sockets() -> None:
    with scenario() as net:
        net.client()
        socket.setdefaulttimeout(3)
        try:
            assert (3.0, 3.0) == (socket.socket().gettimeout(), accept_as_it_is().gettimeout())
        finally:
            socket.setdefaulttimeout(None)


def accept_as_it_is() -> socket.socket:
    return socket.create_server(("localhost", 8888)).accept()[0]


# -- connecting ---------------------------------------------------------------------------------


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


@on_unix
def test_a_backend_may_have_a_path() -> None:
    with scenario() as net:
        net.backend("/run/db.sock").sends(b"hi")
        sock = unix_socket()
        sock.connect("/run/db.sock")
        assert (b"hi", "/run/db.sock", "") == (sock.recv(9), sock.getpeername(), sock.getsockname())


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


# -- reading ------------------------------------------------------------------------------------


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


# -- writing ------------------------------------------------------------------------------------


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


# -- ending -------------------------------------------------------------------------------------


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


@on_unix
def test_lingering_is_nothing_to_a_path(tmp_path: Path) -> None:
    with scenario():
        listener, near = unix_listener(str(tmp_path / "server.sock")), unix_socket()
        near.connect(str(tmp_path / "server.sock"))
        far = listener.accept()[0]
        far.setsockopt(SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
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


def test_a_socket_that_outlives_its_scenario_is_dropped_in_silence() -> None:
    with scenario() as net:
        sock = socket.socket()
    rows = len(net.trace)
    del sock
    assert rows == len(net.trace)


# -- files --------------------------------------------------------------------------------------


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


# -- numbers ------------------------------------------------------------------------------------


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


# -- what a socket says of itself ---------------------------------------------------------------


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


# -- the whole surface --------------------------------------------------------------------------

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


# -- what is seldom done ------------------------------------------------------------------------


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


def test_a_bound_socket_does_not_change_its_mind_about_ipv4() -> None:
    with scenario(), socket.socket(AF_INET6) as sock:
        sock.bind(("::", 8888))
        assert errno.EINVAL == error_of(sock.setsockopt, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        assert 0 == sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


@on_unix
def test_a_socket_that_is_bound_to_nothing_gets_a_name_of_its_own() -> None:
    with scenario(), socket.socket(AF_UNIX) as one, socket.socket(AF_UNIX) as other:  # type: ignore[arg-type]  # see above
        one.bind("")
        other.bind("")
        names = one.getsockname(), other.getsockname()
        assert all(len(name) == 6 and bytes(name)[:1] == b"\0" for name in names)
        assert names[0] != names[1]
        one.bind("")  # once more: it has one
        assert names[0] == one.getsockname()


@on_unix
def test_where_nobody_may_make_a_socket_file_there_is_one_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "mknod", refused, raising=False)
    path = str(tmp_path / "sock")
    with scenario() as net:
        net.client("alice", to=path).sends(b"x")
        with socket.socket(AF_UNIX) as listener:  # type: ignore[arg-type]  # see above
            listener.bind(path)
            assert os.path.exists(path)
            listener.listen()
            assert b"x" == listener.accept()[0].recv(9)


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


def test_only_the_first_address_has_the_canonical_name() -> None:
    with scenario():
        found = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
        assert ["localhost", ""] == [one[3] for one in found]


def test_from_behind_the_end_of_a_file_nothing_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with scenario() as net:
        net.client().expects(b"bc")
        conn = accept()
        with path.open("rb") as file:
            assert (0, 0, 2) == (conn.sendfile(file, 3), conn.sendfile(file, 9), conn.sendfile(file, 1))


def test_at_the_port_of_the_program_in_the_other_family_nobody_is() -> None:
    with scenario():
        with socket.create_server(("127.0.0.1", 8888)), socket.socket(AF_INET6) as sock:
            assert errno.ECONNREFUSED == error_of(sock.connect, ("::1", 8888))


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


def test_the_number_of_a_socket_that_is_connected_to_nothing_can_be_closed() -> None:
    with scenario():
        sock = socket.socket()
        os.close(sock.fileno())
        assert errno.EBADF == error_of(sock.listen)
        sock.detach()


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

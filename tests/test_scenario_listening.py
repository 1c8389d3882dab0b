"""Listeners in a scenario as Linux shows them: addresses and ports, the backlog, and who is accepted."""

from __future__ import annotations

import errno
import socket
import time
from socket import AF_INET6, SOL_SOCKET
from typing import Any

import pytest

from mockselector import Scenario
from scenario_sockets import LINGER_NOT, accept, error_of, error_of_accept, look, scenario

# -- listening -------------------------------------------------------------------------------------


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


def test_a_bound_socket_does_not_change_its_mind_about_ipv4() -> None:
    with scenario(), socket.socket(AF_INET6) as sock:
        sock.bind(("::", 8888))
        assert errno.EINVAL == error_of(sock.setsockopt, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        assert 0 == sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


# -- accepting -------------------------------------------------------------------------------------


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


# -- which addresses are the machine's ----------------------------------------------------------------


FOREIGN = ("8.8.8.8", "198.51.100.1", "0.0.0.5", "2001:db8::1", "::ffff:8.8.8.8")
POSSIBLE = (
    "", "10.1.2.3", "172.31.0.1", "192.168.7.7", "169.254.1.1", "100.64.0.1", "127.8.9.10", "::", "fd00::1",
)  # fmt: skip


@pytest.mark.parametrize("host", FOREIGN)
def test_an_address_that_is_somebody_elses_cannot_be_bound_to(host: str) -> None:
    with scenario():
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        assert errno.EADDRNOTAVAIL == error_of(sock.bind, (host, 80))
        sock.close()


@pytest.mark.parametrize("host", POSSIBLE)
def test_one_that_the_machine_may_have_can(host: str) -> None:
    with scenario():
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.bind((host, 80))
        sock.close()


def test_one_of_a_link_can_on_an_interface() -> None:
    with scenario(), socket.socket(socket.AF_INET6) as sock:
        assert errno.EINVAL == error_of(sock.bind, ("fe80::1", 80))
        sock.bind(("fe80::1", 80, 0, 1))
        assert ("fe80::1", 80, 0, 1) == sock.getsockname()


def test_so_can_one_to_which_a_client_connects() -> None:
    def server() -> None:
        with socket.create_server(("93.184.216.34", 80)) as listener:
            listener.accept()[0].close()

    with Scenario() as net:
        net.client("alice", to=("93.184.216.34", 80)).expects_eof()
        net.run(server)


def test_a_backends_host_is_another_machine() -> None:
    def server() -> int | None:
        with socket.socket() as sock:
            return error_of(sock.bind, ("db", 80))

    with Scenario() as net:
        net.backend(("db", 80), allow={"unmet-expectation"})
        assert errno.EADDRNOTAVAIL == net.run(server)


# -- what the program sends to itself ------------------------------------------------------------------


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, listener.accept()[0]


def test_a_long_answer_to_ones_own_socket_need_not_be_read_at_once() -> None:
    def server() -> int:
        near, far = connected()
        with near, far:
            far.sendall(b"x" * 1_000_000)
            return len(near.recv(2_000_000, socket.MSG_WAITALL | socket.MSG_DONTWAIT))

    with Scenario() as net:
        assert 1_000_000 == net.run(server)


def test_nor_need_it_be_read_at_all() -> None:
    def server() -> None:
        near, far = connected()
        far.sendall(b"x" * 1_000_000)
        near.close()
        far.close()

    with Scenario() as net:
        net.run(server)


def test_if_the_test_says_how_much_fits_that_is_so_here_too() -> None:
    def server() -> int:
        near, far = connected()
        with near, far:
            far.setblocking(False)
            return far.send(b"x" * 100_000)

    with Scenario(buffer=1000, allow={"short-send-lost"}) as net:
        assert 1000 == net.run(server)

"""A scenario over real loopback sockets: the same peers and the same time, a real kernel in between."""

from __future__ import annotations

import errno
import fcntl
import gc
import io
import os
import selectors
import socket
import socketserver
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from examples import echo, proxy

from mockselector import Play, Receives, Scenario, ScenarioError, Sends
from mockselector._loopback import stack as _loopback
from mockselector._loopback import wire as _wire

pytestmark = pytest.mark.slow

NETWORKS: list[Literal["simulated", "loopback"]] = ["simulated", "loopback"]
on_both = pytest.mark.parametrize("network", NETWORKS)


def one_client(serve: Callable[[socket.socket], object]) -> Callable[[], None]:
    """A server that accepts one client, and does something with it."""

    def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            sock, _ = listener.accept()
            with sock:
                serve(sock)

    return run


def descriptors() -> set[str]:
    """What this process has open."""
    return set(os.listdir("/proc/self/fd"))


# -- the same on both ----------------------------------------------------------------------------


def test_the_trace_is_that_of_the_simulated_network() -> None:
    traces: list[list[str]] = []
    for network in NETWORKS:
        with Scenario(network=network) as net:
            net.client("alice").sends(b"hello").expects(b"hello").waits(3).closes()
            net.client("bob", delay=1).sends(b"one").waits(1).resets()
            net.run(echo.serve, 0)
        assert 3.0 == net.now
        calls = ("select", "accept", "recv", "send", "close")
        traces.append([str(event) for event in net.trace if event.operation.partition(":")[0] in calls])
    assert "bob.recv() raises ConnectionResetError" in traces[0]
    assert traces[0] == traces[1]


def test_the_sockets_are_real() -> None:
    def look(sock: socket.socket) -> tuple[str, int, object]:
        return sock.getpeername()[0], sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE), type(os.fstat(sock.fileno()))

    with Scenario(network="loopback") as net:
        net.client().expects_eof()
        seen: list[tuple[str, int, object]] = []
        net.run(one_client(lambda sock: seen.append(look(sock))))
    assert [("127.0.0.1", socket.SOCK_STREAM, os.stat_result)] == seen


@on_both
def test_a_server_that_blocks_waits_in_virtual_time(network: Literal["simulated", "loopback"]) -> None:
    class Handler(socketserver.StreamRequestHandler):
        timeout = 5

        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(line.upper())

    def serve() -> None:
        with socketserver.TCPServer(("localhost", 0), Handler) as server:
            server.handle_request()

    with Scenario(network=network) as net:
        net.client("alice").sends(b"a\n").expects(b"A\n").waits(4).sends(b"b").waits(0.5).sends(b"\n").expects(
            b"B\n"
        ).closes()
        net.run(serve)
    assert 4.5 == net.now


@on_both
def test_a_read_times_out(network: Literal["simulated", "loopback"]) -> None:
    def serve(sock: socket.socket) -> None:
        sock.settimeout(3)
        assert 3.0 == sock.gettimeout() == sock.timeout
        assert sock.getblocking()
        with pytest.raises(TimeoutError, match=r"^timed out$"):
            sock.recv(10)
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(10)
        sock.settimeout(None)
        with pytest.raises(BlockingIOError):
            sock.recv(10, socket.MSG_DONTWAIT)
        sock.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            sock.recv(10)

    with Scenario(network=network) as net:
        net.client().expects_eof()
        net.run(one_client(serve))
    assert 3.0 == net.now


@on_both
def test_every_way_to_read_and_to_write(network: Literal["simulated", "loopback"], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"k" * 10)

    def serve(sock: socket.socket) -> None:
        buffer, more = bytearray(2), bytearray(3)
        assert b"ab" == sock.recv(2, socket.MSG_PEEK)
        assert b"ab" == sock.recv(2)
        assert b"c" == sock.recvfrom(1)[0]
        assert 2 == sock.recv_into(buffer)
        assert b"de" == buffer
        assert 2 == sock.recvfrom_into(buffer)[0]
        assert b"h" == sock.recvmsg(1)[0]
        assert 5 == sock.recvmsg_into([buffer, more])[0]
        assert b"ijklm" == buffer + more
        assert b"nop" == sock.recv(3, socket.MSG_WAITALL)
        assert b"q" == sock.recv(5, socket.MSG_WAITALL)
        assert 1 == sock.send(b"1")
        sock.sendall(b"2")
        assert 1 == sock.sendto(b"3", ("127.0.0.1", 1))
        assert 2 == sock.sendmsg([b"4", b"5"])
        with path.open("rb") as file:
            assert 10 == sock.sendfile(file)
        assert 3 == sock.sendfile(io.BytesIO(b"678"))

    with Scenario(network=network) as net:
        alice = net.client().sends(b"abcdefghijklm").waits(1).sends(b"nop").waits(1).sends(b"q").shuts_down()
        alice.expects(b"12345kkkkkkkkkk678").expects_eof()
        net.run(one_client(serve))


@on_both
def test_a_peer_that_hangs_fills_the_buffers(network: Literal["simulated", "loopback"]) -> None:
    sent: list[int] = []

    def serve(sock: socket.socket) -> None:
        sock.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            try:
                while True:
                    sent.append(sock.send(b"x" * 100_000))
            except BlockingIOError:
                pass
            assert [] == selector.select(5)
            assert 1 == len(selector.select())
            assert 10.0 == net.now
            selector.unregister(sock)

    with Scenario(network=network, allow={"short-send-lost"}) as net:
        alice = net.client().waits(10)
        net.run(one_client(serve))
    assert sum(sent) == len(alice.received)


@on_both
def test_a_reset_is_one(network: Literal["simulated", "loopback"]) -> None:
    def serve(sock: socket.socket) -> None:
        with pytest.raises(ConnectionResetError):
            sock.recv(10)

    with Scenario(network=network) as net:
        net.client().waits(1).resets()
        net.run(one_client(serve))


@on_both
def test_a_server_that_closes_with_data_unread_resets(network: Literal["simulated", "loopback"]) -> None:
    with Scenario(network=network, allow={"unread-data"}) as net:
        net.client("alice").sends(b"12345").waits(1).expects_eof()
        with pytest.raises(ScenarioError, match="closed the connection .*, which resets it|by a reset") as caught:
            net.run(one_client(lambda sock: sock.recv(1)))
            net.verify()
    assert "unmet-expectation" == caught.value.rule


@on_both
def test_a_program_connects_to_backends_and_to_itself(network: Literal["simulated", "loopback"]) -> None:
    def ask(host: str) -> bytes:
        with socket.create_connection((host, 5432), timeout=5) as sock:
            sock.sendall(b"question")
            return sock.recv(100)

    def program() -> tuple[bytes, int, bytes]:
        answer = ask("db")
        with socket.socket() as sock:
            refused = sock.connect_ex(("cache", 11211))
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as sock:
            sock.connect(listener.getsockname())
            own, _ = listener.accept()
            with own:
                own.sendall(b"to itself")
                return answer, refused, sock.recv(100)

    def play() -> Play:
        yield Sends((yield Receives()).upper())

    with Scenario(network=network) as net:
        net.backend(("db", 5432)).plays(play).expects_eof()
        net.backend(("cache", 11211), refuses=True)
        assert (b"QUESTION", errno.ECONNREFUSED, b"to itself") == net.run(program)


@on_both
def test_a_proxy_in_between(network: Literal["simulated", "loopback"]) -> None:
    with Scenario(network=network) as net:
        net.client("alice").sends(b"select").expects(b"1 row").closes()
        net.backend(("db", 5432), "db").expects(b"select").sends(b"1 row").expects_eof().closes()
        net.run(proxy.serve, 0, "db", 5432)


@on_both
def test_a_socket_of_a_path(network: Literal["simulated", "loopback"], tmp_path: Path) -> None:
    path = str(tmp_path / "s")

    def serve() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            sock, _ = listener.accept()
            with sock, sock.makefile("rwb") as file:
                file.write(file.readline())

    with Scenario(network=network) as net:
        net.client(to=path).sends(b"line\n").expects(b"line\n").expects_eof()
        net.run(serve)


@on_both
def test_a_number_is_given_away_and_taken_up(network: Literal["simulated", "loopback"]) -> None:
    def serve(sock: socket.socket) -> None:
        with socket.socket(fileno=sock.detach()) as other:
            other.sendall(other.recv(10))

    with Scenario(network=network) as net:
        net.client().sends(b"hello").expects(b"hello").expects_eof()
        net.run(one_client(serve))


@on_both
def test_a_socket_that_is_dropped_is_closed(network: Literal["simulated", "loopback"]) -> None:
    def serve() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.accept()
            time.sleep(1)

    with Scenario(network=network) as net:
        net.client().expects_eof().does(lambda: ended.append(net.now))
        ended: list[float] = []
        net.run(serve)
    assert [0.0] == ended


@on_both
def test_more_than_fits_is_sent_while_it_is_read(network: Literal["simulated", "loopback"]) -> None:
    def serve(sock: socket.socket) -> None:
        time.sleep(1)
        left = 20_000_000
        while left:
            left -= len(sock.recv(65536))
        sock.settimeout(60)
        sock.sendall(b"y" * 20_000_000)
        sock.settimeout(2)
        with pytest.raises(TimeoutError):
            while True:
                sock.sendall(b"z" * 1_000_000)

    with Scenario(network=network, allow={"short-send-lost"}) as net:
        alice = net.client().sends(b"x" * 20_000_000).expects(b"y" * 20_000_000).waits(10)
        net.run(one_client(serve))
    assert b"z" == alice.received[-1:]


@on_both
def test_a_peer_ends_what_is_reset(network: Literal["simulated", "loopback"]) -> None:
    with Scenario(network=network, allow={"unread-data"}) as net:
        net.client("alice").sends(b"12345").waits(1).shuts_down().closes()
        net.run(one_client(lambda sock: sock.recv(1)))


@on_both
def test_calls_in_vain(network: Literal["simulated", "loopback"]) -> None:
    def program() -> tuple[int, set[int]]:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as other:
            listener.listen(0)
            with pytest.raises(OSError, match="Address already in use") as caught:
                other.bind(listener.getsockname())
            results: set[int] = set()
            clients = [socket.socket() for _ in range(3)]
            for sock in clients:
                sock.settimeout(3)
                results.add(sock.connect_ex(listener.getsockname()))
            for sock in clients:
                sock.close()
                sock.close()
                assert -1 == sock.detach()
            return caught.value.errno or 0, results

    with Scenario(network=network) as net:
        assert (errno.EADDRINUSE, {0, errno.EAGAIN}) == net.run(program)


@on_both
def test_real_descriptors_beside_them(network: Literal["simulated", "loopback"]) -> None:
    def serve(sock: socket.socket) -> list[str]:
        near, far = socket.socketpair()
        with near, far, socket.socket(fileno=far.detach()) as end, selectors.DefaultSelector() as selector:
            selector.register(near, selectors.EVENT_READ, "self-pipe")
            selector.register(sock, selectors.EVENT_READ, "client")
            end.send(b"!")
            first = [key.data for key, _ in selector.select()]
            selector.unregister(near)
            return [*first, *(key.data for key, _ in selector.select())]

    seen: list[str] = []
    with Scenario(network=network) as net:
        net.client().waits(1).sends(b"x").expects_eof()
        net.run(one_client(lambda sock: seen.extend([*serve(sock), sock.recv(1).decode()])))
    assert ["self-pipe", "client", "x"] == seen


@on_both
def test_a_wait_for_all_ends_with_what_there_is(network: Literal["simulated", "loopback"]) -> None:
    def serve(sock: socket.socket) -> None:
        assert b"abcdef" == sock.recv(6, socket.MSG_WAITALL)
        assert b"gh" == sock.recv(6, socket.MSG_WAITALL)
        with pytest.raises(ConnectionResetError):
            sock.recv(6, socket.MSG_WAITALL)
        assert b"" == sock.recv(6, socket.MSG_WAITALL)

    with Scenario(network=network) as net:
        net.client().sends(b"abc").waits(1).sends(b"def").waits(1).sends(b"gh").waits(1).resets()
        net.run(one_client(serve))


@on_both
def test_sendall_has_one_timeout_for_all(network: Literal["simulated", "loopback"]) -> None:
    def serve(sock: socket.socket) -> None:
        sock.settimeout(5)
        with pytest.raises(TimeoutError):
            sock.sendall(b"x" * 100_000_000)

    with Scenario(network=network, allow={"short-send-lost"}) as net:
        net.client().waits(1).reads_slowly(100_000, every=3)
        net.run(one_client(serve))
        assert 5.0 == net.now


@on_both
def test_a_connection_is_tried_again(network: Literal["simulated", "loopback"]) -> None:
    def program() -> tuple[list[int], bytes]:
        with socket.socket() as sock:
            with pytest.raises(ConnectionRefusedError):
                sock.connect(("db", 5432))
            sock.connect(("db", 5432))
            first = sock.recv(10)
        with socket.socket() as sock, selectors.DefaultSelector() as selector:
            sock.setblocking(False)
            results = [sock.connect_ex(("db", 5432))]
            selector.register(sock, selectors.EVENT_WRITE)
            selector.select()
            results += [sock.connect_ex(("db", 5432)) for _ in range(2)]
            selector.unregister(sock)
        return results, first

    with Scenario(network=network) as net:
        net.backend(("db", 5432), refuses=True)
        net.backend(("db", 5432)).sends(b"hi").expects_eof()
        net.backend(("db", 5432)).expects_eof()
        assert ([errno.EINPROGRESS, 0, errno.EISCONN], b"hi") == net.run(program)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract addresses")
@on_both
def test_an_abstract_address(network: Literal["simulated", "loopback"]) -> None:
    def serve() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("\0mockselector-test")
            listener.listen()
            with listener.accept()[0] as sock:
                sock.sendall(b"hi")

    with Scenario(network=network) as net:
        net.client(to="\0mockselector-test").expects(b"hi").expects_eof()
        net.run(serve)


@on_both
def test_a_connection_to_itself_keeps_the_run_going(network: Literal["simulated", "loopback"]) -> None:
    def serve() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as near:
            near.connect(listener.getsockname())
            with listener.accept()[0] as far:
                far.recv(10)

    with Scenario(network=network, allow={"read-without-data", "stuck"}) as net:
        net.run(serve)
    assert 3600.0 == net.now


@on_both
def test_what_comes_where_nothing_is_expected_is_told_at_once(network: Literal["simulated", "loopback"]) -> None:
    with Scenario(network=network) as net:
        net.client("alice").sends(b"hello").expects_nothing(5)
        with pytest.raises(ScenarioError, match="where it expects nothing"):
            net.run(echo.serve, 0)
    assert 0.0 == net.now


@on_both
def test_megabytes_are_echoed(network: Literal["simulated", "loopback"]) -> None:
    data = bytes(range(256)) * 40_000
    with Scenario(network=network) as net:
        alice = net.client("alice")
        for start in range(0, len(data), 50_000):
            alice.sends(data[start : start + 50_000]).expects(data[start : start + 50_000])
        alice.closes()
        net.run(echo.serve, 0)
    assert data == alice.received


def test_both_sides_wait_to_be_read_is_told() -> None:
    with Scenario(network="loopback") as net:
        net.client("alice").sends(b"x" * 50_000_000)
        with pytest.raises(ScenarioError, match="alice waits in vain for room to send"):
            net.run(echo.serve, 0)


def test_a_listener_that_listens_no_more_is_nobody() -> None:
    def serve() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.shutdown(socket.SHUT_RDWR)
            time.sleep(5)

    with Scenario(network="loopback") as net:
        net.client("alice", delay=1)
        with pytest.raises(ScenarioError, match="alice was never connected") as caught:
            net.run(serve)
            net.verify()
    assert "unmet-expectation" == caught.value.rule


# -- what is judged ------------------------------------------------------------------------------


def test_a_wrong_answer_is_told_with_the_server_s_calls() -> None:
    with Scenario(network="loopback") as net:
        net.client("alice").sends(b"hello").expects(b"HELLO").closes()
        with pytest.raises(ScenarioError) as caught:
            net.run(echo.serve, 0)
    assert "unexpected-send" == caught.value.rule
    assert "alice was sent b'hello' where it expects b'HELLO'" in str(caught.value)
    assert "alice.send(b'hello')" in str(caught.value)


@pytest.mark.parametrize("answer", [b"no", b"yes, si?", b"yes, sir, and more"])
@on_both
def test_what_is_wrong_is_told_at_once_even_if_it_is_too_little(
    network: Literal["simulated", "loopback"], answer: bytes
) -> None:
    def serve(sock: socket.socket) -> None:
        sock.recv(10)
        sock.sendall(answer)
        sock.recv(10)

    with Scenario(network=network) as net:
        net.client("alice").sends(b"?").expects(b"yes, sir").expects_eof()
        with pytest.raises(ScenarioError) as caught:
            net.run(one_client(serve))
    assert "unexpected-send" == caught.value.rule
    assert 0.0 == net.now


@on_both
def test_what_a_later_step_does_not_want_is_told_when_it_is_sent(network: Literal["simulated", "loopback"]) -> None:
    def serve(sock: socket.socket) -> None:
        sock.settimeout(1)
        sock.sendall(b"x" * 100_000_000)

    with Scenario(network=network) as net:
        net.client("alice").waits(3).expects_eof()
        with pytest.raises(ScenarioError, match="where it expects the end"):
            net.run(one_client(serve))


@on_both
def test_what_is_wrong_and_allowed_goes_on(network: Literal["simulated", "loopback"]) -> None:
    def serve(sock: socket.socket) -> None:
        for byte in (b"n", b"o", b"!", b"1"):
            sock.sendall(byte)
            time.sleep(1)

    with Scenario(network=network, allow={"unexpected-send"}) as net:
        alice = net.client("alice").expects(b"yes").expects(b"1").expects_eof()
        net.run(one_client(serve))
    assert b"no!1" == alice.received


@on_both
def test_an_end_behind_a_full_buffer_waits_to_be_read(network: Literal["simulated", "loopback"]) -> None:
    def serve(sock: socket.socket) -> None:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                sock.send(b"x" * 100_000)
        sock.shutdown(socket.SHUT_WR)
        time.sleep(20)

    ended: list[float] = []
    with Scenario(network=network, allow={"short-send-lost"}) as net:
        alice = net.client("alice").waits(10).reads_slowly(1 << 20, every=0.125)
        alice.expects(bool, until="eof").does(lambda: ended.append(net.now))
        net.run(one_client(serve))
    assert 10.0 <= ended[0] < 20.0


@on_both
def test_a_server_that_is_ended_with_full_buffers(network: Literal["simulated", "loopback"]) -> None:
    def serve(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"x" * 1_000_000)

    with Scenario(network=network) as net:
        net.client("alice").waits(3).sends(b"unread").closes()
        with pytest.raises(ConnectionError):
            net.run(one_client(serve))


@on_both
def test_a_connection_to_itself_that_is_broken_off_is_not_waited_for(
    network: Literal["simulated", "loopback"],
) -> None:
    def program() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            clients = [socket.socket() for _ in range(4)]
            for sock in clients:
                sock.setblocking(False)
                sock.connect_ex(listener.getsockname())
            for sock in clients:
                sock.close()
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    listener.accept()[0].close()
            time.sleep(1)

    begun = time.monotonic()
    with Scenario(network=network) as net:
        net.run(program)
    assert time.monotonic() - begun < _loopback.IN_TIME


def test_a_server_that_keeps_a_client_waiting_is_told() -> None:
    with Scenario(network="loopback") as net:
        net.client("alice").sends(b"hello").expects(b"hello, too").closes()
        with pytest.raises(ScenarioError) as caught:
            net.run(echo.serve, 0)
    assert "stuck" == caught.value.rule
    assert "alice     connected  READ" in str(caught.value)
    assert "listener  listening  READ" in str(caught.value)


def test_a_server_that_spins_is_stopped() -> None:
    def serve(sock: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(sock.fileno(), selectors.EVENT_READ)
            while True:
                selector.select()

    with Scenario(network="loopback") as net:
        net.client("alice").closes()
        with pytest.raises(ScenarioError) as caught:
            net.run(one_client(serve))
    assert "busy-loop" == caught.value.rule


def test_what_only_the_server_does_wrong_is_not_judged() -> None:
    def serve(sock: socket.socket) -> None:
        selector = selectors.DefaultSelector()
        selector.register(sock, selectors.EVENT_READ)
        sock.close()
        selector.select(1)
        selector.close()

    with Scenario(network="loopback") as net:
        net.client("alice").expects_eof()
        net.run(one_client(serve))


def test_where_nobody_is_is_told() -> None:
    with Scenario(network="loopback") as net:
        with pytest.raises(ScenarioError) as caught:
            net.run(socket.create_connection, ("127.0.0.1", 9))
    assert "unscripted-connection" == caught.value.rule


def test_where_nobody_is_connections_are_refused_if_that_is_allowed() -> None:
    with Scenario(network="loopback", allow={"unscripted-connection"}) as net:
        with pytest.raises(ConnectionRefusedError):
            net.run(socket.create_connection, ("192.0.2.1", 80))


# -- what cannot be had --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "ask"),
    [
        ("buffer=4096", lambda: Scenario(network="loopback", buffer=4096)),
        ("pedantic=True", lambda: Scenario(network="loopback", pedantic=True)),
        ("address=('10.0.0.1', 1)", lambda: Scenario(network="loopback").client(address=("10.0.0.1", 1))),
        ("buffer=1", lambda: Scenario(network="loopback").client(buffer=1)),
        ("delay=2", lambda: Scenario(network="loopback").backend(("db", 1), delay=2)),
        ("delay=None", lambda: Scenario(network="loopback").backend(("db", 1), delay=None)),
        ("buffer=1", lambda: Scenario(network="loopback").backend(("db", 1), buffer=1)),
    ],
)
def test_what_cannot_be_controlled_is_refused_aloud(what: str, ask: Callable[[], object]) -> None:
    with pytest.raises(NotImplementedError) as caught:
        ask()
    assert f"{what} cannot be had on real sockets: leave it out, or use network='simulated'" == str(caught.value)


def test_a_network_that_there_is_not_is_refused() -> None:
    network: Any = "ethernet"
    with pytest.raises(ValueError, match=r"^network= takes 'simulated' or 'loopback'; got 'ethernet'$"):
        Scenario(network=network)


REFUSED: list[tuple[str, Callable[[socket.socket], object]]] = [
    ("dup\\(\\) is not simulated", lambda sock: sock.dup()),
    (r"os\.dup\(\) on a scenario's socket", lambda sock: os.dup(sock.fileno())),
    (r"fcntl\(F_GETFL or F_SETFL\)", lambda sock: fcntl.fcntl(sock, fcntl.F_GETFL)),
    ("MSG_WAITALL by any other call", lambda sock: sock.recv_into(bytearray(9), 9, socket.MSG_WAITALL)),
    ("a backend at a path", lambda _: socket.socket(socket.AF_UNIX).connect("/nowhere")),
]


@pytest.mark.parametrize(("what", "act"), REFUSED)
def test_what_would_wait_in_real_time_is_refused_aloud(what: str, act: Callable[[socket.socket], object]) -> None:
    with Scenario(network="loopback") as net:
        net.client().closes()
        net.backend("/nowhere", allow={"unmet-expectation"})
        with pytest.raises(NotImplementedError, match=what):
            net.run(one_client(act))


# -- the system ----------------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="nobody says here what is open")
@pytest.mark.parametrize("way", ["plain", "wrong", "error", "left open", "given away"])
def test_nothing_is_left_open(way: str) -> None:
    before = descriptors()

    def serve() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        sock, _ = listener.accept()
        if way == "error":
            raise ZeroDivisionError
        sock.sendall(sock.recv(10))
        sock.recv(10)
        if way == "given away":
            listener.detach()
            os.close(sock.detach())
        if way == "plain":
            sock.close()
            listener.close()

    try:
        with Scenario(network="loopback") as net:
            net.client().sends(b"hi").expects(b"ho" if way == "wrong" else b"hi").closes()
            net.backend(("db", 1), allow={"unmet-expectation"})
            net.run(serve)
    except (ScenarioError, ZeroDivisionError):
        pass
    assert before == descriptors()


ENDINGS: dict[str, type[BaseException] | None] = {
    "error": ZeroDivisionError,
    "interrupt": KeyboardInterrupt,
    "exit": SystemExit,
    "finding": ScenarioError,
    "step": ArithmeticError,
    "refused": NotImplementedError,
    "not delivered": TimeoutError,
}


def fails(ending: str, sock: socket.socket) -> None:
    """End a run in one of these ways."""
    if ending == "not delivered":
        DUPLICATES.append(socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM))
        return
    if ending == "refused":
        sock.dup()
    elif ending not in ("finding", "step"):
        wanted = ENDINGS[ending]
        assert wanted is not None
        raise wanted
    sock.sendall(b"wrong")
    sock.recv(10)


DUPLICATES: list[socket.socket] = []


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="nobody says here what is open")
@pytest.mark.parametrize("judged", ["in a block", "by verify", "never"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_no_ending_leaves_anything_open(monkeypatch: pytest.MonkeyPatch, ending: str, judged: str) -> None:
    monkeypatch.setattr(_loopback, "IN_TIME", 0.1 if ending == "not delivered" else 10)
    gc.collect()  # what other tests have left
    before = descriptors()

    def play() -> None:
        net = Scenario(network="loopback", allow={"unexpected-send"} if ending == "not delivered" else ())
        alice = net.client("alice").waits(1).expects(b"right")
        if ending == "step":
            alice.does(lambda: 1 // 0)
        net.client("bob").waits(100).closes()
        if judged == "in a block":
            with net:
                net.run(one_client(lambda sock: fails(ending, sock)))
        else:
            net.run(one_client(lambda sock: fails(ending, sock)))
            if judged == "by verify":
                net.verify()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nobody has looked at what was found
        try:
            play()
        except BaseException as error:
            ended: type[BaseException] | None = type(error)
        else:
            ended = None
        gc.collect()
    while DUPLICATES:
        DUPLICATES.pop().close()
    assert before == descriptors()
    assert ended is not None


def test_a_scenario_that_is_dropped_raises_nothing_in_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loopback, "IN_TIME", 0.1)
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    kept: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        kept.append(socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM))
        sock.sendall(b"hi")

    before = descriptors()
    net = Scenario(network="loopback")
    net.client("alice").expects_eof().expects_eof()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            net.run(one_client(serve))
        except (TimeoutError, ScenarioError):
            pass
        del net
        gc.collect()
    kept.pop().close()
    assert [] == unraisable
    assert before == descriptors()


def test_a_listener_that_was_made_before_is_refused() -> None:
    def serve(listener: socket.socket) -> None:
        selectors.DefaultSelector().register(listener, selectors.EVENT_READ)

    with socket.create_server(("127.0.0.1", 0)) as listener, Scenario(network="loopback") as net:
        with pytest.raises(NotImplementedError, match=r"^a listener that is a real socket is registered"):
            net.run(serve, listener)


def test_a_duplicate_that_is_kept_is_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loopback, "IN_TIME", 0.05)
    kept: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        kept.append(socket.fromfd(sock.fileno(), socket.AF_INET, socket.SOCK_STREAM))

    with pytest.raises(TimeoutError, match=r"has a duplicate of it been made \(socket\.fromfd\(\)\)"):
        with Scenario(network="loopback") as net:
            net.client().expects_eof()
            net.run(one_client(serve))
    kept[0].close()


def test_a_selector_that_a_module_has_made_is_replaced() -> None:
    program = (
        "import selectors, socket\n"
        "SELECTOR = selectors.DefaultSelector()\n"
        "def serve():\n"
        "    with socket.create_server(('127.0.0.1', 0)) as listener:\n"
        "        SELECTOR.register(listener, selectors.EVENT_READ)\n"
        "        SELECTOR.select()\n"
        "        with listener.accept()[0] as sock:\n"
        "            sock.sendall(b'hi')\n"
        "        SELECTOR.unregister(listener)\n"
    )
    space: dict[str, Any] = {}
    exec(compile(program, "server.py", "exec"), space)
    for _ in range(2):
        with Scenario(network="loopback") as net:
            net.client(delay=5).expects(b"hi").expects_eof()
            net.run(space["serve"])
        assert 5.0 == net.now
    space["SELECTOR"].close()


def test_a_selector_and_a_listener_passed_by_hand() -> None:
    def serve(selector: selectors.BaseSelector, listener: socket.socket) -> None:
        selector.register(listener, selectors.EVENT_READ)
        assert [] == selector.select(0)
        selector.select(60)
        listener.accept()[0].close()

    with Scenario(network="loopback") as net:
        net.client(delay=5).expects_eof()
        net.run(serve, net.selector(), net.listener())


def test_a_system_that_does_not_tell_of_an_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wire, "ENDED", 0)
    monkeypatch.setattr(_loopback, "ENDED", 0)
    with Scenario(network="loopback") as net:
        net.client("alice").sends(b"hello").expects(b"hello").shuts_down().expects_eof().closes()
        net.run(echo.serve, 0)


def test_a_system_that_does_not_deliver_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loopback, "IN_TIME", 0.05)

    def owes(_: _wire.Wire) -> bool:
        return True

    monkeypatch.setattr(_wire.Wire, "owes", owes)
    with pytest.raises(TimeoutError, match="for 0.05 seconds the system has not delivered on its loopback what"):
        with Scenario(network="loopback") as net:
            net.client("alice").closes()
            net.run(echo.serve, 0)

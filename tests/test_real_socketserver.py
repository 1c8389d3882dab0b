"""The standard library's `socketserver`, unmodified, in scenarios."""

from __future__ import annotations

import socket
import sys
from errno import EADDRINUSE
from socketserver import (
    BaseRequestHandler,
    StreamRequestHandler,
    TCPServer,
    UDPServer,
)
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario, ScenarioError

if TYPE_CHECKING:
    from pathlib import Path

HERE = ("127.0.0.1", 8888)


class Upper(StreamRequestHandler):
    """Answers each line in capitals, until the client stops sending."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class UpperOnce(StreamRequestHandler):
    """Answers one line."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


class Reverse(BaseRequestHandler):
    """Answers whatever one `recv()` returns, backwards."""

    request: socket.socket

    def handle(self) -> None:
        self.request.sendall(self.request.recv(1024)[::-1])


class V6Server(TCPServer):
    address_family = socket.AF_INET6


def serve(handler: type[BaseRequestHandler], server_class: type[TCPServer] = TCPServer) -> None:
    """A program as the documentation writes it: nothing ever stops it but Ctrl-C."""
    with server_class(HERE, handler) as server:
        server.serve_forever()


# -- handlers -----------------------------------------------------------------------------------


def test_a_stream_handler_answers_each_line() -> None:
    with Scenario() as net:
        alice = net.client("alice").sends(b"hi\n").expects(b"HI\n").sends(b"ho\n").expects(b"HO\n").closes()
        net.run(serve, Upper)
        assert alice.received == b"HI\nHO\n"


def test_a_line_in_pieces_is_one_line() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"h").waits(2).sends(b"i").waits(2).sends(b"\n").expects(b"HI\n").closes()
        net.run(serve, Upper)


def test_what_a_stream_handler_has_not_ended_is_a_line_at_the_end() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi").shuts_down().expects(b"HI").expects_eof()
        net.run(serve, Upper)


def test_a_base_handler_reads_what_one_send_has_brought() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"abc").expects(b"cba").expects_eof()
        net.run(serve, Reverse)


def test_a_buffered_handler_sends_when_it_is_done() -> None:
    class Buffered(Upper):
        wbufsize = -1

    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects_nothing(5).shuts_down().expects(b"HI\n").expects_eof()
        net.run(serve, Buffered)


def test_a_handler_can_ask_for_no_delay() -> None:
    class Prompt(UpperOnce):
        disable_nagle_algorithm = True

        def finish(self) -> None:
            seen.append(self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            super().finish()

    seen: list[int] = []
    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").expects_eof()
        net.run(serve, Prompt)
    assert seen == [1]


def test_a_handler_gets_the_address_of_its_client() -> None:
    class Where(BaseRequestHandler):
        request: socket.socket

        def handle(self) -> None:
            self.request.sendall(repr(self.client_address).encode())

    with Scenario() as net:
        net.client("alice", address=("192.0.2.7", 5000)).expects(b"('192.0.2.7', 5000)").expects_eof()
        net.run(serve, Where)


def test_a_client_waits_until_the_one_before_is_done() -> None:
    with Scenario() as net:
        net.client("alice").waits(30).sends(b"a\n").expects(b"A\n").closes()
        bob = net.client("bob").sends(b"b\n").expects(b"B\n").does(lambda: seen.append(net.now)).closes()
        seen: list[float] = []
        net.run(serve, Upper)
        assert (seen, bob.received) == ([30.0], b"B\n")


def test_a_hundred_clients_are_served() -> None:
    with Scenario() as net:
        clients = [net.client().sends(b"n%d\n" % number).expects(b"N%d\n" % number).closes() for number in range(100)]
        net.run(serve, Upper)
        assert [b"N%d\n" % number for number in range(100)] == [client.received for client in clients]


# -- what goes wrong ----------------------------------------------------------------------------


def test_a_handler_that_times_out_leaves_the_others_their_turn(capsys: pytest.CaptureFixture[str]) -> None:
    class Impatient(Upper):
        timeout = 3

    with Scenario() as net:
        net.client("alice").sends(b"hal").expects_eof()
        net.client("bob").sends(b"b\n").expects(b"B\n").does(lambda: seen.append(net.now)).closes()
        seen: list[float] = []
        net.run(serve, Impatient)
        assert seen == [3.0]
    assert "TimeoutError: timed out" in capsys.readouterr().err


def test_a_client_that_resets_leaves_the_others_their_turn(capsys: pytest.CaptureFixture[str]) -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hal").resets()
        net.client("bob").sends(b"b\n").expects(b"B\n").closes()
        net.run(serve, Upper)
    assert "ConnectionResetError: [Errno 104] Connection reset by peer" in capsys.readouterr().err


def test_what_a_handler_raises_ends_its_connection_only(capsys: pytest.CaptureFixture[str]) -> None:
    class Divides(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"%d\n" % (12 // int(self.rfile.readline())))

    with Scenario(allow={"unhandled-exception"}) as net:
        net.client("alice").sends(b"0\n").expects_eof()
        net.client("bob").sends(b"3\n").expects(b"4\n").expects_eof()
        net.run(serve, Divides)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_wrong_answer_comes_out_though_the_server_swallows_what_handlers_raise() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice was sent b'HI\\n' where it expects b'Hi\\n'") as caught:
        with Scenario() as net:
            net.client("alice").sends(b"hi\n").expects(b"Hi\n").closes()
            net.run(serve, Upper)
    assert caught.value.rule == "unexpected-send"


def test_a_silent_client_that_stays_freezes_the_server() -> None:
    with pytest.raises(ScenarioError, match=r"alice sends nothing more: its script is at its end") as caught:
        with Scenario() as net:
            net.client("alice").sends(b"hi\n").expects(b"HI\n")
            net.run(serve, Upper)
    assert caught.value.rule == "read-without-data"


# -- the end ------------------------------------------------------------------------------------


def test_shutdown_lets_serve_forever_return() -> None:
    def main() -> str:
        with TCPServer(HERE, Upper) as server:
            net.on_end(server.shutdown)
            server.serve_forever()
        return "returned"

    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        assert net.run(main) == "returned"


def test_shutdown_takes_up_to_the_poll_interval() -> None:
    def main() -> None:
        with TCPServer(HERE, Upper) as server:
            net.on_end(server.shutdown)
            server.serve_forever(poll_interval=7)

    with Scenario() as net:
        net.client("alice").waits(10).closes()
        net.run(main)
    assert 10 < net.now <= 17


def test_ctrl_c_ends_serve_forever_and_closes_the_listener() -> None:
    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        net.interrupts()
        net.run(serve, Upper)
    assert (net.trace[-1].operation, net.trace[-1].socket) == ("close", "listener")


def test_the_end_of_the_run_closes_what_a_with_block_would() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        net.run(serve, Upper)
    assert (net.trace[-1].operation, net.trace[-1].socket) == ("close", "listener")


def test_server_close_without_a_with_block_is_enough() -> None:
    def main() -> None:
        server = TCPServer(HERE, Upper)
        net.on_end(server.shutdown)
        server.serve_forever()
        server.server_close()

    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        net.run(main)


def test_a_listener_left_open_at_a_return_is_told_when_pedantic() -> None:
    def main() -> None:
        servers.append(TCPServer(HERE, UpperOnce))
        servers[0].handle_request()

    servers: list[TCPServer] = []
    with pytest.raises(ScenarioError, match="the server returned and left listener open") as caught:
        with Scenario(pedantic=True) as net:
            net.client("alice").sends(b"hi\n").expects(b"HI\n").expects_eof()
            net.run(main)
    assert caught.value.rule == "unclosed-at-exit"


def test_shutdown_from_a_handler_is_told_to_wait_for_itself() -> None:
    class Stops(BaseRequestHandler):
        def handle(self) -> None:
            self.server.shutdown()  # its documentation: from another thread, else it deadlocks

    with pytest.raises(ScenarioError, match=r"\A\[deadlock\] the server waits for what another thread would do"):
        with Scenario() as net:
            net.client("alice").expects_eof()
            net.run(serve, Stops)


# -- one request at a time ----------------------------------------------------------------------


def test_handle_request_serves_one_client_and_returns() -> None:
    def main() -> None:
        with TCPServer(HERE, UpperOnce) as server:
            server.handle_request()

    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").expects_eof()
        net.run(main)


def test_who_comes_after_the_last_handle_request_is_told() -> None:
    def main() -> None:
        with TCPServer(HERE, UpperOnce) as server:
            server.handle_request()

    with pytest.raises(ScenarioError, match=r"listener was not asked for all its clients: bob is left"):
        with Scenario() as net:
            net.client("alice").sends(b"hi\n").expects(b"HI\n").expects_eof()
            net.client("bob").sends(b"hi\n").expects(b"HI\n").expects_eof()
            net.run(main)


def test_handle_request_times_out_in_virtual_time() -> None:
    class Waits(TCPServer):
        timed_out_at: float | None = None

        def handle_timeout(self) -> None:
            self.timed_out_at = net.now

    def main() -> float | None:
        with TCPServer(("127.0.0.1", 9999), UpperOnce) as other, Waits(HERE, UpperOnce) as server:
            server.timeout = 5
            server.handle_request()
            other.handle_request()
            return server.timed_out_at

    with Scenario() as net:
        net.client("alice", to=9999).waits(20).sends(b"hi\n").expects(b"HI\n").closes()
        assert net.run(main) == pytest.approx(5, abs=0.01)


def test_verify_request_turns_a_client_away() -> None:
    class Picky(TCPServer):
        def verify_request(self, request: Any, client_address: Any) -> bool:
            return bool(client_address[0] == "192.0.2.1")

    with Scenario() as net:
        net.client("alice", address=("192.0.2.1", 1)).sends(b"hi\n").expects(b"HI\n").closes()
        net.client("bob", address=("192.0.2.2", 2)).expects_eof()
        net.run(serve, Upper, Picky)


def test_service_actions_are_called_after_every_poll_interval() -> None:
    class Ticks(TCPServer):
        def service_actions(self) -> None:
            moments.append(net.now)

    moments: list[float] = []
    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").expects_eof().waits(2)
        net.run(serve, UpperOnce, Ticks)
    assert moments[:4] == [0.0, 0.5, 1.0, 1.5]


# -- addresses ----------------------------------------------------------------------------------


def test_an_address_in_use_is_an_error() -> None:
    def main() -> None:
        with TCPServer(HERE, Upper), TCPServer(HERE, Upper):
            pass

    with Scenario() as net, pytest.raises(OSError, match="Address already in use") as caught:
        net.run(main)
    assert caught.value.errno == EADDRINUSE


def test_an_address_in_use_is_an_error_even_with_reuse() -> None:
    class Reuses(TCPServer):
        allow_reuse_address = True

    def main() -> None:
        with Reuses(HERE, Upper), Reuses(HERE, Upper):
            pass

    with Scenario() as net, pytest.raises(OSError, match="Address already in use"):
        net.run(main)


def twice(server_class: type[TCPServer]) -> None:
    """Serve one client, and begin again at the same address."""
    for _ in range(2):
        with server_class(HERE, UpperOnce) as server:
            server.handle_request()


def test_a_server_that_has_closed_first_finds_its_address_in_use() -> None:
    with Scenario() as net, pytest.raises(OSError, match="Address already in use"):
        net.client("alice").sends(b"hi\n").expects(b"HI\n").expects_eof()
        net.run(twice, TCPServer)


def test_a_server_that_has_closed_first_can_begin_again_with_reuse() -> None:
    class Reuses(TCPServer):
        allow_reuse_address = True

    def second() -> None:
        net.client("bob").sends(b"b\n").expects(b"B\n").expects_eof()

    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"a\n").expects(b"A\n").expects_eof().does(second)
        net.run(twice, Reuses)


def test_port_0_gives_a_port_that_clients_find() -> None:
    def main() -> int:
        with TCPServer(("", 0), UpperOnce) as server:
            port = int(server.server_address[1])
            net.client("alice", to=port).sends(b"hi\n").expects(b"HI\n").expects_eof()
            server.handle_request()
            return port

    with Scenario() as net:
        assert net.run(main) != 0


def test_a_server_can_listen_at_an_ipv6_address() -> None:
    class Where(BaseRequestHandler):
        request: socket.socket

        def handle(self) -> None:
            self.request.sendall(repr(self.client_address[0]).encode())

    def main() -> None:
        with V6Server(("::1", 8888), Where) as server:
            server.handle_request()

    with Scenario() as net:
        net.client("alice", to=("::1", 8888)).expects(b"'::1'").expects_eof()
        net.run(main)


def test_two_servers_are_polled_by_one_loop() -> None:
    def main() -> None:
        with TCPServer(HERE, UpperOnce) as one, TCPServer(("127.0.0.1", 9999), Reverse) as other:
            one.handle_request()
            other.handle_request()

    with Scenario() as net:
        net.client("alice", to=8888).sends(b"abc\n").expects(b"ABC\n").expects_eof()
        net.client("bob", to=9999).sends(b"abc").expects(b"cba").expects_eof()
        net.run(main)


if sys.platform != "win32":
    from socketserver import ForkingTCPServer, UnixStreamServer

    def test_a_unix_server_answers_at_its_path(tmp_path: Path) -> None:
        path = str(tmp_path / "socket")

        def main() -> None:
            with UnixStreamServer(path, Upper) as server:
                server.serve_forever()

        with Scenario() as net:
            net.client("alice", to=path).sends(b"hi\n").expects(b"HI\n").closes()
            net.run(main)

    def test_a_unix_client_has_no_address(tmp_path: Path) -> None:
        class Where(BaseRequestHandler):
            request: socket.socket

            def handle(self) -> None:
                self.request.sendall(repr(self.client_address).encode())

        def main() -> None:
            with UnixStreamServer(str(tmp_path / "socket"), Where) as server:
                server.handle_request()

        with Scenario() as net:
            net.client("alice").expects(b"''").expects_eof()
            net.run(main)

    def test_a_unix_path_in_use_is_an_error(tmp_path: Path) -> None:
        def main() -> None:
            with UnixStreamServer(str(tmp_path / "socket"), Upper), UnixStreamServer(str(tmp_path / "socket"), Upper):
                pass

        with Scenario() as net, pytest.raises(OSError, match="Address already in use"):
            net.run(main)

    def test_a_forking_server_is_refused_aloud() -> None:
        with pytest.raises(NotImplementedError, match="Use the class without ForkingMixIn"):
            with Scenario() as net:
                net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
                net.run(serve, Upper, ForkingTCPServer)


# -- refused ------------------------------------------------------------------------------------


def test_a_udp_server_is_refused_aloud() -> None:
    def main() -> None:
        with UDPServer(HERE, BaseRequestHandler) as server:
            server.serve_forever()

    with pytest.raises(NotImplementedError, match="UDP is not simulated"):
        with Scenario() as net:
            net.run(main)


def test_the_real_classes_are_back_after_a_run() -> None:
    before = socket.socket
    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        net.run(serve, Upper)
    assert before is socket.socket

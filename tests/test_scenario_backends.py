"""What a program connects to: backends that answer, refuse, take their time, or are not there."""

from __future__ import annotations

import contextlib
import http.client
import os
import selectors
import socket
import sys
import time
from typing import Any

import pytest

from mockselector import Expects, Scenario, ScenarioError, Sends
from scenario_servers import DB, PORT, calls, echo, headline, hello, nothing, read_all


def asks(conn: socket.socket) -> bytes:
    conn.sendall(b"q")
    return conn.recv(100)


def test_a_backend_answers() -> None:
    with Scenario() as net:
        db = net.backend(DB).expects(b"q").sends(b"r").expects_eof()
        assert net.run(calls, asks) == b"r"
    assert db.received == b"q"


@pytest.mark.parametrize("uses", [1, 2])
def test_a_connection_that_lies_in_a_pool_when_its_backend_closes_it_is_not_leaked(uses: int) -> None:
    def main() -> None:
        pool = http.client.HTTPConnection(*DB)  # as those of requests and urllib3
        with socket.create_server(("localhost", PORT)) as listener:
            while True:
                with listener.accept()[0] as conn:
                    try:
                        pool.request("GET", "/")
                        answer = pool.getresponse()
                    except http.client.RemoteDisconnected:
                        pool.request("GET", "/")
                        answer = pool.getresponse()
                    conn.sendall(answer.read())

    says = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    with Scenario() as net:
        for use in range(uses):
            net.backend(DB).expects(lambda _: True, until=b"\r\n\r\n").sends(says).waits(5).closes()
            net.client(delay=10 * use).expects(b"hi").expects_eof()
        net.run(main)


@pytest.mark.parametrize("network", ["simulated", "loopback"])
@pytest.mark.parametrize("way", ["connect", "connect_ex", "without waiting"])
def test_a_name_that_nobody_has_given_is_found_whichever_way_it_is_asked_for(way: str, network: Any) -> None:
    def main() -> None:
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.setblocking(way != "without waiting")
            (sock.connect_ex if way == "connect_ex" else sock.connect)(("db", 5432))

    with pytest.raises(ScenarioError, match="connects to 'db', which the scenario does not know") as caught:
        with Scenario(network=network) as net:
            net.run(main)
    assert caught.value.rule == "unscripted-connection"


def test_one_whose_end_was_read_is() -> None:
    def main() -> None:
        with socket.create_server(("localhost", PORT)) as listener:
            while True:
                listener.accept()[0].close()
                kept.append(socket.create_connection(DB))
                assert kept[-1].recv(10) == b""

    kept: list[socket.socket] = []
    with pytest.raises(ScenarioError, match="^.leaked-connection"), Scenario() as net:
        net.backend(DB).closes()
        net.client().closes()
        net.run(main)


@pytest.mark.parametrize("delay", [None, 30])
def test_nobody_waits_for_an_answer_that_the_program_has_given_up(delay: float | None) -> None:
    def main() -> None:
        with socket.create_server(("localhost", PORT)) as listener, listener.accept()[0] as conn:
            with pytest.raises(TimeoutError):
                socket.create_connection(DB, timeout=5)
            conn.sendall(b"no answer")
        with socket.create_server(("localhost", PORT)) as listener:
            listener.accept()

    with Scenario() as net:
        net.backend(DB, delay=delay)
        net.client("alice").expects(b"no answer").expects_eof()
        net.run(main)
    assert net.now == 5


def test_a_backend_goes_by_its_host() -> None:
    with Scenario() as net:
        net.backend(DB).expects_eof()
        net.run(calls, nothing)
    assert [row.socket for row in net.trace if row.operation.startswith("connect")] == ["db"]


def test_a_backend_may_have_a_name() -> None:
    text = "the database was sent b'q' where it expects b'Q'"
    with pytest.raises(ScenarioError, match=headline(text, "unexpected-send")):
        with Scenario() as net:
            net.backend(DB, "the database").expects(b"Q")
            net.run(calls, asks)


def test_a_backend_may_be_given_its_steps() -> None:
    with Scenario() as net:
        net.backend(DB, steps=[Expects(b"q"), Sends(b"r")])
        assert net.run(calls, asks) == b"r"


@pytest.mark.parametrize("blocking", [True, False])
def test_a_backend_that_refuses(blocking: bool) -> None:
    def main() -> float:
        with pytest.raises(ConnectionRefusedError, match="Connection refused"):
            calls(nothing) if blocking else connects_later()
        return net.now

    with Scenario() as net:
        net.backend(DB, refuses=True, delay=2)
        assert net.run(main) == 2.0


def connects_later() -> None:
    """Connect without blocking, and wait in a selector."""
    with socket.socket() as sock, selectors.DefaultSelector() as selector:
        sock.setblocking(False)
        number = sock.connect_ex(DB)
        assert os.strerror(number) == "Operation now in progress"
        selector.register(sock, selectors.EVENT_WRITE)
        assert selector.select()
        selector.unregister(sock)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("blocking", [True, False])
def test_a_backend_that_takes_its_time(blocking: bool) -> None:
    def main() -> float:
        calls(nothing) if blocking else connects_later()
        return net.now

    with Scenario() as net:
        net.backend(DB, delay=2.5).expects_eof()
        assert net.run(main) == 2.5


@pytest.mark.parametrize("delay", [None, 200.0])
@pytest.mark.parametrize("blocking", [True, False])
def test_a_backend_that_never_answers_is_given_up_as_linux_does(blocking: bool, delay: float | None) -> None:
    def main() -> float:
        with pytest.raises(TimeoutError, match=r"timed out"):
            calls(nothing) if blocking else connects_later()
        return net.now

    with Scenario() as net:
        net.backend(DB, delay=delay)
        assert net.run(main) == 127.0


def test_the_first_connection_gets_the_first_backend_and_the_second_the_second() -> None:
    with Scenario() as net:
        net.backend(DB).expects(b"q").sends(b"one")
        net.backend(DB).expects(b"q").sends(b"two")
        assert net.run(lambda: [calls(asks), calls(asks)]) == [b"one", b"two"]


def test_a_third_connection_finds_no_more_backends() -> None:
    text = "the program connects to ('db', 5432), where the scenario has no more backends"
    with pytest.raises(ScenarioError, match=headline(text, "unscripted-connection")):
        with Scenario() as net:
            net.backend(DB).expects(b"q").sends(b"one")
            net.run(lambda: [calls(asks), calls(asks)])


def test_another_port_has_no_backend() -> None:
    text = "the program connects to ('db', 5433), where the scenario has no backend"
    with pytest.raises(ScenarioError, match=headline(text, "unscripted-connection")) as caught:
        with Scenario() as net:
            net.backend(DB)
            net.run(lambda: socket.create_connection(("db", 5433)))
    assert "net.backend(('db', 5433))" in str(caught.value)


def test_an_unknown_host_has_no_backend() -> None:
    text = "the program connects to 'nowhere', which the scenario does not know"
    with pytest.raises(ScenarioError, match=headline(text, "unscripted-connection")):
        with Scenario() as net:
            net.run(lambda: socket.create_connection(("nowhere", 1)))


def test_an_unscripted_connection_is_refused_where_it_is_allowed() -> None:
    def main() -> None:
        with pytest.raises(ConnectionRefusedError, match="Connection refused"):
            socket.create_connection(("192.0.2.1", 1))

    with Scenario(allow={"unscripted-connection"}) as net:
        net.run(main)


def test_an_unknown_host_is_unknown_where_unscripted_connections_are_allowed() -> None:
    def main() -> None:
        with pytest.raises(socket.gaierror, match="Name or service not known"):
            socket.create_connection(("nowhere", 1))

    with Scenario(allow={"unscripted-connection"}) as net:
        net.run(main)


def test_a_backend_that_is_not_used_is_told() -> None:
    text = "db was never connected to"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")):
        with Scenario() as net:
            net.backend(DB).expects(b"q")
            net.run(lambda: None)


def test_a_backend_that_is_not_used_does_not_keep_a_run_from_its_end() -> None:
    net = Scenario()
    with pytest.raises(ScenarioError, match=headline("db was never connected to", "unmet-expectation")):
        with net:
            net.backend(DB).expects(b"q")
            hello(net)
            net.run(echo)
    assert net.now == 0.0


def test_a_backend_may_be_left_unused_where_that_is_allowed() -> None:
    with Scenario() as net:
        net.backend(DB, allow={"unmet-expectation"}).expects(b"q")
        net.run(lambda: None)


def test_a_backend_that_is_closed_on_while_it_is_dialled_is_not_met() -> None:
    def main() -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(DB)
        time.sleep(10)

    with Scenario(allow={"unmet-expectation"}) as net:
        net.backend(DB, delay=5).expects(b"q")
        net.run(main)


def test_a_backend_has_a_buffer_of_its_own() -> None:
    with Scenario() as net:
        net.backend(DB, buffer=4).sends(b"abcdef").closes()
        assert net.run(calls, read_all) == [b"abcd", b"ef"]


@pytest.mark.parametrize(
    ("address", "family"),
    [(("10.0.0.1", 80), socket.AF_INET), (("localhost", 80), socket.AF_INET), (("::1", 80), socket.AF_INET6)],
    ids=["v4", "name", "v6"],
)
def test_a_backend_may_be_at_any_kind_of_address(address: tuple[str, int], family: int) -> None:
    def main() -> int:
        with socket.create_connection(address) as conn:
            return int(conn.family)

    with Scenario() as net:
        net.backend(address).expects_eof()
        assert net.run(main) == family


def test_a_program_that_connects_to_itself_needs_no_backend() -> None:
    def main() -> bytes:
        with (
            socket.create_server(("localhost", PORT)) as listener,
            socket.create_connection(("localhost", PORT)) as near,
        ):
            far, _ = listener.accept()
            with far:
                far.sendall(b"hi")
                return near.recv(9)

    with Scenario() as net:
        assert net.run(main) == b"hi"


def test_a_bound_socket_keeps_its_address_when_it_connects() -> None:
    def main() -> object:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 4321))
            sock.connect(DB)
            return sock.getsockname()

    with Scenario() as net:
        net.backend(DB).expects_eof()
        assert net.run(main) == ("127.0.0.1", 4321)


if sys.platform != "win32":

    def test_a_backend_may_be_at_a_path() -> None:
        def main() -> tuple[bytes, object, object]:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect("/run/db.sock")
                return asks(sock), sock.getpeername(), sock.getsockname()

        with Scenario() as net:
            net.backend("/run/db.sock").expects(b"q").sends(b"r").expects_eof()
            assert net.run(main) == (b"r", "/run/db.sock", "")

    def test_a_path_without_a_backend_is_told() -> None:
        text = "the program connects to '/run/db.sock', where the scenario has no backend"
        with pytest.raises(ScenarioError, match=headline(text, "unscripted-connection")):
            with Scenario() as net:
                net.run(lambda: socket.socket(socket.AF_UNIX).connect("/run/db.sock"))


def test_a_backend_that_is_never_connected_has_no_steps() -> None:
    net = Scenario()
    net._run.settled = True
    with pytest.raises(RuntimeError, match=r"^db has refuses=True: it is never connected, and has no steps to take$"):
        net.backend(("db", 5432), refuses=True).expects(b"q")
    with pytest.raises(RuntimeError, match=r"^db \(2\) has delay=None: it is never connected"):
        net.backend(("db", 5432), delay=None).expects(b"q")


@pytest.mark.parametrize("delay", [None, 500.0])
def test_time_does_not_go_on_for_a_backend_that_nobody_waits_for_any_more(delay: float | None) -> None:
    def gives_up() -> None:
        with socket.socket() as conn:
            conn.settimeout(3)
            with pytest.raises(TimeoutError):
                conn.connect(DB)

    with Scenario() as net:
        net.backend(DB, delay=delay)
        net.run(gives_up)
    assert 3.0 == net.now

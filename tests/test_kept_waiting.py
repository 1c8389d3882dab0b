"""A call that blocks, in a server of several peers: found where it keeps another one waiting."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import selectors
import socket
import socketserver
from http.server import BaseHTTPRequestHandler, HTTPServer
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, NoReturn

import pytest

from mockselector import Scenario, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mockselector import RuleId

    Handle = Callable[[socket.socket], bytes]
    Greet = Callable[[socket.socket], object]
    Peers = Callable[[Scenario], object]


def just_one(conn: socket.socket) -> bytes:
    return conn.recv(1024)


def loop(handle: Handle = just_one, greet: Greet = lambda _: None, backlog: int = 100) -> NoReturn:
    """An echo of several clients, on sockets that block."""
    with selectors.DefaultSelector() as selector, socket.create_server(("", 8888), backlog=backlog) as listener:
        selector.register(listener, EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    conn, _ = listener.accept()
                    greet(conn)
                    selector.register(conn, EVENT_READ)
                    continue
                assert isinstance(key.fileobj, socket.socket)
                if data := handle(key.fileobj):
                    key.fileobj.sendall(data)
                else:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()


def whole_line(conn: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        chunk = conn.recv(1)
        if not chunk:
            break
        data += chunk
    return data


def by_a_file(conn: socket.socket) -> bytes:
    with conn.makefile("rb") as file:
        return file.readline()


def eight_bytes(conn: socket.socket) -> bytes:
    return conn.recv(8, socket.MSG_WAITALL)


def into_a_buffer(conn: socket.socket) -> bytes:
    buffer = bytearray(8)
    size = 0
    while size < 8:
        more = conn.recv_into(memoryview(buffer)[size:])
        if not more:
            break
        size += more
    return bytes(buffer[:size])


READS = [whole_line, by_a_file, eight_bytes, into_a_buffer]


def half_a_line(net: Scenario) -> None:
    net.client("alice").sends(b"1234").waits(600).sends(b"567\n").expects(b"1234567\n").closes()


def with_bob(net: Scenario) -> None:
    half_a_line(net)
    net.client("bob", delay=100).sends(b"1234567\n").expects(b"1234567\n").closes()


def with_bob_there_already(net: Scenario) -> None:
    bob = net.client("bob").sends(b"0000000\n").expects(b"0000000\n").waits(20)
    half_a_line(net)
    bob.sends(b"1234567\n").expects(b"1234567\n").closes()


@pytest.mark.parametrize("handle", READS)
def test_a_read_that_waits_alone_harms_nobody(handle: Handle) -> None:
    with Scenario() as net:
        half_a_line(net)
        net.run(loop, handle)


@pytest.mark.parametrize("handle", READS)
@pytest.mark.parametrize(("peers", "waited"), [(with_bob, "500 s"), (with_bob_there_already, "580 s")])
def test_a_read_that_keeps_another_one_waiting_is_found(handle: Handle, peers: Peers, waited: str) -> None:
    text = rf"\A\[blocking-read\] alice .*, and the read waited 600 s, while bob was kept waiting for {waited}\n"
    with pytest.raises(ScenarioError, match=text) as caught, Scenario() as net:
        peers(net)
        net.run(loop, handle)
    assert caught.value.rule == "blocking-read"
    assert caught.value.socket == "alice"


ALLOWED: set[RuleId] = {"blocking-read"}


def test_it_can_be_allowed_for_the_run() -> None:
    with Scenario(allow=ALLOWED) as net:
        with_bob(net)
        net.run(loop, whole_line)


def test_it_can_be_allowed_for_a_peer() -> None:
    with Scenario() as net:
        net.client("alice", allow=ALLOWED).sends(b"1").waits(9).sends(b"\n").expects(b"1\n").closes()
        net.client("bob", delay=1).sends(b"hi\n").expects(b"hi\n").closes()
        net.run(loop, whole_line)


def test_one_that_has_only_left_is_not_kept_waiting() -> None:
    with Scenario() as net:
        net.client("bob").sends(b"hi\n").expects(b"hi\n").waits(2).closes()
        half_a_line(net)
        net.run(loop, whole_line)


def test_one_that_has_had_room_all_along_is_not_kept_waiting() -> None:
    def serve() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
            bob, alice = listener.accept()[0], listener.accept()[0]
            with bob, alice:
                selector.register(bob, EVENT_WRITE)
                selector.register(alice, EVENT_READ)
                alice.sendall(whole_line(alice))
                for key, _ in selector.select():
                    assert key.fileobj is bob
                    bob.sendall(b"hello")
                selector.unregister(bob)
                selector.unregister(alice)

    with Scenario() as net:
        net.client("bob").expects(b"hello").expects_eof()
        net.client("alice", delay=1).sends(b"1234").waits(600).sends(b"567\n").expects(b"1234567\n").expects_eof()
        net.run(serve)


def test_whoever_comes_in_the_moment_in_which_it_ends_has_not_waited() -> None:
    with Scenario() as net:
        half_a_line(net)
        net.client("bob", delay=600).sends(b"hi\n").expects(b"hi\n").closes()
        net.run(loop, whole_line)


def test_a_greeting_that_is_waited_for_is_found_though_no_connection_was_registered_yet() -> None:
    with (
        pytest.raises(
            ScenarioError, match=r"\A\[blocking-read\] alice .* while bob was kept waiting for 5 s\n"
        ) as caught,
        Scenario() as net,
    ):
        net.client("alice").waits(5).sends(b"my name").waits(1).sends(b"hi").expects(b"hi").closes()
        net.client("bob").sends(b"bob").waits(10).closes()
        net.run(loop, just_one, lambda conn: conn.recv(100))
    assert caught.value.rule == "blocking-read"
    assert "bob has connected, and waits to be accepted" in str(caught.value)


@pytest.mark.parametrize("name", ["sendall", "send"])
def test_a_send_that_keeps_another_one_waiting_is_found(name: str) -> None:
    def twice(conn: socket.socket) -> bytes:
        if data := conn.recv(100):
            getattr(conn, name)(2 * data)
        return data

    def slow_reader(net: Scenario) -> None:
        net.client("alice", buffer=4).sends(b"1234").waits(60).expects(b"123412341234").closes()

    with Scenario() as net:
        slow_reader(net)
        net.run(loop, twice)
    text = r"\A\[blocking-send\] alice .*, and the send waited 60 s, while bob was kept waiting for 50 s\n"
    with pytest.raises(ScenarioError, match=text), Scenario() as net:
        slow_reader(net)
        net.client("bob", delay=10).sends(b"hi").closes()
        net.run(loop, twice)


def test_an_accept_that_keeps_another_one_waiting_is_found() -> None:
    def twice() -> NoReturn:
        with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
            selector.register(listener, EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is listener:
                        for _ in range(2):
                            selector.register(listener.accept()[0], EVENT_READ)

    with pytest.raises(ScenarioError, match=r"^\[accept-without-connection\]") as caught, Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").closes()
        net.client("bob", delay=50).closes()
        net.run(twice)
    assert "alice has sent b'hi', which nobody reads" in str(caught.value)


def test_one_that_has_room_again_is_kept_waiting() -> None:
    def queues() -> NoReturn:
        with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
            selector.register(listener, EVENT_READ)
            while True:
                for key, mask in selector.select():
                    if key.fileobj is listener:
                        conn, _ = listener.accept()
                        selector.register(conn, EVENT_READ)
                        continue
                    assert isinstance(key.fileobj, socket.socket)
                    conn = key.fileobj
                    if mask & EVENT_WRITE:
                        conn.send(b"x")
                        selector.modify(conn, EVENT_READ)
                        continue
                    if (data := conn.recv(1)) == b"+":
                        conn.setblocking(False)
                        with contextlib.suppress(BlockingIOError):
                            while conn.send(b"x"):
                                pass
                        selector.modify(conn, EVENT_WRITE)
                    elif data:
                        conn.recv(1)  # what belongs to it
                    else:
                        selector.unregister(conn)
                        conn.close()

    with (
        pytest.raises(
            ScenarioError, match=r"\A\[blocking-read\] alice .* while bob was kept waiting for 21 s\n"
        ) as caught,
        Scenario() as net,
    ):
        net.client("alice", delay=1).sends(b"-").waits(30).sends(b"-").closes()
        net.client("bob", buffer=4).sends(b"+").waits(10).expects(b"x" * 5).closes()
        net.run(queues)
    assert caught.value.rule == "blocking-read"
    assert "bob has read, and waits for the rest" in str(caught.value)


# -- right by design --


def one_at_a_time() -> NoReturn:
    with socket.create_server(("", 8888)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn, conn.makefile("rb") as file:
                for line in file:
                    conn.sendall(line)


class Lines(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


class Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  (its name)


def by_socketserver() -> None:
    with socketserver.TCPServer(("", 8888), Lines) as server:
        server.serve_forever()


def with_its_own_selector(conn: socket.socket) -> bytes:
    """As some do for a time-out: a selector with this one connection."""
    with selectors.DefaultSelector() as selector:
        selector.register(conn, EVENT_READ)
        selector.select(1000)
    return conn.recv(100)


def waits_by_a_selector() -> NoReturn:
    with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
        selector.register(listener, EVENT_READ)
        while True:
            selector.select()
            conn, _ = listener.accept()
            with conn:
                data = b"x"
                while data:
                    data = with_its_own_selector(conn)
                    data += whole_line(conn) if data and not data.endswith(b"\n") else b""
                    conn.sendall(data)


@pytest.mark.parametrize("server", [one_at_a_time, by_socketserver, waits_by_a_selector])
def test_a_server_that_takes_one_after_the_other_makes_the_rest_wait_by_design(server: Callable[[], None]) -> None:
    with Scenario() as net:
        half_a_line(net)
        for _ in range(3):
            net.client(delay=3).sends(b"hi\n").expects(b"hi\n").closes()
        net.run(server)


def test_so_does_an_http_server() -> None:
    def serve() -> None:
        with HTTPServer(("", 8888), Web) as server:
            server.serve_forever()

    with Scenario() as net:
        for pause in (0, 7, 0):
            peer = net.client().sends(b"GET / HTTP/1.0\r\n").waits(pause).sends(b"\r\n")
            peer.expects(lambda answer: answer.endswith(b"hello"), until="eof").closes()
        net.run(serve)


def test_a_time_out_says_how_long_a_read_may_keep_others_waiting() -> None:
    with Scenario() as net:
        with_bob(net)
        net.run(loop, whole_line, lambda conn: conn.settimeout(1000))


def test_a_client_of_several_servers_keeps_nobody_waiting() -> None:
    def main() -> bytes:
        one, two = (socket.create_connection((name, 1)) for name in ("one", "two"))
        with one, two, selectors.DefaultSelector() as selector:
            selector.register(one, EVENT_READ)
            selector.register(two, EVENT_READ)
            selector.select()
            return two.recv(100) + one.recv(100)

    with Scenario() as net:
        net.backend(("one", 1)).sends(b"1")
        net.backend(("two", 1)).waits(30).sends(b"2")
        assert net.run(main) == b"21"


def asks(conn: socket.socket) -> bytes:
    """Ask a backend, in calls that block."""
    data = conn.recv(100)
    if data:
        with socket.create_connection(("db", 1)) as backend:
            backend.sendall(data)
            return backend.recv(100)
    return b""


def test_who_asked_waits_for_the_backend_anyway() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"q").waits(1).shuts_down().expects(b"a").expects_eof()
        net.backend(("db", 1)).expects(b"q").waits(20).sends(b"a").expects_eof()
        net.run(loop, asks)


def test_another_client_should_not() -> None:
    with pytest.raises(
        ScenarioError, match=r"\A\[blocking-read\] db was read .* 20 s, while bob was kept waiting for 15 s\n"
    ):
        with Scenario() as net:
            net.client("alice").sends(b"q").expects(b"a").closes()
            net.client("bob", delay=5).sends(b"q").expects(b"a").closes()
            for _ in range(2):
                net.backend(("db", 1), "db").expects(b"q").waits(20).sends(b"a").expects_eof()
            net.run(loop, asks)


@pytest.fixture
def _own_garbage() -> Iterator[None]:
    """The loop is left by the finding, with its transports."""
    yield
    gc.collect()


@pytest.mark.usefixtures("_own_garbage")
@pytest.mark.filterwarnings("ignore:unclosed transport", "ignore:Exception ignored")
def test_a_blocking_call_in_a_coroutine_freezes_its_loop() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        with socket.create_connection(("db", 1)) as backend:
            writer.write(backend.recv(100))
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(handle, "127.0.0.1", 8888) as server:
            await server.serve_forever()

    with (
        pytest.raises(
            ScenarioError, match=r"\A\[blocking-read\] db .* while bob was kept waiting for 19 s\n"
        ) as caught,
        Scenario() as net,
    ):
        net.client("alice").sends(b"q").expects(b"a").closes()
        net.client("bob", delay=1).sends(b"q").expects(b"a").closes()
        for _ in range(2):
            net.backend(("db", 1)).waits(20).sends(b"a").closes()
        net.run(lambda: asyncio.run(main()))
    assert caught.value.rule == "blocking-read"


def test_pedantic_names_who_was_kept_waiting_as_well() -> None:
    with (
        pytest.raises(ScenarioError, match=r"\A\[blocking-read\] .* 600 s, while bob was kept"),
        Scenario(pedantic=True) as net,
    ):
        with_bob(net)
        net.run(loop, whole_line)
    with (
        pytest.raises(ScenarioError, match=r"\A\[blocking-read\] .* the read waited 600 s\n"),
        Scenario(pedantic=True) as net,
    ):
        half_a_line(net)
        net.run(loop, whole_line)

"""TLS in scenarios: what a server has of it, and what scripted peers that speak it say and see."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import http.server
import selectors
import smtplib
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

import mockselector
from contexts import certificate, for_client, for_server
from mockselector import Closes, Expects, ExpectsEof, Receives, Scenario, ScenarioError, Sends, StartsTls

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockselector import Play

Network = Literal["simulated", "loopback"]
BOTH: list[Network] = ["simulated", *["loopback"] * (sys.platform != "win32")]  # type: ignore[list-item]

HELLO = b"hello\n"


def echo(port: int, context: ssl.SSLContext | None = None, *, drains: bool = True) -> None:
    """Echo over TLS by a selector; `drains`: reads until there is no more."""
    context = context or for_server()
    selector = selectors.DefaultSelector()
    with socket.create_server(("", port)) as listener:
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    plain, _ = listener.accept()
                    plain.setblocking(False)
                    new = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                    selector.register(new, selectors.EVENT_READ, new.do_handshake)
                    continue
                sock: Any = key.fileobj
                try:
                    if key.data is not None:
                        key.data()
                        selector.modify(sock, selectors.EVENT_READ, None)
                    data = sock.recv(1024)
                    while data:
                        sock.sendall(data)
                        if not drains:
                            break
                        data = sock.recv(1024)
                except (ssl.SSLWantReadError, BlockingIOError):
                    continue
                except OSError:
                    data = b""
                if not data:
                    selector.unregister(sock)
                    sock.close()


def one_by_one(handle: Callable[[ssl.SSLSocket], object], port: int = 0, **options: Any) -> Callable[[], None]:
    """A server that serves one client after the other, by blocking calls, from a listener that is wrapped."""

    def serve() -> None:
        with socket.create_server(("", port)) as plain:
            with for_server().wrap_socket(plain, server_side=True, **options) as listener:
                while True:
                    sock, _ = listener.accept()
                    with sock:
                        handle(sock)

    return serve


# -- scripted peers --------------------------------------------------------------------------------


@pytest.mark.parametrize("network", BOTH)
def test_a_client_speaks_plain_text_in_its_script_and_tls_on_its_connection(network: Network) -> None:
    with Scenario(network=network) as net:
        alice = net.client("alice", tls=for_client()).sends(HELLO).expects(HELLO).closes()
        net.run(echo, 0)
    assert alice.received == HELLO


@pytest.mark.parametrize("network", BOTH)
def test_a_backend_is_the_servers_side(network: Network) -> None:
    def ask() -> bytes:
        with socket.create_connection(("db", 5432)) as plain:
            with for_client().wrap_socket(plain, server_hostname="db") as sock:
                sock.sendall(b"question")
                return sock.recv(100)

    with Scenario(network=network) as net:
        net.backend(("db", 5432), tls=for_server()).expects(b"question").sends(b"answer").expects_eof()
        assert net.run(ask) == b"answer"


@pytest.mark.parametrize("network", BOTH)
def test_peers_speak_tls_with_an_event_loop_of_asyncio(network: Network) -> None:
    async def serve() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                writer.write(line)
            writer.close()

        server = await asyncio.start_server(handle, "localhost", 0, ssl=for_server())
        await server.serve_forever()

    with Scenario(network=network) as net:
        net.client("alice", tls=for_client()).sends(HELLO).expects(HELLO).sends(b"again\n").expects(b"again\n").closes()
        net.client("bob", tls=for_client()).sends(HELLO * 3000).expects(HELLO * 3000).closes()
        net.run(serve)


def test_what_a_client_of_asyncio_asks_a_backend_over_tls_is_answered() -> None:
    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("db", 5432, ssl=for_client())
        writer.write(b"question")
        answer = await reader.read(100)
        writer.close()
        await writer.wait_closed()
        return answer

    with Scenario() as net:
        net.backend(("db", 5432), tls=for_server()).expects(b"question").sends(b"answer").expects_eof().closes()
        assert net.run(ask) == b"answer"


def test_steps_take_place_in_generators_too() -> None:
    def play() -> Play:
        yield StartsTls(for_client())
        yield Sends(b"one\n")
        answer = yield Receives()
        yield Sends(answer.upper())
        yield Expects(b"ONE\n", until=b"\n")
        yield Closes()

    with Scenario() as net:
        alice = net.client("alice").plays(play)
        net.run(echo, 443)
    assert alice.received == b"one\nONE\n"


def test_a_connection_starts_in_plain_text_and_goes_on_in_tls() -> None:
    def serve() -> None:
        with socket.create_server(("", 25)) as listener:
            plain, _ = listener.accept()
            plain.sendall(b"220 welcome\r\n")
            assert plain.recv(100) == b"STARTTLS\r\n"
            plain.sendall(b"220 go ahead\r\n")
            with for_server().wrap_socket(plain, server_side=True) as sock:
                assert sock.recv(100) == b"NOOP\r\n"
                sock.sendall(b"250 OK\r\n")
                assert sock.recv(100) == b""

    with Scenario() as net:
        alice = net.client("alice").expects(b"220 welcome\r\n").sends(b"STARTTLS\r\n").expects(b"220 go ahead\r\n")
        alice.starts_tls(for_client()).sends(b"NOOP\r\n").expects(b"250 OK\r\n").closes()
        net.run(serve)


def test_smtplib_starts_tls_with_a_backend() -> None:
    def send() -> None:
        with smtplib.SMTP("mail", 25, local_hostname="me") as client:
            client.starttls(context=for_client())
            client.sendmail("a@b", ["c@d"], "text")

    def answers() -> Play:
        while True:
            line = yield Expects(bytes.strip, until=b"\r\n")
            line = line.upper()
            if line.startswith(b"DATA"):
                yield Sends(b"354 go on\r\n")
                yield Expects(bytes.strip, until=b"\r\n.\r\n")
            yield Sends(b"221 bye\r\n" if line.startswith(b"QUIT") else b"250 OK\r\n")
            if line.startswith(b"QUIT"):
                return

    with Scenario() as net:
        mail = net.backend(("mail", 25)).sends(b"220 mail\r\n").expects(b"ehlo me\r\n")
        mail.sends(b"250-mail\r\n250 STARTTLS\r\n").expects(b"STARTTLS\r\n").sends(b"220 go ahead\r\n")
        mail.starts_tls(for_server()).plays(answers).expects_eof()
        net.run(send)
    assert b"\r\ntext\r\n.\r\n" in mail.received


def test_what_a_peer_reads_slowly_backs_up_in_plain_text() -> None:
    def serve() -> None:
        one_by_one(lambda sock: sock.sendall(b"x" * 200_000))()

    with Scenario() as net:
        alice = net.client("alice", tls=for_client()).reads_slowly(10_000, every=1)
        alice.expects(b"x" * 200_000).expects_eof().closes()
        net.run(serve)
    assert 12 < net.now < 25  # what fits on the way is sent at once


@pytest.mark.parametrize("buffer", [1, 7, 100, 4096])
def test_however_little_fits_into_a_connection_all_comes(buffer: int) -> None:
    data = bytes(range(256)) * 8
    with Scenario() as net:
        net.client("alice", tls=for_client(), buffer=buffer).sends(data).expects(data).closes()
        net.run(one_by_one(lambda sock: sock.sendall(sock.recv(4096))))


def test_a_sends_is_one_recv() -> None:
    seen: list[bytes] = []

    def handle(sock: ssl.SSLSocket) -> None:
        while data := sock.recv(1024):
            seen.append(data)

    with Scenario() as net:
        net.client("alice", tls=for_client()).sends(b"one").sends(b"two").closes()
        net.run(one_by_one(handle))
    assert seen == [b"one", b"two"]


def test_a_handshake_asks_for_the_name_that_the_test_says() -> None:
    asked: list[str | None] = []
    server = for_server("other")
    server.sni_callback = lambda sock, name, context: asked.append(name)
    with Scenario() as net:
        net.client("alice").starts_tls(for_client("other"), server_hostname="other").closes()
        net.run(echo, 443, server)
    assert asked == ["other"]


def test_a_client_asks_for_the_host_to_which_it_connects() -> None:
    asked: list[str | None] = []
    server = for_server()
    server.sni_callback = lambda sock, name, context: asked.append(name)
    with Scenario() as net:
        net.client("alice", to=("localhost", 443), tls=for_client()).closes()
        net.client("bob", tls=for_client()).closes()
        net.run(echo, 443, server)
    assert asked == ["localhost", "localhost"]


# -- ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", BOTH)
@pytest.mark.parametrize("ragged", [False, True])
def test_a_peer_closes_with_or_without_a_word_of_it(network: Network, ragged: bool) -> None:
    seen: list[object] = []

    def handle(sock: ssl.SSLSocket) -> None:
        try:
            seen.append(sock.recv(10))
        except ssl.SSLEOFError as error:
            seen.append(type(error))

    with Scenario(network=network) as net:
        net.client("alice", tls=for_client()).closes(ragged=ragged)
        net.run(one_by_one(handle, suppress_ragged_eofs=False))
    assert seen == [ssl.SSLEOFError if ragged else b""]


def says_so(sock: ssl.SSLSocket) -> None:
    sock.unwrap()


def says_nothing(sock: ssl.SSLSocket) -> None:
    sock.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("handle", [says_so, says_nothing])
def test_an_end_is_an_end_unless_the_script_tells_them_apart(handle: Callable[[ssl.SSLSocket], None]) -> None:
    with Scenario() as net:
        net.client("alice", tls=for_client()).expects_eof().closes()
        net.client("bob", tls=for_client()).expects_eof(ragged=handle is says_nothing).closes()
        net.run(one_by_one(handle))


def test_an_end_that_is_none_is_told_where_the_script_wants_one() -> None:
    text = "alice expects the end by close_notify, but it has come without close_notify"
    with pytest.raises(ScenarioError, match=text):
        with Scenario() as net:
            net.client("alice", tls=for_client()).expects_eof(ragged=False).closes()
            net.run(one_by_one(says_nothing))


def test_an_end_in_good_order_is_told_where_the_script_wants_none() -> None:
    text = "alice expects the end without close_notify, but it has come by close_notify"
    with pytest.raises(ScenarioError, match=text):
        with Scenario() as net:
            net.client("alice", tls=for_client()).expects_eof(ragged=True).closes()
            net.run(one_by_one(says_so))


def test_a_half_close_is_said_and_the_answer_is_still_read() -> None:
    def handle(sock: ssl.SSLSocket) -> None:
        assert (sock.recv(100), sock.recv(100)) == (b"question", b"")
        sock.sendall(b"answer")

    with Scenario() as net:
        net.client("alice", tls=for_client()).sends(b"question").shuts_down().expects(b"answer").expects_eof().closes()
        net.run(one_by_one(handle))


@pytest.mark.parametrize("network", BOTH)
def test_both_may_say_that_they_end(network: Network) -> None:
    def handle(sock: ssl.SSLSocket) -> None:
        seen.extend((sock.recv(100), sock.recv(100)))
        plain = sock.unwrap()
        seen.append(plain.recv(100))

    seen: list[bytes] = []
    with Scenario(network=network) as net:
        net.client(tls=for_client()).sends(HELLO).shuts_down().expects_eof(ragged=False).closes()
        net.run(one_by_one(handle))
    assert seen == [HELLO, b"", b""]


def test_a_reset_is_a_reset() -> None:
    seen: list[object] = []

    def handle(sock: ssl.SSLSocket) -> None:
        try:
            seen.append(sock.recv(10))
        except OSError as error:
            seen.append(type(error))

    with Scenario() as net:
        net.client("alice", tls=for_client()).waits(1).resets()
        net.run(one_by_one(handle))
    assert seen in ([ConnectionResetError], [b""])  # as the version of Python has it


@pytest.mark.parametrize("network", BOTH)
def test_reads_and_writes_time_out_in_virtual_time(network: Network) -> None:
    def handle(sock: ssl.SSLSocket) -> None:
        sock.settimeout(5)
        with pytest.raises(TimeoutError, match="read operation timed out"):
            sock.recv(100)
        with pytest.raises(TimeoutError, match="write operation timed out"):
            while True:
                sock.sendall(bytes(1_000_000))
        gave_up.append(net.now)

    gave_up: list[float] = []
    rules: Any = {"blocking-read", "blocking-send", "short-send-lost", "leaked-connection"}
    with Scenario(network=network, allow=rules) as net:
        net.client("alice", tls=for_client()).waits(100).resets()
        net.run(one_by_one(handle))
    assert gave_up == [10]


def test_a_client_that_never_reads_the_tickets_meets_its_backends_expectation_all_the_same() -> None:
    def ask() -> None:
        with socket.create_connection(("db", 443)) as plain:
            with for_client().wrap_socket(plain, server_hostname="db") as sock:
                sock.sendall(b"bye")

    with Scenario() as net:
        net.backend(("db", 443), tls=for_server()).expects(b"bye").expects_eof()
        net.run(ask)


# -- rows and findings -----------------------------------------------------------------------------


def test_rows_are_in_plain_text_and_one_for_each_call() -> None:
    with Scenario() as net:
        net.client("alice", tls=for_client()).sends(HELLO).expects(HELLO).closes()
        net.run(one_by_one(lambda sock: sock.sendall(sock.recv(100)), 443))
    assert [str(event) for event in net.trace if event.socket == "alice"] == [
        "alice.do_handshake()", f"alice.recv() -> {HELLO!r}", f"alice.send({HELLO!r})", "alice.close()",
    ]  # fmt: skip


def test_the_same_script_is_the_same_run_whatever_the_ciphertext() -> None:
    traces: list[list[str]] = []
    for _ in range(5):
        with Scenario() as net:
            net.client("alice", tls=for_client(), buffer=300).sends(HELLO * 100).expects(HELLO * 100).closes()
            net.client("bob", tls=for_client(), buffer=50).sends(HELLO * 50).expects(HELLO * 50).closes()
            net.run(echo_in_its_own_time, 443)
        traces.append([str(event) for event in net.trace.whole])
    assert all(trace == traces[0] for trace in traces)
    assert any("SSLWantWriteError" in row for row in traces[0])
    assert any("recv() raises SSLWantReadError" in row for row in traces[0])


def test_the_same_script_is_the_same_run_where_the_program_encrypts_by_itself() -> None:
    async def serve() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()

        await (await asyncio.start_server(handle, port=443, ssl=for_server())).serve_forever()

    traces: list[list[str]] = []
    for _ in range(5):
        with Scenario() as net:
            net.client("alice", tls=for_client()).sends(HELLO).expects(HELLO).closes()
            net.run(serve)
        traces.append([str(event) for event in net.trace.whole])
    assert all(trace == traces[0] for trace in traces)
    assert {row for row in traces[0] if "alice.recv() -> " in row or "alice.send" in row} == {
        "alice.recv() -> TLS", "alice.send(TLS)",
    }  # fmt: skip


def echo_in_its_own_time(port: int) -> None:
    """Echo over TLS that waits for room as well."""
    selector = selectors.DefaultSelector()
    with socket.create_server(("", port)) as listener:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, mask in selector.select():
                sock: Any = key.fileobj
                if sock is listener:
                    plain, _ = listener.accept()
                    plain.setblocking(False)
                    new = for_server().wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                    selector.register(new, selectors.EVENT_READ, bytearray())
                    continue
                ends, wants = False, selectors.EVENT_READ
                try:
                    if mask & selectors.EVENT_READ:
                        while data := sock.recv(4096):
                            key.data.extend(data)
                        ends = True
                except ssl.SSLWantReadError:
                    pass
                try:
                    while key.data:
                        del key.data[: sock.send(bytes(key.data))]
                except ssl.SSLWantWriteError:
                    wants |= selectors.EVENT_WRITE
                if ends and not key.data:
                    selector.unregister(sock)
                    sock.close()
                else:
                    selector.modify(sock, wants, key.data)


@pytest.mark.parametrize("network", BOTH)
def test_a_wrong_answer_is_told_at_the_send_in_plain_text(network: Network) -> None:
    with pytest.raises(ScenarioError) as caught:
        with Scenario(network=network) as net:
            net.client("alice", tls=for_client()).sends(b"hello").expects(b"hullo").closes()
            net.run(echo, 0)
    assert caught.value.rule == "unexpected-send"
    text = str(caught.value)
    assert "alice was sent b'hello' where it expects b'hullo'" in text
    assert "sock.sendall(data)" in text
    assert "ok  starts TLS" in text


def test_what_comes_where_nothing_is_expected_is_told_in_plain_text() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[unexpected-send\] alice was sent b'hello\\n' where it expects"):
        with Scenario() as net:
            net.client("alice", tls=for_client()).sends(b"hi").expects_nothing(2).closes()
            net.run(one_by_one(lambda sock: (sock.recv(100), sock.send(HELLO))))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio had something open
def test_a_wrong_answer_by_asyncio_is_told_when_the_peer_has_decrypted_it() -> None:
    async def serve() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        await (await asyncio.start_server(handle, port=443, ssl=for_server())).serve_forever()

    with pytest.raises(ScenarioError, match=r"^\[unexpected-send\] alice was sent b'hello\\n' where it expects"):
        with Scenario() as net:
            net.client("alice", tls=for_client()).sends(HELLO).expects(b"hullo\n").closes()
            net.run(serve)


def test_what_is_left_unread_is_told_in_plain_text() -> None:
    with pytest.raises(ScenarioError, match="alice was not read to the end of its script: b'lo' is left"):
        with Scenario() as net:
            net.client("alice", tls=for_client()).sends(b"hello").waits(1)
            net.run(one_by_one(lambda sock: sock.recv(3)))


def test_what_is_left_in_the_connection_is_told_in_plain_text() -> None:
    def handle(sock: ssl.SSLSocket) -> None:
        time.sleep(1)

    with pytest.raises(ScenarioError, match="alice was not read to the end of its script: b'onetwo' is left"):
        with Scenario() as net:
            net.client("alice", tls=for_client()).sends(b"one").sends(b"two").waits(9)
            net.run(one_by_one(handle))


def test_what_is_left_when_tls_was_broken_off_is_told_in_plain_text() -> None:
    def handle(sock: ssl.SSLSocket) -> None:
        sock.recv(3)
        sock.shutdown(socket.SHUT_WR)
        time.sleep(2)

    with pytest.raises(ScenarioError, match="alice was not read to the end of its script: b'lo!!!' is left"):
        with Scenario() as net:
            net.client("alice", tls=for_client()).sends(b"hello").waits(1).sends(b"!!!").waits(9)
            net.run(one_by_one(handle))


def test_what_is_plain_text_after_tls_is_told_as_that() -> None:
    def serve() -> None:
        """Both ends are the program's own."""
        with socket.create_server(("", 443)) as listener:
            plain = socket.create_connection(("localhost", 443))
            accepted, _ = listener.accept()
            plain.setblocking(False)
            accepted.setblocking(False)
            with for_client().wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False) as one:
                with for_server().wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as other:
                    for call in (one.do_handshake, other.do_handshake) * 2 + (one.unwrap, other.unwrap, one.unwrap):
                        with contextlib.suppress(ssl.SSLWantReadError):
                            call()
                    other.sendall(b"plain")
                    assert one.recv(100) == b"plain"

    with Scenario() as net:
        net.run(serve)
    assert {"client 1.send(b'plain')", "connection.recv() -> b'plain'"} <= {str(event) for event in net.trace}


def test_a_socket_that_nothing_refers_to_is_closed() -> None:
    def serve() -> None:
        with socket.create_server(("", 443)) as listener:
            sock, _ = listener.accept()
            for_server().wrap_socket(sock, server_side=True)
            time.sleep(1)

    with Scenario() as net:
        net.client("alice", tls=for_client()).expects_eof().closes()
        net.run(serve)
    assert "alice.close() (dropped: nothing refers to it any more)" in map(str, net.trace)


def test_that_nobody_reads_what_the_handshake_sends_is_no_unread_data() -> None:
    def ask() -> None:
        with socket.create_connection(("db", 443)) as plain:
            for_client().wrap_socket(plain, server_hostname="db").close()

    with Scenario(pedantic=True) as net:
        net.backend(("db", 443), tls=for_server()).expects_eof()
        net.run(ask)


def test_a_server_that_selects_while_bytes_lie_decrypted_is_told_how_many() -> None:
    def serve() -> None:
        selector = selectors.DefaultSelector()
        with socket.create_server(("", 443)) as listener:
            sock, _ = listener.accept()
            with for_server().wrap_socket(sock, server_side=True) as tls:
                selector.register(tls, selectors.EVENT_READ)
                while selector.select():
                    if not tls.recv(4):
                        return

    with pytest.raises(ScenarioError) as caught:
        with Scenario() as net:
            net.client("alice", tls=for_client()).sends(b"12345678901").expects(b"thanks")
            net.run(serve)
    assert caught.value.rule == "stuck"
    text = " ".join(str(caught.value).split())
    assert "7 bytes of alice lie decrypted, and select() knows nothing of them" in text


def test_a_write_that_is_never_tried_again_is_lost() -> None:
    def handle(sock: ssl.SSLSocket) -> None:
        sock.setblocking(False)
        try:
            sock.send(b"x" * 1000)
        except ssl.SSLWantWriteError:
            pass
        time.sleep(1)

    with pytest.raises(ScenarioError, match="alice took 0 of 1000 bytes from send"):
        with Scenario() as net:
            net.client("alice", tls=for_client(), buffer=100).waits(10)
            net.run(one_by_one(handle))


def test_whoever_waits_for_room_and_then_gives_the_connection_up_has_lost_nothing() -> None:
    def handle(sock: ssl.SSLSocket) -> None:
        sock.setblocking(False)
        with selectors.DefaultSelector() as selector:
            with pytest.raises(ssl.SSLWantWriteError):
                sock.send(b"x" * 1000)
            selector.register(sock, selectors.EVENT_WRITE)
            selector.unregister(sock)

    with Scenario() as net:
        net.client("alice", tls=for_client(), buffer=100).waits(10)
        net.run(one_by_one(handle))


def test_another_write_in_its_place_is_not_that_one() -> None:
    def handle(sock: ssl.SSLSocket) -> None:
        sock.setblocking(False)
        for data in (b"x" * 1000, b"y" * 2000):
            try:
                sock.send(data)
            except ssl.SSLWantWriteError:
                time.sleep(1)

    with pytest.raises(ScenarioError, match=r"\[short-send-lost\] alice took 0 of 1000 bytes from send"):
        with Scenario() as net:
            net.client("alice", tls=for_client(), buffer=100).waits(10)
            net.run(one_by_one(handle))


def test_a_read_of_what_never_comes_is_told_as_that_of_plain_text_and_of_nothing_else() -> None:
    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client("alice", tls=for_client()).sends(HELLO).expects(b"answer")
        net.run(one_by_one(lambda sock: (sock.recv(100), sock.recv(100))))
    text = str(caught.value)
    assert "alice was read with nothing there, and the read blocks" in text
    assert "alice sends nothing more: it waits for b'answer'." in text
    assert caught.value.__context__ is None  # OpenSSL's own, that it wants to read, is nothing to be shown


def test_a_read_that_times_out_says_that_alone() -> None:
    def handle(sock: ssl.SSLSocket) -> None:
        sock.settimeout(2)
        with pytest.raises(TimeoutError) as caught:
            sock.recv(100)
        seen.append((str(caught.value), caught.value.__context__))

    seen: list[object] = []
    with Scenario() as net:
        net.client(tls=for_client()).waits(5).closes()
        net.run(one_by_one(handle))
    assert seen == [("The read operation timed out", None)]


def test_a_silent_client_of_a_wrapped_listener_is_told_as_the_handshake_in_accept() -> None:
    with pytest.raises(ScenarioError) as caught:
        with Scenario() as net:
            net.client("mallory")
            net.client("alice", tls=for_client(), delay=1).sends(HELLO).expects(HELLO)
            net.run(one_by_one(lambda sock: sock.sendall(sock.recv(100))))
    text = " ".join(str(caught.value).split())
    assert caught.value.rule == "read-without-data"
    assert "mallory was read with nothing there, and the read blocks" in text
    assert "That was the handshake in accept(): a wrapped listener makes it there" in text
    assert "mallory.do_handshake() blocks" in text
    assert "in serve sock, _ = listener.accept()" in text


def test_a_handshake_in_accept_that_keeps_others_waiting_is_told_as_that() -> None:
    def serve() -> None:
        """It serves all that have shaken hands by a selector, and makes that in accept()."""
        selector = selectors.DefaultSelector()
        with socket.create_server(("", 443)) as plain:
            with for_server().wrap_socket(plain, server_side=True) as listener:
                selector.register(listener, selectors.EVENT_READ)
                while True:
                    for key, _ in selector.select():
                        sock: Any = key.fileobj
                        if sock is listener:
                            selector.register(listener.accept()[0], selectors.EVENT_READ)
                        elif data := sock.recv(100):
                            sock.sendall(data)
                        else:
                            selector.unregister(sock)
                            sock.close()

    with pytest.raises(ScenarioError) as caught:
        with Scenario() as net:
            net.client("alice", tls=for_client()).sends(HELLO).expects(HELLO).waits(5).sends(HELLO).expects(HELLO)
            net.client("mallory", delay=1).waits(300).closes()
            net.run(serve)
    text = " ".join(str(caught.value).split())
    assert caught.value.rule == "blocking-read"
    assert "while alice was kept waiting" in text
    assert "alice has sent TLS records, which nobody reads. That was the handshake in accept()" in text


def test_a_handshake_outside_of_accept_is_told_as_that() -> None:
    def serve() -> None:
        with socket.create_server(("", 443)) as listener:
            sock, _ = listener.accept()
            for_server().wrap_socket(sock, server_side=True)

    with pytest.raises(ScenarioError, match="That was the TLS handshake, which wrap_socket"):
        with Scenario() as net:
            net.client("mallory")
            net.run(serve)


# -- handshakes that fail --------------------------------------------------------------------------


def test_a_peer_that_does_not_trust_the_server_says_so() -> None:
    text = "alice starts TLS, but TLS has failed: .*certificate verify failed: self-signed certificate"
    with pytest.raises(ScenarioError, match=text):
        with Scenario() as net:
            net.client("alice", tls=for_client("other")).sends(HELLO)
            net.run(echo, 443)


def test_it_may_be_the_point_of_a_test_that_a_handshake_fails() -> None:
    with Scenario() as net:
        net.client("mallory", tls=for_client("other"), allow={"unmet-expectation"}).sends(HELLO)
        net.client("alice", tls=for_client(), delay=1).sends(HELLO).expects(HELLO).closes()
        net.run(echo, 443)


def test_a_server_that_speaks_no_tls_is_told_as_that() -> None:
    def serve() -> None:
        with socket.create_server(("", 443)) as listener:
            while True:
                sock, _ = listener.accept()
                sock.recv(10_000)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                sock.close()

    text = r"alice starts TLS, but TLS has failed: \[SSL: WRONG_VERSION_NUMBER\] wrong version number, as what came"
    with pytest.raises(ScenarioError, match=f"{text} is b'HTTP/1.1 400 Bad Request"):
        with Scenario() as net:
            net.client("alice", tls=for_client()).sends(HELLO)
            net.run(serve)


def test_a_server_that_closes_in_the_handshake_is_told_as_that() -> None:
    def serve() -> None:
        with socket.create_server(("", 443)) as listener:
            while True:
                sock, _ = listener.accept()
                sock.recv(10_000)
                sock.close()

    with pytest.raises(ScenarioError, match="alice starts TLS, but the server has closed the connection"):
        with Scenario() as net:
            net.client("alice", tls=for_client()).sends(HELLO)
            net.run(serve)


def test_a_server_that_never_answers_the_greeting_is_stuck() -> None:
    def serve() -> None:
        selector = selectors.DefaultSelector()
        with socket.create_server(("", 443)) as listener:
            sock, _ = listener.accept()
            with sock:
                selector.register(sock, selectors.EVENT_READ)
                selector.select()
                sock.recv(10_000)
                selector.select()

    with pytest.raises(ScenarioError, match="alice waits in vain for the TLS handshake, and the server sleeps"):
        with Scenario() as net:
            net.client("alice", tls=for_client()).sends(HELLO)
            net.run(serve)


def test_a_client_whom_the_server_refuses_hears_why() -> None:
    server = for_server()
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(certificate())
    with pytest.raises(ScenarioError, match=r"alice expects b'hello\\n', but TLS has failed: .*CERTIFICATE_REQUIRED"):
        with Scenario() as net:
            net.client("alice", tls=for_client()).sends(HELLO).expects(HELLO)
            net.run(echo, 443, server)


# -- what the standard library makes of it -----------------------------------------------------------


@pytest.mark.parametrize("network", BOTH)
def test_http_server_over_a_wrapped_listener(network: Network) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"hi")

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  (its name)

    def serve() -> None:
        with http.server.HTTPServer(("", 0), Handler) as server:
            server.socket = for_server().wrap_socket(server.socket, server_side=True)
            server.serve_forever()

    with Scenario(network=network) as net:
        for name in ("alice", "bob"):
            peer = net.client(name, tls=for_client()).sends(b"GET / HTTP/1.1\r\n\r\n")
            peer.expects(lambda answer: answer.startswith(b"HTTP/1.1 200 OK"), until=b"\r\n\r\n").expects(b"hi")
            peer.sends(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            peer.expects(lambda answer: answer.endswith(b"hi"), until="eof").closes()
        net.run(serve)


@pytest.mark.parametrize("network", BOTH)
def test_the_clients_of_the_standard_library(network: Network) -> None:
    def ask() -> list[bytes]:
        first = http.client.HTTPSConnection("db", 443, context=for_client())
        first.request("GET", "/")
        answers = [first.getresponse().read()]
        first.request("GET", "/again")
        answers.append(first.getresponse().read())
        first.close()
        with urllib.request.urlopen("https://db:8443/", context=for_client()) as answer:
            answers.append(answer.read())
        return answers

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    with Scenario(network=network) as net:
        first = net.backend(("db", 443), tls=for_server()).expects(bytes, until=b"\r\n\r\n").sends(answer + b"hi")
        first.expects(bytes, until=b"\r\n\r\n").sends(answer + b"ho").expects_eof()
        net.backend(("db", 8443), tls=for_server()).expects(bytes, until=b"\r\n\r\n").sends(
            answer + b"he"
        ).expects_eof()
        assert net.run(ask) == [b"hi", b"ho", b"he"]


def test_the_certificate_of_a_server_is_asked_for() -> None:
    with Scenario() as net:
        net.backend(("db", 443), tls=for_server())
        found = net.run(ssl.get_server_certificate, ("db", 443), ca_certs=certificate())
    assert isinstance(found, str)
    assert found in Path(certificate()).read_text()


# -- what a test says --------------------------------------------------------------------------------


MISUSES: list[tuple[Callable[[Any], object], type[Exception], str]] = [
    (lambda net: net.client("a", tls=True), TypeError, r"^tls= takes an ssl\.SSLContext; got True"),
    (lambda net: net.client("a", tls=for_server()), ValueError, r"^tls= takes a context for the client's side"),
    (
        lambda net: net.backend(("db", 1), tls=for_client()),
        ValueError,
        r"^tls= takes a context for the server's side",
    ),
    (lambda net: net.client("a").starts_tls(for_server()), ValueError, r"for the client's side, as this peer is"),
    (lambda net: net.client("a").closes(ragged=1), TypeError, r"^ragged= takes True or False; got 1"),
    (lambda net: net.client("a").expects_eof(ragged="yes"), TypeError, r"^ragged= takes True, False or None; got"),
]


@pytest.mark.parametrize(("misuse", "error", "text"), MISUSES)
def test_a_mistake_is_told(misuse: Callable[[Any], object], error: type[Exception], text: str) -> None:
    net = Scenario()
    net._run.settled = True
    with pytest.raises(error, match=text):
        misuse(net)


@pytest.mark.parametrize("step", [Closes(ragged=True), ExpectsEof(ragged=False)])
def test_a_ragged_end_of_what_speaks_no_tls_is_a_mistake(step: Any) -> None:
    with pytest.raises(RuntimeError, match="but its connection speaks no TLS: leave ragged= out"):
        with Scenario() as net:
            net.client("alice", [step])
            net.run(echo, 443)


def test_steps_say_what_they_do() -> None:
    assert str(StartsTls(for_client())) == "starts TLS"
    assert str(StartsTls(for_client(), "db")) == "starts TLS with 'db'"
    assert [str(Closes(ragged)) for ragged in (True, False)] == ["closes without close_notify", "closes"]
    assert [str(ExpectsEof(ragged)) for ragged in (None, True, False)] == [
        "expects the end", "expects the end without close_notify", "expects the end by close_notify",
    ]  # fmt: skip


def test_a_backend_that_refuses_has_no_handshake_to_make() -> None:
    def ask() -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("db", 443))

    with Scenario() as net:
        net.backend(("db", 443), tls=for_server(), refuses=True)
        net.run(ask)


def test_without_a_program_that_does_nobody_imports_ssl() -> None:
    program = (
        "import sys, socket\nfrom mockselector import Scenario\n"
        "def serve():\n    with socket.create_server(('', 1)) as listener: listener.accept()[0].close()\n"
        "with Scenario() as net:\n    net.client('a').expects_eof()\n    net.run(serve)\n"
        "print('ssl' in sys.modules)"
    )
    environment = {"PYTHONPATH": str(mockselector.__path__[0]).removesuffix("mockselector")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    assert done.stdout == "False\n"

"""pyftpdlib, unmodified, with its three loops: a login, and a file over a connection of its own."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Closes, Expects, ExpectsEof, Resets, Scenario, Sends, ShutsDown, Waits

pytest.importorskip("pyftpdlib")
ioloop: Any = pytest.importorskip("pyftpdlib.ioloop")
authorizers: Any = pytest.importorskip("pyftpdlib.authorizers")
handlers: Any = pytest.importorskip("pyftpdlib.handlers")
servers: Any = pytest.importorskip("pyftpdlib.servers")

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mockselector import Step

    Talk = Generator[Step, bytes, None]

LOOPS = ("Select", "Poll", "Epoll")
PORT = 2121
TEXT = b"hello from a file\n"
LONG = b"y" * 500_000


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Generator[Path]:
    logging.disable()
    (tmp_path / "short.txt").write_bytes(TEXT)
    (tmp_path / "long.txt").write_bytes(LONG)
    yield tmp_path
    logging.disable(logging.NOTSET)


def serve(kind: str, root: Path, *, sendfile: bool = True) -> None:
    authorizer = authorizers.DummyAuthorizer()
    authorizer.add_user("user", "secret", str(root), perm="elradfmwMT")
    names = {"authorizer": authorizer, "passive_ports": range(60000, 60010), "timeout": 60, "use_sendfile": sendfile}
    handler = type("Handler", (handlers.FTPHandler,), names)
    server = servers.FTPServer(("127.0.0.1", PORT), handler, ioloop=getattr(ioloop, kind)())
    server.serve_forever(handle_exit=False)


def line(code: bytes) -> Expects:
    """One line of the server's, that begins so."""
    return Expects(re.compile(code + rb" .*\r\n", re.DOTALL), until=b"\r\n")


def says(text: bytes, code: bytes) -> Generator[Step, bytes, bytes]:
    yield Sends(text + b"\r\n")
    return (yield line(code))


def logs_in() -> Talk:
    yield line(b"220")
    yield from says(b"USER user", b"331")
    yield from says(b"PASS secret", b"230")


def passive(net: Scenario) -> Generator[Step, bytes, int]:
    """Ask where to connect; returns the port."""
    answer = yield from says(b"PASV", b"227")
    found = re.search(rb"\((.*)\)", answer)
    assert found is not None
    *_, high, low = map(int, found[1].split(b","))
    return high * 256 + low


def fetches(net: Scenario, name: str, file: bytes, content: bytes) -> Callable[[], Talk]:
    """A session: it logs in, gets a file over a second connection, twice, and leaves."""

    def talk() -> Talk:
        yield from logs_in()
        yield from says(b"TYPE I", b"200")
        for number in (1, 2):
            port = yield from passive(net)
            net.client(f"{name}'s data {number}", to=port).expects(content, until="eof").closes()
            yield from says(b"RETR " + file, rb"1\d\d")
            yield line(b"226")
        yield from says(b"QUIT", b"221")
        yield Closes()

    return talk


@pytest.mark.parametrize("sendfile", [True, False])
@pytest.mark.parametrize("kind", LOOPS)
def test_two_clients_get_files_at_once(kind: str, sendfile: bool, root: Path) -> None:
    with Scenario() as net:
        net.client("alice", to=PORT).plays(fetches(net, "alice", b"short.txt", TEXT))
        net.client("bob", to=PORT).plays(fetches(net, "bob", b"long.txt", LONG))
        net.run(lambda: serve(kind, root, sendfile=sendfile))


@pytest.mark.parametrize("kind", LOOPS)
def test_a_slow_reader_gets_all_of_a_file(kind: str, root: Path) -> None:
    def talk() -> Talk:
        yield from logs_in()
        yield from says(b"TYPE I", b"200")
        port = yield from passive(net)
        net.client("data", to=port).reads_slowly(50_000).expects(LONG, until="eof").closes()
        yield from says(b"RETR long.txt", rb"1\d\d")
        yield line(b"226")
        yield Closes()

    with Scenario() as net:
        net.client("alice", to=PORT).plays(talk)
        net.run(serve, kind, root)
    assert net.now >= 8


@pytest.mark.parametrize("kind", LOOPS)
def test_what_is_sent_is_kept(kind: str, root: Path) -> None:
    def talk() -> Talk:
        yield from logs_in()
        yield from says(b"TYPE I", b"200")
        port = yield from passive(net)
        net.client("data", to=port).sends(LONG[:50_000]).waits(3).sends(b"end").closes()
        yield from says(b"STOR new.txt", rb"1\d\d")
        yield line(b"226")
        yield Closes()

    with Scenario() as net:
        net.client("alice", to=PORT).plays(talk)
        net.run(serve, kind, root)
    assert LONG[:50_000] + b"end" == (root / "new.txt").read_bytes()


@pytest.mark.parametrize("kind", LOOPS)
def test_a_transfer_that_is_reset_is_told(kind: str, root: Path) -> None:
    def talk() -> Talk:
        yield from logs_in()
        yield from says(b"TYPE I", b"200")
        port = yield from passive(net)
        net.client("data", to=port).reads_slowly(1000).expects(b"y", until=1).resets()
        yield from says(b"RETR long.txt", rb"1\d\d")
        yield line(b"426")
        yield from says(b"NOOP", b"200")
        yield Closes()

    with Scenario() as net:
        net.client("alice", to=PORT).plays(talk)
        net.run(serve, kind, root)


@pytest.mark.parametrize("kind", LOOPS)
def test_a_reset_and_a_half_close_in_mid_command_are_one_client_less_each(kind: str, root: Path) -> None:
    with Scenario() as net:
        net.client("alice", [line(b"220"), Sends(b"USER us"), Resets()], to=PORT)
        net.client("bob", [line(b"220"), Sends(b"US"), ShutsDown(), ExpectsEof()], to=PORT)
        net.client("carol", to=PORT, delay=1).plays(fetches(net, "carol", b"short.txt", TEXT))
        net.run(serve, kind, root)


@pytest.mark.parametrize("kind", LOOPS)
def test_who_is_silent_is_sent_away(kind: str, root: Path) -> None:
    def talk() -> Talk:
        yield from logs_in()
        yield Waits(50)
        yield from says(b"NOOP", b"200")
        yield line(b"421")

    with Scenario() as net:
        net.client("alice", to=PORT).plays(talk).expects_eof()
        net.run(serve, kind, root)
    assert 110 == net.now

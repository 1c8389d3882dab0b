"""AF_UNIX sockets in a scenario as Linux shows them: paths, abstract names, and what differs from TCP."""

from __future__ import annotations

import errno
import os
import socket
from socket import SOL_SOCKET
from typing import TYPE_CHECKING

import pytest

from scenario_sockets import LINGER_NOT, error_of, error_of_accept, look, scenario

if TYPE_CHECKING:
    from pathlib import Path


AF_UNIX = getattr(socket, "AF_UNIX", None)  # not on Windows
on_unix = pytest.mark.skipif(AF_UNIX is None, reason="there is no AF_UNIX")


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


@on_unix
def test_a_backend_may_have_a_path() -> None:
    with scenario() as net:
        net.backend("/run/db.sock").sends(b"hi")
        sock = unix_socket()
        sock.connect("/run/db.sock")
        assert (b"hi", "/run/db.sock", "") == (sock.recv(9), sock.getpeername(), sock.getsockname())


@on_unix
def test_lingering_is_nothing_to_a_path(tmp_path: Path) -> None:
    with scenario():
        listener, near = unix_listener(str(tmp_path / "server.sock")), unix_socket()
        near.connect(str(tmp_path / "server.sock"))
        far = listener.accept()[0]
        far.setsockopt(SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        far.close()
        assert b"" == near.recv(9)


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

"""Every public name of `socket.socket` is there, with its signature, or refused aloud."""

from __future__ import annotations

import inspect
import socket
from typing import Any

import pytest

from mockselector import ListenSocket, MockSocket

PUBLIC = [name for name in dir(socket.socket) if not name.startswith("_")]
OURS = [name for name in dir(MockSocket) if not name.startswith("_")]
KINDS = pytest.mark.parametrize("kind", [MockSocket, ListenSocket])


def defined_by_us(kind: type, name: str) -> bool:
    return any(name in vars(cls) for cls in kind.__mro__ if cls.__module__.startswith("mockselector"))


@KINDS
@pytest.mark.parametrize("name", PUBLIC)
def test_no_public_name_falls_through_to_the_real_socket(kind: type, name: str) -> None:
    assert defined_by_us(kind, name)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_call_that_the_real_socket_takes_is_taken(name: str) -> None:
    real = getattr(socket.socket, name)
    if not inspect.isfunction(real):
        return  # C methods and properties do not tell their signature
    ours = getattr(MockSocket, name)
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(real).parameters)


@KINDS
@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [("dup", (), {}), ("sendmsg_afalg", (), {"op": 1})],
)
def test_what_is_not_simulated_is_refused_aloud(kind: Any, name: str, args: Any, kwargs: Any) -> None:
    with pytest.raises(NotImplementedError, match=r"is not simulated|is for AF_ALG"):
        getattr(kind(), name)(*args, **kwargs)


@KINDS
def test_what_needs_no_network_works_on_any(kind: Any) -> None:
    sock = kind()
    assert (sock.family, sock.type, sock.proto, sock.timeout) == (socket.AF_INET, socket.SOCK_STREAM, 0, None)
    assert (sock.getblocking(), sock.gettimeout(), sock.get_inheritable()) == (True, None, False)
    sock.settimeout(2.5)
    assert (sock.timeout, sock.gettimeout(), sock.getblocking()) == (2.5, 2.5, True)
    sock.setblocking(False)
    assert (sock.timeout, sock.getblocking()) == (0.0, False)
    sock.set_inheritable(True)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR, 4) == b"\0\0\0\0"
    sock.setsockopt(1, 2, b"ab")
    assert (sock.getsockopt(1, 2), sock.getsockopt(1, 2, 1)) == (b"ab", b"a")
    assert sock.fileno() >= 2**30
    assert sock.detach() == sock.fileno()


def test_the_default_timeout_is_taken_over() -> None:
    socket.setdefaulttimeout(3)
    try:
        assert MockSocket().gettimeout() == 3
    finally:
        socket.setdefaulttimeout(None)


def test_numbers_differ_and_names_show() -> None:
    first, second = MockSocket(name="alice"), ListenSocket()
    assert first.fileno() != second.fileno()
    assert repr(first) == f"<MockSocket 'alice' fd={first.fileno()}>"
    first.close()
    assert repr(first) == f"<MockSocket 'alice' [closed] fd={first.fileno()}>"
    assert repr(second) == f"<ListenSocket fd={second.fileno()}>"


def test_lenient_connections_let_anything_pass() -> None:
    sock = MockSocket([b"hi"])
    sock.bind(("", 1))
    sock.listen()
    sock.connect(("", 1))
    assert sock.connect_ex(("", 1)) == 0
    sock.shutdown(9)
    assert sock.getpeername() == ("localhost", 57000)
    with pytest.raises(OSError, match="Invalid argument"):
        sock.accept()
    assert sock.send("text") == 4  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert sock.send(5) == 0  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sock.close()
    assert sock.recv(9) == b"hi"
    assert sock.fileno() >= 2**30
    with sock:
        pass


def test_a_socket_cannot_be_pickled_as_a_real_one_cannot() -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        MockSocket().__reduce_ex__(4)

"""Lenient mode against 0.2.3: for each row of docs/differences.md, both sides.

`test_<row>` holds on every Python; `test_<row>_in_0_2_3` needs the one on which 0.2.3 works in full.
"""

from __future__ import annotations

import copy
import errno
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from selectors import EVENT_READ
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, call, patch

import pytest

import mockselector.selector as ours

if TYPE_CHECKING or sys.version_info < (3, 11):
    import mockselector_023.selector as theirs  # pyright: ignore[reportMissingModuleSource]  # there are stubs

in_0_2_3 = pytest.mark.skipif(sys.version_info >= (3, 11), reason="0.2.3 works in full on Python 3.10 only")


def rows() -> list[str]:
    text = (Path(__file__).parent.parent / "docs" / "differences.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)


def test_the_list_is_short_and_each_row_shows_both_sides() -> None:
    names = [row.replace("-", "_") for row in rows()]
    assert 0 < len(names) <= 20
    for name in names:
        assert callable(globals()[f"test_{name}"])
        assert callable(globals()[f"test_{name}_in_0_2_3"])


def anything(thing: object) -> Any:  # Any: what no type checker would let pass is what these tests are about
    return thing


# -- value --


def test_value() -> None:
    sock = ours.MockSocket([b"line\n"])
    sock.settimeout(2.5)
    assert (sock.send(b"abc"), sock.sendall(b"abc"), sock.getblocking()) == (3, None, True)
    assert (sock.getpeername(), sock.gettimeout(), sock.timeout) == (("localhost", 57000), 2.5, 2.5)
    assert (sock.family, sock.type, sock.proto) == (socket.AF_INET, socket.SOCK_STREAM, 0)
    assert sock.makefile("rb").readline() == b"line\n"
    assert anything(sock.close)() is None


@in_0_2_3
def test_value_in_0_2_3() -> None:
    sock = theirs.MockSocket([b"line\n"])
    values = sock.send(b"abc"), sock.getpeername(), sock.family, sock.makefile("rb").readline(), sock.close()
    assert [isinstance(value, Mock) for value in values] == [True] * len(values)


# -- read-into --


def read_by_all_means(sock: Any) -> bytes:  # Any: of either package
    for read in (sock.recv_into, sock.recvfrom_into):
        read(bytearray(1))
    sock.recvfrom(1)
    sock.recvmsg(1)
    sock.recvmsg_into([bytearray(1)])
    rest: bytes = sock.recv(9)
    return rest


def test_read_into() -> None:
    assert read_by_all_means(ours.MockSocket([b"abcdefg"])) == b"fg"


@in_0_2_3
def test_read_into_in_0_2_3() -> None:
    assert read_by_all_means(theirs.MockSocket([b"abcdefg"])) == b"abcdefg"


# -- groups --

GROUPS: list[Callable[[Any], object]] = [  # Any: a socket of either package
    lambda sock: {sock},
    lambda sock: frozenset((sock,)),
    lambda sock: (each for each in [sock]),
]


def select_group(package: ModuleType, group: Callable[[Any], object]) -> list[tuple[object, int]]:
    sock = package.MockSocket()
    selector = package.MockSelector([group(sock)])
    selector.register(sock, EVENT_READ)
    return [(key.fileobj is sock, mask) for key, mask in selector.select()]


@pytest.mark.parametrize("group", GROUPS)
def test_groups(group: Callable[[Any], object]) -> None:
    assert select_group(ours, group) == [(True, EVENT_READ)]


@in_0_2_3
@pytest.mark.parametrize("group", GROUPS)
def test_groups_in_0_2_3(group: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match="not subscriptable"):
        select_group(theirs, group)


# -- files --


def select_file(package: ModuleType) -> list[tuple[bool, int]]:
    with open(__file__, "rb") as file:
        selector = package.MockSelector([file])
        selector.register(file, EVENT_READ)
        return [(key.fileobj is file, events) for key, events in selector.select()]


def test_files() -> None:
    assert select_file(ours) == [(True, EVENT_READ)]


@in_0_2_3
def test_files_in_0_2_3() -> None:
    with pytest.raises(TypeError, match="not subscriptable"):
        select_file(theirs)


# -- keywords --


def test_keywords() -> None:
    assert ours.MockSelector([()]).select(timeout=1.5) == []
    assert ours.MockSocket([b"abc"]).recv(2, 0) == b"ab"
    with pytest.raises(TypeError, match="_timeout"):
        anything(ours.MockSelector([()])).select(_timeout=1.5)
    with pytest.raises(TypeError, match="_address"):
        anything(ours.ListenSocket()).bind(_address=("", 7))


@in_0_2_3
def test_keywords_in_0_2_3() -> None:
    assert theirs.MockSelector([()]).select(_timeout=1.5) == []
    theirs.ListenSocket().bind(_address=("", 7))
    with pytest.raises(TypeError, match="timeout"):
        anything(theirs.MockSelector([()])).select(timeout=1.5)
    with pytest.raises(TypeError, match="3 were given"):
        anything(theirs.MockSocket()).recv(2, 0)


# -- views --


def resized_after(sock: Any) -> bool:  # Any: of either package
    buffer = bytearray(b"hello")
    with memoryview(buffer) as view:
        sock.send(view[1:])
    try:
        buffer.clear()
    except BufferError:
        return False
    return True


def test_views() -> None:
    sock = ours.MockSocket()
    assert resized_after(sock)
    sock.send.assert_called_once_with(b"ello")


@in_0_2_3
def test_views_in_0_2_3() -> None:
    assert not resized_after(theirs.MockSocket())


# -- errno --


def refusals(listener: Any) -> list[tuple[object, ...]]:  # Any: of either package
    found: list[tuple[object, ...]] = []
    for use in (listener.listen, listener.accept, listener.close, listener.accept):
        try:
            use()
        except OSError as error:
            found.append(error.args[:1])
    return found


def test_errno() -> None:
    assert refusals(ours.ListenSocket()) == [(errno.EINVAL,), (errno.EINVAL,), (errno.EBADF,)]


@in_0_2_3
def test_errno_in_0_2_3() -> None:
    assert refusals(theirs.ListenSocket()) == [(), (), ()]


# -- listener --


def test_listener() -> None:
    listener = ours.ListenSocket()
    listener.setblocking(False)
    listener.bind(("", 7))
    assert listener.getsockname() == ("", 7)
    listener.bind.assert_called_once_with(("", 7))
    assert isinstance(listener, socket.socket)


@in_0_2_3
def test_listener_in_0_2_3() -> None:
    listener = theirs.ListenSocket()
    with pytest.raises(AttributeError, match="setblocking"):
        anything(listener).setblocking(False)
    with pytest.raises(AttributeError, match="assert_called_once_with"):
        anything(listener.bind).assert_called_once_with(("", 7))
    assert not isinstance(listener, socket.socket)


# -- patched --


def test_patched() -> None:
    with patch("socket.socket"):
        sock = ours.MockSocket()
        assert sock.send(b"abc") == 3
        sock.send.assert_called_once_with(b"abc")


@in_0_2_3
def test_patched_in_0_2_3() -> None:
    with patch("socket.socket"):
        sock = theirs.MockSocket()
        with pytest.raises(AttributeError, match="send"):
            sock.send(b"abc")


# -- numbers --


def test_numbers() -> None:
    assert ours.MockSocket().fileno() >= 2**30
    assert ours.ListenSocket().fileno() >= 2**30


@in_0_2_3
def test_numbers_in_0_2_3() -> None:
    first = theirs.MockSocket().fileno()
    assert (10 <= first < 2**30, theirs.ListenSocket().fileno()) == (True, first + 1)


# -- raised --


def listening(listener: Any) -> Any:  # Any: of either package
    listener.bind(("", 7))
    listener.listen()
    return listener


def test_raised() -> None:
    sock = ours.MockSocket([ConnectionResetError, ConnectionResetError("gone"), b"a"])
    for text in ("^$", "^gone$"):
        with pytest.raises(ConnectionResetError, match=text):
            sock.recv(9)
    assert sock.recv(9) == b"a"
    with pytest.raises(ConnectionAbortedError, match="^gone$"):
        listening(ours.ListenSocket([ConnectionAbortedError("gone")])).accept()


@in_0_2_3
def test_raised_in_0_2_3() -> None:
    sock = theirs.MockSocket(anything([ConnectionResetError, ConnectionResetError("gone")]))
    for _ in range(2):
        with pytest.raises(TypeError, match="'ConnectionResetError' has no len"):
            sock.recv(9)
    error = ConnectionAbortedError("gone")
    assert listening(theirs.ListenSocket(anything([error]))).accept() == (error, ("localhost", 57001))


# -- signature --


def test_signature() -> None:
    sock = anything(ours.MockSocket())
    for method, args in ((sock.send, ()), (sock.send, (b"a", 0, 0)), (sock.setblocking, ()), (sock.close, (1,))):
        with pytest.raises(TypeError, match="positional argument"):
            method(*args)
    with pytest.raises(TypeError, match="flag"):
        sock.setblocking(flag=True)


@in_0_2_3
def test_signature_in_0_2_3() -> None:
    sock = theirs.MockSocket()
    sock.send()
    sock.send(b"a", 0, 0)
    sock.setblocking(flag=True)
    assert sock.mock_calls == [call.send(), call.send(b"a", 0, 0), call.setblocking(flag=True)]


# -- refused --


def test_refused() -> None:
    sock = anything(ours.MockSocket())
    with pytest.raises(NotImplementedError, match="dup"):
        sock.dup()
    with pytest.raises(NotImplementedError, match="AF_ALG"):
        sock.sendmsg_afalg(op=1)
    with pytest.raises(NotImplementedError, match="ancillary"):
        sock.sendmsg([b"a"], [(1, 2, b"")])
    with pytest.raises(OSError, match="Invalid argument"):
        sock.accept()
    sock.dup.return_value = other = ours.MockSocket()
    assert sock.dup() is other


@in_0_2_3
def test_refused_in_0_2_3() -> None:
    sock = theirs.MockSocket()
    values = sock.dup(), sock.sendmsg_afalg(op=1), sock.sendmsg([b"a"], [(1, 2, b"")]), sock.accept()
    assert [isinstance(value, Mock) for value in values] == [True] * len(values)


# -- whole --


def test_whole() -> None:
    sock = anything(ours.MockSocket())
    with pytest.raises(NotImplementedError, match="not callable"):
        sock()
    for attribute in ("return_value", "side_effect"):
        with pytest.raises(NotImplementedError, match="not callable"):
            setattr(sock, attribute, None)
    for thing in (sock, sock.send):
        with pytest.raises(NotImplementedError, match="cannot be attached"):
            Mock().attach_mock(thing, "name")
    for attribute in ("called", "call_count", "call_args", "call_args_list", "mock_calls", "method_calls"):
        with pytest.raises(AttributeError):
            setattr(sock, attribute, None)
    with pytest.raises(AttributeError, match="mock_add_spec"):
        sock.mock_add_spec(socket.socket)
    parent = Mock(sock=sock)
    sock.close()
    assert parent.mock_calls == []


@in_0_2_3
def test_whole_in_0_2_3() -> None:
    sock = theirs.MockSocket()
    sock.return_value = 3
    assert sock() == 3
    sock.side_effect = [4]
    assert sock() == 4
    sock.called = False
    anything(sock).mock_calls = []
    sock.mock_add_spec(socket.socket)
    parent = Mock()
    parent.attach_mock(sock, "sock")
    sock.close()
    assert parent.mock_calls == [call.sock.close()]


# -- assigned --


def test_assigned() -> None:
    sock = ours.MockSocket()
    anything(sock).send = mine = Mock(return_value=3)
    assert sock.send(b"a") == 3
    assert (sock.mock_calls, mine.mock_calls) == ([], [call(b"a")])


@in_0_2_3
def test_assigned_in_0_2_3() -> None:
    sock = theirs.MockSocket()
    sock.send = mine = Mock(return_value=3)
    assert sock.send(b"a") == 3
    assert (sock.mock_calls, mine.mock_calls) == ([call.send(b"a")], [call(b"a")])


# -- deleted --


def test_deleted() -> None:
    sock = ours.MockSocket()
    sock.send(b"a")
    del anything(sock).send
    assert sock.send(b"bc") == 2
    with patch.object(sock, "send"):
        pass
    sock.assert_has_calls([call.send(b"a"), call.send(b"bc")])


@in_0_2_3
def test_deleted_in_0_2_3() -> None:
    sock = theirs.MockSocket()
    sock.send(b"a")
    with patch.object(sock, "send"):
        pass
    with pytest.raises(AttributeError, match="_mock_children"):
        sock.assert_has_calls([call.send(b"a")])
    sock = theirs.MockSocket()
    sock.send(b"a")
    del sock.send
    with pytest.raises(AttributeError, match="send"):
        sock.send(b"bc")


# -- class --


def test_class() -> None:
    one, two = ours.MockSocket(), ours.MockSocket()
    assert type(one) is type(two) is ours.MockSocket
    assert isinstance(one, ours.MockSocket)
    assert isinstance(anything(one), Mock)
    with one as entered:
        assert entered is one
    with pytest.raises(TypeError, match="pickle"):
        copy.copy(one)


@in_0_2_3
def test_class_in_0_2_3() -> None:
    one, two = theirs.MockSocket(), theirs.MockSocket()
    assert anything(one).__class__ is socket.socket
    assert type(one) is not type(two)
    with pytest.raises(AttributeError, match="__enter__"), anything(one):
        pass
    assert copy.copy(one) is not one


# -- repr --


def test_repr() -> None:
    sock = ours.MockSocket(name="alice")
    assert repr(sock) == f"<MockSocket 'alice' fd={sock.fileno()}>"
    with pytest.raises(AttributeError, match="'MockSocket' object has no attribute 'nonsense'"):
        anything(sock).nonsense()


@in_0_2_3
def test_repr_in_0_2_3() -> None:
    sock = theirs.MockSocket()
    assert repr(sock) == f"<MockSocket spec='socket' id='{id(sock)}'>"
    with pytest.raises(AttributeError, match="Mock object has no attribute 'nonsense'"):
        sock.nonsense()

"""Tests written for 0.2.3 pass unchanged, on every Python."""

from __future__ import annotations

import gc
import importlib.metadata
import selectors
import socket
import subprocess
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING
from unittest.mock import Mock, call, patch

import pytest

import echoserver
import mockselector.selector
from measured import PYTHON
from mockselector import ListenSocket, MockSelector, MockSocket

if TYPE_CHECKING:
    from pathlib import Path


class Wrapper:
    """Not a socket, but it has one's number."""

    def __init__(self, sock: MockSocket) -> None:
        self.sock = sock

    def fileno(self) -> int:
        return self.sock.fileno()


def bound(*clients: MockSocket) -> ListenSocket:
    listener = ListenSocket(clients)
    listener.bind(("localhost", 8888))
    listener.listen(5)
    return listener


def test_the_names_are_at_both_import_paths() -> None:
    assert mockselector.selector.MockSelector is MockSelector
    assert mockselector.selector.MockSocket is MockSocket
    assert mockselector.selector.ListenSocket is ListenSocket


def test_a_loop_that_never_ends_is_left_by_the_end_of_the_script() -> None:
    c1, c2 = MockSocket([b"one", b"two"]), MockSocket([b"red", b"green", b"blue"])
    listener = ListenSocket((c1, c2))
    script = MockSelector([listener, c1, listener, c2, c2, (c1, c2), c1])
    with patch("socket.socket") as sock, patch("echoserver.DefaultSelector") as selector:
        sock.return_value = listener
        selector.return_value = script
        with script:
            echoserver.EchoServer(8888).run()
    assert c1.send.call_args_list == [((b"one",),), ((b"two",),)]
    assert c2.send.call_args_list == [call(b"red"), call(b"green"), call(b"blue")]
    c1.close.assert_called_once_with()
    c2.close.assert_not_called()


def test_a_loop_is_left_by_a_side_effect_in_a_script() -> None:
    server = echoserver.EchoServer(8888)

    def stop() -> bytes:
        server.stop = True
        return b"last"

    client = MockSocket([b"first", stop, b"never read"])
    listener = ListenSocket([client])
    with patch("socket.socket", return_value=listener):
        with patch("echoserver.DefaultSelector", return_value=MockSelector([listener, client, client, client])):
            server.run()
    assert client.send.call_args_list == [call(b"first"), call(b"last")]
    assert next(client.recvs) == b"never read"


def test_a_socket_can_be_made_while_socket_socket_is_patched() -> None:
    with patch("socket.socket"):
        client = MockSocket([b"hi"])
        listener = bound()
        fresh, _ = listener.accept()
    assert client.recv(9) == b"hi"
    assert isinstance(fresh, MockSocket)


def test_events_are_sockets_numbers_wrappers_pairs_groups_and_timeouts() -> None:
    a, b, c = MockSocket(), MockSocket(), MockSocket()
    sel = MockSelector([a, b.fileno(), Wrapper(c), (a, EVENT_WRITE), [a, (b, 3)], (a, b, c), [], ()])
    keys = [sel.register(sock, EVENT_READ | EVENT_WRITE) for sock in (a, b, c)]
    assert [sel.select() for _ in range(8)] == [
        [(keys[0], EVENT_READ)],
        [(keys[1], EVENT_READ)],
        [(keys[2], EVENT_READ)],
        [(keys[0], EVENT_WRITE)],
        [(keys[0], EVENT_READ), (keys[1], 3)],
        [(key, EVENT_READ) for key in keys],
        [],
        [],
    ]


def test_a_set_or_a_generator_can_be_a_group() -> None:
    a, b = MockSocket(), MockSocket()
    sel = MockSelector([{a}, (sock for sock in (a, b)), frozenset([b])])
    keys = [sel.register(sock, EVENT_READ) for sock in (a, b)]
    assert sel.select(timeout=None) == [(keys[0], EVENT_READ)]
    assert sel.select(timeout=3) == [(key, EVENT_READ) for key in keys]
    assert sel.select(0) == [(keys[1], EVENT_READ)]


def test_an_event_for_a_socket_that_is_not_registered_is_a_key_error() -> None:
    a = MockSocket(name="alice")
    with pytest.raises(KeyError, match=r"<MockSocket 'alice' fd=\d+> is not registered"):
        MockSelector([a]).select()


def test_the_end_is_a_base_exception_that_names_its_selector() -> None:
    sel = MockSelector()
    with pytest.raises(MockSelector.EndException) as caught:
        sel.select()
    assert caught.value.args == (sel,)
    assert not isinstance(caught.value, Exception)


def test_a_block_swallows_only_its_own_end() -> None:
    sel, other = MockSelector(), MockSelector()
    with sel:
        sel.select()
    with pytest.raises(MockSelector.EndException), sel:
        other.select()
    with pytest.raises(ZeroDivisionError), sel:
        raise ZeroDivisionError


def test_reads_come_in_parts_and_end_with_nothing() -> None:
    client = MockSocket([b"abcdefg", lambda: b"hi"])
    assert [client.recv(3) for _ in range(5)] == [b"abc", b"def", b"g", b"hi", b""]
    assert client.recv(3) == b""


def test_scripted_exceptions_are_raised_instances_and_classes() -> None:
    client = MockSocket([ConnectionResetError(104, "reset"), BlockingIOError, b"hi"])
    with pytest.raises(ConnectionResetError, match="reset"):
        client.recv(9)
    with pytest.raises(BlockingIOError):
        client.recv(9)
    assert client.recv(9) == b"hi"


def test_recv_knows_flags() -> None:
    client = MockSocket([b"abc", b"def"])
    assert client.recv(2, socket.MSG_PEEK) == b"ab"
    assert client.recv(5, socket.MSG_WAITALL) == b"abcde"
    with pytest.raises(NotImplementedError, match=r"recv\(\) with flags=0x1 is not simulated"):
        client.recv(1, socket.MSG_OOB)


def test_the_public_attributes_can_be_read_and_set() -> None:
    client = MockSocket([b"abc"])
    remains: list[bytes | str] = [client.remain]
    client.recv(1)
    remains.append(client.remain)
    assert remains == ["", b"bc"]
    client.remain = b"new"
    client.recvs = iter([b"next"])
    assert (client.recv(9), client.recv(9)) == (b"new", b"next")

    listener = bound(client)
    assert (listener.state, listener.current, listener.address, listener.remote_port) == (2, 0, "localhost", 57000)
    listener.address, listener.remote_port = "10.0.0.1", 4000
    assert listener.accept() == (client, ("10.0.0.1", 4001))
    assert (listener.current, listener.remote_port) == (1, 4001)
    listener.accepted = iter([client])
    assert listener.accept()[0] is client
    listener.state = 0
    with pytest.raises(OSError, match="Invalid argument"):
        listener.accept()

    sel = MockSelector([client])
    sel.iter_event = iter([()])
    assert sel.select() == []


def test_a_listener_wants_its_calls_in_order() -> None:
    listener = ListenSocket()
    with pytest.raises(OSError, match="Invalid argument"):
        listener.listen()
    listener.bind(("", 1))
    listener.bind(("", 2))
    with pytest.raises(OSError, match="Invalid argument"):
        listener.accept()
    listener.listen()
    with pytest.raises(OSError, match="Invalid argument"):
        listener.listen()
    listener.close()
    listener.close()
    for again in (listener.accept, listener.listen, lambda: listener.bind(("", 3))):
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            again()
        assert caught.value.errno == 9


def test_a_backlog_holds_sockets_callables_mocks_and_exceptions() -> None:
    first, second, plain = MockSocket(), MockSocket(), Mock(spec=socket.socket)
    listener = ListenSocket([first, lambda: second, plain, ConnectionAbortedError])
    listener.bind(("", 1))
    listener.listen()
    assert [listener.accept() for _ in range(3)] == [
        (first, ("localhost", 57001)),
        (second, ("localhost", 57002)),
        (plain, ("localhost", 57003)),
    ]
    with pytest.raises(ConnectionAbortedError):
        listener.accept()
    fresh, address = listener.accept()
    assert (type(fresh), address) == (MockSocket, ("localhost", 57004))


def test_a_listener_has_what_any_socket_has() -> None:
    listener = ListenSocket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setblocking(False)
    listener.bind(("127.0.0.1", 8888))
    assert listener.getsockname() == ("127.0.0.1", 8888)
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
    with listener:
        assert listener.gettimeout() == 0
    assert listener.state == 3
    with pytest.raises(OSError, match="not connected"):
        listener.recv(1)
    with pytest.raises(BrokenPipeError):
        listener.send(b"x")


def test_plain_mocks_can_be_clients_and_events() -> None:
    client = Mock(spec=socket.socket)
    client.fileno.return_value = 77
    client.recv.side_effect = [b"hi", b""]
    listener = ListenSocket([client])
    sel = MockSelector([listener, client, client])
    with patch("socket.socket", return_value=listener), patch("echoserver.DefaultSelector", return_value=sel), sel:
        echoserver.EchoServer(1).run()
    client.send.assert_called_once_with(b"hi")
    client.close.assert_called_once_with()


def test_registration_is_a_live_mapping() -> None:
    sel, sock = MockSelector(), MockSocket()
    live = sel.get_map()
    assert len(live) == 0
    key = sel.register(sock, EVENT_READ, "data")
    assert (len(live), live[sock], live[sock.fileno()], list(live)) == (1, key, key, [sock.fileno()])
    assert sel.get_key(sock).data == "data"
    assert sel.modify(sock, EVENT_WRITE).events == EVENT_WRITE
    sock.close()
    sel.unregister(sock)
    assert len(live) == 0
    sel.close()
    assert sel.get_map() is None
    with pytest.raises(RuntimeError, match="Selector is closed"):
        sel.get_key(sock)


def test_it_is_a_selector_of_the_standard_library() -> None:
    assert isinstance(MockSelector(), selectors.BaseSelector)


# -- how strictness is asked for ------------------------------------------------------------------


def is_strict(sel: MockSelector) -> bool:
    try:
        _ = sel.trace
    except RuntimeError:
        return False
    return True


def test_lenient_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOCKSELECTOR_STRICT", raising=False)
    assert not is_strict(MockSelector())


@pytest.mark.parametrize(("value", "strict"), [("1", True), ("0", False), ("", False)])
def test_the_environment_says_it_for_selectors_that_say_nothing(
    monkeypatch: pytest.MonkeyPatch, value: str, strict: bool
) -> None:
    monkeypatch.setenv("MOCKSELECTOR_STRICT", value)
    assert is_strict(MockSelector()) == strict
    assert is_strict(MockSelector(strict=True))
    assert not is_strict(MockSelector(strict=False))


def test_any_other_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCKSELECTOR_STRICT", "yes")
    with pytest.raises(ValueError, match=r"^MOCKSELECTOR_STRICT is 'yes'; it takes 1 \(strict\) or 0 \(lenient\)$"):
        MockSelector()


def test_unknown_rules_are_refused_with_the_list_of_all() -> None:
    with pytest.raises(
        ValueError,
        match=r"^allow= got 'eof-ignord' \(did you mean 'eof-ignored'\?\); the rules are: accepted-not-registered, ",
    ):
        MockSelector(strict=True, allow=["eof-ignord"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"got the string 'eof-ignored'$"):
        MockSocket(allow="eof-ignored")  # type: ignore[arg-type]


def test_allow_without_strict_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^allow= and pedantic= say how strict mode judges: give strict=True"):
        MockSelector(strict=False, allow=["eof-ignored"])
    with pytest.raises(ValueError, match=r"^allow= and pedantic= say how strict mode judges: give strict=True"):
        MockSelector(strict=False, pedantic=True)


@pytest.mark.usefixtures("_strict")
def test_a_suite_for_0_2_3_under_the_environment_gets_only_true_findings() -> None:
    """The first test above passes; the one that stops early is told what its script has left."""
    test_a_loop_that_never_ends_is_left_by_the_end_of_the_script()
    test_plain_mocks_can_be_clients_and_events()
    with pytest.warns(UserWarning, match=r"(?s)\[undelivered-event\] .* first client 1 READ"):
        test_a_loop_is_left_by_a_side_effect_in_a_script()
        gc.collect()  # the patches' mocks hold the selector in a cycle


@pytest.fixture
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCKSELECTOR_STRICT", "1")


def test_flags_on_lenient_reads() -> None:
    client = MockSocket([BlockingIOError])
    assert client.recv(0, socket.MSG_PEEK) == b""
    with pytest.raises(BlockingIOError):
        client.recv(1, socket.MSG_PEEK)
    client.timeout = 3.0
    assert client.gettimeout() == 3
    client.setsockopt(1, 2, 3)
    client.setsockopt(1, 3, 4)
    assert client.getsockopt(1, 2) == 3


def test_a_checkout_that_is_not_installed_has_a_version_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert mockselector.__version__ == "0+unknown"


def test_a_negative_size_counts_from_the_end_as_slices_have_it() -> None:
    sock = MockSocket([b"abcd"])
    assert (sock.recv(1), sock.recv(-1), sock.recv(9)) == (b"a", b"bc", b"d")


def test_where_nobody_has_imported_mock_calls_are_counted_as_well(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(
        "import sys\n"
        "from mockselector import MockSocket\n"
        "sock = MockSocket([b'x'])\n"
        "sock.send(b'y')\n"
        "print(sock.send.__class__.__name__, 'unittest.mock' in sys.modules, sock.send.call_count)\n"
    )
    done = subprocess.run([*PYTHON, str(file)], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.split() == ["Recorded", "False", "1"]

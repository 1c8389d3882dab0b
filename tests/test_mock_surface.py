"""A socket's methods answer as `unittest.mock` does, and cost nothing until they are asked."""

from __future__ import annotations

import socket
import subprocess
import sys
from unittest.mock import DEFAULT, Mock, NonCallableMock, call, patch

import pytest

from mockselector import ListenSocket, MockSelector, MockSocket, ScenarioError


@pytest.fixture
def sock() -> MockSocket:
    return MockSocket([b"hi"])


def test_calls_made_before_anyone_asked_are_known(sock: MockSocket) -> None:
    sock.send(b"x")
    sock.send(b"yy", 0)
    sock.setsockopt(1, 2, 3)
    sock.close()
    assert sock.mock_calls == [call.send(b"x"), call.send(b"yy", 0), call.setsockopt(1, 2, 3), call.close()]
    assert sock.method_calls == sock.mock_calls
    assert sock.send.call_args_list == [call(b"x"), call(b"yy", 0)]
    assert (sock.send.called, sock.send.call_count, sock.send.call_args) == (True, 2, call(b"yy", 0))
    sock.close.assert_called_once_with()
    sock.send.assert_any_call(b"x")
    sock.send.assert_has_calls([call(b"x"), call(b"yy", 0)])
    sock.assert_has_calls([call.send(b"x"), call.close()], any_order=True)
    sock.shutdown.assert_not_called()


def test_calls_made_after_someone_asked_are_known_too(sock: MockSocket) -> None:
    calls = sock.send.call_args_list
    sock.send(b"x")
    sock.sendall(b"y")
    assert calls == [call(b"x")], "the very list that was handed out grows"
    assert sock.mock_calls == [call.send(b"x"), call.sendall(b"y")]


def test_assertions_fail_with_the_texts_of_unittest_mock(sock: MockSocket) -> None:
    sock.send(b"x")
    with pytest.raises(AssertionError, match=r"(?s)^expected call not found.\nExpected: send\(b'y'\)\n *Actual: send"):
        sock.send.assert_called_once_with(b"y")
    with pytest.raises(AssertionError, match="^Expected 'close' to have been called once"):
        sock.close.assert_called_once()


def test_results_are_values_until_the_test_decides(sock: MockSocket) -> None:
    assert sock.send(b"four") == 4
    sock.send.return_value = 2
    assert sock.send(b"four") == 2
    sock.send.side_effect = [1, ConnectionResetError]
    assert sock.send(b"four") == 1
    with pytest.raises(ConnectionResetError):
        sock.send(b"four")

    def undecided(_data: bytes) -> object:
        return DEFAULT

    sock.send.side_effect = undecided
    assert sock.send(b"four") == 2
    sock.send.side_effect = None
    sock.send.reset_mock(return_value=True)
    assert sock.send(b"four") == 4
    assert sock.send.call_count == 1


def test_a_side_effect_that_returns_default_leaves_the_value(sock: MockSocket) -> None:
    seen: list[bytes] = []

    def note(data: bytes) -> object:
        seen.append(data)
        return DEFAULT

    sock.send.side_effect = note
    assert (sock.send(b"abc"), seen) == (3, [b"abc"])


def test_a_chain_on_what_a_call_returns(sock: MockSocket) -> None:
    sock.makefile.return_value.readline.return_value = b"line"
    assert sock.makefile("rb").readline() == b"line"
    sock.makefile.assert_called_once_with("rb")


def test_configure_mock_knows_dotted_names(sock: MockSocket) -> None:
    sock.configure_mock(**{"send.return_value": 1, "getpeername.return_value": ("::1", 5)})
    assert (sock.send(b"xx"), sock.getpeername()) == (1, ("::1", 5))


def test_reset_mock_forgets(sock: MockSocket) -> None:
    sock.send(b"x")
    sock.reset_mock()
    assert sock.mock_calls == []
    sock.send.return_value = 9
    sock.send(b"x")
    sock.reset_mock()
    assert (sock.send.called, sock.send(b"x")) == (False, 9)
    sock.reset_mock(return_value=True, side_effect=True)
    assert sock.send(b"x") == 1


def test_a_method_can_be_patched_and_comes_back(sock: MockSocket) -> None:
    sock.send(b"before")
    with patch.object(sock, "send", return_value=7) as replaced:
        assert sock.send(b"x") == 7
    replaced.assert_called_once_with(b"x")
    assert sock.send(b"after!") == 6
    assert sock.send.call_args_list == [call(b"before"), call(b"after!")]


def test_a_method_can_be_replaced(sock: MockSocket) -> None:
    mine = Mock(return_value=3)
    sock.send = mine  # type: ignore[method-assign, assignment, unused-ignore]
    assert sock.send(b"x") == 3
    mine.assert_called_once_with(b"x")


def test_it_is_a_mock_and_a_socket_to_isinstance(sock: MockSocket) -> None:
    assert isinstance(sock, Mock)
    assert isinstance(sock, NonCallableMock)
    assert isinstance(sock, socket.socket)
    assert isinstance(sock, MockSocket)
    assert isinstance(sock.send, Mock)
    assert not isinstance(sock, ListenSocket)


def test_a_method_equals_itself(sock: MockSocket) -> None:
    assert sock.send == sock.send
    others: list[object] = [sock.sendall, MockSocket().send, "send"]
    assert sock.send not in others
    assert len({sock.send, sock.send}) == 1
    assert repr(sock.send) == f"<recorded method send of {sock!r}>"


def test_deleting_an_attribute_of_a_method(sock: MockSocket) -> None:
    del sock.send.return_value
    with pytest.raises(AttributeError):
        _ = sock.send.no_such_thing  # type: ignore[attr-defined]
        _ = sock.send._private  # type: ignore[attr-defined]


ALTERNATIVES = r"^the calls of a MockSocket cannot be attached.* Read them from the socket"


def test_what_cannot_be_kept_raises_and_names_the_alternative(sock: MockSocket) -> None:
    manager = Mock()
    with pytest.raises(NotImplementedError, match=ALTERNATIVES):
        manager.attach_mock(sock, "sock")  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match=ALTERNATIVES):
        manager.attach_mock(sock.send, "send")  # type: ignore[arg-type]
    not_called = r"^a MockSocket itself is not called.* sock.send.return_value"
    with pytest.raises(NotImplementedError, match=not_called):
        sock()  # type: ignore[operator]
    with pytest.raises(NotImplementedError, match=not_called):
        sock.return_value = 3  # type: ignore[attr-defined]
    with pytest.raises(NotImplementedError, match=not_called):
        sock.side_effect = ValueError  # type: ignore[attr-defined]


def test_recv_and_fileno_are_plain_methods(sock: MockSocket) -> None:
    assert not hasattr(sock.recv, "assert_called")
    assert not hasattr(sock.fileno, "assert_called")


def test_a_short_send_in_a_strict_run_is_what_the_test_said_it_was() -> None:
    sock = MockSocket([b"hi"], name="alice")
    sock.send.side_effect = [1, BlockingIOError(11, "full"), 2]
    sel = MockSelector([sock, sock], strict=True)
    with sel:
        sel.register(sock, 3)
        sel.select()
        assert sock.send(sock.recv(9) + b"!") == 1
        with pytest.raises(BlockingIOError):
            sock.send(b"i!")
        sock.send(b"i!")
        sel.select()
        sock.recv(9)
        sel.unregister(sock)
        sock.close()
    assert [str(event) for event in sel.trace][3:6] == [
        "alice.send(b'hi!') -> 1",
        "alice.send() raises BlockingIOError",
        "alice.send(b'i!')",
    ]


def test_a_close_whose_result_the_test_decided_is_still_a_close() -> None:
    sock = MockSocket([], name="alice")
    sock.close.side_effect = lambda: None
    sel = MockSelector([sock], strict=True)
    with pytest.raises(ScenarioError, match="closed-still-registered"), sel:
        sel.register(sock, 1)
        sel.select()
        sock.recv(9)
        sock.close()
        sel.select()


def test_unittest_mock_is_imported_only_when_asked_for() -> None:
    program = """
import sys
from mockselector import ListenSocket, MockSelector, MockSocket
sock = MockSocket([b"hi"])
listener = ListenSocket([sock])
listener.bind(("", 1)); listener.listen()
sel = MockSelector([listener, sock, sock], strict=True)
with sel:
    sel.register(listener, 1)
    sel.select()
    listener.accept()
    sel.register(sock, 1)
    sel.select()
    sock.send(sock.recv(9))
    isinstance(sock, str)
    sel.select()
    sock.recv(1)
    sel.unregister(sock)
    sock.close()
assert "unittest.mock" not in sys.modules
sock.send.assert_called_once_with(b"hi")
assert "unittest.mock" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_method_can_be_configured(sock: MockSocket) -> None:
    sock.send.configure_mock(**{"return_value": 3, "other.side_effect": None})
    assert sock.send(b"x") == 3
    sock.sendall.configure_mock(side_effect=ValueError)
    with pytest.raises(ValueError):
        sock.sendall(b"x")


def test_a_decision_about_anything_else_changes_nothing_in_a_strict_run(sock: MockSocket) -> None:
    sock.getpeername.return_value = ("::1", 7)
    with MockSelector([], strict=True) as sel:
        sel.register(sock, 1)
        assert sock.getpeername() == ("::1", 7)
        sock.recv = Mock()  # type: ignore[method-assign]
    assert str(sel.trace[1]) == "client 1.getpeername()"


def test_without_a_strict_run_results_that_are_used_up_are_used_up(sock: MockSocket) -> None:
    sock.send.side_effect = [1]
    sock.send(b"ab")
    with pytest.raises(StopIteration):
        sock.send(b"b")

"""What type checkers make of tests written with this package.

Read by mypy and pyright, and executed. A line that must be an error says so to each checker; a
checker that finds no error there complains about the comment.
"""

from __future__ import annotations

import selectors
import socket
from typing import TYPE_CHECKING, Any
from unittest.mock import call

import pytest
from typing_extensions import assert_type

from mockselector import Event, ListenSocket, MockSelector, MockSocket, RuleId, ScenarioError, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mockselector import ClientItem, EventItem, RecvItem


def serve(sock: socket.socket, selector: selectors.BaseSelector) -> int:
    """A server's signature: it knows nothing of mocks."""
    selector.register(sock, selectors.EVENT_READ)
    return sock.send(b"x")


def test_ours_are_accepted_where_the_real_ones_are_wanted() -> None:
    sock = MockSocket([b"hi"])
    assert_type(serve(sock, MockSelector()), int)
    as_base: socket.socket = ListenSocket([sock])
    assert isinstance(as_base, socket.socket)


def test_methods_keep_their_types() -> None:
    sock = MockSocket([b"hi"])
    assert_type(sock.send(b"x"), int)
    assert_type(sock.recv(3), bytes)
    assert_type(sock.gettimeout(), "float | None")
    assert_type(sock.fileno(), int)
    assert_type(sock.recvfrom_into(bytearray(3)), "tuple[int, Any]")
    assert_type(sock.family, socket.AddressFamily)
    assert_type(sock.close(), None)


def test_assertions_check() -> None:
    sock = MockSocket()
    sock.send(b"x")
    sock.send.assert_called_once_with(b"x")
    sock.send.assert_any_call(b"x")
    sock.send.assert_has_calls([call(b"x")])
    assert sock.send.call_args_list == [call(b"x")]
    assert_type(sock.send.called, bool)
    assert_type(sock.send.call_count, int)
    sock.send.side_effect = [1, BlockingIOError]
    sock.makefile.return_value.readline.return_value = b"line"
    assert sock.mock_calls == [call.send(b"x")]
    sock.reset_mock()


def test_wrong_arguments_are_errors_in_both_checkers() -> None:
    sock = MockSocket()
    sock.send("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(AssertionError):
        sock.send.assert_called_once_with(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(AssertionError):
        sock.close.assert_called_once_with(b"x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError):
        sock.shutdown()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(AttributeError):
        sock.send.assert_caled_once()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    with pytest.raises(AttributeError):
        sock.recv.assert_called()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    with pytest.raises(NotImplementedError):
        sock()  # type: ignore[operator]  # pyright: ignore[reportCallIssue]


def endless() -> Iterator[bytes]:
    while True:
        yield b"x"


def test_scripts_are_typed() -> None:
    MockSocket([b"hi", lambda: b"made", ConnectionResetError, TimeoutError("late")])
    MockSocket(endless())
    client = MockSocket(name="alice", allow={"unread-data"})
    listener = ListenSocket([client, lambda: client, socket.socket, ConnectionAbortedError])
    MockSelector([listener, client, client.fileno(), (client, 3), [client, (listener, 1)], (), {client}])
    MockSocket(["text"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    ListenSocket([b"hi"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    MockSelector(["client"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    MockSelector([b"x"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    MockSelector([[b"x"]])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def test_what_goes_into_lists_has_types() -> None:
    recvs: list[RecvItem] = [b"hi", ConnectionResetError]
    recvs.append(lambda: b"made")
    client = MockSocket(recvs)
    clients: list[ClientItem] = [client, lambda: client, ConnectionAbortedError]
    listener = ListenSocket(clients)
    group: list[MockSocket] = [client]
    several: frozenset[socket.socket] = frozenset([client, listener])
    events: list[EventItem] = [client, (listener, selectors.EVENT_READ), 3, (), group, several]
    events += [tuple(group), (one for one in group), {client: 1}.keys(), [(client, 3), listener]]
    MockSelector(events)
    recvs.append("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    events.append(b"x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    events.append("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clients.append(b"x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_rules_are_typed() -> None:
    rule: RuleId = "eof-ignored"
    MockSelector(strict=True, allow={rule}).verify()
    with pytest.raises(ValueError, match="eof-ignord"):
        MockSelector(strict=True, allow={"eof-ignord"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="the string"):
        MockSocket(allow="eof-ignored")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_what_a_run_tells_is_typed() -> None:
    sock = MockSocket([b"hi"])
    selector = MockSelector([sock], strict=True)
    with selector as same:
        assert_type(same, MockSelector)
        key = selector.register(sock, selectors.EVENT_READ, data=["anything"])
        assert_type(key, selectors.SelectorKey)
        assert_type(selector.select(), "list[tuple[selectors.SelectorKey, int]]")
        assert_type(selector.trace, Trace)
        assert_type(selector.trace[0], Event)
        assert_type(selector.trace[0].place.line, int)
        sock.recv(9)
        with pytest.raises(ScenarioError) as caught:
            sock.recv(9)
        assert_type(caught.value.rule, RuleId)
        assert_type(caught.value.proof[0], "tuple[int, str]")
        assert caught.value.place is not None
        assert_type(caught.value.place.line, int)
        assert_type(caught.value.socket, "str | None")
        selector._settled = True
        selector._monitor = None  # what is left over is not the subject


def test_any_is_where_it_is_said_to_be() -> None:
    value: Any = MockSocket().getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    assert value == socket.SOCK_STREAM

"""What a strict run shows a server of its sockets, and what it makes of them."""

from __future__ import annotations

import io
import os
import pickle
import selectors
import socket
import threading
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from mockselector import Event, ListenSocket, MockSelector, MockSocket, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mockselector import RuleId


def run(
    sock: MockSocket, events: int = 1, mask: int = EVENT_READ, *, allow: Iterable[RuleId] = (), pedantic: bool = False
) -> MockSelector:
    """A strict run in which `sock` is registered, and its first event delivered."""
    sel = MockSelector([sock] * events, strict=True, allow=list(allow), pedantic=pedantic)
    sel.register(sock, mask)
    sel.select()
    sel._settled = True  # these tests look at single calls; what is left over is not their subject
    return sel


def alice(*items: Any, **options: Any) -> MockSocket:
    return MockSocket(items, name="alice", **options)


# -- reading ------------------------------------------------------------------------------------


def test_an_event_announces_one_item() -> None:
    sock = alice(b"one", b"two")
    run(sock)
    assert sock.recv(9) == b"one"
    with pytest.raises(ScenarioError, match=r"(?s)read-without-data.*has more, b'two', but no READ event"):
        sock.recv(9)


def test_an_item_read_in_part_stays_there() -> None:
    sock = alice(b"abcd", b"next")
    sel = run(sock, 2)
    assert (sock.recv(3), sock.recv(3)) == (b"abc", b"d")
    sel.select()
    assert sock.recv(2) == b"ne"


def test_an_event_for_an_item_read_in_part_announces_no_other() -> None:
    sock = alice(b"abcd", b"next")
    sel = run(sock, 2)
    sock.recv(2)
    sel.select()
    assert sock.recv(9) == b"cd"
    with pytest.raises(ScenarioError, match="read-without-data"):
        sock.recv(9)


@pytest.mark.parametrize("how", ["setblocking", "settimeout", "flag"])
def test_draining_a_non_blocking_socket_ends_with_eagain(how: str) -> None:
    sock = alice(b"one", b"two")
    sel = run(sock)
    flags = 0
    if how == "setblocking":
        sock.setblocking(False)
    elif how == "settimeout":
        sock.settimeout(0)
    else:
        flags = socket.MSG_DONTWAIT
    assert sock.recv(9, flags) == b"one"
    with pytest.raises(BlockingIOError) as caught:
        sock.recv(9, flags)
    assert caught.value.errno == 11
    assert str(sel.trace[-1]) == "alice.recv() raises BlockingIOError"


def test_a_timeout_runs_out() -> None:
    sock = alice(b"one", b"two")
    run(sock)
    sock.settimeout(2.5)
    sock.recv(9)
    with pytest.raises(TimeoutError, match="^timed out$"):
        sock.recv(9)


def test_a_socket_that_was_never_registered_reads_on_through_its_script() -> None:
    sock = alice(b"one", b"two")
    listener = ListenSocket([sock])
    with MockSelector([listener, []], strict=True) as sel:
        sel.register(listener, EVENT_READ)
        listener.listen()
        sel.select()
        conn, _ = listener.accept()
        assert [conn.recv(9) for _ in range(4)] == [b"one", b"two", b"", b""]
        conn.close()
        sel.select()


def test_reading_on_after_the_end_is_pedantic_for_a_socket_that_was_never_registered() -> None:
    sock = alice()
    listener = ListenSocket([sock])
    sel = MockSelector([listener], strict=True, pedantic=True)
    sel.register(listener, EVENT_READ)
    listener.listen()
    sel.select()
    conn, _ = listener.accept()
    conn.recv(1)
    with pytest.raises(ScenarioError, match="read-past-eof"):
        conn.recv(1)
    sel._settled = True


def test_a_scripted_exception_is_raised_and_a_reset_ends_the_connection() -> None:
    sock = alice(BlockingIOError(11, "not yet"), ConnectionResetError)
    sel = run(sock, 2)
    with pytest.raises(BlockingIOError, match="not yet"):
        sock.recv(9)
    sel.select()
    with pytest.raises(ConnectionResetError):
        sock.recv(9)
    with pytest.raises(BrokenPipeError):
        sock.send(b"x")
    with pytest.raises(ScenarioError, match="read-past-eof"):
        sock.recv(9)
    assert [str(event) for event in sel.trace[2:]] == [
        "alice.recv() raises BlockingIOError",
        "select() -> alice READ",
        "alice.recv() raises ConnectionResetError",
        "alice.send() raises BrokenPipeError",
        "alice.recv() -> b''",
    ]


def test_a_callable_is_called_when_it_is_read_and_empty_bytes_are_the_end() -> None:
    sock = alice(lambda: b"made", lambda: b"")
    sel = run(sock, 2)
    assert sock.recv(9) == b"made"
    sel.select()
    assert sock.recv(9) == b""
    with pytest.raises(ScenarioError, match="read-past-eof"):
        sock.recv(9)


@pytest.mark.parametrize("item", ["text", 7, None])
def test_anything_else_in_a_script_is_refused_by_name(item: object) -> None:
    sock = alice(item)
    run(sock)
    with pytest.raises(TypeError, match=r"^recvs= of <MockSocket 'alice' fd=\d+> holds .*; it takes bytes, callables"):
        sock.recv(9)


def test_sizes_are_checked_as_production_does() -> None:
    sock = alice(b"hi")
    run(sock)
    assert sock.recv(0) == b""
    with pytest.raises(ValueError, match="^negative buffersize in recv$"):
        sock.recv(-1)
    with pytest.raises(ValueError, match="^negative buffersize in recv_into$"):
        sock.recv_into(bytearray(3), -1)
    with pytest.raises(ValueError, match="^nbytes is greater than the length of the buffer$"):
        sock.recv_into(bytearray(3), 4)
    with pytest.raises(ValueError, match="^Timeout value out of range$"):
        sock.settimeout(-1)


def test_peeking_leaves_the_data_and_the_end_where_they_are() -> None:
    sock = alice(b"abc")
    sel = run(sock, 2)
    assert sock.recv(2, socket.MSG_PEEK) == b"ab"
    assert sock.recv(9) == b"abc"
    sel.select()
    assert (sock.recv(9, socket.MSG_PEEK), sock.recv(9)) == (b"", b"")


def test_waiting_for_all_joins_what_has_come() -> None:
    sock = alice(b"ab", b"cd", b"e")
    sel = run(sock, 4)
    sel.select(0)
    assert sock.recv(3, socket.MSG_WAITALL) == b"abc"
    sel.select(0)
    assert sock.recv(9) == b"d"
    sel.select(0)
    sock.setblocking(False)
    assert sock.recv(9, socket.MSG_WAITALL) == b"e"


def test_waiting_for_all_waits_no_longer_than_the_socket_does() -> None:
    sock = alice(b"ab", b"cd")
    run(sock)
    sock.setblocking(False)
    assert sock.recv(9, socket.MSG_WAITALL) == b"ab"


def test_waiting_for_all_in_vain_freezes_the_loop() -> None:
    sock = alice(b"ab", b"cd")
    run(sock)
    with pytest.raises(ScenarioError, match="read-without-data"):
        sock.recv(9, socket.MSG_WAITALL)


def test_the_end_cuts_waiting_for_all_short() -> None:
    sock = alice(b"ab")
    sel = run(sock, 2)
    assert sock.recv(9, socket.MSG_WAITALL) == b"ab"
    sel.select()
    assert sock.recv(9, socket.MSG_WAITALL) == b""


def test_unknown_flags_are_refused_aloud() -> None:
    sock = alice(b"ab")
    run(sock)
    with pytest.raises(NotImplementedError, match=r"MSG_PEEK, MSG_DONTWAIT and MSG_WAITALL are$"):
        sock.recv(9, socket.MSG_OOB)


def test_all_ways_to_read_read() -> None:
    sock = alice(b"abcdefgh")
    run(sock)
    assert sock.recvfrom(1) == (b"a", None)
    buffer = bytearray(3)
    assert sock.recvfrom_into(buffer, 2) == (2, None)
    assert buffer == b"bc\0"
    assert sock.recvmsg(1) == (b"d", [], 0, None)
    first, second = bytearray(2), bytearray(5)
    assert sock.recvmsg_into([first, second]) == (4, [], 0, None)
    assert bytes(first + second) == b"efgh\0\0\0"


def test_a_socket_shut_down_for_reading_is_at_its_end_but_its_script_is_not() -> None:
    sock = alice(b"ab", b"cd")
    sel = run(sock)
    sock.shutdown(socket.SHUT_RDWR)
    assert (sock.recv(9), sock.recv(9)) == (b"ab", b"")
    sel.unregister(sock)
    sock.close()
    sel._settled = False
    with pytest.raises(ScenarioError, match="unread-data"):
        sel.verify()


# -- files --------------------------------------------------------------------------------------


def test_a_file_reads_lines_and_its_end_counts_once() -> None:
    sock = alice(b"one\ntwo\n")
    sel = run(sock, 2)
    file = sock.makefile("rb")
    assert (file.readline(), file.readline()) == (b"one\n", b"two\n")
    sel.select()
    assert (file.read(), file.read(), file.readline()) == (b"", b"", b"")
    with pytest.raises(ScenarioError, match="read-past-eof"):
        sock.recv(1)


def test_a_file_writes_and_its_bytes_stay_as_they_were() -> None:
    sock = alice()
    sel = run(sock)
    with sock.makefile("w", encoding="utf-8") as file:
        assert isinstance(file, io.TextIOWrapper)
        file.write("hello")
    assert str(sel.trace[-1]) == "alice.send(b'hello')"
    assert not sock.send.called, "the file's sends are not the test's to see"


def test_closing_waits_for_the_last_file() -> None:
    sock = alice()
    sel = run(sock)
    file = sock.makefile("rb")
    assert file.fileno() == sock.fileno()
    sel.unregister(sock)
    sock.close()
    assert sock.fileno() > 0
    file.close()
    assert sock.fileno() == -1
    assert str(sel.trace[-1]) == "alice.close()"


# -- writing ------------------------------------------------------------------------------------


def test_what_is_sent_must_be_bytes() -> None:
    sock = alice()
    sel = run(sock)
    assert sock.send(bytearray(b"ab")) == 2
    assert sock.sendmsg([b"a", memoryview(b"bc")]) == 3
    assert sock.sendto(b"abcd", 0, ("", 1)) == 4
    with pytest.raises(TypeError, match="bytes-like object is required, not 'str'"):
        sock.send("text")  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="ancillary data is not simulated"):
        sock.sendmsg([b"a"], [(1, 2, b"x")])
    assert [event.detail for event in sel.trace[2:]] == [b"ab", b"abc", b"abcd"]


def test_long_messages_are_kept_in_part() -> None:
    sock = alice(b"x" * 40)
    sel = run(sock)
    sock.sendall(sock.recv(99))
    assert [str(event) for event in sel.trace[2:]] == [
        f"alice.recv() -> {b'x' * 32!r}... (40 bytes)",
        f"alice.send({b'x' * 32!r}... (40 bytes))",
    ]


def test_a_file_is_sent_from_an_offset_and_by_count() -> None:
    sock = alice()
    sel = run(sock)
    file = io.BytesIO(b"0123456789" * 2000)
    assert sock.sendfile(file) == 20000
    assert sock.sendfile(file, 5, 3) == 3
    assert (file.tell(), sel.trace[-1].detail) == (8, b"567")
    assert sock.sendfile(io.BytesIO()) == 0


def test_a_file_on_disk_is_sent_from_its_beginning_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(b"0123456789")
    sock = alice()
    sel = run(sock)
    with open(tmp_path / "page", "rb") as file:
        file.seek(7)
        assert (sock.sendfile(file), file.tell()) == (10, 10)
        assert (sock.sendfile(file, 2, 3), file.tell()) == (3, 5)
        assert (sock.sendfile(file, 10), file.tell()) == (0, 5)
    assert [row.detail for row in sel.trace if row.operation == "send"] == [b"0123456789", b"234"]


def test_send_file_refuses_what_the_standard_library_refuses() -> None:
    sock = alice()
    run(sock)
    with pytest.raises(ValueError, match="positive integer"):
        sock.sendfile(io.BytesIO(b"x"), 0, 0)
    with open(__file__) as text, pytest.raises(ValueError, match="binary mode"):
        sock.sendfile(text)  # type: ignore[arg-type]
    sock.setblocking(False)
    with pytest.raises(ValueError, match="non-blocking"):
        sock.sendfile(io.BytesIO(b"x"))


def short(*results: int) -> tuple[MockSelector, MockSocket]:
    sock = alice(b"hi")
    sock.send.side_effect = list(results)
    return run(sock, mask=EVENT_READ | EVENT_WRITE), sock


def test_the_rest_of_a_short_send_may_come_in_parts_and_with_more_behind_it() -> None:
    sel, sock = short(2, 1, 4)
    for data in (b"abcd", b"c", b"dnew"):
        sock.send(data)
    sel.unregister(sock)
    sock.close()


def test_something_else_after_a_short_send_is_a_hole() -> None:
    _, sock = short(2, 3)
    sock.send(b"abcd")
    with pytest.raises(ScenarioError, match=r"^\[.+?\] alice took 2 of 4 bytes from send\(\), and the rest"):
        sock.send(b"xyz")


def test_a_short_send_allowed_is_forgotten() -> None:
    sock = alice(b"hi", allow=["short-send-lost"])
    sock.send.side_effect = [2, 3]
    run(sock)
    sock.send(b"abcd")
    sock.send(b"xyz")
    sock.close()


def test_the_rest_still_unsent_at_the_end_is_lost() -> None:
    sock = alice(b"hi")
    sock.send.return_value = 1
    sel = MockSelector([sock], strict=True)
    with pytest.raises(ScenarioError, match="short-send-lost"), sel:
        sel.register(sock, EVENT_READ)
        sel.select()
        sock.send(sock.recv(9))


# -- accepting ----------------------------------------------------------------------------------


def test_accepting_until_eagain() -> None:
    first, second = alice(), MockSocket()
    listener = ListenSocket([first, second])
    listener.setblocking(False)
    sel = MockSelector([listener, listener], strict=True)
    sel.register(listener, EVENT_READ)
    listener.listen()
    sel.select()
    assert listener.accept()[0] is first
    with pytest.raises(BlockingIOError):
        listener.accept()
    listener.settimeout(1)
    with pytest.raises(TimeoutError):
        listener.accept()
    sel._settled = True


def test_an_announced_client_that_the_script_does_not_have() -> None:
    listener = ListenSocket()
    sel = MockSelector([listener], strict=True)
    sel.register(listener, EVENT_READ)
    listener.listen()
    sel.select()
    with pytest.raises(ScenarioError, match="accept-without-connection"):
        listener.accept()
    sel._settled = True


def test_a_scripted_exception_of_accept_is_raised() -> None:
    listener = ListenSocket([ConnectionAbortedError(103, "aborted")])
    sel = MockSelector([listener], strict=True)
    sel.register(listener, EVENT_READ)
    listener.listen()
    sel.select()
    with pytest.raises(ConnectionAbortedError, match="aborted"):
        listener.accept()
    sel.verify()


def test_clients_go_by_their_names_or_by_their_order() -> None:
    clients = [MockSocket(), alice(), MockSocket(), alice()]
    listener = ListenSocket(clients)
    sel = MockSelector([listener] * 4, strict=True, allow=["accepted-not-registered"])
    sel.register(listener, EVENT_READ)
    listener.listen()
    for _ in range(4):
        sel.select()
        listener.accept()
    names = [event.detail for event in sel.trace if event.operation == "accept"]
    assert names == ["client 1", "alice", "client 2", "alice (2)"]
    sel._settled = True


def test_addresses() -> None:
    sock = alice()
    listener = ListenSocket([sock])
    listener.bind(("127.0.0.1", 8888))
    sel = MockSelector([listener], strict=True)
    sel.register(listener, EVENT_READ)
    listener.listen()
    sel.select()
    conn, address = listener.accept()
    assert (address, conn.getpeername(), conn.getsockname()) == (
        ("localhost", 57001),
        ("localhost", 57001),
        ("127.0.0.1", 8888),
    )
    assert listener.connect_ex(("", 1)) == 106
    sel._settled = True


# -- registering --------------------------------------------------------------------------------


class Wrapper:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def fileno(self) -> int:
        return self.sock.fileno()


def test_a_number_or_a_wrapper_stands_for_its_socket() -> None:
    sock = alice(b"one", b"two")
    wrapper = Wrapper(sock)
    sel = MockSelector([wrapper, sock.fileno()], strict=True)
    sel.register(wrapper, EVENT_READ)
    sel.select()
    sock.recv(9)
    sel.modify(sock.fileno(), EVENT_READ, "data")
    sel.select()
    sock.recv(9)
    assert [str(event) for event in sel.trace][:3] == [
        "register(alice, READ)",
        "select() -> alice READ",
        "alice.recv() -> b'one'",
    ]
    sel._settled = True


def test_unregistering_after_closing_works_by_identity() -> None:
    sock = alice()
    sel = run(sock)
    sock.recv(1)
    sock.close()
    assert sel.unregister(sock).fileobj is sock
    with pytest.raises(ValueError, match="^Invalid file descriptor: -1$"):
        sel.register(sock, EVENT_READ)
    with pytest.raises(ValueError, match="^Invalid file descriptor: -1$"):
        sel.modify(sock, EVENT_READ)
    sel.verify()


def test_a_failed_modify_leaves_what_the_standard_library_leaves() -> None:
    sock = alice(b"hi")
    sel = run(sock, 2)
    with pytest.raises(ValueError, match="Invalid events: 0"):
        sel.modify(sock, 0)
    assert len(sel.get_map()) == 0
    with pytest.raises(ScenarioError, match="event-not-registered"):
        sel.select()


def test_a_closed_selector_refuses_as_epoll_does() -> None:
    sel = MockSelector([[]], strict=True)
    sel.close()
    with pytest.raises(ValueError, match="^I/O operation on closed epoll object$"):
        sel.select()
    with pytest.raises(ValueError, match="^I/O operation on closed epoll object$"):
        sel.register(alice(), EVENT_READ)
    with pytest.raises(RuntimeError, match="^Selector is closed$"):
        sel.get_key(alice())
    sel._settled = True


def test_an_allowed_event_for_a_socket_that_is_not_registered_is_left_out() -> None:
    sock, other = alice(allow=["event-not-registered"]), MockSocket()
    sel = MockSelector([[sock, other]], strict=True)
    key = sel.register(other, EVENT_READ)
    assert sel.select() == [(key, EVENT_READ)]
    sel._settled = True


def test_an_allowed_event_without_interest_is_delivered() -> None:
    sock = alice(allow=["event-without-interest"])
    sel = MockSelector([(sock, EVENT_WRITE)], strict=True)
    key = sel.register(sock, EVENT_READ)
    assert sel.select() == [(key, EVENT_WRITE)]
    sel._settled = True


def test_real_descriptors_and_plain_mocks_only_sit_in_the_map() -> None:
    reader, writer = socket.socketpair()
    plain = Mock(spec=socket.socket)
    plain.fileno.return_value = 900
    with reader, writer:
        sel = MockSelector([reader, plain, reader.fileno()], strict=True)
        keys = [sel.register(reader, EVENT_READ), sel.register(plain, EVENT_READ)]
        with sel:
            assert [sel.select() for _ in range(3)] == [[(keys[i], EVENT_READ)] for i in (0, 1, 0)]
    assert [event.socket for event in sel.trace[:2]] == [f"descriptor {keys[0].fd}", "descriptor 900"]


def test_an_accepted_mock_goes_by_its_order() -> None:
    plain = Mock(spec=socket.socket)
    listener = ListenSocket([plain])
    with MockSelector([listener, []], strict=True) as sel:
        sel.register(listener, EVENT_READ)
        listener.listen()
        sel.select()
        listener.accept()
        sel.select()
    assert str(sel.trace[3]) == "listener.accept() -> client 1"


def test_an_unregistered_thing_that_is_no_socket_is_refused_as_selectors_does() -> None:
    sel = MockSelector([], strict=True)
    with pytest.raises(ValueError, match="Invalid file object"):
        sel.register("nonsense", EVENT_READ)  # type: ignore[arg-type]


def test_two_selectors_that_share_a_socket_are_one_run() -> None:
    sock = alice(b"hi")
    listener = ListenSocket([sock])
    listener.bind(("", 1))
    listener.listen()
    first, second = MockSelector([listener, []], strict=True), MockSelector([sock, sock], strict=True)
    with first, second:
        first.register(listener, EVENT_READ)
        second.register(MockSocket(), EVENT_READ)
        first.select()
        conn, _ = listener.accept()
        second.register(conn, EVENT_READ)
        first.select()
        second.select()
        conn.recv(9)
        second.select()
        conn.recv(9)
        second.unregister(conn)
        conn.close()
    assert first.trace == second.trace
    assert len(first.trace) == 12


def test_a_third_selector_joins_the_run_that_two_share() -> None:
    one, other = alice(b"hi"), MockSocket([b"yo"], name="bob")
    first, second, third = (MockSelector([sock], strict=True) for sock in (one, other, other))
    first.register(one, EVENT_READ)
    second.register(other, EVENT_READ)
    second.register(one, EVENT_READ)
    third.register(other, EVENT_READ)
    for sel, sock in ((first, one), (third, other)):
        sel.select()
        sock.recv(9)
    assert first.trace == second.trace == third.trace
    assert [event.operation for event in first.trace] == [*["register"] * 4, *["select", "recv"] * 2]
    for sel in (first, second, third):
        sel._settled = True


@pytest.mark.parametrize("which", [0, 1])
def test_a_finding_keeps_its_trace_when_its_run_becomes_one_with_another(which: int) -> None:
    socks = MockSocket([b"x", b"y"], name="one"), MockSocket([b"x", b"y"], name="other")
    sels = [MockSelector([sock, sock], strict=True) for sock in socks]
    for sel, sock in zip(sels, socks, strict=True):
        sel.register(sock, EVENT_READ)
    sels[which].select()
    socks[which].recv(9)
    with pytest.raises(ScenarioError, match="read-without-data") as caught:
        socks[which].recv(9)
    before = str(caught.value), [str(row) for row in caught.value.trace]
    sels[0].register(socks[1], EVENT_READ)
    with pytest.raises(ScenarioError) as again:  # it was swallowed
        sels[1 - which].select()
    assert again.value is caught.value
    assert (str(caught.value), [str(row) for row in caught.value.trace]) == before
    assert "register(other, READ)" in [str(row) for row in sels[1 - which].trace]


def test_a_socket_of_a_finished_run_can_be_used_in_another() -> None:
    sock = alice(b"one", b"two", allow=["unread-data"])
    for data in (b"one", b"two"):
        with MockSelector([sock], strict=True) as sel:
            sel.register(sock, EVENT_READ)
            sel.select()
            assert sock.recv(9) == data


# -- a server that does nothing -----------------------------------------------------------------


def test_a_group_of_which_one_was_handled_is_no_busy_loop() -> None:
    one, other = alice(b"hi"), MockSocket([b"yo"])
    sel = MockSelector([[one, other], one], strict=True)
    sel.register(one, EVENT_READ)
    sel.register(other, EVENT_READ)
    sel.select()
    other.recv(9)
    sel.select()
    sel._settled = True


def test_asking_a_socket_is_not_doing_something_about_it() -> None:
    sock = alice(b"hi")
    sel = run(sock, 2)
    sock.getpeername()
    sock.setblocking(True)
    with pytest.raises(ScenarioError, match="busy-loop"):
        sel.select()


def test_polling_is_not_going_to_sleep() -> None:
    sock = alice(b"hi")
    sel = run(sock, 3)
    sel.select(0)
    sel.select(timeout=-1)


def test_a_socket_whose_reading_the_test_replaced_is_not_judged_by_it() -> None:
    sock = alice(b"never read")
    sock.recv = Mock(return_value=b"mine")  # type: ignore[method-assign]
    with MockSelector([sock, sock], strict=True) as sel:
        sel.register(sock, EVENT_READ)
        sel.select()
        assert sock.recv(9) == b"mine"
        sel.select()


def test_busy_loop_allowed_on_the_socket() -> None:
    sock = alice(b"hi", allow=["busy-loop"])
    sel = run(sock, 2)
    sel.select()


def test_a_detached_socket_is_handed_off() -> None:
    sock = alice()
    listener = ListenSocket([sock])
    with MockSelector([listener, []], strict=True) as sel:
        sel.register(listener, EVENT_READ)
        listener.listen()
        sel.select()
        conn, _ = listener.accept()
        number = conn.fileno()
        assert (conn.detach(), conn.fileno(), conn.detach()) == (number, -1, -1)
        sel.select()


# -- the trace and the error --------------------------------------------------------------------


def test_an_event_of_the_trace_tells_what_where_and_when() -> None:
    sock = alice(b"hi")
    sel = run(sock)
    sock.recv(9)
    event = sel.trace[-1]
    assert (event.operation, event.socket, event.detail, event.time) == ("recv", "alice", b"hi", 0.0)
    assert event.place.file == __file__
    assert event.place.function == "test_an_event_of_the_trace_tells_what_where_and_when"
    with open(__file__) as source:
        assert source.readlines()[event.place.line - 1].strip() == "sock.recv(9)"
    assert repr(event) == f"<alice.recv() -> b'hi' at {os.path.relpath(__file__)}:{event.place.line}>"


def test_traces_compare_by_what_happened() -> None:
    def trace() -> list[Event]:
        sock = alice(b"hi")
        sel = run(sock)
        sock.recv(9)
        return list(sel.trace)

    first, second = trace(), trace()
    assert first == second
    assert hash(first[0]) == hash(second[0])
    assert first[0] != first[1]
    assert first[0] != "register"
    sel = run(alice())
    assert sel.trace != "trace"
    assert repr(sel.trace) == "<Trace of 2 operations>"
    assert str(sel.trace) == "register(alice, READ)\nselect() -> alice READ"
    assert list(sel.trace[1:]) == [sel.trace[1]]


def test_an_error_knows_its_rule_socket_and_trace() -> None:
    sock = alice(b"hi")
    run(sock)
    sock.recv(9)
    with pytest.raises(ScenarioError) as caught:
        sock.recv(9)
    error = caught.value
    assert isinstance(error, AssertionError)
    assert (error.rule, error.socket, len(error.trace)) == ("read-without-data", "alice", 4)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.rule, copy.socket, len(copy.trace)) == (str(error), error.rule, "alice", 0)


@pytest.mark.parametrize(
    ("recvs", "hint"), [(b"hi", "put them into a list"), (["hi"], "write a b before the quotes"), ("hi", "write a b")]
)
def test_what_a_script_may_hold_is_told_with_what_to_write(recvs: Any, hint: str) -> None:
    sock = MockSocket(recvs, name="alice")
    run(sock, 1)
    with pytest.raises(TypeError, match=hint):
        sock.recv(9)


def test_a_long_trace_is_shown_by_its_end() -> None:
    sock = alice(*(b"%d" % number for number in range(20)))
    sel = run(sock, 20)
    for _ in range(19):
        sock.recv(9)
        sel.select()
    sock.recv(9)
    with pytest.raises(ScenarioError) as caught:
        sock.recv(9)
    tail = str(caught.value).split("\n\n")[4].splitlines()
    assert tail[0] == "  ... 30 earlier"
    assert len(tail) == 13
    assert tail[-1].startswith("> ")
    assert "step 20" in tail[-3]


def test_a_server_may_pass_its_sockets_to_the_standard_library_by_number() -> None:
    sel = MockSelector([], strict=True)
    with selectors.SelectSelector() as real, sel:
        assert real.register(alice().fileno(), EVENT_READ).fd >= 2**30


# -- allowed, but not for ever --------------------------------------------------------------------


def test_a_loop_that_lives_on_an_allowed_breach_comes_to_an_end() -> None:
    sock = alice(allow=["read-past-eof"])
    run(sock)
    with pytest.raises(ScenarioError, match=r"^\[.+?\] recv\(\) on alice was tried 1000 times in a row in vain"):
        while True:
            sock.recv(9)


def test_accepting_for_ever_comes_to_an_end() -> None:
    listener = ListenSocket(allow=["accept-without-connection", "accepted-not-registered"])
    sel = MockSelector([listener], strict=True)
    sel.register(listener, EVENT_READ)
    listener.listen()
    sel.select()
    with pytest.raises(ScenarioError, match=r"^\[.+?\] accept\(\) on listener was tried 1000 times in a row in vain"):
        while True:
            listener.accept()
    sel._settled = True


def test_two_runs_that_become_one_keep_their_names_apart() -> None:
    mine, others = alice(b"hi"), MockSocket([b"yo"], name="alice")
    first, second = MockSelector([mine], strict=True), MockSelector([others], strict=True)
    first.register(mine, EVENT_READ)
    second.register(others, EVENT_READ)
    second.register(mine, EVENT_READ)
    second.select()
    assert str(first.trace[-1]) == "select() -> alice (2) READ"
    first._settled = second._settled = True


# -- what correct servers do ----------------------------------------------------------------------


def test_leaving_the_servers_own_block_closes_the_selector() -> None:
    def serve(sel: MockSelector, listener: ListenSocket) -> None:
        with sel, listener:
            listener.bind(("", 1))
            listener.listen()
            sel.register(listener, EVENT_READ)
            while True:
                sel.select()

    with MockSelector([()], strict=True, pedantic=True, allow=["close-before-unregister"]) as sel:
        serve(sel, ListenSocket())
    assert sel.get_map() is None


def test_so_does_leaving_that_of_a_server_in_another_file_however_deep(tmp_path: Path) -> None:
    source = "def serve(sel):\n    runs(sel)\n\ndef runs(sel):\n    with sel:\n        sel.select()\n"
    server: dict[str, Any] = {}
    exec(compile(source, str(tmp_path / "server.py"), "exec"), server)
    sel = MockSelector([()], strict=True)
    server["serve"](sel)
    assert sel.get_map() is None
    sel.verify()


def test_a_connection_still_being_flushed_when_the_script_ends_is_not_leaked() -> None:
    def serve(sel: MockSelector, sock: MockSocket) -> None:
        with sel:
            sel.register(sock, EVENT_READ)
            for _ in range(3):
                sel.select()
                sock.recv(9)
                sel.modify(sock, EVENT_WRITE)

    sock = alice()
    with MockSelector([sock], strict=True) as sel:
        serve(sel, sock)


def test_a_modify_that_changes_nothing_does_nothing_about_readiness() -> None:
    sock = alice(b"hi")
    sel = run(sock, 3)
    sel.modify(sock, EVENT_READ, "another callback")
    sel.select()
    sel.modify(sock, EVENT_READ, "another callback")
    with pytest.raises(ScenarioError, match="busy-loop"):
        sel.select()


def test_the_note_of_a_leftover_says_whether_it_was_announced() -> None:
    sock = alice(b"hi")
    sel = MockSelector([sock], strict=True)
    with pytest.raises(ScenarioError, match="An event had announced it"), sel:
        sel.register(sock, EVENT_READ)
        sel.select()


def test_registering_another_socket_instead_is_told() -> None:
    listener = ListenSocket([alice()])
    listener.bind(("", 1))
    listener.listen()
    sel = MockSelector([listener, ()], strict=True)
    sel.register(listener, EVENT_READ)
    sel.select()
    listener.accept()
    sel.modify(listener, EVENT_READ, "data")
    with pytest.raises(ScenarioError, match=r"In between, the server called modify\(listener, READ\)\."):
        sel.select()
    sel._settled = True


def test_the_error_says_where_the_sockets_own_script_is() -> None:
    sock = alice(b"hi")
    run(sock)
    sock.recv(9)
    with pytest.raises(ScenarioError, match=r"\n  alice:   tests/test_strict.py:\d+  return MockSocket\(items"):
        sock.recv(9)


# -- at the edges ---------------------------------------------------------------------------------


def test_a_whole_send_can_make_up_for_a_short_one() -> None:
    sel, sock = short(2)
    sock.send(b"abcd")
    sock.sendall(b"cd")
    sel.unregister(sock)
    sock.close()


def test_shutdown_takes_three_ways() -> None:
    sock = alice()
    run(sock)
    with pytest.raises(OSError, match="Invalid argument"):
        sock.shutdown(9)


def test_an_event_in_a_group_for_an_item_read_in_part_announces_no_other() -> None:
    sock = alice(b"abcd", b"next")
    sel = run(sock)
    sel.iter_event = iter([[sock, sock]])
    sock.recv(2)
    sel.select()
    assert sock.recv(9) == b"cd"
    with pytest.raises(ScenarioError, match="read-without-data"):
        sock.recv(9)


def test_an_item_read_in_part_is_left_over() -> None:
    sock = alice(b"abcd")
    with pytest.raises(ScenarioError, match=r"b'cd' is left(?s:.)*An event had announced it"):
        with MockSelector([sock], strict=True) as sel:
            sel.register(sock, EVENT_READ)
            sel.select()
            sock.recv(2)


def test_a_listener_that_was_never_registered_accepts_on_through_its_script() -> None:
    first, second = alice(), MockSocket()
    listener = ListenSocket([first, second], allow=["event-not-registered"])
    listener.bind(("", 1))
    listener.listen()
    sel = MockSelector([listener], strict=True)
    assert sel.select() == []
    assert [listener.accept()[0] for _ in range(2)] == [first, second]
    sel._settled = True


def test_a_listener_whose_accept_the_test_replaced_has_nothing_left() -> None:
    listener = ListenSocket([alice()])
    listener.accept = Mock()
    with MockSelector([], strict=True) as sel:
        sel.register(listener, EVENT_READ)


def test_a_socket_registered_with_another_selector_is_not_registered_with_this_one() -> None:
    sock = alice()
    mine, other = MockSelector([sock], strict=True), MockSelector([], strict=True)
    other.register(sock, EVENT_READ)
    with pytest.raises(ScenarioError, match="event-not-registered"):
        mine.select()
    mine._settled = other._settled = True


@pytest.mark.parametrize(
    ("event", "text"),
    [(map(MockSocket, ()), "<map object"), (900, "900 READ"), ((), "a time-out")],
)
def test_any_event_that_is_left_over_can_be_told(event: Any, text: str) -> None:
    with pytest.raises(ScenarioError, match=rf"events left in the script, first {text}"):
        MockSelector([event], strict=True).verify()


def test_an_open_file_that_is_left_over_is_one_event() -> None:
    with open(__file__) as file, pytest.raises(ScenarioError, match=r"events left in the script, first <.*> READ"):
        MockSelector([file], strict=True).verify()


def test_a_path_on_another_drive_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def other_drive(path: str) -> str:
        raise ValueError(path)

    monkeypatch.setattr(os.path, "relpath", other_drive)
    event = run(alice()).trace[0]
    assert repr(event).startswith(f"<register(alice, READ) at {__file__}:")


# -- what only looks like doing nothing -----------------------------------------------------------


def quietly(sel: MockSelector, sock: MockSocket | ListenSocket) -> None:
    """Two events, and what the caller does between them is not to be taken for nothing."""
    sel.register(sock, EVENT_READ)
    sel.select()


def test_an_aborted_connection_is_something_done() -> None:
    listener = ListenSocket([ConnectionAbortedError(103, "aborted")])
    listener.bind(("", 1))
    listener.listen()
    with MockSelector([listener, ()], strict=True) as sel:
        quietly(sel, listener)
        with pytest.raises(ConnectionAbortedError):
            listener.accept()
        sel.select()


def test_decided_calls_are_something_done() -> None:
    sock = alice(allow=["unread-data"])
    sock.sendall.side_effect = lambda _data: None  # pyright: ignore[reportUnknownLambdaType]
    sock.recv_into.side_effect = [3, 0]
    sock.sendmsg.return_value = 1
    with MockSelector([(sock, EVENT_WRITE), sock, (sock, EVENT_WRITE), ()], strict=True) as sel:
        sel.register(sock, EVENT_READ | EVENT_WRITE)
        sel.select()
        sock.sendall(b"x")
        sel.select()
        assert sock.recv_into(bytearray(3)) == 3
        sel.select()
        assert sock.sendmsg([b"a", b"b"]) == 1
        sock.send(b"b")
        sel.select()
    assert [str(event) for event in sel.trace if event.operation not in ("select", "register")] == [
        "alice.send(b'x')",
        "alice.recv_into()",
        "alice.send(b'ab') -> 1",
        "alice.send(b'b')",
    ]


def test_a_decided_accept_lets_its_client_in() -> None:
    sock, listener = alice(), ListenSocket()
    listener.accept.return_value = (sock, ("::1", 5))
    listener.bind(("", 1))
    listener.listen()
    sel = MockSelector([listener, ()], strict=True)
    with pytest.raises(ScenarioError, match="alice was accepted but never registered"), sel:
        quietly(sel, listener)
        listener.accept()
        sel.select()


class Reads(MockSocket):
    def recv(self, size: int, flags: int = 0) -> bytes:
        return b"my own"


def test_a_subclass_that_reads_in_its_own_way_is_not_judged_by_its_script() -> None:
    sock = Reads([b"hi"])
    with MockSelector([sock, ()], strict=True) as sel:
        quietly(sel, sock)
        sock.recv(9)
        sel.select()


def test_a_worker_thread_may_read_what_was_unregistered_for_it() -> None:
    sock = alice(b"one", b"two")
    got: list[bytes] = []
    with MockSelector([sock, ()], strict=True) as sel:
        quietly(sel, sock)
        sel.unregister(sock)
        thread = threading.Thread(target=lambda: got.extend(iter(lambda: sock.recv(9), b"")))
        thread.start()
        thread.join()
        sock.close()
        sel.select()
    assert got == [b"one", b"two"]


def test_a_peer_that_is_gone_need_not_get_the_rest() -> None:
    sock = alice(b"hi")
    sock.send.side_effect = [1, BrokenPipeError(32, "gone")]
    sel = run(sock)
    sock.send(b"ab")
    with pytest.raises(BrokenPipeError):
        sock.send(b"b")
    sel.unregister(sock)
    sock.close()
    assert str(sel.trace[3]) == "alice.send() raises BrokenPipeError"


def test_a_rest_that_is_still_waited_for_when_the_script_ends_is_not_lost() -> None:
    sock = alice(b"hi")
    sock.send.return_value = 1
    with MockSelector([sock], strict=True) as sel:
        quietly(sel, sock)
        sock.send(sock.recv(9))
        sel.modify(sock, EVENT_WRITE)
        with pytest.raises(MockSelector.EndException):
            sel.select()
        sel.unregister(sock)
        sock.close()


def test_a_listener_of_the_script_is_in_the_run_from_the_start() -> None:
    listener = ListenSocket([], name="front")
    sel = MockSelector([listener], strict=True)
    listener.listen()
    listener.listen()
    assert str(sel.trace) == "front.listen()\nfront.listen()"
    sel._settled = True


def test_scripted_results_of_send_that_are_used_up_give_way_to_whole_sends() -> None:
    sock = alice(b"hi")
    sock.send.side_effect = [1]
    run(sock)
    assert [sock.send(b"ab"), sock.send(b"b"), sock.send(b"more")] == [1, 1, 4]


@pytest.mark.parametrize("event", [None, "listener", KeyboardInterrupt, (Wrapper, EVENT_READ)])
def test_an_event_that_is_no_socket_is_refused_by_name(event: Any) -> None:
    sel = MockSelector([event], strict=True)
    with pytest.raises(TypeError, match=r"^event_list= holds .*, as event 1; an event is a socket, its number or"):
        sel.select()
    sel._settled = True


@pytest.mark.parametrize("result", [-1, 3])
def test_a_scripted_result_of_send_that_no_kernel_gives_is_refused(result: int) -> None:
    sock = alice(b"hi")
    sock.send.return_value = result
    run(sock)
    with pytest.raises(ValueError, match=rf"^the test lets send\(\) of alice take {result} of 2 bytes$"):
        sock.send(b"ab")


def test_a_selector_that_the_server_never_got_is_told() -> None:
    with pytest.raises(ScenarioError, match=r"Nothing ever called select\(\) on this selector\. Did the server"):
        MockSelector([alice()], strict=True).verify()


def polls(sel: MockSelector, listener: ListenSocket) -> None:
    sel.register(listener, EVENT_READ)
    while True:
        for key, _ in sel.select(0):
            if key.fileobj is listener:
                listener.accept()


def test_a_loop_that_only_polls_is_judged_at_the_end() -> None:
    listener = ListenSocket([alice()])
    listener.bind(("", 1))
    listener.listen()
    with pytest.raises(
        ScenarioError, match=r"(?s)^\[accepted-not-registered\] alice was accepted but never registered.*> end"
    ):
        with MockSelector([listener, (), (), ()], strict=True) as sel:
            polls(sel, listener)


def test_a_loop_that_only_polls_has_time_to_register() -> None:
    listener = ListenSocket([alice()])
    listener.bind(("", 1))
    listener.listen()
    with MockSelector([listener, ()], strict=True) as sel:
        polls(sel, listener)


@pytest.mark.parametrize(
    ("client", "told"),
    [(MockSocket(name="bob"), "bob"), (MockSocket(), "a MockSocket"), (socket.socket, "<class 'socket.socket'>")],
)
def test_a_client_that_was_not_accepted_is_told_by_its_name(client: Any, told: str) -> None:
    sel = MockSelector([], strict=True)
    sel.register(ListenSocket([client]), EVENT_READ)
    with pytest.raises(ScenarioError, match=f"not asked for all its clients: {told} is left"):
        sel.verify()


@pytest.mark.parametrize(("bound", "missing"), [(False, "bind() and listen()"), (True, "listen()")])
def test_a_listener_that_never_listened_is_told_so(bound: bool, missing: str) -> None:
    listener = ListenSocket([MockSocket([], name="alice")])
    with pytest.raises(ScenarioError, match=r"\[unaccepted-connection\]") as caught:
        with MockSelector([listener], strict=True) as selector:
            selector.register(listener, EVENT_READ)
            if bound:
                listener.bind(("", 8888))
            selector.select()
    text = " ".join(str(caught.value).split())
    assert f"Nothing has called {missing} on listener. An event had announced it." in text
    assert f"If the server should accept it, call {missing} on listener first;" in text

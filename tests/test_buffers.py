"""What a program gives to be sent or filled: nothing keeps it, and nothing copies what is not taken."""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import io
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, TypeAlias

import pytest

from mockselector import MockSelector, MockSocket, Receives, Scenario, ScenarioError, Sends
from mockselector._buffers import Given, Owed, flat
from mockselector._judge.rules import RULES
from mockselector._kernel.streams import Stream

Network: TypeAlias = Literal["simulated", "loopback"]
on_both = pytest.mark.parametrize("network", ["simulated", "loopback"])

CALLS: Final[dict[str, Callable[[Any, bytearray], object]]] = {
    "send": lambda sock, buffer: sock.send(memoryview(buffer)[2:]),
    "send, the object": lambda sock, buffer: sock.send(buffer),
    "send, flags": lambda sock, buffer: sock.send(memoryview(buffer), socket.MSG_DONTWAIT),
    "send, bad flags": lambda sock, buffer: sock.send(memoryview(buffer), "x"),
    "send, in two parts": lambda sock, buffer: sock.send(memoryview(buffer)[::2]),
    "sendall": lambda sock, buffer: sock.sendall(memoryview(buffer)[2:]),
    "sendto": lambda sock, buffer: sock.sendto(memoryview(buffer), ("localhost", 1)),
    "sendmsg": lambda sock, buffer: sock.sendmsg([memoryview(buffer), b"x", memoryview(buffer)[1:]]),
    "sendmsg, a generator": lambda sock, buffer: sock.sendmsg(memoryview(buffer) for _ in range(2)),
    "sendmsg, bad": lambda sock, buffer: sock.sendmsg([memoryview(buffer), "x"]),
    "recv_into": lambda sock, buffer: sock.recv_into(memoryview(buffer)[2:]),
    "recv_into, the object": lambda sock, buffer: sock.recv_into(buffer, 3),
    "recv_into, bad size": lambda sock, buffer: sock.recv_into(memoryview(buffer), -1),
    "recv_into, too much": lambda sock, buffer: sock.recv_into(memoryview(buffer), 100),
    "recv_into, not writable": lambda sock, buffer: sock.recv_into(memoryview(buffer).toreadonly()),
    "recvfrom_into": lambda sock, buffer: sock.recvfrom_into(memoryview(buffer)),
    "recvmsg_into": lambda sock, buffer: sock.recvmsg_into([memoryview(buffer)[:1], memoryview(buffer)[1:]]),
    "recvmsg_into, bad": lambda sock, buffer: sock.recvmsg_into([memoryview(buffer), 3]),
    "setsockopt": lambda sock, buffer: sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, memoryview(buffer)),
    "sendfile": lambda sock, buffer: sock.sendfile(io.BytesIO(buffer)),
    "makefile": lambda sock, buffer: sock.makefile("wb", 0).write(buffer),
}


def used(sock: Any, kept: list[BaseException]) -> list[str]:
    """Make every call; which of them keeps the buffer, though its exception is kept as well."""
    keep: list[str] = []
    for name, call in CALLS.items():
        buffer = bytearray(10)
        try:
            call(sock, buffer)
        except (AssertionError, NotImplementedError):
            raise
        except Exception as error:
            kept.append(error)
        try:
            buffer.clear()
        except BufferError:
            keep.append(name)
    return keep


def connected(state: str, far: socket.socket, near: socket.socket) -> None:
    """Bring a connection into a state, seen from `near`."""
    near.settimeout(1 if "timeout" in state else 0)
    if "full" in state:
        near.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                near.send(bytes(100_000))
        near.settimeout(1 if "timeout" in state else 0)
    if state == "data":
        far.sendall(bytes(1000))
    if state in ("gone", "told"):
        far.close()
    if state == "told":
        near.send(b"x")
    if state == "shut":
        near.shutdown(socket.SHUT_RDWR)
    if state == "closed":
        near.close()


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What keeps a buffer until the collector comes keeps it."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "state", ["empty", "full", "full, timeout", "timeout", "data", "gone", "told", "shut", "closed"]
)
@on_both
def test_no_call_keeps_a_buffer(network: Network, state: str) -> None:
    kept: list[BaseException] = []

    def program() -> list[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with socket.create_connection(listener.getsockname()) as far, listener.accept()[0] as near:
                connected(state, far, near)
                return used(near, kept)

    with Scenario(network=network, allow=set(RULES)) as net:
        assert [] == net.run(program)
    assert kept, "some of these calls fail in every state"


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("call", ["send", "sendall", "sendto", "sendmsg", "recv_into", "recvfrom_into", "recvmsg_into"])
@on_both
def test_no_finding_keeps_a_buffer(network: Network, call: str) -> None:
    resized: list[bool] = []

    def server() -> None:
        buffer = bytearray(b"something else")
        with socket.create_server(("127.0.0.1", 0)) as listener, listener.accept()[0] as sock:
            try:
                CALLS[call](sock, buffer)
                time.sleep(1)
            finally:  # with the finding, or the end of the run, under way
                buffer.clear()
                resized.append(True)

    with pytest.raises(ScenarioError):
        with Scenario(network=network) as net:
            net.client().expects(b"what comes here")
            net.run(server)
    assert [True] == resized


@pytest.mark.usefixtures("no_collector")
def test_no_call_of_a_lenient_socket_keeps_a_buffer() -> None:
    assert [] == used(MockSocket([b"12345", ConnectionResetError, b"", b"x"] * 10), [])


@pytest.mark.usefixtures("no_collector")
def test_no_call_of_a_strict_socket_keeps_a_buffer() -> None:
    sock = MockSocket([b"12345", ConnectionResetError, b"", b"x"] * 10)
    with MockSelector([sock] * 40, strict=True, allow=set(RULES)) as selector:
        selector.register(sock, selectors.EVENT_READ)
        for _ in range(30):
            selector.select()
        assert [] == used(sock, [])


def test_the_calls_of_a_mock_socket_are_kept_as_bytes() -> None:
    sock, buffer = MockSocket(), bytearray(b"12345")
    with memoryview(buffer) as view:
        sock.send(view[1:])
        sock.sendall(view)
        sock.sendmsg([view, b"x"])
    buffer.clear()
    sock.send.assert_called_once_with(b"2345")
    sock.sendall.assert_called_once_with(b"12345")
    sock.sendmsg.assert_called_once_with([b"12345", b"x"])


def test_an_exception_of_a_socket_is_gone_when_it_was_handled() -> None:
    """It is no garbage that waits for the collector, which a program may have switched off."""
    failed: list[type] = []

    def program() -> int:
        with socket.create_server(("", 1)) as listener, socket.create_connection(("localhost", 1)) as sock:
            sock.setblocking(False)
            listener.setblocking(False)
            listener.accept()[0].close()
            gc.collect()
            calls: list[Callable[[], object]] = [
                listener.accept,
                lambda: (sock.send(b"x"), sock.recv(1), sock.send(b"x")),
                lambda: (sock.send(b"x"), sock.send(b"x")),
                lambda: sock.connect(("localhost", 1)),
                lambda: sock.getsockopt(socket.SOL_SOCKET, 9999),
            ]
            for call in calls:
                try:
                    call()
                except OSError as error:
                    failed.append(type(error))
            return gc.collect()

    gc.disable()
    try:
        with Scenario(allow=set(RULES)) as net:
            assert 0 == net.run(program)
    finally:
        gc.enable()
    assert 5 == len(failed)


# -- how much is copied ----------------------------------------------------------------------------


class Counted(bytes):
    """Bytes that count what is copied of them."""

    copied = 0

    def __getitem__(self, part: Any) -> Any:
        piece: slice = part  # nobody asks for one byte
        Counted.copied += len(range(len(self))[piece])
        return bytes.__getitem__(self, piece)


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each look at what was given has copied."""
    sizes: list[int] = []
    of_given = Given.__getitem__

    def given(self: Given, part: slice) -> bytes:
        got = of_given(self, part)
        sizes.append(len(got))
        return got

    monkeypatch.setattr(Given, "__getitem__", given)
    return sizes


BIG: Final = 4_000_000

KINDS: Final[dict[str, Callable[[bytes], Any]]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "array": lambda data: array.array("I", data),
    "ctypes": lambda data: (ctypes.c_int * (len(data) // 4)).from_buffer_copy(data),
    "two dimensions": lambda data: memoryview(data).cast("B", [1000, len(data) // 1000]),
}


def ways(sock: socket.socket, data: Any) -> dict[str, Callable[[], object]]:
    """How a program sends much."""

    def loop() -> None:
        sock.setblocking(False)
        with flat(data) as view, selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            sent = 0
            while sent < len(view):
                selector.select()
                sent += sock.send(view[sent:])

    def messages() -> None:
        sock.setblocking(False)
        with flat(data) as view, selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            left = [view[start : start + 10_000] for start in range(0, len(view), 10_000)]
            while left:
                selector.select()
                sent = sock.sendmsg(left)
                while left and sent >= len(left[0]):
                    sent -= len(left.pop(0))
                if sent:
                    left[0] = left[0][sent:]

    def with_timeout() -> None:
        sock.settimeout(60)
        sock.sendall(data)

    return {
        "sendall": lambda: sock.sendall(data),
        "sendall, timeout": with_timeout,
        "send": loop,
        "sendmsg": messages,
        "makefile": lambda: sock.makefile("wb", 0).write(data),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["sendall", "sendall, timeout", "send", "sendmsg", "makefile"])
def test_only_what_is_taken_is_copied(way: str, kind: str, copied: list[int]) -> None:
    raw = bytes(range(250)) * (BIG // 250)

    def server() -> None:
        with socket.create_server(("", 1)) as listener, listener.accept()[0] as sock:
            ways(sock, KINDS[kind](raw))[way]()

    with Scenario() as net:
        alice = net.client().expects(raw)
        net.run(server)
    assert raw == alice.received
    assert sum(copied) < 4 * BIG  # what was taken, its comparison with what was owed, and one copy of what may change


def test_what_is_offered_again_and_again_is_not_copied(copied: list[int]) -> None:
    def server() -> None:
        data = bytearray(BIG)
        with socket.create_server(("", 1)) as listener, listener.accept()[0] as sock:
            sock.setblocking(False)
            for _ in range(100):
                with pytest.raises(BlockingIOError):
                    while True:
                        sock.send(data)

    with Scenario(allow=set(RULES)) as net:
        net.client().waits(5)
        net.run(server)
    assert sum(copied) < 2 * BIG


def test_a_gathered_send_is_as_one() -> None:
    parts: list[Any] = [b"one", b"", b"two", memoryview(b"three!")[:5], array.array("B", b"four")]

    def server() -> list[int]:
        with socket.create_server(("", 1)) as listener, listener.accept()[0] as sock:
            sock.setblocking(False)
            sent = [sock.sendmsg(parts)]
            time.sleep(1)
            return [*sent, sock.send(b"".join(map(bytes, parts))[sent[0] :])]

    with Scenario(buffer=8) as net:
        net.client().waits(1).expects(b"onetwothreefour")
        assert [8, 7] == net.run(server)


def test_slices_of_what_was_given() -> None:
    with Given(b"one", bytearray(b""), memoryview(b"two"), b"three") as given:
        whole = b"onetwothree"
        assert len(whole) == len(given)
        for start in range(12):
            for end in range(start, 12):
                assert whole[start:end] == given[start:end]
    with Given() as given:
        assert b"" == given[:]
        assert 0 == len(given)


@pytest.mark.parametrize("data", KINDS)
def test_any_buffer_can_be_sent_and_filled(data: str) -> None:
    raw = bytes(range(100)) * 40
    buffer = KINDS["bytearray" if data in ("bytes", "memoryview", "two dimensions") else data](raw)

    def server() -> None:
        with socket.create_server(("", 1)) as listener, listener.accept()[0] as sock:
            assert 4000 == sock.recv_into(buffer)
            sock.sendall(KINDS[data](raw))

    with Scenario() as net:
        net.client().sends(raw[::-1]).expects(raw)
        net.run(server)
    assert raw[::-1] == bytes(memoryview(buffer).cast("B") if data == "array" else memoryview(buffer))


# -- what a short send has left ----------------------------------------------------------------------


def owes(data: Any, taken: int) -> Owed:
    return Owed(data, taken)


def test_what_is_owed_is_paid_in_any_pieces() -> None:
    owed, left = owes(b"hello world", 2), True
    for piece in (b"llo", b" wor", b"ld"):
        assert owed.goes_on_with(piece, len(piece))
        left = owed.pay(piece, len(piece))
    assert not left


def test_more_may_come_behind_what_is_owed() -> None:
    owed = owes(b"hello", 3)
    assert owed.goes_on_with(b"lo world", 1)
    assert owed.pay(b"lo world", 1)
    assert owed.goes_on_with(b"o world, and more", 7)
    assert owed.pay(b"o world, and more", 7)
    assert len(", and more") == len(owed)
    assert not owed.goes_on_with(b"; and", 5)


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_difference_is_seen_before_it_is_taken(taken: int) -> None:
    assert not owes(b"hello", 2).goes_on_with(b"llX", taken)


def test_a_difference_far_behind_what_is_taken_is_seen_when_it_is() -> None:
    good, bad = b"x" * 5000, b"x" * 4000 + b"y" * 1000
    owed = owes(good, 0)
    assert owed.goes_on_with(bad, 10)
    owed.pay(bad, 10)
    assert not owed.goes_on_with(bad[10:], 4000)


def test_what_may_change_is_remembered_as_it_was() -> None:
    data = bytearray(b"hello")
    with Given(data) as given:
        owed = owes(given, 2)
    data[:] = b"xxxxxxxxx"
    assert owed.goes_on_with(b"llo", 3)


def test_a_server_that_sends_something_else_behind_a_short_send_is_found() -> None:
    def server() -> None:
        with socket.create_server(("", 1)) as listener, listener.accept()[0] as sock:
            sock.setblocking(False)
            sent = sock.send(memoryview(b"x" * 100_000))
            time.sleep(1)
            sock.send(memoryview(b"x" * (99_999 - sent) + b"y"))

    with pytest.raises(ScenarioError, match="sent something else") as caught:
        with Scenario() as net:
            net.client().waits(0.5)
            net.run(server)
    assert "short-send-lost" == caught.value.rule


@pytest.mark.parametrize("closes", [True, False])
def test_a_short_send_is_told_first_also_where_an_exception_that_comes_of_it_is_expected(closes: bool) -> None:
    def server() -> None:
        with socket.create_server(("", 1)) as listener:
            sock = listener.accept()[0]
            sock.settimeout(30)
            sock.send(b"x" * 1000)
            with sock if closes else contextlib.nullcontext():
                sock.recv(100)

    with pytest.raises(ScenarioError, match="client 1 took 100 of 1000 bytes") as caught:
        with Scenario(buffer=100) as net:
            net.client().expects(b"x" * 1000).sends(b"thanks").closes()
            with pytest.raises(TimeoutError):
                net.run(server)
    assert "short-send-lost" == caught.value.rule
    assert closes or "Also:\n    [unmet-expectation] client 1 expects" in str(caught.value)


# -- reading -----------------------------------------------------------------------------------------


def test_a_read_of_all_is_one_row_for_all_that_is_there() -> None:
    def server() -> bytes:
        with socket.create_server(("", 1)) as listener, listener.accept()[0] as sock:
            return sock.recv(1000, socket.MSG_WAITALL)

    with Scenario() as net:
        alice = net.client()
        for _ in range(999):
            alice.sends(b"x")
        alice.waits(1).sends(b"y")
        assert b"x" * 999 + b"y" == net.run(server)
    assert 2 == sum(event.operation == "recv" for event in net.trace)


def stream_with(*chunks: bytes, program: bool) -> Stream:
    stream = Stream.pair((1 << 40, 1 << 40), (), ())
    if not program:
        peer: Any = "somebody"
        stream.other.peer = peer
    for chunk in chunks:
        stream.other.put(chunk)
    return stream


@pytest.mark.parametrize("program", [False, True])
def test_a_long_chunk_is_not_copied_to_be_read_in_parts(program: bool) -> None:
    Counted.copied = 0
    stream = stream_with(Counted(BIG), Counted(BIG), program=program)
    read = 0
    while stream.size:
        data = stream.peek(999)
        stream.drop(len(data))
        read += len(data)
    assert 2 * BIG == read
    assert Counted.copied < 3 * BIG


def test_many_chunks_are_joined_once() -> None:
    Counted.copied = 0
    stream = stream_with(*[Counted(b"12345")] * 20_000, program=True)
    while stream.size:
        data = stream.peek(7)
        stream.drop(len(data))
    assert Counted.copied <= 2 * 100_000


def test_an_item_of_a_script_is_not_copied_to_be_read_in_parts() -> None:
    Counted.copied = 0
    sock = MockSocket([Counted(BIG)])
    assert BIG == sum(len(sock.recv(999)) for _ in range(BIG // 999 + 1))
    assert Counted.copied <= BIG


@pytest.mark.slow
def test_a_read_of_all_goes_through_a_long_script() -> None:
    assert b"x" * 100_000 == MockSocket([b"x"] * 100_000).recv(100_000, socket.MSG_WAITALL)


# -- what a peer does with what it gets --------------------------------------------------------------


class Searched(bytes):
    """Bytes that count where they are searched."""

    looked_at = 0

    def find(self, what: Any, start: Any = 0, end: Any = None) -> int:
        end = len(self) if end is None else end
        found = super().find(what, start, end)
        Searched.looked_at += (end if found < 0 else found) - start
        return found


@pytest.mark.parametrize("slowly", [False, True])
def test_a_delimiter_is_looked_for_once_in_each_byte(slowly: bool) -> None:
    Searched.looked_at = 0
    lines = 2000

    def server() -> None:
        with socket.create_server(("", 1)) as listener, listener.accept()[0] as sock:
            sock.send(Searched(b"0123456789\r\n" * lines))

    with Scenario(buffer=1 << 20) as net:
        alice = net.client()
        if slowly:
            alice.reads_slowly(5, every=0.001)
        for _ in range(lines):
            alice.expects(b"0123456789\r\n".__eq__, until=b"\r\n")
        net.run(server)
    assert Searched.looked_at <= 3 * 12 * lines


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("slowly", [0, 1, 2, 3])
@on_both
def test_a_delimiter_is_found_wherever_it_is_cut(network: Network, slowly: int, pieces: int) -> None:
    data = b"ab--c-d---e--\n--"
    lines = [b"ab--", b"c-d--", b"-e--", b"\n--"]

    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, listener.accept()[0] as sock:
            for start in range(0, len(data), pieces):
                sock.send(data[start : start + pieces])
                time.sleep(0.1 * (start % 2))

    with Scenario(network=network) as net:
        alice = net.client()
        if slowly:
            alice.reads_slowly(slowly, every=0.01)
        for line in lines:
            alice.expects(line.__eq__, until=b"--")
        net.run(server)


def test_what_follows_a_step_that_judges_by_itself_is_compared_once() -> None:
    Counted.copied = 0
    lines = 1000

    def server() -> None:
        with socket.create_server(("", 1)) as listener, listener.accept()[0] as sock:
            sock.send(Counted(b"line\nthen\n" * lines))

    with Scenario(buffer=1 << 20) as net:
        alice = net.client()
        for _ in range(lines):
            alice.expects(b"line\n".__eq__, until=b"\n").expects(b"then\n")
        net.run(server)
    assert Counted.copied < 8 * 10 * lines


@on_both
def test_what_already_came_is_held_against_the_next_expectation(network: Network) -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, listener.accept()[0] as sock:
            sock.sendall(b"line\n")
            sock.sendall(b"w")
            sock.sendall(b"rong")
            sock.recv(1)

    with pytest.raises(ScenarioError) as caught:
        with Scenario(network=network) as net:
            net.client().waits(1).expects(b"line\n".__eq__, until=b"\n").expects(b"wanted").closes()
            net.run(server)
    assert "unexpected-send" == caught.value.rule


def test_a_generator_that_takes_a_byte_at_a_time_copies_no_more() -> None:
    Counted.copied = 0

    def play() -> Any:
        for _ in range(5000):
            yield Receives(1)
        yield Sends(b"done")

    def server() -> None:
        with socket.create_server(("", 1)) as listener, listener.accept()[0] as sock:
            sock.send(Counted(5000))
            sock.recv(4)

    with Scenario() as net:
        net.client().plays(play)
        net.run(server)
    assert Counted.copied < 4 * 5000


@pytest.mark.parametrize("network", ["simulated", "loopback"])
def test_an_empty_buffer_takes_nothing_from_those_behind_it(network: Network) -> None:
    def program() -> None:
        with socket.create_connection(("localhost", 5432)) as sock:
            first, second = bytearray(), bytearray(3)
            assert sock.recvmsg_into([first, second])[0] == 3
            assert bytes(second) == b"abc"

    with Scenario(network=network) as net:
        net.backend(("localhost", 5432)).sends(b"abc").closes()
        net.run(program)

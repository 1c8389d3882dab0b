"""States of a socket, and calls on it: what `test_kernel_calls` runs on the kernel and in a scenario."""

from __future__ import annotations

import io
import math
import os
import select
import socket
import struct
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EAGAIN, EINPROGRESS, EPIPE
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kernel import ENDED, LATEST, READABLE, RESET, SHORT, WRITABLE, temporary_file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from kernel import Ground, Pair

RESETS_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""A value of SO_LINGER."""

SMALL: Final = 4096
"""A buffer of the kernel's that is soon full."""


class State(NamedTuple):
    """A socket to be called, and the other end of its connection, or whom it was connecting to."""

    sock: socket.socket
    other: socket.socket | None = None


# -- states ----------------------------------------------------------------------------------------


def new(ground: Ground) -> State:
    return State(ground.socket())


def bound(ground: Ground) -> State:
    sock = ground.socket()
    sock.bind(ground.address())
    ground.name(sock.getsockname(), "own")
    return State(sock)


def listening(ground: Ground) -> State:
    return State(ground.listener())


def client_waiting(ground: Ground) -> State:
    listener, client = ground.listener(), ground.socket()
    client.connect(listener.getsockname())
    ground.name(client.getsockname(), "client's")
    ground.settle(listener, READABLE)
    return State(listener, client)


def shut_listener(ground: Ground) -> State:
    listener = ground.listener()
    listener.shutdown(socket.SHUT_RDWR)
    return State(listener)


def listener_again(ground: Ground) -> State:
    """Shut down twice, and listening once more."""
    listener = ground.listener()
    listener.shutdown(socket.SHUT_RD)
    ground.outcome(lambda: listener.shutdown(socket.SHUT_RD))
    listener.listen()
    ground.name(listener.getsockname(), "listener's")
    return State(listener)


def closed_listener(ground: Ground) -> State:
    listener = ground.listener()
    listener.close()
    return State(listener)


def connecting(ground: Ground) -> State:
    """Under way: the listener's backlog is full."""
    listener = ground.listener(0)
    ground.socket().connect(listener.getsockname())
    ground.settle(listener, READABLE)
    sock = ground.socket()
    sock.setblocking(False)
    error = sock.connect_ex(listener.getsockname())
    assert error == (EAGAIN if ground.family == socket.AF_UNIX else EINPROGRESS), error
    if ground.family != socket.AF_UNIX:
        ground.name(sock.getsockname(), "own")
    return State(sock, listener)


def just_connected(ground: Ground) -> State:
    """By a call that has said EINPROGRESS; nobody has asked yet."""
    listener, sock = ground.listener(), ground.socket()
    sock.setblocking(False)
    sock.connect_ex(listener.getsockname())
    ground.name(sock.getsockname(), "own")
    ground.settle(sock, WRITABLE)
    ground.settle(listener, READABLE)
    return State(sock, ground.keep(listener.accept()[0]))


def nobody(ground: Ground) -> Any:  # Any: as Ground.address()
    """An address at which nobody listens."""
    sock = ground.socket()
    sock.bind(ground.address())
    ground.name(sock.getsockname(), "nobody's")
    return sock.getsockname()


def refused(ground: Ground) -> State:
    """By a call that does not block; nobody has asked yet (on AF_UNIX the call itself has said so)."""
    sock = ground.socket()
    sock.setblocking(False)
    sock.connect_ex(nobody(ground))
    if ground.family != socket.AF_UNIX:
        ground.settle(sock, RESET)
    return State(sock)


def refused_and_told(ground: Ground) -> State:
    state = refused(ground)
    state.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return state


def refused_by_connect(ground: Ground) -> State:
    sock = ground.socket()
    assert sock.connect_ex(nobody(ground)), "it is refused"
    return State(sock)


def connected(ground: Ground) -> State:
    pair = ground.pair()
    return State(pair.accepted, pair.client)


def connected_client(ground: Ground) -> State:
    pair = ground.pair()
    return State(pair.client, pair.accepted)


def peer_sent(ground: Ground) -> State:
    state = connected(ground)
    _sends(ground, state, b"hello")
    return state


def peer_sent_twice(ground: Ground) -> State:
    state = peer_sent(ground)
    assert state.other is not None
    state.other.send(b" world")
    ground.arrived(state.sock, 11)
    return state


def partly_read(ground: Ground) -> State:
    state = peer_sent(ground)
    assert state.sock.recv(2) == b"he"
    return state


def all_read(ground: Ground) -> State:
    state = peer_sent(ground)
    assert state.sock.recv(9) == b"hello"
    return state


def peer_half_closed(ground: Ground) -> State:
    state = connected(ground)
    assert state.other is not None
    state.other.shutdown(socket.SHUT_WR)
    ground.settle(state.sock, ENDED)
    return state


def peer_sent_and_half_closed(ground: Ground) -> State:
    state = peer_sent(ground)
    assert state.other is not None
    state.other.shutdown(socket.SHUT_WR)
    ground.settle(state.sock, ENDED)
    return state


def peer_half_closed_and_told(ground: Ground) -> State:
    state = peer_half_closed(ground)
    assert state.sock.recv(1) == b""
    return state


def peer_shut_reading(ground: Ground) -> State:
    state = connected(ground)
    assert state.other is not None
    state.other.shutdown(socket.SHUT_RD)
    return state


def peer_shut_both(ground: Ground) -> State:
    state = connected(ground)
    assert state.other is not None
    state.other.shutdown(socket.SHUT_RDWR)
    ground.settle(state.sock, ENDED)
    return state


def peer_closed(ground: Ground) -> State:
    state = connected(ground)
    _closes(ground, state, ENDED)
    return state


def peer_closed_and_told(ground: Ground) -> State:
    state = peer_closed(ground)
    assert state.sock.recv(1) == b""
    return state


def peer_closed_after_sending(ground: Ground) -> State:
    state = peer_sent(ground)
    _closes(ground, state, ENDED)
    return state


def peer_closed_with_unread(ground: Ground) -> State:
    """Data of ours was unread: that resets the connection."""
    state = connected(ground)
    assert state.other is not None
    state.sock.send(b"question")
    ground.settle(state.other, READABLE)
    _closes(ground, state, RESET)
    return state


def peer_closed_after_sending_with_unread(ground: Ground) -> State:
    state = peer_sent(ground)
    assert state.other is not None
    state.sock.send(b"question")
    ground.settle(state.other, READABLE)
    _closes(ground, state, RESET)
    return state


def peer_reset(ground: Ground) -> State:
    state = connected(ground)
    _resets(ground, state)
    return state


def peer_reset_after_sending(ground: Ground) -> State:
    state = peer_sent(ground)
    _resets(ground, state)
    return state


def peer_reset_after_half_closing(ground: Ground) -> State:
    state = peer_half_closed(ground)
    _resets(ground, state)
    return state


def peer_reset_after_our_half_close(ground: Ground) -> State:
    state = we_shut_writing(ground)
    _resets(ground, state)
    return state


def reset_and_told(ground: Ground) -> State:
    state = peer_reset(ground)
    state.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return state


def reset_and_read(ground: Ground) -> State:
    """The reset, or on AF_UNIX the end, was read."""
    state = peer_reset(ground)
    ground.outcome(lambda: state.sock.recv(1))
    return state


def reset_and_send_failed(ground: Ground) -> State:
    state = peer_reset(ground)
    ground.outcome(lambda: state.sock.send(b"x"))
    return state


def we_shut_reading(ground: Ground) -> State:
    state = connected(ground)
    state.sock.shutdown(socket.SHUT_RD)
    return state


def we_shut_reading_with_unread(ground: Ground) -> State:
    state = peer_sent(ground)
    state.sock.shutdown(socket.SHUT_RD)
    return state


def we_shut_reading_and_peer_sent(ground: Ground) -> State:
    state = we_shut_reading(ground)
    assert state.other is not None
    ground.outcome(lambda: state.other and state.other.send(b"late"))
    if ground.family != socket.AF_UNIX:
        ground.arrived(state.sock, 4)
    return state


def we_shut_writing(ground: Ground) -> State:
    state = connected(ground)
    assert state.other is not None
    state.sock.shutdown(socket.SHUT_WR)
    ground.settle(state.other, ENDED)
    return state


def we_shut_writing_and_peer_sent(ground: Ground) -> State:
    state = we_shut_writing(ground)
    _sends(ground, state, b"hello")
    return state


def we_shut_both(ground: Ground) -> State:
    state = connected(ground)
    assert state.other is not None
    state.sock.shutdown(socket.SHUT_RDWR)
    ground.settle(state.other, ENDED)
    return state


def we_shut_both_and_peer_sent(ground: Ground) -> State:
    """On TCP, that resets the connection."""
    state = we_shut_both(ground)
    assert state.other is not None
    ground.outcome(lambda: state.other and state.other.send(b"late"))
    if ground.family != socket.AF_UNIX:
        ground.settle(state.other, RESET)
    return state


def both_shut(ground: Ground) -> State:
    state = we_shut_writing(ground)
    assert state.other is not None
    state.other.shutdown(socket.SHUT_WR)
    ground.settle(state.sock, ENDED)
    return state


def both_shut_with_unread(ground: Ground) -> State:
    state = we_shut_writing_and_peer_sent(ground)
    assert state.other is not None
    state.other.shutdown(socket.SHUT_WR)
    ground.settle(state.sock, ENDED)
    return state


def we_shut_writing_and_peer_closed(ground: Ground) -> State:
    state = we_shut_writing(ground)
    _closes(ground, state, ENDED)
    return state


def sent_after_peer_closed(ground: Ground) -> State:
    """On TCP, the answer to that is a reset."""
    state = peer_closed(ground)
    ground.outcome(lambda: state.sock.send(b"late"))
    ground.settle(state.sock, RESET)
    return state


def sent_after_peer_closed_after_sending(ground: Ground) -> State:
    state = peer_closed_after_sending(ground)
    ground.outcome(lambda: state.sock.send(b"late"))
    ground.settle(state.sock, RESET)
    return state


def sent_twice_after_peer_closed(ground: Ground) -> State:
    state = sent_after_peer_closed(ground)
    ground.outcome(lambda: state.sock.send(b"later"))
    return state


def full(ground: Ground) -> State:
    """The peer does not read, and nothing more can be sent."""
    return _fill(ground, _narrow(ground))


def _fill(ground: Ground, pair: Pair) -> State:
    """Until nothing moves any more: all that is under way has arrived, and the peer's window is closed."""
    pair.accepted.setblocking(False)
    while _stuff(pair.accepted):
        if ground.real and ground.family != socket.AF_UNIX:
            ground.comes_to((0, 0), lambda: _under_way(pair))
    return State(pair.accepted, pair.client)


def _stuff(sock: socket.socket) -> int:
    """Send what there is room for; returns how many bytes that is."""
    sent = 0
    for size in (SMALL, 1):
        try:
            while True:
                sent += sock.send(bytes(size))
        except BlockingIOError:
            pass
    return sent


def _under_way(pair: Pair) -> tuple[int, int]:
    """How many segments are not acknowledged, and how much more the peer would take (tcp_info in linux/tcp.h)."""
    known = pair.accepted.getsockopt(T, socket.TCP_INFO, 232)
    window = struct.unpack_from("I", known, 228)[0] if len(known) == 232 else 0  # Linux 5.4
    return struct.unpack_from("I", known, 24)[0], window


def full_and_peer_sent(ground: Ground) -> State:
    pair = _narrow(ground)
    _sends(ground, State(pair.accepted, pair.client), b"hello")
    return _fill(ground, pair)


def full_and_peer_closed(ground: Ground) -> State:
    """With all that unread: a reset."""
    state = full(ground)
    _closes(ground, state, RESET)
    return state


def closed(ground: Ground) -> State:
    state = connected(ground)
    assert state.other is not None
    state.sock.close()
    ground.settle(state.other, ENDED)
    return state


def closed_new(ground: Ground) -> State:
    state = new(ground)
    state.sock.close()
    return state


def closed_with_file(ground: Ground) -> State:
    """A file of it is still open, and so is the connection."""
    state = peer_sent(ground)
    file = state.sock.makefile("rb")
    ground.after(file.close)
    state.sock.close()
    return state


def detached(ground: Ground) -> State:
    state = connected(ground)
    ground.keep(socket.socket(fileno=state.sock.detach()))
    return state


def reattached(ground: Ground) -> State:
    state = peer_sent(ground)
    return State(ground.keep(socket.socket(fileno=state.sock.detach())), state.other)


def reattached_listener(ground: Ground) -> State:
    state = client_waiting(ground)
    return State(ground.keep(socket.socket(fileno=state.sock.detach())), state.other)


def _narrow(ground: Ground) -> Pair:
    """A connection with small buffers."""
    listener = ground.listener()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    client = ground.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    return ground.pair(listener, client)


def _sends(ground: Ground, state: State, data: bytes) -> None:
    assert state.other is not None
    state.other.send(data)
    ground.arrived(state.sock, len(data))


def _closes(ground: Ground, state: State, condition: str) -> None:
    """The other end closes."""
    assert state.other is not None
    state.other.close()
    ground.settle(state.sock, condition)


def _resets(ground: Ground, state: State) -> None:
    assert state.other is not None
    state.other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS_ON_CLOSE)
    _closes(ground, state, ENDED if ground.family == socket.AF_UNIX else RESET)


STATES: Final[tuple[Callable[[Ground], State], ...]] = (
    new, bound, listening, client_waiting, shut_listener, listener_again, closed_listener, connecting, just_connected,
    refused,
    refused_and_told, refused_by_connect, connected, connected_client, peer_sent, peer_sent_twice, partly_read,
    all_read, peer_half_closed, peer_sent_and_half_closed, peer_half_closed_and_told, peer_shut_reading,
    peer_shut_both, peer_closed, peer_closed_and_told, peer_closed_after_sending, peer_closed_with_unread,
    peer_closed_after_sending_with_unread, peer_reset, peer_reset_after_sending, peer_reset_after_half_closing,
    peer_reset_after_our_half_close, reset_and_told, reset_and_read, reset_and_send_failed, we_shut_reading,
    we_shut_reading_with_unread, we_shut_reading_and_peer_sent, we_shut_writing, we_shut_writing_and_peer_sent,
    we_shut_both, we_shut_both_and_peer_sent, both_shut, both_shut_with_unread, we_shut_writing_and_peer_closed,
    sent_after_peer_closed, sent_after_peer_closed_after_sending, sent_twice_after_peer_closed, full,
    full_and_peer_sent, full_and_peer_closed, closed, closed_new, closed_with_file, detached, reattached,
    reattached_listener,
)  # fmt: skip

# -- calls -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One way to use a public name of a socket."""

    name: str
    """The public name."""
    variant: str
    call: Callable[[Ground, Any], object]  # Any: a socket, which some calls use as its types forbid
    may_hang: bool = False
    """Whether, on a socket that blocks, it waits where it would not with a time-out."""


def plain(name: str, *args: Any, may_hang: bool = False) -> Call:
    """A method with these arguments."""
    return Call(name, repr(args), lambda _, sock: getattr(sock, name)(*args), may_hang)


def _filled(name: str, size: int, *args: Any) -> Call:
    """A method that fills a buffer: what it returns, and what is in the buffer."""

    def call(_: Ground, sock: Any) -> object:
        buffer = bytearray(size)
        return getattr(sock, name)(buffer, *args), buffer

    return Call(name, f"a buffer of {size}, {args}", call)


def _scattered(*sizes: int) -> Call:
    def call(_: Ground, sock: Any) -> object:
        buffers = [bytearray(size) for size in sizes]
        return sock.recvmsg_into(buffers), buffers

    return Call("recvmsg_into", f"buffers of {sizes}", call)


def _option(level: int, option: Any, *args: Any) -> Call:
    return plain("getsockopt", level, option, *args)


def _set(level: int, option: int, value: Any, *more: Any, buflen: int = 0) -> Call:
    """Set an option, and see what it then is."""

    def call(ground: Ground, sock: Any) -> object:
        return (
            ground.outcome(lambda: sock.setsockopt(level, option, value, *more)),
            ground.outcome(lambda: sock.getsockopt(level, option, buflen)),
        )

    return Call("setsockopt", f"{level}, {option}, {value!r}, {more}, {buflen}", call)


def _to(name: str, variant: str, address: Callable[[Ground, Any], Any]) -> Call:
    """A method that takes an address."""
    return Call(name, variant, lambda ground, sock: getattr(sock, name)(address(ground, sock)))


def _detach(ground: Ground, sock: Any) -> object:
    number = sock.detach()
    if number < 0:
        return number
    again = ground.keep(socket.socket(fileno=number))
    return again, again.fileno() == number, sock.fileno(), sock.detach(), ground.outcome(lambda: sock.send(b"x"))


def _of_file(ground: Ground, step: Callable[[Any], object], file: Any) -> object:
    """An outcome; what has not been written, a file says with whatever error number the C library had last."""
    try:
        return ground.outcome(lambda: step(file), but=BlockingIOError)
    except BlockingIOError as error:
        return type(error).__name__, error.characters_written


def _file(mode: str, buffering: int | None, *steps: Callable[[Any], object]) -> Call:
    """A file of it, and what each step on that comes to."""

    def call(ground: Ground, sock: Any) -> object:
        file = sock.makefile(mode, buffering)
        done = [_of_file(ground, step, file) for step in steps]
        return (
            type(file).__name__,
            done,
            _of_file(ground, lambda one: one.close(), file),
            file.closed,
            ground.ready(sock),
        )

    return Call("makefile", f"{mode}, {buffering}, {len(steps)} steps", call)


def _sends_file(make: Callable[[], Any], *args: Any) -> Call:
    """`sendfile()`, and where the file then stands."""

    def call(ground: Ground, sock: Any) -> object:
        with make() as file:
            file.seek(1)
            return ground.outcome(lambda: sock.sendfile(file, *args)), file.tell()

    return Call("sendfile", f"{make.__name__} {args}", call)


def _sends_by_number(make: Callable[[], Any], offset: int | None, count: int) -> Call:
    """`os.sendfile()`, and where the file then stands."""

    def call(ground: Ground, sock: Any) -> object:
        with make() as file:
            file.seek(1)
            return ground.outcome(lambda: os.sendfile(sock.fileno(), file.fileno(), offset, count)), file.tell()

    return Call("os.sendfile", f"{make.__name__} {offset} {count}", call)


@contextmanager
def _a_pipe() -> Generator[Any]:
    """What is no file on disk, and stands nowhere."""
    reading, writing = os.pipe()
    os.close(writing)
    try:
        yield SimpleNamespace(fileno=lambda: reading, seek=abs, tell=int)
    finally:
        os.close(reading)


def _unreadable_file() -> Any:
    return tempfile.TemporaryFile("wb")


def _real_file() -> Any:
    return temporary_file(b"0123456789")


def _empty_file() -> Any:
    return temporary_file(b"")


def _bytes_file() -> Any:
    return io.BytesIO(b"0123456789")


def _text_file() -> Any:
    return io.TextIOWrapper(io.BytesIO(b"0123456789"))


def _listening(ground: Ground, _: Any) -> Any:
    return ground.listener(label="another's").getsockname()


def _nobody(ground: Ground, _: Any) -> Any:
    return nobody(ground)


def _fresh(ground: Ground, _: Any) -> Any:
    return ground.address()


def _itself(_: Ground, sock: Any) -> Any:
    return sock.getsockname()


def _with(*more: Any) -> Callable[[Ground, Any], Any]:
    """A host, and what is wrong with the rest."""
    return lambda ground, _: (ground.address()[0], *more) if ground.family != socket.AF_UNIX else (*more,)


def _a_path(ground: Ground, _: Any) -> Any:
    return "/nowhere/at/all.sock"


def _const(value: Any) -> Callable[[Ground, Any], Any]:
    return lambda _, __: value


ADDRESSES: Final[tuple[tuple[str, Callable[[Ground, Any], Any]], ...]] = (
    ("a listener's", _listening),
    ("nobody's", _nobody),
    ("a fresh one", _fresh),
    ("its own", _itself),
    ("a path", _a_path),
    ("a path in bytes", _const(b"/nowhere/at/all.sock")),
    ("None", _const(None)),
    ("a number", _const(5)),
    ("an empty tuple", _const(())),
    ("three parts", _with(1, 2)),
    ("five parts", _with(1, 2, 3, 4)),
    ("a list", _const(["127.0.0.1", 1])),
    ("a port in text", _with("80")),
    ("a port that is None", _with(None)),
    ("a port too large", _with(65536)),
    ("a port too small", _with(-1)),
    ("a port far too large", _with(1 << 70)),
    ("a port that is a float", _with(1.5)),
    ("a port that is True", _with(True)),
    ("a host that is None", _const((None, 1))),
    ("a host that is a number", _const((1, 1))),
    ("the other family", lambda ground, _: ("127.0.0.1" if ground.family == socket.AF_INET6 else "::1", 9)),
    ("a host with a NUL", _const(("127.0.0.1\0", 9))),
)
"""What is given as an address, and the function that makes it."""


def _numbered(ground: Ground, four: str, six: str) -> Any:  # Any: as Ground.address()
    return (four if ground.family == socket.AF_INET else six, 0)


BIND_ONLY: Final[tuple[tuple[str, Callable[[Ground, Any], Any]], ...]] = (
    ("any", lambda ground, _: ("", 0) if ground.family != socket.AF_UNIX else b"\0" + ground.address().encode()),
    # Of "localhost" it is the machine's business whether it has a number for IPv6.
    ("localhost", lambda ground, _: ("localhost", 0) if ground.family == socket.AF_INET else ground.address()),
    ("somebody else's", lambda ground, _: _numbered(ground, "198.51.100.1", "2001:db8::1")),
    ("reserved", lambda ground, _: _numbered(ground, "240.0.0.1", "::ffff:0.0.0.5")),
    ("a group's", lambda ground, _: _numbered(ground, "224.0.0.1", "ff02::1")),
    ("a link's", lambda ground, _: _numbered(ground, "224.0.0.1", "fe80::1")),
    ("everybody's", lambda ground, _: _numbered(ground, "255.255.255.255", "::ffff:127.0.0.1")),
    (
        "a host in bytes",
        lambda ground, _: (
            (ground.address()[0].encode(), 0) if ground.family != socket.AF_UNIX else ground.address().encode()
        ),
    ),
    (
        "a host in a bytearray",
        lambda ground, _: (
            (bytearray(ground.address()[0].encode()), 0)
            if ground.family != socket.AF_UNIX
            else bytearray(ground.address().encode())
        ),
    ),
)

S: Final = socket.SOL_SOCKET
T: Final = socket.IPPROTO_TCP
DONTWAIT, PEEK, WAITALL = socket.MSG_DONTWAIT, socket.MSG_PEEK, socket.MSG_WAITALL

IOV_MAX: Final = os.sysconf("SC_IOV_MAX")

READS: Final = (
    plain("recv", 0),
    plain("recv", 3),
    plain("recv", 100),
    plain("recv", -1),
    plain("recv", 1 << 70),
    plain("recv", "1"),
    plain("recv", 1.5),
    plain("recv"),
    plain("recv", 3, PEEK),
    plain("recv", 100, PEEK),
    plain("recv", 0, PEEK),
    plain("recv", 3, DONTWAIT),
    plain("recv", 3, WAITALL, may_hang=True),
    plain("recv", 100, WAITALL, may_hang=True),
    plain("recv", 100, PEEK | WAITALL, may_hang=True),
    plain("recv", 3, "0"),
    _filled("recv_into", 3),
    _filled("recv_into", 100),
    _filled("recv_into", 0),
    _filled("recv_into", 100, 3),
    _filled("recv_into", 3, 4),
    _filled("recv_into", 3, -1),
    _filled("recv_into", 3, 0, PEEK),
    plain("recv_into", b"read-only"),
    plain("recv_into", "text"),
    plain("recv_into", None),
    plain("recvfrom", 3),
    plain("recvfrom", 0),
    plain("recvfrom", -1),
    plain("recvfrom", 3, PEEK),
    _filled("recvfrom_into", 3),
    _filled("recvfrom_into", 0),
    _filled("recvfrom_into", 3, 2),
    _filled("recvfrom_into", 3, 4),
    _filled("recvfrom_into", 3, -1),
    plain("recvfrom_into", b"read-only"),
    plain("recvmsg", 3),
    plain("recvmsg", 0),
    plain("recvmsg", -1),
    plain("recvmsg", 3, 64),
    plain("recvmsg", 3, -1),
    plain("recvmsg", 3, 0, PEEK),
    _scattered(2, 2, 100),
    _scattered(0, 3),
    _scattered(0),
    _scattered(),
    plain("recvmsg_into", [b"read-only"]),
    plain("recvmsg_into", 5),
    plain("recvmsg_into", ["text"]),
    Call(
        "recvmsg_into",
        "more buffers than it takes",
        lambda _, sock: sock.recvmsg_into([bytearray(1) for _ in range(IOV_MAX + 1)]),
    ),
)

WRITES: Final = (
    plain("send", b"data"),
    plain("send", b""),
    plain("send", bytearray(b"data")),
    plain("send", memoryview(b"data")[::2]),
    plain("send", "text"),
    plain("send", 5),
    plain("send", None),
    plain("send"),
    plain("send", b"data", DONTWAIT),
    plain("send", b"data", socket.MSG_NOSIGNAL),
    plain("send", b"data", "0"),
    plain("sendall", b"data"),
    plain("sendall", b""),
    plain("sendall", "text"),
    plain("sendall", None),
    plain("sendall", b"data", DONTWAIT),
    plain("sendto", b"data", 0),
    plain("sendto", b"data"),
    plain("sendto", b"data", None),
    plain("sendto", "text", ("127.0.0.1", 9)),
    plain("sendto", b"data", 0, None),
    plain("sendto", b"data", "0", None),
    Call("sendto", "a listener's", lambda ground, sock: sock.sendto(b"data", _listening(ground, sock))),
    Call("sendto", "flags, a listener's", lambda ground, sock: sock.sendto(b"data", 0, _listening(ground, sock))),
    plain("sendmsg", [b"da", b"ta"]),
    plain("sendmsg", [b"data"], [], 0),
    plain("sendmsg", []),
    plain("sendmsg", [b""]),
    plain("sendmsg", ["text"]),
    Call("sendmsg", "more buffers than it takes", lambda _, sock: sock.sendmsg([b"x"] * (IOV_MAX + 1))),
    plain("sendmsg", 5),
    plain("sendmsg", [b"data"], 5),
    plain("sendmsg", [b"data"], [(1,)]),
    plain("sendmsg", [b"data"], [], 0, None),
    plain("sendmsg", [b"data"], [], 0, 5),
    Call("sendmsg", "an address", lambda ground, sock: sock.sendmsg([b"data"], [], 0, _listening(ground, sock))),
    _sends_file(_real_file),
    _sends_file(_real_file, 3),
    _sends_file(_real_file, 0, 4),
    _sends_file(_real_file, 20),
    _sends_file(_real_file, 0, 0),
    _sends_file(_real_file, 0, -1),
    _sends_file(_real_file, 0, "1"),
    _sends_file(_empty_file),
    _sends_file(_bytes_file),
    _sends_file(_bytes_file, 3),
    _sends_file(_bytes_file, 3, 2),
    _sends_file(_text_file),
    _sends_by_number(_real_file, None, 100),
    _sends_by_number(_real_file, 3, 4),
    _sends_by_number(_real_file, 20, 4),
    _sends_by_number(_real_file, 0, 0),
    _sends_by_number(_real_file, -1, 4),
    _sends_by_number(_real_file, 0, -1),
    _sends_by_number(_empty_file, None, 4),
    _sends_by_number(_unreadable_file, 0, 4),
    _sends_by_number(_a_pipe, None, 4),
    _sends_by_number(_a_pipe, 0, 4),
)

MANAGING: Final = (
    plain("shutdown", socket.SHUT_RD),
    plain("shutdown", socket.SHUT_WR),
    plain("shutdown", socket.SHUT_RDWR),
    plain("shutdown", 3),
    plain("shutdown", -1),
    plain("shutdown", "0"),
    Call("shutdown", "twice", lambda _, sock: (sock.shutdown(socket.SHUT_WR), sock.shutdown(socket.SHUT_WR))),
    Call("shutdown", "one, then the other", lambda _, sock: (sock.shutdown(0), sock.shutdown(1))),
    plain("listen"),
    plain("listen", 5),
    plain("listen", -1),
    plain("listen", 1 << 20),
    plain("listen", 1 << 40),
    plain("listen", "5"),
    plain("listen", None),
    plain("accept"),
    Call(
        "accept",
        "and what it gives",
        lambda ground, sock: (lambda one: (one[0].gettimeout(), one[0].getpeername(), ground.ready(one[0])))(
            [ground.keep(sock.accept()[0])]
        ),
    ),
    *(_to("connect", variant, address) for variant, address in ADDRESSES),
    *(_to("connect_ex", variant, address) for variant, address in ADDRESSES),
    *(_to("bind", variant, address) for variant, address in (*ADDRESSES, *BIND_ONLY) if variant != "its own"),
    plain("getpeername"),
    plain("getsockname"),
    plain("close"),
    Call("close", "twice", lambda _, sock: (sock.close(), sock.close())),
    Call("close", "as a reset", lambda _, sock: (sock.setsockopt(S, socket.SO_LINGER, RESETS_ON_CLOSE), sock.close())),
    Call("close", "with", lambda _, sock: sock.__exit__(None, None, None)),
    Call("detach", "and again", _detach),
    Call("fileno", "", lambda _, sock: sock.fileno() >= 0),
    Call("family", "", lambda _, sock: (sock.family, type(sock.family).__name__)),
    Call("type", "", lambda _, sock: (sock.type, type(sock.type).__name__)),
    Call("proto", "", lambda _, sock: sock.proto),
    Call("timeout", "", lambda _, sock: sock.timeout),
    Call("timeout", "set", lambda _, sock: setattr(sock, "timeout", 1)),
    Call("fileno", "repr", lambda _, sock: repr(sock)[:9]),
)

OPTIONS: Final = (
    _option(S, socket.SO_ERROR),
    _option(S, socket.SO_ERROR, 4),
    _option(S, socket.SO_TYPE),
    _option(S, socket.SO_DOMAIN),
    _option(S, socket.SO_PROTOCOL),
    _option(S, socket.SO_ACCEPTCONN),
    _option(S, socket.SO_PEERCRED, 12),
    _option(S, socket.SO_REUSEADDR),
    _option(S, socket.SO_KEEPALIVE),
    _option(S, socket.SO_KEEPALIVE, 4),
    _option(S, socket.SO_KEEPALIVE, 2),
    _option(S, socket.SO_KEEPALIVE, 100),
    _option(S, socket.SO_KEEPALIVE, -1),
    _option(S, socket.SO_KEEPALIVE, 1025),
    _option(S, socket.SO_LINGER, 8),
    _option(S, socket.SO_LINGER, 4),
    _option(S, socket.SO_LINGER),
    _option(S, 9999),
    _option(S, 9999, 4),
    _option(S, "1"),
    _option(9999, 1),
    _option(T, socket.TCP_NODELAY),
    _option(T, 9999),
    _option(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
    _set(S, socket.SO_REUSEADDR, 1),
    _set(S, socket.SO_REUSEADDR, 5),
    _set(S, socket.SO_REUSEADDR, True),
    _set(S, socket.SO_REUSEADDR, b"\1\0\0\0"),
    _set(S, socket.SO_REUSEADDR, b"\1"),
    _set(S, socket.SO_REUSEADDR, "1"),
    _set(S, socket.SO_REUSEADDR, None),
    _set(S, socket.SO_REUSEADDR, None, 4),
    _set(S, socket.SO_REUSEADDR, 1 << 40),
    _set(S, socket.SO_REUSEPORT, 1),
    _set(S, socket.SO_KEEPALIVE, 7),
    _set(S, socket.SO_BROADCAST, 1),
    _set(S, socket.SO_OOBINLINE, 2),
    _set(S, socket.SO_LINGER, struct.pack("ii", 1, 5), buflen=8),
    _set(S, socket.SO_LINGER, struct.pack("ii", 0, 0), buflen=8),
    _set(S, socket.SO_LINGER, 1, buflen=8),
    _set(S, socket.SO_LINGER, b"\1\0\0\0"),
    _set(S, socket.SO_TYPE, 1),
    _set(S, socket.SO_ERROR, 1),
    _set(S, 9999, 1),
    _set(9999, 1, 1),
    _set(T, socket.TCP_NODELAY, 1),
    _set(T, socket.TCP_NODELAY, 3),
    _set(T, 9999, 1),
    _set(T, socket.TCP_KEEPIDLE, 60),
    _set(T, socket.TCP_KEEPIDLE, 0),
    _set(T, socket.TCP_KEEPINTVL, 10),
    _set(T, socket.TCP_KEEPCNT, 3),
    _set(T, socket.TCP_USER_TIMEOUT, 1000),
    _set(T, socket.TCP_QUICKACK, 0),
    _set(T, socket.TCP_DEFER_ACCEPT, 0),
    plain("setblocking", True),
    plain("setblocking", 0),
    plain("setblocking", "x"),
    plain("setblocking", []),
    plain("setblocking", 1.5),
    Call("setblocking", "and asked", lambda _, sock: (sock.setblocking(True), sock.gettimeout(), sock.getblocking())),
    plain("settimeout", 1.5),
    plain("settimeout", -1),
    plain("settimeout", -0.0),
    plain("settimeout", "1"),
    plain("settimeout", math.nan),
    plain("settimeout", math.inf),
    plain("settimeout", 1e300),
    plain("settimeout", True),
    *(
        Call("settimeout", f"{value}, and asked", lambda _, sock, value=value: (  # type: ignore[misc]
            sock.settimeout(value), sock.gettimeout(), sock.getblocking(), sock.timeout))
        for value in (None, 0, 0.0, 1, 2.5, 1e-12)
    ),
    plain("gettimeout"),
    plain("getblocking"),
    plain("get_inheritable"),
    Call("set_inheritable", "True", lambda _, sock: (sock.set_inheritable(True), sock.get_inheritable())),
    Call("set_inheritable", "twice", lambda _, sock: (
        sock.set_inheritable(True), sock.set_inheritable(False), sock.get_inheritable())),
)  # fmt: skip

FILES: Final = (
    _file("rb", None, lambda file: file.read(3), lambda file: file.read(2)),
    _file("rb", None, lambda file: file.readline(), lambda file: file.readline()),
    _file("rb", None, lambda file: file.read()),
    _file("rb", None, lambda file: file.read1(), lambda file: file.peek()),
    _file("rb", 0, lambda file: file.read(3), lambda file: file.read(9), lambda file: file.read(9)),
    _file("rb", 0, lambda file: file.write(b"x")),
    _file("rb", 2, lambda file: file.read(3)),
    _file("r", None, lambda file: file.read(3)),
    _file("r", None, lambda file: file.readline()),
    _file("wb", None, lambda file: file.write(b"data"), lambda file: file.flush()),
    _file("wb", None, lambda file: file.write(b"data")),
    _file("wb", 0, lambda file: file.write(b"data"), lambda file: file.write(b"")),
    _file("wb", None, lambda file: file.read(1)),
    _file("w", None, lambda file: file.write("text"), lambda file: file.flush()),
    _file("w", 1, lambda file: file.write("text\n")),
    _file("rwb", None, lambda file: file.write(b"data"), lambda file: file.flush(), lambda file: file.read(3)),
    _file("rwb", 0, lambda file: file.write(b"data"), lambda file: file.read(3)),
    _file("rw", None, lambda file: file.write("text")),
    _file("b", None, lambda file: file.read(3)),
    _file("", None, lambda file: file.read(3)),
    _file("x", None),
    _file("r+", None),
    _file("r", 0),
    _file("rb", -2),
    _file(
        "rb",
        None,
        lambda file: (file.readable(), file.writable(), file.seekable(), file.fileno() >= 0, type(file.name).__name__),
    ),
    _file("rb", 0, lambda file: (file.mode, file.closed), lambda file: file.seek(0), lambda file: file.tell()),
    Call("makefile", "the socket closed first", lambda ground, sock: _read_after_close(ground, sock)),
)


def _read_after_close(ground: Ground, sock: Any) -> object:
    """A file keeps the connection open until it is closed itself."""
    file = sock.makefile("rb")
    sock.close()
    before = ground.ready(sock)
    return before, ground.outcome(lambda: file.read(3)), file.close(), ground.ready(sock)


CALLS: Final = (*READS, *WRITES, *MANAGING, *OPTIONS, *FILES)

CORE: Final = frozenset(
    {
        ("recv", "(3,)"), ("recv", "(100,)"), ("recv", "(0,)"), ("recv_into", "a buffer of 3, ()"),
        ("recvfrom", "(3,)"), ("recvfrom_into", "a buffer of 3, ()"), ("recvmsg", "(3,)"),
        ("recvmsg_into", "buffers of (2, 2, 100)"), ("send", "(b'data',)"), ("send", "(b'',)"),
        ("sendall", "(b'data',)"), ("sendto", "(b'data', None)"), ("sendto", "a listener's"),
        ("sendmsg", "([b'da', b'ta'],)"), ("sendfile", "_real_file ()"), ("sendfile", "_bytes_file ()"),
        ("os.sendfile", "_real_file None 100"), ("os.sendfile", "_real_file 20 4"),
        ("shutdown", "twice"), ("shutdown", "one, then the other"), ("listen", "()"),
        ("accept", "and what it gives"), ("connect", "a listener's"), ("connect_ex", "nobody's"),
        ("bind", "a fresh one"), ("getpeername", "()"), ("getsockname", "()"), ("close", "()"),
        ("close", "as a reset"), ("detach", "and again"), ("getsockopt", f"({int(S)}, {socket.SO_ERROR})"),
        ("getsockopt", f"({int(S)}, {socket.SO_ACCEPTCONN})"), ("makefile", "rb, None, 2 steps"),
        ("makefile", "wb, None, 2 steps"), ("makefile", "the socket closed first"),
        *(("shutdown", f"({how},)") for how in range(3)), *(("recv", repr((100, flag))) for flag in (PEEK, WAITALL)),
    }
)  # fmt: skip
"""Calls, by name and variant, of which it depends on the state what comes of them."""

WAITING: Final = frozenset(
    {"recv", "send", "sendall", "sendfile", "os.sendfile", "accept", "connect", "connect_ex", "makefile"}
)
"""Names of calls that a time-out is tried with."""

PLAIN: Final[dict[int, tuple[Callable[[Ground], State], ...]]] = {
    socket.AF_INET: (new, connected, closed),
    socket.AF_INET6: (connected,),
    socket.AF_UNIX: (connected,),
}
"""By family, states in which every call is made."""

REFUSED: Final = (
    Call("dup", "", lambda ground, sock: ground.keep(sock.dup())),
    Call("sendmsg_afalg", "", lambda _, sock: sock.sendmsg_afalg(op=1)),
    Call("sendmsg", "ancillary", lambda _, sock: sock.sendmsg([b"x"], [(S, 9999, b"")])),
    Call("send", "out of band", lambda _, sock: sock.send(b"x", socket.MSG_OOB)),
    Call("recv", "out of band", lambda _, sock: sock.recv(1, socket.MSG_OOB)),
)
"""What a scenario refuses aloud: each ends its run."""

# -- what comes of a call --------------------------------------------------------------------------


def aftermath(ground: Ground, state: State, *, ends: bool) -> list[object]:
    """What the next calls on both ends report. ends: the peer is to be at the end of the connection."""
    sock, other = state
    seen: list[object] = []
    for one in (sock, other):
        if one is not None and one.fileno() >= 0:
            one.setblocking(False)
    seen.append(ground.outcome(lambda: short(sock.recv(1 << 20))))
    seen.append(ground.outcome(lambda: sock.send(b"x")))
    seen.append(ground.outcome(lambda: short(sock.recv(100))))
    seen.append(ground.outcome(lambda: sock.getsockopt(S, socket.SO_ERROR)))
    seen.append(ground.outcome(sock.getpeername))
    if other is not None:
        seen.append(ground.outcome(lambda: short(other.recv(1 << 20))))
        if seen[-1] == "much" and ends:
            _read_to_the_end(other)
        seen.append(ground.outcome(lambda: other.send(b"y")))
        seen.append(ground.outcome(lambda: other.getsockopt(S, socket.SO_ERROR)))
    return seen


def _read_to_the_end(sock: socket.socket) -> None:
    """Behind a full buffer even the end of the connection waits to be read."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    last = time.monotonic() + LATEST
    while not poll.poll(0):
        assert time.monotonic() < last, "the end never came"
        try:
            sock.recv(1 << 20)
        except BlockingIOError:
            pass


def short(value: object) -> object:
    """How much fits into a buffer is each kernel's business."""
    if isinstance(value, bytes) and len(value) > 1000:
        return "much"
    parts: list[object] = list(value) if isinstance(value, (list, tuple)) else []  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list):
        return [short(one) for one in parts]
    return tuple(short(one) for one in parts) if isinstance(value, tuple) else value


MODES: Final[dict[str, float | None]] = {"timeout": SHORT, "non-blocking": 0.0, "blocking": None}

Seen = tuple[object, int | None, int | None, list[object]]
"""A call's outcome, the readiness of both ends after it, and what the next calls report."""


def cell(ground: Ground, state: Callable[[Ground], State], call: Call, mode: str, like: Seen | None = None) -> Seen:
    """Bring a socket into a state, and make a call. like: to what readiness it should come."""
    ground.clear()
    made = state(ground)
    ground.outcome(lambda: made.sock.settimeout(MODES[mode]))
    outcome = short(ground.outcome(lambda: call.call(ground, made.sock)))
    ready: list[int | None] = [None, None]
    for number, sock in enumerate(made):
        if sock is not None:
            ready[number] = ground.ready_like(sock, None if like is None else like[1:3][number])
    ends = like is not None and like[3][-1] == EPIPE  # which is what it then says
    return outcome, ready[0], ready[1], aftermath(ground, made, ends=ends)


# -- random sequences ------------------------------------------------------------------------------

STEPS: Final[dict[str, Callable[[Any], object]]] = {
    "send": lambda sock: sock.send(b"ab"),
    "send nothing": lambda sock: sock.send(b""),
    "recv 1": lambda sock: sock.recv(1),
    "recv": lambda sock: sock.recv(100),
    "recv into": lambda sock: sock.recv_into(bytearray(3)),
    "peek": lambda sock: sock.recv(2, PEEK),
    "peek all": lambda sock: sock.recv(3, PEEK | WAITALL),
    "recv all": lambda sock: sock.recv(3, WAITALL),
    "shut reading": lambda sock: sock.shutdown(socket.SHUT_RD),
    "shut writing": lambda sock: sock.shutdown(socket.SHUT_WR),
    "shut both": lambda sock: sock.shutdown(socket.SHUT_RDWR),
    "close": lambda sock: sock.close(),
    "reset": lambda sock: (sock.setsockopt(S, socket.SO_LINGER, RESETS_ON_CLOSE), sock.close()),
    "error": lambda sock: sock.getsockopt(S, socket.SO_ERROR),
    "peer": lambda sock: sock.getpeername(),
    "own": lambda sock: sock.getsockname(),
    "accept": lambda sock: sock.accept(),
    "listen": lambda sock: sock.listen(1),
    "connect": lambda sock: sock.connect_ex(sock.getpeername()),
}
"""What is done in a random order."""

ENDS: Final = ("client", "accepted", "listener")

Step = tuple[str, str]
"""Which socket, and what is done with it."""


def sequence(ground: Ground, steps: list[Step], like: list[object] | None = None) -> list[object]:
    """What each step comes to, and of which readiness both ends then are."""
    ground.clear()
    pair = ground.pair()
    for sock in pair:
        sock.setblocking(False)
    seen: list[object] = []
    for number, (who, step) in enumerate(steps):
        outcome = ground.outcome(lambda who=who, step=step: STEPS[step](getattr(pair, who)))  # type: ignore[misc]
        wanted: Any = like[number] if like is not None else (None, [None] * len(ENDS))
        seen.append((outcome, [ground.ready_like(sock, bits) for sock, bits in zip(pair, wanted[1], strict=True)]))
    return seen

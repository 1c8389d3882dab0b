"""`MockSocket` and `ListenSocket`: sockets whose data and clients come from a script.

Owns the scripts and what a read may see of them. Thin otherwise: in a strict run every operation
is one `Monitor.perform`; without one, a socket does what 0.2.3's did. They are real subclasses of
`socket.socket` that never open a descriptor. Nothing here knows of selectors' events.
"""

# A recorded method is an attribute with a `__call__` that takes what the method takes. mypy sees that
# this overrides the method; pyright never takes an attribute for a method, whatever its type.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import os
import socket as _socket  # tests patch `socket.socket`: what is needed of it is bound now
import sys
from errno import EBADF, EINVAL, ENOTCONN, EPIPE
from functools import partial
from itertools import chain, count, islice
from socket import socket as real_socket
from weakref import WeakValueDictionary

from .._buffers import Given, excerpt_of, let_go
from .._judge.rules import GONE, NO_RULES, checked_rules, shut_operation
from .._judge.trace import place
from .._methods import DONTWAIT, PEEK, WAITALL, Shell, checked_flags
from .._system import FIRST_NUMBER
from .._text import BYTES_SHOWN, bytes_text, excerpt, shown, value_text
from .mocks import (
    ATTACHED,
    CALLED,
    SURFACE,
    NotKeptError,
    Recorded,
    as_logged,
    asked,
    is_mock,
    recorded,
    records_itself,
    seen_class,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from selectors import SelectorKey
    from types import CodeType
    from typing import Any, Final, NoReturn, TypeAlias
    from unittest.mock import _Call, _CallList  # no public name exists

    from typing_extensions import Buffer

    from .._judge.records import Door, Record
    from .._judge.rules import Operation, Phase, RuleId
    from .._judge.trace import Place
    from .._methods import BinaryFile
    from .._system import Address
    from .mocks import Call, Surface

    Item: TypeAlias = bytes | BaseException | type[BaseException] | Callable[[], bytes]
    """What a `MockSocket` reads: bytes, a callable that returns them, an exception to raise."""
    Client: TypeAlias = _socket.socket | BaseException | type[BaseException] | Callable[[], _socket.socket]
    """What a `ListenSocket` accepts: a socket, a callable that returns one, an exception to raise."""


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


_getframe: Final = sys._getframe  # the only way to a frame that costs nothing
_next_number: Final = count(FIRST_NUMBER).__next__
_by_number: Final[WeakValueDictionary[int, _Scripted]] = WeakValueDictionary()
_END: Final = object()
_NOT_GIVEN: Any = object()  # Any: it stands where a number does
_READ_NOTHING: Final[tuple[Operation, ...]] = ("recv:again", "recv:timeout", "recv:blocks")
_ACCEPT_NOTHING: Final[tuple[Operation, ...]] = ("accept:again", "accept:timeout", "accept:blocks")


def socket_of(number: int) -> _Scripted | None:
    """The socket of ours with that descriptor number."""
    return _by_number.get(number)


class _Scripted(Shell):
    """What both kinds have in common: a number, a name, options, an end."""

    __slots__ = (
        "_allow", "_available", "_calls", "_code", "_instruction", "_name", "_number", "_record", "_surface",
        "__dict__",
    )  # fmt: skip

    def __init__(self, name: str | None, allow: Collection[RuleId]) -> None:
        # No super().__init__(): it would open a descriptor.
        self._io_refs = 0
        self._closed = False
        self._record: Record | None = None
        self._surface: Surface | None = None
        self._calls: list[Call | bytes] = []
        self._available = 0  # how many items of the script events have announced
        self._name = name
        self._allow: frozenset[RuleId] = checked_rules(allow) if allow else NO_RULES
        self._timeout = _socket.getdefaulttimeout()
        self._options = None
        self._local = ("localhost", 0)
        self._remote = ("localhost", 57000)
        frame = sys._getframe(2)  # where the script was written, for the error texts
        self._code: CodeType = frame.f_code
        self._instruction = frame.f_lasti
        self._number = number = _next_number()
        _by_number[number] = self

    # -- the script's side ------------------------------------------------------------------

    def _leftover(self) -> tuple[RuleId, str] | None:
        """What is left of the script, and the rule that it breaks at the end of a run."""
        raise NotImplementedError  # each kind has its own

    def _about_left(self, name: str) -> tuple[Mapping[str, str], str]:
        """What events have to do with what is left."""
        note = "An event had announced it." if self._announced() else f"No READ event for {name} had announced it."
        return {
            "announce": ", or add the READ events that announce it",
            "accept": f"add a READ event for {name} to the script",
        }, note

    def _why_nothing(self, name: str) -> str:
        """Whether the script has more, which no event has announced yet."""
        left = self._leftover()
        if left is None:
            return f"The script of {name} has nothing more."
        return f"The script of {name} has more, {left[1]}, but no READ event has announced it yet."

    def _announced(self) -> bool:
        """Whether READ events have announced more than was taken."""
        return self._available > 0

    def _announce(self) -> None:
        """A READ event is delivered: one more item of the script is there."""
        self._available += 1

    def _replaced(self) -> bool:
        """Whether the test has put its own function in the place of one that reads."""
        own = any(type(value) is not Recorded and hasattr(real_socket, name) for name, value in self.__dict__.items())
        return own or any(
            getattr(type(self), name) not in (getattr(MockSocket, name), getattr(ListenSocket, name))
            for name in ("accept", "recv", "recv_into")
        )

    def _made_at(self) -> Place:
        """Where the script was written."""
        return place(self._code, self._instruction)

    def _do(self, operation: Operation, detail: object = None) -> None:
        """Take a step in a strict run. Outside of one, anything goes."""
        if self._record is not None:
            self._record.monitor.perform(self._record, operation, detail)

    def _waits(self, flags: int = 0) -> int:
        """How a call waits: 0 not at all, 1 for a while, 2 until something comes."""
        if self._timeout == 0 or flags & DONTWAIT:
            return 0
        return 2 if self._timeout is None else 1

    def _decided(self, name: str, args: tuple[Any, ...], outcome: Any) -> None:  # Any: whatever was passed, or decided
        """The test decided what a call came to: let the run see it."""
        if self._record is None:
            return
        record = self._record
        sends = name in ("send", "sendall", "sendto", "sendmsg")
        if isinstance(outcome, BaseException):
            if sends and isinstance(outcome, ConnectionError) and record.moves["send"] is None:
                record.unsent = None
                record.monitor.perform(record, "send:reset", type(outcome))
            else:
                record.monitor.refused(name, record, outcome)
        elif name == "close":
            self._close()
        elif sends and (isinstance(outcome, int) or name == "sendall"):
            data = args[0] if name != "sendmsg" else b"".join(map(bytes, args[0]))
            self._push(data, outcome if isinstance(outcome, int) else None)
        elif name == "accept":
            self._hand_out(outcome[0])
            self._welcome(record, outcome[0])
        else:
            record.monitor.decided(name, record.name)

    def _hand_out(self, client: object) -> None:
        """The test lets `accept()` return this client: it is not still to come."""

    @staticmethod
    def _welcome(record: Record, client: object) -> None:
        """Let a client that `accept()` returns into the run."""
        newcomer = join(record.monitor, client)
        record.monitor.perform(record, "accept", newcomer.name)
        record.monitor.accepted(newcomer)

    def _given_name(self) -> str | None:
        """What the run, or else the test, calls it."""
        if self._record is not None:
            return self._record.name
        return self._name and shown(self._name)

    def _known_as(self) -> str:
        """What errors call it."""
        return self._given_name() or f"a {type(self).__name__}"

    def __repr__(self) -> str:
        name = self._given_name()
        closed = " [closed]" if self._closed else ""
        return f"<{type(self).__name__}{f' {name!r}' if name else ''}{closed} fd={self.fileno()}>"

    # -- what any socket has, recorded (`Shell` says what each does) --------------------------

    def fileno(self) -> int:
        """A number from 2**30 up; in a strict run -1 once closed."""
        if self._record is not None and self._record.phase in GONE:
            return -1
        return self._number

    @recorded
    def gettimeout(self) -> float | None:
        return super().gettimeout()

    @recorded
    def getblocking(self) -> bool:
        return super().getblocking()

    @recorded
    def setblocking(self, flag: bool, /) -> None:
        super().setblocking(flag)

    @recorded
    def settimeout(self, value: float | None, /) -> None:
        super().settimeout(value)

    @recorded
    def setsockopt(self, level: int, optname: int, value: int | Buffer | None, optlen: int = 0, /) -> None:
        super().setsockopt(level, optname, value, optlen)

    @recorded
    def getsockopt(self, level: int, optname: int, buflen: int = 0, /) -> Any:  # Any: as the base class has it
        return super().getsockopt(level, optname, buflen)

    @recorded
    def get_inheritable(self) -> bool:
        return super().get_inheritable()

    @recorded
    def set_inheritable(self, inheritable: bool) -> None:
        super().set_inheritable(inheritable)

    @recorded
    def getsockname(self) -> Address:
        return super().getsockname()

    @recorded
    def getpeername(self) -> Address:
        return super().getpeername()

    @recorded
    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        return super().recv_into(buffer, nbytes, flags)

    @recorded
    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Address]:
        return super().recvfrom(bufsize, flags)

    @recorded
    def recvfrom_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Address]:
        return super().recvfrom_into(buffer, nbytes, flags)

    @recorded
    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Address]:
        return super().recvmsg(bufsize, ancbufsize, flags)

    @recorded
    def recvmsg_into(
        self, buffers: Iterable[Buffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Address]:
        return super().recvmsg_into(buffers, ancbufsize, flags)

    @recorded
    def send(self, data: Buffer, flags: int = 0, /) -> int:
        return super().send(data, flags)

    @recorded
    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        super().sendall(data, flags)

    @recorded
    def sendto(self, data: Buffer, *flags_and_address: Any) -> int:  # Any: as the base class has it
        return super().sendto(data, *flags_and_address)

    @recorded
    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[tuple[int, int, Buffer]] = (),
        flags: int = 0,
        address: Address | None = None,
        /,
    ) -> int:
        return super().sendmsg(buffers, ancdata, flags, address)

    @recorded
    def sendmsg_afalg(
        self, msg: Iterable[Buffer] = (), *, op: int, iv: object = None, assoclen: int = 0, flags: int = 0
    ) -> NoReturn:
        super().sendmsg_afalg(msg, op=op, iv=iv, assoclen=assoclen, flags=flags)

    @recorded
    def sendfile(self, file: BinaryFile, offset: int = 0, count: int | None = None) -> int:
        return super().sendfile(file, offset, count)

    @recorded
    def bind(self, address: Address, /) -> None:
        super().bind(address)

    @recorded
    def listen(self, backlog: int = 5, /) -> None:
        super().listen(backlog)

    @recorded
    def accept(self) -> tuple[_socket.socket, Address]:
        return super().accept()

    @recorded
    def connect(self, address: Address, /) -> None:
        super().connect(address)

    @recorded
    def connect_ex(self, address: Address, /) -> int:
        return super().connect_ex(address)

    @recorded
    def shutdown(self, how: int, /) -> None:
        super().shutdown(how)

    @recorded
    def close(self) -> None:
        super().close()

    @recorded
    def detach(self) -> int:
        return super().detach()

    @recorded
    def dup(self) -> NoReturn:
        super().dup()

    @recorded
    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:  # Any: as the base class has it
        return super().makefile(mode, buffering, encoding=encoding, errors=errors, newline=newline)

    if sys.platform == "win32":

        @recorded
        def ioctl(self, control: int, option: int | tuple[int, int, int] | bool, /) -> None:
            super().ioctl(control, option)

        @recorded
        def share(self, process_id: int, /) -> NoReturn:
            super().share(process_id)

    def _ended_in_file(self) -> None:
        if self._record is not None:
            self._record.through_file = True

    # -- what they come to ----------------------------------------------------------------------

    def _checked_timeout(self, value: float | None) -> float | None:
        return value if self._record is None else super()._checked_timeout(value)

    def _push(self, data: Buffer | Given, taken: int | None = None, flags: int = 0) -> int:
        """As the base class has it; all is taken unless the test decided otherwise."""
        record = self._record
        if record is None:
            return data.size if isinstance(data, Given) else _length(data)
        if not isinstance(data, (bytes, Given)):
            with Given(data) as given:  # TypeError for a str, as production has it
                return self._push(given, taken)
        if taken is None:
            record.monitor.perform(record, "send", excerpt_of(data, len(data)))
            if record.unsent is None:
                return len(data)
            taken = len(data)
        elif not 0 <= taken <= len(data):
            raise ValueError(f"the test lets send() of {record.name} take {taken} of {len(data)} bytes")
        else:
            record.monitor.perform(record, "send", (data[:BYTES_SHOWN], len(data), taken))
        record.monitor.sent(record, data, taken)
        return taken

    def _shut(self, how: int) -> None:
        if self._record is None:
            return
        self._do(shut_operation(how, self._record.phase))
        if how != _socket.SHUT_WR:
            self._stop_hearing()

    def _stop_hearing(self) -> None:
        """What shutting down reading does to the script."""


class MockSocket(_Scripted):
    """The server's end of a connection, whose peer says what the script says.

    recvs: what the peer sends, in order: bytes (read in parts if longer than asked for); a
    callable that returns bytes, called when it is read; an exception, raised when it is read.
    After the last, the peer has closed: `recv()` returns b"".
    name: how error texts and traces call it; else "client 1", "client 2" in order of arrival.
    allow: ids of rules that are not judged for it.

    It is a `socket.socket` to `isinstance` and to type checkers, and has no descriptor. Each of
    its methods (but `recv` and `fileno`) also answers as a `unittest.mock.Mock` does:
    `sock.send.assert_called_once_with(b"x")`, `sock.send.side_effect = ...`.
    """

    __slots__ = ("_plain", "_read_of", "_rest", "_unheard", "recvs")

    def __init__(
        self, recvs: Iterable[Item] | None = None, *, name: str | None = None, allow: Collection[RuleId] = ()
    ) -> None:
        super().__init__(name, allow)
        self.recvs: Iterator[Item] = iter(() if recvs is None else recvs)
        """What is still to be read. May be set."""
        self._rest: bytes | str = ""  # an item that was read in part ...
        self._read_of = 0  # ... and how much of it was
        # Where registered for reading: the selector's map, what its select() returns, what the trace keeps of that.
        self._plain: tuple[dict[int, SelectorKey], tuple[SelectorKey, int], Record] | None = None
        self._unheard: Iterator[Item] = iter(())  # what came after reading was shut down

    @property
    def remain(self) -> bytes | str:
        """The rest of an item that was read in part; "" if there is none. May be set."""
        return self._rest[self._read_of :]

    @remain.setter
    def remain(self, rest: bytes | str) -> None:
        self._rest, self._read_of = rest, 0

    def _part(self, data: bytes, size: int) -> bytes:
        """The next bytes of an item; no copy is made of what remains."""
        start = self._read_of
        if size < 0:  # as slices have it
            left = data[start:]
            self._rest, self._read_of = left[size:], 0
            return left[:size]
        part = data[start : start + size] if start or size < len(data) else data
        if start + len(part) < len(data):
            self._rest, self._read_of = data, start + len(part)
        else:
            self._rest, self._read_of = "", 0
        return part

    # `size` can be given by keyword, as 0.2.3 had it.
    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read at most `size` bytes of the next item of the script.

        In a strict run only what READ events have announced is there; with nothing there,
        BlockingIOError, TimeoutError or a `ScenarioError`, by how the socket waits.
        """
        record = self._record
        if record is None and not flags:
            data: Any = self._rest or next(self.recvs, b"")  # Any: 0.2.3 handed on whatever was there
            if type(data) is not bytes:
                data = _resolved(data)
            if self._read_of or size < len(data):
                return self._part(data, size)
            self._rest = ""
            return data  # type: ignore[no-any-return]  # bytes, if the script holds what it should

        if record is not None and self._available and not (flags or self._rest or record.moves["recv"]):
            # The plainest read of a strict run, in as few steps as can be: all events pass here.
            data = next(self.recvs, b"")
            self._available -= 1
            if type(data) is bytes and 0 < len(data) <= size:
                frame = _getframe(1)
                kept = data if len(data) <= BYTES_SHOWN else excerpt(data)
                record.note(("recv", record.name, kept, 0, frame.f_code, frame.f_lasti))
                return data
            return self._taken(self._unusual(data), size, 0)
        return self._read(size, flags)

    def _read(self, size: int, flags: int) -> bytes:
        """A read in a strict run, or with flags."""
        if size <= 0:
            if size < 0:
                raise ValueError("negative buffersize in recv")
            return b""
        if flags:
            flags = checked_flags(flags, self._refuse)
            if flags & WAITALL and not flags & PEEK:
                return self._read_all(size, flags & ~WAITALL)
        record = self._record
        if self._rest:
            data: object = self._rest
        elif record is not None and record.moves["recv"] is not None:
            data = b""  # this phase has nothing more to read, or refuses every read
            if self._available and not record.past_eof:  # an event has come since: the end is read once more
                self._available -= 1
                record.past_eof = -1
        else:
            if self._available:
                self._available -= 1
            elif record is not None and record.ever_registered and not record.monitor.handed_off(record):
                record.monitor.perform(record, _READ_NOTHING[self._waits(flags)])
            data = next(self.recvs, b"")
        return self._taken(self._unusual(data), size, flags)

    def _taken(self, data: bytes, size: int, flags: int) -> bytes:
        """What a read returns of `data`; the rest remains."""
        read = self._read_of
        taken = self._part(data, size)
        operation: Operation = "recv" if data else "recv:eof"
        if flags & PEEK:
            operation = "peek"
            self._rest, self._read_of = data or "", read
            self._available += not data
        record = self._record
        if record is not None:
            record.monitor.perform(record, operation, taken if len(taken) <= BYTES_SHOWN else excerpt(taken))
        return taken

    # Every event of a typical run passes here: it records itself, which saves two calls.
    @records_itself
    def send(self, data: Buffer, flags: int = _NOT_GIVEN, /) -> int:
        """As the base class has it."""
        if type(data) is bytes and flags is _NOT_GIVEN and self._surface is None:
            self._calls.append(data)
            record = self._record
            if record is None:
                return len(data)
            if record.moves["send"] is None and record.unsent is None:  # as in recv()
                frame = _getframe(1)
                kept = data if len(data) <= BYTES_SHOWN else excerpt(data)
                record.note(("send", record.name, kept, 0, frame.f_code, frame.f_lasti))
                return len(data)
            return self._push(data)
        given = (data,) if flags is _NOT_GIVEN else (data, flags)
        try:
            if self._surface is None:
                self._calls.append(("send", as_logged(given), {}))
                return self._push(data)
            return self._surface.call(self, "send", MockSocket._send, given, {})  # type: ignore[return-value]
        except BaseException as error:
            let_go(error)
            del data, given
            raise

    def _send(self, data: Buffer, flags: int = 0) -> int:
        return self._push(data)

    def _announce(self) -> None:
        """As the base class has it, but an item that was read in part is what the event is about."""
        if not self._rest:
            self._available += 1

    def _unusual(self, item: object) -> bytes:
        """The bytes of an item of the script."""
        if isinstance(item, bytes):
            return item
        record = self._record
        try:
            item = _resolved(item)
        except Exception as error:
            if record is not None:
                ends = isinstance(error, ConnectionError)
                record.monitor.perform(record, "recv:reset" if ends else "recv:error", type(error))
            raise
        if not isinstance(item, (bytes, bytearray)):
            hint = ""
            if isinstance(item, str):
                hint = ": write a b before the quotes, or use .encode()"
            elif isinstance(item, int):
                hint = ": bytes by themselves are read number by number; put them into a list, [b'...']"
            raise TypeError(
                f"recvs= of {self!r} holds {value_text(item)}; it takes bytes, callables that return bytes, and"
                f" exceptions{hint}"
            )
        return bytes(item)

    def _stop_hearing(self) -> None:
        # What has come is still read, and then the end (man 2 shutdown).
        self._unheard = self.recvs
        self.recvs = iter(tuple(islice(self.recvs, self._available)))
        self._available += 1

    def _announced(self) -> bool:
        """As the base class has it; the rest of an item that was read in part was, too."""
        return self._available > 0 or bool(self._rest)

    def _read_all(self, size: int, flags: int) -> bytes:
        """MSG_WAITALL: until `size` bytes are there, or the end is (man 2 recv)."""
        parts = [self._read(size, flags)]
        left = size - len(parts[0])
        while left and parts[-1] and self._leftover() is not None:
            try:
                parts.append(self._read(left, flags))
            except (BlockingIOError, TimeoutError):
                break
            left -= len(parts[-1])
        return b"".join(parts)

    def _leftover(self) -> tuple[RuleId, str] | None:
        """As the base class has it. Takes one item at most off the script, and puts it back."""
        if self._replaced():
            return None
        if self._rest:
            return "unread-data", bytes_text(excerpt(self.remain))  # type: ignore[arg-type]  # a str by the test only
        item = next(self.recvs, None)
        if item is not None:
            _put_back(self, item)
        else:
            item = next(self._unheard, None)
        if item is None:
            return None
        return "unread-data", bytes_text(excerpt(item)) if isinstance(item, bytes) else value_text(item)

    # -- the socket as a whole, as a Mock -----------------------------------------------------

    def reset_mock(self, visited: object = None, *, return_value: bool = False, side_effect: bool = False) -> None:
        """Forget all calls; on request also what the test decided about results."""
        if self._surface is None:
            self._calls.clear()
        else:
            self._surface.reset(return_value=return_value, side_effect=side_effect)

    def configure_mock(self, **kwargs: Any) -> None:  # Any: attributes of any name and type
        """Set attributes, dotted names included: `configure_mock(**{"send.return_value": 3})`."""
        from unittest.mock import NonCallableMock

        NonCallableMock.configure_mock(self, **kwargs)  # type: ignore[arg-type]  # uses no more than setattr

    if TYPE_CHECKING:
        mock_calls: _CallList
        method_calls: _CallList

        def assert_has_calls(self, calls: Sequence[_Call], any_order: bool = False) -> None: ...

    else:
        # Properties, not __getattr__(): its mere presence slows down every attribute of a socket.
        for _name in SURFACE:
            locals()[_name] = property(partial(asked, _name))
        del _name

        def __call__(self, *args, **kwargs):
            raise NotKeptError(CALLED)

        @property
        def __class__(self):
            return seen_class(type(self))

        return_value = side_effect = property(__call__, __call__)

        def _attach(self, value):
            raise NotKeptError(ATTACHED)

        _mock_parent = _mock_new_parent = property(None, _attach)


class ListenSocket(_Scripted):
    """A listening socket, whose backlog is scripted.

    accepted: what `accept()` returns, in order: sockets; callables that return one, called when
    it is accepted (`Mock`s are taken for sockets); exceptions, raised. After the last, `accept()`
    returns fresh `MockSocket`s; in a strict run, nobody is waiting any more.
    name: how error texts and traces call it; else "listener".
    allow: ids of rules that are not judged for it.

    `bind`, `listen`, `accept`, ..., `close` must come in that order: OSError otherwise. (In a
    strict run as the kernel has it: `listen()` alone is enough.)
    """

    __slots__ = ("_handed_out", "accepted", "address", "current", "remote_port", "state")

    def __init__(
        self, accepted: Iterable[Client] | None = None, *, name: str | None = None, allow: Collection[RuleId] = ()
    ) -> None:
        super().__init__(name, allow)
        self._handed_out: list[object] = []  # what the test let `accept()` return itself
        self.accepted: Iterator[Client] = iter(() if accepted is None else accepted)
        """The clients still to come. May be set."""
        self.current: int = 0
        """How many clients were accepted."""
        self.state: int = 0
        """0 new, 1 bound, 2 listening, 3 closed. May be set."""
        self.address: str = "localhost"
        """The host from which all clients come. May be set."""
        self.remote_port: int = 57000
        """The port from which the last client came; the next one's is higher by one. May be set."""

    def _order(self, *states: int) -> None:
        if self._record is None and self.state not in states:
            number = EBADF if self.state == 3 else EINVAL
            raise OSError(number, os.strerror(number))

    def _bind(self, address: Address) -> None:
        self._order(0, 1)
        super()._bind(address)
        self.state = 1

    def _listen(self, backlog: int) -> None:
        self._order(1)
        super()._listen(backlog)
        self.state = 2

    def _close(self) -> None:
        super()._close()
        self.state = 3

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Refused: a listener is not connected."""
        return self._read(size, flags)

    def _read(self, size: int, flags: int) -> bytes:
        self._do("recv")
        raise OSError(ENOTCONN, os.strerror(ENOTCONN))

    def _push(self, data: Buffer | Given, taken: int | None = None, flags: int = 0) -> int:
        self._do("send")
        raise BrokenPipeError(EPIPE, os.strerror(EPIPE))

    def _accept(self) -> tuple[_socket.socket, Address]:
        self._order(2)
        record = self._record
        waiting = record is None or self._anyone_waiting(record)
        client = next(self.accepted, _END) if record is None else self._next_client()
        if client is _END:
            if waiting and record is not None:
                record.monitor.perform(record, _ACCEPT_NOTHING[self._waits()])
            client = MockSocket()
        if not isinstance(client, real_socket) and not is_mock(client):
            try:
                client = _resolved(client)
            except Exception as error:
                if record is not None:
                    record.monitor.refused("accept", record, error)
                raise
        self.current += 1
        self.remote_port += 1
        peer = (self.address, self.remote_port)
        if isinstance(client, MockSocket):
            client._local, client._remote = self._local, peer
        if record is not None:
            self._welcome(record, client)
        return client, peer  # type: ignore[return-value]  # a Mock where the test gave one

    def _hand_out(self, client: object) -> None:
        self._handed_out.append(client)
        if self._available:
            self._available -= 1

    def _next_client(self) -> object:
        """Who comes next, past those whom the test has handed out itself, by whatever means; takes it off."""
        passed: list[object] = []
        while True:
            client: object = next(self.accepted, _END)
            handed = next((at for at, one in enumerate(self._handed_out) if one is client), None)
            if handed is not None:
                del self._handed_out[handed]
            elif not _is_served(client) or any(one is client for one in passed):
                return client
            else:
                passed.append(client)

    def _anyone_waiting(self, record: Record) -> bool:
        """Whether anyone is waiting, as far as events have said; if not, what that comes to."""
        if record.moves["accept"] is not None:
            record.monitor.perform(record, "accept")
        elif self._available:
            self._available -= 1
        elif record.ever_registered:
            record.monitor.perform(record, _ACCEPT_NOTHING[self._waits()])
            return False
        return True

    def _leftover(self) -> tuple[RuleId, str] | None:
        """As the base class has it. Takes one client at most off the script, and puts it back."""
        if self._replaced():
            return None
        client: Any = self._next_client()  # Any: it goes back to where it came from
        if client is _END:
            return None
        self.accepted = chain((client,), self.accepted)
        return "unaccepted-connection", client._known_as() if isinstance(client, _Scripted) else value_text(client)


def _is_served(client: object) -> bool:
    """Whether the server has registered it though no `accept()` that the run has seen returned it."""
    record = client._record if isinstance(client, MockSocket) else None
    return record is not None and record.ever_registered and not record.accepted


def join(monitor: Door, sock: object) -> Record:
    """Let a socket, or whatever else the script or the server uses for one, into a run."""
    if not isinstance(sock, _Scripted):
        return monitor.admit_foreign(sock)
    record = sock._record
    same = record is not None and record.monitor.rows is monitor.rows
    if record is None or (record.monitor.finished and not same):
        listens = isinstance(sock, ListenSocket)
        sock._record = record = monitor.admit(
            sock._name,
            _PHASES[sock.state] if isinstance(sock, ListenSocket) else "closed" if sock._closed else "connected",
            sock.fileno(),
            role="listener" if listens else "client",
            allow=sock._allow,
            script=sock,
        )
    elif not same:
        record.monitor.absorb(monitor)
    return record


_PHASES: Final[tuple[Phase, ...]] = ("new", "bound", "listening", "closed")
"""The phase for each `ListenSocket.state`."""


class _PutBack:
    """The items of a script, of which the first was looked at."""

    __slots__ = ("first", "others")

    def __init__(self, first: Item, others: Iterator[Item]) -> None:
        self.first: Item | None = first
        self.others: Final = others

    def __iter__(self) -> _PutBack:
        return self

    def __next__(self) -> Item:
        first, self.first = self.first, None
        return next(self.others) if first is None else first


def _put_back(sock: MockSocket, item: Item) -> None:
    """An item was only looked at. (Chains of chains would be as deep as it was looked at often.)"""
    if isinstance(sock.recvs, _PutBack):
        sock.recvs.first = item
    else:
        sock.recvs = _PutBack(item, sock.recvs)


def _resolved(item: Any) -> Any:  # Any: 0.2.3 handed on whatever was there
    """An item of a script: callables are called, exceptions raised, all else is handed on."""
    if callable(item):
        item = item()
    if isinstance(item, BaseException):
        raise item
    return item


def _length(data: Any) -> int:  # Any: without a strict run, whatever the server passes
    """How many bytes `send()` would take."""
    try:
        return memoryview(data).nbytes
    except TypeError:
        return len(data) if hasattr(data, "__len__") else 0

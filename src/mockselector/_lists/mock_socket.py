"""`MockSocket`: the server's end of a connection, whose data comes from a script.

Owns that script, and what a read may see of it.
"""

# A recorded method is an attribute with a `__call__` that takes what the method takes. mypy sees that
# this overrides the method; pyright never takes an attribute for a method, whatever its type.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import sys
from functools import partial
from itertools import islice

from .._buffers import let_go
from .._methods import PEEK, WAITALL, checked_flags
from .._text import BYTES_SHOWN, bytes_text, excerpt, value_text
from .mocks import (
    ATTACHED,
    CALLED,
    SURFACE,
    NotKeptError,
    as_logged,
    asked,
    records_itself,
    seen_class,
)
from .scripted import Scripted, resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from selectors import SelectorKey
    from typing import Any, Final
    from unittest.mock import _Call, _CallList  # no public name exists

    from typing_extensions import Buffer

    from .._judge.records import Record
    from .._judge.rules import Operation, RuleId
    from .items import RecvItem


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_getframe: Final = sys._getframe  # the only way to a frame that costs nothing
_NOT_GIVEN: Any = object()  # Any: it stands where a number does
_READ_NOTHING: Final[tuple[Operation, ...]] = ("recv:again", "recv:timeout", "recv:blocks")


class MockSocket(Scripted):
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
        self, recvs: Iterable[RecvItem] | None = None, *, name: str | None = None, allow: Collection[RuleId] = ()
    ) -> None:
        super().__init__(name, allow)
        self.recvs: Iterator[RecvItem] = iter(() if recvs is None else recvs)
        """What is still to be read. May be set."""
        self._rest: bytes | str = ""  # an item that was read in part ...
        self._read_of = 0  # ... and how much of it was
        # Where registered for reading: the selector's map, what its select() returns, what the trace keeps of that.
        self._plain: tuple[dict[int, SelectorKey], tuple[SelectorKey, int], Record] | None = None
        self._unheard: Iterator[RecvItem] = iter(())  # what came after reading was shut down

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
                data = resolved(data)
            if self._read_of or size < len(data):
                return self._part(data, size)
            self._rest = ""
            return data  # type: ignore[no-any-return]  # bytes, if the script holds what it should

        if record is not None and self._available and not (flags or self._rest or record.moves["recv"]):
            # The plainest read of a strict run, in as few steps as can be: all events pass here.
            data = next(self.recvs, b"")
            self._available -= 1
            if type(data) is bytes and 0 < (length := len(data)) <= size:
                frame = _getframe(1)
                kept = data if length <= BYTES_SHOWN else excerpt(data)
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
                frame, length = _getframe(1), len(data)
                kept = data if length <= BYTES_SHOWN else excerpt(data)
                record.note(("send", record.name, kept, 0, frame.f_code, frame.f_lasti))
                return length
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
            item = resolved(item)
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


class _PutBack:
    """The items of a script, of which the first was looked at."""

    __slots__ = ("first", "others")

    def __init__(self, first: RecvItem, others: Iterator[RecvItem]) -> None:
        self.first: RecvItem | None = first
        self.others: Final = others

    def __iter__(self) -> _PutBack:
        return self

    def __next__(self) -> RecvItem:
        first, self.first = self.first, None
        return next(self.others) if first is None else first


def _put_back(sock: MockSocket, item: RecvItem) -> None:
    """An item was only looked at. (Chains of chains would be as deep as it was looked at often.)"""
    if isinstance(sock.recvs, _PutBack):
        sock.recvs.first = item
    else:
        sock.recvs = _PutBack(item, sock.recvs)

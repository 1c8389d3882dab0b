"""What a socket of an event list is: its script, its number and name, and its place in a run.

Owns what both kinds have in common. Thin otherwise: in a strict run every operation is one `Monitor.perform`; without
one, a socket does what 0.2.3's did. They are real subclasses of `socket.socket` that never open a descriptor. Nothing
here knows of selectors' events.
"""

# A recorded method is an attribute with a `__call__` that takes what the method takes. mypy sees that
# this overrides the method; pyright never takes an attribute for a method, whatever its type.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import socket as _socket  # tests patch `socket.socket`: what is needed of it is bound now
import sys
from itertools import count
from socket import socket as real_socket
from weakref import WeakValueDictionary

from .._buffers import Given, excerpt_of
from .._judge.rules import GONE, NO_RULES, checked_rules, shut_operation
from .._judge.trace import place
from .._methods import DONTWAIT, Shell
from .._system import FIRST_NUMBER
from .._text import BYTES_SHOWN, shown
from .mocks import (
    Recorded,
    recorded,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from types import CodeType
    from typing import Any, Final, NoReturn

    from typing_extensions import Buffer

    from .._judge.records import Door, Record
    from .._judge.rules import Operation, Phase, RuleId
    from .._judge.trace import Place
    from .._methods import BinaryFile
    from .._system import Address
    from .mocks import Call, Surface

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_next_number: Final = count(FIRST_NUMBER).__next__
_by_number: Final[WeakValueDictionary[int, Scripted]] = WeakValueDictionary()


def socket_of(number: int) -> Scripted | None:
    """The socket of ours with that descriptor number."""
    return _by_number.get(number)


class Scripted(Shell):
    """What both kinds have in common: a number, a name, options, an end.

    Half of it is a long list: each method of a socket, recorded as a mock's would be.
    """

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

    def _why_nothing(self, name: str, *, reads: bool) -> str:
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
        return own or any(_is_replaced(type(self), name) for name in ("accept", "recv", "recv_into"))

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

    _role = "client"
    """What it is called that the test has given no name."""

    def _phase(self) -> Phase:
        """Where in its life it is when it comes into a run."""
        return "closed" if self._closed else "connected"

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


def _is_replaced(kind: type, name: str) -> bool:
    """Whether a class that the test has derived has a method of its own there."""
    owner = next(one for one in kind.__mro__ if name in vars(one))
    return owner.__module__.partition(".")[0] not in (__name__.partition(".")[0], "socket", "_socket")


def join(monitor: Door, sock: object) -> Record:
    """Let a socket, or whatever else the script or the server uses for one, into a run."""
    if not isinstance(sock, Scripted):
        return monitor.admit_foreign(sock)
    record = sock._record
    same = record is not None and record.monitor is monitor
    if record is None or (record.monitor.finished and not same):
        sock._record = record = monitor.admit(
            sock._name, sock._phase(), sock.fileno(), role=sock._role, allow=sock._allow, script=sock
        )
    elif not same:
        record.monitor.absorb(monitor)
    return record


def resolved(item: Any) -> Any:  # Any: 0.2.3 handed on whatever was there
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

"""What a send comes to in a scenario.

Owns writing: for what there is room, what is held against the peer's script, and how a socket that blocks sends all.
"""

# A socket of ours has plain attributes where the real one has properties.
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

import socket as _socket
import sys
from _thread import get_ident
from collections.abc import Iterable
from errno import EISCONN, EOPNOTSUPP
from selectors import EVENT_WRITE
from typing import TYPE_CHECKING, Any, Final

from .._buffers import Given, Rest, excerpt_of, let_go
from .._judge.records import note_sender, own_files
from .._judge.trace import caller
from .._kernel.addresses import AF_UNIX, without_name
from .._kernel.streams import Stream
from .._methods import DONTWAIT
from .._play.clock import nanoseconds
from .._play.expecting import Difference
from .._text import BYTES_SHOWN, excerpt
from .._whose import INSIDE
from .reading import Reading, kept, shown_of

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._buffers import Outgoing
    from .._judge.rules import Operation
    from .._system import Address

_getframe: Final = sys._getframe  # the only way to a frame that costs nothing

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_SEND_NOTHING: Final[tuple[Operation, ...]] = ("send:again", "send:timeout", "send:blocks")
_WITHOUT_MEANING: Final = ("MSG_NOSIGNAL", "MSG_MORE")
_TAKEN: Final = DONTWAIT | sum(int(getattr(_socket, name, 0)) for name in _WITHOUT_MEANING)


class Writing(Reading):
    """A socket in a scenario, as far as it reads and writes."""

    __slots__ = ()

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send what there is room for; returns how many bytes were taken."""
        if type(data) is bytes and not flags:
            return self._sends_plainly(data) or self._push(data)
        try:
            self._check("send", data, flags)
            return self._push(data, flags=flags)
        except BaseException as error:
            let_go(error)
            del data
            raise

    def _sends_plainly(self, data: bytes) -> int:
        """The plainest send, in as few steps as can be, as the rest of this class would do it; 0: it is not."""
        record, stream = self._record, self._descriptor.stream
        monitor, size = record.monitor, len(data)
        if (
            stream is None
            or not size
            or record.moves["send"] is not None
            or not stream.is_plain_for(size)
            or record.unsent is not None
            or monitor.finished
            or len(monitor.rows) > monitor.limit
            or self._world.choices.decide is not None
        ):
            return 0
        peer = stream.other.peer
        wrong = None if peer is None else peer.expecting.judge(data)
        if wrong is not None:
            self._sent_wrongly(stream, wrong, data)
        frame = _getframe(2)
        if frame.f_code.co_filename in INSIDE:
            frame = caller(2)
        if frame.f_code.co_filename not in own_files:
            note_sender(record, frame)
        kept = data if size <= BYTES_SHOWN else excerpt(data)
        record.note(("send", record.name, kept, monitor.now, frame.f_code, frame.f_lasti))
        self._world.spinning.progress += 1
        stream.hand_over(data, size)
        return size

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send all of `data`."""
        if type(data) is bytes and not flags:
            if not self._sends_plainly(data):
                self._push_all(data)
            return
        try:
            self._check("sendall", data, flags)
            self._push_all(data)
        except BaseException as error:
            let_go(error)
            del data
            raise

    def sendto(self, data: Buffer, *flags_and_address: Any) -> int:  # Any: as the base class has it
        """As `send()`: a connected TCP socket ignores the address (man 2 sendto)."""
        try:
            *flags, address = flags_and_address or (None,)
            if len(flags_and_address) in (1, 2):
                self._check("sendto", data, *flags, without_name(address, self.family))
            else:
                self._check("sendto", data, *flags_and_address)
            self._check_unaddressed(address)
            return self._push(data, flags=flags[0] if flags else 0)
        except BaseException as error:
            let_go(error)
            del data
            raise

    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[tuple[int, int, Buffer]] = (),
        flags: int = 0,
        address: Address | None = None,
        /,
    ) -> int:
        """Send all buffers, one after the other. NotImplementedError for ancillary data."""
        try:
            buffers = kept(buffers)
            ancdata = kept(ancdata)
            self._check("sendmsg", buffers, ancdata, flags, without_name(address, self.family))
            self._check_unaddressed(address)
            self._check_many("send", buffers)
            return super().sendmsg(buffers, ancdata, flags)
        except BaseException as error:
            let_go(error)
            del buffers, ancdata
            raise

    def _wait_for_file(self) -> None:
        try:
            if self._gone():
                raise ValueError("Invalid file descriptor: -1")
            descriptor = self._descriptor
            if not self._may_send():
                self._wait(self._may_send, _SEND_NOTHING, 0)
                if descriptor.stream is not None and descriptor.stream.unix:
                    descriptor.stream.take_error()  # the kernel's sendfile() is told, and Python then sends plainly
        finally:
            self._is_out()

    def _may_send(self) -> bool:
        descriptor = self._descriptor
        stream = descriptor.stream
        return bool(descriptor.ready() & EVENT_WRITE) or (stream is not None and stream.says_nothing)

    def _refuses_file(self) -> bool:
        return bool(self._descriptor.refuses_to_send())

    def _check_unaddressed(self, address: Address) -> None:
        """Refuse an address on an AF_UNIX socket (man 2 sendto)."""
        if address is not None and self.family == AF_UNIX:
            self._check_open("send")
            self._wait_until(EVENT_WRITE, _SEND_NOTHING)
            self._fails("send", EOPNOTSUPP if self._descriptor.stream is None else EISCONN)

    def _push(self, data: Buffer | Given | Rest, taken: int | None = None, flags: int = 0) -> int:
        """As the base class has it: what there is room for; a socket that blocks sends all."""
        if not isinstance(data, (bytes, Given, Rest)):
            with Given(data) as given:
                return self._push(given, taken, flags)
        if flags:
            flags = self._checked_flags(flags)
        self._check_open("send")
        try:
            blocks = self._waits(flags) == 2
            self._wait_until(EVENT_WRITE, _SEND_NOTHING, many=len(data) > 1)
            stream = self._sending_stream(flags)
            whole = len(data)
            if whole and stream.room == 0:
                self._wait_for_room(stream, flags, many=whole > 1)
                if stream.unix and not self._timeout and (error := stream.take_error()):
                    self._fails("send:reset", error)  # one that waits is told more than one that comes later
                self._check_sending()
            size = min(stream.room, whole)
            size -= self._world.choices.choose(size, "how many bytes are sent")
            part = data[:size]
            self._judge(stream, part)
            note_sender(self._record, caller(1))
            shown = excerpt(part) if size == whole else excerpt_of(data, whole if blocks else size)
            self._do("send", shown_of(stream, shown))
            self._put(stream, part)
            while blocks and size < whole and not stream.says_nothing:
                self._wait_for_room(stream, flags, 2, many=True)
                part = data[size : size + stream.room]
                self._judge(stream, part)
                if not stream.says_nothing:
                    self._put(stream, part)
                    size += len(part)
            record = self._record
            if size < whole or record.unsent:
                record.monitor.sent(record, data, whole if stream.dead else size)  # dead: nobody is there to miss it
            return size
        finally:
            self._is_out()

    def _checked_flags(self, flags: int) -> int:
        """Flags of a send, as a plain number, but for those that mean nothing here."""
        if flags & ~_TAKEN:
            taken = " and ".join((", ".join(("MSG_DONTWAIT", *_WITHOUT_MEANING[:-1])), _WITHOUT_MEANING[-1]))
            self._refuse(f"send() with flags={int(flags):#x} is not simulated; {taken} are")
        return int(flags)

    def _sending_stream(self, flags: int) -> Stream:
        """The connection, if there is one that can be written to."""
        descriptor = self._descriptor
        if descriptor.is_under_way:
            self._wait(lambda: not descriptor.connecting, _SEND_NOTHING, flags)
        self._check_sending()
        assert descriptor.stream is not None
        return descriptor.stream

    def _check_sending(self) -> None:
        """Refuse what the network refuses."""
        error = self._descriptor.refuses_to_send()
        if error:
            stream = self._descriptor.stream
            lost = self._descriptor.failing if stream is None else not stream.mute
            self._fails("send:reset" if lost else "send", error)

    def _put(self, stream: Stream, data: bytes) -> None:
        self._world.spinning.progress += bool(data)
        stream.put(data)

    def _wait_for_room(self, stream: Stream, flags: int, how: int | None = None, *, many: bool) -> None:
        took = self._wait(lambda: stream.room > 0 or stream.says_nothing, _SEND_NOTHING, flags, how=how, many=many)
        if took and self._timeout is None:
            self._world.outcome.waited(self._record, "send:waits", "blocking-send", took, self._around)

    def _judge(self, stream: Stream, data: bytes) -> None:
        """Hold what is to be sent against what the peer expects."""
        peer = stream.other.peer
        if peer is None or stream.other.closed:
            return
        wrong = peer.expecting.judge(data)
        if wrong is not None:
            self._sent_wrongly(stream, wrong, data)

    def _sent_wrongly(self, stream: Stream, wrong: object, data: bytes) -> None:
        peer = self._world.peer_of(stream)
        assert peer is not None
        assert isinstance(wrong, Difference)
        self._world.sent_wrongly(self._record, peer, wrong, data)

    def _push_all(self, data: Buffer | Given) -> None:
        if not isinstance(data, (bytes, Given)):
            with Given(data) as given:
                self._push_all(given)
            return
        if self._timeout:
            until = self._world.clock.now + nanoseconds(self._timeout)
            self._deadlines = {**self._deadlines, get_ident(): until}
        rest: Outgoing = data
        try:
            while (sent := self._push(rest)) < len(rest):
                if not isinstance(rest, Rest):
                    rest = Rest(data)
                rest.start += sent
        except OSError:
            self._record.tried_on = True  # by this exception
            raise
        finally:
            if self._deadlines:
                self._deadlines = {thread: at for thread, at in self._deadlines.items() if thread != get_ident()}

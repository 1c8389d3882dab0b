"""What a read finds in a scenario.

Owns reading: what the simulated network has for a socket, and what is judged of that.
"""

# A socket of ours has plain attributes where the real one has properties.
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

import sys
from collections.abc import Iterable
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any, Final

from .._buffers import flat, let_go
from .._judge.trace import CIPHERTEXT, caller
from .._kernel.streams import Stream
from .._methods import PEEK, WAITALL, checked_flags
from .._text import BYTES_SHOWN, excerpt
from .._whose import INSIDE
from .waiting import Waiting

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._judge.rules import Operation
    from .._system import Address
    from .._text import Kept

_getframe: Final = sys._getframe  # the only way to a frame that costs nothing

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_READ_NOTHING: Final[tuple[Operation, ...]] = ("recv:again", "recv:timeout", "recv:blocks")
_MUCH: Final = 1 << 31
"""What no program reads or writes at once: only the real method knows what it thinks of that."""


class Reading(Waiting):
    """A socket in a scenario, as far as it reads."""

    __slots__ = ()

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """At most `bufsize` bytes of what the peer has sent by one `sends`."""
        record, stream = self._record, self._descriptor.stream
        monitor = record.monitor
        if (
            stream is not None
            and stream.chunks
            and not flags
            and record.moves["recv"] is None
            and type(bufsize) is int
            and 0 < bufsize < _MUCH
            and not monitor.finished
            and self._world.choices.decide is None
        ):
            # The plainest read, in as few steps as can be: what comes of it is what the rest of this class would do.
            # (Nobody reads without end what nobody sends without end: that the trace grows too long is seen there.)
            data = stream.take(bufsize)
            frame = _getframe(1)
            if frame.f_code.co_filename in INSIDE:
                frame = caller(1)
            kept = data if len(data) <= BYTES_SHOWN else excerpt(data)
            record.note(("recv", record.name, kept, monitor.now, frame.f_code, frame.f_lasti))
            self._world.spinning.progress += 1
            return data
        if type(bufsize) is not int or not 0 <= bufsize < _MUCH or (flags and type(flags) is not int):
            self._check("recv", bufsize, flags)
        return self._read(bufsize, flags) if bufsize else b""  # of nothing, no call of the kernel comes

    def _read(self, size: int, flags: int) -> bytes:
        try:
            return self._reads(size, flags)
        finally:
            self._is_out()

    def _reads(self, size: int, flags: int) -> bytes:
        self._check_open("recv")
        if flags:
            flags = checked_flags(flags, self._refuse)
        descriptor = self._descriptor
        if self._timeout and not descriptor.ready() & EVENT_READ:
            self._wait_to_read(flags, many=size > 1)
        if flags & WAITALL:
            return self._read_all(size, flags & ~WAITALL)
        stream = descriptor.stream
        if not (stream.readable if stream is not None else not descriptor.is_under_way):
            self._wait_to_read(flags, many=size > 1)
            stream = descriptor.stream
        if stream is not None and stream.chunks:
            data = stream.shown(size) if flags & PEEK else stream.peek(size)
            if not flags & PEEK:
                data = data[: len(data) - self._world.choices.choose(len(data), "how many bytes are read")]
            self._do("peek" if flags & PEEK else "recv", shown_of(stream, excerpt(data)))
            if data and not flags & PEEK:
                self._world.spinning.progress += 1
                stream.drop(len(data))
            return data
        error = descriptor.refuses_to_read()
        if error:
            self._fails("recv:reset" if stream is not None or descriptor.failing else "recv", error)
        if stream is None:
            self._do("recv", b"")
        elif not flags & PEEK:
            ours = stream.deaf and not (stream.ended or stream.dead)  # the server's own doing: the peer has not ended
            self._do("recv" if ours else "recv:eof", b"")
        return b""

    def _wait_to_read(self, flags: int, *, many: bool) -> None:
        descriptor, many = self._descriptor, many and not flags & PEEK
        flags = 0 if self._timeout else flags
        took = self._wait(lambda: bool(descriptor.ready() & EVENT_READ), _READ_NOTHING, flags, many=many)
        if took and self._timeout is None:
            self._world.outcome.waited(self._record, "recv:waits", "blocking-read", took, self._around)

    def _read_all(self, size: int, flags: int) -> bytes:
        """MSG_WAITALL: until `size` bytes are there, or the end is (man 2 recv)."""
        before = self._descriptor.stream
        blocks = self._waits(flags) == 2
        if flags & PEEK and before is not None:
            if blocks:
                self._wait(lambda: before.size >= size or before.hears_nothing, _READ_NOTHING, flags)
            if not before.chunks:
                return self._reads(size, flags)
            data = before.shown(size)
            self._do("peek", shown_of(before, excerpt(data)))
            return data
        there = before is not None and before.chunks
        data = self._gathered(before, size) if before is not None and there else self._reads(size, flags)
        stream = self._descriptor.stream  # which may be a new one
        if not data or stream is None:
            return data
        parts = [data]
        left = size - len(data)
        while left:
            if not stream.chunks:
                if blocks and not stream.hears_nothing:
                    self._wait_to_read(flags, many=True)
                if not stream.chunks:  # an end, or an error, which is for the next call to tell
                    if stream.unix and not blocks:
                        stream.take_error()  # it is looked at, and lost
                    break
            parts.append(self._gathered(stream, left))
            left -= len(parts[-1])
        return b"".join(parts)

    def _gathered(self, stream: Stream, size: int) -> bytes:
        """At most `size` bytes of what is there, by however many sends it came."""
        data = stream.joined(size)
        self._do("recv", shown_of(stream, excerpt(data)))
        self._world.spinning.progress += 1
        stream.drop(len(data))
        return data

    def _recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        if type(buffer) is not bytearray or nbytes or flags:
            self._check("recv_into", buffer, nbytes, flags)
        return super()._recv_into(buffer, nbytes, flags)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Address]:
        """As `recv()`; the address is None, as TCP has it, or that of an AF_UNIX peer."""
        self._check("recvfrom", bufsize, flags)
        return self._read(bufsize, flags), self._source()

    def recvfrom_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Address]:
        """As `recv_into()`; the address is that of `recvfrom()`."""
        try:
            self._check("recvfrom_into", buffer, nbytes, flags)
            with flat(buffer) as view:
                return self._fill(view, nbytes, flags), self._source()
        except BaseException as error:
            let_go(error)
            del buffer
            raise

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Address]:
        """As `recv()`; ancillary data never comes."""
        self._check("recvmsg", bufsize, ancbufsize, flags)
        return self._read(bufsize, flags), [], 0, self._source()

    def recvmsg_into(
        self, buffers: Iterable[Buffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Address]:
        """As `recv()`, spread over several buffers."""
        try:
            buffers = kept(buffers)
            self._check("recvmsg_into", buffers, ancbufsize, flags)
            self._check_many("recv", buffers)
            return (*super().recvmsg_into(buffers, ancbufsize, flags)[:3], self._source())
        except BaseException as error:
            let_go(error)
            del buffers
            raise

    def _source(self) -> Address:
        """Where what was read comes from, for who asks with each read."""
        stream = self._descriptor.stream
        return (stream.remote or None) if stream is not None and stream.unix else None


def shown_of(stream: Stream, kept: Kept) -> Kept | str:
    """What a row keeps of bytes: nothing of ciphertext, which differs from run to run."""
    return CIPHERTEXT if stream.is_sealed else kept


def kept(things: Any) -> Any:  # Any: whatever the program gave
    """What can be gone through more than once; what is no iterable stays what it is, to be refused."""
    return things if not isinstance(things, Iterable) else [*things]  # pyright: ignore[reportUnknownVariableType]

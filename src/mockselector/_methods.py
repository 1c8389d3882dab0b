"""Every public method of `socket.socket`, over a few that each kind of socket of ours fills in.

Owns what the methods have in common: the many ways to read are one `_read`, the many ways to write
one `_push`, and so on; options are remembered, files are the standard library's. What a read finds,
and what is judged, is each kind's own business. A real subclass of `socket.socket` that never opens
a descriptor. What is not simulated is refused aloud.
"""

from __future__ import annotations

import os
import socket as _socket  # tests patch `socket.socket`: what is needed of it is bound now
import stat
import sys
from errno import EINVAL

from ._buffers import Given, flat, let_go
from ._system import real_socket
from ._text import value_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final, NoReturn, Protocol

    from typing_extensions import Buffer

    from ._judge.rules import Operation
    from ._system import Address

    class BinaryFile(Protocol):
        """What `sendfile()` can send."""

        def read(self, size: int, /) -> bytes: ...
        def seek(self, offset: int, /) -> object: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

PEEK: Final = int(_socket.MSG_PEEK)  # as plain numbers: flags of an enum are slow to combine
DONTWAIT: Final = int(getattr(_socket, "MSG_DONTWAIT", 0))  # not on Windows
WAITALL: Final = int(_socket.MSG_WAITALL)
_SET_BLOCKING: Final = ("setblocking(False)", "setblocking(True)")
_FILE_BLOCK: Final = 8192


class Shell(real_socket):
    """A socket without a descriptor: all methods, over those in the first part.

    It is as long as the list of what `socket.socket` has.
    """

    __slots__ = ("_local", "_options", "_remote", "_timeout")

    _io_refs: int
    _closed: bool
    _timeout: float | None
    _options: dict[tuple[int, int], int | bytes] | None
    _local: Address
    _remote: Address

    # -- what each kind has of its own ------------------------------------------------------

    def _do(self, operation: Operation, detail: object = None) -> None:
        """Take a step in a strict run. Outside of one, anything goes."""
        raise NotImplementedError  # each kind has its own

    def _refuse(self, what: str) -> NoReturn:
        """Say aloud what is not simulated."""
        raise NotImplementedError(what)

    def _read(self, size: int, flags: int) -> bytes:
        """`recv()`, for the other methods that read."""
        raise NotImplementedError  # each kind has its own

    def _push(self, data: Buffer | Given, taken: int | None = None, flags: int = 0) -> int:
        """Send; `taken` of it if the test decided that, else what there is room for."""
        raise NotImplementedError  # each kind has its own

    def _push_all(self, data: Buffer) -> None:
        """Send all of it, however long that takes."""
        self._push(data)

    def _wait_for_file(self) -> None:
        """Before the kernel's sendfile(): wait for room."""

    def _refuses_file(self) -> bool:
        """Whether the kernel's sendfile() fails at once."""
        return False

    def _bind(self, address: Address) -> None:
        self._do("bind")
        self._local = address

    def _listen(self, backlog: int) -> None:
        self._do("listen")

    def _accept(self) -> tuple[_socket.socket, Address]:
        self._do("accept")
        raise OSError(EINVAL, os.strerror(EINVAL))  # a connected socket has no backlog

    def _connect(self, address: Address) -> None:
        self._do("connect")

    def _shut(self, how: int) -> None:
        """Shut down: `how` is one of the three."""
        raise NotImplementedError  # each kind has its own

    def _close(self) -> None:
        if self._io_refs <= 0:
            self._do("close")
        self._closed = True

    def _ended_in_file(self) -> None:
        """A `makefile()` has met the end, which need not have been seen by whoever reads it."""

    def _checked_timeout(self, value: float | None) -> float | None:
        if value is not None and value < 0:
            raise ValueError("Timeout value out of range")
        return value

    # -- what any socket has ----------------------------------------------------------------

    # No properties, as the real socket has them: with 0.2.3 a test could set them.
    family: _socket.AddressFamily = _socket.AF_INET  # pyright: ignore[reportIncompatibleMethodOverride]
    type: _socket.SocketKind = _socket.SOCK_STREAM  # pyright: ignore[reportIncompatibleMethodOverride]
    proto: int = 0  # pyright: ignore[reportIncompatibleMethodOverride]

    @property
    def timeout(self) -> float | None:
        """As `gettimeout()`, in seconds. May be set."""
        return self._timeout

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        self._timeout = value

    def gettimeout(self) -> float | None:
        """Seconds that a call waits; None: for ever; 0.0: not at all."""
        return self._timeout

    def getblocking(self) -> bool:
        """Whether calls wait."""
        return self._timeout != 0

    def setblocking(self, flag: bool, /) -> None:
        """Let calls wait for ever, or not at all."""
        self._do("option", _SET_BLOCKING[bool(flag)])
        self._timeout = None if flag else 0.0

    def settimeout(self, value: float | None, /) -> None:
        """Let calls wait `value` seconds. In a strict run, ValueError if negative."""
        checked = self._checked_timeout(value)
        self._do("option", f"settimeout({value_text(value)})")
        self._timeout = checked

    def setsockopt(self, level: int, optname: int, value: int | Buffer | None, optlen: int = 0, /) -> None:
        """Remembered for `getsockopt()`; has no effect."""
        self._do("option", f"setsockopt({level}, {optname}, {value_text(value)})")
        if self._options is None:
            self._options = {}
        self._options[level, optname] = value if isinstance(value, int) else bytes(value or b"")

    def getsockopt(self, level: int, optname: int, buflen: int = 0, /) -> Any:  # Any: int, or bytes with buflen
        """What was set; else 0 (for SO_TYPE, SOCK_STREAM); with `buflen`, that many bytes of it."""
        self._do("option", f"getsockopt({level}, {optname})")
        is_type = (level, optname) == (_socket.SOL_SOCKET, _socket.SO_TYPE)
        value = (self._options or {}).get((level, optname), int(_socket.SOCK_STREAM) if is_type else 0)
        if not buflen:
            return value
        return (value if isinstance(value, bytes) else value.to_bytes(4, sys.byteorder, signed=True))[:buflen]

    def get_inheritable(self) -> bool:
        """False."""
        self._do("option", "get_inheritable()")
        return False

    def set_inheritable(self, inheritable: bool) -> None:
        """Has no effect: there is no descriptor to inherit."""
        self._do("option", f"set_inheritable({value_text(inheritable)})")

    def getsockname(self) -> Address:
        """The address bound to; a client's is its listener's."""
        self._do("option", "getsockname()")
        return self._local

    def getpeername(self) -> Address:
        """The address that `accept()` returned with this socket."""
        self._do("getpeername")
        return self._remote

    # -- reading ----------------------------------------------------------------------------

    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        """As `recv()`, into a buffer."""
        try:
            return self._recv_into(buffer, nbytes, flags)
        except BaseException as error:
            let_go(error)
            del buffer
            raise

    def _recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        with flat(buffer) as view:
            if nbytes < 0:
                raise ValueError("negative buffersize in recv_into")
            if nbytes > len(view):
                raise ValueError("nbytes is greater than the length of the buffer")
            if not len(view):
                return 0  # no call of the kernel comes of that
            return self._fill(view, nbytes, flags)

    def _fill(self, view: memoryview, nbytes: int, flags: int) -> int:
        data = self._read(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Address]:
        """As `recv()`; the address is None, as TCP has it (man 2 recvfrom)."""
        return self._read(bufsize, flags), None

    def recvfrom_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Address]:
        """As `recv_into()`; the address is None."""
        try:
            return self._recv_into(buffer, nbytes, flags), None
        except BaseException as error:
            let_go(error)
            del buffer
            raise

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Address]:
        """As `recv()`; ancillary data never comes."""
        return self._read(bufsize, flags), [], 0, None

    def recvmsg_into(
        self, buffers: Iterable[Buffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Address]:
        """As `recv()`, spread over several buffers."""
        try:
            with Given(*buffers) as given:
                data = self._read(given.size, flags)
                given.fill(data)
            return len(data), [], 0, None
        except BaseException as error:
            let_go(error)
            del buffers
            raise

    # -- writing ----------------------------------------------------------------------------

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send what there is room for (without a network, all); returns how many bytes were taken."""
        try:
            return self._push(data, flags=flags)
        except BaseException as error:
            let_go(error)
            del data
            raise

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Send all of `data`."""
        try:
            self._push_all(data)
        except BaseException as error:
            let_go(error)
            del data
            raise

    def sendto(self, data: Buffer, *flags_and_address: Any) -> int:  # Any: (address) or (flags, address)
        """As `send()`: a connected socket ignores the address (man 2 sendto)."""
        try:
            return self._push(data, flags=flags_and_address[0] if len(flags_and_address) > 1 else 0)
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
        if list(ancdata):
            self._refuse("sendmsg() with ancillary data is not simulated; send the data by itself")
        try:
            with Given(*buffers) as given:
                return self._push(given, flags=flags)
        except BaseException as error:
            let_go(error)
            del buffers
            raise

    def sendmsg_afalg(
        self, msg: Iterable[Buffer] = (), *, op: int, iv: object = None, assoclen: int = 0, flags: int = 0
    ) -> NoReturn:
        """Refused: these are no AF_ALG sockets."""
        self._refuse("sendmsg_afalg() is for AF_ALG sockets; this one is a TCP socket")

    def sendfile(self, file: BinaryFile, offset: int = 0, count: int | None = None) -> int:
        """Send a binary file from `offset`, `count` bytes of it or all; returns how many.

        Raises ValueError as the standard library does: text files, non-blocking sockets, count < 1.
        """
        if "b" not in getattr(file, "mode", "b"):
            raise ValueError("file should be opened in binary mode")
        if count is not None and count <= 0:
            raise ValueError(f"count must be a positive integer (got {count!r})")
        size = _size_of(file)
        if size == 0:
            return 0
        if self._timeout == 0:
            raise ValueError("non-blocking sockets are not supported")
        if size is not None:  # the kernel's own sendfile() asks no file where it stands
            self._wait_for_file()
            if offset >= size:
                return 0
            if not self._refuses_file() or offset:  # if it does, it is sent plainly, from where it stands
                file.seek(offset)
        elif offset:
            file.seek(offset)
        total = 0
        while count is None or total < count:
            block = file.read(_FILE_BLOCK if count is None else min(_FILE_BLOCK, count - total))
            if not block:
                break
            self._push_all(block)
            total += len(block)
        if total:
            file.seek(offset + total)
        return total

    # -- coming and going -------------------------------------------------------------------

    def bind(self, address: Address, /) -> None:
        """Remembered for `getsockname()`."""
        self._bind(address)

    def listen(self, backlog: int = 5, /) -> None:
        """Become a listener."""
        self._listen(backlog)

    def accept(self) -> tuple[_socket.socket, Address]:
        """The next client."""
        return self._accept()

    def connect(self, address: Address, /) -> None:
        """Connect, in a scenario. Refused in a strict event list, which has no network."""
        self._connect(address)

    def connect_ex(self, address: Address, /) -> int:
        """As `connect()`, but returns the error number."""
        try:
            self._connect(address)
        except OSError as error:
            if error.errno is None or isinstance(error, _socket.gaierror):
                raise  # a time-out, and a name that nobody knows
            return error.errno
        return 0

    def shutdown(self, how: int, /) -> None:
        """Shut down reading, writing or both."""
        self._shut(how)

    def close(self) -> None:
        """Close, once the last `makefile()` is closed too."""
        self._close()

    def _decref_socketios(self) -> None:
        """A `makefile()` was closed (the standard library's name)."""
        self._io_refs -= 1
        if self._closed:
            self._close()

    def detach(self) -> int:
        """Give the number away: it goes on standing for nothing. -1 if there is none any more."""
        number = self.fileno()
        self._do("detach")
        self._closed = True
        return number

    def dup(self) -> NoReturn:
        """Refused: two descriptors for one connection are not simulated."""
        self._refuse("dup() is not simulated; pass the socket itself on")

    if sys.platform == "win32":

        def ioctl(self, control: int, option: int | tuple[int, int, int] | bool, /) -> None:
            """Has no effect."""
            self._do("option", f"ioctl({control})")

        def share(self, process_id: int, /) -> NoReturn:
            """Refused: there is nothing that another process could have."""
            self._refuse("share() is not simulated; there is no descriptor to share")

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:  # Any: one of five file types, by mode and buffering
        """The standard library's file over this socket; its reference count is honoured."""
        side = _FileSide(self)
        makefile: Callable[..., Any] = real_socket.makefile  # Any: `side` has all that it uses of a socket
        return makefile(side, mode, buffering, encoding=encoding, errors=errors, newline=newline)


def checked_flags(flags: int, refuse: Callable[[str], NoReturn]) -> int:
    """Flags of a read, as a plain number; `refuse` says aloud which are not simulated."""
    if flags & ~(PEEK | DONTWAIT | WAITALL):
        refuse(f"recv() with flags={int(flags):#x} is not simulated; MSG_PEEK, MSG_DONTWAIT and MSG_WAITALL are")
    return int(flags)


def _size_of(file: object) -> int | None:
    """The size of a file on disk; None of any other."""
    number: Callable[[], int] | None = getattr(file, "fileno", None)
    try:
        found = None if number is None else os.fstat(number())
    except OSError:  # io.UnsupportedOperation is one
        return None
    return found.st_size if found is not None and stat.S_ISREG(found.st_mode) else None


class _FileSide:
    """What a `makefile()` sees of its socket: calls that the test does not see as the server's."""

    __slots__ = ("_at_end", "_sock")

    def __init__(self, sock: Shell) -> None:
        self._sock = sock
        self._at_end = False

    @property
    def _io_refs(self) -> int:
        return self._sock._io_refs

    @_io_refs.setter
    def _io_refs(self, number: int) -> None:
        self._sock._io_refs = number

    def recv_into(self, buffer: Buffer) -> int:
        """Files read on at their end; to the socket that is one end, not several."""
        if self._at_end:
            return 0
        try:
            number = self._sock._recv_into(buffer)
        except BaseException as error:
            let_go(error)
            del buffer
            raise
        self._at_end = not number
        if self._at_end:
            self._sock._ended_in_file()
        return number

    def send(self, data: Buffer) -> int:
        try:
            return self._sock._push(data)
        except BaseException as error:
            let_go(error)
            del data
            raise

    def fileno(self) -> int:
        return self._sock.fileno()

    def _decref_socketios(self) -> None:
        self._sock._decref_socketios()

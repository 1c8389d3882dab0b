"""What is sent of a file past its socket, by their numbers, as `os.sendfile()` does.

Owns that call. The socket is whatever has the number; the file is a real one.
"""

from __future__ import annotations

import os
import stat
from errno import EINVAL, ESPIPE
from typing import TYPE_CHECKING, Any, Final

from .._system import os_error
from .sockets import SimSocket

if TYPE_CHECKING:
    from .._world.world import World

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_BLOCK: Final = 1 << 20
"""How many bytes of a file are read at once. What a call then takes of them, the socket says."""

_system: Final[Any] = os  # Any: on Windows it has nothing of this
_pread: Final[Any] = getattr(_system, "pread", None)
_lseek: Final = os.lseek
_fstat: Final = os.fstat


def send_file(
    world: World, number: int, in_fd: int, offset: int | None, count: int, *more: object, **kwargs: object
) -> int:
    """Send `count` bytes of a file from `offset` on; None: from where it stands, which then moves (man 2 sendfile)."""
    if more or kwargs:
        world.refuse("os.sendfile() with headers, trailers or flags is not simulated; send them by themselves")
    start = _start_of(in_fd, offset, count)
    sent = 0
    while sent < count:
        data = _pread(in_fd, min(count - sent, _BLOCK), start + sent)
        if not data:
            break
        try:
            taken = _send(world, number, data)
        except OSError:
            if not sent:
                raise
            break  # what was sent is told first, as the kernel does
        sent += taken
        if taken < len(data):
            break
    if offset is None:
        _lseek(in_fd, start + sent, os.SEEK_SET)
    return sent


def _start_of(in_fd: int, offset: int | None, count: int) -> int:
    """From where on it is to be sent. Raises what the kernel says of the file, before it looks at the socket."""
    if not stat.S_ISREG(_fstat(in_fd).st_mode):
        raise os_error(EINVAL if offset is None else ESPIPE)
    start = _lseek(in_fd, 0, os.SEEK_CUR) if offset is None else offset
    if start < 0 or count < 0:
        raise os_error(EINVAL)
    _pread(in_fd, 0, 0)  # whether it may be read
    return start


def _send(world: World, number: int, data: bytes) -> int:
    """Send what there is room for; whoever waits, waits until all is sent."""
    sock = world.stack.holder(number)
    if sock is not None:
        timeout = sock.gettimeout()
        if timeout is None:
            sock.sendall(data)
            return len(data)
        sock.settimeout(0)  # a time-out is the socket's own: its number does not wait
        try:
            return sock.send(data)
        finally:
            sock.settimeout(timeout)
    descriptor = world.network.descriptors[number]
    ours = SimSocket(world, descriptor, world.holdings.records[descriptor])
    ours._timeout = None if descriptor.waits else 0.0
    try:
        return ours._push(data)
    finally:
        ours._closed = True  # it was one for this call

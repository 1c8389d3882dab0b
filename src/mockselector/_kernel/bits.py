"""What poll() and epoll say of a socket: the bits, as this system numbers them (man 2 poll).

Owns these numbers, and what select() and `selectors` make of them. Knows no socket.
"""

from __future__ import annotations

import select
from selectors import EVENT_READ, EVENT_WRITE
from typing import Final


def _bit(name: str, usual: int) -> int:
    return int(getattr(select, f"POLL{name}", usual))


POLLIN: Final = _bit("IN", 0x1)
POLLPRI: Final = _bit("PRI", 0x2)
POLLOUT: Final = _bit("OUT", 0x4)
POLLERR: Final = _bit("ERR", 0x8)
POLLHUP: Final = _bit("HUP", 0x10)
POLLNVAL: Final = _bit("NVAL", 0x20)
POLLRDHUP: Final = _bit("RDHUP", 0x2000)
POLLWRBAND: Final = _bit("WRBAND", 0x200)

IN: Final = POLLIN | _bit("RDNORM", 0x40)
"""There is something to read."""

OUT: Final = POLLOUT | _bit("WRNORM", 0x100)
"""There is room."""

ALWAYS: Final = POLLERR | POLLHUP
"""What is said to everybody, whatever it has asked for."""

READABLE: Final = IN | _bit("RDBAND", 0x80) | ALWAYS
WRITABLE: Final = OUT | POLLWRBAND | POLLERR
"""What select() takes for readable, and for writable (fs/select.c)."""

ONE_SHOT: Final = 1 << 30
EDGE: Final = 1 << 31
EXCLUSIVE: Final = 1 << 28
WAKEUP: Final = 1 << 29
OF_EPOLL: Final = ONE_SHOT | EDGE | EXCLUSIVE | WAKEUP
"""What is no readiness, but says how it is told (man 2 epoll_ctl)."""


def as_interest(asked: int) -> int:
    """For which of reading and writing it is asked."""
    reads = asked & (READABLE | POLLRDHUP) & ~ALWAYS
    writes = asked & WRITABLE & ~ALWAYS
    return (EVENT_READ if reads else 0) | (EVENT_WRITE if writes else 0)


def as_readiness(bits: int) -> int:
    """What `selectors` says of what poll() says, of who has asked for both: all that is no writing is reading."""
    reads = bits & ~(OUT | POLLWRBAND)
    writes = bits & ~(IN | POLLRDHUP)
    return (EVENT_READ if reads else 0) | (EVENT_WRITE if writes else 0)

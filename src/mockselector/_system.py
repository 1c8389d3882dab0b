"""Facts of the system below, bound before anybody can patch them: classes, numbers, errors.

Owns what several rooms must know alike of real sockets and selectors. Knows nothing of ours.
"""

from __future__ import annotations

import os
import selectors
import socket
from errno import ETIMEDOUT
from selectors import EVENT_READ, EVENT_WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Protocol, TypeAlias

    Address: TypeAlias = Any  # as the standard library's stubs have it: a tuple, or a path

    class HasFileno(Protocol):
        """What `selectors` takes for a file object."""

        def fileno(self) -> int: ...

    FileObject: TypeAlias = int | HasFileno
    """A socket, its number, or a wrapper with `fileno()`."""

real_socket = socket.socket

BOTH: Final = EVENT_READ | EVENT_WRITE

FIRST_NUMBER: Final = 2**30
"""Descriptor numbers of ours start here, far above any real one."""

REAL_SELECTORS: Final = {
    name: getattr(selectors, name)
    for name in (
        "DefaultSelector", "SelectSelector", "PollSelector", "EpollSelector", "DevpollSelector", "KqueueSelector",
    )
    if hasattr(selectors, name)
}  # fmt: skip
"""The classes of the standard library that this system has, by name, before anybody can patch them."""

CLOSED: Final = "I/O operation on closed epoll object"
"""What a closed `DefaultSelector` says on Linux."""


def number_of(thing: object) -> int:
    """The descriptor number of something, as `selectors` finds it; -1: it has none."""
    try:
        return int(thing if isinstance(thing, int) else thing.fileno())  # type: ignore[attr-defined]  # asked for
    except (AttributeError, TypeError, ValueError):
        return -1


def os_error(number: int) -> OSError:
    """The exception that production raises for an error number; a socket's time-out has none."""
    if number == ETIMEDOUT:
        return TimeoutError("timed out")
    return OSError(number, os.strerror(number))

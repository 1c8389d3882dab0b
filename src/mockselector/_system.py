"""Facts of the system below, bound before anybody can patch them: classes, numbers, errors.

Owns what several rooms must know alike of real sockets and selectors. Knows nothing of ours.
"""

from __future__ import annotations

import math
import operator
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

LARGEST: Final = 2**31 - 1
"""What fits into an int: descriptors, and milliseconds that poll() and epoll wait."""

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


def poll_seconds(timeout: Any, *, epoll: bool = False) -> float | None:
    """How long a poll object is asked to wait, in milliseconds, or an epoll object in seconds; None: for ever.

    Raises what they raise of what is no such time.
    """
    text = "timeout must be a number or None" if epoll else "timeout must be an integer or None"
    time = _checked_time(timeout, text)
    if time is not None and abs(time) * (1000 if epoll else 1) > LARGEST:
        raise OverflowError("timeout is too large")
    if time is None or time < 0:
        return None
    return time if epoll else time / 1000


def select_seconds(timeout: Any) -> float | None:
    """How long `select.select()` is asked to wait; likewise."""
    time = _checked_time(timeout, "timeout must be a float or None")
    if time is None:
        return None
    if abs(time) >= 2**63 / 1e9:
        raise OverflowError("timestamp too large to convert to C PyTime_t")
    if time < 0:
        raise ValueError("timeout must be non-negative")
    return time


def _checked_time(timeout: Any, text: str) -> float | None:
    if timeout is None:
        return None
    if not isinstance(timeout, float):
        try:
            return operator.index(timeout)
        except TypeError:
            raise TypeError(text) from None
    if math.isnan(timeout):
        raise ValueError("Invalid value NaN (not a number)")
    return timeout


def os_error(number: int) -> OSError:
    """The exception that production raises for an error number; a socket's time-out has none."""
    if number == ETIMEDOUT:
        return TimeoutError("timed out")
    return OSError(number, os.strerror(number))

"""What a test puts into its lists, as type checkers have it.

Owns the three types, which a test may need for annotations of its own. Imported by nobody but whoever asks for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

from .._system import real_socket

RecvItem: TypeAlias = bytes | BaseException | type[BaseException] | Callable[[], bytes]
"""What a `MockSocket` reads: bytes, a callable that returns them, an exception to raise."""

ClientItem: TypeAlias = real_socket | BaseException | type[BaseException] | Callable[[], real_socket]
"""What a `ListenSocket` accepts: a socket, a callable that returns one, an exception to raise."""


class HasFileno(Protocol):
    """What `selectors` takes for a file object, beside a number."""

    def fileno(self) -> int: ...


Ready: TypeAlias = int | HasFileno | tuple[int | HasFileno, int]
"""A file object that is readable, or one with a mask."""


class Several(Protocol):
    """A list, a tuple, a set of what is ready. Not bytes, which are numbers, too: they do not contain just anything."""

    def __iter__(self) -> Iterator[Ready]: ...
    def __contains__(self, thing: object, /) -> bool: ...


EventItem: TypeAlias = Ready | Several | Iterator[Ready]
"""What one `select()` of a `MockSelector` returns: what is ready, or several of that; nothing: it times out."""

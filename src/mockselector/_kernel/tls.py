"""What a kernel's part in TLS would be: how OpenSSL reads records from a connection, and what they take of its buffer.

Owns where a record begins and ends (RFC 8446, 5.1), and how many bytes of plain text a buffer of ciphertext holds.
Knows nothing of `ssl`: whoever encrypts and decrypts is in the files above.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Buffer(Protocol):
        """Where bytes arrive."""

        capacity: int
        size: int


_HEADER: Final = 5
"""How long the head of a record is: its type, the version, and how much follows."""

RECORD: Final = 16384
"""How many bytes of plain text a record holds at most."""


class Records:
    """How far records were read. OpenSSL reads the head of one, then exactly what belongs to it, and never ahead."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0  # of the record, behind its head

    def wants(self) -> int:
        """How many bytes it would read now."""
        return self._left or _HEADER - len(self._head)

    def took(self, data: bytes) -> None:
        """So many it has got."""
        if self._left:
            self._left -= len(data)
            return
        self._head += data
        if len(self._head) == _HEADER:
            head, self._head = self._head, b""
            self._left = int.from_bytes(head[3:], "big")
            if head[0] & 0x80 and head[2] == 1:  # a greeting as SSL 2 had it, of which two bytes are the head
                self._left = int.from_bytes(head[:2], "big") - 0x8000 - (_HEADER - 2)


class Veil:
    """What is over a connection where TLS is read: its buffer holds so much plain text, however long the ciphertext is.

    How long that is differs from run to run, and a run must not.
    """

    __slots__ = ("_added", "_beside", "_read", "_stream", "decrypted", "left")

    def __init__(self, stream: Buffer, decrypted: Callable[[], int], left: Callable[[], bytes]) -> None:
        self._stream: Final = stream
        self._added = stream.size  # bytes that were put there
        self._read = 0
        self._beside: Final[deque[tuple[int, int]]] = deque()  # where each record ends, and what of it is no plain text
        self.decrypted: Final = decrypted
        """How many bytes were read from the connection, and not by the program."""
        self.left: Final = left
        """All that has come and was not read by the program, as plain text; nothing can be read after that."""

    def adds(self, length: int, plain: int) -> None:
        """A record is about to be put there."""
        self._added += length
        self._beside.append((self._added, length - plain))
        self._stream.capacity += length - plain

    def reads(self, length: int) -> None:
        """So many bytes were taken from there."""
        self._read += length
        while self._beside and self._beside[0][0] <= self._read:
            self._stream.capacity -= self._beside.popleft()[1]

    def drop(self) -> None:
        """From now on what comes is no TLS any more."""
        while self._beside:
            self._stream.capacity -= self._beside.popleft()[1]

    @property
    def size(self) -> int:
        """How many bytes of plain text have come and were not read by the program."""
        return max(self._stream.size - sum(beside for _, beside in self._beside), 0) + self.decrypted()

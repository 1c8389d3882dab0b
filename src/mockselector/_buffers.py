"""Buffers of the program: looked at where they are, copied only as far as they are used, and let go of.

Owns how a call sees what it was given to send or to fill (`Given`, `flat`), what a short `send()` has
left to be sent (`Owed`), and that an exception keeps nothing of all that: whoever gave a `bytearray`
may resize it as soon as the call is over, as with the kernel. Knows no socket.
"""

from __future__ import annotations

from bisect import bisect_right

from ._text import BYTES_SHOWN
from ._whose import INSIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeAlias

    from typing_extensions import Buffer, Self

    from ._text import Kept

    Outgoing: TypeAlias = "bytes | Given | Rest"
    """What is to be sent: it has a length, and slices of it are bytes."""

AHEAD: Final = 1024
"""How many bytes that were not taken are compared, too, with those that must come next."""


def flat(buffer: Buffer) -> memoryview:
    """A buffer as bytes, whatever it is made of; to be released. BufferError if it does not lie in one piece."""
    view = memoryview(buffer)
    try:
        return view.cast("B")
    except (TypeError, ValueError):  # of several dimensions, one of which is empty, or items that no `cast()` knows
        from pickle import PickleBuffer  # here: hardly anybody needs it

        return PickleBuffer(view).raw()


class Given:
    """Buffers that a call was given, one after the other: a slice of them is a copy of these bytes alone.

    Used as `with Given(...) as given:`; after that it has let go of them.
    """

    __slots__ = ("_starts", "_views", "size")

    def __init__(self, *buffers: Buffer) -> None:
        self._views: Final[list[memoryview]] = []
        self._starts: Final[list[int]] = []
        self.size = 0
        try:
            for buffer in buffers:
                view = flat(buffer)
                self._views.append(view)
                self._starts.append(self.size)
                self.size += len(view)
        except BaseException:
            self.release()
            raise

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> bytes:
        start, end, _ = part.indices(self.size)
        if len(self._views) == 1:
            return bytes(self._views[0][start:end])
        number = max(bisect_right(self._starts, start) - 1, 0)
        pieces: list[bytes] = []
        while start < end:
            view, begin = self._views[number], self._starts[number]
            pieces.append(bytes(view[start - begin : end - begin]))
            start = begin + len(view)
            number += 1
        return b"".join(pieces)

    def fill(self, data: bytes) -> None:
        """Put bytes into them, from the first on."""
        for view, begin in zip(self._views, self._starts, strict=True):
            if begin >= len(data):
                return  # an empty buffer, which has no part in it, is none of those behind it
            part = data[begin : begin + len(view)]
            view[: len(part)] = part

    def release(self) -> None:
        """Let go of them."""
        for view in self._views:
            view.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Rest:
    """What is left of something to be sent, from some byte on."""

    __slots__ = ("_of", "start")

    def __init__(self, of: bytes | Given) -> None:
        self._of: Final = of
        self.start = 0

    def __len__(self) -> int:
        return len(self._of) - self.start

    def __getitem__(self, part: slice) -> bytes:
        start, end, _ = part.indices(len(self))
        return self._of[self.start + start : self.start + end]


class Owed:
    """What a short `send()` has left to be sent: the bytes that must come next."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: Outgoing, taken: int) -> None:
        # What cannot change is kept as it is; of anything else, a copy is made, once.
        self._data: bytes | bytearray = data if isinstance(data, bytes) else data[taken:]
        self._at = taken if isinstance(data, bytes) else 0

    def __len__(self) -> int:
        return len(self._data) - self._at

    def goes_on_with(self, data: Outgoing, taken: int) -> bool:
        """Whether `data`, of which so much was taken, is what must come: only that much is compared, or little more."""
        size = min(len(self), len(data), max(taken, AHEAD))
        return data[:size] == self._data[self._at : self._at + size]

    def pay(self, data: Outgoing, taken: int) -> bool:
        """So much of `data` was taken, whose beginning is owed; returns whether anything is owed now."""
        if len(data) > len(self):
            more = data[len(self) :]
            if not isinstance(self._data, bytearray):
                self._data = bytearray(self._data[self._at :])
                self._at = 0
            self._data += more
        self._at += taken
        if isinstance(self._data, bytearray):
            del self._data[: self._at]  # takes no time: the rest stays where it is
            self._at = 0
        return len(self) > 0


def excerpt_of(data: Outgoing, taken: int) -> Kept:
    """What a row keeps of what was sent: all of what is short and was taken whole, else its start, and two lengths."""
    if taken == len(data) <= BYTES_SHOWN:
        return data[:]
    return data[:BYTES_SHOWN], len(data), taken


def let_go(error: BaseException) -> None:
    """Clear the frames of ours through which an exception has come to its caller.

    Whoever keeps the exception keeps them, and their variables would keep buffers of the program
    exported, where the kernel has let go of them.
    """
    step = error.__traceback__.tb_next if error.__traceback__ is not None else None  # the first is the caller's own
    while step is not None:
        if step.tb_frame.f_code.co_filename in INSIDE:
            try:
                step.tb_frame.clear()
            except RuntimeError:  # it runs: the exception was raised before, further out
                pass
        step = step.tb_next

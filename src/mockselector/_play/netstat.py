"""The sockets of a scenario as a table, as `netstat` would show them.

Owns the rows and their text. Knows nothing of where they come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from .._judge.trace import mask_text

if TYPE_CHECKING:
    from typing import overload

MOST: Final = 12
"""How many sockets an error shows."""


class SocketRow(NamedTuple):
    """One socket of the server, or a peer that has none yet."""

    name: str
    state: str
    """As the rule catalogue names the phases; "peer closed", "peer reset" if the server has not read that yet."""
    interest: str
    """What it is registered for: READ, WRITE, READ|WRITE; "" if it is registered nowhere."""
    unread: int
    """Bytes that the server has not read; of a listener, connections not accepted."""
    unsent: int
    """Bytes that the peer has not read."""
    script: str
    """What the peer does now, and how far it is in its script."""


class SocketTable(Sequence[SocketRow]):
    """All open sockets; `print()` shows them as a table."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Sequence[SocketRow]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> SocketRow: ...
        @overload
        def __getitem__(self, index: slice) -> Sequence[SocketRow]: ...

    def __getitem__(self, index: int | slice) -> SocketRow | Sequence[SocketRow]:
        return self._rows[index]

    def __str__(self) -> str:
        return _aligned(self._rows)

    def about(self, name: str) -> str:
        """What an error shows of it: the socket that it is about, and some of the others."""
        wanted = next((number for number, row in enumerate(self._rows) if row.name == name), MOST - 1)
        if len(self._rows) <= MOST + 1:
            return str(self)
        numbers = sorted({*range(MOST - 1), wanted})
        return f"{_aligned([self._rows[number] for number in numbers])}\n... and {len(self) - len(numbers):,} more"

    def __repr__(self) -> str:
        return f"<SocketTable of {len(self)} sockets>"


def _aligned(rows: Sequence[SocketRow]) -> str:
    lines = [tuple(map(str, row)) for row in (SocketRow._fields, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def interest_text(mask: int) -> str:
    """A mask as the table shows it."""
    return mask_text(mask) if mask else ""

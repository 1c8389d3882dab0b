"""Tables that `print()` shows: sequences of rows, aligned.

Owns how they look. Knows nothing of what is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

if TYPE_CHECKING:
    from typing import overload

Row = TypeVar("Row", bound="tuple[Any, ...]")  # Any: whatever its columns are

MOST: Final = 12
"""How many rows an error shows."""


class Table(Sequence[Row]):
    """Rows of one kind."""

    __slots__ = ("_rows",)

    _heads: ClassVar[tuple[str, ...]] = ()
    _what: ClassVar[str] = "rows"

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> Row: ...
        @overload
        def __getitem__(self, index: slice) -> Sequence[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        return self._rows[index]

    def __str__(self) -> str:
        return self._aligned(self._rows)

    def about(self, name: str) -> str:
        """What an error shows of it: the row that it is about, and some of the others."""
        wanted = next((number for number, row in enumerate(self._rows) if row[0] == name), MOST - 1)
        if len(self._rows) <= MOST + 1:
            return str(self)
        numbers = sorted({*range(MOST - 1), wanted})
        return f"{self._aligned([self._rows[number] for number in numbers])}\n... and {len(self) - len(numbers):,} more"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} {self._what}>"

    def _aligned(self, rows: Sequence[Row]) -> str:
        lines = [self._heads, *[tuple(map(str, row)) for row in rows]]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

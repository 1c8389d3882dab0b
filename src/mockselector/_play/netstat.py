"""The sockets of a scenario as a table, as `netstat` would show them.

Owns the rows. Knows nothing of where they come from.
"""

from __future__ import annotations

from typing import NamedTuple

from .._judge.trace import mask_text
from .tables import Table


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


class SocketTable(Table[SocketRow]):
    """All open sockets; `print()` shows them as a table."""

    __slots__ = ()

    _heads = SocketRow._fields
    _what = "sockets"


def interest_text(mask: int) -> str:
    """A mask as the table shows it."""
    return mask_text(mask) if mask else ""

"""What a short `send()` has left to be sent: whether it is, or is lost.

Owns `[short-send-lost]`: the bytes that each socket still owes, and the moments at which it turns out that they do
not come.
"""

from __future__ import annotations

from selectors import EVENT_WRITE

from .._buffers import Owed
from .errors import Finding
from .rules import AT_END, ENDED, LOST
from .tail import in_thread
from .trace import WIDTH, caller, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Final

    from .._buffers import Outgoing
    from .idling import Idling
    from .records import Door, Record

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class ShortSends:
    """Which sockets owe the rest of a short `send()`."""

    __slots__ = ("_door", "_idling", "owing")

    def __init__(self, door: Door, idling: Idling) -> None:
        self._door: Final = door
        self._idling: Final = idling
        self.owing: Final[dict[Record, None]] = {}
        """Which sockets do."""

    def absorb(self, other: ShortSends) -> None:
        """Take over those of another run."""
        self.owing.update(other.owing)

    def sent(self, record: Record, data: Outgoing, taken: int) -> None:
        """`send()` took `taken` bytes of `data`. What it did not take must be sent next."""
        unsent = record.unsent
        if unsent is not None and not unsent.goes_on_with(data, taken):
            self._lost(record, "sent something else", caller(2))
            unsent = None
        if len(data) and not taken:
            self._idling.in_vain(record.name, "send", record)
        if taken < len(data):
            record.short = (taken, len(data))
            record.short_at = (len(self._door.rows) - WIDTH, self._door.running)
        if unsent is None:
            record.unsent = Owed(data, taken) if taken < len(data) else None
        elif not unsent.pay(data, taken):
            record.unsent = None
        record.asleep = False
        record.tried_on = unsent is not None
        if record.unsent is not None:
            self.owing[record] = None
        else:
            self.owing.pop(record, None)

    def asks(self, record: Record, mask: object) -> None:
        """A socket that owes something is registered: whoever was told so, and asks for room, knows of it.

        (Nothing was taken, and something is owed: that is so of TLS alone, as the beginning of a record may be out.)
        """
        if not record.short[0] and isinstance(mask, int) and mask & EVENT_WRITE:
            record.tried_on = True

    def sleep(self) -> None:
        """The server goes to sleep: does it wait for room? (Not for a thread that sends: that goes on by itself.)"""
        for record in self.owing:
            if self._door.interest(record) & EVENT_WRITE:
                record.tried_on = True
            elif record.short_at[1] == self._door.running:
                record.asleep = True

    def closes(self, record: Record, frame: FrameType) -> None:
        """A socket is about to be closed."""
        gave_up = record.phase in LOST or record.tried_on  # knowing that something was left
        if record.unsent and not self._door.ended and (record.asleep or not gave_up):
            self._lost(record, "closed", frame)

    def judge_unsent(self, record: Record, operation: str, name: str) -> None:
        """The peer waits in vain: for what a short `send()` has left to be sent?"""
        waits = self._door.interest(record) & EVENT_WRITE
        if (
            record.unsent
            and record.phase not in (*ENDED, *LOST)
            and not waits
            and self._door.in_force("short-send-lost", record)
        ):
            self._door.breach(
                Finding("short-send-lost", record.name, _fields(record, "went to sleep")), operation, name
            )

    def left(self, record: Record, held: int) -> Iterator[Finding]:
        """At the end of the run; `held`: for what it was registered."""
        lost = record.unsent and record.phase not in (*LOST, "closed") and not held & EVENT_WRITE
        if lost and self._door.in_force("short-send-lost", record):
            yield Finding("short-send-lost", record.name, _fields(record, AT_END))

    def _lost(self, record: Record, moment: str, frame: FrameType) -> None:
        record.unsent = None
        door, (at, thread) = self._door, record.short_at
        by_another = thread != door.running and moment != "closed" and door.whose is not None
        if by_another and door.in_force("used-by-two", record):
            door.append("send", record.name, None, frame)
            door.raise_violation(self._mixed(record, at))
        elif door.in_force("short-send-lost", record):
            who = _whose(door, at) if by_another else ""
            note = f"{who} has the rest still to send, and another thread has sent meanwhile." if who else ""
            door.append("close" if moment == "closed" else "send", record.name, None, frame)
            door.raise_violation(Finding("short-send-lost", record.name, _fields(record, moment), note=note))

    def _mixed(self, record: Record, at: int) -> Finding:
        """Another thread sends while one has the rest of a send() still to send."""
        who, (taken, given) = _whose(self._door, at), record.short
        what = f"{who} has yet to send what send() did not take, {given - taken} of {given} bytes"
        way = ((in_thread("sends", who), place(*self._door.rows[at + 4 : at + WIDTH])),)
        return Finding("used-by-two", record.name, {"used": "written to", "what": what}, way=way)


def _whose(door: Door, at: int) -> str:
    """Which thread's row that is."""
    return "" if door.whose is None else door.whose.at(at // WIDTH)


def _fields(record: Record, moment: str) -> dict[str, str]:
    taken, given = record.short
    return {"taken": str(taken), "given": str(given), "moment": moment}

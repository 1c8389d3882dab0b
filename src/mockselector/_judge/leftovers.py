"""What is left at the end of a run: of the script, and of what the server has opened.

Owns what is judged when all is over and nobody has found it before: `[undelivered-event]`, `[unread-data]` and its
kind, `[leaked-connection]` of an event list, `[unclosed-at-exit]`.
"""

from __future__ import annotations

from .errors import Finding
from .rules import ENDED, GONE, LOST
from .trace import WIDTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Final

    from .records import Door, Record
    from .rules import RuleId
    from .short_sends import ShortSends
    from .sleeping import Sleeping

NEVER_USED: Final = (
    "Nothing ever called select() on this selector. Did the server get it? Patch the name that the server looks up:"
    ' for one that says `from selectors import DefaultSelector`, patch("server.DefaultSelector").'
)

DROPPED: Final = (
    "Nothing called close() on it: it was closed when nothing referred to it any more, which is a ResourceWarning in"
    " production."
)

IN_TIME: Final = (
    "After the last step of its scripts a run goes on for as long as grace= says (60 s, if it does not); a server that"
    " is right to {} it later needs more."
)
"""What a server may say that was ended, and has not returned."""

_OF_NO_PEER: Final = ("new", "bound", "listening")
"""Phases of a socket without another end."""


class Leftovers:
    """What nobody has seen to."""

    __slots__ = ("_door", "_held", "_short_sends", "_sleeping")

    def __init__(self, door: Door, sleeping: Sleeping, short_sends: ShortSends) -> None:
        self._door: Final = door
        self._sleeping: Final = sleeping
        self._short_sends: Final = short_sends
        self._held: dict[Record, int] = {}  # what was registered for what when the script was at its end

    def hold(self) -> None:
        """The script is at its end: what is registered now, the server has held until then."""
        self._held = {record: self._door.interest(record) for record in self._door.records}

    def of_the_script(self, undelivered: str | None, *, gone: bool) -> Iterator[Finding]:
        yield from self._sleeping.never_slept()
        yield from self._sleeping.never_woken_again()
        if undelivered is not None and self._door.in_force("undelivered-event"):
            used = "select" in self._door.rows[::WIDTH]
            note = f"It is event {self._door.events + 1} of the script." if used else NEVER_USED
            yield Finding("undelivered-event", None, {"left": undelivered}, note=note)
        for record in self._door.records:
            held = self._held.get(record, 0) | self._door.interest(record)
            yield from self._short_sends.left(record, held)
            if (record.phase in ENDED or record.phase in LOST) and not held and not gone:
                yield from self._if_in_force("leaked-connection", record)
            left = record.script._leftover() if record.script is not None else None
            if left is not None and record.script is not None and record.phase not in LOST:
                fields, note = record.script._about_left(record.name)
                if not note and not gone and self._door.level_triggered:
                    note = IN_TIME.format("accept" if left[0] == "unaccepted-connection" else "read")
                yield from self._if_in_force(left[0], record, {"left": left[1], **fields}, note=note)

    def open_sockets(self, open_selectors: Collection[str]) -> Iterator[Finding]:
        left = [one for one in self._door.records if one.script is not None and (one.dropped or one.phase not in GONE)]
        for record in sorted(left, key=lambda one: one.phase in _OF_NO_PEER):  # what is about peers comes first
            note = DROPPED if record.dropped else ""
            yield from self._if_in_force("unclosed-at-exit", record, note=note)
        if self._door.in_force("unclosed-at-exit"):
            for name in open_selectors:
                yield Finding("unclosed-at-exit", name)

    def _if_in_force(
        self, rule: RuleId, record: Record, fields: Mapping[str, str] | None = None, *, note: str = ""
    ) -> Iterator[Finding]:
        if self._door.in_force(rule, record):
            yield Finding(rule, record.name, fields, note=note)

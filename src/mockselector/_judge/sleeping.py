"""What is judged when a server goes to sleep: whether it has seen to what has changed since it last did.

Owns which sockets have changed, which are to be judged by another selector than the one in which the server sleeps,
and which were at their end when it slept; and with that `[accepted-not-registered]`, `[closed-still-registered]` and
`[eof-ignored]`.
"""

from __future__ import annotations

from selectors import EVENT_READ

from .._text import several
from .errors import Finding
from .left_alone import LeftAlone
from .rules import ENDED, at_sleep
from .trace import WIDTH, caller, row_at, row_text
from .watching import interest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Final

    from .records import Door, Record
    from .rules import Breach, RuleId
    from .watching import Watch

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

READABLE_AGAIN: Final = (
    "The event list ends here. If the server deals with the end when select() next returns the socket, add that event."
)

CLOSED_IN_POLL: Final = {
    "selector": "poll object",
    "clash": "which is then watched as this one was; until then poll() says POLLNVAL at once, at 100 % CPU",
}

POLLS_TO_SETTLE: Final = 2
"""How many polls a loop may take to do about a socket what must be done: asyncio takes two."""


class Sleeping:
    """What is to be judged when the server next sleeps."""

    __slots__ = (
        "_at", "_door", "_paused_at", "_seen_at", "_selects", "_woken", "changed", "ended", "later", "left",
        "postponed",
    )  # fmt: skip

    def __init__(self, door: Door) -> None:
        self._door: Final = door
        self.changed: dict[Record, int] = {}
        """What changed since how many entries of the rows."""
        self.postponed: Final[dict[str | int, dict[Record, int]]] = {}
        """Likewise, to be judged once the server sleeps in the selector of that name, or the thread of that number."""
        self.left: Final = LeftAlone(door)
        """What was accepted, and left by who went to sleep."""
        self.ended: Final[dict[str, Record]] = {}
        """With whose end read the server went to sleep, by name."""
        self._at = 0  # how far the rows were searched for what woke it again ...
        self._woken: Final[dict[str, int]] = {}  # ... and where that was, if nothing was done about it yet
        self._selects = 0  # how many there were when the server last slept ...
        self._paused_at = 0  # ... and how long the trace was
        self._seen_at: Final[dict[Record, int]] = {}  # how many there were when it first slept with that one changed

    def absorb(self, other: Sleeping) -> None:
        """Take over what another run had to judge."""
        self.changed |= other.changed
        for selector, postponed in other.postponed.items():
            self.postponed.setdefault(selector, {}).update(postponed)
        ended = (*self.ended.values(), *other.ended.values())
        self.ended.clear()
        self.ended.update({record.name: record for record in ended})
        self._at = len(self._door.rows)
        self._woken.clear()

    def gone(self, record: Record) -> None:
        """A socket is closed: its end is dealt with."""
        if not record.dropped:
            self.left.forget(record)
        if self.ended.pop(record.name, None) is not None:
            self._woken.pop(record.name, None)

    def sleep(self, watch: Watch) -> None:
        """The server goes to sleep in a `select()`: judge what has changed since it last did.

        What is registered with another selector is judged when the server sleeps in that one.
        """
        if self.ended:
            self._judge_ended((watch,), 0, "select", watch.name)
        if self.changed or self.postponed:
            changed = {**self.postponed.pop(watch.name, {}), **self.changed}
            if self._door.whose is not None:
                changed = self._of_this_thread({**self.postponed.pop(self._door.running, {}), **changed})
            self.changed = {}
            left = {
                record: since
                for record, since in changed.items()
                if self._judge_asleep(record, since, (watch,), "select", watch.name)
            }
            self._leaves(left)

    def _of_this_thread(self, changed: dict[Record, int]) -> dict[Record, int]:
        """What another thread has accepted is for when that one sleeps; what this one leaves is judged later."""
        left: dict[Record, int] = {}
        for record, since in changed.items():
            if record.accepted and not record.ever_registered and record.phase == "connected":
                if record.thread == self._door.running:
                    left[record] = since
                else:
                    self.postponed.setdefault(record.thread, {})[record] = since
        if left:
            self.left.sleeps(left, caller(4))
        return changed

    def pause(self) -> None:
        """The server sleeps by `time.sleep()`: judge what a loop that polls has had time to do.

        One that has threads may sleep in one of them, and that says nothing of the others.
        """
        if self._door.whose is not None:
            return
        operations, names = self._door.rows[self._paused_at :: WIDTH], self._door.rows[self._paused_at + 1 :: WIDTH]
        polled = {name for operation, name in zip(operations, names, strict=True) if operation == "select"}
        self._selects += operations.count("select")
        self._paused_at = len(self._door.rows)
        if self.ended:
            ended = {watch for record in self.ended.values() for watch in record.watches}
            self._judge_ended({one for one in ended if one.name in polled}, POLLS_TO_SETTLE, "sleep", "time")
        for name in sorted(polled & self.postponed.keys()):
            self.changed = {**self.postponed.pop(name), **self.changed}
        left: dict[Record, int] = {}
        for record, since in tuple(self.changed.items()):
            if self._selects - self._seen_at.setdefault(record, self._selects) > POLLS_TO_SETTLE:
                del self.changed[record], self._seen_at[record]
                watches = tuple(watch for watch in record.watches if watch.name in polled)
                if self._judge_asleep(record, since, watches, "sleep", "time"):
                    left[record] = since
        self._leaves(left)

    def _at_sleep(self, record: Record, watches: tuple[Watch, ...]) -> RuleId | None:
        """The rule in force that a socket breaks if the server goes to sleep in these selectors now."""
        rule = at_sleep(
            record.phase,
            accepted=record.accepted,
            ever_registered=record.ever_registered,
            interest=interest(record, watches),
        )
        if rule == "accepted-not-registered" and self._door.whose is not None:
            return None  # it may be another thread's, or wait in a queue for one: see `left`
        return rule if rule is not None and self._door.in_force(rule, record) else None

    def _judge_asleep(self, record: Record, since: int, watches: tuple[Watch, ...], call: str, name: str) -> bool:
        """Whether the server leaves one that it has accepted, which is to be judged when nothing has come of it."""
        rule = self._at_sleep(record, watches)
        leaves = rule == "accepted-not-registered" and self._door.level_triggered
        if rule == "eof-ignored":
            if not self.ended:
                self._at = len(self._door.rows)
            self.ended[record.name] = record  # at its end, it is readable: what is done about it then?
        elif rule is not None and not leaves:
            self._door.append(call, name, None, caller(3))
            note = self._registered_instead(since) if rule == "accepted-not-registered" else ""
            fields = CLOSED_IN_POLL if rule == "closed-still-registered" and name.startswith("poll") else None
            self._door.raise_violation(Finding(rule, record.name, fields, note=note))
        if record.phase == "closed" or record.phase in ENDED:
            for watch in record.watches:
                if watch not in watches:
                    self.postponed.setdefault(watch.name, {})[record] = since
        return leaves

    def _leaves(self, left: dict[Record, int]) -> None:
        """These were accepted since so many entries, and nobody is told of them.

        Whatever wakes the server, it may come to one then: a place is free, a backend answers, a second one comes.
        """
        if not left:
            return
        first = min(left.values())
        read = self._moved("recv", first)  # sock_recv() selects nothing where data is there
        instead = self._registered_instead(first) if len(left) == 1 else ""  # of many, nobody knows in whose place
        unread = {record: since for record, since in left.items() if record.name not in read}
        if unread:
            self.left.sleeps(unread, caller(3), instead)

    def tolerates(self, cell: Breach, record: Record) -> bool:
        """Whether a step that breaks a rule is no harm this once.

        A protocol's layers may each have to see the end for themselves; and whoever has met it behind the
        last data is woken by it once more, and deals with it then.
        """
        if cell.rule != "read-past-eof":
            return cell.by == self._door.running
        record.past_eof += 1
        again = not self._door.pedantic or record.name in self.ended
        return record.past_eof <= (self._door.spare_reads if again else 0)

    def _judge_ended(self, watches: Collection[Watch], selects: int, call: str, name: str) -> None:
        """Judge those with whose end read the server has slept before, and by whom it was woken again.

        selects: more than so many `select()`s must have come and gone since.
        """
        self._find_woken()
        for ended, at in tuple(self._woken.items()):
            record = self.ended[ended]
            if self._at_sleep(record, record.watches) != "eof-ignored":
                del self._woken[ended], self.ended[ended]  # it was dealt with
            elif self._moved_since("send", at, ended):
                del self._woken[ended]  # there is output to be sent first
            elif (
                self._at_sleep(record, tuple(one for one in watches if one in record.watches)) == "eof-ignored"
                and self._door.rows[at::WIDTH].count("select") > selects
            ):
                self._door.append(call, name, None, caller(3))
                self._door.raise_violation(Finding("eof-ignored", ended))

    def _find_woken(self) -> None:
        """Who of those that have ended was reported to be readable since the last look."""
        rows = self._door.rows
        for at in range(self._at, len(rows), WIDTH):
            if rows[at] == "select" and isinstance(rows[at + 2], tuple):
                for name, mask in rows[at + 2]:
                    if mask & EVENT_READ and name in self.ended:
                        self._woken.setdefault(name, at)
        self._at = len(rows)

    def _moved_since(self, operation: str, at: int, name: str) -> bool:
        """Whether the server has sent to a socket, or received from it, a byte at least."""
        return name in self._moved(operation, at)

    def _moved(self, operation: str, at: int) -> set[str]:
        """All those of which that is so."""
        rows = self._door.rows
        calls = zip(rows[at::WIDTH], rows[at + 1 :: WIDTH], rows[at + 2 :: WIDTH], strict=True)
        return {who for call, who, detail in calls if call == operation and detail and not isinstance(detail, type)}

    def never_woken(self, watch: Watch) -> None:
        """The server sleeps, and the event list has no more events: judge those at their end without one."""
        for record in self.ended.values():
            if not record.through_file and self._at_sleep(record, (watch,)) == "eof-ignored":
                self._door.append("select", watch.name, None, caller(2))
                self._door.raise_violation(Finding("eof-ignored", record.name, note=READABLE_AGAIN))

    def _registered_instead(self, since: int) -> str:
        """What was registered since a socket was accepted: the wrong one, perhaps."""
        rows = self._door.rows
        registers = [at for at in range(since, len(rows), WIDTH) if rows[at] in ("register", "modify")]
        others = [row_text(row_at(rows, at // WIDTH)) for at in registers]
        return f"In between, the server called {several(others)}." if others else ""

    def never_slept(self) -> Iterator[Finding]:
        """A loop that only ever polled did not go to sleep."""
        changed = {record: since for one in (*self.postponed.values(), self.changed) for record, since in one.items()}
        if not changed:
            return
        rows = self._door.rows

        def often(name: str, since: int) -> bool:
            """By that selector; "": by any."""
            left = POLLS_TO_SETTLE
            for at in range(len(rows) - WIDTH, since - 1, -WIDTH):  # from the end, where there are most
                if rows[at] == "select" and name in ("", rows[at + 1]):
                    if not left:
                        return True
                    left -= 1
            return False

        for record, since in changed.items():
            rule = self._at_sleep(record, tuple(watch for watch in record.watches if often(watch.name, since)))
            if rule == "accepted-not-registered" and self._moved_since("recv", since, record.name):
                continue
            if rule is not None and often("", since):
                yield Finding(rule, record.name, at_end=True)

    def never_woken_again(self) -> Iterator[Finding]:
        """Who was at its end when the server slept, if the event list did not come back to it."""
        if self._door.level_triggered or not self.ended:
            return
        self._find_woken()
        for name, record in self.ended.items():
            if name not in self._woken and self._at_sleep(record, record.watches) and not record.through_file:
                yield Finding("eof-ignored", name, note=READABLE_AGAIN, at_end=True)

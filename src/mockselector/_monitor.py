"""The door: everything that a server does to a socket or selector in strict mode passes here.

Owns the state of a run (a `Record` per socket, the trace, the violation that ended it) and
`Monitor.perform`, through which every operation goes: look up its cell, refuse or take the step,
append a row, return. Check first, then mutate: a refused operation changes nothing but the trace.
Knows the tables and the texts; knows no socket and no selector class. What data a socket has is
the socket's business, and where events come from the selector's.
"""

from __future__ import annotations

import os
import sys
from _thread import get_ident
from errno import ETIMEDOUT
from selectors import EVENT_READ, EVENT_WRITE

from ._errors import Finding, scenario_error
from ._rules import AT_END, ENDED, GONE, LIFE, LOST, MEMBERSHIP, QUIET, RULES, Breach, NotSimulated, at_sleep
from ._trace import WIDTH, Trace, caller, mask_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from selectors import SelectorKey
    from types import FrameType
    from typing import Any, Final, NoReturn, Protocol

    from ._errors import ScenarioError
    from ._rules import Cell, Operation, Phase, Registration, RuleId
    from ._trace import Place, Row, Rows

    class Script(Protocol):
        """What stands behind a socket: the part of the script that it plays."""

        def _leftover(self) -> tuple[RuleId, str] | None:
            """The rule that what is left of the script breaks, and what is left; None: nothing."""
            ...

        def _made_at(self) -> Place:
            """Where the script was written."""
            ...

        def _about_left(self, name: str) -> tuple[Mapping[str, str], str]:
            """For the texts on what is left of it: more fields, and a note."""
            ...

        def _why_nothing(self, name: str) -> str:
            """Why there is nothing to read or accept."""
            ...

        def _announce(self) -> None:
            """A READ event is delivered: one more item of the script is there to be read."""
            ...

        def _replaced(self) -> bool:
            """Whether the test has put its own function in the place of one that reads."""
            ...


NEVER_USED: Final = (
    "Nothing ever called select() on this selector. Did the server get it? Patch the name that the server looks up:"
    ' for one that says `from selectors import DefaultSelector`, patch("server.DefaultSelector").'
)

THE_END: Final = "the end of the script"

POLLS_TO_SETTLE: Final = 2
"""How many polls a loop may take to do about a socket what must be done: asyncio takes two."""

IN_VAIN: Final = 1000
"""How many calls in a row may come to nothing without a `select()`."""

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class Record:
    """What is known of one socket in a run."""

    __slots__ = (
        "accepted", "allow", "asleep", "ever_registered", "monitor", "moves", "name", "named", "note", "number",
        "phase", "past_eof", "readable", "tried_on", "script", "short", "through_file", "unsent",
    )  # fmt: skip

    name: str
    note: Callable[[Row], None]
    readable: tuple[tuple[str, int], ...]

    def __init__(
        self, monitor: Monitor, name: str, phase: Phase, number: int, allow: frozenset[RuleId], script: Script | None
    ) -> None:
        self.monitor = monitor
        self.note = monitor.note
        self.named = True  # False: it goes by a role that may turn out to be another
        self.rename(name)
        self.phase: Phase = phase
        self.moves: Mapping[Operation, Cell] = LIFE[phase]
        self.number = number
        self.allow = allow
        self.script = script
        self.accepted = False
        self.asleep = False  # whether the server went to sleep and did not ask for room for `unsent`
        self.tried_on = False  # whether it has tried again, or waited for room, or was told by an exception
        self.past_eof = 0  # how often it was read after its end had been read
        self.through_file = False  # whether a `makefile()` has met the end, and its reader may not have seen it
        self.ever_registered = False
        self.unsent: bytes | None = None  # what a short send() has left to be sent
        self.short: tuple[int, int] = (0, 0)  # what that send() took, of how much

    def rename(self, name: str) -> None:
        self.name = name
        self.readable = ((name, EVENT_READ),)  # what a row keeps of the commonest select()


class Monitor:
    """One run under strict mode: its sockets, its selectors, its trace and its first violation."""

    def __init__(self, script: Place | None, *, allow: Collection[RuleId] = (), pedantic: bool = False) -> None:
        self.script = script
        self.allow = frozenset(allow)
        self.pedantic = pedantic
        self.rows: Rows = []
        self.note = self.rows.extend
        self.now = 0
        self.records: list[Record] = []
        self.maps: list[dict[int, SelectorKey]] = []
        self.violation: BaseException | None = None  # a finding, a refusal, or what a step has raised
        self.finished = False
        self._names: dict[str, int] = {}
        self._foreign: dict[int, tuple[object, Record]] = {}
        self.changed: dict[Record, int] = {}  # what `sleep` has to judge: since how many entries of `rows`
        self.unsent: dict[Record, None] = {}  # whose rest of a short `send()` is still to be sent
        self.returned = False  # whether the last select() returned anything
        self.ended = False  # whether the script came to its end, or was given up
        self.thread = 0  # the server's
        self.limit = sys.maxsize  # how long the trace may grow at one instant ...
        self.spins: Callable[[], None] = _nothing  # ... before this is called
        self.spare_reads = 0  # how often a socket may be read after its end
        self.idle_wakes = 1  # how many `select()`s in a row with nothing done about them are a busy loop
        self.give_up: Callable[[], Callable[[], NoReturn] | None] | None = None  # a weak reference: how to end the run
        self._held: dict[Record, int] = {}  # what was registered for what when the script was at its end
        self._selects = 0  # how many there were when the server last slept ...
        self._paused_at = 0  # ... and how long the trace was
        self._seen_at: dict[Record, int] = {}  # how many there had been when it first slept with that socket changed
        self._vain = 0  # calls in a row that came to nothing
        self._vain_at = 0  # how long the rows were after the last of them
        self._vain_name: str = ""

    # -- who takes part ---------------------------------------------------------------------

    def admit(
        self,
        name: str | None,
        phase: Phase,
        number: int,
        *,
        role: str,
        allow: Collection[RuleId] = (),
        script: Script | None = None,
        known: bool = False,
    ) -> Record:
        """Let a socket into the run. It goes by `name`, else by its role and order.

        known: the name was given by `name_for` before.
        """
        name = name if known and name is not None else self.name_for(name, role)
        record = Record(self, name, phase, number, frozenset(allow), script)
        self.records.append(record)
        return record

    def rename(self, record: Record, name: str | None, role: str) -> None:
        """What a socket is for has turned out."""
        if not record.named:
            record.named = True
            record.rename(name or self.name_for(None, role))

    def name_for(self, name: str | None, role: str) -> str:
        """A name that nobody else has."""
        count = self._names.get(name or role, 0) + 1
        self._names[name or role] = count
        if name is None:
            return f"{role} {count}" if role == "client" or count > 1 else role
        return name if count == 1 else f"{name} ({count})"

    def admit_foreign(self, thing: object, role: str | None = None) -> Record:
        """Let in what is not ours (a real descriptor, a plain `Mock`): only its registration is seen."""
        known = self._foreign.get(id(thing))
        if known is None:
            number = number_of(thing)
            role = role or ("client" if number < 0 else f"descriptor {number}")
            record = self.admit(None, "connected", number, role=role)
            known = self._foreign[id(thing)] = (thing, record)  # kept, so that its id stays its own
        return known[1]

    def absorb(self, other: Monitor) -> None:
        """Take over another run, in which a socket of this one turned up: from now on, one run."""
        for record in other.records:
            record.monitor = self
            record.note = self.note
            if any(record.name == mine.name for mine in self.records):
                record.rename(self.name_for(record.name, ""))
        self.rows[:0] = other.rows  # in place: `note` is bound to it
        self.records += other.records
        self.maps += other.maps
        self._foreign |= other._foreign
        self.changed |= other.changed
        self.violation = self.violation or other.violation
        other.__dict__ = self.__dict__  # whoever holds the other one now holds this one

    # -- the door ---------------------------------------------------------------------------

    def perform(self, record: Record, operation: Operation, detail: object = None) -> None:
        """Take one step in a socket's life.

        Raises the `OSError` that production raises, a `ScenarioError` where a rule is broken that
        is in force, NotImplementedError where a network would be needed.

        `MockSocket.recv` and `send`, which every event passes, take the plainest step themselves:
        where the cell is None they append the same row. All else comes here.
        """
        cell = record.moves[operation]
        frame = caller(2)
        if cell is None:
            self._append(operation, record.name, detail, frame)
        else:
            self._step(record, operation, detail, cell, frame)

    def _step(self, record: Record, operation: Operation, detail: object, cell: Cell, frame: FrameType) -> None:
        """An operation that is refused, or changes the phase."""
        if isinstance(cell, Breach):
            if self.in_force(cell.rule, record) and not self._tolerates(cell.rule, record):
                self._append(operation, record.name, None, frame)
                self._in_vain(record.name, operation)
                fields = {"seconds": detail} if isinstance(detail, str) else None
                self.raise_violation(Finding(cell.rule, record.name, fields, note=self._why(record, operation)))
            self._append(operation, record.name, detail, frame)
            self._in_vain(record.name, operation)
            return
        if isinstance(cell, NotSimulated):
            raise NotImplementedError(
                f"{record.name}.{operation}() needs a network behind the socket, which an event list"
                " does not have; give the server a MockSocket that is already connected"
            )
        if isinstance(cell, int):
            record.tried_on = record.tried_on or operation.startswith("send")
            error = os_error(cell)
            self._append(operation.partition(":")[0], record.name, type(error), frame)
            self._in_vain(record.name, operation)
            raise error
        if operation == "close":
            self._close(record, frame)
        self._append(operation, record.name, detail, frame)
        if isinstance(cell, str):
            self.becomes(record, cell)

    def becomes(self, record: Record, phase: Phase) -> None:
        """A socket is in another phase: by its last step, or by what the network did."""
        record.phase = phase
        record.moves = LIFE[phase]
        self.changed[record] = len(self.rows)
        if phase in GONE and not self.interest(record):
            record.number = -1  # the next socket may be given it

    def _tolerates(self, rule: RuleId, record: Record) -> bool:
        """Whether this once is no harm: a protocol's layers may each have to see the end for themselves."""
        if rule != "read-past-eof" or self.pedantic:
            return False
        record.past_eof += 1
        return record.past_eof <= self.spare_reads

    def _close(self, record: Record, frame: FrameType) -> None:
        """What is judged before a socket is closed."""
        gave_up = record.phase in LOST or record.tried_on  # knowing that something was left
        if record.unsent and not self.ended and (record.asleep or not gave_up):
            self._short_send(record, "closed", frame)
        if self.interest(record) and self.in_force("close-before-unregister", record):
            self._append("close", record.name, None, frame)
            self.raise_violation(Finding("close-before-unregister", record.name))

    @staticmethod
    def _why(record: Record, operation: Operation) -> str:
        """What the script has to say to a call that finds nothing."""
        if operation not in ("recv:blocks", "accept:blocks") or record.script is None:
            return ""
        return record.script._why_nothing(record.name)

    def _in_vain(self, name: str, operation: str) -> None:
        """Count a call that came to nothing, its row just appended.

        A loop that makes nothing but such calls, and never a `select()`, would never end: after a
        thousand in a row it is told, and if it goes on, it is ended.
        """
        call = operation.partition(":")[0]
        between = self.rows[self._vain_at : -WIDTH : WIDTH]
        again: bool = name == self._vain_name and all(
            done != "select" and (done in QUIET or done.partition(":")[0] == call) for done in between
        )
        self._vain = self._vain + 1 if again else 1
        self._vain_at, self._vain_name = len(self.rows), name
        if self._vain <= IN_VAIN:
            return
        end = self.give_up() if self.violation is not None and self.give_up is not None else None
        if end is not None:
            end()
        what = f"{call}() on {name} was tried {IN_VAIN} times in a row in vain, without going back to select()"
        self.raise_violation(Finding("busy-loop", name, {"what": what, "moment": "tried again"}))

    def registered(self, record: Record, operation: Registration, detail: object = None) -> None:
        """Take one step in how a socket stands to a selector, which `selectors` has not refused."""
        self._append(operation, record.name, detail, caller(2))
        if operation == "register":
            record.ever_registered = True
            self.thread = get_ident()
        elif operation == "unregister" and record.phase in GONE:
            record.number = -1
        self.changed[record] = len(self.rows)

    def refused(self, operation: str, name: str, error: BaseException) -> None:
        """Note an operation that something else refused: `selectors`, or the test."""
        self._append(operation, name, type(error), caller(2))
        self._in_vain(name, operation)

    def decided(self, operation: str, name: str, detail: object = None) -> None:
        """Note an operation whose result something else decided: the test, or the network."""
        self._append(operation, name, detail, caller(2))

    def handed_off(self, record: Record) -> bool:
        """Whether a socket that was registered is now another thread's."""
        return get_ident() != self.thread and not self.interest(record)

    def sent(self, record: Record, data: bytes, taken: int) -> None:
        """`send()` took `taken` bytes of `data`. What it did not take must be sent next."""
        unsent = record.unsent
        if unsent and not data.startswith(unsent) and not unsent.startswith(data):
            self._short_send(record, "sent something else", caller(2))
            unsent = None
        if data and not taken:
            self._in_vain(record.name, "send")
        rest = data[taken:]
        if unsent and len(data) < len(unsent):
            rest += unsent[len(data) :]
        if taken < len(data):
            record.short = (taken, len(data))
        record.unsent = rest or None
        record.asleep = False
        record.tried_on = unsent is not None
        if rest:
            self.unsent[record] = None
        else:
            self.unsent.pop(record, None)

    def accepted(self, record: Record) -> None:
        """A socket has come from `accept()`."""
        record.accepted = record.script is not None
        self.changed[record] = len(self.rows)

    # -- judging ----------------------------------------------------------------------------

    def in_force(self, rule: RuleId, record: Record | None = None) -> bool:
        """Whether a rule is judged (for a socket)."""
        if rule in self.allow or (record is not None and rule in record.allow):
            return False
        if rule == "read-past-eof" and record is not None and not record.ever_registered:
            return self.pedantic
        return self.pedantic or RULES[rule].level == "default"

    def interest(self, record: Record) -> int:
        """The mask for which a socket is registered, over all selectors."""
        mask = 0
        for keys in self.maps:
            key = keys.get(record.number)
            if key is not None:
                mask |= key.events
        return mask

    def sleep(self, selector: str) -> None:
        """The server goes to sleep in a `select()`: judge what has changed since it last did."""
        if self.changed:
            changed, self.changed = self.changed, {}
            for record in changed:
                self._judge_asleep(record, "select", selector)
        for record in self.unsent:
            if self.interest(record) & EVENT_WRITE:
                record.tried_on = True
            else:
                record.asleep = True
        if self.returned and self.rows[-WIDTH] in QUIET:
            self._judge_idle(selector)

    def pause(self) -> None:
        """The server sleeps by `time.sleep()`: judge what a loop that polls has had time to do."""
        self._selects += self.rows[self._paused_at :: WIDTH].count("select")
        self._paused_at = len(self.rows)
        for record in tuple(self.changed):
            if self._selects - self._seen_at.setdefault(record, self._selects) > POLLS_TO_SETTLE:
                del self.changed[record], self._seen_at[record]
                self._judge_asleep(record, "sleep", "time")

    def _at_sleep(self, record: Record) -> RuleId | None:
        """The rule in force that a socket breaks if the server goes to sleep now."""
        rule = at_sleep(
            record.phase,
            accepted=record.accepted,
            ever_registered=record.ever_registered,
            interest=self.interest(record),
        )
        return rule if rule is not None and self.in_force(rule, record) else None

    def _judge_asleep(self, record: Record, call: str, name: str) -> None:
        rule = self._at_sleep(record)
        if rule == "eof-ignored" and record.through_file:
            record.through_file = False  # it is woken once more, and sees it then
            self.changed[record] = len(self.rows)
        elif rule is not None:
            self._append(call, name, None, caller(3))
            note = self._registered_instead(record) if rule == "accepted-not-registered" else ""
            self.raise_violation(Finding(rule, record.name, note=note))

    def _registered_instead(self, record: Record) -> str:
        """What was registered after `record` was accepted: the wrong socket, perhaps."""
        rows = list(self.trace)
        accepted = max(number for number, row in enumerate(rows) if row.detail == record.name)
        others = [str(row) for row in rows[accepted:] if row.operation in ("register", "modify")]
        return f"In between, the server called {', '.join(others)}." if others else ""

    def _judge_idle(self, selector: str) -> None:
        """Judge `select()`s after which nothing was done."""
        ready: list[tuple[str, int]] = []
        end = len(self.rows)
        for _ in range(self.idle_wakes):
            start = self._idle_since(end)
            detail: Any = () if start is None else self.rows[start + 2]  # Any: what it is depends on the call
            if start is None or not detail or isinstance(detail, type):
                return  # something was done; or refused: the selector is closed
            end, ready = start, list(detail)
        records = {record.name: record for record in self.records}
        for name, mask in ready:
            record = records[name]
            if record.script is None or record.script._replaced() or not self.interest(record) & mask:
                return  # not ours to see, or it was taken care of
            if not self.in_force("busy-loop", record):
                return
        self._append("select", selector, None, caller(3))
        events = ", ".join(f"{name} {mask_text(mask)}" for name, mask in ready)
        times = f" {self.idle_wakes} times in a row" if self.idle_wakes > 1 else ""
        what = f"select() returned {events}{times}, and the server did nothing about it"
        self.raise_violation(Finding("busy-loop", ready[0][0], {"what": what, "moment": "went to sleep"}))

    def _idle_since(self, end: int) -> int | None:
        """Where the row of the last `select()` before `end` is; None if something was done since."""
        start = end - WIDTH
        while start >= 0 and self.rows[start] in QUIET:
            if self.rows[start] == "select":
                return start
            start -= WIDTH
        return None

    def delivers(self, selector: str, record: Record, key: SelectorKey | None, mask: int, event: str) -> bool:
        """Whether the event may be delivered; judges it first. False: it is allowed, and left out."""
        if key is None:
            rule = MEMBERSHIP["absent"]["deliver"]
            assert isinstance(rule, Breach)
            if self.in_force(rule.rule, record):
                self._append("select", selector, None, caller(3))
                note = event if any(self.maps) else f"{event} Nothing at all is registered with the selector."
                self.raise_violation(Finding(rule.rule, record.name, {"mask": mask_text(mask)}, note=note))
            return False
        missing = mask & ~key.events
        if missing and self.in_force("event-without-interest", record):
            self._append("select", selector, None, caller(3))
            fields = {
                "mask": mask_text(mask), "interest": mask_text(key.events), "missing": mask_text(missing),
            }  # fmt: skip
            self.raise_violation(Finding("event-without-interest", record.name, fields, note=event))
        return True

    def selected(self, selector: str, ready: tuple[tuple[str, int], ...] | None) -> None:
        """`select()` returns `ready`; None: it found the script at its end."""
        self.returned = bool(ready)
        if ready is None:
            self.at_end("select", selector)
        else:
            self._append("select", selector, ready, caller(2))

    def at_end(self, operation: str, name: str) -> None:
        """A call that waits has found the script at its end."""
        self._append(operation, name, THE_END if operation == "select" else None, caller(2))
        self.ended = True
        self._held = {record: self.interest(record) for record in self.records}

    def breaks_off(self, operation: str, name: str) -> None:
        """A call that waits is interrupted."""
        self._append(operation, name, KeyboardInterrupt, caller(2))

    def sleeps(self, seconds: float) -> None:
        """The server sleeps by `time.sleep()`."""
        self._append("sleep", "time", seconds, caller(2))

    def finish(
        self,
        undelivered: str | None,
        *,
        returned: bool,
        open_selectors: Collection[str] = (),
        more: Sequence[Finding] = (),
    ) -> None:
        """Judge the end of the run, for `violation`: what is left of the script or was left open.

        returned: the server came back by itself; else the script's end, or the test, stopped it.
        more: what was found elsewhere.
        """
        self.finished = True
        if self.violation is None:
            findings = [*more, *self._leftovers(undelivered)]
            if returned:
                findings += self._left_open(open_selectors)
            if findings:
                first = (findings[0].rule, findings[0].socket)
                self._violated(findings[0], also=[one for one in findings[1:] if (one.rule, one.socket) != first])

    def _leftovers(self, undelivered: str | None) -> Iterator[Finding]:
        for record, since in self.changed.items():  # a loop that only ever polled did not go to sleep
            rule = self._at_sleep(record)
            if rule is not None and self.rows[since::WIDTH].count("select") > POLLS_TO_SETTLE:
                yield Finding(rule, record.name, at_end=True)
        if undelivered is not None and self.in_force("undelivered-event"):
            note = f"It is event {self.events + 1} of the script." if "select" in self.rows[::WIDTH] else NEVER_USED
            yield Finding("undelivered-event", None, {"left": undelivered}, note=note)
        for record in self.records:
            held = self._held.get(record, 0) | self.interest(record)
            if record.unsent and record.phase not in (*LOST, "closed") and not held & EVENT_WRITE:
                yield from self._if_in_force("short-send-lost", record, self._short_fields(record, AT_END))
            if (record.phase in ENDED or record.phase in LOST) and not held:
                yield from self._if_in_force("leaked-connection", record)
            left = record.script._leftover() if record.script is not None else None
            if left is not None and record.script is not None and record.phase not in LOST:
                fields, note = record.script._about_left(record.name)
                yield from self._if_in_force(left[0], record, {"left": left[1], **fields}, note=note)

    def _left_open(self, open_selectors: Collection[str]) -> Iterator[Finding]:
        for record in self.records:
            if record.phase not in GONE and record.script is not None:
                yield from self._if_in_force("unclosed-at-exit", record)
        if self.in_force("unclosed-at-exit"):
            for name in open_selectors:
                yield Finding("unclosed-at-exit", name)

    def _if_in_force(
        self, rule: RuleId, record: Record, fields: Mapping[str, str] | None = None, *, note: str = ""
    ) -> Iterator[Finding]:
        if self.in_force(rule, record):
            yield Finding(rule, record.name, fields, note=note)

    @staticmethod
    def _short_fields(record: Record, moment: str) -> dict[str, str]:
        taken, given = record.short
        return {"taken": str(taken), "given": str(given), "moment": moment}

    def _short_send(self, record: Record, moment: str, frame: FrameType) -> None:
        record.unsent = None
        if self.in_force("short-send-lost", record):
            self._append("close" if moment == "closed" else "send", record.name, None, frame)
            self.raise_violation(Finding("short-send-lost", record.name, self._short_fields(record, moment)))

    def judge_unsent(self, record: Record, operation: str, name: str) -> None:
        """The peer waits in vain: for what a short `send()` has left to be sent?"""
        waits = self.interest(record) & EVENT_WRITE
        if (
            record.unsent
            and record.phase not in (*ENDED, *LOST)
            and not waits
            and self.in_force("short-send-lost", record)
        ):
            self.breach(
                Finding("short-send-lost", record.name, self._short_fields(record, "went to sleep")), operation, name
            )

    # -- violations -------------------------------------------------------------------------

    def breach(self, finding: Finding, operation: str, name: str, detail: object = None) -> NoReturn:
        """Note the call in which a rule turned out to be broken, and raise that."""
        self._append(operation, name, detail, caller(2))
        self.raise_violation(finding)

    def raise_violation(self, finding: Finding) -> NoReturn:
        """Remember the first violation of the run, and raise this one."""
        raise self._violated(finding)

    def found(self, finding: Finding) -> None:
        """Remember a finding that is not raised by a call."""
        self._violated(finding)

    def _violated(self, finding: Finding, also: Collection[Finding] = ()) -> ScenarioError:
        made = finding.made or next(
            (
                record.script._made_at()
                for record in self.records
                if record.name == finding.socket and record.script is not None
            ),
            None,
        )
        error = scenario_error(finding, self.rows, self.script, made, tuple(also))
        if self.violation is None:
            self.violation = error
        return error

    def _append(self, operation: str, name: str, detail: object, frame: FrameType) -> None:
        self.note((operation, name, detail, self.now, frame.f_code, frame.f_lasti))
        if len(self.rows) > self.limit:
            self.spins()

    @property
    def events(self) -> int:
        """How many events of the script were delivered."""
        details = zip(self.rows[::WIDTH], self.rows[2::WIDTH], strict=True)
        return sum(operation == "select" and isinstance(detail, tuple) for operation, detail in details)

    @property
    def trace(self) -> Trace:
        """The rows as users see them; grows with the run."""
        return Trace(self.rows)


def _nothing() -> None: ...


def number_of(thing: object) -> int:
    """The descriptor number of something, as `selectors` finds it; -1: it has none."""
    try:
        return int(thing if isinstance(thing, int) else thing.fileno())  # type: ignore[attr-defined]  # asked for
    except (AttributeError, TypeError, ValueError):
        return -1


def os_error(number: int) -> OSError:
    """The exception that production raises for an error number; a socket's time-out has none."""
    if number == ETIMEDOUT:
        return TimeoutError("timed out")
    return OSError(number, os.strerror(number))

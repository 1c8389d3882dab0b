"""The door: everything that a server does to a socket or selector in strict mode passes here.

Owns the state of a run (a `Record` per socket, the trace, the violation that ended it) and
`Monitor.perform`, through which every operation goes: look up its cell, refuse or take the step,
append a row, return. Check first, then mutate: a refused operation changes nothing but the trace.
Knows the tables and the texts; knows no socket and no selector class. What data a socket has is
the socket's business, and where events come from the selector's.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from selectors import EVENT_READ, EVENT_WRITE

from .._buffers import Owed
from .._system import number_of, os_error
from .._text import SEVERAL, several, shown
from .errors import Circumstances, Finding, ScenarioError, scenario_error
from .reasons import Reason, called_from, is_dropping, is_the_servers, reason, reason_text
from .rules import AT_END, ENDED, GONE, LIFE, LOST, MEMBERSHIP, QUIET, RULES, Breach, NotSimulated, at_sleep
from .standing import failed_tasks, running_loop, standing
from .trace import WIDTH, Trace, caller, mask_text, place, ready_text
from .watching import interest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from selectors import SelectorKey
    from types import CodeType, FrameType
    from typing import Any, Final, NoReturn, Protocol

    from .._buffers import Outgoing
    from .rules import Cell, Operation, Phase, Registration, RuleId
    from .trace import Place, Row, Rows
    from .watching import Watch

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

DROPPED: Final = (
    "Nothing called close() on it: it was closed when nothing referred to it any more, which is a ResourceWarning in"
    " production."
)

THE_END: Final = "the end of the script"

READABLE_AGAIN: Final = (
    "The event list ends here. If the server deals with the end when select() next returns the socket, add that event."
)

POLLS_TO_SETTLE: Final = 2
"""How many polls a loop may take to do about a socket what must be done: asyncio takes two."""

GIVES_UP: Final = frozenset[str](("close", "unregister", "shutdown:read", "shutdown:write", "detach"))
"""Operations for which an exception that is being handled is the reason."""

TIDYING: Final = GIVES_UP | {"option"}
"""What a server does on its way out."""

IN_VAIN: Final = 1000
"""How many calls in a row may come to nothing without a `select()`."""

CALLS_AT_THE_END: Final = 5_000
"""So many of which nothing comes are made by no server that only cleans up when its run has failed."""

MOST_HEARD: Final = 100
"""How many exceptions of handlers are kept, the last."""

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class Record:
    """What is known of one socket in a run."""

    __slots__ = (
        "accepted", "allow", "asleep", "dropped", "ever_registered", "monitor", "moves", "name", "named", "note",
        "number", "phase", "past_eof", "readable", "tried_on", "script", "short", "through_file", "unsent", "watches",
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
        self.dropped = False  # whether it was closed because nothing referred to it any more
        self.past_eof = 0  # how often it was read after its end had been read
        self.through_file = False  # whether a `makefile()` has met the end, and its reader may not have seen it
        self.ever_registered = False
        self.watches: tuple[Watch, ...] = ()  # where it is registered
        self.unsent: Owed | None = None  # what a short send() has left to be sent
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
        self.violation: BaseException | None = None  # a finding, a refusal, or what a step has raised
        self.raised_under: tuple[CodeType, ...] = ()  # what ran when it was raised, innermost first
        self.finished = False
        self._names: dict[str, int] = {}
        self._foreign: dict[int, tuple[object, Record]] = {}
        self.changed: dict[Record, int] = {}  # what `sleep` has to judge: since how many entries of `rows`
        self.postponed: dict[str, dict[Record, int]] = {}  # likewise, once it sleeps in the selector of that name
        self.ended_asleep: dict[str, Record] = {}  # with whose end read the server went to sleep: by name ...
        self._ended_at = 0  # ... how far the rows were searched for what woke it again ...
        self._woken: dict[str, int] = {}  # ... and where that was, if nothing was done about it yet
        self.level_triggered = False  # whether events are reported again as long as nothing is done about them
        self.unsent: dict[Record, None] = {}  # whose rest of a short `send()` is still to be sent
        self.returned = False  # whether the last select() returned anything
        self.ended = False  # whether the script came to its end, or was given up
        self.thread = 0  # the server's
        self.spare_reads = 0  # how often a socket may be read after its end
        self.idle_wakes = 1  # how many `select()`s in a row with nothing done about them are a busy loop
        self.give_up: Callable[[], Callable[[], NoReturn] | None] | None = None  # a weak reference: how to end the run
        self._held: dict[Record, int] = {}  # what was registered for what when the script was at its end
        self._selects = 0  # how many there were when the server last slept ...
        self._paused_at = 0  # ... and how long the trace was
        self._seen_at: dict[Record, int] = {}  # how many there had been when it first slept with that socket changed
        self.limit = sys.maxsize  # how long the rows may grow before ...
        self.endless: Callable[[], object] = _nothing  # ... this is asked whether that has an end
        self._again = 0  # how often something was found since the violation
        self._vain = 0  # calls in a row that came to nothing
        self._vain_at = 0  # how long the rows were after the last of them
        self._vain_name: str = ""
        # -- for the texts
        self.program = "server"  # or "program", which only connects
        self.reasons: dict[str, tuple[int, str, Reason]] = {}  # as `Circumstances` has them
        self.swallowed: list[Reason] = []  # what was raised in handlers, as far as somebody has told
        self.returns = False  # whether the server came back by itself, when the end is judged
        self.stood: list[tuple[str, Place]] = []  # where tasks stood when the run came to its end
        self.begins()

    def begins(self) -> None:
        """The server begins to run: what is the test's already is not the server's."""
        self.outer = id(sys.exc_info()[1])  # it is kept alive by being handled, and the loop by running
        self.outer_loop = id(running_loop())

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
        """A name that nobody else has, as texts may show it."""
        name = name if name is None else shown(name)
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
        for error in (self.violation, other.violation):
            if isinstance(error, ScenarioError):
                error.trace.keep()
        self.rows[:0] = other.rows  # in place: `note` is bound to it
        above = len(other.rows) // WIDTH
        moved = {name: (number + above, call, why) for name, (number, call, why) in self.reasons.items()}
        self.reasons = {**other.reasons, **moved}
        self.records += other.records
        self._foreign |= other._foreign
        self.changed |= other.changed
        for selector, postponed in other.postponed.items():
            self.postponed.setdefault(selector, {}).update(postponed)
        ended = (*self.ended_asleep.values(), *other.ended_asleep.values())
        self.ended_asleep = {record.name: record for record in ended}
        self._ended_at = len(self.rows)
        self._woken.clear()
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
        if len(self.rows) > self.limit:
            self.endless()
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
                self._in_vain(record.name, operation, record)
                fields = {"seconds": detail} if isinstance(detail, str) else None
                self.raise_violation(Finding(cell.rule, record.name, fields, note=self._why(record, operation)))
            self._append(operation, record.name, detail, frame)
            self._in_vain(record.name, operation, record)
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
            self._in_vain(record.name, operation, record)
            try:
                raise error
            finally:
                del error  # it refers to this frame
        if operation == "close":
            self._close(record, frame)
        self._append(operation, record.name, detail, frame)
        if operation in GIVES_UP:
            self._note_reason(record.name, operation, detail)
        if isinstance(cell, str):
            self.becomes(record, cell)

    def _note_reason(self, name: str, operation: str, detail: object = None) -> None:
        """Keep which exception the server handles while it gives a socket up, its row just appended."""
        error = sys.exc_info()[1]
        if error is not None and self._tells(error):
            call = operation.partition(":")[0]
            text = f"unregister({name})" if call == "unregister" else f"{name}.{call}()"
            what = f"{name} was dropped" if call == "close" and detail is not None else f"{text} was called"
            self.reasons[name] = (len(self.rows) // WIDTH - 1, what, reason(error))

    def _tells(self, error: BaseException) -> bool:
        """Whether an exception that is being handled is the server's own business."""
        over = self.ended or self.violation is not None or isinstance(error, ScenarioError)
        return not over and id(error) != self.outer and is_the_servers(error)

    def heard(self, error: BaseException) -> None:
        """Somebody tells of an exception that a handler has raised."""
        if self._tells(error):
            self.swallowed.append(reason(error))
            del self.swallowed[:-MOST_HEARD]

    def becomes(self, record: Record, phase: Phase) -> None:
        """A socket is in another phase: by its last step, or by what the network did."""
        record.phase = phase
        record.moves = LIFE[phase]
        self.changed[record] = len(self.rows)
        if phase in GONE:
            if self.ended_asleep.pop(record.name, None) is not None:
                self._woken.pop(record.name, None)
            if not self.interest(record):
                record.number = -1  # the next socket may be given it

    def _tolerates(self, rule: RuleId, record: Record) -> bool:
        """Whether this once is no harm.

        A protocol's layers may each have to see the end for themselves; and whoever has met it behind the
        last data is woken by it once more, and deals with it then.
        """
        if rule != "read-past-eof":
            return False
        record.past_eof += 1
        again = not self.pedantic or record.name in self.ended_asleep
        return record.past_eof <= (self.spare_reads if again else 0)

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

    def _in_vain(self, name: str, operation: str, record: Record | None = None) -> None:
        """Count a call that came to nothing, its row just appended.

        A loop that makes nothing but such calls, and never a `select()`, would never end: after a
        thousand in a row it is told, and if it goes on, it is ended. Where that is allowed, it is ended
        without a word when it has gone on a hundred times as long, unless time goes on meanwhile.
        """
        if self.level_triggered and self.rows[2 - WIDTH] is TimeoutError:
            return  # it has waited
        call = operation.partition(":")[0]
        between = self.rows[self._vain_at : -WIDTH : WIDTH]
        again: bool = name == self._vain_name and all(
            done != "select" and (done in QUIET or done.partition(":")[0] == call) for done in between
        )
        self._vain = self._vain + 1 if again else 1
        self._vain_at, self._vain_name = len(self.rows), name
        if self._vain <= IN_VAIN:
            return
        allowed = not self.in_force("busy-loop", record)
        over = self.violation is not None or (allowed and not self.level_triggered and self._vain > 100 * IN_VAIN)
        end = self.give_up() if over and self.give_up is not None else None
        if end is not None:
            end()
        if allowed:
            return
        what = f"{call}() on {name} was tried {IN_VAIN} times in a row in vain, without going back to select()"
        self.raise_violation(Finding("busy-loop", name, {"what": what, "moment": "tried again"}))

    def has_waited(self) -> None:
        """The server has waited by a call that leaves no row: what it now tries is not tried in a row."""
        self._vain = 0

    def registered(self, record: Record, operation: Registration, detail: object = None) -> None:
        """Take one step in how a socket stands to a selector, which `selectors` has not refused."""
        self._append(operation, record.name, detail, caller(2))
        if operation == "register":
            record.ever_registered = True
            self.thread = get_ident()
        elif operation == "unregister":
            self._note_reason(record.name, operation)
            if record.phase in GONE:
                record.number = -1
        self.changed[record] = len(self.rows)

    def refused(self, operation: str, who: Record | str, error: BaseException) -> None:
        """Note an operation, on a socket or a selector, that something else refused: `selectors`, or the test."""
        record = who if isinstance(who, Record) else None
        name = who if isinstance(who, str) else who.name
        if len(self.rows) > self.limit:
            self.endless()
        self._append(operation, name, type(error), caller(2))
        self._in_vain(name, operation, record)

    def decided(self, operation: str, name: str, detail: object = None) -> None:
        """Note an operation whose result something else decided: the test, or the network."""
        if len(self.rows) > self.limit:
            self.endless()
        self._append(operation, name, detail, caller(2))
        if operation in GIVES_UP:
            self._note_reason(name, operation)

    def drops(self, record: Record) -> None:
        """A socket is closed because nothing refers to it any more."""
        record.dropped = True
        limit, self.limit = self.limit, sys.maxsize  # nobody is there to get the end of a run
        try:
            self.perform(record, "close", "dropped: nothing refers to it any more")
        except Exception:  # noqa: S110  (a violation is remembered)
            pass
        finally:
            self.limit = limit

    def handed_off(self, record: Record) -> bool:
        """Whether a socket that was registered is now another thread's."""
        return get_ident() != self.thread and not self.interest(record)

    def sent(self, record: Record, data: Outgoing, taken: int) -> None:
        """`send()` took `taken` bytes of `data`. What it did not take must be sent next."""
        unsent = record.unsent
        if unsent is not None and not unsent.goes_on_with(data, taken):
            self._short_send(record, "sent something else", caller(2))
            unsent = None
        if len(data) and not taken:
            self._in_vain(record.name, "send", record)
        if taken < len(data):
            record.short = (taken, len(data))
        if unsent is None:
            record.unsent = Owed(data, taken) if taken < len(data) else None
        elif not unsent.pay(data, taken):
            record.unsent = None
        record.asleep = False
        record.tried_on = unsent is not None
        if record.unsent is not None:
            self.unsent[record] = None
        else:
            self.unsent.pop(record, None)

    def waited(self, record: Record, operation: Operation, finding: Finding) -> None:
        """A call that blocks has had to wait, and that breaks a rule unless it is allowed."""
        if isinstance(record.moves[operation], Breach) and self.allows_not(finding.rule, record):
            self._append(operation, record.name, None, caller(2))
            self.raise_violation(finding)

    def allows_not(self, rule: RuleId, record: Record) -> bool:
        """Whether a rule is not among those that are allowed."""
        return rule not in self.allow and rule not in record.allow

    def accepted(self, record: Record, *, own: bool = False) -> None:
        """A socket has come from `accept()`. own: the server itself is at its other end, and waits for nobody."""
        record.accepted = record.script is not None and not own
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
        return interest(record, record.watches)

    def sleep(self, watch: Watch) -> None:
        """The server goes to sleep in a `select()`: judge what has changed since it last did.

        What is registered with another selector is judged when the server sleeps in that one.
        """
        if self.ended_asleep:
            self._judge_ended((watch,), 0, "select", watch.name)
        if self.changed or self.postponed:
            changed = {**self.postponed.pop(watch.name, {}), **self.changed}
            self.changed = {}
            for record, since in changed.items():
                self._judge_asleep(record, since, (watch,), "select", watch.name)
        for record in self.unsent:
            if self.interest(record) & EVENT_WRITE:
                record.tried_on = True
            else:
                record.asleep = True
        if self.returned and self.rows[-WIDTH] in QUIET:
            self._judge_idle(watch.name)

    def pause(self) -> None:
        """The server sleeps by `time.sleep()`: judge what a loop that polls has had time to do."""
        operations, names = self.rows[self._paused_at :: WIDTH], self.rows[self._paused_at + 1 :: WIDTH]
        polled = {name for operation, name in zip(operations, names, strict=True) if operation == "select"}
        self._selects += operations.count("select")
        self._paused_at = len(self.rows)
        if self.ended_asleep:
            ended = {watch for record in self.ended_asleep.values() for watch in record.watches}
            self._judge_ended({one for one in ended if one.name in polled}, POLLS_TO_SETTLE, "sleep", "time")
        for name in sorted(polled & self.postponed.keys()):
            self.changed = {**self.postponed.pop(name), **self.changed}
        for record, since in tuple(self.changed.items()):
            if self._selects - self._seen_at.setdefault(record, self._selects) > POLLS_TO_SETTLE:
                del self.changed[record], self._seen_at[record]
                watches = tuple(watch for watch in record.watches if watch.name in polled)
                self._judge_asleep(record, since, watches, "sleep", "time")

    def _at_sleep(self, record: Record, watches: tuple[Watch, ...]) -> RuleId | None:
        """The rule in force that a socket breaks if the server goes to sleep in these selectors now."""
        rule = at_sleep(
            record.phase,
            accepted=record.accepted,
            ever_registered=record.ever_registered,
            interest=interest(record, watches),
        )
        return rule if rule is not None and self.in_force(rule, record) else None

    def _judge_asleep(self, record: Record, since: int, watches: tuple[Watch, ...], call: str, name: str) -> None:
        rule = self._at_sleep(record, watches)
        if rule == "eof-ignored":
            if not self.ended_asleep:
                self._ended_at = len(self.rows)
            self.ended_asleep[record.name] = record  # at its end, it is readable: what is done about it then?
        elif rule is not None:
            self._append(call, name, None, caller(3))
            note = self._registered_instead(record) if rule == "accepted-not-registered" else ""
            self.raise_violation(Finding(rule, record.name, note=note))
        if record.phase == "closed" or record.phase in ENDED:
            for watch in record.watches:
                if watch not in watches:
                    self.postponed.setdefault(watch.name, {})[record] = since

    def _judge_ended(self, watches: Collection[Watch], selects: int, call: str, name: str) -> None:
        """Judge those with whose end read the server has slept before, and by whom it was woken again.

        selects: more than so many `select()`s must have come and gone since.
        """
        self._find_woken()
        for ended, at in tuple(self._woken.items()):
            record = self.ended_asleep[ended]
            if self._at_sleep(record, record.watches) != "eof-ignored":
                del self._woken[ended], self.ended_asleep[ended]  # it was dealt with
            elif self._sent_since(at, ended):
                del self._woken[ended]  # there is output to be sent first
            elif (
                self._at_sleep(record, tuple(one for one in watches if one in record.watches)) == "eof-ignored"
                and self.rows[at::WIDTH].count("select") > selects
            ):
                self._append(call, name, None, caller(3))
                self.raise_violation(Finding("eof-ignored", ended))

    def _find_woken(self) -> None:
        """Who of those that have ended was reported to be readable since the last look."""
        rows = self.rows
        for at in range(self._ended_at, len(rows), WIDTH):
            if rows[at] == "select" and isinstance(rows[at + 2], tuple):
                for name, mask in rows[at + 2]:
                    if mask & EVENT_READ and name in self.ended_asleep:
                        self._woken.setdefault(name, at)
        self._ended_at = len(rows)

    def _sent_since(self, at: int, name: str) -> bool:
        sent = zip(self.rows[at::WIDTH], self.rows[at + 1 :: WIDTH], self.rows[at + 2 :: WIDTH], strict=True)
        return any(
            operation == "send" and who == name and bool(detail) and not isinstance(detail, type)
            for operation, who, detail in sent
        )

    def never_woken(self, watch: Watch) -> None:
        """The server sleeps, and the event list has no more events: judge those at their end without one."""
        for record in self.ended_asleep.values():
            if not record.through_file and self._at_sleep(record, (watch,)) == "eof-ignored":
                self._append("select", watch.name, None, caller(2))
                self.raise_violation(Finding("eof-ignored", record.name, note=READABLE_AGAIN))

    def _registered_instead(self, record: Record) -> str:
        """What was registered after `record` was accepted: the wrong socket, perhaps."""
        rows = list(self.trace)
        accepted = max(number for number, row in enumerate(rows) if row.detail == record.name)
        others = [str(row) for row in rows[accepted:] if row.operation in ("register", "modify")]
        return f"In between, the server called {several(others)}." if others else ""

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
        events = ready_text(ready, SEVERAL)
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
                note = (
                    event
                    if any(one.watches for one in self.records)
                    else f"{event} Nothing at all is registered with the selector."
                )
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
        gone: bool,
        open_selectors: Collection[str] = (),
        more: Sequence[Finding] = (),
    ) -> None:
        """Judge the end of the run, for `violation`: what is left of the script or was left open.

        returned: the server came back by itself; else the script's end, or the test, stopped it.
        gone: in production its process has gone with that, and has nothing open any more.
        more: what was found elsewhere.
        """
        self.finished = True
        self.returns = returned
        if self.violation is None:
            findings = [*more, *self._leftovers(undelivered, gone=gone)]
            if returned:
                findings += self._left_open(open_selectors)
            if findings:
                first = (findings[0].rule, findings[0].socket)
                self._violated(findings[0], also=[one for one in findings[1:] if (one.rule, one.socket) != first])

    def _leftovers(self, undelivered: str | None, *, gone: bool) -> Iterator[Finding]:
        yield from self._never_slept()
        yield from self._never_woken_again()
        if undelivered is not None and self.in_force("undelivered-event"):
            note = f"It is event {self.events + 1} of the script." if "select" in self.rows[::WIDTH] else NEVER_USED
            yield Finding("undelivered-event", None, {"left": undelivered}, note=note)
        for record in self.records:
            held = self._held.get(record, 0) | self.interest(record)
            if record.unsent and record.phase not in (*LOST, "closed") and not held & EVENT_WRITE:
                yield from self._if_in_force("short-send-lost", record, self._short_fields(record, AT_END))
            if (record.phase in ENDED or record.phase in LOST) and not held and not gone:
                yield from self._if_in_force("leaked-connection", record)
            left = record.script._leftover() if record.script is not None else None
            if left is not None and record.script is not None and record.phase not in LOST:
                fields, note = record.script._about_left(record.name)
                yield from self._if_in_force(left[0], record, {"left": left[1], **fields}, note=note)

    def _never_slept(self) -> Iterator[Finding]:
        """A loop that only ever polled did not go to sleep."""
        changed = {record: since for one in (*self.postponed.values(), self.changed) for record, since in one.items()}
        if not changed:
            return
        polls: dict[str, list[int]] = {}
        for at in range(0, len(self.rows), WIDTH):
            if self.rows[at] == "select":
                polls.setdefault(self.rows[at + 1], []).append(at)
                polls.setdefault("", []).append(at)  # of all selectors

        def often(name: str, since: int) -> bool:
            there = polls.get(name, [])
            return len(there) > POLLS_TO_SETTLE and there[-1 - POLLS_TO_SETTLE] >= since

        for record, since in changed.items():
            rule = self._at_sleep(record, tuple(watch for watch in record.watches if often(watch.name, since)))
            if rule is not None and often("", since):
                yield Finding(rule, record.name, at_end=True)

    def _never_woken_again(self) -> Iterator[Finding]:
        """Who was at its end when the server slept, if the event list did not come back to it."""
        if self.level_triggered or not self.ended_asleep:
            return
        self._find_woken()
        for name, record in self.ended_asleep.items():
            if name not in self._woken and self._at_sleep(record, record.watches) and not record.through_file:
                yield Finding("eof-ignored", name, note=READABLE_AGAIN, at_end=True)

    def _left_open(self, open_selectors: Collection[str]) -> Iterator[Finding]:
        left = [one for one in self.records if one.script is not None and (one.dropped or one.phase not in GONE)]
        for record in sorted(left, key=lambda one: one.phase in _OF_NO_PEER):  # what is about peers comes first
            note = DROPPED if record.dropped else ""
            yield from self._if_in_force("unclosed-at-exit", record, note=note)
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
        if self.violation is not None and self.give_up is not None and not is_dropping():
            self._again += 1
            end = self.give_up() if self._again > IN_VAIN else None
            if end is not None:
                end()  # it has swallowed one after the other
        raise self._violated(finding)

    def found(self, finding: Finding) -> None:
        """Remember a finding that is not raised by a call."""
        self._violated(finding)

    def _violated(self, finding: Finding, also: Collection[Finding] = ()) -> ScenarioError:
        first = self.violation is None  # a later one is seldom looked at
        around = self._around(finding) if first else self._around_call()
        error = scenario_error(
            finding, self.rows, self.script, lambda: self._made_at(finding), tuple(also), around, at_once=first
        )
        if first:
            self.fails(error)
            self.raised_under = tuple(_stack())
        return error

    def fails(self, error: BaseException) -> None:
        """The run has come to nothing: by a violation, a refusal, or what a step has raised. Only the first counts."""
        if self.violation is None:
            self.violation = error
            self.limit = min(self.limit, len(self.rows) + CALLS_AT_THE_END * WIDTH)

    def _made_at(self, finding: Finding) -> Place | None:
        """Where the script of a finding's socket was written."""
        named = (one.script for one in self.records if one.name == finding.socket and one.script is not None)
        return finding.made or next((script._made_at() for script in named), None)

    def circumstances(self) -> Circumstances:
        """What the texts say beside the rows."""
        around = Circumstances(self.program, self.reasons)
        around.swallowed = [*self.swallowed, *failed_tasks(self.outer_loop)][::-1]
        around.standing = self.stood or standing(self.outer_loop)
        return around

    def _around(self, finding: Finding) -> Circumstances:
        """The same for a finding: about one call, or the end of the run."""
        around = Circumstances(self.program, self.reasons) if finding.at_end else self._around_call()
        around.swallowed = [*self.swallowed, *failed_tasks(self.outer_loop)][::-1]
        if finding.at_end:
            around.standing = self.stood
            if self.returns:
                caught = self.on_its_way_out()[2]
                around.handled = f"The {self.program} returned{caught and ' after '}{caught}."
            return around
        if around.called_from is None:
            around.standing = standing(self.outer_loop)
        return around

    def _around_call(self) -> Circumstances:
        """What belongs to the call at hand."""
        around = Circumstances(self.program, self.reasons)
        around.called_from = called_from()
        error = sys.exc_info()[1]
        if error is not None and self._tells(error):
            around.handled = f"The {self.program} is handling {reason_text(reason(error))}."
        return around

    def on_its_way_out(self) -> tuple[int, str, str]:
        """Where in `rows` the last calls begin that only tidy up, and the exception before them: kind, text; or ""."""
        end = start = len(self.rows)
        while start > 0 and (isinstance(self.rows[start - WIDTH + 2], type) or self.rows[start - WIDTH] in TIDYING):
            start -= WIDTH
        late = [(number, why) for number, _, why in self.reasons.values() if number * WIDTH >= start]
        if late:
            why = max(late)[1]
            return start, why.kind, reason_text(why)
        for at in range(end - WIDTH, start - 1, -WIDTH):
            detail, _, code, instruction = self.rows[at + 2 : at + WIDTH]
            if isinstance(detail, type) and detail is not BlockingIOError:
                why = Reason(detail.__name__, "", place(code, instruction))
                return start, why.kind, reason_text(why)
        return start, "", ""

    def _append(self, operation: str, name: str, detail: object, frame: FrameType) -> None:
        self.note((operation, name, detail, self.now, frame.f_code, frame.f_lasti))

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


_OF_NO_PEER: Final = ("new", "bound", "listening")
"""Phases of a socket without another end."""


def _stack() -> Iterator[CodeType]:
    frame: FrameType | None = sys._getframe(1)  # only when a run has failed
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back

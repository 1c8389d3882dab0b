"""The door: everything that a server does to a socket or selector in strict mode passes here.

Owns the state of a run (its trace, its sockets, the violation that ended it) and `Monitor.perform`, through which
every operation goes: look up its cell, refuse or take the step, append a row, return. (The plainest reads, sends and
`select()`s, whose cell is None, write the same row themselves.) Check first, then mutate: a refused operation changes
nothing but the trace. What must be counted or kept until it can be judged is a ledger's: `Sleeping`, `ShortSends`,
`Idling`, `Unhandled`. Knows no socket and no selector class: what data a socket has is the socket's
business, and where events come from the selector's.
"""

from __future__ import annotations

import sys
from _thread import get_ident

from .._system import number_of, os_error
from .._text import shown
from .errors import Finding, ScenarioError, scenario_error
from .idling import IN_VAIN, Idling
from .leftovers import Leftovers
from .reasons import is_dropping
from .records import Record, note_sender
from .rules import GONE, LIFE, QUIET, RULES, Breach, ByNetwork, NotSimulated
from .short_sends import ShortSends
from .sleeping import Sleeping
from .trace import WIDTH, Trace, caller, folds, outwards
from .unhandled import Unhandled
from .watching import interest, leave
from .witness import GIVES_UP, Witness

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import CodeType, FrameType
    from typing import Final, NoReturn

    from .._buffers import Outgoing
    from .records import Door, Script, Whose
    from .rules import Cell, Operation, Phase, Registration, RuleId
    from .trace import Place, Row, Rows
    from .watching import Watch

THE_END: Final = "the end of the script"

CALLS_AT_THE_END: Final = 5_000
"""So many of which nothing comes are made by no server that only cleans up when its run has failed."""

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class Monitor:
    """One run under strict mode: its sockets, its selectors, its trace and its first violation.

    The one place where a row is written and a socket's phase moves. What it says of the run is for its ledgers and
    for whoever is around it, so its attributes are many; those of one ledger are in that.
    """

    def __init__(self, script: Place | None, *, allow: Collection[RuleId] = (), pedantic: bool = False) -> None:
        self.script = script
        self.allow = frozenset(allow)
        self.pedantic = pedantic
        self.rows: Rows = []
        self.note: Callable[[Row], None] = self.rows.extend
        self.now = 0
        self.records: list[Record] = []
        self.violation: BaseException | None = None  # a finding, a refusal, or what a step has raised
        self.unraised = False  # whether the program has not met it yet
        self.observed: list[ScenarioError] | None = None  # what was found, where that is told and not raised
        self.raised_at: tuple[tuple[CodeType, int], ...] = ()  # what ran then, and in which lines, innermost first
        self.finished = False
        self.life: Mapping[Phase, Mapping[Operation, Cell]] = LIFE
        self.level_triggered = False  # whether events are reported again as long as nothing is done about them
        self.calm: object = None  # the selector after whose last look all that was done was of the plainest
        self.returned = False  # whether the last select() returned anything
        self.ended = False  # whether the script came to its end, or was given up
        self.whose: Whose | None = None  # of several threads, which one has written a row
        self.running = 0  # the serial number of the thread that runs, if there are several
        self.thread = 0  # the server's
        self.spare_reads = 0  # how often a socket may be read after its end
        self.give_up: Callable[[], Callable[[], NoReturn] | None] | None = None  # a weak reference: how to end the run
        self.heirs: list[Callable[[], Callable[[Monitor], None] | None]] = []  # likewise: whom to tell of a new one
        self.limit = sys.maxsize  # how long the rows may grow before ...
        self.endless: Callable[[], object] = _nothing  # ... this is asked whether that has an end
        self._again = 0  # how often something was found since the violation
        self._names: dict[str, int] = {}
        self._foreign: dict[int, tuple[object, Record]] = {}
        self.witness: Witness = Witness(self)
        self.unhandled: Unhandled = Unhandled(self, self.witness)
        self.idling: Idling = Idling(self)
        self.sleeping: Sleeping = Sleeping(self)
        self.short_sends: ShortSends = ShortSends(self, self.idling)
        self.leftovers: Leftovers = Leftovers(self, self.sleeping, self.short_sends)

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

    def absorb(self, other: Door) -> None:
        """Take over another run, in which a socket of this one turned up: from now on, one run.

        Its sockets and selectors are told; who calls goes on with the monitor of the socket's record.
        """
        assert isinstance(other, Monitor)
        for record in other.records:
            record.monitor = self
            record.note = self.note
            if any(record.name == mine.name for mine in self.records):
                record.rename(self.name_for(record.name, ""))
        for error in (self.violation, other.violation):
            if isinstance(error, ScenarioError):
                error.trace.keep()
        self.rows[:0] = other.rows  # in place: `note` is bound to it
        self.records += other.records
        self._foreign |= other._foreign
        self.witness.absorb(other.witness, len(other.rows) // WIDTH)
        self.sleeping.absorb(other.sleeping)
        self.short_sends.absorb(other.short_sends)
        self.violation = self.violation or other.violation
        for heir in other.heirs:
            moves = heir()
            if moves is not None:
                moves(self)
        self.heirs += other.heirs

    # -- the door ---------------------------------------------------------------------------

    def perform(self, record: Record, operation: Operation, detail: object = None) -> None:
        """Take one step in a socket's life.

        Raises the `OSError` that production raises, a `ScenarioError` where a rule is broken that
        is in force, NotImplementedError where a network would be needed.

        The calls that every event passes take the plainest step themselves: where the cell is None they write
        the same row. All else comes here.
        """
        if len(self.rows) > self.limit:
            self.endless()
        cell = record.moves[operation]
        frame = caller(2)
        if cell is None:
            self.append(operation, record.name, detail, frame)
        else:
            self._step(record, operation, detail, cell, frame)

    def _step(self, record: Record, operation: Operation, detail: object, cell: Cell, frame: FrameType) -> None:
        """An operation that changes the phase, or is refused."""
        if isinstance(cell, str):
            if operation == "close":
                self._judge_close(record, frame)
            self.append(operation, record.name, detail, frame)
            if operation in GIVES_UP:
                self.witness.note_reason(record.name, operation, detail)
            self.becomes(record, cell)
            return
        if isinstance(cell, Breach):
            if self.in_force(cell.rule, record) and not self.sleeping.tolerates(cell, record):
                self.append(operation, record.name, None, frame)
                self.idling.in_vain(record.name, operation, record)
                fields = cell.fields or ({"seconds": detail} if isinstance(detail, str) else None)
                note = self._why(record, operation)
                self.raise_violation(Finding(cell.rule, record.name, fields, note=note, way=cell.way))
            self.append(operation, record.name, detail, frame)
            self.idling.in_vain(record.name, operation, record)
            return
        if isinstance(cell, ByNetwork):  # which has let it pass
            self.append(operation.partition(":")[0], record.name, detail, frame)
            return
        if isinstance(cell, NotSimulated):
            raise NotImplementedError(
                f"{record.name}.{operation}() needs a network behind the socket, which an event list"
                " does not have; give the server a MockSocket that is already connected"
            )
        if isinstance(cell, int):
            record.tried_on = record.tried_on or operation.startswith("send")
            error = os_error(cell)
            self.append(operation.partition(":")[0], record.name, type(error), frame)
            self.idling.in_vain(record.name, operation, record)
            try:
                raise error
            finally:
                del error  # it refers to this frame

    def becomes(self, record: Record, phase: Phase) -> None:
        """A socket is in another phase: by its last step, or by what the network did."""
        record.phase = phase
        record.moves = self.life[phase]
        self.sleeping.changed[record] = len(self.rows)
        if phase in GONE:
            self.sleeping.gone(record)
            if record.watches and phase == "closed":
                leave(record)
            if not record.watches or not self.interest(record):
                record.number = -1  # the next socket may be given it

    def _judge_close(self, record: Record, frame: FrameType) -> None:
        """What is judged before a socket is closed."""
        self.short_sends.closes(record, frame)
        if record.watches and self.interest(record):
            if self.in_force("close-before-unregister", record):
                self.append("close", record.name, None, frame)
                self.raise_violation(Finding("close-before-unregister", record.name))
            note_sender(record, frame)  # it may be told later, when the server sleeps

    @staticmethod
    def _why(record: Record, operation: Operation) -> str:
        """What the script has to say to a call that finds nothing."""
        if operation not in ("recv:blocks", "accept:blocks", "send:blocks") or record.script is None:
            return ""
        return record.script._why_nothing(record.name, reads=operation != "send:blocks")

    def registered(self, record: Record, operation: Registration, detail: object = None) -> None:
        """Take one step in how a socket stands to a selector, which `selectors` has not refused."""
        self.append(operation, record.name, detail, caller(2))
        if operation == "register":
            record.ever_registered = True
            self.thread = get_ident()
        elif operation == "unregister":
            self.witness.note_reason(record.name, operation)
            if record.phase in GONE:
                record.number = -1
        if record.unsent is not None:
            self.short_sends.asks(record, detail)
        self.sleeping.changed[record] = len(self.rows)

    def refused(self, operation: str, who: Record | str, error: BaseException) -> None:
        """Note an operation, on a socket or a selector, that something else refused: `selectors`, or the test."""
        record = who if isinstance(who, Record) else None
        name = who if isinstance(who, str) else who.name
        if len(self.rows) > self.limit:
            self.endless()
        self.append(operation, name, type(error), caller(2))
        self.idling.in_vain(name, operation, record)

    def decided(self, operation: str, name: str, detail: object = None) -> None:
        """Note an operation whose result something else decided: the test, or the network."""
        if len(self.rows) > self.limit:
            self.endless()
        self.append(operation, name, detail, caller(2))
        if operation in GIVES_UP:
            self.witness.note_reason(name, operation)

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
        self.short_sends.sent(record, data, taken)

    def waited(self, record: Record, operation: Operation, finding: Finding) -> None:
        """A call that blocks has had to wait, and that breaks a rule unless it is allowed."""
        if isinstance(record.moves[operation], Breach) and self.allows_not(finding.rule, record):
            self.append(operation, record.name, None, caller(2))
            self.raise_violation(finding)

    def allows_not(self, rule: RuleId, record: Record) -> bool:
        """Whether a rule is not among those that are allowed."""
        return rule not in self.allow and rule not in record.allow

    def accepted(self, record: Record, *, own: bool = False) -> None:
        """A socket has come from `accept()`. own: the server itself is at its other end, and waits for nobody."""
        record.accepted, record.thread = record.script is not None and not own, self.running
        self.sleeping.changed[record] = len(self.rows)

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
        """The server goes to sleep in a `select()`: judge how it leaves things."""
        sleeping = self.sleeping
        if sleeping.ended or sleeping.changed or sleeping.postponed:
            sleeping.sleep(watch)
        if self.short_sends.owing:
            self.short_sends.sleep()
        if self.returned and self.rows[-WIDTH] in QUIET:
            self.idling.judge_wakes(watch.name)

    def has_to_judge(self) -> bool:
        """Whether something is to be judged when the server next sleeps, whatever it does until then."""
        sleeping = self.sleeping
        return bool(sleeping.changed or sleeping.ended or sleeping.postponed or self.short_sends.owing)

    def give_up_in_vain(self) -> None:
        """Nothing comes of what the server does: end the run, if somebody knows how."""
        end = self.give_up() if self.give_up is not None else None
        if end is not None:
            end()

    def selected(self, selector: str, ready: tuple[tuple[str, int], ...] | None) -> None:
        """`select()` returns `ready`; None: it found the script at its end."""
        self.returned = bool(ready)
        if ready is None:
            self.at_end("select", selector)
            return
        frame = caller(2)
        if ready or not self.finds_nothing(selector, frame):
            self.append("select", selector, ready, frame)

    def finds_nothing(self, selector: str, frame: FrameType) -> bool:
        """Whether a `select()` that returns nothing needs no row of its own, as it has many that are equal."""
        row = "select", selector, (), self.now, frame.f_code, frame.f_lasti
        return self.level_triggered and folds(self.rows, row)

    def at_end(self, operation: str, name: str) -> None:
        """A call that waits has found the script at its end."""
        if operation != "sleep" or self.rows[-WIDTH] != "sleep":
            self.append(operation, name, THE_END if operation == "select" else None, caller(2))
        self.ended = True
        self.leftovers.hold()

    def breaks_off(self, operation: str, name: str) -> None:
        """A call that waits is interrupted."""
        self.append(operation, name, KeyboardInterrupt, caller(2))

    def sleeps(self, seconds: float) -> None:
        """The server sleeps by `time.sleep()`."""
        self.append("sleep", "time", seconds, caller(2))

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
        self.witness.returns = returned
        if self.violation is None:
            findings = [*more, *self.leftovers.of_the_script(undelivered, gone=gone)]
            if returned:
                findings += self.leftovers.open_sockets(open_selectors)
            if findings:
                findings.sort(key=lambda one: one.rule != "short-send-lost")  # the cause of what a peer then misses
                first = (findings[0].rule, findings[0].socket)
                once: dict[object, Finding] = {}
                for one in findings:
                    once.setdefault((one.rule, one.socket, one.headline), one)
                also = [one for one in once.values() if (one.rule, one.socket) != first]
                if not self._observes(findings[0], also):
                    self._violated(findings[0], also)

    # -- violations -------------------------------------------------------------------------

    def breach(self, finding: Finding, operation: str, name: str, detail: object = None) -> None:
        """Note the call in which a rule turned out to be broken, and raise that, unless the run is only observed."""
        self._note_call(operation, name, detail)
        self.raise_violation(finding)

    def end_at(self, finding: Finding, operation: str, name: str, detail: object = None) -> NoReturn:
        """Note such a call, and raise that: the program cannot go on."""
        self._note_call(operation, name, detail)
        self.end_by(finding)

    def _note_call(self, operation: str, name: str, detail: object) -> None:
        if operation != "sleep" or self.rows[-WIDTH] != "sleep":  # which was noted when it began
            self.append(operation, name, detail, caller(3))

    def raise_violation(self, finding: Finding) -> None:
        """Raise this violation, unless the run is only observed: then go on as where its rule is allowed."""
        if not self._observes(finding):
            self.end_by(finding)

    def _observes(self, finding: Finding, also: Collection[Finding] = ()) -> bool:
        """Whether a finding is only told."""
        if self.observed is not None and self.violation is None:
            self.allow |= {one.rule for one in (finding, *also)}
            self.observed.append(self._error(finding, also))
        return self.observed is not None

    def end_by(self, finding: Finding) -> NoReturn:
        """Remember the first violation of the run, and raise this one: the program cannot go on."""
        if self.violation is not None and self.give_up is not None and not is_dropping():
            self._again += 1
            if self._again > IN_VAIN:
                self.give_up_in_vain()  # it has swallowed one after the other
        raise self._violated(finding)

    def found(self, finding: Finding, *, goes_on: bool = True) -> None:
        """Remember a finding that is not raised by a call; the next that may wait raises it."""
        if not (goes_on and self._observes(finding)):
            self.unraised = self.violation is None
            self._violated(finding)

    def _error(self, finding: Finding, also: Collection[Finding] = ()) -> ScenarioError:
        first = self.violation is None  # a later one is seldom looked at
        around = self.witness.around(finding) if first else self.witness.around_call()
        return scenario_error(
            finding, self.rows, self.script, lambda: self._made_at(finding), tuple(also), around, at_once=first
        )

    def _violated(self, finding: Finding, also: Collection[Finding] = ()) -> ScenarioError:
        first, error = self.violation is None, self._error(finding, also)
        if first:
            self.fails(error)
            self.raised_at = tuple((one.f_code, one.f_lineno) for one in outwards(sys._getframe()))
        return error

    def fails(self, error: BaseException) -> None:
        """The run has come to nothing: by a violation, a refusal, or what a step has raised. Only the first counts."""
        if self.violation is None:
            self.violation = error
            self.calm = None
            self.limit = min(self.limit, len(self.rows) + CALLS_AT_THE_END * WIDTH)

    def _made_at(self, finding: Finding) -> Place | None:
        """Where the script of a finding's socket was written."""
        named = (one.script for one in self.records if one.name == finding.socket and one.script is not None)
        return finding.made or next((script._made_at() for script in named), None)

    def append(self, operation: str, name: str, detail: object, frame: FrameType) -> None:
        """Write a row."""
        self.calm = None
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

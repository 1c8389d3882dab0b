"""What is known of each socket in a run, and what a socket has of the run.

Owns `Record`, one per socket, and which line of the user's it is that sends to it by way of a library. Knows the
table of a socket's life, and no socket class.
"""

from __future__ import annotations

from selectors import EVENT_READ

from .._whose import whose
from .reasons import LOOP
from .trace import CIPHERTEXT, WIDTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from types import CodeType, FrameType
    from typing import Final, Protocol

    from .._buffers import Outgoing, Owed
    from .errors import Finding
    from .rules import Cell, Operation, Phase, RuleId
    from .trace import Nanoseconds, Place, Row, Rows
    from .watching import Watch

    class Script(Protocol):
        """What stands behind a socket: the part of the script that it plays."""

        def _leftover(self) -> tuple[RuleId, str] | None:
            """The rule that what is left of the script breaks, and what is left; None: nothing."""
            ...

        def _made_at(self) -> Place | None:
            """Where the script was written."""
            ...

        def _about_left(self, name: str) -> tuple[Mapping[str, str], str]:
            """For the texts on what is left of it: more fields, and a note."""
            ...

        def _why_nothing(self, name: str, *, reads: bool) -> str:
            """Why there is nothing to read or accept; or, not reads, no room to send."""
            ...

        def _announce(self) -> None:
            """A READ event is delivered: one more item of the script is there to be read."""
            ...

        def _replaced(self) -> bool:
            """Whether the test has put its own function in the place of one that reads."""
            ...

    class Whose(Protocol):
        """Who of several threads has written a row, by its number."""

        def at(self, row: int) -> str:
            """What that one is called."""
            ...

        def serial(self, row: int) -> int:
            """Its serial number."""
            ...

    class Door(Protocol):
        """What sockets, and the ledgers beside the door, have of the `Monitor`."""

        rows: Rows
        note: Callable[[Row], None]
        life: Mapping[Phase, Mapping[Operation, Cell]]
        now: Nanoseconds
        limit: int
        finished: bool
        ended: bool
        violation: BaseException | None
        records: list[Record]
        pedantic: bool
        spare_reads: int
        level_triggered: bool
        running: int
        whose: Whose | None

        @property
        def events(self) -> int:
            """How many events of the script were delivered."""
            ...

        def admit(
            self, name: str | None, phase: Phase, number: int, *, role: str, allow: Collection[RuleId] = (),
            script: Script | None = None, known: bool = False,
        ) -> Record: ...  # fmt: skip
        def admit_foreign(self, thing: object, role: str | None = None) -> Record: ...
        def absorb(self, other: Door) -> None: ...
        def perform(self, record: Record, operation: Operation, detail: object = None) -> None: ...
        def decided(self, operation: str, name: str, detail: object = None) -> None: ...
        def refused(self, operation: str, who: Record | str, error: BaseException) -> None: ...
        def sent(self, record: Record, data: Outgoing, taken: int) -> None: ...
        def waited(self, record: Record, operation: Operation, finding: Finding) -> None: ...
        def accepted(self, record: Record, *, own: bool = False) -> None: ...
        def becomes(self, record: Record, phase: Phase) -> None: ...
        def rename(self, record: Record, name: str | None, role: str) -> None: ...
        def drops(self, record: Record) -> None: ...
        def handed_off(self, record: Record) -> bool: ...
        def in_force(self, rule: RuleId, record: Record | None = None) -> bool: ...
        def interest(self, record: Record) -> int: ...
        def append(self, operation: str, name: str, detail: object, frame: FrameType) -> None: ...
        def breach(self, finding: Finding, operation: str, name: str, detail: object = None) -> None: ...
        def raise_violation(self, finding: Finding) -> None: ...
        def found(self, finding: Finding) -> None: ...
        def give_up_in_vain(self) -> None: ...


def _without_bytes(row: Row) -> Row:
    return (*row[:2], CIPHERTEXT, *row[3:]) if row[0] in ("recv", "peek", "send") else row


class Record:
    """What is known of one socket in a run: many facts, each set in one place, and nothing done with them."""

    __slots__ = (
        "accepted", "allow", "asleep", "dropped", "ever_registered", "monitor", "moves", "name", "named", "note",
        "number", "phase", "past_eof", "readable", "sent_by", "short_at", "tried_on", "script", "short",
        "thread", "through_file", "unsent", "watches",
    )  # fmt: skip

    name: str
    note: Callable[[Row], None]
    readable: tuple[tuple[str, int], ...]

    def __init__(
        self, monitor: Door, name: str, phase: Phase, number: int, allow: frozenset[RuleId], script: Script | None
    ) -> None:
        self.monitor = monitor
        self.note = monitor.note
        self.named = True  # False: it goes by a role that may turn out to be another
        self.rename(name)
        self.phase: Phase = phase
        self.moves: Mapping[Operation, Cell] = monitor.life[phase]
        self.number = number
        self.allow = allow
        self.script = script
        self.accepted = False
        self.thread = 0  # which one has accepted it
        self.asleep = False  # whether the server went to sleep and did not ask for room for `unsent`
        self.tried_on = False  # whether it has tried again, or waited for room, or was told by an exception
        self.dropped = False  # whether it was closed because nothing referred to it any more
        self.past_eof = 0  # how often it was read after its end had been read
        self.through_file = False  # whether a `makefile()` has met the end, and its reader may not have seen it
        self.ever_registered = False
        self.watches: tuple[Watch, ...] = ()  # where it is registered
        self.unsent: Owed | None = None  # what a short send() has left to be sent
        self.sent_by: tuple[int, CodeType, int] | None = (
            None  # the user's line behind a library's send(), and which row
        )
        self.short: tuple[int, int] = (0, 0)  # what that send() took, of how much ...
        self.short_at: tuple[int, int] = (0, 0)  # ... which row it is, and which thread's

    def seal(self, *, sealed: bool = True) -> None:
        """From now on what is read and sent is ciphertext (or is none any more): rows tell no bytes of it.

        They, and how many they are, differ from run to run.
        """
        note = self.monitor.note
        self.note = (lambda row: note(_without_bytes(row))) if sealed else note

    def rename(self, name: str) -> None:
        self.name = name
        self.readable = ((name, EVENT_READ),)  # what a row keeps of the commonest select()


own_files: Final[set[str]] = set()
"""Files of which is known that they are the user's own."""

_librarys_files: Final[set[str]] = set()
"""Files of which is known that they are a library's."""


def note_sender(record: Record, sender: FrameType) -> None:
    """`sender`, which is about to send, is perhaps a library's: keep the user's own line behind it, as `own_line()`.

    In as few steps as can be: every send of a library comes here.
    """
    frame: FrameType | None = sender
    while frame is not None:
        code = frame.f_code
        file = code.co_filename
        if file in own_files:
            if frame is not sender:
                record.sent_by = (len(record.monitor.rows) // WIDTH, code, frame.f_lasti)
            return
        if file not in _librarys_files:
            kind = whose(file)
            if kind == "ours":
                return
            (own_files if kind == "own" else _librarys_files).add(file)
        elif code.co_name == LOOP:
            return
        else:
            frame = frame.f_back

"""`ScenarioError`, and every text that a user reads of it.

Owns how a broken rule is told: who, what, the server's and the script's lines, what production
would suffer, how to mend it, the end of the trace. Whatever its size and names, a text is a few
kilobytes long and can be printed. Knows the trace and the rules, and nothing of sockets, selectors
or the monitor.
"""

from __future__ import annotations

from .._text import escaped, shown
from .._whose import INSIDE, whose
from .reasons import reason, reason_text
from .rules import AT_END, RULES
from .standing import MOST
from .tail import in_thread, tail
from .trace import WIDTH, Place, Snapshot, Trace, place, shown_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import CodeType
    from typing import Any, Final

    from .reasons import Reason
    from .rules import RuleId
    from .trace import Row, Rows

ALSO: Final = 10
"""How many further findings an error names."""

SWALLOWED: Final = 3
"""How many exceptions of handlers an error names."""

SOURCE: Final = 110
"""How many characters of a line of source are shown."""

COLUMNS: Final = 98
"""How wide the prose of an error is."""


class ScenarioError(AssertionError):
    """The server broke a rule that production would let it break in silence.

    The message says who and what, shows the lines of the server and of the script, what
    production would suffer and how to mend it, and the end of the trace.
    """

    __module__ = "mockselector"  # tracebacks show where users import it from

    def __init__(self, message: str, rule: RuleId, socket: str | None = None, trace: Trace | None = None) -> None:
        super().__init__(message)
        self._text: Callable[[], str] | None = None
        self._proof: Callable[[Snapshot], Sequence[tuple[int, str]]] | None = None
        self._place: Callable[[], Place | None] = _nowhere
        self.rule: Final = rule
        """The id of the broken rule, as `allow=` takes it."""
        self.socket: Final = socket
        """The name of the socket, as the message has it; None if it is about no single one."""
        self.trace: Final = Trace([]) if trace is None else trace
        """All that had happened when the rule was broken, the offending call last."""

    @property
    def proof(self) -> Sequence[tuple[int, str]]:
        """Numbers of rows of `trace` that prove it, and what each is called; last, the offending call.

        Of what is judged at the end of a run, the last is the number after all rows.
        """
        return () if self._proof is None else self._proof(self.trace.snapshot())

    @property
    def place(self) -> Place | None:
        """File, line and function that the message is about: the user's own if it shows one; None: there is none."""
        return self._place()

    def __str__(self) -> str:
        if self._text is not None:
            super().__init__(self._text())
            self._text = None
        return super().__str__()

    def __reduce__(self) -> tuple[type[ScenarioError], tuple[str, RuleId, str | None]]:
        # A trace points at code objects, which do not travel between processes; the text does.
        return type(self), (str(self), self.rule, self.socket)


def _nowhere() -> None: ...


class Circumstances:
    """What is known of a run beside its rows: who the program is, and what went before."""

    __slots__ = ("called_from", "handled", "program", "reasons", "sent_by", "standing", "swallowed", "threads")

    def __init__(self, program: str = "server", reasons: Mapping[str, tuple[int, str, Reason]] | None = None) -> None:
        self.program: Final = program  # "server", or "program" if it only connects
        # By socket: the number of the row of its last close(), unregister() or shutdown(), what was done, and why.
        self.reasons: Final = reasons or {}
        self.called_from: Place | None = None  # the user's own line, if the offending call is a library's
        self.sent_by: tuple[int, CodeType, int] | None = None  # as a record has it
        self.handled = ""  # which exception is, or was, being handled, as a sentence
        self.swallowed: Sequence[Reason] = ()  # what handlers raised, and only a log has told
        self.standing: Sequence[tuple[str, Place]] = ()  # where tasks wait
        self.threads: Callable[[int], str] | None = None  # asks whose a row was; None: there was but one thread


USUAL: Final = {
    "server": "server",
    "selector": "selector",
    "clash": "and registering that one fails with KeyError; on some systems select() itself fails",
    "spins": "this repeats at once, and for ever, at 100 % CPU.",
    "waits": (
        "Let every loop end, or wait: handle what select() returns, or stop asking for it (EVENT_WRITE only while there"
        " is output to send); after BlockingIOError go back to select()."
    ),
}
"""What stands in a text unless a finding says otherwise."""


class Finding:
    """A broken rule, with what its texts need."""

    __slots__ = ("_block", "at", "at_end", "fields", "made", "note", "rule", "socket", "told", "way")

    def __init__(
        self,
        rule: RuleId,
        socket: str | None,
        fields: Mapping[str, str] | None = None,
        *,
        note: str = "",
        block: str | Callable[[], str] = "",
        made: Place | None = None,
        at_end: bool = False,
        way: Sequence[tuple[str, Place]] = (),
        at: Place | None = None,
    ) -> None:
        self.rule: Final = rule
        self.socket: Final = socket
        self.fields: Final = {"socket": socket or "", **USUAL, **(fields or {})}
        self.note: str = note
        self._block = block
        self.made: Final = made  # where the script was written, if it is no socket's
        self.at_end: bool = at_end or RULES[rule].now == AT_END
        self.at: Final = at  # where the program is, if that is shown in the block
        self.way: Sequence[tuple[str, Place]] = way  # the lines of an exception, if it is about one ...
        self.told: str = ""  # ... which then is told

    def beside(self, note: str, block: Callable[[], str]) -> Finding:
        """The same, and what else is to be said and shown."""
        self.note, self._block = note, block
        return self

    @property
    def headline(self) -> str:
        """What was broken, in one line."""
        return escaped(RULES[self.rule].says.format_map(self.fields))

    @property
    def left_by_closing(self) -> bool:
        """Whether it says that a connection was closed: that the program then returned is to be added."""
        return self.rule == "unmet-expectation" and "returned" not in self.headline

    @property
    def block(self) -> str:
        """What is shown line by line, as it is. Made only when it is asked for: of thousands, one is shown."""
        return self._block if isinstance(self._block, str) else self._block()


def scenario_error(
    finding: Finding,
    flat: Rows,
    script: Place | None,
    made: Callable[[], Place | None],
    also: Sequence[Finding] = (),
    around: Circumstances | None = None,
    *,
    at_once: bool = True,
) -> ScenarioError:
    """The error for a finding.

    flat: the trace so far, the offending call last. script, made: where the events were written,
    and the socket's own script. at_once: False: the text is made when somebody asks for it.
    """
    around = around or Circumstances()
    rows = Snapshot(flat)
    trace = Trace(flat, len(rows), threads=around.threads)
    if at_once:
        text = _text(finding, rows, script, made(), also, around)
        error = ScenarioError(text, finding.rule, finding.socket, trace)
    else:
        error = ScenarioError(f"[{finding.rule}] {finding.headline}", finding.rule, finding.socket, trace)
        error._text = lambda: _text(finding, rows, script, made(), also, around)
    error._proof = lambda rows: [*_proof(finding, rows), _offence(finding, rows)]
    error._place = lambda: _line(finding, rows, around)
    return error


def _line(finding: Finding, rows: Snapshot, around: Circumstances) -> Place | None:
    """The line that its text is about: the last that it shows of what was done to the socket, or of all; else any."""
    proof = _proof(finding, rows)
    own, librarys = _lines(finding, rows, proof, around)
    if rows and finding.socket is not None and finding.socket not in rows[-1][1:3]:
        own += _lines(finding, rows, proof, around, offence=False)[0]
    lines = [where for _, where in reversed(own)]
    lines += [finding.at] if finding.at is not None else []
    lines += [where for _, where in [*around.standing, *reversed(librarys)]]
    lines += [place(*row[4:]) for row in _done_to(finding.socket, rows)]
    return next((where for where in lines if whose(where.file) == "own"), lines[0] if lines else None)


def _done_to(socket: str | None, rows: Snapshot) -> Sequence[Row]:
    """The last row of a socket, and the last of all."""
    flat, numbers = rows.flat, range(len(rows) - 1, -1, -1) if socket is not None else ()
    about = next((n for n in numbers if socket in flat[n * WIDTH + 1 : n * WIDTH + 3]), None)
    return [*([] if about is None else [rows[about]]), *rows[-1:]]


def _offence(finding: Finding, rows: Snapshot) -> tuple[int, str]:
    """The number of the row that is the offending call, or of the end; and what it is called."""
    if finding.at_end or not rows:
        return len(rows), "the end"
    return len(rows) - 1, RULES[finding.rule].now.format_map(finding.fields)


def _text(
    finding: Finding,
    rows: Snapshot,
    script: Place | None,
    made: Place | None,
    also: Sequence[Finding],
    around: Circumstances,
) -> str:
    rule = RULES[finding.rule]
    for one in (finding, *also[:ALSO]):
        one.fields["server"] = around.program
    proof = _proof(finding, rows)
    reasons = {number: reason_text(why) for number, _, why in around.reasons.values()}
    own, librarys = _lines(finding, rows, proof, around)
    standing = "\n".join(_standing(around.standing))
    awaits = sum(whose(where.file) == "own" for _, where in around.standing)
    if own or awaits:
        librarys = []  # the user's own say more, and the calls below have all
    waits = finding.rule == "stuck" or (finding.rule == "unmet-expectation" and awaits > 1)  # one is the main one
    parts = [
        f"[{finding.rule}] {finding.headline}",  # the rule first: summaries cut lines at their end
        "\n".join(_columns(own)),
        *map(_paragraph, _why(finding, around)),
        standing * waits,
        _paragraph(finding.note),
        _indented(finding.block),
        standing * (not waits),
        "\n".join(_columns(librarys)),
        _paragraph("In production " + rule.suffers.format_map(finding.fields))
        + "\n"
        + _paragraph(rule.mend.format_map(finding.fields)),
        "\n".join(_also(also)),
        "\n".join(
            tail(
                rows,
                at_end=finding.at_end,
                proof=[number for number, _ in proof],
                reasons=reasons,
                threads=around.threads,
            )
        ),
        "\n".join(_footer(finding, script, made)),
    ]
    text = "\n\n".join(part for part in parts if part)
    return "\n".join(map(escaped, text.split("\n")))


TOLD: Final = "In the scenario, the "
"""How a story begins."""


def told(error: BaseException, flat: Rows, around: Circumstances, scripts: Sequence[str]) -> str:
    """What the server did last, and how far the peers have come, as a note to an exception of its own."""
    if not flat:
        return ""
    rows = Snapshot(flat)
    own = reason(error)
    reasons = {number: reason_text(why) for number, _, why in around.reasons.values() if why != own}
    parts = [
        f"{TOLD}{around.program} did last:",
        "\n".join(tail(rows, at_end=False, reasons=reasons, threads=around.threads)),
        *map(_indented, scripts),
        "\n".join(_standing(around.standing)),
    ]
    text = "\n\n".join(part for part in parts if part)
    return "\n".join(map(escaped, text.split("\n")))


def told_stack(shown: Sequence[Place]) -> str:
    """Where a program stands, the line in question first."""
    labelled = [("" if number else "at", one) for number, one in enumerate(shown)]
    return "\n".join(line[2:] for line in _columns(labelled))


def told_threads(standing: Sequence[tuple[str, Place | None]]) -> str:
    """What each thread does, and where it stands, as far as that is known."""
    lines = _columns([(what, where) for what, where in standing if where is not None])
    return "\n".join([line[2:] for line in lines] + [what for what, where in standing if where is None])


def _why(finding: Finding, around: Circumstances) -> list[str]:
    """Which exceptions have to do with it."""
    said: list[str] = []
    number, what, why = around.reasons.get(finding.socket or "", (-1, "", None))
    if why is not None and number >= 0:
        said.append(f"{what} while the {around.program} handled {reason_text(why)}.")
    if around.handled:
        again = why is not None and reason_text(why) in around.handled
        said.append(f"The {around.program} then returned." if again and finding.at_end else around.handled)
        if not again and around.handled.endswith(" returned.") and not finding.left_by_closing:
            said.pop()
    texts = [
        text
        for text in dict.fromkeys(map(reason_text, around.swallowed))
        if text != finding.told and not any(text in one for one in said)
    ]
    said += [f"A handler has raised {text}. Only a log tells of that." for text in texts[:SWALLOWED]]
    if len(texts) > SWALLOWED:
        said.append(f"Handlers have raised {len(texts) - SWALLOWED:,} more exceptions that differ from these.")
    return said


def _also(also: Sequence[Finding]) -> list[str]:
    if not also:
        return []
    most = ALSO if len(also) > ALSO + 1 else ALSO + 1
    lines = ["  Also:", *(f"    [{one.rule}] {one.headline}" for one in also[:most])]
    return lines + [f"    ... and {len(also) - most:,} more"] * (len(also) > most)


def _standing(standing: Sequence[tuple[str, Place]]) -> list[str]:
    if not standing:
        return []
    lines = ["  asyncio's tasks that are not done, and the await at which each stands:"]
    lines += [f"  {line}" for line in _columns(standing[:MOST])]
    return lines + [f"    ... and {len(standing) - MOST:,} more places"] * (len(standing) > MOST)


def _proof(finding: Finding, rows: Snapshot) -> list[tuple[int, str]]:
    """The numbers of the rows that prove a finding, oldest first, and what each is called."""
    found: list[tuple[int, str]] = []
    for proof, label in RULES[finding.rule].proof:
        number = _last(proof, finding.socket, rows, len(rows) - (not finding.at_end))
        if number is not None:
            found.append((number, label))
    return sorted(found)


def _lines(
    finding: Finding,
    rows: Sequence[Row],
    proof: Sequence[tuple[int, str]],
    around: Circumstances,
    *,
    offence: bool = True,
) -> tuple[list[tuple[str, Place]], list[tuple[str, Place]]]:
    """The lines that prove it, the offending call last: those of the user's own code, and those of libraries alone.

    Beside the user's line of the offending call stands that of the library by way of which it was made. offence:
    whether that call is among them.
    """
    own: list[tuple[str, Place]] = []
    librarys: list[tuple[str, Place]] = []
    sent_at, sender = -1, None
    if around.sent_by is not None:
        sent_at, code, instruction = around.sent_by
        sender = place(code, instruction)

    def done(label: str, number: int) -> str:
        return in_thread(label, "" if around.threads is None else around.threads(number))

    for number, label in proof:
        where = place(*rows[number][4:])
        if number == sent_at and sender is not None:
            where = sender
        (own if whose(where.file) == "own" else librarys).append((done(label, number), where))
    own += finding.way
    if rows and offence and not finding.at_end:
        label = done(RULES[finding.rule].now.format_map(finding.fields), len(rows) - 1)
        where = place(*rows[-1][4:])
        if whose(where.file) == "own":
            own.append((label, where))
        elif around.called_from is not None:
            own += [(label, around.called_from), ("  by way of", where)]
        else:
            librarys.append((label, where))
    if not own and sender is not None and rows[sent_at][0].startswith("send"):
        own = [(done("last sent by", sent_at), sender)]
    return own, librarys


def _last(proof: str, socket: str | None, rows: Snapshot, before: int) -> int | None:
    """The number of the last row before one in which an operation was done to `socket`.

    `accept` looks for the row that yielded `socket`, `accept by` for the listener's own.
    """
    operation, _, by = proof.partition(" ")
    flat = rows.flat
    for number in range(before - 1, -1, -1):
        if not flat[number * WIDTH].startswith(operation):
            continue
        done, name, kept = rows[number][:3]
        detail: Any = kept  # Any: what it is depends on the operation
        if done != operation or (isinstance(kept, type) and not done.endswith(":reset")):
            continue
        if operation == "select":
            names: list[str] = [ready[0] for ready in detail] if isinstance(kept, tuple) else []
            if socket is None or socket in names:
                return number
        elif socket == (detail if operation == "accept" and not by else name):
            return number
    return None


def _columns(lines: Sequence[tuple[str, Place]], *, functions: bool = True) -> list[str]:
    """Label, file:line, function (if wanted) and source line, aligned."""
    rows = [
        [label, f"{shown_path(where.file)}:{where.line}", *[f"in {shown(where.function)}"] * functions]
        for label, where in lines
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join([*map(str.ljust, row, widths), _source(where)]).rstrip()
        for row, (_, where) in zip(rows, lines, strict=True)
    ]


def _footer(finding: Finding, script: Place | None, made: Place | None) -> list[str]:
    """Where the script is, and how to allow what was found."""
    places = [("script", script), (finding.socket or "", made)]
    lines = [(f"{label}:", where) for label, where in places if where is not None and where.file not in INSIDE]
    last = f'  on purpose? allow={{"{finding.rule}"}}   why? mockselector explain {finding.rule}'
    return [*_columns(lines, functions=False), last]


def _paragraph(text: str) -> str:
    import textwrap  # here, as linecache: only a failing test pays for them

    indent = "  "
    return textwrap.fill(
        text, COLUMNS, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )  # fmt: skip


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.split("\n")) if text else ""


def _source(where: Place) -> str:
    import linecache

    return shown(linecache.getline(where.file, where.line).strip(), SOURCE)

"""`ScenarioError`, and every text that a user reads of it.

Owns how a broken rule is told: who, what, the server's and the script's lines, what production
would suffer, how to mend it, the end of the trace. Knows the trace and the rules, and nothing of
sockets, selectors or the monitor.
"""

from __future__ import annotations

from ._rules import AT_END, RULES
from ._trace import INSIDE, Place, Trace, place, row_at, row_text, seconds_text, shown_path
from ._trace import WIDTH as WIDTH_OF_ROW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

    from ._rules import RuleId
    from ._trace import Row, Rows

TAIL: Final = 12
"""How many rows of the trace an error shows."""

WIDTH: Final = 98
"""How wide the prose of an error is."""


class ScenarioError(AssertionError):
    """The server broke a rule that production would let it break in silence.

    The message says who and what, shows the lines of the server and of the script, what
    production would suffer and how to mend it, and the end of the trace.
    """

    __module__ = "mockselector"  # tracebacks show where users import it from

    def __init__(self, message: str, rule: RuleId, socket: str | None = None, trace: Trace | None = None) -> None:
        super().__init__(message)
        self.rule: Final = rule
        """The id of the broken rule, as `allow=` takes it."""
        self.socket: Final = socket
        """The name of the socket, as the message has it; None if it is about no single one."""
        self.trace: Final = Trace([]) if trace is None else trace
        """All that had happened when the rule was broken, the offending call last."""

    def __reduce__(self) -> tuple[type[ScenarioError], tuple[str, RuleId, str | None]]:
        # A trace points at code objects, which do not travel between processes; the text does.
        return type(self), (str(self), self.rule, self.socket)


class Finding:
    """A broken rule, with what its texts need."""

    __slots__ = ("at_end", "block", "fields", "made", "note", "rule", "socket")

    def __init__(
        self,
        rule: RuleId,
        socket: str | None,
        fields: Mapping[str, str] | None = None,
        *,
        note: str = "",
        block: str = "",
        made: Place | None = None,
        at_end: bool = False,
    ) -> None:
        self.rule: Final = rule
        self.socket: Final = socket
        self.fields: Final = {"socket": socket or "", **(fields or {})}
        self.note: Final = note
        self.block: Final = block  # what is shown line by line, as it is
        self.made: Final = made  # where the script was written, if it is no socket's
        self.at_end: bool = at_end or RULES[rule].now == AT_END

    @property
    def headline(self) -> str:
        """What was broken, in one line."""
        return RULES[self.rule].says.format_map(self.fields)


def scenario_error(
    finding: Finding, flat: Rows, script: Place | None, made: Place | None, also: Sequence[Finding] = ()
) -> ScenarioError:
    """The error for a finding.

    flat: the trace so far, the offending call last. script, made: where the events were written,
    and the socket's own script.
    """
    trace = Trace(flat.copy())
    rows = [row_at(flat, number) for number in range(len(trace))]
    rule = RULES[finding.rule]
    parts = [
        f"[{finding.rule}] {finding.headline}",  # the rule first: summaries cut lines at their end
        "\n".join(_proof(finding, rows)),
        _paragraph(finding.note),
        _indented(finding.block),
        _paragraph("In production " + rule.suffers.format_map(finding.fields))
        + "\n"
        + _paragraph(rule.mend.format_map(finding.fields)),
    ]
    if also:
        parts.append("\n".join(["  Also:", *(f"    [{one.rule}] {one.headline}" for one in also)]))
    parts.append("\n".join(_tail(rows, at_end=finding.at_end)))
    parts.append("\n".join(_footer(finding, script, made)))
    text = "\n\n".join(part for part in parts if part)
    return ScenarioError(text, finding.rule, finding.socket, trace)


def told(flat: Rows) -> str:
    """What the server did last, as a note to an exception of its own."""
    rows = [row_at(flat, number) for number in range(len(flat) // WIDTH_OF_ROW)]
    return "\n".join(["In the scenario, the server did last:", "", *_tail(rows, at_end=False)]) if rows else ""


def told_stack(shown: Sequence[Place]) -> str:
    """Where a program stands, the line in question first."""
    labelled = [("" if number else "at", one) for number, one in enumerate(shown)]
    return "\n".join(line[2:] for line in _columns(labelled))


def _proof(finding: Finding, rows: Sequence[Row]) -> list[str]:
    """The rows that prove a finding, oldest first, the offending call last."""
    found: list[tuple[int, str]] = []
    for proof, label in RULES[finding.rule].proof:
        number = _last(proof, finding.socket, rows if finding.at_end else rows[:-1])
        if number is not None:
            found.append((number, label))
    shown = [(label, place(*rows[number][4:])) for number, label in sorted(found)]
    now = RULES[finding.rule].now.format_map(finding.fields)
    if rows and not finding.at_end:
        shown.append((now, place(*rows[-1][4:])))
    return _columns(shown)


def _last(proof: str, socket: str | None, rows: Sequence[Row]) -> int | None:
    """The number of the last row in which an operation was done to `socket`.

    `accept` looks for the row that yielded `socket`, `accept by` for the listener's own.
    """
    operation, _, by = proof.partition(" ")
    for number in range(len(rows) - 1, -1, -1):
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


def _columns(shown: Sequence[tuple[str, Place]], *, functions: bool = True) -> list[str]:
    """Label, file:line, function (if wanted) and source line, aligned."""
    rows = [
        [label, f"{shown_path(where.file)}:{where.line}", *[f"in {where.function}"] * functions]
        for label, where in shown
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join([*map(str.ljust, row, widths), _source(where)]).rstrip()
        for row, (_, where) in zip(rows, shown, strict=True)
    ]


def _tail(rows: Sequence[Row], *, at_end: bool) -> list[str]:
    """The end of the trace, one step per `select()`; marked, the offending call or the end."""
    if not rows:
        return []
    first = max(0, len(rows) - TAIL)
    step = sum(1 for row in rows[:first] if row[0] == "select")
    timed = any(row[3] for row in rows)
    lines: list[tuple[str, str, str]] = []
    for number, row in enumerate(rows[first:], first):
        if row[0] == "select":
            step += 1
        opens = row[0] == "select" or number == first
        head = (f"step {step}" if step else "start") if opens else ""
        if timed and opens and step:
            head = f"{head:<8} {seconds_text(row[3])}"
        mark = "> " if number == len(rows) - 1 and not at_end else "  "
        where = place(*row[4:])
        lines.append((mark + head, row_text(row), f"{shown_path(where.file)}:{where.line}"))
    heads = max(len(head) for head, _, _ in lines)
    texts = max(len(text) for _, text, _ in lines)
    shown = [f"{head:<{heads}}   {text:<{texts}}   {where}" for head, text, where in lines]
    return [f"  ... {first} earlier"] * bool(first) + shown + ["> end"] * at_end


def _footer(finding: Finding, script: Place | None, made: Place | None) -> list[str]:
    """Where the script is, and how to allow what was found."""
    places = [("script", script), (finding.socket or "", made)]
    shown = [(f"{label}:", where) for label, where in places if where is not None and where.file not in INSIDE]
    return [*_columns(shown, functions=False), f'  on purpose? allow={{"{finding.rule}"}}']


def _paragraph(text: str) -> str:
    import textwrap  # here, as linecache: only a failing test pays for them

    indent = "  "
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def _source(where: Place) -> str:
    import linecache

    return linecache.getline(where.file, where.line).strip()

"""The end of a trace, as errors show it: folded, numbered by `select()`, with the rows that prove what is said.

Owns which rows are shown and how. Rows that repeat, singly or as a group, are shown once, with how often: a thousand
idle polls say no more than three, and those of an event loop, between its callbacks, nothing. Knows the trace, and
nothing of rules.
"""

from __future__ import annotations

from .._text import shown as short
from .._whose import whose
from .trace import Event, place, row_text, seconds_text, shown_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import Final

    from .trace import Snapshot

TAIL: Final = 12
"""How many lines of the trace an error shows, or a few more."""

LONGEST: Final = 12
"""How many rows a group has at most that is seen to repeat."""

OFTEN: Final = 3
"""So often a group must come in a row to be shown only once."""

MAIN: Final = "MainThread"
"""What the thread is called whose rows need no name: the one that was there before."""

READY: Final = 3
"""How many sockets are named that one `select()` returned."""


def in_thread(text: str, thread: str) -> str:
    """What was done, and by which thread, unless it is the one that was there before."""
    return text if thread in ("", MAIN) else f"{short(thread.partition(' (')[0])}: {text}"


def tail(
    rows: Snapshot, *, at_end: bool, proof: Collection[int] = (), reasons: Mapping[int, str] | None = None,
    threads: Callable[[int], str] | None = None,
) -> list[str]:  # fmt: skip
    """The end of the trace, one step per `select()`; marked, the offending call or the end.

    proof: numbers of rows that are shown even if they lie further up. reasons: by the number of a row, which
    exception was being handled. threads: in which thread a row was, if there was more than one.
    """
    if not rows:
        return []
    groups = list(_groups(rows, at_end=at_end))[::-1]
    first = groups[0][0]
    early = sorted(number for number in proof if number < first)
    timed = bool(rows[-1][3])  # time does not go back
    steps = _Steps(rows)
    width = max(8, len(f"step {rows.selects(0, len(rows))}"))
    lines: list[tuple[str, str, str]] = []
    shown_at = [-1 if not steps.of(len(rows) - 1) else rows[first][3]]  # the times: what never selects has no steps
    steps = _Steps(rows)

    def add(number: int, *, opens: bool) -> None:
        row = rows[number]
        step = steps.of(number)
        head = (f"step {step}" if step else "start") if opens else ""
        if timed and ((opens and step) or row[3] != shown_at[-1]):
            head = f"{head:<{width}} {seconds_text(row[3])}"
        shown_at.append(row[3])
        mark = "> " if number == len(rows) - 1 and not at_end else "  "
        where = place(*row[4:])
        text = row_text(row, READY)
        text = in_thread(text, "" if threads is None else threads(number))
        lines.append((mark + head, text, f"{shown_path(where.file)}:{where.line}"))
        if reasons and number in reasons:
            lines.append(("", f"  while handling {reasons[number]}", ""))

    for number in early:
        add(number, opens=True)
    above = len(lines)
    after = first
    for start, size, times in groups:
        for number in range(start, start + size):
            if size == 1 or not _is_idle(rows, number):
                add(number, opens=rows[number][0] == "select" or number == first or number > after)
                after = number + 1
        after = start + size * times
        if times > 1:
            last = rows[start + size * times - 1][3]
            until = f", until {seconds_text(last)}" if last != rows[start][3] else ""
            folded = sum(Event(row).times - 1 for row in rows[start : start + size * times]) // size
            lines.append(("", f"... {times + folded:,} times in all{until}", ""))
    shown = _aligned(lines)
    hidden = first - len(early)
    return shown[:above] + [f"  ... {hidden:,} earlier"] * bool(hidden) + shown[above:] + ["> end"] * at_end


def _aligned(lines: Sequence[tuple[str, str, str]]) -> list[str]:
    heads = max(len(head) for head, _, _ in lines)
    texts = max(len(text) for _, text, where in lines if where)
    return [f"{head:<{heads}}   {text:<{texts}}   {where}".rstrip() for head, text, where in lines]


class _Steps:
    """How many `select()`s there were up to a row; asked for in ascending order."""

    def __init__(self, rows: Snapshot) -> None:
        self._rows = rows
        self._seen = 0
        self._count = 0

    def of(self, number: int) -> int:
        self._count += self._rows.selects(self._seen, number + 1)
        self._seen = number + 1
        return self._count


def _groups(rows: Snapshot, *, at_end: bool) -> Iterator[tuple[int, int, int]]:
    """From the end on: where a group begins, how many rows it has, and how often it comes in a row."""
    end = len(rows)
    shown = 0
    if not at_end:  # the offending call stands for itself
        end, shown = end - 1, 1
        yield end, 1, 1
    while end > 0 and shown < TAIL:
        size, times = _repeated(rows, end)
        end -= size * times
        if size == 1 and _is_idle(rows, end) and rows[end + times - 1][3] == rows[end][3] and (shown or end):
            continue
        shown += size + (times > 1)
        yield end, size, times


def _is_idle(rows: Snapshot, number: int) -> bool:
    """Whether a library, an event loop, has only looked, in no time: what it then does says more."""
    operation, _, detail, time, code, _ = rows[number]
    polls = operation == "select" and detail == () and whose(code.co_filename) != "own"
    return polls and number > 0 and rows[number - 1][3] == time


def _repeated(rows: Snapshot, end: int) -> tuple[int, int]:
    """The size of the group that repeats up to `end`, and how often it comes; (1, 1) if none does."""
    for size in range(1, LONGEST + 1):
        number = rows.differs(size, end - 1 - size)
        times = 1 + (end - 1 - size - number) // size
        if times >= OFTEN:
            calls = [row[0] for row in rows[end - size : end]]
            begins_in_the_middle = "select" in calls and calls[0] != "select"
            return (1, 1) if begins_in_the_middle else (size, times)
    return 1, 1

"""What happened: an append-only record of every operation of a run.

Owns the row format, the view of a row that users see (`Event`), its one-line text, and the
question which code made a call. Knows nothing of rules, sockets or selectors: a row keeps names,
never objects of the server. A row is written for every call that a server makes, so it
must be cheap: rows lie end to end in one flat list, `WIDTH` entries each, which creates no object
per row that the garbage collector would have to visit; lines are looked up only when read.
"""

from __future__ import annotations

import os
import selectors
import sys
from collections.abc import Sequence

from .._text import VALUE, bytes_text, escaped, shown, value_text
from .._whose import INSIDE, in_its_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType
    from typing import Any, ClassVar, Final, NamedTuple, TypeAlias, overload

    from .._text import Kept

    class Place(NamedTuple):
        """Where in the code something happened."""

        file: str
        line: int
        function: str

    Nanoseconds: TypeAlias = int
    """Virtual time, from the beginning of the run on, and lengths of it."""

    Row: TypeAlias = tuple[str, str, object, Nanoseconds, CodeType, int]
    """Operation, name of the socket or selector, detail, time, code, instruction."""

    Rows: TypeAlias = list[Any]  # Any: the six entries of a row in turn, row after row
else:
    from collections import namedtuple

    Place = namedtuple("Place", "file line function")  # noqa: PYI024  (importing typing costs too much)

CIPHERTEXT: Final = "TLS"
"""What a row keeps of bytes that a program has encrypted by itself, or is to decrypt."""

WIDTH: Final = 6
"""How many entries a row has."""


def row_at(rows: Rows, number: int) -> Row:
    """Row `number` of a flat list."""
    operation, name, detail, time, code, instruction = rows[number * WIDTH : (number + 1) * WIDTH]
    return operation, name, detail, time, code, instruction


class Nothing(tuple[()]):
    """What a `select()` returns that finds nothing; and how often more it did that."""

    more: int = 0


FOLDED: Final = 4
"""From so many equal polls on, at one instant and in one line, there is no row for each: rules look at some."""


def folds(rows: Rows, row: Row) -> bool:
    """Whether a poll that finds nothing is as the last rows are; it is then counted in the last one."""
    if not rows or rows[-WIDTH] != row[0] or rows[3 - WIDTH] != row[3]:  # as mostly
        return False
    detail = rows[2 - WIDTH]
    begins = type(detail) is not Nothing
    if begins and (len(rows) < FOLDED * WIDTH or rows[3 - FOLDED * WIDTH] != row[3]):  # likewise
        return False
    last = rows[-WIDTH:]
    if last != [*row]:
        return False
    if begins:
        if rows[-FOLDED * WIDTH :] != last * FOLDED:
            return False
        rows[2 - WIDTH] = detail = Nothing()
    detail.more += 1
    return True


class Snapshot(Sequence["Row"]):
    """The rows that there are now, while the list grows on; none is made before it is looked at."""

    __slots__ = ("_length", "flat")

    def __init__(self, flat: Rows, length: int | None = None) -> None:
        self.flat: Final = flat
        self._length: Final = len(flat) // WIDTH if length is None else length

    def __len__(self) -> int:
        return self._length

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> Row: ...
        @overload
        def __getitem__(self, index: slice) -> Sequence[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        numbers = range(self._length)[index]
        if isinstance(numbers, int):
            return row_at(self.flat, numbers)
        return [row_at(self.flat, number) for number in numbers]

    def selects(self, first: int, last: int) -> int:
        """How many `select()`s there are from one row on, before another."""
        return self.flat[first * WIDTH : last * WIDTH : WIDTH].count("select")

    def differs(self, size: int, number: int) -> int:
        """The last row up to `number` that is not the same as that `size` further on, at whatever times; -1: none."""
        flat, away = self.flat, size * WIDTH
        at_once = 4
        while number >= 0:
            start, end = max(0, number + 1 - at_once) * WIDTH, (number + 1) * WIDTH
            if flat[start:end] == flat[start + away : end + away]:
                number -= at_once  # at one instant: a busy loop has many that are the same
                at_once = min(2 * at_once, _AT_ONCE)
                continue
            for at in range(end - WIDTH, start - WIDTH, -WIDTH):
                other = at + away
                if flat[at : at + 3] != flat[other : other + 3] or flat[at + 4 : at + 6] != flat[other + 4 : other + 6]:
                    return at // WIDTH
            number = start // WIDTH - 1
        return -1


_AT_ONCE: Final = 4096
"""How many rows are compared at once, at the most."""


def caller(depth: int) -> FrameType:
    """The innermost frame outside `INSIDE`, from `depth` frames above this function's caller."""
    frame = sys._getframe(depth + 1)  # the only way to a frame that costs nothing
    while frame.f_code.co_filename in INSIDE and frame.f_back is not None:
        frame = frame.f_back
    return frame


def outwards(frame: FrameType | None, stop: CodeType | None = None) -> Iterator[FrameType]:
    """A frame and those that have called it, innermost first, as far as that of `stop`."""
    while frame is not None and frame.f_code is not stop:
        yield frame
        frame = frame.f_back


def place(code: CodeType, instruction: int) -> Place:
    """The file, line and function of an instruction (an index into `code`, in bytes)."""
    lines = (number for start, end, number in code.co_lines() if start <= instruction < end)
    return Place(code.co_filename, next(lines, None) or code.co_firstlineno, code.co_name)


def mask_text(mask: object) -> str:
    """READ, WRITE, READ|WRITE; any other mask as its number."""
    names = {
        selectors.EVENT_READ: "READ",
        selectors.EVENT_WRITE: "WRITE",
        selectors.EVENT_READ | selectors.EVENT_WRITE: "READ|WRITE",
    }
    return (names.get(mask) if isinstance(mask, int) else None) or value_text(mask)


def seconds_text(nanoseconds: Nanoseconds) -> str:
    """A time as an error shows it."""
    return f"{nanoseconds / 1e9:.9g} s"


class Event:
    """One row of a trace: what was done, to what, with what result, when, and by which line."""

    __slots__ = ("_row", "actor", "thread")

    def __init__(self, row: Row, actor: str = "server", thread: str = "") -> None:
        self._row = row
        self.thread: str = thread
        """The name of the program's thread that did it; "" where it has only ever had one."""
        self.actor: str = actor
        """Who did it: "server", and in `Trace.whole` also the name of a peer, "choice", "signal" or "time"."""

    @property
    def operation(self) -> str:
        """The operation, as the tables of the rule catalogue name it."""
        return self._row[0]

    @property
    def socket(self) -> str:
        """The name of the socket; for `select` and `close` of a selector, the selector's."""
        return self._row[1]

    @property
    def detail(self) -> object:
        """What it came to.

        `recv`, `send`: the message; of one longer than 32 bytes, or not taken whole, the first 32
        bytes, its length, and how much of it was taken; "TLS" if the program deals with that by itself, and the
        peer is one of the script. `register`, `modify`: the mask. `accept`:
        the client's name. `connect`: the address. `sleep`: seconds. `select`: pairs of name and mask.
        An exception class, if it was refused. In `Trace.whole`, `step`: the step in words; `choice`: the
        decision; `signal`: its name; `time`: seconds.
        """
        return self._row[2]

    @property
    def times(self) -> int:
        """How often it was done: 1, but for polls that find nothing, again and again at one instant.

        Of those the fourth row stands for all that follow.
        """
        detail = self._row[2]
        return 1 + detail.more if isinstance(detail, Nothing) else 1

    @property
    def time(self) -> float:
        """Seconds of virtual time since the run began; 0.0 throughout an event list."""
        return self._row[3] / 1e9

    @property
    def place(self) -> Place:
        """File, line and function of the server's call."""
        return place(self._row[4], self._row[5])

    def _key(self) -> tuple[object, ...]:
        return (*self._row[:4], self.actor, self.times, self.place)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Event) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.operation, self.socket))

    def __str__(self) -> str:
        return row_text(self._row)

    def __repr__(self) -> str:
        file, line, _ = self.place
        return f"<{self} at {shown_path(file)}:{line}>"


class Trace(Sequence[Event]):
    """The record of one run, oldest first; grows while the run goes on."""

    __slots__ = ("_length", "_others", "_rows", "_threads")

    def __init__(
        self, rows: Rows, length: int | None = None, others: Callable[[], Iterator[tuple[int, str, Row]]] | None = None,
        threads: Callable[[int], str] | None = None,
    ) -> None:  # fmt: skip
        self._threads = threads  # asks for the name of the thread in which a row was written
        self._rows = rows
        self._length = length  # if it grows no more
        self._others = others  # what others than the server did: before which row, who, and a row of its own

    @property
    def whole(self) -> list[Event]:
        """What the server did, and what others did meanwhile: steps that peers have taken, decisions, time that passes.

        `Event.actor` says who. A step stands where it was done with; its place is where the script was written.
        """
        from heapq import merge  # here: only who asks for it pays

        others = iter(()) if self._others is None else self._others()
        ours = ((number, "server", row_at(self._rows, number)) for number in range(len(self)))
        threads = self._threads
        found: list[Event] = []
        before: Nanoseconds = 0
        for number, actor, row in merge(others, ours, key=_number):  # of one number, what others did comes first
            time = row[3]
            if time > before:
                found.append(Event(("time", "time", (time - before) / 1e9, *row[3:]), "time"))
                before = time
            found.append(Event(row, actor, threads(number) if threads is not None and actor == "server" else ""))
        return found

    def __len__(self) -> int:
        return len(self._rows) // WIDTH if self._length is None else self._length

    def snapshot(self) -> Snapshot:
        """Its rows, as there are now."""
        return Snapshot(self._rows, len(self))

    def keep(self) -> None:
        """The list will be changed elsewhere than at its end: have one of its own."""
        self._rows = self._rows[: len(self) * WIDTH]

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> Event: ...
        @overload
        def __getitem__(self, index: slice) -> Sequence[Event]: ...

    def __getitem__(self, index: int | slice) -> Event | Sequence[Event]:
        numbers = range(len(self))[index]
        if isinstance(numbers, int):
            return self._event(numbers)
        return [self._event(number) for number in numbers]

    def _event(self, number: int) -> Event:
        return Event(row_at(self._rows, number), thread="" if self._threads is None else self._threads(number))

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Trace) else NotImplemented

    __hash__: ClassVar[None]  # type: ignore[assignment]  # grows, as a list does: __eq__ has set it to None

    def __str__(self) -> str:
        return "\n".join(text for text in map(str, self))

    def __repr__(self) -> str:
        return f"<Trace of {len(self)} operations>"


def _number(one: tuple[int, str, Row]) -> int:
    return one[0]


def row_text(row: Row, most: int | None = None) -> str:
    """A row as one line: `alice.recv() -> b'hi'`, `register(alice, READ)`, `select() -> ...`.

    most: how many of the sockets that a `select()` returned are named; None: all.
    """
    operation, name, kept = row[:3]
    call, _, outcome = operation.partition(":")
    result = f" raises {kept.__name__}" if isinstance(kept, type) else _OUTCOMES.get(outcome, "")
    detail: Any = None if isinstance(kept, type) or outcome else kept  # Any: what it is depends on the call
    match call:
        case "select":
            owner = "" if name == "selector" else "select." if name.startswith("select ") else f"{name}."
            if isinstance(kept, str):
                result = f" -> {kept}"
            elif detail is not None:
                result = f" -> {ready_text(detail, most)}"
            return f"{owner}{wait_text(name)}{result}"
        case "register" | "modify" | "unregister" | "get_key":
            return f"{call}({name}{'' if detail is None else ', ' + mask_text(detail)}){result}"
        case "option" if detail is not None:
            return f"{name}.{shown(detail, VALUE)}"
        case "connect" if isinstance(kept, str):
            return f"{name}.connect({shown(kept, VALUE)}){result}"
        case "bind" if detail is not None:
            return f"{name}.bind({shown(detail, VALUE)})"
        case "step":
            return f"{name} {detail}"
        case "choice":
            return str(detail)
        case "signal":
            return f"{detail} comes"
        case "time":
            return f"{detail:g} s pass"
        case "sleep":
            return f"time.sleep({'' if detail is None else shown(str(detail))}){result}"
        case "close" if detail is not None:
            return f"{name}.close() ({detail})"
        case "send" if detail == CIPHERTEXT:
            return f"{name}.send({CIPHERTEXT})"
        case "recv" | "peek" if detail == CIPHERTEXT:
            return f"{name}.{call}() -> {CIPHERTEXT}"
        case "send" if detail is not None:
            return f"{name}.send({bytes_text(detail)}){_short_text(detail)}"
        case "recv" | "peek" if detail is not None:
            return f"{name}.{call}() -> {bytes_text(detail)}"
        case "accept" if detail is not None:
            return f"{name}.accept() -> {detail}"
        case "shutdown":
            return f"{name}.shutdown({outcome})"
        case _:
            return f"{name}.{call}(){result}"


def wait_text(name: str) -> str:
    """The method by which a selector of that name waits, or a poll object."""
    return "poll()" if name.startswith(("poll", "epoll")) else "select()"


def ready_text(ready: Sequence[tuple[str, int]], most: int | None = None) -> str:
    """What a `select()` returned; most: as for `row_text`."""
    named = [f"{name} {mask_text(mask)}" for name, mask in ready[:most]]
    more = len(ready) - len(named)
    return ", ".join(named) + f" and {more:,} more" * bool(more) or "nothing"


_OUTCOMES: Final = {
    "eof": " -> b''",
    "again": " would block",
    "timeout": " times out",
    "blocks": " blocks",
    "waits": " waits",
    "later": " is under way",
}


def _short_text(kept: Kept) -> str:
    if isinstance(kept, bytes) or kept[2] == kept[1]:
        return ""
    return f" -> {kept[2]}"


def shown_path(file: str) -> str:
    """A path as short as it can be and still be opened from the working directory, or found in its library; escaped."""
    inside = in_its_library(file)
    if inside != file:
        return escaped(inside)
    if not file.startswith("<"):
        try:
            relative = os.path.relpath(file)
        except (OSError, ValueError):  # no working directory; another drive
            relative = os.pardir
        file = file if relative.startswith(os.pardir) else relative
    return escaped(file)

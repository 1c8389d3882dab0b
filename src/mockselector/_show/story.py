"""The story of a run: its lanes, and its lines with what is marked in them. Every picture of a run shows these.

Owns which lanes there are, from which lane to which something goes, which lines begin a batch of readiness, and how
what was found is found again among the events. Knows no form in which it is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from .._judge.errors import ScenarioError
from .._judge.trace import CIPHERTEXT, seconds_text, shown_path
from .._text import escaped, short, shown
from .conversations import Message, Streams, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .._judge.trace import Event, Trace
    from .conversations import Conversation

    Kind = Literal["wait", "in", "out", "close", "call", "step", "choice", "signal", "time"]

LONGEST: Final = 300
"""How many characters of a line are shown."""

IN: Final = frozenset(("recv", "peek", "accept"))
"""What takes something from a peer ..."""

OUT: Final = frozenset(("send", "connect", "shutdown"))
"""... and what gives it something."""

NOBODYS: Final = frozenset(("choice", "signal", "time"))
"""Actors that are neither the server nor a peer."""


class Mark(NamedTuple):
    """Why a line is to be looked at."""

    label: str
    rule: str
    is_violation: bool


class Line(NamedTuple):
    """One event, as it is shown."""

    number: int
    event: Event
    kind: Kind
    text: str
    place: str
    source: int
    """The lane from which it goes; of what goes nowhere, where it is."""
    target: int
    step: int
    """How many `select()`s there were up to it."""
    begins: bool
    """Whether it is the first of a batch."""
    message: Message | None
    marks: tuple[Mark, ...]

    @property
    def violates(self) -> bool:
        """Whether it is the offending call of a finding."""
        return any(mark.is_violation for mark in self.marks)


class Finding(NamedTuple):
    """An error beside a run."""

    text: str
    at: int | None
    """The number of the line that is its offending call; None: it is about none, or the end."""
    proof: tuple[tuple[int, str], ...]
    """Numbers of the lines that prove it, and what each is called."""
    headline: str
    at_end: bool
    """Whether it was found when the end of the run was judged."""


class Story:
    """All that is shown of a run."""

    def __init__(
        self, trace: Trace, errors: Sequence[BaseException | str], talks: Sequence[Conversation], rows: slice | None
    ) -> None:
        events, numbers = _part(trace.whole, rows)
        self.threads: Final = _threads(events)
        """Lanes of the server: its threads, or itself."""
        self.lanes: Final = [*self.threads, *_others(events, talks)]
        """The names of all, in the order in which they are shown."""
        self.heads: Final = [shown(name.partition(" (")[0] if name in self.threads else name) for name in self.lanes]
        """The same, short."""
        self.findings: Final = [_finding(error, numbers) for error in errors]
        self.lines: Final = [*self._lines(events, talks, _marks(errors, numbers))]

    @property
    def seconds(self) -> float:
        """When the last of it was."""
        return self.lines[-1].event.time if self.lines else 0.0

    @property
    def steps(self) -> int:
        """How many `select()`s there were."""
        return self.lines[-1].step if self.lines else 0

    def _lines(
        self, events: Sequence[Event], talks: Sequence[Conversation], marks: dict[int, list[Mark]]
    ) -> Iterator[Line]:
        places = _Places()
        streams = {talk.name: Streams(talk) for talk in talks}
        lanes = {name: number for number, name in enumerate(self.lanes)}
        begins = _begins(events)
        step = 0
        for number, event in enumerate(events):
            kind = _kind(event)
            step += kind == "wait"
            source, target = self._way(event, kind, lanes)
            yield Line(
                number + 1, event, kind, escaped(short(str(event), LONGEST)), places.of(event), source, target, step,
                number in begins, _message(event, streams), tuple(marks.get(number + 1, ())),
            )  # fmt: skip

    def _way(self, event: Event, kind: Kind, lanes: dict[str, int]) -> tuple[int, int]:
        """From which lane to which it goes."""
        if event.actor != "server":
            lane = lanes.get(event.actor, 0)
            return lane, lane
        here = lanes.get(event.thread, 0) if len(self.threads) > 1 else 0
        detail: Any = event.detail  # Any: of an accept(), a name
        named = detail if event.operation == "accept" and isinstance(detail, str) else event.socket
        there = lanes.get(named, here) if kind in ("in", "out", "close") else here
        if there < len(self.threads):
            there = here
        return (there, here) if kind == "in" else (here, there)


class _Places:
    """Where the code of each event is, as short as texts show it."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}

    def of(self, event: Event) -> str:
        if event.actor in NOBODYS:
            return ""
        file, line, _ = event.place
        if file not in self._files:
            self._files[file] = shown_path(file)
        return f"{self._files[file]}:{line}"


def _part(events: list[Event], rows: slice | None) -> tuple[list[Event], dict[int, int]]:
    """The events of some rows of the server's, with what others did between; and the number of each row's line."""
    numbers: dict[int, int] = {}
    first, last = (0, None) if rows is None else (rows.start or 0, rows.stop)
    found: list[Event] = []
    row = 0
    for event in events:
        if row >= first and (last is None or row < last):
            found.append(event)
            if event.actor == "server":
                numbers[row] = len(found)
        row += event.actor == "server"
    return found, numbers


def _threads(events: Iterable[Event]) -> list[str]:
    names = list(dict.fromkeys(event.thread for event in events if event.actor == "server" and event.thread))
    return names if len(names) > 1 else ["server"]


def _others(events: Iterable[Event], talks: Iterable[Conversation]) -> list[str]:
    """Peers, and sockets over which something was said, in the order in which they come."""
    names: dict[str, None] = {}
    listening = {event.socket for event in events if event.operation in ("listen", "accept")}
    for event in events:
        if event.actor not in NOBODYS and event.actor != "server":
            names.setdefault(event.actor)
        elif event.operation == "accept" and isinstance(event.detail, str):
            names.setdefault(event.detail)
        elif call_of(event) in IN | OUT and event.socket not in listening and event.actor == "server":
            names.setdefault(event.socket)
    for talk in talks:
        names.setdefault(talk.name)
    return list(names)


def when_text(seconds: float) -> str:
    """A time of an event."""
    return seconds_text(round(seconds * 1e9))


def call_of(event: Event) -> str:
    """What was called, whatever came of it."""
    return event.operation.partition(":")[0]


def _kind(event: Event) -> Kind:
    if event.actor != "server":
        kinds: dict[str, Kind] = {"choice": "choice", "signal": "signal", "time": "time"}
        return kinds.get(event.actor, "step") if event.operation != "step" else "step"
    call = call_of(event)
    if call == "select":
        return "wait"
    return "in" if call in IN else "out" if call in OUT else "close" if call == "close" else "call"


def _begins(events: Sequence[Event]) -> set[int]:
    """Which events are the first of a batch: a `select()`, with what others did since the server's last call."""
    found: set[int] = set()
    first = 0
    for number, event in enumerate(events):
        if event.actor != "server":
            continue
        if call_of(event) == "select":
            found.add(first)
        first = number + 1
    if first < len(events):
        found.add(first)
    found.add(0)
    return found


def _message(event: Event, streams: dict[str, Streams]) -> Message | None:
    """The bytes of an event, if it is about some."""
    if event.operation == "step" and event.actor in streams:
        return streams[event.actor].step()
    kept: Any = event.detail  # Any: of these calls, a message or none
    if event.actor != "server" or event.operation not in ("recv", "peek", "send") or not _is_kept(kept):
        return None
    of = streams.get(event.socket)
    if of is None:
        return plain(kept)
    return of.writes(kept) if event.operation == "send" else of.reads(kept, peeks=event.operation == "peek")


def _is_kept(kept: object) -> bool:
    return kept != CIPHERTEXT and isinstance(kept, (bytes, tuple))


def _proof(error: BaseException | str, numbers: dict[int, int]) -> tuple[list[tuple[int, str]], int | None]:
    """Numbers of the lines that prove an error, and what each is called; and that of the offending call, the last."""
    if not isinstance(error, ScenarioError) or not error.proof:
        return [], None
    proof, end = error.proof, len(error.trace)
    lines = [(numbers[row], label) for row, label in proof if row < end and row in numbers]
    return lines, numbers.get(proof[-1][0]) if proof[-1][0] < end else None


def _marks(errors: Iterable[BaseException | str], numbers: dict[int, int]) -> dict[int, list[Mark]]:
    """By the number of a line."""
    found: dict[int, list[Mark]] = {}
    for error in errors:
        lines, at = _proof(error, numbers)
        for number, label in lines:
            rule = error.rule if isinstance(error, ScenarioError) else ""
            found.setdefault(number, []).append(Mark(label, rule, number == at))
    return found


def _finding(error: BaseException | str, numbers: dict[int, int]) -> Finding:
    if isinstance(error, str):
        return Finding(error, None, (), error.partition("\n")[0], at_end=False)
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    lines, at = _proof(error, numbers)
    proof = tuple(line for line in lines if line[0] != at)
    text = str(error)
    at_end = isinstance(error, ScenarioError) and bool(error.proof) and error.proof[-1][0] >= len(error.trace)
    headline = text.partition("\n")[0] if isinstance(error, ScenarioError) else f"{name}: {text}".partition("\n")[0]
    return Finding(f"{name}: {text}", at, proof, headline, at_end)

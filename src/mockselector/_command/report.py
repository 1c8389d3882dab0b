"""What came of a run: as text, as JSON, or as annotations of a workflow.

Owns the three formats, and at which line of the program an exception is shown; at which a finding is, that says itself
(`ScenarioError.place`). Knows findings and their traces, and nothing of how the run was made.
"""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from .._judge.errors import ScenarioError
from .._judge.rules import RULES
from .._judge.trace import shown_path
from .._play.spinning import PATIENT
from .._text import bytes_text, excerpt
from .._whose import whose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from .._judge.trace import Trace
    from .._play.peer import Peer
    from .._show.timeline import Timeline
    from .paper import Paper

Format: TypeAlias = Literal["text", "json", "github"]

FORMATS: Final = ("text", "json", "github")


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    program: str
    """What was run, as it was given."""
    error: BaseException | None
    """What came out of it: a finding, or the program's own."""
    seconds: float
    """Of virtual time."""
    trace: Trace
    peers: Sequence[Peer]
    timeline: Callable[[], Timeline]

    @property
    def status(self) -> int:
        """The exit status of the command."""
        return 0 if self.error is None else 1


def tell(outcome: Outcome, paper: Paper, form: Format) -> None:
    """Write what came of a run."""
    if form == "json":
        paper.say(json.dumps(_as_data(outcome)))
    elif form == "github" and outcome.error is not None:
        paper.say(_as_annotation(outcome.error))
    elif outcome.error is not None:
        paper.say(_text(outcome.error))
    else:
        for peer in outcome.peers:
            paper.say(f"  {peer.name} has received {bytes_text(excerpt(peer.received))}")
        calls = f"{len(outcome.trace):,} calls"
        paper.say(f"{outcome.program}: nothing found; {calls}, {outcome.seconds:,g} s of virtual time", "green")


def _text(error: BaseException) -> str:
    """A finding's own text has all; any other exception is told as Python does."""
    if isinstance(error, ScenarioError):
        told = f"mockselector.ScenarioError: {error}"
        told = told.replace(f'on purpose? allow={{"{error.rule}"}}', f"on purpose? --allow {error.rule}")
        return told.replace(PATIENT, "--watchdog 300")
    if isinstance(error, SystemExit):
        said = "" if isinstance(error.code, int) else f", and says: {_said(error.code)}"  # as Python does
        return f"the program has left with exit status {1 if said else error.code}{said}"
    shown = error.__traceback__
    while shown is not None and runs_it(shown.tb_frame):
        shown = shown.tb_next
    return "".join(traceback.format_exception(type(error), error, shown)).rstrip()


def interrupted(error: KeyboardInterrupt) -> str:
    """Of Ctrl-C: where the program was, and with it what it did last and how far its peers had come."""
    return f"mockselector: interrupted\n{_text(error)}" if place_of(error) else "mockselector: interrupted"


def runs_it(frame: FrameType) -> bool:
    """Whether it is not the program's, but of what has run it."""
    return frame.f_globals.get("__name__") == "runpy" or whose(frame.f_code.co_filename) == "ours"


def _headline(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return _text(error).partition("\n")[0]
    first = _said(error).partition("\n")[0]
    if isinstance(error, ScenarioError):
        return first.removeprefix(f"[{error.rule}] ")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _said(thing: object) -> str:
    """The text of something of the program's own; "" if it has none that can be shown."""
    try:
        return str(thing)
    except Exception:
        return ""


def place_of(error: BaseException) -> tuple[str, int] | None:
    """The line of the program's own at which it is shown."""
    if isinstance(error, ScenarioError):
        place = error.place
        return None if place is None else (shown_path(place.file), place.line)
    lines = [(one.filename, one.lineno) for one in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename is not None:
        lines.append((error.filename, error.lineno))
    own_lines = [(shown_path(file), line) for file, line in lines if line is not None and whose(file) == "own"]
    return own_lines[-1] if own_lines else None


def _as_data(outcome: Outcome) -> dict[str, object]:
    """One object: `outcome` is "clean", "finding" or "exception"; what there is none of is null."""
    error = outcome.error
    finding = error if isinstance(error, ScenarioError) else None
    place = None if error is None else place_of(error)
    return {
        "outcome": "clean" if error is None else "exception" if finding is None else "finding",
        "program": outcome.program,
        "rule": None if finding is None else finding.rule,
        "level": None if finding is None else RULES[finding.rule].level,
        "socket": None if finding is None else finding.socket,
        "exception": None if error is None or finding is not None else type(error).__name__,
        "headline": None if error is None else _headline(error),
        "file": None if place is None else place[0],
        "line": None if place is None else place[1],
        "text": None if error is None else _text(error),
        "seconds": outcome.seconds,
        "calls": len(outcome.trace),
        "peers": [
            {"name": peer.name, "received": peer.received.decode("utf-8", "backslashreplace")} for peer in outcome.peers
        ],
    }


def _as_annotation(error: BaseException) -> str:
    """A workflow command, which GitHub shows at the line."""
    place = place_of(error)
    title = error.rule if isinstance(error, ScenarioError) else type(error).__name__
    values = {"title": f"mockselector: {title}"}
    if place is not None:
        values = {"file": place[0], "line": str(place[1]), **values}
    said = ",".join(f"{name}={_quoted(value, in_value=True)}" for name, value in values.items())
    return (
        f"::error {said}::{_quoted(str(error) if isinstance(error, ScenarioError) else _text(error), in_value=False)}"
    )


def _quoted(text: str, *, in_value: bool) -> str:
    quotes = {"%": "%25", "\r": "%0D", "\n": "%0A", **({":": "%3A", ",": "%2C"} if in_value else {})}
    return "".join(quotes.get(one, one) for one in text)

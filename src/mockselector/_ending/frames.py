"""Our frames out of the tracebacks that a test gets to see, whatever shows them.

Owns which frames go, so that a traceback goes from the test's line to the server's. pytest leaves out frames that say
`__tracebackhide__`. unittest has nothing of the kind: what says `__unittest` is left out at the outer end only, and of
a plain AssertionError all from the first such frame on goes, the server's lines with it. So they are taken out.
"""

from __future__ import annotations

from .._whose import whose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final

CALLER: Final = f"{__name__.partition('.')[0]}._program"
"""The file in which the test's own functions are called."""

DEEP: Final = 50
"""How many exceptions that came of each other are looked at."""


def leave_out_ours(error: BaseException, said_aloud: tuple[type[BaseException], ...]) -> None:
    """Take our frames out of the traceback of `error`, and of what it came of.

    said_aloud: what we raise on purpose, if not by a `raise`. Of anything else that comes from our lines, and
    of our own `assert`s, the last frames stay: it is our fault.
    """
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen and len(seen) < DEEP:
        seen.add(id(one))
        one.__traceback__ = _without_ours(one.__traceback__, one, said_aloud)
        one = one.__cause__ or one.__context__


def _without_ours(
    traceback: TracebackType | None, error: BaseException, said_aloud: tuple[type[BaseException], ...]
) -> TracebackType | None:
    steps: list[TracebackType] = []
    while traceback is not None:
        steps.append(traceback)
        traceback = traceback.tb_next
    end = len(steps)
    to_the_end = isinstance(error, said_aloud) or (
        bool(steps) and type(error) is not AssertionError and (_is_a_raise(steps[-1]) or _calls_theirs(steps[-1]))
    )
    while not to_the_end and end and _is_ours(steps[end - 1]):
        end -= 1
    kept = [*(step for step in steps[:end] if not _is_ours(step)), *steps[end:]]
    for number, step in enumerate(kept, 1):
        step.tb_next = kept[number] if number < len(kept) else None
    first = kept[0] if kept else None
    if steps and steps[0] is not first:
        steps[0].tb_next = first  # 3.10 goes on with the first step, whatever is made of it here
    return first


def _is_a_raise(step: TracebackType) -> bool:
    """Whether it was a `raise` (or an `assert`) from which the exception came."""
    from opcode import opmap  # here: only a failing test pays for it

    return step.tb_frame.f_code.co_code[step.tb_lasti] == opmap["RAISE_VARARGS"]


def _calls_theirs(step: TracebackType) -> bool:
    """Whether it is where we call what a test gives to be run: its arguments were not those that it takes."""
    return _is_ours(step) and step.tb_frame.f_globals.get("__name__") == CALLER


def _is_ours(step: TracebackType) -> bool:
    frame = step.tb_frame
    made_here = frame.f_globals.get("__package__") == __package__  # a dataclass's methods are in no file
    return made_here or whose(frame.f_code.co_filename) == "ours"

"""Why something was done: the exception that was being handled, and the user's own line further up.

Owns what is kept of an exception (texts only: the exception itself would keep frames and sockets alive) and the walk
from the call at hand to the user's own code, past the standard library and installed packages. Knows traces and files.
"""

from __future__ import annotations

import builtins
import gc
import sys

from .._text import shown, value_text
from .._whose import INSIDE, whose
from .trace import Place, outwards, place, shown_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any, Final, NamedTuple

    class Reason(NamedTuple):
        """An exception, as texts show it."""

        kind: str
        message: str
        place: Place | None
        """The innermost line of the user's own code through which it came; else, of any that is not ours."""
else:
    from collections import namedtuple

    Reason = namedtuple("Reason", "kind message place")  # noqa: PYI024  (importing typing costs too much)

MESSAGE: Final = 120
"""How many characters of an exception's own message are shown."""

NESTED: Final = 20
"""How many groups of exceptions in each other are looked into."""

OF_PEERS: Final = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, EOFError, TimeoutError)
"""What a peer's own doing comes out as: a reset, an end in the middle, silence."""

_GROUP: Final[Any] = getattr(builtins, "BaseExceptionGroup", ())  # Any: of Python 3.11

LOOP: Final = "_run_once"
"""The function of an event loop below which nobody has called what it calls."""


def reason(error: BaseException) -> Reason:
    """What is to be said of an exception; of a group of them, what is in it."""
    error, more = _in_group(error)
    try:
        message = str(error)
    except Exception:
        message = value_text(error, MESSAGE)
    beside = f" (and {more:,} more in its group)" if more else ""
    return Reason(shown(type(error).__name__), shown(message, MESSAGE) + beside, _raised_at(error))


def _in_group(error: BaseException) -> tuple[BaseException, int]:
    """The first in a group of exceptions, and how many more there are; of any other, that."""
    more = 0
    for _ in range(NESTED):
        inner: Any = getattr(error, "exceptions", None) if isinstance(error, _GROUP) else None  # Any: 3.10 has none
        if not inner:
            break
        more += len(inner) - 1
        error = inner[0]
    return error, more


def reason_text(why: Reason) -> str:
    """`ValueError: no number (server.py:3 in handle)`."""
    text = f"{why.kind}: {why.message}" if why.message else why.kind
    if why.place is None:
        return text
    return f"{text} ({shown_path(why.place.file)}:{why.place.line} in {shown(why.place.function)})"


def way_of(error: BaseException) -> list[Place]:
    """The user's own lines through which an exception came, outermost first; else, the last of any that is not ours."""
    found: list[Place] = []
    step = _in_group(error)[0].__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename not in INSIDE:
            found.append(Place(code.co_filename, step.tb_lineno, code.co_name))
        step = step.tb_next
    own = [where for where in found if whose(where.file) == "own"]
    return own or found[-1:]


def _raised_at(error: BaseException) -> Place | None:
    found = way_of(error)
    return found[-1] if found else None


def tells_of_a_peer(error: BaseException) -> bool:
    """Whether an exception, or all in a group of them, only tells that the other end has gone, or is silent."""
    inner: Any = getattr(error, "exceptions", None) if isinstance(error, _GROUP) else None  # Any: 3.10 has none
    if inner:
        return all(map(tells_of_a_peer, inner))
    one: BaseException | None = error
    for _ in range(NESTED):
        if (
            one is None or isinstance(one, OF_PEERS) or type(one).__name__ == TimeoutError.__name__
        ):  # asyncio's, in 3.10
            break
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    else:
        return False
    return one is not None


def is_the_servers(error: BaseException) -> bool:
    """Whether it is code that is not ours that handles it; else it is a matter among ourselves."""
    return error.__traceback__ is None or error.__traceback__.tb_frame.f_code.co_filename not in INSIDE


def is_the_collectors(frame: FrameType | None, stop: CodeType | None = None) -> bool:
    """Whether what others have the collector call (`gc.callbacks`) is under way, as far as `stop`."""
    callbacks = [getattr(one, "__code__", None) for one in gc.callbacks]
    return bool(callbacks) and any(one.f_code in callbacks for one in outwards(frame, stop))


def is_dropping(frame: FrameType | None = None, stop: CodeType | None = None) -> bool:
    """Whether a `__del__`, or what others have the collector call, is under way: whoever raises there is not heard.

    frame: the innermost, else that of the caller; stop: the first that does not count.
    """
    frame = sys._getframe(1) if frame is None else frame
    return any(one.f_code.co_name == "__del__" for one in outwards(frame, stop)) or is_the_collectors(frame, stop)


PASSES_ON: Final = ("_join",)
"""Functions of ours that call the real thing, which then calls us."""


def called_from() -> Place | None:
    """The user's own line from which the call at hand comes; None: the call is the user's own, or nobody's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename in INSIDE:
        frame = frame.f_back
    found = own_line(frame)
    return None if found is None or (frame is not None and found[0] is frame.f_code) else place(*found)


def own_line(frame: FrameType | None) -> tuple[CodeType, int] | None:
    """The user's own line from which a frame, not of ours, is called; or the frame's. None: nobody's.

    Beyond the next frame of ours, all is the test's, and below an event loop there is no caller.
    """
    while frame is not None:
        code = frame.f_code
        kind = whose(code.co_filename)
        if kind == "own":
            return code, frame.f_lasti
        if (kind == "ours" and code.co_name not in PASSES_ON) or (code.co_name == LOOP and kind == "stdlib"):
            return None
        frame = frame.f_back
    return None

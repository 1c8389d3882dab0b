"""Getting out of a server that swallows every exception around `select()`.

Owns the last means: an exception raised not from the call, where the server catches it, but from
one of the server's own lines, where it may not. Knows nothing of sockets, selectors or rules.
"""

from __future__ import annotations

import os
import sys
from _thread import get_ident

from ._whose import INSIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any, Final

ATTEMPTS: Final = 2000
"""After so many attempts the process is ended: that is better than a test that hangs."""


def escape(error: BaseException, attempt: int, stop: CodeType, message: str) -> Callable[[], None]:
    """Let this thread raise `error` at the server's `attempt`-th line from now.

    The first lines lie in the handler that swallows; later ones outside of it, and a loop has at
    least one line outside of every `try` in it. Frames from `stop` outwards are the test's and are
    left alone. Returns a function that takes all this back, and puts back whatever traced before.
    """
    if attempt > ATTEMPTS:
        os.write(2, f"\nmockselector: the server cannot be ended, so the process is\n\n{message}\n".encode())
        os._exit(70)  # pragma: no cover  (nothing is left to measure it)
    before, thread = sys.gettrace(), get_ident()
    lines = 0
    traced: list[FrameType] = []

    # Any: a trace function, recursively. No coverage: while it traces, nothing else can.
    def trace(_frame: FrameType, event: str, _argument: object) -> Any:  # pragma: no cover
        nonlocal lines
        if event == "line" and traced:
            lines += 1
            if lines >= attempt:
                raise error
        return trace

    frame: FrameType | None = sys._getframe(1)  # the server's frames are what is wanted
    innermost = True
    while frame is not None and (innermost or frame.f_code is not stop):
        if frame.f_code.co_filename not in INSIDE:
            frame.f_trace = trace
            traced.append(frame)
            innermost = False  # a loop may stand in the test's own frame
        frame = frame.f_back
    sys.settrace(_no_trace)  # new frames are not traced, but these now are

    def undo() -> None:
        for one in traced:
            one.f_trace = before  # type: ignore[assignment]  # the same type, in two spellings
        traced.clear()
        if get_ident() == thread:
            sys.settrace(before)

    return undo


def _no_trace(_frame: FrameType, _event: str, _argument: object) -> None: ...

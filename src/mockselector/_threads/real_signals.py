"""Signals of the process, while a program has threads: they come to its first thread, which may not have the baton.

Owns when the handlers of whoever runs the test are then called: in the first thread, when it runs, and in no line of
those that give the baton away, or of a lock. The signals of the program itself are `signals`' business.
"""

from __future__ import annotations

import signal
import sys
import threading
from _thread import get_ident, start_new_thread
from importlib import import_module
from time import sleep
from typing import TYPE_CHECKING, Any, Final

from .._whose import INSIDE

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from types import FrameType

    Handler = Callable[[int, FrameType | None], Any]

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_in_c: Final[Any] = import_module("_signal")  # Any: the stubs do not tell of it
_signal: Final[Callable[[int, Any], Any]] = _in_c.signal  # whatever is put in the place of these names
_getsignal: Final[Callable[[int], Any]] = _in_c.getsignal

MOMENT: Final = 0.001
"""Seconds after which a signal is sent again that has come within a lock."""

_HANDED: Final = "_threads/threads.py", "_threads/strands.py", "_threads/real_signals.py"
_WHOLE: Final = "_install/locks.py", "_install/threads.py", "_install/pools.py"


class RealSignals:
    """What is in the place of the handlers of the process."""

    __slots__ = ("_before", "_calls", "_main", "_presses")

    def __init__(self, calls: deque[Callable[[], object]], presses: Callable[[], object]) -> None:
        self._calls: Final = calls  # what the first thread does before all else
        self._presses: Final = presses  # called when one comes while another one still waits to be handled
        self._main: Final = get_ident()
        self._before: Final[dict[int, tuple[Any, Any]]] = {}  # the handlers that were there, and what is there now

    def begin(self) -> None:
        """From now on; in no other thread than that of the process which gets them."""
        if self._before or threading.current_thread() is not threading.main_thread():
            return
        for number in sorted(signal.valid_signals()):
            handler = _getsignal(number)
            if callable(handler):
                ours = self._instead_of(handler)
                self._before[number] = (handler, ours)
                _signal(number, ours)

    def close(self) -> None:
        """Put back what was there, the handler of Ctrl-C last. Does nothing when that is done."""
        for number in sorted(self._before, key=_interrupts):
            handler, ours = self._before[number]
            if _getsignal(number) is ours:
                _signal(number, handler)
        self._before.clear()

    def _instead_of(self, handler: Handler) -> Handler:
        def comes(number: int, frame: FrameType | None) -> Any:
            where = _stands_in(frame)
            if where == "handed":
                waiting = bool(self._calls)
                self._calls.append(lambda: handler(number, sys._getframe()))
                if waiting:
                    self._presses()
                return None
            if where == "whole":
                start_new_thread(_send_again, (self._main, number))
                return None
            return handler(number, frame)

        comes.stands_for = handler  # type: ignore[attr-defined]  # for the thread that looks after runs
        return comes


def _stands_in(frame: FrameType | None) -> str:
    """Whether a signal has come in what hands the baton on, within a lock, or elsewhere."""
    whole = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.endswith(_HANDED) and file in INSIDE:
            return "handed"
        starts = file == threading.__file__ and frame.f_code.co_name == "start"
        if starts or (file.endswith(_WHOLE) and file in INSIDE):
            whole = "whole"  # what `threading` has noted of a thread is to become true
        elif file not in INSIDE and file != threading.__file__:
            return whole
        frame = frame.f_back
    return whole


def _interrupts(number: int) -> bool:
    return number == signal.SIGINT


def _send_again(thread: int, number: int) -> None:
    sleep(MOMENT)
    signal.pthread_kill(thread, number)

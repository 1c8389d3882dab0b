"""A guard in real time: a turn of the server that never ends is told, and ended.

Owns one thread of the process, which looks now and then whether each run has called anything of its
scenario since. It counts its own looks, not seconds, so that a process that was stopped for an hour
has not been idle for one; and it adds nothing to any call of a server. Knows nothing of sockets,
selectors or rules.
"""

from __future__ import annotations

import os
import signal
import sys
from _thread import RLock, allocate_lock, get_ident, start_new_thread
from threading import gettrace, main_thread

from .._judge.trace import place, shown_path
from .._whose import INSIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any, Final

    from .._judge.trace import Place

LOOKS: Final = 4
"""How often it looks, at the least, before a turn has taken too long."""

LONGEST: Final = 1.0
"""Seconds between two looks, at the most."""

DEEPEST: Final = 20
"""How many frames are shown."""

LINGERS: Final = 5
"""How often it looks where nothing runs, before it goes to sleep."""

_STDLIB: Final = os.path.dirname(os.__file__)

_AT_WORK: Final = frozenset(
    file
    for file in INSIDE
    if not file.startswith(_STDLIB)
    and os.path.basename(os.path.dirname(file)) != "_install"
    and os.path.basename(file) not in ("threads.py", "strands.py")
)
"""Our own files, but for those whose functions pass calls on to the system, or from one thread to another."""

_lock: Any = RLock()  # Any: the stubs do not tell of the method that tells who holds it
_bell = allocate_lock()  # held while nobody has rung
_watched: Final[dict[int, tuple[Watchdog, ...]]] = {}  # by thread, the innermost last
_pause = -1.0  # how long the thread sleeps now; -1: until the bell rings
_vain = 0  # looks in a row where nothing ran
_started = False


class Watchdog:
    """One run that is looked after."""

    def __init__(
        self, seconds: float | None, pulse: Callable[[], object], too_long: Callable[[float, FrameType, int], None],
        running: Callable[[], int] | None = None, unmoved: Callable[[FrameType, int, bool], None] | None = None,
    ) -> None:  # fmt: skip
        self.seconds: Final = seconds
        self.interrupted = False
        """Whether it was got out of a call by a signal, so that a KeyboardInterrupt is the guard's."""
        self._pulse: Callable[[], object] = pulse
        self._too_long: Callable[[float, FrameType, int], object] = too_long
        self._running: Callable[[], int] = running or _nobody
        self._unmoved: Callable[[FrameType, int, bool], object] = unmoved or _over
        self._seen: object = None  # where it stood when it was last looked at
        self._still = 0  # and how often it had not moved
        self._thread = 0
        self._last: object = None
        self._idle = 0  # how often nothing had changed
        self._fired = False
        self._stands: object = None  # where it stood when it was told
        self._signals = 0

    @property
    def _needed(self) -> int:
        """How many looks a turn may take."""
        return LOOKS if self.seconds is None else max(LOOKS, round(self.seconds / LONGEST))

    def begin(self) -> None:
        """The server begins."""
        if self.seconds is None:
            return
        try:
            _lock.acquire()
            self._thread = get_ident()
            _watched[self._thread] = (*_watched.get(self._thread, ()), self)
            if _pause < 0 or self.seconds / LOOKS < _pause:
                _ring()
        finally:
            _unlock()

    def end(self) -> None:
        """It has come back: from now on it is not told any more. Does nothing when that is done."""
        if not self._thread:
            _unlock()
            return
        try:
            _lock.acquire()
            left = tuple(one for one in _watched.get(self._thread, ()) if one is not self)
            if left:
                _watched[self._thread] = left
            else:
                _watched.pop(self._thread, None)
            self._thread = 0
            self._pulse = self._too_long = _over
            self._running, self._unmoved = (
                _nobody,
                _over,
            )  # what they belong to is not kept alive by the thread that looks
            self._stands = None
        finally:
            _unlock()

    def look(self) -> None:
        """Called by the thread that looks, every now and then."""
        pulse = self._pulse()
        thread = self._running() or self._thread
        frame = sys._current_frames().get(thread)
        if pulse != self._last or _is_debugged(frame):
            self._last, self._idle = pulse, 0
            return
        if frame is None:
            return  # a thread that has just ended
        if frame.f_code.co_filename in _AT_WORK and not self._fired:
            return  # it is we who are at work, however long
        stands = thread, frame.f_code, frame.f_lasti
        self._still = self._still + 1 if stands == self._seen else 0
        self._seen = stands
        if self._still == LOOKS:
            self._unmoved(frame, thread, False)
        self._idle += 1
        if self._fired and self._idle == LOOKS and self._stands == (frame, frame.f_lasti):
            self._is_blocked(frame, thread)
        if self._idle >= self._needed:  # again, if it makes a home in what handles its end
            self._fired = True
            self._stands = (frame, frame.f_lasti)
            self._idle = 0
            self._too_long(self.seconds or 0.0, frame, thread)

    def _is_blocked(self, frame: FrameType, thread: int) -> None:
        """What was raised does not come to pass, as the thread does not come back to Python."""
        self._signals += 1
        if self._signals == 1:
            lines = "\n".join(f"  {shown_path(one.file)}:{one.line} in {one.function}" for one in stack_of(frame, None))
            text = f"the server waits in a call that is none of the scenario's, and does not end:\n{lines}"
            os.write(2, f"\nmockselector: {text}\n".encode("utf-8", "backslashreplace"))
        if self._signals <= 2 and thread == main_thread().ident and _interrupts_raise():
            self.interrupted = True
            signal.pthread_kill(thread, signal.SIGINT)
        else:
            self._unmoved(frame, thread, True)


def _over(*_: object) -> None: ...


def _nobody() -> int:
    return 0


def stack_of(frame: FrameType | None, stop: CodeType | None) -> list[Place]:
    """Where a thread stands inside of the frame of `stop`, the innermost first, but for what only passes calls on."""
    found: list[Place] = []
    while frame is not None and frame.f_code is not stop and len(found) < DEEPEST:
        if frame.f_code.co_filename not in INSIDE:
            found.append(place(frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return found


def own_place(stack: list[Place]) -> Place | None:
    """The innermost of the user's own lines; else the innermost line."""
    own = (one for one in stack if not one.file.startswith((_STDLIB, "<frozen")))
    return next(own, stack[0] if stack else None)


def _interrupts_raise() -> bool:
    """Whether SIGINT would raise, and do nothing else: it is Python's own handler, or that of asyncio."""
    handler: Any = signal.getsignal(signal.SIGINT)  # Any: whatever was put there
    handler = getattr(handler, "stands_for", handler)  # where the program has threads
    of_asyncio = getattr(getattr(handler, "func", None), "__name__", "") == "_on_sigint"
    return hasattr(signal, "pthread_kill") and (handler is signal.default_int_handler or of_asyncio)


def _is_debugged(frame: FrameType | None) -> bool:
    """Whether somebody steps through that thread, and may take an hour over it."""
    if "pydevd" in sys.modules or "_pydevd_bundle" in sys.modules:
        return True
    monitoring: Any = getattr(sys, "monitoring", None)  # Any: of Python 3.12
    if monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None:
        return True
    while frame is not None:
        if frame.f_globals.get("__name__") in ("bdb", "pdb"):
            return True
        tracer = getattr(frame.f_trace, "__self__", None)
        if any(kind.__module__ in ("bdb", "pdb") for kind in type(tracer).__mro__):
            return True
        frame = frame.f_back
    return False


# -- the thread that looks ------------------------------------------------------------------------------


def _ring() -> None:
    """Wake the thread that looks; start it if there is none."""
    global _started
    if not _started:
        _started = True
        _bell.acquire(False)
        start_new_thread(_look_for_ever, ())
    elif _bell.locked():
        try:
            _bell.release()
        except RuntimeError:
            pass  # somebody else was faster


def _unlock() -> None:
    while _lock._is_owned():
        _lock.release()


def _look_for_ever() -> None:  # pragma: no cover  (what it calls is followed from here on)
    sys.settrace(gettrace())  # who follows all threads follows this one
    while True:
        _bell.acquire(True, _look())


def _look() -> float:
    """Look at each run; returns for how long to sleep then."""
    global _pause, _vain
    with _lock:
        seconds = [LONGEST * LOOKS]
        for watches in tuple(_watched.values()):
            watches[-1].look()
            seconds.append(watches[-1].seconds or 0.0)
        _vain = 0 if _watched else _vain + 1
        _pause = -1.0 if _vain > LINGERS else min(seconds) / LOOKS
        return _pause


def _after_fork() -> None:  # pragma: no cover  (a child ends without a word to whoever measures)
    """In the child of a fork there is no such thread, and nobody to let go of the locks."""
    global _lock, _bell, _started, _pause
    _lock, _bell, _started, _pause = RLock(), allocate_lock(), False, -1.0
    here = _watched.get(get_ident(), ())
    _watched.clear()
    if here:
        _watched[get_ident()] = here
        _ring()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""Signals, as the program sees them: which handlers it has installed, and what comes of one that is sent to it.

Owns that table, which is the scenario's and not that of the process, and the descriptor that is written to when a
signal comes. Who sends one, and when, is not its business; nor what it means to be ended by one.
"""

from __future__ import annotations

import os
import signal
from errno import EINVAL
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_HARMLESS: Final = {getattr(signal, name, None) for name in ("SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH")}
"""What ends no process that has no handler for it (man 7 signal)."""

_BEYOND: Final = {getattr(signal, name, None) for name in ("SIGKILL", "SIGSTOP")}
"""For these there can be no handler."""

_IGNORED: Final = [getattr(signal, name, 0) for name in ("SIGPIPE", "SIGXFSZ")]
"""What Python ignores from the start."""


def name_of(number: int) -> str:
    """What a signal is called."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def is_of_a_runner(handler: Any) -> bool:  # Any: whatever was installed
    """Whether it is the handler that asyncio's `Runner` installs for SIGINT, to cancel what it runs."""
    return getattr(getattr(handler, "func", None), "__name__", "") == "_on_sigint"


class Signals:
    """What one program does about signals."""

    def __init__(self, dies: Callable[[int], object]) -> None:
        self._dies: Final = dies
        # As in a process that was started from a terminal, whatever that of the test has.
        self._handlers: Final[dict[int, Any]] = dict.fromkeys(_IGNORED, signal.SIG_IGN)
        self._handlers[signal.SIGINT] = signal.default_int_handler
        self._wakes = -1  # the descriptor that is written to
        self._blocked: set[int] = set()
        self._pending: set[int] = set()  # of those, what has come
        self.answered = False
        """Whether a handler of the program's own was called: what it then raises is its answer."""

    def handler(self, number: Any) -> Any:  # Any: as the program gives it; a handler
        """As `signal.getsignal`."""
        return self._handlers.get(_checked(number), signal.SIG_DFL)

    def raises(self, number: int) -> bool:
        """Whether it raises KeyboardInterrupt, and does nothing else."""
        return number not in self._blocked and self.handler(number) is signal.default_int_handler

    def install(self, number: Any, handler: Any) -> Any:  # Any: likewise
        """As `signal.signal`."""
        before = self.handler(number)
        if handler in (signal.SIG_DFL, signal.SIG_IGN):
            handler = signal.Handlers(handler)
        elif not callable(handler):
            raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
        if number in _BEYOND:
            raise OSError(EINVAL, os.strerror(EINVAL))
        self._handlers[int(number)] = handler
        return before

    def wakes(self, number: int) -> int:
        """As `signal.set_wakeup_fd`."""
        if number != -1:
            os.fstat(number)
            if hasattr(os, "get_blocking") and os.get_blocking(number):
                raise ValueError(f"the fd {number} must be in non-blocking mode")
        before, self._wakes = self._wakes, number
        return before

    def mask(self, how: int, numbers: Iterable[int], frame: FrameType) -> set[int]:
        """As `signal.pthread_sigmask`: what has come and is blocked no more, comes now."""
        before, given = self._blocked, {_checked(number) for number in numbers} - _BEYOND
        masks = {signal.SIG_BLOCK: before | given, signal.SIG_UNBLOCK: before - given, signal.SIG_SETMASK: given}
        if how not in masks:
            raise OSError(EINVAL, os.strerror(EINVAL))
        self._blocked = masks[signal.Sigmasks(how)]
        for number in sorted(self._pending - self._blocked):
            self._pending.discard(number)
            self.sent(number, frame)
        return set(map(_named, before))

    def pending(self) -> set[int]:
        """As `signal.sigpending`."""
        return set(map(_named, self._pending))

    def sent(self, number: int, frame: FrameType) -> None:
        """One has come, while the program stood in `frame`: call its handler, or end it as the system does."""
        if number in self._blocked:
            self._pending.add(number)
            return
        handler = self.handler(number)
        if handler == signal.SIG_IGN:
            return
        if handler == signal.SIG_DFL:
            if number not in _HARMLESS:
                self._dies(number)
            return
        if self._wakes >= 0:
            try:
                os.write(self._wakes, bytes([number]))
            except OSError:  # it is full, or closed meanwhile; Python says so, and goes on
                pass
        self.answered = True
        handler(int(number), frame)

    @property
    def stop(self) -> int | None:
        """The signal for which the program has a handler of its own, to stop; None: it has none."""
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = self.handler(number)
            own = callable(handler) and handler is not signal.default_int_handler
            if own and not is_of_a_runner(handler):
                return number
        return None


def _named(number: int) -> int:
    return signal.Signals(number) if number in {*signal.Signals} else number


def _checked(number: Any) -> int:  # Any: as the program gives it
    if not isinstance(number, int):
        raise TypeError(f"'{type(number).__name__}' object cannot be interpreted as an integer")
    if not 0 < number < signal.NSIG:
        raise ValueError("signal number out of range")
    return int(number)

"""What a server that is forced out may leave changed in its thread, as it is kept from putting it back.

Owns that list: the event loop of asyncio that runs in the thread and is its current one, the hooks
that a loop sets, and the handler of SIGINT that `asyncio.run` puts there. A later test would find
them, and fail. Knows nothing of scenarios.
"""

from __future__ import annotations

import signal
import sys
from threading import current_thread, main_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final


class StateOfThread:
    """How it is now, to be put back."""

    __slots__ = ("_hooks", "_interrupt", "_loop", "_origin")

    def __init__(self) -> None:
        self._loop: Final = _running_loop()
        self._hooks: Final = sys.get_asyncgen_hooks()
        self._origin: Final = sys.get_coroutine_origin_tracking_depth()
        self._interrupt: Final = signal.getsignal(signal.SIGINT)

    def put_back(self) -> None:
        """Make it as it was."""
        if _running_loop() is not self._loop:
            events = sys.modules["asyncio.events"]
            events._set_running_loop(self._loop)
            events.set_event_loop(self._loop)  # as the end of `asyncio.run()` would have done
        sys.set_asyncgen_hooks(*self._hooks)
        sys.set_coroutine_origin_tracking_depth(self._origin)
        of_asyncio = getattr(getattr(signal.getsignal(signal.SIGINT), "func", None), "__name__", "") == "_on_sigint"
        if of_asyncio and self._interrupt is not None and current_thread() is main_thread():
            signal.signal(signal.SIGINT, self._interrupt)


def _running_loop() -> Any:  # Any: of whatever kind
    events = sys.modules.get("asyncio.events")
    return None if events is None else events._get_running_loop()

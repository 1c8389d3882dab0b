"""What a server that is forced out may leave changed in its thread, as it is kept from putting it back.

Owns that list: the event loop of asyncio that runs in the thread and is its current one, and the hooks
that a loop sets. A later test would find them, and fail. (Handlers of signals are the scenario's.) Knows
nothing of scenarios.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final


class StateOfThread:
    """How it is now, to be put back."""

    __slots__ = ("_hooks", "_loop", "_origin")

    def __init__(self) -> None:
        self._loop: Final = _running_loop()
        self._hooks: Final = sys.get_asyncgen_hooks()
        self._origin: Final = sys.get_coroutine_origin_tracking_depth()

    def put_back(self) -> None:
        """Make it as it was."""
        if _running_loop() is not self._loop:
            events = sys.modules["asyncio.events"]
            events._set_running_loop(self._loop)
            events.set_event_loop(self._loop)  # as the end of `asyncio.run()` would have done
        sys.set_asyncgen_hooks(*self._hooks)
        sys.set_coroutine_origin_tracking_depth(self._origin)


def _running_loop() -> Any:  # Any: of whatever kind
    events = sys.modules.get("asyncio.events")
    return None if events is None else events._get_running_loop()

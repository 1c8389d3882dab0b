"""A call that waits by itself within an event loop, where nothing else is served meanwhile.

Owns `[blocking-call]`: that virtual time has passed in one callback of asyncio. Called by what waits, where pedantic
rules are judged.
"""

from __future__ import annotations

from .errors import Finding
from .standing import running_loop
from .trace import seconds_text, wait_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .records import Door, Record
    from .trace import Nanoseconds
    from .witness import Witness

    class Judging(Door, Protocol):
        """What it takes of a run."""

        @property
        def witness(self) -> Witness: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


def judge_held_up(door: Judging, since: Nanoseconds, operation: str, name: str, record: Record | None = None) -> None:
    """A call has waited since then, other than by the `select()` of an event loop."""
    loop = running_loop() if door.now > since else None
    if loop is None or id(loop) == door.witness.outer_loop or not door.in_force("blocking-call", record):
        return
    call = wait_text(name) if operation == "select" else f"{operation}()"
    what = f"{name}.{call} has held up the event loop for {seconds_text(door.now - since)}"
    finding = Finding("blocking-call", None if record is None else record.name, {"what": what})
    door.breach(finding, operation, name)

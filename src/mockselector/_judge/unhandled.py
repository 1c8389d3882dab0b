"""What has died of an exception of which nobody but a log tells: a task, a callback, a handler.

Owns `[unhandled-exception]`: which of that is a finding, when it is found, and what it shows. Who hears of it (a loop's
`call_exception_handler()`, a server's `handle_error()`) is `_install`'s business.
"""

from __future__ import annotations

from weakref import ReferenceType, WeakSet, ref

from .errors import Finding, ScenarioError
from .reasons import reason, reason_text, tells_of_a_peer, way_of
from .standing import dead_tasks, exception_of, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .records import Door, Record
    from .witness import Witness

WAY: Final = 5
"""How many of the user's own lines are shown through which an exception came, the last."""

ASYNCIO: Final = ("asyncio's log", "loop.set_exception_handler(). (Of a task: await it.)")
SOCKETSERVER: Final = ("socketserver's handle_error()", "a handle_error() of the server's own.")
"""What tells of it, and how a program may deal with it."""


class Unhandled:
    """What has died in a run, and nobody has dealt with."""

    __slots__ = ("_dead", "_door", "_late", "_loop", "_loops", "_witness")

    def __init__(self, door: Door, witness: Witness) -> None:
        self._door: Final = door
        self._witness: Final = witness
        self._loop: ReferenceType[object] | None = None  # that made the last task
        self._loops: WeakSet[Any] = WeakSet()  # Any: event loops, which have made tasks in this run
        self._dead: set[int] = set()  # the tasks that had died when the run came to its end, by id()
        self._late: list[Finding] = []  # what of them nobody has asked for until they were gone

    def makes_tasks(self, loop: object) -> None:
        """An event loop has made a task in this run."""
        if self._loop is None or self._loop() is not loop:
            self._loop = ref(loop)
            self._loops.add(loop)

    def heard(
        self, error: BaseException, who: str, log: tuple[str, str], record: Record | None = None, task: object = None
    ) -> None:
        """A log is about to tell of what `who` has died of, and nobody else is."""
        if not self._witness.tells(error):
            if id(task) in self._dead and self._is_one(error, record):
                self._late.append(self._finding(error, who, log, record))
        elif self._is_one(error, record):
            self._door.found(self._finding(error, who, log, record))
        else:
            self._witness.heard(error)

    def ends(self) -> None:
        """The run comes to its end: what dies from now on, dies of that."""
        self._dead = {id(task) for task in dead_tasks(self._loops)}

    def first(self) -> Finding | None:
        """A task that has died so far, and for whose exception nobody has asked."""
        return next(iter(self._of_tasks()), None)

    def left(self) -> list[Finding]:
        """Likewise, at the end: all of them, and nobody will."""
        return [*self._late, *self._of_tasks()]

    def _of_tasks(self) -> list[Finding]:
        found: list[Finding] = []
        for task in dead_tasks(self._loops) if self._loops else ():
            error = exception_of(task)
            if (
                error is not None
                and self._is_one(error, None)
                and not (self._door.ended and id(task) not in self._dead)
            ):
                found.append(self._finding(error, name_of(task), ASYNCIO, None))
        return found

    def _is_one(self, error: BaseException, record: Record | None) -> bool:
        """Whether production would suffer from it: not from a client that has gone, which is its own loss."""
        return (
            isinstance(error, Exception)
            and not isinstance(error, ScenarioError)
            and not tells_of_a_peer(error)
            and self._door.in_force("unhandled-exception", record)
        )

    def _finding(self, error: BaseException, who: str, log: tuple[str, str], record: Record | None) -> Finding:
        why = reason(error)
        says = f"{why.kind}: {why.message}" if why.message else why.kind
        finding = Finding(
            "unhandled-exception",
            None if record is None else record.name,
            {"what": f"{who} has died of {says}", "log": log[0], "deal": log[1]},
            at_end=True,
        )
        way = way_of(error)[-WAY:]
        finding.way = [("through", where) for where in way[:-1]] + [("raised", where) for where in way[-1:]]
        finding.told = reason_text(why)
        return finding

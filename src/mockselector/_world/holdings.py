"""What a program has of its scenario: its sockets, selectors and tasks, and what each is called.

Owns that list, and which numbers are away from their socket objects. Knows no socket class and no selector class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from .._judge.rules import NO_RULES
from .._play.dropped import SELECTORS_TO_TIDY

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from .._judge.monitor import Monitor
    from .._judge.records import Record
    from .._judge.rules import Phase, RuleId
    from .._kernel.descriptors import Descriptor

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class Holdings:
    """What one program has made, and not given back. Its attributes are many: one for each kind of thing."""

    def __init__(self, monitor: Monitor, tidy: Callable[[], None]) -> None:
        self._monitor: Final = monitor
        self._tidy: Final = tidy
        self.under_way = False
        """Whether anything of the program has been made, or run."""
        self.records: Final[dict[Descriptor, Record]] = {}
        """All its sockets that there have been, in the order in which they were made."""
        self.detached: Final[dict[int, tuple[Descriptor, str]]] = {}
        """Numbers that were given away, and what their sockets were called."""
        self.shared: Final[set[Descriptor]] = set()
        """What was closed by its number, or is behind more than one socket object."""
        self.open_selectors: Final[dict[str, None]] = {}
        self.calls: Final[dict[tuple[CodeType, int], list[Any]]] = {}  # Any: what select.select() waits with, by line
        self.loops: Final[WeakKeyDictionary[Any, None]] = WeakKeyDictionary()
        """Event loops of asyncio that have run."""
        self.from_outside: Final[WeakKeyDictionary[Any, Any]] = WeakKeyDictionary()
        """What another thread than its own has last given to each, as `not_woken` notes it."""
        self.left: list[Any] = []
        """Tasks of theirs that were ended; kept until they are done with."""
        self.pools: Final[dict[Any, bool]] = {}
        """Of threads, that it has used, and whether it has made them itself."""
        self.thread_pools: Final[WeakKeyDictionary[Any, None]] = WeakKeyDictionary()
        """Those of `multiprocessing.pool` that it has made."""
        self._foreign: Final[dict[int, Record]] = {}
        self._selectors: Final[dict[str, int]] = {}
        self._tasks = 0  # of asyncio

    def admit(
        self, descriptor: Descriptor, name: str | None, role: str, allow: frozenset[RuleId] = NO_RULES,
        phase: Phase = "new",
    ) -> Record:  # fmt: skip
        """Let a new socket of the program into the run."""
        self.under_way = True
        record = self._monitor.admit(
            name, phase, descriptor.number, role=role, allow=allow, script=descriptor, known=role == "client"
        )
        record.named = role != "socket"
        self.records[descriptor] = record
        return record

    def foreign(self, number: int, thing: object) -> Record:
        """The record of a real descriptor."""
        if number not in self._foreign:
            self._foreign[number] = self._monitor.admit_foreign(thing, "descriptor")
        return self._foreign[number]

    def name_selector(self, kind: str = "selector", *, opens: bool = True) -> str:
        """What the next selector is called, or what else waits. opens: it is to be closed."""
        self.under_way = True
        number = self._selectors[kind] = self._selectors.get(kind, 0) + 1
        if number % SELECTORS_TO_TIDY == 0:
            self._tidy()  # now: the program may never wait
        name = kind if number == 1 else f"{kind} {number}"
        if opens:
            self.open_selectors[name] = None
        return name

    def number_task(self) -> int:
        """The number of the next task of asyncio."""
        self._tasks += 1
        return self._tasks

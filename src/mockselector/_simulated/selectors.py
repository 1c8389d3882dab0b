"""The selectors of a scenario: level-triggered, over simulated and real descriptors.

Owns `SimSelector`, a thin shell whose readiness is the network's and whose waiting is the world's. For each of
`selectors`, and for poll and epoll objects and `select.select()`, there is a class on top of it. Registration is
the standard library's own.
"""

# What `selectors` defines in terms of itself has parameters of its own names.
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

import math
import selectors as _selectors
import socket as _socket
import sys
from _thread import get_ident
from abc import abstractmethod
from selectors import EVENT_READ, _BaseSelectorImpl  # its base is MockSelector's, too
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakMethod, ref

from .._current import BEFORE, check_world
from .._judge.registering import registered
from .._judge.trace import caller, folds
from .._judge.watching import Watch
from .._system import BOTH, CLOSED, FIRST_NUMBER, LARGEST, REAL_SELECTORS, number_of, real_socket
from .._threads.under_a_wait import enters, leaves
from .._whose import INSIDE
from .sockets import SimSocket

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import SelectorKey

    from .._judge.records import Record
    from .._judge.rules import Registration
    from .._judge.trace import Nanoseconds
    from .._kernel.descriptors import Descriptor
    from .._system import FileObject
    from .._world.world import World

    Found = list[tuple[int, int]]
    """What is ready, by number."""

_getframe: Final = sys._getframe  # the only way to a frame that costs nothing

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_register: Final = _BaseSelectorImpl.register  # `_install` puts others there: this one ...
_REAL_SELECT: Final = {kind: kind.select for kind in REAL_SELECTORS.values()}  # ... and these

_mapping: Final[Any] = vars(_selectors)["_SelectorMapping"]  # Any: what `get_map()` returns has no public name

_LONGEST: Final = 2_000_000
"""So many seconds may be waited without a closer look."""

_NOTHING_STOOD: Final[dict[int, Any]] = {}
"""Where it never waited beside other threads: one for all."""

WAKES_BY_REAL: Final = 100_000
"""So often a real descriptor may wake a program at one instant: a pipe may be written and read all the while."""


def _nothing() -> None: ...


def _perhaps(_: int) -> bool:
    return True


def is_simulated(number: int) -> bool:
    """Whether it is one of ours. What is no number of a descriptor at all is for the kernel to refuse."""
    return FIRST_NUMBER <= number <= LARGEST


def check_real(world: World, thing: object) -> None:
    """Refuse a listener that is not of a scenario."""
    if isinstance(thing, real_socket) and thing.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
        world.refuse(f"a listener that is a real socket is registered. {BEFORE}")


class SimSelector(_BaseSelectorImpl):
    """A selector in a scenario: level-triggered, over simulated and real descriptors.

    A long class: what registering and waiting come to is said once, for all kinds of selectors and what is like one.
    What the kernel does for each is in the classes of `kinds` and `below`. Its attributes are many for its speed.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        # The base keeps its map, which refers back to the selector: then only the collector would find it.
        self._map: Any = None  # Any: of the base's own
        self._names: Callable[[], Any] = _nothing
        self._world = world
        self._holdings = world.holdings
        self._watched: dict[int, Descriptor] = {}  # what a number stood for when it was registered
        self._real: _selectors.BaseSelector | None = None  # for real descriptors: self-pipes and the like
        self._glance: Callable[[int], object] = _perhaps  # whether the kernel has anything to say of those
        self._stood_for_then = _NOTHING_STOOD  # the same, when it last began to wait beside other threads
        self._quiet = False  # whether what is real is written to only when somebody says so
        self._heard = -1  # how often that was said when there was last nothing to be read
        self._given = ""
        self._call: tuple[str, str] = ("select", "")
        self._watch = Watch("", forgets=self._forgets)
        world.outcome.watches[self._watch] = WeakMethod(self._find)

    if TYPE_CHECKING:
        _fd_to_key: dict[int, SelectorKey]  # the base's

        def _fileobj_lookup(self, fileobj: FileObject) -> int:
            """The base's: the number under which it is, or was, registered."""
            ...

    @property
    def _name(self) -> str:
        """What it is called, from when it is first used."""
        if not self._given:
            self._given = self._watch.name = self._holdings.name_selector(self._kind, opens=self._opens)
            self._call = ("select", self._given)
        return self._given

    # -- what each kind has of its own: a kernel's part -------------------------------------------

    _kind = "selector"
    """What it is called, with a number."""

    _opens = True
    """Whether it is to be closed."""

    _forgets = False
    """Whether what is closed is gone from it, and does no harm."""

    _asleep = False
    """Whether it looks again, in a wait."""

    _closed = False
    """Whether the kernel has closed it, and refuses everything."""

    _over = False
    """Whether `close()` was called."""

    @abstractmethod
    def _begin(self, number: int, events: int) -> None:
        """Watch a number that is no real descriptor's."""

    @abstractmethod
    def _alter(self, number: int, events: int) -> None:
        """Watch it for something else."""

    @abstractmethod
    def _forget(self, number: int) -> None:
        """Watch it no more."""

    @abstractmethod
    def _find(self) -> list[tuple[int, int]]:
        """What is ready, by number, and for what of that for which it is watched."""

    def _duration(self, timeout: float) -> Nanoseconds:
        """How long to wait. poll() and epoll count in milliseconds, and refuse what is too long."""
        if timeout > _LONGEST and math.ceil(timeout * 1e3) > LARGEST:
            raise OverflowError("timeout is too large")
        return round(timeout * 1e9)

    # -- registration -----------------------------------------------------------------------------

    def register(self, fileobj: FileObject, events: int, data: Any = None) -> SelectorKey:  # Any: as `selectors`
        """As `selectors.BaseSelector.register`."""
        return self._registered("register", self._add, fileobj, events, data)

    def unregister(self, fileobj: FileObject) -> SelectorKey:
        """As `selectors.BaseSelector.unregister`."""
        return self._registered("unregister", self._remove, fileobj)

    def modify(self, fileobj: FileObject, events: int, data: Any = None) -> SelectorKey:  # Any: as `selectors`
        """As `selectors.BaseSelector.modify`."""
        return self._registered("modify", self._modify, fileobj, events, data)

    def get_key(self, fileobj: FileObject) -> SelectorKey:
        """As `selectors.BaseSelector.get_key`."""
        return self._registered("get_key", super().get_key, fileobj)

    def get_map(self) -> Any:  # Any: as the base class has it once it is closed, None
        """As `selectors.BaseSelector.get_map`."""
        names = self._names()
        if names is None and not self._over:
            names = _mapping(self)
            self._names = ref(names)
        return None if self._over else names

    def __del__(self) -> None:
        if hasattr(self, "_watch"):
            self._let_go()

    def _let_go(self) -> None:
        """What it watches is watched no more."""
        self._watched.clear()
        self._watch.clear()
        self._world.outcome.watches.pop(self._watch, None)
        self._world.monitor.sleeping.postponed.pop(self._given, None)
        if self._real is not None:
            self._real.close()

    def close(self) -> None:
        """As `selectors.BaseSelector.close`."""
        self._over = True
        self._let_go()
        super().close()
        self._holdings.open_selectors.pop(self._given, None)

    def _registered(
        self, operation: Registration, act: Callable[..., SelectorKey], fileobj: FileObject, *mask_and_data: Any
    ) -> SelectorKey:  # Any: as `selectors`
        """A call about registration: what `selectors` makes of it, and a row in the trace."""
        monitor = self._world.monitor
        if monitor.finished:
            return act(fileobj, *mask_and_data)
        if self._world.under != get_ident():
            check_world(self._world, self)
        if len(monitor.rows) > monitor.limit:
            self._world.spinning.endless()
        assert self._given or self._name, "from now on it has one"
        keys = None if self._closed else self._fd_to_key
        record = self._record_of(fileobj)
        return registered(monitor, self._watch, keys, record, operation, act, fileobj, mask_and_data)

    def _add(self, fileobj: FileObject, events: int, data: Any) -> SelectorKey:  # Any: as `selectors`
        key = _register(self, fileobj, events, data)
        number = key.fd
        if self._world.monitor.finished:
            return key  # for what is tidied up when all is over
        try:
            if is_simulated(number):
                self._begin(number, events)
            else:
                self._begin_real(key)
        except BaseException:
            del self._fd_to_key[number]
            raise
        descriptor = self._world.network.descriptors.get(number)
        if descriptor is not None:
            self._watched[number] = descriptor
        return key

    def _remove(self, fileobj: FileObject) -> SelectorKey:
        key = _BaseSelectorImpl.unregister(self, fileobj)
        self._drop(key.fd)
        if not is_simulated(key.fd):
            assert self._real is not None
            self._real.unregister(key.fd)
        return key

    def _drop(self, number: int) -> None:
        self._forget(number)
        self._watched.pop(number, None)

    def _modify(self, fileobj: FileObject, events: int, data: Any) -> SelectorKey:  # Any: as `selectors`
        """As the kinds that are like poll have it: the mask is changed in place, is not looked at, and may be 0."""
        key = self._key_of(fileobj)
        changed = data != key.data
        if events != key.events:
            changed, asked = True, events & BOTH  # what is no number is refused before anything is changed
            try:
                if is_simulated(key.fd):
                    self._alter(key.fd, asked)
                else:
                    assert self._real is not None
                    self._real.modify(key.fd, asked)
            except BaseException:
                del self._fd_to_key[key.fd]
                self._drop(key.fd)
                raise
        if changed:
            key = self._fd_to_key[key.fd] = key._replace(events=events, data=data)
        return key

    def _key_of(self, fileobj: FileObject) -> SelectorKey:
        try:
            return self._fd_to_key[self._fileobj_lookup(fileobj)]
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None

    def hears_of_real(self) -> None:
        """What is real here, the pipe of an event loop to itself, is written to only where `world.stirs` counts it."""
        self._quiet = True

    def _begin_real(self, key: SelectorKey) -> None:
        self._quiet = False
        check_real(self._world, key.fileobj)
        real: Any = self._real  # Any: what it has of the kernel has no public name
        if real is None:
            self._real = real = REAL_SELECTORS[type(self).__name__]()
            self._glance = getattr(getattr(real, "_selector", None), "poll", _perhaps)
        real.register(key.fd, key.events)

    def _record_of(self, fileobj: object) -> Record:
        """The record of whatever stands for a socket: itself, its number, a wrapper."""
        if isinstance(fileobj, SimSocket) and fileobj._record.script is not None:  # else it has handed that over
            return fileobj._record
        number = number_of(fileobj)
        if number < 0:
            number = next((key.fd for key in self._fd_to_key.values() if key.fileobj is fileobj), -1)
        descriptor = self._watched.get(number) or self._world.network.descriptors.get(number)
        if descriptor is not None:
            return self._holdings.records[descriptor]
        if number < 0:
            return self._world.monitor.admit_foreign(fileobj, "descriptor")
        return self._holdings.foreign(number, fileobj)

    # -- events -----------------------------------------------------------------------------------

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """What is ready, or will be within `timeout` seconds of virtual time.

        Raises `EndException` when all peers are done, and `ScenarioError` for what is found meanwhile.
        """
        world = self._world
        monitor = world.monitor
        if world.under != get_ident():
            check_world(world, self)
        if (monitor.violation is not None or world.ending.times) and not world.check_running(timeout):
            return []
        if self._closed:
            closed = ValueError(CLOSED)
            monitor.refused("select", self._name, closed)
            raise closed
        name = self._given or self._name
        try:
            if world.calm and timeout is not None and self._waits_alone(world, timeout):
                found = None
            elif timeout is not None and timeout <= 0:
                world.poll(self._call)
                found = self._find() if self._real is None else self._look()
            else:
                deadline = None if timeout is None else world.clock.now + self._duration(timeout)
                monitor.sleep(self._watch)
                until = world.until if world.threads is None else self._among_others
                found = until(self._find if self._real is None else self._look, deadline, self._call)
        except OSError as error:
            monitor.refused("select", name, error)
            raise
        ready: list[tuple[SelectorKey, int]] = []
        reported: tuple[tuple[str, int], ...] = ()
        if found:
            if world.choices.decide is not None:
                many = range(len(found), 0, -1)
                found = [found.pop(world.choices.choose(left, "which socket is reported next")) for left in many]
            keys, watched = self._fd_to_key, self._watched
            for number, mask in found:
                key = keys[number] if number in keys else self._key_of_late(number)
                if key is not None:
                    ready.append((key, mask & key.events))
            if ready and ready[0] is ready[-1] and ready[0][1] == EVENT_READ and ready[0][0].fd in watched:
                reported = self._holdings.records[watched[ready[0][0].fd]].readable  # the commonest: one alone
            else:
                reported = tuple([self._pair(key, mask) for key, mask in ready])
        frame = _getframe(1)
        if frame.f_code.co_filename in INSIDE:
            frame = caller(1)
        monitor.returned = bool(ready)
        row = "select", name, reported, monitor.now, frame.f_code, frame.f_lasti
        if reported or not folds(monitor.rows, row):
            monitor.note(row)
        if ready and world.spinning.wakes_in_vain() and not self._reads_real(ready):
            world.spinning.judge_wakes(reported, [self._record_at(key) for key, _ in ready])
        return ready

    def _waits_alone(self, world: World, timeout: float) -> bool:
        """Wait where nothing is watched, and nobody plays. False: it is to wait as ever."""
        if self._over or self._watched or not (self._real is None or (self._quiet and self._heard == world.stirs)):
            return False
        return world.spinning.alone(self._call, 0 if timeout <= 0 else self._duration(timeout), self._watch)

    def _look(self) -> list[tuple[int, int]]:
        """What is ready, real descriptors among it."""
        found = self._find()
        stirs = self._world.stirs
        if self._real is None or (self._quiet and self._heard == stirs):
            return found
        if not self._glance(0):
            self._heard = stirs
        else:
            found += [(key.fd, mask) for key, mask in _REAL_SELECT[type(self._real)](self._real, 0)]
        return found

    def _among_others(
        self, look: Callable[[], Found], deadline: Nanoseconds | None, call: tuple[str, str]
    ) -> Found | None:
        """As the world's, where other threads may do meanwhile what they like to what it watches."""
        world, held = self._world, self._has_open()
        self._stood_for_then = dict(self._watched)
        for descriptor in held:
            enters(descriptor)
        try:
            return world.until(self._looking(look), deadline, call)
        finally:
            for descriptor in held:
                leaves(world, descriptor)

    def _has_open(self) -> list[Descriptor]:
        """What the kernel has open while it waits."""
        return []

    def _looking(self, look: Callable[[], Found]) -> Callable[[], Found]:
        """As `look`, while it waits."""
        return look

    def _key_of_late(self, number: int) -> SelectorKey | None:
        """What stands for a number that another thread has unregistered meanwhile: for `selectors`, nothing."""
        return None

    def _pair(self, key: SelectorKey, mask: int) -> tuple[str, int]:
        """What a row keeps of it."""
        record = self._record_at(key)
        return record.readable[0] if mask == EVENT_READ else (record.name, mask)

    def _record_at(self, key: SelectorKey) -> Record:
        descriptor = self._watched.get(key.fd) or self._stood_for_then.get(key.fd)
        return self._holdings.foreign(key.fd, key.fileobj) if descriptor is None else self._holdings.records[descriptor]

    def _reads_real(self, ready: list[tuple[SelectorKey, int]]) -> bool:
        """Whether something real may be read, which nobody sees."""
        real = self._real is not None and any(m & EVENT_READ and k.fd not in self._watched for k, m in ready)
        return real and self._world.spinning.wakes <= WAKES_BY_REAL


def as_it_was(
    selector: SimSelector, table: str, masks: dict[int, int], look: Callable[[], Found]
) -> Callable[[], Found]:
    """As `look`, but for what was registered when it was first asked.

    poll() and select() are given numbers, and have open what these then stand for: that wakes them, and they look at
    the numbers again. So one that another thread closes does not wake them; but woken, they say that it is ready.

    table: the attribute by which `look` knows the numbers; masks: for what each of them is watched.
    """
    given = dict(getattr(selector, table))
    stood = {number: one for number, one in selector._stood_for_then.items() if number in masks}
    real = {number: one for number, one in given.items() if not is_simulated(number)}
    begun = False

    def looks() -> Found:
        nonlocal begun
        now, these = getattr(selector, table), given
        if begun:
            woken = any(one.is_ready_for(masks[number]) for number, one in stood.items())
            these = given if woken else real
        selector._asleep, begun = begun, True
        setattr(selector, table, these)
        try:
            return look()
        finally:
            setattr(selector, table, now)
            selector._asleep = False

    return looks

"""The selectors of a scenario: level-triggered, over simulated and real descriptors.

Owns `SimSelector`, a thin shell whose readiness is the network's and whose waiting is the world's,
and what `_install` puts in the place of the classes of `selectors`. Registration is the standard
library's own, with what a real selector's descriptor would refuse.
"""

# What `selectors` defines in terms of itself has parameters of its own names.
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

import selectors as _selectors
import socket as _socket
from errno import EBADF
from selectors import _BaseSelectorImpl  # MockSelector's base, too
from typing import TYPE_CHECKING, Any, Final

from ._clock import nanoseconds
from ._errors import Finding
from ._monitor import IN_VAIN, number_of, os_error
from ._rules import MEMBERSHIP
from ._shell import real_socket
from ._simulated import BEFORE, SimSocket, StandIn, check_world, current, when_selector_is_made
from ._sockets import FIRST_NUMBER
from ._trace import mask_text
from .selector import CLOSED, REAL_SELECTORS

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import SelectorKey

    from ._monitor import Record
    from ._network import Descriptor
    from ._rules import Membership, Registration
    from ._world import World
    from .selector import FileObject

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_register: Final = _BaseSelectorImpl.register  # `_install` puts another one there


class SimSelector(_BaseSelectorImpl):
    """A selector in a scenario: level-triggered, over simulated and real descriptors."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._candidates: dict[int, None] = {}  # numbers of what may be ready, in order of arrival
        self._watched: dict[int, Descriptor] = {}
        self._real: _selectors.BaseSelector | None = None  # for real descriptors: self-pipes and the like
        self._closed = False
        self._given = ""
        self._world.monitor.maps.append(self._fd_to_key)

    if TYPE_CHECKING:
        _fd_to_key: dict[int, SelectorKey]  # the base's

    @property
    def _name(self) -> str:
        """What it is called, from when it is first used."""
        if not self._given:
            self._given = self._world.name_selector()
        return self._given

    def fileno(self) -> int:
        """Refused: there is no descriptor behind it."""
        self._world.refuse("fileno() of a selector is not simulated: a selector cannot be watched by another one")

    # -- registration -----------------------------------------------------------------------------

    def register(self, fileobj: FileObject, events: int, data: Any = None) -> SelectorKey:  # Any: as `selectors`
        """As `selectors.BaseSelector.register`."""
        return self._registered("register", fileobj, lambda: _register(self, fileobj, events, data), events)

    def unregister(self, fileobj: FileObject) -> SelectorKey:
        """As `selectors.BaseSelector.unregister`."""
        return self._registered("unregister", fileobj, lambda: _BaseSelectorImpl.unregister(self, fileobj))

    def modify(self, fileobj: FileObject, events: int, data: Any = None) -> SelectorKey:  # Any: as `selectors`
        """As `selectors.BaseSelector.modify`."""
        return self._registered("modify", fileobj, lambda: self._modified(fileobj, events, data), events)

    def get_key(self, fileobj: FileObject) -> SelectorKey:
        """As `selectors.BaseSelector.get_key`."""
        return self._registered("get_key", fileobj, lambda: _BaseSelectorImpl.get_key(self, fileobj))

    def close(self) -> None:
        """As `selectors.BaseSelector.close`."""
        for number, descriptor in self._watched.items():
            self._unwatch(number, descriptor)
        self._watched.clear()
        if self._real is not None:
            self._real.close()
        super().close()
        self._closed = True
        self._world.open_selectors.pop(self._given, None)

    def _registered(
        self, operation: Registration, fileobj: FileObject, act: Callable[[], SelectorKey], events: int | None = None
    ) -> SelectorKey:
        """A call about registration: what `selectors` makes of it, and a row in the trace."""
        if self._world.monitor.finished:
            return act()
        check_world(self._world, self)
        assert self._name, "from now on it has one"
        monitor = self._world.monitor
        record = self._record_of(fileobj)
        number = record.number
        before = self._fd_to_key.get(number)
        state: Membership = "closed" if self._closed else "member" if before is not None else "absent"
        try:
            if MEMBERSHIP[state][operation] is ValueError:
                raise ValueError(CLOSED)
            key = act()
            self._follow(operation, key, before)
        except Exception as error:
            monitor.refused(operation, record.name, error)
            raise
        same = operation == "modify" and before == key
        monitor.registered(record, "modify:same" if same else operation, events)
        return key

    def _modified(self, fileobj: FileObject, events: int, data: Any) -> SelectorKey:  # Any: as `selectors`
        """As epoll has it: the mask is changed in place, and may be 0."""
        try:
            key = self._fd_to_key[self._lookup(fileobj)]
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None
        key = key._replace(events=events, data=data)
        self._fd_to_key[key.fd] = key
        return key

    def _lookup(self, fileobj: FileObject) -> int:
        """The number under which it is registered: its own, or, closed, that of the object."""
        try:
            return number_or_error(fileobj)
        except ValueError:
            for key in self._fd_to_key.values():
                if key.fileobj is fileobj:
                    return key.fd
            raise

    def _follow(self, operation: Registration, key: SelectorKey, before: SelectorKey | None) -> None:
        """Keep what is watched what is registered."""
        number = key.fd
        if operation == "register":
            descriptor = self._world.network.descriptors.get(number)
            if descriptor is not None:
                self._watched[number] = descriptor
                descriptor.watchers.append(self._candidates)
                self._candidates[number] = None
            elif number >= FIRST_NUMBER:
                del self._fd_to_key[number]
                raise os_error(EBADF)
            else:
                self._register_real(key)
        elif operation == "modify" and number in self._watched:
            self._candidates[number] = None
            if self._watched[number].closed and before is not None and before.events != key.events:
                del self._fd_to_key[number]
                raise os_error(EBADF)
        elif operation == "unregister" and number in self._watched:
            self._unwatch(number, self._watched.pop(number))
        elif self._real is not None:
            self._follow_real(operation, key)

    def _follow_real(self, operation: Registration, key: SelectorKey) -> None:
        real = self._real
        assert real is not None
        there = key.fd in real.get_map()
        wanted = key.events if operation == "modify" else 0 if operation == "unregister" else None
        if wanted and there:
            real.modify(key.fd, wanted)
        elif wanted:
            real.register(key.fd, wanted)
        elif wanted == 0 and there:
            real.unregister(key.fd)

    def _register_real(self, key: SelectorKey) -> None:
        if isinstance(key.fileobj, real_socket) and key.fileobj.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
            del self._fd_to_key[key.fd]
            self._world.refuse(f"a listener that is a real socket is registered. {BEFORE}")
        real: _selectors.BaseSelector = self._real or REAL_SELECTORS["DefaultSelector"]()
        self._real = real
        try:
            real.register(key.fd, key.events)
        except Exception:
            del self._fd_to_key[key.fd]
            raise

    def _unwatch(self, number: int, descriptor: Descriptor) -> None:
        self._candidates.pop(number, None)
        descriptor.watchers = [one for one in descriptor.watchers if one is not self._candidates]

    def _record_of(self, fileobj: object) -> Record:
        """The record of whatever stands for a socket: itself, its number, a wrapper."""
        if isinstance(fileobj, SimSocket):
            return fileobj._record
        number = number_of(fileobj)
        if number < 0:
            number = next((key.fd for key in self._fd_to_key.values() if key.fileobj is fileobj), -1)
        descriptor = self._watched.get(number) or self._world.network.descriptors.get(number)
        if descriptor is not None:
            return self._world.records[descriptor]
        if number < 0:
            return self._world.monitor.admit_foreign(fileobj, "descriptor")
        return self._world.foreign(number, fileobj)

    # -- events -----------------------------------------------------------------------------------

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """What is ready, or will be within `timeout` seconds of virtual time.

        Raises `EndException` when all peers are done, and `ScenarioError` for what is found meanwhile.
        """
        world, monitor = self._world, self._world.monitor
        check_world(world, self)
        if not world.check_running(timeout):
            return []
        if self._closed:
            closed = ValueError(CLOSED)
            monitor.refused("select", self._name, closed)
            raise closed
        ready: list[tuple[SelectorKey, int]] = []

        def done() -> bool:
            ready[:] = self._ready()
            return bool(ready)

        call = ("select", self._name)
        if timeout is not None and timeout <= 0:
            world.poll(call)
            done()
        else:
            monitor.sleep(self._name)
            world.until(done, None if timeout is None else world.clock.now + nanoseconds(timeout), call)
        reported = tuple((self._name_of(key), mask) for key, mask in ready)
        monitor.selected(self._name, reported)
        if ready and not world.woken(self._record_of(ready[0][0].fileobj)):
            what = f"select() returned {IN_VAIN} times in a row ({_events(reported)}), and no byte was moved in between"
            fields = {"what": what, "moment": "returned again"}
            monitor.raise_violation(Finding("busy-loop", reported[0][0], fields))
        return ready

    def _ready(self) -> list[tuple[SelectorKey, int]]:
        ready: list[tuple[SelectorKey, int]] = []
        keys = self._fd_to_key
        for number in tuple(self._candidates):
            mask = self._watched[number].ready() & keys[number].events if number in keys else 0
            if mask:
                ready.append((keys[number], mask))
            else:
                del self._candidates[number]
        if self._real is not None:
            ready += [(keys[key.fd], mask) for key, mask in self._real.select(0) if key.fd in keys]
        return ready

    def _name_of(self, key: SelectorKey) -> str:
        descriptor = self._watched.get(key.fd)
        if descriptor is not None:
            return self._world.records[descriptor].name
        return self._world.foreign(key.fd, key.fileobj).name


def _events(reported: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{name} {mask_text(mask)}" for name, mask in reported)


def number_or_error(fileobj: FileObject) -> int:
    """The number of a file object, or the ValueError that `selectors` raises."""
    number = number_of(fileobj)
    if number < 0:
        raise ValueError(f"Invalid file descriptor: {number}")
    return number


def stand_in(name: str) -> type:
    """A class that stands in for one of `selectors`."""
    real: type = REAL_SELECTORS[name]

    class Selector(SimSelector, metaclass=StandIn):
        __doc__ = f"What stands in for `selectors.{name}` while a scenario is installed."

        def __new__(cls) -> Any:  # pyright: ignore[reportInconsistentConstructor]  # Any: of either kind
            """A selector of the current world; a real one outside of any."""
            world = current()
            if world is None:
                return real()
            for function in when_selector_is_made:
                function()
            return SimSelector(world)

    Selector.__name__ = Selector.__qualname__ = name
    Selector.real, Selector.ours = real, SimSelector
    return Selector


STAND_INS: Final = {name: stand_in(name) for name in REAL_SELECTORS}

"""What waits for readiness: selectors, and what they are made of in `select`.

Owns the way there, and what a real selector may still do: selectors themselves are `_simulated`'s.
"""

from __future__ import annotations

import select as _select
import socket as _socket_module
import sys
from selectors import _BaseSelectorImpl
from typing import TYPE_CHECKING, Any, Final

from .._current import BEFORE, StandIn, current
from .._loopback.sockets import LoopbackSocket
from .._simulated.kinds import STAND_INS
from .._simulated.polls import SimEpoll, epoll_of, listed, make_epoll, make_poll, select_among
from .._simulated.selectors import is_simulated
from .._simulated.sockets import SimSocket
from .._system import REAL_SELECTORS, number_of, real_socket, select_seconds
from .clocks import sleep_in
from .doors import class_door, for_a_tool, named, refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

    from .._world.world import World
    from .doors import Method, Pair

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_real_select: Final = _select.select
_real_poll: Final[Any] = getattr(_select, "poll", None)  # Any: not every system has it
_real_epoll: Final[Any] = getattr(_select, "epoll", None)  # Any: likewise
_SELECTORS: Final = "use selectors.DefaultSelector"


def select(rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None, /) -> Any:
    """As `select.select`; in a scenario in virtual time, and also as a way to sleep."""
    world = current()
    if world is None or for_a_tool(sys._getframe(1)):
        return _real_select(rlist, wlist, xlist, timeout)
    seconds = select_seconds(timeout)
    lists = (listed(rlist), listed(wlist), listed(xlist))
    if any(lists):
        return world.stack.select(lists, seconds) or select_among(world, lists, seconds)
    if seconds is None:
        world.refuse("select.select() without descriptors and without a timeout waits for ever")
    sleep_in(world, seconds)
    return [], [], []


def _poll() -> Any:  # Any: of either kind
    world = current()
    if world is None or for_a_tool(sys._getframe(1)):
        return _real_poll()
    return world.stack.poller(_real_poll, "poll") or make_poll(world)


class _Epoll(SimEpoll, metaclass=StandIn):
    """What stands in for `select.epoll` while a scenario is installed."""

    __slots__ = ()

    real = _real_epoll
    ours = SimEpoll

    def __new__(cls, sizehint: int = -1, flags: int = 0) -> Any:  # pyright: ignore[reportInconsistentConstructor]  # Any: of either kind
        """One of the current world; a real one outside of any."""
        world = current()
        if world is None or for_a_tool(sys._getframe(1)):
            return _real_epoll(sizehint, flags)
        if (sizehint, flags) != (-1, 0):
            _real_epoll(sizehint, flags).close()  # which knows what is wrong with them
        return world.stack.poller(_real_epoll, "epoll") or make_epoll(world)

    @staticmethod
    def fromfd(fd: int, /) -> Any:  # Any: likewise
        """One for a number that there is."""
        world = current()
        if world is None:
            return _real_epoll.fromfd(fd)
        found = world.stack.epoll_of(_real_epoll.fromfd, fd) or epoll_of(world, fd)
        if found is None:
            world.refuse(f"select.epoll.fromfd() of what no epoll object of the scenario has made. {BEFORE}")
        return found


def _polls() -> Iterable[Pair]:
    if _real_poll is not None:
        yield _real_poll, named(_poll, _real_poll)
    if _real_epoll is not None:
        yield _real_epoll, _Epoll
    for name in ("kqueue", "devpoll"):
        real: Any = getattr(_select, name, None)
        if isinstance(real, type):
            yield real, class_door(real, _refuses_to_poll(name))
        elif real is not None:
            yield real, refusing(real, f"select.{name}() is not simulated; {_SELECTORS}")


def _refuses_to_poll(name: str) -> Callable[..., NoReturn]:
    def check(world: World, *_: object, **__: object) -> NoReturn:
        world.refuse(f"select.{name}() is not simulated; {_SELECTORS}")

    return check


def _listens(thing: Any) -> bool:
    """Whether it is a listener that is not of a scenario."""
    if not isinstance(thing, real_socket) or isinstance(thing, (SimSocket, LoopbackSocket)):
        return False
    return bool(thing.getsockopt(_socket_module.SOL_SOCKET, _socket_module.SO_ACCEPTCONN))


_real_register: Final = _BaseSelectorImpl.register


def _register(self: Any, fileobj: Any, events: int, data: Any = None) -> Any:
    """As a real selector's `register`, which a class derived from one has kept."""
    world = current()
    if world is not None and isinstance(self, tuple(REAL_SELECTORS.values())) and "_world" not in vars(self):
        number = number_of(fileobj)
        if is_simulated(number) or world.stack.owns(number):
            world.refuse(f"a real selector is given a scenario's socket. {BEFORE}")
    if world is not None and _listens(fileobj):
        world.refuse(f"a listener that is a real socket is registered. {BEFORE}")
    return _real_register(self, fileobj, events, data)


def _guarded_select(real: Callable[..., Any]) -> Callable[..., Any]:
    def select(self: Any, timeout: float | None = None) -> Any:
        world = current()
        waits = timeout is None or timeout > 0
        if world is not None and waits and any(isinstance(key.fileobj, real_socket) for key in _keys(self)):
            world.refuse(f"select() is called on a real selector with real sockets. {BEFORE}")
        return real(self, timeout)

    return select


def _keys(selector: Any) -> list[Any]:
    names: dict[Any, Any] | None = selector.get_map()
    return [] if names is None else list(names.values())


def pairs() -> list[Pair]:
    """What is replaced wherever a module has it."""
    selectors = [(real, STAND_INS[name]) for name, real in REAL_SELECTORS.items() if name != "DefaultSelector"]
    return [*selectors, (_real_select, named(select, _real_select)), *_polls()]


def in_classes() -> list[Method]:
    """Methods that are replaced in their class."""
    kinds = {kind for kind in REAL_SELECTORS.values() if "select" in vars(kind)}
    selects = [(kind, "select", _guarded_select(kind.select)) for kind in kinds]
    return [(_BaseSelectorImpl, "register", _register), *selects]

"""Putting a scenario's world under code that knows nothing of it, and taking it away again.

Owns which names are replaced, and where: in every module that holds one of the real things by
name, and in a few classes. Everything is put back, whatever happens.
"""

from __future__ import annotations

import sys
from _thread import RLock, get_ident
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any, Final

from .._current import enter, leave
from .._ending.garbage import Held
from .._simulated.kinds import of_kind
from .locks import MANY, OURS, Queue, instead_of
from .open_blocks import Watching, when_module_comes
from .searching import Names, Places, tidy_homes
from .stand_ins import LATE, in_classes, in_late_classes

if TYPE_CHECKING:
    from .._world.world import World
    from .doors import Method

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_put: list[Names] = []
_classes: list[tuple[Any, str, object, object]] = []  # Any: classes; the name, what was there, what is now
_made: Final[dict[int, tuple[object, object]]] = {}  # things that modules had made, and what is there now instead
_open: dict[Installed, None] = {}  # in all threads
_lock: Final = RLock()  # scenarios may run in several threads at once, each in its own
_state: Any = _lock  # Any: the stubs do not tell of the method that tells who holds it


class Installed(ContextDecorator):
    """Puts a world under all code of this thread, for the time of a block; also under `function`, of whatever module.

    An interrupt may come at any moment. So what is replaced is written down before it is, and is put
    back before that is forgotten; and `close()` may be called again, by whoever is left later.
    """

    def __init__(self, world: World, function: object = None, *, in_block: bool = False) -> None:
        self._world: Final = world
        self._in_block: Final = in_block  # whether it is the test's own code under which it is put
        self._function: Final = function
        self._thread = 0  # where it was entered
        self._watching: Final = Watching()
        self._held: Final = Held()

    def __enter__(self) -> None:
        if self._in_block:
            _check_no_loop(self._world)
        try:
            self._begin()
        except BaseException:  # pragma: no cover  (an interrupt, while it is put there)
            self.close()
            raise

    def _begin(self) -> None:
        try:
            self._thread = get_ident()
            _lock.acquire()
            self._watching.begin()
            self._held.begin()
            enter(self._world, self)
            _open[self] = None
            self._world.ending.at_work += 1
            places = Places()
            if len(_open) == 1:
                if _put or _classes:
                    _put_back()  # what an interrupt has left
                _put_classes(in_classes())
                for name in LATE:
                    if name in sys.modules:
                        _put_classes(in_late_classes(name))
                places.everywhere()
            space: dict[str, Any] | None = getattr(self._function, "__globals__", None)
            if space is not None and getattr(sys.modules.get(space.get("__name__", "")), "__dict__", None) is not space:
                places.of(space, ours=True)  # run from a text or by runpy, or its module has been imported anew since
            _replace(places, self._world)
        finally:
            _unlock()

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            self.close()

    def close(self) -> None:
        """Take the world away, and put everything back with the last one. Does nothing when that is done."""
        if self not in _open and not self._thread:
            _unlock()
            return
        try:
            _lock.acquire()
            leave(self._thread, self)
            if not _open.keys() - {self}:
                _put_back()
            self._held.close()
            self._watching.let_go()
            if self in _open:
                del _open[self]
                self._world.ending.at_work -= 1
            self._thread = 0
        finally:
            _unlock()


def _check_no_loop(world: World) -> None:
    """Raise RuntimeError where an event loop runs that knows nothing of this world."""
    events: Any = sys.modules.get("asyncio.events")  # Any: imported by whoever uses it
    loop = None if events is None else events._get_running_loop()
    if loop is not None and loop not in world.holdings.loops:
        raise RuntimeError(
            "net.installed() in a running event loop would put the scenario under that loop, which waits in real time,"
            " and for ever: make the test a plain function (`def`, not `async def`), and let the scenario run the"
            " coroutine: net.run(main); or enter it by `async with Scenario() as net:`"
        )


def _unlock() -> None:
    """Let go of the lock, however often this thread has taken it."""
    while _state._is_owned():
        _lock.release()


def _replace(places: Places, world: World) -> None:
    _put_names(places.names)
    _put_classes(places.classes)

    for space, key in places.made:
        value = space.get(key)
        if isinstance(value, OURS):
            continue  # its module is there by two names, as `__main__` is where `multiprocessing` has been imported
        ours = _made.get(id(value), (None, None))[1] or instead_of(value)
        if ours is None and not isinstance(value, MANY) and _is_free(value, world):
            ours = of_kind(type(value), world)
        if ours is not None:
            _made[id(value)] = value, ours  # by whatever names it goes, it is one thing
            _put_names([Names(space, {key: value}, {key: ours})])


def _put_names(wanted: list[Names]) -> None:
    _put.extend(wanted)
    for names in wanted:
        names.put()


def _is_free(selector: Any, world: World) -> bool:  # Any: of either kind
    """Whether one of this world may take its place: made at an import and not used, or of an earlier scenario."""
    made_in: World | None = getattr(selector, "_world", None)
    return not selector._fd_to_key if made_in is None else made_in is not world


def _replace_late_classes(name: str) -> None:
    with _lock:
        if _open:
            _put_classes(in_late_classes(name))


when_module_comes.append(_replace_late_classes)


def _put_classes(wanted: list[Method]) -> None:
    _classes.extend([(owner, name, owner.__dict__.get(name), ours) for owner, name, ours in wanted])
    for owner, name, ours in wanted:
        setattr(owner, name, ours)


def _put_back() -> None:
    """First put back, then forget: an interrupt may come in between."""
    for owner, name, before, ours in reversed(_classes):
        if owner.__dict__.get(name) is ours:
            if before is None:
                delattr(owner, name)  # it was inherited
            else:
                setattr(owner, name, before)
    _classes.clear()
    for names in reversed(_put):
        names.put_back()
    tidy_homes()
    _put.clear()
    for real, ours in _made.values():
        if isinstance(ours, Queue):
            ours.gives_to(real)
    _made.clear()

"""Which scenario is under the code that runs, and classes that are one thing in a scenario and another outside of any.

Owns the current world of each thread. Code that has got hold of a stand-in keeps it: outside of a scenario, and in
threads that are none of its program's, it makes real things.
"""

from __future__ import annotations

from _thread import get_ident
from abc import ABCMeta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ._world.world import World

BEFORE: Final = (
    "It was made before the scenario began: make it in the function that is run, or inside of"
    " `with net.installed():` (a module that makes it at its import: import it there, or use net.run_path() or"
    " net.run_module()). Or its class is derived from a real one, which is not simulated"
)
"""What is said of a real socket or selector that a scenario's server uses."""

_current: dict[int, tuple[tuple[World, object], ...]] = {}  # by thread, the innermost last, and who put it there


def current() -> World | None:
    """The world that is put under this thread's code; None: the real one."""
    worlds = _current.get(get_ident())
    return worlds[-1][0] if worlds else None


def is_alone() -> bool:
    """Whether no other thread has a world put under its code."""
    return not _current.keys() - {get_ident()}


def check_world(world: World, thing: object) -> None:
    """Refuse what a module has kept from an earlier scenario."""
    now = current()
    if now is not None and now is not world:
        now.refuse(
            f"{thing!r} belongs to an earlier scenario, in which its module was imported. Let the server make it in the"
            " function that is run, or import the module anew (net.run_path() does)"
        )


def enter(world: World, key: object) -> None:
    """From now on sockets are made in this world, in this thread."""
    thread = get_ident()
    _set(thread, (*_current.get(thread, ()), (world, key)))


def leave(thread: int, key: object) -> None:
    """What was entered in a thread with this key is left, in whatever order and from whichever thread."""
    _set(thread, tuple(one for one in _current.get(thread, ()) if one[1] is not key))


def _set(thread: int, worlds: tuple[tuple[World, object], ...]) -> None:
    """These are under a thread's code; each knows whether it is the innermost."""
    for world, _ in _current.get(thread, ()):
        world.under = 0
    if worlds:
        _current[thread] = worlds
        worlds[-1][0].under = thread
    else:
        _current.pop(thread, None)


class StandIn(ABCMeta):
    """The type of a class that stands in for a real one: what is one of those is one of these."""

    real: type
    ours: type

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any], **options: Any) -> Any:
        """Code that derives a class from a stand-in gets one that is derived from the real class."""
        if any("real" in vars(base) for base in bases):
            real = tuple(vars(base).get("real", base) for base in bases)
            return type(real[0])(name, real, space, **options)
        return super().__new__(cls, name, bases, space)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, (cls.real, cls.ours))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.real) or type.__subclasscheck__(cls, subclass)

"""What a door is: it lets through what stays inside of the process, and refuses aloud what does not.

Owns how one is made, of a function or of a class in C, who may always go through, and the shapes in which
the rooms below say what they replace. Which doors there are is theirs to say.
"""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, new_class
from typing import TYPE_CHECKING, Any, Final

from .._current import StandIn, current

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Pair: TypeAlias = tuple[object, object]
    """A real thing, and what takes its place wherever a module has it by name."""

    Method: TypeAlias = tuple[Any, str, object]  # Any: a class or a module
    """Whose it is, its name, and what takes its place there."""

    Late: TypeAlias = dict[str, Callable[[Any], list[Method]]]  # Any: a module
    """By the name of a module that may come later: what is replaced in its classes, once it is there."""

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

LEFT_ALONE: Final = (
    "mockselector", "subprocess", "multiprocessing", "_pytest", "pytest", "pytest_timeout", "coverage", "pluggy",
    "debugpy", "pydevd", "_pydevd_bundle", "_pydev_bundle",
)  # fmt: skip
"""Packages that work with the real system even while a server runs: ours, and those around the test."""


def is_left_alone(name: str) -> bool:
    """Whether a module of that name is of such a package. (`multiprocessing` with threads is the program's.)"""
    return name.partition(".")[0] in LEFT_ALONE and not name.startswith("multiprocessing.dummy")


def for_a_tool(frame: Any) -> bool:  # Any: a frame
    """Whether it is one of the packages around the test that calls, and not the program."""
    return is_left_alone(str(frame.f_globals.get("__name__")))


def named(stand_in: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    """The stand-in, by the name of the real thing; where that is a function in C, no method of a class that has it."""
    stand_in.__name__ = stand_in.__qualname__ = real.__name__
    stand_in.__doc__ = real.__doc__
    return staticmethod(stand_in) if isinstance(real, BuiltinFunctionType) else stand_in


def refusing(real: Callable[..., Any], text: str, harmless: Callable[..., bool] | None = None) -> Callable[..., Any]:
    """What is refused in a scenario, but to the tools around the test, and where the arguments make it harmless."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        world = current()
        if world is None or for_a_tool(sys._getframe(1)) or (harmless is not None and harmless(*args, **kwargs)):
            return real(*args, **kwargs)
        world.refuse(text)

    return named(stand_in, real)


def refused_method(owner: Any, name: str, text: str, harmless: Callable[..., bool] | None = None) -> Method:
    """A method that is refused, as `refusing()` does it."""
    return owner, name, refusing(getattr(owner, name), text, harmless)


class DoorType(StandIn):
    """The type of a class that stands in for one in C: what it has not, the real one has."""

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any], **options: Any) -> Any:
        """A class that is derived from one that must stay guarded is derived from the guarded one."""
        guarded = tuple(vars(base).get("guarded", base) for base in bases)
        if guarded != bases:
            return new_class(name, guarded, options, lambda names: names.update(space))
        return super().__new__(cls, name, bases, space, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def class_door(real: Any, check: Callable[..., None], **more: Any) -> Any:  # Any: of any class
    """A class in the place of a real one, whose instances it makes once `check(world, ...)` has let that pass."""

    class Door(metaclass=DoorType):
        __init__ = real.__init__  # called by name, from classes that are derived from the real one

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:  # Any: one of the real ones
            if cls is not Door:
                return real.__new__(cls, *args, **kwargs)  # likewise
            world = current()
            if world is not None:
                check(world, *args, **kwargs)
            return real(*args, **kwargs)

    Door.__name__ = Door.__qualname__ = real.__name__
    Door.__doc__ = real.__doc__
    Door.real = Door.ours = real
    for name, thing in more.items():
        setattr(Door, name, thing)
    return Door

"""Putting a scenario's world under code that knows nothing of it, and taking it away again.

Owns which names are replaced, and where: in every module that holds one of the real things by
name, and in a few classes. Everything is put back, whatever happens.
"""

from __future__ import annotations

import sys
from _thread import RLock
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ._doors import LATE, LEFT_ALONE
from ._open_blocks import when_module_comes
from ._selecting import KINDS, of_kind
from ._simulated import enter, leave
from ._stand_ins import REPLACEMENTS, in_classes, in_late_classes
from .selector import REAL_SELECTORS

if TYPE_CHECKING:
    from collections.abc import Generator

    from ._world import World

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_SELECTORS: Final = {id(kind) for kind in (*REAL_SELECTORS.values(), *KINDS.values())}
_STDLIB: Final = sys.stdlib_module_names

_put: list[tuple[dict[str, Any], str, object, object]] = []  # module's names, name, what was there, what is now
_depth = 0
_lock: Final = RLock()  # scenarios may run in several threads at once, each in its own


@contextmanager
def installed(world: World, function: object = None) -> Generator[None, None, None]:
    """Put a world under all code of this thread, for the time of a block; also under `function`, of whatever module."""
    global _depth
    enter(world)
    try:
        with _lock:
            _depth += 1
            if _depth == 1:
                _put_classes(in_classes())
                for name in LATE:
                    _replace_late_classes(name)
                _replace_names(world)
            space: dict[str, Any] | None = getattr(function, "__globals__", None)
            if space is not None and sys.modules.get(space.get("__name__", "")) is None:  # run from a text, or by runpy
                _replace_in(space, world, ours=True)
        yield
    finally:
        leave()
        with _lock:
            _depth -= 1
            if not _depth:
                _put_back()


def _replace_names(world: World) -> None:
    for name, module in tuple(sys.modules.items()):
        top = name.partition(".")[0]
        if top not in LEFT_ALONE:
            _replace_in(getattr(module, "__dict__", {}), world, ours=top not in _STDLIB)


def _replace_in(space: dict[str, Any], world: World, *, ours: bool) -> None:  # Any: whatever a module holds
    """Replace in the names of one module; in one that is no part of Python, selectors as well."""
    replacements, selectors, known = REPLACEMENTS, _SELECTORS, _put.append
    for key, value in tuple(space.items()):
        if id(value) in replacements:
            real, stand_in = replacements[id(value)]
            if real is value:
                known((space, key, value, stand_in))
                space[key] = stand_in
        elif ours and id(type(value)) in selectors and _is_free(value, world):  # pyright: ignore[reportUnknownArgumentType]
            in_its_place: object = of_kind(type(value), world)  # pyright: ignore[reportUnknownArgumentType]
            known((space, key, value, in_its_place))
            space[key] = in_its_place


def _is_free(selector: Any, world: World) -> bool:  # Any: of either kind
    """Whether one of this world may take its place: made at an import and not used, or of an earlier scenario."""
    made_in: World | None = getattr(selector, "_world", None)
    return not selector._fd_to_key if made_in is None else made_in is not world


_classes: list[tuple[type, str, object]] = []


def _replace_late_classes(name: str) -> None:
    with _lock:
        if _depth:
            _put_classes(in_late_classes(name))


when_module_comes.append(_replace_late_classes)


def _put_classes(wanted: list[tuple[Any, str, object]]) -> None:
    for owner, name, ours in wanted:
        _classes.append((owner, name, owner.__dict__.get(name)))
        setattr(owner, name, ours)


def _put_back() -> None:
    while _classes:
        owner, name, before = _classes.pop()
        if before is None:
            delattr(owner, name)  # it was inherited
        else:
            setattr(owner, name, before)
    while _put:
        space, key, before, ours = _put.pop()
        if space.get(key) is ours:  # else the code has put something else there
            space[key] = before

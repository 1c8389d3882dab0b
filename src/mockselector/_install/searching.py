"""Which names of which modules hold something that is to be replaced.

Owns the search for them, and what of it is remembered: to look at each name of each module takes milliseconds, and
next to nothing changes from one scenario to the next.

What is remembered of the modules of libraries, Python's own included, holds as long as

- the same modules are there, in the same order (by identity; none of them has gone),
- each of them, but for `sys`, has as many names as before,
- each name that held such a thing holds it still,
- there are as many references to each of them as before, instances of classes included. Whoever binds a name to
  one adds a reference: an import, a `monkeypatch.setattr()`, a reload, a server in an earlier run.

Else all is searched again. Two kinds of change keep all these numbers, and are looked for every time:

- A name that has held such a thing, was patched, and holds it again: the patch has had the reference meanwhile. The
  names that have ever held one are known. So are those that are called as one is (`sleep`), which may have been
  patched before anybody has seen what they hold.
- What the user's own code does with its own modules: those are not remembered, but searched.

What is left is a library's name for a thing that is not the thing's own (`_pause = time.sleep`), if it was patched
before the first scenario and is put back later, or is bound when a reference that no module had goes at the same
time. A real socket or selector that code gets in that way is refused aloud, as methods of their classes are guarded;
a real clock is read.
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import chain
from operator import is_, itemgetter
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from .._simulated.kinds import KINDS
from .._system import REAL_SELECTORS
from .._whose import whose
from .doors import is_left_alone
from .locks import MANY
from .stand_ins import REALS, REPLACEMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from .doors import Method

    Space: TypeAlias = dict[str, object]
    """The names of a module."""

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_MADE: Final = frozenset(id(kind) for kind in (*REAL_SELECTORS.values(), *KINDS.values(), *MANY))
"""The classes of which a program may hold an instance by name: selectors, and locks."""

_REALS: Final = frozenset(REPLACEMENTS)
_COUNTED: Final = (*(real for real, _ in REPLACEMENTS.values() if real not in MANY), *KINDS.values())
_STDLIB: Final = sys.stdlib_module_names
_names_of: Callable[[Any], Space] = vars(ModuleType)["__dict__"].__get__  # a lazy module is not loaded by that


def _usual_names() -> dict[str, None]:
    """What the things that are replaced are called where they are at home; in the same order every time."""
    homes = {getattr(real, "__module__", "") for real, _ in REPLACEMENTS.values()} | {"os", "signal", "socket"}
    spaces = [vars(sys.modules[home]) for home in homes if home in sys.modules]
    return dict.fromkeys(sorted(key for space in spaces for key, value in space.items() if id(value) in _REALS))


_USUAL: Final = _usual_names()
_OURS: Final = REALS.keys()
_AT_HOME: Final[list[tuple[Space, Space]]] = [
    (space, {key: value for key, value in space.items() if id(value) in _REALS})
    for space in (vars(sys.modules[home]) for home in ("socket", "time"))
]
"""The names of a module, and of these the real things that are at home there."""


def tidy_homes() -> None:
    """Put the real things where they are at home, if one of ours was put there by who had kept it during a run.

    Tools that patch the clock or sockets do that when they are stopped in a run: what they keep by name was replaced.
    """
    for space, reals in _AT_HOME:
        if not _OURS.isdisjoint(map(id, map(space.get, reals))):
            space.update({key: real for key, real in reals.items() if id(space.get(key)) in _OURS})


class Names:
    """Some names of one module: what they hold, and what is to be put there."""

    __slots__ = ("_get", "before", "space", "stand_ins")

    def __init__(self, space: Space, before: Space, stand_ins: Space) -> None:
        self.space: Final = space
        self.before: Final = before
        self.stand_ins: Final = stand_ins
        self._get: Final = _getter(stand_ins)

    def put(self) -> None:
        """Put the stand-ins there."""
        self.space.update(self.stand_ins)

    def put_back(self) -> None:
        """Put back what was there, but where the code has put something else."""
        space, before, stand_ins = self.space, self.before, self.stand_ins
        try:
            if all(map(is_, self._get(space), stand_ins.values())):
                space.update(before)
                return
        except KeyError:  # one of them has gone
            pass
        for key, stand_in in stand_ins.items():
            if key in space and space[key] is stand_in:
                space[key] = before[key]


def _getter(keys: Iterable[str]) -> Callable[[Space], tuple[object, ...]]:
    """Gets what a module has by these names; KeyError if one is missing."""
    first = next(iter(keys))
    return itemgetter(*keys, first)  # that once more: a getter of one name gives no tuple


def _same_as(modules: list[Any]) -> Callable[[list[Any]], bool]:
    """Asks whether modules are these, in this order, and keeps none of them."""
    plain: object = object.__hash__  # that of the identity
    by: Callable[[list[Any]], Iterable[Any]] = iter
    if any(type(one).__hash__ is not plain for one in modules):
        by = _identities
    many, these = len(modules), hash(tuple(by(modules)))

    def are_these(others: list[Any]) -> bool:
        try:
            return len(others) == many and hash(tuple(by(others))) == these
        except Exception:  # one that has no hash, or another one than its identity's, was not there before
            return False

    return are_these


def _identities(things: list[Any]) -> Iterable[int]:
    return map(id, things)


class _Found:
    """What a search has found. It keeps no module alive, and nothing that one holds."""

    def __init__(
        self, modules: dict[str, Any], spaces: list[Space], counts: list[int], known: dict[int, list[str]]
    ) -> None:
        self._modules: Final = list(map(id, modules.values()))
        self._are_these: Final = _same_as(list(modules.values()))
        self._spaces: Final = [*spaces]
        self._libraries: Final[list[Space]] = []  # those of them of which something is remembered
        self._strange: Final = [at for at, one in enumerate(modules.values()) if not _is_module(one)]
        self.names: Final[list[Names]] = []
        """The things by name that are to be replaced, in the libraries."""
        forget = _forgets(self._spaces, self._libraries, self.names)
        self._refs: Final = [ref(one, forget) for one in modules.values() if _is_module(one)]
        self.own: Final[list[tuple[int, bool]]] = []  # which module, and whether selectors count
        self._held: Final[list[tuple[int, Space]]] = []  # which module, the things by name
        self.others: Final[list[tuple[int, tuple[str, ...]]]] = []  # names that may come to hold one
        self.classes: Final[list[tuple[ref[type], str]]] = []  # attributes that hold one
        for at, ((name, module), space) in enumerate(zip(modules.items(), spaces, strict=True)):
            if not is_left_alone(name):
                ours = name.partition(".")[0] not in _STDLIB
                if _is_of_a_library(module, space, ours=ours):
                    if module is not sys:  # `sys.last_exc` and its like come and go with each test that fails
                        self._libraries.append(space)
                    self._remember(at, space, known.get(id(module), ()), ours=ours)
                    if ours:
                        self.classes.extend([(ref(kind), key) for kind, key in _in_classes_of(space)])
                else:
                    self.own.append((at, ours))
        self.lengths: Final = list(map(len, self._libraries))
        self._getters: Final = [(at, _getter(reals)) for at, reals in self._held]
        self._reals: Final = [reals[key] for _, reals in self._held for key in (*reals, next(iter(reals)))]
        kept = Counter(map(id, self._reals))  # references of its own, and those of `_held`
        kept.update(id(real) for _, reals in self._held for real in reals.values())
        self.counts: Final = [count + kept[id(real)] for count, real in zip(counts, _COUNTED, strict=True)]

    def _remember(self, at: int, space: Space, known: Iterable[str], *, ours: bool) -> None:
        keys = tuple(key for key in _keys_in(space, ours=ours) if id(space.get(key)) in REPLACEMENTS)
        others = dict.fromkeys(known)
        if not space.keys().isdisjoint(_USUAL):
            others.update((key, None) for key in _USUAL if not _is_module(space.get(key, sys)))
        if ours:
            others.update((key, None) for key in _keys_in(space, ours=True))
        if keys:
            pairs = {key: REPLACEMENTS[id(space[key])] for key in keys}
            reals, stand_ins = ({key: pair[which] for key, pair in pairs.items()} for which in (0, 1))
            self._held.append((at, reals))
            self.names.append(Names(space, reals, stand_ins))
        if others.keys() - set(keys):
            self.others.append((at, tuple(key for key in others if key not in keys)))

    def spaces_of(self, modules: list[Any]) -> list[Space]:
        """The names of these modules, if they are those that were searched; else nothing."""
        if not self._are_these(modules):
            return []
        spaces = [*self._spaces]
        for at in self._strange if spaces else ():
            spaces[at] = _of_no_module(modules[at])
        return spaces

    def holds(self, spaces: list[Space], counts: list[int]) -> bool:
        """Whether nothing has changed in these modules since that would be seen."""
        lengths = list(map(len, self._libraries))
        return self.counts == counts and self.lengths == lengths and self._names_hold(spaces)

    def _names_hold(self, spaces: list[Space]) -> bool:
        try:
            now = [get(spaces[at]) for at, get in self._getters]
        except KeyError:
            return False
        others = [spaces[at].get(key) for at, keys in self.others for key in keys]
        return all(map(is_, chain.from_iterable(now), self._reals)) and _REALS.isdisjoint(map(id, others))

    def by_module(self) -> dict[int, list[str]]:
        """The names, by the identity of their module."""
        known: dict[int, list[str]] = {}
        for at, reals in self._held:
            known.setdefault(self._modules[at], []).extend(reals)
        for at, keys in self.others:
            known.setdefault(self._modules[at], []).extend(keys)
        return known


def _forgets(*kept: list[Any]) -> Callable[[object], None]:  # Any: names, in whatever form
    """What is called when one of the modules has gone: none of their names is kept any more."""

    def forget(_: object) -> None:
        for names in kept:
            names.clear()

    return forget


_found: _Found | None = None


class Places:
    """Where something is to be replaced now."""

    def __init__(self) -> None:
        self.names: list[Names] = []
        self.classes: list[Method] = []

        self.made: list[tuple[Space, str]] = []

    def everywhere(self) -> None:
        """In all modules."""
        global _found
        modules = sys.modules.copy()
        things = list(modules.values())
        counts = list(map(sys.getrefcount, _COUNTED))
        found = _found
        spaces = [] if found is None else found.spaces_of(things)
        if found is None or not spaces or not found.holds(spaces, counts):
            spaces = _spaces(things)
            known = {} if found is None else found.by_module()
            if found is not None:
                found = _found = None  # with the references that it keeps
                counts = list(map(sys.getrefcount, _COUNTED))
            found = _found = _Found(modules, spaces, counts, known)
        self.names += found.names
        if not _MADE.isdisjoint([id(type(spaces[at].get(key))) for at, keys in found.others for key in keys]):
            for at, keys in found.others:
                self._look(spaces[at], keys)
        for weak, key in found.classes:
            kind = weak()
            if kind is not None:
                self._look_in(kind, key)
        for at, ours in found.own:
            self.of(spaces[at], ours=ours)

    def of(self, space: Space, *, ours: bool) -> None:
        """In one module."""
        self._look(space, _keys_in(space, ours=ours))
        for kind, key in _in_classes_of(space):
            self._look_in(kind, key)

    def _look_in(self, kind: type, key: str) -> None:
        """What an attribute of a class holds."""
        value: Any = vars(kind).get(key)
        static = vars(kind).get(key).__class__ is staticmethod
        pair = REPLACEMENTS.get(id(value.__func__ if static else value))
        if pair is not None:
            ours: Any = pair[1]
            self.classes.append((kind, key, staticmethod(ours) if static else ours))

    def _look(self, space: Space, keys: Iterable[str]) -> None:
        for key in keys:
            value = space.get(key)
            pair = REPLACEMENTS.get(id(value))
            if pair is not None:
                self.names.append(Names(space, {key: value}, {key: pair[1]}))
            elif id(type(value)) in _MADE:
                self.made.append((space, key))


def _keys_in(space: Space, *, ours: bool) -> list[str]:
    """The names of a module that hold something to be replaced; `ours`: also those that hold a selector."""
    values = space.values()
    keys: list[str] = []
    if not _REALS.isdisjoint(map(id, values)):
        keys = [key for key, value in tuple(space.items()) if id(value) in _REALS]
    if ours and not _MADE.isdisjoint(map(id, map(type, values))):
        keys += [key for key, value in tuple(space.items()) if id(type(value)) in _MADE]
    return keys


def _in_classes_of(space: Space) -> list[tuple[type, str]]:
    """Attributes of the classes of a module that hold something to be replaced."""
    name, found = space.get("__name__"), list[tuple[type, str]]()
    for kind in tuple(space.values()):
        if type(kind).__setattr__ is type.__setattr__ and isinstance(kind, type) and kind.__module__ == name:
            for key, value in tuple(vars(kind).items()):
                if id(value) in _REALS or (type(value) is staticmethod and id(value.__func__) in _REALS):
                    found.append((kind, key))
    return found


def _is_module(thing: object) -> bool:
    return issubclass(type(thing), ModuleType)  # whatever it says it is


def _spaces(modules: list[Any]) -> list[Space]:
    try:
        return list(map(_names_of, modules))
    except TypeError:  # what somebody has put there is no module; in Python 3.10, `typing` does
        return [_names_of(one) if issubclass(type(one), ModuleType) else _of_no_module(one) for one in modules]


def _of_no_module(thing: Any) -> Space:
    space: Any = getattr(thing, "__dict__", None)
    return space if issubclass(type(space), dict) else {}


def _is_of_a_library(module: object, space: Space, *, ours: bool) -> bool:
    file = space.get("__file__")
    if not _is_module(module):  # it may change its names as a whole
        return False
    return whose(file) != "own" if isinstance(file, str) else not ours

"""Which scenarios have their block open, and what is then done past them.

Owns the one mistake that no run can see: a server that is called, or started in a thread, instead of
being given to the scenario. While a block is open, a real `listen()` in its thread, or in a thread
that was started from there since, is an error that says what to write. Owns, too, the import hook
that tells `_install` which modules have come, and what may not be around a scenario: gevent, eventlet, uvloop. Knows
nothing of how a run goes on.

Each of these holders, and each run, holds both in place; with the last of them they are taken away.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
from _thread import get_ident
from typing import TYPE_CHECKING, Any, Final

from .._current import current
from .._loopback.sockets import LoopbackSocket
from .._system import real_socket
from .doors import for_a_tool
from .guards import refuse_real
from .stand_ins import LATE
from .threads import starter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType

    from .._world.world import World
    from .doors import Method

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_open: Final[dict[World, int]] = {}  # and the process in which it was opened
_of_thread: Final[
    dict[int, tuple[World, ...]]
] = {}  # those that a thread has opened, or was started in; innermost last
_holders: Final[dict[object, None]] = {}  # blocks and runs

when_module_comes: Final[list[Callable[[str], None]]] = []
"""Called with the name of a module of `LATE` when it has been imported."""


# -- a real listen() -------------------------------------------------------------------------------


def _block() -> World | None:
    """The innermost open block of this thread."""
    for world in reversed(_of_thread.get(get_ident(), ())):
        if _open.get(world) == os.getpid() and not world.monitor.finished:  # a process that was forked goes its own way
            return world
    return None


_real_listen: Final = real_socket.listen


def _listen(self: real_socket, *args: Any) -> None:
    """As `socket.socket.listen`; refused in a run, and past one."""
    world = current()
    if world is not None:
        refuse_real(world, "listen", self)
    world = _block()
    if world is not None and not isinstance(self, LoopbackSocket) and not _is_right(sys._getframe(1)):
        self.close()  # not everybody does who gets an error, and nobody can do anything with it
        world.refuse(
            "listen() is called on a real socket: a scenario's block is open, but this code runs outside of it, and"
            f" clients of the scenario will not find it. {_what_to_write(world, sys._getframe(1))}. What is only to be"
            " made beforehand goes into `with net.installed():`. A real server beside the scenario is to be started"
            " before the block"
        )
    before = _before.get(0, _NOTHING)  # a test may have put something of its own there
    (before if callable(before) else _real_listen)(self, *args)


def _is_right(frame: FrameType) -> bool:
    """Whether a real listen() is a tool's, or a `socketpair()`'s, which some systems have made so."""
    pair = frame.f_globals.get("__name__") == "socket" and frame.f_code.co_name.endswith("socketpair")
    return pair or for_a_tool(frame)


_RUN_THREADS: Final = ("threading", "concurrent.futures.thread", __name__)

_CALL_TESTS: Final = ("unittest.case", "_callTestMethod"), ("_pytest.python", "pytest_pyfunc_call")
"""Who calls a test that was given its scenario."""

CO_COROUTINE: Final = 0x80
"""Of a code object: it is that of an `async def`."""


def _what_to_write(world: World, frame: FrameType) -> str:
    """How the block is to be entered; or how the call of the test's own should be by which the server was reached."""
    if world.ending.outside.co_flags & CO_COROUTINE:
        return (
            "In a coroutine, enter the block by `async with Scenario() as net:`, on a mockselector.EventLoop; or make"
            " the test a plain function (`def`), and write net.run(main)"
        )
    return f"{_call_to_write(world, frame)}, and without a thread of its own"


def _call_to_write(world: World, frame: FrameType) -> str:
    one: FrameType | None = frame
    inner: FrameType | None = None
    while one is not None:
        before = one.f_back
        if before is not None and (before.f_globals.get("__name__"), before.f_code.co_name) in _CALL_TESTS:
            return _GIVE if inner is None else _call_of(inner)
        if before is not None and (
            before.f_code is world.ending.outside or before.f_globals.get("__name__") in _RUN_THREADS
        ):
            return _call_of(one)
        inner, one = one, before
    return _GIVE


_GIVE: Final = (
    "Give the function to the scenario, and its arguments after it: net.run(serve, 9000). An object that listens as it"
    " is made is made by it, too: server = net.run_until_complete(Server, 9000)"
)


def _call_of(frame: FrameType) -> str:
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount]
    name = code.co_name
    module = str(frame.f_globals.get("__name__")).partition(".")[0]
    if not name.isidentifier() or module in sys.stdlib_module_names:
        return _GIVE
    given = [repr(frame.f_locals[one]) if _is_plain(frame.f_locals.get(one)) else one for one in names if one != "self"]
    if name == "__init__":
        made = type(frame.f_locals.get(names[0] if names else "")).__name__
        call = f"net.run_until_complete({', '.join([made, *given])})"
        return (
            "It listens as it is made. If it starts threads as well, make it inside of `with net.installed():`; else"
            f" let the scenario make it: server = {call}, not {made}({', '.join(given)})"
        )
    name = f"server.{name}" if names[:1] == ("self",) else name
    return (
        "Give the function to the scenario, and its arguments after it:"
        f" net.run({', '.join([name, *given])}), not {name}({', '.join(given)}) or net.run({name}({', '.join(given)}))"
    )


def _is_plain(value: object) -> bool:
    return type(value) in (int, bool, str) and len(repr(value)) < 30


# -- threads that are started in a block ---------------------------------------------------------


def _start_stand_in(real: Callable[..., Any]) -> Callable[..., Any]:
    in_a_run = starter(real)

    def start(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if current() is not None:
            return in_a_run(function, *args, **kwargs)
        blocks = _of_thread.get(get_ident())
        if not blocks:
            return real(function, *args, **kwargs)

        def run(*given: Any, **more: Any) -> Any:
            _of_thread[get_ident()] = blocks
            try:
                return function(*given, **more)
            finally:
                _of_thread.pop(get_ident(), None)

        return real(run, *args, **kwargs)

    return start


def _stand_ins() -> list[Method]:
    wanted: list[Method] = [(real_socket, "listen", _listen)]
    starts = ("start_new_thread", "start_new", "start_joinable_thread")
    stand_ins = {name: _start_stand_in(getattr(_thread, name)) for name in starts if hasattr(_thread, name)}
    for name, stand_in in stand_ins.items():
        wanted.append((_thread, name, stand_in))
        if getattr(threading, f"_{name}", None) is getattr(_thread, name):
            wanted.append((threading, f"_{name}", stand_in))
    return wanted


# -- modules that come while a server runs ---------------------------------------------------------


class _Watch:
    """Stands before the other finders, and finds what they find."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As an import asks it."""
        if name not in LATE:
            return None
        for finder in sys.meta_path:
            find: Any = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if finder is _Watch or find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, spec)  # type: ignore[assignment]  # all of a loader that is asked for
                return spec
        return None


class _Loader:
    """A loader that says when a module is there."""

    def __init__(self, real: Any, spec: ModuleSpec) -> None:
        self.real, self.spec = real, spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the real one does it; by then it is the module's only loader again."""
        spec.loader = self.real
        module: ModuleType | None = self.real.create_module(spec)
        spec.loader = self  # type: ignore[assignment]  # as above
        return module

    def exec_module(self, module: ModuleType) -> None:
        """As the real one does it."""
        self.spec.loader = self.real
        module.__loader__ = self.real
        self.real.exec_module(module)
        for function in when_module_comes:
            function(module.__name__)


# -- put there, and taken away -------------------------------------------------------------------

_STAND_INS: Final = _stand_ins()
_LOOK: Final[list[tuple[Callable[[str], object], str, object]]] = [
    (owner.__dict__.get, name, ours) for owner, name, ours in _STAND_INS
]
_before: Final[dict[int, object]] = {}  # what was there, by its place in `_STAND_INS`
_NOTHING: Final = object()


def _match() -> None:
    """Put the stand-ins there, or take them away, as there are holders or not.

    Without a lock, which an interrupt may leave locked: what was broken off, or undone by another
    thread that came to it earlier, is made up for.
    """
    held = _matches()
    while held is not bool(_holders):
        held = bool(_holders)
        for place, (owner, name, ours) in enumerate(_STAND_INS):
            now: object = owner.__dict__.get(name, _NOTHING)
            if held and now is not ours:
                _before[place] = now
                setattr(owner, name, ours)
            elif not held and now is ours:
                _take_away(owner, name, _before[place])
        finders = [finder for finder in sys.meta_path if finder is not _Watch]
        if held or len(finders) < len(sys.meta_path):
            sys.meta_path[:] = [_Watch, *finders] if held else finders


def _matches() -> bool | None:
    """Whether all stand-ins are there (True) or none is (False), if it should be so; None: there is something to do."""
    held = bool(_holders)
    for get, name, ours in _LOOK:
        if (get(name) is ours) is not held:
            return None
    finders = sys.meta_path
    there = (bool(finders) and finders[0] is _Watch) if held else any(finder is _Watch for finder in finders)
    return held if there is held else None


def _take_away(owner: Any, name: str, before: object) -> None:
    if before is _NOTHING:
        delattr(owner, name)  # it was inherited
    else:
        setattr(owner, name, before)


class Watching:
    """Holds the stand-ins in place for the time of a run; not for longer than it lives."""

    def begin(self) -> None:
        """Hold them, from now on."""
        _holders[self._key()] = None
        _match()

    def _key(self) -> object:
        return id(self)  # not itself, which would keep it from going

    def let_go(self) -> None:
        """Hold nothing any more. Does nothing when that is done."""
        _holders.pop(self._key(), None)
        _match()

    def __del__(self) -> None:
        if self._key() in _holders and not sys.is_finalizing():
            self.let_go()  # pragma: no cover  (an interrupt has come before it was asked to)


def opened(world: World) -> None:
    """A scenario's block is entered, in this thread."""
    thread = get_ident()
    try:
        _open[world] = os.getpid()
        _of_thread[thread] = (*_of_thread.get(thread, ()), world)
        _holders[world] = None
        _match()
    except BaseException:  # pragma: no cover  (an interrupt: the block is not entered)
        closed(world)
        raise


def closed(world: World) -> None:
    """It is left, in whatever thread. To be called twice, where an interrupt may come in between."""
    _open.pop(world, None)
    _holders.pop(world, None)
    for thread, worlds in tuple(_of_thread.items()):
        if world in worlds:
            rest = tuple(one for one in worlds if one is not world)
            if rest:
                _of_thread[thread] = rest
            else:
                _of_thread.pop(thread, None)
    _match()


# -- what runs around a scenario -------------------------------------------------------------------


def check_surroundings(function: object = None) -> None:
    """Raise NotImplementedError where code, or `function`, would go past Python's own sockets, selectors and time."""
    if sys.modules.keys().isdisjoint(_PATCHERS) and not _is_in_uvloop(function):
        return
    what = next((text for text, found in _SURROUNDINGS.items() if found(function)), None)
    if what is not None:
        raise NotImplementedError(
            f"{what}: it goes past Python's own sockets, selectors and time, and no scenario can be put under it."
            " Let the test run in a process, and the program on a loop, without it"
        )


def _is_patched(patcher: str, question: str) -> bool:
    ask: Any = getattr(sys.modules.get(patcher), question, None)
    return ask is not None and any(ask(name) for name in ("socket", "select", "selectors", "time", "thread", "ssl"))


def _is_in_gevent() -> bool:
    local: Any = sys.modules.get("gevent._hub_local")
    hub: Any = None if local is None else local.get_hub_if_exists()
    return hub is not None and sys.modules["greenlet"].getcurrent().parent is hub


def _is_in_uvloop(function: object) -> bool:
    events: Any = sys.modules.get("asyncio.events")
    loop = None if events is None else events._get_running_loop()
    return _is_of_uvloop(getattr(function, "__self__", None)) or (loop is not None and _is_of_uvloop(loop))


def _is_of_uvloop(thing: object) -> bool:
    return type(thing).__module__.partition(".")[0] == "uvloop"


_PATCHERS: Final = ("gevent.monkey", "eventlet.patcher", "gevent._hub_local")
"""Without these modules, nobody has done what they do."""

_SURROUNDINGS: Final[dict[str, Callable[[object], bool]]] = {
    "gevent has patched the standard library": lambda _: _is_patched("gevent.monkey", "is_module_patched"),
    "eventlet has patched the standard library": lambda _: _is_patched("eventlet.patcher", "is_monkey_patched"),
    "this code runs in a greenlet of gevent": lambda _: _is_in_gevent(),
    "a loop of uvloop is to run": _is_in_uvloop,
}
"""What may be around a scenario with which there can be none."""

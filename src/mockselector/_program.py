"""What a test gives to be run: a function, a coroutine function, or a coroutine.

Owns telling them apart, refusing those of which nothing would run, and running a coroutine on an
event loop of asyncio, which in a scenario waits as everything else there does. Knows nothing of
scenarios, and imports asyncio only where there is a coroutine.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from functools import partial
from types import AsyncGeneratorType, CodeType, GeneratorType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

GENERATOR: Final = 0x20
COROUTINE: Final = 0x80
ITERABLE_COROUTINE: Final = 0x100
ASYNC_GENERATOR: Final = 0x200
"""Flags of code, by their values in `inspect`, which takes long to import."""


# Any, in all of these: whatever the test gave, and whatever that returns.
def program(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], how: str) -> Callable[[], Any]:
    """What is to be called, so that all of what was given runs.

    how: the method that was called. Raises TypeError for what is no function, or for one of which
    nothing would run; RuntimeError for a coroutine where an event loop runs already.
    """
    if _is_asyncio(function, args) and _loop_runs():
        for given in (function, *args):
            _close(given)
        raise _in_a_loop(how)
    if _is_a(function, Coroutine):
        if args or kwargs:
            _close(function)
            raise TypeError(f"{how}() was given a coroutine and arguments: give those to the function that makes it")
        return lambda: _run_coroutine(function)
    if not callable(function):
        raise TypeError(f"{how}() takes a function and its arguments, or a coroutine; got {function!r}")
    flags = _flags(function)
    if flags & (GENERATOR | ASYNC_GENERATOR) and not flags & ITERABLE_COROUTINE:
        raise _nothing_runs(_name(function), flags, how)
    return lambda: _ran(function(*args, **kwargs), how)


def _ran(result: Any, how: str) -> Any:
    """What comes of what a function has returned: a coroutine is run."""
    if _is_a(result, GeneratorType):
        if result.gi_code.co_flags & ITERABLE_COROUTINE:
            return _run_coroutine(_awaits(result))
        if result.__name__ != "<genexpr>" and _is_fresh(result):  # such an expression is a value
            raise _nothing_runs(result.__qualname__, GENERATOR, how)
    elif _is_a(result, AsyncGeneratorType):
        raise _nothing_runs(result.__qualname__, ASYNC_GENERATOR, how)
    elif _is_a(result, Coroutine):
        if _loop_runs():
            _close(result)
            raise _in_a_loop(how)
        return _run_coroutine(result)
    elif hasattr(result, "__await__"):
        return _ran_awaitable(result, how)
    elif type(result).__module__ == "contextlib" and isinstance(getattr(result, "gen", None), _MADE_BY):
        raise _never_entered(result.gen, how)
    return result


_MADE_BY: Final = (GeneratorType, AsyncGeneratorType)
"""What is behind a context manager that a decorator of contextlib has made."""


def _never_entered(generator: Any, how: str) -> TypeError:
    name, kind = generator.__qualname__, "with" if _is_a(generator, GeneratorType) else "async with"
    prefix = "" if kind == "with" else "async "
    return TypeError(
        f"{how}() was given {name}(), which makes a context manager: nothing of it runs before that is entered. Enter"
        f" it: {prefix}def main(): {kind} {name}(): ..., and net.{how}(main)"
    )


def _ran_awaitable(result: Any, how: str) -> Any:
    """What comes of an object that can be awaited, and is no coroutine: nobody else will do it."""
    if hasattr(result, "get_loop"):  # a future
        if result.done():
            return result
        raise TypeError(
            f"{how}() was given a function that returned {result!r}: nobody awaits that, and what it stands for never"
            f" runs. Await it in a coroutine: async def main(): return await ..., and net.{how}(main)"
        )
    return result if _loop_runs() else _run_coroutine(_awaits(result))


def _flags(function: Any) -> int:
    """What kind of function it is, under whatever it is wrapped in; 0: a plain one, or not written in Python."""
    while isinstance(function, partial):
        function = function.func
    call = function if hasattr(function, "__code__") or isinstance(function, type) else type(function).__call__
    code = getattr(getattr(call, "__func__", call), "__code__", None)
    return code.co_flags if isinstance(code, CodeType) else 0


def _is_a(given: object, kind: type) -> bool:  # no narrowing: what is in it, nobody knows
    return isinstance(given, kind)


def _is_fresh(generator: Any) -> bool:
    import inspect  # which takes long, and is seldom needed

    return inspect.getgeneratorstate(generator) == inspect.GEN_CREATED


def _name(function: Any) -> str:
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def _nothing_runs(name: str, flags: int, how: str) -> TypeError:
    if flags & ASYNC_GENERATOR:
        kind, cure = "an async generator", f"async def main(): [item async for item in {name}()], and net.{how}(main)"
    else:
        kind, cure = "a generator", f"net.{how}(lambda: list({name}()))"
    return TypeError(
        f"{how}() was given {name}(), which makes {kind}: to call it runs nothing of it. Go through what it yields:"
        f" {cure}"
    )


def _in_a_loop(how: str) -> RuntimeError:
    return RuntimeError(
        f"{how}() was called where an event loop runs already, and would stop that: make the test a plain function"
        f" (`def`, not `async def`), and write net.{how}(main), without await: the scenario runs the coroutine on an"
        " event loop of its own. Or enter the scenario by `async with Scenario() as net:`, and await main()"
    )


def _loop_runs() -> bool:
    """Whether an event loop of asyncio runs in this thread."""
    events = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None


def _is_asyncio(function: Any, args: tuple[Any, ...]) -> bool:
    """Whether it needs an event loop, as far as can be seen without calling it."""
    if any(isinstance(given, Coroutine) for given in (function, *args)):
        return True
    module = getattr(function, "__module__", None)
    return bool(_flags(function) & COROUTINE) or (isinstance(module, str) and module.partition(".")[0] == "asyncio")


def _close(given: Any) -> None:
    """Let Python not warn of a coroutine that nobody has awaited: the error says why."""
    if isinstance(given, Coroutine):
        given.close()


async def _awaits(given: Any) -> Any:
    return await given


def _run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """As `asyncio.run`, whatever the policy says: on an event loop of the scenario's own."""
    import asyncio

    from ._install.event_loop import EventLoop

    if sys.version_info >= (3, 11):
        with asyncio.Runner(loop_factory=EventLoop) as runner:
            return runner.run(coroutine)
    return _run_as_before(coroutine, EventLoop())


def _run_as_before(coroutine: Coroutine[Any, Any, Any], loop: Any) -> Any:  # pragma: no cover  (up to Python 3.10)
    from asyncio import set_event_loop

    from ._install.loops import close

    try:
        set_event_loop(loop)
        return loop.run_until_complete(coroutine)
    finally:
        try:
            close(loop)
        finally:
            set_event_loop(None)

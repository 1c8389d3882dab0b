"""What is replaced in event loops, in servers, and in loggers.

Owns that asyncio asks for names without a thread, deals with its tasks in the same order every time, and tells what
has died in it, as `socketserver` does, and what frameworks log; and that other loops are refused aloud.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from .._current import current
from .._ending.ending import EndException, trim
from .._judge.standing import ages, mains, name_of, suspended_tasks
from .._judge.unhandled import ASYNCIO, SOCKETSERVER
from .._system import number_of
from .._threads.not_woken import let_go, listen
from .._whose import whose
from .doors import class_door, refused_method
from .pools import InOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._judge.records import Record
    from .._world.world import World
    from .doors import Late, Method

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_real_of_loop: Final[dict[str, Callable[..., Any]]] = {}


async def _loop_getaddrinfo(
    self: Any,
    host: Any,
    port: Any,
    *,
    family: int = 0,
    type: int = 0,  # noqa: A002  (its name)
    proto: int = 0,
    flags: int = 0,
) -> Any:
    """As an event loop's `getaddrinfo`; in a scenario without the thread that it takes."""
    if current() is None:
        return await _real_of_loop["getaddrinfo"](self, host, port, family=family, type=type, proto=proto, flags=flags)
    return _as_asyncio_has("getaddrinfo")(host, port, family, type, proto, flags)


def _as_asyncio_has(name: str) -> Any:
    """A function of the module `socket`, as asyncio calls it: a test may have put another one there."""
    return getattr(_real_of_loop[name].__globals__["socket"], name)


async def _loop_getnameinfo(self: Any, sockaddr: Any, flags: int = 0) -> Any:
    """As an event loop's `getnameinfo`, likewise."""
    if current() is None:
        return await _real_of_loop["getnameinfo"](self, sockaddr, flags)
    return _as_asyncio_has("getnameinfo")(sockaddr, flags)


def _loop_call_exception_handler(self: Any, context: dict[str, Any]) -> None:
    """As an event loop's `call_exception_handler`; a scenario hears what has died, if nobody else deals with it."""
    world = current()
    error, handle = context.get("exception"), getattr(self, "_current_handle", None)
    if world is not None and self in world.holdings.loops and isinstance(error, BaseException):  # no earlier test's
        if isinstance(error, EndException):  # the end of a run is no news for a log
            return
        monitor = world.monitor
        if _deals_with_it(self):
            monitor.witness.heard(error)
        else:
            record = _record_of(world, context.get("transport"))
            task = context.get("task", context.get("future"))
            monitor.unhandled.heard(error, _who_died(context, record), ASYNCIO, record, task)
        trim(error)
    elif world is not None and error is None and "task" in context and self.is_closed() and world.is_over:
        return  # it is gone, and was pending: it was ended
    if world is not None:  # in its debug mode, asyncio tells where a task or a callback was made
        for keeps in (context.get("source_traceback"), getattr(handle, "_source_traceback", None)):
            if keeps:
                keeps[:] = [one for one in keeps if whose(one.filename) != "ours"]
    _real_of_loop["call_exception_handler"](self, context)


def _deals_with_it(loop: Any) -> bool:
    """Whether the program has said what is to be done with what nobody handles."""
    its_own = getattr(loop.default_exception_handler, "__func__", None)
    return loop.get_exception_handler() is not None or its_own is not _real_of_loop["default_exception_handler"]


def _who_died(context: Mapping[str, Any], record: Record | None) -> str:
    """In asyncio's words, which differ from version to version, it is all in its message."""
    of = "" if record is None else f" of {record.name}"
    task = context.get("task", context.get("future"))
    if task is not None:
        return name_of(task) if hasattr(task, "get_coro") else "a future"
    kinds = {"protocol": "the protocol", "transport": "the handler", "asyncgen": "an async generator"}
    return next((f"{kind}{of}" for key, kind in kinds.items() if key in context), "a callback")


def _record_of(world: World, transport: Any) -> Record | None:
    """Of the connection that a transport is for."""
    sock = transport.get_extra_info("socket") if hasattr(transport, "get_extra_info") else None
    return None if sock is None else _record_at(world, sock.fileno())


def _record_at(world: World, number: int) -> Record | None:
    """Of the socket with a number; None: it is none of ours, or closed."""
    holder: Any = world.stack.holder(number)
    if holder is not None:
        return holder._record  # type: ignore[no-any-return]
    descriptor = world.network.descriptors.get(number)
    return None if descriptor is None else world.holdings.records[descriptor]


# -- runs ------------------------------------------------------------------------------------------


def _run_until_complete(self: Any, future: Any) -> Any:
    """As an event loop's `run_until_complete`; a scenario knows what to cancel when all peers are done."""
    world = current()
    real = _real_of_loop["run_until_complete"]
    if world is None or world.is_over or self.is_running() or self.is_closed():
        return real(self, future)
    main: Any = sys.modules["asyncio"].ensure_future(future, loop=self)
    mains.add(main)
    running = world.stopping.mains
    running.append((main, lambda: self.call_soon_threadsafe(main.cancel)))
    try:
        return real(self, main)
    except BaseException as error:
        found = error is world.monitor.violation
        if (found or main is not future) and main.done() and not main.cancelled():
            own = main.exception()  # it is known by what comes out
            if found and own is not error:
                world.ending.overtakes(own)
        raise
    finally:
        running.pop()


def _run_forever(self: Any) -> Any:
    """As an event loop's `run_forever`; a scenario knows which loops there were."""
    world = current()
    if world is not None:
        world.holdings.loops[self] = None
        listen(world, self)
    try:
        return _real_of_loop["run_forever"](self)
    finally:
        let_go(self)


def _new_event_loop() -> Any:
    """As `asyncio.new_event_loop`; in a scenario, where no policy says otherwise, the scenario's own."""
    if current() is None or not _is_of_asyncio(_policy()):
        return _real_of_loop["new_event_loop"]()
    from .event_loop import EventLoop  # here: only who uses asyncio pays for it

    return EventLoop()


def _policy() -> object:
    events: Any = sys.modules["asyncio.events"]
    return getattr(events, "_get_event_loop_policy", events.get_event_loop_policy)()  # in 3.14, asking is deprecated


def _is_of_asyncio(policy: object) -> bool:
    return type(policy).__module__.partition(".")[0] == "asyncio"


def tidy(world: World, *, forced: bool) -> None:
    """A run was ended: its loops that nobody has closed cancel their tasks, as the end of `asyncio.run()` does it.

    forced: it did not go by itself, and its loops are not run again.
    """
    if not world.holdings.loops:
        return
    world.ending.left()
    for loop in [loop for loop in world.holdings.loops if not loop.is_running()]:
        if not (forced or loop.is_closed()):
            try:
                close(loop)
            except EndException:  # it does not end
                world.ending.left()
    world.holdings.left = suspended_tasks()


def close(loop: Any) -> None:
    """As the end of `asyncio.run()`: what still waits is cancelled, and cleans up."""
    try:
        tasks = [*_all_tasks(loop)]
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(sys.modules["asyncio"].gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


# -- tasks -----------------------------------------------------------------------------------------


def _create_task(self: Any, *args: Any, **kwargs: Any) -> Any:
    """As an event loop's `create_task`; in a scenario it is known in which order tasks were made."""
    task = _real_of_loop["create_task"](self, *args, **kwargs)
    world = current()
    if world is not None:
        ages[task] = world.holdings.number_task()
        world.monitor.unhandled.makes_tasks(self)
        made: Any = getattr(task, "_source_traceback", None)  # Any: as above
        if made:
            del made[-1]  # this frame
    return task


def _all_tasks(loop: Any = None) -> set[Any]:
    """As `asyncio.all_tasks`; in a scenario they are, for example, cancelled in the order in which they were made."""
    tasks: set[Any] = _real_of_loop["all_tasks"](loop)
    return tasks if current() is None else InOrder(tasks)


# -- servers ---------------------------------------------------------------------------------------


def _handle_error(self: Any, request: Any, client_address: Any) -> None:
    """As a server's `handle_error`, which prints; a scenario hears what has died, if nobody else deals with it."""
    world, error = current(), sys.exc_info()[1]
    if world is not None and error is not None:
        record = _record_at(world, number_of(request))
        of = "" if record is None else f" of {record.name}"
        code = getattr(self.handle_error, "__code__", None)
        if code is None or whose(code.co_filename) == "own":
            world.monitor.witness.heard(error)
        else:
            world.monitor.unhandled.heard(error, f"the handler{of}", SOCKETSERVER, record)
    _real_of_server["handle_error"](self, request, client_address)


_real_of_server: Final[dict[str, Callable[..., Any]]] = {}


def _of_socketserver(module: Any) -> list[Method]:
    _real_of_server["handle_error"] = module.BaseServer.handle_error
    return [(module.BaseServer, "handle_error", _handle_error)]


# -- logs ------------------------------------------------------------------------------------------


POOLS: Final = "concurrent.futures"
"""The logger of pools."""


def _handle_stand_in(real: Callable[..., Any]) -> Callable[..., Any]:
    """Of a logger: a scenario keeps the exceptions that a framework logs and then swallows, for its texts."""

    def handle(self: Any, record: Any) -> Any:
        world = current()
        info: Any = record.exc_info
        if world is not None and self.name == POOLS and isinstance(info, tuple) and isinstance(info[1], EndException):
            return None  # a pool complains of how its thread was ended
        apart = self.name != "asyncio"  # what that tells, its loop has told before
        if world is not None and apart and isinstance(info, tuple) and isinstance(info[1], BaseException):
            world.monitor.witness.heard(info[1])
        return real(self, record)

    return handle


# -- all of it --------------------------------------------------------------------------------------

_OTHER_LOOPS: Final = (
    "{} is not simulated: it goes past Python's sockets and selectors. Let the test run the program on asyncio's own"
    " loop, or without it"
)


def _of_asyncio(module: Any) -> list[Method]:
    text = (
        "processes are not simulated, and asyncio would wait for this one in virtual time: replace in the test what"
        " starts it (the module subprocess may be used, in real time)"
    )
    loop, tasks = module.BaseEventLoop, module.tasks
    wanted = [refused_method(loop, name, text) for name in ("subprocess_exec", "subprocess_shell")]
    ours: dict[str, Callable[..., Any]] = {
        "getaddrinfo": _loop_getaddrinfo,
        "getnameinfo": _loop_getnameinfo,
        "call_exception_handler": _loop_call_exception_handler,
        "create_task": _create_task,
        "run_forever": _run_forever,
        "run_until_complete": _run_until_complete,
    }
    _real_of_loop["default_exception_handler"] = loop.default_exception_handler
    for one, stand_in in ours.items():
        _real_of_loop[one] = getattr(loop, one)
        wanted.append((loop, one, stand_in))
    package, events = sys.modules["asyncio"], sys.modules["asyncio.events"]
    for owner, name, stand_in in ((tasks, "all_tasks", _all_tasks), (events, "new_event_loop", _new_event_loop)):
        _real_of_loop[name] = getattr(owner, name)
        wanted += [(one, name, stand_in) for one in (owner, package) if hasattr(one, name)]
    wanted.append((tasks, "set", InOrder))  # of which wait() makes those that it returns
    wanted.append((module, "set", InOrder))  # in which create_server() keeps where it is to listen
    return wanted


def _of_logging(module: Any) -> list[Method]:
    return [(module.Logger, "handle", _handle_stand_in(module.Logger.handle))]


def _of_uvloop(module: Any) -> list[Method]:
    text = (
        f"{_OTHER_LOOPS.format('uvloop')}: asyncio.run(main()), no policy of uvloop's, loop_factory="
        "mockselector.EventLoop; uvicorn.run(app, loop='asyncio')"
    )

    def refuses(world: World, *_: object, **__: object) -> None:
        world.refuse(text)

    door: Method = (module, "Loop", class_door(module.Loop, refuses))  # of which all else there makes one
    run = [refused_method(module, "run", text)] if hasattr(module, "run") else []
    return [door, *run, *(refused_method(module.Loop, name, text) for name in ("run_forever", "run_until_complete"))]


def _of_gevent(name: str, *methods: str) -> Callable[[Any], list[Method]]:
    def wanted(module: Any) -> list[Method]:
        owner = getattr(module, name) if name else module
        return [refused_method(owner, method, _OTHER_LOOPS.format("gevent")) for method in methods]

    return wanted


LATE: Final[Late] = {
    "asyncio.base_events": _of_asyncio,
    "gevent._socket3": _of_gevent("socket", "__init__"),
    "gevent.hub": _of_gevent("Hub", "__init__", "switch", "wait"),
    "gevent.monkey": _of_gevent("", "patch_all"),
    "logging": _of_logging,
    "socketserver": _of_socketserver,
    "uvloop": _of_uvloop,
}

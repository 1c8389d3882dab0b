"""Getting out of a server that swallows every exception around `select()`.

Owns the last means: exceptions raised not from the call, where the server catches them, but from
the server's own lines, again and again until it is out. A line is raised from only if the last
exception is not on its way any more, so that `finally:` and the ends of `with` blocks do their work;
a server that makes a home in its handlers is raised from at every line. Nothing here ends a process.
Knows nothing of sockets, selectors or rules.
"""

from __future__ import annotations

import sys
from _thread import RLock, get_ident

from .._judge.reasons import is_the_collectors
from .._judge.trace import place
from .._whose import INSIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any, Final

_monitoring: Final[Any] = getattr(sys, "monitoring", None)  # Any: of Python 3.12, and not in the stubs of 3.10

_armed: Final[dict[int, Escape]] = {}  # by thread: who is to be got out of it

_lock: Final = RLock()

_tool: int | None = None  # the number under which `sys.monitoring` knows us, while anybody is armed

_OUTSIDE: Final = ("_pytest", "pluggy", "pytest", "unittest", "doctest", "threading", "runpy")
"""Packages that call tests, and threads' code: what stands outside of their frames is no server."""

_RUN_THREADS: Final = ("_bootstrap", "_bootstrap_inner", "run")

DEEP: Final = 100
"""So many exceptions, each raised while another was handled, have handlers that call on and on."""

_LEAVES: Final = ("RETURN_VALUE", "YIELD_VALUE") if _monitoring is None else ()
"""Instructions that are not raised from, as what they leave would be in disorder."""

MANY: Final = 100
"""After so many exceptions that were swallowed, they are raised in handlers as well."""


class Escape:
    """Raises in the lines of one thread, inside of a frame, until that is left."""

    __slots__ = (
        "_before", "_in_c", "_is_left", "_kind", "_make", "_nudged", "_numbers", "_outer", "_raised", "_thread",
        "harsh", "unheard",
    )  # fmt: skip

    def __init__(self, kind: type[BaseException], make: Callable[[], BaseException]) -> None:
        self._kind: Final = kind
        self._make: Final = make
        self.harsh = False
        """Whether a line is raised from though an exception is on its way."""
        self.unheard = False
        """Whether a `__del__` is raised from as well: it is what does not end. Else it is let do its work."""
        self._outer: frozenset[FrameType] = frozenset()
        self._numbers: dict[str, int] = {}  # of instructions
        self._raised = 0
        self._nudged = 0  # the thread in which one is to be raised from outside
        self._thread = 0
        self._before: Any = None  # what traced before, up to Python 3.11, or where others monitor
        self._in_c = False  # whether this traces, likewise
        self._is_left = False  # what comes now comes too late

    @property
    def begun(self) -> bool:
        """Whether it is under way."""
        return bool(self._thread or self._nudged)

    def begin(self, innermost: FrameType, stop: CodeType, thread: int | None = None) -> None:
        """Raise from now on, inside of the frames of `stop`.

        thread: another one than this, whose lines must be monitored.
        """
        if self._thread:
            return
        import dis  # here, as ctypes: only what cannot be ended otherwise pays for them

        self._numbers = dis.opmap
        self._outer = _outer_frames(innermost, stop)
        with _lock:
            self._thread = get_ident() if thread is None else thread
            _armed[self._thread] = self
            if not _monitor_lines():
                self._before, self._in_c = sys.gettrace(), True
                _trace_in_c(self)

    def begin_in(self, thread: int, innermost: FrameType, stop: CodeType) -> None:
        """The same in another thread, whatever it does; one that does not come back to Python is not reached."""
        if _can_monitor():
            self.begin(innermost, stop, thread)
            return
        escape = self

        class Nudge(self._kind):  # type: ignore[name-defined, misc]  # of whatever kind was given
            """Made in that thread when it is raised there: only from inside of a thread can that be traced."""

            def __init__(self) -> None:
                super().__init__(*escape._make().args)
                escape._nudged = 0  # it has come
                if not escape._is_left:
                    escape.begin(sys._getframe(1), stop)

        Nudge.__name__, Nudge.__qualname__ = self._kind.__name__, self._kind.__qualname__
        Nudge.__module__ = self._kind.__module__
        self._nudged = thread
        _raise_in(thread, Nudge)

    def left(self) -> None:
        """The server is out: take all this back, and let trace what traced before."""
        if not (self._thread or self._nudged):
            return
        if self._nudged == get_ident():  # pragma: no cover  (up to Python 3.11)
            self._let_come()
        elif self._nudged:
            _raise_in(self._nudged, None)  # it shall not come to pass any more
        self._nudged = 0
        with _lock:
            thread, self._thread = self._thread, 0
            if not thread:
                return
            if _armed.get(thread) is self:
                del _armed[thread]
            self._outer = frozenset()
            if _tool is None and get_ident() == thread:
                self._untrace()
            if not _armed:
                _monitor_no_lines()

    def _let_come(self) -> None:  # pragma: no cover  (up to Python 3.11)
        """An exception is still to be raised in this thread: now, and for nobody.

        To take it back would leave Python 3.11 with a flag that is never cleared, on which a function that is traced
        waits for ever.
        """
        self._is_left = True
        try:
            while self._nudged:
                pass
        except self._kind:
            pass
        finally:
            self._is_left = False

    def _untrace(self) -> None:  # pragma: no cover  (up to Python 3.11, or where others monitor)
        if self._in_c:  # else it has just been done: the call of this function is an event as well
            before, self._before, self._in_c = self._before, None, False
            sys.settrace(before)

    # No coverage of what follows: nothing else can trace while it runs.

    def at_line(self, frame: FrameType, at: int) -> None:  # pragma: no cover
        """A line is about to be executed; at: the instruction from which an exception would come."""
        code = frame.f_code
        if frame in self._outer:
            self.left()
            return
        if code.co_filename in INSIDE or code.co_filename.startswith("<frozen"):
            return
        if not self.unheard and (code.co_name == "__del__" or is_the_collectors(frame)):
            return
        if (self.harsh or not self._is_on_its_way()) and self._may_raise(code, at):
            self._raised += 1
            self.harsh = self.harsh or self._raised > MANY
            raise self._make()

    def _may_raise(self, code: CodeType, at: int) -> bool:  # pragma: no cover
        """Whether an instruction may be raised from."""
        numbers, instructions = self._numbers, code.co_code
        if at < 0 or instructions[at] in [numbers.get(name) for name in _LEAVES]:
            return at < 0
        if instructions[at] == numbers["NOP"]:
            return not _begins_a_try(code, at)
        if instructions[at] != numbers.get("PUSH_EXC_INFO"):
            return True
        # It begins to handle an exception, which nobody knows before that is done; and a `with` is to be left in order.
        return self.harsh and instructions[at + 2] != numbers.get("WITH_EXCEPT_START")

    def _is_on_its_way(self) -> bool:  # pragma: no cover
        """Whether an exception of this kind is being handled, or passes through a `finally:`."""
        error = sys.exc_info()[1]
        for _ in range(DEEP):
            if error is None or isinstance(error, self._kind):
                return error is not None
            error = error.__context__
        return False

    def __delitem__(self, frame: FrameType) -> None:  # pragma: no cover
        """Called for every event of tracing, up to Python 3.11: see `_trace_in_c`."""
        if not self._thread:
            self._untrace()  # it was left in another thread
        else:
            self.at_line(frame, frame.f_lasti)


def _begins_a_try(code: CodeType, at: int) -> bool:  # pragma: no cover
    """Whether it is the `try:` itself, which up to Python 3.12 no `with` or `finally:` around it protects."""
    from dis import Bytecode

    protected = [range(one.start, one.end) for one in getattr(Bytecode(code), "exception_entries", ())]
    return not any(at in one for one in protected) and any(at + 2 in one for one in protected)


def _outer_frames(innermost: FrameType, stop: CodeType) -> frozenset[FrameType]:
    """The frames that are none of the server's: from that of `stop`, or of whatever runs tests, outwards."""
    frame: FrameType | None = innermost
    while frame is not None and frame.f_code.co_filename in INSIDE:
        frame = frame.f_back
    frame = frame and frame.f_back  # a loop may stand in the test's own frame
    while frame is not None and frame.f_code is not stop and not _is_outside(frame):
        frame = frame.f_back
    outer: list[FrameType] = []
    while frame is not None:
        outer.append(frame)
        frame = frame.f_back
    return frozenset(outer)


def _is_outside(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    if module == "threading" and frame.f_code.co_name not in _RUN_THREADS:
        return False  # the server waits for, or starts, another one
    return module in _OUTSIDE and frame.f_code.co_filename not in INSIDE


# -- with Python 3.12: a callback may raise as often as it likes ----------------------------------------


def _free_tool() -> int | None:
    """A number that no tool has; None: a debugger, a profiler and others have them all."""
    monitoring: Any = _monitoring  # Any: asked where there is one
    return next((number for number in (4, 3, 2, 5) if monitoring.get_tool(number) is None), None)


def _can_monitor() -> bool:
    return _monitoring is not None and (_tool is not None or _free_tool() is not None)


def _monitor_lines() -> bool:
    """Have `_at_event` called for each line, each turn of a loop on one, and each call; False if that cannot be had."""
    global _tool
    if _monitoring is None:
        return False
    if _tool is None:
        _tool = _free_tool()
        if _tool is None:
            return False
        _monitoring.use_tool_id(_tool, "mockselector")
        for event in _EVENTS:
            _monitoring.register_callback(_tool, event, _at_jump if event == _JUMP else _at_event)
        _monitoring.set_events(_tool, sum(_EVENTS))
    return True


def _monitor_no_lines() -> None:
    global _tool
    tool, _tool = _tool, None
    if tool is not None and _monitoring is not None:
        _monitoring.set_events(tool, 0)
        for event in _EVENTS:
            _monitoring.register_callback(tool, event, None)
        _monitoring.free_tool_id(tool)


# Not every function has a line of its own: one that C calls again and again may begin, and do no more.
_JUMP: Final[int] = 0 if _monitoring is None else _monitoring.events.JUMP
_EVENTS: Final[list[int]] = (
    [] if _monitoring is None else [getattr(_monitoring.events, name) for name in ("JUMP", "LINE", "PY_START")]
)


def _at_event(*_: object) -> None:  # pragma: no cover
    one = _armed.get(get_ident())
    if one is not None:
        frame = sys._getframe(1)  # whose line it is
        one.at_line(frame, frame.f_lasti)


def _at_jump(code: CodeType, here: int, to: int) -> None:  # pragma: no cover
    """A jump: where that leads to another line, it is for that line to raise.

    What is raised from a jump itself, Python 3.12 does not look for a handler for.
    """
    one = _armed.get(get_ident())
    if one is not None and place(code, here).line == place(code, to).line:
        one.at_line(sys._getframe(1), to)


# -- before that, or where others monitor: a trace function of Python's is given up when it raises; one in C is not --


class _Nothing(BaseException): ...


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Raise an exception in another thread, when it next looks; None: what was to be raised is not any more.

    Up to Python 3.12 all threads look then, again and again, until one finds something: if that one waits for ever, a
    traced function of Python 3.11 never begins. So something is found here; that other thread looks as well whenever
    somebody wants to go on beside it.
    """
    import ctypes

    what = None if kind is None else ctypes.py_object(kind)
    raises = ctypes.pythonapi.PyThreadState_SetAsyncExc
    raises(ctypes.c_ulong(thread), what)
    if sys.version_info < (3, 13) and thread != get_ident():
        try:  # here: another function may never begin
            raises(ctypes.c_ulong(get_ident()), ctypes.py_object(_Nothing))
            while True:
                pass
        except _Nothing:
            pass


def _trace_in_c(escape: Escape) -> None:
    """Have `del escape[frame]` executed for each event of tracing in this thread.

    A trace function in C is called with an object, a frame, and two more arguments that this one
    does not look at, and says by -1 that it has raised; as does `PyObject_DelItem`.
    """
    import ctypes

    set_trace = ctypes.pythonapi.PyEval_SetTrace
    set_trace.argtypes, set_trace.restype = [ctypes.c_void_p, ctypes.py_object], None
    set_trace(ctypes.cast(ctypes.pythonapi.PyObject_DelItem, ctypes.c_void_p), escape)

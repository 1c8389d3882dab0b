"""`MockSelector`: a selector whose `select()` returns the events of a script.

Owns where events come from (an event list, here) and what they mean, and the end of a run: who
gets which exception, and when. Registration is the standard library's own. In strict mode every
call passes the `Monitor`.
"""

from __future__ import annotations

import os
import selectors
import sys
from _thread import get_ident
from collections.abc import Iterable
from itertools import chain
from selectors import EVENT_READ, _BaseSelectorImpl  # 0.2.3's base, and ours
from weakref import WeakMethod, ref

from .._ending.ending import EndException, Ending, trim
from .._judge.monitor import Monitor
from .._judge.registering import delivers, registered
from .._judge.rules import checked_rules
from .._judge.trace import WIDTH, Trace, caller, place
from .._judge.watching import Watch
from .._system import CLOSED, number_of
from .._text import value_text
from .._whose import whose
from .events import OURS, event_text, is_lone, ready_of
from .listen_socket import ListenSocket
from .mock_socket import MockSocket
from .mocks import is_any_mock
from .scripted import join, socket_of
from .unseen import Unseen, Untold, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from selectors import SelectorKey
    from types import CodeType, FrameType, TracebackType
    from typing import Any, Final, NoReturn

    from typing_extensions import Self

    from .._judge.records import Record
    from .._judge.rules import Registration, RuleId
    from .._system import FileObject
    from .items import EventItem

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_STDLIB: Final = os.path.dirname(os.__file__)
_PASSES_ON: Final = (os.path.join(_STDLIB, "contextlib"), os.path.join(_STDLIB, "unittest"))
"""Where a block is entered on somebody's behalf."""

_getframe: Final = sys._getframe  # the only way to a frame that costs nothing

ENVIRONMENT: Final = "MOCKSELECTOR_STRICT"
_STRICT: Final = {"": False, "0": False, "1": True}


# Long, as it is three things by turns: the selector of 0.2.3, a strict one, and the block in which that is judged.
class MockSelector(_BaseSelectorImpl):
    """A selector whose `select()` returns the events of a script, in order.

    event_list: one entry per `select()`: a socket, a registered number or a wrapper with
    `fileno()`, for EVENT_READ; a pair of one of these and a mask; an iterable of all these, for
    several events at once; an empty iterable, for a time-out. After the last, `select()` raises
    `EndException`, which ends the server's loop and which `with selector:` swallows.
    strict: judge what the server does, and raise a `ScenarioError` for what production would
    let pass in silence. None: as the environment variable MOCKSELECTOR_STRICT says (0 or 1).
    allow: ids of rules that are not judged. pedantic: judge the pedantic rules too.

    Raises ValueError for an unknown rule, for `allow` or `pedantic` without strict mode, and for
    any other value of MOCKSELECTOR_STRICT.
    """

    EndException = EndException

    def __init__(
        self,
        event_list: Iterable[EventItem] | None = None,
        *,
        strict: bool | None = None,
        allow: Collection[RuleId] = (),
        pedantic: bool = False,
    ) -> None:
        super().__init__()
        self.iter_event: Iterator[EventItem] = iter(() if event_list is None else event_list)
        """The events still to come. May be set."""
        self._monitor: Monitor | None = None
        self._closed = self._halted = False
        rules = checked_rules(allow)
        if _strict_by_environment() if strict is None else strict:
            frame = caller(1)
            self._maker: CodeType = frame.f_code
            self._monitor = Monitor(place(frame.f_code, frame.f_lasti), allow=rules, pedantic=pedantic)
            self._map: Any = None  # the base's refers back to the selector: then only the collector would find it
            self._names: Callable[[], Any] = _nothing
            self._name = "selector"
            self._watch = Watch(self._name)
            self._blocks = 0  # how many `with selector:` are open
            self._modifying = False
            self._settled = False  # whether the run's result has reached the test
            self._unseen = Unseen(self, frame)
            self._thread = get_ident()
            self._ending = Ending(self._monitor, frame.f_code)
            self._tests_own = False  # whether the outermost block is the test's
            self._monitor.give_up = WeakMethod(self._end_again)
            self._monitor.heirs.append(WeakMethod(self._moves_to))
            # Listeners join at once, so that what comes before their registration is seen, too.
            for event in event_list if isinstance(event_list, (list, tuple)) else ():
                if type(event) is ListenSocket:
                    join(self._monitor, event)
        elif strict is not None and (rules or pedantic):
            raise ValueError("allow= and pedantic= say how strict mode judges: give strict=True with them")

    # -- the test's side --------------------------------------------------------------------

    @property
    def trace(self) -> Trace:
        """All that has happened in a strict run, oldest first. RuntimeError without strict mode."""
        return self._strict_monitor("trace").trace

    def verify(self) -> None:
        """Judge the end of a strict run: raise its violation if it had one, and see what is left over.

        Leaving the test's own `with selector:` does the same. RuntimeError without strict mode.
        """
        monitor = self._strict_monitor("verify()")
        self._finish(returned=not self._ending.times)
        self._settled = True
        if monitor.violation is not None:
            try:
                raise monitor.violation
            except BaseException as error:
                trim(error)
                raise

    def _strict_monitor(self, what: str) -> Monitor:
        if self._monitor is None:
            raise RuntimeError(f"{what} is about what strict mode saw, and this selector is lenient: give strict=True")
        return self._monitor

    def __enter__(self) -> Self:
        if self._monitor is not None:
            self._blocks += 1
            if self._blocks == 1:
                frame = caller(1)
                while frame.f_code.co_filename.startswith(_PASSES_ON) and frame.f_back is not None:
                    frame = frame.f_back
                self._tests_own = self._entered_by_test(frame)
                self._ending.outside = frame.f_code if self._tests_own else self._maker
        return self

    if TYPE_CHECKING:
        _fd_to_key: dict[int, SelectorKey]  # the base's

    def __exit__(  # type: ignore[override]  # unlike the base's, it can swallow an exception
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        own = exc_type == EndException and exc_val is not None and exc_val.args[0] is self
        if self._monitor is None:
            return own
        self._blocks -= 1
        try:
            swallowed = self._leave(exc_val, own=own)
        except BaseException as error:
            trim(error)
            raise
        if not self._blocks:
            trim(exc_val)
        return swallowed

    def _entered_by_test(self, frame: FrameType) -> bool:
        """Whether it is the test that enters the block, or the server (as `socketserver` does).

        The server is who enters in another thread, or from the standard library, or from another
        file than the selector was made in while its maker is still running, and so has called it.
        """
        file = frame.f_code.co_filename
        if get_ident() != self._thread or whose(file) == "stdlib":
            return False
        if file == self._maker.co_filename:
            return True
        above = frame.f_back
        while above is not None and above.f_code is not self._maker:
            above = above.f_back
        return above is None

    def _leave(self, error: BaseException | None, *, own: bool) -> bool:
        """Leave a block of a strict run. What the test sees: its own error, else the violation."""
        monitor = self._monitor
        assert monitor is not None
        self._ending.left()
        if self._blocks or not self._tests_own:
            self.close()  # it is the server's own: a real selector would be closed now
        if self._blocks:
            return False  # the outermost block has the last word
        before = monitor.violation
        if self._tests_own:
            self._finish(returned=error is None and not self._ending.times)
            self._settled = True
        self._settled = self._settled or monitor.violation is not None
        return self._ending.settle(error, own=own, before=before)

    def _finish(self, *, returned: bool) -> None:
        monitor = self._monitor
        assert monitor is not None
        if monitor.finished:
            return
        event = next(self.iter_event, None)
        left = None
        if event is not None:
            self.iter_event = chain((event,), self.iter_event)
            left = event_text(event)
        is_open = [] if self._closed else [self._name]
        returned = returned and left is None
        gone = returned and not self._driven_by_test(monitor)
        monitor.finish(left, returned=returned, gone=gone, open_selectors=is_open)

    def _driven_by_test(self, monitor: Monitor) -> bool:
        """Whether it is the test that calls `select()`, and parts of a server for what it returns."""
        selects = (at for at in range(len(monitor.rows) - WIDTH, -1, -WIDTH) if monitor.rows[at] == "select")
        last = next(selects, None)
        return last is None or monitor.rows[last + 4] in (self._maker, self._ending.outside)

    def __del__(self) -> None:
        unseen: Unseen | None = getattr(self, "_unseen", None)
        if unseen is None or sys.is_finalizing():
            return
        unseen.settle()
        untold = None if unseen.has_failed() else self._untold("was dropped")
        if untold is not None:
            tell(untold)

    def _untold(self, how: str) -> Untold | None:
        """Judge the run for good: what nobody has seen of it; None: nothing."""
        monitor = self._monitor
        if monitor is None or self._settled:
            return None
        self._settled = True
        under = [code for code, _ in monitor.raised_at]
        seen = monitor.violation is not None and self._unseen.has_seen(monitor.violation, under)
        self._finish(returned=not self._ending.times)
        if seen or monitor.violation is None:
            return None
        text = (
            f"a strict MockSelector {how}, and nobody has seen what it found:"
            f" use `with selector:` or selector.verify()\n\n{monitor.violation}"
        )
        return Untold(text, monitor.script, monitor.violation)

    def _in_use(self) -> bool:
        """Whether a block of it is open, or the server's thread, another one, still runs."""
        thread = self._monitor.thread if self._monitor is not None else 0
        return self._blocks > 0 or (thread not in (0, get_ident()) and thread in sys._current_frames())

    # -- the server's side: registration ------------------------------------------------------

    def register(self, fileobj: FileObject, events: int, data: Any = None) -> SelectorKey:  # Any: as `selectors`
        """As `selectors.BaseSelector.register`."""
        return self._registered("register", super().register, fileobj, events, data)

    def unregister(self, fileobj: FileObject) -> SelectorKey:
        """As `selectors.BaseSelector.unregister`."""
        return self._registered("unregister", super().unregister, fileobj)

    def modify(self, fileobj: FileObject, events: int, data: Any = None) -> SelectorKey:  # Any: as `selectors`
        """As `selectors.BaseSelector.modify`."""
        return self._registered("modify", super().modify, fileobj, events, data)

    def get_key(self, fileobj: FileObject) -> SelectorKey:
        """As `selectors.BaseSelector.get_key`."""
        return self._registered("get_key", super().get_key, fileobj)

    def get_map(self) -> Any:  # Any: as the base class has it once it is closed, None
        """As `selectors.BaseSelector.get_map`."""
        if self._monitor is None:
            return super().get_map()
        names = self._names()
        if names is None and not self._closed:
            names = _mapping(self)
            self._names = ref(names)
        return None if self._closed else names

    def close(self) -> None:
        """As `selectors.BaseSelector.close`."""
        super().close()
        self._closed = self._halted = True
        if self._monitor is not None:
            self._monitor.calm = None
            self._watch.clear()

    def _registered(
        self, operation: Registration, act: Callable[..., SelectorKey], fileobj: FileObject, *mask_and_data: Any
    ) -> SelectorKey:  # Any: as `selectors`
        """A call about registration: what `selectors` makes of it, and a row in the trace."""
        monitor = self._monitor
        if monitor is None or self._modifying:  # modify() may call unregister() and register()
            return act(fileobj, *mask_and_data)
        keys = None if self._closed else self._fd_to_key
        record = self._record_of(fileobj)
        self._modifying = True
        try:
            return registered(self._run(), self._watch, keys, record, operation, act, fileobj, mask_and_data)
        finally:
            self._modifying = False
            self._note_plain(record)

    def _moves_to(self, monitor: Monitor) -> None:
        """The run is from now on part of another."""
        self._monitor = self._ending.monitor = monitor

    def _run(self) -> Monitor:
        """The run as it is now: a socket that turned up may have made it part of another."""
        assert self._monitor is not None
        return self._monitor

    def _note_plain(self, record: Record) -> None:
        """Keep a socket's `_plain` what it says it is."""
        if isinstance(record.script, MockSocket):
            key = self._fd_to_key.get(record.number)
            reads = key is not None and key.events & EVENT_READ
            record.script._plain = (self._fd_to_key, (key, EVENT_READ), record) if key and reads else None

    def _record_of(self, fileobj: object) -> Record:
        """The run's record of whatever stands for a socket: itself, its number, a wrapper."""
        monitor = self._monitor
        assert monitor is not None
        if isinstance(fileobj, (MockSocket, ListenSocket)):
            return join(monitor, fileobj)
        key = None if self._closed else self._key_of(fileobj)
        sock = socket_of(key.fd if key is not None else number_of(fileobj))
        return join(monitor, fileobj if sock is None else sock)

    def _key_of(self, fileobj: object) -> SelectorKey | None:
        try:
            names: Any = self.get_map()  # Any: anything may stand in a script
            return names[fileobj]  # type: ignore[no-any-return]  # a key
        except (KeyError, ValueError):
            return None

    # -- the server's side: events ------------------------------------------------------------

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """The next events of the script, whatever the timeout.

        Raises `EndException` when there are none left. Without strict mode, KeyError for an event
        whose file object is not registered. In strict mode `ScenarioError`, and once more at the
        next call if the server swallowed it, and then `EndException`. After that, polls return [].
        """
        monitor = self._monitor
        if monitor is not None:
            if monitor.calm is not self or monitor.rows[-WIDTH] == "select":
                if self._halted or monitor.violation is not None:
                    return self._select_again(monitor, timeout)
                if timeout is None or timeout > 0:
                    monitor.sleep(self._watch)
                if not monitor.has_to_judge():
                    monitor.calm = self
            try:
                event = next(self.iter_event)
            except StopIteration as error:
                self._ends(monitor, timeout)
                raise EndException(self) from error
            if isinstance(event, MockSocket) and event._plain is not None:
                # Registered here, for reading: in as few steps as can be, as all events pass here.
                keys, pair, known = event._plain
                if keys is self._fd_to_key:
                    if not event._rest:
                        event._available += 1
                    frame = _getframe(1)
                    known.note(("select", self._name, known.readable, 0, frame.f_code, frame.f_lasti))
                    monitor.returned = True
                    return [pair]
            return self._deliver(monitor, event)
        try:
            event = next(self.iter_event)
        except StopIteration as error:
            raise EndException(self) from error
        if type(event) is MockSocket or type(event) is ListenSocket:  # the plain case, at once
            key = self._fd_to_key.get(event._number)
            if key is not None and not self._closed:  # closed, it has no map, whatever is registered since
                return [(key, EVENT_READ)]
        # A KeyError here names what is not registered.
        if is_lone(event) and not is_any_mock(event) and event in self.get_map():
            event = [event]  # type: ignore[list-item]  # no group, whatever is got by iterating over it
        return [(self.get_map()[thing], mask) for thing, mask in ready_of(event)]

    def _ends(self, monitor: Monitor, timeout: float | None) -> None:
        """A strict run has no more events."""
        if monitor.sleeping.ended and (timeout is None or timeout > 0):
            monitor.sleeping.never_woken(self._watch)
        monitor.selected(self._name, None)
        self._ending.times = 1
        self._halted = True

    def _deliver(self, monitor: Monitor, event: Any) -> list[tuple[SelectorKey, int]]:  # Any: a script holds all sorts
        """Whatever an event of a strict run is, if it is none of the plainest."""
        ready: list[tuple[SelectorKey, int]] = []
        reported: list[tuple[str, int]] = []
        if is_lone(event):
            event = [event]  # no group, whatever is got by iterating over it
        for thing, mask in ready_of(event):
            record = thing._record if isinstance(thing, OURS) else None
            if record is None or record.monitor is not monitor:
                record = self._record_of(thing)
                monitor = self._run()
            key = self._fd_to_key.get(record.number)
            if key is None and record.number < 0 and record.script is None:
                raise TypeError(
                    f"event_list= holds {event_text(event)}, as event {monitor.events + 1}; an event is a socket,"
                    " its number or a wrapper with fileno(), a pair of one of these and a mask, an iterable of all"
                    " these, or an empty one"
                )
            if key is None or mask & ~key.events:
                text = f"It is event {monitor.events + 1} of the script: {event_text(event)}."
                if not delivers(monitor, self._name, record, key, mask, text):
                    continue
                assert key is not None
            if mask & EVENT_READ and record.script is not None:
                record.script._announce()
            ready.append((key, mask))
            reported.append((record.name, mask))
        monitor.selected(self._name, tuple(reported))
        return ready

    def _select_again(self, monitor: Monitor, timeout: float | None) -> list[tuple[SelectorKey, int]]:
        """A `select()` after a violation, the end of the script, or `close()`."""
        if monitor.violation is None and not self._ending.times:
            closed = ValueError(CLOSED)
            monitor.refused("select", self._name, closed)
            raise closed
        self._ending.again(self, timeout)
        return []

    def _end_again(self) -> NoReturn:
        self._ending.end(self)


def _nothing() -> None: ...


_mapping: Final[Any] = vars(selectors)["_SelectorMapping"]  # Any: what `get_map()` returns has no public name


def _strict_by_environment() -> bool:
    value = os.environ.get(ENVIRONMENT, "")
    if value not in _STRICT:
        raise ValueError(f"{ENVIRONMENT} is {value_text(value)}; it takes 1 (strict) or 0 (lenient)")
    return _STRICT[value]

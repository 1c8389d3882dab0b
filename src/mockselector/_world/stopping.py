"""How a program is stopped when all peers are done: asked first, in its own way, and only then ended.

Owns that order: what the test wants to be called, the signals that it sends, the handler that the program has installed
for being stopped, the cancellation of what its event loop is run for, and the exception that ends any other; and
what is noted of the program before. How long it has after each of these is `termination`'s business.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from .._ending.ending import interruption
from .._judge.trace import caller, seconds_text
from .._threads.nobody_comes import left_to_nobody
from .._threads.not_woken import not_woken
from .signals import Signals, name_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, Protocol

    from .._judge.monitor import Monitor
    from .._judge.trace import Nanoseconds
    from .._play.dialling import Dialling
    from .._play.dropped import Dropped
    from .._play.log import Log
    from .._play.termination import Termination
    from .._threads.threads import Threads
    from .holdings import Holdings
    from .outcome import Outcome
    from .stack import Stack

    class Stopped(Protocol):
        """What it takes of the world to stop a program."""

        @property
        def monitor(self) -> Monitor: ...
        @property
        def log(self) -> Log: ...
        @property
        def outcome(self) -> Outcome: ...
        @property
        def dialling(self) -> Dialling: ...
        @property
        def dropped(self) -> Dropped: ...
        @property
        def holdings(self) -> Holdings: ...
        @property
        def termination(self) -> Termination: ...
        @property
        def stack(self) -> Stack: ...

        @property
        def grace(self) -> Nanoseconds: ...

        call: tuple[str, str]
        threads: Threads | None
        crew: Threads | None
        stirs: int

        def tidies(self) -> bool: ...
        def give_up(self) -> NoReturn: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

STOPS: Final = (signal.SIGINT, signal.SIGTERM)
"""What tells a program to stop, for which it then has `grace`."""

WAITS: Final = (
    "what net.on_end() was given still waits, in {}.{}(), {} after it was called; if it is for the server, that cannot"
    " go on meanwhile, as it is called in its thread. Let another one wait:"
    " net.on_end(threading.Thread(target=server.stop).start)"
)


class Stopping:
    """How far one program has come in being stopped."""

    def __init__(self, world: Stopped) -> None:
        self._world: Final[Stopped] = world
        self.signals: Final = Signals(self._dies)
        self.mains: Final[list[tuple[Any, Callable[[], object]]]] = []
        """What each event loop is run for, a future of asyncio, and how to cancel that; the innermost last."""
        self.cancelled = False
        """Whether that was done."""
        self.killed = False
        """Whether a signal has ended the program, for which it had no handler."""
        self._told = False  # whether it was said that what is to stop it waits itself
        self._noted = False  # whether it is known how all stood at the end

    # -- signals --------------------------------------------------------------------------------

    def send(self, number: int) -> None:
        """A signal comes, whatever the program does."""
        world = self._world
        if number in STOPS and self.signals.handler(number) != signal.SIG_IGN:
            world.termination.signalled()
        if number == signal.SIGINT and self.signals.raises(number):
            world.outcome.note_tasks()
            world.monitor.breaks_off(*world.call)
            raise interruption(world)
        world.log.signalled(name_of(number))
        world.stirs += 1
        before, world.termination.handling = world.termination.handling, name_of(number)
        try:
            self.signals.sent(number, caller(1))
        except KeyboardInterrupt as error:
            interruption(world, error)
            raise
        finally:
            world.termination.handling = before

    def _dies(self, number: int) -> None:
        """The program has no handler for it: its process ends, whatever it is at."""
        world = self._world
        self.killed = True
        self._note()
        world.outcome.kills(name_of(number))
        world.stack.close_all()  # as the kernel does ...
        world.monitor.finished = True  # ... and what it still says, nobody hears
        world.give_up()

    def is_answer(self, error: BaseException | None) -> bool:
        """Whether an exception that has come out of the program is what it makes of being stopped."""
        if self.cancelled and _is_cancellation(error):
            return True
        if not self.signals.answered:
            return False
        if isinstance(error, SystemExit):
            return error.code is None or isinstance(error.code, int)
        return isinstance(error, KeyboardInterrupt) and _comes_from(error) == "asyncio.runners"

    # -- at the end -----------------------------------------------------------------------------

    def goes_on(self, never: Callable[[], None] | None) -> None:
        """All scripts are at their end, and time has run out: take the next step. Returns if the program is asked."""
        world, termination = self._world, self._world.termination
        if termination.calling_back and not self._told:
            self._told = True
            operation, name = world.call
            raise RuntimeError(WAITS.format(name, operation, seconds_text(world.grace)))
        if termination.handling and never is not None:
            never()
        if termination.asks and not termination.asked:
            self._note_leaks()  # a process that stops when it is asked to has had them until then
        try:
            if termination.ask():
                return
        except BaseException as error:
            world.monitor.fails(error)
            raise
        number = termination.takes_signal()
        if number is not None:
            self.send(number)
            return
        if not self._noted:
            if world.dialling.alive and world.tidies():
                return
            if never is not None and self.signals.stop is None:
                never()
            if (termination.completes or not termination.is_server) and world.monitor.in_force("stuck"):
                table = None if world.threads is None else world.threads.table()
                threads = () if table is None else (table[0].state, table.alive)
                found = world.outcome.not_returned(world.call, termination, not_woken(world), *threads)
                world.monitor.end_at(found, *world.call)
            self._note()
            if self._asks_by_signal():
                return
        if not self.cancelled and self.mains:
            self.cancelled = True
            termination.stops()
            self.mains[-1][1]()
            return
        world.give_up()

    def _note(self) -> None:
        self._noted = True
        self._note_leaks()
        self._world.outcome.note_tasks()
        self._world.monitor.at_end(*self._world.call)

    def _asks_by_signal(self) -> bool:
        """Stop it as production does, if it has installed a handler for that."""
        number = None if self.signals.answered else self.signals.stop
        if number is None:
            return False
        self._world.termination.stops()
        self.send(number)
        return True

    def _note_leaks(self) -> None:
        """Whose peer is gone, and what was never closed in the time there was."""
        world = self._world
        leaked = world.outcome.open_without_peer()
        if leaked:
            world.dropped.before_a_verdict(whole=True, anew=True)  # what is garbage would be closed sooner or later
            leaked = world.outcome.open_without_peer()
        world.outcome.leaked = leaked
        world.outcome.left = left_to_nobody(world, at_end=True)


def _comes_from(error: BaseException) -> object:
    """The name of the module in which it was raised."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step and step.tb_frame.f_globals.get("__name__")


def _is_cancellation(error: BaseException | None) -> bool:
    exceptions: Any = sys.modules.get("asyncio.exceptions")  # Any: imported by whoever uses it
    return exceptions is not None and isinstance(error, exceptions.CancelledError)

"""The threads of a program: which there are, which of them runs, and who goes on.

Owns the baton. Each is a thread of the system, so that what belongs to a thread (its locals, its name, its tracebacks)
is as ever; and one of them runs, until it waits for something simulated, or ends. All others wait for their turn, in
real locks. Who goes on is decided by whoever gives the baton up: what was let go on comes first, in the order in which
that happened; then, if peers can act, the thread that has begun the run lets them; then whoever finds what it waits
for. Only where nobody can go on does time, and that as well is done in the first thread: what comes up meanwhile (the
end, an interrupt, what a step raises) is its business, as it is where there is no other.

Knows what threads wait for only as a question to be asked, or not at all, where somebody lets them go on (`Waiter`).
Knows nothing of how threads are started by name, nor of locks.
"""

from __future__ import annotations

import sys
from _thread import get_ident, get_native_id
from collections import deque
from time import sleep
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .._ending.ending import EndException, Ending
from .._judge.trace import WIDTH
from .._play.clock import AT_ONE_INSTANT
from .deadlock import deadlock
from .kept_locks import note_kept
from .real_signals import RealSignals
from .real_waits import left_behind
from .strands import LINGERS, MOST, NO_WAIT, Strand, begin, here
from .switches import Switches
from .thread_table import JOINS, note_last, thread_table, waiting_line
from .who_waits import WhoWaits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from .._choices import Choices
    from .._judge.monitor import Monitor
    from .._judge.trace import Nanoseconds
    from .._kernel.descriptors import Descriptor
    from .._play.clock import Clock
    from .._play.dialling import Dialling
    from .._play.dropped import Dropped
    from .._play.spinning import Spinning
    from .._play.termination import Termination
    from .._play.turns import Turns
    from .strands import Waiter
    from .thread_table import ThreadTable

    class Course(Protocol):
        """What it takes of the world."""

        ending: Ending
        under: int
        call: tuple[str, str]
        calm: Nanoseconds
        threads: Threads | None
        crew: Threads | None

        @property
        def monitor(self) -> Monitor: ...
        @property
        def choices(self) -> Choices: ...
        @property
        def clock(self) -> Clock: ...
        @property
        def turns(self) -> Turns: ...
        @property
        def dialling(self) -> Dialling: ...
        @property
        def dropped(self) -> Dropped: ...
        @property
        def spinning(self) -> Spinning: ...
        @property
        def termination(self) -> Termination: ...
        @property
        def grace(self) -> Nanoseconds: ...
        def play(self) -> None: ...
        def advance(self, deadline: Nanoseconds | None = None) -> None: ...
        def pass_to(self, when: Nanoseconds) -> None: ...
        def wait_for(self, done: Callable[[], bool], timeout: float | None) -> bool: ...
        def check_running(self, timeout: float | None) -> bool: ...


T = TypeVar("T")

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

AT_THE_END: Final = 10_000
"""So often threads may give each other the baton when the run is over, before each wait is refused."""

PATIENCE: Final = 50
"""So often a thread is told to end when the program is out; one that goes on nevertheless never runs again."""


class Threads:
    """All threads of one scenario's program, and the baton. Its attributes are many: it has a queue for each reason."""

    def __init__(self, course: Course) -> None:
        self._course: Final = course
        self.main: Final = Strand(0, course.ending)
        """The one that was there before; of all that goes on, it bears what does not come from the program."""
        self.main.ident, self.main.native, self.main.holder = get_ident(), get_native_id(), here.holder
        self.main.begun, self.main.daemon = True, False
        self.running = self.main
        """Who has the baton."""
        self.alive: Final[dict[int, Strand]] = {self.main.ident: self.main}
        """All that have not ended, by their number in the system, in the order in which they were started."""
        self.who: Final = WhoWaits(course.clock, course.choices)
        self._gone: Final[list[Strand]] = []  # who has ended, and may still be there
        self.wanted: Final[dict[Waiter, Strand]] = {}
        """Who waits for a lock that another one has, where it is judged what that does meanwhile."""
        self.calls: Final[deque[Callable[[], object]]] = deque()
        """What the first one is to do before all else, and wherever it waits: handle signals."""
        self._signals: Final = RealSignals(self.calls, self._presses)
        self._selects: Final[dict[str, int]] = {}  # who has waited in each selector; -1: several have
        self._serials = 0
        self._waits = 0
        self._in_a_row = 0  # how often somebody went on since the peers, and who has a question, had a chance
        self._at_once = 0  # how often somebody did not have to wait since anybody has
        self.over = False
        """Whether the run is over: each is ended where it waits."""
        self._turns_at_the_end = 0
        self._ended_at: Nanoseconds = 0
        self.switches: Final = Switches(self.alive)

    @classmethod
    def of(cls, course: Course) -> Threads:
        """Those of a world, which has none as long as there is but one thread."""
        if course.crew is None:
            course.crew = cls(course)
        return course.crew

    # -- a thread begins, and ends ------------------------------------------------------------------

    def start(self, work: Callable[[bool], object], *, daemon: bool) -> Strand:
        """A new thread. It begins when its turn comes; `work` is told whether it may, as the run is not over."""
        course = self._course
        self.own()
        if len(self.alive) > MOST:
            raise RuntimeError("can't start new thread")  # as the system says, at some number of its own
        self._signals.begin()
        self._serials += 1
        strand = Strand(self._serials, Ending(course.monitor, Threads.runs.__code__))
        strand.work, strand.daemon = work, daemon
        self._waits += 1
        strand.wait = self._waits
        begin(self.runs, strand)
        self.alive[strand.ident] = strand
        self.who.ready.append((strand, strand.wait))
        course.threads, course.calm = self, 0
        course.monitor.whose = self.switches
        return strand

    def runs(self, strand: Strand) -> None:
        """What a thread does, from its first moment to its last."""
        strand.native, strand.holder = get_native_id(), here.holder
        strand.turn.acquire()
        self._has_turn(strand)
        work, strand.work, strand.wait, strand.begun = strand.work, None, 0, True
        try:
            if work is not None:
                work(not strand.ended)
        finally:
            del work  # what it has goes while it has the baton
            strand.ending.left()
            self.switches.ends(strand, self._course.clock.now)
            if strand.ident in self.alive:  # else nobody waits for it any more
                self._ends(self.own())

    def own(self) -> Strand:
        """The thread that calls, which has the baton: one that has lost it waits for it."""
        me = self.running
        if me.ident == get_ident():
            if me.lost:  # it was given it again meanwhile
                me.lost = False
                me.turn.acquire(False)
            return me
        strand = self.alive.get(get_ident())
        if strand is None:
            raise EndException(self._course)
        before = strand.wait
        self._waits += 1
        strand.wait = self._waits
        self.who.ready.append((strand, strand.wait))
        strand.turn.acquire()
        strand.lost, strand.wait, strand.goes_on = False, before, False
        self._has_turn(strand)
        return strand

    def take_away(self, me: Strand) -> None:
        """Another thread, that looks after the run, takes the baton away from one that waits for something real."""
        me.lost = True
        self.end(me)
        following = self._next()
        self.running = following
        following.turn.release()

    def _ends(self, me: Strand) -> None:
        """A thread has the baton for the last time."""
        if self._course.monitor.violation is not None and not self.over:
            self.end(me)
        self.alive.pop(me.ident, None)
        if len(self.alive) == 1:
            self._course.threads = None
        self._gone.append(me)
        following = (self._at_the_end() or self.main) if self.over else self._next()
        self.running = following
        following.turn.release()

    def _has_turn(self, me: Strand) -> None:
        """A thread has got the baton."""
        while self._gone:
            self._gone.pop().join()
        course, monitor = self._course, self._course.monitor
        self.running = me
        course.call = me.call  # where what then comes up finds the program
        course.ending, course.under, course.dropped.thread = me.ending, me.ident, me.ident
        monitor.returned, monitor.calm, monitor.running = me.returned, None, me.serial
        self.switches.gets(len(monitor.rows) // WIDTH, me.serial)

    def _hand(self, me: Strand, following: Strand) -> None:
        """Give the baton to another one, and wait for it."""
        me.returned = self._course.monitor.returned
        self.running = following
        self._at_once = 0
        following.turn.release()
        me.turn.acquire()
        self._has_turn(me)

    # -- it waits -----------------------------------------------------------------------------------

    def until(
        self, done: Callable[[], T] | None, deadline: Nanoseconds | None, call: tuple[str, str],
        on: Descriptor | None = None,
    ) -> T | None:  # fmt: skip
        """A thread waits until `done()`, and returns that; None: `deadline` came first. Without `done`: until then."""
        course, me = self._course, self.own()
        found: T | None = None
        if call[0] == "select" and self._selects.get(call[1]) != me.serial:
            self._selects_in(me, call[1])
        if done is not None:
            if me is self.main and not self.over:
                course.play()
            found = done()
            if found and self._at_once < AT_ONE_INSTANT:
                self._at_once += 1
                return found
        if found or (deadline is not None and deadline <= course.clock.now):
            self._at_once = 0
            self.lets_others()
            found = None if done is None else done()
            if not found:
                course.spinning.looks()
            return found
        return self._waits_for(done, deadline, call, None, on)  # type: ignore[no-any-return]  # what `done` returns

    def selects(self) -> list[str]:
        """The selectors in which the thread that runs has waited, and no other."""
        return [name for name in self.running.selects if self._selects[name] == self.running.serial]

    def _selects_in(self, me: Strand, name: str) -> None:
        if name not in self._selects:
            me.selects.append(name)
        self._selects[name] = -1 if name in self._selects else me.serial

    def parks(self, waiter: Waiter, deadline: Nanoseconds | None, call: tuple[str, str]) -> None:
        """A thread waits until somebody lets it go on, or the time is up."""
        if self._course.termination.calling_back and self.own() is self.main:
            self.lets_others()
            return
        self._waits_for(None, deadline, call, waiter)

    def lets_others(self) -> None:
        """All others go on that can, before this one does."""
        me = self.own()
        self._waits += 1
        before, me.wait, me.done, me.deadline, me.call = me.state(), self._waits, None, None, self._course.call
        self.who.yielded.append((me, me.wait))
        try:
            self._passes_on(me)
        finally:
            me.restore(before)
            self.who.wonders(me)

    def _waits_for(
        self, done: Callable[[], T] | None, deadline: Nanoseconds | None, call: tuple[str, str],
        waiter: Waiter | None, on: Descriptor | None = None,
    ) -> Any:  # fmt: skip  # Any: what `done` returns
        me, who, course = self.own(), self.who, self._course
        before = who.puts_off(me) if me.wait else NO_WAIT
        self._waits += 1
        me.wait, me.done, me.on, me.deadline, me.since = self._waits, done, on, deadline, course.clock.now
        me.call = course.call = call
        outer, me.waiter = me.waiter, waiter
        who.waits(me)
        try:
            self._passes_on(me)
            found, error = me.found, me.error
            if error is not None:
                raise error
            if self.wanted and done is not None:
                note_kept(self.wanted, me, course.clock.now)
            return found
        finally:
            me.found = me.error = error = None
            if me.asks:
                who.leaves(me)
            me.wait, me.done, me.on, me.deadline, me.call, me.since = before
            me.waiter = outer  # of what is over nobody speaks, and its lock is nobody's
            if me.wait and me.done is not None:
                who.asks(me, again=True)

    def _passes_on(self, me: Strand) -> None:
        """Give the baton up until it comes back because this thread can go on."""
        if self._course.monitor.violation is not None and not self.over:
            self.end(me)
        if me is self.main:
            while not me.goes_on:
                if self.calls:
                    self.calls.popleft()()
                    continue
                following = self._next_at_the_end(me) if self.over else self._goes_on()
                if following is not me:
                    self._hand(me, following)
                elif not self.calls:
                    break
        else:
            following = self._next_at_the_end(me) if self.over else self._next()
            if following is not me:
                self._hand(me, following)
        me.goes_on = False
        if me.ended:
            me.ended = False
            me.ending.again(self._course, None)

    # -- who goes on --------------------------------------------------------------------------------

    def _next(self) -> Strand:
        """Whoever can go on; else the first one, which lets peers act, and time pass."""
        following = self.main if self.calls else self._released()
        if following is None and not self._peers_can_act():
            self._in_a_row = 0
            following = self.who.found() or self._released() or self.who.last()
        return self.main if following is None else following

    def _goes_on(self) -> Strand:
        """In the first thread: let all go on until there is a thread that can."""
        course = self._course
        while True:
            following = self.main if self.calls else self._released()
            if following is None:
                self._in_a_row = 0
                course.play()
                following = self.who.found() or self._released()
                if following is None and not course.turns.runnable:
                    following = self.who.last() or self.who.due()
            if following is not None:
                return following
            if not course.turns.runnable:
                if self._nobody_will_go_on():
                    self.judge_deadlock()
                try:
                    course.advance(self.who.earliest())
                except EndException:
                    self.end(self.main)
                    raise

    def _nobody_will_go_on(self) -> bool:
        """Whether all wait for each other only, and nothing else will happen."""
        termination = self._course.termination
        over = termination.asks and not termination.asked
        asking = self.who.somebody_asks(self._no_more)
        alone = asking or over or termination.signals or self._course.turns.due() is not None
        return not alone and self.who.earliest() is None and not termination.calling_back

    def judge_deadlock(self) -> None:
        """None of the threads will ever go on."""
        course, monitor = self._course, self._course.monitor
        if monitor.in_force("deadlock"):
            monitor.append("wait", "threading", None, waiting_line())
            monitor.end_by(deadlock(self.alive, course.clock.now, monitor.witness.program, course.termination.handling))

    def _peers_can_act(self) -> bool:
        return bool(self._course.turns.runnable or self._course.dialling.begun)

    def _released(self) -> Strand | None:
        """The next one that was let go on, unless others have had to wait for that for long."""
        if self._in_a_row > AT_ONE_INSTANT:
            return None
        self._in_a_row += 1
        return self.who.first_of(self.who.ready)

    def in_main(self, function: Callable[[], object]) -> None:
        """Let the first one do something, wherever it waits, before it waits on."""
        if self.own() is self.main:
            function()
        else:
            self.calls.append(function)

    def _presses(self) -> None:
        """The process is interrupted again, while the first one waits for another that does not come to an end."""
        running = self.running
        frame = sys._current_frames().get(running.ident)
        if running is not self.main and frame is not None:
            running.ending.force(self._course, running.ident, frame)

    # -- the end ------------------------------------------------------------------------------------

    def end(self, me: Strand) -> None:
        """The run is over, as `me` knows already: all others are ended where they wait, the first one first."""
        if self.over:
            return
        self.over, self._ended_at, self._turns_at_the_end = True, self._course.clock.now, 0
        for strand in self.alive.values():
            if strand is not me:
                strand.ending.repeated = True  # it is `me` that has raised the violation
        self._tells(me)

    def _tells(self, me: Strand | None) -> None:
        note_last(self.alive, me, self._course.clock.now)
        for strand in (*self.alive.values(),):
            if strand is not me and strand.wait:
                strand.ended = True
                self.who.ready.append((strand, strand.wait))

    def _next_at_the_end(self, me: Strand) -> Strand:
        """When the run is over: whoever can go on; else `me`, which is ended."""
        following = self._at_the_end()
        if following is None:
            me.ended = True
            return me
        return following

    def _at_the_end(self) -> Strand | None:
        if self.calls and get_ident() != self.main.ident:
            return self.main
        self._turns_at_the_end += 1
        following = self.who.first_of(self.who.ready)
        if following is None and self._turns_at_the_end < AT_THE_END:
            following = self.who.found() or self.who.last() or self.who.due()
            earliest = self.who.earliest()
            if following is None and earliest is not None and earliest <= self._ended_at + self._course.grace:
                self._course.pass_to(earliest)
                following = self.who.due()
        return following

    def finish(self) -> None:
        """The program has returned: as the interpreter does, wait for all threads but daemons."""
        if len(self.alive) > 1:
            self._course.call = JOINS
            self.until(self._no_more, None, self._course.call)

    def _no_more(self) -> bool:
        return all(strand.daemon for strand in self.others())

    def table(self) -> ThreadTable:
        """What each of them does."""
        course = self._course
        acting = None if course.turns.acting is None else course.call
        return thread_table(self, course.clock.now, acting, is_out=course.dropped.is_out)

    def others(self) -> Iterator[Strand]:
        """All but the first one."""
        return (strand for strand in self.alive.values() if strand is not self.main)

    def close(self) -> None:
        """The program is out: end what is left. Called by the first thread; does nothing when that is done."""
        if get_ident() != self.main.ident:
            return
        if len(self.alive) > 1:
            self._end_others()
        self._signals.close()
        while self.calls:
            self.calls.popleft()()

    def _end_others(self) -> None:
        self.own()
        under = self._course.under
        self.end(self.main)
        for _ in range(PATIENCE):
            if len(self.alive) == 1:
                break
            if any(strand.lost for strand in self.others()):
                sleep(LINGERS / PATIENCE)  # it may come back, as all others have let go of what they had
            self._turns_at_the_end = 0
            self._tells(self.main)
            while (following := self._at_the_end()) is not None:
                self._hand(self.main, following)
        for strand in [*self.others()]:
            left_behind(self._course, strand)
            strand.ending.left()
            del self.alive[strand.ident]  # it never gets the baton again
        self._course.threads = None
        self.over = False
        self.main.goes_on = self.main.ended = False
        self.who.clear()
        self._has_turn(self.main)
        self._course.under = under

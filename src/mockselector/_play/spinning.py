"""A server that never waits: how long that goes on, and how it sees time pass all the same.

Owns what is counted of a server that only looks (at the clock, at what is ready) or only calls, and since when; and
`[busy-loop]` for `select()`s that return without end, for calls without end, and for a turn that takes too long in real
time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._ending.watchdog import own_place
from .._judge.errors import Finding, told_stack
from .._judge.idling import IN_VAIN
from .._judge.monitor import CALLS_AT_THE_END
from .._judge.reasons import is_dropping
from .._judge.trace import WIDTH, ready_text, shown_path
from .._text import SEVERAL
from .clock import AT_ONE_INSTANT, nanoseconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn, Protocol

    from .._choices import Choices
    from .._ending.ending import Ending
    from .._judge.monitor import Monitor
    from .._judge.records import Record
    from .._judge.trace import Nanoseconds, Place
    from .._judge.watching import Watch
    from .clock import Clock
    from .dropped import Dropped
    from .player import Player
    from .termination import Termination
    from .turns import Turns

    class Others(Protocol):
        """Other threads, if there are any."""

        def until(self, done: None, deadline: Nanoseconds, call: tuple[str, str]) -> object: ...

    class Course(Protocol):
        """What it takes of the world to let time pass, and to end a run."""

        @property
        def monitor(self) -> Monitor: ...
        @property
        def choices(self) -> Choices: ...
        @property
        def ending(self) -> Ending: ...
        @property
        def clock(self) -> Clock: ...
        @property
        def turns(self) -> Turns: ...
        @property
        def dropped(self) -> Dropped: ...
        @property
        def peers(self) -> Sequence[Player]: ...

        @property
        def termination(self) -> Termination: ...
        @property
        def threads(self) -> Others | None: ...
        @property
        def is_over(self) -> bool: ...

        call: tuple[str, str]
        calm: Nanoseconds

        def comes_next(self) -> Nanoseconds | None: ...
        def advance(self) -> None: ...
        def pass_to(self, when: Nanoseconds) -> None: ...
        def play(self) -> None: ...
        def give_up(self) -> NoReturn: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

IDLE_WAKES: Final = 3
"""So many `select()`s in a row with nothing done about them are a busy loop."""

IDLE_CALLS: Final = 200_000
"""So many calls without waiting have no end, if nothing at all comes of them."""

MOST_CALLS: Final = 4 * IDLE_CALLS
"""So many, if no script has anything left to do. (A GiB is sent in half a million calls, 4 KiB by 4 KiB.)"""

MOST_CALLS_BESIDE: Final = 4 * MOST_CALLS
"""So many, if bytes are moved while a script still has something to do, or where nobody plays."""

LOOKS_AT_THE_END: Final = 100_000
"""After so many a server spins that was told to end. Its `finally:` may ask for the time more often than loops do."""

PATIENT: Final = "Scenario(watchdog=300)"
"""How to give a turn five minutes, as an error says it."""

IN_REAL_TIME: Final = (
    "It computes, or waits for something real, and lets no peer act meanwhile. If that takes so long for a good"
    f" reason, {PATIENT} lets a turn take five minutes."
)

HOLDS_UP: Final = "whoever else is connected waits as long; and if it has no end, for ever."
ELSEWHERE: Final = (
    "Let every loop end. What computes for long goes into a thread or a process of its own; what waits for something"
    " real is replaced in the test."
)

LOOKS: Final = ("look", "time")
"""What a thread does that waits because it has looked so often, for the trace."""

STEP: Final = nanoseconds(0.001)
LONGEST_STEP: Final = nanoseconds(16)
"""How far time moves for a server that asks for it again and again: from one to the other, an eighth more each time."""


class Spinning:
    """How long a server has gone on without waiting."""

    __slots__ = (
        "_course", "_looked_at", "_looks", "_polled", "_step", "_still", "_still_at", "_woken_at", "creeps", "idle",
        "progress", "wakes",
    )  # fmt: skip

    def __init__(self, course: Course) -> None:
        self._course: Final = course
        self.progress = 0
        """How often a byte was moved, a connection made or closed, a step taken, or time went on."""
        self.wakes = 0
        """How often `select()` has returned something since ..."""
        self._woken_at: int = 0  # ... the last progress
        self._looks = 0  # how often the server has looked since ...
        self._looked_at: int = 0  # ... the last progress
        self._polled = False  # whether it has not asked for the time since it last polled
        self.idle = 0
        """Steps made during the run that have moved nothing since the server had a turn."""
        self._still = 0  # how long the trace was when a script or time last went on ...
        self._still_at = 0  # ... and the progress when that was last looked at
        self._step = STEP
        self.creeps = False
        """Whether time passes at this moment only because the server never waits."""
        course.monitor.idling.wakes = IDLE_WAKES
        course.monitor.limit = IDLE_CALLS * WIDTH
        course.monitor.endless = self.endless

    def alone(self, call: tuple[str, str], wait: Nanoseconds, watch: Watch) -> bool:
        """The server waits so long for nothing, or, 0, looks, while nobody plays. False: it is to do so as ever.

        What `World.until()` and `World.poll()` come to where nothing can come meanwhile.
        """
        course = self._course
        monitor, now = course.monitor, course.clock.now + wait
        rows = len(monitor.rows)
        if now >= course.calm or rows > course.dropped.due or rows > monitor.limit or course.turns.acting is not None:
            return False
        course.call = call
        self.idle = 0
        if wait:
            monitor.sleep(watch)
            course.clock.now = monitor.now = now
            self.goes_on()
        elif self.progress == self._looked_at:
            self.polls()
        else:
            self._polled = True
            self._begins_to_look()
        return True

    def polls(self) -> None:
        """It has looked at what is ready."""
        self._polled = True
        self.looks()

    def cleans_up(self) -> None:
        """It asks for the time in between, as event loops do, and that is no look."""
        self._looks = 0

    def pulse(self) -> tuple[object, ...]:
        """What changes with whatever the server does."""
        return self._looks, self._polled, self.idle, self.progress

    def asked_for_time(self) -> None:
        if self._course.dropped.collecting:
            return  # whoever measures that
        if self._polled:
            self._polled = False  # an event loop asks each time it has polled: both are one look
        else:
            self.looks()

    def wakes_in_vain(self) -> bool:
        """select() returns something: whether it has very often, with nothing moved since."""
        if self.progress != self._woken_at:
            self._woken_at, self.wakes = self.progress, 0
        self.wakes += 1
        return self.wakes > IN_VAIN

    def judge_wakes(self, reported: tuple[tuple[str, int], ...], records: list[Record]) -> None:
        """It has returned these, too often; where that is allowed, time goes on."""
        if all(self._course.monitor.in_force("busy-loop", record) for record in records):
            events = ready_text(reported, SEVERAL)
            what = f"select() returned {self.wakes - 1} times in a row ({events}), and no byte was moved in between"
            fields = {"what": what, "moment": "returned again"}
            self._course.monitor.raise_violation(Finding("busy-loop", reported[0][0], fields))
        elif self._course.turns.due() is not None and self._course.threads is None:
            self._course.advance()
        else:
            self._creep()  # the end does not come sooner for that

    def looks(self) -> None:
        """The server polls, asks for the time, or tries in vain. If it does only that, it must see time pass."""
        if self.progress != self._looked_at:
            self._begins_to_look()
        else:
            self._looks += 1
        if self._looks > AT_ONE_INSTANT and self._acts() and not is_dropping():
            self._creep()
        if len(self._course.monitor.rows) > self._course.monitor.limit:
            self.endless()

    def _begins_to_look(self) -> None:
        """It looks once, after something has gone on."""
        self._looked_at = self.progress
        self._looks = 1
        self._step = STEP

    def _acts(self) -> bool:
        """Whether it is the program that does that, and not the script."""
        return self._course.turns.acting is None and not self._course.termination.calling_back

    def _creep(self) -> None:
        """Let some time pass for a server that never waits, and end it where one that waits would be ended."""
        if self._course.is_over:
            if self._looks > LOOKS_AT_THE_END or self._course.ending.times > 1:
                self._looks = 0
                self._course.give_up()
            return
        self._looks = 0
        longer = self._course.choices.choose(2, "time passes by a little, or by more")
        now = self._course.clock.now + (LONGEST_STEP if longer else self._step)
        self._step = min(self._step + self._step // 8, LONGEST_STEP)
        if self._course.threads is not None:  # others may go on meanwhile
            self._course.threads.until(None, now, LOOKS)
            self._looked_at = self.progress
            return
        then = self._course.comes_next()
        if then is not None and then <= now:
            self.creeps = True
            try:
                self._course.advance()
            finally:
                self.creeps = False
        else:
            self._course.pass_to(now)
        self._looked_at = self.progress  # that time goes on is no doing of the server's
        self._course.play()

    def endless(self) -> None:
        """The server has made very many calls, and no script has taken a step since, and no time has passed."""
        course, monitor = self._course, self._course.monitor
        if not self._acts():
            return
        rows, idle = len(monitor.rows), self.progress == self._still_at
        if is_dropping():
            monitor.limit = rows + CALLS_AT_THE_END * WIDTH
            return
        failed = monitor.violation is not None or course.ending.times > 1  # else it cleans up in its own time
        more = CALLS_AT_THE_END // (5 if course.ending.times else 1) if failed else IDLE_CALLS
        if failed:
            course.dropped.collect(whole=False)  # what it makes again and again would make it slower and slower
        monitor.limit, self._still_at = rows + more * WIDTH, self.progress
        calls = (rows - self._still) // WIDTH
        alone = not course.termination.playing and bool(course.peers)
        if not idle and calls < (MOST_CALLS if alone else MOST_CALLS_BESIDE):
            return
        self._still = rows
        if course.is_over:
            course.give_up()
        operation, name = monitor.rows[-WIDTH : 2 - WIDTH]
        if monitor.in_force("busy-loop"):
            monitor.raise_violation(_endless(calls, f"{operation.partition(':')[0]}()", name, idle=idle))
        if course.threads is not None:
            course.threads.until(None, course.clock.now + LONGEST_STEP, LOOKS)
            return
        course.play()
        course.advance()

    def frozen(self, seconds: float, stack: list[Place], thread: str = "") -> Finding:
        """A turn of the server has taken so many seconds of real time, and it stands there; thread: if of several."""
        where, acting = own_place(stack), self._course.turns.acting
        who = thread or "the server" if acting is None else f"a step of {acting.name}"
        at = "" if where is None else f", and is at {shown_path(where.file)}:{where.line} in {where.function}()"
        what = f"{who} has called nothing of its scenario for {seconds:g} s of real time{at}"
        shown = ([] if where is None else [where]) + [one for one in stack if one is not where]
        fields, block = {"what": what, "moment": "", "spins": HOLDS_UP, "waits": ELSEWHERE}, told_stack(shown)
        return Finding("busy-loop", None, fields, note=IN_REAL_TIME, block=block, at_end=True, at=where)

    def goes_on(self) -> int:
        """A script has taken a step, or time has passed; returns how long the trace is."""
        monitor = self._course.monitor
        rows = self._still = len(monitor.rows)
        self.progress += 1
        self._still_at = self.progress
        monitor.limit = rows + IDLE_CALLS * WIDTH
        return rows

    def idles(self) -> int:
        """A peer has taken a step that was made during the run, and has moved nothing; how many were that?"""
        self.idle += 1
        return self.idle

    def moves(self) -> None:
        """A peer has moved something by a step that was made during the run."""
        self.idle = 0


def _endless(calls: int, call: str, name: str, *, idle: bool) -> Finding:
    """The finding about a server that goes on for ever, and never waits."""
    what = f"the server has made {calls:,} calls and never waited, last {call} on {name}"
    if idle:
        note = "Nothing comes of these calls, and what they look for can only happen while the server waits."
    else:
        what += ": has that no end?"
        note = (
            "If it is meant to send for ever, let the script of its peer end with closes(), as real clients leave some"
            ' day; or allow={"busy-loop"}: it is then ended when grace is over.'
        )
    return Finding("busy-loop", name, {"what": what, "moment": "still at it"}, note=note)

"""The world around a server in a scenario: peers, time, and how a run goes on and ends.

Owns who acts when. Peers act only while the server waits (in `select()`, `sleep()` or a blocking
call), in order of creation, each until it must wait itself; time moves only when nothing else can
happen, to the next moment at which something will. Knows peers, the network, the clock and the
monitor; knows no socket class, no selector class, and nothing of how they are put under a server.
"""

from __future__ import annotations

import gc
from _thread import get_ident
from errno import ECONNREFUSED
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from ._clock import AT_ONE_INSTANT, SECOND, Clock, nanoseconds
from ._ending import Ending, interruption
from ._errors import Finding, told_stack
from ._guard import own_place, stack_of
from ._monitor import IN_VAIN, Monitor
from ._network import ANY, Network, Stream
from ._peers import ROOM, SHORTEN, GivenUp, Peer, Raised
from ._table import SocketRow, SocketTable, interest_text
from ._trace import WIDTH, shown_path

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import NoReturn

    from ._monitor import Record
    from ._network import Descriptor
    from ._peers import End
    from ._rules import RuleId
    from ._shell import Address, real_socket
    from ._trace import Place

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

ROWS_AT_ONE_INSTANT: Final = 3000
"""So many calls of a server that never waits, while no peer takes a step, make time pass."""

MOST_STEPS: Final = 100_000
"""So many steps of scripts, taken at one instant, have no end (or a hundred for each peer, if that is more)."""

STEP: Final = nanoseconds(0.001)
LONGEST_STEP: Final = nanoseconds(16)
"""How far time moves for a server that asks for it again and again: from one to the other, doubling."""

NO_RULES: Final = frozenset["RuleId"]()

IN_REAL_TIME: Final = (
    "It computes, or waits for something real, and lets no peer act meanwhile. If that takes so long for a good"
    " reason: Scenario(watchdog=...) says how many seconds a turn may take, and None that nobody looks."
)

REFUSALS: Final = 100
"""So often a call that is not simulated is refused in place; whoever has swallowed that, and goes on, is ended."""

IDLE_WAKES: Final = 3
"""So many `select()`s in a row with nothing done about them are a busy loop."""


class World:
    """One scenario's peers, network and time."""

    def __init__(
        self, script: Place, outside: CodeType, *, allow: frozenset[RuleId], pedantic: bool, patience: float,
        grace: float, buffer: int, date: float,
    ) -> None:  # fmt: skip
        self.monitor: Final = Monitor(script, allow=allow, pedantic=pedantic)
        self.monitor.idle_wakes = IDLE_WAKES
        self.monitor.spare_reads = 1
        self.monitor.limit = ROWS_AT_ONE_INSTANT * WIDTH
        self.monitor.spins = self._creep
        self.monitor.give_up = self._how_to_give_up
        self.ending: Final = Ending(self.monitor, outside)
        self.clock: Final = Clock(date, self._asked_for_time)
        self.network: Final = Network(lambda: self.clock.now / 1e9)
        self.script: Final = script
        self.thread: Final = get_ident()
        self.patience: Final = nanoseconds(patience)
        self.grace: Final = nanoseconds(grace)
        self.buffer: Final = buffer
        self.peers: Final[list[Peer]] = []
        self.backends: Final[list[tuple[Address, Peer]]] = []  # those that nobody has connected to yet
        self.detached: Final[dict[int, tuple[Descriptor, str]]] = {}
        self.records: Final[dict[Descriptor, Record]] = {}
        self.on_end: Final[list[Callable[[], object]]] = []
        self.interrupts: Final[list[int]] = []
        self.interrupt_at_end = False
        self.returned = False  # the server came back by itself
        self.calling_back = False  # a function of `on_end` is running
        self._acting: Peer | None = None  # whose step is being taken
        self.leaked: list[str] = []
        self.progress = 0  # how often a byte was moved, or a connection made or closed
        self.open_selectors: Final[dict[str, None]] = {}
        self._knocking: dict[int, Peer] = {}  # who waits for somebody to listen, or for room in a backlog
        self._dialling: list[tuple[Descriptor, Descriptor]] = []  # the program, for room in a backlog of its own
        self._refused: list[tuple[Descriptor, int]] = []  # the program, where nobody is, and with which error
        self._foreign: dict[int, Record] = {}
        self._selectors = 0
        self._runnable: list[int] = []
        self._timers: list[tuple[int, int, int]] = []  # when, whose, of which wait
        self._vain: list[tuple[int, int, int]] = []  # likewise, of those who wait for something to happen
        self._alive = 0  # connections that the server has not closed
        self._playing = 0  # peers whose script is not at its end
        self._over_at: int | None = None  # when the last script came to its end
        self._asked_to_stop = False
        self._step = STEP
        self._begun = 0  # how many peers there are that no does() has added
        self._steps = 0  # how many were taken at this instant
        self._asked = 0  # how often the server has polled or asked for the time, and done nothing else
        self._seen = 0  # how long the trace was when it last did
        self._woken = 0  # how often select() has returned something since ...
        self._woken_at = (0, 0)  # ... time or anything else moved
        self._ended_at: int | None = None  # when the server was first ended, if it has waited since
        self._refusals = 0
        self._polls = 0
        self._settling = False
        self._late: list[Finding] = []  # what was found when the server had returned

    # -- what a peer sees (`Around`) --------------------------------------------------------------

    def now(self) -> int:
        """Nanoseconds since the beginning."""
        return self.clock.now

    def wake(self, peer: Peer) -> None:
        """Something has happened at its end."""
        if not peer._queued:
            peer._queued = True
            heappush(self._runnable, peer._serial)

    def meet(self, peer: Peer) -> End | None:
        """Connect to whoever listens where the peer wants to go; returns the peer's end."""
        listener = self.network.listener(peer._to)
        if listener is None or listener.backlog is None or len(listener.backlog) >= listener.limit:
            self._knocking[peer._serial] = peer
            return None
        self._knocking.pop(peer._serial, None)
        self._alive += 1
        return self.network.meet(listener, peer._source, peer._buffer, mapped=_is_ipv4(peer._to)).other

    def in_force(self, rule: RuleId, peer: Peer) -> bool:
        """Whether a rule is judged for it."""
        return rule not in peer._allow and self.monitor.in_force(rule)

    def fail(self, finding: Finding) -> NoReturn:
        """What a peer has found while the server waits."""
        if self._settling:
            finding.at_end = True
            self._late.append(finding)
            raise GivenUp
        self.monitor.breach(finding, *self._call)

    def ended(self, peer: Peer) -> None:
        """The last step of its script is taken."""
        self._playing -= 1
        self._over_at = self.clock.now

    def resumed(self, peer: Peer) -> None:
        """It has got more steps."""
        self._playing += 1

    def check_open(self) -> None:
        """Raise RuntimeError if the run is over, and nothing more can be played."""
        if self.monitor.finished or self.ending.times:
            raise RuntimeError("this scenario is at its end: add steps before, or from inside of a does() step")

    # -- who takes part ---------------------------------------------------------------------------

    def add(self, peer: Peer) -> None:
        """A new peer; it acts when the server next waits."""
        self.peers.append(peer)
        self._begun += self._acting is None
        if not peer._backend:
            self._playing += 1
            self.wake(peer)

    def closed(self) -> None:
        """The server has closed one of its connections."""
        self._alive -= 1

    def admit(self, descriptor: Descriptor, name: str | None, role: str, allow: frozenset[RuleId] = NO_RULES) -> Record:
        """Let a new socket of the program into the run."""
        record = self.monitor.admit(
            name, "new", descriptor.number, role=role, allow=allow, script=descriptor, known=role == "client"
        )
        record.named = role != "socket"
        self.records[descriptor] = record
        return record

    def foreign(self, number: int, thing: object) -> Record:
        """The record of a real descriptor."""
        if number not in self._foreign:
            self._foreign[number] = self.monitor.admit_foreign(thing, "descriptor")
        return self._foreign[number]

    def name_selector(self) -> str:
        """What the next selector is called."""
        self._selectors += 1
        name = "selector" if self._selectors == 1 else f"selector {self._selectors}"
        self.open_selectors[name] = None
        return name

    @staticmethod
    def peer_of(stream: Stream) -> Peer | None:
        """Who plays the other end of a connection."""
        peer = stream.other.peer
        return peer if isinstance(peer, Peer) else None

    # -- what is made in it, where that is not simulated ------------------------------------------

    def owns(self, number: int) -> bool:
        """Whether it is the number of a socket of this world."""
        return number in self.network.descriptors

    def own_socket(self, family: int, proto: int, made: Place) -> real_socket | None:
        """A new socket; None: a simulated one."""
        return None

    def own_socket_of(self, number: int) -> real_socket | None:
        """A socket for a descriptor number of this world; None: it is not such a number, or simulated."""
        return None

    def own_selector(self, kind: type[selectors.BaseSelector]) -> selectors.BaseSelector | None:
        """A new selector; None: a simulated one."""
        return None

    # -- connections that the program makes -----------------------------------------------------------

    def dial(self, descriptor: Descriptor, record: Record, address: Address, asked: Address) -> None:
        """Begin to connect: to a listener of the program's own, else to a backend."""
        listener = self.network.listener(address if isinstance(address, str) else address[:2])
        if listener is not None and listener.backlog is not None:
            self.monitor.rename(record, None, "connection")
            if len(listener.backlog) < listener.limit:
                self._link(descriptor, listener)
            else:
                descriptor.connecting = True
                self._dialling.append((descriptor, listener))
            return
        near = address if isinstance(address, str) else address[:2]
        peer = next((peer for where, peer in self.backends if where == near), None)
        if peer is None:
            self._dialled_nobody(record, asked)
            descriptor.connecting = True
            self._refused.append((descriptor, self.network.nobody_at(address)))
            return
        self.backends.remove((near, peer))
        self.monitor.rename(record, peer.name, "connection")
        record.allow |= peer._allow
        descriptor.connecting = True
        self._playing += 1
        peer._dialled = descriptor
        self.wake(peer)

    def hangs_up(self, descriptor: Descriptor) -> bool:
        """The program does not wait any more for room in a backlog; returns whether it has."""
        before = len(self._dialling)
        self._dialling = [one for one in self._dialling if one[0] is not descriptor]
        return len(self._dialling) < before

    def unknown_host(self, host: str) -> None:
        """The program asks for the address of a host that the scenario does not speak of."""
        if not self.network.knows(host) and self.monitor.in_force("unscripted-connection"):
            fields = {"what": f"{host!r}, which the scenario does not know", "address": f"({host!r}, port)"}
            self.monitor.breach(Finding("unscripted-connection", None, fields), "getaddrinfo", host)

    def _link(self, descriptor: Descriptor, listener: Descriptor) -> None:
        """Connect the program to a listener of its own."""
        stream = self.network.meet(listener, descriptor.local or None, self.buffer)
        self._alive += 2
        descriptor.connected(stream.other)

    def _dialled_nobody(self, record: Record, address: Address) -> None:
        self.monitor.rename(record, None, "connection")
        local = (
            () if isinstance(address, str) else [one.local[1] for one in self.network.listeners if one.family in ANY]
        )
        if address[1:2] and address[1] in local:
            return  # the program's own port in another family: it is refused, and the other one tried
        if self.monitor.in_force("unscripted-connection", record):
            where = address if isinstance(address, str) else (self.network.name_of(address[0]), *address[1:2])
            more = any(peer._to == where for peer in self.peers if peer._backend)
            what = f"{where!r}, where the scenario has no {'more backends' if more else 'backend'}"
            fields = {"what": what, "address": repr(where)}
            self.monitor.breach(
                Finding("unscripted-connection", record.name, fields), "connect", record.name, str(where)
            )

    def answer(self, peer: Peer, descriptor: Descriptor, error: int) -> None:
        """A backend takes the connection, or does not."""
        record = self.records[descriptor]
        if descriptor.closed or not descriptor.connecting:
            error = error or ECONNREFUSED
        elif error:
            descriptor.failed(error)
            self.monitor.becomes(record, "refused")
        else:
            remote = self.network.resolved(descriptor.family, peer._to)
            sizes = (peer._buffer, peer._buffer)
            stream = Stream.pair(sizes, descriptor.local, remote, unix=descriptor.family not in ANY)
            self._alive += 1
            descriptor.fresh = True
            descriptor.connected(stream)
            self.monitor.becomes(record, "connected")
            peer._attach(stream.other)

    def listens(self) -> None:
        """Somebody begins to listen: who waits for that looks again."""
        for peer in self._knocking.values():
            self.wake(peer)

    def accepts(self, listener: Descriptor) -> None:
        """A listener has room for one more: the first who waits for that looks again."""
        for peer in self._knocking.values():
            if self.network.listener(peer._to) is listener:
                self.wake(peer)
                return
        for descriptor, wanted in self._dialling:
            if wanted is listener:
                self._dialling.remove((descriptor, wanted))
                self._link(descriptor, listener)
                descriptor.fresh = True
                self.monitor.becomes(self.records[descriptor], "connected")
                return

    # -- time goes on -------------------------------------------------------------------------------

    _call: tuple[str, str] = ("select", "selector")

    def until(
        self,
        done: Callable[[], bool],
        deadline: int | None,
        call: tuple[str, str],
        never: Callable[[], None] | None = None,
    ) -> bool:
        """The server waits: let peers act and time go on until `done()`; False if `deadline` came first.

        call: the operation and the name, for the trace. never: says so if it can never be done.
        """
        self.check_not_acting("wait")
        self._call = call
        while True:
            self._play()
            if done():
                return True
            if deadline is not None and self.clock.now >= deadline:
                return False
            self._advance(deadline, never)

    def poll(self, call: tuple[str, str]) -> None:
        """The server looks, and does not wait. Time stands still, unless it does that all the time."""
        self.check_not_acting("call select()")
        self._call = call
        self._play()
        self._polls += 1
        if self._count():
            self._creep()
        self._seen = len(self.monitor.rows) + WIDTH  # the row of this very poll

    def woken(self, record: Record) -> bool:
        """select() returns something; False: too often, with nothing moved since, which breaks a rule."""
        now = (self.clock.now, self.progress)
        self._woken = self._woken + 1 if now == self._woken_at else 1
        self._woken_at = now
        if self._woken <= IN_VAIN:
            return True
        if self.monitor.in_force("busy-loop", record):
            return False
        self._advance(None, None)
        return True

    def _creep(self) -> None:
        """Let some time pass for a server that never waits, and end it where one that waits would be ended."""
        if self.is_over:
            self.give_up()
        self.monitor.limit = len(self.monitor.rows) + ROWS_AT_ONE_INSTANT * WIDTH
        now = self.clock.now + self._step
        self._step = min(2 * self._step, LONGEST_STEP)
        timer, vain, end = self._due(self._timers), self._due(self._vain), self._end_at()
        interrupt = self.interrupts[0] if self.interrupts else None
        moments = [when for when in (timer and timer[0], vain and vain[0], end, interrupt) if when is not None]
        if moments and min(moments) <= now:
            self._advance(None, None)
        else:
            self._pass_to(now)
        self._play()

    def stepped(self) -> None:
        """A peer has taken a step: something happens."""
        self.monitor.limit = len(self.monitor.rows) + ROWS_AT_ONE_INSTANT * WIDTH
        self._step = STEP
        self._steps += 1
        if self._steps > MOST_STEPS and self._steps > 100 * self._begun:
            raise RuntimeError(
                f"the script has taken {MOST_STEPS:,} steps at one instant: does a generator yield steps for ever,"
                " or a does() step append to its own script?"
            )

    def _count(self) -> bool:
        """Whether the server has looked, or asked for the time, too often with nothing else done."""
        done = len(self.monitor.rows)
        if done != self._seen:
            self._seen, self._asked = done, 0
        self._asked += 1
        if self._asked <= AT_ONE_INSTANT:
            return False
        self._asked = 0
        return True

    def _asked_for_time(self) -> None:
        """The server looks at the clock. One that waits by doing only that must see time pass."""
        if self._count():
            self._creep()

    def check_not_acting(self, what: str) -> None:
        """Raise RuntimeError if it is a step of the script that calls, not the server."""
        if self._acting is not None:
            raise RuntimeError(
                f"a does() step may not {what}, as one of {self._acting.name} does: it is not the server"
            )

    def _play(self) -> None:
        """Let all peers act that can."""
        while self._refused:
            descriptor, error = self._refused.pop()
            descriptor.failed(error)
            self.monitor.becomes(self.records[descriptor], "refused")
        while self._runnable:
            peer = self._go()
            if peer._until is not None:
                heappush(self._timers, (peer._until, peer._serial, peer._token))
            elif not peer._finished and not (peer._backend and peer._stream is None):
                heappush(self._vain, (peer._since + self.patience, peer._serial, peer._token))

    def _go(self) -> Peer:
        """Let the next peer act that can. What it raises, or whatever comes meanwhile, ends the run."""
        failed: BaseException
        try:
            peer = self._acting = self.peers[heappop(self._runnable)]
            peer._queued = False
            peer._go()
            return peer
        except Raised as one:
            failed = one.error
        except BaseException as one:
            failed = one
        finally:
            self._acting = None
        if self.monitor.violation is None:
            self.monitor.violation = failed
        try:
            raise failed
        finally:
            del failed  # it refers to this frame

    def _due(self, timers: list[tuple[int, int, int]]) -> tuple[int, Peer] | None:
        """The next of them that still holds."""
        while timers:
            when, serial, token = timers[0]
            peer = self.peers[serial]
            if peer._token == token and not peer._queued:
                return when, peer
            heappop(timers)
        return None

    def _end_at(self) -> int | None:
        """When the run is over; None: as far as can be seen, it is not."""
        if self._playing:
            return None
        over = self._over_at or 0
        goes_on = self._alive or self._asked_to_stop or self._over_at is None  # None: there was nobody at all
        return over + self.grace if goes_on else over

    def _advance(self, deadline: int | None, never: Callable[[], None] | None) -> None:
        """Nothing can happen now: go to the next moment at which something will."""
        timer = self._due(self._timers)
        interrupt = self.interrupts[0] if self.interrupts else None
        end = self._end_at()
        vain = self._due(self._vain)
        moments = [when for when in (timer[0] if timer else None, deadline, interrupt, end) if when is not None]
        if vain is not None and (not moments or vain[0] < min(moments)):
            self._pass_to(vain[0] if moments else self.clock.now)
            self._in_vain(vain[1], never)
            return
        at = min(moments)
        self._pass_to(at)
        if interrupt == at:
            heappop(self.interrupts)
            self._interrupt()
        if timer is not None and timer[0] == at:
            self._wake_due()
        elif deadline != at:
            self._over(never)

    def _pass_to(self, when: int) -> None:
        if when > self.clock.now:
            self.clock.now = self.monitor.now = when
            self._steps = 0

    def _wake_due(self) -> None:
        due = self._due(self._timers)
        while due is not None and due[0] <= self.clock.now:
            heappop(self._timers)
            self.wake(due[1])
            due = self._due(self._timers)

    def sleep(self, seconds: float) -> None:
        """`time.sleep()`. Peers act, and time goes on."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if not self.check_running(seconds):
            return
        self.monitor.pause()
        self.monitor.sleeps(seconds)
        self.until(_never, self.clock.now + nanoseconds(seconds), ("sleep", "time"))

    def wait_for(self, done: Callable[[], bool], timeout: float | None) -> bool:
        """A wait for what another thread would do, or the script does."""
        if self.calling_back or not self.check_running(timeout):
            return False
        self.monitor.pause()
        deadline = None if timeout is None else self.clock.now + nanoseconds(max(timeout, 0))
        never = self._nobody_notifies if timeout is None else None
        return self.until(done, deadline, ("wait", "threading"), never)

    def _nobody_notifies(self) -> NoReturn:
        self.refuse("this waits for what another thread does, and a scenario has no other thread")

    # -- how it is looked after, from another thread ----------------------------------------------------

    def pulse(self) -> object:
        """What changes with everything that the server has of its scenario."""
        return (len(self.monitor.rows), self.clock.now, self._asked, self._steps, self.progress, self._polls)

    def too_long(self, seconds: float, frame: FrameType, thread: int) -> None:
        """A turn of the server takes so many seconds of real time: that is found, and ends the run."""
        try:
            if self.monitor.violation is None and not self.monitor.finished:
                self.monitor.found(self._frozen(seconds, frame))
        finally:
            self.ending.force(self, thread, frame)

    def _frozen(self, seconds: float, frame: FrameType) -> Finding:
        stack = stack_of(frame, self.ending.outside)
        where = own_place(stack)
        who = "the server" if self._acting is None else f"a step of {self._acting.name}"
        at = "" if where is None else f", and is at {shown_path(where.file)}:{where.line} in {where.function}()"
        what = f"{who} has called nothing of its scenario for {seconds:g} s of real time{at}"
        shown = ([] if where is None else [where]) + [one for one in stack if one is not where]
        fields, block = {"what": what, "moment": ""}, told_stack(shown)
        return Finding("busy-loop", None, fields, note=IN_REAL_TIME, block=block, at_end=True)

    # -- how it ends ----------------------------------------------------------------------------------

    def _in_vain(self, peer: Peer, never: Callable[[], None] | None) -> None:
        """A peer has waited as long as anybody would."""
        if never is not None:
            never()
        heappop(self._vain)
        for descriptor, record in self.records.items():
            if descriptor.stream is not None and descriptor.stream.other.peer is peer and self._call[0] != "send":
                self.monitor.judge_unsent(record, *self._call)
        if self.in_force("stuck", peer):
            fields = {"what": peer._waits_for, "advice": self._advice(peer)}
            block = f"{peer.conversation()}\n\n{self.table()}"
            self.fail(Finding("stuck", peer.name, fields, block=block, made=peer.place()))
        peer._given_up = True
        self.wake(peer)

    def _advice(self, peer: Peer) -> str:
        if peer._stream is None:
            if self.network.listener(peer._to) is not None:
                return "The backlog is full, and stays so: does the server still accept()?"
            if self.network.listeners:
                there = ", ".join(repr(one.local) for one in self.network.listeners)
                return f"Nothing listens at {peer._to!r}, but at {there}: which of them is wrong?"
            return (
                "Nothing listens at all: does the server come to listen()? If it made its listener or selector"
                " before the scenario began, at import, import it inside of net.installed(), or use net.run_path()."
            )
        if peer._waits_for == ROOM:
            return (
                f"Both sides wait to be read: the script sends more than the {peer._buffer} bytes that fit, and reads"
                " nothing meanwhile. If a real client would read in between, let the script do so (expects between the"
                " sends), or give the client a larger buffer=."
            )
        return (
            "See whether the server waits for the same as the script: for more input than there is,"
            " for an event for which it is not registered, or for another connection."
        )

    def _over(self, never: Callable[[], None] | None) -> None:
        """All scripts are at their end, and time has run out."""
        if self.on_end and not self._asked_to_stop:
            self._asked_to_stop = True
            self._over_at = self.clock.now
            self.calling_back = True
            try:
                for function in self.on_end:
                    function()
            except BaseException as error:
                self.monitor.violation = self.monitor.violation or error
                raise
            finally:
                self.calling_back = False
            return
        if self.interrupt_at_end:
            self.interrupt_at_end = False
            self._asked_to_stop = True
            self._over_at = self.clock.now
            self._interrupt()
        if never is not None:
            never()
        self._note_leaks()
        self.monitor.at_end(*self._call)
        self.give_up()

    def _interrupt(self) -> NoReturn:
        self.monitor.breaks_off(*self._call)
        raise interruption(self)

    def _how_to_give_up(self) -> Callable[[], NoReturn]:
        return self.give_up

    def give_up(self) -> NoReturn:
        """End the run by an exception."""
        self.ending.end(self)

    def check_running(self, timeout: float | None) -> bool:
        """Before a call that may wait. Raises if the run has ended; False: it is a poll, which finds nothing."""
        if self.monitor.violation is None and not self.ending.times:
            return True
        if timeout is None or timeout <= 0 or not self._passes(timeout):
            self.ending.again(self, timeout)
        self._polls += 1
        self._asked = 0  # who cleans up asks for the time in between, as event loops do
        return False

    def _passes(self, seconds: float) -> bool:
        """Let time pass for a program that cleans up when its run is over; False: it has had `grace` for that."""
        if not self.ending.times:
            return False
        self._ended_at = self.clock.now if self._ended_at is None else self._ended_at
        left = self._ended_at + self.grace - self.clock.now
        if seconds * SECOND > left:
            return False
        self._pass_to(self.clock.now + nanoseconds(seconds))
        return True

    @property
    def is_over(self) -> bool:
        """Whether the run has come to its end, or has failed."""
        return bool(self.ending.times) or self.monitor.violation is not None

    def refuse(self, what: str) -> NoReturn:
        """Say aloud what is not simulated; whoever swallows it gets it again at the end."""
        error = NotImplementedError(what)
        if self.monitor.finished:
            raise error
        if self.monitor.violation is None:
            self.monitor.violation = error
        self._refusals += 1
        if self._refusals > REFUSALS:
            self.ending.again(self, None)
        raise error

    def look_on(self) -> None:
        """The server has returned, and may be called again: peers take what has come so far."""
        self._settling = True
        try:
            self._play()
        finally:
            self._settling = False

    def settle(self) -> None:
        """The server has returned: its process ends, and the peers see what is left for them to see."""
        self._close_all()
        self._settling = True
        self._play()
        while (due := self._due(self._timers)) is not None:
            self._pass_to(due[0])
            self._wake_due()
            self._play()

    def _close_all(self) -> None:
        for descriptor in tuple(self.network.descriptors.values()):
            self.network.close(descriptor)

    def release(self) -> None:
        """The program is at its end: what is still open is closed."""
        self._close_all()
        self.network.remove_files()

    def _note_leaks(self) -> None:
        """Whose peer is gone, and what was never closed in the time there was."""
        leaked = self._open_without_peer()
        if leaked:
            gc.collect()  # what is garbage, in a cycle, would be closed sooner or later
            leaked = self._open_without_peer()
        self.leaked = leaked

    def _open_without_peer(self) -> list[str]:
        return [
            record.name
            for descriptor, record in self.records.items()
            if (stream := descriptor.stream) is not None
            and not descriptor.closed
            and record.phase != "detached"
            and (stream.dead or stream.other.closed)
        ]

    def findings(self) -> list[Finding]:
        """What is left at the end of the run, that the monitor does not know."""
        found = list(self._late)
        for peer in self.peers:
            if peer._finished or peer._given_up or not self.in_force("unmet-expectation", peer):
                continue
            fields, note = self._unmet(peer)
            block = peer.conversation() if peer._steps else ""
            found.append(
                Finding("unmet-expectation", peer.name, fields, note=note, block=block, made=peer.place(), at_end=True)
            )
        found += [
            Finding("leaked-connection", record.name)
            for record in self.records.values()
            if record.name in self.leaked and self.monitor.in_force("leaked-connection", record)
        ]
        return found

    def _unmet(self, peer: Peer) -> tuple[dict[str, str], str]:
        """What is to be said of a peer that is not at the end of its script when the run is over."""
        note = "" if self.monitor.rows else "The server has made no call in this scenario. Was it run, by net.run(...)?"
        over = "the server has returned" if self.returned else "the run is over"
        if peer._stream is not None:
            return {"what": f"is not at the end of its script ({peer.doing()}), and {over}", "advice": SHORTEN}, note
        if peer._backend:
            advice = "If the program should connect to it, find why it does not; if it is right, leave the backend out."
            return {"what": "was never connected to", "advice": advice}, note
        alone = "the server returned before it could connect" if self.returned else "nobody ever listened for it"
        return {"what": f"was never connected: {alone}", "advice": SHORTEN}, note

    # -- to look at -------------------------------------------------------------------------------------

    def table(self) -> SocketTable:
        """All open sockets, in the order in which they came to be, and the peers without one."""
        rows = [self._row(descriptor, record) for descriptor, record in self.records.items() if not descriptor.closed]
        accepted = {row.name for row in rows}
        for peer in self.peers:
            if peer._stream is None or (peer.name not in accepted and not peer._stream.other.closed):
                state = "not connected" if peer._stream is None else "not accepted"
                unread = 0 if peer._stream is None else peer._stream.other.size
                rows.append(SocketRow(peer.name, state, "", unread, 0, progress(peer)))
        return SocketTable(rows)

    def _row(self, descriptor: Descriptor, record: Record) -> SocketRow:
        stream, backlog = descriptor.stream, descriptor.backlog
        interest = interest_text(self.monitor.interest(record))
        if stream is None:
            return SocketRow(record.name, record.phase, interest, len(backlog or ()), 0, "")
        state = str(record.phase)
        if state == "connected":
            state = "peer reset" if stream.dead else "peer closed" if stream.ended else state
        peer = stream.other.peer
        script = progress(peer) if isinstance(peer, Peer) else ""
        return SocketRow(record.name, state, interest, stream.size, stream.other.size, script)


def progress(peer: Peer) -> str:
    """How far a peer is in its script."""
    return f"step {min(peer._position + 1, len(peer._steps))} of {len(peer._steps)}: {peer.doing()}"


def _is_ipv4(to: Address) -> bool:
    return not isinstance(to, (int, str)) and to is not None and str(to[0]).replace(".", "").isdecimal()


def _never() -> bool:
    return False

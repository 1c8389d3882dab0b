"""The world around a server in a scenario: how a run goes on, and how it ends.

Owns the course of a run: when peers act and time goes on while the server waits, and when it is over. Peers act only
while the server waits (in `select()`, `sleep()` or a blocking call), in order of creation or as `_choices` decides,
each until it must wait itself; time moves only when nothing else can happen, to the next moment at which something
will. Knows its parts, each a file of this folder, the network and the monitor; knows no socket class, no selector
class, and nothing of how they are put under a server.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, TypeVar

from .._choices import Choices
from .._ending.ending import Ending
from .._ending.watchdog import stack_of
from .._judge.monitor import Monitor
from .._judge.rules import ON_A_NETWORK
from .._kernel.network import Network
from .._play.clock import SECOND, Clock, nanoseconds
from .._play.dialling import Dialling
from .._play.dropped import Dropped
from .._play.log import Log
from .._play.player import GivenUp, Player
from .._play.spinning import Spinning
from .._play.termination import Termination
from .._play.turns import Turns
from .._text import excerpt
from .._threads.crew import called, ending_of, threads_table
from .._threads.nobody_comes import left_to_nobody
from .._threads.not_woken import not_woken
from .._threads.threads import Threads
from .holdings import Holdings
from .outcome import Outcome
from .stack import table
from .stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import NoReturn

    from .._judge.errors import Finding
    from .._judge.records import Record
    from .._judge.rules import RuleId
    from .._judge.trace import Nanoseconds, Place
    from .._kernel.descriptors import Descriptor
    from .._kernel.streams import Stream
    from .._play.expecting import Difference
    from .._play.netstat import SocketTable
    from .stack import Stack

T = TypeVar("T")

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

REFUSALS: Final = 100
"""So often a call that is not simulated is refused in place; whoever has swallowed that, and goes on, is ended."""


class World:
    """One scenario: its peers, its network and its time.

    What the program's sockets and selectors have of their scenario, so its attributes are many: most are its parts.
    """

    under = 0  # the thread under whose code it is put, as the innermost there: `_current` says so
    completed = False  # the last function that was run has returned
    frozen = False
    """Whether a turn of the server has taken too long in real time."""
    threads: Threads | None = None  # if there is more than one
    crew: Threads | None = None  # if there ever was
    call: tuple[str, str] = ("select", "selector")
    """The last that has waited, for the trace."""
    stirs = 0
    """How often an event loop was told something through its pipe to itself."""
    calm: Nanoseconds = 0
    """Until then nothing comes but what the program does itself; 0: nobody knows."""
    _settling = False
    _refusals = 0
    _ending_at = 0  # the progress when the server last polled after the end
    _ended_at: Nanoseconds | None = None  # when the server was first ended, if it has waited since

    def __init__(
        self, script: Place, outside: CodeType, *, allow: frozenset[RuleId], pedantic: bool, patience: float,
        grace: float, buffer: int, date: float, make_stack: Callable[[World], Stack],
    ) -> None:  # fmt: skip
        self.monitor: Final = Monitor(script, allow=allow, pedantic=pedantic)
        self.monitor.witness.program = "program"  # until there is a client, or it listens
        self.monitor.spare_reads = 1
        self.monitor.life = ON_A_NETWORK
        self.monitor.level_triggered = True
        self.monitor.give_up = lambda: self.give_up
        self.ending = Ending(self.monitor, outside)
        self.ending.at_work = 0
        self.script: Final = script
        self.patience: Final = nanoseconds(patience)
        self.grace: Final = nanoseconds(grace)
        self.buffer: Final = buffer
        self.peers: Final[list[Player]] = []
        self.spinning: Final = Spinning(self)
        self.clock: Final = Clock(date, self.spinning.asked_for_time)
        self.log: Final = Log(self.monitor, self.peers)
        self.choices: Final = Choices(self.log.decided)
        self.network: Final = Network(lambda: self.clock.now / 1e9, self.choices)
        self.turns: Final = Turns(
            self.clock, self.peers, self.patience, self.choices, self.spinning, self.log.entries, self.monitor.fails
        )
        self.dropped: Final = Dropped(self.monitor, (self.peers, self.network.descriptors), self.gives_back)
        self.holdings: Final = Holdings(self.monitor, self.dropped.tidy)
        self.dialling: Final = Dialling(self.network, self.monitor, self.choices, self.holdings.records, buffer)
        self.outcome: Final = Outcome(
            self.clock, self.monitor, self.network, self.dialling, self.peers, self.holdings.records
        )
        self.termination: Final = Termination(
            self.clock, self.network, self.dialling, self.peers, self.patience, self.grace, self.outcome.in_force
        )
        self.stopping: Final = Stopping(self)
        self.ending.is_answer = self.stopping.is_answer
        self.stack: Final = make_stack(self)
        self.play: Final = self.stack.play
        """Let all peers act that can, but for those that the program is chosen to go before."""

    # -- what a peer sees (`Around`) --------------------------------------------------------------

    def in_force(self, rule: RuleId, peer: Player) -> bool:
        """Whether a rule is judged for it."""
        return self.outcome.in_force(rule, peer)

    def fail(self, finding: Finding) -> NoReturn:
        """What a peer has found while the server waits."""
        if self._settling:
            finding.at_end = True
            self.outcome.late.append(finding)
            raise GivenUp
        if self.spinning.creeps:  # it stands in no call that waits
            finding.at_end = True
            self.monitor.end_by(finding)
        self.monitor.end_at(finding, *self.call)

    def sent_wrongly(self, record: Record, peer: Player, wrong: Difference, data: bytes) -> None:
        """What the server sends is not what the peer expects, says the peer: raise that, unless it is allowed."""
        if self.monitor.in_force("unexpected-send", record) and self.in_force("unexpected-send", peer):
            self.monitor.end_at(peer.found(wrong, record.name, "sent"), "send", record.name, excerpt(data))
        peer.expecting.stop()

    def ended(self, peer: Player) -> None:
        """The last step of its script is taken."""
        self.termination.ended()
        self.spinning.goes_on()

    def resumed(self, peer: Player) -> None:
        """It has got more steps."""
        self.termination.joins()

    @property
    def program(self) -> str:
        """What texts call what is tested: "server", or "program" if it only connects."""
        return self.monitor.witness.program

    def left_without(self, peer: Player) -> str:
        """How the program has left a peer without closing its connection, as half a sentence; "": it has closed it."""
        return self.outcome.left_without(peer)

    def while_handling(self, peer: Player) -> str:
        """Which exception it was handling when it closed, as the rest of a sentence; "": none."""
        return self.outcome.while_handling(peer)

    def check_open(self) -> None:
        """Raise RuntimeError if the run is over, and nothing more can be played."""
        if self.monitor.finished or self.ending.times:
            raise RuntimeError(
                "this scenario is at its end: add steps before net.run() is called, or while it runs, in a does() step"
            )

    def speaks_tls(self, peer: Player) -> None:
        """From now on a peer does: unless its other end is `ssl`'s, the bytes there tell nothing."""
        for descriptor, record in self.holdings.records.items():
            stream = descriptor.stream
            if stream is not None and stream.other.peer is peer and stream.veil is None:
                record.seal()

    def makes_steps(self) -> bool:
        """Whether a step is being taken, which may make others."""
        return self.turns.acting is not None

    # -- who takes part ---------------------------------------------------------------------------

    def add(self, peer: Player) -> None:
        """A new peer; it acts when the server next waits."""
        self.peers.append(peer)
        self.calm = 0
        if peer.is_backend:
            self.dialling.ever.append(peer)
        else:
            self.monitor.witness.program = "server"
            self.termination.joins()
            peer.turn.wake()

    def closed(self) -> None:
        """The server has closed one of its connections."""
        self.dialling.alive -= 1

    @staticmethod
    def peer_of(stream: Stream) -> Player | None:
        """Who plays the other end of a connection."""
        peer = stream.other.peer
        return peer if isinstance(peer, Player) else None

    def listens(self) -> None:
        """Somebody begins to listen: who waits for that looks again."""
        self.termination.listened = True
        self.monitor.witness.program = "server"
        self.dialling.listens()

    def gives_back(self, descriptor: Descriptor) -> None:
        """The kernel's part of a close. What another thread is in a call on has only lost its number by that."""
        if descriptor.held:
            self.network.close(descriptor)
            return
        if descriptor.stream is not None and not descriptor.closed:
            self.closed()
            self.spinning.progress += 1  # to close what was never connected is no doing
        self.network.close(descriptor, reset=descriptor.lingers)
        self.dialling.gives_up(descriptor)

    # -- time goes on -------------------------------------------------------------------------------

    def until(
        self, done: Callable[[], T], deadline: Nanoseconds | None, call: tuple[str, str],
        never: Callable[[], None] | None = None, on: Descriptor | None = None,
    ) -> T | None:  # fmt: skip
        """The server waits: let peers act and time go on until `done()`, and return that; None: `deadline` came first.

        call: the operation and the name, for the trace. never: says so if it can never be done. on: where there are
        threads, the socket without which it is not, as long as that neither becomes readable nor changes its state.
        """
        if self.turns.acting is not None:
            self.check_not_acting("wait")
        rows = self._begins_to_wait(call)
        if rows > self.monitor.limit:
            self.spinning.endless()
        if self.threads is not None:
            return self.threads.until(done if done is not _never else None, deadline, call, on)
        began = self.clock.now
        while True:
            self.play()
            found = done()
            if found:
                return found
            if self.turns.runnable:
                continue
            if deadline is not None and self.clock.now >= deadline:
                if deadline <= began:
                    self.spinning.looks()  # it has not waited at all
                return None
            self.advance(deadline, never)
            if self.crew is not None and len(self.crew.alive) > 1:  # what was called back has started one
                return self.crew.until(done, deadline, call)
            if deadline is not None and self.clock.now >= deadline and not self.turns.runnable:
                return None  # nobody has done anything since `done()` was asked

    def poll(self, call: tuple[str, str]) -> None:
        """The server looks, and does not wait. Time stands still, unless it does that all the time."""
        if self.turns.acting is not None:
            self.check_not_acting("call select()")
        self._begins_to_wait(call)
        (self.play if self.threads is None else self.threads.lets_others)()
        self.spinning.polls()

    def _begins_to_wait(self, call: tuple[str, str]) -> int:
        """Returns how long the trace is."""
        self.call = call
        self.spinning.idle = 0
        rows = len(self.monitor.rows)
        if rows > self.dropped.due:
            self.turns.forget_what_was()
            self.dropped.tidy_if_due()
        return rows

    def check_not_acting(self, what: str) -> None:
        """Raise RuntimeError if it is a step of the script that calls, not the server."""
        if self.turns.acting is not None:
            raise RuntimeError(
                f"a does() step may not {what}, as one of {self.turns.acting.name} does: it is not the server"
            )

    def play_out(self) -> None:
        """Let all peers act that can."""
        self.play()
        while self.turns.runnable:
            self.play()

    def comes_next(self) -> Nanoseconds | None:
        """When something will happen: a peer acts, or has waited in vain, an interrupt, or the end."""
        vain = self.turns.due_in_vain()
        moments = self.turns.due(), vain and vain[0], self.termination.due(), self.termination.next_signal()
        return min((when for when in moments if when is not None), default=None)

    def advance(self, deadline: Nanoseconds | None = None, never: Callable[[], None] | None = None) -> None:
        """Nothing can happen now: go to the next moment at which something will."""
        timer = self.turns.due()
        signal = self.termination.next_signal()
        end = self.termination.due(rests=deadline is None)
        vain = self.turns.due_in_vain()
        self.calm = 0 if self.peers or signal is not None or self.threads is not None else end or 0
        moments = [when for when in (timer, deadline, signal, end) if when is not None]
        if vain is not None and (not moments or vain[0] < min(moments)):
            self.pass_to(vain[0] if moments else self.clock.now)
            self._in_vain(vain[1], never)
            return
        at = min(moments)
        self.pass_to(at)
        if signal == at:
            self.stopping.send(heappop(self.termination.signals)[1])
        if timer == at:
            if deadline != at or not self.choices.choose(2, "peers act at that instant, or the program's time is up"):
                self.turns.wake_due()
        elif deadline != at and signal != at:
            self.stopping.goes_on(never)

    def pass_to(self, when: Nanoseconds) -> None:
        """Time goes on."""
        if when > self.clock.now:
            self.clock.now = self.monitor.now = when
            self.spinning.goes_on()

    def signal(self, number: int) -> None:
        """A signal is sent to the program: by itself at once; by a step, when it next waits."""
        if self.threads is not None and self.turns.acting is None:
            self.threads.in_main(lambda: self.stopping.send(number))
        elif self.turns.acting is None:
            self.stopping.send(number)
        else:
            self.sends(number, self.clock.now)

    def sends(self, number: int, when: Nanoseconds) -> None:
        """A signal is to come at that time."""
        heappush(self.termination.signals, (when, number))
        self.calm = 0

    def sleep(self, seconds: float) -> None:
        """`time.sleep()`. Peers act, and time goes on."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        if not self.check_running(seconds):
            return
        self.monitor.sleeping.pause()
        self.monitor.sleeps(seconds)
        self.until(_never, self.clock.now + nanoseconds(seconds), ("sleep", "time"))

    def wait_for(self, done: Callable[[], bool], timeout: float | None) -> bool:
        """A wait for what another thread would do, or the script does."""
        if self.termination.calling_back or not self.check_running(timeout):
            return False
        self.monitor.sleeping.pause()
        deadline = None if timeout is None else self.clock.now + nanoseconds(max(timeout, 0))
        never = Threads.of(self).judge_deadlock if timeout is None else None
        self.monitor.idling.has_waited()
        return bool(self.until(done, deadline, ("wait", "threading"), never))

    # -- how it is looked after, from another thread ----------------------------------------------------

    def pulse(self) -> object:
        """What changes with everything that the server has of its scenario."""
        return len(self.monitor.rows), self.clock.now, self.ending.polls, *self.spinning.pulse()

    def too_long(self, seconds: float, frame: FrameType, thread: int) -> None:
        """A turn of the server takes so many seconds of real time: that is found, and ends the run."""
        self.frozen = True
        try:
            if self.monitor.violation is None and not self.monitor.finished:
                stack = stack_of(frame, self.ending.outside)
                self.monitor.found(self.spinning.frozen(seconds, stack, called(self, thread)), goes_on=False)
        finally:
            ending_of(self, thread).force(self, thread, frame)

    # -- how it ends ----------------------------------------------------------------------------------

    def _in_vain(self, peer: Player, never: Callable[[], None] | None) -> None:
        """A peer has waited as long as anybody would."""
        if self.tidies(whole=self.in_force("stuck", peer)):
            return  # it may have got its end
        if never is not None:
            never()
        self.turns.given_up()
        its = [own for one, own in self.holdings.records.items() if (to := one.stream) and to.other.peer is peer]
        for record in its if self.call[0] != "send" else ():
            self.monitor.short_sends.judge_unsent(record, *self.call)
        if self.in_force("stuck", peer):
            tables = [self.table().about(peer.name), *[threads_table(self).alive] * (self.threads is not None)]
            left = left_to_nobody(self, at_end=False, among=its)
            self.fail(self.outcome.stuck(peer, "\n\n".join(tables), left, not_woken(self), spins=self.spinning.creeps))
        peer.given_up = True
        peer.turn.wake()

    def tidies(self, *, whole: bool = False) -> bool:
        """Collect garbage before a verdict; whether that has changed anything."""
        before = self.spinning.progress
        self.dropped.before_a_verdict(whole=whole)
        return self.spinning.progress != before

    def give_up(self) -> NoReturn:
        """End the run by an exception."""
        if self.threads is not None:
            self.threads.end(self.threads.running)
        self.ending.end(self)

    def check_running(self, timeout: float | None) -> bool:
        """Before a call that may wait. Raises if the run has ended; False: it is a poll, which finds nothing."""
        if self.monitor.violation is None and not self.ending.times:
            return True
        if self.threads is not None:  # it may wait for another one, which gets the time to end
            self.threads.end(self.threads.running)
            return True
        if timeout is None or timeout <= 0 or not self._passes(timeout):
            if self.spinning.progress != self._ending_at:
                self._ending_at = self.spinning.progress
                self.ending.polls = 0  # it closes one connection after the other, and polls for each
            self.ending.again(self, timeout)
        self.spinning.cleans_up()
        return False

    def _passes(self, seconds: float) -> bool:
        """Let time pass for a program that cleans up when its run is over; False: it has had `grace` for that."""
        if not self.ending.times or self.stopping.killed:
            return False
        self._ended_at = self.clock.now if self._ended_at is None else self._ended_at
        left = self._ended_at + self.grace - self.clock.now
        if seconds * SECOND > left:
            return False
        self.pass_to(self.clock.now + nanoseconds(seconds))
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
        self.monitor.fails(error)
        self._refusals += 1
        if self._refusals > REFUSALS:
            self.ending.again(self, None)
        raise error

    def begins(self) -> None:
        """A program is run, from now on and in this thread."""
        self.holdings.under_way = True
        self.calm = 0
        self.termination.begins()
        self.dropped.begins()

    def comes_back(self) -> None:
        """It is out: from now on the collector runs when it likes, and what it finds is not the program's doing."""
        self.dropped.is_out = True
        if self.holdings.records:
            self.dropped.collect(whole=False)

    def look_on(self) -> None:
        """The server has returned, and may be called again: peers take what has come so far."""
        self.outcome.comes_back(for_good=False)
        self._settling = True
        try:
            self.play_out()
        finally:
            self._settling = False
            self.outcome.goes_on()

    def settle(self) -> None:
        """The server has returned: its process ends, and the peers see what is left for them to see."""
        if self.monitor.whose is None:  # else another thread might have come to it
            self.outcome.left = self.outcome.left or left_to_nobody(self, at_end=True)
        self.outcome.comes_back(for_good=True)
        self.stack.close_all()
        self.dialling.ends()
        self._settling = True
        self.play_out()
        while (due := self.turns.due()) is not None:
            self.pass_to(due)
            self.turns.wake_due()
            self.play_out()

    def release(self) -> None:
        """The program is at its end: what is still open is closed."""
        self.holdings.under_way = True
        self.stack.release()

    def table(self) -> SocketTable:
        """All open sockets, in the order in which they came to be, and the peers without one."""
        return table(self.stack, self.holdings.records, self.peers)


def _never() -> bool:
    return False

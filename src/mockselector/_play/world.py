"""The world around a server in a scenario: peers, time, and how a run goes on and ends.

Owns who acts when. Peers act only while the server waits (in `select()`, `sleep()` or a blocking
call), in order of creation, each until it must wait itself; time moves only when nothing else can
happen, to the next moment at which something will. Knows peers, the network, the clock and the
monitor; knows no socket class, no selector class, and nothing of how they are put under a server.
"""

from __future__ import annotations

from _thread import get_ident
from collections import OrderedDict
from errno import ECONNREFUSED
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from .._ending.ending import Ending, interruption
from .._ending.garbage import collect
from .._ending.watchdog import own_place, stack_of
from .._judge.errors import Finding, told_stack
from .._judge.monitor import CALLS_AT_THE_END, IN_VAIN, TIDYING, Monitor
from .._judge.reasons import is_dropping
from .._judge.rules import GONE
from .._judge.standing import standing
from .._judge.trace import WIDTH, seconds_text, shown_path
from .._kernel.addresses import ANY
from .._kernel.network import Network
from .._kernel.streams import Stream
from .._text import excerpt, several, shown, value_text
from .._whose import whose
from .clock import AT_ONE_INSTANT, SECOND, Clock, nanoseconds
from .generators import Raised
from .kept_waiting import LookingAround
from .netstat import SocketRow, SocketTable, interest_text
from .player import ROOM, GivenUp, Player
from .script import shorten

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType
    from typing import NoReturn

    from .._judge.monitor import Record
    from .._judge.rules import Operation, RuleId
    from .._judge.trace import Place
    from .._judge.watching import Watch
    from .._kernel.descriptors import Descriptor
    from .._system import Address, real_socket
    from .kept_waiting import Find
    from .reading import End

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

IDLE_CALLS: Final = 200_000
"""So many calls without waiting have no end, if nothing at all comes of them."""

MOST_CALLS: Final = 4 * IDLE_CALLS
"""So many, if no script has anything left to do. (A GiB is sent in half a million calls, 4 KiB by 4 KiB.)"""

MOST_CALLS_BESIDE: Final = 4 * MOST_CALLS
"""So many, if bytes are moved while a script still has something to do, or where nobody plays."""

LOOKS_AT_THE_END: Final = 100_000
"""After so many a server spins that was told to end. Its `finally:` may ask for the time more often than loops do."""

STEP: Final = nanoseconds(0.001)
LONGEST_STEP: Final = nanoseconds(16)
"""How far time moves for a server that asks for it again and again: from one to the other, an eighth more each time."""

HANGS: Final = "the peer hangs until it gives up, and the {} does not know."

SCRIPTS: Final = 2
"""How many scripts are shown with an exception of the server's own."""

ROWS_TO_TIDY: Final = 50_000
"""After so many calls, garbage is collected (or eight for each peer and each open socket, if that is more)."""

SELECTORS_TO_TIDY: Final = 500
"""Likewise, after so many new selectors: each may be that of an event loop, which only the collector finds."""

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

    completes = False  # the end of the scripts is no end: it is run until it returns
    completed = False  # the last function that was run has returned
    under_way = False  # whether anything of the program has been made, or run
    is_out = False  # the program, that was run, is not under way
    begun_at = 0  # when it was run
    _listened = False  # whether the program ever has
    _idle = 0  # steps made during the run that have moved nothing since the server had a turn
    _polled = False  # whether it has not asked for the time since it last polled
    _looks = 0  # how often the server has looked since ...
    _looked_at = 0  # ... the last progress
    _still = 0  # how long the trace was when a script or time last went on ...
    _still_at = 0  # ... and the progress when that was last looked at
    _ending_at: int = 0  # the progress when the server last polled after the end
    _tasks = 0  # of asyncio, that were made
    _running_in = 0  # the thread of the program
    frozen = False
    """Whether a turn of the server has taken too long in real time."""
    _collecting = False
    _settling = False
    _is_gone = False  # the process of the program has ended
    _returned_after = ""  # which exception, as the rest of a sentence
    _closed_before: frozenset[int] = frozenset()  # those that it had closed before it came to return
    _tidied = 0  # how long the trace was when garbage was last collected ...
    _tidy_at = ROWS_TO_TIDY * WIDTH  # ... and will be the next time

    def __init__(
        self, script: Place, outside: CodeType, *, allow: frozenset[RuleId], pedantic: bool, patience: float,
        grace: float, buffer: int, date: float,
    ) -> None:  # fmt: skip
        self.monitor: Final = Monitor(script, allow=allow, pedantic=pedantic)
        self.monitor.program = "program"  # until there is a client, or it listens
        self.monitor.idle_wakes = IDLE_WAKES
        self.monitor.spare_reads = 1
        self.monitor.level_triggered = True
        self.monitor.give_up = self._how_to_give_up
        self.monitor.limit = IDLE_CALLS * WIDTH
        self.monitor.endless = self.endless
        self.ending: Final = Ending(self.monitor, outside)
        self.clock: Final = Clock(date, self._asked_for_time)
        self.network: Final = Network(lambda: self.clock.now / 1e9)
        self.script: Final = script
        self.thread: Final = get_ident()
        self.patience: Final = nanoseconds(patience)
        self.grace: Final = nanoseconds(grace)
        self.buffer: Final = buffer
        self.peers: Final[list[Player]] = []
        self.backends: Final[list[tuple[Address, Player]]] = []  # those that nobody has connected to yet
        self.detached: Final[dict[int, tuple[Descriptor, str]]] = {}
        self.records: Final[dict[Descriptor, Record]] = {}
        self.shared: Final[set[Descriptor]] = set()  # closed by number, or behind more than one socket object
        self.on_end: Final[list[Callable[[], object]]] = []
        self.interrupts: Final[list[int]] = []
        self.interrupt_at_end = False
        self.returned = False  # the server came back by itself
        self.calling_back = False  # a function of `on_end` is running
        self._acting: Player | None = None  # whose step is being taken
        self.leaked: list[str] = []
        self.progress: int = 0  # how often a byte was moved, a connection made or closed, a step taken, or time went on
        self.open_selectors: Final[dict[str, None]] = {}
        self.watches: Final[dict[Watch, Callable[[], Find | None]]] = {}  # what its selector, if it lives, finds
        self._handled_name = ""
        self._handled_at = 0  # how far the rows were searched for that
        self._backend_names: Final[set[str]] = set()
        self._stalls: dict[Watch, Finding] = {}  # waits for one peer, of a server that may have several
        self._knocking = OrderedDict[int, Player]()  # who waits for somebody to listen, or for room in a backlog
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
        self.wakes = 0  # how often select() has returned something since ...
        self._woken_at = 0  # ... the last progress
        self._dropped: list[tuple[int, Record, Descriptor]] = []  # sockets that nothing refers to, and are still open
        self._ended_at: int | None = None  # when the server was first ended, if it has waited since
        self._refusals = 0
        self._late: list[Finding] = []  # what was found when the server had returned

    # -- what a peer sees (`Around`) --------------------------------------------------------------

    def now(self) -> int:
        """Nanoseconds since the beginning."""
        return self.clock.now

    def wake(self, peer: Player) -> None:
        """Something has happened at its end."""
        if not peer.turn.queued:
            peer.turn.queued = True
            heappush(self._runnable, peer.serial)

    def meet(self, peer: Player) -> End | None:
        """Connect to whoever listens where the peer wants to go; returns the peer's end."""
        listener = self.network.listener(peer.endpoint.to)
        if listener is None or listener.backlog is None or len(listener.backlog) >= listener.limit:
            self._knocking[peer.serial] = peer
            return None
        self._knocking.pop(peer.serial, None)
        self._alive += 1
        return self.network.meet(
            listener, peer.endpoint.source, peer.endpoint.buffer, mapped=_is_ipv4(peer.endpoint.to)
        ).other

    def in_force(self, rule: RuleId, peer: Player) -> bool:
        """Whether a rule is judged for it."""
        return rule not in peer.endpoint.allow and self.monitor.in_force(rule)

    def fail(self, finding: Finding) -> NoReturn:
        """What a peer has found while the server waits."""
        if self._settling:
            finding.at_end = True
            self._late.append(finding)
            raise GivenUp
        self.monitor.breach(finding, *self._call)

    def sent_wrongly(self, record: Record, peer: Player, wrong: tuple[str, str, int], data: bytes) -> None:
        """What the server sends is not what the peer expects, says the peer: raise that, unless it is allowed."""
        if not (self.monitor.in_force("unexpected-send", record) and self.in_force("unexpected-send", peer)):
            peer.expecting.stop()
            return
        said, lines, step = wrong
        block = f"{lines}\n\n{peer.conversation(step)}".strip("\n")
        fields = {"what": said, "moment": "sent"}
        finding = Finding("unexpected-send", record.name, fields, block=block, made=peer.script.place(step))
        self.monitor.breach(finding, "send", record.name, excerpt(data))

    def ended(self, peer: Player) -> None:
        """The last step of its script is taken."""
        self._playing -= 1
        self._over_at = self.clock.now
        self._goes_on()

    def resumed(self, peer: Player) -> None:
        """It has got more steps."""
        self._playing += 1

    @property
    def program(self) -> str:
        """What texts call what is tested: "server", or "program" if it only connects."""
        return self.monitor.program

    def left_without(self, peer: Player) -> str:
        """How the program has left a peer without closing its connection, as half a sentence; "": it has closed it."""
        if not self._is_gone or peer.serial in self._closed_before:
            return ""
        return self._over_text() if self.returned else "the scenario is over"

    def _over_text(self) -> str:
        return f"the {self.program} has returned{self._returned_after}"

    def while_handling(self, peer: Player) -> str:
        """Which exception it was handling when it closed, as the rest of a sentence; "": none."""
        why = self.monitor.reasons.get(peer.name, (0, "", None))[2]
        return "" if why is None else f" while handling {why.kind}"

    def check_open(self) -> None:
        """Raise RuntimeError if the run is over, and nothing more can be played."""
        if self.monitor.finished or self.ending.times:
            raise RuntimeError(
                "this scenario is at its end: add steps before net.run() is called, or while it runs, in a does() step"
            )

    # -- who takes part ---------------------------------------------------------------------------

    def add(self, peer: Player) -> None:
        """A new peer; it acts when the server next waits."""
        self.peers.append(peer)
        if peer.is_backend:
            self._backend_names.add(peer.name)
        else:
            self.monitor.program = "server"
            self._playing += 1
            self.wake(peer)

    def closed(self) -> None:
        """The server has closed one of its connections."""
        self._alive -= 1

    def admit(self, descriptor: Descriptor, name: str | None, role: str, allow: frozenset[RuleId] = NO_RULES) -> Record:
        """Let a new socket of the program into the run."""
        self.under_way = True
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
        self.under_way = True
        self._selectors += 1
        if self._selectors % SELECTORS_TO_TIDY == 0:
            self.tidy()  # now: it may never wait
        name = "selector" if self._selectors == 1 else f"selector {self._selectors}"
        self.open_selectors[name] = None
        return name

    def number_task(self) -> int:
        """The number of the next task of asyncio."""
        self._tasks += 1
        return self._tasks

    @staticmethod
    def peer_of(stream: Stream) -> Player | None:
        """Who plays the other end of a connection."""
        peer = stream.other.peer
        return peer if isinstance(peer, Player) else None

    # -- what is made in it, where that is not simulated ------------------------------------------

    def owns(self, number: int) -> bool:
        """Whether it is the number of a socket of this world."""
        return number in self.network.descriptors

    def close_number(self, number: int) -> None:
        """The program closes a number past its socket, as `os.close()` does."""
        descriptor = self.network.descriptors[number]
        record = self.records[descriptor]
        if self.detached.pop(number, None) is None:
            self.monitor.perform(record, "close", "by its number")
            self.shared.add(descriptor)
        else:
            self.monitor.decided("close", record.name, "by its number")
        if descriptor.stream is not None:
            self.closed()
            self.progress += 1
        self.network.close(descriptor, reset=descriptor.lingers)

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
        record.allow |= peer.endpoint.allow
        descriptor.connecting = True
        self._playing += 1
        peer.dialled = descriptor
        self.wake(peer)

    def hangs_up(self, descriptor: Descriptor) -> bool:
        """The program does not wait any more for room in a backlog; returns whether it has."""
        before = len(self._dialling)
        self._dialling = [one for one in self._dialling if one[0] is not descriptor]
        return len(self._dialling) < before

    def unknown_host(self, host: str) -> None:
        """The program asks for the address of a host that the scenario does not speak of."""
        if not self.network.knows(host) and self.monitor.in_force("unscripted-connection"):
            text = value_text(host)
            fields = {"what": f"{text}, which the scenario does not know", "address": f"({text}, port)"}
            self.monitor.breach(Finding("unscripted-connection", None, fields), "getaddrinfo", shown(host))

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
            more = any(peer.endpoint.to == where for peer in self.peers if peer.is_backend)
            what = f"{value_text(where)}, where the scenario has no {'more backends' if more else 'backend'}"
            fields = {"what": what, "address": value_text(where)}
            self.monitor.breach(
                Finding("unscripted-connection", record.name, fields), "connect", record.name, str(where)
            )

    def answer(self, peer: Player, descriptor: Descriptor, error: int) -> None:
        """A backend takes the connection, or does not."""
        record = self.records[descriptor]
        if descriptor.closed or not descriptor.connecting:
            error = error or ECONNREFUSED
        elif error:
            descriptor.failed(error)
            self.monitor.becomes(record, "refused")
        else:
            remote = self.network.resolved(descriptor.family, peer.endpoint.to)
            sizes = (peer.endpoint.buffer, peer.endpoint.buffer)
            stream = Stream.pair(sizes, descriptor.local, remote, unix=descriptor.family not in ANY)
            self._alive += 1
            descriptor.fresh = True
            descriptor.connected(stream)
            self.monitor.becomes(record, "connected")
            peer.attach(stream.other)

    def listens(self) -> None:
        """Somebody begins to listen: who waits for that looks again."""
        self._listened = True
        self.monitor.program = "server"
        for peer in self._knocking.values():
            self.wake(peer)

    def accepts(self, listener: Descriptor) -> None:
        """A listener has room for one more: the first who waits for that looks again."""
        for peer in self._knocking.values():
            if self.network.listener(peer.endpoint.to) is listener:
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
        self._idle = 0
        if len(self.monitor.rows) > self.monitor.limit:
            self.endless()
        if len(self.monitor.rows) > self._tidy_at:
            self.tidy()
        began = self.clock.now
        while True:
            self._play()
            if done():
                return True
            if deadline is not None and self.clock.now >= deadline:
                if deadline <= began:
                    self.looks()  # it has not waited at all
                return False
            self._advance(deadline, never)

    def look_around(self, descriptor: Descriptor) -> LookingAround | None:
        """The server begins to wait for one peer, and for no other; None: there is nobody else to wait for."""
        if not self.watches or not self.network.listeners:
            return None
        return LookingAround(self.network, self.watches, descriptor, self._handled)

    def _handled(self) -> str:
        """Which client was read last: it is its request that the server is at work on."""
        rows = self.monitor.rows
        for at in range(self._handled_at, len(rows), WIDTH):
            if rows[at].startswith("recv") and rows[at + 1] not in self._backend_names:
                self._handled_name = rows[at + 1]
        self._handled_at = len(rows)
        return self._handled_name

    def waited(
        self, record: Record, operation: Operation, rule: RuleId, seconds: int, around: LookingAround | None
    ) -> None:
        """The server has waited for one peer: judge that, by whether another one was kept waiting meanwhile."""
        kept = around.found if around is not None else None
        if kept is None or kept.since >= self.clock.now:
            if self.monitor.pedantic:
                self.monitor.waited(record, operation, Finding(rule, record.name, {"seconds": seconds_text(seconds)}))
            return
        long = seconds_text(self.clock.now - kept.since)
        fields = {"seconds": f"{seconds_text(seconds)}, while {kept.name} was kept waiting for {long}"}
        if kept.watch.serves or self.monitor.pedantic:
            self.monitor.waited(record, operation, Finding(rule, record.name, fields, note=kept.what))
        elif self.monitor.allows_not(rule, record):
            self._stalls.setdefault(kept.watch, Finding(rule, record.name, fields, note=kept.what, at_end=True))

    def poll(self, call: tuple[str, str]) -> None:
        """The server looks, and does not wait. Time stands still, unless it does that all the time."""
        self.check_not_acting("call select()")
        self._call = call
        self._idle = 0
        if len(self.monitor.rows) > self._tidy_at:
            self.tidy()
        self._play()
        self.looks()
        self._polled = True

    def _asked_for_time(self) -> None:
        if self._polled:
            self._polled = False  # an event loop asks each time it has polled: both are one look
        else:
            self.looks()

    def woken(self) -> bool:
        """select() returns something; False: too often, with nothing moved since."""
        self.wakes = self.wakes + 1 if self.progress == self._woken_at else 1
        self._woken_at = self.progress
        return self.wakes <= IN_VAIN

    def is_busy(self, records: list[Record]) -> bool:
        """It has returned these, too often: whether that breaks a rule; where it is allowed, time goes on."""
        if all(self.monitor.in_force("busy-loop", record) for record in records):
            return True
        if self._due(self._timers) is not None:
            self._advance(None, None)
        else:
            self._creep()  # the end does not come sooner for that
        return False

    def looks(self) -> None:
        """The server polls, asks for the time, or tries in vain. If it does only that, it must see time pass."""
        if self.progress != self._looked_at:
            self._looked_at = self.progress
            self._looks = 0
            self._step = STEP
        self._looks += 1
        if self._looks > AT_ONE_INSTANT and self._acting is None and not self.calling_back:
            self._creep()
        if len(self.monitor.rows) > self.monitor.limit:
            self.endless()

    def _creep(self) -> None:
        """Let some time pass for a server that never waits, and end it where one that waits would be ended."""
        if self.is_over:
            if self._looks > LOOKS_AT_THE_END or self.ending.times > 1:
                self._looks = 0
                self.give_up()
            return
        self._looks = 0
        now = self.clock.now + self._step
        self._step = min(self._step + self._step // 8, LONGEST_STEP)
        timer, vain, end = self._due(self._timers), self._due(self._vain), self._end_at()
        interrupt = self.interrupts[0] if self.interrupts else None
        moments = [when for when in (timer and timer[0], vain and vain[0], end, interrupt) if when is not None]
        if moments and min(moments) <= now:
            self._advance(None, None)
        else:
            self._pass_to(now)
        self._looked_at = self.progress  # that time goes on is no doing of the server's
        self._play()

    def endless(self) -> None:
        """The server has made very many calls, and no script has taken a step since, and no time has passed."""
        if self._acting is not None or self.calling_back:
            return
        rows, idle = len(self.monitor.rows), self.progress == self._still_at
        if is_dropping():
            self.monitor.limit = rows + CALLS_AT_THE_END * WIDTH
            return
        failed = self.monitor.violation is not None or self.ending.times > 1  # else it cleans up in its own time
        more = CALLS_AT_THE_END // (5 if self.ending.times else 1) if failed else IDLE_CALLS
        if failed:
            self._collect(whole=False)  # what it makes again and again would make it slower and slower
        self.monitor.limit, self._still_at = rows + more * WIDTH, self.progress
        calls = (rows - self._still) // WIDTH
        alone = not self._playing and bool(self.peers)
        if not idle and calls < (MOST_CALLS if alone else MOST_CALLS_BESIDE):
            return
        self._still = rows
        if self.is_over:
            self.give_up()
        operation, name = self.monitor.rows[-WIDTH : 2 - WIDTH]
        if self.monitor.in_force("busy-loop"):
            self.monitor.raise_violation(_endless(calls, f"{operation.partition(':')[0]}()", name, idle=idle))
        self._play()
        self._advance(None, None)

    def _goes_on(self) -> None:
        """A script has taken a step, or time has passed."""
        self.progress += 1
        self._still = len(self.monitor.rows)
        self._still_at = self.progress
        self.monitor.limit = self._still + IDLE_CALLS * WIDTH

    def idles(self) -> int:
        """A peer has taken a step that was made during the run, and has moved nothing; how many were that?"""
        self._idle += 1
        return self._idle

    def makes_steps(self) -> bool:
        """Whether a step is being taken, which may make others."""
        return self._acting is not None

    def moves(self) -> None:
        """A peer has moved something by a step that was made during the run."""
        self._idle = 0

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
            if peer.turn.until is not None:
                heappush(self._timers, (peer.turn.until, peer.serial, peer.turn.token))
            elif not peer.finished and not (peer.is_backend and peer.stream is None):
                heappush(self._vain, (peer.turn.since + self.patience, peer.serial, peer.turn.token))

    def _go(self) -> Player:
        """Let the next peer act that can. What it raises, or whatever comes meanwhile, ends the run."""
        failed: BaseException
        try:
            peer = self._acting = self.peers[heappop(self._runnable)]
            peer.turn.queued = False
            before = self.progress
            peer.go()
            if self.progress != before:
                self._goes_on()  # it has taken steps
            return peer
        except Raised as one:
            failed = one.error
        except BaseException as one:
            failed = one
        finally:
            self._acting = None
        self.monitor.fails(failed)
        try:
            raise failed
        finally:
            del failed  # it refers to this frame

    def _due(self, timers: list[tuple[int, int, int]]) -> tuple[int, Player] | None:
        """The next of them that still holds."""
        while timers:
            when, serial, token = timers[0]
            peer = self.peers[serial]
            if peer.turn.token == token and not peer.turn.queued:
                return when, peer
            heappop(timers)
        return None

    def _end_at(self, *, rests: bool = False) -> int | None:
        """When the run is over; None: as far as can be seen, it is not. rests: the program waits without an end."""
        if self._playing:
            return None
        over = max(self._over_at or 0, self.begun_at)
        asks = bool(self.on_end and not self._asked_to_stop) or self.interrupt_at_end
        still_to_come = self._still_to_come and not (rests and self._has_clients)
        if self._is_server and not still_to_come and (asks or not self.completes):
            goes_on = self._alive or self._asked_to_stop or self._over_at is None  # None: only backends, or none yet
            return over + self.grace if goes_on else over
        return over + (self.grace if asks else max(self.patience, self.grace))

    @property
    def _is_server(self) -> bool:
        """Whether the program serves those of the script. Any other is run until it returns.

        One that has stopped to listen, and has no connection any more, is no server any more.
        """
        return self._listened and bool(self.peers) and bool(self.network.listeners or self._alive)

    @property
    def _has_clients(self) -> bool:
        return any(not peer.is_backend for peer in self.peers)

    @property
    def _still_to_come(self) -> bool:
        """Whether the program has connections to make."""
        return any(self.in_force("unmet-expectation", peer) for _, peer in self.backends)

    def _advance(self, deadline: int | None, never: Callable[[], None] | None) -> None:
        """Nothing can happen now: go to the next moment at which something will."""
        timer = self._due(self._timers)
        interrupt = self.interrupts[0] if self.interrupts else None
        end = self._end_at(rests=deadline is None)
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
            self._goes_on()

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
        self.monitor.has_waited()
        return self.until(done, deadline, ("wait", "threading"), never)

    def _nobody_notifies(self) -> NoReturn:
        self.refuse("this waits for what another thread does, and a scenario has no other thread")

    # -- how it is looked after, from another thread ----------------------------------------------------

    def pulse(self) -> object:
        """What changes with everything that the server has of its scenario."""
        return (
            len(self.monitor.rows),
            self.clock.now,
            self._looks,
            self._polled,
            self._idle,
            self.progress,
            self.ending.polls,
        )

    def too_long(self, seconds: float, frame: FrameType, thread: int) -> None:
        """A turn of the server takes so many seconds of real time: that is found, and ends the run."""
        self.frozen = True
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

    def _in_vain(self, peer: Player, never: Callable[[], None] | None) -> None:
        """A peer has waited as long as anybody would."""
        if self._tidies(whole=self.in_force("stuck", peer)):
            return  # it may have got its end
        if never is not None:
            never()
        heappop(self._vain)
        for descriptor, record in self.records.items():
            if descriptor.stream is not None and descriptor.stream.other.peer is peer and self._call[0] != "send":
                self.monitor.judge_unsent(record, *self._call)
        if self.in_force("stuck", peer):
            what = f"{peer.name} waits in vain {peer.turn.waits_for}, and the {self.monitor.program} sleeps"
            fields = {"what": what, "hangs": HANGS.format(self.monitor.program), "advice": self._advice(peer)}
            block = f"{peer.conversation()}\n\n{self.table().about(peer.name)}"
            self.fail(Finding("stuck", peer.name, fields, block=block, made=peer.place()))
        peer.given_up = True
        self.wake(peer)

    def _advice(self, peer: Player) -> str:
        if peer.stream is None:
            if self.network.listener(peer.endpoint.to) is not None:
                return "The backlog is full, and stays so: does the server still accept()?"
            if self.network.listeners:
                there = several([value_text(one.local) for one in self.network.listeners])
                return f"Nothing listens at {value_text(peer.endpoint.to)}, but at {there}: which of them is wrong?"
            return (
                "Nothing listens at all: does the server come to listen()? If it made its listener or selector"
                " before the scenario began, at import, import it inside of net.installed(), or use net.run_path()."
            )
        if peer.turn.waits_for == ROOM:
            return (
                f"Both sides wait to be read: the script sends more than the {peer.endpoint.buffer} bytes that fit, and"
                " reads nothing meanwhile. If a real client would read in between, let the script do so (expects"
                " between the sends), or give the client a larger buffer=."
            )
        return (
            "See whether the server waits for the same as the script: for more input than there is,"
            " for an event for which it is not registered, or for another connection."
        )

    def _over(self, never: Callable[[], None] | None) -> None:
        """All scripts are at their end, and time has run out."""
        if (self.on_end or self.interrupt_at_end) and not self._asked_to_stop:
            self._note_leaks()  # a process that stops when it is asked to has had them until then
        if self.on_end and not self._asked_to_stop:
            self._asked_to_stop = True
            self._over_at = self.clock.now
            self.calling_back = True
            try:
                for function in self.on_end:
                    function()
            except BaseException as error:
                self.monitor.fails(error)
                raise
            finally:
                self.calling_back = False
            return
        if self.interrupt_at_end:
            self.interrupt_at_end = False
            self._asked_to_stop = True
            self._over_at = self.clock.now
            self._interrupt()
        if self._alive and self._tidies():
            return
        if never is not None:
            never()
        if (self.completes or not self._is_server) and self.monitor.in_force("stuck"):
            self.monitor.breach(self._not_returned(), *self._call)
        self._note_leaks()
        self._note_tasks()
        self.monitor.at_end(*self._call)
        self.give_up()

    def _not_returned(self) -> Finding:
        """A program is run until it returns; this one does not."""
        seconds = (self.clock.now - max(self._over_at or 0, self.begun_at)) / SECOND
        played = self._over_at is not None and self._over_at >= self.begun_at
        since = "a script last did something" if played else "it was run"
        operation, name = self._call
        where = "time.sleep()" if operation == "sleep" else f"{operation}() on {name}"
        what = f"the program has not returned {seconds:g} s after {since}: it waits in {where}"
        advice = (
            "Let it return. If it is to be stopped, net.on_end() or net.interrupts() does that; if it is right to go on"
            " for longer, give the Scenario a larger patience=."
        )
        if not self._listened and self._has_clients:
            advice = f"It has never listened, so that no client could connect. {advice}"
        hangs = "whoever waits for this program hangs."
        return Finding("stuck", None, {"what": what, "hangs": hangs, "advice": advice})

    def _interrupt(self) -> NoReturn:
        self._note_tasks()
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
            if self.progress != self._ending_at:
                self._ending_at = self.progress
                self.ending.polls = 0  # it closes one connection after the other, and polls for each
            self.ending.again(self, timeout)
        self._looks = 0  # who cleans up asks for the time in between, as event loops do
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
        self.monitor.fails(error)
        self._refusals += 1
        if self._refusals > REFUSALS:
            self.ending.again(self, None)
        raise error

    def look_on(self) -> None:
        """The server has returned, and may be called again: peers take what has come so far."""
        self._comes_back(for_good=False)
        self._settling = True
        try:
            self._play()
        finally:
            self._settling = self._is_gone = False

    def _comes_back(self, *, for_good: bool) -> None:
        """Tell what it has closed from what it left behind: open, dropped or, if for good, lost to an exception."""
        monitor = self.monitor
        start, kind, _ = monitor.on_its_way_out()
        start = min(start, self._last_wait()) if for_good else start
        closed = set[str]()
        accepted: set[object] = {peer.name for peer in self.peers if peer.is_backend}
        for at in range(0, len(monitor.rows), WIDTH):
            call, name, detail = monitor.rows[at : at + 3]
            lost = for_good and (name in monitor.reasons or _is_a_librarys(monitor.rows[at + 4]))
            if call == "close" and (at < start or (detail is None and not lost)):
                closed.add(name)
            elif call == "accept":
                accepted.add(detail)
        self._closed_before = frozenset(
            peer.serial
            for peer in self.peers
            if peer.name in closed  # or went with the listener that it waited at
            or (peer.stream is not None and peer.stream.other.closed and {peer.name}.isdisjoint(accepted))
        )
        self._is_gone, self._returned_after = True, f" after {kind}" if kind else ""

    def _last_wait(self) -> int:
        """Where in the rows those begin that came after it last waited or got anything: a loop of asyncio polls on."""
        rows = self.monitor.rows
        at = len(rows)
        while at and (
            rows[at - WIDTH] in TIDYING
            or rows[at - WIDTH] == "get_key"
            or (
                rows[at - WIDTH] == "select" and rows[at - WIDTH + 2] == () and rows[at - WIDTH + 3] == rows[-WIDTH + 3]
            )
        ):
            at -= WIDTH
        return at

    def settle(self) -> None:
        """The server has returned: its process ends, and the peers see what is left for them to see."""
        self._comes_back(for_good=True)
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
        self.under_way = True
        self._close_all()
        self.network.remove_files()

    def _note_leaks(self) -> None:
        """Whose peer is gone, and what was never closed in the time there was."""
        leaked = self._open_without_peer()
        if leaked:
            self._tidied = 0
            self._tidies(whole=True)  # what is garbage, in a cycle, would be closed sooner or later
            leaked = self._open_without_peer()
        self.leaked = leaked

    def _note_tasks(self) -> None:
        """Where tasks stand, if there may be something to be said of them at the end."""
        if self.leaked or self.program != "server" or not all(peer.finished for peer in self.peers):
            self.monitor.stood = standing(self.monitor.outer_loop)

    def _backwards(self) -> Iterator[tuple[str, str]]:
        """Calls and the names of their sockets, from the last one on."""
        rows = self.monitor.rows
        for at in range(len(rows) - WIDTH, -1, -WIDTH):
            yield rows[at], rows[at + 1]

    def scripts(self) -> list[str]:
        """How far the peers have come that are not at the end of their scripts, the one served last first."""
        waiting = [peer for peer in self.peers if not peer.finished and peer.script.steps]
        served = (name for call, name in self._backwards() if call not in TIDYING and call != "select")
        last = next(served, "")
        waiting.sort(key=lambda peer: peer.name != last)
        more = len(waiting) - SCRIPTS
        texts = [peer.conversation() for peer in waiting[:SCRIPTS]]
        return texts + [f"... and {more:,} more peers that are not at the end of their scripts"] * (more > 0)

    def begins(self) -> None:
        """A program is run, from now on and in this thread."""
        self.under_way = True
        self.begun_at = self.clock.now
        self._running_in = get_ident()
        self.is_out = False
        self._tidied = 0

    def comes_back(self) -> None:
        """It is out: from now on the collector runs when it likes, and what it finds is not the program's doing."""
        self.is_out = True
        if self.records:
            self._collect(whole=False)

    def drops(self, record: Record, descriptor: Descriptor, serial: int) -> bool:
        """Nothing refers to a socket any more. False: it is closed now; else with all others that are found so.

        What the collector finds, it finds in an order of its own; and another thread's finds what is ours. What is
        dropped when the program is out is closed when it runs again, or with its process.
        """
        if not self._collecting and not self.is_out and get_ident() == self._running_in:
            return False
        self._dropped.append((serial, record, descriptor))
        return True

    def gives_back(self, descriptor: Descriptor) -> None:
        """The kernel's part of a close."""
        if descriptor.stream is not None and not descriptor.closed:
            self.closed()
            self.progress += 1  # to close what was never connected is no doing
        self.network.close(descriptor, reset=descriptor.lingers)

    def tidy(self) -> None:
        """Collect garbage, and close the sockets that are found in it, in the order in which they were made."""
        rows = len(self.monitor.rows)
        self._tidied = rows
        self._tidy_at = rows + max(ROWS_TO_TIDY, 8 * (len(self.peers) + len(self.network.descriptors))) * WIDTH
        self._collect(whole=False)

    def _tidies(self, *, whole: bool = False) -> bool:
        """The same before a verdict; whether that has changed anything. Only if the server has done something since."""
        rows, before = len(self.monitor.rows), self.progress
        if rows == self._tidied:
            return False
        self._tidied = rows
        self._collect(whole=whole)
        return self.progress != before

    def _collect(self, *, whole: bool) -> None:
        self._collecting = True
        try:
            collect(whole=whole)
        finally:
            self._collecting = False
        dropped, self._dropped = sorted(self._dropped, key=_first), []
        for _, record, descriptor in dropped:
            self.monitor.drops(record)
            self.gives_back(descriptor)

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
        found = [
            *(finding for watch, finding in self._stalls.items() if watch.serves),
            *self._late,
        ]
        for peer in self.peers:
            if peer.finished or peer.given_up or not self.in_force("unmet-expectation", peer):
                continue
            fields, note = self._unmet(peer)
            block = peer.conversation if peer.script.steps else ""
            found.append(
                Finding("unmet-expectation", peer.name, fields, note=note, block=block, made=peer.place(), at_end=True)
            )
        found += [
            Finding("leaked-connection", record.name)
            for record in self.records.values()
            if record.name in self.leaked
            and not (self.returned and record.phase in GONE and not record.dropped)
            and self.monitor.in_force("leaked-connection", record)
        ]
        return found

    def _unmet(self, peer: Player) -> tuple[dict[str, str], str]:
        """What is to be said of a peer that is not at the end of its script when the run is over."""
        note = "" if self.monitor.rows else "The server has made no call in this scenario. Was it run, by net.run(...)?"
        over = self._over_text() if self.returned else "the run is over"
        advice = shorten(self.program)
        if peer.stream is not None:
            return {"what": f"is not at the end of its script ({peer.doing()}), and {over}", "advice": advice}, note
        if peer.is_backend:
            advice = "If the program should connect to it, find why it does not; if it is right, leave the backend out."
            return {"what": "was never connected to", "advice": advice}, note
        alone = f"the {self.program} returned{self._returned_after} before it could connect"
        alone = alone if self.returned else "nobody ever listened for it"
        return {"what": f"was never connected: {alone}", "advice": advice}, note

    # -- to look at -------------------------------------------------------------------------------------

    def table(self) -> SocketTable:
        """All open sockets, in the order in which they came to be, and the peers without one."""
        rows = [self._row(descriptor, record) for descriptor, record in self.records.items() if not descriptor.closed]
        accepted = {row.name for row in rows}
        for peer in self.peers:
            if peer.stream is None or (peer.name not in accepted and not peer.stream.other.closed):
                state = "not connected" if peer.stream is None else "not accepted"
                unread = 0 if peer.stream is None else peer.stream.other.size
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
        script = progress(peer) if isinstance(peer, Player) else ""
        return SocketRow(record.name, state, interest, stream.size, stream.other.size, script)


def progress(peer: Player) -> str:
    """How far a peer is in its script."""
    return f"{peer.script.progress(peer.position)}: {peer.doing()}"


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


def _first(one: tuple[int, Record, Descriptor]) -> int:
    return one[0]


def _is_ipv4(to: Address) -> bool:
    return not isinstance(to, (int, str)) and to is not None and str(to[0]).replace(".", "").isdecimal()


def _is_a_librarys(code: CodeType) -> bool:
    """Whether it is not the user's own code, which closes what it means to close."""
    return whose(code.co_filename) != "own"


def _never() -> bool:
    return False

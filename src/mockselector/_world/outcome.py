"""What has become of the peers when a program is out, and what is to be said of it.

Owns how the program has left each peer (closed, dropped, left open), the findings about what of the scripts was not
met: `[leaked-connection]`, `[unmet-expectation]`, and what `[stuck]` says, in a scenario. Owns, too, what is judged of
a call that has kept others waiting.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from .._judge.errors import Finding
from .._judge.leftovers import IN_TIME
from .._judge.reasons import own_line
from .._judge.rules import GONE
from .._judge.standing import standing
from .._judge.trace import WIDTH, caller, place, seconds_text
from .._judge.witness import TIDYING
from .._kernel.bits import ONE_SHOT
from .._kernel.epolls import kept_back
from .._kernel.streams import Stream
from .._play.clock import SECOND
from .._play.kept_waiting import LookingAround
from .._play.player import ROOM, Player
from .._play.script import shorten
from .._text import several, value_text
from .._whose import whose

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from types import CodeType
    from typing import Protocol

    from .._judge.monitor import Monitor
    from .._judge.records import Record
    from .._judge.rules import Operation, RuleId
    from .._judge.trace import Nanoseconds, Place
    from .._judge.watching import Watch
    from .._kernel.descriptors import Descriptor
    from .._kernel.network import Network
    from .._play.clock import Clock
    from .._play.dialling import Dialling
    from .._play.kept_waiting import Find
    from .._play.termination import Termination

    class NotWoken(Protocol):
        """What is to be said of an event loop that sleeps with something to do; nothing, of any other."""

        @property
        def way(self) -> Sequence[tuple[str, Place]]: ...
        @property
        def advice(self) -> str: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

HANGS: Final = "the peer hangs until it gives up, and the {} does not know."

SPINS: Final = "never waits: it polls, or asks for the time, again and again"

ENDS: Final = "Let it end what it does there, or wait: as long as it does neither, nobody else is served."

SCRIPTS: Final = 2
"""How many scripts are shown with an exception of the server's own."""


NEVER_RUN: Final = "The server has made no call in this scenario. Was it run, by net.run(...)?"
RETURNED: Final = "What was run has made no call in this scenario. Does it start the server, or only make it?"


class Outcome:
    """How the peers of a run have fared. Its attributes are many, as it is asked last, about everything."""

    __slots__ = (
        "_clock", "_closed_before", "_daemons", "_dialling", "_handled_at", "_handled_name", "_is_gone", "_killed_at",
        "_monitor", "_network", "_peers", "_records", "_returned_after", "_stalls", "killed", "late", "leaked", "left",
        "returned", "watches",
    )  # fmt: skip

    def __init__(
        self, clock: Clock, monitor: Monitor, network: Network, dialling: Dialling, peers: Sequence[Player],
        records: Mapping[Descriptor, Record],
    ) -> None:  # fmt: skip
        self._clock: Final = clock
        self._monitor: Final = monitor
        self._network: Final = network
        self._dialling: Final = dialling
        self._peers: Final = peers
        self._records: Final = records
        self.watches: Final[dict[Watch, Callable[[], Find | None]]] = {}
        """What each selector, if it lives, finds."""
        self.returned = False
        """The program came back by itself."""
        self.late: Final[list[Finding]] = []
        """What was found when it had returned."""
        self.leaked: list[str] = []
        """Whose peer is gone, and what was never closed in the time there was."""
        self.left: list[Finding] = []
        """What a thread has accepted, and no other has come to."""
        self.killed = ""
        """The signal that has ended its process."""
        self._daemons: Final[dict[str, str]] = {}  # what daemons had when it returned, and what each is called
        self._killed_at = sys.maxsize  # how many rows there were then
        self._is_gone = False  # the process of the program has ended
        self._returned_after = ""  # which exception, as the rest of a sentence
        self._closed_before: frozenset[int] = frozenset()  # those that it had closed before it came to return
        self._stalls: Final[dict[Watch, Finding]] = {}  # waits for one peer, of a server that may have several
        self._handled_name = ""
        self._handled_at = 0  # how far the rows were searched for that

    def in_force(self, rule: RuleId, peer: Player) -> bool:
        """Whether a rule is judged for a peer."""
        return rule not in peer.endpoint.allow and self._monitor.in_force(rule)

    # -- while it runs --------------------------------------------------------------------------

    def look_around(self, descriptor: Descriptor, own: Collection[str] = ()) -> LookingAround | None:
        """The server begins to wait for one peer, and for no other; None: there is nobody else to wait for.

        own: where there are threads, the selectors in which none but this one waits.
        """
        if not self.watches or not self._network.listeners:
            return None
        if self._monitor.whose is None:
            return LookingAround(self._network, self.watches, descriptor, self._handled)
        record = self._records[descriptor]
        watches = {one: find for one, find in self.watches.items() if one.name in own and one.has_more_than(record)}
        if not watches:
            return None
        return LookingAround(self._network, watches, descriptor, partial(self._handled_by, self._monitor.running))

    def _handled_by(self, thread: int) -> str:
        """Which client one of several threads has read last."""
        rows, whose = self._monitor.rows, self._monitor.whose
        backends = {peer.name for peer in self._dialling.ever}
        for at in range(len(rows) - WIDTH, -1, -WIDTH):
            operation, name = rows[at : at + 2]
            reads = operation.startswith("recv") and name not in backends
            if reads and whose is not None and whose.serial(at // WIDTH) == thread:
                return str(name)
        return ""

    def _handled(self) -> str:
        """Which client was read last: it is its request that the server is at work on."""
        rows = self._monitor.rows
        backends = {peer.name for peer in self._dialling.ever}
        for at in range(self._handled_at, len(rows), WIDTH):
            if rows[at].startswith("recv") and rows[at + 1] not in backends:
                self._handled_name = rows[at + 1]
        self._handled_at = len(rows)
        return self._handled_name

    def waited(
        self, record: Record, operation: Operation, rule: RuleId, took: Nanoseconds, around: LookingAround | None,
        about: str = "",
    ) -> None:  # fmt: skip
        """The server has waited for one peer: judge that, by whether another one was kept waiting meanwhile.

        about: what more is to be said of the call.
        """
        if around is None and self._monitor.whose is not None:
            return  # all others are served by other threads
        kept = around.found if around is not None else None
        if kept is None or kept.since >= self._clock.now:
            if self._monitor.pedantic:
                self._monitor.waited(
                    record, operation, Finding(rule, record.name, {"seconds": seconds_text(took)}, note=about)
                )
            return
        long = seconds_text(self._clock.now - kept.since)
        fields = {"seconds": f"{seconds_text(took)}, while {kept.name} was kept waiting for {long}"}
        if kept.watch.serves or self._monitor.pedantic:
            self._monitor.waited(
                record, operation, Finding(rule, record.name, fields, note=f"{kept.what} {about}".rstrip())
            )
        elif self._monitor.allows_not(rule, record):
            self._stalls.setdefault(
                kept.watch, Finding(rule, record.name, fields, note=f"{kept.what} {about}".rstrip(), at_end=True)
            )

    def note_tasks(self) -> None:
        """Where tasks stand, if there may be something to be said of them at the end; and which have died."""
        self._monitor.unhandled.ends()
        program = self._monitor.witness.program
        if self.leaked or program != "server" or not all(peer.finished for peer in self._peers):
            self._monitor.witness.stood = standing(self._monitor.witness.outer_loop)

    def open_without_peer(self) -> list[str]:
        """The server's open sockets whose peers are gone."""
        return [
            record.name
            for descriptor, record in self._records.items()
            if (stream := descriptor.stream) is not None
            and not descriptor.closed
            and record.phase != "detached"
            and (stream.dead or stream.other.closed)
            and (record.accepted or record.ever_registered or record.phase != "connected")  # else a pool may have it
        ]

    # -- how it has left them -------------------------------------------------------------------

    def left_without(self, peer: Player) -> str:
        """How the program has left a peer without closing its connection, as half a sentence; "": it has closed it."""
        if not self._is_gone or peer.serial in self._closed_before:
            return ""
        if not (self.returned or self.killed):
            return "the scenario is over"
        daemon = self._daemons.get(peer.name)
        return self._over_text() + ("" if daemon is None else f", which has ended {daemon}, a daemon, where it waited")

    def kills(self, name: str) -> None:
        """A signal ends its process: what it does from now on, no process does."""
        self.killed, self._killed_at = name, len(self._monitor.rows)

    def ends_daemons(self, since: int) -> None:
        """The program has returned, and its daemons were ended: what these have closed, the end of the process does.

        since: how long the trace was then.
        """
        rows, whose = self._monitor.rows, self._monitor.whose
        for at in range(since, len(rows), WIDTH):
            if rows[at] == "close" and whose is not None:
                self._daemons[rows[at + 1]] = whose.at(at // WIDTH)

    def _over_text(self) -> str:
        if self.killed:
            return f"{self.killed} has ended the {self._monitor.witness.program}, which has no handler for it"
        return f"the {self._monitor.witness.program} has returned{self._returned_after}"

    def while_handling(self, peer: Player) -> str:
        """Which exception it was handling when it closed, as the rest of a sentence; "": none."""
        why = self._monitor.witness.reasons.get(peer.name, (0, "", None))[2]
        return "" if why is None else f" while handling {why.kind}"

    def comes_back(self, *, for_good: bool) -> None:
        """Tell what it has closed from what it left behind: open, dropped or, if for good, lost to an exception."""
        monitor = self._monitor
        start, kind, _ = monitor.witness.on_its_way_out()
        start = min(start, self._last_wait()) if for_good else start
        closed = set[str]()
        accepted: set[object] = {peer.name for peer in self._peers if peer.is_backend}
        for number, call in enumerate(monitor.rows[: self._killed_at : WIDTH] if self._peers else ()):
            if call not in ("close", "accept"):
                continue
            at = number * WIDTH
            _, name, detail, _, code, _ = monitor.rows[at : at + WIDTH]
            if call == "accept":
                accepted.add(detail)
            elif at < start or (
                detail is None and not (for_good and (name in monitor.witness.reasons or _is_a_librarys(code)))
            ):
                closed.add(name)
        closed -= self._daemons.keys()
        self._closed_before = frozenset(
            peer.serial
            for peer in self._peers
            if peer.name in closed  # or went with the listener that it waited at
            or (peer.stream is not None and peer.stream.other.closed and {peer.name}.isdisjoint(accepted))
        )
        self._is_gone, self._returned_after = True, f" after {kind}" if kind else ""

    def goes_on(self) -> None:
        """It may be called again."""
        self._is_gone = False

    def _last_wait(self) -> int:
        """Where in the rows those begin that came after it last waited or got anything: a loop of asyncio polls on."""
        rows = self._monitor.rows
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

    # -- what is to be said of it ---------------------------------------------------------------

    def _backwards(self) -> Iterator[tuple[str, str]]:
        """Calls and the names of their sockets, from the last one on."""
        rows = self._monitor.rows
        for at in range(len(rows) - WIDTH, -1, -WIDTH):
            yield rows[at], rows[at + 1]

    def scripts(self) -> list[str]:
        """How far the peers have come that are not at the end of their scripts, the one served last first."""
        waiting = [peer for peer in self._peers if not peer.finished and peer.script.steps]
        served = (name for call, name in self._backwards() if call not in TIDYING and call != "select")
        last = next(served, "")
        waiting.sort(key=lambda peer: peer.name != last)
        more = len(waiting) - SCRIPTS
        texts = [peer.conversation() for peer in waiting[:SCRIPTS]]
        return texts + [f"... and {more:,} more peers that are not at the end of their scripts"] * (more > 0)

    def findings(self) -> list[Finding]:
        """What is left at the end of the run, that the monitor does not know."""
        found = [
            *self._monitor.unhandled.left(),
            *(finding for watch, finding in self._stalls.items() if watch.serves),
            *self.left,
            *self.late,
        ]
        for peer in self._peers:
            if peer.finished or peer.given_up or not self.in_force("unmet-expectation", peer):
                continue
            fields, note = self._unmet(peer)
            block = peer.conversation if peer.script.steps else ""
            found.append(
                Finding("unmet-expectation", peer.name, fields, note=note, block=block, made=peer.place(), at_end=True)
            )
        found += [
            Finding("leaked-connection", record.name, note="" if self.returned else IN_TIME.format("close"))
            for record in self._records.values()
            if record.name in self.leaked
            and not (self.returned and record.phase in GONE and not record.dropped)
            and self._monitor.in_force("leaked-connection", record)
        ]
        return found

    def _unmet(self, peer: Player) -> tuple[dict[str, str], str]:
        """What is to be said of a peer that is not at the end of its script when the run is over."""
        note = "" if self._monitor.rows else RETURNED if self.returned else NEVER_RUN
        over = self._over_text() if self.returned or self.killed else "the run is over"
        advice = shorten(self._monitor.witness.program)
        if peer.stream is not None:
            return {"what": f"is not at the end of its script ({peer.doing()}), and {over}", "advice": advice}, note
        if peer.is_backend:
            advice = "If the program should connect to it, find why it does not; if it is right, leave the backend out."
            return {"what": "was never connected to", "advice": advice}, note
        alone = f"the {self._monitor.witness.program} returned{self._returned_after} before it could connect"
        alone = alone if self.returned else "nobody ever listened for it"
        return {"what": f"was never connected: {alone}", "advice": advice}, note

    def stuck(
        self, peer: Player, table: str, left: Sequence[Finding], loop: NotWoken, *, spins: bool = False
    ) -> Finding:
        """A peer waits in vain; or, what that comes of: a task has died, or a thread has left it, says `left`."""
        program = self._monitor.witness.program
        what = f"{peer.name} waits in vain {peer.turn.waits_for}, and the {program} {SPINS if spins else 'sleeps'}"
        dead = self._monitor.unhandled.first()
        if dead is not None:
            return dead.beside(f"{what}.", peer.conversation)
        if left:
            return left[0].beside(f"{left[0].note} {what}.", lambda: f"{peer.conversation()}\n\n{table}")
        advice = loop.advice or (ENDS if spins else self._advice(peer))
        fields = {"what": what, "hangs": HANGS.format(program), "advice": advice}
        block = f"{peer.conversation()}\n\n{table}"
        here = own_line(caller(1)) if spins else None
        way = [*loop.way] if here is None else [*loop.way, ("is at", place(*here))]
        return Finding("stuck", peer.name, fields, block=block, made=peer.place(), way=way)

    def _advice(self, peer: Player) -> str:
        if peer.stream is None:
            if self._network.listener(peer.endpoint.to) is not None:
                return "The backlog is full, and stays so: does the server still accept()?"
            if self._network.listeners:
                there = several([value_text(one.local) for one in self._network.listeners])
                return f"Nothing listens at {value_text(peer.endpoint.to)}, but at {there}: which of them is wrong?"
            return (
                "Nothing listens at all: does the server come to listen()? If it made its listener or selector"
                " before the scenario began, at import, import it inside of net.installed(), or use net.run_path()."
            )
        stream = peer.stream.other
        decrypted = stream.veil.decrypted() if isinstance(stream, Stream) and stream.veil is not None else 0
        if decrypted:
            return (
                f"{decrypted:,} bytes of {peer.name} lie decrypted, and select() knows nothing of them: it tells what"
                " is in the connection. After a recv() from TLS read on until SSLWantReadError, or as long as pending()"
                " says that there is something."
            )
        told_once = self._told_once(peer)
        if told_once:
            return told_once
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

    def _told_once(self, peer: Player) -> str:
        """What an epoll object has told of, and tells no more; "": nothing of the kind."""
        there = (one for one in self._records if one.stream is not None and one.stream.other.peer is peer)
        descriptor = next(there, None)
        listener = self._network.listener(peer.endpoint.to) if descriptor is None else None
        watched = descriptor or listener
        why = 0 if watched is None else kept_back(watched)
        if watched is None or not why:
            return ""
        name = self._records[watched].name
        what = "Somebody waits to be accepted" if listener is not None else f"There is something to read from {name}"
        if why == ONE_SHOT:
            cure = f"{name} was registered with EPOLLONESHOT, and has to be modified after each event"
        else:
            call = "accept()" if listener is not None else "read"
            cure = f"{name} was registered with EPOLLET: {call} again and again, until BlockingIOError"
        return f"{what}, and epoll has told of it, and does not again. {cure}."

    def not_returned(
        self, call: tuple[str, str], termination: Termination, loop: NotWoken, does: str = "", threads: str = ""
    ) -> Finding:
        """A program is run until it returns; this one does not. does, threads: what each does, if there are several."""
        seconds = (self._clock.now - termination.since) / SECOND
        began = "a script last did something" if termination.played else "it was run"
        operation, name = call
        where = "time.sleep()" if operation == "sleep" else f"{operation}() on {name}"
        does = does or f"waits in {where}"
        what = f"the program has not returned {seconds:g} s after {began}: it {does}"
        advice = (
            "Let it return. If it is to be stopped, net.on_end() or net.interrupts() does that; if it is right to go on"
            " for longer, give the Scenario a larger patience=."
        )
        if termination.signalled_at is not None:
            when = seconds_text(termination.signalled_at)
            advice = (
                f"It was told to stop by a signal, at {when}, and goes on: does it catch KeyboardInterrupt or"
                " CancelledError, and wait again? Does nobody look at what its handler has set?"
            )
        if loop.advice:
            advice = loop.advice
        elif not termination.listened and any(not peer.is_backend for peer in self._peers):
            advice = f"It has never listened, so that no client could connect. {advice}"
        hangs = "whoever waits for this program hangs."
        fields = {"what": what, "hangs": hangs, "advice": advice}
        return Finding("stuck", None, fields, block=threads, way=loop.way)


def _is_a_librarys(code: CodeType) -> bool:
    """Whether it is not the user's own code, which closes what it means to close."""
    return whose(code.co_filename) != "own"

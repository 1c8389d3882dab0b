"""What a simulated socket is, takes steps by, and waits by.

Owns the state of one socket object and how its calls wait: not at all, for a while, or until something comes. Its
steps pass the `Monitor`, its waiting is the world's. What is read, sent and connected is in the classes that are
built on this one, a file each; the last of them is `SimSocket`.
"""

# A socket of ours has plain attributes where the real one has properties.
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

import os
import socket as _socket
from _socket import socket as _Raw  # noqa: N812  (the class below `socket.socket`, whose methods nobody replaces)
from _thread import get_ident
from collections.abc import Callable, Iterable, Mapping
from errno import EAGAIN, EBADF, EMSGSIZE, ETIMEDOUT
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from .._judge.holding_up import judge_held_up
from .._judge.rules import GONE, ByNetwork
from .._kernel.addresses import AF_UNIX
from .._methods import DONTWAIT, Shell
from .._play.clock import nanoseconds
from .._system import os_error
from .._text import value_text
from .._threads.under_a_wait import enters, is_in, leaves
from .._threads.used_by_two import alone_in

if TYPE_CHECKING:
    from typing import NoReturn

    from .._judge.records import Record
    from .._judge.rules import Operation
    from .._judge.trace import Nanoseconds
    from .._kernel.descriptors import Descriptor
    from .._play.kept_waiting import LookingAround
    from .._world.world import World

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

FAMILY: Final[dict[int, _socket.AddressFamily]] = {
    family: _socket.AddressFamily(family)
    for family in (_socket.AF_INET, _socket.AF_INET6, AF_UNIX)
    if family is not None
}


_NONE: Final[Mapping[int, int]] = {}


@cache
def closed(family: int) -> _Raw:
    """A real socket of this family that is closed: it knows which arguments are right, and can do nothing."""
    try:
        sock = _Raw(family, _socket.SOCK_STREAM)
    except OSError:  # pragma: no cover  (a family that this machine does not have)
        return closed(_socket.AF_INET)
    sock.close()
    return sock


IOV_MAX: Final = os.sysconf("SC_IOV_MAX") if hasattr(os, "sysconf") else 1024
"""So many buffers the kernel takes at once."""


def _looking(around: LookingAround, world: World, done: Callable[[], bool]) -> Callable[[], bool]:
    """As `done`, but look who else waits whenever it is asked."""

    def look() -> bool:
        around.look(world.clock.now)
        return done()

    return look


class Waiting(Shell):
    """A socket in a scenario, as far as it waits."""

    __slots__ = ("_around", "_deadlines", "_descriptor", "_record", "_serial", "_world", "family", "proto", "type")

    def __init__(self, world: World, descriptor: Descriptor, record: Record, proto: int = 0) -> None:
        # No super().__init__(): it would open a descriptor.
        self._io_refs = 0
        self._closed = False
        self._world = world
        self._descriptor = descriptor
        self._options = None
        self._timeout = _socket.getdefaulttimeout()
        if self._timeout is not None:
            descriptor.waits = False
        self._deadlines = _NONE  # of each sendall(), by the thread that calls it
        self._around: LookingAround | None = None  # who else waited while it last did
        self._serial = len(world.monitor.records)
        self.family = FAMILY[descriptor.family]
        self.type = _socket.SOCK_STREAM
        self.proto = proto
        self._record = record  # last: what has none, as an interrupt came before, is none yet

    def __hash__(self) -> int:
        return self._serial  # a server that broadcasts over a set does so in the same order every time

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def timeout(self) -> float | None:
        """As `gettimeout()`."""
        return self._timeout

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        raise AttributeError("attribute 'timeout' of '_socket.socket' objects is not writable")

    def settimeout(self, value: float | None, /) -> None:
        """Let calls wait `value` seconds."""
        self._set_timeout("settimeout", value)

    def setblocking(self, flag: bool, /) -> None:
        """Let calls wait for ever, or not at all."""
        self._set_timeout("setblocking", flag)

    def _set_timeout(self, method: str, value: float | bool | None) -> None:
        try:  # it has no descriptor for that, but keeps what it was given, as the real one does
            getattr(_Raw, method)(self, value)
        except OSError as error:
            if error.errno != EBADF:
                raise
        self._timeout = _Raw.gettimeout(self)
        self._descriptor.waits = self._timeout is None
        text = repr(value) if value is None or type(value) in (bool, int, float) else value_text(value)
        self._do("option", f"{method}({text})")

    # -- as a whole -----------------------------------------------------------------------------

    def _do(self, operation: Operation, detail: object = None) -> None:
        monitor = self._record.monitor
        if monitor.finished:
            self._too_late(operation)
        if self._descriptor.held and self._gone() and is_in(self._descriptor):  # closed meanwhile, it goes through
            monitor.decided(operation.partition(":")[0], self._record.name, detail)
        else:
            monitor.perform(self._record, operation, detail)

    def _fails(self, operation: Operation, number: int, error: OSError | None = None) -> NoReturn:
        """A call that the network refuses, or in which it reports how the connection has failed."""
        error = error or OSError(number, os.strerror(number))
        record = self._record
        if isinstance(record.moves[operation], (ByNetwork, int)) and not record.monitor.finished:
            record.tried_on = record.tried_on or operation.startswith("send")
            record.monitor.refused(operation.partition(":")[0], record, error)
        else:
            self._do(operation, type(error))
        try:
            raise error
        finally:
            del error  # it refers to this frame

    def _check_open(self, operation: Operation) -> None:
        """Refuse a call on what is closed."""
        record = self._record
        if record.phase in GONE or record.monitor.finished:
            self._do(operation)

    def _check(self, method: str, *args: object) -> None:
        """Refuse arguments as the real method does: it is called, on a closed socket."""
        its = closed(self.family)
        try:
            getattr(_Raw, method)(its, *args)
        except OSError as error:
            if error.errno != EBADF:
                raise

    def _check_many(self, operation: Operation, buffers: Iterable[object]) -> None:
        """Refuse more buffers than the kernel takes at once (man 2 sendmsg)."""
        if sum(1 for _ in buffers) > IOV_MAX:
            self._check_open(operation)
            self._fails(operation, EMSGSIZE)

    def _too_late(self, operation: Operation) -> None:
        """The scenario is over: nothing is judged any more, and nothing but closing goes on."""
        if operation not in ("close", "detach"):
            raise OSError(EBADF, f"{self!r} belongs to a scenario that is over")

    def _refuse(self, what: str) -> NoReturn:
        self._world.refuse(what)

    def fileno(self) -> int:
        """A number from 2**30 up, the lowest that is free; -1 once closed."""
        if self._record.phase not in GONE:
            return self._descriptor.number
        # Closed by its number alone, that is kept, as the real one does: it does not know.
        return self._descriptor.number if self._descriptor in self._world.holdings.shared and not self._closed else -1

    def _waits(self, flags: int = 0) -> int:
        """How a call waits: 0 not at all, 1 for a while, 2 until something comes."""
        if self._timeout is None:
            return 0 if flags & DONTWAIT else 2
        return 1 if self._timeout else 0

    def _wait_until(
        self, events: int, nothing: tuple[Operation, ...], *, ends: bool = False, many: bool = False
    ) -> None:
        """With a timeout, wait as the real socket does before each call: by a poll(), whatever the call then does."""
        if self._timeout and not self._descriptor.ready() & events:
            self._wait(lambda: bool(self._descriptor.ready() & events), nothing, 0, ends=ends, many=many)

    def _wait(
        self, done: Callable[[], bool], nothing: tuple[Operation, ...], flags: int, *,
        ends: bool = False, how: int | None = None, many: bool = False,
    ) -> Nanoseconds:  # fmt: skip
        """Wait for something to come, as this socket waits; returns how long it took.

        nothing: the operations that it is if nothing comes. ends: it is where a server waits when all is done. how: it
        has begun to wait so, whatever another thread has set meanwhile. many: it reads or sends more than a byte.
        """
        world = self._world
        deadline = self._deadlines.get(get_ident()) if self._deadlines else None
        how = 1 if deadline is not None else self._waits(flags) if how is None else how
        if how == 0:
            world.spinning.looks()
            self._fails(nothing[0], EAGAIN)
        world.check_running(None)
        start = world.clock.now
        if deadline is None and how == 1 and self._timeout is not None:
            deadline = start + nanoseconds(self._timeout)
        call = (nothing[0].partition(":")[0], self._record.name)
        threads = world.threads
        own = () if world.crew is None else world.crew.selects()
        self._around = around = None if how < 2 or ends else world.outcome.look_around(self._descriptor, own)
        if around is not None:
            done = _looking(around, world, done)
        # Whoever looks around is asked all the time; and of room, a selector is told only where there is much of it.
        on = self._descriptor if around is None and call[0] != "send" else None
        never = None if ends or how == 1 else (lambda: self._do(nothing[2]))
        until = world.until if threads is None else self._among_others
        if many and threads is not None and world.monitor.pedantic:
            operation: Literal["recv", "send"] = "recv" if nothing[0] == "recv:again" else "send"
            found = alone_in(threads, self._record, operation, lambda: until(done, deadline, call, never, on))
        else:
            found = until(done, deadline, call, never, on)
        if world.monitor.pedantic:
            judge_held_up(world.monitor, start, *call, self._record)
        if not found:
            self._fails(nothing[1], ETIMEDOUT, os_error(ETIMEDOUT))
        return world.clock.now - start

    def _among_others(
        self,
        done: Callable[[], bool],
        deadline: Nanoseconds | None,
        call: tuple[str, str],
        never: Callable[[], None] | None = None,
        on: Descriptor | None = None,
    ) -> bool | None:
        """As the world's, where other threads may close the socket meanwhile. Who calls says when the call is over."""
        enters(self._descriptor)
        found, before = None, False

        def looks() -> bool:
            nonlocal before
            there = done()
            before = there if not self._gone() else before
            return there

        try:
            found = self._world.until(looks, deadline, call, never, on)
        finally:
            # Python has waited if there is a time-out: the call itself is still to come, and finds no number, unless
            # what it waits for was there before the close.
            late = self._timeout is not None and not before
            if not found or late or not self._gone():
                leaves(self._world, self._descriptor)
        if found and late and self._gone():
            self._fails("option", EBADF)
        return found

    def _is_out(self) -> None:
        """A call is over."""
        if self._descriptor.held:
            leaves(self._world, self._descriptor)

    def _gone(self) -> bool:
        return self._record.phase in GONE

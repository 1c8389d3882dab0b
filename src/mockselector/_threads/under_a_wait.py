"""A socket that is closed in one thread while another one waits for it.

Owns `[closed-under-a-wait]`: whom a close would have to wake, and does not; and that a call has open what it is made
on, as the kernel has it (man 2 close): closed meanwhile, it lives on until the call is over.
"""

from __future__ import annotations

from _thread import get_ident
from typing import TYPE_CHECKING

from .._judge.errors import Finding
from .strands import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from .._judge.records import Record
    from .._kernel.descriptors import Descriptor
    from .._kernel.network import Network
    from .strands import Strand
    from .who_waits import WhoWaits

    class Baton(Protocol):
        """What it takes of those threads."""

        @property
        def alive(self) -> Mapping[int, Strand]: ...
        @property
        def who(self) -> WhoWaits: ...
        def lets_others(self) -> None: ...

    class Ground(Protocol):
        """What it takes of the world."""

        @property
        def network(self) -> Network: ...
        def gives_back(self, descriptor: Descriptor) -> None: ...


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


def let_go_first(threads: Baton, record: Record) -> None:
    """What has just been done to a socket, or is to be, may have woken threads that wait in a call on it."""
    if any(strand.done is not None and strand.done() for strand in _waiting(threads, record)):
        threads.lets_others()


def judge_close(threads: Baton, record: Record) -> None:
    """A socket is about to be closed: does another thread wait in a call on it, that nothing ends?

    A daemon may be left to sleep on, where its process ends with that.
    """
    let_go_first(threads, record)
    for strand in _waiting(threads, record):
        found = strand.done is not None and strand.done()
        if found:  # it was woken before, and has not had its turn: it calls, meanwhile, what closes
            threads.who.wakes(strand, found)
            continue
        judged = record.monitor.in_force("closed-under-a-wait", record)
        if judged and (not strand.daemon or record.monitor.pedantic):
            fields = {"thread": name_of(strand), "call": f"{strand.call[0]}()"}
            record.monitor.breach(Finding("closed-under-a-wait", record.name, fields), "close", record.name)


def _waiting(threads: Baton, record: Record) -> list[Strand]:
    waiting = [strand for strand in threads.alive.values() if strand.wait and strand.done is not None]
    return [strand for strand in waiting if strand.call[1] == record.name]


def enters(descriptor: Descriptor) -> None:
    """The running thread waits in a call on it, which others may close meanwhile."""
    descriptor.held = (*descriptor.held, get_ident())


def is_in(descriptor: Descriptor) -> bool:
    """Whether the running thread is in a call on it, in which it has waited."""
    return get_ident() in descriptor.held


def leaves(world: Ground, descriptor: Descriptor) -> None:
    """It is out of that call, if it was in one: what was closed meanwhile is closed now."""
    held = [*descriptor.held]
    if get_ident() in held:
        held.remove(get_ident())
        descriptor.held = (*held,)
        if not held and not world.network.has(descriptor):
            world.gives_back(descriptor)

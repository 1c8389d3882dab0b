r"""The rules: what a server may do to a socket and a selector, and what breaking each one costs.

Everything that *defines* strict behaviour lives here as literal data, and nothing else does:

- `LIFE`, a total table of a socket's life (phase x operation -> what comes of it), and `ON_A_NETWORK`, the same without
  what a network says of itself;
- `MEMBERSHIP`, the same for one selector and one descriptor number;
- `at_sleep`, the rule about a socket that is judged when the server goes to sleep;
- `RULES`, per rule its level, its texts and the rows of the trace that prove it;
- `JUDGED`, per rule the table or the file in which it is judged.

Pure data and pure functions: no socket, no selector, no trace is known here. The rule catalogue
in the documentation is made from this file, and the tests walk every cell of both tables.

The life of a socket follows TCP as Linux shows it to a program (man 2 accept, bind, connect,
listen, recv, send, shutdown; man 7 tcp):

    new -> bound -> listening                    connected --its end is read--> eof
      \-> connecting -> connected | refused         |
     |                                               |  \--a reset is read---> reset
     any of them --close()--> closed                 |
                 --detach()-> detached          shutdown(SHUT_WR)
                                                     v
                                                    shut --its end is read--> shut-eof

`broken`: a send has failed. What had come before can still be read, and then the end.
"""

from __future__ import annotations

import os
from errno import EAGAIN, EALREADY, EBADF, EINVAL, EISCONN, ENOTCONN, EPIPE, ETIMEDOUT
from selectors import EVENT_READ
from socket import SHUT_RD, SHUT_RDWR, SHUT_WR

from .._text import meant, value_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Final, Literal, TypeAlias

    from .trace import Place

    RuleId = Literal[
        "accepted-not-registered",
        "closed-still-registered",
        "close-before-unregister",
        "event-not-registered",
        "event-without-interest",
        "read-without-data",
        "blocking-read",
        "read-past-eof",
        "eof-ignored",
        "accept-without-connection",
        "short-send-lost",
        "send-without-room",
        "blocking-send",
        "blocking-call",
        "unexpected-send",
        "unhandled-exception",
        "busy-loop",
        "closed-under-a-wait",
        "used-by-two",
        "lock-held-while-waiting",
        "deadlock",
        "stuck",
        "unmet-expectation",
        "unscripted-connection",
        "unread-data",
        "unaccepted-connection",
        "undelivered-event",
        "leaked-connection",
        "unclosed-at-exit",
    ]
    """The id of a rule. Ids never change."""

    Phase = Literal[
        "new", "bound", "listening", "connecting", "refused", "connected", "eof", "shut", "shut-eof", "broken",
        "reset", "closed", "detached",
    ]  # fmt: skip

    Operation = Literal[
        "bind",
        "listen",
        "connect",
        "connect:done",
        "connect:later",
        "connect:refused",
        "accept",
        "accept:again",
        "accept:timeout",
        "accept:blocks",
        "recv",
        "recv:error",
        "recv:eof",
        "recv:reset",
        "recv:again",
        "recv:timeout",
        "recv:waits",
        "recv:blocks",
        "peek",
        "send",
        "send:reset",
        "send:again",
        "send:timeout",
        "send:waits",
        "send:blocks",
        "shutdown:read",
        "shutdown:write",
        "getpeername",
        "option",
        "detach",
        "close",
    ]
    """What a server does to a socket; behind the colon, what the call finds there.

    `again`, `timeout` and `blocks`: nothing is there (or, to send, no room), and the socket is
    non-blocking, has a timeout, or blocks for ever; `waits`: it blocks, and has had to wait.
    `connect`: without a network; with one, it is `done`, comes `later` (EINPROGRESS) or is `refused`.
    `option`: any call that only needs an open descriptor.
    """

    Membership = Literal["absent", "member", "closed"]
    """How a number stands to a selector; `closed` once the selector itself is closed."""

    Registration = Literal["register", "modify", "modify:same", "unregister", "get_key", "deliver", "select"]
    """What a server does with a selector; `modify:same`, a `modify()` that changes nothing."""

    Level = Literal["default", "pedantic"]


class Breach:
    """A cell that breaks a rule. Where the rule is not in force, the operation goes through."""

    __slots__ = ("rule",)

    by: int = -1
    fields: Mapping[str, str] | None = None
    way: tuple[tuple[str, Place], ...] = ()

    def __init__(self, rule: RuleId) -> None:
        self.rule: Final = rule


class InUse(Breach):
    """A cell that breaks a rule for all threads but the one that makes that call already."""

    __slots__ = ("by", "fields", "way")

    def __init__(self, rule: RuleId, by: int, fields: Mapping[str, str], way: tuple[tuple[str, Place], ...]) -> None:
        super().__init__(rule)
        self.by = by  # its serial number
        self.fields = fields
        self.way = way  # the line in which it does


class ByNetwork:
    """What comes of it the network says, which is asked."""

    __slots__ = ()


class NotSimulated:
    """A cell that needs a network behind the socket, which an event list does not have."""

    __slots__ = ()


if TYPE_CHECKING:
    Cell: TypeAlias = Phase | int | Breach | NotSimulated | ByNetwork | None
    """What comes of an operation: None, it goes through and the phase stays; a phase, the next
    one; a number, the `errno` of the `OSError` that production raises; a broken rule."""

    MembershipCell: TypeAlias = Membership | type[Exception] | Breach | None
    """None, the membership stays; the next one; the exception that `selectors` raises."""

_BLOCKS: Final = Breach("read-without-data")
_WAITS: Final = Breach("blocking-read")
_FULL: Final = Breach("send-without-room")
_SLOW: Final = Breach("blocking-send")
_PAST_EOF: Final = Breach("read-past-eof")
_NO_CLIENT: Final = Breach("accept-without-connection")
_NETWORK: Final = NotSimulated()

# fmt: off
PHASES: Final[tuple[Phase, ...]] = (
    "new", "bound", "listening", "connecting", "refused", "connected", "eof", "shut", "shut-eof", "broken", "reset",
    "closed", "detached",
)

_COLUMNS: Final[Mapping[Operation, tuple[Cell, ...]]] = {
    #                  new           bound         listening     connecting    refused       connected     eof           shut          shut-eof      broken        reset         closed        detached
    "bind":            ("bound",      EINVAL,       EINVAL,       EINVAL,       "bound",      EINVAL,       EINVAL,       EINVAL,       None,         None,         None,         EBADF,        EBADF),
    "listen":          ("listening",  "listening",  None,         EINVAL,       "listening",  EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EBADF,        EBADF),
    "connect":         (_NETWORK,     _NETWORK,     EISCONN,      EALREADY,     _NETWORK,     EISCONN,      EISCONN,      EISCONN,      EISCONN,      EISCONN,      EISCONN,      EBADF,        EBADF),
    "connect:done":    ("connected",  "connected",  EISCONN,      "connected",  "connected",  EISCONN,      EISCONN,      EISCONN,      EISCONN,      EISCONN,      EISCONN,      EBADF,        EBADF),
    "connect:later":   ("connecting", "connecting", EISCONN,      EALREADY,     "connecting", EISCONN,      EISCONN,      EISCONN,      EISCONN,      EISCONN,      EISCONN,      EBADF,        EBADF),
    "connect:refused": ("refused",    "refused",    EISCONN,      "refused",    "refused",    EISCONN,      EISCONN,      EISCONN,      EISCONN,      EISCONN,      EISCONN,      EBADF,        EBADF),
    "accept":          (EINVAL,       EINVAL,       None,         EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EBADF,        EBADF),
    "accept:again":    (EINVAL,       EINVAL,       EAGAIN,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EBADF,        EBADF),
    "accept:timeout":  (EINVAL,       EINVAL,       ETIMEDOUT,    EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EBADF,        EBADF),
    "accept:blocks":   (EINVAL,       EINVAL,       _NO_CLIENT,   EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EINVAL,       EBADF,        EBADF),
    "recv":            (ENOTCONN,     ENOTCONN,     ENOTCONN,     EAGAIN,       None,         None,         _PAST_EOF,    None,         _PAST_EOF,    None,         _PAST_EOF,    EBADF,        EBADF),
    "recv:error":      (ENOTCONN,     ENOTCONN,     ENOTCONN,     None,         None,         None,         _PAST_EOF,    None,         _PAST_EOF,    None,         _PAST_EOF,    EBADF,        EBADF),
    "recv:eof":        (ENOTCONN,     ENOTCONN,     ENOTCONN,     None,         None,         "eof",        _PAST_EOF,    "shut-eof",   _PAST_EOF,    "eof",        _PAST_EOF,    EBADF,        EBADF),
    "recv:reset":      (ENOTCONN,     ENOTCONN,     ENOTCONN,     "refused",    None,         "reset",      _PAST_EOF,    "reset",      _PAST_EOF,    "reset",      _PAST_EOF,    EBADF,        EBADF),
    "recv:again":      (ENOTCONN,     ENOTCONN,     ENOTCONN,     EAGAIN,       None,         EAGAIN,       _PAST_EOF,    EAGAIN,       _PAST_EOF,    EAGAIN,       _PAST_EOF,    EBADF,        EBADF),
    "recv:timeout":    (ENOTCONN,     ENOTCONN,     ENOTCONN,     ETIMEDOUT,    None,         ETIMEDOUT,    _PAST_EOF,    ETIMEDOUT,    _PAST_EOF,    ETIMEDOUT,    _PAST_EOF,    EBADF,        EBADF),
    "recv:waits":      (ENOTCONN,     ENOTCONN,     ENOTCONN,     _WAITS,       None,         _WAITS,       _PAST_EOF,    _WAITS,       _PAST_EOF,    _WAITS,       _PAST_EOF,    EBADF,        EBADF),
    "recv:blocks":     (ENOTCONN,     ENOTCONN,     ENOTCONN,     _BLOCKS,      None,         _BLOCKS,      _PAST_EOF,    _BLOCKS,      _PAST_EOF,    _BLOCKS,      _PAST_EOF,    EBADF,        EBADF),
    "peek":            (ENOTCONN,     ENOTCONN,     ENOTCONN,     EAGAIN,       None,         None,         None,         None,         None,         None,         None,         EBADF,        EBADF),
    "send":            (EPIPE,        EPIPE,        EPIPE,        EAGAIN,       EPIPE,        None,         None,         EPIPE,        EPIPE,        EPIPE,        EPIPE,        EBADF,        EBADF),
    "send:reset":      (EPIPE,        EPIPE,        EPIPE,        "refused",    None,         "broken",     "reset",      EPIPE,        EPIPE,        EPIPE,        EPIPE,        EBADF,        EBADF),
    "send:again":      (EPIPE,        EPIPE,        EPIPE,        EAGAIN,       EPIPE,        EAGAIN,       EAGAIN,       EPIPE,        EPIPE,        EPIPE,        EPIPE,        EBADF,        EBADF),
    "send:timeout":    (EPIPE,        EPIPE,        EPIPE,        ETIMEDOUT,    EPIPE,        ETIMEDOUT,    ETIMEDOUT,    EPIPE,        EPIPE,        EPIPE,        EPIPE,        EBADF,        EBADF),
    "send:waits":      (EPIPE,        EPIPE,        EPIPE,        _SLOW,        EPIPE,        _SLOW,        _SLOW,        EPIPE,        EPIPE,        EPIPE,        EPIPE,        EBADF,        EBADF),
    "send:blocks":     (EPIPE,        EPIPE,        EPIPE,        _FULL,        EPIPE,        _FULL,        _FULL,        EPIPE,        EPIPE,        EPIPE,        EPIPE,        EBADF,        EBADF),
    "shutdown:read":   (ENOTCONN,     ENOTCONN,     "bound",      "new",        ENOTCONN,     None,         None,         None,         ENOTCONN,     ENOTCONN,     ENOTCONN,     EBADF,        EBADF),
    "shutdown:write":  (ENOTCONN,     ENOTCONN,     None,         "new",        ENOTCONN,     "shut",       "shut-eof",   None,         ENOTCONN,     ENOTCONN,     ENOTCONN,     EBADF,        EBADF),
    "getpeername":     (ENOTCONN,     ENOTCONN,     ENOTCONN,     ENOTCONN,     ENOTCONN,     None,         None,         None,         ENOTCONN,     ENOTCONN,     ENOTCONN,     EBADF,        EBADF),
    "option":          (None,         None,         None,         None,         None,         None,         None,         None,         None,         None,         None,         EBADF,        EBADF),
    "detach":          ("detached",   "detached",   "detached",   "detached",   "detached",   "detached",   "detached",   "detached",   "detached",   "detached",   "detached",   None,         None),
    "close":           ("closed",     "closed",     "closed",     "closed",     "closed",     "closed",     "closed",     "closed",     "closed",     "closed",     "closed",     None,         None),
}

LIFE: Final[Mapping[Phase, Mapping[Operation, Cell]]] = {
    phase: {operation: cells[column] for operation, cells in _COLUMNS.items()}
    for column, phase in enumerate(PHASES)
}
"""Phase x operation -> what comes of it."""

MEMBERSHIP: Final[Mapping[Membership, Mapping[Registration, MembershipCell]]] = {
    # "absent": the number is not in the selector's map. "closed": the selector itself is.
    "absent": {"register": "member",   "modify": KeyError, "modify:same": KeyError, "unregister": KeyError, "get_key": KeyError,
               "deliver": Breach("event-not-registered"), "select": None},
    "member": {"register": KeyError,   "modify": None,     "modify:same": None,     "unregister": "absent", "get_key": None,
               "deliver": None, "select": None},
    "closed": {"register": ValueError, "modify": KeyError, "modify:same": KeyError, "unregister": KeyError, "get_key": RuntimeError,
               "deliver": ValueError, "select": ValueError},
}
"""Membership x operation -> what comes of it (the `selectors` documentation; epoll once closed)."""
# fmt: on

ENDED: Final = frozenset[str](("eof", "shut-eof", "reset"))
"""Phases in which the server knows that the peer will send nothing more."""

LOST: Final = frozenset[str](("broken", "reset"))
"""Phases in which the server knows that nothing more can be sent or is to be had: a call has said so."""

GONE: Final = frozenset[str](("closed", "detached"))
"""Phases without a descriptor."""

BY_NETWORK: Final = ByNetwork()

ON_A_NETWORK: Final[Mapping[Phase, Mapping[Operation, Cell]]] = {
    phase: cells if phase in GONE else {
        operation: BY_NETWORK if isinstance(cell, (int, NotSimulated)) else cell for operation, cell in cells.items()
    }
    for phase, cells in LIFE.items()
}  # fmt: skip
"""The same where there is a network: what a call returns it alone knows, and the table which rule a step breaks."""

QUIET: Final = frozenset[str](("option", "getpeername", "peek", "get_key", "modify:same", "select"))
"""Operations that do nothing about a socket's readiness."""


def shut_operation(how: int, phase: Phase) -> Operation:
    """The operation that `shutdown(how)` is. OSError (EINVAL) if `how` is none of the three."""
    if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
        raise OSError(EINVAL, os.strerror(EINVAL))
    reading = how == SHUT_RD or (how == SHUT_RDWR and phase == "listening")
    return "shutdown:read" if reading else "shutdown:write"


def at_sleep(phase: Phase, *, accepted: bool, ever_registered: bool, interest: int) -> RuleId | None:
    """The rule that a socket breaks if the server goes to sleep now; None: none.

    `accepted`: this run's server got it from `accept()`. `interest`: the mask for which it is
    registered, over all selectors; 0: it is in none.
    """
    if phase == "closed":
        return "closed-still-registered" if interest else None
    if accepted and not ever_registered and phase != "detached":
        return "accepted-not-registered"
    if phase in ENDED and interest & EVENT_READ:
        return "eof-ignored"
    return None


class Rule:
    """A rule's texts. `{...}` fields are filled in when it is broken.

    means: what the catalogue says of it. says: the first line of the error. suffers: what production would suffer. mend: what to do.
    proof: the rows that prove it: (operation of the trace, what it is called in the error).
    now: what the offending call itself is called.
    """

    __slots__ = ("level", "means", "says", "suffers", "mend", "proof", "now", "only_in_scenarios")

    def __init__(
        self,
        level: Level,
        *,
        means: str,
        says: str,
        suffers: str,
        mend: str,
        proof: tuple[tuple[str, str], ...],
        now: str,
        only_in_scenarios: bool = False,
    ) -> None:
        self.level: Final[Level] = level
        self.means: Final = means
        self.says: Final = says
        self.suffers: Final = suffers
        self.mend: Final = mend
        self.proof: Final = proof
        self.now: Final = now
        self.only_in_scenarios: Final = only_in_scenarios


AT_END: Final = "the end of the run"

_CHANGES: Final = (("register", "registered"), ("modify", "modified"), ("unregister", "unregistered"))

_END_READ: Final = (("recv:eof", "its end was read"), ("recv:reset", "its reset was read"))

RULES: Final[Mapping[RuleId, Rule]] = {
    "accepted-not-registered": Rule(
        "default",
        means="An accepted socket is neither registered, closed nor detached when the server goes to sleep, and nothing was read"
        " from it either. (In a scenario whatever wakes the server, or another thread, may come to it: it is found if nobody"
        " has done anything with it since, when its peer waits in vain, or the scripts are at their end.)",
        says="{socket} was accepted but never registered with the selector",
        suffers="{socket} is connected and never served; its data piles up in the kernel.",
        mend="Register it before the next select(), or close it.",
        proof=(("accept", "accepted"),),
        now="went to sleep",
    ),
    "closed-still-registered": Rule(
        "default",
        means="A closed socket is still in the map of a selector in which the server goes to sleep.",
        says="{socket} was closed but is still registered with the {selector}",
        suffers="the kernel gives its number to the next connection, {clash}.",
        mend="Call unregister() on every path that closes it, the error paths too.",
        proof=(("register", "registered"), ("close", "closed")),
        now="went to sleep",
    ),
    "close-before-unregister": Rule(
        "pedantic",
        means="A socket is closed while it is registered.",
        says="{socket} was closed before it was unregistered",
        suffers="another connection can be given the number in between, and unregister() then hits"
        " the wrong one; the documented order is unregister, then close.",
        mend="Swap the two: unregister() first, then close().",
        proof=(("register", "registered"),),
        now="closed",
    ),
    "event-not-registered": Rule(
        "default",
        means="The script delivers an event for a socket that is not registered.",
        says="the script delivers {mask} for {socket}, which is not registered with the selector",
        suffers="a selector never reports a socket that it was not given, so nobody would serve it.",
        mend="If the server should be waiting for {socket}, register it before this select();"
        " if the server is right, take the event out of the script.",
        proof=(("accept", "accepted"), ("unregister", "unregistered"), ("close", "closed")),
        now="the event",
    ),
    "event-without-interest": Rule(
        "default",
        means="The script delivers an event for which the socket is not registered.",
        says="the script delivers {mask} for {socket}, which is registered for {interest} only",
        suffers="a selector reports only what it was asked for, so this event never comes.",
        mend="If the server should be waiting for it, register() or modify() {socket} for {missing};"
        " if the server is right, take the event out of the script.",
        proof=(("register", "registered"), ("modify", "modified")),
        now="the event",
    ),
    "read-without-data": Rule(
        "default",
        means="A blocking socket is read with nothing there.",
        says="{socket} was read with nothing there, and the read blocks",
        suffers="the read waits for this one peer, and the loop stands still for everyone else.",
        mend="Read once per READ event, and keep the parts until the message is whole;"
        " or setblocking(False), and stop at BlockingIOError. A handler that blocks on purpose needs a timeout.",
        proof=(("recv", "read before"), ("select", "woken before")),
        now="read",
    ),
    "blocking-read": Rule(
        "pedantic",
        means="A blocking read has to wait for its data. Judged by default where it keeps another peer waiting: one for whom"
        " a selector that watches several connections would have returned meanwhile. (A server that takes one client after"
        " the other makes the rest wait by design; a time-out says how long that may be; a thread that serves one"
        " peer alone may wait for it.)",
        says="{socket} was read before its data had come, and the read waited {seconds}",
        suffers="nobody else is served while the loop waits for this one peer.",
        mend="Register the socket, and read when select() says that there is something;"
        " or setblocking(False), and stop at BlockingIOError.",
        proof=(("accept", "accepted"), ("recv", "read before"), ("select", "woken before")),
        now="read",
        only_in_scenarios=True,
    ),
    "read-past-eof": Rule(
        "default",
        means="A socket is read again after its end was read; in a scenario, for the second time, as two layers of a protocol may each look for it. (Pedantic: the first time, and one that was never registered.)",
        says="{socket} was read again after its end had been read",
        suffers="recv() returns b'' at once, for ever: the loop spins, or keeps a dead connection.",
        mend="After b'' or a reset, unregister the socket and close it.",
        proof=_END_READ,
        now="read again",
    ),
    "eof-ignored": Rule(
        "default",
        means="A socket's end was read, it is still registered for reading, and the server does nothing about that when it"
        " is woken for it again; or, at the end of an event list, when it sleeps. (To close it at the next event is right.)",
        says="{socket} has come to its end, and the {server} goes on waiting to read from it",
        suffers="a socket at its end is readable for ever: select() returns at once, at 100 % CPU.",
        mend="After b'' or a reset, unregister it and close it; with output still to send, modify() it to EVENT_WRITE.",
        proof=(("register", "registered"), ("modify", "modified"), *_END_READ),
        now="went to sleep",
    ),
    "accept-without-connection": Rule(
        "default",
        means="A blocking listener accepts with nobody waiting: for ever, or while another peer is kept waiting.",
        says="{socket} was asked to accept with no connection waiting, and the call blocks",
        suffers="the loop stands still for everyone until the next client comes.",
        mend="Accept once per READ event; or setblocking(False) on the listener, and stop at BlockingIOError.",
        proof=(("select", "woken before"), ("accept by", "accepted before")),
        now="accept",
    ),
    "short-send-lost": Rule(
        "default",
        means="send() took only some of the bytes, and the rest was not what was sent next, or never sent."
        " (Whoever tries again, or waits for room, and then gives the connection up, does not break it.)",
        says="{socket} took {taken} of {given} bytes from send(), and the rest was never sent",
        suffers="the peer gets a stream with a hole in it, as soon as the kernel's buffer is full.",
        mend="Keep data[sent:], wait for EVENT_WRITE, and send on from there.",
        proof=(("send", "sent last"),),
        now="{moment}",
    ),
    "send-without-room": Rule(
        "default",
        means="A blocking send() waits for a peer that never reads.",
        says="{socket} was sent more than there is room for, and its peer never reads",
        suffers="the send waits for this one peer, and the loop stands still for everyone else.",
        mend="setblocking(False), keep what send() did not take, and wait for EVENT_WRITE; or give the socket a timeout."
        " If a real peer would read it, let the script do so (expects), or give the peer a larger buffer=.",
        proof=(("send", "sent before"), ("select", "woken before")),
        now="sent",
        only_in_scenarios=True,
    ),
    "blocking-send": Rule(
        "pedantic",
        means="A blocking send() has to wait for its peer to read. Judged by default where it keeps another peer waiting, as"
        " blocking-read is.",
        says="{socket} was sent more than there was room for, and the send waited {seconds}",
        suffers="nobody else is served while the loop waits for this one slow peer.",
        mend="setblocking(False), keep what send() did not take, and wait for EVENT_WRITE.",
        proof=(("send", "sent before"), ("select", "woken before")),
        now="sent",
        only_in_scenarios=True,
    ),
    "blocking-call": Rule(
        "pedantic",
        means="Time passes within one callback of an event loop: a coroutine sleeps by time.sleep(), or waits in a call of a"
        " socket that blocks.",
        says="{what}",
        suffers="no other task and no other connection of the loop is served meanwhile.",
        mend="await asyncio.sleep(), and the loop's own calls (streams, sock_recv()); for what can only block,"
        " await asyncio.to_thread().",
        proof=(),
        now="called",
        only_in_scenarios=True,
    ),
    "unexpected-send": Rule(
        "default",
        means="The bytes sent are not those that the peer expects.",
        says="{socket} was sent {what}",
        suffers="the peer gets an answer that it does not understand, or takes for the answer to something else.",
        mend="If the {server} is wrong, mend what it sends here; if it is right, mend the script.",
        proof=(("recv", "read last"), ("send", "sent last")),
        now="{moment}",
        only_in_scenarios=True,
    ),
    "unhandled-exception": Rule(
        "default",
        means="A task, a callback or a handler dies of an exception, and only a log tells: asyncio's, or what the"
        " handle_error() of socketserver prints. (Not of one that only says that the peer has gone, or is silent; not where"
        " the program has an exception handler or a handle_error() of its own; a framework that catches it tells itself.)",
        says="{what}, and only {log} tells of it",
        suffers="nobody sees it: the peer gets no answer, or what was to be done is not done, and all else goes on.",
        mend="Handle the exception where it is raised; or deal with all that nobody handles by {deal}",
        proof=(),
        now=AT_END,
        only_in_scenarios=True,
    ),
    "busy-loop": Rule(
        "default",
        means="Nothing is done about what select() returned; or one call is tried a thousand times in vain;"
        " or the server never waits again, sending for ever.",
        says="{what}",
        suffers="{spins}",
        mend="{waits}",
        proof=(("register", "registered"), ("modify", "modified"), ("select", "returned")),
        now="{moment}",
    ),
    "closed-under-a-wait": Rule(
        "default",
        means="A thread closes a socket on which another one waits in a call: nothing wakes that. (Of a daemon, which may"
        " be left behind, only where pedantic rules are judged.)",
        says="{socket} is closed while {thread} waits in {call} on it",
        suffers="closing does not wake that thread: it sleeps on, for ever or until the peer does something, and the"
        " connection stays open as long.",
        mend="Call shutdown(SHUT_RDWR) first, which wakes it; close when it is out.",
        proof=(("accept by", "accepted"), ("recv", "read last")),
        now="closes",
        only_in_scenarios=True,
    ),
    "used-by-two": Rule(
        "pedantic",
        means="Two threads read, or two write, one socket at the same time: while one waits in recv(), or for room in a"
        " send(), or has yet to send what a send() did not take, another one makes the same call. (Not of accept(); not of"
        " reads and sends of single bytes; one that reads and one that writes are right. Whether several send() make up one"
        " message nobody can see: let a peer expect it.)",
        says="{socket} is {used} by two threads at the same time: {what}",
        suffers="which of them gets which bytes, or whose bytes come first, is chance; messages come in pieces, mixed.",
        mend="Let one thread read, and one write; or hold one lock around each whole message, in all threads.",
        proof=(),
        now="meanwhile",
        only_in_scenarios=True,
    ),
    "lock-held-while-waiting": Rule(
        "pedantic",
        means="A thread waits for the network with a lock for which another one waits meanwhile. (Not of a lock that is there"
        " for that one connection, listener or selector: the other one, once it has the lock, goes on with the same.)",
        says="{what}",
        suffers="the lock is held for as long as a peer, or the network, likes, and all that want it stand still.",
        mend="Under the lock take only what is needed; let go of it, and wait then.",
        proof=(),
        now="wanted it",
        only_in_scenarios=True,
    ),
    "deadlock": Rule(
        "default",
        means="Each thread waits for another one, or for what nobody will do: a lock, an event, a queue, the end of a"
        " thread; and no peer, time or signal is left that would let one go on.",
        says="{what}",
        suffers="the program stands still for ever, and serves nobody.",
        mend="{advice}",
        proof=(),
        now="waits",
        only_in_scenarios=True,
    ),
    "stuck": Rule(
        "default",
        means="The server sleeps while a peer waits in vain; or a program that is run until it returns does not.",
        says="{what}",
        suffers="{hangs}",
        mend="{advice}",
        proof=(("accept", "accepted"), ("recv", "read last"), ("send", "sent last"), *_CHANGES),
        now="went to sleep",
        only_in_scenarios=True,
    ),
    "unmet-expectation": Rule(
        "default",
        means="A peer does not get what it expects: the server closed on it, or returned.",
        says="{socket} {what}",
        suffers="the peer does not get what it needs to go on, or loses its connection in the middle.",
        mend="{advice}",
        proof=(("recv", "read last"), ("send", "sent last"), ("shutdown:write", "shut down"), ("close", "closed")),
        now="went to sleep",
        only_in_scenarios=True,
    ),
    "unscripted-connection": Rule(
        "default",
        means="The program connects to an address where the scenario has no backend (any more).",
        says="the program connects to {what}",
        suffers="this call opens a connection to another machine.",
        mend="Give the scenario a backend for it: net.backend({address}), one for each connection.",
        proof=(),
        now="connects",
        only_in_scenarios=True,
    ),
    "unread-data": Rule(
        "default",
        means="A socket's script is not read to its end.",
        says="{socket} was not read to the end of its script: {left} is left",
        suffers="what this client still sends is lost; closing on unread data resets the"
        " connection, and the last answer may be lost with it.",
        mend="If the server should read it, find why it stopped{announce}; if the server is right, shorten the script.",
        proof=(("recv", "read last"), ("close", "closed")),
        now=AT_END,
    ),
    "unaccepted-connection": Rule(
        "default",
        means="A listener's clients are not all accepted.",
        says="{socket} was not asked for all its clients: {left} is left",
        suffers="the client is connected, and nobody ever talks to it.",
        mend="If the server should accept it, {accept}; if the server is right, take the client out.",
        proof=(("accept by", "accepted last"), ("close", "closed")),
        now=AT_END,
    ),
    "undelivered-event": Rule(
        "default",
        means="The run ends before the event list does.",
        says="the run ended with events left in the script, first {left}",
        suffers="the server has left its loop while its clients were still talking.",
        mend="If the server should go on, find why it stopped; if it is right, shorten the event list.",
        proof=(("select", "last select()"),),
        now=AT_END,
    ),
    "leaked-connection": Rule(
        "default",
        means="A connection whose end was read is registered nowhere, and was never closed when the run ends."
        " (In a scenario: the peer is gone, and it was never closed. One that the program has made itself may lie in a pool"
        " until its end was read.) Not said of a server that returns by itself: its process is gone, and `unclosed-at-exit`"
        " is the rule for that.",
        says="{socket} came to its end and was never closed",
        suffers="each such client keeps a descriptor until none is left and accept() fails.",
        mend="Close it after its end was read.",
        proof=(("accept", "accepted"), *_END_READ, ("unregister", "unregistered")),
        now=AT_END,
    ),
    "unclosed-at-exit": Rule(
        "pedantic",
        means="The server returns by itself (or by KeyboardInterrupt) and leaves a socket or the selector open, or has"
        " dropped one without closing it.",
        says="the {server} returned and left {socket} open",
        suffers="peers see no end, and the address stays in use until the process is gone.",
        mend="Close every connection, the listener and the selector on the way out: with, or try/finally.",
        proof=(("accept", "accepted"), ("register", "registered")),
        now=AT_END,
    ),
}


JUDGED: Final[Mapping[RuleId, tuple[str, ...]]] = {
    "accepted-not-registered": ("at_sleep", "_judge/left_alone"),  # of a list, at once; in a scenario
    "closed-still-registered": ("at_sleep",),
    "close-before-unregister": ("_judge/monitor",),
    "event-not-registered": ("MEMBERSHIP",),
    "event-without-interest": ("_judge/registering",),
    "read-without-data": ("LIFE",),
    "read-past-eof": ("LIFE",),
    "eof-ignored": ("at_sleep", "_judge/sleeping"),  # when the server sleeps again; or never does
    "accept-without-connection": ("LIFE",),
    "short-send-lost": ("_judge/short_sends",),
    "blocking-call": ("_judge/holding_up",),
    "unexpected-send": ("_play/player",),
    "unhandled-exception": ("_judge/unhandled",),
    "busy-loop": ("_judge/idling", "_play/spinning"),  # in the trace; in time, virtual and real
    "blocking-read": ("LIFE",),
    "blocking-send": ("LIFE",),
    "send-without-room": ("LIFE",),
    "closed-under-a-wait": ("_threads/under_a_wait",),
    "used-by-two": ("_threads/used_by_two", "_judge/short_sends"),  # in a call that waits; after a short send()
    "lock-held-while-waiting": ("_threads/kept_locks",),
    "deadlock": ("_threads/deadlock",),
    "stuck": ("_world/outcome",),
    "unread-data": ("_lists/mock_socket", "_kernel/descriptors"),
    "unmet-expectation": ("_play/player", "_world/outcome"),  # while it runs; at its end
    "unscripted-connection": ("_play/dialling",),
    "unaccepted-connection": ("_lists/listen_socket", "_kernel/descriptors"),
    "undelivered-event": ("_judge/leftovers",),
    "leaked-connection": ("_judge/leftovers", "_world/outcome"),  # in an event list; in a scenario
    "unclosed-at-exit": ("_judge/leftovers",),
}
"""Where each rule is judged: by a table of this file, which the door asks, or in a file of the package."""

NO_RULES: Final[frozenset[RuleId]] = frozenset()
"""One for all."""


def checked_rules(allow: Collection[RuleId]) -> frozenset[RuleId]:
    """`allow=` as a set. Raises ValueError for anything but a collection of rule ids."""
    example = 'allow={"eof-ignored"}'
    if isinstance(allow, str):
        raise ValueError(f"allow= takes a collection of rule ids, as in {example}; got the string {value_text(allow)}")
    try:
        rules = tuple(allow)
    except TypeError:
        raise ValueError(f"allow= takes a collection of rule ids, as in {example}; got {value_text(allow)}") from None
    for rule in rules:
        if rule not in (*RULES,):  # what cannot be hashed is told as well
            raise ValueError(f"allow= got {value_text(rule)}{meant(rule, RULES)}; the rules are: {', '.join(RULES)}")
    return frozenset(rules) if rules else NO_RULES

"""What the network does to each example server, and what must come of it.

The one definition of all scenarios: `python examples` shows them, the tests assert on them. Each
is a function that makes a fresh script, because a script is used up by its run.
"""

from __future__ import annotations

import inspect
import linecache
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from errno import ECONNRESET
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Final, TypedDict
from unittest.mock import patch

from examples.broken import (
    accepted_twice,
    always_writable,
    closed_before_unregister,
    closed_without_unregister,
    forgot_listener,
    forgot_to_register,
    full_house,
    ignored_eof,
    ignored_readiness,
    leaked_at_eof,
    left_early,
    left_open,
    lost_short_send,
    never_asked_for_write,
    read_past_eof,
    read_twice,
    registered_wrong_socket,
    reset_without_unregister,
    stopped_reading,
)
from examples.servers import (
    accept_all,
    buffered,
    callbacks,
    classes,
    close_first,
    drain,
    generators,
    line_reader,
)
from mockselector import ListenSocket, MockSelector, MockSocket, ScenarioError

if TYPE_CHECKING:
    from mockselector import RuleId, Trace


class Judging(TypedDict):
    """How strict a run is."""

    allow: Collection[RuleId]
    pedantic: bool


@dataclass(frozen=True)
class Script:
    """What a server is given: a listener with its clients, and a selector with its events."""

    listener: ListenSocket
    selector: MockSelector


@dataclass(frozen=True)
class Example:
    """A server, and what the network does to it."""

    serve: Callable[[str, int], None]
    script: Callable[[Judging], Script]

    @property
    def file(self) -> Path:
        """Where the server is."""
        return Path(inspect.getfile(self.serve))

    @property
    def name(self) -> str:
        """What `python examples` calls it."""
        return self.file.stem

    @property
    def summary(self) -> str:
        """The first line of what the file says of itself."""
        return linecache.getline(str(self.file), 1).strip().strip('"')


@dataclass(frozen=True)
class Correct(Example):
    """A correct server."""

    replies: Mapping[str, bytes]
    """What each client that gets anything has received when the script is over."""

    breaks: RuleId | None = None
    """The pedantic rule that this style does not keep."""


@dataclass(frozen=True)
class Twin(Example):
    """A server with one defect."""

    rule: RuleId
    """The rule that it breaks."""

    shown_as: str
    """What the error writes beside the place of the line marked `# BUG`."""

    pedantic: bool = False
    """Whether only `pedantic=True` sees it."""

    passes_allowed: bool = True
    """Whether the run passes where the rule is allowed; else it breaks another one, or never ends."""

    @property
    def marked_line(self) -> int:
        """The number of the line marked `# BUG`."""
        lines = linecache.getlines(str(self.file))
        (number,) = [number for number, line in enumerate(lines, 1) if "# BUG: " in line]
        return number

    def is_told_by(self, error: ScenarioError) -> bool:
        """Whether the error is about the right rule and points at the marked line."""
        place = f"{self.file.name}:{self.marked_line}"
        return error.rule == self.rule and any(
            self.shown_as in line and any(word.endswith(place) for word in line.split())
            for line in str(error).splitlines()
        )


def run(example: Example, *, allow: Collection[RuleId] = (), pedantic: bool = False) -> Trace:
    """Run a server under its script, strictly. Raises `ScenarioError` if it breaks a rule."""
    script = example.script({"allow": allow, "pedantic": pedantic})
    with (
        patch("socket.socket", return_value=script.listener),
        patch("selectors.DefaultSelector", return_value=script.selector),
        script.selector,
    ):
        example.serve("localhost", 8888)
    return script.selector.trace


def received(trace: Trace) -> dict[str, bytes]:
    """What each client has received: the parts of `send()`s that were taken."""
    total: defaultdict[str, bytes] = defaultdict(bytes)
    for event in trace:
        match event.operation, event.detail:
            case "send", bytes(data):
                total[event.socket] += data
            case "send", (bytes(start), int(), int(taken)):
                total[event.socket] += start[:taken]
            case _:
                pass
    return dict(total)


def reset() -> ConnectionResetError:
    """What a read raises when the peer has reset the connection."""
    return ConnectionResetError(ECONNRESET, os.strerror(ECONNRESET))


# -- scripts of the correct servers -----------------------------------------------------------


def one_resets_one_talks(judging: Judging) -> Script:
    """Two clients: while alice is talking, bob resets his connection."""
    alice = MockSocket([b"hello\n", b"bye\n"], name="alice")
    bob = MockSocket([reset()], name="bob")
    listener = ListenSocket([alice, bob])
    selector = MockSelector([listener, alice, listener, bob, alice, alice], strict=True, **judging)
    return Script(listener, selector)


def lines_in_pieces(judging: Judging) -> Script:
    """Two clients: alice's lines are split over reads and joined in one, bob resets."""
    alice = MockSocket([b"hel", b"lo\nbye\nno", b" end"], name="alice")
    bob = MockSocket([b"hi\n", reset()], name="bob")
    listener = ListenSocket([alice, bob])
    selector = MockSelector([listener, alice, [listener, alice], bob, [alice, bob], alice], strict=True, **judging)
    return Script(listener, selector)


def slow_taker(judging: Judging) -> Script:
    """Two clients: alice hangs up with half of her echo still to come, bob resets with all of his."""
    alice = MockSocket([b"hello\n"], name="alice")
    alice.send.side_effect = [3, 3]
    bob = MockSocket([b"hi\n", reset()], name="bob")
    listener = ListenSocket([alice, bob])
    writable = (alice, EVENT_WRITE)
    both = (alice, EVENT_READ | EVENT_WRITE)
    selector = MockSelector([listener, alice, writable, listener, bob, [both, bob]], strict=True, **judging)
    return Script(listener, selector)


def long_message(judging: Judging) -> Script:
    """Two clients: alice sends more than one read takes, bob resets."""
    alice = MockSocket([b"the quick brown fox\n", b"bye\n"], name="alice")
    bob = MockSocket([reset()], name="bob")
    listener = ListenSocket([alice, bob])
    selector = MockSelector([listener, alice, listener, [bob, alice], alice], strict=True, **judging)
    return Script(listener, selector)


def read_and_write_in_turn(judging: Judging) -> Script:
    """Two clients: alice takes her echo in two parts, bob resets before he takes his."""
    alice = MockSocket([b"hello\n"], name="alice")
    alice.send.side_effect = [2, 4]
    bob = MockSocket([b"hi\n"], name="bob")
    bob.send.side_effect = [reset()]
    listener = ListenSocket([alice, bob])
    writable = (alice, EVENT_WRITE)
    both = [writable, (bob, EVENT_WRITE)]
    selector = MockSelector([listener, alice, listener, bob, both, writable, alice], strict=True, **judging)
    return Script(listener, selector)


def one_after_the_other(judging: Judging) -> Script:
    """Two clients, one after the other: alice's lines come in pieces, bob resets in his second line."""
    alice = MockSocket([b"hel", b"lo\nbye\n"], name="alice")
    bob = MockSocket([b"hi\nth", reset()], name="bob")
    listener = ListenSocket([alice, bob])
    selector = MockSelector([listener, (), listener], strict=True, **judging)
    return Script(listener, selector)


CORRECT: Final = (
    Correct(callbacks.serve, one_resets_one_talks, {"alice": b"hello\nbye\n"}),
    Correct(classes.serve, lines_in_pieces, {"alice": b"HELLO\nBYE\n", "bob": b"HI\n"}),
    Correct(buffered.serve, slow_taker, {"alice": b"hello\n"}),
    Correct(drain.serve, long_message, {"alice": b"the quick brown fox\nbye\n"}),
    Correct(accept_all.serve, one_resets_one_talks, {"alice": b"hello\nbye\n"}),
    Correct(generators.serve, read_and_write_in_turn, {"alice": b"hello\n"}),
    Correct(close_first.serve, one_resets_one_talks, {"alice": b"hello\nbye\n"}, breaks="close-before-unregister"),
    Correct(line_reader.serve, one_after_the_other, {"alice": b"hello\nbye\n", "bob": b"hi\n"}),
)


# -- scripts of the broken twins --------------------------------------------------------------


def one_echo(judging: Judging) -> Script:
    """One client: alice says one thing, and hangs up."""
    alice = MockSocket([b"hello\n"], name="alice")
    listener = ListenSocket([alice])
    selector = MockSelector([listener, alice, alice], strict=True, **judging)
    return Script(listener, selector)


def two_silent_clients(judging: Judging) -> Script:
    """Two clients, who say nothing yet."""
    listener = ListenSocket([MockSocket(name="alice"), MockSocket(name="bob")])
    selector = MockSelector([listener, listener], strict=True, **judging)
    return Script(listener, selector)


def one_silent_client(judging: Judging) -> Script:
    """One client, who says nothing yet."""
    listener = ListenSocket([MockSocket(name="alice")])
    selector = MockSelector([listener], strict=True, **judging)
    return Script(listener, selector)


def one_reset(judging: Judging) -> Script:
    """One client: alice says one thing, and resets her connection."""
    alice = MockSocket([b"hello\n", reset()], name="alice")
    listener = ListenSocket([alice])
    selector = MockSelector([listener, alice, alice], strict=True, **judging)
    return Script(listener, selector)


def half_a_line(judging: Judging) -> Script:
    """One client: alice sends half a line, and takes her time with the other half."""
    alice = MockSocket([b"hel", b"lo\n"], name="alice")
    listener = ListenSocket([alice])
    selector = MockSelector([listener, alice], strict=True, **judging)
    return Script(listener, selector)


def idle_and_writable(judging: Judging) -> Script:
    """One client: alice can be written to, and has said nothing yet."""
    alice = MockSocket([b"hello\n"], name="alice")
    listener = ListenSocket([alice])
    writable = (alice, EVENT_WRITE)
    selector = MockSelector([listener, writable, alice, writable, alice], strict=True, **judging)
    return Script(listener, selector)


def more_before_the_echo(judging: Judging) -> Script:
    """One client: alice says two things before she takes the first echo."""
    alice = MockSocket([b"hello\n", b"again\n"], name="alice")
    listener = ListenSocket([alice])
    writable = (alice, EVENT_WRITE)
    selector = MockSelector([listener, alice, alice, writable, alice, writable], strict=True, **judging)
    return Script(listener, selector)


def one_short_send(judging: Judging) -> Script:
    """One client: alice takes three bytes of her echo, and no more for now."""
    alice = MockSocket([b"hello\n"], name="alice")
    alice.send.side_effect = [3]
    listener = ListenSocket([alice])
    selector = MockSelector([listener, alice, alice], strict=True, **judging)
    return Script(listener, selector)


def echo_when_writable(judging: Judging) -> Script:
    """One client: alice says one thing, takes the echo, and hangs up."""
    alice = MockSocket([b"hello\n"], name="alice")
    listener = ListenSocket([alice])
    writable = (alice, EVENT_WRITE)
    selector = MockSelector([listener, alice, writable, alice], strict=True, **judging)
    return Script(listener, selector)


def message_in_two_parts(judging: Judging) -> Script:
    """One client: alice's message comes in two parts."""
    alice = MockSocket([b"hello, ", b"world\n"], name="alice")
    listener = ListenSocket([alice])
    selector = MockSelector([listener, alice], strict=True, **judging)
    return Script(listener, selector)


def alice_leaves_bob_stays(judging: Judging) -> Script:
    """Two clients: alice hangs up before bob does."""
    alice = MockSocket(name="alice")
    bob = MockSocket([b"hello\n"], name="bob")
    listener = ListenSocket([alice, bob])
    selector = MockSelector([listener, listener, bob, alice, bob], strict=True, **judging)
    return Script(listener, selector)


def a_client_says_shutdown(judging: Judging) -> Script:
    """Two clients: while bob is connected, alice tells the server to shut down."""
    alice = MockSocket([b"shutdown\n"], name="alice")
    listener = ListenSocket([alice, MockSocket(name="bob")])
    selector = MockSelector([listener, listener, alice], strict=True, **judging)
    return Script(listener, selector)


def bob_comes_while_alice_talks(judging: Judging) -> Script:
    """Two clients: bob connects in the moment in which alice says something."""
    alice = MockSocket([b"hello\n"], name="alice")
    listener = ListenSocket([alice, MockSocket(name="bob")])
    selector = MockSelector([listener, [listener, alice], alice], strict=True, **judging)
    return Script(listener, selector)


TWINS: Final = (
    Twin(forgot_to_register.serve, two_silent_clients, "accepted-not-registered", "accepted"),
    Twin(registered_wrong_socket.serve, one_silent_client, "accepted-not-registered", "modify(listener, READ)"),
    Twin(closed_without_unregister.serve, one_echo, "closed-still-registered", "closed"),
    Twin(reset_without_unregister.serve, one_reset, "closed-still-registered", "closed"),
    Twin(closed_before_unregister.serve, one_echo, "close-before-unregister", "closed", pedantic=True),
    Twin(read_twice.serve, half_a_line, "read-without-data", "read"),
    Twin(read_past_eof.serve, one_echo, "read-past-eof", "read again", passes_allowed=False),
    Twin(ignored_eof.serve, one_echo, "eof-ignored", "its end was read", passes_allowed=False),
    Twin(always_writable.serve, idle_and_writable, "busy-loop", "registered"),
    Twin(ignored_readiness.serve, more_before_the_echo, "busy-loop", "modified"),
    Twin(accepted_twice.serve, one_silent_client, "accept-without-connection", "accept", passes_allowed=False),
    Twin(lost_short_send.serve, one_short_send, "short-send-lost", "sent last"),
    Twin(leaked_at_eof.serve, one_echo, "leaked-connection", "unregistered"),
    Twin(never_asked_for_write.serve, echo_when_writable, "event-without-interest", "registered"),
    Twin(forgot_listener.serve, one_silent_client, "event-not-registered", "the event", passes_allowed=False),
    Twin(stopped_reading.serve, message_in_two_parts, "unread-data", "closed"),
    Twin(full_house.serve, bob_comes_while_alice_talks, "unaccepted-connection", "accepted last"),
    Twin(left_early.serve, alice_leaves_bob_stays, "undelivered-event", "last select()"),
    Twin(left_open.serve, a_client_says_shutdown, "unclosed-at-exit", "accepted", pedantic=True),
)

"""Test servers built on `selectors` without ports, threads or sleeping.

`MockSelector` returns scripted events, `ListenSocket` scripted clients, `MockSocket` scripted
data. Lenient, they do what mockselector 0.2.3 did; `MockSelector(..., strict=True)` also judges
what the server does, and raises a `ScenarioError` for what production would let pass in silence.

A map of the package, in reading order; a file imports only from those above it:

    _text.py      how names, values and lists are shortened and escaped
    _whose.py     whose code a file holds: ours, the standard library's, a package's, the user's
    _trace.py     what happened: the record that errors print and tests assert on
    _buffers.py   what a program gives to be sent or filled, looked at where it is, and let go of
    _tail.py      the end of a trace as errors show it: folded, with the rows that prove what is said
    _reasons.py   which exception was being handled, and the user's own line further up
    _standing.py  where the tasks of an asyncio program stand
    _rules.py     what a server may do: two tables, and each rule's texts. Pure data
    _errors.py    ScenarioError, and every text that a user reads of it
    _watching.py  which sockets are registered with which selector, and for what
    _monitor.py   the door: everything a server does in strict mode passes here
    _escape.py    getting out of a server that swallows every exception
    _inflight.py  which exception was on its way when another took its place
    _shell.py     every method of socket.socket, over a few that each kind of socket has
    _frames.py    our frames out of the tracebacks that a test gets
    _ending.py    which exception the server gets at the end of a run, and which one the test
    _unseen.py    strict selectors whose result nobody has asked for
    _mocks.py     the unittest.mock surface of a socket
    _sockets.py   MockSocket and ListenSocket: scripts, and what a read may see of them
    selector.py   MockSelector: where events come from, and the end of a run
    _clock.py     virtual time
    _guard.py     real time: a turn of the server that never ends
    _script.py    what a peer does: frozen steps, and their fluent builder
    _network.py   what a kernel knows of sockets: connections, listeners, addresses, readiness
    _kept_waiting.py  who else waits while the server waits for one peer
    _table.py     the sockets of a scenario as a table
    _peers.py     a peer at play: what each step does, and what is compared
    _state_of_thread.py  what a server that is forced out may leave changed in its thread
    _garbage.py   when garbage is collected while a scenario is under a program
    _world.py     who acts when, how time goes on, how a run ends
    _simulated.py the sockets of a scenario, and which scenario is current
    _selecting.py the selectors of a scenario
    _wire.py      a peer's end of a connection over the real loopback
    _loopback.py  the same over real sockets: peers at the other end of the system's loopback
    _doors.py     what leads out to the real system: sockets, descriptors, processes, signals
    _open_blocks.py  a real listen() while a scenario's block is open
    _stand_ins.py what takes the place of time, host names, threads and the rest
    _install.py   putting a scenario under code that knows nothing of it
    _program.py   what a test gives to be run: a function, a coroutine, and what is refused
    _scenario.py  Scenario: what a test says of all that
"""

from __future__ import annotations

from ._errors import ScenarioError
from ._trace import Event, Trace
from .selector import ListenSocket, MockSelector, MockSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._peers import Peer
    from ._rules import RuleId
    from ._scenario import Scenario
    from ._script import (
        Closes,
        Does,
        Expects,
        ExpectsEof,
        ExpectsNothing,
        Play,
        Plays,
        ReadsSlowly,
        Receives,
        Resets,
        Sends,
        ShutsDown,
        Step,
        Waits,
    )
    from ._table import SocketRow, SocketTable

    __version__: str

__all__ = [
    "Closes",
    "Does",
    "Event",
    "Expects",
    "ExpectsEof",
    "ExpectsNothing",
    "ListenSocket",
    "MockSelector",
    "MockSocket",
    "Peer",
    "Play",
    "Plays",
    "ReadsSlowly",
    "Receives",
    "Resets",
    "RuleId",
    "Scenario",
    "ScenarioError",
    "Sends",
    "ShutsDown",
    "SocketRow",
    "SocketTable",
    "Step",
    "Trace",
    "Waits",
]

# Imported when first asked for: whoever uses the three classes alone does not pay for the rest.
_LATER = {"Scenario": "_scenario", "Peer": "_peers", "SocketRow": "_table", "SocketTable": "_table"}


def __getattr__(name: str) -> object:
    # Looked up only when asked for: reading a version costs more than importing all of this.
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("mockselector")
        except PackageNotFoundError:  # run from a checkout that is not installed
            return "0+unknown"
    if name == "RuleId":
        from typing import Literal

        from ._rules import RULES

        return Literal[tuple(RULES)]
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_LATER.get(name, '_script')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Test servers built on `selectors` without ports, threads or sleeping.

`Scenario` plays a conversation with your server as it is: scripted peers, on a simulated network, in virtual time. Each
call that the server makes is judged; what production would let pass in silence is a `ScenarioError`, which says who did
it, what it costs and how to mend it.

    from mockselector import Scenario

    def test_an_echo():
        with Scenario() as net:
            net.client("alice").sends(b"hi").expects(b"hi").closes()
            net.run(serve, 8888)

With pytest, a test that asks for `net` has a scenario; with unittest, `ScenarioTestCase` has one as `self.net`, and
`@simulated` runs a whole test in one. `EventLoop` is the event loop on which a test that is a coroutine enters one.
Peers (`Peer`) take steps, which are plain data, too: `Sends`, `Expects`, `Waits`, `Closes` and so on.

For tests of single calls there are lists of events, as mockselector 0.2.3 had them: `MockSelector` returns scripted
events, `ListenSocket` scripted clients, `MockSocket` scripted data; `strict=True` judges the server there, too.

The command `mockselector` (`python -m mockselector`) plays a scenario without a test, and explains rules. More of each
name: `help(mockselector.Scenario)` and so on.
"""

# A map of the package, in reading order: each folder has its own map, and whatever stands here
# imports only from what stands above it.
#
#     _system.py    facts of the system below, bound before anybody can patch them
#     _text.py      how names, values, messages and lists are shortened and escaped
#     _whose.py     whose code a file holds: ours, the standard library's, a package's, the user's
#     _choices.py   how a decision that could as well be another one is taken and recorded
#     _buffers.py   what a program gives to be sent or filled, looked at where it is, and let go of
#     _judge/       what a server does, and what is to be said of it: trace, rules, errors, the door
#     _methods.py   every method of socket.socket, over a few that each kind of socket has
#     _ending/      how a run comes to its end, and what the interpreter is like after it
#     _lists/       MockSelector, MockSocket, ListenSocket: what plays lists
#     selector.py   the same three under their path of 0.2.3
#     _kernel/      what a kernel knows of sockets: connections, listeners, addresses, readiness
#     _play/        peers and their steps, time, and who goes on when
#     _threads/     the threads of a program
#     _world/       all of that around one program: how a run goes on and ends
#     _current.py   which scenario is under the code that runs
#     _tls.py       ssl.SSLSocket over a socket of ours, with OpenSSL in memory
#     _loopback/    the same peers over real sockets
#     _simulated/   what a program holds in a scenario: sockets and selectors
#     _install/     putting a scenario under code that knows nothing of it
#     _show/        timelines: what happened in a run, to be looked at
#     _program.py   what a test gives to be run: a function, a coroutine, and what is refused
#     _running.py   how a scenario calls a server, and what of its end reaches the test
#     _scenario.py  Scenario: what a test says of all that
#     _testing/     whole tests in a scenario: for pytest, and for unittest
#     _command/     the command `mockselector`
#     __main__.py   `python -m mockselector`
#
# Event lists (`_lists`) and scenarios (from `_kernel` to `_install`) know nothing of each other.

from __future__ import annotations

from . import _system as _system  # at once, before anybody can patch what it takes from the system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import selector as selector
    from ._install.event_loop import EventLoop
    from ._judge.errors import ScenarioError
    from ._judge.rules import RuleId
    from ._judge.trace import Event, Trace
    from ._lists.items import ClientItem, EventItem, RecvItem
    from ._play.netstat import SocketRow, SocketTable
    from ._play.peer import Peer
    from ._play.steps import (
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
        StartsTls,
        Step,
        Waits,
    )
    from ._scenario import Scenario
    from ._show.timeline import Timeline
    from ._testing.cases import ScenarioTestCase, simulated
    from ._threads.thread_table import ThreadRow, ThreadTable
    from .selector import ListenSocket, MockSelector, MockSocket

    __version__: str

__all__ = [
    "ClientItem",
    "Closes",
    "Does",
    "Event",
    "EventItem",
    "EventLoop",
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
    "RecvItem",
    "Resets",
    "RuleId",
    "Scenario",
    "ScenarioError",
    "ScenarioTestCase",
    "Sends",
    "ShutsDown",
    "SocketRow",
    "SocketTable",
    "StartsTls",
    "Step",
    "ThreadRow",
    "ThreadTable",
    "Timeline",
    "Trace",
    "Waits",
    "simulated",
]

# Imported when first asked for: whoever uses the three classes alone does not pay for the rest, and pytest, which loads
# a plugin of this package wherever it is installed, for nothing.
_LATER = {
    "ClientItem": "_lists.items",
    "Event": "_judge.trace",
    "EventItem": "_lists.items",
    "ListenSocket": "selector",
    "MockSelector": "selector",
    "MockSocket": "selector",
    "Scenario": "_scenario",
    "EventLoop": "_install.event_loop",
    "Peer": "_play.peer",
    "RecvItem": "_lists.items",
    "ScenarioError": "_judge.errors",
    "ScenarioTestCase": "_testing.cases",
    "Trace": "_judge.trace",
    "simulated": "_testing.cases",
    "SocketRow": "_play.netstat",
    "SocketTable": "_play.netstat",
    "ThreadRow": "_threads.thread_table",
    "ThreadTable": "_threads.thread_table",
    "Timeline": "_show.timeline",
}


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

        from ._judge.rules import RULES

        return Literal[tuple(RULES)]
    if name in __all__ or name == "selector":
        from importlib import import_module

        if name == "selector":
            return import_module(f"{__name__}.selector")
        thing = getattr(import_module(f"{__name__}.{_LATER.get(name, '_play.steps')}"), name)
        globals()[name] = thing  # found at once from now on
        return thing
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

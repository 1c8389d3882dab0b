"""Test servers built on `selectors` without ports, threads or sleeping.

`MockSelector` returns scripted events, `ListenSocket` scripted clients, `MockSocket` scripted
data. Lenient, they do what mockselector 0.2.3 did; `MockSelector(..., strict=True)` also judges
what the server does, and raises a `ScenarioError` for what production would let pass in silence.

A map of the package, in reading order; a file imports only from those above it:

    _trace.py     what happened: the record that errors print and tests assert on
    _rules.py     what a server may do: two tables, and each rule's texts. Pure data
    _errors.py    ScenarioError, and every text that a user reads of it
    _monitor.py   the door: everything a server does in strict mode passes here
    _escape.py    getting out of a server that swallows every exception
    _inflight.py  which exception was on its way when another took its place
    _shell.py     every method of socket.socket, over a few that each kind of socket has
    _ending.py    which exception the server gets at the end of a run, and which one the test
    _mocks.py     the unittest.mock surface of a socket
    _sockets.py   MockSocket and ListenSocket: scripts, and what a read may see of them
    selector.py   MockSelector: where events come from, and the end of a run
"""

from __future__ import annotations

from ._errors import ScenarioError
from ._trace import Event, Trace
from .selector import ListenSocket, MockSelector, MockSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._rules import RuleId

    __version__: str

__all__ = [
    "Event",
    "ListenSocket",
    "MockSelector",
    "MockSocket",
    "RuleId",
    "ScenarioError",
    "Trace",
]


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
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The tests that Python has for `selectors`, `select` and `socketserver`, on simulated sockets.

They are those of the interpreter that runs, from its package `test`, method by method; none is
copied. Each is run by a `Scenario`. What cannot run in one stands in `LISTED`, with the words by
which it is refused or fails: a test that is neither listed nor passes fails here, and so does one
that is listed and passes.
"""

from __future__ import annotations

import re
import selectors
import socket
import unittest
from typing import TYPE_CHECKING, Any, Final

import pytest

from cpython_cases import PROCESSES, UDP, Listed, cases, for_this_system, is_there, load, outcome_of, says_of
from mockselector import Scenario
from mockselector._judge.rules import RULES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

NO_UNIX_UDP: Final = "a scenario has TCP and AF_UNIX stream sockets only"

LISTED: Final = [
    # Its timer is of the real time.
    Listed(r"signal\.alarm\(\) is not simulated", "test_selectors.*.test_select_interrupt_*"),
    # It gives the number of one socket to another by os.dup2().
    Listed(
        r"os\.dup2\(\) on a scenario's socket is not simulated", "test_selectors.*.test_unregister_after_fd_close_*"
    ),
    # It replaces what a real selector asks the kernel by. That of select() skips itself.
    Listed("does not have the attribute '_selector_cls'|^skipped: $", "test_selectors.*.test_modify_unregister"),
    # There is no descriptor behind a selector.
    Listed(
        r"fileno\(\) of a selector is not simulated",
        "test_selectors.DefaultSelectorTestCase.test_fileno test_selectors.EpollSelectorTestCase.test_fileno",
    ),
    Listed(PROCESSES, "*.SocketServerTest.test_ForkingTCPServer *.SocketServerTest.test_ForkingUnixStreamServer"),
    Listed(
        f"{PROCESSES}|{UDP}|{NO_UNIX_UDP}",
        "*.SocketServerTest.test_ForkingUDPServer *.SocketServerTest.test_ForkingUnixDatagramServer",
    ),
    Listed(
        UDP,
        "*.SocketServerTest.test_UDPServer *.SocketServerTest.test_ThreadingUDPServer"
        " *.SocketServerTest.test_UnixDatagramServer *.SocketServerTest.test_ThreadingUnixDatagramServer",
    ),
    Listed(PROCESSES, "*.ErrorHandlerTest.test_forking_handled *.ErrorHandlerTest.test_forking_not_handled"),
    # They wait in real time for what another process writes.
    Listed("EndException: the script is at its end", "test_select.SelectTestCase.test_select test_poll.*.test_poll2"),
    # What is made in a scenario cannot be of a class in C.
    Listed("SimPoll.__init__", "test_select.SelectTestCase.test_disallow_instantiation"),
]


SELECTORS: Any = load("test_selectors")
SOCKETSERVER: Any = load("test_socketserver")

ALL: Final = cases("test_selectors", "test_socketserver", "test_select", "test_poll", "test_epoll")
CASES: Final = for_this_system(ALL)

ODD: Final = ("test.test_select", "test.test_poll", "test.test_epoll")
"""Those that do odd things, and on purpose."""

WITHOUT_SOCKETS: Final = [
    "test_socketserver.MiscTestCase.test_all",
    "test_selectors.PollSelectorTestCase.test_fileno",  # it has none
    "test_selectors.SelectSelectorTestCase.test_fileno",
    "test_select.SelectTestCase.test_error_conditions",
]
"""Those that leave nothing in the trace; all others do, or they have not been run on what is simulated."""


def simulated_pair() -> tuple[socket.socket, socket.socket]:
    """As `socket.socketpair()`, which makes real ones."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, listener.accept()[0]


def scenario_of(case: unittest.TestCase, patch: pytest.MonkeyPatch) -> Scenario:
    """A scenario for it, and in its module what is to be different."""
    if type(case).__module__ in ODD:
        return Scenario(allow=set(RULES), grace=1e9)
    if type(case).__module__ == "test.test_selectors":  # does odd things, and on purpose; for as long as it takes
        patch.setattr(SELECTORS, "socketpair", simulated_pair)
        return Scenario(allow=set(RULES), grace=1e9)
    net = Scenario()
    if hasattr(SOCKETSERVER, "signal_alarm"):  # Python 3.10: against a deadlock, in real time
        patch.setattr(SOCKETSERVER, "signal_alarm", int)
    return net


def run(case: unittest.TestCase, patch: pytest.MonkeyPatch, result: unittest.TestResult) -> None:
    """Run it. Its selector is an attribute of its class: no scenario puts another one there by itself."""
    real: type | None = getattr(case, "SELECTOR", None)
    if real is not None:
        patch.setattr(type(case), "SELECTOR", getattr(selectors, real.__name__))
    case.run(result)


@pytest.mark.parametrize("name", CASES)
def test_it_passes_or_is_listed(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    case, result, says = CASES[name], unittest.TestResult(), says_of(name, LISTED)
    swallowed = ""
    with monkeypatch.context() as patch, scenario_of(case, patch) as net:
        try:
            net.run(run, case, patch, result)
        except (NotImplementedError, AssertionError) as error:
            if says is None:
                raise
            swallowed = f"\n{type(error).__name__}: {error}"
            net._world.monitor.violation = None
        outcome = outcome_of(result) + swallowed
    if says is not None:
        assert re.search(says, outcome)
    else:
        assert ("", name not in WITHOUT_SOCKETS) == (outcome, bool(net.trace))


@pytest.mark.skipif(not ALL, reason="this Python has been installed without its package test")
@pytest.mark.parametrize("row", LISTED)
def test_what_is_listed_is_there(row: Listed) -> None:
    assert is_there(row, ALL)

"""The tests that asyncio has for its own streams, sockets and servers, on simulated sockets.

They are those of the interpreter that runs, from its package `test`, method by method; none is copied. Each is run by a
`Scenario` without peers, as it runs on real sockets. What cannot run in one stands in `LISTED`, with the words by which
it is refused or fails: a test that is neither listed nor passes fails here, and so does one that is listed and passes.
"""

from __future__ import annotations

import importlib
import logging
import re
import sys
import unittest
import warnings
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from mockselector import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mockselector import RuleId

pytestmark = pytest.mark.slow

MODULES: Final = (
    "test_streams", "test_sock_lowlevel", "test_server", "test_buffered_proto", "test_unix_events", "test_sslproto",
)  # fmt: skip

ON_PURPOSE: Final[frozenset[RuleId]] = frozenset(
    (
        "unscripted-connection",  # they connect to where nobody listens
        "unread-data",  # and leave what was sent to them
        "unhandled-exception",  # and raise in handlers, to see what is logged
    )
)


BUFFER: Final = 1 << 17
"""They fill connections, and say to the kernel how much is to fit in."""


class Listed(NamedTuple):
    """Tests that do not pass: what the failure of each says, and their names."""

    says: str
    names: str


PROCESSES: Final = "NotImplementedError: processes are not simulated"
UDP: Final = r"NotImplementedError: \w+\(\) is called on a UDP socket: UDP is not simulated"

NEED_FORKS_OR_UDP: Final = [
    Listed(PROCESSES, "test_unix_events.TestFork.*"),
    Listed(UDP, "test_sock_lowlevel.*.test_recvfrom* test_sock_lowlevel.*.test_sendto_blocking"),
]
LISTED: Final = [
    *NEED_FORKS_OR_UDP,
    # It starts a process.
    Listed(PROCESSES, "test_streams.*.test_read_all_from_pipe_reader"),
    # Its server, in a thread, takes the socket below its connection anew by dup().
    Listed(r"dup\(\) is not simulated", "test_sslproto.*.test_start_tls_client_corrupted_ssl"),
    # A file stands for the socket that is bound to a path; the next file is given its inode when it has gone.
    Listed("AssertionError: False is not true", "test_server.UnixServerCleanupTests.test_unix_server_cleanup_replaced"),
]


def cases(name: str) -> Iterator[unittest.TestCase]:
    """All tests of a module of the package `test.test_asyncio`; none where Python has been installed without it."""

    def flat(suite: Any) -> Iterator[unittest.TestCase]:
        for one in suite:
            if isinstance(one, unittest.TestCase):
                yield one
            else:
                yield from flat(one)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of policies
            module = importlib.import_module(f"test.test_asyncio.{name}")
    except ModuleNotFoundError:
        return iter(())
    return flat(unittest.defaultTestLoader.loadTestsFromModule(module))


ALL: Final = {case.id().removeprefix("test.test_asyncio."): case for name in MODULES for case in cases(name)}
CASES: Final = {
    name: case for name, case in ALL.items() if not getattr(type(case), "__unittest_skip__", False)
}  # those that are for this system


def says_of(name: str, listed: list[Listed]) -> str | None:
    """What is listed for a test; None: it has to pass."""
    found = [row.says for row in listed if any(fnmatchcase(name, pattern) for pattern in row.names.split())]
    return found[0] if found else None


def outcome_of(result: unittest.TestResult) -> str:
    """What comes of a test: "" if it passes, or the end of its traceback, or why it skips itself."""
    texts = [text.strip().rpartition("\n")[2] for _, text in (*result.errors, *result.failures)]
    texts += [f"skipped: {reason}" for _, reason in result.skipped]
    return "\n".join(texts)


def really(case: unittest.TestCase) -> str:
    """What comes of it on real sockets."""
    result = unittest.TestResult()
    unittest.TestSuite([case]).run(result)
    return outcome_of(result)


@pytest.fixture(autouse=True)
def as_in_its_own_runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """In a directory of its own; what these tests log, warn of and leave as garbage is their business."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "unraisablehook", list[object]().append)
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("name", CASES)
def test_it_passes_or_is_listed(name: str) -> None:
    case, result, says = CASES[name], unittest.TestResult(), says_of(name, LISTED)
    swallowed = ""
    with Scenario(allow=ON_PURPOSE, buffer=BUFFER) as net:
        try:
            net.run(unittest.TestSuite([case]).run, result)
        except NotImplementedError as error:
            if says is None:
                raise
            swallowed = f"\n{type(error).__name__}: {error}"
            net._world.monitor.violation = None
        outcome = outcome_of(result) + swallowed
    if says is not None:
        assert re.search(says, outcome)
    elif outcome.startswith("skipped: "):
        assert really(case).startswith("skipped: ")
    else:
        assert outcome == ""


@pytest.mark.skipif(not ALL, reason="this Python has been installed without its package test")
def test_nearly_all_pass_that_need_neither_forks_nor_udp() -> None:
    needed = [name for name in CASES if says_of(name, NEED_FORKS_OR_UDP) is None]
    passing = [name for name in needed if says_of(name, LISTED) is None]
    assert len(passing) >= 0.97 * len(needed) > 100


@pytest.mark.skipif(not ALL or sys.version_info < (3, 13), reason="an earlier Python has fewer of them")
@pytest.mark.parametrize("row", LISTED)
def test_what_is_listed_is_there(row: Listed) -> None:
    assert any(fnmatchcase(name, pattern) for name in ALL for pattern in row.names.split())

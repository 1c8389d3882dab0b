"""The tests that asyncio has for its own streams, sockets and servers, on simulated sockets, by `@simulated`.

What cannot run in a scenario stands in `LISTED`, with the words by which it is refused or fails: a test that is neither
listed nor passes fails here, and so does one that is listed and passes.
"""

from __future__ import annotations

import logging
import re
import sys
import unittest
import warnings
from typing import TYPE_CHECKING, Final

import pytest

from cpython_cases import PROCESSES, UDP, Listed, cases, for_this_system, is_there, outcome_of, says_of
from mockselector import simulated

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
        "unread-data",  # they leave what was sent to them
        "unhandled-exception",  # and raise in handlers, to see what is logged
    )
)

BUFFER: Final = 1 << 17
"""They fill connections, and say to the kernel how much is to fit in."""

NEED_FORKS_OR_UDP: Final = [
    Listed(PROCESSES, "*.test_unix_events.TestFork.*"),
    Listed(UDP, "*.test_sock_lowlevel.*.test_recvfrom* *.test_sock_lowlevel.*.test_sendto_blocking"),
]
LISTED: Final = [
    *NEED_FORKS_OR_UDP,
    # It starts a process.
    Listed(PROCESSES, "*.test_streams.*.test_read_all_from_pipe_reader"),
    # Its server, in a thread, takes the socket below its connection anew by dup().
    Listed(r"dup\(\) is not simulated", "*.test_sslproto.*.test_start_tls_client_corrupted_ssl"),
    # A file stands for the socket that is bound to a path; the next file is given its inode when it has gone.
    Listed("False is not true", "*.test_server.UnixServerCleanupTests.test_unix_server_cleanup_replaced"),
]

ALL: Final = cases(*(f"test_asyncio.{name}" for name in MODULES))
CASES: Final = for_this_system(ALL)


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
    refused = ""
    try:
        simulated(allow=ON_PURPOSE, buffer=BUFFER)(unittest.TestSuite([case]).run)(result)
    except unittest.SkipTest as error:
        refused = str(error)
    if says is not None:
        assert re.search(says, refused or outcome_of(result))
    elif outcome_of(result).startswith("skipped: "):
        assert really(case).startswith("skipped: ")
    else:
        assert (refused, outcome_of(result)) == ("", "")


@pytest.mark.skipif(not ALL, reason="this Python has been installed without its package test")
def test_nearly_all_pass_that_need_neither_forks_nor_udp() -> None:
    needed = [name for name in CASES if says_of(name, NEED_FORKS_OR_UDP) is None]
    passing = [name for name in needed if says_of(name, LISTED) is None]
    assert len(passing) >= 0.97 * len(needed) > 100


@pytest.mark.skipif(not ALL or sys.version_info < (3, 13), reason="an earlier Python has fewer of them")
@pytest.mark.parametrize("row", LISTED)
def test_what_is_listed_is_there(row: Listed) -> None:
    assert is_there(row, ALL)

"""Which suites of other people's tests there are, and what is known of those that do not pass simulated.

Owns nothing of how they are run: that is in `run.py`.
"""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatchcase
from typing import Final, NamedTuple


class Known(NamedTuple):
    """Tests that pass on real sockets and not simulated."""

    why: str
    says: str
    """What is told of each: a regular expression."""
    names: str
    """Patterns, separated by blanks."""
    mode: str = ""
    """In which mode alone; "": in both."""
    maybe: bool = False
    """Whether it passes as well, now and then."""


class Suite(NamedTuple):
    """Tests of somebody else."""

    tests: tuple[str, ...]
    """Modules; or paths in a checkout."""
    known: tuple[Known, ...] = ()
    from_checkout: bool = False
    buffer: int = 65536
    """Of `Scenario`: some tests write as much at once as Linux takes, or less than fits in by default."""

    first: str = ""
    """Code that is run before, as by the suite's own runner."""

    def known_of(self, name: str, mode: str) -> Known | None:
        """What is listed for a test; None: it has to pass."""
        for known in self.known:
            if known.mode in ("", mode) and any(fnmatchcase(name, pattern) for pattern in known.names.split()):
                return known
        return None


REFUSED: Final = re.compile(
    "processes are not simulated|or is another process|UDP is not simulated|pyOpenSSL reads and writes"
)
"""What is told of tests that need what a scenario does not have, and is not to have: they are counted apart."""

PROCESSES: Final = "processes are not simulated"
PROCESS: Final = "it starts a process"
UDP: Final = "UDP is not simulated"
DUP: Final = r"dup\(\) is not simulated"
ON_PURPOSE: Final = "on purpose"

_ALARM: Final = Known(
    "it guards itself by an alarm of real time", r"signal\.alarm\(\) is not", "*.SocketServerTest.test_*"
)

_STDLIB: Final = Suite(
    tuple(
        f"test.test_{name}"
        for name in (
            "socketserver", "httpservers", "xmlrpc", "ftplib", "smtplib", "poplib", "imaplib", "wsgiref",
            "urllib2_localnet",
        )
    ),
    (
        *((_ALARM,) if sys.version_info < (3, 11) else ()),
        Known("it forks, or is UDP", f"{PROCESSES}|{UDP}", "*.SocketServerTest.test_Forking*Server"),
        Known(PROCESS, PROCESSES, "*.ErrorHandlerTest.test_forking_*"),
        Known("it wants a fraction of a second; a run begins with none", "Regex didn't match", "*.test_debuglevel_2"),
        Known("UDP", UDP, "*.SocketServerTest.test_*UDPServer *.SocketServerTest.test_*DatagramServer"),
    ),
)  # fmt: skip

_ASYNCIO: Final = Suite(
    tuple(
        f"test.test_asyncio.test_{name}"
        for name in (
            "base_events", "buffered_proto", "events", "runners", "selector_events", "sendfile", "server",
            "sock_lowlevel", "sslproto", "streams", "threads", "transports", "unix_events", "waitfor",
            *(("ssl", "timeouts") if sys.version_info >= (3, 11) else ()),
        )
    ),
    (
        Known("UDP", UDP, "*.test_events.*.test_*datagram* *.test_sock_lowlevel.*.test_recvfrom*"
                          " *.test_sock_lowlevel.*.test_sendto_blocking"),
        Known("UDP", UDP, "*.test_create_datagram_endpoint_sock *.test_create_datagram_endpoint_existing_sock_unix"
                          " *.test_create_datagram_endpoint_sockopts *.test_create_datagram_endpoint_reuse_address_w*"),
        Known(PROCESS, PROCESSES, "*.test_events.*.test_subprocess_* *.test_read_all_from_pipe_reader *.TestFork.*"),
        Known(PROCESS, PROCESSES, "*.test_get_event_loop_new_process"),
        Known("a duplicate of a socket", DUP, "*.test_create_server_trsock *.test_start_tls_client_corrupted_ssl"),
        Known("a timer of real time", r"setitimer\(\) is not simulated", "*.test_signal_handling_*"),
        Known(
            "a file stands for the socket that is bound to a path; the next file is given its inode when it has gone",
            "False is not true", "*.UnixServerCleanupTests.test_unix_server_cleanup_replaced",
        ),
        Known(
            "its server, in a thread, gives wrap_socket() an object of its own in the place of a socket",
            "Event loop stopped before Future completed", "*.test_ssl.TestSSL.test_shutdown_timeout_handler_*",
        ),
        Known(
            "it waits in virtual time for what the kernel does later: a terminal", "TimeoutError",
            "*.test_read_pty_output *.test_bidirectional_pty *.test_write_pty", maybe=True,
        ),
        Known(
            ON_PURPOSE + ": test_base_events.py:575 and :602 want to see what asyncio logs", "unhandled-exception",
            "*.test_default_exc_handler_callback *.test_default_exc_handler_coro", "strict",
        ),
        Known(ON_PURPOSE + ": it aborts a connection that is full", "short-send-lost",
              "*.test_abort_clients", "strict"),
    ),
    buffer=3 << 14,
)  # fmt: skip

_TORNADO: Final = Suite(
    ("tornado.test",),
    (
        Known("it waits in virtual time for a process that runs in real time",
              "failed to terminate|[Tt]imed out|Bad file descriptor|preexec_fn|os.kill",
              "*.AutoreloadTest.test_reload* *.SubprocessTest.test_* *.ThreadedResolverImportTest.test_import"),
        Known("it looks for cycles, and what a selector of ours watches is in one", "gc: done",
              "*.CircleRefsTest.test_run_on_executor"),
    ),
    buffer=1 << 22,
    # Without pycurl, whose library opens sockets by itself; and as its own runner has it, with a quiet log.
    first="import logging, sys; sys.modules['pycurl'] = None; logging.getLogger('tornado.access').setLevel(50)",
)  # fmt: skip

_CHEROOT: Final = Suite(
    ("cheroot.test",),
    (
        Known("pyOpenSSL has the descriptor, and not the socket", "pyOpenSSL reads and writes", "*pyopenssl]"),
        Known("it spins until another thread has done something: while not spy.called: pass", "busy-loop",
              "*.test_unhandled_exception_in_request_handler *.test_remains_alive_post_unhandled_exception"),
        Known("its server spins on an error that select() raises again and again", "busy-loop",
              "*.test_invalid_selected_connection"),
    ),
)  # fmt: skip

_WEBSOCKETS: Final = Suite(
    ("tests/sync",),
    (
        Known("it measures how long an answer takes, which is no time at all", "0.0 not greater than 0",
              "*.test_keepalive_is_enabled *.test_keepalive"),
        Known("it measures how long two lines take, which is no time at all", "not less than -0.001",
              "*.DeadlineTests.test_timeout_elapsed_no_exception"),
        Known("it patches a method of socket.socket for a pair, which is real", r"'' != \('(sock|peer)', 1234\)",
              "*.test_local_address *.test_remote_address"),
    ),
    from_checkout=True,
)  # fmt: skip

_AIOSMTPD: Final = Suite(
    ("aiosmtpd/tests",),
    (Known(PROCESS, PROCESSES, "*.TestMainByWatcher.test_smtps *.TestMainByWatcher.test_tls*"),),
    from_checkout=True,
)

_WAITRESS: Final = Suite(
    ("tests",),
    (
        Known(PROCESS, PROCESSES, "tests.test_functional.*"),
        Known("out-of-band data", "flags=0x1 is not simulated", "*.test_handle_expt"),
        Known(
            ON_PURPOSE + ": handlers that do nothing, in a loop of five turns, test_wasyncore.py", "busy-loop",
            "*.test_quick_connect *Select.test_connection_attributes", "strict",
        ),
    ),
    from_checkout=True,
)  # fmt: skip

_RPYC: Final = Suite(
    ("tests",),
    (
        Known("UDP", UDP, "tests.test_registry.TestUdpRegistry.*"),
        Known("it waits in virtual time for a process", "result expired", "*.test_piped_server"),
        Known("its server is another process", "or is another process", "tests.test_teleportation.*"),
    ),
    from_checkout=True,
)

SUITES: Final[dict[str, Suite]] = {
    "stdlib": _STDLIB,
    "asyncio": _ASYNCIO,
    "tornado": _TORNADO,
    "cheroot": _CHEROOT,
    "websockets": _WEBSOCKETS,
    "aiosmtpd": _AIOSMTPD,
    "waitress": _WAITRESS,
    "urllib3": Suite(
        tuple(
            f"test/with_dummyserver/test_{name}.py"
            for name in ("chunked_transfer", "connectionpool", "poolmanager", "proxy_poolmanager", "socketlevel")
        ),
        from_checkout=True,
    ),
    "rpyc": _RPYC,
}

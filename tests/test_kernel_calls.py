"""Calls on a socket do in a scenario what they do on the kernel: in every state, with what comes after."""

from __future__ import annotations

import os
import re
import socket
import sys
from errno import EADDRNOTAVAIL, ECONNREFUSED
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("what is compared with is Linux", allow_module_level=True)

from kernel import FAMILIES, both, run_in_scenario, run_on_kernel
from kernel_calls import (
    CALLS,
    CORE,
    ENDS,
    MODES,
    PLAIN,
    REFUSED,
    STATES,
    STEPS,
    WAITING,
    Call,
    Seen,
    bound,
    cell,
    connected,
    sequence,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Ground
    from kernel_calls import State, Step

pytestmark = [pytest.mark.slow, pytest.mark.shared]

EVERY_CELL: Final = os.environ.get("MOCKSELECTOR_CELLS") == "all"
"""Every call in every state and mode, which takes minutes; else what the state decides about, and each somewhere."""

WANTED: Final = 600
"""So many different cells there must be, for AF_INET alone."""

Cells = dict[tuple[str, str, str, str], tuple[Seen, Seen]]
"""By state, mode, name and variant: what is seen on the kernel, and in a scenario."""


def is_chosen(state: Callable[[Ground], State], family: int, mode: str, call: Call) -> bool:
    """Whether there is such a cell."""
    waits = mode != "non-blocking"
    if mode == "blocking" and (call.may_hang or call.name in ("makefile", "sendfile", "connect", "connect_ex")):
        return False
    if EVERY_CELL:
        return True
    if (call.name, call.variant) in CORE and family != socket.AF_INET6:
        return not waits or (family == socket.AF_INET and mode == "timeout" and call.name in WAITING)
    return state in PLAIN[family] and not waits


def hangs(mode: str, seen: Seen) -> bool:
    """Whether the call would wait for ever."""
    return mode == "blocking" and ("TimeoutError" in repr(seen[0]) or "BlockingIOError" in repr(seen[0]))


def seen_in_scenario(state: Callable[[Ground], State], family: int) -> list[tuple[str, Call, Seen]]:
    """All cells of a state: mode, call, and what is seen."""
    seen: list[tuple[str, Call, Seen]] = []

    def simulated(ground: Ground) -> None:
        for call in CALLS:
            for mode in MODES:
                if is_chosen(state, family, mode, call):
                    like = cell(ground, state, call, "timeout" if mode == "blocking" else mode)
                    if not hangs(mode, like):
                        seen.append((mode, call, cell(ground, state, call, mode) if mode == "blocking" else like))

    run_in_scenario(simulated, family)
    return seen


def seen_in_both(state: Callable[[Ground], State], family: int) -> Cells:
    """All cells of a state: first in a scenario, so that it is known to what the kernel should come, then on it."""
    seen = seen_in_scenario(state, family)
    real = run_on_kernel(lambda ground: [cell(ground, state, call, mode, like) for mode, call, like in seen], family)
    return {
        (state.__name__, mode, call.name, call.variant): (theirs, ours)
        for (mode, call, ours), theirs in zip(seen, real, strict=True)
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_call_does_what_it_does_on_the_kernel(state: Callable[[Ground], State], family: int) -> None:
    if not any(is_chosen(state, family, mode, call) for call in CALLS for mode in MODES):
        pytest.skip("for this family, in other states")
    cells = seen_in_both(state, family)
    different = {key: pair for key, pair in cells.items() if pair[0] != pair[1]}
    assert {} == {key: pair for key, pair in different.items() if key[2:] not in LEFT_OUT.get(key[0], ())}


LEFT_OUT: Final = {"bound": {("connect", "its own"), ("connect_ex", "its own")}}
"""By state, the calls that a row of the table below is about."""


def test_there_are_enough_different_cells() -> None:
    different = {
        (state.__name__, call.name, repr(seen))  # variants and modes of one outcome are one
        for state in STATES
        for _, call, seen in seen_in_scenario(state, socket.AF_INET)
    }
    assert WANTED <= len(different), len(different)


def test_every_public_name_is_called() -> None:
    public = {name for name in dir(socket.socket) if not name.startswith("_")}
    assert set() == public - {call.name for call in (*CALLS, *REFUSED)}


# -- random sequences ------------------------------------------------------------------------------

SEQUENCES: Final = int(os.environ.get("MOCKSELECTOR_SEQUENCES", "200"))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
@settings(max_examples=SEQUENCES // 2, derandomize=True, deadline=None, database=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(ENDS[:2]) | st.sampled_from(ENDS), st.sampled_from(tuple(STEPS))), max_size=12
    )
)
def test_a_random_sequence_does_what_it_does_on_the_kernel(family: int, steps: list[Step]) -> None:
    ours = run_in_scenario(lambda ground: sequence(ground, steps), family)
    assert run_on_kernel(lambda ground: sequence(ground, steps, ours), family) == ours


# -- calls of the module ---------------------------------------------------------------------------

MODULE_CALLS: Final[dict[str, Callable[[Ground], object]]] = {
    "create_server": lambda ground: ground.keep(socket.create_server(("127.0.0.1", 0))),
    "create_server, any": lambda ground: ground.keep(socket.create_server(("", 0))),
    "create_server, IPv6": lambda ground: ground.keep(socket.create_server(("::1", 0), family=socket.AF_INET6)),
    "create_server, dual": lambda ground: ground.keep(
        socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    ),
    "create_server, dual without IPv6": lambda _: socket.create_server(("", 0), dualstack_ipv6=True),
    "create_server, reuse_port": lambda ground: ground.keep(socket.create_server(("127.0.0.1", 0), reuse_port=True)),
    "create_server, taken": lambda ground: socket.create_server(ground.listener().getsockname()),
    "create_connection": lambda ground: ground.keep(
        socket.create_connection(ground.listener().getsockname())
    ).getpeername(),
    "create_connection, timeout": lambda ground: ground.keep(
        socket.create_connection(ground.listener().getsockname(), 5)
    ).gettimeout(),
    "create_connection, source": lambda ground: ground.keep(
        socket.create_connection(ground.listener().getsockname(), source_address=("127.0.0.1", 0))
    ).getpeername(),
    "has_dualstack_ipv6": lambda _: socket.has_dualstack_ipv6(),
    "socket, nonsense": lambda _: socket.socket("a"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "getaddrinfo, number": lambda _: socket.getaddrinfo("127.0.0.1", 80),
    "getaddrinfo, stream": lambda _: socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM),
    "getaddrinfo, datagram": lambda _: socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_DGRAM),
    "getaddrinfo, tcp": lambda _: socket.getaddrinfo("127.0.0.1", 80, proto=socket.IPPROTO_TCP),
    "getaddrinfo, udp": lambda _: socket.getaddrinfo("127.0.0.1", 80, proto=socket.IPPROTO_UDP),
    "getaddrinfo, IPv6": lambda _: socket.getaddrinfo("::1", 80, type=socket.SOCK_STREAM),
    "getaddrinfo, wrong family": lambda _: socket.getaddrinfo("::1", 80, socket.AF_INET),
    "getaddrinfo, numeric": lambda _: socket.getaddrinfo("127.0.0.1", "80", 0, 1, 0, socket.AI_NUMERICHOST),
    "getaddrinfo, numeric name": lambda _: socket.getaddrinfo("localhost", 80, 0, 1, 0, socket.AI_NUMERICHOST),
    "getaddrinfo, canonical": lambda _: socket.getaddrinfo("127.0.0.1", 80, 0, 1, 0, socket.AI_CANONNAME),
    "getaddrinfo, nothing": lambda _: socket.getaddrinfo(None, None),
    "getaddrinfo, no host": lambda _: socket.getaddrinfo(None, 80, socket.AF_INET, 1),
    "getaddrinfo, passive": lambda _: socket.getaddrinfo(None, 80, socket.AF_INET, 1, 0, socket.AI_PASSIVE),
    "getaddrinfo, service": lambda _: socket.getaddrinfo("127.0.0.1", "http", type=socket.SOCK_STREAM),
    "getaddrinfo, no service": lambda _: socket.getaddrinfo("127.0.0.1", "no-such-service", type=socket.SOCK_STREAM),
    "getaddrinfo, no port": lambda _: socket.getaddrinfo("127.0.0.1", None, type=socket.SOCK_STREAM),
    "getaddrinfo, bytes": lambda _: socket.getaddrinfo(b"127.0.0.1", b"80", type=socket.SOCK_STREAM),
    "getaddrinfo, bad host": lambda _: socket.getaddrinfo(5, 80),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "getaddrinfo, bad port": lambda _: socket.getaddrinfo("127.0.0.1", 1.5),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "getaddrinfo, localhost": lambda _: socket.getaddrinfo("localhost", 80, socket.AF_INET, socket.SOCK_STREAM),
    "getnameinfo, numbers": lambda _: socket.getnameinfo(
        ("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    ),
    "getnameinfo, bad": lambda _: socket.getnameinfo("127.0.0.1", 0),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    "getnameinfo, name": lambda _: socket.getnameinfo(("localhost", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
}


@pytest.mark.parametrize("name", MODULE_CALLS)
def test_a_call_of_the_module_does_what_it_does_for_real(name: str) -> None:
    real, ours = both(lambda ground: ground.outcome(lambda: MODULE_CALLS[name](ground)))
    assert real == ours


# -- what differs on purpose -----------------------------------------------------------------------


class Row(NamedTuple):
    """One row of the table in docs/fidelity.md."""

    calls: tuple[Callable[[Ground], object], ...]
    kernel: tuple[object, ...]
    """What each call comes to there ..."""
    here: tuple[object, ...]
    """... and in a scenario."""


def _refused(call: Call) -> Callable[[Ground], object]:
    return lambda ground: call.call(ground, connected(ground).sock)


def _itself(ground: Ground) -> object:
    sock = bound(ground).sock
    return sock.connect_ex(sock.getsockname())


def _elsewhere(ground: Ground) -> object:
    sock = ground.socket()
    sock.bind(("10.198.51.1", 0))
    return sock.getsockname()[0]


def _buffer(ground: Ground) -> object:
    sock = ground.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("end", ["close", "detach", "with"])
def test_what_comes_after_its_number_was_closed(end: str, family: int) -> None:
    def calls(ground: Ground) -> list[object]:
        state = connected(ground)
        sock, other = state
        assert other is not None
        number = sock.fileno()
        os.close(number)
        ground.settle(other, "ended")
        ends = {"close": sock.close, "detach": lambda: sock.detach() == number, "with": sock.__exit__}
        return [
            ground.outcome(call)
            for call in (
                lambda: sock.fileno() == number, lambda: sock.recv(1), lambda: sock.send(b"x"), sock.getsockname,
                sock.getpeername, lambda: sock.setblocking(False), lambda: sock.shutdown(socket.SHUT_WR),
                lambda: os.close(number), lambda: other.recv(1), ends[end], sock.fileno, sock.close, sock.detach,
            )
        ]  # fmt: skip

    real, simulated = both(calls, family)
    assert real == simulated


NOT_SIMULATED: Final = ("NotImplementedError", None)

ROWS: Final[dict[str, Row]] = {
    "not-simulated": Row(
        tuple(map(_refused, REFUSED)),
        (("a socket", ("127.0.0.1", "listener's"), None), ("OSError", None), ("OSError", 22), 1, ("OSError", 22)),
        (NOT_SIMULATED,) * len(REFUSED),
    ),
    "connect-itself": Row((_itself,), (0,), (ECONNREFUSED,)),
    "bind-anywhere": Row((_elsewhere,), (("OSError", EADDRNOTAVAIL),), ("10.198.51.1",)),
    "buffer-size": Row((_buffer,), (16384,), (8192,)),
}


def outcomes(row: Row, *, real: bool) -> tuple[object, ...]:
    """What each of its calls comes to; each in a run of its own, for a refusal ends it."""
    found: list[object] = []
    run = run_on_kernel if real else run_in_scenario
    for call in row.calls:

        def look(ground: Ground, call: Callable[[Ground], object] = call) -> None:
            found.append(ground.outcome(lambda: call(ground)))

        try:
            run(look)
        except NotImplementedError:
            assert not real, "a real socket refuses nothing"
    return tuple(found)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_table_still_holds(name: str) -> None:
    row = ROWS[name]
    assert row.kernel == outcomes(row, real=True)
    assert row.here == outcomes(row, real=False)
    assert all(theirs != ours for theirs, ours in zip(row.kernel, row.here, strict=True))


def test_the_table_in_the_documentation_is_that_of_the_tests() -> None:
    text = Path(__file__).parent.parent.joinpath("docs", "fidelity.md").read_text(encoding="utf-8")
    table = text.partition("## Differences left on purpose")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([a-z0-9-]+)`", table, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set() == ROWS.keys() - set(listed)

"""Virtual time: what each way to ask for it says, and what each way to wait comes to."""

from __future__ import annotations

import math
import operator
import queue
import re
import select
import selectors
import socket
import subprocess
import sys
import textwrap
import threading
import time
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from selectors import EVENT_READ
from time import monotonic, sleep
from typing import TYPE_CHECKING, cast

import pytest

from mockselector import Scenario, ScenarioError
from scenario_servers import PORT, calls, echo, one, read_all, step

if TYPE_CHECKING:
    from collections.abc import Callable

MIDNIGHT = 1_767_225_600.0  # 2026-01-01 00:00 UTC


def lasts(act: Callable[[Scenario], object]) -> float:
    """How many seconds of virtual time a program takes that has no peers."""
    with Scenario(grace=1e6) as net:
        net.run(act, net)
    return net.now


# -- clocks ---------------------------------------------------------------------------------------

CLOCKS: list[tuple[str, float, float]] = [
    ("monotonic", 1000.0, 1.0),
    ("monotonic_ns", 1000e9, 1e9),
    ("perf_counter", 1000.0, 1.0),
    ("perf_counter_ns", 1000e9, 1e9),
    ("time", MIDNIGHT, 1.0),
    ("time_ns", MIDNIGHT * 1e9, 1e9),
]


@pytest.mark.parametrize(("name", "first", "second"), CLOCKS, ids=[name for name, _, _ in CLOCKS])
def test_every_clock_goes_on_as_the_server_sleeps(name: str, first: float, second: float) -> None:
    def main() -> tuple[float, float]:
        before: float = getattr(time, name)()
        time.sleep(2.5)
        return before, getattr(time, name)()

    with Scenario() as net:
        assert net.run(main) == (first, first + 2.5 * second)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "first", "second"), CLOCKS, ids=[name for name, _, _ in CLOCKS])
def test_every_clock_is_the_real_one_again_after_a_run(name: str, first: float, second: float) -> None:
    before = getattr(time, name)
    with Scenario() as net:
        net.run(lambda: None)
    assert before is getattr(time, name)


def test_every_clock_is_of_its_real_ones_type() -> None:
    with Scenario() as net:
        types = net.run(lambda: [getattr(time, name)().__class__.__name__ for name, _, _ in CLOCKS])
    assert types == ["float", "int"] * 3


def test_a_clock_stands_still_while_the_server_works() -> None:
    with Scenario() as net:
        assert net.run(lambda: {time.monotonic() for _ in range(1000)}) == {1000.0}


def test_names_that_a_module_has_imported_are_replaced_too() -> None:
    def main() -> float:
        before = monotonic()
        sleep(7)
        return monotonic() - before

    with Scenario() as net:
        assert net.run(main) == 7.0


def test_the_date_may_be_chosen() -> None:
    with Scenario(date=86_400.5) as net:
        assert net.run(lambda: (time.time(), time.time_ns())) == (86_400.5, 86_400_500_000_000)


def test_a_module_imported_in_an_installed_block_has_virtual_time() -> None:
    with Scenario() as net:
        with net.installed():
            time.sleep(3)
            assert time.monotonic() == 1003.0


def test_now_is_how_long_the_scenario_has_gone_on() -> None:
    with Scenario() as net:
        before = net.now
        net.run(lambda: time.sleep(0.25))
        assert (before, net.now) == (0.0, 0.25)


def test_now_goes_on_over_several_runs() -> None:
    with Scenario() as net:
        net.run(lambda: time.sleep(1))
        net.run(lambda: time.sleep(2))
        assert net.now == 3.0


def test_each_row_of_the_trace_has_its_time() -> None:
    with Scenario() as net:
        net.client("alice").waits(1.5).sends(b"a").expects(b"a").waits(0.5).closes()
        net.run(echo)
    rows = [(row.operation, row.time) for row in net.trace if row.socket == "alice"]
    assert rows == [
        ("register", 0.0), ("recv", 1.5), ("send", 1.5), ("recv:eof", 2.0), ("unregister", 2.0), ("close", 2.0),
    ]  # fmt: skip


# -- sleeping -------------------------------------------------------------------------------------


def test_a_sleep_takes_its_time() -> None:
    assert lasts(lambda _: time.sleep(600)) == 600.0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["run", "run_until_complete"])
def test_a_function_that_stands_for_itself_is_the_scenarios_own(how: str) -> None:
    """It was looked up before anything was replaced."""
    with Scenario(watchdog=None) as net:
        getattr(net, how)(time.sleep, 3000)
        assert net.run(time.monotonic) == 4000.0
    assert net.now == 3000


def test_a_sleep_of_zero_takes_none() -> None:
    assert lasts(lambda _: time.sleep(0)) == 0.0


def test_a_sleep_of_zero_lets_peers_act() -> None:
    def main() -> list[float]:
        with socket.create_server(("", PORT)):
            time.sleep(0)
            return seen[:]

    seen: list[float] = []
    with Scenario(allow={"unaccepted-connection"}) as net:
        net.client("alice").does(lambda: seen.append(net.now))
        assert net.run(main) == [0.0]


def test_a_negative_sleep_is_refused() -> None:
    with Scenario() as net, pytest.raises(ValueError, match=r"\Asleep length must be non-negative\Z"):
        net.run(lambda: time.sleep(-1))


class Three:
    def __index__(self) -> int:
        return 3


def test_a_sleep_takes_what_the_real_one_does() -> None:
    def program() -> None:
        time.sleep(cast("int", Three()))
        for odd in (Decimal(1), Fraction(1), "1", None):
            with pytest.raises(TypeError) as real:
                operator.index(cast("int", odd))
            with pytest.raises(TypeError, match=f"^{re.escape(str(real.value))}$"):
                time.sleep(cast("int", odd))

    with Scenario() as net:
        net.run(program)
    assert net.now == 3


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, 1e10, 1e30, 2**70])
def test_and_refuses_what_that_refuses(seconds: float) -> None:
    with pytest.raises((ValueError, OverflowError)) as real:
        time.sleep(seconds)
    with pytest.raises(type(real.value), match=f"^{re.escape(str(real.value))}$"), Scenario() as net:
        net.run(time.sleep, seconds)


def test_peers_act_while_the_server_sleeps_each_at_its_time() -> None:
    def main() -> list[tuple[str, float]]:
        with socket.create_server(("", PORT)):
            time.sleep(10)
            return seen[:]

    seen: list[tuple[str, float]] = []
    with Scenario(allow={"unaccepted-connection"}) as net:
        net.client("alice").waits(3).does(lambda: seen.append(("alice", net.now)))
        net.client("bob", delay=1).waits(1).does(lambda: seen.append(("bob", net.now)))
        assert net.run(main) == [("bob", 2.0), ("alice", 3.0)]


def test_peers_of_one_moment_act_in_the_order_in_which_they_were_made() -> None:
    seen: list[str] = []
    with Scenario() as net:
        for name in ("alice", "bob", "carol"):
            net.client(name).waits(5).does(partial(seen.append, name)).closes()
        net.run(echo)
    assert seen == ["alice", "bob", "carol"]


def test_select_of_nothing_is_a_way_to_sleep() -> None:
    assert lasts(lambda _: select.select([], [], [], 2.5)) == 2.5


# -- time-outs --------------------------------------------------------------------------------------


def test_a_selector_returns_nothing_when_its_time_is_out() -> None:
    def main() -> list[object]:
        with selectors.DefaultSelector() as selector:
            return [*selector.select(5), time.monotonic()]

    with Scenario() as net:
        assert net.run(main) == [1005.0]


def test_a_selector_that_is_woken_returns_at_once() -> None:
    def main() -> float:
        with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
            selector.register(listener, EVENT_READ)
            assert len(selector.select(50)) == 1
            listener.accept()[0].close()
            return net.now

    with Scenario() as net:
        net.client("alice", delay=7)
        assert net.run(main) == 7.0


def test_a_recv_times_out() -> None:
    def handle(conn: socket.socket) -> float:
        conn.settimeout(3)
        with pytest.raises(TimeoutError, match=r"\Atimed out\Z"):
            conn.recv(1)
        return net.now

    with Scenario() as net:
        net.client("alice").waits(60).closes()
        assert net.run(one, handle) == 3.0


def test_an_accept_times_out() -> None:
    def main() -> float:
        with socket.create_server(("", PORT)) as listener:
            listener.settimeout(2)
            with pytest.raises(TimeoutError, match=r"\Atimed out\Z"):
                listener.accept()
            return net.now

    with Scenario() as net:
        assert net.run(main) == 2.0


def test_a_connect_times_out() -> None:
    def main() -> float:
        with pytest.raises(TimeoutError, match=r"\Atimed out\Z"):
            calls(read_all, timeout=4)
        return net.now

    with Scenario() as net:
        net.backend(("db", 5432), delay=10)
        assert net.run(main) == 4.0


def test_a_send_times_out() -> None:
    def handle(conn: socket.socket) -> float:
        conn.settimeout(6)
        with pytest.raises(TimeoutError, match=r"\Atimed out\Z"):
            conn.sendall(b"x" * 10)
        return net.now

    with Scenario() as net:
        net.client("alice", buffer=4).waits(60).closes()
        assert net.run(one, handle) == 6.0


def test_a_sendall_times_out_though_it_moves_on() -> None:
    def handle(conn: socket.socket) -> float:
        conn.settimeout(6)
        with pytest.raises(TimeoutError, match=r"\Atimed out\Z"):
            conn.sendall(b"x" * 100)
        return net.now

    with Scenario() as net:
        net.client("alice", buffer=4).reads_slowly(4).waits(0).expects(b"x" * 28)
        assert net.run(one, handle) == 6.0


def test_a_default_timeout_holds_in_a_scenario() -> None:
    def handle(conn: socket.socket) -> float:
        with pytest.raises(TimeoutError, match=r"\Atimed out\Z"):
            conn.recv(1)
        return net.now

    socket.setdefaulttimeout(9)
    try:
        with Scenario() as net:
            net.client("alice").waits(60).closes()
            assert net.run(one, handle) == 9.0
    finally:
        socket.setdefaulttimeout(None)


def test_an_event_times_out() -> None:
    def main() -> tuple[bool, float]:
        return threading.Event().wait(5), time.monotonic()

    with Scenario() as net:
        assert net.run(main) == (False, 1005.0)


def test_an_event_that_the_script_sets_is_waited_for() -> None:
    def main() -> tuple[bool, float]:
        with socket.create_server(("", PORT)) as listener:
            done = event.wait(50), net.now
            listener.accept()[0].close()
            return done

    event = threading.Event()
    with Scenario() as net:
        net.client("alice").waits(8).does(event.set).closes()
        assert net.run(main) == (True, 8.0)


def test_an_event_that_nobody_sets_is_found() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[deadlock\] the program waits for what another thread would do"):
        with Scenario() as net:
            net.run(lambda: threading.Event().wait())


def test_a_negative_wait_does_not_wait() -> None:
    assert lasts(lambda _: threading.Event().wait(-1)) == 0.0


def test_a_queue_times_out() -> None:
    def main() -> float:
        with pytest.raises(queue.Empty):
            queue.Queue[int]().get(timeout=2)
        return net.now

    with Scenario() as net:
        assert net.run(main) == 2.0


def test_a_queue_that_the_script_fills_is_waited_for() -> None:
    def main() -> tuple[int, float]:
        with socket.create_server(("", PORT)) as listener:
            got = jobs.get(timeout=30), net.now
            listener.accept()[0].close()
            return got

    jobs: queue.Queue[int] = queue.Queue()
    with Scenario() as net:
        net.client("alice").waits(4).does(lambda: jobs.put(7)).closes()
        assert net.run(main) == (7, 4.0)


# -- spinning ---------------------------------------------------------------------------------------


def spins_on_the_clock() -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        pass


def spins_on_the_date() -> None:
    end = time.time() + 5
    while time.time() < end:
        pass


def polls() -> None:
    with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
        selector.register(listener, EVENT_READ)
        while not selector.select(0):
            pass
        listener.accept()[0].close()


def polls_and_looks_at_the_clock() -> None:
    end = time.monotonic() + 5
    with selectors.DefaultSelector() as selector:
        while time.monotonic() < end:
            selector.select(0)


def sleeps_for_no_time() -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        time.sleep(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spins", "clients"),
    [
        (spins_on_the_clock, 0),
        (spins_on_the_date, 0),
        (polls, 1),
        (polls_and_looks_at_the_clock, 0),
        (sleeps_for_no_time, 0),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_program_that_spins_sees_time_pass(spins: Callable[[], None], clients: int) -> None:
    with Scenario(grace=1000) as net:
        for _ in range(clients):
            net.client(delay=5)
        net.run(spins)
    assert 5.0 <= net.now < 10.0


def test_a_server_that_spins_is_ended_when_all_is_done() -> None:
    def spins() -> None:
        with socket.create_server(("", PORT)) as listener:
            listener.accept()[0].close()
            while True:
                time.monotonic()

    with Scenario() as net:
        net.client("alice").expects_eof().closes()
        net.run(spins)
    assert net.now < 60.1


@pytest.mark.slow
def test_a_server_that_spins_while_a_peer_waits_in_vain_is_told() -> None:
    def spins(conn: socket.socket) -> None:
        while True:
            time.monotonic()

    net = Scenario()
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice waits in vain for b'hi', and the server never waits: "):
        with net:
            net.client("alice").expects(b"hi")
            net.run(one, spins)
    assert 3584 <= net.now <= 3600


def test_a_server_that_spins_lets_peers_act_at_their_time() -> None:
    def spins(conn: socket.socket) -> None:
        while not seen:
            time.time()

    seen: list[float] = []
    with Scenario() as net:
        net.client("alice").waits(33).does(lambda: seen.append(net.now)).closes()
        net.run(one, spins)
    assert seen == [33.0]


def test_a_server_that_spins_on_a_sleep_of_zero_lets_peers_act_at_their_time() -> None:
    def spins(conn: socket.socket) -> None:
        while not seen:
            time.sleep(0)

    seen: list[float] = []
    with Scenario() as net:
        net.client("alice").waits(0.001).does(lambda: seen.append(net.now)).closes()
        net.run(one, spins)
    assert seen == [0.001]


@pytest.mark.slow
def test_a_server_that_polls_comes_to_a_time_out_of_its_own() -> None:
    def polls(conn: socket.socket) -> None:
        end = time.monotonic() + 5
        with selectors.DefaultSelector() as selector:
            selector.register(conn, EVENT_READ)
            while time.monotonic() < end:
                selector.select(0)
            conn.sendall(b"bye")

    with Scenario() as net:
        net.client("alice").expects(b"bye").expects_eof()
        net.run(one, polls)
    assert 5.0 <= net.now < 10.0


def test_a_server_that_spins_is_interrupted_at_its_time() -> None:
    with Scenario() as net:
        net.interrupts(at=5)
        net.run(spins_for_ever)
    assert net.now == 5.0


def spins_for_ever() -> None:
    while True:
        time.monotonic()


def test_a_server_that_polls_with_short_sleeps_hurts_nobody() -> None:
    def polls(conn: socket.socket) -> bytes:
        conn.setblocking(False)
        while True:
            try:
                return conn.recv(9)
            except BlockingIOError:
                time.sleep(0.01)

    with Scenario() as net:
        net.client("alice").waits(100).sends(b"hi").closes()
        assert net.run(one, polls) == b"hi"


# -- ten minutes ------------------------------------------------------------------------------------


def reaps(limit: float) -> None:
    """Echo, and close whoever has been silent for `limit` seconds."""
    seen: dict[socket.socket, float] = {}
    with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
        selector.register(listener, EVENT_READ)
        while True:
            now = time.monotonic()
            ready = selector.select(min((then + limit - now for then in seen.values()), default=None))
            step(selector, listener, ready)
            now = time.monotonic()
            for key in list(selector.get_map().values()):
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj is not listener:
                    seen.setdefault(key.fileobj, now)
            for conn in [key.fileobj for key, _ in ready]:
                if isinstance(conn, socket.socket) and conn in seen:
                    seen[conn] = now
            for conn in [conn for conn in seen if conn.fileno() < 0 or now - seen[conn] >= limit]:
                if conn.fileno() >= 0:
                    selector.unregister(conn)
                    conn.close()
                del seen[conn]


def test_an_idle_client_is_closed_after_ten_minutes_to_the_second() -> None:
    with Scenario() as net:
        net.client("silent").expects_nothing(599.999).expects_eof().does(lambda: seen.append(net.now)).closes()
        net.client("busy").waits(599).sends(b"hi").expects(b"hi").expects_nothing(599).closes()
        seen: list[float] = []
        net.run(reaps, 600)
    assert (seen, net.now) == ([600.0], 1198.0)


# -- the same every time --------------------------------------------------------------------------

BROADCASTS = """
    import selectors
    import socket
    from mockselector import Scenario

    def serve():
        everybody = set()
        with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
            selector.register(listener, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is listener:
                        conn, _ = listener.accept()
                        selector.register(conn, selectors.EVENT_READ)
                        everybody.add(conn)
                        continue
                    data = key.fileobj.recv(100)
                    if data:
                        for conn in everybody:
                            conn.sendall(data)
                    else:
                        everybody.discard(key.fileobj)
                        selector.unregister(key.fileobj)
                        key.fileobj.close()

    def play():
        with Scenario() as net:
            for number in range(12):
                net.client(f"client {number}").waits(number % 5).sends(b"%d" % number).waits(9 - number % 3).closes()
            net.run(serve)
        return "\\n".join(f"{row.time} {row} {row.place.line}" for row in net.trace)
"""


def test_a_trace_is_equal_over_runs() -> None:
    names: dict[str, Callable[[], str]] = {}
    exec(textwrap.dedent(BROADCASTS), names)
    traces = [names["play"]() for _ in range(3)]
    assert [traces[0]] * 3 == traces


@pytest.mark.slow
def test_a_trace_is_equal_under_any_hash_seed() -> None:
    def trace(seed: str) -> str:
        program = textwrap.dedent(BROADCASTS) + "\nprint(play())"
        path = Path(sys.modules["mockselector"].__file__ or "").parent.parent
        done = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(path)},
        )  # fmt: skip
        return done.stdout

    traces = [trace(seed) for seed in ("0", "1", "4711")]
    assert [traces[0]] * 3 == traces
    assert traces[0].count("send(") > 100


# -- polls without end ---------------------------------------------------------------------------------


def only_polls(many: int) -> None:
    with selectors.DefaultSelector() as selector:
        for _ in range(many):
            selector.select(0)


def test_polls_that_find_nothing_at_one_instant_share_a_row() -> None:
    with Scenario() as net:
        net.run(only_polls, 900)
    rows = [row for row in net.trace if row.operation == "select"]
    assert [row.times for row in rows] == [1, 1, 1, 897]
    assert {str(row) for row in rows} == {"select() -> nothing"}
    assert rows[-1].detail == ()


@pytest.mark.slow
def test_a_thousand_times_as_many_take_no_more_room_than_their_instants() -> None:
    with Scenario() as net:
        net.run(only_polls, 100_000)
    rows = [row for row in net.trace if row.operation == "select"]
    assert sum(row.times for row in rows) == 100_000
    assert len(rows) == 4 * len({row.time for row in rows}) < 500


def test_what_comes_in_between_is_not_folded() -> None:
    def server() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", 1)) as listener:
            selector.register(listener, selectors.EVENT_READ)
            for _ in range(50):
                selector.select(0)
                listener.getsockname()

    with Scenario() as net:
        net.run(server)
    assert {row.times for row in net.trace} == {1}

"""What a server leaves behind: dropped without close(), open when it returns, or leaked while it runs."""

from __future__ import annotations

import gc
import selectors
import socket
import weakref
from selectors import EVENT_READ
from typing import TYPE_CHECKING

import pytest

from mockselector import ListenSocket, MockSelector, MockSocket, Scenario, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockselector import RuleId

    Server = Callable[[], object]


pytestmark = pytest.mark.collects


def serve(end: str, *, clients: int = 1, loops: bool = False) -> None:
    """Echo until so many clients have left; `end` says what becomes of their connections then."""
    kept: list[socket.socket] = []
    with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
        selector.register(listener, EVENT_READ)
        while clients or loops:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], EVENT_READ)
                    continue
                conn = key.fileobj
                assert isinstance(conn, socket.socket)
                if data := conn.recv(100):
                    conn.sendall(data)
                    continue
                clients -= 1
                selector.unregister(conn)
                if end == "closes":
                    conn.close()
                elif end == "detaches":
                    socket.socket(fileno=conn.detach()).close()
                elif end == "keeps":
                    kept.append(conn)
                elif end == "keeps in a cycle":
                    cycle: list[object] = [conn]
                    cycle.append(cycle)
            conn = key = None  # type: ignore[assignment]  # what a loop still refers to is not dropped
        selector.unregister(listener)


ORDER: set[RuleId] = {"close-before-unregister"}


def rule_of(server: Server, *peers: str, pedantic: bool = True) -> str | None:
    gc.collect()
    try:
        with Scenario(pedantic=pedantic, allow=ORDER) as net:
            for name in peers or ("alice",):
                net.client(name).sends(b"hi").expects(b"hi").closes()
            net.run(server)
    except ScenarioError as error:
        return f"{error.rule} {error.socket}"
    return None


@pytest.mark.parametrize("end", ["closes", "detaches"])
def test_a_server_that_closes_all_and_returns_has_left_nothing(end: str) -> None:
    assert rule_of(lambda: serve(end)) is None


@pytest.mark.parametrize("end", ["drops", "keeps", "keeps in a cycle"])
def test_a_connection_that_was_dropped_is_not_closed(end: str) -> None:
    assert rule_of(lambda: serve(end)) == "unclosed-at-exit alice"


@pytest.mark.parametrize("end", ["drops", "keeps", "keeps in a cycle"])
def test_that_is_pedantic_as_the_process_is_gone(end: str) -> None:
    assert rule_of(lambda: serve(end), pedantic=False) is None


def test_it_is_said_of_one_that_was_dropped_long_before_the_end() -> None:
    assert rule_of(lambda: serve("drops", clients=2), "alice", "bob") == "unclosed-at-exit alice"


def test_it_is_never_said_where_the_test_has_ended_the_server() -> None:
    assert rule_of(lambda: serve("drops", loops=True)) is None


def no_block() -> None:
    selector, listener = selectors.DefaultSelector(), socket.create_server(("", 8888))
    selector.register(listener, EVENT_READ)
    selector.select()
    with listener.accept()[0] as conn:
        conn.sendall(conn.recv(9))
        assert not conn.recv(9)


def closes_its_listener() -> None:
    selector = selectors.DefaultSelector()
    with socket.create_server(("", 8888)) as listener:
        selector.register(listener, EVENT_READ)
        selector.select()
        with listener.accept()[0] as conn:
            conn.sendall(conn.recv(9))
            assert not conn.recv(9)
        selector.unregister(listener)


def drops_its_selector() -> None:
    with socket.create_server(("", 8888)) as listener:
        selectors.DefaultSelector().register(listener, EVENT_READ)
        with listener.accept()[0] as conn:
            conn.sendall(conn.recv(9))
            assert not conn.recv(9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "left"),
    [(no_block, "listener"), (closes_its_listener, "selector"), (drops_its_selector, "selector")],
)
def test_the_same_holds_for_listeners_and_selectors(server: Server, left: str) -> None:
    assert rule_of(server) == f"unclosed-at-exit {left}"
    assert rule_of(server, pedantic=False) is None


def test_a_server_that_is_interrupted_has_come_to_its_end_by_itself() -> None:
    def interrupted() -> str | None:
        try:
            with Scenario(pedantic=True, allow=ORDER) as net:
                net.client("alice").sends(b"hi").expects(b"hi").closes()
                net.interrupts()
                net.run(serve, "drops", loops=True)
        except ScenarioError as error:
            return f"{error.rule} {error.socket}"
        return None

    assert interrupted() == "unclosed-at-exit alice"


# -- leaked --


def dies_of_one_client() -> None:
    with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
        selector.register(listener, EVENT_READ)
        try:
            while True:
                for key, _ in selector.select():
                    if key.fileobj is listener:
                        selector.register(listener.accept()[0], EVENT_READ)
                    else:
                        assert isinstance(key.fileobj, socket.socket)
                        key.fileobj.recv(9).decode("ascii")
                        if not key.fileobj.recv(9):
                            selector.unregister(key.fileobj)
                            raise ValueError("left")
        except ValueError:
            pass


@pytest.mark.parametrize("data", [b"hi", b"\xff"])
def test_a_process_that_is_gone_has_leaked_nothing(data: bytes) -> None:
    with Scenario() as net:
        net.client("alice").sends(data).closes()
        net.run(dies_of_one_client)


def test_who_comes_after_that_is_told_that_the_server_has_returned() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[unmet-expectation\] bob .*the server returned"), Scenario() as net:
        net.client("alice").sends(b"\xff").closes()
        net.client("bob", delay=1).sends(b"hi").expects(b"hi")
        net.run(dies_of_one_client)


class Stops:
    """A server that keeps what it should close, and can be told to stop."""

    def __init__(self, *, closes: bool = False) -> None:
        self.going = True
        self.closes = closes
        self.kept: list[socket.socket] = []

    def run(self) -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
            selector.register(listener, EVENT_READ)
            while self.going:
                for key, _ in selector.select(0.5):
                    if key.fileobj is listener:
                        selector.register(listener.accept()[0], EVENT_READ)
                    elif isinstance(key.fileobj, socket.socket) and not key.fileobj.recv(9):
                        selector.unregister(key.fileobj)
                        self.kept.append(key.fileobj)
            if self.closes:
                for conn in self.kept:
                    conn.close()

    def stop(self) -> None:
        self.going = False


@pytest.mark.parametrize("drops", [False, True])
def test_what_it_had_leaked_when_it_was_asked_to_stop_is_said_of_a_server_that_then_returns(drops: bool) -> None:
    def server(stops: Stops) -> None:
        stops.run()
        if drops:
            stops.kept.clear()

    with pytest.raises(ScenarioError, match=r"\A\[leaked-connection\] alice"), Scenario() as net:
        net.client("alice").sends(b"x").closes()
        stops = Stops()
        net.on_end(stops.stop)
        net.run(server, stops)


def test_one_that_closes_them_when_it_stops_has_leaked_nothing() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"x").closes()
        stops = Stops(closes=True)
        net.on_end(stops.stop)
        net.run(stops.run)


@pytest.mark.parametrize("asks", [False, True])
def test_a_server_that_runs_on_leaks(asks: bool) -> None:
    with pytest.raises(ScenarioError, match=r"\A\[leaked-connection\] alice"), Scenario() as net:
        net.client("alice").sends(b"x").closes()
        if asks:
            net.interrupts()
        net.run(Stops().run)


# -- event lists --


def leaks(selector: selectors.BaseSelector, sock: socket.socket, *, returns: bool) -> None:
    selector.register(sock, EVENT_READ)
    while True:
        for _ in selector.select():
            if not sock.recv(9):
                selector.unregister(sock)
                if returns:
                    return


@pytest.mark.parametrize("returns", [False, True])
def test_in_a_list_a_server_that_returns_has_leaked_nothing_either(returns: bool) -> None:
    alice = MockSocket([b"x"], name="alice")

    def play() -> None:
        with MockSelector([alice, alice], strict=True) as selector:
            leaks(selector, alice, returns=returns)

    if returns:
        play()
    else:
        with pytest.raises(ScenarioError, match=r"\A\[leaked-connection\] alice"):
            play()


def test_a_test_that_drives_parts_of_a_server_is_no_process() -> None:
    def handle(selector: selectors.BaseSelector, sock: socket.socket) -> None:
        if not sock.recv(9):
            selector.unregister(sock)

    alice = MockSocket([b"x"], name="alice")
    with pytest.raises(ScenarioError, match=r"\A\[leaked-connection\] alice"):
        with MockSelector([alice, alice], strict=True) as selector:
            selector.register(alice, EVENT_READ)
            for _ in range(2):
                for key, _ in selector.select():
                    handle(selector, key.fileobj)  # type: ignore[arg-type]  # it is one


def test_a_list_whose_server_returns_says_what_it_left_open_on_request() -> None:
    alice = MockSocket([b"x"], name="alice")
    listener = ListenSocket([])
    with pytest.raises(ScenarioError, match=r"\A\[unclosed-at-exit\] .* alice open"):
        with MockSelector([alice, alice], strict=True, pedantic=True) as selector:
            leaks(selector, alice, returns=True)
    assert listener.fileno() > 0


class Transport:
    """Closes its socket when it is found to be garbage, as asyncio's do."""

    def __init__(self, conn: socket.socket, *, closes: bool) -> None:
        self.conn, self.closes, self.itself = conn, closes, self

    def __del__(self) -> None:
        if self.closes:
            self.conn.close()


@pytest.mark.parametrize("closes", [True, False])
def test_what_the_collector_finds_when_the_program_is_out_is_nothing_that_it_has_done(closes: bool) -> None:
    def serve() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
            selector.register(listener, EVENT_READ)
            while True:
                selector.select()
                Transport(listener.accept()[0], closes=closes)

    def trace(threshold: int) -> list[str]:
        before = gc.get_threshold()
        gc.set_threshold(threshold)
        try:
            with Scenario(allow=["accepted-not-registered", "unmet-expectation"]) as net:
                net.client().waits(2)
                net.client(delay=1).waits(2)
                net.interrupts(1.5)
                net.run(serve)
                number = len(net.trace)
                for _ in range(3):
                    _made = [[object()] for _ in range(5000)]
                assert len(net.trace) == number
        finally:
            gc.set_threshold(*before)
        return [str(event) for event in net.trace]

    assert trace(1) == trace(100_000)


def test_what_a_run_leaves_is_collected_between_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> weakref.ref[object]:
        with Scenario() as net:
            net.client("alice").closes()
            net.run(serve, "closes")
        return weakref.ref(net._world)

    thresholds = gc.get_threshold()
    gc.set_threshold(0)  # nobody else collects
    try:
        monkeypatch.setattr("mockselector._ending.garbage._took", 3600.0)  # nor is it due
        left = run()
        run()
        assert left() is not None, "it is no garbage, and shows nothing"
        monkeypatch.setattr("mockselector._ending.garbage._took", 0.0)
        run()
        assert left() is None
    finally:
        gc.set_threshold(*thresholds)

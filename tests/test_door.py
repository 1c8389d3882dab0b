"""The two tables are total, and what the door does is what they say: every cell is walked."""

from __future__ import annotations

import ast
import errno
import itertools
import re
import selectors
import socket
from pathlib import Path
from selectors import EVENT_READ
from typing import TYPE_CHECKING, get_args

import pytest

from mockselector import ListenSocket, MockSelector, MockSocket, Peer, Scenario, ScenarioError
from mockselector._judge import rules
from mockselector._judge.monitor import Monitor
from mockselector._judge.rules import LIFE, MEMBERSHIP, PHASES, RULES, Breach, NotSimulated
from mockselector._simulated.sockets import SimSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockselector import RuleId
    from mockselector._judge.rules import Membership, Operation, Phase, Registration
else:  # the names exist for type checkers only; here they are read back from the source
    from typing import Literal

    tree = ast.parse(Path(rules.__file__).read_text())
    literals = {
        node.targets[0].id: eval(ast.unparse(node.value), {"Literal": Literal})
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Literal[")
    }
    Operation, Phase = literals["Operation"], literals["Phase"]
    Membership, Registration = literals["Membership"], literals["Registration"]

CELLS: list[tuple[Phase, Operation]] = [(phase, operation) for phase in LIFE for operation in LIFE[phase]]


def test_the_life_table_has_every_phase_and_operation() -> None:
    assert set(LIFE) == set(PHASES) == set(get_args(Phase))
    for phase in LIFE:
        assert set(LIFE[phase]) == set(get_args(Operation)), phase


def test_the_membership_table_has_every_state_and_operation() -> None:
    assert set(MEMBERSHIP) == set(get_args(Membership))
    for state in MEMBERSHIP:
        assert set(MEMBERSHIP[state]) == set(get_args(Registration)), state


@pytest.mark.parametrize(("phase", "operation"), CELLS)
def test_the_door_does_what_the_cell_says(phase: Phase, operation: Operation) -> None:
    monitor = Monitor(None, pedantic=True)
    record = monitor.admit("alice", phase, 1, role="client")
    record.ever_registered = True
    cell = LIFE[phase][operation]
    if isinstance(cell, Breach):
        with pytest.raises(ScenarioError, match=rf"\[{cell.rule}\]"):
            monitor.perform(record, operation, "2 s" if operation.endswith(":waits") else None)
    elif isinstance(cell, NotSimulated):
        with pytest.raises(NotImplementedError, match="needs a network behind the socket"):
            monitor.perform(record, operation)
    elif isinstance(cell, int):
        with pytest.raises(OSError) as caught:
            monitor.perform(record, operation)
        if cell == errno.ETIMEDOUT:
            assert isinstance(caught.value, TimeoutError)
        else:
            assert caught.value.errno == cell
    else:
        monitor.perform(record, operation)
        assert record.phase == (cell or phase)
        return
    assert record.phase == phase, "a refused operation changes nothing"


@pytest.mark.parametrize(
    ("phase", "operation"),
    [(phase, operation) for phase, operation in CELLS if isinstance(LIFE[phase][operation], Breach)],
)
def test_a_rule_that_is_not_in_force_lets_the_operation_through(phase: Phase, operation: Operation) -> None:
    cell = LIFE[phase][operation]
    assert isinstance(cell, Breach)
    monitor = Monitor(None, allow=[cell.rule])
    record = monitor.admit("alice", phase, 1, role="client")
    monitor.perform(record, operation)
    assert (record.phase, monitor.violation) == (phase, None)


ALLOWED: tuple[RuleId, ...] = ("read-without-data", "read-past-eof", "accept-without-connection")
ON_A_NETWORK: tuple[Phase, ...] = ("connecting", "refused")


def connected() -> MockSocket:
    return MockSocket([b"hi"])


def at_phase(phase: Phase) -> tuple[MockSelector, MockSocket | ListenSocket]:
    """A strict run with a socket that came to a phase by calls as a server makes them."""
    selector = MockSelector([], strict=True, allow=ALLOWED)
    if phase in ("new", "bound", "listening"):
        listener = ListenSocket([connected()])
        selector.register(listener, EVENT_READ)
        if phase != "new":
            listener.bind(("", 8888))
        if phase == "listening":
            listener.listen()
        return selector, listener
    sock = MockSocket([ConnectionResetError()] if phase == "reset" else [])
    selector.register(sock, EVENT_READ)
    if phase in ("shut", "shut-eof"):
        sock.shutdown(socket.SHUT_WR)
    if phase in ("eof", "shut-eof"):
        sock.recv(1)
    if phase == "reset":
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    if phase == "broken":
        sock.send.side_effect = [BrokenPipeError()]
        with pytest.raises(BrokenPipeError):
            sock.send(b"x")
    if phase == "closed":
        sock.close()
    if phase == "detached":
        sock.detach()
    return selector, sock


def simulated_at(phase: Phase) -> tuple[Scenario, socket.socket]:
    """The same in a scenario."""
    net = Scenario(allow=ALLOWED)
    client = net.client("alice")
    with net.installed():
        sock = socket.socket()
        if phase in ("bound", "listening"):
            sock.bind(("localhost", 8888))
        if phase == "listening":
            sock.listen()
            net._world.poll(("select", "selector"))  # alice connects
        if phase in ON_A_NETWORK:
            net.backend(("db", 1), refuses=phase == "refused", delay=1)
            sock.setblocking(phase == "refused")
            assert sock.connect_ex(("db", 1)) == (errno.ECONNREFUSED if phase == "refused" else errno.EINPROGRESS)
        if phase in ("connected", "eof", "shut", "shut-eof", "broken", "reset", "closed", "detached"):
            sock = accepted_at(phase, client, net)
    return net, sock


def accepted_at(phase: Phase, client: Peer, net: Scenario) -> socket.socket:
    sock, _ = socket.create_server(("localhost", 8888)).accept()
    if phase in ("shut", "shut-eof"):
        sock.shutdown(socket.SHUT_WR)
    if phase in ("eof", "shut-eof"):
        client.shuts_down()
        assert sock.recv(1) == b""
    if phase == "reset":
        client.resets()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    if phase == "broken":
        client.resets()
        net._world.poll(("select", "selector"))
        with pytest.raises(ConnectionResetError):
            sock.send(b"x")
    if phase == "closed":
        sock.close()
    if phase == "detached":
        sock.detach()
    return sock


# What a server calls, and the operation that this is.
CALLS: dict[str, tuple[Operation, Callable[[socket.socket], object]]] = {
    "bind": ("bind", lambda sock: sock.bind(("", 1))),
    "listen": ("listen", lambda sock: sock.listen()),
    "connect": ("connect", lambda sock: sock.connect(("", 1))),
    "accept": ("accept", lambda sock: sock.accept()),
    "send": ("send", lambda sock: sock.send(b"x")),
    "sendall": ("send", lambda sock: sock.sendall(b"x")),
    "sendto": ("send", lambda sock: sock.sendto(b"x", ("", 1))),
    "sendmsg": ("send", lambda sock: sock.sendmsg([b"x", b"y"])),
    "shutdown for reading": ("shutdown:read", lambda sock: sock.shutdown(socket.SHUT_RD)),
    "shutdown for writing": ("shutdown:write", lambda sock: sock.shutdown(socket.SHUT_WR)),
    "getpeername": ("getpeername", lambda sock: sock.getpeername()),
    "getsockname": ("option", lambda sock: sock.getsockname()),
    "setblocking": ("option", lambda sock: sock.setblocking(False)),
    "settimeout": ("option", lambda sock: sock.settimeout(3)),
    "setsockopt": ("option", lambda sock: sock.setsockopt(1, 2, 3)),
    "getsockopt": ("option", lambda sock: sock.getsockopt(1, 2)),
    "get_inheritable": ("option", lambda sock: sock.get_inheritable()),
    "set_inheritable": ("option", lambda sock: sock.set_inheritable(False)),
    "detach": ("detach", lambda sock: sock.detach()),
    "close": ("close", lambda sock: sock.close()),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase not in ON_A_NETWORK])
def test_a_call_comes_to_what_the_table_says(phase: Phase, call: str) -> None:
    operation, make = CALLS[call]
    selector, sock = at_phase(phase)
    cell = LIFE[phase][operation]
    if isinstance(cell, int):
        with pytest.raises(OSError) as caught:
            make(sock)
        assert caught.value.errno == cell
    elif isinstance(cell, NotSimulated):
        with pytest.raises(NotImplementedError):
            make(sock)
    else:
        make(sock)
        record = sock._record
        assert record is not None
        assert record.phase == (cell or phase) if isinstance(cell, str | None) else True
    selector._settled = True  # what is left over is not the subject


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("phase", PHASES)
def test_a_call_in_a_scenario_comes_to_what_the_table_says(phase: Phase, call: str) -> None:
    operation, make = CALLS[call]
    net, sock = simulated_at(phase)
    cell = LIFE[phase][operation]
    with net.installed():
        if isinstance(cell, int):
            with pytest.raises(OSError) as caught:
                make(sock)
            assert caught.value.errno == cell
        elif isinstance(cell, NotSimulated):
            with pytest.raises(ScenarioError, match=r"\[unscripted-connection\]"):
                make(sock)
        else:
            make(sock)
            assert isinstance(sock, SimSocket)
            assert sock._record.phase == (cell or phase)
    net._run.settled = True


READS: list[Callable[[socket.socket], object]] = [
    lambda sock: sock.recv(9),
    lambda sock: sock.recv_into(bytearray(9)),
    lambda sock: sock.recvfrom(9)[0],
    lambda sock: sock.recvfrom_into(bytearray(9))[0],
    lambda sock: sock.recvmsg(9)[0],
    lambda sock: sock.recvmsg_into([bytearray(4), bytearray(5)])[0],
]


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase not in ON_A_NETWORK])
@pytest.mark.parametrize("read", READS)
def test_every_way_to_read_is_refused_where_the_table_refuses_it(
    phase: Phase, read: Callable[[socket.socket], object]
) -> None:
    selector, sock = at_phase(phase)
    check_read(phase, sock, read)
    selector._settled = True


@pytest.mark.slow
@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase != "connected"])
@pytest.mark.parametrize("read", READS)
def test_every_way_to_read_in_a_scenario_is_refused_where_the_table_refuses_it(
    phase: Phase, read: Callable[[socket.socket], object]
) -> None:
    net, sock = simulated_at(phase)
    sock.setblocking(False) if sock.fileno() >= 0 else None
    check_read(phase, sock, read)
    net._run.settled = True


def check_read(phase: Phase, sock: socket.socket, read: Callable[[socket.socket], object]) -> None:
    cell = LIFE[phase]["recv"]
    if phase == "broken":
        assert not read(sock), "the end"
    elif phase == "shut":
        cell = errno.EAGAIN if isinstance(sock, SimSocket) else None  # nothing is there
    if isinstance(cell, int):
        with pytest.raises(OSError) as caught:
            read(sock)
        assert caught.value.errno == cell
    elif isinstance(cell, Breach):
        assert not read(sock), "allowed, and at its end"


def normal(error: BaseException) -> str:
    return f"{type(error).__name__}: {re.sub(r'<.*>|[0-9]+', '#', str(error.args[0]))}"


@pytest.mark.parametrize("operation", ["register", "modify", "unregister", "get_key", "select"])
@pytest.mark.parametrize("state", MEMBERSHIP)
def test_registration_is_what_the_table_and_the_standard_library_say(
    state: Membership, operation: Registration
) -> None:
    def outcome(selector: selectors.BaseSelector, sock: socket.socket) -> str:
        if state == "member":
            selector.register(sock, EVENT_READ)
        if state == "closed":
            selector.close()
        try:
            match operation:
                case "register":
                    selector.register(sock, EVENT_READ)
                case "modify":
                    selector.modify(sock, EVENT_READ, "data")
                case "select":
                    selector.select(0)
                case _:
                    getattr(selector, operation)(sock)
        except (KeyError, ValueError, RuntimeError) as error:
            return normal(error)
        return "done"

    ours = MockSelector([[]], strict=True)
    mine = outcome(ours, MockSocket())
    ours._settled = True
    real, other = socket.socketpair()
    default = selectors.DefaultSelector()
    with real, other, default:
        assert mine == outcome(default, real)
    cell = MEMBERSHIP[state][operation]
    assert mine.split(":")[0] == (cell.__name__ if isinstance(cell, type) else "done")


PACKAGE = Path(rules.__file__).parents[1]


def judged_in(path: Path) -> set[str]:
    """The rules about which there is a finding, or what a finding is made of, in a file."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        values: list[ast.expr] = []
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Finding", "InUse", "self._if_in_force"):
            values = node.args[:1]
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            values = node.value.elts[:1]
        found |= {str(one.value) for one in values if isinstance(one, ast.Constant) and one.value in RULES}
    return found


def test_the_table_names_the_places_where_each_rule_is_judged() -> None:
    places: dict[str, set[str]] = {rule: set() for rule in RULES}
    for table, cells in (("LIFE", LIFE.values()), ("MEMBERSHIP", MEMBERSHIP.values())):
        for cell in (cell for row in cells for cell in row.values()):
            if isinstance(cell, Breach):
                places[cell.rule].add(table)
    for phase in LIFE:
        for accepted, registered, interest in itertools.product((True, False), (True, False), (0, 1)):
            broken = rules.at_sleep(phase, accepted=accepted, ever_registered=registered, interest=interest)
            if broken is not None:
                places[broken].add("at_sleep")
    for path in PACKAGE.rglob("*.py"):
        for rule in judged_in(path):
            places[rule].add(path.relative_to(PACKAGE).with_suffix("").as_posix())
    assert places == {rule: set(there) for rule, there in rules.JUDGED.items()}


def functions(named: Callable[[ast.AST], bool]) -> set[str]:
    """The functions of the package in which there is such a node."""
    return {
        f"{path.relative_to(PACKAGE).with_suffix('').as_posix()}: {one.name}"
        for path in PACKAGE.rglob("*.py")
        for one in ast.walk(ast.parse(path.read_text()))
        if isinstance(one, ast.FunctionDef) and any(map(named, ast.walk(one)))
    }


@pytest.mark.shared
@pytest.mark.slow
def test_a_phase_moves_by_the_door_alone() -> None:
    def moves(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr == "phase" and isinstance(node.ctx, ast.Store)

    assert functions(moves) == {"_judge/monitor: becomes", "_judge/records: __init__"}


@pytest.mark.shared
@pytest.mark.slow
def test_rows_are_written_by_the_door_and_where_a_call_is_the_plainest_alone() -> None:
    def writes(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "note"

    assert functions(writes) == {
        "_judge/monitor: append",
        "_lists/selector: select", "_lists/mock_socket: recv", "_lists/mock_socket: send",
        "_simulated/selectors: select", "_simulated/reading: recv", "_simulated/writing: _sends_plainly",
    }  # fmt: skip


def rows_of(net: Scenario, *, plainly: bool) -> list[tuple[object, ...]]:
    """What a server's calls leave in the trace where they are as plain as can be, or go the whole way."""

    def serve() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", 1)) as listener:
            selector.register(listener, selectors.EVENT_READ)
            for _ in range(3):
                for key, _ in selector.select():
                    if key.fileobj is listener:
                        sock, _ = listener.accept()
                        selector.register(sock, selectors.EVENT_READ)
                    elif isinstance(key.fileobj, socket.socket):
                        data = key.fileobj.recv(100)
                        key.fileobj.send(data)
                        key.fileobj.sendall(data)

    net.client("alice").sends(b"hi").sends(b"x" * 50).expects(b"hihi" + b"x" * 100)
    net._world.choices.decide = None if plainly else lambda many, label: 0
    net.run(serve)
    return [(one.operation, one.socket, one.detail, one.time, one.place) for one in net.trace]


def test_the_plainest_calls_leave_the_rows_of_the_whole_way() -> None:
    plain, whole = Scenario(), Scenario()
    assert rows_of(plain, plainly=True) == rows_of(whole, plainly=False)
    assert {row[0] for row in rows_of(Scenario(), plainly=True)} >= {"recv", "send", "select"}

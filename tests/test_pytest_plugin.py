"""What pytest does with the plugin: each claim is about a small suite that was run in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

import mockselector
from measured import PYTHON

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.slow, pytest.mark.shared]

PLUGIN: Final = "mockselector._testing.plugin"
BLOCKED: Final = (
    "cacheprovider",
    "asyncio",
    "anyio",
    "randomly",
    "xdist",
    "timeout",
    "cov",
    "hypothesispytest",
    "time_machine",
)
"""Other plugins, which take no part unless a test says so. (That of hypothesis takes two thirds of a short session.)"""

SERVER: Final = '''
import selectors, socket, socketserver, threading, time
import pytest

class Upper(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())

def serving():
    server = socketserver.ThreadingTCPServer(("localhost", 0), Upper)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    return server, thread

def stop(server, thread):
    server.shutdown()
    thread.join()
    server.server_close()

@pytest.fixture
def server():
    server, thread = serving()
    yield server
    stop(server, thread)

@pytest.fixture(scope="module")
def shared():
    server, thread = serving()
    yield server
    stop(server, thread)

def ask(server, waits=0):
    with socket.create_connection(server.server_address) as conn:
        conn.sendall(b"hi\\n")
        assert conn.recv(10) == b"HI\\n"
        time.sleep(waits)

def echo(port):
    """For one client."""
    with socket.create_server(("", port)) as listener:
        conn, _ = listener.accept()
        with conn:
            while data := conn.recv(100):
                conn.sendall(data)

def forgets(port):
    """To unregister."""
    selector = selectors.DefaultSelector()
    with socket.create_server(("", port)) as listener:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    conn, _ = listener.accept()
                    selector.register(conn, selectors.EVENT_READ)
                elif not key.fileobj.recv(100):
                    key.fileobj.close()
'''


class Ran(NamedTuple):
    """A session of pytest."""

    status: int
    text: str
    by_name: Mapping[str, str]

    def says(self, *texts: str) -> bool:
        """Whether each of these was printed."""
        return all(text in self.text for text in texts)

    @property
    def saved(self) -> int:
        """Seconds that were virtual, less those that the tests have really taken."""
        told = re.search(r"^([\d,]+) s of waiting were virtual", self.text, re.MULTILINE)
        return int(told[1].replace(",", "")) if told else 0


def run(
    folder: Path, suite: str, *arguments: str, ini: str = "", beside: tuple[str, ...] = (), name: str = "test_it"
) -> Ran:
    """Run pytest for a suite. beside: other plugins that take part."""
    folder.mkdir(exist_ok=True)
    (folder / "served.py").write_text(SERVER)
    (folder / f"{name}.py").write_text(f"import pytest\nfrom served import *\n{suite}")
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = .\n{ini}\n")
    given = any(one.name == "mockselector" for one in entry_points(group="pytest11"))
    blocked = [word for one in BLOCKED if one not in beside for word in ("-p", f"no:{one}")]
    loaded = [] if given else ["-p", PLUGIN]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV"))}
    environment["COLUMNS"] = "200"
    python = [sys.executable] if "cov" in beside else PYTHON
    environment["PYTHONPATH"] = str(Path(mockselector.__file__).parent.parent)
    shown = ["-rfEs", "--color=no", "--junitxml=junit.xml"]
    done = subprocess.run(
        [*python, "-m", "pytest", *shown, *blocked, *loaded, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    by_name: dict[str, str] = {}
    for case in ElementTree.parse(folder / "junit.xml").iter("testcase") if (folder / "junit.xml").exists() else ():
        told = [one.tag for one in case if one.tag in ("failure", "error", "skipped")]
        assert len(told) < 2, told  # what is told twice is a failure of ours
        by_name[case.get("name", "")] = told[0] if told else "passed"
    return Ran(done.returncode, done.stdout + done.stderr, by_name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("suites")


# -- the fixture net -------------------------------------------------------------------------------

NET: Final = """
def test_right(net):
    net.client("alice").sends(b"x").expects(b"x").closes()
    net.run(echo, 80)

def test_wrong(net):
    net.client("alice").sends(b"x").expects(b"y").closes()
    net.run(echo, 80)

def test_left(net):
    net.client("alice").sends(b"x")

def test_its_own(net):
    net.client("alice").sends(b"x").expects(b"y").closes()
    net.client("bob").sends(b"never")
    assert 1 == 2

@pytest.mark.mockselector(allow={"closed-still-registered"})
def test_allowed(net):
    net.client("alice").closes()
    net.run(forgets, 80)

@pytest.mark.mockselector(patience=10)
class TestAll:
    @pytest.mark.mockselector(grace=5)
    def test_both(self, net):
        assert (net._world.patience, net._world.grace) == (10 * 10**9, 5 * 10**9)

@pytest.fixture
def alice(net):
    yield net.client("alice").sends(b"x").expects(b"x").closes()

def test_a_fixture_adds_to_it(alice, net):
    net.run(echo, 80)
    assert alice.received == b"x"
"""


@pytest.fixture(scope="module")
def net_suite(folder: Path) -> Ran:
    return run(folder / "net", NET)


NET_OUTCOMES: Final = {
    "test_right": "passed", "test_wrong": "failure", "test_left": "error", "test_its_own": "failure",
    "test_allowed": "passed", "test_both": "passed", "test_a_fixture_adds_to_it": "passed",
}  # fmt: skip


def test_a_test_has_a_strict_scenario_that_is_judged_at_its_end(net_suite: Ran) -> None:
    assert net_suite.by_name == NET_OUTCOMES
    assert net_suite.says("[unmet-expectation] alice was never connected", "ERROR test_it.py::test_left")


def test_one_that_has_failed_is_told_once_with_what_its_scenario_shows(net_suite: Ran) -> None:
    _, *told = re.split(r"^_+ (\w+) _+$", net_suite.text.partition("= short test")[0], flags=re.MULTILINE)
    failures = dict(zip(told[::2], told[1::2], strict=True))
    assert told.count("test_its_own") == 1
    assert "assert 1 == 2" in failures["test_its_own"]
    assert "[unmet-expectation]" not in failures["test_its_own"]
    assert "mockselector: trace" in failures["test_wrong"]
    for section in ("mockselector: conversations", "mockselector: sockets"):
        assert section in failures["test_its_own"]


def test_what_does_not_come_to_its_end_is_not_judged(folder: Path) -> None:
    suite = """
@pytest.fixture
def scripted(net):
    net.client("alice").expects(b"what never comes")

def test_skips(scripted):
    pytest.skip("not now")

def test_is_expected_to_fail(scripted):
    pytest.xfail("not yet")

@pytest.mark.xfail
def test_fails_as_expected(scripted):
    assert 0
"""
    assert set(run(folder / "early", suite).by_name.values()) == {"skipped"}


def test_defaults_stand_in_the_ini_file(folder: Path) -> None:
    suite = """
def test_it(net):
    monitor = net._world.monitor
    assert monitor.pedantic and monitor.allow == {"unread-data", "busy-loop"}
    assert net._world.patience == 7 * 10**9 and net._world.buffer == 100

@pytest.mark.mockselector(pedantic=False)
def test_a_marker_is_nearer(net):
    assert not net._world.monitor.pedantic
"""
    ini = """
mockselector_allow = unread-data busy-loop
mockselector_pedantic = true
mockselector_patience = 7
mockselector_buffer = 100
mockselector_watchdog = none
"""
    assert set(run(folder / "ini", suite, ini=ini).by_name.values()) == {"passed"}


@pytest.mark.parametrize(
    ("suite", "ini", "says"),
    [
        ("@pytest.mark.mockselector(patients=1)\ndef test_it(): ...", "", "has no option 'patients'; it takes allow,"),
        ("@pytest.mark.mockselector({'unread-data'})\ndef test_it(): ...", "", "options by name, as in allow="),
        (
            "@pytest.mark.mockselector(simulate='yes')\ndef test_it(): ...",
            "",
            "takes simulate=True, False or 'observe'; got",
        ),
        (
            "def test_it(net): ...",
            "mockselector_patience = long",
            "mockselector_patience in the ini file takes a number; got 'long'",
        ),
        (
            "@pytest.mark.mockselector(allow={'unread-dat'})\ndef test_it(): ...",
            "",
            "its scenario cannot be made: allow= got",
        ),
        (
            "def test_it(): ...",
            "mockselector_simulate = true\nmockselector_allow = unread-dat",
            "its scenario cannot be made: allow= got",
        ),
        ("def test_it(): ...", "mockselector_simulate = nowhere", "names nowhere, which does not exist"),
        ("def test_it(): ...", "mockselector_simulate = . : perhaps", "takes lines like `true`, `observe`"),
    ],
)
def test_what_is_wrong_is_said_by_name(folder: Path, suite: str, ini: str, says: str) -> None:
    ran = run(folder / "wrong", suite, ini=ini)
    assert ran.status in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.TESTS_FAILED)
    assert says in ran.text
    assert "INTERNALERROR" not in ran.text


def test_an_interrupted_test_shows_its_scenario(folder: Path) -> None:
    suite = """
def test_it(net):
    def main():
        echo(80)
        raise KeyboardInterrupt
    net.client("alice").sends(b"x").expects(b"x").closes()
    net.client("bob", delay=1).expects(b"what never comes")
    net.run(main)
"""
    ran = run(folder / "interrupt", suite)
    assert ran.status == pytest.ExitCode.INTERRUPTED
    assert "Traceback" not in ran.text
    assert ran.says("mockselector: trace", "alice.recv() -> b'x'", "alice expects b'x'")


# -- whole tests in a scenario ---------------------------------------------------------------------

SIMULATED: Final = """
import asyncio, unittest, mockselector

def test_right(server):
    ask(server, waits=1000)

def test_shared_1(shared):
    ask(shared)

def test_shared_2(shared):
    ask(shared)

def test_its_own_failure(server):
    ask(server)
    assert 1 == 2

def test_a_thread_dies():
    threading.Thread(target=lambda: {}["key"]).start()

def test_nothing_goes_on():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

def test_leaves_a_socket_registered():
    thread = threading.Thread(target=forgets, args=(80,), daemon=True)
    thread.start()
    time.sleep(1)
    socket.create_connection(("localhost", 80)).close()
    time.sleep(1)

def test_refused():
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("localhost", 9))

def test_elsewhere():
    socket.create_connection(("192.0.2.1", 80))

def test_by_name():
    socket.create_connection(("example.com", 80))

def test_no_such_name():
    with pytest.raises(socket.gaierror):
        socket.create_connection(("nosuch.invalid", 80))

def test_udp_is_swallowed():
    try:
        socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("localhost", 9))
    except Exception:
        pass

@pytest.mark.xfail
def test_is_expected_to_find():
    threading.Thread(target=lambda: {}["key"]).start()

@pytest.mark.skip(reason="not now")
def test_skips_itself():
    pass

def test_asyncio():
    async def main():
        await asyncio.sleep(1_000)
    asyncio.run(main())

def test_enters_its_own():
    async def main():
        async with mockselector.Scenario():
            pass
    asyncio.run(main())

@pytest.mark.mockselector(simulate=False)
def test_is_left_alone():
    assert type(socket.socket()).__module__ == "socket"

class TestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server, cls.thread = serving()

    @classmethod
    def tearDownClass(cls):
        stop(cls.server, cls.thread)

    def setUp(self):
        self.conn = socket.create_connection(self.server.server_address)
        self.addCleanup(self.conn.close)

    def test_a(self):
        self.conn.sendall(b"a\\n")
        self.assertEqual(self.conn.recv(10), b"A\\n")

    def test_b(self):
        self.conn.sendall(b"a\\n")
        self.assertEqual(self.conn.recv(10), b"B\\n")

    def test_c(self):
        self.conn.sendall(b"a\\n")
        self.assertEqual(self.conn.recv(10), b"A\\n")
"""

RIGHT: Final = {
    "test_right": "passed", "test_shared_1": "passed", "test_shared_2": "passed", "test_its_own_failure": "failure",
    "test_refused": "passed", "test_no_such_name": "passed", "test_asyncio": "passed", "test_is_left_alone": "passed",
    "test_a": "passed", "test_b": "failure", "test_c": "passed", "test_nothing_goes_on": "failure",
    "test_elsewhere": "skipped", "test_by_name": "skipped", "test_udp_is_swallowed": "skipped",
    "test_skips_itself": "skipped", "test_enters_its_own": "skipped",
}  # fmt: skip


@pytest.fixture(scope="module")
def simulated(folder: Path) -> Ran:
    return run(folder / "simulated", SIMULATED, "--mockselector-simulate", "test_it.py")


@pytest.fixture(scope="module")
def observed(folder: Path) -> Ran:
    return run(folder / "observed", SIMULATED, "--mockselector-simulate=observe", "test_it.py")


def test_whole_tests_run_in_a_scenario(simulated: Ran) -> None:
    found = {
        "test_a_thread_dies": "failure", "test_leaves_a_socket_registered": "failure",
        "test_is_expected_to_find": "skipped",
    }  # fmt: skip
    assert simulated.by_name == {**RIGHT, **found}
    assert 1900 < simulated.saved


def test_what_is_found_says_which_rule_and_line(simulated: Ran) -> None:
    assert simulated.says(
        "FAILED test_it.py::test_leaves_a_socket_registered - mockselector.ScenarioError: [closed-still-",
        "FAILED test_it.py::test_nothing_goes_on - mockselector.ScenarioError: [deadlock]",
        "(<lambda>) has died of KeyError",
        "in <lambda>  threading.Thread(target=lambda: {}[",
    )


def test_what_cannot_be_simulated_is_skipped_and_says_why(simulated: Ran) -> None:
    for reason in (
        "('192.0.2.1', 80), which is no part of the test, would need a real network",
        "the address of 'example.com', which is no part of the test, would need a real network",
        "not simulated: sendto() is called on a UDP socket",
        "the test enters a scenario of its own by `async with`, and runs in one already",
    ):
        assert re.search(rf"^SKIPPED \[1\] test_it.py:\d+: .*{re.escape(reason)}", simulated.text, re.MULTILINE)


def test_observed_it_is_told_and_fails_nothing_that_can_go_on(observed: Ran) -> None:
    found = {
        "test_a_thread_dies": "passed", "test_leaves_a_socket_registered": "passed",
        "test_is_expected_to_find": "passed",
    }  # fmt: skip
    assert observed.by_name == {**RIGHT, **found}
    told = observed.text.partition("= mockselector =")[2].splitlines()
    assert any(
        re.match(r"unhandled-exception +test_it.py::test_a_thread_dies +test_it.py:\d+ +thread", one) for one in told
    )
    assert any(
        re.match(r"closed-still-registered +test_it.py::test_leaves_a_socket_registered +served.py:\d+ ", one)
        for one in told
    )


def test_a_path_after_the_option_is_a_path(simulated: Ran, observed: Ran) -> None:
    assert simulated.status == observed.status == pytest.ExitCode.TESTS_FAILED


def test_tests_of_a_fixture_whose_scenario_is_over_are_skipped(folder: Path) -> None:
    suite = """
def test_1(shared):
    ask(shared)

def test_2(shared):
    threading.Thread(target=lambda: {}["key"]).start()

def test_3(shared):
    ask(shared)

def test_4():
    pass
"""
    ran = run(folder / "over", suite, "--mockselector-simulate")
    assert ran.by_name == {"test_1": "passed", "test_2": "failure", "test_3": "skipped", "test_4": "passed"}
    assert ran.says(
        "its fixture 'shared' (module) was made in the scenario of earlier tests",
        "end by what was found in test_it.py::test_2",
    )


def test_what_was_there_before_the_tests_is_no_part_of_them(folder: Path) -> None:
    suite = """
server, thread = serving()
LISTENER = socket.create_server(("localhost", 0))

def test_asks_a_real_server():
    ask(server)

def test_has_a_real_listener():
    LISTENER.accept()

def test_ends():
    pass

@pytest.mark.mockselector(simulate=False)
def test_for_real():
    stop(server, thread)
"""
    ran = run(folder / "before", suite, "--mockselector-simulate")
    assert ran.by_name == {
        "test_asks_a_real_server": "skipped", "test_has_a_real_listener": "skipped", "test_ends": "passed",
        "test_for_real": "passed",
    }  # fmt: skip
    assert ran.says("is for a real server that was started before the test", "accept() is called on a real socket")


def test_folders_of_the_ini_file_are_simulated(folder: Path) -> None:
    (folder / "folders" / "net").mkdir(parents=True)
    (folder / "folders" / "net" / "test_there.py").write_text(
        "from served import *\ndef test_there(): time.sleep(500)\n"
    )
    suite = "def test_here():\n    assert type(socket.socket()).__module__ == 'socket'\n"
    ran = run(folder / "folders", suite, ini="mockselector_simulate =\n    net: observe\n")
    assert ran.by_name == {"test_here": "passed", "test_there": "passed"}


@pytest.mark.parametrize("how", ["true", "observe"])
def test_the_ini_file_may_simulate_all_of_them(folder: Path, how: str) -> None:
    suite = """
def test_here():
    time.sleep(500)

@pytest.mark.mockselector(simulate=False)
def test_for_real():
    with socket.socket() as sock:
        assert type(sock).__module__ == "socket"
"""
    ran = run(folder / how, suite, ini=f"mockselector_simulate = {how}")
    assert ran.by_name == {"test_here": "passed", "test_for_real": "passed"}
    assert 490 < ran.saved <= 500


def test_a_marker_simulates_one_test(folder: Path) -> None:
    suite = "@pytest.mark.mockselector(simulate='observe')\ndef test_here():\n    time.sleep(500)\n"
    assert run(folder / "marker", suite).by_name == {"test_here": "passed"}


def test_a_test_with_its_own_scenario_keeps_it(folder: Path) -> None:
    suite = """
from mockselector import Scenario

def test_fixture(net):
    net.client("alice").sends(b"x").expects(b"x").closes()
    net.run(echo, 80)

def test_block():
    with Scenario() as net:
        net.client("alice").sends(b"x").expects(b"x").closes()
        net.run(echo, 80)
"""
    assert run(folder / "own", suite, "--mockselector-simulate").by_name == {
        "test_fixture": "passed",
        "test_block": "passed",
    }


def test_the_same_suite_gives_the_same_trace(folder: Path) -> None:
    suite = SIMULATED.replace(
        "def test_a_thread_dies", "def test_fails(server):\n    ask(server)\n    assert 0\n\ndef test_a_thread_dies"
    )
    texts = [run(folder / "same", suite, "--mockselector-simulate", "-k", "test_fails").text for _ in range(2)]
    first, second = (text.partition("mockselector: trace")[2].partition("=====")[0] for text in texts)
    assert first == second != ""


def test_options_of_pytest_go_with_it(folder: Path) -> None:
    suite = """
def test_prints(capsys, tmp_path, monkeypatch, caplog):
    import logging
    print("said")
    assert capsys.readouterr().out == "said\\n"
    monkeypatch.chdir(tmp_path)
    logging.getLogger().warning("told")
    assert caplog.messages == ["told"]
    time.sleep(60)

@pytest.mark.parametrize("number", [1, 2])
def test_numbers(number):
    assert number

def test_stops_here():
    threading.Thread(target=lambda: {}["key"]).start()

def test_is_not_reached():
    pass
"""
    ran = run(folder / "options", suite, "--mockselector-simulate", "-x", "-s", "--durations=3", "--setup-show", "-vv")
    assert ran.by_name == {
        "test_prints": "passed", "test_numbers[1]": "passed", "test_numbers[2]": "passed", "test_stops_here": "failure",
    }  # fmt: skip
    assert ran.says("stopping after 1 failures", "SETUP    F tmp_path")


def test_what_a_failed_test_shows_is_its_own_part_of_a_shared_scenario(folder: Path) -> None:
    suite = """
def test_1(shared):
    socket.create_connection(shared.server_address).close()
    assert 0

@pytest.mark.parametrize("number", range(20))
def test_2(shared, number):
    ask(shared)
"""
    ran = run(folder / "part", suite, "--mockselector-simulate")
    shown = ran.text.partition("mockselector: trace")[2].partition("======")[0]
    assert "connection.connect" in shown
    assert "b'hi" not in shown


def test_a_thread_that_dies_is_told_once_and_no_end(simulated: Ran) -> None:
    assert "EndException" not in simulated.text
    failures = simulated.text.partition("= warnings summary =")[0]
    assert failures.count("(<lambda>) has died of KeyError: 'key', and only") == 1


# -- strict lists of events --------------------------------------------------------------------------

LISTS: Final = """
from selectors import EVENT_READ
from unittest.mock import patch
from mockselector import ListenSocket, MockSelector, MockSocket

def play(*events):
    selector = MockSelector(events)
    selector.register(events[0], EVENT_READ)
    return selector

def test_right():
    alice = MockSocket([b"hi"])
    selector = play(alice)
    selector.select()
    alice.recv(10)

def test_leaves_data():
    selector = play(MockSocket([b"hi"]))
    selector.select()

def test_leaves_data_in_what_lives_on():
    global kept
    kept = play(MockSocket([b"hi"]))
    kept.select()

def test_fails_by_itself():
    selector = play(MockSocket([b"hi"]))
    selector.select()
    assert 1 == 2

def test_sees_it_itself():
    selector = play(MockSocket([b"hi"]))
    selector.select()
    with pytest.raises(AssertionError):
        selector.verify()

def test_is_lenient():
    selector = MockSelector([], strict=False)
"""


def test_what_a_test_leaves_of_lists_is_judged_at_its_end(folder: Path) -> None:
    ran = run(folder / "lists", LISTS, "--mockselector-strict")
    assert ran.by_name == {
        "test_right": "passed", "test_leaves_data": "error", "test_leaves_data_in_what_lives_on": "error",
        "test_fails_by_itself": "failure", "test_sees_it_itself": "passed", "test_is_lenient": "passed",
    }  # fmt: skip
    assert ran.says("[unread-data]")


def test_without_the_option_lists_are_lenient(folder: Path) -> None:
    ran = run(folder / "lenient", LISTS, "-k", "not itself")
    assert set(ran.by_name.values()) == {"passed"}


# -- beside others -----------------------------------------------------------------------------------


def has(*modules: str) -> pytest.MarkDecorator:
    missing = [one for one in modules if importlib.util.find_spec(one) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{missing} not installed")


@has("xdist")
@pytest.mark.parametrize("mode", ["--mockselector-simulate", "--mockselector-simulate=observe"])
def test_beside_xdist(folder: Path, mode: str, simulated: Ran, observed: Ran) -> None:
    ran = run(folder / f"xdist{'=' in mode}", SIMULATED, mode, "-n", "2", "--dist", "loadfile", beside=("xdist",))
    alone = observed if "=" in mode else simulated
    shares = ("test_shared_2", "test_b", "test_c")  # what shares a fixture of a wider scope is skipped
    assert {name: what for name, what in ran.by_name.items() if name not in shares} == {
        name: what for name, what in alone.by_name.items() if name not in shares
    }
    assert ("closed-still-registered  test_it.py::" in ran.text) == ("=" in mode)


@has("pytest_randomly", "pytest_timeout", "pytest_cov")
def test_beside_randomly_timeout_and_cov(folder: Path, simulated: Ran) -> None:
    arguments = ("--mockselector-simulate", "--timeout=100", "--cov=served")
    ran = run(folder / "beside", SIMULATED, *arguments, beside=("randomly", "timeout", "cov"))
    shares = {"test_shared_1", "test_shared_2", "test_a", "test_b", "test_c"}  # skipped in some orders
    assert {*ran.by_name.items()} >= {(name, what) for name, what in simulated.by_name.items() if name not in shares}
    assert re.search(r"served.py +\d+ +\d+ +\d\d%", ran.text)


@has("pytest_timeout")
def test_a_timeout_shows_the_scenario(folder: Path) -> None:
    suite = """
@pytest.mark.mockselector(watchdog=None)
def test_it(net):
    def main():
        echo(80)
        while True:
            pass
    net.client("alice").sends(b"x").expects(b"x").closes()
    net.run(main)
"""
    ran = run(folder / "timeout", suite, "--timeout=1", beside=("timeout",))
    assert ran.by_name == {"test_it": "failure"}
    assert ran.says("Timeout", "mockselector: trace", "alice.recv() -> b'x'")


@has("pytest_timeout")
def test_a_timeout_ends_a_simulated_test(folder: Path) -> None:
    suite = """
@pytest.mark.mockselector(watchdog=None)
def test_spins(tmp_path):
    thread = threading.Thread(target=echo, args=(80,), daemon=True)
    thread.start()
    time.sleep(1)
    while True:
        pass

def test_next():
    time.sleep(1)
"""
    ran = run(folder / "spins", suite, "--mockselector-simulate", "--timeout=1", beside=("timeout",))
    assert ran.by_name == {"test_spins": "failure", "test_next": "passed"}
    assert ran.says("Timeout", "mockselector: trace", "listener.listen()")


def test_a_test_that_waits_for_something_real_is_ended_and_the_next_one_runs(folder: Path) -> None:
    suite = """
import os

@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)

@pytest.mark.mockselector(watchdog=1)
def test_reads_a_pipe(pipe):
    threading.Thread(target=lambda: (time.sleep(1), os.write(pipe[1], b"x"))).start()
    assert os.read(pipe[0], 1) == b"x"

def test_next(tmp_path):
    time.sleep(1)
"""
    ran = run(folder / "pipe", suite, "--mockselector-simulate")
    assert ran.by_name == {"test_reads_a_pipe": "failure", "test_next": "passed"}
    assert ran.says("MainThread has called nothing of its scenario for 1 s of real time, and is at test_it.py:")


@has("pytest_asyncio")
def test_beside_pytest_asyncio(folder: Path) -> None:
    suite = """
import asyncio

async def answers(reader, writer):
    writer.write(await reader.readline())
    writer.close()

@pytest.mark.asyncio
async def test_it():
    server = await asyncio.start_server(answers, "localhost", 8888)
    reader, writer = await asyncio.open_connection("localhost", 8888)
    writer.write(b"hi\\n")
    assert await reader.readline() == b"hi\\n"
    writer.close()
    server.close()
    await asyncio.sleep(1_000)
"""
    ran = run(folder / "asyncio", suite, "--mockselector-simulate", beside=("asyncio",))
    assert ran.by_name == {"test_it": "passed"}
    assert 900 < ran.saved <= 1000


@has("anyio")
def test_beside_anyio(folder: Path) -> None:
    suite = """
import anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_it():
    await anyio.sleep(1_000)
"""
    ran = run(folder / "anyio", suite, "--mockselector-simulate", beside=("anyio",))
    assert ran.by_name == {"test_it": "passed"}
    assert 900 < ran.saved <= 1000

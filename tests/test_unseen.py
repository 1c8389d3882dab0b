"""What a strict list has left over, and no test has asked for, reaches its author: once, under any runner."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from measured import PYTHON

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.shared]

IMPORTS = """
from selectors import EVENT_READ
from unittest.mock import patch
import gc, sys, threading, unittest
from mockselector import ListenSocket, MockSelector, MockSocket, ScenarioError
gc.disable()

def play(selector, alice, reads=1):
    selector.register(alice, EVENT_READ)
    for _ in range(reads):
        selector.select()
        alice.recv(9)
    selector.unregister(alice)
    alice.close()

def script(*events):
    alice = MockSocket([b"x", b"left over"], name="alice")
    return MockSelector([alice, *[alice] * len(events)], strict=True), alice

def case():
    selector, alice = script()
    play(selector, alice)
    return selector
"""


def run(folder: Path, code: str, *how: str) -> str:
    """All that a process writes which runs `code`, as the file case.py."""
    file = folder / "case.py"
    file.write_text(IMPORTS + textwrap.dedent(code))
    python = [sys.executable] if "-W" in how else PYTHON  # an option of the interpreter cannot be handed on
    command = [*python, *(how or ("case.py",))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout + done.stderr


FOUND = "[unread-data] alice was not read to the end of its script: b'left over' is left"

SCRIPTS = {
    "dropped": "case()",
    "kept in a global": "kept = case()",
    "kept by a cycle": "selector = case(); selector.me = selector; del selector",
    "held by a mock": """
        selector, alice = script()
        with patch("selectors.DefaultSelector", return_value=selector):
            play(selector, alice)
    """,
    "replaced": "kept = case(); kept = 1",
    "followed by an exception": "kept = case(); sys.exit(3)",
    "followed by another one": """
        kept = case()
        with MockSelector([], strict=True): pass
    """,
    "as an error": "kept = case()",
    "dropped, as an error": "case()",
    "ended in its own way": """
        def serve(selector, alice):
            selector.register(alice, EVENT_READ)
            while True:
                for _ in selector.select(): alice.recv(9)
        selector, alice = script()
        try: serve(selector, alice)
        except MockSelector.EndException: pass
    """,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_told_once(tmp_path: Path, name: str) -> None:
    how = ("-W", "error", "case.py") if "error" in name else ()
    written = run(tmp_path, SCRIPTS[name], *how)
    assert written.count(FOUND) == 1, written
    assert written.count("nobody has seen what it found") == 1


TESTS = {
    "dropped": "case()",
    "kept": "self.kept = case()",
    "kept by the module": "global kept; kept = case()",
    "kept by a cycle": "selector = case(); selector.me = selector",
    "held by a mock": """
        selector, alice = script()
        with patch("selectors.DefaultSelector", return_value=selector): play(selector, alice)
    """,
}

SUITE = """
class Case(unittest.TestCase):
    def setUp(self):
        self.selector = None
        {setup}
"""

ANOTHER = "selector = MockSelector([], strict=True); selector.verify()"


def suite(*tests: str, another: bool = True, setup: str = "pass") -> str:
    """A test case; another: after each of its tests, there is one more, which makes a selector."""
    code = SUITE.format(setup=setup)
    for number, test in enumerate(tests):
        code += f"\n    def test_{number:02}(self):\n" + textwrap.indent(textwrap.dedent(test).strip(), " " * 8) + "\n"
        code += f"\n    def test_{number:02}_and_then(self): {ANOTHER}\n" * another
    return code


BARE = [
    word
    for one in ("cacheprovider", "asyncio", "randomly", "hypothesispytest", "time_machine")
    for word in ("-p", f"no:{one}")
]
RUNNERS = {
    "unittest": ("-m", "unittest", "case"),
    "pytest": ("-m", "pytest", *BARE, "-q", "case.py"),
}
runners = pytest.mark.parametrize("runner", RUNNERS)


@pytest.mark.parametrize("another", [True, False])
def test_each_test_is_told_once(tmp_path: Path, another: bool) -> None:
    written = run(tmp_path, suite(*TESTS.values(), another=another), *RUNNERS["unittest"])
    assert written.count(FOUND) == len(TESTS), written
    assert "\nOK" in written


def test_pytest_counts_one_warning_for_each_test(tmp_path: Path) -> None:
    written = run(tmp_path, suite(*TESTS.values()), *RUNNERS["pytest"])
    assert f"{2 * len(TESTS)} passed, {len(TESTS)} warnings" in written, written
    assert FOUND in written


@runners
def test_so_is_one_whose_selector_is_made_by_set_up(tmp_path: Path, runner: str) -> None:
    code = suite("play(self.selector, self.alice)", another=False, setup="self.selector, self.alice = script()")
    assert run(tmp_path, code, *RUNNERS[runner]).count(FOUND) == 1


def test_warnings_that_are_errors_do_not_fail_the_test_that_makes_the_next_one(tmp_path: Path) -> None:
    code = suite("global kept; kept = case()")
    written = run(tmp_path, code, "-W", "error", *RUNNERS["unittest"])
    assert written.count(FOUND) == 1, written
    assert "\nOK" in written


def test_under_pytest_such_a_warning_fails_a_test(tmp_path: Path) -> None:
    written = run(tmp_path, suite("case()"), *RUNNERS["pytest"], "-W", "error")
    assert FOUND in written
    assert "1 passed" not in written or "error" in written


QUIET = {
    "verified": "selector, alice = script('more'); play(selector, alice, 2); selector.verify()",
    "in a block": """
        selector, alice = script("more")
        with selector: play(selector, alice, 2)
    """,
    "raised, and caught by the test": """
        alice = MockSocket([b"x"], name="alice")
        selector = MockSelector([alice], strict=True)
        selector.register(alice, EVENT_READ); selector.select(); alice.recv(9)
        with self.assertRaises(ScenarioError): alice.recv(9)
        with self.assertRaises(ScenarioError): selector.select()
    """,
    "raised in a server, and caught by the test": """
        selector, alice = script()
        def serve():
            selector.register(alice, EVENT_READ); selector.select(); alice.recv(9); alice.recv(9)
        try: serve()
        except AssertionError: pass
        selector.unregister(alice); alice.close()
    """,
    "verified, and what it raised was caught": """
        selector = case()
        with self.assertRaises(ScenarioError): selector.verify()
    """,
    "two at once": """
        one, alice = script("more")
        two, bob = script("more")
        play(two, bob, 2); play(one, alice, 2)
        two.verify(); one.verify()
    """,
    "in another thread": """
        selector, alice = script("more")
        go = threading.Event()
        def serve(): go.wait(); play(selector, alice, 2)
        thread = threading.Thread(target=serve, daemon=True); thread.start()
        MockSelector([], strict=True).verify()
        go.set(); thread.join(); selector.verify()
    """,
    "verified later": """
        selector, alice = script("more")
        self.addCleanup(selector.verify)
        MockSelector([], strict=True).verify()
        play(selector, alice, 2)
    """,
    "in another thread that goes on after the test": """
        selector, alice = script("more")
        global go, thread
        begun, go = threading.Event(), threading.Event()
        def serve():
            selector.register(alice, EVENT_READ)
            begun.set(); go.wait()
            for _ in range(2): selector.select(); alice.recv(9)
            selector.unregister(alice); alice.close(); selector.verify()
        thread = threading.Thread(target=serve); thread.start(); begun.wait()
    """,
    "until that has ended": "go.set(); thread.join()",
}


@runners
def test_what_is_seen_or_in_use_is_not_spoken_of(tmp_path: Path, runner: str) -> None:
    written = run(tmp_path, suite(*QUIET.values()), *RUNNERS[runner])
    assert "seen what it found" not in written, written
    assert f"{2 * len(QUIET)} passed" in written or "\nOK" in written, written


FAILS = {
    "before it is used": "selector, alice = script(); self.fail('something else')",
    "after it was used": "selector = case(); self.fail('something else')",
    "and keeps it": "global kept; kept = case(); self.fail('something else')",
    "by its finding": """
        selector, alice = script()
        selector.register(alice, EVENT_READ); selector.select(); alice.recv(9); alice.recv(9)
    """,
}


@runners
@pytest.mark.parametrize("another", [True, False])
def test_a_test_that_has_failed_is_not_told_more(tmp_path: Path, runner: str, another: bool) -> None:
    written = run(tmp_path, suite(*FAILS.values(), another=another), *RUNNERS[runner])
    assert "seen what it found" not in written, written
    assert f"{len(FAILS)} failed" in written or f"(failures={len(FAILS)})" in written, written


def test_what_the_server_has_swallowed_is_told(tmp_path: Path) -> None:
    code = suite("""
        selector, alice = script()
        def serve():
            selector.register(alice, EVENT_READ)
            selector.select()
            try:
                alice.recv(9); alice.recv(9)
            except Exception: pass
            selector.unregister(alice); alice.close()
        serve()
    """)
    for runner in RUNNERS.values():
        written = run(tmp_path, code, *runner)
        assert "seen what it found" in written
        assert "[read-without-data]" in written


SCOPED = """
import pytest

@pytest.fixture(scope="module")
def shared():
    selector, alice = script("more")
    selector.register(alice, EVENT_READ)
    yield selector, alice
    selector.unregister(alice); alice.close(); selector.verify()

def test_one(shared):
    shared[0].select(); shared[1].recv(9)

def test_two(shared):
    MockSelector([], strict=True).verify()
    shared[0].select(); shared[1].recv(9)

@pytest.fixture
def once():
    return script()

def test_three(once): play(*once)

def test_four(): MockSelector([], strict=True).verify()
"""


def test_a_selector_of_several_tests_is_in_use_until_it_is_dropped(tmp_path: Path) -> None:
    written = run(tmp_path, SCOPED, *RUNNERS["pytest"])
    assert "4 passed" in written, written
    assert written.count("seen what it found") == 1


def test_a_fork_is_not_told_of_its_parents(tmp_path: Path) -> None:
    code = """
        import os
        kept = case()
        if not os.fork():
            sys.exit()
        os.wait()
    """
    assert run(tmp_path, code).count(FOUND) == 1


def test_a_script_that_raises_when_it_is_judged_breaks_no_other_test(tmp_path: Path) -> None:
    code = suite(
        """
        def events():
            yield ()
            raise ZeroDivisionError("in the script")
        global kept
        kept = MockSelector(events(), strict=True)
        kept.select()
        """
    )
    written = run(tmp_path, code, *RUNNERS["unittest"])
    assert "\nOK" in written, written


def test_thousands_that_nobody_verified_cost_no_more_each(tmp_path: Path) -> None:
    code = """
        import time
        def took(many):
            begin = time.process_time()
            kept.extend(MockSelector([], strict=True) for _ in range(many))
            return time.process_time() - begin
        kept = []
        first, _, last = took(2000), took(16000), took(2000)
        print("linear" if last < 5 * first + 0.1 else (first, last))
    """
    assert run(tmp_path, code).strip() == "linear"


EXITS = {
    "as a warning": "kept = case()",
    "as an error": "import warnings; warnings.simplefilter('error'); kept = case()",
    "beside one that was dropped": "kept = case(); MockSelector([], strict=True)",
}


@pytest.mark.parametrize("name", EXITS)
def test_a_program_that_does_by_itself_what_is_to_be_done_at_exit_is_told_once(tmp_path: Path, name: str) -> None:
    written = run(tmp_path, f"{EXITS[name]}\nimport atexit; atexit._run_exitfuncs()")
    assert written.count(FOUND) == 1, written
    assert "Traceback" not in written, written


def test_what_a_script_has_caught_it_has_seen(tmp_path: Path) -> None:
    code = """
        def serve(selector, alice):
            selector.register(alice, EVENT_READ); selector.select(); alice.recv(9); alice.recv(9)
        selector, alice = script()
        try: serve(selector, alice)
        except ScenarioError as error: print("caught", error)
        selector.unregister(alice); alice.close()
        import atexit; atexit._run_exitfuncs()
    """
    written = run(tmp_path, code)
    assert written.count("[read-without-data]") == 1, written
    assert "seen what it found" not in written


IN_USE = {
    "its block is open": [
        "global kept, alice; kept, alice = script('more'); kept.__enter__()",
        "play(kept, alice, 2); kept.__exit__(None, None, None)",
    ],
    "its test runs another one": [
        """
        alice = MockSocket([b"x", b"more"], name="alice")
        selector = MockSelector([alice, alice], strict=True)
        class Inner(unittest.TestCase):
            def test(self): MockSelector([], strict=True).verify()
        Inner("test").run()
        play(selector, alice, 2); selector.verify()
        """
    ],
}


@pytest.mark.parametrize("name", IN_USE)
def test_a_later_test_ends_none_that_is_in_use(tmp_path: Path, name: str) -> None:
    written = run(tmp_path, suite(*IN_USE[name]), *RUNNERS["unittest"])
    assert "seen what it found" not in written, written
    assert "\nOK" in written, written

"""What unittest has of a scenario: `ScenarioTestCase`, and `simulated` for cases and for functions."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
import unittest
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from mockselector import ScenarioError, ScenarioTestCase, simulated

if TYPE_CHECKING:
    from collections.abc import Mapping


DIES = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
"""What a thread dies of is told by pytest as well."""


def echo(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        conn, _ = listener.accept()
        with conn:
            while data := conn.recv(100):
                conn.sendall(data)


def ask(port: int) -> bytes:
    with socket.create_connection(("localhost", port)) as conn:
        conn.sendall(b"hi")
        return conn.recv(10)


def dies() -> None:
    raise ZeroDivisionError


def outcomes(case: type[unittest.TestCase]) -> dict[str, list[str]]:
    """What came of each test: the last lines of its errors and failures, and why it was skipped."""
    found: dict[str, list[str]] = {}

    class Result(unittest.TestResult):
        def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
            super().startTest(test)
            found[str(test.id().rpartition(".")[2])] = []

        def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
            found.setdefault(test.id().rpartition(".")[2], []).append(f"{err[0].__name__}: {err[1]}".partition("\n")[0])

        addFailure = addError  # noqa: N815

        def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
            found.setdefault(test.id().rpartition(".")[2], []).append(reason)

        def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:  # noqa: N802
            if err is not None:
                found.setdefault(test.id().rpartition(".")[2], []).append(
                    f"{err[0].__name__}: {err[1]}".partition("\n")[0]
                )

    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(Result())
    return found


# -- ScenarioTestCase ----------------------------------------------------------------------------


class Cases(ScenarioTestCase):
    __test__ = False  # pytest: they are run by what is claimed of them
    scenario_options: ClassVar[Mapping[str, Any]] = {"patience": 60}

    def setUp(self) -> None:
        self.alice = self.net.client("alice").sends(b"x")

    def test_right(self) -> None:
        self.alice.expects(b"x").closes()
        self.net.run(echo, 80)
        assert self.net._world.patience == 60 * 10**9

    def test_wrong(self) -> None:
        self.alice.expects(b"y").closes()
        self.net.run(echo, 80)

    def test_never_run(self) -> None:
        pass

    def test_has_failed(self) -> None:
        assert [1] == [2]

    def test_cleans_up_before_that_is_judged(self) -> None:
        self.addCleanup(lambda: self.net.run(echo, 80))
        self.alice.expects(b"x").closes()

    @unittest.skip("not now")
    def test_is_skipped(self) -> None: ...


def test_each_test_of_a_case_has_a_scenario_that_is_judged_at_its_end() -> None:
    assert outcomes(Cases) == {
        "test_right": [],
        "test_wrong": ["ScenarioError: [unexpected-send] alice was sent b'x' where it expects b'y'"],
        "test_never_run": ["ScenarioError: [unmet-expectation] alice was never connected: nobody ever listened for it"],
        "test_has_failed": ["AssertionError: assert [1] == [2]"],
        "test_cleans_up_before_that_is_judged": [],
        "test_is_skipped": ["not now"],
    }


def test_options_that_cannot_be_are_an_error_of_the_test() -> None:
    class Wrong(ScenarioTestCase):
        __test__ = False
        scenario_options: ClassVar[Mapping[str, Any]] = {"patience": "60"}

        def test_it(self) -> None: ...

    (told,) = outcomes(Wrong)["test_it"]
    assert told.startswith("ValueError: patience= takes a number of seconds")


def test_one_that_fails_as_expected_is_not_judged() -> None:
    class Expected(ScenarioTestCase):
        __test__ = False

        @unittest.expectedFailure
        def test_it(self) -> None:
            self.net.client("alice").expects(b"what never comes")
            self.fail()

    result = unittest.TestResult()
    Expected("test_it").run(result)
    assert (len(result.expectedFailures), result.errors, result.failures) == (1, [], [])


def test_a_coroutine_function_that_nobody_awaits_is_an_error_and_no_pass() -> None:
    class Wrong(ScenarioTestCase):
        __test__ = False

        async def test_it(self) -> None:
            raise AssertionError("it is awaited")

    (told,) = outcomes(Wrong)["test_it"]
    assert told.startswith("TypeError: test_it is a coroutine function, which unittest.TestCase calls and does not")


def test_of_a_case_that_awaits_them_they_are_run() -> None:
    class Awaited(ScenarioTestCase, unittest.IsolatedAsyncioTestCase):
        __test__ = False

        async def test_it(self) -> None:
            raise AssertionError("it is awaited")

    (told,) = outcomes(Awaited)["test_it"]
    assert told.startswith("AssertionError: it is awaited")


# -- simulated -------------------------------------------------------------------------------------


@simulated
class Simulated(unittest.TestCase):
    __test__ = False

    def setUp(self) -> None:
        self.began = time.monotonic()
        self.thread = threading.Thread(target=echo, args=(80,))
        self.thread.start()
        time.sleep(1)

    def tearDown(self) -> None:
        ask(80)
        self.thread.join()

    def test_right(self) -> None:
        time.sleep(1000)
        assert time.monotonic() - self.began == 1001

    def test_wrong(self) -> None:
        assert [1] == [2]

    def test_a_thread_dies(self) -> None:
        threading.Thread(target=dies).start()

    def test_is_refused(self) -> None:
        with contextlib.suppress(NotImplementedError):
            socket.create_connection(("192.0.2.1", 80))

    def test_parts(self) -> None:
        for number in range(3):
            with self.subTest(number=number):
                assert number != 1, number


@DIES
def test_each_test_of_a_case_is_simulated_with_its_set_up() -> None:
    found = outcomes(Simulated)
    assert found.pop("test_a_thread_dies")[0].startswith("ScenarioError: [unhandled-exception] thread Thread-2 ")
    assert found.pop("test_is_refused")[0].startswith(
        "not simulated: a connection to ('192.0.2.1', 80), which is no part"
    )
    assert found == {
        "test_right": [], "test_wrong": ["AssertionError: assert [1] == [2]"], "test_parts": ["AssertionError: 1"],
    }  # fmt: skip


def test_one_of_them_may_be_run_by_itself() -> None:
    result = Simulated("test_right").run()
    assert result is not None
    assert (result.testsRun, result.wasSuccessful()) == (1, True)


@simulated
class Coroutines(unittest.IsolatedAsyncioTestCase):
    __test__ = False

    async def test_sleeps(self) -> None:
        await asyncio.sleep(1000)


def test_so_is_one_of_coroutines() -> None:
    assert outcomes(Coroutines) == {"test_sleeps": []}


def test_a_function_is_called_in_a_scenario() -> None:
    @simulated
    def test(port: int, *, answer: bytes) -> float:
        began = time.monotonic()
        threading.Thread(target=echo, args=(port,)).start()
        time.sleep(500)
        assert ask(port) == answer
        return time.monotonic() - began

    assert test(80, answer=b"hi") == 500
    assert test.__name__ == "test"


def test_a_coroutine_function_is_run_on_a_loop_of_it() -> None:
    @simulated
    async def test() -> str:
        await asyncio.sleep(500)
        return "done"

    assert test() == "done"


@DIES
def test_what_is_found_in_a_function_is_raised() -> None:
    def test() -> None:
        thread = threading.Thread(target=dies)
        thread.start()
        thread.join()

    with pytest.raises(ScenarioError) as caught:
        simulated(test)()
    assert caught.value.rule == "unhandled-exception"
    assert "script:" not in str(caught.value)
    simulated(allow={"unhandled-exception"})(test)()


def test_its_own_exception_comes_out_of_a_function() -> None:
    @simulated
    def test() -> None:
        dies()

    with pytest.raises(ZeroDivisionError):
        test()


def test_a_function_that_cannot_be_simulated_is_skipped() -> None:
    @simulated
    def test() -> None:
        try:
            socket.create_connection(("192.0.2.1", 80))
        except NotImplementedError:
            pass

    with pytest.raises(unittest.SkipTest, match="not simulated: a connection to"):
        test()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: simulated(7), "@simulated is for a function or a unittest.TestCase; got 7"),  # type: ignore[call-overload]
        (lambda: simulated(patients=7), "unexpected keyword argument 'patients'"),  # type: ignore[call-overload]
        (lambda: simulated(patience="long"), "patience= takes a number of seconds"),  # type: ignore[call-overload]
    ],
)
def test_what_is_wrong_is_said_at_once(wrong: Any, says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        wrong()

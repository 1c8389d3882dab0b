"""Violations cannot be swallowed, never mask an earlier exception, and always come to an end."""

from __future__ import annotations

import contextlib
import gc
import linecache
import sys
import threading
from selectors import EVENT_READ
from typing import TYPE_CHECKING

import pytest

import echoserver
from mockselector import ListenSocket, MockSelector, MockSocket, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class Never(Exception):
    """Caught by a server that catches nothing."""


def script() -> tuple[MockSelector, ListenSocket]:
    alice, bob = MockSocket([b"hi"], name="alice"), MockSocket([b"yo"], name="bob")
    listener = ListenSocket([alice, bob])
    listener.bind(("", 8888))
    listener.listen()
    return MockSelector([listener, alice, alice, listener, bob, bob], strict=True), listener


def forgets_to_register(
    sel: MockSelector,
    listener: ListenSocket,
    *,
    in_handler: type[BaseException] = Never,
    around_select: type[BaseException] = Never,
) -> None:
    sel.register(listener, EVENT_READ)
    while True:
        try:
            for _key, _ in sel.select():
                try:
                    conn, _ = listener.accept()
                    conn.recv(1)
                    conn.recv(1)
                except in_handler:
                    pass
        except around_select:
            pass


SWALLOWED = pytest.mark.parametrize("swallowed", [Never, Exception, BaseException])


@SWALLOWED
def test_a_violation_survives_a_handler_that_swallows(swallowed: type[BaseException]) -> None:
    sel, listener = script()
    with pytest.raises(ScenarioError, match="alice was accepted but never registered"), sel:
        forgets_to_register(sel, listener, in_handler=swallowed)


@SWALLOWED
def test_a_violation_survives_a_server_that_swallows_around_select(swallowed: type[BaseException]) -> None:
    sel, listener = script()
    with pytest.raises(ScenarioError, match="alice was accepted but never registered"), sel:
        forgets_to_register(sel, listener, around_select=swallowed)


def test_it_survives_a_loop_in_the_test_itself() -> None:
    sel, listener = script()
    with pytest.raises(ScenarioError, match="accepted-not-registered"), sel:
        sel.register(listener, EVENT_READ)
        while True:
            try:
                sel.select()
                listener.accept()
            except BaseException:
                pass


def test_the_violation_comes_once_more_and_then_the_run_is_ended() -> None:
    sel, listener = script()
    seen: list[str] = []
    with pytest.raises(ScenarioError), sel:
        sel.register(listener, EVENT_READ)
        sel.select()
        listener.accept()
        for _ in range(3):
            try:
                sel.select()
            except BaseException as error:
                seen.append(f"{type(error).__name__} from {type(error.__cause__).__name__}")
    assert seen == ["ScenarioError from NoneType", "ScenarioError from NoneType", "EndException from ScenarioError"]


def test_an_ended_run_still_answers_polls_so_that_an_event_loop_can_clean_up() -> None:
    sel = MockSelector([], strict=True)
    with sel:
        with pytest.raises(MockSelector.EndException):
            sel.select()
        assert sel.select(0) == []
        assert sel.select(timeout=-1) == []
        with pytest.raises(MockSelector.EndException):
            sel.select(1)


@pytest.mark.slow
def test_polls_of_an_ended_run_are_not_answered_for_ever() -> None:
    sel = MockSelector([], strict=True)
    with sel:
        while True:
            try:
                sel.select(0)
            except BaseException:
                pass


def test_a_server_that_swallows_the_end_of_the_script_is_forced_out() -> None:
    sel = MockSelector([], strict=True)

    def serve() -> None:
        while True:
            try:
                sel.select()
            except BaseException:
                pass

    with sel:
        serve()
    assert sel.trace[-1].operation == "select"


def forgets_under_a_loop() -> None:
    sel, listener = script()
    with pytest.raises(ScenarioError, match="accepted-not-registered"), sel:
        forgets_to_register(sel, listener, around_select=BaseException)


@pytest.mark.slow
@pytest.mark.parametrize(
    "ended",
    [
        forgets_under_a_loop,
        test_it_survives_a_loop_in_the_test_itself,
        test_polls_of_an_ended_run_are_not_answered_for_ever,
    ],
)
def test_what_traced_before_traces_again(ended: Callable[[], None]) -> None:
    def tracer(*_: object) -> None: ...

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        ended()
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)


# -- whose exception it is ----------------------------------------------------------------------


def notes(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", ()))


def test_an_earlier_exception_of_the_server_is_not_replaced_and_takes_the_violation_as_a_note() -> None:
    sel, listener = script()

    def fail() -> None:
        with sel:
            sel.register(listener, EVENT_READ)
            sel.select()
            raise ZeroDivisionError("a bug of the server")

    if sys.version_info >= (3, 11):
        with pytest.raises(ZeroDivisionError, match="a bug of the server") as caught:
            fail()
    else:
        with pytest.warns(UserWarning, match=r"besides ZeroDivisionError: \[undelivered-event\] the run ended"):
            with pytest.raises(ZeroDivisionError, match="a bug of the server") as caught:
                fail()
    assert "[undelivered-event]" in notes(caught.value)


def test_an_exception_that_came_of_a_swallowed_violation_is_its_context() -> None:
    sel, listener = script()
    with pytest.raises(ScenarioError, match="read-without-data") as caught, sel:
        sel.register(listener, EVENT_READ)
        sel.select()
        conn, _ = listener.accept()
        sel.register(conn, EVENT_READ)
        try:
            conn.recv(1)
        except AssertionError:
            raise ValueError("something went wrong") from None
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_never_replaced(leaving: type[BaseException]) -> None:
    sel, listener = script()

    def interrupted() -> None:
        with sel:
            sel.register(listener, EVENT_READ)
            sel.select()
            conn, _ = listener.accept()
            sel.register(conn, EVENT_READ)
            with pytest.raises(ScenarioError):
                conn.recv(1)
            raise leaving

    if sys.version_info >= (3, 11):
        with pytest.raises(leaving) as caught:
            interrupted()
    else:
        with pytest.warns(UserWarning, match="read-without-data"), pytest.raises(leaving) as caught:
            interrupted()
    assert "[read-without-data]" in notes(caught.value)


def test_on_3_10_a_warning_turned_into_an_error_does_not_replace_the_exception() -> None:
    sel, _ = script()
    with pytest.raises(ZeroDivisionError), sel:
        raise ZeroDivisionError


def test_only_its_own_end_is_swallowed() -> None:
    mine, other = MockSelector([], strict=True), MockSelector([], strict=True)
    with pytest.raises(MockSelector.EndException), mine:
        other.select()


def test_an_exception_on_its_way_up_is_not_displaced_by_the_end_of_the_script() -> None:
    sel = MockSelector([()], strict=True)
    with pytest.raises(ZeroDivisionError, match="a bug of the server"), sel:
        try:
            sel.select()
            raise ZeroDivisionError("a bug of the server")
        finally:
            sel.select()


def fails_and_cleans_up(sel: MockSelector, sock: MockSocket) -> None:
    sel.register(sock, EVENT_READ)
    sel.select()
    try:
        sock.send(sock.recv(9))
        raise ZeroDivisionError("a bug of the server")
    finally:
        sel.unregister(sock)
        sock.close()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="on 3.10 the note is a warning; see above")
def test_an_exception_on_its_way_up_is_not_displaced_by_a_violation_in_a_finally() -> None:
    sock = MockSocket([b"hi"], name="alice")
    sock.send.return_value = 1
    sel = MockSelector([sock], strict=True)
    with pytest.raises(ZeroDivisionError, match="a bug of the server") as caught, sel:
        fails_and_cleans_up(sel, sock)
    assert "[short-send-lost]" in notes(caught.value)


def test_an_exception_that_was_dealt_with_does_not_come_back() -> None:
    sel = MockSelector([()], strict=True)
    with sel:
        try:
            sel.select()
            raise ZeroDivisionError("dealt with")
        except ZeroDivisionError:
            sel.select()


def test_an_interrupt_that_came_of_a_violation_does_not_hide_it() -> None:
    sel, listener = script()
    with pytest.raises(ScenarioError, match="read-without-data"), sel:
        sel.register(listener, EVENT_READ)
        sel.select()
        conn, _ = listener.accept()
        sel.register(conn, EVENT_READ)
        try:
            conn.recv(1)
        except Exception:
            sys.exit(1)


# -- loops that never come back to select() -------------------------------------------------------


def whole(sock: MockSocket, swallowed: type[BaseException]) -> None:
    while True:
        try:
            sock.recv(9)
        except swallowed:
            pass


@pytest.mark.parametrize("swallowed", [BlockingIOError, Exception, BaseException])
def test_a_loop_that_retries_a_read_for_ever_comes_to_an_end(swallowed: type[BaseException]) -> None:
    sock = MockSocket([b"hi", b"there"], name="alice")
    sel = MockSelector([sock], strict=True)
    with pytest.raises(ScenarioError, match=r"^\[.+?\] recv\(\) on alice was tried 1000 times in a row in vain"), sel:
        sel.register(sock, EVENT_READ)
        sock.setblocking(False)
        sel.select()
        whole(sock, swallowed)


@pytest.mark.parametrize("swallowed", [Exception, BaseException])
def test_a_loop_that_retries_a_violation_for_ever_comes_to_an_end(swallowed: type[BaseException]) -> None:
    sock = MockSocket([b"hi", b"there"], name="alice")
    sel = MockSelector([sock], strict=True)
    with pytest.raises(ScenarioError, match="read-without-data"), sel:
        sel.register(sock, EVENT_READ)
        sel.select()
        whole(sock, swallowed)


@pytest.mark.slow
@pytest.mark.parametrize("result", [0, BlockingIOError(11, "full")])
def test_a_loop_that_retries_a_send_for_ever_comes_to_an_end(result: int | BlockingIOError) -> None:
    sock = MockSocket([b"hi"], name="alice")
    if isinstance(result, int):
        sock.send.return_value = result
    else:
        sock.send.side_effect = result
    sel = MockSelector([sock], strict=True)
    with pytest.raises(ScenarioError, match=r"^\[.+?\] send\(\) on alice was tried 1000 times in a row in vain"), sel:
        sel.register(sock, EVENT_READ)
        sel.select()
        data = sock.recv(9)
        while data:
            try:
                data = data[sock.send(data) :]
            except BlockingIOError:
                pass


def test_a_loop_around_a_closed_selector_comes_to_an_end() -> None:
    sel = MockSelector([()], strict=True)
    with (
        pytest.raises(ScenarioError, match=r"^\[.+?\] select\(\) on selector was tried 1000 times in a row in vain"),
        sel,
    ):
        sel.close()
        while True:
            try:
                sel.select()
            except ValueError:
                pass


def test_many_sockets_that_each_have_nothing_are_no_such_loop() -> None:
    socks = [MockSocket([b"hi"]) for _ in range(1500)]
    sel = MockSelector([socks], strict=True)
    for sock in socks:
        sock.setblocking(False)
        sel.register(sock, EVENT_READ)
    sel.select()
    for sock in socks:
        assert sock.recv(9) == b"hi"
    for sock in socks:
        with pytest.raises(BlockingIOError):
            sock.recv(9)
    sel._settled = True


# -- whose block it is --------------------------------------------------------------------------


def echo(sel: MockSelector, sock: MockSocket) -> None:
    sel.register(sock, EVENT_READ)
    while True:
        for _ in sel.select():
            if not sock.recv(9):
                sel.unregister(sock)
                sock.close()


def leftover_script() -> tuple[MockSelector, MockSocket]:
    sock = MockSocket([b"hi", b"there"], name="alice")
    return MockSelector([sock], strict=True), sock


def test_the_end_is_judged_when_the_test_leaves_its_block() -> None:
    sel, sock = leftover_script()
    with pytest.raises(ScenarioError, match="unread-data"), sel:
        echo(sel, sock)


def test_a_block_that_the_server_enters_inside_of_the_tests_swallows_nothing() -> None:
    sel, sock = leftover_script()
    came_back = False
    with pytest.raises(ScenarioError, match="unread-data"), sel:
        echoserver.echo_in_its_own_block(sel, sock)
        came_back = True
    assert not came_back, "in production it would not have come back either"


def test_a_block_that_only_the_server_enters_is_the_servers() -> None:
    sock = MockSocket([b"hi", b"there"], name="alice")
    sel = MockSelector([sock], strict=True)
    echoserver.echo_in_its_own_block(sel, sock)
    with pytest.raises(ScenarioError, match="unread-data"):
        sel.verify()


def test_a_violation_leaves_a_block_that_only_the_server_enters() -> None:
    sock = MockSocket([b"hi"], name="alice")
    sel = MockSelector([(sock, 2)], strict=True)
    with pytest.raises(ScenarioError, match="event-without-interest"):
        echoserver.echo_in_its_own_block(sel, sock)


def run_in_a_block(sel: MockSelector, sock: MockSocket) -> None:
    with sel:
        echo(sel, sock)


@contextlib.contextmanager
def a_context(sel: MockSelector) -> Generator[None]:
    with sel:
        yield


def test_a_helper_of_the_test_may_enter_the_block() -> None:
    sock = MockSocket([b"hi", b"there"], name="alice")
    sel = MockSelector([sock], strict=True)
    with pytest.raises(ScenarioError, match="unread-data"):
        run_in_a_block(sel, sock)


def test_a_context_manager_of_the_test_may_enter_the_block() -> None:
    sock = MockSocket([b"hi", b"there"], name="alice")
    sel = MockSelector([sock], strict=True)
    with pytest.raises(ScenarioError, match="unread-data"), a_context(sel):
        echo(sel, sock)


def test_an_exit_stack_may_enter_the_block() -> None:
    sock = MockSocket([b"hi", b"there"], name="alice")
    with pytest.raises(ScenarioError, match="unread-data"), contextlib.ExitStack() as stack:
        sel = stack.enter_context(MockSelector([sock], strict=True))
        echo(sel, sock)


@pytest.fixture
def fixture() -> tuple[MockSelector, MockSocket]:
    return leftover_script()


def test_a_selector_of_a_fixture_is_the_tests(fixture: tuple[MockSelector, MockSocket]) -> None:
    sel, sock = fixture
    with pytest.raises(ScenarioError, match="unread-data"), sel:
        echo(sel, sock)


def test_a_block_entered_in_another_thread_is_the_servers() -> None:
    sel, sock = leftover_script()
    thread = threading.Thread(target=run_in_a_block, args=(sel, sock))
    thread.start()
    thread.join()
    with pytest.raises(ScenarioError, match="unread-data"):
        sel.verify()


def test_a_nested_block_leaves_the_last_word_to_the_outermost() -> None:
    sel, listener = script()
    with pytest.raises(ScenarioError, match="accepted-not-registered"), sel, sel:
        forgets_to_register(sel, listener, around_select=Exception)


def test_verify_passes_when_all_is_well_and_can_be_repeated() -> None:
    sock = MockSocket([b"hi"])
    sel = MockSelector([sock, sock], strict=True)
    with pytest.raises(MockSelector.EndException):
        echo(sel, sock)
    sel.verify()
    sel.verify()


def test_verify_and_trace_are_refused_without_strict_mode() -> None:
    lenient = MockSelector([], strict=False)
    with pytest.raises(RuntimeError, match=r"^verify\(\) is about what strict mode saw.* give strict=True$"):
        lenient.verify()
    with pytest.raises(RuntimeError, match=r"^trace is about what strict mode saw.* give strict=True$"):
        _ = lenient.trace


# -- dropped ------------------------------------------------------------------------------------


def drop(make: Callable[[], tuple[MockSelector, MockSocket]]) -> None:
    make()
    gc.collect()


def test_a_strict_selector_that_nobody_asked_warns_with_what_was_left_over() -> None:
    with pytest.warns(UserWarning, match=r"(?s)nobody has seen what it found.*\[undelivered-event\]"):
        drop(leftover_script)


def test_the_warning_points_at_the_script() -> None:
    with pytest.warns(UserWarning) as caught:
        drop(leftover_script)
    assert caught[0].filename == __file__


def test_dropped_with_nothing_left_over_it_says_nothing() -> None:
    drop(lambda: (MockSelector([], strict=True), MockSocket()))


def test_dropped_after_a_block_it_says_nothing() -> None:
    def used() -> tuple[MockSelector, MockSocket]:
        sel, sock = leftover_script()
        with pytest.raises(ScenarioError, match="unread-data"), sel:
            echo(sel, sock)
        return sel, sock

    drop(used)


# -- threads ------------------------------------------------------------------------------------


def test_a_server_in_a_background_thread_is_judged() -> None:
    sel, listener = script()
    ended: list[BaseException] = []

    def serve() -> None:
        try:
            forgets_to_register(sel, listener)
        except ScenarioError as error:
            ended.append(error)

    with pytest.raises(ScenarioError, match="accepted-not-registered") as caught, sel:
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join()
    assert ended == [caught.value]


def test_a_server_in_a_background_thread_that_swallows_everything_is_forced_out() -> None:
    sel, listener = script()

    def serve() -> None:
        try:
            forgets_to_register(sel, listener, around_select=BaseException)
        except MockSelector.EndException:
            pass

    with pytest.raises(ScenarioError, match="accepted-not-registered"), sel:
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join()


def test_code_without_a_source_is_taken_as_it_comes() -> None:
    """Without it nobody knows whether an exception was dealt with; then it was."""
    namespace: dict[str, object] = {}
    source = "def serve(sel):\n  try:\n    sel.select()\n    1 / 0\n  finally:\n    sel.select()\n"
    exec(compile(source, "not python.txt", "exec"), namespace)
    linecache.cache["not python.txt"] = (1, None, ["def def\n"], "not python.txt")
    serve = namespace["serve"]
    assert callable(serve)
    with MockSelector([()], strict=True) as sel:
        serve(sel)

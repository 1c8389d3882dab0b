"""When a run comes to its end, what is found there, and what is judged of a server that returns."""

from __future__ import annotations

import contextlib
import gc
import selectors
import socket
import time
from selectors import EVENT_READ
from typing import TYPE_CHECKING, NoReturn

import pytest

from mockselector import Scenario, ScenarioError
from scenario_servers import PORT, echo, headline, hello, nothing, one, read_all, step, until_stopped

if TYPE_CHECKING:
    from collections.abc import Callable


# -- when ------------------------------------------------------------------------------------------


def forgets_to_close() -> NoReturn:
    """An echo that keeps every connection."""
    kept: list[socket.socket] = []
    with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
        selector.register(listener, EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    kept.append(listener.accept()[0])
                    selector.register(kept[-1], EVENT_READ)
                    continue
                assert isinstance(key.fileobj, socket.socket)
                data = key.fileobj.recv(100)
                if data:
                    key.fileobj.sendall(data)
                else:
                    selector.unregister(key.fileobj)


def test_a_run_ends_at_once_when_everything_is_closed() -> None:
    with Scenario() as net:
        hello(net)
        net.client("bob").waits(5).closes()
        assert net.run(echo) is None
    assert net.now == 5.0


def test_a_run_goes_on_for_the_grace_when_a_connection_is_open() -> None:
    with Scenario(allow={"leaked-connection"}) as net:
        hello(net)
        net.run(forgets_to_close)
    assert net.now == 60.0


def test_the_grace_may_be_chosen() -> None:
    with Scenario(grace=7.5) as net:
        net.client("alice").sends(b"hi").expects(b"hi")
        net.run(echo)
    assert net.now == 7.5


def test_a_client_that_stays_is_nothing_wrong() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi")
        net.run(echo)
    assert net.now == 60.0


def test_without_any_peer_a_run_goes_on_until_patience_is_at_its_end() -> None:
    text = "the program has not returned 3600 s after it was run: it waits in select() on selector"
    net = Scenario()
    with pytest.raises(ScenarioError, match=headline(text, "stuck")), net:
        net.run(echo)
    assert net.now == 3600.0


def test_who_would_come_to_its_clients_later_is_told_of_the_grace() -> None:
    def serves_slowly() -> None:
        with socket.create_server(("", PORT)) as listener:
            while True:
                with listener.accept()[0] as client:
                    client.recv(10)
                time.sleep(120)

    for grace in (60, 180):
        with contextlib.ExitStack() as stack:
            if grace == 60:
                stack.enter_context(pytest.raises(ScenarioError, match=r"(?s)2 is left.*grace=.*to accept it later"))
            net = stack.enter_context(Scenario(grace=grace))
            for _ in range(2):
                net.client().sends(b"x").closes()
            net.run(serves_slowly)


def test_a_connection_that_is_closed_in_the_grace_is_not_leaked() -> None:
    def late() -> None:
        with socket.create_server(("", PORT)) as listener:
            conn, _ = listener.accept()
            time.sleep(50)
            conn.close()
            time.sleep(50)

    with Scenario() as net:
        net.client("alice").closes()
        net.run(late)
    assert net.now == 50.0


def test_a_leaked_connection_is_told_at_the_end() -> None:
    with pytest.raises(
        ScenarioError, match=headline("alice came to its end and was never closed", "leaked-connection")
    ):
        with Scenario() as net:
            hello(net)
            net.run(forgets_to_close)


def test_a_connection_of_which_only_its_peer_knows_the_end_is_leaked_too() -> None:
    def serve() -> None:
        kept: list[socket.socket] = []
        with socket.create_server(("", PORT)) as listener:
            while True:
                kept.append(listener.accept()[0])

    with pytest.raises(
        ScenarioError, match=headline("alice came to its end and was never closed", "leaked-connection")
    ):
        with Scenario() as net:
            net.client("alice").closes()
            net.run(serve)


def sleeps() -> NoReturn:
    with socket.create_server(("", PORT)) as listener:
        listener.accept()[0].close()
        while True:
            time.sleep(10)


def accepts() -> NoReturn:
    with socket.create_server(("", PORT)) as listener:
        while True:
            listener.accept()[0].close()


def accepts_with_a_timeout() -> NoReturn:
    with socket.create_server(("", PORT)) as listener:
        listener.settimeout(3)
        while True:
            try:
                listener.accept()[0].close()
            except TimeoutError:
                pass


def waits_for_an_event() -> NoReturn:
    import threading

    with socket.create_server(("", PORT)) as listener:
        listener.accept()[0].close()
        while True:
            threading.Event().wait(10)


@pytest.mark.parametrize("serve", [sleeps, accepts, accepts_with_a_timeout, waits_for_an_event])
def test_a_run_ends_wherever_the_server_waits(serve: Callable[[], NoReturn]) -> None:
    with Scenario() as net:
        net.client("alice").expects_eof().closes()
        assert net.run(serve) is None
    assert net.now <= 10.0


def test_a_run_ends_in_a_recv_with_a_timeout() -> None:
    def handle(conn: socket.socket) -> NoReturn:
        conn.settimeout(5)
        while True:
            try:
                conn.recv(1)
            except TimeoutError:
                pass

    with Scenario() as net:
        net.client("alice")
        net.run(one, handle)
    assert net.now == 60.0


def test_a_recv_that_blocks_for_ever_is_told_at_the_end() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice was read with nothing there, and the read blocks"):
        with Scenario() as net:
            net.client("alice")
            net.run(one, read_all)


def test_an_accept_in_a_loop_with_a_selector_is_told_at_the_end() -> None:
    def serve() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
            selector.register(listener, EVENT_READ)
            selector.select()
            listener.accept()[0].close()
            listener.accept()

    text = "listener was asked to accept with no connection waiting, and the call blocks"
    with pytest.raises(ScenarioError, match=headline(text, "accept-without-connection")):
        with Scenario() as net:
            net.client("alice").expects_eof()
            net.run(serve)


@pytest.mark.parametrize("swallowed", [Exception, BaseException])
def test_a_run_ends_though_the_server_swallows(swallowed: type[BaseException]) -> None:
    def swallows() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
            selector.register(listener, EVENT_READ)
            while True:
                try:
                    step(selector, listener, selector.select())
                except swallowed:
                    pass

    with Scenario() as net:
        hello(net)
        assert net.run(swallows) is None


@pytest.mark.slow
def test_a_run_ends_though_the_server_swallows_that_and_spins() -> None:
    def spins() -> None:
        try:
            echo()
        except BaseException:
            pass
        while True:
            time.monotonic()

    with Scenario() as net:
        hello(net)
        assert net.run(spins) is None


def test_cleaning_up_at_the_end_may_poll_and_wait() -> None:
    def serve() -> None:
        selector = selectors.DefaultSelector()
        try:
            until_stopped(lambda: False, None)
        finally:
            seen.append(selector.select(0))
            time.sleep(0)
            selector.close()

    seen: list[object] = []
    with Scenario() as net:
        hello(net)
        net.run(serve)
    assert seen == [[]]


def test_sleeping_on_after_the_end_ends_the_run_again() -> None:
    def serve() -> None:
        try:
            echo()
        finally:
            time.sleep(10)
            time.sleep(100)
            raise AssertionError("not reached")

    with Scenario() as net:
        hello(net)
        net.run(serve)


# -- a server that returns -------------------------------------------------------------------------


def test_what_the_server_returns_is_returned() -> None:
    with Scenario() as net:
        assert net.run(max, 1, 2, key=abs) == 2


def test_a_peer_that_still_waits_when_the_server_returns_is_told() -> None:
    def serve() -> None:
        with socket.create_server(("", PORT)) as listener:
            listener.accept()[0].close()

    text = "alice expects b'hi', but the server has closed the connection"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")):
        with Scenario() as net:
            net.client("alice").waits(1).expects(b"hi")
            net.run(serve)


def test_a_connection_that_the_returning_server_has_left_open_is_closed_with_its_process() -> None:
    def serve() -> None:
        listener = socket.create_server(("", PORT))
        conn, _ = listener.accept()
        kept.extend([listener, conn])
        conn.sendall(b"hi")

    kept: list[socket.socket] = []
    with Scenario() as net:
        alice = net.client("alice").waits(5).expects(b"hi").expects_eof()
        net.run(serve)
    assert alice.received == b"hi"


def test_a_peer_that_nobody_listened_for_is_told() -> None:
    text = "alice was never connected: the server returned before it could connect"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")):
        with Scenario() as net:
            hello(net)
            net.run(lambda: None)


def test_a_peer_of_a_scenario_without_a_run_is_told() -> None:
    text = "alice was never connected: nobody ever listened for it"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")):
        with Scenario() as net:
            hello(net)


def test_a_peer_that_is_reset_in_the_backlog_by_a_returning_server_is_told() -> None:
    def serve() -> None:
        with socket.create_server(("", PORT)):
            time.sleep(1)

    with pytest.raises(
        ScenarioError, match=r"\A\[.+?\] alice expects b'hi', but the server has closed the connection"
    ) as caught:
        with Scenario() as net:
            net.client("alice").expects(b"hi")
            net.run(serve)
    assert "\n  Also:\n    [unaccepted-connection] listener was not asked for all its clients: alice is left\n" in str(
        caught.value
    )


def test_a_peer_that_waits_when_the_run_has_failed_otherwise_is_not_told_as_well() -> None:
    def serve() -> None:
        raise ZeroDivisionError("of the server")

    with pytest.raises(ZeroDivisionError, match=r"\Aof the server\Z") as caught:
        with Scenario() as net:
            hello(net)
            net.run(serve)
    assert not hasattr(caught.value, "__notes__")


def test_a_wrong_answer_is_told_though_the_peer_reads_it_after_the_server_has_returned() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice was sent b'ho', which is not b'hi' until 2") as caught:
        with Scenario() as net:
            net.client("alice").waits(5).expects(b"hi", until=2)
            net.run(one, lambda conn: conn.sendall(b"ho"))
    assert caught.value.rule == "unexpected-send"


def test_what_a_step_raises_when_the_server_has_returned_comes_out() -> None:
    def fails() -> None:
        raise ZeroDivisionError("of the test")

    with pytest.raises(ZeroDivisionError, match=r"\Aof the test\Z"):
        with Scenario() as net:
            net.client("alice").expects_eof().does(fails)
            net.run(one, nothing)


def test_what_a_step_raises_when_the_server_has_returned_settles_the_matter() -> None:
    def fails() -> None:
        raise ZeroDivisionError("of the test")

    net = Scenario()
    with pytest.raises(ZeroDivisionError, match=r"\Aof the test\Z"):
        with net:
            net.client("alice").expects_eof().does(fails)
            net.run(one, nothing)
    del net
    gc.collect()  # no warning


def test_peers_have_taken_what_has_come_when_the_server_returns() -> None:
    def serve() -> None:
        with socket.create_server(("localhost", 8888)) as listener, listener.accept()[0] as conn:
            conn.sendall(b"hi")

    with Scenario() as net:
        alice = net.client("alice").expects(b"hi").closes()
        net.run(serve)
        assert alice.received == b"hi"


@pytest.mark.parametrize("later", [0, 1])
def test_what_a_step_raises_after_the_server_has_returned_comes_out(later: float) -> None:
    def serve() -> None:
        with socket.create_server(("localhost", 8888)) as listener:
            listener.accept()[0].close()

    def fails() -> None:
        raise ZeroDivisionError("of the test")

    with pytest.raises(ZeroDivisionError, match="^of the test$"):
        with Scenario() as net:
            net.client("alice").expects_eof().waits(later).does(fails)
            net.run(serve)


# -- when all is over ------------------------------------------------------------------------------


def test_after_the_end_a_socket_and_a_selector_can_be_closed_and_nothing_is_judged() -> None:
    kept: list[socket.socket] = []
    with Scenario(allow={"leaked-connection", "unread-data"}) as net:
        selector = net.selector()
        net.client("alice").sends(b"hi").closes()
        net.run(lambda: kept.append(socket.create_server(("localhost", 8888)).accept()[0]))
    length = len(net.trace)
    with pytest.raises(OSError, match="belongs to a scenario that is over"):
        kept[0].recv(9)
    selector.register(kept[0], EVENT_READ)
    selector.unregister(kept[0])
    kept[0].close()
    selector.close()
    assert length == len(net.trace)


def test_the_end_says_that_it_is_the_end() -> None:
    seen: list[str] = []

    def serve() -> None:
        try:
            selectors.DefaultSelector().select()
        except BaseException as error:
            seen.append(str(error))
            raise

    with Scenario(allow={"stuck"}) as net:
        net.run(serve)
    assert seen == ["the script is at its end"]

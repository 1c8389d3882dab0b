"""How a scenario comes to its end, what is found there, and what a test gets of it."""

from __future__ import annotations

import gc
import itertools
import os
import selectors
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from selectors import EVENT_READ
from socketserver import StreamRequestHandler, TCPServer
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from mockselector import Expects, Peer, Receives, Scenario, ScenarioError, Sends, SocketRow
from scenario_servers import PORT, calls, echo, headline, nothing, one, read_all, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockselector import Play, RuleId

DB = ("db", 5432)


def hello(net: Scenario, name: str = "alice", **options: Any) -> None:
    """A client that says hi, and hears it."""
    net.client(name, **options).sends(b"hi").expects(b"hi").closes()


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


def until_stopped(stop: Callable[[], object], timeout: float | None = 1.0) -> object:
    """An echo that looks after each `select()` whether it is to stop, and returns why."""
    with socket.create_server(("", PORT)) as listener, selectors.DefaultSelector() as selector:
        selector.register(listener, EVENT_READ)
        while not stop():
            step(selector, listener, selector.select(timeout))
        return stop()


# -- when -----------------------------------------------------------------------------------------


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


# -- stuck ------------------------------------------------------------------------------------------


def advice(error: pytest.ExceptionInfo[ScenarioError]) -> str:
    """What the error says is to be done, on one line."""
    text = str(error.value).partition("and the server does not know.\n")[2].partition("\n\n")[0]
    return " ".join(text.split())


def test_a_peer_that_waits_in_vain_is_told_at_once_when_nothing_else_can_happen() -> None:
    text = "alice waits in vain for b'ho', and the server sleeps"
    net = Scenario()
    with pytest.raises(ScenarioError, match=headline(text, "stuck")) as caught:
        with net:
            net.client("alice").expects(b"ho")
            net.run(echo)
    assert net.now == 0.0
    assert advice(caught) == (
        "See whether the server waits for the same as the script: for more input than there is,"
        " for an event for which it is not registered, or for another connection."
    )


@pytest.mark.parametrize(("options", "moment"), [({}, 3600.0), ({"patience": 5}, 5.0)], ids=["default", "chosen"])
def test_a_peer_that_waits_in_vain_is_told_when_its_patience_is_at_its_end(
    options: dict[str, Any], moment: float
) -> None:
    net = Scenario(**options)
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice waits in vain for b'ho', and the server sleeps"):
        with net:
            net.client("alice").expects(b"ho")
            net.client("bob").waits(10_000).closes()
            net.run(echo)
    assert net.now == moment


def test_the_patience_begins_anew_with_everything_that_comes() -> None:
    def handle(conn: socket.socket) -> None:
        for _ in range(4):
            time.sleep(4)
            conn.sendall(b"x")

    with Scenario(patience=5) as net:
        net.client("alice").expects(b"xxxx").closes()
        net.run(one, handle)
    assert net.now == 16.0


def waits_for_anything() -> Play:
    yield Receives()


IN_VAIN: list[tuple[Callable[[Peer], object], str]] = [
    (lambda peer: peer.expects(b"hi"), "for b'hi'"),
    (lambda peer: peer.expects(b"hi", until=b"\n"), r"for b'hi' until b'\n'"),
    (lambda peer: peer.expects_eof(), "for the end of the connection"),
    (lambda peer: peer.plays(waits_for_anything), "for anything"),
]


@pytest.mark.parametrize(("wait", "what"), IN_VAIN, ids=["bytes", "until", "eof", "receives"])
def test_what_is_waited_for_is_told(wait: Callable[[Peer], object], what: str) -> None:
    text = f"alice waits in vain {what}, and the server sleeps"
    with pytest.raises(ScenarioError, match=headline(text, "stuck")):
        with Scenario() as net:
            wait(net.client("alice"))
            net.run(echo)


def test_nothing_listens() -> None:
    text = "alice waits in vain for somebody to listen, and the server sleeps"
    with pytest.raises(ScenarioError, match=headline(text, "stuck")) as caught:
        with Scenario() as net:
            hello(net)
            net.run(lambda: selectors.DefaultSelector().select())
    assert advice(caught) == (
        "Nothing listens at all: does the server come to listen()? If it made its listener or selector before the"
        " scenario began, at import, import it inside of net.installed(), or use net.run_path()."
    )


@pytest.mark.parametrize(("to", "shown"), [(9999, "9999"), (("localhost", 9999), "('localhost', 9999)")], ids=str)
def test_something_else_listens(to: Any, shown: str) -> None:
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice waits in vain for somebody to listen") as caught:
        with Scenario() as net:
            hello(net, to=to)
            net.run(echo)
    assert advice(caught) == f"Nothing listens at {shown}, but at ('0.0.0.0', 8888): which of them is wrong?"


def full() -> None:
    """Listen with room for one, and never accept."""
    with socket.create_server(("", PORT), backlog=0):
        selectors.DefaultSelector().select()


def test_the_backlog_is_full() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] bob waits in vain for somebody to listen") as caught:
        with Scenario() as net:
            net.client("alice")
            hello(net, "bob")
            net.run(full)
    assert advice(caught) == "The backlog is full, and stays so: does the server still accept()?"


def test_the_backlog_is_full_where_the_client_names_the_port() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] bob waits in vain for somebody to listen") as caught:
        with Scenario() as net:
            net.client("alice", to=PORT)
            hello(net, "bob", to=PORT)
            net.run(full)
    assert advice(caught) == "The backlog is full, and stays so: does the server still accept()?"


def test_who_does_not_fit_into_the_backlog_comes_when_there_is_room() -> None:
    def serve() -> list[bytes]:
        with socket.create_server(("", PORT), backlog=0) as listener:
            got: list[bytes] = []
            for _ in range(3):
                conn, _ = listener.accept()
                with conn:
                    got += read_all(conn)
            return got

    with Scenario() as net:
        for name in ("alice", "bob", "carol"):
            net.client(name).sends(name.encode()).closes()
        assert net.run(serve) == [b"alice", b"bob", b"carol"]


def test_who_comes_before_there_is_a_listener_waits_for_it() -> None:
    def serve() -> bytes:
        time.sleep(5)
        return one(lambda conn: conn.recv(9))

    with Scenario() as net:
        net.client("alice", to=PORT).sends(b"hi").closes()
        assert net.run(serve) == b"hi"


def test_both_sides_wait_to_be_read() -> None:
    def handle(conn: socket.socket) -> None:
        conn.settimeout(100)
        conn.sendall(b"x" * 100)

    text = "alice waits in vain for room to send, and the server sleeps"
    with pytest.raises(ScenarioError, match=headline(text, "stuck")) as caught:
        with Scenario(patience=10) as net:
            net.client("alice", buffer=20).sends(b"y" * 100).expects(b"x" * 100)
            net.run(one, handle)
    assert advice(caught) == (
        "Both sides wait to be read: the script sends more than the 20 bytes that fit, and reads nothing meanwhile."
        " If a real client would read in between, let the script do so (expects between the sends), or give the"
        " client a larger buffer=."
    )


def test_a_rest_that_was_never_sent_is_told_where_a_peer_waits_for_it() -> None:
    def handle(conn: socket.socket) -> None:
        conn.setblocking(False)
        conn.send(b"x" * 10)
        selector = selectors.DefaultSelector()
        selector.register(conn, EVENT_READ)
        selector.select()

    with pytest.raises(
        ScenarioError, match=r"\A\[.+?\] alice took 4 of 10 bytes from send\(\), and the rest was never sent"
    ):
        with Scenario() as net:
            net.client("alice", buffer=4).expects(b"x" * 10)
            net.run(one, handle)


def test_a_connect_that_is_never_answered_is_no_reason_to_be_stuck() -> None:
    def main() -> float:
        with pytest.raises(TimeoutError, match="timed out"):
            calls(nothing)
        return net.now

    with Scenario(patience=5) as net:
        net.backend(DB, delay=None)
        assert net.run(main) == 127.0


# -- on_end, interrupts -------------------------------------------------------------------------------


def test_a_flag_lets_the_server_return() -> None:
    flag: list[str] = []
    with Scenario(pedantic=True) as net:
        hello(net)
        net.on_end(lambda: flag.append("asked"))
        assert net.run(until_stopped, lambda: [*flag]) == ["asked"]


def test_a_pipe_to_itself_lets_the_server_return() -> None:
    def main() -> str:
        reader, writer = os.pipe()
        net.on_end(lambda: os.write(writer, b"x"))
        try:
            with socket.create_server(("", PORT)) as listener, selectors.DefaultSelector() as selector:
                selector.register(listener, EVENT_READ)
                selector.register(reader, EVENT_READ)
                while True:
                    ready = selector.select()
                    if any(key.fileobj == reader for key, _ in ready):
                        return "returned"
                    step(selector, listener, ready)
        finally:
            os.close(reader)
            os.close(writer)

    with Scenario(pedantic=True) as net:
        hello(net)
        assert net.run(main) == "returned"


def test_a_pair_of_sockets_to_itself_lets_the_server_return() -> None:
    def main() -> str:
        reader, writer = socket.socketpair()
        net.on_end(lambda: writer.send(b"x"))
        with reader, writer, selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
            selector.register(listener, EVENT_READ)
            selector.register(reader, EVENT_READ)
            while True:
                ready = selector.select()
                if any(key.fileobj is reader for key, _ in ready):
                    return "returned"
                step(selector, listener, ready)

    with Scenario() as net:
        hello(net)
        assert net.run(main) == "returned"


def test_socketserver_shutdown_lets_the_server_return() -> None:
    class Upper(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.readline().upper())

    def main() -> str:
        with TCPServer(("", PORT), Upper) as server:
            net.on_end(server.shutdown)
            server.serve_forever()
        return "returned"

    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").expects_eof()
        assert net.run(main) == "returned"


def test_all_functions_are_called_once_and_in_order() -> None:
    called: list[tuple[str, float]] = []
    with Scenario() as net:
        net.client("alice").waits(3).closes()
        net.on_end(lambda: called.append(("first", net.now)))
        net.on_end(lambda: called.append(("second", net.now)))
        net.run(echo)
    assert called == [("first", 3.0), ("second", 3.0)]


def test_a_server_that_does_not_stop_when_asked_is_ended_after_the_grace() -> None:
    with Scenario(grace=20) as net:
        net.client("alice").waits(3).closes()
        net.on_end(lambda: None)
        assert net.run(echo) is None
    assert net.now == 23.0


def test_what_such_a_function_raises_comes_out() -> None:
    def fails() -> None:
        raise ZeroDivisionError("of the test")

    with pytest.raises(ZeroDivisionError, match=r"\Aof the test\Z"):
        with Scenario() as net:
            hello(net)
            net.on_end(fails)
            net.run(echo)


def test_what_such_a_function_raises_comes_out_though_the_server_swallows() -> None:
    def fails() -> None:
        raise ZeroDivisionError("of the test")

    def swallows() -> None:
        try:
            echo()
        except ZeroDivisionError:
            pass

    with pytest.raises(ZeroDivisionError, match=r"\Aof the test\Z"):
        with Scenario() as net:
            hello(net)
            net.on_end(fails)
            net.run(swallows)


def test_such_a_function_may_add_a_client() -> None:
    with Scenario() as net:
        hello(net)
        net.on_end(lambda: hello(net, "bob"))
        net.run(echo)
    assert [peer.received for peer in net._world.peers] == [b"hi", b"hi"]


def test_an_interrupt_comes_at_its_time() -> None:
    def main() -> float:
        try:
            echo()
        except KeyboardInterrupt:
            return net.now

    with Scenario() as net:
        net.client("alice")
        net.interrupts(at=12.5)
        assert net.run(main) == 12.5


def test_an_interrupt_comes_when_all_peers_are_done() -> None:
    def main() -> float:
        try:
            echo()
        except KeyboardInterrupt:
            return net.now

    with Scenario() as net:
        net.client("alice").waits(4).closes()
        net.interrupts()
        assert net.run(main) == 4.0


def test_an_interrupt_that_comes_out_of_the_server_is_swallowed() -> None:
    with Scenario() as net:
        hello(net)
        net.interrupts()
        assert net.run(echo) is None


def test_an_interrupt_of_somebody_else_comes_out() -> None:
    def main() -> None:
        raise KeyboardInterrupt("of the test")

    with Scenario() as net, pytest.raises(KeyboardInterrupt, match=r"\Aof the test\Z"):
        net.run(main)


def test_several_interrupts_come_each_at_its_time() -> None:
    def main() -> list[float]:
        seen: list[float] = []
        while len(seen) < 3:
            try:
                time.sleep(100)
            except KeyboardInterrupt:
                seen.append(net.now)
        return seen

    with Scenario(grace=1000) as net:
        for moment in (7, 2, 5):
            net.interrupts(at=moment)
        assert net.run(main) == [2.0, 5.0, 7.0]


def test_a_server_that_swallows_an_interrupt_is_ended_after_the_grace() -> None:
    def main() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
            selector.register(listener, EVENT_READ)
            while True:
                try:
                    step(selector, listener, selector.select())
                except KeyboardInterrupt:
                    pass

    with Scenario(grace=20) as net:
        hello(net)
        net.interrupts()
        assert net.run(main) is None
    assert net.now == 20.0


def test_the_trace_shows_where_the_interrupt_came() -> None:
    with Scenario() as net:
        net.interrupts(at=1)
        net.run(lambda: time.sleep(5))
    assert [str(row) for row in net.trace] == ["time.sleep(5)", "time.sleep() raises KeyboardInterrupt"]


def test_an_interrupt_that_leaves_a_socket_open_is_judged_as_a_return() -> None:
    def main() -> None:
        kept.append(socket.create_server(("", PORT)))
        time.sleep(100)

    kept: list[socket.socket] = []
    text = "the server returned and left listener open"
    with pytest.raises(ScenarioError, match=headline(text, "unclosed-at-exit")):
        with Scenario(pedantic=True) as net:
            net.interrupts(at=1)
            net.run(main)


# -- a server that returns ------------------------------------------------------------------------------


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


# -- several runs, files, modules -------------------------------------------------------------------------


def test_a_scenario_may_run_one_server_after_the_other() -> None:
    with Scenario() as net:
        alice = net.client("alice").expects(b"one").expects_eof()
        net.run(one, lambda conn: conn.sendall(b"one"))
        bob = net.client("bob").expects(b"two").expects_eof()
        net.run(one, lambda conn: conn.sendall(b"two"))
        net.run(time.monotonic)
    assert (alice.received, bob.received) == (b"one", b"two")


def test_a_script_is_played_once() -> None:
    text = r"\Athis scenario is at its end: a script is played once; make a new Scenario\Z"
    with Scenario() as net:
        hello(net)
        net.run(echo)
        with pytest.raises(RuntimeError, match=text):
            net.run(echo)


def test_no_client_is_added_after_the_end() -> None:
    text = r"\Athis scenario is at its end: add clients before net\.run\(\) is called, or while it runs"
    with Scenario() as net:
        hello(net)
        net.run(echo)
        with pytest.raises(RuntimeError, match=text):
            net.client("bob")


def test_no_step_is_added_after_the_end() -> None:
    text = r"\Athis scenario is at its end: add steps before net\.run\(\) is called, or while it runs"
    with Scenario() as net:
        alice = net.client("alice").closes()
        net.run(echo)
        with pytest.raises(RuntimeError, match=text):
            alice.sends(b"hi")


SERVER = """\
import socket, sys
answer = b"hi from " + " ".join([__name__, *sys.argv[1:]]).encode()
with socket.create_server(("", int(sys.argv[1]))) as listener:
    conn, _ = listener.accept()
    with conn:
        conn.sendall(answer)
"""


def test_a_file_is_run_as_python_runs_it(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("number = 42\n")
    (tmp_path / "server.py").write_text("import neighbour\n" + SERVER)
    before = sys.argv, sys.path[:]
    with Scenario() as net:
        net.client("alice").expects(b"hi from __main__ 8888 x").expects_eof()
        names = net.run_path(tmp_path / "server.py", ["8888", "x"])
    sys.modules.pop("neighbour")
    assert names is not None
    assert (names["answer"], names["neighbour"].number) == (b"hi from __main__ 8888 x", 42)
    assert (sys.argv, sys.path) == before


def test_a_file_sees_its_own_name_in_argv(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text("import sys\nargv = sys.argv\n")
    with Scenario() as net:
        names = net.run_path(str(tmp_path / "server.py"), ["a"])
    assert names is not None
    assert names["argv"] == [str(tmp_path / "server.py"), "a"]


def test_a_module_is_run_as_python_m_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_package").mkdir()
    (tmp_path / "a_package" / "__init__.py").write_text("")
    (tmp_path / "a_package" / "__main__.py").write_text(SERVER)
    monkeypatch.chdir(tmp_path)
    before = sys.argv
    with Scenario() as net:
        net.client("alice").expects(b"hi from __main__ 8888").expects_eof()
        names = net.run_module("a_package", ["8888"])
    sys.modules.pop("a_package")
    assert names is not None
    assert names["answer"] == b"hi from __main__ 8888"
    assert before is sys.argv


@pytest.mark.parametrize("code", ["", "0", "None"])
def test_a_program_that_exits_without_an_error_has_ended(tmp_path: Path, code: str) -> None:
    (tmp_path / "program.py").write_text(f"import sys\nsys.exit({code})\n")
    with Scenario() as net:
        assert net.run_path(tmp_path / "program.py") is None


def test_a_program_that_exits_with_an_error_is_told(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys\nsys.exit('usage: program')\n")
    with Scenario() as net, pytest.raises(SystemExit, match=r"\Ausage: program\Z"):
        net.run_path(tmp_path / "program.py")


def test_a_file_that_serves_for_ever_is_ended(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text("import scenario_servers\nscenario_servers.echo()\n")
    with Scenario() as net:
        hello(net)
        assert net.run_path(tmp_path / "server.py") is None


# -- by hand ------------------------------------------------------------------------------------------------


def test_a_selector_and_a_listener_can_be_passed_in_by_hand() -> None:
    def serve(selector: selectors.BaseSelector, listener: socket.socket) -> NoReturn:
        selector.register(listener, EVENT_READ)
        while True:
            step(selector, listener, selector.select())

    with Scenario() as net:
        hello(net, to=9999)
        net.run(serve, net.selector(), net.listener(("localhost", 9999), backlog=5))


def test_a_listener_without_an_address_gets_a_port_that_clients_find() -> None:
    with Scenario(allow={"unaccepted-connection", "unmet-expectation"}) as net:
        listener = net.listener()
        net.client("alice", to=listener.getsockname()[1]).does(lambda: seen.append("connected"))
        seen: list[str] = []
        net.run(lambda: time.sleep(1))
    assert seen == ["connected"]


@pytest.mark.parametrize(
    ("address", "family"),
    [(("localhost", 1), socket.AF_INET), (("::1", 1), socket.AF_INET6), (("::", 1, 0, 0), socket.AF_INET6)],
    ids=["v4", "v6", "any-v6"],
)
def test_a_listener_is_of_the_family_of_its_address(address: tuple[Any, ...], family: int) -> None:
    with Scenario() as net:
        assert (family, address[1]) == (net.listener(address).family, 1)


def test_a_server_that_is_called_directly_is_told_to_let_the_scenario_call_it() -> None:
    text = (
        r"\AThe run came to its end, but the server was called directly, so that its end went through the test:"
        r" let the scenario call it, net\.run\(serve, \.\.\.\) and not serve\(\.\.\.\)\Z"
    )
    with pytest.raises(RuntimeError, match=text):
        with Scenario(allow={"stuck"}) as net:
            net.selector().select(None)


def test_a_violation_of_a_server_that_is_called_directly_comes_out_as_itself() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice waits in vain for b'hi', and the server sleeps"):
        with Scenario() as net:
            net.client("alice").expects(b"hi")
            with net.listener() as listener:
                selector = net.selector()
                selector.register(listener, EVENT_READ)
                while True:
                    try:
                        if selector.select():
                            conn, _ = listener.accept()
                            selector.register(conn, EVENT_READ)
                    except Exception:
                        pass


def test_a_server_called_directly_may_come_back_by_itself() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi").closes()
        with net.listener() as listener:
            conn, _ = listener.accept()
            assert read_all(conn) == [b"hi"]
            conn.close()


# -- what comes out ---------------------------------------------------------------------------------------


def test_what_the_server_raises_comes_out() -> None:
    with Scenario() as net:
        with pytest.raises(ZeroDivisionError, match="division by zero"):
            net.run(lambda: 1 / 0)


def breaks_a_rule() -> None:
    """Read where nothing ever comes."""
    one(lambda conn: conn.recv(1))


def test_a_finding_is_a_note_to_what_the_server_raises_on_its_own() -> None:
    def serve() -> None:
        try:
            breaks_a_rule()
        except Exception:
            pass
        sys.exit("on its own")

    with pytest.raises(SystemExit, match=r"\Aon its own") as caught:
        with Scenario() as net, noted():
            net.client("alice")
            net.run(serve)
    notes: list[str] = getattr(caught.value, "__notes__", [])
    assert [note.splitlines()[0] for note in notes] == [
        "[read-without-data] alice was read with nothing there, and the read blocks"
    ]


def noted() -> Any:
    """On 3.10 a note is a warning, too."""
    import contextlib

    return contextlib.nullcontext() if sys.version_info >= (3, 11) else pytest.warns(UserWarning, match="besides")


def test_a_finding_takes_the_place_of_what_the_server_makes_of_it() -> None:
    def serve() -> None:
        try:
            breaks_a_rule()
        except Exception as error:
            raise ZeroDivisionError("of the server") from error

    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice was read with nothing there") as caught:
        with Scenario() as net:
            net.client("alice")
            net.run(serve)
    assert str(caught.value.__cause__) == "of the server"


def test_what_was_on_its_way_when_a_finding_displaced_it_comes_out() -> None:
    def serve() -> None:
        try:
            raise ZeroDivisionError("of the server")
        finally:
            breaks_a_rule()

    with pytest.raises(ZeroDivisionError, match=r"\Aof the server") as caught:
        with Scenario() as net, noted():
            net.client("alice")
            net.run(serve)
    assert "read-without-data" in "".join(getattr(caught.value, "__notes__", []))


def test_what_was_on_its_way_when_the_end_displaced_it_comes_out() -> None:
    def serve() -> None:
        try:
            raise ZeroDivisionError("of the server")
        finally:
            echo()

    with pytest.raises(ZeroDivisionError, match=r"\Aof the server\n"):
        with Scenario() as net:
            hello(net)
            net.run(serve)


@pytest.mark.parametrize("swallowed", [Exception, BaseException])
@pytest.mark.parametrize("inside", [True, False], ids=["in-the-handler", "around-select"])
def test_a_violation_comes_out_though_the_server_swallows(swallowed: type[BaseException], inside: bool) -> None:
    def handle(selector: selectors.BaseSelector, listener: socket.socket) -> None:
        for key, _ in selector.select():
            try:
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    key.fileobj.sendall(b"wrong")
            except swallowed:
                if not inside:
                    raise

    def serve() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
            selector.register(listener, EVENT_READ)
            while True:
                try:
                    handle(selector, listener)
                except swallowed:
                    pass

    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice was sent b'wr' where it expects b'hi'"):
        with Scenario() as net:
            hello(net)
            net.run(serve)


def test_a_busy_loop_comes_out_though_it_swallows_and_goes_on() -> None:
    def handle(conn: socket.socket) -> NoReturn:
        conn.setblocking(False)
        while True:
            try:
                conn.recv(1)
            except Exception:
                pass

    text = "recv() on alice was tried 1000 times in a row in vain, without going back to select()"
    with pytest.raises(ScenarioError, match=headline(text, "busy-loop")):
        with Scenario() as net:
            net.client("alice")
            net.run(one, handle)


def test_a_refusal_comes_out_though_the_server_swallows() -> None:
    def serve() -> None:
        import threading

        try:
            threading.Thread(target=echo).start()
        except NotImplementedError:
            pass
        echo()

    with pytest.raises(NotImplementedError, match=r"\Athreads and processes are not simulated"):
        with Scenario() as net:
            hello(net)
            net.run(serve)


def test_a_finding_at_the_end_is_a_note_to_nothing_when_the_test_itself_fails() -> None:
    with pytest.raises(AssertionError, match=r"\Aof the test\Z") as caught:
        with Scenario() as net:
            hello(net)
            raise AssertionError("of the test")
    assert not hasattr(caught.value, "__notes__")


# -- verify, dropped ----------------------------------------------------------------------------------------


def test_verify_judges_the_end() -> None:
    net = Scenario()
    hello(net)
    net.run(lambda: None)
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice was never connected"):
        net.verify()


def test_verify_is_silent_when_all_is_well() -> None:
    net = Scenario()
    hello(net)
    net.run(echo)
    net.verify()
    net.verify()


def test_a_scenario_whose_finding_nobody_has_seen_warns_when_it_is_dropped() -> None:
    def drops() -> None:
        net = Scenario()
        hello(net)
        net.run(lambda: None)

    with pytest.warns(UserWarning) as caught:
        drops()
        gc.collect()
    text = (
        "a Scenario was dropped, and nobody has seen what it found: use `with Scenario() as net:` or net.verify()\n\n"
        "[unmet-expectation] alice was never connected: the server returned before it could connect\n"
    )
    assert [str(warning.message).startswith(text) for warning in caught] == [True]
    assert __file__ == caught[0].filename


def test_a_scenario_that_is_dropped_with_all_well_does_not_warn() -> None:
    def drops() -> None:
        net = Scenario()
        hello(net)
        net.run(echo)

    drops()
    gc.collect()


def test_a_scenario_that_is_dropped_unused_does_not_warn() -> None:
    Scenario()
    gc.collect()


def test_a_scenario_that_could_not_be_made_does_not_warn() -> None:
    with pytest.raises(ValueError, match="buffer= takes"):
        Scenario(buffer=0)
    gc.collect()


# -- sockets ------------------------------------------------------------------------------------------------


def test_the_table_shows_every_socket_and_every_peer_without_one() -> None:
    def look() -> None:
        rows.extend(net.sockets())
        texts.append(str(net.sockets()))

    rows: list[SocketRow] = []
    texts: list[str] = []
    with Scenario(allow={"unaccepted-connection", "unmet-expectation", "unread-data"}) as net:
        net.client("alice", to=PORT).sends(b"hi").expects(b"hi").waits(10).closes()
        net.client("bob", to=PORT).waits(1).sends(b"you").closes()
        net.client("carol", to=PORT).waits(1).resets()
        net.client("dave", to=9999).sends(b"x")
        net.client("eve", to=PORT, delay=3).sends(b"you")
        net.client("watch", to=7777).waits(5).does(look).waits(100)
        kept = net.listener(("", 7777))
        net.run(shows)
        kept.close()
    assert texts == [
        "name        state          interest  unread  unsent  script\n"
        "listener    listening                1       0\n"
        "listener 2  listening      READ      1       0\n"
        "alice       connected      READ      0       0       step 3 of 4: it waits 10 s\n"
        "bob         peer closed    READ      3       0       step 3 of 3: its script is at its end\n"
        "carol       peer reset     READ      0       0       step 2 of 2: its script is at its end\n"
        "dave        not connected            0       0       step 1 of 1: it waits for somebody to listen\n"
        "eve         not accepted             3       0       step 1 of 1: its script is at its end\n"
        "watch       not accepted             0       0       step 2 of 3: it does look()"
    ]
    assert SocketRow("alice", "connected", "READ", 0, 0, "step 3 of 4: it waits 10 s") == rows[2]


def shows() -> None:
    """Accept three, echo to the first, and leave it at that."""
    with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
        selector.register(listener, EVENT_READ)
        conns: list[socket.socket] = []
        while len(conns) < 3:
            selector.select()
            conns.append(listener.accept()[0])
            selector.register(conns[-1], EVENT_READ)
        conns[0].sendall(conns[0].recv(9))
        time.sleep(20)
        for conn in conns:
            selector.unregister(conn)
            conn.close()


def test_a_socket_whose_end_was_read_is_in_the_table_as_such() -> None:
    def handle(conn: socket.socket) -> list[SocketRow]:
        read_all(conn)
        return list(net.sockets())

    with Scenario() as net:
        net.client("alice").closes()
        rows = net.run(one, handle)
    assert rows == [
        SocketRow("listener", "listening", "", 0, 0, ""),
        SocketRow("alice", "eof", "", 0, 0, "step 1 of 1: its script is at its end"),
    ]


def test_a_connection_of_the_program_to_itself_has_no_script_in_the_table() -> None:
    def main() -> list[str]:
        with socket.create_server(("", PORT)), socket.create_connection(("localhost", PORT)):
            return [row.script for row in net.sockets()]

    with Scenario() as net:
        assert net.run(main) == ["", ""]


def test_the_table_is_a_sequence_of_rows() -> None:
    with Scenario() as net:
        kept = net.listener(("", 1)), net.listener(("", 2))
        table = net.sockets()
        for listener in kept:
            listener.close()
    assert (len(table), table[0].name, [row.name for row in table[1:]]) == (2, "listener", ["listener 2"])


def test_the_table_says_how_long_it_is() -> None:
    with Scenario() as net:
        kept = net.listener()
        assert repr(net.sockets()) == "<SocketTable of 1 sockets>"
        kept.close()


def test_the_table_of_nothing_has_only_a_head() -> None:
    with Scenario() as net:
        assert str(net.sockets()) == "name  state  interest  unread  unsent  script"


def sends_hi(conn: socket.socket) -> None:
    conn.sendall(b"hi")
    conn.recv(1)


def test_what_the_peer_has_not_read_is_in_the_table() -> None:
    with Scenario() as net:
        net.client("alice").waits(5).does(lambda: rows.append(net.sockets()[1])).expects(b"hi").closes()
        rows: list[SocketRow] = []
        net.run(one, sends_hi)
    assert rows == [SocketRow("alice", "connected", "", 0, 2, "step 2 of 4: it does <lambda>()")]


# -- allow ----------------------------------------------------------------------------------------------------


def sends_wrong(conn: socket.socket) -> None:
    conn.sendall(b"wrong")
    conn.recv(1)


def goes_wrong(conn: socket.socket) -> None:
    conn.sendall(b"wrong!")


def hangs_up(conn: socket.socket) -> None:
    """Hang up by a reset, with all read."""
    conn.recv(9)
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def never_answers(conn: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(conn, EVENT_READ)
        while not selector.select():
            pass


def waits_for_data(conn: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(conn, EVENT_READ)
        assert conn.recv(9) == b"hi"
        selector.unregister(conn)


def waits_for_room(conn: socket.socket) -> None:
    conn.sendall(b"x" * 10)


ALLOWED: list[tuple[RuleId, bool, Callable[[Peer], object], Callable[[socket.socket], object]]] = [
    ("unexpected-send", False, lambda peer: peer.expects(b"right").closes(), sends_wrong),
    ("unexpected-send", False, lambda peer: peer.expects(b"right", until=5).closes(), sends_wrong),
    ("unexpected-send", False, lambda peer: peer.expects_nothing(1).closes(), sends_wrong),
    ("unexpected-send", False, lambda peer: peer.expects_eof(), lambda conn: conn.sendall(b"wrong")),
    ("unexpected-send", False, lambda peer: peer.waits(1).expects(b"w", until=1).expects(b"right"), goes_wrong),
    ("unmet-expectation", False, lambda peer: peer.expects(b"hi").sends(b"you"), nothing),
    ("unmet-expectation", False, lambda peer: peer.expects(b"hi", until=2).sends(b"you"), nothing),
    ("unmet-expectation", False, lambda peer: peer.waits(1).sends(b"hi").sends(b"you"), nothing),
    ("unmet-expectation", False, lambda peer: peer.sends(b"hi").waits(1).expects_eof(), hangs_up),
    ("unmet-expectation", False, lambda peer: peer.sends(b"hi").waits(1).expects(b"", until="eof"), hangs_up),
    ("stuck", False, lambda peer: peer.expects(b"hi").sends(b"you").closes(), never_answers),
    ("blocking-read", True, lambda peer: peer.waits(2).sends(b"hi").waits(1).closes(), waits_for_data),
    ("blocking-send", True, lambda peer: peer.waits(2).expects(b"x" * 10).closes(), waits_for_room),
]  # fmt: skip


@pytest.mark.parametrize("where", ["scenario", "client"])
@pytest.mark.parametrize(("rule", "pedantic", "play", "handle"), ALLOWED, ids=[rule for rule, *_ in ALLOWED])
def test_a_rule_is_not_judged_where_it_is_allowed(
    where: str, rule: RuleId, pedantic: bool, play: Callable[[Peer], object], handle: Callable[[socket.socket], object]
) -> None:
    allowed: tuple[RuleId, ...] = (rule,)
    with Scenario(allow=allowed * (where == "scenario"), pedantic=pedantic) as net:
        play(net.client("alice", allow=allowed * (where == "client"), buffer=6))
        net.run(one, handle)


@pytest.mark.parametrize(("rule", "pedantic", "play", "handle"), ALLOWED, ids=[rule for rule, *_ in ALLOWED])
def test_a_rule_is_judged_where_another_is_allowed(
    rule: RuleId, pedantic: bool, play: Callable[[Peer], object], handle: Callable[[socket.socket], object]
) -> None:
    with pytest.raises(ScenarioError, match=rf"\[{rule}\]"):
        with Scenario(pedantic=pedantic) as net:
            net.client("bob", delay=1e6, allow={rule})
            play(net.client("alice", allow={"busy-loop"}, buffer=6))
            net.run(one, handle)


@pytest.mark.parametrize("where", ["scenario", "client"])
def test_a_send_without_room_is_not_judged_where_it_is_allowed_and_its_peer_is_stuck(where: str) -> None:
    allowed: tuple[RuleId, ...] = ("send-without-room",)
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice waits in vain for room to send, and the server sleeps"):
        with Scenario(allow=allowed * (where == "scenario")) as net:
            net.client("alice", allow=allowed * (where == "client"), buffer=6).sends(b"y" * 10).closes()
            net.run(one, waits_for_room)


@pytest.mark.parametrize("rule", ["blocking-read", "blocking-send"])
def test_a_pedantic_rule_is_not_judged_unless_asked_for(rule: RuleId) -> None:
    play, handle = next((play, handle) for name, _, play, handle in ALLOWED if name == rule)
    with Scenario() as net:
        play(net.client("alice", buffer=6))
        net.run(one, handle)


def test_a_select_that_returns_again_and_again_is_a_busy_loop_though_the_server_does_something() -> None:
    def handle(conn: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(conn, selectors.EVENT_WRITE)
            for number in itertools.count():
                selector.select()
                selector.modify(conn, selectors.EVENT_WRITE, number)

    text = "select() returned 1000 times in a row (alice WRITE), and no byte was moved in between"
    with pytest.raises(ScenarioError, match=headline(text, "busy-loop")):
        with Scenario() as net:
            net.client("alice").waits(5).closes()
            net.run(one, handle)


@pytest.mark.parametrize("where", ["scenario", "client"])
def test_a_busy_loop_that_is_allowed_lets_time_pass(where: str) -> None:
    def handle(conn: socket.socket) -> float:
        with selectors.DefaultSelector() as selector:
            selector.register(conn, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while selector.select()[0][1] == selectors.EVENT_WRITE:
                pass
        return net.now

    allowed: tuple[RuleId, ...] = ("busy-loop",)
    with Scenario(allow=allowed * (where == "scenario")) as net:
        net.client("alice", allow=allowed * (where == "client")).waits(5).closes()
        assert net.run(one, handle) == 5.0


def test_a_server_that_waits_where_stuck_is_allowed_is_ended_in_the_end() -> None:
    with Scenario(allow={"stuck", "unmet-expectation"}) as net:
        net.client("alice").expects(b"ho")
        assert net.run(echo) is None


# -- backends -------------------------------------------------------------------------------------------------


def asks(conn: socket.socket) -> bytes:
    conn.sendall(b"q")
    return conn.recv(100)


def test_a_backend_answers() -> None:
    with Scenario() as net:
        db = net.backend(DB).expects(b"q").sends(b"r").expects_eof()
        assert net.run(calls, asks) == b"r"
    assert db.received == b"q"


def test_a_backend_goes_by_its_host() -> None:
    with Scenario() as net:
        net.backend(DB).expects_eof()
        net.run(calls, nothing)
    assert [row.socket for row in net.trace if row.operation.startswith("connect")] == ["db"]


def test_a_backend_may_have_a_name() -> None:
    text = "the database was sent b'q' where it expects b'Q'"
    with pytest.raises(ScenarioError, match=headline(text, "unexpected-send")):
        with Scenario() as net:
            net.backend(DB, "the database").expects(b"Q")
            net.run(calls, asks)


def test_a_backend_may_be_given_its_steps() -> None:
    with Scenario() as net:
        net.backend(DB, steps=[Expects(b"q"), Sends(b"r")])
        assert net.run(calls, asks) == b"r"


@pytest.mark.parametrize("blocking", [True, False])
def test_a_backend_that_refuses(blocking: bool) -> None:
    def main() -> float:
        with pytest.raises(ConnectionRefusedError, match="Connection refused"):
            calls(nothing) if blocking else connects_later()
        return net.now

    with Scenario() as net:
        net.backend(DB, refuses=True, delay=2)
        assert net.run(main) == 2.0


def connects_later() -> None:
    """Connect without blocking, and wait in a selector."""
    with socket.socket() as sock, selectors.DefaultSelector() as selector:
        sock.setblocking(False)
        number = sock.connect_ex(DB)
        assert os.strerror(number) == "Operation now in progress"
        selector.register(sock, selectors.EVENT_WRITE)
        assert selector.select()
        selector.unregister(sock)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("blocking", [True, False])
def test_a_backend_that_takes_its_time(blocking: bool) -> None:
    def main() -> float:
        calls(nothing) if blocking else connects_later()
        return net.now

    with Scenario() as net:
        net.backend(DB, delay=2.5).expects_eof()
        assert net.run(main) == 2.5


@pytest.mark.parametrize("delay", [None, 200.0])
@pytest.mark.parametrize("blocking", [True, False])
def test_a_backend_that_never_answers_is_given_up_as_linux_does(blocking: bool, delay: float | None) -> None:
    def main() -> float:
        with pytest.raises(TimeoutError, match=r"timed out"):
            calls(nothing) if blocking else connects_later()
        return net.now

    with Scenario() as net:
        net.backend(DB, delay=delay)
        assert net.run(main) == 127.0


def test_the_first_connection_gets_the_first_backend_and_the_second_the_second() -> None:
    with Scenario() as net:
        net.backend(DB).expects(b"q").sends(b"one")
        net.backend(DB).expects(b"q").sends(b"two")
        assert net.run(lambda: [calls(asks), calls(asks)]) == [b"one", b"two"]


def test_a_third_connection_finds_no_more_backends() -> None:
    text = "the program connects to ('db', 5432), where the scenario has no more backends"
    with pytest.raises(ScenarioError, match=headline(text, "unscripted-connection")):
        with Scenario() as net:
            net.backend(DB).expects(b"q").sends(b"one")
            net.run(lambda: [calls(asks), calls(asks)])


def test_another_port_has_no_backend() -> None:
    text = "the program connects to ('db', 5433), where the scenario has no backend"
    with pytest.raises(ScenarioError, match=headline(text, "unscripted-connection")) as caught:
        with Scenario() as net:
            net.backend(DB)
            net.run(lambda: socket.create_connection(("db", 5433)))
    assert "net.backend(('db', 5433))" in str(caught.value)


def test_an_unknown_host_has_no_backend() -> None:
    text = "the program connects to 'nowhere', which the scenario does not know"
    with pytest.raises(ScenarioError, match=headline(text, "unscripted-connection")):
        with Scenario() as net:
            net.run(lambda: socket.create_connection(("nowhere", 1)))


def test_an_unscripted_connection_is_refused_where_it_is_allowed() -> None:
    def main() -> None:
        with pytest.raises(ConnectionRefusedError, match="Connection refused"):
            socket.create_connection(("192.0.2.1", 1))

    with Scenario(allow={"unscripted-connection"}) as net:
        net.run(main)


def test_an_unknown_host_is_unknown_where_unscripted_connections_are_allowed() -> None:
    def main() -> None:
        with pytest.raises(socket.gaierror, match="Name or service not known"):
            socket.create_connection(("nowhere", 1))

    with Scenario(allow={"unscripted-connection"}) as net:
        net.run(main)


def test_a_backend_that_is_not_used_is_told() -> None:
    text = "db was never connected to"
    with pytest.raises(ScenarioError, match=headline(text, "unmet-expectation")):
        with Scenario() as net:
            net.backend(DB).expects(b"q")
            net.run(lambda: None)


def test_a_backend_that_is_not_used_does_not_keep_a_run_from_its_end() -> None:
    net = Scenario()
    with pytest.raises(ScenarioError, match=headline("db was never connected to", "unmet-expectation")):
        with net:
            net.backend(DB).expects(b"q")
            hello(net)
            net.run(echo)
    assert net.now == 0.0


def test_a_backend_may_be_left_unused_where_that_is_allowed() -> None:
    with Scenario() as net:
        net.backend(DB, allow={"unmet-expectation"}).expects(b"q")
        net.run(lambda: None)


def test_a_backend_that_is_closed_on_while_it_is_dialled_is_not_met() -> None:
    def main() -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(DB)
        time.sleep(10)

    with Scenario(allow={"unmet-expectation"}) as net:
        net.backend(DB, delay=5).expects(b"q")
        net.run(main)


def test_a_backend_has_a_buffer_of_its_own() -> None:
    with Scenario() as net:
        net.backend(DB, buffer=4).sends(b"abcdef").closes()
        assert net.run(calls, read_all) == [b"abcd", b"ef"]


@pytest.mark.parametrize(
    ("address", "family"),
    [(("10.0.0.1", 80), socket.AF_INET), (("localhost", 80), socket.AF_INET), (("::1", 80), socket.AF_INET6)],
    ids=["v4", "name", "v6"],
)
def test_a_backend_may_be_at_any_kind_of_address(address: tuple[str, int], family: int) -> None:
    def main() -> int:
        with socket.create_connection(address) as conn:
            return int(conn.family)

    with Scenario() as net:
        net.backend(address).expects_eof()
        assert net.run(main) == family


def test_a_program_that_connects_to_itself_needs_no_backend() -> None:
    def main() -> bytes:
        with (
            socket.create_server(("localhost", PORT)) as listener,
            socket.create_connection(("localhost", PORT)) as near,
        ):
            far, _ = listener.accept()
            with far:
                far.sendall(b"hi")
                return near.recv(9)

    with Scenario() as net:
        assert net.run(main) == b"hi"


def test_a_bound_socket_keeps_its_address_when_it_connects() -> None:
    def main() -> object:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 4321))
            sock.connect(DB)
            return sock.getsockname()

    with Scenario() as net:
        net.backend(DB).expects_eof()
        assert net.run(main) == ("127.0.0.1", 4321)


if sys.platform != "win32":

    def test_a_backend_may_be_at_a_path() -> None:
        def main() -> tuple[bytes, object, object]:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect("/run/db.sock")
                return asks(sock), sock.getpeername(), sock.getsockname()

        with Scenario() as net:
            net.backend("/run/db.sock").expects(b"q").sends(b"r").expects_eof()
            assert net.run(main) == (b"r", "/run/db.sock", "")

    def test_a_path_without_a_backend_is_told() -> None:
        text = "the program connects to '/run/db.sock', where the scenario has no backend"
        with pytest.raises(ScenarioError, match=headline(text, "unscripted-connection")):
            with Scenario() as net:
                net.run(lambda: socket.socket(socket.AF_UNIX).connect("/run/db.sock"))

    def test_a_listener_may_be_at_a_path(tmp_path: Path) -> None:
        path = str(tmp_path / "socket")
        with Scenario() as net:
            net.client("alice", to=path).sends(b"hi").closes()
            listener = net.listener(path)
            assert net.run(lambda: read_all(listener.accept()[0])) == [b"hi"]
            assert Path(path).is_socket()
        assert not Path(path).exists()

    def test_a_signal_handler_is_called_in_the_middle_of_a_run() -> None:
        def main() -> object:
            before = signal.signal(signal.SIGTERM, stops)
            try:
                net.on_end(lambda: os.kill(os.getpid(), signal.SIGTERM))
                return until_stopped(lambda: [*flag])
            finally:
                signal.signal(signal.SIGTERM, before)

        def stops(_number: int, _frame: object) -> None:
            flag.append("stop")

        flag: list[str] = []
        with Scenario() as net:
            hello(net)
            assert net.run(main) == ["stop"]


# -- giving up on a slow peer, and what has come when the server returns ------------------------------------


def gives_up_after_a_timeout() -> None:
    """Send a lot, for thirty seconds at most."""
    with socket.create_server(("localhost", 8888)) as listener:
        conn, _ = listener.accept()
        with conn:
            conn.settimeout(30)
            data = memoryview(b"x" * 200_000)
            try:
                while data:
                    data = data[conn.send(data) :]
            except TimeoutError:
                pass


def test_giving_a_slow_peer_up_loses_nothing_in_silence() -> None:
    with Scenario() as net:
        net.client("alice").waits(100)
        net.run(gives_up_after_a_timeout)


def test_closing_after_a_short_send_loses_the_rest() -> None:
    def serve() -> None:
        with socket.create_server(("localhost", 8888)) as listener:
            conn, _ = listener.accept()
            with conn:
                conn.settimeout(30)
                conn.send(b"x" * 200_000)

    with pytest.raises(ScenarioError, match=r"^\[.+?\] alice took 65536 of 200000 bytes from send\(\)"):
        with Scenario() as net:
            net.client("alice").waits(100)
            net.run(serve)


def test_peers_have_taken_what_has_come_when_the_server_returns() -> None:
    def serve() -> None:
        with socket.create_server(("localhost", 8888)) as listener, listener.accept()[0] as conn:
            conn.sendall(b"hi")

    with Scenario() as net:
        alice = net.client("alice").expects(b"hi").closes()
        net.run(serve)
        assert alice.received == b"hi"


# -- when all is over -----------------------------------------------------------------------------------------


def test_a_backend_that_is_never_connected_has_no_steps() -> None:
    net = Scenario()
    net._settled = True
    with pytest.raises(RuntimeError, match=r"^db has refuses=True: it is never connected, and has no steps to take$"):
        net.backend(("db", 5432), refuses=True).expects(b"q")
    with pytest.raises(RuntimeError, match=r"^db \(2\) has delay=None: it is never connected"):
        net.backend(("db", 5432), delay=None).expects(b"q")


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

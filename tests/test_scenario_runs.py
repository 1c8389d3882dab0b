"""How a test runs a server, and asks it to stop: functions at the end, interrupts, one run after the other, files."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from selectors import EVENT_READ
from socketserver import StreamRequestHandler, TCPServer
from typing import Any, NoReturn

import pytest

from mockselector import Scenario, ScenarioError
from scenario_servers import PORT, echo, headline, hello, one, read_all, step, until_stopped

# -- on_end, interrupts ----------------------------------------------------------------------------


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


@pytest.mark.parametrize("threads", [False, True])
def test_such_a_function_may_not_wait_for_the_server_which_cannot_go_on_meanwhile(threads: bool) -> None:
    def serve() -> None:
        if threads:
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        echo()

    def waits() -> None:
        while True:
            time.sleep(0.5)

    with Scenario(grace=20) as net:
        hello(net)
        net.on_end(waits)
        with pytest.raises(RuntimeError, match=r"^what net.on_end\(\) was given still waits, in time.sleep\(\), 20 s"):
            net.run(serve)
        assert net.now == 20


def test_a_thread_may_wait_for_it() -> None:
    def serve() -> str:
        def stop() -> None:
            server.shutdown()
            stopped.append(net.now)

        with TCPServer(("", PORT), StreamRequestHandler) as server:
            net.on_end(threading.Thread(target=stop).start)
            server.serve_forever(poll_interval=10)
        return "stopped"

    stopped: list[float] = []
    with Scenario() as net:
        net.client("alice").expects_eof()
        assert net.run(serve) == "stopped"
    assert stopped == [net.now]


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


if sys.platform != "win32":

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


# -- several runs, files, modules ------------------------------------------------------------------


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


# -- by hand ---------------------------------------------------------------------------------------


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


if sys.platform != "win32":

    def test_a_listener_may_be_at_a_path(tmp_path: Path) -> None:
        path = str(tmp_path / "socket")
        with Scenario() as net:
            net.client("alice", to=path).sends(b"hi").closes()
            listener = net.listener(path)
            assert net.run(lambda: read_all(listener.accept()[0])) == [b"hi"]
            assert Path(path).is_socket()
        assert not Path(path).exists()

"""While a scenario's block is open, a server that is called past it is told so, instead of waiting for ever."""

from __future__ import annotations

import _thread
import asyncio
import gc
import http.server
import os
import re
import selectors
import socket
import socketserver
import subprocess
import sys
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from measured import PYTHON
from mockselector import Scenario, ScenarioTestCase

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

TOLD = r"^listen\(\) is called on a real socket: a scenario's block is open, but this code runs outside of it"
ANY_PORT = ("127.0.0.1", 0)

# What a thread raises is on purpose here.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def serve(port: int = 0) -> None:
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.accept()


def serve_by_socketserver() -> None:
    with socketserver.TCPServer(ANY_PORT, socketserver.BaseRequestHandler) as server:
        server.handle_request()


def serve_by_http() -> None:
    http.server.HTTPServer(ANY_PORT, http.server.SimpleHTTPRequestHandler).serve_forever()


def serve_by_selectors() -> None:
    with selectors.DefaultSelector() as selector, socket.socket() as listener:
        listener.listen()
        selector.register(listener, selectors.EVENT_READ)
        selector.select()


def serve_by_asyncio() -> None:
    async def main() -> None:
        server = await asyncio.start_server(print, *ANY_PORT)
        async with server:
            await server.serve_forever()

    asyncio.run(main())


def serve_and_swallow() -> None:
    try:
        serve()
    except Exception:
        pass


def in_a_thread(target: Callable[[], object]) -> None:
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()


def in_a_thread_of_a_thread(target: Callable[[], object]) -> None:
    in_a_thread(lambda: in_a_thread(target))


def in_a_bare_thread(target: Callable[[], object]) -> None:
    done = _thread.allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            target()
        except NotImplementedError:
            pass
        finally:
            done.release()

    _thread.start_new_thread(run, ())
    with done:
        pass


def in_a_pool(target: Callable[[], object]) -> None:
    with ThreadPoolExecutor() as pool:
        pool.submit(target)


SERVERS = [serve, serve_by_socketserver, serve_by_http, serve_by_selectors, serve_by_asyncio, serve_and_swallow]


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: str(server.__name__))
def test_a_server_that_is_called_in_the_block_is_told_what_to_write(server: Callable[[], None]) -> None:
    with pytest.raises(NotImplementedError, match=TOLD), Scenario() as net:
        net.client("alice")
        server()


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: str(server.__name__))
@pytest.mark.parametrize("start", [in_a_thread, in_a_thread_of_a_thread, in_a_bare_thread, in_a_pool])
def test_one_in_a_thread_comes_out_at_the_end_of_the_block(
    start: Callable[[Callable[[], object]], None], server: Callable[[], None]
) -> None:
    with pytest.raises(NotImplementedError, match=TOLD), Scenario() as net:
        net.client("alice")
        start(server)


def test_a_runner_of_asyncio_is_not_taken_for_the_server() -> None:
    async def main() -> None:
        await asyncio.start_server(lambda reader, writer: None, "localhost", 8888)

    with pytest.raises(NotImplementedError, match=r"net\.run\(serve, 9000\)") as caught, Scenario() as net:
        net.client("alice")
        asyncio.run(main())
    assert "not run(" not in str(caught.value)


def test_its_result_given_to_run_is_the_usual_mistake() -> None:
    with pytest.raises(NotImplementedError, match=r"net\.run\(serve, 0\), not serve\(0\) or net\.run\(serve\(0\)\)"):
        with Scenario() as net:
            net.run(serve(0))  # type: ignore[func-returns-value, call-overload]  # the mistake

    class Chat:
        def serve(self, port: int, name: str) -> None:
            serve(port)

    with pytest.raises(
        NotImplementedError, match=r"net\.run\(server\.serve, 0, 'chat'\), not server\.serve\(0, 'chat'\)"
    ):
        with Scenario():
            Chat().serve(0, "chat")


def test_the_target_of_a_thread_is_named() -> None:
    with pytest.raises(NotImplementedError, match=r"net\.run\(serve, 0\), .* without a thread of its own"), Scenario():
        thread = threading.Thread(target=serve, args=(0,))
        thread.start()
        thread.join()


def test_nothing_listens_then() -> None:
    listener = socket.socket()
    listener.bind(ANY_PORT)
    address = listener.getsockname()
    with pytest.raises(NotImplementedError, match=TOLD), Scenario():
        listener.listen()
    assert -1 == listener.fileno()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


@pytest.fixture
def net() -> Generator[Scenario]:
    with pytest.raises(NotImplementedError, match=TOLD), Scenario() as net:
        yield net


def test_a_block_that_a_fixture_has_entered_is_open(net: Scenario) -> None:
    with pytest.raises(NotImplementedError, match=r"net\.run\(serve"):
        serve()


def test_in_an_async_test_it_is_told_too() -> None:
    async def test() -> None:
        with Scenario():
            await asyncio.start_server(print, *ANY_PORT)

    with pytest.raises(NotImplementedError, match=TOLD) as caught:
        asyncio.run(test())
    assert "In a coroutine, enter the block by `async with Scenario() as net:`" in str(caught.value)


def test_it_is_the_violation_of_the_innermost_block() -> None:
    with Scenario():
        with pytest.raises(NotImplementedError, match=TOLD), Scenario():
            serve_and_swallow()


def test_and_of_the_outer_one_once_that_is_left() -> None:
    with pytest.raises(NotImplementedError, match=TOLD), Scenario():
        with Scenario():
            pass
        serve_and_swallow()


# -- none of the scenario's business ---------------------------------------------------------------


@contextmanager
def worker() -> Generator[Callable[[Callable[[], Any]], Any]]:
    """A thread that was there before, and does what it is given."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        yield lambda job: pool.submit(job).result()


def listens() -> bool:
    with socket.create_server(ANY_PORT) as listener, socket.create_connection(listener.getsockname()):
        return True


def test_one_that_is_verified_is_over_and_the_one_around_it_is_not() -> None:
    with pytest.raises(NotImplementedError, match=TOLD), Scenario() as outer:
        outer.client("alice")
        with Scenario() as inner:
            inner.run(int)
            inner.verify()
            serve()
    with Scenario() as net:
        net.run(int)
        net.verify()
        assert listens()


@pytest.mark.slow
def test_a_block_that_a_function_has_entered_is_open_where_no_runner_is(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import socket\n"
        "from mockselector import Scenario\n"
        "def enters():\n"
        "    net = Scenario()\n"
        "    net.__enter__()\n"
        "    return net\n"
        "net = enters()\n"
        "socket.create_server(('127.0.0.1', 0))\n"
    )
    done = subprocess.run([*PYTHON, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "listen() is called on a real socket" in done.stderr
    assert "Give the function to the scenario, and its arguments after it: net.run(serve, 9000)" in done.stderr


def test_a_thread_that_was_there_before_may_listen() -> None:
    with worker() as do, Scenario():
        assert do(listens)


def test_so_may_the_threads_that_it_starts() -> None:
    def starts() -> list[bool]:
        found: list[bool] = []
        in_a_thread(lambda: found.append(listens()))
        return found

    with worker() as do, Scenario():
        assert [True] == do(starts)


def test_a_thread_that_outlives_the_block_may_listen_afterwards() -> None:
    begin, found = threading.Event(), list[bool]()
    with Scenario():
        thread = threading.Thread(target=lambda: found.append(begin.wait() and listens()))
        thread.start()
    begin.set()
    thread.join()
    assert [True] == found


def test_before_and_after_a_block_anybody_may_listen() -> None:
    with ExitStack() as stack:
        net = Scenario()
        assert listens()
        stack.enter_context(net)
        stack.close()
        assert listens()


def test_blocks_in_several_threads_do_not_meet() -> None:
    barrier, found = threading.Barrier(3), list[str]()

    def test(name: str) -> None:
        try:
            with Scenario() as net:
                net.client(name).expects_eof()
                barrier.wait()
                if name == "wrong":
                    serve()
                net.run(lambda: socket.create_server(("", 1)).accept()[0].close())
            found.append(name)
        except NotImplementedError:
            found.append(f"told: {name}")

    threads = [threading.Thread(target=test, args=(name,)) for name in ("alice", "bob", "wrong")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["alice", "bob", "told: wrong"] == sorted(found)


@pytest.mark.parametrize("network", ["simulated", "loopback"])
def test_in_run_and_in_installed_a_server_listens(network: Any) -> None:
    with Scenario(network=network) as net:
        net.client("alice").expects_eof()
        with net.installed():
            listener = socket.create_server(ANY_PORT)
        net.run(lambda: listener.accept()[0].close())
        listener.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_was_forked_goes_its_own_way() -> None:
    with Scenario():
        child = os.fork()
        if not child:
            try:
                os._exit(0 if listens() else 1)
            finally:
                os._exit(2)
        assert (child, 0) == os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(socket, "_fallback_socketpair"), reason="this Python has it on Windows only")
def test_a_pair_of_sockets_may_be_made_by_listening() -> None:
    inside: Any = socket
    with Scenario():
        near, far = inside._fallback_socketpair()
        with near, far:
            near.send(b"x")
            assert b"x" == far.recv(9)


def test_what_a_test_has_put_in_the_place_of_listen_is_called() -> None:
    with patch.object(socket.socket, "listen", autospec=True) as listen:
        with worker() as do, Scenario(), socket.socket() as sock:
            do(sock.listen)
        listen.assert_called_once_with(sock)
    assert listens()


# -- put back --------------------------------------------------------------------------------------


def all_of_it() -> dict[str, object]:
    names: dict[str, object] = {"meta_path": tuple(sys.meta_path)}
    for owner in (_thread, threading, threading.Thread, socket.socket, asyncio.BaseEventLoop):
        names |= {f"{owner}.{name}": thing for name, thing in vars(owner).items() if not name.startswith("__")}
    return {name: thing for name, thing in names.items() if "_dangling" not in name and "_counter" not in name}


def test_with_the_last_block_all_is_put_back() -> None:
    before = all_of_it()
    first, second = Scenario(), Scenario()
    first.__enter__()
    held = all_of_it()
    second.__enter__()
    first.__exit__(None, None, None)
    assert held == all_of_it() != before
    second.__exit__(None, None, None)
    assert before == all_of_it()


def test_also_where_a_run_in_another_thread_outlasts_the_block() -> None:
    before = all_of_it()
    inside = threading.Event()

    lock = _thread.allocate_lock()
    lock.acquire()

    def waits_for_the_lock() -> None:
        net = Scenario()
        with net.installed():
            inside.set()
            with lock:
                pass

    thread = threading.Thread(target=waits_for_the_lock)
    with Scenario():
        thread.start()
        inside.wait()
    lock.release()
    thread.join()
    assert before == all_of_it()


def test_a_block_that_is_never_left_ends_with_its_scenario() -> None:
    before = all_of_it()
    Scenario().__enter__()
    assert listens()
    assert before == all_of_it()


def is_within_del(frame: Any) -> bool:
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


@pytest.mark.slow
def test_an_interrupt_at_any_moment_leaves_nothing_behind() -> None:
    """The lines of our code are counted, and each in turn is interrupted."""
    before = all_of_it()

    def interrupted_at(line: int) -> bool:
        left = line

        def trace(frame: Any, event: str, argument: object) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.endswith(os.path.join("_install", "open_blocks.py")) or is_within_del(
                frame
            ):
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
            return trace

        net = Scenario()
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            with net:
                net.run(int)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)  # coverage measures on
        return False

    line = 1
    gc.disable()
    while interrupted_at(line):
        gc.collect(0)  # an interrupt on the way into `__exit__` is made up for when the scenario is gone
        assert before == all_of_it(), line
        line += 1
    gc.enable()
    assert line > 50


class Listens:
    def __init__(self, port: int) -> None:
        self.listener = socket.create_server(("", port))


MADE = r"server = net\.run_until_complete\(Listens, 100\), not Listens\(100\)"


def test_an_object_that_listens_as_it_is_made_is_to_be_made_in_the_run() -> None:
    with pytest.raises(NotImplementedError, match=MADE), Scenario():
        Listens(100)


def test_so_a_case_of_unittest_is_told() -> None:
    class Case(ScenarioTestCase):
        __test__ = False

        def test_it(self) -> None:
            Listens(100)

    result = unittest.TestResult()
    Case("test_it").run(result)
    ((_, text),) = result.errors
    assert re.search(MADE, text)

"""A scenario is put under code that knows nothing of it, and everything is put back, whatever happens."""

from __future__ import annotations

import _thread
import asyncio
import errno
import importlib
import io
import mmap
import multiprocessing.pool
import os
import select
import selectors
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import types
from contextlib import closing, contextmanager
from selectors import EVENT_READ, DefaultSelector
from socket import socket as imported_socket
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from mockselector import Scenario, ScenarioError
from mockselector._current import current
from mockselector._simulated.selectors import SimSelector
from mockselector._simulated.sockets import SimSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from mockselector import RuleId

fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None
AF_UNIX = getattr(socket, "AF_UNIX", None)
REAL_CONNECT = socket.socket.connect  # as plugins of pytest keep them
REAL_GETSOCKNAME = socket.socket.getsockname
LAST: tuple[RuleId, ...] = ("leaked-connection", "unread-data", "unaccepted-connection")


@contextmanager
def scenario(*allow: RuleId) -> Generator[Scenario]:
    with Scenario(allow=[*LAST, *allow]) as net, net.installed():
        yield net


def forget(net: Scenario) -> None:
    """What was refused aloud is not to be told once more at the end."""
    net._world.monitor.violation = None


def everything() -> dict[str, object]:
    """All that a scenario may replace, by name, for a comparison by identity."""
    kept: dict[str, object] = {
        f"{module.__name__}.{name}": thing
        for module in (socket, selectors, select, time, os, threading, ssl, asyncio, sys.modules[__name__])
        for name, thing in vars(module).items()
    }
    if fcntl is not None:
        kept["fcntl.fcntl"] = fcntl.fcntl
    for owner in (
        threading.Thread,
        imported_socket,
        selectors.EpollSelector,
        selectors.SelectSelector,
        selectors.SelectSelector.__base__,
        ssl.SSLContext,
        asyncio.BaseEventLoop,
    ):
        kept |= {f"{owner!r}.{name}": thing for name, thing in vars(owner).items()}
    return kept


def changed(before: dict[str, object]) -> list[str]:
    after = everything()
    return [name for name in before | after if before.get(name) is not after.get(name)]


# -- put back -------------------------------------------------------------------------------------


def returns() -> None:
    socket.create_server(("localhost", 8888)).close()
    selectors.DefaultSelector().close()


def breaks_a_rule() -> None:
    socket.create_connection(("localhost", 1))


def raises() -> None:
    selectors.DefaultSelector()
    raise ZeroDivisionError("by the server")


def is_interrupted() -> None:
    raise KeyboardInterrupt


def goes_on_for_ever() -> None:
    selector = selectors.DefaultSelector()
    while True:
        selector.select()


def exits() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("server", "error", "text"),
    [
        (returns, None, ""),
        (goes_on_for_ever, None, ""),
        (breaks_a_rule, ScenarioError, "unscripted-connection"),
        (raises, ZeroDivisionError, "^by the server$"),
        (is_interrupted, KeyboardInterrupt, "^$"),
        (exits, SystemExit, "^3$"),
    ],
    ids=["success", "the end", "violation", "exception", "KeyboardInterrupt", "SystemExit"],
)
def test_everything_is_put_back_after(server: Callable[[], None], error: type[BaseException] | None, text: str) -> None:
    before = everything()
    if error is None:
        with Scenario(allow={"stuck"}) as net:
            net.run(server)
    else:
        with pytest.raises(error, match=text), Scenario() as net:
            net.run(server)
    assert [] == changed(before)


def test_everything_is_replaced_meanwhile() -> None:
    before = everything()
    with scenario():
        names = {name.removeprefix(f"{__name__}.") for name in changed(before)}
    wanted = {
        "socket.socket",
        "socket.getaddrinfo",
        "socket.gethostname",
        "selectors.DefaultSelector",
        "selectors.SelectSelector",
        "select.select",
        "time.time",
        "time.monotonic",
        "time.sleep",
        "imported_socket",
        "DefaultSelector",
        "threading.Lock",
        "threading._CRLock",
        "threading.excepthook",
        f"{threading.Thread!r}.join",
    }
    assert set() == wanted - names


def test_everything_is_put_back_after_the_outermost_of_nested_runs() -> None:
    before = everything()
    with scenario():
        during = everything()
        with scenario():
            pass
        assert [] == changed(during)
    assert [] == changed(before)


def test_each_of_nested_runs_has_sockets_of_its_own() -> None:
    with scenario() as outer:
        keep = socket.create_server(("localhost", 8888))
        with scenario() as inner:
            inside = socket.create_server(("localhost", 8888))
            assert inside.fileno() == keep.fileno()
            assert "listener" in [row.name for row in inner.sockets()]
        near = socket.create_connection(("localhost", 8888))
        assert near.getpeername() == keep.getsockname()
        assert len(outer.sockets()) == 2


def test_what_the_program_itself_puts_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("server_under_test")
    vars(module)["socket"] = socket.socket
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with scenario():
        vars(module)["socket"] = "its own"
    assert vars(module)["socket"] == "its own"


def test_a_module_that_is_no_module_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lazy_under_test", 5)
    with scenario():
        assert isinstance(socket.socket(), SimSocket)


# -- modules ----------------------------------------------------------------------------------------


@contextmanager
def module(tmp_path: Path, source: str, name: str = "server_under_test") -> Generator[str]:
    """A module to import, and to forget."""
    (tmp_path / f"{name}.py").write_text(source)
    sys.path.insert(0, str(tmp_path))
    try:
        yield name
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop(name, None)


def test_a_module_imported_during_a_run_works_with_real_things_afterwards(tmp_path: Path) -> None:
    source = "from socket import socket\nfrom selectors import DefaultSelector\nfrom time import monotonic, sleep\n"
    with module(tmp_path, source) as name:
        with scenario():
            imported = __import__(name)
            assert isinstance(imported.socket(), SimSocket)
        sock, selector = imported.socket(), imported.DefaultSelector()
        with sock, selector:
            assert (type(sock), type(selector)) == (socket.socket, selectors.DefaultSelector)
            assert sock.fileno() < 2**30
        before = time.monotonic()
        assert before <= imported.monotonic() <= time.monotonic()
        assert imported.sleep(0) is None


def test_other_functions_that_such_a_module_keeps_are_the_real_ones_then(tmp_path: Path) -> None:
    source = (
        "from socket import gethostname, getaddrinfo\nfrom select import select\nimport fcntl\nfcntl = fcntl.fcntl\n"
    )
    with module(tmp_path, source) as name:
        with scenario():
            imported = __import__(name)
        assert imported.gethostname() == socket.gethostname()
        assert imported.getaddrinfo("127.0.0.1", 80)
        assert imported.select([], [], [], 0) == ([], [], [])
        with open(__file__) as file:
            assert imported.fcntl(file, fcntl.F_GETFD) == fcntl.FD_CLOEXEC


def test_a_stand_in_that_was_kept_makes_real_poll_objects_afterwards() -> None:
    with scenario():
        kept = select.poll
    assert kept().poll(0) == []


def test_a_thread_is_started_by_a_stand_in_that_was_kept() -> None:
    with scenario():
        kept = threading.Thread.start
    thread = threading.Thread(target=lambda: None)
    kept(thread)
    thread.join()
    assert not thread.is_alive()


def test_locks_that_were_kept_are_real_ones_afterwards() -> None:
    with scenario():
        kept = threading.Lock
        condition = threading.Condition()
    with condition:
        assert condition.wait(0) is False
    assert type(kept()) is type(threading.Lock())


def test_a_module_level_selector_is_replaced_and_put_back(tmp_path: Path) -> None:
    with module(tmp_path, "import selectors\nsel = selectors.DefaultSelector()\n") as name:
        imported = __import__(name)
        real = imported.sel
        with real:
            with scenario():
                assert isinstance(imported.sel, SimSelector)
                imported.sel.register(socket.socket(), EVENT_READ)
            assert imported.sel is real


def test_a_module_level_selector_that_is_in_use_stays(tmp_path: Path) -> None:
    near, far = socket.socketpair()
    with module(tmp_path, "import selectors\nsel = selectors.DefaultSelector()\n") as name:
        imported = __import__(name)
        with near, far, imported.sel as real:
            real.register(near, EVENT_READ)
            with scenario():
                assert imported.sel is real


def test_what_goes_by_two_names_is_one_thing_in_a_run_too(tmp_path: Path) -> None:
    text = """
        import queue, selectors, threading
        lock, again, things = threading.Lock(), threading.RLock(), queue.SimpleQueue()
        selector = selectors.DefaultSelector()
        one, two, three, four = lock, again, things, selector
    """
    with module(tmp_path, textwrap.dedent(text)) as name:
        imported: Any = importlib.import_module(name)
        before: dict[str, object] = {**vars(imported)}
        with scenario():
            for first, second in zip(
                ("lock", "again", "things", "selector"), ("one", "two", "three", "four"), strict=True
            ):
                assert getattr(imported, first) is getattr(imported, second)
                assert getattr(imported, first) is not before[first]
        assert all(vars(imported)[key] is before[key] for key in before)


def test_what_a_run_has_left_in_a_queue_of_a_module_is_there_after_it(tmp_path: Path) -> None:
    with module(tmp_path, "import queue\nresults = queue.SimpleQueue()\n") as name:
        imported: Any = importlib.import_module(name)
        with scenario():
            imported.results.put("first")
            imported.results.put("second")
        assert [imported.results.get_nowait() for _ in range(2)] == ["first", "second"]


PIPES = """
import sys
from mockselector import Scenario

def main():
    import subprocess
    text = "import sys; print('out'); print('err', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr

assert "subprocess" not in sys.modules
with Scenario() as net:
    assert net.run(main) == "out\\nerr\\n"
import selectors, subprocess, time
assert (subprocess._PopenSelector, subprocess._time) == (selectors.PollSelector, time.monotonic)
"""


def test_subprocess_that_is_imported_in_a_run_is_the_real_one() -> None:
    subprocess.run([sys.executable, "-c", PIPES], check=True)


def test_what_a_module_has_made_is_replaced_once_if_it_is_there_by_two_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `__main__` is as soon as `multiprocessing` has been imported."""
    text = """
        import queue, selectors, threading
        lock, again, things = threading.Lock(), threading.RLock(), queue.SimpleQueue()
        selector = selectors.SelectSelector()
    """
    with module(tmp_path, textwrap.dedent(text)) as name:
        imported: Any = importlib.import_module(name)
        monkeypatch.setitem(sys.modules, f"{name}_too", imported)
        before: dict[str, object] = {**vars(imported)}
        with scenario():
            changed = [key for key in before if vars(imported)[key] is not before[key]]
            with imported.lock, imported.again:
                imported.things.put("thing")
            assert imported.things.get() == "thing"
        assert changed == ["lock", "again", "things", "selector"]
        assert all(vars(imported)[key] is before[key] for key in before)


def test_a_name_imported_from_a_module_makes_simulated_sockets_and_asks_of_them() -> None:
    with scenario():
        sock = imported_socket()
        assert isinstance(sock, imported_socket)
        assert isinstance(sock, SimSocket)
        assert isinstance(DefaultSelector(), SimSelector)


def test_a_real_socket_is_one_of_the_stand_in_too() -> None:
    near, far = socket.socketpair()
    with near, far, scenario():
        assert isinstance(near, socket.socket)
        assert not isinstance(object(), socket.socket)


def test_a_subclass_of_the_real_class_is_one_of_the_stand_in() -> None:
    class Derived(socket.socket):
        pass

    with scenario():
        assert issubclass(Derived, socket.socket)
        assert issubclass(socket.socket, socket.socket)
        assert not issubclass(object, socket.socket)


def test_a_class_derived_during_a_run_is_derived_from_the_real_one() -> None:
    real = socket.socket
    with scenario():

        class Derived(socket.socket):
            pass

    assert Derived.__mro__[1] is real
    with Derived() as sock:
        assert sock.fileno() < 2**30


class Mapped(mmap.mmap):
    def __new__(cls, *args: Any) -> Any:
        return mmap.mmap.__new__(cls, *args)


class OpenFile(io.FileIO):
    def __init__(self, *args: Any) -> None:
        io.FileIO.__init__(self, *args)


def test_a_class_derived_before_may_call_the_one_below_by_its_name() -> None:
    with scenario(), Mapped(-1, 10) as mapped, OpenFile(__file__) as file:
        mapped[:] = file.read(10)
        assert mapped[:3] == b'"""'
        assert isinstance(mapped, mmap.mmap)


@pytest.mark.parametrize("name", ["connect", "getsockname"])  # of a class below, and of the last one
def test_a_method_that_is_patched_in_the_class_is_so_for_all_sockets_until_it_is_put_back(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def patched(*_: object) -> str:
        return "patched"

    with scenario():
        before = getattr(SimSocket, name)
        sock = socket.socket()
        with monkeypatch.context() as patch:
            patch.setattr(f"socket.socket.{name}", patched)
            assert [getattr(one, name)("x") for one in (sock, socket.socket())] == ["patched", "patched"]
        with mock.patch(f"socket.socket.{name}", return_value="mocked"):
            assert getattr(sock, name)() == "mocked"
        assert getattr(SimSocket, name) is before
        assert (name in vars(SimSocket)) == (name == "getsockname")
        socket.socket.getsockname = lambda self: "assigned"  # type: ignore[method-assign]
        assert sock.getsockname() == "assigned"
        socket.socket.getsockname = REAL_GETSOCKNAME  # type: ignore[method-assign]
        assert sock.getsockname() == ("0.0.0.0", 0)
        with pytest.raises(AttributeError):
            delattr(socket.socket, name)


def test_what_is_put_there_may_call_the_real_one_that_it_keeps() -> None:
    asked: list[object] = []

    def connect(self: socket.socket, address: Any) -> None:
        asked.append(address)
        REAL_CONNECT(self, address)

    def main() -> bytes:
        with mock.patch("socket.socket.connect", connect), socket.socket() as sock:
            sock.connect(("backend", 80))
            return sock.recv(10)

    with Scenario() as net:
        net.backend(("backend", 80)).sends(b"hi").closes()
        assert net.run(main) == b"hi"
    assert asked == [("backend", 80)]


def test_installed_puts_the_scenario_under_a_block_and_takes_it_away() -> None:
    with Scenario() as net:
        with net.installed():
            assert net._world is current()
        assert None is current()


def test_sockets_and_selectors_of_a_scenario_can_be_passed_in_by_hand() -> None:
    with Scenario(allow=LAST) as net:
        net.client("alice").sends(b"hi")
        listener, selector = net.listener(), net.selector()
        selector.register(listener, EVENT_READ)
        assert [key.fileobj for key, _ in selector.select()] == [listener]
        assert listener.accept()[0].recv(9) == b"hi"


def test_a_listener_passed_in_by_hand_has_the_address_asked_for() -> None:
    with Scenario() as net:
        assert [("127.0.0.1", 8888), ("::1", 8888, 0, 0)] == [
            net.listener((host, 8888)).getsockname() for host in ("localhost", "::1")
        ]


@pytest.mark.skipif(AF_UNIX is None, reason="there is no AF_UNIX")
def test_a_listener_passed_in_by_hand_may_have_a_path(tmp_path: Path) -> None:
    with Scenario() as net:
        path = str(tmp_path / "server.sock")
        assert path == net.listener(path).getsockname()


# -- other threads ------------------------------------------------------------------------------------


def in_another_thread(ask: Callable[[], list[object]]) -> list[object]:
    """What a function finds in another thread while this one is in a scenario."""
    begin, end = threading.Lock(), threading.Lock()
    found: list[object] = []

    def other() -> None:
        with begin:
            try:
                found.extend(ask())
            finally:
                end.release()

    begin.acquire()
    end.acquire()
    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    with scenario():
        selectors.DefaultSelector()
        begin.release()
        end.acquire()
        assert isinstance(socket.socket(), SimSocket)
    thread.join()
    return found


def test_another_threads_sockets_and_selectors_are_real() -> None:
    real = selectors.DefaultSelector.__name__

    def ask() -> list[object]:
        with socket.socket() as sock, selectors.DefaultSelector() as selector:
            return [sock.fileno() < 2**30, type(selector).__name__, current()]

    assert [True, real, None] == in_another_thread(ask)


def test_another_threads_time_and_names_are_real() -> None:
    real_time, real_name = time.time, socket.gethostname()
    assert [True, True] == in_another_thread(
        lambda: [abs(time.time() - real_time()) < 100, socket.gethostname() == real_name]
    )


def test_another_thread_may_poll_and_select() -> None:
    def ask() -> list[object]:
        near, far = socket.socketpair()
        with near, far, select.epoll() as poller:
            poller.register(near, select.EPOLLOUT)
            return [len(poller.poll(1)), select.select([], [near], [], 1)[1] == [near]]

    assert [1, True] == in_another_thread(ask)


def test_another_thread_waits_in_real_time() -> None:
    def ask() -> list[object]:
        condition = threading.Condition()
        with condition:
            return [condition.wait(0)]

    assert [False] == in_another_thread(ask)


begin: Any = _thread.start_new_thread  # as a program has it that imports it by name
begin_one_to_join: Any = getattr(_thread, "start_joinable_thread", begin)


def test_another_thread_may_start_threads_and_hears_what_they_die_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> list[object]:
        done = [threading.Lock(), threading.Lock()]
        for lock in done:
            lock.acquire()
        begin(done[0].release, ())
        begin_one_to_join(done[1].release, *([()] if begin is begin_one_to_join else []))
        dies = threading.Thread(target=int, args=("x",))
        dies.start()
        dies.join()
        return [lock.acquire(timeout=60) for lock in done]

    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    assert [True, True] == in_another_thread(ask)
    assert [ValueError] == [args.exc_type for args in died]


def test_what_dies_in_another_threads_loops_and_servers_is_no_finding(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(int, "in a loop")
        await asyncio.sleep(0)

    def ask() -> list[object]:
        asyncio.run(main())
        server: Any = socketserver.BaseServer(("", 0), socketserver.BaseRequestHandler)
        try:
            int("in a server")
        except ValueError:
            server.handle_error(None, None)
        return []

    assert [] == in_another_thread(ask)
    assert "in a loop" in caplog.text
    assert "in a server" in capsys.readouterr().err


def test_another_thread_may_map_memory() -> None:
    def ask() -> list[object]:
        with mmap.mmap(-1, 10) as mapped:
            return [len(mapped)]

    assert [10] == in_another_thread(ask)


def test_another_thread_may_have_a_pool_of_threads() -> None:
    def ask() -> list[object]:
        with multiprocessing.pool.ThreadPool(1) as pool:
            return pool.map(abs, [-1, 2], chunksize=1)

    assert [1, 2] == in_another_thread(ask)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # since Python 3.12: of what this is about
def test_another_thread_may_fork() -> None:
    def ask() -> list[object]:
        child = os.fork()
        if not child:
            os._exit(7)
        return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]

    assert [7] == in_another_thread(ask)


@pytest.mark.skipif(sys.platform == "win32", reason="it has another signal")
def test_another_thread_may_interrupt_the_main_one() -> None:
    def ask() -> list[object]:
        _thread.interrupt_main(signal.SIGUSR1)
        return []

    got: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: got.append(number))
    try:
        assert [] == in_another_thread(ask)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert got == [signal.SIGUSR1]


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="Linux has it")
def test_another_thread_may_have_an_epoll_object_by_its_number() -> None:
    def ask() -> list[object]:
        with select.epoll() as poller:
            return [select.epoll.fromfd(os.dup(poller.fileno())).poll(0)]

    assert [[]] == in_another_thread(ask)


def test_another_threads_real_sockets_connect() -> None:
    def ask() -> list[object]:
        with socket.socket(AF_UNIX or 0) as sock:
            return [sock.connect_ex("\0nobody listens here")]

    assert [errno.ECONNREFUSED] == in_another_thread(ask)


# -- time ---------------------------------------------------------------------------------------------


def test_all_clocks_say_virtual_time() -> None:
    with scenario() as net:
        clocks: list[Callable[[], float]] = [time.time, time.monotonic, time.perf_counter]
        exact: list[Callable[[], int]] = [time.time_ns, time.monotonic_ns, time.perf_counter_ns]
        before, before_ns = [clock() for clock in clocks], [clock() for clock in exact]
        time.sleep(2.5)
        assert [2.5] * 3 == [clock() - was for clock, was in zip(clocks, before, strict=True)]
        assert [2_500_000_000] * 3 == [clock() - was for clock, was in zip(exact, before_ns, strict=True)]
        assert net.now == 2.5


def test_the_stand_ins_are_called_as_what_they_stand_in_for() -> None:
    real = time.monotonic.__name__, time.monotonic.__doc__, socket.gethostname.__name__
    with scenario():
        assert real == (time.monotonic.__name__, time.monotonic.__doc__, socket.gethostname.__name__)


def test_a_wait_for_an_event_takes_virtual_time() -> None:
    with scenario() as net:
        assert threading.Event().wait(5) is False
        assert net.now == 5.0


def test_a_wait_ends_when_the_script_sets_the_event() -> None:
    with scenario() as net:
        event = threading.Event()
        net.client("alice").waits(3).does(event.set)
        with socket.create_server(("localhost", 8888)):
            assert event.wait(5) is True
        assert net.now == 3.0


def test_a_wait_for_another_thread_that_is_not_there_is_found() -> None:
    with scenario() as net:
        with pytest.raises(ScenarioError, match=r"^\[deadlock\] the program waits for what another thread would do"):
            threading.Event().wait()
        forget(net)


# -- names --------------------------------------------------------------------------------------------

V4 = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))
TCP = socket.SOCK_STREAM
V6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 80, 0, 0))


@pytest.mark.parametrize(
    ("found", "arguments"),
    [
        ([V4, V6], ("localhost", 80, 0, TCP)),
        ([V4], ("localhost", 80, socket.AF_INET, TCP)),
        ([V6], ("localhost", 80, socket.AF_INET6, TCP)),
        ([V4], ("127.0.0.1", "80", 0, TCP)),
        ([V4], (b"127.0.0.1", b"http", 0, TCP)),
        ([V6], ("::1", "http", 0, TCP)),
        ([V4, V6], (None, 80, 0, TCP)),
        ([(*V4[:4], ("127.0.0.1", 0))], ("127.0.0.1", None, 0, TCP)),
    ],
)
def test_addresses_are_found_without_asking_anybody(found: list[object], arguments: tuple[Any, ...]) -> None:
    with scenario():
        assert found == socket.getaddrinfo(*arguments)


def test_where_to_listen_is_any_address() -> None:
    with scenario():
        found = socket.getaddrinfo(None, 80, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
        assert ["0.0.0.0", "::"] == [where[4][0] for where in found]


def test_a_backend_has_an_address() -> None:
    with scenario("unmet-expectation") as net:
        net.backend(("first.example", 1))
        net.backend(("DB.example", 5432))
        addresses = {
            socket.getaddrinfo("db.example", 5432)[0][4][0],
            socket.gethostbyname("db.example"),
            socket.gethostbyname_ex("db.example")[2][0],
        }
        assert addresses == {"198.18.0.2"}
        assert socket.gethostbyaddr("198.18.0.2") == ("db.example", [], ["198.18.0.2"])
        assert socket.getnameinfo(("198.18.0.2", 5432), 0)[0] == "db.example"


def test_this_machine_is_called_localhost() -> None:
    with scenario():
        assert ("localhost", "localhost", "127.0.0.1") == (
            socket.gethostname(),
            socket.getfqdn(),
            socket.gethostbyname(socket.gethostname()),
        )


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_a_loopback_address_is_localhosts(address: str) -> None:
    with scenario():
        assert socket.gethostbyaddr(address)[0] == "localhost"


def test_an_address_without_a_name_has_none() -> None:
    with scenario():
        with pytest.raises(socket.herror, match="Unknown host"):
            socket.gethostbyaddr("203.0.113.5")
        assert socket.getnameinfo(("203.0.113.5", 80), 0) == ("203.0.113.5", "http")
        assert socket.getnameinfo(("127.0.0.1", 81), socket.NI_NUMERICHOST) == ("127.0.0.1", "81")
        assert socket.getfqdn("203.0.113.5") == "203.0.113.5"


@pytest.mark.parametrize("host", ["", b""])
def test_nothing_is_no_name_of_a_host(host: str | bytes) -> None:
    with pytest.raises(socket.gaierror) as real:
        socket.getaddrinfo(host, 80)
    with scenario(), socket.create_server(("", 80)):
        with pytest.raises(socket.gaierror) as caught:
            socket.getaddrinfo(host, 80)
        with pytest.raises(socket.gaierror):
            socket.create_connection(("", 80))
    assert str(real.value) == str(caught.value)


@pytest.mark.parametrize(
    "ask", [lambda: socket.getaddrinfo("nowhere", 80), lambda: socket.gethostbyname("nowhere")], ids=["info", "name"]
)
def test_a_host_that_the_scenario_does_not_know_breaks_a_rule(ask: Callable[[], object]) -> None:
    with pytest.raises(
        ScenarioError, match=r"^\[.+?\] the program connects to 'nowhere', which the scenario does not know"
    ):
        with scenario():
            ask()


@pytest.mark.parametrize(
    "ask", [lambda: socket.getaddrinfo("nowhere", 80), lambda: socket.gethostbyname("nowhere")], ids=["info", "name"]
)
def test_or_is_unknown_where_that_is_allowed(ask: Callable[[], object]) -> None:
    with scenario("unscripted-connection"):
        with pytest.raises(socket.gaierror, match="Name or service not known") as caught:
            ask()
        assert caught.value.errno == socket.EAI_NONAME


def test_a_literal_of_the_other_family_breaks_no_rule() -> None:
    with scenario():
        with pytest.raises(socket.gaierror, match="not known|not supported"):
            socket.getaddrinfo("127.0.0.1", 80, socket.AF_INET6)


def test_a_service_that_is_unknown_is_refused_as_production_does() -> None:
    with scenario():
        with pytest.raises(socket.gaierror, match="Servname not supported for ai_socktype"):
            socket.getaddrinfo("localhost", "no such service")


def test_real_names_are_looked_up_outside() -> None:
    with scenario():
        kept = socket.getaddrinfo, socket.gethostname
    assert kept[0]("127.0.0.1", 80, 0, socket.SOCK_STREAM) == socket.getaddrinfo("127.0.0.1", 80, 0, socket.SOCK_STREAM)
    assert kept[1]() == socket.gethostname()


ANYWHERE = ("127.0.0.1", 1)

# -- refused aloud --------------------------------------------------------------------------------------

PROCESSES = r"^processes are not simulated: a scenario runs in one\. "


def udp() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("127.0.0.1", 53))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: os.fork(), PROCESSES),
        (udp, r"^sendto\(\) is called on a UDP socket: UDP is not simulated"),
        (
            lambda: select.epoll.fromfd(0),
            r"^select\.epoll\.fromfd\(\) of what no epoll object of the scenario",
        ),
        (lambda: socket.socket(type=socket.SOCK_RAW), r"^a scenario has TCP and AF_UNIX stream sockets only; socket\("),
        (lambda: socket.socket(99), r"^a scenario has TCP and AF_UNIX stream sockets only; socket\(99, -1\)"),
    ],
    ids=["fork", "UDP", "epoll from before", "raw", "family"],
)
def test_what_is_not_simulated_is_refused_aloud(call: Callable[[], object], text: str) -> None:
    with scenario() as net:
        with pytest.raises(NotImplementedError, match=text):
            call()
        forget(net)


def test_who_swallows_a_refusal_gets_it_at_the_end() -> None:
    def server() -> None:
        try:
            socket.socket(99)
        except NotImplementedError:
            pass

    with pytest.raises(NotImplementedError, match=r"^a scenario has TCP and AF_UNIX"), Scenario() as net:
        net.run(server)


def test_a_udp_socket_finds_no_network() -> None:
    with scenario(), socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(OSError, match="unreachable") as caught:
            sock.connect(("10.255.255.255", 1))
        assert caught.value.errno == errno.ENETUNREACH


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("bind", (ANYWHERE,)), ("connect", (ANYWHERE,)), ("connect_ex", (ANYWHERE,)), ("listen", ())],
)
def test_a_real_socket_made_before_is_refused_aloud(name: str, arguments: tuple[Any, ...]) -> None:
    with socket.socket() as sock, scenario() as net:
        with pytest.raises(NotImplementedError, match=rf"^{name}\(\) is called on a real socket\. It was made before"):
            getattr(sock, name)(*arguments)
        forget(net)


def test_a_real_selector_made_before_is_refused_aloud() -> None:
    with selectors.DefaultSelector() as selector, scenario() as net:
        with pytest.raises(
            NotImplementedError,
            match=r"^a real selector is given a scenario's socket\. It was made before the scenario began: make it in ",
        ):
            selector.register(socket.socket(), EVENT_READ)
        forget(net)


# -- unaffected -------------------------------------------------------------------------------------------


def test_a_real_selector_watches_real_descriptors_meanwhile() -> None:
    near, far = socket.socketpair()
    with near, far, selectors.DefaultSelector() as selector, scenario():
        selector.register(near, EVENT_READ)
        far.send(b"x")
        assert len(selector.select(0)) == 1


def test_real_sockets_and_pipes_are_selected_meanwhile() -> None:
    near, far = socket.socketpair()
    with near, far, scenario():
        far.send(b"x")
        assert select.select([near], [], [], 1) == ([near], [], [])
        assert near.recv(9) == b"x"


def test_select_on_nothing_sleeps() -> None:
    with scenario() as net:
        assert select.select([], [], [], 2.5) == ([], [], [])
        assert net.now == 2.5


def test_tls_over_real_sockets_is_let_alone() -> None:
    near, far = socket.socketpair()
    with near, far, scenario():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        with context.wrap_socket(near, do_handshake_on_connect=False) as tls:
            assert tls.fileno() < 2**30


def test_a_real_number_makes_a_real_socket() -> None:
    near, far = socket.socketpair()
    with far, scenario():
        with socket.socket(fileno=near.detach()) as sock:
            far.send(b"x")
            assert sock.recv(9) == b"x"


@pytest.mark.skipif(fcntl is None, reason="there is no fcntl")
def test_a_simulated_socket_is_closed_on_exec() -> None:
    with scenario():
        sock = socket.socket()
        assert [fcntl.FD_CLOEXEC, fcntl.FD_CLOEXEC] == [
            fcntl.fcntl(thing, fcntl.F_GETFD) for thing in (sock, sock.fileno())
        ]
        assert fcntl.fcntl(sock, fcntl.F_SETFD, 0) == 0


@pytest.mark.skipif(fcntl is None, reason="there is no fcntl")
def test_fcntl_of_a_closed_number_is_refused_as_production_does() -> None:
    with scenario():
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            fcntl.fcntl(2**30 + 5, fcntl.F_GETFD)
        assert caught.value.errno == errno.EBADF


@pytest.mark.skipif(fcntl is None, reason="there is no fcntl")
@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("F_GETFL", r"^fcntl\(F_GETFL or F_SETFL\) is not simulated; use setblocking\(\)$"),
        ("F_DUPFD", r"^fcntl\(\d+\) on a scenario's socket is not simulated$"),
    ],
)
def test_other_commands_are_refused_aloud(command: str, text: str) -> None:
    with scenario() as net:
        with pytest.raises(NotImplementedError, match=text):
            fcntl.fcntl(socket.socket(), getattr(fcntl, command))
        forget(net)


@pytest.mark.skipif(fcntl is None, reason="there is no fcntl")
def test_fcntl_of_a_real_file_is_let_alone() -> None:
    with scenario(), open(__file__) as file:
        assert fcntl.fcntl(file, fcntl.F_GETFD) == fcntl.FD_CLOEXEC


# -- asyncio ------------------------------------------------------------------------------------------------


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


async def serve(host: str | None) -> None:
    server = await asyncio.start_server(echo, host, 8888)
    async with server:
        await server.serve_forever()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "", None], ids=["localhost", "number", "any", "none"])
def test_asyncio_serves(host: str | None) -> None:
    with Scenario() as net:
        alice = net.client("alice", to=8888).sends(b"hi\n").expects(b"hi\n").expects_eof().closes()
        net.run(asyncio.run, serve(host))
    assert alice.received == b"hi\n"


def test_asyncio_asks_for_names_without_a_thread() -> None:
    async def ask() -> tuple[object, object]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("localhost", 80, family=socket.AF_INET, type=TCP)
        return found, await loop.getnameinfo(("127.0.0.1", 80))

    with Scenario() as net:
        assert ([V4], ("localhost", "http")) == net.run(asyncio.run, ask())


def test_asyncio_asks_by_what_a_test_has_put_in_the_place_of_the_modules_functions() -> None:
    async def main() -> list[object]:
        loop = asyncio.get_running_loop()
        return [await loop.getaddrinfo("a.example", 80), await loop.getnameinfo(("10.0.0.1", 80))]

    with Scenario() as net:
        with (
            mock.patch("socket.getaddrinfo", return_value=["an address"]),
            mock.patch("socket.getnameinfo", return_value="a name"),
        ):
            assert net.run(main) == [["an address"], "a name"]


def test_asyncio_asks_for_real_names_in_another_thread() -> None:
    async def ask() -> list[object]:
        loop = asyncio.get_running_loop()
        flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        found = await loop.getaddrinfo("127.0.0.1", 80, family=socket.AF_INET, type=socket.SOCK_STREAM)
        return [found, await loop.getnameinfo(("127.0.0.1", 80), flags)]

    assert [[V4], ("127.0.0.1", "80")] == in_another_thread(lambda: asyncio.run(ask()))


def test_a_process_is_waited_for_in_real_time() -> None:
    with scenario() as net:
        done = subprocess.run([sys.executable, "-c", "print(2)"], capture_output=True, check=True, timeout=60)
        assert (b"2", 0.0) == (done.stdout.strip(), net.now)


# -- a server that was made before --------------------------------------------------------------------------


class MadeBefore:
    """As a fixture makes it: its listener and its selector are real."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.selector.register(self.listener, EVENT_READ)

    def serve(self) -> None:
        self.selector.select()

    def serve_with_a_selector_of_the_scenario(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self.listener, EVENT_READ)
        selector.select()

    def accept(self) -> None:
        self.listener.accept()

    def close(self) -> None:
        self.selector.close()
        self.listener.close()


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (MadeBefore.serve, r"^select\(\) is called on a real selector with real sockets\. It was made before"),
        (MadeBefore.accept, r"^accept\(\) is called on a real socket\. It was made before"),
        (
            MadeBefore.serve_with_a_selector_of_the_scenario,
            "^a listener that is a real socket is registered. It was made before",
        ),
    ],
)
def test_a_server_that_was_made_before_is_refused_instead_of_waiting_for_ever(
    method: Callable[[MadeBefore], None], text: str
) -> None:
    server = MadeBefore()
    with closing(server), pytest.raises(NotImplementedError, match=text):
        with Scenario() as net:
            net.client("alice")
            net.run(method, server)


# -- several threads ----------------------------------------------------------------------------------------


def test_scenarios_may_run_in_several_threads_at_once() -> None:
    real = (socket.socket, selectors.DefaultSelector, time.monotonic)
    seen: list[bytes] = []

    def serve() -> None:
        with socket.create_server(("localhost", 8888)) as listener:
            conn, _ = listener.accept()
            with conn:
                conn.sendall(conn.recv(9))

    def run() -> None:
        for _ in range(20):
            with Scenario() as net:
                alice = net.client("alice").sends(b"hi").expects(b"hi").expects_eof()
                net.run(serve)
            seen.append(alice.received)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"hi"] * 80 == seen
    assert real == (socket.socket, selectors.DefaultSelector, time.monotonic)


@pytest.mark.parametrize("name", ["read", "write", "dup"])
def test_a_call_of_os_on_a_number_is_refused_aloud(name: str) -> None:
    with scenario() as net:
        number = socket.socket().fileno()
        with pytest.raises(NotImplementedError, match=rf"^os\.{name}\(\) on a scenario's socket is not simulated"):
            getattr(os, name)(number, *[1] * (name == "read"), *[b"x"] * (name == "write"))
        forget(net)


# -- blocks, in whatever order they are left ------------------------------------------------------------


def test_blocks_of_two_scenarios_may_be_left_in_any_order() -> None:
    before = everything()
    one, two = Scenario(), Scenario()
    first, second = one.installed(), two.installed()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert current() is two._world
    socket.create_server(("", 8888)).close()
    second.__exit__(None, None, None)
    assert current() is None
    assert len(two.trace)
    assert not one.trace
    assert [] == changed(before)


def test_a_scenario_that_is_left_takes_its_blocks_with_it() -> None:
    before = everything()
    with Scenario() as outer, outer.installed():
        with Scenario() as inner:
            inner.installed().__enter__()
            assert current() is inner._world
        assert current() is outer._world
    assert current() is None
    assert [] == changed(before)


def test_fixtures_may_be_closed_late_and_in_another_thread() -> None:
    def fixture(net: Scenario) -> Generator[None]:
        with net.installed():
            yield

    def close_first() -> None:
        begin.acquire()
        one.close()
        done.release()

    before = everything()
    net = Scenario()
    one, two = fixture(Scenario()), fixture(net)
    begin, done = threading.Lock(), threading.Lock()  # real waits, whatever is installed
    begin.acquire()
    done.acquire()
    thread = threading.Thread(target=close_first)
    thread.start()
    next(one)
    next(two)
    begin.release()
    done.acquire()
    seen = current()
    two.close()
    thread.join()
    assert seen is net._world
    assert current() is None
    assert [] == changed(before)


def test_a_block_is_left_once() -> None:
    block = Scenario().installed()
    with block:
        pass
    block.__exit__(None, None, None)
    assert current() is None


def test_a_block_in_a_running_event_loop_is_refused() -> None:
    async def test() -> None:
        with Scenario() as net:
            with net.installed():
                await asyncio.sleep(1)

    before = everything()
    with pytest.raises(RuntimeError, match=r"net\.run\(main\)"):
        asyncio.run(test())
    assert [] == changed(before)


def test_a_block_in_the_loop_of_its_own_scenario_is_none_the_worse() -> None:
    async def main(net: Scenario) -> float:
        with net.installed():
            await asyncio.sleep(1)
        return net.now

    with Scenario() as net:
        assert net.run(asyncio.run, main(net)) == 1.0


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="there is no such timer")
@pytest.mark.parametrize("how", [("timed", "100"), ("walk", "3", "499")], ids=" ".join)
def test_an_interrupt_at_whatever_moment_leaves_nothing_behind(how: tuple[str, ...]) -> None:
    script = os.path.join(os.path.dirname(__file__), "interrupts.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, *how], capture_output=True, text=True, timeout=600, check=False
    )
    assert (done.returncode, "left behind" in done.stdout) == (0, False), done.stdout + done.stderr


def test_an_interrupt_within_listen_comes_out_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting(list[object]):
        def append(self, _: object, /) -> None:
            raise KeyboardInterrupt

    def serve() -> None:
        with socket.create_server(("", 1)):
            pass

    with pytest.raises(KeyboardInterrupt), Scenario() as net:
        net.client().closes()
        monkeypatch.setattr(net._world.network, "listeners", Interrupting())
        net.run(serve)

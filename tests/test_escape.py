"""Nothing real: what a server can reach inside of a scenario is simulated, harmless, or refused aloud.

The doors are a table, in `escape_doors.py`, which tries them in a process of its own: some would end it.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import importlib
import inspect
import json
import os
import socket
import subprocess
import sys
import termios
import types
import warnings
from pathlib import Path
from typing import Any

import pytest

from mockselector import Scenario
from mockselector._install.stand_ins import REPLACEMENTS

if sys.platform != "linux":
    pytest.skip("the table speaks of Linux", allow_module_level=True)

from escape_doors import DOORS, PASSES, REFUSED, Door
from measured import PYTHON

pytestmark = [pytest.mark.slow, pytest.mark.shared]

PROGRAM = Path(__file__).parent / "escape_doors.py"

BY_KERNEL = {
    "os.close(number); sock.close()": PASSES,
    "other = socket.socket(fileno=number); assert other.getpeername() == sock.getpeername(); other.close()": REFUSED,
    "other = socket.socket(fileno=number); other.close(); sock.send(b'x')": REFUSED,
    "other = socket.socket(fileno=number); other.close(); sock.close()": REFUSED,
    "kept_close(number); assert sock.fileno() == sock.detach() == number and sock.fileno() == -1": "AssertionError",
    "socket.close(number); assert sock.fileno() == number": "AssertionError",  # else it would close it twice
    "sock.sendmsg_afalg([b'x'], op=1)": "OSError",
    "socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM)": PASSES,
    "multiprocessing.connection.Client(('db', 1))": PASSES,
}
"""What differs with network="loopback", where numbers are real."""


def tried(network: str) -> dict[str, list[tuple[str, list[str], bool]]]:
    """What has come of each door: of itself, then where the server swallows it; who has heard of it; was it slow?"""
    environment = {**os.environ, "NETWORK": network, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [*PYTHON, PROGRAM], env=environment, capture_output=True, text=True, timeout=3600, check=False
    )
    found: dict[str, list[tuple[str, list[str], bool]]] = {}
    for line in done.stdout.splitlines():
        name, came, heard, slow = json.loads(line)
        found.setdefault(name, []).append((came, heard, slow))
    return found


@pytest.fixture(scope="module")
def simulated() -> dict[str, list[tuple[str, list[str], bool]]]:
    return tried("simulated")


@pytest.fixture(scope="module")
def loopback() -> dict[str, list[tuple[str, list[str], bool]]]:
    return tried("loopback")


def expected(comes: str) -> list[tuple[str, list[str], bool]]:
    """A refusal comes out of the run although the server swallows it; nobody hears of it, and nobody waits."""
    return [(comes, [], False)] * (2 if comes in (REFUSED, "ScenarioError") else 1)


@pytest.mark.parametrize("door", DOORS, ids=[door.name for door in DOORS])
def test_a_door_leads_nowhere(door: Door, simulated: dict[str, list[tuple[str, list[str], bool]]]) -> None:
    assert expected(door.comes) == simulated.get(door.name, ["it ended the process, or hung"])


@pytest.mark.parametrize(
    "door", [door for door in DOORS if "dup(number)" not in door.name], ids=lambda door: str(door.name)
)
def test_nor_does_it_over_the_loopback(door: Door, loopback: dict[str, list[tuple[str, list[str], bool]]]) -> None:
    came = loopback.get(door.name, ["it ended the process, or hung"])
    if door.name in BY_KERNEL:
        assert came[0] == (BY_KERNEL[door.name], [], False)
    else:
        assert expected(door.comes) == came


NUMBERS = {"fd", "fd2", "fildes", "in_fd", "out_fd"}
NO_SOCKETS = {
    "fdopen",
    "fwalk",
    "setns",
    "timerfd_gettime",
    "timerfd_gettime_ns",
    "timerfd_settime",
    "timerfd_settime_ns",
}
"""They take no socket, or come to what is replaced."""


def test_no_function_that_takes_a_descriptor_is_forgotten() -> None:
    forgotten: list[str] = []
    for module in (os, termios, fcntl):
        for name, function in vars(module).items():
            if not inspect.isroutine(function) or id(function) in REPLACEMENTS or name in NO_SOCKETS:
                continue
            try:
                parameters = set(inspect.signature(function).parameters)
            except ValueError:  # it tells of none
                continue
            if parameters & NUMBERS or function in os.supports_fd:
                forgotten.append(name)
    assert [] == forgotten


def test_no_function_that_ends_or_starts_a_process_is_forgotten() -> None:
    """Those of `os` that are in C; the others are made of them."""
    kinds = ("exec", "fork", "spawn", "posix_spawn", "wait", "kill", "_exit", "abort", "system")
    forgotten = [
        name
        for name, function in vars(os).items()
        if name.startswith(kinds) and inspect.isbuiltin(function) and id(function) not in REPLACEMENTS
    ]
    assert ["waitstatus_to_exitcode"] == forgotten


def test_no_method_of_a_real_socket_is_forgotten() -> None:
    harmless = {
        "close", "detach", "dup", "family", "fileno", "get_inheritable", "getblocking", "getpeername", "getsockname",
        "getsockopt", "gettimeout", "makefile", "proto", "set_inheritable", "setblocking", "setsockopt", "settimeout",
        "shutdown", "timeout", "type",
    }  # fmt: skip
    before = dict(vars(socket.socket))
    kind = socket.socket
    with Scenario() as net, net.installed():
        guarded = {name for name, thing in vars(kind).items() if before.get(name) is not thing}
    assert {"_accept", *(name for name in dir(kind) if not name.startswith("_") and name not in harmless)} == guarded


# -- what no scenario can be put under ---------------------------------------------------------------


def stub(monkeypatch: pytest.MonkeyPatch, name: str, **functions: object) -> None:
    """A module of a package that may not be there."""
    module = types.ModuleType(name)
    vars(module).update(functions)
    monkeypatch.setitem(sys.modules, name, module)


class Hub:
    parent = None


def patches_socket(name: str) -> bool:
    return name == "socket"


def patches_nothing(_: str) -> bool:
    return False


HUB = Hub()


@pytest.mark.parametrize(
    ("module", "functions", "text"),
    [
        ("gevent.monkey", {"is_module_patched": patches_socket}, "^gevent has patched"),
        ("eventlet.patcher", {"is_monkey_patched": patches_socket}, "^eventlet has patched"),
        ("gevent._hub_local", {"get_hub_if_exists": lambda: HUB}, "^this code runs in a greenlet of gevent"),
    ],
)
def test_a_patched_library_is_refused(
    module: str, functions: dict[str, object], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(monkeypatch, module, **functions)
    stub(monkeypatch, "greenlet", getcurrent=lambda: types.SimpleNamespace(parent=HUB))
    with Scenario() as net:
        with pytest.raises(NotImplementedError, match=text):
            net.run(int)
        with pytest.raises(NotImplementedError, match=text), net.installed():
            pass


def test_a_library_that_is_only_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    stub(monkeypatch, "gevent.monkey", is_module_patched=patches_nothing)
    stub(monkeypatch, "gevent._hub_local", get_hub_if_exists=lambda: HUB)
    stub(monkeypatch, "greenlet", getcurrent=Hub)
    with Scenario() as net:
        assert 0 == net.run(int)


@pytest.mark.parametrize("call", ["socket", "Hub"])
def test_what_gevent_has_is_refused_in_a_run(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Thing:
        def __init__(self) -> None: ...

        def switch(self) -> None: ...

        def wait(self) -> None: ...

    stub(monkeypatch, "gevent.hub", Hub=Thing)
    stub(monkeypatch, "gevent._socket3", socket=Thing)
    stub(monkeypatch, "gevent.monkey")  # of a version that has no patch_all()
    before = dict(vars(Thing))
    gevent: Any = sys.modules["gevent.hub" if call == "Hub" else "gevent._socket3"]
    with pytest.raises(NotImplementedError, match="^gevent is not simulated"), Scenario() as net:
        net.run(lambda: getattr(gevent, call)())
    assert before == dict(vars(Thing))
    Thing()


def test_pyopenssl_is_refused_over_a_socket_of_a_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection:
        def __init__(self, context: object, socket: object = None) -> None:
            self.socket = socket

    def main() -> None:
        near, far = socket.socketpair()
        with near, far, socket.socket() as sock:
            made.extend([Connection("context").socket, Connection("context", near).socket is near])
            Connection("context", sock)

    made: list[object] = []
    stub(monkeypatch, "OpenSSL.SSL", Connection=Connection)
    with pytest.raises(NotImplementedError, match="^pyOpenSSL reads and writes a socket's descriptor"):
        with Scenario() as net:
            net.run(main)
    assert made == [None, True]


class OtherLoop(asyncio.SelectorEventLoop):
    __module__ = "uvloop"


def test_a_loop_in_c_is_refused() -> None:
    loop = OtherLoop()
    with Scenario() as net, pytest.raises(NotImplementedError, match="^a loop of uvloop is to run"):
        net.run(loop.run_forever)
    loop.close()


def test_a_loop_in_c_that_comes_in_the_run_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = "import asyncio\nclass Loop(asyncio.SelectorEventLoop): pass\nnew_event_loop = Loop\n"
    (tmp_path / "uvloop.py").write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "uvloop", raising=False)

    def serve() -> None:
        uvloop: Any = importlib.import_module("uvloop")
        loop, coroutine = uvloop.new_event_loop(), asyncio.sleep(0)
        try:
            loop.run_until_complete(coroutine)
        finally:
            coroutine.close()
            loop.close()

    with pytest.raises(NotImplementedError, match="^uvloop is not simulated"), Scenario() as net:
        net.run(serve)
    uvloop: Any = sys.modules.pop("uvloop")
    loop = uvloop.new_event_loop()
    assert loop.run_until_complete(asyncio.sleep(0, 7)) == 7
    loop.close()


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_by_its_name_is_a_package_and_without_that_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: bool
) -> None:
    def main() -> list[str]:
        try:
            return [*importlib.import_module("uvloop").__path__]
        except ModuleNotFoundError as error:
            return [str(error.name)]

    if there:
        (tmp_path / "uvloop").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "uvloop", raising=False)
    with Scenario() as net:
        assert net.run(main) == [str(tmp_path / "uvloop") if there else "uvloop"]
    sys.modules.pop("uvloop", None)


def test_each_way_to_uvloop_is_refused_and_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    uvloop: Any = pytest.importorskip("uvloop")
    make = uvloop.new_event_loop

    async def main() -> None:
        raise AssertionError("it runs")

    def by_policy() -> None:
        policy: Any = uvloop.EventLoopPolicy()
        policy.new_event_loop()

    def as_loop_factory() -> None:
        runner: Any = vars(asyncio)["Runner"](loop_factory=make)
        with runner:
            runner.get_loop()

    def by_run() -> None:
        coroutine = main()
        try:
            uvloop.run(coroutine)
        finally:
            coroutine.close()

    ways = [make, lambda: uvloop.new_event_loop(), lambda: uvloop.Loop(), by_policy, by_run]
    if sys.version_info >= (3, 11):
        ways.append(as_loop_factory)
    text = r"^uvloop is not simulated: .* uvicorn\.run\(app, loop='asyncio'\)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of policies
        for way in ways:
            with pytest.raises(NotImplementedError, match=text), Scenario() as net:
                net.run(way)
    gc.collect()
    assert caplog.records == []

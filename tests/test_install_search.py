"""Whatever a module comes to hold between two scenarios is found by the second, though hardly anything is searched."""

from __future__ import annotations

import gc
import importlib
import os
import select
import selectors
import socket
import sys
import time
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mockselector import Scenario
from mockselector._install import searching
from mockselector._install.stand_ins import stand_in
from mockselector._simulated.selectors import SimSelector

pytestmark = [pytest.mark.slow, pytest.mark.shared]

PACKAGES = os.path.join(sys.prefix, "lib", "python3.10", "site-packages")

real_sleep, real_socket = time.sleep, socket.socket


def own() -> None: ...


def run() -> None:
    with Scenario() as net:
        net.run(own)


def held(module: Any, name: str) -> object:
    """What a program finds there while it runs."""
    with Scenario() as net:
        return net.run(lambda: getattr(module, name))


@pytest.fixture(params=["library", "own"])
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One that some package has installed, and one of the user's own."""
    made: Any = ModuleType("some_module")
    made.__file__ = os.path.join(
        PACKAGES if request.param == "library" else os.path.dirname(__file__), "some_module.py"
    )
    made.sleep, made.pause, made.other, made.socket_class = real_sleep, real_sleep, own, own
    monkeypatch.setitem(sys.modules, "some_module", made)
    return made


@pytest.fixture
def library(module: Any) -> Any:
    if "site-packages" not in module.__file__:
        pytest.skip("of a library alone")
    return module


def test_where_nothing_has_changed_nothing_is_searched(module: Any) -> None:
    run()
    before = searching._found
    assert before is not None
    run()
    assert searching._found is before
    assert module.sleep is real_sleep


@pytest.mark.parametrize(("name", "thing"), [("socket_class", real_socket), ("other", real_sleep)])
def test_a_name_that_is_bound_anew(module: Any, name: str, thing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setattr(module, name, thing)
    assert held(module, name) is stand_in(thing)
    assert getattr(module, name) is thing


def test_a_name_that_goes_and_another_one_that_comes(module: Any) -> None:
    run()
    del module.other
    module.another = real_sleep
    assert held(module, "another") is stand_in(real_sleep)
    assert module.another is real_sleep


def test_two_names_that_change_places(module: Any) -> None:
    run()
    module.pause, module.other = module.other, module.pause
    assert [stand_in(real_sleep), own] == [held(module, "other"), held(module, "pause")]
    assert (module.other, module.pause) == (real_sleep, own)


@pytest.mark.parametrize("name", ["sleep", "pause"])
def test_a_patch_that_comes_and_goes(module: Any, name: str) -> None:
    run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, own)
        assert held(module, name) is own
    assert held(module, name) is stand_in(real_sleep)
    assert getattr(module, name) is real_sleep


def test_a_patch_from_before_the_first_scenario(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_found", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "sleep", own)
        run()
    assert held(module, "sleep") is stand_in(real_sleep)


def test_a_patch_of_the_clock_itself_from_before_the_first_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_found", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", own)
        run()
    assert held(time, "sleep") is stand_in(real_sleep)


def test_a_patch_that_moves_from_one_module_to_another(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    second: Any = ModuleType("second")
    second.__file__, second.other = library.__file__, own
    monkeypatch.setitem(sys.modules, "second", second)
    library.other = real_sleep
    run()
    library.other, second.other = own, real_sleep
    assert held(second, "other") is stand_in(real_sleep)


def test_a_module_that_comes(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "some_module")
    run()
    monkeypatch.setitem(sys.modules, "some_module", module)
    assert held(module, "pause") is stand_in(real_sleep)


def test_a_module_that_takes_the_place_of_another(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    other: Any = ModuleType("some_module")
    other.__dict__.update(module.__dict__, pause=own, other=real_sleep)
    monkeypatch.setitem(sys.modules, "some_module", other)
    assert held(other, "other") is stand_in(real_sleep)


def test_a_function_of_a_module_that_has_been_imported_anew_since(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exec("def ask(): return pause", module.__dict__)
    monkeypatch.setitem(sys.modules, "some_module", ModuleType("some_module"))
    with Scenario() as net:
        assert net.run(module.ask) is stand_in(real_sleep)
    assert module.pause is real_sleep


@pytest.mark.parametrize("folder", ["site-packages", "mine"])
def test_a_module_that_is_loaded_again(tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lib" / "python3" / folder
    path.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(path), *sys.path])
    importlib.invalidate_caches()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path.joinpath("loaded_again.py").write_text("from time import sleep as one\ntwo = None\n")
    loaded = importlib.import_module("loaded_again")
    monkeypatch.delitem(sys.modules, "loaded_again")  # to be put back as it was: away
    monkeypatch.setitem(sys.modules, "loaded_again", loaded)
    run()
    path.joinpath("loaded_again.py").write_text("one = None\nfrom time import sleep as two\n")
    importlib.reload(loaded)
    assert held(loaded, "two") is stand_in(real_sleep)
    assert loaded.two is real_sleep


def test_a_selector_that_a_server_has_left_in_a_module(module: Any) -> None:
    def serve() -> None:
        module.other = selectors.DefaultSelector()

    run()
    with Scenario() as net:
        net.run(serve)
    left = module.other
    assert isinstance(left, SimSelector)
    now = held(module, "other")
    assert isinstance(now, SimSelector)
    assert now is not left
    assert module.other is left


def test_a_selector_that_a_module_makes_between_two_scenarios(module: Any) -> None:
    run()
    with selectors.DefaultSelector() as selector:
        module.other = selector
        assert isinstance(held(module, "other"), SimSelector)
        assert module.other is selector


def test_no_module_is_kept_alive(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    gone: Any = ModuleType("gone")
    gone.__file__, gone.pause, gone.thing = library.__file__, real_sleep, type("Thing", (), {})()
    sys.modules["gone"] = gone
    run()
    kept = weakref.ref(gone), weakref.ref(gone.thing)
    del sys.modules["gone"], gone
    gc.collect()
    assert [None, None] == [one() for one in kept]
    run()


class Odd:
    """What somebody has put into `sys.modules`, and is no module."""

    pause = staticmethod(real_sleep)

    def __init__(self) -> None:
        self.pause = real_sleep


@pytest.mark.parametrize("odd", [None, 1, Odd], ids=["None", "number", "class"])
def test_what_is_no_module_is_left_alone(odd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "odd", odd)
    run()
    run()


def test_names_that_are_replaced_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    odd: Any = Odd()
    monkeypatch.setitem(sys.modules, "odd", odd)
    odd.pause = own
    run()
    odd.__dict__ = {"pause": real_sleep}
    assert held(odd, "pause") is stand_in(real_sleep)
    assert odd.pause is real_sleep


# -- attributes of classes ---------------------------------------------------------------------------


class Loop:
    """As libraries choose what they wait with."""

    clock = time.monotonic
    poller = select.poll
    made = socket.socket
    date = staticmethod(time.time)


def test_an_attribute_of_a_class_is_replaced_and_is_no_method_of_it() -> None:
    def server() -> object:
        loop: Any = Loop()
        begun = loop.clock()
        time.sleep(2)
        poller, sock = loop.poller(), loop.made()
        poller.register(sock, select.POLLOUT)
        assert 2 == loop.date() - Loop.date() + loop.clock() - begun
        return poller.poll(0), loop.clock() - begun

    for _ in range(2):
        with Scenario() as net:
            assert ([(1 << 30, select.POLLOUT | select.POLLHUP)], 2.0) == net.run(server)
        assert [time.monotonic, select.poll, real_socket] == [vars(Loop)[name] for name in ("clock", "poller", "made")]


@pytest.mark.parametrize("static", [False, True])
def test_an_attribute_of_a_librarys_class_is_found_again(module: Any, static: bool) -> None:
    kept: Any = staticmethod(real_sleep) if static else real_sleep
    module.Timer = type("Timer", (), {"pause": kept, "__module__": module.__name__})
    module.__name__ = "some_module"
    for _ in range(2):
        assert real_sleep is not held(module.Timer, "pause")
        assert kept is vars(module.Timer)["pause"]


def test_what_code_has_put_there_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loop, "clock", time.perf_counter)
    with Scenario() as net:
        net.run(setattr, Loop, "clock", own)
    assert own is vars(Loop)["clock"]


def seven(_: object) -> int:
    return 7


@pytest.mark.parametrize("hashes", [None, seven])
def test_one_that_is_replaced_by_what_has_no_hash_of_its_identity(
    hashes: object, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    for name in ("sleep", "pause"):
        other = type("Other", (), {"__hash__": hashes})()
        setattr(other, name, real_sleep)
        monkeypatch.setitem(sys.modules, "some_module", other)
        assert held(other, name) is stand_in(real_sleep)
        assert getattr(other, name) is real_sleep

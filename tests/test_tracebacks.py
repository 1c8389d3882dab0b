"""Tracebacks go from the test's line to the server's, whatever runs the test; and whose code a file is."""

from __future__ import annotations

import asyncio.streams
import io
import os
import selectors
import socket
import sys
import textwrap
import traceback
import unittest
from selectors import EVENT_READ
from typing import TYPE_CHECKING

import pytest

import mockselector
from mockselector import MockSelector, MockSocket, Scenario, ScenarioError
from mockselector._ending.frames import leave_out_ours
from mockselector._judge.trace import shown_path
from mockselector._whose import in_its_library, whose
from scenario_servers import echo, one

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = os.path.dirname(mockselector.__file__)


def asks(net: Scenario) -> None:
    net.client("alice").sends(b"x").expects(b"y").closes()


def fails(conn: socket.socket) -> None:
    assert conn.recv(9) == b"y", "of the server"


def in_a_block(serve: Callable[[], object]) -> None:
    with Scenario() as net:
        asks(net)
        net.run(serve)


def without_a_block(serve: Callable[[], object]) -> None:
    net = Scenario()
    asks(net)
    try:
        net.run(serve)
    finally:
        net._run.settled = True  # it has been seen


def swallowed(serve: Callable[[], object]) -> None:
    def swallows() -> None:
        try:
            serve()
        except Exception:
            serve()

    in_a_block(swallows)


def in_an_event_list(_: object) -> None:
    alice = MockSocket([b"x"], name="alice")
    with MockSelector([alice], strict=True) as selector:
        selector.register(alice, EVENT_READ)
        selector.select()
        alice.recv(9)
        alice.recv(9)


def frames_of(error: BaseException) -> list[str]:
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("play", [in_a_block, without_a_block, swallowed, in_an_event_list])
@pytest.mark.parametrize("serve", [echo, lambda: one(fails), lambda: one(lambda conn: conn.recv(0) or 1 // 0)])
def test_a_traceback_has_lines_of_the_test_and_the_server_only(
    play: Callable[[Callable[[], object]], None], serve: Callable[[], object]
) -> None:
    with pytest.raises((AssertionError, ZeroDivisionError)) as caught:
        play(serve)
    files = frames_of(caught.value)
    ours = [file for file in files if file.startswith(OURS)]
    assert ours == [] or (sys.version_info < (3, 11) and len(ours) == 1)  # 3.10 shows whoever raised it last
    assert __file__ in files
    assert play is in_an_event_list or files[-1] != __file__ or serve is not echo


def test_what_is_found_at_the_end_points_at_the_block() -> None:
    with pytest.raises(ScenarioError) as caught:
        in_a_block(lambda: None)
    files = frames_of(caught.value)
    assert [file for file in files if not file.startswith(OURS)] == [__file__, __file__]
    assert len(files) == 2 + (sys.version_info < (3, 11))


def test_what_it_came_of_is_cleaned_as_well() -> None:
    def serve() -> None:
        try:
            one(lambda conn: conn.recv(9) and conn.send(b"z"))
        except ScenarioError as error:
            raise RuntimeError("of the server") from error

    with pytest.raises(ScenarioError) as caught:
        in_a_block(serve)
    cause = caught.value.__cause__
    assert isinstance(cause, RuntimeError)
    assert not any(file.startswith(OURS) for file in frames_of(cause))


def test_of_a_fault_of_ours_the_lines_stay() -> None:
    space: dict[str, object] = {"__package__": "mockselector"}
    exec(compile("def faulty(): return None.nothing\ndef calls(): return faulty()", OURS + "/_x.py", "exec"), space)
    calls: Callable[[], object] = space["calls"]  # type: ignore[assignment]
    with pytest.raises(AttributeError) as caught:
        calls()
    leave_out_ours(caught.value, ())
    assert frames_of(caught.value)[-2:] == [OURS + "/_x.py"] * 2


SUITE = """
    import selectors, socket, unittest
    from mockselector import Scenario
    from scenario_servers import echo, one

    class Tests(unittest.TestCase):
        def play(self, serve):
            with Scenario() as net:
                net.client("alice").sends(b"x").expects(b"y").closes()
                net.run(serve)

        def test_finding(self):
            self.play(echo)

        def test_assertion_of_the_server(self):
            def handle(conn):
                assert conn.recv(9) == b"y"  # the server's
            self.play(lambda: one(handle))

        def test_finding_at_the_end(self):
            self.play(lambda: None)
"""


def test_of_arguments_that_the_server_does_not_take_only_the_test_s_line_is_shown() -> None:
    def serve(port: int) -> None: ...

    with pytest.raises(TypeError, match="missing 1 required positional argument") as caught, Scenario() as net:
        net.run(serve)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert frames_of(caught.value)[0] == __file__
    assert len(frames_of(caught.value)) == 1 + (sys.version_info < (3, 11))  # which shows whoever raised it last


def test_under_unittest_the_lines_of_the_test_and_the_server_are_shown_and_not_ours() -> None:
    file = "suite_of_unittest.py"
    source = textwrap.dedent(SUITE)
    space: dict[str, object] = {"__name__": "suite"}
    exec(compile(source, file, "exec"), space)
    case: type[unittest.TestCase] = space["Tests"]  # type: ignore[assignment]
    stream = io.StringIO()
    unittest.TextTestRunner(stream).run(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    text = stream.getvalue()
    assert text.count("scenario_servers.py") >= 3
    assert f'File "{file}", line {1 + source.splitlines().index("        self.play(echo)")}' in text
    handler = next(number for number, line in enumerate(source.splitlines(), 1) if "# the server's" in line)
    assert f'File "{file}", line {handler}, in handle' in text
    assert text.count(OURS) <= (sys.version_info < (3, 11))


# -- whose code it is ---------------------------------------------------------------------------------------------

LIBRARY = os.path.dirname(os.__file__)


def test_a_file_of_a_library_is_shown_by_its_name_there() -> None:
    assert shown_path(asyncio.streams.__file__) == os.path.join("asyncio", "streams.py")
    assert shown_path("/x/lib/python3.13/site-packages/flask/app.py") == "flask/app.py"
    assert shown_path("/x/server\n.py") == r"/x/server\n.py"
    assert shown_path(os.path.abspath("server.py")) == "server.py"


@pytest.mark.parametrize(
    ("file", "is_whose"),
    [
        (os.path.join(OURS, "_world.py"), "ours"),
        (os.path.join(OURS, "folder", "module.py"), "ours"),
        (OURS + "_plugin/module.py", "installed" if "site-packages" in OURS else "own"),  # and not ours
        (selectors.__file__, "stdlib"),
        (os.path.join(LIBRARY, "asyncio", "streams.py"), "stdlib"),
        ("<frozen importlib._bootstrap>", "stdlib"),
        (os.path.join(LIBRARY, "site-packages", "flask", "app.py"), "installed"),
        ("/usr/lib/python3/dist-packages/flask/app.py", "installed"),
        ("/home/me/project/.venv/lib/python3.13/site-packages/flask/app.py", "installed"),
        ("C:/Python313/Lib/site-packages/flask/app.py", "installed"),
        (os.path.join(sys.prefix, "bin", "gunicorn"), "installed"),
        (pytest.__file__, "installed"),
        (__file__, "own"),
        ("/home/me/project/server.py", "own"),
        ("/home/me/project/.venv/src/library/app.py", "own"),  # an editable install
        (os.path.join(sys.prefix, "project", "app.py"), "own"),  # in the folder of a virtualenv
        ("/home/me/site-packages/app.py", "own"),
        ("/home/me/app.pyz/server.py", "own"),
        ("server.py", "own"),
        ("<string>", "own"),
        ("<stdin>", "own"),
        ("<ipython-input-1-0123456789ab>", "own"),
        ("/tmp/ipykernel_123/456.py", "own"),
    ],
)
def test_whose_code_a_file_is(file: str, is_whose: str) -> None:
    assert whose(file) == is_whose


@pytest.mark.parametrize(
    ("file", "inside"),
    [
        (asyncio.streams.__file__, os.path.join("asyncio", "streams.py")),
        ("/usr/lib/python3/dist-packages/flask/app.py", "flask/app.py"),
        ("/home/me/.venv/lib/python3.12/site-packages/flask/app.py", "flask/app.py"),
        (os.path.join(sys.prefix, "bin", "flask"), os.path.join(sys.prefix, "bin", "flask")),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>"),
        ("/home/me/server.py", "/home/me/server.py"),
    ],
)
def test_what_a_file_is_called_in_its_library(file: str, inside: str) -> None:
    assert in_its_library(file) == inside


def test_what_is_found_again_on_the_way_out_is_not_shown_before_it() -> None:
    def serve() -> None:
        def handle(conn: socket.socket) -> None:
            try:
                conn.sendall(b"wrong")
            finally:
                conn.sendall(b"bye")

        one(handle)

    with pytest.raises(ScenarioError, match="was sent b'wrong'") as caught:
        with Scenario() as net:
            net.client("alice").expects(b"right").closes()
            net.run(serve)
    text = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert text.count("[unexpected-send]") == 1
    assert "bye" not in text.replace('conn.sendall(b"bye")', "")

"""The command `mockselector`: its verbs, its little language, what it writes, and its exit status."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from measured import PYTHON
from mockselector import (
    Closes,
    Expects,
    ExpectsEof,
    ExpectsNothing,
    ReadsSlowly,
    Receives,
    Resets,
    Sends,
    ShutsDown,
    Step,
    Waits,
)
from mockselector._command import report
from mockselector._command.language import STEPS, written
from mockselector._command.main import main
from mockselector._command.paper import Paper
from mockselector._command.usage import UsageError
from mockselector._judge.catalogue import meaning, mending, suffering
from mockselector._judge.rules import RULES

PAGE = (Path(__file__).parent.parent / "docs" / "command.md").read_text()
UPPER = next(block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if block.startswith("# upper.py"))

FETCH = """
import socket, sys

with socket.create_connection(("api", 80)) as sock:
    sock.sendall(b"question\\n")
    print(sock.recv(100))
if len(sys.argv) > 1:
    sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """With two programs in it."""
    (tmp_path / "upper.py").write_text(UPPER)
    (tmp_path / "fetch.py").write_text(FETCH)
    monkeypatch.chdir(tmp_path)


class Written:
    """What the command has written, and its exit status."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    def __eq__(self, other: object) -> bool:
        return (self.status, self.out, self.err) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr((self.status, self.out, self.err))


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    """The command, in this process."""

    def call(*words: str) -> Written:
        status = main(words)
        captured = capsys.readouterr()
        return Written(status, captured.out, captured.err)

    return call


CLEAN = "send:hi\\n, expect:HI\\n"
LEAVES = f"{CLEAN}, close"


# -- the page ---------------------------------------------------------------------------------------


def test_the_page_has_every_step_and_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    options = re.findall(r"^  (--[a-z]+)", capsys.readouterr().out, re.MULTILINE)
    assert len(options) > 5
    for word in [*options, *STEPS]:
        assert re.search(rf"`{word}\b", PAGE), word


# -- rules ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_explained_as_on_the_page_of_rules(rule: Any, command: Any) -> None:
    done = command("explain", rule)
    words = " ".join(done.out.split())
    for text in (meaning(rule), f"In production {suffering(rule)}", f"To mend it: {mending(rule)}", RULES[rule].level):
        assert " ".join(text.split()) in words
    assert (done.status, done.err) == (0, "")


def test_of_an_unknown_rule_the_nearest_are_named(command: Any) -> None:
    expected = "mockselector: there is no rule 'eof-ignord'; the nearest: eof-ignored, read-past-eof\n"
    assert command("explain", "eof-ignord") == (2, "", expected)


def test_of_one_that_is_like_none_where_they_are_listed(command: Any) -> None:
    expected = "mockselector: there is no rule 'xyzzy'; `mockselector rules` lists them\n"
    assert command("explain", "xyzzy") == (2, "", expected)


def test_all_rules_are_listed_each_in_a_line(command: Any) -> None:
    done = command("rules")
    lines = [line.split(maxsplit=2) for line in done.out.splitlines()]
    assert [(rule, RULES[rule].level) for rule in RULES] == [(rule, level) for rule, level, _ in lines]
    assert all(len(line) < 180 for line in done.out.splitlines())


def test_an_error_names_the_command_that_explains_it(command: Any) -> None:
    last = command("run", "upper.py", "--client", LEAVES, "--", "8888").out.splitlines()[-1]
    assert last.endswith("   why? mockselector explain closed-still-registered")
    assert command(*last.partition("why? mockselector ")[2].split()).status == 0


def test_the_version_is_told(command: Any) -> None:
    assert re.fullmatch(r"mockselector \S+ \(Python 3\.\S+\)\n", command("version").out)


# -- the language -----------------------------------------------------------------------------------

EVERY: list[tuple[str, list[Step]]] = [
    ("send:hi, expect:HI", [Sends(b"hi"), Expects(b"HI")]),
    ("send:hi\\n,expect: HI ", [Sends(b"hi\n"), Expects(b" HI ")]),
    (r"send:\r\n\t\0\x00\xff\\\,\@é", [Sends(b"\r\n\t\0\x00\xff\\,@\xc3\xa9")]),
    ("send:a:b", [Sends(b"a:b")]),
    ("send:a@b", [Sends(b"a@b")]),
    (r"expect-until:\n", [Expects(re.compile(b".*", re.DOTALL), until=b"\n")]),
    (r"expect-match:\d{1\,2}\.", [Expects(re.compile(rb"\d{1,2}\.", re.DOTALL), until="eof")]),
    ("expect-nothing:2.5, expect-eof", [ExpectsNothing(2.5), ExpectsEof()]),
    (
        "receive, wait:3, read-slowly:10/0.5, read-slowly:7",
        [Receives(), Waits(3), ReadsSlowly(10, 0.5), ReadsSlowly(7)],
    ),
    (" shutdown , close ", [ShutsDown(), Closes()]),
    ("wait:1 ,reset, wait:2", [Waits(1), Resets(), Waits(2)]),
    ("", []),
    ("  ", []),
]


@pytest.mark.parametrize(("text", "steps"), EVERY, ids=[text for text, _ in EVERY])
def test_steps_are_those_of_peers(text: str, steps: list[Step]) -> None:
    assert steps == written(text, client=True).steps


def test_bytes_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "some, bytes").write_bytes(b"\0, \n")
    assert [Sends(b"\0, \n"), Closes()] == written(r"send:@some\, bytes, close", client=True).steps


def test_settings_come_before_the_steps() -> None:
    for text, place in (("8888", 8888), ("db:80", ("db", 80)), ("[::1]:80", ("::1", 80)), ("/run/s", "/run/s")):
        peer = written(f"name: alice, to:{text}, delay:2.5, close", client=True)
        assert (peer.name, peer.to, peer.delay, peer.steps) == ("alice", place, 2.5, [Closes()])
    peer = written("refuse, delay:never, name:db", client=False)
    assert (peer.name, peer.refuses, peer.delay) == ("db", True, None)


MISTAKES: list[tuple[str, int, str]] = [
    ("send:a, expct:b", 9, "'expct' is none of the words (did you mean 'expect'?): name:NAME,"),
    ("xyzzy", 1, "'xyzzy' is none of the words: name:NAME,"),
    ("send:a,,close", 8, "a word is missing between the commas"),
    ("send:a,", 7, "a word is missing between the commas"),
    (",", 1, "a word is missing between the commas"),
    (":a", 1, "a word is missing between the commas"),
    ("send", 1, "'send' takes a value: write send:BYTES"),
    ("send:", 6, "send: has no bytes. Write some behind the colon, or @FILE"),
    (r"send:a\q", 7, r"\q is no escape: \n \r \t \0 \xHH \\ \, and \@ are"),
    (r"send:\x4", 6, r"\x is no escape: \n \r \t \0 \xHH \\ \, and \@ are"),
    ("send:a\\", 7, "\\ is no escape:"),
    (
        "send:@gone",
        6,
        r"'gone' cannot be read: No such file or directory. (Bytes that begin with an @ are written \@.)",
    ),
    ("send:@empty", 6, "'empty' is empty, and send: takes one byte or more"),
    ("close:now", 7, r"'close' takes no value; got 'now'. (A comma in bytes is written \,.)"),
    ("wait:soon", 6, "wait: takes a number of seconds, 0 or more; got 'soon'"),
    ("wait:-1", 6, "wait: takes a number of seconds, 0 or more; got '-1'"),
    ("wait:inf", 6, "wait: takes a number of seconds, 0 or more; got 'inf'"),
    (
        "read-slowly:0",
        13,
        "read-slowly: takes a number of bytes, 1 or more, and behind a slash every how many seconds,",
    ),
    ("expect-match:(", 14, "expect-match: takes a regular expression; '(' is none: "),
    ("expect-match:", 14, "expect-match: has no pattern."),
    ("to:x:y", 4, "to: takes a port, HOST:PORT, or a path with a slash in it; got 'x:y'"),
    ("to:70000", 4, "to: takes a port, HOST:PORT, or a path with a slash in it; got '70000'"),
    ("name: ", 6, "name: has no name behind the colon"),
    ("close, name:a", 8, "'name' stands behind a step; settings come first"),
    ("close, send:hi", 8, "'send' stands behind 'close', with which the connection has gone"),
    ("reset, wait:5, close", 16, "'close' stands behind 'reset', with which the connection has gone"),
    ("shutdown, send:hi", 11, "'send' stands behind 'shutdown', after which nothing can be sent"),
    ("name:a, name:b", 9, "'name' is said twice"),
    ("delay:never", 7, "delay: takes a number of seconds, 0 or more; got 'never'"),
    ("refuse", 1, "'refuse' is none of the words (did you mean 'reset'?): name:NAME,"),
]


@pytest.mark.parametrize(("text", "position", "what"), MISTAKES, ids=[text for text, _, _ in MISTAKES])
def test_a_mistake_is_told_with_its_place_and_what_is_accepted(
    text: str, position: int, what: str, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(UsageError) as caught:
        written(text, client=True)
    first, *_, mark = str(caught.value).split("\n")
    assert first.startswith(f"at character {position}, {what}")
    assert mark.index("^") == position + 1


def test_a_mistake_in_a_long_text_is_shown_with_what_stands_around_it() -> None:
    with pytest.raises(UsageError) as caught:
        written(f"send:{'x' * 1000}, nonsense, send:{'y' * 1000}", client=True)
    _, shown, mark = str(caught.value).split("\n")
    assert shown[mark.index("^") :].startswith("nonsense")
    assert len(shown) < 140


# -- run --------------------------------------------------------------------------------------------


def test_a_clean_run_says_what_its_peers_have_received(command: Any) -> None:
    expected = "  client 1 has received b'HI\\n'\nupper.py: nothing found; 11 calls, 60 s of virtual time\n"
    assert command("run", "upper.py", "--client", CLEAN, "--", "8888") == (0, expected, "")


def test_a_finding_is_told_by_its_own_text_with_the_command_line_as_its_script(command: Any) -> None:
    done = command("run", "upper.py", "--client", LEAVES, "--", "8888")
    first, *_, script, client, _ = done.out.splitlines()
    assert done.status == 1
    assert first.startswith("mockselector.ScenarioError: [closed-still-registered] client 1 was closed but is still")
    assert script == "  script:    <command line>:1  mockselector run upper.py"
    assert client == '  client 1:  <command line>:2  --client "send:hi\\n, expect:HI\\n, close"'


def test_a_module_is_run_as_python_does(command: Any) -> None:
    assert command("run", "-m", "upper", "--client", CLEAN, "--", "8888").status == 0


def test_several_clients_play_together(command: Any) -> None:
    late = "name:bob, delay:5, to:8888, send:yo, expect:YO"
    done = command("run", "upper.py", "--client", CLEAN, "--client", late, "--", "8888")
    assert "  bob has received b'YO'\nupper.py: nothing found; 17 calls, 65 s of virtual time\n" in done.out


def test_a_backend_answers(command: Any) -> None:
    done = command("run", "fetch.py", "--backend", "api:80", r"name:db, expect-until:\n, send:answer, expect-eof")
    assert done == (0, "b'answer'\n  db has received b'question\\n'\n" + done.out.splitlines()[-1] + "\n", "")


def test_a_backend_may_refuse(command: Any) -> None:
    done = command("run", "fetch.py", "--backend", "api:80", "refuse")
    assert done.status == 1
    assert "\nConnectionRefusedError: [Errno " in done.out


def test_an_exception_of_the_program_is_told_from_its_own_line_on(command: Any) -> None:
    done = command("run", "upper.py", "--client", CLEAN)
    assert done.status == 1
    assert done.out.startswith('Traceback (most recent call last):\n  File "upper.py", line ')
    assert "IndexError: list index out of range" in done.out


def test_a_text_that_is_no_python_is_told_by_its_line(command: Any, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("def serve(:\n")
    done = command("run", "wrong.py")
    assert (done.status, done.out.splitlines()[:2]) == (1, ['  File "wrong.py", line 1', "    def serve(:"])


def test_so_is_an_exit_status(command: Any) -> None:
    done = command("run", "fetch.py", "--backend", "api:80", "send:answer", "--", "3")
    assert (done.status, done.out.splitlines()[-1]) == (1, "the program has left with exit status 3")


def test_an_exit_status_of_0_is_clean(command: Any) -> None:
    assert command("run", "fetch.py", "--backend", "api:80", "send:answer", "--", "0").status == 0


def test_rules_may_be_allowed(command: Any) -> None:
    allowed = ("--allow", "closed-still-registered", "--allow", "leaked-connection")
    assert command("run", "upper.py", "--client", LEAVES, *allowed, "--", "8888").status == 0


def test_pedantic_rules_may_be_judged(command: Any) -> None:
    allowed = ("--pedantic", "--allow", "closed-still-registered")
    done = command("run", "upper.py", "--client", LEAVES, *allowed, "--", "8888")
    assert "[close-before-unregister]" in done.out


def test_patience_and_grace_are_those_of_a_scenario(command: Any) -> None:
    done = command("run", "upper.py", "--client", CLEAN, "--grace", "5", "--patience", "10", "--", "8888")
    assert done.out.endswith("5 s of virtual time\n")


@pytest.mark.slow
def test_it_may_be_played_over_real_sockets(command: Any) -> None:
    done = command("run", "upper.py", "--network", "loopback", "--client", CLEAN, "--", "0")
    assert (done.status, done.out.splitlines()[0]) == (0, "  client 1 has received b'HI\\n'")


UNUSABLE: list[tuple[list[str], str]] = [
    ([], "the following arguments are required: VERB"),
    (["judge"], "argument VERB: invalid choice: 'judge'"),
    (["explain"], "the following arguments are required: RULE"),
    (["version", "--", "1"], "what stands behind -- are a program's arguments: only run takes them"),
    (["run"], "run takes one program: the path of a file, or -m MODULE"),
    (["run", "upper.py", "-m", "upper"], "run takes one program: the path of a file, or -m MODULE"),
    (["run", "upper.py", "8888"], "'8888' is not understood. (A program's own arguments stand behind --)"),
    (["run", "gone.py"], "there is no file 'gone.py'. (A module is run by -m MODULE)"),
    (["run", "-m", "gone_module"], "there is no module 'gone_module'. (A file is run by its path, without -m)"),
    (["run", "-m", "json.gone_module"], "'json.gone_module' cannot be run: No module named json.gone_module"),
    (["run", "."], "'.' cannot be run: can't find '__main__' module in '.'"),
    (["run", "upper.py", "--client", "nonsense"], "--client: at character 1, 'nonsense' is none of the words: "),
    (["run", "upper.py", "--client", "a", "--client", "close, x"], "--client: at character 1, 'a' is none"),
    (["run", "upper.py", "--backend", "db:80", "to:80"], "--backend db:80: at character 1, 'to' is none of the words"),
    (["run", "upper.py", "--backend", "80", "close"], "--backend takes HOST:PORT, or a path with a slash in it, and"),
    (["run", "upper.py", "--backend", "db:80"], "argument --backend: expected 2 arguments"),
    (["run", "upper.py", "--allow", "stuk"], "there is no rule 'stuk'; the nearest: stuck"),
    (["run", "upper.py", "--patience", "-1"], "argument --patience: invalid number of seconds value: '-1'"),
    (["run", "upper.py", "--network", "real"], "argument --network: invalid choice: 'real' (choose from "),
    (["run", "upper.py", "--format", "xml"], "argument --format: invalid choice: 'xml' (choose from "),
    (["run", "upper.py", "--network", "loopback", "--pedantic"], "pedantic=True cannot be had on real sockets"),
]


@pytest.mark.parametrize(("words", "what"), UNUSABLE, ids=[" ".join(words) for words, _ in UNUSABLE])
def test_what_cannot_be_asked_is_told(words: list[str], what: str, command: Any) -> None:
    done = command(*words)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"mockselector: {what}")


@pytest.mark.parametrize(
    ("program", "exception"),
    [
        ("import asyncio\nraise asyncio.CancelledError", "CancelledError"),
        ("class Odd(BaseException): ...\nraise Odd", "Odd"),
        ("class Mute(Exception):\n    def __str__(self): return 1\nraise Mute", "Mute"),
    ],
)
@pytest.mark.filterwarnings("ignore:besides")
def test_whatever_a_program_raises_is_told(program: str, exception: str, command: Any) -> None:
    Path("raises.py").write_text(program)
    done = command("run", "raises.py", "--format", "json")
    told = json.loads(done.out)
    assert (1, "exception", exception) == (done.status, told["outcome"], told["exception"])


def test_a_program_may_close_where_it_writes(tmp_path: Path) -> None:
    (tmp_path / "closes.py").write_text("import sys\nsys.stdout.close()\n")
    done = subprocess.run(
        [*PYTHON, "-m", "mockselector", "run", "closes.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.filterwarnings("ignore:besides KeyboardInterrupt")  # which up to Python 3.10 shows the note
def test_a_program_that_computes_for_ever_is_found_and_how_to_let_it_is_said_in_words_of_the_command(
    command: Any,
) -> None:
    Path("computes.py").write_text("while True: pass\n")
    done = command("run", "computes.py", "--watchdog", "0.1")
    assert done.status == 1
    assert "[busy-loop]" in done.out
    assert "--watchdog 300 lets a turn take five minutes" in " ".join(done.out.split())


def test_ctrl_c_tells_where_the_program_was(command: Any) -> None:
    Path("waits.py").write_text(
        "import socket\nlistener = socket.create_server(('', 8000))\nlistener.accept()\nraise KeyboardInterrupt\n"
    )
    done = command("run", "waits.py", "--client", "name:alice, send:x")
    assert (done.status, done.out) == (130, "")
    assert done.err.startswith("mockselector: interrupted\nTraceback (most recent call last):\n")
    assert 'waits.py", line 4, in <module>' in done.err
    if sys.version_info >= (3, 11):
        assert "accept() -> alice" in done.err


def test_ctrl_c_before_the_program_runs_has_nothing_to_tell(monkeypatch: pytest.MonkeyPatch, command: Any) -> None:
    monkeypatch.setattr("mockselector._command.playing.play", Mock(side_effect=KeyboardInterrupt))
    assert command("run", "upper.py") == (130, "", "mockselector: interrupted\n")


# -- timelines --------------------------------------------------------------------------------------


def test_a_timeline_is_saved_whatever_came_of_the_run(command: Any, tmp_path: Path) -> None:
    for steps, status in ((CLEAN, 0), (LEAVES, 1)):
        assert command("run", "upper.py", "--client", steps, "--timeline", "run.html", "--", "8888").status == status
        assert "client 1" in (tmp_path / "run.html").read_text()
        (tmp_path / "run.html").unlink()


def test_of_one_that_cannot_be_written_the_finding_is_told_all_the_same(command: Any) -> None:
    done = command("run", "upper.py", "--client", LEAVES, "--timeline", "no/run.html", "--", "8888")
    assert "[closed-still-registered]" in done.out
    assert (done.status, done.err) == (
        2, "mockselector: --timeline: 'no/run.html' cannot be written: No such file or directory\n"
    )  # fmt: skip


# -- formats ----------------------------------------------------------------------------------------


def test_a_finding_as_json_has_the_programs_line(command: Any) -> None:
    told = json.loads(command("run", "upper.py", "--client", LEAVES, "--format", "json", "--", "8888").out)
    text = told.pop("text")
    assert text.startswith("mockselector.ScenarioError: [closed-still-registered] client 1 was closed")
    assert told == {
        "outcome": "finding",
        "program": "upper.py",
        "rule": "closed-still-registered",
        "level": "default",
        "socket": "client 1",
        "exception": None,
        "headline": "client 1 was closed but is still registered with the selector",
        "file": "upper.py",
        "line": 19,
        "seconds": 0.0,
        "calls": 14,
        "peers": [{"name": "client 1", "received": "HI\n"}],
    }


def test_a_clean_run_as_json_says_so_beside_what_the_program_prints(command: Any) -> None:
    done = command("run", "fetch.py", "--backend", "api:80", r"send:\xff", "--format", "json")
    told = json.loads(done.out)
    assert (told["outcome"], told["text"], done.err) == ("clean", None, "b'\\xff'\n")


WRAPS = """
import io, sys

sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8")
print("printed")
"""


def test_a_program_that_wraps_its_output_anew_is_told_of_there(tmp_path: Path) -> None:
    (tmp_path / "wraps.py").write_text(WRAPS)
    words = [*PYTHON, "-m", "mockselector", "run", "wraps.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "printed\nwraps.py: nothing found; 0 calls, 0 s of virtual time\n"
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such shell")
def test_without_any_output_the_status_tells(tmp_path: Path) -> None:
    (tmp_path / "upper.py").write_text(UPPER)
    for more, status in (CLEAN, 0), (LEAVES, 1):
        words = [*PYTHON, "-m", "mockselector", "run", "upper.py", "--client", more, "--", "8888"]
        done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *words], cwd=tmp_path, capture_output=True, check=False)
        assert (done.stderr, done.returncode) == (b"", status)


WRITES = """
import os, subprocess, sys

print("printed")
os.write(1, b"written\\n")
subprocess.run([sys.executable, "-c", "print('by a child')"], check=True)
"""


def test_what_a_program_writes_to_descriptor_1_is_not_mixed_with_the_json(tmp_path: Path) -> None:
    (tmp_path / "writes.py").write_text(WRITES)
    words = ["-m", "mockselector", "run", "writes.py", "--format", "json"]
    done = subprocess.run([*PYTHON, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["outcome"] == "clean"
    assert sorted(done.stderr.split("\n")) == ["", "by a child", "printed", "written"]


HANDLER = """
import asyncio

async def handle(reader, writer):
    data = await reader.readline()
    {last}

async def main():
    async with await asyncio.start_server(handle, "127.0.0.1", 8888) as server:
        await server.serve_forever()

asyncio.run(main())
"""

WAITS = """
import selectors, socket

with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
            else:
                key.fileobj.recv(100)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "rule", "line"),
    [
        (HANDLER.format(last="raise KeyError(data)"), "unhandled-exception", 6),
        (HANDLER.format(last="await reader.readline()"), "stuck", 6),
        (WAITS, "stuck", 11),
        ("import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()\n", "deadlock", 4),
        ("while True: pass\n", "busy-loop", 1),
        ("import socket\nfor\n", None, 2),
    ],
)
def test_the_line_in_json_is_that_of_which_the_text_tells(
    program: str, rule: str | None, line: int, tmp_path: Path
) -> None:
    (tmp_path / "server.py").write_text(program)
    words = ["run", "server.py", "--client", "send:hi\\n, expect:HI", "--format", "json"]
    words += ["--watchdog", "0.5"] * (rule == "busy-loop")
    done = subprocess.run([*PYTHON, "-m", "mockselector", *words], cwd=tmp_path, capture_output=True, check=False)
    told = json.loads(done.stdout)
    assert (told["rule"], told["file"], told["line"]) == (rule, "server.py", line)
    assert f"server.py:{line} " in told["text"] or rule is None


@pytest.mark.parametrize(
    ("code", "headline"), [("3", "3"), ("'bye\\nbye'", "1, and says: bye"), ("[2]", "1, and says: [2]")]
)
def test_who_leaves_with_a_word_is_told_as_python_does(code: str, headline: str, command: Any) -> None:
    Path("leaves.py").write_text(f"import sys\nsys.exit({code})\n")
    told = json.loads(command("run", "leaves.py", "--format", "json").out)
    assert told["headline"] == f"the program has left with exit status {headline}"
    assert told["line"] == 2


def test_an_exception_as_json_has_its_type_and_line(command: Any) -> None:
    told = json.loads(command("run", "fetch.py", "--backend", "api:80", "refuse", "--format", "json").out)
    expected = ("exception", "ConnectionRefusedError", "fetch.py", 4, None)
    assert tuple(told[name] for name in ("outcome", "exception", "file", "line", "rule")) == expected


def test_a_finding_as_an_annotation_stands_at_its_line(command: Any) -> None:
    done = command("run", "upper.py", "--client", LEAVES, "--format", "github", "--", "8888")
    begin = (
        "::error file=upper.py,line=19,title=mockselector%3A closed-still-registered::[closed-still-registered] client"
    )
    assert done.out.startswith(begin)
    assert done.out.count("\n") == 1
    assert "%0A%0A  In production the kernel" in done.out


def test_an_exit_status_as_an_annotation_stands_where_it_was_raised(command: Any) -> None:
    done = command("run", "fetch.py", "--backend", "api:80", "send:x", "--format", "github", "--", "3")
    assert done.out.splitlines()[-1] == (
        "::error file=fetch.py,line=8,title=mockselector%3A SystemExit::the program has left with exit status 3"
    )


def test_a_clean_run_needs_no_annotation(command: Any) -> None:
    done = command("run", "upper.py", "--client", CLEAN, "--format", "github", "--", "8888")
    assert "::" not in done.out


def test_an_annotation_escapes_what_would_end_it() -> None:
    assert "a%25b%0Ac" == report._quoted("a%b\nc", in_value=False)
    assert "a%3Ab%2Cc" == report._quoted("a:b,c", in_value=True)


# -- colours ----------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """What says that it is one."""

    def isatty(self) -> bool:
        return True


TEXT = "mockselector.ScenarioError: [stuck] bob waits\n\n  In production it hangs.\n\n> step 1   select()   upper.py:12"


def on_paper(file: io.StringIO) -> str:
    Paper(file).say(TEXT)
    return file.getvalue()


def test_on_a_terminal_a_text_is_coloured_and_otherwise_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    seen = on_paper(Terminal())
    assert "\x1b[1;31m[stuck]\x1b[0m" in seen
    assert re.sub(r"\x1b\[[\d;]*m", "", seen) == f"{TEXT}\n"


def test_elsewhere_or_where_nobody_wants_it_it_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert on_paper(io.StringIO()) == f"{TEXT}\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert on_paper(Terminal()) == f"{TEXT}\n"


def test_nor_is_it_where_the_extra_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert on_paper(Terminal()) == f"{TEXT}\n"


def test_what_a_file_cannot_hold_is_escaped() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    Paper(file).say("é")
    file.flush()
    assert raw.getvalue() == b"\\xe9\n"


# -- as a process -----------------------------------------------------------------------------------


def as_process(*words: str, python: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NO_COLOR": ""}
    return subprocess.run(
        [*(python or [*PYTHON, "-m", "mockselector"]), *words],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_process_leaves_with_the_status() -> None:
    done = as_process("run", "upper.py", "--client", LEAVES, "--", "8888")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[-3] == "  script:    <command line>:1  mockselector run upper.py"
    assert as_process("run").returncode == 2


@pytest.mark.slow
def test_neither_a_scenario_nor_rich_is_loaded_where_it_is_not_needed() -> None:
    program = (
        "import sys; from mockselector._command.main import main; main(['rules']);"
        " print({'rich', 'mockselector._scenario', 'asyncio'} & set(sys.modules))"
    )
    done = as_process(python=[sys.executable, "-c", program])
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_in_peace() -> None:
    program = (
        "import os, sys; from mockselector._command.main import main; r, w = os.pipe(); os.close(r); os.dup2(w, 1);"
        " status = main(['rules']); sys.stdout.flush(); sys.exit(status)"
    )
    done = as_process(python=[sys.executable, "-c", program])
    assert (done.returncode, done.stderr) == (1, "")

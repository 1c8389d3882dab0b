"""Timelines: what a run looks like in a terminal, and as the text of a diagram."""

from __future__ import annotations

import os
import pickle
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import timeline_runs as runs
from mockselector import Does, MockSelector, MockSocket, Scenario, ScenarioError, Sends, Timeline
from mockselector._show.rows import hexdump

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "text"), [("lanes", str), ("mermaid", Timeline.mermaid)])
def test_a_timeline_is_the_golden_one(name: str, text: object) -> None:
    assert callable(text)
    path, told = GOLDEN / f"timeline-{name}.txt", f"{text(runs.chat())}\n"
    if os.environ.get("MOCKSELECTOR_WRITE_GOLDEN"):
        path.write_text(told)
    assert path.read_text() == told


def test_the_documentation_shows_what_comes(capsys: pytest.CaptureFixture[str]) -> None:
    page = (GOLDEN.parent.parent / "docs" / "timeline.md").read_text()
    (source, shown) = (re.findall(rf"^```{kind}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[0] for kind in KINDS)
    exec(compile(source, "echo.py", "exec"), {})
    assert capsys.readouterr().out == shown


KINDS = ("python", "text")


def test_no_line_is_wider_than_a_terminal() -> None:
    def prepare(net: Scenario) -> None:
        for number in range(30):
            net.client("a client with a long name " * 3 + str(number)).sends(b"x" * 999).expects(b"x" * 999).closes()

    for timeline in (runs.chat(), runs.of(prepare, runs.echo), runs.of(prepare, runs.threaded)):
        assert max(map(len, str(timeline).splitlines())) <= 80


def test_what_repeats_is_shown_once() -> None:
    timeline = runs.of(lambda net: net.client("alice").waits(1000).closes(), runs.polls)
    assert len(timeline) > 2000
    assert len(str(timeline).splitlines()) < 40
    assert re.search(r"\n.*: +\.\.\. the same \d+ times more, until \d+ s\n", str(timeline))


def test_more_lanes_than_have_room_share_the_last() -> None:
    def prepare(net: Scenario) -> None:
        for number in range(30):
            net.client(f"client {number}").closes()

    assert "20 others" in str(runs.of(prepare, runs.echo))


def test_each_thread_has_a_lane() -> None:
    text = str(runs.of(lambda net: net.client("alice").sends(b"hi\n").expects(b"HI\n").closes(), runs.threaded))
    assert re.search(r"MainThread\n +\|   Thread-1\n +\|   \|   alice\n", text)
    assert re.search(r"\n +\|   o-->\|    alice\.send\(b'HI\\n'\)", text)


def test_while_a_run_goes_on_it_has_what_there_is() -> None:
    seen: list[Timeline] = []
    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").does(lambda: seen.append(net.timeline())).closes()
        net.run(runs.echo, 8888)
    assert str(seen[0].events[-1]) == "alice.send(b'hi')"
    assert len(net.timeline()) > len(seen[0])


def test_before_a_run_nothing_has_happened() -> None:
    with Scenario() as net:
        assert str(net.timeline()) == "nothing has happened"
        assert repr(net.timeline()) == "<Timeline of 0 events>"


def test_a_strict_list_has_one_as_well() -> None:
    alice = MockSocket([b"hi"], name="alice")
    with MockSelector([alice], strict=True) as selector:
        selector.register(alice, 1)
        selector.select()
        alice.recv(10)
    assert "|<--o    alice.recv() -> b'hi'" in str(Timeline(selector.trace))


def test_what_is_found_at_the_end_is_told_at_the_end() -> None:
    text = str(runs.of(lambda net: net.client("alice").expects(b"x"), runs.leaves))
    assert text.splitlines()[-1].startswith("> the end: [unmet-expectation] alice")


def test_choices_and_signals_are_told() -> None:
    def prepare(net: Scenario) -> None:
        net._world.choices.decide = lambda many, label: many - 1
        for name in ("alice", "bob"):
            net.client(name).sends(b"hi").expects(b"hi").closes()

    text = str(runs.of(prepare, runs.echo))
    assert re.search(r"\n +\?   \|   \|    which peer acts: 2 of 2", text)


def test_importing_the_package_loads_nothing_of_it() -> None:
    program = """
import sys
from mockselector import Scenario
with Scenario() as net:
    net.run(lambda: None)
print([name for name in sys.modules if "_show" in name])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"


# -- proof -----------------------------------------------------------------------------------------


def error_of(server: Callable[[int], object], expected: bytes) -> ScenarioError:
    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client("alice").sends(b"hi").expects(expected).closes()
        net.run(server, 8888)
    return caught.value


def test_an_error_says_which_rows_prove_it() -> None:
    error = error_of(runs.serve, b"HI")
    assert [(str(error.trace[row]), label) for row, label in error.proof] == [
        ("register(alice, READ)", "registered"),
        ("alice.close()", "closed"),
        ("select()", "went to sleep"),
    ]


def test_what_is_judged_at_the_end_has_no_row() -> None:
    error = error_of(runs.leaves, b"HI")
    assert error.proof[-1] == (len(error.trace), "the end")


def test_what_has_travelled_proves_nothing() -> None:
    error: ScenarioError = pickle.loads(pickle.dumps(error_of(runs.serve, b"HI")))
    assert error.proof == ()


# -- bytes -----------------------------------------------------------------------------------------

BIG = bytes(range(256)) * 8


def messages(timeline: Timeline, said: str) -> list[tuple[bytes, list[tuple[int, int, int]]]]:
    """What there is of the bytes of some lines: all of them, and which of them were for which step."""
    found = [line.message for line in timeline._story.lines if said in line.text and line.message is not None]
    return [(one.data, [match[:3] for match in one.matches]) for one in found]


def test_the_bytes_of_a_line_are_all_there() -> None:
    timeline = runs.of(lambda net: net.client("alice").sends(BIG).expects(BIG).closes(), runs.echo)
    assert messages(timeline, "alice.recv()") == [(BIG, [])]
    assert messages(timeline, "alice.send(") == [(BIG, [(0, len(BIG), 2)])]
    assert messages(timeline, "alice sends") == [(BIG, [])]


def test_what_is_peeked_at_is_there_for_the_read_as_well() -> None:
    def peeks(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as conn:
            conn.recv(100, socket.MSG_PEEK)
            conn.recv(40)
            conn.recv(100)

    timeline = runs.of(lambda net: net.client("alice").sends(bytes(range(97))).expects_eof().closes(), peeks)
    whole = bytes(range(97))
    assert messages(timeline, "peek") == [(whole, [])]
    assert messages(timeline, "alice.recv(") == [(whole[:40], []), (whole[40:], [])]


def test_bytes_are_told_with_the_steps_that_expected_them() -> None:
    def prepare(net: Scenario) -> None:
        alice = net.client("alice").sends(b"one\ntwo").expects(b"on").expects(re.compile(b".*\n"), until=b"\n")
        alice.expects(lambda data: data == b"t", until=1).shuts_down().expects(b"wo", until="eof")

    timeline = runs.of(prepare, runs.echo)
    assert messages(timeline, "alice.send(") == [(b"one\ntwo", [(0, 2, 2), (2, 4, 3), (4, 5, 4), (5, 7, 6)])]


def test_what_a_generator_says_is_told_as_far_as_it_is_known() -> None:
    def play() -> Generator[Sends, bytes, None]:
        yield Sends(BIG)

    timeline = runs.of(lambda net: net.client("alice").plays(play).closes(), runs.echo)
    assert messages(timeline, "alice.recv()") == [(BIG[:32], [])]


def test_what_nobody_reads_is_told_as_far_as_it_is_known() -> None:
    timeline = runs.of(lambda net: net.client("alice").sends(BIG).does(lambda: None).closes(), runs.echo)
    assert messages(timeline, "alice.send(")[0][0] == BIG[:32]


def test_a_step_that_says_nothing_has_no_bytes() -> None:
    timeline = runs.of(lambda net: net.client("alice", [Does(lambda: None)]).closes(), runs.echo)
    assert messages(timeline, "alice does") == messages(timeline, "alice closes") == []


def test_a_hexdump() -> None:
    assert hexdump(b"abcdefghijklmnop\x00\xff") == (
        "0000  61 62 63 64 65 66 67 68 69 6a 6b 6c 6d 6e 6f 70  abcdefghijklmnop\n"
        "0010  00 ff                                            .."
    )


# -- mermaid ---------------------------------------------------------------------------------------


def test_a_diagram_has_nothing_in_it_that_mermaid_takes_for_its_own() -> None:
    odd = "a;b#c %%{init}%% <script>"
    timeline = runs.of(lambda net: net.client(odd).sends(b"%%{x}%% ; # <b>").closes(), runs.echo)
    for line in timeline.mermaid().splitlines()[1:]:
        assert not set(re.sub(r"#\d+;", "", line)) & set("#;<%{}&")


def test_what_repeats_is_in_a_diagram_once_as_well() -> None:
    text = runs.of(lambda net: net.client("alice").waits(1000).closes(), runs.polls).mermaid()
    assert len(text.splitlines()) < 40
    assert re.search(r"\n    Note over L0,L1: the same \d+ times more, until \d+ s\n", text)


def test_a_diagram_of_a_long_run_has_the_end_and_what_is_marked() -> None:
    text = runs.long(1000).mermaid()
    assert len(text.splitlines()) < 150
    assert re.search(r"Note over L0,L7: \.\.\. [\d,]+ events", text)


# -- costs -----------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.slow
def test_the_cost_is_linear(tmp_path: Path) -> None:
    def cost(timeline: Timeline) -> float:
        costs: list[float] = []
        for _ in range(2):
            begun = time.process_time()
            str(timeline)
            timeline.mermaid()
            timeline.save(tmp_path / "run.html", beside=timeline)
            costs.append(time.process_time() - begun)
        return min(costs)

    few, many = runs.long(600), runs.long(5000)
    assert cost(many) / len(many) < 2.5 * cost(few) / len(few)

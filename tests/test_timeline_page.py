"""The page of a timeline: what is in it, as a parser of HTML sees it, and that nothing in it does any harm."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest

import timeline_runs as runs
from mockselector import Scenario, Timeline
from mockselector._show import folding, rows
from mockselector._show import page as whole_page
from mockselector._show.scenarios import timeline_of

EVIL: Final = '</script><script>alert(1)</script><img src=x onerror="alert(2)">\'"&amp;\u202e\ud800\x00\x1b[31m'
"""What a page must show, and not do."""

VOID: Final = ("meta", "input", "img", "br", "link")


class Parsed(HTMLParser):
    """A page: its elements in order, and the text of each cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == [], "each element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID and tag != "path":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "tr" in self.open and ("td" in self.open or "th" in self.open) and "noscript" not in self.open:
            self.rows[-1][-1] += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, Any]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and all(attributes.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]


def page(timeline: Timeline, folder: Path, beside: Timeline | None = None) -> str:
    timeline.save(folder / "run.html", beside=beside)
    return (folder / "run.html").read_text(encoding="utf-8")


def test_each_event_is_a_row(tmp_path: Path) -> None:
    timeline = runs.chat()
    parsed = Parsed(page(timeline, tmp_path))
    assert parsed.rows[0] == ["#", "Time", "serveralicebobFrom, to", "What", "Where"]
    numbers = [row[0] for row in parsed.rows[1:]]
    assert numbers == [str(number + 1) for number in range(len(timeline))]
    assert ["10 s", "bob to server", "bob.recv() -> b'yo\\n'3 bytes", "chat.py:12"] in [row[1:] for row in parsed.rows]
    assert len(parsed.all("th", scope="row")) == len(timeline)


def test_each_batch_is_a_group(tmp_path: Path) -> None:
    text = page(runs.chat(), tmp_path)
    groups = [Parsed(one).rows for one in re.findall(r"<tbody.*?</tbody>", text, re.DOTALL)]
    assert [[row[3].partition("(")[0] for row in group] for group in groups[1:3]] == [
        ["alice sends b'hi\\n'3 bytes", "step 1 select", "listener.accept", "register"],
        ["step 2 select", "listener.accept", "register", "alice.recv", "alice.send"],
    ]


def test_what_is_found_is_told_and_marked(tmp_path: Path) -> None:
    timeline = runs.chat()
    text = page(timeline, tmp_path)
    parsed = Parsed(text)
    (bad,) = parsed.all("tr", class_="bad")
    assert bad["id"] == f"e{len(timeline)}"
    assert len(parsed.all("tr", class_="proof")) == 2
    links = [link["href"] for link in parsed.all("a") if link["href"] != "#events"]
    assert links[-1] == f"#{bad['id']}"
    assert {link[1:] for link in links} == {row["id"] for row in parsed.all("tr") if row.get("class")}
    assert "mockselector.ScenarioError: [closed-still-registered] alice was closed" in text
    assert text.count("<title>[closed-still-registered] alice was closed") == 1


def test_its_bytes_are_there_with_what_expected_them(tmp_path: Path) -> None:
    text = page(runs.chat(), tmp_path)
    assert "<summary>3 bytes, expected by step 2</summary>" in text
    assert "<li>bytes 0 to 2: step 2, <code>expects b&#x27;HI\\n&#x27;</code></li>" in text
    assert "<pre>HI\n</pre><pre>0000  48 49 0a  HI.</pre>" in text


def test_of_what_was_not_taken_whole_it_says_how_much_was(tmp_path: Path) -> None:
    def fills(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as conn:
            conn.setblocking(False)
            sent = conn.send(bytes(1_000_000))
            conn.setblocking(True)
            conn.sendall(bytes(1_000_000 - sent))
            taken.append(sent)

    taken: list[int] = []
    timeline = runs.of(lambda net: net.client("alice").expects(bytes(1_000_000)).closes(), fills)
    assert f">1,000,000 bytes, {taken[0]:,} taken" in page(timeline, tmp_path)


def test_of_many_lanes_the_names_are_in_the_rows_alone(tmp_path: Path) -> None:
    def prepare(net: Scenario) -> None:
        for number in range(30):
            net.client(f"client-{number}").sends(b"hello").expects(b"hello").closes()

    parsed = Parsed(page(runs.of(prepare, runs.echo), tmp_path))
    assert parsed.rows[0] == ["#", "Time", "From, to", "What", "Where"]
    assert any(row[2] == "client-29 to server" for row in parsed.rows[1:])


def test_of_many_steps_that_expected_a_message_some_are_named(tmp_path: Path) -> None:
    def prepare(net: Scenario) -> None:
        alice = net.client("alice").sends(b"x" * 100)
        for _ in range(100):
            alice.expects(b"x")
        alice.closes()

    text = page(runs.of(prepare, runs.echo), tmp_path)
    assert "100 bytes, expected by steps 2, 3, 4, 5, 6 and 95 more<" in text
    assert text.count("<li>bytes ") == 20
    assert "<li>and 80 more steps</li>" in text


def evil() -> Timeline:
    data = EVIL.encode("utf-8", "surrogatepass")
    net = Scenario()
    with suppress(AssertionError), net:
        net.client(EVIL).sends(data * 99 + b"\xff\xfe").expects(data).expects(data * 98).expects(b"?").closes()
        net.run(runs.echo, 8888)
    return timeline_of(net._world, also=[EVIL])


@pytest.mark.parametrize("beside", [False, True])
def test_what_a_program_names_or_says_is_only_shown(tmp_path: Path, *, beside: bool) -> None:
    text = page(evil(), tmp_path, evil() if beside else None)
    parsed = Parsed(text)
    assert len(parsed.all("script")) == 1
    assert not parsed.all("img")
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]
    assert not set(text) & set("\u202e\ud800\x00\x1b")
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text


def test_nothing_is_asked_of_a_network(tmp_path: Path) -> None:
    text = page(runs.chat(), tmp_path)
    (policy,) = [one["content"] for one in Parsed(text).all("meta") if "content" in one and "src" in one["content"]]
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"https?:|//|url\(|@import", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))


def test_equal_runs_have_equal_pages(tmp_path: Path) -> None:
    def threads() -> Timeline:
        return runs.of(lambda net: net.client("alice").sends(b"hi\n").expects(b"HI\n").closes(), runs.threaded)

    for run in (runs.chat, threads, evil):
        assert page(run(), tmp_path) == page(run(), tmp_path)


def test_two_runs_stand_beside_each_other(tmp_path: Path) -> None:
    one, other = runs.chat(), runs.chat(b"end\n")
    parsed = Parsed(page(one, tmp_path, other))
    at = next(n for n, (mine, its) in enumerate(zip(one.events, other.events, strict=True)) if str(mine) != str(its))
    rows_of = [row for row in parsed.rows if row[0].isdigit()]
    assert [row[0] == row[4] for row in rows_of] == [True] * len(one)
    assert (rows_of[at][3], rows_of[at][7]) == ("alice sends b'bye\\n'4 bytes", "alice sends b'end\\n'4 bytes")
    assert [row["id"] for row in parsed.all("tr", class_="bad")] == [f"e{at + 1}"]
    assert parsed.all("a", href="#difference")
    assert parsed.all("tr", id="difference")


def test_two_runs_that_are_the_same_are_said_to_be(tmp_path: Path) -> None:
    text = page(runs.chat(), tmp_path, runs.chat())
    assert re.search(r"<p>No difference in \d+ events\.</p>", text)
    assert 'id="difference"' not in text


def test_of_two_runs_one_may_be_longer(tmp_path: Path) -> None:
    short = runs.of(lambda net: net.client("alice").sends(b"hi").expects(b"hi"), runs.echo)
    long = runs.of(lambda net: net.client("alice").sends(b"hi").expects(b"hi").waits(9).closes(), runs.echo)
    for one, other in ((short, long), (long, short)):
        parsed = Parsed(page(one, tmp_path, other))
        assert len([row for row in parsed.rows if row[0].isdigit() or row[0].startswith("(")]) == len(long)


def test_beside_takes_a_timeline() -> None:
    with pytest.raises(TypeError, match=r"^beside= takes a Timeline, as net\.timeline\(\) returns it; got 'run'$"):
        runs.chat().save("never.html", beside="run")  # type: ignore[arg-type]  # on purpose


def test_idle_polls_are_folded(tmp_path: Path) -> None:
    timeline = runs.of(lambda net: net.client("alice").waits(1000).closes(), runs.polls)
    parsed = Parsed(page(timeline, tmp_path))
    assert len(parsed.rows) < 40
    assert any(re.fullmatch(r"The same \d+ times more, until \d+ s", row[0]) for row in parsed.rows)


def test_the_overview_folds_what_the_table_folds(tmp_path: Path) -> None:
    timeline = runs.of(lambda net: net.client("alice").waits(1000).closes(), runs.polls)
    first = re.findall(r'<path class="wait" d="([^"]*)"', page(timeline, tmp_path))[0]
    assert first.count("M") == 4


def test_of_a_very_long_run_both_ends_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "FIRST", 20)
    monkeypatch.setattr(folding, "LAST", 30)
    timeline = runs.long(500)
    parsed = Parsed(page(timeline, tmp_path))
    notes = [row[0] for row in parsed.rows if len(row) == 1]
    assert notes == [f"{len(timeline) - 50} events that are not on this page: the trace has them"]
    assert len(parsed.rows) == 1 + 20 + 1 + 30


def test_of_two_very_long_runs_the_difference_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FIRST", 20), ("LAST", 30), ("AROUND", 5)):
        monkeypatch.setattr(whole_page, name, value)
    other = runs.long(500)
    other._story.lines[250] = other._story.lines[0]
    parsed = Parsed(page(runs.long(500), tmp_path, other))
    notes = [
        row[0] for row in parsed.rows if len(row) == 1 and row[0].endswith("not on this page: the traces have them")
    ]
    numbers = [row[0] for row in parsed.rows if row[0].isdigit()]
    assert len(notes) == 2
    assert numbers[:10] == [str(number) for number in range(1, 11)]
    assert numbers[10:21] == [str(number) for number in range(246, 257)]
    assert len(numbers) == 10 + 11 + 15


def test_a_page_has_so_many_bytes_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BYTES", 40)
    text = page(runs.long(500), tmp_path)
    assert text.count("<pre>0000") < 10


def test_a_page_of_nothing_is_one(tmp_path: Path) -> None:
    with Scenario() as net:
        parsed = Parsed(page(net.timeline(), tmp_path))
    assert parsed.rows == [["#", "Time", "serverFrom, to", "What", "Where"]]


def test_a_picture_of_many_events_is_a_few_elements(tmp_path: Path) -> None:
    timeline = runs.long(1000)
    parsed = Parsed(page(timeline, tmp_path))
    assert len(parsed.all("svg")) == 2  # folded, and as time passes
    assert len(parsed.all("path")) < 30
    for axis in (one for one in parsed.all("div") if "data-at" in one):
        places = [float(place) for place in axis["data-at"].split()]
        assert len(places) == len(timeline)
        assert places == sorted(places)
        assert 0 <= places[0] < places[-1] <= 1000

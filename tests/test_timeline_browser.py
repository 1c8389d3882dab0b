"""The page of a timeline in a real browser: without scripts, by keyboard, in the dark, on paper, with much in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

import browser
import timeline_runs as runs
from browser import Answer, Browser, Page
from test_timeline_page import evil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mockselector import Timeline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.PROGRAM is None, reason=browser.MISSING),
]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    process = Browser()
    yield Page(process)
    process.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def chat(folder: Path) -> Path:
    return saved(runs.chat(), folder / "chat.html")


@pytest.fixture(scope="module")
def long(folder: Path) -> Path:
    timeline = runs.long(5000)
    assert len(timeline) > 5000
    return saved(timeline, folder / "long.html")


@pytest.fixture(autouse=True)
def in_the_light(page: Page) -> None:
    page.looks()


def saved(timeline: Timeline, path: Path) -> Path:
    timeline.save(path)
    return path


def visible(page: Page, what: str) -> Any:  # Any: a number
    return page.run(f"[...document.querySelectorAll({what!r})].filter(one => one.checkVisibility()).length")


# -- without scripts -------------------------------------------------------------------------------


def test_without_scripts_all_is_there_but_what_needs_them(page: Page, chat: Path) -> None:
    page.open(chat, scripts=False)
    assert visible(page, "tbody tr") == len(runs.chat())
    assert visible(page, "td details > summary") > 5
    assert visible(page, "td button, .tools") == 0


def test_without_scripts_the_time_can_be_folded(page: Page, chat: Path) -> None:
    page.open(chat, scripts=False)
    assert (visible(page, ".folded svg"), visible(page, ".linear svg")) == (1, 0)
    page.run("document.getElementById('linear').click()")
    assert (visible(page, ".folded svg"), visible(page, ".linear svg")) == (0, 1)


# -- by keyboard -----------------------------------------------------------------------------------


def focused(page: Page) -> Any:  # Any: a text
    return page.run("document.activeElement.id || document.activeElement.localName")


def test_the_first_stop_leads_to_the_events(page: Page, chat: Path) -> None:
    page.open(chat)
    page.press("Tab")
    assert page.run("document.activeElement.textContent") == "To the events"
    page.press("Enter")
    assert page.run("location.hash") == "#events"


def test_the_table_is_walked_by_keys(page: Page, chat: Path) -> None:
    page.open(chat).run("document.querySelector('table').focus()")
    went: list[object] = []
    for key in ("j", "ArrowDown", "k", "End", "Home", "n", "n", "p"):
        page.press(key)
        went.append(focused(page))
    last = len(runs.chat())
    assert went == ["e1", "e2", "e1", f"e{last}", "e1", "e8", f"e{last - 1}", "e8"]


def test_the_bytes_of_a_row_are_opened_by_a_key(page: Page, chat: Path) -> None:
    page.open(chat).run("document.querySelector('#e5').scrollIntoView()")
    page.run("document.querySelector('table').focus()")
    page.press("j", "j", "j", "j", "j", "Enter")
    assert (focused(page), visible(page, "#e5 pre")) == ("e5", 2)
    assert page.run("document.querySelector('#e5 button').getAttribute('aria-expanded')") == "true"
    page.press("Enter")
    assert visible(page, "#e5 pre") == 0


def test_a_link_to_an_event_goes_there(page: Page, chat: Path) -> None:
    page.open(chat).run("document.querySelector('.finding a.bad').click()")
    page.run("new Promise(done => setTimeout(done))")
    assert focused(page) == f"e{len(runs.chat())}"


def test_the_overview_leads_to_an_event(page: Page, chat: Path) -> None:
    page.open(chat)
    page.run(
        "(axis => { const box = axis.getBoundingClientRect();"
        " axis.dispatchEvent(new MouseEvent('click', {bubbles: true, clientX: box.right - 1, clientY: box.top + 5})) })"
        "(document.querySelector('.folded'))"
    )
    assert focused(page) == f"e{len(runs.chat())}"
    assert visible(page, ".folded .cursor") == 1


def test_rows_are_searched(page: Page, chat: Path) -> None:
    page.open(chat).run("document.querySelector('input[type=search]').focus()")
    page.press(*"BOB.")
    assert visible(page, "tbody tr") == 2
    assert page.run("document.querySelector('output').textContent") == f"2 of {len(runs.chat())} rows"


# -- as a screen reader has it ---------------------------------------------------------------------


WHOLE: Final = (
    "new Promise(done => (function look() {"
    " document.body.matches('.whole') ? requestAnimationFrame(() => requestAnimationFrame(done)) : setTimeout(look, 20)"
    " })())"
)
"""Done when each row is laid out, and drawn."""


def told(page: Page, path: Path) -> list[Answer]:
    """What it is told of a page, in the end."""
    page.open(path).run(WHOLE)
    return page.accessible()


def test_a_screen_reader_has_a_table(page: Page, chat: Path) -> None:
    roles = [node["role"]["value"] for node in told(page, chat)]
    assert roles.count("table") == 1
    assert roles.count("row") == len(runs.chat()) + 1
    assert roles.count("columnheader") == 5
    assert roles.count("rowheader") == len(runs.chat())
    assert roles.count("main") == roles.count("banner") == roles.count("search") == 1


def test_a_screen_reader_has_each_row_of_a_long_table(page: Page, folder: Path) -> None:
    timeline = runs.long(400)
    roles = [node["role"]["value"] for node in told(page, saved(timeline, folder / "some.html"))]
    assert roles.count("rowheader") == len(timeline)


def test_whatever_can_be_used_has_a_name(page: Page, chat: Path) -> None:
    used = [node for node in told(page, chat) if node["role"]["value"] in USED]
    assert len(used) > 15
    assert all(node["name"]["value"] for node in used)


USED: Final = ("button", "link", "radio", "searchbox", "img", "image")

# -- in the dark, and on paper ---------------------------------------------------------------------

CONTRASTS = """
(() => {
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const under = one => {
    for (; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if (!/, 0\\)$|transparent/.test(color)) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = [99, ''];
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !one.checkVisibility() || one.closest('script, noscript, .skip')) continue;
    const [a, b] = [light(getComputedStyle(one).color), light(under(one))].sort((x, y) => y - x);
    const found = (a + 0.05) / (b + 0.05);
    if (found < least[0]) least = [found, one.outerHTML.slice(0, 80)];
  }
  return least;
})()
"""


@pytest.mark.parametrize("dark", [False, True])
def test_each_text_can_be_read(page: Page, chat: Path, *, dark: bool) -> None:
    page.looks(dark=dark)
    ratio, where = page.open(chat).run(CONTRASTS)
    assert ratio >= 4.5, where


def test_in_the_dark_it_is_dark(page: Page, chat: Path) -> None:
    page.looks(dark=True)
    page.open(chat)
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)"


def test_on_paper_there_is_all_that_can_be_read(page: Page, chat: Path) -> None:
    page.open(chat)
    page.looks("print", dark=True)
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert visible(page, "tbody tr") == len(runs.chat())
    assert visible(page, ".tools, input, .skip") == 0
    assert page.run("getComputedStyle(document.querySelector('thead')).position") == "static"


# -- what it does not do ---------------------------------------------------------------------------


@pytest.mark.parametrize("run", [runs.chat, evil])
def test_nothing_else_is_asked_for_and_nothing_is_wrong(page: Page, folder: Path, run: Any) -> None:
    path = saved(run(), folder / "run.html")
    page.open(path)
    page.run("for (const button of document.querySelectorAll('td button')) button.click()")
    asked = [told["request"]["url"] for told in page.told("Network.requestWillBeSent")]
    assert asked == [path.as_uri()]
    wrong = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Page.javascriptDialogOpening")
    assert [told for name in wrong for told in page.told(name)] == []
    assert page.run("document.scripts.length + document.images.length") == 1


def test_what_is_to_be_seen_is_the_same_on_a_narrow_screen(page: Page, chat: Path) -> None:
    page.ask("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=False)
    try:
        page.open(chat)
        assert page.run("document.documentElement.scrollWidth") <= 400
        assert visible(page, "tbody tr td.what") == len(runs.chat())
    finally:
        page.ask("Emulation.clearDeviceMetricsOverride")


# -- much in it ------------------------------------------------------------------------------------


def test_a_page_of_5000_events_opens_in_less_than_a_second(page: Page, long: Path) -> None:
    page.ask("Performance.enable", timeDomain="threadTicks")  # of work: what else the machine does makes no difference
    page.open(long)
    found = {one["name"]: one["value"] for one in page.ask("Performance.getMetrics")["metrics"]}
    page.ask("Performance.disable")
    assert found["TaskDuration"] < 1
    assert page.run("document.querySelectorAll('tbody tr').length") > 5000


def test_a_page_of_5000_events_scrolls_without_stopping(page: Page, long: Path) -> None:
    page.open(long)
    given = {"x": 600, "y": 600, "yDistance": -8000, "speed": 5000}
    events = page.traced(["toplevel", "__metadata"], "Input.synthesizeScrollGesture", **given)
    main = {(one["pid"], one["tid"]) for one in events if one.get("args", {}).get("name") == "CrRendererMain"}
    tasks = [one for one in events if one["name"].endswith("RunTask") and (one["pid"], one["tid"]) in main]
    assert page.run("scrollY") > 6000
    assert len(tasks) > 50
    blocked = sum(max(0, one.get("tdur", 0) / 1000 - 50) for one in tasks)
    assert blocked < 200  # milliseconds of work: what of each task goes beyond 50, as browsers count it

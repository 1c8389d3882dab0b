"""What pytest loads of this package, for whoever has it installed.

Owns the options, the marker, and the hooks; what they call is imported when it is first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from .._scenario import Scenario
    from .protocol import Protocol
    from .telling import Summary

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

PROTOCOL: Final[pytest.StashKey[Protocol]] = pytest.StashKey()
RUNS: Final = pytest.StashKey[pytest.Item]()
STRICT: Final = pytest.StashKey[bool]()

MARKER_TEXT: Final = (
    "mockselector(*, allow=(), pedantic=False, patience=3600, grace=60, buffer=65536, date=..., watchdog=30,"
    " simulate=True): options of the scenario of a test, of the fixture `net` or of --mockselector-simulate; simulate:"
    " whether the whole test runs inside of one (True, False, 'observe')"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("mockselector", "test servers without ports, threads or sleeping")
    # Two options, and not one that may have a value: that would take the path that comes next for it.
    for name, mode, how in (("", "strict", "what is found fails it"), ("=observe", "observe", "what is found is told")):
        group.addoption(
            f"--mockselector-simulate{name}", dest="mockselector_simulate", action="store_const", const=mode,
            default=None,
            help=f"run each test inside of a scenario, on a simulated network and in virtual time; {how}",
        )  # fmt: skip
    group.addoption(
        "--mockselector-strict", dest="mockselector_strict", action="store_true", default=None,
        help="MockSelectors that say nothing of it are strict; what a test leaves over is judged at its end",
    )  # fmt: skip
    group.addoption(
        "--mockselector-timeline", dest="mockselector_timeline", metavar="DIR",
        help="write a page into this folder for each test that has failed: what happened in its scenario",
    )  # fmt: skip
    group.addoption(
        "--mockselector-timeline-of", dest="mockselector_timeline_of", choices=("failed", "all"), default="failed",
        help="of which tests there is a page: of those that have failed (the default), or of all",
    )  # fmt: skip
    parser.addini("mockselector_strict", "the same (true or false)", type="bool", default=False)
    parser.addini(
        "mockselector_simulate", "where tests are simulated: `true`, `observe`, or lines like `tests/net: observe`",
        type="linelist", default=[],
    )  # fmt: skip
    from .options import add_ini

    add_ini(parser)


def pytest_configure(config: pytest.Config) -> None:
    """The marker, and whether selectors are strict."""
    config.addinivalue_line("markers", MARKER_TEXT)
    if config.getoption("mockselector_strict") or config.getini("mockselector_strict"):
        from .leftovers import begin_strict

        config.stash[STRICT] = True
        config.add_cleanup(begin_strict())
    config.pluginmanager.register(Tells(config), "mockselector-tells")
    folder: str | None = config.getoption("mockselector_timeline")
    if folder is not None:
        from .pages import NAME, Pages

        for_all = config.getoption("mockselector_timeline_of") == "all"
        config.pluginmanager.register(Pages(folder, config.invocation_params.dir, for_all=for_all), NAME)
    elif config.getoption("mockselector_timeline_of") == "all":
        raise pytest.UsageError("--mockselector-timeline-of=all needs --mockselector-timeline=DIR: where to write them")


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """A `mockselector.Scenario`, strict; left, and so judged, when the test is at its end."""
    from .fixture import scenario

    yield from scenario(request)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Which tests there are: whether any is simulated is known now."""
    config = session.config
    marked = [item for item in session.items if item.get_closest_marker("mockselector") is not None]
    anywhere = config.getoption("mockselector_simulate") or config.getini("mockselector_simulate")
    if not marked and not anywhere:
        return
    from .options import check, mode_of

    for item in marked or session.items[:1]:  # what the ini file says is the same for all
        check(item)
    if any(mode_of(item) for item in session.items):
        from .protocol import Protocol

        config.stash[PROTOCOL] = Protocol(session)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test that is simulated."""
    item.config.stash[RUNS] = item
    protocol = item.config.stash.get(PROTOCOL, None)
    return None if protocol is None else protocol.plays(item, nextitem) or None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test begins."""
    protocol = item.config.stash.get(PROTOCOL, None)
    if protocol is not None:
        protocol.begins(item)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """A fixture is set up."""
    protocol = request.config.stash.get(PROTOCOL, None)
    if protocol is None:
        return (yield)
    with protocol.sets_up(fixturedef):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """A test ends."""
    yield
    if STRICT in item.config.stash:
        from .fixture import FAILED
        from .leftovers import judge_test

        judge_test(has_failed=item.stash.get(FAILED, False))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A phase of a test is over."""
    report = yield
    config = item.config
    if PROTOCOL in config.stash:
        config.stash[PROTOCOL].fails(call)
    if STRICT in config.stash or "net" in getattr(item, "fixturenames", ()):
        from .fixture import notes

        notes(item, call, report)
    return report


class Tells:
    """What is told at the end of a session, or of one that is interrupted."""

    def __init__(self, config: pytest.Config) -> None:
        self._config: Final = config
        self._summary: Summary | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What a report carries is told at the end; with workers, it comes from one of them."""
        if any(name.startswith("mockselector") for name, _ in report.user_properties):
            from .telling import Summary

            self._summary = self._summary or Summary()
            self._summary.add(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What was found, and only told."""
        if self._summary is not None:
            self._summary.write(terminalreporter)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """What the scenario shows of a test that was interrupted."""
        item = self._config.stash.get(RUNS, None)
        terminal: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if item is not None and terminal is not None and "net" in getattr(item, "fixturenames", ()):
            from .fixture import interrupted

            for name, text in interrupted(item, excinfo.value):
                terminal.section(name)
                terminal.write_line(text)

"""The date that it is in a scenario, whichever way a program asks for it; and beside others who set it."""

from __future__ import annotations

import asyncio
import datetime as module
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from datetime import date, datetime, timedelta, timezone, tzinfo
from time import ctime as kept_ctime
from time import localtime as kept_localtime
from time import strftime as kept_strftime
from typing import TYPE_CHECKING, Any

import pytest

from measured import PYTHON
from mockselector import Scenario
from mockselector._install import dates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UTC = timezone.utc
MIDNIGHT = 1_767_225_600  # 2026-01-01 00:00 UTC
SECONDS = 90_061.5
AFTER = datetime(2026, 1, 2, 1, 1, 1, 500_000)  # that much later
FIELDS = (2026, 1, 2, 1, 1, 1)
untyped: Any = datetime
untyped_time: Any = time
GENUINE = {name: vars(datetime)[name] for name in ("now", "utcnow")}

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")


@pytest.fixture(autouse=True)
def _in_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """Local time is that of nobody's machine."""
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def said(*asks: Callable[[], Any], **options: Any) -> list[Any]:
    """What each says in a scenario, after a time."""

    def main() -> list[Any]:
        time.sleep(SECONDS)
        return [ask() for ask in asks]

    with Scenario(patience=1e9, **options) as net:
        answers = net.run(main)
    assert answers is not None
    return answers


class Own(datetime):
    """A class of the program's."""


own: Any = Own


class Late(datetime):
    """A class of the program's, with a way of its own."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Late:
        return super().now(tz) + timedelta(days=1)


# -- every way --------------------------------------------------------------------------------------

WAYS: list[tuple[str, Callable[[], Any], Any]] = [
    ("datetime.now()", lambda: datetime.now(), AFTER),
    ("module.datetime.now()", lambda: module.datetime.now(), AFTER),
    ("datetime.now(UTC)", lambda: datetime.now(UTC), AFTER.replace(tzinfo=UTC)),
    ("datetime.now(tz=None)", lambda: datetime.now(tz=None), AFTER),
    ("datetime.now(tz=UTC)", lambda: datetime.now(tz=UTC), AFTER.replace(tzinfo=UTC)),
    ("datetime.utcnow()", lambda: untyped.utcnow(), AFTER),
    ("datetime.today()", lambda: datetime.today(), AFTER),
    ("date.today()", lambda: date.today(), AFTER.date()),
    ("time.time()", lambda: time.time(), MIDNIGHT + SECONDS),
    ("time.time_ns()", lambda: time.time_ns(), int((MIDNIGHT + SECONDS) * 1e9)),
    ("time.localtime()", lambda: time.localtime()[:6], FIELDS),
    ("time.localtime(None)", lambda: time.localtime(None)[:6], FIELDS),
    ("localtime()", lambda: kept_localtime()[:6], FIELDS),
    ("time.gmtime()", lambda: time.gmtime()[:6], FIELDS),
    ("time.gmtime(None)", lambda: time.gmtime(None)[:6], FIELDS),
    ("time.ctime()", lambda: time.ctime(), "Fri Jan  2 01:01:01 2026"),
    ("time.ctime(None)", lambda: time.ctime(None), "Fri Jan  2 01:01:01 2026"),
    ("ctime()", lambda: kept_ctime(), "Fri Jan  2 01:01:01 2026"),
    ("time.asctime()", lambda: time.asctime(), "Fri Jan  2 01:01:01 2026"),
    ("time.strftime()", lambda: time.strftime("%Y-%m-%d %H:%M:%S"), "2026-01-02 01:01:01"),
    ("strftime()", lambda: kept_strftime("%H:%M:%S"), "01:01:01"),
    ("time.clock_gettime()", lambda: time.clock_gettime(time.CLOCK_REALTIME), MIDNIGHT + SECONDS),
]
BY_NAME = pytest.mark.parametrize(("name", "ask", "answer"), WAYS, ids=[name for name, _, _ in WAYS])


@BY_NAME
def test_every_way_to_ask_for_the_date_agrees(name: str, ask: Callable[[], Any], answer: Any) -> None:
    assert [answer] == said(ask)


@BY_NAME
def test_every_way_is_the_real_one_again_after_a_run(name: str, ask: Callable[[], Any], answer: Any) -> None:
    said(ask)
    assert ask() != answer


@BY_NAME
def test_threads_of_the_program_have_the_same_date(name: str, ask: Callable[[], Any], answer: Any) -> None:
    def in_thread() -> Any:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(ask()))
        thread.start()
        thread.join()
        return found[0]

    assert [answer] == said(in_thread)


def test_a_thread_that_is_not_the_scenarios_has_the_real_date() -> None:
    asked, answered = threading.Event(), list[Any]()
    begun, done = asked.set, threading.Event()

    def outside() -> None:
        asked.wait()
        answered.append((datetime.now(), time.localtime()[:3]))
        done.set()

    thread = threading.Thread(target=outside)
    thread.start()
    before = datetime.now()
    with Scenario() as net:

        def main() -> None:
            begun()
            while not answered:  # it is in no scenario, and nothing of this one tells of it
                pass

        net.run(main)
    thread.join()
    assert before <= answered[0][0] <= datetime.now()


def test_a_local_time_has_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "EST5EDT")
    time.tzset()
    local = datetime(2026, 1, 1, 20, 1, 1, 500_000)
    assert [local, AFTER, local, local.date(), 20] == said(
        *(
            ask
            for name, ask, _ in WAYS
            if name in ("datetime.now()", "datetime.today()", "datetime.utcnow()", "date.today()")
        ),
        lambda: time.localtime().tm_hour,
    )


def test_the_scenarios_date_is_where_it_begins() -> None:
    assert said(lambda: datetime.now(UTC).timestamp(), date=1e9) == [1e9 + SECONDS]


def test_the_epoch_and_moments_between_seconds_are_exact() -> None:
    for begun in (0.0, 1_767_225_600.1, 4_000_000_000.25):
        expected = datetime.fromtimestamp(begun, UTC) + timedelta(seconds=SECONDS)
        assert said(lambda: datetime.now(UTC), date=begun) == [expected]


def test_microseconds_are_exact_and_cut_as_the_real_ones_are() -> None:
    def main() -> list[int]:
        found: list[int] = []
        for _ in range(1000):
            time.sleep(0.000_001_7)
            found.append(datetime.now(UTC).microsecond)
        return found

    with Scenario() as net:
        assert net.run(main) == [number * 17 // 10 for number in range(1, 1001)]


def test_a_coroutine_has_the_same_date() -> None:
    async def main() -> datetime:
        await asyncio.sleep(SECONDS)
        return datetime.now()

    with Scenario(patience=1e9) as net:
        assert net.run(main) == AFTER


@pytest.mark.slow
def test_a_module_that_is_first_imported_in_the_run_has_it() -> None:
    program = """
        import sys
        from mockselector import Scenario

        def main():
            import datetime
            return datetime.datetime.now(datetime.timezone.utc)

        assert "datetime" not in sys.modules
        with Scenario() as net:
            print(net.run(main))
        import datetime
        assert type(vars(datetime.datetime)["now"]).__name__ == "classmethod_descriptor"
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-S", "-c", textwrap.dedent(program)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "2026-01-01 00:00:00+00:00\n", done.stderr


def test_logs_are_of_that_date(caplog: pytest.LogCaptureFixture) -> None:
    def main() -> str:
        record = logging.getLogger("dated").makeRecord("dated", logging.INFO, "", 1, "hi", (), None)
        return logging.Formatter("%(asctime)s %(message)s").format(record)

    assert said(main) == ["2026-01-02 01:01:01,500 hi"]


@pytest.mark.parametrize(
    "ask",
    [lambda: datetime.now().timestamp(), lambda: datetime(*time.localtime()[:6]).timestamp()],
    ids=["now", "local"],
)
def test_a_program_that_does_nothing_but_ask_sees_time_pass(ask: Callable[[], float]) -> None:
    def main() -> None:
        end = ask() + 5
        while ask() < end:
            pass

    with Scenario() as net:
        net.run(main)
    assert 5 <= net.now < 6


def test_a_program_that_asks_is_interrupted_in_it() -> None:
    def main() -> None:
        while True:
            datetime.now()

    with Scenario() as net:
        net.interrupts(at=5)
        net.run(main)
    assert 5 <= net.now < 6


# -- as the real ones are ---------------------------------------------------------------------------


def test_a_derived_class_gives_its_own() -> None:
    for moment in said(lambda: Own.now(), lambda: Own.now(UTC), lambda: own.utcnow(), lambda: Own(2000, 1, 1).now()):
        assert type(moment) is Own
        assert moment.replace(tzinfo=None) == AFTER


def test_a_derived_class_may_have_a_way_of_its_own() -> None:
    assert said(lambda: Late.now()) == [AFTER + timedelta(days=1)]


def test_the_class_stays_what_it_is() -> None:
    def main() -> bool:
        return type(datetime.now()) is datetime and module.datetime is datetime

    assert said(main) == [True]


WRONG: list[Callable[[], Any]] = [
    lambda: untyped.now(1),
    lambda: untyped.now(None, None),
    lambda: untyped.now(None, tz=None),
    lambda: untyped.now(zone=None),
    lambda: untyped.utcnow(1),
    lambda: untyped_time.localtime("x"),
    lambda: untyped_time.gmtime(1, 2),
    lambda: untyped_time.ctime(seconds=1),
    lambda: untyped_time.strftime(),
    lambda: untyped_time.strftime("%Y", None),
    lambda: untyped_time.asctime(None),
]


@pytest.mark.parametrize("call", WRONG, ids=range(len(WRONG)))
def test_a_wrong_argument_is_the_same_error(call: Callable[[], Any]) -> None:
    with pytest.raises(TypeError) as real:
        call()

    def error() -> str:
        with pytest.raises(TypeError) as caught:
            call()
        return str(caught.value)

    assert said(error) == [str(real.value)]


class Broken(tzinfo):
    """A zone that does not know."""

    def fromutc(self, dt: datetime) -> datetime:
        raise LookupError("no such zone")

    def _of_none(self, dt: datetime | None) -> None: ...

    utcoffset = dst = tzname = _of_none


def test_an_exception_of_a_zone_comes_out() -> None:
    with Scenario() as net, pytest.raises(LookupError, match="^no such zone$"):
        net.run(lambda: datetime.now(Broken()))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="it is not deprecated")
def test_what_is_deprecated_says_so_at_the_programs_line() -> None:
    def main() -> list[Any]:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            untyped.utcnow()
        return seen

    [ours], [real] = said(main)[0], main()
    assert (str(real.message), real.category, real.filename) == (str(ours.message), ours.category, ours.filename)


@pytest.mark.slow
def test_nothing_leaks() -> None:
    def main() -> list[int]:
        counts: list[int] = []
        for _ in range(2):
            for number in range(50_000):
                datetime.now(UTC)
                Own.now()
                if number % 500 == 0:
                    time.sleep(1)  # else the clock would be taken for one that is looked at in vain
            counts.append(sum(map(sys.getrefcount, (datetime, Own, UTC, None, MIDNIGHT))))
        return counts

    first, second = said(main)[0]
    assert abs(second - first) < 100


# -- put there, and put back ------------------------------------------------------------------------


def test_everything_is_put_back_whatever_comes_out() -> None:
    for error in (ValueError, KeyboardInterrupt, SystemExit(3)):

        def main(error: Any = error) -> None:
            datetime.now()
            raise error

        with pytest.raises((ValueError, KeyboardInterrupt, SystemExit)), Scenario() as net:
            net.run(main)
        assert {name: vars(datetime)[name] for name in GENUINE} == GENUINE


def test_scenarios_in_two_threads_have_each_its_date() -> None:
    found: dict[float, datetime] = {}

    def run(begun: float) -> None:
        def main() -> None:
            time.sleep(SECONDS)
            found[begun] = datetime.now(UTC)

        with Scenario(patience=1e9, date=begun) as net:
            net.run(main)

    threads = [threading.Thread(target=run, args=(begun,)) for begun in (1e9, 1.1e9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {begun: begun + SECONDS for begun in found} == {begun: when.timestamp() for begun, when in found.items()}
    assert vars(datetime)["now"] is GENUINE["now"]


def test_what_a_program_puts_there_itself_stays() -> None:
    class Mine(datetime):
        pass

    def main() -> None:
        module.datetime = Mine  # type: ignore[misc]

    try:
        with Scenario() as net:
            net.run(main)
        assert module.datetime is Mine
    finally:
        module.datetime = datetime  # type: ignore[misc]


def test_a_python_that_lets_nobody_in_keeps_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "_of_kind", {})
    monkeypatch.setattr(sys.implementation, "name", "another")
    [moment] = said(lambda: datetime.now())
    assert moment != AFTER


# -- beside others who set the date -----------------------------------------------------------------


def freezes(when: str, **options: Any) -> Any:
    """By freezegun."""
    return pytest.importorskip("freezegun").freeze_time(when, **options)


def travels(when: str, **options: Any) -> Any:
    """By time-machine."""
    return pytest.importorskip("time_machine").travel(when, tick=False, **options)


THEIRS = datetime(2030, 5, 5, 12)
SETS = pytest.mark.parametrize("sets", [freezes, travels])
BOTH: list[Callable[[], Any]] = [
    lambda: datetime.now().replace(tzinfo=UTC).timestamp(),
    lambda: datetime.now(UTC).timestamp(),
    lambda: untyped.utcnow().replace(tzinfo=UTC).timestamp(),
    lambda: datetime.today().replace(tzinfo=UTC).timestamp(),
    lambda: time.time(),
    lambda: time.time_ns() / 1e9,
    lambda: float(time.strftime("%s")),
    lambda: datetime(*time.localtime()[:6], tzinfo=UTC).timestamp(),
    lambda: datetime(*time.gmtime()[:6], tzinfo=UTC).timestamp(),
]
"""Each in seconds since the epoch."""


@SETS
def test_a_date_that_is_set_around_a_run_holds_in_it(sets: Any) -> None:
    with sets("2030-05-05 12:00"):
        assert {when.replace(tzinfo=UTC).timestamp() for when in [THEIRS]} == {*said(*BOTH)}


@SETS
def test_one_that_is_set_within_a_run_holds_as_long(sets: Any) -> None:
    def main() -> list[set[float]]:
        before = {ask() for ask in BOTH}
        with sets("2030-05-05 12:00"):
            within = {ask() for ask in BOTH}
        return [before, within, {ask() for ask in BOTH}]

    with Scenario() as net:
        assert net.run(main) == [{MIDNIGHT}, {THEIRS.replace(tzinfo=UTC).timestamp()}, {MIDNIGHT}]


@SETS
def test_time_goes_on_all_the_same(sets: Any) -> None:
    async def main() -> datetime:
        await asyncio.sleep(10)
        return datetime.now()

    with sets("2030-05-05 12:00"), Scenario() as net:
        assert net.run(main) == THEIRS
    assert net.now == 10.0


@SETS
def test_after_both_everything_is_as_before(sets: Any) -> None:
    before = datetime.now()
    with sets("2030-05-05 12:00"):
        said(lambda: datetime.now())
    assert said(lambda: datetime.now()) == [AFTER]
    assert vars(datetime)["now"] is GENUINE["now"]
    assert before <= datetime.now()
    assert abs(time.time() - datetime.now(UTC).timestamp()) < 60


@SETS
def test_one_that_is_stopped_in_a_run_leaves_the_real_clock(sets: Any) -> None:
    before = {name: getattr(time, name) for name in ("time", "monotonic", "localtime", "strftime")}
    setting = sets("2030-05-05 12:00")
    setting.start()
    with Scenario() as net:
        net.run(setting.stop)
    assert before == {name: getattr(time, name) for name in before}


@SETS
def test_one_that_is_left_set_by_a_run_goes_on_after_it(sets: Any) -> None:
    setting = sets("2030-05-05 12:00")
    with Scenario() as net:
        net.run(setting.start)
    try:
        assert datetime.now() == THEIRS
        assert {THEIRS.replace(tzinfo=UTC).timestamp()} == {*said(*BOTH)}
    finally:
        setting.stop()
    assert said(lambda: datetime.now()) == [AFTER]
    assert abs(time.time() - datetime.now(UTC).timestamp()) < 60


@pytest.mark.slow
def test_time_machine_can_be_imported_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("time_machine")
    program = """
        from datetime import datetime
        from mockselector import Scenario

        def main():
            import time_machine
            with time_machine.travel("2030-05-05 12:00+00:00", tick=False):
                within = datetime.now()
            return within.year, datetime.now().year

        with Scenario() as net:
            print(net.run(main), datetime.now().year > 2025)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [*PYTHON[:1], "-c", textwrap.dedent(program)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "(2030, 2026) True\n", done.stderr


def test_frozen_time_that_ticks_within_a_run_ticks_virtually() -> None:
    freezegun = pytest.importorskip("freezegun")

    def main() -> datetime:
        with freezegun.freeze_time("2030-05-05 12:00", tick=True):
            time.sleep(90)
            moment: datetime = module.datetime.now()
        return moment

    with Scenario() as net:
        assert net.run(main) == THEIRS + timedelta(seconds=90)

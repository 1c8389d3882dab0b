"""What people do wrong with threads is found by the right rule, at their own line; what is right, is silent."""

from __future__ import annotations

import faulthandler
import random
from typing import TYPE_CHECKING

import pytest

import thread_mistakes
from mockselector import Scenario, ScenarioError
from mockselector._threads.who_waits import GOES_ON
from thread_mistakes import MISTAKES, Mistake, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Decide = Callable[[int, str], int]

TWINS = [twin for mistake in MISTAKES for twin in mistake.twins]

each_mistake = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.broken.__name__)
each_twin = pytest.mark.parametrize("twin", TWINS)
dies_aloud = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture(autouse=True)
def never_for_ever() -> Iterator[None]:
    """Whatever goes wrong here may hang."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def play(program: type[Program], *, pedantic: bool = False, decide: Decide | None = None) -> Scenario:
    with Scenario(pedantic=pedantic) as net:
        net._world.choices.decide = decide
        program.peers(net)
        net.run(lambda: program().main())
    return net


def found(mistake: Mistake, *, decide: Decide | None = None) -> ScenarioError:
    with pytest.raises(ScenarioError) as caught:
        play(mistake.broken, pedantic=mistake.pedantic, decide=decide)
    return caught.value


def words(text: str) -> str:
    return " ".join(text.split())


def trace_of(program: type[Program], *, pedantic: bool = False) -> list[tuple[str, str, float, int]]:
    net = Scenario(pedantic=pedantic)
    try:
        with net:
            program.peers(net)
            net.run(lambda: program().main())
    except ScenarioError:
        pass
    return [(str(row), row.thread, row.time, row.place.line) for row in net.trace]


def at_random(seed: int, *labels: str) -> Decide:
    """Who decides as dice do; of what is about these labels, if there are any, and else the first."""
    dice = random.Random(seed)
    return lambda many, label: dice.randrange(many) if not labels or label in labels else 0


@dies_aloud
@each_mistake
def test_a_mistake_is_found_at_the_line_that_made_it(mistake: Mistake) -> None:
    error = found(mistake)
    assert error.rule == mistake.rule, error
    where = f"thread_mistakes.py:{mistake.broken.marked_line()} "
    told = [words(line) for line in str(error).splitlines() if where in line]
    assert any(line.startswith(mistake.told) for line in told), error
    assert mistake.says in words(str(error)), error


@each_twin
@pytest.mark.parametrize("pedantic", [False, True])
def test_what_is_right_is_silent(twin: type[Program], pedantic: bool) -> None:
    play(twin, pedantic=pedantic)


@pytest.mark.slow
@pytest.mark.shared
@dies_aloud
@each_mistake
def test_it_is_the_same_every_time(mistake: Mistake) -> None:
    for program in (mistake.broken, *mistake.twins):
        first = trace_of(program, pedantic=mistake.pedantic)
        assert first
        assert [trace_of(program, pedantic=mistake.pedantic) for _ in range(2)] == [first] * 2


@pytest.mark.slow
@pytest.mark.shared
@each_twin
def test_what_is_right_is_silent_whoever_goes_first(twin: type[Program]) -> None:
    for seed in range(5):
        play(twin, pedantic=True, decide=at_random(seed, GOES_ON))
        play(twin, pedantic=True, decide=at_random(seed))


@pytest.mark.slow
@pytest.mark.shared
@dies_aloud
@each_mistake
def test_a_mistake_is_found_whoever_goes_first(mistake: Mistake) -> None:
    for seed in range(5):
        assert found(mistake, decide=at_random(seed, GOES_ON)).rule == mistake.rule
        assert found(mistake, decide=at_random(seed)).rule == mistake.rule


def test_every_program_is_in_the_table() -> None:
    programs = {one for one in vars(thread_mistakes).values() if isinstance(one, type) and issubclass(one, Program)}
    listed = {mistake.broken for mistake in MISTAKES} | set(TWINS)
    assert programs - listed == {Program, thread_mistakes.Loop}

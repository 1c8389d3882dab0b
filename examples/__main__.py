"""Runs every example: the correct servers must pass, each broken twin must be caught, and each conversation be held.

    python examples [name ...]

Shows each twin's error in full. Exits with 0 if all came out as they should, else with 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # `python examples` puts only this directory there

from examples import test_broker, test_chat, test_echo, test_proxy, test_web
from examples.scenarios import CORRECT, TWINS, Correct, Example, Twin, received, run
from mockselector import ScenarioError

WIDTH = 98


def main() -> int:
    """Run the examples that the command line names, or all; return the exit status."""
    correct, twins, conversations = chosen(sys.argv[1:])
    passed = caught = held = 0
    if conversations:
        say("Conversations with servers that know nothing of it")
        held = sum([shown_conversation(server, test) for server, test in conversations])
        say()
    if correct:
        say("Correct servers, judged strictly")
        passed = sum([shown_correct(example) for example in correct])
        say()
    for number, twin in enumerate(twins, 1):
        say(title(f"broken twin {number} of {len(twins)}: {twin.name}"))
        caught += shown_twin(twin)
        say()
    say(title("summary"))
    say(f"{held} of {len(conversations)} conversations are held as they should be")
    say(f"{passed} of {len(correct)} correct servers pass")
    say(f"{caught} of {len(twins)} broken twins are caught, by the expected rule and at the marked line")
    return 0 if (passed, caught, held) == (len(correct), len(twins), len(conversations)) else 1


Conversation = tuple[str, Callable[[], None]]
"""The name of a server, and a test that holds a conversation with it."""

CONVERSATIONS: list[Conversation] = [
    (module.__name__.partition("test_")[2], test)
    for module in (test_echo, test_chat, test_web, test_proxy, test_broker)
    for name, test in vars(module).items()
    if name.startswith("test_")
]


def chosen(arguments: list[str]) -> tuple[list[Correct], list[Twin], list[Conversation]]:
    """The examples to run."""
    names = [example.name for example in (*CORRECT, *TWINS)]
    names += dict.fromkeys(server for server, _ in CONVERSATIONS)
    parser = argparse.ArgumentParser(
        prog="python examples",
        description="Run example servers under mockselector.",
        epilog=f"names: {', '.join(names)}",
    )
    parser.add_argument("names", nargs="*", metavar="name", help="a server to run; without any, all are run")
    wanted: list[str] = parser.parse_args(arguments).names
    for name in wanted:
        if name not in names:
            parser.error(f"there is no example {name!r}; the names are: {', '.join(names)}")

    def picked(example: Example) -> bool:
        return not wanted or example.name in wanted

    return (
        [example for example in CORRECT if picked(example)],
        [twin for twin in TWINS if picked(twin)],
        [(server, test) for server, test in CONVERSATIONS if not wanted or server in wanted],
    )


def shown_conversation(server: str, test: Callable[[], None]) -> bool:
    """Hold a conversation; show whether it comes out as it should."""
    what = test.__name__.removeprefix("test_").replace("_", " ")
    try:
        test()
    except AssertionError as error:
        say(f"  {CROSS} {server:<7} {what}\n{error}")
        return False
    say(f"  {CHECK} {server:<7} {what}")
    return True


def shown_correct(example: Correct) -> bool:
    """Run a correct server; show whether it passes."""
    try:
        trace = run(example)
    except ScenarioError as error:
        say(f"  {CROSS} {example.name:<12} {error}")
        return False
    if received(trace) != example.replies:
        say(f"  {CROSS} {example.name:<12} its clients received {received(trace)}, not {dict(example.replies)}")
        return False
    say(f"  {CHECK} {example.name:<12} {len(trace):>3} operations   {example.summary}")
    return True


def shown_twin(twin: Twin) -> bool:
    """Run a broken twin; show its error, and whether it is the expected one."""
    say(twin.summary)
    say()
    try:
        run(twin, pedantic=twin.pedantic)
    except ScenarioError as error:
        say(f"{type(error).__module__.partition('.')[0]}.{type(error).__name__}: {error}")
        say()
        if twin.is_told_by(error):
            say(f"{CHECK} caught: {twin.rule}, with line {twin.marked_line}, the one marked # BUG")
            return True
        say(f"{CROSS} expected {twin.rule}, with line {twin.marked_line} shown as {twin.shown_as!r}")
        return False
    say(f"{CROSS} not caught; expected {twin.rule}")
    return False


def title(text: str) -> str:
    """A line that opens a part of the output."""
    return f"{RULE * 2} {text} ".ljust(WIDTH, RULE)


def say(text: str = "") -> None:
    """Print at once, so that progress is seen through a pipe too."""
    print(text, flush=True)


def writable(text: str, plain: str) -> str:
    """`text`, or `plain` where the terminal's encoding does not have it."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return plain
    return text


CHECK = writable("✓", "ok")
CROSS = writable("✗", "FAILED")
RULE = writable("─", "-")

if __name__ == "__main__":
    sys.exit(main())

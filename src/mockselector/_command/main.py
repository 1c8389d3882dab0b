"""The command `mockselector`: its verbs, and what each is given.

Owns the command line and the exit status: 0 for what is clean, 1 for a finding or an exception of the program, 2 for a
command line that cannot be. A verb is a function with a parser of its own.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from .._judge.catalogue import in_short, meaning, mending, nearest, page, suffering
from .._judge.rules import RULES
from .paper import Paper, is_usable
from .report import FORMATS, interrupted, tell
from .usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._judge.rules import RuleId

WIDTH: Final = 98
"""How wide prose is written."""

INTERRUPTED: Final = 130
"""The exit status of what Ctrl-C has ended, as shells have it."""

EXAMPLE: Final = r"""
examples:
  mockselector run server.py --client "send:hi\n, expect:HI\n, close" -- 8888
  mockselector run -m chat --client "name:alice, send:hi\n, wait:5, close" --client "name:bob, delay:2, expect:hi\n"
  mockselector run fetch.py --backend api:80 "expect-until:\r\n\r\n, send:@answer.bin, close"
"""


# -- verbs ------------------------------------------------------------------------------------------


def explain(given: argparse.Namespace, paper: Paper) -> int:
    """What a rule means, what breaking it costs, and how to mend it."""
    rule = _rule(given.rule)
    paper.say(f"[{rule}]  {RULES[rule].level}")
    parts = {
        "": meaning(rule),
        "In production ": suffering(rule),
        "To mend it: ": mending(rule),
        "On purpose? ": f'Scenario(allow={{"{rule}"}}), or for one peer: net.client(allow={{"{rule}"}})',
        "Read on: ": page(rule),
    }
    for label, text in parts.items():
        paper.say(f"\n{_paragraph(label + text)}")
    return 0


def rules(_: argparse.Namespace, paper: Paper) -> int:
    """All rules, each in one line."""
    wide = max(map(len, RULES))
    for rule in RULES:
        paper.say(f"{rule:<{wide}}  {RULES[rule].level:<8}  {in_short(rule)}")
    return 0


def run(given: argparse.Namespace, paper: Paper) -> int:
    """Play one scenario against a program."""
    from .playing import Asked, play  # here: the other verbs need no scenario

    if (given.path is None) == (given.module is None):
        raise UsageError("run takes one program: the path of a file, or -m MODULE")
    names = ("pedantic", "patience", "grace", "watchdog", "network")
    asked = Asked(
        path=given.path, module=given.module, argv=given.argv, clients=given.client, backends=given.backend,
        options={name: getattr(given, name) for name in names if getattr(given, name) is not None},
        allow=[_rule(one) for one in given.allow], keeps_output=given.format == "json",
    )  # fmt: skip
    outcome = play(asked)
    tell(outcome, paper, given.format)
    if outcome.status and not (given.client or given.backend) and given.format == "text":
        paper.say("\n  No --client was given: nobody connects to it.")
    if given.timeline is not None:
        try:
            outcome.timeline().save(given.timeline)
        except OSError as error:
            raise UsageError(f"--timeline: {given.timeline!r} cannot be written: {error.strerror or error}") from None
    return outcome.status


def version(_: argparse.Namespace, paper: Paper) -> int:
    """The version of mockselector, and that of Python."""
    import mockselector

    paper.say(f"mockselector {mockselector.__version__} (Python {sys.version.split()[0]})")
    return 0


def _rule(name: str) -> RuleId:
    if name in RULES:
        return cast("RuleId", name)
    near = nearest(name)
    known = f"the nearest: {', '.join(near)}" if near else "`mockselector rules` lists them"
    raise UsageError(f"there is no rule {name!r}; {known}")


def _paragraph(text: str) -> str:
    import textwrap

    return textwrap.fill(
        text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )  # fmt: skip


# -- the command line -------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Says what is wrong as all of this command does: one exception."""

    def error(self, message: str) -> NoReturn:
        """Raise it."""
        raise UsageError(f"{message}\n  usage: {' '.join(self.format_usage().removeprefix('usage: ').split())}")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError(text)
    return seconds


_seconds.__name__ = "number of seconds"  # as argparse tells of it


def parser() -> Parser:
    """Of the whole command line, but for what stands behind `--`."""
    whole = Parser(prog="mockselector", description="Test servers without ports, threads or sleeping.")
    verbs = whole.add_subparsers(metavar="VERB", required=True, parser_class=Parser)

    def verb(does: Callable[[argparse.Namespace, Paper], int], **more: Any) -> argparse.ArgumentParser:
        told = (does.__doc__ or "").partition("\n")[0]
        one = verbs.add_parser(
            does.__name__, help=told, description=told, formatter_class=argparse.RawDescriptionHelpFormatter, **more
        )
        one.set_defaults(does=does)
        return one

    verb(explain).add_argument("rule", metavar="RULE", help="the id of a rule, as an error shows it")
    verb(rules)
    _add_run(verb(run, epilog=_grammar() + EXAMPLE))
    verb(version)
    return whole


def _add_run(one: argparse.ArgumentParser) -> None:
    add = one.add_argument
    add("path", nargs="?", metavar="PATH", help="the program: a file, run as `python PATH` does")
    add("-m", dest="module", metavar="MODULE", help="the program: a module, run as `python -m MODULE` does")
    add("--client", action="append", default=[], metavar="STEPS", help="a client of the program; as often as you like")
    add("--backend", action="append", default=[], nargs=2, metavar=("ADDRESS", "STEPS"),
        help="who takes one connection that the program makes to HOST:PORT, or to a path")  # fmt: skip
    add("--allow", action="append", default=[], metavar="RULE", help="a rule that is not judged; as often as you like")
    add("--pedantic", action="store_true", default=None, help="judge the pedantic rules, too")
    add("--patience", type=_seconds, metavar="SECONDS", help="how long a peer waits in vain (virtual time; 3600)")
    add("--grace", type=_seconds, metavar="SECONDS", help="how long a run goes on after the last step (60)")
    add("--watchdog", type=_seconds, metavar="SECONDS",
        help="how long a turn of the program may take that calls nothing of the scenario (real time; 30)")  # fmt: skip
    add("--network", choices=("simulated", "loopback"), help="simulated (the default), or real sockets")
    add("--format", choices=FORMATS, default="text",
        help="how it is told: text, one object of JSON, or annotations of a GitHub workflow")  # fmt: skip
    add("--timeline", metavar="FILE", help="draw what has happened as a page of HTML")
    one.set_defaults(argv=[])
    one.usage = "mockselector run [options] (PATH | -m MODULE) [-- ARGV ...]"


def _grammar() -> str:
    from .language import ESCAPED, words  # here, as it needs the steps

    return (
        "STEPS are separated by commas; settings come first.\n"
        f"  of a client:   {_folded(words(client=True))}\n  of a backend:  {_folded(words(client=False))}\n"
        f"BYTES have the escapes {ESCAPED}; @FILE stands for what a file holds. expect-until takes what\n"
        "comes, up to these bytes; expect-match, all up to the end, which the regular expression PATTERN must match.\n"
        "What stands behind -- are the program's own arguments.\n"
    )


def _folded(text: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, WIDTH - 17, break_on_hyphens=False)).replace("\n", f"\n{' ' * 17}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    words = ["version"] if words == ["--version"] else words
    end = words.index("--") if "--" in words else len(words)
    try:
        given, rest = parser().parse_known_args(words[:end])
        if rest:
            own = ". (A program's own arguments stand behind --)" if given.does is run else ""
            raise UsageError(f"{' '.join(rest)!r} is not understood{own}")
        if end < len(words):
            if given.does is not run:
                raise UsageError("what stands behind -- are a program's arguments: only run takes them")
            given.argv = words[end + 1 :]
        status: int = given.does(given, Paper())
        if is_usable(sys.stdout):  # else the program has closed it
            sys.stdout.flush()
    except UsageError as error:
        Paper(sys.stderr).say(f"mockselector: {error}")
        return 2
    except KeyboardInterrupt as error:
        Paper(sys.stderr).say(interrupted(error))
        return INTERRUPTED
    except BrokenPipeError:  # whoever read it has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter tells of it at its end
        return 1
    return status

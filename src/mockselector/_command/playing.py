"""`run`: one scenario, from a command line, against a program as it is.

Owns what may be asked of a run, how a scenario is made of that, and what is caught of it. What came of it is
`report`'s business.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
from dataclasses import dataclass
from functools import partial
from importlib.machinery import PathFinder
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final

from .._scenario import Scenario
from .language import place_of, written
from .report import Outcome, runs_it
from .usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from .._judge.rules import RuleId
    from .._play.peer import Peer
    from .language import Written

STDOUT: Final = 1
STDERR: Final = 2

LINE: Final = "<command line>"
"""The file, in texts, in which a scenario of the command is written."""


@dataclass
class Asked:
    """What a command line asks for."""

    path: str | None
    module: str | None
    argv: Sequence[str]
    clients: Sequence[str]
    backends: Sequence[tuple[str, str]]
    options: dict[str, Any]  # Any: of a Scenario
    allow: Sequence[RuleId]
    keeps_output: bool  # what the program prints is not to be mixed with what is told of it

    @property
    def program(self) -> str:
        """What is run, as it was given."""
        return self.module or self.path or ""


def play(asked: Asked) -> Outcome:
    """Play it. Raises UsageError for what cannot be asked; a KeyboardInterrupt comes out."""
    _check_program(asked)
    clients = [_peer("--client", text, client=True) for text in asked.clients]
    backends = [
        (_address(address), _peer(f"--backend {address}", text, client=False)) for address, text in asked.backends
    ]
    net, peers = _scenario(asked, clients, backends)
    error = _outcome(net, asked)
    return Outcome(asked.program, error, net.now, net.trace, peers, net.timeline)


def _check_program(asked: Asked) -> None:
    if asked.path is not None and not os.path.exists(asked.path):
        raise UsageError(f"there is no file {asked.path!r}. (A module is run by -m MODULE)")
    if asked.module is not None:
        top = asked.module.partition(".")[0]
        if top not in sys.modules and PathFinder.find_spec(top, [os.getcwd(), *sys.path]) is None:
            raise UsageError(f"there is no module {asked.module!r}. (A file is run by its path, without -m)")


def _peer(where: str, text: str, *, client: bool) -> Written:
    try:
        return written(text, client=client)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _address(text: str) -> tuple[str, int] | str:
    address = place_of(text)
    if address is None or isinstance(address, int):
        raise UsageError(f"--backend takes HOST:PORT, or a path with a slash in it, and then its steps; got {text!r}")
    return address


def _scenario(
    asked: Asked, clients: Sequence[Written], backends: Sequence[tuple[Any, Written]]
) -> tuple[Scenario, list[Peer]]:
    """Made line by line of a text, the command line's, which errors then show. Raises UsageError."""
    nets: list[Scenario] = []
    peers: list[Peer] = []
    made: list[Callable[[], object]] = [lambda: nets.append(Scenario(allow=asked.allow, **asked.options))]
    lines = [f"mockselector run {asked.program}"]
    for text, one in zip(asked.clients, clients, strict=True):
        made.append(partial(_add_client, nets, peers, one))
        lines.append(f'--client "{text}"')
    for (address, text), (place, one) in zip(asked.backends, backends, strict=True):
        made.append(partial(_add_backend, nets, peers, place, one))
        lines.append(f'--backend {address} "{text}"')
    linecache.cache[LINE] = (1, None, [f"{' '.join(line.split())}\n" for line in lines], LINE)
    source = "".join(f"made[{number}]()\n" for number in range(len(made)))
    try:
        exec(compile(source, LINE, "exec"), {"made": made})  # noqa: S102  (of our own: the frames are what is wanted)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UsageError(str(error)) from None
    return nets[0], peers


def _add_client(nets: list[Scenario], peers: list[Peer], one: Written) -> None:
    peers.append(nets[0].client(one.name, one.steps, to=one.to, delay=one.delay or 0.0))


def _add_backend(nets: list[Scenario], peers: list[Peer], place: Any, one: Written) -> None:
    peers.append(nets[0].backend(place, one.name, one.steps, refuses=one.refuses, delay=one.delay))


@contextlib.contextmanager
def _to_stderr() -> Generator[None, None, None]:
    """What the program prints goes to the standard error; so does what it, or a child of it, writes to descriptor 1."""
    kept = -1
    try:
        sys.stdout.flush()
        if sys.stdout.fileno() == STDOUT:
            kept = os.dup(STDOUT)
            os.dup2(STDERR, STDOUT)
    except (AttributeError, OSError):  # there is none, or it is no file
        pass
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if kept >= 0:
            os.dup2(kept, STDOUT)
            os.close(kept)


def _outcome(net: Scenario, asked: Asked) -> BaseException | None:
    """Run it; what came out of it."""
    output = _to_stderr() if asked.keeps_output else contextlib.nullcontext()
    try:
        with net, output:
            if asked.module is not None:
                net.run_module(asked.module, asked.argv)
            else:
                net.run_path(asked.path or "", asked.argv)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, ImportError) and all(runs_it(frame) for frame, _ in walk_tb(error.__traceback__)):
            raise UsageError(f"{asked.program!r} cannot be run: {error}") from None
        return error
    return None

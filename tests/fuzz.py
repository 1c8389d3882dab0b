"""Runs programs that are made up, and says which of them break a promise: `python tests/fuzz.py RUNS`.

--seed N: the first seed; the same seed makes the same program. --network loopback: over real sockets
(both: one in ten of them). --mode wild: programs that are wrong in any way, whatever they do, must
come to an end, leave nothing behind and do the same again; right: right servers with honest clients,
where nothing may be found; planted: such servers with one defect that the clients meet, which must be
found. --which threads: only programs with threads. --show: print the program of the seed, and run it
here. --into FOLDER: write what breaks a promise there, a file for each kind.

The programs run in processes of their own: one that hangs, or ends the process, is named, and the
rest goes on. What is found is made small before it is shown: a program to paste.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import functools
import gc
import importlib
import io
import json
import logging
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType
from typing import Any, Final, Literal, NamedTuple, get_args

import fuzz_programs
import fuzz_threads
import mockselector
from fuzz_programs import Choices, Network, Program
from fuzz_threads import THREADED, WITHOUT_CLIENTS
from mockselector import MockSelector, Scenario, ScenarioError
from mockselector._current import current
from mockselector._install import installing
from mockselector._install.stand_ins import LATE, REPLACEMENTS, in_classes, in_late_classes
from mockselector._simulated.kinds import STAND_INS

Mode = Literal["wild", "right", "planted"]
Which = Literal["all", "threads"]

SERVERS: Final = {"all": (*fuzz_programs.SERVERS, *THREADED), "threads": THREADED}
PLANTED: Final = {**fuzz_programs.PLANTED, **fuzz_threads.PLANTED}

WAITING: Final = 600
"""Seconds after which one does that waits for something real."""
SHOWN: Final = 2000
"""How many rows of a long trace are compared at its beginning, and at its end."""
LONGEST: Final = 30_000
"""What a text of ours has room for."""
PACKAGE: Final = os.path.dirname(mockselector.__file__) + os.sep
FILE: Final = "fuzzed.py"
COMMAND: Final = [__file__, "--child"]
"""How a process of its own is started."""
UNLIKE: Final = ("hangs", "another trace", "another verdict", "a long text")
"""Kinds of failure of which a smaller program may show another place."""
OF_PYTHON: Final = re.compile(
    r"(generator|coroutine) ignored GeneratorExit|asyncio.selector_events\.py\", line \d+, in __del__"
    r"|EventLoop' object has no attribute '_signal_handlers'"
)
"""What a program brings upon itself in production, too: swallows the end of a generator, drops a transport, makes
event loops until one cannot be made (whose `__del__` then closes what it does not have)."""
LEGITIMATE: Final = re.compile(
    r"is not registered|is already registered|Invalid file descriptor|Invalid event mask|Invalid file object"
    r"|file descriptor cannot be a negative|fileno\(\) returned an invalid|Timeout value|I/O operation on closed|'own'|"
    r"this scenario is at its end|The run came to its end|but its script has|already executing|"
    r"release unlocked lock|cannot release un-acquired|cannot (join|wait on|notify on)|cannot schedule new futures|"
    r"can't start new thread|released too many times|concurrent poll"
)
"""What a `KeyError`, `ValueError` or the like of ours says where the kernel or Python would raise it, too."""


class Failure(NamedTuple):
    """A broken promise: which, and what was seen of it; where: what tells it from others of its kind."""

    kind: str
    where: str
    detail: str


# -- one program ------------------------------------------------------------------------------------


def made(
    seed: int, mode: Mode, network: Network, given: Sequence[int] | None = None, which: Which = "all"
) -> tuple[str, list[int], str]:
    """A program, the choices that it comes of, and what is planted in it."""
    choices = Choices(seed, given)
    planted: str | None = {"wild": "", "right": None}.get(mode)
    server = None
    among = SERVERS[which] if network == "simulated" else fuzz_programs.SERVERS  # over real sockets, without threads
    if mode == "planted":
        pairs = [(one, defect) for one in among for defect in PLANTED[one]]
        server, planted = pairs[seed % len(pairs)]
    program = Program(choices, planted, network)
    fuzz_programs.write(program, server, among, WITHOUT_CLIENTS)
    what = f"{server.__name__}: {planted}" if server else ""
    return program.text(), choices.made, what


class Run(NamedTuple):
    """What came of a run: the error that came out, the trace, and the exceptions that nobody could catch."""

    error: BaseException | None
    trace: list[str]
    unraisable: list[str]


@functools.lru_cache(maxsize=1)
def compiled(program: str) -> CodeType:
    """Its code: the same objects whenever it is played."""
    return compile(program, FILE, "exec", dont_inherit=True)


def played(program: str) -> Run:
    """Run a program, in a module of its own."""
    unraisable: list[str] = []
    space: dict[str, Any] = {"__name__": "fuzzed"}  # Any: a module's names
    hook, before = sys.unraisablehook, logging.root.manager.disable
    sys.unraisablehook = lambda args: unraisable.append(
        "".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback))
    )
    logging.disable(logging.CRITICAL)
    error: BaseException | None = None
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    exec(compiled(program), space)
                except BaseException as one:
                    error = one
                net: Scenario = space["net"]
                trace = told(net)
                error = _alone(error)
                del net, space
                gc.collect()
    finally:
        sys.unraisablehook = hook
        logging.disable(before)
    return Run(error, trace, [one for one in unraisable if not OF_PYTHON.search(one) and not one.endswith("own\n")])


def told(net: Scenario) -> list[str]:
    """What happened; of a long run the beginning and the end."""
    rows = net.trace
    some = range(len(rows)) if len(rows) < 2 * SHOWN else [*range(SHOWN), *range(len(rows) - SHOWN, len(rows))]
    return [*(f"{rows[at].time:g} s  {rows[at]}" for at in some), f"{len(rows)} rows"]


def alike(program: str, one: list[str], other: list[str]) -> bool:
    """Whether the same has happened.

    A loop of asyncio that is ended cancels its tasks in the order of a set of them, which depends
    on where they lie in memory: what a task does then may come in another order.
    """
    return one == other or ("asyncio.run" in program and sorted(one) == sorted(other))


def _alone(error: BaseException | None) -> BaseException | None:
    """An exception without what its frames keep alive."""
    seen: list[BaseException] = []
    others = [error]
    while others:
        one = others.pop()
        if one is not None and one not in seen:
            seen.append(one)
            traceback.clear_frames(one.__traceback__)
            others += [one.__context__, one.__cause__]
    return error


def said(error: BaseException | None) -> str:
    """A verdict, as one that is to be the same again."""
    if error is None:
        return ""
    notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
    return re.sub(r"0x[0-9a-f]+", "0x", f"{type(error).__name__}: {error}{notes}")


def judged(program: str, mode: Mode, network: Network) -> Iterator[Failure]:
    """Run a program, twice, and say which promises it breaks."""
    open_before, threads_before = _descriptors(), threading.active_count()
    first = played(program)
    yield from _verdict(first.error)
    yield from _texts(first.error)
    verdict = said(first.error)
    first = first._replace(error=None)  # it may keep alive what it came of
    gc.collect()
    yield from _left_behind(first, open_before, threads_before)
    if mode == "right" and verdict:
        yield Failure("false finding", verdict.partition("\n")[0], verdict)
    if mode == "planted" and not verdict:
        yield Failure("false pass", "", "\n".join(first.trace[-30:]))
    if network == "simulated":
        yield from _again(program, verdict, first.trace)


def _verdict(error: BaseException | None) -> Iterator[Failure]:
    """Nothing comes out but a finding, what is not simulated, and what the server has raised itself."""
    if error is None or isinstance(error, (ScenarioError, NotImplementedError)):
        return
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    place = f"{type(error).__name__} at {os.path.basename(last.filename)}:{last.lineno} in {last.name}"
    told = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if isinstance(error, MockSelector.EndException):
        yield Failure("the end came out", place, told)
    elif isinstance(error, KeyboardInterrupt) and error.args != ("own",):
        yield Failure("an interrupt came out", place, told)
    elif last.filename.startswith(PACKAGE) and error.args != ("own",) and not _is_legitimate(error):
        yield Failure("an error of ours", place, told)


def _is_legitimate(error: BaseException) -> bool:
    """Whether an exception out of our package is one that the kernel, or Python, would raise as well."""
    return isinstance(error, OSError) or LEGITIMATE.search(str(error)) is not None


def _texts(error: BaseException | None) -> Iterator[Failure]:
    """Texts are short, can be encoded, and name the rule first, once."""
    if error is None:
        return
    text = said(error)
    if len(text) > LONGEST:
        yield Failure("a long text", type(error).__name__, f"{len(text)} characters\n{text[:2000]}")
    try:
        text.encode()
    except UnicodeEncodeError as wrong:
        yield Failure("a text that cannot be encoded", type(error).__name__, str(wrong))
    if isinstance(error, ScenarioError):
        first = str(error).partition("\n")[0]
        if not first.startswith(f"[{error.rule}] ") or first.count(f"[{error.rule}]") != 1:
            yield Failure("a text that does not begin with its rule", error.rule, first)


def _again(program: str, verdict: str, trace: list[str]) -> Iterator[Failure]:
    """The same once more, with other garbage about and a collector in another mood."""
    about = [[object()] for _ in range(997)]
    before = gc.get_threshold()
    gc.set_threshold(89, 3, 3)
    try:
        second = played(program)
    finally:
        gc.set_threshold(*before)
        del about
    if any("Scenario(watchdog=" in one for one in (verdict, said(second.error))):
        return  # a program that calls nothing is ended in real time, wherever it is then
    if not alike(program, trace, second.trace):
        pairs = enumerate(zip(trace, second.trace, strict=False))
        at = next((n for n, (one, other) in pairs if one != other), min(len(trace), len(second.trace)))
        shown = (f"{one[max(0, at - 3) : at + 2]}" for one in (trace, second.trace))
        yield Failure("another trace", "", "\n".join([f"at row {at}:", *shown]))
    elif trace == second.trace and said(second.error) != verdict:
        yield Failure("another verdict", "", f"{verdict}\n\n--- and then\n\n{said(second.error)}")


def _left_behind(run: Run, open_before: set[str], threads_before: int) -> Iterator[Failure]:
    """Nothing of ours is left: no stand-in, no descriptor, no thread, no exception that nobody could catch."""
    if installing._put or installing._classes or current() is not None:
        yield Failure("left installed", "", f"{len(installing._put)} names, {len(installing._classes)} of classes")
    if threading.active_count() != threads_before:
        yield Failure("a thread is left", "", str(threading.enumerate()))
    more = _descriptors() - open_before
    if more:
        yield Failure("a descriptor is left", "", str(sorted(more)))
        for number in more:
            with contextlib.suppress(OSError):
                os.close(int(number.partition(" ")[0]))
    for one in run.unraisable:
        where = re.sub(r"\d+", "0", one.strip().rpartition("\n")[2])[:80]
        yield Failure("an exception that nobody could catch", where, one)


def _descriptors() -> set[str]:
    """What is open, where the system says so."""
    found = set[str]()
    with contextlib.suppress(OSError):
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
    return {one for one in found if "/fd" not in one.partition(" ")[2]}


def stand_ins() -> list[str]:
    """Where one of ours stands in the place of something real: in any module, or in a class."""
    ours = {id(pair[1]) for pair in REPLACEMENTS.values()}
    kinds = {id(one) for one in STAND_INS.values()}
    left: list[str] = []
    for name, module in tuple(sys.modules.items()):
        if name.partition(".")[0] in ("mockselector", "fuzz"):
            continue
        left += [
            f"{name}.{key}"
            for key, value in tuple(getattr(module, "__dict__", {}).items())
            if id(value) in ours | kinds
        ]
    return left


def classes() -> list[tuple[str, object]]:
    """The attributes of the classes that are replaced during a run."""
    wanted = [*in_classes(), *(one for name in LATE for one in in_late_classes(name))]
    return [(f"{owner.__name__}.{name}", owner.__dict__.get(name)) for owner, name, _ in wanted]


# -- many programs ----------------------------------------------------------------------------------


class Seeds(NamedTuple):
    """Which programs: so many from the first seed on, of a mode and a network."""

    first: int
    number: int
    mode: Mode
    network: Network
    limit: float = 120.0
    """Seconds of the processor's time after which a program hangs."""
    which: Which = "all"


SCANNED: Final = 25
"""After so many runs every module is searched for what was left in it."""


def in_this_process(seeds: Seeds, tell: Callable[[str, object], None]) -> None:
    """Run programs one after the other; tell which one runs, and what it breaks."""
    for name in ("asyncio", "concurrent.futures.thread", "queue", "ssl"):  # what the programs import
        importlib.import_module(name)
    played(made(0, "wild", "simulated")[0])
    gc.collect()
    gc.freeze()
    was, before = classes(), stand_ins()
    for seed in range(seeds.first, seeds.first + seeds.number):
        tell("run", seed)
        _limit(seeds.limit)
        program, _, what = made(seed, seeds.mode, seeds.network, None, seeds.which)
        for failure in judged(program, seeds.mode, seeds.network):
            tell("failure", [seed, failure.kind, f"{what} {failure.where}".strip(), failure.detail])
        if seed % SCANNED == SCANNED - 1 and (classes(), stand_ins()) != (was, before):
            now = [name for name in stand_ins() if name not in before]
            tell("failure", [seed, "something is left replaced", "", f"in the last {SCANNED} runs: {now}"])
            was, before = classes(), stand_ins()
    _limit(0)
    tell("done", seeds.number)


def _limit(seconds: float) -> None:
    """End this process, showing where it is, if it works for longer than so many seconds from now."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def child() -> None:
    """What a process of its own does: run programs, and tell over its output, which they do not get."""
    seeds = Seeds(*json.loads(sys.argv[-2]))
    given: list[int] | None = json.loads(sys.argv[-1])
    out = os.dup(1)
    os.dup2(2, 1)
    write = os.write
    if hasattr(signal, "SIGPROF"):
        faulthandler.register(signal.SIGPROF, all_threads=True, chain=True)

    def tell(what: str, more: object) -> None:
        write(out, (json.dumps([what, more]) + "\n").encode())

    if given is None:
        in_this_process(seeds, tell)
        return
    _limit(seeds.limit)
    program, _, what = made(seeds.first, seeds.mode, seeds.network, given, seeds.which)
    for failure in judged(program, seeds.mode, seeds.network):
        tell("failure", [seeds.first, failure.kind, f"{what} {failure.where}".strip(), failure.detail])
    _limit(0)
    tell("done", 1)


class Found(NamedTuple):
    """A failure, and the seed of the program."""

    seed: int
    failure: Failure


def messages(seeds: Seeds, given: Sequence[int] | None = None) -> Iterator[tuple[str, Any]]:  # Any: from JSON
    """What a process tells of these programs; at last "ended" with how, if it was not done."""
    command = [sys.executable, *COMMAND, json.dumps(seeds), json.dumps(given)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    errors: list[bytes] = []
    pipe = process.stderr
    reader = threading.Thread(target=lambda: errors.extend(pipe), daemon=True)
    reader.start()
    why, rest, done = "", b"", False
    while True:
        ready, _, _ = select.select([process.stdout], [], [], WAITING)
        if not ready:
            why = "hangs, waiting"
            process.kill()
            break
        more = os.read(process.stdout.fileno(), 1 << 16)
        if not more:
            break
        *lines, rest = (rest + more).split(b"\n")
        for line in lines:
            what, value = json.loads(line)
            done = done or what == "done"
            yield what, value
    status = process.wait()
    reader.join()
    process.stdout.close()
    process.stderr.close()
    if not done or status:
        words = b"".join(errors).decode(errors="replace")
        if not why:  # showing where it is can itself end it
            why = "hangs" if "(most recent call first)" in words else f"the process ended, status {status}"
        yield "ended", (why, words)


def ended(why: str, errors: str) -> Failure:
    """A process that has not come to its end, by the innermost lines of our own."""
    lines = re.findall(r'File "([^"]+)", line (\d+) in (\w+)', errors.rpartition("most recent call first")[2])
    inside = [f"{os.path.basename(file)} in {name}" for file, _, name in lines if file.startswith(PACKAGE)]
    return Failure(why, "; ".join(inside[:2]), errors[-6000:])


def found_in(seeds: Seeds) -> Iterator[Found]:
    """Run programs in processes of their own; go on after each that does not come back."""
    first, last, seed = seeds.first, seeds.first + seeds.number, seeds.first
    while first < last:
        seed = first
        for what, value in messages(seeds._replace(first=first, number=last - first)):
            if what == "run":
                seed = value
            elif what == "failure":
                yield Found(value[0], Failure(*value[1:]))
            elif what == "ended":
                yield Found(seed, ended(*value))
        first = seed + 1


def failures_of(seeds: Seeds, given: Sequence[int]) -> list[Failure]:
    """What one program breaks."""
    seen: list[Failure] = []
    for what, value in messages(seeds, given):
        if what == "failure":
            seen.append(Failure(*value[1:]))
        elif what == "ended":
            seen.append(ended(*value))
    return seen


def smaller(found: Found, seeds: Seeds, seconds: float) -> str:
    """The program of a failure, with as few choices as still fail in that way."""
    seeds = seeds._replace(first=found.seed, number=1)
    choices = made(found.seed, seeds.mode, seeds.network, None, seeds.which)[1]
    until = time.monotonic() + seconds
    kind, where = found.failure.kind, found.failure.where

    def fails(given: list[int]) -> bool:
        return time.monotonic() < until and any(
            one.kind == kind and (one.where == where or kind in UNLIKE) for one in failures_of(seeds, given)
        )

    if not fails(choices):
        return made(found.seed, seeds.mode, seeds.network, None, seeds.which)[0]
    size = len(choices)
    while size >= 1:
        at = 0
        while at < len(choices):
            for fewer in (choices[:at] + choices[at + size :], choices[:at] + [0] * size + choices[at + size :]):
                if len(fewer) <= len(choices) and fewer != choices and fails(fewer):
                    choices = made(found.seed, seeds.mode, seeds.network, fewer, seeds.which)[1]
                    break
            at += size
        size //= 2
    return made(found.seed, seeds.mode, seeds.network, choices, seeds.which)[0]


# -- the command ------------------------------------------------------------------------------------


def report(kinds: dict[tuple[str, str], list[Found]], seeds: Seeds, into: str | None, seconds: float) -> None:
    """Show each kind of failure once, made small."""
    for number, ((kind, where), some) in enumerate(sorted(kinds.items()), 1):
        first = some[0]
        program = smaller(first, seeds, seconds)
        head = f"{kind}{f': {where}' if where else ''}\n{len(some)} times, seeds {[one.seed for one in some[:8]]}"
        detail = first.failure.detail
        print(f"\n==== {head}\n\n{detail[:3000]}\n\n---- the program\n{program}", flush=True)
        if into is not None:
            name = re.sub(r"[^a-z0-9]+", "-", f"{seeds.mode} {seeds.network} {kind} {where}".lower())[:90].strip("-")
            quoted = "\n".join(f"# {line}".rstrip() for line in f"{head}\n\n{detail[:6000]}".splitlines())
            Path(into).mkdir(parents=True, exist_ok=True)
            Path(into, f"{name}-{number}.py").write_text(f"{quoted}\n\n{program}", encoding="utf-8")


def fuzz(seeds: Seeds, into: str | None, seconds: float) -> int:
    """Run, and report; returns how many failures there are."""
    start = time.monotonic()
    kinds: dict[tuple[str, str], list[Found]] = {}
    for found in found_in(seeds):
        key = found.failure.kind, found.failure.where
        if key not in kinds:
            print(f"seed {found.seed}: {found.failure.kind}: {found.failure.where}"[:200], flush=True)
        kinds.setdefault(key, []).append(found)
    took = time.monotonic() - start
    count = sum(map(len, kinds.values()))
    print(
        f"{seeds.number} runs, {seeds.mode}, {seeds.network}, from seed {seeds.first}, in {took:.0f} s:"
        f" {count or 'no'} failures of {len(kinds)} kinds", flush=True,
    )  # fmt: skip
    report(kinds, seeds, into, seconds)
    return count


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python tests/fuzz.py", description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=int, help="how many programs")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the same seed makes the same program")
    parser.add_argument("--network", choices=(*get_args(Network), "both"), default="simulated")
    parser.add_argument("--mode", choices=get_args(Mode), default="wild", help="which programs, and what they must do")
    parser.add_argument("--which", choices=get_args(Which), default="all", help="of which servers: those with threads")
    parser.add_argument("--show", action="store_true", help="print the program of the seed, and run it here")
    parser.add_argument("--into", metavar="FOLDER", help="write each kind of failure into a file there")
    parser.add_argument("--shrink", type=float, default=60.0, metavar="SECONDS", help="for each kind (default: 60)")
    parser.add_argument(
        "--limit",
        type=float,
        default=Seeds._field_defaults["limit"],
        metavar="SECONDS",
        help="of the processor (default: 120)",
    )
    options = parser.parse_args()
    if options.show:
        network: Network = "loopback" if options.network == "loopback" else "simulated"
        program, _, what = made(options.seed, options.mode, network, None, options.which)
        print(program, what)
        for failure in judged(program, options.mode, network):
            print(*failure, sep="\n")
        print(said(played(program).error))
        return 0
    of = Seeds(options.seed, options.runs, options.mode, "simulated", options.limit, options.which)
    fallen = 0 if options.network == "loopback" else fuzz(of, options.into, options.shrink)
    if options.network != "simulated":
        number = max(1, of.number // (10 if options.network == "both" else 1))
        fallen += fuzz(of._replace(network="loopback", number=number), options.into, options.shrink)
    return 1 if fallen else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child()
    else:
        sys.exit(main())

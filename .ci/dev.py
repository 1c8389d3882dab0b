"""Everything that is done with a checkout, on any machine with git and Python 3.10 or later.

    python3 .ci/dev.py examples       run the example servers under strict mode
    python3 .ci/dev.py quick          lint, mypy, and all tests but the slow ones, on the newest Python found
    python3 .ci/dev.py test           lint, type-check, test on every Python found, build, documentation
    python3 .ci/dev.py fix            what a tool can mend: lint, format, the page of the rules
    python3 .ci/dev.py fix --golden   write the golden texts as well, as they are now: read the diff
    python3 .ci/dev.py docs           build the documentation, as a site, in .envs/site
    python3 .ci/dev.py bench          print the benchmarks (with more arguments: hand them on)
    python3 .ci/dev.py gallery        show true defects of released packages, each in an environment of its own

More words after `quick` and `test` are for pytest (test -k rules, quick tests/test_rules.py -x): only
those tests, of the sources as they stand, and nothing else. `nox` offers the same commands as sessions.

Makes its own environments in `.envs`, and installs nothing anywhere else. What each step printed is in
`.envs/logs`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
import venv
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVS = ROOT / ".envs"
LOGS = ENVS / "logs"
OLDEST, NEWEST = 10, 14
PEER = "mockselector==0.2.3"
VIRTUAL = "async-solipsism"
"""An event loop with a virtual time of its own; the benchmarks run it beside ours."""
DIFFERENTIAL = "tests/test_differential.py"
QUICK = ("-m", "not slow and not collects")
"""How pytest is told to leave out what takes long; pyproject.toml says what these marks mean."""
GOLDEN = ("tests/test_rules.py", "tests/test_scenario_traces.py", "tests/test_timeline.py")
"""The tests that write golden texts if MOCKSELECTOR_WRITE_GOLDEN is set."""
PIP = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet")
QUIET = 20.0
"""After so many seconds without a line, one says what is being done."""
NO_TESTS = 5
"""The exit status of pytest if there was no test for what it was asked."""


class FailedError(Exception):
    """A command has failed without which nothing goes on."""


# -- saying what happens --------------------------------------------------------------------------

_lock = threading.Lock()
_said = 0.0  # when the last line was printed
_at_work: list[Step] = []


def say(text: str) -> None:
    global _said
    with _lock:
        print(f"== {text}", flush=True)
        _said = time.monotonic()


@contextmanager
def telling() -> Iterator[None]:
    """For the time of a block, say how far everything is whenever nothing else has been said for a while."""
    over = threading.Event()

    def tell() -> None:
        while not over.wait(1.0):
            tell_if_quiet()

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def tell_if_quiet() -> None:
    if time.monotonic() - _said >= QUIET:
        say(f"at work: {'; '.join(step.how_far() for step in tuple(_at_work)) or 'between two steps'}")


class Step:
    """A command: how far it is, what it has printed, and what came of it.

    python: on which Python it runs tests, written down by `pytest_progress`; "": it runs none.
    """

    def __init__(self, name: str, *command: str | Path, cwd: Path = ROOT, python: str = "", **variables: str) -> None:
        self.name = name
        self.command = [str(word) for word in command]
        self.cwd = cwd
        self.python = python
        self.log = LOGS / f"{name.replace(' ', '-')}.txt"
        self.progress = self.log.with_suffix(".progress")
        self.variables = {**os.environ, **variables}
        if python:
            here = os.pathsep.join([str(ROOT / ".ci"), *filter(None, [self.variables.get("PYTHONPATH")])])
            self.variables.update(PYTHONPATH=here, PYTEST_PROGRESS=str(self.progress))
        self.start = time.monotonic()
        self.status: int | None = None

    def run(self, *, shown: bool = False) -> None:
        """Run it. Its output goes into its log, and is printed if it fails; shown: it is printed as it comes."""
        self.start = time.monotonic()
        LOGS.mkdir(parents=True, exist_ok=True)
        self.progress.unlink(missing_ok=True)
        _at_work.append(self)
        try:
            if shown:
                say(self.shown)
                self.log.unlink(missing_ok=True)
                done = subprocess.run(self.command, cwd=self.cwd, env=self.variables, check=False)
            else:
                with self.log.open("w", encoding="utf-8") as log:
                    done = subprocess.run(
                        self.command, cwd=self.cwd, env=self.variables, check=False,
                        stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    )  # fmt: skip
            self.status = done.returncode
        finally:
            _at_work.remove(self)
        took = f"{time.monotonic() - self.start:.1f} s"
        if shown:
            say(f"{'failed after' if self.status else 'done in'} {took}")
        elif self.status:
            say(f"{self.name} failed after {took}: {self.shown}\n{self.output}\n== so much of {self.name}")
        else:
            say(f"{self.name}: {self.result} ({took})")

    @property
    def shown(self) -> str:
        return " ".join(word.replace(f"{ROOT}{os.sep}", "") for word in self.command)

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace").rstrip()

    @property
    def result(self) -> str:
        """The last line that it printed."""
        return self.output.rpartition("\n")[2].strip("= ") or "passed"

    def how_far(self) -> str:
        counted, _, now = self._followed()
        for_long = f"{time.monotonic() - self.start:.0f} s"
        return f"{self.name}, test {counted}: {now} ({for_long})" if now else f"{self.name} ({for_long})"

    def failing(self) -> list[str]:
        """The tests that have failed in it, and the one in which the process ended."""
        _, failed, now = self._followed()
        return [*failed, *([f"{now} (the process ended in it)"] if now else ())]

    def _followed(self) -> tuple[str, list[str], str]:
        """How many of how many tests have begun, which have failed, and which one runs now ("": none)."""
        if not self.python or not self.progress.exists():
            return "", [], ""
        total, begun, now = "?", 0, ""
        failed: dict[str, None] = {}
        for line in self.progress.read_text(encoding="utf-8", errors="replace").splitlines():
            what, _, name = line.partition(" ")
            if what == "tests":
                total = name
            elif what == "failed":
                failed[name] = None
            elif what == "runs":
                begun, now = begun + 1, name
            else:  # all have ended
                now = ""
        return f"{begun} of {total}", list(failed), now


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command without which nothing goes on."""
    step = Step(" ".join([Path(command[0]).name, *map(str, command[1:3])]), *command, cwd=cwd)
    step.run(shown=True)
    if step.status:
        raise FailedError(f"exit status {step.status}: {step.shown}")


# -- Pythons and environments ---------------------------------------------------------------------


def minor_of(command: list[str], **variables: str) -> tuple[int, str] | None:
    """The minor version and path of an interpreter that can make environments; of an environment's, its own origin."""
    program = (
        "import sys, os, ensurepip, venv;"
        " print(*sys.version_info[:2], os.path.realpath(getattr(sys, '_base_executable', sys.executable)))"
    )
    try:
        done = subprocess.run(
            [*command, "-c", program],
            capture_output=True, text=True, timeout=60, env={**os.environ, **variables}, check=False,
        )  # fmt: skip
    except OSError:
        return None
    words = done.stdout.split(maxsplit=2)
    if done.returncode or len(words) != 3 or words[0] != "3":
        return None
    return int(words[1]), words[2].strip()


def pythons() -> dict[int, str]:
    """Every supported Python found: this one, those on the PATH, and those of pyenv."""
    found: dict[int, str] = {}
    candidates = [minor_of([sys.executable])]
    candidates += [minor_of([f"python3.{minor}"]) for minor in range(OLDEST, NEWEST + 1)]
    if shutil.which("pyenv"):
        listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False)
        for version in listed.stdout.split():
            parts = version.split(".")
            if parts[0] == "3" and len(parts) == 3 and parts[1].isdigit():
                candidates.append(minor_of([f"python3.{parts[1]}"], PYENV_VERSION=version))
    for candidate in candidates:
        if candidate is not None and candidate[0] >= OLDEST:
            found.setdefault(*candidate)
    if not found:
        sys.exit(
            "== no Python 3.10 or later with venv and ensurepip was found."
            " (On Debian and Ubuntu they are in the package python3-venv.)"
        )
    for minor, path in sorted(found.items()):
        say(f"found Python 3.{minor}: {path}")
    return dict(sorted(found.items()))


def environment(name: str, python: str, *arguments: str) -> Path:
    """An environment in which `pip install` was called with these arguments; returns its Python."""
    folder = ENVS / name
    inside = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    state = repr((python, arguments, (ROOT / "pyproject.toml").read_bytes()))
    wanted = hashlib.sha256(state.encode()).hexdigest()
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return inside
    shutil.rmtree(folder, ignore_errors=True)
    say(f"making the environment .envs/{name}")
    if Path(python) == Path(sys.executable):
        venv.create(folder, with_pip=True)
    else:
        run(python, "-m", "venv", folder)
    if "--group" in arguments:  # of which an older pip knows nothing
        run(inside, *PIP, "--upgrade", "pip>=25.1")
    run(inside, *PIP, *arguments)
    stamp.write_text(wanted)
    return inside


def add_peer(python: Path, environment_folder: Path) -> None:
    """Put 0.2.3 beside ours, under the name by which the tests import it."""
    place = next(environment_folder.glob("lib/python3*/site-packages"))
    if (place / "mockselector_023").exists():
        return
    downloads = ENVS / "peer"
    run(python, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps", "-d", downloads, PEER)
    with zipfile.ZipFile(next(downloads.glob("*.whl"))) as wheel:
        for name in wheel.namelist():
            if name.startswith("mockselector/"):
                target = place / name.replace("mockselector/", "mockselector_023/", 1)
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(wheel.read(name))


# -- what can be done -----------------------------------------------------------------------------


def examples() -> None:
    """Run the example servers, the correct ones and the broken ones, under strict mode."""
    run(environment("examples", sys.executable, "--editable", "."), "examples", *sys.argv[2:])


def bench() -> None:
    """Print the benchmarks; further words are for them."""
    found = pythons()
    minor = OLDEST if OLDEST in found else max(found)
    python = environment(f"bench-3.{minor}", found[minor], "--editable", ".", VIRTUAL)
    if minor == OLDEST:
        add_peer(python, ENVS / f"bench-3.{minor}")
    run(python, "benchmarks", *sys.argv[2:])


def docs() -> None:
    """Build the documentation, as a site, in .envs/site."""
    step = site(pythons())
    step.run(shown=True)
    finish([step], [], f"it begins with {ENVS / 'site' / 'index.html'}")


def site(found: dict[int, str]) -> Step:
    """What builds the documentation, in an environment of its own; a warning is an error."""
    python = environment("docs", found[max(found)], "--group", "docs", "--editable", ".")
    options = ("-W", "--keep-going", "-n", "-q", "-E", "-b", "html", "-d", ENVS / "doctrees")
    return Step("documentation", python, "-m", "sphinx", *options, "docs", ENVS / "site")


def gallery() -> None:
    """Show true defects of released packages, each in an environment of its own; further words: only those, in full."""
    run(sys.executable, ".ci/gallery.py", *sys.argv[2:])


def quick() -> None:
    """Lint, mypy, and all tests but the slow ones, on one Python; further words are for pytest: only those tests."""
    start = time.monotonic()
    words = sys.argv[2:]
    found = pythons()
    newest = max(found)
    dev = for_development(found)
    steps = [] if words else lint(dev)
    for step in steps:
        step.run()
    command = ("-m", "pytest", *QUICK, *(words or ["-q", "-n", "auto"]))  # a debugger, asked for, wants one process
    tests = suite("quick tests", newest, dev, *command, sources=str(ROOT / "src"))
    tests.run(shown=True)
    finish([*steps, tests], [], f"the quick ones passed on Python 3.{newest} in {time.monotonic() - start:.0f} s")


def fix() -> None:
    """Mend what a tool can mend, and write the pages that are made; with --golden the golden texts too."""
    words = sys.argv[2:]
    if words not in ([], ["--golden"]):
        raise FailedError(f"fix takes --golden or nothing, not {' '.join(words)}")
    dev = for_development(pythons())
    steps = [Step("golden texts", dev, "-m", "pytest", "-q", *GOLDEN, MOCKSELECTOR_WRITE_GOLDEN="1")] if words else []
    steps += [  # the pages show golden texts
        Step("page of the rules", dev, "docs/make_rules.py"),
        Step("page of the gallery", dev, "docs/make_gallery.py"),
        Step("links of the README", dev, "docs/make_links.py"),
        Step("ruff check", dev, "-m", "ruff", "check", "--fix"),
        Step("ruff format", dev, "-m", "ruff", "format"),
    ]
    for step in steps:
        step.run()
    finish(steps, [], "what a tool can mend is mended")


def test() -> None:
    """Everything, on every Python found; further words are for pytest: only those tests."""
    words = sys.argv[2:]
    with nullcontext() if words and sys.stdout.isatty() else telling():  # a debugger may be at the terminal
        if words:
            some_tests(words)
        else:
            all_tests()


def some_tests(words: list[str]) -> None:
    """What `pytest` does with these words, on one Python after the other, as they come."""
    start = time.monotonic()
    say("only the tests that pytest is asked for: no lint, no types, no build, no coverage, no benchmarks")
    found = pythons()
    steps: list[Step] = []
    for minor, python in found.items():
        inside = for_tests(minor, python)
        # The sources as they stand, whatever was installed for the tests before.
        step = suite(f"3.{minor} tests", minor, inside, "-m", "pytest", *words, sources=str(ROOT / "src"))
        step.run(shown=True)
        steps.append(step)
    if any(step.status == 0 for step in steps):
        steps = [step for step in steps if step.status != NO_TESTS]  # not for every Python is there each test
    finish(steps, [], f"what was asked for passed on Python {listed(found)} in {time.monotonic() - start:.0f} s")


def all_tests() -> None:
    start = time.monotonic()
    found = pythons()
    for old in ROOT.glob(".coverage*"):
        old.unlink()
    os.environ["COVERAGE_FILE"] = str(ROOT / ".coverage")  # by which the tests know that what they start is measured
    steps: list[Step] = []
    broken: list[str] = []
    # What takes longest first: the newest is measured, and the oldest compares with 0.2.3.
    order = sorted(found, key=lambda minor: (minor != max(found), minor != min(found), -minor))
    processors = os.cpu_count() or 1

    with threads(processors) as making, threads(processors + 1) as pool:  # a suite waits a part of its time

        def begin(*more: Step) -> list[Future[None]]:
            steps.extend(more)
            return [pool.submit(step.run) for step in more]

        testing = {minor: making.submit(for_tests, minor, found[minor]) for minor in order}
        documenting = making.submit(site, found)
        dev = for_development(found)
        path = f"{dev.parent}{os.pathsep}{os.environ['PATH']}"
        try:
            wheel = built(dev)
            installing = making.submit(environment, "wheel", found[max(found)], str(wheel))
            tested: list[Future[None]] = []
            for minor, made in testing.items():
                inside = made.result()
                run(inside, *PIP, "--force-reinstall", wheel)  # that is what is tested: the sources are on no path
                tested += begin(*tests_of(minor, inside, of=found))
                if minor == order[0]:
                    begin(*checks(dev), Step("release", dev, ".ci/check_release.py", ENVS / "dist"))
            begin(documenting.result())
            if (ROOT / ".git").exists():  # late, as its mypy reads what the one above has written down
                begin(Step("pre-commit", dev, "-m", "pre_commit", "run", "--all-files", PATH=path))
            # From elsewhere: inside of the checkout, pyright would look at the checkout.
            begin(Step("types of the wheel", dev, "-m", "pyright", "--verifytypes", "mockselector", "--ignoreexternal",
                       PATH=f"{installing.result().parent}{os.pathsep}{path}", cwd=ENVS))  # fmt: skip
            for one in tested:
                one.result()
            combined = Step("coverage", dev, "-m", "coverage", "combine", "--quiet")
            begin(combined)[0].result()
            begin(Step("coverage report", dev, "-m", "coverage", "report"))
        except FailedError as error:
            broken.append(str(error))
    missing = without_browser(dev)
    if missing:
        say(missing)
    finish(steps, broken, f"all passed on Python {listed(found)} in {time.monotonic() - start:.0f} s")


@contextmanager
def threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """For the time of a block; at its end all that was submitted is waited for, but of an error, what has begun."""
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def without_browser(dev: Path) -> str:
    """What is not tested, as there is no browser; "": there is one."""
    program = "import browser; print('' if browser.PROGRAM else browser.MISSING)"
    done = subprocess.run([dev, "-c", program], cwd=ROOT / "tests", capture_output=True, text=True, check=False)
    return done.stdout.strip() or (done.stderr and "the page of a timeline is not tried in a browser on this system")


def built(dev: Path) -> Path:
    """The wheel."""
    shutil.rmtree(ENVS / "dist", ignore_errors=True)
    shutil.rmtree(ENVS / "wheel", ignore_errors=True)
    run(dev, "-m", "build", "--quiet", "--outdir", ENVS / "dist")
    return next((ENVS / "dist").glob("*.whl"))


def checks(dev: Path) -> list[Step]:
    """What looks at the sources without running them."""
    return [*lint(dev), Step("pyright", dev, "-m", "pyright", "--pythonpath", dev)]


def lint(dev: Path) -> list[Step]:
    """What of that takes seconds."""
    return [
        Step("ruff check", dev, "-m", "ruff", "check"),
        Step("ruff format", dev, "-m", "ruff", "format", "--check"),
        Step("mypy", dev, "-m", "mypy"),
    ]


def tests_of(minor: int, inside: Path, *, of: Iterable[int]) -> list[Step]:
    """The suites and the examples, on one Python of several.

    The newest measures what the tests cover, in two suites at a time, as that takes longest.
    """
    tests, share = ("-m", "pytest", "-q", "--deselect", DIFFERENTIAL), share_of(minor, of)
    if minor == max(of):
        measured = ("-m", "coverage", "run", "--parallel-mode", *tests)
        steps = [suite(f"3.{minor} tests", minor, inside, *measured, "-m", "not shared"),
                 suite(f"3.{minor} shared tests", minor, inside, *measured, "-m", "shared", share=share)]  # fmt: skip
    else:
        steps = [suite(f"3.{minor} tests", minor, inside, *tests, share=share)]
    if minor == OLDEST:
        steps.append(suite(f"3.{minor} tests against 0.2.3", minor, inside, "-m", "pytest", "-q", DIFFERENTIAL))
    if minor == min(of):
        steps.append(Step("benchmarks", inside, "benchmarks", "--quick"))
    return [*steps, Step(f"3.{minor} examples", inside, "examples")]


def share_of(minor: int, of: Iterable[int]) -> str:
    """Which share of the tests marked `shared` a Python plays, of how many: "1/4"."""
    every = sorted(of)
    return f"{every.index(minor) + 1}/{len(every)}"


def suite(name: str, minor: int, inside: Path, *command: str, sources: str = "", share: str = "1/1") -> Step:
    """A run of pytest; sources: what is tested instead of what is installed; share: of the tests marked `shared`."""
    share = os.environ.get("MOCKSELECTOR_SHARE", share)
    return Step(name, inside, *command, "-p", "pytest_progress", python=f"3.{minor}",
                PYTHONPATH=sources, MOCKSELECTOR_SHARE=share)  # fmt: skip


def for_tests(minor: int, python: str) -> Path:
    """The environment of the tests on one Python."""
    inside = environment(f"test-3.{minor}", python, "--group", "test", "--editable", ".")
    if minor == OLDEST:
        add_peer(inside, ENVS / f"test-3.{minor}")
    return inside


def for_development(found: dict[int, str]) -> Path:
    """The environment of all that is done with the sources, on the newest Python."""
    return environment("dev", found[max(found)], "--group", "dev", "--editable", ".")


def listed(found: dict[int, str]) -> str:
    return ", ".join(f"3.{minor}" for minor in found)


def finish(steps: list[Step], broken: list[str], passed: str) -> None:
    """Say what came of each step, and last which tests have failed; leave with what came of all."""
    failed = [step for step in steps if step.status != 0]
    for step in steps:
        if step.python and step.log.exists():
            say(f"{step.name}: {step.result}")
    for step in failed:
        say(f"failed, exit status {step.status}: {step.name}")
    for text in broken:
        say(f"failed, and what needs it was not done: {text}")
    tests: dict[str, list[str]] = {}
    for step in failed:
        for name in step.failing():
            tests.setdefault(name, []).append(step.python)
    for name, on in sorted(tests.items()):
        say(f"failed on Python {', '.join(on)}: {name}")
    if failed or broken:
        sys.exit(f"== {len(failed) + len(broken)} of {len(steps) + len(broken)} steps failed")
    say(passed)


COMMANDS = {
    "examples": examples, "quick": quick, "test": test, "fix": fix, "docs": docs, "bench": bench, "gallery": gallery,
}  # fmt: skip


def main() -> None:
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        return
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    if sys.version_info < (3, OLDEST):
        sys.exit(f"== this needs Python 3.{OLDEST} or later; {sys.executable} is {sys.version.split()[0]}")
    try:
        COMMANDS[sys.argv[1]]()
    except FailedError as error:
        sys.exit(f"== failed: {error}")


if __name__ == "__main__":
    main()

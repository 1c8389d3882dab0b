"""Everything that is done with a checkout, on any machine with git and Python 3.10 or later.

    python3 .ci/dev.py examples     run the example servers under strict mode
    python3 .ci/dev.py test         lint, type-check, test on every Python found, build, documentation
    python3 .ci/dev.py bench        print the benchmarks (with more arguments: hand them on)

Makes its own environments in `.envs`, and installs nothing anywhere else.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVS = ROOT / ".envs"
OLDEST, NEWEST = 10, 14
PEER = "mockselector==0.2.3"
DIFFERENTIAL = "tests/test_differential.py"


def say(text: str) -> None:
    print(f"== {text}", flush=True)


def run(*command: str | Path, cwd: Path = ROOT, quietly: bool = False, **variables: str) -> None:
    """Run a command; stop everything if it fails. quietly: show what it prints when it is done."""
    start = time.monotonic()
    shown = " ".join(str(word).replace(f"{ROOT}{os.sep}", "") for word in command)
    if not quietly:
        say(shown)
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env={**os.environ, **variables}, check=False, text=True,
        stdout=subprocess.PIPE if quietly else None, stderr=subprocess.STDOUT if quietly else None,
    )  # fmt: skip
    if quietly:
        say(f"{shown}\n{done.stdout}")
    if done.returncode:
        sys.exit(f"== failed, exit status {done.returncode}: {shown}")
    say(f"done in {time.monotonic() - start:.1f} s")


# -- Pythons and environments ---------------------------------------------------------------------


def minor_of(command: list[str], **variables: str) -> tuple[int, str] | None:
    """The minor version and path of an interpreter that can make environments."""
    program = "import sys, ensurepip, venv; print(sys.version_info[0], sys.version_info[1], sys.executable)"
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
    pip = (inside, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--upgrade", "pip>=25.1")
    run(*pip, *arguments)
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
    run(environment("examples", sys.executable, "--editable", "."), "examples", *sys.argv[2:])


def bench() -> None:
    found = pythons()
    minor = OLDEST if OLDEST in found else max(found)
    python = environment(f"bench-3.{minor}", found[minor], "--editable", ".")
    if minor == OLDEST:
        add_peer(python, ENVS / f"bench-3.{minor}")
    run(python, "benchmarks", *sys.argv[2:])


def test() -> None:
    start = time.monotonic()
    found = pythons()
    dev = environment("dev", found[max(found)], "--group", "dev", "--editable", ".")
    tools = dev.parent
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"

    run(dev, "-m", "ruff", "check")
    run(dev, "-m", "ruff", "format", "--check")
    run(dev, "-m", "mypy")
    run(dev, "-m", "pyright", "--pythonpath", dev)
    if (ROOT / ".git").exists():
        run(dev, "-m", "pre_commit", "run", "--all-files", PATH=path)

    shutil.rmtree(ENVS / "dist", ignore_errors=True)
    run(dev, "-m", "build", "--quiet", "--outdir", ENVS / "dist")
    (wheel,) = (ENVS / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as contents:
        if "mockselector/py.typed" not in contents.namelist():
            sys.exit("== the wheel has no py.typed")
    shutil.rmtree(ENVS / "wheel", ignore_errors=True)
    installed = environment("wheel", found[max(found)], str(wheel))
    # From elsewhere: inside of the checkout, pyright would look at the checkout.
    run(dev, "-m", "pyright", "--verifytypes", "mockselector", "--ignoreexternal",
        PATH=f"{installed.parent}{os.pathsep}{path}", cwd=ENVS)  # fmt: skip

    for old in ROOT.glob(".coverage*"):
        old.unlink()
    for minor, python in found.items():
        inside = environment(f"test-3.{minor}", python, "--group", "test")
        run(inside, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--force-reinstall", wheel)
        if minor == OLDEST:
            add_peer(inside, ENVS / f"test-3.{minor}")
    in_each = {minor: ENVS / f"test-3.{minor}" / dev.relative_to(ENVS / "dev") for minor in found}
    # The wheel is what is tested: the sources are on no path.
    jobs: list[tuple[str | Path, ...]] = [
        (inside, "-m", "coverage", "run", "--parallel-mode", "-m", "pytest", "-q", "--deselect", DIFFERENTIAL)
        for inside in in_each.values()
    ]
    if OLDEST in found:
        jobs.append((in_each[OLDEST], "-m", "pytest", "-q", DIFFERENTIAL))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda job: run(*job, quietly=True), jobs))
    for inside in in_each.values():
        run(inside, "examples")
    run(dev, "-m", "coverage", "combine", "--quiet")
    run(dev, "-m", "coverage", "report")
    run(in_each[min(found)], "benchmarks", "--quick")
    say(f"all passed on Python {', '.join(f'3.{minor}' for minor in found)} in {time.monotonic() - start:.0f} s")


def main() -> None:
    commands = {"examples": examples, "test": test, "bench": bench}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    if sys.version_info < (3, OLDEST):
        sys.exit(f"== this needs Python 3.{OLDEST} or later; {sys.executable} is {sys.version.split()[0]}")
    commands[sys.argv[1]]()


if __name__ == "__main__":
    main()

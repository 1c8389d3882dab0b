"""Checks what is about to be published, by a Python that has `build` and `twine`: `python .ci/check_release.py dist`.

The folder holds one sdist and one wheel. Their metadata is what an index takes; the sdist holds all that is in the
repository, and builds, unpacked elsewhere, the same wheel; installed from it, beside pytest alone, a part of the tests
passes that it brings along, with the sources removed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("benchmarks", "docs", "examples", "src", "stubs", "tests")
FILES = ("AUTHORS.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE.txt", "PKG-INFO", "README.md", "pyproject.toml")
TESTS = ("cases", "examples", "layout", "rules", "scenario_runs", "scenario_script", "strict")
"""Those that need no other package; together they take seconds. (The wheel is tested by all of them.)"""


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command; end with what it has printed where it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{done.stdout}\nexit status {done.returncode}: {' '.join(words)}")


def only(folder: Path, pattern: str) -> Path:
    """The one file of that name."""
    found = [*folder.glob(pattern)]
    if len(found) != 1:
        sys.exit(f"{folder} should hold one {pattern}, and has {len(found)}")
    return found[0]


def unpacked(sdist: Path, into: Path) -> Path:
    """The folder of an sdist, without its name: nothing may hang on that."""
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(into, filter="data")
        else:  # Python 3.10.11 and older
            archive.extractall(into)
    return only(into, "mockselector-*").rename(into / "elsewhere")


def is_whole(folder: Path) -> None:
    """An sdist has all that is in the repository."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    missing += [f"{name}/" for name in FOLDERS if not any((folder / name).rglob("*.py*"))]
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        there = [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
        missing += [name for name in there if not (folder / name).exists()]
    if missing:
        sys.exit(f"the sdist lacks {', '.join(missing)}")


def contents(wheel: Path) -> dict[str, bytes]:
    """What is in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def same(wheel: Path, built: Path) -> None:
    """Two wheels are the same, file by file."""
    one, other = contents(wheel), contents(built)
    differ = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    if wheel.name != built.name or differ:
        sys.exit(f"{wheel.name} and {built.name}, built from the sdist, differ: {', '.join(differ)}")
    if "mockselector/py.typed" not in one:
        sys.exit("the wheel has no py.typed")
    elsewhere = sorted(
        name for name in one if not name.startswith(("mockselector/", f"mockselector-{version(wheel)}."))
    )
    if elsewhere:
        sys.exit(f"the wheel has what is not the package's: {', '.join(elsewhere)}")


def version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def passes(sdist: Path, folder: Path, scratch: Path) -> None:
    """Installed from the sdist, in an environment of its own, tests of it pass without its sources."""
    shutil.rmtree(folder / "src")
    venv.create(scratch / "env", with_pip=True)
    python = scratch / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", sdist, "pytest>=8")
    tests = [f"tests/test_{name}.py" for name in TESTS]
    run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not collects", *tests, cwd=folder)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    dist = Path(sys.argv[1]).resolve()
    sdist, wheel = only(dist, "*.tar.gz"), only(dist, "*.whl")
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = unpacked(sdist, scratch)
        is_whole(folder)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", scratch / "dist", folder)
        same(wheel, only(scratch / "dist", "*.whl"))
        passes(sdist, folder, scratch)
    print(f"{version(wheel)}: its sdist and its wheel could be published")


if __name__ == "__main__":
    main()

"""Shows true defects of released packages: `python3 .ci/dev.py gallery [NAME ...]`.

Each program of `examples/gallery` is run beside the very version that it is about, in an environment of its own, and
must find what its head says; beside the version that has mended it, it must be silent.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # `python .ci/gallery.py` puts only this directory there

import dev
from examples.entries import entries, unsaid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from examples.entries import Entry


class Run(NamedTuple):
    """A program of the gallery beside some packages."""

    entry: Entry
    kind: str
    """ "": it finds something; "mended": beside these packages, "silent": on these Pythons, it must not."""
    packages: tuple[str, ...]
    minors: tuple[int, ...]

    def passes(self, python: str, *, in_full: bool) -> bool:
        """Whether what comes of it, on this Python, is what the gallery says; tell of it."""
        name = "-".join(filter(None, ["gallery", self.entry.name, self.kind]))
        inside = dev.environment(name, python, "--editable", ".", *self.packages)
        done = subprocess.run(
            [inside, f"examples/gallery/{self.entry.name}.py"],
            cwd=dev.ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if self.kind:
            wrong = f"it should be silent, and ends with {done.returncode}" if done.returncode else ""
        else:
            missing = unsaid(self.entry, done.stderr)
            wrong = f"it does not say {missing.strip()!r}" if missing else ""
        error = done.stderr.rpartition("mockselector.ScenarioError: ")[2]
        found = "silent" if self.kind else error.rstrip() if in_full else error.partition("\n")[0]
        dev.say(f"{self.entry.name}, {' '.join(self.packages) or Path(python).name}: {wrong or found}")
        if wrong:
            print(done.stdout, done.stderr)
        return not wrong


def runs(entry: Entry) -> Iterator[Run]:
    """What is to be run of it."""
    yield Run(entry, "", entry.package, entry.python)
    if entry.mended:
        yield Run(entry, "mended", entry.mended, entry.python)
    if entry.silent:
        yield Run(entry, "silent", entry.package, entry.silent)


def chosen(words: list[str]) -> list[Entry]:
    """Those with these names, or all."""
    known = {entry.name: entry for entry in entries()}
    for word in words:
        if word not in known:
            sys.exit(f"== there is no {word} in the gallery, but {', '.join(known)}")
    return [known[word] for word in words] or [*known.values()]


def main() -> None:
    wanted = chosen(sys.argv[1:])
    found = dev.pythons()
    passed = failed = 0
    for run in [run for entry in wanted for run in runs(entry)]:
        here = [minor for minor in run.minors if minor in found]
        if not here:
            needed = " or ".join(f"3.{minor}" for minor in run.minors)
            dev.say(f"{run.entry.name}: not tried, as it needs Python {needed}")
        elif run.passes(found[here[-1]], in_full=bool(sys.argv[1:])):
            passed += 1
        else:
            failed += 1
    dev.say(f"{passed} runs of the gallery came out as it says, {failed} did not")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()

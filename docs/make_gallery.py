"""Makes docs/gallery.md, true defects that scenarios show, from the gallery: `python docs/make_gallery.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # `python docs/make_gallery.py` puts only this directory there

from examples.entries import Entry, entries

INTRODUCTION = """# A gallery of findings

True defects of released packages, each shown by a scenario of fewer than 25 lines, with where the public talks of it.
Most were met in production first, and some of the reports say how hard they were to bring about: here each comes
in the first run, and in every run.

    python3 .ci/dev.py gallery                  # all of them
    python3 .ci/dev.py gallery uvicorn_2243     # one, with its whole error

From a checkout, this makes an environment for each in `.envs`, with that very version of the package, runs the program,
and sees whether the finding comes; where a release has mended it, whether that is silent. The programs are in
`examples/gallery`. Of what a finding says, some lines are shown here, with `...` for what is left out.

None of this is the simulation's doing: with `Scenario(network="loopback")` the same peers play over real sockets, and
most of these defects are found there, too. (For the upload that is reset, it must be larger than the kernel's buffers.)

| what | rule | mended in |
|---|---|---|
"""


def gallery() -> str:
    """The page as Markdown."""
    text = INTRODUCTION
    for entry in entries():
        text += f"| [{entry.title}](#{entry.name}) | [`{entry.rule}`](rules/{entry.rule}.md) | {mended_in(entry)} |\n"
    for entry in entries():
        text += f"\n## {entry.name}\n\n**{entry.title}**\n\n{entry.text}\n\n"
        text += f"See <{entry.address}>; {versions(entry)}.\n"
        text += "\n```python not run: it needs the package that it is about\n"
        text += f"# examples/gallery/{entry.name}.py\n{entry.code}\n```\n"
        text += "\n```text\n" + "\n".join(entry.finding) + "\n```\n"
    return text


def mended_in(entry: Entry) -> str:
    """The release that has mended it; "": none that is known to us."""
    return entry.mended[0].partition("==")[2] if entry.mended else ""


def versions(entry: Entry) -> str:
    """With what it is shown, and with what not."""
    text = f"shown with {listed(entry.package)} on Python " if entry.package else "shown on Python "
    text += listed(tuple(f"3.{minor}" for minor in entry.python))
    if entry.mended:
        text += f", silent with {entry.mended[0]}"
    if entry.silent:
        text += ", silent on " + listed(tuple(f"3.{minor}" for minor in entry.silent))
    return text


def listed(words: tuple[str, ...]) -> str:
    """Words in a sentence."""
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last


if __name__ == "__main__":
    (Path(__file__).parent / "gallery.md").write_text(gallery(), encoding="utf-8")

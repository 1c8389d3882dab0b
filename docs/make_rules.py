"""Makes docs/rules.md, the rule catalogue, from the table: `python docs/make_rules.py`."""

from __future__ import annotations

from errno import errorcode
from pathlib import Path

from mockselector._rules import LIFE, MEMBERSHIP, PHASES, RULES, Breach, NotSimulated

INTRODUCTION = """# The rules of strict mode

This page is made from the table that strict mode itself reads (`python docs/make_rules.py`).

A *default* rule is judged whenever a selector is strict; a *pedantic* one only with
`MockSelector(..., strict=True, pedantic=True)`. Any rule can be allowed, for a whole run or for one socket:

```python
from mockselector import MockSelector, MockSocket

handed_to_a_thread = MockSocket([b"hi"], allow={"accepted-not-registered"})
selector = MockSelector([], strict=True, allow={"unread-data"})
```

What production would raise is raised as it is (`BlockingIOError`, `ConnectionResetError`, `KeyError` ...), and a
server may catch it. A rule is for what production would let pass in silence. "Goes to sleep" means a `select()`
that may wait: a loop that polls with `select(0)` still has work to do.

| rule | level | broken when |
|---|---|---|
"""

FIELDS = {
    "socket": "a socket", "mask": "an event", "interest": "another event", "missing": "it", "left": "something",
    "taken": "some", "given": "all", "moment": "",
    "what": "select() returned an event and the server did nothing about it, or it tried again and again in vain",
}  # fmt: skip


def rules() -> str:
    """The catalogue as Markdown."""
    text = INTRODUCTION
    for name, rule in RULES.items():
        text += f"| [`{name}`](#{name}) | {rule.level} | {rule.says.format_map(FIELDS)} |\n"
    for name, rule in RULES.items():
        mend = rule.mend.format_map(FIELDS)
        text += f"\n## {name}\n\n{rule.says.format_map(FIELDS)}.\n\n"
        text += f"*In production* {rule.suffers.format_map(FIELDS)}\n\n*To mend it:* {mend}\n"
    return text + tables()


def tables() -> str:
    """The two tables as Markdown."""
    text = "\n# What each call comes to\n\n## A socket's life\n\n"
    text += "Empty: the call goes through. *A phase*: it goes through and leads there. **A rule**: it breaks it.\n\n"
    text += "| call | " + " | ".join(PHASES) + " |\n|---|" + "---|" * len(PHASES) + "\n"
    for operation in LIFE["new"]:
        cells = [cell_text(LIFE[phase][operation]) for phase in PHASES]
        text += f"| `{operation}` | " + " | ".join(cells) + " |\n"
    text += "\n## A number and a selector\n\n| call | " + " | ".join(MEMBERSHIP) + " |\n|---|---|---|---|\n"
    for registration in MEMBERSHIP["absent"]:
        cells = [cell_text(MEMBERSHIP[state][registration]) for state in MEMBERSHIP]
        text += f"| `{registration}` | " + " | ".join(cells) + " |\n"
    return text


def cell_text(cell: object) -> str:
    """A cell of either table as Markdown."""
    match cell:
        case None:
            return ""
        case Breach():
            return f"**{cell.rule}**"
        case NotSimulated():
            return "not simulated"
        case int():
            return errorcode[cell]
        case type():
            return cell.__name__
        case _:
            return f"*{cell}*"


if __name__ == "__main__":
    (Path(__file__).parent / "rules.md").write_text(rules())

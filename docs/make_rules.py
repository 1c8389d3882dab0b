"""Makes docs/rules.md, the rule catalogue, from the table: `python docs/make_rules.py`."""

from __future__ import annotations

from errno import errorcode
from pathlib import Path

from mockselector._judge.errors import USUAL
from mockselector._judge.rules import LIFE, MEMBERSHIP, PHASES, RULES, Breach, NotSimulated, Rule

INTRODUCTION = """# The rules

A *default* rule is judged in every scenario, and by every `MockSelector` that is strict; a *pedantic* one only with
`pedantic=True`. Any rule can be allowed, for a whole run, or for one peer or socket:

```python
from mockselector import MockSelector, MockSocket, Scenario

with Scenario(allow={"unmet-expectation"}) as net:
    put_into_a_queue = net.client("alice", allow={"accepted-not-registered"})

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
    **USUAL,
    "socket": "the socket",
    "missing": "it",
    "announce": " (in an event list: or add the READ events that announce it)",
    "accept": "find why it does not (in an event list: add a READ event for the listener)",
    "advice": "see what the peer waits for, and what the server does: the error shows both.",
    "hangs": "the peer hangs until it gives up, and the server does not know.",
    "address": "address",
    "deal": "loop.set_exception_handler(), or a handle_error() of the server's own; of a task, await it.",
}
"""What stands in the catalogue where an error has a name."""


def rules() -> str:
    """The catalogue as Markdown."""
    text = INTRODUCTION
    for name, rule in RULES.items():
        text += f"| [`{name}`](#{name}) | {rule.level} | {meaning(rule)} |\n"
    for name, rule in RULES.items():
        suffers = rule.suffers.format_map(FIELDS)
        text += f"\n## {name}\n\n{meaning(rule)}\n\n"
        text += f"*In production* {suffers}\n\n*To mend it:* {rule.mend.format_map(FIELDS)}\n"
    return text + tables()


def meaning(rule: Rule) -> str:
    """What a rule means, and where it is judged."""
    return rule.means + " (Scenarios only.)" * rule.only_in_scenarios


def tables() -> str:
    """The two tables as Markdown."""
    text = "\n# What each call comes to\n\nThe tables that strict mode itself reads. This page is made from them.\n\n"
    text += (
        "## A socket's life\n\nA column is a phase of a socket: `eof`, its end was read; `shut`, the server has shut\n"
    )
    text += "down writing; `broken`, a send has failed; `reset`, the peer is gone. A row is a call, and behind the\n"
    text += "colon what it finds there: nothing, and the socket does not wait (`again`), waits a while (`timeout`) or\n"
    text += "for ever (`blocks`).\n"
    text += "`option` stands for all calls that only need an open descriptor.\n\n"
    text += "Empty: the call goes through. *A phase*: it goes through and leads there. **A rule**: it breaks it.\n\n"
    text += "| call | " + " | ".join(PHASES) + " |\n|---|" + "---|" * len(PHASES) + "\n"
    for operation in LIFE["new"]:
        cells = [cell_text(LIFE[phase][operation]) for phase in PHASES]
        text += f"| `{operation}` | " + " | ".join(cells) + " |\n"
    text += "\n## A descriptor number and a selector\n\n`absent`: not registered. `closed`: the selector itself is.\n"
    text += (
        "`deliver`: the script has an event for it. `modify:same`: nothing changes.\n\n| call | "
        + " | ".join(MEMBERSHIP)
        + " |\n|---|---|---|---|\n"
    )
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

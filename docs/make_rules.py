"""Makes docs/rules.md, the rule catalogue, and a page per rule in docs/rules: `python docs/make_rules.py`.

All is made from the tables. A rule's page shows a server that breaks it, with the whole error, and its correct twin:
the cases that tests/test_rules.py plays.
"""

from __future__ import annotations

import sys
import textwrap
from errno import errorcode
from pathlib import Path
from typing import TYPE_CHECKING

from mockselector._judge.catalogue import mending, suffering
from mockselector._judge.rules import LIFE, MEMBERSHIP, PHASES, RULES, Breach, NotSimulated, Rule

if TYPE_CHECKING:
    from mockselector import RuleId

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
sys.path.append(str(TESTS))

from rule_cases import CASES, Case  # noqa: E402
from scenario_cases import SCENARIO_CASES  # noqa: E402

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


CASE_OF: dict[str, Case] = {case.rule: case for case in (*CASES, *SCENARIO_CASES)}
"""What shows a rule: in a scenario where one can."""


def pages() -> dict[Path, str]:
    """Each file of the catalogue, and what stands in it."""
    return {HERE / "rules.md": rules(), **{HERE / "rules" / f"{name}.md": page(name) for name in RULES}}


def rules() -> str:
    """The list of all, and the two tables."""
    text = INTRODUCTION
    for name, rule in RULES.items():
        text += f"| [`{name}`](rules/{name}.md) | {rule.level} | {first_sentence(rule)} |\n"
    return text + "\n```{toctree}\n:glob:\n:hidden:\n\nrules/*\n```\n" + tables()


def page(name: RuleId) -> str:
    """What there is to say of one rule."""
    rule = RULES[name]
    case = CASE_OF[name]
    in_scenario = case in SCENARIO_CASES
    golden = (TESTS / "golden" / f"{'scenario-' * in_scenario}{name}.txt").read_text().strip()
    where = "Judged in scenarios only." if rule.only_in_scenarios else ON_LISTS[in_scenario]
    for_twin = f"\nWith it:\n\n{fenced(case.twin_script)}\n" if case.twin_script else ""
    return f"""# {name}

{rule.means}

*In production* {suffering(name)}

*To mend it:* {mending(name)}

{LEVELS[rule.level]} {where} On purpose? `allow={{"{name}"}}`, for [a run or one peer](../rules.md).

## A server that breaks it

{fenced(case.server)}

{"A scenario" if in_scenario else "An event list"} that shows it:

{fenced(case.script)}

What then comes:

```text
{golden}
```

## Its correct twin

{fenced(case.twin)}
{for_twin}"""


LEVELS = {
    "default": "A *default* rule: always judged where anything is.",
    "pedantic": "A *pedantic* rule: judged with `pedantic=True`.",
}

ON_LISTS = {True: "Judged in scenarios and in strict event lists.", False: "Judged in strict event lists."}


def fenced(source: str) -> str:
    """Python as a block of Markdown."""
    lines = [line for line in textwrap.dedent(source).strip().splitlines() if line != "pass"]
    return "\n".join(["```python", *lines, "```"])


def first_sentence(rule: Rule) -> str:
    """What a rule means, and where it is judged."""
    return rule.means.partition(". ")[0].rstrip(".") + "." + " (Scenarios only.)" * rule.only_in_scenarios


def tables() -> str:
    """The two tables as Markdown."""
    text = BEFORE_LIFE
    text += "| call | " + " | ".join(PHASES) + " |\n|---|" + "---|" * len(PHASES) + "\n"
    for operation in LIFE["new"]:
        cells = [cell_text(LIFE[phase][operation]) for phase in PHASES]
        text += f"| `{operation}` | " + " | ".join(cells) + " |\n"
    text += BEFORE_MEMBERSHIP + "| call | " + " | ".join(MEMBERSHIP) + " |\n|---|---|---|---|\n"
    for registration in MEMBERSHIP["absent"]:
        cells = [cell_text(MEMBERSHIP[state][registration]) for state in MEMBERSHIP]
        text += f"| `{registration}` | " + " | ".join(cells) + " |\n"
    return text


BEFORE_LIFE = """
## What each call comes to

The tables that strict mode itself reads. This page is made from them.

### A socket's life

{{ life }}

A column is a phase of a socket: `eof`, its end was read; `shut`, the server has shut down writing; `broken`, a send has
failed; `reset`, the peer is gone. A row is a call, and behind the colon what it finds there: nothing, and the socket
does not wait (`again`), waits a while (`timeout`) or for ever (`blocks`). `option` stands for all calls that only need
an open descriptor.

Empty: the call goes through. *A phase*: it goes through and leads there. **A rule**: it breaks it.

"""

BEFORE_MEMBERSHIP = """
### A descriptor number and a selector

{{ membership }}

`absent`: not registered. `closed`: the selector itself is. `deliver`: the script has an event for it. `modify:same`:
nothing changes.

"""


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
    (HERE / "rules").mkdir(exist_ok=True)
    for old in (HERE / "rules").glob("*.md"):
        old.unlink()
    for path, text in pages().items():
        path.write_text(text)

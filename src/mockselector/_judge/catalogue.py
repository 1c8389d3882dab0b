"""A rule as it is told where nothing has broken it: on its page in the documentation, and by the command.

Owns what stands in the texts of the table where an error has a name, and which rules a misspelt id may have meant.
"""

from __future__ import annotations

import re

from .errors import USUAL
from .rules import RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .rules import RuleId

FIELDS: Final = {
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
"""What stands in a text where an error has a name."""


def meaning(rule: RuleId) -> str:
    """When it is broken, and where it is judged."""
    return RULES[rule].means + " (Scenarios only.)" * RULES[rule].only_in_scenarios


def suffering(rule: RuleId) -> str:
    """What production suffers, as the rest of a sentence."""
    return RULES[rule].suffers.format_map(FIELDS)


def mending(rule: RuleId) -> str:
    """What to do about it."""
    return RULES[rule].mend.format_map(FIELDS)


def in_short(rule: RuleId) -> str:
    """When it is broken, in one line."""
    return re.split(r"[.;:] ", RULES[rule].means)[0].rstrip(".")


def page(rule: RuleId) -> str:
    """Where it is told at length, with a server that breaks it and one that does not."""
    from importlib.metadata import PackageNotFoundError, metadata  # here: reading that takes a while

    file = f"docs/rules/{rule}.md"
    try:
        told = metadata("mockselector").get_all("Project-URL") or []
    except PackageNotFoundError:  # run from a checkout that is not installed
        told = []
    home = next((one.partition(", ")[2] for one in told if one.startswith("Homepage, ")), "")
    return f"{home}/blob/HEAD/{file}" if home else file


def nearest(name: str) -> list[str]:
    """The ids that somebody may have meant, the likeliest first."""
    from difflib import get_close_matches  # here: only a mistake needs it

    parts = {part for part in name.lower().replace("_", "-").split("-") if len(part) > 2}
    close = get_close_matches(name, RULES, n=3, cutoff=0.5)
    return [*close, *(rule for rule in RULES if rule not in close and parts & {*rule.split("-")})][:5]

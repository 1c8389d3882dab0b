"""What may be said of a test's scenario in pytest: by the marker `mockselector`, and by default in an ini file.

Owns the names of these, what each takes, and what a wrong one is told.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

MARKER: Final = "mockselector"
MODES: Final = ("strict", "observe")
STRICT, OBSERVE = MODES

OPTIONS: Final = ("allow", "pedantic", "patience", "grace", "buffer", "date", "network", "watchdog")
"""Of `Scenario`, by their names there."""

FOLDERS: Final = pytest.StashKey["dict[Path, str]"]()
"""Of a session: what `folders()` has read, for each of its tests."""

HELP: Final = {
    "allow": "ids of rules that are not judged, separated by blanks",
    "pedantic": "judge the pedantic rules too (true or false)",
    "patience": "seconds of virtual time after which a peer that waits in vain is `stuck`",
    "grace": "seconds of virtual time for which a run goes on after the last step",
    "buffer": "bytes that fit into a connection in each direction",
    "watchdog": "seconds of real time after which a turn of the program is a `busy-loop`; none: it may take for ever",
}
"""Those that an ini file may give, as `mockselector_allow` and so on, and what is said of each."""


def add_ini(parser: pytest.Parser) -> None:
    """Let an ini file have them."""
    for name, text in HELP.items():
        kind: Any = {"allow": "args", "pedantic": "bool"}.get(name, "string")
        parser.addini(f"{MARKER}_{name}", text, type=kind, default=None)


def scenario_options(item: pytest.Item) -> dict[str, Any]:
    """What a test says of its scenario: the marker that is nearest to it first, then the ini file."""
    found = _by_default(item.config)
    for mark in reversed([*item.iter_markers(MARKER)]):
        found.update({name: value for name, value in mark.kwargs.items() if name != "simulate"})
    return found


def _by_default(config: pytest.Config) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in HELP:
        value: Any = config.getini(f"{MARKER}_{name}")
        if value in (None, "", []) or (name == "pedantic" and not value):
            continue
        found[name] = value if name in ("allow", "pedantic") else _number(name, str(value))
    return found


def _number(name: str, text: str) -> float | None:
    if name == "watchdog" and text.lower() == "none":
        return None
    try:
        return int(text) if name == "buffer" else float(text)
    except ValueError:
        kind = "a whole number" if name == "buffer" else "a number"
        raise pytest.UsageError(f"{MARKER}_{name} in the ini file takes {kind}; got {text!r}") from None


def check(item: pytest.Item) -> None:
    """Raise UsageError for a marker that says something else than it can."""
    for mark in item.iter_markers(MARKER):
        given = f"{item.nodeid}: @pytest.mark.{MARKER}()"
        if mark.args:
            raise pytest.UsageError(
                f"{given} takes its options by name, as in allow={{'unread-data'}}; got {mark.args}"
            )
        for name in mark.kwargs:
            if name not in (*OPTIONS, "simulate"):
                known = ", ".join((*OPTIONS, "simulate"))
                raise pytest.UsageError(f"{given} has no option {name!r}; it takes {known}")
        _mode(mark.kwargs.get("simulate", True), f"{given} takes simulate=")
    from .._scenario import Scenario  # here: only where a test has anything to do with one

    try:
        Scenario(**scenario_options(item))
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{item.nodeid}: its scenario cannot be made: {error}") from None


def _mode(value: object, what: str) -> str:
    """Which of `MODES` is meant, "": none."""
    if isinstance(value, bool):
        return STRICT if value else ""
    if value in MODES:
        return str(value)
    raise pytest.UsageError(f"{what}True, False or 'observe'; got {value!r}")


def mode_of(item: pytest.Item) -> str:
    """How a test is simulated: one of `MODES`; "": it is not."""
    for mark in item.iter_markers(MARKER):
        if "simulate" in mark.kwargs:
            return _mode(mark.kwargs["simulate"], "simulate=")
    by_command: str | None = item.config.getoption("mockselector_simulate")
    if by_command is not None:
        return by_command
    if FOLDERS not in item.config.stash:
        item.config.stash[FOLDERS] = folders(item.config)
    nearest, mode = -1, ""
    for folder, how in item.config.stash[FOLDERS].items():
        if (folder == item.path or folder in item.path.parents) and len(folder.parts) > nearest:
            nearest, mode = len(folder.parts), how
    return mode


def folders(config: pytest.Config) -> dict[Path, str]:
    """The folders and files in which tests are simulated, as the ini file says, and how."""
    lines: list[str] = config.getini(f"{MARKER}_simulate")
    found: dict[Path, str] = {}
    for line in lines:
        where, _, how = (part.strip() for part in line.partition(":"))
        if where in ("true", "false", *MODES) and not how:
            where, how = ".", {"true": STRICT, "false": ""}.get(where, where)
        elif how not in ("", "false", *MODES):
            raise pytest.UsageError(
                f"{MARKER}_simulate in the ini file takes lines like `true`, `observe`, `tests/net` or"
                f" `tests/old: observe`; got {line!r}"
            )
        else:
            how = {"": STRICT, "false": ""}.get(how, how)
        path = (config.inipath.parent if config.inipath else config.rootpath) / where
        if not path.exists():
            raise pytest.UsageError(f"{MARKER}_simulate in the ini file names {where}, which does not exist")
        found[Path(path).resolve()] = how
    return found


def is_simulated(options: Mapping[str, Any]) -> bool:
    """Whether a scenario with these options can be under a test as it is."""
    return bool(options.get("network", "simulated") == "simulated")

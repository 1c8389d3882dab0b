"""A call about registration: what `selectors` makes of it, what is then watched, and a row in the trace.

Owns that order, for every selector of ours; what it does is the selector's own. Owns, too, whether an event that a
script has goes with what is registered. Knows no selector class.
"""

from __future__ import annotations

from .._system import CLOSED
from .errors import Finding
from .rules import GONE, MEMBERSHIP, Breach
from .trace import caller, mask_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from selectors import SelectorKey
    from typing import Any

    from .._system import FileObject
    from .monitor import Monitor
    from .records import Record
    from .rules import Membership, Registration
    from .watching import Watch

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


def registered(
    monitor: Monitor,
    watch: Watch,
    keys: Mapping[int, SelectorKey] | None,
    record: Record,
    operation: Registration,
    act: Callable[..., SelectorKey],
    fileobj: FileObject,
    mask_and_data: tuple[Any, ...],  # Any: as `selectors`
) -> SelectorKey:
    """Make the call, which is `act`, and note it. keys: the selector's map; None: it is closed."""
    number = record.number
    before = None if keys is None else keys.get(number)
    state: Membership = "closed" if keys is None else "absent" if before is None else "member"
    try:
        if MEMBERSHIP[state][operation] is ValueError:  # the one refusal that the standard library does not know
            raise ValueError(CLOSED)
        key = act(fileobj, *mask_and_data)
    except Exception as error:
        monitor.refused(operation, record, error)
        if before is not None and keys is not None and number not in keys:  # it was dropped by that
            watch.drop(watch.holder(number))
            if record.phase in GONE:
                record.number = -1  # the next socket may be given it
        raise
    watch.follow(operation, record, key.fd, key.events)
    same = operation == "modify" and before == key  # nothing is done about any readiness
    monitor.registered(record, "modify:same" if same else operation, mask_and_data[0] if mask_and_data else None)
    return key


def delivers(monitor: Monitor, selector: str, record: Record, key: SelectorKey | None, mask: int, event: str) -> bool:
    """Whether an event may be delivered; judges it first. False: it is allowed, and left out."""
    if key is None:
        rule = MEMBERSHIP["absent"]["deliver"]
        assert isinstance(rule, Breach)
        if monitor.in_force(rule.rule, record):
            monitor.append("select", selector, None, caller(3))
            any_other = any(one.watches for one in monitor.records)
            note = event if any_other else f"{event} Nothing at all is registered with the selector."
            monitor.raise_violation(Finding(rule.rule, record.name, {"mask": mask_text(mask)}, note=note))
        return False
    missing = mask & ~key.events
    if missing and monitor.in_force("event-without-interest", record):
        monitor.append("select", selector, None, caller(3))
        fields = {"mask": mask_text(mask), "interest": mask_text(key.events), "missing": mask_text(missing)}
        monitor.raise_violation(Finding("event-without-interest", record.name, fields, note=event))
    return True

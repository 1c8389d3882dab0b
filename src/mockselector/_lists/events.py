"""What an event of a list is: one file object, or several, each with a mask; and how it is told.

Owns that reading, as 0.2.3 had it: a script holds all sorts of things.
"""

from __future__ import annotations

from collections.abc import Iterable
from selectors import EVENT_READ

from .._judge.trace import mask_text
from .._text import several, value_text
from .listen_socket import ListenSocket
from .mock_socket import MockSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

OURS: Final = (MockSocket, ListenSocket)


def ready_of(event: Any) -> Iterator[tuple[Any, int]]:  # Any: a script holds what it holds
    """The file objects and masks of one event."""
    group: Any = event if _is_iterable(event) else (event,)
    try:
        if isinstance(group[1], int):
            group = (group,)
    except (KeyError, IndexError, TypeError):  # a short group; a set or a generator
        pass
    for item in group:
        if isinstance(item, tuple):
            thing, mask = _pair(item)
            yield thing, mask
        else:
            yield item, EVENT_READ


def is_lone(event: object) -> bool:
    """Whether it is one file object, though it can be iterated over: an open file, say."""
    return _is_iterable(event) and hasattr(event, "fileno") and not isinstance(event, (list, tuple, set, frozenset))


def _pair(item: Any) -> tuple[Any, int]:  # Any: what 0.2.3 let pass, passes
    thing, mask = item
    return thing, mask


def _is_iterable(thing: object) -> bool:  # no narrowing: what it then is an iterable of, nobody knows
    return isinstance(thing, Iterable)


def event_text(event: Any) -> str:  # Any: a script holds what it holds
    """An event as the script's author would name it."""
    if is_lone(event):
        return f"{_named(event)} READ"
    if isinstance(event, (set, frozenset, list, tuple)) or not _is_iterable(event):
        return several([f"{_named(thing)} {mask_text(mask)}" for thing, mask in ready_of(event)]) or "a time-out"
    return value_text(event)  # a generator is not to be used up


def _named(thing: object) -> str:
    if isinstance(thing, OURS):
        return thing._known_as()
    return value_text(thing)

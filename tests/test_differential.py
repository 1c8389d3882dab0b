"""The same program, run on 0.2.3 and on this package: whatever a test can see must be equal.

Hypothesis makes the scripts, the events and the programs. A program is a list of operations. Each
runs in two worlds, one per package, and leaves one observation per operation; then the two lists
are compared. What may differ stands in `ALIKE` and `LEFT_OUT` below and nowhere else, under the
ids of docs/differences.md.

MOCKSELECTOR_EXAMPLES says how many examples are tried, over all properties (default: 5000).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey
from socket import socket as real_socket
from types import ModuleType
from typing import Any, Final, TypeAlias
from unittest.mock import ANY, DEFAULT, Mock, call, patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mockselector.selector as ours

if sys.version_info >= (3, 11):
    pytest.skip("0.2.3 works in full on Python 3.10 only", allow_module_level=True)

import mockselector_023.selector as theirs

EXAMPLES: Final = int(os.environ.get("MOCKSELECTOR_EXAMPLES", "5000"))
"""How many examples are tried, over all properties."""

# -- what may differ ------------------------------------------------------------------------------

ALIKE: Final = {
    "value": "a Mock that 0.2.3 made up equals whatever ours returns",
    "errno": "an OSError without arguments equals one with any",
    "numbers": "descriptor numbers are compared as whose they are",
    "names": "sockets in texts are compared as which they are; texts of TypeError and AttributeError are not",
}
"""Differences that are taken for equal, each at one line of `World`."""

LEFT_OUT: Final = {
    "groups", "keywords", "listener", "patched", "raised", "whole", "signature", "assigned", "refused", "class",
    "deleted", "attributes",
}  # fmt: skip
"""Differences that no program comes across. tests/test_differences.py shows them."""

MADE_UP: Final = "a Mock that nobody configured"


class World:
    """A program's world: one package, the sockets, a selector; and what a test sees of them."""

    def __init__(self, package: ModuleType, setup: Setup) -> None:
        self.package = package
        self.old = package is theirs
        clients, listeners, events = setup
        self.clients: list[Any] = [self._client(spec) for spec in clients]  # Any: of either package
        self.listeners: list[Any] = [  # Any: of either package
            package.ListenSocket(self._to_accept(entry) for entry in script) for script in listeners
        ]
        self.selector: Any = package.MockSelector(self._event(event) for event in events)  # Any: of either package
        self.map: Mapping[Any, SelectorKey] = self.selector.get_map()
        self.wrappers: dict[int, Wrapper] = {}

    # -- observations: what may differ is made alike here ---------------------------------------

    def seen(self, value: object) -> object:
        """A value, in terms that both worlds share."""
        which = self.which(value)
        if which is not None:
            return which
        if isinstance(value, Mock):
            return ANY if self.old else MADE_UP  # value
        if isinstance(value, SelectorKey):
            return ("key", self.number(value.fileobj), self.number(value.fd), value.events, value.data)
        if isinstance(value, (list, tuple)):
            items: list[object] = [self.seen(item) for item in value]
            return items if isinstance(value, list) else tuple(items)
        if isinstance(value, dict):
            return {key: self.seen(item) for key, item in value.items()}
        return value

    def failed(self, error: BaseException) -> object:
        """An exception, in terms that both worlds share."""
        kind = type(error).__qualname__
        if isinstance(error, OSError):
            return kind, error.args or ANY  # errno
        if isinstance(error, (TypeError, AttributeError)):
            return kind  # names
        cause = type(error.__cause__).__name__
        return kind, cause, *(self.seen(arg) if not isinstance(arg, str) else self.text(arg) for arg in error.args)

    def text(self, text: str) -> str:
        for thing in self.things():
            if repr(thing) in text:
                text = text.replace(repr(thing), str(self.which(thing)))  # names
        text = re.sub(r" id='\d+'", "", text)
        return re.sub(r"\d+", lambda found: str(self.number(int(found[0]))), text)  # numbers

    def number(self, value: object) -> object:
        """What stands for a socket: a descriptor number is told by whose it is."""
        if isinstance(value, int):
            for thing in self.things():
                if thing._number_seen == value if isinstance(thing, Mock) and not hasattr(thing, "recvs") else None:
                    return value
                if hasattr(thing, "_fileno") and False:
                    return value
            return self._owner(value)  # numbers
        return self.seen(value)

    def _owner(self, number: int) -> object:
        return number

"""Whose code a file holds: ours, the standard library's, an installed package's, or the user's own.

Owns that one question. All that no installation has put where it lies is the user's own: a project that holds a
virtualenv or lies in one, an editable install, a zipapp, a notebook's cell, a text that was run by `exec`.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
from functools import cache
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal, TypeAlias

    Whose: TypeAlias = Literal["ours", "stdlib", "installed", "own"]

_HERE: Final = os.path.dirname(__file__)
_LIBRARIES: Final = tuple(
    {
        os.path.join(folder, "")
        for file in (os.__file__, selectors.__file__)
        for folder in (os.path.dirname(file), os.path.realpath(os.path.dirname(file)))
    }
)
"""Where the standard library is; a virtualenv has that of the Python it was made from."""

_PACKAGES: Final = ("site-packages", "dist-packages")

INSIDE: Final = frozenset(
    [os.path.join(folder, name) for folder, _, names in os.walk(_HERE) for name in names if name.endswith(".py")]
    + [socket.__file__, selectors.__file__, os.path.join(os.path.dirname(selectors.__file__), "unittest", "mock.py")]
    + [os.path.join(os.path.dirname(selectors.__file__), "ssl.py")]
)
"""Files whose frames only pass a call on: this package, and what it stands in for. (In a zip file, ours are shown.)"""


@cache
def whose(file: str) -> Whose:
    """Whose code it is, by the name that its code objects have."""
    if file.startswith(os.path.join(_HERE, "")):
        return "ours"
    if file.startswith("<frozen "):
        return "stdlib"
    if file.startswith("<"):
        return "own"
    parts = file.replace(os.sep, "/").split("/")
    for above, folder in pairwise(parts):
        if folder in _PACKAGES and (above.lower() == "lib" or above.startswith(("python", "pypy"))):
            return "installed"
    if file.startswith(_scripts()):
        return "installed"
    return "stdlib" if file.startswith(_LIBRARIES) else "own"


@cache
def in_its_library(file: str) -> str:
    """A file of a library by its name there, as `asyncio/streams.py`; any other as it is."""
    kind = whose(file)
    if kind == "installed":
        for folder in _PACKAGES:
            _, found, inside = file.replace(os.sep, "/").rpartition(f"/{folder}/")
            if found:
                return inside
    if kind == "stdlib":
        for library in _LIBRARIES:
            if file.startswith(library):
                return file[len(library) :]
    return file


@cache
def _scripts() -> str:
    """Where installations put their commands."""
    return os.path.join(sys.prefix, "Scripts" if sys.platform == "win32" else "bin", "")

"""nox, as noxfile.py knows it. Nothing here needs it: it is there for who uses it anyway."""

from collections.abc import Callable

class Session:
    posargs: list[str]
    def run(self, *command: str) -> object: ...

class Options:
    sessions: list[str]

options: Options

def session(function: Callable[[Session], object], /, *, name: str, python: bool) -> object: ...

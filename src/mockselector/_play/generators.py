"""The generators of the test that a peer plays, each within the one before.

Owns how they, and functions of the test, are called: what one raises passes through in `Raised`.
Knows nothing of what their steps do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from .._text import value_text
from .steps import is_play, is_step, own

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from .steps import Plays, Step

R = TypeVar("R")

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

MOST_YIELDED: Final = 100_000
"""So many steps that a generator yields, move nothing, and leave the server no turn, have no end."""


class Raised(BaseException):
    """A function of the test has raised: that passes through a peer in this, as a generator would change some."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error: Final = error


def called(function: Callable[[], R]) -> R:
    """What a function of the test returns."""
    try:
        return function()
    except BaseException as error:
        raise Raised(error) from None


class Generators:
    """Those that a peer plays now, the innermost last. Most peers never do: `NONE` is theirs."""

    __slots__ = ("_name", "is_fresh", "stack")

    def __init__(self, name: str) -> None:
        self._name = name
        self.stack: Final[list[tuple[Plays, Generator[Step, bytes, object]]]] = []
        self.is_fresh: bool = False  # the innermost has not yielded yet

    def begin(self, step: Plays) -> None:
        """Play one more, within those that are played."""
        play: object = called(step.play) if callable(step.play) else step.play
        if not is_play(play):
            raise TypeError(
                f"play= of {self._name} takes a generator of steps; its function returned {value_text(play)}"
            )
        self.stack.append((step, play))
        self.is_fresh = True

    def resume(self, came: bytes) -> Step | None:
        """What the innermost yields next, given what its last step has taken in; None: it is at its end."""
        play = self.stack[-1][1]
        try:
            step: object = next(play) if self.is_fresh else play.send(came)
        except StopIteration:
            return None
        except BaseException as error:
            raise Raised(error) from None
        finally:
            self.is_fresh = False
        if not is_step(step):
            raise TypeError(
                f"the generator that {self._name} plays yielded {value_text(step)}; it takes steps, as Sends(b'hi')"
            )
        return own(step)

    def end(self) -> Plays:
        """The innermost is at its end; returns the step that played it, which is taken by that."""
        return self.stack.pop()[0]

    def check(self, idle: int) -> None:
        """Raise RuntimeError if so many idle steps in a row are more than make sense."""
        if idle > MOST_YIELDED:
            raise RuntimeError(
                f"the generator that {self._name} plays has yielded {MOST_YIELDED:,} steps: has it no end?"
            )


NONE: Final = Generators("")
"""Of a peer that has not played any; nothing begins in it."""

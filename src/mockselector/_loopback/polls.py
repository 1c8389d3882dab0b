"""A real poll or epoll object of the server, whose waiting is the world's.

Owns `LoopbackPoll` and `LoopbackEpoll`. All else that is asked of such an object, the real one is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._kernel.bits import as_interest, as_readiness
from .._system import BOTH, number_of, poll_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol, TypeVar

    from typing_extensions import Self

    T = TypeVar("T")

    class Waits(Protocol):
        """What it has of its world."""

        def wait(
            self, name: str, look: Callable[[], T | None], timeout: float | None,
            by_object: Callable[[T], Iterable[tuple[Any, int]]],
        ) -> T | None: ...  # fmt: skip


__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class LoopbackPoll:
    """A real poll object, by `isinstance()`, too."""

    _epoll = False

    def __init__(self, stack: Waits, real: Any, name: str) -> None:  # Any: has no public name
        self._stack = stack
        self._real = real
        self._name = name
        self._masks: dict[int, int] = {}  # for the table

    if not TYPE_CHECKING:

        @property
        def __class__(self):
            return type(self._real)

    def __getattr__(self, name: str) -> Any:  # Any: whatever it has
        return getattr(self._real, name)

    def interest(self, number: int) -> int:
        """For what a number is registered, as `selectors` says it."""
        return self._masks.get(number, 0)

    def register(self, fd: Any, *mask: int, **named: int) -> None:  # Any: a number, or what has a fileno()
        """As the real one."""
        self._real.register(fd, *mask, **named)
        self._masks[number_of(fd)] = as_interest(*mask, *named.values()) if mask or named else BOTH

    def modify(self, fd: Any, *mask: int, **named: int) -> None:  # Any: likewise
        """As the real one."""
        self._real.modify(fd, *mask, **named)
        self._masks[number_of(fd)] = as_interest(*mask, *named.values())

    def unregister(self, fd: Any) -> None:  # Any: likewise
        """As the real one."""
        self._real.unregister(fd)
        self._masks.pop(number_of(fd), None)

    def poll(self, timeout: float | None = None, *most: int, **named: int) -> list[tuple[int, int]]:
        """As the real one, in virtual time."""
        seconds = poll_seconds(timeout, epoll=self._epoll)
        return self._stack.wait(self._name, lambda: self._real.poll(0, *most, **named), seconds, _by_number) or []


class LoopbackEpoll(LoopbackPoll):
    """Likewise, an epoll object."""

    _epoll = True

    def __enter__(self) -> Self:
        self._real.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._real.close()


def _by_number(ready: Iterable[tuple[int, int]]) -> Iterable[tuple[Any, int]]:
    return [(number, as_readiness(bits)) for number, bits in ready]

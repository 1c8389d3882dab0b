"""The public interface of mockselector 0.2.3, which had no types of its own."""

from collections.abc import Callable, Iterable, Iterator
from selectors import SelectorKey, _BaseSelectorImpl
from socket import socket
from types import TracebackType
from typing import TypeAlias
from unittest.mock import Mock

from _typeshed import FileDescriptorLike
from typing_extensions import Self

_Item: TypeAlias = bytes | Callable[[], bytes]
# 0.2.3's own sockets are no `socket.socket` to a type checker, though they are to `isinstance`.
_Client: TypeAlias = socket | Mock | Callable[[], socket | Mock]
_Ready: TypeAlias = FileDescriptorLike | tuple[FileDescriptorLike, int]
_Event: TypeAlias = _Ready | Iterable[_Ready]

class MockSocket(Mock):
    """A `Mock` with `socket.socket` as its spec: all but these comes from `Mock`."""

    recvs: Iterator[_Item]
    remain: bytes | str
    def __init__(self, recvs: Iterable[_Item] | None = None) -> None: ...
    def recv(self, size: int) -> bytes: ...
    def fileno(self) -> int: ...

class ListenSocket:
    accepted: Iterator[_Client]
    current: int
    state: int
    address: str
    remote_port: int
    def __init__(self, accepted: Iterable[_Client] | None = None) -> None: ...
    def bind(self, _address: object) -> None: ...
    def listen(self, _backlog: int = 5) -> None: ...
    def close(self) -> None: ...
    def accept(self) -> tuple[socket | Mock, tuple[str, int]]: ...
    def fileno(self) -> int: ...

class MockSelector(_BaseSelectorImpl):
    class EndException(BaseException): ...

    iter_event: Iterator[_Event]
    def __init__(self, event_list: Iterable[_Event] | None = None) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(  # type: ignore[override]  # unlike the base's, it can swallow an exception
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool: ...  # pyright: ignore[reportIncompatibleMethodOverride]
    def select(self, _timeout: float | None = ...) -> list[tuple[SelectorKey, int]]: ...  # pyright: ignore[reportIncompatibleMethodOverride]

"""The `unittest.mock` surface of a socket: `sock.send.assert_called_once_with(b"x")` and the rest.

Owns the recording of calls and what a test says of them afterwards. A recorded method costs one
entry in a plain list per call; a real `Mock` is built from that list when a test first asks for
something that only a `Mock` knows, and from then on the calls go to it as well. Knows nothing of
what a method does. `unittest.mock` is imported only when it is needed.
"""

from __future__ import annotations

import sys
from functools import partial, wraps
from socket import socket as real_socket

from .._buffers import let_go

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Concatenate, Final, Generic, ParamSpec, Protocol, TypeAlias, TypeVar

    # The names under which typeshed knows what `call` and `call_args_list` are made of.
    from unittest.mock import (
        Mock,
        _Call,  # no public name exists
        _CallList,  # no public name exists
    )

    P = ParamSpec("P")
    R_co = TypeVar("R_co", covariant=True)
    R = TypeVar("R")
    S = TypeVar("S", bound="Recording")

    Call: TypeAlias = tuple[str, tuple[Any, ...], dict[str, Any]]  # Any: whatever the server passed
    """A method's name and what it was called with. Bytes alone stand for `send(those bytes)`."""

    class Recording(Protocol):
        """A socket whose calls are recorded."""

        _calls: list[Call | bytes]
        _surface: Surface | None

        @property
        def _record(self) -> object:
            """None without a strict run."""
            ...

        def _decided(
            self, name: str, args: tuple[Any, ...], outcome: object, /
        ) -> None: ...  # Any: whatever the server passed

    class Recorded(Generic[P, R_co]):
        """A recorded method: call it, or ask it what it was called with.

        The assertions take what the method takes, and a type checker holds them to it.
        """

        called: bool
        call_count: int
        call_args: _Call
        call_args_list: _CallList
        mock_calls: _CallList
        method_calls: _CallList
        return_value: Any  # Any: a test may chain whatever it likes on it
        side_effect: Any  # Any: a callable, an exception, or an iterable of results

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
        def assert_called_with(self, *args: P.args, **kwargs: P.kwargs) -> None: ...
        def assert_called_once_with(self, *args: P.args, **kwargs: P.kwargs) -> None: ...
        def assert_any_call(self, *args: P.args, **kwargs: P.kwargs) -> None: ...
        def assert_has_calls(self, calls: Sequence[_Call], any_order: bool = False) -> None: ...
        def assert_called(self) -> None: ...
        def assert_called_once(self) -> None: ...
        def assert_not_called(self) -> None: ...
        def reset_mock(self, *, return_value: bool = False, side_effect: bool = False) -> None: ...
        def configure_mock(self, **kwargs: Any) -> None: ...  # Any: attributes of any name

    def recorded(function: Callable[Concatenate[S, P], R], /) -> Recorded[P, R]:
        """Record the calls of a method."""
        ...

    records_itself = recorded
    """For a method that does the recording in its own body."""

else:

    def recorded(function):
        """Record the calls of a method."""
        name = function.__name__
        gets_buffers = name in WITH_BUFFERS

        @wraps(function)
        def call(sock, /, *args, **kwargs):
            try:
                if sock._surface is None:
                    if gets_buffers:
                        named = dict(zip(kwargs, as_logged(tuple(kwargs.values())), strict=True))
                        sock._calls.append((name, as_logged(args), named))
                    else:
                        sock._calls.append((name, args, kwargs or NO_KEYWORDS))
                    return function(sock, *args, **kwargs)
                return sock._surface.call(sock, name, function, args, kwargs)
            except BaseException as error:
                let_go(error)
                del args, kwargs
                raise

        return Method(call)

    class Method:
        """A descriptor that gives a `Recorded` to whoever looks the method up."""

        def __init__(self, function):
            self.function = function
            self.__doc__ = function.__doc__

        def __get__(self, sock, owner=None):
            return self.function if sock is None else Recorded(self.function, sock)

    class records_itself(Method):  # noqa: N801  (used as a decorator)
        """For a method that every event calls, and that does the recording in its own body.

        It leaves the `Recorded` in the socket's own attributes, where the next look-up finds it
        without running any code. An idle socket is not to pay for that with each method it uses.
        """

        def __get__(self, sock, owner=None):
            made = super().__get__(sock, owner)
            if sock is not None:
                sock.__dict__[self.function.__name__] = made
            return made

    class Recorded(partial):
        """A method of one socket that records its calls, and answers for them as a `Mock` does."""

        __slots__ = ()

        def __getattr__(self, attribute):
            if attribute.startswith("_"):  # a protocol looked up by copy, pickle, inspect ...
                raise AttributeError(attribute)
            return surface(self.args[0]).get(self.func.__name__, attribute)

        def __setattr__(self, attribute, value):
            if attribute.startswith("_mock_"):
                raise NotKeptError(ATTACHED)
            surface(self.args[0]).set(self.func.__name__, attribute, value)

        def __delattr__(self, attribute):
            delattr(getattr(surface(self.args[0]).mock, self.func.__name__), attribute)

        def __eq__(self, other):
            if type(other) is not Recorded:
                return NotImplemented
            return self.args[0] is other.args[0] and self.func is other.func

        def __hash__(self):
            return hash((id(self.args[0]), self.func))

        def __repr__(self):
            return f"<recorded method {self.func.__name__} of {self.args[0]!r}>"

        @property
        def __class__(self):
            return seen_class(Recorded)


WITH_BUFFERS: Final = frozenset(
    ("recv_into", "recvfrom_into", "recvmsg_into", "send", "sendall", "sendto", "sendmsg", "setsockopt")
)
"""Methods that are given buffers."""


def as_logged(args: tuple[Any, ...]) -> tuple[Any, ...]:  # Any: whatever the server passed
    """What is kept of arguments: of a `memoryview`, its bytes. Kept itself, it would keep its buffer exported."""
    if not any(isinstance(one, (memoryview, list)) for one in args):
        return args
    kept: list[Any] = []  # Any: likewise
    for one in args:
        if isinstance(one, list):
            several: list[Any] = one  # pyright: ignore[reportUnknownVariableType]  # of whatever
            one = [*as_logged((*several,))]
        kept.append(one.tobytes() if isinstance(one, memoryview) else one)
    return (*kept,)


NO_KEYWORDS: Final[dict[str, Any]] = {}  # Any: of a call

ATTACHED: Final = (
    "the calls of a MockSocket cannot be attached to another Mock: they would never show up there."
    " Read them from the socket (sock.mock_calls, sock.send.call_args_list); for the order of calls"
    " over several sockets use the trace of a strict selector (selector.trace)"
)
CALLED: Final = (
    "a MockSocket itself is not called: a socket is not callable. Configure one of its methods,"
    " sock.send.return_value = ... or sock.send.side_effect = ..."
)

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class NotKeptError(NotImplementedError, AttributeError):
    """A part of a `Mock` that a socket does not have. An AttributeError too: whoever only looks finds none."""


SURFACE: Final = frozenset(
    (
        "assert_any_call", "assert_called", "assert_called_once", "assert_called_once_with", "assert_called_with",
        "assert_has_calls", "assert_not_called", "call_args", "call_args_list", "call_count", "called",
        "method_calls", "mock_calls",
    )
)  # fmt: skip
"""What a socket as a whole has of a `Mock`, besides `reset_mock` and `configure_mock`."""


class Surface:
    """A socket's calls as a real `Mock`, and what the test decided about its methods."""

    __slots__ = ("decided", "mock")

    def __init__(self, calls: Sequence[Call | bytes]) -> None:
        self.mock = _parent()
        self.decided: set[str] = set()
        for call in calls:
            name, args, kwargs = ("send", (call,), {}) if isinstance(call, bytes) else call
            getattr(self.mock, name)(*args, **kwargs)

    def call(
        self,
        sock: Recording,
        name: str,
        function: Callable[..., object],
        args: tuple[Any, ...],  # Any: whatever the server passed
        kwargs: dict[str, Any],  # Any: whatever the server passed
    ) -> object:
        """Call a method whose result the test may have decided."""
        child = getattr(self.mock, name)
        try:
            result: object = child(*args, **kwargs)
        except StopIteration:
            if sock._record is None:
                raise  # as `Mock` has it
            return function(sock, *args, **kwargs)  # all that the test decided is used up
        except BaseException as error:
            sock._decided(name, args, error)  # part of `Recording`
            raise
        if name not in self.decided and result is child.return_value:
            return function(sock, *args, **kwargs)
        sock._decided(name, args, result)  # part of `Recording`
        return result

    def get(self, name: str, attribute: str) -> object:
        """An attribute of a method's mock. Whoever has seen its `return_value` gets it from then on."""
        if attribute == "return_value":
            self.decided.add(name)
        if attribute == "reset_mock":
            return partial(self.reset, name)
        if attribute == "configure_mock":
            return partial(self.configure, name)
        return getattr(getattr(self.mock, name), attribute)

    def set(self, name: str, attribute: str, value: object) -> None:
        """Configure a method's mock."""
        if attribute == "return_value":
            self.decided.add(name)
        setattr(getattr(self.mock, name), attribute, value)

    def configure(self, name: str, **kwargs: Any) -> None:  # Any: attributes of any name
        """Configure a method's mock, as `configure_mock` has it: dotted names included."""
        if any(key.split(".")[0] == "return_value" for key in kwargs):
            self.decided.add(name)
        getattr(self.mock, name).configure_mock(**kwargs)

    def reset(self, name: str | None = None, *, return_value: bool = False, side_effect: bool = False) -> None:
        """Forget the calls of one method, or of all."""
        mock = self.mock if name is None else getattr(self.mock, name)
        mock.reset_mock(return_value=return_value, side_effect=side_effect)
        if return_value:
            self.decided -= {name} if name is not None else self.decided


def surface(sock: Recording) -> Surface:
    """The mock surface of a socket, built from its recorded calls when it is first wanted."""
    found = sock._surface  # part of `Recording`
    if found is None:
        found = sock._surface = Surface(sock._calls)
        sock._calls.clear()
    return found


def asked(name: str, sock: Recording) -> object:
    """What the socket as a whole, as a `Mock`, knows: one of `SURFACE`."""
    found: object = getattr(surface(sock).mock, name)
    return found


def _mock() -> Any:  # Any: a module
    import unittest.mock  # here: most runs never ask for a Mock, and it costs as much as all the rest

    return unittest.mock


def _parent() -> Mock:
    if not _parents:
        mock = _mock()

        def child(_self: object, /, **kwargs: Any) -> Any:  # Any: as `Mock` has it
            return mock.Mock(**kwargs)

        # As 0.2.3's sockets: a socket's names and no others, and methods that take anything.
        _parents.append(type("MockSocket", (mock.Mock,), {"_get_child_mock": child}))
    made: Mock = _parents[0](spec=real_socket)
    return made


_parents: Final[list[type]] = []


def is_mock(thing: object) -> bool:
    """Whether something is a `unittest.mock.Mock`. Nobody can have made one before its import."""
    mock = sys.modules.get("unittest.mock")
    return mock is not None and isinstance(thing, mock.Mock)


def is_any_mock(thing: object) -> bool:
    """Likewise, of whatever kind."""
    mock = sys.modules.get("unittest.mock")
    return mock is not None and isinstance(thing, mock.NonCallableMock)


_seen: Final[dict[type, type]] = {}


def seen_class(cls: type) -> type:
    """The `__class__` of a recorded object: also a `Mock`, for those who can know what that is."""
    mock = sys.modules.get("unittest.mock")
    if mock is None:
        return cls
    if cls not in _seen:
        _seen[cls] = type(cls.__name__, (cls, mock.Mock), {"__module__": cls.__module__})
    return _seen[cls]

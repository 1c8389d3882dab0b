"""The same program, run on 0.2.3 and on this package: whatever a test can see must be equal.

Hypothesis makes the scripts, the events and the programs. A program is a list of operations. It
runs in two worlds, one per package, and leaves one observation per operation; then the two lists
are compared. What may differ stands in `ALIKE` and `LEFT_OUT` and nowhere else, under the ids of
docs/differences.md.

MOCKSELECTOR_EXAMPLES says how many examples are tried, over all properties (default: 5000).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import permutations, product
from pathlib import Path
from random import Random
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey
from socket import socket as real_socket
from types import ModuleType
from typing import Any, Final, TypeAlias
from unittest.mock import ANY, DEFAULT, Mock, call, patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import mockselector.selector as ours

IN_FULL: Final = (3, 10)
"""The Python on which 0.2.3 works in full, and the only one on which it must be importable here."""

if sys.version_info[:2] != IN_FULL:
    pytest.skip("0.2.3 works in full on Python 3.10 only", allow_module_level=True)

import mockselector_023.selector as theirs  # noqa: E402  # pyright: ignore[reportMissingModuleSource]

pytestmark = pytest.mark.slow

EXAMPLES: Final = int(os.environ.get("MOCKSELECTOR_EXAMPLES", "5000"))
"""How many examples are tried, over all properties."""

# -- what may differ ------------------------------------------------------------------------------

ALIKE: Final = {
    "deleted": "where 0.2.3's assert_has_calls() broke down over a method that had been patched, anything goes",
    "value": "a Mock that 0.2.3 made up equals whatever ours returns",
    "errno": "an OSError without arguments equals one with any",
    "numbers": "a descriptor number is told by whose it is",
    "repr": "a socket in a text is told by which it is; no text of a TypeError or AttributeError is compared",
}
"""Differences that both worlds are freed of, each where `World` has its id."""

LEFT_OUT: Final = {
    "assigned", "class", "files", "groups", "keywords", "listener", "patched", "raised", "read-into", "refused",
    "signature", "views", "whole",
}  # fmt: skip
"""Differences that no program comes across. tests/test_differences.py shows them."""

# -- programs: plain data, so that a failing one can be read ----------------------------------------

Spec: TypeAlias = tuple[Any, ...]  # Any, here and below: literals
Script: TypeAlias = Sequence[Spec]
Setup: TypeAlias = tuple[list[Spec], Sequence[Script], list[Spec]]
"""Clients, what each listener accepts, and events."""

FIRST_MOCK: Final = 2**26
"""Descriptor numbers of Mocks: far above 0.2.3's, far below ours."""


def some(*kinds: Iterable[Spec], at_least: int = 0, at_most: int) -> st.SearchStrategy[list[Spec]]:
    """A list of specs: any kind as often as any other, and any spec of a kind as often."""
    tables = [few(kind) for kind in kinds]

    def made(data: bytes) -> list[Spec]:
        number = at_least + data[0] % (at_most - at_least + 1)
        specs: list[Spec] = []
        for place in range(number):
            table = tables[(data[2 * place + 1] + 37 * place) % len(tables)]  # place: not all zeros are alike
            specs.append(table[data[2 * place + 2] % len(table)])
        return specs

    return BYTES.map(made)


BYTES: Final = st.binary(min_size=64, max_size=64)
"""What lists are made from. Hypothesis draws bytes at once; a strategy per spec takes most of the time.

All of one size: Hypothesis likes to put one example's bytes in the place of others.
"""


def few(options: Iterable[Spec]) -> list[Spec]:
    """As many of the options as a byte can tell apart."""
    listed = list(options)
    return Random(0).sample(listed, min(len(listed), 256))


INDEX: Final = (0, 0, 1, 2)  # programs of one mind: most of one is about the same socket
MASKS: Final = (EVENT_READ, EVENT_WRITE, EVENT_READ | EVENT_WRITE, 0, True)
SIZES: Final = (0, 1, 2, 3, 5, 100, -1, -2)
DATA: Final = (b"a", b"bc", b"defgh", b"")
VALUES: Final = (3, None, b"a", ("host", 7), 0)

THINGS: Final = list(product(("client", "listener", "client", "number", "wrapped"), INDEX[1:]))
READY: Final = [*THINGS, *product(("pair",), THINGS, MASKS[:3])]
JUNK: Final[tuple[Any, ...]] = (None, 5, -1, "x", "xy", b"ab", 2.5, {}, {5: 1}, (5, 1, 2), [5, 1])
GROUPS: Final = [group for length in range(3) for group in product(READY, repeat=length)]
EVENTS: Final = some(READY, THINGS, product(("tuple", "list"), GROUPS), product(("junk",), JUNK), at_least=3, at_most=8)

ITEM: Final = [*product(("bytes", "called"), DATA), ("mock", b"bc"), ("text",), ("fails",)]
SCRIPTS: Final = [script for length in range(4) for script in product(ITEM, repeat=length)]
MOCKS: Final = list(product(("mock",), range(3)))
CLIENTS: Final = some(
    *[few(product(("script",), SCRIPTS))] * 3, product(("shouting",), SCRIPTS), MOCKS, at_least=1, at_most=3
)
BACKLOGS: Final = [
    backlog
    for length in range(3)
    for backlog in product((*product(("client", "called"), INDEX), *MOCKS, ("fails",), ("junk",)), repeat=length)
]

CALLS: Final[tuple[Spec, ...]] = (
    ("send", (b"a",), {}),
    ("send", (b"bc",), {}),
    ("send", (b"bc", 0), {}),
    ("sendall", (b"a",), {}),
    ("sendall", (bytearray(b"bc"),), {}),
    ("sendto", (b"a", ("host", 7)), {}),
    ("sendmsg", ([b"a", b"bc"],), {}),
    ("setblocking", (False,), {}),
    ("settimeout", (2.5,), {}),
    ("settimeout", (None,), {}),
    ("gettimeout", (), {}),
    ("getblocking", (), {}),
    ("setsockopt", (6, 1, 1), {}),
    ("getsockopt", (6, 1), {}),
    ("getpeername", (), {}),
    ("getsockname", (), {}),
    ("set_inheritable", (True,), {}),
    ("set_inheritable", (), {"inheritable": False}),
    ("get_inheritable", (), {}),
    ("shutdown", (2,), {}),
    ("connect", (("host", 7),), {}),
    ("connect_ex", (("host", 7),), {}),
    ("bind", (("host", 7),), {}),
    ("listen", (), {}),
    ("listen", (3,), {}),
    ("detach", (), {}),
    ("makefile", ("rb",), {}),
    ("close", (), {}),
)
"""Calls that every method's signature allows."""

FEW_CALLS: Final = (*CALLS[:4], CALLS[-1])
SAID: Final = [calls for length in range(3) for calls in product(FEW_CALLS, repeat=length)]
METHODS: Final = ("send", "send", "sendall", "close", "getpeername", "makefile")
UNUSUAL: Final = ("accept", "dup", "recv_into", "recvfrom", "sendmsg_afalg", "makefile")
EFFECTS: Final[tuple[Spec, ...]] = (
    ("list", [3, "error", b"a"]),
    ("list", [None]),
    ("list", []),
    ("raises",),
    ("count",),
    ("default",),
    ("none",),
)
LOOKS: Final = ("called", "call_count", "call_args", "call_args_list", "mock_calls", "method_calls")
ASSERTIONS: Final = ("assert_called_with", "assert_called_once_with", "assert_any_call")
BARE_ASSERTIONS: Final = ("assert_called", "assert_called_once", "assert_not_called")
FLAGS: Final[tuple[dict[str, bool], ...]] = (
    {},
    {"return_value": True},
    {"side_effect": True},
    {"return_value": True, "side_effect": True},
)


def operation(name: str, *arguments: Iterable[Any]) -> list[Spec]:
    return few(product((name,), *arguments))


LISTENING: Final = [
    operation("bind", INDEX),
    operation("listen", INDEX, ((), (5,), (0,))),
    operation("accept", INDEX),
    operation("accept", INDEX),
    operation("close_listener", INDEX),
    operation("set_listener", INDEX, (("state", 0), ("state", 1), ("state", 2), ("state", 3), ("current", 7))),
    operation("set_listener", INDEX, (("address", "far.away"), ("remote_port", 5))),
    operation("set_accepted", INDEX, BACKLOGS),
]
TALKING: Final = [
    operation("recv", INDEX, SIZES),
    operation("recv", INDEX, SIZES),
    operation("recv_by_keyword", INDEX, SIZES),
    operation("call", INDEX, CALLS),
    operation("call", INDEX, FEW_CALLS),
    operation("call", INDEX, FEW_CALLS),
    operation("set_recvs", INDEX, SCRIPTS[:200], (True, False)),
    operation("set", INDEX, ("remain",), ("", b"", b"rest", "rest")),
    operation("set", INDEX, ("note", "family", "timeout"), VALUES),
    operation("get", INDEX, ("note", "family", "type", "proto", "timeout", "nonsense")),
    operation("fileno", THINGS),
]
SELECTING: Final = [
    operation("register", THINGS, MASKS, VALUES),
    operation("register", THINGS, MASKS[:1], VALUES[1:2]),
    operation("modify", THINGS, MASKS, VALUES),
    operation("unregister", THINGS),
    operation("get_key", THINGS),
    operation("item", THINGS),
    [("map",)],
    operation("select", ((), (None,), (0,), (1.5,), (-1,))),
    operation("select", ((),)),
    operation("block", range(3), ("end", "left", "foreign", "other", "bare")),
    operation("set_events", [list(pair) for pair in product(READY, repeat=2)]),
]
MOCKING: Final = [
    operation("side_effect", INDEX, METHODS, EFFECTS),
    operation("return_value", INDEX, METHODS, VALUES),
    operation("configure", INDEX, METHODS, VALUES, EFFECTS),
    operation("configure_method", INDEX, METHODS, VALUES, EFFECTS),
    operation("decided", INDEX, UNUSUAL, VALUES),
    operation("chain", INDEX, METHODS, VALUES),
    operation("reset", INDEX, FLAGS),
    operation("reset_method", INDEX, METHODS, FLAGS),
    operation("patch", INDEX, CALLS, ("plain", "returns", "raises", "function")),
    operation("patch_recv", INDEX),
]
ASKING: Final = [
    operation("kinds", INDEX),
    operation("look", INDEX, LOOKS),
    operation("look_method", INDEX, METHODS, LOOKS),
    operation("assert", INDEX, SAID, FEW_CALLS, ASSERTIONS),
    operation("assert_bare", INDEX, METHODS, BARE_ASSERTIONS),
    operation("assert_whole", INDEX, BARE_ASSERTIONS),
    operation("assert_calls", INDEX, SAID, SAID, (False, True)),
]

SETUPS: Final = st.tuples(CLIENTS, st.tuples(*[st.sampled_from(few(BACKLOGS))] * 2), EVENTS)
STARTED: Final[list[Spec]] = [
    ("bind", 0),
    ("listen", 0, ()),
    ("register", ("listener", 0), EVENT_READ, None),
    ("register", ("client", 0), EVENT_READ, None),
]
STARTS: Final = st.sampled_from((STARTED, STARTED, STARTED[:3], []))
PROGRAMS: Final = some(*LISTENING, *TALKING, *SELECTING, *MOCKING, *ASKING, at_least=5, at_most=16)


SERVED: Final = st.tuples(
    some(product(("script",), SCRIPTS), at_least=3, at_most=3),
    st.tuples(
        st.sampled_from(list(permutations((("client", 0), ("called", 1), ("client", 2), ("mock", 0)), 3))),
    ),
    EVENTS,
)
TURNS: Final = some(product(range(5), (EVENT_READ, EVENT_READ, EVENT_READ | EVENT_WRITE)), at_least=10, at_most=25)


# -- the two worlds -----------------------------------------------------------------------------------


class Wrapper:
    """What a server may register in the place of a socket."""

    def __init__(self, thing: Any) -> None:  # Any: a socket of either package
        self.thing = thing

    def fileno(self) -> int:
        number: int = self.thing.fileno()
        return number

    def __repr__(self) -> str:
        return f"Wrapper({self.thing!r})"


class World:
    """One package, a program's sockets and selector, and what a test sees of them."""

    def __init__(self, package: ModuleType, setup: Setup) -> None:
        self.package = package
        self.clients: list[Any] = []  # Any, here and below: of either package
        self.listeners: list[Any] = []
        self.names: dict[int, str] = {}  # by identity
        self.numbers: dict[int, str] = {}  # by descriptor number
        self.wrappers: dict[int, Wrapper] = {}
        clients, listeners, events = setup
        for spec in clients or [("script", ())]:
            self._add_client(self._client(spec))
        for script in listeners:
            self._add_listener(package.ListenSocket(self._backlog(script)))
        self.selector = package.MockSelector(self._events(events))
        self.names[id(self.selector)] = "<selector>"
        self.map: Mapping[Any, SelectorKey] = self.selector.get_map()

    # -- what is seen of a run; and the one place where the worlds are freed of differences --

    def run(self, operation: Spec) -> object:
        """Take one step; returns all that is seen of it."""
        name, *arguments = operation
        try:
            outcome = self.seen(getattr(self, f"do_{name}")(*arguments))
        except (Exception, self.package.MockSelector.EndException) as error:
            outcome = self.seen(error)
            if name == "assert_calls" and isinstance(error, AttributeError) and self.package is theirs:
                outcome = ANY  # difference: deleted
        return outcome, self._state()

    def seen(self, value: object) -> object:
        """A value in terms that both worlds share."""
        name = self.names.get(id(value))
        if name is not None:
            return name
        if isinstance(value, Mock):
            return ANY if self.package is theirs else "a Mock"  # difference: value
        if isinstance(value, Wrapper):
            return "wrapped", self.seen(value.thing)
        if isinstance(value, SelectorKey):
            return "key", self.number(value.fileobj), self.number(value.fd), value.events, self.seen(value.data)
        if isinstance(value, (list, tuple)):
            items: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType]
            return type(value).__name__.strip("_"), list(map(self.seen, items))  # pyright: ignore[reportUnknownArgumentType]
        if isinstance(value, dict):
            pairs: dict[str, object] = {**value}
            return {key: self.seen(item) for key, item in pairs.items()}
        if isinstance(value, BaseException):
            return self._failure(value)
        return ("a file",) if hasattr(value, "readinto") else value

    def _failure(self, error: BaseException) -> object:
        kind = type(error).__qualname__, type(error.__cause__).__qualname__
        if type(error) is OSError and not error.args and self.package is theirs:
            return *kind, ANY  # difference: errno
        if isinstance(error, (TypeError, AttributeError)):
            return kind  # difference: repr
        return *kind, [self._text(arg) if isinstance(arg, str) else self.seen(arg) for arg in error.args]

    def _text(self, text: str) -> str:
        for thing in (*self.clients, *self.listeners):
            text = text.replace(repr(thing), self.names[id(thing)])  # difference: repr
        text = re.sub(r" id='\d+'", "", text)
        return re.sub(r"\d+", lambda found: str(self.number(int(found[0]))), text)

    def number(self, value: object) -> object:
        """A value that may be a descriptor number."""
        return self.numbers.get(value, value) if type(value) is int else self.seen(value)  # difference: numbers

    def _state(self) -> object:
        return (
            [(getattr(client, "remain", None)) for client in self.clients],
            [(each.state, each.current, each.address, each.remote_port) for each in self.listeners],
            len(self.map),
        )

    def rest(self) -> Iterator[object]:
        """What is seen when the program is over: all calls, and what is left of the scripts."""
        for index, client in enumerate(self.clients):
            yield self.seen(client.mock_calls)
            yield self.seen(client.method_calls)
            yield [self.run(("recv", index, 100)) for _ in range(2)]
        yield [len(list(each.accepted)) for each in self.listeners], len(list(self.selector.iter_event))

    # -- making what a program names --

    def _add(self, thing: Any, name: str) -> None:
        self.names[id(thing)] = name
        number = thing.fileno()
        if not isinstance(thing, Mock) or hasattr(thing, "recvs"):
            self.numbers[number] = f"number of {name}"

    def _add_client(self, client: Any) -> None:
        self.clients.append(client)
        self._add(client, f"<client {'abcdefghijklmnopqrstuvwxyz'[len(self.clients) - 1]}>")

    def meet(self, client: Any) -> None:
        """Let a socket that an `accept()` made up into the world."""
        if id(client) not in self.names and isinstance(client, Mock):
            self._add_client(client)

    def _add_listener(self, listener: Any) -> None:
        self.listeners.append(listener)
        self._add(listener, f"<listener {'ab'[len(self.listeners) - 1]}>")

    def _client(self, spec: Spec) -> Any:
        kind, content = spec
        if kind == "mock":
            mock = Mock(spec=real_socket)
            mock.fileno.return_value = FIRST_MOCK + content
            mock.recv.return_value = b"mock"
            return mock
        made = self.package.MockSocket if kind == "script" else shouting(self.package)
        return made([_item(item) for item in content])

    def _backlog(self, script: Script) -> Iterator[Any]:
        for spec in script:
            kind = spec[0]
            if kind == "mock":
                yield self._client(spec)
            elif kind == "client":
                yield self._of(self.clients, spec[1])
            elif kind == "called":
                yield lambda index=spec[1]: self._of(self.clients, index)
            else:
                yield _fails if kind == "fails" else 5

    def _events(self, events: list[Spec]) -> Iterator[Any]:
        return map(self._event, events)  # resolved when they are due: by then there are more sockets

    def _event(self, spec: Spec) -> Any:
        kind = spec[0]
        if kind == "junk":
            return spec[1]
        if kind in ("tuple", "list"):
            return (tuple if kind == "tuple" else list)(map(self._event, spec[1]))
        return (self._thing(spec[1]), spec[2]) if kind == "pair" else self._thing(spec)

    def _thing(self, spec: Spec) -> Any:
        """A socket, or what stands for it."""
        kind, index = spec
        thing = self._of(self.listeners if kind == "listener" else self.clients, index)
        if kind == "number":
            return thing.fileno()
        return self.wrappers.setdefault(id(thing), Wrapper(thing)) if kind == "wrapped" else thing

    def _of(self, things: list[Any], index: int) -> Any:
        return things[index % len(things)]

    def _method(self, client: int, method: str) -> Any:
        return getattr(self._of(self.clients, client), method)

    # -- operations: listeners --

    def do_bind(self, listener: int) -> object:
        return self._of(self.listeners, listener).bind(("", 7))

    def do_listen(self, listener: int, backlog: tuple[int, ...]) -> object:
        return self._of(self.listeners, listener).listen(*backlog)

    def do_accept(self, listener: int) -> object:
        client, address = self._of(self.listeners, listener).accept()
        self.meet(client)
        return client, address

    def do_close_listener(self, listener: int) -> object:
        return self._of(self.listeners, listener).close()

    def do_set_listener(self, listener: int, what: tuple[str, object]) -> None:
        attribute, value = what
        setattr(self._of(self.listeners, listener), attribute, value)

    def do_set_accepted(self, listener: int, script: Script) -> None:
        self._of(self.listeners, listener).accepted = self._backlog(script)

    # -- operations: clients --

    def do_recv(self, client: int, size: int) -> object:
        return self._method(client, "recv")(size)

    def do_recv_by_keyword(self, client: int, size: int) -> object:
        return self._method(client, "recv")(size=size)

    def do_call(self, client: int, what: Spec) -> object:
        method, args, kwargs = what
        result = self._method(client, method)(*args, **kwargs)
        return self.number(result) if method == "detach" else result

    def do_set_recvs(self, client: int, items: Script, as_list: bool) -> None:
        made = [_item(item) for item in items]
        self._of(self.clients, client).recvs = made if as_list else iter(made)

    def do_set(self, client: int, attribute: str, value: object) -> None:
        setattr(self._of(self.clients, client), attribute, value)

    def do_get(self, client: int, attribute: str) -> object:
        return self._method(client, attribute)

    def do_fileno(self, thing: Spec) -> object:
        found = self._thing(thing)
        return self.number(found if type(found) is int else found.fileno())

    # -- operations: the selector --

    def do_register(self, thing: Spec, mask: int, data: object) -> object:
        return self.selector.register(self._thing(thing), mask, data)

    def do_modify(self, thing: Spec, mask: int, data: object) -> object:
        return self.selector.modify(self._thing(thing), mask, data)

    def do_unregister(self, thing: Spec) -> object:
        return self.selector.unregister(self._thing(thing))

    def do_get_key(self, thing: Spec) -> object:
        return self.selector.get_key(self._thing(thing))

    def do_item(self, thing: Spec) -> object:
        found = self._thing(thing)
        return found in self.map, self.map.get(found), self.map[found]

    def do_map(self) -> object:
        current = self.selector.get_map()
        return current is self.map, [self.number(number) for number in self.map], list(self.map.values())

    def do_select(self, timeout: tuple[float | None, ...]) -> object:
        return [(key, self.number(mask)) for key, mask in self.selector.select(*timeout)]  # (socket, number) is a pair

    def do_close_selector(self) -> object:
        return self.selector.close()

    def do_block(self, selects: int, end: str) -> object:
        results: list[object] = []
        with self.selector as entered:
            results.append(entered is self.selector)
            results.extend(self.do_select(()) for _ in range(selects))
            if end == "foreign":
                raise ZeroDivisionError("the server's own")
            if end == "other":
                raise self.package.MockSelector.EndException(None)
            if end == "bare":
                raise self.package.MockSelector.EndException
            while end == "end":
                results.append(self.do_select(()))
        return results

    def do_set_events(self, events: list[Spec]) -> None:
        self.selector.iter_event = self._events(events)

    # -- operations: the mocks --

    def do_side_effect(self, client: int, method: str, effect: Spec) -> None:
        self._method(client, method).side_effect = _effect(effect)

    def do_return_value(self, client: int, method: str, value: object) -> object:
        self._method(client, method).return_value = value
        return self._method(client, method).return_value

    def do_configure(self, client: int, method: str, value: object, effect: Spec) -> None:
        settings = {f"{method}.return_value": value, f"{method}.side_effect": _effect(effect), "note": value}
        self._method(client, "configure_mock")(**settings)

    def do_configure_method(self, client: int, method: str, value: object, effect: Spec) -> None:
        self._method(client, method).configure_mock(return_value=value, side_effect=_effect(effect))

    def do_decided(self, client: int, method: str, value: object) -> object:
        decided = self._method(client, method)
        decided.return_value = value
        return decided(1), decided

    def do_chain(self, client: int, method: str, value: object) -> object:
        self._method(client, method).return_value.readline.return_value = value
        return self._method(client, method)(b"a").readline(7)

    def do_reset(self, client: int, flags: dict[str, bool]) -> None:
        self._method(client, "reset_mock")(**flags)

    def do_reset_method(self, client: int, method: str, flags: dict[str, bool]) -> None:
        self._method(client, method).reset_mock(**flags)

    def do_patch(self, client: int, what: Spec, how: str) -> object:
        method, args, kwargs = what
        by: dict[str, dict[str, Any]] = {  # Any: arguments of `patch.object`
            "plain": {},
            "returns": {"return_value": 3},
            "raises": {"side_effect": TimeoutError},
            "function": {"new": _count},
        }
        results: list[object] = []
        with patch.object(self._of(self.clients, client), method, **by[how]) as patched:
            try:
                results.append(self._method(client, method)(*args, **kwargs) if how != "plain" else None)
            except TimeoutError as error:
                results.append(error)
            results.append(getattr(patched, "mock_calls", None))
            results.append(self._method(client, "mock_calls"))
        return results

    def do_patch_recv(self, client: int) -> object:
        with patch.object(self._of(self.clients, client), "recv", return_value=b"patched") as recv:
            return self.do_recv(client, 3), recv.mock_calls

    # -- operations: questions --

    def do_kinds(self, client: int) -> object:
        one = self._of(self.clients, client)
        return isinstance(one, Mock), isinstance(one, real_socket), callable(one), bool(one), one == one, {one: 1}[one]

    def do_look(self, client: int, attribute: str) -> object:
        return self._method(client, attribute)

    def do_look_method(self, client: int, method: str, attribute: str) -> object:
        return getattr(self._method(client, method), attribute)

    def do_assert(self, client: int, before: Script, what: Spec, assertion: str) -> object:
        for each in before:
            self.do_call(client, each)
        method, args, kwargs = what
        return getattr(self._method(client, method), assertion)(*args, **kwargs)

    def do_assert_bare(self, client: int, method: str, assertion: str) -> object:
        return getattr(self._method(client, method), assertion)()

    def do_assert_whole(self, client: int, assertion: str) -> object:
        return self._method(client, assertion)()

    def do_assert_calls(self, client: int, before: Script, calls: Script, any_order: bool) -> object:
        for each in before:
            self.do_call(client, each)
        made = [getattr(call, method)(*args, **kwargs) for method, args, kwargs in calls]
        return self._method(client, "assert_has_calls")(made, any_order=any_order)


def shouting(package: ModuleType) -> Any:  # Any: a class of either package
    """A user's own subclass of `MockSocket`."""

    def recv(self: Any, size: int) -> Any:  # Any: of either package
        return package.MockSocket.recv(self, size).upper()

    return type("Shouting", (package.MockSocket,), {"recv": recv})


def _item(spec: Spec) -> Any:  # Any: whatever a script may hold
    kind = spec[0]
    if kind == "called":
        return lambda: spec[1]
    if kind == "mock":
        return Mock(return_value=spec[1])
    if kind == "fails":
        return _fails
    return "text" if kind == "text" else spec[1]


def _effect(spec: Spec) -> Any:  # Any: whatever `side_effect` takes
    if spec[0] == "list":
        return [ValueError("scripted") if value == "error" else value for value in spec[1]]
    effects: dict[str, Any] = {"raises": BlockingIOError, "count": _count, "default": _default, "none": None}
    return effects[spec[0]]


def _fails() -> bytes:
    raise ValueError("the script's own")


def _count(*args: object, **kwargs: object) -> int:
    return len(args) + len(kwargs)


def _default(*_args: object, **_kwargs: object) -> object:
    return DEFAULT


# -- a server ---------------------------------------------------------------------------------------


def serve(selector: Any, listener: Any, size: int, *, writes: bool) -> Iterator[object]:  # Any: of either package
    """An echo server, as many a test has one; what it sees, it yields."""
    listener.bind(("", 7))
    listener.listen()
    selector.register(listener, EVENT_READ)
    while True:
        for key, mask in selector.select(1.5):
            yield key, mask
            client = key.fileobj
            if client is listener:
                client, address = listener.accept()
                yield client, address
                client.setblocking(False)
                selector.register(client, EVENT_READ, b"")
                continue
            rest = key.data
            if mask & EVENT_READ:
                try:
                    data = client.recv(size)
                except ValueError as error:
                    yield error
                    data = b""
                yield data
                if not data:
                    selector.unregister(client)
                    client.close()
                    continue
                if not writes:
                    client.sendall(data)
                    continue
                rest += data
            if mask & EVENT_WRITE:
                client.send(rest)
                rest = b""
            selector.modify(client, EVENT_READ | EVENT_WRITE if rest else EVENT_READ, rest)


def served(package: ModuleType, setup: Setup, turns: Sequence[tuple[int, int]], size: int, *, writes: bool) -> object:
    """Run the server in a world, over events for whatever it has registered by then."""
    world = World(package, setup)
    listener = world.listeners[0]

    def events() -> Iterator[object]:
        for index, mask in turns:
            here = [key.fileobj for key in world.map.values()]
            yield (here[index % len(here)], mask) if here else ()

    def run() -> Iterator[object]:
        with world.selector:
            for step in serve(world.selector, listener, size, writes=writes):
                if isinstance(step, tuple) and step[0] is not listener:
                    world.meet(step[0])
                yield world.seen(step)  # pyright: ignore[reportUnknownArgumentType]

    world.selector.iter_event = events()
    log: list[object] = []
    steps = run()
    while True:
        try:
            log.append(next(steps))
        except StopIteration:
            break
        except (Exception, package.MockSelector.EndException) as error:
            log.append(world.seen(error))
            break
    return log, list(world.rest())


def difference(setup: Setup, program: list[Spec]) -> str | None:
    """Run a program in both worlds, and say where they first differ."""
    old, new = World(theirs, setup), World(ours, setup)
    for number, operation in enumerate(program, 1):
        was, now = old.run(operation), new.run(operation)
        if was != now:
            return f"operation {number}, {operation}: 0.2.3 {was}, ours {now}"
    for was, now in zip(old.rest(), new.rest(), strict=True):
        if was != now:
            return f"at the end: 0.2.3 {was}, ours {now}"
    return None


def compare(setup: Setup, program: list[Spec]) -> None:
    """Run a program in both worlds. If they differ, leave out what makes no difference to that."""
    if difference(setup, program) is None:
        return
    for index in reversed(range(len(program))):
        fewer = program[:index] + program[index + 1 :]
        if difference(setup, fewer) is not None:
            program = fewer
    pytest.fail(f"{difference(setup, program)}\n\nsetup = {setup}\nprogram = {program}")


Test: TypeAlias = Callable[..., None]


def share(of: float) -> Callable[[Test], Test]:
    """Let a property have its share of the examples, the same ones in every run."""
    return settings(
        max_examples=max(1, round(EXAMPLES * of)),
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # `compare` makes a failing program short, and does it in less time
        suppress_health_check=[HealthCheck.too_slow],
    )


@share(0.85)
@given(setup=SETUPS, start=STARTS, program=PROGRAMS)
def test_a_program_sees_what_it_saw_of_0_2_3(setup: Setup, start: list[Spec], program: list[Spec]) -> None:
    compare(setup, start + program)


@share(0.1)
@given(setup=SETUPS, start=STARTS, program=some(*SELECTING, at_least=8, at_most=12))
def test_a_program_that_goes_on_after_closing_its_selector_sees_what_it_saw_of_0_2_3(
    setup: Setup, start: list[Spec], program: list[Spec]
) -> None:
    compare(setup, [*start, ("close_selector",), *program])


@share(0.05)
@given(setup=SERVED, turns=TURNS, size=st.sampled_from((1, 3, 100)), writes=st.booleans())
def test_a_server_is_served_as_by_0_2_3(setup: Setup, turns: list[tuple[int, int]], size: int, writes: bool) -> None:
    was, now = (served(package, setup, turns, size, writes=writes) for package in (theirs, ours))
    assert was == now


def test_every_difference_is_either_compared_alike_or_left_out() -> None:
    rows = (Path(__file__).parent.parent / "docs" / "differences.md").read_text(encoding="utf-8")
    assert {*ALIKE, *LEFT_OUT} == set(re.findall(r"^\| `([a-z-]+)` \|", rows, re.MULTILINE))

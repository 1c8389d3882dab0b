"""Small servers for the tests of scenarios, a client of theirs, and what an error of theirs begins with."""

from __future__ import annotations

import re
import selectors
import socket
from selectors import EVENT_READ
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockselector import RuleId, Scenario

R = TypeVar("R")

PORT = 8888
DB = ("db", 5432)


def one(handle: Callable[[socket.socket], R]) -> R:
    """Serve one client, in calls that block, and return what `handle` returns."""
    with socket.create_server(("", PORT)) as listener:
        conn, _ = listener.accept()
        with conn:
            return handle(conn)


def calls(handle: Callable[[socket.socket], R], timeout: float | None = None) -> R:
    """Connect to the backend, and return what `handle` returns."""
    with socket.create_connection(DB, timeout) as conn:
        return handle(conn)


def read_all(conn: socket.socket) -> list[bytes]:
    """What each `recv()` returns, up to the end."""
    return list(iter(lambda: conn.recv(1 << 20), b""))


def nothing(_: object) -> None:
    """Serve a client by hanging up on it."""


def echo(port: int = PORT) -> NoReturn:
    """Serve for ever, with a selector."""
    with selectors.DefaultSelector() as selector, socket.create_server(("", port)) as listener:
        selector.register(listener, EVENT_READ)
        while True:
            step(selector, listener, selector.select())


def step(
    selector: selectors.BaseSelector, listener: socket.socket, ready: list[tuple[selectors.SelectorKey, int]]
) -> None:
    """Echo what has come."""
    for key, _ in ready:
        if key.fileobj is listener:
            conn, _ = listener.accept()
            selector.register(conn, EVENT_READ)
            continue
        assert isinstance(key.fileobj, socket.socket)
        data = key.fileobj.recv(1 << 16)
        if data:
            key.fileobj.sendall(data)
        else:
            selector.unregister(key.fileobj)
            key.fileobj.close()


def until_stopped(stop: Callable[[], object], timeout: float | None = 1.0) -> object:
    """An echo that looks after each `select()` whether it is to stop, and returns why."""
    with socket.create_server(("", PORT)) as listener, selectors.DefaultSelector() as selector:
        selector.register(listener, EVENT_READ)
        while not stop():
            step(selector, listener, selector.select(timeout))
        return stop()


def hello(net: Scenario, name: str = "alice", **options: Any) -> None:
    """A client that says hi, and hears it."""
    net.client(name, **options).sends(b"hi").expects(b"hi").closes()


def headline(text: str, rule: RuleId) -> str:
    """A pattern for an error that begins with just this."""
    return rf"\A\[{rule}\] {re.escape(text)}\n"

"""Sockets that a test itself handles in a scenario, as the server would; and what they raise."""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mockselector import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mockselector import RuleId

AT_THE_END: tuple[RuleId, ...] = (
    "leaked-connection",
    "unread-data",
    "unaccepted-connection",
    "unmet-expectation",
)
LINGER_NOT = struct.pack("ii", 1, 0)


@contextmanager
def scenario(*allow: RuleId, buffer: int = 65536, pedantic: bool = False) -> Generator[Scenario]:
    """A scenario whose sockets the test itself handles, as the server would; what is left over is not its subject."""
    with Scenario(allow=[*AT_THE_END, *allow], buffer=buffer, pedantic=pedantic) as net, net.installed():
        yield net


def accept(timeout: float | None = None) -> socket.socket:
    """The next client, of a listener that then closes."""
    with socket.create_server(("localhost", 8888)) as listener:
        conn = listener.accept()[0]
    conn.settimeout(timeout)
    return conn


def own_pair(timeout: float | None = None) -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection of the program with itself."""
    with socket.create_server(("localhost", 8888)) as listener:
        near = socket.create_connection(("localhost", 8888))
        far = listener.accept()[0]
    near.settimeout(timeout)
    far.settimeout(timeout)
    return near, far


def error_of(call: Callable[..., object], *args: object) -> int | None:
    """The number of the OSError that a call raises."""
    with pytest.raises(OSError) as caught:
        call(*args)
    return caught.value.errno


def forget(net: Scenario) -> None:
    """What was refused aloud is not to be told once more at the end."""
    net._world.monitor.violation = None


def look(net: Scenario) -> None:
    """Let the peers act, as a poll does."""
    net.selector().select(0)


def error_of_accept(net: Scenario, listener: socket.socket) -> int | None:
    look(net)
    listener.setblocking(False)
    return error_of(listener.accept)

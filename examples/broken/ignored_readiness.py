"""Reads nothing from a client whose output waits, and still asks to be woken by what it says."""

from __future__ import annotations

import selectors
import socket
from dataclasses import dataclass, field


@dataclass
class Connection:
    sock: socket.socket
    output: bytearray = field(default_factory=bytearray)
    ended: bool = False


def serve(host: str, port: int) -> None:
    selector = selectors.DefaultSelector()
    listener = socket.create_server((host, port))
    selector.register(listener, selectors.EVENT_READ)
    try:
        while True:
            for key, mask in selector.select():
                if key.data is None:
                    accept(selector, listener)
                else:
                    proceed(selector, key, mask)
    finally:
        selector.close()
        listener.close()


def accept(selector: selectors.BaseSelector, listener: socket.socket) -> None:
    sock, _ = listener.accept()
    sock.setblocking(False)
    selector.register(sock, selectors.EVENT_READ, Connection(sock))


def proceed(selector: selectors.BaseSelector, key: selectors.SelectorKey, mask: int) -> None:
    connection: Connection = key.data
    try:
        if mask & selectors.EVENT_READ and not connection.output:
            data = connection.sock.recv(4096)
            connection.output += data
            connection.ended = not data
        if mask & selectors.EVENT_WRITE:
            sent = connection.sock.send(bytes(connection.output))
            del connection.output[:sent]
    except ConnectionError:
        connection.ended = True
        connection.output.clear()
    reading = 0 if connection.ended else selectors.EVENT_READ
    writing = selectors.EVENT_WRITE if connection.output else 0
    wanted = reading | writing
    if not wanted:
        selector.unregister(connection.sock)
        connection.sock.close()
    elif wanted != key.events:
        selector.modify(connection.sock, wanted, connection)  # BUG: not READ, while it is not read

"""Queues output for the next EVENT_WRITE, and never asks for one."""

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
                    proceed(selector, key.data, mask)
    finally:
        selector.close()
        listener.close()


def accept(selector: selectors.BaseSelector, listener: socket.socket) -> None:
    sock, _ = listener.accept()
    sock.setblocking(False)
    selector.register(sock, selectors.EVENT_READ, Connection(sock))  # BUG: nothing adds EVENT_WRITE later


def proceed(selector: selectors.BaseSelector, connection: Connection, mask: int) -> None:
    try:
        if mask & selectors.EVENT_READ:
            data = connection.sock.recv(4096)
            connection.output += data
            connection.ended = not data
        if mask & selectors.EVENT_WRITE:
            sent = connection.sock.send(bytes(connection.output))
            del connection.output[:sent]
    except ConnectionError:
        connection.ended = True
        connection.output.clear()
    if connection.ended:
        selector.unregister(connection.sock)
        connection.sock.close()

"""Drains a non-blocking socket until EAGAIN, and takes no note of the end in between."""

from __future__ import annotations

import selectors
import socket


def serve(host: str, port: int) -> None:
    selector = selectors.DefaultSelector()
    listener = socket.create_server((host, port))
    selector.register(listener, selectors.EVENT_READ, accept)
    try:
        while True:
            for key, _ in selector.select():
                key.data(selector, key.fileobj)
    finally:
        selector.close()
        listener.close()


def accept(selector: selectors.BaseSelector, listener: socket.socket) -> None:
    conn, _ = listener.accept()
    conn.setblocking(False)
    selector.register(conn, selectors.EVENT_READ, echo)


def echo(selector: selectors.BaseSelector, conn: socket.socket) -> None:
    try:
        conn.sendall(drain(conn))
    except OSError:
        selector.unregister(conn)
        conn.close()


def drain(conn: socket.socket) -> bytes:
    data = b""
    while True:
        try:
            data += conn.recv(4096)  # BUG: at the end this is b"" for ever, and never EAGAIN
        except BlockingIOError:
            return data

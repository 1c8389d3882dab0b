"""Cleans up at a client's end, but not after its reset."""

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
        data = conn.recv(4096)
        if data:
            conn.sendall(data)
            return
    except OSError:
        conn.close()  # BUG: on this path the selector still has it
        return
    selector.unregister(conn)
    conn.close()

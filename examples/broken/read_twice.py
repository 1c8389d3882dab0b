"""Reads until a line is complete, on a blocking socket: half a line stops the loop for everyone."""

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
    selector.register(conn, selectors.EVENT_READ, echo)


def echo(selector: selectors.BaseSelector, conn: socket.socket) -> None:
    try:
        line = conn.recv(4096)
        while line and not line.endswith(b"\n"):
            line += conn.recv(4096)  # BUG: only the first read was announced
        if line:
            conn.sendall(line)
            return
    except OSError:
        pass
    selector.unregister(conn)
    conn.close()

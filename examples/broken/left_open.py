"""Returns when a client says so, and leaves the others open."""

from __future__ import annotations

import selectors
import socket


def serve(host: str, port: int) -> None:
    selector = selectors.DefaultSelector()
    listener = socket.create_server((host, port))
    selector.register(listener, selectors.EVENT_READ)
    data = b""
    conn: socket.socket | None
    try:
        while data != b"shutdown\n":
            for key, _ in selector.select():
                conn = key.data
                if conn is None:
                    conn, _ = listener.accept()  # BUG: nothing closes this one on the way out
                    conn.setblocking(False)
                    selector.register(conn, selectors.EVENT_READ, conn)
                    continue
                data = echo(conn)
                if not data:
                    selector.unregister(conn)
                    conn.close()
    finally:
        selector.close()
        listener.close()


def echo(conn: socket.socket) -> bytes:
    try:
        data = conn.recv(4096)
        if data:
            conn.sendall(data)
    except OSError:
        return b""
    return data

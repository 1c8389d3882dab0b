"""Lets nobody in while it is full, and forgets those who waited meanwhile."""

from __future__ import annotations

import selectors
import socket

LIMIT = 1


def serve(host: str, port: int) -> None:
    selector = selectors.DefaultSelector()
    listener = socket.create_server((host, port))
    selector.register(listener, selectors.EVENT_READ)
    conn: socket.socket | None
    clients = 0
    try:
        while True:
            for key, _ in selector.select():
                conn = key.data
                if conn is not None:
                    if not echo(conn):
                        selector.unregister(conn)
                        conn.close()
                        clients -= 1
                elif clients < LIMIT:
                    conn, _ = listener.accept()  # BUG: skipped when full; unregister the listener instead
                    conn.setblocking(False)
                    selector.register(conn, selectors.EVENT_READ, conn)
                    clients += 1
    finally:
        selector.close()
        listener.close()


def echo(conn: socket.socket) -> bool:
    try:
        data = conn.recv(4096)
        if data:
            conn.sendall(data)
    except OSError:
        return False
    return bool(data)

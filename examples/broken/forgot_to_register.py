"""Accepts clients, keeps them in a set, and never registers them."""

from __future__ import annotations

import selectors
import socket


def serve(host: str, port: int) -> None:
    selector = selectors.DefaultSelector()
    listener = socket.create_server((host, port))
    selector.register(listener, selectors.EVENT_READ)
    clients: set[socket.socket] = set()
    conn: socket.socket | None
    try:
        while True:
            for key, _ in selector.select():
                conn = key.data
                if conn is None:
                    conn, _ = listener.accept()  # BUG: the selector never hears of this connection
                    conn.setblocking(False)
                    clients.add(conn)
                elif not echo(conn):
                    selector.unregister(conn)
                    clients.remove(conn)
                    conn.close()
    finally:
        selector.close()
        for conn in (*clients, listener):
            conn.close()


def echo(conn: socket.socket) -> bool:
    try:
        data = conn.recv(4096)
        if data:
            conn.sendall(data)
    except OSError:
        return False
    return bool(data)

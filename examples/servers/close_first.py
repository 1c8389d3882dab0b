"""Closes a connection first, and unregisters it then.

The documented order is the other one. This one works too, as long as nothing is accepted in
between: `unregister()` finds a closed socket by identity.
"""

from __future__ import annotations

import selectors
import socket
import sys


def serve(host: str, port: int) -> None:
    """Serve until interrupted."""
    selector = selectors.DefaultSelector()
    listener = socket.create_server((host, port))
    selector.register(listener, selectors.EVENT_READ)
    conn: socket.socket | None
    try:
        while True:
            for key, _ in selector.select():
                conn = key.data
                if conn is None:
                    conn, _ = listener.accept()
                    conn.setblocking(False)
                    selector.register(conn, selectors.EVENT_READ, conn)
                    continue
                echo(conn)
                if conn.fileno() < 0:
                    selector.unregister(conn)
    finally:
        selector.close()
        listener.close()


def echo(conn: socket.socket) -> None:
    """Send back what has come, or close."""
    try:
        data = conn.recv(4096)
        if data:
            conn.sendall(data)
        else:
            conn.close()
    except OSError:  # reset; or it does not take its echo, and this server keeps no buffers
        conn.close()


if __name__ == "__main__":
    try:
        serve("localhost", int(sys.argv[1]))
    except KeyboardInterrupt:
        pass

"""Reads lines through `makefile()`, one client after the other.

The selector only waits for clients, as it does in `socketserver`. A client that keeps the others
waiting for longer than `PATIENCE` is dropped.
"""

from __future__ import annotations

import selectors
import socket
import sys

PATIENCE = 5.0
"""Seconds for which one client may be silent."""


def serve(host: str, port: int) -> None:
    """Serve until interrupted."""
    selector = selectors.DefaultSelector()
    listener = socket.create_server((host, port))
    selector.register(listener, selectors.EVENT_READ)
    try:
        while True:
            if selector.select(timeout=0.5):  # wakes up now and then, so that Ctrl-C is heard on Windows
                conn, _ = listener.accept()
                with conn:
                    echo(conn)
    finally:
        selector.close()
        listener.close()


def echo(conn: socket.socket) -> None:
    """Send every line back until the client has no more."""
    conn.settimeout(PATIENCE)
    try:
        with conn.makefile("rb") as lines:
            for line in lines:
                conn.sendall(line)
    except OSError:  # reset, or silent for too long
        return


if __name__ == "__main__":
    try:
        serve("localhost", int(sys.argv[1]))
    except KeyboardInterrupt:
        pass

"""At each readiness, reads until nothing is there (EAGAIN)."""

from __future__ import annotations

import selectors
import socket
import sys

BLOCK = 16
"""Bytes per read. Few, so that a short message shows the loop at work."""


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
                    selector.register(conn, selectors.EVENT_READ, data=conn)
                elif not echo(conn):
                    selector.unregister(conn)
                    conn.close()
    finally:
        selector.close()
        listener.close()


def echo(conn: socket.socket) -> bool:
    """Send back all that has come. False: the client is gone."""
    try:
        data, ended = drain(conn)
        if data:
            conn.sendall(data)
    except OSError:  # reset; or it does not take its echo, and this server keeps no buffers
        return False
    return not ended


def drain(conn: socket.socket) -> tuple[bytes, bool]:
    """Read all that is there; and whether the end was read."""
    chunks: list[bytes] = []
    while True:
        try:
            chunk = conn.recv(BLOCK)
        except BlockingIOError:
            return b"".join(chunks), False
        if not chunk:
            return b"".join(chunks), True
        chunks.append(chunk)


if __name__ == "__main__":
    try:
        serve("localhost", int(sys.argv[1]))
    except KeyboardInterrupt:
        pass

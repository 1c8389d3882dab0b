"""Accepts until nobody waits (EAGAIN): a rush of clients costs one `select()`."""

from __future__ import annotations

import selectors
import socket
import sys


def serve(host: str, port: int) -> None:
    """Serve until interrupted."""
    listener = socket.create_server((host, port), backlog=1024)
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    try:
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    accept_all(selector, listener)
                else:
                    echo(selector, key.data)
    finally:
        selector.close()
        listener.close()


def accept_all(selector: selectors.BaseSelector, listener: socket.socket) -> None:
    """Let in everyone who waits."""
    while True:
        try:
            conn, _ = listener.accept()
        except BlockingIOError:
            return
        except ConnectionAbortedError:  # it has already gone; others may wait behind it
            continue
        conn.setblocking(False)
        selector.register(conn, selectors.EVENT_READ, conn)


def echo(selector: selectors.BaseSelector, conn: socket.socket) -> None:
    """A client has said something, or hung up."""
    try:
        data = conn.recv(4096)
        if data:
            conn.sendall(data)
            return
    except OSError:  # reset; or it does not take its echo, and this server keeps no buffers
        pass
    selector.unregister(conn)
    conn.close()


if __name__ == "__main__":
    try:
        serve("localhost", int(sys.argv[1]))
    except KeyboardInterrupt:
        pass

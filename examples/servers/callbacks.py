"""A callback in `key.data`, after the example in the `selectors` documentation."""

from __future__ import annotations

import selectors
import socket
import sys


def serve(host: str, port: int) -> None:
    """Serve until interrupted."""
    selector = selectors.DefaultSelector()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, accept)
        while True:
            for key, _ in selector.select():
                callback = key.data
                callback(selector, key.fileobj)
    finally:
        selector.close()
        listener.close()


def accept(selector: selectors.BaseSelector, listener: socket.socket) -> None:
    """A client has come."""
    try:
        conn, _ = listener.accept()
    except (BlockingIOError, ConnectionAbortedError):  # and is gone again
        return
    conn.setblocking(False)
    selector.register(conn, selectors.EVENT_READ, echo)


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

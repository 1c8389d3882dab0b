"""Echo: each client gets back what it sends, byte for byte.

    python examples/echo.py 8888

serves until Ctrl-C. `key.data` is the callback to call. What a client does not take yet waits in a buffer of its own,
and EVENT_WRITE is asked for only while there is something in it. A client that ends its side still gets all of its
echo; then its connection is closed.
"""

from __future__ import annotations

import selectors
import socket
import sys
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE

BLOCK = 65536
"""Bytes that one read, or one write, moves at most."""

LIMIT = 65536
"""With so many bytes of output waiting, nothing more is read from a client."""


class Connection:
    """A client, and the part of its echo that it has not taken yet."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.output = bytearray()
        self.ended = False  # whether the client's end was read
        self.events = EVENT_READ

    def ready(self, mask: int) -> None:
        """The selector's callback: do what can be done, and wait for what cannot."""
        waiting = bool(self.output)  # for EVENT_WRITE
        try:
            if mask & EVENT_READ:
                data = self.sock.recv(BLOCK)
                self.output += data
                self.ended = not data
            if self.output and (mask & EVENT_WRITE or not waiting):
                sent = self.sock.send(bytes(self.output[:BLOCK]))
                del self.output[:sent]
        except (BlockingIOError, InterruptedError):  # it will be ready another time
            pass
        except OSError:  # reset, or unreachable: nobody is there to take the rest
            self.server.drop(self)
            return
        self.wait()

    def wait(self) -> None:
        """Ask for what is to be done next; where nothing is, close."""
        events = EVENT_WRITE if self.output else 0
        if not self.ended and len(self.output) < LIMIT:
            events |= EVENT_READ
        if not events:
            self.server.drop(self)
        elif events != self.events:
            self.server.selector.modify(self.sock, events, self.ready)
            self.events = events


class Server:
    """Owns the listener, the selector and the connections."""

    def __init__(self, port: int, host: str) -> None:
        self.listener = socket.create_server((host, port))
        self.listener.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, EVENT_READ, self.accept)
        self.connections: set[Connection] = set()

    def run(self) -> None:
        """Call back whoever is ready, for ever."""
        while True:
            for key, mask in self.selector.select():
                callback: Callable[[int], None] = key.data
                callback(mask)

    def accept(self, mask: int) -> None:
        """The listener's callback: a client has come."""
        try:
            sock, _ = self.listener.accept()
        except OSError:  # it is gone again, or no descriptor is free for it: serve the others
            return
        sock.setblocking(False)
        connection = Connection(self, sock)
        self.connections.add(connection)
        self.selector.register(sock, connection.events, connection.ready)

    def drop(self, connection: Connection) -> None:
        """Forget a connection."""
        self.selector.unregister(connection.sock)
        connection.sock.close()
        self.connections.remove(connection)

    def close(self) -> None:
        """Hang up on everyone."""
        self.selector.close()
        for connection in self.connections:
            connection.sock.close()
        self.listener.close()


def serve(port: int, host: str = "localhost") -> None:
    """Serve until Ctrl-C."""
    server = Server(port, host)
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))

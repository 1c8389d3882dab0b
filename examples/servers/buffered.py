"""Output waits in a buffer until the client takes it; no byte is lost.

The server asks for EVENT_WRITE only while there is output, goes on from where a short `send()` stopped,
and at a client's end flushes the output before it closes.
"""

from __future__ import annotations

import selectors
import socket
import sys
from dataclasses import dataclass, field

LIMIT = 65536
"""With so many bytes of output waiting, nothing more is read from a client."""


@dataclass
class Connection:
    """A client, and the output that waits for it."""

    sock: socket.socket
    output: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def read(self) -> None:
        """Queue what has come, or note the end."""
        data = self.sock.recv(4096)
        self.output += data
        self.ended = not data

    def write(self) -> None:
        """Send as much as the client takes."""
        sent = self.sock.send(bytes(self.output))
        del self.output[:sent]

    def interest(self) -> int:
        """What to wait for; 0: nothing, the connection is done."""
        mask = 0
        if self.output:
            mask |= selectors.EVENT_WRITE
        if not self.ended and len(self.output) < LIMIT:
            mask |= selectors.EVENT_READ
        return mask


def serve(host: str, port: int) -> None:
    """Serve until interrupted."""
    selector = selectors.DefaultSelector()
    listener = socket.create_server((host, port))
    selector.register(listener, selectors.EVENT_READ)
    try:
        while True:
            for key, mask in selector.select():
                if key.fileobj is listener:
                    accept(selector, listener)
                else:
                    proceed(selector, key, mask)
    finally:
        selector.close()
        listener.close()


def accept(selector: selectors.BaseSelector, listener: socket.socket) -> None:
    """A client has come."""
    sock, _ = listener.accept()
    sock.setblocking(False)
    selector.register(sock, selectors.EVENT_READ, Connection(sock))


def proceed(selector: selectors.BaseSelector, key: selectors.SelectorKey, mask: int) -> None:
    """Do what can be done, and wait for what cannot."""
    connection: Connection = key.data
    try:
        if mask & selectors.EVENT_READ:
            connection.read()
        if mask & selectors.EVENT_WRITE:
            connection.write()
    except BlockingIOError:  # woken for nothing: wait again
        pass
    except ConnectionError:
        connection.ended = True
        connection.output.clear()
    interest = connection.interest()
    if not interest:
        selector.unregister(connection.sock)
        connection.sock.close()
    elif interest != key.events:
        selector.modify(connection.sock, interest, connection)


if __name__ == "__main__":
    try:
        serve("localhost", int(sys.argv[1]))
    except KeyboardInterrupt:
        pass

"""A class for the server, and one for a client. It shouts every line back."""

from __future__ import annotations

import selectors
import socket
import sys


class Client:
    """One connection, and the line that it has begun."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.begun = b""

    def ready(self) -> bool:
        """Answer what has come. False: the client is gone."""
        try:
            data = self.sock.recv(4096)
            if not data:
                return False
            *lines, self.begun = (self.begun + data).split(b"\n")
            for line in lines:
                self.sock.sendall(line.upper() + b"\n")
        except OSError:  # reset; or it does not take its answers
            return False
        return True


class ShoutServer:
    """Owns the selector, the listener and the clients."""

    def __init__(self, host: str, port: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server((host, port))
        self.clients: list[Client] = []
        self.selector.register(self.listener, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until interrupted."""
        while True:
            for key, _ in self.selector.select():
                client: Client | None = key.data
                if client is None:
                    self.accept()
                elif not client.ready():
                    self.drop(client)

    def accept(self) -> None:
        """A client has come."""
        sock, _ = self.listener.accept()
        sock.setblocking(False)
        client = Client(sock)
        self.clients.append(client)
        self.selector.register(sock, selectors.EVENT_READ, client)

    def drop(self, client: Client) -> None:
        """Forget a client."""
        self.clients.remove(client)
        self.selector.unregister(client.sock)
        client.sock.close()

    def close(self) -> None:
        """Hang up on everyone."""
        for client in self.clients.copy():
            self.drop(client)
        self.selector.close()
        self.listener.close()


def serve(host: str, port: int) -> None:
    """Serve until interrupted."""
    server = ShoutServer(host, port)
    try:
        server.run()
    finally:
        server.close()


if __name__ == "__main__":
    try:
        serve("localhost", int(sys.argv[1]))
    except KeyboardInterrupt:
        pass

"""A server as people wrote them for 0.2.3, for tests that patch what it imports."""

from __future__ import annotations

import socket
from selectors import EVENT_READ, BaseSelector, DefaultSelector


def echo_in_its_own_block(selector: BaseSelector, sock: socket.socket) -> None:
    """A server that enters its selector, as it may, and closes what is left behind it."""
    with selector:
        selector.register(sock, EVENT_READ)
        while True:
            for _ in selector.select():
                if not sock.recv(9):
                    selector.unregister(sock)
                    sock.close()


class EchoServer:
    """Echoes what each client says, until `stop` is set."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stop = False

    def run(self) -> None:
        listener = socket.socket()
        listener.bind(("0.0.0.0", self.port))
        listener.listen()
        selector = DefaultSelector()
        selector.register(listener, EVENT_READ)
        while not self.stop:
            for key, _mask in selector.select():
                sock: socket.socket = key.fileobj  # type: ignore[assignment]  # all that was registered
                if sock is listener:
                    client, _address = listener.accept()
                    selector.register(client, EVENT_READ)
                    continue
                data = sock.recv(1024)
                if data:
                    sock.send(data)
                else:
                    selector.unregister(sock)
                    sock.close()

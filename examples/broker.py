"""A publish/subscribe broker.

    python examples/broker.py 8888

serves until Ctrl-C. A client sends lines, and each is answered by `OK` or `ERR` with a reason:

    SUB topic         from now on, what is published there is delivered, as `MSG topic text`
    UNSUB topic       no more
    PUB topic text    to all subscribers, the client itself included, before it reads its `OK`

A client that sends nothing for IDLE seconds gets `BYE`, and is closed. So is, without a word, one that leaves more than
LIMIT bytes waiting, or sends a line that is too long. One that has ended its side still gets what waits for it.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from selectors import EVENT_READ, EVENT_WRITE

BLOCK = 16384
"""Bytes that one read takes at most."""

LIMIT = 1024 * 1024
"""A client with more bytes than this waiting for it is too slow."""

LONGEST_LINE = 4096
IDLE = 600.0


class Client:
    """One connection: its topics, the line that it has begun, and what waits for it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.events = EVENT_READ
        self.topics: set[bytes] = set()
        self.begun = b""
        self.output = bytearray()
        self.deadline = time.monotonic() + IDLE  # when it will have been silent for too long
        self.ended = False  # whether its end was read
        self.open = True


class Broker:
    """Owns the listener, the selector and the clients, in the order in which they came."""

    def __init__(self, port: int, host: str) -> None:
        self.listener = socket.create_server((host, port))
        self.listener.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, EVENT_READ)
        self.clients: list[Client] = []

    def run(self) -> None:
        """Serve for ever."""
        while True:
            for key, mask in self.selector.select(self.patience()):
                client: Client | None = key.data
                if client is None:
                    self.accept()
                elif client.open:  # not dropped for what another one, ready at the same time, has published
                    self.ready(client, mask)
            self.expire()

    def patience(self) -> float | None:
        """Seconds until the first client will have been silent for too long. None: there is no client."""
        if not self.clients:
            return None
        return max(0.0, min(client.deadline for client in self.clients) - time.monotonic())

    def expire(self) -> None:
        """Say goodbye to whoever has been silent for too long."""
        now = time.monotonic()
        for client in self.clients.copy():
            if client.deadline <= now:
                client.output += b"BYE\n"
                try:
                    client.sock.send(bytes(client.output))
                except OSError:  # it does not even take that
                    pass
                self.drop(client)

    def accept(self) -> None:
        """A client has come."""
        try:
            sock, _ = self.listener.accept()
        except OSError:  # it is gone again, or no descriptor is free for it: serve the others
            return
        sock.setblocking(False)
        client = Client(sock)
        self.clients.append(client)
        self.selector.register(sock, EVENT_READ, client)

    def ready(self, client: Client, mask: int) -> None:
        """Write and read as far as it goes."""
        try:
            if mask & EVENT_WRITE:
                sent = client.sock.send(bytes(client.output))
                del client.output[:sent]
            if mask & EVENT_READ:
                self.hear(client, client.sock.recv(BLOCK))
        except (BlockingIOError, InterruptedError):  # it will be ready another time
            pass
        except OSError:  # reset, or unreachable
            self.drop(client)
        if client.open:
            self.wait(client)

    def hear(self, client: Client, data: bytes) -> None:
        """Answer what has come."""
        if not data:
            client.ended = True
            client.topics.clear()
            return
        client.deadline = time.monotonic() + IDLE
        *lines, client.begun = (client.begun + data).split(b"\n")
        for line in lines:
            if client.open and len(line) <= LONGEST_LINE:
                self.say(client, self.answer(client, line.removesuffix(b"\r")) + b"\n")
        if client.open and any(len(line) > LONGEST_LINE for line in (*lines, client.begun)):
            self.drop(client)

    def answer(self, client: Client, line: bytes) -> bytes:
        """Do what a line says."""
        match line.split(b" ", 2):
            case [b"SUB", topic] if topic:
                client.topics.add(topic)
            case [b"UNSUB", topic] if topic in client.topics:
                client.topics.remove(topic)
            case [b"UNSUB", topic] if topic:
                return b"ERR not subscribed"
            case [b"PUB", topic, text] if topic:
                for subscriber in self.clients.copy():
                    if topic in subscriber.topics:
                        self.say(subscriber, b"MSG %b %b\n" % (topic, text))
            case _:
                return b"ERR say SUB topic, UNSUB topic, or PUB topic text"
        return b"OK"

    def say(self, client: Client, data: bytes) -> None:
        """Queue this. It is sent in the client's own turn, so whatever happens to it then is not felt here."""
        if not client.open:
            return
        client.output += data
        if len(client.output) > LIMIT:
            self.drop(client)
        else:
            self.wait(client)

    def wait(self, client: Client) -> None:
        """Ask for what is to be done next; where nothing is, close."""
        events = (0 if client.ended else EVENT_READ) | (EVENT_WRITE if client.output else 0)
        if not events:
            self.drop(client)
        elif events != client.events:
            self.selector.modify(client.sock, events, client)
            client.events = events

    def drop(self, client: Client) -> None:
        """Forget a client."""
        client.open = False
        self.selector.unregister(client.sock)
        client.sock.close()
        self.clients.remove(client)

    def close(self) -> None:
        """Hang up on everyone."""
        self.selector.close()
        for client in self.clients:
            client.sock.close()
        self.listener.close()


def serve(port: int, host: str = "localhost") -> None:
    """Serve until Ctrl-C."""
    broker = Broker(port, host)
    try:
        broker.run()
    except KeyboardInterrupt:
        pass
    finally:
        broker.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))

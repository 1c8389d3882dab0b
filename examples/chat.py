"""Chat: each line that a client says goes to all the others.

    python examples/chat.py 8888

serves until Ctrl-C. A client's first line is its nickname: 1 to 32 bytes that nobody else goes by; else it is told
`! choose another name`, and its next line counts. The others then read `* alice has come`, `<alice> hello` and, when
she hangs up, `* alice has left`. Who has no name yet hears nothing. Empty lines are not passed on.

What a client does not take waits in a buffer of its own; with more than LIMIT bytes in there it is dropped. Whoever is
lost while something is being told is only marked, and removed when all the others have been told.
"""

from __future__ import annotations

import selectors
import socket
import sys
from selectors import EVENT_READ, EVENT_WRITE

BLOCK = 16384
"""Bytes that one read takes at most."""

LIMIT = 256 * 1024
"""A client with more bytes than this waiting for it is too slow."""

LONGEST_LINE = 4096
LONGEST_NAME = 32


class Client:
    """One connection: what it is called, the line that it has begun, and what waits for it."""

    def __init__(self, room: Room, sock: socket.socket) -> None:
        self.room = room
        self.sock = sock
        self.events = EVENT_READ
        self.name = b""  # none yet
        self.begun = b""
        self.output = bytearray()
        self.lost = False

    def ready(self, mask: int) -> None:
        """Write and read as far as it goes."""
        if mask & EVENT_WRITE:
            self.flush()
        if mask & EVENT_READ and not self.lost:
            try:
                self.hear(self.sock.recv(BLOCK))
            except (BlockingIOError, InterruptedError):  # it will be ready another time
                pass
            except OSError:  # reset, or unreachable
                self.lost = True

    def hear(self, data: bytes) -> None:
        """Act on what has come."""
        *lines, self.begun = (self.begun + data).split(b"\n")
        for line in lines:
            if len(line) <= LONGEST_LINE and not self.lost:
                self.act(line.removesuffix(b"\r"))
        if not data or any(len(line) > LONGEST_LINE for line in (*lines, self.begun)):
            self.lost = True

    def act(self, line: bytes) -> None:
        """Take a name, or talk."""
        if self.name:
            if line:
                self.room.tell(b"<%b> %b\n" % (self.name, line), besides=self)
        elif 0 < len(line) <= LONGEST_NAME and all(line != other.name for other in self.room.clients):
            self.name = line
            self.room.tell(b"* %b has come\n" % line, besides=self)
        else:
            self.say(b"! choose another name\n")

    def say(self, data: bytes) -> None:
        """Let the client have this, now or later."""
        self.output += data
        if len(self.output) > LIMIT:
            self.lost = True
        elif not self.events & EVENT_WRITE:  # else it has to take earlier output first
            self.flush()

    def flush(self) -> None:
        """Send what the client takes now, and ask for EVENT_WRITE while there is more."""
        try:
            sent = self.sock.send(bytes(self.output))
            del self.output[:sent]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.lost = True
            return
        events = EVENT_READ | EVENT_WRITE if self.output else EVENT_READ
        if events != self.events:
            self.room.selector.modify(self.sock, events, self)
            self.events = events


class Room:
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
            for key, mask in self.selector.select():
                client: Client | None = key.data
                if client is None:
                    self.accept()
                elif not client.lost:  # by what another one, ready at the same time, has said
                    client.ready(mask)
                self.remove_lost()

    def accept(self) -> None:
        """A client has come."""
        try:
            sock, _ = self.listener.accept()
        except OSError:  # it is gone again, or no descriptor is free for it: serve the others
            return
        sock.setblocking(False)
        client = Client(self, sock)
        self.clients.append(client)
        self.selector.register(sock, EVENT_READ, client)

    def tell(self, data: bytes, besides: Client) -> None:
        """Let everyone know, but for one."""
        for client in self.clients:
            if client.name and client is not besides and not client.lost:
                client.say(data)

    def remove_lost(self) -> None:
        """Hang up on who is lost, and tell the others. More can be lost by that."""
        while lost := [client for client in self.clients if client.lost]:
            for client in lost:
                self.selector.unregister(client.sock)
                client.sock.close()
                self.clients.remove(client)
                if client.name:
                    self.tell(b"* %b has left\n" % client.name, besides=client)

    def close(self) -> None:
        """Hang up on everyone."""
        self.selector.close()
        for client in self.clients:
            client.sock.close()
        self.listener.close()


def serve(port: int, host: str = "localhost") -> None:
    """Serve until Ctrl-C."""
    room = Room(port, host)
    try:
        room.run()
    except KeyboardInterrupt:
        pass
    finally:
        room.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))

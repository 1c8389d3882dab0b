"""A TCP proxy: whatever comes to its port goes to another server, and back.

    python examples/proxy.py 8888 HOST PORT

serves until Ctrl-C. A connection is a pair of ends; what is read from one waits at the other until it is taken, and
with LIMIT bytes waiting there no more is read. When one end has no more to say, the other is told so once it has taken
all, and may go on talking; when both have, or one of them fails, or HOST refuses, both are closed.

An end that waits for nothing at the moment is not registered.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import sys
from selectors import EVENT_READ, EVENT_WRITE

BLOCK = 65536
"""Bytes that one read, or one write, moves at most."""

LIMIT = 65536
"""With so many bytes waiting at one end, nothing more is read from the other."""

UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR)
"""What `connect_ex()` may return: EVENT_WRITE will tell what has come of it."""


class End:
    """One end of a pair: a socket, and what waits until it is taken there."""

    other: End

    def __init__(self, sock: socket.socket, *, connecting: bool) -> None:
        self.sock = sock
        self.connecting = connecting
        self.output = bytearray()
        self.ended = False  # whether it has no more to say
        self.shut = False  # whether it has been told that the other one has no more to say
        self.events = 0  # what it is registered for

    def proceed(self, mask: int) -> None:
        """Read once, and write once. OSError: this end fails."""
        if self.connecting:
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            self.connecting = False
        elif mask & EVENT_WRITE:
            sent = self.sock.send(bytes(self.output[:BLOCK]))
            del self.output[:sent]
        if mask & EVENT_READ:
            data = self.sock.recv(BLOCK)
            self.other.output += data
            self.ended = not data

    def pass_on_end(self) -> None:
        """Tell this end that the other one has ended, once it has taken all."""
        if self.other.ended and not self.output and not self.connecting and not self.shut:
            self.sock.shutdown(socket.SHUT_WR)
            self.shut = True

    def wanted(self) -> int:
        """What to wait for."""
        if self.connecting:
            return EVENT_WRITE
        events = EVENT_WRITE if self.output else 0
        if not self.ended and len(self.other.output) < LIMIT:
            events |= EVENT_READ
        return events


class Proxy:
    """Owns the listener, the selector and all ends."""

    def __init__(self, port: int, upstream: tuple[str, int], host: str) -> None:
        self.upstream = upstream
        self.listener = socket.create_server((host, port))
        self.listener.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, EVENT_READ)
        self.ends: set[End] = set()

    def run(self) -> None:
        """Serve for ever."""
        while True:
            for key, mask in self.selector.select():
                end: End | None = key.data
                if end is None:
                    self.accept()
                elif end in self.ends:  # the other one, ready at the same time, may have failed
                    self.ready(end, mask)

    def accept(self) -> None:
        """A client has come: begin to connect."""
        try:
            sock, _ = self.listener.accept()
        except OSError:  # it is gone again, or no descriptor is free for it: serve the others
            return
        sock.setblocking(False)
        try:
            upstream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        except OSError:  # no descriptor is free
            sock.close()
            return
        upstream.setblocking(False)
        client, server = End(sock, connecting=False), End(upstream, connecting=True)
        client.other, server.other = server, client
        self.ends |= {client, server}
        if upstream.connect_ex(self.upstream) in UNDER_WAY:
            self.wait(client)
            self.wait(server)
        else:
            self.drop(client)

    def ready(self, end: End, mask: int) -> None:
        """Do what can be done, and wait for what cannot."""
        try:
            try:
                end.proceed(mask)
            except (BlockingIOError, InterruptedError):  # it will be ready another time
                pass
            end.pass_on_end()
            end.other.pass_on_end()
        except OSError:  # refused, reset, unreachable
            self.drop(end)
            return
        if end.shut and end.other.shut:
            self.drop(end)
        else:
            self.wait(end)
            self.wait(end.other)

    def wait(self, end: End) -> None:
        """Have the selector wait for what an end wants, if anything."""
        events = end.wanted()
        if not end.events and events:
            self.selector.register(end.sock, events, end)
        elif end.events and not events:
            self.selector.unregister(end.sock)
        elif events != end.events:
            self.selector.modify(end.sock, events, end)
        end.events = events

    def drop(self, end: End) -> None:
        """Close both ends of a pair."""
        for each in (end, end.other):
            if each.events:
                self.selector.unregister(each.sock)
            each.sock.close()
        self.ends -= {end, end.other}

    def close(self) -> None:
        """Hang up on everyone."""
        self.selector.close()
        for end in self.ends:
            end.sock.close()
        self.listener.close()


def serve(port: int, upstream_host: str, upstream_port: int, host: str = "localhost") -> None:
    """Serve until Ctrl-C. The upstream's name is looked up once, as a look-up would keep all clients waiting."""
    proxy = Proxy(port, (socket.gethostbyname(upstream_host), upstream_port), host)
    try:
        proxy.run()
    except KeyboardInterrupt:
        pass
    finally:
        proxy.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

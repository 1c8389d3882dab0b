"""HTTP/1.1: a web server of two resources.

    python examples/web.py 8888

serves until Ctrl-C: `GET /` (or HEAD) a greeting, `POST /echo` its own body. It keeps connections alive, answers
pipelined requests in order, and takes heads and bodies in whatever pieces they come.

A generator per connection reads requests and writes answers; its `yield` waits for more input. After the last answer
the server ends its own side, and reads on, for nothing, until the client ends, too: to close with input unread would
reset the connection, and could cost the client that answer.
"""

from __future__ import annotations

import re
import selectors
import socket
import sys
from collections.abc import Generator
from selectors import EVENT_READ, EVENT_WRITE

BLOCK = 65536
"""Bytes that one read, or one write, moves at most."""

LIMIT = 65536
"""With so many bytes of output waiting, nothing more is read from a client."""

LONGEST_HEAD = 8192
LONGEST_BODY = 1024 * 1024

RESOURCES = {("GET", "/"), ("HEAD", "/"), ("POST", "/echo")}
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 413: "Content Too Large", 501: "Not Implemented"}
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"


class RequestError(Exception):
    """A request that is not read to its end, with the status that says why."""


def conversation(incoming: bytearray, output: bytearray) -> Generator[None, None, None]:
    """Answer the requests in `incoming`; yields for want of more, returns when the connection is to be closed."""
    last = False
    try:
        while not last:
            while (end := incoming.find(b"\r\n\r\n", 0, LONGEST_HEAD + 4)) < 0:
                if len(incoming) >= LONGEST_HEAD + 4:
                    raise RequestError(400)
                yield
            method, path, fields, last = parsed(incoming[:end].decode("latin-1"))
            del incoming[: end + 4]
            length = int(fields.get("content-length", "0"))
            if len(incoming) < length and fields.get("expect", "").lower() == "100-continue":
                output += b"HTTP/1.1 100 Continue\r\n\r\n"
            while len(incoming) < length:
                yield
            output += respond(method, path, bytes(incoming[:length]), last=last)
            del incoming[:length]
    except RequestError as error:
        output += answer(error.args[0], last=True)


def parsed(head: str) -> tuple[str, str, dict[str, str], bool]:
    """A request's method, path and header fields, and whether it is the last one."""
    first, *lines = head.removeprefix("\r\n").split("\r\n")
    request = re.fullmatch(rf"({TOKEN}) ([!-~]+) HTTP/1\.([01])", first)
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(TOKEN, name) or re.search(r"[\r\n\0]", value):
            raise RequestError(400)
        name, value = name.lower(), value.strip(" \t")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    old = request is not None and request[3] == "0"
    one_host = re.fullmatch(r"[^\s,]*", fields.get("host", "" if old else ","))
    if not request or not one_host or not re.fullmatch(r"[0-9]{1,18}", fields.get("content-length", "0")):
        raise RequestError(400)
    if "transfer-encoding" in fields:
        raise RequestError(501)
    if int(fields.get("content-length", "0")) > LONGEST_BODY:
        raise RequestError(413)
    options = [option.strip() for option in fields.get("connection", "").lower().split(",")]
    return request[1], request[2].partition("?")[0], fields, old or "close" in options


def respond(method: str, path: str, body: bytes, *, last: bool) -> bytes:
    """The answer to a whole request."""
    if (method, path) not in RESOURCES:
        return answer(404, method, last=last)
    return answer(200, method, body if method == "POST" else b"Hello, world!\n", last=last)


def answer(status: int, method: str = "", body: bytes | None = None, *, last: bool) -> bytes:
    """The bytes of an answer. `last`: the connection is closed after it."""
    if body is None:
        body = f"{status} {REASONS[status]}\n".encode()
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    head += "Connection: close\r\n\r\n" if last else "\r\n"
    return head.encode() + (b"" if method == "HEAD" else body)


class Connection:
    """A client, what it has said, and the answers that it has not taken yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.incoming = bytearray()
        self.output = bytearray()
        self.conversation = conversation(self.incoming, self.output)
        self.over = False  # whether the last answer is given
        self.shut = False  # whether the client has been told so
        self.ended = False  # whether the client's end was read

    def proceed(self, mask: int) -> None:
        """Read once, and write once. OSError: the client is gone."""
        waiting = bool(self.output)  # for EVENT_WRITE
        try:
            if mask & EVENT_READ:
                data = self.sock.recv(BLOCK)
                self.ended = not data
                if data and not self.over:
                    self.incoming += data
                    self.over = next(self.conversation, True) is True  # a yield gives None
            if self.output and (mask & EVENT_WRITE or not waiting):
                sent = self.sock.send(bytes(self.output[:BLOCK]))
                del self.output[:sent]
        except (BlockingIOError, InterruptedError):  # it will be ready another time
            return
        if self.over and not (self.output or self.ended or self.shut):
            self.sock.shutdown(socket.SHUT_WR)
            self.shut = True

    def wanted(self) -> int:
        """What to wait for; 0: nothing, the connection is done."""
        reading = not self.ended and len(self.output) < LIMIT
        return (EVENT_READ if reading else 0) | (EVENT_WRITE if self.output else 0)


class Server:
    """Owns the listener, the selector and the connections."""

    def __init__(self, port: int, host: str) -> None:
        self.listener = socket.create_server((host, port))
        self.listener.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, EVENT_READ)
        self.connections: set[Connection] = set()

    def run(self) -> None:
        """Serve for ever."""
        while True:
            for key, mask in self.selector.select():
                connection: Connection | None = key.data
                if connection is None:
                    self.accept()
                else:
                    self.proceed(connection, mask, key.events)

    def accept(self) -> None:
        """A client has come."""
        try:
            sock, _ = self.listener.accept()
        except OSError:  # it is gone again, or no descriptor is free for it: serve the others
            return
        sock.setblocking(False)
        connection = Connection(sock)
        self.connections.add(connection)
        self.selector.register(sock, EVENT_READ, connection)

    def proceed(self, connection: Connection, mask: int, before: int) -> None:
        """Do what can be done, and wait for what cannot."""
        try:
            connection.proceed(mask)
            events = connection.wanted()
        except OSError:  # reset, or unreachable
            events = 0
        if not events:
            self.selector.unregister(connection.sock)
            connection.sock.close()
            self.connections.remove(connection)
        elif events != before:
            self.selector.modify(connection.sock, events, connection)

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

"""Runs whose timelines are looked at. Some code is compiled under a name of its own, whose lines stay the same."""

from __future__ import annotations

import selectors
import socket
import socketserver
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mockselector import Scenario, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

CHAT: Final = """\
import selectors, socket

def serve(port):
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("localhost", port), reuse_port=False)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, mask in selector.select():
            if key.fileobj is listener:
                client, address = listener.accept()
                selector.register(client, selectors.EVENT_READ)
            elif data := key.fileobj.recv(1024):
                key.fileobj.send(data.upper())
            else:
                key.fileobj.close()
"""

SCRIPT: Final = """\
def script(net, last):
    net.client("alice").sends(b"hi\\n").expects(b"HI\\n").waits(30).sends(last).expects(last.upper()).closes()
    net.client("bob").waits(10).sends(b"yo\\n").expects(b"YO\\n")
"""


def compiled(source: str, file: str, name: str) -> Any:  # Any: a function
    names: dict[str, Any] = {}
    exec(compile(source, file, "exec"), names)
    return names[name]


serve: Final = compiled(CHAT, "chat.py", "serve")
script: Final = compiled(SCRIPT, "test_chat.py", "script")


def of(prepare: Callable[[Scenario], object], server: Callable[..., object], **options: Any) -> Timeline:
    """The timeline of a run, whatever is found in it."""
    net = Scenario(**options)
    with suppress(AssertionError), net:
        prepare(net)
        net.run(server, 8888)
    return net.timeline()


def chat(last: bytes = b"bye\n") -> Timeline:
    """Two clients, of which one leaves: then the server is wrong."""
    return of(lambda net: script(net, last), serve)


def echo(port: int, timeout: float | None = None) -> None:
    """A server that is right."""
    selector = selectors.DefaultSelector()
    with socket.create_server(("", port)) as listener:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(timeout):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is listener:
                    selector.register(sock.accept()[0], selectors.EVENT_READ)
                elif data := sock.recv(65536):
                    sock.sendall(data)
                else:
                    selector.unregister(sock)
                    sock.close()


def long(events: int) -> Timeline:
    """So many events, or a few more: eight clients, who say something else each time."""

    def prepare(net: Scenario) -> None:
        for number in range(8):
            peer = net.client(f"client {number}")
            for line in range(events // 33):
                data = f"{number} says {line}\n".encode()
                peer.sends(data).expects(data)
                if line % 20 == number:
                    peer.waits(30)
            peer.closes()

    return of(prepare, echo)


class Upper(socketserver.StreamRequestHandler):
    """Each in a thread of its own."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


def polls(port: int) -> None:
    """It looks each second."""
    echo(port, 1)


def leaves(port: int) -> None:
    """After one client."""
    with socket.create_server(("", port)) as listener:
        listener.accept()[0].close()


def threaded(port: int) -> None:
    with socketserver.ThreadingTCPServer(("", port), Upper) as server:
        server.serve_forever(poll_interval=10)

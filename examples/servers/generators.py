"""A generator per client: it yields what it waits for, and the loop resumes it.

A socket is registered while a generator waits for it, and unregistered while the generator runs.
"""

from __future__ import annotations

import selectors
import socket
import sys
from collections.abc import Generator
from typing import TypeAlias

Task: TypeAlias = Generator[tuple[socket.socket, int], None, None]


class Loop:
    """Resumes each task when what it waits for has come."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()

    def resume(self, task: Task) -> None:
        """Run a task up to the next thing that it waits for, or to its end."""
        wait = next(task, None)
        if wait is not None:
            self.selector.register(*wait, data=task)

    def run(self) -> None:
        """Resume tasks until interrupted."""
        while True:
            for key, _ in self.selector.select():
                self.selector.unregister(key.fileobj)
                self.resume(key.data)

    def close(self) -> None:
        """Stop all tasks."""
        for key in tuple(self.selector.get_map().values()):
            task: Task = key.data
            self.selector.unregister(key.fileobj)
            task.close()
        self.selector.close()


def accept(loop: Loop, listener: socket.socket) -> Task:
    """Begin a task for every client."""
    with listener:
        while True:
            yield listener, selectors.EVENT_READ
            conn, _ = listener.accept()
            conn.setblocking(False)
            loop.resume(echo(conn))


def echo(conn: socket.socket) -> Task:
    """Serve one client."""
    with conn:
        try:
            while True:
                yield conn, selectors.EVENT_READ
                data = conn.recv(4096)
                if not data:
                    return
                while data:
                    yield conn, selectors.EVENT_WRITE
                    data = data[conn.send(data) :]
        except OSError:  # this client is gone; the others have tasks of their own
            return


def serve(host: str, port: int) -> None:
    """Serve until interrupted."""
    loop = Loop()
    loop.resume(accept(loop, socket.create_server((host, port))))
    try:
        loop.run()
    finally:
        loop.close()


if __name__ == "__main__":
    try:
        serve("localhost", int(sys.argv[1]))
    except KeyboardInterrupt:
        pass

"""Makes programs up: a server, the script that it is run against, and the options of the run, as source text.

Owns what a made-up program may look like. Each choice is a number, and 0 is always the plain one, so
that a program is a list of numbers, and a shorter list, or one with more noughts, is a simpler
program. Knows nothing of how programs are run and judged: that is `fuzz`.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final, Literal, TypeVar

from mockselector import Scenario

T = TypeVar("T")
Network = Literal["simulated", "loopback"]

HEAD: Final = """\
import _thread
import asyncio
import concurrent.futures
import gc
import queue
import re
import select
import selectors
import socket
import socketserver
import threading
import time
from selectors import EVENT_READ, EVENT_WRITE

from mockselector import Closes, Expects, ExpectsEof, Receives, Scenario, Sends, ShutsDown, Waits

KEPT = []


class Odd(BaseException): ...


"""


class Choices:
    """Numbers at random, or those given; past their end, 0."""

    def __init__(self, seed: int, given: Sequence[int] | None = None) -> None:
        self._random: Final = random.Random(seed)
        self._given: Final = given
        self.made: Final[list[int]] = []

    def below(self, number: int, plain: float = 0.0) -> int:
        """A number from 0 on; plain: how probable 0 is besides."""
        if self._given is not None:
            given = self._given[len(self.made)] if len(self.made) < len(self._given) else 0
            chosen = min(given, number - 1)
        else:
            chosen = 0 if plain and self._random.random() < plain else self._random.randrange(number)
        self.made.append(chosen)
        return chosen

    def of(self, *some: T, plain: float = 0.0) -> T:
        return some[self.below(len(some), plain)]

    def chance(self, probability: float) -> bool:
        if self._given is not None:
            return self.below(2) == 1
        self.made.append(int(self._random.random() < probability))
        return self.made[-1] == 1


class Program:
    """One program. wrong: None: right in all things; "": wrong wherever chance has it; else the one planted defect."""

    def __init__(self, choices: Choices, wrong: str | None = "", network: Network = "simulated") -> None:
        self.choices: Final = choices
        self.planted: Final = wrong
        self.network: Final = network
        self.sizes = SIZES
        """How much is sent at once."""
        self._lines: Final[list[str]] = []
        self._depth = 0

    # -- writing --------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        self._lines.append("    " * self._depth + text)

    @contextmanager
    def block(self, text: str) -> Generator[None, None, None]:
        self.line(text)
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def part(self, text: str) -> Generator[None, None, None]:
        """A function, followed by two empty lines."""
        with self.block(text):
            yield
        self._lines.extend(["", ""])

    def text(self) -> str:
        text = HEAD + "\n".join(self._lines) + "\n"
        return text.replace("8888", "0") if self.network == "loopback" else text  # some real port that is free

    # -- what is wrong --------------------------------------------------------------------------

    @property
    def wild(self) -> bool:
        return self.planted == ""

    def wrong(self, name: str, probability: float = 0.06) -> bool:
        """Whether this defect is in the program."""
        return self.choices.chance(probability) if self.wild else name == self.planted

    def unless(self, name: str, text: str) -> None:
        """A line that a server forgets."""
        if self.wrong(name):
            self.line("pass")
        else:
            self.line(text)

    def noise(self, odd: Sequence[str], probability: float = 0.05) -> None:
        """Now and then, something that nobody should do here."""
        if self.wild and self.choices.chance(probability):
            self.line(self.choices.of(*ANYWHERE, *odd))

    @contextmanager
    def swallowing(self, probability: float = 0.1) -> Generator[None, None, None]:
        """Now and then, what is in the block may raise what it likes."""
        if not (self.wild and self.choices.chance(probability)):
            yield
            return
        with self.block("try:"):
            yield
        with self.block(self.choices.of("except Exception:", "except:", "except BaseException as error:")):
            self.line(self.choices.of("pass", "KEPT.append(1)", "time.sleep(1)", "raise", "raise Odd('own')"))

    def endure(self, name: str) -> str:
        """Loops around a whole server that swallow everything; the name of the outermost."""
        while self.wild and self.choices.chance(0.06):
            outer = f"around_{name}"
            with self.part(f"def {outer}():"):
                with self.block("while True:"):
                    with self.block("try:"):
                        self.line(f"{name}()")
                    with self.block(self.choices.of("except Exception:", "except:")):
                        self.line(self.choices.of("pass", "continue", "time.sleep(1)"))
            name = outer
        return name


RAISING: Final = (
    'raise ZeroDivisionError("own")',
    'raise OSError("own")',
    'raise AssertionError("own")',
    'raise StopIteration("own")',
    'raise KeyboardInterrupt("own")',
    'raise SystemExit("own")',
    'raise GeneratorExit("own")',
    'raise Odd("own")',
)
GUARDED: Final = "watchdog" in inspect.signature(Scenario).parameters
"""Whether a program that calls nothing of the scenario's is ended in real time."""

ANYWHERE: Final = (
    *(["while True: pass"] if GUARDED else []),
    "time.sleep(2)",
    *RAISING,
    "gc.collect()",
    "KEPT.append(time.time())",
    "ends = time.monotonic() + 3; [1 for _ in iter(lambda: time.monotonic() < ends, False)]",
    'KEPT.append(socket.create_connection(("db", 5432), timeout=3))',
    'socket.create_connection(("db", 5432)).sendall(b"question")',
    "threading.Thread(target=print).start()",
    'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("localhost", 53))',
    'socket.getaddrinfo("nowhere", 80)',
    "socket.socketpair()",
    "KEPT.append(socket.socket())",
)
"""Odd things that need nothing but the modules."""

WITH_CONN: Final = (
    "KEPT.append(conn)",
    "cycle = [conn]; cycle.append(cycle)",
    "conn.close()",
    "conn.close(); conn.recv(1)",
    "conn.recv(1)",
    "conn.recv(10, socket.MSG_PEEK)",
    "conn.recv_into(bytearray(7))",
    "conn.makefile('rb').readline()",
    "conn.settimeout(0.5)",
    "conn.setblocking(True)",
    "conn.setblocking(False)",
    "conn.shutdown(socket.SHUT_WR)",
    "conn.shutdown(socket.SHUT_RDWR)",
    "conn.detach()",
    'conn.send(b"x" * 100_000)',
    'conn.sendall(b"x" * 100_000)',
    'while True: conn.send(b"y" * 1000)',
    "conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\1\\0\\0\\0\\0\\0\\0\\0')",
    "return",
)
WITH_SELECTOR: Final = (
    "selector.register(conn, EVENT_READ)",
    "selector.register(conn, EVENT_WRITE)",
    "selector.modify(conn, EVENT_WRITE)",
    "selector.modify(conn, EVENT_READ | EVENT_WRITE, b'')",
    "selector.unregister(conn)",
    "selector.unregister(12345)",
    "selector.register(conn.fileno(), EVENT_READ)",
    "selector.close()",
    "selector.get_key(99)",
    "KEPT.append(selector.get_map())",
    "KEPT.append(selector)",
    "selector.select()",
    "for _ in range(1500): selector.select(0)",
    "selector.select(5)",
    "while True: selector.select(0)",
)

# -- servers ----------------------------------------------------------------------------------------


def selecting(make: Program) -> str:
    """A loop over a selector: a chain of ifs, or callbacks in `key.data`."""
    choose = make.choices
    calls_back = choose.chance(0.5)
    blocking = choose.chance(0.4) and make.planted not in NEEDS_NON_BLOCKING
    blocking = blocking or make.planted in NEEDS_BLOCKING
    queues = not blocking and choose.chance(0.6) and make.planted not in NOT_QUEUEING
    _accepting(make, blocking=blocking, calls_back=calls_back)
    _dropping(make)
    _talking(make, blocking=blocking, queues=queues)
    with make.part("def serve():"):
        kind = choose.of("DefaultSelector", "SelectSelector", "PollSelector", "EpollSelector", plain=0.5)
        make.line(f"selector = selectors.{kind}()")
        _listening(make)
        make.line(f"selector.register(listener, EVENT_READ, {'accept' if calls_back else None})")
        if make.wrong("registered twice", 0.02):
            make.line("selector.register(listener, EVENT_READ)")
        with make.block("while True:"):
            with make.swallowing():
                timeout = choose.of("", "5", "None", "timeout=0.5", *(["0", "-1"] if make.wild else []), plain=0.6)
                with make.block(f"for key, mask in selector.select({timeout}):"):
                    with make.swallowing():
                        make.line("conn = key.fileobj")
                        if calls_back:
                            make.line("key.data(selector, conn, mask)")
                        else:
                            with make.block("if conn is listener:"):
                                make.line("accept(selector, conn, mask)")
                            with make.block("else:"):
                                make.line("talk(selector, conn, mask)")
                        make.noise((*WITH_CONN, *WITH_SELECTOR), 0.02)
                if make.wrong("asks for ever", 0.02):
                    make.line("while time.monotonic() > 0: pass")
            if make.wrong("returns", 0.03):
                make.line("return")
    return make.endure("serve")


def _listening(make: Program) -> None:
    if make.choices.chance(0.4):
        make.line("listener = socket.socket()")
        make.line('listener.bind(("", 8888))')
        make.unless("never listens", "listener.listen()")
    else:
        make.line('listener = socket.create_server(("", 8888))')
    if make.choices.chance(0.3):
        make.line("listener.setblocking(False)")


def _accepting(make: Program, *, blocking: bool, calls_back: bool) -> None:
    with make.part("def accept(selector, listener, mask):"):
        make.line("conn, address = listener.accept()")
        if not blocking:
            make.line("conn.setblocking(False)")
        if make.wrong("kept", 0.05) or make.planted in KEEPING:
            make.line("KEPT.append(conn)")
        make.line("QUEUES[conn] = bytearray()")
        events = "EVENT_READ | EVENT_WRITE" if make.wrong("always writable") else "EVENT_READ"
        make.unless("never registered", f"selector.register(conn, {events}, {'talk' if calls_back else None})")
        if make.wrong("accepts only once", 0.02):
            make.line("selector.unregister(listener)")
        make.noise((*WITH_CONN, *WITH_SELECTOR))


def _dropping(make: Program) -> None:
    make.line("QUEUES = {}")
    make.line("")
    make.line("")
    with make.part("def drop(selector, conn):"):
        make.line("QUEUES.pop(conn, None)")
        first, then = ("never unregistered", "selector.unregister(conn)"), ("never closed", "conn.close()")
        if make.choices.chance(0.2):
            first, then = then, first
        make.unless(*first)
        make.unless(*then)
        if make.wrong("closed twice", 0.05):
            make.line("conn.close()")
        if make.wrong("unregistered twice", 0.03):
            make.line("selector.unregister(conn)")
        make.noise((*WITH_CONN, *WITH_SELECTOR))


def _talking(make: Program, *, blocking: bool, queues: bool) -> None:
    choose = make.choices
    with make.part("def talk(selector, conn, mask):"):
        make.line("queue = QUEUES[conn]")
        with make.block("if mask & EVENT_READ:"):
            with make.swallowing():
                if make.wild and choose.chance(0.3):
                    make.line("data = conn.recv(1024)")
                else:
                    with make.block("try:"):
                        make.line(f"data = conn.recv({choose.of('1024', '5', '100_000')})")
                    with make.block("except OSError:"):
                        make.line("drop(selector, conn)")
                        make.line("return")
                if make.wrong("reads twice", 0.03):
                    make.line("data += conn.recv(1024)")
                with make.block("if not data:"):
                    make.unless("end ignored", "drop(selector, conn)")
                    make.line("return")
                make.noise((*WITH_CONN, *WITH_SELECTOR))
                _answering(make, blocking=blocking, queues=queues)
        if queues:
            with make.block("if mask & EVENT_WRITE and queue:"):
                with make.swallowing():
                    _sending(make, "del queue[:conn.send(queue)]")
                    with make.block("if not queue:"):
                        calls_back = "selector.get_key(conn).data"
                        make.unless("goes on writing", f"selector.modify(conn, EVENT_READ, {calls_back})")


def _answering(make: Program, *, blocking: bool, queues: bool) -> None:
    if make.wrong("raises", 0.04):
        make.line(make.choices.of(*RAISING) if make.wild else RAISING[0])
    if make.wrong("wrong bytes", 0.03):
        make.line("data = data[:-1] + b'?'")
    if make.wrong("closes early", 0.02):
        make.line("drop(selector, conn)")
        make.line("return")
    if make.wrong("no answer", 0.03):
        make.line("return")
    if make.wrong("short send lost"):
        _sending(make, "conn.send(data)")
    elif queues:
        make.line("queue += data")
        make.line("selector.modify(conn, EVENT_READ | EVENT_WRITE, selector.get_key(conn).data)")
    elif blocking:
        _sending(make, "conn.sendall(data)")
    else:  # a selector for one wait
        with make.block("with selectors.DefaultSelector() as writable:"):
            make.line("writable.register(conn, EVENT_WRITE)")
            with make.block("while data:"):
                make.line("writable.select()")
                _sending(make, "data = data[conn.send(data):]")


def _sending(make: Program, call: str) -> None:
    if make.wild and make.choices.chance(0.3):
        make.line(call)
        return
    with make.block("try:"):
        make.line(call)
    with make.block("except BlockingIOError:" if make.wrong("only one error", 0.05) else "except OSError:"):
        make.line("drop(selector, conn)")
        make.line("return")


def generating(make: Program) -> str:
    """Generators that yield what they wait for, and a loop that resumes them."""
    with make.part("def talk(conn):"):
        make.line("conn.setblocking(False)")
        with make.swallowing():
            with make.block("while True:"):
                make.line("yield conn, EVENT_READ")
                with make.block("try:"):
                    make.line("data = conn.recv(1000)")
                with make.block("except OSError:"):
                    make.line("break")
                make.noise(WITH_CONN)
                with make.block("if not data:"):
                    make.unless("end ignored", "break")
                if make.wrong("wrong bytes", 0.03):
                    make.line("data = data[:-1] + b'?'")
                with make.block("while data:"):
                    make.line("yield conn, EVENT_WRITE")
                    with make.block("try:"):
                        lost = make.wrong("short send lost")
                        make.line("conn.send(data); data = b''" if lost else "data = data[conn.send(data):]")
                    with make.block("except OSError:"):
                        make.line("break")
        make.unless("never closed", "conn.close()")
    with make.part("def accept_all(selector, listener):"):
        with make.block("while True:"):
            make.line("yield listener, EVENT_READ")
            make.line("conn, _ = listener.accept()")
            if make.wrong("kept", 0.05) or make.planted in KEEPING:
                make.line("KEPT.append(conn)")
            make.unless("never registered", "resume(selector, talk(conn))")
            make.noise((*WITH_CONN, *WITH_SELECTOR))
    with make.part("def resume(selector, task):"):
        with make.block("try:"):
            make.line("conn, events = next(task)")
            make.line("selector.register(conn, events, task)")
        with make.block("except StopIteration:"):
            make.line("pass")
    with make.part("def serve():"):
        make.line("selector = selectors.DefaultSelector()")
        make.line('listener = socket.create_server(("", 8888))')
        make.line("resume(selector, accept_all(selector, listener))")
        with make.block("while True:"):
            with make.swallowing():
                with make.block("for key, mask in selector.select():"):
                    make.unless("never unregistered", "selector.unregister(key.fileobj)")
                    make.line("resume(selector, key.data)")
    return make.endure("serve")


def accepting(make: Program) -> str:
    """A loop that accepts, and serves one client after the other in calls that block."""
    with make.part("def talk(conn):"):
        if make.choices.chance(0.2):
            make.line("conn.settimeout(30)")
        with make.swallowing():
            with make.block("while True:"):
                make.line("data = conn.recv(1000)")
                make.noise(WITH_CONN)
                with make.block("if not data:"):
                    make.unless("end ignored", "break")
                if make.wrong("reads twice", 0.03):
                    make.line("data += conn.recv(1024)")
                if make.wrong("wrong bytes", 0.03):
                    make.line("data = data[:-1] + b'?'")
                if make.wrong("raises", 0.04):
                    make.line(make.choices.of(*RAISING) if make.wild else RAISING[0])
                make.unless("no answer", "conn.sendall(data)")
        make.unless("never closed", "conn.close()")
    with make.part("def serve():"):
        _listening_for_blocking(make)
        with make.block("while True:"):
            with make.swallowing():
                make.line("conn, _ = listener.accept()")
                if make.wrong("kept", 0.05) or make.planted in KEEPING:
                    make.line("KEPT.append(conn)")
                make.noise(WITH_CONN)
                with make.block("try:"):
                    make.line("talk(conn)")
                with make.block("except ConnectionError:"):
                    make.line("conn.close()")
            if make.wrong("returns", 0.05):
                make.line("return")
    return make.endure("serve")


def _listening_for_blocking(make: Program) -> None:
    make.line('listener = socket.create_server(("", 8888))')
    if make.wild and make.choices.chance(0.1):
        make.line("listener.settimeout(7)")


def asking(make: Program) -> str:
    """A client of a backend."""
    with make.part("def serve():"):
        with make.swallowing():
            make.line('conn = socket.create_connection(("db", 5432), timeout=5)')
            with make.block("with conn:"):
                make.line('conn.sendall(b"question")')
                make.noise(WITH_CONN)
                make.line("answer = conn.recv(100)")
                make.noise(WITH_CONN)
                if make.wrong("raises", 0.05):
                    make.line(make.choices.of(*RAISING) if make.wild else RAISING[0])
                make.line("return answer")
    return make.endure("serve")


def with_socketserver(make: Program) -> str:
    """A handler of `socketserver`, which prints what a handler raises, and goes on."""
    streams = make.choices.chance(0.5)
    with make.part(f"class Handler(socketserver.{'Stream' if streams else 'Base'}RequestHandler):"):
        with make.block("def handle(self):"):
            make.line("conn = self.request")
            with make.swallowing():
                read = "self.rfile.read1(1000)" if streams else "conn.recv(1000)"
                with make.block(f"while data := {read}:"):
                    make.noise(WITH_CONN)
                    if make.wrong("kept", 0.05):
                        make.line("KEPT.append(self)")
                    if make.wrong("wrong bytes", 0.03):
                        make.line("data = data[:-1] + b'?'")
                    if make.wrong("raises", 0.04):
                        make.line(make.choices.of(*RAISING) if make.wild else RAISING[0])
                    make.unless("no answer", "self.wfile.write(data)" if streams else "conn.sendall(data)")
    with make.part("class Server(socketserver.TCPServer):"):
        make.line("allow_reuse_address = True")
        with make.block("def handle_error(self, request, client_address):"):
            make.line("pass")
    with make.part("def serve():"):
        with make.swallowing():
            with make.block('with Server(("", 8888), Handler) as server:'):
                make.line(f"server.serve_forever({make.choices.of('', 'poll_interval=5')})")
    return make.endure("serve")


def with_streams(make: Program) -> str:
    """Asyncio's streams."""
    with make.part("async def talk(reader, writer):"):
        make.line("conn = writer.transport")
        with make.swallowing():
            with make.block("try:"):
                with make.block("while data := await reader.read(1000):"):
                    make.noise(ASYNC)
                    if make.wrong("kept", 0.05) or make.planted in KEEPING:
                        make.line("KEPT.append(writer)")
                    if make.wrong("wrong bytes", 0.03):
                        make.line("data = data[:-1] + b'?'")
                    if make.wrong("raises", 0.04):
                        make.line(make.choices.of(*RAISING) if make.wild else RAISING[0])
                    make.unless("no answer", "writer.write(data)")
                    make.line("await writer.drain()")
            with make.block("except ConnectionError:"):
                make.line("pass")
            with make.block("finally:"):
                make.unless("never closed", "writer.close()")
    with make.part("async def main():"):
        make.line('server = await asyncio.start_server(talk, "localhost", 8888)')
        with make.swallowing():
            with make.block("async with server:"):
                make.noise(ASYNC)
                make.line("await server.serve_forever()")
    return _running(make)


def with_protocols(make: Program) -> str:
    """Asyncio's protocols."""
    with make.part("class Talk(asyncio.Protocol):"):
        with make.block("def connection_made(self, transport):"):
            make.line("self.transport = transport")
            if make.wrong("kept", 0.05) or make.planted in KEEPING:
                make.line("KEPT.append(transport)")
        with make.block("def data_received(self, data):"):
            with make.swallowing():
                make.line("conn = self.transport")
                make.noise(ASYNC_CALLS)
                if make.wrong("wrong bytes", 0.03):
                    make.line("data = data[:-1] + b'?'")
                if make.wrong("raises", 0.04):
                    make.line(make.choices.of(*RAISING) if make.wild else RAISING[0])
                make.unless("no answer", "conn.write(data)")
        with make.block("def eof_received(self):"):
            make.line("return True" if make.wrong("never closed", 0.05) else "return False")
    with make.part("async def main():"):
        make.line("loop = asyncio.get_running_loop()")
        make.line('server = await loop.create_server(Talk, "localhost", 8888)')
        with make.swallowing():
            make.line("await server.serve_forever()")
    return _running(make)


def with_sock_calls(make: Program) -> str:
    """Asyncio's `sock_*` calls."""
    with make.part("async def talk(loop, conn):"):
        with make.swallowing():
            with make.block("try:"):
                with make.block("while data := await loop.sock_recv(conn, 1000):"):
                    make.noise((*ASYNC, *WITH_CONN))
                    if make.wrong("wrong bytes", 0.03):
                        make.line("data = data[:-1] + b'?'")
                    if make.wrong("raises", 0.04):
                        make.line(make.choices.of(*RAISING) if make.wild else RAISING[0])
                    make.unless("no answer", "await loop.sock_sendall(conn, data)")
            with make.block("except ConnectionError:"):
                make.line("pass")
            with make.block("finally:"):
                make.unless("never closed", "conn.close()")
    with make.part("async def main():"):
        make.line("loop = asyncio.get_running_loop()")
        make.line("tasks = set()")
        make.line('listener = socket.create_server(("", 8888))')
        make.line("listener.setblocking(False)")
        with make.block("while True:"):
            make.line("conn, _ = await loop.sock_accept(listener)")
            if make.wrong("kept", 0.05) or make.planted in KEEPING:
                make.line("KEPT.append(conn)")
            make.unless("never registered", "tasks.add(asyncio.create_task(talk(loop, conn)))")
    return _running(make)


ASYNC: Final = (
    "await asyncio.sleep(1)",
    "await asyncio.sleep(0)",
    "return",
    "await asyncio.sleep(10_000)",
    "asyncio.get_running_loop().stop()",
    "await asyncio.wait_for(asyncio.sleep(50), 3)",
    "KEPT.append(asyncio.current_task())",
    "KEPT.append(asyncio.ensure_future(asyncio.sleep(100)))",
    'KEPT.append(await asyncio.open_connection("db", 5432))',
    "raise asyncio.CancelledError('own')",
    "await asyncio.to_thread(print)",
)
ASYNC_CALLS: Final = (
    "conn.close()",
    "conn.abort()",
    "conn.pause_reading()",
    "conn.write_eof()",
    "conn.set_write_buffer_limits(10)",
    "KEPT.append(conn)",
    "asyncio.get_running_loop().stop()",
    "raise asyncio.CancelledError('own')",
)


def _running(make: Program) -> str:
    with make.part("def serve():"):
        make.line("asyncio.run(main())")
    return make.endure("serve")


NEEDS_BLOCKING: Final = ("reads twice",)
NOT_QUEUEING: Final = ("short send lost", "always writable")
NEEDS_NON_BLOCKING: Final = ("short send lost", "goes on writing")
KEEPING: Final = ("never closed", "never registered")
"""What is dropped is closed by the garbage collector; so these are kept."""

ONE_BY_ONE: Final = (accepting, with_socketserver)
"""Servers that let a second client wait while they serve the first."""
SERVERS: Final[tuple[Callable[[Program], str], ...]] = (
    selecting, generating, accepting, with_socketserver, with_streams, with_protocols, with_sock_calls, asking,
)  # fmt: skip

PLANTED: Final[dict[Callable[[Program], str], tuple[str, ...]]] = {
    selecting: (
        "never registered", "never unregistered", "never closed", "end ignored", "always writable", "reads twice",
        "wrong bytes", "no answer", "closes early", "raises", "accepts only once", "short send lost",
        "registered twice", "unregistered twice", "returns",
    ),
    generating: ("never registered", "never unregistered", "never closed", "end ignored", "wrong bytes",
                 "short send lost"),
    accepting: ("never closed", "end ignored", "reads twice", "wrong bytes", "raises", "no answer", "returns"),
    with_socketserver: ("wrong bytes", "raises", "no answer"),
    with_streams: ("never closed", "wrong bytes", "raises", "no answer"),
    with_protocols: ("never closed", "wrong bytes", "raises", "no answer"),
    with_sock_calls: ("never closed", "wrong bytes", "raises", "no answer", "never registered"),
    asking: ("raises",),
}  # fmt: skip
"""The defects that are planted one at a time; the script of `reaching` meets each."""

# -- scripts ----------------------------------------------------------------------------------------

SIZES: Final[Sequence[int]] = (3, 1, 100, 1000, 5000, 70_000, 200_000)


def _bytes(make: Program, letter: str = "", *, most: int = SIZES[-1]) -> str:
    size = make.choices.of(*(size for size in make.sizes if size <= most), plain=0.4)
    return f'b"{letter or make.choices.of("a", "b")}" * {size:_}'


def wild_steps(make: Program) -> str:
    """Any steps in any order."""
    choose, steps = make.choices, ""
    for _ in range(choose.below(6)):
        # A server that polls while hours pass asks for the time a million times.
        data = _bytes(make, most=SIZES[-1] if "reads_slowly(10," not in steps else 1000)
        if steps.endswith((".closes()", ".resets()")) and not choose.chance(0.05):
            return steps
        steps += choose.of(
            f".sends({data}).expects({data})",
            f".sends({data})" if ".shuts_down()" not in steps else ".waits(1)",
            f".expects({data})",
            ".expects(lambda data: data, until=3)",
            '.expects(re.compile(b".*"), until="eof")',
            f".sends({data}).expects(len, until=b'a')",
            ".expects_nothing(2)",
            ".expects_eof()",
            ".shuts_down()",
            ".waits(10)",
            ".waits(0.001)",
            ".reads_slowly(10, every=2)",
            ".reads_slowly(10_000)",
            f".does({choose.of(*DEEDS)})",
            f".plays({choose.of('some_play', 'nested_play', 'bad_play', 'some_play()')})",
            ".closes()",
            ".resets()",
            plain=0.2,
        )
    return steps + choose.of("", ".closes()", ".resets()", ".shuts_down().expects_eof()", ".shuts_down()")


DEEDS: Final = (
    "lambda: None",
    'lambda: net.client().sends(b"late").expects(b"late").closes()',
    "net.sockets",
    "lambda: 1 / 0",
    "lambda: net.on_end(lambda: None)",
    "lambda: net.interrupts(net.now + 1)",
    "fails",
)

PLAYS: Final = """\
def fails():
    raise Odd("own")


def some_play():
    for size in (1, 20):
        yield Sends(b"p" * size)
        got = yield Receives()
    yield Waits(1)
    yield Closes()


def nested_play():
    yield Sends(b"n")
    yield from some_play()


def bad_play():
    yield Sends(b"n")
    raise Odd("own")


"""


def options(make: Program) -> str:
    choose = make.choices
    given = [f'network="{make.network}"'] if make.network != "simulated" else []
    if not make.wild:
        return ", ".join(given)
    simulated = make.network == "simulated"
    if GUARDED:
        given.append("watchdog=1")
    if choose.chance(0.2):
        given.append(f"allow={choose.of(*ALLOWED)}")
    if simulated and choose.chance(0.2):
        given.append("pedantic=True")
    if not choose.chance(0.05):  # one that polls does so all the time
        given.append(f"patience={choose.of(100, 10, 0, plain=0.8)}")
    if choose.chance(0.1):
        given.append(f"grace={choose.of(1, 0, 5000)}")
    if simulated and choose.chance(0.2):
        given.append(f"buffer={(buffer := choose.of(10, 1, 1000, 1_000_000))}")
        make.sizes = [size for size in SIZES if size <= 5000 * buffer]  # a million calls are right, but take a while
    return ", ".join(given)


ALLOWED: Final = (
    '["unread-data"]',
    '["busy-loop"]',
    '["stuck", "unmet-expectation"]',
    '["closed-still-registered", "eof-ignored", "leaked-connection"]',
    '["short-send-lost", "unexpected-send", "accepted-not-registered"]',
)


def wild_script(make: Program) -> None:
    choose = make.choices
    for _ in range(choose.of(1, 2, 0, 3, 4, plain=0.3)):
        delay = f"delay={choose.of(5, 0.5, 100)}" if choose.chance(0.2) else ""
        make.line(f"net.client({delay}){wild_steps(make)}")
    for _ in range(choose.of(0, 1, 2, plain=0.6)):
        how = choose.of("", ", refuses=True", ", delay=None", ", delay=2", plain=0.6)
        steps = choose.of("", PLAIN_ANSWER, wild_steps(make)) if how in ("", ", delay=2") else ""
        make.line(f'net.backend(("db", 5432){how}){steps}')
    if choose.chance(0.1):
        make.line(f"net.interrupts({choose.of('', '3', '0')})")
    if choose.chance(0.1):
        make.line(f"net.on_end({choose.of('lambda: None', 'fails', 'lambda: KEPT.clear()')})")


PLAIN_ANSWER: Final = '.expects(b"question").sends(b"answer")'


def honest_steps(make: Program, *, small: bool) -> str:
    """What a client of an echo server may expect."""
    choose, steps = make.choices, ""
    if not small and choose.chance(0.3):
        steps += f".reads_slowly({choose.of(1000, 10_000)}, every={choose.of(1, 0.1)})"
    for _ in range(choose.of(1, 2, 3, 0)):
        data = _bytes(make) if not small else f'b"{choose.of("a", "b")}" * {choose.of(3, 1, 100)}'
        size = int(data.rpartition(" ")[2].replace("_", ""))
        most = 60_000  # one that sends all before it reads can be stuck with a server that waits to answer
        if ".reads_slowly(1000, every=1)" in steps:
            most = 20_000  # a server that waits for 30 seconds gives it up
        if size > most:
            size = min(most, 40_000)
            data = data.replace(data.rpartition(" ")[2], f"{size:_}")
        steps += choose.of(
            f".sends({data}).expects({data})",
            f".sends({data}).expects(lambda data: set(data) == set({data}), until={size})",
            f".sends({data}).waits(3).expects({data})",
            f".sends({data}).sends(b'.').expects({data}).expects(b'.')",
            f".waits(2).sends({data}).expects({data})",
            f".sends({data}).expects({data}).expects_nothing(1)",
            ".plays(echoed)",
        )
    return steps + choose.of(
        ".closes()", ".shuts_down().expects_eof()", ".resets()", ".shuts_down().expects_eof().closes()"
    )


ECHOED: Final = """\
def echoed():
    for size in (1, 20):
        yield Sends(b"p" * size)
        got = b""
        while len(got) < size:
            got += yield Receives()


"""


def honest_script(make: Program, server: Callable[[Program], str]) -> None:
    choose = make.choices
    if server is asking:
        make.line(
            f'net.backend(("db", 5432)){PLAIN_ANSWER}{choose.of("", ".expects_eof()", ".expects_eof().closes()")}'
        )
        return
    alone = server in ONE_BY_ONE
    for _ in range(1 if alone else choose.of(1, 2, 3)):
        delay = f"delay={choose.of(5, 0.5, 100)}" if choose.chance(0.2) else ""
        make.line(f"net.client({delay}){honest_steps(make, small=not alone and choose.chance(0.5))}")


def reaching(make: Program, server: Callable[[Program], str]) -> None:
    """A conversation that meets whatever is planted."""
    if server is asking:
        make.line(f'net.backend(("db", 5432)){PLAIN_ANSWER}.expects_eof()')
        return
    if make.planted == "short send lost":
        data = 'b"a" * 60_000'
        make.line(f"net.client(buffer=1000).sends({data}).waits(2).expects({data}).closes()")
        return
    talk = ".sends(b'abc').expects(b'abc').waits(3).sends(b'abcde').expects(b'abcde')"
    first, then = f"{talk}.closes()", f"{talk}.shuts_down().expects_eof()"
    if make.choices.chance(0.5):
        first, then = then, first
    make.line(f"net.client(){first}")
    make.line(f"net.client(delay={20 if server in ONE_BY_ONE else 1}){then}")


def write(
    make: Program,
    server: Callable[[Program], str] | None = None,
    among: Sequence[Callable[[Program], str]] = SERVERS,
    alone: Sequence[Callable[[Program], str]] = (),
) -> None:
    """Write a whole program; server: of which kind, else one of `among`; alone: those that have no clients."""
    server = server or make.choices.of(*among, plain=0.3)
    name = server(make)
    for line in (PLAYS if make.wild else ECHOED).splitlines():
        make.line(line)
    with make.block(f"with Scenario({options(make)}) as net:"):
        if make.wild:
            wild_script(make)
        elif server in alone:
            pass
        elif make.planted is None:
            honest_script(make, server)
        else:
            reaching(make, server)
        make.line(f"result = net.run({name})")

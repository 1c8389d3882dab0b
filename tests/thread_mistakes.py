"""What people do wrong with threads: each mistake in a small program, and the same program as it is right.

A broken one marks with `# BUG` the line that must be told; of a right one, the class says what is another. `MISTAKES`
is the table: what is found, and the words that stand beside that line, with the thread's name.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import queue
import signal
import socket
import socketserver
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockselector import RuleId, Scenario

PORT: Final = 8888
HERE: Final = ("127.0.0.1", PORT)
BIG: Final = 10_000


class Program:
    """What is run, and who talks to it: `net.run(lambda: Program().main())` after `Program.peers(net)`."""

    @classmethod
    def peers(cls, net: Scenario) -> None: ...

    def main(self) -> None:
        raise NotImplementedError

    @classmethod
    def marked_line(cls) -> int:
        """The number of the line that is marked."""
        lines, first = inspect.getsourcelines(cls)
        (number,) = [number for number, line in enumerate(lines, first) if "# BUG" in line]
        return number


def start(*functions: Callable[[], object], daemon: bool = False) -> list[threading.Thread]:
    """A thread for each, by its name."""
    threads = [threading.Thread(target=one, name=one.__name__, daemon=daemon) for one in functions]
    for thread in threads:
        thread.start()
    return threads


def ask(conn: socket.socket, what: bytes = b"hi", answer: bytes = b"hi") -> None:
    conn.sendall(what)
    got = b""
    while len(got) < len(answer):
        got += conn.recv(100)
    assert got == answer


def read(conn: socket.socket) -> bytes:
    """All that there is."""
    return b"".join(iter(lambda: conn.recv(100), b""))


def echo(conn: socket.socket) -> None:
    with conn:
        while data := conn.recv(100):
            conn.sendall(data)


# -- conditions and events ------------------------------------------------------------------------


class LostWakeUp(Program):
    """A server in a thread says that it is up; nobody waits for that yet, as nothing is kept of it."""

    def __init__(self) -> None:
        self.up = threading.Condition()
        self.address: Any = None

    def main(self) -> None:
        (server,) = start(self.serve)
        self.wait()
        with socket.create_connection(self.address) as conn:
            ask(conn)
        server.join()

    def serve(self) -> None:
        with socket.create_server(HERE) as listener:
            with self.up:
                self.address = listener.getsockname()
                self.up.notify()
            echo(listener.accept()[0])

    def wait(self) -> None:
        with self.up:
            self.up.wait()  # BUG


class LooksFirst(LostWakeUp):
    def wait(self) -> None:
        with self.up:
            self.up.wait_for(lambda: self.address)


class NoPredicate(Program):
    """Both workers are woken for one thing, and only one finds it."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.things: list[socket.socket | None] = []

    @classmethod
    def peers(cls, net: Scenario) -> None:
        for name in ("alice", "bob"):
            net.client(name, to=PORT, delay=len(name)).sends(b"hi").expects(b"hi").closes()

    def main(self) -> None:
        workers = start(self.first, self.second)
        with socket.create_server(HERE) as listener:
            for _ in workers:
                self.put(listener.accept()[0])
        for worker in workers:
            worker.join()

    def put(self, thing: socket.socket) -> None:
        with self.condition:
            self.things.append(thing)
            self.condition.notify_all()

    def first(self) -> None:
        self.work()

    def second(self) -> None:
        self.work()

    def work(self) -> None:
        with self.condition:
            self.condition.wait()
            conn = self.things.pop(0)  # BUG
        assert conn is not None
        echo(conn)


class AsksForThePredicate(NoPredicate):
    def work(self) -> None:
        with self.condition:
            while not self.things:
                self.condition.wait()
            conn = self.things.pop(0)
        assert conn is not None
        echo(conn)


class NeverSet(Program):
    """The thread that fetches says that it is done, but not where that fails."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.got = b""

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.backend(HERE, refuses=True)

    def main(self) -> None:
        start(self.fetch)
        self.done.wait()  # BUG

    def fetch(self) -> None:
        try:
            with socket.create_connection(HERE) as conn:
                self.got = conn.recv(100)
        except OSError:
            return
        self.done.set()


class SetOnEveryWay(NeverSet):
    def fetch(self) -> None:
        try:
            super().fetch()
        finally:
            self.done.set()


class TooManyParties(Program):
    """The barrier counts the first thread, which does not come to it."""

    parties = 3

    def __init__(self) -> None:
        self.ready = threading.Barrier(self.parties)

    def main(self) -> None:
        for thread in start(self.serve, self.ask):
            thread.join()

    def serve(self) -> None:
        with socket.create_server(HERE) as listener:
            self.ready.wait()
            echo(listener.accept()[0])

    def ask(self) -> None:
        self.ready.wait()  # BUG
        with socket.create_connection(HERE) as conn:
            ask(conn)


class AllParties(TooManyParties):
    parties = 2


# -- locks ----------------------------------------------------------------------------------------


class LockOrder(Program):
    """A chat: who broadcasts takes the list's lock, then a client's; who leaves, a client's, and then the list's."""

    class Client:
        def __init__(self, conn: socket.socket) -> None:
            self.conn = conn
            self.lock = threading.Lock()

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clients: list[LockOrder.Client] = []

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT, buffer=100).waits(2).expects(b"x" * BIG).expects_eof()

    def main(self) -> None:
        with socket.create_server(HERE) as listener:
            conn, _ = listener.accept()
        self.clients.append(self.Client(conn))
        for thread in start(self.leaves, self.broadcasts):
            thread.join()

    def leaves(self) -> None:
        (client,) = self.clients
        with client.lock:
            client.conn.sendall(b"x" * BIG)
            with self.lock:
                self.clients.remove(client)
            client.conn.close()

    def broadcasts(self) -> None:
        time.sleep(1)
        with self.lock:
            for client in self.clients:
                with client.lock:  # BUG
                    client.conn.sendall(b"hello")


class OneOrder(LockOrder):
    """Who leaves takes the list's lock first, and lets go of it before it sends."""

    def leaves(self) -> None:
        with self.lock:
            client = self.clients.pop()
        with client.lock:
            client.conn.sendall(b"x" * BIG)
            client.conn.close()


class LeftLocked(Program):
    """A cache is locked by hand; whoever fails in between leaves it locked."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.backend(HERE, "first", refuses=True)
        net.backend(HERE, "second").sends(b"hi").closes()

    def main(self) -> None:
        for thread in start(self.asks, self.asks_again):
            thread.join()

    def asks(self) -> None:
        with contextlib.suppress(OSError):
            self.refresh()

    def asks_again(self) -> None:
        time.sleep(1)
        self.refresh()

    def refresh(self) -> None:
        self.lock.acquire()  # BUG
        self.fetch()
        self.lock.release()

    def fetch(self) -> None:
        with socket.create_connection(HERE) as conn:
            read(conn)


class LockedInABlock(LeftLocked):
    def refresh(self) -> None:
        with self.lock:
            self.fetch()


class LockedTwice(Program):
    """What is called under a lock takes the same lock."""

    def __init__(self) -> None:
        self.lock: Any = self.makes()
        self.kept = b""

    def makes(self) -> Any:
        return threading.Lock()

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.backend(HERE).sends(b"hi").closes()

    def main(self) -> None:
        for thread in start(self.refreshes):
            thread.join()

    def refreshes(self) -> None:
        with self.lock:
            if not self.kept:
                self.put(b"nothing yet")
        with socket.create_connection(HERE) as conn:
            self.put(read(conn))

    def put(self, data: bytes) -> None:
        with self.lock:  # BUG
            self.kept = data


class LockedTwiceByAnRLock(LockedTwice):
    def makes(self) -> Any:
        return threading.RLock()


class NotReleased(Program):
    """A server takes two at once; of one that is reset, the place is not given back."""

    def __init__(self) -> None:
        self.places = threading.Semaphore(1)

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT).sends(b"hi").expects(b"hi").resets()
        net.client("bob", to=PORT, delay=1).sends(b"hi").expects(b"hi").closes()

    def main(self) -> None:
        with socket.create_server(HERE) as listener:
            for name in ("first", "second"):
                self.places.acquire()  # BUG
                threading.Thread(target=self.serve, args=(listener.accept()[0],), name=name).start()

    def serve(self, conn: socket.socket) -> None:
        try:
            echo(conn)
        except ConnectionResetError:
            return
        self.places.release()


class ReleasedOnEveryWay(NotReleased):
    def serve(self, conn: socket.socket) -> None:
        try:
            echo(conn)
        except ConnectionResetError:
            pass
        finally:
            self.places.release()


class LockAcrossARequest(Program):
    """While one thread waits for a backend, nobody can look into the cache."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.cache = {"/": b"welcome"}

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.backend(HERE).waits(30).sends(b"news").closes()

    def main(self) -> None:
        for thread in start(self.fetches, self.looks):
            thread.join()

    def looks(self) -> None:
        time.sleep(1)
        with self.lock:
            assert self.cache["/"]

    def fetches(self) -> None:
        with socket.create_connection(HERE) as conn, self.lock:
            self.cache["/news"] = conn.recv(100)  # BUG


class LockAfterIt(LockAcrossARequest):
    def fetches(self) -> None:
        with socket.create_connection(HERE) as conn:
            news = read(conn)
        with self.lock:
            self.cache["/news"] = news


# -- queues and pools -----------------------------------------------------------------------------


class Workers(Program):
    """An acceptor, and workers that take what they serve from a queue; right as it is."""

    size = 0
    many = 2

    def __init__(self) -> None:
        self.jobs: queue.Queue[socket.socket | None] = queue.Queue(self.size)

    @classmethod
    def peers(cls, net: Scenario) -> None:
        for name in ("alice", "bob", "carol"):
            net.client(name, to=PORT).sends(b"hi").expects(b"hi").closes()

    def main(self) -> None:
        workers = [threading.Thread(target=self.work, name=f"worker {number}") for number in range(self.many)]
        for worker in workers:
            worker.start()
        self.accept()
        self.stop()
        for worker in workers:
            worker.join()

    def accept(self) -> None:
        with socket.create_server(HERE) as listener:
            for _ in range(3):
                self.jobs.put(listener.accept()[0])

    def stop(self) -> None:
        for _ in range(self.many):
            self.jobs.put(None)

    def work(self) -> None:
        while (conn := self.jobs.get()) is not None:
            self.serve(conn)

    def serve(self, conn: socket.socket) -> None:
        echo(conn)


class NoSentinel(Workers):
    def stop(self) -> None: ...

    def work(self) -> None:
        while (conn := self.jobs.get()) is not None:  # BUG
            self.serve(conn)


class OneSentinel(Workers):
    """Two workers, and one of them is told."""

    def stop(self) -> None:
        self.jobs.put(None)

    def work(self) -> None:
        while (conn := self.jobs.get()) is not None:  # BUG
            self.serve(conn)


class HandedOn(OneSentinel):
    """Whoever is told, tells the next."""

    def work(self) -> None:
        super().work()
        self.jobs.put(None)


class DeadWorker(Workers):
    """The only worker dies of what a client sends; what it left is never taken, and the queue is full."""

    size = 1
    many = 1

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("mallory", to=PORT).sends(b"?\n").expects_eof().closes()
        for name in ("alice", "bob"):
            net.client(name, to=PORT, delay=1).sends(b"2\n").expects(b"4\n").closes()

    def serve(self, conn: socket.socket) -> None:
        with conn, conn.makefile("rb") as file:
            number = int(file.readline())  # BUG
            conn.sendall(b"%d\n" % (2 * number))


class GoesOn(DeadWorker):
    def serve(self, conn: socket.socket) -> None:
        with conn, conn.makefile("rb") as file:
            with contextlib.suppress(ValueError):
                number = int(file.readline())
                conn.sendall(b"%d\n" % (2 * number))


class LeavesSilently(DeadWorker):
    """It does not even die aloud: the queue is full, and the acceptor waits for room."""

    def accept(self) -> None:
        with socket.create_server(HERE) as listener:
            for _ in range(3):
                self.jobs.put(listener.accept()[0])  # BUG

    def work(self) -> None:
        try:
            while (conn := self.jobs.get()) is not None:
                self.serves(conn)
        except ValueError:
            return

    def serves(self, conn: socket.socket) -> None:
        with conn, conn.makefile("rb") as file:
            number = int(file.readline())
            conn.sendall(b"%d\n" % (2 * number))


class SaysNothing(LeavesSilently):
    def work(self) -> None:
        while (conn := self.jobs.get()) is not None:
            with contextlib.suppress(ValueError):
                self.serves(conn)


class NotDone(Workers):
    """Each job is counted as done, but for those that fail."""

    @classmethod
    def peers(cls, net: Scenario) -> None:
        super().peers(net)
        net.client("mallory", to=PORT).sends(b"hi").expects(b"hi").resets()

    def accept(self) -> None:
        with socket.create_server(HERE) as listener:
            for _ in range(4):
                self.jobs.put(listener.accept()[0])
        self.jobs.join()  # BUG

    def work(self) -> None:
        while (conn := self.jobs.get()) is not None:
            try:
                self.serve(conn)
                self.jobs.task_done()
            except OSError:
                pass


class DoneOnEveryWay(NotDone):
    def work(self) -> None:
        while (conn := self.jobs.get()) is not None:
            try:
                self.serve(conn)
            except OSError:
                pass
            finally:
                self.jobs.task_done()


class SmallPool(Program):
    """Jobs wait for jobs of the same pool, which has no thread left for them."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(2, thread_name_prefix="pool")
        self.lookups = self.pool

    @classmethod
    def peers(cls, net: Scenario) -> None:
        for name in ("alice", "bob"):
            net.client(name, to=PORT).expects(b"hello").expects_eof()

    def main(self) -> None:
        with self.pool, self.lookups, socket.create_server(HERE) as listener:
            jobs = [self.pool.submit(self.serve, listener.accept()[0]) for _ in range(2)]
            for job in jobs:
                job.result()

    def serve(self, conn: socket.socket) -> None:
        with conn:
            time.sleep(1)
            found = self.lookups.submit(self.greeting)
            conn.sendall(found.result())  # BUG

    def greeting(self) -> bytes:
        return b"hello"


class TwoPools(SmallPool):
    def __init__(self) -> None:
        super().__init__()
        self.lookups = ThreadPoolExecutor(1)


# -- the end of threads ---------------------------------------------------------------------------


class JoinsItself(Program):
    """A client may stop the server: its thread calls what waits for the end of that thread."""

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT).sends(b"stop\n").expects(b"bye\n").expects_eof()

    def main(self) -> None:
        with socket.create_server(HERE) as self.listener:
            (self.server,) = start(self.serve)
            self.server.join()

    def serve(self) -> None:
        conn, _ = self.listener.accept()
        with conn, conn.makefile("rb") as file:
            for line in file:
                if line == b"stop\n":
                    conn.sendall(b"bye\n")
                    break
        self.stop()

    def stop(self) -> None:
        self.listener.close()
        self.server.join()  # BUG


class JoinsOthersOnly(JoinsItself):
    def stop(self) -> None:
        self.listener.close()
        if threading.current_thread() is not self.server:
            self.server.join()


class ShutsItselfDown(Program):
    """A handler calls shutdown(), which waits for the loop in which it runs."""

    kind: type[socketserver.TCPServer] = socketserver.TCPServer

    class Stops(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                if line == b"stop\n":
                    self.server.shutdown()  # BUG
                    break
                self.wfile.write(line)

    handler: type[socketserver.BaseRequestHandler] = Stops

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT).sends(b"hi\n").expects(b"hi\n").sends(b"stop\n").expects_eof()

    def main(self) -> None:
        with self.kind(HERE, self.handler) as server:
            (loop,) = start(server.serve_forever)
            loop.join()


class ShutsDownFromAThreadOfItsOwn(ShutsItselfDown):
    class StopsInAThread(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                if line == b"stop\n":
                    threading.Thread(target=self.server.shutdown).start()
                    break
                self.wfile.write(line)

    handler = StopsInAThread


class ShutsDownWithThreads(ShutsItselfDown):
    """With a thread for each connection, it is another one that waits."""

    kind = socketserver.ThreadingTCPServer


class ShutsDownInASignal(Program):
    """Its handler runs in the thread that serves, and waits for that."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(line)

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT).sends(b"hi\n").expects(b"hi\n").closes()
        net.terminates()

    def main(self) -> None:
        with socketserver.ThreadingTCPServer(HERE, self.Handler) as server:
            signal.signal(signal.SIGTERM, lambda number, frame: self.stop(server))
            server.serve_forever()

    def stop(self, server: socketserver.BaseServer) -> None:
        server.shutdown()  # BUG


class ShutsDownInAThread(ShutsDownInASignal):
    def stop(self, server: socketserver.BaseServer) -> None:
        threading.Thread(target=server.shutdown).start()


class ClosedUnderAReader(Program):
    """The server is stopped by closing what its threads read."""

    def __init__(self) -> None:
        self.open: list[socket.socket] = []

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT).sends(b"hi").expects(b"hi").expects_eof()

    def main(self) -> None:
        with socket.create_server(HERE) as listener:
            self.open.append(listener.accept()[0])
        threads = start(self.serve)
        time.sleep(5)
        self.stop()
        for thread in threads:
            thread.join()

    def serve(self) -> None:
        echo(self.open[0])

    def stop(self) -> None:
        for conn in self.open:
            conn.close()  # BUG


class ShutDownFirst(ClosedUnderAReader):
    def stop(self) -> None:
        for conn in self.open:
            conn.shutdown(socket.SHUT_RDWR)


class StoppedTooEarly(Program):
    """The server is closed while the thread that serves is in its loop."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(line)

    def main(self) -> None:
        server = socketserver.ThreadingTCPServer(HERE, self.Handler)
        threads = start(server.serve_forever, daemon=True)
        with socket.create_connection(HERE) as conn:
            ask(conn, b"hi\n", b"hi\n")
        self.stop(server, *threads)

    def stop(self, server: socketserver.BaseServer, thread: threading.Thread) -> None:
        server.server_close()  # BUG
        thread.join(5)


class StoppedInOrder(StoppedTooEarly):
    def stop(self, server: socketserver.BaseServer, thread: threading.Thread) -> None:
        server.shutdown()
        thread.join()
        server.server_close()


class PoolBeforeItsUsers(Program):
    """The pool is shut down before the thread that gives it work."""

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT, delay=1).sends(b"hi").expects(b"hi").closes()

    def main(self) -> None:
        with socket.create_server(HERE) as self.listener:
            self.pool = ThreadPoolExecutor(2)
            (acceptor,) = start(self.accepts)
            self.stop(acceptor)

    def accepts(self) -> None:
        conn, _ = self.listener.accept()
        self.pool.submit(echo, conn)  # BUG

    def stop(self, acceptor: threading.Thread) -> None:
        self.pool.shutdown()
        acceptor.join()


class UsersFirst(PoolBeforeItsUsers):
    def stop(self, acceptor: threading.Thread) -> None:
        acceptor.join()
        self.pool.shutdown()


class DaemonAtExit(Program):
    """A daemon has a connection when the program is at its end, and is cut off where it waits."""

    daemon = True

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT).sends(b"hi").expects(b"hi").waits(5).sends(b"you").expects(b"you").closes()

    def main(self) -> None:
        with socket.create_server(HERE) as listener:
            self.conn, _ = listener.accept()
        start(self.serve, daemon=self.daemon)

    def serve(self) -> None:
        with self.conn:
            while data := self.conn.recv(100):  # BUG
                self.conn.sendall(data)


class NoDaemon(DaemonAtExit):
    daemon = False


class CalledInsteadOfPassed(Program):
    """`Thread(target=serve(conn))`: the acceptor serves, and whoever comes next waits."""

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT).sends(b"hi").expects(b"hi").waits(10_000).closes()
        net.client("bob", to=PORT, delay=1).sends(b"hi").expects(b"hi").closes()

    def main(self) -> None:
        with socket.create_server(HERE) as listener:
            for _ in range(2):
                self.begins(listener.accept()[0])

    def begins(self, conn: socket.socket) -> None:
        threading.Thread(target=self.serve(conn)).start()

    def serve(self, conn: socket.socket) -> Any:
        with conn:
            while data := conn.recv(100):  # BUG
                conn.sendall(data)


class Passed(CalledInsteadOfPassed):
    def begins(self, conn: socket.socket) -> None:
        threading.Thread(target=self.serve, args=(conn,)).start()


# -- what several threads have in common ----------------------------------------------------------


class Interleaved(Program):
    """Two threads send to one client: what comes first of a message, and the rest when it is known."""

    def __init__(self) -> None:
        self.lock: contextlib.AbstractContextManager[object] = contextlib.nullcontext()

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT).expects(b"3:one5:other").expects_eof()
        net.backend(("words", 1)).waits(1).sends(b"one").closes()
        net.backend(("words", 2)).waits(2).sends(b"other").closes()

    def main(self) -> None:
        with socket.create_server(HERE) as listener:
            self.conn, _ = listener.accept()
        with self.conn:
            for thread in start(self.one, self.other):
                thread.join()

    def one(self) -> None:
        self.send(3, 1)

    def other(self) -> None:
        self.send(5, 2)

    def send(self, size: int, number: int) -> None:
        with socket.create_connection(("words", number)) as words:
            self.conn.sendall(b"%d:" % size)  # BUG
            self.conn.sendall(read(words))


class WholeMessages(Interleaved):
    def send(self, size: int, number: int) -> None:
        with socket.create_connection(("words", number)) as words:
            word = read(words)
        self.conn.sendall(b"%d:" % size + word)


class TwoReaders(Program):
    """Two threads ask over one connection; whichever reads first has the answer."""

    def __init__(self) -> None:
        self.asking = threading.Lock()

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.backend(HERE).expects(b"1").waits(1).sends(b"1").expects(b"2").waits(1).sends(b"2").expects_eof()

    def main(self) -> None:
        with socket.create_connection(HERE) as self.conn:
            for thread in start(self.one, self.other):
                thread.join()

    def one(self) -> None:
        self.ask(b"1")

    def other(self) -> None:
        time.sleep(0.5)
        self.ask(b"2")

    def ask(self, what: bytes) -> None:
        self.conn.sendall(what)
        assert self.conn.recv(10) == what  # BUG


class OneAsks(TwoReaders):
    def ask(self, what: bytes) -> None:
        with self.asking:
            super().ask(what)


class LostUpdate(Program):
    """What was read is written back after a wait; meanwhile another has done the same."""

    def __init__(self) -> None:
        self.visits = 0

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT).sends(b"?").waits(1).sends(b".").expects(b"1").expects_eof()
        net.client("bob", to=PORT).sends(b"?").waits(2).sends(b".").expects(b"2").expects_eof()

    def main(self) -> None:
        with socket.create_server(HERE) as listener:
            for name in ("first", "second"):
                threading.Thread(target=self.serve, args=(listener.accept()[0],), name=name).start()

    def serve(self, conn: socket.socket) -> None:
        with conn:
            conn.recv(1)
            visits = self.visits
            conn.recv(1)
            self.visits = visits + 1
            conn.sendall(b"%d" % self.visits)  # BUG


class InOneGo(LostUpdate):
    def serve(self, conn: socket.socket) -> None:
        with conn:
            conn.recv(1)
            conn.recv(1)
            self.visits += 1
            conn.sendall(b"%d" % self.visits)


class ChangesUnderALoop(Program):
    """A chat sends to all that are there; while one is slow, another leaves."""

    def __init__(self) -> None:
        self.clients: dict[str, socket.socket] = {}

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT, buffer=100).waits(2).expects(b"x" * BIG).expects_eof()
        net.client("bob", to=PORT, delay=0.1).waits(1).closes()

    def main(self) -> None:
        with socket.create_server(HERE) as listener:
            for name in ("alice", "bob"):
                self.clients[name], _ = listener.accept()
        for thread in start(self.reads, self.broadcasts):
            thread.join()
        self.clients["alice"].close()

    def reads(self) -> None:
        assert not self.clients["bob"].recv(10)
        self.clients.pop("bob").close()

    def broadcasts(self) -> None:
        for name in self.clients:  # BUG
            self.send(name)

    def send(self, name: str) -> None:
        if name == "alice":
            self.clients[name].sendall(b"x" * BIG)


class OverACopy(ChangesUnderALoop):
    def broadcasts(self) -> None:
        for name in [*self.clients]:
            self.send(name)


# -- event loops ----------------------------------------------------------------------------------


class Loop(Program):
    """A server on asyncio, of which a thread does the slow part."""

    @classmethod
    def peers(cls, net: Scenario) -> None:
        net.client("alice", to=PORT).sends(b"hi\n").expects(b"done\n").expects_eof()

    def main(self) -> None:
        asyncio.run(self.run())

    async def run(self) -> None:
        self.over = asyncio.Event()
        async with await asyncio.start_server(self.serve, *HERE):
            await self.over.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
            writer.write(await self.work())
        finally:
            writer.close()
        await writer.wait_closed()
        self.over.set()

    async def work(self) -> bytes:
        raise NotImplementedError


class CallSoon(Loop):
    """A thread gives the loop what it is to do, and does not wake it."""

    async def work(self) -> bytes:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bytes] = loop.create_future()
        threading.Thread(target=self.computes, args=(loop, done), name="computes").start()
        return await done

    def computes(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[bytes]) -> None:
        time.sleep(1)
        loop.call_soon(done.set_result, b"done\n")  # BUG


class CallSoonThreadsafe(CallSoon):
    def computes(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[bytes]) -> None:
        time.sleep(1)
        loop.call_soon_threadsafe(done.set_result, b"done\n")


class PutFromAThread(Loop):
    """The queue is the loop's: put_nowait() in a thread wakes nobody."""

    async def work(self) -> bytes:
        loop = asyncio.get_running_loop()
        things: asyncio.Queue[bytes] = asyncio.Queue()
        threading.Thread(target=self.computes, args=(loop, things), name="computes").start()
        return await things.get()

    def computes(self, loop: asyncio.AbstractEventLoop, things: asyncio.Queue[bytes]) -> None:
        time.sleep(1)
        things.put_nowait(b"done\n")  # BUG


class PutByTheLoop(PutFromAThread):
    def computes(self, loop: asyncio.AbstractEventLoop, things: asyncio.Queue[bytes]) -> None:
        time.sleep(1)
        loop.call_soon_threadsafe(things.put_nowait, b"done\n")


class WaitsForItself(Loop):
    """The loop's own thread waits for what the loop would do."""

    async def work(self) -> bytes:
        loop = asyncio.get_running_loop()
        return asyncio.run_coroutine_threadsafe(self.greeting(), loop).result()  # BUG

    async def greeting(self) -> bytes:
        await asyncio.sleep(1)
        return b"done\n"


class WaitsInAThread(WaitsForItself):
    async def work(self) -> bytes:
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(self.greeting(), loop).result())


class BlocksTheLoop(Loop):
    """A thread's work is waited for as a thread waits."""

    async def work(self) -> bytes:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self.computes).result()  # BUG

    def computes(self) -> bytes:
        time.sleep(1)
        return b"done\n"


class AwaitsAThread(BlocksTheLoop):
    async def work(self) -> bytes:
        return await asyncio.to_thread(self.computes)


@dataclass(frozen=True)
class Mistake:
    """A broken program, how it is right, and what is found."""

    broken: type[Program]
    twins: tuple[type[Program], ...]
    rule: RuleId
    told: str
    """What stands in the error before the line that is marked, with the name of the thread whose line it is ..."""
    says: str = ""
    """... or that name is in this, which it says elsewhere."""
    pedantic: bool = False
    """Whether only `pedantic=True` sees it."""


MISTAKES: Final = (
    Mistake(LostWakeUp, (LooksFirst,), "stuck", "MainThread False waits in Condition.wait(), for 3600 s"),
    Mistake(NoPredicate, (AsksForThePredicate,), "unhandled-exception", "raised", "second has died of IndexError"),
    Mistake(NeverSet, (SetOnEveryWay,), "deadlock", "MainThread waits in Event.wait()"),
    Mistake(TooManyParties, (AllParties,), "deadlock", "ask waits in Barrier.wait()"),
    Mistake(LockOrder, (OneOrder,), "deadlock", "broadcasts waits in a lock that leaves has"),
    Mistake(LeftLocked, (LockedInABlock,), "deadlock", "asks_again waits in a lock that asks still has, which has"),
    Mistake(LockedTwice, (LockedTwiceByAnRLock,), "deadlock", "refreshes waits in a lock that it has itself"),
    Mistake(NotReleased, (ReleasedOnEveryWay,), "deadlock", "MainThread waits in Semaphore.acquire()"),
    Mistake(
        LockAcrossARequest, (LockAfterIt,), "lock-held-while-waiting", "fetches: waits",
        "looks waited 29 s for self.lock, which fetches held while it waited in recv()", pedantic=True,
    ),
    Mistake(NoSentinel, (Workers,), "deadlock", "worker 1 waits in Queue.get()"),
    Mistake(OneSentinel, (HandedOn,), "deadlock", "worker 0 waits in Queue.get()"),
    Mistake(DeadWorker, (GoesOn,), "unhandled-exception", "raised", "thread worker 0 has died of ValueError"),
    Mistake(LeavesSilently, (SaysNothing,), "deadlock", "MainThread waits in Queue.put()"),
    Mistake(NotDone, (DoneOnEveryWay,), "deadlock", "MainThread waits in Queue.join()"),
    Mistake(SmallPool, (TwoPools,), "deadlock", "pool_1 waits in Future.result()"),
    Mistake(JoinsItself, (JoinsOthersOnly,), "unhandled-exception", "raised", "serve has died of RuntimeError"),
    Mistake(
        ShutsItselfDown, (ShutsDownFromAThreadOfItsOwn, ShutsDownWithThreads), "deadlock",
        "serve_forever waits in Event.wait()",
    ),
    Mistake(ShutsDownInASignal, (ShutsDownInAThread,), "deadlock", "MainThread waits in Event.wait()", "of SIGTERM"),
    Mistake(
        ClosedUnderAReader, (ShutDownFirst,), "closed-under-a-wait", "closes", "while serve waits in recv() on it",
    ),
    Mistake(StoppedTooEarly, (StoppedInOrder,), "closed-still-registered", "closed", "serve_forever: select()"),
    Mistake(PoolBeforeItsUsers, (UsersFirst,), "unhandled-exception", "raised", "accepts has died of RuntimeError"),
    Mistake(
        DaemonAtExit, (NoDaemon,), "unmet-expectation", "serve: read last",
        "the server has returned, which has ended serve, a daemon, where it waited",
    ),
    Mistake(CalledInsteadOfPassed, (Passed,), "read-without-data", "read"),
    Mistake(Interleaved, (WholeMessages,), "unexpected-send", "other: sent"),
    Mistake(TwoReaders, (OneAsks,), "used-by-two", "other: meanwhile", pedantic=True),
    Mistake(LostUpdate, (InOneGo,), "unexpected-send", "second: sent"),
    Mistake(ChangesUnderALoop, (OverACopy,), "unhandled-exception", "raised", "broadcasts has died of RuntimeError"),
    Mistake(CallSoon, (CallSoonThreadsafe,), "stuck", "computes: calls", "does not wake it"),
    Mistake(PutFromAThread, (PutByTheLoop,), "stuck", "computes: calls", "does not wake it"),
    Mistake(WaitsForItself, (WaitsInAThread,), "deadlock", "MainThread waits in Future.result()"),
    Mistake(BlocksTheLoop, (AwaitsAThread,), "blocking-call", "called", pedantic=True),
)  # fmt: skip

"""Makes programs with threads up: servers that give each connection a thread, pools, both ends in one program.

Owns what such a server may look like, and what one may do wrong with threads. How a program is written at all, and
what its clients say, is in `fuzz_programs`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fuzz_programs import ANYWHERE, ASYNC, RAISING, WITH_CONN, Program

SHARED: Final = """\
def share():
    global LOCK, RLOCK, CONDITION, EVENT, SEMAPHORE, BARRIER, QUEUE, POOL, HELPERS, THREADS, COUNT, LOCAL
    LOCK, RLOCK, CONDITION, EVENT = threading.Lock(), threading.RLock(), threading.Condition(), threading.Event()
    SEMAPHORE, BARRIER, QUEUE = threading.Semaphore(2), threading.Barrier(2), queue.Queue()
    POOL, HELPERS = concurrent.futures.ThreadPoolExecutor(2), concurrent.futures.ThreadPoolExecutor(2)
    THREADS, COUNT, LOCAL = [], 0, threading.local()


def begin(function, *args, daemon=True):
    thread = threading.Thread(target=function, args=args, daemon=daemon)
    THREADS.append(thread)
    thread.start()
    return thread


def count():
    global COUNT
    with LOCK:
        COUNT += 1
        return COUNT


"""
"""What the threads of such a program have in common; made in the run."""

WITH_THREADS: Final = (
    "begin(time.sleep, 1)",
    "begin(time.sleep, 1, daemon=False)",
    "begin(time.sleep, 10_000)",
    "begin(share)",
    "begin(begin, time.sleep, 2)",
    "begin(lambda: 1 / 0)",
    "begin(fails)",
    "begin(_thread.exit)",
    "begin(EVENT.wait)",
    "begin(QUEUE.get, daemon=False)",
    "begin(LOCK.acquire)",
    "begin(lambda: [EVENT.set(), EVENT.clear()])",
    "_thread.start_new_thread(time.sleep, (3,))",
    "threading.Timer(2, EVENT.set).start()",
    "threading.Timer(2, lambda: 1 / 0).start()",
    "LOCK.acquire()",
    "LOCK.acquire(timeout=2)",
    "LOCK.acquire(False)",
    "LOCK.release()",
    "with RLOCK, RLOCK: time.sleep(1)",
    "EVENT.wait(3)",
    "EVENT.wait()",
    "EVENT.set()",
    "EVENT.clear()",
    "with CONDITION: CONDITION.wait(2)",
    "with CONDITION: CONDITION.wait()",
    "with CONDITION: CONDITION.notify_all()",
    "SEMAPHORE.acquire()",
    "SEMAPHORE.release()",
    "BARRIER.wait(2)",
    "BARRIER.wait()",
    "BARRIER.abort()",
    "QUEUE.put(None)",
    "QUEUE.get(timeout=2)",
    "QUEUE.get()",
    "QUEUE.join()",
    "THREADS[-1].join()",
    "THREADS[-1].join(2)",
    "THREADS[0].join(0)",
    "[thread.join(1) for thread in THREADS]",
    "threading.current_thread().join()",
    "while not EVENT.is_set(): pass",
    "while THREADS[0].is_alive(): time.sleep(1)",
    "POOL.submit(time.sleep, 1)",
    "POOL.submit(time.sleep, 1).result()",
    "POOL.submit(time.sleep, 9).result(timeout=2)",
    "POOL.submit(lambda: POOL.submit(time.sleep, 1).result()).result()",
    "POOL.submit(fails).result()",
    "list(POOL.map(time.sleep, [1, 2, 3]))",
    "POOL.shutdown()",
    "POOL.shutdown(wait=False, cancel_futures=True)",
    "LOCAL.conn = 1",
    "KEPT.append(threading.current_thread())",
    "KEPT.append(THREADS)",
    "asyncio.run(asyncio.to_thread(time.sleep, 1))",
    "asyncio.run(asyncio.sleep(1))",
)
WITH_BOTH: Final = (
    "begin(conn.recv, 10)",
    "begin(conn.close)",
    "begin(conn.sendall, b'x' * 3_000_000)",
    "begin(conn.shutdown, socket.SHUT_RDWR)",
    "POOL.submit(conn.recv, 10)",
    "KEPT.append((conn, threading.current_thread()))",
    "begin(lambda: select.select([conn], [], [], 2))",
)
ODD: Final = (*WITH_THREADS, *WITH_THREADS, *WITH_CONN, *WITH_BOTH)
ODD_ALONE: Final = (*WITH_THREADS, *ANYWHERE)


def _shared(make: Program) -> None:
    for line in SHARED.splitlines():
        make.line(line)


def _talking(make: Program, *, rest: str = "") -> None:
    """One connection, in calls that block."""
    with make.part("def talk(conn):"):
        if make.choices.chance(0.3):
            make.line("conn.settimeout(30)")
        with make.swallowing():
            with make.block("try:"):
                with make.block("while True:"):
                    make.line("data = conn.recv(1000)")
                    make.noise(ODD)
                    with make.block("if not data:"):
                        make.unless("end ignored", "break")
                    _working(make)
                    make.unless("no answer", "conn.sendall(data)")
            with make.block("except OSError:"):
                make.line("pass")
            if make.choices.chance(0.3):
                make.line("count()")
            make.noise(ODD)
        if rest:
            make.line(rest)
        make.unless("never closed", "conn.close()")


def _working(make: Program) -> None:
    """What is done with what was read."""
    if make.wrong("wrong bytes", 0.03):
        make.line("data = data[:-1] + b'?'")
    if make.wrong("raises", 0.04):
        make.line(make.choices.of(*RAISING) if make.wild else RAISING[0])
    if make.wrong("waits for itself", 0.01):
        make.line("with LOCK: LOCK.acquire()")
    if make.planted == "end ignored":
        return  # it goes on for long, and is to go on fast
    make.line(
        make.choices.of(
            "pass",
            "count()",
            "with RLOCK, RLOCK: KEPT.append(1)",
            "with SEMAPHORE: time.sleep(0.1)",
            "LOCAL.count = getattr(LOCAL, 'count', 0) + 1",
            "assert HELPERS.submit(len, data).result() == len(data)",
            "with CONDITION: CONDITION.notify_all()",
            "threading.Timer(0.5, count).start()",
            "begin(count).join()",
            plain=0.4,
        )
    )


def _opens(make: Program) -> None:
    make.line("share()")
    make.line('listener = socket.create_server(("", 8888))')
    if make.wild and make.choices.chance(0.1):
        make.line("listener.settimeout(7)")


def _accepts(make: Program) -> None:
    make.line("conn, _ = listener.accept()")
    if make.wrong("kept", 0.05) or make.planted == "never closed":
        make.line("KEPT.append(conn)")
    make.noise(ODD)


def thread_per_connection(make: Program) -> str:
    """Each connection gets a thread."""
    _shared(make)
    _talking(make)
    daemon = make.choices.of("True", "False")
    with make.part("def serve():"):
        _opens(make)
        with make.block("while True:"):
            with make.swallowing():
                _accepts(make)
                make.line(f"begin(talk, conn, daemon={daemon})")
                if make.choices.chance(0.2):
                    make.line("THREADS[:] = [thread for thread in THREADS if thread.is_alive()]")
                if make.wrong("joined at once", 0.03):
                    make.line("THREADS[-1].join()")
            if make.wrong("returns", 0.04):
                make.line("return")
    return make.endure("serve")


def workers(make: Program) -> str:
    """Threads that take connections from a queue."""
    _shared(make)
    _talking(make)
    with make.part("def work():"):
        with make.swallowing():
            with make.block("while (conn := QUEUE.get()) is not None:"):
                make.line("talk(conn)")
                make.line("QUEUE.task_done()")
                make.noise(ODD)
    with make.part("def serve():"):
        _opens(make)
        make.line(f"for _ in range({make.choices.of(3, 4, 8)}): begin(work, daemon={make.choices.of('True', 'False')})")
        with make.block("while True:"):
            with make.swallowing():
                _accepts(make)
                make.unless("never handed on", "QUEUE.put(conn)")
    return make.endure("serve")


def pooled(make: Program) -> str:
    """A pool of the standard library's gets the connections."""
    _shared(make)
    _talking(make)
    with make.part("def serve():"):
        _opens(make)
        with make.block(f"with concurrent.futures.ThreadPoolExecutor({make.choices.of(4, 8)}) as pool:"):
            with make.block("while True:"):
                with make.swallowing():
                    _accepts(make)
                    make.line("future = pool.submit(talk, conn)")
                    if make.choices.chance(0.3):
                        make.line("future.add_done_callback(lambda _: count())")
                    if make.choices.chance(0.2) or make.planted == "raises":
                        make.line("FUTURES.append(future)")
                    make.noise(ODD)
    make.line("FUTURES = []")
    make.line("")
    make.line("")
    return make.endure("serve")


def mixed_in(make: Program) -> str:
    """`socketserver`, with a thread for each request; in the first thread, or in another one."""
    _shared(make)
    with make.part("class Handler(socketserver.StreamRequestHandler):"):
        with make.block("def handle(self):"):
            make.line("conn = self.request")
            with make.swallowing():
                with make.block("while data := self.rfile.read1(1000):"):
                    make.noise(ODD)
                    _working(make)
                    make.unless("no answer", "self.wfile.write(data)")
    with make.part("class Server(socketserver.ThreadingTCPServer):"):
        make.line("allow_reuse_address = True")
        make.line(f"daemon_threads = {make.choices.of('False', 'True')}")
        make.line(f"block_on_close = {make.choices.of('True', 'False')}")
        with make.block("def handle_error(self, request, client_address):"):
            make.line("pass")
    with make.part("def serve():"):
        make.line("share()")
        with make.swallowing():
            with make.block('with Server(("", 8888), Handler) as server:'):
                if make.choices.chance(0.4):
                    make.line(f"thread = begin(server.serve_forever, daemon={make.choices.of('True', 'False')})")
                    make.noise(ODD_ALONE)
                    make.line("thread.join()")
                else:
                    make.line(f"server.serve_forever({make.choices.of('', 'poll_interval=5')})")
    return make.endure("serve")


def to_thread(make: Program) -> str:
    """Streams of asyncio, whose work is done in threads."""
    _shared(make)
    with make.part("def work(data, loop):"):
        make.noise(ODD_ALONE)
        _working(make)
        if make.choices.chance(0.3):
            make.line("assert asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1, 7), loop).result() == 7")
        if make.choices.chance(0.3):
            make.line("loop.call_soon_threadsafe(count)")
        make.line("return data")
    with make.part("async def talk(reader, writer):"):
        make.line("conn, loop = writer.transport, asyncio.get_running_loop()")
        how = make.choices.of("asyncio.to_thread(work, data, loop)", "loop.run_in_executor(POOL, work, data, loop)")
        with make.swallowing():
            with make.block("try:"):
                with make.block("while data := await reader.read(1000):"):
                    make.noise(ASYNC)
                    make.line(f"data = await {how}")
                    make.unless("no answer", "writer.write(data)")
                    make.line("await writer.drain()")
            with make.block("except ConnectionError:"):
                make.line("pass")
            with make.block("finally:"):
                make.line("writer.close()")
    with make.part("async def main():"):
        make.line('server = await asyncio.start_server(talk, "localhost", 8888)')
        with make.swallowing():
            with make.block("async with server:"):
                make.line("await server.serve_forever()")
    with make.part("def serve():"):
        make.line("share()")
        make.line("asyncio.run(main())")
    return make.endure("serve")


def both_ends(make: Program) -> str:
    """A server in a thread, and its clients in others: nobody else is there."""
    _shared(make)
    _talking(make)
    with make.part("def accept_all(listener):"):
        with make.swallowing():
            with make.block("try:"):
                with make.block("while True:"):
                    _accepts(make)
                    make.line("begin(talk, conn, daemon=False)")
            with make.block("except OSError:"):
                make.line("pass")
    with make.part("def ask(address, data):"):
        with make.swallowing():
            timeout = make.choices.of("", ", timeout=50") if make.planted != "no answer" else ""
            with make.block(f"with socket.create_connection(address{timeout}) as conn:"):
                make.line("conn.sendall(data)")
                make.noise(ODD)
                make.line("answer = b''")
                with make.block("while len(answer) < len(data):"):
                    make.line("more = conn.recv(10_000)")
                    make.line("assert more, 'it was closed'")
                    make.line("answer += more")
                make.line("assert answer == data, 'other bytes'")
            make.line("count()")
    with make.part("def serve():"):
        make.line("share()")
        with make.swallowing():
            with make.block('with socket.create_server(("localhost", 0)) as listener:'):
                make.line("acceptor = begin(accept_all, listener, daemon=False)")
                size, many = make.choices.of(3, 1000, 40_000), make.choices.of(1, 2, 5)
                make.line(f"every = [(listener.getsockname(), bytes([n]) * {size}) for n in range({many})]")
                make.line("clients = [begin(ask, *one, daemon=False) for one in every]")
                make.noise(ODD_ALONE)
                make.line("for thread in clients: thread.join()")
                if make.wrong("clients are not counted", 0.1):
                    make.line("assert COUNT == 0")
                make.unless("closed under a wait", "listener.shutdown(socket.SHUT_RDWR)")
                make.line("listener.close()")
                make.line("acceptor.join()")
    return make.endure("serve")


THREADED: Final[tuple[Callable[[Program], str], ...]] = (
    thread_per_connection, workers, pooled, mixed_in, to_thread, both_ends,
)  # fmt: skip

WITHOUT_CLIENTS: Final = (both_ends,)
"""Programs of which both ends are their own."""

PLANTED: Final[dict[Callable[[Program], str], tuple[str, ...]]] = {
    thread_per_connection: (
        "wrong bytes", "raises", "no answer", "never closed", "end ignored", "returns", "waits for itself",
    ),
    workers: ("wrong bytes", "raises", "no answer", "never closed", "end ignored", "never handed on",
              "waits for itself"),
    pooled: ("wrong bytes", "raises", "no answer", "never closed", "end ignored", "waits for itself"),
    mixed_in: ("wrong bytes", "raises", "no answer", "waits for itself"),
    to_thread: ("wrong bytes", "raises", "no answer", "waits for itself"),
    both_ends: ("wrong bytes", "no answer", "closed under a wait", "waits for itself"),
}  # fmt: skip
"""The defects that are planted one at a time."""

"""Ctrl-C at every moment: runs scenarios, interrupts them, and looks for what was not put back.

`python interrupts.py walk` raises KeyboardInterrupt at each instruction of the package, the first
and the last time that it is executed (`walk 3 211`: at each 211th, from the third on); `python
interrupts.py timed 2000` by a timer, at so many random instants; programs with threads by another
process, as a terminal does (`threads 2000`: those alone). All print how often, and fail
with what was left behind, or with whatever else came out than the interrupt. A process of its
own, as what is left behind would be others' trouble.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import os
import queue
import random
import selectors
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mockselector
from mockselector import EventLoop, Scenario, _current
from mockselector._ending import watchdog
from mockselector._install import installing
from mockselector._install.stand_ins import REPLACEMENTS, in_classes
from mockselector._simulated.selectors import SimSelector

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

WALKED = os.path.dirname(mockselector.__file__)

AROUND = ("installing.py", "_running.py", "_scenario.py", "watchdog.py", "event_loop.py")
"""What acts before asyncio begins and after it has ended: interrupted within, it leaves its own loop open."""

STAND_INS = {id(ours) for _, ours in REPLACEMENTS.values()}

FOLDER = tempfile.mkdtemp()

Path(FOLDER, "program.py").write_text(
    "import socket, sys\nsocket.create_server(('', 1)).close()\nassert len(sys.argv) == 2\n"
)


# -- what is interrupted ------------------------------------------------------------------------------


def echo() -> None:
    with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    data = key.fileobj.recv(100)
                    if data:
                        key.fileobj.sendall(data)
                    else:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()


def plain() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").closes()
        net.run(echo)


def in_a_block() -> None:
    with Scenario() as net:
        with net.installed():
            socket.create_server(("", 1)).close()
        with net.installed():
            time.sleep(1)


def file() -> None:
    with Scenario() as net:
        net.run_path(os.path.join(FOLDER, "program.py"), ["argument"])


def at_a_path() -> None:
    def serve() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.join(FOLDER, "socket"))
            listener.listen()
            listener.accept()[0].close()

    with Scenario() as net:
        net.client("alice", to=os.path.join(FOLDER, "socket")).expects_eof()
        net.run(serve)


def swallowing() -> None:
    def swallow() -> None:
        try:
            echo()
        except KeyboardInterrupt:
            raise
        except BaseException:
            pass

    with Scenario() as net:
        net.client("alice").closes()
        net.run(swallow)


def tasks() -> None:
    async def main() -> None:
        await asyncio.sleep(1)

    with Scenario() as net:
        net.run(asyncio.run, main())


def signalled() -> None:
    def main() -> None:
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        echo()

    with Scenario() as net:
        net.client("alice").closes()
        net.terminates(at=1)
        net.run(main)


def in_a_coroutine() -> None:
    async def test() -> None:
        async with Scenario():
            await asyncio.sleep(1)

    async def clean_up() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    loop = EventLoop()
    try:
        loop.run_until_complete(test())
    finally:
        try:
            loop.run_until_complete(clean_up())
        finally:
            loop.close()


def in_threads() -> None:
    def main() -> None:
        lock, things = threading.Lock(), queue.Queue[int](1)

        def produces() -> None:
            for number in range(50):
                with lock:
                    time.sleep(0.01)
                things.put(number)
            things.put(-1)

        def consumes() -> None:
            while things.get() >= 0:
                with lock:
                    pass

        threads = [threading.Thread(target=function) for function in (produces, consumes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with Scenario() as net:
        net.run(main)


class Upper(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


def serving_in_threads() -> None:
    def main() -> None:
        with socketserver.ThreadingTCPServer(("", 8888), Upper) as server:
            server.serve_forever()

    with Scenario() as net:
        for number in range(3):
            net.client(delay=number).sends(b"hi\n").expects(b"HI\n").waits(2).sends(b"ho\n").expects(b"HO\n").closes()
        net.run(main)


def serving_in_a_thread() -> None:
    """Both ends are the program's."""

    def asks(address: Any) -> None:
        with socket.create_connection(address) as conn:
            for _ in range(10):
                conn.sendall(b"hi\n")
                assert conn.recv(10) == b"HI\n"
                time.sleep(0.1)

    def main() -> None:
        with socketserver.ThreadingTCPServer(("localhost", 0), Upper) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                clients = [threading.Thread(target=asks, args=(server.server_address,)) for _ in range(3)]
                for client in clients:
                    client.start()
                for client in clients:
                    client.join()
            finally:
                server.shutdown()
                thread.join()

    with Scenario() as net:
        net.run(main)


def in_a_pool() -> None:
    def main() -> None:
        event, condition = threading.Event(), threading.Condition()

        def works(seconds: float) -> float:
            with condition:
                condition.wait(seconds)
            event.set()
            return seconds

        timer = threading.Timer(0.5, event.set)
        timer.start()
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(works, number / 10) for number in range(20)]
            event.wait()
            assert len([future.result() for future in futures]) == 20
        timer.join()

    with Scenario() as net:
        net.run(main)


OF_THREADS: list[Callable[[], None]] = [in_threads, serving_in_threads, serving_in_a_thread, in_a_pool]
OF_ASYNCIO: list[Callable[[], None]] = [tasks, in_a_coroutine]
RUNS: list[Callable[[], None]] = [
    plain, in_a_block, file, swallowing, signalled, *OF_ASYNCIO, *[at_a_path] * hasattr(socket, "AF_UNIX"),
]  # fmt: skip


# -- what may be left behind --------------------------------------------------------------------------


def numbers() -> set[str]:
    """The descriptors that are open."""
    try:
        return set(os.listdir("/proc/self/fd"))
    except OSError:
        return set()


def known() -> dict[str, object]:
    """What must be as it was."""
    kept: dict[str, object] = {
        "argv": sys.argv, "path": list(sys.path), "trace": sys.gettrace(), "profile": sys.getprofile(),
        "collector": gc.isenabled(), "threads": threading.active_count(), "files": sorted(os.listdir(FOLDER)),
        "descriptors": len(numbers()),
    }  # fmt: skip
    for number in (signal.SIGINT, signal.SIGTERM):
        kept[f"handler of {number}"] = signal.getsignal(number)
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is not None:
        kept["tools"] = [monitoring.get_tool(number) for number in range(6)]
    for owner, name, _ in [*IN_CLASSES, *IN_LOOPS]:
        kept[f"{owner.__name__}.{name}"] = owner.__dict__.get(name)
    return kept


IN_CLASSES = in_classes()
IN_LOOPS: list[tuple[Any, str, object]] = [
    (asyncio.BaseEventLoop, "getaddrinfo", None), (asyncio.BaseEventLoop, "getnameinfo", None)
]  # fmt: skip


def left_behind(before: dict[str, object]) -> list[str]:
    """What was not put back, at the latest when what nobody refers to is gone."""
    found = _left_behind(before)
    if found:
        gc.collect()
        found = _left_behind(before)
    return found


def _left_behind(before: dict[str, object]) -> list[str]:
    after = known()
    found = [name for name, thing in before.items() if after[name] != thing]
    for name, module in tuple(sys.modules.items()):
        if name.partition(".")[0] in ("mockselector", "__main__"):
            continue
        for key, value in tuple(getattr(module, "__dict__", {}).items()):
            if id(value) in STAND_INS or isinstance(value, SimSelector):
                found.append(f"{name}.{key}")
    found += [f"{key} in __main__" for key, value in globals().items() if id(value) in STAND_INS]
    found += ["a current world"] * bool(_current._current)
    found += ["an open installation"] * bool(installing._open)
    found += ["something to be put back"] * bool(installing._put or installing._classes)
    found += ["the date of datetime"] * (type(vars(datetime)["now"]).__module__ == "mockselector._install.dates")
    found += ["a run that is looked after"] * bool(watchdog._watched)
    found += ["a lock"] * bool(installing._state._is_owned() or watchdog._lock._is_owned())
    return found


# -- at every instruction -----------------------------------------------------------------------------


class Walk:
    """A trace function that counts the instructions of some files, and interrupts at one of them."""

    def __init__(self, at: tuple[CodeType, int] | None = None, time: int = 0) -> None:
        self.seen: Counter[tuple[CodeType, int]] = Counter()
        self.at = at
        self.time = time

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "call":
            code = frame.f_code
            if not code.co_filename.startswith(WALKED) or (self.at is not None and self.at[0] is not code):
                return None
            frame.f_trace_opcodes = True
        elif event == "opcode":
            where = (frame.f_code, frame.f_lasti)
            self.seen[where] += 1
            if where == self.at and self.seen[where] == self.time:
                raise KeyboardInterrupt
        return self


def go(run: Callable[[], None], walk: Walk) -> bool:
    """Whether an interrupt came out."""
    before = sys.gettrace()
    sys.settrace(walk)
    try:
        run()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def walk_through(run: Callable[[], None], before: dict[str, object], start: int = 0, step: int = 1) -> int:
    """Interrupt at each instruction in turn; returns at how many."""
    first = Walk()
    go(run, first)
    seen = sorted(first.seen.items(), key=lambda one: (one[0][0].co_filename, one[0][0].co_name, one[0][1]))
    if run in OF_ASYNCIO:
        seen = [one for one in seen if os.path.basename(one[0][0].co_filename) in AROUND]
    places = seen[start::step]
    for (code, instruction), times in places:
        for time_ in {1, times}:
            where = f"{run.__name__}, at instruction {instruction} of {code.co_name}"
            try:
                go(run, Walk((code, instruction), time_))
            except BaseException:
                print(f"{where}: this came out", flush=True)
                raise
            found = left_behind(before)
            if found:
                tell(where, found)
                raise SystemExit(1)
    return len(places)


def tell(where: str, found: list[str]) -> None:
    print(f"{where}: left behind: {', '.join(found[:10])}", flush=True)


# -- at random instants -------------------------------------------------------------------------------


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


OF_THREADING = ("cannot join thread before it is started", "release unlocked lock")
"""What socketserver raises at its end if it was interrupted while it started a thread, and a condition of which a wait
was interrupted outside of its `try:`. Both lines are the interpreter's own: so they do in production."""


class Outside:
    """Another process, which interrupts this one."""

    def __init__(self) -> None:
        program = "import os, sys, time\nfor line in sys.stdin:\n    time.sleep(float(line))\n"
        program += f"    os.kill({os.getpid()}, {int(signal.SIGINT)})\n    os.write(1, b'.')\n"
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=pipe, stdout=pipe, start_new_session=True
        )
        self._arrived = False

    def _comes(self, *_: object) -> None:
        self._arrived = True
        raise KeyboardInterrupt

    def _comes_late(self, *_: object) -> None:
        """It comes when all is over."""
        self._arrived = True

    def interrupts(self, run: Callable[[], None], moment: float) -> bool:
        """Run this, and interrupt it after so many seconds. Whether the interrupt came out; else it came too late."""
        came = self._arrived = False
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        signal.signal(signal.SIGINT, self._comes)
        try:
            os.write(self._process.stdin.fileno(), f"{moment}\n".encode())
            run()
            signal.signal(signal.SIGINT, self._comes_late)
        except (KeyboardInterrupt, RuntimeError) as error:
            came = True
            signal.signal(signal.SIGINT, self._comes_late)
            of_threading = any(text in str(error) for text in OF_THREADING)
            if not (isinstance(error, KeyboardInterrupt) or (of_threading and self._arrived)):
                raise
        os.read(self._process.stdout.fileno(), 1)  # now it has been sent
        for _ in range(10_000):  # what comes within a lock is sent once more, a moment later
            if self._arrived:
                break
            time.sleep(0.001)
        else:
            raise SystemExit(f"{run.__name__}: the interrupt after {moment:.6f} s was lost")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return came

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


def from_outside(many: int, before: dict[str, object], outside: Outside) -> int:
    """Interrupt programs with threads at random instants; returns how often an interrupt came out."""
    choose = random.Random(many)
    came = 0
    longest = {run: _takes(run) for run in OF_THREADS}
    for number in range(many):
        run = choose.choice(OF_THREADS)
        moment = max(1e-6, choose.uniform(0, 1.2 * longest[run]))
        came += outside.interrupts(run, moment)
        found = left_behind(before)
        if found:
            tell(f"{run.__name__}, interrupt {number} after {moment:.6f} s", found)
            raise SystemExit(1)
    return came


def _takes(run: Callable[[], None]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def timed(many: int, before: dict[str, object]) -> int:
    """Interrupt at random instants; returns how often one came out."""
    choose = random.Random(many)
    signal.signal(signal.SIGALRM, interrupt)
    came = 0
    longest: dict[str, float] = {}
    # asyncio leaves its loop open; and only a signal is handled when the first thread runs
    runs = [*[run for run in RUNS if run is not tasks], in_threads]
    for run in runs:
        longest[run.__name__] = _takes(run)
    for number in range(many):
        run = choose.choice(runs)
        moment = max(1e-6, choose.uniform(0, 1.2 * longest[run.__name__]))
        with contextlib.suppress(KeyboardInterrupt):
            try:
                signal.setitimer(signal.ITIMER_REAL, moment)
                run()
            except KeyboardInterrupt:
                came += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, interrupt)  # one that has come and was not looked at yet comes here
        found = left_behind(before)
        if found:
            tell(f"{run.__name__}, interrupt {number} after {moment:.6f} s", found)
            raise SystemExit(1)
    return came


def main(how: str, many: int, step: int = 1) -> None:
    for run in [*RUNS, *OF_THREADS]:
        run()  # whatever is imported or made but once
    outside = Outside()
    before = known()
    try:
        if how == "walk":
            print(sum(walk_through(run, before, many, step) for run in RUNS), "instructions")
        if how == "timed":
            print(timed(many, before), "of", many, "interrupts came out")
        if how in ("timed", "threads"):
            came = from_outside(many, before, outside)
            print(came, "of", many, "interrupts came out of programs with threads")
    finally:
        outside.close()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:] or ["0"]))

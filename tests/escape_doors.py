"""The doors that lead out of a scenario, as a table, and a program that tries each.

`python escape_doors.py` tries them all in its own process, and prints a line for each: its name, what came of it, and
whether anybody outside has heard of it. (`test_escape.py` runs it, and compares.) A door is code of a server; it has
`sock`, a simulated socket that is connected, its `number`, and what was made before the scenario: real sockets,
addresses outside at which somebody really listens, a pool with an idle thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import faulthandler
import io
import json
import logging
import multiprocessing.pool
import os
import select
import selectors
import socket
import sys
import tempfile
import threading
import time
import traceback
from typing import Any, NamedTuple

from mockselector import Scenario

REFUSED = "NotImplementedError"
PASSES = ""


KEPT = """
import _socket, _thread, abc, datetime, importlib, mmap, multiprocessing, pty, queue, sched, signal
import socketserver, ssl, stat, subprocess, multiprocessing.connection, concurrent.futures.process, termios
from datetime import date as kept_date, datetime as kept_class
from fcntl import F_GETFD, fcntl, flock, ioctl
from os import close as kept_close, fork as kept_fork
from queue import SimpleQueue
from select import select as kept_select
from signal import alarm as kept_alarm
from socket import SocketType as KeptType, socket as KeptClass
from time import clock_gettime, gmtime as kept_gmtime, localtime as kept_localtime, sleep as kept_sleep
from time import strftime as kept_strftime
kept_method = _socket.socket.connect
"""
"""Names that a program has got hold of before the scenario."""


class Derived(socket.socket):
    """A class that a program has derived before."""


class DerivedRaw(socket.SocketType):
    """One below it."""


class Holder:
    """What hides a class where nobody looks for one."""

    @property
    def kind(self) -> type[socket.socket]:
        return socket_kinds[0]


socket_kinds = [socket.socket]


class HasNumber:
    """As many servers register their connections."""

    def __init__(self, number: int) -> None:
        self.number = number

    def fileno(self) -> int:
        return self.number


class Door(NamedTuple):
    """What a server does, and what comes of it: the type of the error, or none."""

    name: str
    code: str
    comes: str = REFUSED
    without: tuple[str, ...] = ()  # modules that are not imported yet


def refused(*doors: str) -> list[Door]:
    """Doors that are refused, named by what they do."""
    return [Door(code, code) for code in doors]


def passes(*doors: str) -> list[Door]:
    """Doors that are simulated, or harmless."""
    return [Door(code, code, PASSES) for code in doors]


WRAPPED = (
    "tls = {}.create_default_context().wrap_socket(sock, server_hostname='db', do_handshake_on_connect=False);"
    " assert tls.fileno() == number; tls.close(); "
)
DATAGRAM = "s = socket.socket(type=socket.SOCK_DGRAM); "
FAST_OPEN = "socket.MSG_FASTOPEN"

DOORS: list[Door] = [
    # -- datagrams
    *refused(
        DATAGRAM + "s.sendto(b'x', udp)",
        DATAGRAM + "s.sendto(b'x', 0, udp)",
        DATAGRAM + "s.sendmsg([b'x'], [], 0, udp)",
        DATAGRAM + "s.bind(('127.0.0.1', 0))",
        DATAGRAM + "s.recv(9)",
        DATAGRAM + "s.recvfrom(9)",
        DATAGRAM + "s.recv_into(bytearray(9))",
        DATAGRAM + "s.recvmsg(9)",
        DATAGRAM + "_socket.socket.sendto(s, b'x', udp)",
        DATAGRAM + "KeptType.sendmsg(s, [b'x'], [], 0, udp)",
        "kept_udp.sendto(b'x', udp)",
        "kept_udp.sendmsg([b'x'], [], 0, udp)",
        "connected_udp.send(b'x')",
        "connected_udp.sendall(b'x')",
        "connected_udp.sendmsg([b'x'])",
        "connected_udp.recv(9)",
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', path)",
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, path)",
        "socket.SocketType(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', udp)",
        "asyncio.run(datagrams(udp))",
        "asyncio.run(datagrams(None))",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW)",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
    ),
    Door("a UDP socket finds no network", DATAGRAM + "s.connect(udp)", "OSError"),
    # -- real sockets that were made before, and classes that were kept
    *refused(
        "kept.connect(tcp)",
        "kept.connect_ex(tcp)",
        "kept.bind(('127.0.0.1', 0))",
        "kept.listen()",
        f"kept.sendto(b'x', {FAST_OPEN}, tcp)",
        f"kept.sendmsg([b'x'], [], {FAST_OPEN}, tcp)",
        "Holder().kind.connect(kept, tcp)",
        "Holder().kind().connect(tcp)",
        "Holder().kind().listen()",
        f"Holder().kind().sendto(b'x', {FAST_OPEN}, tcp)",
        "Derived().connect(tcp)",
        "Derived().listen()",
        "DerivedRaw().connect(tcp)",
        "DerivedRaw().listen()",
        "DerivedRaw(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', udp)",
        "socket.SocketType().connect(tcp)",
        "class Own(socket.SocketType): pass\nOwn().connect(tcp)",
        "class Own(socket.SocketType): pass\nOwn().listen()",
        "class Own(_socket.socket):\n    def connect(self, to): super().connect(to)\nOwn().connect(tcp)",
        "class Own(socket.socket): pass\nOwn().connect(tcp)",
        "class Own(KeptType, abc.ABC): pass\nOwn(type=socket.SOCK_DGRAM).sendto(b'x', udp)",
        "KeptType().connect(tcp)",
        "_socket.socket().listen()",
        "_socket.socket.connect(kept, tcp)",
        "_socket.socket.listen(kept)",
        "KeptType.connect(kept, tcp)",
        "kept_method(kept, tcp)",
        "listening.accept()",
        "listening._accept()",
        "_socket.socket._accept(listening)",
        "connected.send(b'x')",
        "connected.sendall(b'x')",
        "connected.sendto(b'x', tcp)",
        "connected.sendmsg([b'x'])",
        "connected.sendfile(open(__file__, 'rb'))",
        "connected.recv(9)",
        "connected.recv_into(bytearray(9))",
        "connected.recvfrom(9)",
        "connected.recvfrom_into(bytearray(9))",
        "connected.recvmsg(9)",
        "connected.recvmsg_into([bytearray(9)])",
        "connected.makefile('rb').readline()",
        "connected.makefile('wb', 0).write(b'x')",
        "connected_path.send(b'x')",
        "connected_path.recv(9)",
        "real_selector.select()",
        "real_selector.register(sock, 1)",
        "real_selector.register(number, 1)",
        "sock.sendmsg_afalg([b'x'], op=1)",
        f"socket.socket().sendto(b'x', {FAST_OPEN}, tcp)",
        f"socket.socket().sendmsg([b'x'], [], {FAST_OPEN}, tcp)",
        "sock.dup()",
        "socket.sethostname('elsewhere')",
    ),
    *passes(
        "near, far = socket.socketpair(); near.send(b'x'); assert far.recv(9) == b'x'",
        "near, far = socket.socketpair(type=socket.SOCK_DGRAM); near.sendmsg([b'x']); assert far.recvmsg(9)[0] == b'x'",
        "pair[0].sendall(b'x'); assert pair[1].recv_into(bytearray(9)) == 1",
        "assert isinstance(sock, socket.SocketType) and isinstance(kept, KeptType)",
        "assert issubclass(socket.socket, socket.SocketType) and issubclass(Derived, _socket.socket)",
        "assert isinstance(kept, socket.socket) and isinstance(sock, KeptClass)",
        "kept.getsockname(); kept.shutdown; kept.detach()",
        "assert connected.getpeername() == tcp",
    ),
    # -- names
    *[
        Door(code, code, "ScenarioError")
        for code in (
            "socket.getaddrinfo('nowhere.example', 80)",
            "_socket.getaddrinfo('nowhere.example', 80)",
            "_socket.gethostbyname('nowhere.example')",
            "socket.gethostbyname_ex('nowhere.example')",
            "socket.create_connection(('127.0.0.1', tcp[1]))",
            "socket.create_connection(('203.0.113.5', 80))",
            "asyncio.run(connection(tcp))",
        )
    ],
    *passes(
        "assert socket.gethostname() == 'localhost'",
        "assert _socket.getaddrinfo('localhost', 80)[0][4][1] == 80",
        "assert _socket.getaddrinfo('127.0.0.1', 80, type=1)[0][4] == ('127.0.0.1', 80)",
    ),
    # -- a simulated number
    *refused(
        "os.read(number, 9)",
        "os.write(number, b'x')",
        "os.readv(number, [bytearray(9)])",
        "os.writev(number, [b'x'])",
        "os.pread(number, 9, 0)",
        "os.pwrite(number, b'x', 0)",
        "os.lseek(number, 0, 0)",
        "os.ftruncate(number, 0)",
        "os.fsync(number)",
        "os.fsync(sock)",
        "os.fdatasync(number)",
        "os.fstatvfs(number)",
        "os.fpathconf(number, 'PC_PIPE_BUF')",
        "os.fchown(number, -1, -1)",
        "os.fchdir(number)",
        "os.listdir(number)",
        "os.scandir(number)",
        "os.truncate(number, 0)",
        "os.utime(number)",
        "os.ttyname(number)",
        "os.get_terminal_size(number)",
        "os.tcgetpgrp(number)",
        "os.lockf(number, os.F_LOCK, 0)",
        "os.posix_fadvise(number, 0, 0, os.POSIX_FADV_NORMAL)",
        "os.posix_fallocate(number, 0, 9)",
        "os.get_blocking(number)",
        "os.set_blocking(number, False)",
        "os.device_encoding(number)",
        "os.dup(number)",
        "os.dup2(number, 99)",
        "os.dup2(fd=2, fd2=number)",
        "os.sendfile(out_fd=2, in_fd=number, offset=0, count=1)",
        "os.splice(number, 1, 9)",
        "os.copy_file_range(0, number, 9)",
        "os.fdopen(number)",
        "os.fdopen(number, 'rb', 0)",
        "open(number, 'rb', buffering=0)",
        "io.open(number)",
        "io.FileIO(number)",
        "io.FileIO(number, 'w')",
        "socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM)",
        "socket.dup(number)",
        "mmap.mmap(number, 9)",
        "ioctl(number, termios.FIONREAD, bytearray(4))",
        "ioctl(sock, termios.FIONREAD, bytearray(4))",
        "flock(number, 2)",
        "termios.tcgetattr(number)",
        "pty.spawn('true')",
        "signal.set_wakeup_fd(number)",
        "multiprocessing.connection.Connection(number)",
        "multiprocessing.connection.Client(('db', 1))",
        "select.epoll.fromfd(0)",
        "asyncio.run(pipe_of(number))",
    ),
    *passes(
        "assert stat.S_ISSOCK(os.fstat(number).st_mode)",
        "assert stat.S_ISSOCK(os.stat(number).st_mode) and not stat.S_ISREG(os.fstat(fd=number).st_mode)",
        "other = socket.socket(); assert os.fstat(number).st_ino != os.fstat(other.fileno()).st_ino",
        "assert os.path.sameopenfile(number, number)",
        "assert not os.isatty(number)",
        "os.fchmod(number, 0o600)",
        "assert not os.get_inheritable(number); os.set_inheritable(number, True); assert sock.get_inheritable()",
        "sock.set_inheritable(True); assert os.get_inheritable(number)",
        "assert fcntl(number, F_GETFD) == 1",
        "assert os.sendfile(number, (file := open(__file__)).fileno(), 1 << 40, 9) == 0; file.close()",
        "os.close(sock.detach())",
        "socket.close(sock.detach())",
        "kept_close(number); assert sock.fileno() == sock.detach() == number and sock.fileno() == -1",
        "socket.close(number); assert sock.fileno() == number",
        "other = socket.socket(fileno=number); assert other.getpeername() == sock.getpeername(); other.close()",
        "other = socket.socket(fileno=sock.detach()); other.sendall(b''); other.close()",
        "assert select.select([number], [number], [], 0) == ([], [number], [])",
        "assert select.select([], [sock], []) == ([], [sock], [])",
        "assert not any(select.select([HasNumber(number)], [], [], 5)) and time.monotonic() == 1005",
        "assert kept_select([], [HasNumber(number)], [], 5)[1] and time.monotonic() == 1000",
        "assert select.select([], (one for one in [HasNumber(number)]), [], 5)[1]",
        "p = select.poll(); p.register(number, 4); assert p.poll() == [(number, 4)]",
        "p = select.poll(); p.register(sock, 1); assert p.poll(2500) == [] and time.monotonic() == 1002.5",
        "p = select.epoll(); p.register(number, 4); assert p.poll() == [(number, 4)]; p.close()",
        "with select.epoll() as p: p.register(sock, 1); assert p.poll(2.5) == [] and time.monotonic() == 1002.5",
        "p, q = select.epoll(), select.epoll.fromfd; r = q(p.fileno()); r.register(sock, 4); assert p.poll()",
        "assert isinstance(select.epoll, type) and type(select.poll()).__name__",
        "assert isinstance(select.poll(), type(select.poll())) and isinstance(select.epoll(), type(real_epoll))",
        "assert not isinstance(sock, select.epoll) and isinstance(real_epoll, select.epoll)",
        "assert callable(select.epoll.register) and callable(select.epoll.fromfd)",
        "assert issubclass(select.epoll, select.epoll)",
        "class Own(io.FileIO): pass\nassert isinstance(Own(os.devnull), io.FileIO)",
    ),
    *[
        Door(code, code, "OSError")
        for code in (
            "os.close(number); sock.close()",
            "os.close(number); sock.send(b'x')",
            "os.close(number); os.close(number)",
            "os.close(number); os.fstat(number)",
            "other = socket.socket(fileno=number); other.close(); sock.send(b'x')",
            "other = socket.socket(fileno=number); other.close(); sock.close()",
            "socket.socket(fileno=number + 100)",
        )
    ],
    # -- real descriptors stay real
    *passes(
        "r, w = os.pipe(); os.write(w, b'x'); assert os.read(r, 1 << 30) == b'x'; os.close(r); os.close(w)",
        "r, w = os.pipe(); os.write(w, b'x'); assert kept_select([HasNumber(r)], [], [])[0]; os.close(r); os.close(w)",
        "r, w = os.pipe(); assert select.select([r], [], [], 5) == ([], [], []); assert time.monotonic() >= 1005",
        "with open(__file__) as file: assert os.fstat(file.fileno()).st_size > 9",
        "with tempfile.TemporaryFile() as file: os.fsync(file); os.lseek(file.fileno(), 0, 0)",
        "with tempfile.NamedTemporaryFile() as file: assert os.path.exists(file.name)",
        "with open(__file__, 'rb') as file: assert len(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) > 9",
        "assert len(mmap.mmap(-1, 9)) == 9",
        "with io.FileIO(os.devnull) as file: assert isinstance(file, io.FileIO)",
        "duplicate = os.dup(1); os.close(duplicate)",
        "assert os.listdir('.') is not None and os.stat('.').st_mode",
        "assert subprocess.run([sys.executable, '-c', 'print(2)'], stdout=subprocess.PIPE).stdout == b'2\\n'",
        "process = subprocess.Popen(['true']); assert process.wait() == 0",
        "process = subprocess.Popen(['sleep', '60']); process.kill(); assert process.wait() < 0",
        "logging.getLogger('escape').info('heard by a handler'); assert 'heard' in log.getvalue()",
        "pair[0].setblocking(False); signal.set_wakeup_fd(pair[0].fileno()); signal.set_wakeup_fd(-1)",
        "os.kill(os.getpid(), 0)",
        "os.kill(os.getpid(), signal.SIGURG)",
        "signal.signal(signal.SIGUSR1, lambda *_: None); signal.raise_signal(signal.SIGUSR1)",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "signal.raise_signal(signal.SIGTERM)",
        "signal.pthread_kill(threading.get_ident(), signal.SIGTERM)",
        "_thread.interrupt_main(signal.SIGTERM)",
        "signal.signal(signal.SIGTERM, print); signal.siginterrupt(signal.SIGTERM, False)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); signal.sigpending()",
        "kept_alarm(0); signal.setitimer(signal.ITIMER_REAL, 0)",
    ),
    # -- processes, signals, threads
    *refused(
        "os.fork()",
        "kept_fork()",
        "os.forkpty()",
        "pty.fork()",
        "os.execv('/bin/true', ['true'])",
        "os.execve('/bin/true', ['true'], {})",
        "os.execl('/bin/true', 'true')",
        "os.execvp('true', ['true'])",
        "os._exit(0)",
        "os.abort()",
        "os.system('true')",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.posix_spawnp('true', ['true'], {})",
        "os.spawnv(os.P_NOWAIT, '/bin/true', ['true'])",
        "os.spawnlp(os.P_WAIT, 'true', 'true')",
        "os.kill(os.getppid(), signal.SIGURG)",
        "signal.pthread_kill(threading.get_ident() + 1, signal.SIGURG)",
        "os.killpg(0, signal.SIGURG)",
        "os.wait()",
        "os.waitpid(-1, 0)",
        "os.waitid(os.P_ALL, 0, os.WEXITED)",
        "os.closerange(900, 1000)",
        "signal.alarm(1)",
        "kept_alarm(1)",
        "signal.setitimer(signal.ITIMER_REAL, 0.5)",
        "signal.setitimer(signal.ITIMER_VIRTUAL, 1, 1)",
        "signal.pause()",
        "signal.sigwait([signal.SIGURG])",
        "signal.sigwaitinfo([signal.SIGURG])",
        "signal.sigtimedwait([signal.SIGURG], 60)",
        "time.clock_settime(time.CLOCK_REALTIME, 0)",
        "alive.join()",
        "alive.join(60)",
        "pool.submit(escapes)",
        "pool.map(escapes, [1])",
        "concurrent.futures.ProcessPoolExecutor().submit(print)",
        "asyncio.run(in_thread(pool))",
        "multiprocessing.Process(target=print).start()",
        "multiprocessing.get_context('spawn').Process(target=print).start()",
        "multiprocessing.get_context('forkserver').Process(target=print).start()",
        "multiprocessing.Pool(1)",
        "thread_pool.apply_async(escapes)",
        "asyncio.run(process('true'))",
        "asyncio.run(asyncio.create_subprocess_exec('true'))",
        "class Forks(socketserver.ForkingMixIn, socketserver.TCPServer): pass\n"
        "Forks(('', 1), None).process_request(sock, None)",
    ),
    # -- threads are the scenario's
    *passes(
        "threading.Thread(target=stays).start()",
        "threading.Timer(0, stays).start()",
        "_thread.start_new_thread(stays, ())",
        "_thread.start_new(stays, ())",
        "concurrent.futures.ThreadPoolExecutor().submit(stays).result()",
        "multiprocessing.pool.ThreadPool(1).apply(stays)",
        "asyncio.run(in_thread(None))",
        "asyncio.run(asyncio.to_thread(stays))",
        "class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer): pass\n"
        "Threads(('', 1), stays).process_request(sock, None)",
        "import threading as t, time as z; a = t.Thread(target=z.sleep, args=(500,)); a.start(); a.join();"
        " assert z.monotonic() == 1500",
    ),
    # -- time
    *passes(
        "kept_sleep(100); assert time.monotonic() == 1100",
        "time.sleep(100); assert clock_gettime(time.CLOCK_MONOTONIC) == 1100",
        "begun = time.clock_gettime_ns(time.CLOCK_REALTIME); time.sleep(2); assert time.time_ns() - begun == 2 * 10**9",
        "time.sleep(90); assert str(datetime.datetime.now(datetime.timezone.utc)) == '2026-01-01 00:01:30+00:00'",
        "from datetime import datetime as d; assert d.now().timestamp() == d.today().timestamp() == time.time()",
        "assert kept_class.now().timestamp() == time.time() and kept_date.today() == kept_class.now().date()",
        "assert kept_strftime('%s') == time.strftime('%s') and kept_gmtime()[:3] == time.gmtime()[:3] == (2026, 1, 1)",
        "assert time.ctime() == time.asctime() == time.ctime(time.time()) and kept_localtime() == time.localtime()",
        "assert max(time.process_time(), time.thread_time(), clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)) < 900",
        "s = sched.scheduler(); s.enter(500, 1, int); s.run(); assert s.timefunc() == 1500",
        "assert not threading.Event().wait(100) and time.monotonic() == 1100",
        "try: SimpleQueue().get(timeout=100)\nexcept queue.Empty: assert time.monotonic() == 1100",
        "q = queue.SimpleQueue(); q.put(1); assert q.get() == 1 and isinstance(q, SimpleQueue)",
        "select.select([], [], [], 100); assert time.monotonic() == 1100",
        WRAPPED.format("ssl") + "assert isinstance(tls, (ssl.SSLSocket, socket.socket)) and sock.fileno() == -1",
        WRAPPED.format("ssl") + "assert type(tls) is not ssl.SSLSocket",
        "ended.join()",
    ),
    Door("SimpleQueue().get()", "SimpleQueue().get()", "ScenarioError"),
    *refused("select.select([], [], [])"),
    # -- what is imported when the server already runs
    Door(
        "ssl comes late",
        "import ssl; " + WRAPPED.format("ssl") + "assert type(tls) is not ssl.SSLSocket",
        PASSES,
        ("ssl", "_ssl"),
    ),
    Door(
        "ssl comes anew",
        "anew = importlib.reload(importlib.import_module('ssl')); " + WRAPPED.format("anew"),
        PASSES,
    ),
    Door("and is as ever", "import ssl; assert ssl.SSLSocket.__mro__[1] is Holder().kind", PASSES, ("ssl", "_ssl")),
    Door(
        "datetime comes late",
        "import datetime as d; assert d.datetime.now(d.timezone.utc).timestamp() == time.time()",
        PASSES,
        ("datetime", "_datetime"),
    ),
    Door(
        "sched comes late",
        "import sched; sched.scheduler().delayfunc(500); assert time.monotonic() == 1500",
        PASSES,
        ("sched",),
    ),
    Door(
        "a pool comes late",
        "import concurrent.futures.thread as t; t.ThreadPoolExecutor().submit(stays).result()",
        PASSES,
        ("concurrent.futures.thread",),
    ),
    Door("another socket module comes", "import socket; socket.create_connection(tcp)", REFUSED, ("socket",)),
    Door("with a class of its own", "import socket; socket.socket.connect(socket.socket(), tcp)", REFUSED, ("socket",)),
    Door(
        "processes come late",
        "import multiprocessing.process as p; p.BaseProcess.start(None)",
        REFUSED,
        ("multiprocessing.process",),
    ),
]


async def datagrams(remote: Any) -> None:
    """An endpoint for datagrams that sends, or is bound."""
    loop = asyncio.get_running_loop()
    if remote:
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, family=socket.AF_INET)
        transport.sendto(b"x", remote)
    else:
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))


async def connection(address: Any) -> None:
    await asyncio.open_connection(*address)


async def in_thread(executor: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(executor, stays)


async def process(command: str) -> None:
    await (await asyncio.create_subprocess_shell(command)).wait()


async def pipe_of(number: int) -> None:
    await asyncio.get_running_loop().connect_read_pipe(asyncio.Protocol, HasNumber(number))


def stays(*_: object) -> None:
    """What a thread does that is the scenario's: all that it reaches is."""
    assert socket.socket.__init__ is not socket.SocketType.__init__
    assert time.monotonic() >= 1000
    time.sleep(100)


def escapes(*_: object) -> None:
    """What a thread would do that is under no scenario."""
    with contextlib.suppress(OSError):
        socket.create_connection(OUTSIDE["tcp"]).close()


NETWORK: Any = os.environ.get("NETWORK", "simulated")
ADDRESS = ("127.0.0.1", 0)
OUTSIDE: dict[str, Any] = {}
"""Addresses at which somebody listens."""


def heard(*sockets: Any) -> list[str]:
    """What has come in from outside since last asked."""
    found: list[str] = []
    for sock in sockets:
        try:
            found.append(
                repr(sock.accept() if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) else sock.recv(9))
            )
        except BlockingIOError:
            pass
    return found


def try_door(door: Door, space: dict[str, Any], *, swallowed: bool) -> str:
    """What comes of it: the name of the error, or nothing."""
    body = "\n".join(f"    {line}" for line in door.code.split("\n"))
    exec(f"def door():\n{body}\n", space)

    def server() -> None:
        space["sock"] = sock = space["socket"].create_connection(("db", 1))
        space["number"] = sock.fileno()
        try:
            space["door"]()
        except BaseException:
            if not swallowed:
                raise
        finally:
            space["sock"] = None
            with contextlib.suppress(OSError):
                sock.close()

    gone = {name: sys.modules.pop(name) for name in door.without if name in sys.modules}
    try:
        with Scenario(allow={"leaked-connection", "unmet-expectation", "unread-data"}, network=NETWORK) as net:
            net.backend(("db", 1))
            net.backend(("db", 1))
            net.run(server)
    except BaseException as error:
        if os.environ.get("VERBOSE"):
            traceback.print_exc()
        return next(
            kind.__name__
            for kind in type(error).__mro__
            if kind.__name__ in (REFUSED, "ScenarioError", "OSError") or kind is type(error)
        )
    finally:
        sys.modules.update(gone)
    return PASSES


def main(names: list[str]) -> None:
    """Try them all, or those that are named."""
    space = globals()
    exec(KEPT, space)
    outside, far_path = socket.create_server(ADDRESS), socket.socket(socket.AF_UNIX)
    udp_outside = socket.socket(type=socket.SOCK_DGRAM)
    udp_outside.bind(ADDRESS)
    OUTSIDE.update(tcp=outside.getsockname(), udp=udp_outside.getsockname())
    folder = tempfile.TemporaryDirectory()
    path = f"{folder.name}/s"
    far_path.bind(path)
    far_path.listen()
    path_udp = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path_udp.bind(f"{folder.name}/d")
    connected, connected_path, connected_udp = (
        socket.create_connection(OUTSIDE["tcp"]),
        socket.socket(socket.AF_UNIX),
        socket.socket(type=socket.SOCK_DGRAM),
    )
    connected_path.connect(path)
    connected_udp.connect(OUTSIDE["udp"])
    fars = outside, udp_outside, far_path, path_udp, outside.accept()[0], far_path.accept()[0]
    for far in fars:
        far.setblocking(False)
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.submit(int).result()
    release = threading.Event()
    alive, ended = threading.Thread(target=release.wait, daemon=True), threading.Thread(target=int)
    log = io.StringIO()
    logging.getLogger("escape").addHandler(logging.StreamHandler(log))
    logging.getLogger("escape").setLevel(logging.INFO)
    alive.start()
    ended.start()
    ended.join()
    listening = socket.create_server(ADDRESS)
    real_selector = selectors.DefaultSelector()
    real_selector.register(listening, selectors.EVENT_READ)
    space |= OUTSIDE | {
        "alive": alive,
        "connected": connected,
        "connected_path": connected_path,
        "connected_udp": connected_udp,
        "ended": ended,
        "kept_udp": socket.socket(type=socket.SOCK_DGRAM),
        "listening": listening,
        "log": log,
        "pair": socket.socketpair(),
        "path": f"{folder.name}/d",
        "pool": pool,
        "real_epoll": select.epoll(),
        "real_selector": real_selector,
        "thread_pool": multiprocessing.pool.ThreadPool(1),
    }
    for door in DOORS:
        if (names and door.name not in names) or (NETWORK != "simulated" and "dup(number)" in door.name):
            continue
        for swallowed in (False, True):
            if swallowed and door.comes not in (REFUSED, "ScenarioError"):
                continue
            faulthandler.dump_traceback_later(
                600, exit=True
            )  # whatever else the machine does, one takes no ten minutes
            space["kept"] = socket.socket()
            begun = time.monotonic()
            came = try_door(door, space, swallowed=swallowed)
            took = time.monotonic() - begun
            print(json.dumps([door.name, came, heard(*fars), took > 5]), flush=True)
            space["kept"].close()
    release.set()


if __name__ == "__main__":
    main(sys.argv[1:])

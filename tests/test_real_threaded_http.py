"""HTTP servers that answer in threads, unmodified: one client is slow, others reset, and they are stopped."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import http.server
import importlib
import os
import random
import re
import selectors
import socket
import socketserver
import sys
import threading
import time
import wsgiref.simple_server
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Receives, Resets, Scenario, Sends
from mockselector._threads.who_waits import GOES_ON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mockselector import Peer, Play

    Serve = Callable[[Scenario], str]
PORT = 8000
BIG = 300_000
HELLO = re.compile(rb"HTTP/1\.[01] 200 OK\r\n.*\r\n\r\nhello", re.DOTALL)
MUCH = re.compile(rb"HTTP/1\.[01] 200 OK\r\n.*\r\n\r\nx{300000}", re.DOTALL)
GET = b"GET /%b HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def never_for_ever() -> Iterator[None]:
    """Whatever goes wrong here may hang."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


# -- the programs -----------------------------------------------------------------------------------


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """For any WSGI server: answers after a second, in which others are to be answered as well."""
    time.sleep(1)
    body = b"x" * BIG if environ["PATH_INFO"] == "/big" else b"hello"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(1)
        body = b"x" * BIG if self.path == "/big" else b"hello"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  (its name)


def by_http_server(net: Scenario) -> str:
    with http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Slow) as server:
        net.on_end(server.shutdown)
        server.serve_forever()
    return "stopped"


class ThreadingWsgi(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer): ...


class Silent(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  (its name)


def by_wsgiref(net: Scenario) -> str:
    with wsgiref.simple_server.make_server("127.0.0.1", PORT, app, ThreadingWsgi, Silent) as server:
        net.on_end(server.shutdown)
        server.serve_forever()
    return "stopped"


def by_werkzeug(net: Scenario) -> str:
    serving: Any = importlib.import_module("werkzeug.serving")
    server = serving.make_server("127.0.0.1", PORT, app, threaded=True)
    net.on_end(server.shutdown)
    server.serve_forever()
    return "stopped"


def by_cheroot(net: Scenario) -> str:
    wsgi: Any = importlib.import_module("cheroot.wsgi")
    server = wsgi.Server(("127.0.0.1", PORT), app, numthreads=4)
    net.interrupts()
    with contextlib.suppress(KeyboardInterrupt):
        server.safe_start()
    return "stopped"


def by_waitress(net: Scenario) -> str:
    server: Any = importlib.import_module("waitress.server").create_server(app, host="127.0.0.1", port=PORT, threads=4)
    net.interrupts()
    server.run()
    server.close()
    return "stopped"


def by_gunicorn(net: Scenario) -> str:
    """Its worker of threads, made and run without the master that forks."""
    base: Any = importlib.import_module("gunicorn.app.base")
    glogging: Any = importlib.import_module("gunicorn.glogging")
    kind: Any = importlib.import_module("gunicorn.workers.gthread").ThreadWorker

    class App(base.BaseApplication):  # type: ignore[misc]  # it need not be installed
        def load_config(self) -> None:
            self.cfg.set("bind", [f"127.0.0.1:{PORT}"])
            self.cfg.set("loglevel", "critical")
            self.cfg.set("threads", 4)

        def load(self) -> Callable[..., object]:
            return app

    application = App()
    log = glogging.Logger(application.cfg)
    listeners = importlib.import_module("gunicorn.sock").create_sockets(application.cfg, log)
    worker = kind(1, os.getppid(), listeners, application, 15, application.cfg, log)
    # What `init_process()` does beside signals, for which the worker has a process of its own.
    worker.tpool, worker.poller = worker.get_thread_pool(), selectors.DefaultSelector()
    worker.method_queue.init()
    worker.wsgi, worker.booted = app, True
    net.on_end(lambda: worker.handle_exit(None, None))
    worker.run()
    worker.tmp.close()
    for listener in listeners:
        listener.close()
    return "stopped"


def answers(conn: socket.socket) -> None:
    """What a server of one's own does with a client."""
    try:
        with conn, conn.makefile("rb") as file:
            path = file.readline().split()[1]
            while file.readline().strip():
                pass
            time.sleep(1)
            conn.sendall(b"HTTP/1.0 200 OK\r\nX: y\r\n\r\n" + (b"x" * BIG if path == b"/big" else b"hello"))
    except OSError:
        pass


def serve_by(submit: Callable[[socket.socket], object], net: Scenario) -> None:
    with selectors.DefaultSelector() as selector, socket.create_server(("127.0.0.1", PORT)) as listener:
        ours, theirs = socket.socketpair()
        net.on_end(theirs.close)
        with ours, theirs:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(ours, selectors.EVENT_READ)
            while all(key.fileobj is listener for key, _ in selector.select()):
                submit(listener.accept()[0])


def by_an_executor(net: Scenario) -> str:
    with ThreadPoolExecutor(4) as pool:
        serve_by(lambda conn: pool.submit(answers, conn), net)
    return "stopped"


def by_a_thread_pool(net: Scenario) -> str:
    from multiprocessing.pool import ThreadPool

    with ThreadPool(4) as pool:
        serve_by(lambda conn: pool.apply_async(answers, (conn,)), net)
        pool.close()
        pool.join()
    return "stopped"


def uvicorn_serves(application: Any, net: Scenario) -> str:
    uvicorn: Any = importlib.import_module("uvicorn")
    net.interrupts()
    uvicorn.run(application, host="127.0.0.1", port=PORT, log_config=None, loop="asyncio")
    return "stopped"


def by_starlette(net: Scenario) -> str:
    responses: Any = importlib.import_module("starlette.responses")

    def page(request: Any) -> Any:
        time.sleep(1)
        return responses.PlainTextResponse("x" * BIG if request.url.path == "/big" else "hello")

    route: Any = importlib.import_module("starlette.routing").Route
    routes = [route("/", page), route("/big", page)]
    return uvicorn_serves(importlib.import_module("starlette.applications").Starlette(routes=routes), net)


def by_fastapi(net: Scenario) -> str:
    fastapi: Any = importlib.import_module("fastapi")
    text: Any = importlib.import_module("fastapi.responses").PlainTextResponse
    application = fastapi.FastAPI()

    def much() -> bool:
        time.sleep(0.5)
        return True

    def hello() -> str:
        time.sleep(1)
        return "hello"

    def big(xs: bool = fastapi.Depends(much)) -> str:
        time.sleep(0.5)
        return "x" * BIG * xs

    application.get("/", response_class=text)(hello)
    application.get("/big", response_class=text)(big)
    return uvicorn_serves(application, net)


SERVERS: dict[str, tuple[Serve, str]] = {
    "http.server": (by_http_server, ""),
    "wsgiref": (by_wsgiref, ""),
    "werkzeug": (by_werkzeug, "werkzeug"),
    "cheroot": (by_cheroot, "cheroot"),
    "waitress": (by_waitress, "waitress"),
    "gunicorn": (by_gunicorn, "gunicorn"),
    "ThreadPoolExecutor": (by_an_executor, ""),
    "ThreadPool": (by_a_thread_pool, ""),
    "starlette": (by_starlette, "uvicorn starlette"),
    "fastapi": (by_fastapi, "uvicorn fastapi"),
}


@pytest.fixture(params=SERVERS)
def serve(request: pytest.FixtureRequest) -> Serve:
    program, packages = SERVERS[request.param]
    for package in packages.split():
        pytest.importorskip(package)
    return program


# -- the clients -------------------------------------------------------------------------------------


def in_pieces(peer: Peer, request: bytes) -> Peer:
    for start in range(0, len(request), 16):
        peer.sends(request[start : start + 16]).waits(1)
    return peer


def leaves_while_it_reads() -> Play:
    yield Sends(GET % b"big")
    yield Receives(1000)
    yield Resets()


def crowd(net: Scenario) -> dict[str, float]:
    """Clients of all kinds, and when each has its answer."""
    done: dict[str, float] = {}

    def notes(peer: Peer) -> None:
        peer.does(lambda: done.__setitem__(peer.name, net.now)).closes()

    notes(in_pieces(net.client("alice").reads_slowly(20_000), GET % b"big").expects(MUCH, until="eof"))
    notes(net.client("bob").sends(GET % b"").expects(HELLO, until="eof"))
    net.client("mallory").sends((GET % b"")[:20]).waits(1).resets()
    net.client("eve").plays(leaves_while_it_reads)
    notes(net.client("carol", delay=30).sends(GET % b"").expects(HELLO, until="eof"))
    return done


@pytest.fixture
def ignored(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the interpreter has told of exceptions in destructors."""

    def hook(told: sys.UnraisableHookArgs) -> None:
        said.append(str(told.exc_value))

    said: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", hook)
    yield said
    gc.collect()


def plays(serve: Serve, other: Callable[[int], int] | None = None) -> list[str]:
    """One run, and its trace; `other` says which thread goes on, where it could be another one."""
    before = threading.enumerate()
    with Scenario() as net:
        choices = net._world.choices
        if other is not None:
            choices.decide = lambda many, label: other(many) if label == GOES_ON else 0
        done = crowd(net)
        assert net.run(serve, net) == "stopped"
        assert done["bob"] == pytest.approx(1, abs=0.1)
        assert done["carol"] == pytest.approx(31, abs=0.6)
        assert 15 < done["alice"] < 30
    assert before == threading.enumerate()
    return [str(event) for event in net.trace]


@pytest.mark.slow
def test_a_slow_client_and_some_that_reset_harm_nobody(serve: Serve, ignored: list[str]) -> None:
    assert plays(serve) == plays(serve)
    gc.collect()
    if serve is by_cheroot and sys.version_info >= (3, 13):
        # A defect of cheroot's: when eve has gone, nobody takes what it still has for her out of the buffer of its
        # writer (makefile.py:33), whose destructor then tries to send that by a socket that is closed. So on real ones.
        assert {*ignored} == {"[Errno 9] Bad file descriptor"}
    else:
        assert ignored == []


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("seed", range(3))
def test_so_they_do_in_another_order_of_threads(serve: Serve, seed: int, ignored: list[str]) -> None:
    assert plays(serve, random.Random(seed).randrange) == plays(serve, random.Random(seed).randrange)
    assert plays(serve, lambda many: many - 1)


def test_gunicorn_lets_go_of_connections_that_are_silent_and_comes_back_to_them() -> None:
    if not hasattr(pytest.importorskip("gunicorn.workers.gthread"), "DEFAULT_WORKER_DATA_TIMEOUT"):
        pytest.skip("it has not always done so")
    keeps = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"

    def notes(peer: Peer) -> None:
        peer.does(lambda: done.append((peer.name, net.now))).closes()

    done: list[tuple[str, float]] = []
    with Scenario() as net:
        for number in range(4):  # as many as there are threads
            notes(net.client(f"silent {number}").waits(6).sends(GET % b"").expects(HELLO, until="eof"))
        notes(net.client("bob", delay=1).sends(GET % b"").expects(HELLO, until="eof"))
        carol = net.client("carol", delay=20).sends(keeps).expects(HELLO, until=b"hello")
        notes(carol.waits(1).sends(keeps).expects(HELLO, until=b"hello").expects_eof())
        assert net.run(by_gunicorn, net) == "stopped"
    assert done[0] == ("bob", 6.0)  # it takes a thread five seconds to let go of one
    assert sorted(done[1:5]) == [(f"silent {number}", 7.0) for number in range(4)]
    assert done[5][0] == "carol"
    assert 25 <= done[5][1] <= 26  # two seconds after the second answer, at the next look

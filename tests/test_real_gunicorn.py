"""gunicorn's sync worker, unmodified: what its master forks is made and run by the test."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario

pytest.importorskip("gunicorn")
base: Any = pytest.importorskip("gunicorn.app.base")
glogging: Any = pytest.importorskip("gunicorn.glogging")
sock: Any = pytest.importorskip("gunicorn.sock")
sync: Any = pytest.importorskip("gunicorn.workers.sync")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GET = b"GET /%b HTTP/1.1\r\nHost: test\r\n\r\n"
HELLO = re.compile(rb"HTTP/1.1 200 OK\r\n.*\r\n\r\nhello", re.DOTALL)
BIG = re.compile(rb"HTTP/1.1 200 OK\r\n.*\r\n\r\nx{300000}", re.DOTALL)


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/fails":
        raise ValueError("no such thing")
    body = b"x" * 300_000 if environ["PATH_INFO"] == "/big" else b"hello" + environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class App(base.BaseApplication):  # type: ignore[misc]  # it need not be installed
    def load_config(self) -> None:
        self.cfg.set("bind", ["127.0.0.1:8000"])
        self.cfg.set("loglevel", "critical")

    def load(self) -> Callable[..., object]:
        return app


def serve(net: Scenario) -> str:
    application = App()
    log = glogging.Logger(application.cfg)
    listeners = sock.create_sockets(application.cfg, log)
    worker = sync.SyncWorker(1, os.getppid(), listeners, application, 15, application.cfg, log)
    # What `init_process()` does beside signals, for which the worker has a process of its own.
    pipe = os.pipe()
    worker.PIPE, worker.wsgi, worker.booted = pipe, app, True
    worker.wait_fds = [*worker.sockets, pipe[0]]
    net.on_end(lambda: setattr(worker, "alive", False))
    worker.run()
    worker.tmp.close()
    for number in pipe:
        os.close(number)
    for listener in listeners:
        listener.close()
    return "stopped"


def test_it_answers_one_after_the_other_and_stops() -> None:
    with Scenario() as net:
        net.client("alice").sends(GET % b"").expects(HELLO, until="eof").closes()
        net.client("bob").sends(GET % b"").expects(HELLO, until="eof").closes()
        net.client("carol", delay=40).sends(GET % b"").expects(HELLO, until="eof").closes()
        assert "stopped" == net.run(serve, net)
    assert net.now >= 40


def test_a_half_close_is_answered() -> None:
    with Scenario() as net:
        net.client("alice").sends(GET % b"").shuts_down().expects(HELLO, until="eof").closes()
        assert "stopped" == net.run(serve, net)


def test_a_slow_reader_gets_all() -> None:
    with Scenario() as net:
        net.client("alice").reads_slowly(50_000, every=0.1).sends(GET % b"big").expects(BIG, until="eof").closes()
        assert "stopped" == net.run(serve, net)


def test_a_reset_in_mid_request_is_one_client_less() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"GET / HT").resets()
        net.client("bob", delay=1).sends(GET % b"").expects(HELLO, until="eof").closes()
        assert "stopped" == net.run(serve, net)


def test_a_program_that_fails_is_a_500() -> None:
    with Scenario() as net:
        net.client("alice").sends(GET % b"fails").expects(
            re.compile(rb"HTTP/1.1 500 .*", re.DOTALL), until="eof"
        ).closes()
        assert "stopped" == net.run(serve, net)

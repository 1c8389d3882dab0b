"""asyncio's streams and sockets, unmodified, in scenarios."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

import pytest

from mockselector import Scenario, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

needs_sendfile = pytest.mark.skipif(not hasattr(os, "sendfile"), reason="this system has none")


@pytest.fixture(autouse=True)
def own_garbage() -> Iterator[None]:
    """What a test leaves behind (a task, a transport that is not closed) is its own failure, not that of the next."""
    yield
    gc.collect()


async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each line in capitals."""
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
    await leave(writer)


async def leave(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def serve(handler: Handler, host: str = "127.0.0.1") -> None:
    """A program as the documentation writes it."""
    server = await asyncio.start_server(handler, host, 8888)
    async with server:
        await server.serve_forever()


def test_streams_answer_each_line() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").sends(b"ho\n").expects(b"HO\n").closes()
        net.run(asyncio.run, serve(upper))


def test_clients_are_served_at_the_same_time() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"a").waits(10).sends(b"a\n").expects(b"AA\n").closes()
        net.client("bob").sends(b"b\n").expects(b"B\n").does(lambda: seen.append(net.now)).closes()
        seen: list[float] = []
        net.run(asyncio.run, serve(upper))
        assert seen == [0.0]


def test_a_client_that_resets_leaves_the_others_alone() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"a\n").expects(b"A\n").resets()
        net.client("bob").waits(1).sends(b"b\n").expects(b"B\n").shuts_down().expects_eof()
        net.run(asyncio.run, serve(upper))


def test_wait_for_times_out_in_virtual_time() -> None:
    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(reader.readline(), 600)
        except asyncio.TimeoutError:
            writer.write(b"too late\n")
        await leave(writer)

    with Scenario() as net:
        net.client("alice").expects(b"too late\n").expects_eof()
        net.run(asyncio.run, serve(impatient))
        assert net.now == 600.0


def test_a_megabyte_is_written_to_a_slow_reader() -> None:
    async def generous(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 1_000_000)
        await writer.drain()
        await leave(writer)

    with Scenario() as net:
        net.client("alice").reads_slowly(100_000).expects(b"x" * 1_000_000).expects_eof()
        net.run(asyncio.run, serve(generous))


def test_a_proxy_connects_to_a_backend() -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("192.0.2.1", 80)
        questions.write(await reader.readline())
        writer.write(await answers.readline())
        await leave(questions)
        await leave(writer)

    with Scenario() as net:
        net.client("alice").sends(b"question\n").expects(b"answer\n").expects_eof()
        net.backend(("192.0.2.1", 80), delay=0.5).expects(b"question\n").sends(b"answer\n").expects_eof()
        net.run(asyncio.run, serve(proxy))


def test_an_event_set_from_outside_ends_the_program() -> None:
    async def main() -> str:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        net.on_end(lambda: loop.call_soon_threadsafe(stop.set))
        server = await asyncio.start_server(upper, "127.0.0.1", 8888)
        async with server:
            await stop.wait()
        return "stopped"

    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        assert net.run(asyncio.run, main()) == "stopped"


def test_ctrl_c_ends_the_program() -> None:
    with Scenario(pedantic=True) as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        net.interrupts()
        net.run(asyncio.run, serve(upper))


def test_the_methods_of_a_loop_serve_plain_sockets() -> None:
    async def echo(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with connection:
            while data := await loop.sock_recv(connection, 1024):
                await loop.sock_sendall(connection, data)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        with socket.create_server(("127.0.0.1", 8888)) as listener:
            listener.setblocking(False)
            while True:
                connection, _ = await loop.sock_accept(listener)
                tasks.append(loop.create_task(echo(connection)))

    with Scenario() as net:
        net.client("alice").sends(b"abc").expects(b"abc").closes()
        net.client("bob").sends(b"def").expects(b"def").closes()
        net.run(asyncio.run, main())


def test_a_wrong_answer_comes_out_of_a_task() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[.+?\] alice was sent b'HI\\n' where it expects b'Hi\\n'") as caught:
        with Scenario() as net:
            net.client("alice").sends(b"hi\n").expects(b"Hi\n").closes()
            net.run(asyncio.run, serve(upper))
    assert caught.value.rule == "unexpected-send"


def test_what_a_program_cleans_up_is_cleaned_up_after_a_violation() -> None:
    async def main() -> None:
        try:
            await serve(upper)
        finally:
            await asyncio.sleep(0)
            done.append("cleaned up")

    done: list[str] = []
    with pytest.raises(ScenarioError, match=r"\[unexpected-send\]"):
        with Scenario() as net:
            net.client("alice").sends(b"hi\n").expects(b"Hi\n").closes()
            net.run(asyncio.run, main())
    assert done == ["cleaned up"]


def test_the_name_of_a_host_is_resolved_without_a_thread() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"HI\n").closes()
        net.run(asyncio.run, serve(upper, "localhost"))


def test_threads_beside_the_loop_wait_in_virtual_time() -> None:
    async def main() -> float:
        await asyncio.gather(*[asyncio.to_thread(time.sleep, seconds) for seconds in (1, 3, 2)])
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, 1)
        return net.now

    with Scenario() as net:
        assert net.run(asyncio.run, main()) == 4


def test_the_same_scenario_has_the_same_trace() -> None:
    traces: list[list[object]] = []
    for _ in range(2):
        with Scenario() as net:
            for number in range(10):
                net.client().sends(b"%d\n" % number).expects(b"%d\n" % number).closes()
            net.run(asyncio.run, serve(upper))
            traces.append(list(net.trace))
    assert traces[0] == traces[1]


@needs_sendfile
def test_a_file_is_sent_by_the_loop_to_a_slow_reader(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 300_000)

    async def static(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"here it is: ")
        with path.open("rb") as file:
            await asyncio.get_running_loop().sendfile(writer.transport, file, 10)
        await leave(writer)

    with Scenario(pedantic=True) as net:
        alice = net.client("alice").sends(b"file?\n").reads_slowly(20_000)
        alice.expects(b"here it is: " + b"x" * 299_990).expects_eof()
        net.run(serve, static)


def test_what_a_loop_has_sent_of_a_buffer_may_be_resized() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 8888)) as listener:
            listener.setblocking(False)
            conn, _ = await loop.sock_accept(listener)
            with conn:
                buffer = bytearray(200_000)
                with memoryview(buffer) as view:
                    await loop.sock_sendall(conn, view[10:])
                buffer.clear()

    with Scenario() as net:
        net.client("alice").reads_slowly(20_000).expects(bytes(199_990)).expects_eof()
        net.run(main)


# -- what waits by itself -----------------------------------------------------------------------------


def held_up(wait: Callable[[socket.socket], object]) -> str:
    """What is said of a coroutine that waits so; alice's end of its connection is `wait`'s."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 8888)) as listener:
            listener.setblocking(False)
            conn, _ = await asyncio.get_running_loop().sock_accept(listener)
            with conn:
                conn.setblocking(True)
                wait(conn)

    with pytest.raises(ScenarioError) as caught:
        with Scenario(pedantic=True) as net:
            net.client("alice").waits(3).sends(b"x").expects_eof()
            net.run(main)
    assert "blocking-call" == caught.value.rule
    return str(caught.value)


def reads_for_a_second(conn: socket.socket) -> None:
    conn.settimeout(1)
    conn.recv(1)


def polls(conn: socket.socket) -> None:
    poller = select.poll()
    poller.register(conn, select.POLLIN)
    poller.poll()


WAITS: Final[dict[str, Callable[[socket.socket], object]]] = {
    "time.sleep() has held up the event loop for 1.5 s": lambda _: time.sleep(1.5),
    "alice.recv() has held up the event loop for 3 s": lambda conn: conn.recv(1),
    "alice.recv() has held up the event loop for 1 s": reads_for_a_second,
    "threading.wait() has held up the event loop for 2 s": lambda _: threading.Event().wait(2),
    "time.sleep() has held up the event loop for 2 s": lambda _: select.select([], [], [], 2),
    "select.select() has held up the event loop for 2.5 s": lambda conn: select.select([conn], [], [], 2.5),
    "poll.poll() has held up the event loop for 3 s": polls,
}


@pytest.mark.parametrize("says", WAITS)
def test_a_call_that_waits_in_a_coroutine_is_a_pedantic_finding(says: str) -> None:
    text = held_up(WAITS[says])
    assert text.startswith(f"[blocking-call] {says}\n\n  called")
    assert "test_real_asyncio.py" in text.split("\n\n")[1]


def test_a_call_that_does_not_wait_is_right_in_a_coroutine() -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        time.sleep(0)
        threading.Event().wait(0)
        with socket.create_connection(("db", 5432)) as db:
            writer.write(db.recv(9))
        await asyncio.sleep(5)
        await leave(writer)

    with Scenario(pedantic=True) as net:
        net.client("alice").expects(b"now\n").expects_eof()
        net.backend(("db", 5432)).sends(b"now\n").expects_eof()
        net.run(serve, answers)


def test_a_program_without_a_loop_may_sleep() -> None:
    def main() -> None:
        time.sleep(5)
        asyncio.run(asyncio.sleep(1))
        time.sleep(5)

    with Scenario(pedantic=True) as net:
        net.run(main)
        assert 11 == net.now


def test_a_test_that_runs_in_a_loop_of_its_own_may_run_what_sleeps() -> None:
    async def test() -> float:
        with Scenario(pedantic=True) as net:
            net.run(time.sleep, 5)
            return net.now

    assert 5 == asyncio.run(test())

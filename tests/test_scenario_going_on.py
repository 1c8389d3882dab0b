"""Programs that go on and on: time is exact for who waits, and what never ends is found."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import socket
import threading
import time
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from mockselector import Closes, Expects, Receives, Scenario, ScenarioError, Sends, Waits
from scenario_servers import PORT, one, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockselector import Peer, Play, Step

pytestmark = pytest.mark.slow


def lasts(program: Callable[[], object]) -> float:
    """How many seconds of virtual time a program takes."""
    with Scenario(patience=1e6) as net:
        net.run_until_complete(program)
    return net.now


def echoes(conn: socket.socket) -> None:
    while data := conn.recv(1 << 16):
        conn.sendall(data)


# -- who waits or does something makes no time creep ----------------------------------------------


def sleeps() -> None:
    for _ in range(5000):
        time.sleep(0.001)


def times_out() -> None:
    with selectors.DefaultSelector() as selector:
        for _ in range(5000):
            selector.select(0.001)


def talks_to_itself_and_times_out() -> None:
    with socket.create_server(("127.0.0.1", PORT)) as listener, socket.create_connection(("127.0.0.1", PORT)) as near:
        far, _ = listener.accept()
        with far:
            far.settimeout(0.001)
            for _ in range(5000):
                with contextlib.suppress(TimeoutError):
                    far.recv(1)
            near.send(b"x")
            assert far.recv(1) == b"x"


def nobody_knocks() -> None:
    with socket.create_server(("", PORT)) as listener:
        listener.settimeout(0.001)
        for _ in range(5000):
            with contextlib.suppress(TimeoutError):
                listener.accept()


def waits_between_vain_tries() -> None:
    event = threading.Event()
    with socket.create_server(("", PORT)) as listener:
        listener.setblocking(False)
        for _ in range(5000):
            with contextlib.suppress(BlockingIOError):
                listener.accept()
            event.wait(0.001)


def own_connection_rests_while_it_sleeps() -> None:
    with socket.create_server(("127.0.0.1", PORT)) as listener, socket.create_connection(("127.0.0.1", PORT)) as near:
        far, _ = listener.accept()
        with far, selectors.DefaultSelector() as selector:
            selector.register(near, EVENT_READ)
            for _ in range(5000):
                selector.select(0.001)


def looks_before_each_sleep() -> None:
    for _ in range(50):
        for _ in range(900):
            time.monotonic()
        time.sleep(0.1)


async def sleeps_in_asyncio() -> None:
    for _ in range(5000):
        await asyncio.sleep(0.001)


async def works() -> None:
    for number in range(5):
        await asyncio.sleep(number % 2)
    await asyncio.sleep(3)


WAIT = [
    sleeps, times_out, talks_to_itself_and_times_out, nobody_knocks, waits_between_vain_tries,
    own_connection_rests_while_it_sleeps, looks_before_each_sleep, sleeps_in_asyncio, works,
]  # fmt: skip


@pytest.mark.parametrize("program", WAIT)
def test_a_program_that_waits_makes_no_time_creep(program: Callable[[], object]) -> None:
    assert lasts(program) == 5.0


def talks_to_itself() -> None:
    with socket.create_server(("127.0.0.1", PORT)) as listener:
        near = socket.create_connection(("127.0.0.1", PORT))
        far, _ = listener.accept()
        with near, far:
            for _ in range(5000):
                time.monotonic()
                near.send(b"x")
                far.recv(1)


def connects_to_itself() -> None:
    with socket.create_server(("127.0.0.1", PORT)) as listener:
        for _ in range(1500):
            time.monotonic()
            with socket.create_connection(("127.0.0.1", PORT)), listener.accept()[0]:
                pass


def talks_to_itself_by_a_pipe() -> None:
    reader, writer = os.pipe()
    with selectors.DefaultSelector() as selector:
        selector.register(reader, EVENT_READ)
        for _ in range(5000):
            os.write(writer, b"x")
            assert selector.select()
            os.read(reader, 1)
    os.close(reader)
    os.close(writer)


def spins_on_a_pipe() -> None:
    reader, writer = os.pipe()
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(reader, EVENT_READ)
            os.write(writer, b"x")
            while True:
                selector.select()
    finally:
        os.close(reader)
        os.close(writer)


def test_who_never_reads_a_pipe_is_found() -> None:
    with pytest.raises(ScenarioError, match="no byte was moved") as raised, Scenario() as net:
        net.run(spins_on_a_pipe)
    assert raised.value.rule == "busy-loop"


async def talks_to_itself_in_asyncio() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    async with await asyncio.start_server(answer, "localhost", PORT):
        reader, writer = await asyncio.open_connection("localhost", PORT)
        for _ in range(3000):
            writer.write(b"x\n")
            await reader.readline()
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "program", [talks_to_itself, talks_to_itself_by_a_pipe, connects_to_itself, talks_to_itself_in_asyncio]
)
def test_a_program_that_moves_something_makes_no_time_creep(program: Callable[[], object]) -> None:
    assert lasts(program) == 0.0


# -- who only looks sees time pass ----------------------------------------------------------------


def polls_and_tries(conn: socket.socket) -> None:
    conn.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(conn, EVENT_READ)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            selector.select(0)
            with pytest.raises(BlockingIOError):
                conn.recv(1)


def polls_and_changes_its_mind(conn: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(conn, EVENT_READ)
        end = time.time() + 30
        while time.time() < end:
            selector.select(0)
            conn.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            selector.unregister(conn)
            selector.register(conn, EVENT_READ)


def waits_for_next_to_nothing(conn: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(conn, EVENT_READ)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            selector.select(1e-10)


LOOKS = [polls_and_tries, polls_and_changes_its_mind, waits_for_next_to_nothing]


@pytest.mark.shared
@pytest.mark.parametrize("handle", LOOKS)
def test_a_program_that_only_looks_sees_time_pass(handle: Callable[[socket.socket], None]) -> None:
    with Scenario() as net:
        net.client("alice").expects_eof()
        net.run(one, handle)
    assert 30 <= net.now < 60


def test_a_loop_of_asyncio_that_only_looks_sees_what_a_peer_does() -> None:
    async def main() -> list[float]:
        async with await asyncio.start_server(lambda _, writer: writer.close(), "localhost", PORT):
            while not seen:
                await asyncio.sleep(0)
            return [*seen]

    seen: list[float] = []
    with Scenario() as net:
        net.client("alice").waits(33).does(lambda: seen.append(net.now)).closes()
        assert net.run(main) == [33.0]


def test_a_step_that_asks_for_the_time_makes_none_pass() -> None:
    def asks() -> None:
        for _ in range(3000):
            time.monotonic()

    with Scenario() as net:
        net.client("alice").does(asks).closes()
        net.run(one, lambda conn: conn.recv(1))
    assert net.now == 0.0


def test_tasks_that_only_talk_to_each_other_make_hardly_any_time_pass() -> None:
    async def main() -> None:
        async def gives() -> None:
            for number in range(5000):
                await numbers.put(number)

        numbers = asyncio.Queue[int](1)
        task = asyncio.create_task(gives())
        for _ in range(5000):
            await numbers.get()
        await task

    with Scenario() as net:
        net.run_until_complete(asyncio.wait_for, main(), 2)
    assert net.now < 0.1


# -- a clean-up is left alone ---------------------------------------------------------------------


def test_a_clean_up_may_ask_for_the_time_for_each_of_many_connections() -> None:
    def serve() -> None:
        selector, listener = selectors.DefaultSelector(), socket.create_server(("", PORT))
        selector.register(listener, EVENT_READ)
        try:
            while True:
                step(selector, listener, selector.select())
        finally:
            for _ in range(4000):
                time.time()
            keys = [*selector.get_map().values()]
            for key in keys:
                selector.unregister(key.fileobj)
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()
            selector.close()
            closed.append(len(keys))

    closed: list[int] = []
    with Scenario(pedantic=True) as net:
        for _ in range(1600):
            net.client()
        net.run(serve)
    assert closed == [1601]


def test_a_clean_up_of_asyncio_may_close_one_after_the_other() -> None:
    async def main() -> None:
        async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            await reader.read()

        writers: list[asyncio.StreamWriter] = []
        await asyncio.start_server(keep, "localhost", PORT)
        try:
            await asyncio.Event().wait()  # on Python 3.12, serve_forever() would first wait for the clients
        finally:
            for writer in writers:
                writer.close()
                await writer.wait_closed()
            closed.append(len(writers))

    closed: list[int] = []
    with Scenario() as net:
        for _ in range(700):
            net.client()
        net.run(main)
    assert closed == [700]


# -- what has no end ------------------------------------------------------------------------------


def sends_for_ever() -> NoReturn:
    with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
        with listener.accept()[0] as conn:
            conn.setblocking(False)
            selector.register(conn, EVENT_WRITE)
            while True:
                selector.select()
                conn.send(b"x" * 100)


def sends_for_ever_and_blocks() -> NoReturn:
    with socket.create_server(("", PORT)) as listener, listener.accept()[0] as conn:
        while True:
            conn.sendall(b"x" * 100)


def asks_for_options_for_ever() -> NoReturn:
    with socket.create_server(("", PORT)) as listener, listener.accept()[0] as conn:
        while True:
            conn.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def peeks_for_ever() -> NoReturn:
    with socket.create_server(("", PORT)) as listener, listener.accept()[0] as conn:
        while True:
            conn.recv(1, socket.MSG_PEEK)


def registers_for_ever() -> NoReturn:
    with socket.create_server(("", PORT)) as listener, selectors.DefaultSelector() as selector:
        with listener.accept()[0] as conn:
            while True:
                selector.register(conn, EVENT_READ)
                selector.unregister(conn)


def talks_to_itself_for_ever() -> NoReturn:
    with socket.create_server(("", PORT)) as listener, socket.create_connection(("localhost", PORT)) as near:
        far = listener.accept()[0]
        while True:
            near.send(b"x")
            far.recv(1)


ENDLESS: list[tuple[Callable[[], NoReturn], Callable[[Peer], object]]] = [
    (sends_for_ever, lambda alice: alice),
    (sends_for_ever, lambda alice: alice.expects(bytes, until="eof")),
    (sends_for_ever_and_blocks, lambda alice: alice),
    (asks_for_options_for_ever, lambda alice: alice.expects(b"x")),
    (peeks_for_ever, lambda alice: alice.sends(b"x").expects(b"x")),
    (registers_for_ever, lambda alice: alice.sends(b"x").expects(b"x")),
    (talks_to_itself_for_ever, lambda alice: alice.waits(5)),
]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, calls in (("IDLE_CALLS", 1000), ("MOST_CALLS", 4000), ("MOST_CALLS_BESIDE", 16_000)):
        monkeypatch.setattr(f"mockselector._play.spinning.{name}", calls)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(("serve", "script"), ENDLESS)
def test_a_server_that_never_waits_and_has_no_end_is_found(
    serve: Callable[[], NoReturn], script: Callable[[Peer], object]
) -> None:
    with Scenario() as net:
        script(net.client("alice"))
        with pytest.raises(ScenarioError, match="and never waited, last ") as caught:
            net.run(serve)
    assert caught.value.rule == "busy-loop"
    assert net.now == 0.0


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(("serve", "script"), ENDLESS)
def test_where_that_is_allowed_the_run_still_ends(
    serve: Callable[[], NoReturn], script: Callable[[Peer], object]
) -> None:
    allowed: Any = {"busy-loop", "stuck", "unmet-expectation", "unread-data", "unaccepted-connection"}
    with Scenario(allow=allowed) as net:
        script(net.client("alice"))
        assert net.run(serve) is None


@pytest.mark.usefixtures("soon")
def test_what_a_sender_is_told_names_the_cure() -> None:
    with Scenario() as net:
        net.client("alice")
        with pytest.raises(ScenarioError, match=r"end with\s+closes\(\)"):
            net.run(sends_for_ever)
    with Scenario(allow={"closed-still-registered"}) as net:
        net.client("alice").closes()
        with pytest.raises(BrokenPipeError):
            net.run(sends_for_ever)


def test_a_large_stream_to_a_client_without_steps_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mockselector._play.spinning.IDLE_CALLS", 2000)
    monkeypatch.setattr("mockselector._play.spinning.MOST_CALLS", 8000)

    def serve() -> None:  # as many calls for each part as sending a GiB takes, with as much to spare
        with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
            with listener.accept()[0] as conn:
                conn.setblocking(False)
                selector.register(conn, EVENT_WRITE)
                for _ in range(2621):
                    selector.select()
                    conn.send(b"x" * 4096)
                selector.unregister(conn)

    with Scenario() as net:
        alice = net.client("alice")
        net.run(serve)
    assert len(alice.received) == 2621 * 4096


# -- scripts --------------------------------------------------------------------------------------


def test_a_plain_list_may_have_any_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mockselector._play.player.MOST_STEPS", 1000)
    with Scenario() as net:
        steps: list[Step] = [Sends(b"hi"), Waits(0), Expects(b"hi")]
        net.client("alice", [*steps * 2000, *[Waits(0)] * 2000, Closes()])
        net.run(one, echoes)


def test_a_generator_may_yield_any_number_of_steps_that_move_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mockselector._play.generators.MOST_YIELDED", 1000)

    def play() -> Play:
        for _ in range(3000):
            yield Sends(b"hi")
            yield Expects(b"hi")

    with Scenario() as net:
        net.client("alice").plays(play).closes()
        net.run(one, echoes)


def test_a_step_may_append_any_number_of_steps_that_move_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mockselector._play.player.MOST_STEPS", 1000)

    def again() -> None:
        if len(alice.received) < 4000:
            alice.sends(b"hi").expects(b"hi").does(again)

    with Scenario() as net:
        alice = net.client("alice").does(again)
        net.run(one, lambda conn: [conn.sendall(conn.recv(2)) for _ in range(2000)])


def yields_waits() -> Play:
    while True:
        yield Waits(0)


def yields_nothing_to_send() -> Play:
    while True:
        yield Sends(b"")


def yields_reads_at_the_end() -> Play:
    while True:
        yield Receives()


@pytest.mark.parametrize("play", [yields_waits, yields_nothing_to_send, yields_reads_at_the_end])
def test_a_generator_that_has_no_end_and_moves_nothing_is_told(
    play: Callable[[], Play], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mockselector._play.generators.MOST_YIELDED", 1000)
    with pytest.raises(RuntimeError, match="has it no end"), Scenario() as net:
        net.client("alice").plays(play)
        net.run(one, lambda conn: conn.shutdown(socket.SHUT_WR) or conn.recv(1))

"""Decisions that could as well be others: what happens where somebody decides, and that it is legal."""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario
from mockselector._choices import Choice, Choices

if TYPE_CHECKING:
    from collections.abc import Callable


def last(many: int, _: str) -> int:
    return many - 1


def decided(net: Scenario, decide: Callable[[int, str], int] = last) -> Choices:
    net._world.choices.decide = decide
    return net._world.choices


def serve(server: Callable[[socket.socket, selectors.BaseSelector], None]) -> Callable[[], None]:
    def run() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", 8888)) as listener:
            listener.setblocking(False)
            selector.register(listener, selectors.EVENT_READ)
            while True:
                server(listener, selector)

    return run


def echo(listener: socket.socket, selector: selectors.BaseSelector) -> None:
    """One turn of a correct echo server, which keeps what a short send has left."""
    for key, mask in selector.select():
        if key.fileobj is listener:
            sock, _ = listener.accept()
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ, bytearray())
            continue
        sock, waiting = _of(key)
        if mask & selectors.EVENT_READ:
            data = sock.recv(100)
            if not data and not waiting:
                selector.unregister(sock)
                sock.close()
                continue
            waiting += data
        if waiting:
            del waiting[: sock.send(bytes(waiting))]
        selector.modify(sock, selectors.EVENT_READ | selectors.EVENT_WRITE * bool(waiting), waiting)


def _of(key: selectors.SelectorKey) -> tuple[Any, bytearray]:  # Any: `selectors` cannot know
    return key.fileobj, key.data


def play(net: Scenario) -> list[str]:
    for name in ("alice", "bob", "carol"):
        net.client(name).sends(b"hello ").sends(b"there").expects(b"hello there").closes()
    net.run(serve(echo))
    return [str(row) for row in net.trace]


def test_where_nobody_decides_nothing_is_noted() -> None:
    with Scenario() as net:
        play(net)
    assert net._world.choices.made == []


def test_who_always_takes_the_first_changes_nothing() -> None:
    with Scenario() as net:
        plain = play(net)
    with Scenario() as net:
        choices = decided(net, lambda many, _: 0)
        assert play(net) == plain
    assert choices.made
    assert not any(one.taken for one in choices.made)


@pytest.mark.parametrize(
    "about",
    [
        "", "which peer acts", "more peers act, or the program", "how many bytes are read", "how many bytes are sent",
        "which socket is reported next",
    ],
)  # fmt: skip
def test_who_takes_the_last_gets_another_run_in_which_the_server_is_right_as_well(about: str) -> None:
    with Scenario() as net:
        plain = play(net)
    with Scenario() as net:
        choices = decided(net, lambda many, label: many - 1 if about in label else 0)
        assert play(net) != plain
    assert {one.label for one in choices.made if one.taken} >= {about} - {""}


def test_the_last_come_first_and_all_come_byte_by_byte() -> None:
    with Scenario() as net:
        decided(net)
        rows = play(net)
    assert next(row for row in rows if "accept" in row) == "listener.accept() -> carol"
    assert [row for row in rows if "carol.recv" in row][:3] == [f"carol.recv() -> b'{one}'" for one in "hel"]


def test_a_run_can_be_replayed() -> None:
    with Scenario() as net:
        choices = decided(net, lambda many, label: len(label) % many)
        rows = play(net)
    with Scenario() as again:
        again._world.choices.replay(choices.made)
        assert play(again) == rows
    assert again._world.choices.made == choices.made


def test_after_its_record_a_replay_takes_the_first() -> None:
    choices = Choices()
    choices.replay([Choice(2, 3, "a")])
    assert [choices.choose(3, "a"), choices.choose(3, "a"), choices.choose(1, "b")] == [2, 0, 0]


def test_another_run_is_told() -> None:
    choices = Choices()
    choices.replay([Choice(2, 3, "which peer acts")])
    with pytest.raises(ValueError) as caught:
        choices.choose(4, "how many bytes are read")
    assert str(caught.value) == (
        "this run is not the one that was recorded: there, one of 3 was chosen (which peer acts), and here it is one of"
        " 4 (how many bytes are read)"
    )


@pytest.mark.parametrize("wrong", [-1, 2, None, "0"])
def test_what_is_no_possibility_is_told(wrong: Any) -> None:
    choices = Choices()
    choices.decide = lambda many, _: wrong
    with pytest.raises(ValueError) as caught:
        choices.choose(2, "this")
    assert str(caught.value) == f"of 2 possibilities (this), {wrong!r} was chosen; 0 is the first"


def test_a_listener_is_chosen_where_a_client_takes_any() -> None:
    def two() -> str:
        with socket.create_server(("", 1)) as one, socket.create_server(("", 2)) as other:
            other.settimeout(1)
            try:
                other.accept()[0].close()
            except TimeoutError:
                one.accept()[0].close()
                return "the first"
            return "the other"

    with Scenario() as net:
        net.client().expects_eof()
        assert net.run(two) == "the first"
    with Scenario() as net:
        decided(net)
        net.client().expects_eof()
        assert net.run(two) == "the other"


@pytest.mark.parametrize(("decide", "accepted"), [(None, ["a", "b", "c"]), (last, ["c", "b", "a"])])
def test_the_place_in_a_backlog_is_given_to_one_of_those_who_wait(
    decide: Callable[[int, str], int] | None, accepted: list[str]
) -> None:
    def one_by_one() -> None:
        with socket.create_server(("", 1), backlog=0) as listener:
            for _ in range(3):
                listener.accept()[0].close()

    with Scenario() as net:
        net._world.choices.decide = decide
        for name in "abc":
            net.client(name).expects_eof()
        net.run(one_by_one)
    assert [row.detail for row in net.trace if row.operation == "accept"] == accepted


@pytest.mark.parametrize(("decide", "early"), [(None, True), (last, False)])
def test_a_connection_to_itself_may_take_its_time(decide: Callable[[int, str], int] | None, early: bool) -> None:
    def program() -> bool:
        with socket.create_server(("", 1)) as listener, socket.socket() as sock:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", 1))
            with selectors.DefaultSelector() as selector:
                selector.register(sock, selectors.EVENT_WRITE)
                there = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and _is_connected(sock)
                assert selector.select()
                assert _is_connected(sock)
            listener.accept()[0].close()
            return there

    with Scenario() as net:
        net._world.choices.decide = decide
        assert net.run(program) is early


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("decide", "came"), [(None, True), (last, False)])
def test_at_one_instant_either_the_peer_acts_or_the_time_is_up(
    decide: Callable[[int, str], int] | None, came: bool
) -> None:
    def waits() -> bool:
        with socket.create_server(("", 1)) as listener:
            sock = listener.accept()[0]
            with sock, selectors.DefaultSelector() as selector:
                selector.register(sock, selectors.EVENT_READ)
                there = bool(selector.select(5))
                selector.select()
                assert sock.recv(10) == b"x"
                return there

    with Scenario() as net:
        net._world.choices.decide = decide
        net.client().waits(5).sends(b"x").expects_eof()
        assert net.run(waits) is came


def test_asyncio_streams_are_right_whatever_is_decided() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            writer.write(line)
            await writer.drain()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(handle, "127.0.0.1", 8888) as server:
            await server.serve_forever()

    for decide in (None, last):
        with Scenario() as net:
            net._world.choices.decide = decide
            for name in "ab":
                net.client(name).sends(b"one\ntwo\n").expects(b"one\ntwo\n").closes()
            net.run(asyncio.run, main())


def test_any_thread_whose_time_is_up_may_go_on_first() -> None:
    def main() -> list[int]:
        def sleeps(number: int) -> None:
            time.sleep(1)
            woken.append(number)

        woken: list[int] = []
        threads = [threading.Thread(target=sleeps, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return woken

    with Scenario() as net:
        assert net.run(main) == [0, 1, 2]
    with Scenario() as net:
        decided(net, lambda many, label: many - 1 if net.now else 0)
        assert net.run(main) == [2, 1, 0]
        assert net.now == 1

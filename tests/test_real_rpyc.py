"""rpyc's one-shot server, unmodified; its own classes write and read the client's messages."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Closes, Expects, Resets, Scenario, Sends, ShutsDown, Waits

pytest.importorskip("rpyc")
rpyc: Any = pytest.importorskip("rpyc")
brine: Any = pytest.importorskip("rpyc.core.brine")
channel: Any = pytest.importorskip("rpyc.core.channel")
consts: Any = pytest.importorskip("rpyc.core.consts")
server: Any = pytest.importorskip("rpyc.utils.server")

if TYPE_CHECKING:
    from collections.abc import Generator

    from mockselector import Step

HEADER: Any = channel.Channel.FRAME_HEADER


class Calculator(rpyc.Service):  # type: ignore[misc]  # it need not be installed
    def exposed_add(self, one: int, other: int) -> int:
        return one + other

    def exposed_text(self, size: int) -> str:
        return "".join(str(number % 10) for number in range(size))


def serve() -> str:
    server.OneShotServer(Calculator, port=18812, logger=logging.getLogger("rpyc")).start()
    return "returned"


def message(seq: int, handler: int, *args: object) -> bytes:
    data: bytes = bytes([consts.MSG_REQUEST]) + brine.dump((seq, (handler, (consts.LABEL_TUPLE, args))))
    return bytes(HEADER.pack(len(data), 0)) + data + b"\n"


def value(thing: object) -> tuple[int, object]:
    return consts.LABEL_VALUE, thing


def receive() -> Generator[Step, bytes, Any]:
    """What it replies."""
    length, packed = HEADER.unpack((yield Expects(bool, until=HEADER.size)))
    data = (yield Expects(bool, until=length + 1))[:-1]
    if packed:
        import zlib

        data = zlib.decompress(data)
    assert consts.MSG_REPLY == data[0], data
    return brine.load(data[1:])[1][1]


def root() -> Generator[Step, bytes, Any]:
    yield Sends(message(1, consts.HANDLE_GETROOT))
    return (yield from receive())


def calls(seq: int, at: Any, method: str, *args: object) -> Generator[Step, bytes, Any]:
    boxed = (consts.LABEL_TUPLE, tuple(map(value, args)))
    yield Sends(message(seq, consts.HANDLE_CALLATTR, (consts.LABEL_LOCAL_REF, at), value(method), boxed, value(())))
    return (yield from receive())


def test_two_calls_and_a_silence_between_them() -> None:
    results: list[object] = []

    def talk() -> Generator[Step, bytes, None]:
        at = yield from root()
        results.append((yield from calls(2, at, "add", 20, 22)))
        yield Waits(500)
        results.append(len((yield from calls(3, at, "text", 200_000))))
        yield Closes()

    with Scenario() as net:
        net.client("alice").plays(talk)
        assert "returned" == net.run(serve)
    assert [42, 200_000] == results
    assert 500 <= net.now < 600


def test_a_slow_reader_gets_all() -> None:
    def talk() -> Generator[Step, bytes, None]:
        at = yield from root()
        assert 500_000 == len((yield from calls(2, at, "text", 500_000)))
        yield Closes()

    with Scenario() as net:
        net.client("alice").reads_slowly(500).plays(talk)
        assert "returned" == net.run(serve)


@pytest.mark.parametrize("end", [Closes(), Resets(), ShutsDown()])
def test_an_end_in_mid_request_ends_it(end: Step) -> None:
    with Scenario() as net:
        net.client("alice", [Sends(message(1, consts.HANDLE_GETROOT)[:7]), Waits(1), end])
        assert "returned" == net.run(serve)


def test_a_second_client_finds_nobody() -> None:
    with Scenario() as net:
        net.client("alice").plays(lambda: once())
        net.client("bob", delay=5, allow={"unmet-expectation"}).expects_eof()
        assert "returned" == net.run(serve)


def once() -> Generator[Step, bytes, None]:
    yield from root()
    yield Closes()


# -- its servers of threads ----------------------------------------------------------------------------


class Slow(Calculator):
    def exposed_add(self, one: int, other: int) -> int:
        time.sleep(1)
        return one + other


@pytest.mark.filterwarnings("ignore:setName")  # which rpyc calls
@pytest.mark.parametrize("kind", ["ThreadedServer", "ThreadPoolServer"])
def test_in_threads_a_slow_client_and_some_that_reset_harm_nobody(kind: str) -> None:
    def serve() -> str:
        made = getattr(server, kind)(Slow, hostname="localhost", port=18812, logger=logging.getLogger("rpyc"))
        net.on_end(made.close)
        made.start()
        return "stopped"

    def slow() -> Generator[Step, bytes, None]:
        first = message(1, consts.HANDLE_GETROOT)
        for at in range(len(first)):
            yield Sends(first[at : at + 1])
            yield Waits(1)
        at = yield from receive()
        assert 300_000 == len((yield from calls(2, at, "text", 300_000)))
        yield Closes()

    def quick() -> Generator[Step, bytes, None]:
        at = yield from root()
        assert 42 == (yield from calls(2, at, "add", 20, 22))
        seen.append(net.now)
        yield Closes()

    def leaves() -> Generator[Step, bytes, None]:
        at = yield from root()
        boxed = (consts.LABEL_TUPLE, tuple(map(value, (1, 2))))
        yield Sends(message(2, consts.HANDLE_CALLATTR, (consts.LABEL_LOCAL_REF, at), value("add"), boxed, value(())))
        yield Waits(0.5)
        yield Resets()

    traces: list[list[str]] = []
    seen: list[float] = []
    before = threading.enumerate()
    for _ in range(2):
        with Scenario() as net:
            net.client("alice").reads_slowly(500).plays(slow)
            net.client("bob").plays(quick)
            net.client("mallory").sends(message(1, consts.HANDLE_GETROOT)[:7]).waits(1).resets()
            net.client("eve").plays(leaves)
            net.client("carol", delay=30).plays(quick)
            assert "stopped" == net.run(serve)
        traces.append([str(event) for event in net.trace])
    assert traces[0] == traces[1]
    assert before == threading.enumerate()
    # A poll() that is under way does not see what another thread registers meanwhile: the pool's next one does.
    late = 0.1 if "Pool" in kind else 0
    assert seen == [1 + late, 31] * 2

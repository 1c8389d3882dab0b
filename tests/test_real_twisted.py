"""Twisted, unmodified, on its select, poll, epoll and asyncio reactors, each made as its `install()` does."""

# ruff: noqa: N802  (its own names)

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario, ScenarioError

pytest.importorskip("twisted")
selectreactor: Any = pytest.importorskip("twisted.internet.selectreactor")
pollreactor: Any = pytest.importorskip("twisted.internet.pollreactor")
epollreactor: Any = pytest.importorskip("twisted.internet.epollreactor")
asyncioreactor: Any = pytest.importorskip("twisted.internet.asyncioreactor")
protocol: Any = pytest.importorskip("twisted.internet.protocol")
interfaces: Any = pytest.importorskip("twisted.internet.interfaces")
implementer: Any = pytest.importorskip("zope.interface").implementer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

pytestmark = pytest.mark.slow

KINDS = ("select", "poll", "epoll", "asyncio")
BIG = b"x" * 1_000_000


@pytest.fixture(autouse=True)
def _as_it_was() -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    """Twisted's own log tells of what it swallows."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def make(kind: str) -> Any:
    if kind == "asyncio":
        return asyncioreactor.AsyncioSelectorReactor(asyncio.new_event_loop())
    modules = {"select": selectreactor, "poll": pollreactor, "epoll": epollreactor}
    return getattr(modules[kind], {"select": "SelectReactor", "poll": "PollReactor", "epoll": "EPollReactor"}[kind])()


class Echo(protocol.Protocol):  # type: ignore[misc]  # it need not be installed
    """Answers, and hangs up on who is silent for half a minute."""

    reactor: Any
    timer: Any

    def connectionMade(self) -> None:
        self.timer = self.reactor.callLater(30, self.transport.loseConnection)

    def dataReceived(self, data: bytes) -> None:
        self.timer.reset(30)
        self.transport.write(BIG if data == b"big" else data)

    def connectionLost(self, reason: object = None) -> None:
        if self.timer.active():
            self.timer.cancel()


class Forgets(Echo):
    """Has no time-out, and drops what is long."""

    def connectionMade(self) -> None: ...

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data[:3])

    def connectionLost(self, reason: object = None) -> None: ...


def serve(kind: str, handler: type = Echo, *, half_close: bool = False, prepare: Callable[[Any], object] = id) -> str:
    reactor = make(kind)
    factory = protocol.Factory.forProtocol(type("Handler", (handler,), {"reactor": reactor}))
    reactor.listenTCP(0, factory, interface="127.0.0.1")
    prepare(reactor)
    reactor.run(installSignalHandlers=False)
    return "stopped"


def run(net: Scenario, kind: str, handler: type = Echo) -> object:
    """Until all scripts are done; then it is asked to stop, in its own thread."""

    def asked_to_stop(reactor: Any) -> None:
        net.on_end(lambda: reactor.callFromThread(reactor.stop))

    return net.run(lambda: serve(kind, handler, prepare=asked_to_stop))


@pytest.mark.parametrize("network", ["simulated", "loopback"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_once_and_again_and_stops(kind: str, network: Any) -> None:
    with Scenario(network=network) as net:
        net.client("alice").sends(b"hi").expects(b"hi").waits(10).sends(b"again").expects(b"again").closes()
        net.client("bob").sends(b"there").expects(b"there").closes()
        assert "stopped" == run(net, kind)
    assert 10 <= net.now < 75


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_reader_gets_all(kind: str) -> None:
    with Scenario() as net:
        net.client("alice").reads_slowly(50_000, every=0.1).sends(b"big").expects(BIG).closes()
        net.client("bob", delay=1).sends(b"hi").expects(b"hi").closes()
        assert "stopped" == run(net, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reset_while_it_sends_is_one_client_less(kind: str) -> None:
    with Scenario() as net:
        net.client("alice").reads_slowly(50_000).sends(b"big").expects(b"x", until=1).resets()
        net.client("bob", delay=1).sends(b"hi").expects(b"hi").closes()
        assert "stopped" == run(net, kind)


@implementer(interfaces.IHalfCloseableProtocol)  # pyright: ignore[reportUntypedClassDecorator]
class Answers(Echo):
    """To who sends no more it still says all that it has to say."""

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None: ...


@pytest.mark.parametrize("kind", KINDS)
def test_a_half_close_is_answered_by_a_protocol_that_knows_of_such(kind: str) -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi").shuts_down().expects(b"hi").expects_eof()
        net.client("bob").sends(b"big").shuts_down().expects(BIG).expects_eof()
        assert "stopped" == run(net, kind, Answers)


@pytest.mark.parametrize("kind", KINDS)
def test_for_any_other_what_twisted_still_had_to_say_is_lost_and_found_to_be(kind: str) -> None:
    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client("alice").sends(b"big").shuts_down().expects(BIG).expects_eof()
        run(net, kind)
    assert "unmet-expectation" == caught.value.rule


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_silent_is_sent_away(kind: str) -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").expects_eof()
        net.client("bob", delay=5).expects_eof()
        assert "stopped" == run(net, kind)
    assert 34.9 < net.now < 100


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_stops_it_in_its_own_way(kind: str) -> None:
    lost: list[str] = []

    class Tells(Echo):
        def connectionLost(self, reason: object = None) -> None:
            super().connectionLost(reason)
            lost.append("lost")

    def program() -> str:
        reactor = make(kind)
        reactor.listenTCP(0, protocol.Factory.forProtocol(type("Handler", (Tells,), {"reactor": reactor})))
        reactor.run()
        return "stopped"

    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").waits(10).expects_eof()
        net.interrupts(at=5)
        assert "stopped" == net.run(program)
    assert ["lost"] == lost


@pytest.mark.parametrize("kind", KINDS)
def test_it_connects_out(kind: str) -> None:
    def ask() -> bytes:
        reactor, got = make(kind), list[bytes]()

        class Asks(protocol.Protocol):  # type: ignore[misc]  # it need not be installed
            def connectionMade(self) -> None:
                self.transport.write(b"question")

            def dataReceived(self, data: bytes) -> None:
                got.append(data)
                self.transport.loseConnection()

            def connectionLost(self, reason: object = None) -> None:
                reactor.stop()

        factory = protocol.ClientFactory.forProtocol(Asks)
        reactor.connectTCP("127.0.0.1", 5432, factory)
        reactor.run(installSignalHandlers=False)
        return b"".join(got)

    with Scenario() as net:
        net.backend(("127.0.0.1", 5432), delay=2).expects(b"question").waits(1).sends(b"answer").expects_eof()
        assert b"answer" == net.run(ask)
    assert 3 <= net.now < 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_answer_is_found(kind: str) -> None:
    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client("alice").sends(b"hello").expects(b"hello").closes()
        run(net, kind, Forgets)
    assert "stuck" == caught.value.rule

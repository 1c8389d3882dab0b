"""Random conversations with correct servers: on the simulated network and on real loopback sockets, the same.

A conversation is a list of steps, each of some peer, one every second of virtual time: in between,
the server sleeps, so that it is never a matter of chance what the real kernel delivers first. Each
peer must see the same bytes and the same end, and the server must come to the same end, too.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import pytest
from examples import broker, chat, echo, proxy, web
from examples.servers import accept_all, buffered, callbacks, classes, close_first, drain, generators, line_reader
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from mockselector import Closes, Peer, Play, Receives, Resets, Scenario, Sends, ShutsDown, Step
from mockselector._judge.rules import RULES
from mockselector._play.player import Player

pytestmark = [pytest.mark.slow, pytest.mark.shared]

Network: TypeAlias = Literal["simulated", "loopback"]

CONVERSATIONS: Final = settings(
    max_examples=int(os.environ.get("MOCKSELECTOR_CONVERSATIONS", "150")),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
MOST_PEERS: Final = 3
MOST_STEPS: Final = 12
ROOM: Final = 1 << 20
"""Bytes that fit into a simulated connection: as on loopback, all that is sent here."""
UPSTREAM: Final = "upstream"


def _proxy(port: int) -> None:
    proxy.serve(port, UPSTREAM, 5432)


def _of_host(serve: Callable[[str, int], None]) -> Callable[[int], None]:
    return lambda port: serve("localhost", port)


SERVERS: Final[dict[str, Callable[[int], None]]] = {
    "echo": echo.serve,
    "chat": chat.serve,
    "web": web.serve,
    "proxy": _proxy,
    "broker": broker.serve,
} | {
    module.__name__.rpartition(".")[2]: _of_host(module.serve)
    for module in (accept_all, buffered, callbacks, classes, close_first, drain, generators, line_reader)
}

WORDS: Final[dict[str, list[bytes]]] = {
    "chat": [b"alice\n", b"bob\n", b"\n", b"hello", b" there\r\n", b"x" * 2000, b"one\ntwo\nthree\n"],
    "broker": [b"SUB a\n", b"SUB b\nSUB a\n", b"UNSUB a\n", b"PUB a hi\n", b"PUB b x", b" y\n", b"?\n", b"x" * 3000],
    "web": [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HEAD / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHo", b"st: a\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"12345", b"67", b"nonsense\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n", b"\0" * 9000,
    ],
}  # fmt: skip
"""What peers say to a server that makes something of it; to the others, whatever."""


class Move(NamedTuple):
    """A step of one of the peers."""

    peer: int
    step: Step


class Talk(NamedTuple):
    """A conversation, and for a proxy, what is upstream of it."""

    server: str
    moves: Sequence[Move]
    upstream: Sequence[str]


def said(server: str) -> st.SearchStrategy[bytes]:
    """What a peer may send."""
    anything = st.binary(min_size=1, max_size=20) | st.integers(1, 6000).map(
        lambda size: (b"x" * 78 + b"\r\n") * (size // 80 + 1)
    )
    return st.sampled_from(WORDS[server]) | anything if server in WORDS else anything


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    """Conversations that make sense for the peers: nobody sends any more after its end."""
    server = draw(st.sampled_from(list(SERVERS)))
    words: st.SearchStrategy[Step] = said(server).map(Sends)
    ends: st.SearchStrategy[Step] = st.sampled_from([ShutsDown(), Closes(), Resets()])
    moves: list[Move] = []
    mute, gone = set[int](), set[int]()
    for _ in range(draw(st.integers(1, MOST_STEPS))):
        peer = draw(st.integers(0, MOST_PEERS - 1))
        if peer in gone:
            continue
        step: Step = draw(ends if peer in mute or draw(st.integers(0, 3)) == 0 else words)
        if isinstance(step, ShutsDown):
            if peer in mute:
                continue
            mute.add(peer)
        elif not isinstance(step, Sends):
            gone.add(peer)
        moves.append(Move(peer, step))
    upstream = st.sampled_from(["answers", "refuses", "leaves", "resets", "silent"])
    return Talk(server, moves, [draw(upstream) for _ in range(MOST_PEERS)] if server == "proxy" else ())


def answers() -> Play:
    """An upstream that answers until its client is at its end."""
    while data := (yield Receives()):
        yield Sends(data.upper())
    yield Closes()


def leaves() -> Play:
    """An upstream that answers once, and goes."""
    yield Sends((yield Receives()) or b"bye")
    yield Closes()


def resets() -> Play:
    """An upstream that breaks off."""
    yield Receives()
    yield Resets()


def silent() -> Play:
    """An upstream that reads to the end."""
    while (yield Receives()):
        pass


PLAYS: Final = {play.__name__: play for play in (answers, leaves, resets, silent)}


def seen_by(peer: Player) -> tuple[bytes, str]:
    """The bytes that a peer has seen, and the end."""
    stream = peer.stream
    if stream is None or stream.closed:
        return peer.received, "never connected" if stream is None else "left"
    return peer.received, "reset" if stream.dead and not stream.ended else "end" if stream.ended else "none"


def scenario(network: Network) -> Scenario:
    """A scenario in which nothing is judged."""
    rules = set(RULES)
    return Scenario(network=network, allow=rules) if network == "loopback" else Scenario(buffer=ROOM, allow=rules)


def played(talk: Talk, network: Network, decide: Callable[[int, str], int] | None = None) -> tuple[object, ...]:
    """What everybody has seen, the time, and how the server ended."""
    with scenario(network) as net:
        net._world.choices.decide = decide
        for kind in talk.upstream:
            backend = net.backend((UPSTREAM, 5432), refuses=kind == "refuses")
            if kind != "refuses":
                backend.plays(PLAYS[kind])
        peers: dict[int, Peer] = {}
        last: dict[int, int] = {}
        for second, (number, step) in enumerate(talk.moves):
            if number not in peers:
                peers[number] = net.client(f"peer {number}", delay=second)
            else:
                peers[number].waits(second - last[number])
            peers[number]._append(step)
            last[number] = second
        result: object = None
        try:
            net.run(SERVERS[talk.server], 0)
        except OSError as error:
            result = type(error), error.errno
    return [seen_by(peer) for peer in net._world.peers], net.now, result


@CONVERSATIONS
@given(talk=talks())
def test_a_conversation_is_the_same_on_both_networks(talk: Talk) -> None:
    event(talk.server)
    assert played(talk, "loopback") == played(talk, "simulated")


def decider(seed: int) -> Callable[[int, str], int]:
    """Who takes the last of all possibilities; or, by a seed, any of them.

    Not of how much is read: a server that closes before it has read the rest resets the connection, and so it may be.
    """
    choose = random.Random(seed)

    def decide(many: int, label: str) -> int:
        if label == "how many bytes are read":
            return 0
        return choose.randrange(many) if seed else many - 1

    return decide


@CONVERSATIONS
@given(talk=talks().filter(lambda talk: not talk.upstream), seed=st.integers(0, 3))
def test_whatever_is_decided_they_see_what_they_see_of_the_kernel(talk: Talk, seed: int) -> None:
    event(talk.server)  # not the proxy: whether it gives up before it is connected, is one of the decisions
    seen, _, result = played(talk, "simulated", decider(seed))
    assert (seen, result) == played(talk, "loopback")[::2]


def test_conversations_are_not_empty() -> None:
    hello = Talk("chat", [Move(0, Sends(b"alice\n")), Move(1, Sends(b"bob\n")), Move(0, Resets())], ())
    expected = ([(b"", "left"), (b"* alice has left\n", "end")], 62.0, None)
    assert expected == played(hello, "loopback")
    assert expected == played(hello, "simulated")

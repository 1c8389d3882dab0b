"""Servers that wait by `select.poll`, `epoll` and `select.select`: in virtual time, and judged as with selectors."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import select
import selectors
import socket
import time
from select import select as kept_select
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Expects, ExpectsEof, Scenario, ScenarioError, Sends
from scenario_servers import DB, headline, hello

if TYPE_CHECKING:
    from collections.abc import Callable

    from mockselector import RuleId

KINDS = ("poll", "epoll")
IN, OUT = select.POLLIN, select.POLLOUT
NETWORKS = ("simulated", "loopback")


def make(kind: str) -> Any:  # Any: of either kind
    return getattr(select, kind)()


def polling(kind: str, closes: Callable[[Any, socket.socket], object], mask: int = IN) -> None:
    """An echo; `closes` is what it does with a client at its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        poller, clients = make(kind), dict[int, socket.socket]()
        poller.register(listener, IN)
        while True:
            for number, event in poller.poll():
                if number == listener.fileno():
                    client, _ = listener.accept()
                    clients[client.fileno()] = client
                    poller.register(client, mask)
                elif event & IN:
                    data = clients[number].recv(1024)
                    if data:
                        clients[number].sendall(data)
                    else:
                        closes(poller, clients.pop(number))


def leaves(poller: Any, client: socket.socket) -> None:
    poller.unregister(client)
    client.close()


def forgets(_: object, client: socket.socket) -> None:
    client.close()


def selecting(closes: Callable[[list[socket.socket], socket.socket], object], *, writes: bool = False) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        clients: list[socket.socket] = []
        while True:
            ready, _, _ = select.select([listener, *clients], clients if writes else [], [])
            for sock in ready:
                if sock is listener:
                    clients.append(listener.accept()[0])
                elif data := sock.recv(1024):
                    sock.sendall(data)
                else:
                    closes(clients, sock)


def ignores(clients: list[socket.socket], client: socket.socket) -> None:
    assert client in clients


def removes(clients: list[socket.socket], client: socket.socket) -> None:
    clients.remove(client)
    client.close()


def found(rule: RuleId, server: Callable[..., object], *args: object, waits: float = 1, **kwargs: Any) -> ScenarioError:
    """What is found of a server whose client says hi, waits and leaves."""
    with pytest.raises(ScenarioError) as caught, Scenario(**kwargs) as net:
        net.client("alice").sends(b"hi").expects(b"hi").waits(waits).closes()
        net.client("bob", delay=5).sends(b"hi").expects(b"hi").closes()
        net.run(server, *args)
    assert rule == caught.value.rule
    return caught.value


# -- what is right -------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("server", [*KINDS, "select"])
def test_an_echo_serves_several_clients(server: str, network: Any) -> None:
    with Scenario(network=network) as net:
        hello(net, "alice")
        net.client("bob").sends(b"a").expects(b"a").waits(7).sends(b"b").expects(b"b").shuts_down().expects_eof()
        if server == "select":
            net.run(selecting, removes)
        else:
            net.run(polling, server, leaves)
    assert 7 == net.now


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_socket_is_gone_from_epoll_and_only_from_that(kind: str) -> None:
    if kind == "epoll":
        with Scenario() as net:
            hello(net, "alice")
            hello(net, "bob", delay=5)
            net.run(polling, "epoll", forgets)
        return
    error = found("closed-still-registered", polling, kind, forgets)
    assert str(error).startswith(
        "[closed-still-registered] alice was closed but is still registered with the poll object"
    )
    assert "which is then watched as this one was; until then poll() says POLLNVAL at once" in " ".join(
        str(error).split()
    )


def test_to_close_before_it_is_unregistered_is_found_if_asked_for() -> None:
    found("close-before-unregister", polling, "epoll", forgets, pedantic=True)


# -- what is wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_accepted_and_not_registered_is_found(kind: str) -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            poller, clients = make(kind), list[object]()
            poller.register(listener, IN)
            while True:
                poller.poll()
                clients.append(listener.accept())

    error = found("accepted-not-registered", server)
    assert re.search(rf"went to sleep  .*  poller.poll\(\)\n(.*\n)+  step 2 .* {kind}.poll\(\)", str(error))


def test_who_is_read_from_where_data_is_there_is_not_left_alone() -> None:
    async def handle(loop: asyncio.AbstractEventLoop, conn: socket.socket) -> None:
        with conn:
            while data := await loop.sock_recv(conn, 100):  # which adds a reader only where nothing is there
                await asyncio.sleep(3)
                await loop.sock_sendall(conn, data.upper())

    async def main() -> None:
        loop, tasks = asyncio.get_running_loop(), set[object]()
        with socket.create_server(("localhost", 8888)) as listener:
            listener.setblocking(False)
            while True:
                conn, _ = await loop.sock_accept(listener)
                conn.setblocking(False)
                tasks.add(loop.create_task(handle(loop, conn)))

    with Scenario() as net:
        net.client().sends(b"hi").expects(b"HI").waits(2).closes()
        net.client().sends(b"ho").expects(b"HO").closes()
        net.run(main)
    assert net.now == 5


def test_who_is_read_from_where_nothing_is_there_is_left_alone_all_the_same() -> None:
    def main() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("localhost", 8888)) as listener:
            selector.register(listener, IN)
            clients: list[socket.socket] = []
            while True:
                selector.select()
                clients.append(listener.accept()[0])
                clients[-1].setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    clients[-1].recv(100)

    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client().waits(1).sends(b"hi").expects(b"HI")
        net.run(main)
    assert (caught.value.rule, net.now) == ("accepted-not-registered", 1)


def test_who_is_to_wait_for_a_time_is_not_left_alone() -> None:
    def main() -> None:
        due: dict[socket.socket, float] = {}
        with selectors.DefaultSelector() as selector, socket.create_server(("localhost", 8888)) as listener:
            selector.register(listener, IN)
            while True:
                wait = min(due.values()) - time.monotonic() if due else None
                if selector.select(wait):
                    due[listener.accept()[0]] = time.monotonic() + 3
                for conn in [conn for conn, when in due.items() if when <= time.monotonic()]:
                    del due[conn]
                    conn.sendall(b"welcome")
                    conn.close()

    with Scenario() as net:
        net.client().expects(b"welcome").expects_eof()
        net.client(delay=1).expects(b"welcome").expects_eof()
        net.run(main)
    assert net.now == 4


@pytest.mark.parametrize("waits", [True, False])
def test_who_is_accepted_by_a_loop_that_wakes_by_itself_and_not_registered_is_found(waits: bool) -> None:
    def main() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("localhost", 8888)) as listener:
            selector.register(listener, IN)
            clients: list[object] = []
            while True:
                if selector.select(1):
                    clients.append(listener.accept())

    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        client = net.client().sends(b"hi")
        (client.expects(b"HI") if waits else client).closes()
        net.run(main)
    assert caught.value.rule == "accepted-not-registered"
    assert "The server has accepted it, gone to sleep, and done nothing with it since." in str(caught.value)
    assert (3600.0 if waits else 60.0) == net.now


def frames(serves_from: int | None) -> Callable[[], None]:
    """A loop that looks and sleeps, and reads from whom it has accepted some turns later, without a selector."""

    def main() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("localhost", 8888)) as listener:
            selector.register(listener, IN)
            clients: dict[socket.socket, int] = {}
            while True:
                if selector.select(0):
                    conn = listener.accept()[0]
                    conn.setblocking(False)
                    clients[conn] = 0
                for conn in [*clients]:
                    clients[conn] += 1
                    if serves_from is None or clients[conn] < serves_from:
                        continue
                    with contextlib.suppress(BlockingIOError):
                        data = conn.recv(100)
                        conn.sendall(data.upper())
                        if not data:
                            conn.close()
                            del clients[conn]
                time.sleep(0.05)

    return main


@pytest.mark.parametrize("turns", [1, 3, 5, 50])
def test_who_is_served_some_turns_later_by_a_loop_that_sleeps_in_between_is_not_left_alone(turns: int) -> None:
    with Scenario() as net:
        net.client().sends(b"hi").expects(b"HI").waits(1).sends(b"ho").expects(b"HO").closes()
        net.run(frames(turns))


@pytest.mark.parametrize("waits", [True, False])
def test_who_is_never_served_by_one_is_found(waits: bool) -> None:
    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        client = net.client().sends(b"hi")
        (client.expects(b"HI") if waits else client).closes()
        net.run(frames(None))
    assert caught.value.rule == "accepted-not-registered"


@pytest.mark.parametrize("answers", [True, False])
def test_who_waits_for_a_backend_beside_the_listener_is_registered_when_that_has_answered(answers: bool) -> None:
    def proxy() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("localhost", 8888)) as listener:
            selector.register(listener, IN)
            while True:
                for key, _ in selector.select():
                    sock: Any = key.fileobj
                    if sock is listener:
                        client, backend = listener.accept()[0], socket.socket()
                        backend.setblocking(False)
                        backend.connect_ex(DB)
                        selector.register(backend, selectors.EVENT_WRITE, client)
                    elif key.data is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                        selector.unregister(sock)  # and forgets who has asked
                        sock.close()
                    elif key.data is not None:
                        selector.modify(sock, IN)
                        selector.register(key.data, IN)
                        passed[sock], passed[key.data] = key.data, sock
                    else:
                        data = sock.recv(100)
                        if data:
                            passed[sock].sendall(data)
                        else:
                            for one in (sock, passed[sock]):
                                selector.unregister(one)
                                one.close()

    passed: dict[Any, Any] = {}
    with contextlib.ExitStack() as stack:
        caught = None if answers else stack.enter_context(pytest.raises(ScenarioError))
        net = stack.enter_context(Scenario())
        net.backend(DB, delay=5, refuses=not answers, steps=[Expects(b"hi"), Sends(b"HI"), ExpectsEof()] * answers)
        net.client().sends(b"hi").expects(b"HI").closes()
        net.run(proxy)
    assert caught is None or caught.value.rule == "accepted-not-registered"


def test_who_is_registered_when_there_are_two_is_not_left_alone() -> None:
    def lobby() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("localhost", 8888)) as listener:
            selector.register(listener, IN)
            waiting: list[socket.socket] = []
            while True:
                for key, _ in selector.select():
                    sock: Any = key.fileobj
                    if sock is listener:
                        waiting.append(listener.accept()[0])
                        if len(waiting) == 2:
                            for one in waiting:
                                one.sendall(b"go")
                                selector.register(one, IN)
                    elif not sock.recv(100):
                        selector.unregister(sock)
                        sock.close()

    with Scenario() as net:
        net.client().expects(b"go").closes()
        net.client(delay=100).expects(b"go").closes()
        net.run(lobby)


def test_who_is_greeted_and_then_left_alone_is_found() -> None:
    def greets() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("localhost", 8888)) as listener:
            selector.register(listener, IN)
            clients: list[socket.socket] = []
            while True:
                selector.select()
                clients.append(listener.accept()[0])
                clients[-1].sendall(b"welcome")
                selector.modify(listener, IN, data="the wrong one")

    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client().expects(b"welcome").sends(b"hi").expects(b"HI")
        net.run(greets)
    assert caught.value.rule == "accepted-not-registered"
    assert "In between, the server called modify(listener, READ). The server has accepted it, gone" in " ".join(
        str(caught.value).split()
    )


@pytest.mark.parametrize("closes", [True, False])
def test_who_is_left_alone_by_a_server_that_returns_is_found_too(closes: bool) -> None:
    def returns() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("localhost", 8888)) as listener:
            selector.register(listener, IN)
            clients: list[object] = []
            while len(clients) < 2:
                selector.select()
                clients.append(listener.accept())

    with pytest.raises(ScenarioError) as caught, Scenario(allow={"unmet-expectation"}) as net:
        client = net.client()
        if closes:
            client.closes()
        net.client(delay=1)
        net.run(returns)
    assert caught.value.rule == "accepted-not-registered"


def test_who_is_accepted_and_in_no_list_is_found() -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            clients: list[object] = []
            while True:
                select.select([listener], [], [])
                clients.append(listener.accept())

    error = found("accepted-not-registered", server)
    assert re.search(r"went to sleep  .*  select.select\(.*\n(.*\n)+  step 2 .* select.select\(\)", str(error))


@pytest.mark.parametrize("kind", KINDS)
def test_an_end_that_is_ignored_is_found(kind: str) -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            poller = make(kind)
            client, _ = listener.accept()
            poller.register(client, IN)
            while True:
                poller.poll()
                client.send(client.recv(1024))

    found("eof-ignored", server)


def test_an_end_of_one_that_stays_in_the_list_is_found() -> None:
    found("eof-ignored", selecting, ignores)


@pytest.mark.parametrize("kind", KINDS)
def test_to_wait_for_room_with_nothing_to_send_is_found(kind: str) -> None:
    error = found("busy-loop", polling, kind, leaves, IN | OUT)
    assert "poll() returned alice WRITE 3 times in a row, and the server did nothing about it" in str(error)


def test_to_select_for_room_with_nothing_to_send_is_found() -> None:
    found("busy-loop", lambda: selecting(removes, writes=True))


def test_edge_triggered_it_is_right() -> None:
    with Scenario() as net:
        net.client("alice").sends(b"hi").expects(b"hi").waits(1).closes()
        net.run(polling, "epoll", leaves, IN | OUT | select.EPOLLET)
    assert 1 == net.now


def test_an_edge_that_was_not_read_to_its_end_is_never_told_again() -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, select.epoll() as poller:
            client, _ = listener.accept()
            poller.register(client, IN | select.EPOLLET)
            while True:
                poller.poll()
                client.send(client.recv(1))

    with pytest.raises(ScenarioError, match=headline("alice waits in vain for b'hi', and the server sleeps", "stuck")):
        with Scenario() as net:
            hello(net)
            net.run(server)


@pytest.mark.parametrize("kind", KINDS)
def test_a_blocking_read_that_keeps_another_client_waiting_is_found(kind: str) -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            poller, clients = make(kind), dict[int, socket.socket]()
            poller.register(listener, IN)
            while True:
                for number, _ in poller.poll():
                    if number == listener.fileno():
                        client, _ = listener.accept()
                        clients[client.fileno()] = client
                        poller.register(client, IN)
                    else:
                        clients[number].recv(1)
                        clients[number].recv(1)

    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client("alice").sends(b"a").waits(5).sends(b"b").closes()
        net.client("bob", delay=1).sends(b"ab").closes()
        net.run(server)
    assert "blocking-read" == caught.value.rule


def test_so_is_one_between_two_calls_of_select() -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            clients: list[socket.socket] = []
            while True:
                for sock in select.select([listener, *clients], [], [])[0]:
                    if sock is listener:
                        clients.append(listener.accept()[0])
                    else:
                        sock.recv(1)
                        sock.recv(1)

    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client("alice").sends(b"a").waits(5).sends(b"b").closes()
        net.client("bob", delay=1).sends(b"ab").closes()
        net.run(server)
    assert "blocking-read" == caught.value.rule


# -- what harms nobody ---------------------------------------------------------------------------------


def waits_by_poll(sock: socket.socket) -> object:
    poller = select.poll()
    poller.register(sock, IN)
    return poller.poll(5000)


def waits_by_epoll(sock: socket.socket) -> object:
    poller = select.epoll()
    poller.register(sock, IN)
    return poller.poll(5)


def waits_by_select(sock: socket.socket) -> object:
    return select.select([sock], [], [], 5)[0]


def waits_by_selector(sock: socket.socket) -> object:
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ)
    return selector.select(5)


WAITS = (waits_by_poll, waits_by_epoll, waits_by_select, waits_by_selector)


@pytest.mark.parametrize("waits", WAITS)
def test_one_that_is_made_for_a_wait_and_thrown_away_harms_nobody(waits: Callable[[socket.socket], object]) -> None:
    def client() -> None:
        for _ in range(3):
            with socket.create_connection(DB) as sock:
                sock.sendall(b"q")
                assert waits(sock)
                assert b"a" == sock.recv(10)

    with Scenario() as net:
        for _ in range(3):
            net.backend(DB).expects(b"q").waits(1).sends(b"a").expects_eof()
        net.run(client)
    assert 3 == net.now


@pytest.mark.parametrize("waits", WAITS)
def test_to_wait_for_a_backend_while_a_request_is_served_is_not_to_go_to_sleep(
    waits: Callable[[socket.socket], object],
) -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(DB) as backend:
            while select.select([listener], [], [], 60)[0]:
                client, _ = listener.accept()
                with client:
                    backend.sendall(client.recv(10))
                    assert waits(backend)
                    client.sendall(backend.recv(10))

    with Scenario() as net:
        net.backend(DB).expects(b"q").waits(1).sends(b"a").expects_eof()
        net.client("alice").sends(b"q").expects(b"a").expects_eof()
        net.run(server)


def test_but_who_is_forgotten_meanwhile_is_found_afterwards() -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(DB) as backend:
            clients: list[object] = []
            while True:
                select.select([listener], [], [])
                clients.append(listener.accept())
                backend.sendall(b"q")
                select.select([backend], [], [])
                backend.recv(10)

    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.backend(DB).expects(b"q").waits(1).sends(b"a")
        net.client("alice").expects(b"hello")
        net.run(server)
    assert ("accepted-not-registered", "alice") == (caught.value.rule, caught.value.socket)


def test_a_poll_object_keeps_no_socket_alive() -> None:
    def server() -> object:
        poller = select.poll()
        number = socket.socket().fileno()
        sock = socket.socket()
        poller.register(sock, IN)
        del sock
        return number == socket.socket().fileno()

    with Scenario() as net:
        assert True is net.run(server)


def test_an_epoll_object_that_is_dropped_gives_its_number_back() -> None:
    def server() -> bool:
        poller = select.epoll()
        number = poller.fileno()
        del poller
        return socket.socket().fileno() == number

    with Scenario() as net:
        assert net.run(server)


def test_a_number_that_is_used_again_and_registered_anew_is_no_closed_socket() -> None:
    def server() -> object:
        poller = select.poll()
        sock = socket.socket()
        poller.register(sock, IN)
        sock.close()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            poller.register(listener, IN)
            return poller.poll(1000)

    with Scenario() as net:
        assert [] == net.run(server)


# -- time ----------------------------------------------------------------------------------------------


TIMES: list[tuple[Callable[[socket.socket], object], float]] = [
    (lambda sock: waits_for(select.poll(), sock, 2500), 2.5),
    (lambda sock: waits_for(select.poll(), sock, 0.5), 0.0005),
    (lambda sock: waits_for(select.epoll(), sock, 2.5), 2.5),
    (lambda sock: select.select([sock], [], [], 2.5), 2.5),
    (lambda sock: select.select([sock], [], [], 0), 0.0),
    (lambda sock: waits_for(select.poll(), sock, 0), 0.0),
    (lambda sock: waits_for(select.epoll(), sock, 0), 0.0),
    (lambda _: kept_select([], [], [], 86400), 86400.0),
]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("wait", "seconds"), TIMES)
def test_each_waits_in_its_own_unit_and_exactly(
    wait: Callable[[socket.socket], object], seconds: float, network: Any
) -> None:
    def client() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            wait(sock)

    with Scenario(network=network, grace=1e6) as net:
        net.run(client)
    assert seconds == net.now


def waits_for(poller: Any, sock: socket.socket, timeout: float) -> None:
    poller.register(sock, IN)
    assert [] == poller.poll(timeout)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, "select"])
def test_a_loop_that_only_looks_sees_time_pass(kind: str) -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            poller = None if kind == "select" else make(kind)
            if poller is not None:
                poller.register(listener, IN)
            while not (poller.poll(0) if poller is not None else select.select([listener], [], [], 0)[0]):
                pass
            listener.accept()[0].close()

    with Scenario() as net:
        net.client("alice", delay=3).expects_eof()
        net.run(server)
    assert net.now >= 3


# -- beside other things -------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_selectors_watch_an_epoll_object(network: Any) -> None:
    def server() -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            select.epoll() as inner,
            selectors.DefaultSelector() as outer,
        ):
            inner.register(listener, IN)
            outer.register(inner, selectors.EVENT_READ)
            for _ in range(2):
                assert [inner] == [key.fileobj for key, _ in outer.select()]
                assert [(listener.fileno(), IN)] == inner.poll()
                listener.accept()[0].close()
            outer.unregister(inner)

    with Scenario(network=network) as net:
        net.client("alice").expects_eof()
        net.client("bob", delay=5).expects_eof()
        net.run(server)
    assert 5 == net.now


def test_one_epoll_object_in_another_goes_by_its_name() -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, select.epoll() as inner, select.epoll() as outer:
            outer.register(inner, IN)
            inner.register(listener, IN)
            outer.poll()
            listener.accept()[0].close()

    with Scenario() as net:
        net.client("alice").expects_eof()
        net.run(server)
    assert ["register(epoll, READ)", "register(listener, READ)", "epoll 2.poll() -> epoll READ"] == [
        str(event) for event in net.trace if event.operation in ("register", "select")
    ]


def test_a_real_pipe_wakes_a_poll_object_beside_sockets() -> None:
    def server() -> list[tuple[int, int]]:
        reads, writes = os.pipe()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            poller = select.poll()
            poller.register(listener, IN)
            poller.register(reads, IN)
            os.write(writes, b"x")
            told = poller.poll()
            os.close(reads)
            os.close(writes)
            return [(number - reads, bits) for number, bits in told]

    with Scenario() as net:
        assert [(0, IN)] == net.run(server)


@pytest.mark.parametrize("network", ["simulated", "loopback"])
@pytest.mark.parametrize("kind", ["poll", "epoll"])
def test_the_table_says_for_what_a_socket_is_polled(network: Any, kind: str) -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            poller = getattr(select, kind)()
            poller.register(listener, IN)
            poller.poll()
            sock, _ = listener.accept()
            poller.register(sock)
            poller.poll()
            poller.modify(sock, IN)
            poller.unregister(listener)
            poller.poll()
            poller.unregister(sock)
            sock.close()

    def look() -> None:
        interests.append([row.interest for row in net.sockets() if row.state in ("listening", "connected")])

    interests: list[list[str]] = []
    with Scenario(network=network) as net:
        net.client("alice", delay=0.5).does(look).waits(1).does(look).closes()
        net.run(server)
    assert interests == [["READ"], ["", "READ"]]


def test_what_is_kept_from_before_the_run_is_simulated_in_it() -> None:
    def server() -> object:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return kept_select([listener], [], [], 10)

    with Scenario() as net:
        assert ([], [], []) == net.run(server)
    assert 10 == net.now


def test_when_all_is_over_they_can_still_be_tidied_up() -> None:
    def server() -> tuple[Any, Any, socket.socket]:
        poll, epoll, sock = select.poll(), select.epoll(), socket.socket()
        poll.register(sock, IN)
        epoll.register(sock, IN)
        return poll, epoll, sock

    with Scenario() as net:
        made = net.run(server)
    assert made is not None
    poll, epoll, sock = made
    poll.unregister(sock)
    epoll.unregister(sock)
    epoll.close()
    sock.close()
    assert epoll.closed


def test_real_ones_are_real_outside_of_a_scenario() -> None:
    with Scenario(), socket.socket() as sock:
        poller = select.poll()
        poller.register(sock, OUT)
        assert [(sock.fileno(), OUT | select.POLLHUP)] == poller.poll(0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_a_run_comes_out_of_a_wait_as_of_a_select(kind: str) -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            poller = make(kind)
            poller.register(listener, IN)
            while True:
                try:
                    poller.poll()
                    listener.accept()[0].close()
                except BaseException:
                    pass

    with Scenario() as net:
        net.client("alice").expects_eof()
        net.run(server)


def test_a_thousand_polls_at_one_instant_share_their_rows() -> None:
    def server() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            poller = select.poll()
            poller.register(listener, IN)
            for _ in range(900):
                poller.poll(0)

    with Scenario() as net:
        net.run(server)
    assert len(net.trace) < 20


def test_garbage_with_an_epoll_object_in_it_is_collected_in_its_time() -> None:
    def server() -> None:
        for _ in range(3):
            one: list[object] = [select.epoll()]
            one.append(one)
        gc.collect()
        assert 1 << 30 == socket.socket().fileno()

    with Scenario() as net:
        net.run(server)


def test_the_clock_is_the_scenarios() -> None:
    def server() -> float:
        begun = time.monotonic()
        select.select([], [], [], 3)
        return time.monotonic() - begun

    with Scenario() as net:
        assert 3 == net.run(server)


def watching(mask: int, most: int, waits_for_listener: int = IN) -> None:
    """An echo by epoll, that accepts and reads once per event, at most so many bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener, select.epoll() as poller:
        clients = dict[int, socket.socket]()
        poller.register(listener, waits_for_listener)
        while True:
            for number, _ in poller.poll():
                if number == listener.fileno():
                    client, _ = listener.accept()
                    clients[client.fileno()] = client
                    poller.register(client, mask)
                elif data := clients[number].recv(most):
                    clients[number].sendall(data)
                else:
                    poller.unregister(number)
                    clients.pop(number).close()


EDGE, ONE_SHOT = 1 << 31, 1 << 30
TOLD_ONCE = [
    ((IN | EDGE, 2), "something to read from bob, and epoll has told of it, and does not again. bob was registered with"
     " EPOLLET: read again and again"),
    ((IN | ONE_SHOT, 9), "something to read from bob, and epoll has told of it, and does not again. bob was registered"
     " with EPOLLONESHOT"),
    ((IN, 9, IN | EDGE), "Somebody waits to be accepted, and epoll has told of it, and does not again. listener was"
     " registered with EPOLLET: accept() again and again"),
    ((IN | EDGE, 9), "See whether the server waits for the same"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "said"), TOLD_ONCE)
def test_who_waits_for_what_epoll_tells_only_once_is_told_why(given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ScenarioError, match=r"^\[stuck\] bob waits in vain") as caught, Scenario() as net:
        net.client("alice").sends(b"x").expects(b"x").closes()
        net.client("bob").sends(b"y").expects(b"y").sends(b"hello").expects(b"hello, bob")
        net.run(watching, *given)
    assert said in " ".join(str(caught.value).split())

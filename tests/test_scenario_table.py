"""The sockets of a scenario as a table: each with what its peer waits for, and what nobody has read."""

from __future__ import annotations

import selectors
import socket
import time
from selectors import EVENT_READ

from mockselector import Scenario, SocketRow
from scenario_servers import PORT, one, read_all


def test_the_table_shows_every_socket_and_every_peer_without_one() -> None:
    def look() -> None:
        rows.extend(net.sockets())
        texts.append(str(net.sockets()))

    rows: list[SocketRow] = []
    texts: list[str] = []
    with Scenario(allow={"unaccepted-connection", "unmet-expectation", "unread-data"}) as net:
        net.client("alice", to=PORT).sends(b"hi").expects(b"hi").waits(10).closes()
        net.client("bob", to=PORT).waits(1).sends(b"you").closes()
        net.client("carol", to=PORT).waits(1).resets()
        net.client("dave", to=9999).sends(b"x")
        net.client("eve", to=PORT, delay=3).sends(b"you")
        net.client("frank", to=PORT, delay=7).sends(b"too")
        net.client("watch", to=7777).waits(5).does(look).waits(100)
        kept = net.listener(("", 7777))
        net.run(shows)
        kept.close()
    assert texts == [
        "name        state          interest  unread  unsent  script\n"
        "listener    listening                1       0\n"
        "listener 2  listening      READ      1       0\n"
        "alice       connected      READ      0       0       step 3 of 4: it waits 10 s\n"
        "bob         peer closed    READ      3       0       step 3 of 3: its script is at its end\n"
        "carol       peer reset     READ      0       0       step 2 of 2: its script is at its end\n"
        "dave        not connected            0       0       step 1 of 1: it waits for somebody to listen\n"
        "eve         not accepted             3       0       step 1 of 1: its script is at its end\n"
        "frank       not connected            0       0       step 1 of 1: it connects at 7 s\n"
        "watch       not accepted             0       0       step 2 of 3: it does look()"
    ]
    assert SocketRow("alice", "connected", "READ", 0, 0, "step 3 of 4: it waits 10 s") == rows[2]


def shows() -> None:
    """Accept three, echo to the first, and leave it at that."""
    with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
        selector.register(listener, EVENT_READ)
        conns: list[socket.socket] = []
        while len(conns) < 3:
            selector.select()
            conns.append(listener.accept()[0])
            selector.register(conns[-1], EVENT_READ)
        conns[0].sendall(conns[0].recv(9))
        time.sleep(20)
        for conn in conns:
            selector.unregister(conn)
            conn.close()


def test_a_socket_whose_end_was_read_is_in_the_table_as_such() -> None:
    def handle(conn: socket.socket) -> list[SocketRow]:
        read_all(conn)
        return list(net.sockets())

    with Scenario() as net:
        net.client("alice").closes()
        rows = net.run(one, handle)
    assert rows == [
        SocketRow("listener", "listening", "", 0, 0, ""),
        SocketRow("alice", "eof", "", 0, 0, "step 1 of 1: its script is at its end"),
    ]


def test_a_connection_of_the_program_to_itself_has_no_script_in_the_table() -> None:
    def main() -> list[str]:
        with socket.create_server(("", PORT)), socket.create_connection(("localhost", PORT)):
            return [row.script for row in net.sockets()]

    with Scenario() as net:
        assert net.run(main) == ["", ""]


def test_the_table_is_a_sequence_of_rows() -> None:
    with Scenario() as net:
        kept = net.listener(("", 1)), net.listener(("", 2))
        table = net.sockets()
        for listener in kept:
            listener.close()
    assert (len(table), table[0].name, [row.name for row in table[1:]]) == (2, "listener", ["listener 2"])


def test_the_table_says_how_long_it_is() -> None:
    with Scenario() as net:
        kept = net.listener()
        assert repr(net.sockets()) == "<SocketTable of 1 sockets>"
        kept.close()


def test_the_table_of_nothing_has_only_a_head() -> None:
    with Scenario() as net:
        assert str(net.sockets()) == "name  state  interest  unread  unsent  script"


def sends_hi(conn: socket.socket) -> None:
    conn.sendall(b"hi")
    conn.recv(1)


def test_what_the_peer_has_not_read_is_in_the_table() -> None:
    with Scenario() as net:
        net.client("alice").waits(5).does(lambda: rows.append(net.sockets()[1])).expects(b"hi").closes()
        rows: list[SocketRow] = []
        net.run(one, sends_hi)
    assert rows == [SocketRow("alice", "connected", "", 0, 2, "step 2 of 4: it does <lambda>()")]

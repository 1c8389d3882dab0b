"""Per rule a server that breaks it, a script that shows it, and a correct twin of the server.

The servers are kept as text, so that the golden error texts name lines which stay where they are.
"""

from __future__ import annotations

import linecache
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mockselector import RuleId


@dataclass(frozen=True)
class Case:
    """`server` breaks `rule` under `script`; `twin` does not. `now`: the source line at fault."""

    rule: RuleId
    server: str
    twin: str
    script: str
    at_fault: str = ""
    pedantic: bool = False
    twin_script: str = ""


def load(source: str, filename: str, **names: object) -> dict[str, Any]:
    """Run a module kept as text, so that tracebacks and errors can show its lines."""
    text = textwrap.dedent(source).lstrip("\n")
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": filename.removesuffix(".py"), **names}
    exec(compile(text, filename, "exec"), namespace)
    return namespace


def play(server: str, script: str, **names: object) -> None:
    """Run a script against a server."""
    serve = load(server, "server.py")["serve"]
    load(script, "test_server.py", serve=serve, **names)


SCRIPT = """
    from selectors import EVENT_READ, EVENT_WRITE
    from mockselector import ListenSocket, MockSelector, MockSocket

    alice = MockSocket([b"hi"], name="alice")
    listener = ListenSocket([alice])
    selector = MockSelector([{events}], strict=True{options})
    {before}
    with selector:
        serve(selector, listener)
"""


def script(events: str, *, options: str = "", before: str = "pass") -> str:
    return SCRIPT.format(events=events, options=options, before=before)


ECHO = """
    from selectors import EVENT_READ, EVENT_WRITE

    def serve(sel, listener):
        listener.bind(("", 8888))
        listener.listen()
        sel.register(listener, EVENT_READ)
        while True:
            for key, mask in sel.select():
                if key.fileobj is listener:
                    accept(sel, listener)
                else:
                    echo(sel, key.fileobj)

    def accept(sel, listener):
        conn, _ = listener.accept()
        sel.register(conn, EVENT_READ)

    def echo(sel, conn):
        data = conn.recv(1024)
        if data:
            conn.send(data)
        else:
            sel.unregister(conn)
            conn.close()
"""


def changed(before: str, after: str) -> str:
    """ECHO with one passage changed."""
    assert ECHO.count(before) == 1, before
    return ECHO.replace(before, after)


ONE_CLIENT = """
    from selectors import EVENT_READ

    def serve(sel, listener):
        listener.bind(("", 8888))
        listener.listen()
        sel.register(listener, EVENT_READ)
        done = False
        while not done:
            for key, mask in sel.select():
                if key.fileobj is listener:
                    conn, _ = listener.accept()
                    sel.register(conn, EVENT_READ)
                elif data := key.fileobj.recv(1024):
                    key.fileobj.send(data)
                else:
                    sel.unregister(key.fileobj)
                    key.fileobj.close()
                    done = True
        # It returns.
"""

ALL = "listener, alice, alice"

CASES = [
    Case(
        "accepted-not-registered",
        changed("        sel.register(conn, EVENT_READ)\n\n", "        print('welcome')\n\n"),
        ECHO,
        script(ALL),
        at_fault="for key, mask in sel.select():",
    ),
    Case(
        "closed-still-registered",
        changed("            sel.unregister(conn)\n", ""),
        ECHO,
        script(ALL + ", []"),
        at_fault="for key, mask in sel.select():",
    ),
    Case(
        "close-before-unregister",
        changed(
            "            sel.unregister(conn)\n            conn.close()",
            "            conn.close()\n            sel.unregister(conn)",
        ),
        ECHO,
        script(ALL, options=", pedantic=True"),
        at_fault="conn.close()",
        pedantic=True,
    ),
    Case(
        "event-not-registered",
        changed("        sel.register(listener, EVENT_READ)\n", ""),
        ECHO,
        script(ALL),
        at_fault="for key, mask in sel.select():",
    ),
    Case(
        "event-without-interest",
        changed("sel.register(conn, EVENT_READ)", "sel.register(conn, EVENT_WRITE)"),
        ECHO,
        script(ALL),
        at_fault="for key, mask in sel.select():",
    ),
    Case(
        "read-without-data",
        changed("data = conn.recv(1024)", "data = conn.recv(1) + conn.recv(1) + conn.recv(1)"),
        ECHO,
        script(ALL),
        at_fault="data = conn.recv(1) + conn.recv(1) + conn.recv(1)",
    ),
    Case(
        "read-past-eof",
        changed(
            "            sel.unregister(conn)\n", "            conn.recv(1024)\n            sel.unregister(conn)\n"
        ),
        ECHO,
        script(ALL),
        at_fault="conn.recv(1024)",
    ),
    Case(
        "eof-ignored",
        changed("            sel.unregister(conn)\n            conn.close()", "            print('bye')"),
        ECHO,
        script(ALL),
        at_fault="for key, mask in sel.select():",
    ),
    Case(
        "accept-without-connection",
        changed(
            "                    accept(sel, listener)",
            "                    accept(sel, listener)\n" + " " * 20 + "accept(sel, listener)",
        ),
        ECHO,
        script(ALL),
        at_fault="conn, _ = listener.accept()",
    ),
    Case(
        "short-send-lost",
        ECHO,
        changed(
            "            conn.send(data)", "            while data:\n                data = data[conn.send(data):]"
        ),
        script(ALL, before="alice.send.side_effect = [1, 1]"),
        at_fault="conn.close()",
    ),
    Case(
        "busy-loop",
        changed("sel.register(conn, EVENT_READ)", "sel.register(conn, EVENT_READ | EVENT_WRITE)").replace(
            "else:\n                    echo", "elif mask & EVENT_READ:\n                    echo"
        ),
        ECHO,
        script("listener, alice, (alice, EVENT_WRITE), alice"),
        at_fault="for key, mask in sel.select():",
        twin_script=script(ALL),
    ),
    Case(
        "unread-data",
        changed("            conn.send(data)", "            sel.unregister(conn)\n            conn.close()"),
        ECHO,
        script("listener, alice", before='alice.recvs = iter([b"hi", b"there"])'),
        twin_script=script("listener, alice, alice, alice", before='alice.recvs = iter([b"hi", b"there"])'),
    ),
    Case(
        "unaccepted-connection",
        ECHO,
        ECHO,
        script("[]"),
        twin_script=script(ALL),
    ),
    Case(
        "undelivered-event",
        changed("            conn.close()", "            conn.close()\n            raise SystemExit"),
        ECHO,
        """
        from mockselector import ListenSocket, MockSelector, MockSocket

        alice = MockSocket([b"hi"], name="alice")
        bob = MockSocket([b"hello"], name="bob")
        listener = ListenSocket([alice, bob])
        selector = MockSelector([listener, alice, listener, alice, bob, bob], strict=True)
        with selector:
            try:
                serve(selector, listener)
            except SystemExit:
                pass
        """,
    ),
    Case(
        "leaked-connection",
        changed("            conn.close()", "            pass"),
        ECHO,
        script(ALL),
    ),
    Case(
        "unclosed-at-exit",
        ONE_CLIENT,
        ONE_CLIENT.replace(
            "        # It returns.", "        sel.unregister(listener)\n        listener.close()\n        sel.close()"
        ),
        script(ALL, options=", pedantic=True"),
        pedantic=True,
    ),
]

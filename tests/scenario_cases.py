"""Per rule a server that breaks it in a scenario, a conversation that shows it, and a correct twin.

As `rule_cases`, with a network in the place of the event list: all rules that a scenario can judge,
and those that nothing else can.
"""

from __future__ import annotations

from rule_cases import ECHO, ONE_CLIENT, Case, changed

SCRIPT = """
    import selectors
    import socket
    from mockselector import Scenario

    def main():
        serve(selectors.DefaultSelector(), socket.socket())

    with Scenario({options}) as net:
        {conversation}
        net.run(main)
"""

HELLO = 'net.client("alice").sends(b"hi").expects(b"hi").closes()'
SLOW = 'net.client("alice", buffer=3).sends(b"hi").waits(1).sends(b"you").waits(1).expects(b"hiyou").closes()'


def script(conversation: str = HELLO, *, options: str = "") -> str:
    return SCRIPT.format(conversation=conversation, options=options)


BUFFERED = """
    from selectors import EVENT_READ, EVENT_WRITE

    def serve(sel, listener):
        listener.bind(("", 8888))
        listener.listen()
        sel.register(listener, EVENT_READ)
        while True:
            for key, mask in sel.select():
                if key.fileobj is listener:
                    conn, _ = listener.accept()
                    conn.setblocking(False)
                    sel.register(conn, EVENT_READ, bytearray())
                else:
                    talk(sel, key.fileobj, key.data, mask)

    def talk(sel, conn, output, mask):
        if mask & EVENT_READ:
            data = conn.recv(1024)
            if not data:
                sel.unregister(conn)
                conn.close()
                return
            output += data
        if mask & EVENT_WRITE:
            sent = conn.send(output)
            del output[:sent]
        sel.modify(conn, EVENT_READ | (EVENT_WRITE if output else 0), output)
"""

SHARED = """
    import socket
    import threading

    def serve(sel, listener):
        sel.close()
        listener.bind(("", 8888))
        listener.listen()
        conn, _ = listener.accept()
        reading = threading.Lock()
        threads = [threading.Thread(target=talk, args=(conn, reading), name=name) for name in ("one", "other")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        conn.close()
        listener.close()

    def talk(conn, reading):
        # in turn
        data = conn.recv(100)
        conn.sendall(data)
"""

GUARDED = """
    import socket
    import threading
    import time

    def serve(sel, listener):
        sel.close()
        listener.bind(("", 8888))
        listener.listen()
        conn, _ = listener.accept()
        lock, seen = threading.Lock(), []
        threads = [
            threading.Thread(target=read, args=(conn, lock, seen), name="reads"),
            threading.Thread(target=count, args=(lock, seen), name="counts"),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        conn.close()
        listener.close()

    def read(conn, lock, seen):
        with lock:
            seen.append(conn.recv(100))
        conn.sendall(b"bye")

    def count(lock, seen):
        time.sleep(1)
        with lock:
            return len(seen)
"""

CALLS_OUT = """
    import socket

    def serve(sel, listener):
        listener.close()
        sel.close()
        try:
            conn = socket.create_connection(("db", {port}))
        except ConnectionRefusedError:
            return
        with conn:
            conn.sendall(b"q")
            conn.recv(100)
"""

IN_TURN = """
    import socketserver

    class Doubles(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                self.wfile.write(doubled(line))

    def doubled(line):
        return b"%d" % (2 * int(line))

    def serve(sel, listener):
        listener.close()
        sel.close()
        with socketserver.TCPServer(("", 8888), Doubles) as server:
            server.serve_forever()
"""
CAREFULLY = IN_TURN.replace(
    "        return b",
    "        if not line.strip().isdigit():\n            return b'a number, please'\n        return b",
)

SLEEPS = """
    import asyncio
    import time

    def serve(sel, listener):
        listener.close()
        sel.close()
        asyncio.run(main())

    async def main():
        async with await asyncio.start_server(answer, "127.0.0.1", 8888) as server:
            await server.serve_forever()

    async def answer(reader, writer):
        try:
            line = await reader.readline()
            time.sleep(2)
            writer.write(line)
        finally:
            writer.close()
"""

IN_ANY_ORDER = """
    import threading
    import time

    def serve(sel, listener):
        first, second = threading.Lock(), threading.Lock()
        threads = [
            threading.Thread(target=move, args=(first, second), name="there"),
            threading.Thread(target=move, args=(second, first), name="back"),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        listener.close()
        sel.close()

    def move(source, target):
        with source:
            time.sleep(1)
            with target:
                pass
"""

STOPPED = """
    import socket
    import threading

    def serve(sel, listener):
        sel.close()
        listener.bind(("", 8888))
        listener.listen()
        served = threading.Event()
        thread = threading.Thread(target=greet, args=(listener, served), name="greeting")
        thread.start()
        served.wait()
        # at once
        listener.close()
        thread.join()

    def greet(listener, served):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            conn.sendall(b"hi")
            conn.close()
            served.set()
"""

LATER = 'net.client("alice").waits(2).sends(b"hi").expects(b"hi").closes()'

SCENARIO_CASES = [
    Case(
        "accepted-not-registered",
        changed("        sel.register(conn, EVENT_READ)\n\n", "        clients.append(conn)\n\n    clients = []\n\n"),
        ECHO,
        script(),
        at_fault="for key, mask in sel.select():",
    ),
    Case(
        "closed-still-registered",
        changed("            sel.unregister(conn)\n", ""),
        ECHO,
        script(),
        at_fault="for key, mask in sel.select():",
    ),
    Case(
        "close-before-unregister",
        changed(
            "            sel.unregister(conn)\n            conn.close()",
            "            conn.close()\n            sel.unregister(conn)",
        ),
        ECHO,
        script(options="pedantic=True"),
        at_fault="conn.close()",
        pedantic=True,
    ),
    Case(
        "read-without-data",
        changed("data = conn.recv(1024)", "data = conn.recv(1) + conn.recv(1) + conn.recv(1)"),
        ECHO,
        script(),
        at_fault="data = conn.recv(1) + conn.recv(1) + conn.recv(1)",
    ),
    Case(
        "blocking-read",
        changed("        sel.register(conn", "        conn.recv(1024)\n        sel.register(conn"),
        ECHO,
        script(
            'net.client("alice").waits(2).sends(b"hello").sends(b"hi").expects(b"hi").closes()',
            options="pedantic=True",
        ),
        at_fault="conn.recv(1024)",
        pedantic=True,
        twin_script=script(LATER, options="pedantic=True"),
    ),
    Case(
        "read-past-eof",
        changed(
            "            sel.unregister(conn)\n",
            "            for _ in range(3):\n                conn.recv(1024)\n            sel.unregister(conn)\n",
        ),
        ECHO,
        script(),
        at_fault="conn.recv(1024)",
    ),
    Case(
        "eof-ignored",
        changed("            sel.unregister(conn)\n            conn.close()", "            print('bye')"),
        ECHO,
        script(),
        at_fault="for key, mask in sel.select():",
    ),
    Case(
        "accept-without-connection",
        changed(
            "                    accept(sel, listener)",
            "                    accept(sel, listener)\n" + " " * 20 + "accept(sel, listener)",
        ),
        ECHO,
        script('net.client("alice")'),
        at_fault="conn, _ = listener.accept()",
    ),
    Case(
        "short-send-lost",
        changed("        sel.register(conn", "        conn.setblocking(False)\n        sel.register(conn"),
        BUFFERED,
        script(SLOW),
        at_fault="for key, mask in sel.select():",
    ),
    Case(
        "send-without-room",
        changed("conn.send(data)", "conn.sendall(data * 4)"),
        BUFFERED,
        script('net.client("alice", buffer=3).sends(b"x" * 20).closes()'),
        at_fault="conn.sendall(data * 4)",
    ),
    Case(
        "blocking-send",
        ECHO,
        BUFFERED,
        script(SLOW, options="pedantic=True"),
        at_fault="conn.send(data)",
        pedantic=True,
    ),
    Case(
        "blocking-call",
        SLEEPS,
        SLEEPS.replace("time.sleep(2)", "await asyncio.sleep(2)"),
        script('net.client("alice").sends(b"hi\\n").expects(b"hi\\n").closes()', options="pedantic=True"),
        at_fault="time.sleep(2)",
        pedantic=True,
    ),
    Case(
        "unexpected-send",
        changed("conn.send(data)", "conn.send(data.upper())"),
        ECHO,
        script(),
        at_fault="conn.send(data.upper())",
    ),
    Case(
        "unhandled-exception",
        IN_TURN,
        CAREFULLY,
        script('net.client("alice").sends(b"4x\\n").expects(b"a number, please").closes()'),
        at_fault='return b"%d" % (2 * int(line))',
    ),
    Case(
        "closed-under-a-wait",
        STOPPED,
        STOPPED.replace("# at once", "listener.shutdown(socket.SHUT_RDWR)"),
        script('net.client("alice").expects(b"hi", until="eof")'),
        at_fault="listener.close()",
    ),
    Case(
        "used-by-two",
        SHARED,
        SHARED.replace("# in turn\n        data", "with reading:\n            data"),
        script(
            'net.client("alice").waits(1).sends(b"hi").expects(b"hi").waits(1).sends(b"you").expects(b"you").closes()',
            options="pedantic=True",
        ),
        at_fault="data = conn.recv(100)",
        pedantic=True,
    ),
    Case(
        "lock-held-while-waiting",
        GUARDED,
        GUARDED.replace(
            "with lock:\n            seen.append(conn.recv(100))",
            "data = conn.recv(100)\n        with lock:\n            seen.append(data)",
        ),
        script('net.client("alice").waits(3).sends(b"hi").expects(b"bye").closes()', options="pedantic=True"),
        at_fault="with lock:",
        pedantic=True,
    ),
    Case(
        "deadlock",
        IN_ANY_ORDER,
        IN_ANY_ORDER.replace("args=(second, first)", "args=(first, second)"),
        script("# without peers"),
        at_fault="thread.join()",
    ),
    Case(
        "busy-loop",
        changed("sel.register(conn, EVENT_READ)", "sel.register(conn, EVENT_READ | EVENT_WRITE)").replace(
            "else:\n                    echo", "elif mask & EVENT_READ:\n                    echo"
        ),
        ECHO,
        script(LATER),
        at_fault="for key, mask in sel.select():",
    ),
    Case(
        "stuck",
        changed("conn.send(data)", "print('hm')"),
        ECHO,
        script(),
        at_fault="for key, mask in sel.select():",
    ),
    Case(
        "unmet-expectation",
        changed("            conn.send(data)", "            sel.unregister(conn)\n            conn.close()"),
        ECHO,
        script(),
        at_fault="for key, mask in sel.select():",
    ),
    Case(
        "unscripted-connection",
        CALLS_OUT.format(port=5433),
        CALLS_OUT.format(port=5432),
        script('net.backend(("db", 5432)).expects(b"q").sends(b"r").expects_eof()'),
        at_fault='conn = socket.create_connection(("db", 5433))',
    ),
    Case(
        "unread-data",
        changed("            conn.send(data)", "            sel.unregister(conn)\n            conn.close()"),
        ECHO,
        script('net.client("alice").sends(b"hi").sends(b"you").closes()'),
        twin_script=script('net.client("alice").sends(b"hi").sends(b"you").expects(b"hiyou").closes()'),
    ),
    Case(
        "unaccepted-connection",
        changed("                    accept(sel, listener)", "                    return"),
        ECHO,
        script('net.client("alice").closes()'),
    ),
    Case(
        "leaked-connection",
        changed("            conn.close()", "            keep.append(conn)").replace(
            "    def accept(", "    keep = []\n\n    def accept("
        ),
        ECHO,
        script(),
    ),
    Case(
        "unclosed-at-exit",
        ONE_CLIENT,
        ONE_CLIENT.replace(
            "        # It returns.", "        sel.unregister(listener)\n        listener.close()\n        sel.close()"
        ),
        script(options="pedantic=True"),
        pedantic=True,
    ),
]

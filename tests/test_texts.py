"""What an error says: whose line it was, what was being handled, where tasks stand; short, and fit to be printed."""

from __future__ import annotations

import asyncio
import builtins
import gc
import http.server
import logging
import re
import selectors
import socket
import socketserver
import sys
import time
import warnings
import weakref
import wsgiref.simple_server
from functools import partial
from selectors import EVENT_READ
from typing import TYPE_CHECKING, NoReturn

import pytest

from mockselector import ListenSocket, MockSelector, MockSocket, Scenario, ScenarioError
from mockselector._judge.reasons import NESTED, called_from, reason, reason_text
from mockselector._text import number_text, several, value_text
from scenario_servers import PORT, echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
    from typing import Any

    Handle = Callable[[selectors.BaseSelector, socket.socket], object]
    Stream = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # of servers that leave something open


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What a server of asyncio has left open is complained of here, and not in another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def serving(handle: Handle, tick: float | None = None) -> Callable[[], NoReturn]:
    """A server that calls `handle` for every socket that can be read."""

    def serve() -> NoReturn:
        with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
            selector.register(listener, EVENT_READ)
            while True:
                for key, _ in selector.select(tick):
                    if key.fileobj is listener:
                        selector.register(listener.accept()[0], EVENT_READ)
                    else:
                        assert isinstance(key.fileobj, socket.socket)
                        handle(selector, key.fileobj)

    return serve


def streaming(handle: Stream) -> Callable[[], None]:
    """A server of asyncio's streams."""

    async def main() -> None:
        async with await asyncio.start_server(handle, "127.0.0.1", PORT) as server:
            await server.serve_forever()

    return lambda: asyncio.run(main())


def asks(net: Scenario) -> None:
    net.client("alice").sends(b"4x\n").expects(b"84").closes()


def error_of(serve: Callable[[], object], script: Callable[[Scenario], object] = asks, **options: Any) -> ScenarioError:
    with pytest.raises(ScenarioError) as caught:
        with Scenario(**options) as net:
            script(net)
            net.run(serve)
    return caught.value


def text_of(serve: Callable[[], object], script: Callable[[Scenario], object] = asks, **options: Any) -> str:
    """The text, with what is wrapped in it put together again."""
    return re.sub(r"\n  (?=\S)", " ", str(error_of(serve, script, **options)))


def line_of(function: Callable[..., object], source: str) -> str:
    """Where in this file a line of a function is, as errors show it."""
    import inspect

    lines, start = inspect.getsourcelines(function)
    number = next(number for number, line in enumerate(lines, start) if source in line)
    return f"test_texts.py:{number} "


# -- the user's own line -----------------------------------------------------------------------------------


class Doubles(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        number = int(self.rfile.readline().strip(b"x\n"))
        self.wfile.write(b"%d" % (number * 3))


def serve_doubles() -> None:
    with socketserver.TCPServer(("", PORT), Doubles) as server:
        server.serve_forever()


class Says(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


def serve_protocol() -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Says, "127.0.0.1", PORT)
        await server.serve_forever()

    asyncio.run(main())


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    await reader.readline()


class Gets(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.wfile.write(b"hello")


def serve_http() -> None:
    with http.server.HTTPServer(("", PORT), Gets) as server:
        server.serve_forever()


def gets(net: Scenario) -> None:
    net.client("alice").sends(b"GET / HTTP/1.0\r\n\r\n").expects(b"HTTP/1.0 200 OK").closes()


@pytest.mark.parametrize(
    ("serve", "function", "source", "script"),
    [
        (serve_doubles, Doubles.handle, "self.wfile.write", asks),
        (serve_protocol, Says.data_received, "self.transport.write", asks),
        (streaming(answers), answers, "writer.write", asks),
        (serve_http, Gets.do_GET, "self.wfile.write", gets),
    ],
)
def test_the_users_own_line_is_shown_beside_that_of_a_library(
    serve: Callable[[], object], function: Callable[..., object], source: str, script: Callable[[Scenario], object]
) -> None:
    error = error_of(serve, script)
    assert error.rule == "unexpected-send"
    assert re.search(
        rf"\n  sent +\S*{re.escape(line_of(function, source))}.*\n    by way of  (asyncio|socketserver)", str(error)
    )


def test_a_call_of_the_users_own_has_no_line_beside_it() -> None:
    def handle(_: object, sock: socket.socket) -> None:
        sock.sendall(sock.recv(9).upper())

    assert "by way of" not in str(error_of(serving(handle)))


async def answers_at_length(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"x" * 200_000 + b"y")
    await writer.drain()


async def answers_and_goes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    KEPT.append(writer)


KEPT: list[object] = []


def test_of_bytes_that_leave_later_the_line_is_shown_that_has_written_them() -> None:
    def script(net: Scenario) -> None:
        net.client("alice").sends(b"4x\n").expects(b"x" * 200_000 + b"z").closes()

    error = error_of(streaming(answers_at_length), script)
    assert "unexpected-send" == error.rule
    assert re.search(rf"\n\n  last sent by  \S*{line_of(answers_at_length, 'writer.write')}", str(error))


def test_of_a_connection_that_leaks_the_line_is_shown_that_has_written_to_it() -> None:
    error = error_of(
        streaming(answers_and_goes), lambda net: net.client("alice").sends(b"4x\n").expects(b"4x\n").closes()
    )
    KEPT.clear()
    assert "leaked-connection" == error.rule
    assert re.search(rf"\n\n  last sent by  \S*{line_of(answers_and_goes, 'writer.write')}", str(error))


def test_of_what_a_peer_judges_later_the_line_is_shown_that_has_sent_it() -> None:
    def script(net: Scenario) -> None:
        net.client("alice").sends(b"4x\n").expects(lambda _: False, until=b"\n").closes()

    error = error_of(streaming(answers), script)
    assert "unexpected-send" == error.rule
    assert re.search(rf"\n\n  sent last  \S*{line_of(answers, 'writer.write')}", str(error))


def test_where_the_users_own_lines_say_it_those_of_libraries_are_left_to_the_trace() -> None:
    lines = str(error_of(streaming(answers))).split("\n\n")
    assert 2 == len(lines[1].splitlines())
    assert "asyncio/selector_events.py" in lines[-2]


def test_what_an_event_loop_polls_between_its_callbacks_is_not_shown() -> None:
    text = str(error_of(streaming(reads_on)))
    assert "select() -> nothing" not in text
    assert re.search(r"\n  step \d+ +alice\.getsockname\(\)", text)


def test_that_time_has_passed_meanwhile_is_shown() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)
        await reads_on(reader, writer)

    assert re.search(r"\n  step \d+ +5 s +select\(\) -> nothing", str(error_of(streaming(handle))))


def test_of_a_call_that_the_test_makes_no_more_is_shown() -> None:
    assert called_from() is None


# -- where the tasks of asyncio stand ------------------------------------------------------------------------


async def reads_on(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.readexactly(100)


async def lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        yield await reader.readexactly(100)


async def reads_by_generator(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    async for _line in lines(reader):
        pass


async def inner(reader: asyncio.StreamReader) -> None:
    await asyncio.wait_for(reader.readexactly(100), None)


async def reads_by_helper(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await inner(reader)


@pytest.mark.parametrize(
    ("handle", "function", "source"),
    [
        (reads_on, reads_on, "await"),
        (reads_by_generator, lines, "yield await"),
        (reads_by_helper, inner, "await asyncio"),
    ],
)
def test_where_each_task_stands_is_told_when_an_asyncio_program_is_stuck(
    handle: Stream, function: Callable[..., object], source: str
) -> None:
    error = error_of(streaming(handle))
    assert error.rule == "stuck"
    assert re.search(rf"  {handle.__name__}\(\)( of alice)? +\S*{line_of(function, source)}", str(error))
    assert re.search(r"main\(\) .*await server.serve_forever\(\)", str(error))


def test_where_a_task_stands_is_told_of_a_connection_that_leaks() -> None:
    async def handle(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()
        await asyncio.sleep(10_000)

    error = error_of(streaming(handle), lambda net: net.client("alice").closes())
    assert error.rule == "leaked-connection"
    assert line_of(handle, "sleep") in str(error)


def test_of_many_tasks_those_that_have_the_connection_in_question_come_first() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        who = await reader.readline()
        if who == b"alice\n":
            await reader.readuntil(b"never")
        writer.write(who)
        await reader.read()

    def script(net: Scenario) -> None:
        net.client("alice").sends(b"alice\n").expects(b"alice\n")
        for number in range(20):
            net.client().waits(1).sends(b"%d\n" % number).expects(b"%d\n" % number).waits(10_000)

    shown = str(error_of(streaming(handle), script)).split("\n\n")[1].splitlines()
    assert re.search(rf"^    handle\(\) of alice +\S*{line_of(handle, 'never')}", shown[1])
    assert re.search(rf"^    20 x handle\(\) +\S*{line_of(handle, 'reader.read()')}", shown[2])


def test_tasks_that_stand_at_one_place_are_counted_and_only_some_places_are_shown() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    def made(number: int) -> Callable[[], Coroutine[Any, Any, None]]:
        space: dict[str, Any] = {"waits": waits}
        exec(f"async def number_{number}():\n  await waits()", space)
        made: Callable[[], Coroutine[Any, Any, None]] = space[f"number_{number}"]
        return made

    async def main() -> None:
        tasks = [asyncio.ensure_future(made(number)()) for number in range(20)]
        tasks += [asyncio.ensure_future(waits()) for _ in range(1000)]
        async with await asyncio.start_server(reads_on, "127.0.0.1", PORT):
            await asyncio.gather(*tasks)

    text = str(error_of(lambda: asyncio.run(main())))
    assert re.search(r"1,000 x \S*waits\(\)", text)
    assert text.count("waits()\n") + text.count(".wait()\n") <= 10
    assert re.search(r"\.\.\. and 1[0-9] more places\n", text)


def test_a_task_that_stands_in_a_library_alone_is_shown_there() -> None:
    async def main() -> None:
        tasks = [asyncio.ensure_future(asyncio.sleep(1e9))]
        async with await asyncio.start_server(reads_on, "127.0.0.1", PORT):
            await asyncio.gather(*tasks)

    assert re.search(r"\n  +sleep\(\) +asyncio/tasks\.py:\d+ ", str(error_of(lambda: asyncio.run(main()))))


def test_a_loop_that_runs_the_test_is_none_of_the_scenarios() -> None:
    async def test() -> str:
        other = asyncio.ensure_future(asyncio.sleep(0))
        try:
            return str(error_of(serving(lambda _, sock: sock.recv(9))))
        finally:
            await other

    assert "task" not in asyncio.run(test())


def test_without_asyncio_nothing_is_said_of_tasks() -> None:
    assert "task" not in str(error_of(echo))


# -- what was being handled ------------------------------------------------------------------------------------


def doubled(sock: socket.socket) -> bytes:
    return b"%d" % (int(sock.recv(100)) * 2)


def closes_in_except(selector: selectors.BaseSelector, sock: socket.socket) -> None:
    try:
        sock.sendall(doubled(sock))
    except Exception:
        selector.unregister(sock)
        sock.close()


def closes_in_finally(selector: selectors.BaseSelector, sock: socket.socket) -> None:
    try:
        try:
            sock.sendall(doubled(sock))
        finally:
            selector.unregister(sock)
            sock.close()
    except ValueError:
        pass


def closes_by_with(selector: selectors.BaseSelector, sock: socket.socket) -> None:
    try:
        with sock:
            selector.unregister(sock)
            sock.sendall(doubled(sock))
    except ValueError:
        pass


def shuts_down_in_except(selector: selectors.BaseSelector, sock: socket.socket) -> None:
    try:
        sock.sendall(doubled(sock))
    except ValueError:
        sock.shutdown(socket.SHUT_WR)
        selector.modify(sock, EVENT_READ)


class Halves(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(doubled(self.request))


def serve_halves() -> None:
    with socketserver.TCPServer(("", PORT), Halves) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # it would print
        server.serve_forever()


@pytest.mark.parametrize(
    "serve",
    [
        *map(serving, (closes_in_except, closes_in_finally, closes_by_with, shuts_down_in_except)),
        serve_halves,
    ],
)
def test_the_exception_that_was_being_handled_is_the_reason(serve: Callable[[], object]) -> None:
    text = text_of(serve)
    assert re.search(r"while the server handled ValueError: invalid literal .* b'4x\\n' \(", text)
    assert f"{line_of(doubled, 'int(')}in doubled" in text


def test_it_is_told_in_the_first_line_and_in_the_trace() -> None:
    text = str(error_of(serving(closes_in_except)))
    first = (
        "[unmet-expectation] alice expects b'84', but the server has closed the connection while handling ValueError"
    )
    assert text.splitlines()[0] == first
    assert re.search(r"alice\.close\(\) .*\n +while handling ValueError: ", text)


def test_an_exception_that_was_dealt_with_before_is_no_reason() -> None:
    def handle(selector: selectors.BaseSelector, sock: socket.socket) -> None:
        try:
            doubled(sock)
        except ValueError:
            pass
        selector.unregister(sock)
        sock.close()

    assert "handl" not in str(error_of(serving(handle))).split("In production")[0].replace("in handle", "")


def test_what_the_test_itself_is_handling_is_no_reason() -> None:
    def handle(selector: selectors.BaseSelector, sock: socket.socket) -> None:
        selector.unregister(sock)
        sock.close()

    try:
        raise KeyError("of the test")
    except KeyError:
        text = str(error_of(serving(handle)))
    assert "KeyError" not in text


def test_an_event_list_tells_it_too() -> None:
    alice = MockSocket([b"4x"], name="alice")
    listener = ListenSocket([alice])
    listener.bind(("", PORT))
    listener.listen()
    with pytest.raises(ScenarioError) as caught:
        with MockSelector([listener, alice, alice], strict=True) as selector:
            selector.register(listener, EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is listener:
                        selector.register(listener.accept()[0], EVENT_READ)
                    else:
                        closes_in_except(selector, alice)
    assert caught.value.rule == "event-not-registered"
    assert "alice.close() was called while the server handled ValueError" in str(caught.value)


def test_no_exception_and_no_frame_of_it_is_kept_alive() -> None:
    class Own(Exception):
        pass

    died: list[weakref.ref[Own]] = []

    def handle(selector: selectors.BaseSelector, sock: socket.socket) -> None:
        assert not died or died[0]() is None
        try:
            raise Own(sock.recv(9))
        except Own as error:
            died.append(weakref.ref(error))
            selector.unregister(sock)
            sock.close()

    gc.disable()
    try:
        with Scenario(allow={"unmet-expectation"}) as net:
            asks(net)
            net.client("bob").waits(1).sends(b"x").closes()
            net.run(serving(handle))
    finally:
        gc.enable()
    assert len(died) == 2


def test_an_exception_without_a_usable_text_is_told_by_its_name() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even a text")

    def handle(selector: selectors.BaseSelector, sock: socket.socket) -> None:
        try:
            raise Odd(sock.recv(9))
        except Odd:
            selector.unregister(sock)
            sock.close()

    assert "while handling Odd\n" in str(error_of(serving(handle)))


# -- what handlers have raised, and only a log tells -----------------------------------------------------------------


async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"%d" % int(await reader.readline()))


class Dies(asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        int(data)


def serve_dying_protocol() -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Dies, "127.0.0.1", PORT)
        await server.serve_forever()

    asyncio.run(main())


async def fails(data: bytes) -> None:
    int(data)


async def lets_another_die(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    kept = asyncio.ensure_future(fails(await reader.readline()))
    await reader.readline()
    del kept


async def calls_back(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    asyncio.get_running_loop().call_soon(int, await reader.readline())
    await reader.readline()


def logs(_: object, sock: socket.socket) -> None:
    try:
        sock.sendall(doubled(sock))
    except ValueError:
        logging.getLogger("server").exception("a request has failed")


@pytest.mark.parametrize(
    "serve",
    [
        streaming(dies),
        serve_dying_protocol,
        streaming(lets_another_die),
        streaming(calls_back),
        serving(logs),
    ],
)
def test_an_exception_that_only_a_log_tells_of_is_told(serve: Callable[[], object]) -> None:
    text = text_of(serve, allow={"unhandled-exception"})
    assert len(re.findall(r"(A handler has raised|the server handled) ValueError: invalid literal", text)) == 1
    assert "test_texts.py" in text


def test_of_many_different_ones_the_last_are_told() -> None:
    async def handle(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        int(await reader.readline())

    def script(net: Scenario) -> None:
        for number in range(200):
            net.client().sends(b"x%d\n" % number).waits(1).closes()
        net.client("alice").waits(2).sends(b"4x\n").expects(b"84")

    text = text_of(streaming(handle), script, allow={"unhandled-exception"})
    assert text.count("A handler has raised") == 3
    assert "b'4x\\n'" in text.partition("A handler")[2].partition("A handler")[0]
    assert "more exceptions that differ" in text


def test_a_page_of_wsgi_that_fails_is_told_with_the_answer_500() -> None:
    def app(_: object, start: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
        start("200 OK", [])
        return [b"%d" % int("4x")]

    def serve() -> None:
        with wsgiref.simple_server.make_server("", PORT, app) as server:
            server.serve_forever()

    text = text_of(serve, gets)
    assert "The server is handling ValueError: invalid literal for int() with base 10: '4x'" in text
    assert line_of(app, "int(") in text


# -- that it has returned ------------------------------------------------------------------------------------------


def swallows(serve: Callable[[], object]) -> Callable[[], None]:
    def returns() -> None:
        try:
            serve()
        except OSError:
            return

    return returns


def resets(net: Scenario) -> None:
    net.client("alice").sends(b"x").expects(b"x").resets()
    net.client("bob").sends(b"y").expects(b"y").waits(10).sends(b"z").expects(b"z").closes()


def leaves_all_open() -> NoReturn:
    selector, listener = selectors.DefaultSelector(), socket.create_server(("", 0))
    selector.register(listener, EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                selector.register(listener.accept()[0], EVENT_READ)
            else:
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.sendall(key.fileobj.recv(9))


@pytest.mark.parametrize("network", ["simulated", "loopback"])
@pytest.mark.parametrize("serve", [partial(echo, 0), leaves_all_open], ids=["echo", "leaves all open"])
def test_a_server_that_dies_of_one_client_has_returned_for_the_others(
    serve: Callable[[], object], network: str
) -> None:
    error = error_of(swallows(serve), resets, network=network)
    assert error.rule == "unmet-expectation"
    assert error.socket == "bob"
    assert "the server has returned after ConnectionResetError" in str(error)
    assert "the server has closed the connection" not in str(error)


def test_a_server_that_returns_of_its_own_accord_has_returned() -> None:
    def serve() -> None:
        with socket.create_server(("", PORT)) as listener:
            kept = listener.accept()[0]
            kept.recv(9)

    text = str(error_of(serve, lambda net: net.client("alice").sends(b"x").waits(1).expects(b"y")))
    assert "but the server has returned\n" in text
    assert "after" not in text.splitlines()[0]


def test_a_program_of_asyncio_whose_main_coroutine_is_over_has_returned() -> None:
    async def main() -> None:
        server = await asyncio.start_server(reads_on, "127.0.0.1", PORT)
        await asyncio.sleep(2)
        server.close()

    def script(net: Scenario) -> None:
        net.client("alice").sends(b"x").waits(5).expects(b"y")

    text = str(error_of(lambda: asyncio.run(main()), script))
    assert text.startswith("[unmet-expectation] alice expects b'y', but the server has returned\n")


def test_a_connection_that_was_closed_long_before_was_closed() -> None:
    def serve() -> None:
        with socket.create_server(("", PORT)) as listener:
            listener.accept()[0].close()
            listener.settimeout(5)
            try:
                listener.accept()
            except TimeoutError:
                return

    text = str(error_of(serve, lambda net: net.client("alice").waits(10).expects(b"y")))
    assert text.startswith("[unmet-expectation] alice expects b'y', but the server has closed the connection\n")
    assert "The server returned after TimeoutError" in text


def test_a_program_that_only_connects_is_no_server() -> None:
    def asks_a_backend() -> None:
        with socket.create_connection(("db", 5432)) as conn:
            conn.sendall(b"x")

    text = str(error_of(asks_a_backend, lambda net: net.backend(("db", 5432)).expects(b"x").expects(b"y")))
    assert "the program has closed the connection" in text
    assert "server" not in text.replace("test_texts.py", "")


def test_what_is_about_peers_comes_before_what_is_about_a_listener() -> None:
    def serve() -> None:
        kept.append(socket.create_server(("", PORT)))
        kept.append(kept[0].accept()[0])

    kept: list[socket.socket] = []
    error = error_of(serve, lambda net: net.client("alice"), pedantic=True)
    assert (error.rule, error.socket) == ("unclosed-at-exit", "alice")
    assert "[unclosed-at-exit] the server returned and left listener open" in str(error)


# -- short, and fit to be printed -------------------------------------------------------------------------------------

ODD = "al\nice\x1b[31m\udc80\u202e\r"


def is_printable(text: str) -> bool:
    text.encode()
    return all(line.isprintable() for line in text.split("\n"))


def test_a_name_is_shown_escaped_wherever_it_is_shown() -> None:
    def handle(_: object, sock: socket.socket) -> None:
        sock.recv(9)

    net = Scenario()
    alice = net.client(ODD).sends(b"x").expects(b"y")
    with pytest.raises(ScenarioError) as caught, net:
        net.run(serving(handle))
    for text in (str(caught.value), str(net.trace), repr(net.trace[-2]), str(net.sockets()), repr(alice)):
        assert is_printable(text)
    assert r"al\nice\x1b[31m\udc80\u202e\r waits in vain" in str(caught.value)
    assert caught.value.socket == alice.name


@pytest.mark.parametrize("kind", ["name", "host", "path", "function", "pattern", "option", "file"])
def test_whatever_is_odd_or_huge_the_text_is_short_and_printable(kind: str) -> None:
    huge = ODD * 100

    def judge(_: bytes) -> bool:
        return False

    judge.__name__ = huge

    def connects() -> None:
        socket.create_connection(("h\n" * 3000 if kind == "host" else "db", 1))

    def listens() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"/tmp/{ODD}"[:90])
            sock.listen()
            sock.accept()

    space: dict[str, Any] = {"PORT": PORT}
    exec(compile("from scenario_servers import echo\ndef serve(): echo()", huge, "exec"), space)
    serve: dict[str, Callable[[], object]] = {"host": connects, "path": listens, "file": space["serve"]}
    scripts: dict[str, Callable[[Scenario], object]] = {
        "name": lambda net: net.client(huge).sends(b"x" * 100_000).expects(b"y" * 100_000),
        "function": lambda net: net.client().sends(b"x").expects(judge, until=b"x"),
        "pattern": lambda net: net.client().sends(b"x" * 99_999).expects(re.compile(b"[\n]" * 99_999), until=99_999),
        "path": lambda net: net.client(to="/tmp/x" + ODD).sends(b"x"),
        "host": lambda net: None,
        "option": lambda net: net.client().sends(b"x").expects(b"y", until=b"\n" * 10_000),
        "file": lambda net: net.client().sends(b"x").expects(b"y"),
    }
    text = str(error_of(serve.get(kind, echo), scripts[kind]))
    assert is_printable(text)
    assert len(text) < 30_000 if kind == "file" else len(text) < 6_000


class Huge:
    def __repr__(self) -> str:
        return "huge\n" * 100_000


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("given", [Huge(), Broken(), b"x" * 100_000, "x\n" * 100_000, ODD, [1] * 100_000])
def test_what_is_wrong_with_an_argument_is_told_in_short(given: Any) -> None:
    wrong: Any = [given]
    calls: list[Callable[[Scenario], object]] = [
        lambda net: net.client(allow=[given]),
        lambda net: net.client(allow=given),
        lambda net: net.client(delay=given),
        lambda net: net.client(buffer=given),
        lambda net: net.client(address=given),
        lambda net: net.client(steps=[given]),
        lambda net: net.client().does(given),
        lambda net: net.client().plays(given),
        lambda net: net.client().expects(b"a", until=wrong),
        lambda net: net.client().waits(given),
        lambda net: net.client().reads_slowly(given),
        lambda net: net.on_end(given),
        lambda net: net.interrupts(given),
        lambda net: Scenario(network=given),
        lambda net: MockSelector([], strict=True, allow=[given]),
    ]
    for call in calls:
        with Scenario(allow={"unmet-expectation"}) as net, pytest.raises((TypeError, ValueError)) as caught:
            call(net)
        assert is_printable(str(caught.value))
        assert len(str(caught.value)) < 900


@pytest.mark.slow
def test_of_thousands_of_clients_a_few_are_named() -> None:
    def script(net: Scenario) -> None:
        for _ in range(10_000):
            net.client().sends(b"x").closes()

    text = str(error_of(lambda: None, script))
    assert len(text) < 4_000
    assert "    ... and 9,989 more\n" in text


def test_of_a_table_of_thousands_the_socket_in_question_and_some_others_are_shown() -> None:
    def script(net: Scenario) -> None:
        for number in range(500):
            net.client(f"c{number}").sends(b"x")
        net.client("alice").sends(b"x").expects(b"y")

    kept: list[object] = []

    def serve() -> None:
        selector, listener = selectors.DefaultSelector(), socket.create_server(("", PORT), backlog=1000)
        kept.append((selector, listener))
        selector.register(listener, EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], EVENT_READ)
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    key.fileobj.recv(9)

    text = str(error_of(serve, script))
    assert "... and 490 more\n" in text
    assert re.search(r"\n  alice +connected", text)
    assert len(text) < 6_000
    kept.clear()


def test_the_table_itself_stays_whole() -> None:
    with Scenario(allow={"unmet-expectation"}) as net:
        for _ in range(1000):
            net.client()
        assert len(str(net.sockets()).splitlines()) == 1001


def test_names_that_are_cut_to_the_same_stay_different() -> None:
    with Scenario(allow={"unmet-expectation"}) as net:
        names = [net.client("n" * 500 + end + "n" * 500).name for end in ("a", "b")]
    assert names[1] == names[0] + " (2)"
    assert len(names[0]) <= 80


def test_a_select_that_returned_thousands_names_a_few() -> None:
    clients = [MockSocket([b"x"]) for _ in range(1000)]
    selector = MockSelector([clients], strict=True)
    with pytest.raises(ScenarioError) as caught, selector:
        for client in clients:
            selector.register(client, EVENT_READ)
        selector.select()
        selector.select()
    assert len(str(caught.value)) < 3_000
    assert "and 995 more" in str(caught.value).splitlines()[0]
    assert "and 997 more" in str(caught.value).partition("register(")[2]
    assert len(str(selector.trace[-2])) > 10_000


# -- folded ---------------------------------------------------------------------------------------------------------


def reads(_: object, sock: socket.socket) -> None:
    sock.recv(9)


def test_idle_polls_are_counted() -> None:
    text = str(error_of(serving(reads, tick=1), patience=300))
    assert re.search(r"select\(\) -> nothing .*\n +\.\.\. 300 times in all, until 300 s\n", text)
    assert r"alice.recv() -> b'4x\n'" in text
    assert "listener.accept() -> alice" in text


def connects(*seconds: float) -> Callable[[], None]:
    """A client that never selects: it sends, and sleeps in between."""

    def program() -> None:
        with socket.create_connection(("db", 5432)) as db:
            for nap in seconds:
                db.sendall(b"x")
                time.sleep(nap)

    return program


def answers_late(net: Scenario) -> None:
    net.backend(("db", 5432)).expects(b"xxx").expects(b"y")


def test_of_a_program_that_never_selects_the_times_are_shown_as_well() -> None:
    text = str(error_of(connects(2, 3, 5), answers_late))
    assert re.search(r"\n  start +0 s +db\.connect", text)
    assert re.search(r"\n +2 s +db\.send\(b'x'\).*\n +time\.sleep\(3\)", text)
    assert re.search(r"\n +5 s +db\.send\(b'x'\)", text)


def test_within_a_step_the_time_is_shown_where_it_has_passed() -> None:
    def serve() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
            selector.register(listener, EVENT_READ)
            selector.select()
            with listener.accept()[0] as conn:
                conn.recv(9)
                conn.sendall(b"?")

    text = str(error_of(serve, lambda net: net.client("alice").waits(2).sends(b"x").expects(b"!")))
    assert re.search(r"\n  step 1 +0 s .*\n +listener\.accept\(\) -> alice .*\n +2 s +alice\.recv\(\) -> b'x'", text)


def test_a_sleep_in_which_a_run_fails_is_shown_once() -> None:
    text = str(error_of(connects(7_000), answers_late))
    assert text.count("time.sleep(7000)   ") == 1
    assert "time.sleep()  " not in text


def test_polls_between_naps_are_counted() -> None:
    import time

    def serve() -> None:
        with selectors.DefaultSelector() as selector, socket.create_server(("", PORT)) as listener:
            selector.register(listener, EVENT_READ)
            while True:
                for key, _ in selector.select(0):
                    if key.fileobj is listener:
                        selector.register(listener.accept()[0], EVENT_READ)
                    else:
                        assert isinstance(key.fileobj, socket.socket)
                        key.fileobj.recv(9)
                time.sleep(0.5)

    text = str(error_of(serve, patience=300))
    assert re.search(r"select\(\) -> nothing .*\n +time\.sleep\(0\.5\) .*\n +\.\.\. 599 times in all", text)
    assert "alice.recv()" in text


def test_a_group_that_repeats_is_shown_once_and_begins_with_its_select() -> None:
    def script(net: Scenario) -> None:
        alice = net.client("alice")
        for _ in range(50):
            alice.sends(b"hi").expects(b"hi")
        alice.sends(b"ho").expects(b"hi")

    error = error_of(echo, script)
    text = str(error)
    assert re.search(
        r"step 2 +select\(\) -> alice READ .*\n +alice\.recv\(\).*\n +alice\.send\(.*\n +\.\.\. 50 times in all\n",
        text,
    )
    assert re.search(r"step 52 +select\(\)", text)
    assert "listener.accept() -> alice" in text
    assert len(error.trace) > 150  # which stays as it was


def test_what_only_looks_alike_is_not_folded() -> None:
    def script(net: Scenario) -> None:
        alice = net.client("alice")
        for number in range(20):
            alice.sends(b"%d" % number).expects(b"%d" % number)
        alice.sends(b"ho").expects(b"hi")

    text = str(error_of(echo, script))
    assert "the same" not in text
    assert re.search(r"\.\.\. \d+ earlier", text)


def test_a_row_that_proves_it_is_shown_though_it_lies_far_above() -> None:
    def script(net: Scenario) -> None:
        net.client("bob").sends(b"x")
        alice = net.client("alice").waits(1)
        for number in range(20):
            alice.sends(b"%d" % number).expects(b"%d" % number)

    def handle(_: object, sock: socket.socket) -> None:
        data = sock.recv(9)
        if data != b"x":
            sock.sendall(data)

    def waits(net: Scenario) -> None:
        script(net)
        net.client("carol").waits(2).sends(b"x").expects(b"y")
        alice = net.client("dora").waits(3)
        for number in range(20):
            alice.sends(b"%d" % number).expects(b"%d" % number)

    text = str(error_of(serving(handle), waits, patience=100))
    above, _, below = text.partition(" earlier\n")
    shown = above.rpartition("\n\n")[2]
    assert re.search(r"step \d+ +0 s +listener\.accept\(\) -> carol", shown)
    assert re.search(r"step \d+ +2 s +carol\.recv\(\) -> b'x'", shown)
    assert "carol" not in below.partition("\n\n")[0]


# -- own exceptions ------------------------------------------------------------------------------------------------


class TimesOut(BaseException):
    """As a test runner's."""


@pytest.mark.parametrize("error", [ZeroDivisionError(), TimesOut(), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_of_the_servers_own_is_told_with_the_story_and_the_script(error: BaseException) -> None:
    def handle(_: object, sock: socket.socket) -> None:
        sock.recv(9)
        raise error

    with pytest.raises(type(error)) as caught:
        with Scenario() as net:
            asks(net)
            net.client("bob").closes()
            net.run(serving(handle))
    (note,) = getattr(caught.value, "__notes__", [])
    assert note.startswith("In the scenario, the server did last:\n")
    assert "alice.recv()" in note
    assert "the script of alice, met until >>:" in note
    assert re.search(r">>  expects b'84'", note)
    error.__traceback__ = None


def test_an_exception_that_leaves_the_block_without_run_gets_the_story() -> None:
    with pytest.raises(TimesOut) as caught:
        with Scenario() as net, net.installed():
            asks(net)
            with socket.create_server(("", PORT)) as listener:
                listener.accept()[0].recv(9)
                raise TimesOut
    assert "the script of alice" in "".join(getattr(caught.value, "__notes__", []))


def test_a_call_that_is_refused_to_the_test_gets_no_story() -> None:
    with pytest.raises(RuntimeError) as caught:
        with Scenario() as net:
            net.client("alice").closes()
            net.run(echo)
            net.client("bob")
    assert not hasattr(caught.value, "__notes__")


def test_a_program_that_is_ended_as_it_should_gets_no_story() -> None:
    seen: list[BaseException] = []

    def serve() -> None:
        try:
            echo()
        except BaseException as error:
            seen.append(error)
            raise

    with Scenario() as net:
        net.client("alice").closes()
        net.interrupts()
        net.run(serve)
    assert [type(error) for error in seen] == [KeyboardInterrupt]
    assert not hasattr(seen[0], "__notes__")


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="tracebacks show notes")
def test_where_tracebacks_show_no_notes_a_warning_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pytest")

    def handle(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.warns(UserWarning, match="besides ZeroDivisionError: In the scenario, the server did last"):
        with pytest.raises(ZeroDivisionError):
            with Scenario() as net:
                asks(net)
                net.run(serving(handle))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups of exceptions")
@pytest.mark.parametrize(("tasks", "beside"), [(1, ""), (3, " (and 2 more in its group)")])
def test_of_a_group_of_exceptions_what_is_in_it_is_told(tasks: int, beside: str) -> None:
    async def fails() -> None:
        raise ValueError("told by a task")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        groups: Any = asyncio  # Any: of Python 3.11
        async with groups.TaskGroup() as group:
            for _ in range(tasks):
                group.create_task(fails())

    async def main() -> None:
        async with await asyncio.start_server(handle, "127.0.0.1", 8888) as server:
            await server.serve_forever()

    with pytest.raises(ScenarioError) as caught, Scenario() as net:
        net.client("alice").sends(b"x\n").expects(b"y").closes()
        net.run(main)
    assert f"ValueError: told by a task{beside}" in " ".join(str(caught.value).split())


# -- values ------------------------------------------------------------------------------------------------------------


class Unshowable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


def test_what_is_to_be_shown_may_be_of_any_kind_and_size() -> None:
    assert value_text(Unshowable()) == "<Unshowable, whose repr() raises ZeroDivisionError>"
    assert number_text(10**400) == "more than 1e308"
    assert number_text(0.5) == "0.5"
    assert several(["a", "b", "c"], 2) == "a, b, c"  # to say that there is one more takes as long
    assert several(["a", "b", "c", "d"], 2) == "a, b and 2 more"


def test_an_exception_that_was_never_raised_has_no_place() -> None:
    assert reason_text(reason(ValueError("4x"))) == "ValueError: 4x"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups")
def test_groups_in_groups_are_looked_into_so_far_and_no_further() -> None:
    error: Any = ValueError("4x")
    for _ in range(2 * NESTED):
        error = vars(builtins)["ExceptionGroup"]("several", [error])
    assert reason(error).kind == "ExceptionGroup"
    assert reason(error.exceptions[0]).message.startswith("several")


# -- over real sockets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["simulated", "loopback"])
def test_the_script_of_a_client_is_named_by_where_it_was_written(network: str) -> None:
    def script(net: Scenario) -> None:
        net.client("alice").sends(b"no number\n").closes()

    def serve() -> None:
        with socketserver.TCPServer(("127.0.0.1", 0), Doubles) as server:
            server.serve_forever()

    error = error_of(serve, script, network=network)
    assert "unhandled-exception" == error.rule
    assert re.search(rf"\n  alice: +\S*{line_of(script, 'no number')}", str(error))

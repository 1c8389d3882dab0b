"""What dies of an exception of which only a log tells: tasks, callbacks, handlers. And what is no such thing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import socketserver
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from mockselector import Closes, Resets, Scenario, ScenarioError, Sends, Waits
from scenario_servers import PORT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from mockselector import Step

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def own_garbage() -> Iterator[None]:
    """What a test leaves behind is its own."""
    yield
    KEPT.clear()
    gc.collect()


KEPT: list[object] = []
"""What a program keeps for ever."""


async def streams(handler: Handler) -> None:
    async with await asyncio.start_server(handler, "127.0.0.1", PORT) as server:
        await server.serve_forever()


async def doubled(line: bytes) -> bytes:
    return b"%d\n" % (2 * int(line))


async def doubles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(await doubled(line))
    writer.close()


async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def drops_a_task(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    task = asyncio.ensure_future(doubled(await reader.readline()))
    await asyncio.sleep(1)
    del task
    await echoes(reader, writer)


async def keeps_a_task(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    KEPT.append(asyncio.ensure_future(doubled(await reader.readline())))
    await echoes(reader, writer)


async def calls_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = await reader.readline()
    asyncio.get_running_loop().call_soon(lambda: int(line))
    await echoes(reader, writer)


class Doubles(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"%d\n" % (2 * int(data)))


async def protocols() -> None:
    server = await asyncio.get_running_loop().create_server(Doubles, "127.0.0.1", PORT)
    await server.serve_forever()


class DoublesInTurn(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(b"%d\n" % (2 * int(line)))


class Server(socketserver.TCPServer):
    allow_reuse_address = True


def in_turn(server: type[socketserver.TCPServer] = Server, handler: Any = DoublesInTurn) -> None:
    with server(("", PORT), handler) as serving:
        serving.serve_forever()


def asks(net: Scenario) -> None:
    net.client("alice").sends(b"4x\n").waits(5).closes()


def found(*run: Any, script: Callable[[Scenario], object] = asks, **options: Any) -> ScenarioError:
    with pytest.raises(ScenarioError) as caught:
        with Scenario(**options) as net:
            script(net)
            net.run(*run)
    return caught.value


# -- what is found -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "run", "function"),
    [
        pytest.param("the handler of alice", (in_turn,), "handle", id="socketserver"),
        pytest.param("the protocol of alice", (protocols,), "data_received", id="a protocol"),
        pytest.param("a callback", (streams, calls_back), "<lambda>", id="a callback"),
        pytest.param("doubled()", (streams, drops_a_task), "doubled", id="a task that nobody has kept"),
        pytest.param("doubled()", (streams, keeps_a_task), "doubled", id="a task that somebody keeps"),
        pytest.param(
            "the handler of alice" if sys.version_info >= (3, 11) else "doubles()", (streams, doubles), "doubled",
            id="a handler of streams",
        ),
    ],
)  # fmt: skip
def test_what_has_died_is_found(who: str, run: tuple[Any, ...], function: str) -> None:
    error = found(*run)
    assert "unhandled-exception" == error.rule
    headline, lines = str(error).split("\n\n")[:2]
    assert headline.startswith(f"[unhandled-exception] {who} has died of ValueError: invalid literal for int()")
    assert "test_unhandled.py" in lines.splitlines()[0]
    assert f"in {function}" in lines.splitlines()[-1]
    assert lines.splitlines()[-1].startswith("  raised")


def test_it_is_found_over_real_sockets_as_well() -> None:
    assert "unhandled-exception" == found(streams, doubles, network="loopback").rule
    assert "unhandled-exception" == found(in_turn, network="loopback").rule


def test_the_users_own_lines_are_shown_and_no_librarys() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.wait_for(doubled(await reader.readline()), 5)

    lines = str(found(streams, handler)).split("\n\n")[1]
    assert ["through", "raised"] == [line.split()[0] for line in lines.splitlines()]
    assert "asyncio" not in lines.replace("await asyncio.wait_for(", "")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups")
def test_of_a_group_of_exceptions_the_first_is_told() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        groups: Any = asyncio  # Any: of Python 3.11
        async with groups.TaskGroup() as group:
            group.create_task(doubled(b"x"))
            group.create_task(doubled(b"y"))

    text = str(found(streams, handler))
    assert "has died of ValueError: invalid literal for int() with base 10: b'x' (and 1 more in its group)" in text
    assert "raised" in text


def test_a_name_that_a_task_was_given_is_shown() -> None:
    async def main() -> None:
        KEPT.append(asyncio.create_task(doubled(b"x"), name="nightly"))
        await streams(echoes)

    error = found(main, script=lambda net: net.client().waits(1).closes())
    assert "] nightly: doubled() has died of ValueError" in str(error)


def test_the_cause_comes_before_a_peer_that_waits_in_vain_for_it() -> None:
    error = found(streams, keeps_a_task, script=lambda net: net.client("alice").sends(b"4x\n").expects(b"84\n"))
    assert "unhandled-exception" == error.rule
    assert "alice waits in vain for b'84\\n', and the server sleeps." in str(error)
    assert ">>  expects b'84\\n'" in str(error)


def test_what_is_left_over_is_named_beside_it() -> None:
    async def leaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        KEPT.extend([asyncio.ensure_future(doubled(await reader.readline())), writer])

    error = found(streams, leaks)
    assert "unhandled-exception" == error.rule
    assert "Also:\n    [leaked-connection] alice" in str(error)


def test_it_ends_the_run_at_the_next_select() -> None:
    seen: list[str] = []
    error = found(
        in_turn,
        script=lambda net: net.client("alice").sends(b"4x\n").waits(1).does(lambda: seen.append("alice")).closes(),
    )
    assert "unhandled-exception" == error.rule
    assert [] == seen


def test_it_comes_out_of_a_program_that_returns_before_the_next_select() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "by hand", "exception": ValueError("no")})
        return "done"

    assert "] a callback has died of ValueError: no, and only" in str(found(main, script=lambda net: None))


def test_an_exception_of_the_programs_own_comes_out_with_it_as_a_note() -> None:
    async def main() -> NoReturn:
        asyncio.get_running_loop().call_exception_handler({"message": "by hand", "exception": ValueError("no")})
        raise LookupError("its own")

    with pytest.raises(LookupError, match="its own") as caught:
        with Scenario() as net:
            net.run(main)
    assert "[unhandled-exception]" in "".join(caught.value.__notes__)  # type: ignore[attr-defined,unused-ignore]


def test_what_had_died_before_the_end_is_found_if_nobody_asks_while_it_cleans_up() -> None:
    async def main(*, asks: bool) -> None:
        task = asyncio.create_task(doubled(b"x"))
        try:
            await streams(echoes)
        finally:
            if asks:
                with contextlib.suppress(ValueError):
                    await task

    def script(net: Scenario) -> None:
        net.client("alice").sends(b"hi\n").expects(b"hi\n").closes()

    assert "unhandled-exception" == found(lambda: asyncio.run(main(asks=False)), script=script).rule
    with Scenario() as net:
        script(net)
        net.run(lambda: asyncio.run(main(asks=True)))


@pytest.mark.parametrize("allow", [("run", True), ("peer", True), ("other", False)], ids=lambda one: one[0])
def test_it_can_be_allowed_for_the_run_or_for_a_peer(allow: tuple[str, bool]) -> None:
    where, passes = allow
    rules: Any = {"unhandled-exception"}
    with contextlib.nullcontext() if passes else pytest.raises(ScenarioError, match="unhandled-exception"):
        with Scenario(allow=rules if where == "run" else ()) as net:
            net.client("alice", allow=rules if where == "peer" else ()).sends(b"4x\n").expects_eof()
            net.client("bob", allow=rules if where == "other" else ()).closes()
            net.run(in_turn)


# -- what is none ------------------------------------------------------------------------------------


def test_a_program_that_deals_with_it_is_right() -> None:
    seen: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: seen.append(str(context["exception"])))
        await streams(drops_a_task)

    with Scenario() as net:
        asks(net)
        net.run(main)
    assert ["invalid literal for int() with base 10: b'4x\\n'"] == seen


def test_a_loop_that_deals_with_it_is_right() -> None:
    class Loop(asyncio.SelectorEventLoop):
        def default_exception_handler(self, context: dict[str, Any]) -> None:
            seen.append(context)

    def main() -> None:
        run_on(Loop, streams(drops_a_task))

    seen: list[object] = []
    with Scenario() as net:
        asks(net)
        net.run(main)
    assert 1 == len(seen)


def run_on(make: Any, main: Any) -> None:
    loop = make()
    try:
        loop.run_until_complete(main)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@pytest.mark.parametrize("tells", [False, True])
def test_a_server_that_deals_with_it_is_right(tells: bool, capsys: pytest.CaptureFixture[str]) -> None:
    class Deals(Server):
        def handle_error(self, request: Any, client_address: Any) -> None:
            seen.append(sys.exc_info()[0])

            if tells:
                super().handle_error(request, client_address)

    seen: list[object] = []
    with Scenario() as net:
        net.client("alice").sends(b"4x\n").expects_eof()
        net.run(in_turn, Deals)
    assert [ValueError] == seen
    assert ("4x" in capsys.readouterr().err) == tells


async def reads_exactly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer):
        await reader.readexactly(100)


async def reads_until(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer):
        await reader.readuntil(b"\0")


async def writes_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer):
        while True:
            await asyncio.sleep(1)
            writer.write(b"tick\n")
            await writer.drain()


async def is_impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer):
        await asyncio.wait_for(reader.read(100), 2)
        await asyncio.wait_for(reader.read(100), 2)


async def wraps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer):
        try:
            await reader.readexactly(100)
        except OSError as error:
            raise LookupError("the line is dead") from error
        except EOFError as error:
            raise LookupError("the line is at its end") from error


@pytest.mark.parametrize("handler", [reads_exactly, reads_until, writes_on, is_impatient, wraps])
@pytest.mark.parametrize("leaves", [Resets(), Closes(), Waits(10)], ids=str)
def test_that_a_client_has_gone_is_no_finding(handler: Handler, leaves: Step) -> None:
    with Scenario(allow={"unread-data"}) as net:
        net.client("alice", [Sends(b"4x\n"), Waits(1), leaves, *[Resets()] * isinstance(leaves, Waits)])
        net.run(streams, handler)


def test_nor_is_it_in_a_handler_of_socketserver() -> None:
    class Reads(socketserver.StreamRequestHandler):
        timeout = 5

        def handle(self) -> None:
            self.rfile.read(100)
            self.wfile.write(b"?")

    with Scenario() as net:
        net.client("alice").sends(b"x").resets()
        net.client("bob").sends(b"x").waits(10).closes()
        net.run(in_turn, Server, Reads)


def test_that_a_backend_refuses_is_one() -> None:
    async def proxies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.open_connection("db", 5432)

    def script(net: Scenario) -> None:
        asks(net)
        net.backend(("db", 5432), refuses=True)

    error = found(streams, proxies, script=script)
    assert "unhandled-exception" == error.rule
    assert "ConnectionRefusedError" in str(error)


def test_what_a_program_asks_for_later_is_no_finding() -> None:
    async def main() -> None:
        task = asyncio.create_task(doubled(b"x"))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(streams(echoes), 3)
        assert isinstance(task.exception(), ValueError)

    with Scenario(allow={"unmet-expectation"}) as net:
        net.client("alice").sends(b"hi\n").expects(b"hi\n").waits(100).closes()
        net.run(main)


def test_what_dies_of_the_end_of_the_run_is_no_finding() -> None:
    async def ticks() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            raise RuntimeError("in a hurry")

    async def main() -> None:
        KEPT.append(asyncio.create_task(ticks()))
        await streams(echoes)

    with Scenario() as net:
        net.client("alice").sends(b"hi\n").expects(b"hi\n").closes()
        net.run(main)


def test_what_the_program_cancels_is_no_finding() -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(10))
        asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.sleep(1)

    with Scenario() as net:
        net.run(main)


def test_a_wrong_answer_is_told_as_that() -> None:
    with pytest.raises(ScenarioError, match=r"\A\[unexpected-send\]"):
        with Scenario() as net:
            net.client("alice").sends(b"4\n").expects(b"9\n")
            net.run(streams, doubles)


def test_what_is_not_simulated_is_told_as_that() -> None:
    async def sends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 1))

    with pytest.raises(NotImplementedError):
        with Scenario() as net:
            asks(net)
            net.run(streams, sends)

"""Scenarios of asyncio: its streams against real loopback, its time against async-solipsism."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterator
from functools import partial
from time import process_time
from typing import Any

from contestants import MESSAGE
from mockselector import Scenario
from table import Bar, Row, Turn, compared, in_turn, time_text

# -- what they do ---------------------------------------------------------------------------


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1024):
        writer.write(data)
        await writer.drain()
    writer.close()


async def server() -> None:
    async with await asyncio.start_server(answer, "127.0.0.1", 8888) as listening:
        await listening.serve_forever()


async def both_ends(trips: int) -> None:
    """The server, and a client that makes so many round trips."""
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        for _ in range(trips):
            writer.write(MESSAGE)
            await writer.drain()
            assert await reader.readexactly(len(MESSAGE)) == MESSAGE
        writer.close()
        await writer.wait_closed()


def simulated(trips: int) -> float:
    """Seconds per round trip of both ends in a scenario."""
    start = process_time()
    with Scenario() as net:
        net.run(both_ends, trips)
    return (process_time() - start) / trips


def scripted(trips: int) -> float:
    """Seconds per round trip of the server, with a peer of the scenario; making the script counts."""
    start = process_time()
    with Scenario() as net:
        client = net.client()
        for _ in range(trips):
            client.sends(MESSAGE).expects(MESSAGE)
        client.closes()
        net.run(server)
    return (process_time() - start) / trips


def real(trips: int) -> float:
    """Seconds per round trip of both ends over loopback."""
    start = process_time()
    asyncio.run(both_ends(trips))
    return (process_time() - start) / trips


async def sleep(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(1)


def asleep(times: int) -> float:
    """Seconds per sleep in a scenario."""
    start = process_time()
    with Scenario(patience=times + 1) as net:
        net.run(sleep, times)
    return (process_time() - start) / times


def asleep_elsewhere(make_loop: Callable[[], asyncio.AbstractEventLoop], times: int) -> float:
    """Seconds per sleep on an event loop with a virtual time of its own."""
    start = process_time()
    loop = make_loop()
    loop.run_until_complete(sleep(times))
    loop.close()
    return (process_time() - start) / times


# -- the rows -------------------------------------------------------------------------------


def stream_rows(quick: bool) -> Iterator[Row]:
    """A round trip over streams."""
    rounds, trips = (2, 500) if quick else (11, 2000)
    contestants = {"both ends": simulated, "server": scripted, "real": real}
    seen = in_turn({name: partial(turn, trips) for name, turn in contestants.items()}, rounds)
    yield Row("a round trip of asyncio over loopback", time_text(seen["real"]))
    ours = (("both ends in a scenario", "both ends", 1.2), ("the server, with a scripted peer", "server", 1.0))
    for what, name, most in ours:
        yield compared(f"  {what}", time_text(seen[name]), seen[name], seen["real"], Bar("at most", most))


def sleep_rows(quick: bool) -> Iterator[Row]:
    """A sleep of one second, one after the other."""
    rounds, times = (2, 5000) if quick else (7, 100_000)
    turns: dict[str, Turn] = {"ours": partial(asleep, times)}
    bar = Bar("at most", 1.0)
    try:
        solipsism: Any = importlib.import_module("async_solipsism")  # Any: not there for the type checkers
    except ImportError:
        pass
    else:
        turns["solipsism"] = partial(asleep_elsewhere, solipsism.EventLoop, times)
    seen = in_turn(turns, rounds)
    yield Row("asyncio.sleep(1) in a scenario", time_text(seen["ours"]))
    what = "  against async-solipsism"
    if "solipsism" in seen:
        yield compared(what, time_text(seen["solipsism"]), seen["ours"], seen["solipsism"], bar)
    else:
        yield Row(what, "n/a", "(it is not installed)", str(bar))

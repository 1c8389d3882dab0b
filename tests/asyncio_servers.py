"""A small server on asyncio's streams, for the tests of event loops and of how their runs end."""

from __future__ import annotations

import asyncio
import contextlib

from scenario_servers import PORT


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each line in capitals."""
    try:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
    finally:
        writer.close()


async def serve() -> None:
    """Serve for ever."""
    async with await asyncio.start_server(answer, "localhost", PORT) as server:
        await server.serve_forever()

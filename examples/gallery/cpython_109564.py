"""CPython 3.10 to 3.13: who connects while an asyncio server closes is dropped by an AssertionError.

python:  3.10 3.11 3.12 3.13
address: https://github.com/python/cpython/issues/109564

Between `accept()` and the making of a transport lie turns of the loop; a `close()` of the server in one of them trips
an assert. The report has a client that connects and closes without end, to meet the moment; others could not bring it
about on Linux. Here it is the first connection, in every run. (Outside of asyncio's debug mode not even a log tells.)

    [unhandled-exception] the protocol has died of AssertionError, and only asyncio's log tells of it
      raised  asyncio/base_events.py:...  in _attach  assert self._sockets is not None
"""

import asyncio

from mockselector import Scenario


async def hang_up(reader, writer):
    writer.close()


async def main():
    server = await asyncio.start_server(hang_up, "127.0.0.1", 4445)
    await asyncio.sleep(0)
    server.close()
    await server.wait_closed()


with Scenario() as net:
    net.client("alice").expects_eof()
    net.run(lambda: asyncio.run(main(), debug=True))

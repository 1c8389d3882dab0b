"""CPython 3.12 and 3.13: Ctrl-C does not end an asyncio server as long as a client is connected.

python:  3.12 3.13
silent:  3.10
address: https://github.com/python/cpython/issues/123720

Since 3.12 a server that is left waits for its connections to end, and nobody tells those: the handler reads on. In
production a service does not stop at SIGINT while a single client is idle, and is killed when the patience of its
supervisor is at its end.

    [stuck] alice waits in vain for the end of the connection, and the server sleeps
      echo() of alice  examples/gallery/cpython_123720.py:22  in echo  while data := await reader.read(100):
      main()  examples/gallery/cpython_123720.py:28  in main  await server.serve_forever()
"""

import asyncio

from mockselector import Scenario


async def echo(reader, writer):
    while data := await reader.read(100):
        writer.write(data)


async def main():
    async with await asyncio.start_server(echo, "127.0.0.1", 8888) as server:
        await server.serve_forever()


with Scenario() as net:
    net.client("alice").sends(b"hi").expects(b"hi").expects_eof()
    net.interrupts(at=10)
    net.run(lambda: asyncio.run(main()))

"""aiohttp 3.11.11: a client that says at once that it will send no more gets no answer.

package: aiohttp==3.11.11
python:  3.10 3.11 3.12 3.13
address: https://github.com/aio-libs/aiohttp/issues/3659

A half-close (`shutdown(SHUT_WR)`) behind a request is the end of what the client says, not of what it hears. aiohttp
takes it for both, and closes while the handler is at work. Whoever talks to it by `nc -N`, or through a proxy that does
so, finds the connection closed without a word; a handler that answers at once hides it.

    [unmet-expectation] alice expects ... but the server has closed the connection
      RequestHandler._handle_request()  examples/gallery/aiohttp_3659.py:23  in page      await asyncio.sleep(1)
"""

import asyncio

from aiohttp import web

from mockselector import Scenario


async def page(request):
    await asyncio.sleep(1)
    return web.Response(text="hi")


def serve():
    app = web.Application()
    app.add_routes([web.get("/", page)])
    web.run_app(app, host="127.0.0.1", port=8080, print=None)


with Scenario() as net:
    alice = net.client("alice").sends(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").shuts_down()
    alice.expects(lambda head: b" 200 OK" in head, until=b"\r\n\r\n").expects(b"hi").expects_eof()
    net.run(serve)

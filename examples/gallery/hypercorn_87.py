"""hypercorn 0.14.3: an application is not told that its client has left, and the connection stays open.

package: hypercorn==0.14.3 h11==0.14.0 wsproto==1.2.0
mended:  hypercorn==0.14.4 h11==0.14.0 wsproto==1.2.0
python:  3.12 3.13
address: https://github.com/pgjones/hypercorn/pull/87

Whoever streams waits for `http.disconnect`, to stop. hypercorn sends it after an error, but not at the end of a
connection that its client has closed in good order. In production such connections pile up in CLOSE_WAIT, until there
are no descriptors left. (On Python 3.10 and 3.11 hypercorn's shutdown, with which the run ends, still closes it.)

    [leaked-connection] alice came to its end and was never closed
"""

import asyncio

from hypercorn.asyncio import serve
from hypercorn.config import Config

from mockselector import Scenario

listening = []


async def app(scope, receive, send):
    if scope["type"] == "http":
        listening.append(asyncio.current_task())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"welcome", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        listening.remove(asyncio.current_task())


with Scenario() as net:
    alice = net.client("alice").sends(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    alice.expects(lambda answer: b"200" in answer, until=b"welcome").closes()
    net.run(serve, app, Config())

"""uvicorn 0.27.0: the timer for idle connections goes off while a request is worked on.

package: uvicorn==0.27.0 h11==0.14.0
mended:  uvicorn==0.27.1 h11==0.14.0
python:  3.10 3.11 3.12 3.13
address: https://github.com/encode/uvicorn/pull/2243

A client sends two requests at once. With the answer to the first one uvicorn starts its timer, though the second one is
at work already; if that takes longer than `timeout_keep_alive`, its answer is lost. In production that is a stray
LocalProtocolError in the log, and a client without an answer, now and then: the first report (#1637) was closed, as
nobody could bring it about.

    [unhandled-exception] a callback has died of LocalProtocolError: can't handle event type ConnectionClosed when...
      raised  h11/_state.py:311  in _fire_event_triggered_transitions  raise LocalProtocolError(
"""

import asyncio

import uvicorn

from mockselector import Scenario


async def app(scope, receive, send):
    await asyncio.sleep(10 if scope["path"] == "/slow" else 0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


with Scenario() as net:
    alice = net.client("alice")
    alice.sends(b"GET / HTTP/1.1\r\nHost: here\r\n\r\nGET /slow HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    alice.expects(lambda answers: answers.count(b"200 OK") == 2, until="eof")
    net.run(lambda: uvicorn.run(app, http="h11", loop="asyncio", lifespan="off", timeout_keep_alive=5))

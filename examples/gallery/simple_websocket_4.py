"""simple-websocket 0.3.0: a thread spins at 100 % when its client is gone.

package: simple-websocket==0.3.0 wsproto==1.2.0 werkzeug==2.2.3
mended:  simple-websocket==0.4.0 wsproto==1.2.0 werkzeug==2.2.3
python:  3.10 3.11 3.12 3.13
address: https://github.com/miguelgrinberg/simple-websocket/issues/4

A browser that is killed says no goodbye in the protocol: its connection just ends. The thread that reads takes the
empty bytes for nothing special, and reads on. In production each such client costs a core until the server is started
anew.

    [busy-loop] recv() on alice was tried 1000 times in a row in vain, without going back to select()
    > ... alice.recv() -> b''  simple_websocket/ws.py:110
"""

import simple_websocket
import werkzeug
from werkzeug.serving import run_simple

from mockselector import Scenario

HELLO = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@werkzeug.Request.application
def echo(request):
    socket = simple_websocket.Server(request.environ)
    try:
        while True:
            socket.send(socket.receive())
    except simple_websocket.ConnectionClosed:
        return werkzeug.Response()


with Scenario() as net:
    alice = net.client("alice").sends(HELLO).expects(lambda head: b" 101 " in head, until=b"\r\n\r\n")
    alice.sends(b"\x81\x82\0\0\0\0hi").expects(b"\x81\x02hi").closes()
    net.run(run_simple, "127.0.0.1", 8000, echo, threaded=True)

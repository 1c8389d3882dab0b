r"""websocket-client 1.2.2: an application connects, and never hears a message.

package: websocket-client==1.2.2
mended:  websocket-client==1.2.3
python:  3.10 3.11 3.12 3.13
address: https://github.com/websocket-client/websocket-client/issues/769

A method had been taken out that `run_forever()` still calls, on every connection. It catches the AttributeError, gives
it to `on_error`, closes and returns: a program that has no such callback ends in silence.

    [unmet-expectation] example.org has b'\x81\x02hi' to send, but the program has returned after AttributeError
      example.org.close() was called while the program handled AttributeError: 'Dispatcher' object has
      no attribute 'read' (websocket/_app.py:342 in run_forever).
      closed     websocket/_core.py:520    in shutdown  self.sock.close()
"""

import base64
import hashlib

import websocket

from mockselector import Scenario

HEAD = b"HTTP/1.1 101 Hello\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "


def shake_hands(request):
    key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    server.sends(HEAD + accept + b"\r\n\r\n").waits(10).sends(b"\x81\x02hi").closes()
    return True


heard = []
with Scenario() as net:
    server = net.backend(("example.org", 80)).expects(shake_hands, until=b"\r\n\r\n")
    app = websocket.WebSocketApp("ws://example.org/", on_message=lambda app, text: heard.append(text))
    net.run(app.run_forever)
assert heard == ["hi"]

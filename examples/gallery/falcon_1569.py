"""falcon 2.0.0: a handler that reads the whole body waits until the client hangs up.

package: falcon==2.0.0
python:  3.10 3.11 3.12
address: https://github.com/falconry/falcon/issues/1569

Up to 1.4 falcon put a stream of its own, which ends with the request, before that of wsgiref; 2.0 hands out the
server's. A handler with `request.stream.read()` then hangs with each client that waits for its answer, and with it the
whole server. It is meant to be so: `request.bounded_stream` is the one that ends.

    [read-without-data] alice was read with nothing there, and the read blocks
      read  examples/gallery/falcon_1569.py:24  in on_post  response.body = f"{len(request.stream.read())} bytes"
"""

from wsgiref.simple_server import make_server

import falcon

from mockselector import Scenario


class Page:
    def on_post(self, request, response):
        response.body = f"{len(request.stream.read())} bytes"


def serve():
    app = falcon.API()
    app.add_route("/", Page())
    make_server("127.0.0.1", 8000, app).serve_forever()


with Scenario() as net:
    alice = net.client("alice").sends(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\nhi")
    alice.expects(lambda answer: answer.endswith(b"2 bytes"), until="eof")
    net.run(serve)

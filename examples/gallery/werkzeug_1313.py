"""werkzeug 2.2.3: an upload is reset, if the application answers without having read it.

package: werkzeug==2.2.3
mended:  werkzeug==2.3.0
python:  3.10 3.11 3.12 3.13
address: https://github.com/pallets/werkzeug/issues/1313

The answer is sent, and the connection closed with the rest of the request unread: for TCP that is a reset, which can
overtake the answer. With small requests it goes well. With larger ones it depends on timing, so that the report speaks
of 500 KB and of errors that come and go.

    [unmet-expectation] alice has b'...'... (... bytes) to send, but the server has closed the connection with unread...
      closed         socketserver.py:...  in close_request       request.close()
"""

from werkzeug import Request, Response
from werkzeug.serving import run_simple

from mockselector import Scenario


@Request.application
def app(request):
    return Response("look there", status=302, headers={"Location": "/there"})


with Scenario() as net:
    alice = net.client("alice").sends(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 500000\r\n\r\n")
    alice.sends(bytes(500_000)).expects(lambda answer: b" 302 " in answer, until=b"look there").closes()
    net.run(run_simple, "127.0.0.1", 8000, app)

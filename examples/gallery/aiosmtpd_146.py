"""aiosmtpd 1.4.6: a message that takes more than five minutes is cut off, though its client never was idle.

package: aiosmtpd==1.4.6
python:  3.10 3.11 3.12 3.13
address: https://github.com/aio-libs/aiosmtpd/pull/146

The timer that this change brought in is for clients who send nothing. It is started anew by each command, but not by
the lines of a message: a large one over a slow line is cut off in its middle, however often its client tries. (No
report of it is known to us.)

    [unmet-expectation] alice has b'...'... (1002 bytes) to send, but the server has closed the connection
      ... 15 times in all, until 300 s
      ... alice.close()  asyncio/selector_events.py:...
"""

import asyncio

from aiosmtpd.smtp import SMTP

from mockselector import Scenario


class Mailbox:
    async def handle_DATA(self, server, session, envelope):
        return "250 taken"


async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Mailbox(), hostname="here"), "127.0.0.1", 2525)
    await server.serve_forever()


with Scenario() as net:
    alice = net.client("alice").expects(lambda answer: answer[:3] == b"220", until=b"\r\n")
    for command in b"HELO there", b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@example.org>", b"DATA":
        alice.sends(command + b"\r\n").expects(lambda answer: answer[:1] in b"23", until=b"\r\n")
    for _ in range(20):
        alice.sends(bytes(500).hex().encode() + b"\r\n").waits(20)
    alice.sends(b".\r\n").expects(b"250 taken\r\n").closes()
    net.run(serve)

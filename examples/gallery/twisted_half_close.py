r"""Twisted 24.11.0: what is still to be sent is thrown away, when the client says that it will send no more.

package: twisted==24.11.0
python:  3.10 3.11 3.12 3.13
address: https://github.com/evgeni/bley/issues/5

A protocol that is no `IHalfCloseableProtocol` loses its connection with the last word of its client, and all that was
written to it and not yet taken. It is meant to be so; the report is one of a program's author who had not known. Small
answers are out before, and hide it.

    [unexpected-send] alice was sent b'', for which <lambda>() returned False, and not something true
      alice.recv() -> b'the whole book\n'  twisted/internet/tcp.py:...
      alice.shutdown(write)  twisted/internet/tcp.py:...
"""

from twisted.internet import protocol, selectreactor

from mockselector import Scenario


class Library(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(bytes(1_000_000))


def serve():
    reactor = selectreactor.SelectReactor()
    reactor.listenTCP(8000, protocol.Factory.forProtocol(Library))
    reactor.run()


with Scenario() as net:
    alice = net.client("alice").sends(b"the whole book\n").shuts_down()
    alice.expects(lambda book: len(book) == 1_000_000, until="eof")
    net.run(serve)

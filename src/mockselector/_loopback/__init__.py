"""The same peers over real sockets: at the other end of the system's loopback.

In reading order; a file imports only from those above it:

    wire.py    a peer's end of a connection over the real loopback
    sockets.py a real socket of the server, whose waiting is the world's
    polls.py   a real poll or epoll object of the server, likewise
    tls.py     SSLSocket over such a socket, with OpenSSL in memory
    stack.py   what carries the connections of a world: real sockets, in virtual time
"""

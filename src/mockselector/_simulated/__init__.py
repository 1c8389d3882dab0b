"""What a program holds in a scenario: sockets and selectors over the simulated network.

In reading order; a file imports only from those above it:

    waiting.py    a socket's state, its steps, and how its calls wait
    reading.py    what a read finds (which error, or the end, `_kernel/streams.py` says)
    writing.py    what a send comes to
    connecting.py what connect() comes to
    sockets.py    SimSocket, all of that; and what stands in for socket.socket
    files.py      what is sent of a file past its socket
    tls.py        SSLSocket over SimSocket, with OpenSSL in memory
    selectors.py  what all selectors have in common: registration, events
    kinds.py      one class for each of the standard library's, as its kernel has it
    below.py      what is below poll and epoll objects and select(): a selector for each
    polls.py      these objects and that call, as a program has them
"""

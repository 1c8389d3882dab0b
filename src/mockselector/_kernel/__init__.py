"""What a kernel knows of sockets: no socket class, no peer, no time of its own.

In reading order; a file imports only from those above it:

    addresses.py   families, numbers of hosts, and which of them mean the same place
    options.py     which socket options there are, and what each is at first
    bits.py        what poll() and epoll say of a socket, bit by bit
    tls.py         TLS on a connection: where records end, and what they take of a buffer
    streams.py     the two ends of a connection: what has arrived, how they stand, which error a call gets
    descriptors.py what a number stands for: a socket that listens, connects or is connected; what it still holds in
                   the end: [unread-data], [unaccepted-connection]
    epolls.py      what an epoll object is to the kernel: what it watches, and what it tells
    network.py     numbers, listeners, addresses and host names of one scenario
"""

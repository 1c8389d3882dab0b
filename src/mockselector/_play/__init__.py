"""Who acts when: peers and their steps, time, and the world around a server.

In reading order; a file imports only from those above it:

    clock.py        virtual time
    steps.py        what a peer does: frozen steps, and their fluent builder
    kept_waiting.py who else waits while the server waits for one peer
    netstat.py      the sockets of a scenario as a table
    peers.py        a peer at play: what each step does, and what is compared
    world.py        who acts when, how time goes on, how a run ends
"""

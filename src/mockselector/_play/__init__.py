"""Who acts when: peers and their steps, time, and the world around a server.

In reading order; a file imports only from those above it:

    clock.py        virtual time
    steps.py        what a peer does: frozen steps, and their fluent builder
    kept_waiting.py who else waits while the server waits for one peer
    netstat.py      the sockets of a scenario as a table
    peers.py        a peer at play: what each step does, and what is compared
    turns.py        which peers can act now, and when others will
    dialling.py     who connects to whom, and who waits for that
    dropped.py      when garbage is collected, and the sockets in it are closed
    outcome.py      what has become of the peers, and what is to be said of it
    spinning.py     a server that never waits, and how it sees time pass
    world.py        how a run goes on, and how it ends
"""

"""Who acts when: peers and their steps, time, and who goes on when.

In reading order; a file imports only from those above it:

    clock.py        virtual time
    steps.py        what a peer may do: frozen steps
    script.py       the steps of one peer, and where each was written
    reading.py      what a peer reads, how fast, and when it acts next
    expecting.py    what must come next, and what is said where something else does
    generators.py   the generators of the test that a peer plays
    tls.py          a peer's end of a connection that speaks TLS
    taking.py       what each step means, one row a step
    player.py       a peer at play: where a step begins and ends: [unexpected-send], [unmet-expectation] meanwhile
    peer.py         Peer: what a test says of one, and sees of it
    kept_waiting.py who else waits while the server waits for one peer
    tables.py       tables that print() shows
    netstat.py      the sockets of a scenario as a table
    log.py          what others than the server have done: steps, decisions, signals
    turns.py        which peers can act now, in which order, and when others will
    dialling.py     who connects to whom, and who waits for that: [unscripted-connection]
    termination.py  when a run is over, and who is asked to stop before
    dropped.py      when garbage is collected, and the sockets in it are closed
    spinning.py     a server that never waits: how it sees time pass, and [busy-loop] in time, virtual and real
"""

"""Who acts when: peers and their steps, time, and the world around a server.

In reading order; a file imports only from those above it:

    clock.py        virtual time
    steps.py        what a peer may do: frozen steps
    script.py       the steps of one peer, and where each was written
    reading.py      what a peer reads, how fast, and when it acts next
    expecting.py    what must come next, and what is said where something else does
    generators.py   the generators of the test that a peer plays
    taking.py       what each step means, one row a step
    player.py       a peer at play: its life, and where a step begins and ends
    peer.py         Peer: what a test says of one, and sees of it
    kept_waiting.py who else waits while the server waits for one peer
    netstat.py      the sockets of a scenario as a table
    world.py        who acts when, how time goes on, how a run ends
"""

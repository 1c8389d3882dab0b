"""Who acts when: peers and their steps, time, and the world around a server.

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
    holdings.py     what the program has: sockets, selectors, tasks, and what each is called
    outcome.py      what has become of the peers: [stuck] (when, `world.py` and `stopping.py` see), [unmet-expectation],
                    [leaked-connection]
    spinning.py     a server that never waits: how it sees time pass, and [busy-loop] in time, virtual and real
    real_signals.py what becomes of signals to the process meanwhile
    strands.py      a thread of the program, as its scenario knows it
    real_waits.py   a thread that waits for a lock from before the scenario
    used_by_two.py  a socket that two threads read, or write, at the same time: [used-by-two]
    switches.py     which thread has written which rows of the trace
    thread_table.py the threads of a scenario as a table
    nobody_comes.py a connection that one thread has left, and no other will come to: then it is judged
    kept_locks.py   a lock that others want, and its holder waits for the network: [lock-held-while-waiting]
    not_woken.py    an event loop that sleeps with something to do, which another thread gave it
    deadlock.py     threads of which none will ever go on: [deadlock] (`threads.py` sees that it is so)
    who_waits.py    which threads wait, what for, and in which order they go on
    under_a_wait.py a socket that is closed while another thread waits for it: [closed-under-a-wait]
    threads.py      the threads of a program: which of them runs, and who goes on
    crew.py         what is asked of a program's threads by who is none of them
    locked.py       a thread that waits for a lock
    stack.py        what carries the connections: the simulated network
    signals.py      which handlers the program has for signals, and what comes of one
    stopping.py     how a program is asked to stop, and how it is ended
    world.py        how a run goes on, and how it ends
"""

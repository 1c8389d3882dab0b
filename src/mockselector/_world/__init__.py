"""The world around a program: all that it has, how it is asked to stop, and how a run goes on and ends.

In reading order; a file imports only from those above it:

    holdings.py     what the program has: sockets, selectors, tasks, and what each is called
    outcome.py      what has become of the peers: [stuck] (when, `world.py` and `stopping.py` see), [unmet-expectation],
                    [leaked-connection]
    stack.py        what carries the connections: the simulated network
    signals.py      which handlers the program has for signals, and what comes of one
    stopping.py     how a program is asked to stop, and how it is ended
    world.py        how a run goes on, and how it ends
"""

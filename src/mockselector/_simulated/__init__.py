"""What a program holds in a scenario: sockets and selectors over the simulated network.

In reading order; a file imports only from those above it:

    sockets.py   a socket: its data is the network's, its waiting the world's
    selectors.py selectors: one class for each of the standard library's
"""

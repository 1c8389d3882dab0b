"""Putting a scenario under code that knows nothing of it.

In reading order; a file imports only from those above it:

    doors.py       what leads out to the real system: sockets, descriptors, processes, signals
    open_blocks.py a real listen() while a scenario's block is open
    stand_ins.py   what takes the place of time, host names, threads and the rest
    installing.py  putting all that in place, and back
"""

"""Putting a scenario under code that knows nothing of it.

In reading order; a file imports only from those above it:

    doors.py       what a door is, and how one is made
    clocks.py      what tells the time, and what sleeps
    dates.py       what tells the date without being given one: `datetime.now()`, `time.localtime()`
    names.py       what asks for hosts
    descriptors.py what takes a descriptor by its number
    processes.py   processes, signals and the machine
    locks.py       what threads wait for each other with
    pools.py       pools of threads
    threads.py     what starts a thread, and what waits for one
    polling.py     selectors, and what they are made of
    guards.py      `socket.socket` and `ssl.SSLSocket` become ours; what a real socket may still do
    event_loop.py  EventLoop: asyncio's, on which a scenario can be entered
    loops.py       event loops, and loggers
    stand_ins.py   the list of all that is replaced, from the files above
    open_blocks.py a real listen() while a scenario's block is open; what may not be around one (gevent, uvloop)
    searching.py   which names of which modules hold something of the list, and what is remembered of that
    installing.py  putting the stand-ins there, and back
"""

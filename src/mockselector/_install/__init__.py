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
    guards.py      what a real socket may still do
    event_loop.py  EventLoop: asyncio's, on which a scenario can be entered
    loops.py       event loops, and loggers
    stand_ins.py   all of these together
    open_blocks.py a real listen() while a scenario's block is open
    searching.py   which names of which modules hold something of that, and what is remembered of it
    installing.py  putting all that in place, and back
"""

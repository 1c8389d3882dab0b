"""The threads of a program: one runs at a time, and goes on when what it waits for is there.

In reading order; a file imports only from those above it:

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
    real_signals.py what becomes of signals to the process meanwhile
    threads.py      the threads of a program: which of them runs, and who goes on
    crew.py         what is asked of a program's threads by who is none of them
    locked.py       a thread that waits for a lock

None of this is at work, and nothing of it costs anything, as long as a program has but one thread.
"""

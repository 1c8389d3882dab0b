"""How a run comes to its end, and what the interpreter is like after it.

In reading order; a file imports only from those above it:

    frames.py       our frames out of the tracebacks that a test gets
    forcing_out.py  getting out of a server that swallows every exception
    displaced.py    which exception was on its way when another took its place
    ending.py       which exception the server gets at the end of a run, and which one the test
    watchdog.py     real time: a turn of the server that never ends
    thread_state.py what a server that is forced out may leave changed in its thread
    garbage.py      when garbage is collected while a scenario is under a program
"""

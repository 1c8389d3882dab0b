"""What a server does, and what is to be said of it.

In reading order; a file imports only from those above it:

    trace.py    what happened: the record that errors print and tests assert on
    tail.py     the end of a trace as errors show it: folded, with the rows that prove what is said
    reasons.py  which exception was being handled, and the user's own line further up
    standing.py where the tasks of an asyncio program stand
    rules.py    what a server may do: the tables, each rule's texts, and where it is judged (`JUDGED`). Pure data
    errors.py   ScenarioError, and every text that a user reads of it
    catalogue.py a rule as it is told where nothing has broken it
    watching.py which sockets are registered with which selector, and for what
    records.py  what is known of each socket in a run
    witness.py  what is known beside the calls: exceptions being handled, tasks
    holding_up.py what waits by itself within an event loop: [blocking-call]
    unhandled.py a ledger: what has died of an exception, and only a log tells: [unhandled-exception]
    idling.py   a ledger: calls in vain, and wake-ups about which nothing is done: [busy-loop] in the trace
    short_sends.py a ledger: what a short send() has left to be sent: [short-send-lost], and [used-by-two] after one
    left_alone.py a ledger: connections that were accepted, and left by who then slept: [accepted-not-registered]
    sleeping.py a ledger: what is judged when the server goes to sleep: [eof-ignored]; which rule, `at_sleep` says
    leftovers.py the end of a run: [undelivered-event], [unclosed-at-exit]; of a list, [leaked-connection]
    monitor.py  the door: everything a server does in strict mode passes here; [close-before-unregister]
    registering.py a call about registration, for every selector: [event-without-interest]

A rule that is judged by a table (`JUDGED`) is judged as its call passes the door. The rules about who acts when, and
about threads, are judged from `_play` to `_world`; what a script still holds in the end, `_lists` and `_kernel` say.
"""

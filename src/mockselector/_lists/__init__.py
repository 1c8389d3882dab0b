"""The classes of 0.2.3: sockets and a selector that play lists.

In reading order; a file imports only from those above it:

    items.py         what a test puts into its lists, as type checkers have it
    mocks.py         the unittest.mock surface of a socket
    scripted.py      what both kinds of sockets have in common
    mock_socket.py   MockSocket: its script, and what a read may see of it; [unread-data]
    listen_socket.py ListenSocket: its script, of clients; [unaccepted-connection]
    events.py        what an event of a list is, and how it is told
    unseen.py        strict selectors whose result nobody has asked for
    selector.py      MockSelector: when events come, and the end of a run
"""

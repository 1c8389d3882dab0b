"""Timelines: what happened in a run, to be looked at: in a terminal, as a page, as a diagram in a report.

In reading order; a file imports only from those above it:

    conversations.py the bytes of a peer in full, and which step expected them
    story.py        the lanes and lines of a run: what every picture of it shows
    folding.py      batches of lines, and those that repeat
    lanes.py        a run as text for a terminal
    mermaid.py      a run as a sequence diagram's text
    overview.py     a run in one picture, along its time: SVG
    rows.py         the rows of a page's table, with the bytes on demand
    page.py         a page of HTML that needs nothing else: its text, page.css and page.js
    timeline.py     Timeline: what a test has of all that
    scenarios.py    the timeline of a scenario

Reads the trace, the steps of peers and the error; nobody who does not ask for a timeline loads it.
"""

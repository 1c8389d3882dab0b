"""Scenarios for those who write tests: what runs a whole test in one, and what the runners of tests know of that.

In reading order; a file imports only from those above it:

    outside.py      who is connected to, where no script says so
    simulating.py   a test, or several, called in a scenario of which both ends are the program's; what came of it
    cases.py        ScenarioTestCase, simulated: for unittest, and for single tests
    options.py      what may be said of a test's scenario: by a marker, and by default in an ini file
    telling.py      what a runner tells of a test: its reports, and what a scenario adds to them
    fixture.py      the fixture `net`
    pages.py        --mockselector-timeline: a page for each test that has failed, or for each
    protocol.py     tests of pytest, with their fixtures, each in a scenario
    leftovers.py    strict lists of events: what a test has left is judged at its end
    plugin.py       what pytest loads: options, and hooks that call all these

Imports nothing of a scenario before one is asked for: pytest loads the plugin for whoever has it installed.
"""

"""Servers built on `selectors`, and how mockselector judges them.

`python examples` runs all of them. A map, in reading order:

    echo.py, chat.py, web.py, proxy.py, broker.py
                  correct servers; each runs for real, as in `python examples/chat.py 8888`
    test_*.py     conversations with them, as a test with mockselector has them
    servers/      small correct servers, in the styles that people use; each can be run for real
    broken/       servers with one defect each; its line is marked `# BUG`
    scenarios.py  the lists of events that they are run under, and what must come of it
    gallery/      true defects of released packages, each shown by a scenario; `python3 .ci/dev.py gallery` runs them
    entries.py    what the files of the gallery say of themselves
    __main__.py   runs the scenarios and shows the result
"""

"""Servers built on `selectors`, and how mockselector judges them.

`python examples` runs all of them. A map, in reading order:

    servers/      correct servers, in the styles that people use; each can be run for real
    broken/       servers with one defect each; its line is marked `# BUG`
    scenarios.py  what the network does to each of them, and what must come of it
    __main__.py   runs the scenarios and shows the result
"""

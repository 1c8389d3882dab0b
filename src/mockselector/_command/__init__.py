"""The command `mockselector`: what is known of rules, and a scenario that is played from a command line.

In reading order; a file imports only from those above it:

    usage.py     what a command line may have wrong, and how that is told
    paper.py     text to a terminal, coloured where there is one, or to a file: colours
    language.py  the little language in which peers are written
    report.py    what came of a run, as text, as JSON, as annotations of a workflow
    playing.py   `run`: one scenario against a program as it is
    main.py      the verbs, and what each is given

Loaded by `python -m mockselector` and by nobody else. A verb is a function of `main.py` with a parser of its own.
"""

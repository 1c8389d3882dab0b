"""Correct echo servers, one style each. `python examples/servers/callbacks.py 8888` runs one for real."""

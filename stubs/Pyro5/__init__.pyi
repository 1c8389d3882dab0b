"""The part of Pyro5 that the tests use; Pyro5 has no types of its own."""

from typing import Literal

class _Configuration:
    SERVERTYPE: Literal["thread", "multiplex"]

config: _Configuration

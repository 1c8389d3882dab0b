"""The three classes of 0.2.3 under the path from which it had them.

Owns that path, and nothing else.
"""

from __future__ import annotations

from ._lists.selector import MockSelector
from ._lists.sockets import ListenSocket, MockSocket

__all__ = ["ListenSocket", "MockSelector", "MockSocket"]

"""The three classes of 0.2.3 under the path from which it had them.

Owns that path, and nothing else.
"""

from __future__ import annotations

from ._lists.listen_socket import ListenSocket
from ._lists.mock_socket import MockSocket
from ._lists.selector import MockSelector

__all__ = ["ListenSocket", "MockSelector", "MockSocket"]

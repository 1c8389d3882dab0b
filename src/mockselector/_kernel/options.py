"""Socket options: which there are, of which kind, and what each is at first (man 7 socket, tcp, ipv6).

Owns the tables of options. What is set for one socket is kept by its descriptor.
"""

from __future__ import annotations

import os
import socket as _socket
import sys
from errno import ENOPROTOOPT, EOPNOTSUPP
from socket import AF_INET, AF_INET6
from typing import Final

_OPTIONS: Final[dict[int, dict[str, tuple[str, ...]]]] = {
    _socket.SOL_SOCKET: {
        "flag": ("SO_REUSEADDR", "SO_REUSEPORT", "SO_KEEPALIVE", "SO_BROADCAST", "SO_OOBINLINE", "SO_DONTROUTE"),
        "read": ("SO_TYPE", "SO_ERROR", "SO_DOMAIN", "SO_PROTOCOL", "SO_ACCEPTCONN"),
        "linger": ("SO_LINGER",),
        "credentials": ("SO_PEERCRED",),
    },
    _socket.IPPROTO_TCP: {
        "flag": ("TCP_NODELAY", "TCP_CORK", "TCP_QUICKACK"),
        "positive": ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"),
    },
    _socket.IPPROTO_IPV6: {"flag": ("IPV6_V6ONLY",)},
}
"""Options of which not just any number can be had: by level and kind, their names in `socket`."""

_KINDS: Final = {
    (level, int(getattr(_socket, name))): kind
    for level, kinds in _OPTIONS.items()
    for kind, names in kinds.items()
    for name in names
    if hasattr(_socket, name)
}
_LEVELS: Final[dict[int, tuple[int, ...]]] = {
    AF_INET: (_socket.IPPROTO_TCP, _socket.IPPROTO_IP),
    AF_INET6: (_socket.IPPROTO_TCP, _socket.IPPROTO_IP, _socket.IPPROTO_IPV6),
}
_LAST_OPTION: Final = 256
"""No option has a higher number."""

DEFAULTS: Final = {
    (_socket.IPPROTO_TCP, int(getattr(_socket, name))): value
    for name, value in {"TCP_KEEPIDLE": 7200, "TCP_KEEPINTVL": 75, "TCP_KEEPCNT": 9, "TCP_QUICKACK": 1}.items()
    if hasattr(_socket, name)
}
"""What an option is at first, if it is not 0."""


NO_CREDENTIALS: Final = (0, -1, -1)
"""What SO_PEERCRED says where there is no peer of this machine (man 7 unix)."""


def own_credentials() -> tuple[int, int, int]:
    """Process, user and group: all who take part in a scenario are of this process."""
    return os.getpid(), os.getuid(), os.getgid()


def option_kind(family: int, level: int, name: int) -> str | int:
    """Of which kind an option is; or the error number that there is none."""
    if level != _socket.SOL_SOCKET and level not in _LEVELS.get(family, ()):
        return ENOPROTOOPT if family == AF_INET6 else EOPNOTSUPP
    kind = _KINDS.get((level, name))
    if kind is None and name > _LAST_OPTION:
        return ENOPROTOOPT
    return kind or "number"


def as_bytes(number: int) -> bytes:
    return int(number).to_bytes(4, sys.byteorder, signed=True)

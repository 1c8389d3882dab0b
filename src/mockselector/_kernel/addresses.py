"""Addresses: families, numbers of hosts, and which of them mean the same place.

Owns what is to be said of an address without looking at the network that it is in.
"""

from __future__ import annotations

import socket as _socket
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .._system import Address

AF_UNIX: Final = getattr(_socket, "AF_UNIX", None)  # not on Windows
ANY: Final[dict[int, str]] = {AF_INET: "0.0.0.0", AF_INET6: "::"}  # noqa: S104  (nothing is bound)
LOOPBACK: Final[dict[int, str]] = {AF_INET: "127.0.0.1", AF_INET6: "::1"}


def without_name(address: Address, family: int) -> Address:
    """The same address with a number for its host, for who would look up a name: if it is one at all."""
    if family not in ANY or not _is_tuple(address) or not address:
        return address
    host = address[0]
    plain = "\0" not in host if isinstance(host, str) else isinstance(host, (bytes, bytearray)) and 0 not in host
    if not plain:
        return address
    return (LOOPBACK[family], *address[1:])


def unbound(family: int) -> Address:
    if family not in ANY:
        return ""
    return (ANY[family], 0) if family == AF_INET else ("::", 0, 0, 0)


def is_literal(host: str) -> bool:
    """Whether it is a number already."""
    for family in (AF_INET, AF_INET6):
        try:
            _socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return True
    return False


def _is_tuple(thing: object) -> bool:  # no narrowing: what it then is a tuple of, nobody knows
    return isinstance(thing, tuple)

"""Addresses: families, numbers of hosts, and which of them mean the same place.

Owns what is to be said of an address without looking at the network that it is in.
"""

from __future__ import annotations

import socket as _socket
from errno import EADDRNOTAVAIL, EINVAL
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .._system import Address

AF_UNIX: Final = getattr(_socket, "AF_UNIX", None)  # not on Windows
ANY: Final[dict[int, str]] = {AF_INET: "0.0.0.0", AF_INET6: "::"}  # noqa: S104  (nothing is bound)
LOOPBACK: Final[dict[int, str]] = {AF_INET: "127.0.0.1", AF_INET6: "::1"}


_PRIVATE: Final = frozenset(
    [(192, 168), (169, 254), *((172, one) for one in range(16, 32)), *((100, one) for one in range(64, 128))]
)
"""How the numbers of networks begin that are nobody's alone (RFC 1918, 3927, 6598)."""

_MAPPED: Final = bytes(10) + b"\xff\xff"
"""How an address of IPv4 is written as one of IPv6 (RFC 4291, 2.5.5.2)."""


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


def refuses_to_bind(host: str, scope: int = 0) -> int:
    """The error of binding to that number: 0, if a machine may have it, of a network that is nobody's alone, say."""
    if ":" not in host:
        first, second, *_ = _socket.inet_pton(AF_INET, host)
        groups = 224 <= first < 240 or host in (ANY[AF_INET], "255.255.255.255")
        return 0 if groups or first in (10, 127) or (first, second) in _PRIVATE else EADDRNOTAVAIL
    number = _socket.inet_pton(AF_INET6, host.partition("%")[0])
    if number.startswith(_MAPPED):
        return refuses_to_bind(_socket.inet_ntop(AF_INET, number[-4:]))
    of_a_link = number[0] == 0xFE and number[1] & 0xC0 == 0x80
    if number[0] == 0xFF or (of_a_link and not scope):  # which of its interfaces, the machine cannot know
        return EINVAL
    local = of_a_link or number[0] & 0xFE == 0xFC
    return 0 if local or int.from_bytes(number, "big") <= 1 else EADDRNOTAVAIL  # :: and ::1


def _is_tuple(thing: object) -> bool:  # no narrowing: what it then is a tuple of, nobody knows
    return isinstance(thing, tuple)

"""What asks for the names and addresses of hosts.

Owns the answers: a scenario's own names, and nobody is asked.
"""

from __future__ import annotations

import _socket
import socket as _socket_module
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any, Final

from .._current import current
from .._kernel.addresses import LOOPBACK, is_literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._world.world import World
    from .doors import Pair

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_real_getaddrinfo: Final = _socket_module.getaddrinfo
_real_getnameinfo: Final = _socket_module.getnameinfo
_SERVICES: Final[dict[str, int]] = {"http": 80, "https": 443}
_BY_MACHINE: Final = int(getattr(_socket_module, "AI_ADDRCONFIG", 0))
"""A flag that lets an answer depend on which addresses this machine has."""


class Found(tuple[Any, ...]):  # Any: family, type, protocol, name, address
    """An answer of `getaddrinfo()`. asyncio puts them into a set, which is to have the same order every time."""

    __slots__ = ()

    def __hash__(self) -> int:
        return int(self[0])  # that of a text depends on PYTHONHASHSEED


def getaddrinfo(
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002  (its name)
    proto: int = 0,
    flags: int = 0,
) -> list[tuple[Any, ...]]:
    """As `socket.getaddrinfo`; in a scenario for its own names, and without asking anybody."""
    world = current()
    if world is None:
        return _real_getaddrinfo(host, port, family, type, proto, flags)
    port = _SERVICES.get(port, port) if isinstance(port, str) else port
    flags &= ~_BY_MACHINE
    name = host.decode() if isinstance(host, bytes) else host
    if name == "":  # which is no name; None is
        raise _socket_module.gaierror(_socket_module.EAI_NONAME, "Name or service not known")
    if name and (not isinstance(name, str) or _socket_module.AI_NUMERICHOST & flags or is_literal(name)):
        flags |= _socket_module.AI_NUMERICHOST
        return [Found(one) for one in _real_getaddrinfo(host, port, family, type, proto, flags)]  # it asks nobody
    found: list[tuple[Any, ...]] = []
    for one in (AF_INET, AF_INET6):
        number = _number_of(world, name, one) if name else None
        if family in (0, one) and (not name or number is not None):
            found += _real_getaddrinfo(number, port, one, type, proto, flags)
    if not found:
        world.dialling.unknown_host(name)
        raise _socket_module.gaierror(_socket_module.EAI_NONAME, "Name or service not known")
    if flags & _socket_module.AI_CANONNAME and name:
        found = [(*one[:3], "" if at else name, one[4]) for at, one in enumerate(found)]
    return [Found(one) for one in found]


_c_getaddrinfo: Final = _socket.getaddrinfo


def _getaddrinfo_of_c(
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002  (its name)
    proto: int = 0,
    flags: int = 0,
) -> list[tuple[Any, ...]]:
    """The same below it: `socket.getaddrinfo` is made of this one."""
    if current() is None or not host or flags & _socket_module.AI_NUMERICHOST:
        return _c_getaddrinfo(host, port, family, type, proto, flags)
    return getaddrinfo(host, port, family, type, proto, flags)


def _number_of(world: World, host: str, family: int) -> str | None:
    """The number of a host in one family, if it has one."""
    try:
        address = world.network.host(host, family)
    except OSError:
        return None
    return address if (":" in address) == (family == AF_INET6) else None


def _name_stand_in(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
    real: Callable[..., Any] = getattr(_socket_module, name)

    def stand_in(*args: Any) -> Any:
        world = current()
        return real(*args) if world is None else answer(world, *args)

    stand_in.__name__ = stand_in.__qualname__ = name
    return stand_in


def _host_name(_: World) -> str:
    return "localhost"


def _by_name(world: World, host: str) -> str:
    try:
        return world.network.host(host, AF_INET)
    except OSError:
        world.dialling.unknown_host(host)
        raise


def _by_name_ex(world: World, host: str) -> tuple[str, list[str], list[str]]:
    return host, [], [_by_name(world, host)]


def _by_address(world: World, address: str) -> tuple[str, list[str], list[str]]:
    number = world.network.host(address, AF_INET6 if ":" in address else AF_INET)
    for name, known in world.network.hosts.items():
        if known == number:
            return name, [], [number]
    if number in LOOPBACK.values():
        return "localhost", [], [number]
    raise _socket_module.herror(1, "Unknown host")


def name_info(world: World, address: Any, flags: int) -> tuple[str, str]:
    """As `socket.getnameinfo`, in a scenario."""
    numeric = _socket_module.NI_NUMERICHOST | _socket_module.NI_NUMERICSERV
    name, service = _real_getnameinfo(address, flags | numeric)  # it asks nobody
    if not flags & _socket_module.NI_NUMERICHOST:
        try:
            name = _by_address(world, name)[0]
        except OSError:
            pass
    if not flags & _socket_module.NI_NUMERICSERV:
        service = next((one for one, port in _SERVICES.items() if str(port) == service), service)
    return name, service


_ANSWERS: Final[dict[str, Callable[..., Any]]] = {
    "gethostname": _host_name,
    "gethostbyname": _by_name,
    "gethostbyname_ex": _by_name_ex,
    "gethostbyaddr": _by_address,
    "getnameinfo": name_info,
}


def pairs() -> list[Pair]:
    """What is replaced wherever a module has it."""
    found: list[Pair] = [(_real_getaddrinfo, getaddrinfo), (_c_getaddrinfo, _getaddrinfo_of_c)]
    return found + [(getattr(_socket_module, name), _name_stand_in(name, answer)) for name, answer in _ANSWERS.items()]

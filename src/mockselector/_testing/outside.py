"""Who is connected to in a test whose both ends are the program's: itself, nobody, or who is no part of it.

Owns which of the three it is. What goes to this machine, where nobody of the test listens, is refused as a kernel
refuses it; what goes elsewhere, or to somebody who was there before the test, cannot be simulated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._kernel.addresses import ANY, LOOPBACK, is_literal
from .._text import value_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from .._kernel.network import Network
    from .._system import Address

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

_HERE: Final = frozenset([*ANY.values(), *LOOPBACK.values(), "localhost", ""])
_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTENS: Final = "0A"
"""The state of a listener in these tables (man 5 proc)."""


class Outside:
    """What is said of connections that nobody in the test answers."""

    def __init__(self, refuse: Callable[[str], NoReturn], network: Network) -> None:
        self._refuse: Final = refuse
        self._network: Final = network

    def is_here(self, address: Address) -> bool:
        """Whether it is an address of this machine, which every machine has; or a path."""
        if isinstance(address, str):
            return True
        host = str(address[0])
        return host in _HERE or (host.startswith("127.") and is_literal(host))

    def connects(self, address: Address) -> None:
        """The program connects to where it does not itself listen. Returns if that is to be refused as by a kernel."""
        if isinstance(address, str):
            return
        host, port = str(address[0]), int(address[1])
        if not self.is_here(address):
            name = self._network.name_of(host)
            self._refuse(f"a connection to {value_text((name, port))}, which is no part of the test, {_NEEDS}")
        if _really_listens(port):
            self._refuse(
                f"a connection to port {port} is for a real server that was started before the test, or is another"
                " process: let the test, or one of its fixtures, start it, in a thread"
            )

    def asks(self, host: str) -> None:
        """The program asks for the address of a host. Returns if there is to be none."""
        if "." in host.rstrip(".") and not host.rstrip(".").endswith(".invalid"):
            self._refuse(f"the address of {value_text(host)}, which is no part of the test, {_NEEDS}")


_NEEDS: Final = "would need a real network"


def _really_listens(port: int) -> bool:
    """Whether a process of this machine listens there, as far as the system tells."""
    for path in _TABLES:
        try:
            with open(path, encoding="ascii") as table:
                lines = [line.split() for line in table][1:]
        except OSError:
            continue
        if any(line[3] == _LISTENS and int(line[1].rpartition(":")[2], 16) == port for line in lines):
            return True
    return False

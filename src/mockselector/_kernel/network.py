"""The simulated network of one scenario: descriptor numbers, listeners, addresses and host names.

Owns who has which number and address, who listens where, and how a connection comes to be. Follows TCP as Linux
shows it to a program (man 2 accept, bind, connect, listen; man 7 tcp, unix).
"""

from __future__ import annotations

import os
import socket as _socket
import stat
from collections import deque
from errno import EADDRINUSE, ECONNREFUSED, EINVAL, ENOENT
from heapq import heappop, heappush
from socket import AF_INET, AF_INET6, SHUT_RD
from typing import TYPE_CHECKING, Any, Final

from .._system import FIRST_NUMBER, os_error
from .addresses import AF_UNIX, ANY, LOOPBACK, is_literal, refuses_to_bind
from .descriptors import SHUT, Descriptor
from .epolls import Epoll
from .streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._choices import Choices
    from .._judge.trace import Place
    from .._system import Address


TIME_WAIT: Final = 60
"""Seconds for which a port stays in use after its owner has closed a connection first (man 7 tcp)."""


class Network:
    """Descriptor numbers, addresses and names of one scenario."""

    def __init__(self, now: Callable[[], float], choices: Choices) -> None:
        self._choices: Final = choices
        self._now: Final = now
        self.descriptors: Final[dict[int, Descriptor]] = {}
        self.listeners: Final[list[Descriptor]] = []
        self.hosts: Final[dict[str, str]] = {}
        self.own: Final[set[str]] = set()  # hosts to which clients of the script connect
        self._bound: Final[list[Descriptor]] = []
        self._free: Final[list[int]] = []
        self._lingering: Final[dict[int, float]] = {}  # ports in TIME_WAIT, until when
        self._files: Final[list[str]] = []
        self._port = 40000
        self._clients_port = 50000

    # -- descriptors ----------------------------------------------------------------------------

    def open(self, family: int, made: Place | None) -> Descriptor:
        """The lowest free number, as POSIX has it."""
        number = self._lowest()
        descriptor = self.descriptors[number] = Descriptor(number, family, made)
        return descriptor

    def open_epoll(self, made: Place) -> Epoll:
        """Likewise, for an epoll object."""
        number = self._lowest()
        descriptor = self.descriptors[number] = Epoll(number, made)
        return descriptor

    def _lowest(self) -> int:
        return heappop(self._free) if self._free else FIRST_NUMBER + len(self.descriptors)

    def close(self, descriptor: Descriptor, *, reset: bool = False) -> None:
        """Close what a number stands for, and free the number; a call that is made on it has it open until it ends."""
        if descriptor.closed:
            return
        if self.has(descriptor):
            del self.descriptors[descriptor.number]
            heappush(self._free, descriptor.number)
        if descriptor.held:
            return
        if descriptor.backlog is not None:
            self.stop_listening(descriptor)
        stream = descriptor.stream
        if stream is not None:
            port = stream.local[1] if descriptor.family in ANY else None
            if port is not None and not (stream.ended or stream.dead or reset):
                self._lingering[port] = self._now() + TIME_WAIT
            stream.close(reset=reset)
        descriptor.closed = True
        if isinstance(descriptor, Epoll):
            descriptor.release()
        if descriptor in self._bound:
            self._bound.remove(descriptor)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether its number stands for it."""
        return self.descriptors.get(descriptor.number) is descriptor

    # -- addresses ------------------------------------------------------------------------------

    def bind(self, descriptor: Descriptor, address: Address) -> None:
        """Give it a local address, as `resolved()` has it. OSError (EADDRINUSE ...) as man 2 bind has it."""
        stream = descriptor.stream
        asked = descriptor.family in ANY and bool(address[1])
        over = descriptor.failing or (stream is not None and stream.over)
        taken = descriptor.locked or (
            not over and (descriptor.bound or (stream is not None and bool(stream.local)) or descriptor.connecting)
        )
        numbered = descriptor.family in ANY and address[0] not in self.own
        error = refuses_to_bind(address[0], *address[3:]) if numbered else 0
        if error:  # by IPv6, what else is wrong is looked at first
            raise os_error(EINVAL if taken and descriptor.family == AF_INET6 else error)
        if descriptor.family == AF_UNIX:
            if not address:
                if taken:
                    return
                self._port += 1
                address = f"\0{self._port:05x}"
            self._bind_path(address, taken=taken)
        elif taken:
            raise os_error(EINVAL)
        elif not address[1]:
            self._port += 1
            address = (address[0], self._port, *address[2:])
        else:
            self._check_free(descriptor, address)
        descriptor.locked = descriptor.family not in ANY or asked
        descriptor.local = address
        descriptor.bound = True
        if descriptor.family == AF_INET6 and address[0] != ANY[AF_INET6]:
            descriptor.only_ipv6 = True
        if descriptor not in self._bound:
            self._bound.append(descriptor)

    def _check_free(self, descriptor: Descriptor, address: Address) -> None:
        if not descriptor.reuse and self._lingering.get(address[1], 0) > self._now():
            raise os_error(EADDRINUSE)
        for other in self._bound:
            if other is descriptor or not other.bound:
                continue
            shared = descriptor.reuse & other.reuse
            if shared & 2 or (shared and other.backlog is None):
                continue
            if other.family in ANY and other.local[1] == address[1] and _meet(descriptor, address[0], other):
                raise os_error(EADDRINUSE)

    def _bind_path(self, path: str, *, taken: bool) -> None:
        """A socket's file is really made: servers look at it, change its mode and remove it."""
        if path.startswith("\0"):
            if any(other.local == path for other in self._bound):
                raise os_error(EADDRINUSE)
            if taken:
                raise os_error(EINVAL)
            return
        if os.path.lexists(path):
            raise os_error(EADDRINUSE)
        self._files.append(path)  # before it is made: an interrupt may come in between
        try:
            _make_socket_file(path)
        except OSError as error:
            self._files.remove(path)
            if isinstance(error, FileExistsError):
                raise os_error(EADDRINUSE) from None
            raise
        if taken:
            os.unlink(path)
            raise os_error(EINVAL)

    def remove_files(self) -> None:
        """What servers left of their sockets' files."""
        for path in self._files:
            try:
                made = os.stat(path)
                if stat.S_ISSOCK(made.st_mode) or not made.st_size:
                    os.unlink(path)
            except OSError:
                pass  # the server has removed it itself

    def listen(self, descriptor: Descriptor, backlog: int) -> None:
        """Let it accept; `backlog` and one may wait, as Linux has it."""
        begun = descriptor.connecting or descriptor.failing or descriptor.stream is not None
        if begun or (descriptor.family not in ANY and not descriptor.bound):
            raise os_error(EINVAL)
        if not descriptor.bound:
            host, _, *more = descriptor.local
            self.bind(descriptor, (host, 0, *more))
        for other in self.listeners:
            if other.local == descriptor.local and other is not descriptor and not descriptor.reuse & other.reuse & 2:
                raise os_error(EADDRINUSE)
        descriptor.limit = max(0, backlog) + 1
        if descriptor.backlog is None:
            descriptor.backlog = deque()
            if descriptor.family in ANY:
                descriptor.shut = 0
            self.listeners.append(descriptor)

    def stop_listening(self, descriptor: Descriptor) -> None:
        """Nobody can connect to it any more, and who waits is reset."""
        descriptor.stop_listening()
        if descriptor in self.listeners:  # not if an interrupt came out of `listen()`
            self.listeners.remove(descriptor)

    def listener(self, to: Address | None) -> Descriptor | None:
        """Who listens there: a port, an address, a path; None: whoever began first."""
        there: list[Descriptor] = []
        for one in self.listeners:
            if not one.shut & SHUT[SHUT_RD] and (
                to is None or to == one.local or (one.family in ANY and self._is_at(one.local, to))
            ):
                if self._choices.decide is None:
                    return one
                there.append(one)
        return there[self._choices.choose(len(there), "which listener gets the connection")] if there else None

    def _is_at(self, local: Address, to: Address) -> bool:
        if isinstance(to, int):
            return bool(local[1] == to)
        if isinstance(to, str):
            return False
        name, port = to[:2]
        host = self.hosts.get(name, name)
        if host == "localhost":
            return bool(local[1] == port) and local[0] in (*ANY.values(), *LOOPBACK.values())
        return bool(local[1] == port) and local[0] in (host, *ANY.values())

    def meet(self, listener: Descriptor, source: Address | None, buffer: int, *, mapped: bool = False) -> Stream:
        """A connection to a listener; returns its end, which now waits to be accepted.

        mapped: it comes by IPv4; to a listener for both, that is an address of its own kind (RFC 4291, 2.5.5.2).
        """
        assert listener.backlog is not None
        if listener.family == AF_UNIX:
            local, remote = listener.local, source or ""
        else:
            host = listener.local[0]
            local = (
                LOOPBACK[listener.family] if host in ANY.values() else host,
                *listener.local[1:],
            )
            remote = source or self.near(listener.family)
        there = local, remote
        if listener.family == AF_INET6 and (mapped or len(remote) == 2):
            there = (LOOPBACK[AF_INET], local[1]), (remote[0] if source else LOOPBACK[AF_INET], remote[1])
            local, remote = ((f"::ffff:{host}", port, 0, 0) for host, port in there)
        stream = Stream.pair((buffer, buffer), local, remote, unix=listener.family == AF_UNIX)
        stream.other.remote, stream.other.local = there
        listener.backlog.append(stream)
        listener.touch()
        return stream

    def source_of(self, descriptor: Descriptor) -> Address:
        """The address from which it connects."""
        if not descriptor.bound:
            return self.near(descriptor.family)
        host, *more = descriptor.local
        return (LOOPBACK[descriptor.family] if host in ANY.values() else host, *more)

    def nobody_at(self, address: Address) -> int:
        """The error of a connection to where nobody listens."""
        path = isinstance(address, str) and not address.startswith("\0")
        return ENOENT if path and not os.path.exists(address) else ECONNREFUSED

    def near(self, family: int) -> Address:
        """An address of this machine that nobody has had, by IP."""
        self._clients_port += 1
        host = LOOPBACK[family]
        return (host, self._clients_port) if family == AF_INET else (host, self._clients_port, 0, 0)

    # -- names ----------------------------------------------------------------------------------

    def know(self, host: str) -> None:
        """A host that the scenario speaks of: it gets an address (of a network kept for tests, RFC 2544)."""
        host = host.lower()
        if host not in ("", "localhost") and not is_literal(host):
            number = len(self.hosts) + 1
            self.hosts.setdefault(host, f"198.18.{number // 256}.{number % 256}")

    def knows(self, host: str) -> bool:
        """Whether it has an address, in whichever family."""
        try:
            return bool(self.host(host, AF_INET))
        except OSError:
            return False

    def name_of(self, host: str) -> str:
        """The name of a host, where the scenario has given it one."""
        return next((name for name, number in self.hosts.items() if number == host), host)

    def resolved(self, family: int, address: Address) -> Address:
        """An address with a number for its host. Raises gaierror as the socket's own methods do."""
        if family not in ANY:
            if not isinstance(address, str):
                return os.fsdecode(bytes(address))
            return address
        parts: tuple[Any, ...] = address  # Any: whatever the program gave
        host = parts[0] if isinstance(parts[0], str) else bytes(parts[0]).decode("ascii")
        number = self.host(host, family)
        if (":" in number) != (family == AF_INET6):
            raise _socket.gaierror(_socket.EAI_ADDRFAMILY, "Address family for hostname not supported")
        port = int(parts[1])
        return (number, port) if family == AF_INET else (number, port, *(*parts[2:], 0, 0)[:2])

    def host(self, host: str, family: int) -> str:
        """The number of a host: ours, a backend's, or a literal. gaierror for any other."""
        if host in ("", "<broadcast>"):
            return ANY[family]
        if host in ("localhost", "localhost.localdomain", "ip6-localhost"):
            return LOOPBACK[family]
        if is_literal(host):
            return host
        if host.lower() in self.hosts:
            return self.hosts[host.lower()]
        raise _socket.gaierror(_socket.EAI_NONAME, "Name or service not known")


def _make_socket_file(path: str) -> None:
    try:
        os.mknod(path, stat.S_IFSOCK | 0o755)
    except (AttributeError, PermissionError):  # not everywhere, and not for everyone
        with open(path, "xb"):
            pass


def _meet(one: Descriptor, host: str, other: Descriptor) -> bool:
    """Whether two sockets that are bound to the same port get in each other's way."""
    if one.family != other.family:
        six, its = (one, host) if one.family == AF_INET6 else (other, other.local[0])
        return its == "::" and not six.only_ipv6
    return host == other.local[0] or ANY[one.family] in (host, other.local[0])

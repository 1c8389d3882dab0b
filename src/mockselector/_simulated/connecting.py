"""How a program connects in a scenario.

Owns what `connect()` comes to: at once, later, again, refused; by TCP and by a path. To whom, `Dialling` knows.
"""

# A socket of ours has plain attributes where the real one has properties.
# pyright: reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

import os
from errno import EAGAIN, EALREADY, ECONNABORTED, EINPROGRESS, EINVAL, EISCONN, ETIMEDOUT
from typing import TYPE_CHECKING

from .._kernel.addresses import AF_UNIX, without_name
from .._play.clock import nanoseconds
from .._system import os_error
from .writing import Writing

if TYPE_CHECKING:
    from typing import NoReturn

    from .._system import Address

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class Connecting(Writing):
    """A socket in a scenario, as far as it connects, reads and writes."""

    __slots__ = ()

    def _connect(self, address: Address) -> None:
        try:
            self._connects(address)
        finally:
            self._is_out()

    def _connects(self, address: Address) -> None:
        record, descriptor, world = self._record, self._descriptor, self._world
        self._check("connect", without_name(address, self.family))
        where = world.dialling.resolves(self.family, address)
        self._check_open("connect")
        if self.family == AF_UNIX:
            self._check_path(where)
        if descriptor.failing or descriptor.fresh or record.moves["connect:later"] != "connecting":
            self._connect_again()
            return
        if self.family != AF_UNIX:
            descriptor.local = world.network.source_of(descriptor)
        world.dialling.dial(descriptor, record, where, address)
        if descriptor.stream is not None and (self._waits() or self.family == AF_UNIX):
            self._do("connect:done", str(address))
            descriptor.fresh = bool(self._timeout) and self.family != AF_UNIX  # Python has waited, not the kernel
            return
        if self.family == AF_UNIX and self._waits() != 2 and world.dialling.hangs_up(descriptor):
            descriptor.connecting = False
            self._refuses_to_connect(EAGAIN)
        if self._waits() or self.family == AF_UNIX:
            record.monitor.becomes(record, "connecting")
            self._await_connection()
            record.monitor.decided("connect", record.name, str(address))
            return
        self._do("connect:later", str(address))
        if descriptor.stream is not None:  # a listener of the program's own: nobody has to wait
            descriptor.fresh = True
            record.monitor.becomes(record, "connected")
        else:
            world.dialling.refuses(descriptor)
        raise OSError(EINPROGRESS, os.strerror(EINPROGRESS))

    def _check_path(self, path: str) -> None:
        """Refuse what an AF_UNIX socket refuses, in the order in which it does."""
        network, descriptor = self._world.network, self._descriptor
        if not path:
            self._refuses_to_connect(EINVAL)
        listens = descriptor.backlog is not None
        if descriptor.stream is not None or listens:
            nobody = network.nobody_at(path) if network.listener(path) is None else 0
            self._refuses_to_connect(nobody or (EINVAL if listens else EISCONN))

    def _refuses_to_connect(self, number: int) -> NoReturn:
        error = OSError(number, os.strerror(number))
        self._record.monitor.refused("connect", self._record, error)
        try:
            raise error
        finally:
            del error  # it refers to this frame

    def _connect_again(self) -> None:
        """A connection was begun before."""
        descriptor = self._descriptor
        if descriptor.failing or (descriptor.connecting and self._waits() == 2):
            self._await_connection(again=True)
        elif descriptor.fresh:  # the first call after that says that all is well
            descriptor.fresh = False
        else:
            self._fails("connect", EALREADY if descriptor.connecting else EISCONN)

    def _await_connection(self, *, again: bool = False) -> None:
        """A connection is under way, and the socket waits for it; `again`: it was begun by an earlier call."""
        descriptor, world = self._descriptor, self._world
        if not world.check_running(None):
            return
        deadline = None if self._timeout is None else world.clock.now + nanoseconds(self._timeout)
        error: OSError | None = None
        until = world.until if world.threads is None else self._among_others
        call = "connect", self._record.name
        if not until(lambda: not descriptor.connecting, deadline, call, None, descriptor):
            error = os_error(ETIMEDOUT)
        elif descriptor.stream is None:  # it has failed, or another thread has shut it down
            number = descriptor.take_error() or ECONNABORTED
            error = OSError(number, os.strerror(number))
            if (
                again or self._timeout is None or self.family == AF_UNIX
            ):  # else it is Python that waits, and the kernel has not been asked yet
                descriptor.start_again()
        descriptor.fresh = bool(self._timeout) and not again and self.family != AF_UNIX
        if error is not None:
            self._record.monitor.refused("connect", self._record, error)
            try:
                raise error
            finally:
                del error  # it refers to this frame

    def connect_ex(self, address: Address, /) -> int:
        """As `connect()`, but returns the error number; EAGAIN if a timeout was reached."""
        try:
            return super().connect_ex(address)
        except TimeoutError:
            return EAGAIN

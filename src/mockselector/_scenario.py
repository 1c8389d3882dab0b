"""`Scenario`: conversations with an unmodified server, on a simulated network in virtual time.

Owns what a test says of a scenario: its peers, how the server is run, and the end. What then
happens is the world's business.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from ._ending.ending import trim
from ._install.installing import Installed
from ._install.open_blocks import check_surroundings, opened
from ._install.stand_ins import stand_in
from ._judge.rules import checked_rules
from ._judge.trace import caller, place
from ._kernel.addresses import AF_UNIX, ANY
from ._loopback.stack import LoopbackStack, require_loopback
from ._play.clock import DATE, nanoseconds
from ._play.dialling import BUFFER
from ._play.peer import Peer, checked_steps
from ._play.player import Endpoint, Player, check_side
from ._play.script import Script
from ._play.steps import StartsTls, require_function, require_name, require_seconds, require_size
from ._program import program
from ._running import Run
from ._simulated.kinds import default_selector
from ._simulated.sockets import make
from ._text import value_text
from ._threads.crew import threads_table
from ._whose import whose
from ._world.stack import SimulatedStack
from ._world.world import World

if TYPE_CHECKING:
    import selectors
    import socket
    from collections.abc import Callable, Collection, Coroutine, Sequence
    from contextlib import AbstractContextManager
    from ssl import SSLContext
    from types import TracebackType
    from typing import TypeVar

    from typing_extensions import ParamSpec, Self

    from ._judge.rules import RuleId
    from ._judge.trace import Trace
    from ._play.netstat import SocketTable
    from ._play.steps import Step
    from ._show.timeline import Timeline
    from ._system import Address
    from ._threads.thread_table import ThreadTable

    P = ParamSpec("P")
    R = TypeVar("R")

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


# Long by what its methods promise: each is a few lines of code.
class Scenario:
    """Peers, and a server that is run against them.

    allow: ids of rules that are not judged. pedantic: judge the pedantic rules too.
    patience: seconds of virtual time after which a peer that waits in vain is `stuck`. grace:
    seconds of virtual time for which a run goes on after the last step, if connections are still open.
    buffer: bytes that fit into a connection in each direction. date: what `time.time()` says at the
    beginning, in seconds since the epoch (default: 2026-01-01 00:00 UTC). network: "loopback" plays the
    same peers over real sockets (see docs/fidelity.md); the rules about the server's calls are not judged then.
    watchdog: seconds of real time after which a turn of the server that calls nothing of the scenario's is a
    `busy-loop`, and is ended; None: it may take for ever. Under a debugger nobody looks.

    Used as `with Scenario() as net:`; leaving the block judges the end, as `verify()` does.
    """

    def __init__(
        self,
        *,
        allow: Collection[RuleId] = (),
        pedantic: bool = False,
        patience: float = 3600.0,
        grace: float = 60.0,
        buffer: int = BUFFER,
        date: float = DATE,
        network: Literal["simulated", "loopback"] = "simulated",
        watchdog: float | None = 30.0,
    ) -> None:
        require_size("buffer", buffer)
        for name, value in (("patience", patience), ("grace", grace), ("date", date), ("watchdog", watchdog)):
            if value is not None or name != "watchdog":
                require_seconds(name, value)
        if network not in ("simulated", "loopback"):
            raise ValueError(f"network= takes 'simulated' or 'loopback'; got {value_text(network)}")
        self._real = network == "loopback"
        if self._real:
            require_loopback(pedantic=(pedantic, False), buffer=(buffer, BUFFER))
        frame = caller(1)
        self._world = World(
            place(frame.f_code, frame.f_lasti), frame.f_code, allow=checked_rules(allow), pedantic=pedantic,
            patience=patience, grace=grace, buffer=buffer, date=date,
            make_stack=LoopbackStack if self._real else SimulatedStack,
        )  # fmt: skip
        if _made is not None:
            _made.append(self._world)
        busy = "busy-loop" in self._world.monitor.allow
        self._run: Final = Run(self._world, None if busy or watchdog is None else max(float(watchdog), 0.001))

    # -- who takes part -------------------------------------------------------------------------

    def client(
        self,
        name: str | None = None,
        steps: Sequence[Step] = (),
        *,
        to: int | tuple[Any, ...] | str | None = None,
        address: tuple[Any, ...] | None = None,
        delay: float = 0.0,
        buffer: int | None = None,
        allow: Collection[RuleId] = (),
        tls: SSLContext | None = None,
    ) -> Peer:
        """A new client, which connects as soon as somebody listens; chain its steps to it.

        name: how errors and the trace call it; else "client 1" and so on. to: the port, address or
        path that it connects to; None: whoever has begun to listen first. address: where it comes
        from, as `accept()` returns it. delay: seconds until it connects. buffer: bytes that fit into
        its connection in each direction. tls: it speaks TLS, by this context, from the first byte on; its
        steps are in plain text (`starts_tls()` does the same later).
        """
        require_seconds("delay", delay)
        _require_place("to", to, (int, str))
        _require_place("address", address, ())
        if self._real:
            require_loopback(address=(address, None), buffer=(buffer, None))
        return Peer(self._add(name, steps, to=to, source=address, buffer=buffer, allow=allow, delay=delay, tls=tls))

    def backend(
        self,
        address: tuple[str, int] | str,
        name: str | None = None,
        steps: Sequence[Step] = (),
        *,
        refuses: bool = False,
        delay: float | None = 0.0,
        buffer: int | None = None,
        allow: Collection[RuleId] = (),
        tls: SSLContext | None = None,
    ) -> Peer:
        """Whoever is at the other end when the program under test connects to `address`; once.

        The first connection to an address gets its first backend, the second its second. refuses:
        the connection is refused. delay: seconds until it is made, or refused; None: nobody answers. tls:
        as for `client()`; it is the server's side.
        """
        if delay is not None:
            require_seconds("delay", delay)
        if isinstance(address, str) and isinstance(name, int):
            raise TypeError(f"address= takes a pair: write net.backend(({address!r}, {name}))")
        _require_place("address", address, (str,), optional=False)
        if self._real:
            require_loopback(delay=(delay, 0), buffer=(buffer, None))
        network = self._world.network
        host = address[0] if isinstance(address, tuple) else address
        if isinstance(address, tuple):
            network.know(address[0])
        player = self._add(
            name or host, steps, to=address, source=None, buffer=buffer, allow=allow, backend=True, refuses=refuses,
            delay=delay, tls=tls,
        )  # fmt: skip
        where: Address = address
        if isinstance(address, tuple):
            family = next(one for one in ANY if (":" in network.host(address[0], one)) == (ANY[one] == "::"))
            where = network.resolved(family, address)[:2]
        self._world.dialling.backends.append((where, player))
        return Peer(player)

    def _add(
        self, name: str | None, steps: Sequence[Step], *, to: Address, source: Address, buffer: int | None,
        allow: Collection[RuleId], backend: bool = False, refuses: bool = False, delay: float | None = 0.0,
        tls: SSLContext | None = None,
    ) -> Player:  # fmt: skip
        world = self._world
        require_name(name)
        if buffer is not None:
            require_size("buffer", buffer)
        if self._run.finished:
            raise RuntimeError(
                "this scenario is at its end: add clients before net.run() is called,"
                " or while it runs, in a does() step"
            )
        own_name = world.monitor.name_for(name, "client")
        if isinstance(to, tuple) and not backend:
            world.network.own.add(str(to[0]))  # pyright: ignore[reportUnknownArgumentType]  # a host, as was required
        endpoint = Endpoint(
            to, source, world.buffer if buffer is None else buffer, checked_rules(allow), backend, refuses, delay
        )
        steps = checked_steps(steps)
        if tls is not None:
            start = StartsTls(tls)
            check_side(start, endpoint)
            steps = [start] * (not endpoint.unreachable) + [*steps]
        script = Script(own_name, steps, caller(2))
        player = Player(world, len(world.peers), script, endpoint)
        world.add(player)
        return player

    # -- running the server ---------------------------------------------------------------------

    @overload
    def run(self, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> R | None: ...
    @overload
    def run(self, function: Coroutine[Any, Any, R], /) -> R | None: ...
    @overload
    def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R | None: ...
    def run(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:  # Any: said by the overloads
        """Call the server, with this scenario under it; returns what it returns.

        A coroutine function is run on an event loop of asyncio, and so is a coroutine. None if the
        scripts came to their end while the server was still at work; a program that never listens,
        listens no more, or has no peers, is run until it returns. Raises what the server raises, and the
        `ScenarioError` of the run if it has one.
        """
        try:
            return self._run.call(program(stand_in(function), args, kwargs, "run"), function)
        except BaseException as error:
            trim(error)
            raise

    @overload
    def run_until_complete(
        self, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R: ...
    @overload
    def run_until_complete(self, function: Coroutine[Any, Any, R], /) -> R: ...
    @overload
    def run_until_complete(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def run_until_complete(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:  # Any: as above
        """As `run()`, but the end of the scripts does not end it: it is run until it returns.

        RuntimeError if it is stopped before: by `interrupts()`, or because `stuck` is allowed.
        """
        world = self._world
        world.termination.completes = True
        try:
            result = self._run.call(program(stand_in(function), args, kwargs, "run_until_complete"), function)
        except BaseException as error:
            trim(error)
            raise
        finally:
            world.termination.completes = False
        if not world.completed:
            raise RuntimeError("the run came to its end before the program had returned: there is no result")
        return result

    def run_path(self, path: str | os.PathLike[str], argv: Sequence[str] = ()) -> dict[str, Any] | None:
        """Run a file as `python path argv...` does; returns its globals.

        Whatever it does at import is inside of the scenario. `sys.exit()` without an error ends it.
        """
        path = os.fspath(path)
        folder = os.path.dirname(os.path.abspath(path))
        return self._run_script(lambda: runpy.run_path(path, run_name="__main__"), [path, *argv], folder)

    def run_module(self, name: str, argv: Sequence[str] = ()) -> dict[str, Any] | None:
        """Run a module as `python -m name argv...` does; returns its globals."""
        return self._run_script(
            lambda: runpy.run_module(name, run_name="__main__", alter_sys=True), [name, *argv], os.getcwd()
        )

    def _run_script(self, script: Callable[[], dict[str, Any]], argv: list[str], folder: str) -> dict[str, Any] | None:
        before = sys.argv, sys.path[:]

        def put_back() -> None:
            sys.argv, sys.path[:] = before

        def main() -> dict[str, Any] | None:
            try:
                return script()
            except SystemExit as error:
                if error.code not in (None, 0):
                    raise
                return None

        try:
            try:
                sys.argv, sys.path[:] = argv, [folder, *sys.path]
                return self.run(main)
            except BaseException as error:
                trim(error)
                raise
            finally:
                put_back()
        finally:
            put_back()  # an interrupt may have come in the middle of it, or just before

    def installed(self) -> AbstractContextManager[None]:
        """For the time of a block, sockets, selectors and time are this scenario's: to import, or to set up.

        RuntimeError where an event loop runs that is not the scenario's: it would go on in virtual time.
        """
        check_surroundings()
        self._world.begins()
        block = Installed(self._world, in_block=True)
        self._run.blocks.append(block)
        return block

    def selector(self) -> selectors.BaseSelector:
        """A selector of this scenario, to pass in by hand."""
        return default_selector(self._world)

    def listener(self, address: tuple[Any, ...] | str = ("localhost", 0), *, backlog: int = 128) -> socket.socket:
        """A socket that listens there, to pass in by hand."""
        _require_place("address", address, (str,))
        family = int(AF_UNIX or 0) if isinstance(address, str) else list(ANY)[":" in address[0]]
        sock = make(self._world, family)
        sock.bind(address)
        sock.listen(backlog)
        return sock

    def on_end(self, function: Callable[[], object]) -> None:
        """Call this when all peers are done, to let the server stop by itself; it then has `grace` seconds."""
        require_function("function", function)
        self._world.termination.on_end.append(function)
        self._world.calm = 0

    def interrupts(self, at: float | None = None) -> None:
        """Do what Ctrl-C does (SIGINT): at so many seconds, or, None, when all peers are done.

        KeyboardInterrupt in the server, or whatever handler it has installed, as asyncio does.
        """
        self._signals(signal.SIGINT, at)

    def terminates(self, at: float | None = None) -> None:
        """Do what `kill` does (SIGTERM), likewise: call the handler that the server has installed, or end its process.

        Of that end a process hears nothing: the run is over, and all that it had open is closed.
        """
        self._signals(signal.SIGTERM, at)

    def _signals(self, number: int, at: float | None) -> None:
        if at is None:
            self._world.termination.signal_at_end = number
            self._world.calm = 0
            return
        require_seconds("at", at)
        self._world.sends(number, nanoseconds(at))

    # -- looking and judging ----------------------------------------------------------------------

    @property
    def trace(self) -> Trace:
        """All that has happened, oldest first."""
        return self._world.log.trace()

    @property
    def now(self) -> float:
        """Seconds of virtual time since the scenario began."""
        return self._world.clock.now / 1e9

    def sockets(self) -> SocketTable:
        """All open sockets of the server, and the peers that have none yet; print it."""
        return self._world.table()

    def threads(self) -> ThreadTable:
        """All threads that the program has had, what each does and what locks it has; print it."""
        return threads_table(self._world)

    def timeline(self) -> Timeline:
        """All that has happened up to now, to be looked at: print it, or save it as a page."""
        from ._show.scenarios import timeline_of

        return timeline_of(self._world)

    def verify(self) -> None:
        """Judge the end: raise the violation of the run if it had one, and see what is left over.

        Leaving the `with` block does the same.
        """
        self._world.check_not_acting("verify()")
        try:
            self._run.verify()
        except BaseException as error:
            trim(error)
            raise

    def __enter__(self) -> Self:
        self._world.ending.outside = caller(1).f_code
        opened(self._world)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self._run.settled = True  # whatever is raised here, it is seen
        try:
            self._run.leave(exc_val, misuse=_is_misuse(exc_tb))
        except BaseException as error:
            trim(error)
            raise
        finally:
            self._run.let_go()  # an interrupt may have come before all was
        trim(exc_val)

    async def __aenter__(self) -> Self:
        """As `with`, in a coroutine that runs on an `EventLoop`: all that it calls is in the scenario."""
        check_surroundings()
        self._world.ending.outside = caller(1).f_code
        self._run.enter()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool | None:  # as checkers have it for what swallows only the cancellation by which it ends the block
        self._run.settled = True  # whatever is raised here, it is seen
        try:
            return await self._run.leave_async(exc_val, misuse=_is_misuse(exc_tb))
        except BaseException as error:
            trim(error)
            raise
        finally:
            self._run.let_go()  # an interrupt may have come before all was
            trim(exc_val)

    def __del__(self) -> None:
        run: Run | None = getattr(self, "_run", None)
        if run is not None and not sys.is_finalizing():
            run.drop()


_made: list[World] | None = None


def keep_made(into: list[World] | None) -> list[World] | None:
    """From now on the worlds of all scenarios are kept there (None: none is); returns where they were up to now.

    For who runs tests, and shows what has happened in them. The scenarios are not kept: one that is dropped says so.
    """
    global _made
    before, _made = _made, into
    return before


def _is_misuse(traceback: TracebackType | None) -> bool:
    """Whether a call of the test's to this package was refused: what the server did has nothing to do with that."""
    called = traceback.tb_next if traceback is not None else None
    return (
        called is not None
        and called.tb_frame.f_code not in _RUNS
        and whose(called.tb_frame.f_code.co_filename) == "ours"
    )


_RUNS: Final = frozenset(
    method.__code__
    for method in (
        Scenario.run,
        Scenario.run_until_complete,
        Scenario.run_path,
        Scenario.run_module,
        Scenario.verify,
    )
)


def _require_place(argument: str, place: object, kinds: tuple[type, ...], *, optional: bool = True) -> None:
    """Raise TypeError or ValueError unless it is an address: a pair, or one of `kinds`."""
    given: object = place
    pair: Any = place  # Any: whatever the test gave
    if (place is None and optional) or (isinstance(place, str) and str in kinds):
        return
    port = pair[1] if isinstance(place, tuple) and len(pair) >= 2 and isinstance(pair[0], str) else pair
    wanted = ["a pair (host, port)", *["a port"] * (int in kinds), *["a path"] * (str in kinds)]
    if not isinstance(port, int) or isinstance(port, bool) or (not isinstance(place, tuple) and int not in kinds):
        raise TypeError(f"{argument}= takes {' or '.join(wanted)}; got {value_text(given)}")
    if not 0 <= port <= 65535:
        raise ValueError(f"{argument}= takes a port from 0 to 65535; got {value_text(given)}")

"""How a scenario calls a server, and what of its end reaches the test.

Owns one run: the program is called, once or several times, with the scenario under it and the guard looking on; its
end is judged once; and whatever comes in between, nothing is left in place. What a test says of a scenario is in
`Scenario`, and what happens meanwhile is the world's business.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Final

from ._ending.ending import PATIENCE, EndException, add_story, interruption, interruptions, is_interruption
from ._ending.garbage import clear
from ._ending.thread_state import StateOfThread
from ._ending.watchdog import Watchdog
from ._install.installing import Installed
from ._install.loops import tidy
from ._install.open_blocks import check_surroundings, closed, opened
from ._install.threads import end_threads, wait_for_threads
from ._judge.errors import ScenarioError
from ._threads.crew import running_thread
from ._threads.real_waits import judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from ._install.event_loop import Block
    from ._world.world import World

    R = TypeVar("R")

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line

CALLED_DIRECTLY: Final = (
    "The run came to its end, but the server was called directly, so that its end went through the test:"
    " let the scenario call it, net.run(serve, ...) and not serve(...)"
)


class Run:
    """One scenario's run. A long class: there are many ways in and out, and each puts back what it has put there."""

    def __init__(self, world: World, watchdog: float | None) -> None:
        self._world: Final = world
        self._watchdog: Final = watchdog
        self.settled = False
        """Whether what was found is seen to reach the test."""
        self._told = False  # whether the test has got the violation, or a note of it ...
        self._noted = False  # ... that is, in an exception of the program's
        self.finished = False
        """Whether the end was judged."""
        self._block: Block | None = None  # of a coroutine of the test's
        self._watch: Watchdog | None = None  # over that
        self.blocks: Final[list[Installed]] = []
        """Of `installed()`, to be left at the latest when the scenario is."""

    def call(self, server: Callable[[], R], function: object) -> R | None:
        """Call the server, with the scenario under it; `function`: what the test has given for it."""
        world = self._world
        self._check_open()
        world.check_not_acting("run()")
        check_surroundings(function)
        world.monitor.witness.begins()
        before, world.ending.outside = world.ending.outside, sys._getframe().f_code
        world.outcome.returned = False
        world.begins()
        under, thread = Installed(world, function), StateOfThread()
        watch = self._guard()
        result: R | None = None
        error: BaseException | None = None
        try:
            try:
                with under:
                    result = self._inside(watch, server)
            finally:
                watch.end()
                world.ending.left()
        except BaseException as one:
            error = one
            if watch.interrupted:
                interruptions(world, one)
        finally:  # an interrupt may have come in the middle of that
            watch.end()
            world.ending.left()
            under.close()
            if world.ending.times > PATIENCE or world.frozen:
                thread.put_back()
            world.ending.outside = before
        world.completed = error is None and not world.ending.times
        world.outcome.returned = world.completed and not world.stopping.cancelled
        try:
            self._afterwards(error)
        finally:
            del error  # it refers to this frame
        return result

    # Functions of their own, as no `finally:` around protects a `try:` of the same one, up to Python 3.12.

    def _inside(self, watch: Watchdog, server: Callable[[], R]) -> R:
        """Call it, with the guard looking on, and end its threads."""
        world = self._world
        returned_at: int | None = None
        try:
            watch.begin()
            result = self._to_its_end(server)
            returned_at = len(world.monitor.rows)
        finally:
            end_threads(world)
            if returned_at is not None:
                world.outcome.ends_daemons(returned_at)
            world.comes_back()
        return result

    def _to_its_end(self, server: Callable[[], R]) -> R:
        """Call it, wait for its threads; if it is ended, leave tidy what it had."""
        world = self._world
        world.ending.outside = sys._getframe().f_code  # what comes after the program is none of it
        try:
            result = server()
            wait_for_threads(world)
        except BaseException as one:
            if world.is_over or self._is_own(one):
                tidy(world, forced=world.ending.times > PATIENCE or world.frozen)
            raise
        return result

    def _check_open(self) -> None:
        if self.finished:
            raise RuntimeError("this scenario is at its end: a script is played once; make a new Scenario")

    def _guard(self) -> Watchdog:
        world = self._world
        return Watchdog(
            self._watchdog, world.pulse, world.too_long, lambda: running_thread(world),
            lambda frame, thread, blocks: judge(world, frame, thread, blocks=blocks),
        )  # fmt: skip

    def _afterwards(self, error: BaseException | None) -> None:
        """The server is out: steps that are left are taken, the end is judged, and what it leaves behind goes."""
        world = self._world
        own, forced = self._is_own(error), world.ending.times > PATIENCE or world.frozen
        try:
            if world.outcome.returned and not world.is_over:
                try:
                    self._plays(world.look_on)
                except BaseException as one:  # of a step
                    error, own = one, self._is_own(one)
            self._left(error)
        finally:
            if own or forced or self._told:
                self._watched(lambda: clear(error if own else None, forced, world.ending))
            world.holdings.left.clear()

    def _plays(self, function: Callable[[], object]) -> None:
        """Let peers act when the server is out: where there are none, nothing is called that is the user's."""
        if self._world.peers:
            self._watched(function)
        else:
            function()

    def _watched(self, function: Callable[[], object]) -> None:
        """Do what may call code of the user's when the server is out, and look whether that ends."""
        world = self._world
        before, world.ending.outside = world.ending.outside, sys._getframe().f_code
        watch = self._guard()
        world.ending.at_work += 1
        try:
            try:
                watch.begin()
                function()
            except KeyboardInterrupt as error:
                if watch.interrupted:
                    interruption(world, error)
                raise
            finally:
                watch.end()
        finally:
            watch.end()  # an interrupt may have come in the middle of it, or just before
            world.ending.left()
            world.ending.at_work -= 1
            world.ending.outside = before

    # -- in a coroutine of the test's -------------------------------------------------------------

    def enter(self) -> None:
        """The block of a coroutine is entered: the scenario is put under the loop that runs it."""
        from ._install.event_loop import Block

        self._check_open()
        world = self._world
        self._block = Block(world, self._is_own, self.let_go, self._tells)
        try:
            world.monitor.witness.begins()
            world.monitor.witness.outer_loop = 0  # it is the program's
            world.begins()
            under = Installed(world)
            self.blocks.append(under)
            under.__enter__()
            self._watch = self._guard()
            self._watch.begin()
            opened(world)
        except BaseException:
            self._goes()
            world.comes_back()
            self._block.close()
            closed(world)
            raise

    async def leave_async(self, error: BaseException | None, *, misuse: bool) -> bool:
        """Such a block is left; returns whether what came out of it is swallowed."""
        world, block = self._world, self._block
        assert block is not None
        came = error
        try:
            returned = error is None and not block.is_over and not world.termination.is_server
            came = await block.leaves(error)
            world.outcome.returned = returned and not block.is_over
        finally:
            self._goes()
            world.comes_back()
            block.close()
        if came is not None and self._is_own(came):
            came = None
        self.leave(came, misuse=misuse)
        if came is not None and came is not error:
            raise came
        return came is None

    def _tells(self) -> None:
        """Raise what was found."""
        violation = self._world.monitor.violation
        if violation is not None:
            self._told, self._noted = True, False
            raise violation

    def _goes(self) -> None:
        """The scenario is taken away from under what it was put."""
        end_threads(self._world)
        if self._watch is not None:
            self._watch.end()
        for under in self.blocks:
            under.close()

    def verify(self) -> None:
        """Judge the end, and raise the violation if there is one."""
        self.finish()
        self.settled = True
        self._tells()

    def drop(self) -> None:
        """Nothing refers to the scenario any more: what nobody has seen is told by a warning."""
        world = self._world
        if self.settled:
            return
        try:
            if world.peers:
                self.finish()
        except Exception as error:  # the collector has no use for it
            world.monitor.violation = world.monitor.violation or error
        finally:
            self.let_go()  # its block may have been entered, and never left
        violation = world.monitor.violation
        if violation is not None:
            kind = "" if isinstance(violation, ScenarioError) else f"{type(violation).__name__}: "
            text = (
                "a Scenario was dropped, and nobody has seen what it found: use `with Scenario() as net:` or"
                f" net.verify()\n\n{kind}{violation}"
            )
            warnings.warn_explicit(text, UserWarning, world.script.file, world.script.line)

    def leave(self, exc_val: BaseException | None, *, misuse: bool) -> None:
        """The test's block is left. misuse: by a call to this package that was refused, whatever the server did."""
        world = self._world
        own = self._is_own(exc_val)
        before = world.monitor.violation
        try:
            world.ending.left()
            if exc_val is None or own:
                self.finish()
            elif not misuse:
                add_story(exc_val, world.monitor, world.outcome.scripts())
        finally:
            self.let_go()
        if self._told and not own and not (self._noted and exc_val is None):
            return
        if world.ending.settle(exc_val, own=own, before=before):
            raise RuntimeError(CALLED_DIRECTLY)

    def let_go(self) -> None:
        """Leave nothing behind; does nothing when that is done."""
        world = self._world
        self._goes()
        if self._block is not None:
            self._block.close()
        closed(world)
        world.ending.left()
        world.monitor.finished = True
        world.release()

    def _is_own(self, error: BaseException | None) -> bool:
        ended = isinstance(error, EndException) and error.args[0] is self._world
        return ended or is_interruption(error, self._world) or self._world.stopping.is_answer(error)

    def _left(self, error: BaseException | None) -> None:
        """The server has come back, with an exception or without: what the test gets of that."""
        world = self._world
        own = self._is_own(error)
        if own and isinstance(error, (KeyboardInterrupt, SystemExit)):
            world.outcome.returned = True
        before = world.monitor.violation
        if own and not world.outcome.returned:
            self.finish()
        violation = world.monitor.violation
        self._told = self._told or violation is not None
        try:
            if not world.ending.settle(error, own=own, before=before) and error is not None:
                add_story(error, world.monitor, world.outcome.scripts())
                raise error
        except BaseException as out:
            self._noted = violation not in (None, out)
            raise

    def finish(self) -> None:
        """Judge the end of the run."""
        if self.finished:
            return
        self.finished = True
        world = self._world
        returned = world.outcome.returned
        try:
            if world.stopping.killed or not world.is_over:
                try:
                    self._plays(world.settle)
                except BaseException as error:  # of a step: it is what the test will see
                    if error is not world.monitor.violation and not self._is_own(error):
                        raise
            open_selectors = tuple(world.holdings.open_selectors) if returned else ()
            world.monitor.finish(
                None, returned=returned, gone=returned, open_selectors=open_selectors, more=world.outcome.findings()
            )
        finally:
            world.monitor.finished = True
            world.release()

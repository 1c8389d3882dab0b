"""A test, or several, called in a scenario of which both ends are the program's; and what came of it.

Owns that a finding is raised, or only told, that the first refusal ends it, and how much time was saved. Knows no
runner of tests.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from .._ending.ending import EndException
from .._judge.errors import ScenarioError
from .._scenario import Scenario
from .outside import Outside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


class _Cut(BaseException):
    """Ends a run whose program goes on, elsewhere."""


class Simulation:
    """One scenario without scripted peers, in which tests are called."""

    def __init__(self, options: Mapping[str, Any], *, observes: bool = False) -> None:
        """options: of `Scenario`. observes: what is found is told, and not raised, wherever a program can go on."""
        self.net: Final = Scenario(**options)
        self._world: Final = self.net._world
        self._world.monitor.script = None  # there is none: a test's own lines say what happens
        self._world.dialling.outside = Outside(self._world.refuse, self._world.network)
        self._world.monitor.observed = [] if observes else None
        self.saved = 0.0
        """Seconds of real time that its virtual time would have taken."""
        self._over = False

    def run(self, test: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # Any: what a test takes and returns
        """Call it, and return what it returns; None, if it is ended.

        Raises what is no finding: its own exception, a KeyboardInterrupt, what a runner stops with.
        """
        began = perf_counter()
        try:
            with self.net as net:
                return net.run(test, *args, **kwargs)
        except (ScenarioError, NotImplementedError) as error:
            if error is not self._world.monitor.violation:
                raise
        except (EndException, _Cut):
            pass
        finally:
            self.saved = 0.0 if self.is_over else max(0.0, self.net.now - (perf_counter() - began))
            self._over = True
        return None

    def cut(self) -> NoReturn:
        """Called by a test: the run ends here, and its end is not judged, as it is none."""
        raise _Cut

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be called in it."""
        return self._over or self._world.is_over

    @property
    def refusal(self) -> str:
        """What cannot be simulated, of what was called first; "": all could be."""
        found = self._world.monitor.violation
        return str(found) if isinstance(found, NotImplementedError) else ""

    @property
    def ended_by(self) -> ScenarioError | None:
        """The finding that has ended the run, if one has."""
        found = self._world.monitor.violation
        return found if isinstance(found, ScenarioError) else None

    @property
    def findings(self) -> list[ScenarioError]:
        """What was found so far."""
        last = self.ended_by
        return [*(self._world.monitor.observed or ()), *([] if last is None else [last])]

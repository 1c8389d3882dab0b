"""The timeline of a scenario: of its world, which is there as long as somebody looks at it.

Owns what of a world is shown: its trace, what was found, and what each peer was to say and has read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._judge.errors import ScenarioError
from .conversations import Conversation
from .timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._world.world import World


def timeline_of(world: World, rows: slice = slice(0, None), also: Sequence[str] = ()) -> Timeline:
    """What has happened in it. rows: those of the server's that it is about. also: what is to be said beside it."""
    monitor = world.monitor
    found = [*(monitor.observed or ()), *filter(None, [monitor.violation])]
    said = [one for one in found if not isinstance(one, ScenarioError) or _is_in(rows, len(one.trace))]
    talks = [Conversation(peer.name, tuple(peer.script.steps), peer.received) for peer in world.peers]
    return Timeline(world.log.trace(), [*said, *also], conversations=talks, rows=rows)


def _is_in(rows: slice, number: int) -> bool:
    return number > rows.start and (rows.stop is None or number <= rows.stop)

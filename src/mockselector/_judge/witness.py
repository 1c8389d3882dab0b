"""What is known beside the calls: exceptions that were being handled, tasks, how the run is going.

Owns what the texts of errors say of the circumstances. What it keeps of an exception is text.
"""

from __future__ import annotations

import sys

from .errors import Circumstances, ScenarioError
from .reasons import Reason, called_from, is_the_servers, reason, reason_text
from .standing import failed_tasks, running_loop, standing
from .trace import WIDTH, place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .errors import Finding
    from .records import Door
    from .trace import Place

GIVES_UP: Final = frozenset[str](("close", "unregister", "shutdown:read", "shutdown:write", "detach"))
"""Operations for which an exception that is being handled is the reason."""

TIDYING: Final = GIVES_UP | {"option"}
"""What a server does on its way out."""

MOST_HEARD: Final = 100
"""How many exceptions of handlers are kept, the last."""


class Witness:
    """What has been seen and heard of a run, for the texts."""

    __slots__ = ("_door", "_outer", "outer_loop", "program", "reasons", "returns", "stood", "swallowed")

    def __init__(self, door: Door) -> None:
        self._door: Final = door
        self.program = "server"
        """What is tested is called that; or "program", which only connects."""
        self.reasons: dict[str, tuple[int, str, Reason]] = {}
        """As `Circumstances` has them."""
        self.swallowed: Final[list[Reason]] = []
        """What was raised in handlers, as far as somebody has told."""
        self.returns = False
        """Whether the server came back by itself, when the end is judged."""
        self.stood: list[tuple[str, Place]] = []
        """Where tasks stood when the run came to its end."""
        self.begins()

    def begins(self) -> None:
        """The server begins to run: what is the test's already is not the server's."""
        self._outer = id(sys.exc_info()[1])  # it is kept alive by being handled, and the loop by running
        self.outer_loop = id(running_loop())

    def absorb(self, other: Witness, above: int) -> None:
        """Take over what was seen of another run, whose `above` rows now come first."""
        moved = {name: (number + above, call, why) for name, (number, call, why) in self.reasons.items()}
        self.reasons = {**other.reasons, **moved}

    def note_reason(self, name: str, operation: str, detail: object = None) -> None:
        """Keep which exception the server handles while it gives a socket up, its row just appended."""
        error = sys.exc_info()[1]
        if error is not None and self.tells(error):
            call = operation.partition(":")[0]
            text = f"unregister({name})" if call == "unregister" else f"{name}.{call}()"
            what = f"{name} was dropped" if call == "close" and detail is not None else f"{text} was called"
            self.reasons[name] = (len(self._door.rows) // WIDTH - 1, what, reason(error))

    def tells(self, error: BaseException) -> bool:
        """Whether an exception that is being handled is the server's own business."""
        door = self._door
        over = door.ended or door.finished or door.violation is not None or isinstance(error, ScenarioError)
        return not over and id(error) != self._outer and is_the_servers(error)

    def heard(self, error: BaseException) -> None:
        """Somebody tells of an exception that a handler has raised."""
        if self.tells(error):
            self.swallowed.append(reason(error))
            del self.swallowed[:-MOST_HEARD]

    def circumstances(self) -> Circumstances:
        """What the texts say beside the rows."""
        around = self._circumstances()
        around.swallowed = [*self.swallowed, *failed_tasks(self.outer_loop)][::-1]
        around.standing = self.stood or standing(self.outer_loop)
        return around

    def _circumstances(self) -> Circumstances:
        around = Circumstances(self.program, self.reasons)
        around.threads = None if self._door.whose is None else self._door.whose.at
        return around

    def around(self, finding: Finding) -> Circumstances:
        """The same for a finding: about one call, or the end of the run."""
        around = self._circumstances() if finding.at_end else self.around_call()
        record = next((one for one in self._door.records if one.name == finding.socket), None)
        around.sent_by = None if record is None else record.sent_by
        around.swallowed = [*self.swallowed, *failed_tasks(self.outer_loop)][::-1]
        if finding.at_end:
            around.standing = self.stood
            if self.returns:
                caught = self.on_its_way_out()[2]
                around.handled = f"The {self.program} returned{caught and ' after '}{caught}."
            return around
        if around.called_from is None:
            number, name = (-1, "") if record is None else (record.number, record.name)
            around.standing = standing(self.outer_loop, number, name)
        return around

    def around_call(self) -> Circumstances:
        """What belongs to the call at hand."""
        around = self._circumstances()
        around.called_from = called_from()
        error = sys.exc_info()[1]
        if error is not None and self.tells(error):
            around.handled = f"The {self.program} is handling {reason_text(reason(error))}."
        return around

    def on_its_way_out(self) -> tuple[int, str, str]:
        """Where in `rows` the last calls begin that only tidy up, and the exception before them: kind, text; or ""."""
        rows = self._door.rows
        end = start = len(rows)
        while start > 0 and (isinstance(rows[start - WIDTH + 2], type) or rows[start - WIDTH] in TIDYING):
            start -= WIDTH
        late = [(number, why) for number, _, why in self.reasons.values() if number * WIDTH >= start]
        if late:
            why = max(late)[1]
            return start, why.kind, reason_text(why)
        for at in range(end - WIDTH, start - 1, -WIDTH):
            detail, _, code, instruction = rows[at + 2 : at + WIDTH]
            if isinstance(detail, type) and detail is not BlockingIOError:
                why = Reason(detail.__name__, "", place(code, instruction))
                return start, why.kind, reason_text(why)
        return start, "", ""

"""Which exception was on its way up when another one took its place.

Owns that one question. A `finally:` or the end of a `with` may call what raises, and the exception
that was passing through is then only the context of the new one, exactly as one that an `except:`
has dealt with. Python keeps no difference between the two; the source does. Knows nothing of
sockets, selectors or rules, and runs only when a run has failed.
"""

from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import CodeType, TracebackType


def displaced(error: BaseException, raised_at: Mapping[CodeType, int]) -> BaseException | None:
    """The exception that `error` has displaced on its way; None if there was none.

    raised_at: in which lines it was raised at first, if that is known: who has kept it may raise it again anywhere, as
    asyncio does from `wait_closed()`.
    """
    earlier = error.__context__
    while earlier is not None:
        passed = {id(step.tb_frame) for step in _steps(earlier.__traceback__)}
        for step in _steps(error.__traceback__):
            line = raised_at.get(step.tb_frame.f_code, step.tb_lineno)
            if id(step.tb_frame) in passed and line in _leaving(step.tb_frame.f_code.co_filename):
                return earlier
        earlier = earlier.__context__
    return None


def _steps(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _leaving(file: str) -> set[int]:
    """The lines of a file that run while an exception passes: `finally:` bodies, heads of `with`."""
    import linecache

    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return set()
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and node.finalbody:
            lines.update(range(node.finalbody[0].lineno, (node.finalbody[-1].end_lineno or 0) + 1))
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            lines.update(range(node.lineno, node.body[0].lineno))
    return lines

"""What is asked of a program's threads by who is none of them: which runs, how one is ended, what all of them do.

Owns those questions, where there are several threads and where there is but one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .strands import name_of
from .threads import Threads

if TYPE_CHECKING:
    from .._ending.ending import Ending
    from .thread_table import ThreadTable
    from .threads import Course

__tracebackhide__ = True  # pytest: end tracebacks at the server's own line


def threads_table(course: Course) -> ThreadTable:
    """The threads of a program."""
    return (course.crew or Threads(course)).table()


def running_thread(course: Course) -> int:
    """The number in the system of the thread that runs; 0: the only one."""
    return 0 if course.threads is None else course.threads.running.ident


def ending_of(course: Course, thread: int) -> Ending:
    """How the run is ended in a thread."""
    strand = None if course.crew is None else course.crew.alive.get(thread)
    return course.ending if strand is None else strand.ending


def called(course: Course, thread: int) -> str:
    """What a thread is called; "": it is the only one."""
    strand = None if course.threads is None else course.threads.alive.get(thread)
    return "" if strand is None else name_of(strand)

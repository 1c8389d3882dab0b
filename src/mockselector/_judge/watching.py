"""What a selector watches: which sockets are registered with it, and for what.

Owns that relation, from both sides: a `Watch` knows its records, and a record its watches. It is
kept by record and not by number, since a number soon stands for another socket. Knows no selector:
one that the server drops is not kept alive by what is known of it, nor are the sockets in it.
"""

from __future__ import annotations

from .rules import GONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final, Protocol

    from .rules import Phase, Registration

    class Member(Protocol):
        """What is known of a socket, and matters here."""

        watches: tuple[Watch, ...]
        number: int
        phase: Phase
        accepted: bool


class Watch:
    """What one selector watches."""

    __slots__ = ("_accepted", "_alone", "forgets", "masks", "name", "serves")

    def __init__(self, name: str, *, forgets: bool = False) -> None:
        self.name = name
        self.forgets: Final = forgets
        """Whether what is closed is gone from it, and does no harm: an epoll object has no map beside the kernel's."""
        self.masks: Final[dict[Member, int]] = {}
        """For what each socket is registered."""
        self.serves = False
        """Whether it has watched connections from `accept()` beside others: one thread, several peers."""
        self._accepted = False  # whether there was one from `accept()`
        self._alone: Final = (self,)  # one for all records that are in no other: most are

    def follow(self, operation: Registration, record: Member, number: int, events: int) -> None:
        """`register()`, `modify()` or `unregister()` has gone through, for this number."""
        if operation != "register" and record not in self.masks:
            record = self.holder(number) or record  # it was registered for an earlier owner of the number
        if operation == "unregister":
            self.drop(record)
        elif operation != "get_key":
            self._take(record, events)

    def _take(self, record: Member, events: int) -> None:
        if record not in self.masks:
            record.watches = (*record.watches, self) if record.watches else self._alone
        self.masks[record] = events
        self._accepted = self._accepted or record.accepted
        self.serves = self.serves or (self._accepted and len(self.masks) > 1)

    def holder(self, number: int) -> Member | None:
        """For whom that number is registered here."""
        return next((record for record in self.masks if record.number == number), None)

    def drop(self, record: Member | None) -> None:
        """It is registered no more."""
        if record is not None and self.masks.pop(record, None) is not None:
            record.watches = (
                () if record.watches is self._alone else tuple([w for w in record.watches if w is not self])
            )

    def takes(self, masks: Mapping[Any, int]) -> None:  # Any: each a `Member`
        """These are what it watches from now on, as in a call that is given them."""
        if self.masks.keys() != masks.keys():
            for record in [one for one in self.masks if one not in masks]:
                self.drop(record)
                if record.phase in GONE:
                    record.number = -1
            for record, mask in masks.items():
                self._take(record, mask)
        self.masks.update(masks)

    def rests(self) -> None:
        """Nobody waits in it: who watches is known, and registered is nothing."""
        self.masks.update(dict.fromkeys(self.masks, 0))

    def has_more_than(self, record: Member) -> bool:
        """Whether it watches others as well that come to the server, or may."""
        return any(one is not record and (one.accepted or one.phase == "listening") for one in self.masks)

    def clear(self) -> None:
        """The selector is closed, or gone."""
        for record in tuple(self.masks):
            self.drop(record)


def leave(record: Member) -> None:
    """It is closed: where that is enough, it is watched no more."""
    for watch in record.watches:
        if watch.forgets:
            watch.drop(record)


def interest(record: Member, watches: tuple[Watch, ...]) -> int:
    """For what it is registered, over some of its watches."""
    mask = 0
    for watch in watches:
        mask |= watch.masks.get(record, 0)
    return mask

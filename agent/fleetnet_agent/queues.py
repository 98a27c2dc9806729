"""Which lengths of Recv-Q and Send-Q are worth telling. Pure.

Queues of a busy socket change at every look; told each time, they would be all that is told. So a length is told when
it lasts: when two looks running saw the same one and it is not the one told, or when two looks running saw some and 0
was told. Whenever a socket is told for another reason its queues go along.

What must stay true: a socket that is not followed here has the queues that were told.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

Queues = tuple[int, int]
"""Recv-Q and Send-Q as the kernel counts them."""


@dataclass(slots=True)
class _Followed:
    told: Queues
    last: Queues  # at the look before


class Unsettled:
    """Sockets whose queues are not those that were told."""

    def __init__(self) -> None:
        self._followed: dict[int, _Followed] = {}

    def __contains__(self, cookie: int) -> bool:
        return cookie in self._followed

    def __len__(self) -> int:
        return len(self._followed)

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._followed))

    def told(self, cookie: int) -> Queues | None:
        """The queues that were told, where they are not the present ones."""
        followed = self._followed.get(cookie)
        return followed.told if followed else None

    def begin(self, cookie: int, told: Queues, now: Queues) -> None:
        """The queues have moved away from those told."""
        self._followed[cookie] = _Followed(told, now)

    def is_worth_telling(self, cookie: int, now: Queues) -> bool:
        """One more look at a followed socket. It is followed no longer once it is told, or back where it was."""
        followed = self._followed[cookie]
        worth = any(map(_lasts, followed.told, followed.last, now))
        if worth or now == followed.told:
            del self._followed[cookie]
        else:
            followed.last = now
        return worth

    def forget(self, cookies: Collection[int]) -> None:
        """These are gone, or have been told whole."""
        for cookie in cookies:
            self._followed.pop(cookie, None)


def _lasts(told: int, last: int, now: int) -> bool:
    return now != told and (now == last or (told == 0 and last != 0 and now != 0))

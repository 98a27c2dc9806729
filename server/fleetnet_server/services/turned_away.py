"""Whom the gate turned away from administration: in the log of administration, and bounded, however often one comes.

The first wish of somebody has its entry at once. What else he wishes within the minute after it is counted, and has one
entry more when the minute is over: so whoever comes for ever makes two entries a minute, and none is left out.

What must stay true: an entry is written by the side of a refusal that stands in any case; where it cannot be written
the refusal is counted. Of more than MOST at a time, the rest are counted together.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from fleetnet_server.errors import StorageError
from fleetnet_server.services.log import Logged, Wish

MINUTE_S: Final = 60.0
MOST: Final = 100
_REST: Final = "others"


@dataclass(slots=True)
class _Minute:
    """What somebody has wished since the first time."""

    ends_at_s: float
    last: tuple[Wish, str]  # and why it was refused
    more: int = 0  # than have an entry


class TurnedAway:
    """One per collector."""

    def __init__(self, log: Logged, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._minutes: dict[str, _Minute] = {}  # by who it is; the one that ends first is first
        self._any = asyncio.Event()

    async def note(self, wish: Wish, why: str) -> None:
        """Somebody was refused what he wants. Raises StorageError, after which it is counted."""
        who = wish.who if wish.who in self._minutes or len(self._minutes) < MOST else _REST
        minute = self._minutes.get(who)
        if minute is not None:
            minute.last = (wish, why)
            minute.more += 1
            return
        self._begin(who, _Minute(self._clock() + MINUTE_S, (wish, why)))
        try:
            await self._log.refused(wish, why)
        except StorageError:
            self._count(who, (wish, why), 1)
            raise

    async def due(self) -> None:
        """Wait until a minute is over."""
        await self._any.wait()
        first = next(iter(self._minutes.values()))
        await asyncio.sleep(max(0.0, first.ends_at_s - self._clock()))

    async def put_down(self, *, at_once: bool = False) -> None:
        """Log what was counted in the minutes that are over, or `at_once` in all. Raises StorageError, after which the
        rest is still to be logged."""
        now_s = self._clock()
        for who, minute in list(self._minutes.items()):
            if minute.ends_at_s > now_s and not at_once:
                return
            # Who comes while this is written begins another minute.
            del self._minutes[who]
            if not self._minutes:
                self._any.clear()
            if minute.more:
                wish, why = minute.last
                of_all = wish if who != _REST else replace(wish, who=_REST, peer="", action="")
                try:
                    await self._log.refused(of_all, f"{why} ({minute.more} times more within a minute)")
                except StorageError:
                    self._count(who, minute.last, minute.more)
                    raise

    def _begin(self, who: str, minute: _Minute) -> None:
        self._minutes[who] = minute
        self._any.set()

    def _count(self, who: str, last: tuple[Wish, str], more: int) -> None:
        if who not in self._minutes:
            self._begin(who, _Minute(self._clock() + MINUTE_S, last))
        self._minutes[who].more += more

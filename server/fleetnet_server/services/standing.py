"""How people stand whose calls are open: whether each may go on with what was begun.

Others than this collector change that only where the database is shared; there it is read at every look. Where it is
not, it is read while it may just have been changed here, for people who are new among those asked about, and every
REREAD_S all the same: for who changes the database by hand, and so that nobody goes on for long where it cannot be
read.

What must stay true: a change that was made through any collector counts at the next look.
"""

import time
from collections.abc import Callable, Collection
from typing import Final

from fleetnet_server.records import Person
from fleetnet_server.services.people import People

REREAD_S: Final = 10.0
_AFTERWARDS_S: Final = 10.0  # whoever was to be told that it is written may have left before it was


class Standing:
    """Of all people with open calls."""

    def __init__(self, people: People, *, shared: bool, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._people = people
        self._shared = shared
        self._clock_s = clock_s
        self._known: dict[str, Person | None] = {}
        self._read_s = 0.0

    async def of(self, names: Collection[str]) -> dict[str, Person | None]:
        """Each of these, None where there is no such person. Raises StorageError."""
        if self._is_to_be_read(names):
            began_s = self._clock_s()  # what is changed while it is read is read once more
            found = await self._people.find_each(names)
            self._known, self._read_s = {name: found.get(name) for name in names}, began_s
        return self._known

    def _is_to_be_read(self, names: Collection[str]) -> bool:
        return (
            self._shared
            or not self._known.keys() >= set(names)
            or self._read_s < max(self._clock_s() - REREAD_S, self._people.changed_at_s + _AFTERWARDS_S)
        )

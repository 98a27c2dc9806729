"""Walks through hosts in the order of their names, some at a time.

An answer's order begins with the host's name, so that what these hosts have, then the next, and so on, is the answer in
its order, and its beginning is there when the first of them have been asked.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, select

from fleetnet_server.storage.schema import hosts

# So few that they are asked at once even if each holds much.
FIRST_STEP: Final = 16
# What a step should find, a page of the answer.
WANTED: Final = 500
_GROWTH: Final = 4
# Their numbers stand in the statement.
LONGEST_STEP: Final = 2_048

_NEXT = (
    select(hosts.c.host_id, hosts.c.name)
    .where(hosts.c.name > bindparam("after"))
    .order_by(hosts.c.name)
    .limit(bindparam("most"))
)


class Walk:
    """One walk, through all hosts or some; a step is longer where the one before found little."""

    def __init__(self, conn: Connection, host_ids: Sequence[int] | None) -> None:
        """`host_ids` are in the order of their names; None walks through all hosts there are."""
        self._conn = conn
        self._host_ids = host_ids
        self._walked = 0
        self._after = ""  # no host has an empty name
        self._most = FIRST_STEP
        self._ended = False

    def step(self) -> Sequence[int]:
        """The next hosts; none at the end."""
        if self._ended:
            return ()
        if self._host_ids is not None:
            step = self._host_ids[self._walked : self._walked + self._most]
        else:
            rows = self._conn.execute(_NEXT, {"after": self._after, "most": self._most}).all()
            step = [row.host_id for row in rows]
            self._after = rows[-1].name if rows else self._after
        self._walked += len(step)
        self._ended = len(step) < self._most
        return step

    def found(self, items: int) -> None:
        """What the last step found."""
        enough = self._most * WANTED // max(items, 1)
        self._most = max(1, min(enough, self._most * _GROWTH, LONGEST_STEP))

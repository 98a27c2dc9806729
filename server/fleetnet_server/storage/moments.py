"""The time that a question about the past is about, in the words of SQL."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import BigInteger, ColumnElement, FromClause, Table, and_, bindparam, case, literal, or_

# Hosts whose clocks are wrong by more are looked for apart from the others: else all that these have kept since a time
# would be gone through for the sake of one whose clock stands at 1970.
_FAR_US: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """A time past, and the same time by the clocks of those hosts that were wrong by more than can be overlooked."""

    at_us: int
    by_host: Mapping[int, int] = field(default_factory=dict)

    @property
    def earliest_us(self) -> int:
        return min((self.at_us, *self.by_host.values()))

    @property
    def far(self) -> frozenset[int]:
        """Hosts whose clocks are wrong by much."""
        return frozenset(host_id for host_id, its_us in self.by_host.items() if abs(its_us - self.at_us) > _FAR_US)

    def of(self, host_ids: Collection[int]) -> "Moment":
        """The same time, as far as it concerns these hosts."""
        return Moment(self.at_us, {host_id: its_us for host_id, its_us in self.by_host.items() if host_id in host_ids})

    def moved_to(self, at_us: int) -> "Moment":
        """Another time, with clocks that are wrong by as much."""
        by_us = at_us - self.at_us
        return Moment(at_us, {host_id: its_us + by_us for host_id, its_us in self.by_host.items()})


def by_clock(table: Table, moment: Moment) -> ColumnElement[int]:
    """The time by the clock of the host that a row of the table belongs to."""
    if not moment.by_host:
        return literal(moment.at_us, BigInteger)
    alike: dict[int, list[int]] = {}
    for host_id, at_us in moment.by_host.items():
        alike.setdefault(at_us, []).append(host_id)
    return case(
        *((among(table, host_ids), at_us) for at_us, host_ids in alike.items()),
        else_=literal(moment.at_us, BigInteger),
    )


def since(table: Table, column: ColumnElement[int], moment: Moment) -> ColumnElement[bool]:
    """True of every row of which a column says a time or a later one by its host's clock, and of some more; in words
    that an index of the column understands."""
    far = moment.far
    near = moment.of(moment.by_host.keys() - far)
    conditions = [column >= literal(near.earliest_us, BigInteger)]
    if far:
        conditions.append(and_(among(table, far), column >= literal(moment.earliest_us, BigInteger)))
    return or_(*conditions)


def of_hosts(table: FromClause, host_ids: Collection[int] | None) -> list[ColumnElement[bool]]:
    """Rows of these hosts; None means all."""
    return [] if host_ids is None else [among(table, host_ids)]


def among(table: FromClause, host_ids: Collection[int]) -> ColumnElement[bool]:
    """Rows of one of these hosts."""
    # Written into the statement, for a fleet may have more hosts than a statement may carry values.
    return table.c.host_id.in_(
        bindparam(None, sorted(host_ids), BigInteger, expanding=True, literal_execute=True, unique=True)
    )

"""The time that a question about the past is about, in the words of SQL."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import BigInteger, ColumnElement, Table, bindparam, case, literal


@dataclass(frozen=True, slots=True)
class Moment:
    """A time past, and the same time by the clocks of those hosts that were wrong by more than can be overlooked."""

    at_us: int
    by_host: Mapping[int, int] = field(default_factory=dict)

    @property
    def earliest_us(self) -> int:
        return min((self.at_us, *self.by_host.values()))

    @property
    def latest_us(self) -> int:
        return max((self.at_us, *self.by_host.values()))

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


def of_hosts(table: Table, host_ids: Collection[int] | None) -> list[ColumnElement[bool]]:
    """Rows of these hosts; None means all."""
    return [] if host_ids is None else [among(table, host_ids)]


def among(table: Table, host_ids: Collection[int]) -> ColumnElement[bool]:
    """Rows of one of these hosts."""
    # Written into the statement, for a fleet may have more hosts than a statement may carry values.
    return table.c.host_id.in_(
        bindparam(None, sorted(host_ids), BigInteger, expanding=True, literal_execute=True, unique=True)
    )

"""What one host's sockets did in a time, the latest first.

Two statements find it, and each is read on as the answer is, so that memory does not grow with the time asked about:
one what ended in it, along the index of ends, the other what was open at its end, no more than a host holds at once.
Times are those of the host's clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, desc, literal_column, union_all

from fleetnet_server.records import SocketAnswer, SocketQuestion
from fleetnet_server.storage import ends, search, sought
from fleetnet_server.storage.moments import Moment
from fleetnet_server.storage.schema import current, history


@dataclass(frozen=True, slots=True)
class Span:
    """A time of one host, both ends included; without an end it lasts."""

    host_id: int
    from_us: int
    to_us: int | None

    @property
    def end(self) -> Moment | None:
        """Its end; by the host's clock already."""
        return None if self.to_us is None else Moment(self.to_us)

    def holds(self, at_us: int) -> bool:
        """Whether a moment lies in it."""
        return self.from_us <= at_us and (self.to_us is None or at_us <= self.to_us)


def ended(
    conn: Connection, question: SocketQuestion, span: Span, moment: Moment | None, at_most: int | None
) -> Iterator[SocketAnswer]:
    """What ended in it, the latest end first."""
    conditions = [ends.since(span.from_us), history.c.closed_at_us >= span.from_us]
    if span.to_us is not None:
        conditions += [ends.until(span.to_us), history.c.closed_at_us <= span.to_us]
    query = sought.rows_of(history, question, span.host_id, conditions, span.from_us, None).order_by(
        *ends.LATEST_FIRST, *_THEN
    )
    return chain.from_iterable(search.answered(conn, query.limit(at_most), moment, at_most))


def still_open(
    conn: Connection, question: SocketQuestion, span: Span, moment: Moment | None, at_most: int | None
) -> Iterator[SocketAnswer]:
    """What was open at its end, whether it has ended since or not, the latest beginning first."""
    to_us, then = span.to_us, span.end
    if to_us is None:
        query: sought.Query = sought.rows_of(current, question, span.host_id, (), span.from_us, None)
    else:
        gone = [history.c.opened_at_us <= to_us, ends.since(to_us), history.c.closed_at_us > to_us]
        query = union_all(
            sought.rows_of(current, question, span.host_id, [current.c.opened_at_us <= to_us], span.from_us, then),
            sought.rows_of(history, question, span.host_id, gone, span.from_us, then),
        )
    return chain.from_iterable(search.answered(conn, query.order_by(*_THEN).limit(at_most), moment, at_most))


def unseen_holders(conn: Connection, question: SocketQuestion, span: Span) -> int:
    """Of what ended in it or was open at its end: as search.unseen_holders."""
    told: list[tuple[Table, list[ColumnElement[bool]]]] = [
        (table, [] if span.to_us is None else [table.c.opened_at_us <= span.to_us]) for table in (current, history)
    ]
    told[1][1].extend([ends.since(span.from_us), history.c.closed_at_us >= span.from_us])
    query = sought.unseen_of(question, span.host_id, told, span.end, search.MOST_UNSEEN)
    return 0 if query is None else conn.execute(query).scalar_one()


# The rest only so that the order is always the same.
_THEN: Final[tuple[ColumnElement[Any], ...]] = (
    desc(literal_column("opened_at_us")),
    *map(literal_column, ("netns", "protocol", "local_port", "remote_port", "state", "cookie", "inode")),
)

"""Finds sockets, now or at a time past, and counts them.

Every filter and the order are SQL's, so that an answer can be cut and sent a page at a time. A page costs two
statements, one for its sockets and one for their holders, however many they are; one more where it shows namespaces
other than the hosts' own.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    Subquery,
    Table,
    case,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
    union_all,
)

from fleetnet_server.counted import StateCount
from fleetnet_server.records import Holder, SocketAnswer, SocketQuestion
from fleetnet_server.storage import ends, namespaces, usual
from fleetnet_server.storage import holders as holder_rows
from fleetnet_server.storage.counts import IP
from fleetnet_server.storage.moments import Moment, by_clock, of_hosts
from fleetnet_server.storage.schema import current, history, holder_processes, holders, hosts, processes

PAGE = 500

_HOST_NETNS = 0
_OWNER_GONE = 7  # of OwnerStatus, the wire's number
_LOOPBACK = 1  # of the column scope
# Those with addresses whose local port is one; a raw socket's is the number of its protocol.
_WITH_PORTS = IP[:-1]
# Instead of a holder that is not there: no row keeps an answer from being given.
_GONE = Holder(None, "", "", "", _OWNER_GONE, ())
_COMM_BYTES = 15  # the kernel cuts a command's name to TASK_COMM_LEN - 1 (include/linux/sched.h)

# In the order of the answer, the last ones only so that it is always the same.
_ORDER = (
    "host",
    "netns",
    "protocol",
    "local_port",
    "local_address",
    "remote_address",
    "remote_port",
    "path",
    "state",
    "cookie",
    "inode",
    "opened_at_us",
)  # fmt: skip
_AS_KEPT = (
    "host_id",
    "holder_id",
    "netns",
    "protocol",
    "family",
    "state",
    "interface",
    "v6only",
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "recv_queue",
    "send_queue",
    "inode",
    "cookie",
    "source",
    "opened_at_us",
    "opened_at_is",
    "type",
    "path",
    "peer_inode",
)  # fmt: skip


def pages(
    conn: Connection, question: SocketQuestion, moment: Moment | None, host_ids: Collection[int] | None
) -> Iterator[tuple[SocketAnswer, ...]]:
    """The sockets asked for, at most PAGE a page, at most one more than the limit (so that cutting is noticed).

    `moment` None asks about now, `host_ids` None about all hosts.
    """
    found = union_all(*_parts(question, moment, host_ids)).subquery()
    query = select(found).order_by(*(found.c[name] for name in _ORDER))
    if question.selection.limit:
        query = query.limit(question.selection.limit + 1)
    with conn.execute(query, execution_options={"stream_results": True, "max_row_buffer": PAGE}) as result:
        for rows in result.partitions(PAGE):
            named = holder_rows.load(conn, {(row.host_id, row.holder_id) for row in rows})
            others = {(row.host_id, row.netns) for row in rows if row.netns != _HOST_NETNS}
            called = namespaces.names(conn, others, moment)
            yield tuple(_answer(row, named, called) for row in rows)


def counts(conn: Connection, moment: Moment, host_ids: Collection[int] | None) -> dict[int, tuple[int, int]]:
    """Per host how many IP sockets were open and how many of them listeners; hosts without any are left out."""
    found = _were_open(moment, host_ids)
    query = select(found.c.host_id, *_how_many(found)).where(found.c.protocol.in_(IP)).group_by(found.c.host_id)
    return {row[0]: (row[1], row[2]) for row in conn.execute(query)}


def counts_by_state(conn: Connection, moment: Moment, host_ids: Collection[int] | None) -> tuple[StateCount, ...]:
    """Over these hosts, or all (None), how many sockets were open in each state, by protocol and state."""
    found = _were_open(moment, host_ids)
    kind = (found.c.protocol, found.c.state)
    query = select(*kind, *_how_many(found)).group_by(*kind).order_by(*kind)
    return tuple(StateCount(*row) for row in conn.execute(query))


def _were_open(moment: Moment, host_ids: Collection[int] | None) -> Subquery:
    told = ("host_id", "protocol", "state", "scope")
    parts = [
        select(*(usual.told(table, name) for name in told)).where(*_open_at(table, moment), *of_hosts(table, host_ids))
        for table in _tables(moment)
    ]
    return union_all(*parts).subquery()


def _how_many(found: Subquery) -> tuple[ColumnElement[int], ColumnElement[int]]:
    return func.count(), func.sum(case((found.c.scope != 0, 1), else_=0))


def _parts(question: SocketQuestion, moment: Moment | None, host_ids: Collection[int] | None) -> list[Select[Any]]:
    return [
        select(hosts.c.name.label("host"), *(usual.told(table, name) for name in _AS_KEPT), *_end_of(table))
        .join_from(hosts, table, hosts.c.host_id == table.c.host_id)
        .where(*_open_at(table, moment), *of_hosts(table, host_ids), *_asked(table, question))
        for table in _tables(moment)
    ]


def _tables(moment: Moment | None) -> list[Table]:
    return [current] if moment is None else [current, history]


def _end_of(table: Table) -> list[ColumnElement[Any]]:
    if table is history:
        return [history.c.closed_at_us, history.c.closed_at_is, usual.last_seen()]
    # Every whole look confirms all that is open, without a write to each row.
    seen = case((hosts.c.last_look_us > current.c.seen_at_us, hosts.c.last_look_us), else_=current.c.seen_at_us)
    none = literal(0, BigInteger)
    return [none.label("closed_at_us"), none.label("closed_at_is"), seen.label("last_seen_us")]


def _open_at(table: Table, moment: Moment | None) -> list[ColumnElement[bool]]:
    """Of the time asked about: an interval holds its beginning and not its end, so adjoining ones never both match."""
    if moment is None:
        return []
    at = by_clock(table, moment)
    conditions = [table.c.opened_at_us <= at]
    if table is history:
        # The second says nothing new; it is the one that the index understands.
        conditions += [table.c.closed_at_us > at, ends.since(moment.earliest_us)]
    return conditions


def _asked(table: Table, question: SocketQuestion) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if question.states:
        conditions.append(table.c.state.in_(question.states))
    if protocols := question.protocols or _meant(question):
        conditions.append(usual.told(table, "protocol").in_(protocols))
    if question.local_ports:
        conditions.append(or_(*(_ports(table, first, last) for first, last in question.local_ports)))
    if question.listeners_only or question.exposed_only:
        # As text, in the words of the listeners' index: with a value bound to it no engine would use that.
        conditions.append(text(f"{table.name}.scope <> 0"))  # type: ignore[arg-type]  # a condition, though typed as text
    if question.exposed_only:
        conditions.append(or_(table.c.netns != _HOST_NETNS, table.c.scope != _LOOPBACK))
    return conditions + _held(table, question)


def _meant(question: SocketQuestion) -> tuple[int, ...]:
    """The protocols of a question that names none: all, but what asks for ports or listeners means those with ports."""
    return _WITH_PORTS if question.local_ports or question.listeners_only or question.exposed_only else ()


def _ports(table: Table, first: int, last: int) -> ColumnElement[bool]:
    return table.c.local_port == first if first == last else table.c.local_port.between(first, last)


def _held(table: Table, question: SocketQuestion) -> list[ColumnElement[bool]]:
    """By unit and user exactly; by process as its name or its program, a name cut as the kernel cuts it."""
    holder = tuple_(table.c.host_id, table.c.holder_id)
    conditions: list[ColumnElement[bool]] = []
    of_holder = [
        column == asked for column, asked in ((holders.c.unit, question.unit), (holders.c.user, question.user)) if asked
    ]
    if of_holder:
        conditions.append(holder.in_(select(holders.c.host_id, holders.c.holder_id).where(*of_holder)))
    if question.process:
        cut = question.process.encode()[:_COMM_BYTES].decode(errors="ignore")
        joined = holder_processes.join(
            processes,
            (processes.c.host_id == holder_processes.c.host_id)
            & (processes.c.process_id == holder_processes.c.process_id),
        )
        conditions.append(
            holder.in_(
                select(holder_processes.c.host_id, holder_processes.c.holder_id)
                .select_from(joined)
                .where(or_(processes.c.name == cut, processes.c.program == question.process))
            )
        )
    return conditions


def _answer(row: Row[Any], named: Mapping[tuple[int, int], Any], called: Mapping[tuple[int, int], str]) -> SocketAnswer:
    return SocketAnswer(
        host=row.host,
        netns=row.netns,
        protocol=row.protocol,
        family=row.family,
        state=row.state,
        interface=row.interface,
        v6only=row.v6only,
        local_address=row.local_address,
        local_port=row.local_port,
        remote_address=row.remote_address,
        remote_port=row.remote_port,
        recv_queue=row.recv_queue,
        send_queue=row.send_queue,
        inode=row.inode,
        cookie=row.cookie,
        source=row.source,
        holder=named.get((row.host_id, row.holder_id), _GONE),
        opened_at_us=row.opened_at_us,
        opened_at_is=row.opened_at_is,
        closed_at_us=row.closed_at_us,
        closed_at_is=row.closed_at_is,
        last_seen_us=row.last_seen_us,
        type=row.type,
        path=row.path,
        peer_inode=row.peer_inode,
        netns_name=called.get((row.host_id, row.netns), ""),
    )

"""Which rows a question about sockets asks for, in the words of SQL.

What must stay true: a row of `current` and one of `history` never both match for one interval, and no row matches
twice. Conditions that an index is for are said in its own words, or no engine would use it.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Select,
    Table,
    Tuple,
    and_,
    case,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    text,
    true,
    tuple_,
    union_all,
)

from fleetnet_server.records import SocketQuestion
from fleetnet_server.storage import addresses, ends, former_holders, usual
from fleetnet_server.storage.counts import IP
from fleetnet_server.storage.moments import Moment, by_clock, of_hosts
from fleetnet_server.storage.schema import current, history, holder_processes, holders, hosts, processes

Query: TypeAlias = Select[Any] | CompoundSelect[Any]

_HOST_NETNS = 0
_LOOPBACK = 1  # of the column scope
_LOOPBACK_INTERFACE = "lo"  # drivers/net/loopback.c
# Those with addresses whose local port is one; a raw socket's is the number of its protocol.
_WITH_PORTS = IP[:-1]
# As much of a container's id as docker(1) shows, or more.
_BEGINS_AN_ID = re.compile(r"[0-9a-f]{12,64}", re.ASCII)
# Of OwnerStatus, the wire's numbers: no helper, permission, unaccepted, raced.
_UNSEEN = (3, 4, 6, 8)
_COMM_BYTES = 15  # the kernel cuts a command's name to TASK_COMM_LEN - 1 (include/linux/sched.h)

# In the order of the answer, the last ones only so that it is always the same.
_ORDER: Final[tuple[ColumnElement[Any], ...]] = tuple(
    literal_column(name)
    for name in (
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
    )
)
# As an answer has them, before and after its holder.
_BEFORE = (
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
)
_BEGINNING = ("opened_at_us", "opened_at_is")
_AFTER = ("type", "path", "peer_inode")


@dataclass(frozen=True, slots=True)
class Times:
    """What a question asks for in time.

    Without `since` what is open at the moment, which is now where there is none; with it what began from then on, and
    not after the moment.
    """

    moment: Moment | None = None
    since: Moment | None = None

    def of(self, host_ids: Collection[int]) -> "Times":
        """The same, as far as it concerns these hosts."""
        return Times(self.moment and self.moment.of(host_ids), self.since and self.since.of(host_ids))


def in_order(
    question: SocketQuestion,
    times: Times,
    among: Collection[int] | None,
    of: Collection[int],
    at_most: int | None,
) -> Query:
    """The rows asked for, in the order of the answer, the first so many of them (None: all).

    They are looked for among these hosts (None: all); the hosts `of` have all of them.
    """
    parts = [
        # The hosts once more, for an engine that guesses how many rows there are might read all of them.
        _held(table, question, of, times.moment).where(*of_hosts(hosts, among), *conditions)
        for table, conditions in _parts(question, times, among)
    ]
    found: Query = union_all(*parts) if len(parts) > 1 else parts[0]
    return found.order_by(*_ORDER).limit(at_most)


def rows_of(
    table: Table,
    question: SocketQuestion,
    host_id: int,
    conditions: Collection[ColumnElement[bool]],
    since_us: int,
    moment: Moment | None,
) -> Select[Any]:
    """One host's rows of a table that are asked for, whenever they were, in no order: as they were held at a moment, or
    at their end, if anybody who held them from `since_us` until then is as asked."""
    at = None if moment is None else by_clock(table, moment)
    held = and_(true(), *_are_as_asked(tuple_(table.c.host_id, _holder_id(table, moment)), question, [host_id]))
    if _asks_for_holders(question):
        before = _are_as_asked(former_holders.HOLDER, question, [host_id])
        held = or_(held, former_holders.held_between(table, since_us, at, before))
    asked = (*of_hosts(table, [host_id]), *conditions, *_asked(table, question), held)
    return _rows_at(table, moment).where(*asked)


def hosts_of(question: SocketQuestion, times: Times, host_ids: Collection[int] | None, rows: int) -> Query | None:
    """The hosts of rows that may be asked for, a host for each of them, as they come and so many at most; `host_ids`
    None looks among all.

    None where no index leads to them: then looking for the few might mean reading all.
    """
    if not _is_indexed(question, times):
        return None
    # A bound for each part, or PostgreSQL plans it as if all of its rows were wanted. And what is new in its order, or
    # it takes listeners to be as new as connections are, of which it has counted more, and reads all to find some.
    order = "opened_at_us" if times.since else None
    parts = [
        select(select(table.c.host_id).where(*conditions).order_by(order and table.c[order]).limit(rows).subquery())
        for table, conditions in _parts(question, times, host_ids)
    ]
    return union_all(*parts).limit(rows)


def unseen(question: SocketQuestion, times: Times, host_ids: Collection[int] | None, most: int) -> Select[int] | None:
    """Counts the rows, so many at most, that are as asked but for their holders, and whose holders may be as asked for
    all that the agent could see; None where no holder is asked for."""
    if not _asks_for_holders(question):
        return None
    return _count_unseen(question, _parts(question, times, host_ids), host_ids, times.moment, most)


def unseen_of(
    question: SocketQuestion,
    host_id: int,
    told: Collection[tuple[Table, list[ColumnElement[bool]]]],
    moment: Moment | None,
    most: int,
) -> Select[int] | None:
    """The same of one host's rows, whenever they were; each table with what is asked of its rows."""
    if not _asks_for_holders(question):
        return None
    parts = [
        (table, [*of_hosts(table, [host_id]), *conditions, *_asked(table, question)]) for table, conditions in told
    ]
    return _count_unseen(question, parts, [host_id], moment, most)


def _asks_for_holders(question: SocketQuestion) -> bool:
    return bool(question.process or question.unit or question.user or question.container)


def _count_unseen(
    question: SocketQuestion,
    parts: Collection[tuple[Table, list[ColumnElement[bool]]]],
    host_ids: Collection[int] | None,
    moment: Moment | None,
    most: int,
) -> Select[int]:
    unknown = select(holders.c.host_id, holders.c.holder_id).where(
        *of_hosts(holders, host_ids), holders.c.owner_status.in_(_UNSEEN), *_may_hold(question)
    )
    # A bound for each part, as in hosts_of.
    found = [
        select(
            _then(select(table.c.host_id), table, moment)
            .where(*conditions, tuple_(table.c.host_id, _holder_id(table, moment)).in_(unknown))
            .limit(most)
            .subquery()
        )
        for table, conditions in parts
    ]
    return select(func.count()).select_from(union_all(*found).limit(most).subquery())


def _may_hold(question: SocketQuestion) -> list[ColumnElement[bool]]:
    """Of holders whose processes nobody saw. Unit and container are told by the cgroup, so both are empty where that
    was not seen either; the uid stands in the socket itself."""
    nowhere = and_(holders.c.unit == "", holders.c.container == "")
    may: list[ColumnElement[bool]] = []
    sure: list[ColumnElement[bool]] = []
    for asked, matches, not_seen in (
        (question.unit, holders.c.unit == question.unit, nowhere),
        (question.container, _contained(question.container), nowhere),
        (question.user, holders.c.user == question.user, holders.c.uid.is_(None)),
    ):
        if asked:
            may.append(or_(matches, not_seen))
            sure.append(matches)
    # What all of this is said of is found; but no process is.
    return may if question.process else [*may, not_(and_(*sure))]


def _is_indexed(question: SocketQuestion, times: Times) -> bool:
    listeners = question.listeners_only or question.exposed_only
    if listeners and (question.local_ports or times.since):
        return True
    # Of what has ended only listeners are found across the fleet.
    return times == Times() and bool(question.states or question.remotes)


def were_open(moment: Moment | None, host_ids: Collection[int] | None) -> list[tuple[Table, list[ColumnElement[bool]]]]:
    """Where rows are that these hosts, or all (None), held open at a time; each table with what is asked of its rows, a
    table may be there twice."""
    return [
        (table, [*of_hosts(table, some), *_open_at(table, times.moment)])
        for some, times in _by_clocks(Times(moment), host_ids)
        for table in ([current] if moment is None else [current, history])
    ]


def _by_clocks(times: Times, host_ids: Collection[int] | None) -> list[tuple[Collection[int] | None, Times]]:
    """Hosts, and what is asked for in time as far as it concerns them: apart those whose clocks are wrong by much."""
    at = times.since or times.moment
    if host_ids is None or at is None:
        return [(host_ids, times)]
    far = at.far.intersection(host_ids)
    near = [host_id for host_id in host_ids if host_id not in far]
    parts = [near, far] if near and far else [host_ids]
    return [(some, times.of(frozenset(some))) for some in parts]


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


def _begun(
    table: Table, since: Moment, moment: Moment | None, host_ids: Collection[int] | None
) -> list[ColumnElement[bool]]:
    # What an index understands, and then what is meant.
    conditions = [table.c.opened_at_us >= since.earliest_us, table.c.opened_at_us >= by_clock(table, since)]
    if table is history and host_ids is not None:
        # Nothing new either; of some hosts it leads through the index of their past.
        conditions.append(ends.since(since.earliest_us))
    if moment is not None:
        conditions.append(table.c.opened_at_us <= by_clock(table, moment))
    return conditions


def _parts(
    question: SocketQuestion, times: Times, host_ids: Collection[int] | None
) -> list[tuple[Table, list[ColumnElement[bool]]]]:
    """The tables to look in, each with what is asked of its rows themselves; a table may be there twice."""
    if times.since is None:
        told = were_open(times.moment, host_ids)
    else:
        told = [
            (table, [*of_hosts(table, some), *_begun(table, its.since, its.moment, some)])
            for some, its in _by_clocks(times, host_ids)
            if its.since is not None
            for table in (current, history)
        ]
    return [
        (table, [*conditions, *_asked(table, question), *remote])
        for table, conditions in told
        for remote in addresses.remotes(table, question.remotes, question.remote_ports)
    ]


def _asked(table: Table, question: SocketQuestion) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if question.states:
        conditions.append(table.c.state.in_(question.states))
    if protocols := question.protocols or _meant(question):
        conditions.append(usual.told(table, "protocol").in_(protocols))
    if question.local_ports:
        conditions.append(addresses.ports(table.c.local_port, question.local_ports))
    if question.local is not None:
        conditions.append(addresses.local(table, question.local))
    if question.listeners_only or question.exposed_only:
        # As text, in the words of the listeners' index: with a value bound to it no engine would use that.
        conditions.append(text(f"{table.name}.scope <> 0"))  # type: ignore[arg-type]  # a condition, though typed as text
    if question.exposed_only:
        inside = or_(table.c.scope == _LOOPBACK, func.coalesce(table.c.interface, "") == _LOOPBACK_INTERFACE)
        conditions.append(or_(table.c.netns != _HOST_NETNS, not_(inside)))
    return conditions


def _meant(question: SocketQuestion) -> tuple[int, ...]:
    """The protocols of a question that names none: all, but what asks for ports or listeners means those with ports."""
    return _WITH_PORTS if question.local_ports or question.listeners_only or question.exposed_only else ()


def _then(rows: Select[Any], table: Table, moment: Moment | None) -> Select[Any]:
    """The rows of a table as they were held at the moment, or now."""
    return rows if moment is None else former_holders.then(rows, table, by_clock(table, moment))


def _holder_id(table: Table, moment: Moment | None) -> ColumnElement[int]:
    return table.c.holder_id if moment is None else former_holders.holder_id(table)


def _rows_at(table: Table, moment: Moment | None) -> Select[Any]:
    """All rows of a table as they were held at the moment, or now."""
    return _ROWS[table] if moment is None else _then(_ROWS_THEN[table], table, moment)


def _held(table: Table, question: SocketQuestion, host_ids: Collection[int], moment: Moment | None) -> Select[Any]:
    """The same of those whose holders then are as asked for."""
    holder = tuple_(table.c.host_id, _holder_id(table, moment))
    return _rows_at(table, moment).where(*_are_as_asked(holder, question, host_ids))


def _are_as_asked(holder: Tuple, question: SocketQuestion, host_ids: Collection[int]) -> list[ColumnElement[bool]]:
    """By unit and user exactly; by container likewise, or by the beginning of its id; by process as its name or its
    program, a name cut as the kernel cuts it."""
    conditions: list[ColumnElement[bool]] = []
    of_holder = [
        column == asked for column, asked in ((holders.c.unit, question.unit), (holders.c.user, question.user)) if asked
    ]
    if question.container:
        of_holder.append(_contained(question.container))
    if of_holder:
        of_holder += of_hosts(holders, host_ids)
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
                .where(
                    or_(processes.c.name == cut, processes.c.program == question.process),
                    *of_hosts(processes, host_ids),
                )
            )
        )
    return conditions


def _contained(asked: str) -> ColumnElement[bool]:
    if not _BEGINS_AN_ID.fullmatch(asked):
        return holders.c.container == asked
    # "g" comes after all digits: what begins so lies between.
    return and_(holders.c.container >= asked, holders.c.container < f"{asked}g")


def _rows(table: Table, holder_id: ColumnElement[int]) -> Select[Any]:
    """All rows of a table: which host and holder they are of, then what an answer has of them, in its order."""
    if table is history:
        end: list[ColumnElement[Any]] = [history.c.closed_at_us, history.c.closed_at_is, usual.last_seen()]
    else:
        # Every whole look confirms all that is open, without a write to each row.
        seen = case((hosts.c.last_look_us > current.c.seen_at_us, hosts.c.last_look_us), else_=current.c.seen_at_us)
        none = literal(0, BigInteger)
        end = [none.label("closed_at_us"), none.label("closed_at_is"), seen.label("last_seen_us")]
    columns: list[ColumnElement[Any]] = [
        table.c.host_id,
        holder_id.label("holder_id"),
        hosts.c.name.label("host"),
        *(usual.told(table, name) for name in (*_BEFORE, *_BEGINNING)),
        *end,
        *(usual.told(table, name) for name in _AFTER),
    ]
    return select(*columns).join_from(hosts, table, hosts.c.host_id == table.c.host_id)


# How many values of a row come before an answer's holder, behind the two that name it.
BEFORE_HOLDER: Final = 1 + len(_BEFORE)
# Built once, for that costs as long as finding a row.
_ROWS = {table: _rows(table, table.c.holder_id) for table in (current, history)}
_ROWS_THEN = {table: _rows(table, former_holders.holder_id(table)) for table in (current, history)}

"""How far an answer about now reaches, in few statements: to ask costs more than to find most of it.

What must stay true: it is of the snapshot that the answer is of, so nothing of it is remembered.
"""

from typing import Final, NamedTuple

from sqlalchemy import BigInteger, BindParameter, Connection, bindparam, case, func, literal_column, select, union_all

from fleetnet_server.storage.dialect import is_spread, select_constant
from fleetnet_server.storage.hosts import enrolled, in_fleet
from fleetnet_server.storage.schema import SKEWED, gaps, hosts, sessions


class Reach(NamedTuple):
    """What the database counts of all hosts."""

    known: int
    outside: int  # beside these: they have left the fleet, or are no part of it yet
    heard: int  # of these, since a time
    gaps: int  # that share a moment with a time, if all clocks are right
    skewed: dict[int, int]  # the offset of each clock that is wrong by SKEW_US and more, as the newest stream has it


def now(conn: Connection, heard_since_us: int, begin_us: int, end_us: int) -> Reach:
    """How many hosts there are, and were heard since a time; how many gaps share a moment with another, which may be
    one moment; whose clocks are wrong."""
    # Who was never heard is not in any case, whatever time is asked about.
    values = {"since_us": max(heard_since_us, 1), "begin_us": begin_us, "end_us": end_us}
    known = every = heard = over = 0
    skewed: dict[int, int] = {}
    for what, number, more, all_of_them in select_constant(conn, _REACH, values):
        if what == _HOSTS:
            known, heard, every = number, more, all_of_them
        elif what == _GAPS:
            over = number
        else:
            skewed[number] = more
    return Reach(known, every - known, heard, over, skewed)


class One(NamedTuple):
    """What the database knows of one host."""

    host_id: int
    heard_us: int  # when its last whole look was committed, collector's clock; 0 if none was
    status: str  # any but pending
    clock_offset_us: int  # as its newest stream has it; 0 if there is none


def of_one(conn: Connection, name: str) -> One | None:
    """How one host stands now, which may have left the fleet; None if there is none of this name."""
    if is_spread(conn):
        return _of_one_on_its_machine(conn, name)
    rows = select_constant(conn, _OF_ONE, {"of_name": name})
    return One._make(rows[0]) if rows else None


def _of_one_on_its_machine(conn: Connection, name: str) -> One | None:
    """The same in two statements: for an outer join Citus would gather the streams of all hosts."""
    rows = select_constant(conn, _HOST, {"of_name": name})
    if not rows:
        return None
    [(host_id, heard_us, status, generation)] = rows
    offsets = select_constant(conn, _OFFSET, {"of_host": host_id, "of_generation": generation})
    return One(host_id, heard_us, status, offsets[0][0] if offsets else 0)


def gaps_of_one(conn: Connection, host_id: int, begin_us: int, end_us: int) -> int:
    """How many gaps of a host share a moment with a time of its clock, which may be one moment."""
    values = {"of_host": host_id, "begin_us": begin_us, "end_us": end_us}
    [[over]] = select_constant(conn, _GAPS_OF_ONE, values)
    return int(over)


_HOSTS: Final = 0
_GAPS: Final = 1
_SKEWED: Final = 2


def _us(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger)


_NEWEST = (hosts.c.host_id == sessions.c.host_id) & (hosts.c.generation == sessions.c.generation)
_OVER = (gaps.c.to_us > _us("begin_us"), gaps.c.from_us <= _us("end_us"))
_ZERO = literal_column("0", BigInteger)
_ONE = literal_column("1", BigInteger)
_OF_NAME = (hosts.c.name == bindparam("of_name")) & enrolled()

_REACH = union_all(
    select(
        literal_column(str(_HOSTS)).label("what"),
        func.count(case((in_fleet(), _ONE))).label("number"),
        func.count(case((in_fleet() & (hosts.c.last_heard_us >= _us("since_us")), _ONE))).label("more"),
        func.count().label("all_of_them"),
    ).select_from(hosts),
    select(literal_column(str(_GAPS)), func.count(), _ZERO, _ZERO).select_from(gaps).where(*_OVER),
    select(literal_column(str(_SKEWED)), sessions.c.host_id, sessions.c.clock_offset_us, _ZERO)
    .join(hosts, _NEWEST)
    .where(SKEWED),
)
_OF_ONE = (
    select(
        hosts.c.host_id,
        func.coalesce(hosts.c.last_heard_us, _ZERO),
        hosts.c.status,
        func.coalesce(sessions.c.clock_offset_us, _ZERO),
    )
    .select_from(hosts.outerjoin(sessions, _NEWEST))
    .where(_OF_NAME)
)
_HOST = select(hosts.c.host_id, func.coalesce(hosts.c.last_heard_us, _ZERO), hosts.c.status, hosts.c.generation).where(
    _OF_NAME
)
_OFFSET = select(sessions.c.clock_offset_us).where(
    sessions.c.host_id == bindparam("of_host"), sessions.c.generation == bindparam("of_generation")
)
_GAPS_OF_ONE = select(func.count()).select_from(gaps).where(gaps.c.host_id == bindparam("of_host"), *_OVER)

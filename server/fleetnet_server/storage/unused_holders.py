"""Holders that no row names any more, and their processes: found, doubted, found again, taken away.

What must stay true: a row that names a holder finds it, whichever collector writes the row and whatever it remembers to
have stored (holders.StoredHolders). No index tells what of history names a holder, for it would cost every row more
than the rest of this does. One of former_holders does, for some 40 bytes a row: whoever takes a socket over is mostly
new, so as many rows of holders and processes come with it, and there are few; while of a host that is made to hand over
more than can be read there may be any number. So that nothing is named is found by a reader, which takes its time, and
meanwhile somebody may name it again. Therefore in four steps, each of which is whole by itself:

1. A reader finds the holders of a host that none of its rows names.
2. The writer counts one more doubt of the host, under the lock of the host's row, and marks them with its number. Every
   batch reads that number under the same lock before it stores anything. So from here on no collector relies on having
   stored one of them before: whoever names it stores it again, which takes the mark away (holders.keep).
3. A reader finds which of them are still not named, in a snapshot that begins after step 2 has committed. What was
   written before step 2 is in that snapshot; what is written after it takes the mark away.
4. The writer deletes those of them that still have that mark, under the lock of the host's row again.

Another collector may do the same at the same time. It marks with another number, and what it marks is no longer marked
with ours: a mark says that nobody has named the holder since, and step 3 must have looked behind the very same.

A row that moves from current to history, or is cut in two by what is told afterwards, names a holder that was named
before, or one that has just been stored; and one of former_holders names what current has named until then.
A collector that ends between two steps leaves marks that do no harm.
"""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import BigInteger, BindParameter, Connection, bindparam, delete, exists, select, update

from fleetnet_server.storage import hosts as host_rows
from fleetnet_server.storage import retention
from fleetnet_server.storage.dialect import execute_rows
from fleetnet_server.storage.schema import current, former_holders, history, holder_processes, holders, hosts, processes

_END_OF_TIME_US = 1 << 62
# Of one host, which may have stored any number: held in memory, some 90 bytes each.
MOST_AT_ONCE = 200_000


def after(conn: Connection, host_id: int, holder_id: int | None) -> list[int]:
    """The next holders of a host behind one, or the first; at most MOST_AT_ONCE, ascending."""
    query = select(holders.c.holder_id).where(holders.c.host_id == host_id)
    if holder_id is not None:
        query = query.where(holders.c.holder_id > holder_id)
    return list(conn.execute(query.order_by(holders.c.holder_id).limit(MOST_AT_ONCE)).scalars())


def unnamed(conn: Connection, host_id: int, among: Iterable[int] | None = None) -> list[int]:
    """Steps 1 and 3: holders of a host that no row names; of all, or of some. Reads only, and holds no more of them in
    memory than lie between the first and the last of these."""
    every = select(holders.c.holder_id).where(holders.c.host_id == host_id)
    left = set(conn.execute(every).scalars() if among is None else among)
    if not left:
        return []
    first, last = min(left), max(left)
    open_ones = select(current.c.holder_id).distinct().where(current.c.host_id == host_id)
    left.difference_update(conn.execute(open_ones.where(current.c.holder_id.between(first, last))).scalars())
    # One look into an index for each, however many rows there are.
    before = every.where(holders.c.holder_id.between(first, last), _NAMED_BEFORE.is_not(None))
    left.difference_update(conn.execute(before).scalars())
    for from_us, before_us in retention.slices(conn, host_id, -_END_OF_TIME_US, _END_OF_TIME_US):
        if not left:
            break
        ended = select(history.c.holder_id).distinct().where(*retention.within(host_id, from_us, before_us))
        left.difference_update(conn.execute(ended.where(history.c.holder_id.between(first, last))).scalars())
    return sorted(left)


def doubt(conn: Connection, host_id: int, holder_ids: Collection[int]) -> dict[int, int]:
    """Step 2: the mark of each."""
    mark = conn.execute(_COUNT_DOUBT, {"of_host": host_id}).scalar_one()
    execute_rows(conn, _DOUBT, (*_HOLDER, "mark"), [(host_id, holder_id, mark) for holder_id in holder_ids])
    return dict.fromkeys(holder_ids, mark)


def remove(conn: Connection, host_id: int, marks: Mapping[int, int]) -> tuple[int, int]:
    """Step 4: how many of these holders, at most some hundreds, were deleted, and how many processes with them."""
    host_rows.hold(conn, [host_id])
    asked = {"of_host": host_id, "ids": list(marks)}
    gone = [(host_id, row.holder_id) for row in conn.execute(_MARKS, asked) if row.doubted == marks[row.holder_id]]
    if not gone:
        return 0, 0
    members = conn.execute(_MEMBERS, {"of_host": host_id, "ids": [holder_id for _, holder_id in gone]}).scalars()
    lost = [(host_id, process_id) for process_id in members]
    execute_rows(conn, _LEAVE, _HOLDER, gone)
    execute_rows(conn, _REMOVE, _HOLDER, gone)
    return len(gone), execute_rows(conn, _REMOVE_PROCESS, ("of_host", "of_process"), lost) if lost else 0


# A subquery for one value is carried out for each row; of an EXISTS an engine may make a join that reads every row.
_NAMED_BEFORE = (
    select(former_holders.c.holder_id)
    .where(former_holders.c.host_id == holders.c.host_id, former_holders.c.holder_id == holders.c.holder_id)
    .limit(1)
    .scalar_subquery()
)
_HOLDER = ("of_host", "of_holder")
_THIS = (holders.c.host_id == bindparam("of_host"), holders.c.holder_id == bindparam("of_holder"))
_COUNT_DOUBT = (
    update(hosts)
    .where(hosts.c.host_id == bindparam("of_host"))
    .values(holder_doubts=hosts.c.holder_doubts + 1)
    .returning(hosts.c.holder_doubts)
)
_MARK: BindParameter[int] = bindparam("mark", type_=BigInteger)
_DOUBT = update(holders).where(*_THIS).values(doubted=_MARK)
_MARKS = select(holders.c.holder_id, holders.c.doubted).where(
    holders.c.host_id == bindparam("of_host"), holders.c.holder_id.in_(bindparam("ids", expanding=True))
)
_MEMBERS = (
    select(holder_processes.c.process_id)
    .distinct()
    .where(
        holder_processes.c.host_id == bindparam("of_host"),
        holder_processes.c.holder_id.in_(bindparam("ids", expanding=True)),
    )
)
_LEAVE = delete(holder_processes).where(
    holder_processes.c.host_id == bindparam("of_host"), holder_processes.c.holder_id == bindparam("of_holder")
)
_REMOVE = delete(holders).where(*_THIS)
_REMOVE_PROCESS = delete(processes).where(
    processes.c.host_id == bindparam("of_host"),
    processes.c.process_id == bindparam("of_process"),
    ~exists().where(
        holder_processes.c.host_id == processes.c.host_id, holder_processes.c.process_id == processes.c.process_id
    ),
)

"""Who and what holds sockets: each combination of a host is kept once, under the hash of its content."""

from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from sqlalchemy import Connection, bindparam, literal_column, select

from fleetnet_server.records import Holder, Process, Session
from fleetnet_server.storage import ids
from fleetnet_server.storage.dialect import execute_many, insert_new, insert_or_clear, select_each
from fleetnet_server.storage.schema import holder_processes, holders, processes

# Of one stream: some 100 bytes each.
MOST_REMEMBERED: Final = 1_000
# That are loaded together, some 500 bytes each: a page of what hosts have in earnest has a tenth of them. One socket
# has 16,384 at most, as the wire bounds it.
MOST_OWNERS: Final = 20_000


class StoredHolders:
    """Which holders each stream has stored, so that they are not written again with each of its batches.

    What must stay true: nothing is in here of a batch that was undone. So whoever cannot store one forgets its stream.
    And nothing is relied on that has come into doubt since, wherever that was (unused_holders.py): so whoever asks
    gives the number of the host's doubts (hosts.holder_doubts), read under the lock of the host's row.
    """

    def __init__(self) -> None:
        self._by_stream: dict[tuple[int, int], tuple[int, set[int]]] = {}

    def of(self, session: Session, doubts: int) -> Container[int]:
        """Ids of the holders that it has stored since the last of so many doubts."""
        since, stored = self._by_stream.get(_name(session), (doubts, ()))
        return stored if since == doubts else ()

    def add(self, session: Session, doubts: int, holder_ids: Collection[int]) -> None:
        """It has stored these too."""
        if holder_ids:
            since, stored = self._by_stream.get(_name(session), (doubts, set()))
            if since != doubts or len(stored) + len(holder_ids) > MOST_REMEMBERED:
                stored = set()
            stored.update(islice(holder_ids, MOST_REMEMBERED))
            self._by_stream[_name(session)] = (doubts, stored)

    def forget(self, session: Session) -> None:
        """It has ended, or something of it could not be stored."""
        self._by_stream.pop(_name(session), None)


def _name(session: Session) -> tuple[int, int]:
    return session.host_id, session.generation


@dataclass(slots=True)
class Told:
    """The holders of one host that a batch tells of."""

    host_id: int
    names: dict[int, int] = field(default_factory=dict)  # of each by the `id()` of the object that was given
    holders: dict[int, Holder] = field(default_factory=dict)
    processes: dict[int, Process] = field(default_factory=dict)
    members: set[tuple[int, int]] = field(default_factory=set)  # holder and process


def tell(host_id: int, boot_id: bytes, found: Iterable[Holder], stored: Container[int] = ()) -> Told:
    """Name holders, and say what is to be kept of those that are not stored yet.

    By object and not by value, for comparing the processes of every socket's holder would cost more than storing them.
    """
    told = Told(host_id)
    for holder in found:
        if id(holder) in told.names:
            continue
        named = {ids.process_id(boot_id, process): process for process in holder.owners}
        holder_id = told.names[id(holder)] = ids.holder_id(holder, list(named))
        if holder_id not in stored:
            told.holders[holder_id] = holder
            told.processes.update(named)
            told.members.update((holder_id, process_id) for process_id in named)
    return told


def keep(conn: Connection, all_told: Sequence[Told]) -> None:
    """Keep holders and their processes, each batch of another host; what was in doubt of them is so no longer."""
    for insert, rows in (
        (
            insert_or_clear(conn, holders, "doubted"),
            [_holder_row(told.host_id, *each) for told in all_told for each in told.holders.items()],
        ),
        (
            insert_new(conn, processes),
            [_process_row(told.host_id, *each) for told in all_told for each in told.processes.items()],
        ),
        (
            insert_new(conn, holder_processes),
            [
                {"host_id": told.host_id, "holder_id": holder_id, "process_id": process_id}
                for told in all_told
                for holder_id, process_id in told.members
            ],
        ),
    ):
        if rows:
            execute_many(conn, insert, rows)


def record(conn: Connection, host_id: int, boot_id: bytes, found: Iterable[Holder]) -> dict[int, int]:
    """Keep holders and their processes; the answer names each by the `id()` of the object given."""
    told = tell(host_id, boot_id, found)
    keep(conn, [told])
    return told.names


def _holder_row(host_id: int, holder_id: int, holder: Holder) -> dict[str, object]:
    return {
        "host_id": host_id,
        "holder_id": holder_id,
        "uid": holder.uid,
        "user": holder.user,
        "unit": holder.unit,
        "container": holder.container,
        "runtime": holder.runtime,
        "owner_status": holder.owner_status,
    }


def _process_row(host_id: int, process_id: int, process: Process) -> dict[str, object]:
    return {
        "host_id": host_id,
        "process_id": process_id,
        "pid": process.pid,
        "started_at_us": process.started_at_us,
        "name": process.name,
        "exe": process.exe,
        "program": process.program,
    }


_PROCESS = ("pid", "started_at_us", "name", "exe", "program")  # as a Process has them
_LOAD = (
    select(
        *(holders.c[name] for name in ("host_id", "holder_id", "runtime")),
        *(processes.c[name] for name in _PROCESS),
        *(holders.c[name] for name in ("uid", "user", "unit", "container", "owner_status")),  # as a Holder has them
    )
    .select_from(
        holders.outerjoin(
            holder_processes,
            (holder_processes.c.host_id == holders.c.host_id) & (holder_processes.c.holder_id == holders.c.holder_id),
        ).outerjoin(
            processes,
            (processes.c.host_id == holder_processes.c.host_id)
            & (processes.c.process_id == holder_processes.c.process_id),
        )
    )
    .where(holders.c.host_id == bindparam("of_host"), holders.c.holder_id == bindparam("of_holder"))
    .limit(literal_column(str(MOST_OWNERS + 1)))
    .offset(literal_column("0"))  # else it is a value on SQLite
)


_ALONE = select(
    holders.c.host_id,
    holders.c.holder_id,
    *(holders.c[name] for name in ("uid", "user", "unit", "container", "owner_status", "runtime")),
).where(holders.c.host_id == bindparam("of_host"), holders.c.holder_id == bindparam("of_holder"))


def without_owners(conn: Connection, wanted: Collection[tuple[int, int]]) -> dict[tuple[int, int], Holder]:
    """The holders of these (host_id, holder_id), of whom it is not said which processes they are: of a few sockets
    these may be thousands each."""
    rows = select_each(conn, _ALONE, ("of_host", "of_holder"), sorted(wanted)) if wanted else ()
    return {
        (host_id, holder_id): Holder(uid, user, unit, container, owner_status, (), runtime)
        for host_id, holder_id, uid, user, unit, container, owner_status, runtime in rows
    }


def load(conn: Connection, wanted: Collection[tuple[int, int]]) -> dict[tuple[int, int], Holder] | None:
    """The holders of these (host_id, holder_id), with their processes ascending by pid; None where several have more
    processes together than MOST_OWNERS, who asks for fewer then."""
    owners: dict[tuple[int, int], list[Process]] = {}
    told: dict[tuple[int, int], Holder] = {}
    rows = select_each(conn, _LOAD, ("of_host", "of_holder"), sorted(wanted)) if wanted else ()
    if len(rows) > MOST_OWNERS and len(wanted) > 1:
        return None
    for host_id, holder_id, runtime, *process, uid, user, unit, container, owner_status in rows:
        name = (host_id, holder_id)
        told[name] = Holder(uid, user, unit, container, owner_status, (), runtime)
        if process[0] is not None:
            owners.setdefault(name, []).append(Process(*process))
    for name, some in owners.items():
        some.sort()  # by pid, and then by when they started
        told[name] = told[name]._replace(owners=tuple(some))
    return told

"""Who and what holds sockets: each combination of a host is kept once, under the hash of its content."""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, select, tuple_

from fleetnet_server.records import Holder, Process
from fleetnet_server.storage import ids
from fleetnet_server.storage.dialect import execute_many, insert_new
from fleetnet_server.storage.schema import holder_processes, holders, processes


def record(conn: Connection, host_id: int, boot_id: bytes, found: Iterable[Holder]) -> dict[int, int]:
    """Keep holders and their processes; the answer names each by the `id()` of the object given.

    By object and not by value, for comparing the processes of every socket's holder would cost more than storing them.
    """
    names: dict[int, int] = {}
    rows: dict[int, Holder] = {}
    members: dict[tuple[int, int], Process] = {}
    for holder in found:
        if id(holder) in names:
            continue
        named = {ids.process_id(boot_id, process): process for process in holder.owners}
        holder_id = names[id(holder)] = ids.holder_id(holder, list(named))
        rows[holder_id] = holder
        members.update({(holder_id, process_id): process for process_id, process in named.items()})
    if rows:
        execute_many(conn, insert_new(conn, holders), [_holder_row(host_id, *row) for row in rows.items()])
    if members:
        known = {process_id: process for (_, process_id), process in members.items()}
        execute_many(conn, insert_new(conn, processes), [_process_row(host_id, *row) for row in known.items()])
        execute_many(
            conn,
            insert_new(conn, holder_processes),
            [{"host_id": host_id, "holder_id": holder, "process_id": process} for holder, process in members],
        )
    return names


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


def load(conn: Connection, wanted: Collection[tuple[int, int]]) -> dict[tuple[int, int], Holder]:
    """The holders of these (host_id, holder_id), with their processes ascending by pid, in one statement."""
    if not wanted:
        return {}
    joined = holders.outerjoin(
        holder_processes,
        (holder_processes.c.host_id == holders.c.host_id) & (holder_processes.c.holder_id == holders.c.holder_id),
    ).outerjoin(
        processes,
        (processes.c.host_id == holder_processes.c.host_id) & (processes.c.process_id == holder_processes.c.process_id),
    )
    query = (
        select(holders, *(processes.c[name] for name in ("pid", "started_at_us", "name", "exe", "program")))
        .select_from(joined)
        .where(tuple_(holders.c.host_id, holders.c.holder_id).in_(list(wanted)))
        .order_by(processes.c.pid, processes.c.started_at_us)
    )
    owners: dict[tuple[int, int], list[Process]] = {}
    told: dict[tuple[int, int], tuple[tuple[int | None, str, str, str, int], str]] = {}
    for row in conn.execute(query):
        name = (row.host_id, row.holder_id)
        told[name] = ((row.uid, row.user, row.unit, row.container, row.owner_status), row.runtime)
        if row.pid is not None:
            owners.setdefault(name, []).append(Process(row.pid, row.started_at_us, row.name, row.exe, row.program))
    return {name: Holder(*words, tuple(owners.get(name, ())), runtime) for name, (words, runtime) in told.items()}

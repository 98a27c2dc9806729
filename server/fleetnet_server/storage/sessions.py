"""Report streams: which may write, how far each has come, and what of a host's time they covered."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Select, bindparam, func, insert, select, update

from fleetnet_server.errors import SequenceHole
from fleetnet_server.records import ACTIVE, Hello, HostFacts, Session
from fleetnet_server.storage.dialect import execute_rows, hold_each, is_spread, select_each
from fleetnet_server.storage.each_host import each_host
from fleetnet_server.storage.hosts import Look, good
from fleetnet_server.storage.moments import of_hosts
from fleetnet_server.storage.schema import SKEW_US, SKEWED, hosts, sessions

LONGEST_WAY_US: Final = 25_000_000  # of a Hello; an agent does not wait longer for its answer
_BESIDE_US: Final = 3_600_000_000


class Standing(NamedTuple):
    """What the database knows about a stream and its host when a batch comes in."""

    admitted: bool  # the host is active, and the certificate good that the stream was opened with
    fenced: bool  # a newer stream of the host has been opened
    last_sequence: int
    clock_offset_us: int
    first_at_us: int | None
    last_at_us: int | None
    boot_id: bytes | None  # whose sockets are open; None before the first batch
    last_look: Look | None  # the host's last whole look; None before the first
    whole: bool  # False while a snapshot of the host is stored in part only
    latest_us: int  # the host's latest look ever stored
    holder_doubts: int  # see StoredHolders


@dataclass(frozen=True, slots=True)
class Covered:
    """The time that a stream's looks cover, collector's clock, and what the host said of itself at its opening."""

    host_id: int
    first_at_us: int
    last_at_us: int
    clock_offset_us: int
    agent_version: str
    facts: HostFacts


class Opened(NamedTuple):
    """A stream as it was opened, and its first look; times by the collector's clock."""

    host_id: int
    generation: int
    boot_id: bytes
    booted_at_us: int  # host's clock
    started_at_us: int
    first_at_us: int | None
    clock_offset_us: int


class Heard(NamedTuple):
    """A time in which a stream's looks were told as they were taken; collector's clock."""

    from_us: int
    to_us: int
    clock_offset_us: int


def open_sessions(conn: Connection, begun: Sequence[tuple[int, int, Hello, int, str]]) -> list[Session]:
    """Begin streams, each of another host and given as (host_id, generation, hello, received_at_us, serial of the
    certificate); each goes on from the last sequence that its epoch has committed. Call with the hosts held
    (hosts.generations)."""
    epochs = [(host_id, hello.boot_id, hello.epoch) for host_id, _, hello, *_ in begun]
    committed: dict[int, int] = dict(select_each(conn, _COMMITTED, ("of_host", "of_boot", "of_epoch"), epochs))
    opened = [_session(*one, committed.get(one[0], 0)) for one in begun]
    rows = [_row(session, hello) for session, (_, _, hello, *_) in zip(opened, begun, strict=True)]
    execute_rows(conn, _OPEN, _OPENED, rows)
    return opened


def _session(host_id: int, generation: int, hello: Hello, received_at_us: int, serial: str, committed: int) -> Session:
    lead_us = hello.wall_clock_us - hello.boottime_us if hello.boottime_us else None
    return Session(
        host_id, generation, hello.boot_id, hello.epoch, committed, received_at_us, hello.boottime_us, lead_us,
        serial,
    )  # fmt: skip


def _row(session: Session, hello: Hello) -> tuple[Any, ...]:
    """In the order of _OPENED."""
    facts = hello.facts
    return (
        session.host_id,
        session.generation,
        hello.boot_id,
        hello.epoch,
        session.committed_sequence,
        session.started_at_us,
        hello.wall_clock_us - session.started_at_us,
        hello.agent_version,
        hello.machine_id_hash,
        hello.interval_s,
        hello.netns_inode,
        facts.os,
        facts.kernel,
        facts.architecture,
        facts.cpu_count,
        facts.memory_bytes,
        facts.booted_at_us,
    )


def standing(conn: Connection, session: Session) -> Standing:
    """How the stream stands. The host's row is held until the end of the transaction, so that no other gets between.

    Raises SequenceHole if the database knows nothing of it: it has gone back to a time before.
    """
    found = standings(conn, [session])
    if session.host_id not in found:
        raise SequenceHole("the database is of a time before this stream, as after a failover or a restore; reconnect")
    return found[session.host_id]


def standings(conn: Connection, streams: Sequence[Session]) -> dict[int, Standing]:
    """How streams stand, each of another host, by host. Their rows are held until the end of the transaction."""
    generations = {session.host_id: session.generation for session in streams}
    serials = {session.host_id: session.serial for session in streams}
    rows = sorted(generations.items())
    found = {}
    for host_id, generation, boot_id, look_boot_id, look_epoch, look_us, whole, *more in hold_each(
        conn, _STANDING, hosts, ("of_host", "of_generation"), rows
    ):
        latest_us, holder_doubts, status, certificate, renewed, last_sequence, clock_offset_us, *times = more
        first_at_us, last_at_us = times
        found[host_id] = Standing(
            admitted=status == ACTIVE and good(serials[host_id], certificate, renewed),
            fenced=generation != generations[host_id],
            last_sequence=last_sequence,
            clock_offset_us=clock_offset_us,
            first_at_us=first_at_us,
            last_at_us=last_at_us,
            boot_id=boot_id,
            last_look=None if look_us is None else Look(look_boot_id, look_epoch, look_us),
            whole=bool(whole),
            latest_us=latest_us,
            holder_doubts=holder_doubts,
        )
    return found


def note_sequence(conn: Connection, session: Session, sequence: int) -> None:
    """A batch was stored that does not make a look whole."""
    conn.execute(_NOTE_SEQUENCE, {**_name(session), "sequence": sequence})


class Progress(NamedTuple):
    """What a batch that makes a look whole adds to its stream; times by the collector's clock."""

    session: Session
    sequence: int
    first_at_us: int
    last_at_us: int


def note_looks(conn: Connection, made: Sequence[Progress]) -> None:
    """Batches were stored, each of another stream, that make looks whole."""
    execute_rows(
        conn,
        _NOTE_LOOK,
        ("of_host", "of_generation", "sequence", "first_us", "last_us"),
        [(p.session.host_id, p.session.generation, p.sequence, p.first_at_us, p.last_at_us) for p in made],
    )


def cover(conn: Connection, host_id: int, from_us: int, to_us: int) -> None:
    """A time after the looks of a stream, by the host's clock, was told afterwards: it counts as the stream's own."""
    # The next stream began with the look at its end. Halfway, for what is known of the host's clock is not exact.
    middle_us = from_us + (to_us - from_us) // 2
    begun = (sessions.c.host_id == host_id, sessions.c.first_at_us + sessions.c.clock_offset_us <= middle_us)
    last = select(sessions.c.generation, sessions.c.clock_offset_us, sessions.c.last_at_us).where(*begun)
    row = conn.execute(last.order_by(sessions.c.generation.desc()).limit(1)).one_or_none()
    if row is not None and to_us - row.clock_offset_us > row.last_at_us:
        this = (sessions.c.host_id == host_id, sessions.c.generation == row.generation)
        told_from_us = func.coalesce(sessions.c.told_from_us, sessions.c.last_at_us)
        told = {"last_at_us": to_us - row.clock_offset_us, "told_from_us": told_from_us}
        conn.execute(update(sessions).where(*this).values(told))


def correct_clock(conn: Connection, session: Session, offset_us: int) -> None:
    """The host's clock turned out to be ahead of the collector's by this much at the opening."""
    conn.execute(update(sessions).where(*_THIS).values(clock_offset_us=offset_us), _name(session))


def close(conn: Connection, session: Session, at_us: int) -> None:
    """The stream has ended; collector's clock."""
    conn.execute(update(sessions).where(*_THIS).values(ended_at_us=at_us), _name(session))


def _name(session: Session) -> dict[str, int]:
    return {"of_host": session.host_id, "of_generation": session.generation}


_OPENED = (
    "host_id",
    "generation",
    "boot_id",
    "epoch",
    "last_sequence",
    "started_at_us",
    "clock_offset_us",
    "agent_version",
    "machine_id_hash",
    "interval_s",
    "netns_inode",
    "os",
    "kernel",
    "architecture",
    "cpu_count",
    "memory_bytes",
    "booted_at_us",
)  # fmt: skip
_OPEN = insert(sessions)
# Only the newest stream of an epoch may write, so the highest sequence is its.
_COMMITTED = (
    select(sessions.c.host_id, func.max(sessions.c.last_sequence))
    .where(
        sessions.c.host_id == bindparam("of_host"),
        sessions.c.boot_id == bindparam("of_boot"),
        sessions.c.epoch == bindparam("of_epoch"),
    )
    .group_by(sessions.c.host_id)
)
# Every batch and beat runs these; built once, they cost a third of what they cost built anew.
_THIS = (sessions.c.host_id == bindparam("of_host"), sessions.c.generation == bindparam("of_generation"))
_NOTE_SEQUENCE = update(sessions).where(*_THIS).values(last_sequence=bindparam("sequence"))
_NOTE_LOOK = (
    update(sessions)
    .where(*_THIS)
    .values(last_sequence=bindparam("sequence"), first_at_us=bindparam("first_us"), last_at_us=bindparam("last_us"))
)
_STANDING = (
    select(
        hosts.c.host_id,
        hosts.c.generation,
        hosts.c.boot_id,
        hosts.c.look_boot_id,
        hosts.c.look_epoch,
        hosts.c.last_look_us,
        hosts.c.whole,
        hosts.c.latest_us,
        hosts.c.holder_doubts,
        hosts.c.status,
        hosts.c.certificate_serial,
        hosts.c.renewed_serial,
        sessions.c.last_sequence,
        sessions.c.clock_offset_us,
        sessions.c.first_at_us,
        sessions.c.last_at_us,
    )
    .join_from(hosts, sessions, hosts.c.host_id == sessions.c.host_id)
    .where(*_THIS)
)
_OFFSETS = select(*(sessions.c[name] for name in Opened._fields)).where(
    sessions.c.host_id == bindparam("of_host"),
    sessions.c.started_at_us.between(bindparam("from_us"), bindparam("to_us")),
)
_COVERED = (
    sessions.c.host_id,
    sessions.c.first_at_us,
    sessions.c.last_at_us,
    sessions.c.clock_offset_us,
    sessions.c.agent_version,
    sessions.c.os,
    sessions.c.kernel,
    sessions.c.architecture,
    sessions.c.cpu_count,
    sessions.c.memory_bytes,
    sessions.c.booted_at_us,
)


def skewed(conn: Connection) -> dict[int, int]:
    """The offset of the clock of each host for which it is at least SKEW_US, as its newest stream has it."""
    query = (
        select(sessions.c.host_id, sessions.c.clock_offset_us)
        .join(hosts, (hosts.c.host_id == sessions.c.host_id) & (hosts.c.generation == sessions.c.generation))
        .where(SKEWED)
    )
    return {row.host_id: row.clock_offset_us for row in conn.execute(query)}


def heard(conn: Connection, host_ids: Collection[int] | None, from_us: int, to_us: int) -> dict[int, list[Heard]]:
    """When each of these hosts, or of all (None), was heard within a time, in the order of its streams."""
    told = (sessions.c.first_at_us, sessions.c.started_at_us, sessions.c.last_at_us, sessions.c.told_from_us)
    query = (
        select(sessions.c.host_id, *told, sessions.c.clock_offset_us)
        .where(*of_hosts(sessions, host_ids), sessions.c.first_at_us <= to_us, sessions.c.last_at_us >= from_us)
        .order_by(sessions.c.host_id, sessions.c.generation)
    )
    found: dict[int, list[Heard]] = {}
    for host_id, first_us, started_us, last_us, told_from_us, offset_us in conn.execute(query):
        # What came with the first look may have been kept in the agent's memory.
        until_us = last_us if told_from_us is None else min(last_us, told_from_us)
        found.setdefault(host_id, []).append(Heard(max(first_us, started_us), until_us, offset_us))
    return found


def newest(conn: Connection, host_ids: Collection[int] | None = None) -> dict[int, Covered]:
    """The newest stream of some hosts or of each."""
    query = (
        select(*_COVERED)
        .select_from(sessions)
        .join(hosts, (hosts.c.host_id == sessions.c.host_id) & (hosts.c.generation == sessions.c.generation))
    )
    return _covered(conn, query, host_ids)


def covering(conn: Connection, at_us: int, host_ids: Collection[int] | None = None) -> dict[int, Covered]:
    """Of some hosts or of each the last stream whose looks begin at or before a time of the collector's clock.

    Only the newest stream of a host may write, so streams do not overlap and this one reaches nearest to the time.
    """
    other = sessions.alias()
    each = each_host(conn)
    begun = (
        select(func.max(other.c.first_at_us))
        .where(other.c.host_id == each.host_id, other.c.first_at_us <= at_us, *_said_again(conn, other, host_ids))
        .scalar_subquery()
        .correlate(each.of)
    )
    query = (
        select(*_COVERED)
        .select_from(each.found_in.join(sessions, each.host_id == sessions.c.host_id))
        .where(sessions.c.first_at_us == begun)
    )
    found = _covered(conn, query.order_by(sessions.c.generation), host_ids)
    return found | _by_quicker_ones(conn, [one for one in found.values() if one.clock_offset_us <= -SKEW_US])


def _said_again(conn: Connection, other: FromClause, host_ids: Collection[int] | None) -> list[ColumnElement[bool]]:
    """Where tables are spread over machines, that rows are of these hosts is said of each table: so a statement about
    one host goes to the machine that has it."""
    return of_hosts(other, host_ids) if is_spread(conn) else []


def _by_quicker_ones(conn: Connection, late: Sequence[Covered]) -> dict[int, Covered]:
    """Streams with clocks that look late, each of another host, whose offsets another stream of that time knows better.

    What travels makes a clock look late and never early. A stream of which every message took seconds is told from a
    clock that is behind by the streams beside it, as long as nobody has set the host's clock in between.
    """
    beside: dict[int, list[Opened]] = {}
    # Of each host about its own time: what another has told long before or after is no matter.
    times = [(one.host_id, one.first_at_us - 2 * _BESIDE_US, one.first_at_us + 2 * _BESIDE_US) for one in late]
    for row in select_each(conn, _OFFSETS, ("of_host", "from_us", "to_us"), times) if times else ():
        opened = Opened._make(row)
        beside.setdefault(opened.host_id, []).append(opened)
    found = {}
    for one in late:
        own = next((row for row in beside.get(one.host_id, ()) if row.first_at_us == one.first_at_us), None)
        if own is None:  # it tells of a time long before it was opened
            continue
        offset_us = max(row.clock_offset_us for row in beside[one.host_id] if _same_clock(row, own))
        if offset_us - own.clock_offset_us < LONGEST_WAY_US:
            found[one.host_id] = replace(one, clock_offset_us=offset_us)
    return found


def _same_clock(row: Opened, own: Opened) -> bool:
    """Whether two streams were opened by a clock of the host that nobody had set in between, nor of ours, it seems."""
    if row.generation == own.generation:
        return True
    set_by_us = abs(row.booted_at_us - own.booted_at_us)
    known = own.booted_at_us > 0 and row.boot_id == own.boot_id and set_by_us <= SKEW_US
    return known and abs(row.started_at_us - own.started_at_us) <= _BESIDE_US


def _covered(conn: Connection, query: Select[Any], host_ids: Collection[int] | None) -> dict[int, Covered]:
    if host_ids is not None and not host_ids:
        return {}
    query = query.where(*of_hosts(hosts, host_ids))
    return {
        row.host_id: Covered(
            row.host_id,
            row.first_at_us or 0,
            row.last_at_us or 0,
            row.clock_offset_us,
            row.agent_version,
            HostFacts(row.os, row.kernel, row.architecture, row.cpu_count, row.memory_bytes, row.booted_at_us),
        )
        for row in conn.execute(query)
    }

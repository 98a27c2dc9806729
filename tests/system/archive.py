"""What a collector has kept, read from its database: from a file only after it has ended (see `read`)."""

import itertools
import socket
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from system.ledger import Entry

# include/net/tcp_states.h
_STATES = {
    1: "ESTABLISHED",
    2: "SYN_SENT",
    3: "SYN_RECV",
    4: "FIN_WAIT1",
    5: "FIN_WAIT2",
    6: "TIME_WAIT",
    7: "CLOSE",
    8: "CLOSE_WAIT",
    9: "LAST_ACK",
    10: "LISTEN",
    11: "CLOSING",
}
_WITH_ADDRESSES = "coalesce(protocol, 6) IN (6, 17)"
_COLUMNS = (
    "socket_id, coalesce(protocol, 6), coalesce(family, 4), state, local_address, local_port, remote_address, "
    "remote_port, opened_at_us, opened_at_is"
)

_PROTOCOLS = {6: "tcp", 17: "udp"}  # others have no addresses by which the ledger could name them
_EXACT = 1  # of OpenedAtIs and ClosedAtIs, sockets.proto

Name = tuple[str, str, str, int, str | None, int | None]


@dataclass(frozen=True, slots=True)
class Interval:
    """One socket in one state; `closed_at_us` is None while it is open."""

    socket_id: int
    name: Name  # as Entry.name
    state: str
    opened_at_us: int
    closed_at_us: int | None
    opened_exactly: bool
    closed_exactly: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """A time that history does not cover."""

    from_us: int
    to_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class Archive:
    """Everything of one host that has addresses: its TCP and UDP sockets."""

    intervals: list[Interval]  # ascending by opened_at_us
    gaps: list[Gap]

    def of(self, entry: Entry) -> list[Interval]:
        """The intervals of a socket."""
        return [interval for interval in self.intervals if interval.name == entry.name]

    def doubled(self) -> list[tuple[Interval, Interval]]:
        """Pairs of intervals of one socket that overlap, or of two sockets that cannot have been open together."""
        found = []
        for key in ("socket_id", "name"):
            grouped: dict[object, list[Interval]] = defaultdict(list)
            for interval in self.intervals:
                grouped[getattr(interval, key)].append(interval)
            for group in grouped.values():
                found += [(a, b) for a, b in itertools.pairwise(group) if _overlap(a, b)]
        return found


def read(data: Path, host: str, netns: int | None = None) -> Archive:
    """The archive of a host, or of one of its network namespaces.

    The collector must have ended: opening its file would drop the locks of its process.
    """
    database = sqlite3.connect(f"file:{data / 'fleetnet.db'}?mode=ro", uri=True)
    try:
        return _read(lambda sql, values: database.execute(sql.replace("%s", "?"), values), host, netns)
    finally:
        database.close()


def read_postgresql(url: str, host: str) -> Archive:
    """The archive of a host that is kept on a server."""
    with psycopg.connect(url.replace("+psycopg", "", 1)) as database:
        return _read(lambda sql, values: database.execute(sql.encode(), values), host, None)


_Ask = Callable[[str, tuple[object, ...]], Iterable[Any]]


def _read(ask: _Ask, host: str, netns: int | None) -> Archive:
    [(host_id,)] = ask("SELECT host_id FROM hosts WHERE name = %s", (host,))
    wanted = f"host_id = %s AND {_WITH_ADDRESSES}" + ("" if netns is None else f" AND coalesce(netns, 0) = {netns:d}")
    closed = ask(f"SELECT {_COLUMNS}, closed_at_us, closed_at_is FROM history WHERE {wanted}", (host_id,))
    still_open = ask(f"SELECT {_COLUMNS}, NULL, 0 FROM current WHERE {wanted}", (host_id,))
    gaps = ask("SELECT from_us, to_us, reason FROM gaps WHERE host_id = %s ORDER BY 1", (host_id,))
    return Archive(_intervals([*closed, *still_open]), [Gap(*row) for row in gaps])


def read_network(data: Path, host: str, table: str, netns: int) -> list[dict[str, Any]]:
    """What is kept in one of the tables `namespaces`, `interfaces` and `routes` of a namespace, ascending by time."""
    database = sqlite3.connect(f"file:{data / 'fleetnet.db'}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    try:
        of_host = f"SELECT * FROM {table} WHERE host_id = (SELECT host_id FROM hosts WHERE name = ?) AND netns = ?"
        return [dict(row) for row in database.execute(f"{of_host} ORDER BY opened_at_us", (host, netns))]
    finally:
        database.close()


def _intervals(
    rows: Iterable[tuple[int, int, int, int, bytes, int, bytes, int, int, int, int | None, int]],
) -> list[Interval]:
    made = []
    for (
        socket_id,
        protocol,
        family,
        state,
        local,
        local_port,
        remote,
        remote_port,
        opened,
        opened_is,
        closed,
        closed_is,
    ) in rows:
        if protocol not in _PROTOCOLS:
            continue
        name = (
            _PROTOCOLS[protocol],
            f"ipv{family}",
            text(local),
            local_port,
            text(remote) if remote else None,
            remote_port if remote else None,
        )
        made.append(Interval(socket_id, name, _STATES[state], opened, closed, opened_is == _EXACT, closed_is == _EXACT))
    return sorted(made, key=lambda interval: (interval.opened_at_us, interval.closed_at_us or 2**63))


def text(address: bytes) -> str:
    """An address as the JSON has it; the kernel's way keeps the dots of IPv4-mapped ones."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def _overlap(first: Interval, second: Interval) -> bool:
    return first.closed_at_us is None or first.closed_at_us > second.opened_at_us

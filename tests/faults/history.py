"""What the collector has kept of each host, read from its database and not through the collector."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from faults.stores import Rows, Store
from faults.workload import Name
from system.archive import text

# include/net/tcp_states.h
_STATES = ("", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
           "LAST_ACK", "LISTEN", "CLOSING")  # fmt: skip
_PROTOCOLS = {6: "tcp", 17: "udp"}
# OpenedAtIs and ClosedAtIs in sockets.proto
UNSEEN = 4
OPEN, EXACT, SEEN, GAP = 0, 1, 2, 3
CLOSED_AT_IS = {OPEN: "open", EXACT: "exact", SEEN: "seen", GAP: "gap"}

_COLUMNS = (
    "socket_id, cookie, coalesce(protocol, 6), coalesce(family, 4), local_address, local_port, remote_address, "
    "remote_port, state, opened_at_us, opened_at_is"
)


@dataclass(frozen=True, slots=True)
class Interval:
    """One socket in one state; `closed_at_us` is 2**62 while it is open."""

    socket_id: int
    cookie: int
    name: Name
    state: str
    opened_at_us: int
    opened_at_is: int
    closed_at_us: int
    closed_at_is: int
    last_seen_us: int

    def __str__(self) -> str:
        how = CLOSED_AT_IS[self.closed_at_is]
        closed = "" if self.closed_at_is == OPEN else f", closed {self.closed_at_us} ({how}, seen {self.last_seen_us})"
        return f"{self.state} of {self.name}, opened {self.opened_at_us} ({self.opened_at_is}){closed}"


@dataclass(frozen=True, slots=True)
class Gap:
    """A time of which history says that it does not know; host's wall clock."""

    from_us: int
    to_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class History:
    """Of one host."""

    intervals: list[Interval]  # ascending by opened_at_us
    gaps: list[Gap]
    stored: list[tuple[int, int, int]]  # epoch (64 bits, unsigned), sequence before, sequence after; in their order
    heard_us: int  # its last whole look
    miscounted: Sequence[tuple[int, ...]] = ()  # protocol, state, sockets and listeners too many; by its counts


_MISCOUNTED = (
    "SELECT protocol, state, -sum(many), -sum(listen) FROM ("
    "SELECT coalesce(protocol, 6) AS protocol, state, 1 AS many, CASE WHEN scope <> 0 THEN 1 ELSE 0 END AS listen "
    "FROM current WHERE host_id = ? UNION ALL "
    "SELECT protocol, state, -sockets, -listeners FROM counts WHERE host_id = ?"
    ") AS both_of_them GROUP BY protocol, state HAVING sum(many) <> 0 OR sum(listen) <> 0"
)


def read(store: Store, host: str) -> History:
    """All of a host at one moment."""
    with store.moment() as moment:
        [(host_id, heard_us)] = moment.ask("SELECT host_id, last_look_us FROM hosts WHERE name = ?", host)
        mine = "host_id = ? AND coalesce(protocol, 6) IN (6, 17)"
        ends = "closed_at_us, closed_at_is, coalesce(last_seen_us, closed_at_us)"
        closed = f"SELECT {_COLUMNS}, {ends} FROM history WHERE {mine}"
        still = f"SELECT {_COLUMNS}, {2**62}, {OPEN}, seen_at_us FROM current WHERE {mine}"
        rows = [*moment.ask(closed, host_id), *moment.ask(still, host_id)]
        gaps = moment.ask("SELECT from_us, to_us, reason FROM gaps WHERE host_id = ? ORDER BY 1", host_id)
        miscounted = moment.ask(_MISCOUNTED, host_id, host_id)
        told = moment.ask(
            "SELECT epoch, was, is_now FROM faults_stored WHERE host_id = ? AND was <> is_now ORDER BY number", host_id
        )
    return History(
        sorted(_intervals(rows), key=lambda one: (one.opened_at_us, one.closed_at_us)),
        [Gap(*row) for row in gaps],
        [(epoch % 2**64, was, now) for epoch, was, now in told],
        heard_us or 0,
        miscounted,
    )


def _intervals(rows: Rows) -> Iterator[Interval]:
    for socket_id, cookie, protocol, family, local, port, remote, remote_port, state, *times in rows:
        name = (
            _PROTOCOLS[protocol],
            f"ipv{family}",
            text(local),
            port,
            text(remote) if remote else None,
            remote_port if remote else None,
        )
        yield Interval(socket_id, cookie % 2**64, name, _STATES[state], *times)

# ruff: noqa: S608  # all of what is put together is written here
"""Views for people who ask in SQL, in words where the tables have numbers: `listeners`, `sockets`, `socket_history`,
how many there are and were, `socket_counts` and `socket_trends`, and what hosts are called, `host_labels`.

They are a stable interface: columns are added at the end, never renamed or given another meaning. They belong to no
step of the diary: they are gone while the tables change, and made anew where they are not as they are here.

What must stay true: plain SQL, so that any client can read them, the sqlite3 shell as well; an address reads as
Python's ipaddress writes it (RFC 5952), an IPv4-mapped one with its IPv4 address in dots.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

from fleetnet_server.errors import StorageError

# As `-o json` writes them, by the wire's numbers; of states and families the kernel's.
PROTOCOLS: Final = {6: "tcp", 17: "udp", 132: "sctp", 136: "udplite", 255: "raw", 256: "unix", 257: "packet"}
FAMILIES: Final = {1: "unix", 4: "ipv4", 6: "ipv6", 17: "packet"}
STATES: Final = dict(
    enumerate(
        (
            "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
            "LAST_ACK", "LISTEN", "CLOSING",
        ),
        start=1,
    )
)  # fmt: skip
SCOPES: Final = {1: "loopback", 2: "link-local", 3: "private", 4: "public", 5: "any"}
OWNER_STATUSES: Final = dict(
    enumerate(("known", "inferred", "no-helper", "permission", "kernel", "unaccepted", "gone", "raced"), start=1)
)
OPENED_AT_IS: Final = dict(enumerate(("exact", "seen", "before", "unseen"), start=1))
CLOSED_AT_IS: Final = dict(enumerate(("exact", "seen", "gap"), start=1))

_DEPENDED_ON = "2BP01"  # dependent_objects_still_exist, appendix A of PostgreSQL's manual
_MAPPED = "00000000000000000000FFFF"
_SQLITE: Final = {
    "hex": "hex({0})",
    "find": "instr({0}, {1})",
    "most": "max({0}, {1})",
    "time": "strftime('%Y-%m-%dT%H:%M:%S', ({0}) / 1000000, 'unixepoch') || printf('.%06dZ', ({0}) % 1000000)",
    "list": "group_concat({0}, ', ')",
    "path": "CASE substr({0}, 1, 1) WHEN x'00' THEN '@' || CAST(substr({0}, 2) AS TEXT) ELSE CAST({0} AS TEXT) END",
}
_POSTGRESQL: Final = {
    "hex": "upper(encode({0}, 'hex'))",
    "find": "strpos({0}, {1})",
    "most": "greatest({0}, {1})",
    "time": "timestamptz 'epoch' + ({0}) * interval '1 microsecond'",
    "list": "string_agg({0}, ', ')",
    "path": "CASE substr({0}, 1, 1) WHEN '\\x00' THEN '@' || encode(substr({0}, 2), 'escape')"
    " ELSE encode({0}, 'escape') END",
}


@dataclass(frozen=True, slots=True)
class View:
    """A view as people know it: its name, what a row is, and of each column its name and its one sentence."""

    name: str
    comment: str
    columns: tuple[tuple[str, str], ...]


_WHERE = (
    ("host", "Name of the host."),
    ("netns", "host: the agent's own network namespace; else the other's name, or its inode where it has none."),
)
_WHAT = (
    ("protocol", "tcp, udp, sctp, udplite, raw, unix or packet."),
    ("family", "ipv4, ipv6, unix or packet."),
)
_STATE = (("state", "State, as netstat calls it."),)
_LOCAL = (
    ("local_address", "Local address as text, an IPv4-mapped one as ::ffff:1.2.3.4; empty where there is none."),
    ("local_port", "Local port; of a raw socket its protocol, of a packet socket its Ethernet protocol."),
)
_REMOTE = (
    ("remote_address", "Remote address as text; empty without a peer."),
    ("remote_port", "Remote port; 0 without a peer."),
)
_MORE = (
    ("interface", "Interface it is bound to; empty where none."),
    ("path", "Name that a UNIX socket is bound to, an abstract one with @ before it; empty where it has none."),
    ("recv_queue", "Recv-Q at the last report."),
    ("send_queue", "Send-Q at the last report."),
    ("scope", "How far a listener's address reaches: loopback, link-local, private, public, any; else empty."),
    ("exposed", "Of a listener yes, no, or unknown in another network namespace than the agent's own; else empty."),
    ("uid", "Owner of the socket; empty where the kernel no longer knows."),
    ("user_name", "Name of that uid on the host."),
    ("unit", "systemd unit."),
    ("container", "Container id."),
    ("processes", "Who holds it, each as name(pid); empty where nobody is known."),
    ("owner_status", "What is known about the owners, as -o json says it."),
    ("opened_at", "When it entered the state; host's clock."),
    ("opened_at_is", "How exactly that is known: exact, seen (first look that saw it), before, unseen."),
)
_OPEN = (("last_seen_at", "The last look that is known to have found it so; host's clock."),)
_CLOSED = (
    ("closed_at", "When it left the state; empty while it is open."),
    ("closed_at_is", "How exactly that is known: exact, seen (first look without it), gap (at some time since)."),
    ("last_seen_at", "The last look that is known to have found it so; host's clock."),
    ("host_id", "Number of the host; with ended_in it leads straight to rows of history."),
    ("opened_at_us", "opened_at in microseconds since 1970 UTC."),
    ("closed_at_us", "closed_at in microseconds since 1970 UTC."),
    ("ended_in", "In which ten minutes since 1970 UTC it left the state; empty while it is open."),
)

LISTENERS: Final = View(
    "listeners",
    "Listeners that are open, as their hosts were last heard; UNIX sockets that listen are in sockets alone.",
    (*_WHERE, *_WHAT, *_LOCAL, *_MORE, *_OPEN),
)
SOCKETS: Final = View(
    "sockets",
    "Sockets that are open, listeners among them, as their hosts were last heard.",
    (*_WHERE, *_WHAT, *_STATE, *_LOCAL, *_REMOTE, *_MORE, *_OPEN),
)
HISTORY: Final = View(
    "socket_history",
    "Sockets in each state they were in, from when to when, with who held them last; what is open too. Who held them"
    " before is in the table former_holders, and gaps are in the table gaps.",
    (*_WHERE, *_WHAT, *_STATE, *_LOCAL, *_REMOTE, *_MORE, *_CLOSED),
)
_COUNTED = (
    ("host", "Name of the host."),
    ("protocol", "tcp, udp, sctp, udplite, raw, unix or packet."),
    *_STATE,
)
_MANY = (
    ("sockets", "How many are, or were, so."),
    ("listeners", "How many of them are, or were, listeners, UNIX sockets left out."),
)
COUNTS: Final = View(
    "socket_counts",
    "How many sockets are open, as their hosts were last heard; read without looking at any of them.",
    (*_COUNTED, *_MANY),
)
TRENDS: Final = View(
    "socket_trends",
    "What those counts came to, every five minutes where they had changed. A host that was not heard has no row then.",
    (
        *_COUNTED,
        ("at", "From when on it was so, as far as was looked; collector's clock."),
        *_MANY,
        ("highest", "The most that were so at once at any commit since the row before."),
        ("host_id", "Number of the host; it leads straight to rows of trends."),
        ("at_us", "at in microseconds since 1970 UTC."),
    ),
)
LABELS: Final = View(
    "host_labels",
    "Labels of hosts, as their admins have given them; of now alone.",
    (
        ("host", "Name of the host."),
        ("key", "What the label tells of; a host has one value for it."),
        ("value", "What it says of that."),
        ("host_id", "Number of the host."),
    ),
)
VIEWS: Final = (LISTENERS, SOCKETS, HISTORY, COUNTS, TRENDS, LABELS)


def keep(conn: Connection) -> None:
    """Have the views as they are here; changes nothing where they are."""
    made = _digest(conn.dialect)
    if _kept(conn) == made:
        return
    # Where columns only came to the end, what others have made of a view stays, and who may read it.
    if not (conn.dialect.name == "postgresql" and _replaced(conn)):
        drop(conn)
        for view in VIEWS:
            _run(conn, f"CREATE VIEW {view.name} AS {definition(view, conn.dialect)}")
    for view in VIEWS:
        if conn.dialect.name == "postgresql":
            for column, sentence in view.columns:
                _run(conn, f"COMMENT ON COLUMN {view.name}.{column} IS {_quoted(sentence)}")
            _run(conn, f"COMMENT ON VIEW {view.name} IS {_quoted(f'{view.comment} [{made}]')}")


def drop(conn: Connection) -> None:
    """Before tables that they show are changed. Raises StorageError where somebody's own views show them."""
    for view in VIEWS:
        try:
            _run(conn, f"DROP VIEW IF EXISTS {view.name}")
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _DEPENDED_ON:
                raise
            raise StorageError(
                f"another view shows fleetnet's view {view.name}, whose tables are about to change: drop that one, "
                "start again, and make it anew"
            ) from error


def _replaced(conn: Connection) -> bool:
    """False where a view has another shape than before."""
    savepoint = conn.begin_nested()
    try:
        for view in VIEWS:
            _run(conn, f"CREATE OR REPLACE VIEW {view.name} AS {definition(view, conn.dialect)}")
    except DBAPIError:
        savepoint.rollback()
        return False
    savepoint.commit()
    return True


def _run(conn: Connection, statement: str) -> None:
    conn.execute(text(statement.replace(":", "\\:")))


def definition(view: View, dialect: Dialect) -> str:
    """What the view is to an engine, as a SELECT."""
    own = _POSTGRESQL if dialect.name == "postgresql" else _SQLITE
    if view is LABELS:
        return "SELECT h.name AS host, s.key, s.value, s.host_id FROM labels s JOIN hosts h USING (host_id)"
    if view in (COUNTS, TRENDS):
        told = "counts s JOIN hosts h USING (host_id) WHERE s.sockets > 0"
        if view is TRENDS:
            told = "trends s JOIN hosts h USING (host_id)"
        return f"SELECT {_columns(view, own, _of_counts(own))} FROM {told}"
    if view is not HISTORY:
        only = " WHERE s.scope <> 0" if view is LISTENERS else ""
        return f"SELECT {_columns(view, own, _of_current(own))} FROM current s JOIN hosts h USING (host_id){only}"
    still_open = f"SELECT {_columns(view, own, _of_current(own))} FROM current s JOIN hosts h USING (host_id)"
    ended = f"SELECT {_columns(view, own, _of_history(own))} FROM history s JOIN hosts h USING (host_id)"
    return f"{ended} UNION ALL {still_open}"


def _digest(dialect: Dialect) -> str:
    told = "".join(f"{view}{definition(view, dialect)}" for view in VIEWS)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _kept(conn: Connection) -> str | None:
    """The digest of the views as they are; None where one is missing or another."""
    if conn.dialect.name == "postgresql":
        told = [
            conn.execute(text("SELECT obj_description(to_regclass(:name))"), {"name": view.name}).scalar()
            for view in VIEWS
        ]
        digests = {str(one).rpartition("[")[2].rstrip("]") for one in told}
        return digests.pop() if len(digests) == 1 else None
    told_by_sqlite = conn.execute(text("SELECT name, sql FROM sqlite_schema WHERE type = 'view'"))
    found = {row.name: row.sql for row in told_by_sqlite}
    meant = {view.name: f"CREATE VIEW {view.name} AS {definition(view, conn.dialect)}" for view in VIEWS}
    return _digest(conn.dialect) if all(found.get(name) == sql for name, sql in meant.items()) else None


def _columns(view: View, own: dict[str, str], times: dict[str, str]) -> str:
    made = {**_shared(own), **times}
    return ", ".join(f"{made[name]} AS {name}" for name, _ in view.columns)


def _shared(own: dict[str, str]) -> dict[str, str]:
    """Each column of current and history as a view shows it; `s` is the row and `h` its host."""
    holder = "FROM holders o WHERE o.host_id = s.host_id AND o.holder_id = s.holder_id"
    return {
        "host": "h.name",
        "protocol": _word("coalesce(s.protocol, 6)", PROTOCOLS),
        "family": _word("coalesce(s.family, 4)", FAMILIES),
        "state": _word("s.state", STATES),
        "local_address": _address("s.local_address", own),
        "local_port": "s.local_port",
        "remote_address": _address("s.remote_address", own),
        "remote_port": "s.remote_port",
        "interface": "s.interface",
        "path": f"CASE WHEN s.path IS NOT NULL THEN {own['path'].format('s.path')} END",
        "recv_queue": "coalesce(s.recv_queue, 0)",
        "send_queue": "coalesce(s.send_queue, 0)",
        "scope": _word("s.scope", SCOPES),
        "exposed": (
            "CASE WHEN s.scope IS NULL THEN NULL WHEN s.netns IS NOT NULL THEN 'unknown'"
            " WHEN s.scope = 1 OR s.interface = 'lo' THEN 'no' ELSE 'yes' END"
        ),
        "uid": f"(SELECT o.uid {holder})",
        "user_name": f"(SELECT nullif(o.\"user\", '') {holder})",
        "unit": f"(SELECT nullif(o.unit, '') {holder})",
        "container": f"(SELECT nullif(o.container, '') {holder})",
        "owner_status": f"(SELECT {_word('o.owner_status', OWNER_STATUSES)} {holder})",
        "processes": (
            f"(SELECT {own['list'].format('one')} FROM (SELECT p.name || '(' || p.pid || ')' AS one"
            " FROM holder_processes hp JOIN processes p ON p.host_id = hp.host_id AND p.process_id = hp.process_id"
            " WHERE hp.host_id = s.host_id AND hp.holder_id = s.holder_id ORDER BY p.pid) AS each_one)"
        ),
        "opened_at": own["time"].format("s.opened_at_us"),
        "opened_at_is": _word("s.opened_at_is", OPENED_AT_IS),
        "host_id": "s.host_id",
        "opened_at_us": "s.opened_at_us",
    }


def _of_current(own: dict[str, str]) -> dict[str, str]:
    seen_us = f"({own['most'].format('s.seen_at_us', 'coalesce(h.last_look_us, 0)')})"
    return {
        "netns": _netns("n.closed_at_us IS NULL"),
        "last_seen_at": own["time"].format(seen_us),
        "closed_at": own["time"].format("CAST(NULL AS BIGINT)"),
        "closed_at_is": "NULL",
        "closed_at_us": "CAST(NULL AS BIGINT)",
        "ended_in": "CAST(NULL AS BIGINT)",
    }


def _of_history(own: dict[str, str]) -> dict[str, str]:
    at_the_end = "n.opened_at_us <= s.closed_at_us AND coalesce(n.closed_at_us, s.closed_at_us) >= s.opened_at_us"
    return {
        "netns": _netns(at_the_end),
        "last_seen_at": own["time"].format("coalesce(s.last_seen_us, s.closed_at_us)"),
        "closed_at": own["time"].format("s.closed_at_us"),
        "closed_at_is": _word("s.closed_at_is", CLOSED_AT_IS),
        "closed_at_us": "s.closed_at_us",
        "ended_in": "s.closed_at_us / 600000000",
    }


def _of_counts(own: dict[str, str]) -> dict[str, str]:
    numbers = {name: f"s.{name}" for name in ("sockets", "listeners", "highest", "at_us")}
    return {**numbers, "at": own["time"].format("s.at_us")}


def _netns(at: str) -> str:
    named = (
        "SELECT nullif(n.name, '') FROM namespaces n WHERE n.host_id = s.host_id AND n.netns = s.netns"
        f" AND {at} ORDER BY n.opened_at_us DESC LIMIT 1"
    )
    return f"CASE WHEN s.netns IS NULL THEN 'host' ELSE coalesce(({named}), CAST(s.netns AS TEXT)) END"


def _word(column: str, words: dict[int, str]) -> str:
    """The word for a number; a number that a later version may know stays one. 0 is nothing."""
    cases = " ".join(f"WHEN {number} THEN '{word}'" for number, word in words.items())
    return f"CASE {column} WHEN 0 THEN NULL {cases} ELSE CAST({column} AS TEXT) END"


def _address(column: str, own: dict[str, str]) -> str:
    """An address of 4 or 16 bytes as text. Of the longest row of zero groups, the first of those that are as long, one
    of two or more is left out."""
    groups = "':' || " + " || ':' || ".join(
        f"lower(CASE substr(x, {1 + 4 * n}, 4) WHEN '0000' THEN '0' ELSE ltrim(substr(x, {1 + 4 * n}, 4), '0') END)"
        for n in range(8)
    )
    whole = f"{groups} || ':'"
    shortened = []
    for count in range(8, 1, -1):
        zeros = ":" + "0:" * count
        at = own["find"].format("g", f"'{zeros}'")
        before = f"substr(g, 2, {own['most'].format(f'{at} - 2', '0')})"
        after = f"rtrim(substr(g, {at} + {len(zeros)}), ':')"
        shortened.append(f"WHEN {at} > 0 THEN {before} || '::' || {after}")
    inner = f"SELECT x, {whole} AS g FROM (SELECT {own['hex'].format(column)} AS x) AS as_hex"
    return (
        f"(SELECT CASE WHEN length(x) = 8 THEN {_dotted(1, own)}"
        f" WHEN length(x) <> 32 THEN NULL WHEN substr(x, 1, 24) = '{_MAPPED}' THEN '::ffff:' || {_dotted(25, own)}"
        f" {' '.join(shortened)} ELSE trim(g, ':') END FROM ({inner}) AS as_groups)"
    )


def _dotted(start: int, own: dict[str, str]) -> str:
    """Four bytes of `x`, which is hexadecimal, from a place on."""
    return " || '.' || ".join(_number(start + 2 * n, own) for n in range(4))


def _number(place: int, own: dict[str, str]) -> str:
    high, low = (own["find"].format("'0123456789ABCDEF'", f"substr(x, {at}, 1)") for at in (place, place + 1))
    return f"CAST(({high} - 1) * 16 + {low} - 1 AS TEXT)"


def _quoted(sentence: str) -> str:
    return "'" + sentence.replace("'", "''") + "'"

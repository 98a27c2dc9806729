"""The log of what administrators did: a chain, each row of which has the hash of the row before.

What must stay true: rows are added one after another, whichever collector adds them, for each holds the end of the
chain until it commits; and a row that is changed, left out, put in or moved is found by `broken`. Who may write to the
database can make the whole chain anew, so each collector says number and hash in its own log too.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from fleetnet_server.records import LogEntry, LoggedEntry
from fleetnet_server.storage.dialect import insert_new
from fleetnet_server.storage.schema import log, log_head

MOST_LISTED: Final = 1_000
_FIRST: Final = bytes(32)
_AT_ONCE: Final = 1_000
_HEAD = select(log_head.c.number, log_head.c.hash).where(log_head.c.one == 1)
_ROWS = select(
    log.c.number, log.c.at_us, log.c.who, log.c.login, log.c.peer, log.c.action, log.c.subject, log.c.result,
    log.c.before, log.c.hash,
)  # fmt: skip


def append(conn: Connection, entry: LogEntry) -> tuple[int, bytes]:
    """Add a row; its number and hash."""
    conn.execute(insert_new(conn, log_head).values(one=1, number=0, hash=_FIRST))
    head = conn.execute(_HEAD.with_for_update()).one()
    number, before = head.number + 1, bytes(head.hash)
    sealed = _seal(number, entry, before)
    conn.execute(insert(log).values(number=number, before=before, hash=sealed, **entry._asdict()))
    conn.execute(update(log_head).where(log_head.c.one == 1).values(number=number, hash=sealed))
    return number, sealed


def latest(conn: Connection, most: int) -> list[LoggedEntry]:
    """The last rows, the latest first."""
    return [_entry(row) for row in conn.execute(_ROWS.order_by(log.c.number.desc()).limit(min(most, MOST_LISTED)))]


def broken(conn: Connection) -> tuple[int, int]:
    """How many rows were looked at, and the number at which the chain is broken first; 0: nowhere."""
    before, number = _FIRST, 0
    for row in _all(conn):
        number += 1
        entry = _entry(row)
        if (entry.number, bytes(row.before), entry.hash) != (number, before, _seal(number, entry.entry, before)):
            return number, number
        before = entry.hash
    head = conn.execute(_HEAD).one_or_none()
    # What was cut off at the end leaves no other trace.
    if (number, before) != ((head.number, bytes(head.hash)) if head is not None else (0, _FIRST)):
        return number, number + 1
    return number, 0


def _all(conn: Connection) -> Iterator[Row[*tuple[Any, ...]]]:
    """Some at a time: the log may have any length."""
    last: int | None = None
    while True:
        query = _ROWS if last is None else _ROWS.where(log.c.number > last)
        rows = conn.execute(query.order_by(log.c.number).limit(_AT_ONCE)).all()
        yield from rows
        if len(rows) < _AT_ONCE:
            return
        last = rows[-1].number


def _entry(row: Row[*tuple[Any, ...]]) -> LoggedEntry:
    told = LogEntry(row.at_us, row.who, row.login, row.peer, row.action, row.subject, row.result)
    return LoggedEntry(row.number, told, bytes(row.hash))


def _seal(number: int, entry: LogEntry, before: bytes) -> bytes:
    # JSON says where each of them ends: no text can be moved from one column to the next.
    return hashlib.sha256(before + json.dumps([number, *entry]).encode()).digest()

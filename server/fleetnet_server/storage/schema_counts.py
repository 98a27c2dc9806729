"""The tables of how many sockets are open, each column with its one sentence.

What must stay true: `counts` says at every commit what counting the rows of `current` would say (counts.py). A row of
it whose numbers are 0 stays: it says that its kind of socket was there once.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, SmallInteger, Table

from fleetnet_server.storage.metadata import METADATA

_PROTOCOL = "Protocol, as current has it."
_STATE = "State, as current has it."
_LISTENERS = "How many of them are listeners, those whose scope in current is not 0."
_NOTED_LISTENERS = "Listeners that trends says last."
_NOTED_AT = "When that was put down; collector's clock. 0: never."
_HIGHEST = "The most that were open at once at any commit since trends was last told, or are."


def _key(*more: Column[Any]) -> list[Column[Any]]:
    return [
        Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Whose sockets they are."),
        Column("protocol", SmallInteger, primary_key=True, autoincrement=False, comment=_PROTOCOL),
        Column("state", SmallInteger, primary_key=True, autoincrement=False, comment=_STATE),
        *more,
    ]


counts = Table(
    "counts",
    METADATA,
    *_key(),
    Column("sockets", Integer, nullable=False, comment="How many are open."),
    Column("listeners", Integer, nullable=False, comment=_LISTENERS),
    Column("highest", Integer, nullable=False, comment=_HIGHEST),
    Column("noted_sockets", Integer, nullable=False, server_default="0", comment="Sockets that trends says last."),
    Column("noted_listeners", Integer, nullable=False, server_default="0", comment=_NOTED_LISTENERS),
    Column("noted_at_us", BigInteger, nullable=False, server_default="0", comment=_NOTED_AT),
    comment="How many sockets each host holds open in each state, as current has them.",
    sqlite_with_rowid=False,
    # Room in each page for the next version of a row, so that what changes at every commit touches no index.
    postgresql_with={"fillfactor": "50"},
)

_SINCE = "From when on it was so, as far as was looked; collector's clock."
_HIGHEST_SINCE = "The most that were open at once at any commit since the row before; never less than sockets."

trends = Table(
    "trends",
    METADATA,
    *_key(Column("at_us", BigInteger, primary_key=True, autoincrement=False, comment=_SINCE)),
    Column("sockets", Integer, nullable=False, comment="How many were open."),
    Column("listeners", Integer, nullable=False, comment="How many of them were listeners."),
    Column("highest", Integer, nullable=False, comment=_HIGHEST_SINCE),
    comment="How the counts of each host went: what they came to, put down where they had changed.",
    sqlite_with_rowid=False,
)

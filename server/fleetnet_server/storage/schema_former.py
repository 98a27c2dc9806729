"""The table of those who held a socket before, each column with its one sentence.

What must stay true: as in schema.py.
"""

from sqlalchemy import BigInteger, Column, Index, SmallInteger, Table, text

from fleetnet_server.storage.metadata import METADATA

_SEEN = "The last look known to have found it so; empty: seen up to until_us."
_FROM = "From when on it held the socket: its interval's beginning, or where the one before it ends."
# In which ten minutes since 1970 its time ended.
UNTIL_IN = text("(until_us / 600000000)")

former_holders = Table(
    "former_holders",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Whose socket it is or was."),
    Column("socket_id", BigInteger, primary_key=True, autoincrement=False, comment="Hash of what names the socket."),
    Column(
        "until_us",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="The look that found another holder; the time itself is no longer this one's.",
    ),
    Column("from_us", BigInteger, nullable=False, comment=_FROM),
    Column("seen_us", BigInteger, comment=_SEEN),
    Column("holder_id", BigInteger, nullable=False, comment="Who held it: holders."),
    Column("kind", SmallInteger, nullable=False, comment="As what it is kept, the wire's number."),
    # What is too old of a kind, the oldest first, as in history (ends.py); and whether anything names a holder.
    Index("ix_former_holders_ends", "host_id", "kind", UNTIL_IN),
    Index(None, "host_id", "holder_id"),
    comment="Who held a socket before it changed hands within one state.",
    sqlite_with_rowid=False,
)

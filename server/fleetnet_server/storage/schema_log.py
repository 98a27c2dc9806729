"""The tables of the log of what administrators did, each column with its one sentence.

What must stay true: they are of the whole fleet and of no host, small, and never spread over machines.
"""

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from fleetnet_server.storage.metadata import METADATA, Name

_HASH = "SHA-256 over the hash before and all other columns, as storage/log.py has it."

log = Table(
    "log",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3, without a hole."),
    Column("at_us", BigInteger, nullable=False, comment="When it was done; collector's clock."),
    Column("who", Name, nullable=False, comment="local, over the admin socket, or the URI of a person."),
    Column("login", Name, nullable=False, comment="What local says to be called; nobody has checked it."),
    Column("peer", Name, nullable=False, comment="Where it was asked from, as gRPC names it."),
    Column("action", Name, nullable=False, comment="What was wished."),
    Column("subject", Text, nullable=False, comment="On what."),
    Column("result", Text, nullable=False, comment="done, or why it was refused."),
    Column("before", LargeBinary, nullable=False, comment="Hash of the row before; zeros in the first."),
    Column("hash", LargeBinary, nullable=False, comment=_HASH),
    comment="What administrators did and were refused, each row sealed by the next.",
)

log_head = Table(
    "log_head",
    METADATA,
    Column(
        "one",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="1: there is one row, once anything was logged.",
    ),
    Column("number", BigInteger, nullable=False, comment="Number of the last row of log; 0 before the first."),
    Column("hash", LargeBinary, nullable=False, comment="Its hash; zeros before the first."),
    comment="The end of the log; whoever adds to it holds this row.",
)

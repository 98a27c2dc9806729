"""How many sockets each host holds open in each state: what is open is counted, a second for each million.

Why so: to say how many sockets of a fleet are in a state all that is open had to be counted, millions of rows. Now each
transaction that changes them keeps the counts beside them, and what they came to is put down every few minutes where
it has changed. Of a stream that was lengthened by what its host told afterwards it is said from when on, for what was
put down then is not known to have been so.

The counts are filled from what is open, which reads it once. On the way back all of it goes.

Revision 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_FILL = """
    INSERT INTO counts (host_id, protocol, state, sockets, listeners, highest)
    SELECT host_id, coalesce(protocol, 6), state, count(*), sum(CASE WHEN scope <> 0 THEN 1 ELSE 0 END), count(*)
    FROM current GROUP BY host_id, coalesce(protocol, 6), state
"""


def upgrade() -> None:
    _counts()
    _trends()
    op.add_column(
        "sessions",
        sa.Column(
            "told_from_us",
            sa.BigInteger,
            comment="From when on its looks were told afterwards; collector's clock. Empty: each was told as it was "
            "taken.",
        ),
    )
    if not op.get_context().as_sql:
        op.execute(_FILL)


def _counts() -> None:
    op.create_table(
        "counts",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Whose sockets they are."),
        sa.Column("protocol", sa.SmallInteger, nullable=False, autoincrement=False, comment=_PROTOCOL),
        sa.Column("state", sa.SmallInteger, nullable=False, autoincrement=False, comment=_STATE),
        sa.Column("sockets", sa.Integer, nullable=False, comment="How many are open."),
        sa.Column(
            "listeners",
            sa.Integer,
            nullable=False,
            comment="How many of them are listeners, those whose scope in current is not 0.",
        ),
        sa.Column(
            "highest",
            sa.Integer,
            nullable=False,
            comment="The most that were open at once at any commit since trends was last told, or are.",
        ),
        sa.Column(
            "noted_sockets", sa.Integer, nullable=False, server_default="0", comment="Sockets that trends says last."
        ),
        sa.Column(
            "noted_listeners",
            sa.Integer,
            nullable=False,
            server_default="0",
            comment="Listeners that trends says last.",
        ),
        sa.Column(
            "noted_at_us",
            sa.BigInteger,
            nullable=False,
            server_default="0",
            comment="When that was put down; collector's clock. 0: never.",
        ),
        sa.PrimaryKeyConstraint("host_id", "protocol", "state", name="pk_counts"),
        comment="How many sockets each host holds open in each state, as current has them.",
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": "50"},
    )


def _trends() -> None:
    op.create_table(
        "trends",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Whose sockets they are."),
        sa.Column("protocol", sa.SmallInteger, nullable=False, autoincrement=False, comment=_PROTOCOL),
        sa.Column("state", sa.SmallInteger, nullable=False, autoincrement=False, comment=_STATE),
        sa.Column(
            "at_us",
            sa.BigInteger,
            nullable=False,
            autoincrement=False,
            comment="From when on it was so, as far as was looked; collector's clock.",
        ),
        sa.Column("sockets", sa.Integer, nullable=False, comment="How many were open."),
        sa.Column("listeners", sa.Integer, nullable=False, comment="How many of them were listeners."),
        sa.Column(
            "highest",
            sa.Integer,
            nullable=False,
            comment="The most that were open at once at any commit since the row before; never less than sockets.",
        ),
        sa.PrimaryKeyConstraint("host_id", "protocol", "state", "at_us", name="pk_trends"),
        comment="How the counts of each host went: what they came to, put down where they had changed.",
        sqlite_with_rowid=False,
    )


_PROTOCOL = "Protocol, as current has it."
_STATE = "State, as current has it."


def downgrade() -> None:
    op.drop_column("sessions", "told_from_us")
    op.drop_table("trends")
    op.drop_table("counts")

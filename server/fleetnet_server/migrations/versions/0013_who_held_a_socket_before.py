"""Who held a socket before it changed hands within one state. Nothing that is there is changed.

Why so: a row has one holder, the latest. So of a listener that a master process had left to the next, a question about
the time before named the next one. From here on the former is kept beside the row, and the row says since when its own
has held it; what changed hands before stays as it was told. On the way back those who held before go.

Revision 0013, after 0012.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_SINCE = "Since when that holder is known to have held it; empty: since opened_at_us. Before: former_holders."
_UNTIL = "The look that found another holder; the time itself is no longer this one's."
_FROM = "From when on it held the socket: its interval's beginning, or where the one before it ends."
_SEEN = "The last look known to have found it so; empty: seen up to until_us."


def upgrade() -> None:
    op.create_table(
        "former_holders",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Whose socket it is or was."),
        sa.Column(
            "socket_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Hash of what names the socket."
        ),
        sa.Column("until_us", sa.BigInteger, nullable=False, autoincrement=False, comment=_UNTIL),
        sa.Column("from_us", sa.BigInteger, nullable=False, comment=_FROM),
        sa.Column("seen_us", sa.BigInteger, comment=_SEEN),
        sa.Column("holder_id", sa.BigInteger, nullable=False, comment="Who held it: holders."),
        sa.Column("kind", sa.SmallInteger, nullable=False, comment="As what it is kept, the wire's number."),
        sa.PrimaryKeyConstraint("host_id", "socket_id", "until_us", name="pk_former_holders"),
        comment="Who held a socket before it changed hands within one state.",
        sqlite_with_rowid=False,
    )
    for table in ("current", "history"):
        op.add_column(table, sa.Column("held_since_us", sa.BigInteger, comment=_SINCE))


def downgrade() -> None:
    for table in ("current", "history"):
        op.drop_column(table, "held_since_us")
    op.drop_table("former_holders")

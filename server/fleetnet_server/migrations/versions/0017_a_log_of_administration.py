"""What administrators did, in a chain in which no row can be changed or left out unnoticed.

Why so: who had let whom in was told by the text log of one collector alone. The chain begins empty. On the way back it
goes.

Revision 0017, after 0016.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_NAME = sa.String().with_variant(sa.Text(collation="C"), "postgresql")
_HASH = "SHA-256 over the hash before and all other columns, as storage/log.py has it."


def upgrade() -> None:
    op.create_table(
        "log",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False, comment="1, 2, 3, without a hole."),
        sa.Column("at_us", sa.BigInteger, nullable=False, comment="When it was done; collector's clock."),
        sa.Column("who", _NAME, nullable=False, comment="local, over the admin socket, or the URI of a person."),
        sa.Column("login", _NAME, nullable=False, comment="What local says to be called; nobody has checked it."),
        sa.Column("peer", _NAME, nullable=False, comment="Where it was asked from, as gRPC names it."),
        sa.Column("action", _NAME, nullable=False, comment="What was wished."),
        sa.Column("subject", sa.Text, nullable=False, comment="On what."),
        sa.Column("result", sa.Text, nullable=False, comment="done, or why it was refused."),
        sa.Column("before", sa.LargeBinary, nullable=False, comment="Hash of the row before; zeros in the first."),
        sa.Column("hash", sa.LargeBinary, nullable=False, comment=_HASH),
        sa.PrimaryKeyConstraint("number", name="pk_log"),
        comment="What administrators did and were refused, each row sealed by the next.",
    )
    op.create_table(
        "log_head",
        sa.Column(
            "one",
            sa.BigInteger,
            nullable=False,
            autoincrement=False,
            comment="1: there is one row, once anything was logged.",
        ),
        sa.Column(
            "number", sa.BigInteger, nullable=False, comment="Number of the last row of log; 0 before the first."
        ),
        sa.Column("hash", sa.LargeBinary, nullable=False, comment="Its hash; zeros before the first."),
        sa.PrimaryKeyConstraint("one", name="pk_log_head"),
        comment="The end of the log; whoever adds to it holds this row.",
    )


def downgrade() -> None:
    op.drop_table("log_head")
    op.drop_table("log")

"""How far back the history of each host goes, and which holders nothing may name any more.

Why so: what has ended is kept for a time and then goes. An answer about a time before that has to say so, whatever the
collector was told to keep since. And what has gone leaves holders behind that no row names; one may go only when no
collector relies on it any more, which is told by a number of its host.

No row is written to, and the one index is of a small table. On the way back what was noted goes; what is deleted does
not come back.

Revision 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "kept",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Whose history it is."),
        sa.Column("kind", sa.SmallInteger, nullable=False, autoincrement=False, comment="Of what, the wire's number."),
        sa.Column(
            "since_us",
            sa.BigInteger,
            nullable=False,
            comment="The latest end of what is no longer kept; 0: all is kept.",
        ),
        sa.Column(
            "walked_us",
            sa.BigInteger,
            nullable=False,
            comment="What ended before has been looked through for this kind.",
        ),
        sa.PrimaryKeyConstraint("host_id", "kind", name="pk_kept"),
        comment="How far back the history of each host goes.",
    )
    op.add_column(
        "hosts",
        sa.Column(
            "holder_doubts",
            sa.BigInteger,
            nullable=False,
            server_default="0",
            comment="Counts how often holders of it came into doubt: nobody relies on one stored before that.",
        ),
    )
    op.add_column(
        "holders",
        sa.Column(
            "doubted",
            sa.BigInteger,
            nullable=False,
            server_default="0",
            comment="Which doubt of its host it came into, for nothing was found that names it; 0: none since a report "
            "last did.",
        ),
    )
    op.create_index("ix_holder_processes_host_id_process_id", "holder_processes", ["host_id", "process_id"])


def downgrade() -> None:
    op.drop_index("ix_holder_processes_host_id_process_id", "holder_processes")
    op.drop_column("holders", "doubted")
    op.drop_column("hosts", "holder_doubts")
    op.drop_table("kept")

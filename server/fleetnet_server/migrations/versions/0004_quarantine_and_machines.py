"""Reports that could not be stored, and which machine a host is.

Why so: one bad report ended its host's stream, and might come again with the next one. Now it is kept as it came,
beside the history that lacks it. And two machines with one identity ended each other's streams for ever; now the one
that was there first is known. It stands in a table of its own, for nobody who asks about hosts asks for it.

On the way back they go.

Revision 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "quarantine",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Which host sent it."),
        sa.Column("epoch", sa.BigInteger, nullable=False, autoincrement=False, comment="Epoch of its stream."),
        sa.Column("sequence", sa.BigInteger, nullable=False, autoincrement=False, comment="Its number in that epoch."),
        sa.Column("boot_id", sa.LargeBinary, nullable=False, comment="Boot of the host, 16 bytes."),
        sa.Column("set_aside_at_us", sa.BigInteger, nullable=False, comment="When it came; collector's clock."),
        sa.Column("reason", sa.Text, nullable=False, comment="Why it could not be stored, one sentence."),
        sa.Column("size_bytes", sa.BigInteger, nullable=False, comment="How large it was."),
        sa.Column("kept_bytes", sa.BigInteger, nullable=False, comment="How much of it is kept: all or nothing."),
        sa.Column(
            "message", sa.LargeBinary, nullable=False, comment="As it came, a Batch of the wire; empty where not kept."
        ),
        sa.PrimaryKeyConstraint("host_id", "epoch", "sequence", name="pk_quarantine"),
        comment="Reports that could not be stored.",
    )
    op.create_table(
        "machines",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Which host it is."),
        sa.Column(
            "machine_id_hash",
            sa.LargeBinary,
            nullable=False,
            comment="What its first stream since it enrolled last told of it; empty until one has.",
        ),
        sa.Column(
            "since_generation",
            sa.BigInteger,
            nullable=False,
            comment="Streams up to this number are of before it enrolled last.",
        ),
        sa.Column(
            "kept_boot_id",
            sa.LargeBinary,
            comment="Boot of the one that reports, where two machines have one machine id; else empty.",
        ),
        sa.Column(
            "clone_seen_us",
            sa.BigInteger,
            comment="When another machine last came as this host, since it enrolled; collector's clock.",
        ),
        sa.PrimaryKeyConstraint("host_id", name="pk_machines"),
        comment="Which machine each host is, so that a copy of it is noticed.",
    )


def downgrade() -> None:
    op.drop_table("machines")
    op.drop_table("quarantine")

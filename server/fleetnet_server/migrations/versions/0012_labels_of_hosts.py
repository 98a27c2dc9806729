"""Labels of hosts, which admins give them, and those that a token brings. Nothing that is there is changed.

Why so: who asks of a part of a fleet had nothing but the names of its hosts to tell that part by. A host has none to
begin with. On the way back all labels go.

Revision 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "labels",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Which host has it."),
        sa.Column("key", _NAME, nullable=False, comment="What it tells of; a host has one value for it."),
        sa.Column("value", _NAME, nullable=False, comment="What it says of that."),
        sa.PrimaryKeyConstraint("host_id", "key", name="pk_labels"),
        comment="Labels of hosts, as their admins have given them; of now alone, whatever time is asked about.",
        sqlite_with_rowid=False,
    )
    op.create_index("ix_labels_key_value", "labels", ["key", "value"])
    op.add_column(
        "tokens",
        sa.Column(
            "labels",
            sa.Text,
            nullable=False,
            server_default="",
            comment="Labels that the host has once it has enrolled, an object of JSON; empty where none.",
        ),
    )


_NAME = sa.String().with_variant(sa.Text(collation="C"), "postgresql")


def downgrade() -> None:
    op.drop_column("tokens", "labels")
    op.drop_table("labels")

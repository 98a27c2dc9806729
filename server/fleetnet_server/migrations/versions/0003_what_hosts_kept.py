"""Rows of history by their socket, and when a host's digest and ours were last the same.

Why so: a host that kept what it saw while no collector took its reports tells of it afterwards, and each interval must
find those of the same socket without going through all that ended on the host meanwhile. Making the index reads history
once: about a second for a million rows.

Revision 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "hosts",
        sa.Column(
            "agreed_us",
            sa.BigInteger,
            comment="The last look at which the host's digest and ours of what it holds open were the same.",
        ),
    )
    op.create_index("ix_history_host_id_socket_id_closed_at_us", "history", ["host_id", "socket_id", "closed_at_us"])


def downgrade() -> None:
    op.drop_index("ix_history_host_id_socket_id_closed_at_us", "history")
    op.drop_column("hosts", "agreed_us")

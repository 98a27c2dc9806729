"""Two indexes of those who held a socket before: by when, of each kind, and by who. Nothing that is there is changed.

Why so: to find what is too old, each round of retention read all of a host's once for each kind; and to find holders
that nothing names any more, all of them again. A host that hands many sockets over could make that take longer than a
statement may. While PostgreSQL builds these indexes collectors wait that would write; none can, for they are stopped
for an upgrade.

On the way back they go.

Revision 0014, after 0013.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_UNTIL_IN = sa.text("(until_us / 600000000)")


def upgrade() -> None:
    op.create_index("ix_former_holders_ends", "former_holders", ["host_id", "kind", _UNTIL_IN])
    op.create_index("ix_former_holders_host_id_holder_id", "former_holders", ["host_id", "holder_id"])


def downgrade() -> None:
    op.drop_index("ix_former_holders_host_id_holder_id", "former_holders")
    op.drop_index("ix_former_holders_ends", "former_holders")

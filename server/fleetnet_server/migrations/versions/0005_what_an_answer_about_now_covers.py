"""Two indexes, so that what an answer about now covers is found without going through every host's streams and gaps.

Why so: each answer says how many hosts were fresh, which were not, and whose gaps reach into the moment. With ten
thousand hosts that cost a question for one port a hundred times what finding the port did.

On the way back they go.

Revision 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_SKEWED = sa.text("clock_offset_us >= 1000000 OR clock_offset_us <= -1000000")


def upgrade() -> None:
    op.create_index("ix_gaps_to_us", "gaps", ["to_us"])
    op.create_index(
        "ix_sessions_skewed", "sessions", ["host_id", "generation"], sqlite_where=_SKEWED, postgresql_where=_SKEWED
    )


def downgrade() -> None:
    op.drop_index("ix_sessions_skewed", "sessions")
    op.drop_index("ix_gaps_to_us", "gaps")

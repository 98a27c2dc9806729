"""Since when a host is active, revoked or retired, and which certificates of it are good.

Why so: a host that is kept out is to be noticed by each collector at once, so those that were kept out lately are found
by an index; and whoever comes by a certificate of before is to be told from the host. Of the hosts that are there it is
not known whether they have come by their newest certificate, so any of theirs is good until that has been shown.

On the way back hosts that were retired are listed again; who was kept out stays out.

Revision 0015, after 0014.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_WAS = "active, or revoked: its streams are refused."
_STATUS = (
    "active; pending: it waits to be approved; revoked: its streams are refused; retired: likewise, and it is no part "
    "of the fleet any more."
)
_SINCE = "Since when its status is so; collector's clock. 0: since before that was noted."
_RENEWED = "Serial of the certificate before, good until the newest has been shown; empty: none is, *: any."


def upgrade() -> None:
    since = sa.Column("status_since_us", sa.BigInteger, nullable=False, server_default="0", comment=_SINCE)
    renewed = sa.Column("renewed_serial", sa.Text, nullable=False, server_default="*", comment=_RENEWED)
    op.add_column("hosts", since)
    op.add_column("hosts", renewed)
    _say(_WAS, _STATUS)
    op.create_index("ix_hosts_status_since_us", "hosts", ["status_since_us"])


def downgrade() -> None:
    op.drop_index("ix_hosts_status_since_us", "hosts")
    op.drop_column("hosts", "renewed_serial")
    op.drop_column("hosts", "status_since_us")
    _say(_STATUS, _WAS)


def _say(before: str, now: str) -> None:
    if op.get_context().dialect.supports_comments:
        op.alter_column(
            "hosts", "status", existing_type=sa.Text(), existing_nullable=False, existing_comment=before, comment=now
        )

"""Hosts whose certificate has ended, and who ask for another. Nothing that is there is changed.

Why so: a host that slept past the end of its certificate can show that it is the host still, by the key of that
certificate, and somebody is to approve it. What was asked for stays as it was asked first, so that what is approved is
what somebody has looked at.

On the way back the table goes, and with it who waits and who was approved and has not come since: they ask again, or
enroll with a token.

Revision 0019, after 0018.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_RIVAL = "When another key was wanted with the same certificate, so that two have it; collector's clock. 0: never."
_KEY = "SHA-256 of the public key that it wants certified, hexadecimal."
_APPROVED = "When somebody approved it; collector's clock. 0: not yet."


def upgrade() -> None:
    op.create_table(
        "readmissions",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Which host asks."),
        sa.Column("serial", sa.Text, nullable=False, comment="Serial of the certificate that has ended, hexadecimal."),
        sa.Column("wanted_key", sa.Text, nullable=False, comment=_KEY),
        sa.Column("peer", sa.Text, nullable=False, comment="The address that it asked from first."),
        sa.Column("asked_at_us", sa.BigInteger, nullable=False, comment="When it asked first; collector's clock."),
        sa.Column("rival_at_us", sa.BigInteger, nullable=False, comment=_RIVAL),
        sa.Column("approved_at_us", sa.BigInteger, nullable=False, comment=_APPROVED),
        sa.PrimaryKeyConstraint("host_id", name="pk_readmissions"),
        comment="Hosts whose certificate has ended, and who ask for another.",
    )


def downgrade() -> None:
    op.drop_table("readmissions")

"""People who ask over the network, and the tokens by which they log in.

Why so: what a person may do is to change at once, so it stands here and not in a certificate. Tokens of people have a
table of their own: one that was made for a person is unknown where a host shows it, and the other way round.

On the way back they go, and whoever asked over the network asks on the collector's machine again.

Revision 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_NAME = sa.String().with_variant(sa.Text(collation="C"), "postgresql")
_RENEWED = "Serial of the certificate before, good until the newest has been shown; empty: none is."


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("name", _NAME, nullable=False, comment="Name that the certificate carries."),
        sa.Column("role", sa.Text, nullable=False, comment="viewer, or operator: may administer too."),
        sa.Column("status", sa.Text, nullable=False, comment="active, or revoked: nothing is answered any more."),
        sa.Column(
            "joined_at_us",
            sa.BigInteger,
            nullable=False,
            comment="When the person first logged in; collector's clock.",
        ),
        sa.Column(
            "certificate_serial", sa.Text, nullable=False, comment="Serial of the newest certificate, hexadecimal."
        ),
        sa.Column("renewed_serial", sa.Text, nullable=False, comment=_RENEWED),
        sa.Column("certificate_until_us", sa.BigInteger, nullable=False, comment="When the newest certificate ends."),
        sa.PrimaryKeyConstraint("name", name="pk_people"),
        comment="People who may ask over the network, or might once.",
    )
    op.create_table(
        "person_tokens",
        sa.Column(
            "secret_hash",
            sa.LargeBinary,
            nullable=False,
            comment="SHA-256 of the secret; the secret itself is never kept.",
        ),
        sa.Column("person", _NAME, nullable=False, comment="Name of the one person that it lets log in."),
        sa.Column("role", sa.Text, nullable=False, comment="What the person may do from that login on."),
        sa.Column("created_at_us", sa.BigInteger, nullable=False, comment="When it was made; collector's clock."),
        sa.Column(
            "expires_at_us",
            sa.BigInteger,
            nullable=False,
            comment="From when on it admits nobody; collector's clock.",
        ),
        sa.Column("used_at_us", sa.BigInteger, comment="When it was used; collector's clock. Once only."),
        sa.PrimaryKeyConstraint("secret_hash", name="pk_person_tokens"),
        comment="One-time tokens by which people log in.",
    )


def downgrade() -> None:
    op.drop_table("person_tokens")
    op.drop_table("people")

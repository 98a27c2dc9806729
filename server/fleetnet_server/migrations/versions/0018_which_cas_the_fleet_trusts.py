"""Which CAs the fleet trusts, and which of them issued the certificates in use. Nothing that is there is changed.

Why so: a CA makes way for another only when every host trusts the new one, and that is known of a host by the
certificate that it shows: with it came what to trust. Collectors of one database learn here whom to let in. The first
start writes down the CA that there is; of hosts that have joined before, the first stream tells.

On the way back they go. Take it only while one CA is trusted: the version before knows of one.

Revision 0018, after 0017.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_NAME = sa.String().with_variant(sa.Text(collation="C"), "postgresql")
_STANDING = "issuing: what is issued is signed by it; next: trusted, and to take its place; former: trusted still."
_TRUSTS = "SHA-256 of each CA that was handed over with it, ascending, a space between; else of the one that signed it."
_SHOWN = "Whether it has been shown since: then what was handed over with it is stored there too."


def upgrade() -> None:
    op.create_table(
        "authorities",
        sa.Column("standing", _NAME, nullable=False, comment=_STANDING),
        sa.Column("certificate", sa.LargeBinary, nullable=False, comment="The certificate of the CA, DER."),
        sa.Column("since_us", sa.BigInteger, nullable=False, comment="Since when it stands so; collector's clock."),
        sa.PrimaryKeyConstraint("standing", name="pk_authorities"),
        comment="CAs that the fleet trusts, at most three.",
    )
    op.create_table(
        "certificates",
        sa.Column("kind", _NAME, nullable=False, comment="host, person, or collector."),
        sa.Column(
            "name", _NAME, nullable=False, comment="What the host, the person or the collector's machine is called."
        ),
        sa.Column("serial", sa.Text, nullable=False, comment="Serial of its newest certificate, hexadecimal."),
        sa.Column("issuer", sa.Text, nullable=False, comment="SHA-256 of the CA that signed it, hexadecimal."),
        sa.Column("trusts", sa.Text, nullable=False, comment=_TRUSTS),
        sa.Column("until_us", sa.BigInteger, nullable=False, comment="When it ends."),
        sa.Column("shown", sa.Boolean, nullable=False, comment=_SHOWN),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_certificates"),
        comment="The newest certificate of each host, person and collector, and whom its owner trusts.",
    )


def downgrade() -> None:
    op.drop_table("certificates")
    op.drop_table("authorities")

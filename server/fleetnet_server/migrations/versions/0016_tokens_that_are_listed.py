"""Tokens that can be listed and revoked, and those that let in several hosts or only upon approval.

Why so: who made a token and what became of it was told by nothing but the log. A token that is there was made for one
use by somebody who is not known. On the way back, what is not used up may be used once, but for what was revoked and
what is for no host by name: these go.

Revision 0016, after 0015.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_NAME = sa.String().with_variant(sa.Text(collation="C"), "postgresql")
_BY = "Who made it: local, over the admin socket, or a person's URI; empty: that was not noted yet."
_HOST = ("Name of the one host that it admits.", "Name of the one host that it admits; empty: as each proposes.")
_USED = (
    "When it was used; collector's clock. Once only.",
    "When it was used, the last time; collector's clock.",
)
_TABLE = ("One-time enrollment tokens.", "Enrollment tokens.")
_REVOKED = "When it was revoked; collector's clock."


def upgrade() -> None:
    for table in ("tokens", "person_tokens"):
        op.add_column(table, sa.Column("made_by", _NAME, nullable=False, server_default="", comment=_BY))
        op.add_column(table, sa.Column("revoked_at_us", sa.BigInteger, comment=_REVOKED))
    most = sa.Column("max_uses", sa.BigInteger, nullable=False, server_default="1", comment="How many hosts it admits.")
    uses = sa.Column("uses", sa.BigInteger, nullable=False, server_default="0", comment="How many it has admitted.")
    approve = sa.Column(
        "approve",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="Whether a host that it admits waits for somebody to approve it.",
    )
    for column in (most, uses, approve):
        op.add_column("tokens", column)
    _say(0, 1)
    op.execute(sa.text("UPDATE tokens SET uses = 1 WHERE used_at_us IS NOT NULL"))


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM tokens WHERE revoked_at_us IS NOT NULL OR host = ''"))
    op.execute(sa.text("DELETE FROM person_tokens WHERE revoked_at_us IS NOT NULL"))
    for column in ("approve", "uses", "max_uses"):
        op.drop_column("tokens", column)
    for table in ("tokens", "person_tokens"):
        op.drop_column(table, "revoked_at_us")
        op.drop_column(table, "made_by")
    _say(1, 0)


def _say(before: int, now: int) -> None:
    if not op.get_context().dialect.supports_comments:
        return
    op.alter_column(
        "tokens",
        "host",
        existing_type=_NAME,
        existing_nullable=False,
        existing_comment=_HOST[before],
        comment=_HOST[now],
    )
    op.alter_column(
        "tokens", "used_at_us", existing_type=sa.BigInteger(), existing_comment=_USED[before], comment=_USED[now]
    )
    op.create_table_comment("tokens", _TABLE[now], existing_comment=_TABLE[before])

"""Tables by which one collector has another make a live look; at once, for they are empty.

Why so: a host reports to one collector and people ask at any. The database is all that collectors share. On the way
back what is being asked is lost, and whoever asks is told that nobody answers.

Revision 0010, after 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "live_questions",
        sa.Column(
            "host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Which host is to be looked at."
        ),
        sa.Column("question_id", sa.BigInteger, nullable=False, autoincrement=False, comment="A random number."),
        sa.Column("asked_at_us", sa.BigInteger, nullable=False, comment="When it was asked; collector's clock."),
        sa.Column("taken_at_us", sa.BigInteger, comment="When the collector that has the host's stream took it."),
        sa.Column("message", sa.LargeBinary, nullable=False, comment="As it came, a LiveRequest of the wire."),
        sa.PrimaryKeyConstraint("host_id", "question_id", name="pk_live_questions"),
        comment="Live looks that are asked for at a collector to which the host does not report.",
    )
    op.create_table(
        "live_answers",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Which host was looked at."),
        sa.Column("question_id", sa.BigInteger, nullable=False, autoincrement=False, comment="What it answers."),
        sa.Column(
            "part", sa.Integer, nullable=False, autoincrement=False, comment="Its place in the answer, from 1 on."
        ),
        sa.Column(
            "refused",
            sa.Text,
            nullable=False,
            comment="Empty of a part of the answer; else it is the last, and says which error ends it.",
        ),
        sa.Column(
            "message",
            sa.LargeBinary,
            nullable=False,
            comment="A LiveResponse of the wire, or one sentence on the error.",
        ),
        sa.PrimaryKeyConstraint("host_id", "question_id", "part", name="pk_live_answers"),
        comment="Parts of the answers that have not been taken yet.",
    )


def downgrade() -> None:
    op.drop_table("live_answers")
    op.drop_table("live_questions")

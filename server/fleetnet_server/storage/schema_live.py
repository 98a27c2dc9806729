"""The tables in which collectors of one database ask each other for live looks; rows live for seconds."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text

from fleetnet_server.storage.metadata import METADATA

_QUESTION = "A random number."
_REFUSED = "Empty of a part of the answer; else it is the last, and says which error ends it."

live_questions = Table(
    "live_questions",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Which host is to be looked at."),
    Column("question_id", BigInteger, primary_key=True, autoincrement=False, comment=_QUESTION),
    Column("asked_at_us", BigInteger, nullable=False, comment="When it was asked; collector's clock."),
    Column("taken_at_us", BigInteger, comment="When the collector that has the host's stream took it."),
    Column("message", LargeBinary, nullable=False, comment="As it came, a LiveRequest of the wire."),
    comment="Live looks that are asked for at a collector to which the host does not report.",
)

live_answers = Table(
    "live_answers",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Which host was looked at."),
    Column("question_id", BigInteger, primary_key=True, autoincrement=False, comment="What it answers."),
    Column("part", Integer, primary_key=True, autoincrement=False, comment="Its place in the answer, from 1 on."),
    Column("refused", Text, nullable=False, comment=_REFUSED),
    Column("message", LargeBinary, nullable=False, comment="A LiveResponse of the wire, or one sentence on the error."),
    comment="Parts of the answers that have not been taken yet.",
)

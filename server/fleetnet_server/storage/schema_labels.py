"""The table of labels of hosts, each column with its one sentence.

What must stay true: as in schema.py.
"""

from sqlalchemy import BigInteger, Column, Index, Table

from fleetnet_server.storage.metadata import METADATA, Name

_KEY = "What it tells of; a host has one value for it."

labels = Table(
    "labels",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Which host has it."),
    Column("key", Name, primary_key=True, comment=_KEY),
    Column("value", Name, nullable=False, comment="What it says of that."),
    # Whoever asks for a label asks which hosts have it.
    Index(None, "key", "value"),
    comment="Labels of hosts, as their admins have given them; of now alone, whatever time is asked about.",
    sqlite_with_rowid=False,
)

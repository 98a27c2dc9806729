"""Tables spread over the machines of a Citus cluster, where the database is one.

Each table that says whose rows it has is distributed by `host_id`, all of them alike, so that all rows of a host are on
one machine; the few others are copied to every machine. What must stay true: which of the two a table is, it says
itself, for every one that has a host is distributed but those of METADATA's that are named here.
"""

from typing import Final

from sqlalchemy import Connection, text

from fleetnet_server.storage.metadata import METADATA

# Few rows, of which every machine has a copy: what others are joined with.
REFERENCE: Final = frozenset({"hosts", "tokens"})
_WITH: Final = "current"  # all others lie as this one does

_HERE = text("SELECT count(*) FROM pg_extension WHERE extname = 'citus'")
_SPREAD = text(
    "SELECT relname FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid "
    "WHERE relnamespace = current_schema()::regnamespace"
)
_DISTRIBUTE = text("SELECT create_distributed_table(:named, 'host_id', colocate_with => :beside)")
_COPY = text("SELECT create_reference_table(:named)")


def spread(conn: Connection) -> None:
    """Spread what is not spread yet; nothing where there is no Citus. Rows that are there are moved."""
    if conn.dialect.name != "postgresql" or not conn.execute(_HERE).scalar_one():
        return
    done = set(conn.execute(_SPREAD).scalars())
    for name in sorted(REFERENCE - done):
        conn.execute(_COPY, {"named": name})
    distributed = sorted(METADATA.tables.keys() - REFERENCE - done, key=lambda name: (name != _WITH, name))
    for name in distributed:
        conn.execute(_DISTRIBUTE, {"named": name, "beside": "none" if name == _WITH else _WITH})

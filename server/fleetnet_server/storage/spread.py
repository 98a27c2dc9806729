"""Tables spread over the machines of a Citus cluster, where the database is one.

Each table that says whose rows it has is distributed by `host_id`, all of them alike, so that all rows of a host are on
one machine; the few others are copied to every machine, and so are the hosts and what they are called, which others are
joined with. What must stay true: of one host nothing is asked of more than one machine, and nothing that is distributed
is joined but by the host.
"""

from typing import Final

from sqlalchemy import Connection, text

from fleetnet_server.storage.dialect import is_spread
from fleetnet_server.storage.metadata import METADATA

# Few rows, of which every machine has a copy.
REFERENCE: Final = frozenset(
    {"hosts", "labels", "tokens", "people", "person_tokens", "log", "log_head", "authorities", "certificates"}
    | {"readmissions"}
)
_WITH: Final = "current"  # all others lie as this one does

_SPREAD = text(
    "SELECT relname FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid "
    "WHERE relnamespace = current_schema()::regnamespace AND (partmethod = 'h' OR repmodel = 't')"
)
_DISTRIBUTE = text("SELECT create_distributed_table(:named, 'host_id', colocate_with => :beside)")
_COPY = text("SELECT create_reference_table(:named)")
_MACHINES = text("SELECT count(*) FROM pg_dist_node WHERE noderole = 'primary' AND shouldhaveshards")


def one_by_one(conn: Connection) -> None:
    """Until the end of the transaction, which begins with this, parts of a table are changed one after the other. Where
    Citus has changed some at once it makes no view in the same transaction."""
    if is_spread(conn):
        conn.execute(text("SET LOCAL citus.multi_shard_modify_mode = 'sequential'"))


def spread(conn: Connection) -> None:
    """Spread what is not spread yet; nothing where there is no Citus. Rows that are there are moved."""
    due = missing(conn)
    for name in sorted(due & REFERENCE):
        conn.execute(_COPY, {"named": name})
    for name in sorted(due - REFERENCE, key=lambda name: (name != _WITH, name)):
        conn.execute(_DISTRIBUTE, {"named": name, "beside": "none" if name == _WITH else _WITH})


def missing(conn: Connection) -> frozenset[str]:
    """Tables that lie on one machine, where there are several to spread them over."""
    if not is_spread(conn):
        return frozenset()
    return frozenset(METADATA.tables) - frozenset(conn.execute(_SPREAD).scalars())


def machines(conn: Connection) -> int:
    """Over how many machines they are spread; 0 where there is no Citus."""
    return int(conn.execute(_MACHINES).scalar_one()) if is_spread(conn) else 0

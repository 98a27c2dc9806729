"""Indexes by which the first page of an answer is there at once, built in a second for each million of open sockets.

Why so: an answer is put together host by host, and of one host the listeners of a port are to be found without reading
all that it holds. Who talks to an address, and which listeners are new, was found by reading every row.

The index of addresses is PostgreSQL's alone: they come in no order, so each commit to SQLite would write most of its
pages anew. Of history only listeners are in an index more, for they are few. While PostgreSQL builds these indexes
collectors wait that would write; none can, for they are stopped for an upgrade. On the way back the indexes go.

Revision 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_LISTENERS = sa.text("scope <> 0")
_REMOTE = sa.text("remote_address <> ''")
_OF_LISTENERS = {
    "ix_current_listeners_of": ("current", ["host_id", "local_port"]),
    "ix_current_listeners_since": ("current", ["opened_at_us"]),
    "ix_history_listeners_since": ("history", ["opened_at_us"]),
}


def upgrade() -> None:
    for name, (table, columns) in _OF_LISTENERS.items():
        op.create_index(name, table, columns, sqlite_where=_LISTENERS, postgresql_where=_LISTENERS)
    if op.get_context().dialect.name == "postgresql":
        op.create_index("ix_current_remote_address", "current", ["remote_address"], postgresql_where=_REMOTE)


def downgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.drop_index("ix_current_remote_address", "current")
    for name, (table, _) in _OF_LISTENERS.items():
        op.drop_index(name, table)

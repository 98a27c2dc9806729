"""Hosts one by one, as what is looked for of each of them by a subquery begins.

What must stay true: a host that has a stream is there once, whatever the engine; one that has never had any is told
by itself (`WITHOUT_STREAM`) where the tables are spread over machines. For there a subquery may only look at rows of
tables that are spread, and a host's newest stream stands for it.
"""

from typing import Final, NamedTuple

from sqlalchemy import Column, Connection, FromClause

from fleetnet_server.storage.dialect import is_spread
from fleetnet_server.storage.schema import hosts, sessions

# The first stream makes it 1 (hosts.fence, in the transaction that opens the stream), and retention leaves the newest.
WITHOUT_STREAM: Final = hosts.c.generation == 0

_newest = sessions.alias()
_NEWEST = (_newest.c.host_id == hosts.c.host_id) & (_newest.c.generation == hosts.c.generation)


class EachHost(NamedTuple):
    """Where hosts are found: columns of `hosts` are there too."""

    found_in: FromClause
    of: FromClause  # what a subquery looks at
    host_id: Column[int]  # of that


def each_host(conn: Connection) -> EachHost:
    """As its engine takes it."""
    if is_spread(conn):
        return EachHost(hosts.join(_newest, _NEWEST), _newest, _newest.c.host_id)
    return EachHost(hosts, hosts, hosts.c.host_id)

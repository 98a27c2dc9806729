"""What a question asks of the addresses and ports of a row of sockets, in the words of SQL.

What must stay true: of several conditions for one question no two are true of one row. What an index is for is said in
its own words (schema.py).
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Column, ColumnElement, Table, and_, bindparam, or_

from fleetnet_server.records import Net
from fleetnet_server.storage import nets, usual
from fleetnet_server.storage.metadata import NoBytes

_ANY: Final = 5  # of the column scope
_ANY_IPV4: Final = bytes(4)
_ANY_IPV6: Final = bytes(16)
_ANY_MAPPED: Final = nets.MAPPED + _ANY_IPV4


def ports(column: Column[int], ranges: Sequence[tuple[int, int]]) -> ColumnElement[bool]:
    """Ports that lie in one of some ranges."""
    alone = [first for first, last in ranges if first == last]
    found = [column.between(first, last) for first, last in ranges if first != last]
    if alone:
        # However many they are, one condition, for SQLite takes no expression that is deeper than 1,000; and as
        # numbers in the statement, for PostgreSQL takes no more than 65,535 values beside it.
        found.append(column.in_(bindparam(None, alone, expanding=True, literal_execute=True)))
    return or_(*found)


def remotes(
    table: Table, asked: Sequence[Net], port_ranges: Sequence[tuple[int, int]]
) -> list[list[ColumnElement[bool]]]:
    """What is asked of the other end; a list for each range of addresses, for no engine reads two through an index
    that leaves rows out. Addresses alone are one list."""
    address = table.c.remote_address
    known = [address != NoBytes()]
    if port_ranges:
        known.append(ports(table.c.remote_port, port_ranges))
    if not asked:
        return [known if port_ranges else []]
    ranges = nets.merged(asked)
    alone = [first for first, last in ranges if first == last]
    found = [[*known, address.in_(alone)]] if alone else []
    found += [[*known, _within(table, "remote_address", first, last)] for first, last in ranges if first != last]
    return found


def local(table: Table, net: Net) -> ColumnElement[bool]:
    """Rows whose local address lies in a net, and listeners that can be reached there because they are on every
    address."""
    address = table.c.local_address
    ends = nets.ranges(net)
    every: list[ColumnElement[bool]] = []
    if nets.has_ipv4(net):
        every += [address == _ANY_IPV4, address == _ANY_MAPPED, (address == _ANY_IPV6) & table.c.v6only.is_not(True)]
    if nets.has_ipv6(net):
        every.append(address == _ANY_IPV6)
    within = [_within(table, "local_address", first, last) for first, last in ends]
    return or_(*within, (table.c.scope == _ANY) & or_(*every))


def _within(table: Table, name: str, first: bytes, last: bytes) -> ColumnElement[bool]:
    # Of one length, in words that the engine has counted; it has not counted lengths.
    family = 4 if len(first) == 4 else 6
    return and_(table.c[name].between(first, last), usual.is_so(table, "family", family))

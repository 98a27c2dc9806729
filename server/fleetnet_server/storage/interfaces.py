"""Interfaces of the namespaces: which are open, and what they were at a time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from struct import Struct
from typing import Any

from sqlalchemy import Connection, insert

from fleetnet_server.network import Interface, InterfaceAddress
from fleetnet_server.storage import spans
from fleetnet_server.storage.dialect import execute_rows
from fleetnet_server.storage.moments import Moment
from fleetnet_server.storage.schema import interfaces

# In the order of Interface; `addresses` is encoded as the column's sentence says.
_ATTRIBUTES = (
    "index",
    "name",
    "hardware_type",
    "hardware_address",
    "mtu",
    "flags",
    "operstate",
    "kind",
    "master",
    "addresses",
    "speed_mbps",
    "duplex",
    "link",
    "driver",
)  # fmt: skip
_ADDRESSES = _ATTRIBUTES.index("addresses")
_OPEN = insert(interfaces)
_OPENED = ("netns", *_ATTRIBUTES, *spans.BEGINNING)
_BYTES = Struct("BB")


def known(conn: Connection, pairs: Collection[tuple[int, int]]) -> dict[tuple[int, int], dict[int, Interface]]:
    """What is open in some namespaces, each given as (host_id, netns), by index."""
    found: dict[tuple[int, int], dict[int, Interface]] = {}
    for row in spans.known(conn, interfaces, pairs, _ATTRIBUTES):
        interface = _interface(row[2:])
        found.setdefault(row[:2], {})[interface.index] = interface
    return found


def open_new(conn: Connection, begun: Sequence[tuple[int, Interface, spans.Beginning]]) -> None:
    """Begin intervals, each given as (netns, interface, beginning)."""
    if begun:
        rows = [(netns, *_values(interface), *beginning) for netns, interface, beginning in begun]
        execute_rows(conn, _OPEN, _OPENED, rows)


def _values(interface: Interface) -> tuple[Any, ...]:
    told = [getattr(interface, name) for name in _ATTRIBUTES]
    told[_ADDRESSES] = encode(interface.addresses)
    return tuple(told)


def end(conn: Connection, which: Sequence[tuple[Mapping[str, int], spans.Ending]]) -> None:
    """End interfaces, each given by some of the columns netns, index."""
    spans.end(conn, interfaces, which)


def last_ends(conn: Connection, host_id: int, netns: Collection[int], after_us: int) -> dict[tuple[int, ...], int]:
    """When interfaces last ended, where that was after a time, each given by the columns netns, index."""
    return spans.last_ends(conn, interfaces, host_id, netns, ("netns", "index"), after_us)


def restate(conn: Connection, looks: Sequence[tuple[int, int, int]], known: spans.Restated) -> None:
    """Of interfaces that began or ended at a look, say otherwise how exactly that is known."""
    spans.restate(conn, interfaces, looks, known)


def load(
    conn: Connection, pairs: Collection[tuple[int, int]], moment: Moment | None
) -> dict[tuple[int, int], list[tuple[Interface, int]]]:
    """Those of some namespaces at a time, ascending by index, each with when it came to be as it was."""
    found = spans.load(conn, interfaces, pairs, moment, (*_ATTRIBUTES, "opened_at_us"), ("index",))
    return {pair: [(_interface(row[2:-1]), row[-1]) for row in rows] for pair, rows in found.items()}


def encode(addresses: Iterable[InterfaceAddress]) -> bytes:
    """As the column's sentence says."""
    return b"".join(
        bytes([len(a.address)]) + a.address + _BYTES.pack(a.prefix_length, len(a.peer)) + a.peer + bytes([a.scope])
        for a in addresses
    )


def decode(encoded: bytes) -> tuple[InterfaceAddress, ...]:
    """The reverse of `encode`."""
    found = []
    at = 0
    while at < len(encoded):
        address, at = encoded[at + 1 : at + 1 + encoded[at]], at + 1 + encoded[at]
        prefix_length, peer_bytes = _BYTES.unpack_from(encoded, at)
        peer, at = encoded[at + 2 : at + 2 + peer_bytes], at + 2 + peer_bytes
        found.append(InterfaceAddress(address, prefix_length, peer, encoded[at]))
        at += 1
    return tuple(found)


def _interface(values: Sequence[Any]) -> Interface:
    told = list(values)
    told[_ADDRESSES] = decode(told[_ADDRESSES])
    return Interface(*told)

"""Ports that a question names: put together, and no more than a database understands soon.

A single port costs next to nothing, for all of them are one condition. A range is a condition of its own, which each
net of more than one address asks for once more; SQLite takes minutes to understand tens of thousands of those, and
cannot be interrupted meanwhile.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from fleetnet_proto.v1 import query_pb2

from fleetnet_server.errors import RequestRefused

_LAST_PORT: Final = 0xFFFF
# Measured with SQLite: what these let in is understood in about a second at worst, on one core.
_MAX_APART: Final = 256
_MAX_PAIRS: Final = 128

PortRanges: TypeAlias = tuple[tuple[int, int], ...]


def merged(messages: Iterable[query_pb2.PortRange]) -> PortRanges:
    """The same ports in as few ranges as there can be, ascending. Raises RequestRefused."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(map(_checked, messages)):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def check(some: PortRanges, others: PortRanges, nets: int) -> None:
    """Raises RequestRefused where these are too many, in a question with so many nets of more than one address."""
    apart = sum(first != last for first, last in (*some, *others))
    if apart > _MAX_APART:
        raise RequestRefused(
            f"the question names {apart} ranges of ports that lie apart; at most {_MAX_APART} work, and single ports "
            "do not count"
        )
    if apart * nets > _MAX_PAIRS:
        raise RequestRefused(
            f"the question names {apart} ranges of ports, each in {nets} nets; at most {_MAX_PAIRS} pairs of them "
            "work, and neither single ports nor single addresses count; ask for less at a time"
        )


def _checked(message: query_pb2.PortRange) -> tuple[int, int]:
    if not message.first <= message.last <= _LAST_PORT:
        raise RequestRefused(f"{message.first}-{message.last} is no range of ports; write the lower one first")
    return message.first, message.last

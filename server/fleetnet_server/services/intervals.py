"""What the reports of a batch make of the intervals that are open. Pure.

A row is one socket in one state, between one pair of addresses. The same again changes what is known of the row, and
who held it until then may be kept beside it (handovers.py);
another state, or another peer of a UDP socket that was connected anew, ends it and begins the next at the same
instant, so the intervals of a socket adjoin and never overlap.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from fleetnet_server.records import Socket
from fleetnet_server.services.handovers import Other
from fleetnet_server.services.scopes import Scope, listens, scope
from fleetnet_server.storage.sockets import Ending, Known, OpenSocket


class OpenedAtIs(IntEnum):
    """How exactly the beginning of an interval is known; the wire's numbers."""

    EXACT = 1
    SEEN = 2
    BEFORE = 3
    UNSEEN = 4


class ClosedAtIs(IntEnum):
    """How exactly the end of an interval is known; the wire's numbers."""

    EXACT = 1
    SEEN = 2
    GAP = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write, in this order."""

    endings: tuple[Ending, ...]
    opened: tuple[OpenSocket, ...]
    others: tuple[Other, ...]
    updated: tuple[OpenSocket, ...]


def scope_of(socket: Socket) -> Scope:
    """How far a listener reaches; services/scopes.py says what listens."""
    if listens(socket.key.protocol, socket.state, socket.remote_address):
        return scope(socket.local_address)
    return Scope.NOT_A_LISTENER


def plan(
    reports: Iterable[OpenSocket],
    known: Mapping[int, Known],
    ended: Mapping[int, int],
    change: ClosedAtIs,
    seen_at_us: int,
) -> Plan:
    """What to write for these reports, each of another socket.

    `known` are those that are open; `ended` says when those that are not, but once were, last ended: they cannot have
    opened before. `change` is how exactly a look knows the end of an interval when only the next one is reported,
    `seen_at_us` a look that confirmed the one before.
    """
    endings: list[Ending] = []
    opened: list[OpenSocket] = []
    others: list[Other] = []
    updated: list[OpenSocket] = []
    for report in reports:
        open_row = known.get(report.socket_id)
        if open_row is None:
            opened.append(_not_before(report, ended.get(report.socket_id, 0)))
        elif open_row.state != report.socket.state or open_row.endpoints != report.endpoints:
            begun = _not_before(report, open_row.opened_at_us)
            # In a gap it may have been in others in between.
            exact = report.socket.opened_at_is == OpenedAtIs.EXACT and change is not ClosedAtIs.GAP
            how = ClosedAtIs.EXACT if exact else change
            endings.append(Ending(report.host_id, report.socket_id, begun.opened_at_us, how, seen_at_us))
            opened.append(begun)
        elif open_row.attributes != report.attributes:
            updated.append(report)
            if open_row.holder_id != report.holder_id:
                others.append(Other(report, open_row.holder_id, open_row.held_from_us, seen_at_us))
    return Plan(tuple(endings), tuple(opened), tuple(others), tuple(updated))


def _not_before(report: OpenSocket, earliest_us: int) -> OpenSocket:
    """A clock that was set back must not make intervals overlap."""
    return report if report.opened_at_us >= earliest_us else report._replace(opened_at_us=earliest_us)

"""What becomes of the past where a socket that stays in its state is told with another holder.

Either it changed hands: the former holder is kept for the time until then (storage/former_holders.py). Or more is known
than before, and what is known now counts for the time before as well. What must stay true:

1. What was known stays true of its time: known processes, or that there are none, and a uid, a unit or a container that
   was told. Whatever is told otherwise after it, even that nothing is known, is another time.
2. What was not known is no time of its own: where nobody had been found yet, or been accepted or was only inferred, the
   next that is told held it before; where the agent could not see processes, if uid, unit and container agree.
3. It changed hands at the look that found it so; the look that found the former last stands beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from fleetnet_server.records import Holder
from fleetnet_server.storage import former_holders, holders, ids
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.former_holders import Former
from fleetnet_server.storage.kept import Kind
from fleetnet_server.storage.sockets import OpenSocket

# Of OwnerStatus, the wire's numbers.
_KNOWN, _INFERRED, _KERNEL, _UNACCEPTED, _GONE, _RACED = 1, 2, 5, 6, 7, 8
_CERTAIN = (_KNOWN, _KERNEL, _GONE)
_NOT_YET = (_INFERRED, _UNACCEPTED, _RACED)
_TIME_WAIT = 6  # include/net/tcp_states.h
# Processes of a holder that are compared with those of the one before it. Where there are more, what is told otherwise
# of it in any way is another time: a batch may tell of thousands of sockets whose holders have thousands each.
MOST_COMPARED: Final = 1_024


class Other(NamedTuple):
    """A report of an open interval with another holder than its row has."""

    report: OpenSocket
    holder_id: int  # of the row
    from_us: int  # since when that one has held it
    seen_us: int  # a look that is known to have found that one, or 0


def changes_hands(was: Holder, now: Holder, same_owners: Callable[[], bool]) -> bool:
    """Whether what was told of a socket is of another time than what is told now. Of the owners it is only asked
    whether they are the same, and only where nothing else decides."""
    if was.owner_status in _NOT_YET:
        return False
    if any(
        told and told != told_now
        for told, told_now in (
            ("" if was.uid is None else str(was.uid), str(now.uid)),
            (was.unit, now.unit),
            (was.container, now.container),
        )
    ):
        return True
    return was.owner_status in _CERTAIN and (now.owner_status != was.owner_status or not same_owners())


def store(conn: Connection, others: Sequence[Other], boots: Mapping[int, bytes]) -> None:
    """Keep who held it before, of those that changed hands; before their rows are changed. `boots` has the boot that
    each host reports of."""
    if not others:
        return
    # What is told but for this moment, or by a clock that was set back behind it, was held for no time.
    lasted = [other for other in others if other.from_us < other.report.seen_at_us]
    # Without their owners, of which a few sockets may have millions.
    were = holders.without_owners(conn, {(other.report.host_id, other.holder_id) for other in lasted})
    named: dict[int, list[int]] = {}  # processes of a holder, by the `id()` of it
    found = []
    for other in lasted:
        was = were.get((other.report.host_id, other.holder_id))
        if was is not None and changes_hands(
            was, other.report.socket.holder, partial(_same_owners, was, other, boots, named)
        ):
            found.append(_former(other))
    former_holders.keep(conn, found)


def _same_owners(was: Holder, other: Other, boots: Mapping[int, bytes], named: dict[int, list[int]]) -> bool:
    """Whether the row's holder has the processes that are told now: then it is called by them."""
    now = other.report.socket.holder
    if len(now.owners) > MOST_COMPARED:
        return False
    if id(now) not in named:
        named[id(now)] = [ids.process_id(boots[other.report.host_id], process) for process in now.owners]
    return ids.holder_id(was, named[id(now)]) == other.holder_id


def _former(other: Other) -> Former:
    report, until_us = other.report, other.report.seen_at_us
    # The look at which its time began found it too.
    seen_us = max(other.seen_us, other.from_us)
    return Former(
        report.host_id,
        report.socket_id,
        until_us,
        other.from_us,
        seen_us if seen_us < until_us else None,
        other.holder_id,
        _kept_as(report),
    )


def _kept_as(report: OpenSocket) -> Kind:
    """As storage/retention.py has it."""
    if report.socket.state == _TIME_WAIT:
        return Kind.BRIEF
    return Kind.LISTENERS if report.scope else Kind.SOCKETS

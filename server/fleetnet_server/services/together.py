"""Which works of many hosts are done at one stroke: what each costs on its own is then paid once for all.

Works are streams to be opened, and batches. Of each host the next one at a time, in turns, so that a later one finds
what an earlier one has stored. Whatever is intricate, or seems wrong, is left to be done alone, and with it what comes
after it of the same host.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from fleetnet_server.records import Batch, Hello, Session
from fleetnet_server.services.scopes import listens
from fleetnet_server.services.steps import Step
from fleetnet_server.storage import sessions
from fleetnet_server.storage.database import Connection

_LISTEN = 10  # include/net/tcp_states.h

# The name of a host, when its Hello was received, and the serial of the certificate that it showed.
Opening: TypeAlias = tuple[str, Hello, int, str]
Telling: TypeAlias = tuple[Session, Batch, int, bytes | None]  # and when it was, and as it came


def ordinary(batch: Batch) -> bool:
    """Whether a batch tells of the present, is no part of a snapshot that has several, and nothing in it can be wrong
    that only the database knows."""
    if batch.snapshot is None:
        # Of sources a host may have too many, and what is refused undoes what was done together with it.
        return batch.backlog is None and not batch.sources
    return batch.snapshot.part == 0 and batch.snapshot.last


def beat(batch: Batch) -> bool:
    """Whether a batch says no more than that nothing has changed: nobody waits for it."""
    return not (
        batch.snapshot
        or batch.opened
        or batch.changed
        or batch.closed
        or batch.gaps
        or batch.sources
        or batch.namespaces
        or batch.namespaces_gone
        or batch.backlog
    )


def listens_anew(batch: Batch) -> bool:
    """Whether a batch tells of a new listener of TCP or SCTP: somebody may wait to see it. A snapshot tells of all."""
    return batch.snapshot is None and any(
        socket.state == _LISTEN and listens(socket.key.protocol, socket.state, socket.remote_address)
        for socket in batch.opened
    )


def turns(host_ids: Mapping[int, int], alone: Callable[[int], bool]) -> list[list[int]]:
    """The places of the works that may be done together, of each host one in a turn; given is the host of each."""
    found: list[list[int]] = []
    turn_of: dict[int, int] = {}
    left: set[int] = set()
    for place, host_id in host_ids.items():
        if host_id in left or alone(place):
            left.add(host_id)
            continue
        turn = turn_of[host_id] = turn_of.get(host_id, -1) + 1
        if turn == len(found):
            found.append([])
        found[turn].append(place)
    return found


def steps(conn: Connection, works: Sequence[Telling]) -> list[Step | None]:
    """Each as a step, each of another host; None of one that is not the next as its stream stands."""
    if not works:
        return []
    standings = sessions.standings(conn, [session for session, *_ in works])
    return [_step(work, standings.get(work[0].host_id)) for work in works]


def _step(work: Telling, standing: sessions.Standing | None) -> Step | None:
    session, batch, received_at_us, _ = work
    # What is refused, or belongs to no stream, is refused where it is stored alone.
    if standing is None or standing.fenced or not standing.admitted:
        return None
    due = batch.sequence == standing.last_sequence + 1
    named = (batch.boot_id, batch.epoch) == (session.boot_id, session.epoch)
    return Step(session, batch, standing, received_at_us) if due and named else None

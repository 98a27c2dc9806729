"""A batch that tells of much is stored in pieces, each in a transaction of its own, so that others get between. Pure.

What must stay true: all pieces together tell what the batch tells, each thing once; the batch counts as stored, and a
look as whole, with the last piece only; whatever ends with the last one that was stored, the whole batch may come again
and leaves the same rows. So what begins is told before what ends: amid a batch a socket may seem to be open still that
is gone, and never the other way round. A socket that the batch opens and ends is told of in one piece.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from operator import attrgetter
from typing import Final, TypeVar

from fleetnet_server.network import Namespace
from fleetnet_server.records import Backlog, Batch, ClosedSocket, Socket, SocketKey

# Some 20 ms of the database's time, which is what others wait at most for one host (docs/decisions/0054).
MOST_ROWS: Final = 500
# After each piece, and after what is large, its host rests for so many times as long as that kept the database: at a
# quarter of the time a host still gets about as many rows through as its quota (limits.py) lets it for good, and
# whatever it tells, most of the time others find nobody before them.
_REST_TIMES: Final = 3.0
_REST_AT_MOST_S: Final = 2.0
_SOCKET = attrgetter("socket")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Piece:
    """What one transaction stores of a batch: the batch with less in it."""

    batch: Batch
    rows: int  # that it has to store, roughly
    first: bool = True
    last: bool = True


def rest_s(took_s: float) -> float:
    """For how long a host rests that has kept the database for so long."""
    return min(_REST_AT_MOST_S, _REST_TIMES * took_s)


def cut(batch: Batch) -> list[Piece]:
    """The pieces of a batch, at least one: the batch itself, if it tells of no more than fits one."""
    told = _rows(batch)
    if told <= MOST_ROWS:
        return [Piece(batch, 1 + told)]
    some = _of_the_present(batch) if batch.backlog is None else _of_the_past(batch, batch.backlog)
    last = len(some) - 1
    return [Piece(one, 1 + _rows(one), number == 0, number == last) for number, one in enumerate(some)]


def _rows(batch: Batch) -> int:
    sockets = len(batch.opened) + len(batch.changed) + len(batch.closed)
    network = len(batch.namespaces_gone) + sum(map(_of_namespace, batch.namespaces))
    told, late = chain(batch.opened, batch.changed), 0
    if batch.backlog is not None:
        told, late = chain(told, map(_SOCKET, batch.backlog.sockets)), len(batch.backlog.sockets)
        late += len(batch.backlog.ended)
    # An owner is a row to store as well: those beyond one of each holder, of which hardly any has more than some.
    holders = {id(socket.holder): len(socket.holder.owners) for socket in told}
    return sockets + network + late + max(0, sum(holders.values()) - len(holders))


def _of_namespace(namespace: Namespace) -> int:
    return 1 + len(namespace.interfaces) + len(namespace.routes)


def _of_the_present(batch: Batch) -> list[Batch]:
    """Sockets that are open, then namespaces, which are told whole, then sockets that are gone. Gaps and sources come
    with the first piece: what is refused of these is refused before anything is stored."""
    nothing = replace(
        batch, opened=(), changed=(), closed=(), sources=(), gaps=(), namespaces=(), namespaces_gone=(), digest=None
    )
    ends = {closed.key: closed for closed in batch.closed}
    named: set[int] = set()
    found = [
        replace(nothing, opened=some, closed=_taken(ends, some)) for some in _some(batch.opened, _of_socket(named))
    ]
    found += [
        replace(nothing, changed=some, closed=_taken(ends, some)) for some in _some(batch.changed, _of_socket(named))
    ]
    # Before those that are told, for an inode number may come again.
    found += [replace(nothing, namespaces_gone=some) for some in _some(batch.namespaces_gone, _one)]
    found += [replace(nothing, namespaces=some) for some in _some(batch.namespaces, _of_namespace)]
    found += [replace(nothing, closed=some) for some in _some(tuple(ends.values()), _one)]
    found[0] = replace(found[0], gaps=batch.gaps, sources=batch.sources)
    found[-1] = replace(found[-1], digest=batch.digest)
    return found


def _of_the_past(batch: Batch, told: Backlog) -> list[Batch]:
    """In whatever order parts of a backlog come, the same is left."""
    nothing = replace(told, sockets=(), ended=(), last=False)
    of_socket = _of_socket(set())
    found = [replace(nothing, sockets=some) for some in _some(told.sockets, lambda past: of_socket(past.socket))]
    found += [replace(nothing, ended=some) for some in _some(told.ended, _one)]
    found[-1] = replace(found[-1], last=told.last)
    return [replace(batch, backlog=one) for one in found]


def _taken(ends: dict[SocketKey, ClosedSocket], sockets: Iterable[Socket]) -> tuple[ClosedSocket, ...]:
    """The ends of these sockets, which are taken out."""
    return tuple([ends.pop(socket.key) for socket in sockets if socket.key in ends])


def _some(told: Iterable[_T], rows: Callable[[_T], int]) -> Iterator[tuple[_T, ...]]:
    """As many at a time as have MOST_ROWS rows together; one that has more stands alone."""
    found: list[_T] = []
    room = MOST_ROWS
    for one in told:
        needed = rows(one)
        if found and needed > room:
            yield tuple(found)
            found, room = [], MOST_ROWS
        found.append(one)
        room -= needed
    if found:
        yield tuple(found)


def _one(_: object) -> int:
    return 1


def _of_socket(named: set[int]) -> Callable[[Socket], int]:
    """How many rows a socket has, with the owners of its holder where nobody named that before it."""

    def rows(socket: Socket) -> int:
        holder = socket.holder
        if id(holder) in named:
            return 1
        named.add(id(holder))
        return max(1, len(holder.owners))

    return rows

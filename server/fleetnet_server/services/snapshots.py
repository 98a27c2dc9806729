"""Which sockets and namespaces the parts of a snapshot have named, kept while its stream sends it.

What must stay true: a snapshot counts as whole only if this collector saw every part of it in one stream, from part 0
to the last. Parts resent over a new stream after the first ones were committed over an old one are stored, but end
nothing: the agent sends another snapshot right after them.
"""

from dataclasses import dataclass, field

from fleetnet_server.errors import BadBatch
from fleetnet_server.records import Session, SnapshotPart

# Bounds what one host can make the collector remember: 64 MB or so. A larger host is stored, but never counts as whole.
MAX_NAMED = 1_000_000


@dataclass(frozen=True, slots=True)
class Named:
    """What was named: ids of sockets, and the numbers of namespaces."""

    sockets: set[int] = field(default_factory=set)
    namespaces: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.sockets) + len(self.namespaces)

    def add(self, more: "Named") -> None:
        """Take in what else was named."""
        self.sockets.update(more.sockets)
        self.namespaces.update(more.namespaces)


@dataclass(slots=True)
class _Underway:
    next_part: int = 0
    named: Named = field(default_factory=Named)


class Snapshots:
    """The snapshots under way, at most one a stream."""

    def __init__(self) -> None:
        self._underway: dict[tuple[int, int], _Underway] = {}

    def follow(
        self, session: Session, part: SnapshotPart | None, named: Named, *, first: bool = True, last: bool = True
    ) -> Named | None:
        """Take note of what a batch names, or the first, the last or another piece of it; all that the snapshot named,
        if it is whole then.

        What is named by a difference between two parts counts as named. Raises BadBatch if a part is out of order.
        """
        if part is not None and part.part == 0 and first:
            self._underway[_name(session)] = _Underway()
        underway = self._underway.get(_name(session))
        if underway is None:
            return None
        if len(underway.named) + len(named) > MAX_NAMED:
            self.drop(session)
            return None
        underway.named.add(named)
        return None if part is None else self._advance(session, underway, part, last=last)

    def underway(self, session: Session) -> bool:
        """Whether the stream is amid a snapshot."""
        return _name(session) in self._underway

    def _advance(self, session: Session, underway: _Underway, part: SnapshotPart, *, last: bool) -> Named | None:
        if part.part != underway.next_part:
            raise BadBatch(
                f"part {part.part} of a snapshot came where part {underway.next_part} was due; start it anew"
            )
        if not last:
            return None
        underway.next_part += 1
        if not part.last:
            return None
        self.drop(session)
        return underway.named

    def drop(self, session: Session) -> None:
        """Forget the snapshot of a stream, because it is whole, or failed, or the stream has ended."""
        self._underway.pop(_name(session), None)

    def drop_host(self, host_id: int) -> None:
        """Forget the snapshots of all streams of a host."""
        # Copied at one stroke, for the writer's thread may begin or end snapshots of other hosts meanwhile.
        for name in [name for name in tuple(self._underway) if name[0] == host_id]:
            self._underway.pop(name, None)


def _name(session: Session) -> tuple[int, int]:
    return session.host_id, session.generation

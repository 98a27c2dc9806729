"""What is too old at one time, by how long each kind is kept.

History lies in bands of time: what is older than the longest time goes whatever it is, what is older than the next only
where it is not of the kind that is kept longest, and so on.
"""

from dataclasses import dataclass
from typing import Final

from fleetnet_server.keep import Keep
from fleetnet_server.storage import kept
from fleetnet_server.storage.kept import Kind
from fleetnet_server.storage.retention import NETWORK

DAY_US: Final = 86_400_000_000
BEFORE_ALL_US: Final = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Band:
    """A time of history in which what is of one of these kinds goes; by the collector's clock."""

    kind: Kind  # the one whose time begins with it
    kinds: frozenset[Kind]
    from_us: int
    before_us: int

    @property
    def whole(self) -> bool:
        """Whether all in it goes, so that no walk has passed over anything."""
        return self.kinds == kept.SOCKETS


@dataclass(frozen=True, slots=True)
class Times:
    """What is too old at one time."""

    bands: tuple[Band, ...]  # the oldest first, each of which begins where the one before ends
    others: tuple[tuple[str, int], ...]  # tables beside history, and what goes: all that ended before
    streams_us: int | None  # those that ended before; None: they stay


def days(keep: Keep) -> dict[Kind, int | None]:
    """For how long each kind of socket is kept; None for ever."""
    return {
        Kind.LISTENERS: keep.keep_listeners_days,
        Kind.SOCKETS: keep.keep_sockets_days,
        Kind.BRIEF: keep.keep_brief_days,
    }


def times(keep: Keep, now_us: int) -> Times:
    """What is too old now."""
    bounded = sorted(((many, kind) for kind, many in days(keep).items() if many is not None), reverse=True)
    bands: list[Band] = []
    for place, (many, kind) in enumerate(bounded):
        kinds = frozenset(other for _, other in bounded[place:])
        from_us = bands[-1].before_us if bands else BEFORE_ALL_US
        bands.append(Band(kind, kinds, from_us, now_us - many * DAY_US))
    longest_us = None if keep.longest_days is None else now_us - keep.longest_days * DAY_US
    # Answers about sockets show the names of their namespaces.
    others = [] if longest_us is None else [(table, longest_us) for table in ("gaps", *NETWORK)]
    if keep.keep_sockets_days is not None:
        others.append(("trends", now_us - keep.keep_sockets_days * DAY_US))
    return Times(tuple(bands), tuple(others), longest_us)

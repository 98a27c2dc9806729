"""Every network namespace that is followed beside its sockets, and what of them is to be told.

    network = open_network(host, inside)
    network.follow(Namespace(4026532…, name="web"))     # other namespaces, as they come
    ... at each look:
    if network.look():                                  # read what is due
        network.changed()                               # whole namespaces that are new or with something changed

The own namespace is read when the kernel says that something changed there, and every AGAIN_S in any case. Of another
one the kernel says nothing here: it is read as often as its `again_s`, or when `announce` is called. All others
together take OTHERS_SHARE of the time, so where they are many a change in one of them is seen later than that.

What must stay true: `changed`, applied to what it gave before, is `all`; what did not change is never told again; one
namespace that cannot be read stops no other.
"""

import socket
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Final, Protocol

from fleetnet_agent.host import Host
from fleetnet_agent.network.dump import open_own
from fleetnet_agent.network.news import News
from fleetnet_agent.network.place import MOST_REST_US, Place
from fleetnet_agent.records import OWN_NAMESPACE, Interface, Namespace, SourceStatus
from fleetnet_agent.sources.source import SourceError

AGAIN_S: Final = 60.0  # where changes are announced
UNANNOUNCED_AGAIN_S: Final = 10.0  # where they are not
PATIENCE_S: Final = 3.0  # in which another namespace may be shut before that is told; it is tried at each look
OTHERS_SHARE: Final = 0.0025  # of the time, for all namespaces but the own one
OTHERS_AT_ONCE_US: Final = 20_000  # in one look
OTHERS_AT_ONCE: Final = 32  # likewise

Opens = Callable[[], socket.socket]
"""Opens a NETLINK_ROUTE socket, which is closed again after each reading. Raises SourceError."""

Inside = Callable[[list[int]], Generator[tuple[int, socket.socket | SourceError], None, None]]
"""Opens a NETLINK_ROUTE socket in each of these namespaces, one after the other, or says why it cannot. The sockets are
closed again one by one; the generator may be left early."""


def nowhere(numbers: list[int]) -> Generator[tuple[int, socket.socket | SourceError], None, None]:
    """For who follows the own namespace alone."""
    for number in numbers:
        yield number, SourceError("there is no way into another network namespace")


class Announcing(Protocol):
    """What tells of changes in the own namespace; see news.News."""

    def heard(self) -> bool:
        """True if anything changed since the last time this was asked, or may have."""

    def close(self) -> None:
        """Listen no longer."""


class Network:
    """Namespaces by number. Not thread-safe."""

    def __init__(
        self,
        clock_us: Callable[[], int],
        opens: Opens,
        news: Announcing | SourceError,
        inside: Inside = nowhere,
    ) -> None:
        """`opens` leads into the own namespace, `inside` into others; `news` is of the own one, or why there is
        none."""
        self._clock_us = clock_us
        self._opens = opens
        self._inside = inside
        self._news = news
        again_s = UNANNOUNCED_AGAIN_S if isinstance(news, SourceError) else AGAIN_S
        self._own = Place(Namespace(OWN_NAMESPACE), clock_us, again_s=again_s)
        self._others: dict[int, Place] = {}
        self._others_at_us = 0  # before that, none of them is read again
        self._told: dict[int, Namespace] = {}

    def follow(self, identity: Namespace, *, again_s: float = UNANNOUNCED_AGAIN_S) -> None:
        """Follow another namespace from now on, or know it under this identity (name, container, runtime, unit)."""
        known = self._others.get(identity.netns)
        if known is None:
            self._others[identity.netns] = Place(identity, self._clock_us, again_s=again_s, patience_s=PATIENCE_S)
        else:
            known.identify(identity)

    def leave(self, netns: int) -> None:
        """Another namespace is gone; who calls this tells it."""
        self._others.pop(netns, None)
        self._told.pop(netns, None)

    def announce(self, netns: int) -> None:
        """Something changed in a namespace."""
        place = self._own if netns == OWN_NAMESPACE else self._others.get(netns)
        if place is not None:
            place.announce()

    def look(self) -> bool:
        """Read what is due. True if there is something to tell. Never raises SourceError."""
        # Asked before reading: what changes meanwhile is heard of the next time.
        if not isinstance(self._news, SourceError) and self._news.heard():
            self._own.announce()
        now_us = self._clock_us()
        if self._own.due_at_us() <= now_us:
            self._read_own()
        self._look_at_others(now_us)
        return any(self._is_news(place) for place in self._places())

    def changed(self) -> tuple[Namespace, ...]:
        """Namespaces that are new or with something changed since the last time, the own one first; from now on they
        count as told."""
        news = tuple(place.known for place in self._places() if self._is_news(place))
        self._told.update((namespace.netns, namespace) for namespace in news)
        return news

    def all(self) -> tuple[Namespace, ...]:
        """All namespaces as `changed` has told them, the own one first."""
        return tuple(self._told[netns] for netns in (OWN_NAMESPACE, *self._others) if netns in self._told)

    def links(self, netns: int) -> tuple[Interface, ...]:
        """The interfaces of a namespace as of the last reading."""
        place = self._own if netns == OWN_NAMESPACE else self._others.get(netns)
        return () if place is None else place.known.interfaces

    def statuses(self) -> list[SourceStatus]:
        """How the reading of interfaces and of routes is doing, in all namespaces."""
        places = self._places()
        reduced = ""
        if isinstance(self._news, SourceError):
            reduced = f"changes are seen within {UNANNOUNCED_AGAIN_S:.0f} s only: {self._news}"
        return [
            _status("interfaces", [place.interfaces_trouble for place in places], reduced),
            _status("routes", [place.routes_trouble for place in places], reduced),
        ]

    def close(self) -> None:
        """Give back sockets. No look after this."""
        if not isinstance(self._news, SourceError):
            self._news.close()

    def _places(self) -> list[Place]:
        return [self._own, *self._others.values()]

    def _is_news(self, place: Place) -> bool:
        # Compared as objects first: a namespace that was read and found equal stays the same one.
        told = self._told.get(place.known.netns)
        return not place.is_new and told is not place.known and told != place.known

    def _read_own(self) -> None:
        try:
            opened = self._opens()
        except SourceError as error:
            self._own.read(error)
            return
        with closing(opened) as route:
            self._own.read(route)

    def _look_at_others(self, now_us: int) -> None:
        """New ones at once; of the others, those that wait longest, as far as the budget goes."""
        self._read_inside([netns for netns, place in self._others.items() if place.is_new])
        if now_us < self._others_at_us:
            return
        due_at_us = {netns: place.due_at_us() for netns, place in self._others.items()}
        waiting = sorted((netns for netns, at_us in due_at_us.items() if at_us <= now_us), key=due_at_us.__getitem__)
        began_us = self._clock_us()
        self._read_inside(waiting[:OTHERS_AT_ONCE], until_us=began_us + OTHERS_AT_ONCE_US)
        rest_us = (self._clock_us() - began_us) / OTHERS_SHARE
        self._others_at_us = now_us + min(int(rest_us), MOST_REST_US)

    def _read_inside(self, numbers: list[int], until_us: int | None = None) -> None:
        if not numbers:
            return
        with closing(self._inside(numbers)) as entered:
            for netns, route in entered:
                if isinstance(route, SourceError):
                    self._others[netns].read(route)
                else:
                    with closing(route):
                        self._others[netns].read(route)
                if until_us is not None and self._clock_us() >= until_us:
                    break


def open_network(host: Host, inside: Inside = nowhere) -> Network:
    """The own namespace, followed, with a way into others. Never raises because the kernel refuses: that is told by the
    statuses."""
    try:
        news: Announcing | SourceError = News()
    except SourceError as refusal:
        news = refusal
    return Network(host.boottime_us, open_own, news, inside)


def _status(name: str, troubles: list[str], reduced: str) -> SourceStatus:
    """One sentence for all namespaces, the own one first."""
    failing = [trouble for trouble in troubles if trouble]
    if not failing:
        return SourceStatus(name, ok=True, detail=reduced)
    where = "" if troubles[0] and len(failing) == 1 else f"in {len(failing)} of {len(troubles)} network namespaces "
    return SourceStatus(name, ok=False, detail=f"{where}{failing[0]}")

"""The network namespaces of the host as the agent knows them: which there are, what they are called, and the door into
each, all through the privileged helper.

    namespaces = Namespaces(host, helper, wanted="all")
    namespaces.ask()                                  # at each look
    for netns, what in namespaces.inside(Kind.DIAG, namespaces.others):   # closed again after each turn of the loop

`netns` is the namespace's inode number. The agent's own, 0 in a SocketKey, is never among `others`.

What must stay true:
- no descriptor that leads into another namespace is open longer than one turn of the loop: an open one keeps the
  namespace alive after its last process;
- a namespace has ended only when the kernel says so: it is seen no longer and its number was taken back;
- which namespace a number meant is told only where that is sure (`meaning`), for numbers are given again.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol as Interface

from fleetnet_agent.cgroups import Place
from fleetnet_agent.facts import netns_inode
from fleetnet_agent.helper.client import HelperUnavailableError, Inside
from fleetnet_agent.helper.numbers import NumberNews
from fleetnet_agent.helper.requests import MOST_OPENED, Kind, Listed, Listing
from fleetnet_agent.host import Host
from fleetnet_agent.numbering import Numbering
from fleetnet_agent.places import Places
from fleetnet_agent.records import SourceStatus

NAME = "namespaces"
HELPER_RESTS_US = 5_000_000  # after it did not answer, so that a hanging one does not slow every look
LONGEST_NAME = 256
SHOWN = 3  # names in one sentence
_IP_NETNS = ("/run/netns/", "/var/run/netns/")


class Helper(Interface):
    """What is wanted of the privileged helper; see `helper.client.HelperClient`."""

    def namespaces(self) -> Listing: ...
    def open(self, kind: Kind, inodes: list[int], /) -> Inside: ...


@dataclass(frozen=True, slots=True)
class Known:
    """A network namespace that is there."""

    netns: int
    name: str  # that of ip-netns(8), else of the file it is mounted on; "" where it has none
    place: Place  # of a process that lives in it
    nsid: int | None


class Ways(Interface):
    """Which network namespaces there are beside the agent's own, and a way into each; see `Namespaces`."""

    @property
    def all(self) -> bool: ...
    @property
    def others(self) -> Mapping[int, Known]: ...
    @property
    def status(self) -> SourceStatus | None: ...
    def ask(self) -> bool: ...
    def has_ended(self, netns: int, nsid: int | None, /) -> bool | None: ...
    def inside(self, kind: Kind, netns: Iterable[int], /) -> Iterator[tuple[int, dict[str, int] | str]]: ...
    def close(self) -> None: ...


class Namespaces:
    """Asks the helper. Not thread-safe."""

    def __init__(self, host: Host, helper: Helper | None, *, wanted: str) -> None:
        """`wanted` is "all", "own", or "" for all where that makes sense: where the agent's namespace is that of
        process 1. Without a helper it is the own one in any case (see `proc_namespaces`). Never raises."""
        self._host = host
        self._helper = helper
        self._own = netns_inode(host)
        self._known: dict[int, Known] = {}
        self._listing: Listing | None = None
        self._places = Places(host.proc)
        self._rests_until_us = 0
        self._trouble = ""
        self.lists = 0  # how many there have been
        self.all = helper is not None and (wanted == "all" or (wanted == "" and self._is_of_process_1()))
        self._numbering = Numbering(_news() if self.all else None)

    @property
    def others(self) -> Mapping[int, Known]:
        """All but the agent's own, as of the last time the helper was asked; empty where it did not answer."""
        return self._known

    @property
    def answered(self) -> bool:
        """True if the list of namespaces is known as of now."""
        return self._listing is not None and not self._trouble

    @property
    def status(self) -> SourceStatus | None:
        """How well namespaces can be found; None where only the own one is wanted."""
        if not self.all:
            return None
        if self._trouble:
            detail = f"the helper does not answer ({self._trouble}): of other network namespaces nothing new is known"
        else:
            detail = self._listing.trouble if self._listing else ""
        return SourceStatus(NAME, not detail, detail)

    def ask(self) -> bool:
        """Ask which there are; True if some have come or gone since the last answer."""
        if not self.all or self._helper is None or self._host.boottime_us() < self._rests_until_us:
            return False
        try:
            listing = self._helper.namespaces()
        except HelperUnavailableError as error:
            self._take_trouble(error)
            return False
        self._trouble = ""
        self._listing = listing
        self.lists += 1
        before = {(one.netns, one.nsid) for one in self._known.values()}
        self._known = {one.inode: self._described(one) for one in listing.namespaces if one.inode != self._own}
        self._places.keep(self._known)
        self._numbering.list({one.nsid: one.inode for one in listing.namespaces if one.nsid is not None})
        return before != {(one.netns, one.nsid) for one in self._known.values()}

    def has_ended(self, netns: int, nsid: int | None) -> bool | None:
        """Whether the kernel says so of a namespace that is not among `others`; None where that cannot be known,
        because it had no number or the numbers cannot be read."""
        if netns in self._known or not self.answered or self._listing is None:
            return False
        numbers = self._listing.numbers
        if nsid is None or numbers is None:
            return None
        holder = next((one.inode for one in self._listing.namespaces if one.nsid == nsid), netns)
        return nsid not in numbers or holder != netns or self._numbering.was_taken_back(nsid)

    def meaning(self, nsid: int | None) -> int | None:
        """The key by which sockets of the namespace with this number are named (see SocketKey.netns), None being that
        of the helper. None where no list has the number yet. Raises AmbiguousError where it was given twice."""
        if self._listing is None:
            return None
        inode = self._listing.own if nsid is None else self._numbering.meaning(nsid)
        return 0 if inode == self._own else inode

    def is_nameless(self, nsid: int) -> bool:
        """True if `meaning` will never know: the namespace was gone before a list had it."""
        return self._numbering.is_nameless(nsid)

    def settle(self, waiting: Collection[int]) -> None:
        """The events that came up to now have been read, all but some with these numbers; so what the others meant
        before does not matter any more."""
        self._numbering.settle(waiting)

    def inside(self, kind: Kind, netns: Iterable[int]) -> Iterator[tuple[int, dict[str, int] | str]]:
        """Descriptors opened in each namespace, by what they are, or why it could not be entered. They are closed after
        each turn, all but those that were taken out; these are the caller's, who closes them as soon."""
        wanted = list(netns)
        for start in range(0, len(wanted), MOST_OPENED):
            some = wanted[start : start + MOST_OPENED]
            try:
                opened = self._open(kind, some)
            except HelperUnavailableError as error:
                yield from ((each, f"the helper does not answer ({error})") for each in some)
                continue
            with opened:
                for each in some:
                    yield from _one(opened, each)

    def close(self) -> None:
        """Give back sockets."""
        self._numbering.close()

    def _open(self, kind: Kind, netns: list[int]) -> Inside:
        if self._helper is None or self._host.boottime_us() < self._rests_until_us:
            raise HelperUnavailableError(self._trouble or "there is none")
        try:
            return self._helper.open(kind, netns)
        except HelperUnavailableError as error:
            self._take_trouble(error)
            raise

    def _take_trouble(self, error: HelperUnavailableError) -> None:
        self._trouble = str(error)
        self._rests_until_us = self._host.boottime_us() + HELPER_RESTS_US

    def _is_of_process_1(self) -> bool:
        """By the inodes of files below /proc/PID/net, which are others in each namespace and readable for anybody;
        where process 1 is hidden, the helper says."""
        net = self._host.proc
        with suppress(OSError):
            return os.stat(net / "1/net/dev").st_ino == os.stat(net / "self/net/dev").st_ino
        with suppress(HelperUnavailableError):
            listing = self._helper.namespaces() if self._helper else None
            return listing is not None and listing.own == self._own and bool(listing.of_process_1)
        return False

    def _described(self, one: Listed) -> Known:
        return Known(one.inode, name_of(one.mounts), self._places.of(one.inode, one.pids), one.nsid)


def name_of(mounts: Iterable[str]) -> str:
    """What a namespace is called, from where it is mounted. Pure."""
    paths = sorted(mounts, key=lambda path: (not path.startswith(_IP_NETNS), path))
    name = paths[0].rsplit("/", 1)[-1] if paths else ""
    return name.encode(errors="replace").decode()[:LONGEST_NAME]


def some_of(names: Iterable[str]) -> str:
    """The first few of these in one sentence, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def _news() -> NumberNews | None:
    try:
        return NumberNews()
    except OSError:
        return None


def _one(opened: Inside, netns: int) -> Iterator[tuple[int, dict[str, int] | str]]:
    descriptors = opened.take(netns)
    if not descriptors:
        yield netns, opened.refused.get(netns, "nothing could be opened in it")
        return
    try:
        yield netns, descriptors
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)

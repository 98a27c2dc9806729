"""A live look: everything at this moment, with the numbers that change all the time. Told once, kept nowhere.

What must stay true: nothing that is remembered of the looks changes, so no difference is disturbed, and looks may come
between two steps of a live look, which is one generator used in the looks' thread; a socket is told once, however often
a dump shows it; one step holds one part of a dump, never a whole table; a source that fails is told as trouble, and the
rest goes on.
"""

import contextlib
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path

from fleetnet_agent.counting import interface_counters, protocol_statistics
from fleetnet_agent.followed import Followed
from fleetnet_agent.holders import Holders
from fleetnet_agent.records import LiveItem, LiveSocket, LiveWanted, Protocol, Socket, Trouble
from fleetnet_agent.sources.all import SOURCES
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.inet_detail import DETAILS, decode_details, decode_timer
from fleetnet_agent.sources.inet_diag import ALL_STATES
from fleetnet_agent.sources.source import InconsistentError, Source, SourceError
from fleetnet_agent.sources.tcp import Tcp
from fleetnet_agent.sources.udp import Udp

DETAILED: dict[Protocol, Callable[[DiagSocket, int], Source]] = {Protocol.TCP: Tcp, Protocol.UDP: Udp}
"""What is read with timers and, where wanted, more."""
OTHERS: dict[str, Callable[[DiagSocket], Source]] = {kind.name: kind.open for kind in SOURCES}
"""The rest by name. Of what cannot be read by diag a live look tells what the last look has seen."""

_READ_AGAIN_AT_MOST = 2  # times, where the kernel marks dumps as inconsistent


def look_live(
    wanted: LiveWanted,
    followed: Sequence[Followed],
    holders: Holders,
    net: Path,
    open_diag: Callable[[], DiagSocket] = DiagSocket,
) -> Generator[LiveItem, None, None]:
    """What is wanted, an item at a time; `net` is the /proc/net of the agent's own namespace. Never raises for what the
    host does."""
    if wanted.sockets:
        # A netlink socket of its own, for a look may dump on the watch's own between two steps of this.
        with contextlib.closing(open_diag()) as diag:
            yield from live_sockets(followed, holders, diag, details=wanted.details)
    try:
        if wanted.interfaces:
            yield from interface_counters(net)
        if wanted.statistics:
            yield from protocol_statistics(net)
    except SourceError as error:
        yield Trouble(f"not all counters were read: {error}")


def live_sockets(
    followed: Sequence[Followed], holders: Holders, diag: DiagSocket, *, details: bool
) -> Iterator[LiveItem]:
    """The sockets of one namespace, that into which `diag` leads."""
    for each in followed:
        extensions = DETAILS if details and each.protocol in DETAILED else 0
        try:
            yield from _sockets(each, holders, diag, extensions)
        except SourceError as error:
            yield Trouble(f"not all of {each.status.name} was read: {error}")


def _sockets(followed: Followed, holders: Holders, diag: DiagSocket, extensions: int) -> Iterator[LiveItem]:
    if not followed.read_by_diag:
        if not followed.status.ok:
            yield Trouble(f"{followed.status.name}: {followed.status.detail}")
        # At once, for the next look may take some of them away.
        yield from [LiveSocket(row) for row in followed.sockets(holders)]
        return
    detailed = DETAILED.get(followed.protocol)
    source = detailed(diag, extensions) if detailed else OTHERS[followed.status.name](diag)
    seen: set[int] = set()
    for cookie, message in chain(_dumped(source), _missed(source, followed, diag, extensions, seen)):
        if cookie not in seen:
            seen.add(cookie)
            row = followed.shown(source.codec.decode(message, followed.protocol), holders)
            if extensions:
                yield _with_details(row, message)
            else:
                yield LiveSocket(row, decode_timer(message) if detailed else None)


def _dumped(source: Source) -> Iterator[tuple[int, bytes]]:
    """Cookies and messages, some of them twice."""
    for left in reversed(range(_READ_AGAIN_AT_MOST + 1)):
        try:
            for part in source.read(ALL_STATES):
                yield from zip(part.cookies, part.messages, strict=True)
            return
        except InconsistentError:
            if not left:
                raise


def _missed(
    source: Source, followed: Followed, diag: DiagSocket, extensions: int, seen: Collection[int]
) -> Iterator[tuple[int, bytes]]:
    """A dump under churn misses sockets: those that the looks know are asked for exactly, where that can be."""
    if source.codec.get_request is not None:
        yield from diag.find(followed.besides(seen), followed.protocol, source.codec, extensions).items()


def _with_details(row: Socket, message: bytes) -> LiveSocket:
    details = decode_details(message, row.key.protocol)
    return LiveSocket(row, details.timer, details.tcp, details.memory)

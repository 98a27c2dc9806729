"""Counts sockets by what they have in common, for `--by`.

What must stay true: an answer comes host by host, so that no more than one host's sockets are held at a time.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from fleetnet_cli.errors import UsageError, suggestion
from fleetnet_cli.records import Answer, Count, Coverage, End, ReadyAnswer, RemoteEnd, Socket

BY = ("host", "process", "remote")
_KEEP_THEIR_ENDS = ("tcp", "sctp")


def parse_by(text: str, known: tuple[str, ...] = BY) -> tuple[str, ...]:
    """What to count by, one or several with commas between them, in the order of BY; UsageError otherwise."""
    words = text.split(",")
    for word in words:
        if word not in known:
            choice = ", ".join(known[:-1]) + f" or {known[-1]}"
            raise UsageError(f"--by {text}: count by {choice}{suggestion(word, list(known))}")
    return tuple(word for word in known if word in words)


def count(answer: Iterable[Socket], by: tuple[str, ...], at_least: int) -> list[Count]:
    """Counts, the highest first, then by name. A socket that several processes share counts once for each name."""
    sockets_of: Counter[tuple[str, str, RemoteEnd | None]] = Counter()
    hosts_of: Counter[tuple[str, str, RemoteEnd | None]] = Counter()
    for host, sockets in groupby(answer, key=lambda socket: socket.host):
        here: Counter[tuple[str, str, RemoteEnd | None]] = Counter()
        for socket, remote in _with_ends(sockets) if "remote" in by else ((socket, None) for socket in sockets):
            for process in _processes(socket) if "process" in by else ("",):
                here[host if "host" in by else "", process, remote] += 1
        sockets_of.update(here)
        hosts_of.update(here.keys())
    counted = [Count(n, hosts_of[key], *key) for key, n in sockets_of.items() if n >= at_least]
    return sorted(counted, key=lambda c: (-c.count, c.host, c.process, c.remote or RemoteEnd("")))


def each_once(answer: Iterable[Socket]) -> Iterator[Socket]:
    """Each socket once of an answer that has all states that it came to be in: as it was when its processes were known,
    if it ever was."""
    for _, sockets in groupby(answer, key=lambda socket: socket.host):
        found: dict[tuple[object, ...], Socket] = {}
        for socket in sockets:
            key = _identity(socket)
            if key not in found or (socket.owners and not found[key].owners):
                found[key] = socket
        yield from found.values()


@dataclass(slots=True)
class Began:
    """The sockets of an answer to --since, each once; when they are through it is known how many of them were there
    already at the first look at their host."""

    answer: Iterable[Socket]
    there_before: int = 0

    def __iter__(self) -> Iterator[Socket]:
        for socket in each_once(self.answer):
            self.there_before += socket.opened_at_is == "before"
            yield socket


def cut(counted: list[Count], coverage: Coverage, limit: int) -> Answer[Count]:
    """The first `limit` counts as an answer that says whether it was cut; 0 means all."""
    kept = counted[:limit] if limit else counted
    return ReadyAnswer(coverage, kept, End(len(kept), truncated=len(kept) < len(counted)))


def _identity(socket: Socket) -> tuple[object, ...]:
    """What names a socket on its host: the kernel's cookie, or else its inode, or else its addresses.

    Cookies begin anew at each boot, so beside one stand the addresses, but of UDP and the like, whose sockets may take
    others while they live.
    """
    where = (socket.netns_inode, socket.protocol)
    ends = (socket.local_address, socket.local_port, socket.remote_address, socket.remote_port)
    if socket.cookie:
        return (*where, "cookie", socket.cookie, *(ends if socket.protocol in _KEEP_THEIR_ENDS else ()))
    if socket.inode:
        return (*where, "inode", socket.inode)
    return (*where, *ends)


def _processes(socket: Socket) -> set[str]:
    return {owner.name for owner in socket.owners} or {""}


def _with_ends(sockets: Iterable[Socket]) -> list[tuple[Socket, RemoteEnd]]:
    """The sockets of a host, each with whom it talks to.

    A service has one port, and who comes to it another each time: so of the two ports it is the one that more of the
    sockets with this peer have, and of two the lower.
    """
    some = list(sockets)
    here = Counter(_peer(socket, socket.local_port) for socket in some)
    there = Counter(_peer(socket, socket.remote_port) for socket in some)
    return [
        (socket, _end(socket, here[_peer(socket, socket.local_port)], there[_peer(socket, socket.remote_port)]))
        for socket in some
    ]


def _peer(socket: Socket, port: int) -> tuple[int, str, str, int]:
    return socket.netns_inode, socket.protocol, socket.remote_address, port


def _end(socket: Socket, alike_here: int, alike_there: int) -> RemoteEnd:
    address = socket.remote_address
    if address.startswith("::ffff:") and "." in address:
        address = address.removeprefix("::ffff:")
    if not address:
        return RemoteEnd("")
    if (alike_there, -socket.remote_port) >= (alike_here, -socket.local_port):
        return RemoteEnd(address, port=socket.remote_port)
    return RemoteEnd(address, local_port=socket.local_port)

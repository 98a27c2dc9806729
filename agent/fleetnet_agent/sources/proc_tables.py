"""The sockets of a network namespace that nothing of ours may enter, by the files that the kernel shows of it in
/proc/PID/net to anybody.

There are no cookies. A socket is named by its inode, and by its addresses where it has none: what waits to be accepted,
what its process has left. The files do not show the limit of a backlog, and to which interface a socket is bound; of
UNIX sockets neither uid, queues nor the other end. Those of SCTP have a form of their own and are not read.

What must stay true: a TCP connection keeps the name under which it was told first, as it is accepted and as its process
leaves it, so that one connection is one socket; a kind that the kernel has and that cannot be read is never empty.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources import proc_net
from fleetnet_agent.sources.fallback import ReadFile, kernel_has
from fleetnet_agent.sources.listed import ListedTable
from fleetnet_agent.sources.source import Sighting, SourceError

_NOT_YET_ACCEPTED = frozenset({State.SYN_RECV, State.ESTABLISHED, State.CLOSE_WAIT})

Decode = Callable[[bytes], Iterator[Sighting]]


@dataclass(frozen=True, slots=True)
class Kind:
    """Sockets that /proc shows, by the name of their source."""

    name: str
    protocol: Protocol
    files: tuple[str, ...]
    decode: Decode


def _inet(name: str, protocol: Protocol, *, nameless: bool) -> Kind:
    decode = partial(proc_net.decode_inet, protocol=protocol, nameless=nameless)
    return Kind(name, protocol, (name, f"{name}6"), decode)


KINDS = (
    _inet("tcp", Protocol.TCP, nameless=True),
    _inet("udp", Protocol.UDP, nameless=True),
    _inet("udplite", Protocol.UDPLITE, nameless=False),
    _inet("raw", Protocol.RAW, nameless=False),
    Kind("unix", Protocol.UNIX, ("unix",), proc_net.decode_unix),
    Kind("packet", Protocol.PACKET, ("packet",), proc_net.decode_packet),
)


def table_of(kind: Kind, read_file: ReadFile, proc: Path) -> ListedTable:
    """All sockets of a kind in the namespace whose files `read_file` reads. `proc` says what the kernel has."""
    listed: Callable[[], Iterator[Sighting]] = partial(_listed, kind, read_file, proc)
    if kind.protocol is Protocol.TCP:
        names = Names()
        return ListedTable(lambda: names.of(listed()), confirms=True)
    return ListedTable(listed, confirms=True)


class Names:
    """Under which name each connection was told first."""

    def __init__(self) -> None:
        # By addresses, of the last two lists: one alone may have missed some.
        self._latest: dict[bytes, Sighting] = {}
        self._before: dict[bytes, Sighting] = {}

    def of(self, sightings: Iterator[Sighting]) -> list[Sighting]:
        """A new list, with each connection under the name that it had. Raises SourceError, and has forgotten nothing
        then."""
        named: list[Sighting] = []
        now: dict[bytes, Sighting] = {}
        for one in sightings:
            if not one.remote_address:
                named.append(one)
                continue
            addresses = proc_net.four_tuple(one.local_address, one.local_port, one.remote_address, one.remote_port)
            known = self._latest.get(addresses) or self._before.get(addresses)
            if known is not None and known.name != one.name and _is_same(known, one):
                one = replace(one, name=known.name)
            now[addresses] = one
            named.append(one)
        self._before, self._latest = self._latest, now
        return named


def _is_same(known: Sighting, one: Sighting) -> bool:
    """Whether two sockets of the same addresses are one, seen before and after its process took or left it."""
    was_left = not one.inode and one.state not in _NOT_YET_ACCEPTED
    if known.inode:
        return was_left or one.inode == known.inode
    return was_left or known.state in _NOT_YET_ACCEPTED


def _listed(kind: Kind, read_file: ReadFile, proc: Path) -> Iterator[Sighting]:
    for name in kind.files:
        try:
            text = read_file(name)
        except FileNotFoundError as error:
            # A kernel without IPv6, or one that has no such sockets now.
            if name.endswith("6") or not kernel_has(kind.protocol, proc):
                continue
            raise SourceError(f"/proc/PID/net/{name} is missing") from error
        except OSError as error:
            raise SourceError(f"/proc/PID/net/{name} cannot be read: {error.strerror}") from error
        yield from kind.decode(text)

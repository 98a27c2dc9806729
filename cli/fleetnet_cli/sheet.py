"""One host on one sheet, put together from the answers to four questions."""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fleetnet_cli.lives import AgentStart, Gap, Life
from fleetnet_cli.network import Namespace
from fleetnet_cli.records import Host, Socket

_EXPOSED_FIRST = {"yes": 0, "unknown": 1, "no": 2}
PEERS: Final = 10
EVENTS: Final = 10  # that are asked for


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is known of a host at a time."""

    host: Host
    namespaces: tuple[Namespace, ...]  # with their interfaces, the host's own first
    states: dict[tuple[str, str], int]  # by protocol and state
    without_owners: dict[str, int]  # sockets whose processes are not known, by the reason
    listeners: tuple[Socket, ...]  # exposed ones first
    peers: tuple[tuple[str, int], ...]  # the other ends of most connections, loopback left out
    lately: tuple[Gap | AgentStart, ...]  # the latest first


def put_together(
    host: Host, namespaces: Iterable[Namespace], sockets: Iterable[Socket], happened: Iterable[Life]
) -> Sheet:
    """The sheet of a host. Of its sockets only listeners are held, the rest is counted."""
    states: Counter[tuple[str, str]] = Counter()
    without_owners: Counter[str] = Counter()
    peers: Counter[str] = Counter()
    listeners = []
    for socket in sockets:
        states[socket.protocol, socket.state] += 1
        if not socket.owners:
            without_owners[socket.owner_status] += 1
        if socket.scope:
            listeners.append(socket)
        elif (peer := _peer(socket.remote_address)) is not None:
            peers[peer] += 1
    return Sheet(
        host=host,
        namespaces=tuple(namespaces),
        states=dict(sorted(states.items())),
        without_owners=dict(sorted(without_owners.items())),
        # Sorting leaves those that are alike in the order of the answer.
        listeners=tuple(sorted(listeners, key=lambda socket: _EXPOSED_FIRST.get(socket.exposed, 1))),
        peers=tuple(sorted(peers.items(), key=lambda peer: (-peer[1], peer[0]))[:PEERS]),
        lately=tuple(life for life in happened if not isinstance(life, Socket)),
    )


def _peer(address: str) -> str | None:
    """The host at the other end: an IPv4 address and its IPv4-mapped form name the same; None of loopback."""
    if not address:
        return None
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return None if (mapped or parsed).is_loopback else str(mapped or parsed)

"""Which addresses stand for a host where it is the other end.

Its own interfaces have them, as history keeps them. What must stay true: an address stands for a host only if it tells
the host from all others of the fleet. Loopback and link-local ones never do, and those of a bridge that each host has
(172.17.0.1), or of a service that several carry, do not either. Each host says itself which addresses it has, so
another may say that it has the same: an answer that lacks one for that is not taken for whole. On a bridge of the
host's own, such as that of docker, it is its own affair.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from fleetnet_cli import times
from fleetnet_cli.network import Namespace, NamespaceQuestion
from fleetnet_cli.records import Coverage, Net, Selection

if TYPE_CHECKING:
    from fleetnet_cli.client import Collector

BRIDGE = "bridge"  # IFLA_INFO_KIND


@dataclass(frozen=True, slots=True)
class StandIns:
    """The addresses that stand for a host, and those of it that others have as well."""

    host: str
    addresses: tuple[str, ...]
    shared: tuple[str, ...]
    coverage: Coverage  # of what was asked about the host alone
    whole: bool  # no address is left out but of its own bridges, and the coverage is whole

    @property
    def nets(self) -> tuple[Net, ...]:
        """Each address as a net of its own."""
        return tuple(Net(address, ip_address(address).max_prefixlen) for address in self.addresses)

    def reservations(self) -> list[str]:
        """What must be said of them, a sentence each."""
        said = []
        if self.shared:
            said.append(
                f"{', '.join(self.shared)} of {self.host} left out, for other hosts have the same; ask for it by itself"
            )
        if self.coverage.hosts_stale:
            last_us = self.coverage.hosts_stale[0].last_seen_us
            said.append(f"the addresses of {self.host} are those of {times.local(last_us)} {times.zone_name()}")
        elif not self.coverage.whole:
            said.append(f"the addresses of {self.host} may not be all, for its history is not whole at that time")
        return said


def standing_for(collector: "Collector", host: str, at_us: int, max_age_ms: int) -> StandIns:
    """Those of a host at a time (0: now). Raises UnknownHost."""
    one = collector.namespaces(_question(Selection(host=host, at_us=at_us, max_age_ms=max_age_ms)))
    own = telling(one)
    shared: set[str] = set()
    if own:
        all_others = (n for n in collector.namespaces(_question(Selection(at_us=at_us))) if n.host != host)
        shared = own.keys() & telling(all_others).keys()
    kept, left_out = (tuple(a for a in own if (a in shared) is wanted) for wanted in (False, True))
    return StandIns(host, kept, left_out, one.coverage, one.coverage.whole and all(own[a] for a in left_out))


def telling(namespaces: Iterable[Namespace]) -> dict[str, bool]:
    """The addresses of hosts' own namespaces, in their order, that are not alike on every machine; whether each is on
    bridges alone."""
    found: dict[str, bool] = {}
    for namespace in namespaces:
        for interface in namespace.interfaces:
            for address in interface.addresses:
                if tells(address.address):
                    found[address.address] = interface.kind == BRIDGE and found.get(address.address, True)
    return found


def tells(address: str) -> bool:
    """Whether an address is not alike on every machine."""
    ip: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return not (ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast)


def _question(selection: Selection) -> NamespaceQuestion:
    return NamespaceQuestion(selection, own_only=True, without_routes=True)

"""Which namespaces there are, by number, and which of them have an address.

What must stay true: an address names a namespace only where no other has it. Loopback and link-local addresses, which
are alike on every machine, name none. Each host says itself which addresses it has, so one that says it has another's
makes that address name neither of them, and never itself alone.
"""

from collections.abc import Container, Iterable, KeysView

from fleetnet_cli.addresses import BRIDGE, tells
from fleetnet_cli.edges.connections import packed
from fleetnet_cli.edges.records import Place
from fleetnet_cli.network import Namespace

_NOBODY: dict[int, bool] = {}


class Places:
    """Every namespace of the fleet with its addresses. Memory is that of these, however many sockets there are."""

    def __init__(self, namespaces: Iterable[Namespace]) -> None:
        self._numbers: dict[tuple[str, int], int] = {}
        self._places: list[Place] = []
        self._containers: list[str] = []
        self._hosts: dict[str, int] = {}
        self._holders: dict[bytes, dict[int, bool]] = {}  # of an address, and whether on bridges alone
        self._on_hosts: set[tuple[bytes, int]] = set()  # the same by host, for a host may have it in very many
        self._on_several: set[bytes] = set()  # the addresses that more than one host has
        for namespace in namespaces:
            number = self.number(namespace.host, namespace.netns, namespace.inode)
            self._containers[number] = namespace.container
            self._take(namespace, number)

    def _take(self, namespace: Namespace, number: int) -> None:
        for interface in namespace.interfaces:
            for address in interface.addresses:
                if tells(address.address):
                    self._hold(packed(address.address), number, on_bridge=interface.kind == BRIDGE)

    def _hold(self, address: bytes, number: int, *, on_bridge: bool) -> None:
        holders = self._holders.setdefault(address, {})
        if holders and not self.on_host(address, number):
            self._on_several.add(address)
        holders[number] = on_bridge and holders.get(number, True)
        self._on_hosts.add((address, self.host_number(number)))

    def number(self, host: str, netns: str, inode: int) -> int:
        """That of a namespace, which is made known where it was not."""
        found = self._numbers.get((host, inode))
        if found is None:
            found = self._numbers[host, inode] = len(self._places)
            self._hosts.setdefault(host, len(self._hosts))
            self._places.append(Place(host, netns))
            self._containers.append("")
        return found

    def __getitem__(self, number: int) -> Place:
        return self._places[number]

    def host_number(self, number: int) -> int:
        """That of the host which a namespace is of."""
        return self._hosts[self._places[number].host]

    def are_on_one_host(self, number: int, other: int) -> bool:
        """Whether two namespaces are of the same host."""
        return self._places[number].host == self._places[other].host

    def container(self, number: int) -> str:
        """The container whose namespace it is; "" where none."""
        return self._containers[number]

    def holders(self, address: bytes) -> KeysView[int]:
        """The namespaces that have an address, but for addresses that are alike everywhere."""
        return self._holders.get(address, _NOBODY).keys()

    def on_host(self, address: bytes, number: int) -> bool:
        """Whether a namespace of the same host has the address."""
        return (address, self.host_number(number)) in self._on_hosts

    def on_several_hosts(self, address: bytes) -> bool:
        """Whether more than one host has an address."""
        return address in self._on_several

    def on_bridges(self, address: bytes) -> bool:
        """Whether several have an address, all on a bridge of their own, such as that of docker."""
        on_bridge = self._holders.get(address, _NOBODY).values()
        return len(on_bridge) > 1 and all(on_bridge)

    def addresses(self, hosts: Container[str]) -> list[bytes]:
        """All addresses of these hosts."""
        return [a for a, holders in self._holders.items() if any(self._places[n].host in hosts for n in holders)]

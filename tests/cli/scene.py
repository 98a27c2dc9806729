"""A fleet in a few words, for tests of what is drawn of it: namespaces with their addresses, and sockets in them.

    scene = Scene()
    scene.place("web1", "10.0.0.1")
    scene.listens("db1", "0.0.0.0:5432", "postgres")
    scene.talks("web1", "10.0.0.1:40000", "10.0.0.5:5432", "app")

A place is `host` or `host/netns`.
"""

import zlib
from dataclasses import replace

from fleetnet_cli.edges.drawing import Drawing
from fleetnet_cli.edges.places import Places
from fleetnet_cli.edges.records import Edge, End
from fleetnet_cli.edges.wanted import Wanted
from fleetnet_cli.network import Interface, InterfaceAddress, Namespace
from fleetnet_cli.records import Owner, Socket

_SOCKET = Socket(
    host="", netns="host", protocol="tcp", family="ipv4", state="ESTABLISHED", interface="", v6only=None,
    local_address="", local_port=0, remote_address="", remote_port=0, recv_queue=0, send_queue=0, uid=0, user="",
    inode=1, unit="", container="", owners=(), owner_status="known", scope="", exposed="", opened_at_us=0,
    opened_at_is="exact", closed_at_us=0, closed_at_is="", last_seen_us=0, source="diag",
)  # fmt: skip
_INTERFACE = Interface(
    index=1, name="eth0", hardware_type=1, hardware_address="", mtu=1500, flags=1, operstate=6, kind="", master=0,
    addresses=(), speed_mbps=0, duplex="", link=True, driver="",
)  # fmt: skip


def _where(place: str) -> tuple[str, str, int]:
    host, _, netns = place.partition("/")
    return host, netns or "host", zlib.crc32(netns.encode()) if netns else 0


def _split(endpoint: str) -> tuple[str, int]:
    address, _, port = endpoint.rpartition(":")
    return address.strip("[]"), int(port)


class Scene:
    """What the collector would answer."""

    def __init__(self) -> None:
        self.namespaces: list[Namespace] = []
        self.listeners: list[Socket] = []
        self.connections: list[Socket] = []

    def place(self, place: str, *addresses: str, bridge: str = "") -> None:
        """A namespace with these addresses, one of them on a bridge of its own."""
        host, netns, inode = _where(place)
        own = [(_INTERFACE.kind, "127.0.0.1"), *((_INTERFACE.kind, address) for address in addresses)]
        on = [*own, *([("bridge", bridge)] if bridge else [])]
        interfaces = tuple(replace(_INTERFACE, kind=kind, addresses=(InterfaceAddress(a, 24),)) for kind, a in on)
        self.namespaces.append(Namespace(host, netns, inode, interfaces=interfaces))

    def listens(self, place: str, at: str, process: str, *, protocol: str = "tcp", v6only: bool | None = None) -> None:
        """A program that waits for others."""
        one = self._socket(place, at, process, protocol)
        state = "LISTEN" if protocol == "tcp" else "CLOSE"
        self.listeners.append(replace(one, state=state, scope="any", v6only=v6only))

    def talks(
        self, place: str, local: str, remote: str, process: str = "", *, protocol: str = "tcp", status: str = "known"
    ) -> None:
        """One half of a connection."""
        address, port = _split(remote)
        one = self._socket(place, local, process, protocol)
        self.connections.append(replace(one, remote_address=address, remote_port=port, owner_status=status))

    def both(self, client: str, local: str, of: str, server: str, remote: str, by: str) -> None:
        """Both halves of one."""
        self.talks(client, local, remote, of)
        self.talks(server, remote, local, by)

    def edges(self, wanted: Wanted | None = None, *, asked: bool = True) -> list[Edge]:
        """The map of it."""
        with Drawing(Places(self.namespaces), wanted or Wanted()) as drawing:
            for listener in self.listeners:
                drawing.listener(listener)
            for connection in self.connections:
                drawing.half(connection, asked=asked)
            return drawing.edges()

    def drawn(self, wanted: Wanted | None = None, *, asked: bool = True) -> list[str]:
        """The same in words."""
        return [in_words(edge) for edge in self.edges(wanted, asked=asked)]

    @staticmethod
    def _socket(place: str, at: str, process: str, protocol: str) -> Socket:
        host, netns, inode = _where(place)
        address, port = _split(at)
        owners = (Owner(1, process, "", 0, process),) if process else ()
        return replace(
            _SOCKET, host=host, netns=netns, netns_inode=inode, local_address=address, local_port=port,
            protocol=protocol, owners=owners,
        )  # fmt: skip


def in_words(edge: Edge) -> str:
    """`web1 app > db1 postgres tcp/5432 both-ends listener 3`."""
    ends = f"{_end(edge.client)} > {_end(edge.server)} {edge.protocol}/{edge.port}"
    return f"{ends} {edge.known} {edge.direction} {edge.connections}"


def _end(end: End) -> str:
    if not end.host:
        one_of = "|".join(f"{one.host}/{one.netns}" for one in end.one_of)
        return " ".join(filter(None, (end.address or "outside", one_of, end.why)))
    where = end.host if end.netns == "host" else f"{end.host}/{end.netns}"
    return " ".join(filter(None, (where, end.process, end.why)))

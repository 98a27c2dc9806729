"""Who talks to whom in the small fleet, as the canned collector answers: each thing that a map shows, once.

web1 serves to the world and asks a container of its own, which asks db1; what db1's half of that was has not come yet.
An address is claimed by two, two gossip, and what cannot be seen is there as well. odd reports sockets at addresses
that it does not have: one of web1's, and one that nobody has.
"""

from collections.abc import Iterator

from cli.network import INSIDE
from fleetnet_proto.v1 import network_pb2, query_pb2, sockets_pb2

from cli import fleet

EVIL = 'a"]-->z<b>&#quot;\x1b[2J'
_STATES = {"listen": sockets_pb2.STATE_LISTEN, "close": sockets_pb2.STATE_CLOSE, "": sockets_pb2.STATE_ESTABLISHED}


def _socket(
    host: str, process: str, local: str, remote: str = "", *, netns: int = 0, unit: str = "", udp: bool = False
) -> query_pb2.SocketItem:
    address, port = local.rsplit(":", 1)
    item = query_pb2.SocketItem(
        host=host, netns=str(netns) if netns else "host", netns_inode=netns, family=fleet.IPV4, unit=unit,
        protocol=fleet.UDP if udp else fleet.TCP, state=_STATES["" if remote else "close" if udp else "listen"],
        local_address=fleet.packed(address), local_port=int(port), container="0123456789abcdef0123" if netns else "",
        owners=[fleet.owner(700, process)] if process else [],
        owner_status=sockets_pb2.OWNER_STATUS_KNOWN if process else sockets_pb2.OWNER_STATUS_NO_HELPER,
        opened_at_us=fleet.AS_OF_US, opened_at_is=sockets_pb2.OPENED_AT_IS_SEEN, source=sockets_pb2.SOURCE_DIAG,
    )  # fmt: skip
    if remote:
        address, port = remote.rsplit(":", 1)
        item.remote_address, item.remote_port = fleet.packed(address), int(port)
    else:
        item.scope, item.exposure = query_pb2.ADDRESS_SCOPE_ANY, query_pb2.EXPOSURE_YES
    return item


def sockets() -> list[query_pb2.SocketItem]:
    nginx, postgres = "nginx.service", "postgresql@15-main.service"
    return [
        _socket("db1", "postgres", "0.0.0.0:5432", unit=postgres),
        _socket("db1", "gossip", "0.0.0.0:7946", udp=True),
        _socket("db1", "gossip", "198.18.0.3:7946", "198.18.0.2:7946", udp=True),
        _socket("db1", "postgres", "127.0.0.1:5432", "127.0.0.1:40000", unit=postgres),
        _socket("db1", "cron", "127.0.0.1:40000", "127.0.0.1:5432"),
        _socket("db1", "postgres", "198.18.0.3:5432", "198.18.0.2:42000", unit=postgres),
        _socket("odd", "", "198.18.0.4:40000", "198.18.0.9:5432"),
        _socket("odd", "liar", "198.18.0.2:42000", "198.18.0.3:5432"),
        _socket("odd", "liar", "203.0.113.10:443", "198.18.0.2:40002"),
        _socket("web1", "nginx", "0.0.0.0:443", unit=nginx),
        _socket("web1", "gossip", "0.0.0.0:7946", udp=True),
        *(_socket("web1", "nginx", "198.18.0.2:443", f"203.0.113.{n}:50000", unit=nginx) for n in (7, 8)),
        _socket("web1", "gossip", "198.18.0.2:7946", "198.18.0.3:7946", udp=True),
        *(_socket("web1", "nginx", f"172.17.0.1:4000{n}", "172.17.0.2:8000", unit=nginx) for n in range(3)),
        _socket("web1", "nginx", "198.18.0.2:40001", "203.0.113.9:80", unit=nginx),
        _socket("web1", "nginx", "198.18.0.2:40002", "203.0.113.10:443", unit=nginx),
        _socket("web1", EVIL, "0.0.0.0:8000", netns=INSIDE),
        *(_socket("web1", EVIL, "172.17.0.2:8000", f"172.17.0.1:4000{n}", netns=INSIDE) for n in range(3)),
        _socket("web1", EVIL, "172.17.0.2:41000", "198.18.0.3:5432", netns=INSIDE),
    ]  # fmt: skip


def namespaces() -> list[query_pb2.NamespaceItem]:
    return list(_namespaces())


def _namespaces() -> Iterator[query_pb2.NamespaceItem]:
    for host, netns, addresses in [
        ("db1", 0, ["198.18.0.3", "198.18.0.9"]),
        ("odd", 0, ["198.18.0.4"]),
        ("web1", 0, ["198.18.0.2", "198.18.0.9", "172.17.0.1"]),
        ("web1", INSIDE, ["172.17.0.2"]),
    ]:
        own = [network_pb2.InterfaceAddress(address=fleet.packed(a), prefix_length=24) for a in addresses]
        one = network_pb2.Namespace(netns=netns, interfaces=[network_pb2.Interface(index=2, addresses=own)])
        yield query_pb2.NamespaceItem(host=host, netns=str(netns) if netns else "host", namespace=one)

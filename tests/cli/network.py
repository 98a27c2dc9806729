"""What the canned collector answers of web1's network: two namespaces, and a live look. Its names are hostile too."""

from cli.fleet import AS_OF_US, HOUR_US, IPV4, IPV6, TCP, owner, packed
from fleetnet_proto.v1 import live_pb2, network_pb2, query_pb2, sockets_pb2

SINCE_US = AS_OF_US - 7 * HOUR_US
INSIDE = 4026532281
EVIL = "v\x1b[2Jth"

_BROADCAST, _LOOPBACK, _RUNNING, _MULTICAST, _UP = 0x2, 0x8, 0x40, 0x1000, 0x1


def route(
    destination: str,
    bits: int,
    gateway: str = "",
    interface: str = "eth0",
    *,
    metric: int = 0,
    kind: int = 1,
    protocol: int = 2,
    scope: int = 0,
    table: int = 254,
    advmss: int = 0,
    rtt: int = 0,
) -> network_pb2.Route:
    hop = network_pb2.NextHop(gateway=packed(gateway) if gateway else b"", interface=interface, weight=1)
    return network_pb2.Route(
        family=IPV6 if ":" in destination else IPV4, destination=packed(destination), prefix_length=bits, table=table,
        type=kind, protocol=protocol, scope=scope, metric=metric, next_hops=[hop] if interface else [],
        advmss=advmss, rtt=rtt,
    )  # fmt: skip


def interfaces() -> list[network_pb2.Interface]:
    return [
        network_pb2.Interface(
            index=1, name="lo", hardware_type=772, mtu=65536, flags=_UP | _LOOPBACK | _RUNNING | 0x10000,
            addresses=[
                network_pb2.InterfaceAddress(address=packed("127.0.0.1"), prefix_length=8, scope=254),
                network_pb2.InterfaceAddress(address=packed("::1"), prefix_length=128, scope=254),
            ],
        ),
        network_pb2.Interface(
            index=2, name="eth0", hardware_type=1, hardware_address=bytes.fromhex("02005e100001"), mtu=1500,
            flags=_UP | _BROADCAST | _RUNNING | _MULTICAST, operstate=6, speed_mbps=10_000, link=True,
            duplex=network_pb2.DUPLEX_FULL, driver="virtio_net",
            addresses=[
                network_pb2.InterfaceAddress(address=packed("198.18.0.2"), prefix_length=24),
                network_pb2.InterfaceAddress(address=packed("2001:db8::2"), prefix_length=64),
            ],
        ),
        network_pb2.Interface(index=9, name="eth10", hardware_type=1, mtu=1500, flags=_BROADCAST, operstate=2),
        network_pb2.Interface(
            index=10, name=EVIL, hardware_type=1, mtu=1500, flags=_UP, operstate=3, kind="veth", link=False,
            driver="d\x1b[31m\nr", master=2,
        ),
    ]  # fmt: skip


def routes() -> list[network_pb2.Route]:
    return [
        route("0.0.0.0", 0, "198.18.0.1", protocol=16, metric=100, advmss=1400, rtt=800),
        route("198.18.0.0", 24, scope=253),
        route("10.0.0.0", 8, interface="", kind=7),
        route("203.0.113.0", 24, "198.18.0.9", table=100),
        route("2001:db8::", 64, metric=256),
        route("::", 0, "fe80::1", protocol=9, metric=1024),
    ]


def namespaces() -> list[query_pb2.NamespaceItem]:
    own = network_pb2.Namespace(interfaces=interfaces(), routes=routes())
    inside = network_pb2.Namespace(
        netns=INSIDE, name="", container="0123456789abcdef0123", runtime="docker", unit="docker.service",
        interfaces=[interfaces()[0]], routes=[route("0.0.0.0", 0, "172.17.0.1", interface=EVIL)],
    )  # fmt: skip
    return [
        query_pb2.NamespaceItem(
            host="web1", netns=name, namespace=one, opened_at_us=SINCE_US, last_seen_us=AS_OF_US,
            interfaces_since_us=[SINCE_US] * len(one.interfaces), routes_since_us=[SINCE_US] * len(one.routes),
        )
        for name, one in (("host", own), (str(INSIDE), inside))
    ]  # fmt: skip


def unix_socket(
    state: sockets_pb2.State, kind: sockets_pb2.SocketType, inode: int, path: bytes = b"", peer_inode: int = 0
) -> query_pb2.SocketItem:
    return query_pb2.SocketItem(
        host="web1", netns="host", protocol=sockets_pb2.PROTOCOL_UNIX, family=sockets_pb2.FAMILY_UNIX, state=state,
        type=kind, inode=inode, path=path, peer_inode=peer_inode, uid=0, user="root", opened_at_us=SINCE_US,
        opened_at_is=sockets_pb2.OPENED_AT_IS_SEEN, last_seen_us=AS_OF_US, source=sockets_pb2.SOURCE_DIAG,
        owners=[owner(812, "nginx")] if inode else [], owner_status=sockets_pb2.OWNER_STATUS_KNOWN,
    )  # fmt: skip


def unix_sockets() -> list[query_pb2.SocketItem]:
    established, listen = sockets_pb2.STATE_ESTABLISHED, sockets_pb2.STATE_LISTEN
    stream, dgram = sockets_pb2.SOCKET_TYPE_STREAM, sockets_pb2.SOCKET_TYPE_DGRAM
    return [
        unix_socket(listen, stream, 501, b"/run/app.sock"),
        unix_socket(established, stream, 502, peer_inode=503),
        unix_socket(established, stream, 0, b"/run/app.sock", peer_inode=502),
        unix_socket(sockets_pb2.STATE_CLOSE, dgram, 504, b"\0evil\x1b[2J\0\nname"),
        unix_socket(sockets_pb2.STATE_CLOSE, dgram, 505, b"/tmp/\xff.sock"),
        query_pb2.SocketItem(
            host="web1", netns="host", protocol=sockets_pb2.PROTOCOL_RAW, family=IPV4, state=sockets_pb2.STATE_CLOSE,
            local_address=packed("0.0.0.0"), local_port=1, uid=0, user="root", inode=506, opened_at_us=SINCE_US,
            opened_at_is=sockets_pb2.OPENED_AT_IS_SEEN, last_seen_us=AS_OF_US, source=sockets_pb2.SOURCE_PROC,
            owner_status=sockets_pb2.OWNER_STATUS_KNOWN,
        ),
    ]  # fmt: skip


def live_sockets() -> list[query_pb2.LiveItem]:
    def connection(port: int, netns: int = 0) -> query_pb2.SocketItem:
        return query_pb2.SocketItem(
            host="web1", netns=str(netns) if netns else "host", netns_inode=netns, protocol=TCP, family=IPV4,
            state=sockets_pb2.STATE_ESTABLISHED, local_address=packed("198.18.0.2"), local_port=443,
            remote_address=packed("198.18.0.7"), remote_port=port, recv_queue=7, send_queue=1448, uid=33,
            user="www-data", inode=600 + port, opened_at_us=SINCE_US, opened_at_is=sockets_pb2.OPENED_AT_IS_SEEN,
            last_seen_us=AS_OF_US, source=sockets_pb2.SOURCE_DIAG, owners=[owner(812, "nginx")],
            owner_status=sockets_pb2.OWNER_STATUS_KNOWN,
        )  # fmt: skip

    return [
        query_pb2.LiveItem(
            socket=connection(50001), timer=live_pb2.Timer(kind=2, expires_ms=7_196_204),
            tcp=live_pb2.TcpInfo(rtt_us=1200, congestion_window=10, congestion_control="cubic"),
            memory=live_pb2.SocketMemory(receive_buffer_bytes=131072, drops=3),
        ),
        query_pb2.LiveItem(socket=connection(50002), timer=live_pb2.Timer(kind=1, expires_ms=219, retransmits=3)),
        query_pb2.LiveItem(socket=connection(50003, INSIDE)),
        *(query_pb2.LiveItem(socket=s) for s in unix_sockets()),
    ]  # fmt: skip


def counters() -> list[live_pb2.InterfaceCounters]:
    return [
        live_pb2.InterfaceCounters(
            netns=netns, name=name, mtu=mtu, flags=flags, received_bytes=10**12, received_packets=123456789012,
            receive_errors=1, receive_drops=2, receive_overruns=3, sent_bytes=4, sent_packets=5, send_errors=6,
            send_drops=7, send_overruns=8,
        )
        for netns, name, mtu, flags in [
            (0, "eth0", 9000, _UP | _BROADCAST | _RUNNING | _MULTICAST),
            (0, "new0", 1500, _UP),
            (INSIDE, "lo", 65536, _UP | _LOOPBACK),
        ]
    ]  # fmt: skip


def statistics() -> list[live_pb2.Statistic]:
    return [
        live_pb2.Statistic(netns=netns, group=group, name=name, value=value)
        for netns, group, name, value in [
            (0, "Ip", "Forwarding", 1),
            (0, "Ip", "InReceives", 57_800),
            (0, "Tcp", "MaxConn", -1),
            (0, "Tcp", "ActiveOpens", 12),
            (0, "TcpExt", "ListenDrops", 4),
            (0, "Udp6", "InDatagrams", 9),
            (INSIDE, "Tcp", "ActiveOpens", 99),
        ]
    ]

"""Routes and interfaces of this network namespace as an answer has them, read apart from the agent's own reader:
routes by rtnetlink, interfaces by ip(8) and an ioctl.
"""

import fcntl
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleetnet_cli.network import Interface, InterfaceAddress, NextHop, Route

# include/uapi/linux/netlink.h and rtnetlink.h
_RTM_GETROUTE = 26
_REQUEST_DUMP = 0x301
_NLMSG_DONE = 3
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_METRICS, _RTA_MULTIPATH = 1, 4, 5, 6, 8, 9
_RTA_TABLE, _RTA_VIA = 15, 18
_RTAX_WINDOW, _RTAX_RTT, _RTAX_ADVMSS = 3, 4, 8
_LOCAL = 255
_SIOCGIFFLAGS = 0x8913  # include/uapi/linux/sockios.h


def routes() -> list[Route]:
    """All tables but the local one, in the kernel's order."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        found += [route for route in map(_route, _dump(family)) if route.table != _LOCAL]
    return found


def _dump(family: int) -> Iterator[bytes]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(10)
        netlink.send(struct.pack("=IHHIIB11x", 28, _RTM_GETROUTE, _REQUEST_DUMP, 1, 0, family))
        while True:
            answer = netlink.recv(1 << 17)
            while answer:
                length, kind = struct.unpack_from("=IH", answer)
                if kind == _NLMSG_DONE:
                    return
                yield answer[16:length]
                answer = answer[length + 3 & ~3 :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3FFF] = data[4:length]
        data = data[length + 3 & ~3 :]
    return found


def _number(data: bytes | None) -> int:
    return int.from_bytes(data or b"", sys.byteorder)


def _text(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed) if packed else ""


def _hop(attributes: dict[int, bytes], interface: int, flags: int, weight: int) -> NextHop:
    gateway = attributes.get(_RTA_GATEWAY, b"") or attributes.get(_RTA_VIA, b"")[2:]
    return NextHop(_text(gateway), socket.if_indextoname(interface) if interface else "", weight, flags)


def _hops(attributes: dict[int, bytes], flags: int) -> Iterator[NextHop]:
    many = attributes.get(_RTA_MULTIPATH, b"")
    while many:
        length, hop_flags, hops, interface = struct.unpack_from("=HBBi", many)
        yield _hop(_attributes(many[8:length]), interface, hop_flags, hops + 1)
        many = many[length + 3 & ~3 :]
    if _RTA_OIF in attributes:
        yield _hop(attributes, _number(attributes[_RTA_OIF]), flags, 1)


def _route(message: bytes) -> Route:
    family, bits, _, tos, table, protocol, scope, kind, flags = struct.unpack_from("=8BI", message)
    attributes = _attributes(message[12:])
    metrics = _attributes(attributes.get(_RTA_METRICS, b""))
    four = family == socket.AF_INET
    return Route(
        family="ipv4" if four else "ipv6",
        destination=_text(attributes.get(_RTA_DST, bytes(4 if four else 16))),
        prefix_length=bits,
        table=_number(attributes.get(_RTA_TABLE)) or table,
        type=kind,
        protocol=protocol,
        scope=scope,
        metric=_number(attributes.get(_RTA_PRIORITY)),
        preferred_source="",
        next_hops=tuple(_hops(attributes, flags)),
        flags=flags,
        tos=tos,
        advmss=_number(metrics.get(_RTAX_ADVMSS)),
        window=_number(metrics.get(_RTAX_WINDOW)),
        rtt=_number(metrics.get(_RTAX_RTT)),
    )


def interfaces() -> list[Interface]:
    """Every interface, ascending by index."""
    told = subprocess.run(["ip", "-j", "address"], capture_output=True, text=True, check=True).stdout
    return [_interface(one) for one in sorted(json.loads(told), key=lambda one: int(one["ifindex"]))]


def _interface(told: dict[str, Any]) -> Interface:
    name = told["ifname"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16s24x", name.encode()))
    flags = struct.unpack_from("=H", answer, 16)[0]
    addresses = tuple(InterfaceAddress(a["local"], a["prefixlen"]) for a in told["addr_info"])
    return Interface(int(told["ifindex"]), name, 1, "", int(told["mtu"]), flags, 6, "", 0, addresses, 0, "", None, "")


def counters() -> dict[str, dict[str, int]]:
    """What /proc/net/dev says, by the names of live.proto."""
    names = ("received_bytes", "received_packets", "receive_errors", "receive_drops", "receive_overruns")
    sent = ("sent_bytes", "sent_packets", "send_errors", "send_drops", "send_overruns")
    found = {}
    for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        found[name.strip()] = dict(zip((*names, *sent), [*numbers[:5], *numbers[8:13]], strict=True))
    return found

"""What ip(8) and ethtool(8) say of a host's network, as our records, so that the two can be compared field by field."""

import json
import re
from ipaddress import ip_address
from typing import Any

from fleetnet_agent.records import Family, Interface, InterfaceAddress, NextHop, Route

from demo.fabric import Host

_LOCAL_TABLE = 255
_OPERSTATES = ("UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP")  # RFC 2863
# include/uapi/linux/if.h, as ip names them; RUNNING is never named but by its absence, NO-CARRIER.
_INTERFACE_FLAGS = {
    "UP": 1,
    "BROADCAST": 2,
    "LOOPBACK": 8,
    "POINTOPOINT": 16,
    "NOARP": 128,
    "PROMISC": 256,
    "ALLMULTI": 512,
    "SLAVE": 2048,
    "MULTICAST": 4096,
    "LOWER_UP": 65536,
}
_RUNNING = 64
_ROUTE_FLAGS = {"dead": 1, "pervasive": 2, "onlink": 4, "linkdown": 16}  # include/uapi/linux/rtnetlink.h


def interfaces(host: Host) -> tuple[Interface, ...]:
    """`ip address show`, without what only a driver says."""
    entries = json.loads(host.run("ip", "-N", "-d", "-j", "address", "show"))
    index_of = {entry["ifname"]: entry["ifindex"] for entry in entries}
    return tuple(_interface(entry, index_of) for entry in sorted(entries, key=lambda entry: int(entry["ifindex"])))


def routes(host: Host) -> tuple[Route, ...]:
    """`ip route show table all` of both families, without the local table."""
    found = []
    for family in (Family.IPV4, Family.IPV6):
        text = host.run("ip", "-N", "-d", "-j", f"-{family}", "route", "show", "table", "all")
        found += [_route(entry, family) for entry in json.loads(text or "[]") if int(entry["table"]) != _LOCAL_TABLE]
    return tuple(found)


def driver(host: Host, name: str) -> tuple[int, int, bool | None, str]:
    """Speed, duplex, link and driver by ethtool."""
    settings = host.run("sh", "-c", f"ethtool {name} 2>/dev/null || true")
    information = host.run("sh", "-c", f"ethtool -i {name} 2>/dev/null || true")
    speed = re.search(r"Speed: (\d+)Mb/s", settings)
    duplex = re.search(r"Duplex: (\w+)", settings)
    link = re.search(r"Link detected: (\w+)", settings)
    named = re.search(r"^driver: (.*)$", information, re.MULTILINE)
    return (
        int(speed[1]) if speed else 0,
        {"Half": 1, "Full": 2}.get(duplex[1], 0) if duplex else 0,
        link[1] == "yes" if link else None,
        named[1] if named else "",
    )


def _interface(entry: dict[str, Any], index_of: dict[str, int]) -> Interface:
    flags = sum(_INTERFACE_FLAGS[flag] for flag in entry["flags"] if flag != "NO-CARRIER")
    if "UP" in entry["flags"] and "NO-CARRIER" not in entry["flags"]:
        flags |= _RUNNING
    return Interface(
        index=entry["ifindex"],
        name=entry["ifname"],
        hardware_type={"none": 65534}.get(entry["link_type"]) or int(entry["link_type"].strip("[]")),
        hardware_address=bytes.fromhex(entry.get("address", "").replace(":", "")),
        mtu=entry["mtu"],
        flags=flags,
        operstate=_OPERSTATES.index(entry["operstate"]),
        kind=entry.get("linkinfo", {}).get("info_kind", ""),
        master=index_of[entry["master"]] if "master" in entry else 0,
        addresses=tuple(_address(one) for one in entry["addr_info"] if one),
    )


def _address(one: dict[str, Any]) -> InterfaceAddress:
    peer = ip_address(one["address"]).packed if "address" in one else b""
    return InterfaceAddress(ip_address(one["local"]).packed, one["prefixlen"], peer, int(one["scope"]))


def _route(entry: dict[str, Any], family: Family) -> Route:
    width = 4 if family is Family.IPV4 else 16
    destination, _, prefix = entry["dst"].partition("/")
    flags = _flags(entry)
    metrics = (entry.get("metrics") or [{}])[0]
    hops = [_next_hop(hop, hop["weight"]) for hop in entry.get("nexthops", [])]
    if not hops and "dev" in entry:
        hops = [_next_hop(entry, 1)]
    return Route(
        family=family,
        destination=bytes(width) if destination == "default" else ip_address(destination).packed,
        prefix_length=0 if destination == "default" else int(prefix or 8 * width),
        table=int(entry["table"]),
        type=int(entry["type"]),
        protocol=int(entry["protocol"]),
        scope=int(entry["scope"]),
        metric=entry.get("metric", 0),
        preferred_source=ip_address(entry["prefsrc"]).packed if "prefsrc" in entry else b"",
        next_hops=tuple(hops),
        flags=flags,
        tos=int(entry.get("tos", "0"), 0),
        advmss=metrics.get("advmss", 0),
        window=metrics.get("window", 0),
        rtt=8 * metrics.get("rtt", 0),
        mtu=metrics.get("mtu", 0),
    )


def _next_hop(hop: dict[str, Any], weight: int) -> NextHop:
    gateway = hop.get("gateway") or hop.get("via", {}).get("host")
    return NextHop(ip_address(gateway).packed if gateway else b"", hop.get("dev", ""), weight, _flags(hop))


def _flags(of: dict[str, Any]) -> int:
    return sum(_ROUTE_FLAGS[flag] for flag in of["flags"])

"""What ss, ip, ethtool and the kernel's counters say inside a namespace, in the words of the command line's JSON."""

import json
import re
from typing import Any

from system import network_oracles, oracles
from system.laboratory import REPORT_PORT

from demo.fabric import Host

Item = dict[str, Any]
Extended = tuple[oracles.Row, int | None, int | None, bool | None]
"""A row, its uid, its inode and its IPV6_V6ONLY; None where the kernel has none."""

_TABLES = {"main": 254, "default": 253, "local": 255}
_SYNTHETIC = {"NO-CARRIER", "M-DOWN"}  # what ip makes of the absence of flags
# What is told of the columns of /proc/net/dev.
_OF_DEV = {
    "received_bytes": 0,
    "received_packets": 1,
    "receive_errors": 2,
    "receive_drops": 3,
    "receive_overruns": 4,
    "sent_bytes": 8,
    "sent_packets": 9,
    "send_errors": 10,
    "send_drops": 11,
    "send_overruns": 12,
}


def inet(host: Host) -> set[Extended]:
    """`ss -tuanep`, but for the agent's own connection, which is never quiet."""
    return {_extended(line) for line in host.run("ss", "-tuanepHO", f"dport != {REPORT_PORT}").splitlines()}


def _extended(line: str) -> Extended:
    (row,) = oracles.of_ss_output(line)
    uid, inode, v6only = (re.search(rf" {name}:(\d+)", line) for name in ("uid", "ino", "v6only"))
    # ss shows no uid where it is that of root, nor where there is none: in TIME_WAIT.
    owner = None if row.state == "TIME_WAIT" else int(uid[1]) if uid else 0
    return row, owner, int(inode[1]) or None if inode else None, bool(int(v6only[1])) if v6only else None


def our_inet(items: list[Item]) -> set[Extended]:
    """The same of ours."""
    return {
        (row, item["uid"], item["inode"], item["v6only"])
        for item in items
        if item["protocol"] in ("tcp", "udp") and item["remote_port"] != REPORT_PORT
        for row in oracles.of_items([item])
    }


def routes(host: Host) -> list[Item]:
    """`ip route show table all` of both families, without the local tables, in its order."""
    found = []
    for family in ("ipv4", "ipv6"):
        told = json.loads(host.run("ip", "-d", "-j", f"-{family[3]}", "route", "show", "table", "all") or "[]")
        found += [_route(entry, family) for entry in told if entry["table"] != "local"]
    return found


def _route(entry: Item, family: str) -> Item:
    destination, _, bits = entry["dst"].partition("/")
    width = 32 if family == "ipv4" else 128
    metrics = (entry.get("metrics") or [{}])[0]
    hops = entry.get("nexthops") or ([{**entry, "weight": 1}] if "dev" in entry else [])
    return {
        "family": family,
        "destination": {"ipv4": "0.0.0.0", "ipv6": "::"}[family] if destination == "default" else destination,
        "prefix_length": 0 if destination == "default" else int(bits or width),
        "table": _TABLES.get(entry["table"]) or int(entry["table"]),
        "type": entry["type"],
        "protocol": entry["protocol"],
        "scope": entry["scope"],
        "metric": entry.get("metric", 0),
        "tos": int(entry.get("tos", "0"), 0),
        "preferred_source": entry.get("prefsrc"),
        "next_hops": [
            {
                "gateway": hop.get("gateway"),
                "interface": hop["dev"],
                "weight": hop["weight"],
                "flags": hop["flags"],
            }
            for hop in hops
        ],
        "flags": entry["flags"],
        "mtu": metrics.get("mtu"),
        "advmss": metrics.get("advmss"),
        "window": metrics.get("window"),
        "rtt_us": 1_000 * metrics["rtt"] if "rtt" in metrics else None,
    }


def interfaces(host: Host) -> list[Item]:
    """`ip address` and ethtool."""
    found = [_interface(entry) for entry in json.loads(host.run("ip", "-d", "-j", "address", "show"))]
    for one in found:
        speed, duplex, link, driver = network_oracles.driver(host, one["name"])
        if one["name"] != "lo":
            one |= {"speed_mbps": speed or None, "duplex": {1: "half", 2: "full"}.get(duplex), "link": link}
            one["driver"] = driver or None
    return sorted(found, key=lambda one: int(one["index"]))


def _interface(entry: Item) -> Item:
    flags = set(entry["flags"]) - _SYNTHETIC
    if "UP" in flags and "NO-CARRIER" not in entry["flags"]:
        flags.add("RUNNING")
    return {
        "index": entry["ifindex"],
        "name": entry["ifname"],
        "kind": entry.get("linkinfo", {}).get("info_kind"),
        "hardware_address": entry.get("address"),
        "mtu": entry["mtu"],
        "flags": flags,
        "operstate": entry["operstate"].lower(),
        "master": entry.get("master"),
        "addresses": [
            {
                "address": one["local"],
                "prefix_length": one["prefixlen"],
                "peer": one.get("address"),
                "scope": one["scope"],
            }
            for one in entry["addr_info"]
        ],
    }


def our(items: list[Item], theirs: list[Item]) -> list[Item]:
    """Of ours what they have as well, in our order; flags as a set."""
    known = [set(one) for one in theirs] or [set()]
    shown = [{name: item[name] for name in item if name in set.union(*known)} for item in items]
    for one, other in zip(shown, theirs, strict=False):
        if isinstance(other["flags"], set):
            one["flags"] = set(one["flags"])
        for name in one.keys() - other.keys():
            del one[name]
    return shown


def counted(host: Host) -> dict[str, int]:
    """/proc/net/dev, snmp, netstat and snmp6, by `INTERFACE NAME` and `GROUPNAME`."""
    found: dict[str, int] = {}
    for line in host.run("cat", "/proc/net/dev").splitlines()[2:]:
        name, _, numbers = line.partition(":")
        found |= {f"{name.strip()} {field}": int(numbers.split()[at]) for field, at in _OF_DEV.items()}
    lines = host.run("cat", "/proc/net/snmp", "/proc/net/netstat").splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        group, *columns = names.split()
        pairs = zip(columns, values.split()[1:], strict=True)
        found |= {group.removesuffix(":") + column: int(value) for column, value in pairs}
    snmp6 = (line.split() for line in host.run("cat", "/proc/net/snmp6").splitlines())
    return found | {name: int(value) for name, value in snmp6}


def our_counted(interfaces: list[Item], statistics: list[Item]) -> dict[str, int]:
    """The same of ours."""
    found = {f"{one['name']} {field}": one["counters"][field] for one in interfaces for field in _OF_DEV}
    return found | {one["group"] + one["name"]: one["value"] for one in statistics}

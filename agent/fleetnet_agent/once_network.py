"""Namespaces with their interfaces and routes as JSON, for `fleetnet-agent once`.

Numbers of the kernel stay numbers (see network.proto), addresses are text, what is not there or not known is null.
"""

import ipaddress
from typing import Any

from fleetnet_agent.records import Interface, InterfaceAddress, Namespace, NextHop, Route

_DUPLEXES = {1: "half", 2: "full"}


def namespace_item(namespace: Namespace) -> dict[str, Any]:
    """One namespace, whole."""
    return {
        "netns": str(namespace.netns) if namespace.netns else "host",
        "name": namespace.name or None,
        "container": namespace.container or None,
        "runtime": namespace.runtime or None,
        "unit": namespace.unit or None,
        "unread": namespace.unread,
        "interfaces": [_interface(interface) for interface in namespace.interfaces],
        "routes": [_route(route) for route in namespace.routes],
        "routes_left_out": namespace.routes_left_out,
    }


def address(raw: bytes) -> str | None:
    """An address as text; IPv4-mapped ones keep `::ffff:` before four numbers on every Python."""
    if not raw:
        return None
    parsed = ipaddress.ip_address(raw)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return f"::ffff:{mapped}" if mapped else str(parsed)


def _interface(interface: Interface) -> dict[str, Any]:
    return {
        "index": interface.index,
        "name": interface.name,
        "hardware_type": interface.hardware_type,
        "hardware_address": interface.hardware_address.hex(":") or None,
        "mtu": interface.mtu,
        "flags": interface.flags,
        "operstate": interface.operstate,
        "kind": interface.kind or None,
        "master": interface.master or None,
        "addresses": [_address_item(one) for one in interface.addresses],
        "speed_mbps": interface.speed_mbps or None,
        "duplex": _DUPLEXES.get(interface.duplex),
        "link": interface.link,
        "driver": interface.driver or None,
    }


def _address_item(one: InterfaceAddress) -> dict[str, Any]:
    return {
        "address": address(one.address),
        "prefix_length": one.prefix_length,
        "peer": address(one.peer),
        "scope": one.scope,
    }


def _route(route: Route) -> dict[str, Any]:
    return {
        "family": route.family.name.lower(),
        "destination": address(route.destination),
        "prefix_length": route.prefix_length,
        "table": route.table,
        "type": route.type,
        "protocol": route.protocol,
        "scope": route.scope,
        "metric": route.metric,
        "preferred_source": address(route.preferred_source),
        "next_hops": [_next_hop(hop) for hop in route.next_hops],
        "flags": route.flags,
        "tos": route.tos,
        "advmss": route.advmss or None,
        "window": route.window or None,
        "rtt": route.rtt or None,
        "mtu": route.mtu or None,
    }


def _next_hop(hop: NextHop) -> dict[str, Any]:
    return {
        "gateway": address(hop.gateway),
        "interface": hop.interface or None,
        "weight": hop.weight,
        "flags": hop.flags,
    }

"""What an answer shows of a route."""

from fleetnet_cli import times
from fleetnet_cli.network import Namespace, NextHop, RouteItem
from fleetnet_cli.output import kernel
from fleetnet_cli.output.presentation import Column, Presentation

# Nobody hands a route on by its name, for it has none.

PLACE = ("host", "netns", "netns_inode", "container", "container_runtime", "unit")
_FIELDS = (
    *PLACE,
    "family",
    "destination",
    "prefix_length",
    "table",
    "type",
    "protocol",
    "scope",
    "metric",
    "tos",
    "preferred_source",
    "next_hops",
    "flags",
    "mtu",
    "advmss",
    "window",
    "rtt_us",
    "since",
    "last_seen",
)


def presentation() -> Presentation[RouteItem]:
    """Routes of every table."""
    return Presentation(
        kind="RouteList",
        as_json=_as_json,
        columns=(
            Column("NETNS", lambda i: i.namespace.netns),
            Column("DESTINATION", lambda i: f"{i.route.destination}/{i.route.prefix_length}"),
            Column("NEXT HOPS", lambda i: ", ".join(_hop(h.gateway, h.interface) for h in i.route.next_hops)),
            Column("TYPE", lambda i: kernel.route_type(i.route.type)),
            Column("TABLE", lambda i: str(i.route.table), right=True),
            Column("METRIC", lambda i: str(i.route.metric), right=True),
            Column("PROTOCOL", lambda i: kernel.route_protocol(i.route.protocol)),
            Column("SCOPE", lambda i: kernel.scope(i.route.scope)),
            Column("SOURCE", lambda i: i.route.preferred_source),
            Column("FLAGS", lambda i: " ".join(kernel.route_flags(i.route.flags)), if_any=True),
            Column(f"SINCE ({times.zone_name()})", lambda i: times.local(i.route.since_us)),
        ),
        nothing="no such routes",
        host_of=lambda i: i.namespace.host,
        fields=_FIELDS,
        cells={"next_hops": lambda hops: " ".join(_hop(h["gateway"], h["interface"]) for h in hops)},
    )


def place_as_json(namespace: Namespace) -> dict[str, object]:
    """Where something is: a host and one of its namespaces."""
    return {
        "host": namespace.host,
        "netns": namespace.netns,
        "netns_inode": namespace.inode or None,
        "container": namespace.container or None,
        "container_runtime": namespace.runtime or None,
        "unit": namespace.unit or None,
    }


def _as_json(item: RouteItem) -> dict[str, object]:
    route = item.route
    return {
        **place_as_json(item.namespace),
        "family": route.family,
        "destination": route.destination,
        "prefix_length": route.prefix_length,
        "table": route.table,
        "type": kernel.route_type(route.type),
        "protocol": kernel.route_protocol(route.protocol),
        "scope": kernel.scope(route.scope),
        "metric": route.metric,
        "tos": route.tos,
        "preferred_source": route.preferred_source or None,
        "next_hops": [_hop_as_json(hop) for hop in route.next_hops],
        "flags": kernel.route_flags(route.flags),
        "mtu": route.mtu or None,
        "advmss": route.advmss or None,
        "window": route.window or None,
        "rtt_us": route.rtt * 125 or None,
        "since": times.utc(route.since_us),
        "last_seen": times.utc(item.namespace.last_seen_us),
    }


def _hop(gateway: str | None, interface: str | None) -> str:
    # As ip(8) writes an address on an interface.
    return f"{gateway or ''}%{interface}" if interface else gateway or ""


def _hop_as_json(hop: NextHop) -> dict[str, object]:
    return {
        "gateway": hop.gateway or None,
        "interface": hop.interface or None,
        "weight": hop.weight,
        "flags": kernel.route_flags(hop.flags),
    }

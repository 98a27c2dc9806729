"""What an answer shows of an interface, where it is not netstat's layout."""

from fleetnet_cli import times
from fleetnet_cli.network import InterfaceAddress, InterfaceItem
from fleetnet_cli.output import kernel
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.output.routes import PLACE, place_as_json

_UP = 0x1  # IFF_UP of include/uapi/linux/if.h

# By the names of live.proto.
_COUNTERS = (
    "received_bytes",
    "received_packets",
    "receive_errors",
    "receive_drops",
    "receive_overruns",
    "sent_bytes",
    "sent_packets",
    "send_errors",
    "send_drops",
    "send_overruns",
)
_FIELDS = (
    *PLACE,
    "index",
    "name",
    "kind",
    "hardware_type",
    "hardware_address",
    "mtu",
    "flags",
    "operstate",
    "master",
    "addresses",
    "speed_mbps",
    "duplex",
    "link",
    "driver",
    *(f"counters.{name}" for name in _COUNTERS),
    "since",
    "last_seen",
)


def presentation() -> Presentation[InterfaceItem]:
    """Interfaces with their facts."""
    columns: tuple[Column[InterfaceItem], ...] = (
        Column("IFACE", lambda i: i.interface.name),
        Column("STATE", _state),
        Column("ADDRESSES", _addresses, least=18),
        Column("MTU", lambda i: str(i.interface.mtu), right=True),
        Column("SPEED", _speed, right=True),
        Column("DUPLEX", lambda i: i.interface.duplex, leaves=3),
        Column("LINK", _link),
        Column("DRIVER", lambda i: i.interface.driver or i.interface.kind, least=6, leaves=4),
        Column("HARDWARE ADDRESS", lambda i: i.interface.hardware_address, leaves=2),
        Column(f"SINCE ({times.zone_name()})", lambda i: times.local(i.interface.since_us), leaves=1),
    )
    return Presentation(
        kind="InterfaceList",
        as_json=_as_json,
        columns=columns,
        wide=(
            Column("NETNS", lambda i: i.namespace.netns),
            *columns,
            Column("MASTER", _master),
            Column("FLAGS", lambda i: " ".join(kernel.interface_flags(i.interface.flags))),
            *(_counter(name, f"{name.upper().replace('_', ' ')}") for name in _COUNTERS),
        ),
        nothing="no such interfaces",
        host_of=lambda i: i.namespace.host,
        fields=_FIELDS,
        cells={"addresses": lambda addresses: " ".join(f"{a['address']}/{a['prefix_length']}" for a in addresses)},
        name_of=lambda i: i.interface.name,
    )


def _as_json(item: InterfaceItem) -> dict[str, object]:
    one = item.interface
    return {
        **place_as_json(item.namespace),
        "index": one.index or None,
        "name": one.name,
        "kind": one.kind or None,
        "hardware_type": one.hardware_type or None,
        "hardware_address": one.hardware_address or None,
        "mtu": one.mtu,
        "flags": kernel.interface_flags(one.flags),
        "operstate": kernel.operstate(one.operstate),
        "master": _master(item) or None,
        "addresses": [_address_as_json(a) for a in one.addresses],
        "speed_mbps": one.speed_mbps or None,
        "duplex": one.duplex or None,
        "link": one.link,
        "driver": one.driver or None,
        "counters": dict(item.counters) if item.counters is not None else None,
        "since": times.utc(one.since_us),
        "last_seen": times.utc(item.namespace.last_seen_us),
    }


def _master(item: InterfaceItem) -> str:
    names = {i.index: i.name for i in item.namespace.interfaces}
    return names.get(item.interface.master, "") if item.interface.master else ""


def _counter(name: str, heading: str) -> Column[InterfaceItem]:
    return Column(heading, lambda i: str(i.counters[name]) if i.counters else "", right=True, if_any=True)


def _address_as_json(address: InterfaceAddress) -> dict[str, object]:
    return {
        "address": address.address,
        "prefix_length": address.prefix_length,
        "peer": address.peer or None,
        "scope": kernel.scope(address.scope),
    }


def _state(item: InterfaceItem) -> str:
    # What somebody switched off is down, whatever its carrier says.
    return kernel.operstate(item.interface.operstate) if item.interface.flags & _UP else "off"


def _addresses(item: InterfaceItem) -> str:
    return ", ".join(f"{a.address}/{a.prefix_length}" for a in item.interface.addresses)


def _speed(item: InterfaceItem) -> str:
    return f"{item.interface.speed_mbps} Mbit/s" if item.interface.speed_mbps else ""


def _link(item: InterfaceItem) -> str:
    return {True: "yes", False: "no", None: ""}[item.interface.link]

"""Namespaces with their interfaces and routes, from a host's messages to records, checked and bounded, and back.

As in translate_report.py all that comes is hostile: what cannot be is refused with BadBatch, text is cut.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from fleetnet_proto.v1 import network_pb2, query_pb2, sockets_pb2

from fleetnet_server import network
from fleetnet_server.errors import BadBatch
from fleetnet_server.rpc import bounds
from fleetnet_server.rpc.pages import in_pages

# Of one batch. An agent leaves out routes long before; these bounds stop only what is not an agent.
MAX_NAMESPACES = 16_384
MAX_INTERFACES = 65_536
MAX_ADDRESSES = 65_536
MAX_ROUTES = 65_536
MAX_NEXT_HOPS = 65_536

_BYTE = 0xFF
_HARDWARE_ADDRESS_BYTES = 32  # MAX_ADDR_LEN of include/linux/netdevice.h
# In characters; the kernel's own bound is 15 bytes (IFNAMSIZ of include/uapi/linux/if.h, less the zero at its end).
_INTERFACE_NAME = 32
_ADDRESS_BYTES = {sockets_pb2.FAMILY_IPV4: 4, sockets_pb2.FAMILY_IPV6: 16}


def parts(messages: Sequence[network_pb2.Namespace]) -> int:
    """How many parts there are to read, of whatever kind."""
    return len(messages) + sum(
        len(message.interfaces)
        + sum(len(interface.addresses) for interface in message.interfaces)
        + len(message.routes)
        + sum(len(route.next_hops) for route in message.routes)
        for message in messages
    )


def namespaces(messages: Sequence[network_pb2.Namespace]) -> tuple[network.Namespace, ...]:
    """The namespaces of a batch, each named once. Raises BadBatch."""
    _check_sizes(messages)
    if len({message.netns for message in messages}) != len(messages):
        raise BadBatch("a namespace is named twice in one batch")
    return tuple(_namespace(message) for message in messages)


def gone(inodes: Sequence[int]) -> tuple[int, ...]:
    """The namespaces that are gone. Raises BadBatch."""
    bounds.at_most(len(inodes), MAX_NAMESPACES, "namespaces that are gone")
    if 0 in inodes:
        raise BadBatch("the agent's own namespace is said to be gone")
    return tuple(dict.fromkeys(bounds.count(inode, "namespace") for inode in inodes))


def _check_sizes(messages: Sequence[network_pb2.Namespace]) -> None:
    interfaces = [interface for message in messages for interface in message.interfaces]
    routes = [route for message in messages for route in message.routes]
    bounds.at_most(len(messages), MAX_NAMESPACES, "namespaces")
    bounds.at_most(len(interfaces), MAX_INTERFACES, "interfaces")
    bounds.at_most(sum(len(interface.addresses) for interface in interfaces), MAX_ADDRESSES, "addresses")
    bounds.at_most(len(routes), MAX_ROUTES, "routes")
    bounds.at_most(sum(len(route.next_hops) for route in routes), MAX_NEXT_HOPS, "next hops")


def _namespace(message: network_pb2.Namespace) -> network.Namespace:
    if len({interface.index for interface in message.interfaces}) != len(message.interfaces):
        raise BadBatch("an interface is listed twice in one namespace")
    return network.Namespace(
        netns=bounds.count(message.netns, "namespace"),
        name=bounds.text(message.name, bounds.WORDS),
        container=bounds.text(message.container, bounds.WORDS),
        runtime=bounds.text(message.runtime, bounds.NAME),
        unit=bounds.text(message.unit, bounds.WORDS),
        interfaces=tuple(_interface(interface) for interface in message.interfaces),
        # One that is listed twice is one.
        routes=tuple(dict.fromkeys(_route(route) for route in message.routes)),
        unread=message.unread,
        routes_left_out=bounds.count(message.routes_left_out, "number of routes left out"),
    )


def _interface(message: network_pb2.Interface) -> network.Interface:
    if len(message.hardware_address) > _HARDWARE_ADDRESS_BYTES:
        raise BadBatch(f"an interface has a hardware address of {len(message.hardware_address)} bytes")
    return network.Interface(
        index=message.index,
        name=bounds.text(message.name, _INTERFACE_NAME),
        hardware_type=message.hardware_type,
        hardware_address=message.hardware_address,
        mtu=message.mtu,
        flags=message.flags,
        operstate=bounds.small(message.operstate, _BYTE, "state of an interface"),
        kind=bounds.text(message.kind, bounds.NAME),
        master=message.master,
        addresses=tuple(_address(address) for address in message.addresses),
        speed_mbps=message.speed_mbps,
        duplex=bounds.small(message.duplex, network_pb2.DUPLEX_FULL, "duplex"),
        link=message.link if message.HasField("link") else None,
        driver=bounds.text(message.driver, bounds.NAME),
    )


def _address(message: network_pb2.InterfaceAddress) -> network.InterfaceAddress:
    size = len(message.address)
    if size not in (4, 16) or len(message.peer) not in (0, size):
        raise BadBatch(f"an interface has an address of {size} bytes, with {len(message.peer)} at the other end")
    return network.InterfaceAddress(
        address=message.address,
        prefix_length=bounds.small(message.prefix_length, 8 * size, "length of an address's prefix"),
        peer=message.peer,
        scope=bounds.small(message.scope, _BYTE, "scope of an address"),
    )


def _route(message: network_pb2.Route) -> network.Route:
    size = _ADDRESS_BYTES.get(message.family)
    if size is None:
        raise BadBatch(f"a route has family {message.family}, which this collector does not know")
    if len(message.destination) != size or len(message.preferred_source) not in (0, size):
        raise BadBatch(
            f"a route of family {message.family} has addresses of {len(message.destination)} and "
            f"{len(message.preferred_source)} bytes"
        )
    return network.Route(
        family=message.family,
        destination=message.destination,
        prefix_length=bounds.small(message.prefix_length, 8 * size, "length of a route's prefix"),
        table=message.table,
        type=bounds.small(message.type, _BYTE, "type of a route"),
        protocol=bounds.small(message.protocol, _BYTE, "protocol of a route"),
        scope=bounds.small(message.scope, _BYTE, "scope of a route"),
        metric=message.metric,
        preferred_source=message.preferred_source,
        next_hops=tuple(_next_hop(hop) for hop in message.next_hops),
        flags=message.flags,
        tos=bounds.small(message.tos, _BYTE, "type of service of a route"),
        advmss=message.advmss,
        window=message.window,
        rtt=message.rtt,
        mtu=message.mtu,
    )


def _next_hop(message: network_pb2.NextHop) -> network.NextHop:
    if len(message.gateway) not in (0, 4, 16):
        raise BadBatch(f"a route has a gateway of {len(message.gateway)} bytes")
    return network.NextHop(
        message.gateway, bounds.text(message.interface, _INTERFACE_NAME), message.weight, message.flags
    )


def namespace_pages(answers: Iterable[network.NamespaceAnswer]) -> Iterator[query_pb2.NamespacePage]:
    """The namespaces in their order, on as many pages as their size needs."""
    return (query_pb2.NamespacePage(items=page) for page in in_pages(map(_item, answers)))


def netns_name(netns: int, name: str) -> str:
    """What a namespace is called in an answer. None but the agent's own is called "host", whatever it says."""
    if netns == 0:
        return "host"
    return name if name not in ("", "host") else str(netns)


def _item(answer: network.NamespaceAnswer) -> query_pb2.NamespaceItem:
    told = answer.namespace
    return query_pb2.NamespaceItem(
        host=answer.host,
        netns=netns_name(told.netns, told.name),
        namespace=network_pb2.Namespace(
            netns=told.netns,
            name=told.name,
            container=told.container,
            runtime=told.runtime,
            unit=told.unit,
            interfaces=[_interface_message(interface) for interface in told.interfaces],
            routes=[_route_message(route) for route in told.routes],
            unread=told.unread,
            routes_left_out=told.routes_left_out,
        ),
        opened_at_us=answer.opened_at_us,
        interfaces_since_us=answer.interfaces_since_us,
        routes_since_us=answer.routes_since_us,
        last_seen_us=answer.last_seen_us,
    )


def _interface_message(told: network.Interface) -> network_pb2.Interface:
    return network_pb2.Interface(
        index=told.index,
        name=told.name,
        hardware_type=told.hardware_type,
        hardware_address=told.hardware_address,
        mtu=told.mtu,
        flags=told.flags,
        operstate=told.operstate,
        kind=told.kind,
        master=told.master,
        addresses=[
            network_pb2.InterfaceAddress(address=a.address, prefix_length=a.prefix_length, peer=a.peer, scope=a.scope)
            for a in told.addresses
        ],
        speed_mbps=told.speed_mbps,
        duplex=cast("network_pb2.Duplex", told.duplex),
        link=told.link,
        driver=told.driver,
    )


def _route_message(told: network.Route) -> network_pb2.Route:
    return network_pb2.Route(
        family=cast("sockets_pb2.Family", told.family),
        destination=told.destination,
        prefix_length=told.prefix_length,
        table=told.table,
        type=told.type,
        protocol=told.protocol,
        scope=told.scope,
        metric=told.metric,
        preferred_source=told.preferred_source,
        next_hops=[
            network_pb2.NextHop(gateway=hop.gateway, interface=hop.interface, weight=hop.weight, flags=hop.flags)
            for hop in told.next_hops
        ],
        flags=told.flags,
        tos=told.tos,
        advmss=told.advmss,
        window=told.window,
        rtt=told.rtt,
        mtu=told.mtu,
    )

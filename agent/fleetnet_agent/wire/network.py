"""Namespaces, interfaces and routes to protobuf.

What must stay true: an encoded namespace fits one batch, whatever the host shows. Routes that do not fit are counted as
left out; interfaces that do not fit even so leave the namespace marked as not read whole.
"""

from collections.abc import Iterable
from typing import Final, TypeVar, cast

from fleetnet_proto.v1 import network_pb2, sockets_pb2

from fleetnet_agent.bounded import NAME_BYTES, UNIT_BYTES, bounded
from fleetnet_agent.records import Interface, InterfaceAddress, Namespace, NextHop, Route

INTERFACES_BYTES: Final = 650_000  # of one namespace
NAMESPACE_BYTES: Final = 900_000
_FIELD_OVERHEAD_BYTES: Final = 5  # tag and length that an embedded message of up to 1 MiB costs
_ADDRESS_BYTES: Final = 32  # of hardware; the longest that the kernel has

M = TypeVar("M", network_pb2.Interface, network_pb2.Route)


def encode_namespace(namespace: Namespace) -> network_pb2.Namespace:
    """One namespace, whole as far as it fits."""
    interfaces, used_bytes = _fitting(map(_interface, namespace.interfaces), INTERFACES_BYTES)
    routes, _ = _fitting(map(_route, namespace.routes), NAMESPACE_BYTES - used_bytes)
    return network_pb2.Namespace(
        netns=namespace.netns,
        name=bounded(namespace.name, UNIT_BYTES),
        container=bounded(namespace.container, UNIT_BYTES),
        runtime=bounded(namespace.runtime, NAME_BYTES),
        unit=bounded(namespace.unit, UNIT_BYTES),
        interfaces=interfaces,
        routes=routes,
        unread=namespace.unread or len(interfaces) < len(namespace.interfaces),
        routes_left_out=namespace.routes_left_out + len(namespace.routes) - len(routes),
    )


def _fitting(messages: Iterable[M], most_bytes: int) -> tuple[list[M], int]:
    """The first of the messages that fit, and the bytes that they take."""
    fitting: list[M] = []
    used_bytes = 0
    for message in messages:
        size_bytes = message.ByteSize() + _FIELD_OVERHEAD_BYTES
        if used_bytes + size_bytes > most_bytes:
            break
        fitting.append(message)
        used_bytes += size_bytes
    return fitting, used_bytes


def _interface(interface: Interface) -> network_pb2.Interface:
    return network_pb2.Interface(
        index=interface.index,
        name=bounded(interface.name, NAME_BYTES),
        hardware_type=interface.hardware_type,
        hardware_address=interface.hardware_address[:_ADDRESS_BYTES],
        mtu=interface.mtu,
        flags=interface.flags,
        operstate=interface.operstate,
        kind=bounded(interface.kind, NAME_BYTES),
        master=interface.master,
        addresses=map(_address, interface.addresses),
        speed_mbps=interface.speed_mbps,
        duplex=cast("network_pb2.Duplex", interface.duplex),
        link=interface.link,
        driver=bounded(interface.driver, NAME_BYTES),
    )


def _address(address: InterfaceAddress) -> network_pb2.InterfaceAddress:
    return network_pb2.InterfaceAddress(
        address=address.address,
        prefix_length=address.prefix_length,
        peer=address.peer,
        scope=address.scope,
    )


def _route(route: Route) -> network_pb2.Route:
    return network_pb2.Route(
        family=cast("sockets_pb2.Family", route.family),
        destination=route.destination,
        prefix_length=route.prefix_length,
        table=route.table,
        type=route.type,
        protocol=route.protocol,
        scope=route.scope,
        metric=route.metric,
        preferred_source=route.preferred_source,
        next_hops=map(_next_hop, route.next_hops),
        flags=route.flags,
        tos=route.tos,
        advmss=route.advmss,
        window=route.window,
        rtt=route.rtt,
        mtu=route.mtu,
    )


def _next_hop(hop: NextHop) -> network_pb2.NextHop:
    return network_pb2.NextHop(
        gateway=hop.gateway,
        interface=bounded(hop.interface, NAME_BYTES),
        weight=hop.weight,
        flags=hop.flags,
    )

"""Namespaces with interfaces and routes: protobuf messages on one side, the records of network.py on the other."""

from collections.abc import Sequence

from fleetnet_proto.v1 import network_pb2, query_pb2

from fleetnet_cli import wire
from fleetnet_cli.network import Interface, InterfaceAddress, Namespace, NamespaceQuestion, NextHop, Route

_DUPLEX = wire.words(network_pb2.Duplex.items(), "DUPLEX_")


def request(question: NamespaceQuestion) -> query_pb2.ListNamespacesRequest:
    """The question about namespaces, as asked."""
    return query_pb2.ListNamespacesRequest(
        selection=wire.selection(question.selection),
        own_only=question.own_only,
        without_interfaces=question.without_interfaces,
        without_routes=question.without_routes,
    )


def namespace(message: query_pb2.NamespaceItem) -> Namespace:
    """One namespace of an answer."""
    inner = message.namespace
    interfaces_since, routes_since = message.interfaces_since_us, message.routes_since_us
    return Namespace(
        host=message.host,
        netns=message.netns,
        inode=inner.netns,
        name=inner.name,
        container=inner.container,
        runtime=inner.runtime,
        unit=inner.unit,
        interfaces=tuple(_interface(one, _nth(interfaces_since, n)) for n, one in enumerate(inner.interfaces)),
        routes=tuple(_route(one, _nth(routes_since, n)) for n, one in enumerate(inner.routes)),
        unread=inner.unread,
        routes_left_out=inner.routes_left_out,
        opened_at_us=message.opened_at_us,
        last_seen_us=message.last_seen_us,
    )


def _nth(times_us: Sequence[int], position: int) -> int:
    return times_us[position] if position < len(times_us) else 0


def _interface(message: network_pb2.Interface, since_us: int) -> Interface:
    return Interface(
        index=message.index,
        name=message.name,
        hardware_type=message.hardware_type,
        hardware_address=message.hardware_address.hex(":"),
        mtu=message.mtu,
        flags=message.flags,
        operstate=message.operstate,
        kind=message.kind,
        master=message.master,
        addresses=tuple(
            InterfaceAddress(wire.address(a.address), a.prefix_length, wire.address(a.peer), a.scope)
            for a in message.addresses
        ),
        speed_mbps=message.speed_mbps,
        duplex=_DUPLEX.get(message.duplex, ""),
        link=message.link if message.HasField("link") else None,
        driver=message.driver,
        since_us=since_us,
    )


def _route(message: network_pb2.Route, since_us: int) -> Route:
    return Route(
        family=wire.FAMILIES.get(message.family, wire.UNKNOWN),
        destination=wire.address(message.destination),
        prefix_length=message.prefix_length,
        table=message.table,
        type=message.type,
        protocol=message.protocol,
        scope=message.scope,
        metric=message.metric,
        preferred_source=wire.address(message.preferred_source),
        next_hops=tuple(
            NextHop(wire.address(hop.gateway), hop.interface, hop.weight, hop.flags) for hop in message.next_hops
        ),
        flags=message.flags,
        tos=message.tos,
        advmss=message.advmss,
        window=message.window,
        rtt=message.rtt,
        mtu=message.mtu,
        since_us=since_us,
    )

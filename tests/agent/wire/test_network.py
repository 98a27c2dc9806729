"""Namespaces become parts of batches: bounded, whole as far as they fit, each exactly once."""

from dataclasses import replace

from agent.scripted_watch import tcp
from fleetnet_agent.network import facts
from fleetnet_agent.records import (
    Difference,
    Family,
    Interface,
    InterfaceAddress,
    Namespace,
    NextHop,
    Route,
    Snapshot,
    SocketKey,
)
from fleetnet_agent.wire import network
from fleetnet_agent.wire.batches import difference_batches, snapshot_batches
from fleetnet_proto.v1 import network_pb2, report_pb2

ONE_MIB = 1 << 20
LOOK_US = 1_700_000_000_000_000

INTERFACE = Interface(
    index=7,
    name="eth0",
    hardware_type=1,
    hardware_address=b"\2\0\0\0\0\7",
    mtu=1400,
    flags=0x11043,
    operstate=6,
    kind="veth",
    master=3,
    addresses=(InterfaceAddress(b"\n\0\0\1", 24, b"\n\0\0\2", 253), InterfaceAddress(bytes(16), 128)),
    speed_mbps=10_000,
    duplex=2,
    link=True,
    driver="veth",
)
ROUTE = Route(
    family=Family.IPV4,
    destination=b"\n\0\0\0",
    prefix_length=8,
    table=1000,
    type=1,
    protocol=4,
    scope=253,
    metric=7,
    preferred_source=b"\n\0\0\1",
    next_hops=(NextHop(b"\n\0\0\2", "eth0", 3, 4), NextHop(bytes(16), "eth1", 1, 0)),
    flags=16,
    tos=8,
    advmss=1300,
    window=5000,
    rtt=160,
    mtu=1400,
)
WHOLE = Namespace(40, "web", "c0ffee", "docker", "docker.service", (INTERFACE,), (ROUTE,), False, 5)


def as_record(sent: network_pb2.Namespace) -> Namespace:
    """What the other end can read of it."""
    return Namespace(
        sent.netns,
        sent.name,
        sent.container,
        sent.runtime,
        sent.unit,
        tuple(
            Interface(
                *(i.index, i.name, i.hardware_type, i.hardware_address, i.mtu, i.flags, i.operstate, i.kind, i.master),
                tuple(InterfaceAddress(a.address, a.prefix_length, a.peer, a.scope) for a in i.addresses),
                *(i.speed_mbps, i.duplex, i.link if i.HasField("link") else None, i.driver),
            )
            for i in sent.interfaces
        ),
        tuple(
            Route(
                *(Family(r.family), r.destination, r.prefix_length, r.table, r.type, r.protocol, r.scope, r.metric),
                r.preferred_source,
                tuple(NextHop(h.gateway, h.interface, h.weight, h.flags) for h in r.next_hops),
                *(r.flags, r.tos, r.advmss, r.window, r.rtt, r.mtu),
            )
            for r in sent.routes
        ),
        sent.unread,
        sent.routes_left_out,
    )


def decoded(body: bytes) -> report_pb2.Batch:
    return report_pb2.Batch.FromString(body)


def test_every_field_arrives() -> None:
    assert as_record(network.encode_namespace(WHOLE)) == WHOLE
    bare = replace(WHOLE, interfaces=(replace(INTERFACE, link=None), replace(INTERFACE, link=False)), unread=True)
    assert as_record(network.encode_namespace(bare)) == bare


def test_the_numbers_of_duplex_are_those_of_the_wire() -> None:
    assert (network_pb2.DUPLEX_UNSPECIFIED, network_pb2.DUPLEX_HALF, network_pb2.DUPLEX_FULL) == (0, 1, 2)


def test_a_difference_of_namespaces_alone_is_not_empty_and_makes_one_batch() -> None:
    difference = Difference(LOOK_US + 1, LOOK_US, namespaces=(WHOLE,), namespaces_gone=(41, 2**32 - 1))
    assert not difference.empty
    (batch,) = map(decoded, difference_batches(difference))
    assert [as_record(sent) for sent in batch.namespaces] == [WHOLE]
    assert list(batch.namespaces_gone) == [41, 2**32 - 1]
    assert not batch.HasField("snapshot")


def full(netns: int) -> Namespace:
    """As much as an agent ever carries of one namespace, with the longest names that a kernel has."""
    long = replace(INTERFACE, name="i" * 15, kind="k" * 15, driver="d" * 31)
    own = replace(long, addresses=(long.addresses[1],) * 2)
    route = replace(ROUTE, next_hops=(NextHop(b"\n\0\0\2", "i" * 15, 1, 0),))
    return Namespace(netns, "n", interfaces=(own,) * 4_000, routes=(route,) * facts.ROUTES_MOST)


def test_every_namespace_of_a_snapshot_is_in_one_of_its_parts_and_before_its_sockets() -> None:
    namespaces = tuple(replace(full(n), interfaces=full(n).interfaces[:1000]) for n in range(12))
    sockets = tuple(tcp(n) for n in range(25_000))
    parts = list(snapshot_batches(Snapshot(LOOK_US, sockets, (), namespaces)))
    batches = [decoded(body) for body, _ in parts]
    assert max(len(body) for body, _ in parts) < ONE_MIB
    assert [sent.netns for batch in batches for sent in batch.namespaces] == list(range(12))
    assert [as_record(sent) for sent in batches[0].namespaces] == list(namespaces[: len(batches[0].namespaces)])
    assert [s.key.cookie for batch in batches for s in batch.opened] == [s.key.cookie for s in sockets]
    assert [last for _, last in parts] == [False] * (len(parts) - 1) + [True]
    first_sockets = next(n for n, batch in enumerate(batches) if batch.opened)
    last_namespaces = max(n for n, batch in enumerate(batches) if batch.namespaces)
    assert last_namespaces <= first_sockets


def test_the_end_of_a_namespace_comes_after_its_sockets() -> None:
    sockets = tuple(replace(tcp(n), key=SocketKey(40, tcp(n).key.protocol, n + 1)) for n in range(20_000))
    difference = Difference(LOOK_US + 1, LOOK_US, opened=sockets, namespaces_gone=(40,))
    batches = [decoded(body) for body in difference_batches(difference)]
    assert len(batches) > 1
    assert [list(batch.namespaces_gone) for batch in batches] == [[]] * (len(batches) - 1) + [[40]]


def test_as_much_as_an_agent_carries_of_one_namespace_fits_and_what_does_not_is_counted() -> None:
    namespace = full(3)
    sent = network.encode_namespace(namespace)
    assert sent.ByteSize() < network.NAMESPACE_BYTES + 1_000
    assert len(sent.interfaces) == 4_000
    assert not sent.unread
    assert sent.routes_left_out + len(sent.routes) == facts.ROUTES_MOST
    assert as_record(sent).routes == namespace.routes[: len(sent.routes)]


def test_a_route_over_very_many_next_hops_does_not_make_a_batch_too_large() -> None:
    wide = replace(ROUTE, next_hops=(NextHop(bytes(16), "i" * 15, 1, 0),) * 30_000)
    namespace = replace(WHOLE, routes=(ROUTE, wide, ROUTE), routes_left_out=0)
    (batch,) = map(decoded, difference_batches(Difference(LOOK_US + 1, LOOK_US, namespaces=(namespace,))))
    (sent,) = batch.namespaces
    assert as_record(sent) == replace(namespace, routes=(ROUTE,), routes_left_out=2)


def test_interfaces_that_do_not_fit_even_so_leave_the_namespace_unread() -> None:
    wide = replace(INTERFACE, addresses=INTERFACE.addresses * 20_000)
    sent = network.encode_namespace(replace(WHOLE, interfaces=(INTERFACE, wide)))
    assert (len(sent.interfaces), sent.unread) == (1, True)
    assert not network.encode_namespace(WHOLE).unread


def test_hostile_text_and_addresses_are_bounded_and_made_utf8() -> None:
    hostile = "\udcff" + "ä" * 500
    interface = replace(INTERFACE, name=hostile, kind=hostile, driver=hostile, hardware_address=bytes(500))
    route = replace(ROUTE, next_hops=(NextHop(b"", hostile, 1, 0),))
    namespace = Namespace(40, hostile, hostile, hostile, hostile, (interface,), (route,))
    sent = network.encode_namespace(namespace)
    names = [sent.runtime, sent.interfaces[0].name, sent.interfaces[0].kind, sent.interfaces[0].driver]
    assert max(len(text.encode()) for text in [*names, sent.routes[0].next_hops[0].interface]) <= 64
    assert max(len(text.encode()) for text in (sent.name, sent.container, sent.unit)) <= 256
    assert all(text.startswith("?") for text in names)
    assert len(sent.interfaces[0].hardware_address) == 32

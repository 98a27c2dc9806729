"""What a host reports of its namespaces is checked and bounded, and comes back in an answer as it was told."""

from collections.abc import Callable

import pytest
from fleetnet_proto.v1 import network_pb2, report_pb2, sockets_pb2
from fleetnet_server import network
from fleetnet_server.errors import BadBatch
from fleetnet_server.rpc import translate_network, translate_report
from fleetnet_server.storage import interfaces, routes
from hypothesis import given
from hypothesis import strategies as st

from server import messages

INODE = 4026532001


def namespace() -> network_pb2.Namespace:
    """One with an interface and two routes."""
    return network_pb2.Namespace(
        netns=INODE,
        name="blue",
        container="c0ffee",
        runtime="podman",
        unit="blue.service",
        interfaces=[
            network_pb2.Interface(
                index=2,
                name="eth0",
                hardware_type=1,
                hardware_address=bytes(6),
                mtu=1500,
                flags=0x1043,
                operstate=6,
                kind="veth",
                master=3,
                addresses=[network_pb2.InterfaceAddress(address=bytes(4), prefix_length=32, peer=bytes(4), scope=253)],
                speed_mbps=1000,
                duplex=network_pb2.DUPLEX_FULL,
                link=False,
                driver="veth",
            )
        ],
        routes=[
            network_pb2.Route(
                family=sockets_pb2.FAMILY_IPV6,
                destination=bytes(16),
                prefix_length=128,
                table=254,
                type=1,
                protocol=2,
                scope=3,
                metric=4,
                preferred_source=bytes(16),
                next_hops=[network_pb2.NextHop(gateway=bytes(16), interface="eth0", weight=1, flags=4)],
                flags=5,
                tos=6,
                advmss=7,
                window=8,
                rtt=9,
                mtu=10,
            ),
            network_pb2.Route(family=sockets_pb2.FAMILY_IPV4, destination=bytes(4), type=6),
        ],
        unread=True,
        routes_left_out=11,
    )


def batch(*namespaces: network_pb2.Namespace) -> report_pb2.Batch:
    message = messages.batch(1)
    message.namespaces.extend(namespaces)
    return message


def test_a_namespace_comes_through_and_back_as_it_was_told() -> None:
    [told] = translate_report.batch(batch(namespace())).namespaces
    answer = network.NamespaceAnswer("web1", told, 1, (2,), (3, 4), 5)
    [page] = translate_network.namespace_pages([answer])
    [item] = page.items
    assert item.namespace == namespace()
    assert (item.host, item.netns, item.opened_at_us, item.last_seen_us) == ("web1", "blue", 1, 5)
    assert (list(item.interfaces_since_us), list(item.routes_since_us)) == ([2], [3, 4])


def test_what_is_gone_comes_through_once() -> None:
    message = batch()
    message.namespaces_gone.extend([INODE, 5, INODE])
    assert translate_report.batch(message).namespaces_gone == (INODE, 5)


@pytest.mark.parametrize(
    ("netns", "name", "shown"),
    [(0, "", "host"), (0, "blue", "host"), (5, "blue", "blue"), (5, "", "5"), (5, "host", "5")],
)
def test_only_the_hosts_own_namespace_is_called_host(netns: int, name: str, shown: str) -> None:
    assert translate_network.netns_name(netns, name) == shown


def _of_interface(**changes: object) -> Callable[[report_pb2.Batch], None]:
    return lambda message: message.namespaces[0].interfaces[0].MergeFrom(network_pb2.Interface(**changes))  # type: ignore[arg-type]  # the caller names fields


def _of_address(**changes: object) -> Callable[[report_pb2.Batch], None]:
    return lambda m: m.namespaces[0].interfaces[0].addresses[0].MergeFrom(network_pb2.InterfaceAddress(**changes))  # type: ignore[arg-type]  # the caller names fields


def _of_route(**changes: object) -> Callable[[report_pb2.Batch], None]:
    return lambda message: message.namespaces[0].routes[0].MergeFrom(network_pb2.Route(**changes))  # type: ignore[arg-type]  # the caller names fields


def _many(**parts: object) -> Callable[[report_pb2.Batch], None]:
    return lambda message: message.namespaces[0].MergeFrom(network_pb2.Namespace(**parts))  # type: ignore[arg-type]  # the caller names fields


def _gone_in_a_snapshot(message: report_pb2.Batch) -> None:
    message.snapshot.last = True
    message.namespaces_gone.append(5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.namespaces.append(network_pb2.Namespace(netns=INODE)), "a namespace is named twice"),
        (lambda m: m.namespaces.append(network_pb2.Namespace(netns=2**63)), "namespace 9223372036854775808 is above"),
        (lambda m: m.namespaces.extend(network_pb2.Namespace(netns=n) for n in range(16_384)), "16385 namespaces"),
        (lambda m: m.namespaces_gone.append(0), "own namespace is said to be gone"),
        (lambda m: m.namespaces_gone.append(2**63), "above"),
        (lambda m: m.namespaces_gone.extend(range(1, 16_386)), "16385 namespaces that are gone"),
        (_gone_in_a_snapshot, "a part of a snapshot holds namespaces that are gone"),
        (lambda m: setattr(m.namespaces[0], "routes_left_out", 2**63), "routes left out"),
        (_many(interfaces=[network_pb2.Interface(index=2)]), "an interface is listed twice"),
        (_many(interfaces=[network_pb2.Interface()] * 65_536), "65537 interfaces"),
        (_many(routes=[network_pb2.Route()] * 65_536), "65538 routes"),
        (_of_interface(addresses=[network_pb2.InterfaceAddress()] * 65_536), "65537 addresses"),
        (_of_route(next_hops=[network_pb2.NextHop()] * 65_536), "65537 next hops"),
        (_of_interface(hardware_address=bytes(33)), "hardware address of 33 bytes"),
        (_of_interface(operstate=256), "state of an interface 256"),
        (_of_interface(duplex=3), "duplex 3"),
        (_of_address(address=bytes(5)), "address of 5 bytes"),
        (_of_address(peer=bytes(16)), "16 at the other end"),
        (_of_address(prefix_length=33), "length of an address's prefix 33"),
        (_of_address(scope=256), "scope of an address 256"),
        (_of_route(family=17), "family 17"),
        (_of_route(family=4), "addresses of 16 and 16 bytes"),
        (_of_route(preferred_source=bytes(4)), "addresses of 16 and 4 bytes"),
        (_of_route(prefix_length=129), "length of a route's prefix 129"),
        (_of_route(type=256), "type of a route 256"),
        (_of_route(protocol=256), "protocol of a route 256"),
        (_of_route(scope=256), "scope of a route 256"),
        (_of_route(tos=256), "type of service of a route 256"),
        (_of_route(next_hops=[network_pb2.NextHop(gateway=bytes(3))]), "gateway of 3 bytes"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(change: Callable[[report_pb2.Batch], None], words: str) -> None:
    message = batch(namespace())
    change(message)
    with pytest.raises(BadBatch, match=words):
        translate_report.batch(message)


def test_long_names_are_cut_and_hold_no_nul() -> None:
    message = namespace()
    message.name = "n" * 1_000
    message.interfaces[0].name = "\0" + "\N{GRINNING FACE}" * 1_000
    message.routes[0].next_hops[0].interface = "\N{GRINNING FACE}" * 1_000
    [told] = translate_report.batch(batch(message)).namespaces
    assert (len(told.name), len(told.interfaces[0].name)) == (256, 32)
    assert "\0" not in told.interfaces[0].name
    [hop] = told.routes[0].next_hops
    assert routes.decode(routes.encode([hop])) == (hop,)


def test_a_route_listed_twice_is_one() -> None:
    message = namespace()
    message.routes.append(message.routes[0])
    [told] = translate_report.batch(batch(message)).namespaces
    assert len(told.routes) == 2


NUMBER = st.sampled_from([0, 1, 2, 4, 6, 17, 32, 33, 128, 129, 255, 256, 2**31, 2**32 - 1])
BYTES = st.sampled_from([b"", bytes(4), bytes(16)]) | st.binary(max_size=40)
HOPS = st.builds(network_pb2.NextHop, gateway=BYTES, interface=st.text(max_size=40), weight=NUMBER, flags=NUMBER)
ROUTES = st.builds(
    network_pb2.Route,
    family=st.sampled_from([0, 4, 6, 17]),
    destination=BYTES,
    prefix_length=NUMBER,
    type=NUMBER,
    metric=NUMBER,
    preferred_source=BYTES,
    next_hops=st.lists(HOPS, max_size=2),
)
ADDRESSES = st.builds(
    network_pb2.InterfaceAddress, address=BYTES, prefix_length=NUMBER, peer=BYTES, scope=NUMBER
)  # fmt: skip
INTERFACES = st.builds(
    network_pb2.Interface,
    index=NUMBER,
    name=st.text(max_size=40),
    hardware_address=BYTES,
    operstate=NUMBER,
    duplex=st.integers(0, 3),
    addresses=st.lists(ADDRESSES, max_size=2),
)
NAMESPACES = st.builds(
    network_pb2.Namespace,
    netns=st.integers(0, 2**64 - 1),
    name=st.text(),
    interfaces=st.lists(INTERFACES, max_size=2),
    routes=st.lists(ROUTES, max_size=2),
    routes_left_out=st.integers(0, 2**64 - 1),
)


@given(st.lists(NAMESPACES, max_size=2))
def test_hostile_namespaces_are_refused_or_can_be_kept(told: list[network_pb2.Namespace]) -> None:
    try:
        found = translate_network.namespaces(told)
    except BadBatch as error:
        assert str(error)  # noqa: PT017  # either outcome is right; a third is what this looks for
        return
    for one in found:
        assert max(one.netns, one.routes_left_out) < 2**63
        assert "\0" not in one.name
        for interface in one.interfaces:
            assert interfaces.decode(interfaces.encode(interface.addresses)) == interface.addresses
        for route in one.routes:
            assert routes.decode(routes.encode(route.next_hops)) == route.next_hops
            assert 0 < routes.name(route) < 2**63

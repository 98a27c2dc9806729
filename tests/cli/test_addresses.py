"""A host as the other end: what stands for it, what does not, and what is said of it."""

import time
from collections.abc import Callable

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_proto.v1 import network_pb2, query_pb2

from cli import fleet


def interfaces(*addresses: str, kind: str = "") -> list[network_pb2.Interface]:
    own = [network_pb2.InterfaceAddress(address=fleet.packed(address), prefix_length=8) for address in addresses]
    return [network_pb2.Interface(index=1, name="eth0", kind=kind, addresses=own)]


def namespace(host: str, *addresses: str, netns: int = 0, bridge: str = "") -> query_pb2.NamespaceItem:
    bridges = interfaces(bridge, kind="bridge") if bridge else []
    own = network_pb2.Namespace(netns=netns, interfaces=[*interfaces(*addresses), *bridges])
    return query_pb2.NamespaceItem(host=host, netns="host" if not netns else str(netns), namespace=own)


def asked_for(canned: Canned) -> list[bytes]:
    """The addresses in the question about sockets."""
    request = canned.asked[-1]
    if isinstance(request, query_pb2.FindSocketsRequest):
        return [request.remote.address]
    assert isinstance(request, query_pb2.SeekSocketsRequest)
    assert all(net.prefix_bits == len(net.address) * 8 for net in request.remotes)
    return [net.address for net in request.remotes]


def packed(*addresses: str) -> list[bytes]:
    return [fleet.packed(address) for address in addresses]


def test_its_own_addresses_stand_for_a_host_and_none_that_are_alike_everywhere(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.namespaces = [
        namespace("web1", "127.0.0.1", "::1", "10.0.0.5", "fe80::5", "169.254.1.1", "2001:db8::5", "::ffff:127.0.0.1"),
        namespace("web1", "172.17.0.2", netns=7),
        namespace("web2", "127.0.0.1", "10.0.0.6"),
    ]
    ran = fleetnet("who-talks-to", "web1")
    assert (ran.status, ran.err) == (0, "")
    assert asked_for(canned) == packed("10.0.0.5", "2001:db8::5")


def test_an_address_that_another_host_has_as_well_is_left_out_with_a_sentence(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.namespaces = [namespace("web1", "10.0.0.5", "172.17.0.1"), namespace("web2", "10.0.0.6", "172.17.0.1")]
    ran = fleetnet("who-talks-to", "web1:443")
    assert asked_for(canned) == packed("10.0.0.5")
    assert ran.err == "172.17.0.1 of web1 left out, for other hosts have the same; ask for it by itself\n"
    assert ran.status == 3, "another host may say so of any address"
    ran = fleetnet("who-talks-to", "web1", "-q")
    assert (ran.err, ran.status) == ("", 3)


def test_what_is_shared_on_a_bridge_of_its_own_lacks_in_no_answer(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.namespaces = [namespace("web1", "10.0.0.5", bridge="172.17.0.1"), namespace("web2", "172.17.0.1")]
    ran = fleetnet("who-talks-to", "web1")
    assert asked_for(canned) == packed("10.0.0.5")
    assert (ran.status, ran.err[:10]) == (0, "172.17.0.1")
    canned.namespaces = [namespace("web1", "172.17.0.1", "10.0.0.5", bridge="172.17.0.1"), canned.namespaces[1]]
    assert fleetnet("who-talks-to", "web1").status == 3, "it is on another interface, too"


def test_a_watch_says_before_it_begins_what_is_left_out(
    canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    canned.namespaces = [namespace("web1", "10.0.0.5", "172.17.0.1"), namespace("web2", "172.17.0.1")]
    canned.watched = [
        [
            query_pb2.WatchSocketsResponse(coverage=canned.coverage),
            query_pb2.WatchSocketsResponse(mark=query_pb2.Mark()),
        ]
    ]

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    assert fleetnet("watch", "who-talks-to", "web1").err.startswith("172.17.0.1 of web1 left out")


def test_where_nothing_tells_a_host_from_others_there_is_no_answer_but_a_sentence(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    for known, why in (
        ([namespace("db1", "10.0.0.9")], "no address of it was known yet"),
        ([namespace("web1", "127.0.0.1", "fe80::1")], "no address of it was known yet"),
        ([namespace("web1", "10.0.0.5"), namespace("web2", "10.0.0.5")], "other hosts have 10.0.0.5 too"),
    ):
        canned.namespaces = known
        ran = fleetnet("who-talks-to", "web1")
        assert (ran.status, ran.out) == (3, "")
        assert ran.err == f"fleetnet: who talks to web1 cannot be told, for {why}; name an address instead\n"
    canned.namespaces = []
    assert "was known then" in fleetnet("who-talks-to", "web1", "--at", "2026-01-01T00:00:00Z").err


def test_the_addresses_are_those_of_the_time_asked_about(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.namespaces = [namespace("web1", "10.0.0.5")]
    fleetnet("who-talks-to", "web1", "--at", "2026-01-01T00:00:00Z", "--host", "db*", "--host", "x*")
    of_host, of_all, sockets = canned.asked
    assert isinstance(of_host, query_pb2.ListNamespacesRequest)
    assert isinstance(of_all, query_pb2.ListNamespacesRequest)
    assert isinstance(sockets, query_pb2.SeekSocketsRequest)
    assert (of_host.selection.host, of_all.selection.host) == ("web1", "")
    at_us = {of_host.selection.at_us, of_all.selection.at_us, sockets.sockets.selection.at_us}
    assert at_us == {1_767_225_600_000_000}
    assert list(sockets.host_globs) == ["db*", "x*"]


def test_of_a_host_that_is_silent_the_last_addresses_count_and_the_answer_is_not_whole(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.namespaces = [namespace("web1", "10.0.0.5")]
    canned.coverage = query_pb2.Coverage(as_of_us=fleet.AS_OF_US, hosts_asked=1, hosts_stale=fleet.stale(180, "web1"))
    ran = fleetnet("who-talks-to", "web1")
    assert ran.status == 3
    assert ran.err == "the addresses of web1 are those of 2026-03-01 10:00:00 UTC\n"
    canned.coverage = query_pb2.Coverage(as_of_us=fleet.AS_OF_US, hosts_asked=1, hosts_fresh=1, gaps=1)
    ran = fleetnet("who-talks-to", "web1")
    assert ran.status == 3
    assert "may not be all" in ran.err


def test_who_talks_to_nobody_says_which_addresses_were_meant(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.namespaces = [namespace("web1", *(f"10.0.0.{n}" for n in range(1, 6)))]
    canned.sockets = []
    ran = fleetnet("who-talks-to", "web1")
    assert (ran.status, ran.err) == (1, "")
    assert ran.out == "nobody talks to web1 (10.0.0.1, 10.0.0.2, 10.0.0.3, +2): 4 hosts, all fresh\n"
    ran = fleetnet("who-talks-to", "10.0.0.9:443", "--tcp", "--since", "2026-01-01T00:00:00Z")
    assert ran.out.startswith("nobody began to talk to 10.0.0.9:443 since 2026-01-01 00:00:00 UTC by tcp: ")
    ran = fleetnet("who-talks-to", "::1:443")
    assert ran.out.startswith("nobody talks to ::1:443 (one address; for a port write [::1]:443): ")
    for plain in ("::1", "2001:db8::1", "[::1]:443", "10.0.0.9:443", "2001:db8::/32"):
        assert "for a port write" not in fleetnet("who-talks-to", plain).out

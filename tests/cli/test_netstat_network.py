"""Routes, interfaces and statistics where tests/system/test_netstat.py, which holds them to netstat(8) line for line,
does not come, and what is said of that which is not kept.
"""

import io
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_cli import wire_network
from fleetnet_cli.network import InterfaceItem, NextHop, Route
from fleetnet_cli.output.names import Numeric
from fleetnet_cli.output.netstat import interfaces, routes
from fleetnet_cli.output.terminal import Terminal
from fleetnet_proto.v1 import query_pb2
from hypothesis import given
from hypothesis import strategies as st

from cli import network

_numbers = st.integers(0, 2**32 - 1)
_addresses = st.sampled_from(["", "0.0.0.0", "10.0.0.1", "::", "2001:db8::1", "::1"])
_hostile_routes = st.builds(
    Route,
    family=st.sampled_from(["ipv4", "ipv6", "unknown"]),
    destination=_addresses,
    prefix_length=_numbers | st.integers(0, 128),
    table=_numbers | st.sampled_from([254, 255]),
    type=_numbers | st.integers(0, 12),
    protocol=_numbers,
    scope=_numbers,
    metric=_numbers,
    preferred_source=_addresses,
    next_hops=st.lists(st.builds(NextHop, _addresses, st.text(max_size=20), _numbers, _numbers), max_size=3).map(tuple),
    flags=_numbers | st.just(0),
    advmss=_numbers,
    rtt=_numbers,
)


@given(st.lists(_hostile_routes, max_size=6), st.integers(0, 3))
def test_whatever_a_host_says_a_route_is_one_line_and_no_failure(hostile: list[Route], extend: int) -> None:
    out = io.StringIO()
    found = routes.write_ipv4(hostile, Numeric(), extend, Terminal(out), heading=False)
    assert len(out.getvalue().split("\n")) == found + 1
    routes.write_ipv6(hostile, [], Numeric(), Terminal(out), heading=False)
    assert out.getvalue().replace("\n", "").isprintable()


@given(st.text(max_size=40), _numbers, _numbers)
def test_whatever_a_host_says_an_interface_is_one_line(name: str, flags: int, mtu: int) -> None:
    namespace = wire_network.namespace(network.namespaces()[0])
    one = replace(namespace.interfaces[0], name=name, flags=flags, mtu=mtu)
    assert interfaces.line(InterfaceItem(namespace, one)).isprintable()


def test_interfaces_stand_in_the_order_of_their_numbers(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    own = canned.namespaces[0].namespace
    for name in ("eth9", "eth11", "eth2"):
        own.interfaces.add(name=name, mtu=1500, flags=1)
    lines = fleetnet("netstat", "web1", "-ia").out.splitlines()[2:]
    assert [line.split()[0] for line in lines[:5]] == ["eth0", "eth2", "eth9", "eth10", "eth11"]


def test_only_what_is_needed_is_asked_for(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    for options, interfaces_left_out, routes_left_out in [("-r", False, False), ("-i", False, True)]:
        canned.asked.clear()
        fleetnet("netstat", "web1", options, "--limit", "1", "--max-age", "90s")
        assert canned.asked == [
            query_pb2.ListNamespacesRequest(
                selection=query_pb2.Selection(host="web1", max_age_ms=90_000),
                without_interfaces=interfaces_left_out,
                without_routes=routes_left_out,
            )
        ]


def test_a_limit_cuts_the_items_of_a_document_and_says_so(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    document = json.loads(fleetnet("netstat", "web1", "-r", "--limit", "2", "-o", "json").out)
    assert len(document["items"]) == 2
    assert document["coverage"]["truncated"] is True


def test_a_document_has_both_families_and_every_namespace_unless_told_otherwise(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    def asked(*options: str) -> set[tuple[str, str]]:
        items = json.loads(fleetnet("netstat", "web1", "-r", "-o", "json", *options).out)["items"]
        return {(i["netns"], i["family"]) for i in items}

    inside = str(network.INSIDE)
    assert asked() == {("host", "ipv4"), ("host", "ipv6"), (inside, "ipv4")}
    assert asked("-4", "--netns", "host") == {("host", "ipv4")}
    assert asked("--netns", inside) == {(inside, "ipv4")}


@pytest.mark.parametrize("options", ["-r", "-i", "-ia"])
@pytest.mark.parametrize("output", ["table", "json"])
def test_what_was_not_read_or_not_kept_is_status_3_and_said(
    options: str, output: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.namespaces[0].namespace.unread = True
    canned.namespaces[0].namespace.routes_left_out = 12345
    ran = fleetnet("netstat", "web1", options, "-o", output)
    assert ran.status == 3
    assert "could not be read lately" in ran.err
    assert "12345 more routes" in ran.err


def test_no_routes_are_a_heading_alone_and_status_1(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    del canned.namespaces[0].namespace.routes[:]
    ran = fleetnet("netstat", "web1", "-rn")
    assert (ran.status, len(ran.out.splitlines())) == (1, 2)
    assert "no such routes" in ran.err


def test_routes_of_the_past_are_an_answer_and_counters_are_not(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    assert fleetnet("netstat", "web1", "-rn", "--at", "10m ago").status == 0
    ran = fleetnet("netstat", "web1", "-i", "--at", "10m ago")
    assert ran.status == 3
    assert "counters are not kept" in ran.err
    assert fleetnet("netstat", "web1", "-i", "-o", "wide", "--at", "10m ago").status == 0
    assert canned.asked[-1].selection.at_us > 0  # type: ignore[union-attr]  # a question about namespaces


def test_statistics_are_sifted_by_protocol_and_family(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    def groups(*options: str) -> list[str]:
        out = fleetnet("netstat", "web1", "-s", *options).out
        return [line for line in out.splitlines() if not line.startswith(" ")]

    assert groups("-t") == ["Tcp:", "TcpExt:"]
    assert groups("-6") == ["Udp6:", "Tcp:"]
    assert groups("-4w") == ["Ip:"]
    assert groups("--netns", str(network.INSIDE)) == ["Tcp:"]
    # A document has both families, and of neither what was not asked for.
    items = json.loads(fleetnet("netstat", "web1", "-su", "-o", "json").out)["items"]
    assert {item["group"] for item in items} == {"Udp6"}

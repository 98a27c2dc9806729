"""Routes and next hops from the kernel's bytes."""

import contextlib
import struct
from dataclasses import replace
from ipaddress import ip_address

import pytest
from agent.network import messages
from agent.network.messages import NAMES, OBJECTS, ROUTES4, ROUTES6, attribute, number
from fleetnet_agent.network.routes import Hops, decode_object, decode_route, is_told
from fleetnet_agent.records import Family, NextHop, Route
from fleetnet_agent.sources.source import InconsistentError, MalformedError, SourceError
from hypothesis import given
from hypothesis import strategies as st


def packed(text: str) -> bytes:
    return ip_address(text).packed


def hops() -> Hops:
    return Hops(NAMES, lambda: dict(decode_object(body, NAMES) for body in OBJECTS))


def decoded(body: bytes) -> Route:
    return decode_route(body, hops())


def route4(destination: str, *next_hops: NextHop) -> Route:
    return Route(Family.IPV4, packed(destination), 16, 254, 1, 3, 0, 0, b"", next_hops)


def test_a_route_is_read_with_its_metrics_and_its_large_table() -> None:
    assert decoded(messages.METRICS) == Route(
        family=Family.IPV4,
        destination=packed("10.4.0.0"),
        prefix_length=16,
        table=1000,
        type=1,
        protocol=3,
        scope=0,
        metric=7,
        preferred_source=packed("10.1.0.1"),
        next_hops=(NextHop(packed("10.1.0.3"), "v0", 1, 0),),
        flags=0,
        tos=8,
        advmss=1300,
        window=5000,
        rtt=160,
        mtu=1400,
    )


def test_a_multipath_route_has_its_shares_in_order() -> None:
    assert decoded(messages.MULTIPATH4) == route4(
        "10.2.0.0", NextHop(packed("10.1.0.2"), "v0", 3, 0), NextHop(b"", "br0", 1, 0)
    )
    assert decoded(messages.MULTIPATH6).next_hops == (
        NextHop(packed("fd00::2"), "v0", 1, 0),
        NextHop(packed("fd00::3"), "v0", 2, 0),
    )


def test_a_route_that_leads_nowhere_has_no_next_hop_but_what_the_kernel_names() -> None:
    assert decoded(messages.BLACKHOLE4) == replace(route4("10.3.0.0"), type=6)
    unreachable = decoded(messages.UNREACHABLE6)
    assert (unreachable.type, unreachable.metric, unreachable.next_hops) == (7, 1024, (NextHop(b"", "lo", 1, 0),))


def test_an_ipv4_route_may_lead_over_ipv6() -> None:
    assert decoded(messages.VIA6) == route4("10.5.0.0", NextHop(packed("fe80::1"), "v0", 1, 0))


def test_flags_stand_on_the_route_and_on_its_one_hop() -> None:
    route = decoded(messages.ONLINK)
    assert (route.flags, route.next_hops) == (4, (NextHop(packed("1.2.3.4"), "v0", 1, 4),))


def test_a_default_route_has_a_destination_of_zeros() -> None:
    body = struct.pack("=BBBBBBBBI", 10, 0, 0, 0, 254, 3, 0, 1, 0) + number(4, 10)
    assert (decoded(body).destination, decoded(body).prefix_length) == (bytes(16), 0)


def test_next_hop_objects_are_looked_up_where_the_kernel_names_their_ids_alone() -> None:
    five, six = NextHop(packed("10.1.0.9"), "v0", 1, 0), NextHop(packed("fe80::9"), "v0", 1, 0)
    asked = hops()
    assert not asked.by_object
    assert decode_route(messages.BY_OBJECT, asked) == route4("10.9.0.0", five)
    assert decode_route(messages.BY_GROUP, asked) == route4("10.7.0.0", replace(five, weight=2), six)
    assert decode_route(messages.BY_BLACKHOLE, asked) == replace(route4("10.8.0.0"), type=6)
    assert asked.by_object


def test_the_objects_are_not_read_without_need() -> None:
    def refuse() -> dict[int, object]:
        raise AssertionError("nobody asked for one")

    for body in (messages.METRICS, messages.MULTIPATH4, messages.UNREACHABLE6):
        decode_route(body, Hops(NAMES, refuse))  # type: ignore[arg-type]  # never called


def test_what_is_not_listed_yet_makes_the_reading_inconsistent() -> None:
    with pytest.raises(InconsistentError, match="interface 10"):
        decode_route(messages.ONLINK, Hops({1: "lo"}, dict))
    with pytest.raises(InconsistentError, match="next hop 5"):
        decode_route(messages.BY_OBJECT, Hops(NAMES, dict))


def test_when_a_route_expires_is_not_looked_at() -> None:
    assert messages.EXPIRING6 != messages.EXPIRING6_LATER
    assert decoded(messages.EXPIRING6) == decoded(messages.EXPIRING6_LATER)


def test_the_local_table_copies_and_other_families_are_not_told() -> None:
    assert not is_told(messages.LOCAL4, 2)
    assert is_told(messages.BLACKHOLE4, 2)
    assert not is_told(messages.BLACKHOLE4, 10)  # a kernel without IPv6 answers with what it has
    copy = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 0, 0, 1, 0x200)
    assert not is_told(copy, 2)


def test_equal_next_hops_are_one_object() -> None:
    shared = hops()
    first, again = (decode_route(messages.MULTIPATH6, shared) for _ in range(2))
    assert first.next_hops is again.next_hops


def rtmsg(family: int = 2, prefix_length: int = 16) -> bytes:
    return struct.pack("=BBBBBBBBI", family, prefix_length, 0, 0, 254, 3, 0, 1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        rtmsg()[:11],
        rtmsg(family=28),
        rtmsg(prefix_length=33),
        rtmsg() + attribute(1, bytes(16)),
        rtmsg() + attribute(5, bytes(5)) + number(4, 10),
        rtmsg() + attribute(18, b"\x0a\0" + bytes(5)) + number(4, 10),
        rtmsg() + attribute(4, b"\1"),
        rtmsg() + attribute(8, struct.pack("=HHI", 3, 2, 1)),
        rtmsg() + attribute(9, struct.pack("=HBBI", 7, 0, 0, 10)),
        rtmsg() + attribute(9, struct.pack("=HBBI", 9, 0, 0, 10)),
    ],
)
def test_what_is_no_route_is_refused(wrong: bytes) -> None:
    with pytest.raises(MalformedError):
        decoded(wrong)


def test_a_group_of_broken_length_is_refused() -> None:
    with pytest.raises(MalformedError, match="12 bytes"):
        decode_object(bytes(8) + number(1, 7) + attribute(2, bytes(12)), NAMES)


@given(st.sampled_from([*ROUTES4, *ROUTES6, *OBJECTS]), st.data())
def test_no_damage_raises_anything_but_a_source_error(body: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body)))
    damaged = body[:at] + data.draw(st.binary(max_size=8)) + body[data.draw(st.integers(at, len(body))) :]
    with contextlib.suppress(SourceError):
        is_told(damaged, 2)
    with contextlib.suppress(SourceError):
        decoded(damaged)
    with contextlib.suppress(SourceError):
        decode_object(damaged, NAMES)

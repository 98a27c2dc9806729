"""Interfaces and addresses from the kernel's bytes."""

import contextlib
import struct

import pytest
from agent.network.messages import (
    ADDRESS4,
    ADDRESS6,
    ADDRESSES,
    LOOPBACK,
    PEER4,
    PEER6,
    VETH,
    attribute,
    link,
    number,
)
from fleetnet_agent.network.links import decode_address, decode_link
from fleetnet_agent.records import Interface, InterfaceAddress
from fleetnet_agent.sources.source import MalformedError, SourceError
from hypothesis import given
from hypothesis import strategies as st

V4 = bytes([10, 1, 0, 1])
V6 = bytes.fromhex("fd000000000000000000000000000001")


def test_an_interface_is_read_with_all_that_stays() -> None:
    assert decode_link(VETH) == Interface(
        index=11,
        name="v1",
        hardware_type=1,
        hardware_address=b"\x02\0\0\0\0\x11",
        mtu=1400,
        flags=0x11043,
        operstate=6,
        kind="veth",
        master=12,
        addresses=(),
    )


def test_an_interface_without_hardware_address_kind_or_master_has_none() -> None:
    tunnel = decode_link(link(3, b"tun0", number(4, 1500), hardware_type=65534))
    assert (tunnel.hardware_address, tunnel.kind, tunnel.master, tunnel.operstate) == (b"", "", 0, 0)


def test_counters_of_an_interface_are_not_looked_at() -> None:
    # IFLA_STATS64, IFLA_CARRIER_CHANGES
    assert decode_link(VETH + attribute(23, bytes(192)) + number(35, 7)) == decode_link(VETH)


def test_a_name_that_is_not_utf8_is_kept() -> None:
    assert decode_link(link(3, b"tun\xff")).name.encode("utf-8", "surrogateescape") == b"tun\xff"


@pytest.mark.parametrize(
    "wrong",
    [b"", VETH[:15], link(0, b"v1"), link(3, b""), link(3, b"v1", attribute(1, bytes(33))), link(3, b"v", b"\1\0\0\0")],
    ids=["nothing", "too short", "no index", "no name", "endless hardware address", "attribute without length"],
)
def test_what_is_no_interface_is_refused(wrong: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_link(wrong)


def test_addresses_of_both_families_are_read_with_the_other_end_of_a_link() -> None:
    assert [decode_address(body) for body in (LOOPBACK, ADDRESS4, PEER4, ADDRESS6, PEER6)] == [
        (1, InterfaceAddress(bytes([127, 0, 0, 1]), 8, b"", 254)),
        (10, InterfaceAddress(V4, 24)),
        (10, InterfaceAddress(bytes([10, 9, 0, 1]), 32, bytes([10, 9, 0, 2]))),
        (10, InterfaceAddress(V6, 64)),
        (
            10,
            InterfaceAddress(
                bytes.fromhex("fd000009000000000000000000000001"),
                128,
                bytes.fromhex("fd000009000000000000000000000002"),
            ),
        ),
    ]


def test_the_lifetime_of_an_address_is_not_looked_at() -> None:
    aged = ADDRESS6.replace(bytes.fromhex("877c1400877c1400"), bytes.fromhex("877c1400997c1400"))
    assert aged != ADDRESS6
    assert decode_address(aged) == decode_address(ADDRESS6)


def test_an_address_of_another_family_is_left_out() -> None:
    assert decode_address(struct.pack("=BBBBI", 28, 20, 0, 0, 3)) is None  # AF_MPLS


@pytest.mark.parametrize(
    "wrong",
    [
        ADDRESS4[:7],
        ADDRESS4[:8],
        struct.pack("=BBBBI", 2, 33, 0, 0, 3) + attribute(2, V4),
        struct.pack("=BBBBI", 2, 24, 0, 0, 3) + attribute(2, V6),
        struct.pack("=BBBBI", 10, 24, 0, 0, 3) + attribute(1, V4),
    ],
    ids=["too short", "no address", "prefix too long", "six in four", "four in six"],
)
def test_what_is_no_address_is_refused(wrong: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_address(wrong)


@given(st.sampled_from([VETH, *ADDRESSES]), st.data())
def test_no_damage_raises_anything_but_a_source_error(body: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body)))
    damaged = body[:at] + data.draw(st.binary(max_size=8)) + body[data.draw(st.integers(at, len(body))) :]
    for decode in (decode_link, decode_address):
        with contextlib.suppress(SourceError):
            decode(damaged)

"""Nets are ranges of bytes, of each length that an address is kept in."""

import itertools
from ipaddress import ip_address, ip_network

import pytest
from fleetnet_server.records import Net
from fleetnet_server.storage.nets import has_ipv4, has_ipv6, merged, ranges
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("net", "meant"),
    [
        ("10.1.2.3/32", [("10.1.2.3", "10.1.2.3"), ("::ffff:10.1.2.3", "::ffff:10.1.2.3")]),
        ("10.1.2.3/24", [("10.1.2.0", "10.1.2.255"), ("::ffff:10.1.2.0", "::ffff:10.1.2.255")]),
        ("::ffff:10.1.2.3/128", [("10.1.2.3", "10.1.2.3"), ("::ffff:10.1.2.3", "::ffff:10.1.2.3")]),
        ("0.0.0.0/0", [("0.0.0.0", "255.255.255.255"), ("::ffff:0.0.0.0", "::ffff:255.255.255.255")]),
        ("::/0", [("0.0.0.0", "255.255.255.255"), ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]),
        ("fe80::1/10", [("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]),
        ("2001:db8::1/128", [("2001:db8::1", "2001:db8::1")]),
    ],
)
def test_a_net_is_a_range_of_each_form_that_its_addresses_have(net: str, meant: list[tuple[str, str]]) -> None:
    address, bits = net.split("/")
    found = ranges(Net(ip_address(address).packed, int(bits)))
    assert [tuple(map(ip_address, ends)) for ends in found] == [tuple(map(ip_address, ends)) for ends in meant]


@given(st.binary(min_size=4, max_size=4), st.integers(0, 32), st.binary(min_size=4, max_size=4))
def test_an_ipv4_address_is_in_a_net_whichever_of_both_forms_either_has(net: bytes, bits: int, address: bytes) -> None:
    mapped = bytes(10) + b"\xff\xff"
    meant = ip_address(address) in ip_network((net, bits), strict=False)
    for asked in (Net(net, bits), Net(mapped + net, 96 + bits)):
        for form in (address, mapped + address):
            within = [low <= form <= high for low, high in ranges(asked) if len(low) == len(form)]
            assert within == [meant]


NETS = st.builds(
    lambda address, bits: Net(address, min(bits, len(address) * 8)),
    st.binary(min_size=4, max_size=4)
    | st.binary(min_size=16, max_size=16)
    | st.binary(min_size=4, max_size=4).map(lambda address: bytes(10) + b"\xff\xff" + address),
    st.integers(0, 128),
)


@given(st.lists(NETS, max_size=8))
def test_the_ranges_of_several_nets_have_each_of_their_addresses_once(nets: list[Net]) -> None:
    found = merged(nets)
    for one in nets:
        for end in (end for both in ranges(one) for end in both):
            assert sum(low <= end <= high for low, high in found if len(low) == len(end)) == 1
    ends = {each for one in nets for each in ranges(one)}
    assert {low for low, _ in found} <= {low for low, _ in ends}
    assert {high for _, high in found} <= {high for _, high in ends}
    # None begins before the one before it has ended.
    assert all(a[1] < b[0] for a, b in itertools.pairwise(found) if len(a[1]) == len(b[0]))


@pytest.mark.parametrize(
    ("net", "ipv4", "ipv6"),
    [
        ("10.0.0.0/8", True, False),
        ("0.0.0.0/0", True, False),
        ("::ffff:0.0.0.0/96", True, False),
        ("::ffff:0.0.0.0/95", True, True),
        ("::/0", True, True),
        ("::1/128", False, True),
        ("2001:db8::/32", False, True),
    ],
)
def test_a_net_has_addresses_of_one_family_or_of_both(net: str, ipv4: bool, ipv6: bool) -> None:
    address, bits = net.split("/")
    asked = Net(ip_address(address).packed, int(bits))
    assert (has_ipv4(asked), has_ipv6(asked)) == (ipv4, ipv6)

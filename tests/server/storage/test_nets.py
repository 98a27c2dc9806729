"""Nets are ranges of bytes, of each length that an address is kept in."""

from ipaddress import ip_address, ip_network

import pytest
from fleetnet_server.records import Net
from fleetnet_server.storage.nets import ranges
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

"""How far an address reaches, and what that says about exposure."""

from ipaddress import ip_address

import pytest
from fleetnet_server.services.scopes import Exposure, Scope, exposure, scope


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("0.0.0.0", Scope.ANY),
        ("::", Scope.ANY),
        ("::ffff:0.0.0.0", Scope.ANY),
        ("127.0.0.1", Scope.LOOPBACK),
        ("127.0.0.53", Scope.LOOPBACK),
        ("::1", Scope.LOOPBACK),
        ("::ffff:127.0.0.1", Scope.LOOPBACK),
        ("169.254.1.1", Scope.LINK_LOCAL),
        ("fe80::1", Scope.LINK_LOCAL),
        ("10.0.0.1", Scope.PRIVATE),
        ("172.16.0.1", Scope.PRIVATE),
        ("172.31.255.255", Scope.PRIVATE),
        ("172.32.0.1", Scope.PUBLIC),
        ("192.168.1.1", Scope.PRIVATE),
        ("::ffff:192.168.1.1", Scope.PRIVATE),
        ("100.64.0.1", Scope.PRIVATE),
        ("100.128.0.1", Scope.PUBLIC),
        ("fd00::1", Scope.PRIVATE),
        ("fc00::1", Scope.PRIVATE),
        ("198.18.0.1", Scope.PUBLIC),
        ("203.0.113.5", Scope.PUBLIC),
        ("8.8.8.8", Scope.PUBLIC),
        ("2606:4700::1", Scope.PUBLIC),
        ("::ffff:8.8.8.8", Scope.PUBLIC),
    ],
)
def test_an_address_has_the_scope_of_its_network(address: str, expected: Scope) -> None:
    assert scope(ip_address(address).packed) is expected


def test_only_loopback_of_the_hosts_own_namespace_is_certainly_not_exposed() -> None:
    assert exposure(0, Scope.LOOPBACK) is Exposure.NO
    assert {exposure(0, s) for s in (Scope.LINK_LOCAL, Scope.PRIVATE, Scope.PUBLIC, Scope.ANY)} == {Exposure.YES}


def test_what_is_bound_to_the_loopback_interface_is_not_exposed_whatever_its_address() -> None:
    assert {exposure(0, s, "lo") for s in Scope if s is not Scope.NOT_A_LISTENER} == {Exposure.NO}
    assert exposure(0, Scope.ANY, "eth0") is Exposure.YES
    assert exposure(4026532001, Scope.ANY, "lo") is Exposure.UNKNOWN


def test_what_leads_into_another_namespace_is_unknown() -> None:
    assert {exposure(4026532001, s) for s in Scope if s is not Scope.NOT_A_LISTENER} == {Exposure.UNKNOWN}


def test_what_is_no_listener_has_no_exposure() -> None:
    assert exposure(0, Scope.NOT_A_LISTENER) is Exposure.NOT_A_LISTENER
    assert exposure(4026532001, Scope.NOT_A_LISTENER) is Exposure.NOT_A_LISTENER

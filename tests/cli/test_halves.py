"""What two halves have in common, and where they wait for each other."""

import pytest
from fleetnet_cli.edges import halves
from fleetnet_cli.edges.connections import Connection, of_key, packed, text, turned
from fleetnet_cli.edges.halves import Half, Halves
from fleetnet_cli.errors import OutputFailed
from hypothesis import given
from hypothesis import strategies as st

_addresses = st.ip_addresses().map(lambda ip: packed(str(ip)))
_ports = st.integers(0, 0xFFFF)
_connections = st.builds(Connection, st.sampled_from(["tcp", "udp"]), _addresses, _ports, _addresses, _ports)


@given(_connections)
def test_both_halves_have_one_key_and_it_tells_the_connection(one: Connection) -> None:
    key, side = one.key(3, 1)
    other_key, other_side = turned(one).key(3, 1)
    assert key == other_key
    assert turned(turned(one)) == one
    found = of_key(key)
    assert (turned(found) if side else found) == one
    assert side != other_side or turned(one) == one


@given(_connections, _connections)
def test_different_connections_have_different_keys(one: Connection, other: Connection) -> None:
    assert (one.key(3, 1)[0] == other.key(3, 1)[0]) == (other in (one, turned(one)))


@given(st.ip_addresses())
def test_an_address_reads_back_as_it_was(address: object) -> None:
    assert packed(text(packed(str(address)))) == packed(str(address))


def test_halves_come_back_together_however_many_there_are() -> None:
    keys = [number.to_bytes(4) for number in range(2_500)]
    with Halves() as kept:
        for side in (1, 0):
            for key in reversed(keys):
                kept.add(key, Half(side, side, 7, asked=False))
                kept.add(key, Half(side, side, 7, asked=True))  # the same place once more
        found = list(kept.together())
    assert found == [(key, [Half(0, 0, 7, True), Half(1, 1, 7, True)]) for key in keys]


def test_where_there_is_no_room_to_set_halves_aside_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with Halves() as kept:
        kept.add(b"key", Half(0, 0, 0, asked=True))
        monkeypatch.setattr(halves, "_TOGETHER", "SELECT * FROM nothing")
        with pytest.raises(OutputFailed, match="make room for temporary files"):
            list(kept.together())

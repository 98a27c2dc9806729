"""How interfaces and routes are kept: what is encoded can be read again, and routes stay in their order."""

from fleetnet_server.network import InterfaceAddress, NextHop
from fleetnet_server.storage import interfaces, routes
from hypothesis import given
from hypothesis import strategies as st

BYTE = st.integers(0, 255)
NUMBER = st.integers(0, 2**32 - 1)
ADDRESS = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
ADDRESSES = st.builds(InterfaceAddress, ADDRESS, BYTE, ADDRESS | st.just(b""), BYTE)
HOPS = st.builds(NextHop, ADDRESS | st.just(b""), st.text(max_size=32), NUMBER, NUMBER)


@given(st.lists(ADDRESSES, max_size=5).map(tuple))
def test_addresses_of_an_interface_come_back_as_they_were(told: tuple[InterfaceAddress, ...]) -> None:
    assert interfaces.decode(interfaces.encode(told)) == told


@given(st.lists(HOPS, max_size=5).map(tuple))
def test_next_hops_of_a_route_come_back_as_they_were(told: tuple[NextHop, ...]) -> None:
    assert routes.decode(routes.encode(told)) == told


@given(st.lists(st.lists(st.integers(1, 12), unique=True), max_size=8))
def test_ranks_put_routes_in_their_order_whatever_came_and_went(orders: list[list[int]]) -> None:
    kept: dict[int, int] = {}
    for order in orders:
        kept = routes.ranks(order, kept)
        assert sorted(kept, key=kept.__getitem__) == order
        assert len(set(kept.values())) == len(order)


def test_a_route_keeps_its_rank_while_others_come_and_go_and_moves_only_where_there_is_no_room() -> None:
    kept = routes.ranks([1, 2, 3], {})
    after = routes.ranks([9, 1, 8, 3, 7], kept)
    assert {i: after[i] for i in (1, 3)} == {i: kept[i] for i in (1, 3)}
    assert routes.ranks([1, 5, 2], {1: 10, 2: 11}) != {1: 10, 2: 11}
    farthest = routes.ranks([5, 1], {1: -(2**62) + 1})
    assert all(abs(rank) < 2**62 for rank in farthest.values())

"""The interfaces and routes of a namespace, from real and from scripted tables."""

import errno
from contextlib import closing
from dataclasses import replace

import pytest
from agent.network.scripted_rtnetlink import ScriptedNamespace, address, interface, route4, route6
from fleetnet_agent.network import facts
from fleetnet_agent.network.dump import open_own
from fleetnet_agent.network.facts import Interfaces, Memory, Reading, Routes
from fleetnet_agent.network.rtnetlink import RTM_GETADDR, RTM_GETLINK, RTM_GETROUTE
from fleetnet_agent.records import Family, Route
from fleetnet_agent.sources.source import InconsistentError, SourceError


@pytest.fixture
def namespace() -> ScriptedNamespace:
    return ScriptedNamespace()


@pytest.fixture
def memory() -> Memory:
    return Memory()


def read(namespace: ScriptedNamespace, memory: Memory) -> Reading:
    with closing(namespace.opens()) as route:
        return facts.read(route, memory)


def whole(reading: Reading) -> tuple[Interfaces, Routes]:
    assert isinstance(reading.interfaces, Interfaces), reading
    assert isinstance(reading.routes, Routes), reading
    return reading.interfaces, reading.routes


def numbers(routes: tuple[Route, ...]) -> list[tuple[int, int]]:
    at = {Family.IPV4: 1, Family.IPV6: 2}
    return [(r.family, int.from_bytes(r.destination[at[r.family] : at[r.family] + 2], "big")) for r in routes]


def test_this_machines_loopback_is_found_with_its_address_and_without_a_driver() -> None:
    with closing(open_own()) as route:
        interfaces, routes = whole(facts.read(route, Memory()))
    lo = interfaces.all[0]
    assert (lo.index, lo.name, lo.hardware_type, lo.driver, lo.link) == (1, "lo", 772, "", None)
    assert (bytes([127, 0, 0, 1]), 8) in {(one.address, one.prefix_length) for one in lo.addresses}
    assert all(one.table != 255 for one in routes.all)


def test_interfaces_come_by_index_with_their_addresses_and_routes_in_the_kernels_order(
    namespace: ScriptedNamespace, memory: Memory
) -> None:
    namespace.links.reverse()
    namespace.addresses = [address(2, 9), address(1, 5), address(2, 1)]
    namespace.routes4 = [route4(9), route4(1, table=255), route4(3)]
    interfaces, routes = whole(read(namespace, memory))
    assert [(one.index, one.mtu) for one in interfaces.all] == [(1, 65536), (2, 1500)]
    assert [[a.address[3] for a in one.addresses] for one in interfaces.all] == [[5], [9, 1]]
    assert numbers(routes.all) == [(4, 9), (4, 3), (6, 1)]
    assert (interfaces.left_out, routes.left_out) == (0, 0)
    assert interfaces.names == {1: "scripted1", 2: "scripted2"}


def test_what_did_not_change_is_the_same_object_the_next_time(namespace: ScriptedNamespace, memory: Memory) -> None:
    first, first_routes = whole(read(namespace, memory))
    namespace.links.append(interface(3))
    namespace.addresses.append(address(1, 7))
    namespace.routes4[0] = route4(7)
    second, second_routes = whole(read(namespace, memory))
    assert second.all[1] is first.all[1]
    assert second.all[0] == replace(first.all[0], addresses=second.all[0].addresses) != first.all[0]
    assert numbers(second_routes.all) == [(4, 7), (4, 2), (6, 1)]
    third, third_routes = whole(read(namespace, memory))
    assert all(a is b for a, b in zip(third.all, second.all, strict=True))
    # An interface more made all routes be read anew: it might have been one of theirs.
    assert all(a is b for a, b in zip(third_routes.all, second_routes.all, strict=True))
    assert first_routes.all[1] == second_routes.all[1]


def test_a_route_follows_the_new_name_of_its_interface(namespace: ScriptedNamespace, memory: Memory) -> None:
    read(namespace, memory)
    namespace.links[1] = interface(2, name="renamed0")
    _, routes = whole(read(namespace, memory))
    assert {hop.interface for one in routes.all for hop in one.next_hops} == {"renamed0"}


def test_a_table_that_changes_while_it_is_read_is_read_again(namespace: ScriptedNamespace, memory: Memory) -> None:
    namespace.spoiled = facts.READ_AT_MOST - 1
    namespace.links += [interface(index) for index in range(3, 200)]  # several parts to each dump
    assert len(whole(read(namespace, memory))[0].all) == 199
    assert namespace.readings == facts.READ_AT_MOST


def test_a_table_that_changes_all_the_time_is_not_read(namespace: ScriptedNamespace, memory: Memory) -> None:
    namespace.spoiled = 1_000
    reading = read(namespace, memory)
    assert isinstance(reading.interfaces, InconsistentError)
    assert isinstance(reading.routes, InconsistentError)
    assert namespace.readings == facts.READ_AT_MOST


def test_a_route_over_an_interface_that_came_meanwhile_makes_all_be_read_again(
    namespace: ScriptedNamespace, memory: Memory
) -> None:
    namespace.routes4.append(route4(3, index=3))

    def appear() -> None:
        if namespace.asked[-1] == RTM_GETROUTE and len(namespace.links) == 2:
            namespace.links.append(interface(3))

    namespace.takes = appear
    interfaces, routes = whole(read(namespace, memory))
    assert namespace.readings == 2
    assert len(interfaces.all) == 3
    assert [one.next_hops[0].interface for one in routes.all][2] == "scripted3"


@pytest.mark.parametrize("asked", [RTM_GETLINK, RTM_GETADDR])
def test_without_interfaces_there_are_no_routes_either(
    namespace: ScriptedNamespace, memory: Memory, asked: int
) -> None:
    namespace.fails[asked] = errno.ENOMEM
    reading = read(namespace, memory)
    assert isinstance(reading.interfaces, SourceError)
    assert isinstance(reading.routes, SourceError)


def test_without_routes_there_are_interfaces(namespace: ScriptedNamespace, memory: Memory) -> None:
    namespace.fails[RTM_GETROUTE] = errno.EPERM
    reading = read(namespace, memory)
    assert isinstance(reading.interfaces, Interfaces)
    assert isinstance(reading.routes, SourceError)


def test_a_full_table_is_cut_and_what_is_left_out_counted(namespace: ScriptedNamespace, memory: Memory) -> None:
    namespace.routes4 = [route4(n) for n in range(facts.ROUTES_MOST + 10)]
    namespace.routes6 = [route6(n) for n in range(7)]
    _, routes = whole(read(namespace, memory))
    assert numbers(routes.all) == [(4, n) for n in range(facts.ROUTES_MOST - 7)] + [(6, n) for n in range(7)]
    assert routes.left_out == 17


def test_of_two_full_tables_each_has_half(namespace: ScriptedNamespace, memory: Memory) -> None:
    half = facts.ROUTES_MOST // 2
    namespace.routes4 = [route4(n) for n in range(facts.ROUTES_MOST + 1)]
    namespace.routes6 = [route6(n) for n in range(half + 2)]
    _, routes = whole(read(namespace, memory))
    assert numbers(routes.all) == [(4, n) for n in range(half)] + [(6, n) for n in range(half)]
    assert routes.left_out == half + 1 + 2


def test_a_route_that_a_dump_shows_twice_is_there_once(namespace: ScriptedNamespace, memory: Memory) -> None:
    namespace.routes4 = [route4(1), route4(2), route4(1)]
    _, routes = whole(read(namespace, memory))
    assert (numbers(routes.all), routes.left_out) == ([(4, 1), (4, 2), (6, 1)], 0)


MANY6 = [route6(n) for n in range(120)]  # several pieces to each dump


def test_a_known_ipv6_route_that_a_dump_lacks_is_looked_for_again(namespace: ScriptedNamespace, memory: Memory) -> None:
    namespace.routes6 = list(MANY6)
    _, before = whole(read(namespace, memory))
    namespace.missed6 = [{MANY6[60], MANY6[7]}, {MANY6[60], MANY6[8]}, {MANY6[60]}]
    _, after = whole(read(namespace, memory))
    assert set(after.all) == set(before.all)
    assert (len(after.all), after.left_out) == (len(before.all), 0)
    assert namespace.missed6 == []
    _, later = whole(read(namespace, memory))
    assert later.all == before.all


def test_an_ipv6_route_that_all_dumps_lack_is_gone_and_one_that_is_new_is_there(
    namespace: ScriptedNamespace, memory: Memory
) -> None:
    namespace.routes6 = list(MANY6)
    read(namespace, memory)
    namespace.routes6 = [*MANY6[1:], route6(200)]
    namespace.asked.clear()
    _, routes = whole(read(namespace, memory))
    assert numbers(routes.all)[2:] == [(6, n) for n in range(1, 120)] + [(6, 200)]
    assert namespace.asked.count(RTM_GETROUTE) == 1 + facts.CONFIRMED_BY


def test_a_dump_in_one_piece_is_believed_at_once(namespace: ScriptedNamespace, memory: Memory) -> None:
    namespace.routes6 = [route6(1), route6(2)]
    read(namespace, memory)
    namespace.routes6 = [route6(2)]
    namespace.asked.clear()
    _, routes = whole(read(namespace, memory))
    assert numbers(routes.all) == [(4, 1), (4, 2), (6, 2)]
    assert namespace.asked.count(RTM_GETROUTE) == 2


def test_too_many_interfaces_are_cut_and_their_routes_keep_their_names(
    namespace: ScriptedNamespace, memory: Memory
) -> None:
    most = facts.INTERFACES_MOST
    namespace.links = [interface(index) for index in range(1, most + 4)]
    namespace.routes4 = [route4(1, index=most + 3)]
    interfaces, routes = whole(read(namespace, memory))
    assert (len(interfaces.all), interfaces.left_out) == (most, 3)
    assert routes.all[0].next_hops[0].interface == f"scripted{most + 3}"


def test_a_kernel_without_ipv6_answers_with_what_it_has_and_that_counts_once(
    namespace: ScriptedNamespace, memory: Memory
) -> None:
    namespace.routes6 = namespace.routes4
    _, routes = whole(read(namespace, memory))
    assert numbers(routes.all) == [(4, 1), (4, 2)]

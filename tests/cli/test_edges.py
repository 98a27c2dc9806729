"""Halves of connections put together to edges: what is joined, what follows from addresses, and what is left open."""

import itertools

import pytest
from cli.scene import Scene
from fleetnet_cli.edges.wanted import Wanted
from fleetnet_cli.records import PortRange


@pytest.fixture
def scene() -> Scene:
    """web1 and db1, where postgres listens."""
    made = Scene()
    made.place("web1", "10.0.0.1", "2001:db8::1", "fe80::1")
    made.place("db1", "10.0.0.5", "2001:db8::5", "fe80::5")
    made.listens("db1", "0.0.0.0:5432", "postgres")
    return made


def test_two_halves_are_one_connection_from_program_to_program(scene: Scene) -> None:
    for port in (40000, 40001, 40002):
        scene.both("web1", f"10.0.0.1:{port}", "app", "db1", "10.0.0.5:5432", "postgres")
    assert scene.drawn() == ["web1 app > db1 postgres tcp/5432 both-ends listener 3"]


def test_an_ipv4_address_and_its_mapped_form_are_the_same(scene: Scene) -> None:
    scene.talks("web1", "[::ffff:10.0.0.1]:40000", "[::ffff:10.0.0.5]:5432", "app")
    scene.talks("db1", "10.0.0.5:5432", "10.0.0.1:40000", "postgres")
    assert scene.drawn() == ["web1 app > db1 postgres tcp/5432 both-ends listener 1"]


def test_a_half_alone_leads_to_who_listens_at_the_address(scene: Scene) -> None:
    scene.talks("web1", "10.0.0.1:40000", "10.0.0.5:5432", "app")
    assert scene.drawn() == ["web1 app > db1 postgres tcp/5432 one-end listener 1"]


def test_where_nobody_listens_the_host_is_named_and_no_program(scene: Scene) -> None:
    scene.talks("web1", "10.0.0.1:40000", "10.0.0.5:5433", "app")
    assert scene.drawn() == ["web1 app > db1 no-listener tcp/5433 one-end ports 1"]


def test_who_came_without_a_socket_that_fits_is_a_host_and_no_program(scene: Scene) -> None:
    scene.talks("db1", "10.0.0.5:5432", "10.0.0.1:40000", "postgres")
    assert scene.drawn() == ["web1 no-socket > db1 postgres tcp/5432 one-end listener 1"]


def test_what_no_host_has_is_outside_and_who_comes_from_there_is_one(scene: Scene) -> None:
    scene.talks("db1", "10.0.0.5:5432", "203.0.113.7:40000", "postgres")
    scene.talks("db1", "10.0.0.5:5432", "203.0.113.8:40000", "postgres")
    scene.talks("db1", "10.0.0.5:40000", "203.0.113.9:443", "postgres")
    to_outside = "db1 postgres > 203.0.113.9 tcp/443 outside ports 1"
    assert scene.drawn() == [to_outside, "outside > db1 postgres tcp/5432 outside listener 2"]
    assert scene.drawn(Wanted(external="none")) == []
    assert scene.drawn(Wanted(external="each")) == [
        to_outside,
        "203.0.113.7 > db1 postgres tcp/5432 outside listener 1",
        "203.0.113.8 > db1 postgres tcp/5432 outside listener 1",
    ]


def test_loopback_stays_within_its_namespace(scene: Scene) -> None:
    for place in ("web1", "db1", "db1/blue"):
        scene.both(place, "127.0.0.1:40000", "app", place, "127.0.0.1:6379", "redis")
        scene.listens(place, "127.0.0.1:6379", "redis")
    scene.talks("web1", "127.0.0.1:40001", "127.0.0.1:5432", "app")
    assert scene.drawn() == [
        "db1 app > db1 redis tcp/6379 both-ends listener 1",
        "db1/blue app > db1/blue redis tcp/6379 both-ends listener 1",
        "web1 app > web1 redis tcp/6379 both-ends listener 1",
        "web1 app > web1 no-listener tcp/5432 one-end ports 1",
    ]


def test_an_own_address_is_ones_own_whoever_else_has_it(scene: Scene) -> None:
    scene.place("evil", "10.0.0.5")
    scene.both("db1", "10.0.0.5:40000", "cron", "db1", "10.0.0.5:5432", "postgres")
    scene.talks("db1", "10.0.0.5:40001", "10.0.0.5:5432", "cron")
    assert scene.drawn() == [
        "db1 cron > db1 postgres tcp/5432 both-ends listener 1",
        "db1 cron > db1 postgres tcp/5432 one-end listener 1",
    ]


def test_an_address_that_two_have_is_one_of_them_and_no_guess(scene: Scene) -> None:
    scene.place("evil", "10.0.0.5")
    scene.listens("evil", "0.0.0.0:5432", "sniffer")
    scene.talks("web1", "10.0.0.1:40000", "10.0.0.5:5432", "app")
    assert scene.drawn() == ["web1 app > 10.0.0.5 db1/host|evil/host shared-address tcp/5432 one-end ports 1"]


def test_a_claim_to_an_address_does_not_part_halves_that_were_both_seen(scene: Scene) -> None:
    scene.place("evil", "10.0.0.5", "10.0.0.1")
    scene.both("web1", "10.0.0.1:40000", "app", "db1", "10.0.0.5:5432", "postgres")
    assert scene.drawn() == ["web1 app > db1 postgres tcp/5432 both-ends listener 1"]


def test_a_third_half_that_fits_leaves_open_which_it_is(scene: Scene) -> None:
    scene.place("evil", "10.0.0.5")
    scene.both("web1", "10.0.0.1:40000", "app", "db1", "10.0.0.5:5432", "postgres")
    scene.talks("evil", "10.0.0.5:5432", "10.0.0.1:40000", "forger")
    assert scene.drawn() == [
        "web1 app > 10.0.0.5 db1/host|evil/host several-sockets tcp/5432 one-end ports 1",
        "web1 several-sockets > db1 postgres tcp/5432 one-end listener 1",
        "web1 several-sockets > evil forger tcp/5432 one-end ports 1",
    ]


def test_bridges_with_one_address_on_many_hosts_are_each_hosts_own(scene: Scene) -> None:
    for host in ("web1", "db1"):
        scene.place(host, bridge="172.17.0.1")
        scene.place(f"{host}/box", "172.17.0.2")
        scene.listens(host, "0.0.0.0:53", "dnsmasq")
        scene.both(f"{host}/box", "172.17.0.2:40000", "app", host, "172.17.0.1:53", "dnsmasq")
    scene.talks("web1/box", "172.17.0.2:40001", "172.17.0.1:53", "app")
    assert scene.drawn() == [
        "db1/box app > db1 dnsmasq tcp/53 both-ends listener 1",
        "web1/box app > web1 dnsmasq tcp/53 both-ends listener 1",
        "web1/box app > 172.17.0.1 db1/host|web1/host shared-bridge tcp/53 one-end ports 1",
    ]


def test_of_many_that_have_an_address_a_few_are_named_and_all_are_counted(scene: Scene) -> None:
    for number in range(100):
        scene.place(f"node{number:03}", "192.168.0.9")
    scene.talks("web1", "10.0.0.1:40000", "192.168.0.9:80", "app")
    [edge] = scene.edges()
    assert [place.host for place in edge.server.one_of] == [f"node{number:03}" for number in range(10)]
    assert edge.server.may_be == 100


def test_of_a_host_is_what_may_lead_to_it_but_not_what_leads_to_a_bridge_that_all_have(scene: Scene) -> None:
    for number in range(20):
        scene.place(f"node{number:02}", "192.168.0.9", bridge="172.17.0.1")
    scene.talks("web1", "10.0.0.1:40000", "192.168.0.9:80", "app")
    scene.talks("web1", "10.0.0.1:40000", "172.17.0.1:80", "app")
    last = Wanted(hosts=frozenset({"node19"}))
    assert [edge.server.address for edge in scene.edges(last, asked=False)] == ["192.168.0.9"]
    assert scene.edges(Wanted(hosts=frozenset({"db1"})), asked=False) == []


def test_halves_on_two_hosts_that_both_have_the_addresses_are_not_joined(scene: Scene) -> None:
    for host in ("web1", "db1"):
        scene.place(host, bridge="172.17.0.1")
        scene.place(f"{host}/box", "172.17.0.2")
    scene.talks("web1/box", "172.17.0.2:40000", "172.17.0.1:53", "app")
    scene.talks("db1", "172.17.0.1:53", "172.17.0.2:40000", "dnsmasq")
    assert all("one-end" in line for line in scene.drawn())


def test_link_local_addresses_join_nobody_across_hosts(scene: Scene) -> None:
    scene.both("web1", "[fe80::1]:40000", "app", "db1", "[fe80::5]:5432", "postgres")
    scene.both("web1", "169.254.0.1:40000", "app", "db1", "169.254.0.2:5432", "postgres")
    assert scene.drawn() == [
        "web1 app > 169.254.0.2 link-local tcp/5432 one-end ports 1",
        "web1 app > fe80::5 link-local tcp/5432 one-end ports 1",
        "169.254.0.1 link-local > db1 postgres tcp/5432 one-end listener 1",
        "fe80::1 link-local > db1 postgres tcp/5432 one-end ports 1",
    ]


def test_on_one_host_they_do(scene: Scene) -> None:
    scene.both("web1/box", "169.254.0.1:40000", "app", "web1", "169.254.0.2:80", "nginx")
    assert scene.drawn() == ["web1/box app > web1 nginx tcp/80 both-ends ports 1"]


def test_translated_connections_are_one_end_on_each_side(scene: Scene) -> None:
    scene.place("web1/box", "172.18.0.2")
    scene.listens("web1/box", "0.0.0.0:80", "nginx")
    # Masqueraded on the way out: db1 sees web1.
    scene.talks("web1/box", "172.18.0.2:40000", "10.0.0.5:5432", "app")
    scene.talks("db1", "10.0.0.5:5432", "10.0.0.1:40000", "postgres")
    # A published port on the way in: db1 asked web1, and what it got was the container.
    scene.talks("db1", "10.0.0.5:41000", "10.0.0.1:8080", "cron")
    scene.talks("web1/box", "172.18.0.2:80", "10.0.0.5:41000", "nginx")
    assert scene.drawn() == [
        "db1 cron > web1 no-listener tcp/8080 one-end ports 1",
        "db1 no-socket > web1/box nginx tcp/80 one-end listener 1",
        "web1 no-socket > db1 postgres tcp/5432 one-end listener 1",
        "web1/box app > db1 postgres tcp/5432 one-end listener 1",
    ]


def test_through_a_namespace_boundary_the_client_is_the_container(scene: Scene) -> None:
    scene.place("web1/box", "172.18.0.2")
    scene.both("web1/box", "172.18.0.2:40000", "app", "db1", "10.0.0.5:5432", "postgres")
    assert scene.drawn() == ["web1/box app > db1 postgres tcp/5432 both-ends listener 1"]


def test_which_end_serves_is_who_listens_whatever_the_ports_are(scene: Scene) -> None:
    scene.listens("db1", "10.0.0.5:50000", "erlang")
    scene.both("web1", "10.0.0.1:1023", "app", "db1", "10.0.0.5:50000", "erlang")
    assert scene.drawn() == ["web1 app > db1 erlang tcp/50000 both-ends listener 1"]


def test_where_neither_or_both_listen_the_ports_tell_and_where_they_do_not_nothing_does(scene: Scene) -> None:
    scene.both("web1", "10.0.0.1:40000", "app", "db1", "10.0.0.5:8080", "old")  # its listener is closed
    scene.both("web1", "10.0.0.1:40001", "peer", "db1", "10.0.0.5:40002", "peer")
    scene.both("web1", "10.0.0.1:40004", "peer", "db1", "10.0.0.5:40003", "peer")
    scene.listens("web1", "0.0.0.0:7946", "gossip")
    scene.listens("db1", "0.0.0.0:7946", "gossip")
    scene.both("web1", "10.0.0.1:7946", "gossip", "db1", "10.0.0.5:7946", "gossip")
    assert scene.drawn() == [
        "web1 app > db1 old tcp/8080 both-ends ports 1",
        "web1 gossip > db1 gossip tcp/7946 both-ends unknown 1",
        "web1 peer > db1 peer tcp/0 both-ends unknown 2",
    ]


def test_a_listener_of_ipv6_takes_ipv4_unless_it_keeps_to_its_own(scene: Scene) -> None:
    scene.listens("db1", "[::]:80", "dual", v6only=False)
    scene.listens("db1", "[::]:81", "six", v6only=True)
    for port in (80, 81):
        scene.talks("web1", f"10.0.0.1:4000{port - 80}", f"10.0.0.5:{port}", "app")
        scene.talks("web1", f"[2001:db8::1]:4000{port - 80}", f"[2001:db8::5]:{port}", "app")
    assert scene.drawn() == [
        "web1 app > db1 dual tcp/80 one-end listener 2",
        "web1 app > db1 six tcp/81 one-end listener 1",
        "web1 app > db1 no-listener tcp/81 one-end ports 1",
    ]


def test_what_is_bound_to_the_address_itself_comes_before_what_is_bound_to_all(scene: Scene) -> None:
    scene.listens("db1", "10.0.0.5:5432", "pgbouncer")
    scene.talks("web1", "10.0.0.1:40000", "10.0.0.5:5432", "app")
    assert scene.drawn() == ["web1 app > db1 pgbouncer tcp/5432 one-end listener 1"]


def test_what_waits_to_be_accepted_is_the_listeners(scene: Scene) -> None:
    scene.talks("web1", "10.0.0.1:40000", "10.0.0.5:5432", "app")
    scene.talks("db1", "10.0.0.5:5432", "10.0.0.1:40000", status="unaccepted")
    assert scene.drawn() == ["web1 app > db1 postgres tcp/5432 both-ends listener 1"]


def test_a_process_that_could_not_be_seen_is_not_known_and_the_reason_stays(scene: Scene) -> None:
    scene.talks("web1", "10.0.0.1:40000", "10.0.0.5:5432", status="no-helper")
    assert scene.drawn() == ["web1 no-helper > db1 postgres tcp/5432 one-end listener 1"]


def test_udp_and_tcp_are_not_one_connection(scene: Scene) -> None:
    scene.talks("web1", "10.0.0.1:40000", "10.0.0.5:5432", "app", protocol="udp")
    scene.talks("db1", "10.0.0.5:5432", "10.0.0.1:40000", "postgres")
    scene.listens("db1", "0.0.0.0:5432", "other", protocol="udp")
    assert scene.drawn() == [
        "web1 app > db1 other udp/5432 one-end listener 1",
        "web1 no-socket > db1 postgres tcp/5432 one-end listener 1",
    ]


def test_a_socket_that_is_connected_to_itself_talks_to_itself(scene: Scene) -> None:
    scene.talks("web1", "10.0.0.1:40000", "10.0.0.1:40000", "odd")
    assert scene.drawn() == ["web1 odd > web1 odd tcp/0 both-ends unknown 1"]


def test_of_what_was_not_asked_for_only_what_reaches_an_end_that_was_is_an_edge(scene: Scene) -> None:
    scene.talks("web1", "10.0.0.1:40000", "10.0.0.5:5432", "app")
    scene.talks("web1", "10.0.0.1:40001", "10.0.0.9:5432", "app")
    to_db1 = ["web1 app > db1 postgres tcp/5432 one-end listener 1"]
    assert scene.drawn(Wanted(hosts=frozenset({"db1"})), asked=False) == to_db1
    assert scene.drawn(Wanted(process="postgres"), asked=False) == to_db1
    assert scene.drawn(Wanted(process="nginx"), asked=False) == []
    assert scene.drawn(Wanted(hosts=frozenset({"web1"}), process="postgres"), asked=False) == []


def test_a_port_is_that_which_is_served_and_not_the_clients(scene: Scene) -> None:
    scene.both("web1", "10.0.0.1:40000", "app", "db1", "10.0.0.5:5432", "postgres")
    assert len(scene.edges(Wanted(ports=(PortRange(5432, 5432),)))) == 1
    assert scene.edges(Wanted(ports=(PortRange(40000, 40000),))) == []


def test_the_order_in_which_sockets_come_changes_nothing(scene: Scene) -> None:
    scene.both("web1", "10.0.0.1:40000", "app", "db1", "10.0.0.5:5432", "postgres")
    scene.both("web1", "10.0.0.1:40001", "peer", "db1", "10.0.0.5:40002", "peer")
    scene.talks("db1", "10.0.0.5:40003", "203.0.113.9:443", "postgres")
    as_it_is = scene.drawn()
    for order in itertools.permutations(scene.connections):
        scene.connections = list(order)
        assert scene.drawn() == as_it_is

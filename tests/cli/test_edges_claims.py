"""What a host may make of a map by what it reports: sockets at addresses that it does not have join nobody, and are not
hidden either; twice as many are twice the work. And who is honest and looks alike."""

import itertools
import sys
from collections.abc import Callable
from types import FrameType

import pytest
from cli.scene import Scene, in_words
from fleetnet_cli.edges.drawing import Drawing
from fleetnet_cli.edges.places import Places
from fleetnet_cli.edges.wanted import Wanted


@pytest.fixture
def scene() -> Scene:
    """web1, db1, where postgres listens, and evil, which says of itself what it likes."""
    made = Scene()
    made.place("web1", "10.0.0.7")
    made.place("db1", "10.0.0.9")
    made.place("evil", "10.0.0.66")
    made.listens("db1", "0.0.0.0:5432", "postgres")
    return made


def test_a_socket_at_the_address_of_another_host_does_not_take_its_place(scene: Scene) -> None:
    scene.talks("db1", "10.0.0.9:5432", "10.0.0.7:40000", "postgres")  # web1's half has not come yet
    scene.talks("evil", "10.0.0.7:40000", "10.0.0.9:5432", "innocent-backup")
    assert scene.drawn() == [
        "evil innocent-backup > db1 several-sockets tcp/5432 one-end listener 1",
        "10.0.0.7 evil/host|web1/host several-sockets > db1 postgres tcp/5432 one-end listener 1",
    ]


def test_nor_does_one_that_pretends_to_serve_there(scene: Scene) -> None:
    scene.talks("web1", "10.0.0.7:40000", "10.0.0.9:5432", "app")
    scene.listens("evil", "0.0.0.0:5432", "trap")
    scene.talks("evil", "10.0.0.9:5432", "10.0.0.7:40000", "trap")
    assert scene.drawn() == [
        "web1 app > 10.0.0.9 db1/host|evil/host several-sockets tcp/5432 one-end ports 1",
        "web1 several-sockets > evil trap tcp/5432 one-end listener 1",
    ]


def test_an_address_outside_stays_on_the_map_whoever_claims_to_be_there(scene: Scene) -> None:
    scene.talks("web1", "10.0.0.7:40000", "203.0.113.9:443", "exfil")
    scene.talks("evil", "203.0.113.9:443", "10.0.0.7:40000", "backup")
    claimed = [
        "web1 exfil > 203.0.113.9 evil/host unheld-address tcp/443 one-end ports 1",
        "web1 unheld-address > evil backup tcp/443 one-end ports 1",
    ]
    assert scene.drawn() == claimed
    assert scene.drawn(Wanted(external="none")) == claimed, "it is not known to be outside"


def test_nor_is_it_hidden_by_many_that_claim_to_be_there(scene: Scene) -> None:
    scene.talks("web1", "10.0.0.7:40000", "203.0.113.9:443", "exfil")
    for number in range(20):
        scene.talks(f"evil/n{number:02}", "203.0.113.9:443", "10.0.0.7:40000", "backup")
    [exfil] = [edge for edge in scene.edges() if edge.client.process == "exfil"]
    assert (exfil.server.address, exfil.server.may_be, exfil.server.why) == ("203.0.113.9", 20, "unheld-address")


def test_whoever_has_the_address_is_named_however_many_claim_its_sockets(scene: Scene) -> None:
    scene.talks("db1", "10.0.0.9:5432", "10.0.0.7:40000", "postgres")
    for number in range(20):
        scene.talks(f"evil/n{number:02}", "10.0.0.7:40000", "10.0.0.9:5432", "innocent-backup")
    [edge] = [edge for edge in scene.edges() if edge.server.process == "postgres"]
    assert edge.client.may_be == 21
    assert "web1" in {place.host for place in edge.client.one_of}


def test_what_evil_claims_is_on_the_map_of_evil_and_of_whom_it_concerns(scene: Scene) -> None:
    scene.talks("db1", "10.0.0.9:5432", "10.0.0.7:40000", "postgres")
    scene.talks("evil", "10.0.0.7:40000", "10.0.0.9:5432", "innocent-backup")
    claim = "evil innocent-backup > db1 several-sockets tcp/5432 one-end listener 1"
    doubt = "10.0.0.7 evil/host|web1/host several-sockets > db1 postgres tcp/5432 one-end listener 1"
    for host, edges in (("evil", [claim, doubt]), ("web1", [doubt]), ("other", [])):
        assert scene.drawn(Wanted(hosts=frozenset({host})), asked=False) == edges


def test_who_has_the_address_as_well_and_shows_the_only_socket_is_believed(scene: Scene) -> None:
    """The other's half may be late. But if to have an address were doubt enough, any host could blank the whole map."""
    scene.place("evil", "10.0.0.7")
    scene.talks("db1", "10.0.0.9:5432", "10.0.0.7:40000", "postgres")
    scene.talks("evil", "10.0.0.7:40000", "10.0.0.9:5432", "backup")
    assert scene.drawn() == ["evil backup > db1 postgres tcp/5432 both-ends listener 1"]


def test_what_leads_to_its_own_host_is_nobody_elses_however_many_say_so(scene: Scene) -> None:
    scene.listens("web1", "0.0.0.0:80", "nginx")
    scene.talks("web1", "10.0.0.7:40000", "10.0.0.7:80", "cron")
    for netns in ("x", "y"):
        scene.talks(f"evil/{netns}", "10.0.0.7:80", "10.0.0.7:40000", "forger")
    assert scene.drawn() == [
        "web1 cron > web1 nginx tcp/80 one-end listener 1",
        "web1 no-socket > evil/x forger tcp/80 one-end ports 1",
        "web1 no-socket > evil/y forger tcp/80 one-end ports 1",
    ]


def test_nor_is_what_leads_to_a_bridge_of_its_own_host(scene: Scene) -> None:
    for host in ("web1", "db1", "evil"):
        scene.place(host, bridge="172.17.0.1")
        scene.place(f"{host}/box", "172.17.0.2")
    scene.talks("web1/box", "172.17.0.2:40000", "172.17.0.1:53", "app")
    for host in ("db1", "evil"):
        scene.talks(host, "172.17.0.1:53", "172.17.0.2:40000", "dnsmasq")
    [edge] = [edge for edge in scene.edges() if edge.client.process == "app"]
    assert edge.server.why == "shared-bridge"


def test_an_address_of_any_namespace_of_the_host_will_do(scene: Scene) -> None:
    scene.place("web1/box", "10.0.1.2")
    scene.both("web1/box", "10.0.1.2:40000", "boxed", "db1", "10.0.0.9:5432", "postgres")
    scene.both("web1", "10.0.1.2:40001", "outer", "db1", "10.0.0.9:5432", "postgres")
    assert scene.drawn() == [
        "web1 outer > db1 postgres tcp/5432 both-ends listener 1",
        "web1/box boxed > db1 postgres tcp/5432 both-ends listener 1",
    ]


def test_an_address_whose_facts_have_not_come_is_unheld_until_they_have(scene: Scene) -> None:
    """As of one that was added a moment ago, or of a namespace that is read without a helper."""
    scene.both("web1/box", "10.0.1.2:40000", "boxed", "db1", "10.0.0.9:5432", "postgres")
    assert scene.drawn() == [
        "web1/box boxed > db1 unheld-address tcp/5432 one-end listener 1",
        "10.0.1.2 web1/box unheld-address > db1 postgres tcp/5432 one-end listener 1",
    ]
    scene.place("web1/box", "10.0.1.2")
    assert scene.drawn() == ["web1/box boxed > db1 postgres tcp/5432 both-ends listener 1"]


def test_where_the_addresses_of_neither_are_known_neither_is_believed(scene: Scene) -> None:
    scene.both("web1/box", "10.0.1.2:40000", "boxed", "db1/box", "10.0.2.2:80", "nginx")
    assert scene.drawn() == [
        "web1/box boxed > 10.0.2.2 db1/box unheld-address tcp/80 one-end ports 1",
        "10.0.1.2 web1/box unheld-address > db1/box nginx tcp/80 one-end ports 1",
    ]


def test_on_one_host_nothing_is_asked_of_addresses(scene: Scene) -> None:
    scene.both("web1/box", "10.0.1.2:40000", "boxed", "web1/other", "10.0.2.2:80", "nginx")
    assert scene.drawn() == ["web1/box boxed > web1/other nginx tcp/80 both-ends ports 1"]


def test_a_proxy_that_answers_for_addresses_of_others_is_not_taken_for_them(scene: Scene) -> None:
    """IP_TRANSPARENT (ip(7)): what the proxy has accepted is at db1's address, what it asks db1 with is at web1's."""
    scene.place("lb1", "10.0.0.80")
    scene.both("web1", "10.0.0.7:40000", "app", "lb1", "10.0.0.9:5432", "proxy")
    scene.both("lb1", "10.0.0.7:40001", "proxy", "db1", "10.0.0.9:5432", "postgres")
    assert scene.drawn() == [
        "lb1 proxy > db1 several-sockets tcp/5432 one-end listener 1",
        "web1 app > 10.0.0.9 db1/host|lb1/host several-sockets tcp/5432 one-end ports 1",
        "web1 several-sockets > lb1 proxy tcp/5432 one-end ports 1",
        "10.0.0.7 lb1/host|web1/host several-sockets > db1 postgres tcp/5432 one-end listener 1",
    ]


# What one host can report of a single 4-tuple: it and its reverse, in as many namespaces as it likes.
def _mirrored(scene: Scene, namespaces: int) -> None:
    for number in range(namespaces):
        scene.both(f"evil/a{number}", "10.0.0.7:40000", "x", f"evil/b{number}", "10.0.0.9:5432", "y")


def _mirrored_outside(scene: Scene, namespaces: int) -> None:
    for number in range(namespaces):
        scene.both(f"evil/a{number}", "203.0.113.7:40000", "x", f"evil/b{number}", "203.0.113.9:5432", "y")


def _mirrored_where_it_has_the_addresses(scene: Scene, namespaces: int) -> None:
    for number in range(namespaces):
        scene.place(f"evil/c{number}", "10.0.0.7", "10.0.0.9")
    _mirrored(scene, namespaces)


def _of_two_hosts(scene: Scene, namespaces: int) -> None:
    for number in range(namespaces):
        scene.both(f"evil/a{number}", "10.0.0.7:40000", "x", f"evil2/b{number}", "10.0.0.9:5432", "y")


def _to_an_address_that_all_have(scene: Scene, namespaces: int) -> None:
    for number in range(namespaces):
        scene.place(f"evil/c{number}", "10.0.0.10")
        scene.talks(f"evil/a{number}", "10.0.0.66:40000", "10.0.0.10:80", "x")


def _at_a_port_that_is_listened_to_everywhere(scene: Scene, namespaces: int) -> None:
    for number in range(namespaces):
        address = f"10.9.{number // 250}.{number % 250}"
        scene.listens("evil", f"{address}:80", "x")
        scene.talks("evil", f"{address}:80", "10.0.0.7:40000", "x")


def _calls_to_draw(fill: Callable[[Scene, int], None], namespaces: int) -> int:
    """How often a function is called, or a generator goes on, until it is drawn."""
    scene = Scene()
    scene.place("web1", "10.0.0.7")
    scene.place("db1", "10.0.0.9")
    fill(scene, namespaces)
    calls = itertools.count()

    def count(_frame: FrameType, event: str, _of: object) -> None:
        if event in ("call", "c_call"):
            next(calls)

    places = Places(scene.namespaces)
    with Drawing(places, Wanted(hosts=frozenset({"db1"}))) as drawing:
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            for socket in scene.listeners:
                drawing.listener(socket)
            for socket in scene.connections:
                drawing.half(socket, asked=False)
            drawing.edges()
        finally:
            sys.setprofile(before)
    return next(calls)


@pytest.mark.parametrize(
    "fill",
    [
        _mirrored,
        _mirrored_outside,
        _mirrored_where_it_has_the_addresses,
        _of_two_hosts,
        _to_an_address_that_all_have,
        _at_a_port_that_is_listened_to_everywhere,
    ],
)
def test_twice_as_many_sockets_are_twice_the_work(fill: Callable[[Scene, int], None]) -> None:
    once, twice = _calls_to_draw(fill, 150), _calls_to_draw(fill, 300)
    assert twice < 2.5 * once, "four times would be every half held against every other"


def test_those_who_may_be_it_are_named_once_for_all_that_ask(scene: Scene) -> None:
    _mirrored(scene, 12)
    found = scene.edges()
    assert len(found) == 24
    assert len({id(end.one_of) for edge in found for end in (edge.client, edge.server) if end.one_of}) == 2
    assert in_words(found[0]).startswith("evil/a0 x > 10.0.0.9 ")

"""Who talks to whom in an application of three tiers on five hosts, one of its parts in a container: every edge is
right and none is invented, now, and at times before and after a tier was stopped.

    client1   a visitor outside of the tiers, and a mailer
    lb1       a balancer
    app1      an application, which also sends datagrams
    app2      a host with a container, in which the same application runs
    db1       a database, with a backup beside it that talks to it over loopback
"""

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from system.laboratory import REPORT_PORT, Laboratory, laboratory
from system.sealed import NET, Sealed, seal, translate

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import Program, until

pytestmark = pytest.mark.root

FOUND, NOTHING, PARTIAL = 0, 1, 3
HOSTS = ("app1", "app2", "client1", "db1", "lb1")
BALANCER, APP, DATABASE, STATISTICS, MAILER, PUBLISHED = 80, 8000, 5432, 8125, 9025, 8080
VISITS, SHARED_OUT, QUERIES, MAILS, PROBES = 4, 3, 2, 2, 1

Edge = dict[str, Any]


def end(host: str, process: str = "", netns: str = "host", why: str = "", address: str = "") -> Edge:
    """An end as documents have it; its unit is that of whoever runs the tests."""
    known = {"host": host, "netns": netns if host else "", "process": process, "address": address, "why": why}
    return {name: text or None for name, text in known.items()} | {"one_of": [], "may_be": None}


def edge(client: Edge, server: Edge, port: int, connections: int, known: str = "both-ends", **more: str) -> Edge:
    """An edge as documents have it."""
    told = {"protocol": "tcp", "direction": "listener", **more}
    return {"client": client, "server": server, "port": port, "known": known, "connections": connections, **told}


@dataclass
class World:
    """The hosts, what runs on them, and what was told of it while all of it did."""

    fleet: Fleet
    hosts: dict[str, Host]
    box: Sealed
    no_translation: str  # why addresses could not be translated
    programs: dict[str, Program] = field(default_factory=dict)
    before: str = ""  # a time at which nothing ran
    during: str = ""
    reach: str = ""  # of the last answer that was waited for
    after: str = ""  # one at which the database was stopped

    def edges(self, *arguments: str) -> list[Edge]:
        """What the map says, in an order of its own."""
        answer = self.fleet.ask("map", *arguments, "-o", "json")
        assert answer.status in (FOUND, NOTHING), answer.errors or answer.output
        return in_order([_told(item) for item in answer.items])

    def wait_for(self, right: list[Edge], *arguments: str) -> None:
        """Until the map says just that."""
        found: list[Edge] = []

        def said() -> bool:
            answer = self.fleet.ask("map", *arguments, "-o", "json")
            found[:] = in_order([_told(item) for item in answer.items])
            self.reach = str(answer.document["coverage"])
            return answer.status in (FOUND, NOTHING) and found == right

        try:
            until(said, within_s=90.0, what="the right map")
        except Exception as failure:
            wrong = [one for one in found if one not in right], [one for one in right if one not in found]
            failure.add_note("too many: {}\ntoo few: {}".format(*wrong))
            failure.add_note(f"{len(found)} of {len(right)} edges; {self.reach}")
            raise


def _told(item: dict[str, Any]) -> Edge:
    told = {name: item[name] for name in ("protocol", "port", "known", "direction", "connections")}
    for which in ("client", "server"):
        told[which] = {k: v for k, v in item[which].items() if k not in ("unit", "container")}
    return told


def in_order(edges: list[Edge]) -> list[Edge]:
    """Edges in an order that does not hang on how they were found."""
    return sorted(edges, key=lambda one: json.dumps(one, sort_keys=True))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


def reports(world: World) -> list[Edge]:
    """The collector is no host of its own fleet."""
    assert world.fleet.place is not None
    collector = end("", address=world.fleet.place.address)
    return [
        edge(end(host, "fleetnet-agent"), collector, REPORT_PORT, 1, "outside", direction="ports") for host in HOSTS
    ]


def of_clients(world: World) -> list[Edge]:
    """What is there with or without the database."""
    app, boxed = end("app1", "app"), end("app2", "app", "box")
    balancer = end("lb1", "balancer")
    return [
        edge(end("client1", "visitor"), balancer, BALANCER, VISITS),
        edge(balancer, app, APP, SHARED_OUT),
        edge(balancer, boxed, APP, SHARED_OUT),
        *(translated(world) if not world.no_translation else ()),
        *reports(world),
    ]


def translated(world: World) -> list[Edge]:
    """What the container's host translates: each side sees it and not the other one."""
    boxed, mailer = end("app2", "app", "box"), end("client1", "mailer")
    port_of_nobody = end("app2", why="no-listener")
    return [
        edge(end("client1", "prober"), port_of_nobody, PUBLISHED, PROBES, "one-end", direction="ports"),
        edge(end("client1", why="no-socket"), boxed, APP, PROBES, "one-end"),
        edge(boxed, mailer, MAILER, MAILS, "one-end"),
        edge(end("app2", why="no-socket"), mailer, MAILER, MAILS, "one-end"),
    ]


def to_the_database() -> list[Edge]:
    """What ends with the database."""
    database = end("db1", "database")
    return [
        edge(end("app1", "app"), database, DATABASE, QUERIES),
        edge(end("app2", "app", "box"), database, DATABASE, QUERIES),
        edge(end("db1", "backup"), database, DATABASE, 1),
    ]


def datagrams(server: Edge) -> Edge:
    """The application's datagram socket is connected, and the one that it sends to never is."""
    direction = "ports" if server["why"] else "listener"
    return edge(end("app1", "app"), server, STATISTICS, 1, "one-end", protocol="udp", direction=direction)


def everything(world: World) -> list[Edge]:
    """All of it."""
    return in_order([*of_clients(world), *to_the_database(), datagrams(end("db1", "database"))])


def without_a_database(world: World) -> list[Edge]:
    """When it has been stopped."""
    return in_order([*of_clients(world), datagrams(end("db1", why="no-listener"))])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with laboratory(tmp_path_factory.mktemp("map")) as lab:
        yield _lived_through(lab)


def _lived_through(lab: Laboratory) -> World:
    world = _peopled(lab)
    world.wait_for(in_order(reports(world)))
    world.before = _now()
    _start_all(lab, world)
    world.wait_for(everything(world))
    world.during = _now()
    world.programs["database"].stop()
    world.wait_for(without_a_database(world))
    world.after = _now()
    return world


def _peopled(lab: Laboratory) -> World:
    hosts = {name: lab.fabric.add_host(name) for name in HOSTS}
    sealed, box = seal(lab, hosts["app2"])
    hosts["app2"] = sealed
    for name in ("lb1", "db1"):
        hosts[name].ip("route", "add", NET, "via", sealed.address)
    fleet = lab.fleet()
    for name, host in hosts.items():
        fleet.enroll(name, fleet.place)  # from elsewhere, so that it leaves no TIME_WAIT on the host
        fleet.start_agent(name, host, *(("--namespaces", "all") if host is sealed else ()))
    fleet.wait_until_fresh(*HOSTS)
    return World(fleet, hosts, box, translate(sealed, PUBLISHED, APP, MAILER))


def _start_all(lab: Laboratory, world: World) -> None:
    at = {name: host.address for name, host in world.hosts.items()}

    def start(host: Host, name: str, *options: str) -> None:
        world.programs[f"{host.name}.{name}"] = lab.start(host, "tier", name, *options, name=f"{host.address}.{name}")
        world.programs[f"{host.name}.{name}"].wait_for("^ready")

    def times(count: int, address: str, port: int) -> list[str]:
        return [f"{address}:{port}"] * count

    hosts, box = world.hosts, world.box
    queries = times(QUERIES, at["db1"], DATABASE)
    start(hosts["db1"], "database", "--listen", f"0.0.0.0:{DATABASE}", "--listen-udp", f"{at['db1']}:{STATISTICS}")
    world.programs["database"] = world.programs["db1.database"]
    start(hosts["db1"], "backup", "--to", f"127.0.0.1:{DATABASE}")
    start(hosts["client1"], "mailer", "--listen", f"0.0.0.0:{MAILER}")
    app = ("app", "--listen", f"0.0.0.0:{APP}", "--to", *queries)
    start(hosts["app1"], *app, "--to-udp", f"{at['db1']}:{STATISTICS}")
    start(box, *app, *([] if world.no_translation else times(MAILS, at["client1"], MAILER)))
    shares = [*times(SHARED_OUT, at["app1"], APP), *times(SHARED_OUT, box.address, APP)]
    start(hosts["lb1"], "balancer", "--listen", f"0.0.0.0:{BALANCER}", "--to", *shares)
    start(hosts["client1"], "visitor", "--to", *times(VISITS, at["lb1"], BALANCER))
    if not world.no_translation:
        start(hosts["client1"], "prober", "--to", *times(PROBES, at["app2"], PUBLISHED))


def test_every_edge_is_right_and_none_is_invented_at_a_time_when_all_ran(world: World) -> None:
    assert world.edges("--at", world.during) == everything(world)


def test_before_any_of_it_ran_there_was_only_what_agents_tell_the_collector(world: World) -> None:
    assert world.edges("--at", world.before) == in_order(reports(world))


def test_a_tier_that_was_stopped_is_gone_with_its_edges_and_no_others(world: World) -> None:
    assert world.edges("--at", world.after) == without_a_database(world)
    assert world.edges() == without_a_database(world)


def test_addresses_that_were_translated_join_nobody(world: World) -> None:
    if world.no_translation:
        pytest.skip(world.no_translation)
    told = world.edges("--at", world.during)
    assert [one for one in translated(world) if one not in told] == []
    joined = [(one["client"]["process"], one["server"]["process"]) for one in told if one["known"] == "both-ends"]
    assert ("prober", "app") not in joined
    assert ("app", "mailer") not in joined


@pytest.mark.parametrize("host", ["app2", "db1"])
def test_the_map_of_a_host_is_what_of_the_whole_map_has_an_end_there(world: World, host: str) -> None:
    of_it = [one for one in everything(world) if host in (one["client"]["host"], one["server"]["host"])]
    assert world.edges(host, "--at", world.during) == of_it


@pytest.mark.parametrize("process", ["app", "database"])
def test_the_map_of_a_process_likewise(world: World, process: str) -> None:
    of_it = [one for one in everything(world) if process in (one["client"]["process"], one["server"]["process"])]
    assert world.edges("--process", process, "--at", world.during) == of_it


@pytest.mark.parametrize("port", [APP, STATISTICS])
def test_the_map_of_a_port_likewise(world: World, port: int) -> None:
    of_it = [one for one in everything(world) if one["port"] == port]
    assert world.edges("--port", str(port), "--at", world.during) == of_it


def test_what_is_narrowed_twice_is_what_is_left_of_both(world: World) -> None:
    asked = ("app*", "--process", "app", "--port", str(DATABASE), "--tcp", "--at", world.during)
    assert world.edges(*asked) == in_order(to_the_database()[:2])
    assert world.edges("--host", "lb1", "--process", "app", "--at", world.during) == []
    assert world.edges("--udp", "--at", world.during) == [datagrams(end("db1", "database"))]
    inside = [one for one in everything(world) if one["known"] != "outside"]
    assert world.edges("--external", "none", "--at", world.during) == inside


def test_people_read_it_in_a_table_and_see_it_drawn(world: World) -> None:
    asked = ("map", "lb1", "--port", str(APP), "--at", world.during)
    table = world.fleet.expect(FOUND, *asked).output
    assert [line.split()[:5] for line in table.splitlines()[1:3]] == [
        [str(SHARED_OUT), "lb1", "balancer", "app1", "app"],
        [str(SHARED_OUT), "lb1", "balancer", "app2/box", "app"],
    ]
    for output, head in (("dot", "digraph fleetnet {"), ("mermaid", "flowchart LR")):
        drawn = world.fleet.expect(FOUND, *asked, "-o", output).output
        assert drawn.startswith(head)
        assert '"app2/box"' in drawn

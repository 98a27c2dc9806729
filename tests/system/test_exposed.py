"""`who-listens --exposed` beside nmap, which looks from another host: on each address of each host every port that nmap
finds open is told, and every one that is told nmap finds open, but for what a firewall keeps from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest
from system import nmap
from system.laboratory import REPORT_PORT, Laboratory, laboratory

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import until

pytestmark = pytest.mark.root

FOUND, PARTIAL = 0, 3
ANSWERED = (FOUND, PARTIAL)
WALLED_TCP, WALLED_UDP, SILENT_UDP = 9443, 59, 54
SOME = f"1-1024,{WALLED_TCP},65535"  # all that the host has, and more; of some addresses every port is tried
# What host and scanner have beside their addresses on the switch, {} being 1 and 2. The loopback interface of the host
# has an address that others have a route to, as routers and anycast services do.
_LINKS = """
address add 10.1.1.{}/24 dev eth0
address add 169.254.7.{}/16 dev eth0
address add fd00:1::{}/64 dev eth0 nodad
link set eth1 up
address add 10.2.2.{}/24 dev eth1
address add fd00:2::{}/64 dev eth1 nodad
"""
_ROUTED = "10.255.0.1"
_WALL = f"table inet wall {{ chain input {{ type filter hook input priority 0; \
tcp dport {WALLED_TCP} drop; udp dport {WALLED_UDP} drop; }}; }}"


@dataclass(frozen=True)
class Scene:
    """A host with listeners of every kind, one that looks at it, and what the fleet says."""

    fleet: Fleet
    host: Host
    scanner: Host
    opened: set[int]  # ports, of kinds that this kernel has
    interfaces: dict[str, str]  # by each address of the host that by which packets to it come in

    @property
    def exposed(self) -> list[dict[str, Any]]:
        """What is told of the host."""
        return self.fleet.expect(FOUND, "who-listens", "--exposed", "--host", "wide", "-o", "json").items


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    nmap.require("nft")
    with laboratory(tmp_path_factory.mktemp("lab")) as lab:
        host, scanner = lab.fabric.add_host("wide"), lab.fabric.add_host("scanner")
        interfaces = wire(host, scanner)
        ports = listen(lab, host, next(address for address in interfaces if address.startswith("fe80")))
        host.run("nft", _WALL)
        fleet = lab.fleet()
        for name, place in (("wide", host), ("collector", fleet.place)):
            fleet.enroll(name, fleet.place)
            fleet.start_agent(name, place)
        made = Scene(fleet, host, scanner, ports, interfaces)

        def told() -> set[int]:
            answer = fleet.ask("who-listens", "--host", "wide", "-o", "json", within_s=120.0)
            return {item["local_port"] for item in answer.items} if answer.status in ANSWERED else set()

        fleet.wait_until_fresh("wide", "collector", within_s=120.0)
        until(lambda: told() == ports, within_s=120.0, what="all listeners of the host")
        yield made


def wire(host: Host, scanner: Host) -> dict[str, str]:
    """A second link between them and further addresses; of each of the host's the interface by which others come."""
    host.ip("link", "add", "eth1", "type", "veth", "peer", "eth1", "netns", scanner.namespace)
    for number, place in ((1, host), (2, scanner)):
        for line in _LINKS.format(*[number] * 6).strip().splitlines():
            place.ip(*line.split())
    host.ip("address", "add", f"{_ROUTED}/32", "dev", "lo")
    scanner.ip("route", "add", _ROUTED, "via", host.address)
    # Ports that are closed are to say so at once, however many are asked.
    host.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit")
    until(lambda: not host.run("ip", "-6", "-o", "address", "show", "tentative"), within_s=30.0, what="all addresses")
    lines = [line.split() for line in host.run("ip", "-o", "address", "show").splitlines()]
    found = {words[3].partition("/")[0]: words[1] for words in lines}
    ways = {address: name for address, name in found.items() if not ip_address(address).is_loopback}
    return ways | {_ROUTED: "eth0"}


def listen(lab: Laboratory, host: Host, link_local: str) -> set[int]:
    """Listeners of every kind; the ports of those that this kernel has."""
    sockets = (
        # Everywhere, over one family or both; the first and the last port.
        *(
            "tcp,0.0.0.0,1",
            "tcp,0.0.0.0,65535",
            "tcp6,::,81",
            "tcp6,::,82,v6only",
            "mptcp,0.0.0.0,83",
            "sctp,0.0.0.0,84",
        ),
        # At one address of any kind, with the one that others have a route to and the form that is IPv4 all the same.
        *(f"tcp,{host.address},86", "tcp,10.1.1.1,87", "tcp,169.254.7.1,88", "tcp6,fd00:1::1,89"),
        *(f"tcp6,{link_local}%eth0,90", "tcp,10.2.2.1,91", "tcp6,::ffff:10.1.1.1,96", f"tcp,{_ROUTED},97"),
        # By one interface; at an address of nobody's; behind a firewall.
        *("tcp,0.0.0.0,92,device=eth1", "tcp6,::,93,device=eth0", "tcp,10.99.0.1,95,free", f"tcp,0.0.0.0,{WALLED_TCP}"),
        # Inside alone.
        *("tcp,127.0.0.1,98", "tcp,127.9.9.9,99", "tcp6,::1,100,v6only", "tcp,0.0.0.0,101,device=lo"),
        # Over UDP likewise.
        *("udp,0.0.0.0,53", f"udp,0.0.0.0,{SILENT_UDP},silent", "udp,127.0.0.1,55", "udp6,::,56", "udp,10.1.1.1,57"),
        *("udp,0.0.0.0,58,device=eth1", f"udp,0.0.0.0,{WALLED_UDP}", "udp,0.0.0.0,60,device=lo"),
        # To a group (RFC 2365), which is nobody's address either.
        "udp,239.1.2.3,61",
    )
    program = lab.start(host, "reachable", *sockets)
    return set(map(int, program.wait_for(r"^ready (.*)$")[1].split()))


def reached(items: list[dict[str, Any]], protocol: str, address: str, interface: str) -> set[int]:
    """The ports that are told to be reached at an address: docs/exposed.md, "An address at a time"."""
    return {
        item["local_port"]
        for item in items
        if item["protocol"] == protocol
        and item["exposed"] is True
        and item["interface"] in (None, interface)
        and _takes(item, address)
    }


def _takes(item: dict[str, Any], address: str) -> bool:
    four = ip_address(address).version == 4
    bound = ip_address(item["local_address"])
    plain = (bound.ipv4_mapped if bound.version == 6 else None) or bound
    if not plain.is_unspecified:
        return plain == ip_address(address)
    return plain.version == (4 if four else 6) or (four and item["v6only"] is False)


def where(scene: Scene, version: int) -> list[str]:
    """The host's addresses of a family, as its scanner calls them."""
    return [
        f"{address}%{name}" if address.startswith("fe80") else address
        for address, name in scene.interfaces.items()
        if ip_address(address).version == version
    ]


@pytest.mark.parametrize("version", [4, 6])
def test_on_each_address_every_tcp_port_that_nmap_finds_open_is_exposed_and_the_reverse(
    scene: Scene, version: int
) -> None:
    addresses = where(scene, version)
    assert len(addresses) == {4: 5, 6: 4}[version]
    compare(scene, addresses, SOME)


@pytest.mark.parametrize("address", ["", "fd00:1::1"], ids=["ipv4", "ipv6"])
def test_of_all_tcp_ports_that_there_are_nmap_finds_those_open_that_are_exposed(scene: Scene, address: str) -> None:
    compare(scene, [address or scene.host.address], nmap.ALL)


def compare(scene: Scene, addresses: list[str], ports: str) -> None:
    """What nmap finds of TCP with what is told."""
    found = nmap.scan(scene.scanner, addresses, nmap.tcp(ports))
    told = scene.exposed
    for scanned, states in found.items():
        address = scanned.partition("%")[0]
        reachable = reached(told, "tcp", address, scene.interfaces[address])
        assert (WALLED_TCP in reachable) == (":" not in address), (
            "what a firewall keeps from others is told all the same"
        )
        assert (address, nmap.of_state(states, nmap.OPEN)) == (address, reachable - {WALLED_TCP})
        assert (address, nmap.of_state(states, nmap.FILTERED)) == (address, {WALLED_TCP})


def test_every_udp_port_that_answers_nmap_is_exposed_and_the_reverse(scene: Scene) -> None:
    four = ["10.1.1.1", "10.2.2.1", scene.host.address]
    told = scene.exposed
    for addresses in (four, ["fd00:1::1", "fd00:2::1"]):
        for address, ports in nmap.scan(scene.scanner, addresses, nmap.udp(range(52, 62))).items():
            reachable = reached(told, "udp", address, scene.interfaces[address])
            silent = reachable & {SILENT_UDP}
            assert (address, nmap.of_state(ports, nmap.OPEN)) == (address, reachable - silent - {WALLED_UDP})
            # Who answers nothing and what a firewall drops look alike from there.
            assert (address, nmap.of_state(ports, "open|filtered")) == (address, silent | {WALLED_UDP})


@pytest.mark.beyond_ci
def test_sctp_is_exposed_where_the_kernel_has_it(scene: Scene) -> None:
    if 84 not in scene.opened:
        pytest.skip("this kernel has no SCTP")
    told = reached(scene.exposed, "sctp", scene.host.address, "eth0")
    listed = scene.fleet.ask("who-listens", "84", "-o", "json").items
    assert told == {item["local_port"] for item in listed}
    assert told == {84}
    (ports,) = nmap.scan(scene.scanner, [scene.host.address], ("-sY", "-p", "83-85")).values()
    assert nmap.of_state(ports, nmap.OPEN) == told


def test_what_listens_inside_alone_or_at_nobodys_address_is_told_as_that(scene: Scene) -> None:
    items = scene.fleet.expect(FOUND, "who-listens", "--host", "wide", "-o", "json").items
    assert {item["local_port"] for item in items if item["exposed"] is False} == {55, 60, 98, 99, 100, 101}
    assert {item["exposed"] for item in items} == {True, False}
    (bound_to_lo,) = [item for item in items if item["local_port"] == 101]
    assert (bound_to_lo["scope"], bound_to_lo["interface"]) == ("any", "lo")
    at_nobodys = {item["local_port"] for item in scene.exposed if item["local_address"] in ("10.99.0.1", "239.1.2.3")}
    assert at_nobodys == {95, 61}, "one may come to be the host's, the other a group's that it is in, so they are told"


def test_the_collector_itself_is_reached_by_its_two_ports_and_no_other(scene: Scene) -> None:
    place = scene.fleet.place
    assert place is not None
    (ports,) = nmap.scan(scene.scanner, [place.address], nmap.tcp("1-9999")).values()
    told = scene.fleet.expect(FOUND, "who-listens", "--exposed", "--host", "collector", "-o", "json").items
    assert nmap.of_state(ports, nmap.OPEN) == {item["local_port"] for item in told} == {REPORT_PORT, REPORT_PORT + 1}

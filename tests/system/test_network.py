"""Interfaces, routes and counters of real namespaces, beside what ip, ethtool and nstat say of them."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from agent.proc_tree import Clock
from fleetnet_agent.host import this_host
from fleetnet_agent.network import facts
from fleetnet_agent.network.dump import open_own
from fleetnet_agent.network.facts import Interfaces, Memory, Routes
from fleetnet_agent.network.following import Network
from fleetnet_agent.network.news import News
from fleetnet_agent.network.statistics import COUNTERS_FILE, STATISTICS_FILES, counters, statistics
from fleetnet_agent.records import Interface, InterfaceCounters, Namespace, NextHop, Route
from fleetnet_agent.sources.source import SourceError
from fleetnet_agent.watch import open_watch
from system import network_oracles as oracles
from system.entering import enter
from system.laboratory import Laboratory

from demo.fabric import Host
from demo.programs import FailedError, until

pytestmark = pytest.mark.root

# Every kind of interface that can be made without hardware; kernels differ in which they have.
_KINDS = {
    "bridge0": "type bridge",
    "veth0": "type veth peer veth1",
    "ifb7": "type ifb",
    "dummy0": "type dummy",
    "vlan0": "link veth0 type vlan id 7",
    "macvlan0": "link veth0 type macvlan",
    "ipvlan0": "link bridge0 type ipvlan",
    "vxlan0": "type vxlan id 5 dstport 4789 local 198.18.0.1",
    "gre0x": "type gre local 198.18.0.1 remote 198.18.0.2",
    "sit0x": "type sit local 198.18.0.1 remote 198.18.0.2",
    "bond0x": "type bond",
    "vrf0": "type vrf table 300",
    "wg0": "type wireguard",
}
_ROUTES = (
    "default via 10.1.0.7",
    "default via 10.1.0.8 metric 50",
    "10.2.0.0/16 nexthop via 10.1.0.2 weight 3 nexthop dev bridge0",
    "blackhole 10.3.0.0/16",
    "unreachable 10.3.1.0/24",
    "prohibit 10.3.2.0/24 metric 9",
    "throw 10.3.3.0/24 table 100",
    "10.4.0.0/16 tos 8 via 10.1.0.3 table 1000 metric 7 mtu 1400 advmss 1300 window 5000 rtt 20ms src 10.1.0.1",
    "10.4.0.0/16 via 10.1.0.4 table 1000 metric 8 mtu lock 1300 proto bird",
    "10.5.0.0/16 via inet6 fe80::1 dev veth0",
    "10.6.0.0/16 via 1.2.3.4 dev veth0 onlink",
    "10.7.0.0/16 nhid 7",
    "10.8.0.0/16 nhid 8",
    "10.9.0.0/16 nhid 5",
    "10.10.0.0/16 nhid 6",
    "default via fd00::9 metric 1024",
    "fd01::/64 nexthop via fd00::2 nexthop via fd00::3 weight 2",
    "unreachable fd02::/64",
    "blackhole fd02:1::/64 table 100",
    "fd03::/64 via fd00::2 expires 600 mtu 1300",
    "fd04::/64 nhid 6",
    "fd05::/64 via fe80::77 dev veth0 metric 3 src fd00::1",
    "fd06::/64 via fd00:77::1 dev veth0 onlink",
)
_BLACKHOLE_8 = bytes([10, 8, 0, 0])


@pytest.fixture
def host(lab: Laboratory) -> Host:
    """A host with interfaces of every kind that this kernel has, and routes of every kind."""
    made = lab.fabric.add_host("crossing")
    for name, kind in _KINDS.items():
        try:
            made.ip("link", "add", name, *kind.split())
        except FailedError:
            assert name not in ("bridge0", "veth0"), "no kernel lacks these"
    made.ip("link", "set", "veth1", "master", "bridge0")
    for name in ("veth0", "veth1", "bridge0"):
        made.ip("link", "set", name, "addrgenmode", "none", "up")
    for address in ("10.1.0.1/24", "10.9.9.1 peer 10.9.9.2/32", "fd00::1/64 nodad", "fd09::1 peer fd09::2/128 nodad"):
        made.ip("address", "add", *address.split(), "dev", "veth0")
    for one in ("5 via 10.1.0.9 dev veth0", "6 via fe80::9 dev veth0", "7 group 5,2/6", "8 blackhole"):
        made.ip("nexthop", "add", "id", *one.split())
    for route in _ROUTES:
        made.ip(*(("-6",) if ":" in route and "inet6" not in route else ()), "route", "add", *route.split())
    return made


def opens(host: Host) -> socket.socket:
    return enter(host, open_own)


def read(host: Host) -> tuple[Interfaces, Routes]:
    with closing(opens(host)) as route:
        reading = facts.read(route, Memory())
    assert isinstance(reading.interfaces, Interfaces), reading.interfaces
    assert isinstance(reading.routes, Routes), reading.routes
    return reading.interfaces, reading.routes


def without_driver(interface: Interface) -> Interface:
    return replace(interface, speed_mbps=0, duplex=0, link=None, driver="")


def test_interfaces_and_their_addresses_equal_those_of_ip(host: Host) -> None:
    ours, _ = read(host)
    assert {"lo", "eth0", "bridge0", "veth0", "veth1"} <= {one.name for one in ours.all}
    assert len(ours.all) >= 7
    assert tuple(map(without_driver, ours.all)) == oracles.interfaces(host)
    (veth1,) = (one for one in ours.all if one.name == "veth1")
    (bridge0,) = (one for one in ours.all if one.name == "bridge0")
    assert (veth1.kind, veth1.master, bridge0.kind) == ("veth", bridge0.index, "bridge")


def test_what_drivers_say_equals_ethtool(host: Host) -> None:
    if shutil.which("ethtool") is None:
        pytest.skip("ethtool is not here (run tests/install-tools as root)")
    host.ip("link", "set", "veth1", "down")
    ours = {one.name: (one.speed_mbps, one.duplex, one.link, one.driver) for one in read(host)[0].all}
    assert ours.pop("lo") == (0, 0, None, "")
    assert ours == {name: oracles.driver(host, name) for name in ours}
    assert ours["eth0"] == (10_000, 2, True, "veth")
    assert ours["veth0"][2] is False


@pytest.mark.parametrize("compatible", ["1", "0"])
def test_routes_of_every_kind_equal_those_of_ip_in_the_same_order(host: Host, compatible: str) -> None:
    theirs = oracles.routes(host)
    # With 0 the kernel shows a route over a next hop object by the object's id alone.
    host.run("sh", "-c", f"echo {compatible} > /proc/sys/net/ipv4/nexthop_compat_mode")
    _, ours = read(host)
    assert len(ours.all) >= len(_ROUTES)
    if compatible == "0":  # the object 8 leads nowhere; expanded by the kernel it leads to loopback
        theirs = tuple(replace(one, next_hops=()) if one.destination == _BLACKHOLE_8 else one for one in theirs)
    assert ours.all == theirs
    assert ours.left_out == 0


def test_thousands_of_routes_equal_those_of_ip_and_the_rest_is_counted(host: Host) -> None:
    batch = "".join(f"route add 20.{n >> 8}.{n & 255}.0/24 via 10.1.0.{2 + n % 90} metric {n}\n" for n in range(6000))
    subprocess.run(host.command("ip", "-batch", "-"), input=batch, text=True, check=True)
    _, ours = read(host)
    theirs = oracles.routes(host)
    of_6 = [route for route in theirs if route.family == 6]
    assert ours.all == (*theirs[: facts.ROUTES_MOST - len(of_6)], *of_6)
    assert ours.left_out == len(theirs) - facts.ROUTES_MOST > 1000


class Followed:
    """The network of a host, followed on a clock of the test's."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.clock = Clock()
        self._witness = enter(host, News)  # made before the other, and so told after it
        self.network = Network(self.clock, lambda: opens(host), enter(host, News))
        self.settle()

    def close(self) -> None:
        self.network.close()
        self._witness.close()

    def change(self, *arguments: str) -> None:
        """`ip ARGUMENTS` on the host, and wait for the kernel's word of it: of an IPv6 address that comes later."""
        self._witness.heard()
        self.host.ip(*arguments)
        until(self._witness.heard, within_s=60, what=f"the kernel's word of {' '.join(arguments)}")

    def look(self) -> Namespace | None:
        """What is told at the next look, a second later."""
        self.clock.go(1)
        if not self.network.look():
            assert self.network.changed() == ()
            return None
        (told,) = self.network.changed()
        return told

    @property
    def known(self) -> Namespace:
        (known,) = self.network.all()
        return known

    def settle(self) -> None:
        """Look until all is as ip says: the kernel goes on for a moment after an interface was set up."""
        until(self._agrees, within_s=10, what="a network that equals that of ip")

    def _agrees(self) -> bool:
        self.look()
        ours = tuple(map(without_driver, self.known.interfaces))
        return ours == oracles.interfaces(self.host) and self.known.routes == oracles.routes(self.host)


@pytest.fixture
def followed(host: Host) -> Iterator[Followed]:
    made = Followed(host)
    yield made
    made.close()


def hop(network: Namespace, destination: bytes) -> NextHop:
    (route,) = (one for one in network.routes if one.destination == destination)
    (only,) = route.next_hops
    return only


@pytest.mark.parametrize(
    "change",
    [
        "link set veth0 mtu 1400",
        "link set ifb7 up",
        "link set veth1 nomaster",
        "link set ifb7 name renamed0",
        "link set veth0 address 02:00:00:00:00:77",
        "link add ifb8 type ifb",
        "link delete ifb7",
        "address add 10.1.0.99/24 dev veth0",
        "address delete 10.9.9.1 peer 10.9.9.2/32 dev veth0",
        "-6 address add fd00::99/64 dev veth0 nodad",
        "route add 10.99.0.0/16 via 10.1.0.2",
        "route replace blackhole 10.3.0.0/16 table 5",
        "route delete 10.2.0.0/16",
        "-6 route add fd99::/64 via fd00::2",
        "-6 route delete fd01::/64",
        "nexthop replace id 5 via 10.1.0.10 dev veth0",
        "nexthop delete id 8",
    ],
)
def test_a_change_is_told_at_the_next_look(followed: Followed, change: str) -> None:
    before = followed.known
    followed.change(*change.split())
    told = followed.look()
    assert told is not None
    assert (told.netns, told.unread) == (0, False)
    assert told != before
    followed.settle()


def test_a_next_hop_object_that_is_replaced_is_told_where_routes_show_its_id_alone(followed: Followed) -> None:
    followed.host.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/nexthop_compat_mode")
    followed.host.ip("nexthop", "replace", "id", "5", "via", "10.1.0.10", "dev", "veth0")
    told = followed.look()
    assert told is not None
    assert hop(told, bytes([10, 9, 0, 0])).gateway == bytes([10, 1, 0, 10])


def test_in_a_quiet_hour_nothing_is_told(followed: Followed) -> None:
    told = [followed.look() for _ in range(3600)]
    assert told == [None] * 3600


def test_addresses_and_routes_that_are_only_renewed_are_not_told(followed: Followed) -> None:
    def renew(lifetime_s: int) -> None:
        address = ("fd00::55/64", "dev", "veth0", "valid_lft", f"{lifetime_s}", "preferred_lft", f"{lifetime_s}")
        followed.host.ip("-6", "address", "replace", *address, "nodad", "noprefixroute")
        followed.host.ip("-6", "route", "replace", "fd03::/64", "via", "fd00::2", "expires", f"{lifetime_s}")

    renew(600)
    followed.settle()
    for lifetime_s in (700, 800):
        renew(lifetime_s)
        assert followed.look() is None


def test_in_a_storm_of_changes_no_route_is_missed_that_was_there_throughout(followed: Followed, tmp_path: Path) -> None:
    # So many that each dump comes in pieces, with the changes all over them.
    stable_ones = [
        *(f"route add 20.{n >> 8}.{n & 255}.0/25 via 10.1.0.2\n" for n in range(1_500)),
        *(f"route add fd20:{n:x}::/65 via fd00::2\n" for n in range(1_500)),
    ]
    churn = [
        f"route {verb} 20.{n % 1_500 >> 8}.{n % 1_500 & 255}.128/25 via 10.1.0.2\n"
        f"route {verb} fd20:{n % 1_500:x}:0:1::/65 via fd00::2\n"
        for n in range(30_000)
        for verb in ("add", "delete")
    ]
    (tmp_path / "stable").write_text("".join(stable_ones))
    (tmp_path / "churn").write_text("".join(churn))
    followed.host.ip("-batch", str(tmp_path / "stable"))
    followed.settle()
    stable, interfaces = set(followed.known.routes), followed.known.interfaces
    assert len(stable) > 3_000
    told: list[Namespace] = []
    with subprocess.Popen(followed.host.command("ip", "-batch", str(tmp_path / "churn"))) as storm:
        while storm.poll() is None:
            told += [one for one in [followed.look()] if one]
    assert storm.returncode == 0
    assert len(told) > 5
    for one in told:
        assert stable <= set(one.routes)
        assert one.interfaces == interfaces
        assert len(set(one.routes)) == len(one.routes)
    followed.settle()


class Silence:
    """Nothing is told of this machine's own namespace."""

    def heard(self) -> bool:
        return False

    def close(self) -> None: ...


def test_a_descriptor_into_a_namespace_is_kept_for_the_reading_alone(host: Host) -> None:
    clock = Clock()

    def inside(numbers: list[int]) -> Generator[tuple[int, socket.socket | SourceError], None, None]:
        yield from ((number, opens(host)) for number in numbers)

    network = Network(clock, open_own, Silence(), inside)
    network.follow(Namespace(40, name="crossing"))
    before = len(os.listdir("/proc/self/fd"))
    network.look()
    assert len(os.listdir("/proc/self/fd")) == before
    (other,) = (one for one in network.changed() if one.netns == 40)
    assert tuple(map(without_driver, other.interfaces)) == oracles.interfaces(host)
    host.ip("link", "set", "veth0", "mtu", "1400")
    clock.go(10)
    assert network.look()
    (other,) = (one for one in network.changed() if one.netns == 40)
    assert {one.name: one.mtu for one in other.interfaces}["veth0"] == 1400


def test_the_whole_watch_tells_a_change_at_its_next_look_and_keeps_it_in_its_snapshot(host: Host) -> None:
    clock = Clock()

    def watched() -> None:
        watch = open_watch(replace(this_host(), boottime_us=clock), helper_socket=None, namespaces="own")
        with closing(watch):
            (own,) = watch.look().namespaces
            assert {"eth0", "veth0"} <= {one.name for one in own.interfaces}
            clock.go(1)
            assert watch.look().namespaces == ()
            host.ip("route", "add", "10.99.0.0/16", "via", "10.1.0.2")
            clock.go(1)
            difference = watch.look()
            (told,) = difference.namespaces
            assert hop(told, bytes([10, 99, 0, 0])) == NextHop(bytes([10, 1, 0, 2]), "veth0", 1, 0)
            assert not difference.empty
            assert watch.snapshot().namespaces == (told,)

    enter(host, watched)


def test_once_prints_what_ip_shows(host: Host) -> None:
    program = Path(sys.executable).parent / "fleetnet-agent"
    (own,) = json.loads(host.run("sh", "-c", f"{program} once -o json || true"))["namespaces"]
    assert [one["name"] for one in own["interfaces"]] == [one.name for one in oracles.interfaces(host)]
    assert [one["mtu"] for one in own["interfaces"]] == [one.mtu for one in oracles.interfaces(host)]
    theirs: tuple[Route, ...] = oracles.routes(host)
    assert [(one["table"], one["metric"], one["type"], len(one["next_hops"])) for one in own["routes"]] == [
        (one.table, one.metric, one.type, len(one.next_hops)) for one in theirs
    ]


def send(count: int) -> None:
    """Datagrams over eth0, over loopback to nobody, and over IPv6."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six,
    ):
        four.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for _ in range(count):
            four.sendto(b"x" * 100, ("198.18.0.255", 9))
            four.sendto(b"x", ("127.0.0.1", 9))
            six.sendto(b"x" * 200, ("fd00::1", 9))


def test_counters_of_interfaces_lie_between_those_of_ip_before_and_after(host: Host) -> None:
    interfaces, _ = read(host)
    enter(host, lambda: send(100))
    before = shown_by_ip(host)
    text = enter(host, lambda: Path("/proc/thread-self/net", COUNTERS_FILE).read_text())
    after = shown_by_ip(host)
    ours = {one.name: one for one in counters(text, interfaces.all, netns=40)}
    assert ours.keys() == before.keys() == {one.name for one in interfaces.all}
    for name, one in ours.items():
        assert all(a <= b <= c for a, b, c in zip(before[name], numbers(one), after[name], strict=True)), name
        assert one.netns == 40
    assert ours["eth0"].sent_bytes >= 100 * 142
    assert ours["lo"].received_packets >= 200


def numbers(one: InterfaceCounters) -> list[int]:
    return [
        *(one.received_bytes, one.received_packets, one.receive_errors, one.receive_drops, one.receive_overruns),
        *(one.sent_bytes, one.sent_packets, one.send_errors, one.send_drops, one.send_overruns),
    ]


def shown_by_ip(host: Host) -> dict[str, list[int]]:
    """The same numbers from `ip -s -s link`; /proc/net/dev counts missed packets as dropped."""
    shown = {}
    for entry in json.loads(host.run("ip", "-s", "-s", "-j", "link")):
        rx, tx = entry["stats64"]["rx"], entry["stats64"]["tx"]
        received = [rx["bytes"], rx["packets"], rx["errors"], rx["dropped"] + rx["missed_errors"], rx["fifo_errors"]]
        sent = [tx["bytes"], tx["packets"], tx["errors"], tx["dropped"], tx["fifo_errors"]]
        shown[entry["ifname"]] = received + sent
    return shown


def test_statistics_lie_between_those_of_nstat_before_and_after(host: Host) -> None:
    enter(host, lambda: send(10))
    before = shown_by_nstat(host)
    texts = enter(host, read_statistics)
    enter(host, lambda: send(10))
    after = shown_by_nstat(host)
    ours = {f"{one.group}{one.name}": one.value for one in statistics(texts)}
    assert before.keys() == after.keys() <= ours.keys()
    assert len(before) > 300
    wrong = {
        name: (before[name], ours[name], after[name])
        for name in before
        if not before[name] <= ours[name] <= after[name]
    }
    assert wrong == {}
    assert ours["UdpNoPorts"] >= 10
    assert ours["Ip6OutRequests"] >= 10
    assert after["UdpNoPorts"] > ours["UdpNoPorts"]


def read_statistics() -> dict[str, str]:
    return {name: Path("/proc/thread-self/net", name).read_text() for name in STATISTICS_FILES}


def shown_by_nstat(host: Host) -> dict[str, int]:
    shown: dict[str, int] = json.loads(host.run("nstat", "-asz", "-j"))["kernel"]
    return shown

"""A host and five network namespaces beside it, one of each kind, full of sockets, routes and interfaces; and a fleet
whose one agent runs on that host, sees all of them through its helper, and is nobody.

    host        where agent and helper run, and a bridge that leads to the others
    named       as ip-netns(8) makes them, with a process
    empty       the same without one: its sockets are held by a process that lives elsewhere
    nameless    unshared by a process and known by nothing but its inode
    container   the same in a control group such as docker makes under systemd
    small       mounted on a file, its TCP table of 512 buckets where the kernel can do that
"""

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetnet_agent.host import this_host
from system.laboratory import Laboratory
from system.stepping_down import start_agent

from demo.fabric import Host
from demo.fleet import Answer, Fleet
from demo.programs import Program, until

NAME = "host"  # of the only host of the fleet
BUCKETS = 512
CHILDREN_BUCKETS = "/proc/sys/net/ipv4/tcp_child_ehash_entries"  # Linux 6.1
OWN = "host"
KINDS = (OWN, "named", "empty", "nameless", "container", "small")
_SUBNET = "10.20.0."
_HOST, _SILENT = f"{_SUBNET}1", f"{_SUBNET}250"

# Made in each of them; DEVICE leads to the bridge, or is it.
_NETWORK = """
link set lo up
address add {address}/24 dev {device}
link set {device} up
link add p0 type veth peer name p1
link set p0 mtu 9000
link set p0 up
link set p1 up
address add 10.1.2.3/24 dev p0
address add 10.77.0.1 peer 10.77.0.2/32 dev p1
address add 2001:db8:1::1/64 dev p0 nodad
neighbour replace {silent} lladdr 02:00:00:00:00:01 nud permanent dev {device}
route add blackhole 10.9.0.0/16
route add unreachable 10.8.0.0/16 metric 5
route add prohibit 10.7.1.1
route add throw 10.6.0.0/16 table 100
route add default via 10.1.2.9 metric 50 mtu 1400 advmss 1300
route add default via 10.1.2.8 metric 70
route add 10.4.0.0/16 nexthop via 10.1.2.4 weight 2 nexthop via 10.1.2.5
route add 10.4.0.0/24 via 10.1.2.4 metric 7 src 10.1.2.3
route add 10.4.0.0/24 via 10.1.2.4 metric 3
route add 10.99.0.0/16 dev p0 table 1000
route add blackhole 2001:db8:2::/48
route add 2001:db8:7::/48 nexthop via 2001:db8:1::2 nexthop via 2001:db8:1::3
route add 2001:db8:7::/64 dev p0 metric 9
route add default via 2001:db8:1::2 table 200
"""


@dataclass(frozen=True, slots=True)
class Place(Host):
    """One of the namespaces; `name` is its kind."""

    door: str  # a path to it
    inode: int
    shown: str  # as answers call it
    device: str
    tenant: Program

    def command(self, *arguments: str) -> list[str]:
        """See `Host`."""
        return ["nsenter", f"--net={self.door}", "--", *arguments]

    @property
    def netns(self) -> int:
        """As it is named on the wire and in the collector's tables."""
        return 0 if self.name == OWN else self.inode


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """All of it."""

    fleet: Fleet
    places: dict[str, Place]
    container: str  # its id
    agent: Program

    def ask(self, place: Place, *options: str) -> Answer:
        """`fleetnet netstat` about one of them: the host's own by leaving --netns out."""
        inside = () if place.name == OWN else ("--netns", place.shown)
        return self.fleet.ask("netstat", NAME, *options, *inside)

    def documents(self, *options: str) -> list[dict[str, Any]]:
        """The items of one document about the host."""
        return whole(self.fleet.ask("netstat", NAME, *options, "-o", "json")).items


def whole(answer: Answer) -> Answer:
    """An answer that lacks nothing but what gaps may hold: the agent looks at every namespace of the machine, and what
    is lost of others than these, which other tests may fill, is a gap of the host as well."""
    if answer.status:
        assert answer.status == 3, answer.errors
        if answer.output.startswith("{"):
            assert answer.errors == ""
            assert answer.document["coverage"]["gaps"] > 0
            assert answer.document["coverage"]["hosts_fresh"] == 1
        else:
            assert "gap" in answer.errors, answer.errors
    return answer


def _run(*command: str, told: str = "") -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, input=told)


def remove(namespace: str) -> None:
    """Take away the name of one, if it is still there."""
    if Path("/run/netns", namespace).exists():
        _run("ip", "netns", "delete", namespace)


class _Builder:
    """Makes them, and knows how to remove them."""

    def __init__(self, lab: Laboratory, stack: contextlib.ExitStack) -> None:
        self.lab = lab
        self._stack = stack
        self.host = lab.fabric.add_host(NAME)

    def host_itself(self) -> Place:
        """The host, with the bridge."""
        self.host.ip("link", "add", "br0", "type", "bridge")
        door = f"/run/netns/{self.host.namespace}"
        return self.settle(OWN, self.tenant(OWN, door, "br0"), door, OWN, "br0", _HOST)

    def others(self, container: str) -> Iterator[Place]:
        """The five."""
        for number, kind in enumerate(KINDS[1:], 2):
            door, inside, shown = "", "", ""
            if kind in ("named", "empty"):
                shown = f"fleetnet-{os.getpid()}-{uuid.uuid4().hex[:6]}"
                _run("ip", "netns", "add", shown)
                self._stack.callback(remove, shown)
                door = f"/run/netns/{shown}"
                inside = door if kind == "empty" else ""
            elif kind == "small":
                door = self._make_small()
                shown = Path(door).name
            group = self._make_group(container) if kind == "container" else None
            program = self.tenant(kind, "" if inside else door, "eth0", inside=inside, group=group)
            door = door or f"/proc/{program.pid}/ns/net"
            port = f"to-{kind}"
            self.host.ip("link", "add", port, "type", "veth", "peer", "eth0", "netns", door)
            self.host.ip("link", "set", port, "master", "br0", "up")
            yield self.settle(kind, program, door, shown, "eth0", f"{_SUBNET}{number}")

    def tenant(self, kind: str, door: str, device: str, *, inside: str = "", group: Path | None = None) -> Program:
        """The program; it has arrived."""
        directory = self.lab.directory / kind
        directory.mkdir()
        command = [sys.executable, "-m", "system.tenant", "--directory", str(directory), "--device", device]
        command += ["--silent", _SILENT, *(() if kind == OWN else ("--remote", _HOST))]
        if inside:
            command += ["--inside", inside]
        elif door:
            command = ["nsenter", f"--net={door}", "--", *command]
        else:
            command = ["unshare", "--net", "--", *command]
        if group:
            command = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group), *command]
        program = self.lab.programs.start(f"tenant-{kind}", command)
        self._stack.callback(program.stop)
        program.wait_for(r"^arrived \d+")
        return program

    def settle(self, kind: str, program: Program, door: str, shown: str, device: str, address: str) -> Place:
        """Give it a network, and let its tenant open everything."""
        _run(
            *("nsenter", f"--net={door}", "--", "ip", "-batch", "-"),
            told=_NETWORK.format(address=address, device=device, silent=_SILENT),
        )
        inode = int(program.wait_for(r"^arrived (\d+)")[1])
        place = Place(kind, "", address, door, inode, shown or str(inode), device, program)
        place.run("sh", "-c", "echo 10 > /proc/sys/net/ipv4/tcp_syn_retries")  # minutes
        program.tell("")
        program.wait_for(r"^open \d+", within_s=60.0)
        return place

    def _make_small(self) -> str:
        door = self.lab.directory / f"net-{uuid.uuid4().hex[:6]}"
        door.touch()
        script = f'[ ! -e {CHILDREN_BUCKETS} ] || echo {BUCKETS} > {CHILDREN_BUCKETS}; exec unshare --net="$0" true'
        self.host.run("sh", "-c", script, str(door))
        self._stack.callback(_run, "umount", str(door))
        return str(door)

    def _make_group(self, container: str) -> Path | None:
        root = this_host().cgroup_root
        if root is None:
            return None
        group = root / f"docker-{container}.scope"
        group.mkdir()
        self._stack.callback(until, lambda: _removed(group), within_s=60.0, what="the end of the control group")
        return group


def _removed(group: Path) -> bool:
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


@contextlib.contextmanager
def neighbourhood(lab: Laboratory) -> Iterator[Neighbourhood]:
    """All of it, its agent heard; removed in the end, whatever happens."""
    with contextlib.ExitStack() as stack:
        builder, container = _Builder(lab, stack), uuid.uuid4().hex * 2
        places = {each.name: each for each in (builder.host_itself(), *builder.others(container))}
        fleet = lab.fleet()
        fleet.enroll(NAME, builder.host)
        agent = start_agent(lab, builder.host, fleet.state(NAME), "--namespaces", "all")
        stack.callback(agent.stop)
        fleet.wait_until_fresh(NAME)
        yield Neighbourhood(fleet, places, container, agent)

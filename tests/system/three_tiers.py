"""A small fleet with a real application in three tiers, and a host beside it; and what goes wrong there over time.

    lb1         the balancer, which others reach by 443
    app1, app2  the application, in a unit of its own on the private net
    db1         the database, on the private net alone
    mon1        watches the others: takes their log, and serves names

`drift` leaves each host as a careless year would.
"""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from system.laboratory import Laboratory
from system.streets import control_group

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import Program

HOSTS = ("lb1", "app1", "app2", "db1", "mon1")
APPLICATION_UNIT, CONTAINER_UNIT = "fleetnet-app-{}.service", "docker-{}.scope"
INSIDE = "10.10.0."  # the private net of the application
NOBODY = 65534
_DATABASE = f"{INSIDE}4:5432"


@dataclass
class Tiers:
    """The fleet, its hosts and what runs on them."""

    lab: Laboratory
    fleet: Fleet
    hosts: dict[str, Host]
    groups: dict[str, Path]  # control groups of the application and of a container
    _running: dict[tuple[str, str], Program] = field(default_factory=dict)

    def serve(self, host: str, name: str, *sockets: str, group: str = "") -> None:
        """Start a program of this name with these sockets, as listening.py has them; wait until they are open."""
        self._start(host, name, "listening", name, *sockets, group=group)

    def start_tier(self, host: str, name: str, address: str, *options: str, group: str = "") -> None:
        """Start a tier of the application, as shop.py has it."""
        self._start(host, name, "shop", name, address, *options, group=group)

    def stop(self, host: str, name: str) -> None:
        """End it."""
        self._running.pop((host, name)).stop()

    def stop_all(self) -> None:
        """End all of them, those that others talk to last."""
        for host, name in reversed(list(self._running)):
            self.stop(host, name)

    def order(self, count: int) -> list[str]:
        """Order something of the application, from outside; the answers, each the names of the tiers."""
        command = (sys.executable, "-m", "system.shop", "order", f"{self.hosts['lb1'].address}:443", str(count))
        program = self.lab.programs.start("order", self.hosts["mon1"].command(*command))
        program.succeed()
        return program.says().splitlines()

    def drift(self) -> None:
        """What should be is no more on each host, and what should not be is."""
        self.stop("lb1", "haproxy")
        self.start_tier("lb1", "haproxy", "127.0.0.1:443", *_upstreams("app1", "app2"))  # inside alone
        self.serve("lb1", "debugger", "tcp:0.0.0.0:5005", "udp:0.0.0.0:53")
        self.serve("app1", "leak", "close-wait:3")
        self.stop("app2", "sshd")
        self.stop("app2", "shop")
        self.start_tier("app2", "shop", f"{INSIDE}3:8080", "--upstream", _DATABASE)  # by hand, not by its unit
        self.stop("db1", "postgres")
        self.start_tier("db1", "postgres", "0.0.0.0:5432", "--uid", str(NOBODY))
        self.serve("db1", "redis", "tcp:127.0.0.1:6379", group="container")
        self.stop("mon1", "syslog")
        self.serve("mon1", "telnetd", "tcp:0.0.0.0:23", "tcp:127.0.0.1:9999")

    def _start(self, host: str, name: str, *module: str, group: str) -> None:
        command = [sys.executable, "-m", f"system.{module[0]}", *module[1:]]
        if group:
            command = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self.groups[group]), *command]
        program = self.lab.programs.start(f"{host}.{name}", self.hosts[host].command(*command))
        self._running[host, name] = program
        program.wait_for(r"^ready")


def _upstreams(*hosts: str) -> list[str]:
    return [word for host in hosts for word in ("--upstream", f"{INSIDE}{HOSTS.index(host) + 1}:8080")]


@contextlib.contextmanager
def three_tiers(lab: Laboratory) -> Iterator[Tiers]:
    """The fleet as it should be, all of it heard; its programs are ended before it goes."""
    with contextlib.ExitStack() as stack:
        hosts = {name: lab.fabric.add_host(name) for name in HOSTS}
        for number, host in enumerate(hosts.values(), 1):
            host.ip("address", "add", f"{INSIDE}{number}/24", "dev", "eth0")
        groups = {
            "application": stack.enter_context(control_group(APPLICATION_UNIT))[1],
            "container": stack.enter_context(control_group(CONTAINER_UNIT))[1],
        }
        tiers = Tiers(lab, lab.fleet(), hosts, groups)
        stack.callback(tiers.stop_all)
        for name in HOSTS:
            tiers.serve(name, "sshd", "tcp:0.0.0.0:22")
        tiers.start_tier("db1", "postgres", _DATABASE, "--uid", str(NOBODY))
        for name, address in (("app1", f"{INSIDE}2:8080"), ("app2", f"{INSIDE}3:8080")):
            tiers.start_tier(name, "shop", address, "--upstream", _DATABASE, group="application")
        tiers.start_tier("lb1", "haproxy", "0.0.0.0:443", *_upstreams("app1", "app2"))
        tiers.serve("mon1", "syslog", f"udp:{hosts['mon1'].address}:514")
        tiers.serve("mon1", "dns", "udp:0.0.0.0:53")
        for name, host in hosts.items():
            tiers.fleet.enroll(name, tiers.fleet.place)
            tiers.fleet.start_agent(name, host)
        tiers.fleet.wait_until_fresh(*HOSTS)
        yield tiers

"""Hosts made of network namespaces, all on one switch: the demo's fleet and the system tests' laboratory.

A fabric is one namespace that holds a bridge, and one namespace per host with a veth into it. Nothing of it stands
in the root namespace unless the root namespace is asked to join, and then one veth end does. The far end of every
veth is in the switch's namespace, so removing the namespaces removes everything.

What must stay true: the names carry the process id of the maker, so that two fabrics never meet and what a killed
maker left behind can be told from what is in use; /etc/netns is not touched, and hosts share the machine's files
and process table. There is no route out of a fabric. Programs enter with nsenter and not with `ip netns exec` or
`ip -netns`, which would cover /sys, and with it the cgroup tree that an agent reads units from, and do not work in a
chroot.
"""

import contextlib
import ipaddress
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from demo.programs import FailedError, until

SUBNET = ipaddress.IPv4Network("198.18.0.0/24")  # RFC 2544, for laboratories: never on a real network
_PREFIX = "fleetnet"
_NAMESPACES = Path("/run/netns")


class UnavailableError(FailedError):
    """Namespaces cannot be had here; the sentence says why and what would help."""


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace that stands for a host."""

    name: str
    namespace: str  # as `ip netns` knows it
    address: str  # IPv4, on the fabric's switch

    def command(self, *arguments: str) -> list[str]:
        """The same command, to be run on this host; the process id stays that of the command."""
        return [*_enter(self.namespace), *arguments]

    def run(self, *arguments: str) -> str:
        """Run a command on this host to its end; its output."""
        return _run(*self.command(*arguments))

    def ip(self, *arguments: str) -> None:
        """`ip ARGUMENTS` on this host."""
        self.run("ip", *arguments)


class Fabric:
    """A switch and its hosts; leaving it removes them."""

    def __init__(self, subnet: ipaddress.IPv4Network = SUBNET) -> None:
        self._subnet = subnet
        self._addresses = subnet.hosts()
        self._maker = f"{_PREFIX}-{os.getpid()}-{os.urandom(2).hex()}"
        self._switch = f"{self._maker}-switch"
        self._hosts: list[Host] = []
        self._ports = 0
        self._end = ""  # name of the veth end in the namespace that this process is in

    def __enter__(self) -> Self:
        why = why_not()
        if why:
            raise UnavailableError(why)
        try:
            _run("ip", "netns", "add", self._switch)
            self._on_switch("link", "add", "bridge", "type", "bridge")
            self._on_switch("link", "set", "bridge", "up")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def add_host(self, name: str) -> Host:
        """A new host with the next address, its interface eth0."""
        host = Host(name, f"{self._maker}-{name}", str(next(self._addresses)))
        self._hosts.append(host)
        _run("ip", "netns", "add", host.namespace)
        port = self._port()
        self._on_switch("link", "add", port, "type", "veth", "peer", "eth0", "netns", host.namespace)
        self._on_switch("link", "set", port, "master", "bridge", "up")
        host.ip("link", "set", "lo", "up")
        host.ip("address", "add", f"{host.address}/{self._subnet.prefixlen}", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        return host

    def join(self) -> str:
        """Put one veth end into the namespace that this process is in; its address."""
        address = str(next(self._addresses))
        # At most 15 characters (IFNAMSIZ in linux/if.h), and unique among all fabrics of the machine.
        self._end = f"fn{os.getpid()}{self._maker[-2:]}"
        port = self._port()
        _run("ip", "link", "add", self._end, "type", "veth", "peer", port, "netns", self._switch)
        self._on_switch("link", "set", port, "master", "bridge", "up")
        _run("ip", "address", "add", f"{address}/{self._subnet.prefixlen}", "dev", self._end)
        _run("ip", "link", "set", self._end, "up")
        return address

    def remove(self) -> None:
        """End what still runs on the hosts, and remove them."""
        if self._end:
            # It would go with the switch, but a moment later, and its address would be seen till then.
            subprocess.run(["ip", "link", "delete", self._end], capture_output=True, check=False)
            self._end = ""
        for namespace in [*(host.namespace for host in self._hosts), self._switch]:
            _remove(namespace)
        self._hosts.clear()

    def _on_switch(self, *arguments: str) -> None:
        _run(*_enter(self._switch), "ip", *arguments)

    def _port(self) -> str:
        self._ports += 1
        return f"port{self._ports}"


def why_not() -> str:
    """Why no fabric can be made here, as one sentence; empty if one can."""
    if os.geteuid() != 0:
        return "hosts in network namespaces need root"
    for tool in ("ip", "nsenter"):
        if shutil.which(tool) is None:
            return f"hosts in network namespaces need `{tool}` (Debian, Ubuntu: apt-get install iproute2 util-linux)"
    probe = f"{_PREFIX}-{os.getpid()}-{os.urandom(2).hex()}-probe"
    tried = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    _remove(probe)
    if tried.returncode != 0:
        said = tried.stderr.strip().splitlines()
        return f"this machine lets root make no network namespace ({said[-1] if said else 'no reason given'})"
    return ""


def free_subnet() -> ipaddress.IPv4Network:
    """A part of the laboratory network that no interface in this namespace is in, for a fabric to be joined."""
    listed = _run("ip", "-4", "-oneline", "address", "show")
    taken = [ipaddress.IPv4Interface(line.split()[3]).network for line in listed.splitlines()]
    for part in SUBNET.subnets(new_prefix=28):
        if not any(part.overlaps(network) for network in taken):
            return part
    raise UnavailableError(f"every part of {SUBNET} is in use on this machine (see `ip address`)")


def sweep() -> None:
    """Remove what makers that no longer live have left behind."""
    for namespace in list_namespaces():
        maker = namespace.removeprefix(f"{_PREFIX}-").split("-")[0]
        if maker.isdigit() and not Path("/proc", maker).exists():
            _remove(namespace)


def list_namespaces() -> list[str]:
    """The namespaces on this machine that are those of a fabric."""
    if not _NAMESPACES.is_dir():
        return []
    return sorted(entry.name for entry in _NAMESPACES.iterdir() if entry.name.startswith(f"{_PREFIX}-"))


def _enter(namespace: str) -> tuple[str, ...]:
    return ("nsenter", f"--net={_NAMESPACES / namespace}", "--")


def _remove(namespace: str) -> None:
    if not (_NAMESPACES / namespace).exists():
        return
    _end_all_in(namespace)
    subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)


def _end_all_in(namespace: str) -> None:
    """A process that lives on would keep a deleted namespace alive, and its addresses with it."""

    def kill_them() -> bool:
        listed = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
        pids = [int(pid) for pid in listed.stdout.split()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    with contextlib.suppress(FailedError):
        until(kill_them, within_s=5.0, what=f"the end of all processes in {namespace}")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FailedError(f"`{' '.join(command)}` ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout

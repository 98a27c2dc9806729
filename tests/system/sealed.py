"""A host with processes and mounts of its own, and a container on it: an agent there that reads every network namespace
finds these two and none of the machine's others.
"""

import os
import shutil
from dataclasses import dataclass

from system.boxed import first_process
from system.laboratory import Laboratory

from demo.fabric import Host
from demo.programs import FailedError

BOX = "box"  # the container's namespace, as ip-netns(8) of the host knows it
GATEWAY, INSIDE = "172.30.0.1", "172.30.0.2"
NET = "172.30.0.0/24"

_CONTAINER = f"""
ip netns add {BOX}
ip link add {BOX} type veth peer eth0 netns {BOX}
ip address add {GATEWAY}/24 dev {BOX}
ip link set {BOX} up
ip -n {BOX} link set lo up
ip -n {BOX} address add {INSIDE}/24 dev eth0
ip -n {BOX} link set eth0 up
ip -n {BOX} route add default via {GATEWAY}
echo 1 > /proc/sys/net/ipv4/ip_forward
"""


@dataclass(frozen=True, slots=True)
class Sealed(Host):
    """The host, or the container on it."""

    keeper: int  # a process of the host, as the machine knows it
    boxed: bool = False

    def command(self, *arguments: str) -> list[str]:
        """See `Host`."""
        inside = ("ip", "netns", "exec", BOX) if self.boxed else ()
        return ["nsenter", f"--target={self.keeper}", "--mount", "--pid", "--net", "--", *inside, *arguments]


def seal(lab: Laboratory, host: Host) -> tuple[Sealed, Sealed]:
    """The same host, sealed, and the container on it."""
    pid = first_process(lab, host, _CONTAINER)
    sealed = Sealed(host.name, host.namespace, host.address, pid)
    return sealed, Sealed(host.name, host.namespace, INSIDE, pid, boxed=True)


def translate(host: Sealed, published: int, inner: int, masqueraded: int) -> str:
    """Lead a port of the host to one of the container, and have the host's address stand for the container's where it
    goes to another port. Why that cannot be had here, or nothing."""
    rules = f"""
    table ip translated {{
        chain in {{ type nat hook prerouting priority -100; tcp dport {published} dnat to {INSIDE}:{inner}; }}
        chain out {{ type nat hook postrouting priority 100; ip saddr {NET} tcp dport {masqueraded} masquerade; }}
    }}
    """
    nft = shutil.which("nft", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if nft is None:
        return "needs nft (run tests/install-tools as root)"
    try:
        host.run(nft, rules)
    except FailedError as error:
        return f"this kernel translates no addresses ({error})"
    return ""

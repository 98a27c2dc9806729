"""Run inside a fresh network namespace: makes interfaces and routes of every kind, then prints, as JSON, what
netstat(8) says of them and what our layout says, for each set of options.
"""

import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fleetnet_cli.network import InterfaceItem, Namespace
from fleetnet_cli.output.names import Numeric, Symbolic
from fleetnet_cli.output.netstat import interfaces, routes
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.services import load

from cli import rtnetlink

OPTIONS = ["-rn", "-r", "-ren", "-reen", "-rn -6", "-r -6", "-rn -4 -6", "-i", "-ia"]

SETUP = """
link set lo up
link add v0 type veth peer name v1
link add v2 type veth peer name v10
link add br0 type bridge
link set v10 master br0
link set v0 up
link set v1 up
link set v2 up
link set br0 up
link set v0 allmulticast on promisc on
link set v1 dynamic on
link set v2 arp off mtu 9000
address add 10.1.2.3/24 dev v0
address add 169.254.7.7/16 dev v1
address add 10.77.0.1 peer 10.77.0.2/32 dev v1
route add blackhole 10.9.0.0/16
route add unreachable 10.8.0.0/16 metric 5
route add prohibit 10.7.1.1
route add throw 10.6.0.0/16
route add local 10.5.5.6 dev lo table main
route add default via 10.1.2.1 advmss 1400 window 5000 rtt 100ms
route add unreachable default metric 4278198272
route add 0.0.0.0/1 dev v0
route add 127.0.0.0/8 dev lo table main
route add 10.4.0.0/16 nexthop via 10.1.2.4 weight 2 nexthop via 10.1.2.5
route add 10.3.0.0/16 via inet6 fe80::5 dev v0
route add 10.4.0.0/24 via 10.1.2.4 metric 7
route add 10.4.0.0/24 via 10.1.2.4 metric 3
route add 10.4.0.0/24 via 10.1.2.4 tos 0x10
route append 10.4.0.0/24 via 10.1.2.5 metric 7
route add broadcast 10.44.0.0 dev v0 table main
route add multicast 239.0.0.0/8 dev v0 table main
route add 10.99.0.0/16 dev v0 table 100
"""
SETUP_IPV6 = """
address add 2001:db8:1::1/64 dev v0 nodad
address add 2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/128 dev lo
route add blackhole 2001:db8:2::/48
route add unreachable 2001:db8:3::/48
route add prohibit 2001:db8:4::/48
route add throw 2001:db8:5::/48
route add local 2001:db8:6::/64 dev lo table 100
route add 2001:db8:7::/48 nexthop via 2001:db8:1::2 nexthop via 2001:db8:1::3
route add 2001:db8:7::/64 dev v0 metric 9
route add 2001:db8:7::/64 dev v1 metric 3
route add 2001:db8:7::1 dev v0
route add default via 2001:db8:1::2 table 200
route add 2001:db8:8::/48 dev v0 table 1000
"""


def until(ready: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 15
    while not ready():
        if time.monotonic() > deadline_s:
            sys.exit(f"waited in vain for {what}")
        time.sleep(0.02)


def settled() -> bool:
    """Every address is past its duplicate detection, and those that the kernel makes itself are there."""
    lines = Path("/proc/self/net/if_inet6").read_text().splitlines()
    tentative = [line for line in lines if int(line.split()[4], 16) & 0x40]  # IFA_F_TENTATIVE
    names = {line.split()[5] for line in lines if line.startswith("fe80")}
    return not tentative and names >= {"v0", "v1"}


def netstat(options: str) -> list[str]:
    return subprocess.run(["netstat", *options.split()], capture_output=True, text=True, check=True).stdout.splitlines()


def ours(options: str) -> list[str]:
    out = io.StringIO()
    names = Numeric() if "n" in options else Symbolic(load())
    if "i" in options:
        inside, counted = Namespace("here", "host", 0), rtnetlink.counters()
        items = [InterfaceItem(inside, i, counted[i.name]) for i in rtnetlink.interfaces()]
        interfaces.write(items, "a" in options, Terminal(out), heading=True)
        return out.getvalue().splitlines()
    if "-4" in options or "-6" not in options:
        routes.write_ipv4(rtnetlink.routes(), names, options.count("e"), Terminal(out), heading=True)
    if "-6" in options:
        routes.write_ipv6(rtnetlink.routes(), rtnetlink.interfaces(), names, Terminal(out), heading=True)
    return out.getvalue().splitlines()


def silence_name_servers() -> None:
    """Names come from files alone: there is a default route here, and nobody who would answer beyond it."""
    configured = Path("/etc/resolv.conf")
    for line in configured.read_text().splitlines() if configured.exists() else []:
        words = line.split()
        if words[:1] == ["nameserver"] and not words[1].startswith("127."):
            subprocess.run(["ip", "route", "add", "unreachable", words[1]], check=True)


def compared(options: str) -> list[list[str]]:
    """What both say at last: counters go on, so what differs once may agree a moment later."""
    deadline_s = time.monotonic() + 10
    while True:
        pair = [without_references(netstat(options)), ours(options)]
        if sorted(pair[0]) == sorted(pair[1]) or time.monotonic() > deadline_s:
            return pair
        time.sleep(0.05)


def without_references(lines: list[str]) -> list[str]:
    """Lines of IPv6 routes whose Ref, but for that of the entry for "none", is a dash; ours say the same."""
    return [re.sub(r"^(\S+/\d+ +\S+ +U?!?\S* +\d+ +)\d( {2,}0 \S+)$", r"\1-\2", line) for line in lines]


def main() -> None:
    subprocess.run(["ip", "-batch", "-"], input=SETUP, text=True, check=True)
    subprocess.run(["ip", "-6", "-batch", "-"], input=SETUP_IPV6, text=True, check=True)
    silence_name_servers()
    until(settled, "addresses")
    answers = {options: compared(options) for options in OPTIONS}
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()

"""What nmap finds open on addresses, from another host: the oracle of what can be reached.

It is pointed only at addresses of hosts that the tests have made. TCP ports are tried with connect(): of 65,535 answers
to packets of its own nmap misses many on a busy machine, and says "filtered".
"""

import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Iterable

import pytest

from demo.fabric import Host

ALL = "1-65535"
OPEN, FILTERED, CLOSED = "open", "filtered", "closed"


def require(*tools: str) -> None:
    """Skips where nmap is not there, or one of the tools."""
    missing = [tool for tool in ("nmap", *tools) if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)} (run tests/install-tools as root)")


def tcp(ports: str) -> tuple[str, ...]:
    """How to try TCP ports."""
    return "-sT", "--min-rate", "20000", "--max-retries", "3", "-p", ports


def udp(ports: Iterable[int]) -> tuple[str, ...]:
    """How to try a few UDP ports."""
    return "-sU", "-p", ",".join(map(str, ports))


def scan(place: Host, addresses: Collection[str], how: tuple[str, ...]) -> dict[str, dict[int, str]]:
    """Of each address its ports with their states, but for those that are closed. All are of one family; one that is
    link-local says by which interface, fe80::1%eth0."""
    family = ("-6",) if any(":" in address for address in addresses) else ()
    root = ElementTree.fromstring(place.run("nmap", *family, "-n", "-Pn", *how, "-oX", "-", *addresses))
    found = {_address(host): _states(host) for host in root.iter("host")}
    return {address: found[address.partition("%")[0]] for address in addresses}


def of_state(found: dict[int, str], state: str) -> set[int]:
    """The ports that are so."""
    return {port for port, its in found.items() if its == state}


def _address(host: ElementTree.Element) -> str:
    return next(one.attrib["addr"] for one in host.iter("address") if one.attrib["addrtype"] != "mac")


def _states(host: ElementTree.Element) -> dict[int, str]:
    states = {
        int(port.attrib["portid"]): one.attrib["state"] for port in host.iter("port") for one in port.iter("state")
    }
    return {port: state for port, state in states.items() if state != CLOSED}

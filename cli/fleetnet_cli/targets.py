"""Whom sockets talk to, as people write it: ADDRESS[:PORT], NET[:PORT], :PORT or HOST[:PORT].

    10.0.0.5          [2001:db8::1]:443     10.0.0.0/8:5432        web1
    10.0.0.5:5432     2001:db8::1           2001:db8::/32:https    web1:8000-8999,443
                                            [2001:db8::/32]:443    :25

An IPv6 address with a port stands in brackets, as everywhere; behind a net it need not, for the length ends at a colon.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from fleetnet_cli.errors import UsageError
from fleetnet_cli.ports import parse_ports
from fleetnet_cli.records import Net, PortRange
from fleetnet_cli.services import Services

_BRACKETS = re.compile(r"\[(?P<address>[^][/]*)(?P<inner>/[^]:]*)?\](?P<outer>/[^:]*)?(?::(?P<ports>.*))?", re.DOTALL)
_NET = re.compile(r"(?P<address>[^][/]*)/(?P<bits>[^:]*)(?::(?P<ports>.*))?", re.DOTALL)
_BITS = re.compile(r"[0-9]{1,3}", re.ASCII)
_LIKE_AN_ADDRESS = re.compile(r"[0-9.]*\.[0-9.]*", re.ASCII)
# What the collector lets hosts be called.
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """What the other end is to be: in a net or of a host, and of some ports; what is empty does not matter."""

    net: Net | None = None
    host: str = ""
    ports: tuple[PortRange, ...] = ()


def parse_target(text: str, services: Services, *, hosts: bool = True) -> Target:
    """Any of the forms; UsageError otherwise, which names that of a host only where `hosts` are taken."""
    if match := _BRACKETS.fullmatch(text):
        if match["inner"] and match["outer"]:
            raise UsageError(f'"{text}" has two lengths; write it as [2001:db8::/32]:443')
        bits = match["inner"] or match["outer"]
        return Target(_net(match["address"], bits[1:] if bits else None, text), "", _ports(match["ports"], services))
    if match := _NET.fullmatch(text):
        return Target(_net(match["address"], match["bits"], text), "", _ports(match["ports"], services))
    if (address := _address(text)) is not None:
        return Target(Net(str(address), address.max_prefixlen))
    name, colon, rest = text.partition(":")
    if colon and not rest:
        raise UsageError(
            f'"{text}" has a colon and no port behind it; write it as {name or "10.0.0.5"}:5432, or without'
        )
    ports = _ports(rest, services) if colon and ":" not in rest else ()
    if not name and ports:
        return Target(ports=ports)
    if (address := _address(name)) is not None and ports:
        return Target(Net(str(address), address.max_prefixlen), "", ports)
    name = name.lower()  # as names of hosts are
    if (colon and not ports) or _LIKE_AN_ADDRESS.fullmatch(name) or not _HOST.fullmatch(name):
        forms = "10.0.0.5:5432, [2001:db8::1]:443"
        if not hosts:
            raise UsageError(f'"{text}" is no address and no net; write it as {forms} or 10.0.0.0/8')
        raise UsageError(
            f'"{text}" is no address, no net and no name of a host; write it as {forms}, 10.0.0.0/8 or web1'
        )
    return Target(None, name, ports)


def read_with_port(text: str) -> str | None:
    """Of an address that could be one with a port ("::1:443"), how the port would have been written; None of others."""
    if (address := _address(text)) is None or address.version == 4:
        return None
    rest, _, last = text.rpartition(":")
    return f"[{rest}]:{last}" if last.isdigit() and rest and _address(rest) is not None else None


def parse_net(text: str) -> Net:
    """An address or a net without a port; UsageError otherwise."""
    address, slash, bits = text.partition("/")
    return _net(address, bits if slash else None, text)


def _net(address: str, bits: str | None, text: str) -> Net:
    found = _address(address)
    if found is None:
        raise UsageError(f'"{text}" is no address and no net; write it as 10.0.0.5, 10.0.0.0/8 or 2001:db8::/32')
    if bits is None:
        return Net(str(found), found.max_prefixlen)
    if not _BITS.fullmatch(bits) or int(bits) > found.max_prefixlen:
        raise UsageError(f'"/{bits}" is no length of a net of {found}; it is 0 to {found.max_prefixlen}')
    return Net(str(found), int(bits))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    address, percent, interface = text.partition("%")
    try:
        found = ip_address(address)
    except ValueError:
        return None
    if percent:
        raise UsageError(
            f'"{text}": "%{interface}" names an interface of one host, and all hosts are asked; leave it out'
        )
    return found


def _ports(text: str | None, services: Services) -> tuple[PortRange, ...]:
    return () if text is None else parse_ports(text, services)

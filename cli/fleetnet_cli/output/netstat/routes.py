"""Routes in the layout of netstat(8), which is that of /proc/net/route and /proc/net/ipv6_route, to the space.

IPv4 (fib_route_seq_show() of net/ipv4/fib_trie.c): the main table alone, by address, then the longer prefix, the higher
type of service, the lower metric; of several next hops the first; no broadcast and multicast routes; MSS is advmss and
40 more.
IPv6 (ipv6_route_native_seq_show() of net/ipv6/route.c): every table in its slot of 256, in each the subtree before its
root, a line for each next hop, and at the end of a table without a default route the kernel's own entry for "none".
What history cannot tell: Ref of IPv6, shown as `-`, and the flags D, A and e (routes learned from advertisements, or
with an end). The local table of IPv6 is not kept; what the kernel itself puts there is told from the addresses of the
interfaces, anycast and what somebody added by hand is not.
"""

import socket
from collections.abc import Iterable, Iterator, Sequence

from fleetnet_cli.network import Interface, NextHop, Route
from fleetnet_cli.output.names import Names
from fleetnet_cli.output.netstat import dotted
from fleetnet_cli.output.terminal import Terminal

# include/uapi/linux/rtnetlink.h
_MAIN, _LOCAL = 254, 255
_RTN_LOCAL, _RTN_BROADCAST, _RTN_ANYCAST, _RTN_MULTICAST = 2, 3, 4, 5
_RTN_BLACKHOLE, _RTN_UNREACHABLE, _RTN_PROHIBIT, _RTN_THROW = 6, 7, 8, 9
_RTPROT_KERNEL = 2
_RTM_F_CLONED = 0x200  # a route cache's entry, which neither file shows
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8  # include/uapi/linux/if.h
_TABLE_SLOTS = 256  # FIB6_TABLE_HASHSZ of include/net/ip6_fib.h
_ADDRCONF_METRIC = 256  # IP6_RT_PRIO_ADDRCONF of include/net/ip6_route.h
_IP_AND_TCP_HEADERS = 40
_WIDTH = 15
_ANY4 = "0.0.0.0"  # noqa: S104  # shown, not bound to
_NOWHERE = NextHop("", "", 1, 0)

_HEADINGS = (
    "Destination     Gateway         Genmask         Flags   MSS Window  irtt Iface",
    "Destination     Gateway         Genmask         Flags Metric Ref    Use Iface",
    "Destination     Gateway         Genmask         Flags Metric Ref    Use Iface    MSS   Window irtt",
)


def write_ipv4(routes: Iterable[Route], names: Names, extend: int, out: Terminal, *, heading: bool) -> int:
    """Writes the IPv4 table, with metrics for -e and with everything for -ee; returns how many lines."""
    shown = sorted(filter(_in_proc_net_route, routes), key=_ipv4_place)
    names.prepare(a for r in shown for a in (_gateway4(r), r.destination if r.prefix_length == 32 else _ANY4))
    extend = min(extend, 2)
    if heading:
        out.write(f"Kernel IP routing table\n{_HEADINGS[extend]}\n")
    out.write("".join(dotted(_ipv4_line(r, names, extend)) + "\n" for r in shown))
    return len(shown)


def _in_proc_net_route(route: Route) -> bool:
    hidden = route.type in (_RTN_BROADCAST, _RTN_MULTICAST) or route.flags & _RTM_F_CLONED
    return route.family == "ipv4" and route.table == _MAIN and not hidden


def _ipv4_place(route: Route) -> tuple[bytes, int, int, int]:
    return _packed(route), -route.prefix_length, -route.tos, route.metric


def _packed(route: Route) -> bytes:
    any_address = _ANY4 if route.family == "ipv4" else "::"
    address = route.destination or any_address
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _first_hop(route: Route) -> NextHop:
    return route.next_hops[0] if route.next_hops else _NOWHERE


def _gateway4(route: Route) -> str:
    gateway = _first_hop(route).gateway
    return _ANY4 if not gateway or ":" in gateway else gateway


def _ipv4_line(route: Route, names: Names, extend: int) -> str:
    rejects = route.type in (_RTN_UNREACHABLE, _RTN_PROHIBIT)
    bits = min(route.prefix_length, 32)
    mask = socket.inet_ntoa((0xFFFFFFFF << (32 - bits) & 0xFFFFFFFF).to_bytes(4, "big"))
    gateway = "-" if rejects else _host4(_gateway4(route), names)
    # A gateway of IPv6 has the flag, and no place in the column.
    flags = "!" if rejects else "UG" if _first_hop(route).gateway not in ("", _ANY4, "::") else "U"
    flags += "H" if bits == 32 else ""
    start = f"{_destination4(route, names)[:_WIDTH]:<15} {gateway[:_WIDTH]:<15} {mask:<15} {flags:<5} "
    metric, interface = _signed(route.metric), _first_hop(route).interface or "*"
    mss, irtt = route.advmss + _IP_AND_TCP_HEADERS if route.advmss else 0, route.rtt >> 3
    if extend == 0:
        return start + ("    - -          - -" if rejects else f"{mss:>5} {route.window:<5} {irtt:>6} {interface}")
    if extend == 1:
        return start + (f"{metric:<6} -  {0:>7} -" if rejects else f"{metric:<6} {0:<2} {0:>7} {interface}")
    if rejects:
        return start + f"{metric:<6} -  {0:>7} -        -     -      -"
    return start + f"{metric:<6} {0:<3} {0:>6} {interface[:6]:<6}   {mss:<5} {route.window:<6} {irtt}"


def _destination4(route: Route, names: Names) -> str:
    if route.destination in ("", _ANY4):
        return _ANY4 if route.prefix_length else names.network(_ANY4)
    return names.host(route.destination) if route.prefix_length == 32 else names.network(route.destination)


def _host4(address: str, names: Names) -> str:
    return address if address == _ANY4 else names.host(address)


def _signed(metric: int) -> int:
    # netstat reads the kernel's unsigned number as an int.
    return metric - (1 << 32) if metric >= 1 << 31 else metric


def write_ipv6(
    routes: Iterable[Route], interfaces: Sequence[Interface], names: Names, out: Terminal, *, heading: bool
) -> int:
    """Writes the IPv6 tables; returns how many lines, those for "none" left out."""
    tables: dict[int, list[Route]] = {_MAIN: [], _LOCAL: []}
    for route in routes:
        if route.family == "ipv6" and not route.flags & _RTM_F_CLONED:
            tables.setdefault(route.table, []).append(route)
    tables[_LOCAL] = tables[_LOCAL] or list(_local_table(interfaces))
    names.prepare(a for table in tables.values() for r in table for a in (r.destination, _first_hop(r).gateway) if a)
    if heading:
        columns = "Destination                    Next Hop                   Flag Met Ref  Use If"
        out.write(f"Kernel IPv6 routing table\n{columns}\n")
    found = 0
    for number in sorted(tables, key=lambda n: (n % _TABLE_SLOTS, n)):
        lines = [line for r in sorted(tables[number], key=_ipv6_place) for line in _ipv6_lines(r, names)]
        found += len(lines)
        if all(r.prefix_length for r in tables[number]):
            lines.append(_ipv6_line("::", 0, "", "!n", -1, "lo", names, ref="1"))
        out.write("".join(dotted(line) + "\n" for line in lines))
    return found


def _ipv6_place(route: Route) -> tuple[str, int]:
    # The bits of the prefix, then a sign beyond 0 and 1: a subtree stands before its root.
    bits = f"{int.from_bytes(_packed(route), 'big'):0128b}"[: route.prefix_length]
    return bits + "2", route.metric


def _ipv6_lines(route: Route, names: Names) -> Iterator[str]:
    local = route.type in (_RTN_LOCAL, _RTN_ANYCAST)
    # Whatever leads to the loopback interface and is no address of the host is a reject too (fib6_is_reject()).
    to_loopback = not local and route.destination != "::1" and _first_hop(route).interface == "lo"
    rejects = to_loopback or route.type in (_RTN_BLACKHOLE, _RTN_UNREACHABLE, _RTN_PROHIBIT, _RTN_THROW)
    # An address of the host itself, as addrconf_f6i_alloc() makes it.
    ours = local and route.protocol == _RTPROT_KERNEL and route.metric == 0
    for hop in route.next_hops or (_NOWHERE,):
        flags = "!n" if rejects else "U" + ("G" if hop.gateway else "") + ("n" if ours else "")
        interface = hop.interface or ("lo" if rejects else "")
        yield _ipv6_line(
            route.destination or "::", route.prefix_length, hop.gateway, flags, _signed(route.metric), interface, names
        )


def _ipv6_line(
    destination: str, bits: int, gateway: str, flags: str, metric: int, interface: str, names: Names, ref: str = "-"
) -> str:
    target, hop = f"{names.host(destination)}/{bits}", names.host(gateway or "::")
    return f"{target:<30} {hop:<26} {flags:<4} {metric:<3} {ref:<1} {0:>6} {interface}"


def _local_table(interfaces: Sequence[Interface]) -> Iterator[Route]:
    virtual_routers = {i.index for i in interfaces if i.kind == "vrf"}
    for interface in interfaces:
        addresses = [a.address for a in interface.addresses if ":" in a.address]
        # The addresses of a VRF are in the table of the VRF.
        if not addresses or not interface.flags & _IFF_UP or interface.master in virtual_routers:
            continue
        for address in addresses:
            yield _local(address, 128, _RTN_LOCAL, 0, interface)
        if not interface.flags & _IFF_LOOPBACK:
            yield _local("ff00::", 8, _RTN_MULTICAST, _ADDRCONF_METRIC, interface)


def _local(destination: str, bits: int, kind: int, metric: int, interface: Interface) -> Route:
    hop = NextHop("", interface.name, 1, 0)
    return Route("ipv6", destination, bits, _LOCAL, kind, _RTPROT_KERNEL, 0, metric, "", (hop,))

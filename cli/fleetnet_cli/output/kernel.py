"""Numbers of the kernel as words, the ones that ip(8) of iproute2 prints; a number that has none stays a number."""

# IFF_* of include/uapi/linux/if.h
_INTERFACE_FLAGS = {
    0x1: "UP",
    0x2: "BROADCAST",
    0x4: "DEBUG",
    0x8: "LOOPBACK",
    0x10: "POINTOPOINT",
    0x20: "NOTRAILERS",
    0x40: "RUNNING",
    0x80: "NOARP",
    0x100: "PROMISC",
    0x200: "ALLMULTI",
    0x400: "MASTER",
    0x800: "SLAVE",
    0x1000: "MULTICAST",
    0x2000: "PORTSEL",
    0x4000: "AUTOMEDIA",
    0x8000: "DYNAMIC",
    0x10000: "LOWER_UP",
    0x20000: "DORMANT",
    0x40000: "ECHO",
}
# RTNH_F_* and RTM_F_* of include/uapi/linux/rtnetlink.h
_ROUTE_FLAGS = {
    0x1: "dead",
    0x2: "pervasive",
    0x4: "onlink",
    0x8: "offload",
    0x10: "linkdown",
    0x20: "unresolved",
    0x40: "trap",
    0x100: "notify",
    0x200: "cloned",
    0x400: "equalize",
    0x800: "prefix",
    0x4000: "rt_offload",
    0x8000: "rt_trap",
    0x20000000: "rt_offload_failed",
}
# IF_OPER_* of include/uapi/linux/if.h, spelled as /sys/class/net/*/operstate
_OPERSTATES = ("unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up")
# RTN_*, RTPROT_* and RT_SCOPE_* of include/uapi/linux/rtnetlink.h
_ROUTE_TYPES = (
    "unspec",
    "unicast",
    "local",
    "broadcast",
    "anycast",
    "multicast",
    "blackhole",
    "unreachable",
    "prohibit",
    "throw",
    "nat",
    "xresolve",
)
_ROUTE_PROTOCOLS = {
    0: "unspec",
    1: "redirect",
    2: "kernel",
    3: "boot",
    4: "static",
    8: "gated",
    9: "ra",
    10: "mrt",
    11: "zebra",
    12: "bird",
    13: "dnrouted",
    14: "xorp",
    15: "ntk",
    16: "dhcp",
    17: "mrouted",
    18: "keepalived",
    42: "babel",
    84: "openr",
    186: "bgp",
    187: "isis",
    188: "ospf",
    189: "rip",
    192: "eigrp",
}
_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}


def _flags(bits: int, known: dict[int, str]) -> list[str]:
    named = [word for bit, word in known.items() if bits & bit]
    rest = bits & ~sum(known)
    return [*named, hex(rest)] if rest else named


def interface_flags(flags: int) -> list[str]:
    """IFF_*."""
    return _flags(flags, _INTERFACE_FLAGS)


def route_flags(flags: int) -> list[str]:
    """RTNH_F_* and RTM_F_*."""
    return _flags(flags, _ROUTE_FLAGS)


def operstate(number: int) -> str:
    """IF_OPER_*."""
    return _OPERSTATES[number] if number < len(_OPERSTATES) else str(number)


def route_type(number: int) -> str:
    """RTN_*."""
    return _ROUTE_TYPES[number] if number < len(_ROUTE_TYPES) else str(number)


def route_protocol(number: int) -> str:
    """RTPROT_*."""
    return _ROUTE_PROTOCOLS.get(number, str(number))


def scope(number: int) -> str:
    """RT_SCOPE_*."""
    return _SCOPES.get(number, str(number))

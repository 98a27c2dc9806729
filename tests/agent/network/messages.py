"""rtnetlink's messages: captured from a real kernel (Linux 6.18, x86_64), and built where a kernel shows none."""

import struct

NAMES = {1: "lo", 10: "v0", 11: "v1", 12: "br0"}

# What follows the netlink header. IPv4 addresses: of lo, of v0, of v0 with another end.
LOOPBACK = bytes.fromhex(
    "020880fe01000000080001007f000001080002007f000001070003006c6f0000080008008000000014000600ffffffffffffffff867c1400867c1400"
)
ADDRESS4 = bytes.fromhex(
    "021880000a000000080001000a010001080002000a0100010700030076300000080008008000000014000600ffffffffffffffff877c1400877c1400"
)
PEER4 = bytes.fromhex(
    "022080000a000000080001000a090002080002000a0900010700030076300000080008008000000014000600ffffffffffffffff877c1400877c1400"
)
# IPv6: of v0, and of v0 with another end.
ADDRESS6 = bytes.fromhex(
    "0a4082000a00000014000100fd00000000000000000000000000000114000600ffffffffffffffff877c1400877c14000800080082000000"
)
PEER6 = bytes.fromhex(
    "0a8082000a00000014000200fd00000900000000000000000000000114000100fd00000900000000000000000000000214000600ffffffffffffffff"
    "877c1400877c14000800080082000000"
)

# ip route add 10.4.0.0/16 tos 8 via 10.1.0.3 table 1000 metric 7 mtu 1400 advmss 1300 window 5000 rtt 20ms src 10.1.0.1
METRICS = bytes.fromhex(
    "02100008fc0300010000000008000f00e8030000080001000a0400000800060007000000240008000800020078050000080003008813000008000400"
    "a00000000800080014050000080007000a010001080005000a010003080004000a000000"
)
# ip route add 10.2.0.0/16 nexthop via 10.1.0.2 weight 3 nexthop dev br0
MULTIPATH4 = bytes.fromhex(
    "02100000fe0300010000000008000f00fe000000080001000a0200001c000900100000020a000000080005000a010002080000000c000000"
)
# ip route add blackhole 10.3.0.0/16
BLACKHOLE4 = bytes.fromhex("02100000fe0300060000000008000f00fe000000080001000a030000")
# ip route add 10.5.0.0/16 via inet6 fe80::1 dev v0
VIA6 = bytes.fromhex(
    "02100000fe0300010000000008000f00fe000000080001000a050000160012000a00fe8000000000000000000000000000010000080004000a000000"
)
# ip route add 10.6.0.0/16 via 1.2.3.4 dev v0 onlink
ONLINK = bytes.fromhex("02100000fe0300010400000008000f00fe000000080001000a0600000800050001020304080004000a000000")
# The kernel's own for 10.1.0.1, in the local table
LOCAL4 = bytes.fromhex("02200000ff02fe020000000008000f00ff000000080001000a010001080007000a010001080004000a000000")
# With nexthop_compat_mode=0: over the group 7, over the blackhole 8, over 5 alone
BY_GROUP = bytes.fromhex("02100000fe0300010000000008000f00fe000000080001000a07000008001e0007000000")
BY_BLACKHOLE = bytes.fromhex("02100000fe0300060000000008000f00fe000000080001000a08000008001e0008000000")
BY_OBJECT = bytes.fromhex("02100000fe0300010000000008000f00fe000000080001000a09000008001e0005000000")
# ip -6 route add fd01::/64 nexthop via fd00::2 nexthop via fd00::3 weight 2
MULTIPATH6 = bytes.fromhex(
    "0a400000fe0300010000000008000f00fe00000014000100fd01000000000000000000000000000008000600000400003c0009001c0000000a000000"
    "14000500fd0000000000000000000000000000021c0000010a00000014000500fd00000000000000000000000000000324000c000000000000000000"
    "0000000000000000000000000000000000000000000000000500140000000000"
)
# ip -6 route add unreachable fd02::/64
UNREACHABLE6 = bytes.fromhex(
    "0a400000fe0300070000000008000f00fe00000014000100fd0200000000000000000000000000000800060000040000080004000100000024000c00"
    "00000000000000000000000000000000000000000000000000000000000000000500140000000000"
)
# ip -6 route add fd03::/64 via fd00::2 expires 600, and a moment later
EXPIRING6 = bytes.fromhex(
    "0a400000fe0300010000000008000f00fe00000014000100fd030000000000000000000000000000080006000004000014000500fd00000000000000"
    "0000000000000002080004000a00000024000c0000000000000000005cea00000000000000000000000000000000000000000000050014"
    "0000000000"
)
EXPIRING6_LATER = EXPIRING6.replace(bytes.fromhex("5cea0000"), bytes.fromhex("5be90000"))

# ip nexthop add id 5 via 10.1.0.9 dev v0; id 6 via fe80::9 dev v0; id 7 group 5,2/6; id 8 blackhole
OBJECTS = [
    bytes.fromhex("02fd0000000000000800010005000000080005000a000000080006000a010009"),
    bytes.fromhex("0afd0000000000000800010006000000080005000a00000014000600fe800000000000000000000000000009"),
    bytes.fromhex(
        "000000000000000008000100070000000600030000000000140002000500000001000000060000000000000008000e0000000080"
    ),
    bytes.fromhex("0200000000000000080001000800000004000400"),
]

ROUTES4 = [METRICS, MULTIPATH4, BLACKHOLE4, VIA6, ONLINK, LOCAL4, BY_GROUP, BY_BLACKHOLE, BY_OBJECT]
ROUTES6 = [MULTIPATH6, UNREACHABLE6, EXPIRING6]
ADDRESSES = [LOOPBACK, ADDRESS4, PEER4, ADDRESS6, PEER6]


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    """One that is a number."""
    return attribute(kind, struct.pack("=I", value))


def link(index: int, name: bytes, *attributes: bytes, hardware_type: int = 1, flags: int = 0x11043) -> bytes:
    """An ifinfomsg with its name and further attributes."""
    return struct.pack("=BxHiII", 0, hardware_type, index, flags, 0) + attribute(3, name + b"\0") + b"".join(attributes)


VETH = link(
    11,
    b"v1",
    number(4, 1400),  # IFLA_MTU
    attribute(16, b"\x06"),  # IFLA_OPERSTATE
    number(10, 12),  # IFLA_MASTER
    attribute(1, b"\x02\0\0\0\0\x11"),  # IFLA_ADDRESS
    attribute(18, attribute(1, b"veth\0") + attribute(4, b"bridge\0")),  # IFLA_LINKINFO: of itself, of its place in br0
)


def datagram(kind: int, *bodies: bytes, sequence: int = 7, flags: int = 2, done: int | None = None) -> bytes:
    """Messages as the kernel sends them; with the end of the dump where `done` is its errno or 0."""
    messages = [(kind, body) for body in bodies]
    if done is not None:
        messages.append((3, struct.pack("=i", -done)))
    return b"".join(
        struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 99) + body + bytes(-len(body) % 4)
        for kind, body in messages
    )

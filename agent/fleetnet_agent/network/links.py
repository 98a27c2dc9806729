"""Codec of interfaces and their addresses. Pure.

Formats: struct ifinfomsg and IFLA_* in include/uapi/linux/rtnetlink.h and if_link.h; struct ifaddrmsg and IFA_* in
include/uapi/linux/if_addr.h.

What must stay true: nothing that counts or expires is read, for it would make a change of every look.
"""

import struct

from fleetnet_agent.network.rtnetlink import FAMILIES, address_of, attributes, fixed, number_of, text_of
from fleetnet_agent.records import Interface, InterfaceAddress
from fleetnet_agent.sources.source import MalformedError

# include/uapi/linux/if_link.h
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_INFO_KIND = 1, 3, 4, 10, 16, 18, 1
# include/uapi/linux/if_addr.h
IFA_ADDRESS, IFA_LOCAL = 1, 2

_LINK = struct.Struct("=BxHIII")  # ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_LONGEST_HARDWARE_ADDRESS = 32  # MAX_ADDR_LEN, include/linux/netdevice.h


def decode_link(body: bytes) -> Interface:
    """An interface, as yet without addresses and without what its driver says. Raises MalformedError."""
    _, hardware_type, index, flags, _ = fixed(body, _LINK, "an interface")
    found = attributes(body, _LINK.size)
    hardware_address = found.get(IFLA_ADDRESS, b"")
    if len(hardware_address) > _LONGEST_HARDWARE_ADDRESS:
        raise MalformedError(f"a hardware address of {len(hardware_address)} bytes")
    name = text_of(found, IFLA_IFNAME)
    if not index or not name:
        raise MalformedError("an interface without index or name")
    return Interface(
        index=index,
        name=name,
        hardware_type=hardware_type,
        hardware_address=hardware_address,
        mtu=number_of(found, IFLA_MTU),
        flags=flags,
        operstate=int.from_bytes(found.get(IFLA_OPERSTATE, b"")[:1], "little"),
        kind=text_of(attributes(found.get(IFLA_LINKINFO, b""), 0), IFLA_INFO_KIND),
        master=number_of(found, IFLA_MASTER),
        addresses=(),
    )


def decode_address(body: bytes) -> tuple[int, InterfaceAddress] | None:
    """Index of the interface, and an address of it; None for another family than IPv4 and IPv6. Raises
    MalformedError."""
    family, prefix_length, _, scope, index = fixed(body, _ADDRESS, "an address")
    if family not in FAMILIES:
        return None
    _, width = FAMILIES[family]
    found = attributes(body, _ADDRESS.size)
    # IFA_ADDRESS is the other end of a point-to-point link, and the same as IFA_LOCAL elsewhere; IPv6 leaves
    # IFA_LOCAL out where there is no other end.
    address, local = address_of(found, IFA_ADDRESS, width), address_of(found, IFA_LOCAL, width)
    if not (address or local) or prefix_length > 8 * width:
        raise MalformedError(f"an address of {len(address)} bytes with a prefix of {prefix_length} bits")
    peer = address if local and address != local else b""
    return index, InterfaceAddress(local or address, prefix_length, peer, scope)
